"""A card in software before a reader's field, by nfcpy: PN53x and RC-S380 chips, and the radio over UDP.

nfcpy's drivers select the card and carry frames; the rest of ISO-DEP is `emv.isodep`. The chips' drivers
answer RATS by themselves, with our ATS; over UDP we do.

Source: nfcpy 1.0.4. Assumed: a reader whose RATS no driver tells takes frames of 256 bytes (EMV wants it so),
as far as the chip can send them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from paysim.codec.isodep import FRAME_SIZES, MAX_FRAME, Ats, Rats, frame_size_index
from paysim.core.errors import DecodeError, LinkClosed, LinkTimeout, NoReader, UsageError
from paysim.emv.isodep import MAX_RESPONSE, Apdu, Halt, IsoDep, Send, Silence, Step, Work

from .driver import SoftCard, UnfitReader
from .nfc_frontend import MEND, close, failures, faults, is_radio, losses, nfcpy, opened

__all__ = ["UID", "CardHost"]

UID: Final = bytes.fromhex("08505301")
"""The number of our card: 08 says that it is no fixed one, and the chips insist on it."""

_EDC: Final = 2
_MAX_FWI: Final = 14
_MAX_HISTORICAL: Final = 15
_FWI_CHIP: Final = 7
_FWI_RADIO: Final = 9
_LISTEN_S: Final = 0.5
_PAUSE_S: Final = 0.05

_HALTED_S: Final = 0.05
"""How long a reader that has halted the card is heard out: a PN53x keeps what it has to say of it (that the
field is off), and would say it in place of the answer to its next command."""

_MOST_FAILED: Final = 20
"""So often in a row a chip may fail to listen before it is taken for broken."""

_MOST_GARBLED: Final = 100
"""So many frames in a row may be garbled before the field is taken for gone."""


class CardHost:
    """A card for a reader's field; `insert` it, then `serve` it in a thread or here.

    `reader` is a chip that can be a card, or udp:HOST:PORT, where it is listened for readers. `uid` has four
    bytes and begins with 08. `fwi` is how long a reader is to let the card think (302 us x 2^fwi, and as long
    again as often as it is asked); None takes 7, the most that EMV allows, and 9 over UDP. `tear_at` takes
    the card out at that command (from 1, of each time in the field), before it has it unless it is `heard`.
    `said` is called with what a person is to know. One thread serves; `remove` may be called by any.
    """

    def __init__(
        self,
        card: SoftCard,
        reader: str = "usb",
        *,
        uid: bytes = UID,
        fwi: int | None = None,
        historical: bytes = b"",
        tear_at: int = 0,
        heard: bool = True,
        said: Callable[[str], None] | None = None,
    ) -> None:
        if len(uid) != len(UID) or uid[0] != UID[0]:
            raise UsageError("the number of a card in software has four bytes and begins with 08")
        if fwi is not None and not 0 <= fwi <= _MAX_FWI:
            raise UsageError(f"FWI is 0 to {_MAX_FWI}, not {fwi!r}")
        if len(historical) > _MAX_HISTORICAL:
            raise UsageError(f"a card has {_MAX_HISTORICAL} historical bytes at most")
        self.reader = reader
        self.tear_at = tear_at
        self.heard = heard
        self.commands = 0
        """How many commands it has had in this field."""
        self._card = card
        self._saved: Callable[[], None] = getattr(card, "saved", _nothing)
        self._said = said or _nothing
        self._uid = uid
        usual = _FWI_RADIO if is_radio(reader) else _FWI_CHIP
        self._ats = Ats(fwi=usual if fwi is None else fwi, historical=historical)
        self._machine = IsoDep(self._ats)
        self._failed = 0
        self._late: bytes | None = None
        """The response that waits for the reader to grant the time that it was asked for."""
        self._rats = b""
        """The frame that a PN53x was selected with."""
        self._frontend: Any = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"CardHost({self.reader!r})"

    @property
    def inserted(self) -> bool:
        """Whether the card is there for a reader to find."""
        return self._frontend is not None

    def insert(self) -> None:
        """Put the card there; a reader finds it once it is served.

        Raises NoReader where there is no chip at that place, or another listens at that port.
        """
        if self._frontend is not None:
            return
        frontend = opened(self.reader)
        if is_radio(self.reader):
            frontend.device.be_card()
        self._overhear(frontend.device)
        most = min(frontend.max_recv_data_size + _EDC, MAX_FRAME)
        self._machine = IsoDep(self._ats._replace(fsc=FRAME_SIZES[frame_size_index(most)]))
        self._frontend = frontend

    def remove(self) -> None:
        """Take the card away, within half a second. Nothing where it is not there."""
        frontend, self._frontend = self._frontend, None
        if frontend is not None:
            close(frontend)

    def serve(self) -> None:
        """Answer until the card is taken away or torn.

        Raises NoReader as `insert` does and where the reader is gone or broken, UnfitReader where its chip
        cannot be a card.
        """
        self.insert()
        frontend = self._frontend
        patience = _Patience(frontend, self._machine)
        patience.start()
        try:
            while frontend is not None and self._turn(frontend, patience):
                pass
        except losses() as error:
            if frontend is self._frontend:
                raise NoReader(f"{self.reader} is gone ({error}); {MEND}") from None
        finally:
            patience.stop()
            if frontend is self._frontend:
                self.remove()

    def start(self) -> None:
        """Insert the card and serve it in a thread of its own, which ends when it is taken away or torn."""
        self.stop()
        self.insert()
        self._thread = threading.Thread(target=self.serve, name="paysim card by nfc", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take the card away and wait for the thread's end."""
        self.remove()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    # One field. ---------------------------------------------------------------------------------------

    def _turn(self, frontend: Any, patience: _Patience) -> bool:
        """A reader's field, if there is one by and by; whether the card is still there after it."""
        target = self._listened(frontend)
        if target is None:
            return frontend is self._frontend
        self._said("a reader has selected the card")
        self.commands = 0
        try:
            return not self._session(frontend, target, patience)
        finally:
            self._machine.field_off()
            self._card.power_off()
            self._said("the field is off")

    def _listened(self, frontend: Any) -> Any:
        """What nfcpy says of a reader that has selected the card; None where none has."""
        clf = nfcpy().clf
        target = clf.LocalTarget(
            "106A",
            sens_res=bytearray.fromhex("0400"),
            sdd_res=bytearray(self._uid),
            sel_res=bytearray.fromhex("20"),
            rats_res=bytearray(self._machine.ats.encode()),
        )
        try:
            found = frontend.listen(target, _LISTEN_S)
        except (clf.UnsupportedTargetError, NotImplementedError):
            raise UnfitReader(f"{self.reader}: this chip cannot be a card; see the README's table") from None
        except failures() as error:
            self._failed += 1
            if self._failed == _MOST_FAILED:
                self._failed = 0
                raise NoReader(f"{self.reader} fails again and again ({error}); {MEND}") from None
            time.sleep(_PAUSE_S)
            return None
        self._failed = 0
        return found if found is not None and found.tt4_cmd else None

    def _session(self, frontend: Any, target: Any, patience: _Patience) -> bool:
        """A reader's field, from RATS on; whether the card was torn out of it."""
        clf = nfcpy().clf
        frame: Any = target.tt4_cmd
        garbled, self._late, patience.gone = 0, None, False
        if frame[0] != _RATS:
            self._machine.activate(self._frame_size(frontend, target))
        while frontend is self._frontend and garbled < _MOST_GARBLED and not _is_new_field(frame):
            try:
                step = self._step(frame, patience)
            except LinkClosed:
                self._said("the card is torn out of the field")
                return True
            if patience.gone:
                break
            halts = isinstance(step, Halt)
            try:
                frame = frontend.exchange(
                    step.frame if isinstance(step, Send | Halt) else None, _HALTED_S if halts else _LISTEN_S
                )
                garbled = 0 if frame else garbled + 1
            except clf.TimeoutError:
                frame = None
            except (clf.TransmissionError, clf.ProtocolError):
                frame = None
                garbled += 1
            except failures():
                break
            if halts:
                break
        return False

    def _step(self, frame: Any, patience: _Patience) -> Step:
        """What is due after a frame, its command carried out; LinkClosed where the card is torn out."""
        if not frame:
            return _NOTHING
        step = self._machine.receive(frame)
        if isinstance(step, Apdu):
            return self._carried_out(step.command, patience)
        if isinstance(step, Work) and self._late is not None:
            response, self._late = self._late, None
            return self._machine.answer(response)
        return step

    def _carried_out(self, command: bytes, patience: _Patience) -> Step:
        """The first frame of the response, if there is one and the reader waits for it."""
        self.commands += 1
        torn = self.commands == self.tear_at
        if torn and not self.heard:
            raise LinkClosed("torn")
        patience.begin()
        try:
            response = self._card.respond(command)
        except LinkTimeout:
            return Silence("the card does not answer")
        finally:
            self._saved()
            granted = patience.end()
        if torn:
            raise LinkClosed("torn")
        if len(response) > MAX_RESPONSE:
            self._said(f"the card's answer of {len(response)} bytes is longer than a response")
            raise LinkClosed("too long")
        if granted:
            return self._machine.answer(response)
        self._late = response
        return _NOTHING

    def _overhear(self, device: Any) -> None:
        """Keep the RATS that nfcpy's driver for PN53x answers, and says nothing of."""
        begin = getattr(device, "_init_as_target", None)
        if begin is None:
            return

        def begun(*about: Any) -> Any:
            heard = begin(*about)
            self._rats = bytes(heard[1:])
            return heard

        device._init_as_target = begun

    def _frame_size(self, frontend: Any, target: Any) -> int:
        """The reader's, where the driver has answered RATS."""
        try:
            asked = Rats.decode(bytes(target.rats_cmd or self._rats)).fsd
        except DecodeError:
            asked = MAX_FRAME
        return min(asked, int(frontend.max_send_data_size) + _EDC)


