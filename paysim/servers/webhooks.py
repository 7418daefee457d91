"""Callbacks on their way out: where they may go, and how one is posted.

A sandbox must not post to the internet by accident, nor be led to by a `notify_url` that somebody chose. So:

1. the URL is read once; `--notify-rewrite PREFIX=URL` may lead it to a local server;
2. its host is resolved once; every address must be loopback, or the host named by `--notify-host GLOB`;
   link-local addresses, metadata services and the like are never called;
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
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import TracebackType
from typing import NamedTuple, Self

import httpcore
import httpx
import idna

from paysim.core.errors import ConfigError

__all__ = [
    "ANSWER_BYTES",
    "NOTIFY_URL_CHARACTERS",
    "TIMEOUT_S",
    "Attempt",
    "Policy",
    "Sender",
    "check_notify_url",
    "parse_rewrite",
    "resolved",
]

TIMEOUT_S = 5.0
"""How long a merchant has for the whole answer. Source: ../shared/facts/wechat.md 1.6."""
ANSWER_BYTES = 64 * 1024
"""How much of an answer is read; a longer one is an error."""
NOTIFY_URL_CHARACTERS = 255

_CONNECTIONS = 64
"""Callbacks under way at a time; the next ones wait, and their clock does not run yet."""
_WARM = 64
_WARM_S = 1.5
"""Idle connections kept, and how long: less than the 2 s and more after which common servers close them."""
_ADDRESSES = 16
_HOSTS_SAID = 1024

_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_.])?")
_LOCAL_NAME = re.compile(r"(?:.*\.)?(?:localhost|local|localdomain|internal|lan|home\.arpa)\.?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_NEVER = tuple(
    (ipaddress.ip_network(network), word)
    for network, word in (
        ("0.0.0.0/8", "unspecified"),
        ("::/128", "unspecified"),
        ("169.254.0.0/16", "link-local"),
        ("fe80::/10", "link-local"),
        ("100.100.100.200/32", "a metadata service"),  # Alibaba Cloud
        ("168.63.129.16/32", "a metadata service"),  # Azure
        ("192.0.0.192/32", "a metadata service"),  # Oracle Cloud
        ("fd00:ec2::254/128", "a metadata service"),  # AWS
        ("fd20:ce::254/128", "a metadata service"),  # Google Cloud
        ("224.0.0.0/4", "multicast"),
        ("ff00::/8", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
"""What no option opens."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


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


class _Place(NamedTuple):
    """A URL that can be posted to, read: host in lower-case ASCII, port always set, path as it is sent."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def target(self) -> str:
        return self.path + (f"?{self.query}" if self.query else "")

    def __str__(self) -> str:
        return self.origin + self.target


@functools.lru_cache(maxsize=1024)
def _place(url: str) -> _Place:
    """The URL, read; ValueError says in words what is wrong with it."""
    try:
        read = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as wrong:
        raise ValueError(f"is not a URL: {wrong}") from None
    host = read.raw_host.decode("ascii")
    if read.scheme not in _PORTS:
        raise ValueError("must begin with http:// or https://")
    if read.userinfo:
        raise ValueError("must not carry a user name or password")
    if not (_literal(host) or _HOST_NAME.fullmatch(host)):
        raise ValueError("has no host that could be called")
    port = read.port if read.port is not None else _PORTS[read.scheme]
    if not 0 < port < 65536:
        raise ValueError(f"has a port outside 1 to 65535: {port}")
    path, _, query = read.raw_path.decode("ascii").partition("?")
    return _Place(read.scheme, host, port, path, query)


def _literal(host: str) -> Address | None:
    """The address that the host is, if it is one and not a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def check_notify_url(url: str, strict: bool = False) -> str:
    """Why an order may not name this URL for its callbacks, in words that follow "notify_url"; "" if it may.

    `strict` is production's rule: no loopback, no private address, no name that only a local network knows.
    Nothing is resolved.

    >>> check_notify_url("http://127.0.0.1:8000/notify")
    ''
    >>> check_notify_url("http://127.0.0.1:8000/notify", strict=True)
    'must be reachable from the internet, 127.0.0.1 is not'

    Source: ../shared/facts/wechat.md 1.6. Assumed: no user name in it, and no fragment.
    """
    if len(url) > NOTIFY_URL_CHARACTERS:
        return f"must not be longer than {NOTIFY_URL_CHARACTERS} characters"
    try:
        place = _place(url)
    except ValueError as wrong:
        return str(wrong)
    for mark, word in (("?", "query"), ("#", "fragment")):
        if mark in url:
            return f"must not carry a {word}"
    if strict and not _looks_public(place.host):
        return f"must be reachable from the internet, {place.host} is not"
    return ""


