"""Desks: who answers for a channel when a shop asks and a payer acts.

The sandbox's own wallet is the house's desk; a real operator (WeChat Pay) brings another. A desk decides and
adds the operator's facts to the draft; the engine tells the shop and writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from paysim.channels import Claim, Presented, PresentRequest, operator
from paysim.channels.operator import Ask, Attempt
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.money import Money
from paysim.core.operation import Verb
from paysim.core.outcome import Outcome, Reason
from paysim.core.state import State

if TYPE_CHECKING:
    from .engine import Draft, Engine

__all__ = ["Desk", "HouseDesk", "late", "register"]


class Desk(Protocol):
    """What an operator does for an order; `draft` takes the facts."""

    def operation(self, history: History, key: str) -> str:
        """The id of the operation that a shop asks for with `key`, or with none."""

    def present(self, draft: Draft, history: History, channel: str, at_ms: int) -> Presented:
        """What the payer is shown. Raises UsageError where the operator does not take the order."""

    def check(self, history: History, claim: Claim, text: str, payer: str, at_ms: int) -> Outcome | None:
        """Why a payer cannot pay what they scanned; None where they can."""

    def ask(self, draft: Draft, history: History, ask: Ask) -> Outcome | None:
        """Do a verb. Returns a refusal that leaves no fact in the operator's book, for the shop alone."""

    def ring(self, draft: Draft, history: History, timer: str, at_ms: int) -> None:
        """Do what a timer of the order asks for."""

    def owe(self, draft: Draft, history: History, at_ms: int) -> None:
        """Put on its way what a merchant outside the sandbox is to be told of the draft's facts."""

    def forget(self) -> None:
        """Drop what was loaded from the journal; it may have changed."""


class HouseDesk:
    """The desk of the sandbox's own wallet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def operation(self, history: History, key: str) -> str:
        """The order's id with the key, or with a number."""
        if key:
            return f"{history.id}:{key}"
        return f"{history.id}.{len(history.book.operations.keys() | history.shop.operations.keys()) + 1}"

    def present(self, draft: Draft, history: History, channel: str, at_ms: int) -> Presented:
        """The channel's own presentation, in the operator's book."""
        engine, view = self._engine, history.shop
        register(draft, history)
        nonce = engine.seed.digits("nonce", engine.journal.position + 1, 6)
        money = Money(view.currency, view.amount_minor)
        request = PresentRequest(engine.shop_facts(view.shop), history.id, money, at_ms, nonce)
        shown = engine.channels.channel(channel).present(request)
        data: dict[str, Any] = {"channel": channel, "text": shown.text}
        if shown.lifetime_ms is not None:
            data["expiry_ms"] = at_ms + shown.lifetime_ms
        draft.at_operator(history, Event("presented", at_ms, data=data))
        return shown

    def check(self, history: History, claim: Claim, text: str, payer: str, at_ms: int) -> Outcome | None:  # noqa: ARG002
        """The records decide, whoever pays."""
        return operator.check_claim(history.book, claim, text, at_ms)

    def ask(self, draft: Draft, history: History, ask: Ask) -> Outcome | None:
        """A verb's facts; a refusal is one of them."""
        for event in operator.answer(history.book, ask, self._engine):
            draft.at_operator(history, event)
        return None

    def ring(self, draft: Draft, history: History, timer: str, at_ms: int) -> None:
        """Expiry, the end of a hold, settlement."""
        for event in operator.ring(history.book, timer, self._engine, at_ms):
            draft.at_operator(history, event)

    def owe(self, draft: Draft, history: History, at_ms: int) -> None:
        """Nothing: every shop of this wallet is in the sandbox."""

    def forget(self) -> None:
        """Nothing is kept."""

    def charge(
        self, draft: Draft, history: History, operation: str, channel: str, code: str, at_ms: int
    ) -> None:
        """The operator takes a payer's code for an order: it pays, asks the payer, or declines.

        An order that is paid, over, or being paid by somebody is left as it is: a late original is refused.
        """
        engine, book = self._engine, history.book
        known = book.operations.get(operation)
        if known is not None and not known.passing:
            return
        register(draft, history)
        if book.state not in (State.CREATED, State.PRESENTED):
            draft.at_operator(history, late(history, operation, at_ms))
            return
        issued = engine.journal.stream(f"code/{code}")
        payer = engine.payer(issued[0].data["payer"]) if issued else None
        submitted: dict[str, Any] = {"channel": channel}
        if "expiry" not in book.timers:
            submitted["expiry_ms"] = at_ms + operator.ORDER_LIFETIME_MS
        single_use = engine.channels.channel(channel).capabilities.single_use
        if payer is None or (refusal := _code_refusal(issued, at_ms)) is not None:
            unknown = Outcome.declined(Reason.NOT_FOUND, "no wallet has issued this code")
            failed = "declined" if single_use else "attempt_failed"
            minor = book.amount_minor
            draft.at_operator(history, Event("submitted", at_ms, operation, minor, data=submitted))
            draft.at_operator(history, Event(failed, at_ms, operation, minor, refusal if issued else unknown))
            return
        draft.add(f"code/{code}", 1, Event("used", at_ms, operation, data={"order": history.id}))
        attempt = Attempt(operation, payer, payer.source(), None, single_use=single_use)
        for event in operator.submit(book, attempt, at_ms, submitted):
            draft.at_operator(history, event)
        if book.amount_minor > payer.no_pin_minor:
            self._ask_payer(draft, history, attempt, channel, at_ms)
            return
        for event in operator.pay(book, attempt, engine, at_ms):
            draft.at_operator(history, event)

    def _ask_payer(self, draft: Draft, history: History, attempt: Attempt, channel: str, at_ms: int) -> None:
        why = {"why": "the payer is asked for the PIN"}
        draft.at_operator(history, Event("deferred", at_ms, attempt.operation, data=why))
        stream = f"person/{attempt.payer.id}"
        asked = {"order": history.id, "channel": channel}
        version = len(self._engine.journal.stream(stream))
        draft.add(stream, version, Event("asked", at_ms, attempt.operation, data=asked))


def register(draft: Draft, history: History) -> None:
    """The operator learns of an order, with all that the shop said of it."""
    book, known = history.book, history.shop.created
    if book.created is None and book.state is State.CREATED and known is not None:
        draft.at_operator(history, known)


def late(history: History, operation: str, at_ms: int) -> Event:
    """The refusal of a payment of an order that is paid, over, or being paid by somebody."""
    book = history.book
    paid = book.state in (State.AUTHORIZED, State.CAPTURED)
    reason = Reason.ALREADY_PAID if paid else Reason.WRONG_STATE
    outcome = Outcome.declined(reason, f"the order is {book.state}; a late original is refused")
    data = {"verb": Verb.AUTHORIZE.value}
    return Event("refused", at_ms, operation, book.amount_minor, outcome, data=data)


def _code_refusal(issued: list[Event], at_ms: int) -> Outcome | None:
    if len(issued) > 1:
        return Outcome.declined(Reason.CODE_USED, "a payment code is good for one payment; ask for a new one")
    if at_ms >= issued[0].data["expires_ms"]:
        return Outcome.declined(Reason.EXPIRED, "the payment code has expired; ask for a new one")
    return None
