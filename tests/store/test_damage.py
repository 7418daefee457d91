"""Files that are no journal, or were edited: what is refused, which record is named, what stays readable."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
import till
from counts import count

from paysim import CNY, Sandbox
from paysim.core.errors import JournalDamaged, StoreError
from paysim.core.event import Entry, Event
from paysim.ledger.invariants import verify
from paysim.store import SqliteJournal
from paysim.store.file import wal_of

PAYMENTS = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed journal of some payments."""
    path = tmp_path_factory.mktemp("made") / "made.paysim"
    with Sandbox(seed=1, store=path, durability="normal") as sandbox:
        till.serve(sandbox, PAYMENTS, 1)
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    copy = tmp_path / "journal.paysim"
    copy.write_bytes(made.read_bytes())
    return copy


def edit(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


# What cannot be opened. -----------------------------------------------------------------------------------


def folder(path: Path) -> None:
    path.mkdir()


def foreign(path: Path) -> None:
    edit(path, "CREATE TABLE mine (a)", "INSERT INTO mine VALUES (1)")


def foreign_and_empty(path: Path) -> None:
    edit(path, "CREATE TABLE mine (a)", "DROP TABLE mine")


def noise(size: int) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(random.Random(size).randbytes(size)) and None


def log_alone(path: Path) -> None:
    wal_of(path).write_bytes(b"\x37\x7f\x06\x82" + bytes(2_000))


UNUSABLE: dict[str, tuple[Callable[[Path], object], type[StoreError], str]] = {
    "a folder": (folder, StoreError, "is a folder; a journal is a file"),
    "a pipe": (os.mkfifo, StoreError, "is no regular file"),
    "an empty file": (Path.touch, JournalDamaged, "is empty.*delete it to begin anew"),
    "an empty file beside a log": (
        lambda path: (path.touch(), log_alone(path)),
        JournalDamaged,
        "is empty.*--repair",
    ),
    "a log alone": (log_alone, JournalDamaged, "is missing.*--repair"),
    "a foreign database": (foreign, StoreError, "no paysim journal; give another path"),
    "a foreign database without tables": (
        foreign_and_empty,
        StoreError,
        "no paysim journal; give another path",
    ),
    "a text": (
        lambda path: path.write_text("hello\n" * 99),
        JournalDamaged,
        "not a database; give another path",
    ),
    "one byte": (noise(1), JournalDamaged, "is empty.*delete it to begin anew"),
    "two bytes": (noise(2), JournalDamaged, "not a database; give another path"),
    "noise": (noise(5_000), JournalDamaged, "not a database; give another path"),
    "only SQLite's first line": (
        lambda path: path.write_bytes(b"SQLite format 3\0"),
        JournalDamaged,
        "not a database; give another path",
    ),
}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("case", UNUSABLE)
def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path, case: str, read_only: bool) -> None:
    make, kind, text = UNUSABLE[case]
    path = tmp_path / "x"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(kind, match=text) as caught:
        SqliteJournal(path, read_only=read_only)
    assert type(caught.value) is kind
    assert before == (path.read_bytes() if path.is_file() else None)


PATHS = {
    "a missing folder": ("missing/x", "the folder .*missing does not exist; make it"),
    "a file as a folder": ("file/x", "check the path"),
    "a NUL": ("x\0y", "no NUL"),
    "a long name": ("x" * 300, "check the path"),
}


@pytest.mark.parametrize("case", PATHS)
def test_a_path_that_cannot_be_is_refused(tmp_path: Path, case: str) -> None:
    (tmp_path / "file").touch()
    name, text = PATHS[case]
    with pytest.raises(StoreError, match=text):
        SqliteJournal(tmp_path / name)


@pytest.mark.parametrize("name", ["a?mode=memory#b%20c", "空 格.paysim", "x\udcff", ":memory:"])
def test_a_strange_name_is_a_file_of_that_name(tmp_path: Path, name: str) -> None:
    with closing(SqliteJournal(tmp_path / name)) as journal:
        journal.append([Entry("order/1", Event("noted", 0))], {"order/1": 0}, {})
        assert name in os.listdir(tmp_path)


def test_a_link_leads_to_its_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "dangling").symlink_to(tmp_path / "new")
    with closing(SqliteJournal(tmp_path / "link")) as journal:
        assert journal.position
    with closing(SqliteJournal(tmp_path / "dangling")) as journal:
        assert (tmp_path / "new").stat().st_size


# Edited files. ---------------------------------------------------------------------------------------------

