"""Terminal risk management of kernels 3 and 7: expiry, exception file, usage control (V14-V16, U6).

Source: EMV Contactless C-3; EMV 4.4 Book 3 10.4
"""

from __future__ import annotations

from typing import Final

from paysim.codec.bits import bit
from paysim.codec.formats import decode_date, decode_n
from paysim.core.errors import DecodeError

from .kernel import Tap
from .reader import CASH, CASH_DISBURSEMENT, CASHBACK

__all__ = ["forbidden_use", "is_expired", "is_listed"]

EXPIRY: Final = 0x5F24
SEQUENCE: Final = 0x5F34
USAGE: Final = 0x9F07
ISSUER_COUNTRY: Final = 0x5F28

USES: Final = {
    CASH: ("b1.8", "b1.7", "b1.3"),
    CASH_DISBURSEMENT: ("b1.8", "b1.7", "b1.3"),
    CASHBACK: ("b2.8", "b2.7", "b1.2"),
}
"""Type (9C) -> bit of the usage control in the issuer's country, abroad; bit of the CTQ that switches."""


def is_expired(tap: Tap) -> bool:
    """Whether the day of the purchase is after the last day (5F24), or the card has none.

    Assumed: a 5F24 that is no date is as good as none.
    """
    try:
        last = decode_date(tap.card.get(EXPIRY, b""))
    except DecodeError:
        return True
    return tap.purchase.date > last


def is_listed(tap: Tap) -> bool:
    """Whether the exception file is looked at and has the card: its PAN with its sequence number or None."""
    listed = tap.reader.exception_file
    if not listed or not tap.combination.exception_file:
        return False
    if (tap.pan, None) in listed:
        return True
    try:
        return (tap.pan, decode_n(tap.card.get(SEQUENCE, b"\x00"))) in listed
    except DecodeError:
        return False


def forbidden_use(tap: Tap) -> tuple[str, str] | None:
    """What the card's usage control (9F07) forbids, and the CTQ bit that then wants another interface.

    None where it forbids nothing. Assumed: without 9F07 or 5F28 nothing is forbidden.
    """
    use = USES.get(tap.purchase.type)
    usage, country = tap.card.get(USAGE), tap.card.get(ISSUER_COUNTRY)
    if use is None or usage is None or country is None or not tap.combination.usage_control:
        return None
    at_home, abroad, switch = use
    if bit(usage, at_home if country == tap.terminal[0x9F1A] else abroad):
        return None
    return ("cashback" if tap.purchase.type == CASHBACK else "cash"), switch
