"""The sandbox: one clock, one seed, one journal, and the actors in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from paysim.channels import Channel, ShopFacts
from paysim.core.clock import VirtualClock
from paysim.core.errors import ConfigError, UsageError
from paysim.core.event import Event
from paysim.core.money import Money, not_negative
from paysim.core.ports import Clock, Journal
from paysim.core.seed import Seed
from paysim.faults import Fault, FaultPlan
from paysim.issuer.accounts import check_pin, opened
from paysim.ledger import accounts
from paysim.ledger.invariants import Report, sums, verify
from paysim.ledger.journal import MemoryJournal
from paysim.store import Keyring, MemoryKeys, SqliteJournal

from .desk import Desk
from .engine import Engine, Keys
from .network import Network
from .order import Order
from .person import Person
from .shop import Shop

if TYPE_CHECKING:
    from .wechat import WeChatPay

__all__ = ["Sandbox"]

_SQLITE: Final = "sqlite:///"
_SLUG: Final = re.compile(r"[a-z0-9]+", re.ASCII)
_SLUG_AT_MOST: Final = 20
_NAME_AT_MOST: Final = 64


def _wechat(engine: Engine) -> Desk:
    from .wechat import WeChatPay  # it signs: `import paysim` does not load the signing core

    return WeChatPay(engine)


_OPERATORS: Final[dict[str, Callable[[Engine], Desk]]] = {"wechat": _wechat}
"""Operator -> its desk, opened when a channel of it is first used."""


class Sandbox:
    """A world of shops, persons and an operator, with one ledger.

    `store` is "memory", "sqlite:///FILE" (or a path), or a Journal; `durability` is for a file: "full"
    survives a power cut, "normal" a killed process. A file that exists is continued where it stopped, its
    owed timers included. `seed` decides every identifier (0 unless given; a file keeps its own); `clock` is a
    VirtualClock unless given, and then starts where a file stopped. `faults` are what shall go wrong. `keys`
    is the folder of the keys; without one they are in memory, minted when needed, one set for the process.

    Raises ConfigError for a store or a seed that does not fit, StoreError where a file cannot be used.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        store: str | Path | Journal = "memory",
        clock: Clock | None = None,
        durability: str = "full",
        faults: Iterable[Fault] = (),
        keys: str | Path | Keyring | None = None,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.journal = _journal(store, durability)
        try:
            settings = self.journal.stream("sandbox/settings")
            value = _seed(settings, seed)
            self.faults = FaultPlan(faults)
            self._engine = Engine(self.journal, self.clock, Seed(value), self.faults, _OPERATORS, _keys(keys))
            if not settings:
                self._open(value)
            self._continue()
        except BaseException:
            self.journal.close()
            raise

    def _open(self, seed: int) -> None:
        def work() -> None:
            if self.journal.stream("sandbox/settings"):
                return
            draft = self._engine.draft()
            draft.add("sandbox/settings", 0, Event("opened", self._engine.now_ms(), data={"seed": seed}))
            draft.commit()

        self._engine.run(work)

    def _continue(self) -> None:
        if isinstance(self.clock, VirtualClock):
            newest = self.journal.newest()
            if newest is not None and newest.at_ms > self.clock.now_ms():
                self.clock.move_to(newest.at_ms)
            self.clock.bind(self._engine.advance_to)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Sandbox(seed={self._engine.seed.value}, records={self.journal.position})"

    def close(self) -> None:
        """Let go of the store; what was acknowledged is there when it is opened again."""
        self.journal.close()

    # Actors. ----------------------------------------------------------------------------------

    def shop(
        self,
        name: str,
        *,
        country: str = "CN",
        city: str = "SHANGHAI",
        mcc: str = "5411",
        fee_ppm: int = 0,
        refuse_credit: bool = False,
        personal: bool = False,
    ) -> Shop:
        """The shop of this name, opened at its first mention.

        `fee_ppm` is the operator's fee in millionths, `refuse_credit` that it takes no credit cards,
        `personal` that it is a private person's receive code (market rule R05).
        """
        _check_shop(name, country, city, mcc, fee_ppm)
        rest = (country, city.upper(), mcc, fee_ppm, refuse_credit, personal)

        def fact(id: str) -> Event:
            facts = ShopFacts(id, name, *rest)
            return Event("opened", self._engine.now_ms(), data=msgspec.to_builtins(facts))

        return Shop(self._engine, self._actor("merchant", name, fact))

    def person(
        self,
        name: str,
        *,
        balance: Money | None = None,
        pin: str = "",
        certificate: bool = True,
        agreed_limit: Money | None = None,
        no_pin_limit: Money | None = None,
    ) -> Person:
        """The person of this name; at the first mention their wallet is opened and `balance` put into it.

        `pin` is six digits ("123456" unless given). `certificate` decides the QR level: A with one, limited
        by `agreed_limit` a day, else B (market rules R01, R02). Codes that they show are paid without their
        PIN up to `no_pin_limit` (1,000.00 unless given).
        """
        _check_name(name)
        data: dict[str, Any] = {"name": name, "certificate": certificate}
        for key, limit in (("agreed_limit_minor", agreed_limit), ("no_pin_minor", no_pin_limit)):
            if limit is not None:
                data[key] = not_negative(limit, "a limit").minor
        if balance is not None:
            not_negative(balance, "a balance")
        if pin:
            check_pin(pin)
        at_ms = self._engine.now_ms()
        return Person(
            self._engine, self._actor("person", name, lambda id: opened(id, at_ms, data, pin, balance))
        )

    def _actor(self, kind: str, name: str, fact: Callable[[str], Event]) -> str:
        engine = self._engine

        def work() -> str:
            known = self.journal.find(f"name/{kind}/{name}")
            if known:
                return known.partition("/")[2]
            id = "-".join(_SLUG.findall(name.lower()))[:_SLUG_AT_MOST].strip("-")
            if not id or self.journal.stream(f"{kind}/{id}"):
                id = f"{id or kind}-{engine.seed.digits(kind, self.journal.position + 1, 4)}"
            draft = engine.draft()
            draft.add(f"{kind}/{id}", 0, fact(id), f"name/{kind}/{name}")
            draft.commit()
            return id

        return engine.run(work)

    def order(self, id: str) -> Order:
        """The order with this id; raises UsageError where there is none."""
        self._engine.run(lambda: self._engine.history(id))
        return Order(self._engine, id)

    def orders(self) -> Iterator[Order]:
        """Every order that a shop or the operator knows, in order of id."""
        ids = {
            name.partition("/")[2] for kind in ("order/", "shop/") for name, _ in self.journal.streams(kind)
        }
        yield from (Order(self._engine, id) for id in sorted(ids))

    def register(self, channel: Channel) -> None:
        """Add a channel of your own, for this sandbox."""
        self._engine.channels.register(channel)

    @property
    def network(self) -> Network:
        """Who has a network: switch off phones, terminals or issuers."""
        return self._engine.network

    @property
    def wechat(self) -> WeChatPay:
        """WeChat Pay: its merchants, its wire, its callbacks."""
        desk = self._engine.operator_desk("wechat")
        return cast("WeChatPay", desk)

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels."""
        return self._engine.channels.names()

    # Time and truth. --------------------------------------------------------------------------

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move the virtual clock forward; every timer that falls due rings in order.

        Raises UsageError for a step back, or with a clock that is not virtual.
        """
        if not isinstance(self.clock, VirtualClock):
            raise UsageError("the machine's clock cannot be moved; use VirtualClock()")
        self.clock.advance(days=days, hours=hours, minutes=minutes, seconds=seconds)

    def tick(self) -> None:
        """Ring what is due by now; with the machine's clock any command does so too."""
        self._engine.run(lambda: self._engine.ring_until(self._engine.now_ms()))

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Group the commits of what happens inside: faster on disk, and acknowledged when the block ends."""
        with self._engine.batch():
            yield

    def balances(self) -> dict[str, dict[str, int]]:
        """Every account's balance in minor units: account -> currency -> credit less debit."""
        found: dict[str, dict[str, int]] = {}
        for name, minor in self.journal.tallies():
            if accounts.is_account(name):
                account, _, currency = name.rpartition(":")
                found.setdefault(account, {})[currency] = minor
        return found

    def sums(self) -> dict[str, int]:
        """The sum of all accounts by currency: zero."""
        return sums(self.journal)

    def verify(self) -> Report:
        """Check the chain, the replay and every invariant; raises JournalDamaged at the first fault."""
        return self._engine.run(lambda: verify(self.journal))


