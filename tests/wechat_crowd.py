"""Shops under load: several at once order, are paid and refund by the wire, and know what was acknowledged.

`Crowd` works until somebody stops the sandbox; `settle` is what the shops do then: they ask again for all
that was not answered, and query the rest. `Mailbox` is where the callbacks come.
"""

from __future__ import annotations

import http.client
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from paysim.crypto import authority, keys
from paysim.crypto.signature import Signer
from paysim.operators.wechat.keys import SCHEME_NAME, MerchantCertificate, MerchantKeys
from paysim.operators.wechat.sealing import open_resource
from paysim.operators.wechat.signing import authorization

PAY = "/v3/pay/transactions/"
REFUNDS = "/v3/refund/domestic/refunds"
PAID, REFUNDED = "TRANSACTION.SUCCESS", "REFUND.SUCCESS"
_WAIT_S = 20.0
_CUSTOMERS_AT_MOST = 1_000


@dataclass
class Back:
    """A refund: its fen, and the refund_id that was acknowledged, "" for none yet."""

    fen: int
    id: str = ""


@dataclass
class Order:
    """An order as its shop knows it; what was acknowledged is not empty."""

    number: str
    total: int
    code_url: str = ""
    transaction_id: str = ""
    backs: dict[str, Back] = field(default_factory=dict)


class Told(NamedTuple):
    """An acknowledged answer: when it came, to what."""

    at_s: float
    what: str
    number: str


