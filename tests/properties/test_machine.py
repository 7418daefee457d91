"""Random histories over all QR ways against a small model; what must always hold is checked after each step.

What is random: verbs on several orders and persons, lost and late requests, answers and callbacks, restarts,
clock jumps, batches. What happens at the operator is predicted by `model.World`, refusals with their reason.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from counts import count
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from properties import model

from paysim import (
    CNY,
    Fault,
    LinkTimeout,
    Money,
    Operation,
    Order,
    Prompt,
    Sandbox,
    State,
    Status,
    UsageError,
)
from paysim.core.state import FINAL
from paysim.ledger import accounts

SHOPS = {"Tea House": {}, "Grand Inn": {"fee_ppm": 6_000, "refuse_credit": True}}
PIN, WRONG = None, "000000"

amounts = st.one_of(st.integers(1, 3_000), st.sampled_from([1, 999, 1_280, 30_000, 60_000, 100_000, 100_001]))
parts = st.one_of(st.just("all"), st.just("more"), st.integers(1, 2_000))
keys = st.sampled_from(["", "", "", "a", "b"])
sources = st.sampled_from(["", "", "", "card", "debit", "none"])
acts = st.sampled_from(["confirm", "confirm", "confirm", "wrong pin", "refuse"])
starts = st.sampled_from(["created", "presented", "paid", "paid"])
picks = st.integers(0, 59)
ages = st.sampled_from([0, 0, 0, 1, 2])
delays = st.sampled_from([1, 20, 60, 600, 7_200, 200_000])
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
hush = st.one_of(
    st.none(), st.builds(Fault, st.just("callback"), st.sampled_from(["lose", "delay"]), delay_s=delays)
)
jumps_s = st.sampled_from([0, 1, 20, 44, 45, 60, 60, 600, 3_600, 7_199, 7_200, 86_400, 604_800, 31_536_000])


class Handle(NamedTuple):
    """An order in the test's hand: its id, and the model of it."""

    id: str
    model: model.Order


class Asked(NamedTuple):
    """A prompt on a person's phone."""

    prompt: Prompt
    handle: Handle
    payer: int


