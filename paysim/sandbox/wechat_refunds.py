"""Refunds on their way: how each shall end, and who ends one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paysim.core.errors import UsageError
from paysim.core.history import History
from paysim.core.operation import Operation, Verb
from paysim.core.transaction import Transaction
from paysim.operators.wechat import payer
from paysim.operators.wechat.messages import refund_state
from paysim.operators.wechat.refunds import ENDS, end_of, ended

if TYPE_CHECKING:
    from .engine import Draft, Engine

__all__ = ["WeChatRefunds"]


class WeChatRefunds:
    """What becomes of refunds in WeChat Pay; `sandbox.wechat.refunds`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def chosen(self, book: Transaction, minor: int) -> str:
        """How a refund shall end that is asked for now: a fault decides, else magic, else it is a SUCCESS."""
        fault = self._engine.faults.take("refund", Verb.REFUND, book.channel)
        return fault.action.upper() if fault is not None else payer.magic_refund(book, minor)

    def end(self, operation: str, end: str) -> Operation:
        """End a refund that is still open, PROCESSING or ABNORMAL, with SUCCESS, ABNORMAL or CLOSED.

        `operation` is its id: that of what `order.refund()` gave, or the order's with ":" and the merchant's
        out_refund_no. Raises UsageError where there is no such refund, or it is over, or ABNORMAL already.
        """
        return self._engine.run(lambda: self._end(operation, end))

    def _end(self, operation: str, end: str) -> Operation:
        engine = self._engine
        if end not in ENDS:
            raise UsageError(f"a refund ends in one of {', '.join(ENDS)}, not {end!r}")
        history = engine.find(operation.partition(":")[0])
        refund = history.book.operations.get(operation) if history is not None else None
        if history is None or refund is None or refund.verb is not Verb.REFUND:
            raise UsageError(f"WeChat Pay knows no refund {operation!r}")
        state = refund_state(refund)
        if not refund.open or state == end:
            raise UsageError(f"the refund is {state}; it cannot become {end}")
        draft, at_ms = engine.draft(), engine.now_ms()
        draft.at_operator(history, ended(history.book, refund, end, at_ms))
        engine.tell(draft, history, at_ms)
        draft.commit()
        return history.book.operations[operation]

    def ring(self, draft: Draft, history: History, operation: str, at_ms: int) -> None:
        """A refund has come to the end that was chosen for it."""
        book = history.book
        event = ended(book, book.operations[operation], end_of(book, operation), at_ms)
        draft.at_operator(history, event)

    def again(self, draft: Draft, history: History, operation: str, at_ms: int) -> None:
        """A shop has asked again for a refund that is ABNORMAL: the answer tells it that it is so still."""
        refund = history.book.operations.get(operation)
        if refund is not None and refund_state(refund) == "ABNORMAL":
            draft.at_operator(history, ended(history.book, refund, "ABNORMAL", at_ms))
