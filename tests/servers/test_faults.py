"""Each fault by the wire, seen from three sides: the client, the operator's book, and the ledger."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from wechat_wire import NATIVE, REFUNDS, Arrived, Receiver, Shop, checked, receiving
from wechatpayv3 import WeChatPay, WeChatPayType

from paysim import Fault
from paysim.core.errors import AuthenticityError
from paysim.faults import ACTIONS
from paysim.operators.wechat.platform_signature import PROBE
from paysim.operators.wechat.sealing import open_resource
from paysim.testing.server import RunningServer

WEALTH = 2_000_000
"""What Alice and Bob have together, in fen."""

FEN = 1280
Money = tuple[int, int]
UNTOUCHED: Money = (WEALTH, 0)
PAID: Money = (WEALTH - FEN, 0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def shop(paysim_server: RunningServer, receiver: Receiver) -> Iterator[Shop]:
    with httpx.Client(base_url=paysim_server.base_url, timeout=20, trust_env=False) as client:
        yield Shop(paysim_server, client, receiver.url)


# Connections. -------------------------------------------------------------------------------------

BROKEN: dict[str, type[Exception]] = {"lose": httpx.RemoteProtocolError, "reset": httpx.ReadError}


@pytest.mark.parametrize("action", BROKEN)
def test_a_request_that_is_lost_has_no_effect(action: str, shop: Shop) -> None:
    shop.server.faults.add(Fault("request", action))
    with pytest.raises(BROKEN[action]):
        shop.prepay("T-000001")
    assert shop.book("T-000001") is None
    assert shop.money() == UNTOUCHED
    assert shop.server.requests[0]["fault"] == f"{action} of the request"
    shop.paid("T-000001")
    assert shop.money() == PAID


@pytest.mark.parametrize("action", BROKEN)
def test_an_order_whose_answer_is_lost_exists_and_is_ordered_again(action: str, shop: Shop) -> None:
    shop.server.faults.add(Fault("answer", action))
    with pytest.raises(BROKEN[action]):
        shop.prepay("T-000001")
    book = shop.book("T-000001")
    assert book is not None
    assert shop.kinds("T-000001") == ["created", "presented"]
    assert (shop.server.requests[0]["status"], shop.server.requests[0]["code"]) == (0, "")
    again = shop.prepay("T-000001")
    assert again.status_code == 200
    assert shop.book("T-000001") is book
    assert shop.prepay("T-000001", 99).json()["code"] == "OUT_TRADE_NO_USED"
    assert shop.server.pay(again.json()["code_url"])["result"] == "ok"
    assert shop.money() == PAID


@pytest.mark.parametrize("action", BROKEN)
def test_a_refund_whose_answer_is_lost_is_asked_for_again_and_paid_once(action: str, shop: Shop) -> None:
    shop.paid("T-000001")
    shop.server.faults.add(Fault("answer", action, verb="refund"))
    with pytest.raises(BROKEN[action]):
        shop.refund("T-000001", "R-1")
    asked = shop.book("T-000001")
    first, second = shop.refund("T-000001", "R-1"), shop.refund("T-000001", "R-1")
    shop.server.clock.advance(seconds=2)
    third = shop.refund("T-000001", "R-1")
    assert [one.status_code for one in (first, second, third)] == [200, 200, 200]
    assert len({one.json()["refund_id"] for one in (first, second, third)}) == 1
    assert third.json()["status"] == "SUCCESS"
    assert asked is not None
    assert shop.kinds("T-000001").count("refunded") == 1
    assert shop.money() == UNTOUCHED
    assert shop.refund("T-000001", "R-1", 99).status_code == 400


def test_a_close_whose_answer_is_lost_is_asked_for_again(shop: Shop) -> None:
    shop.code_url("T-000001")
    shop.server.faults.add(Fault("answer", verb="close"))
    with pytest.raises(httpx.RemoteProtocolError):
        shop.close("T-000001")
    assert shop.query("T-000001").json()["trade_state"] == "CLOSED"
    again = shop.close("T-000001")
    assert (again.status_code, checked(shop, again.headers, b"")) == (204, "")
    assert shop.money() == UNTOUCHED


@pytest.mark.parametrize("action", ["lose", "reset"])
@pytest.mark.parametrize("point", ["request", "answer"])
def test_what_the_socket_sees(point: str, action: str, shop: Shop) -> None:
    """lose: the end without a byte; reset: ECONNRESET."""
    shop.server.faults.add(Fault(point, action))
    with socket.create_connection(("127.0.0.1", shop.client.base_url.port), timeout=10) as raw:
        raw.sendall(_raw(shop, "T-000001"))
        if action == "lose":
            assert raw.recv(1) == b""
        else:
            with pytest.raises(ConnectionResetError):
                raw.recv(1)


def _raw(shop: Shop, number: str) -> bytes:
    """A whole prepay request."""
    body = json.dumps(shop.order(number)).encode()
    headers = {**shop.headers("POST", NATIVE, body), "Host": "127.0.0.1", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {NATIVE} HTTP/1.1\r\n{head}\r\n".encode() + body


@pytest.mark.parametrize("point", ["request", "answer"])
def test_a_delay_comes_before_the_effect_or_after_it(point: str, shop: Shop) -> None:
    shop.server.faults.add(Fault(point, "delay", delay_s=0.4))
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(shop.prepay, "T-000001")
        while shop.server.faults.faults:
            time.sleep(0.001)
        assert (shop.book("T-000001") is not None) == (point == "answer")
        assert not asked.done()
        assert asked.result().status_code == 200
    assert time.monotonic() - began >= 0.4
    assert shop.kinds("T-000001") == ["created", "presented"]
    assert shop.money() == UNTOUCHED


def test_others_are_served_while_one_waits(shop: Shop) -> None:
    shop.server.faults.add(Fault("answer", "delay", delay_s=0.5, verb="present"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(shop.prepay, "T-000001")
        while shop.server.faults.faults:
            time.sleep(0.001)
        assert shop.server.client.call("GET", "/people")
        assert not slow.done()
        assert slow.result().status_code == 200


def test_half_of_a_body_is_half_of_it(shop: Shop) -> None:
    shop.server.faults.add(Fault("answer", "truncate"))
    with socket.create_connection(("127.0.0.1", shop.client.base_url.port), timeout=10) as raw:
        raw.sendall(_raw(shop, "T-000001"))
        came = b"".join(iter(lambda: raw.recv(65536), b""))
    head, _, half = came.partition(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    assert len(half) == int(length.split(b":")[1]) // 2 > 0
    assert shop.kinds("T-000001") == ["created", "presented"]
    assert shop.money() == UNTOUCHED


def test_a_client_notices_half_a_body(shop: Shop) -> None:
    shop.server.faults.add(Fault("answer", "truncate"))
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        shop.prepay("T-000001")
    shop.paid("T-000001")
    assert shop.money() == PAID


def test_an_error_is_cut_in_two_as_well(shop: Shop) -> None:
    """It has a Content-Length of its own in no case: there is one, and it is the whole body's."""
    shop.server.faults.add(Fault("answer", "truncate"))
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        shop.query("T-000009")
    assert shop.client.get("/v3/nothing").status_code == 404


