"""Bills by the wire: asked for, downloaded, read by a reader of our own, and held against the ledger."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import random
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from counts import count
from wechat_counter import Counter, content, said

from paysim import Fault, Sandbox, Verb, VirtualClock
from paysim.operators.wechat.merchants import Settings

DAY_MS = 86_400_000
CHINA = timezone(timedelta(hours=8))
TRADES, MONEY = "/v3/bill/tradebill", "/v3/bill/fundflowbill"


# --- how a merchant reads a bill --------------------------------------------------------------------------


class Bill(NamedTuple):
    """A bill taken apart: its rows and its sums, each by the Chinese name of the column."""

    rows: list[dict[str, str]]
    sums: dict[str, str]


def read(data: bytes) -> Bill:
    """By csv and the documented format alone."""
    lines = list(csv.reader(data.decode("utf-8-sig").split("\r\n")[:-1]))
    assert len(lines) >= 3
    head, *rows, sums_head, sums = lines
    assert all(cell.startswith("`") for row in [*rows, sums] for cell in row)
    assert not any(cell.startswith("`") for cell in [*head, *sums_head])
    taken = [{name: cell[1:] for name, cell in zip(head, row, strict=True)} for row in rows]
    return Bill(taken, {name: cell[1:] for name, cell in zip(sums_head, sums, strict=True)})


def fen(yuan: str) -> int:
    scaled = Decimal(yuan) * 100
    assert scaled == int(scaled), f"{yuan} is no whole number of fen"
    return int(scaled)


def today(counter: Counter) -> date:
    return datetime.fromtimestamp(counter.sandbox.clock.now_ms() // 1000, UTC).astimezone(CHINA).date()


def move_to(counter: Counter, day: date, hour: float) -> None:
    """On to an hour of a day in China."""
    then_s = datetime(day.year, day.month, day.day, tzinfo=CHINA).timestamp() + hour * 3600
    counter.sandbox.advance(seconds=then_s - counter.sandbox.clock.now_ms() / 1000)


def asked(kind: str, day: date, **more: str) -> str:
    return f"{kind}?{urlencode({'bill_date': day.isoformat(), **more})}"


def token_target(counter: Counter, kind: str, day: date, **more: str) -> str:
    """Where a bill can be had, as its merchant is told."""
    url = urlsplit(content(counter.send("GET", asked(kind, day, **more)))["download_url"])
    return f"{url.path}?{url.query}"


def downloaded(counter: Counter, kind: str, day: date, **more: str) -> bytes:
    """A bill that was announced, with the SHA-1 that was announced."""
    announced = content(counter.send("GET", asked(kind, day, **more)))
    assert set(announced) == {"hash_type", "hash_value", "download_url"}
    assert announced["hash_type"] == "SHA1"
    url = urlsplit(announced["download_url"])
    assert (url.scheme, url.netloc) == ("https", "api.mch.weixin.qq.com")
    answer = counter.send("GET", f"{url.path}?{url.query}")
    assert answer.response.status == 200
    assert not [name for name, _ in answer.response.headers if name.lower().startswith("wechatpay")]
    body = answer.response.body
    plain = gzip.decompress(body) if more.get("tar_type") else body
    assert hashlib.sha1(plain).hexdigest() == announced["hash_value"]
    return plain


def bill(counter: Counter, kind: str, day: date, **more: str) -> Bill | None:
    """A day's bill, None where there is none."""
    if said(counter.send("GET", asked(kind, day, **more))) == (400, "NO_STATEMENT_EXIST"):
        return None
    return read(downloaded(counter, kind, day, **more))


def bills(counter: Counter, kind: str, first: date, **more: str) -> list[Bill]:
    """Every day's bill from a day until yesterday."""
    days = (first + timedelta(days=n) for n in range((today(counter) - first).days))
    return [found for found in (bill(counter, kind, day, **more) for day in days) if found is not None]


def balance(counter: Counter, *accounts: str) -> int:
    found = counter.sandbox.balances()
    return sum(found.get(account, {}).get("CNY", 0) for account in accounts)


def takings(counter: Counter) -> int:
    return balance(counter, *(f"merchant/{counter.shop.id}/{part}" for part in ("pending", "available")))


def fees(found: list[Bill]) -> int:
    return sum(fen(row["手续费"]) for one in found for row in one.rows)


# --- one order --------------------------------------------------------------------------------------------


