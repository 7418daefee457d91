"""Cards in PC/SC readers, by pyscard: whatever the machine's smart card service knows, on every system.

A field watches one reader, or several at once where their names have the asked part in common. A card is
connected exclusively unless the driver is made with `exclusive=False`, so that no other program speaks in
the middle of a payment. pyscard (extra `pcsc`) is imported when a reader is first asked for.

The service blocks while a card does not answer, and cannot be told to give up: commands are carried by a
thread of the field's own, which is left behind where the card stays silent. The next `wait` begins with a
new one as soon as the reader is free again.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from paysim.core.errors import LinkClosed, LinkTimeout, NoReader
from paysim.emv.outcome import Decision

from .driver import TIMEOUT_S, Present
from .t0 import fetch

__all__ = ["Pcsc", "PcscField", "PcscLink", "kind", "mend"]

_T = TypeVar("_T")

CONTACTLESS: Final = bytes.fromhex("8001")
"""TD1 and TD2 of the ATR that a reader makes for a contactless card. Source: PC/SC part 3 3.1.3.2.3"""

_STORAGE: Final = bytes.fromhex("804F0CA000000306")
"""How the historical bytes of a card without ISO/IEC 14443-4 begin. Source: PC/SC part 3 3.1.3.2.3.2"""

STORAGE_CARDS: Final = {
    0x0001: "mifare classic 1k",
    0x0002: "mifare classic 4k",
    0x0003: "mifare ultralight",
    0x0026: "mifare mini",
    0x0036: "mifare plus sl1 2k",
    0x0037: "mifare plus sl1 4k",
    0x003A: "mifare ultralight c",
    0x003B: "felica",
    0xF004: "topaz",
    0xF011: "felica",
    0xF012: "felica",
}
"""Card name of a storage card's ATR -> kind. Source: PC/SC part 3 supplemental document; F0xx: ACS manuals"""

STANDARDS: Final = {0x03: "iso14443-3a", 0x07: "iso14443-3b", 0x0B: "iso15693", 0x11: "felica"}
"""Standard of a storage card that has no row above. Source: PC/SC part 3 supplemental document"""

_GET_UID: Final = bytes.fromhex("FFCA000000")

_POLL_MS: Final = 250
_PAUSE_S: Final = 0.02
_SEEN_S: Final = 0.5
"""How long a card may lie there until the service sees it by itself. Source: pcscd looks every 0.4 s"""

# Source: winscard.h (PC/SC part 5)
_INVALID_HANDLE: Final = 0x80100003
_TIMEOUT: Final = 0x8010000A
_SHARING_VIOLATION: Final = 0x8010000B
_NO_SMARTCARD: Final = 0x8010000C
_UNKNOWN_READER: Final = 0x80100009
_READER_UNAVAILABLE: Final = 0x80100017
_NO_READERS: Final = 0x8010002E
_UNRESPONSIVE: Final = 0x80100066
_DENIED: Final = 0x8010006A
_GONE: Final = frozenset((_UNKNOWN_READER, _READER_UNAVAILABLE, _NO_READERS))

_WORDS: Final = {
    0x80100004: "the command is longer than PC/SC carries",
    0x80100008: "the answer is longer than PC/SC carries",
    0x8010000F: "the card speaks neither T=0 nor T=1",
    0x80100013: "the smart card service is gone",
    0x80100016: "the card left the field in the middle of a command",
    0x8010001D: "the smart card service is gone",
    0x8010001E: "the smart card service has stopped",
    0x8010002F: "the card does not answer as it should",
    0x80100065: "the reader and the card do not understand each other",
    0x80100066: "the card does not answer to a reset",
    0x80100067: "the card has no power",
    0x80100068: "another program has reset the card",
    0x80100069: "the card left the field",
    _NO_SMARTCARD: "there is no card in the field",
    _READER_UNAVAILABLE: "the reader is gone",
    _UNKNOWN_READER: "the reader is gone",
    _INVALID_HANDLE: "the smart card service has been restarted",
    _SHARING_VIOLATION: "another program holds the card",
    _DENIED: "the smart card service refuses this user",
}

