"""What WeChat Pay decides about orders and refunds: each function takes a request and the books, gives facts.

Source: WeChat Pay merchant documentation, JSAPI/APP/H5/Native, query, close, refund; facts/wechat 2.1
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from paysim.core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from paysim.core.event import Event
from paysim.core.operation import Operation, Status, Verb
from paysim.core.outcome import Outcome, Reason
from paysim.core.state import State
from paysim.core.transaction import Transaction
from paysim.ledger import accounts

from .errors import WeChatError, param_error, refused
from .merchants import App, Merchant
from .messages import called_at, details, order_body, paid_at, refund_asked, refund_body
from .numbers import (
    code_url,
    h5_url,
    prepay_id,
    read_rfc3339,
    read_transaction_id,
    refund_id,
    transaction_id,
)
from .sealing import open_field
from .world import Asked, Done, Fact, order_key, refund_key

__all__ = ["close", "operation_of", "prepay", "query", "query_by_id", "query_refund", "refund"]

CLOSED_AFTER_MS: Final = 7 * DAY_MS
PREPAY_MS: Final = 2 * HOUR_MS
H5_MS: Final = 5 * MINUTE_MS
LEAST_MS: Final = MINUTE_MS
REFUND_MS: Final = 365 * DAY_MS
REFUND_PARTS: Final = 50

_PAID: Final = frozenset({State.CAPTURED, State.AUTHORIZED, State.VOIDED})
_OVER: Final = frozenset({State.CLOSED, State.DECLINED, State.REVERSED})
_CHANNELS: Final = {"NATIVE": "qr.wechat"}
_KEPT: Final = ("attach", "goods_tag", "limit_pay", "support_fapiao")


# Ordering. ----------------------------------------------------------------------------------------


def prepay(asked: Asked, trade_type: str) -> Done:
    """An order, or the same order again with a new prepay id."""
    body, world = asked.body, asked.world
    _check_mchid(asked, body["mchid"], "/mchid", "body")
    app = _app(asked.merchant, body["appid"])
    why = asked.merchant.may(trade_type, app)
    if why:
        raise refused("NO_AUTH", "商户未开通此产品权限，请前往商户平台申请", why)
    owner = _owner(asked, app, trade_type)
    if trade_type == "H5":
        _check_h5(asked)
    identity = _identity(asked)
    content = _content(body, trade_type, identity)
    known = world.find(order_key(asked.merchant.mchid, body["out_trade_no"]))
    now_ms = world.now_ms()
    if known is not None and known.presentation is not None:
        _check_again(known, content, trade_type)
        facts: list[Fact] = []
        id, kept = known.id, details(known)
    else:
        id, kept = _new_order(asked, trade_type, content, owner, now_ms, known)
        facts = [] if known is not None else [_created(asked, kept, now_ms)]
    key = (
        order_key(asked.merchant.mchid, body["out_trade_no"])
        if known is not None and not known.presentation
        else ""
    )
    presented, shown = _presented(asked, id, kept, known, now_ms)
    return Done(shown, id, (*facts, Fact(presented, key)))


def _check_mchid(asked: Asked, mchid: str, field: str, location: str) -> None:
    """The merchant that signs is the one that asks. Source: facts/wechat 1.2"""
    if mchid == asked.merchant.mchid:
        return
    if asked.world.merchant(mchid) is None:
        raise WeChatError("MCH_NOT_EXISTS", why=f"there is no merchant {mchid} in this sandbox")
    english = f"{field} is {mchid}, but {asked.merchant.mchid} signed the request"
    raise param_error(field, mchid, "与Http头Authorization中的mchid不一致", location, english=english)


def _app(merchant: Merchant, appid: str) -> App:
    app = merchant.app(appid)
    if app is None:
        ours = ", ".join(app.appid for app in merchant.apps)
        raise refused(
            "APPID_MCHID_NOT_MATCH",
            "AppID和mch_id不匹配，请检查参数",
            f"appid {appid} does not belong to merchant {merchant.mchid}; its app ids are {ours}",
        )
    return app


def _owner(asked: Asked, app: App, trade_type: str) -> str:
    """The openid's owner for JSAPI: somebody whom this app knows."""
    openid = asked.body.get("payer", {}).get("openid", "")
    if trade_type != "JSAPI":
        return ""
    owner = asked.world.owner(app.appid, openid)
    if not owner:
        why = f"nobody has the openid {openid} for {app.appid}; GET /_paysim/people lists those there are"
        raise param_error("/payer/openid", openid, "无效的openid，与appid不匹配", english=why)
    return owner


