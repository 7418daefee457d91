"""100,000 taps in a sandbox: orders created, cards tapped, issuers asked, money booked, all in one journal.

Run: python benchmarks/taps.py [TAPS]

Counted are taps without offline data authentication (unionpay and visa-online, in turn): each is an order, a
tap window, three APDUs, an ARQC made and checked, and the ledger's entries. Cards that prove themselves by
fDDA (unionpay-ecash, cleared afterwards) sign with an RSA key, in Python's own arithmetic: `pow`. That takes
longer than all the rest, so they are measured apart, on fewer taps, beside the bare private operation by CRT;
half and half is the mean of both. The progress bar is on stderr. Budget: 100,000 counted taps in 60 s on one
core, the journal verified afterwards; the last thousand taps cost no more than 1.2 x the first.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import Progress

from paysim import Money, Sandbox
from paysim.crypto import raw_rsa
from paysim.sandbox.card import Card
from paysim.sandbox.terminal import Terminal

TAPS = 100_000
SIGNED = 0.02
"""The share of taps that is measured with fDDA."""
BUDGET_S = 60
CARDS = 8
STEP = 100
PRICE = Money("CNY", 1)
SIGNED_BITS = 1152


class Till:
    """A shop with a terminal and the cards that are tapped in turn."""

    def __init__(self, sandbox: Sandbox, *profiles: str) -> None:
        self.sandbox = sandbox
        self.shop = sandbox.shop("Tea House")
        alice = sandbox.person("Alice", balance=Money("CNY", 10**9))
        self.terminal: Terminal = self.shop.terminal()
        self.cards: list[Card] = [
            alice.card(profile, name=f"{profile}-{n}") for n in range(CARDS) for profile in profiles
        ]
        for card in self.cards:
            self.tap(card)

    def tap(self, card: Card) -> None:
        tap = self.terminal.tap(self.shop.create(PRICE), card)
        assert tap.approved, tap.outcome

    def seconds(self, taps: int, progress: Progress, label: str) -> Iterator[float]:
        """How long each hundred of taps took."""
        task = progress.add_task(label, total=taps)
        for start in range(0, taps, STEP):
            began = time.perf_counter()
            for n in range(start, min(start + STEP, taps)):
                self.tap(self.cards[n % len(self.cards)])
            yield time.perf_counter() - began
            progress.advance(task, STEP)


def crt_seconds() -> float:
    """A bare private operation."""
    key = raw_rsa.generate(SIGNED_BITS)
    block = (key.public.modulus // 3).to_bytes(key.public.size)
    began, rounds = time.perf_counter(), 300
    for _ in range(rounds):
        key.sign(block)
    return (time.perf_counter() - began) / rounds


def row(label: str, seconds: float, budget: str = "", verdict: str = "") -> None:
    print(f"{label:<44}{1 / seconds:>12,.0f}{seconds * TAPS:>14,.1f}{budget:>10}{verdict:>10}")


def main(taps: int) -> None:
    with Progress(console=Console(stderr=True)) as progress:
        with Sandbox(seed=1) as sandbox:
            till = Till(sandbox, "unionpay", "visa-online")
            steps = list(till.seconds(taps, progress, "taps without ODA"))
            records = sandbox.verify().length
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        signed = max(STEP, round(taps * SIGNED))
        with Sandbox(seed=1) as sandbox:
            till = Till(sandbox, "unionpay-ecash")
            fdda = sum(till.seconds(signed, progress, "taps with fDDA"))
            began = time.perf_counter()
            cleared = till.terminal.clear()
            clearing = time.perf_counter() - began
            sandbox.verify()
    plain, fdda = sum(steps) / taps, fdda / signed
    print(f"{'':<44}{'a second':>12}{'s of 100,000':>14}{'budget':>10}")
    met = "met" if plain * TAPS <= BUDGET_S else "missed"
    row("without ODA: unionpay, visa-online", plain, f"{BUDGET_S} s", met)
    row("with fDDA: unionpay-ecash", fdda)
    row(f"bare CRT private operation, {SIGNED_BITS} bits", crt_seconds())
    row("half and half", (plain + fdda) / 2)
    row("clearing of an offline approval", clearing / cleared)
    ends = min(1_000 // STEP, len(steps))
    growth = sum(steps[-ends:]) / sum(steps[:ends])
    print(
        f"\nlast to first thousand: {growth:.2f} x; {records:,} records verified; {memory_mb:,.0f} MB at most"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else TAPS)
