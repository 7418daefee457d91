"""The journal: append-only and hash-chained. What every store shares, and the store in memory.

The hash of a record is SHA-256 over the hash of the record before it (32 zero bytes for the first) and the
record's own text: position, stream, version and key, each ended by a line feed, then the event as JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from heapq import heappop, heappush
from typing import Any, Final, NamedTuple

import msgspec

from paysim.core.errors import InvariantBroken, JournalDamaged, VersionConflict
from paysim.core.event import Entry, Event, Record
from paysim.core.ports import Change

from .accounts import overdraws

__all__ = [
    "GENESIS",
    "Line",
    "MemoryJournal",
    "Prepared",
    "chain",
    "decode_event",
    "post",
    "prepare",
    "read",
    "settle_tally",
]

GENESIS: Final = bytes(32)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode
_sha256 = hashlib.sha256
_new: Final[Any] = tuple.__new__  # a NamedTuple without the cost of its constructor
_MAX_BALANCE: Final = 2**62


class Line(NamedTuple):
    """A record as it is stored: the event is JSON bytes."""

    position: int
    stream: str
    version: int
    key: str
    event: bytes
    hash: bytes


class Prepared(NamedTuple):
    """An append, ready to be written: its lines, what it adds to tallies, and their ceilings."""

    lines: list[Line]
    adds: dict[str, int]
    ceilings: dict[str, int]


def chain(before: bytes, position: int, stream: str, version: int, key: str, event: bytes) -> bytes:
    """The hash of a record, 32 bytes; `before` is the hash of the record before it."""
    return _sha256(before + f"{position}\n{stream}\n{version}\n{key}\n".encode() + event).digest()


def prepare(entries: Sequence[Entry], versions: Mapping[str, int], position: int, head: bytes) -> Prepared:
    """The lines of an append after `position` and `head`, and what they add to the tallies.

    `versions` says how many records each stream has. Raises InvariantBroken for a transfer of nothing or of
    less, or between an account and itself.
    """
    lines: list[Line] = []
    adds: dict[str, int] = {}
    ceilings: dict[str, int] = {}
    grown = dict(versions)
    for stream, event, key in entries:
        position += 1
        version = grown[stream] = grown[stream] + 1
        body = _encode(event)
        head = _sha256(head + f"{position}\n{stream}\n{version}\n{key}\n".encode() + body).digest()
        lines.append(_new(Line, (position, stream, version, key, body, head)))
        if event.transfers or event.counts:
            post(event, adds, ceilings)
    return Prepared(lines, adds, ceilings)


def post(event: Event, adds: dict[str, int], ceilings: dict[str, int]) -> None:
    """Add to `adds` and `ceilings` what an event does to each tally.

    Raises InvariantBroken for a transfer of nothing or of less, or between an account and itself.
    """
    for name, minor, ceiling in event.counts:
        adds[name] = adds.get(name, 0) + minor
        if ceiling is not None:
            ceilings[name] = ceiling
    for transfer in event.transfers:
        minor = transfer.minor
        if minor <= 0 or transfer.debit == transfer.credit:
            raise InvariantBroken(f"a transfer moves a positive amount between two accounts, not {transfer}")
        debit, credit = f"{transfer.debit}:{transfer.currency}", f"{transfer.credit}:{transfer.currency}"
        adds[debit] = adds.get(debit, 0) - minor
        adds[credit] = adds.get(credit, 0) + minor


def settle_tally(name: str, before: int, add: int, ceiling: int | None) -> int:
    """The tally after `add`; raises InvariantBroken where an account is overdrawn or a limit passed."""
    after = before + add
    if add < 0 and overdraws(name, after):
        raise InvariantBroken(f"{name} would be {after}; it must not be negative")
    if ceiling is not None and after > ceiling:
        raise InvariantBroken(f"{name} would be {after}; its limit is {ceiling}")
    if abs(after) > _MAX_BALANCE:
        raise InvariantBroken(f"{name} would leave 62 bits")
    return after


def decode_event(event: bytes | str, position: int) -> Event:
    """The event of a stored line; raises JournalDamaged where it is none."""
    try:
        return _decode(event)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise JournalDamaged(f"record {position} is no event: {error}", position=position) from None


def read(lines: Iterable[Line], position: int = 0, head: bytes = GENESIS) -> Iterator[Record]:
    """The records of stored lines that follow `position` and `head`.

    Raises JournalDamaged at the first that is missing, edited or out of its chain; all before it were good.
    """
    for line in lines:
        position += 1
        if line.position != position:
            raise JournalDamaged(f"record {position} is missing", position=position)
        head = chain(head, *line[:5])
        if head != line.hash:
            raise JournalDamaged(f"record {position} was edited: its hash does not fit", position=position)
        yield Record(*line[:4], decode_event(line.event, position), head)


class MemoryJournal:
    """A journal in memory: fast, and gone with the process."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._streams: dict[str, list[Event]] = {}
        self._names: dict[str, list[str]] = {}
        self._keys: dict[str, str] = {}
        self._tallies: dict[str, int] = {}
        self._timers: dict[str, int] = {}
        self._heaps: dict[str, list[tuple[int, str]]] = {"": []}

    @property
    def position(self) -> int:
        """The position of the newest record, 0 in an empty journal."""
        return len(self._lines)

    @property
    def head(self) -> bytes:
        """The hash of the newest record, 32 zero bytes in an empty journal."""
        return self._lines[-1].hash if self._lines else GENESIS

    def append(
        self, entries: Sequence[Entry], expected: Mapping[str, int], timers: Mapping[str, Change]
    ) -> int:
        """Write all entries or none, and return the position of the last (see core.ports.Journal)."""
        streams, keys, tallies = self._streams, self._keys, self._tallies
        for stream, version in expected.items():
            if len(streams.get(stream, ())) != version:
                raise VersionConflict(f"{stream} has moved on from version {version}")
        for _, _, key in entries:
            if key and key in keys:
                raise InvariantBroken(f"the key {key!r} has had its effect already")
        keyed = [key for _, _, key in entries if key]
        if len(set(keyed)) < len(keyed):
            raise InvariantBroken("one append has a key twice")
        lines, adds, ceilings = prepare(entries, expected, self.position, self.head)
        after = {
            name: settle_tally(name, tallies.get(name, 0), add, ceilings.get(name))
            for name, add in adds.items()
        }
        self._lines += lines
        for stream, event, key in entries:
            if stream in streams:
                streams[stream].append(event)
            else:
                streams[stream] = [event]
                self._names.setdefault(stream.partition("/")[0], []).append(stream)
            if key:
                keys[key] = stream
        tallies.update(after)
        for name, (_, due_ms) in timers.items():
            self._set_timer(name, due_ms)
        return len(self._lines)

    def _set_timer(self, name: str, due_ms: int | None) -> None:
        if due_ms is None:
            self._timers.pop(name, None)
        elif self._timers.get(name) != due_ms:
            self._timers[name] = due_ms
            kind = name.partition("/")[0] if "/" in name else ""
            heappush(self._heaps.setdefault(kind, []), (due_ms, name))

    def stream(self, name: str) -> list[Event]:
        """The events of one stream, oldest first."""
        return list(self._streams.get(name, ()))

    def newest(self) -> Event | None:
        """The newest event, None in an empty journal."""
        return decode_event(self._lines[-1].event, len(self._lines)) if self._lines else None

    def find(self, key: str) -> str:
        """The stream whose record has this key, "" where none has."""
        return self._keys.get(key, "")

    def tally(self, name: str) -> int:
        """A balance or counter in minor units, 0 where nothing was ever posted."""
        return self._tallies.get(name, 0)

    def tallies(self, prefix: str = "") -> list[tuple[str, int]]:
        """All balances and counters whose name begins so, in order of name."""
        return sorted((name, minor) for name, minor in self._tallies.items() if name.startswith(prefix))

    def due(self, until_ms: int, kind: str = "") -> tuple[int, str] | None:
        """The soonest timer of a kind at or before `until_ms`: (Unix ms, name)."""
        heap = self._heaps.get(kind, [])
        while heap and self._timers.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0] if heap and heap[0][0] <= until_ms else None

    def timers(self) -> list[tuple[str, int]]:
        """Every timer: (name, Unix ms), in order of name."""
        return sorted(self._timers.items())

    def records(self) -> Iterator[Record]:
        """Every record in order; raises JournalDamaged at the first that was edited."""
        return read(self._lines)

    def streams(self, prefix: str) -> Iterator[tuple[str, list[Event]]]:
        """Every stream whose name begins so, in order of name, with its events."""
        kind, slash, _ = prefix.partition("/")  # the people are few, however many orders there are
        names = self._names.get(kind, ()) if slash else self._streams
        for name in sorted(name for name in names if name.startswith(prefix)):
            yield name, self.stream(name)

    def changed(self) -> bool:
        """Nobody else can append to this journal."""
        return False

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Nothing to group in memory; where the block fails, what was appended in it is undone."""
        kept, timers = self.position, self._timers.copy()
        try:
            yield
        except BaseException:
            self._cut(kept, timers)
            raise

    def _cut(self, position: int, timers: Mapping[str, int]) -> None:
        """Fold the records up to `position` anew."""
        kept = MemoryJournal()
        for record in read(self._lines[:position]):
            entry = Entry(record.stream, record.event, record.key)
            kept.append([entry], {record.stream: record.version - 1}, {})
        for name, due_ms in timers.items():
            kept._set_timer(name, due_ms)
        self.__dict__ = kept.__dict__

    def check(self) -> None:
        """Memory has no indices that could contradict the records."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Nobody else can append to this journal."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to let go of."""
