"""The CONNECT proxy that leads unmodified programs to the sandbox.

    CONNECT api.mch.weixin.qq.com:443     a wallet's host: our TLS, then its plain bytes go to the sandbox
    CONNECT pypi.org:443                  refused, with a line for the person who runs the sandbox;
                                          tunnelled untouched where `--allow-host pypi.org` lets it
    GET http://pypi.org/simple            the same, without TLS

No connection to a wallet's domain ever leaves, whatever is allowed; an address passes by a glob of addresses
alone, so that `*` does not let a wallet by in disguise. The sandbox tells proxied requests by their Host.

Source: RFC 9110 9.3.6 (CONNECT); RFC 9112 3.2 (forms of the target)
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from paysim.core.errors import UsageError
from paysim.operators.wechat.hosts import WECHAT_DOMAINS

from .gate import Asked, Refused, Rules, judge, parse
from .pipe import End, TlsEnd, pipe

__all__ = ["Bounds", "Proxy"]

_MAX_SAID: Final = 1000
"""Lines said in a proxy's life: one a host, and then silence."""

_TRUST: Final = ("UNKNOWN_CA", "CERTIFICATE_UNKNOWN", "BAD_CERTIFICATE", "UNKNOWN_CERTIFICATE")
"""How clients say, in TLS alerts, that they do not trust our CA; a part of OpenSSL's reason.

Source: RFC 8446 6.2
"""


@dataclass(frozen=True)
class Bounds:
    """What a client may take of us. Assumed: all figures."""

    head_bytes: int = 16_384
    head_s: float = 10.0
    handshake_s: float = 10.0
    connect_s: float = 10.0
    idle_s: float = 300.0
    linger_s: float = 2.0
    connections: int = 400
    """More are answered 503; twice as many are cut without a word."""


class Proxy:
    """Leads `hosts` to `upstream` (host, port) under the TLS of `context`; other hosts as `allow` says.

    `say` gets one line a host for the person who runs the sandbox: refused, or our CA is not trusted. `never`
    are domains that are not let through, whatever is allowed.
    """

    def __init__(
        self,
        upstream: tuple[str, int],
        context: ssl.SSLContext,
        hosts: Sequence[str],
        allow: Sequence[str] = (),
        say: Callable[[str], None] = lambda _: None,
        *,
        never: Sequence[str] = WECHAT_DOMAINS,
        bounds: Bounds = Bounds(),
    ) -> None:
        self._upstream: Final = upstream
        self._context: Final = context
        self._rules: Final = Rules(tuple(hosts), tuple(never), tuple(allow))
        self._say: Final = say
        self._bounds: Final = bounds
        self._said: Final[set[str]] = set()
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._server: asyncio.Server | None = None

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._tasks)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listens, and returns the port; 0 is any. Raises OSError where the port is taken."""
        if self._server is not None:
            raise UsageError("this proxy runs already")
        limit = self._bounds.head_bytes
        self._server = await asyncio.start_server(self._accept, host, port, limit=limit, backlog=256)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Closes the port and cuts what is open; nothing of ours runs after it."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await server.wait_closed()

    # One connection. ------------------------------------------------------------------------------------

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._server is None or len(self._tasks) >= 2 * self._bounds.connections:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        client = End(reader, writer)
        try:
            await self._answer(client, reader, writer)
            await client.close()
        except Refused as refused:
            with contextlib.suppress(OSError, TimeoutError):
                await self._refuse(client, refused)
        except (OSError, TimeoutError):  # a peer that broke, or took too long
            pass
        finally:
            client.abort()

    async def _answer(self, client: End, reader: StreamReader, writer: StreamWriter) -> None:
        if len(self._tasks) > self._bounds.connections:
            raise Refused(503, f"more than {self._bounds.connections} connections are open")
        asked = parse(await self._head(reader))
        try:
            way = judge(asked, self._rules)
        except Refused as refused:
            self._note(asked.host, refused.notable)
            raise
        target = self._upstream if way == "wallet" else (asked.host, asked.port)
        far = await self._connect(*target)
        try:
            await self._lead(asked, way, client, far, (reader, writer))
            await far.close()
        finally:
            far.abort()

    async def _lead(
        self, asked: Asked, way: str, client: End, far: End, streams: tuple[StreamReader, StreamWriter]
    ) -> None:
        """Answers the client, and carries its bytes to the far end and back."""
        if way == "forward":
            await far.write(asked.head)
        else:
            await client.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if way == "wallet":
            client = await self._secured(asked, streams)
        await pipe(client, far, idle_s=self._bounds.idle_s, linger_s=self._bounds.linger_s)

    async def _head(self, reader: StreamReader) -> bytes:
        """The request line and the headers, the empty line included."""
        try:
            async with asyncio.timeout(self._bounds.head_s):
                return await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            raise Refused(408, f"no whole request in {self._bounds.head_s:g} s") from None
        except asyncio.LimitOverrunError:
            raise Refused(431, f"a request's head has at most {self._bounds.head_bytes} bytes") from None
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the client left") from None

    async def _connect(self, host: str, port: int) -> End:
        try:
            async with asyncio.timeout(self._bounds.connect_s):
                return End(*await asyncio.open_connection(host, port))
        except TimeoutError:
            raise Refused(504, f"{host}:{port} does not answer") from None
        except (OSError, UnicodeError) as error:
            raise Refused(502, f"{host}:{port} cannot be reached: {error}") from None

    async def _secured(self, asked: Asked, streams: tuple[StreamReader, StreamWriter]) -> TlsEnd:
        """The client's end under our TLS; says so where the client does not trust us."""
        end = TlsEnd(*streams, self._context)
        try:
            async with asyncio.timeout(self._bounds.handshake_s):
                await end.handshake()
        except ssl.SSLError as error:
            reason = (error.reason or "").upper()
            if any(part in reason for part in _TRUST):
                self._note(
                    f"trust {asked.host}",
                    f"a program refused our certificate for {asked.host}: it does not trust the sandbox's CA;"
                    " give it ca.pem of the keys folder, or bundle.pem",
                )
            raise
        return end

    async def _refuse(self, client: End, refused: Refused) -> None:
        """The answer in plain text; what still comes is read for a while, so that the client sees it."""
        body = f"paysim: {refused.text}\n".encode()
        await client.write(
            f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n".encode()
            + body
        )
        await client.finish()
        async with asyncio.timeout(self._bounds.linger_s):
            while await client.read():
                pass

    def _note(self, about: str, line: str) -> None:
        if line and about not in self._said and len(self._said) < _MAX_SAID:
            self._said.add(about)
            self._say(line)
