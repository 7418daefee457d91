"""Signing and verifying: one small interface, one table of schemes.

    signer = Signer("rsa-sha256", key)
    signature = signer.sign(message)                                  # bytes
    Verifier("rsa-sha256", key.public()).verify(message, signature)   # None, or AuthenticityError

A signer keeps its loaded key and its padding and hash objects: what remains is the library's own work.
Both are values: they may be shared by threads, and pickle to child processes.

Source: RFC 8017 8.2 (RSA); FIPS 186-5 6 (ECDSA); GB/T 32918.2 (SM2); RFC 2104 (HMAC); the operators' pages
in each row of SCHEMES
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from paysim.core.errors import AuthenticityError, DecodeError, UsageError

from .keys import PrivateKey, PublicKey, SymmetricKey

__all__ = [
    "SCHEMES",
    "Scheme",
    "Signer",
    "Verifier",
    "from_text",
    "mini_program_signature",
    "official_account_signature",
    "to_text",
]

Sign = Callable[[bytes], bytes]
Check = Callable[[bytes, bytes], bool | None]
"""Message and signature; says False or raises InvalidSignature where they do not belong together."""


class Scheme(NamedTuple):
    """How one kind of signature is made.

    `key` is the family of keys that it takes ("hmac": symmetric), `signing` and `verifying` make the
    functions that work with a loaded key, `meaning` says who signs so.
    """

    key: str
    signing: Callable[[Any], Sign]
    verifying: Callable[[Any], Check]
    meaning: str


class Signer:
    """Signs with one key by one scheme of SCHEMES.

    Raises UsageError for an unknown scheme or a key of another family.

    >>> from paysim.crypto.keys import SymmetricKey
    >>> Signer("wechat-v2-md5", SymmetricKey("hmac", b"key")).sign(b"a=1")
    b'F28166FCBC34A47307495AFB0DA59B77'
    """

    __slots__ = ("_sign", "key", "scheme")

    def __init__(self, scheme: str, key: PrivateKey | SymmetricKey) -> None:
        row = _row(scheme, key, PrivateKey)
        self.scheme: Final = scheme
        self.key: Final = key
        self._sign: Final = row.signing(key.secret if isinstance(key, SymmetricKey) else key.loaded)

    @property
    def key_id(self) -> str:
        """The id of the key; never its secret."""
        return self.key.id

    def sign(self, message: bytes) -> bytes:
        """The signature: bytes as the scheme sends them before base64, hex text where the scheme is hex.

        Raises UsageError where the message is not bytes.
        """
        try:
            return self._sign(message)
        except TypeError:
            raise _not_bytes(message) from None

    def __repr__(self) -> str:
        return f"<Signer {self.scheme} {self.key_id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Signer, (self.scheme, self.key)


class Verifier:
    """Verifies with one key by one scheme of SCHEMES; for HMAC and MD5 the key is the signer's own.

    Raises UsageError for an unknown scheme or a key of another family.
    """

    __slots__ = ("_check", "key", "scheme")

    def __init__(self, scheme: str, key: PublicKey | SymmetricKey) -> None:
        row = _row(scheme, key, PublicKey)
        self.scheme: Final = scheme
        self.key: Final = key
        self._check: Final = row.verifying(key.secret if isinstance(key, SymmetricKey) else key.loaded)

    @property
    def key_id(self) -> str:
        """The id of the key; never its secret."""
        return self.key.id

    def verify(self, message: bytes, signature: bytes) -> None:
        """Raises AuthenticityError unless this key made this signature of this message.

        Raises UsageError where either is not bytes. `mismatch.explain` says what went wrong.
        """
        try:
            if self._check(message, signature) is not False:
                return
        except InvalidSignature:
            pass
        except TypeError:
            raise _not_bytes(message, signature) from None
        raise AuthenticityError(
            f"the signature does not fit the message ({self.scheme}, key {self.key_id},"
            f" {len(message)} bytes signed with {len(signature)})"
        )

    def __repr__(self) -> str:
        return f"<Verifier {self.scheme} {self.key_id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Verifier, (self.scheme, self.key)


def to_text(signature: bytes) -> str:
    """Base64 in one line, as headers and parameters carry a signature.

    >>> to_text(bytes(4))
    'AAAAAA=='
    """
    return binascii.b2a_base64(signature, newline=False).decode()


def from_text(text: str | bytes) -> bytes:
    """The bytes of a base64 signature; raises DecodeError (offset of the odd character) for anything else.

    >>> from_text("AAAAAA==")
    b'\\x00\\x00\\x00\\x00'
    """
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except (ValueError, TypeError):
        raise _no_base64(text) from None
    rest = len(raw) % 3
    if rest and text[rest - 4] not in _LAST_DIGITS[rest]:
        raise DecodeError("the last digit of this base64 has bits to spare", offset=len(text) + rest - 4)
    return raw


_LAST_DIGITS: Final[tuple[frozenset[str | int], ...]] = tuple(
    frozenset([*digits, *digits.encode()]) for digits in ("", "AQgw", "AEIMQUYcgkosw048")
)
"""Bytes in the last group -> the digits, as text and as bytes, that can end it: a signature has one text.

