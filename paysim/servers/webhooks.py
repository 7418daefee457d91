"""Callbacks on their way out: resolved once, dialled at the checked address, posted, and their answer read.

A sandbox must not post to the internet by accident, nor because of a `notify_url` that somebody chose. So:

1. the URL is read once; `--notify-rewrite PREFIX=URL` may lead it to a local server;
2. its host is resolved once; every address must be loopback, or the host named by `--notify-host GLOB`;
   link-local addresses, metadata services and the like are never called (`destination` judges);
3. the connection goes to that very address, while `Host` and TLS keep the name;
4. no redirect is followed, no cookie kept, no proxy used, and no more than 64 KiB of answer read, all within
   the time that the merchant has.

`Sender.send` never raises for what the other side does: what went wrong is in `Attempt.error`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

import httpcore

from .destination import (
    Destination,
    Place,
    Policy,
    check_notify_url,
    is_loopback,
    literal_address,
    parse_rewrite,
    refusal,
)

__all__ = [
    "ANSWER_BYTES",
    "TIMEOUT_S",
    "Attempt",
    "Policy",
    "Resolve",
    "Sender",
    "check_notify_url",
    "parse_rewrite",
    "resolved",
]

TIMEOUT_S = 5.0
"""How long a merchant has for the whole answer. Source: WeChat Pay APIv3, payment notification."""
ANSWER_BYTES = 64 * 1024
"""How much of an answer is read; a longer one is an error."""

_UNDER_WAY = 256
_UNDER_WAY_A_PLACE = 32
"""Callbacks under way at a time; the next ones wait, and their time does not run yet."""
_WARM_S = 1.5
"""How long an idle connection may be used again: the quickest common servers close theirs after 2 s."""
_ADDRESSES = 16
_HOSTS_SAID = 1024

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host; OSError where it has none."""


class Attempt(NamedTuple):
    """What one delivery came to.

    `status` is the HTTP status, 0 where there was none; `error` is "" or `kind: words`, the kinds being
    refused (by the policy), url, unresolved, connection, timeout, answer, headers, closed. `url` is where it
    really went; `answer` at most 64 KiB of the body, as sent (never decompressed).
    """

    status: int
    error: str
    url: str
    answer: bytes
    elapsed_ms: float

    @property
    def acknowledged(self) -> bool:
        """Whether the merchant took it: 200 or 204, and the whole answer in time."""
        return self.status in (200, 204) and not self.error


async def resolved(host: str, port: int) -> Sequence[str]:
    """The addresses of a host in the order to try them, each once; OSError where it has none."""
    if literal_address(host):
        return (host,)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class _Undeliverable(Exception):
    """The policy or the resolver says no; the text is `kind: words`, `openable` if --notify-host may help."""

    def __init__(self, text: str, openable: bool) -> None:
        super().__init__(text)
        self.openable = openable


@dataclass(slots=True)
class _Exchange:
    """What is known so far of one attempt."""

    destination: Destination
    request: httpcore.Request
    addressed: bool = False
    status: int = 0
    answer: bytes = b""


