"""Every scheme: published answers, the openssl command both ways, and a change of any bit is refused."""

from __future__ import annotations

import base64
import json
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.core.errors import AuthenticityError, DecodeError, UsageError
from paysim.crypto import canonical, keys, signature
from paysim.crypto.keys import PrivateKey, SymmetricKey
from paysim.crypto.signature import SCHEMES, Signer, Verifier

VECTORS = Path(__file__).parent.parent / "vectors"
WECHAT = json.loads((VECTORS / "wechat.json").read_text("utf-8"))["vectors"]
ALIPAY = json.loads((VECTORS / "alipay.json").read_text("utf-8"))
UNIONPAY = json.loads((VECTORS / "unionpay.json").read_text("utf-8"))

ALIPAY_SCHEMES = {"RSA2": "rsa-sha256", "RSA": "rsa-sha1"}
MESSAGE = b"POST\n/v3/pay/transactions/jsapi\n1554208460\nNONCE\n{}\n"


def _wechat(kind: str) -> list[Any]:
    return [pytest.param(one, id=one["id"]) for one in WECHAT if one["kind"] == kind]


def _alipay(kind: str) -> list[Any]:
    return [pytest.param(one, id=one["id"]) for one in ALIPAY["items"] if one["kind"] == kind]


def _is_right(verifier: Verifier, message: bytes, text: str) -> bool:
    try:
        verifier.verify(message, signature.from_text(text))
    except AuthenticityError:
        return False
    return True


# Published answers. -------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", _wechat("rsa-sha256-pkcs1v15-verify"))
def test_wechat_v3(item: dict[str, Any]) -> None:
    verifier = Verifier("rsa-sha256", keys.public(item["public_key"]))
    assert _is_right(verifier, item["message"].encode(), item["signature"]) is item["expect"]


@pytest.mark.parametrize("item", _wechat("v2-sign"))
def test_wechat_v2(item: dict[str, Any]) -> None:
    key = SymmetricKey("hmac", item["key"].encode())
    message = canonical.WECHAT_V2.string(item["params"])
    assert Signer("wechat-v2-md5", key).sign(message).decode() == item["md5"]
    assert Signer("wechat-v2-hmac-sha256", key).sign(message).decode() == item["hmac_sha256"]
    Verifier("wechat-v2-md5", key).verify(message, item["md5"].encode())


@pytest.mark.parametrize("item", _wechat("oa-sha1"))
def test_official_account_urls(item: dict[str, Any]) -> None:
    made = signature.official_account_signature(item["token"], item["timestamp"], item["nonce"])
    assert made == item["signature"]


@pytest.mark.parametrize("item", _wechat("oa-msg-crypt"))
def test_official_account_messages(item: dict[str, Any]) -> None:
    parts = (item["timestamp"], item["nonce"], item["encrypt"])
    assert signature.official_account_signature(item["token"], *parts) == item["msg_signature"]


@pytest.mark.parametrize("item", _wechat("wxa-sha1"))
def test_mini_program_data(item: dict[str, Any]) -> None:
    assert signature.mini_program_signature(item["raw_data"], item["session_key"]) == item["signature"]


@pytest.mark.parametrize("item", _alipay("request_sign"))
def test_alipay_requests(item: dict[str, Any]) -> None:
    key = keys.private(ALIPAY["keys"]["app_private_key_pkcs1_der_b64"])
    signer = Signer(ALIPAY_SCHEMES[item["sign_type"]], key)
    assert signature.to_text(signer.sign(item["string_to_sign"].encode())) == item["sign"]


@pytest.mark.parametrize("item", _alipay("response_sign"))
def test_alipay_answers(item: dict[str, Any]) -> None:
    verifier = Verifier("rsa-sha256", keys.public(ALIPAY["keys"]["alipay_public_key_pem"]))
    sign = json.loads(item["raw_body"])["sign"]
    assert _is_right(verifier, item["signed_substring"].encode(), sign) is item["valid"]


@pytest.mark.parametrize("item", _alipay("notify_sign"))
def test_alipay_notifications(item: dict[str, Any]) -> None:
    rule = canonical.ALIPAY_NOTIFY_WITH_TYPE if item["covers_sign_type"] else canonical.ALIPAY_NOTIFY
    verifier = Verifier(
        ALIPAY_SCHEMES[item["sign_type"]], keys.public(ALIPAY["keys"]["alipay_public_key_pem"])
    )
    sign = item.get("sign") or item["params"]["sign"]
    assert _is_right(verifier, rule.string(item["params"]), sign) is item["valid"]


