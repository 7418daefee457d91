"""How the platform signs its answers and callbacks: with which key, and the five `Wechatpay-` headers.

Two kinds of keys live side by side: certificates, of which an old and a new one overlap, and the public key.

Source: WeChat Pay merchant/4013053420 (certificates), 4013053249 (public key), 4012154180 (switching over)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from paysim.codec.http import Request
from paysim.core.errors import AuthenticityError, DecodeError, UsageError
from paysim.crypto import mismatch
from paysim.crypto.canonical import WECHAT_RESPONSE
from paysim.crypto.signature import Signer, Verifier, from_text, to_text

from .keys import PUBLIC_KEY_PREFIX, Kind, PlatformKeys

__all__ = [
    "PROBE",
    "SCHEME",
    "SHARES",
    "WINDOW_S",
    "SigningKey",
    "answer_headers",
    "choose",
    "fits",
    "kind_wanted",
    "probe",
    "switch_over",
    "verify_answer",
]

SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
"""The authentication type of requests, and the signature type of answers."""

WINDOW_S: Final = 300
"""A timestamp may lie this far from the clock, before it or behind it."""

PROBE: Final = "WECHATPAY/SIGNTEST/"
"""How the signature of probe traffic begins: made wrong on purpose, to be refused like any wrong one.

Source: WeChat Pay merchant/4013053249
"""

_MS: Final = 1000
_SECONDS: Final = re.compile(r"[0-9]{1,19}")


def fits(verifier: Verifier, message: bytes, signature: bytes) -> bool:
    """Whether this key made this signature of this message."""
    try:
        verifier.verify(message, signature)
    except AuthenticityError:
        return False
    return True


class SigningKey(NamedTuple):
    """A platform key that signs: its serial, or its public key id, and the signer."""

    serial: str
    signer: Signer


SHARES: Final = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The share of callbacks that the public key signs, on each of the seven days of the switch-over.

Source: WeChat Pay merchant/4012154180
"""


def choose(platform: PlatformKeys, kind: Kind, at_ms: int) -> SigningKey:
    """The key that signs at a time: the newest certificate in use, or the public key.

    Where no certificate is in use (all have expired, or none has begun) the newest one signs all the same,
    and clients say what is wrong with it; where there is none at all, the public key signs.
    """
    if kind == "public_key" or not platform.certificates:
        return SigningKey(platform.public_key_id, platform.public_signer)
    in_use = (one for one in platform.certificates if one.start_ms <= at_ms < one.end_ms)
    one = next(in_use, platform.certificates[0])
    return SigningKey(one.serial, one.signer)


def kind_wanted(request: Request, default: Kind) -> Kind:
    """Which key kind a request asks for by its header `Wechatpay-Serial`; `default` where it is silent.

    Source: WeChat Pay merchant/4012154180
    """
    serial = request.header("wechatpay-serial")
    if not serial:
        return default
    return "public_key" if serial.startswith(PUBLIC_KEY_PREFIX) else "certificate"


def switch_over(day: int, draw: float) -> Kind:
    """Which key signs a callback during the switch-over to the public key.

    `day` counts from 1, the first of seven; before it the certificate signs, after them the public key.
    `draw` is random, from 0 up to but not including 1.
    """
    if day < 1:
        return "certificate"
    return "public_key" if draw < SHARES[min(day, len(SHARES)) - 1] else "certificate"


def answer_headers(body: bytes, key: SigningKey, nonce: str, timestamp_s: int) -> tuple[tuple[str, str], ...]:
    """The five `Wechatpay-` headers of an answer or a callback with this body; a 204 has an empty one.

    Source: WeChat Pay merchant/4013053420
    """
    message = WECHAT_RESPONSE.string(str(timestamp_s), nonce, body)
    return (
        ("Wechatpay-Timestamp", str(timestamp_s)),
        ("Wechatpay-Nonce", nonce),
        ("Wechatpay-Signature", to_text(key.signer.sign(message))),
        ("Wechatpay-Serial", key.serial),
        ("Wechatpay-Signature-Type", SCHEME),
    )


_LOST_TO_PROBE: Final = 8


def probe(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The same headers with a signature that is wrong on purpose, as probe traffic has it.

    It is no base64 as a whole: decoders that do not expect that, fall over.

    Source: WeChat Pay merchant/4013053249; wechatpay-java issue 319 (a real one: the prefix, then the
    signature without 8 of its characters). Assumed: the first 8
    """
    return tuple(
        (name, PROBE + value[_LOST_TO_PROBE:]) if name.lower() == "wechatpay-signature" else (name, value)
        for name, value in headers
    )


_SIGNED: Final = (
    "Wechatpay-Timestamp",
    "Wechatpay-Nonce",
    "Wechatpay-Signature",
    "Wechatpay-Serial",
    "Wechatpay-Signature-Type",
)


def verify_answer(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    verifiers: Mapping[str, Verifier],
    wall_ms: int,
) -> None:
    """Raises AuthenticityError unless one of `verifiers` (serial -> verifier) signed this, just now.

    Names of headers count in any case. The error says what is wrong.

    Source: WeChat Pay merchant/4013053420
    """
    timestamp, nonce, signature, serial, kind = _signature_of(headers)
    if kind != SCHEME:
        raise AuthenticityError(f"the signature type is {SCHEME}, not {kind!r}")
    if not _SECONDS.fullmatch(timestamp) or abs(int(timestamp) * _MS - wall_ms) > WINDOW_S * _MS:
        raise AuthenticityError(f"the timestamp {timestamp} is more than {WINDOW_S} s from the clock")
    verifier = verifiers.get(serial)
    if verifier is None:
        raise AuthenticityError(f"the key {serial} is not among {', '.join(verifiers)}")
    if signature.startswith(PROBE):
        raise AuthenticityError("this is probe traffic: its signature is wrong on purpose")
    _check_answer((timestamp, nonce, body), signature, serial, verifiers)


def _signature_of(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> list[str]:
    """The values of `_SIGNED`, each of which must be there."""
    if isinstance(headers, dict):
        as_sent = [headers.get(name, "") for name in _SIGNED]
        if all(as_sent):
            return as_sent
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found = {name.lower(): value for name, value in pairs}
    values = [found.get(name.lower(), "") for name in _SIGNED]
    lacking = [name.lower() for name, value in zip(_SIGNED, values, strict=True) if not value]
    if lacking:
        raise AuthenticityError(f"the answer is not signed: it lacks {', '.join(lacking)}")
    return values


def _check_answer(
    values: tuple[str, str, bytes], signature: str, serial: str, verifiers: Mapping[str, Verifier]
) -> None:
    try:
        message, given = WECHAT_RESPONSE.string(*values), from_text(signature)
    except (UsageError, DecodeError) as error:
        raise AuthenticityError(f"the answer's signature cannot be read: {error}") from None
    if not fits(verifiers[serial], message, given):
        others = {one: verifier for one, verifier in verifiers.items() if one != serial}
        why = mismatch.explain(verifiers[serial], WECHAT_RESPONSE, values, given, serials=others)
        raise AuthenticityError(str(why))
