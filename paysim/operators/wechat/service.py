"""WeChat Pay APIv3 as one function: an HTTP request in, an HTTP answer and facts out.

`ENDPOINTS` is the table of what is simulated. A request is looked at in this order: path and method,
headers, signature, merchant, shape, and then by its handler. Whatever else has a known shape is checked
against it and answered NO_AUTH: never a made-up success.
Source: WeChat Pay merchant documentation, APIv3 rules; facts/wechat 1.2, 1.3 and 1.7
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from paysim.codec.http import Request, Response
from paysim.core.operation import Verb
from paysim.core.outcome import Reason

from . import orders, refunds, shapes, statements
from .errors import CODES, WeChatError
from .keys import Kind
from .messages import read_body
from .platform_signature import answer_headers, choose, kind_wanted
from .sealing import certificates_body
from .signing import verify
from .world import Answer, Asked, Done, World

__all__ = ["ENDPOINTS", "Endpoint", "default_kind", "error_answer", "respond", "statuses_of", "verb_of"]

_CERTIFICATES: Final = "/v3/certificates"
_AGENT_WANTED: Final = (_CERTIFICATES, "/v3/refund")
"""Where a request without User-Agent is refused. Source: facts/wechat 1.2, a probe's log"""

_NUMBERS: Final[dict[str, int]] = {
    "SIGN_ERROR": 268443699,
    "ORDER_NOT_EXIST": 268512771,
    "FREQUENCY_LIMITED": 268447840,
    "PARAM_ERROR": 268435461,
    "ORDER_PAID": 268449538,
    "ORDER_CLOSED": 268447914,
    "OUT_TRADE_NO_USED": 268498688,
    "APPID_MCHID_NOT_MATCH": 268445527,
}
"""Code -> the number at the end of Request-ID. Source: facts/wechat 2.1; Assumed: the others end in ..461"""

_PAID_NUMBER: Final = 268498689
_FIELD_NUMBERS: Final = {"/payer/openid": 268501013}
"""The same for a PARAM_ERROR about one field. Source: facts/wechat 2.1, openid missing"""


class Endpoint(NamedTuple):
    """A row of the table: its handler, the verb that faults match, and the statuses of its own."""

    method: str
    path: str
    handler: Callable[[Asked], Done]
    verb: str
    statuses: Mapping[str, int]


def _prepay(trade_type: str) -> Callable[[Asked], Done]:
    return lambda asked: orders.prepay(asked, trade_type)


def _certificates(asked: Asked) -> Done:
    """The platform certificates, sealed with the merchant's APIv3 key."""
    world = asked.world
    platform = world.platform(asked.merchant.mchid)
    wanted = asked.query.get("algorithm_type", "RSA")
    if not platform.issues_certificates or not platform.certificates or wanted == "SM2":
        text = "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥"
        raise WeChatError("RESOURCE_NOT_EXISTS", text, "no platform certificate available")
    nonces = [world.nonce()[:12] for _ in platform.certificates]
    return Done(raw=certificates_body(platform, asked.keys.api_v3_key, world.wall_ms(), nonces))


