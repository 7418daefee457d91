"""The trace of a tap for people: each APDU with its data objects explained, each decision and why.

Card numbers are masked unless they are to be kept. Lines are as wide as asked for; what is longer goes on
below, further in.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from paysim.codec.bits import explain
from paysim.drivers.dialogue import Exchange, numbers
from paysim.emv.explain import Explained, Reading
from paysim.emv.outcome import Cvm, Result, Status

__all__ = [
    "WIDTH",
    "Line",
    "as_object",
    "decided",
    "lines",
    "node_lines",
    "objects",
    "result_rows",
    "shown",
    "text",
]

WIDTH: Final = 100
"""Columns where nobody says how wide the page is."""

_SHOWN_BYTES: Final = 24
"""A value of more bytes is shown by its beginning, one with parts and half as many not at all."""

_HEX_A_LINE: Final = 64
_WHO: Final = {
    "decision": "terminal",
    "card": "card",
    "issuer": "issuer",
    "shown": "display",
}
_TIMED: Final = ("command", "response")
_STEP_WIDTH: Final = 12


class Line(NamedTuple):
    """A line of the trace: `kind` is the exchange's it belongs to, `head` says that it begins one."""

    kind: str
    text: str
    head: bool = False


class _Place(NamedTuple):
    """Where in a trace: behind which kind of line, at which command, and when that left."""

    before: str = ""
    command: int = 0
    sent_us: int = 0


def lines(trace: Iterable[Exchange], *, keep_pan: bool = False, width: int = WIDTH) -> Iterator[Line]:
    """The lines of a trace, in its order."""
    trace = tuple(trace)
    reading = Reading(keep_pan=keep_pan, known=numbers(trace))
    at = _Place()
    for one in trace:
        if one.kind == "command":
            at = at._replace(command=at.command + 1, sent_us=one.at_us)
            yield Line("command", "")
        elif one.kind == "answer":
            yield Line("answer", "")
        yield from _exchange(one, reading, at, width)
        at = at._replace(before=one.kind)


def text(trace: Iterable[Exchange], *, keep_pan: bool = False, width: int = WIDTH) -> str:
    """The trace as one text."""
    return "\n".join(line.text for line in lines(trace, keep_pan=keep_pan, width=width))


def objects(trace: Iterable[Exchange], *, keep_pan: bool = False) -> Iterator[dict[str, Any]]:
    """The trace as JSON objects, for programs: each exchange, its bytes in hex, what they say.

    `at_us` is when it was, in microseconds from the tap's beginning.
    """
    trace = tuple(trace)
    reading = Reading(keep_pan=keep_pan, known=numbers(trace))
    for one in trace:
        head = {"kind": one.kind, **({"at_us": one.at_us} if one.kind in _TIMED else {})}
        if one.kind == "command":
            yield {**head, **as_object(reading.command(one.data))}
        elif one.kind == "response" and not one.step:
            yield {**head, **as_object(reading.response(one.data))}
        elif one.kind == "answer":
            nodes = [as_object(node) for node in reading.objects(one.data)]
            yield {**head, "value": reading.hex(one.data), "inside": nodes}
        else:
            yield {**head, **({"step": one.step} if one.step else {}), "text": one.text}


def as_object(node: Explained) -> dict[str, Any]:
    """Something explained as a JSON object; what is empty is left out."""
    found: dict[str, Any] = {
        "tag": node.label,
        "name": node.name,
        "value": node.value,
        "words": list(node.words),
        "faults": list(node.faults),
    }
    found["inside"] = [as_object(inner) for inner in node.inside]
    return {name: value for name, value in found.items() if value}


