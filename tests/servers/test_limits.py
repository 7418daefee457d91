"""The whole server before clients that are rude, slow, many or gone: it cuts them and leaks nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import httpx
import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st
from wechat_wire import NATIVE, Receiver, Shop, checked, receiving

from paysim import Fault
from paysim.servers import wire
from paysim.servers.listener import Listener
from paysim.servers.server import Options, Server
from paysim.testing.server import RunningServer

SOON_S = 0.2
JSON = b"Content-Type: application/json\r\n"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def shop(paysim_server: RunningServer) -> Iterator[Shop]:
    with httpx.Client(base_url=paysim_server.base_url, timeout=20, trust_env=False) as client:
        yield Shop(paysim_server, client)


def dialled(server: RunningServer) -> socket.socket:
    """A connection to the server."""
    return socket.create_connection(("127.0.0.1", int(server.base_url.rpartition(":")[2])), timeout=10)


def rest(raw: socket.socket) -> bytes:
    """Everything that still comes, until the server closes or resets."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while part := raw.recv(65_536):
            came += part
    return came


def exchanged(server: RunningServer, sent: bytes) -> bytes:
    """What comes for these bytes, until the server closes."""
    with dialled(server) as raw:
        with contextlib.suppress(ConnectionError):
            raw.sendall(sent)
        return rest(raw)


def request(target: str, *headers: bytes, method: str = "POST", body: bytes = b"") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode() + b"".join(headers)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def still_serves(shop: Shop) -> None:
    answer = shop.prepay("T-999999")
    assert (answer.status_code, checked(shop, answer.headers, answer.content)) == (200, "")
    assert shop.server.client.call("GET", "/people")


# Long bodies. -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "size"), [(NATIVE, wire.MAX_BODY + 1), (NATIVE, 6_000_000), ("/_paysim/people", 256 * 1024 + 1)]
)
def test_a_long_body_is_413(path: str, size: int, shop: Shop) -> None:
    headers = {"Content-Type": "application/json"}
    answer = shop.client.post(path, content=b"x" * size, headers=headers)
    assert answer.status_code == 413
    if path == NATIVE:
        logged = shop.server.requests[0]
        assert (logged["status"], logged["why"]) == (413, "the body is longer than 2097152 bytes")
    still_serves(shop)


def test_the_longest_body_is_taken(shop: Shop) -> None:
    """And found wanting for its signature, not for its length."""
    answer = shop.client.post(NATIVE, content=b" " * wire.MAX_BODY, headers={"User-Agent": "x"})
    assert answer.status_code == 401
    assert len(shop.server.requests[0]["request"]) == 4096


@pytest.mark.parametrize("path", [NATIVE, "/_paysim/people", "/_paysim/confirm/pay", "/nothing"])
def test_an_endless_body_is_cut(path: str, shop: Shop) -> None:
    """Chunk after chunk: at some megabytes the connection is closed."""
    head = request(path, JSON).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    part = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with dialled(shop.server) as raw:
        raw.sendall(head)
        sent = 0
        try:
            while sent < 200_000_000:
                raw.sendall(part)
                sent += len(part)
        except OSError:
            pass
        rest(raw)
    assert sent < 100_000_000
    still_serves(shop)


