"""The pytest plugin: what a user's test gets, and what it costs a project that does not use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from paysim import CNY, Sandbox, VirtualClock

TEST = """
from paysim import CNY
from paysim.core.event import Event, Transfer

def test_one(paysim_sandbox, paysim_clock):
    assert paysim_sandbox.clock is paysim_clock
    shop, alice = paysim_sandbox.shop("Tea House"), paysim_sandbox.person("Alice", balance=CNY("20"))
    stand = shop.static_code()
    assert alice.scan(stand).pay(CNY("12.80")).approved

def test_another_world(paysim_sandbox):
    assert paysim_sandbox.balances() == {}
"""

SEEDED = """
import pytest

@pytest.fixture
def paysim_seed():
    return 7

def test_seed(paysim_sandbox):
    assert "seed=7" in repr(paysim_sandbox)
"""

BROKEN = """
def test_breaks_the_ledger(paysim_sandbox):
    paysim_sandbox.journal._tallies["payer/alice/available:CNY"] = 1
"""


def run(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """pytest in a project of its own, where paysim is installed."""
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_sandbox_for_each_test(tmp_path: Path) -> None:
    done = run(tmp_path, TEST)
    assert "2 passed" in done.stdout, done.stdout


def test_a_project_chooses_its_seed(tmp_path: Path) -> None:
    assert "1 passed" in run(tmp_path, SEEDED).stdout


def test_the_sandbox_is_verified_after_the_test(tmp_path: Path) -> None:
    done = run(tmp_path, BROKEN)
    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert "JournalDamaged" in done.stdout


def test_the_fixtures_here(paysim_sandbox: Sandbox, paysim_clock: VirtualClock, paysim_seed: int) -> None:
    before_ms = paysim_clock.now_ms()
    order = paysim_sandbox.shop("Tea House").create(CNY("1.00"))
    order.present("qr.merchant")
    paysim_clock.advance(hours=2)
    assert order.state == "CLOSED"
    assert paysim_sandbox.clock.now_ms() == before_ms + 2 * 3_600_000
    assert paysim_seed == 0


def test_loading_the_plugin_imports_nothing_of_paysim() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import paysim.testing.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["paysim", "paysim.testing", "paysim.testing.plugin"]


def test_the_root_has_its_names_without_importing_them() -> None:
    code = (
        "import sys, paysim; assert 'paysim.sandbox' not in sys.modules; "
        "assert 'Sandbox' in dir(paysim); paysim.Sandbox; assert 'paysim.sandbox' in sys.modules; "
        "assert all(hasattr(paysim, name) for name in paysim.__all__); assert not hasattr(paysim, 'Nonsense')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