BAD = "CAST(x'ff' AS TEXT)"
RECORDS = {
    "an amount": "event = replace(event, '\"at_ms\":1', '\"at_ms\":2')",
    "no event": "event = ''",
    "an event that is no text": "event = x'ff'",
    "an event that is no UTF-8": f"event = {BAD}",
    "an event that is a number": "event = 5",
    "an event of ten megabytes": "event = zeroblob(10000000)",
    "an event of many brackets": f"event = '{'[' * 100_000}'",
    "no event at all": "event = NULL",
    "a stream": "subject = 'other'",
    "a kind": "kind = 'other'",
    "a kind with a stroke": "kind = kind || '/x'",
    "a stream that is no UTF-8": f"subject = {BAD}",
    "a stream that is no text": "subject = x'ff'",
    "a kind that is no UTF-8": f"kind = {BAD}",
    "no stream": "subject = NULL",
    "no kind": "kind = NULL",
    "a version": "version = 1000",
    "a version that is a text": "version = 'one'",
    "a version that is a fraction": "version = 2.5",
    "no version": "version = NULL",
    "a key": "key = 'another'",
    "a key that is no UTF-8": f"key = {BAD}",
    "a hash": "hash = zeroblob(32)",
    "a short hash": "hash = substr(hash, 1, 31)",
    "a long hash": "hash = zeroblob(1000000)",
    "a hash that is a text": "hash = 'text'",
    "a hash that is a number": "hash = 1000000000000",
    "no hash": "hash = NULL",
    "a position far away": "position = 9223372036854775807",
    "a position below all": "position = -9223372036854775808",
    "position 0": "position = 0",
}
"""What is edited in a record -> how."""


