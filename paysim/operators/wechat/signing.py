"""Signed requests of WeChat Pay APIv3: made as the merchant makes them, verified as the platform does.

The five lines, the header `Authorization`, the order of the checks and the words of each refusal stand here.
The rest of the signing can be had from here as well:

    request    authorization, verify            here; what went wrong: mistakes
    answer     answer_headers, verify_answer    platform_signature; callbacks as well
    client     pay_sign, check_pay_sign         client_signature
    sealed     seal_resource, seal_field, ...   sealing

A refusal is a WeChatError; its `why` says in plain words, for the person who runs the sandbox, what the
client did wrong.

Source: WeChat Pay merchant/4012365342 and the pages under it; 4012072670 (refusals)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from paysim.codec.http import Request
from paysim.core.errors import DecodeError, UsageError
from paysim.crypto.canonical import WECHAT_REQUEST
from paysim.crypto.signature import Verifier, from_text, to_text

from .client_signature import PayKind, check_pay_sign, pay_sign
from .errors import WeChatError
from .keys import PUBLIC_KEY_PREFIX, MerchantCertificate, MerchantKeys
from .mistakes import Lines, explained
from .platform_signature import (
    PROBE,
    SCHEME,
    SHARES,
    WINDOW_S,
    SigningKey,
    answer_headers,
    choose,
    fits,
    kind_wanted,
    probe,
    switch_over,
    verify_answer,
)
from .sealing import (
    ALGORITHM,
    certificates_body,
    open_field,
    open_resource,
    seal_field,
    seal_for_merchant,
    seal_resource,
)

__all__ = [
    "ALGORITHM",
    "PROBE",
    "REFUSALS",
    "SCHEME",
    "SHARES",
    "WINDOW_S",
    "Credential",
    "PayKind",
    "Refusal",
    "SigningKey",
    "answer_headers",
    "authorization",
    "certificates_body",
    "check_pay_sign",
    "choose",
    "kind_wanted",
    "missing",
    "open_field",
    "open_resource",
    "parse_authorization",
    "pay_sign",
    "probe",
    "seal_field",
    "seal_for_merchant",
    "seal_resource",
    "signed_body",
    "switch_over",
    "verify",
    "verify_answer",
]

_MS: Final = 1000


# Requests: what is refused, and in which words. ----------------------------------------------------------


class Refusal(NamedTuple):
    """The message of a SIGN_ERROR in Chinese and English."""

    text: str
    english: str


# fmt: off
REFUSALS: Final[dict[str, Refusal]] = {
    "form": Refusal("Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》",
                    "The value of the HTTP header Authorization is malformed"),
    "trade_form": Refusal("签名信息错误，验签失败", "The signature information is wrong"),
    "scheme": Refusal("Http头Authorization认证类型不正确",
                      "The authentication type of the HTTP header Authorization is wrong"),
    "time": Refusal("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟",
                    "The timestamp in the HTTP header Authorization is more than 5 minutes from the request"),
    "serial": Refusal("商户证书序列号有误。请使用签名私钥匹配的证书序列号",
                      "The merchant certificate's serial number is wrong: name the private key's own"),
    "uncertified": Refusal("商户未申请过证书。", "The merchant has not applied for a certificate"),
    "expired": Refusal("商户证书已过期。", "The merchant certificate has expired"),
    "revoked": Refusal("商户证书已作废。", "The merchant certificate is revoked"),
    "replaced": Refusal("已更换证书，请使用新证书。", "The certificate has been replaced: use the new one"),
    "unset": Refusal("商户未设置APIv3密钥。", "The merchant has not set an APIv3 key"),
    "signature": Refusal("签名错误", "Wrong signature"),
}
# fmt: on
"""Why a request is refused before anybody looks at what it wants; every one is a 401 SIGN_ERROR.

Source: WeChat Pay merchant/4012072670, and the answers that a probe without credentials had (facts 1.2).
Assumed: the English texts
"""

_TRADE: Final = "/v3/pay/transactions"
"""Under this path a missing header is refused in other words. Source: facts 1.2, a probe's log"""


