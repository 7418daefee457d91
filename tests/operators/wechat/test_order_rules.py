"""How orders and refunds live: each row plays one rule of facts/wechat 2.1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from wechat_counter import APPS, PAY, REFUNDS, Counter, content, said

from paysim.core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from paysim.core.outcome import Reason
from paysim.operators.wechat.numbers import rfc3339
from paysim.operators.wechat.world import order_key

TYPES = ("jsapi", "app", "h5", "native")


def settle(counter: Counter, **more: Any) -> None:
    counter.wechat.settings = msgspec.structs.replace(counter.wechat.settings, **more)


def at(counter: Counter, ms: int) -> str:
    """A time from now as time_expire has it."""
    return rfc3339(counter.wechat.now_ms() + ms)


def reason(counter: Counter, text: str, **how: Any) -> Reason | None:
    """Why a payment did not come about, None where it did."""
    return counter.pay(text, **how).outcome.reason


# States. ------------------------------------------------------------------------------------------


def _ordered(_counter: Counter) -> None:
    """Nothing more."""


def _waited(days: float) -> Callable[[Counter], None]:
    return lambda counter: counter.sandbox.advance(days=days)


def _closed(counter: Counter) -> None:
    assert counter.close().response.status == 204


def _paid(counter: Counter) -> None:
    assert reason(counter, counter.shown()) is None


def _failed(outcome: str) -> Callable[[Counter], None]:
    def play(counter: Counter) -> None:
        assert not counter.pay(counter.shown(), outcome=outcome).outcome.approved

    return play


def _looked_at(counter: Counter) -> None:
    assert counter.pay(counter.shown(), outcome="silence").result is None


def _under_way(counter: Counter) -> None:
    assert counter.pay(counter.shown(), outcome="ok_but_unpaid").result == "ok"


def _refunded(*parts: int, refund_ms: int = 0) -> Callable[[Counter], None]:
    def play(counter: Counter) -> None:
        settle(counter, refund_ms=refund_ms)
        _paid(counter)
        for index, fen in enumerate(parts):
            assert counter.refund(fen, f"R-{index}").response.status == 200

    return play


def _after_expiry(counter: Counter) -> None:
    text = counter.shown()
    counter.sandbox.advance(hours=2)
    assert reason(counter, text) is Reason.EXPIRED


STATES: list[tuple[str, Callable[[Counter], None], str]] = [
    ("2.1 NOTPAY at first", _ordered, "NOTPAY"),
    ("2.1 NOTPAY for almost 7 days", _waited(6.99), "NOTPAY"),
    ("2.1 NOTPAY -> CLOSED after 7 days", _waited(7), "CLOSED"),
    ("2.1 NOTPAY -> CLOSED by close", _closed, "CLOSED"),
    ("2.1 NOTPAY -> SUCCESS", _paid, "SUCCESS"),
    ("2.1 failed attempt: no money", _failed("no_money"), "NOTPAY"),
    ("2.1 failed attempt: wrong PIN", _failed("wrong_pin"), "NOTPAY"),
    ("2.1 failed attempt: cancelled", _failed("refuse"), "NOTPAY"),
    ("2.1 failed attempt: too late (time_expire: TIMES)", _after_expiry, "NOTPAY"),
    ("2.1 USERPAYING is for payment codes: the prompt is open", _looked_at, "NOTPAY"),
    ("2.1 USERPAYING is for payment codes: the money is under way", _under_way, "NOTPAY"),
    ("2.1 a full refund", _refunded(1280), "REFUND"),
    ("2.1 a partial refund", _refunded(1), "REFUND"),
    ("2.1 a partial refund that is not through", _refunded(1, refund_ms=60_000), "REFUND"),
]


@pytest.mark.parametrize(("play", "state"), [row[1:] for row in STATES], ids=[row[0] for row in STATES])
def test_trade_states(play: Callable[[Counter], None], state: str) -> None:
    counter = Counter()
    counter.prepay()
    play(counter)
    order = content(counter.query())
    assert order["trade_state"] == state
    assert ("transaction_id" in order) is ("trade_type" in order) is (state in ("SUCCESS", "REFUND"))
    assert order["trade_state_desc"]
    counter.sandbox.verify()


FINAL: list[tuple[str, Callable[[Counter], None], str, Reason]] = [
    ("2.1 final: SUCCESS", _paid, "SUCCESS", Reason.ALREADY_PAID),
    ("2.1 final: REFUND", _refunded(1280), "REFUND", Reason.ALREADY_PAID),
    ("2.1 final: CLOSED", _closed, "CLOSED", Reason.WRONG_STATE),
    ("2.1 final: CLOSED after 7 days", _waited(7), "CLOSED", Reason.WRONG_STATE),
]


@pytest.mark.parametrize(("play", "state", "why"), [row[1:] for row in FINAL], ids=[row[0] for row in FINAL])
def test_final_states_are_left_by_nothing(play: Callable[[Counter], None], state: str, why: Reason) -> None:
    counter = Counter()
    text = counter.shown()
    play(counter)
    newest = counter.wechat.find(order_key(counter.mchid, "T-000001"))
    assert newest is not None
    assert newest.presentation is not None
    for _ in range(2):
        assert reason(counter, newest.presentation.data["text"]) is why
        assert counter.prepay().response.status == 400
        counter.close()
        counter.sandbox.advance(days=8)
        assert counter.state() == state
    assert reason(counter, text) is not None


# The same number again. ---------------------------------------------------------------------------


@pytest.mark.parametrize("trade_type", TYPES)
def test_the_same_order_again_has_a_new_prepay_id(trade_type: str) -> None:
    """2.1: same out_trade_no + same parameters."""
    counter = Counter()
    first, second = counter.shown(trade_type), counter.shown(trade_type)
    assert first != second
    assert reason(counter, second) is None
    assert len(list(counter.wechat.books(counter.mchid))) == 1


@pytest.mark.parametrize(("old_ids", "why"), [(False, Reason.REPLACED_CODE), (True, None)])
def test_old_prepay_ids_are_a_switch(old_ids: bool, why: Reason | None) -> None:
    counter = Counter()
    settle(counter, old_prepay_ids=old_ids)
    first = counter.shown("app")
    counter.shown("app")
    assert reason(counter, first) is why


def test_an_old_code_url_dies() -> None:
    """2.1: Native: old code_url dies, whatever the switch for prepay ids says."""
    counter = Counter()
    settle(counter, old_prepay_ids=True)
    first = counter.shown()
    counter.shown()
    assert reason(counter, first) is Reason.REPLACED_CODE
    assert counter.state() == "NOTPAY"


CHANGES: dict[str, Any] = {
    "description": "Biluochun",
    "notify_url": "https://shop.example/other",
    "amount": {"total": 1281, "currency": "CNY"},
    "attach": "table 4",
    "goods_tag": "spring",
    "support_fapiao": True,
    "limit_pay": ["no_credit"],
    "detail": {"cost_price": 1280},
    "settle_info": {"profit_sharing": True},
    "scene_info": {"payer_client_ip": "203.0.113.8", "h5_info": {"type": "iOS"}},
}


@pytest.mark.parametrize("trade_type", TYPES)
@pytest.mark.parametrize("name", CHANGES)
def test_changed_parameters_are_another_order(trade_type: str, name: str) -> None:
    """2.1: changed parameters -> OUT_TRADE_NO_USED (internal 268498688)."""
    counter = Counter()
    shown = counter.shown(trade_type)
    answer = counter.prepay(trade_type, **{name: CHANGES[name]})
    assert said(answer) == (403, "OUT_TRADE_NO_USED")
    assert answer.response.header("Request-ID").endswith("-268498688")
    assert reason(counter, shown) is None, "the refused order ended the good one"


def test_another_payer_is_another_order() -> None:
    counter = Counter()
    counter.prepay("jsapi")
    answer = counter.prepay("jsapi", payer={"openid": counter.openid(counter.bob)})
    assert said(answer) == (403, "OUT_TRADE_NO_USED")


def test_another_app_of_the_same_merchant_is_another_order() -> None:
    counter = Counter(apps=APPS)
    counter.prepay()
    assert said(counter.prepay(appid=APPS[1].appid)) == (403, "OUT_TRADE_NO_USED")


def test_the_same_number_is_free_for_another_merchant() -> None:
    counter = Counter()
    other = counter.neighbour()
    counter.paid()
    assert other.paid()["trade_state"] == "SUCCESS"


def test_the_order_of_the_fields_does_not_matter() -> None:
    counter = Counter()
    counter.prepay()
    body = dict(reversed(counter.order().items()))
    assert said(counter.send("POST", PAY + "native", body)) == (200, "")


# Times. -------------------------------------------------------------------------------------------

TIMES: list[tuple[str, int | None, int, Reason | None]] = [
    ("2.1 prepay_id 2 h", None, 2 * HOUR_MS - 1000, None),
    ("2.1 prepay_id 2 h", None, 2 * HOUR_MS, Reason.EXPIRED),
    ("2.1 prepay_id 2 h regardless of time_expire", 3 * HOUR_MS, 2 * HOUR_MS, Reason.EXPIRED),
    ("2.1 time_expire ends paying", 10 * MINUTE_MS, 10 * MINUTE_MS - 1000, None),
    ("2.1 time_expire ends paying", 10 * MINUTE_MS, 10 * MINUTE_MS, Reason.EXPIRED),
    ("2.1 earlier than +1 min is raised", 1000, MINUTE_MS - 1000, None),
    ("2.1 earlier than +1 min is raised", 1000, MINUTE_MS, Reason.EXPIRED),
    ("2.1 earlier than +1 min is raised: long past", -DAY_MS, MINUTE_MS - 1000, None),
]


@pytest.mark.parametrize("trade_type", ["jsapi", "app", "native"])
@pytest.mark.parametrize(
    ("expire_ms", "wait_ms", "why"), [row[1:] for row in TIMES], ids=[row[0] for row in TIMES]
)
def test_how_long_an_order_can_be_paid(
    expire_ms: int | None, wait_ms: int, why: Reason | None, trade_type: str
) -> None:
    counter = Counter()
    expire = None if expire_ms is None else at(counter, expire_ms)
    text = counter.shown(trade_type, time_expire=expire)
    counter.sandbox.advance(seconds=wait_ms // 1000)
    assert reason(counter, text) is why
    assert counter.state() == ("NOTPAY" if why else "SUCCESS"), "time_expire ends paying, it does not close"


def test_time_expire_is_fixed_at_the_first_call() -> None:
    """2.1: fixed at first call; a later one is neither refused nor heeded."""
    counter = Counter()
    counter.prepay(time_expire=at(counter, 10 * MINUTE_MS))
    text = counter.shown(time_expire=at(counter, 60 * MINUTE_MS))
    counter.sandbox.advance(minutes=10)
    assert reason(counter, text) is Reason.EXPIRED
    assert reason(counter, counter.shown(time_expire=at(counter, 60 * MINUTE_MS))) is Reason.EXPIRED


def test_a_dead_prepay_id_is_asked_for_again_with_the_same_parameters() -> None:
    """2.1: ask again with the same parameters."""
    counter = Counter()
    first = counter.shown("app")
    counter.sandbox.advance(hours=3)
    assert reason(counter, first) is Reason.EXPIRED
    assert reason(counter, counter.shown("app")) is None


def test_asking_again_does_not_lengthen_the_seven_days() -> None:
    counter = Counter()
    counter.prepay()
    counter.sandbox.advance(days=6)
    counter.prepay()
    counter.sandbox.advance(days=1)
    assert counter.state() == "CLOSED"


# Who pays a JSAPI order. --------------------------------------------------------------------------


def test_jsapi_wants_an_openid() -> None:
    """2.1: jsapi without openid."""
    for payer in (None, {}, {"openid": ""}):
        assert said(Counter().prepay("jsapi", payer=payer)) == (400, "PARAM_ERROR")


def test_an_openid_of_another_app_is_refused() -> None:
    """2.1: openid of another appid."""
    counter = Counter(apps=APPS)
    payer = {"openid": counter.openid(appid=APPS[1].appid)}
    answer = counter.prepay("jsapi", payer=payer)
    assert said(answer) == (400, "PARAM_ERROR")
    assert content(answer, 400)["detail"]["field"] == "/payer/openid"
    assert said(counter.prepay("jsapi", payer=payer, appid=APPS[1].appid)) == (200, "")


def test_the_openids_owner_pays() -> None:
    """2.1: payer different from the openid's owner; same person via another appid is allowed."""
    counter = Counter(apps=APPS)
    text = counter.shown("jsapi", appid=APPS[1].appid, payer={"openid": counter.openid(appid=APPS[1].appid)})
    assert reason(counter, text, person=counter.bob) is Reason.WRONG_PAYER
    assert counter.state() == "NOTPAY"
    assert reason(counter, text, person=counter.alice) is None


