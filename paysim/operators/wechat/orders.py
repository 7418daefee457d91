"""What WeChat Pay decides about orders: each function takes a request and the books, and gives facts.

Source: WeChat Pay merchant documentation, JSAPI/APP/H5/Native, query, close; facts/wechat 2.1
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from paysim.core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from paysim.core.event import Event
from paysim.core.outcome import Reason
from paysim.core.state import State
from paysim.core.transaction import Transaction

from .errors import WeChatError, invalid, param_error, refused
from .merchants import App, Merchant
from .messages import called_at, details, order_body, paid_at
from .numbers import (
    code_url,
    h5_url,
    prepay_id,
    read_rfc3339,
    read_transaction_id,
    transaction_id,
)
from .sealing import open_field
from .world import Asked, Done, Fact, order_key

__all__ = ["close", "paid_order", "prepay", "query", "query_by_id"]

CLOSED_AFTER_MS: Final = 7 * DAY_MS
PREPAY_MS: Final = 2 * HOUR_MS
H5_MS: Final = 5 * MINUTE_MS
LEAST_MS: Final = MINUTE_MS

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
    """The merchant that signs is the one that asks.

    Source: facts/wechat 1.2; the message as in users' logs. Assumed: a query's is the same
    """
    if mchid == asked.merchant.mchid:
        return
    if asked.world.merchant(mchid) is None:
        raise WeChatError("MCH_NOT_EXISTS", why=f"there is no merchant {mchid} in this sandbox")
    english = f"{field} is {mchid}, but {asked.merchant.mchid} signed the request"
    text = "http header中的mchid与post payload中的mchid不匹配"
    detail = {"field": field, "value": mchid, "issue": text, "location": location}
    raise WeChatError("PARAM_ERROR", text, english, detail=detail)


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
        raise invalid("该订单已支付", "the order is paid; take a new out_trade_no", Reason.ALREADY_PAID)
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
    return Done(order_body(paid_order(asked, asked.path["transaction_id"], "ORDER_NOT_EXIST"), asked.world))


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


def paid_order(asked: Asked, number: str, code: str) -> Transaction:
    """The paid order with a transaction id. Raises WeChatError `code` where there is none."""
    book = asked.world.book(read_transaction_id(number))
    ours = book is not None and book.presentation and details(book).get("mchid") == asked.merchant.mchid
    paid_ms = paid_at(book) if book is not None and ours else None
    if book is None or paid_ms is None or transaction_id(book.id, paid_ms) != number:
        why = f"merchant {asked.merchant.mchid} has no paid order with the transaction_id {number}"
        raise refused(code, "订单不存在", why)
    return book