def _check_h5(asked: Asked) -> None:
    pointer = "/scene_info/payer_client_ip"
    ip = asked.body["scene_info"]["payer_client_ip"]
    if ip.startswith("127.") or ip == "::1":
        english = f"{pointer} is the payer's own address, never {ip}"
        raise param_error(pointer, ip, "必须是用户的客户端IP", english=english)


def _identity(asked: Asked) -> str:
    """A digest of the sealed name and number, which are opened and not kept. Source: facts/wechat 1.2, 1.5"""
    sealed = asked.body.get("payer", {}).get("identity")
    if sealed is None:
        return ""
    serial = asked.request.header("wechatpay-serial")
    platform = asked.world.platform(asked.merchant.mchid)
    opened = [
        open_field(platform, serial, sealed[name], f"/payer/identity/{name}") for name in ("name", "number")
    ]
    return hashlib.sha256("\n".join([sealed["type"], *opened]).encode()).hexdigest()


def _content(body: Mapping[str, Any], trade_type: str, identity: str) -> str:
    """A digest of what must be the same when an order number comes again; time_expire may change."""
    kept: dict[str, Any] = {name: value for name, value in body.items() if name != "time_expire"}
    if identity:
        kept["payer"] = {**kept["payer"], "identity": identity}
    text = msgspec.json.encode([trade_type, kept], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:32]


def _check_again(known: Transaction, content: str, trade_type: str) -> None:
    if known.state in _PAID:
        raise _invalid("该订单已支付", "the order is paid; take a new out_trade_no", Reason.ALREADY_PAID)
    if known.state in _OVER:
        code = "ORDER_CLOSED" if trade_type == "NATIVE" else "INVALID_REQUEST"
        raise refused(code, "该订单已关闭，请重新下单", "the order is closed; take a new out_trade_no")
    if details(known)["content"] != content:
        raise refused(
            "OUT_TRADE_NO_USED",
            "商户订单号重复",
            "this out_trade_no was used with other parameters or another endpoint; take a new one",
        )


def _new_order(
    asked: Asked, trade_type: str, content: str, owner: str, now_ms: int, known: Transaction | None
) -> tuple[str, dict[str, Any]]:
    body, merchant = asked.body, asked.merchant
    kept: dict[str, Any] = {
        "mchid": merchant.mchid,
        "appid": body["appid"],
        "out_trade_no": body["out_trade_no"],
        "trade_type": trade_type,
        "description": body["description"],
        "notify_url": body["notify_url"],
        "content": content,
        "kind": asked.kind,
        "ordered_ms": now_ms,
        **{name: body[name] for name in _KEPT if name in body},
    }
    if owner:
        kept["owner"] = owner
        kept["openid"] = body["payer"]["openid"]
    if device := body.get("scene_info", {}).get("device_id"):
        kept["device_id"] = device
    if (text := body.get("time_expire")) is not None:
        until_ms = read_rfc3339(text) or 0
        kept["until_ms"] = max(until_ms, now_ms + LEAST_MS)
    return (known.id if known is not None else asked.world.identity()), kept


def _created(asked: Asked, kept: Mapping[str, Any], now_ms: int) -> Fact:
    amount = asked.body["amount"]
    data = {
        "currency": amount.get("currency", "CNY"),
        "shop": asked.merchant.shop,
        "reference": kept["out_trade_no"],
        "by_wire": True,
    }
    event = Event("created", now_ms, amount_minor=amount["total"], data=data)
    return Fact(event, order_key(asked.merchant.mchid, kept["out_trade_no"]))


