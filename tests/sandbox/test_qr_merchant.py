"""A shop shows a code for one order: who may pay it, with what, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from paysim import (
    CNY,
    DecodeError,
    Fault,
    LinkTimeout,
    Order,
    Outcome,
    Person,
    Sandbox,
    Shop,
    State,
    Unsupported,
    UsageError,
)
from paysim.qr import merchant


class Town(NamedTuple):
    """Two shops, two persons, an order of 12.80 and its code."""

    sandbox: Sandbox
    shop: Shop
    alice: Person
    bob: Person
    order: Order
    text: str


@pytest.fixture
def town(paysim_sandbox: Sandbox) -> Town:
    shop = paysim_sandbox.shop("Tea House")
    alice = paysim_sandbox.person("Alice", balance=CNY("100.00"))
    bob = paysim_sandbox.person("Bob", balance=CNY("5.00"))
    alice.bank_account("debit", balance=CNY("20.00"))
    alice.bank_account("card", balance=CNY("500.00"), credit=True)
    order = shop.create(CNY("12.80"), reference="T-1001")
    return Town(paysim_sandbox, shop, alice, bob, order, order.present("qr.merchant").text)


def altered(text: str, **changes: str) -> str:
    """The code with other objects, and a right checksum."""
    fields = dict(merchant.decode(text).fields)
    fields.pop("63", None)
    account = dict(fields["26"])
    account |= {
        name.removeprefix("account_"): v for name, v in changes.items() if name.startswith("account_")
    }
    fields |= {name.removeprefix("f"): value for name, value in changes.items() if name.startswith("f")}
    return merchant.encode(fields | {"26": account})


# What happened before, what Alice does then, the reason; with no reason it is paid.
def pays(town: Town) -> Outcome:
    return town.alice.scan(town.text).confirm()


def pays_cheaper(town: Town) -> Outcome:
    return town.alice.scan(altered(town.text, f54="0.01")).confirm()


def pays_to_another(town: Town) -> Outcome:
    thief = town.sandbox.shop("Thief")
    return town.alice.scan(altered(town.text, account_01=thief.id)).confirm()


def pays_another_order(town: Town) -> Outcome:
    other = town.shop.create(CNY("99.00"))
    other.present("qr.merchant")
    return town.alice.scan(altered(town.text, account_02=other.id)).confirm()


def pays_no_order(town: Town) -> Outcome:
    return town.alice.scan(altered(town.text, account_02="0000000000000000")).confirm()


def pays_late(town: Town) -> Outcome:
    town.sandbox.advance(hours=2)
    return pays(town)


def confirms_late(town: Town) -> Outcome:
    prompt = town.alice.scan(town.text)
    town.sandbox.advance(hours=2)
    return prompt.confirm()


def pays_in_the_last_second(town: Town) -> Outcome:
    town.sandbox.advance(hours=2, seconds=-1)
    return pays(town)


def pays_what_is_paid(town: Town) -> Outcome:
    town.alice.scan(town.text).confirm()
    return town.bob.scan(town.text).confirm()


def confirms_twice(town: Town) -> Outcome:
    prompt = town.alice.scan(town.text)
    prompt.confirm()
    return prompt.confirm()


def pays_a_replaced_code(town: Town) -> Outcome:
    town.order.present("qr.payer")
    return pays(town)


def pays_a_renewed_code(town: Town) -> Outcome:
    town.sandbox.advance(hours=1)
    renewed = town.order.present("qr.merchant")
    town.sandbox.advance(minutes=90)
    return town.alice.scan(renewed).confirm()


def pays_what_was_closed(town: Town) -> Outcome:
    town.order.close()
    return pays(town)


def confirms_what_was_reversed(town: Town) -> Outcome:
    prompt = town.alice.scan(town.text)
    town.order.reverse()
    return prompt.confirm()


def pays_what_was_voided(town: Town) -> Outcome:
    town.alice.scan(town.text).confirm()
    town.order.void()
    return pays(town)


def has_too_little(town: Town) -> Outcome:
    return town.bob.scan(town.text).confirm()


def types_a_wrong_pin(town: Town) -> Outcome:
    return town.alice.scan(town.text).confirm(pin="000000")


def types_it_right_then(town: Town) -> Outcome:
    prompt = town.alice.scan(town.text)
    prompt.confirm(pin="000000")
    return prompt.confirm(pin="123456")


def says_no(town: Town) -> Outcome:
    return town.alice.scan(town.text).refuse()


def says_no_then_yes(town: Town) -> Outcome:
    town.alice.scan(town.text).refuse()
    return pays(town)


def pays_by_debit(town: Town) -> Outcome:
    return town.alice.scan(town.text).confirm(source="debit")


def pays_by_card(town: Town) -> Outcome:
    return town.alice.scan(town.text).confirm(source="card")


def pays_by_nothing(town: Town) -> Outcome:
    return town.alice.scan(town.text).confirm(source="piggy bank")


def pays_a_screenshot(town: Town) -> Outcome:
    return town.alice.scan(town.text, saved=True).confirm()


def pays_after_another_looked(town: Town) -> Outcome:
    town.bob.scan(town.text)
    return pays(town)


def pays_from_a_picture(town: Town) -> Outcome:
    presentation = town.order.presentation
    assert presentation
    return town.alice.scan(presentation.png()).confirm()


PAYMENTS: list[tuple[Callable[[Town], Outcome], str]] = [
    (pays, ""),
    (pays_cheaper, "altered_code"),
    (pays_to_another, "wrong_shop"),
    (pays_another_order, "altered_code"),
    (pays_no_order, "not_found"),
    (pays_late, "expired"),
    (confirms_late, "expired"),
    (pays_in_the_last_second, ""),
    (pays_what_is_paid, "already_paid"),
    (confirms_twice, "already_paid"),
    (pays_a_replaced_code, "replaced_code"),
    (pays_a_renewed_code, ""),
    (pays_what_was_closed, "wrong_state"),
    (confirms_what_was_reversed, "wrong_state"),
    (pays_what_was_voided, "wrong_state"),
    (has_too_little, "insufficient_funds"),
    (types_a_wrong_pin, "wrong_pin"),
    (types_it_right_then, ""),
    (says_no, "refused_by_payer"),
    (says_no_then_yes, ""),
    (pays_by_debit, ""),
    (pays_by_card, ""),
    (pays_by_nothing, "no_such_account"),
    (pays_a_screenshot, ""),
    (pays_after_another_looked, ""),
    (pays_from_a_picture, ""),
]


@pytest.mark.parametrize(("does", "reason"), PAYMENTS)
def test_what_is_paid_and_what_is_declined(town: Town, does: Callable[[Town], Outcome], reason: str) -> None:
    outcome = does(town)
    assert (outcome.reason.value if outcome.reason else "") == reason
    assert outcome.approved is (reason == "")
    expected = CNY("12.80") if reason in ("", "already_paid") else CNY("0")
    assert town.shop.takings() == expected
    assert (
        sum(p.balance(s).minor for p in (town.alice, town.bob) for s in p.sources) == 62_500 - expected.minor
    )
    assert town.order.state is town.order.book.state


def test_the_prompt_shows_what_is_to_be_paid(town: Town) -> None:
    prompt = town.alice.scan(town.text)
    assert (prompt.money, prompt.outcome) == (CNY("12.80"), None)
    assert prompt.order
    assert prompt.order.id == town.order.id
    assert town.order.state is State.PENDING
    with pytest.raises(UsageError, match="confirm"):
        prompt.pay(CNY("1.00"))


@pytest.mark.parametrize("position", range(0, 120, 7))
def test_a_code_with_a_wrong_character_is_an_error_and_pays_nothing(town: Town, position: int) -> None:
    damaged = town.text[:position] + ("7" if town.text[position] != "7" else "8") + town.text[position + 1 :]
    with pytest.raises((DecodeError, Unsupported)):
        town.alice.scan(damaged)
    assert town.shop.takings() == CNY("0")


def test_a_credit_card_at_a_shop_that_takes_none(paysim_sandbox: Sandbox) -> None:
    inn = paysim_sandbox.shop("Inn", refuse_credit=True)
    alice = paysim_sandbox.person("Alice", balance=CNY("100.00"))
    alice.bank_account("card", balance=CNY("500.00"), credit=True)
    order = inn.create(CNY("12.80"))
    prompt = alice.scan(order.present("qr.merchant"))
    outcome = prompt.confirm(source="card")
    assert outcome.reason == "credit_refused"
    assert order.state is State.PRESENTED
    assert prompt.confirm().approved


def test_money_goes_back_where_it_came_from(town: Town) -> None:
    town.alice.scan(town.text).confirm(source="card")
    town.order.refund(CNY("2.80"))
    assert town.alice.balance("card") == CNY("490.00")
    assert town.alice.balance() == CNY("100.00")
    assert town.order.refunded == CNY("2.80")


# Presenting. ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "reverse"])
def test_what_has_ended_is_not_presented(town: Town, end: str) -> None:
    getattr(town.order, end)()
    with pytest.raises(UsageError):
        town.order.present("qr.merchant")


def test_what_is_paid_is_not_presented(town: Town) -> None:
    pays(town)
    with pytest.raises(UsageError, match="CAPTURED"):
        town.order.present("qr.merchant")


@pytest.mark.parametrize(("point", "known"), [("request", False), ("answer", True)])
def test_a_lost_presentation_can_be_presented_again(town: Town, point: str, known: bool) -> None:
    order = town.shop.create(CNY("1.00"))
    town.sandbox.faults.add(Fault(point, verb="present"))
    with pytest.raises(LinkTimeout):
        order.present("qr.merchant")
    assert (order.state, order.presentation) == (State.CREATED, None)
    assert (order.book.state is State.PRESENTED) is known
    assert town.alice.scan(order.present("qr.merchant")).confirm().approved
    assert order.state is State.CAPTURED


def test_the_same_reference_is_the_same_order(town: Town) -> None:
    assert town.shop.create(CNY("12.80"), reference="T-1001").id == town.order.id
    with pytest.raises(UsageError, match="T-1001"):
        town.shop.create(CNY("12.81"), reference="T-1001")
    other = town.sandbox.shop("Other").create(CNY("12.81"), reference="T-1001")
    assert other.id != town.order.id


WRONG: list[dict[str, Any]] = [
    {},
    {"money": CNY("0")},
    {"money": CNY("-1")},
    {"money": CNY("1"), "capture": "later"},
    {"money": CNY("1"), "reference": "x" * 65},
    {"money": CNY("1"), "reference": "a\nb"},
    {"money": CNY("1"), "reference": "\ud800"},
]


@pytest.mark.parametrize("arguments", WRONG)
def test_what_is_no_order(town: Town, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        town.shop.create(**arguments)


# Callbacks. -----------------------------------------------------------------------------------------


def test_a_shop_that_heard_nothing_asks(town: Town) -> None:
    town.sandbox.faults.add(Fault("callback", times=2))
    assert pays(town).approved
    assert (town.order.state, town.order.book.state) == (State.PRESENTED, State.CAPTURED)
    assert "(the shop does not know yet)" in town.order.timeline()
    assert town.order.query() is State.CAPTURED
    assert town.order.captured == CNY("12.80")


def test_a_late_callback_counts_once(town: Town) -> None:
    town.sandbox.faults.add(Fault("callback", "delay", times=2))
    pays(town)
    assert town.order.query() is State.CAPTURED
    town.sandbox.advance(minutes=2)
    assert town.order.captured == CNY("12.80")
    assert [event.kind for event in town.order.events].count("captured") == 1


def test_a_close_at_the_moment_of_expiry_is_one_close(town: Town) -> None:
    town.sandbox.advance(hours=2, minutes=-1)
    town.sandbox.faults.add(Fault("request", "delay", verb="close"))
    town.order.close()
    town.sandbox.advance(minutes=5)
    assert town.order.state is State.CLOSED
    assert [event.kind for event in town.order.book.events].count("closed") == 1


def test_a_refusal_before_the_operator_knows_the_order_does_not_block_it(town: Town) -> None:
    order = town.shop.create(CNY("1.00"))
    assert order.refund(CNY("1.00")).reason == "wrong_state"
    assert town.alice.scan(order.present("qr.merchant")).confirm().approved
    assert order.state is State.CAPTURED