@dataclass(slots=True, eq=False)
class _Route:
    """The connections to one destination: those in use, and the idle ones, the warmest last."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_UNDER_WAY_A_PLACE))
    users: int = 0
    busy: set[httpcore.AsyncHTTP11Connection] = field(default_factory=set)
    idle: list[httpcore.AsyncHTTP11Connection] = field(default_factory=list)

    def take(self) -> httpcore.AsyncHTTP11Connection | None:
        """An idle connection that may be used again, the warmest first; one past use is left where it is."""
        if self.idle and not self.idle[-1].has_expired():
            return self.idle.pop()
        return None

    def past_use(self) -> httpcore.AsyncHTTP11Connection | None:
        """An idle connection that is too old or closed by its server, taken out."""
        past = next((connection for connection in self.idle if connection.has_expired()), None)
        if past is not None:
            self.idle.remove(past)
        return past


class Sender:
    """Posts callbacks; one for a running loop, its connections kept warm.

    `say` is given one line, once a host, where a callback cannot be delivered for want of an option.
    `resolve` gives a host's addresses, and is asked once a connection.

    Assumed: a warm connection that its server closed unheard is replaced once within the same attempt.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        timeout_s: float = TIMEOUT_S,
        say: Callable[[str], None],
        resolve: Resolve = resolved,
    ) -> None:
        self._policy = policy
        self._timeout_s = timeout_s
        self._say = say
        self._resolve = resolve
        self._said: set[str] = set()
        self._slots = asyncio.Semaphore(_UNDER_WAY)
        self._routes: dict[tuple[str, bool], _Route] = {}
        self._network = httpcore.AnyIOBackend()
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection: what is under way fails, and what is sent later is not sent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
        routes, self._routes = list(self._routes.values()), {}
        for route in routes:
            for connection in (*route.idle, *route.busy):
                await connection.aclose()

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Attempt:
        """What became of posting these bytes with these headers; only Host and Content-Length are added."""
        try:
            destination = self._policy.destination(url)
        except ValueError as wrong:
            return Attempt(0, f"url: {wrong}", url, b"", 0.0)
        went = str(destination.place)
        try:
            exchange = _Exchange(destination, _request(destination.place, headers, body))
        except ValueError as wrong:
            return Attempt(0, f"headers: {wrong}", went, b"", 0.0)
        async with self._way(destination) as route:
            began = time.perf_counter()
            error = await self._outcome(route, exchange)
            elapsed_ms = (time.perf_counter() - began) * 1000
        return Attempt(exchange.status, error, went, exchange.answer, elapsed_ms)

    @contextlib.asynccontextmanager
    async def _way(self, destination: Destination) -> AsyncIterator[_Route]:
        """The route there, once its turn has come; forgotten when nobody uses it and nothing is warm."""
        key = (destination.place.origin, destination.public_only)
        route = self._routes.setdefault(key, _Route())
        route.users += 1
        try:
            async with route.slots, self._slots:
                yield route
        finally:
            route.users -= 1
            if not route.users and not route.idle and self._routes.get(key) is route:
                del self._routes[key]

    async def _outcome(self, route: _Route, exchange: _Exchange) -> str:
        """What went wrong with the exchange, "" where nothing did."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchanged(route, exchange)
        except TimeoutError:
            late = f"within {self._timeout_s:g} s"
            if exchange.addressed:
                return f"timeout: no whole answer {late}"
            return self._told(exchange.destination, f"unresolved: no address found {late}")
        except _Undeliverable as wrong:
            return self._told(exchange.destination, str(wrong), openable=wrong.openable)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as wrong:
            kind = "closed" if self._closed else _kind(wrong)
            return f"{kind}: {_words(wrong)}"

    async def _exchanged(self, route: _Route, exchange: _Exchange) -> str:
        """One answer, by a warm connection if there is one; says what is wrong with its length."""
        if (connection := route.take()) is not None:
            exchange.addressed = True
            try:
                return await self._heard(route, connection, exchange)
            except (httpcore.NetworkError, httpcore.RemoteProtocolError) as wrong:
                if exchange.status or self._closed or not _unheard(wrong):
                    raise
        return await self._heard(route, await self._dialled(exchange), exchange)

    async def _heard(
        self, route: _Route, connection: httpcore.AsyncHTTP11Connection, exchange: _Exchange
    ) -> str:
        """Post once and take in the answer."""
        route.busy.add(connection)
        try:
            self._still_open()
            response = await connection.handle_async_request(exchange.request)
            exchange.status = response.status
            try:
                return await _read(response, exchange)
            finally:
                await response.aclose()
        finally:
            route.busy.discard(connection)
            await self._put_back(route, connection)

    async def _put_back(self, route: _Route, connection: httpcore.AsyncHTTP11Connection) -> None:
        """Keep a connection for the next callback, or close it."""
        if connection.is_idle() and not self._closed:
            route.idle.append(connection)
            if self._sweeper is None or self._sweeper.done():
                self._sweeper = asyncio.create_task(self._swept())
        else:
            await connection.aclose()

    async def _swept(self) -> None:
        """Close what nobody came for, until nothing is idle."""
        while any(route.idle for route in self._routes.values()):
            await asyncio.sleep(_WARM_S)
            for key, route in list(self._routes.items()):
                while (connection := route.past_use()) is not None:
                    await connection.aclose()
                if not route.users and not route.idle:
                    self._routes.pop(key, None)

    async def _dialled(self, exchange: _Exchange) -> httpcore.AsyncHTTP11Connection:
        """A new connection to the first of the destination's addresses that takes it."""
        self._still_open()
        place = exchange.destination.place
        addresses = await self._addresses(exchange.destination)
        exchange.addressed = True
        for address in addresses:
            try:
                stream = await self._connected(place, address, self._timeout_s / len(addresses))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if address == addresses[-1]:
                    raise
            else:
                return httpcore.AsyncHTTP11Connection(exchange.request.url.origin, stream, _WARM_S)
        raise AssertionError("a destination without addresses")

    def _still_open(self) -> None:
        if self._closed:
            raise httpcore.ConnectError("the sandbox is stopping")

    async def _addresses(self, destination: Destination) -> Sequence[str]:
        """The addresses of the destination, at least one, all of them allowed."""
        host, port = destination.place.host, destination.place.port
        named = self._policy.names(host)
        try:
            addresses = tuple(dict.fromkeys(await self._resolve(host, port)))[:_ADDRESSES]
        except (OSError, UnicodeError) as wrong:
            raise _Undeliverable(f"unresolved: {host} has no address: {_words(wrong)}", not named) from None
        judge = functools.partial(refusal, public_only=destination.public_only)
        for address in addresses:
            if why := judge(address, named=named):
                raise _Undeliverable(f"refused: {why}", not judge(address, named=True))
        if not addresses:
            raise _Undeliverable(f"unresolved: {host} has no address", not named)
        return addresses

    async def _connected(self, place: Place, address: str, timeout_s: float) -> httpcore.AsyncNetworkStream:
        """A connection to this very address, by TLS where the place says https."""
        stream = await self._network.connect_tcp(address, place.port, timeout_s)
        if place.scheme == "http":
            return stream
        unchecked = self._policy.insecure_loopback and is_loopback(address)
        context = _unchecked() if unchecked else _system_roots()
        try:
            return await stream.start_tls(context, place.host.rstrip("."))
        except BaseException:
            await stream.aclose()
            raise

    def _told(self, destination: Destination, why: str, openable: bool = True) -> str:
        """`why`; once a host, a line is said on what would have it delivered."""
        host, asked = destination.place.host, destination.asked.origin
        if host not in self._said:
            if len(self._said) >= _HOSTS_SAID:
                self._said.clear()
            self._said.add(host)
            opens = (
                f"--notify-host {host} lets callbacks leave for it"
                if openable
                else "No --notify-host opens it"
            )
            self._say(
                f"callback to {destination.place.origin} not sent: {why.partition(': ')[2]}. {opens}; "
                f"--notify-rewrite {asked}=http://127.0.0.1:PORT leads callbacks to your own server"
            )
        return why


