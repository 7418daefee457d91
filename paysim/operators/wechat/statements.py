"""A day's bills from the books: which orders and refunds are on them, and where they are downloaded.

A fee stands on the day of the payment in the trade bill, and on the day of settlement in the money bill, when
the ledger takes it; a refund before settlement gives its share back, one after settlement does not. A bill
says what the books said at the hour when it was made, however late it is asked for. A refund is on the trade
bill of the day when it was taken, FAIL or CHANGE where it was closed or is abnormal; what a closed one gives
back is on the money bill.
Source: WeChat Pay merchant documentation, trade bill, money bill, downloading; facts/wechat 2.2
Assumed: the fee's rounding (half up to the fen) and that it is not given back after settlement, nor taken of
what a refund that is closed then brings back; that a closed refund counts in the trade bill's sums.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final

import msgspec

from paysim.core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from paysim.core.event import Event
from paysim.core.operation import Status
from paysim.core.transaction import Transaction

from .bills import FundRow, TradeRow, fund_bill, gzipped, hash_value, trade_bill
from .errors import param_error, refused
from .messages import bank_type, called_at, details, paid_at, refund_asked, trade_type
from .numbers import transaction_id
from .world import Asked, Done, World

__all__ = ["TOKEN_MS", "download", "fee_fen", "fund", "trade"]

TOKEN_MS: Final = 5 * MINUTE_MS
KEPT_MONTHS: Final = 3
_ZONE_MS: Final = 8 * HOUR_MS
_MILLION: Final = 1_000_000
_REFUND_STATES: Final = {
    Status.DONE: "SUCCESS",
    Status.ASKED: "PROCESSING",
    Status.REFUSED: "FAIL",
    Status.ABNORMAL: "CHANGE",
}


def fee_fen(net_fen: int, ppm: int) -> int:
    """The fee of what a merchant keeps, half up to the fen.

    >>> fee_fen(1280, 6000), fee_fen(83, 6000), fee_fen(84, 6000)
    (8, 0, 1)
    """
    return (2 * net_fen * ppm + _MILLION) // (2 * _MILLION)


# What is asked for. -------------------------------------------------------------------------------


class _Bill(msgspec.Struct, frozen=True, array_like=True):
    """What a download token stands for."""

    mchid: str
    kind: str
    day: str
    part: str
    packed: bool
    until_ms: int


def trade(asked: Asked) -> Done:
    """Where the trade bill of a day can be downloaded."""
    return _offered(asked, "trade", asked.query.get("bill_type") or "ALL")


def fund(asked: Asked) -> Done:
    """Where the money bill of a day can be downloaded."""
    return _offered(asked, "fund", asked.query.get("account_type") or "BASIC")


def _offered(asked: Asked, kind: str, part: str) -> Done:
    world, day = asked.world, asked.query["bill_date"]
    if sub := asked.query.get("sub_mchid"):
        english = "sub_mchid is for service providers, which this sandbox does not have yet"
        raise param_error("sub_mchid", sub, "直连商户不支持该参数", "query", english=english)
    _check_day(day, world)
    until_ms = world.now_ms() + TOKEN_MS
    bill = _Bill(asked.merchant.mchid, kind, day, part, asked.query.get("tar_type") == "GZIP", until_ms)
    content = _content(bill, world)
    if not content:
        raise refused(
            "NO_STATEMENT_EXIST", "账单文件不存在", f"nothing happened on {day} that is on this bill"
        )
    hashed = gzipped(content) if bill.packed and world.settings.gzip_hash == "file" else content
    url = f"{called_at(asked.request)}/v3/billdownload/file?token={_token(bill, world)}"
    return Done({"hash_type": "SHA1", "hash_value": hash_value(hashed), "download_url": url})


def _check_day(day: str, world: World) -> None:
    today = date(1970, 1, 1) + timedelta(days=(world.now_ms() + _ZONE_MS) // DAY_MS)
    wanted = date.fromisoformat(day)
    if wanted >= today:
        english = f"bill_date {day} is not over; a bill is for a day before {today}"
        raise param_error("bill_date", day, "不能是当日或未来的日期", "query", english=english)
    if wanted < _months_before(today, KEPT_MONTHS):
        english = f"bill_date {day} is more than three months ago"
        raise param_error("bill_date", day, "仅支持三个月内的账单", "query", english=english)
    ready_ms = world.settings.bill_hour * HOUR_MS
    if wanted == today - timedelta(days=1) and (world.now_ms() + _ZONE_MS) % DAY_MS < ready_ms:
        why = f"the bill of {day} is ready at {world.settings.bill_hour}:00 (UTC+8) of the next day"
        raise refused("STATEMENT_CREATING", "账单生成中，请稍后再试", why)


def _months_before(day: date, months: int) -> date:
    """The same day some months earlier, or the last day of a month that is too short for it."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def download(asked: Asked) -> Done:
    """The bill itself, not signed."""
    bill = _read_token(asked.query["token"], asked.world)
    if bill is None:
        raise param_error("token", asked.query["token"], "无效", "query", english="token is not one of ours")
    if bill.mchid != asked.merchant.mchid:
        raise refused(
            "NO_AUTH", "商户无权下载该账单", f"the bill is {bill.mchid}'s, not {asked.merchant.mchid}'s"
        )
    if asked.world.now_ms() >= bill.until_ms:
        raise refused(
            "INVALID_REQUEST", "下载链接已过期", "the download_url holds 5 minutes; ask for the bill again"
        )
    content = _content(bill, asked.world)
    kind = "application/x-gzip" if bill.packed else "text/plain"
    return Done(
        raw=gzipped(content) if bill.packed else content, file=True, headers=(("Content-Type", kind),)
    )


