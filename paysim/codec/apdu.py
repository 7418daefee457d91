"""Command and response APDUs, short and extended, in all four cases.

Source: ISO/IEC 7816-4 5.1; EMV 4.4 Book 1 9.4 (short forms)
"""

from __future__ import annotations

from typing import Final, NamedTuple

from paysim.core.errors import DecodeError, LocalProtocolError

__all__ = ["MAX_DATA", "MAX_LE", "OK", "Command", "Response"]

MAX_DATA: Final = 65_535
"""Bytes that a command or a response carries at most, in the extended form."""

MAX_LE: Final = 65_536
"""Bytes that a command can ask for."""

OK: Final = 0x9000
"""The status word of a command that was done."""

SOURCE: Final = "ISO/IEC 7816-4 5.1"

_SHORT_DATA: Final = 255
_SHORT_LE: Final = 256
_HEADER: Final = 4


class Command(NamedTuple):
    """A command: class, instruction, two parameters, data, and how many bytes of answer are wanted.

    `le` counts bytes as the standard's Ne: 256 is what the short form writes as 00, 65,536 what the extended
    form writes as 0000; None leaves the field out. What the data says is not shown by `repr`.
    """

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = None

    def __repr__(self) -> str:
        header = f"{self.cla:02X}{self.ins:02X}{self.p1:02X}{self.p2:02X}"
        return f"Command({header}, {len(self.data)} bytes, le={self.le})"

    def encode(self) -> bytes:
        """The bytes of the command: the short form where it suffices, else the extended one.

        Raises LocalProtocolError for a header of other than bytes, and beyond MAX_DATA or MAX_LE.

        >>> Command(0x00, 0xA4, 0x04, 0x00, bytes.fromhex("A0000000031010"), 256).encode().hex().upper()
        '00A4040007A000000003101000'

        Source: ISO/IEC 7816-4 5.1
        """
        cla, ins, p1, p2, data, le = self
        size = len(data)
        try:
            header = bytes((cla, ins, p1, p2))
            if size <= _SHORT_DATA and (le is None or 1 <= le <= _SHORT_LE):
                lc = bytes((size,)) if size else b""
                return b"".join((header, lc, data, b"" if le is None else bytes((le & 0xFF,))))
        except (TypeError, ValueError):
            raise LocalProtocolError("class, instruction and parameters are bytes", source=SOURCE) from None
        return header + _extended(data, le)

    @classmethod
    def decode(cls, data: bytes) -> Command:
        """The command that these bytes are.

        Raises DecodeError where the lengths do not say how the bytes divide; `decoded_so_far` is then the
        header as a command, if there are four bytes.

        >>> Command.decode(bytes.fromhex("00B2010C00"))
        Command(00B2010C, 0 bytes, le=256)

        Source: ISO/IEC 7816-4 5.1
        """
        size = len(data)
        if size < _HEADER:
            raise DecodeError(f"a command has at least {_HEADER} bytes", offset=size, source=SOURCE)
        cla, ins, p1, p2 = data[:_HEADER]
        if size == _HEADER:
            return cls(cla, ins, p1, p2)
        first = data[_HEADER]
        if size == _HEADER + 1:
            return cls(cla, ins, p1, p2, b"", first or _SHORT_LE)
        if first:
            body, le = _divide(data, _HEADER + 1, first, 1)
        elif size == _HEADER + 3:
            body, le = b"", int.from_bytes(data[-2:], "big") or MAX_LE
        else:
            body, le = _divide(data, _HEADER + 3, int.from_bytes(data[5:7], "big"), 2)
        return cls(cla, ins, p1, p2, body, le)


class Response(NamedTuple):
    """What a card answers: data and the status word. What the data says is not shown by `repr`."""

    data: bytes = b""
    sw: int = OK

    def __repr__(self) -> str:
        return f"Response({len(self.data)} bytes, {self.sw:04X})"

    @property
    def ok(self) -> bool:
        """Whether the status word is 9000."""
        return self.sw == OK

    def encode(self) -> bytes:
        """The data and the status word behind it.

        Raises LocalProtocolError for a status word of other than two bytes, and beyond MAX_DATA.

        >>> Response(b"", 0x6A82).encode().hex().upper()
        '6A82'
        """
        data, sw = self
        if not 0 <= sw <= 0xFFFF or len(data) > MAX_DATA:
            message = f"a response is at most {MAX_DATA} bytes and a status word of two"
            raise LocalProtocolError(message, source=SOURCE)
        return data + sw.to_bytes(2, "big")

    @classmethod
    def decode(cls, data: bytes) -> Response:
        """The response that these bytes are: two at least; raises DecodeError for less, and beyond MAX_DATA.

        >>> Response.decode(bytes.fromhex("9F360200019000"))
        Response(5 bytes, 9000)
        """
        size = len(data)
        if not 2 <= size <= MAX_DATA + 2:
            message = f"a response has 2 to {MAX_DATA + 2} bytes, not {size}"
            raise DecodeError(message, offset=min(size, MAX_DATA + 2), source=SOURCE)
        return cls(bytes(data[:-2]), int.from_bytes(data[-2:], "big"))


def _extended(data: bytes, le: int | None) -> bytes:
    """What follows the header in the extended form."""
    if len(data) > MAX_DATA or (le is not None and not 1 <= le <= MAX_LE):
        message = f"a command has at most {MAX_DATA} bytes of data, and asks for 1 to {MAX_LE}"
        raise LocalProtocolError(message, source=SOURCE)
    wanted = b"" if le is None else (le & 0xFFFF).to_bytes(2, "big")
    if not data:
        return b"\x00" + wanted
    return b"\x00" + len(data).to_bytes(2, "big") + data + wanted


def _divide(data: bytes, start: int, lc: int, width: int) -> tuple[bytes, int | None]:
    """Data of `lc` bytes from `start` on and the Le behind it, where there is one: `width` bytes."""
    stop = start + lc
    left = len(data) - stop
    if lc and not left:
        return bytes(data[start:]), None
    if lc and left == width:
        return bytes(data[start:stop]), int.from_bytes(data[stop:], "big") or 1 << 8 * width
    message = f"Lc says {lc} bytes, and {len(data) - start} follow" if lc else "Lc is zero"
    header = Command(*data[:_HEADER])
    raise DecodeError(message, offset=_HEADER, path="Lc", decoded_so_far=header, source=SOURCE)
