"""Whatever a client sends, WeChat Pay answers: bodies, targets and headers that no client should send."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st
from wechat_counter import APPS, CERTIFICATES, PAY, REFUNDS, Counter, said

from paysim.codec.http import Request
from paysim.operators.wechat.service import ENDPOINTS
from paysim.operators.wechat.world import Answer

COUNTER = Counter(apps=APPS)
COUNTER.paid()
BILLED = Counter()
BILLED.paid()
BILLED.sandbox.advance(days=1, hours=11)
BILL = "/v3/bill/tradebill?bill_date=2026-01-01"
SURROGATES = st.sampled_from(["\ud800", "a\udfff", "\udc80b"])
ANY_TEXT = st.text(st.characters(), max_size=40) | SURROGATES
LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
PATHS = [row.path.replace("{", "").replace("}", "") for row in ENDPOINTS]
HUGE = st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**40, -1, 0, 1.5, 1e300])
SCALARS = st.none() | st.booleans() | st.integers() | HUGE | st.floats(allow_nan=False) | st.text(max_size=40)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HEADERS = [
    "host",
    "accept",
    "user-agent",
    "accept-language",
    "wechatpay-serial",
    "content-type",
    "content-length",
]


def answered(request: Request, counter: Counter = COUNTER) -> Answer:
    """The answer, which is one that HTTP can carry."""
    answer = counter.wechat.receive(request)
    response = answer.response
    assert response.status in (200, 204, 400, 401, 403, 404, 405, 429), answer
    for name, value in response.headers:
        assert (name + value).isascii()
        assert "\r" not in name + value
        assert "\n" not in name + value
    if response.body and response.header("Content-Type").startswith("application/json"):
        found = json.loads(response.body)
        if response.status >= 400:
            assert found["code"] == answer.code
            assert isinstance(found["message"], str)
            assert found["message"]
    if response.status >= 300:
        assert answer.why
        assert not answer.facts
    return answer


# Not signed: anything at all. ---------------------------------------------------------------------


@given(
    st.sampled_from(["GET", "POST", "PUT", "get", ""]) | ANY_TEXT,
    st.sampled_from(PATHS)
    | ANY_TEXT
    | st.builds(lambda path, rest: path + rest, st.sampled_from(PATHS), ANY_TEXT),
    st.dictionaries(st.sampled_from([*HEADERS, "authorization"]) | LATIN, ANY_TEXT, max_size=6),
    st.binary(max_size=64),
)
@settings(max_examples=count(3000), deadline=None)
def test_anything(method: str, target: str, headers: dict[str, str], body: bytes) -> None:
    answer = answered(Request(method, target, headers, body))
    assert answer.response.status >= 400


@given(st.data(), st.sampled_from(ENDPOINTS))
@settings(max_examples=count(2000), deadline=None)
def test_headers_that_are_nearly_right(data: st.DataObject, row: Any) -> None:
    request = COUNTER.request(row.method, row.path, b"{}" if row.method == "POST" else None)
    value = request.header("authorization")
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, min(len(value), start + 40)))
    spoilt = value[:start] + data.draw(ANY_TEXT) + value[end:]
    answered(request._replace(headers={**request.headers, "authorization": spoilt}))


# Signed: the content is odd. ----------------------------------------------------------------------

POSTS = [PAY + kind for kind in ("jsapi", "app", "h5", "native")] + [
    PAY + "out-trade-no/T-000001/close",
    REFUNDS,
    PAY + "out-trade-no/T-000001/reverse",
]


@given(st.sampled_from(POSTS), st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=count(1000), deadline=None)
def test_signed_bodies(target: str, body: bytes) -> None:
    answered(COUNTER.request("POST", target, body))


def places(body: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a body."""
    found = [at] if at else []
    if isinstance(body, dict):
        found += [place for name, inner in body.items() for place in places(inner, (*at, name))]
    if isinstance(body, list):
        found += [place for index, inner in enumerate(body) for place in places(inner, (*at, index))]
    return found


def full(trade_type: str) -> dict[str, Any]:
    """An order with every field."""
    kind = "jsapi" if trade_type == "jsapi" else trade_type
    info = {"type": "Wap", "app_name": "a", "app_url": "b", "bundle_id": "c", "package_name": "d"}
    return {
        **COUNTER.order(kind, "T-000777"),
        "time_expire": "2026-06-08T10:34:56+08:00",
        "attach": "a",
        "goods_tag": "g",
        "support_fapiao": True,
        "limit_pay": ["no_credit"],
        "detail": {
            "cost_price": 1,
            "goods_detail": [{"merchant_goods_id": "1", "quantity": 1, "unit_price": 1, "goods_name": "x"}],
        },
        "scene_info": {
            "payer_client_ip": "203.0.113.7",
            "device_id": "d",
            "store_info": {"id": "1", "name": "n"},
            "h5_info": info,
        },
        "settle_info": {"profit_sharing": False},
        "payer": {
            "openid": COUNTER.openid(),
            "identity": {"type": "IDCARD", "number": "QUJD", "name": "QUJD"},
        },
    }