def _token(bill: _Bill, world: World) -> str:
    payload = msgspec.json.encode(bill)
    return _text(hmac.digest(world.token_secret(), payload, "sha256") + payload)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


_MAC_BYTES: Final = hashlib.sha256().digest_size


def _read_token(token: str, world: World) -> _Bill | None:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        right = hmac.compare_digest(mac, hmac.digest(world.token_secret(), payload, "sha256"))
        return msgspec.json.decode(payload, type=_Bill) if right and _text(raw) == token else None
    except (ValueError, msgspec.MsgspecError):
        return None


def _content(bill: _Bill, world: World) -> bytes:
    """The bill's file; empty where nothing is on it."""
    start_ms = (date.fromisoformat(bill.day) - date(1970, 1, 1)).days * DAY_MS - _ZONE_MS
    day = range(start_ms, start_ms + DAY_MS)
    if bill.kind == "trade":
        rows = [row for row in _trade_rows(bill.mchid, day, world) if bill.part in ("ALL", row.state)]
        return trade_bill(rows, bill.part) if rows else b""
    money = [row for row in _fund_rows(bill.mchid, world) if row.at_ms in day and row.account == bill.part]
    return fund_bill(money, bill.part) if money else b""


# Trades. ------------------------------------------------------------------------------------------


def _trade_rows(mchid: str, day: range, world: World) -> list[TradeRow]:
    made_ms = day.stop + world.settings.bill_hour * HOUR_MS
    books = (_as_of(book, made_ms) for book in world.books(mchid))
    rows = [row for book in books for row in _rows_of(book, world) if row.at_ms in day]
    return sorted(rows, key=lambda row: (row.at_ms, row.transaction_id, row.refund_id))


def _as_of(book: Transaction, until_ms: int) -> Transaction:
    """A book with what was in it before a time."""
    then = Transaction(book.id)
    for event in book.events:
        if event.at_ms < until_ms:
            then.apply(event)
    return then


def _rows_of(book: Transaction, world: World) -> Iterator[TradeRow]:
    paid_ms = paid_at(book)
    if paid_ms is None:
        return
    kept, ppm = details(book), world.fee_ppm(book.shop)
    common: dict[str, Any] = {
        "appid": kept["appid"],
        "mchid": kept["mchid"],
        "transaction_id": transaction_id(book.id, paid_ms),
        "out_trade_no": kept["out_trade_no"],
        "openid": world.openid(kept["appid"], book.payer),
        "trade_type": trade_type(kept),
        "description": kept["description"],
        "attach": kept.get("attach", ""),
        "device": kept.get("device_id", ""),
        "bank_type": bank_type(book, world),
        "currency": book.currency,
        "total_fen": book.amount_minor,
        "rate": f"{ppm / 10_000:.2f}%",
    }
    yield TradeRow(at_ms=paid_ms, fee_fen=fee_fen(book.amount_minor, ppm), **common)
    net, early = book.amount_minor, _before_settlement(book)
    for event in filter(_is_refund, book.events):
        after = net - event.amount_minor if event.operation in early else net
        returned, net = fee_fen(net, ppm) - fee_fen(after, ppm), after
        yield TradeRow(at_ms=event.at_ms, fee_fen=-returned, **common, **_refund_cells(book, event))


def _is_refund(event: Event) -> bool:
    return event.kind == "asked" and "out_refund_no" in event.data


def _before_settlement(book: Transaction) -> set[str]:
    """The refunds that settlement left out: asked for before it, and not closed by then."""
    found: set[str] = set()
    for event in book.events:
        if event.kind == "settled":
            break
        if _is_refund(event):
            found.add(event.operation)
        elif event.kind == "refused":
            found.discard(event.operation)
    return found


def _refund_cells(book: Transaction, asked: Event) -> dict[str, Any]:
    done = (e.at_ms for e in book.events if e.kind == "refunded" and e.operation == asked.operation)
    return {
        "state": "REFUND",
        "refund_id": asked.data["refund_id"],
        "out_refund_no": asked.data["out_refund_no"],
        "refund_fen": asked.amount_minor,
        "refund_type": "ORIGINAL",
        "refund_state": _REFUND_STATES[book.operations[asked.operation].status],
        "refunded_ms": next(done, None),
    }


# Money. -------------------------------------------------------------------------------------------


def _fund_rows(mchid: str, world: World) -> list[FundRow]:
    """Every movement of a merchant's account since it began, with the balance after it."""
    moves = sorted(
        (event.at_ms, book.id, index, kind, minor, number)
        for book in world.books(mchid)
        for index, event in enumerate(book.events)
        for kind, minor, number in _moves(book, event)
    )
    rows, balance = [], 0
    for count, (at_ms, _, _, kind, minor, number) in enumerate(moves, 1):
        balance += minor
        flow = f"{number}{count:06d}"[-32:]
        rows.append(
            FundRow(
                at_ms=at_ms,
                business_no=number,
                flow_no=flow,
                kind=kind,
                income=minor > 0,
                amount_fen=abs(minor),
                balance_fen=balance,
            )
        )
    return rows


def _moves(book: Transaction, event: Event) -> Iterator[tuple[str, int, str]]:
    """Kind of movement, fen gained or lost, number: what a fact means for the merchant's account."""
    ours = f"merchant/{book.shop}/"
    gained = sum(
        transfer.minor * (transfer.credit.startswith(ours) - transfer.debit.startswith(ours))
        for transfer in event.transfers
    )
    if not gained:
        return
    number = transaction_id(book.id, paid_at(book) or 0)
    if event.kind == "settled":
        yield "fee", gained, number
    elif event.kind == "asked":
        yield "refund", gained, event.data["refund_id"]
    elif event.kind == "refused":
        yield "refund_closed", gained, refund_asked(book, event.operation).data["refund_id"]
    else:
        yield "payment", gained, number
