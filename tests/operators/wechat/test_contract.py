"""The contract: answers and callbacks against the shapes of an independent author, each request field once.

Source of the shapes: TheNorthMemory/wechatpay-openapi. What they leave out of answers stands in ADDED, with
its own source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from wechat_counter import H5_INFO, NOTIFY, PAY, REFUNDS, Counter, content, said
from wechat_samples import SAMPLES, changed, fits, inner_places, text_that_fits

from paysim import Fault
from paysim.codec.http import Request
from paysim.core.event import Event
from paysim.core.transaction import Transaction
from paysim.operators.wechat import notify, sealing
from paysim.operators.wechat.errors import CODES
from paysim.operators.wechat.merchants import Settings
from paysim.operators.wechat.platform_signature import verify_answer
from paysim.operators.wechat.schema import Schema
from paysim.operators.wechat.service import ENDPOINTS
from paysim.operators.wechat.shapes import Shape, find, templates, violations
from paysim.operators.wechat.signing import authorization
from paysim.operators.wechat.world import Answer

TYPES = {"jsapi": "JSAPI", "app": "APP", "h5": "MWEB", "native": "NATIVE"}
"""The end of a prepay path -> the trade_type of answers."""

# --- what the shapes leave out ----------------------------------------------------------------------------

TEXT, WHOLE, TIME = {"type": "string"}, {"type": "integer"}, {"type": "string", "format": "rfc3339"}


def record(**fields: Schema) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


def one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


_ORDER = record(
    payer=record(openid=TEXT),
    amount=record(payer_total=WHOLE, payer_currency=TEXT),
    promotion_detail={"type": "array", "items": record()},
)
_REFUND = record(
    channel=one_of("ORIGINAL", "BALANCE", "OTHER_BALANCE", "OTHER_BANKCARD"),
    status=one_of("SUCCESS", "CLOSED", "PROCESSING", "ABNORMAL"),
    funds_account=one_of("UNSETTLED", "AVAILABLE", "UNAVAILABLE", "OPERATION", "BASIC"),
    success_time=TIME,
    create_time=TIME,
)
_BILL = record(hash_type=one_of("SHA1"))
ADDED: dict[tuple[str, str], Schema] = {
    ("GET", PAY + "id/{transaction_id}"): _ORDER,
    ("GET", PAY + "out-trade-no/{out_trade_no}"): _ORDER,
    ("POST", REFUNDS): _REFUND,
    ("GET", REFUNDS + "/{out_refund_no}"): _REFUND,
    ("GET", "/v3/bill/tradebill"): _BILL,
    ("GET", "/v3/bill/fundflowbill"): _BILL,
}
"""Call -> what its answer may have besides its shape, and what is narrower than there.

Source: WeChat Pay merchant documentation, order object and refund object (facts/wechat section 2);
funds_account: developers.weixin.qq.com article 00042215948a6895ecfb44b935d013
"""

CALLBACK = record(
    id={"type": "string", "maxBytes": 36},
    create_time=TIME,
    resource_type=one_of("encrypt-resource"),
    event_type=one_of("TRANSACTION.SUCCESS", "REFUND.SUCCESS", "REFUND.ABNORMAL", "REFUND.CLOSED"),
    summary={"type": "string", "maxBytes": 64},
    resource=record(
        original_type=one_of("transaction", "refund"),
        algorithm=one_of("AEAD_AES_256_GCM"),
        ciphertext={"type": "string", "format": "base64"},
        associated_data={"type": "string", "maxBytes": 16},
        nonce={"type": "string", "minBytes": 12, "maxBytes": 16},
    ),
)
"""A callback's body. Source: WeChat Pay merchant documentation, result notification (facts/wechat 1.6)"""

REFUND_NOTICE = record(
    mchid=TEXT,
    out_trade_no=TEXT,
    transaction_id=TEXT,
    out_refund_no=TEXT,
    refund_id=TEXT,
    refund_status=one_of("SUCCESS", "CLOSED", "ABNORMAL"),
    success_time=TIME,
    user_received_account=TEXT,
    amount=record(total=WHOLE, refund=WHOLE, payer_total=WHOLE, payer_refund=WHOLE),
)
"""What is sealed in a refund's callback. Source: the same"""

