"""Card numbers in rows of digits: which digits people are not shown. `masking` says where rows are searched.

A number is known by its check digit (13 to 19 digits), or in pieces where it was met before. Six digits and
four may be seen.

Source: ISO/IEC 7812-1 (numbers, check digit)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

__all__ = ["FIRST", "LAST", "Search", "in_bytes", "in_words"]

FIRST: Final = 6
LAST: Final = 4
"""Digits that are shown of a number, at either end."""

_CHECKED: Final = range(13, 20)
"""Digits of a number that is known by its check digit alone."""
_ISSUERS: Final = "234569"
"""What a number of a payment card begins with. Source: ISO/IEC 7812-1 (major industry identifier)"""
_PIECE: Final = 7
"""Digits of a piece by which a number is known again: one more than may be seen."""
_LONGEST: Final = 512
"""Digits in a row that are searched; of more none is shown. Assumed: a short answer has no more."""

_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_PACKED: Final = re.compile(rf"\d{{{_PIECE},}}", re.ASCII)
_WRITTEN: Final = re.compile(rf"\d(?:[ ./\x00-]?\d){{{_PIECE - 1},}}", re.ASCII)


class Search(NamedTuple):
    """What is taken for a number."""

    known: Collection[str] = ()
    """Numbers that were met before."""
    checked: bool = True
    """Digits of which the last is a check digit; as characters they are looked for in any case."""
    anything: bool = False
    """13 digits and more, whatever they are."""


def in_bytes(data: bytes, start: int, stop: int, search: Search) -> Iterator[range]:
    """What is not shown of the bytes from `start` to `stop`, as places in the hex of `data`.

    Digits are looked for two in a byte, at either half of it, and as characters.

    >>> list(in_bytes(bytes.fromhex("DF2008") + bytes.fromhex("6234569047826143"), 3, 11, Search()))
    [range(12, 18)]
    """
    for found in _PACKED.finditer(data[start:stop].hex()):
        at = 2 * start + found.start()
        yield from (range(at + part.start, at + part.stop) for part in _hidden(found[0], search))
    for part in in_words(data[start:stop].decode("latin-1"), search._replace(checked=True)):
        yield range(2 * (start + part.start), 2 * (start + part.stop))


def in_words(words: str, search: Search) -> Iterator[range]:
    """What is not shown of a text, in which digits may stand in groups.

    >>> list(in_words("CARD 6234 5690 4782 6143", Search()))
    [range(12, 14), range(15, 19)]
    """
    for found in _WRITTEN.finditer(words):
        places = [at for at in range(*found.span()) if words[at].isdigit()]
        for part in _hidden("".join(words[at] for at in places), search):
            yield from _whole(places[part.start : part.stop])


def _whole(places: list[int]) -> Iterator[range]:
    """Places as ranges of those that stand together."""
    begun = 0
    for at in range(1, len(places) + 1):
        if at == len(places) or places[at] != places[at - 1] + 1:
            yield range(places[begun], places[at - 1] + 1)
            begun = at


def _hidden(row: str, search: Search) -> Iterator[range]:
    """Which of the digits in a row are not shown."""
    if len(row) > _LONGEST:
        yield range(len(row))
        return
    for number in search.known:
        yield from _of_pieces(row, number)
    if search.checked:
        yield from _of_checked(row)
    first = len(row) - len(row.lstrip("0"))
    if search.anything and len(row) - first >= _CHECKED.start:
        yield range(first + FIRST, len(row) - LAST)


def _of_pieces(row: str, number: str) -> Iterator[range]:
    """The middle of a number that was met before, wherever seven of its digits stand again."""
    for at in range(len(number) - _PIECE + 1):
        piece = number[at : at + _PIECE]
        found = row.find(piece) if len(set(piece)) > 1 else -1
        while found >= 0:
            yield range(found + max(FIRST - at, 0), found + min(len(number) - LAST - at, _PIECE))
            found = row.find(piece, found + 1)


def _of_checked(row: str) -> Iterator[range]:
    """The middle of whatever in the row is a number with its check digit."""
    digits = list(map(int, row))
    for start in range(len(row) - _CHECKED.start + 1):
        if row[start] not in _ISSUERS:
            continue
        found, sums = 0, [0, 0]  # every other digit doubled; the last of an odd count is as the first
        for at, digit in enumerate(digits[start : start + _CHECKED.stop - 1]):
            odd = at % 2
            sums[odd] += digit
            sums[1 - odd] += _DOUBLED[digit]
            if at + 1 in _CHECKED and sums[odd] % 10 == 0:
                found = at + 1
        if found:
            yield range(start + FIRST, start + found - LAST)