def _presented(
    asked: Asked, id: str, kept: Mapping[str, Any], known: Transaction | None, now_ms: int
) -> tuple[Event, dict[str, Any]]:
    """The fact that the payer is shown something, and the answer. The order closes 7 days after the first."""
    world, trade_type = asked.world, kept["trade_type"]
    nonce = world.digits("prepay", 4)
    prepay = prepay_id(id, now_ms, nonce)
    valid_ms = min(now_ms + PREPAY_MS, kept.get("until_ms", now_ms + PREPAY_MS))
    data: dict[str, Any] = {
        "channel": _CHANNELS.get(trade_type, "in_app.wechat"),
        "text": prepay,
        "prepay_id": prepay,
        "expiry_ms": kept["ordered_ms"] + CLOSED_AFTER_MS,
        "valid_ms": valid_ms,
        "wechat": kept,
    }
    shown: dict[str, Any] = {"prepay_id": prepay}
    if trade_type == "NATIVE":
        data["text"] = code_url(id, nonce)
        shown = {"code_url": data["text"]}
    elif trade_type == "H5":
        shown = {"h5_url": h5_url(_h5_base(asked), prepay, world.digits("package", 10))}
    auto_ms = world.settings.auto_pay_ms
    if auto_ms is not None and (known is None or known.state is not State.PENDING):
        data["payment_ms"] = now_ms + auto_ms
    return Event("presented", now_ms, data=data), shown


def _h5_base(asked: Asked) -> str:
    """The wallet's own host for a call that came under its name, else ours on the Host that was called."""
    base = called_at(asked.request)
    return "https://wx.tenpay.com" if base.startswith("https:") else f"{base}/_paysim"


# Asking and closing. ------------------------------------------------------------------------------


def query(asked: Asked) -> Done:
    """An order by the merchant's number."""
    _check_mchid(asked, asked.query["mchid"], "mchid", "query")
    return Done(order_body(_order(asked, asked.path["out_trade_no"]), asked.world))


def query_by_id(asked: Asked) -> Done:
    """A paid order by its transaction id."""
    _check_mchid(asked, asked.query["mchid"], "mchid", "query")
    return Done(order_body(_paid_order(asked, asked.path["transaction_id"], "ORDER_NOT_EXIST"), asked.world))


def close(asked: Asked) -> Done:
    """An unpaid order ends; asked again, it is closed already."""
    world = asked.world
    _check_mchid(asked, asked.body["mchid"], "/mchid", "body")
    book = _order(asked, asked.path["out_trade_no"])
    if book.state in _OVER:
        return Done()
    if book.state in _PAID:
        code, status = world.settings.paid_close_code, world.settings.paid_close_status
        raise refused(code, "该订单已支付，不能关单", "the order is paid; refund it instead", status=status)
    if _being_paid(book):
        raise refused(
            "TRADE_ERROR", "交易处理中，请稍后再试", "the payer is paying just now; query the order"
        )
    if world.now_ms() < details(book)["ordered_ms"] + world.settings.close_gap_ms:
        raise refused(
            "RULE_LIMIT", "订单生成后不能马上关单", "an order is not closed so soon after it was made"
        )
    event = Event("closed", world.now_ms(), f"{book.id}:close")
    return Done(None, book.id, (Fact(event),))


def _being_paid(book: Transaction) -> bool:
    """Whether the payer has agreed and the money is on its way."""
    acts = ("deferred", "submitted", "attempt_failed")
    newest = next((event.kind for event in reversed(book.events) if event.kind in acts), "")
    return book.state is State.PENDING and newest == "deferred"


def _order(asked: Asked, out_trade_no: str) -> Transaction:
    book = asked.world.find(order_key(asked.merchant.mchid, out_trade_no))
    if book is None or book.presentation is None:
        why = f"merchant {asked.merchant.mchid} has no order {out_trade_no}"
        raise refused("ORDER_NOT_EXIST", "订单不存在", why)
    return book


