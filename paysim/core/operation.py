"""Operations: one verb applied once, with an id that makes it safe to ask again."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from .errors import InvalidTransition
from .outcome import PASSING, Outcome

__all__ = ["OPEN", "Operation", "Status", "Verb"]


class Verb(StrEnum):
    """The nine verbs; each means the same on every channel."""

    CREATE = "create"
    PRESENT = "present"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    REVERSE = "reverse"
    QUERY = "query"
    CLOSE = "close"


class Status(StrEnum):
    """How far an operation has come."""

    ASKED = "ASKED"
    DONE = "DONE"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"
    ABNORMAL = "ABNORMAL"


OPEN: Final = frozenset({Status.ASKED, Status.UNKNOWN, Status.ABNORMAL})
"""The statuses in which the money may still move."""

_NEXT: Final[dict[Status, frozenset[Status]]] = {
    Status.ASKED: frozenset(Status),
    Status.UNKNOWN: frozenset(Status),
    Status.ABNORMAL: frozenset({Status.ABNORMAL, Status.DONE, Status.REFUSED, Status.ASKED}),
    Status.DONE: frozenset({Status.DONE}),
    Status.REFUSED: frozenset({Status.REFUSED}),
}


class Operation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One verb applied once to one transaction.

    `amount_minor` is in minor units of the transaction's currency; `target` is the id of the operation
    that this one follows ("" for the first); `outcome` is the operator's answer once there is one.
    """

    id: str
    verb: Verb
    status: Status
    amount_minor: int = 0
    target: str = ""
    outcome: Outcome | None = None

    @property
    def open(self) -> bool:
        """Whether the money may still move."""
        return self.status in OPEN

    @property
    def done(self) -> bool:
        """Whether the operator has done it."""
        return self.status is Status.DONE

    @property
    def reason(self) -> str:
        """Why the operator refused it, "" where it did not."""
        return self.outcome.reason.value if self.outcome and self.outcome.reason else ""

    @property
    def passing(self) -> bool:
        """Whether it was refused for a reason that may pass: the same operation may be asked again."""
        return self.status is Status.REFUSED and self.outcome is not None and self.outcome.reason in PASSING

    def moved(self, status: Status, outcome: Outcome | None = None) -> Operation:
        """This operation in `status`, with the answer that led there.

        Raises InvalidTransition where the statuses do not follow each other: a done or refused operation
        stays so, but one refused for a reason that may pass can be asked again.
        """
        if status not in _NEXT[self.status] and not self.passing:
            raise InvalidTransition(f"operation {self.status}", status.value)
        return Operation(self.id, self.verb, status, self.amount_minor, self.target, outcome)
