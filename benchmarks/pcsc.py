"""APDUs and taps through the real PC/SC daemon: our card in the virtual reader, pyscard as the terminal.

Run: python benchmarks/pcsc.py

A daemon of its own is started (tests/pcscd.py), in its own network where that is allowed. Counted are SELECT
PPSE round trips through `PcscLink`, beside bare SCardTransmit on the same card; activation (`wait` on a card
that lies there); and whole UnionPay taps with an ARQC, of which the protocol is what passes between terminal
and card. The card runs in a thread of this process. Budgets: 0.35 ms a round trip (median; a card without
TCP_QUICKACK takes 44 ms), 10 ms of protocol a tap.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from pcscd import Pcscd, missing

from paysim import Money, Sandbox
from paysim.drivers.driver import CardLink, Field
from paysim.drivers.pcsc import Pcsc
from paysim.drivers.vpcd import CardHost
from paysim.emv.outcome import Decision

SELECT = bytes.fromhex("00A404000E325041592E5359532E444446303100")
ROUNDS, TAPS = 3000, 300
BUDGET_MS, BUDGET_TAP_MS = 0.35, 10.0


class Timed:
    """A link, and how long it took."""

    decisions: tuple[Decision, ...] = ()

    def __init__(self, link: CardLink) -> None:
        self.link = link
        self.took_s = 0.0
        self.commands = 0

    def transceive(self, data: bytes) -> bytes:
        begun = time.perf_counter()
        answer = self.link.transceive(data)
        self.took_s += time.perf_counter() - begun
        self.commands += 1
        return answer


def times_ms(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and 95th percentile."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


def bare(reader: str) -> tuple[float, float]:
    """SCardTransmit and nothing else."""
    from smartcard import scard

    _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    _, handle, protocol = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, 3)
    command = list(SELECT)
    found = times_ms(lambda: scard.SCardTransmit(handle, protocol, command), ROUNDS)
    scard.SCardDisconnect(handle, scard.SCARD_LEAVE_CARD)
    scard.SCardReleaseContext(context)
    return found


def link_of(field: Field) -> CardLink:
    present = field.wait(10)
    if present is None:
        raise SystemExit("the card was not found")
    return present.link


def main() -> None:
    """Measure and print."""
    why = missing()
    if why:
        raise SystemExit(why)
    daemon = Pcscd().start()
    try:
        measure(daemon)
    finally:
        daemon.close()


def measure(daemon: Pcscd) -> None:
    with Sandbox(seed=6) as sandbox:
        shop = sandbox.shop("Tea House")
        alice = sandbox.person("Alice", balance=Money("CNY", 100_000_000))
        held = sandbox._engine.cards.held(alice.card("unionpay").id)
        host = CardHost(held.card, port=daemon.port, dial=daemon.dial)
        host.start()
        field = Pcsc().open(daemon.names[0])
        link = link_of(field)
        median, late = times_ms(lambda: link.transceive(SELECT), ROUNDS)
        met = "met" if median <= BUDGET_MS else "MISSED"
        print(f"APDU round trip, pcscd: {median:.3f} ms median, {late:.3f} ms p95; budget {BUDGET_MS}: {met}")
        waiting, late = times_ms(lambda: field.wait(10), 300)
        print(f"activation of a card that lies there: {waiting:.3f} ms median, {late:.3f} ms p95")
        field.close()
        plain, late = bare(daemon.names[0])
        print(f"bare SCardTransmit: {plain:.3f} ms median, {late:.3f} ms p95; ratio {median / plain:.2f}")

        field, terminal, protocol, whole = Pcsc().open(daemon.names[0]), shop.terminal(), [], []
        commands = 0
        for _ in range(TAPS):
            order = shop.create(Money("CNY", 990))
            begun = time.perf_counter()
            timed = Timed(link_of(field))
            tap = terminal.tap_link(order, timed)
            whole.append((time.perf_counter() - begun) * 1000)
            if not tap.approved:
                raise SystemExit(tap.timeline())
            protocol.append(timed.took_s * 1000)
            commands = timed.commands
        spent = statistics.median(protocol)
        met = "met" if spent <= BUDGET_TAP_MS else "MISSED"
        print(
            f"UnionPay tap, {commands} APDUs: {spent:.2f} ms of protocol, {statistics.median(whole):.2f} ms"
            f" with activation, issuer and ledger; budget {BUDGET_TAP_MS:g}: {met}"
        )
        field.close()
        host.stop()


if __name__ == "__main__":
    main()
