"""A wrong signature is explained by the mistake that made it."""

from __future__ import annotations

import binascii
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from paysim.core.errors import UsageError
from paysim.crypto import canonical, mismatch
from paysim.crypto.keys import PrivateKey, SymmetricKey
from paysim.crypto.signature import Signer, Verifier, to_text

BODY = '{"appid": "wx1", "description": "茶/杯", "amount": {"total": 100}}'.encode()
VALUES = ("POST", "/v3/pay/x?subject=%E8%8C%B6&a=1", "1554208460", "593BEC0C", BODY)


def _signed(*values: str | bytes) -> bytes:
    return canonical.WECHAT_REQUEST.string(*values)


def _body(**options: Any) -> bytes:
    return json.dumps(json.loads(BODY), **options).encode()


LINE_MISTAKES: list[tuple[bytes, str]] = [
    (_signed(*VALUES)[:-1], "the last line feed is missing"),
    (_signed(*VALUES) + b"\n", "white space at the end"),
    (_signed(*VALUES).replace(b"\n", b"\r\n"), "CR LF"),
    (_signed(*VALUES).replace(b"\n", b""), "not joined"),
    (_signed("POST", "/v3/pay/x?subject=茶&a=1", *VALUES[2:]), "the path was decoded"),
    (_signed("POST", "/v3/pay/x", *VALUES[2:]), "the query is missing"),
    (_signed("POST", "https://api.mch.weixin.qq.com" + VALUES[1], *VALUES[2:]), "the host was signed"),
    (_signed(*VALUES[:4], _body(separators=(",", ":"))), "the body was serialised again"),
    (_signed(*VALUES[:4], _body()), "the body was serialised again"),
    (_signed(*VALUES[:4], _body(ensure_ascii=False, sort_keys=True)), "the body was serialised again"),
    (_signed(*VALUES[:4], _body(ensure_ascii=False, indent=2)), "the body was serialised again"),
    (_signed(*VALUES[:4], b""), "the body was left out"),
    (_signed("post", *VALUES[1:]), "the method is in lower case"),
    (_signed(*VALUES[:2], "1554208460000", *VALUES[3:]), "another unit"),
    (_signed(*VALUES[:2], "593BEC0C", "1554208460", BODY), "wrong order: timestamp and nonce are swapped"),
    (_signed(*VALUES[:3], "593bec0c", BODY), "the nonce is in the other case"),
]


@pytest.mark.parametrize(("message", "mistake"), LINE_MISTAKES, ids=lambda one: str(one)[:40])
def test_mistakes_with_lines(message: bytes, mistake: str, rsa_key: PrivateKey) -> None:
    found = _explained(rsa_key, Signer("rsa-sha256", rsa_key).sign(message))
    assert mistake in found.mistake
    assert found.signed == message
    assert found.expected == _signed(*VALUES)
    at = found.first_difference
    assert at is not None
    assert found.expected[:at] == message[:at]
    assert found.expected[at : at + 1] != message[at : at + 1]
    assert mistake in str(found)


def _explained(key: PrivateKey, signature: bytes, **more: Any) -> mismatch.Mismatch:
    verifier = Verifier("rsa-sha256", key.public())
    return mismatch.explain(verifier, canonical.WECHAT_REQUEST, VALUES, signature, **more)


def test_the_wrong_serial_and_another_key(rsa_key: PrivateKey, other_rsa_key: PrivateKey) -> None:
    signature = Signer("rsa-sha256", other_rsa_key).sign(_signed(*VALUES))
    other = Verifier("rsa-sha256", other_rsa_key.public())
    found = _explained(rsa_key, signature, serials={"5DEA10EF": other})
    assert found.mistake == "the wrong serial is named: the key of 5DEA10EF signed"
    assert found.first_difference is None
    found = _explained(rsa_key, signature, others={"the platform's key": other})
    assert found.mistake == "another key signed: the platform's key"
    assert _explained(rsa_key, signature).mistake == ""


def test_another_hash_and_two_mistakes_at_once(rsa_key: PrivateKey) -> None:
    found = _explained(rsa_key, Signer("rsa-sha1", rsa_key).sign(_signed(*VALUES)))
    assert found.mistake == "another scheme: signed by rsa-sha1"
    found = _explained(rsa_key, Signer("rsa-sha256-twice", rsa_key).sign(_signed(*VALUES)[:-1]))
    assert found.mistake == "the last line feed is missing; and another scheme: signed by rsa-sha256-twice"


def test_a_signature_in_another_dress(rsa_key: PrivateKey) -> None:
    good = Signer("rsa-sha256", rsa_key).sign(_signed(*VALUES))
    assert "base64 twice" in _explained(rsa_key, to_text(good).encode()).mistake
    assert "hex within base64" in _explained(rsa_key, binascii.hexlify(good)).mistake


def test_what_nobody_explains(rsa_key: PrivateKey) -> None:
    found = _explained(rsa_key, bytes(256), claimed=_signed("GET", *VALUES[1:]))
    assert (found.mistake, found.first_difference) == ("", 0)
    assert "none of the usual mistakes" in str(found)
    assert rsa_key.id in str(found)
    found = _explained(rsa_key, b"")
    assert (found.signed, found.first_difference) == (None, None)
    with pytest.raises(UsageError, match="nothing to explain"):
        _explained(rsa_key, Signer("rsa-sha256", rsa_key).sign(_signed(*VALUES)))


