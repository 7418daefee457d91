"""What is refused before anybody looks at what a request wants; rows name their fact in facts/wechat."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import msgspec
import pytest
from wechat_counter import CERTIFICATES, PAY, REFUNDS, Counter, content, said

from paysim.codec.http import Request
from paysim.operators.wechat import sealing
from paysim.operators.wechat.keys import MerchantKeys, Status
from paysim.operators.wechat.world import Answer

BILL = "/v3/bill/tradebill?bill_date=2025-12-30"
NATIVE = PAY + "native"
FORM = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
TRADE_FORM = "签名信息错误，验签失败"


class Call(NamedTuple):
    """A signed request that nothing is wrong with yet."""

    method: str
    target: str


POST_NATIVE, GET_CERTIFICATES = Call("POST", NATIVE), Call("GET", CERTIFICATES)
POST_REFUND, GET_BILL = Call("POST", REFUNDS), Call("GET", BILL)


def signed(counter: Counter, call: Call, headers: Mapping[str, str] | None = None) -> Request:
    body = counter.order() if call == POST_NATIVE else {"out_trade_no": "T-000001"}
    return counter.request(call.method, call.target, body if call.method == "POST" else None, headers)


def with_authorization(request: Request, value: str) -> Request:
    return request._replace(headers={**request.headers, "authorization": value})


# Authorization. -----------------------------------------------------------------------------------


def _absent(_value: str) -> str:
    return ""


def _bearer(_value: str) -> str:
    return "Bearer abc"


def _ill_formed(value: str) -> str:
    return value.replace(",", ";")


def _no_field(value: str) -> str:
    return value.replace("nonce_str", "nonce")


def _other_scheme(value: str) -> str:
    return value.replace("SHA256-RSA2048", "SM2-WITH-SM3")


def _stale(value: str) -> str:
    return _moved(value, -301)


def _early(value: str) -> str:
    return _moved(value, 302)


def _moved(value: str, seconds: int) -> str:
    stamp = value.partition('timestamp="')[2].partition('"')[0]
    return value.replace(stamp, str(int(stamp) + seconds))


def _other_nonce(value: str) -> str:
    return value.replace('nonce_str="', 'nonce_str="0')


def _unknown_serial(value: str) -> str:
    return value.replace('serial_no="', 'serial_no="F')


def _stranger(value: str) -> str:
    return value.replace('mchid="', 'mchid="9')


HEADER_ROWS: list[tuple[str, Call, Callable[[str], str], str]] = [
    ("1.2 no Authorization on /v3/certificates", GET_CERTIFICATES, _absent, FORM),
    ("1.2 no Authorization on /v3/refund/*", POST_REFUND, _absent, FORM),
    ("1.2 no Authorization on /v3/bill/*", GET_BILL, _absent, FORM),
    ("1.2 ill-formed on /v3/certificates", GET_CERTIFICATES, _ill_formed, FORM),
    ("1.2 ill-formed on /v3/refund/*", POST_REFUND, _ill_formed, FORM),
    ("1.2 ill-formed on /v3/bill/*", GET_BILL, _no_field, FORM),
    ("1.2 no Authorization on /v3/pay/transactions/*", POST_NATIVE, _absent, TRADE_FORM),
    ("1.2 Bearer on /v3/pay/transactions/*", POST_NATIVE, _bearer, TRADE_FORM),
    ("1.2 well formed, wrong signature", POST_NATIVE, _other_nonce, "签名错误"),
    ("1.2 well formed, wrong signature, elsewhere", POST_REFUND, _other_nonce, "签名错误"),
    ("1.2 stale timestamp", POST_NATIVE, _stale, "5分钟"),
    ("1.1 time window 5 minutes each way", POST_NATIVE, _early, "5分钟"),
    ("1.2 wrong auth scheme", POST_NATIVE, _other_scheme, "Http头Authorization认证类型不正确"),
    ("1.2 wrong auth scheme, elsewhere", GET_CERTIFICATES, _other_scheme, "认证类型不正确"),
    ("1.2 unknown serial", POST_NATIVE, _unknown_serial, "商户证书序列号有误"),
    ("1.2 unknown merchant", POST_NATIVE, _stranger, "签名错误"),
]


@pytest.mark.parametrize(
    ("call", "spoil", "text"), [row[1:] for row in HEADER_ROWS], ids=[r[0] for r in HEADER_ROWS]
)
def test_a_wrong_authorization_is_a_sign_error(call: Call, spoil: Callable[[str], str], text: str) -> None:
    counter = Counter()
    request = signed(counter, call)
    answer = counter.wechat.receive(with_authorization(request, spoil(request.header("authorization"))))
    assert said(answer) == (401, "SIGN_ERROR")
    assert text in content(answer, 401)["message"]
    assert answer.why
    assert not any(name.startswith("Wechatpay-") for name, _ in answer.response.headers)
    assert bool(answer.response.header("Request-ID")) is (call is not POST_NATIVE)
    assert not counter.sandbox.journal.find(f"wechat/{counter.mchid}/T-000001"), "it was done all the same"


def test_the_time_is_looked_at_before_the_signature() -> None:
    """1.1: checked before the signature."""
    counter = Counter()
    request = signed(counter, POST_NATIVE)
    value = _other_nonce(_stale(request.header("authorization")))
    assert "5分钟" in content(counter.wechat.receive(with_authorization(request, value)), 401)["message"]


def test_a_timestamp_of_five_minutes_ago_is_taken_as_far_as_time_goes() -> None:
    counter = Counter()
    request = signed(counter, POST_NATIVE)
    value = _moved(request.header("authorization"), -299)
    assert content(counter.wechat.receive(with_authorization(request, value)), 401)["message"] == "签名错误"


def test_a_wrong_signature_shows_what_was_to_be_signed() -> None:
    """1.2: the detail block of SIGN_ERROR, with the first 8 bytes of the body."""
    counter = Counter()
    request = signed(counter, POST_NATIVE)
    body = b'{"notify_url": "x"}'
    answer = counter.wechat.receive(request._replace(body=body))
    detail = content(answer, 401)["detail"]
    assert (detail["field"], detail["location"]) == ("signature", "authorization")
    assert detail["issue"] == detail["detail"]["issue"] == "sign not match"
    shown = detail["sign_information"]
    assert (shown["method"], shown["url"]) == ("POST", NATIVE)
    assert shown["truncated_sign_message"].endswith('\n{"notify\n')
    rest = len(shown["truncated_sign_message"]) - len('{"notify')
    assert shown["sign_message_length"] == rest + len(body)


def _certificates(status: Status) -> Callable[[MerchantKeys], MerchantKeys]:
    return lambda keys: replace(keys, certificates=(replace(keys.certificates[0], status=status),))


def _expired(keys: MerchantKeys) -> MerchantKeys:
    return replace(keys, certificates=(replace(keys.certificates[0], end_ms=1),))


def _none(keys: MerchantKeys) -> MerchantKeys:
    return replace(keys, certificates=())


def _no_api_v3_key(keys: MerchantKeys) -> MerchantKeys:
    return replace(keys, api_v3_key="")


KEY_ROWS: list[tuple[str, Callable[[MerchantKeys], MerchantKeys], str]] = [
    ("1.2 expired certificate", _expired, "商户证书已过期。"),
    ("1.2 revoked certificate", _certificates("revoked"), "商户证书已作废。"),
    ("1.2 replaced certificate", _certificates("replaced"), "已更换证书，请使用新证书。"),
    ("1.2 no APIv3 key set", _no_api_v3_key, "商户未设置APIv3密钥。"),
    ("1.2 no certificate applied for", _none, "商户未申请过证书。"),
]


@pytest.mark.parametrize("call", [POST_NATIVE, GET_CERTIFICATES], ids=["order", "certificates"])
@pytest.mark.parametrize(("change", "text"), [row[1:] for row in KEY_ROWS], ids=[row[0] for row in KEY_ROWS])
def test_keys_that_do_not_count(
    call: Call, change: Callable[[MerchantKeys], MerchantKeys], text: str
) -> None:
    counter = Counter()
    request = signed(counter, call)
    counter.wechat.secrets.set(change(counter.wechat.secrets.merchant(counter.mchid)))
    answer = counter.wechat.receive(request)
    assert said(answer) == (401, "SIGN_ERROR")
    assert content(answer, 401)["message"] == text


# What is not about the signature. -----------------------------------------------------------------


@pytest.mark.parametrize("call", ["order", "query", "query by id", "close"])
def test_another_merchant_in_the_request_is_a_param_error(call: str) -> None:
    """1.2: header mchid differs from body mchid; the message is that of users' logs of 2020 to 2024."""
    counter = Counter()
    other = counter.neighbour().mchid
    answer = {
        "order": lambda: counter.prepay(mchid=other),
        "query": lambda: counter.send("GET", f"{PAY}out-trade-no/T-000001?mchid={other}"),
        "query by id": lambda: counter.send("GET", f"{PAY}id/42?mchid={other}"),
        "close": lambda: counter.send("POST", f"{PAY}out-trade-no/T-000001/close", {"mchid": other}),
    }[call]()
    assert said(answer) == (400, "PARAM_ERROR")
    assert content(answer, 400)["message"] == "http header中的mchid与post payload中的mchid不匹配"
    field, location = ("mchid", "query") if "query" in call else ("/mchid", "body")
    detail = content(answer, 400)["detail"]
    assert (detail["field"], detail["value"], detail["location"]) == (field, other, location)
    assert f"is {other}, but {counter.mchid} signed" in answer.why