@pytest.mark.parametrize(("kind", "key"), [("v3_request_sign", "app"), ("v3_response_sign", "alipay")])
def test_alipay_v3(kind: str, key: str) -> None:
    (item,) = [one for one in ALIPAY["items"] if one["kind"] == kind]
    private = keys.private(ALIPAY["keys"][f"{key}_private_key_pkcs1_der_b64"])
    assert (
        signature.to_text(Signer("rsa-sha256", private).sign(item["string_to_sign"].encode())) == item["sign"]
    )


@pytest.mark.parametrize("item", UNIONPAY["items"], ids=lambda item: item["id"])
def test_unionpay(item: dict[str, Any]) -> None:
    message = item["string_to_sign"].encode()
    if "secure_key" in item:
        key = SymmetricKey("hmac", item["secure_key"].encode())
        assert Signer("unionpay-key-sha256", key).sign(message).decode() == item["signature"]
        return
    scheme = "rsa-sha256-twice" if item["params"]["version"] == "5.1.0" else "rsa-sha1-twice"
    private = keys.private(UNIONPAY["private_key_pkcs1_der_b64"])
    assert signature.to_text(Signer(scheme, private).sign(message)) == item["signature"]
    Verifier(scheme, keys.public(UNIONPAY["public_key_pem"])).verify(
        message, signature.from_text(item["signature"])
    )


# Every scheme. ------------------------------------------------------------------------------------------


@pytest.fixture(params=SCHEMES)
def tools(
    request: pytest.FixtureRequest, pairs: dict[str, PrivateKey], hmac_key: SymmetricKey
) -> tuple[Signer, Verifier]:
    scheme = request.param
    if SCHEMES[scheme].key == "hmac":
        return Signer(scheme, hmac_key), Verifier(scheme, hmac_key)
    pair = pairs[SCHEMES[scheme].key]
    return Signer(scheme, pair), Verifier(scheme, pair.public())


def test_what_is_signed_is_verified(tools: tuple[Signer, Verifier]) -> None:
    signer, verifier = tools
    assert signer.key_id == verifier.key_id
    for message in (b"", b"x", MESSAGE, bytes(range(256)) * 40_960):  # the last has 10 MB
        assert verifier.verify(message, signer.sign(message)) is None  # type: ignore[func-returns-value]


def test_the_tools_pickle(tools: tuple[Signer, Verifier]) -> None:
    signer, verifier = pickle.loads(pickle.dumps(tools))
    assert repr(signer) == f"<Signer {signer.scheme} {signer.key_id}>"
    verifier.verify(MESSAGE, signer.sign(MESSAGE))


def test_every_bit_of_the_signature_counts(tools: tuple[Signer, Verifier]) -> None:
    signer, verifier = tools
    good = signer.sign(MESSAGE)
    step = 1 if SCHEMES[signer.scheme].key != "sm2" else 3
    for bit in range(0, 8 * len(good), step):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticityError):
            verifier.verify(MESSAGE, bytes(changed))
    for other in (b"", good[:-1], good + b"\0", b"\0" + good, bytes(len(good)), good * 2):
        with pytest.raises(AuthenticityError):
            verifier.verify(MESSAGE, other)


@settings(deadline=None)
@given(message=st.binary(min_size=1, max_size=200), data=st.data())
def test_every_bit_of_the_message_counts(
    message: bytes, data: st.DataObject, pairs: dict[str, PrivateKey], hmac_key: SymmetricKey
) -> None:
    scheme = data.draw(st.sampled_from(sorted(SCHEMES)))
    family = SCHEMES[scheme].key
    key = hmac_key if family == "hmac" else pairs[family]
    verifier = Verifier(scheme, key.public() if isinstance(key, PrivateKey) else key)
    bit = data.draw(st.integers(0, 8 * len(message) - 1))
    changed = bytearray(message)
    changed[bit // 8] ^= 1 << bit % 8
    good = Signer(scheme, key).sign(message)
    verifier.verify(message, good)
    with pytest.raises(AuthenticityError):
        verifier.verify(bytes(changed), good)


def test_another_key_does_not_fit(rsa_key: PrivateKey, other_rsa_key: PrivateKey) -> None:
    good = Signer("rsa-sha256", rsa_key).sign(MESSAGE)
    other = other_rsa_key.public()
    with pytest.raises(AuthenticityError, match=f"rsa-sha256, key {other.id}, 52 bytes signed with 256"):
        Verifier("rsa-sha256", other).verify(MESSAGE, good)


def test_what_is_no_bytes(tools: tuple[Signer, Verifier]) -> None:
    signer, verifier = tools
    for message in ("text", None, 7):
        with pytest.raises(UsageError, match="bytes"):
            signer.sign(message)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="bytes"):
        verifier.verify(MESSAGE, "text")  # type: ignore[arg-type]


