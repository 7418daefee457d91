"""A mistake in a call is a UsageError that says what to write instead, and nothing is half done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paysim import CNY, Goods, Money, Sandbox, UsageError

CALLS: dict[str, Callable[[Sandbox], object]] = {
    "text for money": lambda s: s.shop("S").create("12.80"),  # type: ignore[arg-type]
    "float for money": lambda s: s.shop("S").create(12.8),  # type: ignore[arg-type]
    "nothing for money": lambda s: s.shop("S").create(),
    "zero": lambda s: s.shop("S").create(CNY("0")),
    "negative": lambda s: s.shop("S").create(Money("CNY", -1)),
    "number for a reference": lambda s: s.shop("S").create(CNY("1"), reference=5),  # type: ignore[arg-type]
    "numbers for goods": lambda s: s.shop("S").create(goods=[1]),  # type: ignore[list-item]
    "text for a price": lambda s: Goods("tea", "6.40"),  # type: ignore[arg-type]
    "text for a refund": lambda s: s.shop("S").create(CNY("1")).refund("1"),  # type: ignore[arg-type]
    "number for a key": lambda s: s.shop("S").create(CNY("1")).close(key=5),  # type: ignore[arg-type]
    "text for a balance": lambda s: s.person("P", balance="5"),  # type: ignore[arg-type]
    "text to fund": lambda s: s.person("P").fund("5"),  # type: ignore[arg-type]
    "text for a card": lambda s: s.person("P").bank_account("visa", balance="5"),  # type: ignore[arg-type]
    "short PIN": lambda s: s.person("P", pin="12"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_mistake_is_named(paysim_sandbox: Sandbox, call: Callable[[Sandbox], object]) -> None:
    with pytest.raises(UsageError):
        call(paysim_sandbox)


def test_a_person_with_a_bad_balance_is_not_opened(paysim_sandbox: Sandbox) -> None:
    with pytest.raises(UsageError):
        paysim_sandbox.person("Alice", balance="100")  # type: ignore[arg-type]
    assert paysim_sandbox.person("Alice", balance=CNY("100")).balance() == CNY("100")


def test_opening_a_wallet_and_filling_it_is_one_fact(paysim_sandbox: Sandbox) -> None:
    paysim_sandbox.shop("Tea House")
    before = paysim_sandbox.journal.position
    paysim_sandbox.person("Alice", balance=CNY("100"))
    assert paysim_sandbox.journal.position == before + 1