@pytest.mark.parametrize("wanting", ["user-agent", "accept"])
@pytest.mark.parametrize("authorized", [True, False], ids=["signed", "without credentials"])
@pytest.mark.parametrize("call", [GET_CERTIFICATES, POST_REFUND], ids=["certificates", "refund"])
def test_who_asks_without_user_agent_is_refused(call: Call, authorized: bool, wanting: str) -> None:
    """1.2: no User-Agent on certificates/refund; the probe that saw it had no credentials."""
    counter = Counter()
    headers = {wanting: ""} if authorized else {wanting: "", "authorization": ""}
    answer = counter.wechat.receive(signed(counter, call, headers))
    assert said(answer) == (400, "INVALID_REQUEST")
    assert content(answer, 400)["message"] == "Http头缺少Accept或User-Agent"
    assert not any(name.startswith("Wechatpay-") for name, _ in answer.response.headers)


def test_orders_are_taken_without_user_agent() -> None:
    """1.2: not enforced on /v3/pay/transactions/*."""
    counter = Counter()
    assert said(counter.wechat.receive(signed(counter, POST_NATIVE, {"user-agent": "", "accept": ""}))) == (
        200,
        "",
    )


PATH_ROWS: list[tuple[str, str, str, int]] = [
    ("1.2 wrong method", "GET", NATIVE, 405),
    ("1.2 wrong method on certificates", "POST", CERTIFICATES, 405),
    ("1.2 wrong method on a close", "GET", f"{PAY}out-trade-no/T-000001/close", 405),
    ("1.2 wrong method in lower case", "post", NATIVE, 405),
    ("1.2 unknown path", "GET", "/v3/pay/transactions", 404),
    ("1.2 unknown path, a slash more", "POST", NATIVE + "/", 404),
    ("1.2 unknown path, no v3", "GET", "/pay/unifiedorder", 404),
    ("1.2 unknown path, the root", "GET", "/", 404),
]


