"""A batch: all of it or nothing, on any store, and what was folded in memory goes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from paysim import CNY, Sandbox, UsageError


@pytest.fixture(params=["memory", "sqlite"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    return Sandbox(seed=7, store=tmp_path / "journal.db" if request.param == "sqlite" else "memory")


def trade(sandbox: Sandbox, reference: str) -> None:
    alice = sandbox.person("Alice")
    order = sandbox.shop("Tea House").create(CNY("1.00"), reference=reference)
    alice.scan(order.present("qr.merchant")).confirm()


def fail(sandbox: Sandbox) -> None:
    with sandbox.batch():
        trade(sandbox, "lost")
        sandbox.shop("Tea House").create(CNY("0.00"))


def test_a_batch_is_what_its_commands_are(sandbox: Sandbox) -> None:
    with Sandbox(seed=7) as expected:
        for world in (sandbox, expected):
            world.person("Alice", balance=CNY("9.00"))
        with sandbox.batch():
            trade(sandbox, "one")
            trade(sandbox, "two")
        trade(expected, "one")
        trade(expected, "two")
        assert sandbox.journal.head == expected.journal.head
        assert sandbox.verify().orders == 2


def test_a_batch_that_fails_leaves_nothing(sandbox: Sandbox) -> None:
    alice = sandbox.person("Alice", balance=CNY("9.00"))
    trade(sandbox, "kept")
    before = (sandbox.journal.head, sandbox.balances(), sandbox.journal.timers())
    with pytest.raises(UsageError):
        fail(sandbox)
    assert (sandbox.journal.head, sandbox.balances(), sandbox.journal.timers()) == before
    assert len(list(sandbox.orders())) == 1
    sandbox.verify()
    trade(sandbox, "lost")
    assert alice.balance() == CNY("7.00")
    sandbox.advance(days=2)
    assert {order.book.events[-1].kind for order in sandbox.orders()} == {"settled"}
    sandbox.verify()
