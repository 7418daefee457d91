"""Bills against a real file's hash, the csv module, and sums made another way."""

from __future__ import annotations

import csv
import gzip
import io
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.core.errors import UsageError
from paysim.operators.wechat import bills
from paysim.operators.wechat.bills import FundRow, TradeRow, fund_bill, gzipped, hash_value, trade_bill

CHINA = timezone(timedelta(hours=8))


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp() * 1000)


def payment(**more: Any) -> TradeRow:
    given = {
        "at_ms": ms("2026-03-01 10:20:30"),
        "appid": "wx8888888888888888",
        "mchid": "1900000109",
        "transaction_id": "4200000001202603010000000001",
        "out_trade_no": "T-1001",
        "openid": "oUpF8uMuAJO",
        "trade_type": "JSAPI",
        "description": "Oolong",
        "total_fen": 1280,
        "fee_fen": 8,
    }
    return TradeRow(**(given | more))


def refund(**more: Any) -> TradeRow:
    given = {
        "state": "REFUND",
        "total_fen": 0,
        "refund_id": "50300000012026030100000001",
        "out_refund_no": "R-1",
        "refund_fen": 280,
        "fee_fen": -2,
        "refund_type": "ORIGINAL",
        "refund_state": "SUCCESS",
    }
    return payment(**(given | more))


def flow(**more: Any) -> FundRow:
    given = {
        "at_ms": ms("2026-03-02 00:30:00"),
        "business_no": "4200000001202603010000000001",
        "flow_no": "F1",
        "kind": "payment",
        "income": True,
        "amount_fen": 1280,
        "balance_fen": 1280,
        "voucher": "T-1001",
    }
    return FundRow(**(given | more))


def read(bill: bytes) -> tuple[list[dict[str, str]], dict[str, str]]:
    """The rows and the sums of a bill, by the csv module; nothing of bills.py is used."""
    lines = list(csv.reader(io.StringIO(bill.decode("utf-8-sig"), newline="")))
    assert all(cell[0] == "`" for line in [*lines[1:-2], lines[-1]] for cell in line)
    bare = [[cell.removeprefix("`") for cell in line] for line in lines]
    assert {len(line) for line in bare[1:-2]} <= {len(bare[0])}
    sums = dict(zip(bare[-2], bare[-1], strict=True))
    return [dict(zip(bare[0], line, strict=True)) for line in bare[1:-2]], sums


def unescaped(cell: str) -> str:
    """What a cell meant: the escapes of the documentation, backwards."""
    signs = {" ": ",", "n": "\n", "r": "\r"}
    return re.sub(r"\\(.)", lambda found: signs.get(found[1], found[1]), cell)


# A bill of 2021 that the real service gave, and the hash_value it named for it: three payments of one fen.
# Origin: gunsluo/wechatpay-go, tradebill_test.go and helper_test.go; values only.
REAL = [
    ("2021-01-28 17:07:11", "4200000925202101284997714292", "S20210128170702357723"),
    ("2021-01-28 15:35:18", "4200000910202101282955148400", "S20210128153505214586"),
    ("2021-01-28 16:59:46", "4200000926202101281412639609", "S20210128165824499930"),
]
REAL_HASH = "dcd7ceb3d382a1181798368bb15d8437de46c00f"


def test_a_bill_has_the_bytes_that_the_real_service_gave() -> None:
    rows = [
        TradeRow(
            at_ms=ms(at),
            appid="wx81be3101902f7cb2",
            mchid="1601959334",
            transaction_id=transaction_id,
            out_trade_no=number,
            openid="ofyak5qR_1wYsC99CsWA6R9MJazA",
            trade_type="NATIVE",
            description="for testing",
            attach="cipher code",
            rate="1.00%",
            total_fen=1,
        )
        for at, transaction_id, number in REAL
    ]
    assert hash_value(trade_bill(rows)) == REAL_HASH


HEADS = {
    "ALL": "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,"
    "退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注",
    "SUCCESS": "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,"
    "交易状态,付款银行,货币种类,应结订单金额,代金券金额,商品名称,商户数据包,手续费,费率,订单金额,费率备注",
    "REFUND": "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,应结订单金额,代金券金额,退款申请时间,退款成功时间,微信退款单号,商户退款单号,退款金额,"
    "充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注",
}
SUMS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
FUND_HEAD = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),"
    "资金变更提交申请人,备注,业务凭证号"
)
FUND_SUMS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


@pytest.mark.parametrize("bill_type", HEADS)
def test_headers_are_the_documented_ones(bill_type: str) -> None:
    lines = trade_bill([payment(), refund()], bill_type).decode("utf-8-sig").split("\r\n")
    assert (lines[0], lines[-3], lines[-1]) == (HEADS[bill_type], SUMS, "")


