"""Error codes and their statuses: each row makes one happen and names its fact in facts/wechat 1.7."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from wechat_counter import APPS, CERTIFICATES, H5_INFO, NUMBER, PAY, REFUNDS, Counter, content, said

from paysim.codec.http import Request
from paysim.operators.wechat.errors import CODES, OLD_CODES, WeChatError
from paysim.operators.wechat.merchants import App
from paysim.operators.wechat.numbers import transaction_id
from paysim.operators.wechat.service import ENDPOINTS, error_answer
from paysim.operators.wechat.world import Answer, order_key

Play = Callable[[Counter], Answer]
TYPES = ("jsapi", "app", "h5", "native")
BILLS = ("tradebill", "fundflowbill")


def day(counter: Counter, ago: int = 1) -> str:
    """A day before the sandbox's today, in UTC+8."""
    now = datetime.fromtimestamp(counter.wechat.now_ms() / 1000, UTC) + timedelta(hours=8)
    return (now.date() - timedelta(days=ago)).isoformat()


def settle(counter: Counter, **more: Any) -> None:
    counter.wechat.settings = msgspec.structs.replace(counter.wechat.settings, **more)


def bill(counter: Counter, kind: str, ago: int = 1, more: str = "") -> Answer:
    return counter.send("GET", f"/v3/bill/{kind}?bill_date={day(counter, ago)}{more}")


# Plays. -------------------------------------------------------------------------------------------


def prepay(trade_type: str, **more: Any) -> Play:
    return lambda counter: counter.prepay(trade_type, **more)


def get(target: str) -> Play:
    return lambda counter: counter.send("GET", target.replace("MCHID", counter.mchid))


def post(target: str, body: dict[str, Any]) -> Play:
    return lambda counter: counter.send("POST", target, body)


def again(trade_type: str, then: str, **more: Any) -> Play:
    """An order number that was used for `trade_type`, paid or closed or left, is used again."""

    def play(counter: Counter) -> Answer:
        counter.prepay(trade_type)
        return counter.prepay(then, **more)

    return play


def after_closing(trade_type: str) -> Play:
    def play(counter: Counter) -> Answer:
        counter.prepay(trade_type)
        counter.close()
        return counter.prepay(trade_type)

    return play


def after_paying(trade_type: str) -> Play:
    def play(counter: Counter) -> Answer:
        counter.paid(trade_type)
        return counter.prepay(trade_type)

    return play


def without_product(product: str) -> Play:
    def play(counter: Counter) -> Answer:
        rest = tuple(p for p in counter.merchant.products if p != product.upper())
        counter.wechat.change(msgspec.structs.replace(counter.merchant, products=rest))
        return counter.prepay(product)

    return play


def named_nobody(kind: str) -> Play:
    """A merchant that exists signs, and the request names one that does not."""

    def play(counter: Counter) -> Answer:
        counter.prepay()
        if kind == "query":
            return counter.send("GET", f"{PAY}out-trade-no/T-000001?mchid=1999999999")
        if kind == "id":
            return counter.send("GET", f"{PAY}id/4200202601010000000006888317?mchid=1999999999")
        if kind == "close":
            return counter.send("POST", f"{PAY}out-trade-no/T-000001/close", {"mchid": "1999999999"})
        if kind == "refund":
            return counter.refund(sub_mchid="1999999999")
        return counter.prepay(kind, "T-000002", mchid="1999999999")

    return play


def refund(before: Callable[[Counter], Any], fen: int = 1280, **more: Any) -> Play:
    def play(counter: Counter) -> Answer:
        before(counter)
        return counter.refund(fen, **more)

    return play


def nothing(_counter: Counter) -> None:
    """No order at all."""


def unpaid(counter: Counter) -> None:
    counter.prepay()


def paid(counter: Counter) -> None:
    counter.paid()


def paid_and_closed(counter: Counter) -> None:
    counter.prepay()
    counter.close()


