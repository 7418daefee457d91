"""The journal in one SQLite file.

Write-ahead log; with `durability="full"` (the default) every commit is synced, so that an acknowledged
command survives a power cut; with "normal" it survives the death of the process. Several processes may
share a file: appends are serialised, and one that decided on an older state gets VersionConflict.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from paysim.core.errors import ConfigError, InvariantBroken, JournalDamaged, StoreError, VersionConflict
from paysim.core.event import Entry, Event, Record
from paysim.core.ports import Change
from paysim.ledger.journal import GENESIS, Line, Prepared, chain, decode_event, prepare, read, settle_tally

from .file import APPLICATION_ID, FORMAT, SCHEMA, connect, damage_advice, named, place
from .salvage import salvage_file

__all__ = ["INSERT", "SqliteJournal", "is_open_here", "row_of"]

_TAIL: Final = 64
"""How many of the newest records are checked when a file is opened; `verify` checks them all."""

_SYNCHRONOUS: Final = {"full": "FULL", "normal": "NORMAL"}
_CHECKPOINT_PAGES: Final = 4_000
_CHUNK: Final = 512
"""How many records are read at once: no read stays open between them, whatever the caller does."""

_MAX_ADD: Final = 2**62

# Columns as they are stored, text as bytes: an edited file holds anything, and each is checked by _line.
_COLUMNS: Final = (
    "SELECT r.position, CAST(iif(instr(r.kind, '/'), NULL, r.kind || '/' || r.subject) AS BLOB), r.version, "
    "CAST(ifnull(r.key, '') AS BLOB), CAST(r.event AS BLOB), r.hash"
)
_LINES: Final = f"{_COLUMNS} FROM record r WHERE r.position > ? ORDER BY r.position LIMIT {_CHUNK}"
_LINKED: Final = f"{_COLUMNS}, b.hash FROM record r LEFT JOIN record b ON b.position = r.position - 1"
_STREAM: Final = f"{_LINKED} WHERE r.subject = ? AND r.kind = ? ORDER BY r.version"
_STREAMS: Final = (
    f"{_LINKED} WHERE (r.subject, r.version) > (?, ?) AND r.kind = ? AND substr(r.subject, 1, ?) = ? "
    f"ORDER BY r.subject, r.kind, r.version LIMIT {_CHUNK}"
)
_DUE: Final = (
    "SELECT name, due_ms FROM timer WHERE due_ms <= ?1 "
    "AND CASE ?2 WHEN '' THEN instr(name, '/') = 0 ELSE substr(name, 1, length(?3)) = ?3 END "
    "ORDER BY due_ms, name LIMIT 1"
)
INSERT: Final = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)"
_ADD: Final = (
    "INSERT INTO tally VALUES (?, ?) ON CONFLICT DO UPDATE SET minor = minor + excluded.minor RETURNING minor"
)


_OPEN: Final[WeakSet[SqliteJournal]] = WeakSet()


def is_open_here(real: Path) -> bool:
    """Whether a journal of this process has the file open.

    Then it must not be opened past SQLite: closing it would let go of all locks that the process has on it.
    Source: sqlite.org howtocorrupt 2.2
    """
    return any(journal.real_path == real for journal in _OPEN)


class SqliteJournal:
    """A journal in the SQLite file at `path`, made if it is absent (unless `read_only`).

    `busy_ms` is how long to wait for another process's lock; `max_pages` bounds the file (SQLite's
    max_page_count). Raises StoreError where the file cannot be opened or written, and JournalDamaged where
    it was cut or edited; `paysim verify FILE --repair` keeps what is readable then. To append, the newest
    records must be good; with `read_only` whatever comes before the damage can be read.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        durability: str = "full",
        read_only: bool = False,
        busy_ms: int = 5_000,
        max_pages: int | None = None,
    ) -> None:
        if durability not in _SYNCHRONOUS:
            raise ConfigError(f"durability is 'full' or 'normal', not {durability!r}")
        self.path = Path(path)
        self._batching = self._batch_lost = self._closed = False
        self.real_path = real = place(self.path, create=not read_only)
        try:
            with named(self.path):
                self._db = connect(real, read_only=read_only, busy_ms=busy_ms)
                try:
                    self._open(durability, read_only, max_pages)
                except BaseException:
                    self._db.close()
                    raise
        except JournalDamaged as damage:
            if not read_only or damage.position or is_open_here(real):
                raise
            found = salvage_file(real)
            text = f"{damage}; the first {found.count} records are readable"
            raise JournalDamaged(text, position=found.cut) from None
        _OPEN.add(self)

    def _open(self, durability: str, read_only: bool, max_pages: int | None) -> None:
        execute = self._db.execute
        execute("PRAGMA cell_size_check = ON")
        self._check_schema()
        if not read_only:
            execute("PRAGMA journal_mode = WAL")
            execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
        if max_pages is not None:
            execute(f"PRAGMA max_page_count = {int(max_pages)}")
        execute("PRAGMA cache_size = -16384")
        self._data_version = self._version()
        self._strict = not read_only
        self._load_head()
        if self._strict:
            self._check_tail()

    def _check_schema(self) -> None:
        if self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreError(f"{self.path} is a SQLite file, but no paysim journal; give another path")
        if self._db.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
            raise StoreError(f"{self.path} was written by another version of paysim; open it with that one")
        found = {
            name: " ".join(sql.split())
            for name, sql in self._db.execute(
                "SELECT name, CAST(sql AS TEXT) FROM sqlite_schema WHERE sql IS NOT NULL"
            )
        }
        for name, sql in SCHEMA.items():
            if found.get(name) != sql:
                raise self._damaged(f"its {name!r} is missing or altered")

    def _damaged(self, what: str, position: int = 0) -> JournalDamaged:
        return JournalDamaged(f"{self.path}: {what}; {damage_advice(self.path)}", position=position)

    def _version(self) -> int:
        version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return version

    def _load_head(self) -> None:
        row = self._db.execute("SELECT position, hash FROM record ORDER BY position DESC LIMIT 1").fetchone()
        position, head = row or (0, GENESIS)
        if self._strict and (type(head) is not bytes or (row and position < 1)):
            raise self._damaged(f"record {position} was edited", max(position, 1))
        self._position: int = position
        self._head: bytes = head

    def _check_tail(self) -> None:
        after = max(0, self._position - _TAIL)
        for _ in self._read(after, self._hash_at(after)):
            pass

    def _hash_at(self, position: int) -> bytes:
        if not position:
            return GENESIS
        row = self._db.execute("SELECT hash FROM record WHERE position = ?", (position,)).fetchone()
        if row is None or type(row[0]) is not bytes:
            raise self._damaged(f"record {position} is missing or was edited", position)
        return row[0]

    def _read(self, after: int = 0, head: bytes = GENESIS) -> Iterator[Record]:
        """The records that follow; an error of the medium is named with the first record that it takes."""
        last = after
        try:
            for record in read(self._lines(after), after, head):
                last = record.position
                yield record
        except JournalDamaged as damage:
            raise self._damaged(str(damage).partition(";")[0], damage.position or last + 1) from None

    def _lines(self, after: int) -> Iterator[Line]:
        while True:
            rows, error = self._some(_LINES, (after,))
            yield from map(self._line, rows)
            if error is not None:
                raise error
            if len(rows) < _CHUNK:
                return
            after = rows[-1][0]

    def _some(self, sql: str, values: tuple[Any, ...]) -> tuple[list[Any], StoreError | None]:
        """The rows up to an error, and the error."""
        rows: list[Any] = []
        try:
            with named(self.path):
                rows.extend(self._db.execute(sql, values))
        except StoreError as error:
            return rows, error
        return rows, None

    def _line(self, row: tuple[Any, ...]) -> Line:
        position, stream, version, key, event, hash_ = row
        if stream is None or event is None or type(version) is not int or type(hash_) is not bytes:
            raise self._damaged(f"record {position} was edited", position)
        try:
            return Line(position, stream.decode(), version, key.decode(), event, hash_)
        except UnicodeDecodeError:
            raise self._damaged(f"record {position} was edited: it is not UTF-8", position) from None

    @property
    def position(self) -> int:
        """The position of the newest record, 0 in an empty journal."""
        return self._position

    @property
    def head(self) -> bytes:
        """The hash of the newest record, 32 zero bytes in an empty journal."""
        return self._head

    def append(
        self, entries: Sequence[Entry], expected: Mapping[str, int], timers: Mapping[str, Change]
    ) -> int:
        """Write all entries or none, and return the position of the last (see core.ports.Journal)."""
        if not entries:
            return self._position
        if self._batch_lost:
            raise StoreError(f"{self.path}: an error has undone this batch; leave it, and begin another")
        prepared = prepare(entries, expected, self._position, self._head)
        execute = self._db.execute
        with named(self.path):
            try:
                execute("SAVEPOINT append" if self._batching else "BEGIN IMMEDIATE")
                self._expect_no_other()
                self._write(prepared)
                self._set_timers(timers)
                execute("RELEASE append" if self._batching else "COMMIT")
            except BaseException:
                self._undo()
                raise
        last = prepared.lines[-1]
        self._position, self._head = last.position, last.hash
        return self._position

    def _expect_no_other(self) -> None:
        if self._version() != self._data_version:
            raise VersionConflict("another process has appended to this journal; load again, decide again")

    def _write(self, prepared: Prepared) -> None:
        execute = self._db.execute
        try:
            self._db.executemany(INSERT, map(row_of, prepared.lines))
        except sqlite3.IntegrityError as error:
            if "record.key" in str(error):
                raise InvariantBroken("a key of this append has had its effect already") from None
            raise VersionConflict("another append took this place in the journal") from None
        for name, add in prepared.adds.items():
            if abs(add) > _MAX_ADD:
                raise InvariantBroken(f"{name} would leave 62 bits")
            after = execute(_ADD, (name, add)).fetchone()[0]
            if type(after) is not int:
                raise self._damaged(f"the balance {name} was edited")
            settle_tally(name, after - add, add, prepared.ceilings.get(name))

    def _set_timers(self, timers: Mapping[str, Change]) -> None:
        for name, (before_ms, due_ms) in timers.items():
            if before_ms is not None:
                self._db.execute("DELETE FROM timer WHERE due_ms = ? AND name = ?", (before_ms, name))
            if due_ms is not None:
                self._db.execute("INSERT INTO timer VALUES (?, ?)", (due_ms, name))

    def _undo(self) -> None:
        # After an I/O error SQLite may have rolled back by itself, a whole batch with it: what is on the disk
        # counts.
        try:
            if self._batching and self._db.in_transaction:
                self._db.execute("ROLLBACK TO append")
                self._db.execute("RELEASE append")
                return
        except sqlite3.Error:
            pass
        self._batch_lost = self._batching
        self._roll_back()

    def _roll_back(self) -> None:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            pass

    def stream(self, name: str) -> list[Event]:
        """The events of one stream, oldest first; raises JournalDamaged where one was edited or lost."""
        kind, subject = _split(name)
        return [
            self._linked(row, version) for version, row in enumerate(self._all(_STREAM, (subject, kind)), 1)
        ]

    def _linked(self, row: tuple[Any, ...], version: int) -> Event:
        """The event of a record; its hash follows the one before, its version is the next of its stream."""
        line, before = self._line(row[:6]), row[6]
        position = line.position
        if line.version != version:
            raise self._damaged(f"a record of {line.stream} is missing before record {position}", position)
        if position == 1:
            before = GENESIS
        if type(before) is not bytes:
            raise self._damaged(f"record {position - 1} is missing or was edited", position - 1)
        if chain(before, *line[:5]) != line.hash:
            raise self._damaged(f"record {position} was edited, or the one before", position)
        return decode_event(line.event, position)

    def _all(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with named(self.path):
            return self._db.execute(sql, values).fetchall()

    def newest(self) -> Event | None:
        """The newest event, None in an empty journal."""
        rows = self._all("SELECT CAST(event AS BLOB) FROM record WHERE position = ?", (self._position,))
        return decode_event(rows[0][0] or b"", self._position) if rows else None

    def find(self, key: str) -> str:
        """The stream whose record has this key, "" where none has."""
        rows = self._all("SELECT kind || '/' || subject FROM record WHERE key = ?", (key,))
        return rows[0][0] or "" if rows else ""

    def tally(self, name: str) -> int:
        """A balance or counter in minor units, 0 where nothing was ever posted."""
        rows = self._all("SELECT name, minor FROM tally WHERE name = ?", (name,))
        return self._numbers(rows)[0][1] if rows else 0

    def tallies(self, prefix: str = "") -> list[tuple[str, int]]:
        """All balances and counters whose name begins so, in order of name."""
        sql = "SELECT name, minor FROM tally WHERE substr(name, 1, ?) = ? ORDER BY name"
        return self._numbers(self._all(sql, (len(prefix), prefix)))

    def _numbers(self, rows: list[Any]) -> list[tuple[str, int]]:
        for name, number in rows:
            if type(name) is not str or type(number) is not int:
                raise self._damaged(f"the balance or timer of {name!r} was edited")
        return rows

    def due(self, until_ms: int, kind: str = "") -> tuple[int, str] | None:
        """The soonest timer of a kind at or before `until_ms`: (Unix ms, name)."""
        rows = self._numbers(self._all(_DUE, (until_ms, kind, f"{kind}/")))
        return next(((due_ms, name) for name, due_ms in rows), None)

    def timers(self) -> list[tuple[str, int]]:
        """Every timer: (name, Unix ms), in order of name."""
        return self._numbers(self._all("SELECT name, due_ms FROM timer ORDER BY name, due_ms"))

    def records(self) -> Iterator[Record]:
        """Every record in order; raises JournalDamaged at the first that is cut or edited."""
        return self._read()

    def streams(self, prefix: str) -> Iterator[tuple[str, list[Event]]]:
        """Every stream of one kind (`order/`) whose name begins so, in order of name, with its events."""
        kind, subject = _split(prefix)
        name, events = "", list[Event]()
        for row in self._rows(kind, subject):
            if row[1] != name.encode():
                if events:
                    yield name, events
                name, events = self._line(row[:6]).stream, []
            events.append(self._linked(row, len(events) + 1))
        if events:
            yield name, events

    def _rows(self, kind: str, prefix: str) -> Iterator[tuple[Any, ...]]:
        subject, version = "", 0
        while True:
            rows = self._all(_STREAMS, (subject, version, kind, len(prefix), prefix))
            yield from rows
            if len(rows) < _CHUNK:
                return
            subject, version = rows[-1][1].decode().partition("/")[2], rows[-1][2]

    def changed(self) -> bool:
        """Whether another process has appended since this was last asked."""
        if self._batching:
            return False
        with named(self.path):
            version = self._version()
            if version == self._data_version:
                return False
            self._data_version = version
            before = self._position
            self._load_head()
            return self._position != before

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Group the appends inside into one commit: faster, and acknowledged when the block ends.

        A batch inside a batch is part of it. Raises VersionConflict at once where another process has
        appended since this journal was last read.
        """
        if self._batching:
            yield
            return
        position, head = self._position, self._head
        with named(self.path):
            self._db.execute("BEGIN IMMEDIATE")
        self._batching = True
        try:
            self._expect_no_other()
            yield
            if self._batch_lost:
                raise StoreError(f"{self.path}: an error has undone this batch; nothing of it was applied")
            with named(self.path):
                self._db.execute("COMMIT")
        except BaseException:
            self._position, self._head = position, head
            self._roll_back()
            raise
        finally:
            self._batching = self._batch_lost = False

    def check(self) -> None:
        """Raises JournalDamaged where a page or an index of the file contradicts the others."""
        fault = self._all("PRAGMA integrity_check(1)")[0][0]
        if fault != "ok":
            raise self._damaged(f"its pages or indices contradict each other ({fault})")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read inside is the state of one moment, whatever other processes append."""
        with named(self.path):
            self._db.execute("SAVEPOINT snapshot")
            self._db.execute("SELECT 1 FROM record").fetchone()
        try:
            yield
        finally:
            with named(self.path):
                self._db.execute("RELEASE snapshot")

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        if not self._closed:
            self._closed = True
            _OPEN.discard(self)
            self._db.close()


def _split(stream: str) -> tuple[str, str]:
    kind, _, subject = stream.partition("/")
    return kind, subject


def row_of(line: Line) -> tuple[int, str, str, int, str | None, str, bytes]:
    """The row of the table `record` that holds a line."""
    position, stream, version, key, event, hash_ = line
    kind, subject = _split(stream)
    return position, subject, kind, version, key or None, event.decode(), hash_