class Payments(RuleBasedStateMachine):
    """Shops, persons and their orders."""

    @initialize(store=st.sampled_from(["memory", "sqlite"]), seed=st.integers(0, 3))
    def open(self, store: str, seed: int) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="paysim-")
        self.path = Path(self.folder.name) / "journal.db" if store == "sqlite" else None
        self.sandbox = Sandbox(seed=seed, store=self.path or "memory", durability="normal")
        self.counter = 0
        self.handles: list[Handle] = []
        self.codes: list[tuple[str, model.Code]] = []
        self.texts: dict[str, str] = {}
        self.prompts: list[Asked] = []
        self.finals: dict[tuple[str, str], State] = {}
        self.asked_for: dict[tuple[str, str], tuple[str, Any]] = {}
        self.world = model.World(self.sandbox.clock.now_ms())
        for name, facts in SHOPS.items():
            self.sandbox.shop(name, **facts)  # type: ignore[arg-type]
            self.world.shops.append(model.Shop(facts.get("fee_ppm", 0), bool(facts.get("refuse_credit"))))
        self._person("Alice", 300_000, certificate=True, no_pin=100_000)
        self._person("Bob", 5_000, certificate=False, no_pin=500)
        self.stands = [self.sandbox.shop(name).static_code() for name in SHOPS]
        for shop, amount, manual in ((0, 1_280, False), (1, 30_000, False), (0, 999, True), (0, 700, False)):
            self.create(shop, amount, manual, "presented" if shop == 0 else "paid")

    def _person(self, name: str, balance: int, *, certificate: bool, no_pin: int) -> None:
        person = self.sandbox.person(
            name, balance=Money("CNY", balance), certificate=certificate, no_pin_limit=Money("CNY", no_pin)
        )
        person.bank_account("debit", balance=CNY("50.00"))
        person.bank_account("card", balance=CNY("9000.00"), credit=True)
        source = {"wallet": balance, "debit": 5_000, "card": 900_000}
        held = {key: model.Source(minor, credit=key == "card") for key, minor in source.items()}
        self.world.payers.append(model.Payer(name, held, certificate, no_pin))

    def teardown(self) -> None:
        if hasattr(self, "sandbox"):
            self.sandbox.verify()
            self.sandbox.close()
            self.folder.cleanup()

    # Handles. -------------------------------------------------------------------------------------

    def order(self, handle: Handle) -> Order:
        return Order(self.sandbox._engine, handle.id)

    def person(self, index: int) -> Any:
        return self.sandbox.person(self.world.payers[index].name)

    @contextmanager
    def trouble(self, fault: Fault | None) -> Iterator[None]:
        """One thing goes wrong, inside this block at most."""
        if fault is not None:
            self.sandbox.faults.add(fault)
        yield
        self.sandbox.faults.clear()

    def _track(self, order: Order, shop: int, amount: int, *, manual: bool = False) -> Handle:
        book = model.Order(order.id, self.world.shops[shop], amount, manual, self.world.now)
        self.world.orders[order.id] = book
        self.handles.append(Handle(order.id, book))
        return self.handles[-1]

    # Orders and codes. ----------------------------------------------------------------------------

    def _choose(self, pick: int, states: str, *, held: bool = False) -> Handle:
        """An order in one of these states, at times any other; the newest first."""
        wanted = [
            handle
            for handle in self.handles
            if handle.model.state in states.split() and (handle.model.held > 0 or not held)
        ]
        found = self.handles if pick % 6 == 5 or not wanted else wanted
        return found[-1 - pick // 6 % len(found)]

    @rule(shop=st.integers(0, 1), amount=amounts, manual=st.booleans(), upto=starts)
    def create(self, shop: int, amount: int, manual: bool, upto: str) -> None:
        name = list(SHOPS)[shop]
        order = self.sandbox.shop(name).create(Money("CNY", amount), capture="manual" if manual else "auto")
        handle = self._track(order, shop, amount, manual=manual)
        if upto != "created":
            self._present(handle, None)
        if upto == "paid":
            self._pay(handle, 0, "confirm", "card" if manual else "", None)

    @rule(pick=picks, fault=troubles)
    def present(self, pick: int, fault: Fault | None) -> None:
        self._present(self._choose(pick, "CREATED PRESENTED"), fault)

    def _present(self, handle: Handle, fault: Fault | None) -> None:
        order, book = self.order(handle), handle.model
        if not (order.state in model.UNPAID and book.state in model.UNPAID):
            with pytest.raises(UsageError):
                order.present("qr.merchant")
            return
        lost = fault is not None and fault.point == "request"
        late = fault is not None and fault.point == "answer"
        with self.trouble(fault):
            if not lost:
                self.world.present(book)
            if lost or late:
                with pytest.raises(LinkTimeout):
                    order.present("qr.merchant")
            else:
                self.texts[handle.id] = order.present("qr.merchant").text

    # Payers. --------------------------------------------------------------------------------------

    @rule(pick=picks, payer=st.integers(0, 1), fault=hush)
    def scan(self, pick: int, payer: int, fault: Fault | None) -> None:
        self._scan(self._choose(pick, "PRESENTED PENDING"), payer, fault)

    def _scan(self, handle: Handle, payer: int, fault: Fault | None) -> None:
        if handle.id not in self.texts:
            return
        with self.trouble(fault):
            prompt = self.person(payer).scan(self.texts[handle.id])
        reason = self.world.scan(handle.model)
        assert _reason(prompt.outcome) == reason
        if not reason:
            self.prompts.append(Asked(prompt, handle, payer))

    @rule(index=st.integers(0, 9), act=acts, source=sources, fault=hush)
    def answer_prompt(self, index: int, act: str, source: str, fault: Fault | None) -> None:
        if self.prompts:
            with self.trouble(fault):
                self._answer(self.prompts[-1 - index % len(self.prompts)], act, source, single_use=False)

    @rule(pick=picks, payer=st.integers(0, 1), act=acts, source=sources, fault=hush)
    def pay(self, pick: int, payer: int, act: str, source: str, fault: Fault | None) -> None:
        self._pay(self._choose(pick, "PRESENTED"), payer, act, source, fault)

    def _pay(self, handle: Handle, payer: int, act: str, source: str, fault: Fault | None) -> None:
        before = len(self.prompts)
        self._scan(handle, payer, None)
        if len(self.prompts) > before:
            self.answer_prompt(0, act, source, fault)

    @rule(payer=st.integers(0, 1), act=acts, source=sources, fault=hush)
    def answer_wallet(self, payer: int, act: str, source: str, fault: Fault | None) -> None:
        for prompt in self.person(payer).prompts()[:1]:
            handle = Handle(prompt.order.id, self.world.orders[prompt.order.id])
            with self.trouble(fault):
                self._answer(Asked(prompt, handle, payer), act, source, single_use=True)

    def _answer(self, asked: Asked, act: str, source: str, *, single_use: bool) -> None:
        book = asked.handle.model
        if act == "refuse":
            asked.prompt.refuse()
            self.world.refuse(book, single_use=single_use)
            return
        right = act == "confirm"
        outcome = asked.prompt.confirm(source=source, pin=PIN if right else WRONG)
        payer = self.world.payers[asked.payer]
        assert _reason(outcome) == self.world.confirm(book, payer, source, right, single_use=single_use)

    @rule(
        stand=st.integers(0, 1),
        payer=st.integers(0, 1),
        amount=amounts,
        act=acts,
        source=sources,
        fault=hush,
    )
    def pay_stand(
        self, stand: int, payer: int, amount: int, act: str, source: str, fault: Fault | None
    ) -> None:
        prompt = self.person(payer).scan(self.stands[stand].text)
        if act == "refuse":
            prompt.refuse()
            assert prompt.order is None
            return
        right = act == "confirm"
        with self.trouble(fault):
            outcome = prompt.pay(Money("CNY", amount), source=source, pin=PIN if right else WRONG)
        assert prompt.order
        handle = self._track(prompt.order, stand, amount)
        self.world.register(handle.model)
        whose = self.world.payers[payer]
        expected = self.world.confirm(handle.model, whose, source, right, single_use=True, static=True)
        assert _reason(outcome) == expected

    def _code(self, payer: int, age: int) -> tuple[str, model.Code]:
        """A new code of a payer, or one that was shown before."""
        if not age or age > len(self.codes):
            text = self.person(payer).payment_code().text
            self.codes.append((text, model.Code(self.world.payers[payer], self.world.now + model.MINUTE)))
            age = 1
        return self.codes[-age]

    @rule(pick=picks, payer=st.integers(0, 1), age=ages, key=keys, fault=troubles)
    def authorize(self, pick: int, payer: int, age: int, key: str, fault: Fault | None) -> None:
        handle, code = self._choose(pick, "CREATED PRESENTED"), self._code(payer, age)
        order, book = self.order(handle), handle.model
        if self.sandbox._engine.history(handle.id).shop.created is None:
            with pytest.raises(UsageError):
                order.authorize(code[0], key=key)
            return
        state, known = order.state, self._known(order, key)
        op = self._name(handle, key)
        with self.trouble(fault):
            done = order.authorize(code[0], key=key)
        if self._reused(handle, key, known, "authorize", code[0], done):
            return
        if known is not None and not (known.open or known.passing):
            assert done == known
            return
        if state not in (State.CREATED, State.PRESENTED, *([State.UNKNOWN] if known else [])):
            assert done.reason == "wrong_state" or done == known
            return
        if fault is not None and fault.point == "request":
            assert done.status is Status.UNKNOWN
            if fault.action == "delay":
                self.world.fly(book, fault.delay_s, lambda: self.world.charge(book, code[1], op))
            return
        reason = self.world.charge(book, code[1], op)
        if fault is None or fault.point == "callback":
            expected = {"": Status.DONE, "asked": Status.ASKED}.get(reason, Status.REFUSED)
            assert done.status is expected

    # Verbs. ---------------------------------------------------------------------------------------

    @rule(pick=picks, part=parts, key=keys, fault=troubles)
    def refund(self, pick: int, part: Any, key: str, fault: Fault | None) -> None:
        handle = self._choose(pick, "CAPTURED")
        amount = _part(part, handle.model.captured - handle.model.refunded)
        self._ask(handle, "refund", amount, key, fault)

    @rule(pick=picks, part=parts, final=st.booleans(), key=keys, fault=troubles)
    def capture(self, pick: int, part: Any, final: bool, key: str, fault: Fault | None) -> None:
        handle = self._choose(pick, "AUTHORIZED CAPTURED", held=True)
        self._ask(handle, "capture", _part(part, handle.model.held), key, fault, final=final)

    @rule(pick=picks, verb=st.sampled_from(["void", "reverse", "close"]), key=keys, fault=troubles)
    def undo(self, pick: int, verb: str, key: str, fault: Fault | None) -> None:
        states = {"void": "AUTHORIZED CAPTURED", "reverse": "PENDING AUTHORIZED CAPTURED", "close": "PENDING"}
        handle = self._choose(pick, states[verb])
        self._ask(handle, verb, 0, key, fault)

    def _ask(
        self, handle: Handle, verb: str, amount: int, key: str, fault: Fault | None, *, final: bool = False
    ) -> None:
        order, book = self.order(handle), handle.model
        known, op = self._known(order, key), self._name(handle, key)
        arguments: dict[str, Any] = {"key": key, **({"final": final} if verb == "capture" else {})}
        money = (Money("CNY", amount),) if amount else ()
        with self.trouble(fault):
            done = getattr(order, verb)(*money, **arguments)
        if self._reused(handle, key, known, verb, amount, done):
            return
        if known is not None and not (known.open or known.passing):
            assert done == known
            return
        if fault is not None and fault.point == "request":
            assert done.status is Status.UNKNOWN
            if fault.action == "delay":
                self.world.fly(book, fault.delay_s, lambda: self.world.ask(book, op, verb, amount, final))
            return
        reason = self.world.ask(book, op, verb, amount, final)
        if fault is not None and fault.point == "answer":
            assert done.status is Status.UNKNOWN
        else:
            assert (done.status, done.reason) == ((Status.REFUSED, reason) if reason else (Status.DONE, ""))

    def _known(self, order: Order, key: str) -> Operation | None:
        return next((o for o in order.operations if key and o.id == f"{order.id}:{key}"), None)

    def _name(self, handle: Handle, key: str) -> str:
        self.counter += 1
        return key or f"#{self.counter}"

    def _reused(
        self, handle: Handle, key: str, known: Operation | None, verb: str, content: Any, done: Operation
    ) -> bool:
        """Whether the key belongs to something else; then it must have been refused, with no effect."""
        if not key or known is None:
            self.asked_for[handle.id, key] = (verb, content)
            return False
        if self.asked_for[handle.id, key] == (verb, content):
            return False
        assert (done.status, done.reason) == (Status.REFUSED, "key_reused")
        return True

    @rule(pick=st.integers(0, 99), fault=troubles)
    def query(self, pick: int, fault: Fault | None) -> None:
        handle = self._doubtful(pick)
        order = self.order(handle)
        with self.trouble(fault):
            order.query()
        if fault is None or fault.point == "callback":
            self._agree(handle)

    def _doubtful(self, pick: int) -> Handle:
        """An order that the shop and the operator see differently; where there is none, any."""
        engine = self.sandbox._engine
        found = [h for h in self.handles if engine.history(h.id).learned < engine.history(h.id).book_version]
        return (found or self.handles)[-1 - pick % len(found or self.handles)]

    def _agree(self, handle: Handle) -> None:
        history = self.sandbox._engine.history(handle.id)
        shop, book = history.shop, history.book
        assert shop.state is book.state or {shop.state, book.state} <= {State.CREATED, State.PRESENTED}
        assert (shop.captured_minor, shop.refunded_minor) == (book.captured_minor, book.refunded_minor)
        assert shop.authorized_minor == book.authorized_minor
        unsettled = [o for o in shop.operations.values() if o.open and not book.operations[o.id].open]
        assert not unsettled

    # Time, restarts, batches. ---------------------------------------------------------------------

    @rule(seconds=jumps_s, more_ms=st.integers(0, 2), fault=hush)
    def advance(self, seconds: int, more_ms: int, fault: Fault | None) -> None:
        with self.trouble(fault):
            self.sandbox.advance(seconds=seconds + more_ms / 1_000)
        self.world.advance(self.world.now + seconds * 1_000 + more_ms)
        assert self.sandbox.clock.now_ms() == self.world.now

    @rule(what=st.sampled_from(["restart", "batch", "failed batch"]), shop=st.integers(0, 1), amount=amounts)
    def housekeeping(self, what: str, shop: int, amount: int) -> None:
        if what == "restart":
            self._restart()
        elif what == "batch":
            with self.sandbox.batch():
                self.create(shop, amount, False, "paid")
        else:
            before = self.sandbox.journal.head
            with pytest.raises(ZeroDivisionError):
                self._fail(shop, amount)
            assert self.sandbox.journal.head == before, "a batch that failed has left something"

    def _restart(self) -> None:
        self.prompts.clear()
        if self.path is None:
            self.sandbox = Sandbox(store=self.sandbox.journal)
        else:
            self.sandbox.close()
            self.sandbox = Sandbox(store=self.path, durability="normal")
        assert self.sandbox.clock.now_ms() == self.world.now

    def _fail(self, shop: int, amount: int) -> None:
        with self.sandbox.batch():
            order = self.sandbox.shop(list(SHOPS)[shop]).create(Money("CNY", amount))
            self.person(0).scan(order.present("qr.merchant")).confirm()
            raise ZeroDivisionError

    # What must always hold. -----------------------------------------------------------------------

    @invariant()
    def books_are_as_the_model_says(self) -> None:
        engine = self.sandbox._engine
        for id, expected in self.world.orders.items():
            book, shop = engine.history(id).book, engine.history(id).shop
            held = 0 if book.state in FINAL else book.held_minor
            found = (book.state.value, book.captured_minor, book.refunded_minor, held)
            assert found == (expected.state, expected.captured, expected.refunded, expected.held), id
            assert book.state is not State.UNKNOWN
            assert book.refunded_minor + book.refunding_minor <= book.captured_minor <= book.authorized_minor
            assert (
                shop.refunded_minor <= shop.captured_minor <= max(shop.authorized_minor, shop.captured_minor)
            )
            for reader, state in (("book", book.state), ("shop", shop.state)):
                assert self.finals.get((id, reader), state) is state
                if state in FINAL:
                    self.finals[id, reader] = state

    @invariant()
    def money_is_where_the_model_says(self) -> None:
        tallies = dict(self.sandbox.journal.tallies())
        assert not any(self.sandbox.sums().values())
        assert not [name for name, minor in tallies.items() if accounts.overdraws(name, minor)]
        expected: dict[str, int] = {"fees": self.world.fees}
        for shop, name in zip(self.world.shops, ("tea-house", "grand-inn"), strict=True):
            expected[f"merchant/{name}/pending"] = shop.pending
            expected[f"merchant/{name}/available"] = shop.available
        for payer in self.world.payers:
            for key, source in payer.sources.items():
                stem = (
                    f"payer/{payer.name.lower()}" if key == "wallet" else f"bank/{payer.name.lower()}/{key}"
                )
                expected[f"{stem}/available"] = source.available
                expected[f"{stem}/held"] = source.held
        assert {name: tallies.get(f"{name}:CNY", 0) for name in expected} == expected
        assert sum(expected.values()) == sum(payer.funded for payer in self.world.payers)


def _reason(outcome: Any) -> str:
    return outcome.reason.value if outcome is not None and outcome.reason else ""


def _part(part: Any, whole: int) -> int:
    return max(1, whole) if part == "all" else whole + 1 if part == "more" else part


# Building whole histories is slow at first; filtering is not the matter, no rule is filtered.
Payments.TestCase.settings = settings(
    max_examples=count(1_000),
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
test_random_histories = Payments.TestCase
