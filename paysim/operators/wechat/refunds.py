"""What WeChat Pay decides about refunds: when one is taken, and how it ends.

A refund leaves the merchant's account when it is taken, and waits in an account of WeChat Pay's own until it
has come to the payer. It ends in SUCCESS unless somebody wants otherwise (`World.refund_end`). ABNORMAL is no
end for good: the money stays with WeChat Pay until somebody resolves it.
Source: WeChat Pay merchant/4013071031 (the guide to refunds); facts/wechat 1.6, 2 and 2.1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from paysim.core.clock import DAY_MS
from paysim.core.event import Event
from paysim.core.operation import Operation, Status, Verb
from paysim.core.outcome import Outcome, OutcomeKind, Reason
from paysim.core.transaction import Transaction
from paysim.ledger import accounts

from .errors import WeChatError, invalid, param_error, refused
from .messages import paid_at, refund_asked, refund_body
from .numbers import refund_id
from .orders import paid_order
from .world import Asked, Done, Fact, order_key, refund_key

__all__ = ["ENDS", "end_of", "ended", "operation_of", "query", "refund"]

REFUND_MS: Final = 365 * DAY_MS
REFUND_PARTS: Final = 50


def operation_of(order: str, out_refund_no: str) -> str:
    """The id of a refund among the operations of its order."""
    return f"{order}:{out_refund_no}"


def refund(asked: Asked) -> Done:
    """Money goes back: at once in the books of the merchant, to the payer when the refund is through.

    The same out_refund_no is the same refund, however it has ended: one that is CLOSED is asked for anew by
    another number. Source: facts/wechat 2.1; merchant/4013071031. Assumed: it is answered, not refused
    """
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
        raise invalid(
            "商户退款单号重复", f"out_refund_no {number} belongs to another order", Reason.KEY_REUSED
        )
    if body["amount"]["total"] != book.amount_minor:
        why = f"amount.total is {body['amount']['total']}, the order is {book.amount_minor} fen"
        raise invalid("订单金额或退款金额与之前请求不一致", why, Reason.KEY_REUSED)
    known = book.operations.get(operation)
    if known is not None and known.amount_minor != minor:
        why = f"out_refund_no {number} was {known.amount_minor} fen before, now {minor}"
        raise invalid("订单金额或退款金额与之前请求不一致", why, Reason.KEY_REUSED)
    if known is not None:
        return Done(refund_body(book, known, world))
    _check_refund(asked, book, minor)
    facts = _refund_facts(asked, book, operation, minor)
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
        return paid_order(asked, id, code)
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
        raise invalid(
            "订单已超过可退款的最长期限(1年)", "an order is refunded within a year", Reason.TOO_LATE
        )
    if len(refunds) >= REFUND_PARTS:
        why = f"an order is refunded in at most {REFUND_PARTS} parts"
        raise invalid("订单退款次数超过50次", why, Reason.TOO_LATE)
    if newest_ms is not None and world.now_ms() < newest_ms + world.settings.refund_gap_ms:
        raise refused("FREQUENCY_LIMITED", "同一订单的退款请求过于频繁", "wait a minute between two refunds")
    refusal = book.refusal(Verb.REFUND, minor)
    if refusal is not None and refusal.reason is Reason.OVER_REFUND:
        raise invalid("申请退款金额大于订单剩余可退金额", refusal.text, Reason.OVER_REFUND)
    if refusal is not None:
        raise WeChatError("RESOURCE_NOT_EXISTS", "订单状态不支持退款", refusal.text, outcome=refusal)
    takings = f"{accounts.merchant(book.shop)}/{'available' if book.settled else 'pending'}"
    there = world.tally(accounts.tally_name(takings, book.currency))
    if there < minor:
        why = f"the merchant has {there} fen there, the refund wants {minor}; try again later"
        outcome = Outcome.declined(Reason.MERCHANT_FUNDS, why, "NOT_ENOUGH")
        raise WeChatError("NOT_ENOUGH", "基本账户余额不足，请充值后重新发起", why, outcome=outcome)


def _refund_facts(asked: Asked, book: Transaction, operation: str, minor: int) -> tuple[Fact, ...]:
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
    end = world.refund_end(book, minor)
    if end != "SUCCESS":
        data["end"] = end
    delay_ms = world.settings.refund_ms
    if delay_ms:
        data["refund_ms"] = now_ms + delay_ms
    begun = accounts.refund_begun(book.shop, book.currency, minor, settled=book.settled)
    key = refund_key(asked.merchant.mchid, body["out_refund_no"])
    facts = [Fact(Event("asked", now_ms, operation, minor, None, begun, data=data), key)]
    if not delay_ms:
        under_way = Operation(operation, Verb.REFUND, Status.ASKED, minor)
        facts.append(Fact(ended(book, under_way, end, now_ms)))
    return tuple(facts)


def query(asked: Asked) -> Done:
    """A refund by the merchant's number."""
    number = asked.path["out_refund_no"]
    book = asked.world.find(refund_key(asked.merchant.mchid, number))
    if book is None:
        why = f"merchant {asked.merchant.mchid} has no refund {number}"
        raise refused("RESOURCE_NOT_EXISTS", "退款单不存在", why)
    return Done(refund_body(book, book.operations[operation_of(book.id, number)], asked.world))


