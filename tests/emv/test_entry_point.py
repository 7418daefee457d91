"""Entry Point beyond the test rows: calls out of turn, start points, bounds, what is told and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from emv_dialogue import UNPREDICTABLE, ScriptedCard, bought, keys, play

from paysim.core.errors import InvalidTransition, PaysimError, UsageError
from paysim.emv.entry_point import MAX_COMMANDS, MAX_PRESENTATIONS, Done, EntryPoint, Poll, Send
from paysim.emv.outcome import IssuerResponse, Status
from paysim.emv.reader import (
    READER_U,
    READER_V,
    READER_VO,
    VISA,
    Combination,
    Reader,
    reader,
)

UPDATES = replace(VISA, ttq=bytes.fromhex("2600C000"))
ONLINE = {"9F27": "80", "94": "-", "9F6C": "0040"}


def machine(combination: Combination = VISA, amount: int = 1000, **settings: Any) -> EntryPoint:
    made = replace(reader(combination, ca_keys=keys().ca_keys), **settings)
    return EntryPoint(made, bought(amount))


# Calls out of turn. ---------------------------------------------------------------------------------


def test_calls_that_the_last_step_did_not_ask_for_are_refused() -> None:
    till = machine()
    for call in (lambda: till.cards(1), lambda: till.receive(b"\x90\x00"), lambda: till.lost("timeout")):
        with pytest.raises(InvalidTransition):
            call()
    till.start()
    with pytest.raises(InvalidTransition):
        till.receive(b"\x90\x00")
    with pytest.raises(InvalidTransition):
        till.start()
    till.cards(1)
    with pytest.raises(InvalidTransition):
        till.cards(1)
    till.receive(b"\x6a\x82")
    with pytest.raises(InvalidTransition):
        till.receive(b"\x90\x00")


def test_unknown_words_are_refused() -> None:
    till = machine()
    with pytest.raises(UsageError):
        till.start("E")  # type: ignore[arg-type]
    till.start()
    with pytest.raises(UsageError):
        till.lost("boredom")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_minor": -1},
        {"amount_minor": 10**12},
        {"amount_minor": 1, "other_minor": -1},
        {"amount_minor": 1, "unpredictable": b"123"},
        {"amount_minor": 1, "currency": 1000},
        {"amount_minor": 1, "type": 0x100},
        {"amount_minor": 1, "exponent": 10},
    ],
)
def test_a_purchase_that_no_field_can_carry_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        bought(**wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Combination(b"1234", 3),
        lambda: Combination(bytes(17), 3),
        lambda: Combination(bytes(5), 0),
        lambda: Combination(bytes(5), 3, b"123"),
        lambda: Reader({}, country=1000),
        lambda: Reader({}, capabilities=b""),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(PaysimError):
        make()


def test_the_readers_of_the_test_rows() -> None:
    assert [made().combinations[0][0].ttq.hex() for made in (READER_V, READER_VO, READER_U)] == [
        "26004000",
        "2e004000",
        "26004080",
    ]
    assert READER_V(ca_keys=keys().ca_keys).ca_keys == keys().ca_keys


# Start points. --------------------------------------------------------------------------------------


def test_a_type_without_combinations_is_for_another_interface() -> None:
    step = EntryPoint(READER_V(), bought(1000, type=0x30)).start()
    assert isinstance(step, Done)
    assert step.result.status is Status.TRY_ANOTHER_INTERFACE


@pytest.mark.parametrize("point", ["C", "D"])
def test_start_c_and_d_without_a_card_of_before_find_nothing(point: Any) -> None:
    step = machine().start(point)
    assert isinstance(step, Done)
    assert step.result.why.startswith("C6")


def test_start_c_after_an_end_takes_the_candidate_again() -> None:
    till = machine()
    card = ScriptedCard("v")
    assert isinstance(play(till, card).step, Done)
    assert isinstance(till.start("C"), Send)


def test_start_d_runs_the_kernel_again_with_a_fresh_number() -> None:
    till = machine()
    card = ScriptedCard("v", changes={"9F27": "80"})
    play(till, card)
    first = card.given[0x9F37]
    step = till.start("D")
    assert isinstance(step, Send)
    assert step.command[1] == 0xA8
    card.respond(step.command)
    assert first == UNPREDICTABLE != card.given[0x9F37]


def test_a_new_purchase_may_start_after_the_last() -> None:
    till = machine()
    play(till, ScriptedCard("v"))
    assert till.start("A") == Poll()


def test_issuer_data_that_answer_no_online_request_are_refused() -> None:
    issuer = IssuerResponse(b"00", bytes(10))
    till = machine()
    with pytest.raises(InvalidTransition):
        till.start("B", issuer)
    play(till, ScriptedCard("v"))
    with pytest.raises(InvalidTransition):
        till.start("B", issuer)


@pytest.mark.parametrize("data", [b"", bytes(10)])
def test_an_issuer_answers_once(data: bytes) -> None:
    till = machine(UPDATES)
    card = ScriptedCard("v", changes=ONLINE)
    play(till, card)
    with pytest.raises(InvalidTransition):
        till.start("A", IssuerResponse(b"00", data))
    play(till, card, point="B", issuer=IssuerResponse(b"00", data))
    with pytest.raises(InvalidTransition):
        till.start("B", IssuerResponse(b"00", data))


@pytest.mark.parametrize(
    ("arc", "status"),
    [
        (b"00", "APPROVED"),
        (b"11", "APPROVED"),
        (b"51", "DECLINED"),
        (b"", "DECLINED"),
        (b"\xff\xff", "DECLINED"),
    ],
)
def test_the_issuer_decides_after_an_update(arc: bytes, status: str) -> None:
    till = machine(UPDATES)
    card = ScriptedCard("v", changes=ONLINE)
    play(till, card)
    step = play(
        till, card, point="B", issuer=IssuerResponse(arc, bytes(10), (b"no script", b"\x71\x05"))
    ).step
    assert isinstance(step, Done)
    assert step.result.status.name == status
    assert step.result.data_record is not None
    assert step.result.data_record[0x9F26].hex() == "1122334455667788"


# The number of a payment. ---------------------------------------------------------------------------


def numbers(card: ScriptedCard) -> list[bytes]:
    """The unpredictable numbers that the card was given, in order."""
    return [command[-5:-1] for command in card.commands if command[1] == 0xA8]


def test_a_phone_that_is_presented_again_gets_a_fresh_number() -> None:
    card = ScriptedCard("v", answers={"GPO": "6986"})
    play(machine(), card, cards=(1, 1, 1))
    assert len(set(numbers(card))) == 3


def test_a_torn_card_gets_the_same_number_again() -> None:
    card = ScriptedCard("v", lost=["REC3"])
    play(machine(), card)
    assert numbers(card) == [UNPREDICTABLE, UNPREDICTABLE]


# Bounds. --------------------------------------------------------------------------------------------


class Endless:
    """A card that answers for ever."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.count = 0

    def respond(self, command: bytes) -> bytes | None:
        self.count += 1
        made = self.answer(command)
        return made if made is None else bytes(made)


