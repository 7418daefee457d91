"""An unmodified WeChat Pay SDK: order, be paid, be told, refund.

`paysim run -- python examples/10_wechatpayv3.py` leads api.mch.weixin.qq.com to a sandbox.
"""

import json
import os
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from wechatpayv3 import WeChatPay, WeChatPayType

from paysim.servers.client import Client

keys = Path(os.environ.get("PAYSIM_KEYS", ".paysim"))
given = json.loads((keys / "sandbox.json").read_text())["wechat"]
wxpay = WeChatPay(
    WeChatPayType.NATIVE,
    given["mchid"],
    (keys / given["private_key"]).read_text(),
    given["serial_no"],
    given["appid"],
    given["apiv3_key"],
    public_key=(keys / given["public_key"]).read_text(),
    public_key_id=given["public_key_id"],
)
if "PAYSIM_KEYS" not in os.environ:  # beside `paysim serve`, not by `paysim run`
    wxpay._core._gate_way = given["base_url"]


class Notify(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        told = wxpay.callback(self.headers, self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204 if told else 401)
        self.end_headers()
        print("told", told["event_type"], told["resource"]["amount"])

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


shop = HTTPServer(("127.0.0.1", 0), Notify)
url, number = f"http://127.0.0.1:{shop.server_port}/notify", uuid.uuid4().hex

code, answer = wxpay.pay("Longjing tea", number, {"total": 1280}, notify_url=url)
print("ordered", code)
paid = Client.of(keys).pay(json.loads(answer)["code_url"])  # the phone; at a prompt: paysim pay CODE_URL
print("paid", paid["result"])
shop.handle_request()

amount = {"refund": 280, "total": 1280, "currency": "CNY"}
code, answer = wxpay.refund(f"{number}-R", amount, out_trade_no=number, notify_url=url)
print("refunded", code, json.loads(answer)["status"])
shop.handle_request()