ERROR = record(
    code=one_of(*CODES),
    message=TEXT,
    detail=record(field=TEXT, value={}, issue=TEXT, location=one_of("body", "query", "url")),
)
"""An answer that is no success. Source: WeChat Pay merchant documentation, errors (facts/wechat 1.7)"""

# Which fields there are, exactly, without what is optional. Source: answers of the real service that users
# have published (query, unpaid and paid; refund; both callbacks).
UNPAID = {
    *("/appid", "/mchid", "/out_trade_no", "/trade_state", "/trade_state_desc", "/promotion_detail"),
    *("/scene_info/device_id", "/amount/total", "/amount/payer_currency"),
}
NOTICE = {
    *("/appid", "/mchid", "/out_trade_no", "/trade_state", "/trade_state_desc", "/transaction_id"),
    *("/trade_type", "/bank_type", "/attach", "/success_time", "/payer/openid"),
    *("/amount/total", "/amount/payer_total", "/amount/currency", "/amount/payer_currency"),
}
PAID = NOTICE | {"/promotion_detail"}
PROCESSING = {
    *("/refund_id", "/out_refund_no", "/transaction_id", "/out_trade_no", "/channel", "/status"),
    *("/user_received_account", "/create_time", "/funds_account", "/promotion_detail"),
    *(f"/amount/{name}" for name in ("total", "refund", "payer_total", "payer_refund", "from", "refund_fee")),
    *(f"/amount/{name}" for name in ("settlement_refund", "settlement_total", "discount_refund", "currency")),
}
REFUNDED = PROCESSING | {"/success_time"}


def leaves(value: Any, pointer: str = "") -> set[str]:
    """The pointers of everything in an object that is no object."""
    if not isinstance(value, dict):
        return {pointer}
    return {leaf for name, inner in value.items() for leaf in leaves(inner, f"{pointer}/{name}")}


def joined(schema: Schema, more: Schema) -> dict[str, Any]:
    """A schema with what another adds to it."""
    fields = dict(schema.get("properties", {}))
    for name, inner in more.get("properties", {}).items():
        fields[name] = joined(fields[name], inner) if name in fields else inner
    return {**schema, **more, **({"properties": fields} if fields else {})}


# --- a counter that holds what comes back against the contract --------------------------------------------


def shape_of(method: str, target: str) -> Shape:
    found = find(method, target.partition("?")[0])
    assert found is not None
    return found[0]


def held(answer: Answer, shape: Shape) -> Answer:
    """The answer, after it was looked at."""
    status, body = answer.response.status, answer.response.body
    if status >= 400:
        assert 400 <= status < 500, answer
        assert violations(ERROR, json.loads(body)) == []
        assert answer.code == json.loads(body)["code"]
        assert answer.facts == (), "a refusal is written down"
    elif shape.path == "/v3/billdownload/file":
        assert body
    else:
        assert status in shape.responses
        wanted = joined(shape.responses[status], ADDED.get((shape.method, shape.path), {}))
        assert violations(wanted, json.loads(body)) == [] if status != 204 else body == b""
    return answer


