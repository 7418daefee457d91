"""What a client did wrong when it signed: in plain words, with the string that was expected.

`crypto.mismatch` tries what clients of every operator get wrong. Here stands what is WeChat Pay's own: the
lines in another order, this host before the path, another method, the whole upload in place of its `meta`
part, a second timestamp. An RSA signature gives away the digest that was signed to whoever has the public
key: so each further guess costs one SHA-256, and where no guess fits it is still certain whose key signed.

Source: WeChat Pay merchant/4012365344 to 4012365347 and 4012072670 (questions about signing)
Assumed: the mistakes beyond those pages, from the issue lists of the clients
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from paysim.crypto import mismatch
from paysim.crypto.canonical import WECHAT_REQUEST
from paysim.crypto.mismatch import Mismatch
from paysim.crypto.signature import Verifier

__all__ = ["Lines", "explained"]

_LONG_BYTES: Final = 65_536
"""A string of more is tried in fewer ways: each costs a digest of it."""

_SECONDS_BESIDE: Final = 10
"""How far a second timestamp may lie from the first. Assumed."""

_SMALL_BYTES: Final = 4_096
"""Up to here a thousand digests cost less than an answer's signature."""


class Lines(NamedTuple):
    """The five lines of a request as bytes, and what may have been signed in place of one.

    `host` is the request's `Host`, `whole_body` a multipart body where `body` is its `meta` part.
    """

    method: bytes
    path: bytes
    timestamp: bytes
    nonce: bytes
    body: bytes
    host: bytes = b""
    whole_body: bytes = b""

    @property
    def five(self) -> tuple[bytes, ...]:
        """What is signed."""
        return self[:5]


def explained(
    lines: Lines,
    signature: bytes,
    verifier: Verifier,
    *,
    name: str,
    serials: Mapping[str, Verifier],
    others: Mapping[str, Verifier],
) -> Mismatch:
    """What is wrong with a signature over `lines`; `name` is what to call the key that was expected.

    `serials` are the merchant's further keys by serial, `others` everybody else's by name. The string that
    was expected is always there. Raises UsageError where the signature is right.
    """
    usual = mismatch.explain(verifier, WECHAT_REQUEST, lines.five, signature, serials=serials, others=others)
    if usual.mistake:
        return usual
    signers = {"": verifier}
    signers.update(
        {f"the wrong serial is named: the key of {one} signed": key for one, key in serials.items()}
    )
    signers.update({f"another key signed: {one}": key for one, key in others.items()})
    for whose, known in signers.items():
        digest = _digest(known, signature)
        if digest is not None:
            return _by_digest(usual, lines, digest, whose, name)
    return _mistaken(usual, _nobodys(signature, verifier, name))


def _by_digest(usual: Mismatch, lines: Lines, digest: bytes, whose: str, name: str) -> Mismatch:
    """One of the known keys signed a string of this digest: which string?"""
    for mistake, message in _strings(lines):
        if hashlib.sha256(message).digest() == digest:
            text = f"{mistake}; and {whose}" if whose else mistake
            return _mistaken(usual, text, message)
    who = whose or f"the right key ({name}) signed"
    return _mistaken(
        usual,
        f"{who}, but another string: its SHA-256 is {digest.hex()}; compare what"
        " your client signs, byte by byte",
    )


def _mistaken(usual: Mismatch, mistake: str, signed: bytes | None = None) -> Mismatch:
    at = None if signed is None else _first_difference(usual.expected, signed)
    return Mismatch(usual.rule, usual.scheme, usual.key_id, usual.expected, mistake, signed, at)


def _first_difference(expected: bytes, signed: bytes) -> int:
    pairs = zip(expected, signed, strict=False)
    shorter = min(len(expected), len(signed))
    return next((at for at, (one, other) in enumerate(pairs) if one != other), shorter)


def _nobodys(signature: bytes, verifier: Verifier, name: str) -> str:
    size = (verifier.key.loaded.key_size + 7) // 8  # type: ignore[union-attr]  # RSA, by its scheme
    if len(signature) != size:
        return f"this is no signature of the key of {name}: it has {len(signature)} bytes, {size} are wanted"
    return (
        f"the key of {name} did not make this signature, nor did any key that this sandbox knows:"
        " does the private key belong to that certificate?"
    )


