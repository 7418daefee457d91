"""Keys as values: read from and written to PEM, DER, PKCS#1, PKCS#8 and PKCS#12, or minted.

A key shows its kind and its id and never its secret. Keys from outside are checked when they are read; the
check of an RSA private key takes 35 ms, so what we minted ourselves is read with `trusted=True`, 10 us.

    minted                                          read as well
    rsa-2048 rsa-3072 p-256 sm2                     RSA of 1024 to 4096 bits
    aes-128 aes-256 sm4 hmac                        aes-192, HMAC keys of 1 to 4096 bytes

Source: RFC 8017 A.1 (PKCS#1); RFC 5958 (PKCS#8); RFC 7292 (PKCS#12); RFC 7468 (PEM); GB/T 35276 (SM2)
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Literal, NamedTuple, TypeVar, overload

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paysim.core.errors import AuthenticityError, DecodeError, Unsupported, UsageError

from . import armour

__all__ = [
    "MAX_SIZE",
    "RSA_BITS",
    "SECRET_SIZES",
    "Bundle",
    "PrivateKey",
    "PublicKey",
    "SymmetricKey",
    "bundle",
    "mint",
    "private",
    "public",
]

PairKind = Literal["rsa-2048", "rsa-3072", "p-256", "sm2"]
SecretKind = Literal["aes-128", "aes-256", "sm4", "hmac"]
Family = Literal["", "rsa", "p-256", "sm2"]

MAX_SIZE: Final = 65_536
"""Bytes of one encoded key. Assumed: a PKCS#12 file with its chain has a tenth of it."""

RSA_BITS: Final = (1024, 4096)
"""The smallest and the largest RSA key that is read."""

SECRET_SIZES: Final[dict[str, tuple[int, int]]] = {
    "aes-128": (16, 16),
    "aes-192": (24, 24),
    "aes-256": (32, 32),
    "sm4": (16, 16),
    "hmac": (1, 4096),
}
"""Kind of symmetric key -> fewest and most bytes."""

_Pair = TypeVar("_Pair", "PrivateKey", "PublicKey")

_MINTED_BITS: Final = {"rsa-2048": 2048, "rsa-3072": 3072}
_MINTED_SECRET_BYTES: Final = {"aes-128": 16, "aes-256": 32, "sm4": 16, "hmac": 32}
_MAX_PASSWORD: Final = 1023
"""Bytes: what the library below takes."""