# Refunds. -----------------------------------------------------------------------------------------


def test_a_year_and_not_longer() -> None:
    """2.1: refund within 1 year."""
    counter = Counter()
    counter.paid(number="T-000002")
    counter.paid()
    counter.sandbox.advance(days=365)
    assert said(counter.refund(1)) == (200, "")
    counter.sandbox.advance(seconds=1)
    assert said(counter.refund(1, "R-2")) == (400, "INVALID_REQUEST")


def test_fifty_parts_and_not_more() -> None:
    """2.1: <= 50 partial refunds; one that was asked for before is answered all the same."""
    counter = Counter()
    counter.paid()
    for index in range(50):
        assert said(counter.refund(1, f"R-{index}")) == (200, "")
    assert said(counter.refund(1, "R-50")) == (400, "INVALID_REQUEST")
    assert said(counter.refund(1, "R-49")) == (200, "")


SUMS: list[tuple[str, list[int], int, int]] = [
    ("2.1 sum <= total: all of it", [], 1280, 200),
    ("2.1 sum <= total: a fen more", [], 1281, 400),
    ("2.1 sum <= total: the rest", [1000, 279], 1, 200),
    ("2.1 sum <= total: more than the rest", [1000, 279], 2, 400),
    ("2.1 sum <= total: nothing is left", [1280], 1, 400),
]