def test_a_bill_without_rows_is_headers_and_zeros() -> None:
    assert trade_bill([]).decode("utf-8-sig") == (
        f"{HEADS['ALL']}\r\n{SUMS}\r\n`0,`0.00,`0.00,`0.00,`0.00000,`0.00,`0.00\r\n"
    )
    assert fund_bill([]).decode("utf-8-sig") == f"{FUND_HEAD}\r\n{FUND_SUMS}\r\n`0,`0,`0.00,`0,`0.00\r\n"


def test_a_payment_and_its_refund() -> None:
    bill = trade_bill([payment(coupon_fen=80, device="desk 3", attach="a=1"), refund()])
    (paid, back), sums = read(bill)
    assert list(paid.values()) == [
        *("2026-03-01 10:20:30", "wx8888888888888888", "1900000109", "0", "desk 3"),
        *("4200000001202603010000000001", "T-1001", "oUpF8uMuAJO", "JSAPI", "SUCCESS", "OTHERS", "CNY"),
        *("12.00", "0.80", "0", "0", "0.00", "0.00", "", "", "Oolong", "a=1", "0.08000", "0.60%"),
        *("12.80", "0.00", ""),
    ]
    wanted = {
        "交易状态": "REFUND",
        "微信订单号": "4200000001202603010000000001",
        "应结订单金额": "0.00",
        "微信退款单号": "50300000012026030100000001",
        "商户退款单号": "R-1",
        "退款金额": "2.80",
        "退款类型": "ORIGINAL",
        "退款状态": "SUCCESS",
        "手续费": "-0.02000",
        "订单金额": "0.00",
        "申请退款金额": "2.80",
    }
    assert {name: back[name] for name in wanted} == wanted
    assert list(sums.values()) == ["2", "12.00", "2.80", "0.00", "0.06000", "12.80", "2.80"]


def test_the_kinds_of_bill_hold_their_rows() -> None:
    rows = [payment(), refund(), payment(state="REVOKED", total_fen=0, fee_fen=0)]
    states = {kind: [row["交易状态"] for row in read(trade_bill(rows, kind))[0]] for kind in HEADS}
    assert states == {
        "ALL": ["SUCCESS", "REFUND", "REVOKED"],
        "SUCCESS": ["SUCCESS"],
        "REFUND": ["REFUND"],
    }


def test_a_refund_bill_says_when_it_was_asked_and_when_it_arrived() -> None:
    done = refund(at_ms=ms("2026-03-01 10:20:30"), refunded_ms=ms("2026-03-01 10:20:33"))
    (arrived, open_), _ = read(trade_bill([done, refund(refund_state="PROCESSING")], "REFUND"))
    assert (arrived["退款申请时间"], arrived["退款成功时间"]) == (
        "2026-03-01 10:20:30",
        "2026-03-01 10:20:33",
    )
    assert (open_["退款成功时间"], open_["退款状态"]) == ("", "PROCESSING")


def test_a_money_bill() -> None:
    rows = [
        flow(),
        flow(flow_no="F2", kind="fee", income=False, amount_fen=8, balance_fen=1272),
        flow(flow_no="F3", kind="refund", income=False, amount_fen=278, balance_fen=994, remark="缺货"),
        flow(flow_no="F4", account="FEES"),
    ]
    lines, sums = read(fund_bill(rows))
    assert list(lines[2].values()) == [
        *(
            "2026-03-02 00:30:00",
            "4200000001202603010000000001",
            "F3",
            "退款",
            "退款",
            "支出",
            "2.78",
            "9.94",
        ),
        *("system", "缺货", "T-1001"),
    ]
    assert [(row["业务名称"], row["业务类型"], row["收支类型"]) for row in lines] == [
        ("交易", "交易", "收入"),
        ("交易", "扣除交易手续费", "支出"),
        ("退款", "退款", "支出"),
    ]
    assert list(sums.values()) == ["3", "1", "12.80", "2", "2.86"]
    assert [row["资金流水单号"] for row in read(fund_bill(rows, "FEES"))[0]] == ["F4"]


ESCAPED = [
    ("tea, hot", "tea\\  hot"),
    ("a\r\nb", "a\\r\\nb"),
    ('say "hi"', 'say \\"hi\\"'),
    ("back\\slash", "back\\\\slash"),
    ("tick`tick", "tick\\`tick"),
    ("bell\x07\x01\x85\u2028", "bell    "),
    ("\ud800", "?"),
    ("=1+1", "=1+1"),
]


@pytest.mark.parametrize(("text", "cell"), ESCAPED)
def test_free_text_stays_in_its_cell(text: str, cell: str) -> None:
    rows, _ = read(trade_bill([payment(description=text, attach=text, device=text)]))
    assert (rows[0]["商品名称"], rows[0]["商户数据包"], rows[0]["设备号"]) == (cell, cell, cell)
    lines, _ = read(fund_bill([flow(remark=text, voucher=text)]))
    assert (lines[0]["备注"], lines[0]["业务凭证号"]) == (cell, cell)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.sampled_from(',"`\\\r\n'))


