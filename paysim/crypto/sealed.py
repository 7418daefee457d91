"""What travels encrypted: callbacks and certificates, refund notices, messages, fields, card data.

Each box is a value that keeps its loaded key. `seal` and `open` are each other's inverse on bytes; base64 is
the operators' business. What does not open raises AuthenticityError and never says why: a tag, a padding and
an inner length that are wrong look alike.

    Gcm             AES-256-GCM, SM4-GCM: WeChat Pay APIv3 callbacks and certificates
    Ecb             AES-256-ECB with PKCS#7: the WeChat Pay v2 refund notice
    Cbc             AES-CBC with PKCS#7: Alipay's biz_content (zero IV)
    OfficialAccount AES-256-CBC, 32-byte padding, random prefix, length, app id: official-account messages
    Oaep            RSA-OAEP: sensitive fields of WeChat Pay APIv3 (SHA-1), others (SHA-256)
    Pkcs1           RSAES-PKCS1-v1_5: card data of the UnionPay gateway

Nonces and IVs are given by the caller.

Source: NIST SP 800-38D (GCM), SP 800-38A (ECB, CBC); RFC 5652 6.3 (padding); RFC 8017 7.1, 7.2 (RSA)
"""

from __future__ import annotations

import binascii
import hashlib
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paysim.core.errors import AuthenticityError, UsageError

from .keys import PrivateKey, PublicKey, SymmetricKey

__all__ = [
    "NONCE_BYTES",
    "OAEP_HASHES",
    "TAG_BYTES",
    "Cbc",
    "Ecb",
    "Gcm",
    "Oaep",
    "OfficialAccount",
    "Opener",
    "Pkcs1",
    "Sealer",
    "refund_notice_key",
    "sm4_key",
]

NONCE_BYTES: Final = (8, 128)
"""The shortest and the longest GCM nonce: the library below refuses others. Assumed: nobody sends them."""

TAG_BYTES: Final = 16
BLOCK_BYTES: Final = 16
_ZERO_IV: Final = bytes(BLOCK_BYTES)
_OFFICIAL_BLOCK_BYTES: Final = 32
_PREFIX_BYTES: Final = 16
_LENGTH_BYTES: Final = 4
_AES: Final = ("aes-128", "aes-192", "aes-256")


class Sealer(Protocol):
    """A box that closes."""

    def seal(self, plaintext: bytes) -> bytes:
        """The ciphertext."""


class Opener(Protocol):
    """A box that opens."""

    def open(self, ciphertext: bytes) -> bytes:
        """The plaintext; raises AuthenticityError."""


class Gcm:
    """AES-GCM (a key of kind aes-...) or SM4-GCM (sm4), 16-byte tag at the end.

    Nonce and associated data are text (UTF-8) or bytes. Raises UsageError for another kind of key.

    >>> box = Gcm(SymmetricKey("aes-256", b"a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"))
    >>> box.open(box.seal(b"message", "uluk4a9R25RW", "associatedData"), "uluk4a9R25RW", "associatedData")
    b'message'

    Source: NIST SP 800-38D; GB/T 32907 (SM4); WeChat Pay merchant/4012071382
    """

    __slots__ = ("_cipher", "key")

    def __init__(self, key: SymmetricKey) -> None:
        _wanted(key, (*_AES, "sm4"), "GCM")
        self.key: Final = key
        self._cipher: Final[Any] = (_Sm4Gcm if key.kind == "sm4" else AESGCM)(key.secret)

    def seal(self, plaintext: bytes, nonce: str | bytes, associated: str | bytes = b"") -> bytes:
        """Ciphertext and tag. Raises UsageError for a nonce outside NONCE_BYTES, or what is no bytes."""
        try:
            if isinstance(nonce, str):
                nonce = nonce.encode()
            if isinstance(associated, str):
                associated = associated.encode()
            return self._cipher.encrypt(nonce, plaintext, associated)  # type: ignore[no-any-return]
        except (ValueError, TypeError, OverflowError, BufferError):
            raise _odd_gcm(nonce, plaintext, associated) from None

    def open(self, ciphertext: bytes, nonce: str | bytes, associated: str | bytes = b"") -> bytes:
        """The plaintext.

        Raises AuthenticityError where key, nonce, associated data and ciphertext do not belong together, and
        UsageError for a nonce outside NONCE_BYTES, or what is no bytes.
        """
        try:
            if isinstance(nonce, str):
                nonce = nonce.encode()
            if isinstance(associated, str):
                associated = associated.encode()
            return self._cipher.decrypt(nonce, ciphertext, associated)  # type: ignore[no-any-return]
        except InvalidTag:
            raise _closed(self.key.id) from None
        except (ValueError, TypeError, OverflowError, BufferError):
            raise _odd_gcm(nonce, ciphertext, associated) from None

    def __repr__(self) -> str:
        return f"<Gcm {self.key.kind} {self.key.id}>"


