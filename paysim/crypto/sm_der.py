"""DER: the strict reader and the writer that SM2 keys, signatures, ciphertexts and certificates need.

One encoding a value: lengths and integers in their shortest form, no indefinite length, nothing behind.

>>> encode = sequence(integer(1), octets(b"ab"))
>>> encode.hex()
'300702010104026162'
>>> reader = Reader(encode).sequence("example")
>>> reader.integer("version"), reader.octets("value")
(1, b'ab')

Source: ITU-T X.690 8, 10 and 11
"""

from __future__ import annotations

from typing import Final

from paysim.core.errors import DecodeError

__all__ = [
    "BIT_STRING",
    "INTEGER",
    "MAX_SIZE",
    "NULL",
    "OBJECT_IDENTIFIER",
    "OCTET_STRING",
    "SEQUENCE",
    "Reader",
    "bits",
    "element",
    "integer",
    "object_identifier",
    "octets",
    "sequence",
]

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30

MAX_SIZE: Final = 1 << 28
"""Bytes of one encoding. Assumed: ten times the largest message that anybody seals."""

SOURCE: Final = "ITU-T X.690"

_MAX_OID_BYTES: Final = 64
"""Assumed: five times the longest that is used here; the work grows with the square of it."""

_TAG_NAMES: Final = {
    INTEGER: "INTEGER",
    BIT_STRING: "BIT STRING",
    OCTET_STRING: "OCTET STRING",
    NULL: "NULL",
    OBJECT_IDENTIFIER: "OBJECT IDENTIFIER",
    SEQUENCE: "SEQUENCE",
}


class Reader:
    """Reads the elements of `data` from `start` to `end`, one after the other.

    Each method names what it reads, for the path of an error. Raises DecodeError for bytes that are no DER,
    or are not the element asked for.
    """

    __slots__ = ("_at", "_data", "_end", "_path")

    def __init__(self, data: bytes, path: str = "", start: int = 0, end: int | None = None) -> None:
        if not isinstance(data, bytes):
            raise DecodeError(f"DER is bytes, not {type(data).__name__}", path=path)
        if len(data) > MAX_SIZE:
            raise DecodeError(f"{len(data)} bytes of DER; at most {MAX_SIZE} are read", path=path)
        self._data = data
        self._path = path
        self._at = start
        self._end = len(data) if end is None else end

    @property
    def next_tag(self) -> int | None:
        """The tag of the next element, None at the end."""
        return self._data[self._at] if self._at < self._end else None

    def element(self, tag: int, name: str) -> bytes:
        """The content of the next element, whose tag must be `tag`."""
        start, end = self._open(tag, name)
        self._at = end
        return self._data[start:end]

    def peek(self, tag: int, name: str) -> bytes:
        """The next element with its tag and length; it stays the next."""
        return self._data[self._at : self._open(tag, name)[1]]

    def inside(self, tag: int, name: str) -> Reader:
        """A reader of the elements inside the next element."""
        start, end = self._open(tag, name)
        self._at = end
        return Reader(self._data, self._name(name), start, end)

    def sequence(self, name: str) -> Reader:
        """A reader of the elements inside a SEQUENCE."""
        return self.inside(SEQUENCE, name)

    def integer(self, name: str) -> int:
        """A whole number, zero or more."""
        first = self._at
        content = self.element(INTEGER, name)
        if not content or (len(content) > 1 and content[0] == 0 and content[1] < 0x80):
            raise self._bad("an INTEGER is not in its shortest form", name, first)
        if content[0] >= 0x80:
            raise self._bad("an INTEGER is negative", name, first)
        return int.from_bytes(content)

    def octets(self, name: str) -> bytes:
        """The content of an OCTET STRING."""
        return self.element(OCTET_STRING, name)

    def bits(self, name: str) -> bytes:
        """The content of a BIT STRING of whole bytes."""
        first = self._at
        content = self.element(BIT_STRING, name)
        if not content or content[0]:
            raise self._bad("a BIT STRING is not of whole bytes", name, first)
        return content[1:]

    def object_identifier(self, name: str) -> str:
        """An OBJECT IDENTIFIER in dotted form."""
        first = self._at
        content = self.element(OBJECT_IDENTIFIER, name)
        arcs, value, fresh = [], 0, True
        for byte in content if len(content) <= _MAX_OID_BYTES else b"":
            if fresh and byte == 0x80:
                raise self._bad("an OBJECT IDENTIFIER is not in its shortest form", name, first)
            value = value << 7 | byte & 0x7F
            fresh = byte < 0x80
            if fresh:
                arcs.append(value)
                value = 0
        if not arcs or not fresh:
            raise self._bad("an OBJECT IDENTIFIER is empty, cut or too long", name, first)
        top = min(arcs[0] // 40, 2)
        return ".".join(map(str, (top, arcs[0] - 40 * top, *arcs[1:])))

    def finish(self) -> None:
        """Raises DecodeError where something is left."""
        if self._at != self._end:
            raise self._bad(f"{self._end - self._at} bytes follow the last element", "", self._at)

    def _open(self, tag: int, name: str) -> tuple[int, int]:
        """Where the content of the next element begins and ends."""
        data, at = self._data, self._at
        if self._end - at < 2:
            raise self._bad(f"{_named(tag)} is expected; the data end", name, at)
        if data[at] != tag:
            raise self._bad(f"{_named(tag)} is expected, tag {data[at]:02X} found", name, at)
        length, start = data[at + 1], at + 2
        if length >= 0x80:
            count = length - 0x80
            if not 1 <= count <= 4:
                raise self._bad("a length is indefinite or of more than 4 bytes", name, at)
            length = int.from_bytes(data[start : start + count])
            start += count
            if length < 0x80 or length >> 8 * (count - 1) == 0:
                raise self._bad("a length is not in its shortest form", name, at)
        if start + length > self._end:
            raise self._bad(f"an element of {length} bytes is longer than what is left", name, at)
        return start, start + length

    def _name(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path and name else self._path or name

    def _bad(self, text: str, name: str, offset: int) -> DecodeError:
        return DecodeError(text, offset=offset, path=self._name(name), source=SOURCE)


def element(tag: int, content: bytes) -> bytes:
    """`content` behind its tag and length.

    >>> element(OCTET_STRING, bytes(200)).hex()[:8]
    '0481c800'
    """
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 + size)) + length.to_bytes(size) + content


def sequence(*elements: bytes) -> bytes:
    """A SEQUENCE of encoded elements.

    >>> sequence(integer(0), integer(128)).hex()
    '300702010002020080'
    """
    return element(SEQUENCE, b"".join(elements))


def integer(value: int) -> bytes:
    """A whole number, zero or more, as INTEGER.

    >>> integer(255).hex()
    '020200ff'
    """
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def octets(content: bytes) -> bytes:
    """An OCTET STRING.

    >>> octets(b"a").hex()
    '040161'
    """
    return element(OCTET_STRING, content)


def bits(content: bytes) -> bytes:
    """A BIT STRING of whole bytes.

    >>> bits(b"a").hex()
    '03020061'
    """
    return element(BIT_STRING, b"\0" + content)


def object_identifier(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER from its dotted form.

    >>> object_identifier("1.2.156.10197.1.301").hex()
    '06082a811ccf5501822d'
    """
    top, second, *rest = map(int, dotted.split("."))
    content = bytearray()
    for arc in (40 * top + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return element(OBJECT_IDENTIFIER, bytes(content))


def _named(tag: int) -> str:
    return _TAG_NAMES.get(tag, f"tag {tag:02X}")