class Held(Counter):
    """A merchant who looks at every answer."""

    def send(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return held(super().send(method, target, body, headers), shape_of(method, target))


# --- every endpoint, trade type and state -----------------------------------------------------------------

State = Callable[[Held, str], None]


def unpaid(counter: Held, kind: str) -> None:
    counter.prepay(kind)


def tried(outcome: str, counter: Held, kind: str) -> None:
    counter.pay(counter.shown(kind), outcome=outcome)


def closed(counter: Held, kind: str) -> None:
    counter.prepay(kind)
    assert counter.close().response.status == 204


def expired(counter: Held, kind: str) -> None:
    counter.prepay(kind)
    counter.sandbox.advance(days=7, seconds=1)


def paid(counter: Held, kind: str) -> None:
    counter.paid(kind)


def settled(counter: Held, kind: str) -> None:
    counter.paid(kind)
    counter.paid(kind, "T-FUNDS1")
    counter.sandbox.advance(days=2)


def refunded(fen: int, wait_ms: int, counter: Held, kind: str) -> None:
    counter.wechat.settings = Settings(refund_ms=wait_ms)
    counter.paid(kind)
    content(counter.refund(fen, notify_url=NOTIFY))


def struck(action: str, wait_ms: int, counter: Held, kind: str) -> None:
    counter.sandbox.faults.add(Fault("refund", action))
    refunded(640, wait_ms, counter, kind)
    counter.sandbox.advance(seconds=wait_ms / 1000)


STATES: dict[str, tuple[State, str, set[str]]] = {
    "unpaid": (unpaid, "NOTPAY", UNPAID),
    "prompted": (partial(tried, "silence"), "NOTPAY", UNPAID),
    "failed": (partial(tried, "wrong_pin"), "NOTPAY", UNPAID),
    "refused": (partial(tried, "refuse"), "NOTPAY", UNPAID),
    "being paid": (partial(tried, "ok_but_unpaid"), "NOTPAY", UNPAID),
    "closed": (closed, "CLOSED", UNPAID),
    "expired": (expired, "CLOSED", UNPAID),
    "paid": (paid, "SUCCESS", PAID),
    "settled": (settled, "SUCCESS", PAID),
    "refund processing": (partial(refunded, 640, 60_000), "REFUND", PAID),
    "partly refunded": (partial(refunded, 640, 0), "REFUND", PAID),
    "refunded": (partial(refunded, 1280, 0), "REFUND", PAID),
    "refund abnormal": (partial(struck, "abnormal", 0), "REFUND", PAID),
    "refund closed": (partial(struck, "closed", 0), "REFUND", PAID),
}
"""State of an order -> what leads there, its trade_state, the fields of its query."""


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("state", STATES)
def test_every_answer_keeps_the_contract(state: str, kind: str) -> None:
    lead, trade_state, fields = STATES[state]
    counter = Held()
    lead(counter, kind)
    order = content(counter.query())
    assert order["trade_state"] == trade_state
    assert leaves(order) == fields
    number = order.get("transaction_id", "4200000925202101284997714292")
    by_id = counter.send("GET", f"{PAY}id/{number}?mchid={counter.mchid}")
    if fields == PAID:
        assert content(by_id) == order
        assert order["trade_type"] == TYPES[kind]
        assert order["payer"] == {"openid": counter.openid()}
    else:
        assert said(by_id) == (404, "ORDER_NOT_EXIST")
    if "refund" in state:
        refund = content(counter.send("GET", f"{REFUNDS}/R-1"))
        assert leaves(refund) == (REFUNDED if refund["status"] == "SUCCESS" else PROCESSING)
        assert (refund["status"] == "SUCCESS") == state.endswith("refunded")
    for other in TYPES:  # what is asked last may change the state: refusals, a second order, a close
        counter.prepay(other)
    for day in ("2025-12-31", "2026-01-01"):
        counter.send("GET", f"/v3/bill/tradebill?bill_date={day}")
        counter.send("GET", f"/v3/bill/fundflowbill?bill_date={day}")
    counter.send("GET", "/v3/certificates")
    counter.refund(1, "R-2")
    counter.refund(1, "R-2", transaction_id=number, out_trade_no=None)
    counter.send("GET", f"{REFUNDS}/R-2")
    counter.send("GET", f"{REFUNDS}/R-NONE")
    counter.close()
    counter.query()
    counter.query("T-NONE")
    assert counter.sandbox.sums() == {"CNY": 0}


def test_every_endpoint_is_reached() -> None:
    """The endpoints that the tests here hold to the contract are those of the table."""
    reached = {(f.method, f.path) for f in (shape_of(*call) for call in _calls())}
    assert {(row.method, row.path) for row in ENDPOINTS} == reached
    assert {call for call in ADDED if call not in reached} == set()


def _calls() -> Iterator[tuple[str, str]]:
    yield from (("POST", PAY + kind) for kind in TYPES)
    yield from (("GET", PAY + "id/1"), ("GET", PAY + "out-trade-no/T-000001"))
    yield from (("POST", PAY + "out-trade-no/T-000001/close"), ("POST", REFUNDS), ("GET", REFUNDS + "/R-1"))
    yield from (("GET", f"/v3/bill/{kind}") for kind in ("tradebill", "fundflowbill"))
    yield from (("GET", "/v3/billdownload/file"), ("GET", "/v3/certificates"))


def test_bills_keep_the_contract() -> None:
    counter = Held()
    counter.paid()
    counter.sandbox.advance(days=1, hours=3)
    for kind in ("tradebill", "fundflowbill"):
        for packed in ("", "&tar_type=GZIP"):
            answer = content(counter.send("GET", f"/v3/bill/{kind}?bill_date=2026-01-01{packed}"))
            assert re.fullmatch("[0-9a-f]{40}", answer["hash_value"])
            counter.send("GET", "/v3" + answer["download_url"].partition("/v3")[2])


@pytest.mark.parametrize("wanted", ["", "?algorithm_type=RSA", "?algorithm_type=ALL"])
def test_certificates_keep_the_contract(wanted: str) -> None:
    counter = Held()
    (one,) = content(counter.send("GET", f"/v3/certificates{wanted}"))["data"]
    assert leaves(one) == {
        *("/serial_no", "/effective_time", "/expire_time"),
        *(f"/encrypt_certificate/{name}" for name in ("algorithm", "nonce", "associated_data", "ciphertext")),
    }
    assert re.fullmatch("[0-9A-F]{40}", one["serial_no"])
    keys = counter.wechat.secrets.merchant(counter.mchid)
    assert b"BEGIN CERTIFICATE" in sealing.open_resource(keys.api_v3_key, one["encrypt_certificate"])


PREPAID = {
    "jsapi": {"/prepay_id": r"wx[0-9]{14}[0-9a-zA-Z]{20}"},
    "app": {"/prepay_id": r"wx[0-9]{14}[0-9a-zA-Z]{20}"},
    "h5": {"/h5_url": r"https://wx\.tenpay\.com/cgi-bin/mmpayweb-bin/checkmweb\?prepay_id=wx\w+&package=\d+"},
    "native": {"/code_url": r"weixin://wxpay/bizpayurl\?pr=[0-9A-Za-z]+"},
}


@pytest.mark.parametrize("kind", TYPES)
def test_what_a_prepay_gives(kind: str) -> None:
    answer = content(Held().prepay(kind))
    assert leaves(answer) == set(PREPAID[kind])
    for pointer, pattern in PREPAID[kind].items():
        assert re.fullmatch(pattern, answer[pointer[1:]])
        assert len(answer[pointer[1:]]) <= 512


# --- callbacks --------------------------------------------------------------------------------------------


def opened(counter: Held, owed: Mapping[str, Any]) -> dict[str, Any]:
    """What a merchant has of a callback: verified, held against the contract, opened."""
    wechat, body = counter.wechat, sealed(counter, owed)
    platform, wall_ms = wechat.platform(counter.mchid), wechat.wall_ms()
    headers = notify.message(body, platform, owed["signed_by"], wall_ms, wechat.nonce())
    verify_answer(headers, body, platform.verifiers(), wall_ms)
    said = json.loads(body)
    assert violations(CALLBACK, said) == []
    assert leaves(said) == leaves(fits(CALLBACK)), "a field is missing"
    resource = said["resource"]
    assert resource["original_type"] == resource["associated_data"]
    assert said["event_type"].lower().startswith(resource["original_type"])
    plain: dict[str, Any] = json.loads(sealing.open_resource(keys_of(counter), resource))
    return plain


def sealed(counter: Held, owed: Mapping[str, Any]) -> bytes:
    """A callback's body, from the book as it was when the callback came to be owed."""
    book = Transaction(owed["order"])
    events: list[Event] = counter.sandbox.journal.stream(f"order/{owed['order']}")
    for event in events[: owed["position"]]:
        book.apply(event)
    plain = notify.content(book, owed["event_type"], owed["operation"], counter.wechat)
    return notify.envelope(owed["id"], owed["at_ms"], owed["event_type"], plain, keys_of(counter))


def keys_of(counter: Held) -> str:
    return counter.wechat.secrets.merchant(counter.mchid).api_v3_key


@pytest.mark.parametrize("kind", TYPES)
def test_the_callback_of_a_payment_keeps_the_contract(kind: str) -> None:
    counter = Held()
    scene = {**H5_INFO, "device_id": "D-1"}
    order = counter.paid(kind, attach="tea", scene_info=scene)
    (owed,) = counter.owed()
    assert owed["url"] == NOTIFY
    plain = opened(counter, owed)
    shape = shape_of("GET", PAY + "out-trade-no/T-000001")
    assert violations(joined(shape.responses[200], _ORDER), plain) == []
    assert leaves(plain) == NOTICE | {"/scene_info/device_id"}
    assert plain == {name: value for name, value in order.items() if name != "promotion_detail"}
    assert (plain["attach"], plain["scene_info"]) == ("tea", {"device_id": "D-1"})


@pytest.mark.parametrize("fen", [1280, 640])
@pytest.mark.parametrize("kind", TYPES)
def test_the_callback_of_a_refund_keeps_the_contract(kind: str, fen: int) -> None:
    counter = Held()
    counter.wechat.settings = Settings(refund_ms=1000)
    order = counter.paid(kind)
    first = content(counter.refund(fen, notify_url="https://shop.example/refunded"))
    assert first["status"] == "PROCESSING"
    assert [owed["event_type"] for owed in counter.owed()] == ["TRANSACTION.SUCCESS"]
    counter.sandbox.advance(seconds=1)
    (owed,) = (one for one in counter.owed() if one["event_type"] == "REFUND.SUCCESS")
    assert owed["url"] == "https://shop.example/refunded"
    plain = opened(counter, owed)
    assert violations(REFUND_NOTICE, plain) == []
    assert leaves(plain) == leaves(fits(REFUND_NOTICE))
    known = content(counter.send("GET", f"{REFUNDS}/R-1"))
    assert plain["refund_status"] == known["status"] == "SUCCESS"
    for name in ("out_trade_no", "transaction_id", "out_refund_no", "refund_id", "success_time"):
        assert plain[name] == known[name]
    assert plain["transaction_id"] == order["transaction_id"]
    assert plain["amount"] == {"total": 1280, "refund": fen, "payer_total": 1280, "payer_refund": fen}


@pytest.mark.parametrize("end", ["ABNORMAL", "CLOSED"])
def test_the_callback_of_a_refund_that_fails_keeps_the_contract(end: str) -> None:
    counter = Held()
    struck(end.lower(), 1000, counter, "native")
    (owed,) = (one for one in counter.owed() if one["event_type"] == f"REFUND.{end}")
    plain = opened(counter, owed)
    assert violations(REFUND_NOTICE, plain) == []
    assert leaves(plain) == leaves(fits(REFUND_NOTICE)) - {"/success_time"}
    known = content(counter.send("GET", f"{REFUNDS}/R-1"))
    assert plain["refund_status"] == known["status"] == end
    assert json.loads(sealed(counter, owed))["summary"] == {"ABNORMAL": "退款异常", "CLOSED": "退款关闭"}[end]


def test_a_callback_says_the_same_at_every_try_whatever_came_after() -> None:
    counter = Held()
    counter.paid()
    (owed,) = counter.owed()
    first = sealed(counter, owed)
    counter.refund(640)
    counter.sandbox.advance(days=1)
    assert sealed(counter, owed) == first
    assert opened(counter, owed)["trade_state"] == "SUCCESS"
    assert counter.state() == "REFUND"


# --- every documented request field, once -----------------------------------------------------------------

SERIAL = "wechatpay-serial"
GOOD: dict[str, Any] = {
    "/time_expire": "2026-01-01T09:00:00+08:00",
    "/scene_info/payer_client_ip": "203.0.113.7",
    "/notify_url": NOTIFY,
}
"""Pointer -> a value that means something; the others take any that fits."""


def prepay_shape(kind: str) -> Shape:
    return shape_of("POST", PAY + kind)


def least(counter: Counter, schema: Schema, pointer: str = "") -> Any:
    """A value with what is required and nothing else."""
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        return {
            name: least(counter, fields[name], f"{pointer}/{name}") for name in schema.get("required", ())
        }
    if schema.get("type") == "array":
        return [least(counter, schema["items"], f"{pointer}/0")]
    return good(counter, schema, pointer)


def good(counter: Counter, schema: Schema, pointer: str) -> Any:
    own = {
        "/appid": counter.appid,
        "/mchid": counter.mchid,
        "/payer/openid": counter.openid(),
        **dict.fromkeys(("/payer/identity/name", "/payer/identity/number"), seal(counter, "Alice")),
    }
    return {**GOOD, **own}.get(pointer) or fits(schema, pointer.rpartition("/")[2])


def seal(counter: Counter, text: str) -> str:
    platform = counter.wechat.platform(counter.mchid)
    return sealing.seal_field(platform, platform.public_key_id, text)


def schema_at(schema: Schema, pointer: str) -> Schema:
    for step in pointer.split("/")[1:]:
        schema = schema["items"] if schema.get("type") == "array" else schema["properties"][step]
    return schema


def with_field(counter: Counter, schema: Schema, body: dict[str, Any], pointer: str) -> dict[str, Any]:
    """A body with one more field, and of those above it what they require."""
    steps = pointer.split("/")[1:]
    place: Any = body
    for depth in range(1, len(steps) + 1):
        above = "/" + "/".join(steps[:depth])
        key: Any = int(steps[depth - 1]) if isinstance(place, list) else steps[depth - 1]
        if isinstance(place, dict) and key not in place:
            place[key] = least(counter, schema_at(schema, above), above)
        place = place[key]
    return body


def values(schema: Schema) -> list[Any]:
    """Each value of an enumeration; else [None], for the one that was chosen."""
    return list(schema["enum"]) if "enum" in schema else [None]


PREPAY_FIELDS = [
    (kind, pointer, value)
    for kind in TYPES
    for pointer, _ in inner_places(prepay_shape(kind).request or {})
    for value in values(schema_at(prepay_shape(kind).request or {}, pointer))
]


@pytest.mark.parametrize(("kind", "pointer", "value"), PREPAY_FIELDS)
def test_an_order_may_have_each_documented_field(kind: str, pointer: str, value: Any) -> None:
    counter, schema = Held(), prepay_shape(kind).request
    assert schema is not None
    counter.wechat.settings = Settings(closed_fields=True)
    body = with_field(counter, schema, least(counter, schema), pointer)
    body = body if value is None else changed(body, pointer, value)
    number = body["out_trade_no"]
    headers = {SERIAL: counter.wechat.platform(counter.mchid).public_key_id}
    assert leaves(content(counter.send("POST", PAY + kind, body, headers))) == set(PREPAID[kind])
    assert leaves(content(counter.query(number))) == UNPAID
    (text,) = content(counter.send("POST", PAY + kind, body, headers)).values()  # the same order again
    assert counter.pay(text).result == "ok"
    echoed(body, content(counter.query(number)))
    (owed,) = counter.owed()
    echoed(body, opened(counter, owed))


def echoed(body: Mapping[str, Any], order: Mapping[str, Any]) -> None:
    """What a merchant sent, where it has to come back; and what must not."""
    assert order["appid"] == body["appid"]
    assert order["mchid"] == body["mchid"]
    assert order["out_trade_no"] == body["out_trade_no"]
    assert order["amount"]["total"] == body["amount"]["total"]
    assert order["amount"]["currency"] == "CNY"
    assert order["attach"] == body.get("attach", "")
    device = body.get("scene_info", {}).get("device_id")
    assert order.get("scene_info") == (device and {"device_id": device})
    if "openid" in body.get("payer", {}):
        assert order["payer"]["openid"] == body["payer"]["openid"]
    assert not {"description", "notify_url"} & order.keys()


@pytest.mark.parametrize("kind", TYPES)
def test_an_order_may_have_all_documented_fields_at_once(kind: str) -> None:
    counter, schema = Held(), prepay_shape(kind).request
    assert schema is not None
    body = least(counter, schema)
    for pointer, _ in inner_places(schema):
        with_field(counter, schema, body, pointer)
    headers = {SERIAL: counter.wechat.platform(counter.mchid).public_key_id}
    (text,) = content(counter.send("POST", PAY + kind, body, headers)).values()
    counter.pay(text)
    echoed(body, content(counter.query(body["out_trade_no"])))


def refund_schema() -> Schema:
    return shape_of("POST", REFUNDS).request or {}


REFUND_FIELDS = [
    (pointer, value)
    for pointer, _ in inner_places(refund_schema())
    for value in values(schema_at(refund_schema(), pointer))
]


@pytest.mark.parametrize(("pointer", "value"), REFUND_FIELDS)
def test_a_refund_may_have_each_documented_field(pointer: str, value: Any) -> None:
    """All but sub_mchid, which is a service provider's."""
    counter = Held()
    counter.wechat.settings = Settings(closed_fields=True)
    order = counter.paid()
    body = refund_of(counter, order, pointer)
    body = body if value is None else changed(body, pointer, value)
    answer = counter.send("POST", REFUNDS, body)
    if pointer == "/sub_mchid":
        assert said(answer) == (404, "MCH_NOT_EXISTS")
        body["sub_mchid"] = counter.mchid
        detail = content(counter.send("POST", REFUNDS, body), 400)["detail"]
        assert detail["field"] == "/sub_mchid"
        return
    refund = content(answer)
    assert refund == content(counter.send("GET", f"{REFUNDS}/{body['out_refund_no']}"))
    assert leaves(refund) == REFUNDED
    assert refund["transaction_id"] == order["transaction_id"]
    assert refund["out_trade_no"] == order["out_trade_no"]
    assert refund["out_refund_no"] == body["out_refund_no"]
    assert refund["amount"] == refund["amount"] | body["amount"]
    assert refund["amount"]["from"] == body["amount"].get("from", [])
    if "funds_account" in body:
        assert refund["funds_account"] == body["funds_account"]
    told = [owed["url"] for owed in counter.owed() if owed["event_type"] == "REFUND.SUCCESS"]
    assert told == ([body["notify_url"]] if "notify_url" in body else [])


def refund_of(counter: Counter, order: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """The least refund of an order that has this field."""
    body = with_field(counter, refund_schema(), least(counter, refund_schema()), pointer)
    body["amount"] |= {"refund": 640, "total": 1280}
    if parts := body["amount"].get("from"):
        parts[0]["amount"] = 640
    which = "transaction_id" if "transaction_id" in body else "out_trade_no"
    return {**body, which: order[which]}


PARTS = [
    ([("AVAILABLE", 640)], 200),
    ([("AVAILABLE", 600), ("UNAVAILABLE", 40)], 200),
    ([], 200),
    ([("AVAILABLE", 639)], 400),
    ([("AVAILABLE", 640), ("UNAVAILABLE", 1)], 400),
    ([("AVAILABLE", 320), ("AVAILABLE", 320)], 400),
    ([("OPERATION", 640)], 400),
]


@pytest.mark.parametrize(("parts", "status"), PARTS)
def test_the_parts_of_a_refund_add_up(parts: list[tuple[str, int]], status: int) -> None:
    counter = Held()
    counter.paid()
    given = [{"account": account, "amount": fen} for account, fen in parts]
    amount = {"refund": 640, "total": 1280, "currency": "CNY", "from": given}
    answer = content(counter.refund(amount=amount), status)
    if status == 200:
        assert answer["amount"]["from"] == given
    else:
        assert answer["detail"]["field"].startswith("/amount/from")


# --- all 277 calls ----------------------------------------------------------------------------------------

WRONG: dict[str, Any] = {
    "string": 1,
    "integer": "x",
    "number": "x",
    "boolean": "x",
    "array": {},
    "object": [],
}
"""Type -> a value that is not of it."""

CALLS = [
    shape_of(method, re.sub(r"\{\w+\}", "x", path.replace("{empty}", ""))) for method, path in templates()
]
SIMULATED = {(row.method, row.path) for row in ENDPOINTS}
OTHERS = [call for call in CALLS if (call.method, call.path) not in SIMULATED]


def name_of(call: Shape) -> str:
    return f"{call.method} {call.path}"


def target_of(call: Shape, query: Mapping[str, str] | None = None) -> str:
    path = call.path.replace("{empty}", "")
    for name, schema in call.path_parameters.items():
        path = path.replace("{" + name + "}", str(fits(schema, name)))
    texts = {name: text_for(name, schema) for name, schema in call.query.items() if schema.get("required")}
    pairs = "&".join(f"{name}={text}" for name, text in {**texts, **(query or {})}.items())
    return f"{path}?{pairs}" if pairs else path


def text_for(name: str, schema: Schema) -> str:
    if "format" in schema or schema["type"] == "string":
        found = fits(schema, name) if "enum" in schema else text_that_fits(schema, name)
        return str(found).replace("+", "%2B")
    return str(fits(schema, name)).lower()


@pytest.fixture(scope="module")
def counter() -> Held:
    return Held()


def test_all_calls_are_here() -> None:
    assert len(CALLS) == 277
    assert len(OTHERS) == 277 - len(ENDPOINTS)


@pytest.mark.parametrize("call", [one for one in OTHERS if "upload" not in one.path], ids=name_of)
def test_a_call_that_is_not_simulated_is_never_a_success(counter: Held, call: Shape) -> None:
    body = fits(call.request) if call.request else None
    before = counter.sandbox.journal.position
    answer = counter.send(call.method, target_of(call), body)
    assert said(answer) == (403, "NO_AUTH"), answer.response
    assert call.path in answer.why
    assert counter.sandbox.journal.position == before


UPLOADS = [one for one in OTHERS if "upload" in one.path]


@pytest.mark.parametrize("call", UPLOADS, ids=name_of)
def test_an_upload_is_signed_by_its_meta_part_and_not_simulated(counter: Held, call: Shape) -> None:
    meta = b'{"filename":"a.png","sha256":"' + b"0" * 64 + b'"}'
    parts = (
        (b'name="meta"', b"application/json", meta),
        (b'name="file"; filename="a.png"', b"image/png", b"\x89PNG\xff\r\n"),
    )
    body = b"".join(
        b"--b\r\nContent-Disposition: form-data; %s\r\nContent-Type: %s\r\n\r\n%s\r\n" % part
        for part in parts
    )
    target, wechat = target_of(call), counter.wechat
    keys = wechat.secrets.merchant(counter.mchid)
    signed = authorization(keys, call.method, target, meta, wechat.nonce(), wechat.wall_ms() // 1000)
    headers = {
        "authorization": signed,
        "accept": "*/*",
        "user-agent": "counter",
        "content-type": "multipart/form-data; boundary=b",
    }
    answer = wechat.receive(Request(call.method, target, headers, body + b"--b--\r\n"))
    assert said(held(answer, call)) == (403, "NO_AUTH")


@pytest.mark.parametrize("call", [one for one in CALLS if one.request], ids=name_of)
def test_each_field_of_another_type_is_named(counter: Held, call: Shape) -> None:
    """With the pointer, what was given, and what is wrong with it, in both languages."""
    assert call.request is not None
    body, target = fits(call.request), target_of(call)
    for pointer, _ in inner_places(call.request):
        kind = schema_at(call.request, pointer).get("type")
        if kind is None:
            continue
        value = WRONG[kind]
        answer = counter.send(call.method, target, changed(body, pointer, value))
        refusal = content(answer, 400)
        assert refusal["code"] == "PARAM_ERROR"
        assert refusal["detail"]["field"] == pointer
        assert refusal["detail"]["value"] == ("" if kind in ("array", "object") else value)
        assert refusal["detail"]["location"] == "body"
        assert refusal["detail"]["issue"] in refusal["message"]
        assert f"/body{pointer}" in refusal["message"]
    english = counter.send(call.method, target, changed(body, pointer, None), {"accept-language": "en"})
    assert content(english, 400)["message"].isascii()


QUERIES = [
    (call, name, schema)
    for call in CALLS
    for name, schema in call.query.items()
    if schema["type"] not in ("string", "array") or "enum" in schema or schema.get("format") in SAMPLES
]
"""What can be of another type: any text is a text, or a list of texts."""


@pytest.mark.parametrize(("call", "name", "schema"), QUERIES, ids=lambda one: getattr(one, "path", None))
def test_each_query_of_another_type_is_named(counter: Held, call: Shape, name: str, schema: Schema) -> None:
    answer = counter.send(
        call.method, target_of(call, {name: "~"}), fits(call.request) if call.request else None
    )
    refusal = content(answer, 400)
    assert refusal["code"] == "PARAM_ERROR"
    assert (refusal["detail"]["field"], refusal["detail"]["location"]) == (name, "query")
    assert refusal["detail"]["value"] in ("~", "")


NEEDED = [(call, name) for call in CALLS for name, schema in call.query.items() if schema.get("required")]


@pytest.mark.parametrize(("call", "name"), NEEDED, ids=lambda one: getattr(one, "path", None))
def test_a_missing_query_is_named(counter: Held, call: Shape, name: str) -> None:
    target = target_of(call, {name: ""})
    refusal = content(counter.send(call.method, target, fits(call.request) if call.request else None), 400)
    assert refusal["code"] == "PARAM_ERROR"
    assert (refusal["detail"]["field"], refusal["detail"]["location"]) == (name, "query")