class Ecb:
    """AES-ECB with PKCS#7 padding; equal blocks look equal, as the operator wants it.

    Raises UsageError for a key that is not AES.

    >>> Ecb(SymmetricKey("aes-256", b"0123456789abcdef0123456789abcdef")).seal(b"hello").hex()
    'a59c096412eecb79830021104f861307'

    Source: NIST SP 800-38A 6.1; RFC 5652 6.3
    """

    __slots__ = ("_cipher", "key")

    def __init__(self, key: SymmetricKey) -> None:
        _wanted(key, _AES, "AES-ECB")
        self.key: Final = key
        self._cipher: Final = Cipher(algorithms.AES(key.secret), modes.ECB())  # noqa: S305 - theirs

    def seal(self, plaintext: bytes) -> bytes:
        """The ciphertext, a multiple of 16 bytes."""
        return _run(self._cipher.encryptor(), _pad(plaintext, BLOCK_BYTES))

    def open(self, ciphertext: bytes) -> bytes:
        """The plaintext; raises AuthenticityError where length or padding are wrong."""
        blocks = _whole_blocks(ciphertext, self.key.id)
        return _unpad(_run(self._cipher.decryptor(), blocks), BLOCK_BYTES, self.key.id)

    def __repr__(self) -> str:
        return f"<Ecb {self.key.kind} {self.key.id}>"


class Cbc:
    """AES-CBC with PKCS#7 padding; the IV is 16 bytes, zero unless given.

    Raises UsageError for a key that is not AES.

    Source: NIST SP 800-38A 6.2; RFC 5652 6.3; Alipay open platform, "content encryption"
    """

    __slots__ = ("_algorithm", "key")

    def __init__(self, key: SymmetricKey) -> None:
        _wanted(key, _AES, "AES-CBC")
        self.key: Final = key
        self._algorithm: Final = algorithms.AES(key.secret)

    def seal(self, plaintext: bytes, iv: bytes = _ZERO_IV) -> bytes:
        """The ciphertext without its IV, a multiple of 16 bytes; raises UsageError for a wrong IV."""
        return _run(self._mode(iv).encryptor(), _pad(plaintext, BLOCK_BYTES))

    def open(self, ciphertext: bytes, iv: bytes = _ZERO_IV) -> bytes:
        """The plaintext; raises AuthenticityError where length or padding are wrong."""
        blocks = _whole_blocks(ciphertext, self.key.id)
        return _unpad(_run(self._mode(iv).decryptor(), blocks), BLOCK_BYTES, self.key.id)

    def _mode(self, iv: bytes) -> Cipher[modes.CBC]:
        if not isinstance(iv, bytes) or len(iv) != BLOCK_BYTES:
            raise UsageError(f"an IV is {BLOCK_BYTES} bytes; this is {_size(iv)}")
        return Cipher(self._algorithm, modes.CBC(iv))

    def __repr__(self) -> str:
        return f"<Cbc {self.key.kind} {self.key.id}>"


