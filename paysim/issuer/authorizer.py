"""The decision on a payment: PIN, the shop's wishes, market limits, money."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from paysim.core.clock import DAY_MS, HOUR_MS
from paysim.core.outcome import APPROVED, Outcome, Reason

from .accounts import Kind, Payer, Source
from .limits import LimitDecision, LimitRequest, decide

__all__ = ["Approval", "PaymentRequest", "authorize", "business_day"]

_ZONE_MS: Final = 8 * HOUR_MS


class PaymentRequest(NamedTuple):
    """What the issuer is asked: who pays how much from what, and how they proved who they are.

    `pin_right` says whether they typed their PIN rightly, None where none was asked for. `static_code`,
    `personal_code` and `remote` say what kind of code was scanned and from where (market rules R04 and R05);
    `tapped` that it was no code but a card, whose limits the card's host has looked at (R06).
    """

    payer: Payer
    source: Source
    currency: str
    amount_minor: int
    at_ms: int
    pin_right: bool | None
    credit_refused: bool = False
    static_code: bool = False
    personal_code: bool = False
    remote: bool = False
    tapped: bool = False


class Approval(NamedTuple):
    """The answer, and what a payment adds to the counters of limits."""

    outcome: Outcome
    counts: tuple[tuple[str, int, int | None], ...] = ()


_NO_LIMITS: Final = LimitDecision(True)


@lru_cache(maxsize=8)
def _date(day: int) -> datetime.date:
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=day)


def business_day(at_ms: int) -> datetime.date:
    """The day of a Unix time (ms) in China, where all days of limits and settlement run (UTC+8)."""
    return _date((at_ms + _ZONE_MS) // DAY_MS)


def authorize(request: PaymentRequest, available_minor: int, used_minor: Callable[[str], int]) -> Approval:
    """The issuer's answer.

    `available_minor` is what the source has; `used_minor` gives a limit counter's value by its name.
    """
    source = request.source
    if request.pin_right is False:
        return Approval(Outcome.declined(Reason.WRONG_PIN, "the PIN is wrong"))
    if request.credit_refused and source.kind is Kind.CREDIT:
        return Approval(Outcome.declined(Reason.CREDIT_REFUSED, "the shop takes no credit cards"))
    limits = _NO_LIMITS if request.tapped else decide(_limit_request(request), used_minor)
    if not limits.allowed:
        reason = Reason.REMOTE_COLLECTION if limits.rule == "R05" else Reason.LIMIT_EXCEEDED
        return Approval(Outcome.declined(reason, limits.reason, code=limits.rule))
    if available_minor < request.amount_minor:
        return Approval(Outcome.declined(Reason.INSUFFICIENT_FUNDS, f"{source.name} has too little money"))
    return Approval(APPROVED, limits.counters)


def _limit_request(request: PaymentRequest) -> LimitRequest:
    payer = request.payer
    factors = "one" if request.pin_right is None else "certificate" if payer.certificate else "two"
    return LimitRequest(
        payer=payer.id,
        source=request.source.limit_key,
        amount_minor=request.amount_minor,
        currency=request.currency,
        day=business_day(request.at_ms),
        static_code=request.static_code,
        personal_code=request.personal_code,
        remote=request.remote,
        factors=factors,
        agreed_limit_minor=payer.agreed_limit_minor,
    )