def settled(counter: Counter) -> None:
    """Paid and settled: the fee is off the takings."""
    counter.paid()
    counter.sandbox.advance(days=2)


def refunded_once(counter: Counter) -> None:
    counter.paid()
    assert counter.refund(100, "R-0").response.status == 200


def refunded_just_now(counter: Counter) -> None:
    settle(counter, refund_gap_ms=60_000)
    refunded_once(counter)
    counter.sandbox.advance(seconds=59)


def over_a_year(counter: Counter) -> None:
    counter.paid()
    counter.sandbox.advance(days=366)


def elsewhere(ask: Play) -> Play:
    """Asked by another merchant about an order of the first."""

    def play(counter: Counter) -> Answer:
        counter.paid()
        counter.refund(100)
        return ask(counter.neighbour())

    return play


def by_known_id(counter: Counter) -> Answer:
    """The transaction id of the order of whoever owns the first one."""
    first = next(one for one in counter.wechat.merchants() if one.mchid != counter.mchid)
    order = counter.wechat.find(order_key(first.mchid, NUMBER))
    assert order is not None
    id = transaction_id(order.id, order.events[0].at_ms)
    return counter.send("GET", f"{PAY}id/{id}?mchid={counter.mchid}")


def of_unpaid(counter: Counter) -> Answer:
    """A transaction id as it would be, of an order that nobody has paid."""
    counter.prepay()
    order = counter.wechat.find(order_key(counter.mchid, NUMBER))
    assert order is not None
    return counter.send("GET", f"{PAY}id/420020260101{order.id}?mchid={counter.mchid}")


def of_another_day(counter: Counter) -> Answer:
    """A transaction id that is another's but for the day in it."""
    id = counter.paid()["transaction_id"]
    return counter.send("GET", f"{PAY}id/{id[:8]}0909{id[12:]}?mchid={counter.mchid}")


def close_too_soon(counter: Counter) -> Answer:
    settle(counter, close_gap_ms=300_000)
    counter.prepay()
    counter.sandbox.advance(minutes=4)
    return counter.close()


def close_while_paying(counter: Counter) -> Answer:
    assert counter.pay(counter.shown(), outcome="ok_but_unpaid").result == "ok"
    return counter.close()


def close_paid(counter: Counter) -> Answer:
    counter.paid()
    return counter.close()


def download(then: Callable[[Counter, str], Answer]) -> Play:
    """The link of a bill is followed by somebody, or later."""

    def play(counter: Counter) -> Answer:
        counter.paid()
        counter.sandbox.advance(days=1, hours=11)
        url = content(bill(counter, "tradebill"))["download_url"]
        return then(counter, url.removeprefix("https://api.mch.weixin.qq.com"))

    return play


def followed_late(counter: Counter, target: str) -> Answer:
    counter.sandbox.advance(minutes=5)
    return counter.send("GET", target)


def followed_by_another(counter: Counter, target: str) -> Answer:
    return counter.neighbour().send("GET", target)


def no_bill(kind: str) -> Play:
    def play(counter: Counter) -> Answer:
        counter.sandbox.advance(hours=11)
        return bill(counter, kind)

    return play


def early_bill(kind: str) -> Play:
    def play(counter: Counter) -> Answer:
        counter.paid()
        counter.sandbox.advance(days=1)  # 08:00
        return bill(counter, kind)

    return play


def bill_of(kind: str, ago: int, more: str = "") -> Play:
    return lambda counter: bill(counter, kind, ago, more)


def certificates_of_a_new_merchant(counter: Counter) -> Answer:
    counter.wechat.change(msgspec.structs.replace(counter.merchant, key_kind="public_key"))
    return counter.send("GET", CERTIFICATES)


def unsigned(method: str, target: str) -> Play:
    return lambda counter: counter.wechat.receive(
        counter.request(method, target, None, {"authorization": ""})
    )


