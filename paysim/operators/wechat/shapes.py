"""Shapes of WeChat Pay's calls: what each of 277 takes and gives, and what is wrong with a value.

The shapes themselves are data of an independent author (shapes.json, its licence inside); LIMITS adds the
lengths and ranges that the merchant documentation states for the calls that we simulate.
Source: TheNorthMemory/wechatpay-openapi (MIT); WeChat Pay merchant documentation
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from paysim.operators.wechat.errors import WeChatError

__all__ = ["LIMITS", "Schema", "Shape", "fault", "find", "methods", "templates", "violations"]

Schema = Mapping[str, Any]
"""A JSON schema in the few words that shapes.json uses."""


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

_NUMBER: Final = {"minLength": 6, "maxLength": 32, "pattern": r"[0-9a-zA-Z_\-|*]+"}
_ID: Final = {"minLength": 1, "maxLength": 32}
_FEN: Final = {"minimum": 1}
_CNY: Final = {"enum": ["CNY"]}
_URL: Final = {
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"https?://([^\s/?#\[\]@]+@)?([^\s/?#@:]+)(?::[0-9]{2,5})?([^\s?#\[\]]*)",
}
_ORDER: Final[dict[str, Schema]] = {
    "/appid": _ID,
    "/mchid": _ID,
    "/description": {"minLength": 1, "maxLength": 127},
    "/out_trade_no": _NUMBER,
    "/notify_url": _URL,
    "/amount/total": _FEN,
    "/amount/currency": _CNY,
    "/time_expire": {"maxLength": 64},
    "/attach": {"maxLength": 128},
    "/goods_tag": {"maxLength": 32},
    "/payer/openid": {"minLength": 1, "maxLength": 128},
    "/scene_info": {"required": ["payer_client_ip"]},
    "/scene_info/payer_client_ip": {"minLength": 1, "maxLength": 45},
}
_H5: Final[dict[str, Schema]] = {
    "/scene_info": {"required": ["payer_client_ip", "h5_info"]},
    "/scene_info/h5_info": {"required": ["type"]},
    "/scene_info/h5_info/type": {"enum": ["iOS", "Android", "Wap"]},
}
_REFUND: Final[dict[str, Schema]] = {
    "/transaction_id": _ID,
    "/out_trade_no": _NUMBER,
    "/out_refund_no": {"minLength": 1, "maxLength": 64, "pattern": r"[0-9a-zA-Z_\-|*@]+"},
    "/reason": {"maxLength": 80},
    "/notify_url": _URL,
    "/amount/refund": _FEN,
    "/amount/total": _FEN,
    "/amount/currency": _CNY,
    "/amount/from/*/amount": _FEN,
}
_PAY: Final = "/v3/pay/transactions/"
_REFUNDS: Final = "/v3/refund/domestic/refunds"

LIMITS: Final[dict[tuple[str, str], dict[str, Schema]]] = {
    ("POST", _PAY + "jsapi"): _ORDER,
    ("POST", _PAY + "app"): _ORDER,
    ("POST", _PAY + "native"): _ORDER,
    ("POST", _PAY + "h5"): _ORDER | _H5,
    ("GET", _PAY + "id/{transaction_id}"): {"{transaction_id}": _ID, "?mchid": _ID},
    ("GET", _PAY + "out-trade-no/{out_trade_no}"): {"{out_trade_no}": _NUMBER, "?mchid": _ID},
    ("POST", _PAY + "out-trade-no/{out_trade_no}/close"): {"{out_trade_no}": _NUMBER, "/mchid": _ID},
    ("POST", _REFUNDS): _REFUND,
    ("GET", _REFUNDS + "/{out_refund_no}"): {"{out_refund_no}": _REFUND["/out_refund_no"]},
    ("GET", "/v3/bill/tradebill"): {
        "?bill_date": {"format": "date"},
        "?bill_type": {"enum": ["ALL", "SUCCESS", "REFUND"]},
        "?tar_type": {"enum": ["GZIP"]},
    },
    ("GET", "/v3/bill/fundflowbill"): {
        "?bill_date": {"format": "date"},
        "?account_type": {"enum": ["BASIC", "OPERATION", "FEES"]},
        "?tar_type": {"enum": ["GZIP"]},
    },
}
"""(method, template) -> where -> what is added to the shape there.

Where: a JSON pointer into the request ("*" for each item), "?name" in the query, "{name}" in the path.
Source: WeChat Pay merchant documentation of these calls; the expressions from messages of the real service
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
        place = place["items"] if step == "*" else place.get("properties", {}).get(step, {})
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


