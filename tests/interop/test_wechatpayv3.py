"""wechatpayv3 as it comes from PyPI, pointed at the sandbox by one attribute: its base URL.

Each test runs the sync and the async client, in certificate mode and in public-key mode. What `paysim run`
does for a program in which nothing is set is in test_paysim_run.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import wechatpayv3
from shop_front import ShopFront
from wechat_shop import (
    H5_REFERER,
    KEY_MODES,
    MANNERS,
    TOTAL,
    TRADES,
    Payer,
    Shop,
    Trade,
    bills,
    check_bills,
    check_life,
    life,
)

from paysim import Fault
from paysim.operators.wechat.merchants import Settings
from paysim.operators.wechat.payer import MAGIC_REFUNDS, Invoke
from paysim.sandbox.wechat_payer import Paid
from paysim.servers.server import Options
from paysim.testing.server import RunningServer

FOUR = [(manner, mode) for manner in MANNERS for mode in KEY_MODES]
BY_NAME = {trade.name: trade for trade in TRADES}
NATIVE, JSAPI, H5 = BY_NAME["native"], BY_NAME["jsapi"], BY_NAME["h5"]
MINI, MOBILE, OTHER_APP = "wx00000000000000a1", "wx00000000000000a2", "wx00000000000000a3"
NUMBER = "T-000001"
PAID = "T-000002"
UNKNOWN, UNKNOWN_ID = "T-999999", "4200000000202601010000000001"


class Street(NamedTuple):
    """A shop with its SDK and its front, in front of a running sandbox."""

    server: RunningServer
    front: ShopFront
    shop: Shop

    def order(self, number: str = NUMBER, total: int = TOTAL, **named: Any) -> Any:
        """A Native order."""
        return self.shop.order(NATIVE, number, total, **named)

    def paid(self, number: str = NUMBER) -> Mapping[str, Any]:
        """A Native order that is paid, as the callback told it."""
        self.server.pay(self.order(number).json["code_url"])
        event = self.front.next().event
        assert event is not None
        return event

    def why(self) -> str:
        """Why the newest request was refused, in the sandbox's words."""
        return str(self.server.requests[0]["why"])


def opened(
    server: RunningServer, manner: str, mode: str, folder: Path, front: ShopFront, **rest: Any
) -> Shop:
    """A client at the sandbox's base URL.

    The sync one asks WeChat's host for certificates before the base URL can be set, unless it has one in its
    folder: it is put there, as a merchant keeps it. The async one asks later, and downloads it.
    """
    if (manner, mode) == ("sync", "certificate"):
        rest["cert_dir"] = str(folder)
        newest = server.sandbox.wechat.platform(server.wechat["mchid"]).certificates[0]
        (folder / f"{newest.serial}.pem").write_bytes(newest.certificate.pem())
    shop = Shop(manner, mode, server.wechat, front.url, server.base_url, **rest)
    front.callback = shop.sdk.callback
    return shop


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Options:
    keys = tmp_path_factory.getbasetemp() / "paysim-keys"
    return Options(port=0, clock="virtual", seed=0, keys=keys)


@pytest.fixture(scope="module")
def running(options: Options) -> Iterator[RunningServer]:
    """One for the whole module: to stop a server takes longer than most of these tests."""
    with RunningServer(options) as server:
        yield server


@pytest.fixture
def server(running: RunningServer) -> Iterator[RunningServer]:
    """A sandbox in which nothing has happened yet; verified after the test."""
    running.client.call("POST", "/reset")
    yield running
    running.sandbox.verify()


def _named(one: tuple[str, str]) -> str:
    return "-".join(one)


TWO = pytest.mark.parametrize(
    "street", [("sync", "public_key"), ("async", "certificate")], indirect=True, ids=_named
)
"""For what does not depend on how key mode and manner are combined."""


@pytest.fixture(params=FOUR, ids=_named)
def street(request: Any, server: RunningServer, tmp_path: Path) -> Iterator[Street]:
    manner, mode = request.param
    with ShopFront() as front, opened(server, manner, mode, tmp_path, front) as shop:
        yield Street(server, front, shop)


