"""The payer's side: each row is a check of the client, or an act of a person (facts/wechat 3 and 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st
from wechat_counter import APPS, Counter, content

from paysim import CNY
from paysim.core.errors import UsageError
from paysim.core.outcome import Reason
from paysim.operators.wechat.client_signature import PayKind, pay_sign
from paysim.operators.wechat.payer import MAGIC_AMOUNTS, MAGIC_OPENIDS, OUTCOMES, Invoke
from paysim.operators.wechat.world import order_key
from paysim.sandbox.wechat_payer import Paid

NONCE = "593BEC0C930BF1AFEB40B4A08C8FB242"
KINDS = {"jsapi": "jsapi", "mini_program": "jsapi", "app": "app"}
"""How it is opened -> the endpoint that orders it."""

APP_OF = {"jsapi": APPS[0].appid, "mini_program": APPS[1].appid, "app": APPS[2].appid}


def counter_of(kind: str) -> tuple[Counter, str]:
    """A merchant with three apps, and the prepay id of an order for Alice in the app of this kind."""
    counter = Counter(apps=APPS)
    appid = APP_OF[kind]
    jsapi = KINDS[kind] == "jsapi"
    more: dict[str, Any] = {"payer": {"openid": counter.openid(appid=appid)}} if jsapi else {}
    return counter, counter.shown(KINDS[kind], appid=appid, **more)


def parameters(counter: Counter, kind: str, prepay_id: str, appid: str = "") -> dict[str, Any]:
    """What the merchant's server hands to its page or app."""
    keys, now_s = counter.wechat.secrets.merchant(counter.mchid), counter.wechat.wall_ms() // 1000
    return dict(pay_sign(keys, cast("PayKind", kind), appid or APP_OF[kind], now_s, NONCE, prepay_id))


def invoked(counter: Counter, kind: str, text: str, given: Mapping[str, Any], **more: Any) -> Paid:
    invoke = Invoke(kind, given, more.pop("appid", APP_OF.get(kind, "")), more.pop("referer", ""))
    return counter.pay(text, invoke=invoke, **more)


# paySign. -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_merchant_signed_is_paid(kind: str) -> None:
    counter, prepay_id = counter_of(kind)
    paid = invoked(counter, kind, prepay_id, parameters(counter, kind, prepay_id))
    assert (paid.result, paid.outcome.approved) == ("ok", True)
    assert content(counter.query())["trade_type"] == ("APP" if kind == "app" else "JSAPI")


Spoil = Callable[[dict[str, Any]], dict[str, Any]]


def _with(**values: Any) -> Spoil:
    return lambda given: {**given, **{name: value for name, value in values.items() if name in given}}


def _without(*names: str) -> Spoil:
    return lambda given: {name: value for name, value in given.items() if name not in names}


def _bare_id(given: dict[str, Any]) -> dict[str, Any]:
    """The mistake of taking the app's rule for pages, and of taking the pages' rule for apps."""
    if "package" in given:
        return {**given, "package": given["package"].removeprefix("prepay_id=")}
    return {**given, "prepayId": "prepay_id=" + given["prepayId"]}