# --- judging a value --------------------------------------------------------------------------------------


class _Flaw(NamedTuple):
    """What is wrong with one value: where, the value to show, and why in Chinese and English."""

    pointer: str
    value: Any
    issue: str
    english: str


class _Rules(NamedTuple):
    """How strictly to judge: whether required fields must be there and unknown ones must not."""

    required: bool
    closed: bool


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
    rules = _Rules(True, closed)
    for location, schemas, values in (("url", shape.path_parameters, path), ("query", shape.query, query)):
        for flaw in _text_flaws(schemas, values, rules):
            return _error(flaw, location)
    if shape.request is not None:
        given = {} if body is None else body
        for flaw in _flaws(shape.request, given, "", rules):
            return _error(flaw, "body")
    return None


def violations(schema: Schema, value: object, *, closed: bool = True) -> list[str]:
    """Everything in which a value differs from a schema, as "pointer: text"; [] where it fits.

    Required lists are not looked at: those of the answers' shapes are not to be trusted.
    """
    return [
        f"{flaw.pointer or '/'}: {flaw.english}" for flaw in _flaws(schema, value, "", _Rules(False, closed))
    ]


def _error(flaw: _Flaw, location: str) -> WeChatError:
    name = flaw.pointer.rpartition("/")[2] or location
    source = f"/{location}{flaw.pointer if location == 'body' else '/' + flaw.pointer}"
    detail = {"field": flaw.pointer, "value": flaw.value, "issue": flaw.issue, "location": location}
    text = f"输入源“{source}”映射到值字段“{name}”{flaw.issue}"
    return WeChatError("PARAM_ERROR", text, f"{source}: {flaw.english}", detail=detail)


def _text_flaws(schemas: Mapping[str, Schema], values: Mapping[str, str], rules: _Rules) -> Iterator[_Flaw]:
    for name, schema in schemas.items():
        text = values.get(name)
        if text is not None:
            yield from _value_flaws(schema, _read(schema["type"], text), name)
        elif schema.get("required"):
            yield _missing(name)
    if rules.closed:
        yield from (_unknown(str(name), values[name]) for name in values if name not in schemas)