def open_by_phone(server: RunningServer, trade: Trade, shown: str, parameters: Any, appid: str) -> Paid:
    """What comes of it when the first person's WeChat looks at what the page or app hands to it."""
    person = server.client.call("GET", "/people")[0]["id"]
    invoke = Invoke(trade.opened, parameters, appid, H5_REFERER)
    paid: Paid = server.run(lambda: server.server.platform.pay(person, shown, "", invoke))
    return paid


def phone(server: RunningServer) -> Payer:
    """The payer of a shop's life."""
    return lambda *given: open_by_phone(server, *given).result


# The whole life. ----------------------------------------------------------------------------------


@pytest.mark.parametrize("trade", TRADES, ids=BY_NAME)
def test_the_whole_life_of_an_order(street: Street, trade: Trade) -> None:
    server, front, shop = street
    kinds = {"mini-program": (MINI, "mini_program"), "app": (MOBILE, "mobile")}
    appid, kind = kinds.get(trade.name, (server.wechat["appid"], "service_account"))
    change = {"apps": [{"appid": appid, "kind": kind}], "h5_domains": ["shop.example"]}
    server.client.call("POST", f"/merchants/{server.wechat['mchid']}", change)
    check_life(life(shop, front, server.client, trade, phone(server), appid), trade, shop.mode)
    assert not [one for one in server.requests if one["warning"] or one["status"] >= 300]


def test_a_days_bills(street: Street) -> None:
    server, front, shop = street
    for trade in (NATIVE, H5):
        life(shop, front, server.client, trade, phone(server))
    check_bills(bills(shop, server.client), 2)


@pytest.mark.parametrize("fen", MAGIC_REFUNDS)
def test_a_refund_that_fails_is_told_and_found_as_such(street: Street, fen: int) -> None:
    """The SDK verifies and opens each callback; what was ABNORMAL comes to its end by hand."""
    server, front, shop = street
    server.pay(street.order(total=50_000).json["code_url"])
    front.next()
    end = MAGIC_REFUNDS[fen].removeprefix("refund_").upper()
    asked = shop.call("refund", **back(fen, 50_000, NUMBER))
    assert (asked.status, asked.json["status"]) == (200, "PROCESSING")
    server.clock.advance(seconds=1)
    event = front.next().event
    assert event is not None
    assert (event["event_type"], event["resource"]["refund_status"]) == (f"REFUND.{end}", end)
    assert event["summary"] == {"ABNORMAL": "退款异常", "CLOSED": "退款关闭"}[end]
    found = shop.call("query_refund", "R-000001").json
    assert (found["status"], found["refund_id"]) == (end, event["resource"]["refund_id"])
    assert not {"success_time"} & {*found, *event["resource"]}
    left = shop.call("refund", **{**back(fen, 50_000, NUMBER), "out_refund_no": "R-000002"})
    assert (left.status, left.code) == ((400, "INVALID_REQUEST") if end == "ABNORMAL" else (200, ""))
    if end == "ABNORMAL":
        applied = shop.call("abnormal_refund", found["refund_id"], "R-000001", "MERCHANT_BANK_CARD")
        assert (applied.status, applied.code) == (403, "NO_AUTH")
        server.end_refund("R-000001", "SUCCESS")
        event = front.next().event
        assert event is not None
        assert event["event_type"] == "REFUND.SUCCESS"
        assert shop.call("query_refund", "R-000001").json["success_time"] == event["resource"]["success_time"]


# What the payer's WeChat refuses. -----------------------------------------------------------------