def missing(path: str) -> Refusal:
    """What is said of a missing or malformed `Authorization` at a path.

    >>> missing("/v3/pay/transactions/native").text
    '签名信息错误，验签失败'
    """
    return REFUSALS["trade_form" if path.startswith(_TRADE) else "form"]


def _refused(key: str | Refusal, why: str, detail: Mapping[str, Any] | None = None) -> WeChatError:
    row = REFUSALS[key] if isinstance(key, str) else key
    return WeChatError("SIGN_ERROR", row.text, row.english, detail=detail, why=why)


# The header. ---------------------------------------------------------------------------------------------

_NAMES: Final = ("mchid", "nonce_str", "timestamp", "serial_no", "signature")
_MAX_HEADER: Final = 4_096
_PAIR: Final = re.compile(r'([a-z_]+)="([!#-~]*)"')
_SECONDS: Final = re.compile(r"[0-9]{1,19}")

_FORM_FAULTS: Final[tuple[tuple[str, str], ...]] = (
    ("‘’“”", "typographic quotes stand in it"),
    ("，：", "Chinese punctuation stands in it"),
    ("'", "the values are in single quotes; double ones are wanted"),
    ("\r\n", "a line break stands in it: was the signature's base64 wrapped?"),
    (" \t", "white space stands in it: one space follows the authentication type, and no other"),
)
"""Characters that do not belong into the fields, and what their presence says."""


@dataclass(frozen=True, slots=True)
class Credential:
    """The five fields of an `Authorization`, as they were sent; `signature` is base64.

    `lenient` says that only the decoded path fits the signature, which the switch `lenient_path` forgave.
    """

    mchid: str
    nonce: str
    timestamp: str
    serial: str
    signature: str
    lenient: bool = False


def parse_authorization(value: str, path: str = "") -> Credential:
    """The credential in an `Authorization` header; `path` decides how a missing one is refused.

    The type, one space, then five `key="value"` in any order, commas and nothing else between them. Raises
    WeChatError SIGN_ERROR.

    Source: WeChat Pay merchant/4012365344.
    Assumed: unknown and repeated fields are refused; a value is visible ASCII
    """
    scheme, _, fields = value.partition(" ")
    if not value:
        raise _refused(missing(path), "the header Authorization is missing")
    if scheme != SCHEME:
        # A foreign type (Bearer) counts as no signature; one of WeChat Pay's own is named as wrong.
        foreign = path.startswith(_TRADE) and not scheme.startswith("WECHATPAY")
        why = f"the authentication type is {SCHEME}, not {scheme[:64]!r}"
        raise _refused(missing(path) if foreign else "scheme", why)
    pairs = _PAIR.findall(fields) if len(fields) <= _MAX_HEADER else []
    found = dict(pairs)
    if ",".join(f'{name}="{text}"' for name, text in pairs) != fields or len(found) != len(pairs):
        raise _refused(missing(path), f"the header Authorization is malformed: {_form_fault(fields)}")
    if set(found) != set(_NAMES) or not all(found.values()):
        lacking = [name for name in _NAMES if not found.get(name)]
        unknown = [name for name in found if name not in _NAMES]
        said = (
            f"it lacks {', '.join(lacking)}" if lacking else f"it has an unknown field {', '.join(unknown)}"
        )
        raise _refused(missing(path), f"the header Authorization is malformed: {said}")
    if not _SECONDS.fullmatch(found["timestamp"]):
        raise _refused(missing(path), "the header Authorization is malformed: its timestamp is not a number")
    return Credential(*(found[name] for name in _NAMES))


def _form_fault(fields: str) -> str:
    if len(fields) > _MAX_HEADER:
        return f"it is longer than {_MAX_HEADER} characters"
    for odd, text in _FORM_FAULTS:
        if any(one in fields for one in odd):
            return text
    return 'five fields key="value" are wanted, each once, with commas between them'


# Verifying a request. ------------------------------------------------------------------------------------


