"""EMV's bytes in words: any tag's value by its format, and the commands and answers of a card.

An `Explained` is a node of a tree: a tag with its name, its value in hex, what the value says, and what is
inside. Any bytes are explained; what is wrong with them is one of the words. A `Reading` follows one card: it
remembers which application was selected, so which kernel's meaning of a tag holds, and the lists that the
card has sent, so that the data of a command can be told apart. Card numbers are masked unless it is told to
keep them; a PIN is never shown.

    >>> Reading().value(0x9F02, bytes.fromhex("000000000990")).words
    ('9.90',)
    >>> Reading().value(0x5A, bytes.fromhex("6234569047826143")).value
    '623456******6143'

Source: EMV 4.4 Book 3 Annex A, Annex C; Book 1 11 and Book 3 6.5 (commands)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from paysim.codec import dol, tlv
from paysim.codec.apdu import Command, Response
from paysim.codec.status_words import describe
from paysim.codec.tags import Tag, look_up
from paysim.core.errors import DecodeError

from . import masking
from .explain_commands import COMMANDS, Named
from .explain_values import Known, words_of
from .selection import KERNELS_BY_RID

__all__ = ["Explained", "Reading"]

_PDOL: Final = 0x9F38
_CDOL_1: Final = 0x8C
_CDOL_2: Final = 0x8D
_LISTS: Final = (_PDOL, _CDOL_1, _CDOL_2, 0x9F49, 0x9F69)
_CURRENCIES: Final = (0x5F2A, 0x9F42)
_COMMAND_TEMPLATE: Final = 0x83
_FORMAT_1: Final = 0x80
_SCRIPT_COMMAND: Final = 0x86
_ISSUER_APPLICATION_DATA: Final = 0x9F10
_NUMBER: Final = "not shown: there may be a card number in it"


class Explained(NamedTuple):
    """Something explained: its tag (0 for what has none), name, value in hex, words, and what is inside.

    `faults` say what is wrong with the value itself.
    """

    tag: int
    name: str
    value: str = ""
    words: tuple[str, ...] = ()
    inside: tuple[Explained, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The tag as people write it, empty for what has none."""
        return tlv.name(self.tag) if self.tag else ""


