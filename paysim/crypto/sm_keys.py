"""SM2 keys in DER: SubjectPublicKeyInfo, PKCS#8 and SEC 1. (PEM armour and the detection of kinds: `keys`.)

>>> key = private_from(6)
>>> decode_private(encode_private(key)) == key and decode_public(encode_public(key.public)) == key.public
True

Source: GM/T 0009-2012 7.1; RFC 5280 4.1.2.7; RFC 5480 2; RFC 5958 2; RFC 5915 3; GM/T 0006-2012 (identifiers)
"""

from __future__ import annotations

from typing import Final, Literal

from paysim.core.errors import AuthenticityError, DecodeError, Unsupported, UsageError

from . import sm_der
from .sm import PrivateKey, PublicKey
from .sm_curve import N

__all__ = [
    "CURVE_OID",
    "EC_OID",
    "decode_private",
    "decode_public",
    "encode_private",
    "encode_public",
    "private_from",
    "public_of",
    "read_public",
]

EC_OID: Final = "1.2.840.10045.2.1"
"""id-ecPublicKey."""

CURVE_OID: Final = "1.2.156.10197.1.301"
"""The SM2 curve."""

_ALGORITHM: Final = sm_der.sequence(sm_der.object_identifier(EC_OID), sm_der.object_identifier(CURVE_OID))
_PARAMETERS: Final = 0xA0
_PUBLIC: Final = 0xA1
_PUBLIC_IMPLICIT: Final = 0x81
_MAX_KEY_BYTES: Final = 65_536


def private_from(number: int) -> PrivateKey:
    """The private key that a large random `number` chooses: its remainder by n - 2, plus 1.

    >>> private_from(0).d
    1

    Source: FIPS 186-5 A.2.1 (extra random bits)
    """
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise UsageError("an SM2 private key is made from a whole number, zero or more")
    return PrivateKey(number % (N - 2) + 1)


def public_of(key: PrivateKey) -> PublicKey:
    """The other half of a private key.

    >>> public_of(private_from(0))
    <sm.PublicKey 32c4ae2c1f198119>
    """
    return key.public


