"""A shop's counter with a real reader: our card in the virtual reader, pyscard as the terminal's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pcscd import Pcscd
from tap_counter import Counter

from paysim import Order, Sandbox
from paysim.drivers.driver import Field
from paysim.drivers.pcsc import Pcsc
from paysim.drivers.vpcd import CardHost
from paysim.emv.card import Card
from paysim.sandbox.tap import Tap

WAIT_S = 10.0


class Bench(Counter):
    """A shop's counter whose terminal has a real reader, and the hand that holds the card there."""

    def __init__(self, sandbox: Sandbox, daemon: Pcscd, profile: str, **about: Any) -> None:
        super().__init__(sandbox)
        self.daemon = daemon
        self.held = self.card(profile)
        self.machine: Card = sandbox._engine.cards.held(self.held.id).card
        self.about = {"port": daemon.port, "dial": daemon.dial, **about}
        self.host = CardHost(self.machine, **self.about)
        self.field: Field = Pcsc(timeout_s=1).open(daemon.names[0])

    def link_tap(self, order: Order) -> Tap:
        """The card, found and tapped."""
        if not self.host.inserted:
            self.host.start()
        present = self.field.wait(WAIT_S)
        assert present is not None, self.daemon.log()
        return self.terminal.tap_link(order, present.link, count=present.count)

    def settled(self) -> None:
        """After clearing, the card's book is written, and every book agrees."""
        self.terminal.clear()
        self.sandbox.verify()

    def close(self) -> None:
        self.field.close()
        self.host.stop()


@contextlib.contextmanager
def benched(daemon: Pcscd, profile: str, **about: Any) -> Iterator[Bench]:
    with Sandbox(seed=6) as sandbox:
        bench = Bench(sandbox, daemon, profile, **about)
        try:
            yield bench
        finally:
            bench.close()
