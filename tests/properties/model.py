"""What should happen, in plain ints: the rules of the sandbox's operator, told a second time and shorter.

Amounts are in minor units of CNY, times in Unix ms. The model knows the operator's side alone: what the shop
has learned of it is checked against the book, not predicted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

HOUR = 3_600_000
DAY = 24 * HOUR
MINUTE = 60_000

UNPAID = ("CREATED", "PRESENTED", "PENDING")
FINAL = ("DECLINED", "CLOSED", "VOIDED", "REVERSED")
CEILINGS = {"R02": 500_000, "R03": 100_000, "R04": 50_000}


def day(at: int) -> int:
    """The number of the day in China."""
    return (at + 8 * HOUR) // DAY


@dataclass
class Source:
    """A wallet or a bank account: what is available, what is on hold."""

    available: int
    held: int = 0
    credit: bool = False


@dataclass
class Payer:
    """A person: their sources, the wallet first, whether their phone has a certificate, what goes unasked."""

    name: str
    sources: dict[str, Source]
    certificate: bool = True
    no_pin: int = 100_000
    used: dict[tuple[str, str, int], int] = field(default_factory=dict)
    funded: int = 0

    def __post_init__(self) -> None:
        self.funded = sum(source.available for source in self.sources.values())


@dataclass
class Shop:
    """A shop: takings before and after settlement, and the operator's fee."""

    fee_ppm: int = 0
    refuses_credit: bool = False
    pending: int = 0
    available: int = 0


@dataclass
class Code:
    """A payer's code."""

    payer: Payer
    expires: int
    used: bool = False


@dataclass
class Order:
    """The operator's book of one order; `heard` is when the operator first had a fact of it."""

    id: str
    shop: Shop
    amount: int
    manual: bool
    created: int
    state: str = "CREATED"
    heard: int | None = None
    known: bool = False
    expiry: int | None = None
    hold: int | None = None
    settlement: int | None = None
    settled: bool = False
    single_use: bool = False
    payer: Payer | None = None
    source: Source | None = None
    authorized: int = 0
    captured: int = 0
    refunded: int = 0
    refunds: int = 0
    ops: dict[str, str] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """What is on hold now."""
        return 0 if self.state in FINAL else self.authorized - self.captured

    def timers(self) -> list[tuple[int, str]]:
        """What can still ring."""
        names = {"PRESENTED": ["expiry"], "PENDING": ["expiry"], "AUTHORIZED": ["hold"]}
        names["CAPTURED"] = ["hold", "settlement"]
        found = [(getattr(self, name), name) for name in names.get(self.state, [])]
        return [(due, name) for due, name in found if due is not None]


