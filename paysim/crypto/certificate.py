"""Public key certificates of cards: a scheme's CA certifies issuers, an issuer certifies its cards.

    CA key  --signs-->  issuer certificate (90, 92, 9F32)  --signs-->  card certificate (9F46, 9F48, 9F47)

A certificate is a block as long as the signer's key, whose recovered data are:

    6A | format | identifier | MMYY | serial 3 | 01 | 01 | lengths 2 | left of the modulus | SHA-1 20 | BC

The rest of the modulus is the remainder, beside the certificate. `FAILURES` names everything that can be
wrong with what a card shows.

Source: EMV 4.4 Book 2 5, 6, 10, 11
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Collection, Mapping
from hashlib import sha1
from typing import Any, Final, NamedTuple

from paysim.core.errors import AuthenticityError

from .inputs import InputError, digits, sized
from .raw_rsa import EXPONENTS, MAX_BITS, MIN_BITS, RsaPrivate, RsaPublic, checked

__all__ = [
    "FAILURES",
    "CardCertificate",
    "CertificateError",
    "IssuerCertificate",
    "KeyCertificate",
    "issue_card",
    "issue_issuer",
    "recover_card",
    "recover_issuer",
]

FAILURES: Final[Mapping[str, str]] = {
    # the CA's key
    "rid": "no CA key of this scheme (RID) is at hand",
    "ca_index": "the scheme has no CA key of this index (8F) at hand",
    "checksum": "the checksum of the CA key is not that of its RID, index, modulus and exponent",
    # any recovered block
    "length": "what is signed is not as long as the key that signed it",
    "trailer": "the recovered data do not end with BC: another key, or damaged",
    "header": "the recovered data do not start with 6A: another key, or damaged",
    "format": "the recovered data are of another format than is wanted here",
    "hash_algorithm": "the hash algorithm is not 01 (SHA-1)",
    "hash": "the hash is not that of the data: one of them was changed",
    # certificates
    "identifier": "the issuer identifier is not how the PAN starts",
    "pan": "the PAN of the certificate is not the card's",
    "expired": "the certificate has expired",
    "expiry": "the expiry of the certificate is no month and year",
    "revoked": "the issuer certificate is on the revocation list",
    "key_algorithm": "the public key algorithm is not 01 (RSA)",
    "key_length": "the certified key is longer than the signer's, or has a size that EMV does not know",
    "remainder": "the remainder of the modulus is missing, or has another length than the certificate says",
    "exponent": "the exponent is neither 3 nor 65537, or has another length than the certificate says",
    # signatures of payments
    "dynamic_data": "the dynamic data of the card are shorter than their own length says",
    "cryptogram_information": "the cryptogram information (9F27) is not what the card signed",
    "transaction_hash": "the hash of the transaction data is not what the card signed",
    "version": "the card authentication data (9F69) are of no accepted version",
}
"""Failure -> meaning. Source: the steps of EMV 4.4 Book 2 5.3, 5.4, 6.3 to 6.6; C-3 and C-7 for fDDA"""

HEADER: Final = 0x6A
TRAILER: Final = 0xBC
SHA_1: Final = 0x01
RSA: Final = 0x01
PAD: Final = b"\xbb"
HASH_SIZE: Final = 20

ISSUER_FORMAT: Final = 0x02
CARD_FORMAT: Final = 0x04


class CertificateError(AuthenticityError):
    """What a card shows is not authentic: `failure` is a row of `FAILURES`."""

    def __init__(self, failure: str, source: str = "EMV 4.4 Book 2") -> None:
        super().__init__(FAILURES[failure], source=source)
        self.failure = failure

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.failure, self.source)


class KeyCertificate(NamedTuple):
    """A certified key as a card carries it: 90, 92, 9F32 of the issuer, or 9F46, 9F48, 9F47 of the card."""

    certificate: bytes
    remainder: bytes
    exponent: bytes


class IssuerCertificate(NamedTuple):
    """What a CA says of an issuer: its key, how its PANs start (3 to 8 digits)."""

    key: RsaPublic
    identifier: str
    expires: datetime.date
    serial: bytes


class CardCertificate(NamedTuple):
    """What an issuer says of a card: its key, its PAN."""

    key: RsaPublic
    pan: str
    expires: datetime.date
    serial: bytes

    def __repr__(self) -> str:
        return f"CardCertificate(pan='...{self.pan[-4:]}', expires={self.expires}, ...)"


class _Kind(NamedTuple):
    """How the two kinds of certificate differ."""

    format: int
    identifier: int
    """Bytes of the identifier: digits, filled with F."""
    source: str


_ISSUER: Final = _Kind(ISSUER_FORMAT, 4, "EMV 4.4 Book 2 6.3")
_CARD: Final = _Kind(CARD_FORMAT, 10, "EMV 4.4 Book 2 6.4")


def issue_issuer(
    ca: RsaPrivate, issuer: RsaPublic, identifier: str, expires: datetime.date, serial: bytes
) -> KeyCertificate:
    """The certificate of an issuer's key, signed by the CA's.

    `identifier` is how the issuer's PANs start (3 to 8 digits), `serial` is 3 bytes; the
    month of `expires` counts.
    Raises InputError where the issuer's key is longer than the CA's.

    >>> from paysim.crypto.raw_rsa import generate
    >>> ca, issuer = generate(1152), generate(1024)
    >>> made = issue_issuer(ca, issuer.public, "476173", datetime.date(2031, 12, 1), bytes(3))
    >>> len(made.certificate), len(made.remainder), made.exponent.hex()
    (144, 20, '03')

    Source: EMV 4.4 Book 2 6.1, table 13
    """
    return _issue(_ISSUER, ca, issuer, digits("issuer identifier", identifier, 3, 8), expires, serial, b"")


def issue_card(
    issuer: RsaPrivate, card: RsaPublic, pan: str, expires: datetime.date, serial: bytes, static_data: bytes
) -> KeyCertificate:
    """The certificate of a card's key and of its static data, signed by the issuer's key.

    `static_data` are the records to be authenticated, then the value of 82 where 9F4A says so.

    >>> from paysim.crypto.raw_rsa import generate
    >>> issuer, card = generate(1152), generate(1024)
    >>> expires = datetime.date(2031, 12, 1)
    >>> made = issue_card(issuer, card.public, "4761739001010010", expires, bytes(3), b"records")
    >>> len(made.certificate), len(made.remainder), made.exponent.hex()
    (144, 26, '03')

    Source: EMV 4.4 Book 2 6.1, table 14
    """
    return _issue(_CARD, issuer, card, digits("PAN", pan, 1, 19), expires, serial, static_data)


def recover_issuer(
    ca: RsaPublic,
    certified: KeyCertificate,
    pan: str,
    on: datetime.date,
    *,
    rid: bytes = b"",
    index: int = 0,
    revoked: Collection[bytes] = (),
) -> IssuerCertificate:
    """The issuer's key, where the CA's key signed it, for `pan`, not expired on the day `on`.

    `revoked` holds 9 bytes an entry, RID, CA index and serial; `rid` and `index` are wanted with it alone.
    Raises CertificateError, whose `failure` is the first of `FAILURES` that applies.

    >>> from paysim.crypto.raw_rsa import generate
    >>> ca, issuer, today = generate(1152), generate(1024), datetime.date(2026, 11, 23)
    >>> made = issue_issuer(ca, issuer.public, "476173", datetime.date(2031, 12, 1), bytes(3))
    >>> found = recover_issuer(ca.public, made, "4761739001010010", today)
    >>> found.key == issuer.public, found.identifier, found.expires
    (True, '476173', datetime.date(2031, 12, 31))
    >>> recover_issuer(ca.public, made, "5413330089010010", today)
    Traceback (most recent call last):
    paysim.crypto.certificate.CertificateError: the issuer identifier is not how the PAN starts

    Source: EMV 4.4 Book 2 6.3
    """
    found = _recover(_ISSUER, ca, certified, b"")
    if not digits("PAN", pan, 1, 19).startswith(found.identifier) or not 3 <= len(found.identifier) <= 8:
        raise CertificateError("identifier", "EMV 4.4 Book 2 6.3 step 8")
    expires = _month_end(found.expires, on)
    if rid + bytes([index]) + found.serial in revoked:
        raise CertificateError("revoked", "EMV 4.4 Book 2 6.3 step 10")
    return IssuerCertificate(_key(found, ca, certified), found.identifier, expires, found.serial)


def recover_card(
    issuer: RsaPublic, certified: KeyCertificate, pan: str, static_data: bytes, on: datetime.date
) -> CardCertificate:
    """The card's key, where the issuer's key signed it with `static_data`, for `pan`, not expired on `on`.

    Raises CertificateError, whose `failure` is the first of `FAILURES` that applies.

    >>> from paysim.crypto.raw_rsa import generate
    >>> issuer, card, today = generate(1152), generate(1024), datetime.date(2026, 11, 23)
    >>> made = issue_card(issuer, card.public, "4761739001010010", today, bytes(3), b"records")
    >>> recover_card(issuer.public, made, "4761739001010010", b"records", today)
    CardCertificate(pan='...0010', expires=2026-11-30, ...)
    >>> recover_card(issuer.public, made, "4761739001010010", b"other records", today)
    Traceback (most recent call last):
    paysim.crypto.certificate.CertificateError: the hash is not that of the data: one of them was changed

    Source: EMV 4.4 Book 2 6.4
    """
    found = _recover(_CARD, issuer, certified, static_data)
    if found.identifier != pan:
        raise CertificateError("pan", "EMV 4.4 Book 2 6.4 step 8")
    expires = _month_end(found.expires, on)
    return CardCertificate(_key(found, issuer, certified), found.identifier, expires, found.serial)


# What certificates and signatures share. ----------------------------------------------------------


def seal(key: RsaPrivate, body: bytes, outside: bytes) -> bytes:
    """`body` framed, hashed together with what lies `outside` of it, and signed."""
    digest = sha1(body + outside, usedforsecurity=False).digest()
    return key.sign(b"%c%b%b%c" % (HEADER, body, digest, TRAILER))


def unseal(key: RsaPublic, signed: bytes, formats: Collection[int], hash_at: int, outside: bytes) -> bytes:
    """The body that `seal` framed: checked in the standard's order; `hash_at` finds the algorithm."""
    if len(sized("signed data", signed)) != checked(key).size:
        raise CertificateError("length")
    block = key.recover(signed)
    if block[-1] != TRAILER:
        raise CertificateError("trailer")
    if block[0] != HEADER:
        raise CertificateError("header")
    body, digest = block[1 : -1 - HASH_SIZE], block[-1 - HASH_SIZE : -1]
    if body[0] not in formats:
        raise CertificateError("format")
    if body[hash_at] != SHA_1:
        raise CertificateError("hash_algorithm")
    if sha1(body + outside, usedforsecurity=False).digest() != digest:
        raise CertificateError("hash")
    return body


