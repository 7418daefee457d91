"""The sandbox's own operator: what a wallet decides, on every channel.

Pure: each function takes the book of an order and what was asked, and returns the facts that follow; the
sandbox writes them. A refusal is a fact with an Outcome. Real wallets (operators/) bring their own rules.

Assumed: an order lives two hours (market rule R15), a hold seven days, a reversal is taken for seven days
(R16), a refund for a year and in at most 50 parts (R17); settlement is at the start of the next day in
UTC+8; the fee is taken at settlement, half up, and not given back; limits count payments, not refunds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from paysim.core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from paysim.core.event import Event, Transfer
from paysim.core.operation import Status, Verb
from paysim.core.outcome import Outcome, Reason
from paysim.core.state import State
from paysim.core.transaction import Transaction
from paysim.issuer.accounts import Payer, Source
from paysim.issuer.authorizer import PaymentRequest, authorize
from paysim.ledger import accounts

from .channel import Claim, ShopFacts

__all__ = [
    "CODE_LIFETIME_MS",
    "ORDER_LIFETIME_MS",
    "Ask",
    "Attempt",
    "World",
    "answer",
    "check_claim",
    "pay",
    "ring",
    "submit",
]

ORDER_LIFETIME_MS: Final = 2 * HOUR_MS
CODE_LIFETIME_MS: Final = MINUTE_MS
HOLD_MS: Final = 7 * DAY_MS
REVERSAL_MS: Final = 7 * DAY_MS
REFUND_MS: Final = 365 * DAY_MS
REFUND_PARTS: Final = 50
_ZONE_MS: Final = 8 * HOUR_MS
_MILLION: Final = 1_000_000


class World(Protocol):
    """What the operator can look up while it decides."""

    def payer(self, id: str) -> Payer | None:
        """A person."""

    def shop_facts(self, id: str) -> ShopFacts:
        """A shop."""

    def tally(self, name: str) -> int:
        """A balance or a counter."""


class Attempt(NamedTuple):
    """One try to pay: by whom, from what, and how they proved who they are.

    `pin_right` is None where no PIN was asked for; `single_use` says that a failure ends the payment.
    """

    operation: str
    payer: Payer
    source: Source | None
    pin_right: bool | None
    single_use: bool = False
    static_code: bool = False
    remote: bool = False
    tapped: bool = False


class Ask(NamedTuple):
    """A verb asked of the operator; `final` that a capture is the last and the rest is free again."""

    verb: Verb
    operation: str
    amount_minor: int
    at_ms: int
    final: bool = False


# The payer's side. --------------------------------------------------------------------------------


def check_claim(book: Transaction, claim: Claim, text: str, at_ms: int) -> Outcome | None:
    """Why a scanned code cannot be paid; None where it can. The records decide, not the code."""
    if book.created is None or book.presentation is None:
        return Outcome.declined(Reason.NOT_FOUND, "no shop asked for this")
    if claim.shop != book.shop:
        return Outcome.declined(Reason.WRONG_SHOP, "the code names another shop than the order's")
    if text != book.presentation.data["text"]:
        return _other_text(book, text)
    return check_open(book, at_ms)


def _other_text(book: Transaction, text: str) -> Outcome:
    if any(event.kind == "presented" and event.data["text"] == text for event in book.events):
        return Outcome.declined(Reason.REPLACED_CODE, "the shop shows a newer code; scan that one")
    return Outcome.declined(Reason.ALTERED_CODE, "the code is not the one that the shop made")


def check_open(book: Transaction, at_ms: int) -> Outcome | None:
    """Why an order cannot be paid in its state; None where it can."""
    if book.state in (State.AUTHORIZED, State.CAPTURED):
        return Outcome.declined(Reason.ALREADY_PAID, "the order is paid")
    expiry_ms = book.timers.get("expiry")
    if expiry_ms is not None and at_ms >= expiry_ms:
        return Outcome.declined(Reason.EXPIRED, "the code has expired; ask for a new one")
    if book.state in (State.CREATED, State.PRESENTED, State.PENDING):
        return None
    return Outcome.declined(Reason.WRONG_STATE, f"the order is {book.state}")


def submit(
    book: Transaction, attempt: Attempt, at_ms: int, data: Mapping[str, object] | None = None
) -> list[Event]:
    """The payer has begun to pay: the order is PENDING, or goes on being so."""
    details = {"payer": attempt.payer.id, **(data or {})}
    if book.state is State.PENDING:
        return [Event("noted", at_ms, data={"scanned": attempt.payer.id})]
    return [Event("submitted", at_ms, attempt.operation, book.amount_minor, data=details)]


def pay(book: Transaction, attempt: Attempt, world: World, at_ms: int) -> list[Event]:
    """The payer agrees: the money moves, or the facts say why it does not."""
    refusal = check_open(book, at_ms)
    if refusal is not None:
        return [Event("noted", at_ms, outcome=refusal, data={"payer": attempt.payer.id})]
    events = [] if book.state is State.PENDING else submit(book, attempt, at_ms)
    source = attempt.source
    if source is None:
        outcome = Outcome.declined(Reason.NO_SUCH_ACCOUNT, "the payer has no such account")
        return [*events, _failed(attempt, book, outcome, at_ms)]
    shop = world.shop_facts(book.shop)
    request = PaymentRequest(
        attempt.payer,
        source,
        book.currency,
        book.amount_minor,
        at_ms,
        attempt.pin_right,
        shop.credit_refused,
        attempt.static_code,
        shop.personal,
        attempt.remote,
        attempt.tapped,
    )
    available = world.tally(f"{source.stem}/available:{book.currency}")
    outcome, counts = authorize(request, available, world.tally)
    if not outcome.approved:
        return [*events, _failed(attempt, book, outcome, at_ms)]
    return [*events, _approved(attempt, source, book, counts, at_ms)]


def _failed(attempt: Attempt, book: Transaction, outcome: Outcome, at_ms: int) -> Event:
    kind = "declined" if attempt.single_use else "attempt_failed"
    return Event(kind, at_ms, attempt.operation, book.amount_minor, outcome)


def _approved(
    attempt: Attempt,
    source: Source,
    book: Transaction,
    counts: tuple[tuple[str, int, int | None], ...],
    at_ms: int,
) -> Event:
    minor, currency = book.amount_minor, book.currency
    paid_by = {"payer": attempt.payer.id, "source": source.stem}
    if book.capture == "manual":
        transfers = accounts.hold(source.stem, currency, minor)
        data = {**paid_by, "hold_ms": at_ms + HOLD_MS}
        return Event("authorized", at_ms, attempt.operation, minor, None, transfers, counts, data)
    transfers = accounts.capture(source.stem, book.shop, currency, minor, held=False)
    data = {**paid_by, "settlement_ms": settlement_ms(at_ms)}
    return Event("captured", at_ms, attempt.operation, minor, None, transfers, counts, data)


def refuse(book: Transaction, attempt: Attempt, at_ms: int) -> list[Event]:
    """The payer says no."""
    outcome = Outcome.declined(Reason.REFUSED_BY_PAYER, "the payer said no")
    if book.state is not State.PENDING:
        return [Event("noted", at_ms, outcome=outcome, data={"payer": attempt.payer.id})]
    return [_failed(attempt, book, outcome, at_ms)]


def settlement_ms(at_ms: int) -> int:
    """When money taken at `at_ms` is settled: the start of the next day in UTC+8."""
    return ((at_ms + _ZONE_MS) // DAY_MS + 1) * DAY_MS - _ZONE_MS


# The shop's side. ---------------------------------------------------------------------------------


def answer(book: Transaction, ask: Ask, world: World) -> list[Event]:
    """What the operator does for a verb: the facts, or a refusal; nothing where it was done before."""
    known = book.operations.get(ask.operation)
    if known is not None and known.status in (Status.DONE, Status.REFUSED) and not known.passing:
        return []
    refusal = book.refusal(ask.verb, ask.amount_minor) or _LATE[ask.verb](book, ask)
    events = _FACTS[ask.verb](book, ask) if refusal is None else []
    refusal = refusal or _short_of_money(events, world)
    if refusal is not None:
        return [
            Event(
                "refused", ask.at_ms, ask.operation, ask.amount_minor, refusal, data={"verb": ask.verb.value}
            )
        ]
    return events


def _in_time(_book: Transaction, _ask: Ask) -> Outcome | None:
    return None


def _refund_in_time(book: Transaction, ask: Ask) -> Outcome | None:
    if ask.at_ms > _first_at(book) + REFUND_MS:
        return Outcome.declined(Reason.TOO_LATE, "an order is refunded within a year")
    refunds = sum(o.verb is Verb.REFUND and o.status is Status.DONE for o in book.operations.values())
    if refunds >= REFUND_PARTS:
        return Outcome.declined(Reason.TOO_LATE, f"an order is refunded in at most {REFUND_PARTS} parts")
    return None


def _reverse_in_time(book: Transaction, ask: Ask) -> Outcome | None:
    if ask.at_ms > _first_at(book) + REVERSAL_MS:
        return Outcome.declined(Reason.TOO_LATE, "an order is reversed within seven days; refund it instead")
    return None


def _first_at(book: Transaction) -> int:
    return book.events[0].at_ms if book.events else 2**62


def _short_of_money(events: list[Event], world: World) -> Outcome | None:
    for event in events:
        for debit, currency, minor in ((t.debit, t.currency, t.minor) for t in event.transfers):
            if debit.startswith("merchant/") and world.tally(f"{debit}:{currency}") < minor:
                return Outcome.declined(
                    Reason.MERCHANT_FUNDS, "the shop has too little money; try again later"
                )
    return None


def _capture(book: Transaction, ask: Ask) -> list[Event]:
    left = book.held_minor - ask.amount_minor
    transfers = accounts.capture(book.source, book.shop, book.currency, ask.amount_minor, held=True)
    if left and ask.final:
        taken = Event("captured", ask.at_ms, ask.operation, ask.amount_minor, None, transfers)
        return [taken, _free(book, left, ask.at_ms, ask.operation)]
    data = {} if left else {"settlement_ms": settlement_ms(ask.at_ms)}
    return [Event("captured", ask.at_ms, ask.operation, ask.amount_minor, None, transfers, data=data)]


def _free(book: Transaction, minor: int, at_ms: int, operation: str = "") -> Event:
    data = {"settlement_ms": settlement_ms(at_ms)}
    return Event(
        "released",
        at_ms,
        operation,
        minor,
        None,
        accounts.release(book.source, book.currency, minor),
        data=data,
    )


def _refund(book: Transaction, ask: Ask) -> list[Event]:
    transfers = accounts.refund(book.source, book.shop, book.currency, ask.amount_minor, settled=book.settled)
    data = {"target": book.payment}
    return [Event("refunded", ask.at_ms, ask.operation, ask.amount_minor, None, transfers, data=data)]


def _undone(kind: str) -> Callable[[Transaction, Ask], list[Event]]:
    def facts(book: Transaction, ask: Ask) -> list[Event]:
        transfers: tuple[Transfer, ...] = ()
        if book.authorized_minor:
            transfers = accounts.undo(
                book.source, book.shop, book.currency, book.captured_minor, book.held_minor
            )
        data = {"target": book.payment} if book.payment else {}
        return [Event(kind, ask.at_ms, ask.operation, book.authorized_minor, None, transfers, data=data)]

    return facts


def _close(_book: Transaction, ask: Ask) -> list[Event]:
    return [Event("closed", ask.at_ms, ask.operation)]


_FACTS: Final[dict[Verb, Callable[[Transaction, Ask], list[Event]]]] = {
    Verb.CAPTURE: _capture,
    Verb.REFUND: _refund,
    Verb.VOID: _undone("voided"),
    Verb.REVERSE: _undone("reversed"),
    Verb.CLOSE: _close,
}

_LATE: Final[dict[Verb, Callable[[Transaction, Ask], Outcome | None]]] = {
    Verb.CAPTURE: _in_time,
    Verb.REFUND: _refund_in_time,
    Verb.VOID: _in_time,
    Verb.REVERSE: _reverse_in_time,
    Verb.CLOSE: _in_time,
}


# Timers. ------------------------------------------------------------------------------------------


def ring(book: Transaction, timer: str, world: World, at_ms: int) -> list[Event]:
    """What the operator does when a timer of an order rings."""
    return _TIMERS[timer](book, world, at_ms)


def _expire(_book: Transaction, _world: World, at_ms: int) -> list[Event]:
    return [Event("closed", at_ms, outcome=Outcome.declined(Reason.EXPIRED, "nobody paid in time"))]


def _let_go(book: Transaction, _world: World, at_ms: int) -> list[Event]:
    if book.state is State.CAPTURED:
        return [_free(book, book.held_minor, at_ms)]
    transfers = accounts.release(book.source, book.currency, book.held_minor)
    return [Event("lapsed", at_ms, "", book.held_minor, None, transfers)]


def _settle(book: Transaction, world: World, at_ms: int) -> list[Event]:
    net = book.paid_minor - book.refunding_minor  # what is on its way back has left the takings
    fee = (2 * net * world.shop_facts(book.shop).fee_ppm + _MILLION) // (2 * _MILLION)
    return [Event("settled", at_ms, "", net, None, accounts.settle(book.shop, book.currency, net, fee))]


_TIMERS: Final[dict[str, Callable[[Transaction, World, int], list[Event]]]] = {
    "expiry": _expire,
    "hold": _let_go,
    "settlement": _settle,
}
