"""Clocks: the sandbox's time is a port. All times are Unix time in milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from .errors import UsageError

__all__ = ["DAY_MS", "HOUR_MS", "MINUTE_MS", "SECOND_MS", "SystemClock", "VirtualClock"]

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

_START_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z
_END_MS: Final = 253_402_300_799_000  # the year 9999


class SystemClock:
    """The machine's clock. Timers run when the sandbox is next used after they fell due."""

    virtual = False

    def now_ms(self) -> int:
        """Now, in Unix milliseconds."""
        return time.time_ns() // 1_000_000


class VirtualClock:
    """A clock that moves only when told. It starts at 2026-01-01T00:00:00Z unless told otherwise.

    A sandbox advances it (`sandbox.advance(hours=25)`), so that every timer that falls due runs in order.
    """

    virtual = True

    def __init__(self, start_ms: int = _START_MS) -> None:
        self._now_ms = start_ms
        self._run: Callable[[int], None] = self.move_to

    def bind(self, run: Callable[[int], None]) -> None:
        """Let `run` carry out each advance: a sandbox rings its timers on the way."""
        self._run = run

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move forward; in a sandbox every timer that falls due rings in order."""
        try:
            step_ms = round(days * DAY_MS + hours * HOUR_MS + minutes * MINUTE_MS + seconds * SECOND_MS)
        except (OverflowError, ValueError):
            raise UsageError("a clock moves by a number of seconds, not by infinity") from None
        self._run(self._now_ms + step_ms)

    def now_ms(self) -> int:
        """Now, in Unix milliseconds."""
        return self._now_ms

    def check(self, at_ms: int) -> None:
        """Raises UsageError for a time that has passed, or after the year 9999."""
        if not self._now_ms <= at_ms <= _END_MS:
            raise UsageError(
                f"a clock moves forward, from {self._now_ms} ms to at most {_END_MS} ms, not to {at_ms} ms"
            )

    def move_to(self, at_ms: int) -> None:
        """Move forward to `at_ms`; raises UsageError as `check` does."""
        self.check(at_ms)
        self._now_ms = at_ms

    def take_back(self, at_ms: int) -> None:
        """Go back to `at_ms` after an advance that could not be written."""
        self._now_ms = min(self._now_ms, at_ms)
