"""Inspection: what a stranger's card says of itself, asked in a way that changes nothing on it.

    SELECT PPSE --> SELECT each application --> per application: SELECT, GET DATA, READ RECORD
                                            `--> with `allow_gpo`: Warn, GET PROCESSING OPTIONS, its records

A stepwise machine like Entry Point, without a card, a clock or a link of its own: `Send` has a command for
the card (`receive`, or `lost`), `Warn` wants something said to whoever holds the card (`go_on`), `Done` has
the report. Any answers lead to a report. GET PROCESSING OPTIONS raises the card's counter, so it is asked
only where that is allowed, for an amount of zero that must go online: no money of an e-cash card is touched,
no offline approval is asked for, and the cryptogram that comes back is not kept.

A card of ours is known after its first SELECT (`ours`): whoever drives the machine may stop there.

Source: EMV Contactless Book B 3.3; EMV 4.4 Book 1 11, Book 3 6.5 and 10.2, Book 2 5 and 6. Assumed: the
MAC of a balance within 9F10 is no cryptogram
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from paysim.codec import dol, formats, tlv
from paysim.codec.apdu import Command, Response
from paysim.codec.status_words import describe
from paysim.core.errors import DecodeError, InvalidTransition, UsageError
from paysim.crypto.ca_keys import CaKey

from . import masking
from .explain import Explained, Reading
from .inspection_checks import Evidence, check
from .inspection_report import Application, Report
from .kernel import Send
from .outcome import L2
from .ppse import is_ours
from .selection import PPSE, directory, requested_kernel, select

__all__ = ["Done", "Inspection", "Step", "Warn", "without_cryptogram"]

MAX_COMMANDS: Final = 600
"""Assumed: a card that always has one more record is given up."""

MAX_APPLICATIONS: Final = 16
MAX_RECORDS: Final = 32
"""Records of one file that are read. Assumed"""

FILES: Final = range(1, 11)
"""SFIs that are asked for without GPO: those EMV governs. Source: EMV 4.4 Book 3 table 29"""

NAMES: Final = tuple(
    map(
        bytes.fromhex,
        (
            *("A000000333010101", "A000000333010102", "A000000333010103", "A000000333010106"),
            *("A0000000031010", "A0000000032010", "A0000000041010", "A0000000043060"),
            *("A00000002501", "A0000000651010", "A0000001523010"),
        ),
    )
)
"""Applications that are asked for where there is no directory. Source: facts 3.1"""

ECASH: Final = bytes.fromhex("A000000333010106")
"""Pure e-cash: never asked for GET PROCESSING OPTIONS."""

COUNTERS: Final = (0x9F36, 0x9F13, 0x9F17, 0x9F4F)
KERNEL_COUNTERS: Final[Mapping[int, tuple[int, ...]]] = {
    2: (0x9F50, 0x9F5D),
    3: (0x9F5D,),
    7: (0x9F79, 0x9F5D, 0x9F77, 0x9F78, 0x9F6D, 0x9F54, 0x9F6B, 0x9F68),
}
"""What GET DATA is asked for: of every card, and by kernel. Source: EMV 4.4 Book 3 6.5.7; facts 3.4"""

FORCED_ONLINE: Final[Mapping[int, bytes]] = {
    3: bytes.fromhex("27804000"),
    7: bytes.fromhex("26804080"),
}
"""Kernel -> TTQ (9F66): an online capable reader that wants an online cryptogram (b2.8)."""

TERMINAL: Final[Mapping[int, bytes]] = {
    0x9F1A: bytes.fromhex("0156"),
    0x5F2A: bytes.fromhex("0156"),
    0x9F33: bytes.fromhex("E060C8"),
    0x9F35: b"\x21",
}
"""What GET PROCESSING OPTIONS tells of the terminal: attended, online only, CNY; whatever else a card asks
for is zeros, the amount and the e-cash indicator (9F7A) among it. Assumed"""

PROTECTED: Final = (0x6985, 0x6986, 0x6900, 0x6D00, 0x6E00)
"""Status words that say: not now."""

FORBIDDEN: Final = (0x9F26, 0x9F4B)
"""Cryptogram and signature: never part of a report."""

PDOL: Final = 0x9F38
AFL: Final = 0x94
INFORMATION: Final = 0x9F27
LOG_ENTRY: Final = 0x9F4D
MAX_READER_DATA: Final = 252

_LOST: Final = {
    "timeout": "the card did not answer in time",
    "transmission": "the card left the field",
    "protocol": "the card's answer is none",
}


class Warn(NamedTuple):
    """A step: say this to whoever holds the card, then `go_on`."""

    words: str


class Done(NamedTuple):
    """A step, the last: what was found."""

    report: Report


Step: TypeAlias = Send | Warn | Done


class _Lost(Exception):  # never leaves this module
    pass


@dataclass
class _Draft:
    """What is known of an application beside what is shown of it."""

    shown: Application
    objects: dict[int, bytes] = field(default_factory=dict)
    records: dict[tuple[int, int], bytes] = field(default_factory=dict)
    log_file: int = 0


_Way: TypeAlias = Generator[Send | Warn, Response | None, None]
_Asked: TypeAlias = Generator[Send | Warn, Response | None, Response]


class Inspection:
    """One look at one card. `on` is the day that certificates are judged by.

    >>> inspection = Inspection(on=datetime.date(2026, 11, 27))
    >>> inspection.start().command.hex().upper()
    '00A404000E325041592E5359532E444446303100'
    >>> step = inspection.lost("timeout")
    >>> step.report.ended
    'the card did not answer in time'

    `ca_keys` are those that certificates are checked against, `keep_pan` leaves card numbers whole,
    `unpredictable` is the reader's number (9F37, 4 bytes) for GET PROCESSING OPTIONS.
    """

    def __init__(
        self,
        *,
        on: datetime.date,
        ca_keys: Collection[CaKey] = (),
        allow_gpo: bool = False,
        keep_pan: bool = False,
        unpredictable: bytes = bytes(4),
    ) -> None:
        if len(unpredictable) != 4:
            raise UsageError("the unpredictable number has 4 bytes")
        self._on = on
        self._ca_keys = ca_keys
        self._allow_gpo = allow_gpo
        self._keep_pan = keep_pan
        self._reading = Reading(keep_pan=keep_pan)
        self._reader_data = {
            **TERMINAL,
            0x9A: formats.encode_date(on),
            0x9F37: unpredictable,
        }
        self._drafts: list[_Draft] = []
        self._selected = b""
        self._commands = 0
        self._directory = ""
        self._asked = {"data": 0, "given": 0, "records": 0, "gpo": 0}
        self._pan = ""
        self._state = "new"
        self._way: _Way = self._inspect()

    @property
    def ours(self) -> bool:
        """Whether an application that was selected so far bears the mark of our cards."""
        return any(draft.shown.ours for draft in self._drafts)

    # What the driver calls. -------------------------------------------------------------------------

    def start(self) -> Step:
        """The first step."""
        self._expect("new", "start")
        return self._go(None)

    def receive(self, response: bytes) -> Step:
        """The step after the card's answer; bytes that are none end the inspection."""
        self._expect("sent", "receive")
        try:
            answer = Response.decode(response)
        except DecodeError:
            return self.lost("protocol")
        return self._go(answer)

    def go_on(self) -> Step:
        """The step after what a `Warn` wanted said was said."""
        self._expect("warned", "go_on")
        return self._go(None)

    def lost(self, kind: Literal["timeout", "transmission", "protocol"]) -> Step:
        """The report, after an answer that did not come."""
        if kind not in _LOST:
            raise UsageError(f"an answer is lost by {', '.join(_LOST)}")
        self._expect("sent", "lost")
        self._way.close()
        return self._end(_LOST[kind])

    def _expect(self, state: str, call: str) -> None:
        if self._state != state:
            raise InvalidTransition(self._state, call)

    def _go(self, answer: Response | None) -> Step:
        try:
            step = self._way.send(answer)
        except StopIteration:
            return self._end("")
        except _Lost as lost:
            return self._end(str(lost))
        self._state = "sent" if isinstance(step, Send) else "warned"
        return step

    def _end(self, why: str) -> Done:
        self._state = "done"
        for draft in self._drafts:
            self._judge(draft)
        applications = tuple(draft.shown for draft in self._drafts)
        done, not_done = self._account()
        return Done(Report(applications, self._pan, self.ours, why, done, not_done))

    # The way through the card. ----------------------------------------------------------------------

    def _inspect(self) -> _Way:
        answer = yield from self._ask(select(PPSE))
        listed = directory(answer)
        if listed.fault is L2.OK:
            self._directory = f"its directory (PPSE), {len(listed.entries)} listed"
            for entry in listed.entries[:MAX_APPLICATIONS]:
                self._list(entry)
        else:
            self._directory = f"no directory (PPSE: {answer.sw:04X}), {len(NAMES)} well-known names tried"
            self._drafts = [_Draft(Application(name)) for name in NAMES]
        for draft in tuple(self._drafts):
            yield from self._select(draft)
        if listed.fault is not L2.OK:
            self._drafts = [draft for draft in self._drafts if draft.shown.fci]
        for draft in self._drafts:
            if draft.shown.fci:
                yield from self._look_into(draft)

    def _list(self, entry: Mapping[int, bytes]) -> None:
        name = entry.get(0x4F, b"")
        if not 5 <= len(name) <= 16 or any(draft.shown.name == name for draft in self._drafts):
            return
        found = Application(name, _text(entry.get(0x50, b"")), _priority(entry))
        found.kernel = requested_kernel(entry.get(0x9F2A, b""), name) or 0
        self._reading.kernel = found.kernel
        found.entry = tuple(self._reading.value(tag, value) for tag, value in entry.items())
        self._drafts.append(_Draft(found))

    def _select(self, draft: _Draft) -> _Way:
        """SELECT by name, and what the application says of itself."""
        shown = draft.shown
        answer = yield from self._ask(select(shown.name))
        shown.sw = answer.sw
        if not answer.data:
            return
        self._selected = shown.name
        tree = _decoded(answer.data)
        shown.ours = is_ours(tree)
        shown.fci = self._explain(answer.data)
        objects = _primitives(tree)
        if 0x84 in objects and not shown.entry and 5 <= len(objects[0x84]) <= 16:
            shown.name = objects[0x84]  # a name that was tried may be the beginning of the card's own
        shown.label = shown.label or _text(objects.get(0x50, b""))
        shown.priority = shown.priority or _priority(objects)
        shown.kernel = shown.kernel or requested_kernel(objects.get(0x9F2A, b""), shown.name) or 0
        draft.log_file = int.from_bytes(objects.get(LOG_ENTRY, b"")[:1])
        self._keep(draft, objects)

    def _look_into(self, draft: _Draft) -> _Way:
        if self._selected != draft.shown.name:
            yield from self._ask(select(draft.shown.name))
            self._selected = draft.shown.name
        self._reading.kernel = draft.shown.kernel
        yield from self._get_data(draft)
        found = yield from self._read_files(draft)
        draft.shown.records = found
        if self._allow_gpo:
            yield from self._initiate(draft)

    def _get_data(self, draft: _Draft) -> _Way:
        """The counters that the card gives to whoever asks."""
        for tag in (*COUNTERS, *KERNEL_COUNTERS.get(draft.shown.kernel, ())):
            answer = yield from self._ask(Command(0x80, 0xCA, tag >> 8, tag & 0xFF, b"", 256).encode())
            self._asked["data"] += 1
            if answer.ok and answer.data:
                self._asked["given"] += 1
                draft.shown.data += self._explain(answer.data)

    def _read_files(self, draft: _Draft) -> Generator[Send | Warn, Response | None, tuple[Explained, ...]]:
        """The records of the files that answer; two that say "not now" in a row end it.

        Assumed: a card that refuses twice refuses all, and some wallets hang up after too many errors.
        """
        shown: list[Explained] = []
        refused = 0
        for sfi in FILES:
            if sfi == draft.log_file:
                continue
            for number in range(1, MAX_RECORDS + 1):
                answer = yield from self._read(draft, sfi, number)
                if not answer.ok:
                    break
                shown.append(self._record(draft, sfi, number, answer.data))
            refused = refused + 1 if number == 1 and answer.sw in PROTECTED else 0
            if refused == 2:
                draft.shown.notes += (f"its records answer {answer.sw:04X} before GPO",)
                break
        return tuple(shown)

    def _read(self, draft: _Draft, sfi: int, number: int) -> _Asked:
        answer = yield from self._ask(Command(0x00, 0xB2, number, sfi << 3 | 4, b"", 256).encode())
        if answer.ok:
            self._asked["records"] += (sfi, number) not in draft.records
        return answer

    def _record(self, draft: _Draft, sfi: int, number: int, data: bytes) -> Explained:
        draft.records[sfi, number] = data
        self._keep(draft, _primitives(_decoded(data)))
        return Explained(0, f"SFI {sfi}, record {number}", inside=self._explain(data))

    # GET PROCESSING OPTIONS. ------------------------------------------------------------------------

    def _initiate(self, draft: _Draft) -> _Way:
        """GPO for an amount of zero that must go online, and the records that it leads to."""
        shown = draft.shown
        data = self._reader_answer(draft)
        if data is None:
            return
        yield Warn(
            f"{shown.title}: GET PROCESSING OPTIONS comes now, amount 0.00, online only; "
            "the card's transaction counter rises by one"
        )
        answer = yield from self._ask(Command(0x80, 0xA8, 0, 0, data, 256).encode())
        self._asked["gpo"] += 1
        if not answer.ok:
            shown.notes += (f"GPO: {answer.sw:04X} {describe(answer.sw)}",)
            return
        objects = _options(answer.data)
        if objects is None:
            shown.notes += ("GPO: the answer is neither template 77 nor 80",)
            return
        if int.from_bytes(objects.get(INFORMATION, b"")[:1]) & 0xC0 == 0x40:
            shown.notes += ("GPO: the card approved offline, though it was told to go online",)
        self._keep(draft, objects)
        kept = {tag: value for tag, value in objects.items() if tag not in FORBIDDEN}
        shown.options = tuple(self._reading.value(tag, value) for tag, value in kept.items())
        shown.options += _withheld(objects)
        yield from self._read_listed(draft, objects.get(AFL, b""))

    def _reader_answer(self, draft: _Draft) -> bytes | None:
        """The command data that the card's PDOL asks for; None where the application is left alone."""
        shown = draft.shown
        if shown.name.startswith(ECASH):
            shown.notes += ("no GPO: an application of pure e-cash is left alone",)
            return None
        try:
            entries = dol.decode(draft.objects.get(PDOL, b""))
        except DecodeError:
            shown.notes += ("no GPO: its PDOL cannot be read",)
            return None
        if dol.size(entries) > MAX_READER_DATA:
            shown.notes += ("no GPO: its PDOL asks for more than a command holds",)
            return None
        ttq = FORCED_ONLINE.get(shown.kernel, FORCED_ONLINE[3])
        filled = dol.fill(entries, {**self._reader_data, 0x9F66: ttq}, shown.kernel)
        return tlv.encode(((0x83, filled),))

    def _read_listed(self, draft: _Draft, afl: bytes) -> _Way:
        try:
            listed = formats.decode_afl(afl) if afl else ()
        except DecodeError as error:
            draft.shown.notes += (f"AFL: {error}",)
            return
        found: list[Explained] = []
        for entry in listed:
            for number in range(entry.first, min(entry.last, entry.first + MAX_RECORDS - 1) + 1):
                answer = yield from self._read(draft, entry.sfi, number)
                if not answer.ok:
                    found.append(Explained(0, f"SFI {entry.sfi}, record {number}", f"{answer.sw:04X}"))
                    continue
                new = (entry.sfi, number) not in draft.records
                node = self._record(draft, entry.sfi, number, answer.data)
                if new:
                    found.append(node)
        draft.shown.signed_records = tuple(found)

    # What all of them use. --------------------------------------------------------------------------

    def _ask(self, command: bytes) -> _Asked:
        self._commands += 1
        if self._commands > MAX_COMMANDS:
            raise _Lost(f"the card was given up after {MAX_COMMANDS} commands")
        self._reading.command(command)
        answer = yield Send(command)
        assert answer is not None  # noqa: S101  # `receive` alone goes on from a Send
        return answer

    def _explain(self, data: bytes) -> tuple[Explained, ...]:
        return self._reading.objects(without_cryptogram(data + b"\x90\x00")[:-2])

    def _keep(self, draft: _Draft, objects: Mapping[int, bytes]) -> None:
        for tag, value in objects.items():
            draft.objects.setdefault(tag, value)
            for number in () if self._pan else masking.numbers(tag, value):
                self._pan = number if self._keep_pan else masking.digits(number)

    def _judge(self, draft: _Draft) -> None:
        """What certificates and signatures prove."""
        objects = dict(draft.objects)
        evidence = Evidence(
            rid=draft.shown.name[:5],
            objects=objects,
            static_data=_static_data(objects, draft.records) if AFL in objects else None,
            reader={tag: self._reader_data.get(tag, bytes(6)) for tag in (0x9F37, 0x9F02, 0x5F2A)},
        )
        draft.shown.checks = check(evidence, self._ca_keys, self._on)
        for tag in FORBIDDEN:
            draft.objects.pop(tag, None)

    def _account(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What was done, and what was not."""
        asked = self._asked
        done = [
            f"SELECT: {self._directory or 'its directory (PPSE), without an answer'}",
            f"GET DATA: {asked['given']} of {asked['data']} objects given",
            f"READ RECORD: {asked['records']} read",
        ]
        not_done = ["no payment, no PIN, no GENERATE AC, no INTERNAL AUTHENTICATE, nothing written"]
        if asked["gpo"]:
            done.append(f"GET PROCESSING OPTIONS, amount zero: {asked['gpo']}, so the counter has risen")
            not_done.append("the cryptogram was not kept")
        else:
            allowed = "" if self._allow_gpo else " (--allow-gpo)"
            not_done.insert(0, f"no GET PROCESSING OPTIONS{allowed}: the card's counter has not risen")
        if any(draft.log_file for draft in self._drafts):
            not_done.append("the log of the card's payments was not read")
        return tuple(done), tuple(not_done)


# Bytes. -----------------------------------------------------------------------------------------------------


def without_cryptogram(response: bytes) -> bytes:
    """A card's answer with zeros in place of cryptogram (9F26) and signature (9F4B), for those who keep it.

    >>> without_cryptogram(bytes.fromhex("77089F26041122334400009000")).hex().upper()
    '77089F26040000000000009000'

    Where the objects cannot be told apart, the status word alone is left.
    """
    data = bytearray(response[:-2])
    if not any(bytes.fromhex(f"{tag:04X}") in response for tag in FORBIDDEN):
        return response
    try:
        tlv.decode(bytes(data))
    except DecodeError:
        return response[-2:]
    for start, stop in _forbidden(bytes(data), 0, len(data), 1):
        data[start:stop] = bytes(stop - start)
    return bytes(data) + response[-2:]


def _forbidden(data: bytes, start: int, stop: int, depth: int) -> Iterator[tuple[int, int]]:
    for span in tlv.spans(data, start, stop):
        if span.tag in FORBIDDEN:
            yield span.value, span.stop
        elif tlv.is_constructed(span.tag) and depth < tlv.MAX_DEPTH:
            yield from _forbidden(data, span.value, span.stop, depth + 1)


def _decoded(data: bytes) -> tlv.Tree:
    """The objects in these bytes, as far as there are any."""
    try:
        return tlv.decode(data)
    except tlv.TlvError as error:
        return error.decoded_so_far or ()  # type: ignore[return-value]


def _primitives(tree: tlv.Tree) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for path, value in tlv.walk(tree):
        found.setdefault(path[-1], value)
    return found


def _options(data: bytes) -> dict[int, bytes] | None:
    """The objects of an answer to GPO: template 77, or AIP and AFL in 80. Source: EMV 4.4 Book 3 6.5.8.4"""
    tree = _decoded(data)
    inside = tlv.find(tree, 0x77)
    if isinstance(inside, tuple):
        return _primitives(inside)
    plain = tlv.find(tree, 0x80)
    if isinstance(plain, bytes) and len(plain) >= 2:
        return {0x82: plain[:2], AFL: plain[2:]}
    return None


def _withheld(objects: Iterable[int]) -> tuple[Explained, ...]:
    names = {0x9F26: "Application Cryptogram", 0x9F4B: "Signed Dynamic Application Data"}
    return tuple(Explained(tag, names[tag], "", ("not kept",)) for tag in FORBIDDEN if tag in objects)


def _static_data(objects: Mapping[int, bytes], records: Mapping[tuple[int, int], bytes]) -> bytes | None:
    """The signed records and the AIP behind them; None where one of them is missing.

    Source: EMV 4.4 Book 3 10.3
    """
    data = b""
    try:
        listed = formats.decode_afl(objects[AFL])
    except DecodeError:
        return None
    for entry in listed:
        for number in range(entry.first, entry.first + entry.authenticated):
            record = records.get((entry.sfi, number))
            if record is None:
                return None
            span = next(tlv.spans(record), None)
            if entry.sfi <= 10 and (span is None or span.tag != 0x70):
                return None
            data += record[span.value : span.stop] if entry.sfi <= 10 and span else record
    return data + (objects.get(0x82, b"") if 0x9F4A in objects else b"")


def _priority(objects: Mapping[int, bytes]) -> int:
    value = objects.get(0x87, b"")
    return value[0] & 0x0F if value else 0


def _text(value: bytes) -> str:
    """A label: what of it can be printed."""
    return "".join(letter for letter in value.decode("latin-1") if letter.isprintable()).strip()