def _paid_order(asked: Asked, number: str, code: str) -> Transaction:
    """The paid order with a transaction id."""
    book = asked.world.book(read_transaction_id(number))
    ours = book is not None and book.presentation and details(book).get("mchid") == asked.merchant.mchid
    paid_ms = paid_at(book) if book is not None and ours else None
    if book is None or paid_ms is None or transaction_id(book.id, paid_ms) != number:
        why = f"merchant {asked.merchant.mchid} has no paid order with the transaction_id {number}"
        raise refused(code, "订单不存在", why)
    return book


# Refunds. -----------------------------------------------------------------------------------------


def operation_of(order: str, out_refund_no: str) -> str:
    """The id of a refund among the operations of its order."""
    return f"{order}:{out_refund_no}"


def refund(asked: Asked) -> Done:
    """Money goes back: at once in the books of the merchant, to the payer when the refund is through."""
    world, body = asked.world, asked.body
    if sub := body.get("sub_mchid"):
        if world.merchant(sub) is None:
            raise WeChatError("MCH_NOT_EXISTS", status=404, why=f"there is no merchant {sub} in this sandbox")
        english = "sub_mchid is for service providers, which this sandbox does not have yet"
        raise param_error("/sub_mchid", sub, "直连商户不支持该参数", english=english)
    _check_parts(body["amount"])
    book = _refundable(asked)
    number, minor = body["out_refund_no"], body["amount"]["refund"]
    operation = operation_of(book.id, number)
    other = world.find(refund_key(asked.merchant.mchid, number))
    if other is not None and other.id != book.id:
        raise _invalid(
            "商户退款单号重复", f"out_refund_no {number} belongs to another order", Reason.KEY_REUSED
        )
    if body["amount"]["total"] != book.amount_minor:
        why = f"amount.total is {body['amount']['total']}, the order is {book.amount_minor} fen"
        raise _invalid("订单金额或退款金额与之前请求不一致", why, Reason.KEY_REUSED)
    known = book.operations.get(operation)
    if known is not None and known.amount_minor != minor:
        why = f"out_refund_no {number} was {known.amount_minor} fen before, now {minor}"
        raise _invalid("订单金额或退款金额与之前请求不一致", why, Reason.KEY_REUSED)
    if known is not None and known.status is not Status.REFUSED:
        return Done(refund_body(book, known, world))
    _check_refund(asked, book, minor)
    facts = _refund_facts(asked, book, operation, minor, known)
    after = Transaction(book.id)
    for event in (*book.events, *(fact.event for fact in facts)):
        after.apply(event)
    return Done(refund_body(after, after.operations[operation], world), book.id, facts)


def _check_parts(amount: Mapping[str, Any]) -> None:
    """What the accounts give adds up to the refund, each account once.

    Source: wechatpay-go services/refunddomestic, AmountReq. Assumed: PARAM_ERROR
    """
    parts = amount.get("from", ())
    once = len({part["account"] for part in parts}) == len(parts)
    if parts and not (once and sum(part["amount"] for part in parts) == amount["refund"]):
        english = "the amounts in /amount/from add up to /amount/refund, each account once"
        raise param_error(
            "/amount/from", "", "出资金额之和必须等于退款金额，且账户类型不能重复", english=english
        )


def _refundable(asked: Asked) -> Transaction:
    body, code = asked.body, "RESOURCE_NOT_EXISTS"
    id, number = body.get("transaction_id"), body.get("out_trade_no")
    if (id is None) == (number is None):
        issue, english = (
            "transaction_id和out_trade_no必须二选一",
            "give one of transaction_id and out_trade_no",
        )
        raise param_error("/transaction_id", id or "", issue, english=english)
    if id is not None:
        return _paid_order(asked, id, code)
    book = asked.world.find(order_key(asked.merchant.mchid, str(number)))
    if book is None or book.presentation is None or paid_at(book) is None:
        why = f"merchant {asked.merchant.mchid} has no paid order {number}"
        outcome = Outcome.declined(Reason.WRONG_STATE, why, code) if book is not None else None
        raise WeChatError(code, "订单不存在或未支付", why, outcome=outcome)
    return book