class _Found(NamedTuple):
    """A certificate's fields, before anything is concluded from them."""

    identifier: str
    expires: bytes
    serial: bytes
    algorithm: int
    size: int
    exponent_size: int
    left: bytes


def _issue(
    kind: _Kind,
    signer: RsaPrivate,
    key: RsaPublic,
    identifier: str,
    expires: datetime.date,
    serial: bytes,
    static_data: bytes,
) -> KeyCertificate:
    room = signer.public.size - _fixed(kind)
    if key.size > signer.public.size:
        expected = f"at most the signer's {signer.public.size * 8} bits"
        raise InputError("key to certify", expected, f"{key.size * 8} bits")
    modulus = key.modulus_bytes
    body = b"".join(
        (
            bytes([kind.format]),
            bytes.fromhex(identifier.ljust(2 * kind.identifier, "F")),
            bytes.fromhex(f"{expires.month:02}{expires.year % 100:02}"),
            sized("serial", serial, 3),
            bytes([SHA_1, RSA, key.size, len(key.exponent_bytes)]),
            modulus[:room].ljust(room, PAD),
        )
    )
    signed = seal(signer, body, modulus[room:] + key.exponent_bytes + sized("static data", static_data))
    return KeyCertificate(signed, modulus[room:], key.exponent_bytes)


