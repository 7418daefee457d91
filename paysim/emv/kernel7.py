"""Kernel 7: UnionPay's QuickPass (qUICS), as a table of steps; not checked against a specification.

No text of the specification and no complete open kernel 7 was at hand. Card test scripts and vendors' code
are followed where they say something. Assumed: all else is as in kernel 3, which has the same TTQ and CTQ
bits: the order of the steps, the ends at GPO other than 6985, expiry (U6), what a failed fDDA leads to (U9),
the CVM (U10), the choice of e-cash (U12), the record (U13).

Mag-stripe mode and fDDA with SM2 keys are left out.

Source: UnionPay qPBOC card test scripts, vendors' headers (steps named U1 to U13)
"""

from __future__ import annotations

from typing import Final

from paysim.codec.formats import encode_n
from paysim.core.errors import DecodeError

from . import exchanges, judgements
from .endings import select_next
from .kernel import Exchange, Judgement, KernelTable, Tap
from .outcome import L2, Result
from .reader import KERNEL_UNIONPAY
from .selection import pdol_entries

__all__ = ["KERNEL_7"]

WANTED: Final = (0x9F66, 0x9F02, 0x9F37, 0x5F2A)
"""What a PDOL asks for at least. Source: U1"""

ECASH: Final = 0x9F7A
ECASH_LIMIT: Final = 0x9F7B

UNREADY: Final = {0x6984: ("U2", "contact"), 0x6985: ("U2", "next"), 0x6986: ("U2", "phone")}


def may_start(tap: Tap, step: str) -> Result | None:
    """Does not start where the card's PDOL is missing or asks for too little (U1).

    Assumed: then the next application is selected.
    """
    try:
        asked = {entry.tag for entry in pdol_entries(tap.card.get(0x9F38, b""))}
    except DecodeError:
        asked = set()
    lacks = [f"{tag:04X}" for tag in WANTED if tag not in asked]
    if lacks:
        return select_next(tap, step, f"the PDOL does not ask for {', '.join(lacks)}", L2.CARD_DATA_MISSING)
    return None


def choose_ecash(tap: Tap, step: str) -> Result | None:
    """Tells the card that e-cash may be used, up to the terminal's limit, inclusive (U12)."""
    limit = tap.combination.ecash_limit
    if limit is not None:
        allowed = tap.purchase.amount_minor <= limit
        tap.terminal[ECASH] = b"\x01" if allowed else b"\x00"
        tap.terminal[ECASH_LIMIT] = encode_n(limit, 6)
        tap.decide(step, f"e-cash {'wanted' if allowed else 'not wanted'}: limit {limit}")
    return None


KERNEL_7: Final = KernelTable(
    KERNEL_UNIONPAY,
    steps=(
        Judgement("U1", may_start),
        Judgement("U12", choose_ecash),
        Exchange("U2", exchanges.ask_options, exchanges.hear_options(UNREADY, "U2", (0x77,))),
        Exchange("U3", exchanges.ask_record, exchanges.hear_record("U3")),
        Judgement("U3", judgements.card_may_leave),
        Judgement("U3", judgements.complete),
        Judgement("U5", judgements.cryptogram_type),
        Judgement("U5", judgements.decided_by_card),
        Judgement("U6", judgements.not_expired),
        Judgement("U6", judgements.not_listed),
        Judgement("U7", judgements.authentic(static=False)),
        Judgement("U10", judgements.cardholder_verified),
        Judgement("U13", judgements.concluded),
    ),
    update=(
        Exchange("U13", exchanges.ask_issuer, exchanges.hear_issuer),
        Judgement("U13", judgements.issuer_answered),
    ),
    lost="U2",
)
"""The steps of qUICS, in the order of the vendors (U4): path and type, authentication, cardholder."""
