"""What WeChat Pay APIv3 sends sealed: callback resources, certificates, sensitive fields.

    resource   AES-256-GCM by the merchant's APIv3 key; nonce and associated data as text; base64
    field      RSA-OAEP by a platform key, which the request header `Wechatpay-Serial` names; base64

Source: WeChat Pay merchant/4012071382 (resources, certificates), 4013053257 and 4013053264 (fields)
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from paysim.core.errors import AuthenticityError, DecodeError, UsageError
from paysim.crypto.keys import SymmetricKey
from paysim.crypto.sealed import Gcm, Oaep, Pkcs1
from paysim.crypto.signature import from_text, to_text

from .errors import WeChatError, param_error
from .keys import SEALING_NAME, MerchantCertificate, PlatformKeys

__all__ = [
    "ALGORITHM",
    "NONCE_CHARACTERS",
    "certificates_body",
    "open_field",
    "open_resource",
    "seal_field",
    "seal_for_merchant",
    "seal_resource",
]

ALGORITHM: Final = "AEAD_AES_256_GCM"

NONCE_CHARACTERS: Final = 12
"""Of the text that is a resource's nonce."""

_CERTIFICATE: Final = "certificate"
_SHANGHAI: Final = datetime.timezone(datetime.timedelta(hours=8))
_MS: Final = 1000


def seal_resource(
    api_v3_key: str, plaintext: bytes, nonce: str, associated: str, original_type: str = ""
) -> dict[str, str]:
    """The `resource` of a callback, or the `encrypt_certificate` of a certificate (no original_type).

    `nonce` is 12 characters. Raises UsageError for another nonce, or where no APIv3 key is set.
    """
    if len(nonce) != NONCE_CHARACTERS or not nonce.isascii():
        raise UsageError(f"a resource's nonce is {NONCE_CHARACTERS} ASCII characters, not {nonce!r}")
    sealed = {
        "algorithm": ALGORITHM,
        "ciphertext": to_text(_box(api_v3_key).seal(plaintext, nonce, associated)),
        "associated_data": associated,
        "nonce": nonce,
    }
    return {"original_type": original_type, **sealed} if original_type else sealed


def open_resource(api_v3_key: str, resource: Mapping[str, Any]) -> bytes:
    """What lies in a `resource` or an `encrypt_certificate`; a missing `associated_data` counts as "".

    Raises UsageError where no APIv3 key is set, DecodeError for what is no such thing, AuthenticityError
    where key, nonce, associated data and ciphertext do not belong together.
    """
    box = _box(api_v3_key)
    algorithm = resource.get("algorithm")
    if algorithm != ALGORITHM:
        raise DecodeError(f"the algorithm is {ALGORITHM}, not {algorithm!r}", path="algorithm")
    ciphertext, nonce = resource.get("ciphertext"), resource.get("nonce")
    associated = resource.get("associated_data") or ""
    if not (isinstance(ciphertext, str) and isinstance(nonce, str) and isinstance(associated, str)):
        raise DecodeError("ciphertext, nonce and associated_data are text", path="resource")
    try:
        return box.open(from_text(ciphertext), nonce, associated)
    except UsageError as error:  # a nonce of another length
        raise DecodeError(str(error), path="resource") from None


def certificates_body(platform: PlatformKeys, api_v3_key: str, at_ms: int, nonces: Iterable[str]) -> bytes:
    """The answer of GET /v3/certificates: the certificates that are valid at a time, newest first.

    One nonce of 12 characters is taken for each. Raises WeChatError RESOURCE_NOT_EXISTS where this merchant
    cannot download any.

    Source: WeChat Pay merchant/4012551764; merchant/4012076511 (no certificate)
    """
    valid = [one for one in platform.certificates if one.certificate.start_ms <= at_ms < one.end_ms]
    if not valid or not platform.issues_certificates:
        raise WeChatError(
            "RESOURCE_NOT_EXISTS",
            "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。",
            "There is no platform certificate: use the WeChat Pay public key",
            status=404,
            why="this merchant has the public key alone, or every platform certificate has expired",
        )
    data = [
        {
            "serial_no": one.serial,
            "effective_time": _rfc3339(one.certificate.start_ms),
            "expire_time": _rfc3339(one.end_ms),
            "encrypt_certificate": seal_resource(api_v3_key, one.certificate.pem(), nonce, _CERTIFICATE),
        }
        for one, nonce in zip(valid, nonces, strict=False)
    ]
    if len(data) != len(valid):
        raise UsageError(f"{len(valid)} certificates are sealed with as many nonces; given: {len(data)}")
    return json.dumps({"data": data}, separators=(",", ":")).encode()