class World:
    """All of it, and the time."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.orders: dict[str, Order] = {}
        self.shops: list[Shop] = []
        self.payers: list[Payer] = []
        self.fees = 0
        self.flights: list[tuple[int, str, str, Callable[[], object]]] = []

    def fly(self, order: Order, delay_s: int, arrive: Callable[[], object]) -> None:
        """A request that arrives later."""
        name = f"delivery/{len(self.flights):06d}"
        self.flights.append((self.now + delay_s * 1_000, order.id, name, arrive))

    def advance(self, until: int) -> None:
        """Move the clock; what falls due happens in order of time, then of order number, then of name."""
        while True:
            due = [(at, order.id, name) for order in self.orders.values() for at, name in order.timers()]
            due += [flight[:3] for flight in self.flights]
            soonest = min(due, default=None)
            if soonest is None or soonest[0] > until:
                break
            self.now = max(self.now, soonest[0])
            self._ring(*soonest)
        self.now = until

    def _ring(self, at: int, id: str, name: str) -> None:
        order = self.orders[id]
        if name.startswith("delivery"):
            flight = next(flight for flight in self.flights if flight[:3] == (at, id, name))
            self.flights.remove(flight)
            flight[3]()
        elif name == "expiry":
            order.state = "CLOSED"
        elif name == "hold":
            self._lapse(order)
        else:
            self._settle(order)

    def _lapse(self, order: Order) -> None:
        assert order.source
        order.source.held -= order.held
        order.source.available += order.held
        order.hold = None
        if order.state == "AUTHORIZED":
            order.state = "VOIDED"
        else:
            order.authorized = order.captured
            order.settlement = self._midnight()

    def _settle(self, order: Order) -> None:
        net = order.captured - order.refunded
        fee = (net * order.shop.fee_ppm + 500_000) // 1_000_000
        order.shop.pending -= net
        order.shop.available += net - fee
        self.fees += fee
        order.settled, order.settlement = True, None

    def _midnight(self) -> int:
        return (day(self.now) + 1) * DAY - 8 * HOUR

    # Paying. ----------------------------------------------------------------------------------------------

    def register(self, order: Order) -> None:
        """The operator hears of an order."""
        if not order.known and order.state == "CREATED":
            order.known = True
            order.heard = order.created if order.heard is None else order.heard

    def present(self, order: Order) -> None:
        """A code is shown; it holds two hours."""
        self.register(order)
        order.state = "PENDING" if order.state == "PENDING" else "PRESENTED"
        order.expiry = self.now + 2 * HOUR
        order.single_use = False

    def closed_to_payers(self, order: Order) -> str:
        """Why nobody can pay an order now, "" where somebody can."""
        if order.state in ("AUTHORIZED", "CAPTURED"):
            return "already_paid"
        if order.expiry is not None and self.now >= order.expiry:
            return "expired"
        return "" if order.state in UNPAID else "wrong_state"

    def scan(self, order: Order) -> str:
        """A payer looks at a code: why it cannot be paid, "" where it can."""
        reason = self.closed_to_payers(order)
        if not reason:
            order.state = "PENDING"
        return reason

    def confirm(
        self,
        order: Order,
        payer: Payer,
        source: str,
        pin: bool | None,
        *,
        single_use: bool,
        static: bool = False,
    ) -> str:
        """A payer agrees; `pin` says whether they typed it rightly, None where none was asked for."""
        reason = self.closed_to_payers(order)
        if reason:
            return reason
        reason = self._declined(order, payer, source, pin, static)
        if reason:
            order.state = "DECLINED" if single_use else "PRESENTED"
            return reason
        paid_by = payer.sources[source or "wallet"]
        order.payer, order.source, order.authorized = payer, paid_by, order.amount
        paid_by.available -= order.amount
        if order.manual:
            paid_by.held += order.amount
            order.state, order.hold = "AUTHORIZED", self.now + 7 * DAY
        else:
            order.shop.pending += order.amount
            order.state, order.captured, order.settlement = "CAPTURED", order.amount, self._midnight()
        return ""

    def _declined(self, order: Order, payer: Payer, source: str, pin: bool | None, static: bool) -> str:
        paid_by = payer.sources.get(source or "wallet")
        if paid_by is None:
            return "no_such_account"
        if pin is False:
            return "wrong_pin"
        if paid_by.credit and order.shop.refuses_credit:
            return "credit_refused"
        rule = "R04" if static else "R03" if pin is None else "R01" if payer.certificate else "R02"
        counter = (rule, source or "wallet", day(self.now))
        used = payer.used.get(counter, 0) + order.amount
        if used > CEILINGS.get(rule, used):
            return "limit_exceeded"
        if paid_by.available < order.amount:
            return "insufficient_funds"
        payer.used[counter] = used
        return ""

    def refuse(self, order: Order, *, single_use: bool) -> None:
        """A payer says no."""
        if order.state == "PENDING":
            order.state = "DECLINED" if single_use else "PRESENTED"

    def charge(self, order: Order, code: Code, op: str) -> str:
        """The operator takes a payer's code: why it is refused, "asked" where the payer is asked, or ""."""
        if op in order.ops:
            return order.ops[op]
        order.ops[op] = reason = self._charge(order, code)
        return reason

    def _charge(self, order: Order, code: Code) -> str:
        self.register(order)
        order.heard = self.now if order.heard is None else order.heard
        if order.state not in ("CREATED", "PRESENTED"):
            return "already_paid" if order.state in ("AUTHORIZED", "CAPTURED") else "wrong_state"
        if order.expiry is None:
            order.expiry = self.now + 2 * HOUR
        if code.used or self.now >= code.expires:
            order.state = "DECLINED"
            return "code_used" if code.used else "expired"
        code.used = True
        order.state = "PENDING"
        if order.amount > code.payer.no_pin:
            return "asked"
        return self.confirm(order, code.payer, "", None, single_use=True)

    # Verbs. -------------------------------------------------------------------------------------------------

    def ask(self, order: Order, op: str, verb: str, amount: int, final: bool) -> str:
        """What the operator answers to a verb: "" for done, else why not; asked again, the same."""
        if order.ops.get(op, "merchant_funds") != "merchant_funds":
            return order.ops[op]
        order.ops[op] = reason = getattr(self, f"_{verb}")(order, amount, final)
        order.heard = self.now if order.heard is None else order.heard
        return reason

    def _capture(self, order: Order, amount: int, final: bool) -> str:
        if order.state not in ("AUTHORIZED", "CAPTURED"):
            return "wrong_state"
        if not 0 < amount <= order.held:
            return "over_capture"
        assert order.source
        order.source.held -= amount
        order.shop.pending += amount
        order.captured += amount
        order.state = "CAPTURED"
        if final:
            order.source.held -= order.held
            order.source.available += order.held
            order.authorized = order.captured
        if not order.held:
            order.hold, order.settlement = None, self._midnight()
        return ""

    def _refund(self, order: Order, amount: int, _final: bool) -> str:
        if order.state != "CAPTURED":
            return "wrong_state"
        if not 0 < amount <= order.captured - order.refunded:
            return "over_refund"
        assert order.source
        assert order.heard is not None
        if self.now > order.heard + 365 * DAY or order.refunds >= 50:
            return "too_late"
        if order.settled and order.shop.available < amount:
            return "merchant_funds"
        if order.settled:
            order.shop.available -= amount
        else:
            order.shop.pending -= amount
        order.source.available += amount
        order.refunded += amount
        order.refunds += 1
        return ""

    def _void(self, order: Order, _amount: int, _final: bool) -> str:
        if order.state not in ("AUTHORIZED", "CAPTURED"):
            return "wrong_state"
        if order.settled:
            return "settled"
        return "wrong_state" if order.refunded else self._undo(order, "VOIDED")

    def _reverse(self, order: Order, _amount: int, _final: bool) -> str:
        if order.state in FINAL:
            return "wrong_state"
        if order.settled or order.refunded:
            return "settled"
        if order.heard is not None and self.now > order.heard + 7 * DAY:
            return "too_late"
        return self._undo(order, "REVERSED")

    def _close(self, order: Order, _amount: int, _final: bool) -> str:
        if order.state in ("AUTHORIZED", "CAPTURED"):
            return "already_paid"
        return "wrong_state" if order.state in FINAL else self._undo(order, "CLOSED")

    def _undo(self, order: Order, state: str) -> str:
        if order.source is not None:
            order.source.held -= order.held
            order.source.available += order.held + order.captured
            order.shop.pending -= order.captured
        order.state = state
        return ""
