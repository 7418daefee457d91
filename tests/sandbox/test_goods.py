"""Goods lines travel from the order through the journal to the receipt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paysim import CNY, JPY, CurrencyMismatch, Goods, Money, Sandbox, UsageError

TEA = [Goods("龙井茶", CNY("6.40"), 2), Goods("Cup", CNY("0.00")), Goods("Bag, small", CNY("0.10"), 3)]
LINES = [
    {"name": "龙井茶", "quantity": 2, "price_minor": 640},
    {"name": "Cup", "quantity": 1, "price_minor": 0},
    {"name": "Bag, small", "quantity": 3, "price_minor": 10},
]

RECEIPT = """Tea House
order {id}
reference T-1
  2 x 龙井茶                           12.80
  1 x Cup                            0.00
  3 x Bag, small                     0.30
total                 13.10 CNY
paid                  13.10 CNY
refunded               0.30 CNY
CAPTURED"""


def test_goods_travel_to_the_receipt(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Sandbox(store=path) as sandbox:
        shop = sandbox.shop("Tea House")
        order = shop.create(goods=TEA, reference="T-1")
        assert order.money == CNY("13.10")
        sandbox.person("Alice", balance=CNY("20")).scan(order.present("qr.merchant")).confirm()
        order.refund(CNY("0.30"))
    with Sandbox(store=path) as sandbox:
        again = sandbox.order(order.id)
        assert list(again.goods) == LINES
        assert again.receipt() == RECEIPT.format(id=order.id)
        assert again.book.events[0].data["goods"] == LINES, "the operator knows them too"


def test_an_order_without_goods_has_a_receipt_too(paysim_sandbox: Sandbox) -> None:
    order = paysim_sandbox.shop("Tea House").create(CNY("1.00"))
    assert order.goods == ()
    assert order.receipt().splitlines()[-2:] == ["total                  1.00 CNY", "CREATED"]


def test_a_standing_payment_has_a_receipt(paysim_sandbox: Sandbox) -> None:
    alice = paysim_sandbox.person("Alice", balance=CNY("20"))
    prompt = alice.scan(paysim_sandbox.shop("Tea House").static_code())
    prompt.pay(CNY("3.00"))
    assert prompt.order
    assert "paid                   3.00 CNY" in prompt.order.receipt()


def test_the_sum_may_be_said_twice_but_not_differently(paysim_sandbox: Sandbox) -> None:
    shop = paysim_sandbox.shop("Tea House")
    assert shop.create(CNY("13.10"), goods=TEA).money == CNY("13.10")
    with pytest.raises(UsageError, match=r"13\.10"):
        shop.create(CNY("13.11"), goods=TEA)


def test_the_same_reference_with_other_goods_is_another_order(paysim_sandbox: Sandbox) -> None:
    shop = paysim_sandbox.shop("Tea House")
    order = shop.create(goods=TEA, reference="T-1")
    assert shop.create(goods=TEA, reference="T-1").id == order.id
    with pytest.raises(UsageError):
        shop.create(CNY("13.10"), reference="T-1")


WRONG: list[list[Any]] = [
    ["", CNY("1"), 1],
    ["tea\n", CNY("1"), 1],
    ["\ud800", CNY("1"), 1],
    ["tea", CNY("1"), 0],
    ["tea", CNY("1"), -1],
    ["tea", CNY("-1"), 1],
]


@pytest.mark.parametrize("line", WRONG)
def test_what_is_no_line_of_goods(line: list[Any]) -> None:
    with pytest.raises(UsageError):
        Goods(*line)


def test_goods_have_one_currency_and_cost_something(paysim_sandbox: Sandbox) -> None:
    shop = paysim_sandbox.shop("Tea House")
    with pytest.raises(CurrencyMismatch):
        shop.create(goods=[Goods("tea", CNY("1")), Goods("cha", JPY(1))])
    with pytest.raises(UsageError):
        shop.create(goods=[Goods("air", CNY("0"))])
    with pytest.raises(UsageError):
        shop.create(goods=[Goods("gold", Money("CNY", 10**15), 2)])
