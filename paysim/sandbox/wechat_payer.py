"""The person before WeChat: opens a payment that a merchant asked for, and does what people do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paysim.channels import operator
from paysim.channels.operator import Attempt
from paysim.core.errors import UsageError
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.outcome import APPROVED, Outcome, Reason
from paysim.core.state import State
from paysim.core.transaction import Transaction
from paysim.operators.wechat import payer
from paysim.operators.wechat.messages import details
from paysim.operators.wechat.numbers import Shown, read_shown
from paysim.operators.wechat.payer import LATER_MS, OUTCOMES, Act, Invoke

if TYPE_CHECKING:
    from .engine import Draft, Engine
    from .wechat import WeChatPay

__all__ = ["Paid", "WeChatPayer"]


class Paid(NamedTuple):
    """What came of it: `result` is what the page or app is told (ok, cancel, fail; None while nobody acts).

    `order` is the order's id, "" where there is none; `outcome` the answer, with the reason of a refusal.
    """

    result: str | None
    order: str
    outcome: Outcome


class WeChatPayer:
    """What the people of a sandbox do in WeChat."""

    def __init__(self, engine: Engine, wechat: WeChatPay) -> None:
        self._engine = engine
        self._wechat = wechat

    def pay(self, person: str, text: str, outcome: str = "", invoke: Invoke | None = None) -> Paid:
        """Open what `text` stands for (a prepay id, a code URL, an H5 link) and do what `outcome` says.

        `outcome` is a row of OUTCOMES; "" is what the order's magic amount or openid forces, else confirm.
        `invoke` is how it was opened, where that shall be checked. Raises UsageError for a person or an
        outcome that does not exist, and for a text that is none of WeChat Pay's.
        """
        shown = read_shown(text)
        if shown is None:
            raise UsageError(f"that is no prepay id, code URL or H5 link of WeChat Pay: {text[:80]!r}")
        if outcome and outcome not in OUTCOMES:
            raise UsageError(f"an outcome is one of {', '.join(OUTCOMES)}, not {outcome!r}")
        return self._engine.run(lambda: self._pay(person, shown, outcome, invoke))

    def _pay(self, person: str, shown: Shown, outcome: str, invoke: Invoke | None) -> Paid:
        engine = self._engine
        if engine.payer(person) is None:
            raise UsageError(f"there is no person {person!r} in this sandbox")
        history = engine.find(shown.order)
        if history is None:
            return Paid("fail", "", Outcome.declined(Reason.NOT_FOUND, "no merchant asked for this"))
        draft, at_ms = engine.draft(), engine.now_ms()
        refusal = payer.check(history.book, shown, person, self._wechat, invoke)
        if refusal is not None:
            draft.at_operator(history, Event("noted", at_ms, outcome=refusal, data={"payer": person}))
            draft.commit()
            return Paid("fail", history.id, refusal)
        act = _act(history, outcome)
        events = self._events(history, person, act, at_ms)
        for event in events:
            draft.at_operator(history, event)
        engine.tell(draft, history, at_ms)
        draft.commit()
        answer = events[-1].outcome or APPROVED
        failed = act.step == "pay" and not answer.approved
        return Paid("fail" if failed else act.result, history.id, answer)

    def _events(self, history: History, person: str, act: Act, at_ms: int) -> list[Event]:
        attempt = self._attempt(history, person)
        book = history.book
        if act.step == "pay":
            return operator.pay(book, attempt, self._engine, at_ms)
        begun = operator.submit(book, attempt, at_ms)
        if act.step == "wait":
            return begun
        if act.step == "later":
            data = {"payment_ms": at_ms + LATER_MS, "payer": person}
            return [*begun, Event("deferred", at_ms, attempt.operation, data=data)]
        refusal = payer.forced(act)
        return [*begun, Event("attempt_failed", at_ms, attempt.operation, book.amount_minor, refusal)]

    def _attempt(self, history: History, person: str) -> Attempt:
        known = self._engine.payer(person)
        if known is None:
            raise UsageError(f"there is no person {person!r} in this sandbox")
        book = history.book
        operation = book.payment if book.state is State.PENDING else ""
        if not operation:
            operation = f"{history.id}.{len(book.operations.keys() | history.shop.operations.keys()) + 1}"
        return Attempt(operation, known, known.source(), None)

    def ring(self, draft: Draft, history: History, at_ms: int) -> None:
        """A payment that was to come: the bank has answered at last, or somebody pays by themselves."""
        book = history.book
        draft.at_operator(history, Event("noted", at_ms, data={"rang": "payment"}))
        deferred = _deferred(book) if book.state is State.PENDING else ""
        person = deferred or details(book).get("owner") or self._wechat.first_person()
        if not person:
            return
        act = OUTCOMES["confirm"] if deferred else _act(history, "")
        if book.state is State.PENDING and not deferred:
            return  # somebody has it in hand already
        shown = (
            Shown("prepay_id", book.id, "", book.presentation.data["prepay_id"])
            if book.presentation
            else None
        )
        if not deferred and shown is not None:
            refusal = payer.check(book, shown, person, self._wechat)
            if refusal is not None:
                draft.at_operator(history, Event("noted", at_ms, outcome=refusal, data={"payer": person}))
                return
        for event in self._events(history, person, act, at_ms):
            draft.at_operator(history, event)


def _deferred(book: Transaction) -> str:
    """Who has paid what is still under way, "" for nobody."""
    for event in reversed(book.events):
        if event.kind == "deferred" and event.operation == book.payment:
            return str(event.data.get("payer", book.payer))
    return ""


def _act(history: History, outcome: str) -> Act:
    """What is done: what was asked for, what the order forces, else confirm."""
    return OUTCOMES.get(outcome or payer.magic(history.book), OUTCOMES["confirm"])
