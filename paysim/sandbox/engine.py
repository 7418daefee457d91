"""What runs a sandbox: one clock, one seed, one journal, and the facts of a command written together.

State in memory is a fold of the journal, kept for what was touched lately and loaded again on demand. A
command decides on what is loaded; where its append fails, what it touched is forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec

from paysim.channels import Registry, ShopFacts, operator
from paysim.core.clock import SECOND_MS, VirtualClock
from paysim.core.errors import JournalDamaged, PaysimError, StoreError, UsageError, VersionConflict
from paysim.core.event import Entry, Event
from paysim.core.history import History
from paysim.core.operation import Verb
from paysim.core.ports import Change, Clock, Journal
from paysim.core.seed import Seed
from paysim.faults import Fault, FaultPlan
from paysim.issuer import accounts as issuer_accounts
from paysim.ledger.invariants import check_sums
from paysim.store import Keyring, MemoryKeys

from .desk import Desk, HouseDesk
from .network import Network

if TYPE_CHECKING:
    from .cards import CardBook

__all__ = ["Draft", "Engine", "Keys"]

T = TypeVar("T")
Keys: TypeAlias = Keyring | MemoryKeys

_KEPT: Final = 1_024
"""How many orders, persons and shops of each stay in memory."""

_TRIES: Final = 100
"""How often a command decides again because another process appended first."""

_EFFECTS: Final = frozenset({"authorized", "captured", "refunded", "voided", "reversed"})

ANSWER_MS: Final = 45 * SECOND_MS
"""How long a shop waits for the answer to a payment. Source: market rule R16"""


class Draft:
    """The facts of one command, folded as they are added and appended together.

    `refusal` is an operator's answer that is on no book of its: the shop learns it where the answer comes.
    """

    __slots__ = (
        "_after",
        "_entries",
        "_expected",
        "_journal",
        "_last",
        "_then",
        "_timers",
        "_touched",
        "refusal",
    )

    def __init__(self, journal: Journal, after: list[Callable[[], None]] | None = None) -> None:
        self._journal = journal
        self._after = after
        self._entries: list[Entry] = []
        self._expected: dict[str, int] = {}
        self._timers: dict[str, Change] = {}
        self._touched: list[tuple[History, int | None, int, int]] = []
        self._last: History | None = None
        self._then: list[Callable[[], None]] = []
        self.refusal: Event | None = None

    def at_operator(self, history: History, event: Event, key: str = "") -> None:
        """Add a fact to the operator's book; `key`, unless given, is its operation's where money moves."""
        if history is not self._last:
            self._touch(history)
        history.at_operator(event)
        if event.transfers:
            check_sums(history.book)
        if not key and event.kind in _EFFECTS and event.operation:
            key = f"op/{event.operation}"
        self._entries.append(Entry(f"order/{history.id}", event, key))

    def at_shop(self, history: History, event: Event, key: str = "") -> None:
        """Add a fact to the shop's view."""
        if history is not self._last:
            self._touch(history)
        history.at_shop(event)
        self._entries.append(Entry(f"shop/{history.id}", event, key))

    def add(self, stream: str, version: int, event: Event, key: str = "") -> None:
        """Add a fact to another stream, which has `version` records."""
        self._expected.setdefault(stream, version)
        self._entries.append(Entry(stream, event, key))

    def _touch(self, history: History) -> None:
        self._last = history
        for known, _, _, _ in self._touched:
            if known is history:
                return
        self._touched.append((history, history.due_ms(), history.book_version, history.shop_version))

    def news(self, history: History) -> list[Event]:
        """The facts that this draft adds to the operator's book of an order."""
        known = next((version for one, _, version, _ in self._touched if one is history), None)
        return [] if known is None else history.book.events[known:]

    def owe(self, stream: str, before: Change, event: Event, version: int) -> None:
        """Add a fact to a stream with a timer of its own, which it moves from one time to another."""
        self.add(stream, version, event)
        self._timers[stream] = before

    def then(self, work: Callable[[], None]) -> None:
        """Do something outside the journal, once the draft is written and its batch has ended well."""
        self._then.append(work)

    def commit(self) -> None:
        """Append everything, or raise and leave the journal as it was."""
        if not self._entries:
            return
        expected, timers = self._expected, self._timers
        for history, before_ms, book_version, shop_version in self._touched:
            if history.book_version != book_version:
                expected[f"order/{history.id}"] = book_version
            if history.shop_version != shop_version:
                expected[f"shop/{history.id}"] = shop_version
            after_ms = history.due_ms()
            if after_ms != before_ms:
                timers[history.id] = (before_ms, after_ms)
        self._journal.append(self._entries, expected, timers)
        if self._after is not None:
            self._after += self._then
            return
        for work in self._then:
            work()