class OfficialAccount:
    """The box of a WeChat official account's messages.

    Inside lie 16 random bytes, the message's length (4 bytes, big-endian), the message, the app id, and
    padding to 32 bytes. The key is the account's EncodingAESKey, 43 characters; its first 16 bytes are the
    IV. Raises UsageError for a key that is not, or an app id that is no text.

    >>> box = OfficialAccount("kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR", "wx49f0ab532d5d035a")
    >>> box.open(box.seal(b"<xml/>", b"1234567890123456"))
    b'<xml/>'

    Source: WeChat official accounts, "message encryption and decryption"
    """

    __slots__ = ("_app_id", "_cipher", "app_id")

    def __init__(self, encoding_aes_key: str, app_id: str) -> None:
        try:
            secret = binascii.a2b_base64(encoding_aes_key + "=", strict_mode=True)
        except (ValueError, TypeError):
            secret = b""
        if len(secret) != 32:
            raise UsageError(
                f"an EncodingAESKey is 43 characters of base64; this is {_size(encoding_aes_key)}"
            )
        self.app_id: Final = app_id
        self._app_id: Final = _text(app_id, "an app id")
        self._cipher: Final = Cipher(algorithms.AES(secret), modes.CBC(secret[:BLOCK_BYTES]))

    def seal(self, message: bytes, prefix: bytes) -> bytes:
        """The ciphertext of a message behind `prefix`, 16 random bytes."""
        if not isinstance(prefix, bytes) or len(prefix) != _PREFIX_BYTES:
            raise UsageError(f"the random prefix is {_PREFIX_BYTES} bytes; this is {_size(prefix)}")
        length = len(_checked(message)).to_bytes(_LENGTH_BYTES, "big")
        inside = prefix + length + message + self._app_id
        return _run(self._cipher.encryptor(), _pad(inside, _OFFICIAL_BLOCK_BYTES))

    def open(self, ciphertext: bytes) -> bytes:
        """The message; raises AuthenticityError where padding, length or app id are not this account's."""
        blocks = _whole_blocks(ciphertext, self.app_id)
        inside = _unpad(_run(self._cipher.decryptor(), blocks), _OFFICIAL_BLOCK_BYTES, self.app_id)
        start = _PREFIX_BYTES + _LENGTH_BYTES
        stop = start + int.from_bytes(inside[_PREFIX_BYTES:start], "big")
        if inside[stop:] != self._app_id or len(inside) < start:
            raise _closed(self.app_id)
        return inside[start:stop]

    def __repr__(self) -> str:
        return f"<OfficialAccount {self.app_id}>"


OAEP_HASHES: Final[dict[str, tuple[hashes.HashAlgorithm, hashes.HashAlgorithm]]] = {
    "oaep-sha1": (hashes.SHA1(), hashes.SHA1()),  # noqa: S303 - WeChat Pay's
    "oaep-sha256": (hashes.SHA256(), hashes.SHA256()),
    "oaep-sha256-mgf1-sha1": (hashes.SHA256(), hashes.SHA1()),  # noqa: S303 - Java's default
}
"""Scheme -> hash of the label, hash of the mask."""


class Oaep:
    """RSA-OAEP: a public key seals, a private key does both. `label` is empty unless given.

    At most the key's bytes less 42 fit (SHA-1; less 66 with SHA-256): 214 for 2,048 bits. Raises UsageError
    for an unknown scheme or a key that is not RSA.

    Source: RFC 8017 7.1; WeChat Pay merchant/4013053257 (SHA-1, MGF1 with SHA-1)
    """

    __slots__ = ("_padding", "_private", "_public", "key", "most_bytes", "scheme")

    def __init__(self, scheme: str, key: PublicKey | PrivateKey, label: bytes = b"") -> None:
        if scheme not in OAEP_HASHES:
            raise UsageError(f"an OAEP scheme is one of {', '.join(OAEP_HASHES)}, not {scheme!r}")
        self._private, self._public = _rsa_pair(key, scheme)
        label_hash, mask_hash = OAEP_HASHES[scheme]
        self.scheme: Final = scheme
        self.key: Final = key
        self.most_bytes: Final = _bytes_of(self._public) - 2 * label_hash.digest_size - 2
        self._padding: Final = padding.OAEP(padding.MGF1(mask_hash), label_hash, _checked(label))

    def seal(self, plaintext: bytes) -> bytes:
        """As many bytes as the key has; raises UsageError for more than `most_bytes` of plaintext."""
        _fits(plaintext, self.most_bytes, self.scheme)
        return self._public.encrypt(plaintext, self._padding)  # type: ignore[no-any-return]

    def open(self, ciphertext: bytes) -> bytes:
        """The plaintext; raises AuthenticityError, or UsageError without the private key."""
        if self._private is None:
            raise UsageError("opening takes the private key; this is the public one")
        try:
            return self._private.decrypt(_checked(ciphertext), self._padding)  # type: ignore[no-any-return]
        except ValueError:
            raise _closed(self.key.id) from None

    def __repr__(self) -> str:
        return f"<Oaep {self.scheme} {self.key.id}>"


