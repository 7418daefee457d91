"""What an inspection found: a tree for people, and an account of what was and was not done.

Values are explained once all is known of a card, so that a number is masked where it stood before anybody
knew it. Card numbers and who holds the card are masked unless they were to be kept; no cryptogram is in it.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from paysim.codec.status_words import describe
from paysim.crypto.ca_keys import CaKey

from . import masking
from .explain import Explained, Reading
from .inspection_checks import Check, Evidence, check
from .inspection_findings import AFL, Found, Record
from .inspection_gpo import options
from .withholding import WITHHELD, without_cryptogram

__all__ = ["Application", "Report", "applications", "title"]

_PDOL: Final = 0x9F38
_CURRENCY: Final = 0x9F42
_MAC: Final = "MAC "
_PERHAPS: Final = "not shown: there may be a cryptogram among them"
_SIGNED: Final = (0x9F37, 0x9F02, 0x5F2A)
"""What the reader gives to the card's signature."""

_SHORT: Final = (
    ("card", (0x5A, 0x57)),
    ("expires", (0x5F24,)),
    ("issuer's country", (0x5F28,)),
    ("currency", (_CURRENCY,)),
    ("languages", (0x5F2D,)),
    ("counter", (0x9F36,)),
    ("last online at", (0x9F13,)),
    ("PIN tries left", (0x9F17,)),
    ("balance", (0x9F79, 0x9F50)),
    ("supports", (0x82,)),
)
"""What is said of an application first, and in which objects it stands: the first of them that is there."""