def edit_record(path: Path, position: int, change: str) -> None:
    """Edit a record as somebody would who minds no rule of the schema."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'record'").fetchone()
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') WHERE name = 'record'")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"UPDATE record SET {change} WHERE position = {position}")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'record'", (sql,))


def length_of(path: Path) -> int:
    with closing(SqliteJournal(path)) as journal:
        return journal.position


@pytest.mark.parametrize("where", ["first", "middle", "near the end", "last"])
@pytest.mark.parametrize("what", RECORDS)
def test_an_edited_record_is_named_and_those_before_it_are_readable(
    path: Path, what: str, where: str
) -> None:
    length = length_of(path)
    position = {"first": 1, "middle": length // 2, "near the end": length - 20, "last": length}[where]
    with closing(SqliteJournal(path)) as journal:
        records = list(journal.records())
    edit_record(path, position, RECORDS[what])
    with closing(SqliteJournal(path, read_only=True)) as journal:
        if (what, where) in (("a position below all", "last"), ("position 0", "last")):
            position = 0  # the last record is gone, and only its effects say that it was there
        with pytest.raises(JournalDamaged, match=r"--repair|find a copy") as caught:
            verify(journal, records[-1].hash)
        assert caught.value.position == position or position == 0
        read = []
        with pytest.raises(JournalDamaged) if position else nullcontext():
            for record in journal.records():
                read.append(record)
        assert read == records[: (position or length) - 1]
    if where != "middle" and where != "first" and position:
        with pytest.raises(JournalDamaged):
            SqliteJournal(path)


def test_a_deleted_record_is_named(path: Path) -> None:
    """The first of several: they are deleted from the end."""
    for position in (length_of(path) - 3, 7, 1):
        edit(path, f"DELETE FROM record WHERE position = {position}")
        with closing(SqliteJournal(path, read_only=True)) as journal, pytest.raises(JournalDamaged) as caught:
            verify(journal)
        assert caught.value.position == position
    with pytest.raises(JournalDamaged, match="record"):
        SqliteJournal(path)


def test_an_edited_record_is_not_read_by_its_stream(path: Path) -> None:
    with Sandbox(store=path) as sandbox:
        order = next(order for order in sandbox.orders() if len(order.book.events) > 2)
    edit(path, f"DELETE FROM record WHERE kind = 'order' AND subject = '{order.id}' AND version = 2")
    with (
        Sandbox(store=SqliteJournal(path, read_only=True)) as sandbox,
        pytest.raises(JournalDamaged, match="missing"),
    ):
        sandbox.order(order.id)


def test_a_cut_tail_is_proved_by_an_earlier_head(path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        length, head = journal.position, journal.head
    edit(path, f"DELETE FROM record WHERE position > {length - 4}")
    with (
        closing(SqliteJournal(path)) as journal,
        pytest.raises(JournalDamaged, match="cut or rewritten") as caught,
    ):
        verify(journal, head)
    assert caught.value.position == length - 3


DERIVED = {
    "a balance": "UPDATE tally SET minor = minor + 1 WHERE name LIKE 'payer/%'",
    "a balance that is a text": "UPDATE tally SET minor = 'much' WHERE name LIKE 'payer/%'",
    "a balance that is a fraction": "UPDATE tally SET minor = 0.5 WHERE name LIKE 'payer/%'",
    "a balance whose name is no UTF-8": f"UPDATE tally SET name = {BAD} WHERE name LIKE 'payer/%'",
    "a balance whose name is no text": "UPDATE tally SET name = x'00' WHERE name LIKE 'payer/%'",
    "a balance more": "INSERT INTO tally VALUES ('payer/nobody/available:CNY', 5)",
    "no balances": "DELETE FROM tally",
    "a timer later": "UPDATE timer SET due_ms = due_ms + 1",
    "a timer sooner": "UPDATE timer SET due_ms = 0",
    "a timer that is a text": "UPDATE timer SET due_ms = 'soon'",
    "a timer of nobody": "INSERT INTO timer VALUES (0, 'nobody')",
    "a timer whose name is no text": "UPDATE OR IGNORE timer SET name = x'00'",
    "a timer whose name is no UTF-8": f"UPDATE OR IGNORE timer SET name = {BAD}",
    "no timers": "DELETE FROM timer",
}


@pytest.mark.parametrize("what", DERIVED)
def test_an_edited_balance_or_timer_is_found(path: Path, what: str) -> None:
    edit(path, DERIVED[what])
    with closing(SqliteJournal(path)) as journal:
        with pytest.raises(JournalDamaged, match="--repair") as caught:
            verify(journal)
        assert caught.value.position == 0
        assert len(list(journal.records())) == journal.position


def test_an_advance_does_not_ring_an_edited_timer_for_ever(path: Path) -> None:
    with Sandbox(store=path) as sandbox:
        sandbox.shop("Tea House").create(CNY("1.00")).present("qr.merchant")
    edit(path, "UPDATE timer SET due_ms = 5")
    with Sandbox(store=path) as sandbox:
        before = sandbox.journal.head, sandbox.clock.now_ms()
        with pytest.raises(JournalDamaged, match=r"the stored timer of order .* --repair"):
            sandbox.advance(minutes=1)
        assert (sandbox.journal.head, sandbox.clock.now_ms()) == before


@pytest.mark.parametrize("what", DERIVED)
def test_a_sandbox_on_edited_balances_or_timers_ends_in_a_named_error(path: Path, what: str) -> None:
    edit(path, DERIVED[what])
    texts = []
    with Sandbox(store=path) as sandbox:
        for _ in range(3):
            try:
                till.serve(sandbox, 3, 3)
                sandbox.advance(days=3)
                sandbox.balances()
            except StoreError as error:
                texts.append(str(error))
    assert all("--repair" in text or "negative" in text for text in texts)


SCHEMAS = {
    "no index of keys": ("DROP INDEX record_key", JournalDamaged, "record_key.*--repair"),
    "no timers": ("DROP TABLE timer", JournalDamaged, "timer.*--repair"),
    "no balances": ("DROP TABLE tally", JournalDamaged, "tally.*--repair"),
    "another column": ("ALTER TABLE tally RENAME minor TO major", JournalDamaged, "tally.*--repair"),
    "a column more": ("ALTER TABLE record ADD COLUMN more", JournalDamaged, "record.*--repair"),
    "no records": ("DROP TABLE record", JournalDamaged, "record.*--repair"),
    "another version": ("PRAGMA user_version = 9", StoreError, "another version"),
    "another program": ("PRAGMA application_id = 9", StoreError, "no paysim journal"),
}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("what", SCHEMAS)
def test_an_altered_schema_is_refused(path: Path, what: str, read_only: bool) -> None:
    statement, kind, text = SCHEMAS[what]
    edit(path, statement)
    with pytest.raises(kind, match=text):
        SqliteJournal(path, read_only=read_only)


def test_any_byte_changed_ends_in_a_named_error_or_in_the_same_journal(made: Path, tmp_path: Path) -> None:
    with closing(SqliteJournal(made)) as journal:
        head = journal.head
    choices, good = random.Random(6), made.read_bytes()
    path = tmp_path / "x"
    found = 0
    for _ in range(count(4_000)):
        data = bytearray(good)
        for _ in range(choices.choice((1, 1, 2, 40))):
            data[choices.randrange(len(data))] = choices.choice((0, 0xFF, 0x0D, choices.randrange(256)))
        path.write_bytes(data)
        wal_of(path).unlink(missing_ok=True)
        try:
            with closing(SqliteJournal(path, read_only=True)) as journal:
                assert verify(journal).head == head
        except StoreError:
            found += 1
    assert found
