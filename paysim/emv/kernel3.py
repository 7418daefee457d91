"""Kernel 3: Visa's qVSDC, as a table of steps.

GET PROCESSING OPTIONS brings the cryptogram already; there is no GENERATE AC. Mag-stripe mode (MSD) is left
out: a card that has nothing else ends the application for want of data (V10).

Source: EMV Contactless C-3 (steps named V2 to V20). Left out too: CTQ b1.1 (not for ATM); rule unknown.
"""

from __future__ import annotations

from typing import Final

from paysim.codec.bits import bit
from paysim.codec.tlv import name

from . import exchanges, judgements, oda, risk
from .endings import end_application, try_another_interface
from .kernel import Exchange, Judgement, KernelTable, Tap
from .outcome import L2, Message, Result
from .reader import KERNEL_VISA

__all__ = ["KERNEL_3"]

UNREADY: Final = {0x6984: ("V3", "contact"), 0x6985: ("V4", "next"), 0x6986: ("V5", "phone")}
"""Status word of GPO -> step and ending; any other but 9000 is V6."""


def data_for_online_authentication(tap: Tap, step: str) -> Result | None:
    """Ends where ODA is wanted of a payment that goes online and the card lacks data for it (V11).

    Assumed: a failure is noted in the trace alone, for the issuer judges the ARQC.
    """
    card = tap.card
    offers_fdda, offers_sda = bit(card[0x82], "b1.6"), bit(card[0x82], "b1.7")
    if not (tap.combination.online_authentication and bit(tap.ttq, "b1.1") and (offers_fdda or offers_sda)):
        return None
    tags = oda.FDDA_TAGS if offers_fdda and 0x93 not in card else oda.SDA_TAGS
    lacks = oda.missing(tap, (*tags, 0x5A))
    if lacks:
        return end_application(tap, step, f"the card gave no {lacks} for ODA", L2.CARD_DATA_MISSING)
    if not oda.knows_key(tap):
        words = f"no CA key of the index in {name(0x8F)}"
        return end_application(tap, step, words, L2.CARD_DATA_MISSING)
    tap.authenticate_online = True
    return None


def use_allowed(tap: Tap, step: str) -> Result | None:
    """Declines cash and cashback that the card's usage control forbids, or wants its contacts (V16)."""
    forbidden = None if tap.declined else risk.forbidden_use(tap)
    if forbidden is None:
        return None
    words, switch = forbidden
    if bit(tap.ctq, switch):
        words = f"{words} is not allowed: another interface (CTQ {switch})"
        return try_another_interface(tap, step, words, Message.INSERT_OR_SWIPE)
    tap.decline(step, f"{words} is not allowed")
    return None


KERNEL_3: Final = KernelTable(
    KERNEL_VISA,
    steps=(
        Judgement("V2", exchanges.dynamic_limits),
        Exchange("V2", exchanges.ask_options, exchanges.hear_options(UNREADY, "V6", (0x77, 0x80))),
        Exchange("V8", exchanges.ask_record, exchanges.hear_record("V6")),
        Judgement("V9", judgements.card_may_leave),
        Judgement("V10", judgements.complete),
        Judgement("V11", data_for_online_authentication),
        Judgement("V12", judgements.cryptogram_type),
        Judgement("V13", judgements.decided_by_card),
        Judgement("V14", judgements.not_expired),
        Judgement("V15", judgements.not_listed),
        Judgement("V16", use_allowed),
        Judgement("V18", judgements.authentic(static=True)),
        Judgement("V19", judgements.cardholder_verified),
        Judgement("V20", judgements.concluded),
    ),
    update=(
        Exchange("VO2", exchanges.ask_issuer, exchanges.hear_issuer),
        Judgement("VO2", judgements.issuer_answered),
    ),
    lost="V2",
)
"""The steps of qVSDC, in order."""