@dataclass
class Application:
    """An application of the card; values are explained, card numbers in them masked."""

    name: bytes
    label: str = ""
    priority: int = 0
    """1 is first; 0: the card says none."""
    kernel: int = 0
    """0: any, or not known."""
    sw: int = 0
    """The answer to SELECT."""
    ours: bool = False
    entry: tuple[Explained, ...] = ()
    fci: tuple[Explained, ...] = ()
    data: tuple[Explained, ...] = ()
    records: tuple[Explained, ...] = ()
    told: tuple[Explained, ...] = ()
    options: tuple[Explained, ...] = ()
    signed_records: tuple[Explained, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its label where it has one, and its name (AID)."""
        return title(self.label, self.name)

    def tree(self) -> Explained:
        """Everything about it as one node."""
        priority = f"priority {self.priority}" if self.priority else "no priority"
        kernel = f"kernel {self.kernel:X}" if self.kernel else "any kernel"
        said = (*self.fci, *self.data, *self.records, *self.options, *self.signed_records)
        parts = (
            ("in short", tuple(_in_short(said))),
            ("directory entry", self.entry),
            (f"SELECT: {self.sw:04X} {describe(self.sw)}", self.fci),
            ("GET DATA", self.data),
            ("records that answer without GPO", self.records),
            ("told at GET PROCESSING OPTIONS", self.told),
            ("GET PROCESSING OPTIONS, amount zero", self.options),
            ("records after it", self.signed_records),
            ("checked", tuple(one.explained() for one in self.checks)),
        )
        inside = tuple(Explained(0, name, inside=nodes) for name, nodes in parts if nodes)
        return Explained(0, self.title, "", (priority, kernel, *self.notes), inside)


class Report(NamedTuple):
    """What an inspection found, and what it did and did not do; no cryptogram is in it."""

    applications: tuple[Application, ...]
    pan: str
    """The card's number with its middle masked, empty where no object gave it."""
    ours: bool
    ended: str
    """Why it ended early, empty where it did not."""
    done: tuple[str, ...]
    not_done: tuple[str, ...]

    def tree(self) -> tuple[Explained, ...]:
        """A node for each application, best first."""
        return tuple(one.tree() for one in sorted(self.applications, key=lambda each: each.priority or 16))


def title(label: str, name: bytes) -> str:
    """An application's label where it has one, and its name (AID), which is masked where it is a card number.

    >>> title("VISA CREDIT", bytes.fromhex("A0000000031010"))
    'VISA CREDIT A0000000031010'
    """
    return f"{label} {masking.text(name.hex().upper())}".strip()


def applications(
    found: Sequence[Found],
    values: Mapping[int, bytes],
    ca_keys: Collection[CaKey],
    on: datetime.date,
    *,
    keep_pan: bool,
) -> tuple[Application, ...]:
    """Each application explained and checked; `values` are what the reader told, `on` is the day."""
    numbers = frozenset(number for one in found for number in one.numbers())
    return tuple(
        _Shown(one, numbers, keep_pan=keep_pan).application(_checks(one, values, ca_keys, on))
        for one in found
    )


def _checks(
    found: Found, values: Mapping[int, bytes], ca_keys: Collection[CaKey], on: datetime.date
) -> tuple[Check, ...]:
    reader = {tag: values.get(tag, bytes(6)) for tag in _SIGNED}
    return check(Evidence(found.name[:5], found.objects, found.static_data(), reader), ca_keys, on)


class _Shown:
    """An application made ready to be shown; the numbers of the whole card are known before."""

    def __init__(self, found: Found, numbers: frozenset[str], *, keep_pan: bool) -> None:
        self._found = found
        self._numbers = numbers
        self._keep_pan = keep_pan
        self._reading = Reading(found.kernel, keep_pan=keep_pan, known=numbers)
        if _CURRENCY in found.objects:
            self._reading.value(_CURRENCY, found.objects[_CURRENCY])

    def application(self, checks: tuple[Check, ...]) -> Application:
        """It, explained."""
        found, before = self._found, {record[:3] for record in self._found.records}
        return Application(
            name=found.name,
            label=self._words(found.label),
            priority=found.priority,
            kernel=found.kernel,
            sw=found.sw,
            ours=found.ours,
            entry=tuple(self._value(*node) for node in found.entry.items()),
            fci=self._objects(found.fci),
            data=tuple(node for data in found.given for node in self._objects(data)),
            records=tuple(map(self._record, found.records)),
            told=self._told(),
            options=tuple(self._options()),
            signed_records=tuple(self._record(one) for one in found.listed if one[:3] not in before),
            checks=tuple(one._replace(words=self._words(one.words)) for one in checks),
            notes=tuple(map(self._words, found.notes)),
        )

    def _told(self) -> tuple[Explained, ...]:
        """What the card was told, object by object."""
        if not self._found.told:
            return ()
        reading = Reading(self._found.kernel)
        reading.value(_PDOL, self._found.objects.get(_PDOL, b""))
        return reading.command(self._found.told).inside

    def _options(self) -> Iterator[Explained]:
        found = options(without_cryptogram(self._found.options + b"\x90\x00")[:-2]) or {}
        for tag, value in found.items():
            if tag == AFL and value and not any(value):
                yield Explained(tag, "no AFL", "", (f"{len(value)} bytes, {_PERHAPS}",))
            else:
                yield self._value(tag, value)

    def _record(self, record: Record) -> Explained:
        name = f"SFI {record.sfi}, record {record.number}"
        if not record.ok:
            return Explained(0, name, f"{record.sw:04X}")
        if not record.governed and not self._keep_pan:
            said = f"{len(record.data)} bytes, not shown: no template 70, so perhaps a log of payments"
            return Explained(0, name, "", (said,))
        return Explained(0, name, inside=self._objects(record.data))

    def _objects(self, data: bytes) -> tuple[Explained, ...]:
        kept = without_cryptogram(data + b"\x90\x00")[:-2]
        if data and not kept:
            return (Explained(0, "no data objects", "", (f"{len(data)} bytes, {_PERHAPS}",)),)
        return tuple(map(self._plain, self._reading.objects(kept)))

    def _value(self, tag: int, value: bytes) -> Explained:
        return self._plain(self._reading.value(tag, value))

    def _plain(self, node: Explained) -> Explained:
        """The node without what is withheld."""
        if node.tag in WITHHELD or node.name.startswith(_MAC):
            return Explained(node.tag, WITHHELD.get(node.tag, node.name), "", ("not kept",))
        inside = tuple(map(self._plain, node.inside))
        return node._replace(inside=inside)

    def _words(self, words: str) -> str:
        return words if self._keep_pan else masking.text(words, self._numbers)


def _in_short(nodes: Iterable[Explained]) -> Iterator[Explained]:
    """What is said first: the last word on each of a few objects; what is named in a list has no value."""
    said = {node.tag: "; ".join(node.words) for node in _flat(nodes) if node.value and node.words}
    for name, tags in _SHORT:
        words = next((said[tag] for tag in tags if tag in said), "")
        if words:
            yield Explained(0, name, "", (words,))


def _flat(nodes: Iterable[Explained]) -> Iterator[Explained]:
    for node in nodes:
        yield node
        yield from _flat(node.inside)
