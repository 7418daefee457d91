"""Card numbers, and who holds the card, in bytes and words that people are shown: found, and masked.

A number stands in 5A, in track 1 and 2 (56, 57, kernel 2's 9F6B) with the issuer's own digits behind it, and
within the card's certificates, where anyone with the scheme's keys can read it. Cards put it elsewhere too.
So masked are besides, packed or as characters,

    what passes for a number by its check digit, 13 to 19 digits (not in commands, which we have written,
    nor in what RSA has made)
    13 digits and more where no standard says what they are
    every number that was met before, in pieces of 7 digits and more

and, wholly, the cardholder's name (5F20, 9F0B), his identity card (9F61), the bank account (5F53) and what
names it across cards (9F24). Not found is a number in another writing, one in several pieces that nobody
knows, and one packed among the letters of a text.

Source: EMV 4.4 Book 3 Annex A; Book 2 6.4 (a certificate holds the PAN); ISO/IEC 7812-1 (the check digit).
Assumed: six digits and four may be seen, as on receipts; 9F61 as PBOC cards have it
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from paysim.codec import formats, tlv
from paysim.codec.apdu import Command
from paysim.codec.tags import KERNELS, TAGS, Tag
from paysim.core.errors import DecodeError

from .card_numbers import FIRST, LAST, Search, in_bytes, in_words

__all__ = ["HOLDERS", "PERSONAL", "digits", "hexadecimal", "numbers", "text", "value"]

MASK: Final = "*"

_SHORTEST: Final = 12
_PLAIN_OF_TRACK: Final = 7
"""Digits of track 2 that may be seen behind the number: expiry and service code."""
_FEW: Final = 8
"""Half bytes of a certificate that are shown at either end."""

PAN: Final = 0x5A
TRACK_1: Final = 0x56
TRACK_2: Final = 0x57
KERNEL_2_TRACK: Final = 0x9F6B
OWN_DIGITS: Final = (0x9F1F, 0x9F20)
CERTIFICATES: Final = (0x9F46, 0x9F2D)
PIN_DATA: Final = 0x99
FILE_LOCATOR: Final = 0x94
CVM_LIST: Final = 0x8E
LISTS: Final = (0x8C, 0x8D, 0x97, 0x9F38, 0x9F49, 0x9F4F)

SIGNED: Final = (0x90, 0x93, 0x9F4B)
_LEAST_RSA: Final = 64

_METHODS: Final = frozenset((*range(6), 0x1E, 0x1F))
_CONDITIONS: Final = range(10)
_MOST_MINOR: Final = 0xFFFFFF
"""What a CVM list has. Source: EMV 4.4 Book 3 Annex C3. Assumed: amounts of more are none"""

_TEXT: Final = ("an", "ans")
_WHOLE: Final = range(13, 20)
_NAME: Final = 0x84
_HEADER: Final = 5
_SELECT: Final = 0xA4
_CLASSES: Final = (0x00, 0x04)
_INSTRUCTIONS: Final = bytes.fromhex("16181E2024282A828488A4A8AEB2C0CADADCEA")
"""Source: EMV 4.4 Book 3 table 4; ISO/IEC 7816-4; C-2 5 (2A, EA)"""

PERSONAL: Final = frozenset({0x5F20, 0x9F0B, 0x9F61, 0x5F53, 0x9F24})
"""Tags that tell who holds the card, or which account is behind it; masked wholly."""

HOLDERS: Final = frozenset(
    {PAN, TRACK_1, TRACK_2, KERNEL_2_TRACK, *OWN_DIGITS, *CERTIFICATES, PIN_DATA, *PERSONAL}
)
"""Tags whose values are masked, wholly or in part."""

_TRACK_2: Final = re.compile(r"(\d{12,19})D\d\d(?:0[1-9]|1[0-2])\d{3}([\dF]*)", re.ASCII)
_HOLDER: Final = re.compile(r"5A0[6-9A]|57(?:0[6-9A-F]|1[0-3])", re.ASCII)
_WHOLLY: Final = re.compile(r"(9F46|9F2D|9F(?:1F|20|0B|24|61)|5F(?:20|53))(?:81)?([0-9A-F]{2})", re.ASCII)
_DIGITS: Final = re.compile(r"\d*", re.ASCII)
_TRACK_1: Final = re.compile(r"42((?:3\d){7,19})(5E(?:[2-7][0-9A-F])*)?", re.ASCII)


def digits(number: str) -> str:
    """A card number with six digits and four left to see; fewer of a short one.

    >>> digits("6234569047826143"), digits("12345")
    ('623456******6143', '*****')
    """
    if len(number) < _SHORTEST:
        return MASK * len(number)
    return number[:FIRST] + MASK * (len(number) - FIRST - LAST) + number[-LAST:]


def value(tag: int, data: bytes, known: Collection[str] = ()) -> str:
    """The value of a data object in hex, what is secret in it masked; `known` are numbers met before.

    >>> value(0x57, bytes.fromhex("6234569047826143D310120100000F"))
    '623456******6143D3101201******'
    """
    shown = data.hex().upper()
    return _covered(shown, _of_value(tag, data, shown, 0, len(data), known))


def hexadecimal(data: bytes, known: Collection[str] = ()) -> str:
    """Any bytes in hex, what is secret in them masked; `known` are numbers met before.

    >>> hexadecimal(bytes.fromhex("70125A0862345690478261435F24033101319000"))
    '70125A08623456******61435F24033101319000'
    """
    shown = data.hex().upper()
    if _commands(data):
        return _covered(shown, _of_command(data, shown, known))
    return _covered(shown, _of_answer(data, shown, known))


def text(words: str, known: Collection[str] = ()) -> str:
    """Words for people, numbers in them masked; `known` are numbers met before.

    >>> text("CARD 6234 5690 4782 6143")
    'CARD 6234 56** **** 6143'
    """
    return _covered(words, in_words(words, Search(known, anything=True)))


def numbers(tag: int, data: bytes) -> tuple[str, ...]:
    """The card number that a data object holds, if it holds one.

    >>> numbers(0x5A, bytes.fromhex("6234569047826143"))
    ('6234569047826143',)
    """
    shown = data.hex().upper()
    found = ""
    if tag == PAN:
        found = shown.rstrip("F")
    elif tag in (TRACK_2, KERNEL_2_TRACK):
        found = shown.partition("D")[0] if "D" in shown else ""
    elif tag == TRACK_1:
        found = data.decode("latin-1").partition("^")[0][1:]
    return (found,) if found.isascii() and found.isdigit() and len(found) >= _SHORTEST else ()


# Places in the hex, half a byte each. ---------------------------------------------------------------------


def _covered(shown: str, hidden: Iterable[range]) -> str:
    letters = list(shown)
    for part in hidden:
        letters[part.start : part.stop] = MASK * len(part)
    return "".join(letters)


def _of_command(data: bytes, shown: str, known: Collection[str]) -> Iterator[range]:
    """What a command hides; the name that SELECT gives is the card's own."""
    if data[1] == _SELECT:
        yield from _of_value(_NAME, data, shown, _HEADER, len(data), known)
    else:
        yield from _of_looks(shown, 0, len(shown))
        yield from in_bytes(data, 0, len(data), Search(known, checked=False))


