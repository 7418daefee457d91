"""Shapes of WeChat Pay's calls: what each of 277 takes and gives, and what is wrong with a value.

The shapes themselves are data of an independent author (shapes.json, its licence inside); LIMITS adds the
lengths and ranges that the merchant documentation states for the calls that we simulate.
Source: TheNorthMemory/wechatpay-openapi (MIT); WeChat Pay merchant documentation
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from paysim.operators.wechat.errors import WeChatError
from paysim.operators.wechat.schema import Flaw, Schema, Strictness, flaws, text_flaws

__all__ = ["LIMITS", "NAMES", "Shape", "fault", "find", "methods", "templates", "violations"]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One call: its method and path template, and the schemas of what it takes and gives.

    `query` and `path_parameters` by name, each schema with a "required"; `request` is None where the call has
    no JSON body; `responses` by HTTP status, an empty schema where nothing is known.
    """

    method: str
    path: str
    query: Mapping[str, Schema] = field(repr=False)
    path_parameters: Mapping[str, Schema] = field(repr=False)
    request: Schema | None = field(repr=False)
    responses: Mapping[int, Schema] = field(repr=False)


# --- limits that the shapes leave open --------------------------------------------------------------------

_NUMBER: Final = {"minBytes": 6, "maxBytes": 32, "pattern": r"[0-9a-zA-Z_\-\|\*]+"}
_ID: Final = {"minBytes": 1, "maxBytes": 32}
_REFUND_NUMBER: Final = {"minBytes": 1, "maxBytes": 64, "pattern": r"[0-9a-zA-Z_\-\|\*@]+"}
_URL: Final = {
    "minBytes": 1,
    "maxBytes": 255,
    "pattern": r"https?://([^\s/?#\[\]\@]+\@)?([^\s/?#\@:]+)(?::\d{2,5})?([^\s?#\[\]]*)",
}
_FEN: Final = {"minimum": 1}
_CNY: Final = {"enum": ["CNY"]}
_ORDER: Final[dict[str, Schema]] = {
    "/appid": _ID,
    "/mchid": _ID,
    "/description": {"minBytes": 1, "maxBytes": 127},
    "/out_trade_no": _NUMBER,
    "/notify_url": _URL,
    "/amount/total": _FEN,
    "/amount/currency": _CNY,
    "/time_expire": {"maxBytes": 64},
    "/attach": {"maxBytes": 128},
    "/goods_tag": {"maxBytes": 32},
    "/scene_info": {"required": ["payer_client_ip"]},
    "/scene_info/payer_client_ip": {"minBytes": 1, "maxBytes": 45},
    "/scene_info/store_info": {"required": ["id"]},
}
_JSAPI: Final[dict[str, Schema]] = {"/payer/openid": {"minBytes": 1, "maxBytes": 128}}
_H5: Final[dict[str, Schema]] = {
    "/scene_info": {"required": ["payer_client_ip", "h5_info"]},
    "/scene_info/h5_info": {"required": ["type"]},
    "/scene_info/h5_info/type": {"enum": ["iOS", "Android", "Wap"]},
}
_REFUND: Final[dict[str, Schema]] = {
    "/transaction_id": _ID,
    "/out_trade_no": _NUMBER,
    "/out_refund_no": _REFUND_NUMBER,
    "/reason": {"maxBytes": 80},
    "/notify_url": _URL,
    "/funds_account": {"enum": ["AVAILABLE", "UNSETTLED"]},
    "/amount/refund": _FEN,
    "/amount/total": _FEN,
    "/amount/currency": _CNY,
    "/amount/from/*/account": {"enum": ["AVAILABLE", "UNAVAILABLE"]},
    "/amount/from/*/amount": _FEN,
}
_PAY: Final = "/v3/pay/transactions/"
_REFUNDS: Final = "/v3/refund/domestic/refunds"
_DAY: Final[dict[str, Schema]] = {"?bill_date": {"format": "date"}, "?tar_type": {"enum": ["GZIP"]}}