def _journal(store: str | Path | Journal, durability: str) -> Journal:
    if isinstance(store, Path):
        return SqliteJournal(store, durability=durability)
    if not isinstance(store, str):
        return store
    if store == "memory":
        return MemoryJournal()
    if store.startswith(_SQLITE):
        return SqliteJournal(store.removeprefix(_SQLITE), durability=durability)
    raise ConfigError(f"a store is 'memory', 'sqlite:///FILE', a Path or a Journal, not {store!r}")


def _seed(settings: list[Event], seed: int | None) -> int:
    if not settings:
        return seed or 0
    kept = settings[0].data["seed"]
    if seed is not None and seed != kept:
        raise ConfigError(f"this journal has the seed {kept}; leave the seed out to continue it")
    return int(kept)


def _keys(keys: str | Path | Keyring | None) -> Keys:
    if keys is None:
        return MemoryKeys()
    return keys if isinstance(keys, Keyring) else Keyring(keys)


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name.strip() or len(name) > _NAME_AT_MOST or not name.isprintable():
        raise UsageError(f"a name is 1 to {_NAME_AT_MOST} printable characters, not {name!r}")


def _check_shop(name: str, country: str, city: str, mcc: str, fee_ppm: int) -> None:
    _check_name(name)
    if not (len(country) == 2 and country.isascii() and country.isupper()):
        raise UsageError(f"a country is two capitals (ISO 3166-1), not {country!r}")
    if not (0 < len(city) <= 15 and city.isascii() and city.isprintable()):
        raise UsageError(f"a city is 1 to 15 ASCII characters, not {city!r}")
    if not (len(mcc) == 4 and mcc.isascii() and mcc.isdigit()):
        raise UsageError(f"a merchant category code is four digits, not {mcc!r}")
    if type(fee_ppm) is not int or not 0 <= fee_ppm < 1_000_000:
        raise UsageError(f"a fee is 0 to 999,999 millionths, not {fee_ppm!r}")
