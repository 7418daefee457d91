"""Load for a running sandbox: shops order by Native code, are paid, hear the callback, query, refund.

Run: paysim serve &                                  # its keys folder is ./.paysim; PAYSIM_KEYS names another
     locust -f benchmarks/locustfile.py --headless -u 20 -r 10 -t 10s

Over several cores, one master and as many workers as wanted, each with the keys folder at hand:

     locust -f benchmarks/locustfile.py --master --headless -u 20 -r 10 -t 10s --expect-workers 2
     locust -f benchmarks/locustfile.py --worker         # twice

Each request is signed with the merchant's own key; callbacks come to the process that ordered, whose row
`callback` counts from the payment on. Callbacks are heard on loopback alone, and the control API is sent no
token: sandbox and workers stand on one machine.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gevent.pywsgi import WSGIServer  # type: ignore[import-untyped]
from locust import FastHttpUser, constant, events, task
from locust.env import Environment
from locust.runners import MasterRunner
from served import NATIVE, REFUNDS, Merchant

from paysim.operators.wechat.sealing import open_resource
from paysim.servers.client import found

DESCRIBED = found(Path(os.environ.get("PAYSIM_KEYS", ".paysim")))
MERCHANT = Merchant.of(DESCRIBED)


PAID: dict[str, float] = {}
"""out_trade_no -> when it was paid, until its callback comes."""


def callback(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The shop's server: opens what came, and takes it."""
    raw = environ["wsgi.input"].read()
    sealed = json.loads(raw)["resource"]
    number = json.loads(open_resource(MERCHANT.keys.api_v3_key, sealed))["out_trade_no"]
    spent_ms = (time.perf_counter() - PAID.pop(number, time.perf_counter())) * 1e3
    counted: dict[str, Any] = {
        "response_time": spent_ms,
        "response_length": len(raw),
        "exception": None,
        "context": {},
    }
    events.request.fire(request_type="HEAR", name="callback", **counted)  # type: ignore[no-untyped-call]
    start_response("204 No Content", [])
    return []


@events.init.add_listener  # type: ignore[untyped-decorator]
def listen(environment: Environment, **_: object) -> None:
    """Open the shop's server, where orders are made."""
    if not isinstance(environment.runner, MasterRunner):
        server = WSGIServer(("127.0.0.1", 0), callback, log=None)
        server.start()
        Customer.notify_url = f"http://127.0.0.1:{server.server_port}/notify"


class Customer(FastHttpUser):
    """A shop with a customer: every order is paid and queried, one in four goes back."""

    notify_url = ""

    host = DESCRIBED["wechat"]["base_url"]
    wait_time = constant(0)

    def on_start(self) -> None:
        """Somebody with money enough."""
        person = {"name": f"Customer {uuid.uuid4().hex[:6]}", "balance": 10**10}
        self.person = self.client.post("/_paysim/people", json=person, name="person").json()["id"]

    @task
    def buy(self) -> None:
        """One purchase."""
        number = uuid.uuid4().hex
        order = self._signed("order", "POST", NATIVE, MERCHANT.order(number, self.notify_url))
        if order is None:
            return
        paid = {"person": self.person, "code_url": order["code_url"]}
        PAID[number] = time.perf_counter()
        with self.client.post("/_paysim/pay", json=paid, name="pay", catch_response=True) as answer:
            if answer.status_code == 200 and answer.json()["result"] != "ok":
                answer.failure(f"not paid: {answer.json()['reason']}")
                return
        told = self._signed("query", "GET", MERCHANT.by_number(number))
        if told is not None and told["trade_state"] == "SUCCESS" and random.random() < 0.25:
            amount = {"refund": 100, "total": 100, "currency": "CNY"}
            back = {"out_trade_no": number, "out_refund_no": f"{number}-1", "amount": amount}
            self._signed("refund", "POST", REFUNDS, back)

    def _signed(self, name: str, method: str, target: str, body: dict[str, Any] | None = None) -> Any:
        """What a signed request is answered, None for a refusal, which locust counts."""
        authorization, raw = MERCHANT.signed(method, target, body)
        headers = {
            "Authorization": authorization,
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        with self.client.request(
            method, target, data=raw.decode() or None, headers=headers, name=name, catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: {answer.text}")
                return None
            return json.loads(answer.text)
