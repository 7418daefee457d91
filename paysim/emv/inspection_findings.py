"""What is read of an application of a stranger's card, as bytes, while it is being read.

Cryptogram and signature are among the bytes, for the checks alone: whoever shows them, or keeps them, takes
`withholding` first.

Source: EMV 4.4 Book 3 10.2, 10.3
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from paysim.codec import formats, tlv
from paysim.codec.apdu import OK
from paysim.core.errors import DecodeError

from . import masking

__all__ = ["Found", "Record", "decoded", "objects"]

NAME: Final = 0x84
LABEL: Final = 0x50
PRIORITY: Final = 0x87
AIP: Final = 0x82
AFL: Final = 0x94
STATIC_TAGS: Final = 0x9F4A
LOGS: Final = (0x9F4D, 0xDF4D)
"""Log Entry; PBOC's entry of the log of loads (Assumed): the first byte is the file's SFI."""

TEMPLATE: Final = 0x70
MAX_LABEL: Final = 16
"""Characters of a label. Source: EMV 4.4 Book 3 Annex A (50, 9F12)"""
GOVERNED: Final = 10
"""The last SFI whose records are EMV's. Source: EMV 4.4 Book 3 table 29"""


class Record(NamedTuple):
    """A record that was asked for: its file and number, and the answer."""

    sfi: int
    number: int
    data: bytes
    sw: int = OK

    @property
    def ok(self) -> bool:
        """Whether the card gave it."""
        return self.sw == OK

    @property
    def governed(self) -> bool:
        """Whether it is a record as EMV has them; a file that has others may be the log of payments."""
        span = next(tlv.spans(self.data), None)
        return self.sfi > GOVERNED or (span is not None and span.tag == TEMPLATE)


@dataclass
class Found:
    """An application, by the name under which it is selected."""

    name: bytes
    entry: Mapping[int, bytes] = field(default_factory=dict)
    """Its directory entry."""
    kernel: int = 0
    """0: any, or not known."""
    sw: int = 0
    """The answer to SELECT, and what came with it."""
    fci: bytes = b""
    ours: bool = False
    given: list[bytes] = field(default_factory=list)
    """What GET DATA gave."""
    records: list[Record] = field(default_factory=list)
    """The records that answer without GPO, and those after it."""
    told: bytes = b""
    """The command GET PROCESSING OPTIONS, where it was asked, and the answer."""
    options: bytes = b""
    listed: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    objects: dict[int, bytes] = field(default_factory=dict)
    """All data objects met, the first of each tag."""

    @property
    def names(self) -> tuple[bytes, ...]:
        """The name under which it is selected, and the one that it gives itself."""
        return (self.name, *((self.objects[NAME],) if NAME in self.objects else ()))

    @property
    def label(self) -> str:
        """Its label: what of it can be printed."""
        value = self.entry.get(LABEL) or self.objects.get(LABEL, b"")
        letters = value[:MAX_LABEL].decode("latin-1")
        return "".join(letter for letter in letters if letter.isprintable()).strip()

    @property
    def priority(self) -> int:
        """1 is first; 0: the card says none."""
        value = self.entry.get(PRIORITY) or self.objects.get(PRIORITY, b"")
        return value[0] & 0x0F if value else 0

    @property
    def logs(self) -> frozenset[int]:
        """The files that hold logs of payments."""
        known = {**self.entry, **self.objects}
        return frozenset(known[tag][0] for tag in LOGS if known.get(tag))

    def keep(self, data: bytes) -> None:
        """Remember the objects in these bytes."""
        for tag, value in objects(data).items():
            self.objects.setdefault(tag, value)

    def answers(self) -> Iterator[bytes]:
        """Everything that the card said of it, cryptograms included."""
        yield tlv.encode(tuple(self.entry.items()))
        yield self.fci
        yield from self.given
        yield from (record.data for record in self.records)
        yield self.options
        yield from (record.data for record in self.listed)

    def numbers(self) -> Iterator[str]:
        """The card numbers in it."""
        for data in self.answers():
            for path, value in tlv.walk(decoded(data)):
                yield from masking.numbers(path[-1], value)

    def static_data(self) -> bytes | None:
        """The signed records and the AIP behind them; None where nobody knows which they are, or one lacks.

        Source: EMV 4.4 Book 3 10.3
        """
        read = {(record.sfi, record.number): record.data for record in (*self.records, *self.listed)}
        data = b""
        try:
            listed = formats.decode_afl(self.objects[AFL])
        except (KeyError, DecodeError):
            return None
        for entry in listed:
            for number in range(entry.first, entry.first + entry.authenticated):
                record = read.get((entry.sfi, number))
                if record is None:
                    return None
                span = next(tlv.spans(record), None)
                if entry.sfi <= GOVERNED and (span is None or span.tag != TEMPLATE):
                    return None
                data += record[span.value : span.stop] if entry.sfi <= GOVERNED and span else record
        return data + (self.objects.get(AIP, b"") if STATIC_TAGS in self.objects else b"")


def decoded(data: bytes) -> tlv.Tree:
    """The objects in these bytes, as far as there are any."""
    try:
        return tlv.decode(data)
    except tlv.TlvError as error:
        return error.decoded_so_far or ()  # type: ignore[return-value]


def objects(data: bytes) -> dict[int, bytes]:
    """The same without their templates, the first of each tag.

    >>> objects(bytes.fromhex("6F098407A0000000031010"))[0x84].hex()
    'a0000000031010'
    """
    found: dict[int, bytes] = {}
    for path, value in tlv.walk(decoded(data)):
        found.setdefault(path[-1], value)
    return found
