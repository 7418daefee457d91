"""Offline data authentication of kernels 3 and 7: fDDA, and SDA where kernel 3 still takes it.

    CA key (8F) -> issuer certificate (90 92 9F32) -> card certificate (9F46 9F48 9F47) -> signature (9F4B)

Source: EMV 4.4 Book 2 5, 6; EMV Contactless C-3 (fDDA), C-7
"""

from __future__ import annotations

from typing import Final

from paysim.codec import tlv
from paysim.crypto.ca_keys import find_ca_key
from paysim.crypto.certificate import (
    CertificateError,
    IssuerCertificate,
    KeyCertificate,
    recover_card,
    recover_issuer,
)
from paysim.crypto.inputs import InputError
from paysim.crypto.oda import verify_fast, verify_static

from .kernel import Tap

__all__ = ["FDDA_TAGS", "SDA_TAGS", "authenticate", "knows_key", "missing"]

CA_INDEX: Final = 0x8F
SIGNED_STATIC: Final = 0x93
SIGNED_DYNAMIC: Final = 0x9F4B
STATIC_TAGS: Final = 0x9F4A
AIP_ALONE: Final = b"\x82"

FDDA_TAGS: Final = (0x8F, 0x90, 0x9F32, 0x9F46, 0x9F47, 0x9F69, 0x9F4B)
"""What fDDA cannot do without; 92, 9F48 where the keys are longer than their certificates hold."""

SDA_TAGS: Final = (0x8F, 0x90, 0x9F32, 0x93)


def missing(tap: Tap, tags: tuple[int, ...]) -> str:
    """The first of `tags` that the card did not give, as people write it; empty where all are there."""
    return next((tlv.name(tag) for tag in tags if not tap.card.get(tag)), "")


def knows_key(tap: Tap) -> bool:
    """Whether the reader has the CA key that the card names (8F)."""
    rid, index = tap.adf_name[:5], tap.card.get(CA_INDEX, b"")
    return any(key.rid == rid and bytes((key.index,)) == index for key in tap.reader.ca_keys)


def authenticate(tap: Tap, *, static: bool, online: bool = False) -> str:
    """Empty where the card is authentic, else why not; `static` says that SDA may do where 9F4B is absent.

    `online` asks for the format 95 of a payment that goes online.

    Source: EMV Contactless C-3 (fDDA, SDA); EMV 4.4 Book 2 5.4, 6.3, 6.4
    """
    if SIGNED_DYNAMIC not in tap.card and not static:
        return "no signature (9F4B)"
    tags = FDDA_TAGS if SIGNED_DYNAMIC in tap.card else SDA_TAGS
    lacks = missing(tap, tags)
    if lacks:
        return f"no {lacks}"
    if tap.card.get(STATIC_TAGS, AIP_ALONE) != AIP_ALONE:
        return "the list of static data (9F4A) names more than the AIP (82)"
    try:
        return _fast(tap, online) if tags is FDDA_TAGS else _static(tap)
    except (CertificateError, InputError) as error:
        return str(error)


def _issuer(tap: Tap) -> IssuerCertificate:
    """The issuer's key, by the CA key that the card names. Source: EMV 4.4 Book 2 6.2, 6.3"""
    card, today = tap.card, tap.purchase.date
    rid, index = tap.adf_name[:5], card[CA_INDEX][0]
    ca = find_ca_key(tap.reader.ca_keys, rid, index)
    if ca.expires is not None and today > ca.expires:
        raise CertificateError("expired", "EMV 4.4 Book 2 6.2")
    certified = KeyCertificate(card[0x90], card.get(0x92, b""), card[0x9F32])
    return recover_issuer(ca.key, certified, tap.pan, today, rid=rid, index=index, revoked=tap.reader.revoked)


def _static_data(tap: Tap) -> bytes:
    """The signed records, and the AIP behind them where 9F4A says so. Source: EMV 4.4 Book 3 10.3"""
    return tap.static_data + (tap.card.get(0x82, b"") if STATIC_TAGS in tap.card else b"")


def _static(tap: Tap) -> str:
    verify_static(_issuer(tap).key, tap.card[SIGNED_STATIC], _static_data(tap))
    return ""


def _fast(tap: Tap, online: bool) -> str:
    card, terminal = tap.card, tap.terminal
    certified = KeyCertificate(card[0x9F46], card.get(0x9F48, b""), card[0x9F47])
    found = recover_card(_issuer(tap).key, certified, tap.pan, _static_data(tap), tap.purchase.date)
    elements = {
        "9F37": terminal[0x9F37],
        "9F02": terminal[0x9F02],
        "5F2A": terminal[0x5F2A],
        "9F69": card[0x9F69],
    }
    number = verify_fast(found.key, card[SIGNED_DYNAMIC], elements, online=online)
    if number[:2] != card.get(0x9F36, number[:2]):
        return "the ATC (9F36) is not the one that the card signed"
    return ""
