"""Drivers on a table, for the contract suite and for whole payments: loopback, replay, PC/SC."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pcscd import Pcscd

from paysim.drivers import session
from paysim.drivers.dialogue import Exchange
from paysim.drivers.driver import Driver, SoftCard
from paysim.drivers.loopback import LoopbackDriver
from paysim.drivers.pcsc import Pcsc
from paysim.drivers.replay import ReplayDriver
from paysim.drivers.session import Session
from paysim.drivers.vpcd import CardHost
from paysim.emv.reader import Combination, Purchase, reader


class LoopbackBench:
    """Cards in this process."""

    lacks = frozenset({"arrival"})

    def __init__(self) -> None:
        self.table = LoopbackDriver()
        self.driver: Driver = self.table
        self.reader = ""

    def insert(self, card: SoftCard, commands: Sequence[bytes] = ()) -> None:
        self.table.insert(card)

    def remove(self) -> None:
        self.table.remove()

    def close(self) -> None:
        self.table.remove()


class ReplayBench:
    """A record of what the card says to the commands that are announced: a file that is written anew."""

    lacks = frozenset({"readers", "removal", "silence", "tear", "power", "arrival", "odd lengths"})

    def __init__(self) -> None:
        self.driver: Driver = ReplayDriver()
        self.folder = tempfile.TemporaryDirectory()
        self.reader = str(Path(self.folder.name, "tap.jsonl"))

    def insert(self, card: SoftCard, commands: Sequence[bytes] = ()) -> None:
        trace = []
        for command in commands:
            trace.append(Exchange("command", data=command))
            trace.append(Exchange("response", data=card.respond(command)))
        purchase = Purchase(
            990, date=datetime.date(2026, 11, 27), time=datetime.time(12), unpredictable=bytes(4)
        )
        till = reader(Combination(bytes.fromhex("A000000333"), 7, bytes(4)))
        text = session.encode(Session(till, purchase, tuple(trace), 1, {}))
        Path(self.reader).write_text(text, encoding="utf-8")

    def remove(self) -> None:
        pass

    def close(self) -> None:
        self.folder.cleanup()


class PcscBench:
    """A card in the virtual reader, seen through the real daemon by pyscard."""

    lacks: frozenset[str] = frozenset()

    def __init__(self, daemon: Pcscd, *, slot: int = 0, timeout_s: float = 0.8, **about: Any) -> None:
        self.daemon = daemon
        self.driver: Driver = Pcsc(timeout_s=timeout_s)
        self.reader = daemon.names[slot]
        self.about = {"slot": slot, **about}
        self.host: CardHost | None = None

    def insert(self, card: SoftCard, commands: Sequence[bytes] = ()) -> None:
        self.remove()
        self.host = CardHost(card, port=self.daemon.port, dial=self.daemon.dial, **self.about)
        self.host.start()

    def remove(self) -> None:
        if self.host is not None:
            self.host.stop()
            self.host = None

    def close(self) -> None:
        self.remove()
