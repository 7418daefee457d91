"""A person: what the phone in their hand can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paysim.channels import Claim, Presentation, operator
from paysim.channels.operator import Attempt
from paysim.channels.qr import payer_code
from paysim.core.errors import CurrencyMismatch, UsageError
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.money import Money, not_negative, positive
from paysim.core.outcome import APPROVED, Outcome, Reason
from paysim.core.state import State
from paysim.issuer.accounts import Kind, Payer
from paysim.ledger import accounts

from .engine import Draft, Engine
from .network import NO_PHONE
from .order import Order
from .picture import Picture, read_payment

if TYPE_CHECKING:
    from .card import Card

__all__ = ["Person", "Prompt"]


class Prompt:
    """What the phone shows after a scan, or when the wallet asks: confirm, refuse, or type an amount.

    `outcome` is a decline where the code cannot be paid; confirming gives the same answer then.
    """

    def __init__(
        self,
        engine: Engine,
        payer: str,
        claim: Claim,
        text: str,
        *,
        saved: bool = False,
        remote: bool = False,
    ) -> None:
        self._engine = engine
        self._payer = payer
        self._claim = claim
        self._text = text
        self._saved = saved
        self._remote = remote
        self._order = claim.order
        self.outcome: Outcome | None = None

    def __repr__(self) -> str:
        return f"Prompt({self._claim.channel!r}, order={self._order!r}, outcome={self.outcome})"

    @property
    def order(self) -> Order | None:
        """The order in question; for a standing code the newest that was paid, None before."""
        return Order(self._engine, self._order) if self._order else None

    @property
    def money(self) -> Money | None:
        """What is to be paid, None where the payer types it."""
        return self.order.money if self.order and not self.outcome else None

    def confirm(self, *, source: str = "", pin: str | None = None) -> Outcome:
        """Agree to pay from `source` ("" for the wallet), with the right PIN unless another is typed.

        Returns the outcome: approved, or declined with the reason.
        """
        if self._claim.stand:
            raise UsageError("a standing code asks for an amount: use .pay(money)")
        return self._engine.run(lambda: self._confirm(source, pin))

    def _confirm(self, source: str, pin: str | None) -> Outcome:
        engine = self._engine
        if self.outcome is not None:
            return self.outcome
        history, at_ms = engine.history(self._order), engine.now_ms()
        book = history.book
        if not self._claim.code:
            desk = engine.desk(self._claim.channel)
            refusal = desk.check(history, self._claim, self._text, self._payer, at_ms)
            if refusal is not None:
                return _note(engine, history, refusal, at_ms)
        attempt = self._attempt(history, source, pin)
        return _act(engine, history, operator.pay(book, attempt, engine, at_ms), at_ms)

    def submit(self, history: History, at_ms: int) -> None:
        """Tell the operator that the payer is looking at the order."""
        attempt = self._attempt(history, "", None)
        _act(self._engine, history, operator.submit(history.book, attempt, at_ms), at_ms)

    def _attempt(self, history: History, source: str, pin: str | None) -> Attempt:
        payer = _known(self._engine, self._payer)
        book = history.book
        operation = book.payment if book.state is State.PENDING else ""
        if not operation:
            operation = f"{history.id}.{len(book.operations.keys() | history.shop.operations.keys()) + 1}"
        channel = self._engine.channels.channel(self._claim.channel)
        return Attempt(
            operation,
            payer,
            payer.source(source),
            pin is None or payer.knows(pin),
            single_use=bool(self._claim.stand) or channel.capabilities.single_use,
            static_code=bool(self._claim.stand) or self._saved,
            remote=self._remote,
        )

    def refuse(self) -> Outcome:
        """Say no. Returns the decline that the operator notes."""
        return self._engine.run(self._refuse)

    def _refuse(self) -> Outcome:
        engine = self._engine
        if self.outcome is not None or not self._order:
            return self.outcome or Outcome.declined(Reason.REFUSED_BY_PAYER, "the payer put the phone away")
        history, at_ms = engine.history(self._order), engine.now_ms()
        events = operator.refuse(history.book, self._attempt(history, "", None), at_ms)
        return _act(engine, history, events, at_ms)

    def pay(self, money: Money, *, source: str = "", pin: str | None = None) -> Outcome:
        """Pay `money` to a standing code: an order of its own (`.order`). Returns the outcome."""
        if not self._claim.stand:
            raise UsageError("this code names its amount: use .confirm()")
        positive(money, "a payment")
        return self._engine.run(lambda: self._pay(money, source, pin))

    def _pay(self, money: Money, source: str, pin: str | None) -> Outcome:
        engine = self._engine
        if self.outcome is not None:
            return self.outcome
        currency = _stands(engine, self._claim)[0]["currency"]
        if money.currency != currency:
            raise CurrencyMismatch(f"the code is in {currency}, not in {money.currency}")
        id, at_ms = engine.identity("order"), engine.now_ms()
        history = engine.keep(History(id))
        draft = engine.draft()
        data = {"currency": money.currency, "shop": self._claim.shop, "stand": self._claim.stand}
        draft.at_operator(history, Event("created", at_ms, amount_minor=money.minor, data=data))
        attempt = self._attempt(history, source, pin)
        for event in operator.submit(history.book, attempt, at_ms, {"channel": self._claim.channel}):
            draft.at_operator(history, event)
        outcome = _act(engine, history, operator.pay(history.book, attempt, engine, at_ms), at_ms, draft)
        self._order = id
        return outcome


class Person:
    """A person with a phone and something to pay with."""

    def __init__(self, engine: Engine, id: str) -> None:
        self._engine = engine
        self.id = id

    def __repr__(self) -> str:
        return f"Person({self.id!r})"

    @property
    def name(self) -> str:
        """The person's name."""
        return self._known().name

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of what they can pay with; the first is the wallet."""
        return tuple(source.name for source in self._known().sources)

    def _known(self) -> Payer:
        return self._engine.run(lambda: _known(self._engine, self.id))

    def balance(self, source: str = "", currency: str = "CNY") -> Money:
        """What is available in a source ("" for the wallet); for a credit card what is left of its line."""
        return Money(currency, self._sum(source, currency, "available"))

    def held(self, source: str = "", currency: str = "CNY") -> Money:
        """What is authorized from a source and not yet captured."""
        return Money(currency, self._sum(source, currency, "held"))

    def _sum(self, source: str, currency: str, part: str) -> int:
        found = self._known().source(source)
        if found is None:
            raise UsageError(f"{self.id} has no source {source!r}; there are {', '.join(self.sources)}")
        name = accounts.tally_name(f"{found.stem}/{part}", currency)
        return self._engine.run(lambda: self._engine.tally(name))

    def fund(self, money: Money, source: str = "") -> None:
        """Put money from outside into a source ("" for the wallet)."""
        positive(money, "money that comes in")

        def work() -> None:
            found = _known(self._engine, self.id).source(source)
            if found is None:
                raise UsageError(f"{self.id} has no source {source!r}; open it with .card(...)")
            event = Event(
                "funded",
                self._engine.now_ms(),
                amount_minor=money.minor,
                transfers=accounts.fund(found.stem, money.currency, money.minor),
            )
            self._append(event)

        self._engine.run(work)

    def bank_account(self, name: str, *, balance: Money | None = None, credit: bool = False) -> None:
        """Bind a bank account, or with `credit` a credit card whose line is `balance`."""
        if not name or "/" in name or ":" in name or len(name) > 32:
            raise UsageError(f"an account's name is 1 to 32 characters without / and :, not {name!r}")
        if balance is not None:
            not_negative(balance, "a balance")

        def work() -> None:
            if _known(self._engine, self.id).source(name) is not None:
                raise UsageError(f"{self.id} has an account {name!r} already")
            stem, kind = accounts.bank(self.id, name), Kind.CREDIT if credit else Kind.DEBIT
            transfers = accounts.fund(stem, balance.currency, balance.minor) if balance else ()
            data = {"name": name, "kind": kind.value, "stem": stem}
            self._append(Event("account_opened", self._engine.now_ms(), transfers=transfers, data=data))

        self._engine.run(work)

    def _append(self, event: Event) -> None:
        draft = self._engine.draft()
        stream = f"person/{self.id}"
        draft.add(stream, len(self._engine.journal.stream(stream)), event)
        draft.commit()
        self._engine.forget()

    def card(self, profile: str, *, name: str = "", source: str = "", no_pin: bool = True) -> Card:
        """The person's card of this profile, issued at its first mention and paid from `source`.

        `name` tells apart cards of one profile; with `no_pin` False its holder wants the PIN asked for every
        payment that the issuer decides, however small (market rule R06 lets them). Raises UsageError for a
        profile or a source that does not exist, or a name that another card has.
        """
        from .card import Card  # it signs: `import paysim` does not load the signing core

        engine = self._engine
        id = engine.run(
            lambda: engine.cards.issue(_known(engine, self.id), profile, name, source, no_pin=no_pin)
        )
        return Card(engine, id)

    def scan(self, picture: Picture, *, saved: bool = False, remote: bool = False) -> Prompt:
        """Hold the phone before a code: PNG or JPEG bytes, a pillow image, a text, or a Presentation.

        `saved` says that it is a screenshot or a photo of a code, `remote` that payer and payee are apart
        (market rule R05). A code that cannot be paid gives a prompt whose `outcome` is the decline; what is
        no payment at all raises Unsupported, DecodeError or UsageError.
        """
        claim, text = read_payment(self._engine.channels, picture)
        if claim.code:
            raise UsageError("that is a payer's code; the shop scans it: order.authorize(code)")
        prompt = Prompt(self._engine, self.id, claim, text, saved=saved, remote=remote)
        return self._engine.run(lambda: self._scanned(prompt, claim, text))

    def _scanned(self, prompt: Prompt, claim: Claim, text: str) -> Prompt:
        engine = self._engine
        _known(engine, self.id)
        if not engine.network.phone:
            prompt.outcome = NO_PHONE
            return prompt
        if claim.stand:
            prompt.outcome = _check_stand(engine, claim, text)
            return prompt
        history, at_ms = engine.find(claim.order), engine.now_ms()
        if history is None:
            prompt.outcome = Outcome.declined(Reason.NOT_FOUND, "no shop asked for this")
            return prompt
        refusal = engine.desk(claim.channel).check(history, claim, text, self.id, at_ms)
        if refusal is not None:
            prompt.outcome = _note(engine, history, refusal, at_ms)
        else:
            prompt.submit(history, at_ms)
        return prompt

    def payment_code(self) -> Presentation:
        """Show a payment code: it holds a minute and is good for one payment (`.png()`, `.code128_png()`)."""
        return self._engine.run(self._payment_code)

    def _payment_code(self) -> Presentation:
        engine = self._engine
        payer = _known(engine, self.id)
        code = payer_code(engine.identity("code"))
        at_ms = engine.now_ms()
        expires_ms = at_ms + operator.CODE_LIFETIME_MS
        draft = engine.draft()
        draft.add(
            f"code/{code}", 0, Event("issued", at_ms, data={"payer": payer.id, "expires_ms": expires_ms})
        )
        draft.commit()
        return Presentation("qr.payer", code, "", expires_ms)

    def prompts(self) -> tuple[Prompt, ...]:
        """What the wallet asks them now: payments of their codes that want the PIN, oldest first."""
        return self._engine.run(self._prompts)

    def _prompts(self) -> tuple[Prompt, ...]:
        engine = self._engine
        if not engine.network.phone:
            return ()
        asked = [event for event in engine.journal.stream(f"person/{self.id}") if event.kind == "asked"]
        books = [engine.history(event.data["order"]).book for event in asked]
        waiting = [e.data for e, book in zip(asked, books, strict=True) if book.operations[e.operation].open]
        claims = [Claim(data["channel"], order=data["order"], code="asked") for data in waiting]
        return tuple(Prompt(engine, self.id, claim, "") for claim in claims)


def _known(engine: Engine, id: str) -> Payer:
    payer = engine.payer(id)
    if payer is None:
        raise UsageError(f"there is no person {id!r} in this sandbox")
    return payer


def _check_stand(engine: Engine, claim: Claim, text: str) -> Outcome | None:
    issued = _stands(engine, claim)
    if not issued:
        return Outcome.declined(Reason.NOT_FOUND, "no shop has such a code")
    if issued[0]["text"] == text and issued[0]["channel"] == claim.channel:
        return None
    return Outcome.declined(Reason.ALTERED_CODE, "the code is not the one that the shop made")


def _stands(engine: Engine, claim: Claim) -> list[dict[str, Any]]:
    stream = engine.journal.find(f"stand/{claim.shop}/{claim.stand}")
    issued = (event.data for event in engine.journal.stream(stream) if event.kind == "code_issued")
    return [data for data in issued if data["stand"] == claim.stand]


def _note(engine: Engine, history: History, outcome: Outcome, at_ms: int) -> Outcome:
    draft = engine.draft()
    draft.at_operator(history, Event("noted", at_ms, outcome=outcome))
    draft.commit()
    return outcome


def _act(
    engine: Engine, history: History, events: list[Event], at_ms: int, draft: Draft | None = None
) -> Outcome:
    """Write the facts, tell the shop, and return the outcome that they carry."""
    draft = draft or engine.draft()
    for event in events:
        draft.at_operator(history, event)
    engine.tell(draft, history, at_ms)
    draft.commit()
    return events[-1].outcome or APPROVED
