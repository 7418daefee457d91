"""The blocks of ISO-DEP, which carry APDUs over a contactless link, and the RATS and ATS that begin it.

A frame here ends before its two check bytes (EDC), which chip or radio adds; frame sizes count them:

    I-block  000c DN1n [DID] [NAD] INF    c: chained, more follows; D, N: DID, NAD present; n: block number
    R-block  101k D01n [DID]              k: 1 asks for a repetition (NAK), 0 acknowledges (ACK)
    S-block  11ww D010 [DID] [INF]        ww: 00 DESELECT, 11 WTX (INF: power level, WTXM)

Source: ISO/IEC 14443-4 5 (RATS, ATS), 7.1 (blocks); NFC Forum Digital Protocol, ISO-DEP
"""

from __future__ import annotations

from typing import Final, NamedTuple

from paysim.core.errors import DecodeError, LocalProtocolError

__all__ = [
    "DESELECT",
    "FRAME_SIZES",
    "MAX_FRAME",
    "MAX_WTXM",
    "WTX",
    "Ats",
    "Block",
    "IBlock",
    "RBlock",
    "Rats",
    "SBlock",
    "decode",
    "encode",
    "frame_size_index",
]

FRAME_SIZES: Final = (16, 24, 32, 40, 48, 64, 96, 128, 256)
"""Bytes of a frame, PCB to EDC, by FSDI or FSCI. Source: ISO/IEC 14443-4 table 1"""

MAX_FRAME: Final = 256
"""A greater index (9 to F) is read as this size, as EMV has it; later ISO editions give 9 to C to more bytes.

Source: JR/T 0025.11-2013 8.7.1.2, 8.7.2.2.2
"""

DESELECT: Final = 0b00
WTX: Final = 0b11

SOURCE: Final = "ISO/IEC 14443-4 7.1"

_RATS: Final = 0xE0
_DID: Final = 0b1000
_NAD: Final = 0b0100
_CHAINED: Final = 0b1_0000
_NAK: Final = 0b1_0000
_MAX_DID: Final = 14
MAX_WTXM: Final = 59


class IBlock(NamedTuple):
    """A piece of an APDU. What it says is not shown by `repr`."""

    number: int
    data: bytes = b""
    more: bool = False
    did: int | None = None
    nad: int | None = None

    def __repr__(self) -> str:
        return f"IBlock({self.number}, {len(self.data)} bytes{', more' * self.more})"


class RBlock(NamedTuple):
    """An acknowledgement, or with `nak` the wish for a repetition."""

    number: int
    nak: bool = False
    did: int | None = None


class SBlock(NamedTuple):
    """DESELECT, or WTX with how many frame waiting times are asked for (1 to 59) and the power level."""

    kind: int
    wtxm: int = 0
    power: int = 0
    did: int | None = None


Block = IBlock | RBlock | SBlock


# Blocks. --------------------------------------------------------------------------------------------------


def decode(frame: bytes) -> Block:
    """The block that these bytes are, without EDC.

    Raises DecodeError for a PCB of no block, RFU values, or more or fewer bytes than the block has;
    `decoded_so_far` is the PCB.

    >>> decode(bytes.fromhex("0200A4040000"))
    IBlock(0, 5 bytes)
    >>> decode(b"\\xb3")
    RBlock(number=1, nak=True, did=None)
    """
    if not frame:
        raise DecodeError("a block has at least its PCB", path="PCB", source=SOURCE)
    pcb = frame[0]
    kind = pcb >> 6
    if kind == 0b00 and pcb & 0b0010_0010 == 0b10:
        return _i_block(frame, pcb)
    if kind == 0b10 and pcb & 0b0010_0110 == 0b10_0010:
        did, at = _did(frame, pcb)
        _end(frame, at, pcb)
        return RBlock(pcb & 1, bool(pcb & _NAK), did)
    if kind == 0b11 and pcb & 0b0111 == 0b010:
        return _s_block(frame, pcb)
    raise DecodeError(f"{pcb:02X} begins no block", path="PCB", decoded_so_far=pcb, source=SOURCE)


def _i_block(frame: bytes, pcb: int) -> IBlock:
    if pcb in _PLAIN:
        return IBlock(pcb & 1, bytes(frame[1:]), pcb & _CHAINED != 0)
    did, at = _did(frame, pcb)
    nad = None
    if pcb & _NAD:
        nad, at = _byte(frame, at, "NAD", pcb), at + 1
    return IBlock(pcb & 1, bytes(frame[at:]), bool(pcb & _CHAINED), did, nad)


_PLAIN: Final = frozenset((0x02, 0x03, 0x12, 0x13))
"""I-blocks without DID and NAD."""


