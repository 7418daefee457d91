"""What a scanned text is, so that only a payment reaches payment.

A web address counts only with a host of the table, letter for letter: an address that merely contains one
(`https://qr.alipay.com.evil.example/`) is unknown. One that names a user, a port or a backslash is unknown
too, because apps disagree about which host such an address has.

Source: the wallets' public guides. Assumed: `wxp://`, `https://wx.tenpay.com/`, `alipays://platformapi/`
and the addresses that follow a person or an account, known from codes in use.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from paysim.codec import payment_code

__all__ = ["KINDS", "PAYMENTS", "TABLE", "Route", "route"]

KINDS: Final = ("emvqr.merchant", "emvqr.consumer", "payment_code", "wallet_link", "follow_link", "unknown")

PAYMENTS: Final = frozenset({"emvqr.merchant", "emvqr.consumer", "payment_code", "wallet_link"})
"""The kinds that lead to a payment."""


class Route(NamedTuple):
    """What a text is: `kind` is one of KINDS; `scheme` says whose it is, and is empty where nobody knows."""

    kind: str
    scheme: str
    text: str

    @property
    def pays(self) -> bool:
        """Whether the text may reach payment."""
        return self.kind in PAYMENTS

    def __repr__(self) -> str:
        shown = repr(payment_code.decode(self.text)) if self.kind == "payment_code" else repr(self.text)
        shown = "..." if self.kind == "emvqr.consumer" else shown
        return f"Route({self.kind!r}, {self.scheme!r}, {shown})"


class Address(NamedTuple):
    """A row of the table: an address with this scheme, host and beginning of the path is of this kind."""

    schemes: tuple[str, ...]
    host: str
    path: str
    kind: str
    whose: str


_WEB: Final = ("https", "http")

TABLE: Final = (
    Address(("weixin",), "wxpay", "/bizpayurl", "wallet_link", "wechat"),
    Address(("weixin",), "pay.weixin.qq.com", "/bizpayurl", "wallet_link", "wechat"),
    Address(("wxp",), "", "", "wallet_link", "wechat"),
    Address(("https",), "wx.tenpay.com", "/", "wallet_link", "wechat"),
    Address(("https",), "qr.alipay.com", "/", "wallet_link", "alipay"),
    Address(("alipays",), "platformapi", "/startapp", "wallet_link", "alipay"),
    Address(("https",), "qr.95516.com", "/", "wallet_link", "unionpay"),
    Address(_WEB, "weixin.qq.com", "/r/", "follow_link", "wechat"),
    Address(_WEB, "weixin.qq.com", "/g/", "follow_link", "wechat"),
    Address(_WEB, "u.wechat.com", "/", "follow_link", "wechat"),
    Address(_WEB, "work.weixin.qq.com", "/", "follow_link", "wechat"),
)
"""Every address that is known; the first row that fits decides."""

_LONGEST: Final = 4296  # characters in the largest QR symbol (ISO/IEC 18004, version 40-L, alphanumeric)
_MERCHANT: Final = re.compile(r"0002[0-9]{2}[0-9]{4}.*", re.DOTALL)
_ADDRESS: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[A-Za-z0-9._-]*)(?P<path>(?:[/?#][!-~]*)?)"
)
_OPAQUE: Final = {row.schemes[0]: row for row in TABLE if not row.host}
_BY_HOST: Final = {
    (scheme, row.host): tuple(other for other in TABLE if other.host == row.host and scheme in other.schemes)
    for row in TABLE
    for scheme in row.schemes
    if row.host
}


def route(text: str) -> Route:
    """What a text is; it never raises.

    >>> route("https://qr.alipay.com/bax0").kind
    'wallet_link'
    >>> route("https://qr.alipay.com.evil.example/bax0").kind
    'unknown'
    >>> route("990123456789012345").scheme
    'paysim'
    """
    if len(text) > _LONGEST:
        return Route("unknown", "", text)
    if _MERCHANT.fullmatch(text):
        return Route("emvqr.merchant", "emv", text)
    code = payment_code.decode(text)
    if code is not None:
        return Route("emvqr.consumer" if code.scheme == "emv" else "payment_code", code.scheme, text)
    row = _address(text)
    return Route(row.kind, row.whose, text) if row else Route("unknown", "", text)


def _address(text: str) -> Address | None:
    match = _ADDRESS.fullmatch(text)
    if match is None or "\\" in text:
        return None
    scheme, host, path = match["scheme"].lower(), match["host"].lower(), match["path"]
    if scheme in _OPAQUE and host:
        return _OPAQUE[scheme]
    return next((row for row in _BY_HOST.get((scheme, host), ()) if _leads(path, row.path)), None)


def _leads(path: str, known: str) -> bool:
    """Whether an address's path is the known one with something behind it, not a longer word."""
    rest = path.removeprefix(known)
    return path.startswith(known) and rest != "" and (known.endswith("/") or rest[0] in "/?")
