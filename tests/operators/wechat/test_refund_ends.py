"""How refunds end: SUCCESS, ABNORMAL, CLOSED; who chooses, where the money is, and what can be asked then."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from wechat_counter import NOTIFY, REFUNDS, Counter, content, said

from paysim import CNY, Fault, Sandbox, State, Status, UsageError
from paysim.core.transaction import Transaction
from paysim.operators.wechat import notify
from paysim.operators.wechat.payer import MAGIC_OPENIDS, MAGIC_REFUNDS
from paysim.operators.wechat.refunds import ENDS
from paysim.operators.wechat.world import refund_key

TOTAL = 1280
ACTIONS = {"ABNORMAL": "abnormal", "CLOSED": "closed"}


def strike(counter: Counter, end: str, **more: Any) -> None:
    """The next refund ends so."""
    if end != "SUCCESS":
        counter.sandbox.faults.add(Fault("refund", ACTIONS[end], **more))


def wait(counter: Counter, refund_ms: int) -> None:
    """Refunds are PROCESSING for so long."""
    counter.wechat.settings = msgspec.structs.replace(counter.wechat.settings, refund_ms=refund_ms)


def asked(counter: Counter, refund: str = "R-1") -> dict[str, Any]:
    """A refund as its query tells it."""
    return content(counter.send("GET", f"{REFUNDS}/{refund}"))


def operation(counter: Counter, refund: str = "R-1") -> str:
    """Its id among the operations of its order."""
    book = counter.wechat.find(refund_key(counter.mchid, refund))
    assert book is not None
    return f"{book.id}:{refund}"


def money(counter: Counter) -> dict[str, int]:
    """Where the fen are: with the payer, the shop (both parts), on their way, and apart."""
    found = {name: sums.get("CNY", 0) for name, sums in counter.sandbox.balances().items()}
    shop = f"merchant/{counter.shop.id}"
    where = {
        "payer": found[f"payer/{counter.alice}/available"] - 900_000,
        "pending": found.get(f"{shop}/pending", 0),
        "available": found.get(f"{shop}/available", 0),
        "way": found.get("refund/suspense", 0),
        "apart": found.get("refund/abnormal", 0),
    }
    assert sum(where.values()) + found.get("fees", 0) == 0
    counter.sandbox.verify()
    return {name: fen for name, fen in where.items() if fen}


def told(counter: Counter) -> list[tuple[str, dict[str, Any]]]:
    """The event_type of each callback about refunds and what is sealed in it, the oldest first."""
    found = []
    for owed in counter.owed():
        if owed["event_type"].startswith("REFUND"):
            book = Transaction(owed["order"])
            for event in counter.sandbox.journal.stream(f"order/{owed['order']}")[: owed["position"]]:
                book.apply(event)
            sealed = notify.content(book, owed["event_type"], owed["operation"], counter.wechat)
            found.append((owed["event_type"], json.loads(sealed)))
    return found


# Where the money is. ------------------------------------------------------------------------------

# End -> where 500 of 1280 fen are then, of which the payer had paid all.
THEN: dict[str, dict[str, int]] = {
    "SUCCESS": {"payer": 500 - TOTAL, "pending": 780},
    "ABNORMAL": {"payer": -TOTAL, "pending": 780, "apart": 500},
    "CLOSED": {"payer": -TOTAL, "pending": TOTAL},
}


@pytest.mark.parametrize("refund_ms", [0, 60_000], ids=["at once", "in a minute"])
@pytest.mark.parametrize("end", ENDS)
def test_an_end_by_fault(end: str, refund_ms: int) -> None:
    counter = Counter()
    wait(counter, refund_ms)
    counter.paid()
    strike(counter, end)
    first = content(counter.refund(500, notify_url=NOTIFY + "/refund"))
    if refund_ms:
        assert (first["status"], told(counter)) == ("PROCESSING", [])
        assert money(counter) == {"payer": -TOTAL, "pending": 780, "way": 500}
        counter.sandbox.advance(seconds=60)
    else:
        assert first["status"] == end
    refund = asked(counter)
    assert refund["status"] == end
    assert ("success_time" in refund) == (end == "SUCCESS")
    assert money(counter) == THEN[end]
    ((event_type, sealed),) = told(counter)
    assert (event_type, sealed["refund_status"]) == (f"REFUND.{end}", end)
    assert ("success_time" in sealed) == (end == "SUCCESS")
    assert sealed["refund_id"] == refund["refund_id"] == first["refund_id"]
    assert counter.state() == "REFUND", "however the only refund has ended"
    assert counter.sandbox.faults.faults == ()
    counter.sandbox.advance(days=1)
    assert asked(counter) == refund, "nothing more happens by itself"


@pytest.mark.parametrize("fen", MAGIC_REFUNDS)
def test_a_magic_sum_ends_so_and_another_does_not(fen: int) -> None:
    counter = Counter()
    total = {"total": 100_000}
    counter.paid(amount=total)
    for number, minor in (("R-1", 1), ("R-2", fen), ("R-3", fen + 100)):
        amount = {"refund": minor, "total": 100_000, "currency": "CNY"}
        content(counter.refund(refund=number, amount=amount))
    ends = [asked(counter, number)["status"] for number in ("R-1", "R-2", "R-3")]
    assert ends == ["SUCCESS", MAGIC_REFUNDS[fen].removeprefix("refund_").upper(), "SUCCESS"]


@pytest.mark.parametrize("fen", MAGIC_REFUNDS)
def test_an_order_of_that_sum_is_paid_as_any_other(fen: int) -> None:
    """So that it can be refunded whole."""
    counter = Counter()
    assert counter.paid(amount={"total": fen})["trade_state"] == "SUCCESS"


@pytest.mark.parametrize("openid", MAGIC_OPENIDS)
def test_a_magic_openid_lets_every_refund_of_the_order_end_so(openid: str) -> None:
    counter = Counter()
    outcome = MAGIC_OPENIDS[openid]
    counter.pay(counter.shown("jsapi", payer={"openid": openid}), outcome="confirm")
    for number in ("R-1", "R-2"):
        expected = {"refund_abnormal": "ABNORMAL", "refund_closed": "CLOSED"}.get(outcome, "SUCCESS")
        assert content(counter.refund(3, number))["status"] == expected


def test_every_end_has_its_magic() -> None:
    assert {name.removeprefix("refund_").upper() for name in MAGIC_REFUNDS.values()} == ENDS.keys() - {
        "SUCCESS"
    }
    assert set(MAGIC_REFUNDS.values()) < set(MAGIC_OPENIDS.values())


def test_a_fault_outdoes_the_magic() -> None:
    counter = Counter()
    counter.paid(amount={"total": 50_000})
    strike(counter, "CLOSED")
    amount = {"refund": 40_010, "total": 50_000, "currency": "CNY"}
    assert content(counter.refund(amount=amount))["status"] == "CLOSED"
    assert content(counter.refund(refund="R-2", amount=amount))["status"] == "ABNORMAL"


def test_a_fault_waits_for_a_refund_that_is_taken() -> None:
    """A refusal, and the same refund asked for again, do not use it up; nor does another channel's."""
    counter = Counter()
    counter.paid()
    content(counter.refund(100))
    strike(counter, "ABNORMAL", channel="qr.wechat")
    assert said(counter.refund(TOTAL, "R-2")) == (400, "INVALID_REQUEST")
    assert content(counter.refund(100))["status"] == "SUCCESS"
    counter.paid("app", "T-000002")
    assert content(counter.refund(5, "R-3", "T-000002"))["status"] == "SUCCESS"
    assert len(counter.sandbox.faults.faults) == 1
    assert content(counter.refund(100, "R-4"))["status"] == "ABNORMAL"