@pytest.mark.parametrize("action", ["truncate", "re_encode", "bad_tag"])
def test_what_has_no_body_has_no_wrong_one(action: str, shop: Shop) -> None:
    """A 204 was sent with a body, or the fault was used up by it."""
    shop.code_url("T-000001")
    shop.server.faults.add(Fault("answer", action))
    closed = shop.close("T-000001")
    assert (closed.status_code, closed.content, checked(shop, closed.headers, b"")) == (204, b"", "")
    assert [one.action for one in shop.server.faults.faults] == [action]


# Errors. ------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Shop], httpx.Response]] = {
    "prepay": lambda shop: shop.prepay("T-000002"),
    "query": lambda shop: shop.query("T-000001"),
    "close": lambda shop: shop.close("T-000003"),
    "refund": lambda shop: shop.refund("T-000001", "R-1"),
    "refund query": lambda shop: shop.send("GET", "/v3/refund/domestic/refunds/R-0"),
    "certificates": lambda shop: shop.send("GET", "/v3/certificates"),
    "bill": lambda shop: shop.send("GET", "/v3/bill/tradebill?bill_date=2025-12-31"),
}

# The call, the code of the fault, the status and the code of the answer (facts/wechat 1.7).
ERRORS: list[tuple[str, str, int, str]] = [
    ("prepay", "SYSTEM_ERROR", 500, "SYSTEM_ERROR"),
    ("prepay", "SERVICE_UNAVAILABLE", 503, "SERVICE_UNAVAILABLE"),
    ("prepay", "FREQUENCY_LIMITED", 429, "FREQUENCY_LIMITED"),
    ("prepay", "NO_AUTH", 403, "NO_AUTH"),
    ("prepay", "OUT_TRADE_NO_USED", 403, "OUT_TRADE_NO_USED"),
    ("prepay", "RULE_LIMIT", 403, "RULE_LIMIT"),
    ("prepay", "MCH_NOT_EXISTS", 400, "MCH_NOT_EXISTS"),
    ("prepay", "APPID_MCHID_NOT_MATCH", 400, "APPID_MCHID_NOT_MATCH"),
    ("prepay", "ORDER_CLOSED", 400, "ORDER_CLOSED"),
    ("prepay", "PARAM_ERROR", 400, "PARAM_ERROR"),
    ("prepay", "SIGN_ERROR", 401, "SIGN_ERROR"),
    ("query", "ORDER_NOT_EXIST", 404, "ORDER_NOT_EXIST"),
    ("query", "TRADE_ERROR", 403, "TRADE_ERROR"),
    ("query", "MCH_NOT_EXISTS", 400, "MCH_NOT_EXISTS"),
    ("close", "SYSTEM_ERROR", 500, "SYSTEM_ERROR"),
    ("close", "ORDER_NOT_EXIST", 404, "ORDER_NOT_EXIST"),
    ("close", "ORDER_PAID", 400, "ORDER_PAID"),
    ("refund", "SYSTEM_ERROR", 500, "SYSTEM_ERROR"),
    ("refund", "MCH_NOT_EXISTS", 404, "MCH_NOT_EXISTS"),
    ("refund", "RESOURCE_NOT_EXISTS", 404, "RESOURCE_NOT_EXISTS"),
    ("refund", "NOT_ENOUGH", 403, "NOT_ENOUGH"),
    ("refund", "USER_ACCOUNT_ABNORMAL", 403, "USER_ACCOUNT_ABNORMAL"),
    ("refund", "INVALID_REQUEST", 400, "INVALID_REQUEST"),
    ("refund query", "RESOURCE_NOT_EXISTS", 404, "RESOURCE_NOT_EXISTS"),
    ("certificates", "RESOURCE_NOT_EXISTS", 404, "RESOURCE_NOT_EXISTS"),
    ("bill", "NO_STATEMENT_EXIST", 400, "NO_STATEMENT_EXIST"),
    ("bill", "STATEMENT_CREATING", 400, "STATEMENT_CREATING"),
    ("bill", "NO_AUTH", 403, "NO_AUTH"),
    ("refund", "SYSTEMERROR", 500, "SYSTEM_ERROR"),
    ("refund", "NOTENOUGH", 403, "NOT_ENOUGH"),
    ("query", "ORDERNOTEXIST", 404, "ORDER_NOT_EXIST"),
]


