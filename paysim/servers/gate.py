"""The proxy's gate: what a client asks of the proxy, and whether it may pass. Values alone.

Source: RFC 9110 9.3.6 (CONNECT); RFC 9112 3 (the request line)
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

__all__ = ["Asked", "Refused", "Rules", "Way", "judge", "parse"]

Way = Literal["wallet", "tunnel", "forward"]
"""Ended here by our TLS; passed through untouched; passed on as plain HTTP."""

_MAX_HOST: Final = 253
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.IGNORECASE)
_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]{1,8192}) HTTP/1\.[01]")
_ABSOLUTE: Final = re.compile(r"http://([^/?#]*)([!-~]*)", re.IGNORECASE)
_HOP_HEADERS: Final = ("proxy-", "connection:", "keep-alive:")
_ADDRESS_GLOB: Final = re.compile(r"[0-9a-f.:*?\[\]!-]*", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Asked(NamedTuple):
    """What a client asked of the proxy: `host` in lower case without a last dot; an address without brackets.

    `head` is empty for CONNECT, else what the host itself is to be sent.
    """

    host: str
    port: int
    head: bytes = b""

    @property
    def authority(self) -> str:
        """host:port, as a person writes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Rules(NamedTuple):
    """Which hosts are the sandbox's (`hosts`, on port 443), which never leave it, which may pass."""

    hosts: Sequence[str]
    never: Sequence[str] = ()
    allow: Sequence[str] = ()


class Refused(Exception):
    """What is not let through: the status and the line that says why. `notable`: the person should see it."""

    def __init__(self, status: int, text: str, notable: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.notable = notable


def parse(head: bytes) -> Asked:
    """What the head asks for, its last empty line included. Raises Refused (400) for what is no request.

    >>> parse(b"CONNECT API.mch.weixin.qq.com.:443 HTTP/1.1\\r\\n\\r\\n").authority
    'api.mch.weixin.qq.com:443'
    """
    first, *fields = head.decode("latin-1").split("\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise Refused(400, "this is no HTTP request")
    method, target = line[1], line[2]
    if method == "CONNECT":
        return Asked(*_authority(target, None))
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Refused(400, "this is a proxy: it takes CONNECT host:port, and http:// URLs")
    host, port = _authority(absolute[1], 80)
    rest = absolute[2] if absolute[2].startswith("/") else f"/{absolute[2]}"
    kept = [field for field in fields if field and not field.lower().startswith(_HOP_HEADERS)]
    lines = [f"{method} {rest} HTTP/1.1", *kept, "Connection: close", "", ""]
    return Asked(host, port, "\r\n".join(lines).encode("latin-1"))


def judge(asked: Asked, rules: Rules) -> Way:
    """Where it goes. Raises Refused (403) with the line that names `--allow-host` where that would help."""
    if asked.host in rules.hosts and asked.port == 443 and not asked.head:
        return "wallet"
    if any(asked.host == one or asked.host.endswith(f".{one}") for one in (*rules.hosts, *rules.never)):
        raise _never(asked, rules)
    if any(_allows(glob.lower(), asked.host) for glob in rules.allow):
        return "forward" if asked.head else "tunnel"
    text = (
        f"refused {asked.authority}: only the wallets' hosts are simulated;"
        f" to let this one through untouched: --allow-host {asked.host}"
    )
    raise Refused(403, text, text)


def _never(asked: Asked, rules: Rules) -> Refused:
    """A wallet's domain, asked for in a way that the sandbox does not answer."""
    if asked.host not in rules.hosts:
        text = f"refused {asked.authority}: it is a wallet's, never let through, and not simulated"
    elif asked.head:
        text = f"refused http://{asked.authority}: the wallets' hosts speak HTTPS, on port 443"
    else:
        text = f"refused {asked.authority}: the wallets' hosts are simulated on port 443 alone"
    return Refused(403, text, text)


def _authority(text: str, default_port: int | None) -> tuple[str, int]:
    """Host and port of `host:port`; a host is a name in ASCII or an address."""
    host, colon, digits = text.rpartition(":")
    if not colon or "]" in digits:
        host, digits = text, "" if default_port is None else str(default_port)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= 65535):
        raise Refused(400, "host:port is wanted, with a port of 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1].partition("%")[0])), int(digits)
        except ValueError:
            raise Refused(400, "this is no IPv6 address") from None
    host = host.removesuffix(".").lower()
    if len(host) > _MAX_HOST or not _NAME.fullmatch(host) or ".." in host:
        raise Refused(400, "a host is a name in ASCII or an address")
    return host, int(digits)


def _allows(glob: str, host: str) -> bool:
    """Whether the glob lets the host through; what is an address to a resolver wants a glob of addresses."""
    if _is_address(host) and not (_ADDRESS_GLOB.fullmatch(glob) and any(c in "0123456789:" for c in glob)):
        return False
    return fnmatchcase(host, glob)


def _is_address(host: str) -> bool:
    """Whether resolvers take it for an address: IPv6, or its last label is a number (0x7f.1, 2130706433).

    Source: WHATWG URL Standard, "ends in a number"
    """
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None
