"""The syntax of merchant-presented EMV QR codes: objects of ID, length and value, and the CRC.

An object is two digits of ID, two digits of length (01 to 99, counted in characters) and a value. Some
objects are templates: their value is objects again. What the values mean is `paysim.qr.merchant`'s duty.

Reading has two gears: `decode` takes the fast one while all is well and shifts to `examine`, which finds
every fault and every place, when anything is not.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from paysim.codec.issue import Issue, issue
from paysim.core.errors import DecodeError, LocalProtocolError

__all__ = ["MAX_DEPTH", "TEMPLATES", "Fields", "Syntax", "crc", "decode", "encode", "examine", "split"]

Fields: TypeAlias = dict[str, Any]
"""Objects by ID, in the order of the code: a text, or again Fields for a template."""

MAX_DEPTH: Final = 4
"""Levels that `encode` writes: root, template, 62.50 to 62.99, and one more (VietQR nests in 38.01)."""

SOURCE: Final = "EMV QRCPS Merchant-Presented Mode 3.2"

TEMPLATES: Final = frozenset(f"{n:02}" for n in (*range(26, 52), 62, 64, *range(80, 100)))
"""Root objects whose value is objects again. Source: EMV QRCPS Merchant-Presented Mode, table 4.1."""

_ADDITIONAL: Final = "62"
_FIRST_PAYMENT_SYSTEM: Final = "50"  # 62.50 to 62.99 are templates again

_ID: Final = {f"{n:02}": f"{n:02}" for n in range(100)}  # one text an ID, whose hash is known
_LENGTH: Final = {f"{n:02}": n for n in range(1, 100)}
_DIGITS: Final = {n: f"{n:02}" for n in range(1, 100)}
_FOUR_HEX: Final = re.compile(r"[0-9A-Fa-f]{4}")


class _Headers(dict[str, tuple[str, int, bool]]):
    """ID, length and "a template at the root" by the four characters that begin an object.

    Legal ones are kept when first met, 9,900 at most; others raise KeyError.
    """

    def __missing__(self, header: str) -> tuple[str, int, bool]:
        ident, length = _ID[header[:2]], _LENGTH[header[2:]]
        found = self[header] = (ident, length, ident in TEMPLATES)
        return found


_HEADERS: Final = _Headers()


class Syntax(NamedTuple):
    """What the syntax of a code gives.

    A template that is broken inside stays text in `fields`; of a repeated object the first counts.
    `whole` is False where reading stopped before the end of the code. `places` has the offset of each
    object by path (`62.01`); it is empty when the fast gear sufficed, and `examine` gives it then.
    """

    fields: Fields
    issues: tuple[Issue, ...]
    whole: bool
    places: Mapping[str, int]


_NOWHERE: Final[Mapping[str, int]] = {}


def crc(text: str) -> str:
    """Four upper-case hexadecimal digits: the CRC over the UTF-8 bytes of `text`, which ends in `6304`.

    >>> crc("123456789")
    '29B1'

    Source: EMV QRCPS Merchant-Presented Mode 4.7.3 (ISO/IEC 13239, polynomial 1021, initial value FFFF)
    """
    return f"{crc_hqx(text.encode('utf-8', 'surrogatepass'), 0xFFFF):04X}"


def split(text: str) -> dict[str, str]:
    """The objects of one level, by ID, in order; templates stay text.

    Raises DecodeError where an ID or a length is not two digits, a length is 00 or longer than what is
    left, or an ID occurs twice.

    >>> split("0012D156000000000510A93FO3230Q")
    {'00': 'D15600000000', '05': 'A93FO3230Q'}

    Source: EMV QRCPS Merchant-Presented Mode 3.2
    """
    try:
        return _level(text)
    except KeyError:
        objects, at, why = _first_fault(text)
        raise DecodeError(why, offset=at, decoded_so_far=objects, source=SOURCE) from None


def _level(text: str) -> dict[str, str]:
    """The objects of one level; any fault is a KeyError."""
    objects: dict[str, str] = {}
    at = count = 0
    end = len(text)
    while at < end:
        start = at + 4
        ident, length, _ = _HEADERS[text[at:start]]
        at = start + length
        objects[ident] = text[start:at]
        count += 1
    if at != end or count != len(objects):
        raise KeyError
    return objects


def _root(text: str) -> Fields:
    """The objects of the root, its templates' inside them; any fault is a KeyError."""
    objects: Fields = {}
    at = count = 0
    end = len(text)
    while at < end:
        start = at + 4
        ident, length, template = _HEADERS[text[at:start]]
        at = start + length
        objects[ident] = _level(text[start:at]) if template else text[start:at]
        count += 1
    if at != end or count != len(objects):
        raise KeyError
    additional = objects.get(_ADDITIONAL)
    if additional is not None and max(additional) >= _FIRST_PAYMENT_SYSTEM:
        for ident in additional:
            if ident >= _FIRST_PAYMENT_SYSTEM:
                additional[ident] = _level(additional[ident])
    return objects