REFUND = {
    "out_trade_no": "T-000001",
    "out_refund_no": "R-1",
    "reason": "x",
    "notify_url": "https://shop.example/notify",
    "funds_account": "AVAILABLE",
    "amount": {
        "refund": 1,
        "total": 1280,
        "currency": "CNY",
        "from": [{"account": "AVAILABLE", "amount": 1}],
    },
    "goods_detail": [
        {"merchant_goods_id": "1", "unit_price": 1, "refund_amount": 1, "refund_quantity": 1},
    ],
}


@given(st.data(), st.sampled_from(["jsapi", "app", "h5", "native", "refund"]))
@settings(max_examples=count(3000), deadline=None)
def test_one_field_is_odd(data: st.DataObject, kind: str) -> None:
    body = json.loads(json.dumps(REFUND if kind == "refund" else full(kind)))
    if kind != "refund" and data.draw(st.booleans()):
        del body["payer"]["identity"]
    *way, last = data.draw(st.sampled_from(places(body)))
    spot = body
    for step in way:
        spot = spot[step]
    spot[last] = data.draw(JSON)
    target = REFUNDS if kind == "refund" else PAY + kind
    answered(COUNTER.request("POST", target, json.dumps(body).encode()))


RAW: list[tuple[str, bytes]] = [
    ("deep lists", b"[" * 100_000 + b"]" * 100_000),
    ("deep objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ("a number of 5,000 digits", b'{"amount":{"total":' + b"9" * 5000 + b"}}"),
    ("an exponent without end", b'{"amount":{"total":1e999999}}'),
    ("NaN", b'{"amount":{"total":NaN}}'),
    ("a lone surrogate", b'{"description":"\\ud800"}'),
    ("bytes that are no UTF-8", b'{"description":"\xff"}'),
    ("a byte order mark", b"\xef\xbb\xbf{}"),
    ("UTF-16", '{"mchid":"1"}'.encode("utf-16")),
    ("a NUL", b'{"description":"a\x00b"}'),
    ("cut", b'{"description":"a'),
    ("two values", b"{} {}"),
    ("a list", b"[]"),
    ("text", b'"x"'),
    ("null", b"null"),
    ("nothing", b""),
    ("white space", b" \r\n"),
]


@pytest.mark.parametrize("target", POSTS)
@pytest.mark.parametrize("body", [row[1] for row in RAW], ids=[row[0] for row in RAW])
def test_raw_bodies(target: str, body: bytes) -> None:
    assert said(answered(COUNTER.request("POST", target, body))) == (400, "PARAM_ERROR")


DEEP = [b"[" * 900 + b"]" * 900, b'{"a":' * 900 + b"1" + b"}" * 900, b"9" * 40, b"-1e300", b'"\\u0000"']


@pytest.mark.parametrize("odd", DEEP, ids=["lists", "objects", "huge", "float", "NUL"])
def test_odd_values_of_unknown_fields_are_taken_as_any(odd: bytes) -> None:
    counter = Counter()
    body = json.dumps(counter.order()).encode()[:-1] + b',"x":' + odd + b"}"
    for _ in range(2):
        assert said(counter.send("POST", PAY + "native", body)) == (200, "")


@pytest.mark.parametrize("field", ["description", "attach", "goods_tag"])
@pytest.mark.parametrize("text", ["\x00", "\u202e", "\r\n", "`,\"'", "😀", "\ufeff"])
def test_odd_texts_come_back_and_stand_in_the_bill(field: str, text: str) -> None:
    counter = Counter()
    order = counter.paid(**{field: text})
    assert order["attach"] == (text if field == "attach" else "")
    counter.refund(1)
    counter.sandbox.advance(days=1, hours=11)
    answered_bill = counter.send("GET", "/v3/bill/tradebill?bill_date=2026-01-01")
    url = json.loads(answered_bill.response.body)["download_url"]
    assert counter.send("GET", url.partition(".com")[2]).response.status == 200


# Signed: the target is odd. -----------------------------------------------------------------------

QUERIES = st.text(string.printable + "\xff", max_size=60).filter(lambda text: "\n" not in text)
GETS = [
    PAY + "out-trade-no/",
    PAY + "id/",
    PAY + "out-trade-no/T-000001?",
    PAY + "id/4200202601010000000006888317?mchid=",
    REFUNDS + "/",
    "/v3/bill/tradebill?bill_date=",
    "/v3/bill/fundflowbill?bill_date=2026-01-01&",
    "/v3/billdownload/file?token=",
    CERTIFICATES + "?algorithm_type=",
]


