"""Consumer-presented EMV QR codes: the merchant scans what the payer shows.

The text is base64 of BER-TLV: object 85, one or two application templates 61, and with two of them perhaps
a common template 62. A code carries a card number, so no `repr` shows it.

Source: EMV QRCPS Consumer-Presented Mode 1.0, sections 3 and 4.
Assumed: the contents of 63 and 64 (transparent data) are shown as objects where they read as such; templates
that are not known, and what they hold, are never judged; the length of 9F19 is not judged.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from paysim.codec import tlv
from paysim.codec.issue import Issue, issue
from paysim.codec.tlv import Span, Tree
from paysim.core.errors import LocalProtocolError

__all__ = ["OBJECTS", "PAYLOAD_FORMAT", "Application", "ConsumerCode", "Rule", "decode", "encode", "name_of"]

PAYLOAD_FORMAT: Final = b"CPV01"
"""The value of object 85."""


class Rule(NamedTuple):
    """What an object is: its name, the pattern of its value (cn as digits), its length in bytes."""

    name: str
    pattern: str = ""
    least: int = 0
    most: int = 65_535


_ANS: Final = "[ -~]*"
_PAN: Final = "[0-9]{1,19}F?"
_TRACK_2: Final = "[0-9]{1,19}D[0-9]*F?"

# Source: EMV QRCPS Consumer-Presented Mode, tables 3.1 to 3.5; EMV 4.4 Book 3 Annex A for the names.
OBJECTS: Final[dict[int, Rule]] = {
    0x85: Rule("Payload format indicator", "", 5, 5),
    0x61: Rule("Application template"),
    0x62: Rule("Common data template"),
    0x63: Rule("Application specific transparent template"),
    0x64: Rule("Common data transparent template"),
    0x4F: Rule("ADF name (AID)", "", 5, 16),
    0x50: Rule("Application label", _ANS, 1, 16),
    0x57: Rule("Track 2 equivalent data", _TRACK_2, 1, 19),
    0x5A: Rule("PAN", _PAN, 1, 10),
    0x5F20: Rule("Cardholder name", _ANS, 2, 26),
    0x5F2D: Rule("Language preference", _ANS, 2, 8),
    0x5F50: Rule("Issuer URL", _ANS),
    0x82: Rule("Application interchange profile"),
    0x9F08: Rule("Application version number", "", 2, 2),
    0x9F10: Rule("Issuer application data"),
    0x9F19: Rule("Token requestor ID"),
    0x9F24: Rule("Payment account reference", _ANS, 29, 29),
    0x9F25: Rule("Last four digits of PAN", "[0-9]{4}", 2, 2),
    0x9F26: Rule("Application cryptogram"),
    0x9F27: Rule("Cryptogram information data"),
    0x9F36: Rule("Application transaction counter"),
    0x9F37: Rule("Unpredictable number"),
    0x9F74: Rule("Token (QRIS)"),
}
"""The objects of a consumer's code, by tag."""

_COMPRESSED: Final = frozenset({0x57, 0x5A, 0x9F25})  # cn and n: two digits a byte
_PFI, _APPLICATION, _COMMON, _ADF, _TRACK2_TAG, _PAN_TAG = 0x85, 0x61, 0x62, 0x4F, 0x57, 0x5A
_TRANSPARENT: Final = frozenset({0x63, 0x64})
_AT_MOST: Final = {_PFI: 1, _APPLICATION: 2, _COMMON: 1}
_MAX_OPAQUE: Final = 16  # templates of others whose insides may be anything

Found: TypeAlias = Iterator[tuple[str, str, int]]  # issue code, path, offset


@dataclass(frozen=True, slots=True, repr=False)
class Application:
    """One way to pay: an application template together with the common one."""

    own: Tree
    common: Tree = ()

    def value(self, tag: int) -> bytes | None:
        """The bytes of an object, here or in the common template, or None."""
        for tree in (self.own, self.common):
            found = tlv.find(tree, tag)
            if isinstance(found, bytes):
                return found
        return None

    @property
    def aid(self) -> bytes:
        """The ADF name; empty where it is absent."""
        return self.value(_ADF) or b""

    @property
    def label(self) -> str | None:
        """The application label."""
        return self._text(0x50)

    @property
    def name(self) -> str | None:
        """The cardholder's name."""
        return self._text(0x5F20)

    @property
    def languages(self) -> tuple[str, ...]:
        """The cardholder's languages, ISO 639-1, the preferred one first."""
        text = self._text(0x5F2D) or ""
        return tuple(text[at : at + 2] for at in range(0, len(text) - 1, 2))

    @property
    def masked_pan(self) -> str | None:
        """The card number with at most its first six and last four digits, or None."""
        digits = self._pan()
        if digits is None:
            return None
        shown = 6 if len(digits) > 12 else 0
        return digits[:shown] + "*" * (len(digits) - shown - 4) + digits[-4:] if len(digits) > 4 else "****"

    @property
    def last_four(self) -> str | None:
        """The last four digits of the card number: 9F25, or the PAN's own."""
        value = self.value(0x9F25)
        digits = value.hex() if value else self._pan()
        return digits[-4:] if digits else None

    def _pan(self) -> str | None:
        for tag in (_PAN_TAG, _TRACK2_TAG):
            value = self.value(tag)
            if value:
                return re.split("[^0-9]", value.hex(), maxsplit=1)[0]
        return None

    def _text(self, tag: int) -> str | None:
        value = self.value(tag)
        return None if value is None else value.decode("ascii", "backslashreplace")

    def __repr__(self) -> str:
        return f"Application(aid={self.aid.hex().upper()!r}, label={self.label!r}, pan={self.masked_pan!r})"