def _looks_public(host: str) -> bool:
    """Whether a host may be public by its look: a public address, or a name with a dot of no local kind."""
    try:
        # As the resolver reads it: 127.1, 0x7f000001 and 2130706433 are addresses too.
        address: Address = ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        literal = _literal(host)
        if literal is None:
            return "." in host.rstrip(".") and not _LOCAL_NAME.fullmatch(host)
        address = _unmapped(literal)
    return address.is_global and not _never(address)


def parse_rewrite(text: str) -> tuple[str, str]:
    """The prefix and the URL of a `--notify-rewrite PREFIX=URL`; ConfigError where it is none.

    >>> parse_rewrite("https://shop.example/pay=http://127.0.0.1:8000")
    ('https://shop.example/pay', 'http://127.0.0.1:8000')
    """
    prefix, equals, url = text.partition("=http")
    if not equals:
        raise ConfigError(f"--notify-rewrite takes PREFIX=URL, both with http:// or https://, not {text!r}")
    pair = (prefix, "http" + url)
    Policy(rewrites=(pair,))
    return pair


@dataclass(frozen=True)
class Policy:
    """Where callbacks may go.

    `hosts` are patterns of host names or addresses that may be called besides loopback (`*.shop.example`,
    `192.168.1.*`, `*`); `rewrites` are (prefix, URL) pairs, the first that matches counts, and a prefix
    matches whole hosts and path segments only; `strict` applies production's rules to what was not rewritten;
    `insecure_loopback` leaves certificates on loopback unchecked. Raises ConfigError.

    Assumed: a rewrite alone opens no host, so one to another machine needs `hosts` too.
    """

    hosts: tuple[str, ...] = ()
    rewrites: tuple[tuple[str, str], ...] = ()
    strict: bool = False
    insecure_loopback: bool = True
    _patterns: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _led: tuple[tuple[_Place, _Place], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_patterns", tuple(_pattern(glob) for glob in self.hosts))
        led = tuple((_end(prefix), _end(url)) for prefix, url in self.rewrites)
        object.__setattr__(self, "_led", led)

    def names(self, host: str) -> bool:
        """Whether a pattern of `hosts` names this host."""
        return any(fnmatchcase(host.rstrip("."), pattern) for pattern in self._patterns)

    def rewritten(self, url: str) -> str:
        """Where the first rewrite that matches leads this URL; the URL itself where none does."""
        try:
            return str(self._lead(_place(url)) or url)
        except ValueError:
            return url

    def _lead(self, place: _Place) -> _Place | None:
        for prefix, end in self._led:
            rest = _behind(prefix, place)
            if rest is not None:
                path = end.path.rstrip("/") + rest
                return end._replace(path=path or "/", query=place.query)
        return None


def _pattern(glob: str) -> str:
    """A pattern in the form of the hosts that it is held against: lower-case ASCII, no brackets."""
    text = glob.strip().lower()
    if text.startswith("[") and text.endswith("]") and ":" in text:
        text = text[1:-1]
    if not text or "/" in text or (":" in text and _literal(text.replace("*", "0")) is None):
        raise ConfigError(f"--notify-host takes a host or a pattern such as *.shop.example, not {glob!r}")
    try:
        labels = [part if part.isascii() else idna.encode(part).decode() for part in text.split(".")]
    except idna.IDNAError as wrong:
        raise ConfigError(f"--notify-host {glob!r} is not a host: {wrong}") from None
    return ".".join(labels)


def _end(url: str) -> _Place:
    """One side of a rewrite, read."""
    try:
        place = _place(url)
    except ValueError as wrong:
        raise ConfigError(f"--notify-rewrite: {url!r} {wrong}") from None
    if "?" in url or "#" in url:
        raise ConfigError(f"--notify-rewrite: {url!r} must not carry a query or a fragment")
    return place


def _behind(prefix: _Place, place: _Place) -> str | None:
    """What follows the prefix in the path, "" or from a slash on; None where it is no prefix of the place."""
    if (prefix.scheme, prefix.port) != (place.scheme, place.port):
        return None
    base = prefix.path.rstrip("/")
    same_host = prefix.host.rstrip(".") == place.host.rstrip(".")
    return place.path[len(base) :] if same_host and f"{place.path}/".startswith(f"{base}/") else None


def _unmapped(address: Address) -> Address:
    """The address that is really dialled: `::ffff:a.b.c.d` is a.b.c.d."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _faces(address: Address) -> Iterator[Address]:
    """The address and every IPv4 address that a gateway may take out of it."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour:
            yield address.sixtofour
        if address.teredo:
            yield from address.teredo
        if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _never(address: Address) -> str:
    """What the address is, where it is never called; else ""."""
    faces = tuple(_faces(address))
    return next((word for network, word in _NEVER if any(face in network for face in faces)), "")


def _refusal(text: str, named: bool, public_only: bool) -> str:
    """Why this address is not called, "" where it is."""
    literal = _literal(text)
    if literal is None:
        return f"{text!r} is not an address"
    address = _unmapped(literal)
    if never := _never(address):
        return f"{text} is {never}, which is never called"
    if public_only and not address.is_global:
        return f"{text} is not public, which --strict-notify-url demands"
    return "" if named or address.is_loopback else f"{text} is not loopback"


async def resolved(host: str, port: int) -> Sequence[str]:
    """The addresses of a host in the order to try them, each once; OSError where it has none."""
    if _literal(host):
        return (host,)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class _Undeliverable(Exception):
    """The policy or the resolver says no; the text is `kind: words`."""


@dataclass(slots=True)
class _Exchange:
    """What is known of the exchange that the running task is in."""

    public_only: bool = False
    dialled: bool = False
    status: int = 0
    answer: bytes = b""


_EXCHANGE: ContextVar[_Exchange] = ContextVar("paysim_exchange")


class _Dialler(httpcore.AnyIOBackend):
    """Connects to checked addresses only."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._checked(host, port)
        _EXCHANGE.get().dialled = True
        for address in addresses[:-1]:
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                share_s = (timeout or TIMEOUT_S) / len(addresses)
                return self._stream(address, await super().connect_tcp(address, port, share_s))
        return self._stream(addresses[-1], await super().connect_tcp(addresses[-1], port, timeout))

    async def _checked(self, host: str, port: int) -> Sequence[str]:
        """The addresses of the host, all of them allowed."""
        try:
            addresses = (await self._resolve(host, port))[:_ADDRESSES]
        except (OSError, UnicodeError) as wrong:
            raise _Undeliverable(f"unresolved: {host} has no address ({_words(wrong)})") from None
        named = self._policy.names(host)
        for address in addresses:
            if why := _refusal(address, named, _EXCHANGE.get().public_only):
                raise _Undeliverable(f"refused: {why}")
        if not addresses:
            raise _Undeliverable(f"unresolved: {host} has no address")
        return addresses

    def _stream(self, address: str, stream: httpcore.AsyncNetworkStream) -> httpcore.AsyncNetworkStream:
        loopback = _unmapped(ipaddress.ip_address(address)).is_loopback
        return _Wire(stream, _unchecked() if loopback and self._policy.insecure_loopback else None)


class _Wire(httpcore.AsyncNetworkStream):
    """A connection that knows whether its certificate is to be checked."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, context: ssl.SSLContext | None) -> None:
        self._stream = stream
        self._context = context
        self.read = stream.read  # type: ignore[method-assign]
        self.write = stream.write  # type: ignore[method-assign]
        self.aclose = stream.aclose  # type: ignore[method-assign]
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return await self._stream.start_tls(self._context or _system_roots(), server_hostname, timeout)


@functools.lru_cache(maxsize=1)
def _unchecked() -> ssl.SSLContext:
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
        self._said: set[str] = set()
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._closed = False
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # `_Wire` chooses the one that counts
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_WARM,
            keepalive_expiry=_WARM_S,
            network_backend=_Dialler(policy, resolve),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; what is under way fails, what is sent later is not sent."""
        self._closed = True
        await self._pool.aclose()

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Attempt:
        """What became of posting these bytes with these headers; only Host and Content-Length are added."""
        async with self._slots:
            began = time.perf_counter()
            exchange = _Exchange()
            went, error = await self._tried(url, headers, body, exchange)
            elapsed_ms = (time.perf_counter() - began) * 1000
            return Attempt(exchange.status, error, went, exchange.answer, elapsed_ms)

    async def _tried(
        self, url: str, headers: Sequence[tuple[str, str]], body: bytes, exchange: _Exchange
    ) -> tuple[str, str]:
        """Where it went, and what went wrong."""
        try:
            place, exchange.public_only = self._destination(url)
        except ValueError as wrong:
            return url, f"url: {wrong}"
        try:
            request = _request(place, headers, body)
        except (ValueError, TypeError) as wrong:
            return str(place), f"headers: {wrong}"
        return str(place), await self._exchanged(place, request, exchange)

    def _destination(self, url: str) -> tuple[_Place, bool]:
        """Where this URL leads, and whether production's rules hold there."""
        place = _place(url)
        if self._policy.strict and (why := check_notify_url(url, strict=True)):
            raise ValueError(why)
        led = self._policy._lead(place)
        return led or place, self._policy.strict and led is None

    async def _exchanged(self, place: _Place, request: httpcore.Request, exchange: _Exchange) -> str:
        """What went wrong with the exchange, "" where nothing did."""
        if self._closed:
            return "closed: the sandbox is stopping"
        _EXCHANGE.set(exchange)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._answered(request, exchange)
        except TimeoutError:
            return f"timeout: no whole answer within {self._timeout_s:g} s"
        except _Undeliverable as wrong:
            self._tell(place, str(wrong))
            return str(wrong)
        except httpcore.LocalProtocolError as wrong:
            return f"headers: {_words(wrong)}"
        except httpcore.RemoteProtocolError as wrong:
            return f"answer: {_words(wrong)}"
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as wrong:
            return f"connection: {_words(wrong)}"

    async def _answered(self, request: httpcore.Request, exchange: _Exchange) -> str:
        try:
            return await self._heard(request, exchange)
        except (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError):
            if exchange.dialled or exchange.status:
                raise
        return await self._heard(request, exchange)

    async def _heard(self, request: httpcore.Request, exchange: _Exchange) -> str:
        """Post once and take in the answer; says what is wrong with its length."""
        response = await self._pool.handle_async_request(request)
        exchange.status = response.status
        try:
            async for piece in response.aiter_stream():
                exchange.answer += piece
                if len(exchange.answer) > ANSWER_BYTES:
                    exchange.answer = exchange.answer[:ANSWER_BYTES]
                    return f"answer: longer than {ANSWER_BYTES} bytes"
        finally:
            await response.aclose()
        return ""

    def _tell(self, place: _Place, why: str) -> None:
        """Say once a host what would have it delivered."""
        if place.host in self._said:
            return
        if len(self._said) >= _HOSTS_SAID:
            self._said.clear()
        self._said.add(place.host)
        self._say(
            f"callback to {place.origin} not sent: {why.partition(': ')[2]}. --notify-host {place.host} lets "
            f"callbacks leave for it, --notify-rewrite {place.origin}=http://127.0.0.1:PORT leads them to "
            f"your own server"
        )


def _request(place: _Place, headers: Sequence[tuple[str, str]], body: bytes) -> httpcore.Request:
    """The request as it is sent: Host, the given headers as they are, and the length."""
    default = place.port == _PORTS[place.scheme]
    return httpcore.Request(
        "POST",
        httpcore.URL(
            scheme=place.scheme.encode(),
            host=place.host.encode(),
            port=None if default else place.port,
            target=place.target.encode(),
        ),
        headers=[
            (b"Host", place.origin.partition("://")[2].encode()),
            *((name.encode("ascii"), value.encode("latin-1")) for name, value in headers),
            (b"Content-Length", b"%d" % len(body)),
        ],
        content=body,
    )