def verify(
    request: Request,
    keys_of: Callable[[str], MerchantKeys | None],
    wall_ms: int,
    *,
    lenient_path: bool = False,
    others: Mapping[str, Verifier] | None = None,
) -> Credential:
    """The credential of a request that its merchant signed; raises WeChatError SIGN_ERROR for any other.

    `keys_of` gives a merchant's keys by its mchid, `wall_ms` is the time of day in Unix milliseconds,
    `others` are keys that a client may have taken by mistake (a name -> verifier), for the explanation alone.
    With `lenient_path` a signature over the decoded target is accepted, too.

    The checks, in this order: form and type of the header, time, merchant, certificate, APIv3 key, signature.

    Source: WeChat Pay merchant/4012072670; a probe's log (time before merchant and signature).
    Assumed: the order of the rest; a serial is compared letter by letter; the unset APIv3 key refuses all
    """
    credential = parse_authorization(request.header("authorization"), request.path)
    _check_time(credential, wall_ms)
    keys = keys_of(credential.mchid)
    if keys is None:
        # Assumed: as the probe saw it for orders; elsewhere the certificate cannot be found.
        key = "signature" if request.path.startswith(_TRADE) else "serial"
        raise _refused(key, f"there is no merchant {credential.mchid!r} in this sandbox")
    certificate = _certificate(keys, credential, wall_ms)
    if not keys.api_v3_key:
        raise _refused("unset", f"the merchant {keys.mchid} has not set an APIv3 key")
    suspects: Mapping[str, Verifier] = {} if others is None else others  # not asked whether it is empty: lazy
    return _check_signature(request, credential, keys, certificate, lenient_path, suspects)


