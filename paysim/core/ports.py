"""The ports that the machines see of the world: Clock, Random, Journal and Link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from .event import Entry, Event, Record

__all__ = ["Change", "Clock", "Journal", "Link", "Random"]


Change = tuple[int | None, int | None]
"""A value before and after."""


class Clock(Protocol):
    """The sandbox's time."""

    virtual: bool

    def now_ms(self) -> int:
        """Now, in Unix milliseconds."""


class Random(Protocol):
    """Choices that a seed, a label and a position decide."""

    def draw(self, label: str, position: int) -> int:
        """A number of 128 bits."""

    def digits(self, label: str, position: int, count: int) -> str:
        """`count` decimal digits, leading zeros kept."""

    def below(self, label: str, position: int, limit: int) -> int:
        """A number from 0 to `limit` - 1."""


class Journal(Protocol):
    """An append-only, hash-chained record of facts, with the folds that a command needs at once.

    Tallies are account balances (`ledger.accounts.tally_name`) and counters; timers are the next times at
    which a stream's owner wants to be woken. Both are folds of the records and are kept in the same append.
    """

    @property
    def position(self) -> int:
        """The position of the newest record, 0 in an empty journal."""

    @property
    def head(self) -> bytes:
        """The hash of the newest record, 32 zero bytes in an empty journal."""

    def append(
        self, entries: Sequence[Entry], expected: Mapping[str, int], timers: Mapping[str, Change]
    ) -> int:
        """Write all entries or none, and return the position of the last.

        `expected` gives, for each stream written, how many records it had when the command decided; a stream
        that has more raises VersionConflict. `timers` maps a name to the time of its timer before and after,
        in Unix ms, None for no timer.
        Raises InvariantBroken where a transfer, a floor, a ceiling or a key would be violated, and StoreError
        where the medium fails; nothing is applied then.
        """

    def stream(self, name: str) -> list[Event]:
        """The events of one stream, oldest first; raises JournalDamaged where one was edited."""

    def newest(self) -> Event | None:
        """The newest event, None in an empty journal."""

    def find(self, key: str) -> str:
        """The stream whose record has this key, "" where none has."""

    def tally(self, name: str) -> int:
        """A balance or counter in minor units, 0 where nothing was ever posted."""

    def tallies(self, prefix: str = "") -> list[tuple[str, int]]:
        """All balances and counters whose name begins so, in order of name."""

    def due(self, until_ms: int, kind: str = "") -> tuple[int, str] | None:
        """The soonest timer of a kind at or before `until_ms`: (Unix ms, name).

        The kind of a timer is its name before the first slash: "" for an order's, "callback" for what an
        operator owes a merchant.
        """

    def timers(self) -> list[tuple[str, int]]:
        """Every timer: (name, Unix ms), in order of name."""

    def records(self) -> Iterator[Record]:
        """Every record in order; raises JournalDamaged at the first that is cut or edited."""

    def streams(self, prefix: str) -> Iterator[tuple[str, list[Event]]]:
        """Every stream whose name begins so, in order of name, with its events."""

    def changed(self) -> bool:
        """Whether somebody else has appended since this was last asked; what was loaded is stale then."""

    def batch(self) -> AbstractContextManager[None]:
        """Group the appends inside into one commit: faster, and acknowledged when the block ends."""

    def check(self) -> None:
        """Raises JournalDamaged where the medium contradicts itself, its records aside."""

    def snapshot(self) -> AbstractContextManager[None]:
        """What is read inside is the state of one moment, whatever others append."""

    def close(self) -> None:
        """Let go of the medium; closing twice is harmless."""


class Link(Protocol):
    """The gap that bytes cross."""

    def transceive(self, data: bytes) -> bytes:
        """Send `data` and wait for the answer; raises LinkTimeout or LinkClosed."""
