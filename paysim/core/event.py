"""Events: facts, in the past tense, immutable."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from .outcome import Outcome

__all__ = ["Entry", "Event", "Record", "Transfer"]


class Transfer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Money that moves: from the debited to the credited account, a positive count of minor units."""

    debit: str
    credit: str
    currency: str
    minor: int


class Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A fact.

    `kind` is a row of the state table or of the facts beside it; `at_ms` is the sandbox's time (Unix, in
    milliseconds); `operation` the id of the operation that it belongs to; `amount_minor` what it is about,
    in minor units of the transaction's currency. `transfers` are the ledger's entries, and `counts` are
    (counter, minor units added, ceiling or None), for limits that span payments. `data` holds the rest, in
    JSON types; it is not to be changed.
    """

    kind: str
    at_ms: int
    operation: str = ""
    amount_minor: int = 0
    outcome: Outcome | None = None
    transfers: tuple[Transfer, ...] = ()
    counts: tuple[tuple[str, int, int | None], ...] = ()
    data: dict[str, Any] = {}

    def __str__(self) -> str:
        return self.kind


class Entry(NamedTuple):
    """An event that wants a place in the journal. `key`, where not "", may occur once in a journal."""

    stream: str
    event: Event
    key: str = ""


class Record(NamedTuple):
    """An event at its place: position in the journal and version in its stream, both from 1.

    `hash` is 32 bytes over the record before and this one (ledger/journal).
    """

    position: int
    stream: str
    version: int
    key: str
    event: Event
    hash: bytes
