"""The control API: every call, asked rightly and wrongly, by whom it may be asked, and what it explains."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from wechat_wire import NATIVE, REFUNDS, Receiver, Shop, own_keys, receiving

from paysim import Fault, UsageError, VirtualClock
from paysim.core.errors import ConfigError
from paysim.crypto.canonical import WECHAT_REQUEST
from paysim.crypto.signature import Signer, to_text
from paysim.faults import ACTIONS, POINTS
from paysim.operators.wechat.errors import CODES
from paysim.operators.wechat.merchants import KEY_KINDS, PRODUCTS
from paysim.operators.wechat.payer import MAGIC_AMOUNTS, MAGIC_OPENIDS, OUTCOMES
from paysim.servers import control
from paysim.servers.control_types import Failure, NewFault
from paysim.servers.server import Options
from paysim.testing.server import RunningServer


class Caller:
    """The control API of a running sandbox, by httpx."""

    def __init__(self, server: RunningServer, client: httpx.Client) -> None:
        self.server, self.client = server, client

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """A call as a program makes it: JSON behind its Content-Type, on every POST."""
        if method == "POST" and not {"content", "headers"} & more.keys():
            more["json"] = {} if body is None else body
        return self.client.request(method, f"/_paysim{path}", **more)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.ask("POST", path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def caller(paysim_server: RunningServer) -> Iterator[Caller]:
    with calling(paysim_server) as found:
        yield found


class calling:  # noqa: N801
    """A caller of a server; use it in a `with`."""

    def __init__(self, server: RunningServer) -> None:
        self._client = httpx.Client(base_url=server.base_url, timeout=20, trust_env=False)
        self._caller = Caller(server, self._client)

    def __enter__(self) -> Caller:
        return self._caller

    def __exit__(self, *_: object) -> None:
        self._client.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def shop(caller: Caller, receiver: Receiver) -> Shop:
    return Shop(caller.server, caller.client, receiver.url)


# Every call. --------------------------------------------------------------------------------------


def good(caller: Caller, shop: Shop) -> dict[tuple[str, str], tuple[str, Any]]:
    """A good call for each row of the table: its path and body."""
    shop.paid("T-000001")
    shop.refund("T-000001", "R-1", 1)
    caller.server.settle()
    callback, text = caller.server.deliveries[0]["id"], shop.code_url("T-000002")
    return {
        ("GET", "/merchants"): ("/merchants", None),
        ("POST", "/merchants"): ("/merchants", {"name": "Book Shop"}),
        ("POST", "/merchants/{mchid}"): (f"/merchants/{shop.mchid}", {"products": ["H5"]}),
        ("GET", "/people"): ("/people", None),
        ("POST", "/people"): ("/people", {"name": "Carol", "balance": 5, "pin": "000000"}),
        ("POST", "/pay"): ("/pay", {"person": "alice", "code_url": text}),
        ("POST", "/refunds/{out_refund_no}"): ("/refunds/R-1", {"status": "SUCCESS"}),
        ("GET", "/clock"): ("/clock", None),
        ("POST", "/clock"): ("/clock", {"advance_s": 1.5}),
        ("GET", "/requests"): ("/requests?limit=1", None),
        ("GET", "/deliveries"): ("/deliveries?limit=1", None),
        ("POST", "/deliveries/{id}/resend"): (f"/deliveries/{callback}/resend", None),
        ("POST", "/faults"): ("/faults", {"point": "answer"}),
        ("GET", "/faults"): ("/faults", None),
        ("DELETE", "/faults"): ("/faults", None),
        ("GET", "/ledger"): ("/ledger", None),
        ("GET", "/journal"): ("/journal?after=2&limit=3", None),
        ("GET", "/settings"): ("/settings", None),
        ("POST", "/settings"): ("/settings", {"refund_gap_ms": 60_000}),
        ("POST", "/certificates"): ("/certificates", {"overlap_s": 60}),
        ("POST", "/reset"): ("/reset", None),
    }


def test_every_call_gives_what_its_row_says(
    paysim_server_options: Options, tmp_path: Path, receiver: Receiver
) -> None:
    with RunningServer(own_keys(paysim_server_options, tmp_path)) as server, calling(server) as caller:
        _every_call(caller, Shop(server, caller.client, receiver.url))


def _every_call(caller: Caller, shop: Shop) -> None:
    calls = good(caller, shop)
    assert calls.keys() == {(row.method, row.path) for row in control.CALLS}
    rows = {(row.method, row.path): row for row in control.CALLS}
    for key, (path, body) in calls.items():
        answer = caller.ask(key[0], path, body)
        if rows[key].gives is None:
            assert (answer.status_code, answer.content) == (204, b"")
        else:
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), key
            msgspec.json.decode(answer.content, type=rows[key].gives)


BIG = {"name": "x" * 300_000}

# Method, path, what is sent, the status, words of the message.
BAD: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/merchants", {}, 400, "missing required field `name`"),
    ("POST", "/merchants", {"name": ""}, 400, "length >= 1"),
    ("POST", "/merchants", {"name": "x" * 65}, 400, "length <= 64"),
    ("POST", "/merchants", {"name": 5}, 400, "Expected `str`"),
    ("POST", "/merchants", {"name": None}, 400, "Expected `str`"),
    ("POST", "/merchants", {"name": "A\nB"}, 400, "printable"),
    ("POST", "/merchants", {"name": "A", "colour": 1}, 400, "unknown field `colour`"),
    ("POST", "/merchants", {"name": "A", "products": ["CODEPAY"]}, 400, "Invalid enum value 'CODEPAY'"),
    ("POST", "/merchants", {"name": "A", "products": "H5"}, 400, "Expected `array`"),
    ("POST", "/merchants", {"name": "A", "key_kind": "sm2"}, 400, "Invalid enum value"),
    ("POST", "/merchants", {"name": "A", "apps": [{}]}, 400, "missing required field `appid`"),
    ("POST", "/merchants", {"name": "A", "apps": [{"appid": "a-b"}]}, 400, "letters and digits"),
    ("POST", "/merchants", {"name": "A", "apps": [{"appid": "a", "kind": "x"}]}, 400, "an app is one of"),
    ("POST", "/merchants", {"name": "A", "external_site": True}, 400, "may not use JSAPI"),
    ("POST", "/merchants", {"name": "A", "fee_ppm": 1_000_000}, 400, "<= 999999"),
    ("POST", "/merchants", {"name": "A", "fee_ppm": 0.5}, 400, "Expected `int`"),
    ("POST", "/merchants", {"name": "Sandbox Shop"}, 409, "is a merchant 'Sandbox Shop' already"),
    ("POST", "/merchants/1900000000", {}, 404, "no merchant '1900000000'"),
    ("POST", "/merchants/{mchid}", {"apps": []}, 400, "at least one app id"),
    ("POST", "/merchants/{mchid}", {"external_site": True}, 400, "may not use JSAPI"),
    ("POST", "/merchants/{mchid}", {"name": "Other"}, 400, "unknown field `name`"),
    ("POST", "/people", {"name": "Alice"}, 409, "is a person 'Alice' already"),
    ("POST", "/people", {"name": "Carol", "balance": -1}, 400, ">= 0"),
    ("POST", "/people", {"name": "Carol", "balance": 10**16}, 400, "<= 1000000000000000"),
    ("POST", "/people", {"name": "Carol", "balance": 10**30}, 400, "<= 1000000000000000"),
    ("POST", "/people", {"name": "Carol", "pin": "12345"}, 400, "regex"),
    ("POST", "/people", {"name": "Carol", "pin": 123456}, 400, "Expected `str`"),
    ("POST", "/people", [], 400, "Expected `object`"),
    ("POST", "/people", "Carol", 400, "Expected `object`"),
    ("POST", "/pay", {"person": "alice"}, 400, "give one of prepay_id, code_url and h5_url"),
    ("POST", "/pay", {"person": "alice", "code_url": "weixin://x", "prepay_id": "y"}, 400, "give one of"),
    ("POST", "/pay", {"person": "nobody", "code_url": "weixin://x"}, 400, "there is Alice, Bob"),
    ("POST", "/pay", {"person": "alice", "code_url": "weixin://x"}, 400, "that is no prepay id"),
    ("POST", "/pay", {"person": "alice", "code_url": "x", "outcome": "later"}, 400, "Invalid enum value"),
    ("POST", "/pay", {"code_url": "x"}, 400, "missing required field `person`"),
    ("POST", "/pay", {"person": "alice", "code_url": "x" * 513}, 400, "length <= 512"),
    ("POST", "/clock", {}, 400, "missing required field `advance_s`"),
    ("POST", "/clock", {"advance_s": -1}, 400, ">= 0"),
    ("POST", "/clock", {"advance_s": "5"}, 400, "Expected `float`"),
    ("POST", "/clock", {"advance_s": 1e12}, 400, "<= 34560000"),
    ("GET", "/requests?limit=x", None, 400, "limit is a whole number"),
    ("GET", "/requests?limit=-1", None, 400, "limit is a whole number"),
    ("GET", "/requests?limit=1.5", None, 400, "limit is a whole number"),
    ("GET", "/requests?limit=" + "9" * 30, None, 400, "limit is a whole number"),
    ("GET", "/requests?limit=%D9%A1", None, 400, "limit is a whole number"),
    ("GET", "/requests?limit=", None, 400, "limit is a whole number"),
    ("GET", "/requests?refused=yes", None, 400, "refused is 0 or 1"),
    ("POST", "/reset", [], 400, "Expected `object`"),
    ("GET", "/deliveries?limit=x", None, 400, "limit is a whole number"),
    ("GET", "/journal?after=x", None, 400, "after is a whole number"),
    ("GET", "/journal?limit=x", None, 400, "limit is a whole number"),
    ("POST", "/deliveries/EV-1/resend", None, 404, "no callback 'EV-1'"),
    ("POST", "/deliveries/%00/resend", None, 404, "no callback"),
    ("POST", "/faults", {}, 400, "missing required field `point`"),
    ("POST", "/faults", {"point": "nowhere"}, 400, "Invalid enum value 'nowhere'"),
    ("POST", "/faults", {"point": "answer", "action": "explode"}, 400, "Invalid enum value 'explode'"),
    ("POST", "/faults", {"point": "callback", "action": "truncate"}, 400, "truncate happens to answer"),
    ("POST", "/faults", {"point": "answer", "times": 0}, 400, ">= 1"),
    ("POST", "/faults", {"point": "answer", "delay_s": 0}, 400, ">= 0.001"),
    ("POST", "/faults", {"point": "answer", "per_s": 0}, 400, ">= 1"),
    ("POST", "/faults", {"point": "answer", "action": "error", "code": "OOPS"}, 400, "code is one of"),
    ("POST", "/faults", {"point": "refund"}, 400, "lose happens to request, answer, callback"),
    ("POST", "/refunds/R-1", {}, 400, "missing required field `status`"),
    ("POST", "/refunds/R-1", {"status": "PROCESSING"}, 400, "Invalid enum value 'PROCESSING'"),
    ("POST", "/refunds/R-1", {"status": "SUCCESS"}, 404, "has no refund 'R-1'"),
    ("POST", "/refunds/R-1", {"status": "SUCCESS", "mchid": "19"}, 404, "merchant '19' has no refund"),
    ("POST", "/refunds/%00", {"status": "SUCCESS"}, 404, "has no refund"),
    ("POST", "/settings", {"bill_hour": 24}, 400, "<= 23"),
    ("POST", "/settings", {"paid_close_code": "ORDER_GONE"}, 400, "Invalid enum value"),
    ("POST", "/certificates", {"overlap_s": -1}, 400, ">= 0"),
    ("POST", "/certificates", {"overlap_s": True}, 400, "Expected `float`"),
    ("POST", "/merchants", BIG, 413, "at most 262144 bytes"),
    ("GET", "/nothing", None, 404, "openapi.json lists the calls"),
    ("GET", "/merchants/1/2", None, 404, "openapi.json lists the calls"),
    ("GET", "/reset", None, 405, "GET is not among POST"),
    ("DELETE", "/people", None, 405, "DELETE is not among"),
    ("PATCH", "/faults", None, 405, "PATCH is not among"),
    ("POST", "/openapi.json", None, 405, "POST is not among"),
]


def test_a_wrong_call_is_refused_in_words_and_does_nothing(caller: Caller) -> None:
    position = caller.server.sandbox.journal.position
    mchid = caller.server.wechat["mchid"]
    for method, path, body, status, words in BAD:
        answer = caller.ask(method, path.replace("{mchid}", mchid), body)
        case = (method, path, str(body)[:60], answer.text[:200])
        assert answer.status_code == status, case
        assert words in msgspec.json.decode(answer.content, type=Failure).message, case
    assert caller.server.sandbox.journal.position == position
    assert caller.get("/faults") == []


RAW: list[tuple[bytes, str]] = [
    (b"{", "the body is no JSON"),
    (b"", "missing required field"),
    (b"\xff\xfe", "the body is no JSON"),
    (b'{"name": "\\ud800"}', "the body is no JSON"),
    (b'{"name": "A", "name": 5}', "Expected `str`"),
    (b'{"name": "A"} x', "the body is no JSON"),
    (b"[" * 100_000, "Expected `object`"),
    (b'{"name": ' + b"[" * 100_000, "Expected `str`"),
    (b'{"name": NaN}', "the body is no JSON"),
]


@pytest.mark.parametrize(("raw", "words"), RAW, ids=lambda value: repr(value)[:24])
def test_what_is_no_json(raw: bytes, words: str, caller: Caller) -> None:
    headers = {"Content-Type": "application/json"}
    answer = caller.ask("POST", "/people", content=raw, headers=headers)
    assert answer.status_code == 400
    assert words in answer.json()["message"]


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "text/json"])
@pytest.mark.parametrize("path", ["/people", "/reset", "/deliveries/x/resend"])
def test_a_form_of_another_site_cannot_post(kind: str, path: str, caller: Caller) -> None:
    """What a form or a script can send without asking first is no application/json."""
    caller.server.faults.add(Fault("answer"))
    answer = caller.ask("POST", path, content=b'{"name": "Eve"}', headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert len(caller.server.faults.faults) == 1
    assert len(caller.get("/people")) == 2


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_may_name_its_charset(kind: str, caller: Caller) -> None:
    answer = caller.ask("POST", "/people", content=b'{"name": "Eve"}', headers={"Content-Type": kind})
    assert answer.status_code == 200


def test_head_is_get_without_its_body(caller: Caller) -> None:
    answer = caller.ask("HEAD", "/people")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 2


@pytest.mark.parametrize("path", ["", "/"])
def test_the_front_page_leads_to_the_description(path: str, caller: Caller) -> None:
    base = caller.server.base_url
    answer = caller.client.get(f"{base}{'/_paysim' if not path else '/'}", follow_redirects=True)
    assert answer.json()["openapi"].startswith("3.1")
    assert answer.url.path == "/_paysim/openapi.json"


# Who may ask. -------------------------------------------------------------------------------------

HOSTS: list[tuple[str, bool]] = [
    ("127.0.0.1:{port}", True),
    ("127.0.0.1", True),
    ("localhost:{port}", True),
    ("LOCALHOST:{port}", True),
    ("[::1]:{port}", True),
    ("evil.example", False),
    ("evil.example:{port}", False),
    ("127.0.0.1.evil.example:{port}", False),
    ("localhost.evil.example", False),
    ("evil.example:127.0.0.1", False),
    ("127.0.0.1@evil.example", False),
    ("127.0.0.2:{port}", False),
    ("0.0.0.0:{port}", False),
    ("[::1]evil", False),
    ("localhost.", False),
]


@pytest.mark.parametrize(("host", "allowed"), HOSTS)
def test_a_name_that_somebody_pointed_here_is_refused(host: str, allowed: bool, caller: Caller) -> None:
    """DNS rebinding: the page's own name leads to 127.0.0.1, the Host gives it away."""
    name = host.format(port=caller.client.base_url.port)
    answer = caller.ask("GET", "/merchants", headers={"Host": name})
    assert answer.status_code == (200 if allowed else 403)
    assert ("private_key" in answer.text) == allowed
    if not allowed:
        assert answer.json()["error"] == "forbidden"
        assert "access-control-allow-origin" not in answer.headers


