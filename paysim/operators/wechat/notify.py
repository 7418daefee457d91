"""Callbacks: what WeChat Pay tells a merchant unasked, when it tries again, and how the message is made.

A callback is owed as a fact of its own (`core.callback`). Its id, time and content come from the books, so
that every try says the same; timestamp, nonce and signature are new each time.
Source: WeChat Pay merchant documentation, payment and refund result notification; facts/wechat 1.6
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from paysim.core.clock import DAY_MS, SECOND_MS
from paysim.core.event import Event
from paysim.core.operation import Verb
from paysim.core.transaction import Transaction

from .keys import Kind, PlatformKeys
from .merchants import Merchant
from .messages import details, order_body, refund_asked, refund_body
from .numbers import rfc3339
from .platform_signature import answer_headers, choose, switch_over
from .sealing import seal_resource
from .world import World

__all__ = [
    "HEADERS",
    "LADDER_S",
    "TIMEOUT_S",
    "Owed",
    "content",
    "message",
    "next_ms",
    "owed",
]

LADDER_S: Final = (
    15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600,
)  # fmt: skip
"""Seconds from each failed try to the next: 15 more tries in 24 h 4 min."""

TIMEOUT_S: Final = 5
"""How long a merchant has for its answer."""

HEADERS: Final = (
    ("User-Agent", "Mozilla/4.0"),
    ("Accept", "*/*"),
    ("Pragma", "no-cache"),
    ("Content-Type", "application/json"),
)
"""What a real callback carries besides its signature."""

_SUMMARIES: Final = {
    "TRANSACTION.SUCCESS": "支付成功",
    "REFUND.SUCCESS": "退款成功",
    "REFUND.ABNORMAL": "退款异常",
    "REFUND.CLOSED": "退款关闭",
}
_ENDS: Final = {"refunded": "REFUND.SUCCESS", "stranded": "REFUND.ABNORMAL", "refused": "REFUND.CLOSED"}
"""What a fact says of a refund -> the event_type. Assumed: after REFUND.ABNORMAL the true end is told, too"""

_NONCE_LENGTH: Final = 12


class Owed(NamedTuple):
    """A callback that a fact gives rise to: its event_type, the operation it is about, where it goes."""

    event_type: str
    operation: str
    url: str
    kind: str


def next_ms(tries: int, at_ms: int) -> int | None:
    """When to try again after `tries` failed tries, None after the last.

    >>> next_ms(1, 0), next_ms(15, 0), next_ms(16, 0)
    (15000, 21600000, None)
    """
    return at_ms + LADDER_S[tries - 1] * SECOND_MS if tries <= len(LADDER_S) else None


def owed(book: Transaction, news: Iterable[Event]) -> Iterator[Owed]:
    """The callbacks that new facts of an order give rise to; a refund without its own url uses none.

    Assumed: a refund that named no notify_url has no callback
    """
    kept = details(book)
    for event in news:
        if event.kind == "captured":
            yield Owed(
                "TRANSACTION.SUCCESS", event.operation, kept.get("notify_url", ""), kept.get("kind", "")
            )
        elif event.kind in _ENDS and book.operations[event.operation].verb is Verb.REFUND:
            asked, end = refund_asked(book, event.operation).data, _ENDS[event.kind]
            yield Owed(end, event.operation, asked.get("notify_url", ""), asked.get("kind", ""))


def signing_kind(asked_for: str, merchant: Merchant, at_ms: int, draw: float) -> Kind:
    """Which key signs a callback; `draw` is from 0 up to 1, for the days of a switch-over."""
    if merchant.key_kind == "switching":
        return switch_over((at_ms - merchant.switch_ms) // DAY_MS + 1, draw)
    if merchant.key_kind == "request":
        return "public_key" if asked_for == "public_key" else "certificate"
    return "public_key" if merchant.key_kind == "public_key" else "certificate"


def content(book: Transaction, event_type: str, operation: str, world: World) -> bytes:
    """What is sealed in a callback: the order, or the refund, as the book has it."""
    if event_type == "TRANSACTION.SUCCESS":
        return msgspec.json.encode(order_body(book, world, notice=True))
    return msgspec.json.encode(refund_body(book, book.operations[operation], world, notice=True))


def envelope(id: str, at_ms: int, event_type: str, plaintext: bytes, api_v3_key: str) -> bytes:
    """The body of a callback: the same bytes at every try."""
    original = event_type.partition(".")[0].lower()
    nonce = hashlib.sha256(f"paysim callback {id}".encode()).hexdigest()[:_NONCE_LENGTH]
    body: dict[str, Any] = {
        "id": id,
        "create_time": rfc3339(at_ms),
        "resource_type": "encrypt-resource",
        "event_type": event_type,
        "summary": _SUMMARIES[event_type],
        "resource": seal_resource(api_v3_key, plaintext, nonce, original, original),
    }
    return msgspec.json.encode(body)


def message(
    body: bytes, platform: PlatformKeys, kind: Kind, wall_ms: int, nonce: str
) -> tuple[tuple[str, str], ...]:
    """The headers of one try."""
    signed = answer_headers(body, choose(platform, kind, wall_ms), nonce, wall_ms // 1000)
    return (*HEADERS, *signed)
