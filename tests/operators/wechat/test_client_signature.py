"""What a page or an app hands to WeChat: named and signed as the documents say, checked and explained."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, get_args

import pytest
import wechat_parties as parties
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st
from wechat_parties import MCHID, NONCE, NOW_S, VECTORS
from wechatpayv3 import utils as sdk

from paysim.core.errors import UsageError
from paysim.crypto import keys as crypto_keys
from paysim.crypto.canonical import WECHAT_APP, WECHAT_JSAPI
from paysim.crypto.signature import Verifier, to_text
from paysim.operators.wechat import client_signature, signing
from paysim.operators.wechat.client_signature import PayKind, check_pay_sign, pay_sign
from paysim.operators.wechat.keys import MerchantKeys

APPID = "wx2421b1c4370ec43b"
PREPAY_ID = "wx201410272009395522657a690389285100"
KINDS: tuple[PayKind, ...] = get_args(PayKind)

NAMES: dict[PayKind, list[str]] = {
    "jsapi": ["appId", "timeStamp", "nonceStr", "package", "signType", "paySign"],
    "mini_program": ["timeStamp", "nonceStr", "package", "signType", "paySign"],
    "app": ["appId", "partnerId", "prepayId", "packageValue", "nonceStr", "timeStamp", "sign"],
}


def made(kind: PayKind, **changed: Any) -> dict[str, Any]:
    found = {**pay_sign(parties.merchant(), kind, APPID, NOW_S, NONCE, PREPAY_ID), **changed}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_as_the_documents_name_them(kind: PayKind) -> None:
    parameters = made(kind)
    assert list(parameters) == NAMES[kind]
    assert all(isinstance(value, str) for value in parameters.values())
    assert check_pay_sign(parties.merchant(), kind, parameters, appid=APPID) == ""
    if kind != "mini_program":
        assert check_pay_sign(parties.merchant(), kind, parameters) == ""


def test_the_packages() -> None:
    assert made("jsapi")["package"] == f"prepay_id={PREPAY_ID}"
    assert made("jsapi")["signType"] == "RSA"
    assert made("app")["packageValue"] == "Sign=WXPay"
    assert made("app")["prepayId"] == PREPAY_ID
    assert made("app")["partnerId"] == MCHID


@pytest.mark.parametrize(
    ("kind", "name", "last"), [("jsapi", "paySign", f"prepay_id={PREPAY_ID}"), ("app", "sign", PREPAY_ID)]
)
def test_the_sdk_signs_the_same(kind: PayKind, name: str, last: str) -> None:
    theirs = sdk.rsa_sign(parties.pair("new").loaded, "\n".join([APPID, str(NOW_S), NONCE, last, ""]))
    assert made(kind)[name] == theirs


def _demo_merchant() -> MerchantKeys:
    public = crypto_keys.public(VECTORS["v3-paysign-jsapi"]["public_key"])
    certificate = replace(parties.merchant_certificate("new"), verifier=Verifier("rsa-sha256", public))
    return MerchantKeys("1900007291", (certificate,), parties.API_V3_KEY)


DOCUMENTED: list[tuple[PayKind, str, str]] = [
    ("jsapi", "v3-paysign-jsapi", ""),
    ("mini_program", "v3-paysign-jsapi", ""),
    ("app", "v3-paysign-app", ""),
    ("app", "v3-paysign-swapped", "prepay_id= stands before the prepay id"),
    ("jsapi", "v3-paysign-app", "prepay_id= is missing before the prepay id"),
]


@pytest.mark.parametrize(("kind", "name", "why"), DOCUMENTED)
def test_the_documents_examples(kind: PayKind, name: str, why: str) -> None:
    """The published signatures of the demo merchant, in the parameters of each kind of client."""
    appid, stamp, nonce, package, _ = VECTORS[name]["message"].split("\n")
    prepay_id = package.removeprefix("prepay_id=")
    values = {
        "appId": appid,
        "timeStamp": stamp,
        "nonceStr": nonce,
        "signType": "RSA",
        "prepayId": prepay_id,
        "package": f"prepay_id={prepay_id}",
        "packageValue": "Sign=WXPay",
        "partnerId": "1900007291",
        "paySign": VECTORS[name]["signature"],
        "sign": VECTORS[name]["signature"],
    }
    parameters = {one: values[one] for one in NAMES[kind]}
    found = check_pay_sign(_demo_merchant(), kind, parameters, appid=appid)
    assert why in found
    assert bool(found) == bool(why)


def _signed(message: bytes, key: str = "new") -> str:
    return to_text(parties.signer(key).sign(message))


JSAPI = (APPID, str(NOW_S), NONCE, f"prepay_id={PREPAY_ID}")
MD5 = hashlib.md5(b"x").hexdigest().upper()

WRONG: list[tuple[PayKind, dict[str, Any], str]] = [
    ("jsapi", {"paySign": None}, "lack paySign"),
    ("jsapi", {"paySign": "", "nonceStr": None}, "lack nonceStr, paySign"),
    ("app", {"sign": None, "partnerId": None}, "lack partnerId, sign"),
    ("jsapi", {"timeStamp": NOW_S}, "timeStamp is text, not int"),
    ("jsapi", {"timeStamp": "now"}, "timeStamp is a number of seconds"),
    ("jsapi", {"timeStamp": str(NOW_S + 1)}, "wrong signature"),
    ("jsapi", {"signType": "MD5"}, "signType is RSA, not 'MD5'"),
    ("jsapi", {"signType": "HMAC-SHA256"}, "APIv2's"),
    ("jsapi", {"package": PREPAY_ID}, "package is prepay_id="),
    ("jsapi", {"package": f"prepay_id={PREPAY_ID}1"}, "wrong signature"),
    ("jsapi", {"appId": "wx1"}, "wrong signature"),
    ("jsapi", {"nonceStr": NONCE.lower()}, "the nonce is in the other case"),
    ("jsapi", {"nonceStr": "a\nb"}, "paySign cannot be checked"),
    ("jsapi", {"nonceStr": "\ud800"}, "paySign cannot be checked"),
    ("jsapi", {"paySign": MD5}, "paySign is an MD5"),
    ("jsapi", {"paySign": "%"}, "paySign cannot be checked"),
    ("jsapi", {"paySign": made("jsapi")["paySign"] + "%"}, "paySign cannot be checked"),
    ("jsapi", {"paySign": _signed(WECHAT_JSAPI.string(*JSAPI)[:-1])}, "the last line feed is missing"),
    ("jsapi", {"paySign": _signed(WECHAT_JSAPI.string(*JSAPI), "nobody")}, "none of the usual mistakes"),
    (
        "jsapi",
        {"paySign": _signed(WECHAT_JSAPI.string(JSAPI[0], JSAPI[2], JSAPI[1], JSAPI[3]))},
        "wrong order",
    ),
    ("mini_program", {"paySign": _signed(WECHAT_APP.string(*JSAPI[:3], PREPAY_ID))}, "prepay_id= is missing"),
    ("app", {"sign": _signed(WECHAT_JSAPI.string(*JSAPI))}, "prepay_id= stands before the prepay id"),
    ("app", {"packageValue": f"prepay_id={PREPAY_ID}"}, "packageValue is 'Sign=WXPay'"),
    ("app", {"partnerId": "1900000002"}, "partnerId is '1900000002', the order is 1900000001's"),
]


@pytest.mark.parametrize(("kind", "changed", "why"), WRONG, ids=lambda one: str(one)[:40])
def test_what_is_wrong_is_said(kind: PayKind, changed: dict[str, Any], why: str) -> None:
    assert why in check_pay_sign(
        parties.merchant(), kind, made(kind, **changed), appid=APPID * (kind == "mini_program")
    )


def test_a_mini_program_needs_to_be_told_whose_it_is() -> None:
    assert (
        check_pay_sign(parties.merchant(), "mini_program", made("mini_program"))
        == "the parameters lack appId"
    )
    other = check_pay_sign(parties.merchant(), "mini_program", made("mini_program"), appid="wx1")
    assert other.startswith("wrong signature")


def test_only_certificates_in_force_count() -> None:
    by_old = made("jsapi", paySign=_signed(WECHAT_JSAPI.string(*JSAPI), "old"))
    assert check_pay_sign(parties.merchant(), "jsapi", by_old) == ""
    old = replace(parties.merchant_certificate("old"), status="replaced")
    keys = replace(parties.merchant(), certificates=(parties.merchant_certificate("new"), old))
    assert check_pay_sign(keys, "jsapi", by_old).startswith("wrong signature")
    gone = replace(keys, certificates=(old,))
    assert "no certificate in force" in check_pay_sign(gone, "jsapi", by_old)


def test_a_kind_that_is_none_and_a_key_that_is_not_here() -> None:
    with pytest.raises(UsageError, match="a client is one of jsapi, mini_program, app"):
        pay_sign(parties.merchant(), "h5", APPID, NOW_S, NONCE, PREPAY_ID)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a client is one of"):
        check_pay_sign(parties.merchant(), "h5", {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="private key"):
        pay_sign(replace(parties.merchant(), signer=None), "app", APPID, NOW_S, NONCE, PREPAY_ID)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(max_size=3), one, max_size=2),
    max_leaves=4,
)


@settings(max_examples=count(500))
@given(
    st.sampled_from(KINDS), st.dictionaries(st.sampled_from(sorted({*NAMES["jsapi"], *NAMES["app"]})), _json)
)
def test_any_parameters_have_an_answer(kind: PayKind, changed: dict[str, Any]) -> None:
    found = check_pay_sign(parties.merchant(), kind, {**made(kind), **changed}, appid=APPID)
    known = {name: value for name, value in changed.items() if name in [*NAMES[kind], "appId"]}
    if not known.keys() - {"appId"} and "appId" not in known:
        assert found == ""
    elif any({**made(kind), "appId": APPID}.get(name) != value for name, value in known.items()):
        assert found


def test_the_same_functions_are_offered_with_the_rest_of_the_signing() -> None:
    assert signing.pay_sign is client_signature.pay_sign
    assert signing.check_pay_sign is client_signature.check_pay_sign
