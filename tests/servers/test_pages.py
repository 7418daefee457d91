"""The payer's pages: what they show and escape, whom they let pay, and where they lead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

httpx = pytest.importorskip("httpx")
starlette = pytest.importorskip("starlette.applications")

from paysim.core.errors import UsageError  # noqa: E402
from paysim.operators.wechat.payer import OUTCOMES  # noqa: E402
from paysim.servers import pages  # noqa: E402

HERE = "http://127.0.0.1:8080"
PREPAY = "wx2026010108000000000000123456780042"
H5 = "/_paysim/cgi-bin/mmpayweb-bin/checkmweb"
WALLET = "/cgi-bin/mmpayweb-bin/checkmweb"
SHOP = "http://shop.example:3000"
NASTY = """<script>alert(1)</script>"'&$amount"""
PARAMETERS = {"appId": "wx1", "package": f"prepay_id={PREPAY}", "paySign": "c2ln"}
ORDER = pages.OrderView("小店", "一本书", 1280, "NOTPAY", "JSAPI")
H5_ORDER = ORDER._replace(trade_type="H5", h5_domains=("shop.example",))


class Desk:
    """One order, two people; pay keeps what it was given."""

    def __init__(self, order: pages.OrderView | None = ORDER, answer: Any = ("ok", "")) -> None:
        self.shown, self.answer = order, answer
        self.paid: list[tuple[Any, ...]] = []

    def order(self, prepay_id: str) -> pages.OrderView | None:
        return self.shown if prepay_id == PREPAY else None

    def people(self) -> list[tuple[str, str, int]]:
        return [("alice", "Alice", 100_000), ("bob", NASTY, 5)]

    def pay(
        self,
        person: str,
        text: str,
        outcome: str,
        kind: str,
        parameters: Mapping[str, Any],
        appid: str,
        referer: str,
    ) -> tuple[str | None, str]:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.paid.append((person, text, outcome, kind, parameters, appid, referer))
        result, message = self.answer
        return result, message


def ask(
    desk: Desk,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    content: bytes = b"",
    base: str = HERE,
) -> Any:
    """The answer of the pages over a desk."""

    async def work() -> Any:
        transport = httpx.ASGITransport(starlette.Starlette(routes=pages.routes(desk)))
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, url, headers=dict(headers or {}), content=content)

    return asyncio.run(work())


