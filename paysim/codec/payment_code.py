"""Payment codes: what a payer shows and a shop scans, recognised by prefix and length.

A code is money until it expires, so its middle never appears in a `repr`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from paysim.core.errors import LocalProtocolError

__all__ = ["EMV_PREFIX", "SCHEMES", "PaymentCode", "Scheme", "decode", "encode"]


class Scheme(NamedTuple):
    """Whose codes begin with these two digits and have `least` to `most` digits."""

    name: str
    prefixes: tuple[str, ...]
    least: int
    most: int


# Source: the wallets' public guides. Assumed: `paysim`, whose prefix 99 no real wallet uses.
_TABLE: Final = (
    Scheme("wechat", ("10", "11", "12", "13", "14", "15"), 18, 18),
    Scheme("alipay", ("25", "26", "27", "28", "29", "30"), 16, 24),
    Scheme("unionpay", ("62",), 19, 19),
    Scheme("paysim", ("99",), 18, 18),
)

SCHEMES: Final[dict[str, Scheme]] = {row.name: row for row in _TABLE}
"""The schemes whose codes are digits, by name."""

EMV_PREFIX: Final = "hQVDUFY"
"""How every EMV consumer-presented code begins. Source: EMV QRCPS Consumer-Presented Mode 3.1."""

_BY_PREFIX: Final = {prefix: row for row in _TABLE for prefix in row.prefixes}
_DIGITS: Final = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True, repr=False)
class PaymentCode:
    """A payer's code: `scheme` is wechat, alipay, unionpay, paysim or emv; `text` is what was scanned.

    Raises LocalProtocolError for a text that is no code of the scheme.
    """

    scheme: str
    text: str

    def __post_init__(self) -> None:
        if _scheme(self.text) != self.scheme:
            raise LocalProtocolError(f"{_redacted(self.text)} is no {self.scheme} payment code")

    @property
    def digits(self) -> str:
        """What follows the two digits of the prefix; empty for an EMV code."""
        return "" if self.scheme == "emv" else self.text[2:]

    def __repr__(self) -> str:
        return f"PaymentCode({self.scheme!r}, {_redacted(self.text)!r})"


def _redacted(text: str) -> str:
    """The first two and the last two characters; of an EMV code, whose end may be a PAN, the prefix."""
    if text.startswith(EMV_PREFIX):
        return f"{EMV_PREFIX}..."
    return f"{text[:2]}{'*' * max(0, len(text) - 4)}{text[-2:]}" if len(text) > 8 else "*" * len(text)


def _scheme(text: str) -> str | None:
    if text.startswith(EMV_PREFIX):
        return "emv"
    row = _BY_PREFIX.get(text[:2])
    if row is None or not row.least <= len(text) <= row.most or not _DIGITS.fullmatch(text):
        return None
    return row.name


def decode(text: str) -> PaymentCode | None:
    """The payment code that a text is, or None.

    >>> decode("990123456789012345")
    PaymentCode('paysim', '99**************45')
    >>> decode("9901234567890123456") is None
    True
    """
    scheme = _scheme(text)
    return None if scheme is None else PaymentCode(scheme, text)


def encode(scheme: str, digits: str, *, prefix: str | None = None) -> str:
    """The payment code of a scheme: its prefix (the first one, where none is given) and these digits.

    Raises LocalProtocolError for a scheme without digits, a foreign prefix, or a wrong number of digits.

    >>> encode("wechat", "0123456789012345", prefix="13")
    '130123456789012345'
    """
    row = SCHEMES.get(scheme)
    if row is None:
        raise LocalProtocolError(f"no scheme {scheme!r} with digits; there are {', '.join(SCHEMES)}")
    chosen = row.prefixes[0] if prefix is None else prefix
    if chosen not in row.prefixes:
        raise LocalProtocolError(f"{scheme} codes begin with {', '.join(row.prefixes)}, not {chosen!r}")
    if _scheme(chosen + digits) != scheme:
        wanted = f"{row.least - 2}" if row.least == row.most else f"{row.least - 2} to {row.most - 2}"
        raise LocalProtocolError(f"{scheme} codes have {wanted} digits after the prefix")
    return chosen + digits
