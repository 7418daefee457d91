"""A shop that sells by an unmodified wechatpayv3, in each of the four ways in which that can be set up.

`Shop` has the same calls whether its SDK is the sync or the async one, in certificate or in public-key mode.
`life` takes one order from its making to its refund, and `bills` fetches a day's bills; both give what the
SDK saw, as JSON, for `check_life` and `check_bills`. They look at the sandbox only from outside. Run as a
program under `paysim run`, it prints all of that with nothing told to it but its environment:

    paysim run --clock virtual -- python tests/wechat_shop.py sync certificate
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import io
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import requests
import wechatpayv3
import wechatpayv3.async_
from shop_front import ShopFront

from paysim.servers.client import Client, found

MANNERS = ("sync", "async")
KEY_MODES = ("certificate", "public_key")
TOTAL, BACK = 1280, 280
H5_REFERER = "https://shop.example/cart"
_H5 = {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}
_DAY_MS, _ZONE_MS, _TEN_MS = 86_400_000, 8 * 3_600_000, 10 * 3_600_000


class Trade(NamedTuple):
    """A trade type: `kind` in the SDK, what the order gives, how the payer opens it, how a query tells it."""

    name: str
    kind: str
    gives: str
    opened: str
    told: str


TRADES = (
    Trade("jsapi", "JSAPI", "prepay_id", "jsapi", "JSAPI"),
    Trade("mini-program", "MINIPROG", "prepay_id", "mini_program", "JSAPI"),
    Trade("app", "APP", "prepay_id", "app", "APP"),
    Trade("h5", "H5", "h5_url", "h5", "MWEB"),
    Trade("native", "NATIVE", "code_url", "scan", "NATIVE"),
)


class Answer(NamedTuple):
    """What a call of the SDK gives: the status, and the text or the bytes."""

    status: int
    content: Any

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        """The error's code, "" for a success."""
        return str(self.json["code"]) if self.status >= 300 else ""


class Shop:
    """One SDK client; use it in a `with`. With `base_url` "" nothing of it is set: it asks WeChat's host."""

    def __init__(
        self,
        manner: str,
        mode: str,
        wechat: Mapping[str, str],
        notify_url: str,
        base_url: str = "",
        cert_dir: str | None = None,
        **rest: Any,
    ) -> None:
        self.manner, self.mode, self.wechat = manner, mode, wechat
        self._base_url = base_url
        self._runner: asyncio.Runner | None = None
        # The async SDK's trade types are not the sync one's, though they have the same names.
        door: Any = wechatpayv3 if manner == "sync" else wechatpayv3.async_
        self.kinds = door.WeChatPayType
        self.broken: tuple[type[Exception], ...] = (requests.RequestException, httpx.TransportError)
        given = {
            "wechatpay_type": self.kinds.NATIVE,
            "mchid": wechat["mchid"],
            "appid": wechat["appid"],
            "private_key": wechat["private_key"],
            "cert_serial_no": wechat["serial_no"],
            "apiv3_key": wechat["apiv3_key"],
            "notify_url": notify_url,
            "cert_dir": cert_dir,
        }
        if mode == "public_key":
            given |= {"public_key": wechat["public_key"], "public_key_id": wechat["public_key_id"]}
        self.sdk: Any = (door.WeChatPay if manner == "sync" else door.AsyncWeChatPay)(**{**given, **rest})
        if base_url:
            self.sdk._core._gate_way = base_url

    def __enter__(self) -> Shop:
        if self.manner == "async":
            self._runner = asyncio.Runner()
            try:
                self._runner.run(self.sdk.__aenter__())
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._runner is not None:
            self._runner.run(self.sdk.__aexit__(None, None, None))
            self._runner.close()

    def call(self, name: str, *given: Any, **named: Any) -> Answer:
        """What a method of the SDK gives; raises what the SDK raises."""
        return self._answer(getattr(self.sdk, name)(*given, **named))

    def request(self, path: str) -> Answer:
        """What the SDK's own GET of a path gives."""
        return self._answer(self.sdk._core.request(path))

    def _answer(self, given: Any) -> Answer:
        return Answer(*(self._runner.run(given) if self._runner is not None else given))

    def order(self, trade: Trade, number: str, total: int = TOTAL, openid: str = "", **named: Any) -> Answer:
        """An order of a trade type."""
        if trade.told == "JSAPI":
            named["payer"] = {"openid": openid}
        if trade.told == "MWEB":
            named["scene_info"] = _H5
        amount = {"total": total, "currency": "CNY"}
        given = {"description": "一壶茶", "attach": "桌 7", "amount": amount}
        given["pay_type"] = self.kinds[trade.kind]
        return self.call("pay", out_trade_no=number, **{**given, **named})

    def parameters(self, trade: Trade, prepay_id: str, appid: str) -> dict[str, str]:
        """What the shop hands to its page, mini program or app, signed by the SDK; nothing for the others."""
        stamp, nonce = str(int(time.time())), os.urandom(16).hex()
        if trade.opened == "app":
            sign = self.sdk.sign([appid, stamp, nonce, prepay_id])
            given = {"appId": appid, "partnerId": self.wechat["mchid"], "prepayId": prepay_id}
            return given | {
                "packageValue": "Sign=WXPay",
                "nonceStr": nonce,
                "timeStamp": stamp,
                "sign": sign,
            }
        if trade.told != "JSAPI":
            return {}
        package = f"prepay_id={prepay_id}"
        given = {"timeStamp": stamp, "nonceStr": nonce, "package": package, "signType": "RSA"}
        given["paySign"] = self.sdk.sign([appid, stamp, nonce, package])
        return given if trade.opened == "mini_program" else {"appId": appid, **given}


