"""Callbacks as they are built, signed and tried again: each row names its fact in facts/wechat 1.6 or 1.4."""

from __future__ import annotations

import json
import re
from collections import Counter as Tally
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from wechat_counter import NOTIFY, Counter, content

from paysim import CNY
from paysim.core.clock import DAY_MS
from paysim.core.errors import AuthenticityError
from paysim.core.transaction import Transaction
from paysim.operators.wechat import notify
from paysim.operators.wechat.merchants import KEY_KINDS
from paysim.operators.wechat.sealing import open_resource
from paysim.operators.wechat.signing import SHARES, verify_answer

Headers = tuple[tuple[str, str], ...]


def book_at(counter: Counter, owed: dict[str, Any]) -> Transaction:
    """The order as it stood when the callback came to be owed."""
    book = Transaction(owed["order"])
    for event in counter.sandbox.journal.stream(f"order/{owed['order']}")[: owed["position"]]:
        book.apply(event)
    return book


def built(counter: Counter, owed: dict[str, Any]) -> tuple[Headers, bytes]:
    """One try."""
    wechat = counter.wechat
    keys = wechat.secrets.merchant(counter.mchid)
    plaintext = notify.content(book_at(counter, owed), owed["event_type"], owed["operation"], wechat)
    body = notify.envelope(owed["id"], owed["at_ms"], owed["event_type"], plaintext, keys.api_v3_key)
    platform = wechat.platform(counter.mchid)
    return notify.message(body, platform, owed["signed_by"], wechat.wall_ms(), wechat.nonce()), body


def opened(counter: Counter, owed: dict[str, Any]) -> dict[str, Any]:
    """What lies in a callback, after the checks of a careful merchant."""
    headers, body = built(counter, owed)
    verify_answer(headers, body, counter.wechat.platform(counter.mchid).verifiers(), counter.wechat.wall_ms())
    api_v3_key = counter.wechat.secrets.merchant(counter.mchid).api_v3_key
    found: dict[str, Any] = json.loads(open_resource(api_v3_key, json.loads(body)["resource"]))
    return found


def refunded(counter: Counter, fen: int = 1280, refund: str = "R-1") -> dict[str, Any]:
    """The callback of a refund that has its own notify_url."""
    content(counter.refund(fen, refund, notify_url=NOTIFY + "/refund"))
    counter.sandbox.advance(seconds=1)
    return next(one for one in reversed(counter.owed()) if one["event_type"].startswith("REFUND"))


# The ladder. --------------------------------------------------------------------------------------

LADDER = "15s 15s 30s 3m 10m 20m 30m 30m 30m 60m 3h 3h 3h 6h 6h"
UNITS = {"s": 1, "m": 60, "h": 3600}


