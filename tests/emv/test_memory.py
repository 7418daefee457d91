"""A card's memory: facts in, the same memory out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paysim.core.errors import UsageError
from paysim.emv.memory import KINDS, PUTTABLE, Change, Debit, Memory

GOOD: dict[str, Any] = {
    "atc": 7,
    "balance": 10_000,
    "ctta": 300,
    "pin_tries": 2,
    "last_online": 5,
    "blocked": 1,
    "card_blocked": 1,
    "debit": "990:0:00ff",
    "online": "a000000102",
}

BAD: list[tuple[Any, Any]] = [
    ("", 0),
    ("ATC", 1),
    ("facts", 1),
    ("data", "00"),
    ("atc", -1),
    ("atc", 0x10000),
    ("atc", "1"),
    ("atc", True),
    ("balance", -1),
    ("balance", 10**10),
    ("pin_tries", 16),
    ("blocked", 2),
    ("debit", 5),
    ("debit", "990:0"),
    ("debit", "990:0:xyz"),
    ("debit", "-1:0:00"),
    ("online", "a"),
    ("online", "zz"),
    ("online", b"00"),
    ("9F78", "00"),
    ("9F78", "00000000000a"),
    ("9F78", 5),
    ("9F79", "000000000000"),
    ("9F68", "0000000g"),
]


def test_a_memory_is_the_fold_of_its_facts() -> None:
    memory = Memory.of(GOOD.items())
    assert {kind: getattr(memory, kind) for kind in KINDS} == GOOD
    assert set(GOOD) == set(KINDS)
    assert memory.facts == []


def test_a_new_memory_knows_nothing() -> None:
    new = Memory()
    assert (new.atc, new.balance, new.pin_tries, new.refuses, new.facts) == (0, 0, 3, False, [])


@pytest.mark.parametrize(("kind", "value"), BAD, ids=repr)
def test_what_is_no_fact_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(UsageError):
        Memory.of([(kind, value)])


def test_changes_are_taken_once() -> None:
    memory = Memory()
    memory.record("atc", 1)
    memory.record("9F78", "000000001000")
    assert memory.take() == (Change("atc", 1), Change("9F78", "000000001000"))
    assert memory.take() == ()
    assert (memory.atc, memory.data) == (1, {0x9F78: bytes.fromhex("000000001000")})


@pytest.mark.parametrize(
    ("facts", "refuses"),
    [
        ([], False),
        ([("blocked", 1)], True),
        ([("blocked", 1), ("blocked", 0)], False),
        ([("atc", 0xFFFE)], False),
        ([("atc", 0xFFFF)], True),
        ([("atc", 0xFFFF), ("blocked", 0)], True),
    ],
)
def test_when_an_application_refuses(facts: list[Any], refuses: bool) -> None:
    assert Memory.of(facts).refuses is refuses


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.text("0123456789abcdef", min_size=1))
def test_a_debit_comes_back_from_its_text(amount: int, ctta: int, digest: str) -> None:
    debit = Debit(amount, ctta, digest)
    assert Debit.decode(debit.encode()) == debit


@pytest.mark.parametrize("text", ["", "5", "5:5", "5:5:", "a:5:00", ":5:00"])
def test_another_text_is_no_debit(text: str) -> None:
    with pytest.raises(UsageError):
        Debit.decode(text)


def test_facts_pass_through_json() -> None:
    facts = [Change(kind, value) for kind, value in GOOD.items()]
    facts += [Change(f"{tag:02X}", "00" * size) for tag, size in PUTTABLE.items()]
    again = Memory.of(json.loads(json.dumps(facts)))
    assert again.balance == 10_000
    assert set(again.data) == set(PUTTABLE)