def test_an_error_before_the_effect_and_after_it(shop: Shop) -> None:
    """Each code with the status of its endpoint; before: nothing is done, after: all of it."""
    for number in ("T-000001", "T-000004"):
        shop.paid(number)
    shop.code_url("T-000003")
    shop.server.settle()
    before = shop.sandbox.journal.position
    for call, code, status, said in ERRORS:
        shop.server.faults.add(Fault("request", "error", code=code))
        answer = CALLS[call](shop)
        assert (answer.status_code, answer.json()["code"]) == (status, said), (call, code)
        assert set(answer.json()) == {"code", "message"}
        assert not [name for name in answer.headers if name.lower().startswith("wechatpay-")]
        logged = shop.server.requests[0]
        assert (logged["status"], logged["code"]) == (status, said)
        assert logged["why"] == f"a fault answers {said}, before the effect"
    assert shop.sandbox.journal.position == before
    for call, code, status, said in ERRORS:
        shop.server.faults.add(Fault("answer", "error", code=code))
        answer = CALLS[call](shop)
        assert (answer.status_code, answer.json()["code"]) == (status, said), (call, code)
        assert shop.server.requests[0]["why"] == f"a fault answers {said}, after the effect"
    assert shop.kinds("T-000002")[:2] == ["created", "presented"]
    assert shop.query("T-000003").json()["trade_state"] == "CLOSED"
    shop.server.clock.advance(seconds=2)
    assert shop.query("T-000001").json()["trade_state"] == "REFUND"
    assert shop.kinds("T-000001").count("refunded") == 1
    assert shop.money() == PAID  # T-000004
    assert shop.server.faults.faults == ()


