"""Damaged files: what lies before the damage comes back, whole, and nothing else does."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import till
from counts import count

from paysim import Sandbox
from paysim.core.errors import JournalDamaged, StoreError
from paysim.ledger.invariants import verify
from paysim.ledger.journal import Line, chain
from paysim.store import Repair, SqliteJournal, repair
from paysim.store.file import PAGE_BYTES, begun_repair, wal_of
from paysim.store.salvage import salvage, salvage_file
from paysim.store.sqlite import INSERT, row_of

PAYMENTS = 60
STEP = 64
"""Every so many bytes a file is cut."""


class Made:
    """A journal before and after it was closed.

    `grown` says how long the log was, in bytes, when how many records had been acknowledged.
    """

    def __init__(self, path: Path) -> None:
        self.grown = [(0, 0)]
        with Sandbox(seed=4, store=path, durability="normal") as sandbox:
            self.early = path.read_bytes()
            choices = random.Random(4)
            customers = till.Till(sandbox, self._acknowledged(path, sandbox), choices)
            for _ in range(PAYMENTS):
                customers.serve()
            self.log = wal_of(path).read_bytes()
            self.lines = list(sandbox.journal._lines(0))
        assert path.read_bytes()[: len(self.early)] != self.early or len(self.early) < path.stat().st_size
        self.main = path.read_bytes()
        self.surely = [end_of(line, self.main, bytes.rfind) for line in self.lines]
        self.perhaps = [end_of(line, self.main, bytes.find) for line in self.lines]

    def before(self, cut: int) -> tuple[int, int]:
        """How many records lie wholly before a cut: at least and at most, mostly the same."""
        found = (
            next((n for n, end in enumerate(ends) if end > cut), len(ends))
            for ends in (self.surely, self.perhaps)
        )
        least, most = found
        return least, most

    def _acknowledged(self, path: Path, sandbox: Sandbox) -> till.Tell:
        def tell(_fact: till.Fact) -> None:
            self.grown.append((wal_of(path).stat().st_size, sandbox.journal.position))

        return tell


def end_of(line: Line, main: bytes, find: Callable[[bytes, bytes], int]) -> int:
    """Behind which byte of a file the whole record lies, found without knowing the format.

    A record within a page ends with its hash. The event of one that takes several is looked for in pieces,
    and other records may have the same; so `find` tells whether the first or the last of them is meant.
    """
    if len(line.event) < PAGE_BYTES * 3 // 4:
        return find(main, line.hash) + len(line.hash)
    left, end = line.event + line.hash, 0
    while left:
        at = find(main, left[:300])
        same = next((n for n, (a, b) in enumerate(zip(left, main[at:], strict=False)) if a != b), len(left))
        assert at >= 0 < same
        end, left = max(end, at + same), left[same:]
        if left:
            end = max(end, at + same + 4)  # the number of the next page
    return end


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made") / "x")


@pytest.fixture
def path(made: Made, tmp_path: Path) -> Path:
    path = tmp_path / "x"
    path.write_bytes(made.main)
    return path


def cuts(size: int, step: int = STEP) -> Iterator[int]:
    """Where a file of `size` bytes is cut: as `counts.count` says."""
    every = list(range(0, size, step))
    yield from sorted(random.Random(size).sample(every, count(len(every))))


# Cut files. -----------------------------------------------------------------------------------------------


def test_a_whole_file_comes_back_whole(made: Made) -> None:
    found = salvage(made.main)
    assert list(found.lines()) == made.lines
    assert (found.count, found.head, found.cut) == (len(made.lines), made.lines[-1].hash, 0)
    assert any(len(line.event) > PAGE_BYTES for line in made.lines), "no record lies on several pages"


def test_a_file_cut_anywhere_gives_the_records_before_the_cut(made: Made) -> None:
    exact = 0
    for cut in (*cuts(len(made.main)), *range(1, 4_000, 37)):
        found = salvage(made.main[:cut])
        least, most = made.before(cut)
        exact += least == most
        assert least <= found.count <= most, cut
        assert list(found.lines()) == made.lines[: found.count]
        assert found.cut == found.count + 1 or not found.count
    assert exact > 100


def test_a_log_cut_anywhere_gives_the_commands_before_the_cut(made: Made, tmp_path: Path) -> None:
    assert len(made.log) == made.grown[-1][0]
    choices = random.Random(5)
    for cut in (choices.randrange(len(made.log)) for _ in range(count(600))):
        acknowledged = max(position for size, position in made.grown if size <= cut)
        more = min((position for size, position in made.grown if size > cut), default=len(made.lines))
        found = salvage(made.early, made.log[:cut])
        assert acknowledged <= found.count <= more
        assert list(found.lines()) == made.lines[: found.count]
        path = tmp_path / str(cut)
        path.write_bytes(made.early)
        wal_of(path).write_bytes(made.log[:cut])
        with closing(SqliteJournal(path)) as journal:
            assert (journal.position, journal.head) == (found.count, found.head)
            if cut % 8 == 0:
                assert verify(journal).length == found.count


def test_a_log_changed_anywhere_gives_the_commands_before_the_change(made: Made) -> None:
    choices = random.Random(6)
    for at in (choices.randrange(len(made.log)) for _ in range(count(300))):
        changed = bytearray(made.log)
        changed[at] ^= 1 << choices.randrange(8)
        acknowledged = max(position for size, position in made.grown if size <= at)
        found = salvage(made.early, bytes(changed))
        if at >= 32:
            assert found.count >= acknowledged
        assert list(found.lines()) == made.lines[: found.count]


def test_a_log_without_its_file_gives_what_it_has(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "x"
    wal_of(path).write_bytes(made.log)
    with pytest.raises(JournalDamaged, match="missing"):
        Sandbox(store=path)
    assert repair(path) == Repair(len(made.lines), 0, wal_of(tmp_path / "x.damaged-1"))
    with Sandbox(store=path) as sandbox:
        assert sandbox.verify().head == made.lines[-1].hash


def test_a_cut_file_is_refused_or_opens_with_what_it_has_and_repair_continues_it(
    made: Made, tmp_path: Path
) -> None:
    for number, cut in enumerate(cuts(len(made.main), 16 * STEP)):
        path = tmp_path / str(number)
        path.write_bytes(made.main[:cut])
        whole = salvage(made.main[:cut]).count
        with pytest.raises(JournalDamaged, match=r"--repair|delete it"):
            SqliteJournal(path)
        with pytest.raises(JournalDamaged, match=r"--repair|delete it") as caught:
            SqliteJournal(path, read_only=True)
        assert caught.value.position == whole + 1 or not whole
        if not whole:
            with pytest.raises(StoreError, match="no record"):
                repair(path)
            assert path.read_bytes() == made.main[:cut]
            continue
        backup = path.with_name(f"{path.name}.damaged-1")
        assert repair(path) == Repair(whole, whole + 1, backup)
        assert backup.read_bytes() == made.main[:cut]
        with closing(SqliteJournal(path)) as journal:
            assert list(journal._lines(0)) == made.lines[:whole]
        with Sandbox(store=path, durability="normal") as sandbox:
            till.check(sandbox, [])
            facts = till.serve(sandbox, 2, number)
            till.settle(sandbox)
            till.check(sandbox, facts)


def test_an_edited_record_and_those_behind_it_are_let_go(made: Made, path: Path) -> None:
    line = made.lines[99]
    path.write_bytes(made.main.replace(line.hash, bytes(32)))
    assert repair(path) == Repair(99, 100, path.with_name("x.damaged-1"))
    path.write_bytes(made.main.replace(made.lines[4].hash, bytes(32)))
    assert repair(path) == Repair(4, 5, path.with_name("x.damaged-2"))
    with closing(SqliteJournal(path)) as journal:
        assert list(journal._lines(0)) == made.lines[:4]


LAYOUTS = {
    "pages of 512 bytes": ["PRAGMA page_size = 512"],
    "pages of 65,536 bytes": ["PRAGMA page_size = 65536"],
    "free pages": ["CREATE TABLE other AS SELECT * FROM record", "DROP TABLE other"],
    "other tables of the same shape": [
        "CREATE TABLE other AS SELECT * FROM record",
        "UPDATE other SET event = '{}'",
    ],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_records_are_found_in_another_layout(made: Made, path: Path, layout: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        for statement in LAYOUTS[layout]:
            db.execute(statement)
        if "page_size" in LAYOUTS[layout][0]:
            db.execute("VACUUM")
    found = salvage_file(path)
    assert list(found.lines()) == made.lines
    header = bytearray(path.read_bytes())
    header[:100] = bytes(100)
    if "page_size" not in LAYOUTS[layout][0]:  # else the header alone knew
        assert list(salvage(bytes(header)).lines()) == made.lines


def test_records_with_every_width_of_number_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    SqliteJournal(path).close()
    lines, head = list[Line](), bytes(32)
    for position, version in enumerate((1, 127, 128, 40_000, 2**23, 2**31, 2**40, 2**62), 1):
        text = f"kind/{'s' * (position * 20)}", version, "k" * position
        event = b'{"kind":"noted","at_ms":%d}' % version + b" " * (position % 3 * 700)
        head = chain(head, position, *text, event)
        lines.append(Line(position, *text, event, head))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executemany(INSERT, map(row_of, lines))
    assert list(salvage_file(path).lines()) == lines


# Any bytes at all. ----------------------------------------------------------------------------------------


def mutated(data: bytes, choices: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(choices.choice((1, 3, 30, 300))):
        at = choices.randrange(len(out))
        match choices.randrange(5):
            case 0:
                out[at] = choices.randrange(256)
            case 1:
                out[at : at + 8] = choices.choice((bytes(8), b"\xff" * 8, b"\x7f" + b"\xff" * 7))
            case 2:
                out[at : at + 4] = struct.pack(">I", choices.randrange(len(out) // PAGE_BYTES + 2))
            case 3:
                other = choices.randrange(len(out))
                out[at : at + 200] = out[other : other + 200]
            case 4:
                page = at // PAGE_BYTES * PAGE_BYTES
                out[page : page + 1] = b"\x0d"
    return bytes(out)


def test_any_bytes_end_in_a_run_of_true_records(made: Made) -> None:
    choices = random.Random(7)
    for number in range(count(3_000)):
        main = choices.choice((made.main, made.early, made.main[: choices.randrange(1, 30_000)]))
        wal = choices.choice((b"", made.log[: choices.randrange(60_000)]))
        if number % 3 and wal:
            wal = mutated(wal, choices)
        found = salvage(mutated(main, choices), wal)
        assert list(found.lines()) == made.lines[: found.count]


def test_noise_ends_in_nothing() -> None:
    choices = random.Random(8)
    for _ in range(count(500)):
        data = choices.randbytes(choices.randrange(3_000))
        found = salvage(data, choices.choice((b"", data, choices.randbytes(100))))
        assert (found.count, list(found.lines())) == (0, [])


def overlapping_cells() -> bytes:
    """Pages full of pointers to one cell."""
    cell = bytes([60, 1, 8, 0, 13, 13, 1, 0, 25, 76]) + bytes(60)
    pointers = struct.pack(">H", 900) * 440
    return (struct.pack(">BHHHB", 0x0D, 0, 440, 900, 0) + pointers).ljust(900, b"\0") + cell.ljust(124, b"\0")


def shared_chain(pages: int) -> bytes:
    """Every page has a cell that claims the whole file, by the same endless chain of overflow pages."""
    length = pages * PAGE_BYTES // 2
    serial = (length - 100) * 2 + 13
    claims = []
    for number in range(pages):
        header = [9, 0, 13, 13, 1, 0, *varint(serial), 76]
        header[0] = len(header)
        body = sum((0, 0, 0, 1, 0, length - 100, 32))
        cell = bytes([*varint(len(header) + body), *varint(number % 9 + 1), *header]).ljust(500, b"x")
        page = bytearray(PAGE_BYTES)
        page[:4] = struct.pack(">I", number + 1)
        page[:10] = struct.pack(">BHHHBH", 0x0D, 0, 1, 500, 0, 500)
        page[500 : 500 + len(cell)] = cell
        claims.append(bytes(page))
    return b"".join(claims)


def varint(value: int) -> bytes:
    out = bytearray([value & 0x7F])
    while value := value >> 7:
        out.insert(0, value & 0x7F | 0x80)
    return bytes(out)


LIES = {
    "cells over each other": overlapping_cells() * 300,
    "one chain for all": shared_chain(2_000),
    "pages of zeros": bytes(2_000_000),
    "leaves of ones": (b"\x0d" + b"\xff" * 1_023) * 2_000,
    "a header of the largest numbers": b"SQLite format 3\0" + b"\xff" * 1_008,
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_cost_no_more_than_the_file_is_long(lie: str) -> None:
    start = time.process_time()
    assert salvage(LIES[lie]).count == 0
    assert salvage(LIES[lie], LIES[lie]).count == 0
    assert time.process_time() - start < 10


# Repair. ---------------------------------------------------------------------------------------------------


def test_a_sound_journal_is_left_alone(made: Made, path: Path) -> None:
    assert repair(path) == Repair(len(made.lines), 0, None)
    assert path.read_bytes() == made.main
    assert not list(path.parent.glob("*damaged*"))


DERIVED = {
    "a balance": "UPDATE tally SET minor = minor + 1",
    "no timers": "DELETE FROM timer",
    "no table of balances": "DROP TABLE tally",
    "no table of timers": "DROP TABLE timer",
    "no index of keys": "DROP INDEX record_key",
    "a table more and one less": "ALTER TABLE timer RENAME TO former",
}


@pytest.mark.parametrize("what", DERIVED)
def test_balances_and_timers_are_counted_anew(made: Made, path: Path, what: str) -> None:
    with closing(SqliteJournal(path)) as journal:
        before = journal.tallies(), journal.timers()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(DERIVED[what])
    assert repair(path) == Repair(len(made.lines), 0, path.with_name("x.damaged-1"))
    with closing(SqliteJournal(path)) as journal:
        assert (journal.tallies(), journal.timers()) == before
        assert list(journal._lines(0)) == made.lines
        assert verify(journal, made.lines[-1].hash).length == len(made.lines)


def test_records_that_break_a_rule_are_not_repaired(made: Made, path: Path) -> None:
    """Somebody has rewritten the journal, hashes and all."""
    book = next(line for line in made.lines if line.stream.startswith("order/") and line.version == 3)
    head = made.lines[book.position - 2].hash
    event = b'{"kind":"settled","at_ms":1}'
    line = book._replace(event=event, hash=chain(head, *book[:4], event))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"DELETE FROM record WHERE position >= {line.position}")
        db.execute(INSERT, row_of(line))
    data = path.read_bytes()
    with pytest.raises(JournalDamaged, match="does not replay") as caught:
        repair(path)
    assert caught.value.position == line.position
    assert path.read_bytes() == data
    assert os.listdir(path.parent) == ["x"]


@pytest.mark.parametrize("data", [b"", b"x", b"hello\n" * 100, bytes(5_000)])
def test_what_holds_no_record_is_left_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(StoreError, match="no record of a journal can be read"):
        repair(path)
    assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("name", ["missing", "missing/x", "folder"])
def test_what_is_no_file_is_not_repaired(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError):
        repair(tmp_path / name)
    assert os.listdir(tmp_path) == ["folder"]


def test_a_file_that_is_open_here_is_not_repaired(made: Made, path: Path) -> None:
    path.write_bytes(made.main.replace(made.lines[99].hash, bytes(32)))
    with closing(SqliteJournal(path, read_only=True)):
        for name in (path, path.parent / ".." / path.parent.name / "x"):
            with pytest.raises(StoreError, match="open in this process"):
                repair(name)
    assert repair(path).kept == 99


def test_a_file_that_another_process_uses_is_not_repaired(made: Made, path: Path) -> None:
    path.write_bytes(made.main.replace(made.lines[99].hash, bytes(32)))
    code = (
        "import sys; from paysim.store import SqliteJournal; "
        "journal = SqliteJournal(sys.argv[1], read_only=True); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StoreError, match="open in another process"):
            repair(path)
        process.communicate()
    assert repair(path).kept == 99


class Killed(BaseException):
    """As far as a test can be killed."""


@pytest.mark.parametrize("step", range(20))
def test_a_repair_that_is_killed_loses_nothing(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """A journal whose older half is in the file, its newer half in the log, is damaged in its middle."""
    path = tmp_path / "x"
    path.write_bytes(made.early)
    wal_of(path).write_bytes(made.log)
    with closing(sqlite3.connect(path, isolation_level=None)) as db, closing(sqlite3.connect(path)) as copy:
        copy.execute("SELECT count(*) FROM record").fetchone()
        db.execute("UPDATE tally SET minor = 0")
        keep = [shutil.copyfile(name, f"{name}.kept") for name in (path, wal_of(path))]
    for name, source in zip((path, wal_of(path)), keep, strict=True):
        os.replace(source, name)
    left = [step]

    def deadly(call: str) -> None:
        real = getattr(os, call)

        def dying(*arguments: object, **named: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*arguments, **named)

        monkeypatch.setattr(os, call, dying)

    for call in ("link", "replace", "unlink", "fsync"):
        deadly(call)
    try:
        repair(path)
    except Killed:
        monkeypatch.undo()
        assert step < 18
        if begun_repair(path).exists():
            with pytest.raises(JournalDamaged, match="cut short"):
                SqliteJournal(path)
        found = repair(path)
        assert found.kept == len(made.lines)
        assert found.backup is None or found.backup.exists()
    monkeypatch.undo()
    with Sandbox(store=path) as sandbox:
        assert sandbox.verify().head == made.lines[-1].hash
    for name in tmp_path.glob("x.damaged-*"):
        assert "wal" in name.name or salvage_file(name).count == len(made.lines)
