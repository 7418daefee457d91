"""Random lives of many orders by the wire, against a small model; money is counted after each step.

What is random: orders of each kind, asked for again and changed; people who pay, fail, or wait; closing,
refunds and their repetition, jumps of the clock, a machine that has forgotten everything. At the end each
day's bills are downloaded and held against the ledger.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from counts import count
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from wechat_counter import NOTIFY, REFUNDS, Counter, content, said

from paysim import CNY
from paysim.core.outcome import Reason
from paysim.operators.wechat.payer import OUTCOMES

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
ZONE = 8 * HOUR
PPM = 6_000
RICH, POOR = 200_000, 3_000
KINDS = ("jsapi", "app", "h5", "native")
LATEST = 80 * DAY
"""Bills are kept for three months."""


@dataclass
class Returned:
    """A refund."""

    fen: int
    asked_ms: int


@dataclass
class Placed:
    """An order in the model; `due` is when money that is under way arrives, and whose it is."""

    number: str
    kind: str
    total: int
    ordered_ms: int
    shown_ms: int
    texts: list[str]
    state: str = "NOTPAY"
    scanner: str = ""
    due: tuple[int, str] | None = None
    paid_ms: int = 0
    settles_ms: int = 0
    settled: bool = False
    refunds: dict[str, Returned] = field(default_factory=dict)

    @property
    def net(self) -> int:
        return self.total - sum(refund.fen for refund in self.refunds.values())

    def expired(self, now_ms: int) -> bool:
        return now_ms >= self.shown_ms + (5 * MINUTE if self.kind == "h5" else 2 * HOUR)


def fee(net: int) -> int:
    return (2 * net * PPM + 1_000_000) // 2_000_000


picks = st.sampled_from([0, 0, 0, 0, 1, 2, 9])
"""Which order, counted from the newest."""
totals = st.sampled_from([1, 83, 84, 100, 1280, 2999, 3001, 20_000])
waits = st.sampled_from([1, 1, 4, 5, 5, 60, 299, 300, 3600, 7199, 7200, 86_400, 3 * 86_400, 7 * 86_400])


class Trade(RuleBasedStateMachine):
    """One merchant, one payer with money and one with little."""

    @initialize(refund_ms=st.sampled_from([0, 1300, 91_700]))
    def begin(self, refund_ms: int) -> None:
        self.counter = Counter()
        self.alice = self.counter.sandbox.person("Anna", balance=CNY(RICH // 100)).id
        self.bob = self.counter.sandbox.person("Bo", balance=CNY(POOR // 100)).id
        self.refund_ms = refund_ms
        wechat = self.counter.wechat
        wechat.settings = msgspec.structs.replace(wechat.settings, refund_ms=self.refund_ms)
        self.began_ms = self.now_ms
        self.orders: list[Placed] = []
        self.money = {self.alice: RICH, self.bob: POOR}
        self.pending = self.available = self.fees = 0
        self.under_way: list[tuple[int, str, int]] = []

    @property
    def now_ms(self) -> int:
        return self.counter.sandbox.clock.now_ms()

    def picked(self, pick: int) -> Placed:
        return self.orders[-1 - pick % len(self.orders)]

    def body(self, order: Placed, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"amount": {"total": order.total}, **more}
        if order.kind == "jsapi":
            found["payer"] = {"openid": self.counter.openid(self.alice)}
        return found

    # What the merchant does. --------------------------------------------------------------------

    @rule(kind=st.sampled_from(KINDS), total=totals)
    def place(self, kind: str, total: int) -> None:
        order = Placed(f"T-{len(self.orders):06}", kind, total, self.now_ms, self.now_ms, [])
        order.texts.append(self.counter.shown(kind, order.number, **self.body(order)))
        self.orders.append(order)

    @precondition(lambda self: self.orders)
    @rule(pick=picks, change=st.sampled_from(["", "", "", "description", "kind"]))
    def place_again(self, pick: int, change: str) -> None:
        order = self.picked(pick)
        kind = KINDS[KINDS.index(order.kind) - 1] if change == "kind" else order.kind
        more = {"description": "Another"} if change == "description" else {}
        body = self.body(order, **more)
        if kind == "jsapi":
            body["payer"] = {"openid": self.counter.openid(self.alice)}
        elif "payer" in body:
            del body["payer"]
        answer = self.counter.prepay(kind, order.number, **body)
        if order.state != "NOTPAY":
            closed = order.state == "CLOSED" and kind == "native"
            assert said(answer) == (400, "ORDER_CLOSED" if closed else "INVALID_REQUEST")
        elif change:
            assert said(answer) == (403, "OUT_TRADE_NO_USED")
        else:
            order.texts += content(answer).values()
            order.shown_ms, order.scanner = self.now_ms, ""

    @precondition(lambda self: self.orders)
    @rule(pick=picks)
    def close(self, pick: int) -> None:
        order = self.picked(pick)
        answer = said(self.counter.close(order.number))
        if order.state in ("SUCCESS", "REFUND"):
            assert answer == (400, "ORDER_PAID")
        elif order.due:
            assert answer == (403, "TRADE_ERROR")
        else:
            assert answer == (204, "")
            order.state = "CLOSED"

    @precondition(lambda self: self.orders)
    @rule(pick=picks, part=st.sampled_from([1, 50, 1000, "all", "more"]), number=st.integers(0, 60))
    def refund(self, pick: int, part: int | str, number: int) -> None:
        order, no = self.picked(pick), f"R-{number}"
        fen = {"all": max(order.net, 1), "more": order.net + 1}.get(str(part), part)
        assert isinstance(fen, int)
        amount = {"refund": fen, "total": order.total, "currency": "CNY"}
        answer = self.counter.refund(fen, no, order.number, amount=amount, notify_url=NOTIFY)
        assert said(answer) == self.refund_expected(order, no, fen)
        if answer.response.status == 200 and no not in order.refunds:
            self.refunded(order, no, fen)

    def refund_expected(self, order: Placed, no: str, fen: int) -> tuple[int, str]:
        if order.state not in ("SUCCESS", "REFUND"):
            return 404, "RESOURCE_NOT_EXISTS"
        if any(no in other.refunds for other in self.orders if other is not order):
            return 400, "INVALID_REQUEST"
        if no in order.refunds:
            return (200, "") if order.refunds[no].fen == fen else (400, "INVALID_REQUEST")
        if fen > order.net:
            return 400, "INVALID_REQUEST"
        there = self.available if order.settled else self.pending
        return (200, "") if fen <= there else (403, "NOT_ENOUGH")

    def refunded(self, order: Placed, no: str, fen: int) -> None:
        order.refunds[no] = Returned(fen, self.now_ms)
        order.state = "REFUND"
        if order.settled:
            self.available -= fen
        else:
            self.pending -= fen
        self.under_way.append((self.now_ms + self.refund_ms, order.scanner, fen))
        self.arrive(self.now_ms)

    # What people do. ----------------------------------------------------------------------------

    @precondition(lambda self: self.orders)
    @rule(
        pick=picks,
        poor=st.booleans(),
        outcome=st.sampled_from([*OUTCOMES, "confirm", "silence", "ok_but_unpaid"]),
        old=st.integers(0, 4),
    )
    def pay(self, pick: int, poor: bool, outcome: str, old: int) -> None:
        order, person = self.picked(pick), self.bob if poor else self.alice
        text = order.texts[-2] if old == 4 and len(order.texts) > 1 else order.texts[-1]
        paid = self.counter.pay(text, person, outcome)
        refusal = self.refusal(order, person, text)
        if refusal is not None:
            assert (paid.result, paid.outcome.reason) == ("fail", refusal)
            return
        if not order.scanner:
            order.scanner = person
        if outcome in ("confirm", "paid_but_cancel_shown"):
            good = self.capture(order, person, self.now_ms)
            assert paid.outcome.approved is good
            assert paid.result == (OUTCOMES[outcome].result if good else "fail")
            return
        assert paid.result == OUTCOMES[outcome].result
        if outcome == "ok_but_unpaid":
            order.due = self.now_ms + 5 * SECOND, person
        elif outcome != "silence":
            order.due = None

    def refusal(self, order: Placed, person: str, text: str) -> Reason | None:
        if text != order.texts[-1]:
            return Reason.REPLACED_CODE
        if order.state in ("SUCCESS", "REFUND"):
            return Reason.ALREADY_PAID
        if order.state == "CLOSED":
            return Reason.WRONG_STATE
        if order.expired(self.now_ms):
            return Reason.EXPIRED
        if order.kind == "jsapi" and person != self.alice:
            return Reason.WRONG_PAYER
        if order.kind == "native" and order.scanner not in ("", person):
            return Reason.WRONG_PAYER
        return None

    def capture(self, order: Placed, person: str, at_ms: int) -> bool:
        """The money moves, where there is enough."""
        order.due = None
        if self.money[person] < order.total:
            return False
        self.money[person] -= order.total
        self.pending += order.total
        order.state, order.paid_ms, order.scanner = "SUCCESS", at_ms, person
        order.settles_ms = ((at_ms + ZONE) // DAY + 1) * DAY - ZONE
        return True

    # Time. --------------------------------------------------------------------------------------

    @rule(wait_s=waits)
    def wait(self, wait_s: int) -> None:
        if self.now_ms + wait_s * SECOND > self.began_ms + LATEST:
            return
        self.counter.sandbox.advance(seconds=wait_s)
        self.pass_until(self.now_ms)

    def pass_until(self, now_ms: int) -> None:
        """Everything that comes by itself, in the order of its time."""
        for at_ms, kind, order in iter(
            lambda: min(self.coming(), key=lambda one: one[0], default=None), None
        ):
            if at_ms > now_ms:
                break
            self.arrive(at_ms)
            if kind == "due":
                assert order.due is not None
                self.capture(order, order.due[1], at_ms)
            elif kind == "expiry":
                order.state, order.due = "CLOSED", None
            else:
                self.pending -= order.net
                self.available += order.net - fee(order.net)
                self.fees += fee(order.net)
                order.settled = True
        self.arrive(now_ms)

    def coming(self) -> Iterator[tuple[int, str, Placed]]:
        for order in self.orders:
            if order.due is not None:
                yield order.due[0], "due", order
            if order.state == "NOTPAY":
                yield order.ordered_ms + 7 * DAY, "expiry", order
            if order.paid_ms and not order.settled:
                yield order.settles_ms, "settlement", order

    def arrive(self, now_ms: int) -> None:
        """Refunds that are through."""
        for one in [one for one in self.under_way if one[0] <= now_ms]:
            self.under_way.remove(one)
            self.money[one[1]] += one[2]

    @rule()
    def forget(self) -> None:
        """Everything is folded again from the journal."""
        self.counter.sandbox._engine.forget()

    # What must hold. ----------------------------------------------------------------------------

    @invariant()
    def orders_are_as_the_model_says(self) -> None:
        for order in self.orders[-3:]:
            told = content(self.counter.query(order.number))
            assert told["trade_state"] == order.state
            assert told["amount"]["total"] == order.total
            for no, refund in order.refunds.items():
                through = self.now_ms >= refund.asked_ms + self.refund_ms
                found = content(self.counter.send("GET", f"{REFUNDS}/{no}"))
                assert found["status"] == ("SUCCESS" if through else "PROCESSING")
                assert found["amount"]["refund"] == refund.fen

    @invariant()
    def money_is_where_the_model_says(self) -> None:
        sandbox, shop = self.counter.sandbox, self.counter.shop.id
        balances = sandbox.balances()
        for name, fen in {
            f"payer/{self.alice}/available": self.money[self.alice],
            f"payer/{self.bob}/available": self.money[self.bob],
            f"merchant/{shop}/pending": self.pending,
            f"merchant/{shop}/available": self.available,
            "fees": self.fees,
        }.items():
            assert balances.get(name, {}).get("CNY", 0) == fen, name
        assert set(sandbox.sums().values()) <= {0}
        for book in self.counter.wechat.books(self.counter.mchid):
            assert book.refunded_minor + book.refunding_minor <= book.captured_minor <= book.amount_minor
        sandbox.verify()

    def teardown(self) -> None:
        self.counter.sandbox.advance(days=2)
        self.pass_until(self.now_ms)
        self.money_is_where_the_model_says()
        self.each_fact_has_its_callback()
        self.bills_agree_with_the_ledger()

    def each_fact_has_its_callback(self) -> None:
        owed = [one["event_type"] for one in self.counter.owed()]
        assert owed.count("TRANSACTION.SUCCESS") == sum(bool(order.paid_ms) for order in self.orders)
        assert owed.count("REFUND.SUCCESS") == sum(len(order.refunds) for order in self.orders)

    def bills_agree_with_the_ledger(self) -> None:
        """Settled fees equal the bills' sum, and the last balance is the merchant's."""
        trades, moves = self.bills("tradebill"), self.bills("fundflowbill")
        assert sum(fen(row["手续费"]) for row in trades) == self.fees
        paid = [row for row in trades if row["交易状态"] == "SUCCESS"]
        assert {row["商户订单号"]: fen(row["订单金额"]) for row in paid} == {
            order.number: order.total for order in self.orders if order.paid_ms
        }
        back = [row for row in trades if row["交易状态"] == "REFUND"]
        assert {row["商户退款单号"]: fen(row["申请退款金额"]) for row in back} == {
            no: refund.fen for order in self.orders for no, refund in order.refunds.items()
        }
        assert {row["退款状态"] for row in back} <= {"SUCCESS"}
        signs = {"收入": 1, "支出": -1}
        balance = 0
        for row in moves:
            balance += signs[row["收支类型"]] * fen(row["收支金额(元)"])
            assert fen(row["账户结余(元)"]) == balance
        assert balance == self.pending + self.available

    def bills(self, kind: str) -> list[dict[str, str]]:
        """The rows of every day's bill, the oldest first."""
        rows: list[dict[str, str]] = []
        day = date(1970, 1, 1) + timedelta(days=(self.began_ms + ZONE) // DAY)
        last = date(1970, 1, 1) + timedelta(days=(self.now_ms + ZONE) // DAY)
        self.counter.sandbox.advance(hours=24 - (self.now_ms + ZONE) % DAY / HOUR + 10)
        while day <= last:
            answer = self.counter.send("GET", f"/v3/bill/{kind}?bill_date={day}")
            day += timedelta(days=1)
            if answer.code == "NO_STATEMENT_EXIST":
                continue
            target = str(content(answer)["download_url"]).partition(".com")[2]
            text = self.counter.send("GET", target).response.body.decode("utf-8-sig")
            head, *lines = list(csv.reader(text.splitlines()))
            rows += [dict(zip(head, (cell[1:] for cell in line), strict=True)) for line in lines[:-2]]
        return rows


def fen(yuan: str) -> int:
    return int(Decimal(yuan) * 100)


TestTrade = Trade.TestCase
TestTrade.settings = settings(max_examples=count(200), stateful_step_count=40, deadline=None)
