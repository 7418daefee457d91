"""Kernel 7 on paysim's own UnionPay cards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from emv_dialogue import RealCard, bought, keys, play

from paysim.emv import kernel7
from paysim.emv.entry_point import Done, EntryPoint
from paysim.emv.kernel7 import KERNEL_7
from paysim.emv.outcome import Status
from paysim.emv.reader import UNIONPAY, VISA, reader


def machine(amount: int, **changes: Any) -> EntryPoint:
    made = reader(VISA, replace(UNIONPAY, **changes), ca_keys=keys().ca_keys)
    return EntryPoint(made, bought(amount))


def test_it_says_what_it_was_not_checked_against() -> None:
    assert "not checked against a specification" in str(kernel7.__doc__)
    assert "Assumed:" in str(kernel7.__doc__)


def test_the_steps_stand_in_the_order_of_the_vendors() -> None:
    names = [row.step for row in KERNEL_7.steps]
    assert [name for name in names if name != "U12"] == sorted(
        (name for name in names if name != "U12"), key=lambda name: int(name[1:])
    )


PROFILES = [
    ("unionpay", 990, "ONLINE_REQUEST", 7),
    ("unionpay-ecash", 990, "APPROVED", 7),
    ("two-applications", 990, "ONLINE_REQUEST", 7),
    ("slow", 990, "APPROVED", 7),
    ("visa", 990, "APPROVED", 3),
    ("visa-online", 990, "ONLINE_REQUEST", 3),
    ("expired", 990, "DECLINED", 3),
    ("unknown", 990, "END_APPLICATION", 0),
    ("blocked", 990, "END_APPLICATION", 7),
]


@pytest.mark.parametrize(("profile", "amount", "status", "kernel"), PROFILES)
def test_a_card_of_each_profile(profile: str, amount: int, status: str, kernel: int) -> None:
    step = play(machine(amount), RealCard(profile)).step
    assert isinstance(step, Done)
    assert step.result.status.name == status
    assert step.result.kernel == kernel


def test_the_preferred_application_is_taken() -> None:
    step = play(machine(990), RealCard("two-applications")).step
    assert isinstance(step, Done)
    assert step.result.adf_name.hex().upper() == "A000000333010102"


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("what", ["lost_commands", "lost_answers"])
def test_an_e_cash_card_torn_anywhere_pays_once(at: int, what: str) -> None:
    card = RealCard("unionpay-ecash", **{what: (at,)})
    step = play(machine(990), card).step
    assert isinstance(step, Done)
    assert step.result.status is Status.APPROVED
    assert card.card.memory.balance == 10_000 - 990


@pytest.mark.parametrize("at", range(1, 7))
def test_an_e_cash_card_torn_for_good_has_paid_only_where_its_last_record_was_read(at: int) -> None:
    card = RealCard("unionpay-ecash", lost_commands=(at,))
    play(machine(990), card, cards=(1,))
    assert card.card.memory.balance == 10_000
