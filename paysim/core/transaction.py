"""A transaction: one purchase and its history, folded from facts.

The same fold serves the operator's book and the shop's view (DESIGN section 2). Amounts are sums over
facts; nothing is set that a fact did not say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .errors import InvalidTransition
from .event import Event
from .operation import OPEN, Operation, Status, Verb
from .outcome import APPROVED, Outcome, Reason
from .state import FINAL, STILL, TABLE, State

__all__ = ["Transaction"]

_VERB_OF_FACT: Final = {
    "asked": Verb.AUTHORIZE,
    "submitted": Verb.AUTHORIZE,
    "authorized": Verb.AUTHORIZE,
    "deferred": Verb.AUTHORIZE,
    "attempt_failed": Verb.AUTHORIZE,
    "declined": Verb.AUTHORIZE,
    "timed_out": Verb.AUTHORIZE,
    "found_unpaid": Verb.AUTHORIZE,
    "captured": Verb.CAPTURE,
    "refunded": Verb.REFUND,
    "stranded": Verb.REFUND,
    "voided": Verb.VOID,
    "reversed": Verb.REVERSE,
    "closed": Verb.CLOSE,
    "released": Verb.CAPTURE,
}

_STATUS_OF_FACT: Final = {
    "asked": Status.ASKED,
    "submitted": Status.ASKED,
    "deferred": Status.ASKED,
    "authorized": Status.DONE,
    "captured": Status.DONE,
    "released": Status.DONE,
    "refunded": Status.DONE,
    "voided": Status.DONE,
    "reversed": Status.DONE,
    "closed": Status.DONE,
    "refused": Status.REFUSED,
    "declined": Status.REFUSED,
    "attempt_failed": Status.REFUSED,
    "found_unpaid": Status.REFUSED,
    "stranded": Status.ABNORMAL,
    "unanswered": Status.UNKNOWN,
    "timed_out": Status.UNKNOWN,
}


class Transaction:
    """What one reader knows of a purchase.

    Change it by `apply` alone. Amounts are in minor units of `currency`:
    `amount_minor` asked for, `authorized_minor` on hold or taken, `captured_minor` taken,
    `refunded_minor` given back.
    """

    __slots__ = (
        "amount_minor",
        "authorized_minor",
        "capture",
        "captured_minor",
        "channel",
        "created",
        "currency",
        "deliveries",
        "events",
        "id",
        "operations",
        "payer",
        "presentation",
        "reference",
        "refunded_minor",
        "refunds_due",
        "settled",
        "shop",
        "source",
        "state",
        "timers",
    )

    def __init__(self, id: str) -> None:
        self.id = id
        self.state = State.CREATED
        self.created: Event | None = None
        self.shop = self.reference = self.currency = self.channel = self.payer = self.source = ""
        self.capture = "auto"
        self.amount_minor = self.authorized_minor = self.captured_minor = self.refunded_minor = 0
        self.settled = False
        self.presentation: Event | None = None
        self.operations: dict[str, Operation] = {}
        self.timers: dict[str, int] = {}
        self.refunds_due: dict[str, int] = {}
        self.deliveries: dict[str, Event] = {}
        self.events: list[Event] = []

    def apply(self, event: Event) -> None:
        """Take in one fact.

        Raises InvalidTransition where the state table, or an operation's status, does not allow it; nothing
        has changed then.
        """
        kind = event.kind
        state = TABLE[self.state].get(kind)
        if state is None:
            first = self.created is None and self.state is State.CREATED
            if kind not in STILL and not (kind == "created" and first):
                raise InvalidTransition(self.state.value, kind)
            state = self.state
        elif kind == "voided" and not self.voidable:
            raise InvalidTransition(self.state.value, kind)
        if event.operation:
            self._operate(event)
        effect = _EFFECTS.get(kind)
        if effect is not None:
            effect(self, event)
        self.state = state
        self.events.append(event)

    def record(self, event: Event) -> None:
        """Keep a fact that came too late to move anything (a final state stays final)."""
        self.events.append(event)

    def join(self, event: Event) -> None:
        """Take in no more of a fact than its operation, where that is new: the state is known already."""
        if event.operation and event.operation not in self.operations:
            self._operate(event)

    def _operate(self, event: Event) -> None:
        status = _STATUS_OF_FACT.get(event.kind)
        if status is None:
            return
        known = self.operations.get(event.operation)
        outcome = event.outcome or (APPROVED if status is Status.DONE else None)
        if known is not None:
            self.operations[event.operation] = known.moved(status, outcome)
            return
        verb = Verb(event.data["verb"]) if "verb" in event.data else _VERB_OF_FACT[event.kind]
        target = event.data.get("target", "")
        self.operations[event.operation] = Operation(
            event.operation, verb, status, event.amount_minor, target, outcome
        )

    @property
    def voidable(self) -> bool:
        """Whether a void is legal: all of it, before settlement, with nothing refunded."""
        return not self.settled and not self.refunded_minor

    @property
    def refunding_minor(self) -> int:
        """The sum of refunds that are still open."""
        return sum(
            o.amount_minor for o in self.operations.values() if o.verb is Verb.REFUND and o.status in OPEN
        )

    @property
    def held_minor(self) -> int:
        """What is authorized and not yet captured."""
        return self.authorized_minor - self.captured_minor

    @property
    def paid_minor(self) -> int:
        """What the payee keeps: captured less refunded, nothing once voided or reversed."""
        return 0 if self.state in FINAL else self.captured_minor - self.refunded_minor

    @property
    def payment(self) -> str:
        """The operation by which the payer pays: the newest that was not refused, else the newest."""
        newest = ""
        for operation in reversed(self.operations.values()):
            if operation.verb is Verb.AUTHORIZE:
                if operation.status is not Status.REFUSED:
                    return operation.id
                newest = newest or operation.id
        return newest

    def refusal(self, verb: Verb, amount_minor: int) -> Outcome | None:
        """Why an operator refuses `verb` for `amount_minor` in this state; None where it does not."""
        rule = _REFUSALS.get(verb)
        return rule(self, amount_minor) if rule else None


# What each fact does to the sums. -----------------------------------------------------------------


def _created(view: Transaction, event: Event) -> None:
    data = event.data
    view.created = event
    view.amount_minor = event.amount_minor
    view.currency = data["currency"]
    view.shop = data["shop"]
    view.reference = data.get("reference", "")
    view.capture = data.get("capture", "auto")


def _presented(view: Transaction, event: Event) -> None:
    view.presentation = event
    view.channel = event.data["channel"]
    _timer(view, event, "expiry")
    _timer(view, event, "payment")


def _submitted(view: Transaction, event: Event) -> None:
    data: dict[str, Any] = event.data
    view.channel = data.get("channel", view.channel)
    view.payer = data.get("payer", view.payer)
    view.timers.pop("answer", None)
    _timer(view, event, "expiry")
    _timer(view, event, "answer")


def _deferred(view: Transaction, event: Event) -> None:
    _timer(view, event, "payment")


def _attempt_failed(view: Transaction, _event: Event) -> None:
    view.timers.pop("payment", None)


def _asked(view: Transaction, event: Event) -> None:
    """A refund that takes its time is done when its timer rings."""
    due_ms = event.data.get("refund_ms")
    if due_ms is not None:
        view.refunds_due[event.operation] = due_ms


def _authorized(view: Transaction, event: Event) -> None:
    view.authorized_minor += event.amount_minor
    _paid_by(view, event)
    _timer(view, event, "hold")
    _timer(view, event, "clearing")


def _captured(view: Transaction, event: Event) -> None:
    if not view.authorized_minor:
        view.authorized_minor = event.amount_minor
    view.captured_minor += event.amount_minor
    _paid_by(view, event)
    if view.captured_minor == view.authorized_minor:
        view.timers.pop("hold", None)
    view.timers.pop("clearing", None)
    _timer(view, event, "settlement")


def _paid_by(view: Transaction, event: Event) -> None:
    view.payer = event.data.get("payer", view.payer)
    view.source = event.data.get("source", view.source)


def _released(view: Transaction, event: Event) -> None:
    view.authorized_minor -= event.amount_minor
    if not view.held_minor:
        view.timers.pop("hold", None)
        _timer(view, event, "settlement")


def _refunded(view: Transaction, event: Event) -> None:
    view.refunded_minor += event.amount_minor
    view.refunds_due.pop(event.operation, None)


def _stranded(view: Transaction, event: Event) -> None:
    view.refunds_due.pop(event.operation, None)


def _ended(view: Transaction, event: Event) -> None:
    """A payment that was still open cannot go on."""
    late = event.outcome or Outcome.declined(Reason.WRONG_STATE, f"the order was {event.kind}")
    for operation in view.operations.values():
        if operation.verb is Verb.AUTHORIZE and operation.status in OPEN:
            view.operations[operation.id] = operation.moved(Status.REFUSED, late)


def _refused(view: Transaction, event: Event) -> None:
    """The shop need not wait for the answer to a payment any longer: this is it."""
    view.refunds_due.pop(event.operation, None)
    if event.data.get("verb") == Verb.AUTHORIZE:
        view.timers.pop("answer", None)


def _settled(view: Transaction, _event: Event) -> None:
    view.settled = True
    view.timers.pop("settlement", None)


def _timed_out(view: Transaction, _event: Event) -> None:
    view.timers.pop("answer", None)


def _delayed(view: Transaction, event: Event) -> None:
    view.deliveries[event.data["delivery"]] = event


def _arrived(view: Transaction, event: Event) -> None:
    view.deliveries.pop(event.data.get("delivery", ""), None)
    view.timers.pop(event.data.get("rang", ""), None)


def _timer(view: Transaction, event: Event, name: str) -> None:
    due_ms = event.data.get(f"{name}_ms")
    if due_ms is not None:
        view.timers[name] = due_ms


_EFFECTS: Final[dict[str, Callable[[Transaction, Event], None]]] = {
    "created": _created,
    "presented": _presented,
    "submitted": _submitted,
    "authorized": _authorized,
    "captured": _captured,
    "released": _released,
    "refunded": _refunded,
    "stranded": _stranded,
    "asked": _asked,
    "deferred": _deferred,
    "attempt_failed": _attempt_failed,
    "refused": _refused,
    "settled": _settled,
    "closed": _ended,
    "reversed": _ended,
    "timed_out": _timed_out,
    "delayed": _delayed,
    "reached": _arrived,
    "noted": _arrived,
}


# What an operator refuses. ------------------------------------------------------------------------


def _wrong_state(view: Transaction, verb: str) -> Outcome:
    return Outcome.declined(Reason.WRONG_STATE, f"the order is {view.state}; it cannot be {verb}")


def _refuse_capture(view: Transaction, amount_minor: int) -> Outcome | None:
    if view.state not in (State.AUTHORIZED, State.CAPTURED):
        return _wrong_state(view, "captured")
    if not 0 < amount_minor <= view.held_minor:
        return Outcome.declined(
            Reason.OVER_CAPTURE, f"{view.held_minor} minor units are on hold, not {amount_minor}"
        )
    return None


def _refuse_refund(view: Transaction, amount_minor: int) -> Outcome | None:
    if view.state is not State.CAPTURED:
        return _wrong_state(view, "refunded")
    left = view.captured_minor - view.refunded_minor - view.refunding_minor
    if not 0 < amount_minor <= left:
        return Outcome.declined(Reason.OVER_REFUND, f"{left} minor units can be refunded, not {amount_minor}")
    return None


def _refuse_void(view: Transaction, _amount_minor: int) -> Outcome | None:
    if view.state not in (State.AUTHORIZED, State.CAPTURED):
        return _wrong_state(view, "voided")
    if view.settled:
        return Outcome.declined(Reason.SETTLED, "it is settled; refund it instead")
    if not view.voidable or view.refunding_minor:
        return _wrong_state(view, "voided after a refund")
    return None


def _refuse_reverse(view: Transaction, _amount_minor: int) -> Outcome | None:
    if view.state in FINAL:
        return _wrong_state(view, "reversed")
    return (
        None
        if view.voidable and not view.refunding_minor
        else Outcome.declined(Reason.SETTLED, "it is settled or refunded; refund it instead")
    )


def _refuse_close(view: Transaction, _amount_minor: int) -> Outcome | None:
    if view.state in (State.AUTHORIZED, State.CAPTURED):
        return Outcome.declined(Reason.ALREADY_PAID, "it is paid; void or refund it instead")
    return _wrong_state(view, "closed") if view.state in FINAL else None


_REFUSALS: Final[dict[Verb, Callable[[Transaction, int], Outcome | None]]] = {
    Verb.CAPTURE: _refuse_capture,
    Verb.REFUND: _refuse_refund,
    Verb.VOID: _refuse_void,
    Verb.REVERSE: _refuse_reverse,
    Verb.CLOSE: _refuse_close,
}