Source: RFC 4648 3.5
"""


def official_account_signature(token: str, *parts: str) -> str:
    """The 40 lower-case hex digits that a WeChat official account signs messages and URLs with.

    `parts` are timestamp and nonce, and the sealed message where there is one.

    >>> official_account_signature("test", "1410685589", "test")
    'f21891de399b4e33a1a93c9a7b8a8fffb5a443ff'

    Source: WeChat official accounts, "access guide" and "message encryption"
    """
    return _sha1("".join(sorted((token, *parts))))


def mini_program_signature(raw_data: str, session_key: str) -> str:
    """The 40 lower-case hex digits over a mini program's user data; the session key in base64, as it came.

    Source: WeChat mini programs, "signature verification of open data"
    """
    return _sha1(raw_data + session_key)


def _sha1(text: str) -> str:
    try:
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    except UnicodeEncodeError:
        raise UsageError("what is signed is text that UTF-8 can write") from None


# How each family signs. ---------------------------------------------------------------------------------

_PKCS1: Final = padding.PKCS1v15()
_P256_BYTES: Final = 32


def _rsa(algorithm: hashes.HashAlgorithm) -> tuple[Callable[[Any], Sign], Callable[[Any], Check]]:
    def signing(key: Any) -> Sign:
        sign = key.sign
        return lambda message: sign(message, _PKCS1, algorithm)

    def verifying(key: Any) -> Check:
        verify = key.verify
        return lambda message, signature: verify(signature, message, _PKCS1, algorithm)

    return signing, verifying


def _rsa_twice(
    algorithm: hashes.HashAlgorithm,
) -> tuple[Callable[[Any], Sign], Callable[[Any], Check]]:
    """The lower-case hex text of the digest is what RSA signs, hashing it again."""
    once_signing, once_verifying = _rsa(algorithm)
    name = algorithm.name

    def digest(message: bytes) -> bytes:
        return hashlib.new(name, message).hexdigest().encode()

    def signing(key: Any) -> Sign:
        sign = once_signing(key)
        return lambda message: sign(digest(message))

    def verifying(key: Any) -> Check:
        verify = once_verifying(key)
        return lambda message, signature: verify(digest(message), signature)

    return signing, verifying


def _keyed(make: Callable[[bytes], Sign]) -> tuple[Callable[[Any], Sign], Callable[[Any], Check]]:
    """A code that both sides compute; compared in constant time."""

    def verifying(key: Any) -> Check:
        sign = make(key)
        compare = hmac.compare_digest
        return lambda message, signature: compare(sign(message), signature)

    return make, verifying


def _hmac(algorithm: str) -> Callable[[bytes], Sign]:
    def make(key: bytes) -> Sign:
        start = hmac.new(key, digestmod=algorithm)

        def sign(message: bytes) -> bytes:
            code = start.copy()
            code.update(message)
            return code.digest()

        return sign

    return make


def _hmac_sm3(key: bytes) -> Sign:
    from cryptography.hazmat.primitives.hmac import HMAC

    start = HMAC(key, hashes.SM3())

    def sign(message: bytes) -> bytes:
        code = start.copy()
        code.update(message)
        return code.finalize()

    return sign


def _wechat_v2_md5(key: bytes) -> Sign:
    tail = b"&key=" + key
    start = hashlib.md5(usedforsecurity=False)

    def sign(message: bytes) -> bytes:
        code = start.copy()
        code.update(message + tail)
        return code.hexdigest().upper().encode()

    return sign


def _wechat_v2_hmac(key: bytes) -> Sign:
    tail = b"&key=" + key
    sign = _hmac("sha256")(key)
    return lambda message: binascii.hexlify(sign(message + tail)).upper()


def _unionpay_key(key: bytes) -> Sign:
    """The digest of the string, `&`, and the digest of the key; both as lower-case hex."""
    sha256 = hashlib.sha256
    tail = b"&" + sha256(key).hexdigest().encode()
    return lambda message: sha256(message + tail).hexdigest().encode()


_ECDSA: Final = ec.ECDSA(hashes.SHA256())


def _ecdsa_signing(key: Any) -> Sign:
    sign = key.sign
    return lambda message: sign(message, _ECDSA)


def _ecdsa_verifying(key: Any) -> Check:
    verify = key.verify
    return lambda message, signature: verify(signature, message, _ECDSA)


def _ecdsa_raw_signing(key: Any) -> Sign:
    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, _ECDSA))
        return r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")

    return sign


def _ecdsa_raw_verifying(key: Any) -> Check:
    def check(message: bytes, signature: bytes) -> bool:
        if not isinstance(signature, bytes):
            raise TypeError
        if len(signature) != 2 * _P256_BYTES:
            return False
        r, s = (int.from_bytes(half, "big") for half in (signature[:_P256_BYTES], signature[_P256_BYTES:]))
        key.verify(encode_dss_signature(r, s), message, _ECDSA)
        return True

    return check


def _sm2(raw: bool) -> tuple[Callable[[Any], Sign], Callable[[Any], Check]]:
    def signing(key: Any) -> Sign:
        from . import sm

        if raw:
            return lambda message: sm.sign(key, message)
        return lambda message: sm.der_signature(sm.sign(key, message))

    def verifying(key: Any) -> Check:
        from . import sm

        def check(message: bytes, signature: bytes) -> bool:
            if not isinstance(signature, bytes):
                raise TypeError
            try:
                sm.verify(key, message, signature if raw else sm.raw_signature(signature))
            except (AuthenticityError, DecodeError):
                return False
            return True

        return check

    return signing, verifying


_V2: Final = "WeChat Pay v2; upper-case hex"
_UNIONPAY: Final = "UnionPay gateway"

# fmt: off
SCHEMES: Final[dict[str, Scheme]] = {
    "rsa-sha256":            Scheme("rsa", *_rsa(hashes.SHA256()), "WeChat Pay APIv3; Alipay RSA2 and v3"),
    "rsa-sha1":              Scheme("rsa", *_rsa(hashes.SHA1()), "Alipay's legacy RSA"),  # noqa: S303
    "rsa-sha224":            Scheme("rsa", *_rsa(hashes.SHA224()), "RFC 8017"),
    "rsa-sha384":            Scheme("rsa", *_rsa(hashes.SHA384()), "RFC 8017"),
    "rsa-sha512":            Scheme("rsa", *_rsa(hashes.SHA512()), "RFC 8017"),
    "rsa-sha256-twice":      Scheme("rsa", *_rsa_twice(hashes.SHA256()), f"{_UNIONPAY} 5.1.0, signMethod 01"),
    "rsa-sha1-twice":        Scheme("rsa", *_rsa_twice(hashes.SHA1()), f"{_UNIONPAY} 5.0.0"),  # noqa: S303
    "ecdsa-p256-sha256":     Scheme("p-256", _ecdsa_signing, _ecdsa_verifying, "r and s in DER"),
    "ecdsa-p256-sha256-raw": Scheme("p-256", _ecdsa_raw_signing, _ecdsa_raw_verifying, "32 bytes each"),
    "sm2-sm3":               Scheme("sm2", *_sm2(raw=False), "WeChat Pay APIv3 with SM2; r and s in DER"),
    "sm2-sm3-raw":           Scheme("sm2", *_sm2(raw=True), "r and s, 32 bytes each"),
    "hmac-sha256":           Scheme("hmac", *_keyed(_hmac("sha256")), "RFC 2104; 32 bytes"),
    "hmac-sha1":             Scheme("hmac", *_keyed(_hmac("sha1")), "RFC 2104; 20 bytes"),
    "hmac-sm3":              Scheme("hmac", *_keyed(_hmac_sm3), "RFC 2104 with SM3; 32 bytes"),
    "wechat-v2-md5":         Scheme("hmac", *_keyed(_wechat_v2_md5), _V2),
    "wechat-v2-hmac-sha256": Scheme("hmac", *_keyed(_wechat_v2_hmac), _V2),
    "unionpay-key-sha256":   Scheme("hmac", *_keyed(_unionpay_key), f"{_UNIONPAY}, signMethod 11; hex"),
}
# fmt: on
"""Name -> key, how, and who signs so.