def _s_block(frame: bytes, pcb: int) -> SBlock:
    did, at = _did(frame, pcb)
    kind = pcb >> 4 & 0b11
    if kind == DESELECT:
        _end(frame, at, pcb)
        return SBlock(DESELECT, did=did)
    if kind != WTX:
        raise DecodeError(f"{pcb:02X} is RFU", path="PCB", decoded_so_far=pcb, source=SOURCE)
    inf = _byte(frame, at, "INF", pcb)
    _end(frame, at + 1, pcb)
    wtxm = inf & 0x3F
    if not 1 <= wtxm <= MAX_WTXM:
        raise DecodeError(f"WTXM {wtxm} is RFU", offset=at, path="INF", decoded_so_far=pcb, source=SOURCE)
    return SBlock(WTX, wtxm, inf >> 6, did)


def _did(frame: bytes, pcb: int) -> tuple[int | None, int]:
    """The DID, where there is one, and where the block goes on."""
    if not pcb & _DID:
        return None, 1
    did = _byte(frame, 1, "DID", pcb) & 0x0F  # the power level in b8 and b7 is nobody's here
    if did > _MAX_DID:
        raise DecodeError("DID 15 is RFU", offset=1, path="DID", decoded_so_far=pcb, source=SOURCE)
    return did, 2


def _byte(frame: bytes, at: int, name: str, pcb: int) -> int:
    if at >= len(frame):
        raise DecodeError(f"{name} is missing", offset=at, path=name, decoded_so_far=pcb, source=SOURCE)
    return frame[at]


def _end(frame: bytes, at: int, pcb: int) -> None:
    if len(frame) != at:
        message = f"{len(frame) - at} bytes too many"
        raise DecodeError(message, offset=at, path="INF", decoded_so_far=pcb, source=SOURCE)


def encode(block: Block) -> bytes:
    """The block's bytes, without EDC. Raises LocalProtocolError for numbers that do not fit.

    >>> encode(IBlock(1, b"\\x90\\x00")).hex()
    '039000'
    >>> encode(SBlock(WTX, 2)).hex()
    'f202'
    """
    if isinstance(block, IBlock):
        pcb = 0b10 | _bit(block.number) | (_CHAINED if block.more else 0)
        if block.did is None and block.nad is None:
            return bytes((pcb,)) + block.data
        head = _head(pcb | (0 if block.nad is None else _NAD), block.did)
        return head + (b"" if block.nad is None else _fits(block.nad, 0xFF, "NAD")) + block.data
    if isinstance(block, RBlock):
        return _head(0b1010_0010 | _bit(block.number) | (_NAK if block.nak else 0), block.did)
    if block.kind == DESELECT:
        return _head(0b1100_0010, block.did)
    if block.kind != WTX or not (1 <= block.wtxm <= MAX_WTXM and 0 <= block.power <= 3):
        raise LocalProtocolError(
            f"an S-block is DESELECT or a WTX of 1 to {MAX_WTXM}, not {block}", source=SOURCE
        )
    return _head(0b1111_0010, block.did) + bytes((block.power << 6 | block.wtxm,))


def _bit(number: int) -> int:
    if number not in (0, 1):
        raise LocalProtocolError(f"block numbers are 0 and 1, not {number}", source=SOURCE)
    return number


def _head(pcb: int, did: int | None) -> bytes:
    return bytes((pcb,)) if did is None else bytes((pcb | _DID,)) + _fits(did, _MAX_DID, "DID")


def _fits(value: int, most: int, name: str) -> bytes:
    if not 0 <= value <= most:
        raise LocalProtocolError(f"{name} is 0 to {most}, not {value}", source=SOURCE)
    return bytes((value,))


# RATS and ATS. --------------------------------------------------------------------------------------------


class Rats(NamedTuple):
    """The reader's request for answer to select: the size of its frames, and the DID it gives the card."""

    fsd: int = MAX_FRAME
    did: int = 0

    def encode(self) -> bytes:
        """The request's two bytes.

        >>> Rats().encode().hex()
        'e080'
        """
        did = _fits(self.did, _MAX_DID, "DID")[0]
        return bytes((_RATS, frame_size_index(self.fsd) << 4 | did))

    @classmethod
    def decode(cls, frame: bytes) -> Rats:
        """The request that these bytes are; raises DecodeError for others.

        >>> Rats.decode(bytes.fromhex("E050"))
        Rats(fsd=64, did=0)

        Source: ISO/IEC 14443-4 5.1
        """
        source = "ISO/IEC 14443-4 5.1"
        if len(frame) != 2 or frame[0] != _RATS:
            raise DecodeError("RATS is E0 and one byte", path="RATS", source=source)
        did = frame[1] & 0x0F
        if did > _MAX_DID:
            raise DecodeError("DID 15 is RFU", offset=1, path="DID", source=source)
        return cls(_frame_size(frame[1] >> 4), did)


