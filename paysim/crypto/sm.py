"""SM2: sign, verify, encrypt and decrypt, with SM3; keys as values.

A signature is raw (r and s, 32 bytes each) and travels so or as DER; a ciphertext travels as DER (`asn1`) or
as its three parts joined, C1C3C2 since 2012 and C1C2C3 before.

>>> key = PrivateKey(0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8)
>>> signature = sign(key, b"message digest")
>>> verify(key.public, b"message digest", signature)
>>> decrypt(key, encrypt(key.public, b"encryption standard"))
b'encryption standard'

Not constant-time: the time and the memory that a private key's operation touches tell about the key and about
k. That is acceptable here because a simulator's keys guard nothing; never load a key that guards money.

Multiples of the base point and of each public key are kept in tables that grow with use (`sm_curve.Comb`).
The base point's takes 0.6 MB and 20 ms at first and 6.5 MB and 0.2 s at most, a key's 0.1 MB and 5 ms, and
3.5 MB and 0.1 s; `prepare` builds them at once. Keep a key to keep its table; both go together.

Source: GB/T 32918.2 (signature), GB/T 32918.4 (encryption), GM/T 0009-2012 (DER forms, the default id)
Assumed: the standard draws k at random. Where the caller gives none, it is derived as RFC 6979 3.2 does, with
HMAC-SM3, so that nothing here needs randomness and the same input gives the same signature.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from paysim.core.errors import AuthenticityError, DecodeError, UsageError

from . import sm_der
from .inputs import sized
from .sm_curve import Comb, G, N, P, Point, add, multiply, on_curve
from .sm_hash import derive, hmac_sm3, sm3

__all__ = [
    "DEFAULT_ID",
    "Form",
    "PrivateKey",
    "PublicKey",
    "decrypt",
    "der_signature",
    "encrypt",
    "ephemeral",
    "hmac_sm3",
    "prepare",
    "raw_signature",
    "sign",
    "sm3",
    "verify",
]

Form = Literal["asn1", "C1C3C2", "C1C2C3"]
"""How a ciphertext travels."""

DEFAULT_ID: Final = b"1234567812345678"
"""The signer's id where nobody has agreed on another. Source: GM/T 0009-2012 10"""

MAX_ID_BYTES: Final = 8191
"""The length of an id is written in bits, in two bytes."""

_CURVE: Final = bytes.fromhex(
    "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC"
    "28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93"
    "32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7"
    "BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0"
)
"""a, b and the base point, as the digest of a signer has them."""

_BASE: Final = Comb(G, ((0, 8), (4000, 12)))
_KEY_GROWTH: Final = ((0, 5), (200, 8), (2000, 11))
"""A table grows when the time that a larger one would have saved has paid for it."""

_FORMS: Final = ("asn1", "C1C3C2", "C1C2C3")
_MAX_CANDIDATES: Final = 64


@dataclass(frozen=True, repr=False)
class PublicKey:
    """A point of the curve: `point` is 04 and x and y, 65 bytes.

    Raises UsageError for another length, DecodeError for what is no point of the curve.

    >>> PublicKey(bytes(65))
    Traceback (most recent call last):
    paysim.core.errors.DecodeError: an uncompressed SM2 point begins with 04, not 00 (offset 0)

    Source: GB/T 32918.1 4.2.9, 6.2
    """

    point: bytes

    def __post_init__(self) -> None:
        point = sized("SM2 public key", self.point, 65)
        if point[0] != 4:
            raise DecodeError(f"an uncompressed SM2 point begins with 04, not {point[0]:02X}")
        if not on_curve(*self.affine):
            raise DecodeError("this point is not on the SM2 curve", source="GB/T 32918.1 6.2")

    @property
    def affine(self) -> Point:
        """x and y."""
        return int.from_bytes(self.point[1:33]), int.from_bytes(self.point[33:])

    def z(self, id: bytes = DEFAULT_ID) -> bytes:
        """ZA, 32 bytes: the digest of the signer's id, the curve and the key, signed with the message.

        Source: GB/T 32918.2 5.5
        """
        if id == DEFAULT_ID:
            return self._default_z
        return self._z(id)

    def _z(self, id: bytes) -> bytes:
        if len(sized("SM2 signer's id", id)) > MAX_ID_BYTES:
            raise UsageError(f"an SM2 signer's id has at most {MAX_ID_BYTES} bytes; this has {len(id)}")
        return sm3((8 * len(id)).to_bytes(2) + id + _CURVE + self.point[1:])

    @cached_property
    def _default_z(self) -> bytes:
        return self._z(DEFAULT_ID)

    @cached_property
    def _comb(self) -> Comb:
        return Comb(self.affine, _KEY_GROWTH)

    def __repr__(self) -> str:
        return f"<sm.PublicKey {self.point[1:9].hex()}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return PublicKey, (self.point,)