def _check_time(credential: Credential, wall_ms: int) -> None:
    stamp_s = int(credential.timestamp)
    off_ms = stamp_s * _MS - wall_ms
    if abs(off_ms) <= WINDOW_S * _MS:
        return
    why = f"the timestamp is {abs(off_ms) // _MS} s {'ahead of' if off_ms > 0 else 'behind'} the clock"
    for unit, in_a_second in (("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)):
        if abs(stamp_s * _MS // in_a_second - wall_ms) <= WINDOW_S * _MS:
            why = f"the timestamp {credential.timestamp} is in {unit}; seconds are wanted"
    raise _refused("time", why)


def _certificate(keys: MerchantKeys, credential: Credential, wall_ms: int) -> MerchantCertificate:
    """The certificate that the credential names, which is in force."""
    if not keys.certificates:
        raise _refused("uncertified", f"the merchant {keys.mchid} has no certificate")
    named = keys.certificate(credential.serial)
    if named is None:
        raise _refused("serial", _why_no_certificate(keys, credential.serial))
    what = f"the certificate {named.serial} of the merchant {keys.mchid}"
    if named.status == "revoked":
        raise _refused("revoked", f"{what} is revoked; the newest is {keys.serial}")
    if named.status == "replaced":
        raise _refused("replaced", f"{what} is replaced; the newest is {keys.serial}")
    if wall_ms >= named.end_ms:
        raise _refused("expired", f"{what} has expired")
    return named


def _why_no_certificate(keys: MerchantKeys, serial: str) -> str:
    known = f"the merchant {keys.mchid} has {', '.join(one.serial for one in keys.certificates)}"
    if serial.startswith(PUBLIC_KEY_PREFIX):
        return f"serial_no names the platform's public key ({serial}); a certificate is wanted: {known}"
    if keys.certificate(serial.upper().lstrip("0")):
        return f"serial_no is {serial!r}: upper-case hex without leading zeros is wanted; {known}"
    if serial.isdecimal() and keys.certificate(f"{int(serial[:64]):X}"):
        return f"serial_no is in decimal ({serial}); upper-case hex is wanted: {known}"
    if ":" in serial and keys.certificate(serial.upper().replace(":", "").lstrip("0")):
        return f"serial_no is {serial!r}: hex without colons is wanted; {known}"
    return f"serial_no is {serial[:64]!r}, no certificate of this merchant: {known}"


def _check_signature(
    request: Request,
    credential: Credential,
    keys: MerchantKeys,
    certificate: MerchantCertificate,
    lenient_path: bool,
    others: Mapping[str, Verifier],
) -> Credential:
    lines = _lines(request, credential)
    message = b"\n".join([*lines.five, b""])
    try:
        signature = from_text(credential.signature)
    except DecodeError as error:
        why = f"the signature is not base64 in one line: {error}"
        raise _refused("signature", why, _detail(lines, message)) from None
    if fits(certificate.verifier, message, signature):
        return credential
    decoded = lines._replace(path=unquote_to_bytes(lines.path))
    unquoted = b"\n".join([*decoded.five, b""])
    fits_decoded = decoded != lines and fits(certificate.verifier, unquoted, signature)
    if lenient_path and fits_decoded:
        return replace(credential, lenient=True)
    serials = {one.serial: one.verifier for one in keys.certificates if one is not certificate}
    name = f"the merchant's certificate {certificate.serial}"
    try:
        why = str(
            explained(lines, signature, certificate.verifier, name=name, serials=serials, others=others)
        )
    except UsageError as error:  # a line feed in a method or a path that no HTTP server lets through
        why = str(error)
    if fits_decoded:
        why += f"\n{_FORGIVEN}"
    raise _refused("signature", why, _detail(lines, message))


_FORGIVEN: Final = "where an SDK cannot be told to sign what it sends, --lenient-path takes that"


def _lines(request: Request, credential: Credential) -> Lines:
    body = signed_body(request)
    return Lines(
        request.method.encode("utf-8", "replace"),
        _raw(request.target),
        credential.timestamp.encode(),
        credential.nonce.encode(),
        body,
        _raw(request.header("host")),
        request.body if body is not request.body else b"",
    )


def _raw(text: str) -> bytes:
    """The bytes that came; HTTP servers read them as latin-1."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


_SHOWN_BODY_BYTES: Final = 8
"""How much of the body the detail block shows. Source: four users' logs (facts 1.2)"""


def _detail(lines: Lines, message: bytes) -> dict[str, Any]:
    """What the real service says of a wrong signature: the head of the string that it made itself.

    Source: WeChat Pay merchant/4012072670 (`issue` in the block); users' logs of 2024 and 2025 (`issue` in a
    block within). Assumed: both at once suit every client; a character that the cut splits becomes U+FFFD
    """
    head = lines._replace(body=lines.body[:_SHOWN_BODY_BYTES])
    issue = {"issue": "sign not match"}
    return {
        "field": "signature",
        "location": "authorization",
        **issue,
        "detail": issue,
        "sign_information": {
            "method": lines.method.decode(),
            "url": lines.path.decode("utf-8", "replace"),
            "truncated_sign_message": b"\n".join([*head.five, b""]).decode("utf-8", "replace"),
            "sign_message_length": len(message),
        },
    }


# Uploads. ------------------------------------------------------------------------------------------------

_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_META: Final = re.compile(rb'content-disposition:[^\r\n]*\bname="?meta"?\s*(?:;|\r|$)', re.IGNORECASE)
_MAX_PARTS: Final = 16


def signed_body(request: Request) -> bytes:
    """What of the body is signed: all of it; of a multipart upload the text of its `meta` part alone.

    Source: WeChat Pay merchant/4012081954 (image upload). Assumed: an upload without a meta part is signed
    whole
    """
    kind = request.header("content-type")
    if not kind.lower().startswith("multipart/form-data"):
        return request.body
    found = _BOUNDARY.search(kind)
    if found is None:
        return request.body
    boundary = b"--" + _raw(found[1] or found[2])
    for part in request.body.split(boundary, _MAX_PARTS)[1:]:
        head, gap, content = part.partition(b"\r\n\r\n")
        if gap and _META.search(head):
            return content.removesuffix(b"\r\n")
    return request.body


# Signing a request. --------------------------------------------------------------------------------------


def authorization(
    keys: MerchantKeys, method: str, target: str, body: bytes, nonce: str, timestamp_s: int
) -> str:
    """The `Authorization` header of a request: as the merchant makes it.

    `target` is path and query as they are sent, `body` the bytes that are signed (`signed_body`). Raises
    UsageError where the sandbox does not hold the merchant's private key, or for a line feed in a line.

    Source: WeChat Pay merchant/4012365336
    """
    message = WECHAT_REQUEST.string(method, target, str(timestamp_s), nonce, body)
    signature = to_text(keys.signing().sign(message))
    fields = (keys.mchid, nonce, str(timestamp_s), keys.serial, signature)
    pairs = (f'{name}="{value}"' for name, value in zip(_NAMES, fields, strict=True))
    return f"{SCHEME} {','.join(pairs)}"