def test_the_end_is_chosen_when_the_refund_is_asked_for() -> None:
    """What the journal says happens, whoever rings the timer."""
    counter = Counter()
    wait(counter, 60_000)
    counter.paid()
    strike(counter, "ABNORMAL")
    content(counter.refund(500))
    with Sandbox(seed=7, store=counter.sandbox.journal) as again:
        again.advance(seconds=60)
        assert again.balances()["refund/abnormal"] == {"CNY": 500}
        again.verify()


# What can be refunded then. -----------------------------------------------------------------------

# The end of a refund of 1000 -> what is left of 1280, and what is left once it is resolved so.
LEFT: list[tuple[str, int, str, int]] = [
    ("SUCCESS", 280, "", 280),
    ("ABNORMAL", 280, "SUCCESS", 280),
    ("ABNORMAL", 280, "CLOSED", 1280),
    ("CLOSED", 1280, "", 1280),
]


@pytest.mark.parametrize(("end", "left", "resolved", "left_then"), LEFT)
def test_a_later_refund_obeys_the_rest(end: str, left: int, resolved: str, left_then: int) -> None:
    counter = Counter()
    counter.paid()
    strike(counter, end)
    content(counter.refund(1000))
    assert said(counter.refund(left + 1, "R-more")) == (400, "INVALID_REQUEST")
    if resolved:
        counter.wechat.refunds.end(operation(counter), resolved)
    assert said(counter.refund(left_then + 1, "R-more")) == (400, "INVALID_REQUEST")
    assert content(counter.refund(left_then, "R-rest"))["status"] == "SUCCESS"
    assert said(counter.refund(1, "R-more")) == (400, "INVALID_REQUEST")
    counter.sandbox.verify()


