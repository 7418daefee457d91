"""A merchant on the other side of the sockets: signs and sends by httpx, receives callbacks, checks both."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from paysim.core.errors import AuthenticityError
from paysim.core.transaction import Transaction
from paysim.crypto.signature import Verifier
from paysim.operators.wechat.platform_signature import verify_answer
from paysim.operators.wechat.sealing import open_resource
from paysim.operators.wechat.signing import authorization
from paysim.operators.wechat.world import order_key
from paysim.sandbox import Sandbox
from paysim.servers.server import Options
from paysim.testing.server import RunningServer

__all__ = ["NATIVE", "REFUNDS", "Arrived", "Receiver", "Shop", "checked", "own_keys", "receiving"]

NATIVE = "/v3/pay/transactions/native"
REFUNDS = "/v3/refund/domestic/refunds"
_WAIT_S = 10.0


class Arrived(NamedTuple):
    """A callback as it arrived."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def envelope(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """Where callbacks go: keeps each, and answers it as `judge` says: 204 unless told otherwise."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.arrived: list[Arrived] = []
        self.judge: Callable[[Arrived], int] = lambda _: 204
        self.changed = threading.Condition()

    def take(self, one: Arrived) -> int:
        status = self.judge(one)
        with self.changed:
            self.arrived.append(one)
            self.changed.notify_all()
        return status

    def wait(self, count: int) -> list[Arrived]:
        """What arrived, once there are so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.arrived) >= count, _WAIT_S), self.arrived
            return list(self.arrived)


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A merchant's server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take(Arrived(dict(self.headers), body))
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            """A connection that the sandbox cut is no error of this one."""

    server = Quiet(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/notify")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Shop:
    """The default merchant, by the wire; `client` is an httpx client on the sandbox's base URL."""

    def __init__(self, server: RunningServer, client: httpx.Client, notify_url: str = "") -> None:
        self.server, self.client, self.notify_url = server, client, notify_url
        self.mchid, self.appid = server.wechat["mchid"], server.wechat["appid"]

    # The sandbox behind. ------------------------------------------------------------------------

    @property
    def sandbox(self) -> Sandbox:
        return self.server.sandbox

    @property
    def verifiers(self) -> Mapping[str, Verifier]:
        return self.sandbox.wechat.platform(self.mchid).verifiers()

    @property
    def api_v3_key(self) -> str:
        return self.server.wechat["apiv3_key"]

    def book(self, number: str) -> Transaction | None:
        """The operator's book of an order, None where it knows none."""
        return self.sandbox.wechat.find(order_key(self.mchid, number))

    def kinds(self, number: str) -> list[str]:
        """The facts of the operator's book, by kind."""
        book = self.book(number)
        return [event.kind for event in book.events] if book is not None else []

    def money(self) -> tuple[int, int]:
        """What the people have, and what all accounts sum up to, in fen."""
        self.sandbox.verify()
        people = sum(one["balance"] for one in self.sandbox.wechat.people())
        return people, sum(self.sandbox.sums().values())

    # The wire. ----------------------------------------------------------------------------------

    def headers(self, method: str, target: str, raw: bytes = b"", **more: str) -> dict[str, str]:
        """The headers of a signed request."""
        keys = self.sandbox.wechat.secrets.merchant(self.mchid)
        wechat = self.sandbox.wechat
        signed = authorization(keys, method, target, raw, wechat.nonce(), wechat.wall_ms() // 1000)
        said = {"Authorization": signed, "Accept": "application/json", "User-Agent": "shop"}
        return {**said, **({"Content-Type": "application/json"} if raw else {}), **more}

    def send(
        self, method: str, target: str, body: Mapping[str, Any] | None = None, **headers: str
    ) -> httpx.Response:
        raw = json.dumps(body).encode() if body is not None else b""
        said = self.headers(method, target, raw, **headers)
        return self.client.request(method, target, content=raw, headers=said)

    def order(self, number: str, fen: int = 1280, **more: Any) -> dict[str, Any]:
        body: dict[str, Any] = {
            "appid": self.appid,
            "mchid": self.mchid,
            "description": "Longjing",
            "out_trade_no": number,
            "notify_url": self.notify_url or "http://127.0.0.1:9/notify",
            "amount": {"total": fen, "currency": "CNY"},
        }
        return {**body, **more}

    def prepay(self, number: str, fen: int = 1280, **more: Any) -> httpx.Response:
        return self.send("POST", NATIVE, self.order(number, fen, **more))

    def code_url(self, number: str, fen: int = 1280, **more: Any) -> str:
        answer = self.prepay(number, fen, **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["code_url"])

    def paid(self, number: str, fen: int = 1280, **more: Any) -> None:
        """A new order, paid."""
        assert self.server.pay(self.code_url(number, fen, **more))["result"] == "ok"

    def query(self, number: str) -> httpx.Response:
        return self.send("GET", f"/v3/pay/transactions/out-trade-no/{number}?mchid={self.mchid}")

    def close(self, number: str) -> httpx.Response:
        target = f"/v3/pay/transactions/out-trade-no/{number}/close"
        return self.send("POST", target, {"mchid": self.mchid})

    def refund(self, number: str, refund: str, fen: int = 1280, **more: Any) -> httpx.Response:
        amount = {"refund": fen, "total": 1280, "currency": "CNY"}
        body = {"out_trade_no": number, "out_refund_no": refund, "amount": amount, **more}
        return self.send("POST", REFUNDS, body)

    # What a careful merchant does. --------------------------------------------------------------

    def opened(self, one: Arrived) -> dict[str, Any]:
        """What lies in a callback; raises for one that a merchant must refuse."""
        why = checked(self, one.headers, one.body)
        if why:
            raise AuthenticityError(why)
        found: dict[str, Any] = json.loads(open_resource(self.api_v3_key, one.envelope["resource"]))
        return found


def own_keys(options: Options, folder: Path) -> Options:
    """The same with keys of the test's own: a copy, for a test that makes new ones."""
    if not options.keys.exists():
        RunningServer(options).close()
    return replace(options, keys=shutil.copytree(options.keys, folder / "keys"))


def checked(shop: Shop, headers: Mapping[str, str], body: bytes) -> str:
    """Why a careful merchant refuses an answer or a callback, "" where it is right."""
    try:
        verify_answer(headers, body, shop.verifiers, shop.sandbox.wechat.wall_ms())
    except AuthenticityError as error:
        return str(error)
    return ""
