"""Inspection: what a stranger's card says of itself, asked in a way that changes nothing on it.

    SELECT PPSE --> SELECT each application --> per application: SELECT, GET DATA, READ RECORD
                                            `--> with `allow_gpo`: Warn, GET PROCESSING OPTIONS, its records

A stepwise machine like Entry Point, without a card, a clock or a link of its own: `Send` has a command for
the card (`receive`, or `lost`), `Warn` wants something said to whoever holds the card (`go_on`), `Done` has
the report. Any answers lead to a report. GET PROCESSING OPTIONS raises the card's counter, so it is asked
only where that is allowed, for an amount of zero that must go online: no money of an e-cash card is touched,
no offline approval is asked for, and the cryptogram that comes back is not kept. Logs of payments are not
read.

A card of ours is known after its first SELECT (`ours`): whoever drives the machine may stop there.

Source: EMV Contactless Book B 3.3; EMV 4.4 Book 1 11, Book 3 6.5 and 10.2
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Collection, Generator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from paysim.codec import formats
from paysim.codec.apdu import Command, Response
from paysim.codec.status_words import describe
from paysim.core.errors import DecodeError, InvalidTransition, UsageError
from paysim.crypto.ca_keys import CaKey

from . import inspection_gpo as gpo
from . import inspection_report, masking
from .inspection_findings import AFL, NAME, Found, Record, decoded, objects
from .inspection_report import Report
from .kernel import Send
from .outcome import L2
from .ppse import is_ours
from .selection import PPSE, directory, requested_kernel, select
from .withholding import without_cryptogram

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

COUNTERS: Final = (0x9F36, 0x9F13, 0x9F17, 0x9F4F)
KERNEL_COUNTERS: Final[Mapping[int, tuple[int, ...]]] = {
    2: (0x9F50, 0x9F5D),
    3: (0x9F5D,),
    7: (0x9F79, 0x9F5D, 0x9F77, 0x9F78, 0x9F6D, 0x9F54, 0x9F6B, 0x9F68),
}
"""What GET DATA is asked for: of every card, and by kernel. Source: EMV 4.4 Book 3 6.5.7; facts 3.4"""

PROTECTED: Final = (0x6985, 0x6986, 0x6900, 0x6D00, 0x6E00)
"""Status words that say: not now."""

ADF_NAME: Final = 0x4F
KERNEL_IDENTIFIER: Final = 0x9F2A
INFORMATION: Final = 0x9F27

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

    `ca_keys` are those that certificates are checked against, `keep_pan` leaves card numbers and names whole,
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
        self.ours = False
        """Whether an application that was selected so far bears the mark of our cards."""
        self._on = on
        self._ca_keys = ca_keys
        self._allow_gpo = allow_gpo
        self._keep_pan = keep_pan
        self._values = gpo.reader_values(on, unpredictable)
        self._found: list[Found] = []
        self._selected: Found | None = None
        self._directory = ""
        self._counts: Counter[str] = Counter()
        self._state = "new"
        self._way: _Way = self._inspect()

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
        """The report; what was read is forgotten, its cryptograms with it."""
        self._state = "done"
        found, self._found, self._selected = self._found, [], None
        shown = inspection_report.applications(
            found, self._values, self._ca_keys, self._on, keep_pan=self._keep_pan
        )
        number = next((number for one in found for number in one.numbers()), "")
        pan = number if self._keep_pan else masking.digits(number)
        return Done(Report(shown, pan, self.ours, why, self._done(found), self._not_done(found)))

    # The way through the card. ----------------------------------------------------------------------

    def _inspect(self) -> _Way:
        answer = yield from self._ask(select(PPSE))
        listed = directory(answer)
        for entry in listed.entries[:MAX_APPLICATIONS]:
            self._list(entry)
        if listed.fault is L2.OK:
            self._directory = f"its directory (PPSE), {len(listed.entries)} listed"
        else:
            self._directory = f"no directory (PPSE: {answer.sw:04X}), {len(NAMES)} well-known names tried"
            self._found = [Found(name) for name in NAMES]
        for found in tuple(self._found):
            yield from self._select(found)
        if listed.fault is not L2.OK:
            named = {found.name: found for found in reversed(self._found) if found.fci}
            self._found = list(reversed(named.values()))
        for found in self._found:
            if found.fci:
                yield from self._look_into(found)

    def _list(self, entry: Mapping[int, bytes]) -> None:
        name = entry.get(ADF_NAME, b"")
        if 5 <= len(name) <= 16 and not any(found.name == name for found in self._found):
            kernel = requested_kernel(entry.get(KERNEL_IDENTIFIER, b""), name) or 0
            self._found.append(Found(name, entry, kernel))

    def _select(self, found: Found) -> _Way:
        """SELECT by name, and what the application says of itself."""
        answer = yield from self._ask(select(found.name))
        self._selected = None
        found.sw = answer.sw
        if not answer.data:
            return
        self._selected = found
        found.fci = answer.data
        found.ours = is_ours(decoded(answer.data))
        found.keep(answer.data)
        self.ours = self.ours or found.ours
        name = found.objects.get(NAME, b"")
        if not found.entry and 5 <= len(name) <= 16:
            found.name = name  # a name that was tried may be the beginning of the card's own
        identifier = found.objects.get(KERNEL_IDENTIFIER, b"")
        found.kernel = found.kernel or requested_kernel(identifier, found.name) or 0

    def _look_into(self, found: Found) -> _Way:
        if self._selected is not found:
            answer = yield from self._ask(select(found.name))
            self._selected = found
            if (answer.sw, objects(answer.data).get(NAME)) != (found.sw, found.objects.get(NAME)):
                found.notes.append(
                    f"selected again it answers otherwise ({answer.sw:04X}), and is left alone"
                )
                return
        yield from self._get_data(found)
        yield from self._read_files(found)
        if self._allow_gpo:
            yield from self._initiate(found)

    def _get_data(self, found: Found) -> _Way:
        """The counters that the card gives to whoever asks."""
        for tag in (*COUNTERS, *KERNEL_COUNTERS.get(found.kernel, ())):
            answer = yield from self._ask(Command(0x80, 0xCA, tag >> 8, tag & 0xFF, b"", 256).encode())
            self._counts["asked"] += 1
            if answer.ok and answer.data:
                self._counts["given"] += 1
                found.given.append(answer.data)

    def _read_files(self, found: Found) -> _Way:
        """The records of the files that answer; two that say "not now" in a row end it.

        Assumed: a card that refuses twice refuses all, and some wallets hang up after too many errors.
        """
        refused = 0
        for sfi in FILES:
            if sfi in found.logs:
                continue
            for number in range(1, MAX_RECORDS + 1):
                record = yield from self._read(sfi, number)
                if not record.ok:
                    break
                found.records.append(record)
                found.keep(record.data)
                if not record.governed:
                    break
            refused = refused + 1 if number == 1 and record.sw in PROTECTED else 0
            if refused == 2:
                found.notes.append(f"its records answer {record.sw:04X} before GPO")
                break

    def _read(self, sfi: int, number: int) -> Generator[Send | Warn, Response | None, Record]:
        answer = yield from self._ask(Command(0x00, 0xB2, number, sfi << 3 | 4, b"", 256).encode())
        return Record(sfi, number, answer.data, answer.sw)

    def _initiate(self, found: Found) -> _Way:
        """GPO for an amount of zero that must go online, and the records that it leads to."""
        why = gpo.why_not(found)
        if why:
            found.notes.append(f"no GPO: {why}")
            return
        known = frozenset(number for one in self._found for number in one.numbers())
        title = inspection_report.title(masking.text(found.label, known), found.name)
        yield Warn(
            f"{title}: GET PROCESSING OPTIONS comes now, amount 0.00, online only; "
            "the card's transaction counter rises by one"
        )
        found.told = gpo.command(found, self._values)
        answer = yield from self._ask(found.told)
        self._counts["gpo"] += 1
        if not answer.ok:
            found.notes.append(f"GPO: {answer.sw:04X} {describe(answer.sw)}")
            return
        options = gpo.options(answer.data)
        if options is None:
            found.notes.append("GPO: the answer is neither template 77 nor 80")
            return
        if int.from_bytes(options.get(INFORMATION, b"")[:1]) & 0xC0 == 0x40:
            found.notes.append("GPO: the card approved offline, though it was told to go online")
        found.options = answer.data
        found.objects.update(options)
        yield from self._read_listed(found, options.get(AFL, b""))

    def _read_listed(self, found: Found, locator: bytes) -> _Way:
        try:
            listed = formats.decode_afl(locator) if locator else ()
        except DecodeError as error:
            found.notes.append(f"AFL: {error}")
            return
        for entry in listed:
            if entry.sfi in found.logs:
                found.notes.append(f"AFL: SFI {entry.sfi} is a log, and is not read")
                continue
            for number in range(entry.first, min(entry.last, entry.first + MAX_RECORDS - 1) + 1):
                record = yield from self._read(entry.sfi, number)
                found.listed.append(record)
                found.objects.update(objects(record.data) if record.ok else {})

    # What all of them use. --------------------------------------------------------------------------

    def _ask(self, command: bytes) -> _Asked:
        self._counts["commands"] += 1
        if self._counts["commands"] > MAX_COMMANDS:
            raise _Lost(f"the card was given up after {MAX_COMMANDS} commands")
        answer = yield Send(command)
        assert answer is not None  # noqa: S101  # `receive` alone goes on from a Send
        return answer

    def _done(self, found: Collection[Found]) -> tuple[str, ...]:
        counts = self._counts
        read = sum(len({record[:2] for record in (*one.records, *one.listed) if record.ok}) for one in found)
        done = [
            f"SELECT: {self._directory or 'its directory (PPSE), without an answer'}",
            f"GET DATA: {counts['given']} of {counts['asked']} objects given",
            f"READ RECORD: {read} read",
        ]
        if counts["gpo"]:
            done.append(f"GET PROCESSING OPTIONS, amount zero: {counts['gpo']}, so the counter has risen")
        return tuple(done)

    def _not_done(self, found: Collection[Found]) -> tuple[str, ...]:
        allowed = "" if self._allow_gpo else " (--allow-gpo)"
        risen = f"no GET PROCESSING OPTIONS{allowed}: the card's counter has not risen"
        rows = [] if self._counts["gpo"] else [risen]
        rows.append("no payment, no PIN, no GENERATE AC, no INTERNAL AUTHENTICATE, nothing written")
        if self._counts["gpo"]:
            rows.append("the cryptogram was not kept")
        if any(one.logs for one in found):
            rows.append("the log of the card's payments was not read")
        return tuple(rows)