def test_a_payment_stands_on_both_bills() -> None:
    counter = Counter()
    day = today(counter)
    order = counter.paid(
        "jsapi", attach="a,b`c", scene_info={"payer_client_ip": "1.2.3.4", "device_id": "D1"}
    )
    move_to(counter, day + timedelta(days=1), 10)
    trades, money = bill(counter, TRADES, day), bill(counter, MONEY, day)
    assert trades is not None
    assert money is not None
    (row,) = trades.rows
    assert row == {
        "交易时间": "2026-01-01 08:00:00",
        "公众账号ID": counter.appid,
        "商户号": counter.mchid,
        "特约商户号": "0",
        "设备号": "D1",
        "微信订单号": order["transaction_id"],
        "商户订单号": order["out_trade_no"],
        "用户标识": counter.openid(),
        "交易类型": "JSAPI",
        "交易状态": "SUCCESS",
        "付款银行": "OTHERS",
        "货币种类": "CNY",
        "应结订单金额": "12.80",
        "代金券金额": "0.00",
        "微信退款单号": "0",
        "商户退款单号": "0",
        "退款金额": "0.00",
        "充值券退款金额": "0.00",
        "退款类型": "",
        "退款状态": "",
        "商品名称": "Longjing",
        "商户数据包": "a\\ b\\`c",
        "手续费": "0.08000",
        "费率": "0.60%",
        "订单金额": "12.80",
        "申请退款金额": "0.00",
        "费率备注": "",
    }
    assert trades.sums == {
        "总交易单数": "1",
        "应结订单总金额": "12.80",
        "退款总金额": "0.00",
        "充值券退款总金额": "0.00",
        "手续费总金额": "0.08000",
        "订单总金额": "12.80",
        "申请退款总金额": "0.00",
    }
    assert [
        (row["业务类型"], row["收支类型"], row["收支金额(元)"], row["账户结余(元)"]) for row in money.rows
    ] == [("交易", "收入", "12.80", "12.80")]
    assert money.rows[0]["微信支付业务单号"] == order["transaction_id"]


@pytest.mark.parametrize(("trade_type", "named"), [("app", "APP"), ("h5", "MWEB"), ("native", "NATIVE")])
def test_a_trade_type_is_spelt_as_in_queries(trade_type: str, named: str) -> None:
    counter = Counter()
    day = today(counter)
    assert counter.paid(trade_type)["trade_type"] == named
    move_to(counter, day + timedelta(days=1), 10)
    assert [row["交易类型"] for one in bills(counter, TRADES, day) for row in one.rows] == [named]


def test_orders_without_money_are_on_no_bill() -> None:
    counter = Counter()
    day = today(counter)
    counter.prepay(number="T-UNPAID")
    counter.prepay(number="T-CLOSED")
    counter.close("T-CLOSED")
    move_to(counter, day + timedelta(days=1), 10)
    assert bills(counter, TRADES, day) == bills(counter, MONEY, day) == []


def test_a_day_is_a_day_in_china() -> None:
    counter = Counter()
    day = today(counter)
    move_to(counter, day, 23.999)
    counter.paid(number="T-LATE01")
    move_to(counter, day + timedelta(days=1), 0)
    counter.paid(number="T-EARLY1")
    move_to(counter, day + timedelta(days=2), 10)
    numbers = [[row["商户订单号"] for row in one.rows] for one in bills(counter, TRADES, day)]
    assert numbers == [["T-LATE01"], ["T-EARLY1"]]


# --- refunds and fees -------------------------------------------------------------------------------------

REFUNDS = [
    # (refunds before settlement, refunds after, fee on the trade bill, fees account)
    ([], [], 8),
    ([1280], [], 0),
    ([640], [], 4),
    ([640, 640], [], 0),
    ([1], [], 8),
    ([200], [], 6),
    ([], [640], 8),
    ([640], [100], 4),
]


@pytest.mark.parametrize(("before", "after", "fee"), REFUNDS)
def test_the_fees_of_the_bills_are_the_fees_account(before: list[int], after: list[int], fee: int) -> None:
    counter = Counter()
    day = today(counter)
    counter.paid()
    counter.paid(number="T-FUNDS1")  # so that there is money for a refund after settlement
    for number, minor in enumerate(before):
        assert said(counter.refund(minor, f"R-B{number}"))[0] == 200
    move_to(counter, day + timedelta(days=1), 12)
    for number, minor in enumerate(after):
        assert said(counter.refund(minor, f"R-A{number}"))[0] == 200
    move_to(counter, day + timedelta(days=3), 10)
    found = bills(counter, TRADES, day)
    assert fees(found) - 8 == fee
    assert fees(found) == balance(counter, "fees")
    refunds = [row for one in found for row in one.rows if row["交易状态"] == "REFUND"]
    assert sorted(fen(row["申请退款金额"]) for row in refunds) == sorted(before + after)
    assert {row["退款状态"] for row in refunds} <= {"SUCCESS"}
    assert {row["订单金额"] for row in refunds} <= {"0.00"}
    money = bills(counter, MONEY, day)
    assert fen(money[-1].rows[-1]["账户结余(元)"]) == takings(counter)


