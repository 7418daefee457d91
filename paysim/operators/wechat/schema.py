"""Values against schemas: what is wrong with decoded JSON, or with texts of a query, rule by rule.

The words are the real service's, as far as users have published its messages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

__all__ = ["Flaw", "Schema", "Strictness", "flaws", "text_flaws"]

Schema = Mapping[str, Any]
"""A JSON schema in the few words that shapes.json uses, and minBytes and maxBytes for UTF-8."""


class Flaw(NamedTuple):
    """What is wrong with one value: where, the rule it breaks, what to show of it, and the rule's limit.

    `pointer` is a JSON pointer, or a name in the query or the path.
    """

    pointer: str
    rule: str
    value: Any = ""
    limit: Any = ""

    @property
    def issue(self) -> str:
        """What is wrong, in Chinese, as the end of `sentence`."""
        return _RULES[self.rule].issue.format(self.limit, given=self.value)

    @property
    def english(self) -> str:
        """What is wrong, in English."""
        return _RULES[self.rule].english.format(self.limit)

    def sentence(self, source: str, name: str) -> str:
        """The whole message in Chinese; `source` is where the value came from, `name` what it is called."""
        return _RULES[self.rule].opening.format(source=source, name=name) + self.issue


class Strictness(NamedTuple):
    """Whether what is required must be there, and what is unknown must not."""

    required: bool = True
    closed: bool = False


_LOOSE: Final = Strictness(required=False)


def text_flaws(
    schemas: Mapping[str, Schema], values: Mapping[str, str], strict: Strictness
) -> Iterator[Flaw]:
    """What is wrong with the texts of a query or a path, each with its schema and "required"."""
    for name, schema in schemas.items():
        text = values.get(name)
        required = strict.required and schema.get("required")
        if text:
            yield from _value_flaws(schema, _meant(schema["type"], text), name)
        elif required:
            yield Flaw(name, "missing") if text is None else Flaw(name, "minLength", 0, 1)
    if strict.closed:
        yield from (Flaw(_escaped(name), "unknown") for name in values if name not in schemas)


def _meant(kind: str, text: str) -> object:
    """What a text of a query means; the text itself where it means nothing of this kind."""
    if kind == "integer" and re.fullmatch("-?[0-9]{1,20}", text):
        return int(text)
    if kind == "number" and re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", text):
        return float(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text.split(",") if kind == "array" else text


def flaws(schema: Schema, value: object, pointer: str = "", strict: Strictness = _LOOSE) -> Iterator[Flaw]:
    """What is wrong with decoded JSON, in the order of the schema; any value may be given.

    How deep it looks is bounded by the schema, not by the value.
    """
    kind = schema.get("type")
    if kind == "object" and isinstance(value, Mapping):
        yield from _object_flaws(schema, value, pointer, strict)
    elif kind == "array" and isinstance(value, list):
        yield from _array_flaws(schema, value, pointer, strict)
    elif kind is not None:
        yield from _value_flaws(schema, value, pointer)


def _object_flaws(
    schema: Schema, value: Mapping[Any, Any], pointer: str, strict: Strictness
) -> Iterator[Flaw]:
    properties = schema.get("properties")
    if properties is None:
        return
    required = schema.get("required", ()) if strict.required else ()
    for name, inner in properties.items():
        if name in value:
            if value[name] == "" and name in required:
                yield Flaw(f"{pointer}/{name}", "minLength", 0, 1)
            else:
                yield from flaws(inner, value[name], f"{pointer}/{name}", strict)
        elif name in required:
            yield Flaw(f"{pointer}/{name}", "missing")
    if strict.closed:
        yield from (
            Flaw(f"{pointer}/{_escaped(name)}", "unknown") for name in value if name not in properties
        )


def _array_flaws(schema: Schema, value: list[Any], pointer: str, strict: Strictness) -> Iterator[Flaw]:
    if len(value) > schema.get("maxItems", math.inf):
        yield Flaw(pointer, "many", len(value), schema["maxItems"])
    inner = schema.get("items")
    if inner is not None:
        for index, item in enumerate(value):
            yield from flaws(inner, item, f"{pointer}/{index}", strict)


def _value_flaws(schema: Schema, value: object, pointer: str) -> Iterator[Flaw]:
    kind = schema["type"]
    if not _IS[kind](value):
        yield Flaw(pointer, kind, _shown(value))
    elif kind in _RULE_OF:
        broken = _RULE_OF[kind](schema, value)
        if broken is not None:
            yield Flaw(pointer, *broken)


def _string_rule(schema: Schema, value: str) -> _Broken | None:
    """The first rule that a text breaks; lengths before content, as the real service does."""
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        return "text", _shown(value), ""
    if size < schema.get("minBytes", 0):
        return "minBytes", size, schema["minBytes"]
    if size > schema.get("maxBytes", math.inf):
        return "maxBytes", size, schema["maxBytes"]
    if len(value) < schema.get("minLength", 0):
        return "minLength", len(value), schema["minLength"]
    if len(value) > schema.get("maxLength", math.inf):
        return "maxLength", len(value), schema["maxLength"]
    if value not in schema.get("enum", (value,)):
        return "enum", _shown(value), ", ".join(map(str, schema["enum"]))
    if "pattern" in schema and not _compiled(schema["pattern"]).fullmatch(value):
        return "pattern", _shown(value), schema["pattern"]
    if "format" in schema and not _has_form(value, schema["format"]):
        return "format", _shown(value), schema["format"]
    return None


def _number_rule(schema: Schema, value: int | float) -> _Broken | None:
    """The first rule that a number breaks."""
    low, high = _RANGES.get(schema.get("format", "")) or _RANGES[schema["type"]]
    low, high = schema.get("minimum", low), schema.get("maximum", high)
    if value not in schema.get("enum", (value,)):
        return "enum", _shown(value), ", ".join(map(str, schema["enum"]))
    if value < low:
        return "minimum", _shown(value), low
    if value > high:
        return "maximum", _shown(value), high
    if schema.get("format") in _RANGES and value != int(value):
        return "whole", _shown(value), ""
    return None


# --- tables -----------------------------------------------------------------------------------------------

_Broken = tuple[str, Any, Any]
"""A rule's name in _RULES, the value to show, the rule's limit."""

_RULE_OF: Final[dict[str, Callable[[Schema, Any], _Broken | None]]] = {
    "string": _string_rule,
    "integer": _number_rule,
    "number": _number_rule,
}
_IS: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: type(value) is int or (type(value) is float and math.isfinite(value)),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
}
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "integer": (-(2**63), 2**63 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint64": (0, 2**64 - 1),
    "number": (-math.inf, math.inf),
}
"""Type or format -> the least and the greatest number."""


class _Words(NamedTuple):
    """How a broken rule is said: the opening of the sentence, its rest, and all of it in English."""

    opening: str
    issue: str
    english: str


_FIELD: Final = "输入源“{source}”映射到字段“{name}”"
_VALUE: Final = "输入源“{source}”映射到值字段“{name}”"
_AMOUNT: Final = "输入源“{source}”映射到数值字段“{name}”"
_TEXT: Final = "字符串规则校验失败，"
_TARGET: Final = "无法将 JSON 输入源“{source}”映射到目标字段“{name}”中，"

# fmt: off
_RULES: Final[dict[str, _Words]] = {
    "missing": _Words(_FIELD, "必填性规则校验失败，此字段为必填项", "required, but not there"),
    "unknown": _Words("", "请求中含有未在API文档中定义的参数", "not a field of this call"),
    "string": _Words(_TARGET, "此字段需要一个 string 类型的 Json 值", "not a string"),
    "integer": _Words(_TARGET, "此字段需要一个合法的 64 位有符号整数", "not an integer"),
    "number": _Words(_TARGET, "此字段需要一个合法的数值", "not a number"),
    "boolean": _Words(_TARGET, "此字段需要一个 bool 类型的 Json 值", "not true or false"),
    "array": _Words(_TARGET, "此字段需要一个 array 类型的 Json 值", "not an array"),
    "object": _Words(_TARGET, "此字段需要一个 object 类型的 Json 值", "not an object"),
    "minBytes": _Words(_VALUE, _TEXT + "字节数 {given}，小于最小值 {0}", "shorter than {0} bytes"),
    "maxBytes": _Words(_VALUE, _TEXT + "字节数 {given}，大于最大值 {0}", "longer than {0} bytes"),
    "minLength": _Words(_VALUE, _TEXT + "字符数 {given}，小于最小值 {0}", "shorter than {0} characters"),
    "maxLength": _Words(_VALUE, _TEXT + "字符数 {given}，大于最大值 {0}", "longer than {0} characters"),
    "text": _Words(_VALUE, _TEXT + "存在非UTF8字符", "not a text that UTF-8 can carry"),
    "enum": _Words(_VALUE, "枚举规则校验失败，取值不在 {0} 之中", "not one of {0}"),
    "pattern": _Words(_VALUE, _TEXT + "字符串必须匹配正则表达式“^{0}$”", "does not match ^{0}$"),
    "format": _Words(_VALUE, _TEXT + "不符合 {0} 格式", "not in the form {0}"),
    "minimum": _Words(_AMOUNT, "规则校验失败，值低于最小值 {0}", "less than {0}"),
    "maximum": _Words(_AMOUNT, "规则校验失败，值高于最大值 {0}", "more than {0}"),
    "whole": _Words(_AMOUNT, "规则校验失败，值不是整数", "not a whole number"),
    "many": _Words(_VALUE, "数组规则校验失败，元素个数 {given}，大于最大值 {0}", "more than {0} items"),
}
"""Rule -> words; {0} is its limit, {given} the length found.

