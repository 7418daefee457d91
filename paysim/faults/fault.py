"""Faults: what goes wrong, where and how often. Values, read by links, servers and couriers."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final, NamedTuple

import msgspec

from paysim.core.errors import UsageError

__all__ = ["ACTIONS", "EVERYWHERE", "POINTS", "Fault"]

POINTS: Final[dict[str, str]] = {
    "request": "what the shop asks of the operator",
    "answer": "what the operator answers to the shop",
    "callback": "what the operator tells the shop unasked",
    "refund": "the money of a refund, on its way to the payer",
}
"""Where something can go wrong, with what passes there."""


class _Action(NamedTuple):
    """A row of ACTIONS: the points where it can happen, and what it is."""

    points: tuple[str, ...]
    text: str


_MESSAGES: Final = ("request", "answer", "callback")

ACTIONS: Final[dict[str, _Action]] = {
    "lose": _Action(_MESSAGES, "it never arrives; by the wire, the connection is closed without a byte"),
    "delay": _Action(
        _MESSAGES, "it arrives `delay_s` seconds later: true ones by the wire, else the sandbox's"
    ),
    "error": _Action(("request", "answer"), "error `code`, before the effect or after it"),
    "limit": _Action(("request",), "429 above `per_s` requests a second"),
    "reset": _Action(("request", "answer"), "the connection is reset, before the effect or after it"),
    "truncate": _Action(("answer",), "half of the body comes, then the connection closes"),
    "wrong_signature": _Action(("answer", "callback"), "the signature is another message's"),
    "unknown_serial": _Action(("answer", "callback"), "the serial names no key of the platform"),
    "expired_time": _Action(("answer", "callback"), "signed an hour ago"),
    "re_encode": _Action(("answer", "callback"), "the JSON is written anew after it was signed"),
    "bad_tag": _Action(("answer", "callback"), "well signed, but what is sealed does not open"),
    "probe": _Action(
        ("answer", "callback"), "probe traffic, signed wrong on purpose; a true callback follows it"
    ),
    "early": _Action(("callback",), "it arrives before the answer to what caused it"),
    "duplicate": _Action(("callback",), "it arrives twice, one after the other"),
    "concurrent": _Action(("callback",), "it arrives twice at once"),
    "out_of_order": _Action(("callback",), "it waits for the next one, `delay_s` seconds at most"),
    "abnormal": _Action(
        ("refund",), "it cannot be given to the payer: ABNORMAL until it is resolved (WeChat Pay)"
    ),
    "closed": _Action(("refund",), "it is given up, and the money is the shop's again: CLOSED (WeChat Pay)"),
}
"""What can go wrong, and where."""

EVERYWHERE: Final = frozenset({"lose", "delay", "abnormal", "closed"})
"""The actions that happen to shops inside the sandbox, too; the others are for the wire."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong, at `point`, `times` times.

    It happens to what passes there of the verb and the channel named, and by the wire to requests whose path
    fits `path` (a pattern like `/v3/refund/*`); "" matches all. `code` is the error of "error", `per_s` the
    rate of "limit". Raises UsageError for a point or an action that does not exist, or not there.
    """

    point: str
    action: str = "lose"
    verb: str = ""
    channel: str = ""
    times: int = 1
    delay_s: float = 60
    path: str = ""
    code: str = "SYSTEM_ERROR"
    per_s: int = 1

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise UsageError(f"a fault's point is one of {', '.join(POINTS)}, not {self.point!r}")
        if self.action not in ACTIONS:
            raise UsageError(f"a fault's action is one of {', '.join(ACTIONS)}, not {self.action!r}")
        if self.point not in ACTIONS[self.action].points:
            there = ", ".join(ACTIONS[self.action].points)
            raise UsageError(f"{self.action} happens to {there}, not to a {self.point}")
        if self.times < 1 or not 0.001 <= self.delay_s <= 10_000_000:
            raise UsageError("a fault happens at least once, and delays by a millisecond to some months")
        if self.per_s < 1:
            raise UsageError("a limit is one request a second or more")

    def strikes(self, point: str, verb: str, channel: str, path: str = "") -> bool:
        """Whether it happens to a message."""
        return (
            self.point == point
            and self.verb in ("", verb)
            and self.channel in ("", channel)
            and (not self.path or fnmatchcase(path, self.path))
        )
