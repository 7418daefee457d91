"""Clearing: what cards have approved offline is handed in, and paid or refused.

A terminal keeps the data of an offline approval apart from the journal, which holds no card data: in memory,
and with a keys folder in a file of it, so that a restart loses none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paysim.channels.operator import settlement_ms
from paysim.codec import tlv
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.operation import Verb
from paysim.core.outcome import Outcome, Reason
from paysim.core.state import State
from paysim.issuer.messages import ClearingRecord
from paysim.ledger import accounts

from .desk import register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .cards import HeldCard
    from .engine import Draft, Engine

__all__ = ["clear", "keep", "kept"]

_OPEN: Final = (State.CREATED, State.PRESENTED, State.PENDING)


def keep(engine: Engine, operation: str, record: Mapping[int, bytes]) -> None:
    """Keep the data record of an offline approval until it is cleared."""
    engine.cards.batch[operation] = dict(record)
    engine.keys.put(_file(engine, operation), tlv.encode(tuple(record.items())))


def kept(engine: Engine, operation: str) -> Mapping[int, bytes]:
    """The data record of an offline approval; empty where it is lost."""
    found = engine.cards.batch.get(operation)
    if found is None:
        data = engine.keys.get(_file(engine, operation))
        found = dict(tlv.decode(data, opaque=_ALL)) if data else {}
    return found


_ALL: Final = frozenset(range(0x10000))


def _file(engine: Engine, operation: str) -> str:
    return f"emv-approval-{engine.seed.value}-{operation.replace(':', '.')}"


def clear(engine: Engine, draft: Draft, history: History, at_ms: int) -> None:
    """Hand in the offline approval of an order: it is captured, or rejected."""
    approved = next(event for event in reversed(history.shop.events) if event.kind == "authorized")
    held = engine.cards.held(approved.data["card"])
    operation, minor, book = approved.operation, approved.amount_minor, history.book
    if book.state not in _OPEN:
        _too_late(draft, history, held, operation, minor, at_ms)
        engine.tell(draft, history, at_ms)
        return
    record = ClearingRecord(
        kept(engine, operation),
        minor,
        book.currency or history.shop.currency,
        at_ms,
        approved.at_ms,
        operation,
    )
    answer = engine.cards.host.clear(record)
    register(draft, history)
    paid_by = {"payer": held.person, "source": held.stem, "card": held.id, "channel": "contactless"}
    draft.at_operator(history, Event("authorized", at_ms, operation, minor, data=paid_by))
    engine.cards.remember(draft, answer.token, answer.facts)
    if answer.outcome.approved:
        data = {**paid_by, "settlement_ms": settlement_ms(at_ms)}
        transfers = (
            accounts.clear_card(book.shop, book.currency, minor)
            if held.is_ecash
            else accounts.capture(held.stem, book.shop, book.currency, minor, held=False)
        )
        taken = f"{operation}.clearing"
        draft.at_operator(history, Event("captured", at_ms, taken, minor, None, transfers, data=data))
    else:
        lost = accounts.lose_card(book.currency, minor) if held.is_ecash else ()
        draft.at_operator(history, Event("rejected", at_ms, operation, minor, answer.outcome, lost))
    engine.tell(draft, history, at_ms)


def _too_late(draft: Draft, history: History, held: HeldCard, operation: str, minor: int, at_ms: int) -> None:
    """The order was closed or reversed meanwhile: the approval is refused, the card's money is nobody's."""
    book = history.book
    outcome = Outcome.declined(Reason.WRONG_STATE, f"the order is {book.state}; a late approval is refused")
    lost = accounts.lose_card(book.currency, minor) if held.is_ecash else ()
    data = {"verb": Verb.AUTHORIZE.value}
    draft.at_operator(history, Event("refused", at_ms, operation, minor, outcome, lost, data=data))
