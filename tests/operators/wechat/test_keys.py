"""Keys are values: they read what they can in the certificate, refuse what cannot be, show no secret."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
import wechat_parties as parties

from paysim.core.errors import AuthenticityError, UsageError
from paysim.operators.wechat.keys import MerchantCertificate, MerchantKeys, PlatformCertificate, PlatformKeys


def test_a_certificate_says_who_and_until_when() -> None:
    held = parties.merchant_certificate("new")
    assert held.serial == held.certificate.serial == "6E65772E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E"
    assert held.certificate.name == parties.MCHID
    assert held.end_ms == parties.NOW_MS + 1700 * parties.DAY_MS
    assert held.status == "valid"
    held.verifier.verify(b"signed", parties.signer("new").sign(b"signed"))
    with pytest.raises(AuthenticityError):
        held.verifier.verify(b"signed", parties.signer("old").sign(b"signed"))


def test_the_newest_certificate_names_the_merchant() -> None:
    keys = parties.merchant()
    assert keys.serial == parties.merchant_certificate("new").serial
    assert keys.certificate(parties.merchant_certificate("old").serial) is keys.certificates[1]
    assert keys.certificate("00") is None
    assert keys.signing() is keys.signer
    assert MerchantKeys("1", ()).serial == ""
    with pytest.raises(UsageError, match="does not hold the private key of the merchant 1"):
        MerchantKeys("1", ()).signing()


def test_the_platform_finds_a_key_by_its_serial_or_id() -> None:
    keys = parties.platform()
    new, old = keys.certificates
    assert new.certificate.name == "Tenpay.com sign"
    assert len(new.serial) == 40
    assert keys.opener(new.serial) is new.opener
    assert keys.opener(old.serial) is old.opener
    assert keys.opener(parties.PUBLIC_KEY_ID) is keys.public_opener
    assert keys.opener("00") is None
    for serial, verifier in keys.verifiers().items():
        name = {new.serial: "P2", old.serial: "P1", parties.PUBLIC_KEY_ID: "public"}[serial]
        verifier.verify(b"signed", parties.signer(name).sign(b"signed"))


def test_a_certificate_may_wait_before_it_is_used() -> None:
    one = parties.platform_certificate("P2", -10, 1800)
    later = PlatformCertificate.of(one.certificate, parties.pair("P2"), start_ms=parties.NOW_MS)
    assert later.start_ms == parties.NOW_MS
    assert one.start_ms == one.certificate.start_ms
    assert PlatformCertificate.of(one.certificate, parties.pair("P2"), start_ms=0).start_ms == one.start_ms
    with pytest.raises(UsageError, match="is not the key of"):
        PlatformCertificate.of(one.certificate, parties.pair("P1"))


REFUSED: list[tuple[type[Any], dict[str, Any], str]] = [
    (MerchantKeys, {"mchid": ""}, "a mchid is"),
    (MerchantKeys, {"mchid": '19"'}, "a mchid is"),
    (MerchantKeys, {"mchid": "1" * 33}, "a mchid is"),
    (MerchantKeys, {"api_v3_key": "k" * 31}, "an APIv3 key is 32"),
    (MerchantKeys, {"api_v3_key": "k" * 33}, "an APIv3 key is 32"),
    (MerchantKeys, {"api_v3_key": "密" * 32}, "an APIv3 key is 32"),
    (MerchantKeys, {"api_v2_key": "k" * 16}, "an APIv2 key is 32"),
    (MerchantCertificate, {"serial": "6e65"}, "a serial is"),
    (MerchantCertificate, {"serial": ""}, "a serial is"),
    (MerchantCertificate, {"serial": "PUB_KEY_ID_01"}, "a serial is"),
    (PlatformCertificate, {"serial": "0x1"}, "a serial is"),
    (PlatformKeys, {"public_key_id": "0119"}, "a public key's id is PUB_KEY_ID_"),
    (PlatformKeys, {"public_key_id": "PUB_KEY_ID_"}, "a public key's id is PUB_KEY_ID_"),
]


@pytest.mark.parametrize(("kind", "change", "said"), REFUSED, ids=lambda one: str(one)[:40])
def test_what_cannot_be_is_not_born(kind: type[Any], change: dict[str, Any], said: str) -> None:
    good = {
        MerchantKeys: parties.merchant(),
        MerchantCertificate: parties.merchant_certificate("new"),
        PlatformCertificate: parties.platform_certificate("P2", -10, 1800),
        PlatformKeys: parties.platform(),
    }[kind]
    with pytest.raises(UsageError, match=said) as caught:
        replace(good, **change)
    secret = change.get("api_v3_key") or change.get("api_v2_key")
    assert secret is None or secret not in str(caught.value)


def test_no_secret_is_shown_and_nothing_changes() -> None:
    shown = repr(parties.merchant()) + repr(parties.platform())
    for secret in (parties.API_V3_KEY, parties.API_V2_KEY, "PRIVATE", "MII"):
        assert secret not in shown
    assert parties.MCHID in shown
    assert parties.PUBLIC_KEY_ID in shown
    with pytest.raises(FrozenInstanceError):
        parties.merchant().mchid = "2"  # type: ignore[misc]
