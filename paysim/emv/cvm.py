"""How the cardholder of a tap is verified: by what the card asks for in its CTQ (VC1-VC5).

The CTQ b1.8 wants an online PIN, b1.7 a signature, b2.8 says that the phone has verified its owner.

Source: EMV Contactless C-3 (cardholder verification). Assumed: kernel 7 does the same (U10).
"""

from __future__ import annotations

from typing import NamedTuple

from paysim.codec.bits import bit

from .kernel import ARQC, Tap
from .outcome import Cvm

__all__ = ["Verdict", "verify"]


class Verdict(NamedTuple):
    """What one row of the table says: its step, the method or None for a decline, whether to go online."""

    step: str
    cvm: Cvm | None
    words: str
    online: bool = False


def verify(tap: Tap) -> Verdict:
    """How the cardholder is to be verified.

    Source: EMV Contactless C-3. Assumed: an online PIN without CTQ (VC1) sends the payment online too.
    """
    ttq, ctq = tap.ttq, tap.ctq
    required = bit(ttq, "b2.7")
    # VC1
    if not ctq and required:
        if bit(ttq, "b1.2"):
            return Verdict("VC1", Cvm.SIGNATURE, "no CTQ: signature")
        if bit(ttq, "b1.3") and bit(ttq, "b3.7"):
            return Verdict("VC1", Cvm.ONLINE_PIN, "no CTQ: online PIN", online=True)
        return Verdict("VC1", None, "no CTQ, and no CVM that the reader can do")
    # VC2
    if bit(ctq, "b1.8") and bit(ttq, "b1.3"):
        return Verdict("VC2", Cvm.ONLINE_PIN, "the card wants the online PIN", online=True)
    # VC3
    if bit(ctq, "b2.8"):
        if _confirmed(tap):
            return Verdict("VC3", Cvm.CONFIRMATION_CODE, "verified by the phone")
        return Verdict("VC3", None, "the phone's word on its owner is not confirmed (9F69)")
    # VC4
    if bit(ctq, "b1.7") and bit(ttq, "b1.2"):
        return Verdict("VC4", Cvm.SIGNATURE, "the card wants a signature")
    # VC5
    if required:
        return Verdict("VC5", None, "CVM required, and none in common")
    return Verdict("VC5", Cvm.NONE, "no CVM")


def _confirmed(tap: Tap) -> bool:
    """Whether the CTQ is the one that the card signed (bytes 6 and 7 of 9F69), or goes to the issuer."""
    signed = tap.card.get(0x9F69)
    return tap.cid == ARQC if signed is None else signed[5:7] == tap.ctq