@pytest.mark.parametrize("end", ["ABNORMAL", "CLOSED"])
def test_the_same_number_is_the_same_refund_however_it_ended(end: str) -> None:
    """merchant/4013071031: one that is CLOSED is asked for anew by another number."""
    counter = Counter()
    counter.paid()
    strike(counter, end)
    first = content(counter.refund(500))
    before = counter.sandbox.journal.position
    assert content(counter.refund(500)) == first
    assert said(counter.refund(501)) == (400, "INVALID_REQUEST")
    assert counter.sandbox.journal.position == before
    assert money(counter) == THEN[end]


def test_the_endpoint_for_abnormal_refunds_is_not_simulated() -> None:
    counter = Counter()
    counter.paid()
    strike(counter, "ABNORMAL")
    refund = content(counter.refund())
    target = f"{REFUNDS}/{refund['refund_id']}/apply-abnormal-refund"
    body = {"out_refund_no": "R-1", "type": "MERCHANT_BANK_CARD"}
    assert said(counter.send("POST", target, body)) == (403, "NO_AUTH")
    assert asked(counter) == refund


# Resolving. ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["SUCCESS", "CLOSED"])
def test_an_abnormal_refund_is_resolved(end: str) -> None:
    counter = Counter()
    counter.paid()
    strike(counter, "ABNORMAL")
    refund = content(counter.refund(500, notify_url=NOTIFY))
    counter.sandbox.advance(minutes=3)
    resolved = counter.wechat.refunds.end(operation(counter), end)
    assert resolved.status is (Status.DONE if end == "SUCCESS" else Status.REFUSED)
    assert asked(counter)["status"] == end
    assert asked(counter)["refund_id"] == refund["refund_id"]
    assert money(counter) == THEN[end]
    assert [event_type for event_type, _ in told(counter)] == ["REFUND.ABNORMAL", f"REFUND.{end}"]
    assert [sealed["refund_status"] for _, sealed in told(counter)] == ["ABNORMAL", end]
    with pytest.raises(UsageError, match=f"the refund is {end}"):
        counter.wechat.refunds.end(operation(counter), "SUCCESS")


@pytest.mark.parametrize("end", ENDS)
def test_a_refund_under_way_is_ended_by_hand(end: str) -> None:
    """Its own end does not come any more."""
    counter = Counter()
    wait(counter, 60_000)
    counter.paid()
    content(counter.refund(500, notify_url=NOTIFY))
    counter.wechat.refunds.end(operation(counter), end)
    assert (asked(counter)["status"], money(counter)) == (end, THEN[end])
    counter.sandbox.advance(minutes=5)
    assert (asked(counter)["status"], money(counter)) == (end, THEN[end])
    assert [event_type for event_type, _ in told(counter)] == [f"REFUND.{end}"]