_PAY: Final = "/v3/pay/transactions/"
_REFUNDS: Final = "/v3/refund/domestic/refunds"
_BILL: Final = {"NO_AUTH": 403, "NO_STATEMENT_EXIST": 400, "STATEMENT_CREATING": 400}
_PREPAY: Final = {"NO_AUTH": 403, "OUT_TRADE_NO_USED": 403, "RULE_LIMIT": 403, "MCH_NOT_EXISTS": 400}
_QUERY: Final = {"ORDER_NOT_EXIST": 404, "TRADE_ERROR": 403, "RULE_LIMIT": 403, "MCH_NOT_EXISTS": 400}
_REFUND: Final = {"MCH_NOT_EXISTS": 404, "RESOURCE_NOT_EXISTS": 404, "NOT_ENOUGH": 403}

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("POST", _PAY + "jsapi", _prepay("JSAPI"), Verb.PRESENT, _PREPAY),
    Endpoint("POST", _PAY + "app", _prepay("APP"), Verb.PRESENT, _PREPAY),
    Endpoint("POST", _PAY + "h5", _prepay("H5"), Verb.PRESENT, _PREPAY),
    Endpoint("POST", _PAY + "native", _prepay("NATIVE"), Verb.PRESENT, _PREPAY),
    Endpoint("GET", _PAY + "id/{transaction_id}", orders.query_by_id, Verb.QUERY, _QUERY),
    Endpoint("GET", _PAY + "out-trade-no/{out_trade_no}", orders.query, Verb.QUERY, _QUERY),
    Endpoint("POST", _PAY + "out-trade-no/{out_trade_no}/close", orders.close, Verb.CLOSE, _QUERY),
    Endpoint("POST", _REFUNDS, refunds.refund, Verb.REFUND, _REFUND),
    Endpoint("GET", _REFUNDS + "/{out_refund_no}", refunds.query, Verb.QUERY, _REFUND),
    Endpoint("GET", "/v3/bill/tradebill", statements.trade, "bill", _BILL),
    Endpoint("GET", "/v3/bill/fundflowbill", statements.fund, "bill", _BILL),
    Endpoint("GET", "/v3/billdownload/file", statements.download, "download", _BILL),
    Endpoint("GET", _CERTIFICATES, _certificates, "certificates", {}),
)
"""What is simulated of APIv3, and the statuses that differ from an error's usual one (`errors.CODES`)."""

_BY_PATH: Final = {(row.method, row.path): row for row in ENDPOINTS}
_NONE: Final[Mapping[str, int]] = {}


def verb_of(request: Request) -> str:
    """The verb that faults know a request by, "" for what is not simulated."""
    row = _row(request)
    return row.verb if row else ""


def statuses_of(request: Request) -> Mapping[str, int]:
    """The statuses of an endpoint's own errors."""
    row = _row(request)
    return row.statuses if row else _NONE


def _row(request: Request) -> Endpoint | None:
    found = shapes.find(request.method, request.path)
    return _BY_PATH.get((request.method, found[0].path)) if found else None


def respond(request: Request, world: World) -> Answer:
    """The answer to a request, and the facts for the books; never raises for what a client sends."""
    found = shapes.find(request.method, request.path)
    if found is None:
        status = 405 if shapes.methods(request.path) else 404
        why = f"no call of WeChat Pay is {request.method} {request.path}"
        return Answer(Response(status, (("Content-Length", "0"),)), why=why)
    shape, path = found
    row = _BY_PATH.get((request.method, shape.path))
    verb, mchid, warning = row.verb if row else "", "", ""
    try:
        _check_headers(request)
        credential = verify(
            request,
            world.keys,
            world.wall_ms(),
            lenient_path=world.settings.lenient_path,
            others=world.others(),
        )
        mchid = credential.mchid
        if credential.lenient:
            warning = "the signature covers the decoded path, which the real service may refuse"
        asked = _asked(request, world, mchid, path, shape)
        error = shapes.fault(shape, path, asked.query, asked.body, closed=world.settings.closed_fields)
        if error is not None:
            raise error
        if row is None:
            raise _not_simulated(shape)
        done = row.handler(asked)
    except WeChatError as error:
        answer = error_answer(error, request, world, row.statuses if row else _NONE)
        return answer._replace(verb=verb, mchid=mchid, warning=warning)
    return Answer(_success(done, asked), done.order, done.facts, verb=verb, mchid=mchid, warning=warning)


def _not_simulated(shape: shapes.Shape) -> WeChatError:
    why = f"paysim knows the shape of {shape.method} {shape.path} and does not simulate it"
    return WeChatError("NO_AUTH", "商户无此接口权限（沙箱未模拟该接口）", why)


def _check_headers(request: Request) -> None:
    """Before the signature: the probe that was refused so had no credentials. Source: facts/wechat 1.2"""
    agent = request.header("user-agent") and request.header("accept")
    if not agent and request.path.startswith(_AGENT_WANTED):
        text = "Http头缺少Accept或User-Agent"
        raise WeChatError("INVALID_REQUEST", text, "the headers Accept and User-Agent are wanted")


