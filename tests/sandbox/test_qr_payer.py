"""The payer shows a code, the shop scans it: one minute, one payment, and what an answer's loss means."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from paysim import CNY, Fault, Operation, Order, Person, Sandbox, Shop, State, Status, Unsupported, UsageError


class Town(NamedTuple):
    """A shop, two persons and an order of 12.80."""

    sandbox: Sandbox
    shop: Shop
    alice: Person
    bob: Person
    order: Order


@pytest.fixture
def town(paysim_sandbox: Sandbox) -> Town:
    shop = paysim_sandbox.shop("Tea House")
    alice = paysim_sandbox.person("Alice", balance=CNY("5000.00"))
    bob = paysim_sandbox.person("Bob", balance=CNY("5.00"))
    return Town(paysim_sandbox, shop, alice, bob, shop.create(CNY("12.80")))


def big(town: Town) -> Order:
    """An order above the no-password limit."""
    return town.shop.create(CNY("1000.01"))


# Codes. ---------------------------------------------------------------------------------------------


def fresh(town: Town) -> Operation:
    return town.order.authorize(town.alice.payment_code())


def from_a_picture(town: Town) -> Operation:
    return town.order.authorize(town.alice.payment_code().png())


def from_a_bar_code(town: Town) -> Operation:
    return town.order.authorize(town.alice.payment_code().code128_png())


def in_its_last_second(town: Town) -> Operation:
    code = town.alice.payment_code()
    town.sandbox.advance(seconds=59)
    return town.order.authorize(code)


def expired(town: Town) -> Operation:
    code = town.alice.payment_code()
    town.sandbox.advance(seconds=60)
    return town.order.authorize(code)


def used(town: Town) -> Operation:
    code = town.alice.payment_code()
    town.shop.create(CNY("1.00")).authorize(code)
    return town.order.authorize(code)


def used_elsewhere_in_vain(town: Town) -> Operation:
    code = town.bob.payment_code()
    town.shop.create(CNY("9.00")).authorize(code)
    return town.order.authorize(code)


def invented(town: Town) -> Operation:
    return town.order.authorize("990123456789012345")


def too_poor(town: Town) -> Operation:
    return town.order.authorize(town.bob.payment_code())


CODES: list[tuple[Callable[[Town], Operation], str]] = [
    (fresh, ""),
    (from_a_picture, ""),
    (from_a_bar_code, ""),
    (in_its_last_second, ""),
    (expired, "expired"),
    (used, "code_used"),
    (used_elsewhere_in_vain, "code_used"),
    (invented, "not_found"),
    (too_poor, "insufficient_funds"),
]


@pytest.mark.parametrize(("shows", "reason"), CODES)
def test_what_a_code_is_good_for(town: Town, shows: Callable[[Town], Operation], reason: str) -> None:
    before = town.shop.takings()
    operation = shows(town)
    assert operation.reason == reason
    assert operation.done is (reason == "")
    assert town.order.state is town.order.book.state is (State.DECLINED if reason else State.CAPTURED)
    paid_before = CNY("1.00") if shows is used else before
    assert town.shop.takings() == (paid_before if reason else CNY("12.80"))


WRONG: list[tuple[str, type[Exception]]] = [
    ("hello", Unsupported),
    ("", Unsupported),
    ("130123456789012345", Unsupported),  # a WeChat code: its wallet comes later
]


@pytest.mark.parametrize(("text", "error"), WRONG)
def test_what_is_no_code_of_ours(town: Town, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        town.order.authorize(text)
    assert town.order.state is State.CREATED


def test_each_scans_what_the_other_shows(town: Town) -> None:
    with pytest.raises(Unsupported, match="for a payer to scan"):
        town.order.authorize(town.shop.static_code())
    with pytest.raises(UsageError, match=r"authorize\(code\)"):
        town.alice.scan(town.alice.payment_code())


def test_a_payment_that_was_declined_is_over(town: Town) -> None:
    too_poor(town)
    again = town.order.authorize(town.alice.payment_code())
    assert again.reason == "wrong_state"
    assert town.alice.balance() == CNY("5000.00")


def test_without_a_pin_a_day_is_1000(town: Town) -> None:
    for amount, rule in (("600.00", ""), ("400.01", "R03"), ("400.00", "")):
        order = town.shop.create(CNY(amount))
        operation = order.authorize(town.alice.payment_code())
        assert (operation.outcome.code if operation.outcome and operation.reason else "") == rule


# Above the limit the payer is asked. ----------------------------------------------------------------


def test_the_limit_up_to_which_nobody_is_asked(town: Town) -> None:
    order = town.shop.create(CNY("1000.00"))
    assert order.authorize(town.alice.payment_code()).done
    carol = town.sandbox.person("Carol", balance=CNY("10.00"), no_pin_limit=CNY("1.00"))
    order = town.shop.create(CNY("1.01"))
    assert order.authorize(carol.payment_code()).status is Status.ASKED


@pytest.mark.parametrize(
    ("act", "reason", "state"),
    [
        ("confirm", "", State.CAPTURED),
        ("wrong pin", "wrong_pin", State.DECLINED),
        ("refuse", "refused_by_payer", State.DECLINED),
    ],
)
def test_the_payer_is_asked(town: Town, act: str, reason: str, state: State) -> None:
    order = big(town)
    operation = order.authorize(town.alice.payment_code())
    assert (operation.status, order.state) == (Status.ASKED, State.PENDING)
    [prompt] = town.alice.prompts()
    assert prompt.money == CNY("1000.01")
    outcome = (
        prompt.refuse() if act == "refuse" else prompt.confirm(pin="000000" if act == "wrong pin" else None)
    )
    assert (outcome.reason or "") == reason
    assert order.state is order.book.state is state
    assert town.alice.prompts() == ()
    assert town.alice.balance() == (CNY("5000.00") if reason else CNY("3999.99"))
    assert prompt.confirm().reason in ("already_paid", "wrong_state")


def test_silence_is_unknown_until_a_query_and_ends_in_a_reversal(town: Town) -> None:
    order = big(town)
    order.authorize(town.alice.payment_code())
    [prompt] = town.alice.prompts()
    town.sandbox.advance(seconds=44)
    assert order.state is State.PENDING
    town.sandbox.advance(seconds=1)
    assert (order.state, order.book.state) == (State.UNKNOWN, State.PENDING)
    assert order.query() is State.PENDING
    town.sandbox.advance(seconds=45)
    assert order.state is State.UNKNOWN
    assert order.reverse().done
    assert order.state is order.book.state is State.REVERSED
    assert not [operation for operation in order.operations if operation.open]
    assert prompt.confirm().reason == "wrong_state"
    assert (town.alice.prompts(), town.alice.balance()) == ((), CNY("5000.00"))


def test_who_answers_after_the_shop_gave_up_has_paid(town: Town) -> None:
    order = big(town)
    order.authorize(town.alice.payment_code())
    town.sandbox.advance(minutes=5)
    assert order.state is State.UNKNOWN
    assert town.alice.prompts()[0].confirm().approved
    assert order.state is State.CAPTURED


def test_a_question_that_nobody_answers_ends_with_the_order(town: Town) -> None:
    order = big(town)
    order.authorize(town.alice.payment_code())
    town.sandbox.advance(hours=2)
    assert order.book.state is State.CLOSED
    assert town.alice.prompts() == ()
    assert order.query() is State.CLOSED


# What is lost. --------------------------------------------------------------------------------------


def test_a_lost_answer_is_unknown_until_a_query(town: Town) -> None:
    town.sandbox.faults.add(Fault("answer", verb="authorize"))
    operation = fresh(town)
    assert operation.status is Status.UNKNOWN
    assert (town.order.state, town.order.book.state) == (State.UNKNOWN, State.CAPTURED)
    assert town.order.query() is State.CAPTURED
    assert town.order.operations[0].done
    assert town.alice.balance() == CNY("4987.20")


def test_a_lost_answer_can_be_reversed_unseen(town: Town) -> None:
    town.sandbox.faults.add(Fault("answer", verb="authorize"))
    fresh(town)
    assert town.order.reverse().done
    assert town.order.state is State.REVERSED
    assert town.alice.balance() == CNY("5000.00")


def test_a_lost_request_was_never_there(town: Town) -> None:
    town.sandbox.faults.add(Fault("request", verb="authorize"))
    fresh(town)
    assert (town.order.state, town.order.book.state) == (State.UNKNOWN, State.CREATED)
    assert town.order.query() is State.PRESENTED
    assert town.order.operations[0].reason == "not_found"
    assert fresh(town).done


def test_a_lost_query_changes_nothing(town: Town) -> None:
    town.sandbox.faults.add(Fault("answer", verb="authorize"))
    town.sandbox.faults.add(Fault("request", verb="query"))
    town.sandbox.faults.add(Fault("answer", verb="query"))
    fresh(town)
    assert [town.order.query() for _ in range(3)] == [State.UNKNOWN, State.UNKNOWN, State.CAPTURED]


@pytest.mark.parametrize("point", ["request", "answer"])
def test_asked_again_with_its_key_it_is_paid_once(town: Town, point: str) -> None:
    code = town.alice.payment_code()
    town.sandbox.faults.add(Fault(point, verb="authorize"))
    assert town.order.authorize(code, key="pay").status is Status.UNKNOWN
    again = town.order.authorize(code, key="pay")
    assert (again.done, town.order.state) == (True, State.CAPTURED)
    assert town.order.authorize(code, key="pay") == again
    assert town.alice.balance() == CNY("4987.20")


def test_a_refused_payment_that_is_asked_again_gives_the_same_answer(town: Town) -> None:
    fresh(town)
    code = town.alice.payment_code()
    refused = town.order.authorize(code, key="again")
    assert refused.reason == "wrong_state"
    assert town.order.authorize(code, key="again") == refused


def test_a_key_of_one_payment_is_not_anothers(town: Town) -> None:
    town.order.authorize(town.alice.payment_code(), key="pay")
    assert town.order.authorize(town.alice.payment_code(), key="pay").reason == "key_reused"
    assert town.order.refund(key="pay").reason == "key_reused"
    assert town.order.refunded == CNY("0")


@pytest.mark.parametrize("paid_by", ["alice", "bob", "nobody"])
def test_a_late_request_does_not_disturb_what_came_after(town: Town, paid_by: str) -> None:
    code = town.alice.payment_code()
    town.sandbox.faults.add(Fault("request", "delay", verb="authorize", delay_s=30))
    town.order.authorize(code)
    town.order.query()
    if paid_by == "nobody":
        town.order.reverse()
    else:
        carol = town.sandbox.person("Carol", balance=CNY("20.00"))
        payer = carol if paid_by == "bob" else town.alice
        assert payer.scan(town.order.present("qr.merchant")).confirm().approved
    state = town.order.state
    town.sandbox.advance(minutes=5)
    assert town.order.state is town.order.book.state is state
    assert town.shop.takings() == (CNY("0") if paid_by == "nobody" else CNY("12.80"))
    assert not [operation for operation in town.order.operations if operation.open]


def test_a_late_request_in_time_is_paid(town: Town) -> None:
    town.sandbox.faults.add(Fault("request", "delay", verb="authorize", delay_s=30))
    fresh(town)
    town.sandbox.advance(seconds=30)
    assert town.order.state is State.CAPTURED


def test_late_answers_come_in_the_order_in_which_they_were_sent(town: Town) -> None:
    fresh(town)
    for _ in range(12):
        town.sandbox.faults.add(Fault("request", "delay", verb="refund"))
        town.order.refund(CNY("0.10"))
    town.sandbox.advance(minutes=1)
    done = [event.operation for event in town.order.book.events if event.kind == "refunded"]
    asked = [event.operation for event in town.order.events if event.kind == "asked"]
    assert done == asked
    assert town.order.refunded == CNY("1.20")


def test_an_unseen_presentation_is_learned_with_the_payment(town: Town) -> None:
    town.sandbox.faults.add(Fault("answer", verb="present"))
    with pytest.raises(Exception, match="present again"):
        town.order.present("qr.merchant")
    town.sandbox.faults.add(Fault("answer", verb="authorize"))
    fresh(town)
    assert town.order.query() is State.CAPTURED


def test_a_refused_code_is_not_waited_for_any_longer(town: Town) -> None:
    code = town.order.present("qr.merchant")
    town.sandbox.faults.add(Fault("callback"))
    town.alice.scan(code)
    assert fresh(town).reason == "wrong_state"
    town.sandbox.advance(minutes=5)
    assert town.order.state is town.order.book.state is State.PENDING


def test_a_wallet_that_asks_goes_on_when_the_shop_shows_another_code(town: Town) -> None:
    order = big(town)
    order.authorize(town.alice.payment_code())
    order.present("qr.merchant")
    assert town.alice.prompts()[0].confirm(pin="000000").reason == "wrong_pin"
    assert order.state is State.DECLINED, "a payment code is good for one attempt"


def test_a_code_while_somebody_looks_at_the_order(town: Town) -> None:
    code = town.order.present("qr.merchant")
    town.sandbox.faults.add(Fault("callback"))
    prompt = town.alice.scan(code)
    operation = town.order.authorize(town.bob.payment_code())
    assert operation.reason == "wrong_state"
    assert prompt.confirm().approved
    assert town.order.state is town.order.book.state is State.CAPTURED
    assert not [known for known in town.order.operations if known.open]
