"""What a file of key material is, before anything reads it: its armour off, its outline named.

The names let an error say "a private key is wanted; this is a certificate". Only the outermost headers are
looked at; the library below reads the rest.

Source: RFC 7468; ITU-T X.690 8.1; RFC 5958; RFC 8017 A.1; RFC 5915; RFC 5280 4.1; RFC 7292 4
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Collection
from typing import Final, NamedTuple

from paysim.core.errors import DecodeError, UsageError

__all__ = ["Found", "every", "find", "outline", "pem"]


class Found(NamedTuple):
    """An outline's name and its DER; `pem` is filled where the encryption lies in the armour."""

    shape: str
    der: bytes
    pem: bytes
    encrypted: bool


_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_BIT_STRING: Final = 0x03
_OCTET_STRING: Final = 0x04

_SM2_OID: Final = bytes.fromhex("06082a811ccf5501822d")
"""1.2.156.10197.1.301"""

_OUTLINES: Final[dict[tuple[int, ...], str]] = {
    (_INTEGER, _SEQUENCE, _OCTET_STRING): "private key (PKCS#8)",
    (_INTEGER, _OCTET_STRING): "EC private key (SEC 1)",
    (_INTEGER, _SEQUENCE): "PKCS#12 file",
    (_SEQUENCE, _OCTET_STRING): "encrypted private key",
    (_SEQUENCE, _BIT_STRING): "public key",
}
"""The tags that a SEQUENCE begins with -> what it is; the longer row first."""

_SM2: Final = {
    "private key (PKCS#8)": "SM2 private key",
    "EC private key (SEC 1)": "SM2 private key",
    "public key": "SM2 public key",
}

_OLD_LABELS: Final = {
    "RSA PRIVATE KEY": "RSA private key (PKCS#1)",
    "EC PRIVATE KEY": "EC private key (SEC 1)",
}
"""Labels under which OpenSSL once encrypted within the armour."""

_SKIPPED: Final = {"EC PARAMETERS": "set of curve parameters", "SM2 PARAMETERS": "set of curve parameters"}

_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,40})-----")
_SPACE: Final = re.compile(rb"\s+")
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/=\s]")
_MAX_BLOCKS: Final = 32
_MAX_TAGS: Final = 16
_LINE: Final = 64


def pem(label: str, der: bytes) -> bytes:
    """`der` in PEM armour, lines of 64 characters.

    >>> pem("PUBLIC KEY", bytes(3))
    b'-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----\\n'

    Source: RFC 7468 2
    """
    body = binascii.b2a_base64(der, newline=False)
    lines = [body[at : at + _LINE] for at in range(0, len(body), _LINE)]
    return b"\n".join([f"-----BEGIN {label}-----".encode(), *lines, f"-----END {label}-----\n".encode()])


def find(data: bytes | str, wanted: str, shapes: Collection[str], most: int) -> Found:
    """The first thing in `data` whose outline is among `shapes`: PEM, DER, or base64 without armour.

    Raises UsageError where only other things are found, naming them and what is `wanted`, and DecodeError
    where nothing is: more than `most` bytes, a PEM that is cut, characters outside base64.
    """
    return every(data, wanted, shapes, most, 1)[0]


def every(
    data: bytes | str, wanted: str, shapes: Collection[str], most: int, limit: int = _MAX_BLOCKS
) -> list[Found]:
    """Up to `limit` of them, at least one; errors as `find`."""
    raw = _bytes(data, wanted, most)
    begin = _BEGIN.search(raw)
    if begin is None:
        der = raw if raw.startswith(b"\x30") else _base64(raw, 0, wanted)
        return _chosen([_classified(der)], wanted, shapes)
    found: list[Found] = []
    for _ in range(_MAX_BLOCKS):
        block, after = _block(raw, begin, wanted)
        found.append(block)
        if sum(one.shape in shapes for one in found) == limit:
            break
        begin = _BEGIN.search(raw, after)
        if begin is None:
            break
    return _chosen(found, wanted, shapes)


