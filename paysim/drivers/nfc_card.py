"""A card in software before a reader's field, by nfcpy: PN53x and RC-S380 chips, and the radio over UDP.

nfcpy's drivers select the card and carry frames; the rest of ISO-DEP is `emv.isodep`. The chips' drivers
answer RATS by themselves, with our ATS; over UDP we do.

Source: nfcpy 1.0.4. Assumed: a reader that does not say the size of its frames takes 256 bytes (EMV wants
it so), as far as the chip can; a card that was torn out comes back after a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from paysim.codec.isodep import FRAME_SIZES, MAX_FRAME, Ats, Rats, frame_size_index
from paysim.core.errors import DecodeError, LinkClosed, LinkTimeout, LocalProtocolError, NoReader
from paysim.emv.isodep import Apdu, Halt, IsoDep, Send, Silence, Step, Work

from .driver import SoftCard
from .nfc_frontend import MEND, STUMBLES, is_radio, nfcpy, opened

__all__ = ["UID", "CardHost"]

UID: Final = bytes.fromhex("08505301")
"""The number of our card: 08 says that it is no fixed one, and the chips insist on it."""

_AWAY_S: Final = 1.0
_FWI_CHIP: Final = 7
_FWI_RADIO: Final = 9
_LISTEN_S: Final = 0.5


class CardHost:
    """A card in software before a reader's field: PN53x and RC-S380 chips, or the radio over UDP.

    `uid` has four bytes and begins with 08. `fwi` is how long the reader lets the card think (302 us x 2^fwi,
    and as often again as it is asked); None takes 7, the most that EMV allows, and 9 over UDP. `told` hears
    what happens, for people. Raises NoReader.
    """

    def __init__(
        self,
        card: SoftCard,
        reader: str = "usb",
        *,
        uid: bytes = UID,
        fwi: int | None = None,
        historical: bytes = b"",
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        if len(uid) != 4 or uid[0] != UID[0]:
            raise LocalProtocolError("the number of a card in software has four bytes and begins with 08")
        self.card = card
        self.reader = reader
        self.commands = 0
        self._saved = getattr(card, "saved", None)
        self._frontend = opened(reader)
        self._uid = uid
        self._told = told
        most = min(self._frontend.max_recv_data_size + 2, MAX_FRAME)
        fsc = FRAME_SIZES[frame_size_index(most)]
        usual = _FWI_RADIO if is_radio(reader) else _FWI_CHIP
        self._machine = IsoDep(Ats(fsc, usual if fwi is None else fwi, historical=historical))

    def __repr__(self) -> str:
        return f"CardHost({self.reader!r})"

    def serve(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Be a card until `stop` says so, which is asked every half second.

        Raises NoReader where the chip cannot be a card, the port is taken, or the reader is gone.
        """
        nfc = nfcpy()
        patience = _Patience(self._frontend, self._machine)
        patience.start()
        try:
            while not stop():
                target = self._listened(nfc)
                if target is None:
                    continue
                self._told("a reader's field")
                torn = self._session(nfc, target, patience, stop)
                self._machine.field_off()
                self.card.power_off()
                self._told("torn out of the field" if torn else "the field is off")
                if torn:
                    self._frontend.device.mute()
                    time.sleep(_AWAY_S)
        except OSError as error:
            if self._frontend.device is not None:
                raise NoReader(f"{self.reader} is gone ({error}); {MEND}") from None
        finally:
            patience.stop()

    def close(self) -> None:
        """Take the card away."""
        self._frontend.close()

    def _listened(self, nfc: Any) -> Any:
        """What nfcpy says of a reader that has selected the card; None where none has."""
        target = nfc.clf.LocalTarget(
            "106A",
            sens_res=bytearray.fromhex("0400"),
            sdd_res=bytearray(self._uid),
            sel_res=bytearray.fromhex("20"),
            rats_res=bytearray(self._machine.ats.encode()),
        )
        try:
            found = self._frontend.listen(target, _LISTEN_S)
        except (nfc.clf.UnsupportedTargetError, NotImplementedError):
            raise NoReader(f"{self.reader}: this chip cannot be a card; see the README's table") from None
        except (nfc.clf.CommunicationError, *STUMBLES):
            return None
        return found if found is not None and found.tt4_cmd else None

    def _session(self, nfc: Any, target: Any, patience: _Patience, stop: Callable[[], bool]) -> bool:
        """A reader's field, from RATS on; whether the card was torn out of it."""
        exchange = self._frontend.exchange
        frame: Any = target.tt4_cmd
        if frame[0] != _RATS:
            self._machine.activate(self._frame_size(target))
        while not stop() and not _is_new_field(frame):
            try:
                step = self._step(frame, patience)
            except LinkClosed:
                return True
            if isinstance(step, Halt):
                self._send_last(nfc, step.frame)
                break
            try:
                frame = exchange(step.frame if isinstance(step, Send) else None, _LISTEN_S)
            except nfc.clf.BrokenLinkError:
                break
            except nfc.clf.CommunicationError:
                frame = None
        return False

    def _step(self, frame: Any, patience: _Patience) -> Step:
        """What is due after a frame, its command carried out; LinkClosed where the card is torn out."""
        if not frame:
            return _NOTHING
        step = self._machine.receive(frame)
        return self._carried_out(step.command, patience) if isinstance(step, Apdu) else step

    def _frame_size(self, target: Any) -> int:
        """The reader's, where the driver has answered RATS; not all say what the reader asked for."""
        try:
            asked = Rats.decode(bytes(target.rats_cmd or b"")).fsd
        except DecodeError:
            asked = MAX_FRAME
        return min(asked, int(self._frontend.max_send_data_size) + 2)

    def _carried_out(self, command: bytes, patience: _Patience) -> Step:
        """The first frame of the response, if there is one and the reader is still there."""
        patience.begin()
        try:
            response = self.card.respond(command)
            self.commands += 1
            if self._saved is not None:
                self._saved()
        except LinkTimeout:
            return Silence("the card does not answer")
        finally:
            there = patience.end()
        return self._machine.answer(response) if there else _NOTHING

    def _send_last(self, nfc: Any, frame: bytes) -> None:
        try:
            self._frontend.exchange(frame, 0)
        except nfc.clf.Error:
            pass