def post(desk: Desk, url: str, body: Any, **headers: str) -> Any:
    """A POST as the pages' own scripts make it, but for `headers`; "" leaves one out."""
    usual = {"Origin": HERE, "Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(desk, "POST", url, {name: value for name, value in usual.items() if value}, content)


class Reader(HTMLParser):
    """Checks that elements nest, and keeps the text, the attributes by id, the scripts and links."""

    VOID = ("meta", "link", "input", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: dict[str, dict[str, str | None]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs), f"an attribute twice in <{tag}>"
        assert not [name for name in found if name.startswith("on") or name == "style"], "inline script"
        if "id" in found:
            assert found["id"] not in self.ids, "an id twice"
            self.ids[str(found["id"])] = found
        self.tags.append((tag, found))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        assert self.open[-1:] != ["script"] or not data.strip(), "inline script"
        self.words += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


# What every answer carries. -------------------------------------------------------------------------------

GETS = (
    "/_paysim/bridge.js",
    "/_paysim/confirm",
    "/_paysim/static/prompt.js",
    "/_paysim/static/confirm.js",
    "/_paysim/static/h5.js",
    "/_paysim/static/pages.css",
    "/cgi-bin/mmpayweb-bin/static/h5.js",
    f"{H5}?prepay_id={PREPAY}&package=1",
    f"{WALLET}?prepay_id={PREPAY}&package=1",
    f"{H5}?prepay_id=none",
)


@pytest.mark.parametrize("url", GETS)
def test_no_page_runs_foreign_script_or_stands_in_a_frame(url: str) -> None:
    answer = ask(Desk(H5_ORDER), "GET", url, {"Referer": SHOP})
    assert answer.status_code == 200
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("url", ["/_paysim/confirm", GETS[7], GETS[8], GETS[9]])
def test_pages_nest_and_load_what_exists(url: str) -> None:
    desk = Desk(H5_ORDER)
    page = Reader(ask(desk, "GET", url, {"Referer": SHOP}).text)
    loaded = [one["src"] for one in page.of("script")] + [one["href"] for one in page.of("link")]
    assert loaded
    for one in loaded:
        assert str(one).startswith("/_paysim/" if url.startswith("/_paysim") else pages.WALLET_FOLDER)
        assert ask(desk, "GET", str(one)).status_code == 200


def test_only_the_bridge_is_for_other_sites() -> None:
    policies = {
        url: ask(Desk(), "GET", url).headers["cross-origin-resource-policy"]
        for url in GETS
        if "static" in url
    }
    assert set(policies.values()) == {"same-origin"}
    bridge = ask(Desk(), "GET", "/_paysim/bridge.js")
    assert bridge.headers["cross-origin-resource-policy"] == "cross-origin"
    assert bridge.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "url", ["/_paysim/static/bridge.js", "/_paysim/static/..%2fpages.py", "/_paysim/static/"]
)
def test_nothing_else_is_served(url: str) -> None:
    assert ask(Desk(), "GET", url).status_code == 404


# The confirm window. --------------------------------------------------------------------------------------

CONFIRM = "/_paysim/confirm"
ASKED = {"kind": "jsapi", "parameters": PARAMETERS, "appid": "", "opener": SHOP}


def test_the_window_offers_people_and_each_outcome_in_two_languages() -> None:
    page = Reader(ask(Desk(), "GET", CONFIRM).text)
    assert [one["value"] for one in page.of("input")] == ["alice", "bob"]
    assert ["checked" in one for one in page.of("input")] == [True, False]
    outcomes = [one["value"] for one in page.of("button")]
    assert set(outcomes) == {""} | (set(OUTCOMES) - {"confirm"})
    for word in ("确认支付", "Pay", "密码错误", "Wrong PIN", "¥1000.00", "¥0.05", NASTY):
        assert word in page.words


def test_the_window_is_told_the_order() -> None:
    desk = Desk(ORDER._replace(merchant=NASTY, payer="bob"))
    answer = post(desk, f"{CONFIRM}/order", ASKED)
    assert answer.json() == {
        "order": {
            "merchant": NASTY,
            "description": "一本书",
            "amount": "12.80",
            "state": "",
            "payer": "bob",
        },
        "message": "",
    }
    unknown = ASKED | {"parameters": {"package": "prepay_id=wx1"}}
    assert post(desk, f"{CONFIRM}/order", unknown).json() == {
        "order": None,
        "message": "no order here has the prepay_id 'wx1'",
    }
    assert desk.paid == []


@pytest.mark.parametrize(
    ("state", "expired", "said"),
    [
        ("NOTPAY", False, ""),
        ("NOTPAY", True, "已过期 Expired"),
        ("SUCCESS", True, "已支付 Paid"),
        ("CLOSED", False, "已关闭 Closed"),
        ("NEW_ONE", False, "NEW_ONE"),
    ],
)
def test_the_window_says_how_the_order_stands(state: str, expired: bool, said: str) -> None:
    desk = Desk(ORDER._replace(state=state, expired=expired))
    assert post(desk, f"{CONFIRM}/order", ASKED).json()["order"]["state"] == said


@pytest.mark.parametrize("answer", [("ok", ""), ("cancel", ""), ("fail", "a wrong PIN"), (None, "waits")])
def test_a_choice_reaches_the_desk_with_all_that_the_page_gave(answer: tuple[str | None, str]) -> None:
    desk = Desk(answer=answer)
    for kind, appid in (("jsapi", ""), ("mini_program", "wx9")):
        body = ASKED | {"kind": kind, "appid": appid, "person": "bob", "outcome": "wrong_pin"}
        told = post(desk, CONFIRM, body)
        assert (told.status_code, told.json()) == (200, {"result": answer[0], "message": answer[1]})
        assert desk.paid.pop() == ("bob", PREPAY, "wrong_pin", kind, PARAMETERS, appid, SHOP)


def test_what_cannot_be_is_told_as_fail() -> None:
    told = post(Desk(answer=UsageError("there is no person 'eve'")), CONFIRM, ASKED | {"person": "eve"})
    assert (told.status_code, told.json()) == (
        400,
        {"result": "fail", "message": "there is no person 'eve'"},
    )


PAY = ASKED | {"person": "alice", "outcome": ""}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (PAY | {"outcome": "rob"}, "outcome is one of"),
        (PAY | {"outcome": None}, "outcome is text"),
        (PAY | {"person": 1}, "person is text"),
        (PAY | {"kind": "h5"}, "kind is"),
        (PAY | {"kind": ["jsapi"]}, "kind is text"),
        (PAY | {"parameters": None}, "parameters is an object"),
        (PAY | {"parameters": {}}, "package is prepay_id=..., not null"),
        (PAY | {"parameters": {"package": {"prepay_id": PREPAY}}}, "package is prepay_id=..., not {"),
        (PAY | {"appid": {}}, "appid is text"),
        ([PAY], "JSON object"),
        (b"", "not JSON"),
        (b'{"person": NaN}', "not JSON"),
        (b'{"person": "\\ud800"}', "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b'{"person": ' + b"1" * 5_000 + b"}", "not JSON"),
    ],
)
def test_a_malformed_body_is_refused(body: Any, said: str) -> None:
    desk = Desk()
    answer = post(desk, CONFIRM, body)
    assert answer.status_code == 400
    assert answer.json()["result"] == "fail"
    assert said in answer.json()["message"]
    assert desk.paid == []


