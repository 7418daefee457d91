"""Any bytes from a card end in an outcome: mutated answers, whole sessions by a grammar, bounded."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from counts import count
from emv_dialogue import ScriptedCard, bought, keys, play

from paysim.codec import tlv
from paysim.emv.entry_point import MAX_COMMANDS, Done, EntryPoint, Poll, Send, Step
from paysim.emv.outcome import IssuerResponse, Result, Status
from paysim.emv.reader import UNIONPAY, VISA, Reader, reader

PURCHASE = bought(1000)
STATUS_WORDS = (0x9000, 0x6A82, 0x6A83, 0x6283, 0x6984, 0x6985, 0x6986, 0x6700, 0x6D00, 0x61FF, 0x0000)
INTERESTING = (0x00, 0x01, 0x1F, 0x5F, 0x70, 0x77, 0x7F, 0x80, 0x81, 0x82, 0x9F, 0xFE, 0xFF)
INPUTS = 200_000


def both() -> Reader:
    return reader(VISA, UNIONPAY, ca_keys=keys().ca_keys)


def recorded(script: str) -> dict[bytes, bytes]:
    """A good tap: command -> answer."""
    card = ScriptedCard(script)
    said: dict[bytes, bytes] = {}

    class Recorder:
        def respond(self, command: bytes) -> bytes | None:
            said[command] = card.respond(command) or b""
            return said[command]

    step = play(EntryPoint(both(), PURCHASE), Recorder()).step
    assert isinstance(step, Done)
    assert step.result.status is Status.APPROVED
    return said


def mutate(draw: random.Random, answer: bytes) -> bytes:
    """The answer with a few bytes changed, cut, doubled or thrown away; now and then any bytes."""
    data = bytearray(answer)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at = draw.randrange(len(data) + 1)
        kind = draw.randrange(7)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = draw.choice(INTERESTING)
        elif kind == 2:
            del data[at : at + draw.randrange(1, 9)]
        elif kind == 3:
            data[at:at] = draw.randbytes(draw.randrange(1, 9))
        elif kind == 4:
            data[at:at] = data[at : at + draw.randrange(1, 40)]
        elif kind == 5:
            data[-2:] = draw.choice(STATUS_WORDS).to_bytes(2)
        elif draw.random() < 0.2:
            data = bytearray(draw.randbytes(draw.randrange(60)))
    return bytes(data)


def finish(machine: EntryPoint, step: Step, answers: dict[bytes, bytes], polls: int) -> Step:
    """Drives the machine to its end, or until so many polls have passed."""
    for _ in range(4 * MAX_COMMANDS):
        if isinstance(step, Done):
            return step
        if isinstance(step, Poll):
            polls -= 1
            if polls < 0:
                return step
            step = machine.cards(1)
        else:
            step = machine.receive(answers.get(step.command, b"\x6a\x82"))
    raise AssertionError("the machine does not end")


def check(machine: EntryPoint, result: Result) -> None:
    """What holds of every outcome: an offline approval is authenticated, the codes are codes."""
    encoded = result.encode()
    assert len(encoded[0xDF8129]) == 8
    assert len(encoded[0xDF8115]) == 6
    words = " ".join(decision.words for decision in machine.trace)
    if result.status is Status.APPROVED:
        assert "authentication succeeded" in words
    if result.status in (Status.APPROVED, Status.ONLINE_REQUEST):
        assert result.data_record is not None
        assert all(isinstance(value, bytes) for value in result.data_record.values())
    else:
        assert result.data_record is None


@pytest.mark.parametrize("script", ["v", "u"])
def test_mutated_answers_end_in_an_outcome(script: str) -> None:
    draw = random.Random(f"answers {script}")
    good = recorded(script)
    commands = list(good)
    settings = both()
    seen: set[str] = set()
    for _ in range(count(INPUTS // 2)):
        victim = draw.choice(commands)
        changed = mutate(draw, good[victim])
        machine = EntryPoint(settings, PURCHASE)
        answers = {**good, victim: changed}
        step = finish(machine, machine.start(), answers, 2)
        if isinstance(step, Done):
            check(machine, step.result)
            seen.add(step.result.status.name)
    assert {"APPROVED", "DECLINED", "ONLINE_REQUEST", "END_APPLICATION"} <= seen


# Whole sessions, by a grammar. ----------------------------------------------------------------------

TAGS = (
    *(0x57, 0x5A, 0x5F24, 0x5F28, 0x5F34, 0x82, 0x84, 0x8F, 0x90, 0x92, 0x93, 0x94, 0x9F07, 0x9F10, 0x9F26),
    *(0x9F27, 0x9F32, 0x9F36, 0x9F37, 0x9F02, 0x9F46, 0x9F47, 0x9F48, 0x9F4A, 0x9F4B, 0x9F5D, 0x9F66, 0x9F69),
    *(0x9F6C, 0x9F6E, 0x9F74, 0xDF01, 0x5F50),
)
AIDS = ("A0000000031010", "A000000333010101", "A00000000310", "A0000000041010", "A0", "")
PDOLS = (
    "9F66049F02069F37045F2A02",
    "9F6604",
    "",
    "9F66",
    "9F66FF9F02FF",
    "9F66049F02069F37045F2A029F7A01",
    "95059A03",
)


class Grammar:
    """A card that draws what it says, mostly well formed."""

    def __init__(self, seed: str) -> None:
        self.draw = random.Random(seed)
        self.scripts = [ScriptedCard(name) for name in "vu"]

    def values(self) -> dict[int, bytes]:
        """Good values of a few tags, else drawn ones."""
        draw, found = self.draw, {}
        for tag in draw.sample(TAGS, draw.randrange(len(TAGS))):
            text = draw.choice(self.scripts)._value(f"{tag:02X}")
            good = bytes.fromhex(text) if text and not text.startswith("@") else b""
            found[tag] = (
                good
                if good and draw.random() < 0.8
                else draw.randbytes(draw.choice((0, 1, 2, 3, 8, 19, 128)))
            )
        return found

    def afl(self) -> bytes:
        draw, groups = self.draw, b""
        for _ in range(draw.randrange(4)):
            first = draw.randrange(1, 4)
            groups += bytes((draw.randrange(1, 31) << 3, first, first + draw.randrange(3), draw.randrange(3)))
        return groups + (draw.randbytes(draw.randrange(5)) if draw.random() < 0.1 else b"")

    def tree(self, depth: int = 0) -> list[Any]:
        draw = self.draw
        found: list[Any] = list(self.values().items())
        if depth < 2 and draw.random() < 0.2:
            found.append((draw.choice((0x61, 0x70, 0x77, 0xA5, 0xBF0C)), self.tree(depth + 1)))
        if found and draw.random() < 0.1:
            found.append(draw.choice(found))
        return found

    def respond(self, command: bytes) -> bytes | None:
        draw = self.draw
        if draw.random() < 0.03:
            return None
        data = tlv.encode(self.said(command))
        if draw.random() < 0.1:
            data = mutate(draw, data)
        word = 0x9000 if draw.random() < 0.9 else draw.choice(STATUS_WORDS)
        return data + word.to_bytes(2)

    def said(self, command: bytes) -> list[Any]:
        draw = self.draw
        if b"2PAY" in command:
            entries = [
                (0x61, [(0x4F, bytes.fromhex(draw.choice(AIDS))), (0x87, draw.randbytes(draw.randrange(2)))])
                for _ in range(draw.randrange(1, 5))
            ]
            return [(0x6F, [(0x84, b"2PAY.SYS.DDF01"), (0xA5, [(0xBF0C, entries)])])]
        if command[1] == 0xA4:
            name = command[5:-1]
            return [(0x6F, [(0x84, name), (0xA5, [(0x9F38, bytes.fromhex(draw.choice(PDOLS)))])])]
        if command[1] == 0xA8:
            objects = self.options() if draw.random() < 0.7 else self.values()
            template = draw.choice((0x77, 0x77, 0x77, 0x80, 0x70))
            return [
                (template, draw.randbytes(draw.randrange(20)) if template == 0x80 else [*objects.items()])
            ]
        return [(0x70, self.tree())]

    def options(self) -> dict[int, bytes]:
        """A good answer to GPO, but for what decides."""
        good = self.draw.choice(self.scripts)
        tags = ("82", "57", "9F10", "9F26", "9F27", "9F36", "9F6C", "5F34")
        found = {int(tag, 16): bytes.fromhex(good._value(tag)) for tag in tags}
        found[0x9F27] = bytes((self.draw.choice((0x00, 0x40, 0x40, 0x80, 0xC0)),))
        found[0x9F6C] = self.draw.choice((b"\0\0", b"\x80\0", b"\x40\0", b"\0\x80", b"\x20\0", b"\0\x40"))
        if self.draw.random() < 0.7:
            found[0x94] = self.afl()
        return found


def session(seed: str, settings: Reader) -> tuple[EntryPoint, Step]:
    """A whole session with a card of the grammar, the issuer's answer included."""
    card = Grammar(seed)
    draw = card.draw
    purchase = replace(
        PURCHASE,
        amount_minor=draw.choice((0, 1, 1000, 5000, 8001)),
        type=draw.choice((0, 0, 0, 1, 9, 0x17, 0x20)),
        other_minor=draw.choice((None, 0, 500)),
    )
    machine = EntryPoint(settings, purchase)
    step = drive(machine, machine.start(draw.choice("AAAAB")), card)  # type: ignore[arg-type]
    if isinstance(step, Done) and step.result.status is Status.ONLINE_REQUEST:
        scripts = tuple(draw.randbytes(draw.randrange(20)) for _ in range(draw.randrange(3)))
        issuer = IssuerResponse(draw.choice((b"00", b"05", b"")), draw.randbytes(draw.randrange(20)), scripts)
        drive(machine, machine.start("B", issuer), card)
    return machine, step


