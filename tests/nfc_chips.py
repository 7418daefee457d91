"""NFC chips in software, as nfcpy's own drivers see them: PN53x, RC-S956, RC-S380, in ACR122U and Arygon too.

A chip stands for nfcpy's USB or serial transport, so nfcpy's drivers are what runs between it and paysim. Two
chips meet in an `Ether`. What a chip does is written after what nfcpy's drivers ask of it: none was at hand.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

ACK = bytes.fromhex("0000FF00FF00")
OFF = b"field off"
GARBLED = b"garbled"


class Ether:
    """Between a reader's chip and a card's: a field, and one frame at a time; `judge` says what arrives."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._identity: bytes | None = None  # SENS_RES, three bytes of NFCID1, SEL_RES
        self._selected = False
        self._to_card: list[bytes] = []
        self._to_reader: list[bytes] = []
        self.judge: Callable[[str, bytes], bytes | None] = lambda way, frame: frame

    # The reader's.

    def selects(self, within_s: float = 0.03) -> bytes | None:
        with self._news:
            self._news.wait_for(lambda: self._identity is not None, within_s)
            self._selected = self._identity is not None
            self._to_card.clear()
            return self._identity

    def asks(self, frame: bytes, within_s: float) -> bytes | None:
        with self._news:
            self._to_reader.clear()
            heard = self.judge("command", frame) if self._selected else None
            if heard is not None:
                self._to_card.append(heard)
                self._news.notify_all()
            self._news.wait_for(lambda: bool(self._to_reader), within_s)
            return self._to_reader.pop() if self._to_reader else None

    def goes_off(self) -> None:
        with self._news:
            if self._selected:
                self._selected, self._identity = False, None
                self._to_card.append(OFF)
                self._news.notify_all()

    # The card's.

    def listens(self, identity: bytes, within_s: float) -> bytes | None:
        """The first frame after selection."""
        with self._news:
            self._identity, self._selected = identity, False
            self._to_card.clear()
            self._news.notify_all()
            self._news.wait_for(lambda: bool(self._to_card), within_s)
            if not self._selected:
                self._identity = None
            heard = self._to_card.pop(0) if self._to_card else None
            return None if heard == OFF else heard

    def hears(self, within_s: float) -> bytes | None:
        with self._news:
            self._news.wait_for(lambda: bool(self._to_card), within_s)
            return self._to_card.pop(0) if self._to_card else None

    def answers(self, frame: bytes) -> None:
        with self._news:
            heard = self.judge("answer", frame) if self._selected else None
            if heard is not None:
                self._to_reader[:] = [heard]
                self._news.notify_all()

    def leaves(self) -> None:
        with self._news:
            self._identity = None


class Chip:
    """A transport of nfcpy's; after `breaks_after` calls it raises `breaks_with`, until `plugged_in`."""

    TYPE = "USB"
    manufacturer_name = product_name = "paysim's chip"
    port = "/dev/ttyNONE0"
    baudrate = 115_200

    def __init__(self, ether: Ether) -> None:
        self.ether = ether
        self.breaks_after = -1
        self.breaks_with: Exception = OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        self.calls = 0
        self.commands: list[int] = []
        self._said: list[bytes] = []
        self._pending: Callable[[float], bytes | None] | None = None

    def _call(self) -> None:
        self.calls += 1
        if 0 <= self.breaks_after < self.calls:
            raise self.breaks_with

    def open(self, *_: Any) -> None: ...

    def close(self) -> None: ...

    def plugged_in(self) -> None:
        self.breaks_after, self.calls = -1, 0
        self._said, self._pending = [], None

    def write(self, frame: Any) -> None:
        self._call()
        if self._pending is not None:  # a command is broken off; what it had to say already is said first
            self._finish(0)
            self._pending = None
        frame = bytes(frame).lstrip(b"\0")
        if frame and frame != ACK.lstrip(b"\0"):
            self._said.append(ACK)
            self._pending = self._begun(b"\0\0" + frame)

    def read(self, timeout: int = 0) -> bytearray:
        self._call()
        if not self._said:
            self._finish(timeout / 1000 if timeout else 5.0)
        if not self._said:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        return bytearray(self._said.pop(0))

    def _finish(self, within_s: float) -> None:
        if self._pending is not None:
            said = self._pending(within_s)
            if said is not None:
                self._said.append(said)
                self._pending = None

    def _begun(self, frame: bytes) -> Callable[[float], bytes | None]:
        raise NotImplementedError