def _of_answer(data: bytes, shown: str, known: Collection[str]) -> Iterator[range]:
    """What data objects hide; where these are none, digits may lie across what looks like some."""
    yield from _of_objects(data, shown, 0, len(data), known)
    try:
        tlv.decode(data)
    except DecodeError:
        yield from in_bytes(data, 0, len(data), Search(known))


def _of_objects(
    data: bytes, shown: str, start: int, stop: int, known: Collection[str], depth: int = 1
) -> Iterator[range]:
    """What the data objects between these bytes hide, those within templates too, and what is behind them."""
    at = start
    for span in tlv.spans(data, start, stop):
        if tlv.is_constructed(span.tag) and depth < tlv.MAX_DEPTH:
            yield from _of_objects(data, shown, span.value, span.stop, known, depth + 1)
        else:
            yield from _of_value(span.tag, data, shown, span.value, span.stop, known)
        at = span.stop
    yield from _of_looks(shown, 2 * at, 2 * stop)


def _of_value(
    tag: int, data: bytes, shown: str, start: int, stop: int, known: Collection[str]
) -> Iterator[range]:
    """What a value of this tag hides, which lies between these bytes."""
    first, end = 2 * start, 2 * stop
    inside = shown[first:end]
    if tag == PAN:
        yield _middle(first, len(inside.rstrip("F")))
    elif tag in (TRACK_2, KERNEL_2_TRACK) and "D" in inside:
        number = inside.index("D")
        yield _middle(first, number)
        yield range(first + number + 1 + _PLAIN_OF_TRACK, end)
    elif tag in CERTIFICATES:
        yield range(first + _FEW, end - _FEW)
    elif tag in (TRACK_1, TRACK_2, PIN_DATA, *OWN_DIGITS, *PERSONAL):
        yield range(first, end)
    elif tag not in LISTS and tag != FILE_LOCATOR:
        yield from _of_looks(shown, first, end)
    yield from in_bytes(data, start, stop, _search(tag, data[start:stop], known))


