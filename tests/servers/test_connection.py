"""What a client's connection takes: lengths, shapes and times; and requests that only look odd."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from paysim.servers import connection
from paysim.servers.listener import Listener
from paysim.servers.wire import answer, read_body

Scope = MutableMapping[str, Any]
Work = Callable[[int], Awaitable[None]]

ASKS = b"POST /v3/a?b=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
CLOSED = b""


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    """Answers with what it was asked, and a full stop: method, target and body."""
    body = await read_body(receive)
    target = scope["raw_path"] + b"?" + scope["query_string"]
    await answer(send, 200, (), b"%s %s %s." % (scope["method"].encode(), target, body))


def served(work: Work) -> None:
    """Do something with the port of a listener."""

    async def run() -> None:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        listener = Listener(echo)
        serving = asyncio.create_task(listener.run_on(listening))
        while not listener.started:
            await asyncio.sleep(0.002)
        try:
            await asyncio.wait_for(work(port), 20)
        finally:
            listener.leave()
            await serving

    asyncio.run(run())


async def said(port: int, parts: tuple[bytes, ...], answers: int | None) -> bytes:
    """What comes back for these bytes: so many bodies, else everything until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    came = b""
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        while answers is None or came.count(b"\r\n\r\n") < answers or not came.endswith(b"."):
            part = await reader.read(65_536)
            if not part:
                break
            came += part
    await closed(writer)
    return came


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def heard(*parts: bytes, answers: int | None = None) -> bytes:
    """What a new listener says to these bytes."""
    came = [b""]

    async def work(port: int) -> None:
        came[0] = await said(port, parts, answers)

    served(work)
    return came[0]


def bodies(came: bytes) -> list[bytes]:
    """The bodies of answers, each of which must be a success."""
    found = []
    while came:
        head, _, rest = came.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        found.append(rest[:length].removesuffix(b"."))
        came = rest[length:]
    return found


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

TAKEN: dict[str, tuple[tuple[bytes, ...], list[bytes]]] = {
    "plain": ((ASKS,), [b"POST /v3/a?b=1 abc"]),
    "byte by byte": (tuple(ASKS[i : i + 1] for i in range(len(ASKS))), [b"POST /v3/a?b=1 abc"]),
    "three at once": ((ASKS * 3,), [b"POST /v3/a?b=1 abc"] * 3),
    "one after the other": ((ASKS, ASKS), [b"POST /v3/a?b=1 abc"] * 2),
    "an empty line before": ((b"\r\n" + ASKS,), [b"POST /v3/a?b=1 abc"]),
    "chunked": (
        (b"POST /c HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n",),
        [b"POST /c? abcde"],
    ),
    "trailers": (
        (b"POST /c HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"3\r\nabc\r\n0\r\nHost: y\r\nA: b\r\n\r\n" + ASKS,),
        [b"POST /c? abc", b"POST /v3/a?b=1 abc"],
    ),
    "upgrade": (
        (b"POST /u?q HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"Content-Length: 5\r\n\r\nhe", b"llo", ASKS),
        [b"POST /u?q hello", b"POST /v3/a?b=1 abc"],
    ),
    "upgrade, chunked": (
        (b"POST /u HTTP/1.1\r\nHost: x\r\n" + UPGRADE + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + ASKS,),
        [b"POST /u? abc", b"POST /v3/a?b=1 abc"],
    ),
    "upgrade, again and again": (
        ((b"GET /u HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n") * 300,),
        [b"GET /u? "] * 300,
    ),
    "escapes as they came": (
        (b"GET /a%2Fb%20c?x=%E4%BD%A0+%2f HTTP/1.1\r\nHost: x\r\n\r\n",),
        [b"GET /a%2Fb%20c?x=%E4%BD%A0+%2f "],
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_request_is_taken_as_it_was_sent(name: str) -> None:
    parts, answers = TAKEN[name]
    assert bodies(heard(*parts, answers=len(answers))) == answers


NO_HTTP: dict[str, tuple[bytes, ...]] = {
    "words": (b"hello there\r\n\r\n",),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n",),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",),
    "a space before the colon": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",),
    "length and chunks": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n" + CHUNKED + b"0\r\n\r\n",),
    "a negative length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",),
    "a chunk without a length": (b"POST / HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"zz\r\n",),
    "a target beyond ASCII": (b"GET /\xe4 HTTP/1.1\r\nHost: x\r\n\r\n",),
    "CONNECT": (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",),
    "a line feed in a header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\nc\r\n\r\n",),
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_what_is_no_http_is_said_to_be_none(name: str) -> None:
    came = heard(*NO_HTTP[name])
    assert came.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in came.lower()


LONG = b"x" * (8 * connection.HEAD_BYTES)

ENDLESS: dict[str, bytes] = {
    "target": b"GET /" + LONG,
    "header": b"GET / HTTP/1.1\r\nHost: x\r\nA: " + LONG,
    "headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 80_000,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_head_is_cut(name: str) -> None:
    came = heard(ENDLESS[name])
    assert came == CLOSED or came.startswith(b"HTTP/1.1 400 ")  # what is unread may reset the connection


def test_what_is_no_http_after_a_request_ends_the_connection() -> None:
    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASKS)
        assert (await reader.readuntil(b"abc.")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"?\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        await closed(writer)

    served(work)


def test_an_endless_trailer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_BYTES", 100_000)
    begins = b"POST / HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"1\r\na\r\n0\r\nA: "
    assert heard(begins, *(LONG for _ in range(4))) == CLOSED


SLOW: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "half a head": (b"", b"GET / HTTP/1.1\r\nHo"),
    "half a body": (b"", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"),
    "half a second head": (ASKS, b"GET / HT"),
    "empty lines after an answer": (ASKS, b"\r\n\r\n"),
}
"""What is asked and answered, and what comes then and is not all."""


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_client_is_cut(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.1)
    monkeypatch.setattr(connection, "BODY_S", 0.1)
    whole, part = SLOW[name]

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if whole:
            writer.write(whole)
            await reader.readuntil(b"abc.")
        writer.write(part)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == CLOSED
        await closed(writer)

    served(work)


def test_an_idle_client_is_not_cut_after_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.05)

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(ASKS)
            assert (await reader.readuntil(b"abc.")).startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(0.2)
        await closed(writer)

    served(work)
