"""bridge.js and the pages' own scripts, run in node in the false browser of pages_browser.js."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

ALL = os.environ.get("PAYSIM_ALL") == "1"
SANDBOX = "http://127.0.0.1:8080"
SHOP = "http://shop.example:3000"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None and not ALL, reason="node is missing: apt-get install nodejs"
)

BROWSER = Path(__file__).parent / "pages_browser.js"
STATIC = Path(str(resources.files("paysim.servers"))) / "static"


def browse(scenario: str) -> Any:
    """What a scenario has seen, in the false browser of pages_browser.js."""
    done = subprocess.run(
        ["node", str(BROWSER), str(STATIC)],
        input=scenario.encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


SHOPPING = """
const shop = new Page(SHOP).run("bridge.js");
const pay = (parameters) =>
  shop.window.WeixinJSBridge.invoke("getBrandWCPayRequest", parameters, (res) => seen.push(res));
const parameters = { appId: "wx1", package: "prepay_id=wx2" };
"""
OPENED = f"""{SHOPPING}
pay(parameters);
const popup = shop.opened[0];
const heard = [];
popup.listeners.addEventListener("message", (event) => heard.push(event.data));
popup.say({{ paysim: "ready", id: popup.id }}, "*");
await settle();
const result = (result, more) => ({{ paysim: "result", id: popup.id, result, message: "why", ...more }});
"""


@pytest.mark.parametrize("state", ["loading", "complete"])
def test_the_bridge_is_there_at_once_and_says_so_when_the_page_is(state: str) -> None:
    assert browse(
        f"""
        const shop = new Page(SHOP, {{ readyState: "{state}" }}).run("bridge.js");
        seen.push(typeof shop.window.WeixinJSBridge.invoke);
        shop.window.document.addEventListener("WeixinJSBridgeReady", () => seen.push("ready"));
        shop.events.fire("DOMContentLoaded", {{}});
        await settle();
        """
    ) == ["function", "ready"]


def test_the_window_opens_on_the_scripts_origin_and_its_address_says_nothing() -> None:
    seen = browse(f"{OPENED} seen.push(popup.url, popup.target, popup.id, heard);")
    url, target, identity, heard = seen
    assert re.fullmatch("[0-9a-f]{32}", identity)
    assert url == f"{SANDBOX}/_paysim/confirm#{identity}"
    assert target == "_blank"
    assert heard == [
        {
            "paysim": "open",
            "id": identity,
            "kind": "jsapi",
            "appid": "",
            "parameters": {"appId": "wx1", "package": "prepay_id=wx2"},
        }
    ]


def test_each_payment_has_its_own_id() -> None:
    first, second = browse(
        f"{SHOPPING} pay({{}}); pay({{}}); seen.push(...shop.opened.map((one) => one.id));"
    )
    assert first != second


@pytest.mark.parametrize("result", ["ok", "cancel", "fail"])
def test_a_result_reaches_the_page(result: str) -> None:
    seen = browse(f"{OPENED} popup.say(result('{result}')); await settle(); shop.tick();")
    assert seen == [{"err_msg": f"get_brand_wcpay_request:{result}", "err_desc": "why"}]


@pytest.mark.parametrize(
    "forged",
    [
        "shop.hear({ origin: 'http://evil.example', source: shop.see(popup), data: result('ok') })",
        "shop.hear({ origin: 'https://127.0.0.1:8080', source: shop.see(popup), data: result('ok') })",
        "shop.hear({ origin: SANDBOX + '.evil.example', source: shop.see(popup), data: result('ok') })",
        "shop.hear({ origin: SANDBOX, source: shop.see(new Page(SANDBOX)), data: result('ok') })",
        "shop.hear({ origin: SANDBOX, source: null, data: result('ok') })",
        "popup.origin = 'http://evil.example'; popup.say(result('ok'), '*')",
        "popup.say(result('ok', { id: '0'.repeat(32) }))",
        "popup.say(result('ok', { id: undefined }))",
        "popup.say(result('paid'))",
        "popup.say(result(['ok']))",
        "popup.say(result('ok', { paysim: 'done' }))",
        "popup.say('ok')",
        "popup.say(null)",
        "popup.say(result('ok'), 'http://other.example')",
    ],
)
def test_a_forged_result_is_not_heard(forged: str) -> None:
    seen = browse(f"{OPENED} {forged}; await settle(); seen.push('nothing');")
    assert seen == ["nothing"]
    true = "popup.origin = SANDBOX; popup.say(result('cancel')); await settle();"
    seen = browse(f"{OPENED} {forged}; await settle(); {true}")
    assert [one["err_msg"] for one in seen] == ["get_brand_wcpay_request:cancel"]


def test_the_parameters_go_to_the_sandbox_only() -> None:
    heard = browse(
        f"""{SHOPPING}
        pay(parameters);
        const popup = shop.opened[0];
        popup.listeners.addEventListener("message", (event) => seen.push(event.data));
        const data = {{ paysim: "ready", id: popup.id }};
        shop.hear({{ origin: "http://evil.example", source: shop.see(popup), data }});
        await settle();
        popup.say(data, "*");
        popup.origin = "http://evil.example"; // it goes elsewhere before the answer arrives
        await settle();
        """
    )
    assert heard == []


def test_the_first_result_counts() -> None:
    seen = browse(
        f"""{OPENED}
        popup.say(result("cancel"));
        popup.say(result("ok"));
        await settle();
        popup.closed = true;
        shop.tick(); shop.tick(); shop.tick();
        seen.push(shop.intervals.size, shop.listeners.listeners.message.length);
        """
    )
    assert seen == [{"err_msg": "get_brand_wcpay_request:cancel", "err_desc": "why"}, 0, 0]


def test_a_closed_window_is_a_cancel() -> None:
    seen = browse(
        f"{OPENED} shop.tick(); popup.closed = true; shop.tick(); seen.push(seen.length); shop.tick();"
    )
    assert seen == [0, {"err_msg": "get_brand_wcpay_request:cancel"}]


def test_a_result_on_its_way_beats_the_closing_of_the_window() -> None:
    seen = browse(
        f"{OPENED} popup.say(result('ok')); popup.closed = true; shop.tick(); await settle(); shop.tick();"
    )
    assert [one["err_msg"] for one in seen] == ["get_brand_wcpay_request:ok"]


def test_a_window_that_was_never_ready_hints_at_why() -> None:
    seen = browse(f"{SHOPPING} pay({{}}); shop.opened[0].closed = true; shop.tick(); shop.tick();")
    assert seen[0]["err_msg"] == "get_brand_wcpay_request:cancel"
    assert "COOP" in seen[0]["err_desc"]


def test_a_reloaded_window_is_told_again() -> None:
    again = "popup.say({ paysim: 'ready', id: popup.id }, '*'); await settle();"
    seen = browse(f"{OPENED} {again} seen.push(heard.length);")
    assert seen == [2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("shop.blocked = true;", "blocked"),
        ("shop.window.origin = 'null';", "serve it by HTTP"),
        ("parameters.self = parameters;", "not plain values"),
    ],
)
def test_what_cannot_open_fails_and_says_why(change: str, said: str) -> None:
    seen = browse(f"{SHOPPING} {change} pay(parameters); seen.push('returned'); await settle();")
    assert seen[0] == "returned"
    assert seen[1]["err_msg"] == "get_brand_wcpay_request:fail"
    assert said in seen[1]["err_desc"]


def test_other_functions_of_the_bridge_do_not_exist() -> None:
    seen = browse(
        f"""{SHOPPING}
        shop.window.WeixinJSBridge.invoke("editAddress", {{}}, (res) => seen.push(res.err_msg));
        shop.window.WeixinJSBridge.invoke("getBrandWCPayRequest", parameters);
        shop.opened[0].say({{ paysim: "result", id: shop.opened[0].id, result: "ok", message: "" }});
        await settle();
        """
    )
    assert seen == ["system:function_not_exist"]


WX = """
const wx_ = { hideMenu: () => "kept" };
const shop = new Page(SHOP, { wx: wx_, dataset: { appid: "wxMINI" } }).run("bridge.js");
const { wx } = shop.window;
const calls = (names) => Object.fromEntries(names.map((name) => [name, (res) => seen.push([name, res])]));
const all = calls(["success", "cancel", "fail", "complete"]);
const signed = { nonceStr: "n", package: "prepay_id=wx2", signType: "RSA", paySign: "s" };
const given = { timestamp: 1414723227, ...signed };
async function end(result, message) {
  const popup = shop.opened[0];
  popup.listeners.addEventListener("message", (event) => seen.push(event.data));
  popup.say({ paysim: "ready", id: popup.id }, "*");
  await settle();
  popup.say({ paysim: "result", id: popup.id, result, message });
  await settle();
}
"""
CONFIG = """
wx.config({ appId: "wx1", timestamp: 1, nonceStr: "n", signature: "s", jsApiList: ["chooseWXPay"] });
"""


@pytest.mark.parametrize(("result", "called"), [("ok", "success"), ("cancel", "cancel"), ("fail", "fail")])
def test_choose_wx_pay_calls_back_as_the_js_sdk(result: str, called: str) -> None:
    opened, first, last = browse(
        f"{WX} {CONFIG} wx.chooseWXPay({{ ...given, ...all }}); await end('{result}', '');"
    )
    assert opened["parameters"] == {
        "appId": "wx1",
        "timeStamp": "1414723227",
        "nonceStr": "n",
        "package": "prepay_id=wx2",
        "signType": "RSA",
        "paySign": "s",
    }
    assert (opened["kind"], opened["appid"]) == ("jsapi", "wx1")
    assert [first, last] == [[name, {"errMsg": f"chooseWXPay:{result}"}] for name in (called, "complete")]


@pytest.mark.parametrize(
    "config", ["", CONFIG.replace("chooseWXPay", "scanQRCode"), CONFIG.replace("wx1", "")]
)
def test_choose_wx_pay_needs_wx_config(config: str) -> None:
    first, last = browse(f"{WX} {config} wx.chooseWXPay({{ ...given, ...all }}); await settle();")
    assert [first[0], last[0]] == ["fail", "complete"]
    assert first[1]["errMsg"] == "chooseWXPay:permission denied"


def test_wx_ready_and_wx_error() -> None:
    listen = "wx.ready(() => seen.push('ready')); wx.error((res) => seen.push(res.errMsg));"
    assert browse(f"{WX} {listen} {CONFIG} await settle();") == ["ready"]
    assert browse(f"{WX} {CONFIG} await settle(); {listen} await settle();") == ["ready"]
    assert browse(f"{WX} {listen} wx.config({{}}); await settle();") == ["config:invalid appid"]


def test_what_the_page_had_in_wx_stays() -> None:
    seen = browse(
        f"""{WX}
        seen.push(wx.hideMenu(), shop.window.jWeixin === wx);
        wx.checkJsApi({{ jsApiList: ["chooseWXPay", "scanQRCode"], success: (res) => seen.push(res) }});
        await settle();
        """
    )
    checked = {"chooseWXPay": True, "scanQRCode": False}
    assert seen == ["kept", True, {"checkResult": checked, "errMsg": "checkJsApi:ok"}]


@pytest.mark.parametrize(
    ("result", "called", "text"),
    [
        ("ok", "success", "requestPayment:ok"),
        ("cancel", "fail", "requestPayment:fail cancel"),
        ("fail", "fail", "requestPayment:fail a wrong PIN"),
    ],
)
def test_request_payment_calls_back_as_a_mini_program(result: str, called: str, text: str) -> None:
    ask = "wx.requestPayment({ ...given, timeStamp: '1', ...all });"
    opened, *told = browse(f"{WX} {ask} await end('{result}', 'a wrong PIN');")
    assert (opened["kind"], opened["appid"]) == ("mini_program", "wxMINI")
    assert opened["parameters"] == {
        "timeStamp": "1",
        "nonceStr": "n",
        "package": "prepay_id=wx2",
        "signType": "RSA",
        "paySign": "s",
    }
    assert told == [[called, {"errMsg": text}], ["complete", {"errMsg": text}]]


def test_request_payment_without_callbacks_is_a_promise() -> None:
    ask = "wx.requestPayment(given).then((r) => seen.push(r), (r) => seen.push(['no', r]));"
    told = browse(f"{WX} {ask} await end('cancel', '');")
    assert told[1:] == [["no", {"errMsg": "requestPayment:fail cancel"}]]


def test_the_bridge_may_stand_in_a_page_twice() -> None:
    seen = browse(
        f"{SHOPPING} const {{ wx }} = shop.window; shop.run('bridge.js'); seen.push(wx === shop.window.wx);"
    )
    assert seen == [True]


# The confirm window's own script, opened by the bridge.
WINDOW = f"""{SHOPPING}
pay(parameters);
const popup = shop.opened[0];
const order = {{ merchant: "小店", description: "<b>", amount: "12.80", state: "", payer: "bob" }};
popup.answers["/_paysim/confirm/order"] = {{ order, message: "" }};
popup.answers["/_paysim/confirm"] = {{ result: "ok", message: "" }};
popup.run("prompt.js", "confirm.js");
await settle();
"""


def test_the_window_shows_what_the_page_asked_for_and_who_asks() -> None:
    seen = browse(
        f"""{WINDOW}
        const text = (id) => popup.part(id).textContent;
        seen.push(text("merchant"), text("description"), text("amount"), text("opener"), popup.posts[0]);
        seen.push(popup.part("choices").hidden, popup.people.map((one) => one.checked));
        """
    )
    assert seen[:4] == ["小店", "<b>", "12.80", SHOP]
    assert seen[4] == {
        "where": "/_paysim/confirm/order",
        "headers": {"Content-Type": "application/json"},
        "kind": "jsapi",
        "appid": "",
        "parameters": {"appId": "wx1", "package": "prepay_id=wx2"},
        "opener": SHOP,
    }
    assert seen[5] is False
    assert seen[6][1] is True


@pytest.mark.parametrize(
    ("result", "closes", "told"),
    [
        ("'ok'", True, [{"err_msg": "get_brand_wcpay_request:ok"}]),
        ("'cancel'", True, [{"err_msg": "get_brand_wcpay_request:cancel"}]),
        ("'fail'", False, [{"err_msg": "get_brand_wcpay_request:fail", "err_desc": "why"}]),
        ("null", False, []),
    ],
)
def test_a_choice_in_the_window_ends_in_the_page(result: str, closes: bool, told: list[Any]) -> None:
    seen = browse(
        f"""{WINDOW}
        popup.answers["/_paysim/confirm"] = {{ result: {result}, message: "why" }};
        await popup.choose("wrong_pin");
        const closed = popup.closed;
        popup.closed = false;
        await settle();
        seen.push(closed, popup.posts[1].person, popup.posts[1].outcome, popup.part("fields").disabled);
        """
    )
    assert seen == [*told, closes, "alice", "wrong_pin", False]


def test_after_silence_the_person_may_still_choose_or_leave() -> None:
    silent = f"""{WINDOW}
        popup.answers["/_paysim/confirm"] = {{ result: null, message: "" }};
        await popup.choose("silence");
        await settle();
        seen.push(popup.part("message").className);
    """
    pays = """popup.answers["/_paysim/confirm"] = { result: "ok", message: "" };
        await popup.choose(""); popup.closed = false; await settle();"""
    assert browse(silent + pays) == ["wait", {"err_msg": "get_brand_wcpay_request:ok"}]
    leaves = "popup.closed = true; shop.tick(); shop.tick();"
    assert browse(silent + leaves) == ["wait", {"err_msg": "get_brand_wcpay_request:cancel"}]


def test_an_unknown_order_fails_at_once() -> None:
    unknown = WINDOW.replace('{ order, message: "" }', '{ order: null, message: "none here" }')
    seen = browse(f"{unknown} seen.push(popup.part('choices').hidden, popup.part('message').textContent);")
    assert seen == [{"err_msg": "get_brand_wcpay_request:fail", "err_desc": "none here"}, True, "none here"]


def test_while_the_sandbox_is_away_the_person_can_try_again() -> None:
    seen = browse(
        f"""{WINDOW}
        delete popup.answers["/_paysim/confirm"];
        await popup.choose("");
        await settle();
        seen.push(popup.part("message").textContent.includes("refused"), popup.part("fields").disabled);
        """
    )
    assert seen == [True, False]


@pytest.mark.parametrize(
    "forged",
    [
        "{ origin: 'http://evil.example', source: popup.see(new Page('http://evil.example')), data: open }",
        "{ origin: SHOP, source: null, data: open }",
        "{ origin: SHOP, source: popup.see(shop), data: { ...open, id: '0'.repeat(32) } }",
        "{ origin: SHOP, source: popup.see(shop), data: 'open' }",
        "{ origin: SHOP, source: popup.see(shop), data: null }",
        "{ origin: 'null', source: popup.see(shop), data: open }",
    ],
)
def test_the_window_hears_only_the_page_that_opened_it(forged: str) -> None:
    seen = browse(
        f"""
        const shop = new Page(SHOP);
        const popup = new Page(SANDBOX, {{ opener: shop, hash: "#" + "1".repeat(32) }});
        const open = {{ paysim: "open", id: "1".repeat(32), kind: "jsapi", appid: "", parameters: {{}} }};
        popup.run("prompt.js", "confirm.js");
        popup.hear({forged});
        await settle();
        seen.push(popup.posts.length);
        """
    )
    assert seen == [0]


def test_the_window_takes_one_order_and_tells_only_who_asked() -> None:
    seen = browse(
        f"""{WINDOW}
        const other = {{ paysim: "open", id: popup.id, kind: "jsapi", parameters: {{ package: "other" }} }};
        shop.see(popup).postMessage(other, "*");
        await settle();
        seen.push(popup.posts.length);
        shop.origin = "http://evil.example"; // the page has gone elsewhere
        shop.listeners.addEventListener("message", (event) => seen.push(event.data));
        await popup.choose("");
        popup.closed = false;
        await settle();
        seen.push(popup.posts[1].parameters.package);
        """
    )
    assert seen == [1, "prepay_id=wx2"]


@pytest.mark.parametrize("hash_", ["", "#1", "#" + "z" * 32])
def test_a_window_that_nobody_opened_offers_nothing(hash_: str) -> None:
    seen = browse(
        f"""
        const shop = new Page(SHOP);
        const good = "#" + "1".repeat(32);
        const popup = new Page(SANDBOX, {{ opener: "{hash_}" ? shop : null, hash: "{hash_}" || good }});
        popup.run("prompt.js", "confirm.js");
        seen.push(popup.part("choices").hidden, popup.part("message").className);
        """
    )
    assert seen == [True, "bad"]


H5_PAGE = """
const page = new Page(SANDBOX);
const data = { prepay: "wx2", package: "7", referer: "r", redirect: "u" };
Object.assign(page.window.document.body.dataset, data);
page.answers["/_paysim/page"] = ANSWER;
page.run("prompt.js", "h5.js");
await page.choose("refuse");
seen.push(page.replaced, page.part("message").textContent, page.part("choices").hidden, page.posts[0]);
"""


@pytest.mark.parametrize(
    ("answer", "goes", "says", "over"),
    [
        ({"result": "ok", "message": "", "redirect": "https://s/"}, "https://s/", "", False),
        ({"result": "cancel", "message": "", "redirect": "https://s/"}, "https://s/", "", False),
        ({"result": "ok", "message": "", "redirect": ""}, "", "支付成功 Paid", True),
        ({"result": "cancel", "message": "", "redirect": ""}, "", "已取消 Cancelled", True),
        ({"result": "fail", "message": "why", "redirect": "https://s/"}, "", "why", False),
        (
            {"result": None, "message": "", "redirect": "https://s/"},
            "",
            "还没有付款 Nothing has happened yet",
            False,
        ),
    ],
)
def test_after_paying_by_h5(answer: dict[str, Any], goes: str, says: str, over: bool) -> None:
    replaced, text, hidden, sent = browse(H5_PAGE.replace("ANSWER", json.dumps(answer)))
    assert (replaced, text, hidden) == (goes, says, over)
    assert sent == {
        "where": "/_paysim/page",
        "headers": {"Content-Type": "application/json"},
        "person": "alice",
        "outcome": "refuse",
        "prepay_id": "wx2",
        "package": "7",
        "referer": "r",
        "redirect_url": "u",
    }