_REFUSED: Final = "the smart card service refuses this user; start it with: pcscd --disable-polkit"
"""Assumed: polkit's word, where pcsc-lite is built with it."""


def kind(atr: bytes) -> str:
    """What an ATR says of a card: contact, iso14443-4, or the storage card that it is.

    >>> kind(bytes.fromhex("3B80800101")), kind(bytes.fromhex("3B6800000073C84000009000"))
    ('iso14443-4', 'contact')
    >>> kind(bytes.fromhex("3B8F8001804F0CA000000306030001000000006A"))
    'mifare classic 1k'
    """
    if len(atr) < 5 or atr[0] != 0x3B or atr[1] >> 4 != 8 or atr[2:4] != CONTACTLESS:
        return "contact"
    historical = atr[4 : 4 + (atr[1] & 0x0F)]
    if not historical.startswith(_STORAGE) or len(historical) < len(_STORAGE) + 3:
        return "iso14443-4"
    standard, name = historical[8], int.from_bytes(historical[9:11])
    return STORAGE_CARDS.get(name) or STANDARDS.get(standard, "contactless storage")


def mend() -> str:
    """The line that starts the smart card service here."""
    if sys.platform == "win32":
        return "start it: sc start SCardSvr"
    if sys.platform == "darwin":
        return "plug a reader in: the service starts with it"
    there = any(
        Path(name).exists() for name in ("/usr/sbin/pcscd", "/usr/bin/pcscd", "/usr/local/sbin/pcscd")
    )
    install = "" if there else "sudo apt-get install pcscd && "
    if Path("/run/systemd/system").exists():
        return f"start it: {install}sudo systemctl start pcscd.socket"
    return f"start it: {install}sudo sh -c 'mkdir -p /run/pcscd && exec pcscd --foreground' &"


def _scard() -> Any:
    """The service's functions. Raises NoReader, with the line that installs them."""
    try:
        from smartcard import scard
    except ImportError as error:
        raise NoReader(
            f"pyscard is missing ({error}); install it: "
            "sudo apt-get install libpcsclite-dev swig gcc && pip install 'paysim[pcsc]'"
        ) from None
    return scard


def _context(scard: Any) -> int:
    """A context of the service. Raises NoReader, with the line that starts it."""
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    code &= 0xFFFFFFFF
    if code == _DENIED:
        raise NoReader(_REFUSED)
    if code:
        raise NoReader(f"the smart card service does not run ({code:08X}); {mend()}")
    return int(context)


def _listed(scard: Any, context: int) -> list[str]:
    code, names = scard.SCardListReaders(context, [])
    code &= 0xFFFFFFFF
    if code == _DENIED:
        raise NoReader(_REFUSED)
    if code and code != _NO_READERS:
        raise NoReader(f"the smart card service does not answer ({code:08X}); {mend()}")
    return list(names)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


class Pcsc:
    """The driver of the machine's smart card service.

    `exclusive` keeps other programs from a card while it is ours; `timeout_s` is how long a command may take.
    """

    name = "pcsc"

    def __init__(self, *, exclusive: bool = True, timeout_s: float = TIMEOUT_S) -> None:
        self._exclusive = exclusive
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"Pcsc(exclusive={self._exclusive})"

    def readers(self) -> list[str]:
        """The names of the readers that are plugged in. Raises NoReader where the service does not run."""
        scard = _scard()
        context = _context(scard)
        try:
            return _listed(scard, context)
        finally:
            scard.SCardReleaseContext(context)

    def open(self, reader: str = "") -> PcscField:
        """The field of the reader of this name, or of all whose names have this part (case aside).

        Raises NoReader where there is none, naming those that there are.
        """
        names = self.readers()
        if not names:
            raise NoReader("no reader is plugged in; plug one in, or see what is missing: paysim doctor")
        wanted = _folded(reader)
        found = [name for name in names if name == reader] or [n for n in names if wanted in _folded(n)]
        if not found:
            raise NoReader(f"no reader's name has {reader!r} in it; there are {', '.join(names)}")
        return PcscField(tuple(found), exclusive=self._exclusive, timeout_s=self._timeout_s)


