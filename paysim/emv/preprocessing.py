"""Pre-processing: which combinations an amount allows, and what the card is told of it (steps P1-P11).

Source: EMV Contactless Book B 3.1.1; public test listings of Entry Point 2.5
"""

from __future__ import annotations

from typing import NamedTuple

from paysim.codec.bits import bit, set_bit

from .outcome import Decision
from .reader import Combination, Limits, Purchase

__all__ = ["Prepared", "prepare", "unprepared"]


class Prepared(NamedTuple):
    """A combination with the indicators of this payment; `ttq` is the copy that the card gets, or None."""

    combination: Combination
    ttq: bytes | None = None
    allowed: bool = True
    zero_amount: bool = False
    status_check: bool = False
    floor_limit_exceeded: bool = False
    cvm_limit_exceeded: bool = False
    decisions: tuple[Decision, ...] = ()


def unprepared(combination: Combination) -> Prepared:
    """The combination as it is without pre-processing: all indicators 0, the TTQ as configured (B1)."""
    return Prepared(combination, combination.ttq)


def prepare(combination: Combination, purchase: Purchase, limits: Limits | None = None) -> Prepared:
    """The indicators of `purchase` for this combination, by its own limits or by `limits`.

    >>> import datetime
    >>> from .reader import VISA
    >>> today, noon = datetime.date(2026, 11, 27), datetime.time(12)
    >>> bought = Purchase(8001, date=today, time=noon, unpredictable=bytes(4))
    >>> prepare(VISA, bought).ttq.hex()
    '26c04000'

    Source: EMV Contactless Book B 3.1.1
    """
    limits = limits or combination.limits
    amount = purchase.amount_minor
    why: list[Decision] = []
    # P1: the copy of the TTQ, its two bits of this payment cleared
    ttq = combination.ttq
    if ttq is not None:
        ttq = set_bit(set_bit(ttq, "b2.8", False), "b2.7", False)
    # P2
    status_check = bool(limits.status_check) and amount == 10**purchase.exponent
    if status_check:
        why.append(Decision("P2", "one unit of the currency: status check requested"))
    # P3, P4
    zero = amount == 0 and limits.zero_amount_allowed is not False
    if amount == 0:
        why.append(Decision("P4", "zero amount") if zero else Decision("P3", "zero amount is not allowed"))
    allowed = amount > 0 or zero
    # P5: at the limit and above
    if limits.transaction_limit is not None and amount >= limits.transaction_limit:
        allowed = False
        why.append(Decision("P5", f"{amount} >= transaction limit {limits.transaction_limit}: not allowed"))
    # P6, P7: above the limit
    step, floor = ("P6", limits.floor_limit)
    if floor is None:
        step, floor = ("P7", limits.terminal_floor)
    floor_exceeded = floor is not None and amount > floor
    if floor_exceeded:
        why.append(Decision(step, f"{amount} > floor limit {floor}: exceeded"))
    # P8: at the limit and above
    cvm_exceeded = limits.cvm_limit is not None and amount >= limits.cvm_limit
    if cvm_exceeded:
        why.append(Decision("P8", f"{amount} >= CVM limit {limits.cvm_limit}: exceeded"))
    if ttq is not None:
        ttq, forbidden = _tell(ttq, zero, floor_exceeded or status_check, cvm_exceeded, why)
        allowed = allowed and not forbidden
    return Prepared(combination, ttq, allowed, zero, status_check, floor_exceeded, cvm_exceeded, tuple(why))


def _tell(ttq: bytes, zero: bool, online: bool, cvm: bool, why: list[Decision]) -> tuple[bytes, bool]:
    """The TTQ copy with what the card is to know (P9-P11), and whether a zero amount is forbidden."""
    if online:
        ttq = set_bit(ttq, "b2.8")
        why.append(Decision("P9", "online cryptogram required"))
    forbidden = zero and bit(ttq, "b1.4")
    if forbidden:
        why.append(Decision("P10", "zero amount on an offline-only reader: not allowed"))
    elif zero:
        ttq = set_bit(ttq, "b2.8")
        why.append(Decision("P10", "zero amount: online cryptogram required"))
    if cvm:
        ttq = set_bit(ttq, "b2.7")
        why.append(Decision("P11", "CVM required"))
    return ttq, forbidden
