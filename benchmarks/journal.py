"""The journal: appends a second, beside what SQLite and the disk allow in the same run.

Run: python benchmarks/journal.py [FOLDER]

An append is what a command writes: three records with a transfer and a timer, into the two streams of an
order. The limits: SQLite commits of one row of as many bytes with the same `synchronous` and nothing else,
and bare writes of 4 KiB each followed by fdatasync, in FOLDER (the disk is what counts; the current folder
unless given). All sides take turns over the rounds; figures are medians, the spread is the lowest and the
highest round. The reading side: records a second that `verify` and `salvage` get through.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from paysim.core.event import Entry, Event, Transfer
from paysim.core.ports import Journal
from paysim.ledger.invariants import verify
from paysim.ledger.journal import MemoryJournal
from paysim.store import SqliteJournal
from paysim.store.salvage import salvage_file

ROUNDS = 7
APPENDS = 400
BATCH = 100
ROW = "x" * 600

Work = Callable[[], None]


def appender(journal: Journal) -> Work:
    """Appends one command."""
    counter = iter(range(10**9))

    def append() -> None:
        number = next(counter)
        order, shop = f"order/{number:016}", f"shop/{number:016}"
        paid = Transfer("wallet/float", f"merchant/{number % 9}/pending", "CNY", 1)
        entries = [
            Entry(order, Event("created", number, "", 1_280, data={"currency": "CNY", "shop": "tea"})),
            Entry(order, Event("presented", number, transfers=(paid,), data=shown(number)), f"op/{number}"),
            Entry(shop, Event("reached", number, data={"position": 2, "via": "callback"})),
        ]
        journal.append(entries, {order: 0, shop: 0}, {f"{number:016}": (None, number)})

    return append


def shown(number: int) -> dict[str, object]:
    """What is presented until a timer rings."""
    return {"channel": "qr.merchant", "text": ROW[:200], "expiry_ms": number}


def batched(journal: Journal) -> Work:
    """Appends one command; a hundred share a commit."""
    append, state = appender(journal), {"left": 0}
    batch = journal.batch()

    def one() -> None:
        nonlocal batch
        if not state["left"]:
            batch = journal.batch()
            batch.__enter__()
            state["left"] = BATCH
        append()
        state["left"] -= 1
        if not state["left"]:
            batch.__exit__(None, None, None)

    return one


def bare_commit(path: Path, synchronous: str) -> Work:
    """One row, one commit."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA page_size = 1024")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 16000")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute("CREATE TABLE row (number INTEGER PRIMARY KEY, text TEXT)")
    return lambda: db.execute("INSERT INTO row (text) VALUES (?)", (ROW,)) and None


def bare_write(path: Path) -> Work:
    """4 KiB, then fdatasync."""
    handle, data = os.open(path, os.O_RDWR | os.O_CREAT), bytes(4_096)
    offsets = iter(range(0, 10**12, len(data)))

    def write() -> None:
        os.pwrite(handle, data, next(offsets))
        os.fdatasync(handle)

    return write


def rate(work: Work) -> float:
    """How often a second."""
    start = time.perf_counter()
    for _ in range(APPENDS):
        work()
    return APPENDS / (time.perf_counter() - start)


def main(folder: Path) -> None:
    journals = {
        "memory": MemoryJournal(),
        "normal": SqliteJournal(folder / "normal", durability="normal"),
        "full": SqliteJournal(folder / "full"),
        "batch": SqliteJournal(folder / "batch"),
    }
    works = {
        "MemoryJournal": appender(journals["memory"]),
        "SqliteJournal NORMAL": appender(journals["normal"]),
        "  limit: bare SQLite NORMAL": bare_commit(folder / "bare-normal", "NORMAL"),
        "SqliteJournal FULL": appender(journals["full"]),
        "  limit: bare SQLite FULL": bare_commit(folder / "bare-full", "FULL"),
        "  limit: 4 KiB + fdatasync": bare_write(folder / "bare-write"),
        f"SqliteJournal FULL, batch of {BATCH}": batched(journals["batch"]),
    }
    rounds = [{name: rate(work) for name, work in works.items()} for _ in range(ROUNDS)]
    medians = {name: statistics.median(one[name] for one in rounds) for name in works}
    ratios = {
        "SqliteJournal NORMAL": "  limit: bare SQLite NORMAL",
        "SqliteJournal FULL": "  limit: bare SQLite FULL",
        f"SqliteJournal FULL, batch of {BATCH}": "  limit: bare SQLite FULL",
    }
    print(f"{'appends a second, median':<34}{'':>10}{'spread':>20}{'ratio':>8}")
    for name, median in medians.items():
        low, high = min(one[name] for one in rounds), max(one[name] for one in rounds)
        ratio = f"{median / medians[ratios[name]]:.2f}" if name in ratios else ""
        print(f"{name:<34}{median:>10,.0f}{f'{low:,.0f} - {high:,.0f}':>20}{ratio:>8}")
    read(folder / "normal", journals["normal"])
    for journal in journals.values():
        journal.close()


def read(path: Path, journal: Journal) -> None:
    print(f"\n{'records a second':<34}")
    for name, work in (("verify", lambda: verify(journal)), ("salvage", lambda: salvage_file(path))):
        start = time.perf_counter()
        work()
        print(f"{name:<34}{journal.position / (time.perf_counter() - start):>10,.0f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else ".") as name:
        main(Path(name))