def test_a_500_after_the_effect_is_asked_again_with_the_same_parameters(shop: Shop) -> None:
    shop.paid("T-000001")
    shop.server.faults.add(Fault("answer", "error", verb="refund"))
    assert shop.refund("T-000001", "R-1").status_code == 500
    assert shop.refund("T-000001", "R-1").status_code == 200
    shop.server.clock.advance(seconds=2)
    assert shop.money() == UNTOUCHED


def test_a_limiter_lets_some_of_a_burst_through(shop: Shop) -> None:
    """20 at once at 5 a second; used up, it is over."""
    shop.server.faults.add(Fault("request", "limit", verb="present", per_s=5, times=15))
    numbers = [f"T-{n:06d}" for n in range(20)]
    bodies = [json.dumps(shop.order(number)).encode() for number in numbers]
    headers = [shop.headers("POST", NATIVE, body) for body in bodies]
    began = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        asked = [
            pool.submit(shop.client.post, NATIVE, content=body, headers=said)
            for body, said in zip(bodies, headers, strict=True)
        ]
        answers = [one.result() for one in asked]
    allowed = 5 * (1 + int(time.monotonic() - began))
    taken = [n for n, one in zip(numbers, answers, strict=True) if one.status_code == 200]
    refused = [one for one in answers if one.status_code == 429]
    assert len(taken) + len(refused) == 20
    assert 5 <= len(taken) <= allowed
    assert {one.json()["code"] for one in refused} == {"FREQUENCY_LIMITED"}
    assert [number for number in numbers if shop.book(number) is not None] == taken
    assert {shop.query(number).status_code for number in taken} == {200}  # other verbs are not limited
    assert shop.money() == UNTOUCHED


def test_a_limit_that_is_used_up_is_over(shop: Shop) -> None:
    shop.server.faults.add(Fault("request", "limit", per_s=1, times=2))
    statuses = [shop.query("T-000001").status_code for _ in range(5)]
    assert sorted(statuses)[-2:] == [429, 429]
    assert statuses[0] == 404
    assert shop.server.faults.faults == ()


# Answers that a client must refuse. ---------------------------------------------------------------

SPOILT: dict[str, str] = {
    "wrong_signature": "signature",
    "unknown_serial": "is not among",
    "expired_time": "more than 300 s",
    "re_encode": "signature",
    "probe": "probe traffic",
}
"""Action -> what a careful client says."""


@pytest.mark.parametrize("key", ["certificate", "public key"])
@pytest.mark.parametrize("action", SPOILT)
def test_an_answer_is_signed_wrong_and_the_next_one_right(action: str, key: str, shop: Shop) -> None:
    serial = {"Wechatpay-Serial": shop.server.wechat["public_key_id"]} if key == "public key" else {}
    shop.server.faults.add(Fault("answer", action))
    body = shop.order("T-000001")
    wrong = shop.send("POST", NATIVE, body, **serial)
    assert wrong.status_code == 200
    assert SPOILT[action] in checked(shop, wrong.headers, wrong.content)
    assert wrong.json()["code_url"] == shop.sandbox.wechat.book(_order(shop)).presentation.data["text"]  # type: ignore[union-attr]
    right = shop.send("POST", NATIVE, body, **serial)
    assert checked(shop, right.headers, right.content) == ""
    assert right.headers["Wechatpay-Serial"].startswith("PUB_KEY_ID_") == (key == "public key")
    assert shop.kinds("T-000001").count("presented") == 2
    assert shop.server.pay(right.json()["code_url"])["result"] == "ok"
    assert shop.money() == PAID


def _order(shop: Shop) -> str:
    book = shop.book("T-000001")
    assert book is not None
    return book.id


def test_probe_traffic_is_no_base64(shop: Shop) -> None:
    shop.server.faults.add(Fault("answer", "probe"))
    assert shop.prepay("T-000001").headers["Wechatpay-Signature"].startswith(PROBE)


def test_an_empty_answer_is_signed_wrong_as_well(shop: Shop) -> None:
    shop.code_url("T-000001")
    shop.server.faults.add(Fault("answer", "wrong_signature"))
    assert "signature" in checked(shop, shop.close("T-000001").headers, b"")
    assert checked(shop, shop.close("T-000001").headers, b"") == ""


