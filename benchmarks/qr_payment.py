"""A QR payment by text, four commands, each acknowledged on its own: create, present, scan, confirm.

Run: python benchmarks/qr_payment.py

In memory, and in a SQLite file with durability normal and full. The limits stand beside them, measured in
the same rounds: for normal, four bare SQLite commits of one row; for full, four pwrite + fdatasync of 4 KiB,
which is what a medium can acknowledge. The median of rounds is taken; in a round each side runs a batch.
Budgets: memory 10,000 a second, normal 3,000, full 0.6 of its limit.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from paysim import Money, Sandbox

ROUNDS = 11
COMMITS = 4
PRICE = Money("CNY", 1_280)
BUDGET_MEMORY, BUDGET_NORMAL, BUDGET_FULL = 10_000, 3_000, 0.6


def payments(store: str, durability: str = "full") -> Callable[[], None]:
    sandbox = Sandbox(seed=1, store=store, durability=durability)
    shop = sandbox.shop("Tea House")
    alice = sandbox.person("Alice", balance=Money("CNY", 10**14))

    def pay() -> None:
        code = shop.create(PRICE).present("qr.merchant")
        alice.scan(code.text).confirm()

    return pay


def commits(file: Path) -> Callable[[], None]:
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, text TEXT)")

    def run() -> None:
        for _ in range(COMMITS):
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO row (text) VALUES (?)", ("x" * 250,))
            db.execute("COMMIT")

    return run


def syncs(file: Path) -> Callable[[], None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    block = bytes(4_096)
    os.pwrite(descriptor, bytes(1 << 20), 0)

    def run() -> None:
        for at in range(COMMITS):
            os.pwrite(descriptor, block, at * len(block))
            os.fdatasync(descriptor)

    return run


def batch_us(call: Callable[[], None], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        here = Path(folder)
        sides = {
            "memory": (payments("memory"), 400),
            "normal": (payments(f"sqlite:///{here}/normal.db", "normal"), 200),
            "full": (payments(f"sqlite:///{here}/full.db", "full"), 60),
            "commits": (commits(here / "commits.db"), 200),
            "syncs": (syncs(here / "sync"), 60),
        }
        for call, calls in sides.values():
            batch_us(call, calls)
        rounds = [{name: batch_us(*side) for name, side in sides.items()} for _ in range(ROUNDS)]
    rate = {name: 1e6 / statistics.median(row[name] for row in rounds) for name in sides}
    print(f"{'QR payment, 4 commands':<24}{'a second':>10}{'budget':>10}{'limit':>10}{'of limit':>10}")
    print(f"{'memory':<24}{rate['memory']:>10,.0f}{BUDGET_MEMORY:>10,}{'-':>10}{'-':>10}")
    for name, limit, budget in (
        ("normal", "commits", BUDGET_NORMAL),
        ("full", "syncs", BUDGET_FULL * rate["syncs"]),
    ):
        ratio = rate[name] / rate[limit]
        print(
            f"{'SQLite ' + name:<24}{rate[name]:>10,.0f}{budget:>10,.0f}{rate[limit]:>10,.0f}{ratio:>10.2f}"
        )


if __name__ == "__main__":
    main()
