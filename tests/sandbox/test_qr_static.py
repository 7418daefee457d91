"""A standing code: many people pay it, each payment an order of its own; market rules R04 and R05."""

from __future__ import annotations

from typing import Any

import pytest

from paysim import CNY, JPY, CurrencyMismatch, Fault, Sandbox, State, Unsupported, UsageError
from paysim.qr import merchant


@pytest.fixture
def town(paysim_sandbox: Sandbox) -> tuple[Sandbox, Any, Any, Any]:
    shop = paysim_sandbox.shop("Tea House")
    alice = paysim_sandbox.person("Alice", balance=CNY("2000.00"))
    bob = paysim_sandbox.person("Bob", balance=CNY("2000.00"))
    alice.bank_account("card", balance=CNY("2000.00"), credit=True)
    return paysim_sandbox, shop, alice, bob


Town = tuple[Sandbox, Any, Any, Any]


def test_many_people_pay_one_code(town: Town) -> None:
    sandbox, shop, alice, bob = town
    stand = shop.static_code()
    orders = []
    for payer, amount in ((alice, "3.00"), (bob, "4.00"), (alice, "5.00")):
        prompt = payer.scan(stand.png())
        assert (prompt.money, prompt.order) == (None, None)
        assert prompt.pay(CNY(amount)).approved
        orders.append(prompt.order)
    assert len({order.id for order in orders}) == 3
    assert [order.money for order in orders] == [CNY("3.00"), CNY("4.00"), CNY("5.00")]
    assert {order.state for order in orders} == {State.CAPTURED}
    assert shop.takings() == CNY("12.00")
    assert orders[0].refund().done
    assert (shop.takings(), alice.balance()) == (CNY("9.00"), CNY("1995.00"))
    assert len(list(sandbox.orders())) == 3


def test_a_standing_code_never_expires(town: Town) -> None:
    sandbox, shop, alice, _ = town
    stand = shop.static_code()
    assert stand.expires_ms is None
    sandbox.advance(days=400)
    assert alice.scan(stand).pay(CNY("1.00")).approved


def test_one_prompt_pays_once_more_when_asked(town: Town) -> None:
    _, shop, alice, _ = town
    prompt = alice.scan(shop.static_code())
    first = prompt.pay(CNY("1.00")).approved and prompt.order.id
    second = prompt.pay(CNY("2.00")).approved and prompt.order.id
    assert first != second
    assert shop.takings() == CNY("3.00")


# amounts paid before, what is paid now, the reason, the rule's number
R04: list[tuple[list[str], str, str, str]] = [
    ([], "500.00", "", ""),
    ([], "500.01", "limit_exceeded", "R04"),
    (["499.99"], "0.01", "", ""),
    (["499.99"], "0.02", "limit_exceeded", "R04"),
    (["250.00", "250.00"], "0.01", "limit_exceeded", "R04"),
]


@pytest.mark.parametrize(("before", "amount", "reason", "rule"), R04)
def test_a_day_of_standing_codes_is_500(
    town: Town, before: list[str], amount: str, reason: str, rule: str
) -> None:
    _, shop, alice, _ = town
    stand = shop.static_code()
    for paid in before:
        assert alice.scan(stand).pay(CNY(paid)).approved
    prompt = alice.scan(stand)
    outcome = prompt.pay(CNY(amount))
    assert (outcome.reason or "", outcome.code) == (reason, rule)
    assert prompt.order.state is (State.DECLINED if reason else State.CAPTURED)
    if reason:
        assert f"{rule}" not in outcome.text
        assert "500" in outcome.text


def test_the_limit_is_each_payers_each_accounts_and_each_days(town: Town) -> None:
    sandbox, shop, alice, bob = town
    stand, other = shop.static_code(), sandbox.shop("Inn").static_code()
    assert alice.scan(stand).pay(CNY("500.00")).approved
    assert alice.scan(other).pay(CNY("0.01")).code == "R04"
    assert alice.scan(stand).pay(CNY("500.00"), source="card").approved
    assert bob.scan(stand).pay(CNY("500.00")).approved
    sandbox.advance(hours=15, minutes=59, seconds=59)
    assert alice.scan(stand).pay(CNY("0.01")).code == "R04"
    sandbox.advance(seconds=1)
    assert alice.scan(stand).pay(CNY("500.00")).approved


def test_a_saved_picture_of_a_dynamic_code_counts_as_static(town: Town) -> None:
    _, shop, alice, _ = town
    order = shop.create(CNY("600.00"))
    code = order.present("qr.merchant")
    assert alice.scan(code, saved=True).confirm().code == "R04"
    assert alice.scan(code).confirm().approved


