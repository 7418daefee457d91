"""The numbers that WeChat Pay gives: prepay ids, code URLs, transaction and refund ids, openids, times.

Each is made of an order's id, so that whoever brings one back is answered from the books, not from a list.
Assumed: what stands inside them; the real ones are opaque, of the same length and look.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

__all__ = [
    "H5_PATH",
    "Shown",
    "code_url",
    "compact_time",
    "h5_url",
    "openid",
    "prepay_id",
    "read_rfc3339",
    "read_shown",
    "read_transaction_id",
    "refund_id",
    "rfc3339",
    "transaction_id",
]

H5_PATH: Final = "/cgi-bin/mmpayweb-bin/checkmweb"
_CODE_URL: Final = "weixin://wxpay/bizpayurl?pr="
_ZONE: Final = timezone(timedelta(hours=8))
_PREPAY_ID: Final = re.compile(r"wx[0-9]{14}([0-9]{16})[0-9]{4}", re.ASCII)
_TRANSACTION_ID: Final = re.compile(r"4200[0-9]{8}([0-9]{16})", re.ASCII)
_PR: Final = re.compile(r"[0-9a-z]{13}", re.ASCII)
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_OPENID_LENGTH: Final = 28


class Shown(NamedTuple):
    """What a payer brings: `kind` is prepay_id, code_url or h5_url; `order` the id of the order in it.

    `prepay_id` is "" for a code URL; `host` is the H5 link's.
    """

    kind: str
    order: str
    text: str
    prepay_id: str = ""


def prepay_id(order: str, at_ms: int, nonce: str) -> str:
    """A prepay id, 36 characters: wx, the time in UTC+8, the order's id, four digits.

    >>> prepay_id("0000000012345678", 1_767_225_600_000, "0042")
    'wx2026010108000000000000123456780042'
    """
    return f"wx{compact_time(at_ms)}{order}{nonce}"


def code_url(order: str, nonce: str) -> str:
    """What a Native order shows as a QR code.

    >>> code_url("0000000012345678", "0042")
    'weixin://wxpay/bizpayurl?pr=000001kpqz956'
    """
    return _CODE_URL + _base36(int(order + nonce)).rjust(13, "0")


def h5_url(base: str, prepay: str, package: str) -> str:
    """The link that opens the wallet from a browser; `base` is scheme and host, and a folder where served so.

    >>> h5_url("https://wx.tenpay.com", "wx1", "7")
    'https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx1&package=7'
    """
    return f"{base}{H5_PATH}?prepay_id={prepay}&package={package}"


def read_shown(text: str) -> Shown | None:
    """What a payer's text is, None where it is nothing of ours.

    >>> read_shown("weixin://wxpay/bizpayurl?pr=000001kpqz956").order
    '0000000012345678'
    >>> read_shown("https://wx.tenpay.com" + H5_PATH + "?prepay_id=no") is None
    True
    """
    found = _PREPAY_ID.fullmatch(text)
    if found:
        return Shown("prepay_id", found[1], text, text)
    if text.startswith(_CODE_URL):
        pr = text[len(_CODE_URL) :]
        digits = str(int(pr, 36)).rjust(20, "0") if _PR.fullmatch(pr) else ""
        return Shown("code_url", digits[:16], text) if len(digits) == 20 else None
    if H5_PATH in text:
        return _read_h5(text)
    return None


def _read_h5(text: str) -> Shown | None:
    try:
        parts = urlsplit(text)
        prepay = parse_qs(parts.query, max_num_fields=16).get("prepay_id", [""])[0]
    except ValueError:
        return None
    found = _PREPAY_ID.fullmatch(prepay)
    if not found or parts.scheme not in ("http", "https") or not parts.path.endswith(H5_PATH):
        return None
    return Shown("h5_url", found[1], text, prepay)


def transaction_id(order: str, paid_ms: int) -> str:
    """The id of a payment, 28 digits.

    >>> transaction_id("0000000012345678", 1_767_225_600_000)
    '4200202601010000000012345678'
    """
    return f"4200{compact_time(paid_ms)[:8]}{order}"


def read_transaction_id(text: str) -> str:
    """The order's id in a transaction id, "" where it is none of ours."""
    found = _TRANSACTION_ID.fullmatch(text)
    return found[1] if found else ""


def refund_id(identity: str, at_ms: int) -> str:
    """The id of a refund, 29 digits; `identity` is 16 digits of its own."""
    return f"50300{compact_time(at_ms)[:8]}{identity}"


def openid(person: str, appid: str, seed: int) -> str:
    """What an app knows of a person: another for each app, 28 characters.

    >>> openid("alice", "wx1", 0) == openid("alice", "wx2", 0)
    False
    """
    digest = hashlib.sha256(f"paysim openid {seed} {appid} {person}".encode()).digest()
    return "o" + "".join(_LETTERS[byte % 64] for byte in digest[: _OPENID_LENGTH - 1])


def rfc3339(at_ms: int) -> str:
    """A time as WeChat Pay writes it: seconds, in UTC+8.

    >>> rfc3339(1_767_225_600_000)
    '2026-01-01T08:00:00+08:00'
    """
    return datetime.fromtimestamp(at_ms // 1000, _ZONE).isoformat()


def read_rfc3339(text: str) -> int | None:
    """Unix milliseconds of an RFC 3339 time with its offset, None where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or len(text) < 20 or text[10] not in "Tt":
        return None
    try:
        return int(moment.astimezone(UTC).timestamp() * 1000)
    except (OverflowError, ValueError):
        return None


def compact_time(at_ms: int) -> str:
    """yyyyMMddHHmmss in UTC+8."""
    return datetime.fromtimestamp(at_ms // 1000, _ZONE).strftime("%Y%m%d%H%M%S")


def _base36(value: int) -> str:
    digits = ""
    while value:
        value, rest = divmod(value, 36)
        digits = _DIGITS[rest] + digits
    return digits or "0"
