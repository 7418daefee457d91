"""The card's side of ISO-DEP: dialogues in rows, a reader written after the rules, and any bytes at all."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from byte_noise import noise
from counts import count

from paysim.codec.isodep import WTX, Ats, IBlock, RBlock, SBlock, decode, encode
from paysim.core.errors import InvalidTransition, LocalProtocolError
from paysim.emv.isodep import (
    MAX_COMMAND,
    MAX_RESPONSE,
    Apdu,
    Halt,
    IsoDep,
    Send,
    Silence,
    Stage,
    Work,
)

# Dialogues: what the reader sends, and what is due: bytes, "-" (silence), "apdu BYTES", "work", "halt BYTES";
# a row "answer BYTES" or "extend N" is the card's. The reader's frames are 16 bytes (RATS E000), 13 of data.

SELECT = "00A40400"
DIALOGUES = {
    "rats is answered once": [("E000", "0578807000"), ("E000", "-"), ("B2", "A3"), ("E080", "-")],
    "rats with a did": [("E081", "0578807000")],
    "rats with a did that is rfu": [("E08F", "-"), ("E080", "0578807000")],
    "no block before rats": [("02AA", "-"), ("B2", "-"), ("C2", "-"), ("E000", "0578807000")],
    "hlta before rats": [("5000", "-"), ("E000", "-"), ("02AA", "-")],
    "no hlta after rats": [("E000", "0578807000"), ("5000", "-"), ("B2", "A3")],
    "pps for the rate that there is": [("E000", "0578807000"), ("D01100", "D0"), ("B2", "A3")],
    "pps without a rate": [("E000", "0578807000"), ("D001", "D0"), ("B2", "A3")],
    "pps names the did of rats": [("E003", "0578807000"), ("D301", "D3")],
    "pps for another card": [("E003", "0578807000"), ("D01100", "-")],
    "pps for another rate": [("E000", "0578807000"), ("D01105", "-"), ("02AA", "apdu AA")],
    "pps once": [("E000", "0578807000"), ("D01100", "D0"), ("D01100", "-")],
    "no pps before rats": [("D01100", "-")],
    "no pps after a block": [("E000", "0578807000"), ("B2", "A3"), ("D01100", "-")],
    "no pps after what is no block": [("E000", "0578807000"), ("22", "-"), ("D01100", "-")],
    "a command": [("E000", "0578807000"), ("02" + SELECT, f"apdu {SELECT}"), ("answer 9000", "029000")],
    "numbers take turns": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("answer 9000", "029000"),
        ("03" + SELECT, f"apdu {SELECT}"),
        ("answer 6A82", "036A82"),
        ("02" + SELECT, f"apdu {SELECT}"),
    ],
    "the command was lost": [
        ("E000", "0578807000"),
        ("B2", "A3"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("answer 9000", "029000"),
        ("B3", "A2"),
        ("03" + SELECT, f"apdu {SELECT}"),
    ],
    "the answer was lost": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("answer 9000", "029000"),
        ("B2", "029000"),
        ("B2", "029000"),
        ("03" + SELECT, f"apdu {SELECT}"),
    ],
    "the command was heard twice": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("02" + SELECT, "-"),
        ("answer 9000", "029000"),
        ("02" + SELECT, "029000"),
        ("03" + SELECT, f"apdu {SELECT}"),
    ],
    "a command in pieces": [
        ("E000", "0578807000"),
        ("1200A4", "A2"),
        ("13", "A3"),
        ("120400", "A2"),
        ("0301AA", "apdu 00A4040001AA"),
        ("answer 9000", "039000"),
    ],
    "a piece was heard twice, an acknowledgement lost": [
        ("E000", "0578807000"),
        ("1200A4", "A2"),
        ("1200A4", "A2"),
        ("B2", "A2"),
        ("030400", "apdu 00A40400"),
    ],
    "a piece was lost": [("E000", "0578807000"), ("1200A4", "A2"), ("B3", "A2"), ("030400", "apdu 00A40400")],
    "an answer in pieces": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("answer " + "11" * 13 + "22" * 13 + "9000", "12" + "11" * 13),
        ("A3", "13" + "22" * 13),
        ("A2", "029000"),
        ("A3", "-"),
        ("03" + SELECT, f"apdu {SELECT}"),
    ],
    "a piece of the answer was lost": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("answer " + "11" * 13 + "9000", "12" + "11" * 13),
        ("B2", "12" + "11" * 13),
        ("A2", "12" + "11" * 13),
        ("A3", "039000"),
        ("A3", "039000"),
        ("02" + SELECT, f"apdu {SELECT}"),
    ],
    "exactly one frame": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("answer " + "11" * 11 + "9000", "02" + "11" * 11 + "9000"),
    ],
    "an answer that is broken off": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("answer " + "11" * 13 + "9000", "12" + "11" * 13),
        ("03" + SELECT, f"apdu {SELECT}"),
        ("answer 9000", "039000"),
        ("A2", "-"),
    ],
    "more time": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("extend 1", "F201"),
        ("F201", "work"),
        ("extend 59", "F23B"),
        ("F2FB", "work"),
        ("answer 9000", "029000"),
    ],
    "the wish for time was lost": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("extend 1", "F201"),
        ("B2", "F201"),
        ("F202", "-"),
        ("F201", "work"),
        ("B2", "-"),
        ("F201", "-"),
        ("answer 9000", "029000"),
    ],
    "a card that works sends nothing": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("B2", "-"),
        ("B3", "-"),
        ("A3", "-"),
        ("03AA", "-"),
        ("answer 9000", "029000"),
    ],
    "time that was not asked for": [("E000", "0578807000"), ("F201", "-")],
    "is the card there": [("E000", "0578807000"), ("B2", "A3"), ("02", "02"), ("03", "03"), ("B2", "A3")],
    "released": [
        ("E000", "0578807000"),
        ("02" + SELECT, f"apdu {SELECT}"),
        ("C2", "halt C2"),
        ("C2", "-"),
        ("02" + SELECT, "-"),
        ("E000", "-"),
    ],
    "did and nad are not supported": [
        ("E000", "0578807000"),
        ("0A01" + SELECT, "-"),
        ("0600" + SELECT, "-"),
        ("BA01", "-"),
        ("CA01", "-"),
        ("02" + SELECT, f"apdu {SELECT}"),
    ],
    "what is no block is not heard": [
        ("E000", "0578807000"),
        ("", "-"),
        ("22AA", "-"),
        ("A2AA", "-"),
        ("FFFF", "-"),
        ("02" + SELECT, f"apdu {SELECT}"),
    ],
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_a_dialogue(name: str) -> None:
    card = IsoDep()
    for number, (said, due) in enumerate(DIALOGUES[name], 1):
        word, _, rest = said.partition(" ")
        if word == "answer":
            step = card.answer(bytes.fromhex(rest))
        elif word == "extend":
            step = card.extend(int(rest))
        else:
            step = card.receive(bytes.fromhex(said))
        assert _shown(step) == due, f"row {number}"


def _shown(step: object) -> str:
    match step:
        case Send(frame):
            return frame.hex().upper()
        case Apdu(command):
            return f"apdu {command.hex().upper()}"
        case Halt(frame):
            return f"halt {frame.hex().upper()}"
        case Work():
            return "work"
        case Silence(why):
            assert why
            return "-"
    raise AssertionError(step)


def test_a_new_field_begins_anew() -> None:
    card = IsoDep()
    for frame in ("E000", "1200A4", "C2"):
        card.receive(bytes.fromhex(frame))
    assert card.stage is Stage.HALTED
    card.field_off()
    assert card.receive(b"\xe0\x80") == Send(bytes.fromhex("0578807000"))
    assert card.fsd == 256
    assert card.receive(b"\x02\xaa") == Apdu(b"\xaa")


def test_a_chip_answers_rats_itself() -> None:
    card = IsoDep()
    card.activate(64)
    assert card.receive(b"\x02\xaa") == Apdu(b"\xaa")
    assert card.answer(bytes(100)) == Send(b"\x12" + bytes(61))
    with pytest.raises(InvalidTransition):
        card.activate()


@pytest.mark.parametrize("call", [lambda card: card.answer(b"\x90\x00"), lambda card: card.extend()])
def test_nothing_is_answered_before_it_was_asked(call: Callable[[IsoDep], object]) -> None:
    card = IsoDep()
    with pytest.raises(InvalidTransition):
        call(card)
    card.receive(b"\xe0\x80")
    with pytest.raises(InvalidTransition):
        call(card)
    card.receive(b"\x02\xaa")
    card.extend()
    with pytest.raises(InvalidTransition):
        call(card)


def test_a_new_field_allows_rats_and_pps_again() -> None:
    card = IsoDep()
    for _ in range(2):
        assert card.receive(b"\xe0\x05") == Send(bytes.fromhex("0578807000"))
        assert card.receive(b"\xd5\x01") == Send(b"\xd5")
        card.field_off()


@pytest.mark.parametrize(("fsdi", "size"), [(0, 14), (1, 20), (8, 20)])
def test_an_ats_is_no_longer_than_the_readers_frames(fsdi: int, size: int) -> None:
    """TL is FSD - 2 at most; the historical bytes give way. Source: ISO/IEC 14443-4 5.2.2"""
    step = IsoDep(Ats(historical=bytes(range(15)))).receive(bytes((0xE0, fsdi << 4)))
    assert isinstance(step, Send)
    assert len(step.frame) == size
    assert Ats.decode(step.frame).historical == bytes(range(size - 5))


@pytest.mark.parametrize("ats", [Ats(did=True), Ats(nad=True)])
def test_a_card_does_not_promise_did_or_nad(ats: Ats) -> None:
    with pytest.raises(LocalProtocolError):
        IsoDep(ats)


@pytest.mark.parametrize("wtxm", [0, 60, -1])
def test_a_waiting_time_beyond_the_rule_is_not_asked_for(wtxm: int) -> None:
    card = IsoDep()
    card.receive(b"\xe0\x80")
    card.receive(b"\x02\xaa")
    with pytest.raises(LocalProtocolError):
        card.extend(wtxm)
    assert card.extend(59) == Send(b"\xf2\x3b")


def test_a_frame_beyond_the_cards_size_is_not_heard() -> None:
    card = IsoDep(Ats(fsc=16))
    card.receive(b"\xe0\x80")
    assert isinstance(card.receive(b"\x02" + bytes(14)), Silence)
    assert card.receive(b"\x02" + bytes(13)) == Apdu(bytes(13))


def test_a_command_without_end_is_dropped() -> None:
    card = IsoDep()
    card.receive(b"\xe0\x80")
    number = held = 0
    while True:
        step = card.receive(encode(IBlock(number, bytes(253), more=True)))
        if isinstance(step, Silence):
            break
        number, held = number ^ 1, held + 253
        assert held <= MAX_COMMAND
    assert card.stage is Stage.ACTIVE
    assert card.receive(encode(RBlock(number, nak=True))) == Send(encode(RBlock(number ^ 1)))
    assert card.receive(encode(IBlock(number, b"\xaa"))) == Apdu(b"\xaa"), "it goes on with a new command"


def test_empty_pieces_without_end_hold_nothing() -> None:
    card = IsoDep()
    card.receive(b"\xe0\x80")
    for number in range(1_000):
        assert card.receive(bytes((0x12 | number & 1,))) == Send(bytes((0xA2 | number & 1,)))
    assert len(card._command) == 0
    assert card.receive(b"\x02\xaa") == Apdu(b"\xaa")


def test_the_longest_command_and_response() -> None:
    card = IsoDep()
    reader = Reader(card, lambda command: command[:MAX_RESPONSE])
    assert reader.ask(bytes(MAX_COMMAND)) == bytes(MAX_RESPONSE)
    card.receive(encode(IBlock(reader.number, b"\xaa")))
    with pytest.raises(LocalProtocolError):
        card.answer(bytes(MAX_RESPONSE + 1))


def test_no_command_is_shown() -> None:
    card = IsoDep()
    card.receive(b"\xe0\x80")
    step = card.receive(b"\x02\x5a\x08\x62\x34")
    assert "62" not in f"{step!r} {card!r}"


# A reader, written after the reader's rules; frames may be lost in either direction. ----------------------


class Reader:
    """ISO/IEC 14443-4 7.5: rules A, B, 2, 4, 5, 6, 7, 9. `lost` says of each frame in turn whether it is."""

    def __init__(
        self,
        card: IsoDep,
        respond: Callable[[bytes], bytes],
        lost: Iterator[bool] | None = None,
        *,
        size: int = 8,
        times: int = 0,
    ) -> None:
        self.card = card
        self.respond = respond
        self.lost = iter(lambda: False, True) if lost is None else lost
        self.number = 0
        self.times = times
        self.waited = self.repeated = 0
        answer = card.receive(bytes((0xE0, size << 4)))
        assert isinstance(answer, Send)
        self.most = Ats.decode(answer.frame).fsc - 3

    def ask(self, command: bytes) -> bytes:
        pieces = [command[at : at + self.most] for at in range(0, len(command), self.most)]
        for at, piece in enumerate(pieces):
            more = at + 1 < len(pieces)
            block = self._exchanged(IBlock(self.number, piece, more), RBlock if more else IBlock)
            self.number ^= 1
        response = b""
        while isinstance(block, IBlock):
            response += block.data
            if not block.more:
                return response
            block = self._exchanged(RBlock(self.number), IBlock)
            self.number ^= 1
        raise AssertionError(block)

    def _exchanged(self, sent: IBlock | RBlock, wanted: type) -> IBlock | RBlock:
        """The block that answers; repeated as long as it takes."""
        frame = encode(sent)
        for _ in range(500):
            heard = self._over(frame)
            block = None if heard is None else decode(heard)
            if isinstance(block, SBlock):
                self.waited += 1
                frame = encode(SBlock(WTX, block.wtxm))  # rule 9
            elif isinstance(block, wanted) and block.number == self.number:
                return block
            elif isinstance(block, RBlock) and isinstance(sent, IBlock):
                assert block.number != self.number
                self.repeated += 1
                frame = encode(sent)  # rule 6
            else:
                chained = isinstance(sent, RBlock)
                frame = encode(RBlock(self.number, nak=not chained))  # rules 4 and 5
        raise AssertionError("no answer at all")

    def _over(self, frame: bytes) -> bytes | None:
        """The frame that comes back; None where one was lost, or nothing was due."""
        if next(self.lost):
            return None
        step = self.card.receive(frame)
        if isinstance(step, Apdu):
            self.pending = self.respond(step.command)
            self.left = self.times
            step = Work()
        if isinstance(step, Work):
            step = self.card.extend(1 + self.left % 59) if self.left else self.card.answer(self.pending)
            self.left -= 1
        if not isinstance(step, Send) or next(self.lost):
            return None
        assert len(step.frame) <= self.card.fsd - 2
        return step.frame


LENGTHS = (1, 4, 12, 13, 14, 26, 27, 253, 254, 260, 506, 507, 1000)


@pytest.mark.parametrize("size", [0, 5, 8])
@pytest.mark.parametrize("fsc", [16, 64, 256])
def test_chaining_both_ways(size: int, fsc: int) -> None:
    heard: list[bytes] = []

    def respond(command: bytes) -> bytes:
        heard.append(command)
        return command[::-1]

    reader = Reader(IsoDep(Ats(fsc=fsc)), respond, size=size)
    for length in LENGTHS:
        command = random.Random(length).randbytes(length)
        assert reader.ask(command) == command[::-1]
        assert heard.pop() == command
    assert not heard


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_frames_are_lost_and_every_command_is_done_once(share: float) -> None:
    source = random.Random(f"lost {share}")
    done: list[bytes] = []

    def respond(command: bytes) -> bytes:
        done.append(command)
        return command + b"\x90\x00"

    lost = iter(lambda: source.random() < share, None)
    reader = Reader(IsoDep(Ats(fsc=32)), respond, lost, size=1, times=2)
    sent = [source.randbytes(source.randrange(1, 120)) for _ in range(count(5_000))]
    for command in sent:
        assert reader.ask(command) == command + b"\x90\x00"
    assert done == sent
    assert reader.waited >= 2 * len(sent)
    assert reader.repeated


# Any bytes. -----------------------------------------------------------------------------------------------


def test_any_bytes_end_well() -> None:
    """A step for every frame; what is sent fits the reader, and is a block; what is held stays small."""
    seeds = [bytes.fromhex(said) for rows in DIALOGUES.values() for said, _ in rows if " " not in said]
    source = random.Random(8)
    card, done = IsoDep(Ats(fsc=32)), 0
    for number, frame in enumerate(noise(seeds, count(200_000), seed=9)):
        if number % 2 and source.randrange(3):
            frame = source.choice(seeds)
        step = card.receive(frame)
        while isinstance(step, Apdu | Work):
            done += 1
            step = (
                card.extend(source.randrange(1, 60))
                if source.randrange(4) == 0
                else card.answer(source.randbytes(source.choice((2, 2, 40))))
            )
        assert isinstance(step, Send | Silence | Halt)
        if isinstance(step, Send):
            assert 1 <= len(step.frame) <= card.fsd - 2
        if isinstance(step, Halt) or source.randrange(50) == 0:
            card.field_off()
            if source.randrange(10):
                card.receive(bytes((0xE0, source.randrange(9) << 4)))
    assert done > 100
