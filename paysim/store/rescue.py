"""Repair: a new journal from what can be read of a damaged one, and the damaged one kept.

The steps, each of which leaves everything readable if the process dies behind it:

1. The records that hold are written to `FILE.new-...`, with balances and timers counted anew, and checked.
2. The damaged file and its log get second names, `FILE.damaged-1` and `FILE.damaged-1-wal`.
3. The new journal is renamed `FILE.repaired`. From here on FILE is refused until the repair is finished.
4. The damaged log goes, and `FILE.repaired` is renamed FILE. A repair that finds `FILE.repaired` begins here.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from paysim.core.errors import StoreError
from paysim.core.event import Record
from paysim.ledger.invariants import callback_timers, histories, settle, verify
from paysim.ledger.journal import Line, decode_event

from .file import begun_repair, blank, keep_as, named, set_wal_mode, sync_folder, wal_of, write_new
from .salvage import Salvage, salvage_file
from .sqlite import INSERT, SqliteJournal, is_open_here, row_of

__all__ = ["Repair", "repair"]

_SHARED_LOCK: Final = (0x4000_0002, 510)
"""Offset and length of the bytes on which every connection holds a lock. Source: sqlite.org os_unix.c"""


class Repair(NamedTuple):
    """What a repair did.

    `kept` records are in the journal now; `cut` is the first position that was missing or edited, 0 where
    only balances, timers or an index were; `backup` is the damaged file, None where nothing was wrong.
    """

    kept: int
    cut: int
    backup: Path | None


def repair(path: str | Path) -> Repair:
    """Put a sound journal in place of a damaged one: its records up to the first that is missing or edited.

    Raises StoreError where the file is in use or nothing of it can be read, and JournalDamaged where the
    records themselves break a rule; the file is as it was then.
    """
    path = Path(path)
    real = Path(os.path.realpath(path))
    with named(path), _alone(real):
        if begun_repair(real).exists():
            return _finish(real)
        if _is_sound(real):
            return Repair(salvage_file(real).count, 0, None)
        found = salvage_file(real)
        if not found.count:
            raise StoreError(
                f"{path}: no record of a journal can be read in it; give another path, or delete it"
            )
        fresh = real.with_name(f"{real.name}.new-{secrets.token_hex(4)}")
        try:
            _write(fresh, found)
            backup = _keep(real)
            os.replace(fresh, begun_repair(real))
        finally:
            fresh.unlink(missing_ok=True)
        sync_folder(real.parent)
        _take_place(real)
        return Repair(found.count, found.cut, backup)


def _is_sound(real: Path) -> bool:
    try:
        with closing(SqliteJournal(real, read_only=True)) as journal:
            verify(journal)
    except StoreError:
        return False
    return True


# 1. The new journal. ------------------------------------------------------------------------------


def _write(fresh: Path, found: Salvage) -> None:
    write_new(fresh, blank(wal=False))
    with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        tallies: dict[str, int] = {}
        db.executemany(INSERT, map(row_of, _settled(found, tallies)))
        db.executemany("INSERT INTO tally VALUES (?, ?)", tallies.items())
        db.execute("COMMIT")
        with closing(SqliteJournal(fresh, read_only=True)) as journal:
            owed = [(history.due_ms(), history.id) for history in histories(journal)]
            owed += [(due_ms, name) for name, due_ms in callback_timers(journal)]
        db.executemany("INSERT INTO timer VALUES (?, ?)", (row for row in owed if row[0] is not None))
    with closing(SqliteJournal(fresh, read_only=True)) as journal:
        verify(journal, found.head)
    set_wal_mode(fresh)


def _settled(found: Salvage, tallies: dict[str, int]) -> Iterator[Line]:
    """The lines that were found; what they say of balances is added to `tallies` on the way."""
    for line in found.lines():
        event = decode_event(line.event, line.position)
        settle(Record(*line[:4], event, line.hash), tallies)
        yield line


# 2. The damaged one. ------------------------------------------------------------------------------


def _keep(real: Path) -> Path:
    """Second names for the damaged file and its log; the first that is there."""
    backup = next(name for name in _backups(real) if not (name.exists() or wal_of(name).exists()))
    pairs = [(real, backup), (wal_of(real), wal_of(backup))]
    kept = [(name, copy) for name, copy in pairs if name.exists() and name.stat().st_size]
    for name, copy in kept:
        keep_as(name, copy)
    sync_folder(real.parent)
    return kept[0][1]


def _backups(real: Path) -> Iterator[Path]:
    return (real.with_name(f"{real.name}.damaged-{number}") for number in count(1))


# 4. The change. -----------------------------------------------------------------------------------


def _take_place(real: Path) -> None:
    wal_of(real).unlink(missing_ok=True)
    real.with_name(f"{real.name}-shm").unlink(missing_ok=True)
    sync_folder(real.parent)
    os.replace(begun_repair(real), real)
    sync_folder(real.parent)


def _finish(real: Path) -> Repair:
    """Go on with a repair that was cut short after its third step."""
    backup = real
    for name in _backups(real):
        if not (name.exists() or wal_of(name).exists()):
            break
        backup = name
    found = salvage_file(backup)
    _take_place(real)
    return Repair(found.count, found.cut, backup if backup.exists() else wal_of(backup))


@contextmanager
def _alone(real: Path) -> Iterator[None]:
    """Keep other processes out meanwhile; raises StoreError where one has the file open."""
    if is_open_here(real):
        raise StoreError(f"{real} is open in this process; close it, then repair")
    if sys.platform == "win32" or not real.is_file():
        yield
        return
    import fcntl

    with open(real, "rb+") as file:
        start, length = _SHARED_LOCK
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except BlockingIOError:
            raise StoreError(f"{real} is open in another process; end it, then repair") from None
        try:
            yield
        finally:
            _tidy(real)


def _tidy(real: Path) -> None:
    """Take away what a connection that only reads leaves: an empty log and the index of it."""
    log = wal_of(real)
    if log.exists() and not log.stat().st_size:
        log.unlink()
        real.with_name(f"{real.name}-shm").unlink(missing_ok=True)
