"""The journal in a SQLite file: what it promises, and what it says when disk or other processes do not."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import till

from paysim import CNY, Fault, Sandbox
from paysim.core.errors import ConfigError, InvariantBroken, StoreError, VersionConflict
from paysim.core.event import Entry, Event, Transfer
from paysim.ledger.invariants import verify
from paysim.ledger.journal import MemoryJournal
from paysim.store import SqliteJournal

PAYMENTS = 12


def entry(stream: str = "order/1", key: str = "", minor: int = 0) -> Entry:
    transfers = (Transfer("wallet/float", "payer/1/available", "CNY", minor),) if minor else ()
    return Entry(stream, Event("noted", 0, transfers=transfers), key)


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


# It is the same journal as the one in memory. -----------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("durability", ["normal", "full", "batch"])
def test_the_same_commands_give_the_same_head_as_in_memory(
    tmp_path: Path, seed: int, durability: str
) -> None:
    memory = Sandbox(seed=seed)
    facts = till.serve(memory, PAYMENTS, seed)
    with Sandbox(seed=seed, store=tmp_path / "x", durability=durability.replace("batch", "full")) as sandbox:
        if durability == "batch":
            with sandbox.batch():
                assert till.serve(sandbox, PAYMENTS, seed) == facts
        else:
            assert till.serve(sandbox, PAYMENTS, seed) == facts
        assert sandbox.journal.head == memory.journal.head
        assert list(sandbox.journal.records()) == list(memory.journal.records())
        assert sandbox.journal.tallies() == memory.journal.tallies()
        assert sandbox.journal.timers() == memory.journal.timers()
        assert sandbox.verify() == memory.verify()
        for kind in ("order/", "shop/", "person/", "person/a", "code/9", "nothing/"):
            assert list(sandbox.journal.streams(kind)) == list(memory.journal.streams(kind))


APPENDS = {
    "an earlier version": ([entry("order/0")], {"order/0": 0}, VersionConflict),
    "a key that was used": ([entry(key="used")], {"order/1": 0}, InvariantBroken),
    "a key twice": ([entry(key="new"), entry(key="new")], {"order/1": 0}, InvariantBroken),
    "an overdrawn account": (
        [Entry("order/1", Event("x", 0, transfers=(Transfer("payer/1/held", "fees", "CNY", 1),)))],
        {"order/1": 0},
        InvariantBroken,
    ),
    "a limit passed": (
        [Entry("order/1", Event("x", 0, counts=(("limit/x", 2, 1),)))],
        {"order/1": 0},
        InvariantBroken,
    ),
    "nothing moved": ([entry(minor=-1)], {"order/1": 0}, InvariantBroken),
    "more than 62 bits": ([entry(minor=2**63)], {"order/1": 0}, InvariantBroken),
    "more than 64 bits": ([entry(minor=2**80)], {"order/1": 0}, InvariantBroken),
}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("case", APPENDS)
def test_an_append_that_must_not_be_changes_nothing(tmp_path: Path, kind: str, case: str) -> None:
    entries, expected, error = APPENDS[case]
    journal = MemoryJournal() if kind == "memory" else SqliteJournal(tmp_path / "x")
    with closing(journal):
        journal.append([entry("order/0", "used", minor=5)], {"order/0": 0}, {"0": (None, 7)})
        before = (
            journal.position,
            journal.head,
            journal.tallies(),
            journal.timers(),
            list(journal.records()),
        )
        with pytest.raises(error):
            journal.append([entry("order/2"), *entries], {"order/2": 0, **expected}, {"0": (7, 9)})
        assert before == (
            journal.position,
            journal.head,
            journal.tallies(),
            journal.timers(),
            list(journal.records()),
        )
        assert journal.append([], {}, {}) == 1
        assert journal.append([entry("order/2")], {"order/2": 0}, {"0": (7, None)}) == 2
        assert journal.timers() == []


# Reopening continues. ------------------------------------------------------------------------------------


def steps() -> Iterator[Callable[[Sandbox], None]]:
    """Commands between which a sandbox may be closed: each timer is owed over several of them."""

    def shop_and_payer(sandbox: Sandbox) -> None:
        sandbox.shop("Tea House", fee_ppm=6_000)
        sandbox.person("Alice", balance=CNY("100.00"))

    def pay(reference: str, capture: str = "auto") -> Callable[[Sandbox], None]:
        def step(sandbox: Sandbox) -> None:
            order = sandbox.shop("Tea House").create(CNY("10.00"), reference=reference, capture=capture)
            sandbox.person("Alice").scan(order.present("qr.merchant").text).confirm()

        return step

    def unpaid(sandbox: Sandbox) -> None:
        sandbox.shop("Tea House").create(CNY("1.00"), reference="expires").present("qr.merchant")

    def late(point: str) -> Callable[[Sandbox], None]:
        def step(sandbox: Sandbox) -> None:
            sandbox.faults.add(Fault(point, "delay", "authorize", delay_s=50))
            order = sandbox.shop("Tea House").create(CNY("2.00"), reference=f"late {point}")
            order.authorize(sandbox.person("Alice").payment_code().text)

        return step

    def advance(**by: float) -> Callable[[Sandbox], None]:
        return lambda sandbox: sandbox.advance(**by)

    yield from (
        shop_and_payer,
        pay("captured"),
        pay("held", "manual"),
        unpaid,
        late("answer"),
        late("request"),
    )
    yield from (advance(minutes=1), advance(minutes=1), advance(hours=3), advance(hours=20), advance(days=8))


def test_what_is_owed_survives_being_closed_after_every_command(tmp_path: Path) -> None:
    memory = Sandbox(seed=3)
    for step in steps():
        step(memory)
        with Sandbox(seed=3, store=tmp_path / "x") as sandbox:
            step(sandbox)
            assert sandbox.journal.head == memory.journal.head
    states = {order.reference: order.book.state.name for order in memory.orders()}
    assert states == {
        "captured": "CAPTURED",
        "held": "VOIDED",
        "expires": "CLOSED",
        "late answer": "CAPTURED",
        "late request": "CAPTURED",
    }
    assert memory.journal.timers() == []


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
def test_durability_sets_what_sqlite_waits_for(tmp_path: Path, durability: str, synchronous: int) -> None:
    with closing(SqliteJournal(tmp_path / "x", durability=durability)) as journal:
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_unknown_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'full' or 'normal'"):
        SqliteJournal(tmp_path / "x", durability="perhaps")
    assert not list(tmp_path.iterdir())


# Batches. ------------------------------------------------------------------------------------------------


def test_a_refused_append_in_a_batch_leaves_the_others(tmp_path: Path) -> None:
    with closing(SqliteJournal(tmp_path / "x")) as journal:
        with journal.batch():
            journal.append([entry(key="one")], {"order/1": 0}, {})
            with pytest.raises(InvariantBroken):
                journal.append([entry(), entry(key="one")], {"order/1": 1}, {})
            with journal.batch():  # part of the outer one
                journal.append([entry()], {"order/1": 1}, {})
        assert journal.position == 2
        assert verify(journal).length == 2


def test_a_batch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with closing(SqliteJournal(tmp_path / "x")) as journal:
        journal.append([entry()], {"order/1": 0}, {})
        head = journal.head
        with pytest.raises(KeyboardInterrupt), journal.batch():  # noqa: PT012
            journal.append([entry()], {"order/1": 1}, {})
            raise KeyboardInterrupt
        assert (journal.position, journal.head) == (1, head)
        journal.append([entry()], {"order/1": 1}, {})
        assert verify(journal).length == 2


def test_a_batch_on_a_full_disk_is_undone_whole(path: Path) -> None:
    with closing(SqliteJournal(path, max_pages=1)) as journal:
        before = (journal.position, journal.head)
        with pytest.raises(StoreError, match="batch"), journal.batch():  # noqa: PT012
            for number in range(1_000):
                try:
                    journal.append([entry(f"order/x{number}")], {f"order/x{number}": 0}, {})
                except StoreError:
                    break
            with pytest.raises(StoreError):
                journal.append([entry("order/z")], {"order/z": 0}, {})
        assert (journal.position, journal.head) == before
    with closing(SqliteJournal(path)) as journal:
        assert (journal.position, journal.head) == before


def test_a_sandbox_goes_on_after_a_batch_that_failed(path: Path) -> None:
    with Sandbox(store=path) as sandbox:
        before = sandbox.journal.head, sandbox.clock.now_ms(), sandbox.balances()
        with pytest.raises(StoreError), sandbox.batch():  # noqa: PT012
            facts = till.serve(sandbox, 3, 5)
            sandbox.advance(hours=5)
            raise StoreError("the disk is gone")
        assert facts
        assert (sandbox.journal.head, sandbox.clock.now_ms(), sandbox.balances()) == before
        till.check(sandbox, till.serve(sandbox, 3, 5))


# Several journals on one file. ------------------------------------------------------------------------------


def test_an_append_decided_on_an_older_state_is_a_conflict(tmp_path: Path) -> None:
    one, other = SqliteJournal(tmp_path / "x"), SqliteJournal(tmp_path / "x")
    with closing(one), closing(other):
        one.append([entry()], {"order/1": 0}, {})
        with pytest.raises(VersionConflict):
            other.append([entry("order/2")], {"order/2": 0}, {})
        with pytest.raises(VersionConflict), other.batch():
            pass
        assert other.position == 0
        assert other.changed()
        assert not other.changed()
        other.append([entry("order/2")], {"order/2": 0}, {})
        assert one.changed()
        assert one.head == other.head


def test_two_sandboxes_on_one_file_take_turns(tmp_path: Path) -> None:
    with (
        Sandbox(seed=1, store=tmp_path / "x", durability="normal") as one,
        Sandbox(store=tmp_path / "x") as two,
    ):
        tills = [
            till.Till(one, [].append, random.Random(1), "one"),
            till.Till(two, [].append, random.Random(2), "two"),
        ]
        facts: list[till.Fact] = []
        for turn in range(60):
            tills[turn % 2].tell = facts.append
            tills[turn % 2].serve()
        for sandbox in (one, two):
            till.check(sandbox, facts)
        assert till.settle(one) + till.settle(two)
        till.check(two, facts)
        assert one.balances() == two.balances()


def test_a_check_sees_one_moment_while_others_append(path: Path) -> None:
    with Sandbox(store=path) as sandbox, closing(SqliteJournal(path, read_only=True)) as journal:
        length = journal.position
        served: list[till.Fact] = []
        report = verify(journal, progress=lambda _count: served.extend(till.serve(sandbox, 1, len(served))))
        assert served
        assert report.length == length
        assert verify(journal).length == sandbox.journal.position > length


def test_a_locked_file_is_said_to_be_locked(path: Path) -> None:
    with Sandbox(store=SqliteJournal(path, busy_ms=10)) as sandbox, closing(sqlite3.connect(path)) as db:
        shop, before = sandbox.shop("Tea House"), sandbox.journal.head
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process holds it; wait"):
            shop.create(CNY("1.00"))
        with pytest.raises(StoreError, match="another process holds it; wait"), sandbox.batch():
            pass
        assert list(sandbox.orders())
        db.execute("ROLLBACK")
        assert sandbox.journal.head == before
        till.check(sandbox, till.serve(sandbox, 3, 5))


def test_a_fault_is_not_used_up_by_a_command_that_was_not_written(path: Path) -> None:
    with Sandbox(store=SqliteJournal(path, busy_ms=10)) as sandbox, closing(sqlite3.connect(path)) as db:
        order = sandbox.shop("Tea House").create(CNY("1.00"))
        code = sandbox.person("Alice").payment_code()
        sandbox.faults.add(Fault("answer", verb="authorize"))
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError):
            order.authorize(code.text)
        assert order.state.name == "CREATED"
        db.execute("ROLLBACK")
        order.authorize(code.text)
        assert (order.state.name, order.book.state.name) == ("UNKNOWN", "CAPTURED")


def test_a_file_that_another_process_keeps_to_itself_is_said_to_be_locked(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="another process holds it; wait"):
            SqliteJournal(path, busy_ms=10)


# A full disk. --------------------------------------------------------------------------------------------


def serve_until_full(sandbox: Sandbox) -> list[till.Fact]:
    facts: list[till.Fact] = []
    customers = till.Till(sandbox, facts.append, random.Random(8), "full")
    with pytest.raises(StoreError, match="room"):  # noqa: PT012
        for _ in range(10_000):
            customers.serve()
    return facts


@pytest.mark.parametrize("pages", range(1, 30, 3))
def test_a_full_disk_applies_nothing_and_room_mends_it(path: Path, pages: int) -> None:
    size = path.stat().st_size // 1_024
    journal = SqliteJournal(path, durability="normal")
    with Sandbox(store=journal) as sandbox:
        till.Till(sandbox, [].append, random.Random(8))
        journal._db.execute(f"PRAGMA max_page_count = {size + pages}")
        facts = serve_until_full(sandbox)
        with closing(SqliteJournal(path, read_only=True)) as disk:
            assert (disk.position, disk.head) == (journal.position, journal.head)
            newest = disk.newest()
            assert newest is not None
            assert sandbox.clock.now_ms() == newest.at_ms
        till.check(sandbox, facts)
        journal._db.execute(f"PRAGMA max_page_count = {size + 100_000}")
        facts += till.serve(sandbox, 5, 9)
        till.settle(sandbox)
        till.check(sandbox, facts)


FULL = """
import json, random, resource, sys, os
sys.path.insert(0, os.path.dirname(os.path.dirname({here!r})))
import till
from paysim import Sandbox
from paysim.core.errors import StoreError
with Sandbox(store="sqlite:///" + sys.argv[1], durability=sys.argv[2]) as sandbox:
    facts = []
    customers = till.Till(sandbox, facts.append, random.Random(8), "full")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), hard))
    failures = 0
    for _ in range(200):
        try:
            customers.serve()
        except StoreError as error:
            assert "room" in str(error), error
            failures += 1
            sandbox.faults.clear()
    assert failures > 100
    till.check(sandbox, facts)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    for _ in range(5):
        customers.serve()
    till.check(sandbox, facts)
