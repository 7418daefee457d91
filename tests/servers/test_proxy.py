"""The proxy, by clients that know nothing of us: what reaches the sandbox, and what goes nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from paysim.core.errors import UsageError
from paysim.operators.wechat.hosts import WECHAT_HOSTS
from paysim.servers import tls
from paysim.servers.environment import environment
from paysim.servers.proxy import Bounds, Proxy
from paysim.store.keyring import Keyring

ALL = os.environ.get("PAYSIM_ALL") == "1"
HOST = "api.mch.weixin.qq.com"
MIB = 1 << 20
BOUNDS = Bounds()
END = b"\r\n\r\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    return Keyring(tmp_path_factory.mktemp("proxy") / "keys")


@pytest.fixture(scope="module")
def context(keyring: Keyring) -> ssl.SSLContext:
    made = tls.server_context(keyring, WECHAT_HOSTS, int(time.time() * 1000))
    tls.bundle(keyring, tls.root(keyring, WECHAT_HOSTS, int(time.time() * 1000)).certificate)
    return made


@pytest.fixture(scope="module")
def trusting(keyring: Keyring, context: ssl.SSLContext) -> ssl.SSLContext:
    """A client that trusts our CA, and no other."""
    return ssl.create_default_context(cafile=str(keyring.folder / tls.CA_FILE))


# Servers to lead to. ------------------------------------------------------------------------------------


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP: answers each request with its own head and body."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while head := await reader.readuntil(END):
            fields = dict(line.lower().split(b": ", 1) for line in head[:-4].split(b"\r\n")[1:])
            body = head + await reader.readexactly(int(fields.get(b"content-length", 0)))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            if fields.get(b"connection") == b"close":
                break


@contextlib.asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A local server's port; its connections are closed with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()


class Site(threading.Thread):
    """An upstream and the proxy before it, in a thread of their own; `said` are the lines for the person."""

    def __init__(self, context: ssl.SSLContext, folder: Path, allow: tuple[str, ...]) -> None:
        super().__init__(daemon=True)
        self.context, self.folder, self.allow = context, folder, allow
        self.said: list[str] = []
        self.port = 0
        self.loop = asyncio.new_event_loop()
        self.ready, self.over = threading.Event(), asyncio.Event()

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self.serve())

    async def serve(self) -> None:
        async with serving(echo) as upstream:
            proxy = Proxy(("127.0.0.1", upstream), self.context, WECHAT_HOSTS, self.allow, self.said.append)
            self.port = await proxy.start()
            self.ready.set()
            await self.over.wait()
            await proxy.stop()

    def done(self, *command: str) -> subprocess.CompletedProcess[str]:
        """The command, in the environment of `paysim run`."""
        ca, bundle = self.folder / tls.CA_FILE, self.folder / tls.BUNDLE_FILE
        where = environment(os.environ, f"http://127.0.0.1:{self.port}", str(ca), str(bundle))
        return subprocess.run(command, env=where, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def site(context: ssl.SSLContext, keyring: Keyring, request: pytest.FixtureRequest) -> Iterator[Site]:
    one = Site(context, keyring.folder, getattr(request, "param", ()))
    one.start()
    assert one.ready.wait(10)
    yield one
    one.loop.call_soon_threadsafe(one.over.set)
    one.join(10)
    assert not one.is_alive()


# Real clients. ------------------------------------------------------------------------------------------

NODE = """
const tls = require('tls'), https = require('https'), proxy = new URL(process.env.HTTPS_PROXY);
const asked = {host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: '%(host)s:443'};
require('http').request(asked).on('connect', (answer, socket) => {
  if (answer.statusCode !== 200) { console.log(answer.statusCode); process.exit(3); }
  const createConnection = () => tls.connect({socket, servername: '%(host)s'});
  https.get({host: '%(host)s', path: '/v3/x?y=1', createConnection}, (r) => r.pipe(process.stdout));
}).end();
"""

PYTHON = {
    "requests": "import requests; print(requests.get('https://%(host)s/v3/x?y=1').text)",
    "httpx": "import httpx; print(httpx.get('https://%(host)s/v3/x?y=1').text)",
    "urllib": "import urllib.request as u; print(u.urlopen('https://%(host)s/v3/x?y=1').read().decode())",
}
CLIENTS = {
    **{name: (sys.executable, "-c", text) for name, text in PYTHON.items()},
    "curl": ("curl", "--silent", "--show-error", "https://%(host)s/v3/x?y=1"),
    "node": ("node", "-e", NODE),
}


def command(client: str, host: str) -> list[str]:
    """The client's command; a skip where it is missing."""
    words = [word.replace("%(host)s", host) for word in CLIENTS[client]]
    if shutil.which(words[0]) is None and not ALL:
        pytest.skip(f"{words[0]} is missing")
    return words


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unmodified_client_reaches_the_sandbox(client: str, site: Site) -> None:
    done = site.done(*command(client, HOST))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("GET /v3/x?y=1 HTTP/1.1")
    assert f"host: {HOST}" in done.stdout.lower()
    assert site.said == []


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unmodified_client_reaches_nothing_else(client: str, site: Site) -> None:
    done = site.done(*command(client, "shop.example"))
    assert done.returncode != 0
    assert "403" in done.stdout + done.stderr
    assert len(site.said) == 1
    assert "--allow-host shop.example" in site.said[0]


