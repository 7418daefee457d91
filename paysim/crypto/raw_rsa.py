"""RSA as EMV cards use it: a number to the power of another, no padding of OpenSSL's around it.

`cryptography` has no bare RSA operation, so the powers are Python's. The private one goes by the primes
(CRT), 3 to 4 times as fast as without. They are not constant-time, which a simulator with throw-away keys
may afford.

Source: EMV 4.4 Book 2 B2.1; RFC 8017 5.1, 5.2
"""

from __future__ import annotations

from typing import Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from paysim.core.errors import DecodeError

from .inputs import InputError, sized

__all__ = [
    "EXPONENTS",
    "MAX_BITS",
    "MIN_BITS",
    "RsaPrivate",
    "RsaPublic",
    "checked",
    "decode",
    "encode",
    "generate",
]

EXPONENTS: Final = (3, 65537)
"""Source: EMV 4.4 Book 2 B2.1"""

MIN_BITS: Final = 1024
"""Assumed: smaller keys ended with the 2000s, and OpenSSL makes none."""

MAX_BITS: Final = 1984
"""Source: EMV 4.4 Book 2 D1"""


class RsaPublic(NamedTuple):
    """A public key: modulus and exponent."""

    modulus: int
    exponent: int

    @property
    def size(self) -> int:
        """Bytes of the modulus, and so of everything signed."""
        return (self.modulus.bit_length() + 7) // 8

    @property
    def modulus_bytes(self) -> bytes:
        """The modulus, big-endian, as certificates carry it."""
        return self.modulus.to_bytes(self.size)

    @property
    def exponent_bytes(self) -> bytes:
        """The exponent, big-endian: 03 or 010001."""
        return self.exponent.to_bytes((self.exponent.bit_length() + 7) // 8)

    def recover(self, signed: bytes) -> bytes:
        """The block that was signed, as long as the key; zeros, where `signed` is not below the modulus."""
        number = int.from_bytes(signed)
        if number >= self.modulus:
            return bytes(self.size)
        return pow(number, self.exponent, self.modulus).to_bytes(self.size)


class RsaPrivate:
    """A private key; signs a block as long as itself. Shows its length alone."""

    __slots__ = ("_d_p", "_d_q", "_inverse", "_p", "_q", "key", "public")

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        numbers = key.private_numbers()
        self.key = key
        self.public = checked(RsaPublic(numbers.public_numbers.n, numbers.public_numbers.e))
        self._p, self._q = numbers.p, numbers.q
        self._d_p, self._d_q, self._inverse = numbers.dmp1, numbers.dmq1, numbers.iqmp

    def __repr__(self) -> str:
        return f"RsaPrivate({self.public.size * 8} bits, ...)"

    def sign(self, block: bytes) -> bytes:
        """`block` to the private power, as long as the key; both are `public.size` bytes.

        Source: RFC 8017 5.1.2 2.b
        """
        number = int.from_bytes(sized("block", block, self.public.size))
        if number >= self.public.modulus:
            raise InputError("block", "a number below the modulus", "a larger one")
        by_p = pow(number, self._d_p, self._p)
        by_q = pow(number, self._d_q, self._q)
        return (by_q + (by_p - by_q) * self._inverse % self._p * self._q).to_bytes(self.public.size)


def generate(bits: int, exponent: int = 3) -> RsaPrivate:
    """A new key of `bits` (1024 to 1984, a multiple of 8), from OpenSSL's own randomness.

    >>> key = generate(1024)
    >>> key.public.recover(key.sign(bytes(128))) == bytes(128)
    True
    """
    if not (MIN_BITS <= bits <= MAX_BITS and bits % 8 == 0):
        raise InputError("key", f"{MIN_BITS} to {MAX_BITS} bits, a multiple of 8", f"{bits} bits")
    if exponent not in EXPONENTS:
        raise InputError("exponent", "3 or 65537", str(exponent))
    return RsaPrivate(rsa.generate_private_key(exponent, bits))


def encode(key: RsaPrivate) -> bytes:
    """A key as PEM (PKCS#8), without a password: for a file that is nobody else's."""
    return key.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def decode(data: bytes) -> RsaPrivate:
    """The key that `encode` wrote. Raises DecodeError for anything else.

    >>> key = generate(1024)
    >>> decode(encode(key)).public == key.public
    True
    """
    try:
        # What we wrote ourselves needs no proof that its primes are some.
        found = serialization.load_pem_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise DecodeError("this is no RSA key in PEM") from None
    if not isinstance(found, rsa.RSAPrivateKey):
        raise DecodeError("this key is not RSA")
    return RsaPrivate(found)


def checked(key: RsaPublic) -> RsaPublic:
    """`key` again, whose size and exponent EMV allows; InputError if not.

    >>> checked(RsaPublic(1 << 1023, 5))
    Traceback (most recent call last):
    paysim.crypto.inputs.InputError: exponent: expected 3 or 65537, got 5
    """
    if not (MIN_BITS <= key.modulus.bit_length() <= MAX_BITS and key.modulus.bit_length() % 8 == 0):
        expected = f"{MIN_BITS} to {MAX_BITS} bits, a multiple of 8"
        raise InputError("RSA key", expected, f"{key.modulus.bit_length()} bits")
    if key.exponent not in EXPONENTS:
        raise InputError("exponent", "3 or 65537", str(key.exponent))
    return key