def drive(machine: EntryPoint, step: Step, card: Grammar) -> Step:
    for _ in range(4 * MAX_COMMANDS):
        if isinstance(step, Done):
            return step
        if isinstance(step, Poll):
            step = (
                machine.lost("protocol")
                if card.draw.random() < 0.02
                else machine.cards(card.draw.choice((1, 1, 1, 0, 2)))
            )
        else:
            assert isinstance(step, Send)
            assert 4 <= len(step.command) <= 261
            said = card.respond(step.command)
            step = machine.receive(said) if said is not None else machine.lost("timeout")
    raise AssertionError("the session does not end")


def test_whole_sessions_end_in_an_outcome() -> None:
    settings = reader(VISA, UNIONPAY, ca_keys=keys().ca_keys, exception_file=[("4761739001010010", 9)])
    updating = reader(
        VISA.__class__(VISA.aid, 3, bytes.fromhex("3700C000"), online_authentication=True),
        VISA.__class__(UNIONPAY.aid, 7, bytes.fromhex("3700C080"), ecash_limit=1000),
        ca_keys=keys().ca_keys,
    )
    seen: set[str] = set()
    for at in range(count(20_000)):
        machine, step = session(f"session {at}", (settings, updating)[at % 2])
        assert isinstance(step, Done)
        assert len(machine.shown) <= 4 * MAX_COMMANDS
        if machine.purchase.type != 0x20:
            result = step.result
            assert result.status is not Status.APPROVED or "authentication succeeded" in repr(machine.trace)
        seen.add(step.result.status.name)
    assert {"DECLINED", "ONLINE_REQUEST", "END_APPLICATION", "TRY_ANOTHER_INTERFACE"} <= seen