@given(st.sampled_from(GETS), QUERIES)
@settings(max_examples=count(2000), deadline=None)
def test_signed_targets(start: str, rest: str) -> None:
    answered(COUNTER.request("GET", start + rest))


TARGETS: list[tuple[str, str]] = [
    ("a day that is none", "/v3/bill/tradebill?bill_date=0000-00-00"),
    ("the first day of all", "/v3/bill/tradebill?bill_date=0001-01-01"),
    ("the last day of all", "/v3/bill/tradebill?bill_date=9999-12-31"),
    ("digits of another script", "/v3/bill/tradebill?bill_date=%D9%A2026-01-01"),
    ("a token of ours, cut", "/v3/billdownload/file?token=" + "A" * 43),
    ("a token that is no ASCII", "/v3/billdownload/file?token=%E8%8C%B6"),
    ("a token that is no UTF-8", "/v3/billdownload/file?token=%FF"),
    ("a long token", "/v3/billdownload/file?token=" + "A" * 10_000),
    ("many parameters", CERTIFICATES + "?" + "a=1&" * 1000),
    ("no query", PAY + "id/1"),
    ("a number that is no UTF-8", PAY + "out-trade-no/%FF%FF%FF%FF%FF%FF?mchid=1"),
    ("a slash in a number", PAY + "out-trade-no/T%2F00001?mchid=1"),
    ("a long number", PAY + "id/" + "4" * 5000 + "?mchid=1"),
    ("a long path", "/v3" + "/a" * 5000),
]


@pytest.mark.parametrize("target", [row[1] for row in TARGETS], ids=[row[0] for row in TARGETS])
def test_odd_targets(target: str) -> None:
    assert answered(COUNTER.request("GET", target)).response.status in (400, 404)


@given(st.dictionaries(st.sampled_from(HEADERS), ANY_TEXT, max_size=4))
@settings(max_examples=count(500), deadline=None)
def test_signed_requests_with_odd_headers(headers: dict[str, str]) -> None:
    counter = COUNTER
    answered(counter.request("GET", CERTIFICATES, None, headers))
    answered(counter.request("POST", PAY + "h5", counter.order("h5", "T-000888"), headers))
    answered(counter.request("GET", "/v3/bill/tradebill?bill_date=2025-12-31", None, headers))


HOSTS: list[tuple[str, str]] = [
    ("", "https://api.mch.weixin.qq.com"),
    ("api2.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com"),
    ("api.wechatpay.cn", "https://api.wechatpay.cn"),
    ("API.MCH.weixin.qq.com:443", "https://API.MCH.weixin.qq.com:443"),
    ("127.0.0.1:8520", "http://127.0.0.1:8520"),
    ("[::1]:8520", "http://[::1]:8520"),
    ("sandbox_1", "http://sandbox_1"),
    *(
        (host, "https://api.mch.weixin.qq.com")
        for host in ("\ud800", "é", "a b", "a\r\nX: y", "a/b?c#d", "x" * 300)
    ),
]


@pytest.mark.parametrize(("host", "base"), HOSTS)
def test_links_lead_to_the_host_that_was_called(host: str, base: str) -> None:
    """2.2: download_url is built from the Host the caller used; one that is none counts as the wallet's."""
    bill = BILLED.request("GET", BILL, None, {"host": host})
    order = BILLED.request("POST", PAY + "h5", BILLED.order("h5", "T-000002"), {"host": host})
    download_url = json.loads(answered(bill, BILLED).response.body)["download_url"]
    h5_url = json.loads(answered(order, BILLED).response.body)["h5_url"]
    start = f"{base}/_paysim" if base.startswith("http:") else "https://wx.tenpay.com"
    assert download_url.startswith(f"{base}/v3/billdownload/file?token=")
    assert h5_url.startswith(f"{start}/cgi-bin/mmpayweb-bin/checkmweb?")


@given(ANY_TEXT)
@settings(max_examples=count(500), deadline=None)
def test_bills_for_odd_hosts(host: str) -> None:
    answered(BILLED.request("GET", BILL, None, {"host": host}), BILLED)


@pytest.mark.parametrize(("kind", "name"), [("tradebill", "bill_type"), ("fundflowbill", "account_type")])
def test_a_parameter_without_value_is_none(kind: str, name: str) -> None:
    target = f"/v3/bill/{kind}?bill_date=2026-01-01"
    texts = (
        json.loads(BILLED.send("GET", target + more).response.body)
        for more in ("", f"&{name}=", "&tar_type=")
    )
    assert len({text["hash_value"] for text in texts}) == 1
