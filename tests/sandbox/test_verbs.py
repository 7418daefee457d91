"""Verbs on a paid order, where they were asked for nothing, twice, or with a key of something else."""

from __future__ import annotations

from typing import Any

import pytest

from paysim import CNY, EUR, CurrencyMismatch, Fault, Order, Sandbox, State, Status, UsageError


def paid(sandbox: Sandbox, **about: Any) -> Order:
    alice = sandbox.person("Alice", balance=CNY("100.00"))
    order = sandbox.shop("Tea House").create(CNY("10.00"), **about)
    alice.scan(order.present("qr.merchant")).confirm()
    return order


def test_a_refund_of_nothing_left_is_refused(paysim_sandbox: Sandbox) -> None:
    order = paid(paysim_sandbox)
    assert order.refund().done
    assert order.refund().reason == "over_refund"


def test_a_capture_of_nothing_on_hold_is_refused(paysim_sandbox: Sandbox) -> None:
    assert paid(paysim_sandbox).capture().reason == "over_capture"


@pytest.mark.parametrize("verb", ["capture", "refund", "void", "reverse", "close"])
def test_a_verb_on_a_closed_order_is_refused_at_once(paysim_sandbox: Sandbox, verb: str) -> None:
    order = paysim_sandbox.shop("Tea House").create(CNY("10.00"))
    order.present("qr.merchant")
    order.close()
    operation = getattr(order, verb)()
    assert (operation.status, operation.reason) == (Status.REFUSED, "wrong_state")


# the second call with the key, whether it is the same
KEYS: list[tuple[str, tuple[Any, ...], bool]] = [
    ("refund", (CNY("1.00"),), True),
    ("refund", (), True),
    ("refund", (CNY("2.00"),), False),
    ("capture", (CNY("1.00"),), False),
    ("void", (), False),
    ("reverse", (), False),
    ("close", (), False),
]


@pytest.mark.parametrize("point", ["", "request", "answer"])
@pytest.mark.parametrize(("verb", "arguments", "same"), KEYS)
def test_a_key_belongs_to_one_content(
    paysim_sandbox: Sandbox, point: str, verb: str, arguments: tuple[Any, ...], same: bool
) -> None:
    order = paid(paysim_sandbox)
    if point:
        paysim_sandbox.faults.add(Fault(point, verb="refund"))
    order.refund(CNY("1.00"), key="k")
    again = getattr(order, verb)(*arguments, key="k")
    assert (again.done, again.reason) == ((True, "") if same else (False, "key_reused"))
    order.query()
    assert order.refunded == (CNY("0") if point == "request" and not same else CNY("1.00"))
    assert order.book.state is State.CAPTURED


@pytest.mark.parametrize("key", ["x" * 65, "a\nb", "\ud800", "\x00"])
def test_a_key_is_printable(paysim_sandbox: Sandbox, key: str) -> None:
    order = paid(paysim_sandbox)
    with pytest.raises(UsageError, match="key"):
        order.refund(key=key)


@pytest.mark.parametrize("amount", [CNY("0"), CNY("-1")])
def test_an_amount_is_more_than_nothing(paysim_sandbox: Sandbox, amount: Any) -> None:
    order = paid(paysim_sandbox)
    for verb in (order.refund, order.capture):
        with pytest.raises(UsageError):
            verb(amount)


def test_an_order_has_one_currency(paysim_sandbox: Sandbox) -> None:
    with pytest.raises(CurrencyMismatch):
        paid(paysim_sandbox).refund(EUR("1.00"))


def test_a_lost_refund_that_comes_late_after_a_query_is_done_once(paysim_sandbox: Sandbox) -> None:
    order = paid(paysim_sandbox)
    paysim_sandbox.faults.add(Fault("request", "delay", verb="refund"))
    lost = order.refund(CNY("4.00"), key="k")
    order.query()
    statuses = [operation.status for operation in order.operations if operation.id == lost.id]
    assert statuses == [Status.REFUSED]
    assert order.refund(CNY("4.00"), key="k").done
    paysim_sandbox.advance(minutes=2)
    assert (order.refunded, order.book.paid_minor) == (CNY("4.00"), 600)


def test_a_late_void_finds_a_refund_and_is_refused(paysim_sandbox: Sandbox) -> None:
    order = paid(paysim_sandbox)
    paysim_sandbox.faults.add(Fault("request", "delay", verb="void"))
    order.void()
    assert order.refund(CNY("1.00")).done
    paysim_sandbox.advance(minutes=2)
    assert (order.state, order.refunded) == (State.CAPTURED, CNY("1.00"))
    assert [operation.reason for operation in order.operations] == ["", "wrong_state", ""]


def test_the_answer_to_what_is_done_is_yes(paysim_sandbox: Sandbox) -> None:
    paysim_sandbox.faults.add(Fault("answer", verb="refund"))
    order = paid(paysim_sandbox)
    assert order.outcome
    assert order.outcome.approved
    order.refund(CNY("1.00"))
    order.query()
    assert all(operation.outcome and operation.outcome.approved for operation in order.operations)


def test_a_settled_shop_that_has_paid_a_fee_cannot_give_back_what_it_has_not(paysim_sandbox: Sandbox) -> None:
    shop = paysim_sandbox.shop("Inn", fee_ppm=6_000)
    alice = paysim_sandbox.person("Alice", balance=CNY("100.00"))
    order = shop.create(CNY("10.00"))
    alice.scan(order.present("qr.merchant")).confirm()
    paysim_sandbox.advance(days=1)
    refused = order.refund(key="all")
    assert (refused.reason, refused.passing) == ("merchant_funds", True)
    alice.scan(shop.static_code()).pay(CNY("1.00"))
    paysim_sandbox.advance(days=1)
    assert order.refund(key="all").done
    assert alice.balance() == CNY("99.00")