def _first_fault(text: str) -> tuple[dict[str, str], int, str]:
    """What was read before the first fault of one level, where the fault is, and what it is."""
    reading = _Reading()
    objects, _ = reading.level(text, "", 0)
    first = reading.issues[0]
    before = {ident: value for ident, value in objects.items() if reading.places[ident] < first.offset}
    return before, first.offset, first.text


def decode(text: str) -> Syntax:
    """The nested objects of a code, and every fault of its syntax and CRC; it never raises.

    >>> syntax = decode("00020126080004abcd63046B6F")
    >>> syntax.fields
    {'00': '01', '26': {'00': 'abcd'}, '63': '6B6F'}
    >>> [found.code for found in decode("00020126080004abcd").issues]
    ['CRC_MISSING']
    """
    try:
        fields = _root(text)
    except KeyError:
        return examine(text)
    if fields.get("63") == crc(text[:-4]) and next(reversed(fields)) == "63" and text.startswith("00"):
        return Syntax(fields, (), True, _NOWHERE)
    return examine(text)


def examine(text: str) -> Syntax:
    """The same as `decode`, with the place of every object; several times slower.

    >>> examine("00020126080004abcd63046B6F").places
    {'00': 0, '26': 6, '63': 18, '26.00': 10}
    """
    reading = _Reading()
    fields, whole = reading.level(text, "", 0)
    for ident in fields:
        if ident in TEMPLATES:
            reading.template(fields, ident, ident)
    additional = fields.get(_ADDITIONAL)
    if isinstance(additional, dict):
        for ident in additional:
            if ident >= _FIRST_PAYMENT_SYSTEM:
                reading.template(additional, ident, f"{_ADDITIONAL}.{ident}")
    if fields and not text.startswith("00"):
        reading.report("FIRST_NOT_00", next(iter(fields)), 0)
    _check_crc(reading, text, fields, whole)
    return Syntax(
        fields, tuple(sorted(reading.issues, key=lambda found: found.offset)), whole, reading.places
    )


class _Reading:
    """The slow gear: collects issues and places over all levels of one code."""

    def __init__(self) -> None:
        self.issues: list[Issue] = []
        self.places: dict[str, int] = {}

    def report(self, code: str, path: str, offset: int) -> None:
        self.issues.append(issue(code, path, offset))

    def template(self, fields: Fields, ident: str, path: str) -> None:
        """Replaces a template's text by its objects, unless it is empty or broken inside."""
        if fields[ident]:
            inside, whole = self.level(fields[ident], path, self.places[path] + 4)
            if whole:
                fields[ident] = inside

    def level(self, text: str, path: str, base: int) -> tuple[Fields, bool]:
        """The objects of one level, and whether it was read to its end."""
        objects: Fields = {}
        at = 0
        while at < len(text):
            ident = text[at : at + 2]
            inner = f"{path}.{ident}" if path else ident
            fault = _header_fault(text, at)
            if fault:
                code = _at_level(fault, path)
                self.report(code, path or (ident if ident in _ID else ""), base + at)
                return objects, False
            start = at + 4
            length = _LENGTH.get(text[at + 2 : start], 0)
            if not length:
                self.report("ZERO_LENGTH", inner, base + at)
            if ident in objects:
                self.report(_at_level("DUPLICATE_ID", path), inner, base + at)
            else:
                objects[ident] = text[start : start + length]
                self.places[inner] = base + at
            at = start + length
        return objects, True