@dataclass(frozen=True, repr=False)
class PrivateKey:
    """A whole number `d` from 1 to n - 2; its `repr` does not show it.

    Raises UsageError for another.

    >>> PrivateKey(1)
    <sm.PrivateKey of 32c4ae2c1f198119>

    Source: GB/T 32918.1 6.1
    """

    d: int

    def __post_init__(self) -> None:
        if not isinstance(self.d, int) or isinstance(self.d, bool) or not 1 <= self.d <= N - 2:
            raise UsageError("an SM2 private key is a whole number from 1 to n - 2")

    @cached_property
    def public(self) -> PublicKey:
        """The other half."""
        return PublicKey(_encoded(_point_of(_BASE.times(self.d))))

    @cached_property
    def secret(self) -> bytes:
        """`d` in 32 bytes."""
        return self.d.to_bytes(32)

    @cached_property
    def _inverse(self) -> int:
        return pow(1 + self.d, -1, N)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and hmac.compare_digest(self.secret, other.secret)

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"<sm.PrivateKey of {self.public.point[1:9].hex()}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return PrivateKey, (self.d,)


def sign(key: PrivateKey, message: bytes, *, id: bytes = DEFAULT_ID, k: int | None = None) -> bytes:
    """The raw signature, r and s, 64 bytes.

    `k` (1 to n - 1, never used twice) replaces the one that is derived from key and message.
    Raises UsageError for a `k` out of range, or the one in 2 ** 255 that gives no signature.

    >>> verify(PrivateKey(7).public, b"pay", sign(PrivateKey(7), b"pay", id=b"alice"), id=b"alice")

    Source: GB/T 32918.2 6.1
    """
    digest = sm3(key.public.z(id) + sized("message", message))
    e = int.from_bytes(digest)
    for candidate in _candidates(k, key.secret, digest):
        x1, _ = _point_of(_BASE.times(candidate))
        r = (e + x1) % N
        s = (key._inverse * (candidate + r) - r) % N
        if r and s and r + candidate != N:
            return r.to_bytes(32) + s.to_bytes(32)
    raise UsageError("this k gives no SM2 signature; take another")


def verify(key: PublicKey, message: bytes, signature: bytes, *, id: bytes = DEFAULT_ID) -> None:
    """Nothing, where the raw `signature` (64 bytes) is the key's over `message`; else AuthenticityError.

    >>> verify(PrivateKey(7).public, b"pay", bytes(64))
    Traceback (most recent call last):
    paysim.core.errors.AuthenticityError: r or s of this SM2 signature is outside 1 to n - 1

    Source: GB/T 32918.2 7.1
    """
    if len(sized("signature", signature)) != 64:
        raise AuthenticityError(f"a raw SM2 signature has 64 bytes; this has {len(signature)}")
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if not (0 < r < N and 0 < s < N):
        raise AuthenticityError("r or s of this SM2 signature is outside 1 to n - 1")
    t = (r + s) % N
    e = int.from_bytes(sm3(key.z(id) + sized("message", message)))
    if not t or not _has_x(key, s, t, (r - e) % N):
        raise AuthenticityError("this SM2 signature is not the key's over this message")


