"""A shop: it creates orders and has a stand on its counter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from paysim.channels import Presentation, PresentRequest, ShopFacts
from paysim.core.errors import Unsupported, UsageError
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.money import Money, positive
from paysim.core.operation import Verb
from paysim.ledger import accounts

from .engine import Engine
from .order import Order

if TYPE_CHECKING:
    from paysim.drivers.dialogue import CardLink
    from paysim.drivers.driver import Driver, Field
    from paysim.issuer.messages import Issuer

    from .terminal import Terminal

__all__ = ["Goods", "Shop"]

_REFERENCE_AT_MOST = 64
_CAPTURE_MODES = ("auto", "manual")


class Goods(msgspec.Struct, frozen=True):
    """A line of goods: name, unit price, and how many."""

    name: str
    price: Money
    quantity: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.price, Money):
            raise UsageError(f"a price is Money, like CNY('6.40'), not {self.price!r}")
        if not self.name or not self.name.isprintable() or self.quantity < 1 or self.price.minor < 0:
            raise UsageError(
                "a line of goods has a printable name, at least one piece, and no negative price"
            )


class Shop:
    """A shop of the sandbox."""

    def __init__(self, engine: Engine, id: str) -> None:
        self._engine = engine
        self.id = id

    def __repr__(self) -> str:
        return f"Shop({self.id!r})"

    @property
    def facts(self) -> ShopFacts:
        """What the operator knows of it."""
        return self._engine.run(lambda: self._engine.shop_facts(self.id))

    @property
    def name(self) -> str:
        """The shop's name."""
        return self.facts.name

    def create(
        self,
        money: Money | None = None,
        *,
        reference: str = "",
        goods: Sequence[Goods] = (),
        capture: str = "auto",
    ) -> Order:
        """A new order for `money`, or for the sum of its `goods`.

        The same reference with the same content gives the same order again; with another content it raises
        UsageError. `capture="manual"` ends AUTHORIZED until `order.capture`.
        """
        money = _checked(money, goods, reference, capture)
        return self._engine.run(lambda: self._create(money, reference, goods, capture))

    def _create(self, money: Money, reference: str, goods: Sequence[Goods], capture: str) -> Order:
        engine = self._engine
        id = engine.identity("order")
        data: dict[str, Any] = {"currency": money.currency, "shop": self.id, "reference": reference or id}
        if goods:
            data["goods"] = [
                {"name": line.name, "quantity": line.quantity, "price_minor": line.price.minor}
                for line in goods
            ]
        if capture != "auto":
            data["capture"] = capture
        if reference and (known := engine.journal.find(f"reference/{self.id}/{reference}")):
            return self._again(known, money, data)
        engine.shop_facts(self.id)
        history = engine.keep(History(id))
        draft = engine.draft()
        event = Event("created", engine.now_ms(), amount_minor=money.minor, data=data)
        draft.at_shop(history, event, f"reference/{self.id}/{reference or id}")
        draft.commit()
        return Order(engine, id)

    def _again(self, stream: str, money: Money, data: dict[str, Any]) -> Order:
        id = stream.partition("/")[2]
        created = self._engine.history(id).shop.created
        if created is None or created.amount_minor != money.minor or created.data != data:
            raise UsageError(f"the reference {data['reference']!r} belongs to another order; give a new one")
        return Order(self._engine, id)

    def static_code(self, currency: str = "CNY", *, channel: str = "qr.static") -> Presentation:
        """A new standing code: many people pay it, each payment is an order of its own.

        Raises Unsupported where the channel has no standing codes.
        """
        return self._engine.run(lambda: self._static_code(currency, channel))

    def _static_code(self, currency: str, name: str) -> Presentation:
        engine = self._engine
        channel = engine.channels.channel(name)
        if not channel.capabilities.standing or Verb.PRESENT not in channel.capabilities.verbs:
            raise Unsupported(f"{name} has no standing codes; create an order and present it")
        stand = engine.seed.digits("stand", engine.journal.position + 1, 6)
        at_ms, facts = engine.now_ms(), engine.shop_facts(self.id)
        shown = channel.present(PresentRequest(facts, "", Money(currency, 0), at_ms, stand))
        stream = f"merchant/{self.id}"
        draft = engine.draft()
        data = {"stand": stand, "channel": name, "currency": currency, "text": shown.text}
        issued = Event("code_issued", at_ms, data=data)
        draft.add(stream, len(engine.journal.stream(stream)), issued, f"stand/{self.id}/{stand}")
        draft.commit()
        return Presentation(channel.name, shown.text)

    def terminal(
        self,
        driver: str | Driver | Field | Callable[[CardLink], CardLink] = "loopback",
        *,
        upgraded: bool = True,
        issuer: Issuer | None = None,
    ) -> Terminal:
        """A contactless terminal; `driver` is where its cards are, "loopback" for those of the sandbox.

        A function of yours as `driver` stands between reader and card: it is called with the link to the
        card of each tap, and gives the link that the reader talks to. "pcsc", "pcsc:ACS ACR122U", a Driver or
        a Field (`paysim.drivers.driver`) is a real reader; `terminal.tap(order)` waits for a card there then.

        `upgraded` is whether it knows the limits of 2018 for payments without PIN (market rule R06); `issuer`
        answers in the place of the sandbox's own.
        """
        from .terminal import Terminal  # it signs: `import paysim` does not load the signing core

        return Terminal(self._engine, self.id, driver, upgraded=upgraded, issuer=issuer)

    def takings(self, currency: str = "CNY") -> Money:
        """What the operator owes the shop: pending and settled takings together."""
        names = [
            accounts.tally_name(f"{accounts.merchant(self.id)}/{part}", currency)
            for part in ("pending", "available")
        ]
        return Money(currency, self._engine.run(lambda: sum(map(self._engine.tally, names))))


def _checked(money: Money | None, goods: Sequence[Goods], reference: str, capture: str) -> Money:
    if goods:
        if not all(isinstance(line, Goods) for line in goods):
            raise UsageError("goods are lines like Goods('Longjing tea', CNY('6.40'), 2)")
        total = Money(goods[0].price.currency, 0)
        for line in goods:
            total += Money(line.price.currency, line.price.minor * line.quantity)
        if money is not None and money != total:
            raise UsageError(f"the goods cost {total}, the order says {money}")
        money = total
    if money is None:
        raise UsageError("an order needs an amount, like CNY('12.80'), or goods")
    positive(money, "an order's amount")
    if not isinstance(reference, str) or len(reference) > _REFERENCE_AT_MOST or not reference.isprintable():
        raise UsageError(f"a reference has at most {_REFERENCE_AT_MOST} characters, all printable")
    if capture not in _CAPTURE_MODES:
        raise UsageError(f"capture is 'auto' or 'manual', not {capture!r}")
    return money