Payer = Callable[[Trade, str, Mapping[str, str], str], Any]
"""Who pays: the trade, what the order gave, the page's parameters, the app id -> what the page is told."""


def life(
    shop: Shop, front: ShopFront, client: Client, trade: Trade, pay: Payer, appid: str = ""
) -> dict[str, Any]:
    """All that the SDK sees of one order that is paid and partly refunded, and of one that is closed."""
    appid, number = appid or shop.wechat["appid"], f"T-{trade.name}-0001"
    openid = client.call("GET", "/people")[0]["openids"].get(appid, "")
    ordered = shop.order(trade, number, openid=openid, appid=appid)
    shown = ordered.json[trade.gives]
    unpaid = shop.call("query", out_trade_no=number)
    paid = pay(trade, shown, shop.parameters(trade, shown, appid), appid)
    told = front.next().event
    by_number = shop.call("query", out_trade_no=number)
    by_id = shop.call("query", transaction_id=by_number.json["transaction_id"])
    amount = {"refund": BACK, "total": TOTAL, "currency": "CNY"}
    asked = shop.call(
        "refund", out_refund_no=f"R-{number}", out_trade_no=number, amount=amount, reason="凉了"
    )
    client.advance(1)
    refund_told = front.next().event
    closed_number = f"C-{trade.name}-0001"
    shop.order(trade, closed_number, openid=openid, appid=appid)
    return {
        "ordered": ordered,
        "unpaid": unpaid,
        "paid": paid,
        "told": told,
        "by_number": by_number,
        "by_id": by_id,
        "refund": asked,
        "refund_told": refund_told,
        "refund_queried": shop.call("query_refund", f"R-{number}"),
        "after": shop.call("query", out_trade_no=number),
        "closed": (closed := shop.call("close", closed_number)).status,
        "closed_length": len(closed.content),
        "after_close": shop.call("query", out_trade_no=closed_number),
        "deliveries": client.deliveries()[:2],
    }