def outline(der: bytes) -> str:
    """The name of what these bytes look like, "" where they look like nothing known.

    >>> outline(bytes.fromhex("3006020100020103"))
    'RSA private key (PKCS#1)'
    """
    tags = _tags(der)
    if tags[:2] == [_INTEGER, _INTEGER]:
        _, start, stop = _header(der, _header(der, 0)[1])
        return "RSA private key (PKCS#1)" if stop - start == 1 else "RSA public key (PKCS#1)"
    if tags == [_SEQUENCE, _SEQUENCE, _BIT_STRING]:
        inner = _tags(der[_header(der, 0)[1] :])
        return "certificate request" if inner[:3] == [_INTEGER, _SEQUENCE, _SEQUENCE] else "certificate"
    name = _OUTLINES.get(tuple(tags[:3])) or _OUTLINES.get(tuple(tags[:2]), "")
    return _SM2.get(name, name) if _SM2_OID in der[:64] else name


def _bytes(data: bytes | str, wanted: str, most: int) -> bytes:
    if not isinstance(data, bytes | str):
        raise UsageError(f"{wanted} is read from bytes or text, not from {type(data).__name__}")
    if len(data) > most:
        raise DecodeError(f"{wanted} has at most {most} bytes; this has {len(data)}", offset=most)
    try:
        raw = data.encode("ascii") if isinstance(data, str) else data
    except UnicodeEncodeError as error:
        raise DecodeError(
            f"{wanted} is wanted; as text it is ASCII, as a file read its bytes", offset=error.start
        ) from None
    if not raw.strip():
        raise DecodeError(f"{wanted} is wanted; this is empty")
    return raw


def _block(raw: bytes, begin: re.Match[bytes], wanted: str) -> tuple[Found, int]:
    """One armoured block and where it ends."""
    label = begin[1].decode()
    last_line = f"-----END {label}-----"
    end = raw.find(last_line.encode(), begin.end())
    if end < 0:
        raise DecodeError(
            f"{wanted} is wanted; this PEM is cut: the line {last_line} is missing", offset=len(raw)
        )
    after = end + len(last_line)
    body = raw[begin.end() : end]
    if b"Proc-Type:" in body and b"ENCRYPTED" in body:
        return Found(_OLD_LABELS.get(label, label), b"", raw[begin.start() : after] + b"\n", True), after
    if label in _SKIPPED:
        return Found(_SKIPPED[label], b"", b"", False), after
    return _classified(_base64(body, begin.end(), wanted)), after


def _base64(body: bytes, offset: int, wanted: str) -> bytes:
    """The bytes of a base64 body; white space may stand anywhere."""
    try:
        return binascii.a2b_base64(_SPACE.sub(b"", body), strict_mode=True)
    except binascii.Error:
        odd = _NOT_BASE64.search(body)
        if odd is None:
            text, at = "this base64 is cut or wrongly padded", len(body)
        else:
            text, at = f"this is no PEM, no DER, and no base64: byte {odd[0][0]:#04x} is in it", odd.start()
        raise DecodeError(f"{wanted} is wanted; {text}", offset=offset + at) from None


def _classified(der: bytes) -> Found:
    name = outline(der)
    return Found(name, der, b"", name == "encrypted private key")


def _chosen(found: list[Found], wanted: str, shapes: Collection[str]) -> list[Found]:
    good = [one for one in found if one.shape in shapes]
    if good:
        return good
    named = dict.fromkeys(one.shape for one in found if one.shape)
    if named:
        raise UsageError(f"{wanted} is wanted; this is: {', '.join(named)}")
    raise DecodeError(f"{wanted} is wanted; these bytes are no whole DER object")


def _tags(der: bytes) -> list[int]:
    """The first tags of what a SEQUENCE holds; [] where the lengths do not add up to the whole."""
    try:
        tag, at, stop = _header(der, 0)
        if tag != _SEQUENCE or stop > len(der):
            return []
        tags: list[int] = []
        while at < stop and len(tags) < _MAX_TAGS:
            tag, _, at = _header(der, at)
            tags.append(tag)
    except IndexError:
        return []
    return tags if at <= stop else []


def _header(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, where the value starts, where it stops; raises IndexError beyond the end."""
    tag, length = der[at], der[at + 1]
    start = at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or start + count > len(der):
            raise IndexError
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    return tag, start, start + length