@TWO
@pytest.mark.parametrize("name", ["jsapi", "mini-program", "app"])
@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ("nonce", "expected to be signed"),
        ("appid", "expected to be signed"),
        ("order of the lines", "timestamp and nonce are swapped"),
        ("type", "cannot be opened by"),
    ],
)
def test_client_parameters_that_were_signed_wrong_do_not_open(
    street: Street, name: str, spoilt: str, why: str
) -> None:
    server, _, shop = street
    trade, appid = BY_NAME[name], server.wechat["appid"]
    openid = server.client.call("GET", "/people")[0]["openids"][appid]
    prepay_id = shop.order(trade, NUMBER, openid=openid).json["prepay_id"]
    given = shop.parameters(trade, prepay_id, OTHER_APP if spoilt == "appid" else appid)
    sign = "sign" if name == "app" else "paySign"
    if spoilt == "nonce":
        given["nonceStr"] = "0" * 32
    if spoilt == "order of the lines":
        last = prepay_id if name == "app" else f"prepay_id={prepay_id}"
        given[sign] = shop.sdk.sign([appid, given["nonceStr"], given["timeStamp"], last])
    if spoilt == "type":
        trade = JSAPI if name == "app" else BY_NAME["app"]
    paid = open_by_phone(server, trade, prepay_id, given | {"appId": appid}, appid)
    assert paid.result == "fail"
    assert why in paid.outcome.text, paid.outcome.text
    assert shop.call("query", out_trade_no=NUMBER).json["trade_state"] == "NOTPAY"


# Errors, by the SDK's own codes and exceptions. ---------------------------------------------------


class Wrong(NamedTuple):
    """A call that cannot be right, after the order PAID was paid; and the error that it gets."""

    what: str
    call: str
    given: Mapping[str, Any]
    status: int
    code: str


def back(refund: int, total: int = TOTAL, out_trade_no: str = PAID) -> dict[str, Any]:
    """What a refund takes."""
    amount = {"refund": refund, "total": total, "currency": "CNY"}
    return {"out_refund_no": "R-000001", "out_trade_no": out_trade_no, "amount": amount}


# fmt: off
ERRORS = (
    Wrong("amount of nothing", "pay", {"amount": {"total": 0}}, 400, "PARAM_ERROR"),
    Wrong("amount in text", "pay", {"amount": {"total": "1280"}}, 400, "PARAM_ERROR"),
    Wrong("order number too short", "pay", {"out_trade_no": "T-1"}, 400, "PARAM_ERROR"),
    Wrong("nobody's app id", "pay", {"appid": "wx0000000000000000"}, 400, "APPID_MCHID_NOT_MATCH"),
    Wrong("nobody's mchid", "pay", {"mchid": "1900000000"}, 400, "MCH_NOT_EXISTS"),
    Wrong("a paid order again", "pay", {"out_trade_no": PAID}, 400, "INVALID_REQUEST"),
    Wrong("unknown order", "query", {"out_trade_no": UNKNOWN}, 404, "ORDER_NOT_EXIST"),
    Wrong("unknown payment", "query", {"transaction_id": UNKNOWN_ID}, 404, "ORDER_NOT_EXIST"),
    Wrong("close an unknown order", "close", {"out_trade_no": UNKNOWN}, 404, "ORDER_NOT_EXIST"),
    Wrong("close a paid order", "close", {"out_trade_no": PAID}, 400, "ORDER_PAID"),
    Wrong("refund nothing", "refund", back(1, out_trade_no=UNKNOWN), 404, "RESOURCE_NOT_EXISTS"),
    Wrong("refund too much", "refund", back(1281), 400, "INVALID_REQUEST"),
    Wrong("refund of another total", "refund", back(1, 1281), 400, "INVALID_REQUEST"),
    Wrong("unknown refund", "query_refund", {"out_refund_no": "R-999999"}, 404, "RESOURCE_NOT_EXISTS"),
    Wrong("bill of today", "trade_bill", {"bill_date": "2026-01-01"}, 400, "PARAM_ERROR"),
    Wrong("bill of an idle day", "fundflow_bill", {"bill_date": "2025-12-25"}, 400, "NO_STATEMENT_EXIST"),
    Wrong("not simulated", "combine_query", {"combine_out_trade_no": UNKNOWN}, 403, "NO_AUTH"),
)
# fmt: on
_USUAL: dict[str, dict[str, Any]] = {
    "pay": {"description": "tea", "out_trade_no": NUMBER, "amount": {"total": TOTAL}},
}