def _check_refund(asked: Asked, book: Transaction, minor: int) -> None:
    world = asked.world
    refunds = [
        o for o in book.operations.values() if o.verb is Verb.REFUND and o.status is not Status.REFUSED
    ]
    newest_ms = max((refund_asked(book, o.id).at_ms for o in refunds), default=None)
    if world.now_ms() > (paid_at(book) or 0) + REFUND_MS:
        raise _invalid(
            "订单已超过可退款的最长期限(1年)", "an order is refunded within a year", Reason.TOO_LATE
        )
    if len(refunds) >= REFUND_PARTS:
        why = f"an order is refunded in at most {REFUND_PARTS} parts"
        raise _invalid("订单退款次数超过50次", why, Reason.TOO_LATE)
    if newest_ms is not None and world.now_ms() < newest_ms + world.settings.refund_gap_ms:
        raise refused("FREQUENCY_LIMITED", "同一订单的退款请求过于频繁", "wait a minute between two refunds")
    refusal = book.refusal(Verb.REFUND, minor)
    if refusal is not None and refusal.reason is Reason.OVER_REFUND:
        raise _invalid("申请退款金额大于订单剩余可退金额", refusal.text, Reason.OVER_REFUND)
    if refusal is not None:
        raise WeChatError("RESOURCE_NOT_EXISTS", "订单状态不支持退款", refusal.text, outcome=refusal)
    takings = f"{accounts.merchant(book.shop)}/{'available' if book.settled else 'pending'}"
    there = world.tally(accounts.tally_name(takings, book.currency))
    if there < minor:
        why = f"the merchant has {there} fen there, the refund wants {minor}; try again later"
        outcome = Outcome.declined(Reason.MERCHANT_FUNDS, why, "NOT_ENOUGH")
        raise WeChatError("NOT_ENOUGH", "基本账户余额不足，请充值后重新发起", why, outcome=outcome)


def _invalid(text: str, why: str, reason: Reason) -> WeChatError:
    return WeChatError("INVALID_REQUEST", text, why, outcome=Outcome.declined(reason, why, "INVALID_REQUEST"))


def _refund_facts(
    asked: Asked, book: Transaction, operation: str, minor: int, known: Operation | None
) -> tuple[Fact, ...]:
    world, body, now_ms = asked.world, asked.body, asked.world.now_ms()
    data: dict[str, Any] = {
        "verb": Verb.REFUND.value,
        "target": book.payment,
        "out_refund_no": body["out_refund_no"],
        "refund_id": refund_id(world.identity(), now_ms),
        "kind": asked.kind,
        "unsettled": not book.settled,
        **{name: body[name] for name in ("reason", "notify_url", "funds_account") if name in body},
    }
    if parts := body["amount"].get("from"):
        data["from"] = parts
    if known is not None:
        data["refund_id"] = refund_asked(book, operation).data["refund_id"]
    delay_ms = world.settings.refund_ms
    if delay_ms:
        data["refund_ms"] = now_ms + delay_ms
    begun = accounts.refund_begun(book.shop, book.currency, minor, settled=book.settled)
    key = "" if known is not None else refund_key(asked.merchant.mchid, body["out_refund_no"])
    facts = [Fact(Event("asked", now_ms, operation, minor, None, begun, data=data), key)]
    if not delay_ms:
        facts.append(Fact(refunded(book, operation, minor, now_ms)))
    return tuple(facts)


def refunded(book: Transaction, operation: str, minor: int, at_ms: int) -> Event:
    """The fact that a refund is through."""
    arrived = accounts.refund_arrived(book.source, book.currency, minor)
    return Event("refunded", at_ms, operation, minor, None, arrived, data={"target": book.payment})


def query_refund(asked: Asked) -> Done:
    """A refund by the merchant's number."""
    number = asked.path["out_refund_no"]
    book = asked.world.find(refund_key(asked.merchant.mchid, number))
    if book is None:
        why = f"merchant {asked.merchant.mchid} has no refund {number}"
        raise refused("RESOURCE_NOT_EXISTS", "退款单不存在", why)
    return Done(refund_body(book, book.operations[operation_of(book.id, number)], asked.world))
