"""The state table: which fact leads from which state to which.

The table is the only place that knows; the picture in the README is drawn from it (`mermaid`).
Source: DESIGN section 1.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from .errors import InvalidTransition

__all__ = ["FINAL", "STILL", "TABLE", "State", "mermaid", "next_state"]


class State(StrEnum):
    """Where a payment stands, in one reader's eyes."""

    CREATED = "CREATED"
    PRESENTED = "PRESENTED"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CLOSED = "CLOSED"
    VOIDED = "VOIDED"
    REVERSED = "REVERSED"


_ENDS: Final = {
    "authorized": State.AUTHORIZED,
    "captured": State.CAPTURED,
    "declined": State.DECLINED,
    "closed": State.CLOSED,
    "reversed": State.REVERSED,
}

TABLE: Final[dict[State, dict[str, State]]] = {
    State.CREATED: {"presented": State.PRESENTED, "submitted": State.PENDING, **_ENDS},
    State.PRESENTED: {"presented": State.PRESENTED, "submitted": State.PENDING, **_ENDS},
    State.PENDING: {
        "presented": State.PENDING,
        "attempt_failed": State.PRESENTED,
        "deferred": State.PENDING,
        "timed_out": State.UNKNOWN,
        **_ENDS,
    },
    State.UNKNOWN: {
        "presented": State.UNKNOWN,
        "timed_out": State.UNKNOWN,
        "submitted": State.PENDING,
        "deferred": State.PENDING,
        "found_unpaid": State.PRESENTED,
        "attempt_failed": State.PRESENTED,
        **_ENDS,
    },
    State.AUTHORIZED: {
        "authorized": State.AUTHORIZED,
        "released": State.AUTHORIZED,
        "captured": State.CAPTURED,
        "voided": State.VOIDED,
        "lapsed": State.VOIDED,
        "reversed": State.REVERSED,
        "rejected": State.DECLINED,
    },
    State.CAPTURED: {
        "captured": State.CAPTURED,
        "refunded": State.CAPTURED,
        "released": State.CAPTURED,
        "settled": State.CAPTURED,
        "voided": State.VOIDED,
        "reversed": State.REVERSED,
    },
    State.DECLINED: {},
    State.CLOSED: {},
    State.VOIDED: {},
    State.REVERSED: {},
}
"""State -> fact -> next state."""

FINAL: Final = frozenset(state for state, row in TABLE.items() if not row)
"""The states that nothing leaves."""

STILL: Final[dict[str, str]] = {
    "asked": "a verb was asked of the operator; its operation is open",
    "refused": "the operator refused a verb; its operation says why",
    "stranded": "a refund left the shop and did not reach the payer; ABNORMAL until it is resolved",
    "unanswered": "no answer to a verb on a paid order; its operation is UNKNOWN until a query",
    "delayed": "a request or an answer is still under way; a timer delivers it",
    "reached": "the shop has learned the operator's facts up to a position",
    "delivered": "a callback was acknowledged",
    "noted": "something worth telling happened that moves no state",
}
"""Facts that move no state, legal everywhere, with what they say."""


def next_state(state: State, fact: str) -> State:
    """The state that `fact` leads to from `state`.

    Raises InvalidTransition where the table has no such row; nothing has changed then.

    >>> next_state(State.PRESENTED, "captured")
    <State.CAPTURED: 'CAPTURED'>
    """
    if fact in STILL:
        return state
    try:
        return TABLE[state][fact]
    except KeyError:
        raise InvalidTransition(state.value, fact) from None


def mermaid() -> str:
    """The picture of the table, as a mermaid state diagram: one arrow a pair of states, its facts on it."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for state, row in TABLE.items():
        for fact, target in row.items():
            arrows.setdefault((state, target), []).append(fact)
    lines = ["stateDiagram-v2", "    [*] --> CREATED: created"]
    lines += [f"    {a} --> {b}: {', '.join(facts)}" for (a, b), facts in arrows.items()]
    lines += [f"    {state} --> [*]" for state in TABLE if state in FINAL]
    return "\n".join(lines)