# Slow ones. ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [NATIVE, "/_paysim/people"])
def test_a_body_that_drips_is_408(path: str, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BODY_S", SOON_S)
    head = request(path, JSON).replace(b"Content-Length: 0", b"Content-Length: 1000")
    came = _dripping(shop.server, head)
    assert came.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in came
    still_serves(shop)


def _dripping(server: RunningServer, head: bytes) -> bytes:
    """What comes while a byte is sent every now and then, until the server closes."""
    began = time.monotonic()
    with dialled(server) as raw:
        raw.sendall(head)
        raw.settimeout(0.02)
        came = b""
        while time.monotonic() - began < 8:
            try:
                raw.sendall(b"x")
                part = raw.recv(65_536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not part:
                break
            came += part
    assert SOON_S * 0.9 <= time.monotonic() - began < 8
    return came


@pytest.mark.parametrize("head", [b"GET /", b"GET /_paysim/people HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "])
def test_a_head_that_drips_is_cut(head: bytes, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_limits(), "HEAD_S", SOON_S)
    assert _dripping(shop.server, head) == b""
    still_serves(shop)


@pytest.mark.parametrize("path", ["/_paysim/confirm/pay", "/nothing"])
def test_a_body_that_nobody_reads_is_cut(path: str, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and unknown paths: whether the answer is out already or not."""
    monkeypatch.setattr(_limits(), "BODY_S", SOON_S)
    _dripping(shop.server, request(path, JSON).replace(b"Content-Length: 0", b"Content-Length: 1000"))
    still_serves(shop)


def _limits() -> Any:
    """The module of the connections' limits."""
    protocol = Listener(lambda: None).config.http
    assert isinstance(protocol, type)
    return sys.modules[protocol.__module__]


def test_who_does_not_read_is_cut(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of megabytes, and a client that takes none of it."""
    monkeypatch.setattr(_limits(), "READ_S", SOON_S)
    body = b'{"x":"' + b"y" * 4_080 + b'"}'
    for _ in range(40):
        shop.client.post("/v3/nothing", content=body)
    asks = request("/_paysim/requests", method="GET") * 100
    with dialled(shop.server) as raw:
        raw.sendall(asks)
        assert raw.recv(1) == b"H"
        began = time.monotonic()
        while shop.server.run(_connections(shop.server)) > 1:  # httpx has one
            assert time.monotonic() - began < 8
            time.sleep(0.01)
    still_serves(shop)


def _connections(server: RunningServer) -> Callable[[], Any]:
    async def work() -> int:
        listener = server.server._listener
        assert listener is not None
        return len(listener.server_state.connections)

    return work


# Odd requests. ------------------------------------------------------------------------------------


@settings(max_examples=count(400))
@given(data=st.binary(max_size=300) | st.lists(st.sampled_from(list(range(10)))).map(bytes))
def test_garbage_is_answered_or_cut(data: bytes) -> None:
    server = _standing()
    with dialled(server) as raw:
        with contextlib.suppress(ConnectionError):
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
        came = rest(raw)
    assert came == b"" or came.startswith(b"HTTP/1.")
    assert not came.startswith(b"HTTP/1.1 5")


@settings(max_examples=count(400))
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"]),
    target=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    before=st.sampled_from(["/v3/", "/_paysim/", "/_paysim/people", "/", "", "*", "http://x/v3/", "/%"]),
    host=st.sampled_from(["127.0.0.1", "api.mch.weixin.qq.com", "x", ""]),
)
def test_no_target_is_a_5xx(method: str, target: str, before: str, host: str) -> None:
    asked = f"{method} {before}{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    came = exchanged(_standing(), asked.encode())
    assert came == b"" or came.startswith((b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 4")), came[:200]


_STANDING: list[RunningServer] = []


def _standing() -> RunningServer:
    return _STANDING[0]


@pytest.fixture(scope="module", autouse=True)
def _one_stands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One server for the random requests."""
    folder = tmp_path_factory.getbasetemp() / "paysim-keys"
    with RunningServer(Options(port=0, proxy_port=None, clock="virtual", keys=folder)) as server:
        _STANDING.append(server)
        yield
        _STANDING.clear()
        assert server.said == []


def test_requests_in_one_packet_are_answered_in_their_order(shop: Shop) -> None:
    bodies = [json.dumps(shop.order(f"T-{n:06d}")).encode() for n in range(20)]
    heads = [
        "".join(f"{name}: {value}\r\n" for name, value in shop.headers("POST", NATIVE, body).items())
        for body in bodies
    ]
    whole = b"".join(request(NATIVE, h.encode(), body=b) for h, b in zip(heads, bodies, strict=True))
    last = request("/v3/nothing", b"Connection: close\r\n", method="GET")
    came = exchanged(shop.server, whole + last)
    assert came.count(b"HTTP/1.1 200 OK") == 20
    assert came.count(b"HTTP/1.1 404") == 1
    numbers = [json.loads(one["request"])["out_trade_no"] for one in shop.server.requests[1:]]
    assert numbers == [f"T-{n:06d}" for n in reversed(range(20))]


def test_http_1_0(shop: Shop) -> None:
    """Without Host: WeChat Pay answers and closes, the control API does not know whom it talks to."""
    target = f"/v3/pay/transactions/out-trade-no/T-000001?mchid={shop.mchid}"
    head = "".join(f"{name}: {value}\r\n" for name, value in shop.headers("GET", target).items())
    came = exchanged(shop.server, f"GET {target} HTTP/1.0\r\n{head}\r\n".encode())
    assert came.split(b" ")[1] == b"404"
    assert b"ORDER_NOT_EXIST" in came
    assert exchanged(shop.server, b"GET /_paysim/people HTTP/1.0\r\n\r\n").split(b" ")[1] == b"403"
    known = b"GET /_paysim/people HTTP/1.0\r\nHost: localhost\r\n\r\n"
    assert exchanged(shop.server, known).split(b" ")[1] == b"200"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_a_method_that_no_call_has(method: str, shop: Shop) -> None:
    """405 with nothing in it; an unknown path is 404 by any method (facts/wechat 1.2)."""
    answer = shop.client.request(method, NATIVE)
    assert (answer.status_code, answer.content) == (405, b"")
    assert shop.client.request(method, "/v3/nothing").status_code == 404
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_what_is_asked_for_in_pieces_is_one_request(shop: Shop) -> None:
    body = json.dumps(shop.order("T-000001")).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in shop.headers("POST", NATIVE, body).items())
    whole = request(NATIVE, head.encode(), b"Connection: close\r\n", body=body)
    with dialled(shop.server) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(whole), 7):
            raw.sendall(whole[at : at + 7])
        assert rest(raw).startswith(b"HTTP/1.1 200 ")


def test_a_client_waits_for_100_continue(shop: Shop) -> None:
    body = json.dumps(shop.order("T-000001")).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in shop.headers("POST", NATIVE, body).items())
    whole = request(NATIVE, head.encode(), b"Expect: 100-continue\r\nConnection: close\r\n", body=body)
    with dialled(shop.server) as raw:
        raw.sendall(whole.removesuffix(body))
        assert raw.recv(25).startswith(b"HTTP/1.1 100 ")
        raw.sendall(body)
        assert b"HTTP/1.1 200 " in rest(raw)


def test_who_goes_away_in_the_middle_leaves_no_order(shop: Shop) -> None:
    body = json.dumps(shop.order("T-000001")).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in shop.headers("POST", NATIVE, body).items())
    with dialled(shop.server) as raw:
        raw.sendall(request(NATIVE, head.encode(), body=body)[:-1])
    still_serves(shop)
    (why,) = [one["why"] for one in shop.server.requests if not one["status"]]
    assert why == "the client went away before its body was through"
    assert shop.book("T-000001") is None