LIMITS: Final[dict[tuple[str, str], dict[str, Schema]]] = {
    ("POST", _PAY + "jsapi"): _ORDER | _JSAPI,
    ("POST", _PAY + "app"): _ORDER,
    ("POST", _PAY + "native"): _ORDER,
    ("POST", _PAY + "h5"): _ORDER | _H5,
    ("GET", _PAY + "id/{transaction_id}"): {"{transaction_id}": _ID, "?mchid": _ID},
    ("GET", _PAY + "out-trade-no/{out_trade_no}"): {"{out_trade_no}": _NUMBER, "?mchid": _ID},
    ("POST", _PAY + "out-trade-no/{out_trade_no}/close"): {"{out_trade_no}": _NUMBER, "/mchid": _ID},
    ("POST", _REFUNDS): _REFUND,
    ("GET", _REFUNDS + "/{out_refund_no}"): {"{out_refund_no}": _REFUND_NUMBER},
    ("GET", "/v3/bill/tradebill"): _DAY | {"?bill_type": {"enum": ["ALL", "SUCCESS", "REFUND"]}},
    ("GET", "/v3/bill/fundflowbill"): _DAY | {"?account_type": {"enum": ["BASIC", "OPERATION", "FEES"]}},
}
"""(method, template) -> where -> what is added to the shape there; it replaces what the shape says itself.

Where: a JSON pointer into the request ("*" for each item), "?name" in the query, "{name}" in the path.
Source: WeChat Pay merchant documentation of these calls; the expressions, and that these lengths are bytes,
from messages of the real service that users have published
Assumed: out_refund_no <= 64, reason <= 80, CNY alone, and the spelling of the H5 types.
"""


# --- the data ---------------------------------------------------------------------------------------------


class _Node:
    """One place in the tree of paths: what is written out, what is templated, and the calls that end here."""

    __slots__ = ("calls", "fixed", "open")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.open: _Node | None = None
        self.calls: dict[str, tuple[Shape, tuple[str, ...]]] = {}


class _Data(NamedTuple):
    shapes: tuple[Shape, ...]
    root: _Node


@cache
def _data() -> _Data:
    text = files(__package__).joinpath("shapes.json").read_text("utf-8")
    shapes = tuple(map(_shape, json.loads(text)["v3"]))
    root = _Node()
    for shape in shapes:
        _plant(root, shape)
    return _Data(shapes, root)


def _shape(row: dict[str, Any]) -> Shape:
    query = {entry["name"]: entry for entry in row.get("query", ())}
    declared = {entry["name"]: entry for entry in row.get("path_parameters", ())}
    in_path = {name: declared.get(name, {"type": "string", "required": True}) for name in _names(row["path"])}
    request = row.get("request")
    for where, more in LIMITS.get((row["method"], row["path"]), {}).items():
        _place(where, request, query, in_path).update(more)
    responses = {int(status): schema for status, schema in row["responses"].items()}
    return Shape(row["method"], row["path"], query, in_path, request, responses)


def _place(where: str, request: Any, query: dict[str, Any], in_path: dict[str, Any]) -> dict[str, Any]:
    if where[0] == "?":
        return query[where[1:]]  # type: ignore[no-any-return]
    if where[0] == "{":
        return in_path[where[1:-1]]  # type: ignore[no-any-return]
    place = request
    for step in where.split("/")[1:]:
        place = place["items"] if step == "*" else place["properties"][step]
    return place  # type: ignore[no-any-return]


def _names(template: str) -> list[str]:
    """The parameters in a path template; `{empty}` is none, it stands for a path that ends in a slash."""
    return [part[1:-1] for part in template.split("/") if part[:1] == "{" and part != "{empty}"]


def _plant(root: _Node, shape: Shape) -> None:
    node = root
    for part in shape.path.split("/")[1:]:
        if part[:1] == "{" and part != "{empty}":
            node.open = node.open or _Node()
            node = node.open
        else:
            node = node.fixed.setdefault("" if part == "{empty}" else part, _Node())
    node.calls.setdefault(shape.method, (shape, tuple(_names(shape.path))))


# --- finding a call ---------------------------------------------------------------------------------------


