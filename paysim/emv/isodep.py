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

Source: ISO/IEC 14443-4 5 (activation), 7.5 (rules 1 to 13, C, D, E).
Assumed: an I-block with the card's own number is the one it has had, heard twice: it is answered by the last
frame again and not carried out twice, which the standard would allow. Assumed: RATS may be repeated until the
first block comes. DID and NAD are not supported, as ATS says, and blocks with them are ignored.
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
_PPS: Final = bytes.fromhex("D01100")
_PPSS: Final = b"\xd0"


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
    """A card as it is when anticollision is over, before RATS. `fsd` is the reader's frame size."""

    __slots__ = (
        "_command",
        "_fresh",
        "_last",
        "_number",
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
        self.field_off()

    def __repr__(self) -> str:
        return f"IsoDep({self.stage}, block {self._number}, fsd {self.fsd})"

    def field_off(self) -> None:
        """The field is gone, or was: everything begins anew."""
        self.stage = Stage.LISTENING
        self.fsd = MAX_FRAME
        self._number = 1  # rule C
        self._fresh = True
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
        self.fsd = fsd
        self.stage = Stage.ACTIVE

    # What the reader sends. -------------------------------------------------------------------

    def receive(self, frame: bytes) -> Step:
        """What is due after this frame, whatever bytes it has (EDC is the chip's to check)."""
        if self.stage is Stage.HALTED:
            return Silence("halted")
        if self._fresh and frame[:1] in _BEFORE_BLOCKS:
            return self._activation(bytes(frame))
        if self.stage is Stage.LISTENING:
            return Silence("no RATS yet")
        if len(frame) > self.ats.fsc - _EDC:
            return Silence("a frame beyond FSC")
        try:
            block = decode(frame)
        except DecodeError as error:
            return Silence(str(error))
        if block.did is not None or (isinstance(block, IBlock) and block.nad is not None):
            return Silence("DID and NAD are not supported")
        self._fresh = False
        if isinstance(block, IBlock):
            return self._i_block(block)
        return self._r_block(block) if isinstance(block, RBlock) else self._s_block(block)

    def _activation(self, frame: bytes) -> Step:
        """RATS, and the request for another bit rate, which stays what it is. Source: 5.1, 5.3"""
        if frame == _PPS and self.stage is Stage.ACTIVE:
            return Send(_PPSS)
        try:
            self.fsd = Rats.decode(frame).fsd
        except DecodeError as error:
            return Silence(str(error))
        self.stage = Stage.ACTIVE
        return Send(self.ats.encode())

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


_BEFORE_BLOCKS: Final = (b"\xe0", b"\xd0")
"""What RATS and PPS begin with; no block does."""