class Pkcs1:
    """RSAES-PKCS1-v1_5: a public key seals, a private key does both; 11 bytes fewer than the key fit.

    OpenSSL answers a wrong padding with made-up bytes, to tell an attacker nothing. A simulator has nothing
    to hide and a client to debug: here the padding is checked, and what does not fit is refused. That takes
    the private operation into whole numbers, about 10 ms, and not in constant time.

    Source: RFC 8017 7.2; UnionPay gateway (ACP) 5.1.0, encryption of card data
    """

    __slots__ = ("_numbers", "_public", "key", "most_bytes")

    def __init__(self, key: PublicKey | PrivateKey) -> None:
        private, self._public = _rsa_pair(key, "RSAES-PKCS1-v1_5")
        self.key: Final = key
        self.most_bytes: Final = _bytes_of(self._public) - 11
        self._numbers: Final[Any] = private and private.private_numbers()

    def seal(self, plaintext: bytes) -> bytes:
        """As many bytes as the key has; raises UsageError for more than `most_bytes` of plaintext."""
        _fits(plaintext, self.most_bytes, "RSAES-PKCS1-v1_5")
        return self._public.encrypt(plaintext, padding.PKCS1v15())  # type: ignore[no-any-return]

    def open(self, ciphertext: bytes) -> bytes:
        """The plaintext; raises AuthenticityError, or UsageError without the private key."""
        if self._numbers is None:
            raise UsageError("opening takes the private key; this is the public one")
        size = _bytes_of(self._public)
        number = int.from_bytes(_checked(ciphertext), "big")
        if len(ciphertext) != size or number >= self._numbers.public_numbers.n:
            raise _closed(self.key.id)
        block = _raise(number, self._numbers).to_bytes(size, "big")
        stop = block.find(b"\0", 2)
        if block[:2] != b"\0\2" or stop < 10:
            raise _closed(self.key.id)
        return block[stop + 1 :]

    def __repr__(self) -> str:
        return f"<Pkcs1 {self.key.id}>"


def refund_notice_key(api_key: str) -> SymmetricKey:
    """The AES key of a v2 refund notice: the 32 lower-case hex digits of the API key's MD5.

    Source: WeChat Pay v2, chapter 9_16 (refund result notice)
    """
    digest = hashlib.md5(_text(api_key), usedforsecurity=False).hexdigest()
    return SymmetricKey("aes-256", digest.encode(), name="refund notice")


def sm4_key(api_v3_key: str) -> SymmetricKey:
    """The SM4 key of APIv3 callbacks: the first 16 bytes of the APIv3 key's SM3.

    Source: wechatpay-java (shangmi), AeadSM4Cipher
    """
    digest = hashes.Hash(hashes.SM3())
    digest.update(_text(api_v3_key))
    return SymmetricKey("sm4", digest.finalize()[:16], name="APIv3")


