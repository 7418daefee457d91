"""What the certificates and signatures of a card prove, as far as what was read of it goes.

    CA key (8F) -> issuer certificate (90 92 9F32) -> card certificate (9F46 9F48 9F47) -> signature (9F4B)
                                                  `-> static data (93)

Source: EMV 4.4 Book 2 5.3, 5.4, 6.3, 6.4; EMV Contactless C-3, C-7 (fDDA)
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from paysim.crypto.ca_keys import CaKey, find_ca_key
from paysim.crypto.certificate import (
    CardCertificate,
    CertificateError,
    IssuerCertificate,
    KeyCertificate,
    recover_card,
    recover_issuer,
)
from paysim.crypto.inputs import InputError
from paysim.crypto.oda import verify_fast, verify_static

from . import masking
from .explain import Explained

__all__ = ["Check", "Evidence", "check"]

ISSUER_CERTIFICATE: Final = 0x90
CARD_CERTIFICATE: Final = 0x9F46
ISSUER_TAGS: Final = (0x8F, ISSUER_CERTIFICATE, 0x9F32)
CARD_TAGS: Final = (CARD_CERTIFICATE, 0x9F47)
SIGNED_STATIC: Final = 0x93
SIGNED_DYNAMIC: Final = 0x9F4B
CARD_DATA: Final = 0x9F69
COUNTER: Final = 0x9F36
STATIC_TAGS: Final = 0x9F4A
AIP_ALONE: Final = b"\x82"

_UNSIGNED: Final = "which records are signed is said at GET PROCESSING OPTIONS alone"


class Check(NamedTuple):
    """Something that was checked: good, bad, or (None) not to be known."""

    what: str
    good: bool | None
    words: str

    def explained(self) -> Explained:
        """It as a node."""
        verdict = {True: "good", False: "BAD", None: "not checked"}[self.good]
        return Explained(0, self.what, "", (f"{verdict}: {self.words}",))


class Evidence(NamedTuple):
    """What is known of an application: its scheme, its objects, what its issuer signed, what we sent."""

    rid: bytes
    objects: Mapping[int, bytes]
    static_data: bytes | None
    """The signed records and the AIP; None where nobody knows which they are."""
    reader: Mapping[int, bytes]
    """What the reader gave to the card's signature: 9F37, 9F02, 5F2A."""


def check(evidence: Evidence, ca_keys: Collection[CaKey], on: datetime.date) -> tuple[Check, ...]:
    """What can be said of the certificates and signatures, in their order; `on` is the day it is said."""
    objects = evidence.objects
    if not any(tag in objects for tag in (*ISSUER_TAGS, *CARD_TAGS, SIGNED_STATIC)):
        return (Check("certificates", None, "the card shows none"),)
    name = f"{evidence.rid.hex().upper()} index {objects.get(0x8F, b'').hex().upper() or 'unknown'}"
    if not ca_keys:
        return (Check("certificates", None, f"{_wanted(objects, name)}, and no CA key file is given"),)
    issuer, said = _issuer(evidence, ca_keys, on, name)
    found = [said]
    if issuer is None:
        return tuple(found)
    if any(tag in objects for tag in CARD_TAGS):
        card, said = _card(evidence, issuer, on)
        found.append(said)
        if card is not None and SIGNED_DYNAMIC in objects:
            found.append(_signature(evidence, card))
    if SIGNED_STATIC in objects:
        found.append(_static(evidence, issuer))
    return tuple(found)


def _wanted(objects: Mapping[int, bytes], name: str) -> str:
    """Which key would check the certificates. A certificate is as long as the key that made it."""
    key = f"wants the CA key {name}"
    if ISSUER_CERTIFICATE in objects:
        key += f" of {len(objects[ISSUER_CERTIFICATE]) * 8} bits"
    if CARD_CERTIFICATE in objects:
        key += f" (the issuer's has {len(objects[CARD_CERTIFICATE]) * 8})"
    return key


