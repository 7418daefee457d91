"""A contactless terminal: one tap of a card, from the field to the receipt.

The reader's decisions are `emv`'s (Entry Point and its kernel), the issuer's `issuer.host`'s, the money is
the operator's, as on every channel. Here they meet: bytes cross a link, an online request crosses the gap to
the issuer and may be lost there, and every fact of the tap is written together.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from paysim.channels import operator
from paysim.channels.operator import Attempt
from paysim.core.clock import SECOND_MS
from paysim.core.errors import UsageError
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.money import CURRENCIES
from paysim.core.operation import Verb
from paysim.core.outcome import APPROVED, Outcome, OutcomeKind, Reason
from paysim.core.state import State
from paysim.crypto.pin import format_0
from paysim.crypto.triple_des import encrypt_ecb
from paysim.drivers import dialogue
from paysim.drivers.dialogue import Exchange
from paysim.drivers.loopback import Loopback
from paysim.emv.entry_point import EntryPoint
from paysim.emv.outcome import Cvm, IssuerResponse, Result, Status
from paysim.emv.reader import Combination, Purchase, Reader, reader
from paysim.issuer.accounts import DEFAULT_PIN
from paysim.issuer.messages import Answer, AuthorizationRequest, Issuer

from . import clearing
from .desk import register
from .engine import ANSWER_MS

if TYPE_CHECKING:
    from .cards import HeldCard
    from .engine import Draft, Engine
    from .order import Order

__all__ = ["Card", "Exchange", "Tap", "Terminal"]

NO_PIN_MINOR: Final = {True: 100_000, False: 30_000}
"""Up to which sum no PIN is asked for: at an upgraded terminal, and at another. Source: market rule R06"""

_CHANNEL: Final = "contactless"
_ZONE: Final = datetime.timezone(datetime.timedelta(hours=8))
_UNPAID: Final = (State.CREATED, State.PRESENTED)
_TTQ_VISA: Final = bytes.fromhex("26004000")
_TTQ_UNIONPAY: Final = bytes.fromhex("26004080")


class Card:
    """A card in somebody's hand; `person.card("unionpay")`."""

    def __init__(self, engine: Engine, id: str) -> None:
        self._engine = engine
        self.id = id

    def __repr__(self) -> str:
        return f"Card({self.id!r})"

    @property
    def profile(self) -> str:
        """The name of its profile."""
        return self._held().card.made.profile.name

    @property
    def token(self) -> str:
        """What names it in place of its number."""
        return self._held().token

    @property
    def balance_minor(self) -> int:
        """What its memory says is left to spend offline, in minor units."""
        return self._held().card.memory.balance

    @property
    def counter(self) -> int:
        """Its application transaction counter."""
        return self._held().card.memory.atc

    def _held(self) -> HeldCard:
        return self._engine.run(lambda: self._engine.cards.held(self.id))


class Tap(NamedTuple):
    """What came of a tap.

    `outcome` is the payment's answer; TRY_AGAIN where the card is wanted once more or elsewhere. `result` is
    the reader's outcome with its parameters, None where the card was gone before there was one. `reader`,
    `purchase` and the number of `cards` are what a record of the tap begins with; `reader` is None where the
    tap goes on where another was torn.
    """

    outcome: Outcome
    result: Result | None
    trace: tuple[Exchange, ...]
    elapsed_ms: int = 0
    reader: Reader | None = None
    purchase: Purchase | None = None
    cards: int = 1

    @property
    def approved(self) -> bool:
        """Whether it is paid."""
        return self.outcome.approved


