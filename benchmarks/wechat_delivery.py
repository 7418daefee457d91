"""A WeChat Pay callback from due to delivered: one at a time, many at once; and the ladder without a network.

Run: python benchmarks/wechat_delivery.py

Delivered means: read from the journal, built from the books, sealed, signed, posted to a sink in a process of
its own, and the answer written down. The ladder is driven over its 24 hours by a virtual clock, every try
refused before it leaves. Beside it stands one RSA signature, which every try takes. Medians. Budgets: 1.5 ms
to a local sink; 0.5 ms and one signature for a try of the ladder.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from served import NATIVE
from served import Merchant as Signing

from paysim import CNY, Sandbox
from paysim.codec.http import Request
from paysim.core.clock import SystemClock
from paysim.operators.wechat.merchants import Merchant
from paysim.servers.courier import Courier
from paysim.servers.webhooks import Attempt, Policy, Sender

ROUNDS = 15
BATCH = 32
DAY_MS = 86_400_000
TRIES = 16
BUDGET_MS, BUDGET_LADDER_MS = 1.5, 0.5


# The sink. ----------------------------------------------------------------------------------------------


class Sink(asyncio.Protocol):
    """Answers 204 to each post."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._came = transport, b""

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, gap, body = self._came.partition(b"\r\n\r\n")
        if gap and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            self._came = b""
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def sink() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def sinking() -> Iterator[str]:
    """The URL of a sink."""
    with subprocess.Popen([sys.executable, __file__, "sink"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/notify"
        finally:
            process.kill()


class Refusing(Sender):
    """Posts nothing; the merchant has failed."""

    async def send(self, url: str, headers: object, body: object) -> Attempt:  # noqa: ARG002
        """What comes of it."""
        return Attempt(500, "", url, b"", 0.0)


def unheard(_line: str) -> None:
    """What the person at the prompt would be told: that a merchant has failed."""


# The sandbox. -------------------------------------------------------------------------------------------


class Till:
    """A sandbox with one merchant who is paid."""

    def __init__(self, store: str, clock: SystemClock | None) -> None:
        self.sandbox = Sandbox(seed=1, store=store, durability="normal", clock=clock)
        self.sandbox.person("Alice", balance=CNY("10000000"))
        merchant: Merchant = self.sandbox.wechat.onboard(self.sandbox.shop("Tea House").facts)
        keys = self.sandbox.wechat.secrets.merchant(merchant.mchid)
        self._merchant, self._sold = Signing(merchant.apps[0].appid, keys), 0

    def sell(self, url: str) -> None:
        """An order that is paid; its callback is owed to `url`."""
        self._sold += 1
        wechat = self.sandbox.wechat
        signed, body = self._merchant.signed("POST", NATIVE, self._merchant.order(f"o-{self._sold:08d}", url))
        headers = {"authorization": signed, "accept": "*/*", "user-agent": "till", "host": "localhost"}
        answer = wechat.receive(Request("POST", NATIVE, headers, body))
        shown = answer.facts[-1].event.data["text"]
        assert wechat.payer.pay(wechat.first_person(), shown).result == "ok"


async def delivered(till: Till, url: str, together: int) -> list[float]:
    """Milliseconds a callback, `together` of them at once."""
    sender = Sender(Policy(), say=print)
    courier = Courier(till.sandbox, sender, print)
    spent = []
    for _ in range(ROUNDS * BATCH // together):
        for _ in range(together):
            till.sell(url)
        await asyncio.sleep(0)
        began = time.perf_counter()
        await courier.flush()
        spent.append((time.perf_counter() - began) / together * 1e3)
    assert all(one.delivered for one in till.sandbox.wechat.callbacks())
    await courier.stop()
    await sender.close()
    return spent


async def climbed(till: Till) -> list[float]:
    """Milliseconds a try of the ladder, which is refused."""
    sender = Refusing(Policy(), say=unheard)
    courier = Courier(till.sandbox, sender, unheard)
    spent = []
    for _ in range(ROUNDS):
        for _ in range(4):
            till.sell("http://127.0.0.1:9/notify")
        await asyncio.sleep(0)
        began = time.perf_counter()
        await courier.advance_to(till.sandbox.clock.now_ms() + 2 * DAY_MS)
        spent.append((time.perf_counter() - began) / (4 * TRIES) * 1e3)
    assert {one.tries for one in till.sandbox.wechat.callbacks()} == {TRIES}
    await courier.stop()
    return spent


def signing_ms(till: Till) -> float:
    """One RSA signature."""
    signer = till.sandbox.wechat.platform(till.sandbox.wechat.merchants()[0].mchid).public_signer
    spent = []
    for _ in range(ROUNDS * BATCH):
        began = time.perf_counter()
        signer.sign(bytes(1_000))
        spent.append((time.perf_counter() - began) * 1e3)
    return statistics.median(spent)


def row(name: str, spent: Sequence[float], budget: float | None = None) -> None:
    said = f"{budget:>10.2f}" if budget else f"{'-':>10}"
    print(f"{name:<34}{statistics.median(spent):>8.2f}{said}")


def main() -> None:
    print(f"{'ms a callback':<34}{'median':>8}{'budget':>10}")
    with sinking() as url, tempfile.TemporaryDirectory(dir=".") as made:
        for name, store in (("memory", "memory"), ("SQLite", f"sqlite:///{Path(made).absolute()}/a.paysim")):
            till = Till(store, SystemClock())
            with till.sandbox:
                row(f"delivered, {name}", asyncio.run(delivered(till, url, 1)), BUDGET_MS)
                row(
                    f"delivered, {name}, {BATCH} at once", asyncio.run(delivered(till, url, BATCH)), BUDGET_MS
                )
        for name, store in (("memory", "memory"), ("SQLite", f"sqlite:///{Path(made).absolute()}/b.paysim")):
            till = Till(store, None)
            with till.sandbox:
                sign_ms = signing_ms(till)
                row(f"a try of the ladder, {name}", asyncio.run(climbed(till)), BUDGET_LADDER_MS + sign_ms)
                row("  of it one RSA signature", [sign_ms])


if __name__ == "__main__":
    asyncio.run(sink()) if sys.argv[1:] == ["sink"] else main()