PARAMETERS = {
    "out_trade_no": "T-1",
    "appid": "wx1",
    "body": "茶 & 杯",
    "attach": "",
    "detail": '{"goods":["茶"]}',
    "sign_type": "MD5",
}
V2 = canonical.WECHAT_V2


def _pairs(names: list[str]) -> bytes:
    return "&".join(f"{name}={PARAMETERS[name]}" for name in names if PARAMETERS[name]).encode()


ENCODED = "%7B%22goods%22%3A%5B%22%E8%8C%B6%22%5D%7D"

SORTED_MISTAKES: list[tuple[bytes, str]] = [
    (_pairs(list(PARAMETERS)), "wrong order"),
    (canonical.SortedRule("", frozenset(), keeps_empty=True).string(PARAMETERS), "empty parameters"),
    (V2.string({**PARAMETERS, "sign_type": ""}), "sign_type"),
    (V2.string({**PARAMETERS, "body": "%E8%8C%B6+%26+%E6%9D%AF", "detail": ENCODED}), "URL-encoded"),
    (V2.string({**PARAMETERS, "detail": '{"goods": ["茶"]}'}), "JSON value was serialised again"),
    (V2.string(PARAMETERS, "gbk"), "another charset"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "mistake"), SORTED_MISTAKES, ids=lambda one: str(one)[:30])
def test_mistakes_with_parameters(message: bytes, mistake: str) -> None:
    key = SymmetricKey("hmac", b"192006250b4c09247ec02edce69f6a2d", name="api key")
    signature = Signer("wechat-v2-md5", key).sign(message)
    found = mismatch.explain(Verifier("wechat-v2-md5", key), V2, PARAMETERS, signature)
    assert mistake in found.mistake
    assert key.secret.decode() not in str(found)


@pytest.mark.parametrize(
    ("make", "mistake"),
    [
        (lambda key: Signer("wechat-v2-md5", key).sign(V2.string(PARAMETERS)).lower(), "in the other case"),
        (
            lambda key: Signer("wechat-v2-hmac-sha256", key).sign(V2.string(PARAMETERS)),
            "wechat-v2-hmac-sha256",
        ),
    ],
)
def test_v2_hashes_and_cases(make: Callable[[SymmetricKey], bytes], mistake: str) -> None:
    key = SymmetricKey("hmac", b"192006250b4c09247ec02edce69f6a2d")
    found = mismatch.explain(Verifier("wechat-v2-md5", key), V2, PARAMETERS, make(key))
    assert mistake in found.mistake


def test_jsapi_and_app_are_told_apart(rsa_key: PrivateKey) -> None:
    app = ("wx1", "1554208460", "N", "wx2014")
    jsapi = (*app[:3], "prepay_id=wx2014")
    verifier, signer = Verifier("rsa-sha256", rsa_key.public()), Signer("rsa-sha256", rsa_key)
    signature = signer.sign(canonical.WECHAT_JSAPI.string(*jsapi))
    assert "prepay_id=" in mismatch.explain(verifier, canonical.WECHAT_APP, app, signature).mistake
    signature = signer.sign(canonical.WECHAT_APP.string(*app))
    assert (
        "prepay_id= is missing"
        in mismatch.explain(verifier, canonical.WECHAT_JSAPI, jsapi, signature).mistake
    )


def test_a_long_body_costs_little_and_is_cut_for_people(rsa_key: PrivateKey) -> None:
    values = (*VALUES[:4], b'{"a":"' + b"x" * 1_000_000 + b'"}')
    verifier = Verifier("rsa-sha256", rsa_key.public())
    signature = Signer("rsa-sha256", rsa_key).sign(_signed(*values)[:-1])
    found = mismatch.explain(verifier, canonical.WECHAT_REQUEST, values, signature)
    assert found.mistake == "the last line feed is missing"
    assert len(str(found)) < 4_000


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 5_000, b'"\\ud800"', b"{}" * 50])
def test_odd_bodies_are_explained_as_well(body: bytes, rsa_key: PrivateKey) -> None:
    values = (*VALUES[:4], body)
    found = mismatch.explain(
        Verifier("rsa-sha256", rsa_key.public()), canonical.WECHAT_REQUEST, values, b"wrong"
    )
    assert "none of the usual mistakes" in str(found)


def test_many_json_parameters_took_seconds_and_all_the_memory() -> None:
    key = SymmetricKey("hmac", b"secret")
    parameters = {f"a{number}": '{"b":"茶"}' for number in range(2_000)}
    tracemalloc.start()
    try:
        found = mismatch.explain(Verifier("wechat-v2-md5", key), V2, parameters, b"x")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.mistake == ""
    assert most < 2 * mismatch.MAX_TRIES * len(found.expected)


def test_an_ordinary_mistake_beside_many_json_parameters_is_found() -> None:
    key = SymmetricKey("hmac", b"secret")
    parameters = {f"a{number}": '{"b":"茶"}' for number in range(300)}
    wrong = Signer("wechat-v2-md5", key).sign(V2.string(parameters, "gbk"))
    assert (
        mismatch.explain(Verifier("wechat-v2-md5", key), V2, parameters, wrong).mistake == "another charset"
    )


@pytest.mark.parametrize("depth", [500, 990, 2_000, 5_000, 30_000])
def test_json_too_deep_to_write_again_is_left_alone(depth: int) -> None:
    key = SymmetricKey("hmac", b"secret")
    text = "[" * depth + "]" * depth
    assert mismatch.explain(Verifier("wechat-v2-md5", key), V2, {"a": text}, b"x").mistake == ""