@pytest.mark.parametrize("authorized", [True, False])
@pytest.mark.parametrize(
    ("method", "target", "status"), [r[1:] for r in PATH_ROWS], ids=[r[0] for r in PATH_ROWS]
)
def test_no_such_call(method: str, target: str, status: int, authorized: bool) -> None:
    counter = Counter()
    request = counter.request(method, target, None, {} if authorized else {"authorization": ""})
    answer = counter.wechat.receive(request)
    assert (answer.response.status, answer.response.body) == (status, b"")
    assert target in answer.why


# Sealed fields. -----------------------------------------------------------------------------------


def sealed(counter: Counter, serial: str, named: str) -> Answer:
    """An order for one payer by name, sealed with one key and another named in the header."""
    platform = counter.wechat.platform(counter.mchid)
    identity = {
        name: sealing.seal_field(platform, serial, text)
        for name, text in (("name", "李雷"), ("number", "11"))
    }
    payer = {"openid": counter.openid(), "identity": {"type": "IDCARD", **identity}}
    return counter.prepay("jsapi", payer=payer, headers={"wechatpay-serial": named})


def test_sealed_fields_are_opened_with_the_key_that_is_named() -> None:
    counter = Counter()
    platform = counter.wechat.platform(counter.mchid)
    for serial in (platform.certificates[0].serial, platform.public_key_id):
        content(sealed(counter, serial, serial))


@pytest.mark.parametrize(
    "named",
    ["", "7F", "PUB_KEY_ID_0"],
    ids=["1.2 missing Wechatpay-Serial", "1.2 wrong serial", "1.2 wrong public key id"],
)
def test_sealed_fields_want_the_right_serial(named: str) -> None:
    counter = Counter()
    serial = counter.wechat.platform(counter.mchid).certificates[0].serial
    answer = sealed(counter, serial, named)
    assert said(answer) == (400, "PARAM_ERROR")
    assert "Wechatpay-Serial" in content(answer, 400)["message"]


def test_fields_that_another_key_sealed_do_not_open() -> None:
    counter = Counter()
    platform = counter.wechat.platform(counter.mchid)
    answer = sealed(counter, platform.certificates[0].serial, platform.public_key_id)
    assert said(answer) == (400, "PARAM_ERROR")
    assert platform.certificates[0].serial in answer.why