def check_life(seen: Mapping[str, Any], trade: Trade, mode: str) -> None:
    """Each thing that the SDK saw is what WeChat Pay would have shown it."""
    seen = {name: Answer(*value) if _is_answer(value) else value for name, value in seen.items()}
    number = f"T-{trade.name}-0001"
    assert seen["ordered"].status == 200
    unpaid, paid, after = seen["unpaid"].json, seen["by_number"].json, seen["after"].json
    assert unpaid["trade_state"] == "NOTPAY"
    assert not {"transaction_id", "trade_type"} & unpaid.keys()
    assert seen["paid"] == "ok"
    assert (paid["trade_state"], paid["trade_type"], paid["out_trade_no"]) == ("SUCCESS", trade.told, number)
    assert paid["amount"]["total"] == paid["amount"]["payer_total"] == TOTAL
    assert paid["attach"] == "桌 7"
    assert seen["by_id"].json == paid
    told = seen["told"]
    assert (told["event_type"], told["resource_type"]) == ("TRANSACTION.SUCCESS", "encrypt-resource")
    assert {**told["resource"], "promotion_detail": []} == paid, "callback and query tell the same"

    refund = seen["refund"].json
    assert (refund["status"], refund["amount"]["refund"]) == ("PROCESSING", BACK)
    assert refund["transaction_id"] == paid["transaction_id"]
    told = seen["refund_told"]
    assert told["event_type"] == "REFUND.SUCCESS"
    assert told["resource"]["refund_id"] == refund["refund_id"]
    assert told["resource"]["refund_status"] == seen["refund_queried"].json["status"] == "SUCCESS"
    assert told["resource"]["amount"]["refund"] == BACK
    assert (after["trade_state"], after["amount"]["total"]) == ("REFUND", TOTAL)

    assert (seen["closed"], seen["closed_length"]) == (204, 0)
    assert seen["after_close"].json["trade_state"] == "CLOSED"
    assert {one["signed_by"] for one in seen["deliveries"]} == {mode}
    assert all(one["delivered"] and len(one["attempts"]) == 1 for one in seen["deliveries"])


def _is_answer(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], int)


