"""Answers and callbacks: signed so that the SDK verifies them, by the key that is wanted."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import pytest
import wechat_parties as parties
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st
from wechat_parties import DAY_MS, NOW_MS, NOW_S, PUBLIC_KEY_ID, VECTORS
from wechatpayv3 import utils as sdk
from wechatpayv3.core import Core

from paysim.core.errors import AuthenticityError
from paysim.crypto import keys as crypto_keys
from paysim.crypto.signature import Verifier
from paysim.operators.wechat import platform_signature, signing
from paysim.operators.wechat.keys import Kind, PlatformCertificate, PlatformKeys

NONCE = "d824f2e086d3c1df967785d13fcd22ef"
BODIES = (b'{"code_url":"weixin://wxpay/bizpayurl?pr=1"}', '{"a":"茶\nline"}'.encode(), b"", b"{}")


def _sdk_client(kind: Kind) -> Core:
    """The SDK's own client, in public-key mode or with the platform's certificates."""
    core = Core.__new__(Core)
    core._public_key = core._public_key_id = core._logger = None
    core._certificates = [one.certificate.loaded for one in parties.platform().certificates]
    core._apiv3_key = parties.API_V3_KEY
    if kind == "public_key":
        core._public_key, core._public_key_id = parties.pair("public").public().loaded, PUBLIC_KEY_ID
        core._certificates = []
    return core


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", ["certificate", "public_key"])
def test_the_sdk_verifies_what_the_platform_signs(kind: Kind, body: bytes) -> None:
    key = signing.choose(parties.platform(), kind, NOW_MS)
    headers = signing.answer_headers(body, key, NONCE, NOW_S)
    assert _sdk_client(kind)._verify_signature(dict(headers), body.decode())
    lower = {name.lower(): value for name, value in headers}
    assert _sdk_client(kind)._verify_signature(lower, body.decode())
    assert not _sdk_client(kind)._verify_signature(dict(headers), body.decode() + " ")
    signing.verify_answer(headers, body, parties.platform().verifiers(), NOW_MS)
    signing.verify_answer(lower, body, parties.platform().verifiers(), NOW_MS)


def test_the_headers_by_name_and_order() -> None:
    key = signing.choose(parties.platform(), "public_key", NOW_MS)
    headers = signing.answer_headers(b"{}", key, NONCE, NOW_S)
    assert [name for name, _ in headers] == [
        *("Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"),
        "Wechatpay-Signature-Type",
    ]
    said = dict(headers)
    assert said["Wechatpay-Timestamp"] == str(NOW_S)
    assert said["Wechatpay-Nonce"] == NONCE
    assert said["Wechatpay-Serial"] == PUBLIC_KEY_ID
    assert said["Wechatpay-Signature-Type"] == "WECHATPAY2-SHA256-RSA2048"
    assert len(base64.b64decode(said["Wechatpay-Signature"], validate=True)) == 256


def test_we_verify_the_documents_example() -> None:
    vector = VECTORS["v3-response-verify"]
    verifiers = {"S": Verifier("rsa-sha256", crypto_keys.public(vector["public_key"]))}
    headers = {
        "Wechatpay-Timestamp": vector["timestamp"],
        "Wechatpay-Nonce": vector["nonce"],
        "Wechatpay-Signature": vector["signature"],
        "Wechatpay-Serial": "S",
        "Wechatpay-Signature-Type": signing.SCHEME,
    }
    wall_ms = int(vector["timestamp"]) * 1000
    signing.verify_answer(headers, vector["body"].encode(), verifiers, wall_ms)
    with pytest.raises(AuthenticityError, match="the body was serialised again"):
        signing.verify_answer(headers, vector["body"].replace(":", ": ", 1).encode(), verifiers, wall_ms)


def test_the_sdk_signs_and_we_verify() -> None:
    signature = sdk.rsa_sign(parties.pair("P2").loaded, f"{NOW_S}\n{NONCE}\n{{}}\n")
    serial = parties.platform().certificates[0].serial
    headers = _headers(**{"Wechatpay-Signature": signature, "Wechatpay-Serial": serial})
    signing.verify_answer(headers, b"{}", parties.platform().verifiers(), NOW_MS)


def _headers(**changed: str | None) -> dict[str, str]:
    key = signing.choose(parties.platform(), "certificate", NOW_MS)
    found = {**dict(signing.answer_headers(b"{}", key, NONCE, NOW_S)), **changed}
    return {name: value for name, value in found.items() if value is not None}


WRONG: list[tuple[dict[str, str | None], str]] = [
    ({"Wechatpay-Signature": None}, "lacks wechatpay-signature"),
    ({"Wechatpay-Nonce": "", "Wechatpay-Serial": None}, "lacks wechatpay-nonce, wechatpay-serial"),
    ({"Wechatpay-Signature-Type": None}, "lacks wechatpay-signature-type"),
    ({"Wechatpay-Signature-Type": "WECHATPAY2-SM2-WITH-SM3"}, "the signature type is"),
    ({"Wechatpay-Timestamp": str(NOW_S - 301)}, "more than 300 s from the clock"),
    ({"Wechatpay-Timestamp": "now"}, "more than 300 s from the clock"),
    ({"Wechatpay-Timestamp": str(NOW_S - 1)}, "wrong signature"),
    ({"Wechatpay-Nonce": "\ud800"}, "cannot be read"),
    ({"Wechatpay-Serial": "00AB"}, "the key 00AB is not among"),
    ({"Wechatpay-Serial": PUBLIC_KEY_ID}, "the wrong serial is named"),
    ({"Wechatpay-Signature": "AAAA"}, "none of the usual mistakes"),
    ({"Wechatpay-Signature": "AAA"}, "cannot be read"),
    ({"Wechatpay-Signature": "茶"}, "cannot be read"),
]


@pytest.mark.parametrize(("changed", "why"), WRONG)
def test_an_answer_that_is_wrong(changed: dict[str, str | None], why: str) -> None:
    signing.verify_answer(_headers(), b"{}", parties.platform().verifiers(), NOW_MS)
    with pytest.raises(AuthenticityError, match=why):
        signing.verify_answer(_headers(**changed), b"{}", parties.platform().verifiers(), NOW_MS)


def test_a_probe_is_refused_by_everybody() -> None:
    headers = signing.probe(tuple(_headers().items()))
    signature = dict(headers)["Wechatpay-Signature"]
    assert re.fullmatch(r"WECHATPAY/SIGNTEST/[A-Za-z0-9+/]{334}==", signature)
    assert len(signature) == 355, "as long as the real one of wechatpay-java issue 319"
    with pytest.raises(binascii.Error):
        base64.b64decode(signature)
    assert _sdk_client("certificate")._verify_signature(dict(headers), "{}") is False
    with pytest.raises(AuthenticityError, match="probe traffic"):
        signing.verify_answer(headers, b"{}", parties.platform().verifiers(), NOW_MS)
    unsigned = {name: value for name, value in headers if name != "Wechatpay-Signature"}
    assert unsigned == {name: value for name, value in _headers().items() if name != "Wechatpay-Signature"}


# Which key signs. ----------------------------------------------------------------------------------------

NEW, OLD = parties.platform().certificates
WAITING = PlatformCertificate.of(NEW.certificate, parties.pair("P2"), start_ms=NOW_MS + DAY_MS)
NEW_MERCHANT = PlatformKeys.of((), PUBLIC_KEY_ID, parties.pair("public"), issues_certificates=False)
OVERLAP = PlatformKeys.of((WAITING, OLD), PUBLIC_KEY_ID, parties.pair("public"))

CHOICES: list[tuple[str, PlatformKeys, Kind, int, str]] = [
    ("the newest", parties.platform(), "certificate", NOW_MS, NEW.serial),
    ("the public key", parties.platform(), "public_key", NOW_MS, PUBLIC_KEY_ID),
    ("before the newest", parties.platform(), "certificate", NEW.start_ms - 1, OLD.serial),
    ("at its start", parties.platform(), "certificate", NEW.start_ms, NEW.serial),
    ("known, not yet in use", OVERLAP, "certificate", NOW_MS, OLD.serial),
    ("in use", OVERLAP, "certificate", NOW_MS + DAY_MS, NEW.serial),
    ("the old one is over", OVERLAP, "certificate", OLD.end_ms, NEW.serial),
    ("all are over", parties.platform(), "certificate", NEW.end_ms, NEW.serial),
    ("none", NEW_MERCHANT, "certificate", NOW_MS, PUBLIC_KEY_ID),
]


@pytest.mark.parametrize(
    ("name", "platform", "kind", "at_ms", "serial"), CHOICES, ids=[c[0] for c in CHOICES]
)
def test_the_key_that_signs(name: str, platform: PlatformKeys, kind: Kind, at_ms: int, serial: str) -> None:
    chosen = signing.choose(platform, kind, at_ms)
    assert chosen.serial == serial
    signed = chosen.signer.sign(b"signed")
    parties.platform().verifiers()[serial].verify(b"signed", signed)


WANTED: list[tuple[str, Kind, Kind]] = [
    ("", "certificate", "certificate"),
    ("", "public_key", "public_key"),
    (PUBLIC_KEY_ID, "certificate", "public_key"),
    ("PUB_KEY_ID_9", "certificate", "public_key"),
    ("5DEA10EF55877E3CF6C33255C2E7DEFFF7E427EC", "public_key", "certificate"),
]


@pytest.mark.parametrize(("serial", "default", "kind"), WANTED)
def test_the_header_chooses_the_kind(serial: str, default: Kind, kind: Kind) -> None:
    asked = parties.request("", headers={"wechatpay-serial": serial} if serial else {})
    assert signing.kind_wanted(asked, default) == kind


DAYS = [
    (0, 0.0),
    (1, 0.001),
    (2, 0.01),
    (3, 0.05),
    (4, 0.1),
    (5, 0.2),
    (6, 0.5),
    (7, 1.0),
    (8, 1.0),
    (99, 1.0),
]


@pytest.mark.parametrize(("day", "share"), DAYS)
def test_the_switch_over_takes_seven_days(day: int, share: float) -> None:
    draws = [step / 2000 for step in range(2000)]
    by_public_key = sum(signing.switch_over(day, draw) == "public_key" for draw in draws)
    assert by_public_key == round(share * 2000)


def test_the_sdk_decodes_a_callback_of_ours() -> None:
    """Signed and sealed by us, verified and opened by the SDK's own function."""
    sealed = signing.seal_resource(parties.API_V3_KEY, '{"a":"茶"}'.encode(), "wCq51qZv4Yfg", "transaction")
    body = (
        '{"id":"1","resource_type":"encrypt-resource","event_type":"TRANSACTION.SUCCESS","resource":'
        + str(sealed).replace("'", '"')
        + "}"
    )
    for kind in ("certificate", "public_key"):
        key = signing.choose(parties.platform(), kind, NOW_MS)  # type: ignore[arg-type]  # both are kinds
        headers = dict(signing.answer_headers(body.encode(), key, NONCE, NOW_S))
        found: Any = _sdk_client(kind).callback(headers, body)  # type: ignore[arg-type]
        assert found["resource"] == {"a": "茶"}
        assert _sdk_client(kind).callback(dict(signing.probe(headers.items())), body) is None  # type: ignore[arg-type]


@settings(max_examples=count(500))
@given(st.dictionaries(st.sampled_from([*_headers(), "x"]), st.text(max_size=30)), st.binary(max_size=30))
def test_any_answer_is_verified_or_refused(changed: dict[str, str], body: bytes) -> None:
    try:
        signing.verify_answer(_headers(**changed), body, parties.platform().verifiers(), NOW_MS)
    except AuthenticityError:
        return
    assert body == b"{}"


def test_all_names_that_are_offered_exist() -> None:
    assert all(hasattr(platform_signature, name) for name in platform_signature.__all__)