class Terminal:
    """A shop's terminal. Raises UsageError for a driver that does not exist.

    `upgraded` is whether it knows the limits of 2018 for payments without PIN (market rule R06); `issuer`
    stands in the sandbox's issuer's place, a stranger's class with one method.
    """

    def __init__(
        self,
        engine: Engine,
        shop: str,
        driver: str = "loopback",
        *,
        upgraded: bool = True,
        issuer: Issuer | None = None,
    ) -> None:
        if driver != "loopback":
            raise UsageError(f"there is no driver {driver!r} here; there is loopback")
        self._engine = engine
        self._shop = shop
        self._upgraded = upgraded
        self._issuer = issuer
        self._open: dict[str, EntryPoint] = {}

    def __repr__(self) -> str:
        return f"Terminal({self._shop!r})"

    def tap(
        self, order: Order, *cards: Card, pin: str | None = None, tear_at: int = 0, heard: bool = True
    ) -> Tap:
        """Hold a card to the terminal; with two cards it asks for one only.

        The right PIN is typed where one is asked for, unless `pin` is. `tear_at` takes the card away at that
        command (from 1), before it has it unless it is `heard`. Raises UsageError for an order that is not
        this shop's, or that is paid or over.
        """
        if not cards:
            raise UsageError("hold a card to the terminal: terminal.tap(order, alice.card('unionpay'))")
        tap = self._engine.run(lambda: self._tap(order.id, cards, pin, tear_at, heard))
        if tap.elapsed_ms and self._engine.clock.virtual:
            self._engine.advance_to(self._engine.now_ms() + tap.elapsed_ms)
        return tap

    def clear(self) -> int:
        """Hand in every offline approval of the shop now, not at the end of the day; returns how many."""
        names = [name for name, _ in self._engine.journal.timers()]
        waiting = [name for name in names if "/" not in name and self._waits(name)]
        for id in waiting:
            self._engine.run(lambda id=id: self._clear(id))  # type: ignore[misc]
        return len(waiting)

    def _waits(self, id: str) -> bool:
        history = self._engine.run(lambda: self._engine.find(id))
        return (
            history is not None
            and history.shop.shop == self._shop
            and any(name == "clearing" for _, name in history.due())
        )

    def _clear(self, id: str) -> None:
        engine = self._engine
        draft = engine.draft()
        clearing.clear(engine, draft, engine.history(id), engine.now_ms())
        draft.commit()

    # One tap. ---------------------------------------------------------------------------------

    def _tap(self, id: str, cards: tuple[Card, ...], pin: str | None, tear_at: int, heard: bool) -> Tap:
        engine = self._engine
        history, at_ms = engine.history(id), engine.now_ms()
        view = history.shop
        if view.shop != self._shop:
            raise UsageError(f"that order is {view.shop}'s, and the terminal {self._shop}'s")
        if view.state not in _UNPAID:
            raise UsageError(f"the order is {view.state}; only an unpaid order is tapped for")
        held = engine.cards.held(cards[0].id)
        draft = engine.draft()
        refusal = self._window(draft, history, at_ms)
        if refusal is not None:
            draft.commit()
            return Tap(refusal, None, ())
        torn = self._open.get(id)
        machine = torn or EntryPoint(self._reader(), self._purchase(history, at_ms))
        link = Loopback(held.card, tear_at=tear_at, heard=heard)
        trace: list[Exchange] = []
        result = dialogue.run(machine, link, len(cards), trace)
        held.save(draft, at_ms)
        if result is None:
            self._open[id] = machine
            outcome = Outcome(OutcomeKind.TRY_AGAIN, text=_why_again(machine, len(cards)))
        else:
            self._open.pop(id, None)
            outcome, result = self._decided(draft, history, held, machine, link, result, pin, trace)
            held.save(draft, at_ms)
        link.close()
        draft.commit()
        reader = None if torn else machine.reader
        return Tap(outcome, result, tuple(trace), link.elapsed_ms, reader, machine.purchase, len(cards))

    def _window(self, draft: Draft, history: History, at_ms: int) -> Outcome | None:
        """The tap window, opened where none is; why it is closed, where it has run out."""
        book = history.book
        if history.shop.presentation is None:
            self._engine.house.present(draft, history, _CHANNEL, at_ms)
            self._engine.tell(draft, history, at_ms, Verb.PRESENT, "answer")
            return None
        return operator.check_open(book, at_ms) if book.created is not None else None

    def _reader(self) -> Reader:
        """The shop's reader: both kernels, no limit but the one for the PIN. Source: market rule R06

        Assumed: Visa cards always go online here (floor limit 0), UnionPay cards decide by themselves.
        """
        cvm_limit = NO_PIN_MINOR[self._upgraded] + 1
        visa = Combination(bytes.fromhex("A000000003"), 3, _TTQ_VISA, floor_limit=0, cvm_limit=cvm_limit)
        unionpay = Combination(bytes.fromhex("A000000333"), 7, _TTQ_UNIONPAY, cvm_limit=cvm_limit)
        return reader(unionpay, visa, ca_keys=self._engine.cards.keys.ca_keys())

    def _purchase(self, history: History, at_ms: int) -> Purchase:
        engine, view = self._engine, history.shop
        currency = CURRENCIES[view.currency]
        now = datetime.datetime.fromtimestamp(at_ms // SECOND_MS, _ZONE)
        number = engine.seed.draw("unpredictable", engine.journal.position + 1)
        return Purchase(
            view.amount_minor,
            currency=int(currency.numeric),
            exponent=currency.exponent,
            date=now.date(),
            time=now.time(),
            unpredictable=number.to_bytes(16)[:4],
        )

    # What the reader's outcome means for the order. -------------------------------------------

    def _decided(
        self,
        draft: Draft,
        history: History,
        held: HeldCard,
        machine: EntryPoint,
        link: Loopback,
        result: Result,
        pin: str | None,
        trace: list[Exchange],
    ) -> tuple[Outcome, Result]:
        engine, at_ms = self._engine, self._engine.now_ms()
        operation = _operation(history)
        if result.status is Status.ONLINE_REQUEST:
            return self._online(draft, history, held, machine, link, result, pin, trace, operation)
        if result.status is Status.APPROVED:
            data = {
                "channel": _CHANNEL,
                "card": held.id,
                "payer": held.person,
                "clearing_ms": operator.settlement_ms(at_ms),
            }
            minor = history.shop.amount_minor
            draft.at_shop(history, Event("authorized", at_ms, operation, minor, APPROVED, data=data))
            clearing.keep(engine, operation, result.data_record or {})
            return Outcome(OutcomeKind.APPROVED, code="Y1", text="approved offline by the card"), result
        if result.status is Status.DECLINED:
            outcome = Outcome.declined(Reason.CARD_DECLINED, result.why, "Z1")
            self._decline(draft, history, held, operation, outcome, at_ms)
            return outcome, result
        return Outcome(OutcomeKind.TRY_AGAIN, text=result.why), result

    def _decline(
        self, draft: Draft, history: History, held: HeldCard, operation: str, outcome: Outcome, at_ms: int
    ) -> None:
        """The terminal declines, and lets the operator know."""
        register(draft, history)
        minor, data = history.book.amount_minor, {"channel": _CHANNEL, "payer": held.person, "card": held.id}
        draft.at_operator(history, Event("submitted", at_ms, operation, minor, data=data))
        draft.at_operator(history, Event("declined", at_ms, operation, minor, outcome))
        self._engine.tell(draft, history, at_ms, Verb.AUTHORIZE, "answer")

    def _online(
        self,
        draft: Draft,
        history: History,
        held: HeldCard,
        machine: EntryPoint,
        link: Loopback,
        result: Result,
        pin: str | None,
        trace: list[Exchange],
        operation: str,
    ) -> tuple[Outcome, Result]:
        engine, view, at_ms = self._engine, history.shop, self._engine.now_ms()
        minor = view.amount_minor
        submitted = {"channel": _CHANNEL, "card": held.id, "answer_ms": at_ms + ANSWER_MS}
        draft.at_shop(history, Event("submitted", at_ms, operation, minor, data=submitted))
        typed = _typed(engine, held, pin) if result.cvm is Cvm.ONLINE_PIN else None
        request = self._request(history, held, result, operation, typed)
        answer: Answer | None = None
        told = False
        if engine.fault("request", Verb.AUTHORIZE, history) is None:
            answer = self._asked(draft, history, held, request, pin, trace)
            told = engine.tell(draft, history, at_ms, Verb.AUTHORIZE, "answer")
        if answer is None or not told:
            draft.at_shop(history, Event("timed_out", at_ms, operation))
            return Outcome(OutcomeKind.UNKNOWN, text="no answer from the issuer; query, or reverse"), result
        response = IssuerResponse(answer.arc, answer.data_91, answer.scripts)
        final = dialogue.finish(machine, link, result, response, trace)
        known = view.operations[operation].outcome
        return known or answer.outcome, final

    def _request(
        self, history: History, held: HeldCard, result: Result, operation: str, typed: str | None
    ) -> AuthorizationRequest:
        view = history.shop
        block = None
        if typed is not None:
            made = held.card.made
            block = encrypt_ecb(self._engine.cards.pin_key(), format_0(typed, made.pan))
        return AuthorizationRequest(
            result.data_record or {},
            view.amount_minor,
            view.currency,
            self._engine.now_ms(),
            block,
            upgraded=self._upgraded,
            operation=operation,
            merchant=self._shop,
        )

    def _asked(
        self,
        draft: Draft,
        history: History,
        held: HeldCard,
        request: AuthorizationRequest,
        pin: str | None,
        trace: list[Exchange],
    ) -> Answer:
        """The issuer's answer, once more with the PIN where it asks for one; its facts and the money's."""
        engine, at_ms = self._engine, self._engine.now_ms()
        issuer = self._issuer or engine.cards.host
        answer = issuer.authorize(request)
        engine.cards.remember(draft, answer.token, answer.facts)
        trace.extend(Exchange("issuer", step, words) for step, words in answer.trace)
        if answer.asks_pin and request.online_pin is None:
            typed = _typed(engine, held, pin)
            block = encrypt_ecb(engine.cards.pin_key(), format_0(typed, held.card.made.pan))
            answer = issuer.authorize(replace(request, online_pin=block))
            engine.cards.remember(draft, answer.token, answer.facts)
            trace.extend(Exchange("issuer", step, words) for step, words in answer.trace)
        self._book(draft, history, held, request.operation, answer, at_ms)
        return answer

    def _book(
        self, draft: Draft, history: History, held: HeldCard, operation: str, answer: Answer, at_ms: int
    ) -> None:
        """The operator's facts: the money moves, or the order is declined."""
        engine = self._engine
        register(draft, history)
        book = history.book
        data = {"channel": _CHANNEL, "payer": held.person, "card": held.id}
        minor = book.amount_minor
        if book.state not in (State.CREATED, State.PRESENTED):
            return
        if not answer.outcome.approved:
            draft.at_operator(history, Event("submitted", at_ms, operation, minor, data=data))
            draft.at_operator(history, Event("declined", at_ms, operation, minor, answer.outcome))
            return
        payer = engine.payer(held.person)
        if payer is None:
            raise UsageError(f"there is no person {held.person!r} in this sandbox")
        source = next((one for one in payer.sources if one.stem == held.stem), None)
        attempt = Attempt(operation, payer, source, None, single_use=True, tapped=True)
        for event in operator.submit(book, attempt, at_ms, data):
            draft.at_operator(history, event)
        for event in operator.pay(book, attempt, engine, at_ms):
            draft.at_operator(history, _counting(event, answer))


def _counting(event: Event, answer: Answer) -> Event:
    """The fact that money moves, with what it adds to the card's limits."""
    if not answer.counts or event.kind not in ("captured", "authorized"):
        return event
    return msgspec.structs.replace(event, counts=(*event.counts, *answer.counts))


def _typed(engine: Engine, held: HeldCard, pin: str | None) -> str:
    """The PIN that is typed: what was given, else the person's own where the sandbox knows it."""
    if pin is not None:
        return pin
    payer = engine.payer(held.person)
    if payer is None or not payer.knows(DEFAULT_PIN):
        raise UsageError(
            "the terminal asks for the PIN, which only its owner knows: tap(order, card, pin=...)"
        )
    return DEFAULT_PIN


def _operation(history: History) -> str:
    return f"{history.id}.{len(history.book.operations.keys() | history.shop.operations.keys()) + 1}"


def _why_again(machine: EntryPoint, count: int) -> str:
    if count > 1:
        return "present one card only"
    shown = (
        machine.shown[-1].message.name.lower().replace("_", " ") if machine.shown else "present card again"
    )
    return f"the card left the field; {shown}"
