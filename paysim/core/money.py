"""Money: whole minor units of an ISO 4217 currency, never a float."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from .errors import CurrencyMismatch, UsageError

__all__ = ["CNY", "CURRENCIES", "EUR", "HKD", "JPY", "USD", "Currency", "Money", "not_negative", "positive"]

MAX_MINOR: Final = 10**15
"""The largest amount, in minor units; Assumed: far above any payment, far below 64 bits."""

_PLAIN: Final = re.compile(r"(-?)(\d{1,15})(?:\.(\d{0,6}))?", re.ASCII)

# Source: ISO 4217 list one: code, numeric code, exponent (digits after the point).
_ISO_4217: Final = """
AED 784 2|AFN 971 2|ALL 008 2|AMD 051 2|ANG 532 2|AOA 973 2|ARS 032 2|AUD 036 2|AWG 533 2
AZN 944 2|BAM 977 2|BBD 052 2|BDT 050 2|BGN 975 2|BHD 048 3|BIF 108 0|BMD 060 2|BND 096 2
BOB 068 2|BRL 986 2|BSD 044 2|BTN 064 2|BWP 072 2|BYN 933 2|BZD 084 2|CAD 124 2|CDF 976 2
CHF 756 2|CLF 990 4|CLP 152 0|CNY 156 2|COP 170 2|CRC 188 2|CUP 192 2|CVE 132 2|CZK 203 2
DJF 262 0|DKK 208 2|DOP 214 2|DZD 012 2|EGP 818 2|ERN 232 2|ETB 230 2|EUR 978 2|FJD 242 2
FKP 238 2|GBP 826 2|GEL 981 2|GHS 936 2|GIP 292 2|GMD 270 2|GNF 324 0|GTQ 320 2|GYD 328 2
HKD 344 2|HNL 340 2|HTG 332 2|HUF 348 2|IDR 360 2|ILS 376 2|INR 356 2|IQD 368 3|IRR 364 2
ISK 352 0|JMD 388 2|JOD 400 3|JPY 392 0|KES 404 2|KGS 417 2|KHR 116 2|KMF 174 0|KPW 408 2
KRW 410 0|KWD 414 3|KYD 136 2|KZT 398 2|LAK 418 2|LBP 422 2|LKR 144 2|LRD 430 2|LSL 426 2
LYD 434 3|MAD 504 2|MDL 498 2|MGA 969 2|MKD 807 2|MMK 104 2|MNT 496 2|MOP 446 2|MRU 929 2
MUR 480 2|MVR 462 2|MWK 454 2|MXN 484 2|MYR 458 2|MZN 943 2|NAD 516 2|NGN 566 2|NIO 558 2
NOK 578 2|NPR 524 2|NZD 554 2|OMR 512 3|PAB 590 2|PEN 604 2|PGK 598 2|PHP 608 2|PKR 586 2
PLN 985 2|PYG 600 0|QAR 634 2|RON 946 2|RSD 941 2|RUB 643 2|RWF 646 0|SAR 682 2|SBD 090 2
SCR 690 2|SDG 938 2|SEK 752 2|SGD 702 2|SHP 654 2|SLE 925 2|SOS 706 2|SRD 968 2|SSP 728 2
STN 930 2|SVC 222 2|SYP 760 2|SZL 748 2|THB 764 2|TJS 972 2|TMT 934 2|TND 788 3|TOP 776 2
TRY 949 2|TTD 780 2|TWD 901 2|TZS 834 2|UAH 980 2|UGX 800 0|USD 840 2|UYI 940 0|UYU 858 2
UYW 927 4|UZS 860 2|VED 926 2|VES 928 2|VND 704 0|VUV 548 0|WST 882 2|XAF 950 0|XCD 951 2
XOF 952 0|XPF 953 0|YER 886 2|ZAR 710 2|ZMW 967 2|ZWG 924 2
"""


class Currency(msgspec.Struct, frozen=True):
    """An ISO 4217 currency; calling it makes money.

    >>> CNY("12.80")
    Money('CNY', 1280)
    """

    code: str
    numeric: str
    exponent: int

    def __call__(self, amount: str | int) -> Money:
        """Money of `amount`: text in major units ("12.80") or an int of whole major units.

        Raises UsageError for floats, too many decimals, signs other than a leading minus, or separators.
        """
        return Money.parse(amount, self.code)


CURRENCIES: Final[dict[str, Currency]] = {
    code: Currency(code, numeric, int(exponent))
    for code, numeric, exponent in (row.split() for row in _ISO_4217.replace("\n", "|").split("|") if row)
}
"""Every currency by its three-letter code. Source: ISO 4217 list one."""

_BY_NUMERIC: Final = {currency.numeric: currency for currency in CURRENCIES.values()}


class Money(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A whole number of minor units of one currency.

    Sums and comparisons of two currencies raise CurrencyMismatch; an unknown currency, a float or more
    than MAX_MINOR raises UsageError.

    >>> Money("CNY", 1280) - CNY("2.80")
    Money('CNY', 1000)
    >>> str(Money("JPY", 500)), str(Money("BHD", -1))
    ('500 JPY', '-0.001 BHD')
    """

    currency: str
    minor: int

    def __post_init__(self) -> None:
        if self.currency not in CURRENCIES:
            raise UsageError(f"{self.currency!r} is no ISO 4217 currency code; write one like 'CNY'")
        if type(self.minor) is not int or not -MAX_MINOR <= self.minor <= MAX_MINOR:
            raise UsageError(f"an amount is an int of at most {MAX_MINOR} minor units, not {self.minor!r}")

    @classmethod
    def parse(cls, amount: str | int, currency: str) -> Money:
        """The money that a text in major units names ("12.80", "12", "98.").

        Raises UsageError where the text is no plain decimal or has more decimals than the currency.
        """
        known = CURRENCIES.get(currency) or _BY_NUMERIC.get(currency)
        if known is None:
            raise UsageError(f"{currency!r} is no ISO 4217 currency code; write one like 'CNY' or '156'")
        if type(amount) is int:
            return cls(known.code, amount * 10**known.exponent)
        match = _PLAIN.fullmatch(amount) if isinstance(amount, str) else None
        if match is None:
            raise UsageError(f"an amount is text like '12.80' or an int of major units, not {amount!r}")
        sign, whole, decimals = match.group(1), match.group(2), match.group(3) or ""
        if decimals[known.exponent :].strip("0"):
            raise UsageError(f"{known.code} has {known.exponent} decimals; {amount!r} has more")
        minor = int(whole + decimals[: known.exponent].ljust(known.exponent, "0"))
        return cls(known.code, -minor if sign else minor)

    @property
    def text(self) -> str:
        """The amount in major units with all its decimals, without the currency ("12.80")."""
        exponent = CURRENCIES[self.currency].exponent
        if not exponent:
            return str(self.minor)
        whole, rest = divmod(abs(self.minor), 10**exponent)
        return f"{'-' if self.minor < 0 else ''}{whole}.{rest:0{exponent}d}"

    def __str__(self) -> str:
        return f"{self.text} {self.currency}"

    def __repr__(self) -> str:
        return f"Money({self.currency!r}, {self.minor})"

    def _same(self, other: Money) -> int:
        if not isinstance(other, Money):
            raise UsageError(f"money goes with money, not with {type(other).__name__}")
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self} and {other} are two currencies; convert one first")
        return other.minor

    def __add__(self, other: Money) -> Money:
        return Money(self.currency, self.minor + self._same(other))

    def __sub__(self, other: Money) -> Money:
        return Money(self.currency, self.minor - self._same(other))

    def __neg__(self) -> Money:
        return Money(self.currency, -self.minor)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._same(other)


def positive(money: Money, what: str) -> Money:
    """`money` itself; raises UsageError unless it is Money of more than nothing. `what` says who asks.

    >>> positive(CNY("3.00"), "a payment")
    Money('CNY', 300)
    """
    if not not_negative(money, what).minor:
        raise UsageError(f"{what} is of more than nothing, not {money}")
    return money


def not_negative(money: Money, what: str) -> Money:
    """`money` itself; raises UsageError unless it is Money of nothing or more. `what` says who asks."""
    if not isinstance(money, Money):
        raise UsageError(f"{what} is Money, like CNY('12.80'), not {money!r}")
    if money.minor < 0:
        raise UsageError(f"{what} is not negative, as {money} is")
    return money


CNY: Final = CURRENCIES["CNY"]
EUR: Final = CURRENCIES["EUR"]
HKD: Final = CURRENCIES["HKD"]
JPY: Final = CURRENCIES["JPY"]
USD: Final = CURRENCIES["USD"]