class Reading:
    """What is known while the bytes of one card are explained, in their order.

    `kernel` is whose meaning of a tag holds, 0 where nobody knows; a selected application sets it. `known`
    are card numbers that are masked from the beginning on.
    """

    def __init__(self, kernel: int = 0, *, keep_pan: bool = False, known: Iterable[str] = ()) -> None:
        self.kernel = kernel
        self.keep_pan = keep_pan
        self._currency = 0
        self._lists: dict[int, bytes] = {}
        self._numbers: set[str] = set(known)
        self._asked: Command | None = None
        self._generated = False

    def hex(self, data: bytes) -> str:
        """The bytes in hex, card numbers masked unless they are to be kept."""
        return data.hex().upper() if self.keep_pan else masking.hexadecimal(data, self._numbers)

    # Data objects. ----------------------------------------------------------------------------

    def value(self, tag: int, data: bytes) -> Explained:
        """A data object that is no template; one that may hold a card number says nothing but what it is."""
        self._learn(tag, data)
        row, shown = look_up(tag, self.kernel), self._shown(tag, data)
        if not self.keep_pan and masking.MASK in shown and tag not in masking.HOLDERS:
            return Explained(tag, _name(tag, row), shown, (_NUMBER,))
        known = Known(self.kernel, self._currency, self.keep_pan)
        said = words_of(tag, data, row, known)
        inside = tuple(Explained(0, part.name, part.value, part.words) for part in said.parts)
        faults = said.faults
        if row is not None and row.format == "dol":
            inside, wrong = self._entries(data)
            faults += wrong
        elif tag == _SCRIPT_COMMAND:
            inside = (self._script(data),)
        words = tuple(map(self._words, said.words))
        return Explained(tag, _name(tag, row), shown, words, inside, tuple(map(self._words, faults)))

    def objects(self, data: bytes) -> tuple[Explained, ...]:
        """The data objects in these bytes; where they end to be any, the last node says why."""
        try:
            tree, fault = tlv.decode(data), None
        except tlv.TlvError as error:
            tree, fault = error.decoded_so_far, error  # type: ignore[assignment]
        self._learn_all(tree)
        found = self._tree(tree)
        if fault is None:
            return found
        rest = self.hex(data[fault.offset :])
        return (*found, Explained(0, "no data object", rest, faults=(str(fault),)))

    def _tree(self, tree: tlv.Tree) -> tuple[Explained, ...]:
        return tuple(
            Explained(tag, _name(tag, look_up(tag, self.kernel)), inside=self._tree(value))
            if isinstance(value, tuple)
            else self.value(tag, value)
            for tag, value in tree
        )

    def _shown(self, tag: int, data: bytes) -> str:
        if tag == masking.PIN_DATA:
            return masking.MASK * (2 * len(data))
        return data.hex().upper() if self.keep_pan else masking.value(tag, data, self._numbers)

    def _words(self, words: str) -> str:
        return words if self.keep_pan else masking.text(words, self._numbers)

    def _entries(self, data: bytes) -> tuple[tuple[Explained, ...], tuple[str, ...]]:
        """What a list asks for: its tags, and as words how many bytes of each; and what is wrong with it."""
        faults: tuple[str, ...] = ()
        try:
            entries: Sequence[dol.Entry] = dol.decode(data)
        except DecodeError as error:
            entries = error.decoded_so_far or ()  # type: ignore[assignment]
            faults = (str(error),)
        rows = [(tag, _name(tag, look_up(tag, self.kernel)), _bytes(length)) for tag, length in entries]
        return tuple(Explained(tag, name, "", (count,)) for tag, name, count in rows), faults

    # Commands and answers. --------------------------------------------------------------------

    def command(self, data: bytes) -> Explained:
        """A command: its name, what it asks for, and its data."""
        self._asked = None
        try:
            asked = Command.decode(data)
        except DecodeError as error:
            return Explained(0, "no command", self.hex(data), faults=(str(error),))
        self._asked = asked
        named = COMMANDS.get((asked.cla, asked.ins)) or COMMANDS.get((asked.cla & 0xFC, asked.ins))
        if named is None:
            name = f"command {asked.cla:02X} {asked.ins:02X}"
            raw = (Explained(0, "data", self.hex(asked.data)),) if asked.data else ()
            return Explained(0, name, self.hex(data), (), raw)
        if named.secret:
            return Explained(0, named.name, self._without_data(data, asked), named.about(asked))
        words = tuple(map(self._words, named.about(asked)))
        if named.selects and asked.data[:5] in KERNELS_BY_RID:
            self.kernel, self._generated = KERNELS_BY_RID[asked.data[:5]], False
        inside = self._data_of(asked, named) if asked.data and not named.selects else ()
        return Explained(0, named.name, self.hex(data), words, inside)

    def response(self, data: bytes) -> Explained:
        """The answer to the last command: what its status word says, and its data."""
        try:
            answer = Response.decode(data)
        except DecodeError as error:
            return Explained(0, "no response", self.hex(data), faults=(str(error),))
        words = (describe(answer.sw),)
        inside = self._answered(answer.data) if answer.data else ()
        return Explained(0, f"{answer.sw:04X}", self.hex(data), words, inside)

    def _without_data(self, data: bytes, asked: Command) -> str:
        """The command in hex with its data masked: a PIN is shown to nobody."""
        head = data[:5].hex().upper()
        return head + masking.MASK * (2 * len(asked.data)) + data[5 + len(asked.data) :].hex().upper()

    def _script(self, data: bytes) -> Explained:
        """A command within an issuer's script; what the card answers to the last command stays open."""
        before = self._asked
        try:
            return self.command(data)
        finally:
            self._asked = before

    def _data_of(self, asked: Command, named: Named) -> tuple[Explained, ...]:
        if named.tag:
            return (self.value(named.tag, asked.data),)
        if named.list == _PDOL:
            span = next(tlv.spans(asked.data), None)
            if span is None or span.tag != _COMMAND_TEMPLATE or span.stop != len(asked.data):
                wrong = ("not in a command template (83)",)
                return (Explained(0, "data", self.hex(asked.data), faults=wrong),)
            return self._filled(_PDOL, asked.data[span.value :])
        if named.list:
            second = self._generated and named.list == _CDOL_1
            self._generated = self._generated or named.list == _CDOL_1
            return self._filled(_CDOL_2 if second else named.list, asked.data)
        if named.objects:
            return self.objects(asked.data)
        return (Explained(0, "data", self.hex(asked.data)),)

    def _filled(self, tag: int, data: bytes) -> tuple[Explained, ...]:
        """The data that answers one of the card's lists, object by object."""
        given = self._lists.get(tag)
        name = f"data by the {_name(tag, look_up(tag, self.kernel))}"
        if given is None:
            return (Explained(0, name, self.hex(data), ("the list is not known",)),) if data else ()
        try:
            values = dol.split(dol.decode(given), data)
        except DecodeError as error:
            return (Explained(0, name, self.hex(data), faults=(str(error),)),)
        for one, value in values.items():
            self._learn(one, value)
        return tuple(self.value(one, value) for one, value in values.items())

    def _answered(self, data: bytes) -> tuple[Explained, ...]:
        asked = self._asked
        named = COMMANDS.get((asked.cla, asked.ins)) if asked else None
        span = next(tlv.spans(data), None)
        whole = span is not None and span.start == 0 and span.stop == len(data)
        if named and named.format_1 and span is not None and whole and span.tag == _FORMAT_1:
            inside = self._by_places(named.format_1, data[span.value :])
            return (Explained(_FORMAT_1, _name(_FORMAT_1, look_up(_FORMAT_1)), "", (), inside),)
        if named and named.answers_bytes:
            return (Explained(0, "data", self.hex(data)),)
        return self.objects(data)

    def _by_places(self, places: Sequence[tuple[int, int]], data: bytes) -> tuple[Explained, ...]:
        """An answer in format 1: values without tags, each of fixed length, the last what is left."""
        found: list[Explained] = []
        at = 0
        for tag, length in places:
            part = data[at : at + length] if length else data[at:]
            at += len(part)
            if part:
                found.append(self.value(tag, part))
        return tuple(found)

    # What is remembered. ----------------------------------------------------------------------

    def _learn_all(self, tree: tlv.Tree) -> None:
        for path, value in tlv.walk(tree):
            self._learn(path[-1], value)

    def _learn(self, tag: int, data: bytes) -> None:
        if tag in _LISTS:
            self._lists[tag] = data
        elif tag in _CURRENCIES and data.hex().isdigit():
            self._currency = int(data.hex())
        elif tag in masking.HOLDERS:
            self._numbers.update(masking.numbers(tag, data))


def _name(tag: int, row: Tag | None) -> str:
    return row.name if row else f"unknown {'template' if tlv.is_constructed(tag) else 'tag'}"


def _bytes(count: int) -> str:
    return f"{count} byte" if count == 1 else f"{count} bytes"