class Pn53x(Chip):
    """A PN531, PN532, PN533 or RC-S956 by its `kind`; `status` is what a card's commands are met with."""

    def __init__(self, ether: Ether, kind: str = "pn533") -> None:
        super().__init__(ether)
        self.kind = kind
        self.status = 0
        if kind == "pn532":
            self.TYPE = "TTY"

    def _begun(self, frame: bytes) -> Callable[[float], bytes | None]:
        long = frame[3:5] == b"\xff\xff"
        body = frame[8:-2] if long else frame[5:-2]
        code, data = body[1], body[2:]
        self.commands.append(code)
        work = self._work(code, data)

        def finish(within_s: float) -> bytes | None:
            said = work(within_s)
            return None if said is None else self._framed(bytes((0xD5, code + 1)) + said)

        return finish

    @staticmethod
    def _framed(body: bytes) -> bytes:
        check = bytes((-sum(body) & 0xFF, 0))
        if len(body) < 256:
            return b"\0\0\xff" + bytes((len(body), -len(body) & 0xFF)) + body + check
        size = len(body).to_bytes(2)
        return b"\0\0\xff\xff\xff" + size + bytes((-sum(size) & 0xFF,)) + body + check

    def _work(self, code: int, data: bytes) -> Callable[[float], bytes | None]:
        ether, kind = self.ether, self.kind
        match code:
            case 0x00:  # Diagnose, the line
                said = data[1:] if kind == "rcs956" else data
            case 0x02:  # GetFirmwareVersion
                said = b"\x04\x02" if kind == "pn531" else bytes((0x32 if kind == "pn532" else 0x33, 2, 7, 7))
            case 0x06:  # ReadRegister: what CIU_FIFOData holds where nobody answered SENS_REQ
                said = b"\x26" * (len(data) // 2)
                said = b"\0" + said if kind == "pn533" else said
            case 0x08:  # WriteRegister
                said = bytes(len(data) // 3) if kind == "rcs956" else b"\0" * (kind == "pn533")
            case 0x32:  # RFConfiguration; item 1 is the field
                if data[0] == 1 and not data[1] & 1:
                    ether.goes_off()
                said = b""
            case 0x4A:  # InListPassiveTarget
                identity = ether.selects() if data[1] == 0 else None
                said = b"\0"
                if identity is not None:
                    uid = b"\x08" + identity[2:5]
                    said = b"\x01\x01" + identity[1::-1] + identity[5:] + b"\x04" + uid
            case 0x42:  # InCommunicateThru
                return lambda within_s: self._through(data, within_s)
            case 0x8C:  # TgInitAsTarget
                return lambda within_s: _begins(b"\x08", ether.listens(data[1:7], within_s))
            case 0x88:  # TgGetInitiatorCommand
                status = self.status
                return lambda within_s: bytes((status,)) if status else self._next(within_s)
            case 0x90:  # TgResponseToInitiator
                if not self.status:
                    ether.answers(data)
                said = bytes((self.status,))
            case 0x16:  # PowerDown, the field with it
                ether.goes_off()
                said = b"\0"
            case _:
                said = b""
        return lambda within_s: said

    def _through(self, data: bytes, within_s: float) -> bytes:
        heard = self.ether.asks(data, within_s - 0.1)
        return b"\x01" if heard is None else b"\x02" if heard == GARBLED else b"\0" + heard

    def _next(self, within_s: float) -> bytes | None:
        heard = self.ether.hears(within_s)
        if heard == OFF:
            return b"\x29"
        return b"\x02" if heard == GARBLED else _begins(b"\0", heard)


def _begins(head: bytes, frame: bytes | None) -> bytes | None:
    return None if frame is None else head + frame


class Acr122(Pn53x):
    """A PN532 behind the CCID of an ACR122U: commands and what is said to them in pseudo-APDUs."""

    def __init__(self, ether: Ether, kind: str = "acr122") -> None:
        super().__init__(ether, "pn532")
        self.TYPE = "USB"

    def write(self, frame: Any) -> None:
        self._call()
        apdu = bytes(frame[10:])
        self._said, self._pending = [], lambda _within_s: _ccid(b"\x90\0")
        if apdu == bytes.fromhex("FF00480000"):
            self._pending = lambda _within_s: _ccid(b"ACR122U214")
        elif apdu.startswith(bytes.fromhex("FF000000")):
            code, data = apdu[6], apdu[7:]
            self.commands.append(code)
            work = self._work(code, data)

            def finish(within_s: float) -> bytes | None:
                said = work(within_s)
                return None if said is None else _ccid(bytes((0xD5, code + 1)) + said + b"\x90\0")

            self._pending = finish


def _ccid(said: bytes) -> bytes:
    return b"\x80" + len(said).to_bytes(4, "little") + bytes(5) + said


class Arygon(Pn53x):
    """A PN532 (ADRB) or PN531 (ADRA) behind the controller of an Arygon reader."""

    def __init__(self, ether: Ether, kind: str) -> None:
        super().__init__(ether, "pn532" if kind == "adrb" else "pn531")
        self.TYPE = "TTY"
        self.tty = self
        self.timeout = 0.0
        self._line = b""

    def open(self, port: str, baudrate: int = 115_200) -> None:
        self.baudrate = baudrate

    def write(self, frame: Any) -> None:
        if bytes(frame[:1]) != b"0":
            super().write(frame[1:] if frame[:1] == b"2" else frame)
            return
        self._call()
        here = 115_200 if self.kind == "pn532" else 9_600
        self._line = b"FF00000600V1.0\r\n" if self.baudrate == here or frame[1:2] != b"a" else b""
        if bytes(frame) in (b"0at05", b"0ah05"):
            self._line = b"FF0000\r\n"
        if bytes(frame) == b"0au":
            self.ether.goes_off()

    def readline(self) -> bytes:
        self._call()
        return self._line


class RcS380(Chip):
    """A NFC Port-100. `status` is the error that each frame of a card's is met with."""

    def __init__(self, ether: Ether, kind: str = "rcs380") -> None:
        super().__init__(ether)
        self.kind = kind
        self.status = 0

    def _begun(self, frame: bytes) -> Callable[[float], bytes | None]:
        size = int.from_bytes(frame[5:7], "little")
        body = frame[8 : 8 + size]
        code, data = body[1], body[2:]
        self.commands.append(code)

        def finish(within_s: float) -> bytes | None:
            said = bytes((0xD7, code + 1)) + self._said_to(code, data)
            length = len(said).to_bytes(2, "little")
            head = b"\0\0\xff\xff\xff" + length + bytes((-sum(length) & 0xFF,))
            return head + said + bytes((-sum(said) & 0xFF, 0))

        return finish

    def _said_to(self, code: int, data: bytes) -> bytes:
        match code:
            case 0x04:  # InCommRF
                return self._asked(data[2:], int.from_bytes(data[:2], "little") / 10_000)
            case 0x06:  # SwitchRF
                if data == b"\0":
                    self.ether.goes_off()
                return b"\0"
            case 0x20 | 0x22:
                return b"\x11\x01"
            case 0x48:  # TgCommRF
                return self._served(data)
            case _:
                return b"\0"

    def _asked(self, frame: bytes, within_s: float) -> bytes:
        identity = self.ether._identity
        if frame == b"\x26":
            identity = self.ether.selects()
            return _silent() if identity is None else bytes(5) + identity[:2]
        if frame[:1] == b"\x93" and identity is not None:
            uid = b"\x08" + identity[2:5]
            check = uid[0] ^ uid[1] ^ uid[2] ^ uid[3]
            return bytes(5) + (uid + bytes((check,)) if frame[1] == 0x20 else identity[5:])
        if frame[:1] == b"\x05":  # SENSB_REQ
            return _silent()
        heard = self.ether.asks(frame, within_s)
        if heard is None:
            return _silent()
        return b"\x04\0\0\0\0" if heard == GARBLED else bytes(5) + heard

    def _served(self, data: bytes) -> bytes:
        automatic, identity = data[4], data[5:11]
        within_s, answer = int.from_bytes(data[31:33], "little") / 1000, data[33:]
        if self.status:
            return b"\x0b\0\x03" + self.status.to_bytes(4, "little")
        if answer:
            self.ether.answers(answer)
        if not within_s:
            return b"\x0b\0\x03" + bytes(4)
        if automatic and not answer and not self.ether._selected:
            heard = self.ether.listens(identity, within_s)
        else:
            heard = self.ether.hears(within_s)
        if heard == OFF:
            return b"\x0b\0\0" + (0x400).to_bytes(4, "little")
        if heard is None:
            return b"\x0b\0\x03" + (0x80).to_bytes(4, "little")
        if heard == GARBLED:
            return b"\x0b\0\x03" + (0x04).to_bytes(4, "little")
        return b"\x0b\0\x03" + bytes(4) + heard


def _silent() -> bytes:
    return (0x80).to_bytes(4, "little") + b"\0"


CHIPS: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "pn531": (Pn53x, ("usb:04cc:0531", "usb:054c:0193")),
    "pn532": (Pn53x, ("tty:USB0:pn532", "tty:USB1:pn532")),
    "pn533": (Pn53x, ("usb:04e6:5591", "usb:04e6:5593")),
    "rcs956": (Pn53x, ("usb:054c:02e1",)),
    "acr122": (Acr122, ("usb:072f:2200",)),
    "adra": (Arygon, ("tty:USB2:arygon",)),
    "adrb": (Arygon, ("tty:USB3:arygon",)),
    "rcs380": (RcS380, ("usb:054c:06c3", "usb:054c:06c1")),
}


class Bench:
    """Chips plugged into this machine, by nfcpy's paths."""

    def __init__(self, patch: pytest.MonkeyPatch, nfc: Any) -> None:
        self.chips: dict[str, Chip] = {}
        bench = self

        class Usb:
            TYPE = "USB"

            @staticmethod
            def find(path: str) -> Any:
                if not path.startswith("usb"):
                    return None
                at = list(bench.chips).index(path) if path in bench.chips else -1
                return [(*(int(part, 16) for part in path.split(":")[1:]), 1, at)] if at >= 0 else []

            def __new__(cls, bus: int, at: int) -> Any:
                return bench._plugged(list(bench.chips)[at])

        class Tty:
            @staticmethod
            def find(path: str) -> Any:
                if not path.startswith("tty") or path not in bench.chips:
                    return None
                return [path], path.split(":")[2], False

            def __new__(cls, path: str) -> Any:
                return bench._plugged(path)

        patch.setattr(nfc.clf.device.transport, "USB", Usb)
        patch.setattr(nfc.clf.device.transport, "TTY", Tty)
        allowed = SimpleNamespace(access=lambda *_: True, strerror=os.strerror, R_OK=os.R_OK, W_OK=os.W_OK)
        patch.setattr(nfc.clf.device, "os", allowed)

    def plug(self, kind: str, ether: Ether) -> tuple[str, Any]:
        """A chip of this kind, and the path that names it."""
        made, paths = CHIPS[kind]
        path = next(path for path in paths if path not in self.chips)
        chip = made(ether, kind)
        self.chips[path] = chip
        return path, chip

    def _plugged(self, path: str) -> Chip:
        chip = self.chips[path]
        if 0 <= chip.breaks_after <= chip.calls:
            raise chip.breaks_with
        return chip