def test_certificates_do_not_open_once(shop: Shop) -> None:
    """bad_tag: the signature is true, what is sealed does not open; it waits for something sealed."""
    shop.server.faults.add(Fault("answer", "bad_tag"))
    assert checked(shop, (ordered := shop.prepay("T-000001")).headers, ordered.content) == ""
    assert len(shop.server.faults.faults) == 1
    wrong, right = (shop.send("GET", "/v3/certificates") for _ in range(2))
    for answer in (wrong, right):
        assert checked(shop, answer.headers, answer.content) == ""
    with pytest.raises(AuthenticityError):
        open_resource(shop.api_v3_key, wrong.json()["data"][0]["encrypt_certificate"])
    opened = open_resource(shop.api_v3_key, right.json()["data"][0]["encrypt_certificate"])
    assert opened.startswith(b"-----BEGIN CERTIFICATE-----")
    assert shop.kinds("T-000001") == ["created", "presented"]
    assert shop.money() == UNTOUCHED


def test_an_error_is_not_signed_and_uses_up_no_wrong_signature(shop: Shop) -> None:
    shop.server.faults.add(Fault("answer", "wrong_signature"))
    assert shop.query("T-000001").status_code == 404
    assert checked(shop, (answer := shop.prepay("T-000001")).headers, answer.content) != ""


# Callbacks that a merchant must refuse. -----------------------------------------------------------


def careful(shop: Shop, seen: list[str]) -> Callable[[Arrived], int]:
    """A merchant's judgement: what it says, and 401 or 204."""

    def judge(one: Arrived) -> int:
        try:
            shop.opened(one)
        except AuthenticityError as error:
            seen.append(str(error))
            return 401
        seen.append("")
        return 204

    return judge


@pytest.mark.parametrize("action", [*SPOILT, "bad_tag"])
def test_a_callback_that_is_wrong_is_refused_and_comes_again_right(
    action: str, shop: Shop, receiver: Receiver
) -> None:
    seen: list[str] = []
    receiver.judge = careful(shop, seen)
    shop.server.faults.add(Fault("callback", action))
    shop.paid("T-000001")
    shop.server.settle()
    (delivery,) = shop.server.deliveries
    if action == "probe":  # a true one follows it at once
        assert [one["fault"] for one in delivery["attempts"]] == ["probe"]
    else:
        assert (delivery["delivered"], delivery["attempts"][0]["status"]) == (False, 401)
        assert delivery["attempts"][0]["fault"] == action
        shop.server.clock.advance(seconds=15)
    wrong, right = receiver.wait(2)
    assert seen[0]
    assert SPOILT.get(action, "") in seen[0]
    assert seen[1:] == [""]
    assert (wrong.envelope["id"], wrong.envelope["create_time"]) == (
        right.envelope["id"],
        right.envelope["create_time"],
    )
    assert shop.opened(right)["amount"]["payer_total"] == FEN
    assert shop.server.deliveries[0]["delivered"]
    assert shop.kinds("T-000001").count("captured") == 1
    assert shop.money() == PAID


@pytest.mark.parametrize("action", ["wrong_signature", "re_encode", "bad_tag", "probe"])
def test_wechatpayv3_refuses_it_and_takes_the_next_one(action: str, shop: Shop, receiver: Receiver) -> None:
    known = shop.server.wechat
    sdk = WeChatPay(
        WeChatPayType.NATIVE,
        known["mchid"],
        known["private_key"],
        known["serial_no"],
        known["appid"],
        known["apiv3_key"],
        public_key=known["public_key"],
        public_key_id=known["public_key_id"],
    )
    events: list[Any] = []

    def judge(one: Arrived) -> int:
        try:
            events.append(sdk.callback(one.headers, one.body))
        except Exception as error:  # some are refused so
            events.append(error)
        return 204 if isinstance(events[-1], dict) else 401

    receiver.judge = judge
    shop.server.faults.add(Fault("callback", action))
    body = shop.order("T-000001")
    shown = shop.send("POST", NATIVE, body, **{"Wechatpay-Serial": known["public_key_id"]}).json()
    shop.server.pay(shown["code_url"])
    shop.server.settle()
    shop.server.clock.advance(seconds=15)
    receiver.wait(2)
    assert not isinstance(events[0], dict)
    assert events[1]["resource"]["out_trade_no"] == "T-000001"
    assert shop.money() == PAID


# Callbacks in another order, late, often, never. --------------------------------------------------