class PcscLink:
    """The link to the card in a PC/SC reader; over once its field waits again."""

    decisions: tuple[Decision, ...] = ()

    def __init__(self, field: PcscField, *, t0: bool) -> None:
        self._field: PcscField | None = field
        self._t0 = t0

    def transceive(self, data: bytes) -> bytes:
        """The card's answer, 61xx and 6Cxx followed. Raises LinkTimeout or LinkClosed, and is closed then."""
        if self._field is None:
            raise LinkClosed("there is no card in the field")
        try:
            return fetch(self._field.transmit, data, t0=self._t0)
        except (LinkTimeout, LinkClosed):
            self.close()
            raise

    def close(self) -> None:
        """Nothing is carried any more."""
        self._field = None


class _Courier:
    """A thread that calls what may block for ever."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="paysim pcsc", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._done.put(job())

    def call(self, job: Callable[[], _T], timeout_s: float) -> _T:
        """What the job gives. Raises queue.Empty where it takes longer; the courier is of no use then."""
        self._jobs.put(job)
        result: _T = self._done.get(timeout=timeout_s)
        return result

    def leave(self, last: Callable[[], object] | None = None) -> None:
        """End once the present job is done, and `last` after it."""
        if last is not None:
            self._jobs.put(last)
        self._jobs.put(None)

    def ended(self, timeout_s: float) -> bool:
        """Whether the thread is at its end, waited for."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