_IN_TEMPLATE: Final = {"TRUNCATED": "TEMPLATE_{}_TRUNCATED", "DUPLICATE_ID": "DUPLICATE_ID_IN_{}"}


def _at_level(code: str, path: str) -> str:
    """The code as it is called inside a template; its root object's ID names it."""
    return _IN_TEMPLATE.get(code, code).format(path[:2]) if path else code


def _header_fault(text: str, at: int) -> str:
    """What keeps the object at `at` from being read; empty if nothing (a length of 00 can be read)."""
    ident, digits = text[at : at + 2], text[at + 2 : at + 4]
    if len(ident) == 2 and ident not in _ID:
        return "BAD_ID"
    if len(digits) < 2:
        return "TRUNCATED"
    if digits not in _ID:
        return "BAD_LENGTH"
    return "TRUNCATED" if at + 4 + int(digits) > len(text) else ""


def _check_crc(reading: _Reading, text: str, fields: Fields, whole: bool) -> None:
    """Reports what is wrong with object 63. Source: EMV QRCPS Merchant-Presented Mode 4.7.3."""
    if "63" not in fields:
        if whole:
            reading.report("CRC_MISSING", "63", len(text))
        return
    at, value = reading.places["63"], fields["63"]
    if at + 4 + len(value) < len(text):
        reading.report("LAST_NOT_63", "63", at)
    right = crc(text[: at + 4])
    if value != right and value:
        reading.report(_crc_fault(value, right), "63", at)


def _crc_fault(value: str, right: str) -> str:
    if not _FOUR_HEX.fullmatch(value):
        return "CRC_FORMAT"
    return "CRC_LOWERCASE" if value.upper() == right else "CRC_MISMATCH"


def encode(fields: Mapping[str, Any]) -> str:
    """The code that holds these objects: 00 first, the rest in the given order, then the CRC.

    A value is a text of 1 to 99 characters or a mapping (a template). A `63` that is given is replaced.
    Raises LocalProtocolError for what the syntax cannot carry.

    >>> encode({"00": "01", "26": {"00": "abcd"}})
    '00020126080004abcd63046B6F'

    Source: EMV QRCPS Merchant-Presented Mode 3.2, 4.7.3
    """
    if "00" not in fields:
        raise LocalProtocolError("object 00 is missing; every code begins with it", source=SOURCE)
    ordered = {"00": "", **fields}
    ordered.pop("63", None)
    text = _join(ordered, "") + "6304"
    try:
        return text + f"{crc_hqx(text.encode(), 0xFFFF):04X}"
    except UnicodeEncodeError as error:
        raise LocalProtocolError(
            f"not text: a lone surrogate at character {error.start}", source=SOURCE
        ) from None


def _join(fields: Mapping[str, Any], path: str) -> str:
    """One level written; `path` is the template's, with a point behind it."""
    parts = []
    for ident, value in fields.items():
        if value.__class__ is not str:
            value = _inside(value, f"{path}{ident}")
        try:
            parts.append(_ID[ident] + _DIGITS[len(value)] + value)
        except (KeyError, TypeError):
            raise _refusal(f"{path}{ident}", ident, value) from None
    return "".join(parts)


def _inside(value: object, path: str) -> str:
    if isinstance(value, str):
        return str(value)
    if not isinstance(value, Mapping):
        kind = type(value).__name__
        raise LocalProtocolError(f"object {path}: a value is text or a mapping, not {kind}", source=SOURCE)
    if path.count(".") + 2 > MAX_DEPTH:
        raise LocalProtocolError(f"object {path}: more than {MAX_DEPTH} levels", source=SOURCE)
    return _join(value, f"{path}.")


def _refusal(path: str, ident: object, value: str) -> LocalProtocolError:
    if isinstance(ident, str) and ident in _ID:
        return LocalProtocolError(
            f"object {path}: a value has 1 to 99 characters, not {len(value)}", source=SOURCE
        )
    return LocalProtocolError(f"object {path}: an ID is a text of two digits, not {ident!r}", source=SOURCE)