def test_the_ladder_is_that_of_the_documents() -> None:
    """1.6: 15 tries after the first, 24 h 4 min."""
    steps = [int(step[:-1]) * UNITS[step[-1]] for step in LADDER.split()]
    times, at_ms = [], 0
    for tries in range(1, 100):
        due_ms = notify.next_ms(tries, at_ms)
        if due_ms is None:
            break
        times.append((due_ms - at_ms) // 1000)
        at_ms = due_ms
    assert times == steps
    assert at_ms == 86_640_000
    assert notify.TIMEOUT_S == 5


# The envelope. ------------------------------------------------------------------------------------


def test_the_headers_are_those_of_real_callbacks() -> None:
    """1.6: observed real headers, and the five of the signature."""
    counter = Counter()
    counter.paid()
    (owed,) = counter.owed()
    headers, _ = built(counter, owed)
    names = [name for name, _ in headers]
    assert dict(headers) | {
        "User-Agent": "Mozilla/4.0",
        "Accept": "*/*",
        "Pragma": "no-cache",
        "Content-Type": "application/json",
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
    } == dict(headers)
    assert {"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"} < set(names)
    assert len(names) == len(set(names)) == 9
    assert re.fullmatch(r"[0-9A-Za-z]{32}", dict(headers)["Wechatpay-Nonce"])


@pytest.mark.parametrize("kind", ["TRANSACTION.SUCCESS", "REFUND.SUCCESS"])
def test_the_envelope(kind: str) -> None:
    """1.6: id, create_time, resource_type, event_type, summary, resource."""
    counter = Counter()
    counter.paid()
    owed = counter.owed()[0] if kind.startswith("T") else refunded(counter)
    envelope = json.loads(built(counter, owed)[1])
    original = kind.partition(".")[0].lower()
    assert set(envelope) == {"id", "create_time", "resource_type", "event_type", "summary", "resource"}
    assert 0 < len(envelope["id"]) <= 36
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00", envelope["create_time"])
    assert (envelope["resource_type"], envelope["event_type"]) == ("encrypt-resource", kind)
    assert len(kind) <= 32
    resource = envelope["resource"]
    assert set(resource) == {"original_type", "algorithm", "ciphertext", "associated_data", "nonce"}
    assert (resource["original_type"], resource["associated_data"]) == (original, original)
    assert resource["algorithm"] == "AEAD_AES_256_GCM"
    assert len(resource["nonce"]) == 12


@pytest.mark.parametrize("trade_type", ["jsapi", "app", "h5", "native"])
def test_a_payment_tells_what_the_query_tells(trade_type: str) -> None:
    """1.6: TRANSACTION.SUCCESS = query response, which has an empty promotion_detail besides."""
    counter = Counter()
    order = counter.paid(trade_type, attach="table 4")
    (owed,) = counter.owed()
    assert (owed["event_type"], owed["url"]) == ("TRANSACTION.SUCCESS", NOTIFY)
    assert {**opened(counter, owed), "promotion_detail": []} == order


def test_a_refund_tells_refund_status() -> None:
    """1.6: refund: refund_status (query uses status), success_time, amount of four."""
    counter = Counter()
    order = counter.paid()
    owed = refunded(counter, 100)
    told = opened(counter, owed)
    asked = content(counter.send("GET", "/v3/refund/domestic/refunds/R-1"))
    assert owed["url"] == NOTIFY + "/refund"
    assert set(told) == {
        *("mchid", "out_trade_no", "transaction_id", "out_refund_no", "refund_id"),
        *("refund_status", "success_time", "user_received_account", "amount"),
    }
    assert told["refund_status"] == asked["status"] == "SUCCESS"
    assert told["mchid"] == counter.mchid
    assert told["transaction_id"] == order["transaction_id"]
    assert told["amount"] == {"total": 1280, "refund": 100, "payer_total": 1280, "payer_refund": 100}
    for name in ("out_trade_no", "out_refund_no", "refund_id", "success_time", "user_received_account"):
        assert told[name] == asked[name]


def test_every_refund_has_a_callback_of_its_own() -> None:
    counter = Counter()
    counter.paid()
    ids = {refunded(counter, 100, f"R-{index}")["id"] for index in range(3)}
    assert len(ids) == 3
    told = [opened(counter, one) for one in counter.owed()[1:]]
    assert [one["out_refund_no"] for one in told] == ["R-0", "R-1", "R-2"]


def test_a_refund_without_notify_url_has_none() -> None:
    counter = Counter()
    counter.paid()
    content(counter.refund())
    assert len(counter.owed()) == 1


def test_nothing_is_told_of_what_failed() -> None:
    counter = Counter()
    text = counter.shown()
    for outcome in ("wrong_pin", "no_money", "refuse", "silence"):
        counter.pay(text, outcome=outcome)
    counter.close()
    counter.sandbox.advance(days=8)
    assert counter.owed() == []


def test_the_refund_comes_through_before_it_is_told() -> None:
    counter = Counter()
    counter.wechat.settings = msgspec.structs.replace(counter.wechat.settings, refund_ms=3000)
    counter.paid()
    counter.refund(notify_url=NOTIFY)
    counter.sandbox.advance(seconds=2)
    assert len(counter.owed()) == 1
    counter.sandbox.advance(seconds=1)
    assert [one["event_type"] for one in counter.owed()] == ["TRANSACTION.SUCCESS", "REFUND.SUCCESS"]


# Each try. ----------------------------------------------------------------------------------------


def test_each_try_is_the_same_but_for_its_signature() -> None:
    """1.6: same id/body, new timestamp/nonce/signature; what happened since is not told."""
    counter = Counter()
    order = counter.paid()
    (owed,) = counter.owed()
    first_headers, first = built(counter, owed)
    refunded(counter)
    counter.sandbox.advance(days=1)
    then_headers, then = built(counter, owed)
    assert then == first
    assert {**opened(counter, owed), "promotion_detail": []} == order
    for name in ("Wechatpay-Nonce", "Wechatpay-Signature"):
        assert dict(first_headers)[name] != dict(then_headers)[name]
    assert dict(first_headers)["Wechatpay-Serial"] == dict(then_headers)["Wechatpay-Serial"]


def test_each_callback_has_a_nonce_of_its_own() -> None:
    counter = Counter()
    for index in range(5):
        counter.paid(number=f"T-10000{index}")
    bodies = [json.loads(built(counter, owed)[1]) for owed in counter.owed()]
    assert len({body["resource"]["nonce"] for body in bodies}) == 5
    assert len({body["id"] for body in bodies}) == 5


# Keys. --------------------------------------------------------------------------------------------

# (key kind of the merchant, what the request named) -> what signs.
SIGNED: list[tuple[str, str, str, str]] = [
    ("1.4 the request names the public key", "request", "public_key", "public_key"),
    ("1.4 the request names a certificate", "request", "certificate", "certificate"),
    ("1.4 no request header", "request", "", "certificate"),
    ("1.4 certificate mode", "certificate", "public_key", "certificate"),
    ("1.4 public-key mode", "public_key", "certificate", "public_key"),
    ("1.4 public-key mode", "public_key", "", "public_key"),
]


@pytest.mark.parametrize("event", ["payment", "refund"])
@pytest.mark.parametrize(
    ("key_kind", "named", "kind"), [row[1:] for row in SIGNED], ids=[row[0] for row in SIGNED]
)
def test_which_key_signs(key_kind: str, named: str, kind: str, event: str) -> None:
    counter = Counter(key_kind=key_kind)
    platform = counter.wechat.platform(counter.mchid)
    serials = {"public_key": platform.public_key_id, "certificate": platform.certificates[0].serial, "": ""}
    headers = {"wechatpay-serial": serials[named]}
    text = next(iter(content(counter.prepay(headers=headers if event == "payment" else {})).values()))
    counter.pay(text)
    if event == "refund":
        body = {"out_trade_no": "T-000001", "out_refund_no": "R-1", "notify_url": NOTIFY}
        amount = {"refund": 1, "total": 1280, "currency": "CNY"}
        content(counter.send("POST", "/v3/refund/domestic/refunds", {**body, "amount": amount}, headers))
    owed = counter.owed()[-1]
    assert owed["signed_by"] == kind
    assert dict(built(counter, owed)[0])["Wechatpay-Serial"] == serials[kind]
    opened(counter, owed)


def test_every_key_kind_is_a_row() -> None:
    assert {row[1] for row in SIGNED} | {"switching"} == set(KEY_KINDS)


@pytest.mark.parametrize(("day", "share"), [(0, 0.0), *enumerate(SHARES, 1), (8, 1.0), (400, 1.0)])
def test_the_switch_over_takes_seven_days(day: int, share: float) -> None:
    """1.4: 0.1/1/5/10/20/50/100 % over 7 days, both kinds arrive."""
    merchant = replace_merchant(Counter(), switch_ms=1_000 * DAY_MS)
    at_ms = 1_000 * DAY_MS + (day - 1) * DAY_MS + DAY_MS // 2
    draws = [index / 1000 for index in range(1000)]
    tally = Tally(notify.signing_kind("", merchant, at_ms, draw) for draw in draws)
    assert tally["public_key"] == round(share * 1000)
    assert tally["certificate"] == 1000 - tally["public_key"]


def replace_merchant(counter: Counter, **more: Any) -> Any:
    return msgspec.structs.replace(counter.merchant, key_kind="switching", **more)


def test_both_kinds_arrive_while_a_merchant_switches_over() -> None:
    """1.4: on the sixth day half and half; a callback keeps its kind at each try."""
    counter = Counter()
    counter.merchant = replace_merchant(counter, switch_ms=counter.wechat.now_ms() - 5 * DAY_MS)
    counter.wechat.change(counter.merchant)
    for index in range(40):
        counter.paid(number=f"T-1000{index:02}")
    kinds = Tally(owed["signed_by"] for owed in counter.owed())
    assert min(kinds["public_key"], kinds["certificate"]) >= 8
    for owed in counter.owed()[:6]:
        serial = {dict(built(counter, owed)[0])["Wechatpay-Serial"] for _ in range(3)}
        assert len(serial) == 1
        opened(counter, owed)


def test_without_api_v3_key_there_is_no_callback() -> None:
    """1.6: no APIv3 key set -> no callback at all."""
    counter = Counter()
    text = counter.shown()
    counter.wechat.secrets.set(replace(counter.wechat.secrets.merchant(counter.mchid), api_v3_key=""))
    assert counter.pay(text).result == "ok"
    assert counter.owed() == []
    assert list(counter.sandbox.journal.timers())
    counter.sandbox.verify()


def test_another_api_v3_key_does_not_open_it() -> None:
    counter = Counter()
    counter.paid()
    (owed,) = counter.owed()
    resource = json.loads(built(counter, owed)[1])["resource"]
    with pytest.raises(AuthenticityError):
        open_resource("0" * 32, resource)
    with pytest.raises(AuthenticityError):
        open_resource(
            counter.wechat.secrets.merchant(counter.mchid).api_v3_key, {**resource, "associated_data": ""}
        )


def test_a_shop_inside_the_sandbox_is_sent_none() -> None:
    """It learns of payments by itself; callbacks go to merchants outside."""
    counter = Counter()
    order = counter.shop.create(CNY("12.80"))
    shown = order.present("qr.wechat")
    assert counter.pay(shown.text).result == "ok"
    assert counter.owed() == []
