"""Cards in PC/SC readers, by pyscard: whatever the machine's smart card service knows, on every system.

A field watches one reader, or several at once where their names have the asked part in common. A card is
connected exclusively unless the driver is made with `exclusive=False`, so that no other program speaks in
the middle of a payment. pyscard (extra `pcsc`) is imported when a reader is first asked for.

A card that does not answer is not waited for (`pcsc_card`); the next `wait` begins anew as soon as the reader
is free again. A card that the service overlooks is found (`pcsc_tally`).
"""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Callable
from typing import Any, Final, TypeVar

from paysim.core.errors import LinkClosed, LinkTimeout, NoReader
from paysim.emv.outcome import Decision

from . import pcsc_service as service
from .driver import TIMEOUT_S, Present
from .pcsc_atr import kind
from .pcsc_card import CardTalk
from .pcsc_service import mend
from .pcsc_tally import SEEN_S, Tally
from .t0 import fetch

__all__ = ["Pcsc", "PcscField", "PcscLink", "is_named", "kind", "mend"]

_T = TypeVar("_T")

_GET_UID: Final = bytes.fromhex("FFCA000000")

_POLL_MS: Final = 250
_PAUSE_S: Final = 0.02
_LATE_S: Final = 0.4
"""How much longer than its time a wait may take to reset a card, half a second being allowed."""

_OVERLOOKS: Final = sys.platform not in ("win32", "darwin")
"""Whether the service is pcsc-lite, which may overlook a card."""


def is_named(reader: str, part: str) -> bool:
    """Whether a reader's name has this in it, whatever the case, width and composition of its letters."""
    wanted, name = (unicodedata.normalize("NFKC", text).casefold() for text in (part, reader))
    return wanted in name


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
        scard = service.functions()
        context = service.context(scard)
        try:
            return service.listed(scard, context)
        finally:
            scard.SCardReleaseContext(context)

    def open(self, reader: str = "") -> PcscField:
        """The field of the reader of this name, or of all whose names have this part (case aside).

        Raises NoReader where there is none, naming those that there are, and where its name is not ASCII.
        """
        names = self.readers()
        if not names:
            raise NoReader("no reader is plugged in; plug one in, or see what is missing: paysim doctor")
        found = [name for name in names if name == reader]
        found = found or [name for name in names if is_named(name, reader)]
        if not found:
            raise NoReader(f"no reader's name has {reader!r} in it; there are {', '.join(names)}")
        return PcscField(tuple(service.spoken(found)), exclusive=self._exclusive, timeout_s=self._timeout_s)


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
        transmit, until = self._field.transmit, self._field.deadline()
        try:
            return fetch(lambda part: transmit(part, until), data, t0=self._t0)
        except (LinkTimeout, LinkClosed):
            self.close()
            raise

    def close(self) -> None:
        """Nothing is carried any more."""
        self._field = None