# personal code, remote payer, whether R05 forbids it
R05 = [(True, True, True), (True, False, False), (False, True, False), (False, False, False)]


@pytest.mark.parametrize(("personal", "remote", "forbidden"), R05)
def test_a_personal_code_is_not_for_remote_collection(
    paysim_sandbox: Sandbox, personal: bool, remote: bool, forbidden: bool
) -> None:
    payee = paysim_sandbox.shop("Carol", personal=personal)
    alice = paysim_sandbox.person("Alice", balance=CNY("10.00"))
    outcome = alice.scan(payee.static_code(), remote=remote).pay(CNY("1.00"))
    assert outcome.approved is not forbidden
    assert (outcome.reason == "remote_collection", outcome.code == "R05") == (forbidden, forbidden)


def test_declines(town: Town) -> None:
    _, shop, alice, _ = town
    poor = town[0].person("Carol", balance=CNY("0.99"))
    stand = shop.static_code()
    assert poor.scan(stand).pay(CNY("1.00")).reason == "insufficient_funds"
    assert alice.scan(stand).pay(CNY("1.00"), pin="000000").reason == "wrong_pin"
    assert alice.scan(stand).pay(CNY("1.00"), source="none").reason == "no_such_account"
    assert alice.scan(stand).refuse().reason == "refused_by_payer"
    assert shop.takings() == CNY("0")


def test_a_code_that_the_shop_did_not_make(town: Town) -> None:
    sandbox, shop, alice, _ = town
    thief = sandbox.shop("Thief")
    fields = dict(merchant.decode(shop.static_code().text).fields)
    fields.pop("63")
    renamed = merchant.encode(fields | {"59": "Tea Palace"})
    stolen = merchant.encode(fields | {"26": fields["26"] | {"01": thief.id}})
    amount = merchant.encode(fields | {"54": "1.00"})
    assert alice.scan(renamed).outcome.reason == "altered_code"
    assert alice.scan(amount).pay(CNY("1.00")).reason == "altered_code"
    assert alice.scan(stolen).pay(CNY("1.00")).reason == "not_found"
    assert not list(sandbox.orders())


def test_each_standing_code_is_good_for_itself(town: Town) -> None:
    _, shop, alice, _ = town
    one, two = shop.static_code(), shop.static_code()
    assert one.text != two.text
    assert alice.scan(one).pay(CNY("1.00")).approved
    assert alice.scan(two).pay(CNY("1.00")).approved


def test_the_wrong_way_to_ask(town: Town) -> None:
    _, shop, alice, _ = town
    prompt = alice.scan(shop.static_code())
    with pytest.raises(UsageError, match=r"\.pay\(money\)"):
        prompt.confirm()
    for amount in ("0", "-1"):
        with pytest.raises(UsageError):
            prompt.pay(CNY(amount))
    with pytest.raises(Unsupported, match="static_code"):
        shop.create(CNY("1.00")).present("qr.static")
    with pytest.raises(Unsupported):
        shop.static_code(channel="qr.merchant")


def test_a_code_in_one_currency_is_not_paid_in_another(town: Town) -> None:
    _, shop, alice, _ = town
    alice.fund(JPY(5_000))
    yen, yuan = shop.static_code("JPY"), shop.static_code()
    with pytest.raises(CurrencyMismatch):
        alice.scan(yuan).pay(JPY(100))
    assert alice.scan(yen).pay(JPY(100)).approved
    assert shop.takings("JPY") == JPY(100)


@pytest.mark.parametrize("action", ["lose", "delay"])
def test_a_shop_that_heard_nothing_of_a_payment(town: Town, action: str) -> None:
    sandbox, shop, alice, _ = town
    sandbox.faults.add(Fault("callback", action))
    prompt = alice.scan(shop.static_code())
    assert prompt.pay(CNY("1.00")).approved
    order = prompt.order
    assert (order.state, order.book.state, order.money) == (State.CREATED, State.CAPTURED, CNY("1.00"))
    with pytest.raises(UsageError, match="query"):
        order.authorize(alice.payment_code())
    if action == "delay":
        sandbox.advance(minutes=1)
    else:
        order.query()
    assert order.state is State.CAPTURED
    assert order.refund(CNY("0.40")).done
    assert shop.takings() == CNY("0.60")


def test_a_refund_is_how_a_shop_may_hear_of_a_payment(town: Town) -> None:
    sandbox, shop, alice, _ = town
    sandbox.faults.add(Fault("callback"))
    prompt = alice.scan(shop.static_code())
    prompt.pay(CNY("1.00"))
    assert prompt.order.refund(CNY("0.40")).done
    assert (prompt.order.state, prompt.order.refunded) == (State.CAPTURED, CNY("0.40"))
