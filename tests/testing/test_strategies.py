"""The strategies make what they say, and `play` plays every history without a stray error."""

from __future__ import annotations

from typing import Any

import pytest
from counts import count
from hypothesis import find, given, settings
from hypothesis import strategies as st

from paysim import Fault, Money, Sandbox, State
from paysim.core.money import CURRENCIES
from paysim.qr import consumer, merchant, router
from paysim.testing import strategies
from paysim.testing.strategies import Step, histories, play

QUICK = settings(max_examples=count(500), deadline=None, database=None, derandomize=True)


@QUICK
@given(strategies.money(None, min_minor=-5, max_minor=5))
def test_money_of_any_currency_within_its_bounds(amount: Money) -> None:
    assert -5 <= amount.minor <= 5
    assert amount.currency in CURRENCIES


@QUICK
@given(strategies.orders("JPY", max_minor=1_000))
def test_orders_can_be_created(arguments: dict[str, Any]) -> None:
    with Sandbox() as sandbox:
        shop = sandbox.shop("Tea House")
        order = shop.create(**arguments)
        assert order.money.currency == "JPY"
        assert not arguments.get("reference") or order.id == shop.create(**arguments).id


@QUICK
@given(strategies.merchant_codes(), strategies.consumer_codes(), strategies.payment_codes())
def test_codes_are_valid_and_told_apart(shown_by_shop: str, emv: str, digits: str) -> None:
    assert merchant.decode(shown_by_shop, mode="strict").issues == ()
    assert consumer.decode(emv).issues == ()
    kinds = [router.route(text).kind for text in (shown_by_shop, emv, digits)]
    assert kinds == ["emvqr.merchant", "emvqr.consumer", "payment_code"]


@QUICK
@given(histories(), st.integers(0, 3))
def test_a_history_is_played_with_the_ledger_at_zero(steps: list[Step], seed: int) -> None:
    with Sandbox(seed=seed) as sandbox:
        orders = play(sandbox, steps)
        takings = sandbox.shop("Shop").takings()
        assert sum(order.book.paid_minor for order in orders) == takings.minor
        assert not any(sandbox.sums().values())
        sandbox.verify()


@QUICK
@given(histories(), st.integers(0, 3))
def test_the_same_history_and_seed_give_the_same_journal(steps: list[Step], seed: int) -> None:
    heads = []
    for _ in range(2):
        with Sandbox(seed=seed) as sandbox:
            play(sandbox, steps)
            heads.append(sandbox.journal.head)
    assert heads[0] == heads[1]


@QUICK
@given(histories(faults=False))
def test_without_faults_no_operation_stays_open(steps: list[Step]) -> None:
    with Sandbox() as sandbox:
        for order in play(sandbox, steps):
            waiting = order.book.state is State.PENDING
            assert waiting or not [operation for operation in order.operations if operation.open]
            assert order.state in (order.book.state, State.UNKNOWN)


@pytest.mark.parametrize(
    "state", [State.UNKNOWN, State.VOIDED, State.REVERSED, State.AUTHORIZED, State.DECLINED]
)
def test_histories_reach_the_states_that_matter(state: State) -> None:
    def reached(steps: list[Step]) -> bool:
        with Sandbox() as sandbox:
            return any(order.state is state for order in play(sandbox, steps))

    quick = settings(max_examples=5_000, database=None, derandomize=True, phases=settings().phases[:3])
    assert find(histories(max_steps=6), reached, settings=quick)


def test_a_history_reads_as_it_was_written() -> None:
    steps = [
        Step("pay", "qr.payer", minor=1_280, fault=Fault("answer", verb="authorize")),
        Step("query"),
        Step("refund", minor=280),
        Step("void", order=5),
    ]
    with Sandbox() as sandbox:
        [order] = play(sandbox, steps)
        assert order.state is State.CAPTURED
        assert order.refunded == Money("CNY", 280)
        assert sandbox.faults.faults == ()