_RATS: Final = 0xE0
_NOTHING: Final = Silence("nothing was heard")


def _is_new_field(frame: Any) -> bool:
    """Whether a reader begins anew (SENS_REQ, ALL_REQ), and the old one's end was not heard."""
    return frame is not None and len(frame) == 1 and frame[0] in (0x26, 0x52)


class _Patience(threading.Thread):
    """Asks the reader for more time (S(WTX)) while the card works; the card works in its host's thread."""

    def __init__(self, frontend: Any, machine: IsoDep) -> None:
        super().__init__(name="paysim card, waiting time", daemon=True)
        self._frontend = frontend
        self._machine = machine
        self._clf = nfcpy().clf
        self._fwt_s = machine.ats.fwt_s
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._due = 0.0
        self._there = True

    def begin(self) -> None:
        """The card begins to work."""
        self._there = True
        self._due = time.monotonic() + self._fwt_s / 3

    def end(self) -> bool:
        """The card is done; whether the reader is still there."""
        with self._lock:
            self._due = 0.0
        return self._there

    def stop(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(self._fwt_s / 6):
            if self._due and time.monotonic() >= self._due:
                with self._lock:
                    if self._due and self._there:
                        self._ask()

    def _ask(self) -> None:
        """One S(WTX), and what the reader says to it; a reader that says nothing is gone."""
        step: Step = self._machine.extend()
        try:
            for _ in range(_ROUNDS):
                step = self._heard(step)
                if isinstance(step, Work):
                    self._due = time.monotonic() + self._fwt_s / 3
                    return
                if isinstance(step, Halt):
                    break
        except (self._clf.Error, OSError):
            pass
        self._there = False

    def _heard(self, step: Step) -> Step:
        frame = self._frontend.exchange(step.frame if isinstance(step, Send) else None, _LISTEN_S)
        return self._machine.receive(bytes(frame or b""))


_ROUNDS: Final = 10