def find(method: str, path: str) -> tuple[Shape, dict[str, str]] | None:
    """The shape of a call and its path parameters, percent-decoded; None where there is no such call.

    `path` is the raw path, without query. A segment that is written out beats a templated one.
    """
    for node, values in _ends(path):
        if method in node.calls:
            shape, names = node.calls[method]
            return shape, dict(zip(names, values, strict=True))
    return None


def methods(path: str) -> frozenset[str]:
    """The methods that this path knows; empty for an unknown path."""
    return frozenset(method for node, _ in _ends(path) for method in node.calls)


def templates() -> list[tuple[str, str]]:
    """Each call as (method, path template), sorted by path."""
    return sorted(((shape.method, shape.path) for shape in _data().shapes), key=lambda call: call[::-1])


def _ends(path: str) -> Iterator[tuple[_Node, list[str]]]:
    parts = path.split("/", 20)
    if parts[0] == "" and len(parts) <= 20:
        yield from _walk(_data().root, parts, 1, [])


def _walk(node: _Node, parts: list[str], at: int, values: list[str]) -> Iterator[tuple[_Node, list[str]]]:
    if at == len(parts):
        yield node, values
        return
    part = parts[at]
    if part in node.fixed:
        yield from _walk(node.fixed[part], parts, at + 1, values)
    if node.open is not None and part:
        yield from _walk(node.open, parts, at + 1, [*values, unquote(part)])


# --- judging a request ------------------------------------------------------------------------------------


def fault(
    shape: Shape,
    path: Mapping[str, str],
    query: Mapping[str, str],
    body: object = None,
    *,
    closed: bool = False,
) -> WeChatError | None:
    """PARAM_ERROR for the first thing wrong with a request, None where it fits its shape.

    `body` is the decoded JSON, None for no body; `path` and `query` are decoded texts. Null is never a value.
    `closed` refuses fields that the shape does not know.
    Assumed: path before query before body, fields in the documented order.
    """
    strict = Strictness(True, closed)
    for location, schemas, values in (("url", shape.path_parameters, path), ("query", shape.query, query)):
        for flaw in text_flaws(schemas, values, strict):
            return _error(flaw, location)
    if shape.request is not None:
        for flaw in flaws(shape.request, {} if body is None else body, "", strict):
            return _error(flaw, "body")
    return None


def violations(schema: Schema, value: object, *, closed: bool = True) -> list[str]:
    """Everything in which a value differs from a schema, as "pointer: text"; [] where it fits.

    Required lists are not looked at: those of the answers' shapes are not to be trusted.
    """
    found = flaws(schema, value, "", Strictness(False, closed))
    return [f"{flaw.pointer or '/'}: {flaw.english}" for flaw in found]


def _error(flaw: Flaw, location: str) -> WeChatError:
    """Source: published messages of the real service, which calls the path uri_template in the text."""
    pointer = flaw.pointer if location == "body" else f"/{flaw.pointer}"
    source = f"/{'uri_template' if location == 'url' else location}{pointer}"
    name = flaw.pointer.rpartition("/")[2]
    value = [source] if flaw.rule == "unknown" else flaw.value
    detail = {"field": flaw.pointer, "value": value, "issue": flaw.issue, "location": location}
    text = flaw.sentence(source, NAMES.get(name, name))
    return WeChatError("PARAM_ERROR", text, f"{source}: {flaw.english}", detail=detail)


# fmt: off
NAMES: Final[dict[str, str]] = {
    "appid": "公众号ID", "mchid": "直连商户号", "description": "商品描述", "out_trade_no": "商户订单号",
    "time_expire": "交易结束时间", "attach": "附加数据", "notify_url": "通知地址",
    "goods_tag": "订单优惠标记",
    "amount": "订单金额", "total": "总金额", "currency": "货币类型", "payer": "支付者", "openid": "用户标识",
    "scene_info": "场景信息", "payer_client_ip": "用户终端IP", "transaction_id": "微信支付订单号",
    "out_refund_no": "商户退款单号", "reason": "退款原因", "refund": "退款金额", "bill_date": "账单日期",
    "bill_type": "账单类型", "account_type": "资金账户类型", "tar_type": "压缩类型",
}
"""Field -> what the documentation calls it in Chinese; a field that is not here goes by its own name."""
# fmt: on
