"""Random refunds by WeChat Pay, by the wire and from inside, against a small model in plain ints.

What is random: the ends that they are to have, how long they take, lost messages, resolutions by hand, clock
jumps over settlement, restarts. After each step the model says where every fen is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from counts import count
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from wechat_counter import REFUNDS, Counter, content, said

from paysim import CNY, Fault, Money, Order, Sandbox, Status, UsageError
from paysim.operators.wechat.merchants import Settings
from paysim.operators.wechat.world import order_key

MOST = 6
HOUR = 3_600_000
DAY = 24 * HOUR
ENDS = {"": "SUCCESS", "abnormal": "ABNORMAL", "closed": "CLOSED"}
STATUS = {
    "PROCESSING": Status.ASKED,
    "SUCCESS": Status.DONE,
    "ABNORMAL": Status.ABNORMAL,
    "CLOSED": Status.REFUSED,
}


@dataclass
class Back:
    """A refund: what it is for, how it stands, and the end that waits for it."""

    fen: int
    state: str
    end: str
    due: int


@dataclass
class Paid:
    """A paid order of a shop outside, or of one inside where `inside` is its handle."""

    number: str
    total: int
    settlement: int
    inside: Order | None
    id: str
    settled: bool = False
    backs: dict[str, Back] = field(default_factory=dict)

    def of(self, *states: str) -> int:
        """The sum of the refunds in these states."""
        return sum(back.fen for back in self.backs.values() if back.state in states)

    @property
    def left(self) -> int:
        return self.total - self.of("PROCESSING", "SUCCESS", "ABNORMAL")


class Refunds(RuleBasedStateMachine):
    """One shop, its orders and their refunds."""

    @initialize()
    def open_shop(self) -> None:
        self.counter = Counter()
        self.orders: list[Paid] = []
        self.pending = self.available = self.fees = 0
        self.numbers = 0
        self.pay(1280, inside=False)
        self.pay(9_999, inside=True)

    @property
    def now(self) -> int:
        return self.counter.wechat.now_ms()

    # What happens. --------------------------------------------------------------------------------

    @rule(total=st.sampled_from([1_280, 84, 83, 9_999]), inside=st.booleans())
    def pay(self, total: int, inside: bool) -> None:
        if len(self.orders) >= MOST:  # a wallet pays so much a day without a PIN
            return
        counter, number = self.counter, f"T-{len(self.orders):06d}"
        midnight = ((self.now + 8 * HOUR) // DAY + 1) * DAY - 8 * HOUR
        if inside:
            order = counter.shop.create(Money("CNY", total))
            assert counter.pay(order.present("qr.wechat").text).result == "ok"
            paid = Paid(number, total, midnight, order, order.id)
        else:
            counter.paid(number=number, amount={"total": total})
            book = counter.wechat.find(order_key(counter.mchid, number))
            assert book is not None
            paid = Paid(number, total, midnight, None, book.id)
        self.orders.append(paid)
        self.pending += total

    @rule(
        pick=st.integers(0, 9),
        part=st.sampled_from(["half", "half", "a fen", "all", "more"]),
        action=st.sampled_from(["abnormal", *ENDS]),
        wait=st.sampled_from([0, 60_000, 2 * DAY]),
        lost=st.sampled_from(["", "", "", "answer", "request"]),
        again=st.sampled_from([False, False, True]),
    )
    def refund(self, pick: int, part: str, action: str, wait: int, lost: str, again: bool) -> None:
        if not self.orders:
            return
        paid = self.orders[-1 - pick % len(self.orders)]
        known = next(reversed(paid.backs.items()), None) if again else None
        parts = {"half": paid.left // 2 or 1, "a fen": 1, "all": paid.left or 1, "more": paid.left + 1}
        fen = known[1].fen if known else parts[part]
        self.numbers += 1
        number = known[0] if known else f"R-{self.numbers}"
        faults = self.counter.sandbox.faults
        if action:
            faults.add(Fault("refund", action))
        self.counter.wechat.settings = Settings(refund_ms=wait)
        refused = known is None and (fen > paid.left or (paid.settled and fen > self.available))
        if paid.inside is not None:
            if lost:
                faults.add(Fault(lost, verb="refund"))
            done = paid.inside.refund(Money("CNY", fen), key=number)
            over = known is not None and known[1].state in ("SUCCESS", "CLOSED")
            if lost and not (over and done.status is STATUS[known[1].state]):  # type: ignore[index]
                assert done.status is Status.UNKNOWN
            refused = refused or lost == "request"
        else:
            amount = {"refund": fen, "total": paid.total, "currency": "CNY"}
            status, code = said(self.counter.refund(refund=number, number=paid.number, amount=amount))
            assert (status == 200) == (not refused), code
        faults.clear()
        if known is None and not refused:
            self._began(paid, number, fen, ENDS[action], wait)

    def _began(self, paid: Paid, number: str, fen: int, end: str, wait: int) -> None:
        paid.backs[number] = back = Back(fen, "PROCESSING", end, self.now + wait)
        self._move(paid, -fen)
        if not wait:
            self._end(paid, back, end)

    def _move(self, paid: Paid, fen: int) -> None:
        if paid.settled:
            self.available += fen
        else:
            self.pending += fen

    def _end(self, paid: Paid, back: Back, end: str) -> None:
        back.state = end
        if end == "CLOSED":
            self._move(paid, back.fen)

    @rule(pick=st.integers(0, 19), end=st.sampled_from(list(ENDS.values())), lost=st.booleans())
    def resolve(self, pick: int, end: str, lost: bool) -> None:
        found = [(paid, *row) for paid in self.orders for row in paid.backs.items()]
        if not found:
            return
        paid, number, back = found[-1 - pick % len(found)]
        faults = self.counter.sandbox.faults
        if lost:
            faults.add(Fault("callback"))
        try:
            self.counter.wechat.refunds.end(self._operation(paid, number), end)
        except UsageError:
            assert back.state in ("SUCCESS", "CLOSED") or back.state == end == "ABNORMAL"
        else:
            assert back.state in ("PROCESSING", "ABNORMAL")
            self._end(paid, back, end)
        faults.clear()

    def _operation(self, paid: Paid, number: str) -> str:
        return f"{paid.id}:{number}" if paid.inside is None else f"{paid.id}:{paid.id}_{number}"

    @rule(seconds=st.sampled_from([1, 60, 3_600, 57_600, 86_400, 200_000]))
    def advance(self, seconds: int) -> None:
        until = self.now + seconds * 1_000
        due = [(back.due, 0, paid, back) for paid in self.orders for back in paid.backs.values()]
        due += [(paid.settlement, 1, paid, None) for paid in self.orders if not paid.settled]
        self.counter.sandbox.advance(seconds=seconds)
        for at, _, paid, back in sorted(due, key=lambda row: row[:2]):
            if at > until:
                continue
            if back is None:
                self._settle(paid)
            elif back.state == "PROCESSING":
                self._end(paid, back, back.end)

    def _settle(self, paid: Paid) -> None:
        net = paid.total - paid.of("PROCESSING", "SUCCESS", "ABNORMAL")
        fee = (net * 6_000 + 500_000) // 1_000_000
        paid.settled = True
        self.pending -= net
        self.available += net - fee
        self.fees += fee

    @rule()
    def restart(self) -> None:
        """Everything is folded anew from the journal."""
        old = self.counter
        old.sandbox.verify()
        self.counter = Counter(sandbox=Sandbox(seed=7, store=old.sandbox.journal))
        for paid in self.orders:
            if paid.inside is not None:
                paid.inside = self.counter.sandbox.order(paid.id)

    # What must always hold. -----------------------------------------------------------------------

    @invariant()
    def every_fen_is_where_the_model_says(self) -> None:
        found = {name: sums.get("CNY", 0) for name, sums in self.counter.sandbox.balances().items()}
        shop = f"merchant/{self.counter.shop.id}"
        expected = {
            f"{shop}/pending": self.pending,
            f"{shop}/available": self.available,
            "fees": self.fees,
            "refund/suspense": sum(paid.of("PROCESSING") for paid in self.orders),
            "refund/abnormal": sum(paid.of("ABNORMAL") for paid in self.orders),
            f"payer/{self.counter.alice}/available": CNY("9000").minor
            - sum(paid.total - paid.of("SUCCESS") for paid in self.orders),
        }
        assert {name: found.get(name, 0) for name in expected} == expected
        assert sum(expected.values()) == CNY("9000").minor

    @invariant()
    def every_refund_is_told_as_it_stands(self) -> None:
        for paid in self.orders[-3:]:
            for number, back in paid.backs.items():
                out = self._operation(paid, number).partition(":")[2]
                told = content(self.counter.send("GET", f"{REFUNDS}/{out}"))
                assert (told["status"], told["amount"]["refund"]) == (back.state, back.fen)

    @invariant()
    def a_query_tells_the_shop_inside(self) -> None:
        """What is over at the operator is over at the shop, and what is open is open."""
        for paid in (one for one in self.orders[-3:] if one.inside is not None):
            assert paid.inside is not None
            paid.inside.query()
            views = {one.id: one.status for one in paid.inside.operations}
            for number, back in paid.backs.items():
                seen = views[self._operation(paid, number)]
                if back.state in ("SUCCESS", "CLOSED"):
                    assert seen is STATUS[back.state]
                else:
                    assert seen in (STATUS[back.state], Status.UNKNOWN)

    def teardown(self) -> None:
        self.counter.sandbox.verify()


Refunds.TestCase.settings = settings(
    max_examples=count(1_000),
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
test_random_refunds = Refunds.TestCase
