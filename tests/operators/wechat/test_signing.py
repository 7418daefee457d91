"""Requests: signed as merchants sign them, refused in the platform's words, and explained."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
import requests
import wechat_parties as parties
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st
from wechat_parties import BODY, MCHID, NONCE, NOW_MS, NOW_S, TARGET, VECTORS, header, request, string
from wechatpayv3 import utils as sdk

from paysim.codec.http import Request
from paysim.core.errors import UsageError
from paysim.crypto import keys as crypto_keys
from paysim.crypto.signature import Verifier
from paysim.operators.wechat import signing
from paysim.operators.wechat.errors import WeChatError
from paysim.operators.wechat.keys import MerchantKeys

QUERY = "/v3/pay/transactions/out-trade-no/T-1?mchid=1900000001"
CERTIFICATES = "/v3/certificates"


def known(mchid: str) -> MerchantKeys | None:
    return parties.merchant() if mchid == MCHID else None


def refusal(
    asked: Request, wall_ms: int = NOW_MS, keys: MerchantKeys | None = None, **more: Any
) -> WeChatError:
    """The error that a request meets."""
    with pytest.raises(WeChatError) as caught:
        signing.verify(asked, known if keys is None else {keys.mchid: keys}.get, wall_ms, **more)
    assert caught.value.code == "SIGN_ERROR"
    return caught.value


# Good requests, both directions against the SDK. --------------------------------------------------------

GOOD: list[tuple[str, str, bytes]] = [
    ("POST", TARGET, BODY),
    ("POST", TARGET, b'{"a":"line\nfeed","b":"\xe8\x8c\xb6"}'),
    ("GET", QUERY, b""),
    ("GET", "/v3/bill/tradebill?bill_date=2026-01-01&bill_type=ALL", b""),
    ("GET", "/v3/x?a=%E8%8C%B6%7C&b=", b""),
    ("POST", "/v3/fund-app/mch-transfer/transfer-bills/out-bill-no/1/cancel", b""),
    ("DELETE", "/v3/x", b""),
    ("POST", TARGET, b"\xff\xfe\x00"),
]


@pytest.mark.parametrize(("method", "target", "body"), GOOD, ids=lambda one: str(one)[:30])
def test_what_the_merchant_signs_the_platform_verifies(method: str, target: str, body: bytes) -> None:
    value = signing.authorization(parties.merchant(), method, target, body, NONCE, NOW_S)
    found = signing.verify(request(value, method, target, body), known, NOW_MS)
    assert (found.mchid, found.nonce, found.timestamp) == (MCHID, NONCE, str(NOW_S))
    assert found.serial == parties.merchant().serial
    assert not found.lenient


@pytest.mark.parametrize(("method", "target", "body"), GOOD[:-1], ids=lambda one: str(one)[:30])
def test_the_sdk_signs_and_we_verify(method: str, target: str, body: bytes) -> None:
    with mock.patch.object(sdk.time, "time", return_value=NOW_S + 0.5):
        value = sdk.build_authorization(
            target,
            method,
            MCHID,
            parties.merchant().serial,
            parties.pair("new").loaded,
            body.decode() or None,
        )
    assert signing.verify(request(value, method, target, body), known, NOW_MS).mchid == MCHID


def test_we_sign_and_the_sdk_would_have_signed_the_same() -> None:
    ours = signing.authorization(parties.merchant(), "POST", TARGET, BODY, NONCE, NOW_S)
    with mock.patch.object(sdk.time, "time", return_value=NOW_S + 0.5):
        theirs = sdk.build_authorization(
            *(TARGET, "POST", MCHID, parties.merchant().serial, parties.pair("new").loaded),
            *(BODY.decode(), NONCE),
        )
    assert signing.parse_authorization(ours) == signing.parse_authorization(theirs)


def test_an_older_certificate_counts_while_it_is_in_force() -> None:
    serial = parties.merchant_certificate("old").serial
    asked = request(header(string(), key="old", serial=serial))
    assert signing.verify(asked, known, NOW_MS).serial == serial


def test_the_documents_example_is_verified_as_a_whole_request() -> None:
    vector = VECTORS["v3-request-sign-body"]
    certificate = replace(
        parties.merchant_certificate("new"),
        serial=vector["serial_no"],
        verifier=Verifier("rsa-sha256", crypto_keys.public(vector["public_key"])),
    )
    keys = MerchantKeys(vector["mchid"], (certificate,), parties.API_V3_KEY)
    value = (
        f'{signing.SCHEME} mchid="{vector["mchid"]}",nonce_str="{vector["nonce"]}",'
        f'signature="{vector["signature"]}",timestamp="{vector["timestamp"]}",serial_no="{vector["serial_no"]}"'
    )
    asked = request(value, vector["method"], vector["url"], vector["body"].encode())
    found = signing.verify(asked, {keys.mchid: keys}.get, int(vector["timestamp"]) * 1000)
    assert found.signature == vector["signature"]
    changed = asked._replace(body=asked.body.replace(b"100", b"101"))
    why = refusal(changed, int(vector["timestamp"]) * 1000, keys).why
    assert "the right key" in why
    assert "another string" in why


# The rows of facts 1.2, with their words. ----------------------------------------------------------------

FORM = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
TRADE_FORM = "签名信息错误，验签失败"
TYPE = "Http头Authorization认证类型不正确"
GOOD_HEADER = header(string())

FORMS: list[tuple[str, str, str, str, str]] = [
    # name, header, text on most paths, text on /v3/pay/transactions, why
    ("none", "", FORM, TRADE_FORM, "is missing"),
    ("bearer", "Bearer fake-token", TYPE, TRADE_FORM, "not 'Bearer'"),
    ("basic", "Basic dTpw", TYPE, TRADE_FORM, "not 'Basic'"),
    ("old type", GOOD_HEADER.replace("2-SHA256-RSA2048", ""), TYPE, TYPE, "not 'WECHATPAY'"),
    ("sm2", GOOD_HEADER.replace("SHA256-RSA2048", "SM2-WITH-SM3"), TYPE, TYPE, "SM2-WITH-SM3"),
    ("type alone", signing.SCHEME, FORM, TRADE_FORM, "it lacks mchid, nonce_str, timestamp"),
    ("no serial", re.sub(r'serial_no="\w+",', "", GOOD_HEADER), FORM, TRADE_FORM, "it lacks serial_no"),
    ("empty nonce", GOOD_HEADER.replace(NONCE, ""), FORM, TRADE_FORM, "it lacks nonce_str"),
    ("twice", GOOD_HEADER + ',mchid="1"', FORM, TRADE_FORM, "each once"),
    ("unknown", GOOD_HEADER + ',appid="1"', FORM, TRADE_FORM, "an unknown field appid"),
    ("single quotes", GOOD_HEADER.replace('"', "'"), FORM, TRADE_FORM, "in single quotes"),
    ("no quotes", GOOD_HEADER.replace('"', ""), FORM, TRADE_FORM, "five fields"),
    ("spaces", GOOD_HEADER.replace(",", ", "), FORM, TRADE_FORM, "white space"),
    ("two spaces", GOOD_HEADER.replace(" ", "  "), FORM, TRADE_FORM, "white space"),
    ("typographic", GOOD_HEADER.replace('"', "”"), FORM, TRADE_FORM, "typographic quotes"),
    ("Chinese commas", GOOD_HEADER.replace(",", "，"), FORM, TRADE_FORM, "Chinese punctuation"),
    ("semicolons", GOOD_HEADER.replace(",", ";"), FORM, TRADE_FORM, "five fields"),
    ("wrapped", GOOD_HEADER.replace('="a', '="\na').replace("==", "\n=="), FORM, TRADE_FORM, "line break"),
    ("date", GOOD_HEADER.replace(str(NOW_S), "2026-01-01"), FORM, TRADE_FORM, "not a number"),
    ("negative", GOOD_HEADER.replace(str(NOW_S), "-1"), FORM, TRADE_FORM, "not a number"),
    ("endless", GOOD_HEADER.replace(NONCE, "9" * 5000), FORM, TRADE_FORM, "longer than 4096"),
    ("many digits", GOOD_HEADER.replace(str(NOW_S), "9" * 4000), FORM, TRADE_FORM, "4096"),
]


@pytest.mark.parametrize(("name", "value", "text", "trade_text", "why"), FORMS, ids=[one[0] for one in FORMS])
def test_headers_that_are_none(name: str, value: str, text: str, trade_text: str, why: str) -> None:
    for target, wanted in ((CERTIFICATES, text), (TARGET, trade_text), ("/v3/refund/domestic/refunds", text)):
        error = refusal(request(value, target=target))
        assert (error.text, error.detail) == (wanted, None)
        assert why in error.why


def test_the_words_for_a_missing_header_depend_on_the_path() -> None:
    assert signing.missing("/v3/bill/tradebill").text == FORM
    assert signing.missing(TARGET).text == TRADE_FORM


TIMES: list[tuple[str, str]] = [
    (str(NOW_S - 301), "301 s behind the clock"),
    (str(NOW_S + 301), "301 s ahead of the clock"),
    ("1554208460", "behind the clock"),
    ("0", "behind the clock"),
    (f"{NOW_S}123", "is in milliseconds; seconds are wanted"),
    (f"{NOW_S}123456", "is in microseconds; seconds are wanted"),
    (f"{NOW_S}123456789", "is in nanoseconds; seconds are wanted"),
    ("9" * 19, "ahead of the clock"),
]


@pytest.mark.parametrize(("stamp", "why"), TIMES)
def test_a_stale_timestamp_is_refused_before_anything_else_is_looked_at(stamp: str, why: str) -> None:
    for value in (
        header(string(timestamp=stamp), timestamp=stamp),
        header(b"", timestamp=stamp, mchid="1", serial="00"),
    ):
        error = refusal(request(value))
        assert error.text == "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
        assert "5 minutes" in error.english
        assert why in error.why


@pytest.mark.parametrize("skew_s", [-300, -1, 0, 1, 300])
def test_five_minutes_each_way_are_in_time(skew_s: int) -> None:
    stamp = NOW_S + skew_s
    signing.verify(request(header(string(timestamp=stamp), timestamp=stamp)), known, NOW_MS)


NEWEST = parties.merchant_certificate("new").serial


def _with(*names: tuple[str, Any], api_v3_key: str = parties.API_V3_KEY, days: int = 1800) -> MerchantKeys:
    held = tuple(parties.merchant_certificate(name, status, days=days) for name, status in names)
    return MerchantKeys(MCHID, held, api_v3_key)


CERTIFICATE_ROWS: list[tuple[str, MerchantKeys, str, str, str]] = [
    # name, the merchant's keys, serial that is named, text, why
    ("none", MerchantKeys(MCHID, ()), NEWEST, "商户未申请过证书。", "has no certificate"),
    (
        "unknown",
        parties.merchant(),
        "00AB",
        "商户证书序列号有误。请使用签名私钥匹配的证书序列号",
        "no certificate of",
    ),
    (
        "lower case",
        parties.merchant(),
        NEWEST.lower(),
        "商户证书序列号有误",
        "upper-case hex without leading zeros",
    ),
    ("zeros", parties.merchant(), "00" + NEWEST, "商户证书序列号有误", "without leading zeros"),
    ("decimal", parties.merchant(), str(int(NEWEST, 16)), "商户证书序列号有误", "is in decimal"),
    (
        "colons",
        parties.merchant(),
        ":".join(re.findall("..", NEWEST)),
        "商户证书序列号有误",
        "without colons",
    ),
    (
        "public key",
        parties.merchant(),
        parties.PUBLIC_KEY_ID,
        "商户证书序列号有误",
        "the platform's public key",
    ),
    ("revoked", _with(("new", "revoked")), NEWEST, "商户证书已作废", "is revoked"),
    (
        "replaced",
        _with(("old", "valid"), ("new", "replaced")),
        NEWEST,
        "已更换证书，请使用新证书",
        "is replaced",
    ),
    ("expired", _with(("new", "valid"), days=50), NEWEST, "商户证书已过期", "has expired"),
    ("no APIv3 key", _with(("new", "valid"), api_v3_key=""), NEWEST, "商户未设置APIv3密钥。", "APIv3 key"),
]


@pytest.mark.parametrize(
    ("name", "keys", "serial", "text", "why"), CERTIFICATE_ROWS, ids=[one[0] for one in CERTIFICATE_ROWS]
)
def test_certificates_that_do_not_count(
    name: str, keys: MerchantKeys, serial: str, text: str, why: str
) -> None:
    error = refusal(request(header(string(), serial=serial)), keys=keys)
    assert error.text.startswith(text)
    assert why in error.why
    assert error.detail is None
    assert not re.search("[一-鿿]", error.english)


def test_a_merchant_that_is_not_here() -> None:
    value = header(string(), mchid="1900000009")
    for target, text in ((TARGET, "签名错误"), (CERTIFICATES, "商户证书序列号有误")):
        error = refusal(request(value, target=target))
        assert error.text.startswith(text)
        assert "no merchant '1900000009'" in error.why


# A wrong signature: the detail block. --------------------------------------------------------------------


def test_the_detail_block_of_the_documents() -> None:
    vector = VECTORS["sign-error-detail-length"]
    method, target, stamp, nonce, body, _ = vector["sign_message"].split("\n")
    value = header(b"another", timestamp=stamp).replace(NONCE, nonce)
    error = refusal(request(value, method, target, body.encode()), int(stamp) * 1000)
    assert error.text == "签名错误"
    assert error.detail is not None
    assert {name: error.detail[name] for name in vector["detail"]} == vector["detail"]
    assert error.detail["detail"] == {"issue": "sign not match"}
    assert error.detail["sign_information"] == {
        "method": method,
        "url": target,
        "truncated_sign_message": vector["sign_message"],
        "sign_message_length": vector["sign_message_length"],
    }


HEADS: list[tuple[bytes, str]] = [
    (b'{"notify_url":"https://x"}', '{"notify'),
    (b'{"amount":{"total":1}}', '{"amount'),
    (b'{\n"appid":"wx1"}', '{\n"appid'),
    (b"{}", "{}"),
    (b"", ""),
    ('{"a":"茶杯'.encode(), '{"a":"\ufffd'),
]


@pytest.mark.parametrize(("body", "head"), HEADS)
def test_eight_bytes_of_the_body_are_shown_and_all_are_counted(body: bytes, head: str) -> None:
    error = refusal(request(header(b"another"), body=body))
    assert error.detail is not None
    shown = error.detail["sign_information"]
    assert shown["truncated_sign_message"] == f"POST\n{TARGET}\n{NOW_S}\n{NONCE}\n{head}\n"
    assert shown["sign_message_length"] == len(string(body=body))
    json.dumps(error.detail)


# A wrong signature: why. ---------------------------------------------------------------------------------


def _json(**options: Any) -> bytes:
    return json.dumps(json.loads(BODY), **options).encode()


def _lines(*order: int) -> bytes:
    five = [b"POST", TARGET.encode(), str(NOW_S).encode(), NONCE.encode(), BODY]
    return b"\n".join([*(five[at] for at in order), b""])


WHOLE = string()
GSON = _json(separators=(",", ":"), ensure_ascii=False).replace(b"<", b"\\u003c").replace(b">", b"\\u003e")

MISTAKES: list[tuple[str, bytes, str]] = [
    # the five usual ones, and many more
    (
        "compact",
        string(body=_json(separators=(",", ":"), ensure_ascii=False)),
        "the body was serialised again",
    ),
    ("no query", string("GET", QUERY.partition("?")[0], body=b""), "the query is missing from the path"),
    ("our host", string(target=f"http://127.0.0.1:8520{TARGET}"), "the host was signed with the path"),
    (
        "real host",
        string(target=f"https://api.mch.weixin.qq.com{TARGET}"),
        "the host was signed with the path",
    ),
    ("milliseconds", string(timestamp=f"{NOW_S}000"), "the timestamp is in another unit"),
    ("milliseconds cut", string(timestamp=f"{NOW_S}417"), f"signed in milliseconds ({NOW_S}417)"),
    ("no last line feed", WHOLE[:-1], "the last line feed is missing"),
    ("escapes", string(body=_json()), "the body was serialised again"),
    ("sorted", string(body=_json(sort_keys=True)), "the body was serialised again"),
    ("indented", string(body=_json(indent=2, ensure_ascii=False)), "the body was serialised again"),
    ("Go", string(body=GSON), "escapes <, > and &"),
    (
        "nulls left out",
        string(body=_json(separators=(",", ":"), ensure_ascii=False).replace(b'"attach":null,', b"")),
        "without the members that are null",
    ),
    (
        "spaces after commas",
        string(body=_json(separators=(", ", ":"), ensure_ascii=False)),
        "with other spaces",
    ),
    ("body left out", string(body=b""), "the body was left out"),
    ("empty object", string(body=b"{}"), "the body was signed as {}"),
    ("GBK", string(body=BODY.decode().encode("gbk")), "in the charset gbk"),
    ("lower-case method", string("post"), "the method is in lower case"),
    ("another method", string("PUT"), "the method PUT was signed"),
    (
        "answer's order",
        _lines(2, 3, 0, 1, 4),
        "wrong order: the lines are timestamp, nonce, method, path, body",
    ),
    ("two swapped", _lines(0, 1, 3, 2, 4), "wrong order: timestamp and nonce are swapped"),
    ("an answer's lines", _lines(2, 3, 4), "the three lines of an answer"),
    ("no method", _lines(1, 2, 3, 4), "the line of the method is missing"),
    ("no nonce", _lines(0, 1, 2, 4), "the line of the nonce is missing"),
    ("no slash", string(target=TARGET[1:]), "the slash in front of the path is missing"),
    ("two slashes", string(target="/" + TARGET), "a second slash"),
    ("slash behind", string(target=TARGET + "/"), "a slash stands behind"),
    ("no /v3", string(target=TARGET[3:]), "/v3 is missing"),
    ("lower-case nonce", string(nonce=NONCE.lower()), "the nonce is in the other case"),
    (
        "clock read twice",
        string(timestamp=NOW_S - 1),
        f"the timestamp {NOW_S - 1} was signed, another is sent",
    ),
    ("CR LF", WHOLE.replace(b"\n", b"\r\n"), "CR LF"),
    ("backslash n", WHOLE.replace(b"\n", b"\\n"), "a backslash and an n"),
    ("one line feed more", string(body=BODY + b"\n"), "white space at the end"),
    ("spaces", b" ".join(WHOLE.split(b"\n")[:5]), "joined by spaces"),
    ("not joined", WHOLE.replace(b"\n", b""), "not joined"),
    ("query reordered", string("GET", "/v3/x?b=2&a=1", body=b""), "parameters were signed in another order"),
    ("query decoded", string("GET", "/v3/x?a=茶", body=b""), "the path was decoded"),
    ("query as body", string("GET", "/v3/x", body=b"a=1&b=2"), "the query was signed as the body"),
]

ASKED: Mapping[str, tuple[str, str, bytes]] = {
    "no query": ("GET", QUERY, b""),
    "query reordered": ("GET", "/v3/x?a=1&b=2", b""),
    "query decoded": ("GET", "/v3/x?a=%E8%8C%B6", b""),
    "query as body": ("GET", "/v3/x?a=1&b=2", b""),
}
"""What is really asked, where it is not a POST of BODY to TARGET."""


@pytest.mark.parametrize(("name", "signed", "why"), MISTAKES, ids=[one[0] for one in MISTAKES])
def test_a_mistake_is_explained(name: str, signed: bytes, why: str) -> None:
    asked = ASKED.get(name, ("POST", TARGET, BODY))
    error = refusal(request(header(signed), *asked))
    assert why in error.why
    assert "expected to be signed" in error.why
    assert "first difference at byte" in error.why
    assert parties.pair("new").id in error.why


OTHERS = {
    "the platform's public key": parties.verifier("public"),
    "merchant 2": parties.verifier("merchant 2"),
}

KEYS: list[tuple[str, bytes, str, str]] = [
    ("old", WHOLE, "the wrong serial is named: the key of 6F6C64", "6F6C64"),
    ("public", WHOLE, "another key signed: the platform's public key", ""),
    ("merchant 2", WHOLE, "another key signed: merchant 2", ""),
    ("merchant 2", WHOLE[:-1], "the last line feed is missing; and another key signed: merchant 2", ""),
    ("old", string("PUT"), "the method PUT was signed; and the wrong serial is named", ""),
    ("public", b"?", "another key signed: the platform's public key, but another string: its SHA-256 is", ""),
    ("nobody", WHOLE, "nor did any key that this sandbox knows", NEWEST),
]


@pytest.mark.parametrize(
    ("key", "signed", "why", "more"), KEYS, ids=[f"{one[0]} {one[2][:30]}" for one in KEYS]
)
def test_a_wrong_key_is_named(key: str, signed: bytes, why: str, more: str) -> None:
    error = refusal(request(header(signed, key=key)), others=OTHERS)
    assert why in error.why
    assert more in error.why


SIGNATURES: list[tuple[str, str]] = [
    ("not base64!", "not base64 in one line"),
    ("AAAA", "it has 3 bytes, 256 are wanted"),
    ("A" * 340 + "AA==", "nor did any key that this sandbox knows"),
    (signing.PROBE + "AAAA", "not base64 in one line"),
]


@pytest.mark.parametrize(("text", "why"), SIGNATURES)
def test_a_signature_that_is_none(text: str, why: str) -> None:
    value = re.sub('signature="[^"]*"', f'signature="{text}"', GOOD_HEADER)
    error = refusal(request(value.replace("not base64!", "not+base64!")))
    assert why in error.why
    assert error.detail is not None


def test_a_long_body_is_explained_soon_enough() -> None:
    body = b'{"a":"' + b"x" * 1_000_000 + b'"}'
    for signed, why in ((string("PUT", body=body), "the method PUT"), (string(body=b"?"), "another string")):
        error = refusal(request(header(signed), body=body))
        assert why in error.why
        assert len(error.why) < 4_000


# The lenient path. ---------------------------------------------------------------------------------------


def test_a_path_that_was_encoded_after_it_was_signed() -> None:
    """wechatpayv3 signs `|`, requests sends `%7C`."""
    signed = "/v3/pay/transactions/out-trade-no/A|B*C_1-2?mchid=1900000001"
    sent = signed.replace("|", "%7C")
    asked = request(header(string("GET", signed, body=b"")), "GET", sent, b"")
    assert "the path was decoded before it was signed" in refusal(asked).why
    found = signing.verify(asked, known, NOW_MS, lenient_path=True)
    assert found.lenient
    assert found.mchid == MCHID
    right = request(header(string("GET", sent, body=b"")), "GET", sent, b"")
    assert not signing.verify(right, known, NOW_MS, lenient_path=True).lenient
    refusal(asked._replace(method="DELETE"), lenient_path=True)


def test_raw_bytes_in_a_target_are_verified_as_they_came() -> None:
    target = "/v3/x?a=茶"
    asked = request(header(string("GET", target, body=b"")), "GET", target.encode().decode("latin-1"), b"")
    signing.verify(asked, known, NOW_MS)


# Uploads. ------------------------------------------------------------------------------------------------

META = '{"filename":"茶.jpg","sha256":"00"}'


def _upload(data: dict[str, str]) -> tuple[bytes, str]:
    made = requests.Request(
        "POST", "http://x/", data=data, files=[("file", ("茶.jpg", b"\xff\r\n--\r\n\x00meta", "image/jpeg"))]
    ).prepare()
    assert isinstance(made.body, bytes)
    return made.body, made.headers["Content-Type"]


def test_an_upload_signs_its_meta_part() -> None:
    body, kind = _upload({"meta": META})
    target = "/v3/merchant/media/upload"
    asked = request("", "POST", target, body, {"content-type": kind})
    assert signing.signed_body(asked) == META.encode()
    value = header(string(target=target, body=META.encode()))
    good = request(value, "POST", target, body, {"content-type": kind})
    signing.verify(good, known, NOW_MS)
    quoted = kind.replace("boundary=", 'boundary="') + '"'
    signing.verify(good._replace(headers={**good.headers, "content-type": quoted}), known, NOW_MS)
    whole = request(header(string(target=target, body=body)), "POST", target, body, {"content-type": kind})
    error = refusal(whole)
    assert "the whole multipart body was signed" in error.why
    assert error.detail is not None
    assert error.detail["sign_information"]["truncated_sign_message"].endswith('\n{"filena\n')


def test_an_upload_without_a_meta_part_is_signed_whole() -> None:
    body, kind = _upload({"other": META})
    for headers in ({"content-type": kind}, {"content-type": "multipart/form-data"}, {"content-type": ""}):
        assert signing.signed_body(request("", body=body, headers=headers)) == body


# The merchant's side, and what must never happen. --------------------------------------------------------


def test_nobody_signs_without_the_private_key() -> None:
    keys = replace(parties.merchant(), signer=None)
    with pytest.raises(UsageError, match="private key"):
        signing.authorization(keys, "GET", QUERY, b"", NONCE, NOW_S)
    with pytest.raises(UsageError, match="line feed"):
        signing.authorization(parties.merchant(), "GET", "/a\nb", b"", NONCE, NOW_S)


def test_a_line_feed_in_a_line_is_refused_like_any_wrong_signature() -> None:
    error = refusal(request(GOOD_HEADER, target=TARGET + "\nx"))
    assert "line feed" in error.why


_values = st.sampled_from(
    [
        "",
        MCHID,
        NONCE,
        str(NOW_S),
        parties.merchant().serial,
        "0",
        '"',
        "，",
        "\ud800",
        "ÿ",
        "\n",
        "A" * 344,
        "==",
    ]
)
_headers = st.one_of(
    st.text(max_size=60).map(lambda text: f"{signing.SCHEME} {text}"),
    st.tuples(*([_values] * 5)).map(
        lambda five: '{} mchid="{}",nonce_str="{}",timestamp="{}",serial_no="{}",signature="{}"'.format(
            signing.SCHEME, *five
        )
    ),
    st.lists(st.sampled_from([*GOOD_HEADER.split(","), ",", " "]), max_size=8).map(",".join),
    st.tuples(st.integers(0, len(GOOD_HEADER) - 1), st.characters()).map(
        lambda one: GOOD_HEADER[: one[0]] + one[1] + GOOD_HEADER[one[0] + 1 :]
    ),
)


@settings(max_examples=count(3000))
@given(
    value=_headers,
    method=st.sampled_from(["GET", "POST", "", "\n", "\ud800"]),
    target=st.one_of(st.just(TARGET), st.text(max_size=20).map(lambda text: "/" + text)),
    body=st.one_of(st.just(BODY), st.binary(max_size=40), st.sampled_from([b"[" * 5000, b'{"a":1e999}'])),
    kind=st.sampled_from(["", "application/json", "multipart/form-data; boundary=x", "multipart/form-data"]),
    lenient=st.booleans(),
)
def test_any_request_is_verified_or_refused(
    value: str, method: str, target: str, body: bytes, kind: str, lenient: bool
) -> None:
    asked = request(value, method, target, body, {"content-type": kind})
    error = None
    try:
        found = signing.verify(asked, known, NOW_MS, lenient_path=lenient, others=OTHERS)
    except WeChatError as caught:
        error = caught
    if error is not None:
        assert error.code == "SIGN_ERROR"
        assert error.why
        json.dumps(error.detail, ensure_ascii=False).encode()
    else:
        assert (method, target, body) == ("POST", TARGET, BODY)
        assert found == signing.parse_authorization(value)


def test_every_refusal_is_in_the_table_and_nothing_else() -> None:
    assert len({row.text for row in signing.REFUSALS.values()}) == len(signing.REFUSALS)
    for row in signing.REFUSALS.values():
        assert re.search("[一-鿿]", row.text)
        assert row.english.isascii()


def test_all_names_that_are_offered_exist() -> None:
    assert all(hasattr(signing, name) for name in signing.__all__)
