"""Where a case of the conformance suite plays: a sandbox, shop and payers, and what must always hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeVar

from paysim import (
    Capabilities,
    Channel,
    Money,
    Operation,
    Order,
    Outcome,
    Person,
    Presentation,
    Reason,
    Sandbox,
    Shop,
    State,
    Status,
    Transaction,
    Verb,
)
from paysim.core.state import FINAL

__all__ = [
    "PRICE_MINOR",
    "Act",
    "ConformanceError",
    "Harness",
    "Paid",
    "Scene",
    "Shown",
    "expect",
    "pay",
    "show",
]

T = TypeVar("T")

Act = Literal["confirm", "refuse", "wrong_pin"]
"""What a payer does when they are asked."""

PRICE_MINOR: Final = 1_280
"""What the suite pays, unless it says otherwise."""

FUNDS_MINOR: Final = 100_000
"""What a payer of the suite has."""

NO_PIN_MINOR: Final = 500
"""Up to here a code that such a payer shows is paid unasked; the suite's price lies above."""

_UNPAID: Final = frozenset({State.CREATED, State.PRESENTED})
_WRONG_PIN: Final = "000000"


class ConformanceError(AssertionError):
    """The channel does not keep what it claims, or an invariant is broken."""


def expect(holds: object, text: str) -> None:
    """Raises ConformanceError with `text` unless `holds`."""
    if not holds:
        raise ConformanceError(text)


class Shown(NamedTuple):
    """What one party shows the other: `code` is the channel's own, `order` None for a standing code.

    `expires_ms` is when the code stops to hold, in Unix ms; None for never.
    """

    money: Money
    code: Any
    order: Order | None = None
    expires_ms: int | None = None


class Paid(NamedTuple):
    """What came of an attempt: the order and the answer, each None where there is none."""

    order: Order | None
    outcome: Outcome | None

    @property
    def reason(self) -> str:
        """Why it was declined, "" where it was not."""
        return self.outcome.reason.value if self.outcome and self.outcome.reason else ""


