"""An order: a handle on one transaction, in the shop's hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paysim.channels import Capabilities, Presentation, operator
from paysim.core.errors import CurrencyMismatch, LinkTimeout, Unsupported, UsageError
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.money import Money, positive
from paysim.core.operation import Operation, Status, Verb
from paysim.core.outcome import NEVER_ARRIVED, NO_ANSWER, Outcome, OutcomeKind, Reason
from paysim.core.state import State
from paysim.core.transaction import Transaction

from . import timeline
from .engine import ANSWER_MS, Draft, Engine
from .picture import read_payment

if TYPE_CHECKING:
    from .picture import Picture

__all__ = ["Book", "Order"]

_KEY_AT_MOST: Final = 64
_UNPAID: Final = frozenset({State.CREATED, State.PRESENTED})
_RETRIED: Final = _UNPAID | {State.UNKNOWN}
_OLD_PRESENTATION: Final = frozenset({State.CREATED, State.PRESENTED, State.PENDING})


class Book:
    """The operator's book of an order: what really happened."""

    def __init__(self, engine: Engine, id: str) -> None:
        self._engine = engine
        self._id = id

    @property
    def _view(self) -> Transaction:
        return self._engine.run(lambda: self._engine.history(self._id)).book

    @property
    def state(self) -> State:
        """Where the order stands at the operator; CREATED where it does not know it. Never UNKNOWN."""
        return self._view.state

    @property
    def events(self) -> tuple[Event, ...]:
        """The operator's facts, oldest first."""
        return tuple(self._view.events)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations that the operator knows."""
        return tuple(self._view.operations.values())

    @property
    def paid_minor(self) -> int:
        """What the shop keeps of it, in minor units."""
        return self._view.paid_minor


class Order:
    """One purchase in the shop's hand: the verbs, and the shop's view of what came of them.

    A verb returns an Operation, and a refusal is an Operation too (`.status`, `.outcome`); asked again with
    the same `key` it has its effect once. What is raised is a mistake in the call (UsageError), or a gap
    (LinkError) where there was nothing to lose.
    """

    def __init__(self, engine: Engine, id: str) -> None:
        self._engine = engine
        self.id = id
        self.book = Book(engine, id)

    def __repr__(self) -> str:
        view = self._view
        return f"Order({self.id!r}, {view.reference!r}, {view.state.value}, {self.money})"

    # What the shop knows. ---------------------------------------------------------------------

    @property
    def _history(self) -> History:
        return self._engine.run(lambda: self._engine.history(self.id))

    @property
    def _view(self) -> Transaction:
        return self._history.shop

    @property
    def state(self) -> State:
        """Where the order stands, as far as the shop has learned."""
        return self._view.state

    @property
    def money(self) -> Money:
        """What was asked for."""
        view = self._view
        if view.created is None:
            view = self._history.book
        return Money(view.currency, view.amount_minor)

    @property
    def reference(self) -> str:
        """The shop's own number."""
        return self._view.reference

    @property
    def captured(self) -> Money:
        """What was taken, as far as the shop knows."""
        view = self._view
        return Money(self.money.currency, view.captured_minor)

    @property
    def refunded(self) -> Money:
        """What was given back, as far as the shop knows."""
        view = self._view
        return Money(self.money.currency, view.refunded_minor)

    @property
    def goods(self) -> tuple[dict[str, Any], ...]:
        """The goods lines: name, quantity, unit price in minor units."""
        view = self._view
        return tuple(view.created.data.get("goods", ())) if view.created else ()

    @property
    def events(self) -> tuple[Event, ...]:
        """The facts that have reached the shop, oldest first."""
        return tuple(self._view.events)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations on the order, oldest first."""
        return tuple(self._view.operations.values())

    @property
    def outcome(self) -> Outcome | None:
        """The newest answer about the payment, None before there is one."""
        payment = self._view.operations.get(self._view.payment)
        return payment.outcome if payment else None

    @property
    def presentation(self) -> Presentation | None:
        """What the payer is shown now; None before `present`."""
        shown = self._view.presentation
        if shown is None:
            return None
        data = shown.data
        expires_ms = data.get("valid_ms", data.get("expiry_ms"))
        return Presentation(data["channel"], data["text"], self.id, expires_ms)

    def timeline(self) -> str:
        """Both readers' history side by side, for people."""
        return timeline.timeline(self._history)

    def receipt(self) -> str:
        """What the payer takes home: shop, goods, sums."""
        history = self._history
        return timeline.receipt(history, self._engine.shop_facts(history.shop.shop or history.book.shop))

    # The verbs. -------------------------------------------------------------------------------

    def present(self, channel: str) -> Presentation:
        """Show the payer how to pay on `channel`; a newer presentation replaces the one before.

        Raises Unsupported where the channel cannot present this order, LinkTimeout where the operator did
        not answer (nothing is lost: present again), and UsageError where the order can no longer be paid.
        """
        return self._engine.run(lambda: self._present(channel))

    def _present(self, name: str) -> Presentation:
        engine, history = self._engine, self._own()
        channel = engine.channels.channel(name)
        view, book, at_ms = history.shop, history.book, engine.now_ms()
        _require(channel.capabilities, name, Verb.PRESENT, view.capture)
        if channel.capabilities.standing:
            raise Unsupported(f"{name} has no code for one order; use shop.static_code()")
        if view.state not in _OLD_PRESENTATION or book.state not in _OLD_PRESENTATION:
            raise UsageError(f"the order is {view.state}; only an unpaid order is presented")
        draft = engine.draft()
        fault = engine.faults.take("request", Verb.PRESENT, name)
        if fault is None:
            shown = engine.desk(name).present(draft, history, name, at_ms)
            told = engine.tell(draft, history, at_ms, Verb.PRESENT, "answer")
            draft.commit()
            if told:
                expires_ms = None if shown.lifetime_ms is None else at_ms + shown.lifetime_ms
                return Presentation(name, shown.text, self.id, expires_ms)
        raise LinkTimeout("the operator did not answer; present again, or query")

    def authorize(self, code: Picture, *, key: str = "") -> Operation:
        """Take the code that the payer shows: a picture, a text or a Presentation of it.

        Raises UsageError where the picture holds no payer's code, and Unsupported where it holds something
        else; an expired or used code is a decline.
        """
        claim, _ = read_payment(self._engine.channels, code)
        if not claim.code:
            raise Unsupported("that is a code for a payer to scan, not one that a payer shows")
        return self._engine.run(lambda: self._authorize(claim.channel, claim.code, key))

    def _authorize(self, name: str, code: str, key: str) -> Operation:
        engine, history = self._engine, self._engine.history(self.id)
        view, at_ms = history.shop, engine.now_ms()
        _require(engine.channels.channel(name).capabilities, name, Verb.AUTHORIZE, view.capture)
        if view.created is None:
            raise UsageError("the shop has not heard of this order yet; query it")
        operation = self._operation_id(history, key)
        known = view.operations.get(operation)
        if known is not None:
            if known.verb is not Verb.AUTHORIZE or _code_of(view, operation) != code:
                return _key_reused(known, Verb.AUTHORIZE)
            if view.state not in _RETRIED or not (known.open or known.passing):
                return known
        draft = engine.draft()
        minor = view.amount_minor
        if view.state not in _UNPAID and not (known and view.state is State.UNKNOWN):
            refusal = Outcome.declined(
                Reason.WRONG_STATE, f"the order is {view.state}; it cannot be paid now"
            )
            verb = {"verb": Verb.AUTHORIZE.value, "code": code}
            draft.at_shop(history, Event("refused", at_ms, operation, minor, refusal, data=verb))
            draft.commit()
            return view.operations[operation]
        data = {"channel": name, "code": code, "answer_ms": at_ms + ANSWER_MS}
        draft.at_shop(history, Event("submitted", at_ms, operation, minor, data=data))
        fault = engine.fault("request", Verb.AUTHORIZE, history)
        if fault is None:
            engine.house.charge(draft, history, operation, name, code, at_ms)
            told = engine.tell(draft, history, at_ms, Verb.AUTHORIZE, "answer")
        else:
            told = False
            if fault.action == "delay":
                message = {"ask": Verb.AUTHORIZE.value, "channel": name, "code": code}
                engine.delay(draft, history, at_ms, fault, message, operation, minor)
        if not told:
            draft.at_shop(history, Event("timed_out", at_ms, operation))
        draft.commit()
        return view.operations[operation]

    def capture(self, money: Money | None = None, *, final: bool = False, key: str = "") -> Operation:
        """Take what is on hold, or `money` of it; with `final` the rest is free again."""
        return self._ask(Verb.CAPTURE, money, key, final=final)

    def refund(self, money: Money | None = None, *, key: str = "") -> Operation:
        """Give back `money`, or all that is left."""
        return self._ask(Verb.REFUND, money, key)

    def void(self, *, key: str = "") -> Operation:
        """Undo the whole payment before it is settled."""
        return self._ask(Verb.VOID, None, key)

    def reverse(self, *, key: str = "") -> Operation:
        """Undo whatever became of the payment, known or not; a late original is refused."""
        return self._ask(Verb.REVERSE, None, key)

    def close(self, *, key: str = "") -> Operation:
        """End an unpaid order: it can no longer be paid."""
        return self._ask(Verb.CLOSE, None, key)

    def _own(self) -> History:
        """The history of an order whose shop is in the sandbox."""
        history = self._engine.history(self.id)
        if history.by_wire:
            raise Unsupported("this order's merchant is a program outside the sandbox; it asks by the wire")
        return history

    def _ask(self, verb: Verb, money: Money | None, key: str, *, final: bool = False) -> Operation:
        if money is not None:
            positive(money, f"a {verb.value}")
        return self._engine.run(lambda: self._asked(verb, money, key, final))

    def _asked(self, verb: Verb, money: Money | None, key: str, final: bool) -> Operation:
        engine, history = self._engine, self._own()
        view, at_ms = history.shop, engine.now_ms()
        if money is not None and money.currency != self.money.currency:
            raise CurrencyMismatch(f"the order is in {self.money.currency}, not in {money.currency}")
        if view.channel:
            _require(engine.channels.channel(view.channel).capabilities, view.channel, verb, "")
        operation = self._operation_id(history, key)
        known = view.operations.get(operation)
        if known is not None and not _same(known, verb, money):
            return _key_reused(known, verb)
        if known is not None and not (known.open or known.passing):
            return known
        minor = (
            known.amount_minor
            if known is not None
            else _whole(history, verb)
            if money is None
            else money.minor
        )
        fault = engine.fault("request", verb, history)
        if fault is None:
            engine.clear(history)
        draft = engine.draft()
        data: dict[str, Any] = {"verb": verb.value, **({"target": view.payment} if view.payment else {})}
        draft.at_shop(history, Event("asked", at_ms, operation, minor, data=data))
        if fault is None:
            engine.ask(draft, history, operator.Ask(verb, operation, minor, at_ms, final))
            told = engine.tell(draft, history, at_ms, verb, "answer")
        else:
            told = False
            if fault.action == "delay":
                engine.delay(
                    draft, history, at_ms, fault, {"ask": verb.value, "final": final}, operation, minor
                )
        if not told:
            draft.at_shop(history, Event("unanswered", at_ms, operation, outcome=NO_ANSWER))
        draft.commit()
        return view.operations[operation]

    def query(self) -> State:
        """Ask the operator how it stands, learn everything, and return the state."""
        return self._engine.run(self._query)

    def _query(self) -> State:
        engine, history = self._engine, self._own()
        view, at_ms, draft = history.shop, engine.now_ms(), engine.draft()
        if view.channel:
            _require(engine.channels.channel(view.channel).capabilities, view.channel, Verb.QUERY, "")
        if engine.fault("request", Verb.QUERY, history) is None:
            if engine.tell(draft, history, at_ms, Verb.QUERY, "answer"):
                self._settle_unknown(draft, history, at_ms)
            draft.commit()
        return view.state

    def _settle_unknown(self, draft: Draft, history: History, at_ms: int) -> None:
        """What a full answer says of operations whose own answer was lost."""
        book, view = history.book, history.shop
        if view.state is State.UNKNOWN:
            if book.state is State.PENDING:
                waits = {"answer_ms": at_ms + ANSWER_MS}
                draft.at_shop(history, Event("submitted", at_ms, book.payment, book.amount_minor, data=waits))
            else:
                draft.at_shop(history, Event("found_unpaid", at_ms, view.payment, outcome=NEVER_ARRIVED))
        for operation in list(view.operations.values()):
            if operation.status is Status.UNKNOWN and operation.id not in book.operations:
                verb = {"verb": operation.verb.value}
                draft.at_shop(history, Event("refused", at_ms, operation.id, 0, NEVER_ARRIVED, data=verb))

    def _operation_id(self, history: History, key: str) -> str:
        if not isinstance(key, str) or len(key) > _KEY_AT_MOST or not key.isprintable():
            raise UsageError(f"a key is at most {_KEY_AT_MOST} printable characters, not {str(key)[:80]!r}")
        return self._engine.desk_of(history).operation(history, key)