# How it ends. -------------------------------------------------------------------------------------

_ABNORMAL: Final = Outcome(
    OutcomeKind.UNKNOWN,
    Reason.NO_SUCH_ACCOUNT,
    "ABNORMAL",
    "the payer's card is closed or frozen; WeChat Pay keeps the money until the refund is resolved",
)
_CLOSED: Final = Outcome.declined(
    Reason.TOO_LATE,
    "the refund was not through in time and is closed; ask anew with another out_refund_no",
    "CLOSED",
)


def end_of(book: Transaction, operation: str) -> str:
    """How a refund was to end when it was asked for: a row of ENDS."""
    return str(refund_asked(book, operation).data.get("end", "SUCCESS"))


def ended(book: Transaction, refund: Operation, end: str, at_ms: int) -> Event:
    """The fact that an open refund has come to an end of ENDS.

    Assumed: one that was ABNORMAL still comes to the account that paid, or goes back to the merchant.
    """
    return ENDS[end](book, refund, at_ms)


def _arrived(book: Transaction, refund: Operation, at_ms: int) -> Event:
    minor, stranded = refund.amount_minor, refund.status is Status.ABNORMAL
    arrived = accounts.refund_arrived(book.source, book.currency, minor, stranded=stranded)
    return Event("refunded", at_ms, refund.id, minor, None, arrived, data={"target": book.payment})


def _stranded(book: Transaction, refund: Operation, at_ms: int) -> Event:
    """The money lies apart; where it does already, the fact says so again."""
    minor = refund.amount_minor
    apart = () if refund.status is Status.ABNORMAL else accounts.refund_stranded(book.currency, minor)
    return Event("stranded", at_ms, refund.id, minor, _ABNORMAL, apart)


def _closed(book: Transaction, refund: Operation, at_ms: int) -> Event:
    """The merchant has its money again. Assumed: after settlement no fee is taken of it."""
    minor, stranded = refund.amount_minor, refund.status is Status.ABNORMAL
    back = accounts.refund_closed(book.shop, book.currency, minor, settled=book.settled, stranded=stranded)
    return Event("refused", at_ms, refund.id, minor, _CLOSED, back, data={"verb": Verb.REFUND.value})


ENDS: Final[dict[str, Callable[[Transaction, Operation, int], Event]]] = {
    "SUCCESS": _arrived,
    "ABNORMAL": _stranded,
    "CLOSED": _closed,
}
"""How a refund ends, as queries spell it -> the fact that says so."""
