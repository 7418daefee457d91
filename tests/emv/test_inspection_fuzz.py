"""Cards of any kind: every one leads to a report, and none shows a number, a name or a cryptogram.

Each card is made up anew: objects of any tag in any template, in every answer; in them its number, packed at
either half of a byte or as characters, its cryptogram and its holder's name. Some answers are spoilt then:
bytes changed, or cut off. Who spoils a tag hides what it says, so of such cards the number alone is looked
for, and where a record has said it.
"""

from __future__ import annotations

import json
from random import Random

from counts import count
from strangers import GPO, READING, VISA, Looked

from paysim.codec import tlv
from paysim.codec.apdu import Command
from paysim.codec.tags import TAGS
from paysim.emv.inspection import MAX_COMMANDS
from paysim.emv.profile import AIDS
from paysim.sandbox import trace

OWN = (0xDF20, 0xDF3A, 0xC1, 0x9F7F, 0xDF8301)
NUMBERED = {0x5A, 0x57, 0x56, 0x9F6B}
PRIMITIVE = sorted({*(tag for _, tag in TAGS if not tlv.is_constructed(tag)), *OWN} - NUMBERED - {0x4F, 0x84})
NAMES = [VISA, *AIDS.values(), bytes.fromhex("A0000000041010"), bytes.fromhex("A0000002771010")]
ERRORS = [bytes.fromhex(sw) for sw in ("6A82", "6985", "6985", "6986", "6D00", "6D00", "6283", "9000")]
FIRST_RECORD = bytes.fromhex("B2010C")
TEXTS = {tag for (_, tag), row in TAGS.items() if row.format in ("an", "ans")}
HOLDER = b"QUIXOTE/ALONSO"


def number(chance: Random) -> str:
    """A card number of 15 to 19 digits with its check digit, no digit seven times in a row."""
    digits = [
        chance.choice((2, 3, 4, 5, 6, 9)),
        *(chance.randrange(10) for _ in range(chance.randrange(13, 18))),
    ]
    doubled = [digit if at % 2 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(reversed(digits))]
    return "".join(map(str, (*digits, -sum(doubled) % 10)))