def test_a_lost_callback_climbs_the_ladder(shop: Shop, receiver: Receiver) -> None:
    shop.server.faults.add(Fault("callback"))
    shop.paid("T-000001")
    shop.server.settle()
    assert receiver.arrived == []
    (lost,) = shop.server.deliveries[0]["attempts"]
    assert (lost["status"], lost["error"], lost["fault"]) == (0, "lost by a fault", "lose")
    assert shop.query("T-000001").json()["trade_state"] == "SUCCESS"
    shop.server.clock.advance(seconds=14)
    assert receiver.arrived == []
    shop.server.clock.advance(seconds=1)
    (arrived,) = receiver.arrived
    assert shop.opened(arrived)["out_trade_no"] == "T-000001"
    assert shop.money() == PAID


LADDER_S = [15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600]


def test_the_whole_ladder_to_its_end(shop: Shop, receiver: Receiver) -> None:
    """facts/wechat 1.6: the first try and 15 more, 24 h 4 min; the same body, signed anew each time."""
    times: list[int] = []

    def judge(_: Arrived) -> int:
        times.append(shop.sandbox.clock.now_ms())
        return 500

    receiver.judge = judge
    start_ms = shop.server.clock.now_ms()
    shop.paid("T-000001")
    shop.server.settle()
    shop.server.clock.advance(seconds=sum(LADDER_S) - 1)
    assert len(receiver.arrived) == 15
    assert shop.server.deliveries[0]["due_ms"] == start_ms + 86_640_000
    shop.server.clock.advance(days=3)
    expected = [start_ms + 1000 * sum(LADDER_S[:n]) for n in range(16)]
    assert times == expected
    (delivery,) = shop.server.deliveries
    assert [one["at_ms"] for one in delivery["attempts"]] == expected
    assert [one["kind"] for one in delivery["attempts"]] == ["attempted"] * 15 + ["given_up"]
    assert {one["status"] for one in delivery["attempts"]} == {500}
    assert (delivery["delivered"], delivery["due_ms"]) == (False, None)
    assert len({one.body for one in receiver.arrived}) == 1
    assert len({one.headers["Wechatpay-Nonce"] for one in receiver.arrived}) == 16
    assert shop.kinds("T-000001").count("captured") == 1
    assert shop.money() == PAID


def test_the_ladder_ends_where_the_merchant_says_so(shop: Shop, receiver: Receiver) -> None:
    statuses = iter([500, 404, 302, 200])
    receiver.judge = lambda _: next(statuses)
    shop.paid("T-000001")
    shop.server.settle()
    shop.server.clock.advance(days=2)
    assert [one["status"] for one in shop.server.deliveries[0]["attempts"]] == [500, 404, 302, 200]
    assert shop.server.deliveries[0]["delivered"]


def test_a_callback_comes_late_by_the_sandboxs_clock(shop: Shop, receiver: Receiver) -> None:
    shop.server.faults.add(Fault("callback", "delay", delay_s=600))
    shop.paid("T-000001")
    shop.server.settle()
    shop.server.clock.advance(seconds=599)
    assert receiver.arrived == []
    assert shop.query("T-000001").json()["trade_state"] == "SUCCESS"
    shop.server.clock.advance(seconds=1)
    assert len(receiver.arrived) == 1
    assert [one["kind"] for one in shop.server.deliveries[0]["attempts"]] == ["postponed", "delivered"]
    assert shop.money() == PAID


def test_a_duplicate_comes_after_the_first_was_answered(shop: Shop, receiver: Receiver) -> None:
    under_way, most = [0], [0]

    def judge(_: Arrived) -> int:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        time.sleep(0.02)
        under_way[0] -= 1
        return 204

    receiver.judge = judge
    shop.server.faults.add(Fault("callback", "duplicate"))
    shop.paid("T-000001")
    shop.server.settle()
    one, other = receiver.wait(2)
    assert most == [1]
    assert one.body == other.body
    assert one.headers["Wechatpay-Nonce"] != other.headers["Wechatpay-Nonce"]
    assert [shop.opened(each)["out_trade_no"] for each in (one, other)] == ["T-000001"] * 2
    (attempt,) = shop.server.deliveries[0]["attempts"]
    assert (attempt["kind"], attempt["fault"]) == ("delivered", "duplicate")
    shop.server.clock.advance(days=2)
    assert len(receiver.arrived) == 2
    assert shop.money() == PAID


