"""WeChat Pay's bills: the day's trades and the day's movements of money, as the files a merchant downloads.

UTF-8 with a byte order mark, lines end in CR LF, every cell but a header's begins with a backtick, amounts in
yuan. The rows, then two lines of sums. Byte for byte what the real service gave: a file of 2021 in the tests
of gunsluo/wechatpay-go has the SHA-1 that the service named only in this form.
Source: pay.weixin.qq.com merchant documentation 4013071246 (trades), 4013071249 (money)
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from types import MappingProxyType
from typing import Final

from paysim.core.errors import UsageError

__all__ = [
    "ACCOUNT_TYPES",
    "BILL_TYPES",
    "FUND_KINDS",
    "FundRow",
    "TradeRow",
    "fund_bill",
    "gzipped",
    "hash_value",
    "trade_bill",
]

ACCOUNT_TYPES: Final = ("BASIC", "OPERATION", "FEES")
"""The accounts of a merchant that a money bill is asked for."""

_STATES: Final = ("SUCCESS", "REFUND", "REVOKED")
_REFUND_STATES: Final = ("", "SUCCESS", "PROCESSING", "FAIL", "CHANGE")

FUND_KINDS: Final = MappingProxyType(
    {
        "payment": ("交易", "交易"),
        "fee": ("交易", "扣除交易手续费"),
        "refund": ("退款", "退款"),
        "refund_closed": ("退款", "退款关闭"),
        "fee_returned": ("交易", "退还交易手续费"),
    }
)
"""What moved the money -> how a money bill names it: the business, and its kind within that.

Source: pay.weixin.qq.com merchant documentation 4013071249, the field list
Assumed: a fee that is given back belongs to the business 交易.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRow:
    """One line of a trade bill: a payment, or a refund of one; amounts in fen, times in ms since 1970.

    `at_ms` is when the payment succeeded or the refund was accepted. A refund repeats the payment's numbers
    and carries what is given back: `refund_fen` as applied for, and `fee_fen` below zero.
    """

    at_ms: int
    appid: str
    mchid: str
    transaction_id: str
    out_trade_no: str
    openid: str
    trade_type: str
    description: str
    state: str = "SUCCESS"
    total_fen: int = 0
    coupon_fen: int = 0
    fee_fen: int = 0
    rate: str = "0.60%"
    attach: str = ""
    sub_mchid: str = "0"
    device: str = ""
    bank_type: str = "OTHERS"
    currency: str = "CNY"
    refund_id: str = "0"
    out_refund_no: str = "0"
    refund_fen: int = 0
    coupon_refund_fen: int = 0
    refund_type: str = ""
    refund_state: str = ""
    refunded_ms: int | None = None
    rate_note: str = ""

    def __post_init__(self) -> None:
        if self.state not in _STATES:
            raise UsageError(f"state is one of {', '.join(_STATES)}, not {self.state!r}")
        if self.refund_state not in _REFUND_STATES:
            raise UsageError(
                f"refund_state is one of {', '.join(_REFUND_STATES[1:])}, not {self.refund_state!r}"
            )
        if not 0 <= self.coupon_fen <= self.total_fen and self.is_payment:
            raise UsageError("a coupon is between nothing and the whole order")
        if not 0 <= self.coupon_refund_fen <= self.refund_fen:
            raise UsageError("a coupon's part of a refund is between nothing and the whole refund")
        if self.is_payment and self.refund_fen:
            raise UsageError("a refund is a row of its own")

    @property
    def is_payment(self) -> bool:
        """Whether this is money that came; else it went back."""
        return self.state == "SUCCESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class FundRow:
    """One line of a money bill: what moved in an account, in fen, and what was left; `kind` of FUND_KINDS."""

    at_ms: int
    business_no: str
    flow_no: str
    kind: str
    income: bool
    amount_fen: int
    balance_fen: int
    applicant: str = "system"
    remark: str = ""
    voucher: str = ""
    account: str = "BASIC"

    def __post_init__(self) -> None:
        if self.kind not in FUND_KINDS:
            raise UsageError(f"kind is one of {', '.join(FUND_KINDS)}, not {self.kind!r}")
        if self.account not in ACCOUNT_TYPES:
            raise UsageError(f"account is one of {', '.join(ACCOUNT_TYPES)}, not {self.account!r}")
        if self.amount_fen < 0:
            raise UsageError("an amount is not negative: income says which way it went")


# --- the columns ------------------------------------------------------------------------------------------

_HEAD: Final = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,"
    "交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额"
)
_REFUND: Final = "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态"
_REFUND_TIMES: Final = "退款申请时间,退款成功时间"
_GOODS: Final = "商品名称,商户数据包,手续费,费率,订单金额"
_SUMS: Final = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"

BILL_TYPES: Final = MappingProxyType(
    {
        "ALL": f"{_HEAD},{_REFUND},{_GOODS},申请退款金额,费率备注",
        "SUCCESS": f"{_HEAD},{_GOODS},费率备注",
        "REFUND": f"{_HEAD},{_REFUND_TIMES},{_REFUND},{_GOODS},申请退款金额,费率备注",
    }
)
"""What a trade bill can be asked for -> its header line."""

_FUND_HEAD: Final = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),"
    "资金变更提交申请人,备注,业务凭证号"
)
_FUND_SUMS: Final = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