_RSA_EXPONENT: Final = 65537
_MAX_EXPONENT_BITS: Final = 64
_P256: Final = ec.SECP256R1.name


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class PublicKey:
    """A public key: `kind` is rsa-BITS, p-256 or sm2; `loaded` is what the library below works with."""

    kind: str
    loaded: Any

    @property
    def family(self) -> str:
        """rsa, p-256 or sm2."""
        return _family(self.kind)

    @property
    def id(self) -> str:
        """16 hex digits of the SHA-256 of the public key's DER: the same for both halves of a pair."""
        return hashlib.sha256(self.der()).hexdigest()[:16]

    def der(self) -> bytes:
        """The SubjectPublicKeyInfo."""
        if self.kind == "sm2":
            return bytes(_sm().encode_public(self.loaded))
        der: bytes = self.loaded.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return der

    def pem(self, form: Literal["spki", "pkcs1"] = "spki") -> bytes:
        """`-----BEGIN PUBLIC KEY-----`, or for RSA `-----BEGIN RSA PUBLIC KEY-----` (pkcs1), lines of 64."""
        if form == "spki":
            return armour.pem("PUBLIC KEY", self.der())
        if self.family != "rsa":
            raise UsageError(f"PKCS#1 is for RSA keys; this one is {self.kind}")
        text: bytes = self.loaded.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
        return text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.der() == other.der()

    def __hash__(self) -> int:
        return hash(self.der())

    def __repr__(self) -> str:
        return f"<PublicKey {self.kind} {self.id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return public, (self.der(),)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class PrivateKey:
    """A private key. Pickling carries the secret to a child process; `repr` never shows it."""

    kind: str
    loaded: Any

    @property
    def family(self) -> str:
        """rsa, p-256 or sm2."""
        return _family(self.kind)

    @property
    def id(self) -> str:
        """The id of its public half."""
        return self.public().id

    def public(self) -> PublicKey:
        """The other half."""
        if self.kind == "sm2":
            return PublicKey("sm2", _sm().public_of(self.loaded))
        return PublicKey(self.kind, self.loaded.public_key())

    def der(self, password: str | None = None, form: Literal["pkcs8", "pkcs1"] = "pkcs8") -> bytes:
        """PKCS#8, encrypted where a password is given, or PKCS#1 (RSA; SEC 1 for P-256 and SM2).

        Raises UsageError for PKCS#1 with a password, or an empty password.
        """
        if self.kind == "sm2":
            if password is not None:
                raise Unsupported("an SM2 key is written without a password")
            return bytes(_sm().encode_private(self.loaded, "pkcs8" if form == "pkcs8" else "sec1"))
        if form not in _FORMS:
            raise UsageError(f"a private key is written as {' or '.join(_FORMS)}, not {form!r}")
        if form == "pkcs1" and password is not None:
            raise UsageError("PKCS#1 knows no password in DER; write PKCS#8")
        der: bytes = self.loaded.private_bytes(serialization.Encoding.DER, _FORMS[form], _sealing(password))
        return der

    def pem(self, password: str | None = None, form: Literal["pkcs8", "pkcs1"] = "pkcs8") -> bytes:
        """The same as PEM, lines of 64."""
        label = "PRIVATE KEY" if password is None else "ENCRYPTED PRIVATE KEY"
        if form == "pkcs1":
            label = "RSA PRIVATE KEY" if self.family == "rsa" else "EC PRIVATE KEY"
        return armour.pem(label, self.der(password, form))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and hmac.compare_digest(self.der(), other.der())

    def __hash__(self) -> int:
        return hash(self.public())

    def __repr__(self) -> str:
        return f"<PrivateKey {self.kind} {self.id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return private, (self.der(), None, True)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SymmetricKey:
    """A secret of `kind` aes-128, aes-192, aes-256, sm4 or hmac; `name` is what logs call it.

    Raises UsageError where the kind does not take that many bytes.

    >>> SymmetricKey("aes-256", b"0123456789abcdef0123456789abcdef", name="APIv3")
    <SymmetricKey aes-256 APIv3>
    """

    kind: str
    secret: bytes
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in SECRET_SIZES:
            raise UsageError(f"a symmetric key is one of {', '.join(SECRET_SIZES)}, not {self.kind!r}")
        if not isinstance(self.secret, bytes):
            raise UsageError(f"a symmetric key is made of bytes, not {type(self.secret).__name__}")
        fewest, most = SECRET_SIZES[self.kind]
        if not fewest <= len(self.secret) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise UsageError(f"a key for {self.kind} has {wanted} bytes; this has {len(self.secret)}")

    @property
    def family(self) -> str:
        """Its kind."""
        return self.kind

    @property
    def id(self) -> str:
        """Its name, else its kind: nothing that is computed from the secret."""
        return self.name or self.kind

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SymmetricKey)
            and self.kind == other.kind
            and hmac.compare_digest(self.secret, other.secret)
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.secret))

    def __repr__(self) -> str:
        return f"<SymmetricKey {self.kind}{self.name and f' {self.name}'}>"


