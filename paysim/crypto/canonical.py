"""The strings that are signed: each operator's rule is a row.

Two shapes cover them all: parameters sorted by name and joined as `k=v&k=v` (SortedRule), and lines that each
end with a line feed (LineRule). A third is a piece of somebody's JSON, taken as it stands (`json_member`).

Source: WeChat Pay merchant/4012365336, 4013053420, 4012365339 and 4012365340 (APIv3), chapter 4_3 (v2);
Alipay open platform, "signing", "asynchronous notification" and OpenAPI v3; UnionPay gateway (ACP) 5.1.0
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from paysim.core.errors import DecodeError, UsageError

__all__ = [
    "ALIPAY_NOTIFY",
    "ALIPAY_NOTIFY_WITH_TYPE",
    "ALIPAY_REQUEST",
    "ALIPAY_V3_REQUEST",
    "ALIPAY_V3_REQUEST_WITH_TOKEN",
    "ALIPAY_V3_RESPONSE",
    "RULES",
    "UNIONPAY",
    "WECHAT_APP",
    "WECHAT_JSAPI",
    "WECHAT_REQUEST",
    "WECHAT_RESPONSE",
    "WECHAT_V2",
    "LineRule",
    "SortedRule",
    "json_member",
]


@dataclass(frozen=True, slots=True)
class SortedRule:
    """Parameters sorted by name (code points), `k=v` joined by `&`, without those named in `dropped`.

    `keeps_empty` says whether a parameter without a value is signed.
    """

    name: str
    dropped: frozenset[str]
    keeps_empty: bool

    def string(self, parameters: Mapping[str, str], charset: str = "utf-8") -> bytes:
        """The bytes that are signed.

        Raises UsageError for a value that is no text, a charset that does not exist, or a character that it
        lacks.

        >>> WECHAT_V2.string({"b": "2", "a": "1", "c": "", "sign": "x"})
        b'a=1&b=2'
        """
        dropped = self.dropped
        if charset != "utf-8":
            _check_charset(self.name, charset)
        try:
            if self.keeps_empty:
                pairs = [name + "=" + parameters[name] for name in sorted(parameters) if name not in dropped]
            else:
                pairs = [
                    name + "=" + value
                    for name in sorted(parameters)
                    if name not in dropped and (value := parameters[name]) != ""
                ]
            text = "&".join(pairs)
            return text.encode() if charset == "utf-8" else text.encode(charset)
        except (TypeError, AttributeError):
            raise UsageError(f"{self.name}: names and values are text{_odd_value(parameters)}") from None
        except UnicodeEncodeError as error:
            odd = f"U+{ord(error.object[error.start]):04X}"
            raise UsageError(f"{self.name}: the character {odd} does not exist in {charset}") from None
        except LookupError:
            raise UsageError(f"{self.name}: {charset!r} is no charset for text") from None


@dataclass(frozen=True, slots=True)
class LineRule:
    """Lines in the order of `fields`, each ended by a line feed, the last as well.

    `free` names the one field that may hold line feeds of its own: the body.
    """

    name: str
    fields: tuple[str, ...]
    free: str = ""

    def string(self, *values: str | bytes) -> bytes:
        """The bytes that are signed, of as many values as there are fields; the body as it was sent.

        Raises UsageError for too few or too many values, one that is no text, or a line feed where none
        may be.

        >>> WECHAT_RESPONSE.string("1722850421", "d824f2e0", b'{"code_url":"weixin://"}')
        b'1722850421\\nd824f2e0\\n{"code_url":"weixin://"}\\n'
        """
        fields = self.fields
        if len(values) != len(fields):
            raise UsageError(f"{self.name}: wanted are {', '.join(fields)}; {len(values)} values are given")
        try:
            lines = [value.encode() if isinstance(value, str) else value for value in values]
            message = b"\n".join(lines) + b"\n"
        except (TypeError, UnicodeEncodeError):
            odd = next(name for name, value in zip(fields, values, strict=True) if not _is_encodable(value))
            raise UsageError(f"{self.name}: {odd} is text (UTF-8) or bytes") from None
        if message.count(b"\n") != len(fields):
            for field, line in zip(fields, lines, strict=True):
                if b"\n" in line and field != self.free:
                    raise UsageError(f"{self.name}: {field} holds a line feed")
        return message


_BODY: Final = "body"

# fmt: off
ALIPAY_REQUEST: Final = SortedRule("alipay-request", frozenset({"sign"}), keeps_empty=False)
ALIPAY_NOTIFY: Final = SortedRule("alipay-notify", frozenset({"sign", "sign_type"}), keeps_empty=True)
ALIPAY_NOTIFY_WITH_TYPE: Final = SortedRule("alipay-notify-with-type", frozenset({"sign"}), keeps_empty=True)
WECHAT_V2: Final = SortedRule("wechat-v2", frozenset({"sign"}), keeps_empty=False)
UNIONPAY: Final = SortedRule("unionpay", frozenset({"signature"}), keeps_empty=False)

WECHAT_REQUEST: Final = LineRule("wechat-request", ("method", "path", "timestamp", "nonce", _BODY), _BODY)
WECHAT_RESPONSE: Final = LineRule("wechat-response", ("timestamp", "nonce", _BODY), _BODY)
WECHAT_JSAPI: Final = LineRule("wechat-jsapi", ("app_id", "timestamp", "nonce", "package"))
WECHAT_APP: Final = LineRule("wechat-app", ("app_id", "timestamp", "nonce", "prepay_id"))
ALIPAY_V3_REQUEST: Final = LineRule("alipay-v3-request", ("auth_string", "method", "path", _BODY), _BODY)
ALIPAY_V3_REQUEST_WITH_TOKEN: Final = LineRule(
    "alipay-v3-request-with-token", ("auth_string", "method", "path", _BODY, "app_auth_token"), _BODY
)
ALIPAY_V3_RESPONSE: Final = LineRule("alipay-v3-response", ("timestamp", "nonce", _BODY), _BODY)
# fmt: on

RULES: Final[dict[str, SortedRule | LineRule]] = {
    rule.name: rule
    for rule in (
        *(ALIPAY_REQUEST, ALIPAY_NOTIFY, ALIPAY_NOTIFY_WITH_TYPE, WECHAT_V2, UNIONPAY),
        *(WECHAT_REQUEST, WECHAT_RESPONSE, WECHAT_JSAPI, WECHAT_APP),
        *(ALIPAY_V3_REQUEST, ALIPAY_V3_REQUEST_WITH_TOKEN, ALIPAY_V3_RESPONSE),
    )
}
"""Name -> rule. A WeChat callback follows wechat-response; the body of a GET or a 204 is empty, and its line
feed stays. A multipart upload signs its `meta` part as the body."""

_NO_CHARSETS: Final = frozenset({"idna", "punycode", "undefined"})
"""Python's encodings that are for host names or for nothing, and take time that grows with the square."""

