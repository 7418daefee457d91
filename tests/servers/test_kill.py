"""SIGKILL under load: what `paysim serve` acknowledged is there once, and callbacks that it owed go out."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from counts import count
from prompt import Served, environment
from wechat_crowd import Crowd, Mailbox, Order, Wire, owed, settle

from paysim import Sandbox
from paysim.cli import main

KILLS = max(10, count(100))
A_FILE_SERVES = 10
"""How many kills one file goes through."""

ANSWERS_AT_MOST = 150
"""How many acknowledged answers there are before a kill."""

EFFECTS = ("captured", "refunded", "voided", "reversed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the keys stay from start to start."""
    return tmp_path_factory.mktemp("killed")


@contextlib.contextmanager
def serving(folder: Path, file: Path) -> Iterator[Served]:
    """A sandbox on a file; it is killed in the end, if not before."""
    options = ("--store", f"sqlite:///{file}", "--durability", "normal", "--refund-seconds", "0.05")
    served = Served(*options, folder=folder)
    try:
        yield served
    finally:
        served.child.kill()
        _, complaints = served.child.communicate(timeout=20)
        assert "Traceback" not in complaints, complaints


def trade(served: Served, mailbox: Mailbox, seed: int) -> tuple[list[Order], set[tuple[str, str]]]:
    """The orders of a crowd until a kill, and the callbacks that were owed then."""
    choices = Random(seed)
    killed_at = choices.randint(1, ANSWERS_AT_MOST)
    deaf_at = choices.randint(1, killed_at)

    def told(answers: int) -> None:
        if answers == deaf_at:
            mailbox.be_deaf()
        if answers == killed_at:
            served.child.kill()

    crowd = Crowd(served.described, mailbox.url, seed, told)
    crowd.work()
    served.child.wait(timeout=20)
    mailbox.hear()
    assert len(crowd.told) >= killed_at, "the crowd went home before the kill"
    return crowd.orders, owed(crowd.orders) - mailbox.taken()


def check_file(file: Path) -> None:
    """Nothing in the journal happened twice, and it is sound."""
    with Sandbox(store=f"sqlite:///{file}") as sandbox:
        effects = [
            (name, event.operation, event.kind)
            for name, events in sandbox.journal.streams("order/")
            for event in events
            if event.kind in EFFECTS
        ]
        assert len(effects) == len(set(effects))
        paid = [name for name, _, kind in effects if kind == "captured"]
        assert len(paid) == len(set(paid))
        assert set(sandbox.sums().values()) <= {0}
    assert main(["verify", str(file), "--quiet"]) == 0


def check_money(wire: Wire, orders: list[Order]) -> None:
    """What people have less is what was paid and not refunded; the ledger's sums are zero."""
    gone = sum(order.total for order in orders if order.transaction_id)
    back = sum(back.fen for order in orders for back in order.backs.values())
    people = wire.control("GET", "/people")
    assert sum(one["balance"] for one in people) == len(people) * 1_000_000 - gone + back
    assert set(wire.control("GET", "/ledger")["sums"].values()) == {0}


def follow_up(served: Served, mailbox: Mailbox, new: list[Order], known: list[Order]) -> int:
    """After a restart: nothing lost, nothing doubled, all callbacks there; how much had been open."""
    wire = Wire(served.described)
    try:
        unsure = settle(wire, new, mailbox.url)
        mailbox.wait_for(owed([*known, *new]))
        mailbox.check()
        check_money(wire, [*known, *new])
    finally:
        wire.close()
    return unsure


def test_a_killed_sandbox_loses_and_doubles_nothing(folder: Path) -> None:
    unsure, late = 0, set[tuple[str, str]]()
    with contextlib.closing(Mailbox()) as mailbox:
        for first in range(0, KILLS, A_FILE_SERVES):
            file, known, new = folder / f"{first}.paysim", list[Order](), list[Order]()
            mailbox.clear()
            for kill in range(first, min(first + A_FILE_SERVES, KILLS)):
                with serving(folder, file) as served:
                    mailbox.api_v3_key = served.described["wechat"]["apiv3_key"]
                    unsure += follow_up(served, mailbox, new, known)
                    known += new
                    new, owing = trade(served, mailbox, kill)
                    late |= owing
                check_file(file)
            with serving(folder, file) as served:
                unsure += follow_up(served, mailbox, [*known, *new], [])
            check_file(file)
    assert unsure, "no kill left a request unanswered: the test has lost its point"
    assert late, "no kill left a callback owed: the test has lost its point"


@pytest.mark.parametrize("files", range(1, 1 + max(2, count(20))))
def test_a_kill_while_keys_and_journal_are_made_leaves_them_usable(tmp_path: Path, files: int) -> None:
    """It is killed as soon as so many files are there, or all of them."""
    file, last = tmp_path / "new.paysim", tmp_path / ".paysim" / "sandbox.json"
    options = ("--store", f"sqlite:///{file}", "--port", "0")
    command = [sys.executable, "-m", "paysim", "serve", *options]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) as starting:
        while sum(1 for _ in tmp_path.glob("**/*")) <= files and not last.exists():
            assert starting.poll() is None
        starting.kill()
    with serving(tmp_path, file) as served:
        assert served.order().startswith("weixin://")
    check_file(file)
