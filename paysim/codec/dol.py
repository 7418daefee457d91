"""Data object lists: the tags and lengths that a card asks for, and the data that answers them.

A list is one of 9F38 (PDOL), 8C and 8D (CDOL1, CDOL2), 9F49 (DDOL), 97 (TDOL), 9F51 (DRDOL). The data is the
values alone, one behind the other; the command template 83 around a PDOL's data is written by the caller.

Source: EMV 4.4 Book 3 5.4
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from paysim.codec import tlv
from paysim.codec.tags import look_up
from paysim.core.errors import DecodeError, LocalProtocolError

__all__ = ["MAX_SIZE", "Entry", "decode", "encode", "fill", "size", "split"]

MAX_SIZE: Final = 252
"""Bytes of a list that is read. Source: EMV 4.4 Book 3 Annex A (8C, 8D, 9F49)"""

SOURCE: Final = "EMV 4.4 Book 3 5.4"

_MAX_LENGTH: Final = 255


class Entry(NamedTuple):
    """A data object that the card wants: its tag and how many bytes of it."""

    tag: int
    length: int


def decode(data: bytes) -> tuple[Entry, ...]:
    """The entries of a list, in order; a tag may come twice.

    Raises DecodeError for a tag or length that is cut, a tag of more than four bytes, or more than MAX_SIZE
    bytes; `decoded_so_far` holds the entries before it.

    >>> decode(bytes.fromhex("9F66049F02069C01"))
    (Entry(tag=40806, length=4), Entry(tag=40706, length=6), Entry(tag=156, length=1))

    Source: EMV 4.4 Book 3 5.4
    """
    if len(data) > MAX_SIZE:
        raise DecodeError(f"a list has at most {MAX_SIZE} bytes", offset=MAX_SIZE, source=SOURCE)
    entries: list[Entry] = []
    at = 0
    while at < len(data):
        try:
            tag, behind = tlv.read_tag(data, at)
            entries.append(Entry(tag, data[behind]))
        except DecodeError:
            raise _broken("no tag of one to four bytes begins here", at, entries) from None
        except IndexError:
            raise _broken("the list is cut before a length", at, entries) from None
        at = behind + 1
    return tuple(entries)


def _broken(message: str, at: int, entries: list[Entry]) -> DecodeError:
    return DecodeError(message, offset=at, decoded_so_far=tuple(entries), source=SOURCE)


def encode(entries: Sequence[tuple[int, int]]) -> bytes:
    """The bytes of a list: tag and length of each entry.

    Raises LocalProtocolError for what is no tag, a length of more than one byte, or more than MAX_SIZE bytes.

    >>> encode([(0x9F37, 4), (0x9A, 3)]).hex().upper()
    '9F37049A03'

    Source: EMV 4.4 Book 3 5.4
    """
    try:
        data = b"".join(tlv.tag_bytes(tag) + bytes((length,)) for tag, length in entries)
    except (TypeError, ValueError):
        raise LocalProtocolError(
            f"an entry is a tag and a length up to {_MAX_LENGTH}", source=SOURCE
        ) from None
    if len(data) > MAX_SIZE:
        raise LocalProtocolError(f"a list has at most {MAX_SIZE} bytes", source=SOURCE)
    return data


def size(entries: Sequence[tuple[int, int]]) -> int:
    """How many bytes of data a list asks for.

    >>> size(decode(bytes.fromhex("9F66049F02069C01")))
    11
    """
    return sum(length for _, length in entries)


def fill(entries: Sequence[tuple[int, int]], values: Mapping[int, bytes], kernel: int = 0) -> bytes:
    """The data that answers a list: each value in the length that is asked for.

    A value of another length is cut or padded by its format: "n" loses bytes on the left and gains zeros
    there; any other loses bytes on the right and gains zeros there, "cn" FF. A tag without a value, and a
    template, gives zeros. `kernel` says which meaning of a tag holds.

    >>> fill(decode(bytes.fromhex("9F02069C019F4E02DF0102")), {0x9F02: b"\\x12\\x80", 0x9F4E: b"TEA"}).hex()
    '0000000012800054450000'

    Source: EMV 4.4 Book 3 5.4
    """
    parts: list[bytes] = []
    for tag, length in entries:
        value = values.get(tag, b"")
        parts.append(value if len(value) == length else _fit(tag, bytes(value), length, kernel))
    return b"".join(parts)


def _fit(tag: int, value: bytes, length: int, kernel: int) -> bytes:
    if not value or tlv.is_constructed(tag):
        return bytes(length)
    known = look_up(tag, kernel)
    if known and known.format == "n":
        return value[max(0, len(value) - length) :].rjust(length, b"\x00")
    return value[:length].ljust(length, b"\xff" if known and known.format == "cn" else b"\x00")


def split(entries: Sequence[tuple[int, int]], data: bytes) -> dict[int, bytes]:
    """The values in the data that answers a list, by tag; of a tag that is asked for twice, the last.

    Raises DecodeError for data of another length than the list's; `decoded_so_far` holds the values that
    are whole.

    >>> split([Entry(0x9C, 1), Entry(0x9A, 3)], bytes.fromhex("00261127"))
    {156: b'\\x00', 154: b"&\\x11'"}
    """
    values: dict[int, bytes] = {}
    at = 0
    for tag, length in entries:
        if at + length > len(data):
            message = f"the data is cut: the list asks for {size(entries)} bytes"
            raise DecodeError(message, offset=at, path=tlv.name(tag), decoded_so_far=values, source=SOURCE)
        values[tag] = bytes(data[at : at + length])
        at += length
    if at < len(data):
        message = f"{len(data) - at} bytes more than the list asks for"
        raise DecodeError(message, offset=at, decoded_so_far=values, source=SOURCE)
    return values