@pytest.mark.parametrize("url", [CONFIRM, f"{CONFIRM}/order", H5, WALLET])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": SHOP}, 403),
        ({"Origin": "http://127.0.0.1:8081"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "ftp://127.0.0.1:8080"}, 403),
        ({"Origin": "http://127.0.0.1:8080.evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Content_Type": ""}, 415),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "text/plain; application/json"}, 415),
    ],
)
def test_another_site_cannot_pay(url: str, headers: dict[str, str], status: int) -> None:
    desk = Desk(H5_ORDER)
    answer = post(desk, url, PAY | {"prepay_id": PREPAY}, **headers)
    assert (answer.status_code, answer.json()["result"]) == (status, "fail")
    assert desk.paid == []


def test_our_own_pages_can() -> None:
    desk = Desk()
    ours = {"Sec_Fetch_Site": "same-origin", "Content_Type": "Application/JSON; charset=utf-8"}
    assert post(desk, CONFIRM, PAY, **ours).json()["result"] == "ok"
    proxied = {"Origin": "https://wx.tenpay.com", "Content-Type": "application/json"}
    body = json.dumps({"person": "alice", "prepay_id": PREPAY}).encode()
    answer = ask(desk, "POST", WALLET, proxied, body, base="http://wx.tenpay.com")
    assert answer.json()["result"] == "ok"


def test_a_long_body_is_refused() -> None:
    answer = post(Desk(), CONFIRM, PAY | {"padding": "x" * 70_000})
    assert (answer.status_code, answer.json()["result"]) == (413, "fail")


# The H5 page. ---------------------------------------------------------------------------------------------


def h5(desk: Desk, query: str = "", path: str = H5, **headers: str) -> Reader:
    headers = {"Referer": f"{SHOP}/cart", **{k.replace("_", "-"): v for k, v in headers.items()}}
    given = {name: value for name, value in headers.items() if value}
    return Reader(ask(desk, "GET", f"{path}?prepay_id={PREPAY}&package=77{query}", given).text)


def notice(page: Reader) -> str:
    return str(page.ids.get("notice", {}).get("data-notice", ""))


def test_the_h5_page_shows_the_order() -> None:
    order = H5_ORDER._replace(merchant=NASTY, description=NASTY, payer="bob")
    page = h5(Desk(order), "&redirect_url=https%3A%2F%2Fshop.example%2Fdone%3Fa%3D1%26b%3D%22%3E")
    assert page.words.count(NASTY) == 3  # merchant, description, bob
    assert "12.80" in page.words
    assert 'https://shop.example/done?a=1&b=">' in page.words
    assert len(page.of("script")) == 2
    assert ["checked" in one for one in page.of("input")] == [False, True]
    body = page.of("body")[0]
    assert (body["data-prepay"], body["data-package"]) == (PREPAY, "77")
    assert body["data-referer"] == f"{SHOP}/cart"
    assert body["data-redirect"] == 'https://shop.example/done?a=1&b=">'


