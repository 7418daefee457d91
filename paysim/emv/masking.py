"""Card numbers in bytes that people are shown: found, and masked.

A number stands in 5A, in track 1 and 2 (56, 57, kernel 2's 9F6B) with the issuer's own digits behind it, and
within the card's certificates, where anyone with the scheme's keys can read it. `hexadecimal` masks all of
them in the hex of any bytes, whole or cut, and besides every number that was met before.

Source: EMV 4.4 Book 3 Annex A; Book 2 6.4 (a certificate holds the PAN). Assumed: six digits and four may be
seen, as on receipts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from paysim.codec import tlv

__all__ = ["HOLDERS", "digits", "hexadecimal", "numbers", "value"]

MASK: Final = "*"

_FIRST: Final = 6
_LAST: Final = 4
_SHORTEST: Final = 12
_PLAIN_OF_TRACK: Final = 7
"""Digits of track 2 that may be seen behind the number: expiry and service code."""
_FEW: Final = 8
"""Half bytes of a certificate that are shown at either end."""

_TRACK_2: Final = re.compile(r"(\d{12,19})D\d\d(?:0[1-9]|1[0-2])\d{3}([\dF]*)", re.ASCII)
_HOLDER: Final = re.compile(r"5A0[6-9A]|57(?:0[6-9A-F]|1[0-3])", re.ASCII)
_WHOLLY: Final = re.compile(r"9F(?:(20|1F)|46|2D)(?:81)?([0-9A-F]{2})", re.ASCII)
_DIGITS: Final = re.compile(r"\d*", re.ASCII)
_TRACK_1: Final = re.compile(r"42((?:3\d){7,19})(5E(?:[2-7][0-9A-F])*)?", re.ASCII)

PAN: Final = 0x5A
TRACK_1: Final = 0x56
TRACK_2: Final = 0x57
KERNEL_2_TRACK: Final = 0x9F6B
OWN_DIGITS: Final = (0x9F1F, 0x9F20)
CERTIFICATES: Final = (0x9F46, 0x9F2D)
PIN_DATA: Final = 0x99

HOLDERS: Final = frozenset({PAN, TRACK_1, TRACK_2, KERNEL_2_TRACK, *OWN_DIGITS, *CERTIFICATES, PIN_DATA})
"""Tags whose values are masked, wholly or in part."""


def digits(number: str) -> str:
    """A card number with six digits and four left to see; fewer of a short one.

    >>> digits("6234569047826143"), digits("12345")
    ('623456******6143', '*****')
    """
    if len(number) < _SHORTEST:
        return MASK * len(number)
    return number[:_FIRST] + MASK * (len(number) - _FIRST - _LAST) + number[-_LAST:]


def value(tag: int, data: bytes, known: Collection[str] = ()) -> str:
    """The value of a data object in hex, what is secret in it masked; `known` are numbers met before.

    >>> value(0x57, bytes.fromhex("6234569047826143D310120100000F"))
    '623456******6143D3101201******'
    """
    text = data.hex().upper()
    return _written(text, {*_of_value(tag, text, 0, len(text)), *_of_known(text, known)})


def hexadecimal(data: bytes, known: Collection[str] = ()) -> str:
    """Any bytes in hex, card numbers and certificates in it masked; `known` are numbers met before.

    >>> hexadecimal(bytes.fromhex("70125A0862345690478261435F24033101319000"))
    '70125A08623456******61435F24033101319000'
    """
    text = data.hex().upper()
    return _written(text, {*_of_objects(data, text, 0, len(data), 1), *_of_known(text, known)})


def numbers(tag: int, data: bytes) -> tuple[str, ...]:
    """The card number that a data object holds, if it holds one.

    >>> numbers(0x5A, bytes.fromhex("6234569047826143"))
    ('6234569047826143',)
    """
    text = data.hex().upper()
    found = ""
    if tag == PAN:
        found = text.rstrip("F")
    elif tag in (TRACK_2, KERNEL_2_TRACK):
        found = text.partition("D")[0] if "D" in text else ""
    elif tag == TRACK_1:
        found = data.decode("latin-1").partition("^")[0][1:]
    return (found,) if found.isascii() and found.isdigit() and len(found) >= _SHORTEST else ()


# Places in the hex, half a byte each. ---------------------------------------------------------------------


def _written(text: str, hidden: Collection[int]) -> str:
    if not hidden:
        return text
    return "".join(MASK if at in hidden else one for at, one in enumerate(text))


def _of_objects(data: bytes, text: str, start: int, stop: int, depth: int) -> Iterator[int]:
    """What the data objects between these bytes hide, those within templates too, and what is behind them."""
    at = start
    for span in tlv.spans(data, start, stop):
        if tlv.is_constructed(span.tag) and depth < tlv.MAX_DEPTH:
            yield from _of_objects(data, text, span.value, span.stop, depth + 1)
        else:
            yield from _of_value(span.tag, text, 2 * span.value, 2 * span.stop)
        at = span.stop
    yield from _of_looks(text, 2 * at, 2 * stop)


def _of_value(tag: int, text: str, start: int, stop: int) -> Iterator[int]:
    """What a value of this tag hides, which lies between these half bytes."""
    inside = text[start:stop]
    if tag == PAN:
        yield from _middle(start, len(inside.rstrip("F")))
    elif tag in (TRACK_2, KERNEL_2_TRACK) and "D" in inside:
        number = inside.index("D")
        yield from _middle(start, number)
        yield from range(start + number + 1 + _PLAIN_OF_TRACK, stop)
    elif tag in CERTIFICATES:
        yield from range(start + _FEW, stop - _FEW)
    elif tag in (TRACK_1, TRACK_2, PIN_DATA, *OWN_DIGITS):
        yield from range(start, stop)
    else:
        yield from _of_looks(text, start, stop)


def _of_looks(text: str, start: int, stop: int) -> Iterator[int]:
    """What is secret by its looks between these half bytes: tracks, and values that are cut."""
    for found in _TRACK_2.finditer(text, start, stop):
        yield from _middle(found.start(1), len(found[1]))
        yield from range(*found.span(2))
    for found in _HOLDER.finditer(text, start, stop):
        if found.start() % 2 == 0:
            yield from _of_cut(text, found, stop)
    for found in _WHOLLY.finditer(text, start, stop):
        if found.start() % 2 == 0:
            end = min(found.end() + 2 * int(found[2], 16), stop)
            yield from range(found.end() + (0 if found[1] else _FEW), end)
    for found in _TRACK_1.finditer(text, start, stop):
        if found[2] and len(found[1]) >= 2 * _SHORTEST:
            yield from range(found.start(1) + 2 * _FIRST, found.end(1) - 2 * _LAST)
            yield from range(found.start(2) + 2, found.end(2))
        elif len(found[1]) >= 2 * _SHORTEST or found.end() == stop:
            yield from range(found.start(1) + 2 * _FIRST, found.end(1))  # cut: nobody knows how it ends


def _of_cut(text: str, head: re.Match[str], stop: int) -> Iterator[int]:
    """What hides behind a tag and length that no object need be around: digits, as many as there are."""
    at, length = head.end(), 2 * int(head[0][2:], 16)
    end = min(at + length, stop)
    found = _DIGITS.match(text, at, end)
    count = len(found[0]) if found else 0
    if at + count == stop < at + length:
        yield from range(at + _FIRST, stop)  # cut: nobody knows how it ends
    elif count >= _SHORTEST:
        yield from _middle(at, count)
        yield from range(at + count + 1 + _PLAIN_OF_TRACK, end)


def _of_known(text: str, known: Collection[str]) -> Iterator[int]:
    """Where numbers that were met before stand again, as digits or as characters."""
    for number in known:
        for places, width in ((number, 1), (number.encode().hex().upper(), 2)):
            for found in re.finditer(re.escape(places), text):
                yield from range(found.start() + width * _FIRST, found.end() - width * _LAST)


def _middle(at: int, length: int) -> range:
    return range(at, at + length) if length < _SHORTEST else range(at + _FIRST, at + length - _LAST)