async def _read(response: httpcore.Response, exchange: _Exchange) -> str:
    """Take in the body; says what is wrong with its length."""
    async for piece in response.aiter_stream():
        exchange.answer += piece
        if len(exchange.answer) > ANSWER_BYTES:
            exchange.answer = exchange.answer[:ANSWER_BYTES]
            return f"answer: longer than {ANSWER_BYTES} bytes"
    return ""


def _request(place: Place, headers: Sequence[tuple[str, str]], body: bytes) -> httpcore.Request:
    """The request as it is sent: Host, the given headers as they are, and the length."""
    url = httpcore.URL(
        scheme=place.scheme.encode(), host=place.host.encode(), port=place.port, target=place.target.encode()
    )
    given = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
    host, length = (b"Host", place.authority.encode()), (b"Content-Length", b"%d" % len(body))
    return httpcore.Request("POST", url, headers=[host, *given, length], content=body)


@functools.lru_cache(maxsize=1)
def _unchecked() -> ssl.SSLContext:
    """Takes any certificate: for loopback, where it is mostly self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@functools.lru_cache(maxsize=1)
def _system_roots() -> ssl.SSLContext:
    return ssl.create_default_context()


_WORDS = {
    errno.ECONNREFUSED: "nobody listens there",
    errno.ECONNRESET: "the connection was reset",
    errno.EPIPE: "the connection was reset",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.ENETUNREACH: "the network cannot be reached",
}


def _words(wrong: BaseException) -> str:
    """The innermost cause, in a few words."""
    while wrong.__cause__ is not None:
        wrong = wrong.__cause__
    if isinstance(wrong, OSError):
        return _WORDS.get(wrong.errno or 0) or wrong.strerror or str(wrong) or type(wrong).__name__
    return str(wrong) or type(wrong).__name__


def _unheard(wrong: Exception) -> bool:
    """Whether the connection ended before any answer, rather than with a wrong one."""
    return isinstance(wrong, httpcore.NetworkError) or wrong.__cause__ is None


def _kind(wrong: Exception) -> str:
    """The kind of error that an attempt is given."""
    if isinstance(wrong, httpcore.LocalProtocolError):
        return "headers"
    return "answer" if isinstance(wrong, httpcore.RemoteProtocolError) else "connection"
