"""Random taps: cards torn at random commands, lost and late messages, clearing, restarts; reconciliation.

After clearing and a query of every order, four books must agree: the ledger (the e-cash float is what cards
say, and what they have paid for payments that were given up), each issuer's record (its counters are those of
its card), the card's memory, and the orders in the eyes of shop and operator.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from counts import count
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tap_counter import ECASH

from paysim import Fault, Money, Order, Sandbox, State
from paysim.core.state import FINAL
from paysim.emv.memory import Debit
from paysim.ledger import accounts
from paysim.sandbox.card import Card
from paysim.sandbox.tap import Tap

PROFILES = (
    "unionpay",
    "visa",
    "visa-online",
    "two-applications",
    "unionpay-ecash",
    "slow",
    "flaky",
    "expired",
)
UNPAID = (State.CREATED, State.PRESENTED)
FUNDS = 300_000
LOADED = 10_000

picks = st.integers(0, 59)
profiles = st.sampled_from([*PROFILES, *ECASH, *ECASH])
amounts = st.one_of(
    st.integers(1, 1_500), st.sampled_from([990, 1_000, 1_001]), st.sampled_from([100_000, 100_001])
)
tears = st.one_of(st.just(0), st.just(0), st.integers(1, 9))
pins = st.sampled_from([None, None, None, None, "000000", ""])
delays = st.sampled_from([1, 60, 7_200, 90_000])
troubles = st.one_of(
    st.none(),
    st.none(),
    st.builds(
        Fault,
        st.sampled_from(["request", "answer", "callback"]),
        st.sampled_from(["lose", "delay"]),
        delay_s=delays,
    ),
)
jumps_s = st.sampled_from([0, 1, 1, 44, 46, 46, 600, 600, 7_200, 40_000, 86_400])


class Debited(NamedTuple):
    """What a card has paid for an order that has not heard of it."""

    order: str
    minor: int


class Taps(RuleBasedStateMachine):
    """A shop with a terminal, Alice with a card of each profile, Bob with fewer."""

    @initialize(store=st.sampled_from(["memory", "memory", "sqlite"]), seed=st.integers(0, 3))
    def open(self, store: str, seed: int) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="paysim-")
        self.path = Path(self.folder.name) / "journal.db" if store == "sqlite" else None
        self.sandbox = Sandbox(seed=seed, store=self.path or "memory", durability="normal")
        self.orders: list[str] = []
        self.cards: dict[str, Card] = {}
        self.torn: dict[str, Debited] = {}
        self.given_up = 0
        self.finals: dict[tuple[str, str], State] = {}
        for name in ("Alice", "Bob"):
            self.sandbox.person(name, balance=Money("CNY", FUNDS))
        self.create(990)

    def teardown(self) -> None:
        if hasattr(self, "sandbox"):
            try:
                self.reconcile()
                self.sandbox.verify()
            finally:
                self.sandbox.close()
                self.folder.cleanup()

    def order(self, pick: int) -> Order:
        return self.sandbox.order(self.orders[-1 - pick % len(self.orders)])

    def wanted(self, pick: int, card: Card, amount: int) -> Order:
        """What is tapped for: mostly what the card was torn for, or an unpaid order; at times any other."""
        torn = self.torn.get(card.id)
        if torn is not None and pick % 4:
            return self.sandbox.order(torn.order)
        if pick % 16 == 8:
            return self.order(pick // 16)
        unpaid = [id for id in self.orders[-6:] if self.sandbox.order(id).state in UNPAID]
        if not unpaid or pick % 3 == 0:
            self.create(amount)
            unpaid = self.orders[-1:]
        return self.sandbox.order(unpaid[-1 - pick % len(unpaid)])

    def card(self, person: str, profile: str) -> Card:
        card = self.sandbox.person(person).card(profile)
        self.cards[card.id] = card
        return card

    # What happens. --------------------------------------------------------------------------------

    @rule(amount=amounts)
    def create(self, amount: int) -> None:
        self.orders.append(self.sandbox.shop("Tea House").create(Money("CNY", amount)).id)

    @rule(
        pick=picks,
        amount=amounts,
        person=st.sampled_from(["Alice", "Alice", "Bob"]),
        profile=profiles,
        tear=tears,
        heard=st.booleans(),
        pin=pins,
        fault=troubles,
    )
    def tap(
        self,
        pick: int,
        amount: int,
        person: str,
        profile: str,
        tear: int,
        heard: bool,
        pin: str | None,
        fault: Fault | None,
    ) -> None:
        card = self.card(person, profile)
        order = self.wanted(pick, card, amount)
        before, counted = card.balance_minor, card.counter
        if fault is not None:
            self.sandbox.faults.add(fault)
        tap = self.terminal.tap(order, card, pin=pin, tear_at=tear, heard=heard)
        self.sandbox.faults.clear()
        assert counted <= card.counter <= counted + 1
        self._follow(order, card, tap, before, card.counter > counted)

    @rule(
        pick=picks,
        amount=st.integers(1, 1_000),
        profile=st.sampled_from(ECASH),
        tear=st.sampled_from([0, 0, 7, 8, 8, 8]),
        heard=st.booleans(),
    )
    def tap_offline(self, pick: int, amount: int, profile: str, tear: int, heard: bool) -> None:
        self.tap(pick, amount, "Alice", profile, tear, heard, None, None)

    @property
    def terminal(self) -> object:
        return self.sandbox.shop("Tea House").terminal()

    def _follow(self, order: Order, card: Card, tap: Tap, before: int, counted: bool) -> None:
        """What a card has paid: for this order, or for one that was torn before."""
        torn = self.torn.get(card.id)
        again = torn is not None and torn.order == order.id
        if not counted:
            assert card.balance_minor == before
            return
        by_itself = tap.approved and tap.outcome.code == "Y1"
        if torn is not None and not again:
            self.given_up += torn.minor
            del self.torn[card.id]
            again = False
        taken = before - card.balance_minor
        owed = torn.minor if again and torn else 0
        if by_itself:
            assert taken == order.money.minor - owed
            self.torn.pop(card.id, None)
        elif taken > 0:
            assert (tap.result, taken) == (None, order.money.minor)
            self.torn[card.id] = Debited(order.id, taken)
        elif taken < 0:
            assert (again, taken) == (True, -owed), "a card gives back what it took for this order alone"
            del self.torn[card.id]

    @rule(pick=picks, verb=st.sampled_from(["reverse", "void", "refund", "close"]), fault=troubles)
    def ask(self, pick: int, verb: str, fault: Fault | None) -> None:
        if fault is not None:
            self.sandbox.faults.add(fault)
        getattr(self.order(pick), verb)()
        self.sandbox.faults.clear()

    @rule(pick=picks)
    def query(self, pick: int) -> None:
        self.order(pick).query()

    @rule()
    def clear(self) -> None:
        self.terminal.clear()

    @rule(seconds=jumps_s, fault=troubles)
    def advance(self, seconds: int, fault: Fault | None) -> None:
        if fault is not None and fault.point == "callback":
            self.sandbox.faults.add(fault)
        self.sandbox.advance(seconds=seconds)
        self.sandbox.faults.clear()

    @rule(now=st.booleans())
    def restart(self, now: bool) -> None:
        if not now:
            return
        if self.path is None:
            self.sandbox = Sandbox(store=self.sandbox.journal)
        else:
            self.sandbox.close()
            self.sandbox = Sandbox(store=self.path, durability="normal")
        for card in list(self.cards.values()):
            person, _, profile = card.id.partition("-")
            self.card(person.title(), profile)

    # What must always hold. -----------------------------------------------------------------------

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        tallies = dict(self.sandbox.journal.tallies())
        assert not any(self.sandbox.sums().values())
        assert not [name for name, minor in tallies.items() if accounts.overdraws(name, minor)]
        engine, waiting = self.sandbox._engine, 0
        for id in self.orders:
            history = engine.history(id)
            book, shop = history.book, history.shop
            assert book.refunded_minor <= book.captured_minor <= book.authorized_minor
            waiting += shop.authorized_minor if history.waits else 0
            for reader, state in (("book", book.state), ("shop", shop.state)):
                assert self.finals.get((id, reader), state) is state
                if state in FINAL:
                    self.finals[id, reader] = state
        on_cards = sum(card.balance_minor for card in self.cards.values() if _is_ecash(card))
        missing = sum(torn.minor for torn in self.torn.values()) + self.given_up
        assert tallies.get("ecash/float:CNY", 0) == on_cards + waiting + missing

    @rule(now=st.integers(0, 7))
    def end_of_day(self, now: int) -> None:
        if not now:
            self.reconcile()

    def reconcile(self) -> None:
        """Clear, let all that is late arrive, query: then four books agree."""
        sandbox = self.sandbox
        self.terminal.clear()
        sandbox.advance(days=2)
        engine = sandbox._engine
        for id in self.orders:
            order = sandbox.order(id)
            order.query()
            history = engine.history(id)
            assert order.state is order.book.state
            assert history.shop.captured_minor == history.book.captured_minor
            assert order.state in (*FINAL, State.CAPTURED, State.CREATED)
        for card in self.cards.values():
            self._agree(card)
        self._takings()

    def _agree(self, card: Card) -> None:
        """The issuer has seen each counter once, and none that the card has not come to."""
        engine = self.sandbox._engine
        facts = engine.journal.stream(f"issued/{card.token}")
        presented = [fact.data["atc"] for fact in facts if fact.kind in ("presented", "cleared")]
        again = [fact for fact in facts if fact.kind == "presented" and "asked" in fact.data]
        assert len(set(presented)) == len(presented) - len(
            [fact for fact in again if presented.count(fact.data["atc"]) > 1]
        )
        record = engine.cards.host.cards.record(card.token)
        assert record.last_atc == max(presented, default=0) <= card.counter
        kept = engine.cards.held(card.id).card.memory
        if card.id in self.torn:
            assert Debit.decode(kept.debit).amount == self.torn[card.id].minor

    def _takings(self) -> None:
        """What shop, payers and cards have is what came in."""
        tallies = dict(self.sandbox.journal.tallies())
        books = [self.sandbox._engine.history(id).book for id in self.orders]
        shop = sum(tallies.get(f"merchant/tea-house/{part}:CNY", 0) for part in ("pending", "available"))
        assert shop == sum(book.paid_minor for book in books)
        payers = sum(
            tallies.get(f"payer/{name}/{part}:CNY", 0)
            for name in ("alice", "bob")
            for part in ("available", "held")
        )
        loaded = LOADED * sum(_is_ecash(card) for card in self.cards.values())
        assert payers + shop + tallies.get("ecash/float:CNY", 0) == 2 * FUNDS + loaded
        assert tallies.get("offline/loss:CNY", 0) == 0, "no true approval is refused"


def _is_ecash(card: Card) -> bool:
    return card.profile in ECASH


# Building whole histories is slow at first; filtering is not the matter, no rule is filtered.
Taps.TestCase.settings = settings(
    max_examples=count(1_000),
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
test_random_taps = Taps.TestCase