AMOUNT = {"refund": 1, "total": 1, "currency": "CNY"}

# fmt: off
ROWS: list[tuple[str, Play, int, str]] = [
    # PARAM_ERROR, INVALID_REQUEST: 400, all.
    *((f"1.7 PARAM_ERROR {t}", prepay(t, description=None), 400, "PARAM_ERROR") for t in TYPES),
    ("1.7 PARAM_ERROR query", get(PAY + "out-trade-no/T-000001"), 400, "PARAM_ERROR"),
    ("1.7 PARAM_ERROR query by id", get(PAY + "id/1?mchid="), 400, "PARAM_ERROR"),
    ("1.7 PARAM_ERROR close", post(PAY + "out-trade-no/T-000001/close", {}), 400, "PARAM_ERROR"),
    ("1.7 PARAM_ERROR refund", post(REFUNDS, {}), 400, "PARAM_ERROR"),
    ("1.7 PARAM_ERROR refund query", get(REFUNDS + "/%20"), 400, "PARAM_ERROR"),
    *((f"1.7 PARAM_ERROR {b}", get(f"/v3/bill/{b}?bill_date=x"), 400, "PARAM_ERROR") for b in BILLS),
    ("1.7 PARAM_ERROR download", get("/v3/billdownload/file"), 400, "PARAM_ERROR"),
    ("1.7 PARAM_ERROR download, no token of ours", get("/v3/billdownload/file?token=x"), 400, "PARAM_ERROR"),
    ("1.7 PARAM_ERROR certificates", get(CERTIFICATES + "?algorithm_type=x"), 400, "PARAM_ERROR"),
    *((f"1.7 INVALID_REQUEST {t}, paid", after_paying(t), 400, "INVALID_REQUEST") for t in TYPES),
    ("1.7 INVALID_REQUEST download, late", download(followed_late), 400, "INVALID_REQUEST"),
    # Orders.
    *((f"1.7 APPID_MCHID_NOT_MATCH {t}", prepay(t, appid="wx1"), 400, "APPID_MCHID_NOT_MATCH")
      for t in TYPES),
    *((f"1.7 MCH_NOT_EXISTS {t}", named_nobody(t), 400, "MCH_NOT_EXISTS") for t in TYPES),
    ("1.7 MCH_NOT_EXISTS query", named_nobody("query"), 400, "MCH_NOT_EXISTS"),
    ("1.7 MCH_NOT_EXISTS query by id", named_nobody("id"), 400, "MCH_NOT_EXISTS"),
    ("1.7 MCH_NOT_EXISTS close", named_nobody("close"), 400, "MCH_NOT_EXISTS"),
    ("1.7 MCH_NOT_EXISTS refund", named_nobody("refund"), 404, "MCH_NOT_EXISTS"),
    ("1.7 ORDER_CLOSED native", after_closing("native"), 400, "ORDER_CLOSED"),
    *((f"1.7 INVALID_REQUEST {t}, closed", after_closing(t), 400, "INVALID_REQUEST") for t in TYPES[:3]),
    *((f"1.7 NO_AUTH {t}, without product", without_product(t), 403, "NO_AUTH") for t in TYPES),
    *((f"1.7 OUT_TRADE_NO_USED {t}, other parameters", again(t, t, attach="x"), 403, "OUT_TRADE_NO_USED")
      for t in TYPES),
    ("1.7 OUT_TRADE_NO_USED other endpoint", again("native", "app"), 403, "OUT_TRADE_NO_USED"),
    ("1.7 OUT_TRADE_NO_USED other endpoint", again("jsapi", "native"), 403, "OUT_TRADE_NO_USED"),
    # Queries and closing.
    ("1.7 ORDER_NOT_EXIST query", get(PAY + "out-trade-no/T-000009?mchid=MCHID"), 404, "ORDER_NOT_EXIST"),
    ("1.7 ORDER_NOT_EXIST query by id", get(PAY + "id/42?mchid=MCHID"), 404, "ORDER_NOT_EXIST"),
    ("1.7 ORDER_NOT_EXIST query by id, unpaid", of_unpaid, 404, "ORDER_NOT_EXIST"),
    ("1.7 ORDER_NOT_EXIST query by id, another day's", of_another_day, 404, "ORDER_NOT_EXIST"),
    ("1.7 ORDER_NOT_EXIST query, another merchant's", elsewhere(lambda c: c.query()), 404, "ORDER_NOT_EXIST"),
    ("1.7 ORDER_NOT_EXIST query by id, another merchant's", elsewhere(by_known_id), 404, "ORDER_NOT_EXIST"),
    ("1.7 ORDER_NOT_EXIST close", lambda counter: counter.close(), 404, "ORDER_NOT_EXIST"),
    ("1.7 RULE_LIMIT close", close_too_soon, 403, "RULE_LIMIT"),
    ("1.7 TRADE_ERROR close", close_while_paying, 403, "TRADE_ERROR"),
    ("1.7 close on a paid order", close_paid, 400, "ORDER_PAID"),
    # Refunds.
    ("1.7 RESOURCE_NOT_EXISTS refund, no order", refund(nothing), 404, "RESOURCE_NOT_EXISTS"),
    ("1.7 RESOURCE_NOT_EXISTS refund, no such id",
     refund(nothing, out_trade_no=None, transaction_id="4200"), 404, "RESOURCE_NOT_EXISTS"),
    ("1.7 RESOURCE_NOT_EXISTS refund, unpaid", refund(unpaid), 404, "RESOURCE_NOT_EXISTS"),
    ("1.7 RESOURCE_NOT_EXISTS refund, closed", refund(paid_and_closed), 404, "RESOURCE_NOT_EXISTS"),
    ("1.7 RESOURCE_NOT_EXISTS refund, another merchant's",
     elsewhere(lambda c: c.refund(100, "R-2")), 404, "RESOURCE_NOT_EXISTS"),
    ("1.7 RESOURCE_NOT_EXISTS refund query", get(REFUNDS + "/R-1"), 404, "RESOURCE_NOT_EXISTS"),
    ("1.7 RESOURCE_NOT_EXISTS refund query, another merchant's",
     elsewhere(lambda c: c.send("GET", REFUNDS + "/R-1")), 404, "RESOURCE_NOT_EXISTS"),
    ("1.7 NOT_ENOUGH refund", refund(settled), 403, "NOT_ENOUGH"),
    ("1.7 PARAM_ERROR refund, both ids", refund(paid, transaction_id="42"), 400, "PARAM_ERROR"),
    ("1.7 PARAM_ERROR refund, no id", refund(paid, out_trade_no=None), 400, "PARAM_ERROR"),
    ("1.7 INVALID_REQUEST refund, too much", refund(refunded_once), 400, "INVALID_REQUEST"),
    ("1.7 INVALID_REQUEST refund, too late", refund(over_a_year), 400, "INVALID_REQUEST"),
    ("1.7 INVALID_REQUEST refund, another total",
     refund(paid, amount={"refund": 1, "total": 1279, "currency": "CNY"}), 400, "INVALID_REQUEST"),
    ("1.7 FREQUENCY_LIMITED refund", refund(refunded_just_now, 100), 429, "FREQUENCY_LIMITED"),
    # Bills and certificates.
    *((f"1.7 NO_STATEMENT_EXIST {b}", no_bill(b), 400, "NO_STATEMENT_EXIST") for b in BILLS),
    *((f"1.7 STATEMENT_CREATING {b}", early_bill(b), 400, "STATEMENT_CREATING") for b in BILLS),
    *((f"2 {b} not today", bill_of(b, 0), 400, "PARAM_ERROR") for b in BILLS),
    *((f"2 {b} within 3 months", bill_of(b, 94), 400, "PARAM_ERROR") for b in BILLS),
    ("2 bill_type", bill_of("tradebill", 2, "&bill_type=REVOKED"), 400, "PARAM_ERROR"),
    ("2 account_type", bill_of("fundflowbill", 2, "&account_type=ALL"), 400, "PARAM_ERROR"),
    ("2 tar_type", bill_of("tradebill", 2, "&tar_type=ZIP"), 400, "PARAM_ERROR"),
    ("1.7 NO_AUTH download by another merchant", download(followed_by_another), 403, "NO_AUTH"),
    ("1.4 certificates of a new merchant", certificates_of_a_new_merchant, 404, "RESOURCE_NOT_EXISTS"),
    # SIGN_ERROR: 401, all.
    *((f"1.7 SIGN_ERROR {row.method} {row.path}", unsigned(row.method, row.path), 401, "SIGN_ERROR")
      for row in ENDPOINTS),
]
# fmt: on