class PcscField:
    """One or more readers, watched; `reader` names them."""

    def __init__(self, names: tuple[str, ...], *, exclusive: bool, timeout_s: float) -> None:
        self.reader = ", ".join(names)
        self._names = names
        self._exclusive = exclusive
        self._timeout_s = timeout_s
        self._scard = _scard()
        self._context: int | None = _context(self._scard)
        self._handle: int | None = None
        self._protocol = 0
        self._at = ""
        self._link: PcscLink | None = None
        self._courier: _Courier | None = None
        self._stuck: _Courier | None = None
        self._closed = False
        self._lost = False
        """The connected card is known to be gone: a reset would fail, and confuse the service."""
        self._doubt = True
        """A reset may have failed, this field's or another's: the service then overlooks a new card."""

    def __repr__(self) -> str:
        return f"PcscField({self.reader!r})"

    # The contract. ------------------------------------------------------------------------------------

    def wait(self, timeout_s: float) -> Present | None:
        """The card that comes or lies there, reset. Raises NoReader, or LinkClosed where it is not ours."""
        end = time.monotonic() + timeout_s
        self._leave()
        self._free(end)
        trouble = 0
        while True:
            name, came = self._card(end)
            if not name:
                break
            trouble = self._connect(name, fresh=came and not trouble)
            present = None if trouble else self._presented()
            if present is not None:
                return present
            if not self._until(end):
                break
        if trouble == _SHARING_VIOLATION:
            raise LinkClosed("another program holds the card; end it, or wait until it is done")
        if trouble == _DENIED:
            raise NoReader(_REFUSED)
        return None

    def removed(self, timeout_s: float) -> bool:
        """Whether no card lies there, waited for; True where the reader or the service is gone."""
        end = time.monotonic() + timeout_s
        names = (self._at,) if self._at else self._names
        states: list[Any] = []
        while True:
            try:
                states, code = self._states(names, states, end)
            except NoReader:
                return True
            if code in _GONE or (not code and not any(map(self._is_present, states))):
                self._lost = True
                return True
            if time.monotonic() >= end:
                return False

    def close(self) -> None:
        """Let go of card, reader and service."""
        self._closed = True
        self._leave()
        self._drop()

    # Commands. ----------------------------------------------------------------------------------------

    def transmit(self, command: bytes) -> bytes:
        """One exchange, as the reader does it. Raises LinkTimeout or LinkClosed."""
        scard, handle, protocol = self._scard, self._handle, self._protocol
        if handle is None or self._closed:
            raise LinkClosed("there is no card in the field")
        if self._courier is None:
            self._courier = _Courier()
        data = list(command)
        try:
            code, answer = self._courier.call(
                lambda: scard.SCardTransmit(handle, protocol, data), self._timeout_s
            )
        except queue.Empty:
            self._abandon()
            raise LinkTimeout(f"the card does not answer for {self._timeout_s:g} s") from None
        if code:
            code &= 0xFFFFFFFF
            if code == _TIMEOUT:
                raise LinkTimeout("the card does not answer")
            self._lost = True
            raise LinkClosed(_words(code))
        if not answer:
            self._lost = True
            raise LinkClosed("the card left the field in the middle of a command")
        return bytes(answer)

    def _abandon(self) -> None:
        """Leave a thread that is stuck in the service, and everything that it holds there, to themselves."""
        courier, context, scard = self._courier, self._context, self._scard
        if courier is not None:
            courier.leave(lambda: scard.SCardReleaseContext(context))
        self._stuck, self._courier = courier, None
        self._context = self._handle = None

    def _free(self, end: float) -> None:
        """Wait until a card that stayed silent has let the reader go."""
        if self._stuck is not None:
            if not self._stuck.ended(max(0.0, end - time.monotonic())):
                raise LinkTimeout("the reader still waits for the last card's answer; take the card away")
            self._stuck = None

    # Cards. -------------------------------------------------------------------------------------------

    def _card(self, end: float) -> tuple[str, bool]:
        """The reader that has a card, "" for none in time, and whether it came only now.

        Raises NoReader where no reader is left, or nobody can be asked.
        """
        states: list[Any] = []
        empty, seen = False, time.monotonic() + _SEEN_S
        while True:
            states, code = self._states(self._names, states, end)
            if self._closed:
                raise LinkClosed("the field is off")
            for state in states:
                if self._is_present(state):
                    return str(state[0]), empty
            empty = not code
            if self._doubt and empty and time.monotonic() > seen:
                found = self._overlooked()
                if found:
                    return found, False
                seen = time.monotonic() + 2 * _SEEN_S
            if code and self._until(end):
                continue
            if code in _GONE:
                raise NoReader(f"the reader is gone ({self.reader}); plug it in")
            if time.monotonic() >= end and not code:
                return "", empty

    def _states(self, names: tuple[str, ...], known: list[Any], end: float) -> tuple[list[Any], int]:
        """The readers' states once they are no more the `known` ones, or a moment later; or what is wrong.

        Raises NoReader where the service is away and does not come back in time.
        """
        context = self._ensured(end)
        asked = [(state[0], state[1]) for state in known] or [(name, 0) for name in names]
        wait_ms = max(0, min(_POLL_MS, int((end - time.monotonic()) * 1000)))
        code, states = self._scard.SCardGetStatusChange(context, wait_ms, asked)
        code &= 0xFFFFFFFF
        if code == _TIMEOUT:
            return known, 0
        if not code:
            unknown = self._scard.SCARD_STATE_UNKNOWN | self._scard.SCARD_STATE_UNAVAILABLE
            lost = all(state[1] & unknown for state in states)
            return ([], _UNKNOWN_READER) if lost else (states, 0)
        if code not in _GONE:
            self._drop()
        return [], code

    def _ensured(self, end: float) -> int:
        """A context of the service, which may have been restarted."""
        while self._context is None:
            if self._closed:
                raise LinkClosed("the field is off")
            try:
                self._context = _context(self._scard)
            except NoReader:
                if not self._until(end):
                    raise
        return self._context

    def _is_present(self, state: Any) -> bool:
        return bool(state[1] & self._scard.SCARD_STATE_PRESENT)

    def _overlooked(self) -> str:
        """The reader that has a card which the service does not see, "" for none."""
        mode = self._scard.SCARD_SHARE_SHARED
        for name in self._names:
            self._disconnect()
            if not self._revive(name, mode):
                self._at = name
                time.sleep(_SEEN_S)  # or it would not see the card go, had it not seen it come
                return name
        return ""

    def _connect(self, name: str, *, fresh: bool) -> int:
        """Connect to the card and reset it, unless it has just come; what the service says, 0 for good."""
        scard = self._scard
        mode = scard.SCARD_SHARE_EXCLUSIVE if self._exclusive else scard.SCARD_SHARE_SHARED
        both = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        if self._handle is not None and self._at == name and not self._reset(mode, scard.SCARD_RESET_CARD):
            return 0
        self._disconnect()
        self._at = name
        code, self._handle, self._protocol = scard.SCardConnect(self._context, name, mode, both)
        code &= 0xFFFFFFFF
        if code == _UNRESPONSIVE:
            return self._revive(name, mode)
        if code:
            self._handle = None
            return int(code)
        self._lost = self._doubt = False
        return 0 if fresh else self._reset(mode, scard.SCARD_RESET_CARD)

    def _revive(self, name: str, mode: int) -> int:
        """Power a card on that the service has given up: it came in place of another, too soon to be seen."""
        direct = self._scard.SCARD_SHARE_DIRECT
        code, self._handle, _ = self._scard.SCardConnect(self._context, name, direct, 0)
        if code:
            self._handle = None
            return int(code) & 0xFFFFFFFF
        return self._reset(mode, self._scard.SCARD_UNPOWER_CARD)

    def _reset(self, mode: int, how: int) -> int:
        """Reset the connected card; what the service says, 0 for good; not connected any more else."""
        both = self._scard.SCARD_PROTOCOL_T0 | self._scard.SCARD_PROTOCOL_T1
        code, self._protocol = self._scard.SCardReconnect(self._handle, mode, both, how)
        self._lost = bool(code)
        self._doubt = bool(code)
        if code:
            self._disconnect()
        return int(code) & 0xFFFFFFFF

    def _presented(self) -> Present | None:
        """The connected card with what can be told of it; None where it has left already."""
        code, _, _, _, atr = self._scard.SCardStatus(self._handle)
        if code:
            self._disconnect()
            return None
        found = bytes(atr)
        uid = b""
        if kind(found) != "contact":
            try:
                answer = self.transmit(_GET_UID)
            except (LinkClosed, LinkTimeout):
                self._disconnect()
                return None
            uid = answer[:-2] if answer[-2:] == b"\x90\x00" else b""
        self._link = PcscLink(self, t0=self._protocol == self._scard.SCARD_PROTOCOL_T0)
        return Present(self._link, kind(found), uid, found)

    # Letting go. --------------------------------------------------------------------------------------

    def _until(self, end: float) -> bool:
        """Whether there is time for another try, a moment later."""
        left = end - time.monotonic()
        if left <= 0 or self._closed:
            return False
        time.sleep(min(_PAUSE_S, left))
        return True

    def _leave(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _disconnect(self) -> None:
        if self._handle is not None:
            how = self._scard.SCARD_LEAVE_CARD if self._lost else self._scard.SCARD_RESET_CARD
            self._doubt |= bool(self._scard.SCardDisconnect(self._handle, how))
            self._handle = None

    def _drop(self) -> None:
        """Give the service everything back."""
        self._disconnect()
        if self._context is not None:
            self._scard.SCardReleaseContext(self._context)
            self._context = None
        if self._courier is not None:
            self._courier.leave()
            self._courier = None


def _words(code: int) -> str:
    words = _WORDS.get(code)
    return f"{words} ({code:08X})" if words else f"the smart card service says {code:08X}"