def _search(tag: int, value: bytes, known: Collection[str]) -> Search:
    """How numbers are looked for in a value: not where its digits are something else."""
    rows = [row for row in _rows(tag) if row.least <= len(value) <= row.most]
    other = _lists(tag, value) or _says(rows, value) or (tag in SIGNED and len(value) >= _LEAST_RSA)
    return Search(known, checked=not other, anything=not rows)


def _of_looks(shown: str, start: int, stop: int) -> Iterator[range]:
    """What is secret by its looks between these half bytes: tracks, and values that are cut."""
    for found in _TRACK_2.finditer(shown, start, stop):
        yield _middle(found.start(1), len(found[1]))
        yield range(*found.span(2))
    for found in _HOLDER.finditer(shown, start, stop):
        if found.start() % 2 == 0:
            yield from _of_cut(shown, found, stop)
    for found in _WHOLLY.finditer(shown, start, stop):
        if found.start() % 2 == 0:
            end = min(found.end() + 2 * int(found[2], 16), stop)
            yield range(found.end() + (_FEW if int(found[1], 16) in CERTIFICATES else 0), end)
    for found in _TRACK_1.finditer(shown, start, stop):
        if found[2] and len(found[1]) >= 2 * _SHORTEST:
            yield range(found.start(1) + 2 * FIRST, found.end(1) - 2 * LAST)
            yield range(found.start(2) + 2, found.end(2))
        elif len(found[1]) >= 2 * _SHORTEST or found.end() == stop:
            yield range(found.start(1) + 2 * FIRST, found.end(1))  # cut: nobody knows how it ends


def _of_cut(shown: str, head: re.Match[str], stop: int) -> Iterator[range]:
    """What hides behind a tag and length that no object need be around: digits, as many as there are."""
    at, length = head.end(), 2 * int(head[0][2:], 16)
    end = min(at + length, stop)
    found = _DIGITS.match(shown, at, end)
    count = len(found[0]) if found else 0
    if at + count == stop < at + length:
        yield range(at + FIRST, stop)  # cut: nobody knows how it ends
    elif count >= _SHORTEST:
        yield _middle(at, count)
        yield range(at + count + 1 + _PLAIN_OF_TRACK, end)


def _middle(at: int, length: int) -> range:
    return range(at, at + length) if length < _SHORTEST else range(at + FIRST, at + length - LAST)


def _rows(tag: int) -> Iterator[Tag]:
    """What the standards say of a tag, kernel by kernel."""
    return filter(None, (TAGS.get((kernel, tag)) for kernel in KERNELS))


def _says(rows: Iterable[Tag], value: bytes) -> bool:
    """Whether a value is text, whose letters in hex pass for digits, and no number from end to end."""
    if not any(row.format in _TEXT for row in rows) or not value.decode("latin-1").isprintable():
        return False
    bare = value.hex().strip("f").lstrip("0")
    return not (bare.isdigit() and len(bare) in _WHOLE)


def _lists(tag: int, value: bytes) -> bool:
    """Whether a value is a file locator or a CVM list, and not only called so."""
    try:
        if tag == FILE_LOCATOR:
            return bool(formats.decode_afl(value))
        if tag != CVM_LIST:
            return False
        found = formats.decode_cvm_list(value)
    except DecodeError:
        return False
    known = all(rule.code & 0x3F in _METHODS and rule.condition in _CONDITIONS for rule in found.rules)
    return known and max(found.x_minor, found.y_minor) <= _MOST_MINOR


def _commands(data: bytes) -> bool:
    """Whether these bytes are a command, and no answer."""
    try:
        asked = Command.decode(data)
    except DecodeError:
        return False
    return asked.cla & 0x7F in _CLASSES and asked.ins in _INSTRUCTIONS