@pytest.mark.parametrize(("play", "status", "code"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_each_error_has_its_code_and_status(play: Play, status: int, code: str) -> None:
    counter = Counter()
    answer = play(counter)
    assert said(answer) == (status, code)
    assert answer.code == code
    assert answer.why
    assert answer.outcome is not None
    assert not answer.outcome.approved
    assert content(answer, status)["message"]
    counter.sandbox.verify()


# Codes that nothing but a fault can force: their status at each endpoint. ---------------------------

# fmt: off
FORCED: list[tuple[str, str, int]] = [
    *((t, "RULE_LIMIT", 403) for t in ("POST " + PAY + "h5", "GET " + PAY + "id/{transaction_id}",
       "GET " + PAY + "out-trade-no/{out_trade_no}")),
    *((t, "TRADE_ERROR", 403) for t in ("GET " + PAY + "id/{transaction_id}",
       "GET " + PAY + "out-trade-no/{out_trade_no}")),
    ("POST " + REFUNDS, "USER_ACCOUNT_ABNORMAL", 403),
    *((f"{row.method} {row.path}", code, status) for row in ENDPOINTS for code, status in (
        ("FREQUENCY_LIMITED", 429), ("SYSTEM_ERROR", 500), ("SERVICE_UNAVAILABLE", 503))),
]
# fmt: on


@pytest.mark.parametrize(("call", "code", "status"), FORCED)
def test_codes_that_only_a_fault_forces_have_their_status(call: str, code: str, status: int) -> None:
    method, path = call.split()
    row = next(row for row in ENDPOINTS if (row.method, row.path) == (method, path))
    request = Request(method, path, {"accept-language": "en"})
    answer = error_answer(WeChatError(code), request, Counter().wechat, row.statuses)
    assert said(answer) == (status, code)
    assert content(answer, status)["message"] == CODES[code].english


def test_old_spellings_lead_to_a_code_of_today() -> None:
    """1.7: older pages spell SYSTEMERROR, NOAUTH, and so on."""
    old = (
        "SYSTEMERROR NOAUTH NOTENOUGH ORDERNOTEXIST RULELIMIT BANKERROR OPENID_MISMATCH INVALID_TRANSACTIONID"
    )
    assert set(old.split()) | {"ACCOUNTERROR", "RATELIMIT_EXCEEDED"} == set(OLD_CODES)
    assert set(OLD_CODES.values()) <= set(CODES)


# The detail of a PARAM_ERROR. ---------------------------------------------------------------------

# fmt: off
DETAILS: list[tuple[str, Play, str, object, str]] = [
    ("body", prepay("native", amount={"total": 1, "currency": "USD"}), "/amount/currency", "USD", "body"),
    ("body, type", prepay("native", amount={"total": "1"}), "/amount/total", "1", "body"),
    ("body, missing", prepay("native", amount={}), "/amount/total", "", "body"),
    ("body, range", prepay("native", amount={"total": 0}), "/amount/total", 0, "body"),
    ("body, null", lambda c: c.send("POST", PAY + "native", {**c.order(), "attach": None}),
     "/attach", None, "body"),
    ("body, no query in notify_url", prepay("native", notify_url="https://shop.example/n?a=1"),
     "/notify_url", "https://shop.example/n?a=1", "body"),
    ("body, short number", prepay("native", number="12345"), "/out_trade_no", 5, "body"),
    ("body, long number", prepay("native", number="1" * 33), "/out_trade_no", 33, "body"),
    ("body, signs in a number", prepay("native", number="a b c d"), "/out_trade_no", "a b c d", "body"),
    ("body, another's openid", prepay("jsapi", payer={"openid": "oNobody"}),
     "/payer/openid", "oNobody", "body"),
    ("body, own address", prepay("h5", scene_info={**H5_INFO, "payer_client_ip": "127.0.0.1"}),
     "/scene_info/payer_client_ip", "127.0.0.1", "body"),
    ("query", get(PAY + "out-trade-no/T-000001"), "mchid", "", "query"),
    ("query, date", get("/v3/bill/tradebill?bill_date=2026-02-30"), "bill_date", "2026-02-30", "query"),
    ("url", get(PAY + "out-trade-no/1?mchid=MCHID"), "out_trade_no", 1, "url"),
]
# fmt: on


@pytest.mark.parametrize(
    ("play", "field", "value", "location"), [row[1:] for row in DETAILS], ids=[row[0] for row in DETAILS]
)
def test_a_param_error_points_at_the_field(play: Play, field: str, value: object, location: str) -> None:
    answer = play(Counter())
    assert said(answer) == (400, "PARAM_ERROR")
    detail = content(answer, 400)["detail"]
    assert (detail["field"], detail["value"], detail["location"]) == (field, value, location)
    assert detail["issue"]


# The number at the end of Request-ID. -------------------------------------------------------------

NUMBERS: list[tuple[str, Play, int]] = [
    ("2.1 order missing", get(PAY + "id/42?mchid=MCHID"), 268512771),
    ("2.1 rate", refund(refunded_just_now, 100), 268447840),
    ("2.1 bad parameter", prepay("native", description=None), 268435461),
    ("2.1 paid, closing", close_paid, 268449538),
    ("2.1 paid, ordering", after_paying("app"), 268498689),
    ("2.1 order dead", after_closing("native"), 268447914),
    ("2.1 signature", unsigned("GET", CERTIFICATES), 268443699),
    ("2.1 openid missing", prepay("jsapi", payer={}), 268501013),
    ("2.1 re-entry mismatch", again("app", "app", attach="x"), 268498688),
    ("2.1 appid/mchid", prepay("app", appid="wx1"), 268445527),
]


@pytest.mark.parametrize(("play", "number"), [row[1:] for row in NUMBERS], ids=[row[0] for row in NUMBERS])
def test_the_request_id_ends_in_the_number_of_the_failure(play: Play, number: int) -> None:
    assert play(Counter()).response.header("Request-ID").endswith(f"-{number}")


# Permissions of apps. -----------------------------------------------------------------------------

APP_ROWS: list[tuple[App, str, int]] = [
    (APPS[0], "jsapi", 200),
    (APPS[1], "jsapi", 200),
    (APPS[2], "jsapi", 403),
    (App("wx00000000000000a4", verified=False), "jsapi", 403),
    (App("wx00000000000000a4", verified=False), "native", 200),
    (APPS[2], "app", 200),
]


@pytest.mark.parametrize(("app", "trade_type", "status"), APP_ROWS)
def test_a_jsapi_order_wants_a_verified_account_or_a_mini_program(
    app: App, trade_type: str, status: int
) -> None:
    answer = Counter(apps=(app,)).prepay(trade_type)
    assert said(answer) == (status, "NO_AUTH" if status == 403 else "")