def test_what_cannot_be_ended() -> None:
    counter = Counter()
    counter.paid()
    strike(counter, "ABNORMAL")
    content(counter.refund(500))
    content(counter.refund(1, "R-2"))
    open_, done = operation(counter), operation(counter, "R-2")
    payment = next(one for one in counter.sandbox.orders()).book.operations[0].id
    before = counter.sandbox.journal.position
    for id, end, words in (
        (open_, "ABNORMAL", "the refund is ABNORMAL; it cannot become ABNORMAL"),
        (open_, "PROCESSING", "ends in one of SUCCESS, ABNORMAL, CLOSED"),
        (done, "CLOSED", "the refund is SUCCESS; it cannot become CLOSED"),
        (open_ + "x", "SUCCESS", "knows no refund"),
        (payment, "SUCCESS", "knows no refund"),
        ("nothing", "SUCCESS", "knows no refund"),
        ("", "SUCCESS", "knows no refund"),
    ):
        with pytest.raises(UsageError, match=words):
            counter.wechat.refunds.end(id, end)
    assert counter.sandbox.journal.position == before


# Settlement. --------------------------------------------------------------------------------------

# What is asked back before settlement ends ABNORMAL and is resolved: before or after settlement, how
# -> where the fen are after two days (the fee is 0.60 % of what settlement took, half up).
SETTLED: list[tuple[str, str, dict[str, int]]] = [
    ("", "", {"payer": -TOTAL, "available": 780 - 5, "apart": 500}),
    ("before", "SUCCESS", {"payer": 500 - TOTAL, "available": 780 - 5}),
    ("after", "SUCCESS", {"payer": 500 - TOTAL, "available": 780 - 5}),
    ("before", "CLOSED", {"payer": -TOTAL, "available": 1280 - 8}),
    ("after", "CLOSED", {"payer": -TOTAL, "available": 780 - 5 + 500}),
]


@pytest.mark.parametrize(("when", "end", "where"), SETTLED)
def test_settlement_leaves_out_what_lies_apart(when: str, end: str, where: dict[str, int]) -> None:
    counter = Counter()
    counter.paid()
    strike(counter, "ABNORMAL")
    content(counter.refund(500))
    if when == "before":
        counter.wechat.refunds.end(operation(counter), end)
    counter.sandbox.advance(days=2)
    if when == "after":
        counter.wechat.refunds.end(operation(counter), end)
    assert money(counter) == where


def test_money_that_came_back_after_settlement_is_refunded_again() -> None:
    counter = Counter()
    counter.paid()
    counter.paid(number="T-000002")  # it pays the fee of the first
    strike(counter, "ABNORMAL")
    content(counter.refund())
    counter.sandbox.advance(days=2)
    counter.wechat.refunds.end(operation(counter), "CLOSED")
    assert content(counter.refund(refund="R-2"))["status"] == "SUCCESS"
    assert money(counter) == {"payer": -TOTAL, "available": TOTAL - 8}


# A shop inside the sandbox. -----------------------------------------------------------------------


def inside(counter: Counter, channel: str = "qr.wechat") -> Any:
    """A paid order of 12.80 of a shop inside."""
    order = counter.shop.create(CNY("12.80"))
    assert counter.pay(order.present(channel).text).result == "ok"
    assert order.state is State.CAPTURED
    return order


@pytest.mark.parametrize("channel", ["qr.wechat", "in_app.wechat"])
def test_a_shop_inside_learns_how_its_refund_ends(channel: str) -> None:
    counter = Counter()
    order = inside(counter, channel)
    strike(counter, "ABNORMAL")
    refund = order.refund(CNY("5.00"))
    assert (refund.status, refund.reason) == (Status.ABNORMAL, "no_such_account")
    assert refund.outcome.code == "ABNORMAL"
    assert (order.refunded, money(counter)) == (CNY("0"), THEN["ABNORMAL"])
    assert order.refund(CNY("7.81")).reason == "over_refund"
    done = counter.wechat.refunds.end(refund.id, "SUCCESS")
    assert done.done
    assert order.refunded == CNY("5.00")
    assert next(o for o in order.operations if o.id == refund.id).done
    assert money(counter) == THEN["SUCCESS"]