def test_errors_come_with_their_codes(street: Street) -> None:
    street.paid(PAID)
    for what, name, given, status, code in ERRORS:
        answer = street.shop.call(name, **{**_USUAL.get(name, {}), **given})
        assert (answer.status, answer.code) == (status, code), f"{what}: {answer}"
        assert answer.json["message"], what
        assert street.why(), what


def test_a_wrong_field_is_pointed_at(street: Street) -> None:
    answer = street.order(total=0)
    detail = answer.json["detail"]
    assert (detail["field"], detail["value"], detail["location"]) == ("/amount/total", 0, "body")


def test_another_merchant_is_none_of_ours(street: Street) -> None:
    other = street.server.client.call("POST", "/merchants", {"name": "Next Door"})
    answer = street.order(mchid=other["mchid"])
    assert (answer.status, answer.code) == (400, "PARAM_ERROR")


def test_another_merchants_key_is_a_sign_error(street: Street) -> None:
    server, _, shop = street
    other = server.client.call("POST", "/merchants", {"name": "Next Door"})
    shop.sdk._core._private_key = wechatpayv3.utils.load_private_key(other["private_key"])
    answer = shop.call("query", out_trade_no=NUMBER)
    assert (answer.status, answer.code) == (401, "SIGN_ERROR")
    assert other["mchid"] in street.why()


@TWO
def test_what_the_sdk_lacks_it_says_itself(street: Street) -> None:
    with pytest.raises(Exception, match="payer is not assigned"):
        street.shop.call(
            "pay",
            description="tea",
            out_trade_no=NUMBER,
            amount={"total": 1},
            pay_type=street.shop.kinds.JSAPI,
        )
    assert not street.server.requests or street.server.requests[0]["target"] == "/v3/certificates"


# Answers that go wrong. ---------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["wrong_signature", "unknown_serial", "re_encode", "probe"])
def test_an_answer_that_is_signed_wrong_raises_and_the_order_stands(street: Street, action: str) -> None:
    street.server.faults.add(Fault("answer", action, path="/v3/pay/*"))
    with pytest.raises(Exception, match=r"failed to verify the signature|invalid literal for int"):
        street.order()
    assert street.shop.call("query", out_trade_no=NUMBER).json["trade_state"] == "NOTPAY"


@TWO
def test_an_answer_signed_an_hour_ago_is_taken(street: Street) -> None:
    """wechatpayv3 does not look at the time: said here, so that nobody takes it for a check of ours."""
    street.server.faults.add(Fault("answer", "expired_time", path="/v3/pay/*"))
    assert street.order().status == 200


@TWO
@pytest.mark.parametrize(
    "fault", [("request", "lose"), ("request", "reset"), ("answer", "lose"), ("answer", "truncate")]
)
def test_a_broken_connection_is_the_clients_own_error(street: Street, fault: tuple[str, str]) -> None:
    street.server.faults.add(Fault(*fault, path="/v3/pay/*"))
    with pytest.raises(street.shop.broken):
        street.order()
    known = street.shop.call("query", out_trade_no=NUMBER).status == 200
    assert known == (fault[0] == "answer"), "an answer is lost after the effect, a request before it"
    assert street.order().status == 200, "the same order once more"


@TWO
@pytest.mark.parametrize("point", ["request", "answer"])
def test_a_500_comes_as_its_status(street: Street, point: str) -> None:
    street.server.faults.add(Fault(point, "error", path="/v3/pay/*"))
    answer = street.order()
    assert (answer.status, answer.code) == (500, "SYSTEM_ERROR")
    assert (street.shop.call("query", out_trade_no=NUMBER).status == 200) == (point == "answer")


@TWO
def test_too_many_requests_are_429(street: Street) -> None:
    street.server.faults.add(Fault("request", "limit", path="/v3/pay/*", per_s=1, times=100))
    found = [street.shop.call("query", out_trade_no=UNKNOWN) for _ in range(4)]
    assert (429, "FREQUENCY_LIMITED") in {(one.status, one.code) for one in found}