def test_a_bill_says_what_the_books_said_when_it_was_made() -> None:
    """A refund under way at ten the next morning stays PROCESSING on that day's bill."""
    counter = Counter()
    counter.wechat.settings = Settings(refund_ms=2 * DAY_MS)
    day = today(counter)
    counter.paid()
    counter.refund(640)
    move_to(counter, day + timedelta(days=1), 10)
    target = token_target(counter, TRADES, day)
    first = counter.send("GET", target).response.body
    assert [row["退款状态"] for row in read(first).rows] == ["", "PROCESSING"]
    move_to(counter, day + timedelta(days=5), 10)
    assert content(counter.send("GET", "/v3/refund/domestic/refunds/R-1"))["status"] == "SUCCESS"
    assert downloaded(counter, TRADES, day) == first


# How a refund of 640 ends, and what it is resolved to the next noon, after settlement (at midnight)
# -> the refund's state on the trade bill of the day, the fee there, and the money bills' rows after the
# payment's, each with what it moved.
FAILED: list[tuple[str, str, str, int, list[tuple[str, int]]]] = [
    ("abnormal", "", "CHANGE", 4, [("退款", -640), ("扣除交易手续费", -4)]),
    ("abnormal", "SUCCESS", "CHANGE", 4, [("退款", -640), ("扣除交易手续费", -4)]),
    ("abnormal", "CLOSED", "CHANGE", 4, [("退款", -640), ("扣除交易手续费", -4), ("退款关闭", 640)]),
    ("closed", "", "FAIL", 8, [("退款", -640), ("退款关闭", 640), ("扣除交易手续费", -8)]),
]


@pytest.mark.parametrize(("action", "resolved", "state", "fee", "moves"), FAILED)
def test_a_refund_that_fails_is_on_the_bills(
    action: str, resolved: str, state: str, fee: int, moves: list[tuple[str, int]]
) -> None:
    counter = Counter()
    day = today(counter)
    order = counter.paid()
    counter.sandbox.faults.add(Fault("refund", action))
    refund = content(counter.refund(640))
    move_to(counter, day + timedelta(days=1), 12)
    if resolved:
        (book,) = counter.sandbox.orders()
        counter.wechat.refunds.end(f"{book.id}:R-1", resolved)
    move_to(counter, day + timedelta(days=2), 10)
    trades = bills(counter, TRADES, day)
    (row,) = (row for one in trades for row in one.rows if row["交易状态"] == "REFUND")
    assert (row["退款状态"], row["微信退款单号"], row["退款金额"]) == (state, refund["refund_id"], "6.40")
    assert fees(trades) == balance(counter, "fees") == fee
    for one in trades:
        trades_add_up(one)
    money = bills(counter, MONEY, day)
    money_adds_up(money, takings(counter))
    paid, *rest = (row for one in money for row in one.rows)
    assert paid["微信支付业务单号"] == order["transaction_id"]
    found = [
        (row["业务类型"], fen(row["收支金额(元)"]) * (1 if row["收支类型"] == "收入" else -1)) for row in rest
    ]
    assert found == moves
    backs = {row["微信支付业务单号"] for row in rest if row["业务名称"] == "退款"}
    assert backs == {refund["refund_id"]}
    (successful,) = (row for one in bills(counter, TRADES, day, bill_type="REFUND") for row in one.rows)
    assert successful["退款成功时间"] == ""


def test_parts_of_the_trade_bill() -> None:
    counter = Counter()
    day = today(counter)
    counter.paid()
    counter.paid(number="T-000002")
    counter.refund(640)
    move_to(counter, day + timedelta(days=1), 10)
    every, paid, refunded = (
        bill(counter, TRADES, day, bill_type=part) for part in ("ALL", "SUCCESS", "REFUND")
    )
    assert every is not None
    assert paid is not None
    assert refunded is not None
    assert [row["交易状态"] for row in paid.rows] == ["SUCCESS", "SUCCESS"]
    assert [row["退款成功时间"] for row in refunded.rows] == ["2026-01-01 08:00:00"]
    assert [row["退款申请时间"] for row in refunded.rows] == ["2026-01-01 08:00:00"]
    assert len(every.rows) == 3
    assert fees([paid, refunded]) == fees([every])