ORIGINS: list[tuple[str, bool]] = [
    ("http://127.0.0.1:{port}", True),
    ("http://evil.example", False),
    ("https://127.0.0.1:{port}", False),
    ("http://127.0.0.1:1", False),
    ("http://127.0.0.1", False),
    ("http://127.0.0.1:{port}.evil.example", False),
    ("null", False),
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(("origin", "allowed"), ORIGINS)
def test_another_sites_script_is_refused(method: str, origin: str, allowed: bool, caller: Caller) -> None:
    said = {"Origin": origin.format(port=caller.client.base_url.port), "Content-Type": "application/json"}
    answer = caller.ask(method, "/faults", headers=said, content=b'{"point":"answer"}')
    assert (answer.status_code == 403) == (not allowed)
    assert [name for name in answer.headers if name.startswith("access-control")] == []


def test_the_wallets_own_name_has_no_control_api(caller: Caller) -> None:
    """Through the proxy a program sees WeChat Pay, not the sandbox."""
    answer = caller.ask("GET", "/merchants", headers={"Host": "api.mch.weixin.qq.com"})
    assert (answer.status_code, answer.content) == (404, b"")


def test_a_token_is_wanted_where_there_is_one(paysim_server_options: Options) -> None:
    options = replace(paysim_server_options, token="s3cret")
    with RunningServer(options) as server, calling(server) as caller:
        for value in ("", "Bearer", "Bearer wrong", "Bearer s3cre", "Basic s3cret"):
            answer = caller.ask("GET", "/people", headers={"Authorization": value} if value else {})
            assert (answer.status_code, answer.json()["error"]) == (401, "token")
        right = {"Authorization": b"Bearer s3cret"}
        assert caller.ask("GET", "/people", headers=right).status_code == 200
        elsewhere = {**right, "Host": b"sandbox.office.example"}
        assert caller.ask("GET", "/people", headers=elsewhere).status_code == 200
        script = {**right, "Origin": b"http://evil.example"}
        assert caller.ask("GET", "/people", headers=script).status_code == 403
        assert Shop(server, caller.client).prepay("T-000001").status_code == 200  # the wire needs none


def test_without_a_token_it_listens_on_loopback_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--token"):
        Options(host="0.0.0.0", keys=tmp_path)


# Merchants and people. ----------------------------------------------------------------------------


def test_a_merchant_is_what_was_asked_for(caller: Caller) -> None:
    made = caller.post(
        "/merchants",
        {
            "name": "书店",
            "products": ["H5", "NATIVE"],
            "apps": [{"appid": "wx1", "kind": "mobile"}, {"appid": "wx2", "verified": False}],
            "external_site": True,
            "h5_domains": ["shop.example"],
            "key_kind": "public_key",
        },
    )
    assert (made["name"], made["products"], made["key_kind"]) == ("书店", ["H5", "NATIVE"], "public_key")
    assert made["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    assert made["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert made["public_key"].startswith("-----BEGIN PUBLIC KEY-----")
    assert made["public_key_id"].startswith("PUB_KEY_ID_")
    assert (len(made["apiv3_key"]), len(made["apiv2_key"])) == (32, 32)
    assert made in caller.get("/merchants")
    for person in caller.get("/people"):
        assert {"wx1", "wx2"} < person["openids"].keys()


def test_a_merchant_sells_by_the_products_it_has(caller: Caller, shop: Shop) -> None:
    path = f"/merchants/{shop.mchid}"
    for product in PRODUCTS:
        assert caller.post(path, {"products": [product]})["products"] == [product]
        for other, trade in (("NATIVE", "native"), ("APP", "app")):
            answer = shop.send("POST", f"/v3/pay/transactions/{trade}", shop.order(f"T-{product}-{trade}"))
            assert answer.status_code == (200 if other == product else 403), (product, trade)
            if answer.status_code == 403:
                assert answer.json()["code"] == "NO_AUTH"
                assert f"no permission for {other}" in caller.get("/requests")[0]["why"]


def test_a_service_account_is_verified_for_jsapi(caller: Caller, shop: Shop) -> None:
    path = f"/merchants/{shop.mchid}"
    openid = caller.get("/people")[0]["openids"][shop.appid]
    order = shop.order("T-000001", payer={"openid": openid})
    caller.post(path, {"apps": [{"appid": shop.appid, "verified": False}]})
    assert shop.send("POST", "/v3/pay/transactions/jsapi", order).status_code == 403
    caller.post(path, {"apps": [{"appid": shop.appid}]})
    assert shop.send("POST", "/v3/pay/transactions/jsapi", order).status_code == 200


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_a_merchants_key_kind(kind: str, caller: Caller, shop: Shop, receiver: Receiver) -> None:
    caller.post(f"/merchants/{shop.mchid}", {"key_kind": kind})
    shop.paid("T-000001")
    serial = receiver.wait(1)[0].headers["Wechatpay-Serial"]
    assert serial.startswith("PUB_KEY_ID_") == (kind == "public_key")
    certificates = shop.send("GET", "/v3/certificates")
    assert certificates.status_code == (404 if kind == "public_key" else 200)


def test_a_switch_over_is_through_after_seven_days(caller: Caller, shop: Shop, receiver: Receiver) -> None:
    caller.post(f"/merchants/{shop.mchid}", {"key_kind": "switching"})
    caller.post("/clock", {"advance_s": 8 * 86_400})
    shop.paid("T-000001")
    assert receiver.wait(1)[0].headers["Wechatpay-Serial"].startswith("PUB_KEY_ID_")


def test_a_refused_merchant_leaves_no_shop_behind(caller: Caller) -> None:
    """Its name was taken from then on, with the first fee."""
    wrong = {"name": "Book Shop", "external_site": True, "fee_ppm": 1}
    assert caller.ask("POST", "/merchants", wrong).status_code == 400
    made = caller.post("/merchants", {"name": "Book Shop", "fee_ppm": 10_000})
    with_fee = Shop(caller.server, caller.client)
    with_fee.mchid, with_fee.appid = made["mchid"], made["apps"][0]["appid"]
    with_fee.paid("T-000001", 10_000)
    assert caller.server.sandbox.shop("Book Shop").facts.fee_ppm == 10_000


def test_people_have_wallets(caller: Caller, shop: Shop) -> None:
    carol = caller.post("/people", {"name": "Carol", "balance": 1280})
    assert carol == next(one for one in caller.get("/people") if one["name"] == "Carol")
    paid = caller.post("/pay", {"person": "Carol", "code_url": shop.code_url("T-000001")})
    assert (paid["result"], paid["transaction"]["trade_state"]) == ("ok", "SUCCESS")
    assert paid["transaction"]["payer"]["openid"] == carol["openids"][shop.appid]
    again = caller.post("/pay", {"person": carol["id"], "code_url": shop.code_url("T-000002")})
    assert (again["result"], again["reason"]) == ("fail", "insufficient_funds")
    assert next(one for one in caller.get("/people") if one["name"] == "Carol")["balance"] == 0


# Paying. ------------------------------------------------------------------------------------------

# Outcome -> result, the state at once, callbacks at once, the state and the callbacks a minute later.
CAME: dict[str, tuple[str | None, str, int, str, int]] = {
    "confirm": ("ok", "SUCCESS", 1, "SUCCESS", 1),
    "refuse": ("cancel", "NOTPAY", 0, "NOTPAY", 0),
    "wrong_pin": ("fail", "NOTPAY", 0, "NOTPAY", 0),
    "no_money": ("fail", "NOTPAY", 0, "NOTPAY", 0),
    "silence": (None, "NOTPAY", 0, "NOTPAY", 0),
    "ok_but_unpaid": ("ok", "NOTPAY", 0, "SUCCESS", 1),
    "paid_but_cancel_shown": ("cancel", "SUCCESS", 1, "SUCCESS", 1),
    "callback_lost": ("ok", "SUCCESS", 0, "SUCCESS", 1),
    "callback_duplicate": ("ok", "SUCCESS", 2, "SUCCESS", 2),
    "callback_delayed": ("ok", "SUCCESS", 0, "SUCCESS", 1),
    "refund_abnormal": ("ok", "SUCCESS", 1, "SUCCESS", 1),
    "refund_closed": ("ok", "SUCCESS", 1, "SUCCESS", 1),
}


def came(shop: Shop, receiver: Receiver, result: str | None, outcome: str, fen: int = 1280) -> None:
    """Query, callbacks and ledger are what the outcome says, at once and a minute later."""
    _, state, calls, later_state, later_calls = CAME[outcome]
    shop.server.settle()
    assert (result, shop.query("T-000001").json()["trade_state"]) == (CAME[outcome][0], state)
    assert len(receiver.arrived) == calls
    shop.server.clock.advance(seconds=60)
    assert shop.query("T-000001").json()["trade_state"] == later_state
    assert len(receiver.arrived) == later_calls
    assert shop.money() == (2_000_000 - (fen if later_state == "SUCCESS" else 0), 0)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_person_does_as_told(outcome: str, caller: Caller, shop: Shop, receiver: Receiver) -> None:
    body = {"person": "Alice", "code_url": shop.code_url("T-000001"), "outcome": outcome}
    came(shop, receiver, caller.post("/pay", body)["result"], outcome)


@pytest.mark.parametrize("fen", MAGIC_AMOUNTS)
def test_a_magic_amount_forces_an_outcome(fen: int, caller: Caller, shop: Shop, receiver: Receiver) -> None:
    paid = caller.server.pay(shop.code_url("T-000001", fen))
    came(shop, receiver, paid["result"], MAGIC_AMOUNTS[fen], fen)


def test_what_is_said_outdoes_the_magic(caller: Caller, shop: Shop, receiver: Receiver) -> None:
    paid = caller.server.pay(shop.code_url("T-000001", 40001), outcome="confirm")
    came(shop, receiver, paid["result"], "confirm", 40001)


@pytest.mark.parametrize("openid", MAGIC_OPENIDS)
def test_a_magic_openid_forces_an_outcome(
    openid: str, caller: Caller, shop: Shop, receiver: Receiver
) -> None:
    order = shop.order("T-000001", payer={"openid": openid})
    shown = shop.send("POST", "/v3/pay/transactions/jsapi", order).json()
    came(shop, receiver, caller.server.pay(shown["prepay_id"])["result"], MAGIC_OPENIDS[openid])


@pytest.mark.parametrize("fen", [1280, *MAGIC_AMOUNTS])
def test_somebody_pays_by_themselves(fen: int, paysim_server_options: Options, receiver: Receiver) -> None:
    settings = msgspec.structs.replace(paysim_server_options.settings, auto_pay_ms=3_000)
    with (
        RunningServer(replace(paysim_server_options, settings=settings)) as server,
        calling(server) as caller,
    ):
        shop = Shop(server, caller.client, receiver.url)
        shop.code_url("T-000001", fen)
        server.clock.advance(seconds=2.9)
        assert shop.query("T-000001").json()["trade_state"] == "NOTPAY"
        server.clock.advance(seconds=0.1)
        outcome = MAGIC_AMOUNTS.get(fen, "confirm")
        came(shop, receiver, CAME[outcome][0], outcome, fen)


def test_an_h5_link_is_opened_from_the_shops_site(caller: Caller, shop: Shop) -> None:
    caller.post(f"/merchants/{shop.mchid}", {"h5_domains": ["shop.example"]})
    scene = {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}
    answer = shop.send("POST", "/v3/pay/transactions/h5", shop.order("T-000001", scene_info=scene))
    body = {"person": "alice", "h5_url": answer.json()["h5_url"]}
    refused = caller.post("/pay", {**body, "referer": "https://evil.example/"})
    assert (refused["result"], refused["reason"]) == ("fail", "wrong_channel")
    assert "shop.example" in refused["message"]
    assert caller.post("/pay", {**body, "referer": "https://shop.example/cart"})["result"] == "ok"


def test_an_order_that_nobody_made(caller: Caller) -> None:
    paid = caller.post("/pay", {"person": "alice", "prepay_id": "wx2026010108000000000000123456780042"})
    assert (paid["result"], paid["reason"], paid["transaction"]) == ("fail", "not_found", {})


# Time. --------------------------------------------------------------------------------------------


def test_a_virtual_clock_is_moved(caller: Caller) -> None:
    before = caller.get("/clock")
    assert before == {"now": "2026-01-01T08:00:00+08:00", "now_ms": 1767225600000, "virtual": True}
    after = caller.post("/clock", {"advance_s": 90.5})
    assert after["now_ms"] - before["now_ms"] == 90_500


def test_a_clock_ends_with_the_year_9999(caller: Caller) -> None:
    """Its last eight hours were beyond what a date in China can say."""
    clock = caller.server.sandbox.clock
    assert isinstance(clock, VirtualClock)
    clock.move_to(253_402_214_399_000)
    assert caller.post("/clock", {"advance_s": 1})["now"] == "9999-12-31T08:00:00+08:00"
    answer = caller.ask("POST", "/clock", {"advance_s": 1})
    assert (answer.status_code, answer.json()["error"]) == (400, "usage")


def test_the_real_clock_is_not_moved(paysim_server_options: Options) -> None:
    with (
        RunningServer(replace(paysim_server_options, clock="real")) as server,
        calling(server) as caller,
    ):
        assert caller.get("/clock")["virtual"] is False
        answer = caller.ask("POST", "/clock", {"advance_s": 1})
        assert answer.status_code == 409
        assert "--clock virtual" in answer.json()["message"]


# What happened. -----------------------------------------------------------------------------------


def test_the_ledger_sums_up_to_nothing(caller: Caller, shop: Shop) -> None:
    shop.paid("T-000001")
    ledger = caller.get("/ledger")
    assert ledger["sums"] == {"CNY": 0}
    assert ledger["accounts"] == caller.server.sandbox.balances()
    assert ledger["accounts"]["payer/alice/available"]["CNY"] == 1_000_000 - 1280


def test_the_journal_is_read_in_parts(caller: Caller, shop: Shop) -> None:
    shop.paid("T-000001")
    caller.server.settle()
    whole = caller.get("/journal?limit=1000")
    positions = [one["position"] for one in whole["records"]]
    assert positions == [*range(1, whole["position"] + 1)]
    assert whole["records"][-1]["hash"] == whole["head"]
    assert caller.get("/journal?after=3&limit=2")["records"] == whole["records"][3:5]
    assert caller.get(f"/journal?after={2**59}")["records"] == []


def events(stream: httpx.Response) -> Iterator[tuple[int, dict[str, Any]]]:
    """Id and data of server-sent events."""
    lines = stream.iter_lines()
    for line in lines:
        if line.startswith("id: "):
            data = next(lines)
            assert data.startswith("data: ")
            yield int(line[4:]), json.loads(data[6:])


SSE = {"Accept": "text/event-stream"}


def test_the_journal_comes_as_events(caller: Caller, shop: Shop) -> None:
    known = caller.get("/journal?limit=1000")["records"]
    with caller.client.stream("GET", "/_paysim/journal", headers=SSE) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        came = events(stream)
        assert [next(came) for _ in known] == [(one["position"], one) for one in known]
        shop.code_url("T-000001")
        fresh = [next(came) for _ in range(2)]
    assert [record["event"]["kind"] for _, record in fresh] == ["created", "presented"]
    assert [id for id, _ in fresh] == [len(known) + 1, len(known) + 2]


@pytest.mark.parametrize(("query", "headers"), [("?after=4", {}), ("", {"Last-Event-ID": "4"})])
def test_events_go_on_where_they_stopped(query: str, headers: dict[str, str], caller: Caller) -> None:
    with caller.client.stream("GET", f"/_paysim/journal{query}", headers={**SSE, **headers}) as stream:
        assert next(events(stream))[0] == 5


def test_events_go_on_after_a_reset(caller: Caller, shop: Shop) -> None:
    shop.code_url("T-000001")
    position = caller.get("/journal")["position"]
    with caller.client.stream("GET", f"/_paysim/journal?after={position}", headers=SSE) as stream:
        came = events(stream)
        with httpx.Client(base_url=caller.server.base_url, trust_env=False) as other:
            assert other.post("/_paysim/reset", json={}).status_code == 200
        assert next(came)[0] == 1


def test_who_listens_does_not_hold_up_the_end(paysim_server_options: Options) -> None:
    server = RunningServer(paysim_server_options)
    with calling(server) as caller, caller.client.stream("GET", "/_paysim/journal", headers=SSE) as stream:
        came = events(stream)
        next(came)
        server.close()
        for _ in came:
            pass  # ends: its last chunk came


@pytest.mark.parametrize("path", ["//v3/certificates", "/pay/unifiedorder", "/v3", "/sandboxnew/pay/refund"])
def test_a_wrong_base_url_is_seen_among_the_requests(path: str, caller: Caller) -> None:
    """What is not under /v3/ was answered 404 and told to nobody."""
    answer = caller.client.post(caller.server.base_url + path, content=b"<xml/>")
    assert (answer.status_code, answer.content) == (404, b"")
    logged = caller.get("/requests")[0]
    assert (logged["status"], logged["why"]) == (404, f"no call of WeChat Pay is POST {path}")


def test_requests_are_listed_the_newest_first(caller: Caller, shop: Shop) -> None:
    shop.code_url("T-000001")
    shop.query("T-000009")
    shop.client.get("/v3/nothing")
    newest, missing, made = caller.get("/requests")
    assert (newest["status"], newest["why"]) == (404, "no call of WeChat Pay is GET /v3/nothing")
    assert (missing["status"], missing["code"]) == (404, "ORDER_NOT_EXIST")
    assert missing["mchid"] == shop.mchid
    assert made["status"] == 200
    assert json.loads(made["request"])["out_trade_no"] == "T-000001"
    assert "code_url" in json.loads(made["answer"])
    assert caller.get("/requests?limit=1") == [newest]
    assert caller.get("/requests?refused=1") == [newest, missing]
    assert caller.get("/requests?refused=0&limit=0") == []


def test_a_callback_is_delivered_again(caller: Caller, shop: Shop, receiver: Receiver) -> None:
    shop.paid("T-000001")
    caller.server.settle()
    (first,) = caller.get("/deliveries")
    assert (first["delivered"], first["due_ms"], first["event_type"]) == (True, None, "TRANSACTION.SUCCESS")
    again = caller.post(f"/deliveries/{first['id']}/resend")
    assert [one["kind"] for one in again["attempts"]] == ["delivered", "resent", "delivered"]
    one, other = receiver.arrived
    assert one.body == other.body
    assert one.headers["Wechatpay-Signature"] != other.headers["Wechatpay-Signature"]


def test_a_callback_that_was_given_up_is_delivered_again(
    caller: Caller, shop: Shop, receiver: Receiver
) -> None:
    receiver.judge = lambda _: 500
    shop.paid("T-000001")
    caller.server.settle()
    caller.server.clock.advance(days=2)
    (given_up,) = caller.get("/deliveries")
    assert given_up["attempts"][-1]["kind"] == "given_up"
    failed = caller.post(f"/deliveries/{given_up['id']}/resend")
    assert (failed["attempts"][-1]["kind"], failed["due_ms"]) == ("given_up", None)
    receiver.judge = lambda _: 204
    assert caller.post(f"/deliveries/{given_up['id']}/resend")["delivered"]


def test_a_callback_that_nobody_takes(caller: Caller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    shop = Shop(caller.server, caller.client, f"http://127.0.0.1:{port}/notify")
    shop.paid("T-000001")
    caller.server.settle()
    (attempt,) = caller.get("/deliveries")[0]["attempts"]
    assert (attempt["status"], attempt["error"].split(":")[0]) == (0, "connection")


def test_deliveries_come_the_newest_first(caller: Caller, shop: Shop, receiver: Receiver) -> None:
    for number in ("T-000001", "T-000002", "T-000003"):
        shop.paid(number)
    caller.server.settle()
    ids = [one["id"] for one in caller.get("/deliveries")]
    assert ids == sorted(ids, reverse=True)
    assert [one["id"] for one in caller.get("/deliveries?limit=2")] == ids[:2]
    assert caller.get("/deliveries?limit=0") == []


# Faults, certificates, reset. ---------------------------------------------------------------------


def test_faults_are_added_listed_and_cleared(caller: Caller, shop: Shop) -> None:
    full = {"point": "request", "action": "error", "code": "NO_AUTH", "times": 2, "path": "/v3/pay/*"}
    (listed,) = caller.post("/faults", full)
    assert {name: listed[name] for name in full} == full
    assert shop.prepay("T-000001").json()["code"] == "NO_AUTH"
    assert caller.get("/faults")[0]["times"] == 1
    assert len(caller.post("/faults", {"point": "callback", "action": "probe"})) == 2
    assert caller.ask("DELETE", "/faults").status_code == 204
    assert caller.get("/faults") == []
    assert shop.prepay("T-000001").status_code == 200


def test_the_control_api_knows_every_fault() -> None:
    (document,), components = msgspec.json.schema_components([NewFault])
    known = components[document["$ref"].rpartition("/")[2]]["properties"]
    assert sorted(known["action"]["enum"]) == sorted(ACTIONS)
    assert sorted(known["point"]["enum"]) == sorted(POINTS)


@pytest.mark.parametrize("status", ["SUCCESS", "CLOSED"])
def test_an_abnormal_refund_is_resolved(status: str, shop: Shop, receiver: Receiver) -> None:
    shop.paid("T-000001")
    shop.server.client.call("POST", "/faults", {"point": "refund", "action": "abnormal"})
    shop.refund("T-000001", "R-1", notify_url=receiver.url)
    shop.server.clock.advance(seconds=1)
    assert shop.money() == (2_000_000 - 1280, 0)
    ended = shop.server.end_refund("R-1", status)
    assert ended == shop.send("GET", f"{REFUNDS}/R-1").json()
    assert ended["status"] == status
    shop.server.settle()
    told = [shop.opened(one) for one in receiver.arrived[1:]]
    assert [one["refund_status"] for one in told] == ["ABNORMAL", status]
    assert [one["event_type"] for one in shop.server.deliveries[:2]] == [
        f"REFUND.{status}",
        "REFUND.ABNORMAL",
    ]
    assert shop.money() == (2_000_000 - (1280 if status == "CLOSED" else 0), 0)
    with pytest.raises(UsageError, match=f"the refund is {status}"):
        shop.server.end_refund("R-1", "SUCCESS")


def test_a_refund_that_is_over_cannot_be_ended(caller: Caller, shop: Shop) -> None:
    shop.paid("T-000001")
    shop.refund("T-000001", "a|b*c@d-1", 1)
    path = "/refunds/a%7Cb%2Ac%40d-1"
    assert caller.ask("POST", path, {"status": "ABNORMAL"}).json()["out_refund_no"] == "a|b*c@d-1"
    again = caller.ask("POST", path, {"status": "ABNORMAL"})
    assert again.status_code == 409
    assert "cannot become ABNORMAL" in again.json()["message"]
    assert caller.post(path, {"status": "CLOSED", "mchid": shop.mchid})["status"] == "CLOSED"
    assert caller.ask("POST", path, {"status": "CLOSED"}).status_code == 409


def test_every_code_can_be_injected(caller: Caller) -> None:
    for code in CODES:
        assert caller.ask("POST", "/faults", {"point": "answer", "action": "error", "code": code}).is_success


def test_a_certificate_is_rotated(paysim_server_options: Options, tmp_path: Path) -> None:
    with RunningServer(own_keys(paysim_server_options, tmp_path)) as server, calling(server) as caller:
        _rotated(caller, Shop(server, caller.client))


def _rotated(caller: Caller, shop: Shop) -> None:
    old = shop.prepay("T-000001").headers["Wechatpay-Serial"]
    fresh = caller.post("/certificates", {"overlap_s": 3600})["serial_no"]
    assert shop.prepay("T-000001").headers["Wechatpay-Serial"] == fresh != old
    listed = shop.send("GET", "/v3/certificates").json()["data"]
    assert [one["serial_no"] for one in listed] == [fresh, old]
    later = caller.post("/certificates", {"sign_after_s": 3600})["serial_no"]
    assert shop.prepay("T-000001").headers["Wechatpay-Serial"] == fresh != later


def test_a_reset_begins_anew(caller: Caller, shop: Shop, receiver: Receiver) -> None:
    shop.paid("T-000001")
    receiver.wait(1)
    caller.server.faults.add(Fault("answer", verb="close"))
    caller.server.clock.advance(hours=1)
    begun = caller.post("/reset")
    assert (begun["position"], begun["records"]) == (5, [])
    assert caller.get("/requests") == []
    assert caller.get("/deliveries") == []
    assert caller.get("/faults") == []
    assert [one["balance"] for one in caller.get("/people")] == [1_000_000, 1_000_000]
    assert caller.get("/clock")["now_ms"] == 1767225600000
    shop.paid("T-000001")  # the same merchant, the same keys, the number free again
    assert shop.opened(receiver.wait(2)[1])["out_trade_no"] == "T-000001"


def test_resets_at_once_are_one_after_the_other(caller: Caller, shop: Shop) -> None:
    """Two at once left the courier of one behind."""

    def reset(_: int) -> int:
        with httpx.Client(base_url=caller.server.base_url, trust_env=False, timeout=20) as client:
            return client.post("/_paysim/reset", json={}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(reset, range(8))] == [200] * 8
    names = caller.server.run(_task_names)
    assert names.count("Courier.run") == 1
    shop.paid("T-000001")


async def _task_names() -> list[str]:
    return [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]


def _file(options: Options, folder: Path, **more: Any) -> Options:
    return replace(options, store=f"sqlite:///{folder / 'journal.db'}", seed=None, **more)


def test_a_journal_in_a_file_stays(paysim_server_options: Options, tmp_path: Path) -> None:
    with RunningServer(_file(paysim_server_options, tmp_path)) as server, calling(server) as caller:
        Shop(server, caller.client).code_url("T-000001")
        answer = caller.ask("POST", "/reset")
        assert answer.status_code == 409
        assert "--allow-reset" in answer.json()["message"]
        assert Shop(server, caller.client).query("T-000001").status_code == 200
    assert [one.name for one in tmp_path.glob("*.db*") if "-" not in one.name] == ["journal.db"]


def test_a_journal_in_a_file_is_put_aside_where_that_is_allowed(
    paysim_server_options: Options, tmp_path: Path
) -> None:
    options = _file(paysim_server_options, tmp_path, allow_reset=True)
    with RunningServer(options) as server, calling(server) as caller:
        shop = Shop(server, caller.client)
        shop.code_url("T-000001")
        assert caller.post("/reset")["position"] == 5
        assert shop.query("T-000001").status_code == 404
        assert caller.post("/reset")["position"] == 5
        shop.code_url("T-000002")
    kept = sorted(one.name for one in tmp_path.iterdir() if "-" not in one.name)
    assert kept == ["journal.db", "journal.db.1", "journal.db.2"]
    with RunningServer(options) as server, calling(server) as caller:
        assert Shop(server, caller.client).query("T-000002").status_code == 200


def test_the_default_merchant_stays_the_default(paysim_server_options: Options, tmp_path: Path) -> None:
    """The merchant with the lowest number was taken after a restart, whoever that was."""
    options = _file(paysim_server_options, tmp_path)
    with RunningServer(options) as server, calling(server) as caller:
        default = server.wechat["mchid"]
        number = 0
        while min(one["mchid"] for one in caller.get("/merchants")) == default:
            number += 1
            assert number < 64
            caller.post("/merchants", {"name": f"Shop {number}"})
    with RunningServer(options) as server:
        assert server.wechat["mchid"] == default


# Why a signature is wrong (Done-when 5). ----------------------------------------------------------


class Slip:
    """A client's slip: what it signs, with which key, and what it sends."""

    def __init__(self, shop: Shop) -> None:
        wechat = shop.sandbox.wechat
        self.shop = shop
        self.keys = wechat.secrets.merchant(shop.mchid)
        self.signer: Signer | None = self.keys.signer
        self.method, self.target = "POST", NATIVE
        self.body = json.dumps(shop.order("T-000001"), separators=(",", ":")).encode()
        self.timestamp = self.said = str(wechat.wall_ms() // 1000)
        self.nonce = wechat.nonce()
        self.signed_target = self.signed_body = None
        self.ending = b"\n"

    def send(self) -> httpx.Response:
        target = self.signed_target or self.target
        body = self.body if self.signed_body is None else self.signed_body
        string = WECHAT_REQUEST.string(self.method, target, self.timestamp, self.nonce, body)
        assert self.signer is not None
        signature = to_text(self.signer.sign(string.removesuffix(b"\n") + self.ending))
        value = (
            f'WECHATPAY2-SHA256-RSA2048 mchid="{self.keys.mchid}",nonce_str="{self.nonce}",'
            f'timestamp="{self.said}",serial_no="{self.keys.serial}",signature="{signature}"'
        )
        headers = {"Authorization": value, "Accept": "*/*", "User-Agent": "slip"}
        if self.body:
            headers["Content-Type"] = "application/json"
        return self.shop.client.request(self.method, self.target, content=self.body, headers=headers)


def _re_serialised(slip: Slip) -> None:
    slip.signed_body = json.dumps(json.loads(slip.body)).encode()


def _without_query(slip: Slip) -> None:
    slip.method, slip.body = "GET", b""
    slip.signed_target = "/v3/pay/transactions/out-trade-no/T-000001"
    slip.target = f"{slip.signed_target}?mchid={slip.shop.mchid}"


def _in_ms(slip: Slip) -> None:
    slip.timestamp = str(int(slip.timestamp) * 1000 + 123)


def _in_ms_in_the_header(slip: Slip) -> None:
    slip.timestamp = slip.said = f"{slip.said}123"


def _neighbours_key(slip: Slip) -> None:
    sandbox = slip.shop.sandbox
    neighbour = sandbox.wechat.onboard(sandbox.shop("Next Door").facts)
    slip.signer = sandbox.wechat.secrets.merchant(neighbour.mchid).signer


def _platforms_key(slip: Slip) -> None:
    slip.signer = slip.shop.sandbox.wechat.platform(slip.shop.mchid).certificates[0].signer


def _no_last_line_feed(slip: Slip) -> None:
    slip.ending = b""


SLIPS: list[tuple[Callable[[Slip], None], str]] = [
    (_re_serialised, "the body was serialised again"),
    (_without_query, "the query is missing"),
    (_in_ms, "milliseconds"),
    (_in_ms_in_the_header, "milliseconds"),
    (_neighbours_key, "another key signed: 19"),
    (_platforms_key, "another key signed: the platform's key"),
    (_no_last_line_feed, "the last line feed is missing"),
]


@pytest.mark.parametrize(("slip", "words"), SLIPS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_wrong_signature_is_explained(
    slip: Callable[[Slip], None], words: str, caller: Caller, shop: Shop
) -> None:
    """A slip; what `/_paysim/requests` calls it."""
    attempt = Slip(shop)
    slip(attempt)
    answer = attempt.send()
    assert (answer.status_code, answer.json()["code"]) == (401, "SIGN_ERROR")
    logged = caller.get("/requests?refused=1&limit=1")[0]
    assert (logged["status"], logged["code"], logged["target"]) == (401, "SIGN_ERROR", attempt.target)
    assert words in logged["why"], logged["why"]
    assert shop.book("T-000001") is None


def test_without_a_slip_it_is_taken(shop: Shop) -> None:
    assert Slip(shop).send().status_code == 200


def test_a_right_signature_is_not_explained(caller: Caller, shop: Shop) -> None:
    shop.code_url("T-000001")
    assert caller.get("/requests")[0]["why"] == ""
