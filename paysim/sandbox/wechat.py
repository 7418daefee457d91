"""WeChat Pay in a sandbox: its merchants and people, its wire, its desk, and the payer's acts.

The machine (`operators/wechat`) decides; this looks things up for it and writes the facts that it gives. A
merchant outside comes by the wire (`receive`); a shop inside asks by the same signed requests.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from paysim.channels import Claim, Presented, ShopFacts, operator
from paysim.channels.operator import Ask
from paysim.codec.http import Request
from paysim.core.callback import Callback
from paysim.core.clock import MINUTE_MS, SystemClock
from paysim.core.errors import UsageError
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.operation import Verb
from paysim.core.outcome import Outcome, Reason
from paysim.core.transaction import Transaction
from paysim.crypto.signature import Verifier
from paysim.operators.wechat import notify, numbers, payer, refunds, service
from paysim.operators.wechat.keys import MerchantKeys, PlatformKeys
from paysim.operators.wechat.merchants import PRODUCTS, App, Merchant, Settings
from paysim.operators.wechat.messages import details
from paysim.operators.wechat.numbers import read_shown
from paysim.operators.wechat.signing import authorization
from paysim.operators.wechat.world import Answer, order_key

from .desk import register
from .wechat_keys import WeChatKeys
from .wechat_payer import WeChatPayer
from .wechat_refunds import WeChatRefunds

if TYPE_CHECKING:
    from .engine import Draft, Engine

__all__ = ["FEE_PPM", "WeChatPay"]

FEE_PPM: Final = 6_000
"""A merchant's fee, 0.60 %. Assumed: the usual rate; a shop may have another."""

_HOST: Final = "api.mch.weixin.qq.com"
_NOTIFY_URL: Final = "https://shop.example/notify"
_PATHS: Final = {"qr.wechat": "native", "in_app.wechat": "app"}
_LATE_MS: Final = MINUTE_MS
_SUSPECTS: Final = 32
_MAGIC: Final = {"callback_lost": "lose", "callback_duplicate": "duplicate", "callback_delayed": "delay"}