# Callbacks that go wrong. -------------------------------------------------------------------------


def test_a_probe_is_refused_and_the_true_callback_follows(street: Street) -> None:
    street.server.faults.add(Fault("callback", "probe"))
    street.server.pay(street.order().json["code_url"])
    probe, true = street.front.next(), street.front.next()
    assert probe.headers["Wechatpay-Signature"].startswith("WECHATPAY/SIGNTEST/")
    assert (probe.event, probe.error) == (None, "")
    assert true.event is not None
    assert probe.body == true.body


@pytest.mark.parametrize("action", ["wrong_signature", "re_encode", "bad_tag"])
def test_a_spoilt_callback_is_refused_and_comes_again(street: Street, action: str) -> None:
    street.server.faults.add(Fault("callback", action))
    street.server.pay(street.order().json["code_url"])
    assert street.front.next().event is None
    street.server.settle()
    street.server.clock.advance(seconds=15)
    again = street.front.next()
    assert again.event is not None
    assert again.event["resource"]["out_trade_no"] == NUMBER
    statuses = [one["status"] for one in street.server.deliveries[0]["attempts"]]
    assert statuses == [401, 204]


@TWO
@pytest.mark.parametrize("action", ["duplicate", "concurrent"])
def test_a_callback_that_comes_twice_says_the_same(street: Street, action: str) -> None:
    street.server.faults.add(Fault("callback", action))
    street.server.pay(street.order().json["code_url"])
    first, second = street.front.next(), street.front.next()
    assert first.event == second.event is not None


@TWO
def test_an_early_refund_callback_overtakes_the_answer(street: Street) -> None:
    street.paid()
    street.server.faults.add(Fault("callback", "early", verb="refund"))
    street.shop.call("refund", **back(TOTAL, out_trade_no=NUMBER))
    assert len(street.front.visits) == 2, "it is there before the answer, without any waiting"
    assert street.front.visits[1].event is not None


# Keys of the platform. ----------------------------------------------------------------------------


@pytest.fixture
def own_server(options: Options, tmp_path: Path) -> Iterator[RunningServer]:
    """A sandbox with a keys folder of its own, whose certificates may be rotated."""
    with RunningServer(replace(options, keys=tmp_path / "keys")) as server:
        yield server


def rotate(server: RunningServer, **given: float) -> str:
    return str(server.client.call("POST", "/certificates", given)["serial_no"])


@pytest.mark.parametrize("manner", MANNERS)
def test_rotation_while_the_client_lives(own_server: RunningServer, manner: str, tmp_path: Path) -> None:
    with ShopFront() as front, opened(own_server, manner, "certificate", tmp_path, front) as shop:
        street = Street(own_server, front, shop)
        street.paid("T-before")
        old = front.visits[0].headers["Wechatpay-Serial"]
        new = rotate(own_server)
        assert street.order("T-after").status == 200, "the client downloads the certificate that it lacks"
        assert own_server.requests[0]["target"] == "/v3/certificates"
        street.paid("T-later")
        assert front.visits[1].headers["Wechatpay-Serial"] == new != old


def test_a_rotation_that_a_callback_is_the_first_to_show(own_server: RunningServer, tmp_path: Path) -> None:
    """The sync SDK downloads the new certificate in `callback`, while that waits for its answer."""
    with ShopFront() as front, opened(own_server, "sync", "certificate", tmp_path, front) as shop:
        street = Street(own_server, front, shop)
        code_url = street.order().json["code_url"]
        new = rotate(own_server)
        own_server.pay(code_url)
        visit = front.next()
        assert visit.event is not None
        assert visit.headers["Wechatpay-Serial"] == new
        assert (tmp_path / f"{new}.pem").exists(), "the SDK keeps it in its folder"


