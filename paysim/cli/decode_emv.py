"""What can be said of a card's bytes: APDUs, data objects, single values, recorded taps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from paysim.codec import tlv
from paysim.codec.apdu import Command
from paysim.codec.bits import FIELDS, explain
from paysim.codec.status_words import STATUS_WORDS
from paysim.codec.tags import KERNELS, TAGS, look_up
from paysim.core.errors import DecodeError, LocalProtocolError
from paysim.drivers import session
from paysim.emv.explain import Explained, Reading
from paysim.emv.explain_commands import COMMANDS
from paysim.emv.reader import Purchase
from paysim.sandbox import trace

__all__ = ["Read", "read", "read_hex"]

_VALUE: Final = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9. ]{0,31}?)\s*=((?:[\s:]*[0-9A-Fa-f]{2})*)\s*", re.ASCII
)
_HEX: Final = re.compile(r"\s*(?:0[xX])?((?:[\s:]*[0-9A-Fa-f]{2})+)\s*", re.ASCII)
_MAX_BYTES: Final = 65_600
_SHORT_FORM: Final = re.compile(r"\(([A-Z][A-Za-z0-9]{1,9})\)$")
_SURE: Final = frozenset({0xA4, 0xA8, 0xAE, 0xB2, 0xCA})
"""Instructions that name a command even where its lengths are wrong."""

Row = tuple[str, str, str]
Fault = tuple[str, str, int, str]


class Read(NamedTuple):
    """What bytes are: kind, faults (code, path, offset, words), fields for programs, rows for people."""

    kind: str
    faults: tuple[Fault, ...]
    fields: Any
    title: str = ""
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()


def read(text: str) -> Read | None:
    """What a text is that says itself what it is: a recorded tap, or NAME=HEX; None for any other."""
    if session.is_session(text):
        return _session(text)
    found = _VALUE.fullmatch(text)
    if found is None:
        return None
    return _value(found[1], _bytes(found[2]))


def read_hex(text: str) -> Read | None:
    """What hex is: a command, else an answer, else data objects; None for what is none of them."""
    found = _HEX.fullmatch(text) if len(text) <= 3 * _MAX_BYTES else None
    if found is None:
        return None
    data = _bytes(found[1])
    return _command(data) or _response(data) or _objects(data)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(re.sub(r"[\s:]", "", text))


# APDUs and data objects. ----------------------------------------------------------------------------------


def _command(data: bytes) -> Read | None:
    if len(data) < 4 or (data[0], data[1]) not in COMMANDS:
        return None
    try:
        Command.decode(data)
    except DecodeError:
        if data[1] not in _SURE:
            return None
    return _explained("emv.command", lambda reading: (reading.command(data),))


def _response(data: bytes) -> Read | None:
    sw = int.from_bytes(data[-2:])
    known = sw in STATUS_WORDS or sw >> 8 in (0x61, 0x6C) or sw & 0xFFF0 == 0x63C0
    if len(data) < 2 or not known or not _is_objects(data[:-2]):
        return None
    return _explained("emv.response", lambda reading: (reading.response(data),))


def _is_objects(data: bytes) -> bool:
    try:
        tlv.decode(data)
    except DecodeError:
        return False
    return True


def _objects(data: bytes) -> Read | None:
    """Data objects: whole ones of which one is known, or cut ones that begin with a known one."""
    try:
        tree = tlv.decode(data)
    except tlv.TlvError as error:
        tree = error.decoded_so_far  # type: ignore[assignment]
        try:
            first, _ = tlv.read_tag(data)
        except DecodeError:
            return None
        if not _is_known(first) or not (tree or tlv.is_constructed(first) or first > 0xFF):
            return None
    else:
        if not any(_is_known(tag) for tag, _ in tree):
            return None
    return _explained("emv.tlv", lambda reading: reading.objects(data))


def _is_known(tag: int) -> bool:
    return any((kernel, tag) in TAGS for kernel in KERNELS)


def _explained(kind: str, explained: Any, title: str = "") -> Read:
    shown: tuple[Explained, ...] = explained(Reading())
    whole: tuple[Explained, ...] = explained(Reading(keep_pan=True))
    rows = [row for node in shown for row in _rows(node)]
    faults = [fault for node in shown for fault in _faults(node)]
    return Read(kind, tuple(faults), [trace.as_object(node) for node in whole], title, tuple(rows))


def _rows(node: Explained, above: str = "") -> Iterator[Row]:
    path = ".".join(filter(None, (above, node.label)))
    words = "; ".join((*node.words, *node.faults))
    object = path if node.tag or node.faults else ""
    value = "" if node.value == node.name else trace.shown(node)
    yield object, node.name, "  ".join(filter(None, (value, words)))
    for inner in node.inside:
        yield from _rows(inner, path)


def _faults(node: Explained, above: str = "") -> Iterator[Fault]:
    path = ".".join(filter(None, (above, node.label)))
    for words in node.faults:
        found = re.search(r"offset (\d+)\)$", words)
        yield "BAD_VALUE" if node.tag else "BAD_BYTES", path, int(found[1]) if found else 0, words
    for inner in node.inside:
        yield from _faults(inner, path)


# One value. -----------------------------------------------------------------------------------------------


def _value(name: str, data: bytes) -> Read | None:
    tag = _tag(name)
    if tag:
        return _tagged(tag, data)
    field = next((known for known in FIELDS if known.casefold() == name.casefold()), None)
    return None if field is None else _field(field, data)


def _tag(name: str) -> int:
    """The tag that a name means: its hex, or the short form of its name (TVR, IAD, AFL); 0 for none."""
    short = _SHORT_FORMS.get(name.upper())
    if short:
        return short
    try:
        tag = int.from_bytes(bytes.fromhex(name))
        tlv.tag_bytes(tag)
    except (ValueError, LocalProtocolError):
        return 0
    return tag


def _short_forms() -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, tag), row in TAGS.items():
        short = _SHORT_FORM.search(row.name)
        if short:
            found.setdefault(short[1].upper(), tag)
    return found


_SHORT_FORMS: Final = _short_forms()


def _tagged(tag: int, data: bytes) -> Read:
    """A value by its tag: each meaning that a kernel gives it, and where some are right, those alone."""
    kernels = [kernel for kernel in KERNELS if (kernel, tag) in TAGS] or [0]

    def explained(reading: Reading) -> tuple[Explained, ...]:
        meanings: dict[Explained, list[int]] = {}
        for kernel in kernels:
            mine = Reading(kernel, keep_pan=reading.keep_pan)
            node = mine.value(tag, data)
            if tlv.is_constructed(tag):
                node = Explained(tag, node.name, inside=mine.objects(data))
            meanings.setdefault(_by_bits(node, kernel), []).append(kernel)
        right = {node: those for node, those in meanings.items() if not any(_faults(node))}
        return tuple(_of_kernels(node, those) for node, those in (right or meanings).items())

    return _explained("emv.value", explained)


def _of_kernels(node: Explained, kernels: list[int]) -> Explained:
    if 0 in kernels:
        return node
    some = "kernels" if len(kernels) > 1 else "kernel"
    return node._replace(name=f"{node.name} ({some} {' and '.join(map(str, kernels))})")


def _by_bits(node: Explained, kernel: int) -> Explained:
    """A bit field with a part for each thing that it says."""
    row = look_up(node.tag, kernel)
    if row is None or not row.bits or len(node.words) < 2:
        return node
    return node._replace(words=(), inside=tuple(Explained(0, words) for words in node.words))


def _field(field: str, data: bytes) -> Read:
    words = explain(field, data) or ("nothing set",)
    node = Explained(0, field, data.hex().upper(), (), tuple(Explained(0, one) for one in words))
    return _explained("emv.value", lambda _: (node,))


# A recorded tap. ------------------------------------------------------------------------------------------


def _session(text: str) -> Read:
    try:
        found = session.decode(text)
    except session.SessionError as error:
        return Read("tap.session", (("BAD_SESSION", f"line {error.line}", 0, str(error)),), {})
    commands = sum(one.kind == "command" for one in found.trace)
    if isinstance(found, session.CardRecord):
        kind, said, fields = "tap.card", _card_rows(found), {"on": str(found.on), "masked": found.masked}
        hint = "`paysim tap --replay` reads it again"
    else:
        kind, said = "tap.session", _payment_rows(found)
        fields = {"amount_minor": found.purchase.amount_minor, "outcome": dict(found.outcome)}
        hint = "`paysim tap --replay` plays it"
    rows = (*(("", name, words) for name, words in said.items()), ("", "commands", str(commands)))
    fields["trace"] = list(trace.objects(found.trace, keep_pan=True))
    notes = ("", *trace.text(found.trace).split("\n"))
    return Read(kind, (), fields, hint, rows, notes)


def _payment_rows(found: session.Session) -> dict[str, str]:
    kernels = {one.kernel for rows in found.reader.combinations.values() for one in rows}
    return {
        "amount": "; ".join(Reading().objects(_amount(found.purchase))[-1].words),
        "when": f"{found.purchase.date} {found.purchase.time}",
        "kernels": ", ".join(f"{kernel:X}" for kernel in sorted(kernels)),
        "outcome": " ".join(filter(None, map(found.outcome.get, ("outcome", "text")))) or "none",
    }


def _card_rows(found: session.CardRecord) -> dict[str, str]:
    return {
        "card": f"{found.kind}, read and not charged",
        "when": str(found.on),
        **({"ATR": found.atr.hex().upper()} if found.atr else {}),
        "numbers": "masked" if found.masked else "whole",
    }


def _amount(purchase: Purchase) -> bytes:
    """The currency and the amount as data objects, which say themselves in words."""
    elements = purchase.elements()
    return tlv.encode([(tag, elements[tag]) for tag in (0x5F2A, 0x9F02)])