print(json.dumps(facts))
"""


@pytest.mark.parametrize("durability", ["normal", "full"])
@pytest.mark.parametrize("more", [30_000, 77_777])
def test_a_file_size_limit_applies_nothing_and_room_mends_it(path: Path, durability: str, more: int) -> None:
    limit = str(path.stat().st_size + more)
    command = [sys.executable, "-c", FULL.format(here=__file__), str(path), durability, limit]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts
    with Sandbox(store=path) as sandbox:
        till.check(sandbox, facts)


# Read only. ------------------------------------------------------------------------------------------------


def test_a_read_only_journal_reads_and_refuses_to_write(path: Path) -> None:
    before = path.read_bytes()
    with Sandbox(store=SqliteJournal(path, read_only=True)) as sandbox:
        orders = [order.state for order in sandbox.orders()]
        head = sandbox.journal.head
        with pytest.raises(StoreError, match="readonly database; check the rights"):
            sandbox.shop("Tea House").create(CNY("1.00"))
        with pytest.raises(StoreError, match="readonly database; check the rights"):
            sandbox.advance(hours=9)
        assert [order.state for order in sandbox.orders()] == orders
        assert sandbox.verify().head == sandbox.journal.head == head
    assert path.read_bytes() == before


def test_a_file_that_is_not_there_is_not_made_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        SqliteJournal(tmp_path / "x", read_only=True)
    assert not list(tmp_path.iterdir())


def mounted_read_only(folder: Path) -> bool:
    mount = ["mount", "--bind", str(folder), str(folder)]
    remount = ["mount", "-o", "remount,ro,bind", str(folder)]
    return all(subprocess.run(command, capture_output=True).returncode == 0 for command in (mount, remount))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root mounts a folder read-only")
def test_a_journal_on_a_read_only_medium_is_readable(path: Path, tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    path = path.rename(medium / "x")
    if not mounted_read_only(medium):
        subprocess.run(["umount", str(medium)], capture_output=True)
        pytest.skip("this machine does not let us mount")
    try:
        with closing(SqliteJournal(path, read_only=True)) as journal:
            assert verify(journal).orders
        with pytest.raises(StoreError, match="check"):
            SqliteJournal(path)
        with pytest.raises(StoreError, match="check the path and the rights"):
            SqliteJournal(medium / "new")
    finally:
        subprocess.run(["umount", str(medium)], check=True)


# A closed journal. -----------------------------------------------------------------------------------------

USES: dict[str, Callable[[SqliteJournal], object]] = {
    "append": lambda journal: journal.append([entry()], {"order/1": 0}, {}),
    "stream": lambda journal: journal.stream("order/1"),
    "newest": lambda journal: journal.newest(),
    "find": lambda journal: journal.find("x"),
    "tally": lambda journal: journal.tally("x"),
    "tallies": lambda journal: journal.tallies(),
    "due": lambda journal: journal.due(0),
    "timers": lambda journal: journal.timers(),
    "records": lambda journal: list(journal.records()),
    "streams": lambda journal: list(journal.streams("order/")),
    "changed": lambda journal: journal.changed(),
    "batch": lambda journal: journal.batch().__enter__(),
    "snapshot": lambda journal: journal.snapshot().__enter__(),
    "verify": verify,
}


@pytest.mark.parametrize("use", USES)
def test_a_closed_journal_says_so(path: Path, use: str) -> None:
    journal = SqliteJournal(path)
    journal.close()
    journal.close()
    with pytest.raises(StoreError, match="the journal is closed; open it again"):
        USES[use](journal)