def _asked(request: Request, world: World, mchid: str, path: Mapping[str, str], shape: shapes.Shape) -> Asked:
    """The request with its parts decoded. Raises WeChatError."""
    merchant, keys = world.merchant(mchid), world.keys(mchid)
    if merchant is None or keys is None:
        raise WeChatError("MCH_NOT_EXISTS", why=f"there is no merchant {mchid} in this sandbox")
    body = read_body(request.body) if request.body and shape.request is not None else {}  # else: a file
    kind = kind_wanted(request, "certificate") if request.header("wechatpay-serial") else ""
    return Asked(request, merchant, keys, world, path, _query(request), body, kind)


def _query(request: Request) -> dict[str, str]:
    try:
        return dict(parse_qsl(request.query.lstrip("?&"), keep_blank_values=True, max_num_fields=64))
    except ValueError:
        raise WeChatError("PARAM_ERROR", "请求参数过多", "the query has too many parameters") from None


def default_kind(asked_for: str, key_kind: str) -> Kind:
    """Which key signs an answer: as the request asked, as the merchant has chosen, else the certificate."""
    if asked_for:
        return "public_key" if asked_for == "public_key" else "certificate"
    return "public_key" if key_kind == "public_key" else "certificate"


# Answers. -----------------------------------------------------------------------------------------


def _success(done: Done, asked: Asked) -> Response:
    """A 2xx answer: signed, but for downloads; a 204 is signed over nothing. Source: facts/wechat 1.3"""
    world = asked.world
    if done.file:
        return Response(200, done.headers, done.raw or b"")
    body = done.raw if done.raw is not None else b""
    if done.body is not None:
        body = msgspec.json.encode(done.body)
    kind = default_kind(asked.kind, asked.merchant.key_kind)
    key = choose(world.platform(asked.merchant.mchid), kind, world.wall_ms())
    signed = answer_headers(body, key, world.nonce(), world.wall_ms() // 1000)
    rest = _headers(f"{_request_id(world)}-0")
    return Response(200 if body else 204, (*rest, *signed), body)


def error_answer(
    error: WeChatError, request: Request, world: World, statuses: Mapping[str, int] = _NONE
) -> Answer:
    """An answer that is no success: JSON with code and message in the client's language, not signed.

    Request-ID is left out on 401 under /v3/pay/transactions. Source: facts/wechat 1.2
    """
    status = error.status or statuses.get(error.code) or CODES[error.code].status
    english = request.header("accept-language").lower().startswith("en")
    content: dict[str, Any] = {"code": error.code, "message": error.english if english else error.text}
    if error.detail is not None:
        content["detail"] = error.detail
    body = msgspec.json.encode(content)
    number = _number(error)
    named = "" if status == 401 and request.path.startswith(_PAY) else f"{_request_id(world)}-{number}"
    headers = _headers(named, "en" if english else "zh-CN")
    return Answer(Response(status, headers, body), code=error.code, why=error.why, outcome=error.outcome)


def _number(error: WeChatError) -> int:
    if error.code == "INVALID_REQUEST" and error.outcome.reason is Reason.ALREADY_PAID:
        return _PAID_NUMBER
    field = error.detail.get("field", "") if error.detail else ""
    return _FIELD_NUMBERS.get(field) or _NUMBERS.get(error.code, _NUMBERS["PARAM_ERROR"])


def _headers(request_id: str, language: str = "zh-CN") -> tuple[tuple[str, str], ...]:
    """What every answer carries, a 204 as well."""
    headers = [
        ("Content-Type", "application/json; charset=utf-8"),
        ("Cache-Control", "no-cache, must-revalidate"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Language", language),
    ]
    if request_id:
        headers.append(("Request-ID", request_id))
    return tuple(headers)


def _request_id(world: World) -> str:
    return world.nonce().upper()