def test_keys_that_a_scheme_does_not_take(
    rsa_key: PrivateKey, p256_key: PrivateKey, hmac_key: SymmetricKey
) -> None:
    with pytest.raises(UsageError, match="a private key of family rsa; this is <PrivateKey p-256"):
        Signer("rsa-sha256", p256_key)
    with pytest.raises(UsageError, match="a private key of family rsa; this is <PublicKey"):
        Signer("rsa-sha256", rsa_key.public())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a public key of family rsa; this is <PrivateKey"):
        Verifier("rsa-sha256", rsa_key)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="kind hmac; this is bytes"):
        Signer("wechat-v2-md5", b"my secret")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not 'md5'"):
        Signer("md5", hmac_key)


# Base64. ------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_base64_comes_back(data: bytes) -> None:
    assert signature.from_text(signature.to_text(data)) == data


BAD_BASE64 = [
    ("AAAA*AAA", 4, "0x2a"),
    ("AAAA AAA", 4, "0x20"),
    ("AAA", 3, "cut or wrongly padded"),
    ("AAAA\n", 4, "0x0a"),
    ("AA==AAAA", 8, "padded"),
    ("WECHATPAY/SIGNTEST/a_b", 20, "0x5f"),
    ("茶", 0, "base64"),
]


@pytest.mark.parametrize(("text", "offset", "words"), BAD_BASE64)
def test_no_base64(text: str, offset: int, words: str) -> None:
    with pytest.raises(DecodeError, match=words) as caught:
        signature.from_text(text)
    assert caught.value.offset == offset
    with pytest.raises(UsageError, match="not NoneType"):
        signature.from_text(None)  # type: ignore[arg-type]


# The openssl command. -----------------------------------------------------------------------------------

OPENSSL = {
    "rsa-sha256": ["-sha256"],
    "rsa-sha1": ["-sha1"],
    "rsa-sha512": ["-sha512"],
    "ecdsa-p256-sha256": ["-sha256"],
    "sm2-sm3": ["-sm3", "-sigopt", "distid:1234567812345678"],
}


@pytest.mark.parametrize("scheme", OPENSSL)
def test_openssl_agrees_both_ways(scheme: str, pairs: dict[str, PrivateKey], tmp_path: Path) -> None:
    pair = pairs[SCHEMES[scheme].key]
    files = {"key": pair.pem(), "public": pair.public().pem(), "message": MESSAGE}
    files["signature"] = Signer(scheme, pair).sign(MESSAGE)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    command = ["openssl", "dgst", *OPENSSL[scheme]]
    checked = subprocess.run(
        [*command, "-verify", "public", "-signature", "signature", "message"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert b"Verified OK" in checked.stdout, checked.stderr
    made = subprocess.run(
        [*command, "-sign", "key", "message"], cwd=tmp_path, capture_output=True, check=True
    )
    Verifier(scheme, pair.public()).verify(MESSAGE, made.stdout)


@pytest.mark.parametrize("size", [1, 2, 3, 64, 256])
def test_one_signature_had_many_texts(size: int) -> None:
    right = signature.to_text(bytes(size))
    assert signature.from_text(right) == signature.from_text(right.encode()) == bytes(size)
    body = right.rstrip("=")
    for digit in "BCDEFGHI" if size % 3 else "":
        text = body[:-1] + digit + right[len(body) :]
        for sent in (text, text.encode()):
            if signature.to_text(base64.b64decode(text)) == text:
                assert len(signature.from_text(sent)) == size
            else:
                with pytest.raises(DecodeError, match="bits to spare") as caught:
                    signature.from_text(sent)
                assert caught.value.offset == len(body) - 1
