"""Callbacks on their way out, posted to real local servers."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.server
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.crypto import authority, keys
from paysim.servers import webhooks
from paysim.servers.webhooks import Attempt, Policy, Sender

HEADERS = (
    ("User-Agent", "Mozilla/4.0"),
    ("Accept", "*/*"),
    ("Pragma", "no-cache"),
    ("Content-Type", "application/json"),
    ("Wechatpay-Signature", "c2lnbmF0dXJl"),
)
BODY = '{"id":"EV-1","summary":"支付成功"}'.encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"

Handler = Callable[["Sink", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Sink:
    """A merchant's server: each connection runs the handler; what it read is kept as bytes."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def read(self, reader: asyncio.StreamReader) -> bool:
        """Take one request in whole; False where the client hung up instead."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        self.requests.append(head + await reader.readexactly(length))
        return True

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await self.handler(self, reader, writer)
        writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/notify"


def replying(answer: bytes) -> Handler:
    """Answers each request with these bytes and keeps the connection."""

    async def handler(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await sink.read(reader):
            writer.write(answer)
            await writer.drain()

    return handler


def replying_once(answer: bytes) -> Handler:
    """Answers one request with these bytes and hangs up."""

    async def handler(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sink.read(reader)
        writer.write(answer)
        await writer.drain()

    return handler


@contextlib.asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[Sink]:
    sink = Sink(handler)
    server = await asyncio.start_server(sink.connected, host, 0, **options)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        await asyncio.sleep(0)


def resolver(**table: Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A resolver that knows these names (`_` for the dot) and counts what it is asked."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        if host.replace(".", "_") not in table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return table[host.replace(".", "_")]

    asked: list[str] = []
    resolve.asked = asked  # type: ignore[attr-defined]
    return resolve


def said_of(url: str, policy: Policy | None = None, **options: Any) -> tuple[Attempt, list[str]]:
    """One attempt at a URL, and the lines said."""
    lines: list[str] = []

    async def main() -> Attempt:
        async with Sender(policy or Policy(), say=lines.append, **options) as sender:
            return await sender.send(url, HEADERS, BODY)

    return asyncio.run(main()), lines


def posted(handler: Handler, *, times: int = 1, **options: Any) -> tuple[list[Attempt], Sink]:
    """Attempts at a server with this handler."""

    async def main() -> tuple[list[Attempt], Sink]:
        async with serving(handler) as sink, Sender(Policy(), say=pytest.fail, **options) as sender:
            return [await sender.send(sink.url, HEADERS, BODY) for _ in range(times)], sink

    return asyncio.run(main())


def test_the_request_arrives_exactly_and_once() -> None:
    (attempt,), sink = posted(replying(OK))
    assert attempt == Attempt(200, "", sink.url, b"ok", attempt.elapsed_ms)
    assert attempt.acknowledged
    lines = [f"{name}: {value}" for name, value in HEADERS]
    head = "\r\n".join(
        [
            "POST /notify HTTP/1.1",
            f"Host: 127.0.0.1:{sink.port}",
            *lines,
            f"Content-Length: {len(BODY)}",
            "",
            "",
        ]
    )
    assert sink.requests == [head.encode() + BODY]


def test_one_connection_carries_many_callbacks() -> None:
    attempts, sink = posted(replying(NO_CONTENT), times=20)
    assert all(attempt.acknowledged and attempt.status == 204 for attempt in attempts)
    assert sink.connections == 1


REFUSED_ADDRESSES = (
    # addresses, pattern that names the host or "", word in the error; test_destination.py has more
    (["93.184.216.34"], "", "93.184.216.34 is not loopback"),
    (["127.0.0.1", "93.184.216.34"], "", "93.184.216.34 is not loopback"),
    (["169.254.169.254"], "*", "169.254.169.254 is link-local"),
    (["127.0.0.1", "::ffff:169.254.169.254"], "*", "is link-local"),
    (["0.0.0.0"], "*", "0.0.0.0 is unspecified"),
)


@pytest.mark.parametrize(("addresses", "pattern", "word"), REFUSED_ADDRESSES)
def test_an_address_that_is_not_called(addresses: list[str], pattern: str, word: str) -> None:
    policy = Policy(hosts=(pattern,) if pattern else ())
    attempt, lines = said_of("http://shop.example/n", policy, resolve=resolver(shop_example=addresses))
    assert attempt.status == 0
    assert attempt.error.startswith("refused: ")
    assert word in attempt.error
    assert len(lines) == 1
    assert ("--notify-host shop.example lets" in lines[0]) == (not pattern)
    assert "--notify-host" in lines[0]
    assert "--notify-rewrite http://shop.example=http://127.0.0.1:PORT" in lines[0]


def test_the_checked_address_is_the_one_that_is_dialled() -> None:
    async def main() -> None:
        resolve = resolver(shop_example=["127.0.0.1"])
        async with (
            serving(replying(OK)) as sink,
            Sender(Policy(), say=pytest.fail, resolve=resolve) as sender,
        ):
            attempt = await sender.send(f"http://shop.example:{sink.port}/n", HEADERS, BODY)
            assert attempt.acknowledged
            assert f"Host: shop.example:{sink.port}".encode() in sink.requests[0]
            assert resolve.asked == ["shop.example"]

    asyncio.run(main())


def test_a_redirect_is_an_answer() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    (attempt,), sink = posted(replying(answer))
    assert (attempt.status, attempt.error, attempt.acknowledged) == (302, "", False)
    assert len(sink.requests) == 1


def test_an_answer_of_64_kib_is_kept_and_one_byte_more_is_an_error() -> None:
    for size, error in ((65536, ""), (65537, "answer: longer than 65536 bytes")):
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
        (attempt,), _ = posted(replying(answer))
        assert (attempt.status, attempt.error, len(attempt.answer)) == (200, error, 65536)
        assert attempt.acknowledged == (not error)


def test_a_slow_drip_ends_with_the_time_of_the_merchant() -> None:
    async def drip(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sink.read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    (attempt,), _ = posted(drip, timeout_s=0.3)
    assert (attempt.status, attempt.error) == (200, "timeout: no whole answer within 0.3 s")
    assert 250 < attempt.elapsed_ms < 5000
    assert not attempt.acknowledged


def test_a_line_is_said_once_a_host() -> None:
    lines: list[str] = []

    async def main() -> None:
        resolve = resolver(a_example=["10.0.0.1"], b_example=["10.0.0.1"])
        async with Sender(Policy(), say=lines.append, resolve=resolve) as sender:
            for path in range(5):
                for host in ("a", "b", "c"):
                    await sender.send(f"https://{host}.example/{path}", HEADERS, BODY)

    asyncio.run(main())
    assert len(lines) == 3
    assert all("\n" not in line for line in lines)
    assert "a.example" in lines[0]
    assert "c.example has no address" in lines[2]


def test_a_rewritten_callback_that_is_refused_names_the_rewrite_to_make() -> None:
    policy = Policy(rewrites=(("https://shop.example", "http://10.0.0.1:8000"),))
    attempt, lines = said_of("https://shop.example/n", policy)
    assert (attempt.url, attempt.status) == ("http://10.0.0.1:8000/n", 0)
    assert "--notify-host 10.0.0.1 " in lines[0]
    assert "--notify-rewrite https://shop.example=" in lines[0]


def test_a_rewrite_leads_a_public_address_to_the_local_server() -> None:
    async def main() -> None:
        async with serving(replying(OK)) as sink:
            policy = Policy(rewrites=(("https://shop.example/pay", sink.url),), strict=True)
            async with Sender(policy, say=pytest.fail) as sender:
                attempt = await sender.send("https://shop.example/pay/wechat", HEADERS, BODY)
            assert attempt.acknowledged
            assert attempt.url == f"{sink.url}/wechat"
            assert sink.requests[0].startswith(b"POST /notify/wechat HTTP/1.1\r\nHost: 127.0.0.1:")

    asyncio.run(main())


STRICT = (
    # url, addresses of shop.example, error
    ("http://127.0.0.1/n", [], "url: must be reachable"),
    ("http://shop.example/n?x", [], "url: must not carry a query"),
    ("http://shop.example/n", ["127.0.0.1"], "refused: 127.0.0.1 is not public"),
    ("http://shop.example/n", ["10.0.0.1"], "refused: 10.0.0.1 is not public"),
)


@pytest.mark.parametrize(("url", "addresses", "error"), STRICT)
def test_production_rules_hold_for_what_is_not_rewritten(url: str, addresses: list[str], error: str) -> None:
    policy = Policy(hosts=("*",), strict=True)
    attempt, _ = said_of(url, policy, resolve=resolver(shop_example=addresses))
    assert attempt.error.startswith(error)


def own_address() -> str:
    """An address of this machine that is not loopback, "" where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        address = str(probe.getsockname()[0])
        return "" if address.startswith(("127.", "0.")) else address