def _issuer(
    evidence: Evidence, ca_keys: Collection[CaKey], on: datetime.date, name: str
) -> tuple[IssuerCertificate | None, Check]:
    """Source: EMV 4.4 Book 2 6.2, 6.3"""
    objects, what = evidence.objects, "issuer certificate"
    lacks = _lacking(objects, ISSUER_TAGS)
    pan = _pan(objects)
    if lacks or not pan:
        return None, Check(what, None, f"the card does not show {lacks or 'its number'}")
    if len(objects[0x8F]) != 1:
        return None, Check(what, False, "the index of the CA key (8F) is not one byte")
    try:
        ca = find_ca_key(ca_keys, evidence.rid, objects[0x8F][0])
        if ca.expires is not None and on > ca.expires:
            return None, Check(what, False, f"the CA key {name} has expired on {ca.expires}")
    except CertificateError as error:
        return None, Check(what, None, f"{name}: {error}")
    certified = KeyCertificate(objects[ISSUER_CERTIFICATE], objects.get(0x92, b""), objects[0x9F32])
    try:
        issuer = recover_issuer(ca.key, certified, pan, on)
    except (CertificateError, InputError) as error:
        return None, Check(what, False, str(error))
    words = f"by the CA key {name}; {issuer.identifier}, {issuer.key.size * 8} bits, until {issuer.expires}"
    return issuer, Check(what, True, words)


def _card(
    evidence: Evidence, issuer: IssuerCertificate, on: datetime.date
) -> tuple[CardCertificate | None, Check]:
    """Source: EMV 4.4 Book 2 6.4"""
    objects, what = evidence.objects, "card certificate"
    lacks = _lacking(objects, CARD_TAGS)
    why = f"the card does not show {lacks}" if lacks else _unsigned(evidence)
    if why or evidence.static_data is None:
        return None, Check(what, None, why)
    certified = KeyCertificate(objects[CARD_CERTIFICATE], objects.get(0x9F48, b""), objects[0x9F47])
    try:
        card = recover_card(issuer.key, certified, _pan(objects), evidence.static_data, on)
    except (CertificateError, InputError) as error:
        return None, Check(what, False, str(error))
    return card, Check(what, True, f"by its issuer; {card.key.size * 8} bits, until {card.expires}")


def _signature(evidence: Evidence, card: CardCertificate) -> Check:
    """The tap's signature, in whichever of its formats. Source: EMV Contactless C-3 (fDDA), C-7"""
    what, objects = "signature of this tap (fDDA)", evidence.objects
    if CARD_DATA not in objects:
        return Check(what, None, "the card does not show 9F69; kernels 3 and 7 alone sign so")
    elements = {f"{tag:04X}": value for tag, value in evidence.reader.items()}
    elements["9F69"] = objects[CARD_DATA]
    why = ""
    for online in (True, False):
        try:
            number = verify_fast(card.key, objects[SIGNED_DYNAMIC], elements, online=online, versions=(0, 1))
        except (CertificateError, InputError) as error:
            why = why or str(error)
        else:
            same = number[:2] == objects.get(COUNTER, number[:2])
            return Check(what, same, "by the card" if same else "the counter (9F36) is not the signed one")
    return Check(what, False, why)


def _static(evidence: Evidence, issuer: IssuerCertificate) -> Check:
    """Source: EMV 4.4 Book 2 5.4"""
    what = "static data (SDA)"
    why = _unsigned(evidence)
    if why or evidence.static_data is None:
        return Check(what, None, why)
    try:
        verify_static(issuer.key, evidence.objects[SIGNED_STATIC], evidence.static_data)
    except (CertificateError, InputError) as error:
        return Check(what, False, str(error))
    return Check(what, True, "signed by its issuer")


def _unsigned(evidence: Evidence) -> str:
    """Why nobody knows what the issuer signed; empty where that is known."""
    if evidence.static_data is None:
        return _UNSIGNED
    if evidence.objects.get(STATIC_TAGS, AIP_ALONE) != AIP_ALONE:
        return "the list of static data (9F4A) names more than the AIP (82)"
    return ""


def _lacking(objects: Mapping[int, bytes], tags: Collection[int]) -> str:
    return ", ".join(f"{tag:02X}" for tag in tags if tag not in objects)


def _pan(objects: Mapping[int, bytes]) -> str:
    """The card's number, by its own object or by track 2; empty where neither shows one."""
    found = [number for tag in (0x5A, 0x57) for number in masking.numbers(tag, objects.get(tag, b""))]
    return found[0] if found else ""