def _digest(verifier: Verifier, signature: bytes) -> bytes | None:
    """The SHA-256 that this key signed, None where it signed nothing of the kind.

    Source: RFC 8017 8.2.2, 9.2
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    key: Any = verifier.key.loaded  # type: ignore[union-attr]  # RSA, by its scheme
    try:
        digest: bytes = key.recover_data_from_signature(signature, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return None
    return digest


# The guesses: what it is called, and the strings it leads to. --------------------------------------------

Guess: TypeAlias = tuple[str, bytes]


def _strings(lines: Lines) -> Iterator[Guess]:
    is_long = len(lines.body) + len(lines.whole_body) > _LONG_BYTES
    for make in _FOR_LONG if is_long else _GUESSES:
        yield from make(lines)


def _joined(*five: bytes) -> bytes:
    return b"\n".join([*five, b""])


def _other_methods(lines: Lines) -> Iterator[Guess]:
    for method in (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE"):
        yield f"the method {method.decode()} was signed", _joined(method, *lines.five[1:])


def _other_paths(lines: Lines) -> Iterator[Guess]:
    path, host = lines.path, lines.host
    bare = path.partition(b"?")[0]
    hosts = [before + host + path for before in (b"", b"//", b"http://", b"https://")] if host else []
    changes: dict[str, Sequence[bytes]] = {
        "the host was signed with the path": hosts,
        "the slash in front of the path is missing": [path.removeprefix(b"/")],
        "a second slash stands before the path": [b"/" + path],
        "a slash stands behind the path": [path + b"/", bare + b"/"],
        "/v3 is missing from the path": [path.removeprefix(b"/v3")],
        "/v3 stands twice in the path": [b"/v3" + path],
        "the path is in lower case": [path.lower()],
        "a question mark without a query stands behind the path": [path + b"?", bare + b"?"],
        "the path is missing": [b"", b"/"],
    }
    for text, paths in changes.items():
        for one in paths:
            yield text, _joined(lines.method, one, *lines.five[2:])


def _other_queries(lines: Lines) -> Iterator[Guess]:
    path, mark, query = lines.path.partition(b"?")
    pairs = query.split(b"&")
    if mark and 2 <= len(pairs) <= 5:
        for order in itertools.permutations(pairs):
            yield (
                "the query's parameters were signed in another order",
                _joined(lines.method, path + b"?" + b"&".join(order), *lines.five[2:]),
            )


def _other_times(lines: Lines) -> Iterator[Guess]:
    """The clock, read twice; or read in milliseconds and cut for the header alone."""
    before, after = lines.five[:2], lines.five[3:]
    now = int(lines.timestamp)
    for second in range(now - _SECONDS_BESIDE, now + _SECONDS_BESIDE + 1):
        text = f"the timestamp {second} was signed, another is sent: take the clock once, and use it for both"
        yield text, _joined(*before, str(second).encode(), *after)
    if len(lines.body) <= _SMALL_BYTES:
        for milli in range(now * 1000, now * 1000 + 1000):
            text = f"the timestamp was signed in milliseconds ({milli})"
            yield text, _joined(*before, str(milli).encode(), *after)


def _other_bodies(lines: Lines) -> Iterator[Guess]:
    first = lines.five[:4]
    if lines.whole_body:
        text = "the whole multipart body was signed, not its meta part alone"
        yield text, _joined(*first, lines.whole_body)
    for body in (b"", b"{}", b"null", b"[]", b'""', b"None", b"undefined"):
        yield f"the body was signed as {body.decode() or 'empty'}, but another is sent", _joined(*first, body)
    try:
        sent = lines.body.decode()
    except UnicodeDecodeError:
        return
    for charset in ("gbk", "utf-16-le", "utf-8-sig", "latin-1"):
        text = f"the body was signed in the charset {charset}"
        yield text, _joined(*first, sent.encode(charset, "replace"))


_GO: Final = str.maketrans({one: f"\\u{ord(one):04x}" for one in "<>&"})
_GSON: Final = str.maketrans({one: f"\\u{ord(one):04x}" for one in "<>&='"})


def _other_json(lines: Lines) -> Iterator[Guess]:
    """What `mismatch` does not serialise again: Go's and Gson's escapes, members that are null."""
    try:
        value = json.loads(lines.body)
        texts = (
            ("by a serialiser that escapes <, > and & (Go's)", _compact(value).translate(_GO)),
            ("by a serialiser that escapes =, ', <, > and & (Gson)", _compact(value).translate(_GSON)),
            ("without the members that are null", _compact(_without_nulls(value))),
            ("with other spaces", json.dumps(value, separators=(",", ": "), ensure_ascii=False)),
            ("with other spaces", json.dumps(value, separators=(", ", ":"), ensure_ascii=False)),
        )
    except (ValueError, RecursionError):
        return
    for how, body in texts:
        signed = _joined(*lines.five[:4], body.encode("utf-8", "replace"))
        yield f"the body was serialised again, {how}", signed


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def _query_as_body(lines: Lines) -> Iterator[Guess]:
    path, _, query = lines.path.partition(b"?")
    for at in (path, lines.path):
        yield "the query was signed as the body", _joined(lines.method, at, *lines.five[2:4], query)


_NAMES: Final = WECHAT_REQUEST.fields


def _other_orders(lines: Lines) -> Iterator[Guess]:
    for order in itertools.permutations(range(5)):
        names = ", ".join(_NAMES[at] for at in order)
        yield f"wrong order: the lines are {names}", _joined(*(lines.five[at] for at in order))


def _missing_lines(lines: Lines) -> Iterator[Guess]:
    for at, name in enumerate(_NAMES):
        yield f"the line of the {name} is missing", _joined(*lines.five[:at], *lines.five[at + 1 :])


def _other_line_feeds(lines: Lines) -> Iterator[Guess]:
    whole = _joined(*lines.five)
    yield "the lines end with a backslash and an n, not with line feeds", whole.replace(b"\n", b"\\n")
    yield "the string starts with a line feed", b"\n" + whole
    yield "a line feed too many stands at the end", whole + b"\n"
    for text, joint in (("spaces", b" "), ("ampersands", b"&"), ("commas", b",")):
        yield f"the lines are joined by {text}", joint.join(lines.five)


def _as_an_answer(lines: Lines) -> Iterator[Guess]:
    yield (
        "the three lines of an answer were signed, not the five of a request",
        _joined(lines.timestamp, lines.nonce, lines.body),
    )


_FOR_LONG: Final[tuple[Callable[[Lines], Iterator[Guess]], ...]] = (
    *(_other_methods, _other_bodies, _missing_lines, _as_an_answer),
)
"""For a long body: what costs few digests of it."""

_GUESSES: Final[tuple[Callable[[Lines], Iterator[Guess]], ...]] = (
    *(_other_methods, _other_paths, _other_queries, _query_as_body, _other_bodies),
    *(_other_json, _other_times, _missing_lines, _as_an_answer, _other_line_feeds, _other_orders),
)
