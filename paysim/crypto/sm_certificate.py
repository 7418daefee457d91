"""SM2 certificates: X.509 with an SM2 key, signed with SM2 and SM3, which `cryptography` does not read.

Read is the part that a payment needs (names, serial number, validity, key, whether it is an authority); the
other extensions are kept as bytes.

>>> from datetime import UTC, datetime
>>> from paysim.crypto import sm
>>> key = sm.PrivateKey(7)
>>> root = issue(
...     {"C": "CN", "CN": "Root"}, key.public, key, serial=1, authority=True,
...     not_before=datetime(2026, 1, 1, tzinfo=UTC), not_after=datetime(2036, 1, 1, tzinfo=UTC))
>>> root.subject.text, root.serial_hex
('C=CN, CN=Root', '01')
>>> verify(decode(root.der), root, datetime(2027, 1, 1, tzinfo=UTC))

Source: RFC 5280 4.1, 4.2.1; GM/T 0015-2012 5; GM/T 0006-2012 (1.2.156.10197.1.501, SM2 with SM3)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from paysim.core.errors import AuthenticityError, DecodeError, Unsupported, UsageError

from . import armour, sm, sm_der, sm_keys

__all__ = [
    "MAX_SIZE",
    "SIGNATURE_OID",
    "Certificate",
    "Extension",
    "Name",
    "decode",
    "issue",
    "verify",
    "verify_signature",
]

MAX_SIZE: Final = 65_536
"""Bytes of one certificate. Assumed: a real one has a tenth of it."""

SIGNATURE_OID: Final = "1.2.156.10197.1.501"
"""SM2 with SM3."""

_ATTRIBUTES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
}
"""Source: RFC 4519 2; other attributes keep their number."""

_ATTRIBUTE_OIDS: Final = {short: oid for oid, short in _ATTRIBUTES.items()}
_TEXTS: Final = {
    0x0C: "utf-8",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1E: "utf-16-be",
}
"""Tag of a string -> its encoding: UTF8String, PrintableString, TeletexString, IA5String, BMPString."""

_SET: Final = 0x31
_BOOLEAN: Final = 0x01
_UTF8: Final = 0x0C
_PRINTABLE: Final = 0x13
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_VERSION: Final = 0xA0
_ISSUER_ID: Final = 0x81
_SUBJECT_ID: Final = 0x82
_EXTENSIONS: Final = 0xA3
_KEY_IDENTIFIER: Final = 0x80

_SUBJECT_KEY: Final = "2.5.29.14"
_KEY_USAGE: Final = "2.5.29.15"
_BASIC_CONSTRAINTS: Final = "2.5.29.19"
_AUTHORITY_KEY: Final = "2.5.29.35"

_KNOWN: Final = frozenset({_SUBJECT_KEY, _KEY_USAGE, _BASIC_CONSTRAINTS, _AUTHORITY_KEY})
"""What a reader here knows; another extension that is critical forbids the certificate."""

_KEY_CERT_SIGN: Final = 0x04
"""In the first byte of a KeyUsage: bit 5, counted from the left."""

_SIGNS_CERTIFICATES: Final = bytes.fromhex("03020106")
"""KeyUsage: keyCertSign and cRLSign."""

_SIGNS_AND_ENCRYPTS: Final = bytes.fromhex("030204B0")
"""KeyUsage: digitalSignature, keyEncipherment and dataEncipherment."""

_ALGORITHM: Final = sm_der.sequence(sm_der.object_identifier(SIGNATURE_OID))
_MAX_SERIAL_BYTES: Final = 20
_MAX_PARTS: Final = 64


class Name(NamedTuple):
    """A distinguished name: its DER, which is what is compared, and its parts in order."""

    der: bytes
    parts: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """`C=CN, O=paysim, CN=...`."""
        return ", ".join(f"{name}={value}" for name, value in self.parts)

    @property
    def common_name(self) -> str:
        """The last CN, "" where there is none."""
        return dict(self.parts).get("CN", "")


class Extension(NamedTuple):
    """One extension: its number, whether a reader must know it, its DER."""

    oid: str
    critical: bool
    value: bytes


@dataclass(frozen=True, repr=False)
class Certificate:
    """A certificate and what it says; `signed` is the part that `signature` (raw, 64 bytes) covers."""

    der: bytes
    serial: int
    issuer: Name
    subject: Name
    not_before: datetime
    not_after: datetime
    key: sm.PublicKey
    extensions: tuple[Extension, ...]
    authority: bool
    signed: bytes
    signature: bytes

    @property
    def serial_hex(self) -> str:
        """The serial number as the wallets write it: upper-case hex, whole bytes."""
        return self.serial.to_bytes((self.serial.bit_length() + 7) // 8).hex().upper()

    @property
    def pem(self) -> bytes:
        """The certificate in PEM, lines of 64."""
        return armour.pem("CERTIFICATE", self.der)

    def __repr__(self) -> str:
        return f"<sm_certificate.Certificate {self.serial_hex} {self.subject.text}>"


def decode(data: bytes | str) -> Certificate:
    """The certificate in `data`, DER or PEM; nothing of it is verified.

    Raises DecodeError for what is none, UsageError for a key or another file, Unsupported for a key or a
    signature other than SM2.

    >>> decode(b"0")
    Traceback (most recent call last):
    paysim.core.errors.DecodeError: a certificate is wanted; these bytes are no whole DER object (offset 0)

    Source: RFC 5280 4.1
    """
    der = armour.find(data, "a certificate", {"certificate"}, MAX_SIZE).der
    reader = sm_der.Reader(der)
    outer = reader.sequence("certificate")
    reader.finish()
    signed = outer.peek(sm_der.SEQUENCE, "signed")
    inner = outer.sequence("signed")
    _read_algorithm(outer)
    signature = sm.raw_signature(outer.bits("signature"))
    outer.finish()

    _read_version(inner)
    serial = inner.integer("serial number")
    if not 0 < serial < 1 << 8 * _MAX_SERIAL_BYTES:
        raise DecodeError("a serial number is positive and has at most 20 bytes", path="signed.serial number")
    _read_algorithm(inner)
    issuer = _read_name(inner, "issuer")
    validity = inner.sequence("validity")
    not_before, not_after = _read_time(validity, "not before"), _read_time(validity, "not after")
    validity.finish()
    subject = _read_name(inner, "subject")
    key = sm_keys.read_public(inner)
    for unused in (_ISSUER_ID, _SUBJECT_ID):
        if inner.next_tag == unused:
            inner.element(unused, "unique id")
    extensions = _read_extensions(inner)
    inner.finish()
    authority = _is_authority(extensions)
    return Certificate(
        der, serial, issuer, subject, not_before, not_after, key, extensions, authority, signed, signature
    )


def verify(
    certificate: Certificate, issuer: Certificate, now: datetime, *, id: bytes = sm.DEFAULT_ID
) -> None:
    """Nothing, where `issuer`, an authority, has signed `certificate` and both are valid at `now`.

    Raises AuthenticityError naming what is wrong, UsageError for a `now` without a time zone.

    Source: RFC 5280 6.1.3, 6.1.4 (one step of the path; revocation is not looked at)
    """
    if now.tzinfo is None:
        raise UsageError("the time at which a certificate is judged needs a time zone")
    for one in (certificate, issuer):
        if not one.not_before <= now <= one.not_after:
            span = f"{one.not_before:%Y-%m-%d} to {one.not_after:%Y-%m-%d}"
            raise AuthenticityError(f"the certificate {one.serial_hex} is valid from {span}, not at {now}")
    if certificate.issuer.der != issuer.subject.der:
        raise AuthenticityError(
            f"this certificate names {certificate.issuer.text!r} as its issuer, not {issuer.subject.text!r}"
        )
    if not issuer.authority:
        raise AuthenticityError(f"the certificate {issuer.serial_hex} is not an authority's")
    if not _may_sign(issuer):
        raise AuthenticityError(f"the key of the certificate {issuer.serial_hex} may not sign certificates")
    for one in (certificate, issuer):
        unknown = [each.oid for each in one.extensions if each.critical and each.oid not in _KNOWN]
        if unknown:
            raise AuthenticityError(
                f"the certificate {one.serial_hex} is bound by {unknown[0]}, unknown here"
            )
    verify_signature(certificate, issuer.key, id=id)


def verify_signature(certificate: Certificate, key: sm.PublicKey, *, id: bytes = sm.DEFAULT_ID) -> None:
    """Nothing, where `key` has signed the certificate; else AuthenticityError.

    Source: RFC 5280 6.1.3 (a)(1)
    """
    sm.verify(key, certificate.signed, certificate.signature, id=id)


def issue(
    subject: Mapping[str, str],
    key: sm.PublicKey,
    issuer_key: sm.PrivateKey,
    *,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    issuer: Certificate | None = None,
    authority: bool = False,
    id: bytes = sm.DEFAULT_ID,
) -> Certificate:
    """A certificate for `key`, signed by `issuer_key`; without `issuer` it is its own.

    `subject` maps C, ST, L, O, OU, CN or serialNumber to text, in the order of writing. Times are cut to
    whole seconds. Raises UsageError for a subject, serial or validity that no certificate has, and for an
    issuer whose key is another.

    Source: RFC 5280 4.1, 4.2.1.1-4.2.1.3, 4.2.1.9
    Assumed: the key identifier is the first 20 bytes of SM3 over the point; RFC 5280 4.2.1.2 suggests SHA-1.
    """
    holder = key if issuer is None else issuer.key
    if holder != issuer_key.public:
        raise UsageError("the issuer's private key is not the one of its certificate")
    if not isinstance(serial, int) or not 0 < serial < 1 << (8 * _MAX_SERIAL_BYTES - 1):
        raise UsageError("a serial number is positive and has at most 159 bits")
    if not_before.tzinfo is None or not_after.tzinfo is None or not_after < not_before:
        raise UsageError("a certificate's validity is two times with a time zone, in order")
    name = _name(subject)
    signed = sm_der.sequence(
        sm_der.element(_VERSION, sm_der.integer(2)),
        sm_der.integer(serial),
        _ALGORITHM,
        name if issuer is None else issuer.subject.der,
        sm_der.sequence(_time(not_before), _time(not_after)),
        name,
        sm_keys.encode_public(key),
        sm_der.element(_EXTENSIONS, sm_der.sequence(*_extensions(key, holder, authority))),
    )
    signature = sm.der_signature(sm.sign(issuer_key, signed, id=id))
    return decode(sm_der.sequence(signed, _ALGORITHM, sm_der.bits(signature)))


def _extensions(key: sm.PublicKey, issuer: sm.PublicKey, authority: bool) -> list[bytes]:
    constraints = sm_der.sequence(sm_der.element(_BOOLEAN, b"\xff")) if authority else sm_der.sequence()
    usage = _SIGNS_CERTIFICATES if authority else _SIGNS_AND_ENCRYPTS
    above = sm_der.sequence(sm_der.element(_KEY_IDENTIFIER, _key_identifier(issuer)))
    return [
        _extension(_BASIC_CONSTRAINTS, True, constraints),
        _extension(_KEY_USAGE, True, usage),
        _extension(_SUBJECT_KEY, False, sm_der.octets(_key_identifier(key))),
        _extension(_AUTHORITY_KEY, False, above),
    ]


def _extension(oid: str, critical: bool, value: bytes) -> bytes:
    flag = sm_der.element(_BOOLEAN, b"\xff") if critical else b""
    return sm_der.sequence(sm_der.object_identifier(oid), flag, sm_der.octets(value))


def _key_identifier(key: sm.PublicKey) -> bytes:
    return sm.sm3(key.point)[:20]


def _name(subject: Mapping[str, str]) -> bytes:
    """Source: RFC 5280 4.1.2.4"""
    if not subject:
        raise UsageError("a certificate's subject has one part or more")
    parts = []
    for short, text in subject.items():
        if short not in _ATTRIBUTE_OIDS or not isinstance(text, str) or not 1 <= len(text) <= 64:
            known = ", ".join(_ATTRIBUTE_OIDS)
            raise UsageError(f"a subject maps {known} to text of 1 to 64 characters; {short!r} is wrong")
        if short == "C" and not (len(text) == 2 and text.isascii() and text.isalpha()):
            raise UsageError("C is a country's two letters")
        tag = _PRINTABLE if short in ("C", "serialNumber") and text.isascii() else _UTF8
        value = sm_der.element(tag, _encoded(text))
        pair = sm_der.sequence(sm_der.object_identifier(_ATTRIBUTE_OIDS[short]), value)
        parts.append(sm_der.element(_SET, pair))
    return sm_der.sequence(*parts)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError("a subject's text holds a lone surrogate") from None


def _time(moment: datetime) -> bytes:
    """Source: RFC 5280 4.1.2.5"""
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        raise UsageError("a certificate's validity lies in the years 1 to 9999") from None
    if 1950 <= utc.year < 2050:
        return sm_der.element(_UTC_TIME, f"{utc:%y%m%d%H%M%S}Z".encode())
    return sm_der.element(_GENERALIZED_TIME, f"{utc.year:04}{utc:%m%d%H%M%S}Z".encode())


def _read_time(reader: sm_der.Reader, name: str) -> datetime:
    """Source: RFC 5280 4.1.2.5"""
    short = reader.next_tag == _UTC_TIME
    text = reader.element(_UTC_TIME if short else _GENERALIZED_TIME, name)
    digits = text[:-1]
    if len(text) != (13 if short else 15) or not digits.isdigit() or text[-1:] != b"Z":
        raise DecodeError("a time is YYMMDDHHMMSSZ, or YYYYMMDDHHMMSSZ", path=f"validity.{name}")
    whole = digits.decode()
    if short:
        whole = ("19" if whole >= "50" else "20") + whole
    fields = (whole[:4], *(whole[at : at + 2] for at in range(4, 14, 2)))
    try:
        year, month, day, hour, minute, second = map(int, fields)
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise DecodeError("no such date or time", path=f"validity.{name}") from None


def _read_version(reader: sm_der.Reader) -> None:
    inner = reader.inside(_VERSION, "version")
    version = inner.integer("number")
    inner.finish()
    if version != 2:
        raise DecodeError(f"an X.509 certificate of version 3 says 2, not {version}", path="signed.version")


def _read_algorithm(reader: sm_der.Reader) -> None:
    inner = reader.sequence("algorithm")
    oid = inner.object_identifier("name")
    if oid != SIGNATURE_OID:
        raise Unsupported(f"a certificate signed with SM2 is wanted ({SIGNATURE_OID}); this names {oid}")
    if inner.next_tag == sm_der.NULL and inner.element(sm_der.NULL, "parameters"):
        raise DecodeError("NULL has a content", path="algorithm.parameters")
    inner.finish()


def _read_name(reader: sm_der.Reader, name: str) -> Name:
    """Source: RFC 5280 4.1.2.4"""
    der = reader.peek(sm_der.SEQUENCE, name)
    outer = reader.sequence(name)
    parts: list[tuple[str, str]] = []
    while outer.next_tag is not None:
        group = outer.inside(_SET, "part")
        while group.next_tag is not None:
            pair = group.sequence("part")
            oid = pair.object_identifier("type")
            parts.append((_ATTRIBUTES.get(oid, oid), _read_text(pair, name)))
            pair.finish()
            if len(parts) > _MAX_PARTS:
                raise DecodeError(f"a name has more than {_MAX_PARTS} parts", path=name)
    return Name(der, tuple(parts))


def _read_text(reader: sm_der.Reader, name: str) -> str:
    tag = reader.next_tag
    if tag not in _TEXTS:
        raise DecodeError("a part of a name is no text", path=name)
    try:
        return reader.element(tag, "value").decode(_TEXTS[tag])
    except UnicodeDecodeError:
        raise DecodeError("a part of a name is not in its encoding", path=name) from None


def _read_extensions(reader: sm_der.Reader) -> tuple[Extension, ...]:
    """Source: RFC 5280 4.2"""
    if reader.next_tag is None:
        return ()
    wrapper = reader.inside(_EXTENSIONS, "extensions")
    rows = wrapper.sequence("list")
    wrapper.finish()
    found: dict[str, Extension] = {}
    while rows.next_tag is not None:
        row = rows.sequence("extension")
        oid = row.object_identifier("name")
        critical = row.next_tag == _BOOLEAN and _read_boolean(row, "critical")
        value = row.octets("value")
        row.finish()
        if oid in found or len(found) == _MAX_PARTS:
            raise DecodeError(f"the extension {oid} stands twice, or there are too many", path="extensions")
        found[oid] = Extension(oid, critical, value)
    return tuple(found.values())


def _read_boolean(reader: sm_der.Reader, name: str) -> bool:
    content = reader.element(_BOOLEAN, name)
    if content not in (b"\0", b"\xff"):
        raise DecodeError("a BOOLEAN is 00 or FF", path=name)
    return content == b"\xff"


def _may_sign(issuer: Certificate) -> bool:
    """Source: RFC 5280 4.2.1.3"""
    for extension in issuer.extensions:
        if extension.oid == _KEY_USAGE:
            reader = sm_der.Reader(extension.value)
            content = reader.element(sm_der.BIT_STRING, "key usage")
            reader.finish()
            return len(content) > 1 and bool(content[1] & _KEY_CERT_SIGN)
    return True


def _is_authority(extensions: tuple[Extension, ...]) -> bool:
    """Source: RFC 5280 4.2.1.9"""
    for extension in extensions:
        if extension.oid == _BASIC_CONSTRAINTS:
            reader = sm_der.Reader(extension.value)
            inner = reader.sequence("basic constraints")
            reader.finish()
            authority = inner.next_tag == _BOOLEAN and _read_boolean(inner, "authority")
            if inner.next_tag is not None:
                inner.integer("path length")
            inner.finish()
            return authority
    return False