@pytest.mark.parametrize("refund_ms", [0, 60_000], ids=["at once", "in a minute"])
@pytest.mark.parametrize(("parts", "fen", "status"), [row[1:] for row in SUMS], ids=[row[0] for row in SUMS])
def test_refunds_do_not_exceed_the_order(parts: list[int], fen: int, status: int, refund_ms: int) -> None:
    counter = Counter()
    _refunded(*parts, refund_ms=refund_ms)(counter)
    assert counter.refund(fen, "R-last").response.status == status
    counter.sandbox.advance(minutes=2)
    counter.sandbox.verify()


def test_the_same_refund_number_is_the_same_refund() -> None:
    """2.1: same out_refund_no = same refund; different amount -> 400."""
    counter = Counter()
    counter.paid()
    first = content(counter.refund(100))
    assert content(counter.refund(100)) == first
    assert said(counter.refund(101)) == (400, "INVALID_REQUEST")
    id = content(counter.query())["transaction_id"]
    assert content(counter.refund(100, out_trade_no=None, transaction_id=id)) == first
    assert content(counter.send("GET", REFUNDS + "/R-1"))["refund_id"] == first["refund_id"]
    assert counter.sandbox.balances()[f"merchant/{counter.shop.id}/pending"] == {"CNY": 1180}