class _Sm4Gcm:
    """SM4-GCM in the shape of AESGCM."""

    __slots__ = ("_algorithm",)

    def __init__(self, secret: bytes) -> None:
        self._algorithm = algorithms.SM4(secret)

    def encrypt(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        context = Cipher(self._algorithm, modes.GCM(nonce)).encryptor()
        context.authenticate_additional_data(associated)
        return context.update(plaintext) + context.finalize() + context.tag

    def decrypt(self, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        body, tag = ciphertext[:-TAG_BYTES], ciphertext[-TAG_BYTES:]
        if len(tag) < TAG_BYTES:
            raise InvalidTag
        context = Cipher(self._algorithm, modes.GCM(nonce, tag)).decryptor()
        context.authenticate_additional_data(associated)
        return context.update(body) + context.finalize()


def _raise(number: int, numbers: Any) -> int:
    """`number` to the private exponent, by the Chinese remainder theorem."""
    p, q = numbers.p, numbers.q
    low = pow(number, numbers.dmq1, q)
    high = pow(number, numbers.dmp1, p)
    return int(low + q * (numbers.iqmp * (high - low) % p))


def _bytes_of(public: Any) -> int:
    """Bytes of the modulus, whose bits may be no multiple of 8."""
    return int(public.key_size + 7) // 8


def _rsa_pair(key: PublicKey | PrivateKey, scheme: str) -> tuple[Any, Any]:
    """The loaded private half, None where it is not there, and the loaded public half."""
    if not isinstance(key, PublicKey | PrivateKey) or key.family != "rsa":
        raise UsageError(f"{scheme} takes an RSA key; this is {_kind(key)}")
    if isinstance(key, PrivateKey):
        return key.loaded, key.public().loaded
    return None, key.loaded


def _wanted(key: SymmetricKey, kinds: tuple[str, ...], scheme: str) -> None:
    if not isinstance(key, SymmetricKey) or key.kind not in kinds:
        raise UsageError(f"{scheme} takes a key of kind {' or '.join(kinds)}; this is {_kind(key)}")


def _kind(key: object) -> str:
    return repr(key) if isinstance(key, PrivateKey | PublicKey | SymmetricKey) else type(key).__name__


def _text(value: str, name: str = "an API key") -> bytes:
    try:
        return value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise UsageError(f"{name} is text that UTF-8 can write") from None


def _checked(data: bytes) -> bytes:
    if not isinstance(data, bytes):
        raise UsageError(f"what is sealed and opened is bytes, not {type(data).__name__}")
    return data


def _fits(plaintext: bytes, most: int, scheme: str) -> None:
    if len(_checked(plaintext)) > most:
        raise UsageError(f"{scheme} with this key seals at most {most} bytes; these are {len(plaintext)}")


def _size(value: object) -> str:
    if isinstance(value, str):
        return f"{len(value)} characters"
    return f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__


def _pad(data: bytes, block: int) -> bytes:
    count = block - len(_checked(data)) % block
    return data + bytes([count]) * count


def _unpad(data: bytes, block: int, key_id: str) -> bytes:
    count = data[-1]
    if not 1 <= count <= min(block, len(data)) or data[-count:] != bytes([count]) * count:
        raise _closed(key_id)
    return data[:-count]


def _whole_blocks(ciphertext: bytes, key_id: str) -> bytes:
    if not _checked(ciphertext) or len(ciphertext) % BLOCK_BYTES:
        raise _closed(key_id)
    return ciphertext


def _run(context: Any, data: bytes) -> bytes:
    return context.update(data) + context.finalize()  # type: ignore[no-any-return]


def _closed(key_id: str) -> AuthenticityError:
    return AuthenticityError(f"this does not open: another key ({key_id}), or somebody changed it")


def _odd_gcm(nonce: object, data: object, associated: object) -> UsageError:
    low, high = NONCE_BYTES
    if isinstance(nonce, bytes) and not low <= len(nonce) <= high:
        return UsageError(f"a GCM nonce has {low} to {high} bytes; this has {len(nonce)}")
    if all(isinstance(one, bytes) for one in (nonce, data, associated)):
        return UsageError("too many bytes for one GCM message")
    kinds = ", ".join(type(one).__name__ for one in (nonce, data, associated))
    return UsageError(f"nonce and associated data are text or bytes, the content is bytes; given: {kinds}")