def _nothing(*_: object) -> None:
    pass


_RATS: Final = 0xE0
_NOTHING: Final = Silence("nothing was heard")


def _is_new_field(frame: Any) -> bool:
    """Whether a reader begins anew (SENS_REQ, ALL_REQ), and the old one's end was not heard."""
    return frame is not None and len(frame) == 1 and frame[0] in (0x26, 0x52)


class _Patience(threading.Thread):
    """Asks the reader for more time (S(WTX)) while the card works; the card works in its host's thread.

    `gone` is whether reader or field went meanwhile; who begins a new field says that it is not.
    """

    def __init__(self, frontend: Any, machine: IsoDep) -> None:
        super().__init__(name="paysim card, waiting time", daemon=True)
        self._frontend = frontend
        self._machine = machine
        self._fwt_s = machine.ats.fwt_s
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._due = 0.0
        self._granted = True
        self.gone = False

    def begin(self) -> None:
        """The card begins to work."""
        self._granted = True
        self._due = time.monotonic() + self._fwt_s / 3

    def end(self) -> bool:
        """The card is done; whether the reader waits for it: it was not asked for time, or has granted it."""
        with self._lock:
            self._due = 0.0
        return self._granted

    def stop(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(self._fwt_s / 6):
            if self._due and time.monotonic() >= self._due:
                with self._lock:
                    if self._due and self._granted:
                        self._ask()

    def _ask(self) -> None:
        """One S(WTX), and what the reader says to it; where it says nothing, it may do so later."""
        step: Step = self._machine.extend()
        self._granted = False
        try:
            for _ in range(_ROUNDS):
                step = self._heard(step)
                if isinstance(step, Work):
                    self._granted = True
                    self._due = time.monotonic() + self._fwt_s / 3
                if isinstance(step, Work | Halt):
                    return
        except nfcpy().clf.TimeoutError:
            pass
        except faults():
            self.gone = True

    def _heard(self, step: Step) -> Step:
        clf = nfcpy().clf
        try:
            frame = self._frontend.exchange(
                step.frame if isinstance(step, Send) else None, max(_LISTEN_S, 2 * self._fwt_s)
            )
        except (clf.TransmissionError, clf.ProtocolError):
            return _NOTHING
        if _is_new_field(frame):
            raise clf.BrokenLinkError("another field")
        step = self._machine.receive(bytes(frame or b""))
        if isinstance(step, Halt):
            self.gone = True
            self._frontend.exchange(step.frame, _HALTED_S)
        return step


_ROUNDS: Final = 10
"""So many frames are heard for one S(WTX): what is garbled, and R(NAK) where it was lost."""