class Scene:
    """One sandbox with the channel, a shop and a payer.

    After every verb the suite looks at the whole sandbox (`after`): the ledger sums to zero, persons and shop
    have what the orders say, done + open refunds <= captured <= authorized, and final states stay final.
    """

    def __init__(self, harness: Harness, sandbox: Sandbox) -> None:
        sandbox.register(harness.channel)
        self.harness = harness
        self.sandbox = sandbox
        self.channel = harness.channel.name
        self.capabilities: Capabilities = harness.channel.capabilities
        self.shop: Shop = sandbox.shop("Conformance")
        self._persons: list[Person] = []
        self._funded_minor = 0
        self._finals: dict[tuple[str, str], State] = {}
        self.payer = self.person("Payer")

    # What a case does. --------------------------------------------------------------------------

    def money(self, minor: int) -> Money:
        """Money of the harness's currency, in minor units."""
        return Money(self.harness.currency, minor)

    def person(self, name: str, minor: int = FUNDS_MINOR) -> Person:
        """A person with `minor` in their wallet."""
        person = self.sandbox.person(
            name, balance=self.money(minor) if minor else None, no_pin_limit=self.money(NO_PIN_MINOR)
        )
        self._persons.append(person)
        self._funded_minor += minor
        return person

    def show(self, minor: int = PRICE_MINOR, capture: str = "auto", payer: Person | None = None) -> Shown:
        """Ask for a payment: what the channel shows."""
        return self.after(self.harness.show(self, payer or self.payer, self.money(minor), capture))

    def pay(self, shown: Shown, act: Act = "confirm", payer: Person | None = None) -> Paid:
        """Let a payer act on what is shown."""
        return self.after(self.harness.pay(self, payer or self.payer, shown, act))

    def paid(self, minor: int = PRICE_MINOR, capture: str = "auto") -> Order:
        """An order that has been paid."""
        paid = self.pay(self.show(minor, capture))
        expect(
            paid.order and paid.outcome and paid.outcome.approved,
            f"a payment was not approved: {paid.outcome}",
        )
        return self.order(paid)

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move the clock; every timer that falls due rings."""
        self.sandbox.advance(days=days, hours=hours, minutes=minutes, seconds=seconds)
        self.after(None)

    def order(self, paid: Paid) -> Order:
        """The order of an attempt; raises ConformanceError where it has none."""
        if paid.order is None:
            raise ConformanceError(f"the attempt has left no order: {paid.outcome}")
        return paid.order

    def spent_minor(self, person: Person | None = None) -> int:
        """What has left the payer's hands, in minor units; what is on hold has not."""
        whose, currency = person or self.payer, self.harness.currency
        return FUNDS_MINOR - whose.balance(currency=currency).minor - whose.held(currency=currency).minor

    def held_minor(self) -> int:
        """What is on hold, in minor units."""
        return self.payer.held(currency=self.harness.currency).minor

    # What a case expects. -----------------------------------------------------------------------

    def done(self, operation: Operation) -> None:
        """The operator has done it."""
        self.after(operation)
        expect(operation.done, f"{operation.verb} is {operation.status}: {operation.outcome}")

    def refused(self, operation: Operation, *reasons: Reason) -> None:
        """The operator has refused it, for one of these reasons."""
        self.after(operation)
        wanted = f"{operation.verb} should be refused ({' or '.join(reasons)}), it is"
        expect(operation.status is Status.REFUSED, f"{wanted} {operation.status}")
        expect(operation.reason in reasons, f"{wanted} refused for {operation.reason}")

    def declined(self, paid: Paid, reason: Reason) -> None:
        """The payment was declined for this reason; the order is unpaid, and both readers agree on it."""
        expect(paid.reason == reason, f"the answer is {paid.outcome}, it should be declined {reason.value}")
        if paid.order is not None:
            unpaid = paid.order.book.state in (State.PRESENTED, State.DECLINED)
            expect(unpaid, f"a declined payment is {paid.order.book.state}")
            self.agree(paid.order)

    def stands(self, order: Order, state: State) -> None:
        """The order is in this state in the eyes of both readers."""
        expect(order.state is state, f"the shop says {order.state}, it should be {state}")
        expect(order.book.state is state, f"the book says {order.book.state}, it should be {state}")

    def spent(self, minor: int) -> None:
        """The payer has spent so many minor units."""
        spent = self.spent_minor()
        expect(spent == minor, f"the payer has spent {spent} minor units, it should be {minor}")

    # What must always hold. ---------------------------------------------------------------------

    def after(self, result: T) -> T:
        """`result`, once all invariants were seen to hold; raises ConformanceError where one does not."""
        books = [self._check(order) for order in self.sandbox.orders()]
        sums = self.sandbox.sums()
        expect(not any(sums.values()), f"the ledger does not sum to zero: {sums}")
        currency = self.harness.currency
        held = sum(person.held(currency=currency).minor for person in self._persons)
        available = [person.balance(currency=currency).minor for person in self._persons]
        takings = self.shop.takings(currency).minor
        open_minor = sum(book.held_minor for book in books if book.state not in FINAL)
        paid_minor = sum(book.paid_minor for book in books)
        expect(min(available) >= 0, f"somebody has less than nothing: {available}")
        expect(held == open_minor, f"{held} minor units are on hold, the books say {open_minor}")
        expect(takings == paid_minor, f"the shop has {takings} minor units, the books say {paid_minor}")
        total = sum(available) + held + takings
        expect(total == self._funded_minor, f"{self._funded_minor} minor units came in, {total} are there")
        return result

    def _check(self, order: Order) -> Transaction:
        book = Transaction(order.id)
        for event in order.book.events:
            book.apply(event)
        expect(book.state is order.book.state, f"the book says {order.book.state}, its facts {book.state}")
        expect(book.state is not State.UNKNOWN, "the operator's book is UNKNOWN")
        back, taken, agreed = (
            book.refunded_minor + book.refunding_minor,
            book.captured_minor,
            book.authorized_minor,
        )
        expect(
            0 <= back <= taken <= agreed, f"refunded {back} <= captured {taken} <= authorized {agreed} fails"
        )
        expect(
            order.refunded <= order.captured, f"the shop sees {order.refunded} of {order.captured} refunded"
        )
        for reader, state in (("the operator", order.book.state), ("the shop", order.state)):
            final = self._finals.get((order.id, reader), state)
            expect(state is final, f"{reader} has left the final state {final} for {state}")
            if state in FINAL:
                self._finals[order.id, reader] = state
        return book

    def agree(self, order: Order) -> None:
        """Query without faults, where that is claimed; shop and book must say the same then."""
        self.sandbox.faults.clear()
        claimed = Verb.QUERY in self.capabilities.verbs
        shop, book = self.after(order.query() if claimed else order.state), order.book.state
        expect(
            shop is book or {shop, book} <= _UNPAID, f"after a query the shop says {shop}, the book {book}"
        )
        paid = Transaction(order.id)
        for event in order.book.events:
            paid.apply(event)
        expect(
            order.captured.minor == paid.captured_minor, f"the shop has learned of {order.captured} captured"
        )
        expect(
            order.refunded.minor == paid.refunded_minor, f"the shop has learned of {order.refunded} refunded"
        )