def _fixed(kind: _Kind) -> int:
    """Bytes of a certificate that are not the modulus: 36 for an issuer's, 42 for a card's."""
    return 32 + kind.identifier


def _recover(kind: _Kind, signer: RsaPublic, certified: KeyCertificate, static_data: bytes) -> _Found:
    outside = sized("remainder", certified.remainder) + sized("exponent", certified.exponent)
    hash_at = 1 + kind.identifier + 5
    body = unseal(
        signer, certified.certificate, (kind.format,), hash_at, outside + sized("static data", static_data)
    )
    expires, serial = body[hash_at - 5 : hash_at - 3], body[hash_at - 3 : hash_at]
    algorithm, size, exponent_size = body[hash_at + 1 : hash_at + 4]
    identifier = body[1 : 1 + kind.identifier].hex().rstrip("f")
    return _Found(identifier, expires, serial, algorithm, size, exponent_size, body[hash_at + 4 :])


def _month_end(expires: bytes, on: datetime.date) -> datetime.date:
    """The last day of the MMYY; Assumed: years 00 to 49 are 2000 to 2049, as of the terminal's dates."""
    text = expires.hex()
    if not text.isdigit() or not 1 <= int(text[:2]) <= 12:
        raise CertificateError("expiry", "EMV 4.4 Book 2 6.3 step 9, 6.4 step 9")
    month, year = int(text[:2]), int(text[2:])
    year += 2000 if year < 50 else 1900
    last = datetime.date(year, month, calendar.monthrange(year, month)[1])
    if on > last:
        raise CertificateError("expired", "EMV 4.4 Book 2 6.3 step 9, 6.4 step 9")
    return last


def _key(found: _Found, signer: RsaPublic, certified: KeyCertificate) -> RsaPublic:
    """The certified key: its left part from the certificate, its remainder from beside it."""
    if found.algorithm != RSA:
        raise CertificateError("key_algorithm", "EMV 4.4 Book 2 6.3 step 11, 6.4 step 10")
    if not MIN_BITS <= found.size * 8 <= MAX_BITS or found.size > signer.size:
        raise CertificateError("key_length", "EMV 4.4 Book 2 D1")
    if len(certified.remainder) != max(0, found.size - len(found.left)):
        raise CertificateError("remainder", "EMV 4.4 Book 2 6.3 step 12, 6.4 step 11")
    exponent = int.from_bytes(certified.exponent)
    if len(certified.exponent) != found.exponent_size or exponent not in EXPONENTS:
        raise CertificateError("exponent", "EMV 4.4 Book 2 B2.1")
    modulus = int.from_bytes(found.left[: found.size] + certified.remainder)
    if modulus.bit_length() != found.size * 8:
        raise CertificateError("key_length", "EMV 4.4 Book 2 B2.1")
    return RsaPublic(modulus, exponent)
