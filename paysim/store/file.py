"""The file of a journal: what may be opened as one, how it is born, and what SQLite's errors mean."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from paysim.core.errors import JournalDamaged, StoreError

__all__ = [
    "APPLICATION_ID",
    "FORMAT",
    "PAGE_BYTES",
    "SCHEMA",
    "begun_repair",
    "blank",
    "connect",
    "damage_advice",
    "keep_as",
    "named",
    "place",
    "set_wal_mode",
    "sync_folder",
    "wal_of",
    "write_new",
]

APPLICATION_ID: Final = 0x50_53_49_4D  # "PSIM"
FORMAT: Final = 1

# A stream `kind/subject` is stored as two columns, subject first, so that the two streams of one order lie
# on one page of the index; small pages, because a commit writes whole ones.
PAGE_BYTES: Final = 1_024

SCHEMA: Final[dict[str, str]] = {
    "record": "CREATE TABLE record ( position INTEGER PRIMARY KEY, subject TEXT NOT NULL, kind TEXT NOT NULL,"
    " version INTEGER NOT NULL, key TEXT, event TEXT NOT NULL, hash BLOB NOT NULL,"
    " UNIQUE (subject, kind, version))",
    "record_key": "CREATE UNIQUE INDEX record_key ON record (key) WHERE key IS NOT NULL",
    "tally": "CREATE TABLE tally (name TEXT PRIMARY KEY, minor INTEGER NOT NULL) WITHOUT ROWID",
    "timer": "CREATE TABLE timer (due_ms INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (due_ms, name)) "
    "WITHOUT ROWID",
}
"""Name -> what makes it. Runs of white space count as one space."""

_WAL_MODE: Final = slice(18, 20)
_WITH_WAL: Final = b"\2\2"
"""The two version bytes of the file header. Source: sqlite.org fileformat2 1.3.3"""


# Names beside the file. ---------------------------------------------------------------------------


def wal_of(path: Path) -> Path:
    """Where SQLite keeps what is not in the main file yet."""
    return path.parent / f"{path.name}-wal"  # with_name refuses the root folder, which has no name


def begun_repair(path: Path) -> Path:
    """Where a repair puts the finished journal before it takes the damaged one's name."""
    return path.parent / f"{path.name}.repaired"


# Opening. -----------------------------------------------------------------------------------------


def place(path: Path, *, create: bool) -> Path:
    """The real path of a journal, made empty if it is absent and `create`.

    Raises StoreError for what is no file or cannot be made, and JournalDamaged for a file that has lost its
    beginning; SQLite would take that for a new database, and throw away the log beside it.
    """
    if "\0" in str(path):
        raise StoreError("a path has no NUL character; give another path")
    with named(path):
        real = Path(os.path.realpath(path))
        if begun_repair(real).exists():
            raise JournalDamaged(
                f"a repair of {path} was cut short; `paysim verify {path} --repair` finishes it"
            )
        logged = _bytes_of(wal_of(real))
        try:
            found = real.stat()
        except FileNotFoundError:
            if logged:
                raise JournalDamaged(
                    f"{path} is missing, but {wal_of(path)} has records of it; put it back, or "
                    f"`paysim verify {path} --repair` keeps what the log has"
                ) from None
            if not create:
                raise StoreError(f"{path}: there is no such file; give the path of a journal") from None
            _create(real)
            return real
        _check_file(path, found, logged)
        return real


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _check_file(path: Path, found: os.stat_result, logged: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{path} is a folder; a journal is a file: give a path inside it")
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path} is no regular file; give another path")
    if found.st_size <= 1:  # SQLite takes one byte for none
        advice = (
            f"`paysim verify {path} --repair` keeps what {wal_of(path)} has"
            if logged
            else "delete it to begin anew"
        )
        raise JournalDamaged(
            f"{path} is empty, which no journal is; {advice}, or give another path", position=1
        )


def connect(real: Path, *, read_only: bool, busy_ms: int) -> sqlite3.Connection:
    """A connection to a file that is there; without locks on a read-only medium where nothing is logged."""
    db = _connect(real, "mode=ro" if read_only else "mode=rw", busy_ms)
    if read_only:
        try:
            db.execute("SELECT 1 FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            db.close()
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN or _bytes_of(wal_of(real)):
                raise
            return _connect(real, "mode=ro&immutable=1", busy_ms)
        except BaseException:
            db.close()
            raise
    return db


def _connect(real: Path, how: str, busy_ms: int) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(os.fsencode(real))}?{how}",
        uri=True,
        timeout=busy_ms / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