def _exchange(one: Exchange, reading: Reading, at: _Place, width: int) -> Iterator[Line]:
    took = f"  {(one.at_us - at.sent_us) / 1000:.1f} ms" if one.at_us > at.sent_us else ""
    if one.kind == "command":
        found = reading.command(one.data)
        head = " ".join((f"{at.command:>2} > {found.name}", *found.words, *found.faults))
        yield from _apdu(one.kind, head, found, width)
    elif one.kind == "response" and one.step:
        yield Line(one.kind, f"   < {one.text} ({one.step}){took}", head=True)
    elif one.kind == "response":
        found = reading.response(one.data)
        words = ", ".join((*found.words, *found.faults))
        yield from _apdu(one.kind, f"   < {found.name} {words}{took}", found, width)
    elif one.kind == "answer":
        yield Line(one.kind, "   the issuer's answer", head=True)
        for node in reading.objects(one.data):
            yield from (Line(one.kind, row) for row in node_lines(node, 5, width))
    else:
        who = "" if one.kind == at.before else _WHO.get(one.kind, one.kind)
        first = f"   {who:<9} {one.step:<{_STEP_WIDTH if one.kind == 'issuer' else 4}} "
        yield from (Line(one.kind, row) for row in _wrapped(first, one.text, len(first), width))


def _apdu(kind: str, head: str, found: Explained, width: int) -> Iterator[Line]:
    yield Line(kind, head, head=True)
    for at in range(0, len(found.value), _HEX_A_LINE):
        yield Line(kind, f"     {found.value[at : at + _HEX_A_LINE]}")
    for node in found.inside:
        yield from (Line(kind, row) for row in node_lines(node, 7, width))


def node_lines(node: Explained, indent: int = 0, width: int = WIDTH) -> Iterator[str]:
    """The lines of something explained: tag, name, value, words; what is inside further in."""
    label = f"{node.label:<5} " if node.label else ""
    first = f"{' ' * indent}{label}{node.name}"
    said = [part for part in (shown(node), "; ".join((*node.words, *node.faults))) if part]
    if said:
        yield from _wrapped(f"{first}: ", "  ".join(said), indent + 8, width)
    else:
        yield first
    for inner in node.inside:
        yield from node_lines(inner, indent + 2, width)


def shown(node: Explained) -> str:
    """A value's hex for people: by its beginning where it is long, and none where the words say the same."""
    if node.words and _repeats(node.value, node.words[0]):
        return ""
    if len(node.value) <= (_SHOWN_BYTES if node.inside else 2 * _SHOWN_BYTES):
        return node.value
    return "" if node.inside else f"{node.value[:_SHOWN_BYTES]}..."


def _repeats(value: str, words: str) -> bool:
    """Whether the words begin with the value itself: its digits, or its characters."""
    if value == words:
        return True
    try:
        characters = bytes.fromhex(value).decode("ascii").strip()
    except ValueError:
        return False
    return bool(characters) and words.startswith(characters)


def _wrapped(first: str, words: str, indent: int, width: int) -> Sequence[str]:
    """`first` and the words behind it, going on below at `indent` where the line is full."""
    return textwrap.wrap(
        words,
        max(width, indent + 30),
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [first.rstrip()]


# The reader's outcome. ------------------------------------------------------------------------------------

_CVM: Final = {
    Cvm.NONE: "none asked for",
    Cvm.SIGNATURE: "signature",
    Cvm.ONLINE_PIN: "online PIN",
    Cvm.CONFIRMATION_CODE: "confirmed on the device",
    Cvm.NA: "not decided",
}
_STATUS: Final = {status: status.name.lower().replace("_", " ") for status in Status}


def result_rows(result: Result) -> Iterator[tuple[str, str]]:
    """What a reader's outcome says, as names and words: status, why, kernel, cardholder, TVR and TSI."""
    yield "outcome", _STATUS[result.status]
    yield "why", result.why
    if result.kernel:
        yield "kernel", f"{result.kernel:X}, {result.adf_name.hex().upper()}"
    yield "cardholder", _CVM[result.cvm]
    for name, value in (("TVR", result.tvr), ("TSI", result.tsi)):
        yield name, f"{value.hex().upper()}  {'; '.join(explain(name, value)) or 'nothing set'}"


def decided(result: Result) -> dict[str, Any]:
    """What a reader decided, for the facts: outcome, kernel, why, CVM, TVR, counter; nothing secret."""
    record = result.data_record or {}
    counter, information = record.get(0x9F36, b""), record.get(0x9F27, b"")
    return {
        "outcome": result.status.name,
        "kernel": result.kernel,
        "why": result.why,
        "cvm": result.cvm.name,
        "tvr": result.tvr.hex().upper(),
        **({"counter": int.from_bytes(counter)} if counter else {}),
        **({"cryptogram": explain("CID", information)[0]} if information else {}),
    }