@pytest.mark.parametrize(
    ("order", "headers", "query", "wanted"),
    [
        (H5_ORDER, {}, "", ""),
        (H5_ORDER, {"Referer": "https://pay.shop.example/"}, "", ""),
        (H5_ORDER, {"Referer": "https://SHOP.example/"}, "", ""),
        (H5_ORDER._replace(h5_domains=()), {"Referer": ""}, "", ""),
        (H5_ORDER._replace(state="USERPAYING"), {}, "", ""),
        (H5_ORDER, {"Referer": ""}, "", "malformed"),
        (H5_ORDER, {"Referer": "https://notshop.example/"}, "", "domain"),
        (H5_ORDER, {"Referer": "https://shop.example.evil.example/"}, "", "domain"),
        (H5_ORDER, {"Referer": "https://shop.example@evil.example/"}, "", "domain"),
        (H5_ORDER, {"Referer": "http://[shop.example/"}, "", "domain"),
        (H5_ORDER, {"User_Agent": "Mozilla/5.0 (iPhone) MicroMessenger/8.0.49"}, "", "inside_wechat"),
        (H5_ORDER._replace(expired=True), {}, "", "expired"),
        (H5_ORDER._replace(state="SUCCESS", expired=True), {}, "", "paid"),
        (H5_ORDER._replace(state="REFUND"), {}, "", "paid"),
        (H5_ORDER._replace(state="CLOSED"), {}, "", "closed"),
        (ORDER, {}, "", "malformed"),
        (None, {}, "", "malformed"),
        (H5_ORDER, {}, "&redirect_url=https%3A%2F%2Fevil.example", "domain"),
        (H5_ORDER, {}, "&redirect_url=javascript%3Aalert(1)", "domain"),
    ],
)
def test_an_h5_link_opens_or_says_why_not(
    order: pages.OrderView | None, headers: dict[str, str], query: str, wanted: str
) -> None:
    page = h5(Desk(order), query, **headers)
    assert notice(page) == wanted
    assert (page.of("button") == []) == bool(wanted)


def test_refusals_have_wechats_words() -> None:
    assert "支付请求已失效，请重新发起支付" in h5(Desk(H5_ORDER._replace(expired=True))).words
    assert "商家存在未配置的参数，请联系商家解决" in h5(Desk(H5_ORDER), Referer="http://e.example").words
    nasty = Desk(H5_ORDER._replace(h5_domains=(NASTY,)))
    assert NASTY in h5(nasty, Referer="http://e.example").words


def test_a_payment_by_h5_goes_back_to_the_shop() -> None:
    desk = Desk(H5_ORDER)
    body = {
        "person": "alice",
        "outcome": "refuse",
        "prepay_id": PREPAY,
        "package": "7&7",
        "referer": f"{SHOP}/cart",
        "redirect_url": "https://shop.example/done",
    }
    told = post(desk, H5, body).json()
    assert told == {"result": "ok", "message": "", "redirect": "https://shop.example/done"}
    url = f"https://wx.tenpay.com{WALLET}?prepay_id={PREPAY}&package=7%267"
    assert desk.paid == [("alice", url, "refuse", "h5", {}, "", f"{SHOP}/cart")]


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("https://shop.example", True),
        ("http://shop.example:3000/a b?c=书#d", True),
        ("HTTPS://shop.example", False),
        ("https://www.shop.example/x", True),
        ("//shop.example", False),
        ("/done", False),
        ("javascript://shop.example/%0aalert(1)", False),
        ("data:text/html,x", False),
        ("https://evil.example\\@shop.example", False),
        ("https://evil.example/@shop.example", False),
        ("https://user@shop.example", False),
        ("https://shop.example\\.evil.example", False),
        ("https://shop.example.evil.example", False),
        ("https://evilshop.example", False),
        ("https://shop.example\n.evil.example", False),
        ("https://shop.example/\n", False),
        ("https://shop.example/\\evil.example", False),
        ("https://shop.example/\t?a", False),
        ("https://shop.example:/", False),
        (" https://shop.example", False),
        ("https://", False),
        ("https://[::1]/", False),
    ],
)
def test_redirect_urls_stay_on_the_merchants_domains(url: str, goes: bool) -> None:
    body = {"person": "alice", "prepay_id": PREPAY, "redirect_url": url}
    told = post(Desk(H5_ORDER), H5, body).json()
    assert told["redirect"] == (url if goes else "")


def test_without_domains_any_web_address_will_do() -> None:
    for url, goes in (("http://[::1]:3000/", True), ("http://localhost:3000", True), ("file:///etc", False)):
        body = {"person": "alice", "prepay_id": PREPAY, "redirect_url": url}
        told = post(Desk(H5_ORDER._replace(h5_domains=())), H5, body).json()
        assert told["redirect"] == (url if goes else "")