def _read(kind: str, text: str) -> object:
    """What a text of a query means; the text itself where it means nothing of this kind."""
    if kind == "integer" and re.fullmatch("-?[0-9]{1,20}", text):
        return int(text)
    if kind == "number" and re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", text):
        return float(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text.split(",") if kind == "array" else text


def _flaws(schema: Schema, value: object, pointer: str, rules: _Rules) -> Iterator[_Flaw]:
    kind = schema.get("type")
    if kind == "object" and isinstance(value, Mapping):
        yield from _object_flaws(schema, value, pointer, rules)
    elif kind == "array" and isinstance(value, list):
        yield from _array_flaws(schema, value, pointer, rules)
    elif kind is not None:
        yield from _value_flaws(schema, value, pointer)


def _object_flaws(schema: Schema, value: Mapping[Any, Any], pointer: str, rules: _Rules) -> Iterator[_Flaw]:
    properties = schema.get("properties")
    if properties is None:
        return
    required = schema.get("required", ()) if rules.required else ()
    for name, inner in properties.items():
        if name in value:
            yield from _flaws(inner, value[name], f"{pointer}/{name}", rules)
        elif name in required:
            yield _missing(f"{pointer}/{name}")
    if rules.closed:
        for name in value:
            if name not in properties:
                yield _unknown(f"{pointer}/{_escaped(name)}", value[name])


def _array_flaws(schema: Schema, value: list[Any], pointer: str, rules: _Rules) -> Iterator[_Flaw]:
    most = schema.get("maxItems")
    if most is not None and len(value) > most:
        yield _Flaw(
            pointer,
            len(value),
            f"数组规则校验失败，元素个数 {len(value)}，大于最大值 {most}",
            f"more than {most} items",
        )
    inner = schema.get("items")
    if inner is not None:
        for index, item in enumerate(value):
            yield from _flaws(inner, item, f"{pointer}/{index}", rules)


def _value_flaws(schema: Schema, value: object, pointer: str) -> Iterator[_Flaw]:
    kind = schema["type"]
    if not _KINDS[kind](value):
        yield _Flaw(
            pointer, _shown(value), f"类型校验失败，此字段需要一个合法的 {kind}", f"not {_ARTICLES[kind]}"
        )
    elif isinstance(value, str):
        yield from _string_flaws(schema, value, pointer)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number_flaws(schema, value, pointer)


def _string_flaws(schema: Schema, value: str, pointer: str) -> Iterator[_Flaw]:
    least = schema.get("minLength", 0)
    if least and len(value) < least:
        yield _Flaw(
            pointer,
            len(value),
            f"字符串规则校验失败，字符数 {len(value)}，小于最小值 {least}",
            f"shorter than {least} characters",
        )
        return
    most = schema.get("maxLength")
    if most is not None and len(value) > most:
        yield _Flaw(
            pointer,
            len(value),
            f"字符串规则校验失败，字符数 {len(value)}，大于最大值 {most}",
            f"longer than {most} characters",
        )
        return
    known = schema.get("enum")
    if known is not None and value not in known:
        yield _Flaw(
            pointer, _shown(value), "枚举值校验失败，取值不在允许的范围内", f"not one of {', '.join(known)}"
        )
        return
    if not _encodable(value):
        yield _Flaw(
            pointer,
            _shown(value),
            "字符串规则校验失败，不是合法的 UTF-8 字符串",
            "not text that UTF-8 can carry",
        )
        return
    pattern = schema.get("pattern")
    if pattern is not None and not _compiled(pattern).fullmatch(value):
        yield _Flaw(
            pointer,
            _shown(value),
            f"字符串规则校验失败，字符串必须匹配正则表达式“^{pattern}$”",
            f"does not match ^{pattern}$",
        )
        return
    form = schema.get("format")
    if form is not None and form in _FORMATS and not _FORMATS[form](value):
        yield _Flaw(
            pointer, _shown(value), f"字符串规则校验失败，不符合 {form} 格式", f"not in the form {form}"
        )


def _number_flaws(schema: Schema, value: int | float, pointer: str) -> Iterator[_Flaw]:
    known = schema.get("enum")
    if known is not None and value not in known:
        yield _Flaw(pointer, _shown(value), "枚举值校验失败，取值不在允许的范围内", f"not one of {known}")
        return
    low, high = _RANGES.get(schema.get("format", ""), _RANGES["int64"])
    low, high = schema.get("minimum", low), schema.get("maximum", high)
    if value < low:
        yield _Flaw(pointer, _shown(value), f"数字规则校验失败，值低于最小值 {low}", f"less than {low}")
    elif value > high:
        yield _Flaw(pointer, _shown(value), f"数字规则校验失败，值高于最大值 {high}", f"more than {high}")
    elif schema.get("format") in _WHOLE and value != int(value):
        yield _Flaw(pointer, _shown(value), "数字规则校验失败，不是整数", "not a whole number")


def _missing(pointer: str) -> _Flaw:
    return _Flaw(pointer, "", "必填性规则校验失败，此字段为必填项", "required, but not there")


def _unknown(pointer: str, value: object) -> _Flaw:
    return _Flaw(pointer, _shown(value), "请求中含有未在API文档中定义的参数", "not a field of this call")


# fmt: off
_KINDS: Final[dict[str, Callable[[object], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: type(value) is int or (type(value) is float and math.isfinite(value)),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
}
_ARTICLES: Final = {
    "string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false",
    "array": "an array", "object": "an object",
}
_RANGES: Final[dict[str, tuple[int, int]]] = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_WHOLE: Final = frozenset({"integer", "int32", "uint64"})
# fmt: on


def _matcher(expression: str) -> Callable[[str], bool]:
    compiled = re.compile(expression)
    return lambda value: compiled.fullmatch(value) is not None


_RFC3339: Final = _matcher(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DATE: Final = _matcher("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "rfc3339": lambda value: _RFC3339(value) and _is_time(value),
    "date": lambda value: _DATE(value) and _is_time(value),
    "base64": lambda value: len(value) % 4 == 0 and _matcher("[A-Za-z0-9+/]*={0,2}")(value),
    "numeric": _matcher("[0-9]+"),
    "url": _matcher(r"https?://[^\s]+"),
    "yyyyMMddHHmmss": _matcher("[0-9]{14}"),
}
"""Format -> whether a text has it; formats that are not here are not looked at."""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(f"(?:{pattern})")


def _encodable(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(name: object) -> str:
    return str(_shown(str(name))).replace("~", "~0").replace("/", "~1")


def _shown(value: object) -> Any:
    """A value as an error may show it: short, and always fit for JSON in UTF-8; containers are left out."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value if abs(value) < 2**63 else ""
    if isinstance(value, str):
        return value[:64].encode("utf-8", "replace").decode()
    return ""
