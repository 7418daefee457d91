"""Shapes: finding a call, what is refused of a request and how it is said, and no other exception ever."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import wechatpayv3
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st
from wechat_samples import changed, fits, inner_places, text_that_fits

from paysim.operators.wechat.errors import WeChatError
from paysim.operators.wechat.schema import Flaw, flaws
from paysim.operators.wechat.shapes import LIMITS, NAMES, Shape, fault, find, methods, templates, violations

JSAPI: dict[str, Any] = {
    "appid": "wx8888888888888888",
    "mchid": "1900000109",
    "description": "Image形象店-深圳腾大-QQ公仔",
    "out_trade_no": "1217752501201407033233368018",
    "time_expire": "2026-06-08T10:34:56+08:00",
    "attach": "自定义数据",
    "notify_url": "https://www.weixin.qq.com/wxpay/pay.php",
    "goods_tag": "WXG",
    "support_fapiao": True,
    "amount": {"total": 100, "currency": "CNY"},
    "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
    "detail": {
        "cost_price": 608800,
        "invoice_id": "微信123",
        "goods_detail": [
            {
                "merchant_goods_id": "1246464644",
                "wechatpay_goods_id": "1001",
                "goods_name": "iPhoneX 256G",
                "quantity": 1,
                "unit_price": 528800,
            }
        ],
    },
    "scene_info": {
        "payer_client_ip": "14.23.150.211",
        "device_id": "013467007045764",
        "store_info": {"id": "0001", "name": "腾讯大厦分店", "area_code": "440305", "address": "深圳"},
    },
    "settle_info": {"profit_sharing": False},
}
PLAIN = {
    name: JSAPI[name] for name in ("appid", "mchid", "description", "out_trade_no", "notify_url", "amount")
}
H5 = PLAIN | {"scene_info": {"payer_client_ip": "14.23.150.211", "h5_info": {"type": "Wap"}}}
REFUND: dict[str, Any] = {
    "transaction_id": "4200000925202101284997714292",
    "out_refund_no": "R-1",
    "reason": "商品已售完",
    "notify_url": "http://127.0.0.1:8000/refunded",
    "funds_account": "AVAILABLE",
    "amount": {
        "refund": 888,
        "from": [{"account": "AVAILABLE", "amount": 444}, {"account": "UNAVAILABLE", "amount": 444}],
        "total": 888,
        "currency": "CNY",
    },
    "goods_detail": [
        {"merchant_goods_id": "1", "unit_price": 528800, "refund_amount": 528800, "refund_quantity": 1}
    ],
}
ORDERS = {"jsapi": JSAPI, "app": PLAIN, "native": PLAIN, "h5": H5}


def shape(method: str, path: str) -> Shape:
    found = find(method, path)
    assert found is not None, f"{method} {path}"
    return found[0]


def order(kind: str = "jsapi") -> Shape:
    return shape("POST", f"/v3/pay/transactions/{kind}")


def refunds() -> Shape:
    return shape("POST", "/v3/refund/domestic/refunds")


# --- the data ---------------------------------------------------------------------------------------------


def test_the_data_name_their_author_and_licence() -> None:
    data = json.loads(resources.files("paysim.operators.wechat").joinpath("shapes.json").read_text("utf-8"))
    assert "James ZHANG(TheNorthMemory)" in data["licence"]
    assert "The above copyright notice and this permission notice shall be included" in data["permission"]
    assert len(data["v3"]) == len(templates()) == 277
    assert {word for row in data["v3"] for word in words(row)} <= KNOWN_WORDS


KNOWN_WORDS = {
    *("type", "properties", "required", "items", "enum", "format", "pattern"),
    *("minimum", "maximum", "minLength", "maxLength", "maxItems"),
}


def words(row: dict[str, Any]) -> Iterator[str]:
    """Every word of JSON schema that a call uses, so that a new one in the data does not go unheard."""
    todo = [row.get("request", {}), *row["responses"].values()]
    while todo:
        schema = todo.pop()
        yield from schema
        todo += [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]


def test_each_call_is_found_by_its_own_path() -> None:
    for method, template in templates():
        path = re.sub(r"\{\w+\}", "%7Bx%7D", template.replace("{empty}", ""))
        found = find(method, path)
        assert found is not None, template
        assert re.sub(r"\{\w+\}", "{}", found[0].path) == re.sub(r"\{\w+\}", "{}", template)
        assert set(found[1].values()) <= {"{x}"}
        assert method in methods(path)


NOT_IN_THE_DATA = (
    *("/v3/brand/", "/v3/fund-app/mch-transfer/elecsign/", "/v3/industry-coupon/", "/v3/marketing/bank/"),
    *("/v3/marketing/partnerships", "/v3/marketing/paygiftactivity/", "/v3/merchant-risk-manage/"),
    "/v3/transfer-detail/",
)


def test_the_paths_of_an_sdk_are_known() -> None:
    folder = Path(wechatpayv3.__file__).parent
    source = "\n".join(file.read_text("utf-8") for file in folder.rglob("*.py"))
    paths = {found.partition("?")[0] for found in re.findall(r"""['"](/v3/[^'"]+)['"]""", source)}
    unknown = {path for path in paths if not methods(re.sub(r"%s|\{\w+\}", "x", path))}
    assert {path for path in unknown if not path.startswith(NOT_IN_THE_DATA)} == set()
    assert len(paths) > 150


def test_each_limit_applies_somewhere() -> None:
    for (method, template), limits in LIMITS.items():
        found = shape(method, template)
        for where, more in limits.items():
            assert any(more.items() <= schema.items() for schema in places(found)), (template, where)


def places(found: Shape) -> Iterator[Mapping[str, Any]]:
    yield from found.query.values()
    yield from found.path_parameters.values()
    todo: list[Mapping[str, Any]] = [found.request or {}]
    while todo:
        schema = todo.pop()
        yield schema
        todo += [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]


# --- finding a call ---------------------------------------------------------------------------------------

FOUND = [
    (
        "GET",
        "/v3/pay/transactions/id/42",
        "/v3/pay/transactions/id/{transaction_id}",
        {"transaction_id": "42"},
    ),
    (
        *("GET", "/v3/pay/transactions/out-trade-no/a%7Cb%2Fc"),
        *("/v3/pay/transactions/out-trade-no/{out_trade_no}", {"out_trade_no": "a|b/c"}),
    ),
    ("POST", "/v3/profitsharing/orders/unfreeze", "/v3/profitsharing/orders/unfreeze", {}),
    (
        *("GET", "/v3/profitsharing/orders/unfreeze"),
        *("/v3/profitsharing/orders/{out_order_no}", {"out_order_no": "unfreeze"}),
    ),
    ("POST", "/v3/applyment4sub/applyment/", "/v3/applyment4sub/applyment/{empty}", {}),
    (
        *("GET", "/v3/marketing/busifavor/users/o1/coupons/c1/appids/a1"),
        "/v3/marketing/busifavor/users/{openid}/coupons/{coupon_code}/appids/{appid}",
        {"openid": "o1", "coupon_code": "c1", "appid": "a1"},
    ),
    (
        *("GET", "/v3/merchant/fund/withdraw/bill-type/NO_SUCC"),
        *("/v3/merchant/fund/withdraw/bill-type/{bill_type}", {"bill_type": "NO_SUCC"}),
    ),
    (
        *("GET", "/v3/pay/transactions/id/%FF%zz"),
        *("/v3/pay/transactions/id/{transaction_id}", {"transaction_id": "\ufffd%zz"}),
    ),
]


@pytest.mark.parametrize(("method", "path", "template", "parameters"), FOUND)
def test_a_call_is_found(method: str, path: str, template: str, parameters: dict[str, str]) -> None:
    found = find(method, path)
    assert found is not None
    assert (found[0].path, found[1]) == (template, parameters)
    assert list(found[0].path_parameters) == list(parameters)


UNKNOWN = [
    *(
        "",
        "/",
        "/v3",
        "/v3/",
        "v3/certificates",
        "/v3/certificates/",
        "//v3/certificates",
        "/V3/certificates",
    ),
    *(
        "/v3/pay/transactions/id/",
        "/v3/pay/transactions/id/1/2",
        "/v3/certificates?x=1",
        "/v3/applyment4sub/applyment",
    ),
    *(
        "/v3/applyment4sub/applyment/{empty}",
        "/v3/" + "a/" * 5000,
        "http://api.mch.weixin.qq.com/v3/certificates",
    ),
]


@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_path_is_no_call(path: str) -> None:
    assert find("GET", path) is None
    assert find("POST", path) is None
    assert methods(path) == frozenset()


def test_a_path_knows_its_methods() -> None:
    assert methods("/v3/certificates") == {"GET"}
    assert methods("/v3/pay/transactions/jsapi") == {"POST"}
    assert methods("/v3/smartguide/guides/1") == {"PATCH"}
    assert methods("/v3/merchant-service/complaint-notifications") == {"GET", "POST", "PUT", "DELETE"}
    assert find("POST", "/v3/certificates") is None
    assert find("get", "/v3/certificates") is None


# --- requests that fit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ORDERS)
def test_an_order_with_every_documented_field_fits(kind: str) -> None:
    assert fault(order(kind), {}, {}, ORDERS[kind], closed=True) is None


FITTING = [
    ("POST", "/v3/refund/domestic/refunds", {}, REFUND),
    ("POST", "/v3/pay/transactions/out-trade-no/T-1001/close", {}, {"mchid": "1900000109"}),
    ("GET", "/v3/pay/transactions/out-trade-no/T-1001", {"mchid": "1900000109"}, None),
    ("GET", "/v3/pay/transactions/id/4200000925202101284997714292", {"mchid": "1900000109"}, None),
    ("GET", "/v3/refund/domestic/refunds/R-1@x", {}, None),
    ("GET", "/v3/bill/tradebill", {"bill_date": "2026-02-28", "bill_type": "ALL", "tar_type": "GZIP"}, None),
    ("GET", "/v3/bill/tradebill", {"bill_date": "2026-02-28", "bill_type": ""}, None),
    ("GET", "/v3/bill/fundflowbill", {"bill_date": "2026-02-28", "account_type": "FEES"}, None),
    ("GET", "/v3/billdownload/file", {"token": "x" * 2000}, None),
    ("GET", "/v3/certificates", {}, None),
    ("GET", "/v3/certificates", {"algorithm_type": "RSA"}, None),
    (
        "GET",
        "/v3/transfer/batches/batch-id/1",
        {"need_query_detail": "true", "offset": "0", "limit": "20"},
        None,
    ),
    ("GET", "/v3/smartguide/guides", {"store_id": "1234", "limit": "10"}, None),
    ("POST", "/v3/merchant/media/upload", {}, {"meta": {"filename": "a.png"}}),
]


@pytest.mark.parametrize(("method", "path", "query", "body"), FITTING)
def test_a_request_that_fits(method: str, path: str, query: dict[str, str], body: object) -> None:
    found = find(method, path)
    assert found is not None
    assert fault(found[0], found[1], query, body, closed=True) is None


EDGES = [
    ("/out_trade_no", "a|b*_-"),
    ("/out_trade_no", "9" * 32),
    ("/description", "d" * 127),
    ("/description", "中" * 42),
    ("/description", "🍵"),
    ("/attach", ""),
    ("/attach", "a" * 128),
    ("/notify_url", "http://localhost:8000/wechat/notify"),
    ("/notify_url", "https://shop.example/" + "p" * 234),
    ("/amount/total", 1),
    ("/amount/total", 2**63 - 1),
    ("/time_expire", "2026-06-08T10:34:56Z"),
    ("/time_expire", "2026-06-08T10:34:56.123+08:00"),
    ("/payer/openid", "o" * 128),
    ("/limit_pay", ["no_balance", "no_debit"]),
    ("/scene_info/payer_client_ip", "2001:db8::1"),
    ("/payer/identity", {"type": "IDCARD", "number": "AAAA", "name": "AA=="}),
    ("/scene_info/store_info", {"id": "0001"}),
    ("/detail/goods_detail", []),
]


@pytest.mark.parametrize(("pointer", "value"), EDGES)
def test_a_value_at_the_edge_fits(pointer: str, value: Any) -> None:
    assert fault(order(), {}, {}, changed(JSAPI, pointer, value), closed=True) is None


# --- requests that are refused ----------------------------------------------------------------------------

# (where it is wrong, what is given there, the value shown, the end of the message)
REFUSED: list[tuple[str, Any, Any, str]] = [
    ("/appid", ..., "", "必填性规则校验失败，此字段为必填项"),
    ("/appid", "", 0, "字符串规则校验失败，字符数 0，小于最小值 1"),
    ("/appid", None, None, "此字段需要一个 string 类型的 Json 值"),
    ("/appid", "w" * 33, 33, "字符串规则校验失败，字节数 33，大于最大值 32"),
    ("/mchid", 1900000109, 1900000109, "此字段需要一个 string 类型的 Json 值"),
    ("/description", "中" * 43, 129, "字符串规则校验失败，字节数 129，大于最大值 127"),
    ("/out_trade_no", "123", 3, "字符串规则校验失败，字节数 3，小于最小值 6"),
    (
        "/out_trade_no",
        "订单号",
        "订单号",
        "字符串规则校验失败，字符串必须匹配正则表达式“^[0-9a-zA-Z_\\-\\|\\*]+$”",
    ),
    (
        "/out_trade_no",
        "T-1001\n",
        "T-1001\n",
        "字符串规则校验失败，字符串必须匹配正则表达式“^[0-9a-zA-Z_\\-\\|\\*]+$”",
    ),
    ("/attach", "a" * 203, 203, "字符串规则校验失败，字节数 203，大于最大值 128"),
    ("/amount", ..., "", "必填性规则校验失败，此字段为必填项"),
    ("/amount", 100, 100, "此字段需要一个 object 类型的 Json 值"),
    ("/amount", [], "", "此字段需要一个 object 类型的 Json 值"),
    ("/amount/total", ..., "", "必填性规则校验失败，此字段为必填项"),
    ("/amount/total", 0, 0, "规则校验失败，值低于最小值 1"),
    ("/amount/total", -5, -5, "规则校验失败，值低于最小值 1"),
    ("/amount/total", "100", "100", "此字段需要一个合法的 64 位有符号整数"),
    ("/amount/total", 6909.999999999999, 6909.999999999999, "此字段需要一个合法的 64 位有符号整数"),
    ("/amount/total", 100.0, 100.0, "此字段需要一个合法的 64 位有符号整数"),
    ("/amount/total", True, True, "此字段需要一个合法的 64 位有符号整数"),
    ("/amount/total", 2**63, "", "规则校验失败，值高于最大值 9223372036854775807"),
    ("/amount/total", 10**4000, "", "规则校验失败，值高于最大值 9223372036854775807"),
    ("/amount/currency", "USD", "USD", "枚举规则校验失败，取值不在 CNY 之中"),
    ("/time_expire", "2026-02-30T10:34:56+08:00", "2026-02-30T10:34:56+08:00", "不符合 rfc3339 格式"),
    ("/time_expire", "20260608103456", "20260608103456", "字符串规则校验失败，不符合 rfc3339 格式"),
    ("/time_expire", "2026-06-08T10:34:56", "2026-06-08T10:34:56", "不符合 rfc3339 格式"),
    ("/time_expire", "2026-06-08T10:34:56+08:00" + " " * 40, 65, "字节数 65，大于最大值 64"),
    (
        "/notify_url",
        "https://shop.example/notify?a=1",
        "https://shop.example/notify?a=1",
        "必须匹配正则表达式",
    ),
    ("/notify_url", "shop.example/notify", "shop.example/notify", "必须匹配正则表达式"),
    ("/notify_url", " https://shop.example", " https://shop.example", "必须匹配正则表达式"),
    ("/notify_url", "https://shop.example/" + "p" * 235, 256, "字节数 256，大于最大值 255"),
    ("/payer", ..., "", "必填性规则校验失败，此字段为必填项"),
    ("/payer/openid", ..., "", "必填性规则校验失败，此字段为必填项"),
    ("/payer/openid", None, None, "此字段需要一个 string 类型的 Json 值"),
    (
        "/payer/identity",
        {"type": "IDCARD", "number": "4403***", "name": "AA=="},
        "4403***",
        "不符合 base64 格式",
    ),
    ("/support_fapiao", "true", "true", "此字段需要一个 bool 类型的 Json 值"),
    ("/limit_pay", "no_balance", "no_balance", "此字段需要一个 array 类型的 Json 值"),
    ("/limit_pay", ["no_balance", "cash"], "cash", "枚举规则校验失败，取值不在"),
    ("/detail/goods_detail/0/quantity", ..., "", "必填性规则校验失败，此字段为必填项"),
    ("/detail/goods_detail/0", None, None, "此字段需要一个 object 类型的 Json 值"),
    ("/scene_info/payer_client_ip", ..., "", "必填性规则校验失败，此字段为必填项"),
    ("/scene_info/payer_client_ip", "", 0, "字符数 0，小于最小值 1"),
    ("/settle_info/profit_sharing", 0, 0, "此字段需要一个 bool 类型的 Json 值"),
    ("/goods_tag", "\ud83c", "?", "字符串规则校验失败，存在非UTF8字符"),
]


@pytest.mark.parametrize(("pointer", "value", "shown", "message"), REFUSED)
def test_an_order_is_refused_with_pointer_value_and_issue(
    pointer: str, value: Any, shown: Any, message: str
) -> None:
    error = fault(order(), {}, {}, changed(JSAPI, pointer, value))
    assert error is not None
    assert error.code == "PARAM_ERROR"
    assert error.detail is not None
    assert set(error.detail) == {"field", "value", "issue", "location"}
    assert error.detail["field"].startswith(pointer)
    assert (error.detail["value"], error.detail["location"]) == (shown, "body")
    assert message in error.text
    assert error.text.endswith(error.detail["issue"])
    assert error.detail["field"] in error.english
    assert str(error.detail["value"]) == str(json.loads(json.dumps(error.detail).encode())["value"])


# Whole messages that users of the real service have published.
SENTENCES = [
    (
        "/out_trade_no",
        "123",
        "输入源“/body/out_trade_no”映射到值字段“商户订单号”字符串规则校验失败，字节数 3，小于最小值 6",
    ),
    (
        "/payer/openid",
        ...,
        "输入源“/body/payer/openid”映射到字段“用户标识”必填性规则校验失败，此字段为必填项",
    ),
    (
        "/payer/openid",
        7,
        "无法将 JSON 输入源“/body/payer/openid”映射到目标字段“用户标识”中，"
        "此字段需要一个 string 类型的 Json 值",
    ),
    ("/amount/total", 0, "输入源“/body/amount/total”映射到数值字段“总金额”规则校验失败，值低于最小值 1"),
    (
        *("/amount/total", 69.1),
        "无法将 JSON 输入源“/body/amount/total”映射到目标字段“总金额”中，"
        "此字段需要一个合法的 64 位有符号整数",
    ),
    (
        "/attach",
        "x" * 203,
        "输入源“/body/attach”映射到值字段“附加数据”字符串规则校验失败，字节数 203，大于最大值 128",
    ),
    (
        *("/notify_url", " https://www.weixin.qq.com/wxpay/pay.php"),
        "输入源“/body/notify_url”映射到值字段“通知地址”字符串规则校验失败，字符串必须匹配正则表达式"
        "“^https?://([^\\s/?#\\[\\]\\@]+\\@)?([^\\s/?#\\@:]+)(?::\\d{2,5})?([^\\s?#\\[\\]]*)$”",
    ),
]


@pytest.mark.parametrize(("pointer", "value", "sentence"), SENTENCES)
def test_messages_read_like_the_real_service_s(pointer: str, value: Any, sentence: str) -> None:
    error = fault(order(), {}, {}, changed(JSAPI, pointer, value))
    assert error is not None
    assert error.text == sentence


H5_REFUSED = [
    ("/scene_info", ..., "/scene_info"),
    ("/scene_info/h5_info", ..., "/scene_info/h5_info"),
    ("/scene_info/h5_info/type", ..., "/scene_info/h5_info/type"),
    ("/scene_info/h5_info/type", "Symbian", "/scene_info/h5_info/type"),
    ("/scene_info/payer_client_ip", "1" * 46, "/scene_info/payer_client_ip"),
]


@pytest.mark.parametrize(("pointer", "value", "field"), H5_REFUSED)
def test_an_h5_order_needs_its_scene(pointer: str, value: Any, field: str) -> None:
    error = fault(order("h5"), {}, {}, changed(H5, pointer, value))
    assert error is not None
    assert error.detail is not None
    assert error.detail["field"] == field


REFUNDS_REFUSED = [
    ("/out_refund_no", ..., "/out_refund_no"),
    ("/out_refund_no", "r" * 65, "/out_refund_no"),
    ("/out_refund_no", "R 1", "/out_refund_no"),
    ("/reason", "中" * 27, "/reason"),
    ("/amount/refund", 0, "/amount/refund"),
    ("/amount/currency", ..., "/amount/currency"),
    ("/amount/from/1/amount", "444", "/amount/from/1/amount"),
    ("/amount/from/0/amount", 0, "/amount/from/0/amount"),
    ("/transaction_id", "", "/transaction_id"),
]


@pytest.mark.parametrize(("pointer", "value", "field"), REFUNDS_REFUSED)
def test_a_refund_is_refused(pointer: str, value: Any, field: str) -> None:
    error = fault(refunds(), {}, {}, changed(REFUND, pointer, value))
    assert error is not None
    assert error.detail is not None
    assert error.detail["field"] == field


TEXTS: list[tuple[str, str, dict[str, str], str, str, Any]] = [
    ("GET", "/v3/pay/transactions/out-trade-no/" + "9" * 35, {"mchid": "1"}, "url", "out_trade_no", 35),
    ("GET", "/v3/pay/transactions/out-trade-no/12345", {"mchid": "1"}, "url", "out_trade_no", 5),
    (
        "GET",
        "/v3/pay/transactions/out-trade-no/a%20b%20c%20",
        {"mchid": "1"},
        "url",
        "out_trade_no",
        "a b c ",
    ),
    ("GET", "/v3/pay/transactions/out-trade-no/T-1001", {}, "query", "mchid", ""),
    ("GET", "/v3/pay/transactions/out-trade-no/T-1001", {"mchid": ""}, "query", "mchid", 0),
    ("GET", "/v3/bill/tradebill", {"bill_date": "2026-2-1"}, "query", "bill_date", "2026-2-1"),
    ("GET", "/v3/bill/tradebill", {"bill_date": "2026-02-30"}, "query", "bill_date", "2026-02-30"),
    (
        *("GET", "/v3/bill/tradebill", {"bill_date": "2026-02-01", "bill_type": "all"}),
        *("query", "bill_type", "all"),
    ),
    (
        *("GET", "/v3/bill/fundflowbill", {"bill_date": "2026-02-01", "account_type": "Basic"}),
        *("query", "account_type", "Basic"),
    ),
    ("GET", "/v3/certificates", {"algorithm_type": "rsa"}, "query", "algorithm_type", "rsa"),
    ("GET", "/v3/smartguide/guides", {"store_id": "x"}, "query", "store_id", "x"),
    ("GET", "/v3/smartguide/guides", {"store_id": "1", "limit": "11"}, "query", "limit", 11),
    ("GET", "/v3/smartguide/guides", {"store_id": "9" * 19}, "query", "store_id", ""),
    (
        "GET",
        "/v3/transfer/batches/batch-id/1",
        {"need_query_detail": "yes"},
        "query",
        "need_query_detail",
        "yes",
    ),
]


@pytest.mark.parametrize(("method", "path", "query", "location", "name", "value"), TEXTS)
def test_texts_of_path_and_query_are_refused(
    method: str, path: str, query: dict[str, str], location: str, name: str, value: Any
) -> None:
    found = find(method, path)
    assert found is not None
    error = fault(found[0], found[1], query)
    assert error is not None
    assert error.detail is not None
    assert {key: error.detail[key] for key in ("location", "field", "value")} == {
        "location": location,
        "field": name,
        "value": value,
    }
    assert NAMES.get(name, name) in error.text


def test_a_path_is_called_a_template_in_the_message() -> None:
    found = find("POST", "/v3/pay/transactions/out-trade-no/" + "9" * 35 + "/close")
    assert found is not None
    error = fault(found[0], found[1], {}, {"mchid": "1900000109"})
    assert error is not None
    assert error.text == (
        "输入源“/uri_template/out_trade_no”映射到值字段“商户订单号”"
        "字符串规则校验失败，字节数 35，大于最大值 32"
    )


def test_path_before_query_before_body() -> None:
    found = find("POST", "/v3/pay/transactions/out-trade-no/1/close")
    assert found is not None
    errors = [fault(found[0], path, {}, {}) for path in ({"out_trade_no": "1"}, {"out_trade_no": "T-1001"})]
    assert [error and error.detail and error.detail["location"] for error in errors] == ["url", "body"]


@pytest.mark.parametrize("body", [[], "x", 1, True, False, 0, "", [[]]])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    error = fault(order(), {}, {}, body)
    assert error is not None
    assert error.detail is not None
    assert (error.detail["field"], error.detail["location"]) == ("", "body")


def test_no_body_lacks_its_first_field() -> None:
    error = fault(order(), {}, {}, None)
    assert error is not None
    assert error.detail is not None
    assert error.detail["field"] == "/appid"


UNDOCUMENTED = [
    ({"trade_type": "NATIVE"}, "/trade_type"),
    ({"payer": {"openid": "o1", "sub_openid": None}}, "/payer/sub_openid"),
    ({"a/b~c": 1}, "/a~1b~0c"),
    ({"\ud800": 1}, "/?"),
    ({"": 1}, "/"),
]


@pytest.mark.parametrize(("more", "field"), UNDOCUMENTED)
def test_unknown_fields_are_refused_where_a_switch_says_so(more: dict[str, Any], field: str) -> None:
    body = JSAPI | more
    assert fault(order(), {}, {}, body) is None
    error = fault(order(), {}, {}, body, closed=True)
    assert error is not None
    assert error.text == "请求中含有未在API文档中定义的参数"
    assert error.detail == {
        "field": field,
        "value": ["/body" + field],
        "issue": error.text,
        "location": "body",
    }


def test_unknown_query_names_are_refused_where_a_switch_says_so() -> None:
    found = shape("GET", "/v3/certificates")
    assert fault(found, {}, {"page": "1"}) is None
    error = fault(found, {}, {"page": "1"}, closed=True)
    assert error is not None
    assert error.detail is not None
    assert (error.detail["field"], error.detail["location"]) == ("page", "query")


# --- answers ----------------------------------------------------------------------------------------------


def test_answers_are_held_against_their_shape() -> None:
    schema = shape("GET", "/v3/pay/transactions/out-trade-no/T-1001").responses[200]
    unpaid = {
        "appid": "wx1",
        "mchid": "1",
        "out_trade_no": "T-1001",
        "trade_state": "NOTPAY",
        "amount": {"total": 1},
    }
    assert violations(schema, unpaid) == [], "what is required of answers is not looked at"
    wrong = unpaid | {
        "trade_state": "PAID",
        "success_time": "now",
        "amount": {"total": "1"},
        "prepay_id": "x",
    }
    assert violations(schema, wrong) == [
        "/trade_state: not one of SUCCESS, REFUND, NOTPAY, CLOSED, REVOKED, USERPAYING, PAYERROR",
        "/success_time: not in the form rfc3339",
        "/amount/total: not an integer",
        "/prepay_id: not a field of this call",
    ]
    assert violations(schema, wrong, closed=False) == violations(schema, wrong)[:-1]
    assert violations(schema, None) == ["/: not an object"]
    assert violations({}, {"anything": [1]}) == []


SCHEMAS: list[tuple[dict[str, Any], Any, list[str]]] = [
    ({"type": "number", "format": "uint64"}, -1, ["less than 0"]),
    ({"type": "number", "format": "uint64"}, 2**64 - 1, []),
    ({"type": "number", "format": "integer"}, 1.5, ["not a whole number"]),
    ({"type": "number", "format": "integer"}, 2.0, []),
    ({"type": "number"}, 1.5, []),
    ({"type": "number"}, 10**400, []),
    ({"type": "number"}, float("nan"), ["not a number"]),
    ({"type": "number"}, float("inf"), ["not a number"]),
    ({"type": "integer", "format": "int32"}, 2**31, ["more than 2147483647"]),
    ({"type": "integer", "enum": [3, 6, 12]}, 5, ["not one of 3, 6, 12"]),
    ({"type": "integer", "maximum": 10}, 11, ["more than 10"]),
    (
        {"type": "array", "maxItems": 1, "items": {"type": "string"}},
        ["a", 1],
        ["more than 1 items", "not a string"],
    ),
    ({"type": "array"}, [None, {}], []),
    ({"type": "string", "minLength": 2, "maxLength": 2}, "中中", []),
    ({"type": "string", "maxLength": 2}, "中中中", ["longer than 2 characters"]),
    ({"type": "string", "minLength": 2}, "中", ["shorter than 2 characters"]),
    ({"type": "string", "pattern": r"\d{8}|\d{14}|OnAccept"}, "OnAccept", []),
    ({"type": "string", "pattern": r"\d{8}|\d{14}"}, "2026010", [r"does not match ^\d{8}|\d{14}$"]),
    ({"type": "string", "pattern": r"\d{8}"}, "２０２６０１０１", [r"does not match ^\d{8}$"]),
    ({"type": "string", "format": "numeric"}, "12a", ["not in the form numeric"]),
    ({"type": "string", "format": "url"}, "ftp://x", ["not in the form url"]),
    ({"type": "string", "format": "date"}, "20260101", ["not in the form date"]),
    ({"type": "string", "format": "yyyyMMddHHmmss"}, "20260101000000", []),
    ({"type": "string", "format": "MediaId"}, "", []),
    ({"type": "string", "format": "base64"}, "AAA", ["not in the form base64"]),
    ({"type": "string", "format": "rfc3339"}, "0000-01-01T00:00:00Z", ["not in the form rfc3339"]),
]


@pytest.mark.parametrize(("schema", "value", "found"), SCHEMAS)
def test_each_word_of_a_schema(schema: dict[str, Any], value: Any, found: list[str]) -> None:
    assert [text.partition(": ")[2] for text in violations(schema, value)] == found


# --- anything at all --------------------------------------------------------------------------------------

CALLS = [shape(method, re.sub(r"\{\w+\}", "x", path.replace("{empty}", ""))) for method, path in templates()]
STRINGS = st.text(st.characters(exclude_categories=[]), max_size=20) | st.sampled_from(
    ["", "\ud800", "\x00", "中" * 99]
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**4000, -(10**4000), 2**63, 1e308, float("nan")])
SCALARS = st.none() | st.booleans() | NUMBERS | STRINGS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4),
    max_leaves=12,
)


def nested(depth: int) -> Any:
    value: Any = []
    for step in range(depth):
        value = {"payer": value} if step % 2 else [value]
    return value


def filled(schema: Mapping[str, Any], draw: st.DataObject, depth: int = 0) -> Any:
    """A value made along a schema, wrong here and there: what reaches the deep places."""
    dice = draw.draw(st.integers(0, 12))
    if dice == 0:
        return draw.draw(VALUES)
    if schema.get("type") == "object" and depth < 4:
        names = [name for name in schema.get("properties", {}) if draw.draw(st.booleans())]
        return {name: filled(schema["properties"][name], draw, depth + 1) for name in names}
    if schema.get("type") == "array" and depth < 4:
        return [filled(schema.get("items", {}), draw, depth + 1) for _ in range(dice % 3)]
    return draw.draw(SCALARS)


def sayable(error: WeChatError | None) -> None:
    """What is said can be sent, in both languages, and is short."""
    if error is None:
        return
    assert error.detail is not None
    said = json.dumps([error.text, error.english, error.detail], ensure_ascii=False, allow_nan=False).encode()
    assert len(said) < 3000


@given(st.sampled_from(CALLS), st.data(), st.booleans())
@settings(max_examples=count(2000))
def test_any_body_gets_an_answer(call: Shape, draw: st.DataObject, closed: bool) -> None:
    body = filled(call.request or {}, draw)
    sayable(fault(call, dict.fromkeys(call.path_parameters, "x"), {}, body, closed=closed))
    for schema in (call.request or {}, *call.responses.values()):
        for text in violations(schema, filled(schema, draw), closed=closed):
            text.encode()


@given(
    st.sampled_from(CALLS),
    st.dictionaries(STRINGS, STRINGS, max_size=3),
    st.lists(STRINGS, min_size=8, max_size=8),
    st.booleans(),
)
@settings(max_examples=count(2000))
def test_any_query_and_path_get_an_answer(
    call: Shape, query: dict[str, str], texts: list[str], closed: bool
) -> None:
    known = dict(zip([*call.query, *call.path_parameters], texts, strict=False))
    sayable(fault(call, known, query | known, closed=closed))


@given(
    st.text(max_size=60) | st.lists(st.sampled_from(["", "v3", "pay", "%2F", "%", "{x}", "id"])).map("/".join)
)
@settings(max_examples=count(2000))
def test_any_path_gets_an_answer(path: str) -> None:
    for text in (path, "/" + path, "/v3/" + path):
        assert (find("GET", text) is not None) <= ("GET" in methods(text))


def test_depth_and_length_are_no_trouble() -> None:
    deep = nested(100_000)
    sayable(fault(order(), {}, {}, deep, closed=True))
    sayable(fault(order(), {}, {}, JSAPI | {"payer": deep, "unknown": deep}, closed=True))
    sayable(fault(order(), {}, {}, JSAPI | {"unknown": deep, "x" * 1_000_000: 1}, closed=True))
    sayable(fault(order(), {}, {}, JSAPI | {"attach": "中" * 1_000_000}))
    sayable(fault(order(), {}, {}, JSAPI | {"notify_url": "https://" + "a:" * 120}))
    assert len(violations(order().request or {}, {"limit_pay": ["cash"] * 1000})) == 1000
    sayable(fault(order(), {}, {}, changed(JSAPI, "/amount/total", 1) | {"description": 10**5000}))
    sayable(fault(order(), {}, {}, JSAPI | {"amount": {"total": -(10**5000)}}))
    while deep:
        deep = deep.pop() if isinstance(deep, list) else deep.popitem()[1]


REQUESTS = [call for call in CALLS if call.request]


@pytest.mark.parametrize("call", REQUESTS, ids=lambda call: f"{call.method} {call.path}")
def test_every_field_of_every_call_is_judged(call: Shape) -> None:
    assert call.request is not None
    body = fits(call.request)
    path = {name: text_that_fits(schema, name) for name, schema in call.path_parameters.items()}
    query = {name: str(fits(schema)) for name, schema in call.query.items() if schema["required"]}
    assert fault(call, path, query, body, closed=True) is None
    for pointer, required in inner_places(call.request):
        null = fault(call, path, query, changed(body, pointer, None))
        assert null is not None, f"{pointer} null"
        assert null.detail is not None
        assert null.detail["field"] == pointer
        missing = fault(call, path, query, changed(body, pointer))
        assert (missing is not None) == required, f"{pointer} missing"


def test_flaws_speak() -> None:
    flaw = next(flaws({"type": "string", "enum": ["a", "b"]}, "c", "/x"))
    assert flaw == Flaw("/x", "enum", "c", "a, b")
    assert (
        flaw.sentence("/body/x", "某字段")
        == "输入源“/body/x”映射到值字段“某字段”枚举规则校验失败，取值不在 a, b 之中"
    )
    assert flaw.english == "not one of a, b"
