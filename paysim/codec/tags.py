"""The tag dictionary: what a tag is called, how its value is written, who gives it and where it comes.

The same tag means different things in different kernels (9F66 is the reader's qualifiers for kernels 3 and 7,
and part of a magnetic stripe for kernel 2), so the key is the kernel and the tag; kernel 0 is any.

Source: EMV 4.4 Book 3 Annex A; Contactless Books A, C-2, C-3 (the rows are in tags_data.py)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, cast

from paysim.codec.tags_data import ANY, MASTERCARD, UNIONPAY, VISA, Row

__all__ = ["KERNELS", "TAGS", "Format", "Source", "Tag", "look_up"]

Format = Literal["n", "cn", "an", "ans", "b", "template", "dol", "bits"]
Source = Literal["card", "terminal", "issuer"]

KERNELS: Final = (0, 2, 3, 7)
"""Kernels that have rows: any, Mastercard, Visa, UnionPay."""


class Tag(NamedTuple):
    """A data element: `least` and `most` are bytes of its value, `bits` names its table in `bits.FIELDS`.

    Formats: "n" digits, padded by zeros on the left; "cn" digits, padded by F on the right; "an", "ans" text;
    "b" bytes; "bits" bytes of which each bit has a meaning; "dol" tags and lengths; "template" objects.
    """

    number: int
    name: str
    format: Format
    least: int
    most: int
    source: Source
    templates: tuple[int, ...]
    bits: str = ""


def _rows(kernel: int, rows: Sequence[Row]) -> dict[tuple[int, int], Tag]:
    return {
        (kernel, row[0]): Tag(*cast("tuple[int, str, Format, int, int, Source, tuple[int, ...], str]", row))
        for row in rows
    }


TAGS: Final[Mapping[tuple[int, int], Tag]] = {
    **_rows(0, ANY),
    **_rows(2, MASTERCARD),
    **_rows(3, VISA),
    **_rows(7, UNIONPAY),
}
"""(kernel, tag) -> what the data element is. Source: EMV 4.4 Book 3 Annex A; Contactless Books C-2, C-3"""


def look_up(tag: int, kernel: int = 0) -> Tag | None:
    """What this tag is for a kernel: the kernel's own row, else the row of any kernel, else None.

    >>> look_up(0x9F66, 3).name, look_up(0x9F66, 2).name
    ('Terminal Transaction Qualifiers (TTQ)', 'PUNATC (Track 2)')
    """
    return TAGS.get((kernel, tag)) or TAGS.get((0, tag))