def test_the_async_client_refuses_a_new_certificates_callback_until_it_has_asked(
    own_server: RunningServer, tmp_path: Path
) -> None:
    """Its `callback` is no coroutine and cannot download: the next rung of the ladder finds it ready."""
    with ShopFront() as front, opened(own_server, "async", "certificate", tmp_path, front) as shop:
        street = Street(own_server, front, shop)
        code_url = street.order().json["code_url"]
        rotate(own_server)
        own_server.pay(code_url)
        assert front.next().event is None
        own_server.settle()
        assert shop.call("query", out_trade_no=NUMBER).json["trade_state"] == "SUCCESS"
        own_server.clock.advance(seconds=15)
        assert front.next().event is not None


@pytest.mark.parametrize("manner", MANNERS)
def test_a_new_certificate_can_be_fetched_before_it_signs(
    own_server: RunningServer, manner: str, tmp_path: Path
) -> None:
    with ShopFront() as front, opened(own_server, manner, "certificate", tmp_path, front) as shop:
        old = own_server.sandbox.wechat.platform(shop.wechat["mchid"]).certificates[0].serial
        new = rotate(own_server, sign_after_s=3600)
        street = Street(own_server, front, shop)
        street.paid()
        assert front.visits[0].headers["Wechatpay-Serial"] == old
        listed = json.loads(shop.request("/v3/certificates").content)["data"]
        assert [one["serial_no"] for one in listed] == [new, old]


def test_a_public_key_client_takes_the_certificates_callback(server: RunningServer, tmp_path: Path) -> None:
    """As in the days of the switch-over. The async SDK cannot: its `callback` downloads nothing."""
    server.client.call("POST", f"/merchants/{server.wechat['mchid']}", {"key_kind": "certificate"})
    with ShopFront() as front, opened(server, "sync", "public_key", tmp_path, front) as shop:
        Street(server, front, shop).paid()
        assert not front.visits[0].headers["Wechatpay-Serial"].startswith("PUB_KEY_ID_")


def test_certificate_mode_says_that_a_new_merchant_has_no_certificate(
    server: RunningServer, tmp_path: Path
) -> None:
    client = server.client
    client.call("POST", f"/merchants/{server.wechat['mchid']}", {"key_kind": "public_key"})
    with (
        ShopFront() as front,
        pytest.raises(Exception, match="No wechatpay platform certificate"),
        opened(server, "async", "certificate", tmp_path, front),
    ):
        pytest.fail("the client opened")
    answer = server.requests[0]
    assert (answer["status"], answer["code"]) == (404, "RESOURCE_NOT_EXISTS")


def test_a_certificate_that_does_not_open_is_no_certificate(server: RunningServer, tmp_path: Path) -> None:
    server.faults.add(Fault("answer", "bad_tag", path="/v3/certificates"))
    with (
        ShopFront() as front,
        pytest.raises(Exception, match="No wechatpay platform certificate"),
        opened(server, "async", "certificate", tmp_path, front),
    ):
        pytest.fail("the client opened")


# Order numbers with a bar. ------------------------------------------------------------------------


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("manner", MANNERS)
def test_a_bar_in_the_order_number(options: Options, manner: str, lenient: bool, tmp_path: Path) -> None:
    """The SDK signs `|`. httpx sends that, requests sends %7C: refused, unless the switch forgives it."""
    with (
        RunningServer(replace(options, settings=Settings(lenient_path=lenient))) as server,
        ShopFront() as front,
        opened(server, manner, "public_key", tmp_path, front) as shop,
    ):
        street = Street(server, front, shop)
        assert street.order("T|000001").status == 200, "the number is in the body here"
        answer = shop.call("query", out_trade_no="T|000001")
        sent = server.requests[0]
        assert ("T%7C000001" if manner == "sync" else "T|000001") in sent["target"]
        if manner == "sync" and not lenient:
            assert (answer.status, answer.code) == (401, "SIGN_ERROR")
            assert "decoded before it was signed" in sent["why"]
            assert "--lenient-path" in sent["why"], "the SDK is not theirs to change: the switch is"
        else:
            assert answer.json["out_trade_no"] == "T|000001"
            assert bool(sent["warning"]) == (manner == "sync")