# Writing whole files. -----------------------------------------------------------------------------


def blank(*, wal: bool = True) -> bytes:
    """The bytes of an empty journal's file: a database that has a write-ahead log, or has none yet."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        for statement in SCHEMA.values():
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
        image = bytearray(db.serialize())
    if wal:
        image[_WAL_MODE] = _WITH_WAL
    return bytes(image)


def set_wal_mode(path: Path) -> None:
    """Say in a closed file that it has a write-ahead log, and sync it."""
    with open(path, "rb+") as file:
        file.seek(_WAL_MODE.start)
        file.write(_WITH_WAL)
        file.flush()
        os.fsync(file.fileno())


def _create(real: Path) -> None:
    """Put an empty journal at a free path, whole or not at all; one that another process put there stays."""
    fresh = real.with_name(f"{real.name}.new-{secrets.token_hex(4)}")
    try:
        write_new(fresh, blank())
        try:
            os.link(fresh, real)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            write_new(real, blank())
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(real.parent)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet, and sync it."""
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def keep_as(path: Path, copy: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    try:
        os.link(path, copy)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(path, copy)
        with open(copy, "rb+") as file:
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


# Errors. ------------------------------------------------------------------------------------------

_DAMAGED: Final = "`paysim verify {path}` says where, and `--repair` keeps what is readable"


def damage_advice(path: Path) -> str:
    """What to do about a damaged journal."""
    return _DAMAGED.format(path=path)


_ADVICE: Final[dict[int, tuple[type[StoreError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreError, "another process holds it; wait for it to end, or give another file"),
    sqlite3.SQLITE_LOCKED: (StoreError, "it is in use; end what reads or writes it first"),
    sqlite3.SQLITE_FULL: (StoreError, "make room; nothing of this command was applied"),
    sqlite3.SQLITE_IOERR: (
        StoreError,
        "the medium failed, or met a size limit; mend it or make room, nothing of this command was applied",
    ),
    sqlite3.SQLITE_READONLY: (StoreError, "check the rights of the file and its folder"),
    sqlite3.SQLITE_PERM: (StoreError, "check the rights of the file and its folder"),
    sqlite3.SQLITE_CANTOPEN: (StoreError, "check that it and its folder exist and may be written"),
    sqlite3.SQLITE_NOMEM: (StoreError, "give the process more memory; nothing of this command was applied"),
    sqlite3.SQLITE_NOTADB: (
        JournalDamaged,
        "give another path; where it was a journal, `paysim verify {path} --repair` keeps what is readable",
    ),
    sqlite3.SQLITE_CORRUPT: (JournalDamaged, _DAMAGED),
    sqlite3.SQLITE_FORMAT: (JournalDamaged, _DAMAGED),
    sqlite3.SQLITE_TOOBIG: (JournalDamaged, _DAMAGED),
    sqlite3.SQLITE_CONSTRAINT: (JournalDamaged, _DAMAGED),
    sqlite3.SQLITE_MISMATCH: (JournalDamaged, _DAMAGED),
}
"""Primary result code -> our error, and the next step. Source: sqlite.org rescode"""

_DAMAGE_MARKS: Final = ("no such table", "no such column", "no such index", "could not decode", "malformed")


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the file system into ours, with the next step in the text."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from None
    except FileNotFoundError:
        raise StoreError(
            f"{path}: the folder {path.parent} does not exist; make it, or give another path"
        ) from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; check the path and the rights, or make room") from None
    except (MemoryError, OverflowError, UnicodeError) as error:
        raise JournalDamaged(f"{path}: {error or 'a value is too big'}; {damage_advice(path)}") from None


def _translate(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None and "closed" in str(error):
        return StoreError(f"{path}: the journal is closed; open it again")
    if any(mark in str(error).lower() for mark in _DAMAGE_MARKS):
        code = sqlite3.SQLITE_CORRUPT
    kind, advice = _ADVICE.get((code or 0) & 0xFF, (StoreError, "nothing of this command was applied"))
    return kind(f"{path}: {error}; {advice.format(path=path)}")