def test_two_come_at_once(shop: Shop, receiver: Receiver) -> None:
    together = threading.Barrier(2)

    def judge(_: Arrived) -> int:
        together.wait(5)
        return 204

    receiver.judge = judge
    shop.server.faults.add(Fault("callback", "concurrent"))
    shop.paid("T-000001")
    shop.server.settle()
    one, other = receiver.wait(2)
    assert one.body == other.body
    assert len(shop.server.deliveries[0]["attempts"]) == 1
    assert shop.money() == PAID


def test_two_at_once_that_fail_are_one_rung_of_the_ladder(shop: Shop, receiver: Receiver) -> None:
    """They counted as two tries, and the next rung was skipped."""
    receiver.judge = lambda _: 500
    shop.server.faults.add(Fault("callback", "concurrent"))
    shop.paid("T-000001")
    shop.server.settle()
    receiver.judge = lambda _: 204
    assert len(receiver.wait(2)) == 2
    (attempt,) = shop.server.deliveries[0]["attempts"]
    assert shop.server.deliveries[0]["due_ms"] == attempt["at_ms"] + 15_000
    shop.server.clock.advance(seconds=15)
    assert shop.server.deliveries[0]["delivered"]


def test_one_of_two_at_once_is_enough(shop: Shop, receiver: Receiver) -> None:
    statuses = iter([500, 204])
    receiver.judge = lambda _: next(statuses)
    shop.server.faults.add(Fault("callback", "concurrent"))
    shop.paid("T-000001")
    shop.server.settle()
    assert shop.server.deliveries[0]["delivered"]


def test_a_payments_callback_overtakes_pays_result(shop: Shop, receiver: Receiver) -> None:
    """It stayed in the queue until the result was out."""
    returned = threading.Event()
    order: list[bool] = []

    def judge(_: Arrived) -> int:
        time.sleep(0.05)
        order.append(returned.is_set())
        return 204

    receiver.judge = judge
    text = shop.code_url("T-000001")
    shop.server.faults.add(Fault("callback", "early", verb="authorize", channel="qr.wechat"))
    assert shop.server.pay(text)["result"] == "ok"
    returned.set()
    assert order == [False]
    assert len(receiver.arrived) == 1
    assert shop.server.faults.faults == ()
    assert shop.money() == PAID


def test_a_refunds_callback_overtakes_its_answer(shop: Shop, receiver: Receiver) -> None:
    shop.paid("T-000001")
    shop.server.settle()
    receiver.arrived.clear()
    answered = threading.Event()
    order: list[bool] = []

    def judge(_: Arrived) -> int:
        time.sleep(0.05)
        order.append(answered.is_set())
        return 204

    receiver.judge = judge
    shop.server.faults.add(Fault("callback", "early", verb="refund"))
    assert shop.refund("T-000001", "R-0", 99_999, notify_url=receiver.url).status_code >= 400
    assert len(shop.server.faults.faults) == 1  # a refusal owes no callback
    assert shop.refund("T-000001", "R-1", notify_url=receiver.url).status_code == 200
    answered.set()
    assert order == [False]
    assert shop.opened(receiver.arrived[0])["refund_status"] == "SUCCESS"
    assert shop.server.faults.faults == ()
    assert shop.money() == UNTOUCHED


def test_an_early_callback_is_not_used_up_by_a_payment_that_fails(shop: Shop, receiver: Receiver) -> None:
    text = shop.code_url("T-000001")
    shop.server.faults.add(Fault("callback", "early"))
    assert shop.server.pay(text, outcome="wrong_pin")["result"] == "fail"
    assert len(shop.server.faults.faults) == 1
    assert shop.server.pay(text)["result"] == "ok"
    assert len(receiver.arrived) == 1


def test_a_callback_waits_for_the_next_one(shop: Shop, receiver: Receiver) -> None:
    shop.server.faults.add(Fault("callback", "out_of_order", delay_s=600))
    shop.paid("T-000001")
    shop.server.settle()
    assert receiver.arrived == []
    shop.paid("T-000002")
    receiver.wait(2)
    shop.server.settle()
    assert [shop.opened(one)["out_trade_no"] for one in receiver.arrived] == ["T-000002", "T-000001"]
    assert all(one["delivered"] for one in shop.server.deliveries)
    shop.server.clock.advance(seconds=600)
    assert len(receiver.arrived) == 2
    assert shop.money() == (WEALTH - 2 * FEN, 0)


def test_a_callback_that_waits_in_vain_comes_in_the_end(shop: Shop, receiver: Receiver) -> None:
    shop.server.faults.add(Fault("callback", "out_of_order", delay_s=60))
    shop.paid("T-000001")
    shop.server.settle()
    shop.server.clock.advance(seconds=59)
    assert receiver.arrived == []
    shop.server.clock.advance(seconds=1)
    assert len(receiver.arrived) == 1