class Stranger:
    """A card made up by chance. `known` says that it shows its number where a number belongs, too."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.number = number(chance)
        self.secret = bytes(chance.randrange(0x80, 0x100) for _ in range(8))
        self.known = chance.random() < 0.5
        self.spoils = self.known and chance.random() < 0.5
        self.answers: dict[bytes, bytes] = {}
        self.name = chance.choice(NAMES)
        self.error = chance.choice(ERRORS)

    def respond(self, command: bytes) -> bytes:
        if command not in self.answers:
            answer = self._answer(Command.decode(command))
            spoils = self.spoils and command[1:4] != FIRST_RECORD and self.chance.random() < 0.2
            self.answers[command] = self._spoilt(answer) if spoils else answer
        return self.answers[command]

    @property
    def secrets(self) -> list[str]:
        """What nobody is to read: more than 8 digits of the number in a row; cryptogram and name."""
        pieces = [self.number[at : at + 9] for at in range(len(self.number) - 8)]
        numbers = [*pieces, *(piece.encode().hex().upper() for piece in pieces)]
        if self.spoils:
            return numbers if any(command[1:4] == FIRST_RECORD for command in self.answers) else []
        cryptograms = [self.secret[at : at + 4].hex().upper() for at in range(5)]
        return [*numbers, *cryptograms, HOLDER.decode(), HOLDER.hex().upper()]

    def _answer(self, asked: Command) -> bytes:
        chance = self.chance
        if asked.ins == 0xB2:
            if (asked.p1, asked.p2) == (1, 0x0C) and self.known:
                packed = self.number + "F" * (len(self.number) % 2)
                return self._ok((0x70, ((0x5A, bytes.fromhex(packed)), *self._objects())))
            if chance.random() < 0.8:
                return self.error
            return self._ok((chance.choice((0x70, 0x70, 0x70, 0x77, 0xDF20)), self._objects()))
        if asked.ins == 0xA4 and asked.data.startswith(b"2PAY"):
            if chance.random() < 0.02:
                return self.error
            names = [self.name, *chance.sample(NAMES, chance.randrange(2))]
            entries = tuple((0x61, ((0x4F, name), *self._objects(0.2))) for name in names)
            return self._ok((0x6F, ((0x84, asked.data), (0xA5, ((0xBF0C, entries),)))))
        if asked.ins == 0xA4:
            name = asked.data if chance.random() < 0.9 else chance.choice(NAMES)
            inside = ((0xBF0C, self._objects()), *self._objects(0.2))
            return self._ok((0x6F, ((0x84, name), (0xA5, inside))))
        if asked.ins == GPO and chance.random() < 0.2:
            return self._ok((0x80, chance.choice((b"\x20\x00", bytes.fromhex("200008010100"))) + self.secret))
        if asked.ins == GPO:
            locator = (
                0x94,
                bytes.fromhex(chance.choice(("08010100", "0801010010010200", "5801010060010100"))),
            )
            return self._ok((0x77, ((0x82, b"\x20\x00"), locator, (0x9F26, self.secret), *self._objects())))
        tag = asked.p1 << 8 | asked.p2
        return self._ok((tag, self._value(tag))) if chance.random() < 0.5 else self.error

    def _objects(self, least: float = 0.6) -> tuple[tlv.Node, ...]:
        return tuple(self._object() for _ in range(int(self.chance.random() / (1 - least)) + 1))

    def _object(self) -> tlv.Node:
        chance = self.chance
        if chance.random() < 0.1:
            return (0x5F20, HOLDER)
        if chance.random() < 0.1:
            return (chance.choice((0x9F26, 0x9F4B)), self.secret)
        tag = chance.choice(PRIMITIVE)
        return (tag, self._value(tag))

    def _value(self, tag: int) -> bytes:
        chance = self.chance
        if chance.random() < 0.7:
            return chance.randbytes(chance.randrange(9))
        if tag == 0x9F10:  # where cryptograms are, so what comes after its head is not kept
            return b"\xff" + self._written()
        around = b"" if tag in TEXTS else b"\xff"
        return around * chance.randrange(2) + self._written() + around * chance.randrange(2)

    def _written(self) -> bytes:
        """The number as cards may write it."""
        form = self.chance.randrange(4)
        if form < 2:
            packed = "0" * form + self.number
            return bytes.fromhex(packed + "F" * (len(packed) % 2))
        if form == 2:
            return self.number.encode()
        return " ".join(self.number[at : at + 4] for at in range(0, len(self.number), 4)).encode()

    def _ok(self, node: tlv.Node) -> bytes:
        tag, value = node
        if not tlv.is_constructed(tag) and isinstance(value, tuple):
            value = tlv.encode(value)
        return tlv.encode(((tag, value),)) + b"\x90\x00"

    def _spoilt(self, answer: bytes) -> bytes:
        chance, spoilt = self.chance, bytearray(answer)
        for _ in range(chance.randrange(3)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        return bytes(spoilt[: chance.randrange(len(spoilt) + 1)] if chance.random() < 0.3 else spoilt)


def read(card: Stranger, lines: list[str]) -> str:
    """Which of a card's secrets can be read in these lines."""
    text = "\n".join(line.replace(" ", "") for line in lines).upper()
    return next((secret for secret in card.secrets if secret in text), "")


def test_any_card_leads_to_a_report_and_none_gives_itself_away() -> None:
    chance, gpos = Random(7), 0
    for run in range(count(200_000)):
        card = Stranger(chance)
        looked = Looked(card.respond, allow_gpo=chance.random() < 0.7)
        gpos += len(looked.asked(GPO))
        assert looked.report.done
        assert looked.report.not_done
        assert len(looked.commands) <= MAX_COMMANDS
        assert {command.ins for command in looked.commands} <= {*READING, GPO}
        secret = read(card, [looked.json(), *(words for _, words in looked.said)])
        assert not secret, (run, secret, looked.words())
        if run % 8:
            continue
        secret = read(card, [looked.shown()])
        assert not secret, (run, secret, looked.shown())
        kept = looked.exchanges()
        secret = read(card, [trace.text(kept, width=10_000), json.dumps(list(trace.objects(kept)))])
        assert not secret, (run, secret, trace.text(kept))
    assert gpos