Source: WeChat Pay merchant/4012365336 (APIv3), chapter 4_3 (v2); Alipay open platform, "signing";
UnionPay online gateway (ACP) 5.1.0.
Assumed: `unionpay-key-sha256` follows the published rule as remembered; no program was at hand to check it.
"""


def _row(scheme: str, key: object, pair: type[PrivateKey] | type[PublicKey]) -> Scheme:
    if scheme not in SCHEMES:
        raise UsageError(f"a signature scheme is one of {', '.join(SCHEMES)}, not {scheme!r}")
    row = SCHEMES[scheme]
    wanted = "a symmetric key of kind hmac"
    if row.key != "hmac":
        wanted = f"{'a private' if pair is PrivateKey else 'a public'} key of family {row.key}"
    if not isinstance(key, SymmetricKey if row.key == "hmac" else pair) or key.family != row.key:
        raise UsageError(f"{scheme} takes {wanted}; this is {_named(key)}")
    return row


def _named(key: object) -> str:
    """What a key is, without showing what may be a secret."""
    return repr(key) if isinstance(key, PrivateKey | PublicKey | SymmetricKey) else type(key).__name__


def _not_bytes(*given: object) -> UsageError:
    kinds = " and ".join(type(one).__name__ for one in given)
    return UsageError(f"message and signature are bytes, not {kinds}")


def _no_base64(text: object) -> Exception:
    if not isinstance(text, str | bytes):
        return UsageError(f"a signature in base64 is text, not {type(text).__name__}")
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    good = len(raw) - len(raw.lstrip(alphabet))
    if good == len(raw) or raw[good:].startswith(b"="):
        return DecodeError("this base64 is cut or wrongly padded", offset=len(raw))
    return DecodeError(f"byte {raw[good]:#04x} is not base64", offset=good)