def test_one_that_waits_does_not_let_another_one_go(shop: Shop, receiver: Receiver) -> None:
    """The second was held back, too, and by that let the first one go."""
    shop.server.faults.add(Fault("callback", "out_of_order", delay_s=60, times=2))
    shop.paid("T-000001")
    shop.paid("T-000002")
    shop.server.settle()
    assert receiver.arrived == []
    shop.paid("T-000003")
    receiver.wait(3)
    assert shop.opened(receiver.arrived[0])["out_trade_no"] == "T-000003"


# Refunds that fail. -------------------------------------------------------------------------------


@pytest.mark.parametrize("early", [False, True], ids=["after its answer", "before its answer"])
@pytest.mark.parametrize("action", ["abnormal", "closed"])
def test_a_refund_fails(action: str, early: bool, shop: Shop, receiver: Receiver) -> None:
    shop.paid("T-000001")
    shop.server.settle()
    shop.server.faults.add(Fault("refund", action))
    if early:
        shop.server.faults.add(Fault("callback", "early", verb="refund"))
    answer = shop.refund("T-000001", "R-1", notify_url=receiver.url)
    assert answer.json()["status"] == (action.upper() if early else "PROCESSING")
    assert len(receiver.arrived) == 1 + early
    shop.server.clock.advance(seconds=2)
    told = shop.opened(receiver.arrived[1])
    assert (told["out_refund_no"], told["refund_status"]) == ("R-1", action.upper())
    assert shop.send("GET", f"{REFUNDS}/R-1").json()["status"] == action.upper()
    assert shop.kinds("T-000001")[-2:] == ["asked", "stranded" if action == "abnormal" else "refused"]
    assert shop.money() == PAID
    book = shop.book("T-000001")
    assert book is not None
    assert book.refunding_minor == (FEN if action == "abnormal" else 0)
    apart = shop.server.client.call("GET", "/ledger")["accounts"].get("refund/abnormal", {}).get("CNY", 0)
    assert apart == book.refunding_minor
    assert shop.server.faults.faults == ()


# Which ones a fault strikes. ----------------------------------------------------------------------

FITS: list[tuple[Fault, bool]] = [
    (Fault("callback"), True),
    (Fault("callback", verb="authorize"), True),
    (Fault("callback", verb="refund"), False),
    (Fault("callback", channel="qr.wechat"), True),
    (Fault("callback", channel="in_app.wechat"), False),
    (Fault("callback", path="*/notify"), True),
    (Fault("callback", path="https://*"), False),
]


@pytest.mark.parametrize(("fault", "strikes"), FITS)
def test_which_callbacks_a_fault_strikes(fault: Fault, strikes: bool, shop: Shop, receiver: Receiver) -> None:
    """A channel was compared with nothing."""
    shop.server.faults.add(fault)
    shop.paid("T-000001")
    shop.server.settle()
    assert len(receiver.arrived) == (0 if strikes else 1)
    assert len(shop.server.faults.faults) == (0 if strikes else 1)


def test_a_callback_of_a_clock_that_moves_comes_in_its_order(shop: Shop, receiver: Receiver) -> None:
    """A refund's callback was still on its way when the clock had arrived."""
    shop.paid("T-000001")
    shop.server.settle()
    start_ms = shop.server.clock.now_ms()
    times: list[int] = []

    def judge(_: Arrived) -> int:
        times.append(shop.sandbox.clock.now_ms() - start_ms)
        return 204

    receiver.judge = judge
    shop.refund("T-000001", "R-1", notify_url=receiver.url)
    shop.server.clock.advance(hours=1)
    assert times == [1000]


TESTED = {
    *((point, action) for point in ("request", "answer") for action in (*BROKEN, "delay", "error")),
    ("request", "limit"),
    ("answer", "truncate"),
    *((point, action) for point in ("answer", "callback") for action in (*SPOILT, "bad_tag")),
    *(("callback", action) for action in ("lose", "delay", "early", "duplicate", "concurrent")),
    ("callback", "out_of_order"),
    *(("refund", action) for action in ("abnormal", "closed")),
}


def test_every_fault_is_tested_here() -> None:
    assert {(point, action) for action, row in ACTIONS.items() for point in row.points} == TESTED