def test_a_card_that_is_presented_again_and_again_is_given_up() -> None:
    card = Endless(lambda _: b"")
    played = play(machine(), card, cards=(1,) * 1000)
    assert isinstance(played.step, Done)
    assert played.step.result.status is Status.END_APPLICATION
    assert len(played.polls) == MAX_PRESENTATIONS


def test_a_card_with_records_without_end_is_given_up() -> None:
    good = ScriptedCard("v", changes={"94": "08 01 FF 00".replace(" ", "") * 60})
    answer = lambda command: (  # noqa: E731
        bytes.fromhex("70009000") if command[1] == 0xB2 else good.respond(command)
    )
    card = Endless(answer)
    played = play(machine(), card, cards=(1,) * 1000)
    assert isinstance(played.step, Done)
    assert played.step.result.status is Status.END_APPLICATION
    assert card.count == MAX_COMMANDS


def test_a_card_with_many_applications_is_tried_in_each_and_then_given_up() -> None:
    entries = b"".join(bytes.fromhex("61094F07A0000000031010") for _ in range(1000))
    size = len(entries)
    inside = bytes.fromhex("BF0C82") + size.to_bytes(2) + entries
    inside = b"\xa5\x82" + len(inside).to_bytes(2) + inside
    ppse = b"\x6f\x82" + len(inside).to_bytes(2) + inside + b"\x90\x00"
    card = Endless(lambda command: ppse if b"2PAY" in command else b"\x6a\x82")
    played = play(machine(), card, cards=(1,) * 1000)
    assert isinstance(played.step, Done)
    assert card.count == MAX_COMMANDS


def test_an_issuer_with_scripts_without_end_is_given_up() -> None:
    till = machine(UPDATES)
    card = ScriptedCard("v", changes=ONLINE)
    play(till, card)
    card.commands.clear()
    scripts = (bytes.fromhex("8418000000"),) * 1000
    played = play(till, card, point="B", issuer=IssuerResponse(b"00", b"", scripts))
    assert isinstance(played.step, Done)
    assert len(card.commands) == MAX_COMMANDS


def test_an_answer_shorter_than_a_status_word_is_a_protocol_error() -> None:
    till = machine()
    till.start()
    till.cards(1)
    assert till.receive(b"\x90") == Poll()
    assert till.trace[-1].step == "B5"


# What the trace says. -------------------------------------------------------------------------------


def test_the_trace_holds_no_card_number() -> None:
    till = machine()
    play(till, ScriptedCard("v"))
    assert "4761739001010010" not in repr(till.trace)