@pytest.mark.skipif(not own_address(), reason="this machine has no address besides loopback")
def test_a_named_host_is_called_beyond_loopback() -> None:
    async def main() -> None:
        async with serving(replying(OK), own_address()) as sink:
            url = f"http://shop.example:{sink.port}/n"
            resolve = resolver(shop_example=[own_address()])
            for hosts, reached in (((), False), (("*.example",), True)):
                async with Sender(Policy(hosts), say=lambda line: None, resolve=resolve) as sender:
                    assert (await sender.send(url, HEADERS, BODY)).acknowledged == reached
            assert len(sink.requests) == 1

    asyncio.run(main())


SPELLINGS = ("127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "127.0.0.9", "[::ffff:127.0.0.1]", "localhost")


@pytest.mark.parametrize("host", SPELLINGS)
def test_loopback_however_it_is_spelled(host: str) -> None:
    async def main() -> None:
        async with serving(replying(OK), "0.0.0.0") as sink, Sender(Policy(), say=pytest.fail) as sender:
            assert (await sender.send(f"http://{host}:{sink.port}/n", HEADERS, BODY)).acknowledged
            assert f"Host: {host}:{sink.port}".encode() in sink.requests[0]

    asyncio.run(main())


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no IPv6")
def test_ipv6_loopback() -> None:
    async def main() -> None:
        async with serving(replying(OK), "::1") as sink, Sender(Policy(), say=pytest.fail) as sender:
            assert (await sender.send(f"http://[::1]:{sink.port}/n", HEADERS, BODY)).acknowledged
            assert f"Host: [::1]:{sink.port}".encode() in sink.requests[0]

    asyncio.run(main())


def test_the_next_address_is_tried_where_nobody_listens() -> None:
    async def main() -> None:
        resolve = resolver(localhost=["::1", "127.0.0.2", "127.0.0.1"])
        async with (
            serving(replying(OK)) as sink,
            Sender(Policy(), say=pytest.fail, resolve=resolve) as sender,
        ):
            assert (await sender.send(f"http://localhost:{sink.port}/n", HEADERS, BODY)).acknowledged

    asyncio.run(main())


def test_a_name_that_turns_to_another_address_is_judged_anew() -> None:
    async def main() -> None:
        table = ["127.0.0.1"]
        resolve = resolver(shop_example=table)
        closing = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        async with (
            serving(replying_once(closing)) as sink,
            Sender(Policy(), say=lambda line: None, resolve=resolve) as sender,
        ):
            url = f"http://shop.example:{sink.port}/n"
            assert (await sender.send(url, HEADERS, BODY)).acknowledged
            table[0] = "10.0.0.1"
            assert (await sender.send(url, HEADERS, BODY)).error == "refused: 10.0.0.1 is not loopback"
            assert len(sink.requests) == 1

    asyncio.run(main())


def test_a_name_in_another_script_goes_out_in_ascii() -> None:
    async def main() -> None:
        resolve = resolver(**{"xn--bnq875c_example": ["127.0.0.1"]})
        async with (
            serving(replying(OK)) as sink,
            Sender(Policy(), say=pytest.fail, resolve=resolve) as sender,
        ):
            assert (await sender.send(f"http://支付.example:{sink.port}/通知", HEADERS, BODY)).acknowledged
            assert sink.requests[0].startswith(
                b"POST /%%E9%%80%%9A%%E7%%9F%%A5 HTTP/1.1\r\nHost: xn--bnq875c.example:%d\r\n" % sink.port
            )

    asyncio.run(main())


WRONG_URLS = (
    "",
    "shop",
    "ftp://127.0.0.1/",
    "http://u:p@127.0.0.1/",
    "http://127.0.0.1:0/",
    "http://\ud800/",
)


@pytest.mark.parametrize("url", WRONG_URLS)
def test_what_is_no_url_is_an_error_in_words(url: str) -> None:
    attempt, lines = said_of(url)
    assert attempt.error.startswith("url: ")
    assert (attempt.status, attempt.url, lines) == (0, url, [])


WRONG_HEADERS = (
    ("X-A", "a\r\nX-B: b"),
    ("X\n", "a"),
    ("", "a"),
    ("X-Ä", "a"),
    ("X-A", "支付"),
    ("X-A", "a\0"),
)


@pytest.mark.parametrize("header", WRONG_HEADERS)
def test_what_is_no_header_is_not_sent(header: tuple[str, str]) -> None:
    async def main() -> None:
        async with serving(replying(OK)) as sink, Sender(Policy(), say=pytest.fail) as sender:
            attempt = await sender.send(sink.url, [*HEADERS, header], BODY)
            assert attempt.error.startswith("headers: ")
            assert attempt.status == 0
            assert sink.requests == []
            assert (await sender.send(sink.url, HEADERS, BODY)).acknowledged

    asyncio.run(main())


def test_where_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/n"
    attempt, lines = said_of(url)
    assert (attempt.status, attempt.error, lines) == (0, "connection: nobody listens there", [])


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (attempt,), _ = posted(replying(OK))
    assert attempt.acknowledged


def test_no_cookie_is_kept() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    _, sink = posted(replying(answer), times=2)
    assert len(sink.requests) == 2
    assert sink.requests[0] == sink.requests[1]


def test_a_compressed_answer_stays_compressed() -> None:
    bomb = gzip.compress(bytes(20_000_000), mtime=0)
    assert len(bomb) < 65536
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    (attempt,), _ = posted(replying(head + bomb))
    assert attempt.acknowledged
    assert attempt.answer == bomb


ANSWERS = (
    # what the server sends before it hangs up, status, error, answer
    (b"HTTP/1.1 200 OK\r\n\r\nall", 200, "", b"all"),
    (b"HTTP/1.0 200 OK\r\n\r\n", 200, "", b""),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "", b"ok"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + NO_CONTENT, 204, "", b""),
    (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nfail", 500, "", b"fail"),
    (b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", 401, "", b""),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 0, "answer: ", b""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart", 200, "answer: ", b"part"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 0, "answer: ", b""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", 0, "answer: ", b""),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200, "answer: ", b""),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, 0, "answer: ", b""),
    (b"SSH-2.0-OpenSSH_9.6\r\n", 0, "answer: ", b""),
    (b"", 0, "answer: Server disconnected", b""),
)


@pytest.mark.parametrize(("sent", "status", "error", "answer"), ANSWERS)
def test_answers_whole_broken_and_strange(sent: bytes, status: int, error: str, answer: bytes) -> None:
    (attempt,), sink = posted(replying_once(sent), timeout_s=10)
    assert (attempt.status, attempt.answer) == (status, answer)
    assert attempt.error.startswith(error)
    assert bool(attempt.error) == bool(error)
    assert attempt.acknowledged == (status in (200, 204) and not error)
    assert len(sink.requests) == 1, "a new connection that fails is not replaced"


@settings(max_examples=count(300))
@given(st.binary(max_size=80) | st.binary(max_size=40).map(b"HTTP/1.1 200 OK\r\n".__add__))
def test_any_bytes_as_an_answer_end_in_an_attempt(sent: bytes) -> None:
    (attempt,), _ = posted(replying_once(sent), timeout_s=10)
    assert attempt.status or attempt.error


async def reset(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await sink.read(reader)
    writer.transport.abort()


async def silent(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await sink.read(reader)
    await reader.read()


async def endless(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await sink.read(reader)
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


def test_a_reset() -> None:
    (attempt,), _ = posted(reset)
    assert attempt.status == 0
    assert attempt.error.startswith(("connection: ", "answer: Server disconnected"))


@pytest.mark.parametrize("handler", [silent, endless])
def test_no_answer_in_time(handler: Handler) -> None:
    (attempt,), _ = posted(handler, timeout_s=0.2)
    assert (attempt.status, attempt.error) == (0, "timeout: no whole answer within 0.2 s")
    assert 150 < attempt.elapsed_ms < 5000


def test_a_resolver_that_does_not_answer_in_time() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return ()

    attempt, lines = said_of("http://shop.example/n", timeout_s=0.1, resolve=resolve)
    assert attempt.error == "unresolved: no address found within 0.1 s"
    assert "--notify-rewrite" in lines[0]


def test_a_server_that_hangs_up_after_each_answer_without_saying_so() -> None:
    attempts, sink = posted(replying_once(OK), times=50)
    assert all(attempt.acknowledged for attempt in attempts)
    assert len(sink.requests) == 50


def test_a_warm_connection_that_ends_unheard_is_replaced_once() -> None:
    async def second_fails(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sink.read(reader)
        writer.write(OK)
        await sink.read(reader)

    attempts, sink = posted(second_fails, times=2)
    assert all(attempt.acknowledged for attempt in attempts)
    assert (sink.connections, len(sink.requests)) == (2, 3)


def test_a_wrong_answer_on_a_warm_connection_is_not_asked_for_again() -> None:
    async def second_wrong(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sink.read(reader)
        writer.write(OK)
        await sink.read(reader)
        writer.write(b"nonsense\r\n\r\n")

    attempts, sink = posted(second_wrong, times=2)
    assert [attempt.acknowledged for attempt in attempts] == [True, False]
    assert len(sink.requests) == 2


def test_an_idle_connection_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_WARM_S", 0.05)
    closed = asyncio.Event()

    async def handler(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await replying(OK)(sink, reader, writer)
        closed.set()

    async def main() -> None:
        async with serving(handler) as sink, Sender(Policy(), say=pytest.fail) as sender:
            assert (await sender.send(sink.url, HEADERS, BODY)).acknowledged
            await asyncio.wait_for(closed.wait(), 5)
            assert sender._routes == {}
            assert (await sender.send(sink.url, HEADERS, BODY)).acknowledged

    asyncio.run(main())


def test_closing_ends_what_is_under_way_and_sends_nothing_more() -> None:
    async def main() -> None:
        async with serving(silent) as sink:
            sender = Sender(Policy(), say=pytest.fail)
            under_way = asyncio.create_task(sender.send(sink.url, HEADERS, BODY))
            while not sink.requests:
                await asyncio.sleep(0.01)
            await sender.close()
            await sender.close()
            assert (await asyncio.wait_for(under_way, 1)).error.startswith("closed: ")
            assert (await sender.send(sink.url, HEADERS, BODY)).error.startswith("closed: ")
            assert len(sink.requests) == 1

    asyncio.run(main())


def test_a_cancelled_attempt_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with serving(silent) as sink, Sender(Policy(), say=pytest.fail) as sender:
            tasks = [asyncio.create_task(sender.send(sink.url, HEADERS, BODY)) for _ in range(100)]
            while len(sink.requests) < 32:
                await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() for task in tasks)
            assert sender._routes == {}
            sink.handler = replying(OK)
            assert (await sender.send(sink.url, HEADERS, BODY)).acknowledged

    asyncio.run(main())


def test_a_thousand_at_once_over_few_connections() -> None:
    async def main() -> None:
        async with serving(replying(OK)) as sink, Sender(Policy(), say=pytest.fail) as sender:
            bodies = [b"%d" % number for number in range(1000)]
            attempts = await asyncio.gather(*(sender.send(sink.url, HEADERS, body) for body in bodies))
            assert all(attempt.acknowledged for attempt in attempts)
            assert sorted(request.partition(b"\r\n\r\n")[2] for request in sink.requests) == sorted(bodies)
            assert sink.connections <= 32

    asyncio.run(main())


def test_a_silent_merchant_does_not_hold_up_another() -> None:
    async def main() -> None:
        async with (
            serving(silent) as dead,
            serving(replying(OK)) as alive,
            Sender(Policy(), timeout_s=10, say=pytest.fail) as sender,
        ):
            stuck = [asyncio.create_task(sender.send(dead.url, HEADERS, BODY)) for _ in range(100)]
            await asyncio.sleep(0.05)
            began = time.monotonic()
            assert (await sender.send(alive.url, HEADERS, BODY)).acknowledged
            assert time.monotonic() - began < 5
            for task in stuck:
                task.cancel()
            await asyncio.wait(stuck)

    asyncio.run(main())


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path, list[str]]:
    """A server's TLS for shop.example and 127.0.0.1, its root, and the names that it was called by."""
    folder = tmp_path_factory.mktemp("tls")
    start_ms = int(time.time() * 1000) - 60_000
    root_key, key = keys.mint("p-256"), keys.mint("p-256")
    root = authority.found(root_key, serial=1, start_ms=start_ms, days=2)
    leaf = root.tls(key.public(), ["shop.example", "127.0.0.1"], serial=2, start_ms=start_ms, days=1)
    (folder / "root.pem").write_bytes(root.certificate.pem())
    (folder / "leaf.pem").write_bytes(leaf.pem() + key.pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    names: list[str] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    return context, folder / "root.pem", names


Certified = tuple[ssl.SSLContext, Path, list[str]]

TLS = (
    # host, certificates checked on loopback, our root trusted, error
    ("shop.example", False, False, ""),
    ("127.0.0.1", False, False, ""),
    ("other.example", False, False, ""),
    ("shop.example", True, True, ""),
    ("127.0.0.1", True, True, ""),
    ("shop.example", True, False, "connection: "),
    ("other.example", True, True, "connection: "),
)


@pytest.mark.parametrize(("host", "checked", "trusted", "error"), TLS)
def test_https_on_loopback(
    host: str,
    checked: bool,
    trusted: bool,
    error: str,
    certified: Certified,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, root, names = certified
    names.clear()
    webhooks._system_roots.cache_clear()
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(root))

    async def main() -> None:
        resolve = resolver(
            shop_example=["127.0.0.1"], other_example=["127.0.0.1"], **{"127_0_0_1": ["127.0.0.1"]}
        )
        policy = Policy(insecure_loopback=not checked)
        async with (
            serving(replying(OK), ssl=context) as sink,
            Sender(policy, say=pytest.fail, resolve=resolve) as sender,
        ):
            attempts = [await sender.send(f"https://{host}:{sink.port}/n", HEADERS, BODY) for _ in range(2)]
            assert all(attempt.error.startswith(error) for attempt in attempts)
            assert [attempt.acknowledged for attempt in attempts] == [not error] * 2
            assert names[0] == (None if host == "127.0.0.1" else host)
            assert sink.connections == (0 if error else 1)

    asyncio.run(main())
    webhooks._system_roots.cache_clear()


def test_https_to_a_server_without_tls() -> None:
    async def plain(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def main() -> None:
        async with serving(plain) as sink:
            async with Sender(Policy(), timeout_s=10, say=pytest.fail) as sender:
                attempt = await sender.send(sink.url.replace("http:", "https:"), HEADERS, BODY)
            assert attempt.status == 0
            assert attempt.error.startswith("connection: ")

    asyncio.run(main())


class Plain(http.server.BaseHTTPRequestHandler):
    """The server that Python programmers have at hand: HTTP/1.0, one answer a connection."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_server_of_the_standard_library() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plain) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

        async def main() -> list[Attempt]:
            async with Sender(Policy(), say=pytest.fail) as sender:
                url = f"http://localhost:{server.server_port}/n"
                return [await sender.send(url, HEADERS, BODY) for _ in range(10)]

        attempts = asyncio.run(main())
        server.shutdown()
    assert [attempt.status for attempt in attempts] == [204] * 10
    assert all(attempt.acknowledged for attempt in attempts)