def trade_bill(rows: Iterable[TradeRow], bill_type: str = "ALL") -> bytes:
    """The trade bill of these rows, in their order: all of them, payments alone or refunds alone.

    Source: pay.weixin.qq.com merchant documentation 4013071246
    Assumed: all three end in the same seven sums, as the published files of 2019 and 2021 do; the page of
    November 2024 lists four for SUCCESS. REVOKED rows are in ALL alone.
    """
    if bill_type not in BILL_TYPES:
        raise UsageError(f"bill_type is one of {', '.join(BILL_TYPES)}, not {bill_type!r}")
    chosen = [row for row in rows if bill_type in ("ALL", row.state)]
    lines = [_trade_cells(row, bill_type) for row in chosen]
    return _file(BILL_TYPES[bill_type], lines, _SUMS, _trade_sums(chosen))


def fund_bill(rows: Iterable[FundRow], account_type: str = "BASIC") -> bytes:
    """The money bill of one account: its rows among these, in their order, and their sums.

    Source: pay.weixin.qq.com merchant documentation 4013071249
    """
    if account_type not in ACCOUNT_TYPES:
        raise UsageError(f"account_type is one of {', '.join(ACCOUNT_TYPES)}, not {account_type!r}")
    chosen = [row for row in rows if row.account == account_type]
    return _file(_FUND_HEAD, [_fund_cells(row) for row in chosen], _FUND_SUMS, _fund_sums(chosen))


def hash_value(content: bytes) -> str:
    """The SHA-1 of a bill as 40 hex digits; of the content before compression.

    Source: pay.weixin.qq.com merchant documentation 4013071238, its Java sample
    """
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def gzipped(content: bytes) -> bytes:
    """The content compressed; the same bytes for the same content, on any day."""
    packed = BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
        file.write(content)
    return packed.getvalue()


# --- the cells --------------------------------------------------------------------------------------------


def _trade_cells(row: TradeRow, bill_type: str) -> list[str]:
    paid = row.total_fen if row.is_payment else 0
    coupon = row.coupon_fen if row.is_payment else 0
    cells = [_time(row.at_ms), row.appid, row.mchid, row.sub_mchid, row.device, row.transaction_id]
    cells += [row.out_trade_no, row.openid, row.trade_type, row.state, row.bank_type, row.currency]
    cells += [_yuan(paid - coupon), _yuan(coupon)]
    if bill_type == "REFUND":
        cells += [_time(row.at_ms), "" if row.refunded_ms is None else _time(row.refunded_ms)]
    if bill_type != "SUCCESS":
        cells += [row.refund_id, row.out_refund_no, _yuan(row.refund_fen - row.coupon_refund_fen)]
        cells += [_yuan(row.coupon_refund_fen), row.refund_type, row.refund_state]
    cells += [row.description, row.attach, _fee(row.fee_fen), row.rate, _yuan(paid)]
    if bill_type != "SUCCESS":
        cells.append(_yuan(row.refund_fen))
    return [*cells, row.rate_note]


def _trade_sums(rows: Sequence[TradeRow]) -> list[str]:
    paid = sum(row.total_fen for row in rows if row.is_payment)
    coupons = sum(row.coupon_fen for row in rows if row.is_payment)
    refunds = sum(row.refund_fen for row in rows)
    coupon_refunds = sum(row.coupon_refund_fen for row in rows)
    fees = sum(row.fee_fen for row in rows)
    sums = [_yuan(paid - coupons), _yuan(refunds - coupon_refunds), _yuan(coupon_refunds)]
    return [str(len(rows)), *sums, _fee(fees), _yuan(paid), _yuan(refunds)]


def _fund_cells(row: FundRow) -> list[str]:
    name, kind = FUND_KINDS[row.kind]
    way = "收入" if row.income else "支出"
    cells = [_time(row.at_ms), row.business_no, row.flow_no, name, kind, way]
    return [*cells, _yuan(row.amount_fen), _yuan(row.balance_fen), row.applicant, row.remark, row.voucher]


def _fund_sums(rows: Sequence[FundRow]) -> list[str]:
    income = [row.amount_fen for row in rows if row.income]
    spent = [row.amount_fen for row in rows if not row.income]
    counted = [str(len(rows)), str(len(income)), _yuan(sum(income))]
    return [*counted, str(len(spent)), _yuan(sum(spent))]


def _file(head: str, rows: Iterable[Sequence[str]], sums_head: str, sums: Sequence[str]) -> bytes:
    lines = [head, *map(_line, rows), sums_head, _line(sums)]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8-sig", "replace")


def _line(cells: Sequence[str]) -> str:
    return ",".join("`" + cell.translate(_ESCAPES) for cell in cells)


_ESCAPES: Final[dict[int, str]] = {
    **dict.fromkeys([*range(0x20), 0x7F, *range(0x80, 0xA0), 0x2028, 0x2029], " "),
    ord("\r"): "\\r",
    ord("\n"): "\\n",
    ord(","): "\\ ",
    ord("\\"): "\\\\",
    ord('"'): '\\"',
    ord("`"): "\\`",
}
"""What may not stand in a cell as it is -> what stands there.

Source: pay.weixin.qq.com merchant documentation 4013071246 and 4013071249, escaping of special characters
(CR, LF, the comma, 0x01); a quotation mark as in published files
Assumed: the backslash and the backtick get a backslash, other control characters become spaces, and the rule
holds for every cell, not for the merchant's own alone.
"""

_CHINA: Final = timedelta(hours=8)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _time(at_ms: int) -> str:
    """A time as bills write it: 2026-01-02 03:04:05, in China, whatever the machine's own zone."""
    return (_EPOCH + timedelta(milliseconds=at_ms) + _CHINA).strftime("%Y-%m-%d %H:%M:%S")


def _yuan(fen: int) -> str:
    whole, cents = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{whole}.{cents:02d}"


def _fee(fen: int) -> str:
    return f"{_yuan(fen)}000"