@pytest.mark.parametrize("name", WECHAT_HOSTS)
def test_each_host_is_led_to_the_sandbox(name: str, site: Site) -> None:
    done = site.done(*command("curl", name))
    assert done.returncode == 0, done.stderr
    assert f"Host: {name}\n" in done.stdout


def test_a_client_that_does_not_trust_us_is_told_how(site: Site, tmp_path: Path) -> None:
    other = Keyring(tmp_path / "other")
    tls.root(other, WECHAT_HOSTS, int(time.time() * 1000))
    for _ in range(2):
        done = site.done(*command("curl", HOST), "--cacert", str(other.folder / tls.CA_FILE))
        assert done.returncode == 60
    assert len(site.said) == 1
    assert "does not trust the sandbox's CA; give it ca.pem" in site.said[0]


# Bytes. -------------------------------------------------------------------------------------------------


def run(
    context: ssl.SSLContext,
    test: Callable[[Proxy, int], Awaitable[None]],
    *,
    handler: Handler = echo,
    allow: tuple[str, ...] = (),
    bounds: Bounds = BOUNDS,
) -> list[str]:
    """Runs `test(proxy, port)`, and checks that nothing of the proxy is left; what it said."""
    said: list[str] = []

    async def whole() -> None:
        async with serving(handler) as upstream:
            proxy = Proxy(("127.0.0.1", upstream), context, WECHAT_HOSTS, allow, said.append, bounds=bounds)
            port = await proxy.start()
            try:
                async with asyncio.timeout(20):
                    await test(proxy, port)
            finally:
                await proxy.stop()
            assert proxy.connections == 0
            left = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]
            assert not any(name.startswith(("Proxy.", "_Flow.", "End.", "TlsEnd.")) for name in left)

    asyncio.run(whole())
    return said