def encode_public(key: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo, 91 bytes.

    >>> len(encode_public(private_from(0).public))
    91

    Source: RFC 5280 4.1.2.7, RFC 5480 2
    """
    return sm_der.sequence(_ALGORITHM, sm_der.bits(key.point))


def decode_public(der: bytes) -> PublicKey:
    """The key of a SubjectPublicKeyInfo.

    Raises DecodeError for what is none, or whose point is not on the curve; Unsupported for another algorithm
    or curve, and for a compressed point.

    >>> decode_public(encode_public(private_from(0).public)[:-1])
    Traceback (most recent call last):
    paysim.core.errors.DecodeError: an element of 89 bytes is longer than what is left (at key, offset 0)

    Source: RFC 5280 4.1.2.7, RFC 5480 2
    """
    reader = _reader(der)
    key = read_public(reader)
    reader.finish()
    return key


def read_public(reader: sm_der.Reader) -> PublicKey:
    """The key of the SubjectPublicKeyInfo that is next in `reader`; errors as `decode_public`.

    >>> read_public(sm_der.Reader(encode_public(private_from(0).public)))
    <sm.PublicKey 32c4ae2c1f198119>
    """
    outer = reader.sequence("key")
    _read_algorithm(outer)
    point = outer.bits("point")
    outer.finish()
    return _public(point)


def encode_private(key: PrivateKey, form: Literal["pkcs8", "sec1"] = "pkcs8") -> bytes:
    """The PKCS#8 file, not encrypted, with its public half; or the SEC 1 file with curve and public half.

    >>> len(encode_private(private_from(0))), len(encode_private(private_from(0), "sec1"))
    (138, 121)

    Source: RFC 5958 2; RFC 5915 3
    """
    public = sm_der.element(_PUBLIC, sm_der.bits(key.public.point))
    number = (sm_der.integer(1), sm_der.octets(key.secret))
    if form == "sec1":
        curve = sm_der.element(_PARAMETERS, sm_der.object_identifier(CURVE_OID))
        return sm_der.sequence(*number, curve, public)
    if form != "pkcs8":
        raise UsageError(f"an SM2 private key is written as pkcs8 or sec1, not {form!r}")
    return sm_der.sequence(sm_der.integer(0), _ALGORITHM, sm_der.octets(sm_der.sequence(*number, public)))


def decode_private(der: bytes) -> PrivateKey:
    """The key of a PKCS#8 file that is not encrypted, or of a SEC 1 file.

    Raises DecodeError for what is neither, Unsupported for another algorithm or curve, and AuthenticityError
    where the public half beside it is another key's.

    >>> decode_private(encode_private(private_from(0), "sec1"))
    <sm.PrivateKey of 32c4ae2c1f198119>

    Source: RFC 5958 2; RFC 5915 3
    """
    reader = _reader(der)
    outer = reader.sequence("key")
    reader.finish()
    version = outer.integer("version")
    if outer.next_tag == sm_der.OCTET_STRING:
        return _read_sec1(outer, version, curve_known=False)
    if version > 1:
        raise DecodeError(f"PKCS#8 has version 0 or 1, not {version}", path="key.version")
    _read_algorithm(outer)
    inner = outer.inside(sm_der.OCTET_STRING, "key")
    number = inner.sequence("number")
    inner.finish()
    key = _read_sec1(number, number.integer("version"), curve_known=True)
    if outer.next_tag == _PARAMETERS:  # attributes, which nobody reads
        outer.element(_PARAMETERS, "attributes")
    if outer.next_tag == _PUBLIC_IMPLICIT:
        point = outer.element(_PUBLIC_IMPLICIT, "public")
        if point[:1] != b"\0":
            raise DecodeError("a BIT STRING is not of whole bytes", path="key.public")
        _compare(key, point[1:])
    outer.finish()
    return key


def _read_sec1(reader: sm_der.Reader, version: int, *, curve_known: bool) -> PrivateKey:
    """Source: RFC 5915 3"""
    if version != 1:
        raise DecodeError(f"an EC private key has version 1, not {version}", path="key.version")
    secret = reader.octets("number")
    if len(secret) != 32:
        raise DecodeError(f"an SM2 private key has 32 bytes; this has {len(secret)}", path="key.number")
    if reader.next_tag == _PARAMETERS:
        inner = reader.inside(_PARAMETERS, "curve")
        _wanted(inner.object_identifier("name"), CURVE_OID)
        inner.finish()
    elif not curve_known:
        raise Unsupported("this EC private key does not name its curve")
    number = int.from_bytes(secret)
    if not 1 <= number <= N - 2:
        raise DecodeError("the number is outside 1 to n - 2", path="key.number")
    key = PrivateKey(number)
    if reader.next_tag == _PUBLIC:
        inner = reader.inside(_PUBLIC, "public")
        _compare(key, inner.bits("point"))
        inner.finish()
    reader.finish()
    return key


def _compare(key: PrivateKey, point: bytes) -> None:
    if _public(point) != key.public:
        raise AuthenticityError("the public half of this SM2 key file is another key's")


def _reader(der: bytes) -> sm_der.Reader:
    if not isinstance(der, bytes):
        raise UsageError(f"an SM2 key is read from bytes, not from {type(der).__name__}")
    if len(der) > _MAX_KEY_BYTES:
        raise DecodeError(f"an SM2 key has at most {_MAX_KEY_BYTES} bytes; this has {len(der)}")
    return sm_der.Reader(der)


def _read_algorithm(reader: sm_der.Reader) -> None:
    inner = reader.sequence("algorithm")
    _wanted(inner.object_identifier("name"), EC_OID)
    _wanted(inner.object_identifier("curve"), CURVE_OID)
    inner.finish()


def _wanted(found: str, wanted: str) -> None:
    if found != wanted:
        raise Unsupported(f"an SM2 key is wanted ({wanted}); this names {found}")


def _public(point: bytes) -> PublicKey:
    if len(point) == 33 and point[0] in (2, 3):
        raise Unsupported("this point is compressed; write it uncompressed, 65 bytes")
    if len(point) != 65:
        raise DecodeError(f"an uncompressed SM2 point has 65 bytes; this has {len(point)}", path="key.point")
    return PublicKey(point)
