"""Clearing: what cards have approved offline is handed in, and paid or refused.

A terminal keeps the data of an offline approval apart from the journal, which holds no card data: in memory,
and with a keys folder in a file of it, so that a restart loses none. Whatever a shop asks of an order that a
card has paid offline (a refund, a reversal), the approval is handed in before it.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

import msgspec

from paysim.channels.operator import settlement_ms
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.outcome import APPROVED
from paysim.issuer.messages import ClearingRecord
from paysim.ledger import accounts

from .desk import register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .cards import HeldCard
    from .engine import Draft, Engine

__all__ = ["approve", "clear", "drop", "keep", "kept", "waiting"]

# What a terminal keeps of a card. -----------------------------------------------------------------


def keep(engine: Engine, operation: str, record: Mapping[int, bytes]) -> str:
    """Keep what a card said for an operation until it is cleared; the name to ask for it again.

    The name is of this history alone: sandboxes of one seed share a process, or a folder.
    """
    digest = hashlib.sha256(engine.journal.head + operation.encode()).hexdigest()[:24]
    engine.cards.records[digest] = dict(record)
    engine.keys.put(_file(digest), msgspec.msgpack.encode(dict(record)))
    return digest


def kept(engine: Engine, name: str) -> Mapping[int, bytes]:
    """What was kept under a name; empty where it is lost or damaged."""
    found = engine.cards.records.get(name)
    if found is None:
        found = {}
        with contextlib.suppress(msgspec.MsgspecError):
            found = msgspec.msgpack.decode(engine.keys.get(_file(name)) or b"", type=dict[int, bytes])
    return found


def drop(engine: Engine, draft: Draft, name: str) -> None:
    """Let go of what was kept, once the draft is written."""

    def work() -> None:
        engine.cards.records.pop(name, None)
        engine.keys.remove(_file(name))

    draft.then(work)


def _file(name: str) -> str:
    return f"emv-record-{name}"


# Handing in. --------------------------------------------------------------------------------------


def approve(
    engine: Engine,
    draft: Draft,
    history: History,
    held: HeldCard,
    operation: str,
    record: Mapping[int, bytes],
    tap: Mapping[str, object],
    at_ms: int,
) -> None:
    """A card has approved offline: the shop knows, the operator hears of it at clearing.

    `record` is the terminal's data record, `tap` what it decided.
    """
    data = {
        "channel": "contactless",
        "card": held.id,
        "payer": held.person,
        "clearing_ms": settlement_ms(at_ms),
        "record": keep(engine, operation, record),
        "tap": tap,
    }
    minor = history.shop.amount_minor
    draft.at_shop(history, Event("authorized", at_ms, operation, minor, APPROVED, data=data))
    if engine.cards.waiting is not None:
        engine.cards.waiting.add(history.id)


def clear(engine: Engine, draft: Draft, history: History, at_ms: int) -> None:
    """Hand in the offline approval of an order: it is captured, or rejected, and the shop hears of it.

    Assumed: what a card has paid is booked as lost where its approval is refused, for the card is emptier.
    """
    approved = next(event for event in reversed(history.shop.events) if event.kind == "authorized")
    held, name = engine.cards.held(approved.data["card"]), approved.data["record"]
    operation, minor, book = approved.operation, approved.amount_minor, history.book
    currency = history.shop.currency
    record = ClearingRecord(
        kept(engine, name), minor, currency, at_ms, approved.at_ms, operation, history.shop.shop
    )
    answer = engine.cards.host.clear(record)
    register(draft, history)
    paid_by = {"payer": held.person, "source": held.stem, "card": held.id, "channel": "contactless"}
    draft.at_operator(history, Event("authorized", at_ms, operation, minor, data=paid_by))
    engine.cards.remember(draft, answer.token, answer.facts)
    if answer.outcome.approved:
        data = {**paid_by, "settlement_ms": settlement_ms(at_ms)}
        transfers = (
            accounts.clear_card(book.shop, currency, minor)
            if held.is_ecash
            else accounts.capture(held.stem, book.shop, currency, minor, held=False)
        )
        taken = f"{operation}.clearing"
        draft.at_operator(history, Event("captured", at_ms, taken, minor, None, transfers, data=data))
    else:
        lost = accounts.lose_card(currency, minor) if held.is_ecash else ()
        draft.at_operator(history, Event("rejected", at_ms, operation, minor, answer.outcome, lost))
    drop(engine, draft, name)
    engine.tell(draft, history, at_ms)


def waiting(engine: Engine, shop: str) -> list[str]:
    """The orders of a shop that wait for clearing, oldest first."""
    known = engine.cards.waiting
    if known is None:
        known = {name for name, _ in engine.journal.timers() if "/" not in name}
    found = {id: history for id in sorted(known) if (history := engine.find(id)) and history.waits}
    engine.cards.waiting = set(found)
    return [id for id, history in found.items() if history.shop.shop == shop]
