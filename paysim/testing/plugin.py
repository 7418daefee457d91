"""The pytest plugin: a sandbox for a test.

It comes with the package. `paysim_sandbox` is a sandbox of its own for each test, on the virtual clock that
`paysim_clock` gives, with the seed that `paysim_seed` gives; when the test has ended, it is verified.
Override `paysim_seed` or `paysim_clock`, as any fixture, for another seed or another start.

    def test_a_refund_gives_the_money_back(paysim_sandbox):
        shop, alice = paysim_sandbox.shop("Tea House"), paysim_sandbox.person("Alice", balance=CNY("20"))
        order = shop.create(CNY("12.80"))
        alice.scan(order.present("qr.merchant")).confirm()
        assert order.refund().done
        assert alice.balance() == CNY("20")

pytest loads this module in every project that has paysim installed: nothing of paysim is imported here until
a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from paysim import Sandbox, VirtualClock

__all__ = ["paysim_clock", "paysim_sandbox", "paysim_seed"]


@pytest.fixture
def paysim_seed() -> int:
    """The seed of `paysim_sandbox`: 0, unless a project overrides it."""
    return 0


@pytest.fixture
def paysim_clock() -> VirtualClock:
    """The virtual clock of `paysim_sandbox`; `paysim_clock.advance(hours=25)` rings what falls due."""
    from paysim import VirtualClock

    return VirtualClock()


@pytest.fixture
def paysim_sandbox(paysim_seed: int, paysim_clock: VirtualClock) -> Iterator[Sandbox]:
    """A sandbox in memory.

    After the test its accounts must sum to zero and its journal must replay with every invariant, or the
    test is in error.
    """
    from paysim import Sandbox

    with Sandbox(seed=paysim_seed, clock=paysim_clock) as sandbox:
        yield sandbox
        sandbox.verify()