def bills(shop: Shop, client: Client) -> dict[str, Any]:
    """Today's bills, fetched at ten o'clock of the next day; those of the trades and those of the money."""
    now_ms = client.call("GET", "/clock")["now_ms"]
    today = (now_ms + _ZONE_MS) // _DAY_MS
    day = time.strftime("%Y-%m-%d", time.gmtime(today * _DAY_MS // 1000))
    early = shop.call("trade_bill", bill_date=day)
    client.advance(((today + 1) * _DAY_MS - _ZONE_MS + _TEN_MS - now_ms) / 1000)
    trade, fund = (_bill(shop, name, day) for name in ("trade_bill", "fundflow_bill"))
    return {"early": early.code, "trade": trade, "fund": fund}


def _bill(shop: Shop, name: str, day: str) -> dict[str, Any]:
    offered = shop.call(name, bill_date=day)
    content = gzip.decompress(shop.call("download_bill", offered.json["download_url"]).content)
    assert hashlib.sha1(content).hexdigest() == offered.json["hash_value"]
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    return {"header": rows[0], "rows": rows[1:-2], "sums": dict(zip(*rows[-2:], strict=True))}


def check_bills(seen: Mapping[str, Any], trades: int) -> None:
    """The `trades` orders of `life` stand in the bills, and the sums are theirs."""
    assert seen["early"] == "PARAM_ERROR", "today's bill cannot be asked for"
    trade, fund = _read(seen["trade"]), _read(seen["fund"])
    paid = [row for row in trade["rows"] if row["交易状态"] == "SUCCESS"]
    back = [row for row in trade["rows"] if row["交易状态"] == "REFUND"]
    assert len(paid) == len(back) == trades
    assert [row["商户订单号"] for row in paid] == [row["商户订单号"] for row in back]
    assert {(row["订单金额"], row["退款金额"], row["手续费"]) for row in paid} == {
        ("12.80", "0.00", "0.08000")
    }
    assert {(row["订单金额"], row["退款金额"], row["手续费"]) for row in back} == {
        ("0.00", "2.80", "-0.02000")
    }
    assert trade["sums"]["总交易单数"] == str(2 * trades)
    assert _fen(trade["sums"]["应结订单总金额"]) == _fen(trade["sums"]["订单总金额"]) == trades * TOTAL
    assert _fen(trade["sums"]["退款总金额"]) == _fen(trade["sums"]["申请退款总金额"]) == trades * BACK

    assert [row["业务名称"] for row in fund["rows"]] == ["交易", "退款"] * trades
    assert _fen(fund["rows"][-1]["账户结余(元)"]) == trades * (TOTAL - BACK)
    assert (fund["sums"]["收入笔数"], fund["sums"]["支出笔数"]) == (str(trades), str(trades))
    assert _fen(fund["sums"]["收入金额"]) == trades * TOTAL
    assert _fen(fund["sums"]["支出金额"]) == trades * BACK


def _read(bill: Mapping[str, Any]) -> dict[str, Any]:
    """The rows and the sums by their columns, without the backticks."""
    rows = [{name: cell[1:] for name, cell in zip(bill["header"], row, strict=True)} for row in bill["rows"]]
    return {"rows": rows, "sums": {name: cell[1:] for name, cell in bill["sums"].items()}}


def _fen(yuan: str) -> int:
    whole, _, rest = yuan.partition(".")
    return int(whole) * 100 + int(rest)


def troubles(shop: Shop, front: ShopFront, client: Client) -> dict[str, Any]:
    """What the SDK makes of what goes wrong: errors, a wrong signature, a probe, a rotated certificate."""
    native = TRADES[-1]
    unknown = shop.call("query", out_trade_no="T-unknown")
    nothing = shop.order(native, "T-trouble-01", total=0)
    client.call("POST", "/faults", {"point": "answer", "action": "wrong_signature", "path": "/v3/pay/*"})
    try:
        shop.order(native, "T-trouble-01")
        raised = ""
    except Exception as error:
        raised = str(error)
    client.call("POST", "/faults", {"point": "callback", "action": "probe"})
    client.pay(shop.order(native, "T-trouble-01").json["code_url"])
    probe, true = front.next(), front.next()
    rotated = client.call("POST", "/certificates")["serial_no"]
    return {
        "unknown": (unknown.status, unknown.code),
        "nothing": (nothing.status, nothing.code),
        "raised": raised,
        "probe": probe.event,
        "true": true.event,
        "rotated": rotated,
        "after_rotation": shop.call("query", out_trade_no="T-trouble-01").json["trade_state"],
    }


def check_troubles(seen: Mapping[str, Any]) -> None:
    """Each trouble came to the shop as the SDK tells it."""
    assert tuple(seen["unknown"]) == (404, "ORDER_NOT_EXIST")
    assert tuple(seen["nothing"]) == (400, "PARAM_ERROR")
    assert seen["raised"] == "failed to verify the signature"
    assert seen["probe"] is None
    assert seen["true"]["resource"]["out_trade_no"] == "T-trouble-01"
    assert seen["after_rotation"] == "SUCCESS"


# As a program. ------------------------------------------------------------------------------------


def at_the_prompt(client: Client) -> Payer:
    """The payer, from outside: a page's parameters are checked by the bridge's confirm window."""

    def pay(trade: Trade, shown: str, parameters: Mapping[str, str], appid: str) -> Any:
        if trade.told == "JSAPI":
            return _confirm(client, trade, parameters, appid)
        return client.pay(shown, referer=H5_REFERER if trade.opened == "h5" else None)["result"]

    return pay


def _confirm(client: Client, trade: Trade, parameters: Mapping[str, str], appid: str) -> Any:
    origin = client.control.removesuffix("/_paysim")
    asked = {
        "kind": trade.opened,
        "parameters": parameters,
        "appid": appid,
        "opener": "https://shop.example",
        "person": client.call("GET", "/people")[0]["id"],
        "outcome": "",
    }
    headers = {"Content-Type": "application/json", "Origin": origin}
    request = urllib.request.Request(f"{client.control}/confirm", json.dumps(asked).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["result"]


def configured(keys: Path) -> dict[str, str]:
    """What the keys folder tells a client, the files' contents among it."""
    wechat = dict(found(keys)["wechat"])
    for name in ("private_key", "certificate", "public_key"):
        wechat[name] = (keys / wechat[name]).read_text()
    return wechat


def main(manner: str, mode: str) -> None:
    keys = Path(os.environ["PAYSIM_KEYS"])
    client = Client.of(keys)
    with ShopFront() as front, Shop(manner, mode, configured(keys), front.url) as shop:
        front.callback = shop.sdk.callback
        pay = at_the_prompt(client)
        seen = {
            "gate": shop.sdk._core._gate_way,
            "lives": {trade.name: life(shop, front, client, trade, pay) for trade in TRADES},
            "bills": bills(shop, client),
            "troubles": troubles(shop, front, client),
            "asked": [one["target"] for one in client.call("GET", "/requests?limit=1000")],
        }
        print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