@contextlib.asynccontextmanager
async def dialled(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def led(
    port: int, trusting: ssl.SSLContext | None, target: str = f"{HOST}:443"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection through the proxy, under TLS where `trusting` is given."""
    async with dialled(port) as (reader, writer):
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 200 ")
        if trusting:
            await writer.start_tls(trusting, server_hostname=target.partition(":")[0])
        yield reader, writer


async def answered(port: int, data: bytes) -> bytes:
    """All that comes back for these bytes."""
    async with dialled(port) as (reader, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            return await reader.read()
    return b""


async def gone(proxy: Proxy, within_s: float = 5.0) -> None:
    """Waits until the proxy has no connection any more."""
    async with asyncio.timeout(within_s):
        while proxy.connections:
            await asyncio.sleep(0.005)


BAD_HEADS = {
    "garbage": (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400 Bad Request"),
    "a direct call": (b"GET /v3/certificates HTTP/1.1\r\nHost: x\r\n\r\n", b"400 Bad Request"),
    "too long": (b"CONNECT a:443 HTTP/1.1\r\nX: " + b"x" * 17_000, b"431 Request Header Fields Too Large"),
    "far too long": (b"x" * 5 * MIB, b"431 Request Header Fields Too Large"),
    "too slow": (b"CONNECT a:443 HTTP/1.1\r\n", b"408 Request Timeout"),
    "silent": (b"", b"408 Request Timeout"),
    "refused": (b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", b"403 Forbidden"),
    "plain, refused": (b"GET http://a.example/ HTTP/1.1\r\n\r\n", b"403 Forbidden"),
    "a wallet, plain": (f"GET http://{HOST}/ HTTP/1.1\r\n\r\n".encode(), b"403 Forbidden"),
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_a_head_that_is_not_served(name: str, context: ssl.SSLContext) -> None:
    data, wanted = BAD_HEADS[name]

    async def test(proxy: Proxy, port: int) -> None:
        found = await answered(port, data)
        if len(data) < MIB:
            assert found.startswith(b"HTTP/1.1 " + wanted + b"\r\n")
            assert b"\r\nConnection: close\r\n" in found
            assert found.partition(END)[2].startswith(b"paysim: ")
        await gone(proxy)

    run(context, test, bounds=Bounds(head_s=0.2, linger_s=0.2))


def test_a_head_drop_by_drop_is_cut(context: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        async with dialled(port) as (reader, writer):
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof() and time.monotonic() - began < 5:
                    writer.write(b"C")
                    await asyncio.sleep(0.02)
                    if proxy.connections == 0:
                        break
            assert time.monotonic() - began < 2
        await gone(proxy)

    run(context, test, bounds=Bounds(head_s=0.3, linger_s=0.2))


def test_a_refused_host_is_said_once(context: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        for target in ("a.example:443", "A.example:443", "a.example:8443", "b.example:443"):
            body = await answered(port, f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
            assert b"--allow-host" in body

    said = run(context, test)
    assert [line.partition(":")[0] for line in said] == ["refused a.example", "refused b.example"]
    assert all("\n" not in line for line in said)


def test_what_is_said_has_an_end(context: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        for number in range(1100):
            proxy._note(f"h{number}", f"h{number}")

    assert len(run(context, test)) == 1000


def test_fifty_at_once_each_get_their_own_answer(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        async def one(number: int) -> None:
            async with led(port, trusting) as (reader, writer):
                for turn in range(3):
                    body = bytes([number]) * (1000 * number + turn)
                    writer.write(
                        f"POST /{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}".encode()
                        + END
                        + body
                    )
                    head = await reader.readuntil(END)
                    found = await reader.readexactly(int(head.split(b"Length: ")[1]))
                    assert found.startswith(b"POST /%d " % number)
                    assert found.endswith(END + body)

        await asyncio.gather(*(one(number) for number in range(50)))
        await gone(proxy)

    run(context, test)


def test_more_connections_than_allowed(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        async with led(port, trusting), led(port, trusting):
            assert b"503 Service Unavailable" in await answered(port, b"CONNECT a:443 HTTP/1.1\r\n\r\n")
            async with dialled(port) as (_, _), dialled(port) as (_, _):
                assert await answered(port, b"CONNECT a:443 HTTP/1.1\r\n\r\n") == b""
        await gone(proxy)
        async with led(port, trusting):
            pass

    run(context, test, bounds=Bounds(connections=2, linger_s=0.5))


def test_a_hello_sent_before_our_200_is_not_lost(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting.wrap_bio(came, goes, server_hostname=HOST)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        async with dialled(port) as (reader, writer):
            writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode() + goes.read())
            assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 200 ")
            await shaken(client, came, goes, reader, writer)

    run(context, test)


async def shaken(
    client: ssl.SSLObject,
    came: ssl.MemoryBIO,
    goes: ssl.MemoryBIO,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Carries a handshake over a connection."""
    while True:
        try:
            client.do_handshake()
            writer.write(goes.read())
            return
        except ssl.SSLWantReadError:
            writer.write(goes.read())
            data = await reader.read(65536)
            assert data
            came.write(data)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_finishes_first_still_gets_its_answer(
    version: ssl.TLSVersion, context: ssl.SSLContext, keyring: Keyring
) -> None:
    got = []

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read())  # to the end of what the client sends
        writer.write(b"x" * 300_000)
        await writer.drain()

    trusting = ssl.create_default_context(cafile=str(keyring.folder / tls.CA_FILE))
    trusting.minimum_version = trusting.maximum_version = version

    async def test(proxy: Proxy, port: int) -> None:
        came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting.wrap_bio(came, goes, server_hostname=HOST)
        async with led(port, None) as (reader, writer):
            await shaken(client, came, goes, reader, writer)
            client.write(b"all of it")
            with contextlib.suppress(ssl.SSLWantReadError):
                client.unwrap()
            writer.write(goes.read())
            writer.write_eof()
            came.write(await reader.read())
            found = b""
            with contextlib.suppress(ssl.SSLZeroReturnError):  # our own end is said too
                while chunk := client.read(65536):
                    found += chunk
            assert found == b"x" * 300_000
        await gone(proxy)

    run(context, test, handler=late)
    assert got == [b"all of it"]


def test_a_slow_reader_slows_the_writer(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(512):
            writer.write(b"x" * MIB)
            await writer.drain()
            sent += MIB

    async def test(proxy: Proxy, port: int) -> None:
        async with led(port, None) as (reader, writer):
            client = trusting.wrap_bio(came := ssl.MemoryBIO(), goes := ssl.MemoryBIO(), server_hostname=HOST)
            await shaken(client, came, goes, reader, writer)
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < 64 * MIB
        await gone(proxy)

    run(context, test, handler=flood)


def test_a_client_killed_amid_an_answer(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    ended = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"x" * MIB)
                await writer.drain()
        finally:
            ended.set()

    async def test(proxy: Proxy, port: int) -> None:
        async with led(port, trusting) as (reader, writer):
            await reader.readexactly(1000)
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        async with asyncio.timeout(5):
            await ended.wait()
        await gone(proxy)

    run(context, test, handler=flood)


def test_an_upstream_killed_amid_an_answer(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(END)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def test(proxy: Proxy, port: int) -> None:
        async with led(port, trusting) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.readuntil(END)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b"half"
        await gone(proxy)

    run(context, test, handler=cut, bounds=Bounds(linger_s=0.5))


def test_an_answer_before_the_whole_request_arrives(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def too_large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(END)
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.write_eof()
        await asyncio.sleep(0.3)

    async def test(proxy: Proxy, port: int) -> None:
        async with led(port, trusting) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\n\r\n")
            for _ in range(20):
                writer.write(b"x" * 10_000)
            assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 413 ")
        await gone(proxy)

    run(context, test, handler=too_large, bounds=Bounds(linger_s=0.5))


def test_stopping_cuts_what_is_open(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        async with led(port, trusting) as (reader, _), led(port, None), dialled(port) as (_, silent):
            silent.write(b"CONN")
            while proxy.connections < 3:
                await asyncio.sleep(0.005)
            await proxy.stop()
            assert proxy.connections == 0
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                assert await reader.read() == b""
            with pytest.raises(ConnectionError):
                await answered(port, b"")
        await proxy.stop()

    run(context, test)


def test_what_is_silent_is_cut(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        async with led(port, trusting) as (reader, writer), led(port, None) as (unsaid, _):
            for _ in range(4):  # what moves now and then stays
                await asyncio.sleep(0.15)
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                await reader.readuntil(END)
                await reader.readuntil(END)
            with contextlib.suppress(ConnectionError):
                assert await unsaid.read() == b""  # it never shook hands
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                assert await reader.read() == b""
            await gone(proxy)

    run(context, test, bounds=Bounds(idle_s=0.4, handshake_s=0.3))


def test_a_port_that_is_taken_and_a_second_start(context: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        with pytest.raises(UsageError, match="runs already"):
            await proxy.start()
        other = Proxy(("127.0.0.1", 1), context, WECHAT_HOSTS)
        with pytest.raises(OSError, match="in use"):
            await other.start("127.0.0.1", port)
        await other.stop()

    run(context, test)


def test_an_upstream_that_is_not_there(context: ssl.SSLContext) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nobody = closed.getsockname()
        proxy = Proxy(nobody, context, WECHAT_HOSTS)
        port = await proxy.start()
        found = await answered(port, f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode())
        assert found.startswith(b"HTTP/1.1 502 Bad Gateway")
        await proxy.stop()

    asyncio.run(test())


# What is let through. -----------------------------------------------------------------------------------


def test_an_allowed_host_keeps_its_own_tls(context: ssl.SSLContext, tmp_path: Path) -> None:
    other = Keyring(tmp_path / "other")
    theirs = tls.server_context(other, ["localhost"], int(time.time() * 1000))
    trusting = ssl.create_default_context(cafile=str(other.folder / tls.CA_FILE))

    async def test(proxy: Proxy, port: int) -> None:
        async with serving(echo, theirs) as served:
            async with led(port, trusting, f"localhost:{served}") as (reader, writer):
                writer.write(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await reader.readuntil(END)
                assert (await reader.readuntil(END)).startswith(b"GET /a ")
            refused = await answered(port, f"CONNECT 127.0.0.1:{served} HTTP/1.1\r\n\r\n".encode())
            assert refused.startswith(b"HTTP/1.1 403 ")

    said = run(context, test, allow=("local*", "*"))
    assert len(said) == 1


def test_bytes_pass_a_tunnel_both_ways_to_the_end(context: ssl.SSLContext) -> None:
    async def after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read())[::-1])
        await writer.drain()

    async def test(proxy: Proxy, port: int) -> None:
        async with (
            serving(after) as served,
            led(port, None, f"127.0.0.1:{served}") as (reader, writer),
        ):
            data = bytes(range(256)) * 10_000
            writer.write(data)
            writer.write_eof()
            assert await reader.read() == data[::-1]
        await gone(proxy)

    run(context, test, allow=("127.0.0.*",))


def test_a_plain_request_is_passed_on(context: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        async with serving(echo) as served:
            found = await answered(
                port,
                f"POST http://localhost:{served}/a?b HTTP/1.1\r\nHost: localhost:{served}\r\n"
                "Proxy-Connection: keep-alive\r\nContent-Length: 3\r\n\r\nabc".encode(),
            )
            assert found.partition(END)[2] == (
                f"POST /a?b HTTP/1.1\r\nHost: localhost:{served}\r\nContent-Length: 3\r\n"
                "Connection: close\r\n\r\nabc".encode()
            )

    run(context, test, allow=("localhost",))


def test_an_allowed_host_that_does_not_exist(context: ssl.SSLContext) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        for host in ("nobody.invalid", f"{'a' * 64}.invalid"):
            found = await answered(port, f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
            assert found.startswith(b"HTTP/1.1 502 ")
            assert b"cannot be reached" in found

    run(context, test, allow=("*.invalid",))


def test_a_wallet_never_leaves_whatever_is_allowed(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(proxy: Proxy, port: int) -> None:
        real, dialled_ports = asyncio.open_connection, []

        async def noted(host: str, to: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            dialled_ports.append((host, to))
            return await real(host, to)

        answers = []
        for authority in ("api.mch.weixin.qq.com:8443", "pay.weixin.qq.com:443", "a.tenpay.com.:443"):
            reader, writer = await real("127.0.0.1", port)
            with monkeypatch.context() as patched:
                patched.setattr(asyncio, "open_connection", noted)
                writer.write(f"CONNECT {authority} HTTP/1.1\r\n\r\n".encode())
                answers.append(await reader.read())
            writer.close()
            await writer.wait_closed()
        assert dialled_ports == []
        assert all(answer.startswith(b"HTTP/1.1 403 ") for answer in answers)

    said = run(context, test, allow=("*", "*.com", "pay.weixin.qq.com", "api.mch.weixin.qq.com"))
    assert len(said) == 3
    assert not any("--allow-host" in line for line in said)