def seal_field(platform: PlatformKeys, serial: str, text: str) -> str:
    """A sensitive field as the merchant sends it, sealed with the key that `Wechatpay-Serial` will name.

    At most 214 bytes of UTF-8. Raises UsageError for more, or for a serial that is not the platform's.
    """
    opener = platform.opener(serial)
    if opener is None:
        raise UsageError(f"the platform has no key {serial!r}")
    return to_text(opener.seal(text.encode()))


def seal_for_merchant(certificate: MerchantCertificate, text: str) -> str:
    """A sensitive field in an answer, sealed with the key of the merchant's certificate.

    Source: WeChat Pay merchant/4013053265
    """
    return to_text(Oaep(SEALING_NAME, certificate.certificate.key).seal(text.encode()))


def open_field(platform: PlatformKeys, serial: str, text: str, field: str = "") -> str:
    """What a sensitive field of a request says; `serial` is the request's `Wechatpay-Serial`.

    `field` is the JSON pointer for the error. Raises WeChatError PARAM_ERROR: no serial, one that is not the
    platform's, or a text that its key does not open, with why.
    """
    if not serial:
        raise WeChatError(
            "PARAM_ERROR",
            "HTTP header缺少微信支付平台证书序列号(Wechatpay-Serial)",
            "The header Wechatpay-Serial is missing",
            why="a request with sealed fields names the key in the header Wechatpay-Serial",
        )
    opener = platform.opener(serial)
    if opener is None:
        raise WeChatError(
            "PARAM_ERROR",
            "平台证书序列号Wechatpay-Serial错误",
            "Wechatpay-Serial names no key of the platform",
            why=f"{serial!r} is neither a platform certificate's serial nor {platform.public_key_id}",
        )
    try:
        return opener.open(from_text(text)).decode()
    except (DecodeError, AuthenticityError, UnicodeDecodeError, UsageError) as error:
        refusal = param_error(field, text, "平台私钥解密失败", english="this field does not open")
        refusal.why = _why_closed(platform, serial, text, error)
        raise refusal from None


def _why_closed(platform: PlatformKeys, serial: str, text: str, error: Exception) -> str:
    if isinstance(error, DecodeError | UsageError):
        return f"the field is not sealed, or not in base64: {error}"
    if isinstance(error, UnicodeDecodeError):
        return "the field opens, but what was sealed is not UTF-8"
    sealed = from_text(text)
    openers = {one.serial: one.opener for one in platform.certificates}
    openers[platform.public_key_id] = platform.public_opener
    key = openers[serial].key
    if any(_opens(box, sealed) for box in (Oaep("oaep-sha256", key), Oaep("oaep-sha256-mgf1-sha1", key))):
        return "the field is sealed by OAEP with SHA-256; WeChat Pay uses SHA-1"
    if _opens(Pkcs1(key), sealed):
        return "the field is sealed by RSAES-PKCS1-v1_5; WeChat Pay uses OAEP with SHA-1"
    for other, opener in openers.items():
        if other != serial and _opens(opener, sealed):
            return f"the field is sealed with the key {other}, but Wechatpay-Serial names {serial}"
    return f"the field is not sealed with the key {serial}: with the merchant's own certificate, perhaps?"


def _opens(box: Oaep | Pkcs1, sealed: bytes) -> bool:
    try:
        box.open(sealed)
    except AuthenticityError:
        return False
    return True


@functools.lru_cache(maxsize=256)
def _box(api_v3_key: str) -> Gcm:
    """What a merchant's key seals and opens; kept, for to set it up takes longer than to open a resource."""
    if not api_v3_key:
        raise UsageError("no APIv3 key is set")
    return Gcm(SymmetricKey("aes-256", api_v3_key.encode(), name="APIv3"))


def _rfc3339(at_ms: int) -> str:
    return datetime.datetime.fromtimestamp(at_ms // _MS, _SHANGHAI).isoformat()