def test_accounts_that_never_move_have_no_money_bill() -> None:
    counter = Counter()
    day = today(counter)
    counter.paid()
    move_to(counter, day + timedelta(days=1), 10)
    assert bill(counter, MONEY, day, account_type="BASIC") is not None
    assert bill(counter, MONEY, day, account_type="OPERATION") is None
    assert bill(counter, MONEY, day, account_type="FEES") is None


@pytest.mark.parametrize("walk", range(count(40)))
def test_bills_and_ledger_agree_after_any_days(walk: int) -> None:
    """Two merchants, a week of orders, and refunds that end in any way, drawn by lot; the books judge."""
    lot = random.Random(walk)
    here = Counter()
    both = [here, here.neighbour()]
    here.wechat.settings = Settings(refund_ms=lot.choice([0, 1000, DAY_MS // 2, 2 * DAY_MS]))
    first = today(here)
    paid: list[tuple[Counter, str, int]] = []
    for step in range(lot.randrange(8, 30)):
        counter = lot.choice(both)
        if paid and lot.random() < 0.4:
            counter, number, total = lot.choice(paid)
            amount = {"refund": lot.randrange(1, total + 1), "total": total, "currency": "CNY"}
            here.sandbox.faults.clear()
            if action := lot.choice(["", "", "abnormal", "closed"]):
                here.sandbox.faults.add(Fault("refund", action))
            status, code = said(counter.refund(refund=f"R-{step}", number=number, amount=amount))
            assert status == 200 or code in ("NOT_ENOUGH", "INVALID_REQUEST")
        else:
            number, total = f"T-{step:06d}", lot.choice([1, 83, 84, 99, lot.randrange(1, 20_000)])
            counter.paid(lot.choice(["jsapi", "app", "native"]), number, amount={"total": total})
            paid.append((counter, number, total))
        if lot.random() < 0.5:
            here.sandbox.advance(hours=lot.randrange(0, 30))
        waiting = open_refunds(here)
        if waiting and lot.random() < 0.4:
            here.wechat.refunds.end(lot.choice(waiting), lot.choice(["SUCCESS", "CLOSED"]))
    move_to(here, today(here) + timedelta(days=4), 10)
    kept = {"way": balance(here, "refund/suspense"), "apart": balance(here, "refund/abnormal")}
    assert (sum(kept.values()) > 0) == bool(open_refunds(here)), kept
    found = {counter.mchid: bills(counter, TRADES, first) for counter in both}
    assert fees(found[both[0].mchid] + found[both[1].mchid]) == balance(here, "fees")
    for counter in both:
        for one in found[counter.mchid]:
            trades_add_up(one)
        money_adds_up(bills(counter, MONEY, first), takings(counter))


def open_refunds(counter: Counter) -> list[str]:
    """The ids of the refunds that are PROCESSING or ABNORMAL."""
    operations = (one for order in counter.sandbox.orders() for one in order.book.operations)
    return [one.id for one in operations if one.verb is Verb.REFUND and one.open]


def trades_add_up(one: Bill) -> None:
    def column(name: str) -> int:
        return sum(fen(row[name]) for row in one.rows)

    assert one.sums["总交易单数"] == str(len(one.rows))
    assert fen(one.sums["应结订单总金额"]) == column("应结订单金额")
    assert fen(one.sums["退款总金额"]) == column("退款金额")
    assert fen(one.sums["手续费总金额"]) == column("手续费")
    assert fen(one.sums["订单总金额"]) == column("订单金额")
    assert fen(one.sums["申请退款总金额"]) == column("申请退款金额")


def money_adds_up(found: list[Bill], owned: int) -> None:
    left, flows = 0, []
    for one in found:
        for row in one.rows:
            left += fen(row["收支金额(元)"]) * (1 if row["收支类型"] == "收入" else -1)
            assert fen(row["账户结余(元)"]) == left
            assert left >= 0
            flows.append(row["资金流水单号"])
        assert one.sums["资金流水总笔数"] == str(len(one.rows))
        gained = [row for row in one.rows if row["收支类型"] == "收入"]
        assert one.sums["收入笔数"] == str(len(gained))
        assert fen(one.sums["收入金额"]) == sum(fen(row["收支金额(元)"]) for row in gained)
        assert int(one.sums["支出笔数"]) == len(one.rows) - len(gained)
    assert left == owned
    assert len(set(flows)) == len(flows), "a flow number comes twice"


# --- when, and who ----------------------------------------------------------------------------------------


def at(counter: Counter, kind: str, day: date, **more: str) -> tuple[int, str]:
    return said(counter.send("GET", asked(kind, day, **more)))


@pytest.mark.parametrize("kind", [TRADES, MONEY])
def test_when_a_bill_is_ready(kind: str) -> None:
    counter = Counter()
    day = today(counter)
    counter.paid()
    assert at(counter, kind, day) == (400, "PARAM_ERROR"), "today"
    assert at(counter, kind, day + timedelta(days=1)) == (400, "PARAM_ERROR"), "tomorrow"
    move_to(counter, day + timedelta(days=1), 0)
    assert at(counter, kind, day) == (400, "STATEMENT_CREATING")
    move_to(counter, day + timedelta(days=1), 10 - 1 / 3600)
    assert at(counter, kind, day) == (400, "STATEMENT_CREATING")
    assert at(counter, kind, day - timedelta(days=1)) == (400, "NO_STATEMENT_EXIST")
    move_to(counter, day + timedelta(days=1), 10)
    assert at(counter, kind, day) == (200, "")
    assert at(counter, kind, day - timedelta(days=1)) == (400, "NO_STATEMENT_EXIST")


def test_another_hour_for_bills() -> None:
    counter = Counter()
    counter.wechat.settings = Settings(bill_hour=9)
    day = today(counter)
    counter.paid()
    move_to(counter, day + timedelta(days=1), 9)
    assert at(counter, TRADES, day) == (200, "")


# Today in China -> the oldest day that has a bill.
OLDEST = [
    ("2026-04-15", "2026-01-15"),
    ("2026-05-31", "2026-02-28"),
    ("2026-03-01", "2025-12-01"),
    ("2026-01-31", "2025-10-31"),
    ("2028-05-30", "2028-02-29"),
]


@pytest.mark.parametrize("kind", [TRADES, MONEY])
@pytest.mark.parametrize(("now", "oldest"), OLDEST)
def test_bills_are_kept_for_three_months(now: str, oldest: str, kind: str) -> None:
    noon = datetime.fromisoformat(f"{now}T12:00:00+08:00")
    counter = Counter(sandbox=Sandbox(clock=VirtualClock(int(noon.timestamp() * 1000))))
    last = date.fromisoformat(oldest)
    assert at(counter, kind, last) == (400, "NO_STATEMENT_EXIST")
    answer = counter.send("GET", asked(kind, last - timedelta(days=1)))
    detail = content(answer, 400)["detail"]
    assert (detail["field"], detail["location"]) == ("bill_date", "query")


WRONG = [
    ({}, "bill_date"),
    ({"bill_date": ""}, "bill_date"),
    ({"bill_date": "20260101"}, "bill_date"),
    ({"bill_date": "2026-02-30"}, "bill_date"),
    ({"bill_date": "2025-12-31", "tar_type": "ZIP"}, "tar_type"),
    ({"bill_date": "2025-12-31", "sub_mchid": "1900000109"}, "sub_mchid"),
]


@pytest.mark.parametrize("kind", [TRADES, MONEY])
@pytest.mark.parametrize(("query", "field"), WRONG)
def test_what_is_wrong_is_named(query: dict[str, str], field: str, kind: str) -> None:
    answer = Counter().send("GET", f"{kind}?{urlencode(query)}")
    assert content(answer, 400)["code"] == "PARAM_ERROR"
    assert content(answer, 400)["detail"]["field"] == field
    assert content(answer, 400)["detail"]["location"] == "query"


# --- downloading ------------------------------------------------------------------------------------------


def ready(counter: Counter | None = None) -> tuple[Counter, date]:
    """A merchant at ten in the morning, with a bill of yesterday."""
    counter = counter or Counter()
    day = today(counter)
    counter.paid()
    move_to(counter, day + timedelta(days=1), 10)
    return counter, day


@pytest.mark.parametrize("kind", [TRADES, MONEY])
def test_a_packed_bill_is_the_same_bill(kind: str) -> None:
    counter, day = ready()
    target = token_target(counter, kind, day, tar_type="GZIP")
    packed = counter.send("GET", target).response.body
    assert packed[:2] == b"\x1f\x8b"
    assert (
        gzip.decompress(packed)
        == downloaded(counter, kind, day)
        == downloaded(counter, kind, day, tar_type="GZIP")
    )


def test_the_hash_may_be_of_the_packed_file() -> None:
    counter, day = ready()
    counter.wechat.settings = Settings(gzip_hash="file")
    announced = content(counter.send("GET", asked(TRADES, day, tar_type="GZIP")))
    url = urlsplit(announced["download_url"])
    packed = counter.send("GET", f"{url.path}?{url.query}").response.body
    assert hashlib.sha1(packed).hexdigest() == announced["hash_value"]


def test_a_link_goes_to_the_host_that_was_called() -> None:
    counter, day = ready()
    for host, base in (
        ("127.0.0.1:8520", "http://127.0.0.1:8520"),
        ("localhost:8520", "http://localhost:8520"),
        ("api2.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com"),
        ("api.mch.weixin.qq.com:443", "https://api.mch.weixin.qq.com:443"),
    ):
        url = content(counter.send("GET", asked(TRADES, day), headers={"host": host}))["download_url"]
        assert url.startswith(f"{base}/v3/billdownload/file?token="), host


def test_a_link_holds_for_five_minutes() -> None:
    counter, day = ready()
    target = token_target(counter, TRADES, day)
    counter.sandbox.advance(seconds=299)
    assert said_of_file(counter, target) == (200, "")
    assert said_of_file(counter, target) == (200, ""), "a second time"
    counter.sandbox.advance(seconds=1)
    assert said_of_file(counter, target) == (400, "INVALID_REQUEST")


def said_of_file(counter: Counter, target: str) -> tuple[int, str]:
    answer = counter.send("GET", target)
    return (200, "") if answer.response.status == 200 else said(answer)


def test_another_merchant_may_not_download_it() -> None:
    counter, day = ready()
    other = counter.neighbour()
    target = token_target(counter, TRADES, day)
    assert said_of_file(other, target) == (403, "NO_AUTH")
    assert said_of_file(counter, target) == (200, "")
    assert bill(other, TRADES, day) is None, "another's trades"


def test_a_link_does_not_download_unsigned() -> None:
    counter, day = ready()
    request = counter.request("GET", token_target(counter, TRADES, day), headers={"authorization": ""})
    assert said(counter.wechat.receive(request)) == (401, "SIGN_ERROR")


def test_a_token_that_was_changed_is_no_token() -> None:
    counter, day = ready()
    target = token_target(counter, TRADES, day)
    path, _, token = target.partition("?token=")
    (same,) = parse_qs(f"token={token}")["token"]
    assert same == token, "a token needs no escaping"
    for index, letter in enumerate(token):
        for other in {"A", "B", chr(ord(letter) ^ 1) if (chr(ord(letter) ^ 1)).isalnum() else "C"} - {letter}:
            changed = token[:index] + other + token[index + 1 :]
            assert said_of_file(counter, f"{path}?token={changed}") == (400, "PARAM_ERROR"), index


TOKENS = ["x", "=", "%00", "%ff", "A" * 43, "A" * 5000, "%E4%B8%AD", "..%2F..%2Fetc", "%F0%9F%8D%B5"]


@pytest.mark.parametrize("token", TOKENS)
def test_what_is_no_token(token: str) -> None:
    counter, _ = ready()
    answer = counter.send("GET", f"/v3/billdownload/file?token={token}")
    assert content(answer, 400)["code"] == "PARAM_ERROR"
    assert content(answer, 400)["detail"]["field"] == "token"


@pytest.mark.parametrize("change", ["padding", "plus", "space", "twice"])
def test_a_token_has_one_spelling(change: str) -> None:
    counter, day = ready()
    path, _, token = token_target(counter, TRADES, day).partition("?token=")
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    spelt = {
        "padding": token + "=" * (-len(token) % 4 or 4),
        "plus": base64.b64encode(raw).decode().rstrip("=") + "%2B",
        "space": token + "%20",
        "twice": token + token,
    }[change]
    assert said_of_file(counter, f"{path}?token={spelt}") == (400, "PARAM_ERROR")


def test_a_token_of_another_sandbox_is_none() -> None:
    counter, day = ready()
    target = token_target(counter, TRADES, day)
    counter.wechat.secrets.token_secret = lambda: b"another secret"  # type: ignore[method-assign]
    assert said_of_file(counter, target) == (400, "PARAM_ERROR")