_DECODER: Final = json.JSONDecoder()
_SPACE: Final = " \t\r\n"
_MAX_MEMBERS: Final = 1_000


def json_member(text: str, name: str) -> str:
    """The raw text of one member of a JSON object, as it stands: escapes, spaces and quotes kept.

    Alipay signs a response so. Raises DecodeError (offset in characters) for what is no JSON object, where
    the member is missing, and where it stands twice: the one verified and the one read might differ.

    >>> json_member('{"a_response":{"url":"https:\\\\/\\\\/x"},"sign":"s"}', "a_response")
    '{"url":"https:\\\\/\\\\/x"}'

    Source: Alipay open platform, "verifying a synchronous response"
    """
    if not isinstance(text, str):
        raise UsageError(f"JSON is read from text, not from {type(text).__name__}")
    at = _after_space(text, 0)
    found: list[str] = []
    try:
        if text[at] != "{":
            raise DecodeError("a JSON object is wanted", offset=at)
        at += 1
        for _ in range(_MAX_MEMBERS):
            at = _after_space(text, at)
            key, at = _DECODER.raw_decode(text, at)
            at = _after_space(text, at)
            if not isinstance(key, str) or text[at] != ":":
                raise DecodeError("a name and a colon are wanted", offset=at)
            start = _after_space(text, at + 1)
            _, at = _DECODER.raw_decode(text, start)
            if key == name:
                found.append(text[start:at])
            at = _after_space(text, at)
            if text[at] != ",":
                break
            at += 1
        if text[at] != "}" or _after_space(text, at + 1) != len(text):
            raise DecodeError("a JSON object ends with } and nothing behind it", offset=at, path=name)
    except IndexError:
        raise DecodeError("this JSON is cut", offset=len(text), path=name) from None
    except (ValueError, RecursionError) as error:
        where = error.pos if isinstance(error, json.JSONDecodeError) else at
        raise DecodeError("this is no JSON", offset=where, path=name) from None
    if len(found) == 1:
        return found[0]
    wrong = "stands twice" if found else "is not there"
    raise DecodeError(f"the member {name} {wrong}", offset=at, path=name)


def _check_charset(rule: str, charset: str) -> None:
    try:
        if codecs.lookup(charset).name not in _NO_CHARSETS:
            return
    except (LookupError, ValueError):
        pass
    raise UsageError(f"{rule}: there is no charset {charset[:40]!r}")


def _after_space(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _SPACE:
        at += 1
    return at


def _is_encodable(value: object) -> bool:
    if isinstance(value, bytes):
        return True
    return isinstance(value, str) and not any("\ud800" <= one <= "\udfff" for one in value)


def _odd_value(parameters: object) -> str:
    if not isinstance(parameters, Mapping):
        return f"; a mapping of them is wanted, not {type(parameters).__name__}"
    for name, value in parameters.items():
        if not isinstance(name, str) or not isinstance(value, str):
            return f"; {name!r} is {type(value).__name__}"
    return ""