@dataclass(frozen=True, slots=True, repr=False)
class ConsumerCode:
    """A payer's code, read: its objects (`tree`, see `paysim.codec.tlv`) and what is wrong with it.

    `issues` stand in order of position; offsets count bytes of the TLV.
    """

    text: str
    tree: Tree
    issues: tuple[Issue, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether there is no issue."""
        return not self.issues

    @property
    def tlv(self) -> list[dict[str, Any]]:
        """The objects as `{"tag", "value"}`, values in hexadecimal or again a list."""
        return _shown(self.tree)

    @property
    def applications(self) -> tuple[Application, ...]:
        """The application templates, in the payer's order, those without a legal AID left out."""
        common = next((value for tag, value in self.tree if tag == _COMMON), ())
        found = (Application(value, common) for tag, value in self.tree if tag == _APPLICATION)
        rule = OBJECTS[_ADF]
        return tuple(one for one in found if rule.least <= len(one.aid) <= rule.most)

    @property
    def aids(self) -> tuple[bytes, ...]:
        """The AIDs of the applications."""
        return tuple(one.aid for one in self.applications)

    @property
    def label(self) -> str | None:
        """The first application's label."""
        return self._first("label")

    @property
    def name(self) -> str | None:
        """The cardholder's name."""
        return self._first("name")

    @property
    def masked_pan(self) -> str | None:
        """The first application's card number, masked."""
        return self._first("masked_pan")

    def _first(self, name: str) -> str | None:
        return next((value for one in self.applications if (value := getattr(one, name)) is not None), None)

    def __repr__(self) -> str:
        issues = [found.code for found in self.issues]
        return f"ConsumerCode(applications={list(self.applications)!r}, issues={issues!r})"


def _shown(tree: Tree) -> list[dict[str, Any]]:
    return [
        {"tag": tlv.name(tag), "value": value.hex().upper() if isinstance(value, bytes) else _shown(value)}
        for tag, value in tree
    ]


def name_of(tag: int | str) -> str:
    """What an object is called; empty for a tag that is not known.

    >>> name_of("5F20"), name_of(0x4F)
    ('Cardholder name', 'ADF name (AID)')
    """
    rule = OBJECTS.get(int(tag, 16) if isinstance(tag, str) else tag)
    return rule.name if rule else ""


def decode(text: str) -> ConsumerCode:
    """The code that a text holds; it never raises, whatever is wrong becomes an issue.

    >>> code = decode("hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8=")
    >>> code.valid, code.applications[0].masked_pan
    (True, '123456******3458')

    Source: EMV QRCPS Consumer-Presented Mode 3
    """
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        code = "BAD_BASE64" if text.startswith("hQ") else "NOT_EMV_CPM"
        return ConsumerCode(text, (), (issue(code, "", 0),))
    tree, broken = _tree(data)
    if not data.startswith(b"\x85"):
        return ConsumerCode(text, tree, (issue("NOT_EMV_CPM", "", 0),))
    found = [issue(*one) for one in (*broken, *_faults(tree, data, whole=not broken))]
    return ConsumerCode(text, tree, tuple(sorted(found, key=lambda one: one.offset)))


def encode(code: ConsumerCode | Sequence[Any]) -> str:
    """The text of a code: base64 of its objects.

    Takes a ConsumerCode, a tree, or the shape of `ConsumerCode.tlv`; what the objects mean is not judged.
    Raises LocalProtocolError for what BER-TLV cannot carry.

    >>> encode([{"tag": "85", "value": "4350563031"}])
    'hQVDUFYwMQ=='
    """
    tree = code.tree if isinstance(code, ConsumerCode) else tuple(map(_node, code))
    return binascii.b2a_base64(tlv.encode(tree), newline=False).decode()


def _node(item: Any) -> tuple[int, Any]:
    if not isinstance(item, Mapping):
        return (item[0], item[1])
    try:
        value = item["value"]
        return int(item["tag"], 16), bytes.fromhex(value) if isinstance(value, str) else tuple(
            map(_node, value)
        )
    except (KeyError, ValueError, TypeError) as error:
        raise LocalProtocolError(f"an object is a tag and a value in hexadecimal: {error}") from None


# --- reading ---------------------------------------------------------------------------------------------


def _tree(data: bytes) -> tuple[Tree, list[tuple[str, str, int]]]:
    """The objects, and the fault of syntax if there is one; the insides of unknown templates are free."""
    opaque = set(_TRANSPARENT)
    while True:
        try:
            return _opened(tlv.decode(data, opaque=opaque)), []
        except tlv.TlvError as error:
            around = [int(tag, 16) for tag in error.path.split(".") if tag]
            free = next((tag for tag in around if tag not in (_APPLICATION, _COMMON)), 0)
            if not free or len(opaque) > _MAX_OPAQUE:
                known = around and around[0] in (_APPLICATION, _COMMON) and error.code == "TRUNCATED"
                code = f"TEMPLATE_{around[0]:02X}_TRUNCATED" if known else error.code
                so_far: Any = error.decoded_so_far
                return _opened(so_far), [(code, error.path, error.offset)]
            opaque.add(free)


def _opened(tree: Tree) -> Tree:
    """The tree with the transparent templates opened, where their bytes are exactly objects."""
    return tuple(
        (
            tag,
            _opened(value) if isinstance(value, tuple) else _objects(value) if tag in _TRANSPARENT else value,
        )
        for tag, value in tree
    )


def _objects(value: bytes) -> Tree | bytes:
    try:
        inside = tlv.decode(value)
        return inside if inside and tlv.encode(inside) == value else value
    except tlv.TlvError:
        return value


def _faults(tree: Tree, data: bytes, *, whole: bool) -> Found:
    """Every deviation in what the objects mean, as issue code, path and offset."""
    common: Tree = next((value for tag, value in tree if tag == _COMMON and isinstance(value, tuple)), ())
    shared = {tag for tag, value in common if isinstance(value, bytes)}
    count = dict.fromkeys(_AT_MOST, 0)
    for (tag, value), span in zip(tree, tlv.spans(data), strict=False):
        if tag in count:
            count[tag] += 1
            if count[tag] > _AT_MOST[tag]:
                yield "DUPLICATE_ID", tlv.name(tag), span.start
        if tag == _PFI and value != PAYLOAD_FORMAT:
            yield "PFI_VALUE", "85", span.start
        elif tag == _APPLICATION and whole:
            yield from _application_faults(value, shared, span)
        if tag in (_APPLICATION, _COMMON):
            yield from _template_faults(tag, value, data, span)
            if tag == _APPLICATION:
                yield from _shared_faults(value, shared, data, span)
    if not count[_APPLICATION] and whole:
        yield "NO_APPLICATION_TEMPLATE", "61", len(data)


def _application_faults(inside: Tree, shared: set[int], span: Span) -> Found:
    """What an application template must hold. Source: EMV QRCPS Consumer-Presented Mode, table 3.2."""
    tags = {tag for tag, _ in inside}
    if _ADF not in tags:
        yield "NO_ADF_NAME", "61", span.start
    if tags.isdisjoint((_PAN_TAG, _TRACK2_TAG)) and shared.isdisjoint((_PAN_TAG, _TRACK2_TAG)):
        yield "NO_PAN_OR_TRACK2", "61", span.start


def _template_faults(template: int, inside: Tree, data: bytes, span: Span) -> Found:
    """The values in a 61 or 62, and primitive objects that occur twice there."""
    above = tlv.name(template)
    seen: set[int] = set()
    for (tag, value), place in zip(inside, tlv.spans(data, span.value, span.stop), strict=False):
        path = f"{above}.{tlv.name(tag)}"
        if not isinstance(value, bytes):
            continue
        if tag in seen:
            yield f"DUPLICATE_ID_IN_{above}", path, place.start
        seen.add(tag)
        for code in _value_faults(tag, value, above):
            yield code, path, place.start


def _value_faults(tag: int, value: bytes, above: str) -> Iterator[str]:
    rule = OBJECTS.get(tag)
    if rule is None:
        return
    if not rule.least <= len(value) <= rule.most:
        yield "ADF_LENGTH" if tag == _ADF else f"LENGTH_{above}_{tlv.name(tag)}"
    text = value.hex().upper() if tag in _COMPRESSED else value.decode("latin-1")
    if rule.pattern and not re.fullmatch(rule.pattern, text):
        yield f"FORMAT_{above}"


def _shared_faults(inside: Tree, shared: set[int], data: bytes, span: Span) -> Found:
    for (tag, _), place in zip(inside, tlv.spans(data, span.value, span.stop), strict=False):
        if tag in shared:
            yield "DUPLICATE_IN_61_AND_62", f"61.{tlv.name(tag)}", place.start
