"""Resources, certificates and fields: opened by the SDK, and theirs by us."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
import wechat_parties as parties
from counts import count
from cryptography.x509 import load_pem_x509_certificate
from hypothesis import given, settings
from hypothesis import strategies as st
from wechat_parties import API_V3_KEY, DAY_MS, NOW_MS, PUBLIC_KEY_ID, VECTORS
from wechatpayv3 import utils as sdk

from paysim.core.errors import AuthenticityError, DecodeError, UsageError
from paysim.crypto import authority
from paysim.crypto.sealed import Oaep, Pkcs1
from paysim.crypto.signature import to_text
from paysim.operators.wechat import sealing
from paysim.operators.wechat.errors import WeChatError
from paysim.operators.wechat.keys import PlatformCertificate
from paysim.operators.wechat.sealing import (
    certificates_body,
    open_field,
    open_resource,
    seal_field,
    seal_for_merchant,
    seal_resource,
)

NONCE = "wCq51qZv4Yfg"
NEW, OLD = parties.platform().certificates

# Resources. ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("associated", ["transaction", "refund", "", "茶"])
@pytest.mark.parametrize("text", ["", "message", '{"openid":"茶"}' * 100])
def test_the_sdk_opens_what_we_seal(text: str, associated: str) -> None:
    sealed = seal_resource(API_V3_KEY, text.encode(), NONCE, associated, "transaction")
    assert list(sealed) == ["original_type", "algorithm", "ciphertext", "associated_data", "nonce"]
    assert sealed["algorithm"] == "AEAD_AES_256_GCM"
    assert sdk.aes_decrypt(NONCE, sealed["ciphertext"], associated, API_V3_KEY) == text
    assert open_resource(API_V3_KEY, sealed) == text.encode()


GCM = [one for one in VECTORS.values() if one["kind"] == "aes-gcm" and len(one["key"]) == 32]


@pytest.mark.parametrize("vector", GCM, ids=lambda one: one["id"])
def test_we_open_what_others_sealed(vector: dict[str, Any]) -> None:
    sealed = {name: vector[name] for name in ("nonce", "associated_data", "ciphertext")}
    found = open_resource(vector["key"], {"algorithm": sealing.ALGORITHM, **sealed})
    assert found.decode() == vector["plaintext"]
    if len(vector["nonce"]) == sealing.NONCE_CHARACTERS:
        again = seal_resource(vector["key"], found, vector["nonce"], vector["associated_data"])
        assert again == {"algorithm": sealing.ALGORITHM, **sealed}


SEALED = seal_resource(API_V3_KEY, b"message", NONCE, "transaction")

CHANGED: list[tuple[str, dict[str, Any], type[Exception]]] = [
    ("another key", {"key": "b" + API_V3_KEY[1:]}, AuthenticityError),
    ("no key", {"key": ""}, UsageError),
    ("another nonce", {"nonce": NONCE[::-1]}, AuthenticityError),
    ("a short nonce", {"nonce": "1"}, DecodeError),
    ("no nonce", {"nonce": None}, DecodeError),
    ("a surrogate", {"nonce": "\ud800" * 12}, DecodeError),
    ("other data", {"associated_data": "refund"}, AuthenticityError),
    ("no data", {"associated_data": None}, AuthenticityError),
    ("data is a number", {"associated_data": 1}, DecodeError),
    ("cut", {"ciphertext": SEALED["ciphertext"][:-4]}, AuthenticityError),
    ("empty", {"ciphertext": ""}, AuthenticityError),
    ("no base64", {"ciphertext": "?"}, DecodeError),
    ("no text", {"ciphertext": 1}, DecodeError),
    ("another algorithm", {"algorithm": "AEAD_SM4_GCM"}, DecodeError),
    ("no algorithm", {"algorithm": None}, DecodeError),
]


@pytest.mark.parametrize(("name", "changed", "error"), CHANGED, ids=[one[0] for one in CHANGED])
def test_what_was_changed_does_not_open(name: str, changed: dict[str, Any], error: type[Exception]) -> None:
    given = {"key": API_V3_KEY, **SEALED, **changed}
    with pytest.raises(error):
        open_resource(given.pop("key"), given)


def test_no_associated_data_is_the_same_as_an_empty_one() -> None:
    sealed: dict[str, Any] = seal_resource(API_V3_KEY, b"message", NONCE, "")
    for one in ({**sealed, "associated_data": None}, {k: v for k, v in sealed.items() if k[0:2] != "as"}):
        assert open_resource(API_V3_KEY, one) == b"message"


@pytest.mark.parametrize("nonce", ["", "short", "x" * 13, "茶" * 12])
def test_a_nonce_is_twelve_characters(nonce: str) -> None:
    with pytest.raises(UsageError, match="12 ASCII characters"):
        seal_resource(API_V3_KEY, b"", nonce, "")


# Certificates. -------------------------------------------------------------------------------------------


def _nonces() -> list[str]:
    return [f"nonce{number:07}" for number in range(9)]


def test_the_certificates_answer_is_read_as_the_sdk_reads_it() -> None:
    body = certificates_body(parties.platform(), API_V3_KEY, NOW_MS, _nonces())
    data = json.loads(body)["data"]
    assert [one["serial_no"] for one in data] == [NEW.serial, OLD.serial]
    for one, held in zip(data, (NEW, OLD), strict=True):
        sealed = one["encrypt_certificate"]
        assert sorted(sealed) == ["algorithm", "associated_data", "ciphertext", "nonce"]
        assert sealed["associated_data"] == "certificate"
        text = sdk.aes_decrypt(sealed["nonce"], sealed["ciphertext"], "certificate", API_V3_KEY)
        loaded = sdk.load_certificate(text)
        assert loaded.serial_number == int(one["serial_no"], 16)
        assert loaded.public_key() == held.certificate.loaded.public_key()
        for name, moment in (
            ("effective_time", loaded.not_valid_before_utc),
            ("expire_time", loaded.not_valid_after_utc),
        ):
            assert one[name].endswith("+08:00")
            assert datetime.datetime.fromisoformat(one[name]) == moment
    assert data[0]["encrypt_certificate"]["nonce"] != data[1]["encrypt_certificate"]["nonce"]
    assert API_V3_KEY.encode() not in body


def test_a_real_answer_has_the_same_form_and_opens() -> None:
    vector = VECTORS["v3-certificates-decrypt"]
    (theirs,) = vector["response"]["data"]
    pem = open_resource(vector["key"], theirs["encrypt_certificate"])
    assert hashlib.sha256(pem).hexdigest() == vector["plaintext_sha256"]
    assert authority.certificate(pem).serial == vector["expect_serial"]
    assert authority.certificate(pem).name == vector["expect_subject_cn"]
    (ours, _) = json.loads(certificates_body(parties.platform(), API_V3_KEY, NOW_MS, _nonces()))["data"]
    assert ours.keys() == theirs.keys()
    assert ours["encrypt_certificate"].keys() == theirs["encrypt_certificate"].keys()
    assert len(ours["encrypt_certificate"]["nonce"]) == len(theirs["encrypt_certificate"]["nonce"])
    held = load_pem_x509_certificate(pem)
    assert datetime.datetime.fromisoformat(theirs["expire_time"]) == held.not_valid_after_utc


def test_a_certificate_can_be_downloaded_before_it_signs_and_not_after_it_expired() -> None:
    waiting = PlatformCertificate.of(NEW.certificate, parties.pair("P2"), start_ms=NOW_MS + DAY_MS)
    keys = replace(parties.platform(), certificates=(waiting, OLD))
    for at_ms, serials in (
        (NOW_MS, [NEW.serial, OLD.serial]),
        (OLD.end_ms, [NEW.serial]),
        (NEW.certificate.start_ms - 1, [OLD.serial]),
    ):
        data = json.loads(certificates_body(keys, API_V3_KEY, at_ms, _nonces()))["data"]
        assert [one["serial_no"] for one in data] == serials


@pytest.mark.parametrize(
    ("keys", "at_ms"),
    [
        (replace(parties.platform(), issues_certificates=False), NOW_MS),
        (replace(parties.platform(), certificates=()), NOW_MS),
        (parties.platform(), NEW.end_ms),
    ],
)
def test_who_has_the_public_key_alone_cannot_download_any(keys: Any, at_ms: int) -> None:
    with pytest.raises(WeChatError) as caught:
        certificates_body(keys, API_V3_KEY, at_ms, _nonces())
    assert (caught.value.code, caught.value.status) == ("RESOURCE_NOT_EXISTS", 404)
    assert "无可用的平台证书" in caught.value.text


def test_each_certificate_takes_a_nonce() -> None:
    with pytest.raises(UsageError, match="2 certificates are sealed with as many nonces"):
        certificates_body(parties.platform(), API_V3_KEY, NOW_MS, ["nonce0000001"])


# Fields. -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serial", [NEW.serial, OLD.serial, PUBLIC_KEY_ID])
def test_the_sdk_seals_a_field_and_we_open_it(serial: str) -> None:
    key = parties.platform().verifiers()[serial].key.loaded  # type: ignore[union-attr]
    assert open_field(parties.platform(), serial, sdk.rsa_encrypt("张三 6225", key)) == "张三 6225"
    assert (
        open_field(parties.platform(), serial, seal_field(parties.platform(), serial, "x" * 214)) == "x" * 214
    )


def test_the_sdk_opens_a_field_that_we_sealed() -> None:
    sealed = seal_for_merchant(parties.merchant_certificate("new"), "张三")
    assert sdk.rsa_decrypt(sealed, parties.pair("new").loaded) == "张三"
    ours = seal_field(parties.platform(), PUBLIC_KEY_ID, "张三")
    assert sdk.rsa_decrypt(ours, parties.pair("public").loaded) == "张三"


def test_a_field_has_a_longest_length_and_a_known_key() -> None:
    with pytest.raises(UsageError, match="at most 214 bytes"):
        seal_field(parties.platform(), PUBLIC_KEY_ID, "x" * 215)
    with pytest.raises(UsageError, match="the platform has no key"):
        seal_field(parties.platform(), "00", "x")


PUBLIC = parties.pair("public").public()

CLOSED: list[tuple[str, str, Any, str, str]] = [
    # name, serial that is named, what was sent, text, why
    (
        "no serial",
        "",
        "x",
        "HTTP header缺少微信支付平台证书序列号(Wechatpay-Serial)",
        "names the key in the header",
    ),
    ("unknown", "00AB", "x", "平台证书序列号Wechatpay-Serial错误", "'00AB' is neither"),
    ("merchant's", parties.merchant().serial, "x", "平台证书序列号Wechatpay-Serial错误", "is neither"),
    ("plain", PUBLIC_KEY_ID, "张三", "平台私钥解密失败", "not sealed, or not in base64"),
    ("a number", PUBLIC_KEY_ID, 1, "平台私钥解密失败", "not sealed, or not in base64"),
    ("empty", PUBLIC_KEY_ID, "", "平台私钥解密失败", "is not sealed with the key"),
    ("short", PUBLIC_KEY_ID, "AAAA", "平台私钥解密失败", "is not sealed with the key"),
    (
        "SHA-256",
        PUBLIC_KEY_ID,
        to_text(Oaep("oaep-sha256", PUBLIC).seal(b"x")),
        "平台私钥解密失败",
        "uses SHA-1",
    ),
    (
        "Java's default",
        PUBLIC_KEY_ID,
        to_text(Oaep("oaep-sha256-mgf1-sha1", PUBLIC).seal(b"x")),
        "平台私钥解密失败",
        "uses SHA-1",
    ),
    ("PKCS#1", PUBLIC_KEY_ID, to_text(Pkcs1(PUBLIC).seal(b"x")), "平台私钥解密失败", "RSAES-PKCS1-v1_5"),
    (
        "another of ours",
        PUBLIC_KEY_ID,
        seal_field(parties.platform(), OLD.serial, "x"),
        "平台私钥解密失败",
        f"with the key {OLD.serial}, but Wechatpay-Serial names PUB",
    ),
    (
        "the merchant's own",
        NEW.serial,
        seal_for_merchant(parties.merchant_certificate("new"), "x"),
        "平台私钥解密失败",
        "with the merchant's own certificate, perhaps?",
    ),
    (
        "no UTF-8",
        PUBLIC_KEY_ID,
        to_text(Oaep("oaep-sha1", PUBLIC).seal(b"\xff")),
        "平台私钥解密失败",
        "is not UTF-8",
    ),
]


@pytest.mark.parametrize(("name", "serial", "sent", "text", "why"), CLOSED, ids=[one[0] for one in CLOSED])
def test_a_field_that_does_not_open(name: str, serial: str, sent: Any, text: str, why: str) -> None:
    with pytest.raises(WeChatError) as caught:
        open_field(parties.platform(), serial, sent, "/user_name")
    assert caught.value.code == "PARAM_ERROR"
    assert text in caught.value.text
    assert why in caught.value.why
    if text == "平台私钥解密失败":
        assert caught.value.detail is not None
        assert caught.value.detail["field"] == "/user_name"


@settings(max_examples=count(300))
@given(
    st.dictionaries(
        st.sampled_from([*SEALED, "x"]),
        st.none() | st.integers() | st.text(max_size=20) | st.lists(st.none(), max_size=1),
    )
)
def test_any_resource_opens_or_is_refused(changed: dict[str, Any]) -> None:
    try:
        found = open_resource(API_V3_KEY, {**SEALED, **changed})
    except (AuthenticityError, DecodeError):
        return
    assert found == b"message"
