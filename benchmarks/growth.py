"""Growth: what a payment costs in a journal of many paid orders, beside one of a thousand.

Run: python benchmarks/growth.py [PAYMENTS]     (a million unless given; about ten minutes)

A SQLite file is filled in batches; then payments, each command acknowledged on its own, are made in turn in
the large journal and in a small one of a thousand paid orders, both with durability normal. Printed: the
median cost in both and its ratio (budget 1.2), and the process's peak memory (budget 300 MB).
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from paysim import Money, Sandbox

PRICE = Money("CNY", 1_280)
SMALL = 1_000
GROUP = 500
ROUNDS = 41
CALLS = 50


def open_shop(file: Path) -> tuple[Sandbox, Callable[[], None]]:
    sandbox = Sandbox(seed=1, store=f"sqlite:///{file}", durability="normal")
    shop = sandbox.shop("Tea House")
    alice = sandbox.person("Alice", balance=Money("CNY", 10**15))

    def pay() -> None:
        code = shop.create(PRICE).present("qr.merchant")
        alice.scan(code.text).confirm()

    return sandbox, pay


def fill(sandbox: Sandbox, pay: Callable[[], None], payments: int) -> None:
    start = time.perf_counter()
    for done in range(0, payments, GROUP):
        with sandbox.batch():
            for _ in range(min(GROUP, payments - done)):
                pay()
        if sys.stderr.isatty() or done % (100 * GROUP) == 0:
            pace = (done + GROUP) / (time.perf_counter() - start)
            print(
                f"\r{done + GROUP:>12,} of {payments:,} paid, {pace:,.0f} a second", end="", file=sys.stderr
            )
    print(file=sys.stderr)


def batch_us(pay: Callable[[], None]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        pay()
    return (time.perf_counter() - start) / CALLS * 1e6


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    payments = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(dir=".") as folder:
        large, pay_large = open_shop(Path(folder) / "large.db")
        small, pay_small = open_shop(Path(folder) / "small.db")
        fill(small, pay_small, SMALL)
        before_mb = peak_mb()
        fill(large, pay_large, payments)
        rounds = [(batch_us(pay_large), batch_us(pay_small)) for _ in range(ROUNDS)]
        size_mb = sum(file.stat().st_size for file in Path(folder).glob("large.db*")) / 1e6
        large.close()
        small.close()
    cost_large, cost_small = (statistics.median(side) for side in zip(*rounds, strict=True))
    print(f"after {payments:,} paid orders  {cost_large:10.0f} us a payment")
    print(f"after {SMALL:,} paid orders      {cost_small:10.0f} us a payment")
    print(f"ratio                     {cost_large / cost_small:10.2f}    (budget 1.2)")
    print(f"peak memory               {peak_mb():10.0f} MB (budget 300; {before_mb:.0f} before)")
    print(f"file                      {size_mb:10.0f} MB")


if __name__ == "__main__":
    main()
