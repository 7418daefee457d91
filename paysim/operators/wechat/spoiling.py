"""Messages that are wrong on purpose: answers and callbacks as a client must be able to refuse them.

Each row of `SPOILS` takes a message that is right and makes it wrong in one way; `faults` says when.
Source: facts/wechat 1.3 and 1.6 (what clients must check), probe traffic in merchant/4013053249
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from paysim.core.clock import HOUR_MS

from .keys import PUBLIC_KEY_PREFIX, PlatformKeys
from .platform_signature import SigningKey, answer_headers, choose, probe

__all__ = ["SPOILS", "Signed", "spoil"]

Headers = tuple[tuple[str, str], ...]


class Signed(NamedTuple):
    """A signed message, the platform's keys, when it was signed, and a nonce to sign it anew."""

    headers: Headers
    body: bytes
    platform: PlatformKeys
    wall_ms: int
    nonce: str


def spoil(action: str, message: Signed) -> tuple[Headers, bytes]:
    """Headers and body of the same message, wrong in one way; as it was for an action that spoils nothing."""
    change = SPOILS.get(action)
    return change(message) if change is not None else (message.headers, message.body)


def _serial(headers: Headers) -> str:
    return next((value for name, value in headers if name == "Wechatpay-Serial"), "")


def _key(message: Signed) -> SigningKey:
    """The key that signed it."""
    kind = "public_key" if _serial(message.headers).startswith(PUBLIC_KEY_PREFIX) else "certificate"
    return choose(message.platform, kind, message.wall_ms)  # type: ignore[arg-type]


def _signed_anew(message: Signed, signed: bytes, wall_ms: int) -> Headers:
    fresh = dict(answer_headers(signed, _key(message), message.nonce, wall_ms // 1000))
    return tuple((name, fresh.get(name, value)) for name, value in message.headers)


def _wrong_signature(message: Signed) -> tuple[Headers, bytes]:
    return _signed_anew(message, message.body + b" ", message.wall_ms), message.body


def _unknown_serial(message: Signed) -> tuple[Headers, bytes]:
    serial = _serial(message.headers)
    turned = serial[:-8] + "".join(str(9 - int(digit, 16) % 10) for digit in serial[-8:])
    headers = tuple((n, turned if n == "Wechatpay-Serial" else v) for n, v in message.headers)
    return headers, message.body


def _expired_time(message: Signed) -> tuple[Headers, bytes]:
    return _signed_anew(message, message.body, message.wall_ms - HOUR_MS), message.body


def _re_encode(message: Signed) -> tuple[Headers, bytes]:
    """As a gateway in between may write it: other spaces, the same JSON."""
    try:
        body = json.dumps(json.loads(message.body), ensure_ascii=False, indent=1).encode()
    except ValueError:
        body = message.body + b"\n"
    return message.headers, body


def _bad_tag(message: Signed) -> tuple[Headers, bytes]:
    """Every sealed resource gets another last byte; the signature is true."""
    try:
        content = json.loads(message.body)
    except ValueError:
        return message.headers, message.body
    _break(content)
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return _signed_anew(message, body, message.wall_ms), body


def _break(value: Any) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("ciphertext"), str):
            sealed = bytearray(base64.b64decode(value["ciphertext"]))
            sealed[-1] ^= 1
            value["ciphertext"] = base64.b64encode(sealed).decode()
        for below in value.values():
            _break(below)
    elif isinstance(value, list):
        for below in value:
            _break(below)


def _probe(message: Signed) -> tuple[Headers, bytes]:
    return probe(message.headers), message.body


SPOILS: Final[dict[str, Callable[[Signed], tuple[Headers, bytes]]]] = {
    "wrong_signature": _wrong_signature,
    "unknown_serial": _unknown_serial,
    "expired_time": _expired_time,
    "re_encode": _re_encode,
    "bad_tag": _bad_tag,
    "probe": _probe,
}
"""Fault action -> how it makes a message wrong."""
