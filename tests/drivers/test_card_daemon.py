"""`paysim card` in the virtual reader of the real pcscd, which is stopped and started again under it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bench_shells import PAYSIM, Bench
from pcscd import Pcscd

from paysim import CNY, Order, Sandbox
from paysim.core.errors import NoReader
from paysim.core.outcome import OutcomeKind
from paysim.drivers.driver import CardLink, Field, Present
from paysim.drivers.pcsc import Pcsc
from paysim.sandbox.folder import holder, opened
from paysim.store import Keyring


@pytest.fixture
def stoppable(daemon: Pcscd) -> Iterator[Pcscd]:
    """The daemon, which runs again afterwards."""
    yield daemon
    if daemon.process is None:
        daemon.start()


@pytest.fixture
def bench(stoppable: Pcscd, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, f"vpcd:{stoppable.port}", f"pcsc:{stoppable.names[0]}", stoppable.command)
    yield made
    made.close()


def earned(sandbox: Sandbox) -> int:
    """What the shop has, in fen; nothing is on its way, every book agrees, and the ledger is at zero."""
    sandbox.verify()
    assert set(sandbox.sums().values()) == {0}
    assert holder(sandbox).held().minor == 0
    return sandbox.balances()["merchant/tea-house/pending"]["CNY"]


def undone(order: Order) -> None:
    """Whatever became of it, nothing of it is in doubt afterwards, and no money moved."""
    order.query()
    order.reverse()
    assert (order.state.value, order.book.state.value) == ("REVERSED", "REVERSED")


def test_a_card_comes_back_by_itself_when_the_daemon_does(stoppable: Pcscd, bench: Bench) -> None:
    card = bench.card("visa")
    assert bench.tap("--amount", "12.80").returncode == 0
    for times in (1, 2):
        stoppable.stop()
        card.until("waiting for it", times)
        stoppable.start()
        card.until("held there again", times)
        tapped = bench.tap("--amount", "12.80")
        assert tapped.returncode == 0, tapped.stderr + card.out
        assert f"  card        counter {times + 1}\n" in tapped.stdout
    assert card.end() == 0
    with opened(Keyring(bench.keys)) as sandbox:
        assert earned(sandbox) == 3 * 1280


def test_a_card_whose_process_is_stopped_is_a_named_error_in_time(stoppable: Pcscd, bench: Bench) -> None:
    """Ctrl-Z in the card's shell: it is there, and says nothing."""
    card = bench.card("visa")
    assert bench.tap("--amount", "9.90").returncode == 0
    card.child.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        tapped = bench.tap("--amount", "9.90", "--wait", "2")
        assert time.monotonic() - begun < 20
        assert tapped.returncode == 2, tapped.stdout
        assert "the card does not answer; take it away\n" in tapped.stdout
        assert tapped.stderr == "paysim: no card came within 2 seconds\n"
    finally:
        card.child.send_signal(signal.SIGCONT)
    assert bench.tap("--amount", "9.90").returncode == 0
    with opened(Keyring(bench.keys)) as sandbox:
        assert earned(sandbox) == 2 * 990


# Two cards. -------------------------------------------------------------------------------------------------


def test_two_cards_in_two_slots_pay_at_once(stoppable: Pcscd, bench: Bench) -> None:
    cards = [
        bench.card("visa", "--slot", "0", "--protocol", "T1", "--tear-at", "4"),
        bench.card("unionpay", "--slot", "1", "--protocol", "T0", "--tear-at", "5"),
    ]
    tap = (*PAYSIM, "tap", "--keys", str(bench.keys), "--amount", "9.90", "--wait", "30", "--json")
    shells = [bench.shell(*tap, "--driver", f"pcsc:{name}") for name in stoppable.names]
    for shell in shells:
        assert shell.child.wait(60) == 0, shell.out
        assert '"state": "CAPTURED"' in shell.out
    assert all("torn out of the field" in card.out for card in cards)
    with opened(Keyring(bench.keys)) as sandbox:
        assert earned(sandbox) == 2 * 990


def test_a_second_card_in_a_slot_waits_until_the_first_is_gone(stoppable: Pcscd, bench: Bench) -> None:
    first = bench.card("visa")
    second = bench.card("unionpay")
    second.until("another card is in slot 0")
    tapped = bench.tap("--amount", "9.90")
    assert "alice-visa" in first.out
    assert tapped.returncode == 0
    assert "GET PROCESSING OPTIONS" in first.out
    assert first.end() == 0
    assert bench.tap("--amount", "9.90").returncode == 0
    assert "GET PROCESSING OPTIONS" in second.out


# A terminal that holds the reader meanwhile. ----------------------------------------------------------------


@pytest.fixture
def sandbox(bench: Bench) -> Iterator[Sandbox]:
    """The sandbox of the keys folder, whose cards `bench.card` holds."""
    with opened(Keyring(bench.keys)) as made:
        yield made


