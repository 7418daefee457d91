"""Faults: what goes wrong, where and how often. Values, read by links and by the delivery of callbacks."""

from __future__ import annotations

from typing import Final

import msgspec

from paysim.core.errors import UsageError

__all__ = ["ACTIONS", "POINTS", "Fault"]

POINTS: Final[dict[str, str]] = {
    "request": "what the shop asks of the operator",
    "answer": "what the operator answers to the shop",
    "callback": "what the operator tells the shop unasked",
}
"""Where something can go wrong, with what passes there."""

ACTIONS: Final[dict[str, str]] = {
    "lose": "it never arrives",
    "delay": "it arrives `delay_s` seconds later, by the sandbox's clock",
}
"""What can go wrong."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong, at `point`, `times` times.

    It happens to messages of the verb and the channel named; "" matches all. Raises UsageError for a point
    or an action that does not exist.
    """

    point: str
    action: str = "lose"
    verb: str = ""
    channel: str = ""
    times: int = 1
    delay_s: int = 60

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise UsageError(f"a fault's point is one of {', '.join(POINTS)}, not {self.point!r}")
        if self.action not in ACTIONS:
            raise UsageError(f"a fault's action is one of {', '.join(ACTIONS)}, not {self.action!r}")
        if self.times < 1 or self.delay_s < 1:
            raise UsageError("a fault happens at least once, and delays by at least a second")

    def strikes(self, point: str, verb: str, channel: str) -> bool:
        """Whether it happens to a message."""
        return self.point == point and self.verb in ("", verb) and self.channel in ("", channel)
