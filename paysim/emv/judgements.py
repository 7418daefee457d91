"""The steps that kernels 3 and 7 share, each to be bound to its name in a kernel's table.

Source: EMV Contactless C-3. Assumed: kernel 7 follows kernel 3 in them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from paysim.codec.bits import bit

from . import cvm as cardholder
from . import oda, risk
from .endings import approved, declined, end_application, online_request, try_another_interface
from .kernel import AAC, ARQC, TC, Judge, Tap
from .outcome import L2, Cvm, Message, Result, Ui, UiStatus
from .reader import CASHBACK, REFUND

__all__ = [
    "APPROVING",
    "authentic",
    "card_may_leave",
    "cardholder_verified",
    "complete",
    "concluded",
    "cryptogram_type",
    "decided_by_card",
    "issuer_answered",
    "not_expired",
    "not_listed",
]

OF_CARD: Final = (0x82, 0x9F36, 0x9F26, 0x9F10, 0x57, 0x84, 0x9F38)
"""What an answer must hold. Source: V10"""

AMOUNT_OTHER: Final = 0x9F03
CRYPTOGRAM_INFORMATION: Final = 0x9F27
APPLICATION_DATA: Final = 0x9F10
SCRIPT_RESULTS: Final = 0x9F5B

WORDS: Final = {AAC: "AAC", TC: "TC", ARQC: "ARQC"}

APPROVING: Final = frozenset({b"00", b"08", b"10", b"11"})
"""Authorisation response codes that approve. Assumed: ISO 8583's approvals"""


def card_may_leave(tap: Tap, _: str) -> Result | None:
    """Shows that the card was read; what follows is without it (V9)."""
    tap.show(Ui(Message.CARD_READ_OK, UiStatus.CARD_READ_OK))
    return None


def complete(tap: Tap, step: str) -> Result | None:
    """Ends where the card or the terminal did not give what the kernel needs (V10)."""
    lacks = oda.missing(tap, OF_CARD)
    if lacks:
        return end_application(tap, step, f"the card gave no {lacks}", L2.CARD_DATA_MISSING)
    if tap.purchase.type == CASHBACK and AMOUNT_OTHER not in tap.terminal:
        words = "the terminal gave no cashback amount (9F03)"
        return end_application(tap, step, words, L2.TERMINAL_DATA_ERROR)
    return None


def cryptogram_type(tap: Tap, step: str) -> Result | None:
    """Takes the type of cryptogram from 9F27, or from byte 5 of 9F10 (V12)."""
    information = tap.card.get(CRYPTOGRAM_INFORMATION)
    if information is None:
        data = tap.card[APPLICATION_DATA]
        tap.cid = (data[4] << 2 if len(data) > 4 else 0) & 0xC0
        tap.decide(step, f"no 9F27: {WORDS.get(tap.cid, 'no type')} by the CVR in 9F10")
    else:
        tap.cid = information[0] & 0xC0
    return None


def decided_by_card(tap: Tap, step: str) -> Result | None:
    """Declines an AAC, sends an ARQC online, and a TC too where an online cryptogram was wanted (V13).

    Assumed: a refund (9C = 20) that the card answers by AAC is done, for the terminal approves refunds.
    """
    if tap.cid not in (TC, ARQC):
        if tap.purchase.type == REFUND and tap.cid == AAC:
            return approved(tap, step, "AAC for a refund: not a decline")
        tap.decline(step, WORDS.get(tap.cid, "no type of cryptogram"))
    elif tap.cid == ARQC:
        tap.go_online(step, "ARQC")
    elif bit(tap.ttq, "b2.8"):
        tap.go_online(step, "TC where an online cryptogram was wanted")
    else:
        tap.decide(step, "TC: offline")
    return None


def not_expired(tap: Tap, step: str) -> Result | None:
    """Of a TC: an expired card goes online if its CTQ says so, else is declined (V14)."""
    if tap.cid == TC and risk.is_expired(tap):
        if bit(tap.ctq, "b1.4"):
            tap.go_online(step, "expired, CTQ b1.4")
        else:
            tap.decline(step, "expired")
    return None


def not_listed(tap: Tap, step: str) -> Result | None:
    """Of a TC: a card on the exception file is declined (V15)."""
    if tap.cid == TC and risk.is_listed(tap):
        tap.decline(step, "on the exception file")
    return None


def authentic(*, static: bool) -> Judge:
    """What wants the card of an offline approval authenticated (V18); `static` says that SDA may do."""

    def judge(tap: Tap, step: str) -> Result | None:
        if tap.declined or tap.online:
            if tap.authenticate_online and not tap.declined:
                fault = oda.authenticate(tap, static=static, online=True)
                tap.decide(step, f"of a payment that goes online: {fault or 'authentic'}")
            return None
        fault = oda.authenticate(tap, static=static)
        if not fault:
            tap.decide(step, "offline data authentication succeeded")
        elif bit(tap.ctq, "b1.6") and not bit(tap.ttq, "b1.4"):
            tap.go_online(step, f"{fault}, CTQ b1.6")
        elif bit(tap.ctq, "b1.5") and bit(tap.ttq, "b1.5"):
            return try_another_interface(tap, step, f"{fault}: contacts (CTQ b1.5)", Message.INSERT_CARD)
        else:
            tap.decline(step, fault)
        return None

    return judge


def cardholder_verified(tap: Tap, step: str) -> Result | None:
    """Sets the CVM, unless declined already (V19; the rows VC1 to VC5)."""
    if tap.declined:
        return None
    found = cardholder.verify(tap)
    named, words = (found.step, found.words) if step == "V19" else (step, f"as {found.step}: {found.words}")
    if found.cvm is None:
        tap.decline(named, words)
        return None
    tap.cvm = found.cvm
    if found.online:
        tap.go_online(named, words)
    else:
        tap.decide(named, words)
    return None


def concluded(tap: Tap, step: str) -> Result | None:
    """The outcome: a decline wins over online, online over approved (V20).

    `why` of a decline or an online request is what set the flag first.
    """
    if tap.declined:
        return declined(tap, step, "declined", tap.declined)
    if tap.online:
        return online_request(tap, step, "online request", tap.online)
    return approved(tap, step, "approved offline")


def issuer_answered(tap: Tap, step: str) -> Result | None:
    """The outcome after an issuer update: the issuer's answer decides, whatever the card said.

    Source: EMV 4.4 Book 4 A5 (issuer script results, 9F5B).
    Assumed: the issuer decides; the codes of APPROVING approve.
    """
    issuer = tap.issuer
    arc = issuer.arc if issuer else b""
    words = f"the issuer answered {issuer.code if issuer else 'nothing'}"
    tap.cvm = tap.earlier.cvm if tap.earlier else Cvm.NONE
    result = approved(tap, step, words) if arc in APPROVING else declined(tap, step, words)
    results = b"".join(
        bytes(((0x20 if good else 0x10 | min(sent, 15)),)) + identifier
        for identifier, sent, good in tap.script_results.values()
    )
    record = dict((tap.earlier and tap.earlier.data_record) or {})
    if results:
        record[SCRIPT_RESULTS] = results
    return replace(result, data_record=record or None)