class Bundle(NamedTuple):
    """What a PKCS#12 file holds: a key, its certificate and the chain above it as DER."""

    key: PrivateKey
    certificate: bytes
    chain: tuple[bytes, ...] = ()

    def encode(self, password: str, name: str = "", *, legacy: bool = False) -> bytes:
        """The PKCS#12 file; `legacy` seals with 3DES and SHA-1, which old Java and Windows read.

        Raises UsageError for an empty password or a certificate that is none, Unsupported for an SM2 key.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.serialization import pkcs12

        if self.key.kind == "sm2":
            raise Unsupported("PKCS#12 is written for RSA and P-256 keys")
        sealing = _sealing(password)
        if legacy:
            builder = serialization.PrivateFormat.PKCS12.encryption_builder()
            sealing = (
                builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
                .hmac_hash(hashes.SHA1())  # noqa: S303 - what those programs read
                .build(_secret(password))
            )
        try:
            certificate, *above = map(x509.load_der_x509_certificate, (self.certificate, *self.chain))
            loaded = self.key.loaded
            return pkcs12.serialize_key_and_certificates(name.encode(), loaded, certificate, above, sealing)
        except (ValueError, TypeError, x509.InvalidVersion):
            raise UsageError(
                "a PKCS#12 file takes a key, its own certificate, and certificates, in DER"
            ) from None


@overload
def mint(kind: PairKind) -> PrivateKey: ...
@overload
def mint(kind: SecretKind) -> SymmetricKey: ...
def mint(kind: str) -> PrivateKey | SymmetricKey:
    """A new key; OpenSSL draws it. Raises UsageError for a kind that is not minted.

    >>> mint("p-256").kind
    'p-256'
    """
    if kind in _MINTED_BITS:
        return PrivateKey(kind, rsa.generate_private_key(_RSA_EXPONENT, _MINTED_BITS[kind]))
    if kind == "p-256":
        return PrivateKey(kind, ec.generate_private_key(ec.SECP256R1()))
    if kind == "sm2":
        draw = AESGCM.generate_key(256) + AESGCM.generate_key(256)
        return PrivateKey(kind, _sm().private_from(int.from_bytes(draw, "big")))
    if kind in _MINTED_SECRET_BYTES:
        return SymmetricKey(kind, AESGCM.generate_key(256)[: _MINTED_SECRET_BYTES[kind]])
    kinds = [*_MINTED_BITS, "p-256", "sm2", *_MINTED_SECRET_BYTES]
    raise UsageError(f"minted are {', '.join(kinds)}, not {kind!r}")


def private(
    data: bytes | str, password: str | None = None, trusted: bool = False, family: Family = ""
) -> PrivateKey:
    """A private key from PEM, DER or a bare base64 body; PKCS#8, PKCS#1 or SEC 1.

    `trusted` skips the check that the RSA numbers belong together: for keys that we minted ourselves.
    `family`, where given, is the only one accepted. Raises DecodeError for what is no key, UsageError for
    another thing than a private key, a size or a kind outside the table above, a password that is missing or
    not called for, and AuthenticityError where the password is wrong or the numbers are no RSA key.

    >>> private(mint("p-256").pem("secret"), "secret").kind
    'p-256'

    Source: RFC 5958; RFC 8017 A.1.2; RFC 5915
    """
    if trusted and password is None and isinstance(data, bytes):
        loaded = _trusted(data)
        if loaded is not None:
            return _wanted(_known(PrivateKey, loaded), family)
    found = armour.find(data, "a private key", _PRIVATE_SHAPES, MAX_SIZE)
    if found.encrypted and password is None:
        raise UsageError("this private key is encrypted: give its password")
    if not found.encrypted and password is not None:
        raise UsageError("a password is given, but this private key is not encrypted")
    if found.shape == "SM2 private key":
        return _wanted(PrivateKey("sm2", _sm().decode_private(found.der)), family)
    secret = None if password is None else _secret(password)
    if found.pem and not _OLD_SEALING.match(found.pem):
        raise _unreadable(found._replace(encrypted=False), ValueError())
    try:
        if found.pem:  # the old OpenSSL encryption lies in the PEM's own header
            loaded = serialization.load_pem_private_key(
                found.pem, secret, unsafe_skip_rsa_key_validation=trusted
            )
        else:
            loaded = serialization.load_der_private_key(
                found.der, secret, unsafe_skip_rsa_key_validation=trusted
            )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unreadable(found, error) from None
    return _wanted(_known(PrivateKey, loaded), family)


def public(data: bytes | str, family: Family = "") -> PublicKey:
    """A public key from PEM, DER or a bare base64 body; SubjectPublicKeyInfo or PKCS#1.

    Raises DecodeError for what is no key, and UsageError for a private key, a certificate (its key:
    `authority.certificate(data).key`), a size or kind outside the table above, or an RSA key with an even
    modulus or an exponent of more than 64 bits, which nothing can be done with.

    >>> pair = mint("p-256")
    >>> public(pair.public().pem()) == pair.public()
    True

    Source: RFC 5280 4.1.2.7; RFC 8017 A.1.1
    """
    found = armour.find(data, "a public key", _PUBLIC_SHAPES, MAX_SIZE)
    if found.shape == "SM2 public key":
        return _wanted(PublicKey("sm2", _sm().decode_public(found.der)), family)
    try:
        loaded = serialization.load_der_public_key(found.der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable(found, error) from None
    if isinstance(loaded, rsa.RSAPublicKey):
        _check_numbers(loaded.public_numbers())
    return _wanted(_known(PublicKey, loaded), family)


def bundle(data: bytes, password: str) -> Bundle:
    """The key, the certificate and the chain of a PKCS#12 file (.p12, .pfx).

    Raises DecodeError for what is no such file, AuthenticityError for a wrong password, and UsageError where
    no key or no certificate lies inside.

    Source: RFC 7292
    """
    from cryptography.hazmat.primitives.serialization import pkcs12

    found = armour.find(data, "a PKCS#12 file", {"PKCS#12 file"}, MAX_SIZE)
    try:
        key, certificate, above = pkcs12.load_key_and_certificates(found.der, _secret(password))
    except (ValueError, UnsupportedAlgorithm):
        raise AuthenticityError(
            "the password does not open this PKCS#12 file, or the file is damaged"
        ) from None
    if key is None or certificate is None:
        missing = "private key" if key is None else "certificate"
        raise UsageError(f"this PKCS#12 file holds no {missing}")
    der = serialization.Encoding.DER
    chain = tuple(one.public_bytes(der) for one in above)
    return Bundle(_known(PrivateKey, key), certificate.public_bytes(der), chain)


_FORMS: Final = {
    "pkcs8": serialization.PrivateFormat.PKCS8,
    "pkcs1": serialization.PrivateFormat.TraditionalOpenSSL,
}

_OLD_SEALING: Final = re.compile(
    rb"-----BEGIN [A-Z ]+-----\r?\nProc-Type: 4,ENCRYPTED\r?\n"
    rb"DEK-Info: (AES-(128|192|256)-CBC,[0-9A-Fa-f]{32}|DES-EDE3-CBC,[0-9A-Fa-f]{16})\r?\n\r?\n"
    rb"[A-Za-z0-9+/=\r\n]+-----END "
)
"""What the library below can open; it panics at an initialisation vector that is too short. RFC 1421 4.6"""

_PRIVATE_SHAPES: Final = {
    "private key (PKCS#8)",
    "encrypted private key",
    "RSA private key (PKCS#1)",
    "EC private key (SEC 1)",
    "SM2 private key",
}

_PUBLIC_SHAPES: Final = {"public key", "RSA public key (PKCS#1)", "SM2 public key"}


def _trusted(data: bytes) -> Any:
    """What our own file holds, by the shortest way; None where it takes the long one."""
    load = serialization.load_der_private_key
    if data.startswith(b"-----BEGIN"):
        load = serialization.load_pem_private_key
    try:
        return load(data, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _sm() -> ModuleType:
    """The SM2 half of this module, imported when first needed."""
    from . import sm_keys

    return sm_keys


def _family(kind: str) -> str:
    return "rsa" if kind.startswith("rsa-") else kind


def _wanted(key: _Pair, family: str) -> _Pair:
    if family and key.family != family:
        raise UsageError(f"a key for {family} is wanted; this one is {key.kind}")
    return key


def _known(make: type[_Pair], loaded: object) -> _Pair:
    """The key as a value of ours, where its kind and size are in the table."""
    if isinstance(loaded, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        low, high = RSA_BITS
        if not low <= loaded.key_size <= high:
            raise UsageError(f"an RSA key has {low} to {high} bits; this has {loaded.key_size}")
        return make(f"rsa-{loaded.key_size}", loaded)
    if isinstance(loaded, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        if loaded.curve.name != _P256:
            raise UsageError(f"an elliptic-curve key lies on P-256 or SM2; this lies on {loaded.curve.name}")
        return make("p-256", loaded)
    kind = type(loaded).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
    raise UsageError(f"an RSA, P-256 or SM2 key is wanted; this is {kind}")


def _check_numbers(numbers: rsa.RSAPublicNumbers) -> None:
    """Refuses what the library below reads, and then fails with or spends its time on."""
    if numbers.n % 2 == 0:
        raise UsageError("the modulus of an RSA key is odd; this one is even")
    if numbers.e.bit_length() > _MAX_EXPONENT_BITS:
        bits = numbers.e.bit_length()
        raise UsageError(f"the exponent of an RSA key has at most {_MAX_EXPONENT_BITS} bits; this has {bits}")


def _unreadable(found: armour.Found, error: Exception) -> Exception:
    """An error of ours for what the library said; its text may quote the input, so it is not repeated."""
    if found.encrypted:
        return AuthenticityError("the password does not open this private key, or the key is damaged")
    if isinstance(error, UnsupportedAlgorithm):
        return UsageError("an RSA, P-256 or SM2 key is wanted; this algorithm or curve is another")
    if "key_size" in str(error) or "key size" in str(error):
        return UsageError(f"an RSA key has {RSA_BITS[0]} to {RSA_BITS[1]} bits; this has another size")
    if "nvalid private key" in str(error):
        return AuthenticityError("the numbers of this private key do not belong together")
    return DecodeError(f"this looks like a {found.shape}, but it cannot be read: is it cut or damaged?")


def _secret(password: str) -> bytes:
    """A password as the library takes it."""
    try:
        secret = password.encode()
    except (AttributeError, UnicodeEncodeError):
        secret = b""
    if not 1 <= len(secret) <= _MAX_PASSWORD:
        raise UsageError(f"a password is text of 1 to {_MAX_PASSWORD} bytes in UTF-8")
    return secret


def _sealing(password: str | None) -> serialization.KeySerializationEncryption:
    if password is None:
        return serialization.NoEncryption()
    return serialization.BestAvailableEncryption(_secret(password))
