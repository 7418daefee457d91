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

`paysim_server` is a running sandbox: point a WeChat Pay client at `paysim_server.base_url`, pay with
`paysim_server.pay(code_url)`, look at `.deliveries`, add `.faults`, `.end_refund("R-1", "SUCCESS")`, move its
`.clock` (a virtual one).
Override `paysim_server_options` for another one.

pytest loads this module in every project that has paysim installed: nothing of paysim is imported here until
a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from paysim import Sandbox, VirtualClock
    from paysim.servers.server import Options

    from .server import RunningServer

__all__ = ["paysim_clock", "paysim_sandbox", "paysim_seed", "paysim_server", "paysim_server_options"]


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


@pytest.fixture
def paysim_server_options(paysim_seed: int, tmp_path_factory: pytest.TempPathFactory) -> Options:
    """How `paysim_server` is served: free ports, a virtual clock, keys shared by the tests of one run."""
    from paysim.servers.server import Options

    return Options(port=0, clock="virtual", seed=paysim_seed, keys=_keys(tmp_path_factory))


def _keys(folders: pytest.TempPathFactory) -> Path:
    """One keys folder a run: minting takes most of a server's start."""
    return folders.getbasetemp() / "paysim-keys"


@pytest.fixture
def paysim_server(paysim_server_options: Options) -> Iterator[RunningServer]:
    """A running sandbox; after the test it is verified and closed, and nothing of it is left."""
    from .server import RunningServer

    with RunningServer(paysim_server_options) as server:
        yield server
        server.sandbox.verify()
