"""A rate limiter: so many in any second, and no more."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Limiter"]

_SECOND_MS: Final = 1_000
_NAMES_AT_MOST: Final = 1_024


class Limiter:
    """Counts what came in the last second, a name apart from another.

    >>> limiter = Limiter()
    >>> [limiter.over("refund", 2, at_ms) for at_ms in (0, 1, 2, 1000)]
    [False, False, True, False]
    """

    def __init__(self) -> None:
        self._taken: dict[str, deque[int]] = {}

    def over(self, name: str, per_s: int, at_ms: int) -> bool:
        """Whether one more is too many; where it is not, it is counted."""
        if len(self._taken) > _NAMES_AT_MOST:
            self._taken.clear()
        taken = self._taken.setdefault(name, deque())
        while taken and taken[0] <= at_ms - _SECOND_MS:
            taken.popleft()
        if len(taken) >= per_s:
            return True
        taken.append(at_ms)
        return False