# Many, and the end. -------------------------------------------------------------------------------


def test_two_hundred_at_once(shop: Shop, receiver: Receiver) -> None:
    """Each has a connection of its own and keeps it; every order is there, once."""
    shop.notify_url = receiver.url
    port = int(shop.server.base_url.rpartition(":")[2])
    whole = []
    for n in range(200):
        body = json.dumps(shop.order(f"T-{n:06d}")).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in shop.headers("POST", NATIVE, body).items())
        whole.append(request(NATIVE, head.encode(), body=body))

    async def one(sent: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        together.release()
        await over.wait()
        writer.close()
        await writer.wait_closed()
        return head

    async def all_of_them() -> list[bytes]:
        asked = [asyncio.create_task(one(sent)) for sent in whole]
        for _ in whole:
            await asyncio.wait_for(together.acquire(), 20)
        assert await asyncio.to_thread(shop.server.run, _connections(shop.server)) >= 200
        over.set()
        return await asyncio.gather(*asked)

    together, over = asyncio.Semaphore(0), asyncio.Event()
    heads = asyncio.run(all_of_them())
    assert {head.split(b"\r\n")[0] for head in heads} == {b"HTTP/1.1 200 OK"}
    assert all(shop.kinds(f"T-{n:06d}") == ["created", "presented"] for n in range(200))
    assert shop.money() == (2_000_000, 0)


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


LEFT_OPEN: list[bytes] = [
    b"",
    b"GET /_paysim/peo",
    request("/_paysim/people", JSON).replace(b"Content-Length: 0", b"Content-Length: 9"),
    request(NATIVE).replace(b"Content-Length: 0", b"Content-Length: 9"),
    request("/_paysim/people", method="GET"),
    request("/_paysim/journal", b"Accept: text/event-stream\r\n", method="GET"),
    request("/v3/slow", method="GET"),
    b"\x16\x03\x01",
]
"""What clients have sent when everything ends: they neither finish nor close."""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts files by /proc")
def test_nothing_is_left_when_everything_ends(
    paysim_server_options: Options, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No task, no thread, no file: whatever the clients were at, callbacks under way among it."""
    monkeypatch.setattr(import_module("paysim.servers.listener"), "GRACE_S", 0.3)
    answering = threading.Event()
    receiver.judge = lambda _: 200 if answering.wait(5) else 500
    gc.collect()
    files, threads = _open_files(), threading.active_count()
    clients: list[socket.socket] = []

    async def life() -> list[str]:
        server = Server(paysim_server_options, lambda _: None)
        await server.start()
        server.platform.sandbox.faults.add(Fault("request", "delay", path="/v3/slow", delay_s=600))
        loop = asyncio.get_running_loop()
        port = int(server.base_url.rpartition(":")[2])
        with ThreadPoolExecutor(1) as pool:
            for sent in LEFT_OPEN:
                clients.append(await loop.run_in_executor(pool, _left, port, sent))
        shop = server.platform.sandbox.wechat
        _owe(server, receiver.url)
        while not server.platform.courier._tasks:
            await asyncio.sleep(0.001)
        assert shop.callbacks()
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 3
        await asyncio.sleep(0)
        return [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(life()) == []
    answering.set()
    for client in clients:
        rest(client)
        client.close()
    gc.collect()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (_open_files() > files or threading.active_count() > threads):
        time.sleep(0.01)  # the merchant's own threads come to their end
    assert (_open_files(), threading.active_count()) <= (files, threads)


def _left(port: int, sent: bytes) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    raw.sendall(sent)
    return raw


def _owe(server: Server, url: str) -> None:
    """An order that is paid, and its callback under way."""
    from wechat_counter import Counter

    counter = Counter(sandbox=server.platform.sandbox)
    text = counter.shown(number="T-000001", notify_url=url)
    counter.pay(text)


def test_it_ends_at_once_where_nobody_is_there(paysim_server_options: Options) -> None:
    server = RunningServer(paysim_server_options)
    server.client.call("GET", "/people")
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 1
    with pytest.raises(OSError, match="refused"):
        dialled(server)


def test_a_request_that_is_under_way_is_answered_before_the_end(paysim_server_options: Options) -> None:
    server = RunningServer(paysim_server_options)
    with (
        httpx.Client(base_url=server.base_url, timeout=20, trust_env=False) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        shop = Shop(server, client)
        server.faults.add(Fault("answer", "delay", delay_s=0.3))
        body = json.dumps(shop.order("T-000001")).encode()
        headers = shop.headers("POST", NATIVE, body)
        asked = pool.submit(client.post, NATIVE, content=body, headers=headers)
        faults = server.faults
        while faults.faults:
            time.sleep(0.001)
        server.close()
        assert asked.result().status_code == 200
