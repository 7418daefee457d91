"""Callbacks on their way out, posted to real local servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

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
    # address, pattern that names the host or "", word in the error
    ("93.184.216.34", "", "not loopback"),
    ("10.0.0.1", "", "not loopback"),
    ("2606:2800:21f::1", "", "not loopback"),
    ("169.254.169.254", "*", "link-local"),
    ("::ffff:169.254.169.254", "*", "link-local"),
    ("fe80::1", "*", "link-local"),
    ("fe80::1%1", "*", "link-local"),
    ("2002:a9fe:a9fe::", "*", "link-local"),
    ("64:ff9b::a9fe:a9fe", "*", "link-local"),
    ("::a9fe:a9fe", "*", "link-local"),
    ("0.0.0.0", "*", "unspecified"),
    ("::", "*", "unspecified"),
    ("::ffff:0.0.0.0", "*", "unspecified"),
    ("100.100.100.200", "*", "metadata"),
    ("fd00:ec2::254", "*", "metadata"),
    ("224.0.0.1", "*", "multicast"),
    ("255.255.255.255", "*", "reserved"),
)


@pytest.mark.parametrize(("address", "pattern", "word"), REFUSED_ADDRESSES)
def test_an_address_that_is_not_called(address: str, pattern: str, word: str) -> None:
    policy = Policy(hosts=(pattern,) if pattern else ())
    attempt, lines = said_of("http://shop.example/n", policy, resolve=resolver(shop_example=[address]))
    assert attempt.status == 0
    assert attempt.error.startswith("refused: ")
    assert word in attempt.error
    assert len(lines) == 1
    assert "--notify-host" in lines[0]
    assert "--notify-rewrite" in lines[0]


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
    assert 250 < attempt.elapsed_ms < 2000
    assert not attempt.acknowledged