# Answers. -----------------------------------------------------------------------------------------

LANGUAGES: list[tuple[str, str, str]] = [
    ("", "zh-CN", "签名错误"),
    ("zh-CN", "zh-CN", "签名错误"),
    ("zh-TW", "zh-CN", "签名错误"),
    ("en", "en", "Wrong signature"),
    ("en-US,en;q=0.9", "en", "Wrong signature"),
    ("zh-CN,en;q=0.5", "zh-CN", "签名错误"),
]


@pytest.mark.parametrize(("wanted", "language", "text"), LANGUAGES)
def test_messages_come_in_the_language_asked_for(wanted: str, language: str, text: str) -> None:
    """1.1: Accept-Language selects the message language."""
    counter = Counter()
    request = signed(counter, POST_NATIVE, {"accept-language": wanted})
    answer = counter.wechat.receive(request._replace(body=b"{}"))
    assert content(answer, 401)["message"] == text
    assert answer.response.header("Content-Language") == language
    assert answer.response.header("Content-Type") == "application/json; charset=utf-8"


def test_successes_carry_the_headers_of_the_real_service() -> None:
    """1.3: Request-ID ends in -0, failures in a number; 204 is signed, too."""
    counter = Counter()
    answer = counter.prepay()
    assert answer.response.header("Request-ID").endswith("-0")
    assert answer.response.header("Cache-Control") == "no-cache, must-revalidate"
    assert answer.response.header("X-Content-Type-Options") == "nosniff"
    assert len(answer.response.header("Wechatpay-Nonce")) == 32
    closed = counter.close()
    assert (closed.response.status, closed.response.body) == (204, b"")
    assert closed.response.header("Content-Type") == "application/json; charset=utf-8"  # a real one has it


def test_the_default_answer_is_signed_by_the_kind_of_key_that_the_request_names() -> None:
    """1.4: a request with PUB_KEY_ID_ is answered with the public key's pair, others with the certificate."""
    counter = Counter()
    platform = counter.wechat.platform(counter.mchid)
    asked = {"wechatpay-serial": platform.public_key_id}
    assert counter.prepay(headers=asked).response.header("Wechatpay-Serial") == platform.public_key_id
    assert counter.prepay().response.header("Wechatpay-Serial") == platform.certificates[0].serial


def test_certificates_open_with_the_api_v3_key() -> None:
    """1.4: GET /v3/certificates; SM2 alone is not to be had."""
    counter = Counter()
    key = counter.wechat.secrets.merchant(counter.mchid).api_v3_key
    for query in ("", "?algorithm_type=RSA", "?algorithm_type=ALL"):
        (one,) = content(counter.send("GET", CERTIFICATES + query))["data"]
        pem = sealing.open_resource(key, one["encrypt_certificate"])
        assert one["serial_no"] == counter.wechat.platform(counter.mchid).certificates[0].serial
        assert pem.startswith(b"-----BEGIN CERTIFICATE-----")
        assert one["encrypt_certificate"]["associated_data"] == "certificate"
        assert len(one["encrypt_certificate"]["nonce"]) == 12
    assert said(counter.send("GET", CERTIFICATES + "?algorithm_type=SM2")) == (404, "RESOURCE_NOT_EXISTS")


def test_what_is_not_simulated_is_looked_at_and_refused() -> None:
    counter = Counter()
    good = {"mchid": counter.mchid}
    target = f"{PAY}out-trade-no/T-000001/reverse"
    assert said(counter.send("POST", target, {**good, "appid": counter.appid})) == (403, "NO_AUTH")
    assert said(counter.send("POST", target, {"appid": 1})) == (400, "PARAM_ERROR")
    assert json.loads(counter.send("POST", target, good).response.body)["code"] in ("NO_AUTH", "PARAM_ERROR")


@pytest.mark.parametrize(("lenient", "status"), [(False, 401), (True, 404)])
def test_a_signature_over_the_decoded_path_is_a_switch(lenient: bool, status: int) -> None:
    """6, trap (a): wechatpayv3 signs the bar of an order number as it is, and requests sends %7C."""
    counter = Counter()
    counter.wechat.settings = msgspec.structs.replace(counter.wechat.settings, lenient_path=lenient)
    target = f"{PAY}out-trade-no/T|000001?mchid={counter.mchid}"
    signed = counter.request("GET", target)
    answer = counter.wechat.receive(signed._replace(target=target.replace("|", "%7C")))
    assert answer.response.status == status
    assert bool(answer.warning) is lenient
    assert said(counter.wechat.receive(signed)) == (404, "ORDER_NOT_EXIST")