class Wire:
    """A merchant's connection to one running sandbox. Answers are (status, JSON)."""

    def __init__(self, described: dict[str, Any]) -> None:
        found, folder = described["wechat"], Path(described["keys"])
        certificate = authority.certificate((folder / found["certificate"]).read_bytes())
        private = keys.private((folder / found["private_key"]).read_bytes(), trusted=True)
        self.appid, self.mchid = found["appid"], found["mchid"]
        self._keys = MerchantKeys(
            self.mchid, (MerchantCertificate.of(certificate),), signer=Signer(SCHEME_NAME, private)
        )
        self._http = http.client.HTTPConnection(urlsplit(found["base_url"]).netloc, timeout=_WAIT_S)

    def ask(self, method: str, target: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """A signed request."""
        raw = json.dumps(body).encode() if body is not None else b""
        signed = authorization(self._keys, method, target, raw, secrets.token_hex(16), int(time.time()))
        return self._asked(method, target, raw, {"Authorization": signed, "User-Agent": "crowd"})

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A call of the control API, which must succeed."""
        raw = json.dumps(body).encode() if body is not None else b""
        status, said = self._asked(method, f"/_paysim{path}", raw, {})
        assert status == 200, said
        return said

    def _asked(self, method: str, target: str, raw: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        kind = {"Accept": "application/json", "Content-Type": "application/json"}
        self._http.request(method, target, raw or None, {**kind, **headers})
        answer = self._http.getresponse()
        said = answer.read()
        return answer.status, json.loads(said) if said else None

    def close(self) -> None:
        self._http.close()

    # What shops ask for. ------------------------------------------------------------------------

    def order(self, order: Order, notify_url: str) -> str:
        """The code URL of an order, asked for the first time or again."""
        body = {
            "appid": self.appid,
            "mchid": self.mchid,
            "description": "Tea",
            "out_trade_no": order.number,
            "notify_url": notify_url,
            "amount": {"total": order.total},
        }
        status, said = self.ask("POST", PAY + "native", body)
        assert status == 200, said
        return str(said["code_url"])

    def query(self, number: str) -> tuple[int, Any]:
        return self.ask("GET", f"{PAY}out-trade-no/{number}?mchid={self.mchid}")

    def refund(self, order: Order, number: str, notify_url: str) -> str:
        """The refund_id of a refund, asked for the first time or again."""
        amount = {"refund": order.backs[number].fen, "total": order.total, "currency": "CNY"}
        body = {
            "out_trade_no": order.number,
            "out_refund_no": number,
            "notify_url": notify_url,
            "amount": amount,
        }
        status, said = self.ask("POST", REFUNDS, body)
        assert status == 200, said
        assert said["amount"]["refund"] == order.backs[number].fen
        return str(said["refund_id"])


class Crowd:
    """So many shops, each in a thread; `told` is given each acknowledged answer as it comes."""

    def __init__(
        self,
        described: dict[str, Any],
        notify_url: str,
        seed: int,
        told: Callable[[int], None],
        shops: int = 4,
    ) -> None:
        self.orders: list[Order] = []
        self.told: list[Told] = []
        self._described, self._notify_url, self._seed, self._tell = described, notify_url, seed, told
        self._lock = threading.Lock()
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, args=(shop,)) for shop in range(shops)]

    def work(self) -> None:
        """Trade until nobody answers. Raises what a shop did not expect."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _work(self, shop: int) -> None:
        choices = Random(f"{self._seed}-{shop}")
        wire = Wire(self._described)
        try:
            people = wire.control("GET", "/people")
            for customer in range(_CUSTOMERS_AT_MOST):
                self._serve(wire, f"S{self._seed}-{shop}-{customer:03d}", people, choices)
        except (OSError, http.client.HTTPException):
            pass  # nobody answers any more
        except BaseException as failure:
            self._failures.append(failure)
        finally:
            wire.close()

    def _acknowledged(self, what: str, number: str) -> None:
        with self._lock:
            self.told.append(Told(time.monotonic(), what, number))
            self._tell(len(self.told))

    def _serve(self, wire: Wire, number: str, people: list[Any], choices: Random) -> None:
        order = Order(number, choices.randint(2, 100))
        self.orders.append(order)
        order.code_url = wire.order(order, self._notify_url)
        self._acknowledged("order", number)
        if choices.random() < 0.1:
            return
        person = choices.choice(people)["id"]
        paid = wire.control("POST", "/pay", {"person": person, "code_url": order.code_url})
        assert paid["result"] == "ok", paid
        order.transaction_id = paid["transaction"]["transaction_id"]
        self._acknowledged("pay", number)
        if choices.random() < 0.3:
            assert wire.query(number)[1]["trade_state"] == "SUCCESS"
        left = order.total
        while left and choices.random() < 0.5:
            back = Back(choices.randint(1, left))
            left -= back.fen
            refund = f"{number}-R{len(order.backs)}"
            order.backs[refund] = back
            back.id = wire.refund(order, refund, self._notify_url)
            self._acknowledged("refund", refund)


def settle(wire: Wire, orders: Iterable[Order], notify_url: str) -> int:
    """Ask again for all that was not answered, look that the rest is as it was; how much was open.

    Then each order holds what the sandbox knows of it.
    """
    unsure = 0
    for order in orders:
        if not order.code_url:
            unsure += 1
            order.code_url = wire.order(order, notify_url)
        status, said = wire.query(order.number)
        assert status == 200, said
        assert said["amount"]["total"] == order.total
        if order.transaction_id:
            assert said["trade_state"] in ("SUCCESS", "REFUND"), said
            assert said["transaction_id"] == order.transaction_id
        elif said["trade_state"] != "NOTPAY":
            unsure += 1
            assert said["trade_state"] == "SUCCESS", said
            order.transaction_id = said["transaction_id"]
        for number, back in order.backs.items():
            unsure += not back.id
            id = wire.refund(order, number, notify_url)
            assert back.id in ("", id), f"the refund {number} has become another one"
            back.id = id
    return unsure


def owed(orders: Iterable[Order]) -> set[tuple[str, str]]:
    """The callbacks that acknowledged payments and refunds give rise to: event_type and number."""
    found = set()
    for order in orders:
        if order.transaction_id:
            found.add((PAID, order.number))
        found |= {(REFUNDED, number) for number, back in order.backs.items() if back.id}
    return found


class Mailbox:
    """Takes callbacks at `url` and answers 204. Deaf, it takes none: it holds them until it hears again."""

    def __init__(self) -> None:
        self.api_v3_key = ""
        self._ids: dict[tuple[str, str], set[str]] = {}
        self._came = threading.Condition()
        self._hearing = threading.Event()
        mailbox = self

        class Slot(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not mailbox._hearing.is_set():
                    mailbox._hearing.wait(_WAIT_S)
                    self.close_connection = True
                    return
                mailbox._take(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = False
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:
                """The sandbox was killed."""

        self._server = Server(("127.0.0.1", 0), Slot)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/notify"
        self.hear()

    def _take(self, notice: dict[str, Any]) -> None:
        sealed = json.loads(open_resource(self.api_v3_key, notice["resource"]))
        kind = notice["event_type"]
        number = sealed["out_trade_no"] if kind == PAID else sealed["out_refund_no"]
        with self._came:
            self._ids.setdefault((kind, number), set()).add(notice["id"])
            self._came.notify_all()

    def hear(self) -> None:
        """Take what comes from now on."""
        self._hearing.set()

    def be_deaf(self) -> None:
        """Take nothing from now on."""
        self._hearing.clear()

    def taken(self) -> set[tuple[str, str]]:
        """What was taken so far: event_type and number."""
        with self._came:
            return set(self._ids)

    def wait_for(self, wanted: set[tuple[str, str]]) -> None:
        """Until all of these were taken."""
        with self._came:
            came = self._came.wait_for(lambda: wanted <= set(self._ids), _WAIT_S)
            assert came, f"these callbacks never came: {wanted - set(self._ids)}"

    def check(self) -> None:
        """Whatever came more than once came under one id."""
        assert {key: ids for key, ids in self._ids.items() if len(ids) > 1} == {}

    def clear(self) -> None:
        """Forget what was taken: another journal begins."""
        with self._came:
            self._ids.clear()

    def close(self) -> None:
        self._hearing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