SPOILED: list[tuple[str, Spoil]] = [
    ("3 paySign wrong", _with(paySign="QUJD", sign="QUJD")),
    ("3 paySign no base64", _with(paySign="?", sign="?")),
    ("3 paySign an MD5 of APIv2", _with(paySign="0" * 32, sign="0" * 32)),
    ("3 paySign missing", _without("paySign", "sign")),
    ("3 paySign not text", _with(paySign=7, sign=7)),
    ("3 signed another nonce", _with(nonceStr="x")),
    ("3 signed another time", _with(timeStamp="1")),
    ("3 timeStamp a number", _with(timeStamp=1_700_000_000)),
    ("3 timeStamp missing", _without("timeStamp")),
    ("3 the last line of the other rule", _bare_id),
    ("3 packageValue or package is another", _with(packageValue="prepay_id=1", package="Sign=WXPay")),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spoil", [row[1] for row in SPOILED], ids=[row[0] for row in SPOILED])
def test_other_parameters_are_refused(kind: str, spoil: Spoil) -> None:
    counter, prepay_id = counter_of(kind)
    given = spoil(parameters(counter, kind, prepay_id))
    paid = invoked(counter, kind, prepay_id, given)
    assert (paid.result, paid.outcome.reason) == ("fail", Reason.WRONG_SIGNATURE)
    assert paid.outcome.text
    assert counter.state() == "NOTPAY"


@pytest.mark.parametrize("kind", KINDS)
def test_the_app_id_is_the_orders(kind: str) -> None:
    """3: appId differs from the order's; the mini program's own app id stands in the string."""
    counter, prepay_id = counter_of(kind)
    other = "wx00000000000000ff"
    given = parameters(counter, kind, prepay_id, other)
    paid = invoked(counter, kind, prepay_id, given, appid=other)
    assert (paid.result, paid.outcome.reason) == ("fail", Reason.WRONG_SIGNATURE)
    assert other in paid.outcome.text


@pytest.mark.parametrize("kind", KINDS)
def test_another_prepay_id_was_signed(kind: str) -> None:
    counter, prepay_id = counter_of(kind)
    given = parameters(counter, kind, prepay_id[:-1] + ("0" if prepay_id[-1] != "0" else "1"))
    assert invoked(counter, kind, prepay_id, given).outcome.reason is Reason.WRONG_SIGNATURE


def test_v2_sign_types_are_refused() -> None:
    """3: v2 JSAPI signs with MD5 or HMAC-SHA256; v3 with RSA."""
    counter, prepay_id = counter_of("jsapi")
    for sign_type in ("MD5", "HMAC-SHA256", "SHA256"):
        given = {**parameters(counter, "jsapi", prepay_id), "signType": sign_type}
        assert invoked(counter, "jsapi", prepay_id, given).outcome.reason is Reason.WRONG_SIGNATURE


@given(
    st.sampled_from(list(KINDS)),
    st.dictionaries(
        st.sampled_from(
            ["appId", "timeStamp", "nonceStr", "package", "signType", "paySign", "sign", "prepayId"]
        )
        | st.text(max_size=5),
        st.none()
        | st.integers()
        | st.text(st.characters(), max_size=9)
        | st.lists(st.booleans(), max_size=2),
        max_size=8,
    ),
)
@settings(max_examples=count(300), deadline=None)
def test_no_parameters_upset_the_client(kind: str, odd: dict[str, Any]) -> None:
    counter, prepay_id = counter_of(kind)
    given = {**parameters(counter, kind, prepay_id), **odd}
    paid = invoked(counter, kind, prepay_id, given)
    assert paid.result in ("ok", "fail")
    if any(
        given[name] != value
        for name, value in parameters(counter, kind, prepay_id).items()
        if name not in ("paySign", "sign", "timeStamp")
    ):
        assert paid.result == "fail"


# How it is opened. --------------------------------------------------------------------------------

OPENED: list[tuple[str, str, list[str]]] = [
    ("3 JSAPI", "jsapi", ["jsapi", "mini_program"]),
    ("3 APP", "app", ["app"]),
    ("3 H5", "h5", ["h5"]),
    ("3 Native", "native", ["scan"]),
]


@pytest.mark.parametrize("kind", ["jsapi", "mini_program", "app", "h5", "scan", "codepay", ""])
@pytest.mark.parametrize(("trade_type", "kinds"), [row[1:] for row in OPENED], ids=[row[0] for row in OPENED])
def test_a_prepay_id_of_another_trade_type_is_refused(trade_type: str, kinds: list[str], kind: str) -> None:
    """3: prepay made for another trade type."""
    counter = Counter()
    text = counter.shown(trade_type)
    prepay_id = text if text.startswith("wx") else "wx201410272009395522657a690389285100"
    given = parameters(counter, kind, prepay_id, counter.appid) if kind in KINDS else {}
    paid = invoked(counter, kind, text, given, appid=counter.appid)
    assert paid.result == ("ok" if kind in kinds else "fail")
    if kind not in kinds:
        assert paid.outcome.reason is Reason.WRONG_CHANNEL


def test_unknown_prepay_ids_and_codes_are_refused() -> None:
    """3: prepay_id unknown."""
    counter = Counter()
    known = counter.shown("app")
    nobody = known[:16] + "9" * 16 + known[32:]
    other = known[:-1] + ("0" if known[-1] != "0" else "1")
    link = "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?package=1&prepay_id="
    for text, reason in (
        (nobody, Reason.NOT_FOUND),
        (other, Reason.ALTERED_CODE),
        ("weixin://wxpay/bizpayurl?pr=000001kpqz956", Reason.NOT_FOUND),
        (link + nobody, Reason.NOT_FOUND),
        (link + other, Reason.ALTERED_CODE),
    ):
        paid = counter.pay(text)
        assert (paid.result, paid.outcome.reason) == ("fail", reason)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wx1",
        "weixin://wxpay/bizpayurl?pr=",
        "weixin://wxpay/bizpayurl?pr=zzzzzzzzzzzzz",
        "http://[/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=1",
        "\ud800",
        "https://example.com",
    ],
)
def test_what_is_no_text_of_wechat_pays_is_named_as_such(text: str) -> None:
    with pytest.raises(UsageError, match="no prepay id, code URL or H5 link"):
        Counter().pay(text)


