"""Why a signature does not verify: the usual mistakes, tried in turn.

A verifier can only say no. This says what was expected to be signed, with which key, and, where one of the
usual mistakes explains the signature, which one and at which byte the strings part. For the person who runs
the sandbox, and for whoever debugs a client against it.

Assumed: the mistakes are those that the operators' troubleshooting pages and the clients' issue lists name.
"""

from __future__ import annotations

import binascii
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from paysim.core.errors import AuthenticityError, UsageError

from .canonical import LineRule, SortedRule
from .signature import SCHEMES, Verifier

__all__ = ["MAX_TRIES", "Mismatch", "explain"]

Values: TypeAlias = tuple[str | bytes, ...] | Mapping[str, str]
"""What a rule makes its string of: a LineRule's values, a SortedRule's parameters."""

MAX_TRIES: Final = 600
"""Verifications that one explanation may cost: 15 ms with RSA."""

_LONG_BYTES: Final = 65_536
"""A string of more gets a tenth of the tries, and its JSON is not serialised again."""

_MAX_SHOWN: Final = 2_000
_NEAR: Final = 24


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What was expected, and what was probably signed instead.

    `mistake` and `signed` are "" and None where no usual mistake fits; `first_difference` counts bytes of
    `expected` from 0, and is None where the strings are the same or what was signed is not known.
    """

    rule: str
    scheme: str
    key_id: str
    expected: bytes
    mistake: str = ""
    signed: bytes | None = None
    first_difference: int | None = None

    def __str__(self) -> str:
        lines = [
            f"wrong signature ({self.rule}, {self.scheme}, key {self.key_id})",
            f"expected to be signed, {len(self.expected)} bytes:",
            *(f"  | {line}" for line in _shown(self.expected)),
        ]
        at = self.first_difference
        if at is not None and self.signed is not None:
            lines.append(f"first difference at byte {at}: expected {_near(self.expected, at)}")
            lines.append(
                f"{'signed ':>{len(lines[-1]) - len(_near(self.expected, at))}}{_near(self.signed, at)}"
            )
        lines.append(f"probable cause: {self.mistake or 'none of the usual mistakes'}")
        return "\n".join(lines)


def explain(
    verifier: Verifier,
    rule: LineRule | SortedRule,
    values: Values,
    signature: bytes,
    *,
    serials: Mapping[str, Verifier] | None = None,
    others: Mapping[str, Verifier] | None = None,
    claimed: bytes | None = None,
) -> Mismatch:
    """What is wrong with a signature over `rule.string(...)` of `values`.

    `serials` are further keys of the same signer (serial -> verifier): a fit means that the wrong serial was
    named. `others` are keys of other parties (a name -> verifier). `claimed` is the string that the client
    says it signed, where it can be asked. Raises UsageError where the signature is right, or the values do
    not suit the rule.
    """
    expected = rule.string(*values) if isinstance(rule, LineRule) else rule.string(_mapping(values))
    if _fits(verifier, expected, signature):
        raise UsageError("this signature is right: there is nothing to explain")
    facts = (rule.name, verifier.scheme, verifier.key_id, expected)
    most = MAX_TRIES if len(expected) <= _LONG_BYTES else MAX_TRIES // 10
    suspects = _suspects(verifier, rule, values, expected, signature, serials, others, most)
    for mistake, message, judge, given in itertools.islice(suspects, most):
        if _fits(judge, message, given):
            return Mismatch(*facts, mistake, message, _first_difference(expected, message))
    if claimed is not None:
        where = _first_difference(expected, claimed)
        return Mismatch(*facts, "", claimed, where)
    return Mismatch(*facts)


Suspect: TypeAlias = tuple[str, bytes, Verifier, bytes]
"""A mistake, the string, the verifier and the signature that would fit if it was made."""


def _suspects(
    verifier: Verifier,
    rule: LineRule | SortedRule,
    values: Values,
    expected: bytes,
    signature: bytes,
    serials: Mapping[str, Verifier] | None,
    others: Mapping[str, Verifier] | None,
    most: int,
) -> Iterator[Suspect]:
    """One mistake at a time, then two; of strings that may have been signed, the first `most`."""
    tried = itertools.islice(_strings(rule, values, expected), most)
    strings = [(text, message) for text, message in tried if message != expected]
    judges = list(_judges(verifier, serials or {}, others or {}))
    for text, given in _signatures(signature):
        yield text, expected, verifier, given
    for text, message in strings:
        yield text, message, verifier, signature
    for text, judge in judges:
        yield text, expected, judge, signature
    for text, message in strings:
        for more, judge in judges:
            yield f"{text}; and {more}", message, judge, signature


def _judges(
    verifier: Verifier, serials: Mapping[str, Verifier], others: Mapping[str, Verifier]
) -> Iterator[tuple[str, Verifier]]:
    """Other keys, other hashes of the same key."""
    for serial, judge in serials.items():
        yield f"the wrong serial is named: the key of {serial} signed", judge
    for name, judge in others.items():
        yield f"another key signed: {name}", judge
    for scheme, row in SCHEMES.items():
        if row.key == SCHEMES[verifier.scheme].key and scheme != verifier.scheme:
            yield f"another scheme: signed by {scheme}", Verifier(scheme, verifier.key)


def _signatures(signature: bytes) -> Iterator[tuple[str, bytes]]:
    """The signature itself, sent in another dress."""
    if signature.isalnum():
        yield "the signature's hex digits are in the other case", signature.swapcase()
    for text, undress in (("base64 twice", binascii.a2b_base64), ("hex within base64", binascii.unhexlify)):
        try:
            yield f"the signature was written as {text}", undress(signature)
        except ValueError:
            continue


def _strings(rule: LineRule | SortedRule, values: Values, expected: bytes) -> Iterator[tuple[str, bytes]]:
    if isinstance(rule, SortedRule):
        for text, make in _SORTED_MISTAKES:
            yield from ((text, message) for message in make(rule, dict(_mapping(values))))
        return
    texts = [value if isinstance(value, bytes) else value.encode() for value in values]
    for text, field, change in _FIELD_MISTAKES:
        if field in rule.fields:
            at = rule.fields.index(field)
            for changed in change(texts[at]):
                yield text, _lines([*texts[:at], changed, *texts[at + 1 :]])
    yield "the last line feed is missing", expected[:-1]
    yield "the lines end with CR LF", b"\r\n".join([*texts, b""])
    yield "the lines are not joined by line feeds", b"".join(texts)
    for first in range(len(texts)):
        for second in range(first + 1, len(texts)):
            order = list(texts)
            order[first], order[second] = order[second], order[first]
            yield f"wrong order: {rule.fields[first]} and {rule.fields[second]} are swapped", _lines(order)


def _lines(texts: list[bytes]) -> bytes:
    return b"\n".join([*texts, b""])


# The usual mistakes: what it is called, the field, what the client may have put there. ------------------


def _decoded(path: bytes) -> Iterator[bytes]:
    yield unquote(path.decode("utf-8", "replace")).encode()
    yield unquote_plus(path.decode("utf-8", "replace")).encode()


def _encoded(path: bytes) -> Iterator[bytes]:
    yield quote(path, safe="/?&=").encode()
    yield quote(path, safe="/?&=%").encode()


def _serialised(body: bytes) -> Iterator[bytes]:
    """The same JSON as other serialisers write it."""
    if len(body) > _LONG_BYTES:
        return
    try:
        value = json.loads(body)
        texts = list(_written(value))
    except (ValueError, RecursionError):  # writing goes less deep than reading in some Pythons
        return
    for text in texts:
        yield text.encode("utf-8", "replace")


def _written(value: Any) -> Iterator[str]:
    for separators in ((",", ":"), (", ", ": ")):
        for ascii_alone in (False, True):
            for in_order in (False, True):
                text = json.dumps(value, separators=separators, ensure_ascii=ascii_alone, sort_keys=in_order)
                yield text
                yield text.replace("/", "\\/")
    for indent in (2, 4):
        yield json.dumps(value, indent=indent, ensure_ascii=False)


def _with_host(path: bytes) -> Iterator[bytes]:
    for host in (
        b"https://api.mch.weixin.qq.com",
        b"https://api2.mch.weixin.qq.com",
        b"https://openapi.alipay.com",
    ):
        yield host + path


def _stripped(body: bytes) -> Iterator[bytes]:
    yield body.strip()
    yield body + b"\n"


def _other_unit(timestamp: bytes) -> Iterator[bytes]:
    yield timestamp + b"000"
    yield timestamp[:-3]


def _only(change: Callable[[bytes], bytes]) -> Callable[[bytes], Iterator[bytes]]:
    def changes(value: bytes) -> Iterator[bytes]:
        yield change(value)

    return changes


_FIELD_MISTAKES: Final[tuple[tuple[str, str, Callable[[bytes], Iterator[bytes]]], ...]] = (
    ("the path was decoded before it was signed", "path", _decoded),
    ("the path was encoded once more before it was signed", "path", _encoded),
    ("the query is missing from the path", "path", _only(lambda path: path.partition(b"?")[0])),
    ("the host was signed with the path", "path", _with_host),
    ("the body was serialised again", "body", _serialised),
    ("the body was left out", "body", _only(lambda _: b"")),
    ("the body's white space at the end differs", "body", _stripped),
    ("the method is in lower case", "method", _only(bytes.lower)),
    ("the timestamp is in another unit (seconds, milliseconds)", "timestamp", _other_unit),
    ("the nonce is in the other case", "nonce", _only(bytes.swapcase)),
    ("prepay_id= is missing before the prepay id", "package", _only(lambda v: v.removeprefix(b"prepay_id="))),
    ("prepay_id= stands before the prepay id", "prepay_id", _only(lambda v: b"prepay_id=" + v)),
)


def _drops(*dropped: str) -> Callable[[SortedRule, dict[str, str]], Iterator[bytes]]:
    def strings(rule: SortedRule, given: dict[str, str]) -> Iterator[bytes]:
        for keeps_empty in (rule.keeps_empty, not rule.keeps_empty):
            yield SortedRule(rule.name, frozenset(dropped), keeps_empty).string(given)

    return strings


def _unsorted(rule: SortedRule, given: dict[str, str]) -> Iterator[bytes]:
    pairs = [(k, v) for k, v in given.items() if k not in rule.dropped and (v or rule.keeps_empty)]
    for order in (pairs, sorted(pairs, key=lambda pair: pair[0].lower()), sorted(pairs, reverse=True)):
        yield "&".join(f"{k}={v}" for k, v in order).encode()


def _values(change: Callable[[str], str]) -> Callable[[SortedRule, dict[str, str]], Iterator[bytes]]:
    def strings(rule: SortedRule, given: dict[str, str]) -> Iterator[bytes]:
        yield rule.string({name: change(value) for name, value in given.items()})

    return strings


def _json_values(rule: SortedRule, given: dict[str, str]) -> Iterator[bytes]:
    for name, value in given.items():
        if value.startswith(("{", "[")):
            for again in _serialised(value.encode()):
                yield rule.string({**given, name: again.decode()})


def _charsets(rule: SortedRule, given: dict[str, str]) -> Iterator[bytes]:
    for charset in ("gbk", "gb18030", "utf-16-le"):
        try:
            yield rule.string(given, charset)
        except UsageError:
            continue


def _in_quotes(rule: SortedRule, given: dict[str, str]) -> Iterator[bytes]:
    yield rule.string({name: f'"{value}"' if value else "" for name, value in given.items()})


_SORTED_MISTAKES: Final[tuple[tuple[str, Callable[[SortedRule, dict[str, str]], Iterator[bytes]]], ...]] = (
    ("wrong order: the parameters are not sorted by name", _unsorted),
    (
        "empty parameters: signed where they are left out, or the reverse",
        lambda rule, given: iter([SortedRule(rule.name, rule.dropped, not rule.keeps_empty).string(given)]),
    ),
    ("sign_type was signed, or left out, against the rule", _drops("sign")),
    ("sign_type was signed, or left out, against the rule", _drops("sign", "sign_type")),
    ("the signature parameter itself was signed", _drops()),
    ("the values were URL-encoded before they were signed", _values(quote_plus)),
    ("the values were URL-encoded before they were signed", _values(lambda value: quote(value, safe=""))),
    ("the values were URL-decoded once too often", _values(unquote_plus)),
    ("the values were put in quotes", _in_quotes),
    ("another charset", _charsets),
    ("a JSON value was serialised again", _json_values),  # last, for there may be many
)


# Small things. ------------------------------------------------------------------------------------------


def _fits(verifier: Verifier, message: bytes, signature: bytes) -> bool:
    try:
        verifier.verify(message, signature)
    except AuthenticityError:
        return False
    return True


def _mapping(values: Any) -> Mapping[str, str]:
    if not isinstance(values, Mapping):
        raise UsageError(f"this rule takes a mapping of parameters, not {type(values).__name__}")
    return values


def _first_difference(expected: bytes, signed: bytes) -> int | None:
    """The first byte that differs; where one string ends before, its length."""
    if expected == signed:
        return None
    for at, (one, other) in enumerate(zip(expected, signed, strict=False)):
        if one != other:
            return at
    return min(len(expected), len(signed))


def _shown(message: bytes) -> list[str]:
    """Lines for people: each line feed shown, the rest of a long string counted."""
    text = message[:_MAX_SHOWN].decode("utf-8", "replace")
    lines = [f"{line}\\n" for line in text.split("\n")]
    lines[-1] = lines[-1].removesuffix("\\n")
    if len(message) > _MAX_SHOWN:
        lines[-1] += f" ... and {len(message) - _MAX_SHOWN} bytes more"
    return [line for line in lines if line] or ["(nothing)"]


def _near(message: bytes, at: int) -> str:
    piece = message[at : at + _NEAR].decode("utf-8", "backslashreplace")
    return json.dumps(piece, ensure_ascii=False) if piece else "(the end)"