def test_a_refund_number_of_another_order_is_refused() -> None:
    counter = Counter()
    counter.paid()
    counter.refund(100)
    counter.paid(number="T-000002")
    assert said(counter.refund(100, number="T-000002")) == (400, "INVALID_REQUEST")


def test_a_minute_between_refunds_is_a_switch() -> None:
    """2.1: wait 1 min between refunds of one order."""
    counter = Counter()
    settle(counter, refund_gap_ms=MINUTE_MS)
    counter.paid()
    counter.paid(number="T-000002")
    assert said(counter.refund(1)) == (200, "")
    assert said(counter.refund(1)) == (200, ""), "the same refund is no second one"
    assert said(counter.refund(1, "R-2", number="T-000002")) == (200, ""), "another order's is not"
    assert said(counter.refund(1, "R-3")) == (429, "FREQUENCY_LIMITED")
    counter.sandbox.advance(seconds=60)
    assert said(counter.refund(1, "R-3")) == (200, "")


def test_a_failed_refund_is_tried_again_under_its_number() -> None:
    """2.1: retry a failed refund with the same out_refund_no."""
    counter = Counter()
    counter.paid()
    counter.sandbox.advance(days=2)  # settled: the fee has left the merchant's account
    assert said(counter.refund()) == (403, "NOT_ENOUGH")
    counter.paid(number="T-000002")
    counter.sandbox.advance(days=2)
    assert content(counter.refund())["status"] == "SUCCESS"
    counter.sandbox.verify()