def test_people_and_outcomes_that_do_not_exist() -> None:
    counter = Counter()
    text = counter.shown()
    with pytest.raises(UsageError, match="no person 'carol'"):
        counter.pay(text, person="carol")
    with pytest.raises(UsageError, match="an outcome is one of"):
        counter.pay(text, outcome="explode")


# Payer, state, time. ------------------------------------------------------------------------------


def test_a_jsapi_order_is_its_payers() -> None:
    """3: payer != openid; nobody is bound to an app's order."""
    counter = Counter()
    assert counter.pay(counter.shown("jsapi"), person=counter.bob).outcome.reason is Reason.WRONG_PAYER
    assert counter.pay(counter.shown("app", "T-000002"), person=counter.bob).result == "ok"


@pytest.mark.parametrize("outcome", ["silence", "wrong_pin", "no_money", "refuse"])
def test_a_native_code_is_bound_to_who_scans_it_first(outcome: str) -> None:
    """3: Native: bound to the first scanner; a new code of the order is free again."""
    counter = Counter()
    text = counter.shown()
    counter.pay(text, outcome=outcome)
    assert counter.pay(text, person=counter.bob).outcome.reason is Reason.WRONG_PAYER
    assert counter.pay(counter.shown(), person=counter.bob).result == "ok"
    order = content(counter.query())
    assert order["payer"]["openid"] == counter.openid(counter.bob)
    counter.sandbox.verify()


def test_who_scans_a_native_code_first_can_pay_it_later() -> None:
    counter = Counter()
    text = counter.shown()
    counter.pay(text, outcome="wrong_pin")
    assert counter.pay(text).result == "ok"


H5_TIMES: list[tuple[str, int, Reason | None]] = [
    ("3 H5 5 min", 299, None),
    ("3 H5 5 min", 300, Reason.EXPIRED),
]


@pytest.mark.parametrize(("wait_s", "why"), [row[1:] for row in H5_TIMES], ids=[row[0] for row in H5_TIMES])
def test_an_h5_link_holds_five_minutes(wait_s: int, why: Reason | None) -> None:
    counter = Counter()
    text = counter.shown("h5")
    counter.sandbox.advance(seconds=wait_s)
    assert counter.pay(text).outcome.reason is why
    if why:
        assert counter.pay(counter.shown("h5")).result == "ok", (
            "it is asked for again with the same parameters"
        )


