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
from typing import Any, Final, NoReturn
from urllib.parse import quote

from paysim.core.errors import ConfigError, InvariantBroken, JournalDamaged, StoreError, VersionConflict
from paysim.core.event import Entry, Event, Record
from paysim.core.ports import Change
from paysim.ledger.journal import GENESIS, Line, chain, decode_event, prepare, read, settle_tally

__all__ = ["APPLICATION_ID", "SqliteJournal"]

APPLICATION_ID: Final = 0x50_53_49_4D  # "PSIM"
_FORMAT: Final = 1
_TAIL: Final = 64
"""How many of the newest records are checked when a file is opened; `verify` checks them all."""

_SYNCHRONOUS: Final = {"full": "FULL", "normal": "NORMAL"}

_SCHEMA: Final = f"""
CREATE TABLE record (
    position INTEGER PRIMARY KEY, subject TEXT NOT NULL, kind TEXT NOT NULL, version INTEGER NOT NULL,
    key TEXT, event TEXT NOT NULL, hash BLOB NOT NULL, UNIQUE (subject, kind, version));
CREATE UNIQUE INDEX record_key ON record (key) WHERE key IS NOT NULL;
CREATE TABLE tally (name TEXT PRIMARY KEY, minor INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE timer (due_ms INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (due_ms, name)) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
"""

# A stream `kind/subject` is stored as two columns, subject first, so that the two streams of one order lie
# on one page of the index; small pages, because a commit writes whole ones.
_PAGE_BYTES: Final = 1_024
_CHECKPOINT_PAGES: Final = 16_000

_LINES: Final = (
    "SELECT position, kind || '/' || subject, version, ifnull(key, ''), CAST(event AS BLOB), hash FROM record"
)
_INSERT: Final = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)"
_ADD: Final = (
    "INSERT INTO tally VALUES (?, ?) ON CONFLICT DO UPDATE SET minor = minor + excluded.minor RETURNING minor"
)