class Ats(NamedTuple):
    """A card's answer to select.

    `fsc` is the size of its frames, `fwi` how long it may be silent (FWT is 302 us x 2^FWI), `sfgi` how long
    it wants to be left alone after this, in the same way; `did` and `nad` say what it understands in blocks,
    `historical` who it is. `rates` is TA(1): the bit rates beyond 106 kbit/s.
    """

    fsc: int = MAX_FRAME
    fwi: int = 7
    sfgi: int = 0
    did: bool = False
    nad: bool = False
    rates: int = 0x80
    historical: bytes = b""

    @property
    def fwt_s(self) -> float:
        """The frame waiting time in seconds. Source: ISO/IEC 14443-4 7.2"""
        return 4096 / 13.56e6 * (1 << self.fwi)

    @property
    def sfgt_s(self) -> float:
        """The start-up frame guard time in seconds, none for an SFGI of 0. Source: ISO/IEC 14443-4 5.2.5"""
        return 4096 / 13.56e6 * (1 << self.sfgi) if self.sfgi else 0.0

    def encode(self) -> bytes:
        """The answer's bytes, TA(1), TB(1) and TC(1) always among them.

        >>> Ats().encode().hex()
        '0578807000'

        Source: ISO/IEC 14443-4 5.2
        """
        if not (0 <= self.fwi <= 14 and 0 <= self.sfgi <= 14 and len(self.historical) <= 15):
            message = "FWI and SFGI are 0 to 14, historical bytes 15 at most"
            raise LocalProtocolError(message, source="ISO/IEC 14443-4 5.2")
        rates = _fits(self.rates, 0xFF, "TA(1)")[0]
        times, knows = self.fwi << 4 | self.sfgi, self.did << 1 | self.nad
        body = bytes((0x70 | frame_size_index(self.fsc), rates, times, knows)) + self.historical
        return bytes((len(body) + 1,)) + body

    @classmethod
    def decode(cls, frame: bytes) -> Ats:
        """The answer that these bytes are, with the standard's values for what it leaves out.

        Raises DecodeError where TL is not the number of bytes, or T0 announces more than there are.

        >>> Ats.decode(bytes.fromhex("0578807002"))
        Ats(fsc=256, fwi=7, sfgi=0, did=True, nad=False, rates=128, historical=b'')

        Source: ISO/IEC 14443-4 5.2. Assumed: an FWI of 15 (RFU) is read as 4, an SFGI of 15 as 0
        """
        source = "ISO/IEC 14443-4 5.2"
        if not frame or frame[0] != len(frame):
            raise DecodeError(f"TL says nothing of {len(frame)} bytes", path="TL", source=source)
        if len(frame) == 1:
            return cls(fsc=32, fwi=4, did=True, rates=0)
        t0, at = frame[1], 2
        interface = {0x10: 0x00, 0x20: 0x40, 0x40: 0x02}
        for bit in interface:
            if t0 & bit:
                if at >= len(frame):
                    raise DecodeError(
                        "T0 announces more bytes", offset=at, path="T0", decoded_so_far=t0, source=source
                    )
                interface[bit], at = frame[at], at + 1
        rates, times, knows = interface.values()
        fwi, sfgi = times >> 4, times & 0x0F
        return cls(
            _frame_size(t0 & 0x0F),
            fwi if fwi < 15 else 4,
            sfgi if sfgi < 15 else 0,
            bool(knows & 2),
            bool(knows & 1),
            rates,
            bytes(frame[at:]),
        )

    def atr(self) -> bytes:
        """The ATR that a PC/SC reader makes of the historical bytes.

        >>> Ats().atr().hex()
        '3b80800101'

        Source: PC/SC part 3 3.1.3.2.3.1
        """
        body = bytes((0x80 | len(self.historical) & 0x0F, 0x80, 0x01)) + self.historical[:15]
        check = 0
        for byte in body:
            check ^= byte
        return b"\x3b" + body + bytes((check,))


def frame_size_index(size: int) -> int:
    """The index (FSDI, FSCI) of the greatest frame that is not greater than `size` bytes.

    Raises LocalProtocolError below the smallest frame.

    >>> frame_size_index(256), frame_size_index(255)
    (8, 7)
    """
    for index in range(len(FRAME_SIZES) - 1, -1, -1):
        if FRAME_SIZES[index] <= size:
            return index
    message = f"a frame has at least {FRAME_SIZES[0]} bytes, not {size}"
    raise LocalProtocolError(message, source="ISO/IEC 14443-4 5.1")


def _frame_size(index: int) -> int:
    return FRAME_SIZES[index] if index < len(FRAME_SIZES) else MAX_FRAME