class PcscField:
    """One or more readers, watched; `reader` names them."""

    def __init__(self, names: tuple[str, ...], *, exclusive: bool, timeout_s: float) -> None:
        self.reader = ", ".join(names)
        self._tallies = {name: Tally() for name in names}
        self._exclusive = exclusive
        self._timeout_s = timeout_s
        self._scard = service.functions()
        self._context: int | None = service.context(self._scard)
        self._talk: CardTalk | None = None
        self._link: PcscLink | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"PcscField({self.reader!r})"

    # The contract. ------------------------------------------------------------------------------------

    def wait(self, timeout_s: float) -> Present | None:
        """The card that comes or lies there, reset.

        Raises NoReader; LinkClosed where another program has the card, and where it is of no use in this
        reader; LinkTimeout where it does not answer.
        """
        end = time.monotonic() + timeout_s
        self._leave()
        self._free(end)
        trouble = 0
        while True:
            name, came = self._card(end)
            if not name:
                return None
            talk = self._talking(end)
            trouble = talk.connect(name, end + _LATE_S, fresh=came and not trouble)
            present = None if trouble else self._presented(talk, end + _LATE_S)
            if present is not None:
                return present
            if not self._again(end):
                break
        if trouble == service.SHARING_VIOLATION:
            raise LinkClosed("another program holds the card; end it, or wait until it is done")
        if trouble == service.DENIED:
            raise NoReader(service.REFUSED)
        if trouble in service.USELESS:
            raise LinkClosed(f"{service.words(trouble)}; turn it, or take another")
        return None

    def removed(self, timeout_s: float) -> bool:
        """Whether no card lies there, waited for; True where the reader or the service is gone."""
        end = time.monotonic() + timeout_s
        talk = self._talk
        names = (talk.reader,) if talk is not None and talk.reader else tuple(self._tallies)
        states: list[Any] = []
        while True:
            try:
                states, code = self._states(names, states, end)
            except NoReader:
                return True
            if code in service.GONE or (not code and not self._present(states)):
                if talk is not None:
                    talk.lost = True
                return True
            if time.monotonic() >= end or (code and not self._again(end)):
                return False

    def close(self) -> None:
        """Let go of card, reader and service."""
        self._closed = True
        self._leave()
        self._drop()

    def transmit(self, command: bytes, until: float) -> bytes:
        """One exchange, as the reader does it. Raises LinkTimeout or LinkClosed."""
        if self._talk is None or self._closed:
            raise LinkClosed("there is no card in the field")
        return self._talk.transmit(command, until)

    def deadline(self) -> float:
        """When a command that is carried from now on must be answered, by `time.monotonic`."""
        return time.monotonic() + self._timeout_s

    # Cards. -------------------------------------------------------------------------------------------

    def _card(self, end: float) -> tuple[str, bool]:
        """The reader that has a card, "" for none in time, and whether it came only now.

        Raises NoReader where no reader is left, or nobody can be asked.
        """
        states: list[Any] = []
        empty = False
        while True:
            states, code = self._states(tuple(self._tallies), states, end)
            if self._closed:
                raise LinkClosed("the field is off")
            found = self._present(states)
            if found:
                return found, empty
            empty = not code
            found = self._overlooked(states, end)
            if found:
                return found, False
            if code and self._again(end):
                continue
            if code in service.GONE:
                raise NoReader(f"the reader is gone ({self.reader}); plug it in")
            if code:
                raise NoReader(f"{service.words(code)}; {mend()}")
            if time.monotonic() >= end:
                return "", empty

    def _states(self, names: tuple[str, ...], known: list[Any], end: float) -> tuple[list[Any], int]:
        """The readers' states once they are no more the `known` ones, or a moment later; or what is wrong.

        Raises NoReader where the service is away and does not come back in time.
        """
        context = self._ensured(end)
        asked = [(state[0], state[1]) for state in known] or [(name, 0) for name in names]
        wait_ms = max(0, min(_POLL_MS, int((end - time.monotonic()) * 1000)))
        result, states = self._scard.SCardGetStatusChange(context, wait_ms, asked)
        code = service.code_of(result)
        if code == service.TIMEOUT:
            return known, 0
        if not code:
            unknown = self._scard.SCARD_STATE_UNKNOWN | self._scard.SCARD_STATE_UNAVAILABLE
            if not all(state[1] & unknown for state in states):
                return states, 0
            code = service.UNKNOWN_READER
        if code in service.GONE:
            self._forget()
        else:
            self._drop()
        return [], code

    def _present(self, states: list[Any]) -> str:
        """The first reader that has a card, "" for none; what is said of each is kept in mind."""
        at_s = time.monotonic()
        found = [name for name, state, _ in states if self._tallies[name].says(state, at_s)]
        return str(found[0]) if found else ""

    def _overlooked(self, states: list[Any], end: float) -> str:
        """The reader that has a card which the service does not see, "" for none."""
        for name, _, _ in states:
            tally = self._tallies[name]
            if not _OVERLOOKS or not tally.overlooks(time.monotonic()):
                continue
            code = self._talking(end).power_on(name, end + _LATE_S)
            if not code:
                self._settle(name, tally)
                return str(name)
            if code == service.EMPTY:
                tally.nothing_there(time.monotonic())
        return ""

    def _settle(self, name: str, tally: Tally) -> None:
        """Wait until the service has seen a card that was found, where it does: it powers it on then."""
        states: list[Any] = []
        end = time.monotonic() + SEEN_S
        while time.monotonic() < end:
            states, code = self._states((name,), states, end)
            if code or tally.is_settled(states[0][1]):
                break

    def _presented(self, talk: CardTalk, until: float) -> Present | None:
        """The connected card with what can be told of it; None where it has left already."""
        atr = talk.atr(until)
        if atr is None:
            return None
        uid = b""
        if kind(atr) != "contact":
            try:
                answer = talk.transmit(_GET_UID, until)
            except LinkClosed:
                talk.disconnect()
                return None
            uid = answer[:-2] if answer[-2:] == b"\x90\x00" else b""
        self._link = PcscLink(self, t0=talk.t0)
        return Present(self._link, kind(atr), uid, atr)

    # The service. -------------------------------------------------------------------------------------

    def _ensured(self, end: float) -> int:
        """A context of the service, which may have been restarted. Raises NoReader where it stays away."""
        if self._context is None:
            self._context = self._asked(lambda: service.context(self._scard), end)
        return self._context

    def _talking(self, end: float) -> CardTalk:
        """The way to cards. Raises NoReader where the service stays away."""
        if self._talk is None:
            self._talk = self._asked(lambda: CardTalk(exclusive=self._exclusive), end)
        return self._talk

    def _asked(self, ask: Callable[[], _T], end: float) -> _T:
        """What the service gives, once it runs."""
        while True:
            if self._closed:
                raise LinkClosed("the field is off")
            try:
                return ask()
            except NoReader:
                if not self._again(end):
                    raise

    def _again(self, end: float) -> bool:
        """Whether there is time for another try, a moment later."""
        left = end - time.monotonic()
        if left <= 0 or self._closed:
            return False
        time.sleep(min(_PAUSE_S, left))
        return True

    def _free(self, end: float) -> None:
        """Wait until a card that stayed silent has let the reader go."""
        if self._talk is not None and self._talk.stuck:
            if not self._talk.ended(end):
                raise LinkTimeout("the reader still waits for the last card's answer; take the card away")
            self._talk = None

    def _leave(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _forget(self) -> None:
        """A service, or a reader, that comes back counts anew."""
        self._tallies = {name: Tally() for name in self._tallies}

    def _drop(self) -> None:
        """Give the service everything back."""
        self._forget()
        talk, self._talk = self._talk, None
        if talk is not None:
            talk.close()
        context, self._context = self._context, None
        if context is not None:
            self._scard.SCardReleaseContext(context)
