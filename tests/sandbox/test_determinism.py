"""The same seed and commands give the same journal, byte for byte, on any store; another seed another one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paysim import CNY, Fault, Goods, Sandbox, SqliteJournal

SCRIPT = """
from test_determinism import business
from paysim import Sandbox
with Sandbox(seed=7) as sandbox:
    business(sandbox)
    print(sandbox.journal.head.hex())
"""


def business(sandbox: Sandbox) -> None:
    """A bit of everything."""
    shop, inn = sandbox.shop("Tea House"), sandbox.shop("茶馆", fee_ppm=6_000)
    alice = sandbox.person("Alice", balance=CNY("5000.00"))
    bob = sandbox.person("鲍勃", balance=CNY("20.00"), certificate=False)
    bob.bank_account("card", balance=CNY("900.00"), credit=True)
    order = shop.create(goods=[Goods("tea", CNY("6.40"), 2)], reference="T-1")
    alice.scan(order.present("qr.merchant")).confirm()
    order.refund(CNY("2.80"))
    stand = inn.static_code()
    bob.scan(stand).pay(CNY("3.00"), source="card")
    alice.scan(stand).pay(CNY("501.00"))
    sandbox.faults.add(Fault("answer", verb="authorize"))
    order = inn.create(CNY("9.90"))
    order.authorize(alice.payment_code())
    order.query()
    order = inn.create(CNY("1500.00"), capture="manual")
    order.authorize(alice.payment_code())
    sandbox.advance(minutes=1)
    alice.prompts()[0].confirm()
    order.capture(CNY("700.00"), final=True)
    sandbox.faults.add(Fault("request", "delay", verb="refund"))
    order.refund(CNY("1.00"), key="k")
    with sandbox.batch():
        inn.create(CNY("1.00")).present("qr.merchant")
        inn.create(CNY("2.00")).present("qr.merchant")
    taps(sandbox)
    sandbox.advance(days=3)


def taps(sandbox: Sandbox) -> None:
    """Cards that pay online and by themselves, are torn, refused, late."""
    shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice")
    terminal = shop.terminal()
    for profile in ("unionpay", "visa", "unionpay-ecash", "slow", "expired"):
        card = alice.card(profile)
        order = shop.create(CNY("9.90"))
        terminal.tap(order, card, tear_at=3, heard=True)
        terminal.tap(order, card)
    sandbox.faults.add(Fault("request", "delay", verb="authorize", delay_s=5))
    terminal.tap(shop.create(CNY("1000.01")), alice.card("unionpay"))
    terminal.tap(shop.create(CNY("1000.01")), alice.card("unionpay"), pin="000000")
    terminal.clear()
    terminal.tap(shop.create(CNY("1.00")), alice.card("unionpay-ecash"))
    alice.card("visa").report("lost")


def records(sandbox: Sandbox) -> list[tuple[object, ...]]:
    return [tuple(record) for record in sandbox.journal.records()]


def on_memory(_folder: Path, seed: int) -> Sandbox:
    return Sandbox(seed=seed)


def on_sqlite(folder: Path, seed: int) -> Sandbox:
    return Sandbox(seed=seed, store=folder / f"{seed}.db")


def on_sqlite_by_address(folder: Path, seed: int) -> Sandbox:
    return Sandbox(seed=seed, store=f"sqlite:///{folder}/{seed}.db", durability="normal")


def on_a_journal(folder: Path, seed: int) -> Sandbox:
    return Sandbox(seed=seed, store=SqliteJournal(folder / f"{seed}.db"))


STORES = [on_memory, on_sqlite, on_sqlite_by_address, on_a_journal]


@pytest.mark.parametrize("made", STORES)
@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_every_store_has_the_same_journal(
    tmp_path: Path, made: Callable[[Path, int], Sandbox], seed: int
) -> None:
    with Sandbox(seed=seed) as expected, made(tmp_path, seed) as sandbox:
        business(expected)
        business(sandbox)
        assert records(sandbox) == records(expected)
        assert sandbox.journal.head == expected.journal.head
        assert sandbox.balances() == expected.balances()
        assert sandbox.verify().head == sandbox.journal.head


def test_another_seed_gives_another_journal() -> None:
    heads = set()
    for seed in range(5):
        with Sandbox(seed=seed) as sandbox:
            business(sandbox)
            heads.add(sandbox.journal.head)
    assert len(heads) == 5


def test_other_keys_give_the_same_journal(tmp_path: Path) -> None:
    """What cards sign is not in it."""
    heads = set()
    for keys in (None, tmp_path / "a", tmp_path / "b"):
        with Sandbox(seed=7, keys=keys) as sandbox:
            business(sandbox)
            heads.add(sandbox.journal.head)
    assert len(heads) == 1


def test_another_process_gives_the_same_journal() -> None:
    """Hash randomisation of strings and sets does not show."""
    heads = set()
    for hash_seed in ("1", "2"):
        environment = {
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": f"{Path(__file__).parent}:{':'.join(sys.path)}",
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment
        )
        heads.add(done.stdout)
    with Sandbox(seed=7) as sandbox:
        business(sandbox)
        assert heads == {sandbox.journal.head.hex() + "\n"}


def test_a_restart_in_the_middle_does_not_show(tmp_path: Path) -> None:
    def begin(sandbox: Sandbox) -> None:
        shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice", balance=CNY("50.00"))
        sandbox.advance(seconds=90)
        order = shop.create(CNY("12.80"), reference="T-1")
        alice.scan(order.present("qr.merchant"))

    def end(sandbox: Sandbox) -> None:
        shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice")
        order = shop.create(CNY("12.80"), reference="T-1")
        assert order.presentation
        alice.scan(order.presentation).confirm()
        order.refund(CNY("1.00"))
        sandbox.advance(days=2)

    with Sandbox(seed=3) as whole:
        begin(whole)
        end(whole)
        with Sandbox(seed=3, store=tmp_path / "a.db") as first:
            begin(first)
        with Sandbox(store=tmp_path / "a.db") as second:
            end(second)
            assert second.journal.head == whole.journal.head


def test_a_file_keeps_its_seed(tmp_path: Path) -> None:
    with Sandbox(seed=3, store=tmp_path / "a.db"):
        pass
    with pytest.raises(Exception, match="seed 3"):
        Sandbox(seed=4, store=tmp_path / "a.db")
