"""BER-TLV: tag, length and value, values nested, as EMV and ISO 7816 write it.

A tree is a tuple of nodes in the order of the bytes, a node is (tag, value): the tag an int (`0x9F26`), the
value bytes for a primitive object and again a tree for a constructed one (bit 6 of the tag's first byte).
A tag that is named `opaque` keeps its bytes either way.

Source: EMV 4.4 Book 3 Annex B; ISO/IEC 8825-1 8.1.
Assumed: zero bytes between objects are padding and are skipped (EMV 4.4 Book 3 Annex B1 allows them); they
are not written again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from paysim.core.errors import DecodeError, LocalProtocolError

__all__ = [
    "MAX_DEPTH",
    "MAX_SIZE",
    "Node",
    "Span",
    "TlvError",
    "Tree",
    "decode",
    "encode",
    "find",
    "flatten",
    "is_constructed",
    "name",
    "read_tag",
    "spans",
    "tag_bytes",
    "walk",
]

Node: TypeAlias = tuple[int, Any]
Tree: TypeAlias = tuple[Node, ...]

MAX_DEPTH: Final = 8
"""Levels that are read and written. Assumed: EMV data have four at most."""

MAX_SIZE: Final = 65_535
"""Bytes of one encoding. Assumed: the largest response of an extended-length APDU."""

SOURCE: Final = "EMV 4.4 Book 3 Annex B"

_MAX_TAG_BYTES: Final = 4
_MAX_LENGTH_BYTES: Final = 3
_NONE: Final[frozenset[int]] = frozenset()


class TlvError(DecodeError):
    """These bytes are no BER-TLV; `code` is the issue code (TRUNCATED, BAD_ID or BAD_LENGTH)."""

    code: str


class Span(NamedTuple):
    """Where an object lies: its tag, and the offsets of its tag, of its value, and behind it."""

    tag: int
    start: int
    value: int
    stop: int


def decode(data: bytes, *, opaque: Collection[int] = _NONE) -> Tree:
    """The tree of the objects in `data`; the values of `opaque` tags stay bytes.

    Raises TlvError, a DecodeError (offset in bytes, path of the templates around it, the tree of what came
    before in `decoded_so_far`), for an object that is cut, an indefinite length, more than four tag or three
    length bytes, more than MAX_DEPTH levels or MAX_SIZE bytes.

    >>> decode(bytes.fromhex("6F0A8408A000000003000000"))
    ((111, ((132, b'\\xa0\\x00\\x00\\x00\\x03\\x00\\x00\\x00'),)),)

    Source: EMV 4.4 Book 3 Annex B
    """
    size = len(data)
    nodes: list[Node] = []
    try:
        if size > MAX_SIZE:
            raise _Broken("BAD_LENGTH", f"more than {MAX_SIZE} bytes", 0)
        _read(bytes(data), 0, size, nodes, opaque, 1)
    except _Broken as broken:
        raise broken.error(tuple(nodes)) from None
    return tuple(nodes)


class _Broken(Exception):  # never leaves this module
    """Carries a fault up through the levels, which add their tags to the path."""

    def __init__(self, code: str, message: str, offset: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset
        self.path = ""

    def error(self, so_far: object) -> TlvError:
        error = TlvError(
            self.message, offset=self.offset, path=self.path, decoded_so_far=so_far, source=SOURCE
        )
        error.code = self.code
        return error


def _read(data: bytes, at: int, end: int, nodes: list[Node], opaque: Collection[int], depth: int) -> None:
    """Appends the objects of `data[at:end]` to `nodes`."""
    start = at
    try:
        while at < end:
            start = at
            tag = first = data[at]
            if not first:
                at += 1
                continue
            length = data[at + 1]
            at += 2
            if first & 0x1F == 0x1F:
                tag = first << 8 | length
                if length & 0x80:
                    tag, at = _long_tag(data, tag, at)
                length = data[at]
                at += 1
            if length & 0x80:
                length, at = _long_length(data, length & 0x7F, at)
            stop = at + length
            if stop > end:
                message = f"the object {tag:02X} is {stop - end} bytes longer than what is left"
                raise _Broken("TRUNCATED", message, start)
            if first & 0x20 and tag not in opaque:
                nodes.append((tag, _inside(data, at, stop, nodes, tag, opaque, depth)))
            else:
                nodes.append((tag, data[at:stop]))
            at = stop
    except IndexError:
        raise _Broken("TRUNCATED", "an object is cut within its tag or length", start) from None


def _inside(
    data: bytes, at: int, stop: int, nodes: list[Node], tag: int, opaque: Collection[int], depth: int
) -> Tree:
    """The tree within a constructed object; what was read of a broken one goes to `nodes`."""
    if depth >= MAX_DEPTH:
        raise _Broken("BAD_LENGTH", f"more than {MAX_DEPTH} levels", at)
    inside: list[Node] = []
    try:
        _read(data, at, stop, inside, opaque, depth + 1)
    except _Broken as broken:
        broken.path = f"{tag:02X}.{broken.path}".rstrip(".")
        nodes.append((tag, tuple(inside)))
        raise
    return tuple(inside)


def _long_tag(data: bytes, tag: int, at: int) -> tuple[int, int]:
    """A tag of three or four bytes, of which two were read, and where its length begins."""
    start = at - 2
    for _ in range(_MAX_TAG_BYTES - 2):
        more = data[at]
        tag = tag << 8 | more
        at += 1
        if not more & 0x80:
            return tag, at
    raise _Broken("BAD_ID", f"a tag has at most {_MAX_TAG_BYTES} bytes", start)


def _long_length(data: bytes, count: int, at: int) -> tuple[int, int]:
    """A length of `count` bytes, and where the value begins."""
    if not 1 <= count <= _MAX_LENGTH_BYTES:
        message = f"a length has 1 to {_MAX_LENGTH_BYTES} bytes after the first, not {count}"
        raise _Broken("BAD_LENGTH", message, at - 1)
    if at + count > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + count], "big"), at + count


def spans(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[Span]:
    """Where the objects of one level lie, up to the first that is cut or longer than what is left.

    >>> [span.start for span in spans(bytes.fromhex("8501005A0212345F2000"))]
    [0, 3, 7]
    """
    end = len(data) if stop is None else stop
    at = start
    while at < end:
        if not data[at]:
            at += 1
            continue
        try:
            span = _span(data, at)
        except (_Broken, IndexError):
            return
        if span.stop > end:
            return
        yield span
        at = span.stop


def read_tag(data: bytes, at: int = 0) -> tuple[int, int]:
    """The tag that begins at `at`, and the offset behind it: for lists of tags without values.

    Raises TlvError for a tag that is cut, has more than four bytes, or is zero.

    >>> read_tag(bytes.fromhex("9F6604"))
    (40806, 2)

    Source: EMV 4.4 Book 3 Annex B1
    """
    try:
        tag, behind = _tag(data, at)
        if not tag:
            raise _Broken("BAD_ID", "zero is no tag", at)
    except _Broken as broken:
        raise broken.error(None) from None
    except IndexError:
        raise _Broken("TRUNCATED", "a tag is cut", at).error(None) from None
    return tag, behind


def _tag(data: bytes, start: int) -> tuple[int, int]:
    tag, at = data[start], start + 1
    if tag & 0x1F == 0x1F:
        more = data[at]
        tag, at = tag << 8 | more, at + 1
        if more & 0x80:
            tag, at = _long_tag(data, tag, at)
    return tag, at


def _span(data: bytes, start: int) -> Span:
    tag, at = _tag(data, start)
    length, at = data[at], at + 1
    if length & 0x80:
        length, at = _long_length(data, length & 0x7F, at)
    return Span(tag, start, at, at + length)


def encode(tree: Sequence[Node]) -> bytes:
    """The bytes of a tree, lengths in their shortest form.

    A constructed tag takes a tree, or bytes that are written as they are; a primitive one takes bytes.
    Raises LocalProtocolError for anything else, and beyond MAX_DEPTH and MAX_SIZE.

    >>> encode([(0x61, [(0x4F, bytes.fromhex("A000000333")), (0x9F08, b"\\x00\\x10")])]).hex().upper()
    '610C4F05A0000003339F08020010'

    Source: EMV 4.4 Book 3 Annex B
    """
    data = _write(tree, 1)
    if len(data) > MAX_SIZE:
        raise LocalProtocolError(f"more than {MAX_SIZE} bytes", source=SOURCE)
    return data


def _write(tree: Sequence[Node], depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise LocalProtocolError(f"more than {MAX_DEPTH} levels", source=SOURCE)
    parts: list[bytes] = []
    for tag, value in tree:
        head = tag_bytes(tag)
        if not isinstance(value, bytes | bytearray):
            value = _write(_tree_of(tag, head, value), depth + 1)
        parts += (head, _length_bytes(len(value)), value)
    return b"".join(parts)


def _tree_of(tag: int, head: bytes, value: object) -> Sequence[Node]:
    if head[0] & 0x20 and isinstance(value, list | tuple):
        return value
    wanted = "bytes or a tree" if head[0] & 0x20 else "bytes"
    raise LocalProtocolError(f"the tag {tag:02X} takes {wanted}, not {type(value).__name__}", source=SOURCE)


def tag_bytes(tag: int) -> bytes:
    """The bytes of a tag: low five bits set and bit 8 say where it goes on.

    Raises LocalProtocolError for what is no tag of one to four bytes.

    >>> tag_bytes(0x9F02).hex()
    '9f02'

    Source: EMV 4.4 Book 3 Annex B1
    """
    if type(tag) is int and 0 < tag < 1 << 8 * _MAX_TAG_BYTES:
        head = tag.to_bytes((tag.bit_length() + 7) // 8, "big")
        if len(head) == 1 and head[0] & 0x1F != 0x1F:
            return head
        if len(head) > 1 and head[0] & 0x1F == 0x1F and _goes_on_right(head):
            return head
    raise LocalProtocolError(f"{tag!r} is no tag of 1 to {_MAX_TAG_BYTES} bytes", source=SOURCE)


def _goes_on_right(head: bytes) -> bool:
    return all(byte & 0x80 for byte in head[1:-1]) and not head[-1] & 0x80


def _length_bytes(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    count = (length.bit_length() + 7) // 8
    return bytes((0x80 | count,)) + length.to_bytes(count, "big")


def is_constructed(tag: int) -> bool:
    """Whether the tag says that its value is objects again.

    >>> is_constructed(0x61), is_constructed(0x5F20)
    (True, False)
    """
    return bool(tag >> 8 * ((tag.bit_length() - 1) // 8) & 0x20)


def name(tag: int) -> str:
    """The tag as people write it.

    >>> name(0x5F2D)
    '5F2D'
    """
    return f"{tag:02X}"


def find(tree: Sequence[Node], *path: int) -> Any:
    """The value of the first object at this path of tags, or None.

    >>> find(((0x6F, ((0x84, b"1PAY"),)),), 0x6F, 0x84)
    b'1PAY'
    """
    found: Any = tree
    for tag in path:
        if isinstance(found, bytes | None):
            return None
        found = next((value for known, value in found if known == tag), None)
    return found


def walk(tree: Sequence[Node]) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Every primitive object with its path of tags, in order.

    >>> list(walk(((0x6F, ((0x84, b"1PAY"),)),)))
    [((111, 132), b'1PAY')]
    """
    for tag, value in tree:
        if isinstance(value, tuple | list):
            for path, leaf in walk(value):
                yield (tag, *path), leaf
        else:
            yield (tag,), value


def flatten(tree: Sequence[Node]) -> tuple[tuple[int, bytes], ...]:
    """Every primitive object as tag and value, in order, whatever the templates around it.

    >>> flatten(((0x6F, ((0x84, b"1PAY"),)), (0x9C, b"A")))
    ((132, b'1PAY'), (156, b'A'))
    """
    return tuple((path[-1], value) for path, value in walk(tree))
