"""What came by the wire and what was answered: the newest thousand requests, and why one was refused."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Final

import msgspec

from paysim.codec.http import Request, Response
from paysim.operators.wechat.world import Answer

__all__ = ["Logged", "RequestLog"]

KEPT: Final = 1_000
_BODY_AT_MOST: Final = 4_096


class Logged(msgspec.Struct, frozen=True):
    """One request and its answer. `why` says in plain words why it was refused, `fault` what was done to it.

    Bodies are text, cut at 4 KiB; `wall_ms` is true time, `elapsed_ms` how long the answer took.
    """

    id: int
    wall_ms: int
    method: str
    target: str
    status: int
    code: str
    why: str
    warning: str
    fault: str
    mchid: str
    request: str
    answer: str
    elapsed_ms: float


class RequestLog:
    """The newest requests, the oldest first."""

    def __init__(self) -> None:
        self._kept: deque[Logged] = deque(maxlen=KEPT)
        self._ids = itertools.count(1)

    def add(
        self, request: Request, response: Response | None, answer: Answer, wall_ms: int, elapsed_ms: float
    ) -> None:
        """Keep a request; `response` is None where nothing was answered."""
        logged = Logged(
            next(self._ids),
            wall_ms,
            request.method,
            request.target[:_BODY_AT_MOST],
            response.status if response else 0,
            answer.code,
            answer.why,
            answer.warning,
            answer.fault,
            answer.mchid,
            _text(request.body),
            _text(response.body) if response else "",
            round(elapsed_ms, 3),
        )
        self._kept.append(logged)

    def newest(self, count: int, refused: bool = False) -> list[Logged]:
        """The newest `count`, newest first; with `refused` those that were no success."""
        found = (one for one in reversed(self._kept) if not refused or not 200 <= one.status < 300)
        return list(itertools.islice(found, count))

    def clear(self) -> None:
        """Forget all of them."""
        self._kept.clear()


def _text(body: bytes) -> str:
    return body[:_BODY_AT_MOST].decode("utf-8", "replace")
