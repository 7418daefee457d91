"""A card's answer without its cryptogram, for those who keep what a card said.

Zeros stand in place of cryptogram (9F26) and signature (9F4B), of whatever is behind AIP and AFL in an answer
of format 80, and of the issuer's own data within 9F10, which end in a MAC; a balance before it stays.

Source: EMV 4.4 Book 3 6.5.5, 6.5.8; facts 3.6 (IAD). Assumed: less than four bytes are no MAC
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from paysim.codec import formats, tlv
from paysim.core.errors import DecodeError

__all__ = ["WITHHELD", "without_cryptogram"]

WITHHELD: Final[Mapping[int, str]] = {
    0x9F26: "Application Cryptogram",
    0x9F4B: "Signed Dynamic Application Data",
}
"""Tag -> name of what is never kept."""

_FORMAT_1: Final = 0x80
_FORMAT_2: Final = 0x77
_PLAIN: Final = (0x8C, 0x8D, 0x97, 0x9F38, 0x9F49, 0x9F4F, 0x90, 0x92, 0x93, 0x9F46, 0x9F48, 0x9F2D)
"""Lists, which name the tags without values, and what RSA has made, where they stand by chance."""
_ISSUER_DATA: Final = 0x9F10
_OWN_DATA: Final = {0x06: 7, 0x07: 8, 0x1F: 8}
"""First byte of 9F10 -> where the issuer's own data begin; UnionPay's behind the algorithm."""
_BALANCE: Final = b"\x0a\x01"
_BALANCE_LENGTH: Final = 7
_MAC: Final = 4
_HEADS: Final = tuple(tlv.tag_bytes(tag) for tag in WITHHELD)


def without_cryptogram(response: bytes) -> bytes:
    """The answer with zeros in place of what is withheld.

    >>> without_cryptogram(bytes.fromhex("77089F26041122334400009000")).hex().upper()
    '77089F26040000000000009000'

    Where the objects cannot be told apart and there may be a cryptogram, the status word alone is left.
    """
    data = bytearray(response[:-2])
    try:
        tlv.decode(bytes(data))
    except DecodeError:
        offers = data[0] in (_FORMAT_1, _FORMAT_2) or any(head in data for head in _HEADS)
        return response[-2:] if offers else response
    for start, stop in _secrets(bytes(data), 0, len(data), 1):
        data[start:stop] = bytes(stop - start)
    return bytes(data) + response[-2:]


def _secrets(data: bytes, start: int, stop: int, depth: int) -> Iterator[tuple[int, int]]:
    """Where what is withheld lies between these bytes."""
    for span in tlv.spans(data, start, stop):
        if span.tag in WITHHELD:
            yield span.value, span.stop
        elif tlv.is_constructed(span.tag) and depth < tlv.MAX_DEPTH:
            yield from _secrets(data, span.value, span.stop, depth + 1)
        else:
            for at in _ends(span.tag, data[span.value : span.stop]):
                yield min(span.value + at, span.stop), span.stop


def _ends(tag: int, value: bytes) -> Iterator[int]:
    """From where on a value is withheld to its end."""
    if tag == _FORMAT_1 and not _is_options(value):
        yield 2
    if tag == _ISSUER_DATA and value and value[0] in _OWN_DATA:
        own = _OWN_DATA[value[0]]
        own += _BALANCE_LENGTH if value[own : own + 2] == _BALANCE else 0
        if len(value) - own >= _MAC:
            yield own
    for head in _HEADS if tag not in _PLAIN else ():  # objects in what is called no template
        found = value.find(head)
        if found >= 0:
            yield found + len(head) + 1


def _is_options(value: bytes) -> bool:
    """Whether these are AIP and AFL, and nothing else."""
    try:
        formats.decode_afl(value[2:])
    except DecodeError:
        return len(value) == 2
    return True