DOMAINS: list[tuple[str, tuple[str, ...], str, bool]] = [
    ("3 Referer on the configured domain", ("shop.example",), "https://shop.example/pay?a=1", True),
    ("3 Referer on a subdomain", ("shop.example",), "https://m.shop.example/", True),
    ("3 Referer elsewhere", ("shop.example",), "https://evil.example/", False),
    ("3 Referer that ends alike", ("shop.example",), "https://evilshop.example/", False),
    ("3 Referer with the domain before an @", ("shop.example",), "https://shop.example@evil.example/", False),
    ("3 Referer with the domain in the path", ("shop.example",), "https://evil.example/shop.example", False),
    ("3 no Referer", ("shop.example",), "", False),
    ("3 Referer that is none", ("shop.example",), "http://[", False),
    ("3 second domain", ("a.example", "shop.example"), "http://SHOP.example:8000/", True),
    ("no domain is configured", (), "", True),
]


@pytest.mark.parametrize(
    ("domains", "referer", "right"), [row[1:] for row in DOMAINS], ids=[r[0] for r in DOMAINS]
)
def test_an_h5_link_is_opened_on_the_merchants_domain(
    domains: tuple[str, ...], referer: str, right: bool
) -> None:
    counter = Counter(h5_domains=domains)
    paid = invoked(counter, "h5", counter.shown("h5"), {}, referer=referer)
    assert paid.result == ("ok" if right else "fail")
    assert right or paid.outcome.reason is Reason.WRONG_CHANNEL


# What people do. ----------------------------------------------------------------------------------

ACTS: list[tuple[str, str | None, bool, Reason | None, str, str]] = [
    ("confirm", "ok", True, None, "SUCCESS", "SUCCESS"),
    ("refuse", "cancel", False, Reason.REFUSED_BY_PAYER, "NOTPAY", "NOTPAY"),
    ("wrong_pin", "fail", False, Reason.WRONG_PIN, "NOTPAY", "NOTPAY"),
    ("no_money", "fail", False, Reason.INSUFFICIENT_FUNDS, "NOTPAY", "NOTPAY"),
    ("silence", None, True, None, "NOTPAY", "NOTPAY"),
    ("ok_but_unpaid", "ok", True, None, "NOTPAY", "SUCCESS"),
    ("paid_but_cancel_shown", "cancel", True, None, "SUCCESS", "SUCCESS"),
]


def check_act(counter: Counter, paid: Paid, row: tuple[str | None, bool, Reason | None, str, str]) -> None:
    """What is shown, and what the query says at once and some seconds later."""
    result, approved, reason, now, later = row
    assert (paid.result, paid.outcome.approved, paid.outcome.reason) == (result, approved, reason)
    assert counter.state() == now
    assert len(counter.owed()) == (now == "SUCCESS")
    counter.sandbox.advance(seconds=10)
    assert counter.state() == later
    assert [one["event_type"] for one in counter.owed()] == ["TRANSACTION.SUCCESS"] * (later == "SUCCESS")
    counter.sandbox.verify()


@pytest.mark.parametrize("trade_type", ["jsapi", "app", "h5", "native"])
@pytest.mark.parametrize("row", ACTS, ids=[row[0] for row in ACTS])
def test_what_comes_of_what_a_person_does(row: tuple[Any, ...], trade_type: str) -> None:
    counter = Counter()
    check_act(counter, counter.pay(counter.shown(trade_type), outcome=row[0]), row[1:])


def test_every_act_is_a_row() -> None:
    assert {row[0] for row in ACTS} == set(OUTCOMES)


@pytest.mark.parametrize("outcome", [row[0] for row in ACTS if row[1:][4] == "NOTPAY"])
def test_who_failed_can_try_again(outcome: str) -> None:
    """2.1: a failed attempt leaves NOTPAY, and the order can be paid."""
    counter = Counter()
    text = counter.shown("app")
    for _ in range(3):
        counter.pay(text, outcome=outcome)
    assert counter.pay(text).result == "ok"
    assert counter.state() == "SUCCESS"
    assert counter.sandbox.balances()[f"merchant/{counter.shop.id}/pending"] == {"CNY": 1280}


