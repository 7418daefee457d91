"""WeChat Pay by HTTP: a signed order in, verified, stored, answered signed; beside the handler without HTTP.

Run: python benchmarks/wechat_http.py

The ceiling is the same code called in a loop inside this process: `sandbox.wechat.receive`, which verifies,
decides, commits and signs. The server is `paysim serve` in a process of its own, spoken to over connections
that stay open; requests are signed before the clock runs. In a round each side takes a batch, one after the
other; medians over rounds. Beside the time on the clock stands that on the processor, which neighbours on the
machine disturb less. Budget: 0.70 of the ceiling.
"""

from __future__ import annotations

import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from served import NATIVE, Merchant, address, served

from paysim import Sandbox
from paysim.codec.http import Request
from paysim.sandbox.wechat import FEE_PPM

ROUNDS = 15
BATCH = 320
CONNECTIONS = 32
BUDGET = 0.70
DURABILITY = "normal"


class Took(NamedTuple):
    """Microseconds a request: on the clock, on the processor."""

    wall_us: float
    processor_us: float


def handler(store: str, folder: Path) -> tuple[Sandbox, Merchant]:
    """The same sandbox without HTTP, and its merchant."""
    sandbox = Sandbox(seed=1, store=store.format(folder=folder), durability=DURABILITY)
    kept = sandbox.wechat.onboard(sandbox.shop("Sandbox Shop", fee_ppm=FEE_PPM).facts)
    keys = sandbox.wechat.keys(kept.mchid)
    assert keys is not None
    return sandbox, Merchant(kept.apps[0].appid, keys)


def called(sandbox: Sandbox, merchant: Merchant, numbers: Sequence[str]) -> Took:
    """What a request costs when the handler is called."""
    requests = []
    for number in numbers:
        signed, body = merchant.signed("POST", NATIVE, merchant.order(number))
        requests.append(
            Request("POST", NATIVE, {**_HEADERS, "host": "localhost", "authorization": signed}, body)
        )
    began, began_processor = time.perf_counter(), time.process_time()
    statuses = [sandbox.wechat.receive(request).response.status for request in requests]
    spent, spent_processor = time.perf_counter() - began, time.process_time() - began_processor
    assert set(statuses) == {200}
    return Took(spent / len(numbers) * 1e6, spent_processor / len(numbers) * 1e6)


def asked(sockets: Sequence[socket.socket], pid: int, merchant: Merchant, numbers: Sequence[str]) -> Took:
    """What a request costs by the wire."""
    requests = [_raw(*merchant.signed("POST", NATIVE, merchant.order(number))) for number in numbers]
    began, began_processor = time.perf_counter(), _processor_s(pid)
    for index, request in enumerate(requests):
        connection = sockets[index % len(sockets)]
        if index >= len(sockets):
            _answered(connection)
        connection.sendall(request)
    for connection in sockets:
        _answered(connection)
    spent, spent_processor = time.perf_counter() - began, _processor_s(pid) - began_processor
    return Took(spent / len(numbers) * 1e6, spent_processor / len(numbers) * 1e6)


_HEADERS = {"user-agent": "benchmark", "accept": "application/json", "content-type": "application/json"}


def _raw(authorization: str, body: bytes) -> bytes:
    headers = {
        **_HEADERS,
        "host": "localhost",
        "authorization": authorization,
        "content-length": str(len(body)),
    }
    lines = [f"POST {NATIVE} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def _answered(connection: socket.socket) -> None:
    """Take in one answer; it must be a success with a body."""
    answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    while not answer.endswith(b"}"):
        part = connection.recv(65_536)
        assert part, "the connection ended"
        answer += part


def _processor_s(pid: int) -> float:
    """The processor time of a process: Linux numbers its clock so."""
    return time.clock_gettime((~pid << 3) | 2)


def main() -> None:
    print(f"{'us an order':<18}{'handler':>9}{'HTTP':>9}{'ratio':>8}{'processor':>13}{'HTTP':>9}{'ratio':>8}")
    for name, store in (("memory", "memory"), ("SQLite normal", "sqlite:///{folder}/a.paysim")):
        with tempfile.TemporaryDirectory(dir=".") as made:
            handlers, wires = measured(store, Path(made).absolute())
        wall, wire = (statistics.median(one.wall_us for one in side) for side in (handlers, wires))
        spent, wire_spent = (
            statistics.median(one.processor_us for one in side) for side in (handlers, wires)
        )
        print(
            f"{name:<18}{wall:>9,.0f}{wire:>9,.0f}{wall / wire:>8.2f}"
            f"{spent:>13,.0f}{wire_spent:>9,.0f}{spent / wire_spent:>8.2f}"
        )
    print(f"budget{BUDGET:>38.2f}")


def measured(store: str, folder: Path) -> tuple[list[Took], list[Took]]:
    """Rounds of the handler, and of HTTP."""
    handlers, wires = [], []
    (folder / "http").mkdir()
    options = ("--store", store.format(folder=folder / "http"), "--durability", DURABILITY)
    sandbox, merchant = handler(store, folder)
    with sandbox, served(folder / "keys", *options) as described:
        theirs = Merchant.of(described)
        sockets = [socket.create_connection(address(described)) for _ in range(CONNECTIONS)]
        for index in range(-1, ROUNDS):
            numbers = [f"{index + 1:04d}-{order:06d}" for order in range(BATCH)]
            handlers.append(called(sandbox, merchant, numbers))
            wires.append(asked(sockets, described["pid"], theirs, numbers))
        for connection in sockets:
            connection.close()
    return handlers[1:], wires[1:]


if __name__ == "__main__":
    main()