def test_a_refund_is_processing_until_it_is_through() -> None:
    counter = Counter()
    settle(counter, refund_ms=1000)
    counter.paid()
    first = content(counter.refund(100))
    assert first["status"] == "PROCESSING"
    assert not first.get("success_time")
    counter.sandbox.advance(seconds=1)
    done = content(counter.send("GET", REFUNDS + "/R-1"))
    assert done["status"] == "SUCCESS"
    assert done["success_time"] == rfc3339(counter.wechat.now_ms())
    assert done["amount"]["refund"] == done["amount"]["payer_refund"] == 100


# Closing. -----------------------------------------------------------------------------------------


def test_closing_twice_is_closing_once() -> None:
    """2: close is re-entrant."""
    counter = Counter()
    text = counter.shown()
    for _ in range(3):
        answer = counter.close()
        assert (answer.response.status, answer.response.body) == (204, b"")
    assert reason(counter, text) is Reason.WRONG_STATE


def test_the_answer_to_closing_a_paid_order_is_a_switch() -> None:
    """1.7: close on a paid order; status unstated, 400 by default."""
    counter = Counter()
    counter.paid()
    assert said(counter.close()) == (400, "ORDER_PAID")
    settle(counter, paid_close_code="TRADE_ERROR", paid_close_status=403)
    assert said(counter.close()) == (403, "TRADE_ERROR")
    assert counter.state() == "SUCCESS"


def test_closing_at_once_is_allowed_unless_switched_off() -> None:
    """2.1: close within 5 min of ordering refused: off by default."""
    counter = Counter()
    counter.prepay()
    settle(counter, close_gap_ms=5 * MINUTE_MS)
    assert said(counter.close()) == (403, "RULE_LIMIT")
    counter.sandbox.advance(minutes=5)
    assert said(counter.close()) == (204, "")
    counter.prepay(number="T-000002")
    settle(counter, close_gap_ms=0)
    assert said(counter.close("T-000002")) == (204, "")


def test_an_order_with_an_open_prompt_can_be_closed_and_then_not_paid() -> None:
    counter = Counter()
    text = counter.shown()
    counter.pay(text, outcome="silence")
    assert said(counter.close()) == (204, "")
    assert reason(counter, text) is Reason.WRONG_STATE
    counter.sandbox.verify()


def test_money_that_is_under_way_arrives_and_the_close_has_to_wait() -> None:
    counter = Counter()
    counter.pay(counter.shown(), outcome="ok_but_unpaid")
    assert said(counter.close()) == (403, "TRADE_ERROR")
    counter.sandbox.advance(seconds=5)
    assert counter.state() == "SUCCESS"
    assert said(counter.close()) == (400, "ORDER_PAID")


# Fields. ------------------------------------------------------------------------------------------

FIELDS: list[tuple[str, dict[str, Any], bool, int]] = [
    ("2.1 unknown fields: taken by default", {"colour": "green"}, False, 200),
    ("2.1 unknown fields: refused", {"colour": "green"}, True, 400),
    ("2.1 unknown fields: refused inside", {"amount": {"total": 1, "colour": 1}}, True, 400),
    ("2.1 null values", {"attach": None}, False, 400),
    ("2.1 null values inside", {"amount": {"total": 1, "currency": None}}, False, 400),
]


@pytest.mark.parametrize(
    ("more", "closed", "status"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS]
)
def test_odd_fields(more: dict[str, Any], closed: bool, status: int) -> None:
    counter = Counter()
    settle(counter, closed_fields=closed)
    answer = counter.send("POST", PAY + "native", {**counter.order(), **more})
    assert answer.response.status == status


@pytest.mark.parametrize("total", [1, 2**31 - 1, 2**63 - 1])
def test_amounts_of_any_size_are_kept(total: int) -> None:
    counter = Counter()
    assert said(counter.prepay(amount={"total": total})) == (200, "")
    order = content(counter.query())
    assert order["amount"]["total"] == total
    counter.sandbox.verify()
