"""A merchant of the sandbox who talks to WeChat Pay by the wire: signs, asks, and checks what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from paysim import CNY, Sandbox
from paysim.codec.http import Request
from paysim.operators.wechat.merchants import App
from paysim.operators.wechat.payer import Invoke
from paysim.operators.wechat.signing import authorization, verify_answer
from paysim.operators.wechat.world import Answer
from paysim.sandbox.wechat_payer import Paid

PAY = "/v3/pay/transactions/"
REFUNDS = "/v3/refund/domestic/refunds"
CERTIFICATES = "/v3/certificates"
NOTIFY = "https://shop.example/notify"
NUMBER = "T-000001"
H5_INFO = {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}


class Counter:
    """One merchant with every product, and two people, in a sandbox of their own."""

    def __init__(self, *, shop: str = "Tea House", sandbox: Sandbox | None = None, **onboarding: Any) -> None:
        self.sandbox = sandbox or Sandbox(seed=7)
        self.wechat = self.sandbox.wechat
        self.shop = self.sandbox.shop(shop, fee_ppm=6000)
        self.alice = self.sandbox.person("Alice", balance=CNY("9000")).id
        self.bob = self.sandbox.person("Bob", balance=CNY("9000")).id
        self.merchant = self.wechat.onboard(self.shop.facts, **onboarding)
        self.mchid = self.merchant.mchid
        self.appid = self.merchant.apps[0].appid

    def neighbour(self, shop: str = "Next Door") -> Counter:
        """Another merchant of the same sandbox."""
        return Counter(shop=shop, sandbox=self.sandbox)

    def openid(self, person: str = "", appid: str = "") -> str:
        return self.wechat.openid(appid or self.appid, person or self.alice)

    # The wire. ----------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        """A signed request; a header of "" is left out."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        keys, now_s = self.wechat.secrets.merchant(self.mchid), self.wechat.wall_ms() // 1000
        said = {
            "authorization": authorization(keys, method, target, raw, self.wechat.nonce(), now_s),
            "host": "api.mch.weixin.qq.com",
            "accept": "*/*",
            "user-agent": "counter",
            "content-type": "application/json",
            **(headers or {}),
        }
        return Request(method, target, {name: value for name, value in said.items() if value}, raw)

    def send(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer, whose signature is checked: there on 2xx, absent elsewhere."""
        answer = self.wechat.receive(self.request(method, target, body, headers))
        said = [name for name, _ in answer.response.headers if name.lower().startswith("wechatpay-")]
        if answer.response.status >= 300:
            assert not said, "an error is signed"
        elif "/billdownload/" not in target:
            verifiers = self.wechat.platform(self.mchid).verifiers()
            verify_answer(answer.response.headers, answer.response.body, verifiers, self.wechat.wall_ms())
        return answer

    # What merchants ask for. --------------------------------------------------------------------

    def order(self, trade_type: str = "native", number: str = NUMBER, **more: Any) -> dict[str, Any]:
        """The body of an order of 12.80 that WeChat Pay takes; a value of None is left out."""
        body: dict[str, Any] = {
            "appid": self.appid,
            "mchid": self.mchid,
            "description": "Longjing",
            "out_trade_no": number,
            "notify_url": NOTIFY,
            "amount": {"total": 1280, "currency": "CNY"},
        }
        if trade_type == "jsapi":
            body["payer"] = {"openid": self.openid()}
        if trade_type == "h5":
            body["scene_info"] = H5_INFO
        return {name: value for name, value in {**body, **more}.items() if value is not None}

    def prepay(
        self,
        trade_type: str = "native",
        number: str = NUMBER,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        return self.send("POST", PAY + trade_type, self.order(trade_type, number, **more), headers)

    def shown(self, trade_type: str = "native", number: str = NUMBER, **more: Any) -> str:
        """What the payer of a new order is shown."""
        (text,) = content(self.prepay(trade_type, number, **more)).values()
        return str(text)

    def pay(self, text: str, person: str = "", outcome: str = "", invoke: Invoke | None = None) -> Paid:
        return self.wechat.payer.pay(person or self.alice, text, outcome, invoke)

    def paid(self, trade_type: str = "native", number: str = NUMBER, **more: Any) -> dict[str, Any]:
        """A new order, paid, as the query tells it."""
        assert self.pay(self.shown(trade_type, number, **more)).result == "ok"
        return content(self.query(number))

    def query(self, number: str = NUMBER) -> Answer:
        return self.send("GET", f"{PAY}out-trade-no/{number}?mchid={self.mchid}")

    def state(self, number: str = NUMBER) -> str:
        return str(content(self.query(number))["trade_state"])

    def close(self, number: str = NUMBER) -> Answer:
        return self.send("POST", f"{PAY}out-trade-no/{number}/close", {"mchid": self.mchid})

    def refund(self, fen: int = 1280, refund: str = "R-1", number: str = NUMBER, **more: Any) -> Answer:
        """A refund of an order of 12.80; a value of None is left out."""
        amount = {"refund": fen, "total": 1280, "currency": "CNY"}
        body = {"out_trade_no": number, "out_refund_no": refund, "amount": amount, **more}
        return self.send("POST", REFUNDS, {name: value for name, value in body.items() if value is not None})

    def owed(self) -> list[dict[str, Any]]:
        """What is owed to this merchant in callbacks, in order of id."""
        found = self.sandbox.journal.streams("callback/")
        return [
            {"id": name.partition("/")[2], "at_ms": events[0].at_ms, **events[0].data}
            for name, events in found
            if events[0].data["mchid"] == self.mchid
        ]


def content(answer: Answer, status: int = 200) -> dict[str, Any]:
    """The JSON of an answer that has this status."""
    assert answer.response.status == status, (answer.response, answer.why)
    found: dict[str, Any] = json.loads(answer.response.body)
    return found


def said(answer: Answer) -> tuple[int, str]:
    """Status and code of an answer; "" where it has no body."""
    body = answer.response.body
    return answer.response.status, json.loads(body).get("code", "") if body else ""


APPS = (
    App("wx00000000000000a1"),
    App("wx00000000000000a2", "mini_program"),
    App("wx00000000000000a3", "mobile"),
)
"""An official account, a mini program and a mobile app."""