@given(TEXT, TEXT)
@settings(max_examples=count(500), deadline=None)
def test_free_text_can_be_read_back(description: str, attach: str) -> None:
    bill = trade_bill([payment(description=description, attach=attach)])
    assert len(bill.decode("utf-8-sig").splitlines()) == 4, "a parser that cuts at any line end sees the same"
    rows, _ = read(bill)
    assert unescaped(rows[0]["商品名称"]) == description
    assert unescaped(rows[0]["商户数据包"]) == attach


AMOUNT = st.integers(0, 10**12)
PAYMENTS = st.builds(
    lambda total, part, fee: payment(total_fen=total, coupon_fen=total * part // 100, fee_fen=fee),
    AMOUNT,
    st.integers(0, 100),
    AMOUNT,
)
REFUNDS = st.builds(
    lambda amount, part, fee: refund(refund_fen=amount, coupon_refund_fen=amount * part // 100, fee_fen=-fee),
    AMOUNT,
    st.integers(0, 100),
    AMOUNT,
)
TOTALS = {
    "应结订单总金额": "应结订单金额",
    "退款总金额": "退款金额",
    "充值券退款总金额": "充值券退款金额",
    "手续费总金额": "手续费",
    "订单总金额": "订单金额",
    "申请退款总金额": "申请退款金额",
}


@given(st.lists(PAYMENTS | REFUNDS, max_size=8))
@settings(max_examples=count(300), deadline=None)
def test_the_sums_are_the_sums_of_the_columns(rows: list[TradeRow]) -> None:
    lines, sums = read(trade_bill(rows))
    assert sums["总交易单数"] == str(len(rows)) == str(len(lines))
    for total, column in TOTALS.items():
        assert Decimal(sums[total]) == sum((Decimal(line[column]) for line in lines), Decimal(0)), total
    assert Decimal(sums["订单总金额"]) * 100 == sum(row.total_fen for row in rows if row.state == "SUCCESS")
    for line in lines:
        assert Decimal(line["订单金额"]) == Decimal(line["应结订单金额"]) + Decimal(line["代金券金额"])
        assert Decimal(line["申请退款金额"]) == Decimal(line["退款金额"]) + Decimal(line["充值券退款金额"])


@given(st.lists(st.builds(lambda a, i: flow(amount_fen=a, income=i), AMOUNT, st.booleans()), max_size=8))
@settings(max_examples=count(300), deadline=None)
def test_income_and_spending_add_up(rows: list[FundRow]) -> None:
    lines, sums = read(fund_bill(rows))
    for way, number, total in (("收入", "收入笔数", "收入金额"), ("支出", "支出笔数", "支出金额")):
        amounts = [Decimal(line["收支金额(元)"]) for line in lines if line["收支类型"] == way]
        assert (sums[number], Decimal(sums[total])) == (str(len(amounts)), sum(amounts, Decimal(0)))


YUAN = [
    (0, "0.00"),
    (1, "0.01"),
    (99, "0.99"),
    (100, "1.00"),
    (-1, "-0.01"),
    (-100, "-1.00"),
    (10**13, "1" + "0" * 11 + ".00"),
]


@pytest.mark.parametrize(("fen", "text"), YUAN)
def test_yuan(fen: int, text: str) -> None:
    lines, _ = read(fund_bill([flow(balance_fen=fen)]))
    assert lines[0]["账户结余(元)"] == text


def test_times_are_china_s() -> None:
    lines, _ = read(fund_bill([flow(at_ms=0), flow(at_ms=ms("2026-02-28 23:59:59") + 999)]))
    assert [line["记账时间"] for line in lines] == ["1970-01-01 08:00:00", "2026-02-28 23:59:59"]


def test_compression_is_the_same_on_any_day() -> None:
    bill = trade_bill([payment()] * 50)
    packed = gzipped(bill)
    assert gzip.decompress(packed) == bill
    assert (packed[:10], packed == gzipped(bill)) == (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff", True)
    assert len(packed) < len(bill) // 5
    assert hash_value(b"abc") == "a9993e364706816aba3e25717850c26c9cd0d89d"


REFUSED: list[dict[str, Any]] = [
    {"state": "NOTPAY"},
    {"refund_state": "CLOSED"},
    {"coupon_fen": 1281},
    {"coupon_fen": -1},
    {"refund_fen": 5},
    {"state": "REFUND", "coupon_refund_fen": 1},
]


@pytest.mark.parametrize("more", REFUSED)
def test_rows_that_mean_nothing_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        payment(**more)


@pytest.mark.parametrize("more", [{"kind": "tip"}, {"account": "basic"}, {"amount_fen": -1}])
def test_movements_that_mean_nothing_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        flow(**more)


def test_unknown_kinds_of_bill_are_refused() -> None:
    with pytest.raises(UsageError, match="RECHARGE_REFUND"):
        trade_bill([], "RECHARGE_REFUND")
    with pytest.raises(UsageError, match="Basic"):
        fund_bill([], "Basic")
    assert set(bills.BILL_TYPES) == set(HEADS)
