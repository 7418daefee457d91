"""Bits by the names that the standards give them: "b2.7" is byte 2, bit 7, and bit 8 is 80.

What the bits of a field mean is data, in `FIELDS` (bits_data.py). A row's key says which part of the value it
explains:

    b2.7        one bit, explained where it is set
    b1.8-7=10   some bits of a byte, explained where they have this value (binary)
    b2=03       a whole byte, explained where it has this value (hex)
    b4.8-5      some bits that are a number, shown where it is not zero
    b6          a whole byte that is a number, shown where it is not zero

Source: EMV 4.4 Book 3 Annex C (numbering of bytes and bits)
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

from paysim.codec.bits_data import FIELDS
from paysim.core.errors import UsageError

__all__ = ["FIELDS", "bit", "explain", "set_bit"]

MAX_BYTES: Final = 32
"""Bytes that a bit field has at most. Source: EMV 4.4 Book 3 Annex A (the longest, 9F10)"""

_BITS: Final[dict[str, tuple[int, int]]] = {
    f"b{byte + 1}.{number + 1}": (byte, 1 << number) for byte in range(MAX_BYTES) for number in range(8)
}
_KEY: Final = re.compile(r"b([1-9]\d?)(?:\.([1-8])(?:-([1-8]))?)?(?:=([0-9A-F]+))?", re.ASCII)


def bit(value: bytes, name: str) -> bool:
    """Whether this bit is set; what a short value lacks reads as zeros.

    Raises UsageError for what is no name of a bit.

    >>> bit(bytes.fromhex("0000048001"), "b4.8"), bit(b"", "b1.1")
    (True, False)
    """
    try:
        byte, mask = _BITS[name]
    except (KeyError, TypeError):
        raise _unknown(name) from None
    return byte < len(value) and value[byte] & mask != 0


def set_bit(value: bytes, name: str, on: bool = True) -> bytes:
    """The value with this bit set, or cleared; a value that is too short for a set bit grows by zeros.

    Raises UsageError for what is no name of a bit.

    >>> set_bit(bytes(5), "b3.8").hex(), set_bit(bytes.fromhex("0080"), "b2.8", False).hex()
    ('0000800000', '0000')
    """
    try:
        byte, mask = _BITS[name]
    except (KeyError, TypeError):
        raise _unknown(name) from None
    if byte >= len(value):
        return bytes(value).ljust(byte + 1, b"\x00")[:byte] + bytes((mask,)) if on else bytes(value)
    changed = bytearray(value)
    changed[byte] = changed[byte] | mask if on else changed[byte] & ~mask
    return bytes(changed)


def explain(field: str, value: bytes) -> tuple[str, ...]:
    """What the value of a field says, in words, in the order of the table.

    Never fails on a value: bytes that the table does not know say nothing, and bytes that a short value lacks
    are not explained. Raises UsageError for a field that is not in FIELDS.

    >>> explain("TVR", bytes.fromhex("0000048001"))
    ('online PIN entered', 'floor limit exceeded', 'relay resistance protocol not performed')

    Source: the tables of FIELDS
    """
    try:
        parts = _parts(field)
    except KeyError:
        raise UsageError(f"no field {field!r}; there are {', '.join(FIELDS)}") from None
    words = (part.words(value) for part in parts if part.byte < len(value))
    return tuple(found for found in words if found)


class _Part(NamedTuple):
    """One row of a field's table, ready to be applied."""

    byte: int
    shift: int
    mask: int
    wanted: int | None
    text: str

    def words(self, value: bytes) -> str:
        got = value[self.byte] >> self.shift & self.mask
        if self.wanted is None:
            return f"{self.text}: {got}" if got else ""
        return self.text if got == self.wanted else ""


@cache
def _parts(field: str) -> tuple[_Part, ...]:
    return tuple(_part(key, text) for key, text in FIELDS[field].items())


def _part(key: str, text: str) -> _Part:
    """The part that a key names. The table is ours: a wrong key in it is a slip, and tests look for them."""
    found = _KEY.fullmatch(key)
    if not found:
        raise UsageError(f"{key!r} names no part of a bit field")
    byte, high, low, wanted = found.groups()
    if high is None:
        return _Part(int(byte) - 1, 0, 0xFF, None if wanted is None else int(wanted, 16), text)
    shift = int(low or high) - 1
    mask = (1 << int(high) - shift) - 1
    if low is None and wanted is None:
        return _Part(int(byte) - 1, shift, mask, 1, text)
    return _Part(int(byte) - 1, shift, mask, None if wanted is None else int(wanted, 2), text)


def _unknown(name: object) -> UsageError:
    return UsageError(f"{name!r} is no bit: the first byte's highest is 'b1.8'")