def test_a_terminal_waits_and_the_daemon_goes(stoppable: Pcscd, bench: Bench, sandbox: Sandbox) -> None:
    shop = sandbox.shop("Tea House")
    terminal, order = shop.terminal(bench.reader), shop.create(CNY("9.90"))
    assert terminal.tap(order, wait_s=0.1).outcome.kind is OutcomeKind.TRY_AGAIN, "it holds the reader"
    stopping = threading.Timer(0.2, stoppable.stop)
    stopping.start()
    begun = time.monotonic()
    with pytest.raises(NoReader, match="pcscd"):
        terminal.tap(order, wait_s=1)
    assert time.monotonic() - begun < 5
    stopping.join()
    undone(order)
    stoppable.start()
    bench.card("visa")
    assert terminal.tap(shop.create(CNY("9.90"))).approved
    terminal.close()
    assert earned(sandbox) == 990


def test_a_terminal_waits_until_daemon_and_card_are_back(
    stoppable: Pcscd, bench: Bench, sandbox: Sandbox
) -> None:
    card = bench.card("visa")
    shop = sandbox.shop("Tea House")
    terminal = shop.terminal(bench.reader)
    assert terminal.tap(shop.create(CNY("9.90"))).approved
    stoppable.stop()
    starting = threading.Timer(0.5, stoppable.start)
    starting.start()
    assert terminal.tap(shop.create(CNY("9.90"))).approved, card.out
    starting.join()
    terminal.close()
    assert earned(sandbox) == 2 * 990


class Stopping:
    """A real reader's field and its links; the daemon is stopped at the command `at`, from 1."""

    decisions = ()

    def __init__(self, field: Field, daemon: Pcscd, at: int, *, heard: bool) -> None:
        self.field = field
        self.reader = field.reader
        self.daemon = daemon
        self.at = at
        self.heard = heard
        """Whether the card has that command, and only its answer is lost."""
        self.commands = 0
        self.link: CardLink | None = None

    def wait(self, timeout_s: float) -> Present | None:
        present = self.field.wait(timeout_s)
        if present is None:
            return None
        self.link = present.link
        return replace(present, link=self)

    def transceive(self, data: bytes) -> bytes:
        assert self.link is not None
        self.commands += 1
        if self.commands == self.at:
            if self.heard:
                self.link.transceive(data)
            self.daemon.stop()
        return self.link.transceive(data)

    def removed(self, timeout_s: float) -> bool:
        return self.field.removed(timeout_s)

    def close(self) -> None:
        self.field.close()


@pytest.mark.parametrize(
    ("profile", "heard"),
    [("visa", False), ("visa", True), ("unionpay-ecash", True)],
    ids=["unheard", "heard", "heard by a card that pays by itself"],
)
def test_the_daemon_goes_at_any_command_of_a_payment(
    profile: str, heard: bool, stoppable: Pcscd, bench: Bench, sandbox: Sandbox
) -> None:
    """The order of that payment is paid by the next tap, or nothing of it is in doubt: they take turns."""
    bench.card(profile)
    shop, paid, at = sandbox.shop("Tea House"), 0, 0
    while at < 20:
        at += 1
        field = Stopping(Pcsc().open(stoppable.names[0]), stoppable, at, heard=heard)
        terminal, order = shop.terminal(field), shop.create(CNY("9.90"))
        tap = terminal.tap(order)
        if stoppable.process is not None:
            assert tap.approved
            assert at > 3, "it was stopped at several commands"
            paid += 1
            break
        begun = time.monotonic()
        with pytest.raises(NoReader, match="pcscd"):
            terminal.tap(order, wait_s=0.2)
        assert time.monotonic() - begun < 5
        assert tap.outcome.kind is OutcomeKind.TRY_AGAIN, tap.timeline()
        if at % 2:
            undone(order)
            order = shop.create(CNY("9.90"))
        stoppable.start()
        again = terminal.tap(order)
        assert again.approved, again.timeline()
        paid += 1
        terminal.close()
    terminal.clear()
    field.close()
    assert earned(sandbox) == paid * 990


def test_a_tap_in_another_shell_waits_and_the_daemon_goes(stoppable: Pcscd, bench: Bench) -> None:
    tap = (*PAYSIM, "tap", "--driver", bench.reader, "--keys", str(bench.keys), "--amount", "9.90")
    waiting = bench.shell(*tap)
    waiting.until("hold a card to the reader")
    stoppable.stop()
    assert waiting.child.wait(60) == 1
    assert waiting.out.splitlines()[-1].startswith("paysim: the smart card service does not run")
    assert "pcscd" in waiting.out
    stoppable.start()
    bench.card("unionpay")
    assert bench.tap("--amount", "9.90").returncode == 0
    with opened(Keyring(bench.keys)) as sandbox:
        assert [order.state.value for order in sandbox.orders()] == ["CAPTURED"]
        assert earned(sandbox) == 990