class SqliteJournal:
    """A journal in the SQLite file at `path`, made if it is absent (unless `read_only`).

    `busy_ms` is how long to wait for another process's lock; `max_pages` bounds the file (SQLite's
    max_page_count). Raises StoreError where the file cannot be opened or written, and JournalDamaged where
    it was cut or edited; `paysim verify FILE --repair` keeps what is readable then.
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
        self._batching = False
        self._closed = False
        with _named(self.path):
            self._db = _connect(self.path, read_only, busy_ms)
            try:
                self._open(durability, read_only, max_pages)
            except BaseException:
                self._db.close()
                raise

    def _open(self, durability: str, read_only: bool, max_pages: int | None) -> None:
        execute = self._db.execute
        if not read_only:
            self._create()
            execute("PRAGMA journal_mode = WAL")
            execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
        if execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreError(f"{self.path} is a SQLite file, but no paysim journal; give another path")
        if execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
            raise StoreError(f"{self.path} was written by another version of paysim")
        if max_pages is not None:
            execute(f"PRAGMA max_page_count = {int(max_pages)}")
        execute("PRAGMA cache_size = -16384")
        self._data_version = execute("PRAGMA data_version").fetchone()[0]
        self._load_head()
        self._check_tail()

    def _create(self) -> None:
        if self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            return
        self._db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        self._db.execute("BEGIN IMMEDIATE")
        if not self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            for statement in _SCHEMA.split(";")[:-1]:
                self._db.execute(statement)
        self._db.execute("COMMIT")

    def _load_head(self) -> None:
        row = self._db.execute("SELECT position, hash FROM record ORDER BY position DESC LIMIT 1").fetchone()
        self._position: int = row[0] if row else 0
        self._head: bytes = row[1] if row else GENESIS

    def _check_tail(self) -> None:
        after = max(0, self._position - _TAIL)
        for _ in read(self._lines(after), after, self._hash_at(after)):
            pass

    def _hash_at(self, position: int) -> bytes:
        if not position:
            return GENESIS
        row = self._db.execute("SELECT hash FROM record WHERE position = ?", (position,)).fetchone()
        if row is None:
            raise JournalDamaged(f"{self.path}: record {position} is missing", position=position)
        return bytes(row[0])

    def _lines(self, after: int = 0) -> Iterator[Line]:
        return map(Line._make, self._db.execute(f"{_LINES} WHERE position > ? ORDER BY position", (after,)))

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
        prepared = prepare(entries, expected, self._position, self._head)
        execute = self._db.execute
        try:
            execute("SAVEPOINT append" if self._batching else "BEGIN IMMEDIATE")
            try:
                if execute("PRAGMA data_version").fetchone()[0] != self._data_version:
                    raise VersionConflict("another process has appended to this journal")
                self._write(prepared.lines, prepared.adds, prepared.ceilings)
                for name, (before_ms, due_ms) in timers.items():
                    if before_ms is not None:
                        execute("DELETE FROM timer WHERE due_ms = ? AND name = ?", (before_ms, name))
                    if due_ms is not None:
                        execute("INSERT INTO timer VALUES (?, ?)", (due_ms, name))
                execute("RELEASE append" if self._batching else "COMMIT")
            except BaseException:
                self._undo()
                raise
        except sqlite3.Error as error:
            self._fail(error)
        last = prepared.lines[-1]
        self._position, self._head = last.position, last.hash
        return self._position

    def _write(self, lines: list[Line], adds: dict[str, int], ceilings: dict[str, int]) -> None:
        execute = self._db.execute
        try:
            self._db.executemany(_INSERT, map(_row, lines))
        except sqlite3.IntegrityError as error:
            if "record.key" not in str(error):
                raise VersionConflict("another append took this place in the journal") from None
            raise InvariantBroken("a key of this append has had its effect already") from None
        for name, add in adds.items():
            after = execute(_ADD, (name, add)).fetchone()[0]
            settle_tally(name, after - add, add, ceilings.get(name))

    def _undo(self) -> None:
        # After an I/O error SQLite may have rolled back by itself; the state on disk is what counts.
        try:
            if self._batching:
                self._db.execute("ROLLBACK TO append")
                self._db.execute("RELEASE append")
            elif self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            pass

    def _fail(self, error: sqlite3.Error) -> NoReturn:
        raise _translate(error, self.path) from None

    def stream(self, name: str) -> list[Event]:
        """The events of one stream, oldest first; raises JournalDamaged where one was edited."""
        rows = self._all(
            "SELECT r.position, r.version, ifnull(r.key, ''), CAST(r.event AS BLOB), r.hash, b.hash FROM record r "
            "LEFT JOIN record b ON b.position = r.position - 1 WHERE r.subject = ? AND r.kind = ? ORDER BY r.version",
            _split(name)[::-1],
        )
        return [self._checked(Line(p, name, v, k, e, h), before) for p, v, k, e, h, before in rows]

    def _checked(self, line: Line, before: bytes | None) -> Event:
        if chain(before or GENESIS, *line[:5]) != line.hash:
            raise JournalDamaged(
                f"{self.path}: record {line.position} was edited; `paysim verify {self.path}` says more",
                position=line.position,
            )
        return decode_event(line.event, line.position)

    def _all(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with _named(self.path):
            return self._db.execute(sql, values).fetchall()

    def newest(self) -> Event | None:
        """The newest event, None in an empty journal."""
        rows = self._all("SELECT event FROM record WHERE position = ?", (self._position,))
        return decode_event(rows[0][0], self._position) if rows else None

    def find(self, key: str) -> str:
        """The stream whose record has this key, "" where none has."""
        rows = self._all("SELECT kind || '/' || subject FROM record WHERE key = ?", (key,))
        return rows[0][0] if rows else ""

    def tally(self, name: str) -> int:
        """A balance or counter in minor units, 0 where nothing was ever posted."""
        rows: list[tuple[int]] = self._all("SELECT minor FROM tally WHERE name = ?", (name,))
        return rows[0][0] if rows else 0

    def tallies(self, prefix: str = "") -> list[tuple[str, int]]:
        """All balances and counters whose name begins so, in order of name."""
        return self._all("SELECT name, minor FROM tally WHERE substr(name, 1, ?) = ? ORDER BY name", (len(prefix), prefix))

    def due(self, until_ms: int) -> tuple[int, str] | None:
        """The soonest timer at or before `until_ms`: (Unix ms, name)."""
        rows = self._all("SELECT due_ms, name FROM timer WHERE due_ms <= ? ORDER BY due_ms, name LIMIT 1", (until_ms,))
        return rows[0] if rows else None

    def timers(self) -> list[tuple[str, int]]:
        """Every timer: (name, Unix ms), in order of name."""
        return self._all("SELECT name, due_ms FROM timer ORDER BY name")

    def records(self) -> Iterator[Record]:
        """Every record in order; raises JournalDamaged at the first that is cut or edited."""
        with _named(self.path):
            yield from read(self._lines())

    def streams(self, prefix: str) -> Iterator[tuple[str, list[Event]]]:
        """Every stream whose name begins so, in order of name, with its events."""
        kind, subject = _split(prefix)
        names = self._all(
            "SELECT DISTINCT kind || '/' || subject FROM record WHERE kind = ? AND substr(subject, 1, ?) = ? ORDER BY 1",
            (kind, len(subject), subject),
        )
        for (name,) in names:
            yield name, self.stream(name)

    def changed(self) -> bool:
        """Whether another process has appended since this was last asked."""
        if self._batching:
            return False
        with _named(self.path):
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
            if version == self._data_version:
                return False
            self._data_version = version
            before = self._position
            self._load_head()
            return self._position != before

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Group the appends inside into one commit: faster, and acknowledged when the block ends.

        Raises VersionConflict at once where another process has appended since this journal was last read.
        """
        position, head = self._position, self._head
        with _named(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            self._batching = True
            try:
                if self._db.execute("PRAGMA data_version").fetchone()[0] != self._data_version:
                    raise VersionConflict("another process has appended to this journal")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._position, self._head = position, head
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._batching = False

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._db.close()


def _split(stream: str) -> tuple[str, str]:
    kind, _, subject = stream.partition("/")
    return kind, subject


def _row(line: Line) -> tuple[int, str, str, int, str | None, str, bytes]:
    position, stream, version, key, event, hash_ = line
    kind, _, subject = stream.partition("/")
    return position, subject, kind, version, key or None, event.decode(), hash_


def _connect(path: Path, read_only: bool, busy_ms: int) -> sqlite3.Connection:
    if path.is_dir():
        raise StoreError(f"{path} is a folder; a journal is a file")
    mode = "ro" if read_only else "rwc"
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(
        uri, uri=True, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=False, cached_statements=256
    )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from None


_ADVICE: Final[tuple[tuple[str, str], ...]] = (
    ("locked", "another process holds it; wait for it to end, or give another file"),
    ("full", "the disk or the page limit is full; make room, nothing of this command was applied"),
    ("readonly", "it is read-only; check the rights of the file and its folder"),
    ("unable to open", "check that the folder exists and may be written"),
    ("disk i/o error", "the medium failed or a size limit was met; nothing of this command was applied"),
)


def _translate(error: sqlite3.Error, path: Path) -> StoreError:
    text = str(error)
    low = text.lower()
    if "malformed" in low or "not a database" in low or "no such table" in low:
        return JournalDamaged(
            f"{path} is damaged ({text}); `paysim verify {path}` says where, and `--repair` keeps what is readable"
        )
    for mark, advice in _ADVICE:
        if mark in low:
            return StoreError(f"{path}: {text}: {advice}")
    return StoreError(f"{path}: {text}")