def test_somebody_without_money_cannot_pay() -> None:
    """Not forced: the wallet is empty."""
    counter = Counter()
    poor = counter.sandbox.person("Poor", balance=CNY("1")).id
    paid = counter.pay(counter.shown("app"), person=poor)
    assert (paid.result, paid.outcome.reason) == ("fail", Reason.INSUFFICIENT_FUNDS)
    assert counter.state() == "NOTPAY"


@pytest.mark.parametrize("fen", MAGIC_AMOUNTS)
def test_magic_amounts_force_what_comes(fen: int) -> None:
    counter = Counter()
    outcome = MAGIC_AMOUNTS[fen]
    paid = counter.pay(counter.shown(amount={"total": fen}))
    row = next((row for row in ACTS if row[0] == outcome), ACTS[0])
    (owed,) = counter.owed() or [{}]
    assert owed.get("fault", "").startswith(
        {"callback_lost": "lose", "callback_duplicate": "dup"}.get(outcome, "")
    )
    check_act(counter, paid, row[1:])


@pytest.mark.parametrize("openid", MAGIC_OPENIDS)
def test_magic_openids_force_what_comes(openid: str) -> None:
    counter = Counter()
    paid = counter.pay(counter.shown("jsapi", payer={"openid": openid}))
    row = next((row for row in ACTS if row[0] == MAGIC_OPENIDS[openid]), ACTS[0])
    check_act(counter, paid, row[1:])


def test_what_somebody_says_goes_before_magic() -> None:
    counter = Counter()
    assert counter.pay(counter.shown(amount={"total": 40001}), outcome="confirm").result == "ok"


def test_orders_pay_themselves_where_that_is_switched_on() -> None:
    counter = Counter()
    counter.wechat.settings = msgspec.structs.replace(counter.wechat.settings, auto_pay_ms=3000)
    counter.prepay()
    counter.prepay("jsapi", "T-000002")
    counter.prepay(number="T-000003", amount={"total": 40002})
    counter.sandbox.advance(seconds=2)
    assert counter.state() == "NOTPAY"
    counter.sandbox.advance(seconds=1)
    assert [counter.state(f"T-00000{n}") for n in (1, 2, 3)] == ["SUCCESS", "SUCCESS", "NOTPAY"]
    counter.sandbox.verify()


def test_money_that_is_under_way_comes_once() -> None:
    """Paid again while the money is under way: one payment, one callback."""
    counter = Counter()
    text = counter.shown()
    counter.pay(text, outcome="ok_but_unpaid")
    counter.pay(text)
    counter.sandbox.advance(minutes=1)
    book = counter.wechat.find(order_key(counter.mchid, "T-000001"))
    assert book is not None
    assert book.captured_minor == 1280
    assert len(counter.owed()) == 1
    counter.sandbox.verify()


def test_money_that_is_under_way_is_that_of_who_pays() -> None:
    """Not of who opened the order first and did nothing."""
    counter = Counter()
    text = counter.shown("app")
    counter.pay(text, outcome="silence")
    counter.pay(text, person=counter.bob, outcome="ok_but_unpaid")
    counter.sandbox.advance(seconds=5)
    assert content(counter.query())["payer"]["openid"] == counter.openid(counter.bob)
    assert counter.sandbox.balances()[f"payer/{counter.alice}/available"] == {"CNY": 900_000}


def test_a_new_code_is_bound_to_its_first_scanner_while_an_old_prompt_is_open() -> None:
    counter = Counter()
    counter.pay(counter.shown(), outcome="silence")
    text = counter.shown()
    assert counter.pay(text, person=counter.bob, outcome="silence").outcome.approved
    assert counter.pay(text).outcome.reason is Reason.WRONG_PAYER
    assert counter.pay(text, person=counter.bob).result == "ok"
