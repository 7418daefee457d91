"""NFC readers, by nfcpy: terminals for cards of Type 4A and 4B.

    nfc:usb  nfc:usb:054c:06c3  nfc:usb:001:023     a USB reader: the first, by its make, by its place
    nfc:tty:USB0:pn532  nfc:tty:AMA0                a serial board
    nfc:udp:HOST:PORT                               nfcpy's radio over UDP: two processes tap

What a reader's chip can do is in the README's table. nfcpy makes the reader's side of ISO-DEP, and reads one
card at a time: where several lie in its field, it takes one. What it leaves out is done here: waiting times
(S(WTX)) in the middle of a chain or lost on their way, an ATS without its interface bytes, the guard time
after it. Cards of Type 4B are as nfcpy gives them and have not been tried. The card's side is
`drivers.nfc_card`.

Source: nfcpy 1.0.4; JR/T 0025.11-2013 8.7, 13.2 (EMV's rules for readers). Assumed: between two cards the
field is off for 6 ms (EMV Contactless Interface: 5.1 at least).
"""

from __future__ import annotations

import time
from typing import Any, Final

from paysim.codec.isodep import MAX_WTXM, WTX, Ats, SBlock, encode
from paysim.core.errors import DecodeError, LinkClosed, LinkTimeout, LocalProtocolError, NoReader
from paysim.emv.outcome import Decision

from .driver import TIMEOUT_S, Present
from .nfc_frontend import MEND, close, failures, faults, is_radio, losses, nfcpy, opened

__all__ = ["Nfc", "NfcField", "NfcLink"]

_FIELD_OFF_S: Final = 0.006
_SENSE_S: Final = 0.05

_MAX_HEARD: Final = 100_000
"""Bytes that one answer is heard for; the longest response has 65,537."""

_MISSES: Final = 2
"""So often a card does not answer before it is taken for gone."""

_MOST_FAILED: Final = 20
"""So often in a row a chip may fail to look for cards before it is opened anew."""

_RATS: Final = 0xE0
_S_WTX: Final = 0xF2
_LONGER: Final = 1.1
"""A reader's times are longer than the card's, by 384/4096. Source: JR/T 0025.11-2013 annex A"""

_MOST_ALONE_S: Final = 0.5
"""EMV allows a card 77 ms (SFGI 8)."""


class Nfc:
    """Readers that nfcpy drives."""

    name = "nfc"

    def readers(self) -> list[str]:
        """The USB readers that nfcpy knows, as usb:BUS:DEVICE; serial boards are not looked for."""
        nfc = nfcpy()
        try:
            found = nfc.clf.transport.USB.find("usb") or []
        except faults():
            return []
        known = nfc.clf.device.usb_device_map
        return [f"usb:{int(bus):03}:{int(at):03}" for vid, pid, bus, at in found if (vid, pid) in known]

    def open(self, reader: str = "") -> NfcField:
        """Turn a reader's field on: the first USB reader, or the one named. Raises NoReader."""
        return NfcField(reader or "usb")


class NfcLink:
    """A link to a card of Type 4; nothing is known of its `decisions`."""

    decisions: tuple[Decision, ...] = ()

    def __init__(self, guard: _Guard, tag: Any, timeout_s: float) -> None:
        self._guard = guard
        self._tag = tag
        self._timeout_s = timeout_s
        self._open = True

    def transceive(self, data: bytes) -> bytes:
        """The card's response; raises LinkTimeout, LinkClosed, and LocalProtocolError for no bytes at all."""
        if not self._open:
            raise LinkClosed("there is no card in the field")
        if not data:
            raise LocalProtocolError("a command has bytes")
        nfc = nfcpy()
        self._guard.begin(self._timeout_s)
        try:
            answer = bytes(self._tag.transceive(bytes(data)))
        except nfc.tag.TagCommandError as error:
            self._open = False
            if error.errno == nfc.tag.TIMEOUT_ERROR:
                raise LinkTimeout("the card does not answer, or asks for time without end") from None
            raise LinkClosed(f"the card's answer is garbled ({error})") from None
        except faults() as error:
            self._open = False
            raise LinkClosed(f"card or reader is gone ({error})") from None
        return answer

    def is_present(self) -> bool:
        """Whether the card answers when asked (R(NAK))."""
        for _ in range(_MISSES):
            self._guard.begin(self._timeout_s)
            try:
                if self._tag.is_present:
                    return True
            except faults():
                return False
        return False

    def close(self) -> None:
        """The field is off."""
        self._open = False