# How a payer pays where somebody scans. -----------------------------------------------------------------


def show(scene: Scene, payer: Person, money: Money, capture: str) -> Shown:
    """What is shown on a channel that is scanned: the shop's code, its standing code, or the payer's code."""
    if scene.capabilities.standing:
        code = scene.shop.static_code(scene.harness.currency, channel=scene.channel)
        return Shown(money, code, None, code.expires_ms)
    order = scene.shop.create(money, capture=capture)
    shows_payer = scene.capabilities.shown_by == "payer"
    code = payer.payment_code() if shows_payer else order.present(scene.channel)
    return Shown(money, code, order, code.expires_ms)


def pay(scene: Scene, payer: Person, shown: Shown, act: Act) -> Paid:
    """Let the payer scan and act, or the shop scan and the payer act where the wallet asks."""
    pin = _WRONG_PIN if act == "wrong_pin" else None
    if shown.order and scene.capabilities.shown_by == "payer":
        shown.order.authorize(shown.code)
        asked = [prompt for prompt in payer.prompts() if prompt.order and prompt.order.id == shown.order.id]
        for prompt in asked:
            prompt.refuse() if act == "refuse" else prompt.confirm(pin=pin)
        return Paid(shown.order, shown.order.outcome)
    prompt = payer.scan(shown.code)
    if act == "refuse":
        outcome = prompt.refuse()
    elif scene.capabilities.standing:
        outcome = prompt.pay(shown.money, pin=pin)
    else:
        outcome = prompt.confirm(pin=pin)
    return Paid(prompt.order or shown.order, outcome)


@dataclass(frozen=True)
class Harness:
    """How the suite meets a channel.

    `channel` is what is tested; what it claims are its `capabilities`. `sandbox` makes an empty sandbox on a
    virtual clock, in which the suite registers the channel. `show` and `pay` say how shop and payer meet:
    unless given, one shows a code and the other scans it. `currency` is what is paid in.
    """

    channel: Channel
    sandbox: Callable[[], Sandbox] = Sandbox
    show: Callable[[Scene, Person, Money, str], Shown] = show
    pay: Callable[[Scene, Person, Shown, Act], Paid] = pay
    currency: str = "CNY"


def code_text(code: object) -> str:
    """The text that a scan of a code gives, "" where it is no code to scan."""
    return code.text if isinstance(code, Presentation) else code if isinstance(code, str) else ""
