"""A contactless terminal: one tap of a card, from the field to the receipt.

The reader's decisions are `emv`'s (Entry Point and its kernel), the issuer's `issuer.host`'s, the money is
the operator's, as on every channel. Here they meet: bytes cross a link, an online request crosses the gap to
the issuer and may be lost there, and every fact of the tap is written together.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from paysim.channels import operator
from paysim.codec.bits import set_bit
from paysim.core.clock import SECOND_MS
from paysim.core.errors import UsageError
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.money import CURRENCIES
from paysim.core.operation import Verb
from paysim.core.outcome import Outcome, OutcomeKind, Reason
from paysim.core.state import State
from paysim.core.transaction import Transaction
from paysim.crypto.pin import format_0
from paysim.crypto.triple_des import encrypt_ecb
from paysim.drivers import dialogue, registry
from paysim.drivers.dialogue import CardLink, Exchange, Recorder
from paysim.drivers.driver import Driver, Field
from paysim.drivers.loopback import Loopback
from paysim.emv.entry_point import EntryPoint
from paysim.emv.outcome import Cvm, IssuerResponse, Result, Status
from paysim.emv.reader import Combination, Purchase, Reader, reader
from paysim.issuer.accounts import DEFAULT_PIN
from paysim.issuer.messages import Answer, AuthorizationRequest, Issuer

from . import acquirer, clearing
from .acquirer import CHANNEL
from .engine import ANSWER_MS
from .network import NO_TERMINAL
from .tap import Tap
from .trace import decided

if TYPE_CHECKING:
    from .card import Card
    from .cards import HeldCard
    from .engine import Draft, Engine
    from .order import Order

__all__ = ["Terminal"]

NO_PIN_MINOR: Final = {True: 100_000, False: 30_000}
"""Up to which sum no PIN is asked for: at an upgraded terminal, and at another. Source: market rule R06"""

_ZONE: Final = datetime.timezone(datetime.timedelta(hours=8))
_UNPAID: Final = (State.CREATED, State.PRESENTED)
_BOOKED: Final = (Status.APPROVED, Status.DECLINED, Status.ONLINE_REQUEST)
_US_A_MS: Final = 1000
_TTQ_VISA: Final = bytes.fromhex("26004000")
_TTQ_UNIONPAY: Final = bytes.fromhex("26004080")
_SAID_NO: Final = Outcome.declined(Reason.REFUSED_BY_PAYER, "the payer typed no PIN")
_STRANGER: Final = Outcome(
    OutcomeKind.TRY_AGAIN, text="the card is none of this sandbox's; its keys folder is another"
)
_NO_WINDOW: Final = Outcome(OutcomeKind.TRY_AGAIN, text="the operator did not answer; tap again")


class _Payment:
    """A tap under way: the facts so far, the order, the card and the way to it, and what was noted."""

    def __init__(
        self,
        draft: Draft,
        history: History,
        held: HeldCard | None,
        machine: EntryPoint,
        way: Recorder,
        pin: str | None,
    ) -> None:
        self.draft = draft
        self.history = history
        self.card = held
        self.machine = machine
        self.way = way
        self.pin = pin
        self.operation = _operation(history)

    @property
    def held(self) -> HeldCard:
        """The card, once it is known."""
        if self.card is None:
            raise UsageError("the card's number is not known yet")
        return self.card

    @property
    def trace(self) -> list[Exchange]:
        """What happened so far."""
        return self.way.trace


class Terminal:
    """A shop's terminal. Raises UsageError for a driver that does not exist.

    `driver` is "loopback", for the cards of the sandbox, or a link of your own before it: called with the
    link to the card, it gives what the reader talks to. Or it is a real reader, opened at the first tap:
    "pcsc", "pcsc:ACS ACR122U", a Driver or a Field (`drivers.driver`).

    `upgraded` is whether the terminal knows the limits of 2018 for payments without PIN (market rule R06);
    `issuer` stands in the sandbox's issuer's place, a stranger's class with one method.
    """

    def __init__(
        self,
        engine: Engine,
        shop: str,
        driver: str | Driver | Field | Callable[[CardLink], CardLink] = "loopback",
        *,
        upgraded: bool = True,
        issuer: Issuer | None = None,
    ) -> None:
        self._before: Callable[[CardLink], CardLink] | None = None
        self._open: Callable[[], Field] | None = None
        self._field: Field | None = None
        if isinstance(driver, str | Driver | Field):
            self._open = None if driver == "loopback" else registry.opener(driver)
        else:
            self._before = driver
        self._engine = engine
        self._shop = shop
        self._upgraded = upgraded
        self._issuer = issuer
        self._readers: dict[tuple[bool, bool], Reader] = {}

    def __repr__(self) -> str:
        return f"Terminal({self._shop!r})"

    def tap(
        self,
        order: Order,
        *cards: Card,
        pin: str | None = None,
        tear_at: int = 0,
        heard: bool = True,
        wait_s: float = 30,
    ) -> Tap:
        """Hold a card to the terminal; with two cards it asks for one only.

        With a real reader no card is named: the one that comes within `wait_s` seconds pays (`tap_link`).
        Raises NoReader or LinkClosed where the reader cannot be had, LinkTimeout where the card there does
        not answer to a reset; nothing has happened then.

        The right PIN is typed where one is asked for, unless `pin` is; with "" the payer types none and the
        payment is declined. `tear_at` takes the card away at that command (from 1), before it has it unless
        it is `heard`; the next tap for the order goes on with the same payment, so that a card which has
        paid already does not pay twice. An order that is paid or over gives a Tap that is declined. Raises
        UsageError for an order that is not this shop's.
        """
        if self._open is not None:
            return self._tap_field(self._open, order, cards, pin, wait_s)
        if not cards:
            raise UsageError("hold a card to the terminal: terminal.tap(order, alice.card('unionpay'))")
        tap = self._engine.run(lambda: self._tap(order.id, cards, pin, tear_at, heard))
        if tap.elapsed_ms and self._engine.clock.virtual:
            self._engine.advance_to(self._engine.now_ms() + tap.elapsed_ms)
        return tap

    def tap_link(self, order: Order, link: CardLink, *, count: int = 1, pin: str | None = None) -> Tap:
        """Take the payment from whatever card is at the other end of `link`, one of this sandbox's.

        That is a card in another process or in hardware, by the link of a driver (`drivers.driver`); it keeps
        its own memory, and is known by its number. `count` is how many cards are in the field. What `tap`
        says of PIN and orders holds here too; a card that this sandbox does not know gives TRY_AGAIN.
        """
        return self._engine.run(lambda: self._tap_link(order.id, link, count, pin))

    def close(self) -> None:
        """Let go of the reader; the next tap opens it again."""
        field, self._field = self._field, None
        if field is not None:
            field.close()

    def clear(self) -> int:
        """Hand in every offline approval of the shop now, not at the end of the day; returns how many."""
        engine = self._engine
        waiting = engine.run(lambda: clearing.waiting(engine, self._shop))
        return sum(engine.run(lambda id=id: engine.clear(engine.history(id))) for id in waiting)  # type: ignore[misc]

    # One tap. ---------------------------------------------------------------------------------

    def _tap(self, id: str, cards: tuple[Card, ...], pin: str | None, tear_at: int, heard: bool) -> Tap:
        engine = self._engine
        history, at_ms = engine.history(id), engine.now_ms()
        held, draft = engine.cards.held(cards[0].id), engine.draft()
        refusal = self._closed(history, at_ms) or self._window(draft, history, at_ms)
        if refusal is not None:
            draft.commit()
            return Tap(refusal, None, ())
        link = Loopback(held.card, tear_at=tear_at, heard=heard, before=held.commands)
        machine = EntryPoint(self._reader(history.shop), self._purchase(history, at_ms))
        way: CardLink = link if self._before is None else self._before(link)
        recorder = Recorder(way, clock=lambda: link.elapsed_ms * _US_A_MS)
        tap = _Payment(draft, history, held, machine, recorder, pin)
        outcome, result = self._carried(tap, len(cards))
        link.close()
        held.commands += link.commands
        held.save(draft, at_ms)
        draft.commit()
        return _told(tap, outcome, result, len(cards))

    def _tap_field(
        self,
        opened: Callable[[], Field],
        order: Order,
        cards: tuple[Card, ...],
        pin: str | None,
        wait_s: float,
    ) -> Tap:
        if cards:
            raise UsageError("this terminal has a real reader: terminal.tap(order), and hold the card to it")
        if self._field is None:
            self._field = opened()
        present = self._field.wait(wait_s)
        if present is None:
            return Tap(Outcome(OutcomeKind.TRY_AGAIN, text=f"no card came in {wait_s:g} s"), None, ())
        return self.tap_link(order, present.link, count=present.count, pin=pin)

    def _tap_link(self, id: str, link: CardLink, count: int, pin: str | None) -> Tap:
        engine = self._engine
        history, at_ms, draft = engine.history(id), engine.now_ms(), engine.draft()
        refusal = self._closed(history, at_ms) or self._window(draft, history, at_ms)
        if refusal is not None:
            draft.commit()
            return Tap(refusal, None, ())
        machine = EntryPoint(self._reader(history.shop), self._purchase(history, at_ms))
        tap = _Payment(draft, history, None, machine, Recorder(link), pin)
        outcome, result = self._carried(tap, count)
        draft.commit()
        return _told(tap, outcome, result, count)

    def _carried(self, tap: _Payment, count: int) -> tuple[Outcome, Result | None]:
        """What comes of the dialogue; a result of None wants the card again."""
        result = dialogue.run(tap.machine, tap.way, count)
        if result is None:
            return Outcome(OutcomeKind.TRY_AGAIN, text=_why_again(tap.machine, count)), None
        if tap.card is None:
            tap.card = self._engine.cards.by_number(["", *dialogue.numbers(tap.trace)][-1])
        if tap.card is None and result.status in _BOOKED:
            return _STRANGER, result
        return self._decided(tap, result)

    def _closed(self, history: History, at_ms: int) -> Outcome | None:
        """Why no card can pay the order now; None where one can.

        Assumed: the terminal asks the operator before each tap, so that nothing is paid twice by accident.
        """
        view, book = history.shop, history.book
        if view.shop != self._shop:
            raise UsageError(f"that order is {view.shop or book.shop}'s, and the terminal {self._shop}'s")
        if view.channel and self._engine.channels.channel(view.channel).capabilities.operator:
            raise UsageError(f"the order is with another operator, by {view.channel}; create one for the tap")
        refusal = operator.check_open(view, at_ms) or operator.check_open(book, at_ms)
        if refusal is None and (view.state not in _UNPAID or book.state not in _UNPAID):
            state = view.state if view.state not in _UNPAID else book.state
            return Outcome.declined(Reason.WRONG_STATE, f"the order is {state}")
        return refusal

    def _window(self, draft: Draft, history: History, at_ms: int) -> Outcome | None:
        """Opens the tap window where none is open; what went wrong, where the operator did not answer."""
        view = history.shop
        if view.presentation is not None and view.channel == CHANNEL:
            return None
        engine = self._engine
        if engine.faults.take("request", Verb.PRESENT, CHANNEL) is not None:
            return _NO_WINDOW
        engine.house.present(draft, history, CHANNEL, at_ms)
        return None if engine.tell(draft, history, at_ms, Verb.PRESENT, "answer") else _NO_WINDOW

    def _reader(self, view: Transaction) -> Reader:
        """The shop's reader: both kernels, no limit but the one for the PIN. Source: market rule R06

        Assumed: Visa cards always go online here (floor limit 0), UnionPay cards decide by themselves, except
        for a sum that is captured later: it is only put on hold, which a card cannot do.
        """
        later, online = view.capture == "manual", self._engine.network.terminal
        if (later, online) not in self._readers:
            cvm_limit, floor_limit = NO_PIN_MINOR[self._upgraded] + 1, 0 if later else None
            ttqs = (set_bit(ttq, "b1.4", not online) for ttq in (_TTQ_VISA, _TTQ_UNIONPAY))
            visa_ttq, unionpay_ttq = ttqs
            visa_floor = 0 if online else None
            visa = Combination(
                bytes.fromhex("A000000003"), 3, visa_ttq, floor_limit=visa_floor, cvm_limit=cvm_limit
            )
            unionpay = Combination(
                bytes.fromhex("A000000333"), 7, unionpay_ttq, floor_limit=floor_limit, cvm_limit=cvm_limit
            )
            self._readers[later, online] = reader(unionpay, visa, ca_keys=self._engine.cards.keys.ca_keys())
        return self._readers[later, online]

    def _purchase(self, history: History, at_ms: int) -> Purchase:
        """What the card is asked to pay; the number stays until an answer, so that a torn card knows it."""
        engine, view = self._engine, history.shop
        currency = CURRENCIES[view.currency]
        now = datetime.datetime.fromtimestamp(at_ms // SECOND_MS, _ZONE)
        number = engine.seed.draw(f"unpredictable {history.id}", _answered(history))
        return Purchase(
            view.amount_minor,
            currency=int(currency.numeric),
            exponent=currency.exponent,
            date=now.date(),
            time=now.time(),
            unpredictable=number.to_bytes(16)[:4],
        )

    # What the reader's outcome means for the order. -------------------------------------------

    def _decided(self, tap: _Payment, result: Result) -> tuple[Outcome, Result]:
        at_ms = self._engine.now_ms()
        if result.status is Status.ONLINE_REQUEST:
            return self._online(tap, result, at_ms)
        if result.status is Status.APPROVED:
            record, said = result.data_record or {}, decided(result)
            clearing.approve(
                self._engine, tap.draft, tap.history, tap.held, tap.operation, record, said, at_ms
            )
            return Outcome(OutcomeKind.APPROVED, code="Y1", text="approved offline by the card"), result
        if result.status is Status.DECLINED:
            outcome = Outcome.declined(Reason.CARD_DECLINED, result.why, "Z1")
            return self._decline(tap, outcome, result, at_ms), result
        return Outcome(OutcomeKind.TRY_AGAIN, text=result.why), result

    def _decline(self, tap: _Payment, outcome: Outcome, result: Result, at_ms: int) -> Outcome:
        """The terminal itself declines, and lets the operator know; what it knows cannot be lost."""
        history = tap.history
        acquirer.decline(tap.draft, history, tap.held, tap.operation, outcome, at_ms, decided(result))
        said = {"position": history.book_version, "via": "its own terminal"}
        tap.draft.at_shop(history, Event("reached", at_ms, data=said))
        return outcome

    def _online(self, tap: _Payment, result: Result, at_ms: int) -> tuple[Outcome, Result]:
        engine, draft, history = self._engine, tap.draft, tap.history
        if not engine.network.terminal:
            return self._decline(tap, NO_TERMINAL, result, at_ms), result
        typed = self._typed(tap) if result.cvm is Cvm.ONLINE_PIN else None
        if typed == "":
            return self._decline(tap, _SAID_NO, result, at_ms), result
        submitted = {"channel": CHANNEL, "card": tap.held.id, "answer_ms": at_ms + ANSWER_MS}
        submitted["tap"] = decided(result)
        minor = history.shop.amount_minor
        draft.at_shop(history, Event("submitted", at_ms, tap.operation, minor, data=submitted))
        request = self._request(tap, result, typed)
        fault = engine.fault("request", Verb.AUTHORIZE, history)
        answer: Answer | None = None
        if fault is None and engine.network.issuer:
            answer = self._asked(tap, request)
        elif fault is not None and fault.action == "delay":
            message = acquirer.postpone(engine, tap.held, request)
            engine.delay(draft, history, at_ms, fault, message, tap.operation, minor)
        if answer is None or answer.outcome.kind is OutcomeKind.UNKNOWN:
            return self._unanswered(tap, at_ms), result
        if answer.outcome == _SAID_NO:
            return self._decline(tap, _SAID_NO, result, at_ms), result
        outcome = acquirer.book(engine, draft, history, tap.held, tap.operation, answer, at_ms)
        if not engine.tell(draft, history, at_ms, Verb.AUTHORIZE, "answer"):
            return self._unanswered(tap, at_ms), result
        if answer.outcome.approved and not outcome.approved:
            answer = Answer(outcome)  # the operator has the last word
        response = IssuerResponse(answer.arc, answer.data_91, answer.scripts)
        return outcome, dialogue.finish(tap.machine, tap.way, result, response)

    def _unanswered(self, tap: _Payment, at_ms: int) -> Outcome:
        tap.draft.at_shop(tap.history, Event("timed_out", at_ms, tap.operation))
        return Outcome(OutcomeKind.UNKNOWN, text="no answer from the issuer; query, or reverse")

    def _request(self, tap: _Payment, result: Result, typed: str | None) -> AuthorizationRequest:
        view = tap.history.shop
        return AuthorizationRequest(
            result.data_record or {},
            view.amount_minor,
            view.currency,
            self._engine.now_ms(),
            None if typed is None else self._pin_block(tap, typed),
            upgraded=self._upgraded,
            operation=tap.operation,
            merchant=self._shop,
        )

    def _asked(self, tap: _Payment, request: AuthorizationRequest) -> Answer:
        """The issuer's answer; where it asks for the PIN, the one after that."""
        refusal = acquirer.refusal(self._engine, tap.history, tap.held)
        if refusal is not None:
            return Answer(refusal)
        answer = self._answer(tap, request)
        if answer.asks_pin and request.online_pin is None:
            typed = self._typed(tap)
            if typed == "":
                return Answer(_SAID_NO)
            answer = self._answer(tap, replace(request, online_pin=self._pin_block(tap, typed)))
        return answer

    def _answer(self, tap: _Payment, request: AuthorizationRequest) -> Answer:
        answer = acquirer.ask(self._engine, tap.draft, request, self._issuer)
        tap.trace.extend(Exchange("issuer", step, words) for step, words in answer.trace)
        return answer

    def _pin_block(self, tap: _Payment, typed: str) -> bytes:
        return encrypt_ecb(self._engine.cards.pin_key(), format_0(typed, tap.held.card.made.pan))

    def _typed(self, tap: _Payment) -> str:
        """The PIN that is typed: what was given, else the person's own where the sandbox knows it."""
        if tap.pin is not None:
            return tap.pin
        payer = self._engine.payer(tap.held.person)
        if payer is None or not payer.knows(DEFAULT_PIN):
            raise UsageError(
                "the terminal asks for the PIN, which only its owner knows: tap(order, card, pin=...)"
            )
        return DEFAULT_PIN


def _answered(history: History) -> int:
    """How often the order's payment has been answered, or may have been."""
    known = {**history.shop.operations, **history.book.operations}
    return sum(operation.verb is Verb.AUTHORIZE for operation in known.values())


def _operation(history: History) -> str:
    return f"{history.id}.{len(history.book.operations.keys() | history.shop.operations.keys()) + 1}"


def _told(tap: _Payment, outcome: Outcome, result: Result | None, count: int) -> Tap:
    machine, elapsed_ms = tap.machine, round(tap.way.elapsed_us / _US_A_MS)
    return Tap(outcome, result, tuple(tap.trace), elapsed_ms, machine.reader, machine.purchase, count)


def _why_again(machine: EntryPoint, count: int) -> str:
    if count > 1:
        return "present one card only"
    shown = (
        machine.shown[-1].message.name.lower().replace("_", " ") if machine.shown else "present card again"
    )
    return f"the card left the field; {shown}"