def test_a_shop_inside_asks_for_a_closed_refund_anew() -> None:
    counter = Counter()
    order = inside(counter)
    strike(counter, "CLOSED")
    refund = order.refund(key="all")
    assert (refund.status, refund.outcome.code, refund.passing) == (Status.REFUSED, "CLOSED", False)
    assert order.refund(key="all") == refund
    assert order.refund(key="again").done
    assert money(counter) == {}


@pytest.mark.parametrize("point", ["", "request", "answer"])
def test_asked_again_an_abnormal_refund_is_abnormal_still(point: str) -> None:
    counter = Counter()
    order = inside(counter)
    strike(counter, "ABNORMAL")
    assert order.refund(CNY("5.00"), key="k").status is Status.ABNORMAL
    if point:
        counter.sandbox.faults.add(Fault(point, verb="refund"))
        assert order.refund(CNY("5.00"), key="k").status is Status.UNKNOWN
        order.query()
    assert order.refund(CNY("5.00"), key="k").status is Status.ABNORMAL
    assert money(counter) == THEN["ABNORMAL"]
    counter.wechat.refunds.end(order.operations[-1].id, "CLOSED")
    assert order.operations[-1].status is Status.REFUSED
    assert money(counter) == THEN["CLOSED"]


def test_an_end_that_the_shop_was_not_told_of_is_found_by_a_query() -> None:
    counter = Counter()
    wait(counter, 60_000)
    order = inside(counter)
    strike(counter, "ABNORMAL")
    order.refund(CNY("5.00"), key="k")
    counter.sandbox.faults.add(Fault("answer", verb="refund"))
    assert order.refund(CNY("5.00"), key="k").status is Status.UNKNOWN
    counter.sandbox.faults.add(Fault("callback"))
    counter.sandbox.advance(seconds=60)
    assert order.operations[-1].status is Status.UNKNOWN
    order.query()
    assert order.operations[-1].status is Status.ABNORMAL
    assert "stranded" in order.timeline()
    assert money(counter) == THEN["ABNORMAL"]


@pytest.mark.parametrize("action", ["lose", "delay"])
def test_a_refusal_whose_answer_does_not_come_is_unknown(action: str) -> None:
    """The shop noted the refusal all the same, and then could not note that nothing came."""
    counter = Counter()
    order = inside(counter)
    counter.sandbox.faults.add(Fault("answer", action, verb="refund", delay_s=5))
    refund = order.refund(CNY("12.81"))
    assert refund.status is Status.UNKNOWN
    counter.sandbox.advance(seconds=4)
    assert order.operations[-1].status is Status.UNKNOWN
    if action == "delay":
        counter.sandbox.advance(seconds=1)
        assert order.operations[-1].reason == "over_refund"
    else:
        order.query()
        assert order.operations[-1].passing, "WeChat Pay knows no such refund"
    counter.sandbox.verify()


def test_a_refused_refund_that_comes_late_is_told() -> None:
    counter = Counter()
    order = inside(counter)
    counter.sandbox.faults.add(Fault("request", "delay", verb="refund", delay_s=5))
    assert order.refund(CNY("12.81")).status is Status.UNKNOWN
    counter.sandbox.advance(seconds=5)
    assert order.operations[-1].reason == "over_refund"


def test_a_late_refusal_of_what_was_done_since_changes_nothing() -> None:
    """The timer that delivered it raised, and the clock stood still for good."""
    counter = Counter()
    order = inside(counter)
    counter.sandbox.advance(days=2)  # settled: the fee has left the merchant's account
    counter.sandbox.faults.add(Fault("answer", "delay", verb="refund", delay_s=4 * 86_400))
    assert order.refund(key="k").status is Status.UNKNOWN
    counter.paid(number="T-000002")
    counter.sandbox.advance(days=2)
    assert order.refund(key="k").done
    counter.sandbox.advance(days=3)
    assert order.operations[-1].done
    counter.sandbox.verify()