def _has_x(key: PublicKey, s: int, t: int, x1: int) -> bool:
    """Whether sG + tP has the x coordinate `x1`, counted modulo n; compared without an inversion."""
    x, _, zz, _ = key._comb.add_times(t, _BASE.add_times(s))
    if not zz:
        total = add(multiply(G, s), multiply(key.affine, t))
        return total is not None and total[0] % N == x1
    return (x - x1 * zz) % P == 0 or (x1 + N < P and (x - (x1 + N) * zz) % P == 0)


def prepare(key: PublicKey) -> None:
    """Nothing; the largest tables, for the base point and `key`, are built now: about 0.3 s and 10 MB.

    For a server, which would rather wait at its start than within a request.
    """
    _BASE.prepare()
    key._comb.prepare()


def der_signature(raw: bytes) -> bytes:
    """The DER of a raw signature: a SEQUENCE of the INTEGERs r and s.

    >>> der_signature(bytes(31) + b"A" + bytes(31) + b"B").hex()
    '3006020141020142'

    Source: GM/T 0009-2012 7.3
    """
    sized("raw SM2 signature", raw, 64)
    return sm_der.sequence(sm_der.integer(int.from_bytes(raw[:32])), sm_der.integer(int.from_bytes(raw[32:])))


def raw_signature(der: bytes) -> bytes:
    """The raw signature, 64 bytes, of its DER. Raises DecodeError for what is no DER of two numbers.

    >>> raw_signature(bytes.fromhex("3006020141020142")).strip(bytes(1))[0]
    65

    Source: GM/T 0009-2012 7.3
    """
    outer = sm_der.Reader(der)
    inner = outer.sequence("signature")
    outer.finish()
    r, s = inner.integer("r"), inner.integer("s")
    inner.finish()
    if r >> 256 or s >> 256:
        raise DecodeError("r or s has more than 256 bits", path="signature")
    return r.to_bytes(32) + s.to_bytes(32)


def encrypt(key: PublicKey, plaintext: bytes, *, form: Form = "asn1", k: int | None = None) -> bytes:
    """The ciphertext of `plaintext` (1 byte or more) for the key's owner.

    `k` (1 to n - 1, never used twice) is the ephemeral private key; `ephemeral` makes one from random bytes.
    Raises UsageError for an empty plaintext, an unknown form, a `k` out of range or one that hides nothing.

    >>> decrypt(PrivateKey(7), encrypt(PrivateKey(7).public, b"name", form="C1C2C3"), form="C1C2C3")
    b'name'

    Source: GB/T 32918.4 6.1
    Assumed: without `k`, one is derived from key and plaintext: the same plaintext gives the same ciphertext,
    and who guesses a plaintext can check the guess.
    """
    _known(form)
    if not sized("plaintext", plaintext):
        raise UsageError("SM2 encrypts one byte or more")
    for candidate in _candidates(k, sm3(plaintext), sm3(key.point)):
        shared = _encoded(_point_of(key._comb.times(candidate)))[1:]
        mask = derive(shared, len(plaintext))
        if any(mask):
            c1 = _encoded(_point_of(_BASE.times(candidate)))
            return _written(form, c1, _xor(plaintext, mask), _check(shared, plaintext))
    raise UsageError("this k hides nothing of the plaintext; take another")


def decrypt(key: PrivateKey, ciphertext: bytes, *, form: Form = "asn1") -> bytes:
    """The plaintext of `ciphertext`.

    Raises DecodeError for what is no ciphertext of that form or names no point of the curve, and
    AuthenticityError where the digest inside (C3) does not match: changed, or for another key.

    >>> decrypt(PrivateKey(8), encrypt(PrivateKey(7).public, b"name"))
    Traceback (most recent call last):
    paysim.core.errors.AuthenticityError: this SM2 ciphertext was changed, or is for another key

    Source: GB/T 32918.4 7.1
    """
    c1, c2, c3 = _read(form, ciphertext)
    shared = _encoded(_point_of(multiply(PublicKey(c1).affine, key.d)))[1:]
    mask = derive(shared, len(c2))
    plaintext = _xor(c2, mask)
    if not any(mask) or not hmac.compare_digest(_check(shared, plaintext), c3):
        raise AuthenticityError("this SM2 ciphertext was changed, or is for another key")
    return plaintext


