"""What an issuer is asked and what it answers; `Issuer` is all that stands in its place.

A stranger's issuer is one class with one method:

    >>> class Generous:
    ...     def authorize(self, request: AuthorizationRequest) -> Answer:
    ...         return Answer(APPROVED)
    >>> Generous().authorize(AuthorizationRequest({}, 990, "CNY", 0)).arc
    b'00'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from paysim.core.event import Event
from paysim.core.outcome import APPROVED, Outcome, OutcomeKind

__all__ = ["APPROVED", "Answer", "AuthorizationRequest", "ClearingRecord", "Issuer", "Passed"]

_CODES: Final = {
    OutcomeKind.APPROVED: b"00",
    OutcomeKind.DECLINED: b"05",
    OutcomeKind.TRY_AGAIN: b"65",
    OutcomeKind.UNKNOWN: b"",
}
"""Response code (8A) of an outcome without one of its own. Source: ISO 8583 field 39. Assumed: 65."""


@dataclass(frozen=True)
class AuthorizationRequest:
    """A payment that goes online.

    `fields` are the terminal's data record, tag -> value; `currency` is ISO 4217 letters; `at_ms` the
    issuer's time. `online_pin` is the enciphered PIN block, 8 bytes of format 0 or 16 of format 4; None
    where no PIN was typed. `upgraded` False: a terminal that still has the old limit without PIN (R06);
    `pin_capable` False: one that cannot ask for a PIN. `operation` and `merchant` only name things in facts.
    """

    fields: Mapping[int, bytes] = field(repr=False)
    amount_minor: int
    currency: str
    at_ms: int
    online_pin: bytes | None = field(default=None, repr=False)
    upgraded: bool = True
    pin_capable: bool = True
    operation: str = ""
    merchant: str = ""


@dataclass(frozen=True)
class ClearingRecord:
    """An offline approval (TC) that its terminal hands in: as the request, and when it was approved."""

    fields: Mapping[int, bytes] = field(repr=False)
    amount_minor: int
    currency: str
    at_ms: int
    approved_ms: int
    operation: str = ""
    merchant: str = ""


class Passed(NamedTuple):
    """One line of the trace: a check, and what it found."""

    step: str
    words: str


@dataclass(frozen=True)
class Answer:
    """What the issuer answers.

    `arc` is the response code for the card (8A, 2 ASCII characters; empty: the outcome's usual one),
    `data_91` the issuer authentication data or nothing, each of `scripts` a template 72 for the card, made
    of the update in the same place of `updates`. Before anything else is decided about the card `token`,
    `facts` are to be written to its stream, with `counts` (counter, minor units, ceiling).
    """

    outcome: Outcome
    arc: bytes = b""
    data_91: bytes = b""
    scripts: tuple[bytes, ...] = ()
    token: str = ""
    facts: tuple[Event, ...] = ()
    counts: tuple[tuple[str, int, int | None], ...] = ()
    updates: tuple[str, ...] = ()
    trace: tuple[Passed, ...] = ()

    def __post_init__(self) -> None:
        if not self.arc:
            object.__setattr__(self, "arc", _CODES[self.outcome.kind])

    @property
    def arpc(self) -> bytes:
        """The answer's cryptogram: 8 bytes by method 1, 4 by method 2, or nothing.

        Source: EMV 4.4 Book 2 8.2; method 1 is followed by 2 bytes, method 2 by 4 to 12
        """
        return self.data_91[: 8 if len(self.data_91) == _BY_METHOD_1 else 4]

    @property
    def asks_pin(self) -> bool:
        """Whether the same payment is to come again with an online PIN."""
        return self.outcome.kind is OutcomeKind.TRY_AGAIN


_BY_METHOD_1: Final = 10


class Issuer(Protocol):
    """Who answers for a card. Anything with this method may stand in the sandbox's issuer's place."""

    def authorize(self, request: AuthorizationRequest) -> Answer:
        """The answer to a payment that goes online."""
