"""What WeChat Pay says of orders and refunds: states, and their JSON in answers and callbacks.

Source: WeChat Pay merchant documentation, the tables of each interface; facts/wechat section 2
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from paysim.codec.http import Request
from paysim.core.event import Event
from paysim.core.operation import Operation, Status, Verb
from paysim.core.state import State
from paysim.core.transaction import Transaction

from .errors import WeChatError
from .hosts import WECHAT_HOSTS
from .numbers import rfc3339, transaction_id
from .world import World

__all__ = [
    "TRADE_STATES",
    "bank_type",
    "called_at",
    "details",
    "order_body",
    "paid_at",
    "read_body",
    "refund_asked",
    "refund_body",
    "refund_state",
    "trade_state",
    "trade_type",
]

# fmt: off
TRADE_STATES: Final[dict[str, str]] = {
    "SUCCESS": "支付成功",
    "REFUND": "转入退款",
    "NOTPAY": "订单未支付",
    "CLOSED": "订单已关闭",
}
"""trade_state -> trade_state_desc, of what is not paid by payment code."""

_TRADE_STATE: Final[dict[State, str]] = {
    State.CREATED: "NOTPAY",
    State.PRESENTED: "NOTPAY",
    State.PENDING: "NOTPAY",
    State.CAPTURED: "SUCCESS",
    State.AUTHORIZED: "SUCCESS",
    State.CLOSED: "CLOSED",
    State.DECLINED: "CLOSED",
    State.REVERSED: "CLOSED",
    State.VOIDED: "REFUND",
}

_REFUND_STATES: Final[dict[Status, str]] = {
    Status.ASKED: "PROCESSING",
    Status.UNKNOWN: "PROCESSING",
    Status.DONE: "SUCCESS",
    Status.REFUSED: "CLOSED",
    Status.ABNORMAL: "ABNORMAL",
}

_BANKS: Final[dict[str, str]] = {"debit": "ICBC_DEBIT", "credit": "ICBC_CREDIT"}
"""Kind of source -> bank_type; a wallet balance is OTHERS."""
# fmt: on

# Reading. -----------------------------------------------------------------------------------------


def read_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a request. Raises WeChatError for anything else."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        why = f"the body is no JSON: {error}"
        raise WeChatError("PARAM_ERROR", "请求体不是合法的JSON", why, why=why) from None
    if not isinstance(value, dict):
        raise WeChatError("PARAM_ERROR", "请求体必须是JSON对象", "the body must be a JSON object")
    return value


_HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


def called_at(request: Request) -> str:
    """The address that the caller used, without a path: https for the wallet's names, else http.

    A Host that is none counts as the wallet's. Source: facts/wechat 2.2, links for downloads
    """
    found = _HOST.fullmatch(request.header("host"))
    host = found[0] if found else WECHAT_HOSTS[0]
    return f"{'https' if host.partition(':')[0].lower() in WECHAT_HOSTS else 'http'}://{host}"


# An order as JSON. --------------------------------------------------------------------------------


def details(book: Transaction) -> Mapping[str, Any]:
    """What WeChat Pay keeps of an order besides its money: mchid, appid, trade_type, notify_url and so on."""
    found: Mapping[str, Any] = book.presentation.data["wechat"] if book.presentation else {}
    return found


def trade_state(book: Transaction) -> str:
    """The trade_state: REFUND from the first refund on, however small.

    Source: WeChat Pay merchant documentation, order states, which lead nowhere from REFUND. Assumed: so it is
    REFUND as well where the only refund was closed
    """
    refunded = any(o.verb is Verb.REFUND for o in book.operations.values())
    return "REFUND" if refunded and book.state is State.CAPTURED else _TRADE_STATE[book.state]


def paid_at(book: Transaction) -> int | None:
    """When it was paid, in Unix ms; None where it is not."""
    return next((event.at_ms for event in book.events if event.kind == "captured"), None)


def order_body(book: Transaction, world: World, *, notice: bool = False) -> dict[str, Any]:
    """An order as queries tell it; a `notice` (the callback) has no promotion_detail.

    Unpaid, it has neither transaction_id nor trade_type, and its amount no currency but the payer's. Source:
    WeChat Pay merchant documentation; answers of the real service that users have published
    """
    kept, state, paid_ms = details(book), trade_state(book), paid_at(book)
    total, currency, device = book.amount_minor, book.currency, kept.get("device_id", "")
    body: dict[str, Any] = {
        "appid": kept["appid"],
        "mchid": kept["mchid"],
        "out_trade_no": kept["out_trade_no"],
        "trade_state": state,
        "trade_state_desc": TRADE_STATES[state],
    }
    if not notice:
        body["promotion_detail"] = []
    if paid_ms is None or device:
        body["scene_info"] = {"device_id": device}
    if paid_ms is None:
        return {**body, "amount": {"total": total, "payer_currency": currency}}
    return {
        **body,
        "transaction_id": transaction_id(book.id, paid_ms),
        "trade_type": trade_type(kept),
        "bank_type": bank_type(book, world),
        "attach": kept.get("attach", ""),
        "success_time": rfc3339(paid_ms),
        "payer": {"openid": world.openid(kept["appid"], book.payer)},
        "amount": {"total": total, "payer_total": total, "currency": currency, "payer_currency": currency},
    }


def trade_type(kept: Mapping[str, Any]) -> str:
    """The trade_type as answers and bills spell it: an H5 order is MWEB."""
    return "MWEB" if kept["trade_type"] == "H5" else str(kept["trade_type"])


def bank_type(book: Transaction, world: World) -> str:
    """What was paid from, as answers and bills spell it."""
    return _BANKS.get(world.source_kind(book.payer, book.source), "OTHERS")


# A refund as JSON. --------------------------------------------------------------------------------


def refund_asked(book: Transaction, operation: str) -> Event:
    """The fact that asked for a refund."""
    return next(e for e in reversed(book.events) if e.kind == "asked" and e.operation == operation)


def refund_state(refund: Operation) -> str:
    """How a refund stands: PROCESSING, SUCCESS, ABNORMAL or CLOSED."""
    return _REFUND_STATES[refund.status]


def refund_body(
    book: Transaction, refund: Operation, world: World, *, notice: bool = False
) -> dict[str, Any]:
    """A refund as answers and queries tell it; as a `notice` (the callback) it has fewer fields.

    The state is `status` in answers and `refund_status` in callbacks. Source: facts/wechat 1.6 and 2
    """
    asked = refund_asked(book, refund.id)
    kept, data, state = details(book), asked.data, refund_state(refund)
    paid_ms, total = paid_at(book) or 0, book.amount_minor
    done_ms = next((e.at_ms for e in book.events if e.kind == "refunded" and e.operation == refund.id), None)
    amount = {
        "total": total,
        "refund": refund.amount_minor,
        "payer_total": total,
        "payer_refund": refund.amount_minor,
    }
    body: dict[str, Any] = {
        "out_trade_no": kept["out_trade_no"],
        "transaction_id": transaction_id(book.id, paid_ms),
        "out_refund_no": data["out_refund_no"],
        "refund_id": data["refund_id"],
        "user_received_account": _received(book, world),
    }
    if done_ms is not None:
        body["success_time"] = rfc3339(done_ms)
    if notice:
        return {"mchid": kept["mchid"], **body, "refund_status": state, "amount": amount}
    return {
        **body,
        "channel": "ORIGINAL",
        "create_time": rfc3339(asked.at_ms),
        "status": state,
        "funds_account": data.get("funds_account", "UNSETTLED" if data.get("unsettled") else "AVAILABLE"),
        "promotion_detail": [],
        "amount": {
            **amount,
            "from": list(data.get("from", ())),
            "settlement_refund": refund.amount_minor,
            "settlement_total": total,
            "discount_refund": 0,
            "currency": book.currency,
            "refund_fee": 0,
        },
    }


def _received(book: Transaction, world: World) -> str:
    kind = world.source_kind(book.payer, book.source)
    return {"debit": "工商银行借记卡", "credit": "工商银行信用卡"}.get(kind, "支付用户零钱")