def ephemeral(draw: bytes) -> int:
    """A `k`, or a private key's `d`, from 40 random bytes or more: 1 to n - 2, evenly to 2 ** -64.

    >>> ephemeral(bytes(40))
    1

    Source: FIPS 186-5 A.2.1 (extra random bits)
    """
    if len(sized("random bytes", draw)) < 40:
        raise UsageError(f"a number is made of 40 random bytes or more; these are {len(draw)}")
    return int.from_bytes(draw) % (N - 2) + 1


def _written(form: Form, c1: bytes, c2: bytes, c3: bytes) -> bytes:
    if form == "C1C3C2":
        return c1 + c3 + c2
    if form == "C1C2C3":
        return c1 + c2 + c3
    x, y = (sm_der.integer(int.from_bytes(half)) for half in (c1[1:33], c1[33:]))
    return sm_der.sequence(x, y, sm_der.octets(c3), sm_der.octets(c2))


def _read(form: Form, ciphertext: bytes) -> tuple[bytes, bytes, bytes]:
    """C1, C2 and C3."""
    _known(form)
    if form == "asn1":
        return _read_asn1(ciphertext)
    if len(sized("ciphertext", ciphertext)) <= 97:
        raise DecodeError(f"an SM2 ciphertext has 98 bytes or more; this has {len(ciphertext)}")
    c1, rest = ciphertext[:65], ciphertext[65:]
    return (c1, rest[32:], rest[:32]) if form == "C1C3C2" else (c1, rest[:-32], rest[-32:])


def _read_asn1(ciphertext: bytes) -> tuple[bytes, bytes, bytes]:
    """Source: GM/T 0009-2012 7.2"""
    outer = sm_der.Reader(ciphertext)
    inner = outer.sequence("ciphertext")
    outer.finish()
    x, y = inner.integer("x"), inner.integer("y")
    c3, c2 = inner.octets("hash"), inner.octets("ciphertext")
    inner.finish()
    if x >> 256 or y >> 256:
        raise DecodeError("a coordinate has more than 256 bits", path="ciphertext")
    if len(c3) != 32 or not c2:
        raise DecodeError(f"a hash of 32 bytes and a text are expected; they have {len(c3)} and {len(c2)}")
    return _encoded((x, y)), c2, c3


def _candidates(k: int | None, secret: bytes, digest: bytes) -> Iterator[int]:
    """The given `k` alone, or those that `secret` and `digest` (32 bytes each) give, one after the other.

    Source: RFC 6979 3.2, with SM3
    """
    if k is not None:
        if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k < N:
            raise UsageError("k is a whole number from 1 to n - 1")
        yield k
        return
    seed = secret + (int.from_bytes(digest) % N).to_bytes(32)
    v, key = b"\1" * 32, bytes(32)
    key = hmac_sm3(key, v + b"\0" + seed)
    v = hmac_sm3(key, v)
    key = hmac_sm3(key, v + b"\1" + seed)
    v = hmac_sm3(key, v)
    for _ in range(_MAX_CANDIDATES):
        v = hmac_sm3(key, v)
        candidate = int.from_bytes(v)
        if 1 <= candidate < N:
            yield candidate
        key = hmac_sm3(key, v + b"\0")
        v = hmac_sm3(key, v)


def _check(shared: bytes, plaintext: bytes) -> bytes:
    """C3, the digest of the plaintext between the halves of the shared point."""
    return sm3(shared[:32] + plaintext + shared[32:])


def _encoded(point: Point) -> bytes:
    return b"\4" + point[0].to_bytes(32) + point[1].to_bytes(32)


def _point_of(point: Point | None) -> Point:
    """A multiple by 1 to n - 1 of a point of prime order, which is never infinity."""
    assert point is not None  # noqa: S101 - says why, to readers and the type checker
    return point


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))


def _known(form: str) -> None:
    if form not in _FORMS:
        raise UsageError(f"the form of an SM2 ciphertext is one of {', '.join(_FORMS)}, not {form!r}")
