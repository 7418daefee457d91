"""Money: whole minor units, one currency, no float."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from counts import count
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paysim.core.errors import CurrencyMismatch, UsageError
from paysim.core.money import CNY, CURRENCIES, EUR, HKD, JPY, MAX_MINOR, USD, Money
from paysim.testing import strategies

# text or int, currency, minor units, printed
VALID: list[tuple[str | int, str, int, str]] = [
    ("12.80", "CNY", 1280, "12.80 CNY"),
    ("12.8", "CNY", 1280, "12.80 CNY"),
    ("12", "CNY", 1200, "12.00 CNY"),
    ("98.", "CNY", 9800, "98.00 CNY"),
    ("0", "CNY", 0, "0.00 CNY"),
    ("0.01", "CNY", 1, "0.01 CNY"),
    ("-0.01", "CNY", -1, "-0.01 CNY"),
    ("-12.80", "CNY", -1280, "-12.80 CNY"),
    ("-0", "CNY", 0, "0.00 CNY"),
    ("007.50", "CNY", 750, "7.50 CNY"),
    ("1.500000", "CNY", 150, "1.50 CNY"),
    (12, "CNY", 1200, "12.00 CNY"),
    (-3, "EUR", -300, "-3.00 EUR"),
    ("500", "JPY", 500, "500 JPY"),
    ("500.", "JPY", 500, "500 JPY"),
    ("500.00", "JPY", 500, "500 JPY"),
    (500, "JPY", 500, "500 JPY"),
    ("-1", "JPY", -1, "-1 JPY"),
    ("1.234", "BHD", 1234, "1.234 BHD"),
    ("-0.001", "KWD", -1, "-0.001 KWD"),
    ("1.2345", "CLF", 12345, "1.2345 CLF"),
    ("0.0001", "UYW", 1, "0.0001 UYW"),
    ("12.80", "156", 1280, "12.80 CNY"),
    ("5", "392", 5, "5 JPY"),
    ("10000000000000.00", "CNY", MAX_MINOR, "10000000000000.00 CNY"),
]

INVALID: list[tuple[Any, str]] = [
    *((text, "CNY") for text in ("", " ", ".", ".5", "-", "--1", "+1", "1,000", "1 000", "1_000", "1e3")),
    *(
        (text, "CNY")
        for text in ("12.801", "0.001", "12.80 CNY", "¥12", " 12", "12 ", "12\n", "0x10", "NaN", "inf")
    ),
    *((text, "CNY") for text in ("-inf", "1/2", "\x00", "1\u200b", "\ud800")),
    *((text, "CNY") for text in ("1.2.3", "１２", "١٢", "²", "1" * 16, "1.0000000", "10000000000000.01")),
    *((value, "CNY") for value in (12.8, 1.0, None, True, False, b"12.80", Decimal("12.80"), [1], 10**14)),
    *((text, "JPY") for text in ("1.5", "0.1", "500.01")),
    *((text, "BHD") for text in ("1.2345", "0.0001")),
    *(("1", code) for code in ("", "cny", "CNYY", "XXX", "15", "0156", "999", "CN Y")),
]


@pytest.mark.parametrize(("text", "currency", "minor", "printed"), VALID)
def test_what_is_money(text: str | int, currency: str, minor: int, printed: str) -> None:
    amount = Money.parse(text, currency)
    assert (amount.minor, str(amount)) == (minor, printed)
    assert Money.parse(amount.text, amount.currency) == amount


@pytest.mark.parametrize(("text", "currency"), INVALID)
def test_what_is_no_money(text: Any, currency: str) -> None:
    with pytest.raises(UsageError):
        Money.parse(text, currency)


@pytest.mark.parametrize("minor", [1.0, 0.5, "1", None, True, MAX_MINOR + 1, -MAX_MINOR - 1])
def test_minor_units_are_a_bounded_int(minor: Any) -> None:
    with pytest.raises(UsageError):
        Money("CNY", minor)


@pytest.mark.parametrize("currency", ["", "cny", "156", "XYZ", None, 156])
def test_a_currency_has_its_three_letters(currency: Any) -> None:
    with pytest.raises(UsageError):
        Money(currency, 1)


def test_a_currency_makes_money() -> None:
    assert CNY("12.80") == Money("CNY", 1280)
    assert (EUR(1), HKD("1"), USD("1.00"), JPY(1)) == tuple(Money(c, m) for c, m in (
        ("EUR", 100), ("HKD", 100), ("USD", 100), ("JPY", 1)
    ))  # fmt: skip
    with pytest.raises(UsageError):
        CNY(12.8)  # type: ignore[arg-type]


def test_the_table_of_currencies() -> None:
    assert {currency.exponent for currency in CURRENCIES.values()} == {0, 2, 3, 4}
    assert len({currency.numeric for currency in CURRENCIES.values()}) == len(CURRENCIES)
    for code, currency in CURRENCIES.items():
        assert code == currency.code
        assert len(code) == 3
        assert code.isalpha()
        assert code.isupper()
        assert len(currency.numeric) == 3
        assert currency.numeric.isdigit()


def test_sums() -> None:
    assert CNY("12.80") - CNY("2.80") == CNY("10")
    assert CNY("1") + CNY("-1") == CNY("0")
    assert -CNY("1") == CNY("-1")
    assert CNY("1") < CNY("1.01") <= CNY("1.01") < CNY("2")
    assert CNY("2") > CNY("1.01") >= CNY("1.01")
    assert not CNY("0")
    assert CNY("-0.01")
    assert len({CNY("1"), CNY("1.00"), EUR("1")}) == 2
    assert repr(CNY("1")) == "Money('CNY', 100)"


MIXED = ["__add__", "__sub__", "__lt__", "__le__", "__gt__", "__ge__"]


@pytest.mark.parametrize("operation", MIXED)
def test_two_currencies_do_not_mix(operation: str) -> None:
    with pytest.raises(CurrencyMismatch):
        getattr(CNY("1"), operation)(EUR("1"))


@pytest.mark.parametrize("operation", MIXED)
@pytest.mark.parametrize("other", [1, 1.0, "1", None])
def test_money_goes_with_money(operation: str, other: Any) -> None:
    with pytest.raises(UsageError):
        getattr(CNY("1"), operation)(other)


def test_two_currencies_are_not_equal() -> None:
    assert CNY("1") != EUR("1")
    assert CNY("1") != 100


def test_a_sum_stays_in_its_bounds() -> None:
    with pytest.raises(UsageError):
        Money("CNY", MAX_MINOR) + CNY("0.01")


@settings(max_examples=count(5_000), deadline=None, database=None, derandomize=True)
@given(strategies.money(None, min_minor=-MAX_MINOR, max_minor=MAX_MINOR))
@example(Money("CLF", -1))
@example(Money("JPY", -MAX_MINOR))
def test_what_is_printed_is_read_back(amount: Money) -> None:
    exponent = CURRENCIES[amount.currency].exponent
    if len(amount.text.lstrip("-").partition(".")[0]) <= 15:
        assert Money.parse(amount.text, amount.currency) == amount
        assert Money.parse(amount.text, CURRENCIES[amount.currency].numeric) == amount
    assert Decimal(amount.text).scaleb(exponent) == amount.minor
    assert len(amount.text.partition(".")[2]) == exponent


@settings(max_examples=count(10_000), deadline=None, database=None, derandomize=True)
@given(st.text(max_size=24) | st.text("0123456789.-+, e", max_size=20), st.sampled_from(sorted(CURRENCIES)))
def test_any_text_is_money_or_a_usage_error(text: str, currency: str) -> None:
    try:
        amount = Money.parse(text, currency)
    except UsageError:
        return
    assert Decimal(text.rstrip(".")) == Decimal(amount.text)