Source: messages of the real service that users have published, for missing, unknown, string, integer, both
lengths, pattern and minimum
Assumed: the rest, in the same manner, and all English.
"""
# fmt: on


def _matcher(expression: str) -> Callable[[str], bool]:
    compiled = re.compile(expression)
    return lambda value: compiled.fullmatch(value) is not None


_DAY_FORM: Final = _matcher("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME_FORM: Final = _matcher(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_BASE64: Final = _matcher("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "rfc3339": lambda value: _TIME_FORM(value) and _is_time(value),
    "date": lambda value: _DAY_FORM(value) and _is_time(value),
    "base64": _BASE64,
    "numeric": _matcher("[0-9]+"),
    "url": _matcher(r"https?://\S+"),
    "yyyyMMddHHmmss": _matcher("[0-9]{14}"),
}
"""Format -> whether a text has it; formats that are not here are not looked at."""


def _has_form(value: str, form: str) -> bool:
    check = _FORMATS.get(form)
    return check is None or check(value)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(f"(?:{pattern})", re.ASCII)


def _escaped(name: object) -> str:
    """A name as a JSON pointer carries it."""
    return str(_shown(name)).replace("~", "~0").replace("/", "~1")


def _shown(value: object) -> Any:
    """A value as an error may show it: short, and always fit for JSON in UTF-8; containers are left out."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value if abs(value) < 2**63 else ""
    return value[:64].encode("utf-8", "replace").decode() if isinstance(value, str) else ""
