"""Payments without PIN and signature (小额免密免签): up to which sum, and who bears them when a card is lost.

Source: market rules R06 (limits, with their dates), R07 (cover)
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from paysim.core.clock import HOUR_MS
from paysim.core.event import Event

from .authorizer import business_day

__all__ = ["COVER_MS", "COVER_YEARLY_MINOR", "NO_PIN_RULES", "Cover", "NoPinRule", "cover", "no_pin_minor"]

COVER_MS: Final = 72 * HOUR_MS
"""How long before its report a loss is covered. Source: R07"""

COVER_YEARLY_MINOR: Final = 3_000_000
"""Fen a year that a holder is given back. Source: R07. Assumed: a calendar year in UTC+8"""

_COVERED: Final = frozenset({"none"})
"""What was done about the PIN in payments that are covered."""


class NoPinRule(NamedTuple):
    """From `since` on, a payment of up to `ceiling_minor` (inclusive) in `currency` needs no PIN.

    `upgraded` says for which terminals; the newest rule of a terminal's kind holds.
    """

    since: datetime.date
    currency: str
    upgraded: bool
    ceiling_minor: int


NO_PIN_RULES: Final = (
    NoPinRule(datetime.date.min, "CNY", False, 30_000),
    NoPinRule(datetime.date.min, "CNY", True, 30_000),
    NoPinRule(datetime.date(2018, 6, 1), "CNY", True, 100_000),
)
"""Source: R06. Assumed: what was before 300 CNY is not told apart; other currencies have no rule."""


def no_pin_minor(
    rules: Iterable[NoPinRule], currency: str, day: datetime.date, *, upgraded: bool
) -> int | None:
    """Up to which sum a payment of this day needs no PIN; None where no rule speaks of it.

    >>> no_pin_minor(NO_PIN_RULES, "CNY", datetime.date(2026, 1, 1), upgraded=True)
    100000
    """
    fitting = [
        (rule.since, rule.ceiling_minor)
        for rule in rules
        if rule.currency == currency and rule.upgraded is upgraded and rule.since <= day
    ]
    return max(fitting)[1] if fitting else None


class Cover(NamedTuple):
    """What a holder is given back for a lost card: (operation, minor units) a payment, oldest first.

    `counts` is to be added in one step with the payment of it (counter, minor units, ceiling).
    """

    payments: tuple[tuple[str, int], ...] = ()
    counts: tuple[tuple[str, int, int | None], ...] = ()

    @property
    def total_minor(self) -> int:
        """The sum, in fen."""
        return sum(minor for _, minor in self.payments)


def cover(
    holder: str,
    facts: Iterable[Event],
    reported_ms: int,
    used_minor: Callable[[str], int],
    returned_minor: Callable[[str], int],
) -> Cover:
    """What the issuer bears of a card that was reported at `reported_ms`.

    `facts` are the card's; `used_minor` gives a counter's value by its name, `returned_minor` what of a
    payment (by its operation) came back already.

    Source: R07. Assumed: both ends of the 72 hours count; the year is the report's; payments without PIN
    alone are covered, oldest first, the last of them in part
    """
    counter = f"limit/R07/{holder.replace('%', '%25').replace('/', '%2F')}/{business_day(reported_ms).year}"
    left = COVER_YEARLY_MINOR - used_minor(counter)
    payments: list[tuple[str, int]] = []
    for fact in sorted(filter(_is_covered, facts), key=_paid_ms):
        if not reported_ms - COVER_MS <= _paid_ms(fact) <= reported_ms:
            continue
        minor = min(fact.amount_minor - returned_minor(fact.operation), left)
        if minor > 0:
            payments.append((fact.operation, minor))
            left -= minor
    found = Cover(tuple(payments))
    if not payments:
        return found
    return found._replace(counts=((counter, found.total_minor, COVER_YEARLY_MINOR),))


def _is_covered(fact: Event) -> bool:
    if fact.kind not in ("presented", "cleared") or (fact.outcome is not None and not fact.outcome.approved):
        return False
    return fact.data.get("pin") in _COVERED and fact.data.get("currency") == "CNY"


def _paid_ms(fact: Event) -> int:
    """When it was paid: a payment that was approved offline, before its clearing."""
    return int(fact.data.get("approved_ms", fact.at_ms))