class WeChatPay:
    """WeChat Pay of one sandbox; `sandbox.wechat`.

    `settings` is how it behaves where sources conflict; put another in its place at any time.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._clock = SystemClock()
        self.settings = Settings()
        self.secrets = WeChatKeys(engine.keys)
        self.payer = WeChatPayer(engine, self)
        self.refunds = WeChatRefunds(engine)
        self._merchants: dict[str, Merchant] = {}
        self._people: dict[str, str] = {}
        self._door: tuple[str, Transaction] | None = None
        self._listener: Callable[[str, int], None] | None = None

    # Merchants and people. --------------------------------------------------------------------

    def onboard(
        self,
        shop: ShopFacts,
        *,
        products: Sequence[str] = tuple(PRODUCTS),
        apps: Sequence[App] = (),
        **rest: Any,
    ) -> Merchant:
        """The merchant that takes WeChat Pay for a shop, onboarded at its first mention.

        `apps` are its app ids, one service account of its own unless given; `rest` as in `Merchant`. Raises
        UsageError for what WeChat Pay would not onboard.
        """

        def work() -> Merchant:
            known = self.merchant_of(shop.id)
            if known is not None:
                return known
            draft = self._engine.draft()
            merchant = self._onboard(draft, shop, products, apps, rest)
            draft.commit()
            return merchant

        return self._engine.run(work)

    def _onboard(
        self,
        draft: Draft,
        shop: ShopFacts,
        products: Sequence[str] = tuple(PRODUCTS),
        apps: Sequence[App] = (),
        rest: Mapping[str, Any] | None = None,
    ) -> Merchant:
        engine, position = self._engine, self._engine.journal.position + 1
        mchid = "19" + engine.seed.digits("mchid", position, 8)
        ours = tuple(apps) or (App(f"wx{engine.seed.draw('appid', position) % 16**16:016x}"),)
        merchant = Merchant(mchid, shop.id, shop.name, ours, tuple(products), **(rest or {}))
        event = Event("onboarded", engine.now_ms(), data=msgspec.to_builtins(merchant))
        draft.add(f"wechat/{mchid}", 0, event, f"wechat/shop/{shop.id}")
        self._merchants[mchid] = merchant
        return merchant

    def change(self, merchant: Merchant) -> None:
        """Write down what a merchant is from now on: its products, its apps, its key kind."""

        def work() -> None:
            stream = f"wechat/{merchant.mchid}"
            version = len(self._engine.journal.stream(stream))
            if not version:
                raise UsageError(f"there is no merchant {merchant.mchid} in this sandbox")
            draft = self._engine.draft()
            event = Event("changed", self._engine.now_ms(), data=msgspec.to_builtins(merchant))
            draft.add(stream, version, event)
            draft.commit()
            self._merchants[merchant.mchid] = merchant

        self._engine.run(work)

    def merchant_of(self, shop: str) -> Merchant | None:
        """The merchant of a shop, None where it takes no WeChat Pay yet."""
        stream = self._engine.journal.find(f"wechat/shop/{shop}")
        return self.merchant(stream.partition("/")[2]) if stream else None

    def merchants(self) -> list[Merchant]:
        """Every merchant, in order of mchid."""
        found = (self.merchant(name.partition("/")[2]) for name, _ in self._engine.journal.streams("wechat/"))
        return [merchant for merchant in found if merchant is not None]

    def people(self) -> list[dict[str, Any]]:
        """Every person, with an openid for each app: id, name, openids, balance in fen."""
        appids = [app.appid for merchant in self.merchants() for app in merchant.apps]
        found = []
        for name, events in self._engine.journal.streams("person/"):
            id = name.partition("/")[2]
            openids = {appid: self.openid(appid, id) for appid in appids}
            balance = self._engine.tally(f"payer/{id}/available:CNY")
            person = events[0].data["name"]
            found.append({"id": id, "name": person, "openids": openids, "balance": balance})
        return found

    def first_person(self) -> str:
        """Who pays where nobody is named, "" where there is nobody."""
        return min(
            ((events[0].at_ms, name) for name, events in self._engine.journal.streams("person/")),
            default=(0, ""),
        )[1].partition("/")[2]

    # The machine's world. ---------------------------------------------------------------------

    def now_ms(self) -> int:
        """The sandbox's time."""
        return self._engine.now_ms()

    def wall_ms(self) -> int:
        """The machine's time, for signatures."""
        return self._clock.now_ms()

    def merchant(self, mchid: str) -> Merchant | None:
        """A merchant, None where there is none."""
        found = self._merchants.get(mchid)
        if found is None:
            events = self._engine.journal.stream(f"wechat/{mchid}")
            if events:
                found = self._merchants[mchid] = msgspec.convert(events[-1].data, Merchant)
        return found

    def keys(self, mchid: str) -> MerchantKeys | None:
        """A merchant's keys, None where there is no such merchant."""
        return self.secrets.merchant(mchid) if self.merchant(mchid) is not None else None

    def platform(self, mchid: str) -> PlatformKeys:
        """The platform's keys for a merchant: one that has the public key alone downloads no certificate."""
        merchant = self.merchant(mchid)
        alone = merchant is not None and merchant.key_kind == "public_key"
        return self.secrets.platform(issues_certificates=not alone)

    def others(self) -> Mapping[str, Verifier]:
        """Keys that a client may have taken by mistake."""
        return _Suspects(self)

    def find(self, key: str) -> Transaction | None:
        """The book of the order that has this key."""
        if self._door is not None and self._door[0] == key:
            return self._door[1]
        stream = self._engine.journal.find(key)
        return self.book(stream.partition("/")[2]) if stream else None

    def book(self, order: str) -> Transaction | None:
        """The book of an order."""
        history = self._engine.find(order) if order else None
        return history.book if history is not None else None

    def books(self, mchid: str) -> Iterator[Transaction]:
        """The books of a merchant's orders."""
        for name, events in self._engine.journal.streams("order/"):
            if any(e.kind == "presented" and e.data.get("wechat", {}).get("mchid") == mchid for e in events):
                yield History(name.partition("/")[2], events).book

    def tally(self, name: str) -> int:
        """A balance."""
        return self._engine.tally(name)

    def fee_ppm(self, shop: str) -> int:
        """A shop's fee, in millionths."""
        return self._engine.shop_facts(shop).fee_ppm

    def owner(self, appid: str, openid: str) -> str:
        """The person whose openid this is; a magic one is the first person's."""
        if openid in payer.MAGIC_OPENIDS:
            return self.first_person()
        key = f"{appid}/{openid}"
        if key not in self._people:
            for name, _ in self._engine.journal.streams("person/"):
                id = name.partition("/")[2]
                self._people[f"{appid}/{self.openid(appid, id)}"] = id
        return self._people.get(key, "")

    def openid(self, appid: str, person: str) -> str:
        """What an app knows of a person."""
        return numbers.openid(person, appid, self._engine.seed.value)

    def refund_end(self, book: Transaction, minor: int) -> str:
        """How a refund that is asked for now shall end."""
        return self.refunds.chosen(book, minor)

    def source_kind(self, person: str, stem: str) -> str:
        """What was paid from: wallet, debit or credit."""
        known = self._engine.payer(person)
        found = (source.kind.value for source in known.sources if source.stem == stem) if known else iter(())
        return next(found, "wallet")

    def identity(self) -> str:
        """Sixteen digits of a new order or refund."""
        return self._engine.identity("wechat")

    def digits(self, label: str, count: int) -> str:
        """Seeded digits that differ from record to record."""
        return self._engine.seed.digits(label, self._engine.journal.position + 1, count)

    def nonce(self) -> str:
        """32 random hex digits."""
        return secrets.token_hex(16)

    def token_secret(self) -> bytes:
        """What download links are signed with."""
        return self.secrets.token_secret()

    # The wire. --------------------------------------------------------------------------------

    def receive(self, request: Request) -> Answer:
        """The answer to a request that came by the wire; its facts are written before it is given.

        Raises StoreError where they could not be written: nothing was done then.
        """
        return self._engine.run(lambda: self._receive(request))

    def _receive(self, request: Request) -> Answer:
        answer = service.respond(request, self)
        if answer.facts:
            engine = self._engine
            history = engine.find(answer.order) or engine.keep(History(answer.order))
            draft = engine.draft()
            self._write(draft, history, answer)
            engine.tell(draft, history, engine.now_ms())
            draft.commit()
        return answer

    def _write(self, draft: Draft, history: History, answer: Answer) -> None:
        for fact in answer.facts:
            draft.at_operator(history, fact.event, fact.key)

    # The desk: shops inside the sandbox. ------------------------------------------------------

    def operation(self, history: History, key: str) -> str:
        """An operation's id; behind the colon stands the refund number that WeChat Pay is told."""
        known = history.book.operations.keys() | history.shop.operations.keys()
        clean = key.isascii() and key.replace("_", "").replace("-", "").isalnum() and len(key) <= 40
        part = key if clean else key.encode().hex()[:40]
        return refunds.operation_of(history.id, f"{history.id}_{part or len(known) + 1}")

    def present(self, draft: Draft, history: History, channel: str, at_ms: int) -> Presented:
        """A prepay request of the shop's merchant, signed with its key."""
        engine = self._engine
        register(draft, history)
        shop = engine.shop_facts(history.book.shop)
        merchant = self.merchant_of(shop.id) or self._onboard(draft, shop)
        number = self._number(merchant, history)
        body = {
            "appid": merchant.apps[0].appid,
            "mchid": merchant.mchid,
            "description": shop.name,
            "out_trade_no": number,
            "notify_url": _NOTIFY_URL,
            "amount": {"total": history.book.amount_minor, "currency": history.book.currency},
        }
        self._door = (order_key(merchant.mchid, number), history.book)
        answer = self._ask(merchant, f"/v3/pay/transactions/{_PATHS[channel]}", body)
        if answer.code:
            raise UsageError(f"WeChat Pay does not take the order: {answer.why}")
        self._write(draft, history, answer)
        shown = answer.facts[-1].event.data
        return Presented(shown["text"], shown["valid_ms"] - at_ms)

    def _number(self, merchant: Merchant, history: History) -> str:
        """The order's out_trade_no: the shop's reference where it can be one, else the order's id."""
        if history.book.presentation is not None:
            return str(details(history.book)["out_trade_no"])
        reference = history.book.reference
        fits = 6 <= len(reference) <= 32 and reference.isascii() and reference.replace("-", "").isalnum()
        taken = self._engine.journal.find(order_key(merchant.mchid, reference)) if fits else "-"
        return reference if not taken else history.id

    def _ask(self, merchant: Merchant, target: str, body: Mapping[str, Any]) -> Answer:
        """What the machine answers to a request that is signed and sent inside the sandbox."""
        raw, now_s = msgspec.json.encode(body), self.wall_ms() // 1000
        signed = authorization(
            self.secrets.merchant(merchant.mchid), "POST", target, raw, self.nonce(), now_s
        )
        headers = {
            "host": _HOST,
            "authorization": signed,
            "accept": "application/json",
            "accept-language": "en",
            "user-agent": "paysim",
            "content-type": "application/json",
        }
        try:
            return service.respond(Request("POST", target, headers, raw), self)
        finally:
            self._door = None

    def check(self, history: History, claim: Claim, text: str, payer_id: str, at_ms: int) -> Outcome | None:  # noqa: ARG002
        """Why a payer cannot pay what they were shown."""
        shown = read_shown(text)
        if shown is None:
            shown = numbers.Shown("prepay_id", history.id, text, text)
        return payer.check(history.book, shown, payer_id, self)

    def ask(self, draft: Draft, history: History, ask: Ask) -> Outcome | None:
        """A refund or a close, as the shop's merchant asks for it."""
        book = history.book
        if book.presentation is None:
            return Outcome.declined(Reason.NOT_FOUND, "WeChat Pay does not know the order")
        kept = details(book)
        merchant = self.merchant(kept["mchid"])
        if merchant is None:
            raise UsageError(f"there is no merchant {kept['mchid']} in this sandbox")
        number = kept["out_trade_no"]
        if ask.verb is Verb.CLOSE:
            target, body = f"/v3/pay/transactions/out-trade-no/{number}/close", {"mchid": merchant.mchid}
            answer = self._ask(merchant, target, body)
        else:
            answer = self._ask(merchant, "/v3/refund/domestic/refunds", _refund(book, number, ask))
            if not (answer.code or answer.facts):
                self.refunds.again(draft, history, ask.operation, ask.at_ms)
        for fact in answer.facts:
            event = msgspec.structs.replace(fact.event, operation=ask.operation)
            draft.at_operator(history, event, fact.key)
        if answer.code == "PARAM_ERROR" or not (
            answer.code or answer.facts or ask.operation in book.operations
        ):
            return book.refusal(ask.verb, ask.amount_minor) or answer.outcome  # a nothing, or a second close
        return answer.outcome

    def ring(self, draft: Draft, history: History, timer: str, at_ms: int) -> None:
        """Expiry, settlement, a refund that is through, a payment that was to come."""
        book = history.book
        if timer.startswith("refund/"):
            self.refunds.ring(draft, history, timer.partition("/")[2], at_ms)
        elif timer == "payment":
            self.payer.ring(draft, history, at_ms)
        else:
            for event in operator.ring(book, timer, self._engine, at_ms):
                draft.at_operator(history, event)

    # Callbacks. -------------------------------------------------------------------------------

    def owe(self, draft: Draft, history: History, at_ms: int) -> None:
        """Put the callbacks on their way that the draft's facts give rise to."""
        book = history.book
        news = draft.news(history)
        first = len(book.events) - len(news)
        for index, event in enumerate(news):
            for one in notify.owed(book, [event]):
                if one.url:
                    self._owe(draft, book, one, first + index + 1, at_ms)

    def _owe(self, draft: Draft, book: Transaction, one: notify.Owed, position: int, at_ms: int) -> None:
        kept = details(book)
        merchant, keys = self.merchant(kept["mchid"]), self.keys(kept["mchid"])
        if merchant is None or keys is None or not keys.api_v3_key:
            return
        id = f"EV-{book.id}{position:04d}"
        draw = int(self.digits(f"switch {id}", 6)) / 1_000_000
        data: dict[str, Any] = {
            "order": book.id,
            "position": position,
            "url": one.url,
            "event_type": one.event_type,
            "operation": one.operation,
            "mchid": merchant.mchid,
            "signed_by": notify.signing_kind(one.kind, merchant, at_ms, draw),
            "due_ms": at_ms,
        }
        forced = _MAGIC.get(payer.magic(book), "") if one.event_type == "TRANSACTION.SUCCESS" else ""
        if forced:
            data["fault"] = forced
        if forced == "delay":
            data["due_ms"] = at_ms + _LATE_MS
        draft.owe(f"callback/{id}", (None, data["due_ms"]), Event("owed", at_ms, data=data), 0)
        if self._listener is not None:
            self._listener(id, data["due_ms"])

    def callback(self, id: str) -> Callback:
        """A callback with what came of it; it has no events where none was written."""
        return self._engine.run(lambda: Callback(id, self._engine.journal.stream(f"callback/{id}")))

    def callbacks(self) -> list[Callback]:
        """Every callback, the oldest first."""

        def work() -> list[Callback]:
            streams = self._engine.journal.streams("callback/")
            found = [Callback(name.partition("/")[2], events) for name, events in streams]
            return sorted(found, key=lambda one: (one.events[0].at_ms, one.id))

        return self._engine.run(work)

    def listen(self, listener: Callable[[str, int], None] | None) -> None:
        """Tell `listener` the id and time (Unix ms) of each callback from now on, before it is written."""
        self._listener = listener

    def record(self, id: str, kind: str, due_ms: int | None, data: Mapping[str, Any]) -> None:
        """Write down what came of a callback, and when it goes out next."""
        engine = self._engine

        def work() -> None:
            stream = f"callback/{id}"
            events = engine.journal.stream(stream)
            kept = {**data, **({} if due_ms is None else {"due_ms": due_ms})}
            draft = engine.draft()
            event = Event(kind, engine.now_ms(), data=kept)
            draft.owe(stream, (events[-1].data.get("due_ms"), due_ms), event, len(events))
            draft.commit()

        engine.run(work)

    def forget(self) -> None:
        """Drop what was loaded."""
        self._merchants.clear()
        self._people.clear()
        self._door = None


class _Suspects(Mapping[str, Verifier]):
    """Other merchants' keys and the platform's, loaded when a wrong signature is to be explained."""

    def __init__(self, wechat: WeChatPay) -> None:
        self._wechat = wechat

    def _all(self) -> Mapping[str, Verifier]:
        mchids = [merchant.mchid for merchant in self._wechat.merchants()[-_SUSPECTS:]]
        return self._wechat.secrets.others(mchids)

    def __getitem__(self, name: str) -> Verifier:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def items(self) -> Any:
        """All at once: loading them takes its time."""
        return self._all().items()


def _refund(book: Transaction, number: str, ask: Ask) -> dict[str, Any]:
    return {
        "out_trade_no": number,
        "out_refund_no": ask.operation.partition(":")[2],
        "amount": {"refund": ask.amount_minor, "total": book.amount_minor, "currency": book.currency},
    }