class _Guard:
    """What nfcpy's tag takes for the frontend: it ends every command, however long a card talks or begs."""

    def __init__(self, frontend: Any) -> None:
        self.target = frontend.target
        self.ats = Ats()
        self._frontend = frontend
        self._clf = nfcpy().clf
        self.begin(TIMEOUT_S)

    def begin(self, timeout_s: float) -> None:
        self._deadline = time.monotonic() + timeout_s
        self._heard = 0

    @property
    def max_send_data_size(self) -> int:
        return int(self._frontend.max_send_data_size)

    @property
    def max_recv_data_size(self) -> int:
        return int(self._frontend.max_recv_data_size)

    def exchange(self, data: Any, timeout: float) -> Any:
        """What nfcpy gets for this frame: no S(WTX), and an ATS that is whole."""
        answer = self._exchanged(data, timeout)
        if data[0] == _RATS:
            return self._whole(answer)
        while answer[0] & 0xFE == _S_WTX:  # what nfcpy takes for one
            answer = self._granted(answer, timeout)
        return answer

    def _granted(self, wish: Any, timeout: float) -> Any:
        """What comes after the time that a card asks for. Source: JR/T 0025.11-2013 13.2.2"""
        wtxm = min(wish[1] & 0x3F, MAX_WTXM) if wish[0] == _S_WTX and len(wish) == 2 else 0
        if not wtxm:
            raise self._clf.ProtocolError("a wish for no time")
        return self._exchanged(encode(SBlock(WTX, wtxm)), wtxm * timeout)

    def _whole(self, answer: Any) -> Any:
        """An ATS with the bytes that nfcpy looks for; the card is left alone as long as that asks for."""
        try:
            self.ats = Ats.decode(bytes(answer))
        except DecodeError as error:
            raise self._clf.ProtocolError(str(error)) from None
        time.sleep(min(self.ats.sfgt_s * _LONGER, _MOST_ALONE_S))
        return bytearray(self.ats._replace(historical=b"").encode())

    def _exchanged(self, data: Any, timeout: float) -> Any:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._clf.TimeoutError("the time for this command is over")
        answer = self._frontend.exchange(data, min(timeout, left))
        if not answer:
            raise self._clf.TransmissionError("an empty frame")
        self._heard += len(answer)
        if self._heard > _MAX_HEARD:
            raise self._clf.ProtocolError("more than a response can hold")
        return answer


class NfcField:
    """A reader of nfcpy's with its field on; see `drivers.driver`. Raises NoReader."""

    def __init__(self, path: str, timeout_s: float = TIMEOUT_S) -> None:
        self.reader = path
        self._timeout_s = timeout_s
        self._frontend: Any = opened(path)
        self._link: NfcLink | None = None
        self._failed = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"NfcField({self.reader!r})"

    def wait(self, timeout_s: float) -> Present | None:
        """The card that comes or lies there, reset; None where none came in time.

        Raises LinkClosed where the field is closed, NoReader where the reader is gone and does not come back.
        """
        deadline = time.monotonic() + timeout_s
        self._forget()
        while True:
            if self._closed:
                raise LinkClosed("this field is closed")
            last = time.monotonic() >= deadline
            try:
                found = self._sensed(max(deadline - time.monotonic(), 0))
            except losses() as error:
                self._let_go()
                if last:
                    raise NoReader(f"{self.reader} is gone ({error}); {MEND}") from None
                found = None
            except NoReader:
                if last:
                    raise
                found = None
            if found is not None or last:
                return found
            time.sleep(min(_SENSE_S, max(deadline - time.monotonic(), 0)) if self._is_chip() else 0)

    def _sensed(self, left_s: float) -> Present | None:
        nfc = nfcpy()
        if self._frontend is None:
            self._frontend = opened(self.reader)
        frontend = self._frontend
        rates = ["106A", "106B"] if self._is_chip() else ["106A"]
        if not self._is_chip():
            frontend.device.patience_s = min(_SENSE_S, max(left_s, 0.005))
        try:
            target = frontend.sense(*map(nfc.clf.RemoteTarget, rates))
        except failures():
            self._failed += self._is_chip()
            if self._failed == _MOST_FAILED:
                self._failed = 0
                self._let_go()
            return None
        finally:
            if not self._is_chip():
                frontend.device.patience_s = None
        self._failed = 0
        return None if target is None else self._activated(target)

    def _activated(self, target: Any) -> Present | None:
        """The card behind what was sensed; None where it is none of Type 4, or went."""
        nfc = nfcpy()
        is_a = target.brty.endswith("A")
        if is_a and not (target.sel_res and target.sel_res[0] & 0x20):
            return None
        guard = _Guard(self._frontend)
        try:
            tag = nfc.tag.tt4.activate(guard, target)
        except failures():
            return None
        self._link = NfcLink(guard, tag, self._timeout_s)
        if not is_a:
            return Present(self._link, "iso14443-4 type b", bytes(target.sensb_res[1:5]))
        return Present(self._link, "iso14443-4", bytes(target.sdd_res), guard.ats.atr())

    def removed(self, timeout_s: float) -> bool:
        """Whether the field was empty, or got so in time."""
        deadline = time.monotonic() + timeout_s
        while self._link is not None and self._frontend is not None:
            if not self._link.is_present():
                break
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(_SENSE_S, left))
        self._forget()
        return True

    def close(self) -> None:
        """Let go of card and reader; closing twice is harmless."""
        self._closed = True
        if self._link is not None:
            self._link.close()
            self._link = None
        self._let_go()

    def _is_chip(self) -> bool:
        return not is_radio(self.reader)

    def _forget(self) -> None:
        """The link of before is over; its card loses the field."""
        if self._link is None:
            return
        self._link.close()
        self._link = None
        if self._frontend is not None:
            try:
                with self._frontend.lock:
                    self._frontend.device.mute()
            except faults():
                self._let_go()
            time.sleep(_FIELD_OFF_S)

    def _let_go(self) -> None:
        frontend, self._frontend = self._frontend, None
        if frontend is not None:
            close(frontend)