def _whole(history: History, verb: Verb) -> int:
    """The amount where none is given; of what a card has paid offline, what clearing will capture."""
    view = history.shop
    if verb is Verb.CAPTURE:
        return view.held_minor
    if verb is Verb.REFUND:
        taken = view.authorized_minor if history.waits else view.captured_minor
        return taken - view.refunded_minor
    return 0


def _same(known: Operation, verb: Verb, money: Money | None) -> bool:
    return known.verb is verb and (money is None or money.minor == known.amount_minor)


def _code_of(view: Transaction, operation: str) -> str:
    submitted = (event.data for event in view.events if event.operation == operation and "code" in event.data)
    return str(next(submitted, {}).get("code", ""))


def _key_reused(known: Operation, verb: Verb) -> Operation:
    text = f"this key belongs to {known.verb.value} of {known.amount_minor} minor units; give another"
    return Operation(
        known.id, verb, Status.REFUSED, 0, "", Outcome(OutcomeKind.DECLINED, Reason.KEY_REUSED, "", text)
    )


def _require(capabilities: Capabilities, channel: str, verb: Verb, capture: str) -> None:
    if verb not in capabilities.verbs:
        raise Unsupported(f"{channel} does not support {verb.value}")
    if capture == "manual" and not capabilities.manual_capture:
        raise Unsupported(f"{channel} captures at once; create the order with capture='auto'")
