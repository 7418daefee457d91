"""The acquirer: it takes a tap's request to the card's issuer, and books what the issuer answers.

The issuer says whether the card may pay; the money moves in the operator's book, as on every channel. What a
card says (its number, its cryptogram) passes through and stays out of the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from paysim.channels import operator
from paysim.channels.operator import Attempt
from paysim.core.errors import UsageError
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.operation import Verb
from paysim.core.outcome import Outcome, OutcomeKind, Reason
from paysim.core.state import State
from paysim.issuer.accounts import Kind
from paysim.issuer.messages import Answer, AuthorizationRequest, Issuer

from . import clearing
from .desk import late, register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .cards import HeldCard
    from .engine import Draft, Engine

__all__ = ["CHANNEL", "arrive", "ask", "book", "decline", "postpone"]

CHANNEL: Final = "contactless"

_PAYABLE: Final = (State.CREATED, State.PRESENTED)
_COUNTER: Final = "limit/"
_PIN_BLOCK: Final = 0x99
"""Transaction PIN data. Source: EMV 4.4 Book 3 Annex A"""


def ask(engine: Engine, draft: Draft, request: AuthorizationRequest, issuer: Issuer | None) -> Answer:
    """The issuer's answer, with what it learned of the card written down; None: the sandbox's own issuer.

    Raises UsageError for an answer that would count money instead of limits.
    """
    answer = (issuer or engine.cards.host).authorize(request)
    if any(not name.startswith(_COUNTER) for name, _, _ in answer.counts):
        raise UsageError(f"what an issuer counts are limits, named {_COUNTER}...")
    engine.cards.remember(draft, answer.token, answer.facts)
    return answer


def refusal(engine: Engine, history: History, held: HeldCard) -> Outcome | None:
    """Why the acquirer does not even ask the issuer: the order is over or paid, or the shop's own wish."""
    book = history.book
    if book.state not in _PAYABLE:
        return late(history, "", 0).outcome
    payer = engine.payer(held.person)
    source = payer and next((one for one in payer.sources if one.stem == held.stem), None)
    if source and source.kind is Kind.CREDIT and engine.shop_facts(history.shop.shop).credit_refused:
        return Outcome.declined(Reason.CREDIT_REFUSED, "the shop takes no credit cards")
    return None


def book(
    engine: Engine,
    draft: Draft,
    history: History,
    held: HeldCard,
    operation: str,
    answer: Answer,
    at_ms: int,
) -> Outcome:
    """What becomes of the payment: the money moves, the order is declined, or a late original is refused.

    Assumed: whoever approves, the payer's account must have the money.
    """
    register(draft, history)
    if history.book.state not in _PAYABLE:
        refused = late(history, operation, at_ms)
        draft.at_operator(history, refused)
        return refused.outcome or answer.outcome
    if not answer.outcome.approved:
        return decline(draft, history, held, operation, answer.outcome, at_ms)
    payer = engine.payer(held.person)
    if payer is None:
        raise UsageError(f"there is no person {held.person!r} in this sandbox")
    source = next((one for one in payer.sources if one.stem == held.stem), None)
    attempt = Attempt(operation, payer, source, None, single_use=True, tapped=True)
    facts = operator.submit(history.book, attempt, at_ms, {"channel": CHANNEL, "card": held.id})
    draft.at_operator(history, facts[0])
    for event in operator.pay(history.book, attempt, engine, at_ms):
        draft.at_operator(history, _counting(event, answer))
        refused_by_operator = event.outcome
    return refused_by_operator or answer.outcome


def decline(
    draft: Draft,
    history: History,
    held: HeldCard,
    operation: str,
    outcome: Outcome,
    at_ms: int,
    tap: Mapping[str, object] | None = None,
) -> Outcome:
    """The order is declined at the operator, who may hear of it here first; an order that is over is not.

    What an issuer wants tried again is over all the same: the tap window is good for one answer. `tap` is
    what the terminal decided, where it was the terminal.
    """
    register(draft, history)
    if history.book.state not in _PAYABLE:
        return outcome
    if outcome.kind is not OutcomeKind.DECLINED:
        outcome = Outcome.declined(outcome.reason or Reason.CARD_DECLINED, outcome.text, outcome.code)
    data = {"channel": CHANNEL, "payer": held.person, "card": held.id, **({"tap": tap} if tap else {})}
    minor = history.book.amount_minor
    draft.at_operator(history, Event("submitted", at_ms, operation, minor, data=data))
    draft.at_operator(history, Event("declined", at_ms, operation, minor, outcome))
    return outcome


def _counting(event: Event, answer: Answer) -> Event:
    """The fact that money moves, with what it adds to the card's limits."""
    if not answer.counts or event.kind not in ("captured", "authorized"):
        return event
    return msgspec.structs.replace(event, counts=(*event.counts, *answer.counts))


# A request that is under way for a while. ---------------------------------------------------------


def postpone(engine: Engine, held: HeldCard, request: AuthorizationRequest) -> dict[str, object]:
    """Keep a request that arrives later; what the journal says of it.

    Assumed: it arrives at the sandbox's own issuer, whoever stood in its place.
    """
    fields = dict(request.fields)
    if request.online_pin is not None:
        fields[_PIN_BLOCK] = request.online_pin
    record = clearing.keep(engine, request.operation, fields)
    return {
        "ask": Verb.AUTHORIZE.value,
        "channel": CHANNEL,
        "card": held.id,
        "upgraded": request.upgraded,
        "record": record,
    }


def arrive(engine: Engine, draft: Draft, history: History, delayed: Event, at_ms: int) -> None:
    """A request that was under way is here: the issuer answers, with nobody left to type a PIN."""
    data, operation = delayed.data, delayed.operation
    held = engine.cards.held(data["card"])
    fields = dict(clearing.kept(engine, data["record"]))
    refused = refusal(engine, history, held)
    if refused is not None:
        answer = Answer(refused)
    else:
        request = AuthorizationRequest(
            fields,
            delayed.amount_minor,
            history.shop.currency,
            at_ms,
            fields.pop(_PIN_BLOCK, None),
            upgraded=data["upgraded"],
            operation=operation,
            merchant=history.shop.shop,
        )
        answer = ask(engine, draft, request, None)
    book(engine, draft, history, held, operation, answer, at_ms)
    clearing.drop(engine, draft, data["record"])
