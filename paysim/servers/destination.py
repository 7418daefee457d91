"""Where a callback may go: the URL read, led elsewhere by a rewrite, and each address judged.

Nothing here opens a socket or asks a resolver; `webhooks` does both and asks here before it dials.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

import httpx
import idna

from paysim.core.errors import ConfigError

__all__ = [
    "NOTIFY_URL_CHARACTERS",
    "Address",
    "Destination",
    "Place",
    "Policy",
    "check_notify_url",
    "is_loopback",
    "literal_address",
    "parse_rewrite",
    "refusal",
]

NOTIFY_URL_CHARACTERS = 255
"""The longest notify_url. Source: WeChat Pay APIv3, parameter notify_url."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_.])?")
_NAME_PATTERN = re.compile(r"[^\s/@#:]+")
_ADDRESS_PATTERN = re.compile(r"[0-9a-f.*?]*:[0-9a-f.*?]*:[0-9a-f:.*?]*")
_LOCAL_NAME = re.compile(r"(?:.*\.)?(?:localhost|local|localdomain|internal|lan|home\.arpa)\.?")

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


class Place(NamedTuple):
    """A URL that can be posted to: host in lower-case ASCII, port always set, path and query as sent."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The URL up to its path."""
        return f"{self.scheme}://{self.authority}"

    @property
    def target(self) -> str:
        """The path and the query."""
        return self.path + (f"?{self.query}" if self.query else "")

    def __str__(self) -> str:
        return self.origin + self.target


class Destination(NamedTuple):
    """Where a callback goes.

    `asked` is the place that its URL named, another than `place` where a rewrite led it elsewhere;
    `public_only` says that its addresses must be public: production's rule for what no rewrite leads.
    """

    place: Place
    asked: Place
    public_only: bool = False


@functools.lru_cache(maxsize=1024)
def _place(url: str) -> Place:
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
    if not (literal_address(host) or _HOST_NAME.fullmatch(host)):
        raise ValueError("has no host that could be called")
    port = read.port if read.port is not None else _PORTS[read.scheme]
    if not 0 < port < 65536:
        raise ValueError(f"has a port outside 1 to 65535: {port}")
    path, _, query = read.raw_path.decode("ascii").partition("?")
    return Place(read.scheme, host, port, path, query)


def literal_address(host: str) -> Address | None:
    """The address that a host is, if it is one and not a name."""
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

    Source: WeChat Pay APIv3, parameter notify_url (no query, at most 255 characters, not of a local network).
    Assumed: no user name in it, and no fragment.
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
        literal = literal_address(host)
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
    _led: tuple[tuple[Place, Place], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_patterns", tuple(_pattern(glob) for glob in self.hosts))
        led = tuple((_end(prefix), _end(url)) for prefix, url in self.rewrites)
        object.__setattr__(self, "_led", led)

    def names(self, host: str) -> bool:
        """Whether a pattern of `hosts` names this host."""
        return any(fnmatchcase(host.rstrip("."), pattern) for pattern in self._patterns)

    def destination(self, url: str) -> Destination:
        """Where a callback to this URL goes; ValueError says in words why there is no such place."""
        place = _place(url)
        if self.strict and (why := check_notify_url(url, strict=True)):
            raise ValueError(why)
        led = self._lead(place)
        return Destination(led or place, place, self.strict and led is None)

    def _lead(self, place: Place) -> Place | None:
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
    if not (_ADDRESS_PATTERN.fullmatch(text) if ":" in text else _NAME_PATTERN.fullmatch(text)):
        raise ConfigError(f"--notify-host takes a host or a pattern such as *.shop.example, not {glob!r}")
    try:
        labels = [part if part.isascii() else idna.encode(part).decode() for part in text.split(".")]
    except idna.IDNAError as wrong:
        raise ConfigError(f"--notify-host {glob!r} is not a host: {wrong}") from None
    return ".".join(labels)


def _end(url: str) -> Place:
    """One side of a rewrite, read."""
    try:
        place = _place(url)
    except ValueError as wrong:
        raise ConfigError(f"--notify-rewrite: {url!r} {wrong}") from None
    if "?" in url or "#" in url:
        raise ConfigError(f"--notify-rewrite: {url!r} must not carry a query or a fragment")
    return place


def _behind(prefix: Place, place: Place) -> str | None:
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


def refusal(text: str, *, named: bool, public_only: bool) -> str:
    """Why this address is not called, "" where it is; `named` says that a pattern names its host."""
    literal = literal_address(text)
    if literal is None:
        return f"{text!r} is not an address"
    address = _unmapped(literal)
    if never := _never(address):
        return f"{text} is {never}, which is never called"
    if public_only and not address.is_global:
        return f"{text} is not public, which --strict-notify-url demands"
    return "" if named or address.is_loopback else f"{text} is not loopback"


def is_loopback(text: str) -> bool:
    """Whether an address is this machine's own; `::ffff:127.0.0.1` is."""
    return _unmapped(ipaddress.ip_address(text)).is_loopback
