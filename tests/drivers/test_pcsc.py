"""Payments through the real daemon: our card in the virtual reader, pyscard as the terminal's reader."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from counts import count
from pcsc_counter import WAIT_S, Bench, benched
from pcscd import Pcscd
from tap_counter import ECASH, PAYING, Counter, answered, states

from paysim import Sandbox
from paysim.core.errors import LinkTimeout, UsageError
from paysim.core.outcome import OutcomeKind
from paysim.drivers.pcsc import Pcsc, PcscField
from paysim.drivers.vpcd import CardHost
from paysim.emv.card import Card
from paysim.sandbox.tap import Tap
from paysim.testing.drivers import SELECT


@pytest.mark.parametrize("protocol", ["T1", "T0"])
@pytest.mark.parametrize("profile", PAYING)
def test_each_card_pays(daemon: Pcscd, profile: str, protocol: str) -> None:
    with benched(daemon, profile, protocol=protocol) as bench:
        before = bench.machine.memory.atc
        for number in range(1, 4):
            order = bench.order(990)
            tap = bench.link_tap(order)
            assert tap.approved, tap.timeline()
            assert bench.machine.memory.atc == before + number
            bench.settled()
            assert states(order) == ("CAPTURED", "CAPTURED")
        if profile in ECASH:
            assert bench.machine.memory.balance == 10_000 - 3 * 990
        else:
            assert bench.spent == 3 * 990


@pytest.mark.parametrize("profile", PAYING)
def test_a_reader_and_a_loopback_carry_the_same_bytes(daemon: Pcscd, profile: str) -> None:
    with Sandbox(seed=6) as sandbox:
        counter = Counter(sandbox)
        near = counter.tap(counter.order(990), profile)
    with benched(daemon, profile) as bench:
        far = bench.link_tap(bench.order(990))
    assert _lines(far) == _lines(near)


def _lines(tap: Tap) -> list[tuple[str, bytes]]:
    """Commands and answers, without what a card's own key and the clock make of them."""
    return [
        (line.kind, line.data[:4] if line.kind == "command" else line.data[-2:])
        for line in tap.trace
        if line.kind in ("command", "response")
    ]


@pytest.mark.parametrize("by", ["name", "driver", "field"])
def test_a_terminal_with_a_real_reader(daemon: Pcscd, by: str) -> None:
    with benched(daemon, "unionpay") as bench:
        bench.field.close()
        name = daemon.names[0]
        sources = {"name": f"pcsc:{name}", "driver": Pcsc(), "field": Pcsc().open(name)}
        terminal, order = bench.shop.terminal(sources[by]), bench.order(990)
        tap = terminal.tap(order, wait_s=0.1)
        assert (tap.outcome.kind, order.state.value) == (OutcomeKind.TRY_AGAIN, "CREATED")
        bench.host.start()
        assert terminal.tap(order).approved
        with pytest.raises(UsageError, match="real reader"):
            terminal.tap(bench.order(), bench.held)
        terminal.close()
        bench.settled()


@pytest.mark.parametrize("profile", ["unknown", "expired", "blocked"])
def test_a_card_that_cannot_pay_is_told_so(daemon: Pcscd, profile: str) -> None:
    with Sandbox(seed=6) as sandbox:
        counter = Counter(sandbox)
        order, near = counter.bought(990, profile)
        expected = states(order)
    with benched(daemon, profile) as bench:
        order = bench.order(990)
        assert answered(bench.link_tap(order)) == answered(near)
        assert states(order) == expected
        bench.settled()


# Tears. -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "heard"])
@pytest.mark.parametrize("profile", ["unionpay", "visa", "unionpay-ecash"])
def test_a_card_torn_at_any_command_pays_once(daemon: Pcscd, profile: str, heard: bool) -> None:
    at = 0
    while at < 20:
        at += 1
        with benched(daemon, profile, tear_at=at, heard=heard) as bench:
            order = bench.order(990)
            tap = bench.link_tap(order)
            torn = bench.host.commands >= at
            bench.host.tear_at = 0
            for _ in range(3):
                if tap.outcome.kind is not OutcomeKind.TRY_AGAIN:
                    break
                bench.host.stop()
                tap = bench.link_tap(order)
            if order.state.value == "UNKNOWN":
                order.query()
            assert tap.approved, (at, tap.timeline())
            bench.settled()
            assert states(order) == ("CAPTURED", "CAPTURED")
            if profile in ECASH:
                assert bench.machine.memory.balance == 10_000 - 990
            else:
                assert bench.spent == 990
            if not torn:
                assert at > 3
                return
    pytest.fail("a tap has no end")


def test_a_card_that_falls_silent_in_a_payment_is_wanted_again(daemon: Pcscd) -> None:
    class Silent:
        def __init__(self, card: Card) -> None:
            self.card, self.silent = card, True

        def respond(self, command: bytes) -> bytes:
            if self.silent and command[1] == 0xA8:
                raise LinkTimeout("says nothing")
            return self.card.respond(command)

        def power_off(self) -> None:
            self.card.power_off()

    with benched(daemon, "unionpay") as bench:
        silent = Silent(bench.machine)
        bench.host = CardHost(silent, **bench.about)
        order = bench.order(990)
        tap = bench.link_tap(order)
        assert tap.outcome.kind is OutcomeKind.TRY_AGAIN
        assert any(line.step == "timeout" for line in tap.trace)
        assert order.state.value != "UNKNOWN", "nothing was asked of the issuer"
        with pytest.raises(LinkTimeout, match="take the card away"):
            bench.field.wait(0.1)
        bench.host.stop()
        silent.silent = False
        assert bench.link_tap(order).approved
        bench.settled()


# In the long run. -------------------------------------------------------------------------------------------


def _kb() -> int:
    """What this process holds now; its peak may lie before."""
    rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(row for row in rows if row.startswith("VmRSS")).split()[1])


def test_taps_in_a_row_leak_nothing(daemon: Pcscd) -> None:
    """10,000 taps by reconnect and reset (a tenth in CI), 50 by removal: PPSE, application, GPO."""
    with benched(daemon, "unionpay") as bench:
        taps = count(10_000)
        assert isinstance(bench.field, PcscField)
        for number in range(taps):
            if number == 200:
                before, service, threads = _kb(), daemon.memory_kb(), threading.active_count()
            tap = _bare_tap(bench)
            assert tap == b"\x90\x00", number
        for _ in range(count(50)):
            bench.host.stop()
            assert bench.field.removed(WAIT_S)
            bench.host.start()
            assert _bare_tap(bench) == b"\x90\x00"
        grown, grown_service = _kb() - before, daemon.memory_kb() - service
        assert threading.active_count() == threads
    assert grown < 5_000, f"{grown} kB in {taps} taps"
    assert grown_service < 2_000, f"the daemon grew by {grown_service} kB in {taps} taps"


def _bare_tap(bench: Bench) -> bytes:
    """Activation and both SELECTs: the status word of the last."""
    if not bench.host.inserted:
        bench.host.start()
    present = bench.field.wait(WAIT_S)
    assert present is not None, bench.daemon.log()
    assert present.link.transceive(SELECT)[-2:] == b"\x90\x00"
    aid = next(iter(bench.machine.made.fcis))
    return present.link.transceive(bytes((0, 0xA4, 4, 0, len(aid))) + aid + b"\0")[-2:]
