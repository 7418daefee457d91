"""The card's side of ISO-DEP: frames of a contactless reader in, frames and whole APDUs out.

    LISTENING --RATS--> ACTIVE --I-block--> BUSY --answer()--> ACTIVE, SENDING while more follows
                          |                  `--extend()--> WAITING --S(WTX)--> BUSY
                          |--I-block, more--> RECEIVING --the last--> BUSY
                          `--S(DESELECT)--> HALTED

The machine sends nothing by itself: each call returns the step that is due. A frame that breaks a rule is
met with silence, and the reader, which hears nothing, asks again (R(NAK)).

| what is heard | what is due | rule |
|---|---|---|
| an I-block, the last one | the APDU, and its answer by an I-block | 10 |
| an I-block, more to follow | R(ACK) | 2 |
| an I-block without bytes | the same back: the reader asks whether the card is there | 7.5.6 |
| R(ACK) or R(NAK) with the card's own block number | the last frame again | 11 |
| R(NAK) with another number | R(ACK) | 12 |
| R(ACK) with another number, while sending | the next piece | 13 |
| S(WTX) after ours | nothing: the card goes on working | 3, 9 |
| S(DESELECT) | the same back; the card is halted | 8 |

RATS is answered once, and PPS as the first frame after it alone, for the bit rate that there is. DID and NAD
are not supported, as ATS says, and blocks with them are ignored.

Source: ISO/IEC 14443-4 5 (activation; 5.6: what RATS and PPS are answered to), 7.5 (rules 1 to 13, C, D, E);
JR/T 0025.11-2013 10.2 and 13 (the same in EMV's words).
Assumed: an I-block with the card's own number is the one it has had, heard twice: it is answered by the last
frame again and not carried out twice; the standard leaves it to the card not to answer at all.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from paysim.codec.apdu import MAX_DATA
from paysim.codec.isodep import DESELECT, MAX_FRAME, WTX, Ats, IBlock, Rats, RBlock, SBlock, decode, encode
from paysim.core.errors import DecodeError, InvalidTransition, LocalProtocolError

__all__ = [
    "MAX_COMMAND",
    "MAX_RESPONSE",
    "Apdu",
    "Halt",
    "IsoDep",
    "Send",
    "Silence",
    "Stage",
    "Step",
    "Work",
]

MAX_COMMAND: Final = MAX_DATA + 9
"""Bytes of the longest command: header, extended Lc, data, extended Le."""

MAX_RESPONSE: Final = MAX_DATA + 2

_OVERHEAD: Final = 3  # PCB and EDC
_EDC: Final = 2
_ATS_HEAD: Final = 5  # TL, T0, TA(1), TB(1), TC(1)
_HLTA: Final = bytes.fromhex("5000")
_PPSS: Final = 0xD0
_SAME_RATE: Final = (bytes.fromhex("1100"), bytes.fromhex("01"))
"""PPS0, and PPS1 where there is one: both ways at 106 kbit/s."""


class Stage(StrEnum):
    """Where the card stands between two frames."""

    LISTENING = "LISTENING"
    ACTIVE = "ACTIVE"
    RECEIVING = "RECEIVING"
    BUSY = "BUSY"
    WAITING = "WAITING"
    SENDING = "SENDING"
    HALTED = "HALTED"


class Send(NamedTuple):
    """Send this frame, and hand what comes back to `receive`."""

    frame: bytes


class Silence(NamedTuple):
    """Send nothing, and listen on; `why` is for a trace."""

    why: str


class Apdu(NamedTuple):
    """Carry this command out, and hand the response to `answer`; `extend` while that takes long."""

    command: bytes

    def __repr__(self) -> str:
        return f"Apdu({len(self.command)} bytes)"


class Work(NamedTuple):
    """The reader grants the time that was asked for: work on."""


class Halt(NamedTuple):
    """Send this frame; then the card is halted, until the field is new or it is woken."""

    frame: bytes


Step = Send | Silence | Apdu | Work | Halt


class IsoDep:
    """A card as it is when anticollision is over, before RATS. `fsd` is the reader's frame size.

    Raises LocalProtocolError where `ats` promises DID or NAD.
    """

    __slots__ = (
        "_command",
        "_did",
        "_last",
        "_number",
        "_pps",
        "_rest",
        "_sent",
        "_size",
        "_wanted",
        "ats",
        "fsd",
        "stage",
    )

    def __init__(self, ats: Ats | None = None) -> None:
        self.ats = Ats() if ats is None else ats
        if self.ats.did or self.ats.nad:
            raise LocalProtocolError("this card knows neither DID nor NAD", source="ISO/IEC 14443-4 5.2.6")
        self.field_off()

    def __repr__(self) -> str:
        return f"IsoDep({self.stage}, block {self._number}, fsd {self.fsd})"

    def field_off(self) -> None:
        """The field is gone, or was: everything begins anew."""
        self.stage = Stage.LISTENING
        self.fsd = MAX_FRAME
        self._number = 1  # rule C
        self._did = 0
        self._pps = False
        self._last = b""
        self._wanted = 0
        self._command: list[bytes] = []
        self._size = 0
        self._rest = b""
        self._sent = 0

    def activate(self, fsd: int = MAX_FRAME) -> None:
        """A chip has answered RATS by itself, with these `ats`; the next frame is a block."""
        if self.stage is not Stage.LISTENING:
            raise InvalidTransition(self.stage, "activate")
        self._active(fsd, 0)

    # What the reader sends. -------------------------------------------------------------------

    def receive(self, frame: bytes) -> Step:
        """What is due after this frame, whatever bytes it has (EDC is the chip's to check)."""
        if self.stage is Stage.HALTED:
            return Silence("halted")
        if self.stage is Stage.LISTENING:
            return self._activation(bytes(frame))
        may_be_pps, self._pps = self._pps, False
        if may_be_pps and frame[:1] == bytes((_PPSS | self._did,)) and frame[1:] in _SAME_RATE:
            return Send(bytes(frame[:1]))
        if len(frame) > self.ats.fsc - _EDC:
            return Silence("a frame beyond FSC")
        try:
            block = decode(frame)
        except DecodeError as error:
            return Silence(str(error))
        if block.did is not None or (isinstance(block, IBlock) and block.nad is not None):
            return Silence("DID and NAD are not supported")
        if isinstance(block, IBlock):
            return self._i_block(block)
        return self._r_block(block) if isinstance(block, RBlock) else self._s_block(block)

    def _activation(self, frame: bytes) -> Step:
        """RATS and its answer, which is no longer than the reader's frames. Source: 5.2.2, 5.6.1"""
        if frame == _HLTA:
            self.stage = Stage.HALTED
            return Silence("halted before RATS")
        try:
            rats = Rats.decode(frame)
        except DecodeError as error:
            return Silence(f"no RATS yet: {error}")
        self._active(rats.fsd, rats.did)
        historical = self.ats.historical[: rats.fsd - _EDC - _ATS_HEAD]
        return Send(self.ats._replace(historical=historical).encode())

    def _active(self, fsd: int, did: int) -> None:
        self.stage, self.fsd = Stage.ACTIVE, fsd
        self._did, self._pps = did, True

    def _i_block(self, block: IBlock) -> Step:
        if block.number == self._number:
            return self._again("a block heard twice")
        if self.stage in (Stage.BUSY, Stage.WAITING):
            return Silence("busy")
        if self.stage is not Stage.RECEIVING:
            self._command, self._size = [], 0
        self._size += len(block.data)
        if self._size > MAX_COMMAND:
            self._command, self._size, self.stage = [], 0, Stage.ACTIVE
            return Silence("a command beyond every length")
        if block.data:
            self._command.append(block.data)
        self._rest = b""
        self._number ^= 1  # rule D
        if block.more:
            self.stage = Stage.RECEIVING
            return self._send(encode(RBlock(self._number)))
        if not self._size:
            self.stage = Stage.ACTIVE
            return self._send(encode(IBlock(self._number)))
        self.stage = Stage.BUSY
        command, self._command = b"".join(self._command), []
        return Apdu(command)

    def _r_block(self, block: RBlock) -> Step:
        if block.number == self._number:
            return self._again("nothing was sent yet")
        if self.stage is Stage.BUSY:
            return Silence("busy")
        if block.nak:
            return Send(encode(RBlock(self._number)))  # rule 12: this is not the last block
        if self.stage is not Stage.SENDING:
            return Silence("an acknowledgement of nothing")
        self._number ^= 1  # rule E
        return self._piece()

    def _s_block(self, block: SBlock) -> Step:
        if block.kind == DESELECT:
            self.stage, self._command, self._rest = Stage.HALTED, [], b""
            return Halt(encode(SBlock(DESELECT)))
        if self.stage is not Stage.WAITING or block.wtxm != self._wanted:
            return Silence("a waiting time that was not asked for")
        self.stage = Stage.BUSY
        return Work()

    def _again(self, why_not: str) -> Step:
        """The last frame once more (rule 11); a card that works has none."""
        return Send(self._last) if self._last and self.stage is not Stage.BUSY else Silence(why_not)

    # What the card sends. ---------------------------------------------------------------------

    def answer(self, response: bytes) -> Send:
        """The first frame of the response to the APDU that was handed out.

        Raises InvalidTransition where none is open, LocalProtocolError for more than MAX_RESPONSE bytes.
        """
        if self.stage is not Stage.BUSY:
            raise InvalidTransition(self.stage, "answer")
        if len(response) > MAX_RESPONSE:
            raise LocalProtocolError(f"a response has at most {MAX_RESPONSE} bytes, not {len(response)}")
        self._rest, self._sent = bytes(response), 0
        return self._piece()

    def extend(self, wtxm: int = 1) -> Send:
        """The wish for `wtxm` (1 to 59) more frame waiting times, while an APDU is open. Source: 7.3"""
        if self.stage is not Stage.BUSY:
            raise InvalidTransition(self.stage, "extend")
        frame = encode(SBlock(WTX, wtxm))
        self.stage, self._wanted = Stage.WAITING, wtxm
        return self._send(frame)

    def _piece(self) -> Send:
        """The next piece of the response: an I-block no greater than the reader's frames."""
        most = self.fsd - _OVERHEAD
        piece = self._rest[self._sent : self._sent + most]
        self._sent += len(piece)
        more = self._sent < len(self._rest)
        self.stage = Stage.SENDING if more else Stage.ACTIVE
        if not more:
            self._rest = b""
        return self._send(encode(IBlock(self._number, piece, more)))

    def _send(self, frame: bytes) -> Send:
        self._last = frame
        return Send(frame)