class Engine:
    """The world of one sandbox. `run` is the only way to change it."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        seed: Seed,
        faults: FaultPlan,
        desks: Mapping[str, Callable[[Engine], Desk]],
        keys: Keys,
    ) -> None:
        self.journal = journal
        self.keys = keys
        self.clock = clock
        self.seed = seed
        self.faults = faults
        self.channels = Registry()
        self.house = HouseDesk(self)
        self._operators = desks
        self.network = Network()
        self._cards: CardBook | None = None
        self._desks: dict[str, Desk] = {"": self.house}
        self._lock = threading.RLock()
        self._after: list[Callable[[], None]] | None = None
        self._histories: dict[str, History] = {}
        self._payers: dict[str, issuer_accounts.Payer] = {}
        self._shops: dict[str, ShopFacts] = {}

    # Commands. --------------------------------------------------------------------------------

    def run(self, work: Callable[[], T]) -> T:
        """What `work` returns; it is done again where another process has appended in the meantime."""
        with self._lock:
            if not self.clock.virtual:
                self.ring_until(self.clock.now_ms())
            return self._decide(work)

    def _decide(self, work: Callable[[], T]) -> T:
        with self._lock:
            for _ in range(_TRIES):
                if self.journal.changed():
                    self.forget()
                faults = self.faults.mark()
                try:
                    return work()
                except VersionConflict:
                    self.forget()
                    self.faults.restore(faults)
                except BaseException as error:
                    self.forget()
                    if isinstance(error, StoreError):
                        self.faults.restore(faults)
                    if not isinstance(error, PaysimError) or not self.journal.changed():
                        raise  # else it was decided on a mixture of two states
            raise StoreError(
                f"other processes appended first {_TRIES} times; try again when they are quieter"
            )

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Group the commits inside into one; where it fails, everything inside is undone and forgotten."""
        with self._lock:
            if self.journal.changed():
                self.forget()
            outer, self._after = self._after, []
            try:
                with self._clock_kept(), self.journal.batch():
                    yield
                done = self._after
            except BaseException:
                self.forget()
                raise
            finally:
                self._after = outer
            if outer is not None:
                outer += done
                return
            for work in done:
                work()

    @contextmanager
    def _clock_kept(self) -> Iterator[None]:
        """Where what is inside cannot be written, a virtual clock goes back to the newest fact that was."""
        before_ms = self.clock.now_ms()
        try:
            yield
        except StoreError:
            if isinstance(self.clock, VirtualClock):
                newest = self.journal.newest()
                self.clock.take_back(max(before_ms, newest.at_ms if newest else before_ms))
            raise

    def forget(self) -> None:
        """Drop every fold; what is needed is loaded again."""
        self._histories.clear()
        self._payers.clear()
        self._shops.clear()
        for desk in self._desks.values():
            desk.forget()
        if self._cards is not None:
            self._cards.forget()

    def draft(self) -> Draft:
        """An empty draft."""
        return Draft(self.journal, self._after)

    def now_ms(self) -> int:
        """Now, in Unix milliseconds."""
        return self.clock.now_ms()

    def identity(self, label: str) -> str:
        """Sixteen digits that nothing else in this journal has: the next position, then six of the seed's."""
        position = self.journal.position + 1
        return f"{position:010d}{self.seed.digits(label, position, 6)}"

    # What is loaded. --------------------------------------------------------------------------

    def history(self, id: str) -> History:
        """The history of an order; raises UsageError where there is none."""
        history = self.find(id)
        if history is None:
            raise UsageError(f"there is no order {id!r} in this sandbox")
        return history

    def find(self, id: str) -> History | None:
        """The history of an order, None where there is none."""
        history = self._histories.get(id)
        if history is None:
            book, shop = self.journal.stream(f"order/{id}"), self.journal.stream(f"shop/{id}")
            if book or shop:
                history = self.keep(History(id, book, shop))
        return history

    def keep(self, history: History) -> History:
        """Keep a history in memory, and let the oldest go where there are too many."""
        _make_room(self._histories)
        self._histories[history.id] = history
        return history

    def payer(self, id: str) -> issuer_accounts.Payer | None:
        """A person, None where there is none."""
        payer = self._payers.get(id)
        if payer is None:
            payer = issuer_accounts.fold(id, self.journal.stream(f"person/{id}"))
            if payer is not None:
                _make_room(self._payers)
                self._payers[id] = payer
        return payer

    def shop_facts(self, id: str) -> ShopFacts:
        """A shop; raises UsageError where there is none."""
        facts = self._shops.get(id)
        if facts is None:
            events = self.journal.stream(f"merchant/{id}")
            if not events:
                raise UsageError(f"there is no shop {id!r} in this sandbox")
            facts = msgspec.convert(events[0].data, ShopFacts)
            _make_room(self._shops)
            self._shops[id] = facts
        return facts

    @property
    def cards(self) -> CardBook:
        """The cards, opened when one is first mentioned."""
        if self._cards is None:
            from .cards import CardBook  # it signs: `import paysim` does not load the signing core

            self._cards = CardBook(self)
        return self._cards

    def tally(self, name: str) -> int:
        """A balance or counter in minor units."""
        return self.journal.tally(name)

    # Who answers. -----------------------------------------------------------------------------

    def desk(self, channel: str) -> Desk:
        """Who answers for a channel; the house for "" and for every channel that names no operator.

        Raises UsageError for an operator that is not here.
        """
        return self.operator_desk(self.channels.channel(channel).capabilities.operator if channel else "")

    def operator_desk(self, name: str) -> Desk:
        """The desk of an operator, opened when it is first needed; raises UsageError where there is none."""
        desk = self._desks.get(name)
        if desk is None:
            if name not in self._operators:
                raise UsageError(
                    f"there is no operator {name!r} here; there are {', '.join(self._operators)}"
                )
            desk = self._desks[name] = self._operators[name](self)
        return desk

    def desk_of(self, history: History) -> Desk:
        """Who answers for an order: the operator of the channel that it was presented on."""
        return self.desk(history.book.channel or history.shop.channel)

    # What passes between shop and operator. ----------------------------------------------------

    def fault(self, point: str, verb: str, history: History) -> Fault | None:
        """The fault that strikes a message about an order."""
        return self.faults.take(point, verb, history.shop.channel or history.book.channel)

    def tell(self, draft: Draft, history: History, at_ms: int, verb: str = "", via: str = "callback") -> bool:
        """Let the shop learn all that the operator has: False where the message was lost or is late.

        A merchant outside the sandbox is sent a callback instead, where its operator has one for these facts.
        """
        if history.by_wire:
            self.desk_of(history).owe(draft, history, at_ms)
            return True
        position = history.book_version
        fault = self.fault(via, verb, history)
        message: dict[str, Any] = {"position": position, "via": f"{via} to {verb}" if verb else via}
        if fault is None:
            if draft.refusal is not None:
                draft.at_shop(history, draft.refusal)
            draft.at_shop(history, Event("reached", at_ms, data=message))
            return True
        if fault.action == "delay":
            if draft.refusal is not None:
                message["refusal"] = msgspec.to_builtins(draft.refusal)
            self.delay(draft, history, at_ms, fault, message)
        return False

    def ask(self, draft: Draft, history: History, ask: operator.Ask) -> None:
        """Let the operator do a verb; what it refuses without a fact of its own, its answer says alone."""
        refusal = self.desk_of(history).ask(draft, history, ask)
        if refusal is not None:
            verb = {"verb": ask.verb.value}
            draft.refusal = Event("refused", ask.at_ms, ask.operation, ask.amount_minor, refusal, data=verb)

    def clear(self, history: History) -> bool:
        """Hand in what a card has paid offline, as a command of its own; False where nothing waits.

        It comes to the operator before anything else that a shop asks about the order.
        """
        if not history.waits:
            return False
        from .clearing import clear  # it signs: `import paysim` does not load the signing core

        draft = self.draft()
        clear(self, draft, history, self.now_ms())
        draft.commit()
        return True

    def delay(
        self,
        draft: Draft,
        history: History,
        at_ms: int,
        fault: Fault,
        message: dict[str, Any],
        operation: str = "",
        minor: int = 0,
    ) -> None:
        """Keep a message under way: a timer delivers it."""
        due_ms = at_ms + round(fault.delay_s * SECOND_MS)
        delivery = f"{history.shop_version + 1:06d}"  # so that they sort as they were sent
        data = {"delivery": delivery, "due_ms": due_ms, **message}
        draft.at_shop(history, Event("delayed", at_ms, operation, minor, data=data))

    # Time. ------------------------------------------------------------------------------------

    def advance_to(self, target_ms: int) -> None:
        """Move a virtual clock, ring every timer that falls due on the way in order, and write it down."""
        clock = self.clock
        if not isinstance(clock, VirtualClock):
            raise UsageError("the machine's clock cannot be moved; use VirtualClock()")
        clock.check(target_ms)

        def work() -> None:
            clock.move_to(target_ms)
            draft = self.draft()
            draft.add(
                "clock/sandbox", len(self.journal.stream("clock/sandbox")), Event("advanced", target_ms)
            )
            draft.commit()

        with self._lock, self._clock_kept():
            self.ring_until(target_ms)
            self._decide(work)

    def ring_until(self, until_ms: int) -> None:
        """Ring the timers that are due, soonest first, each as a command of its own."""
        while self._decide(lambda: self._ring_next(until_ms)):
            pass

    def _ring_next(self, until_ms: int) -> bool:
        due = self.journal.due(until_ms)
        if due is None:
            return False
        due_ms, id = due
        if isinstance(self.clock, VirtualClock):
            self.clock.move_to(max(due_ms, self.clock.now_ms()))
        self._ring(id, due_ms)
        return True

    def _ring(self, id: str, due_ms: int) -> None:
        history, draft, at_ms = self.find(id), self.draft(), self.now_ms()
        if history is None or history.due_ms() != due_ms:
            if self.journal.changed():
                raise VersionConflict("another process has appended to this journal")
            raise JournalDamaged(
                f"the stored timer of order {id} is not its own; `paysim verify FILE --repair` counts it anew"
            )
        _, name = history.due()[0]  # one at a time: what it does may stop the others
        delayed = history.shop.deliveries.get(name.partition("/")[2])
        if name == "clearing" or (delayed is not None and "ask" in delayed.data and history.waits):
            self.clear(history)  # a request that is due then is so still
        elif delayed is not None:
            self._deliver(draft, history, delayed, at_ms)
        elif name == "answer":
            draft.at_shop(history, Event("timed_out", at_ms, history.shop.payment))
        else:
            self.desk_of(history).ring(draft, history, name, at_ms)
            self.tell(draft, history, at_ms)
        draft.commit()

    def _deliver(self, draft: Draft, history: History, delayed: Event, at_ms: int) -> None:
        data = delayed.data
        if "ask" in data:
            if "card" in data:
                from .acquirer import arrive

                arrive(self, draft, history, delayed, at_ms)
            elif data["ask"] == Verb.AUTHORIZE.value:
                self.house.charge(draft, history, delayed.operation, data["channel"], data["code"], at_ms)
            else:
                ask = operator.Ask(
                    Verb(data["ask"]), delayed.operation, delayed.amount_minor, at_ms, data["final"]
                )
                self.ask(draft, history, ask)
        refusal = msgspec.convert(data["refusal"], Event) if "refusal" in data else draft.refusal
        if refusal is not None and history.shop.operations[refusal.operation].open:
            draft.at_shop(history, msgspec.structs.replace(refusal, at_ms=at_ms))
        reached = {
            "position": data.get("position", history.book_version),
            "via": "late " + data.get("via", "request"),
        }
        draft.at_shop(history, Event("reached", at_ms, data={**reached, "delivery": data["delivery"]}))


def _make_room(kept: dict[str, Any]) -> None:
    if len(kept) >= _KEPT:
        for id in list(kept)[: _KEPT // 4]:
            del kept[id]
