"""One history, two readers: the operator's book and the shop's view of one payment.

The operator's facts live in the stream `order/<id>`, the shop's in `shop/<id>`. A `reached` fact at the
shop says up to which of the operator's facts the shop has learned; the shop's view takes each of them
once, in the operator's order, so that an answer, a callback and a query never count twice.
Source: DESIGN section 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .event import Event
from .state import FINAL, STILL, State
from .transaction import Transaction

__all__ = ["History"]

_TOLD: Final = {"created": frozenset(State), "submitted": frozenset({State.PENDING})}
"""Facts that the shop itself has stated already, in these states, when the operator repeats them."""

_UNPAID: Final = frozenset({State.CREATED, State.PRESENTED, State.PENDING})

_ASKING: Final = frozenset({State.PENDING, State.AUTHORIZED})
"""States in which a shop has timers of its own."""

_OPERATORS_TIMERS: Final[dict[State, tuple[str, ...]]] = {
    State.PRESENTED: ("expiry", "payment"),
    State.PENDING: ("expiry", "payment"),
    State.AUTHORIZED: ("hold",),
    State.CAPTURED: ("hold", "settlement"),
}


class History:
    """The two folds of one payment, kept in step.

    `book` is the operator's, `shop` the shop's; `learned` is how many of the operator's facts the shop has,
    `born` the facts that were born at the shop.
    """

    __slots__ = ("book", "born", "id", "learned", "shop")

    def __init__(self, id: str, book: Iterable[Event] = (), shop: Iterable[Event] = ()) -> None:
        self.id = id
        self.book = Transaction(id)
        self.shop = Transaction(id)
        self.learned = 0
        self.born: list[Event] = []
        for event in book:
            self.at_operator(event)
        for event in shop:
            self.at_shop(event)

    @property
    def shop_version(self) -> int:
        """How many facts were born at the shop."""
        return len(self.born)

    @property
    def by_wire(self) -> bool:
        """Whether the merchant is a program outside the sandbox: there is no shop in here that learns."""
        created = self.book.created
        return created is not None and bool(created.data.get("by_wire"))

    @property
    def book_version(self) -> int:
        """How many facts the operator has."""
        return len(self.book.events)

    @property
    def waits(self) -> bool:
        """Whether a card has approved it offline, and clearing has yet to tell the operator."""
        approved = self.shop.state is State.AUTHORIZED and "clearing" in self.shop.timers
        return approved and self.book.state in _UNPAID

    def at_operator(self, event: Event) -> None:
        """A fact at the operator; raises InvalidTransition and changes nothing where it is illegal."""
        self.book.apply(event)

    def at_shop(self, event: Event) -> None:
        """A fact at the shop; raises InvalidTransition where it is illegal."""
        if event.kind == "reached":
            facts = self.book.events
            position = min(event.data["position"], len(facts))
            while self.learned < position:
                self._learn(facts[self.learned])
                self.learned += 1
        self.shop.apply(event)
        self.born.append(event)

    def _learn(self, event: Event) -> None:
        view = self.shop
        if (
            event.kind == "authorized"
            and view.state is State.AUTHORIZED
            and event.operation in view.operations
        ):
            return  # the card has approved it offline, and the operator says so at clearing
        repeated = _TOLD.get(event.kind, ())
        if view.state in repeated and (view.created is not None or event.kind != "created"):
            view.join(event)
            return
        if view.state in FINAL and event.kind not in STILL:
            view.record(event)
        else:
            view.apply(event)

    def due(self) -> list[tuple[int, str]]:
        """The timers that can still ring, soonest first: (Unix ms, name).

        `expiry`, `payment`, `hold`, `settlement` and `refund/<operation>` are the operator's, `answer`,
        `clearing` and `delivery/<n>` the shop's.
        """
        timers = self.book.timers
        live = [(timers[n], n) for n in _OPERATORS_TIMERS.get(self.book.state, ()) if n in timers]
        if self.book.refunds_due and self.book.state is State.CAPTURED:
            live += [(due_ms, f"refund/{name}") for name, due_ms in self.book.refunds_due.items()]
        if self.shop.state is State.PENDING and "answer" in self.shop.timers:
            live.append((self.shop.timers["answer"], "answer"))
        if self.waits:
            live = [(self.shop.timers["clearing"], "clearing")]  # what a card has paid does not expire
        if self.shop.deliveries:
            live += [
                (event.data["due_ms"], f"delivery/{name}") for name, event in self.shop.deliveries.items()
            ]
        if len(live) > 1:
            live.sort()
        return live

    def due_ms(self) -> int | None:
        """When the next timer rings, in Unix ms."""
        if self.shop.deliveries or self.book.refunds_due or self.shop.state in _ASKING:
            live = self.due()
            return live[0][0] if live else None
        timers = self.book.timers
        soonest: int | None = None
        for name in _OPERATORS_TIMERS.get(self.book.state, ()):
            due_ms = timers.get(name)
            if due_ms is not None and (soonest is None or due_ms < soonest):
                soonest = due_ms
        return soonest
