"""What kernels 3 and 7 ask of the card, and how they read its answers: GPO, records, the issuer's commands.

Every function is half of an `Exchange`: `ask_*` gives the next command or None, `hear_*` takes the answer.

Source: EMV 4.4 Book 3 6.5, 10.1, 10.2, 10.10; EMV Contactless C-3
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from paysim.codec import dol, tlv
from paysim.codec.apdu import Command, Response
from paysim.codec.formats import decode_afl, decode_cn, decode_track2
from paysim.core.errors import DecodeError

from .endings import end_application, see_phone, select_next, try_another_interface
from .kernel import Hear, Tap
from .outcome import L2, Message, Result
from .preprocessing import prepare
from .selection import pdol_entries

__all__ = [
    "ask_issuer",
    "ask_options",
    "ask_record",
    "dynamic_limits",
    "hear_issuer",
    "hear_options",
    "hear_record",
]

PDOL: Final = 0x9F38
AIP: Final = 0x82
AFL: Final = 0x94
FORMAT_1: Final = 0x80
FORMAT_2: Final = 0x77
RECORD: Final = 0x70
TRACK_2: Final = 0x57
PAN: Final = 0x5A
PLAIN_FILES: Final = 10
"""SFI 1 to this: EMV's own records, signed without their template. Source: EMV 4.4 Book 3 10.3"""

MAX_PDOL_DATA: Final = 252
"""Bytes that a short GET PROCESSING OPTIONS carries within its template 83."""

Answer = Callable[[Tap, str, int], Result]


def dynamic_limits(tap: Tap, step: str) -> Result | None:
    """Takes the limits of the card's application program (9F5A), where the reader has such.

    Assumed: the program's id starts with the reader's; without a match the combination's own limits hold;
    an amount that the new limits do not allow selects the next application.
    """
    program = tap.fci.get(0x9F5A, b"")
    for start, limits in tap.combination.dynamic_limits:
        if program and program.startswith(start):
            tap.prepared = prepare(tap.combination, tap.purchase, limits)
            tap.terminal[0x9F66] = tap.prepared.ttq or bytes(4)
            tap.decide(step, f"limits of application program {start.hex().upper()}")
            tap.trace.extend(tap.prepared.decisions)
            if not tap.prepared.allowed:
                return select_next(tap, step, "the program's limits do not allow it", L2.MAX_LIMIT_EXCEEDED)
            break
    return None


# GET PROCESSING OPTIONS. ---------------------------------------------------------------------------


def ask_options(tap: Tap) -> bytes | None:
    """GET PROCESSING OPTIONS with the PDOL's data, once.

    Source: EMV 4.4 Book 3 6.5.8, 10.1
    """
    if tap.asked:
        return None
    tap.asked = True
    return Command(0x80, 0xA8, 0x00, 0x00, tlv.encode([(0x83, pdol_data(tap))]), 256).encode()


def pdol_data(tap: Tap) -> bytes:
    """The data that the card's PDOL asks for; what is unknown is zeros.

    Assumed: a PDOL that cannot be read, or asks for more than a command holds, is answered by no data.
    """
    try:
        entries = pdol_entries(tap.card.get(PDOL, b""))
    except DecodeError:
        return b""
    if dol.size(entries) > MAX_PDOL_DATA:
        return b""
    return dol.fill(entries, tap.terminal, tap.combination.kernel)


def hear_options(unready: Mapping[int, tuple[str, str]], other: str, templates: tuple[int, ...]) -> Hear:
    """What takes the answer to GPO: `unready` maps a status word to its step and to how the tap ends.

    `other` is the step of any other fault, `templates` are the formats that the kernel reads.

    Source: EMV Contactless C-3
    """

    def hear(tap: Tap, response: Response, step: str) -> Result | None:
        if response.sw in unready:
            named, ending = unready[response.sw]
            return ENDINGS[ending](tap, named, response.sw)
        if not response.ok:
            return end_application(
                tap, other, f"GPO answered {response.sw:04X}", L2.STATUS_BYTES, response.sw
            )
        try:
            _read_options(tap, response.data, templates)
        except DecodeError as error:
            return end_application(tap, other, f"answer to GPO: {error}")
        tap.decide(step, f"GPO answered {len(tap.records)} records to read")
        return None

    return hear


def _to_contact(tap: Tap, step: str, sw: int) -> Result:
    return try_another_interface(
        tap, step, f"GPO answered {sw:04X}: the card wants its contacts", Message.INSERT_CARD, sw
    )


def _to_next(tap: Tap, step: str, sw: int) -> Result:
    return select_next(tap, step, f"GPO answered {sw:04X}: next application", sw=sw)


def _to_phone(tap: Tap, step: str, sw: int) -> Result:
    return see_phone(tap, step, f"GPO answered {sw:04X}: the phone wants its owner", sw)


ENDINGS: Final[Mapping[str, Answer]] = {"contact": _to_contact, "next": _to_next, "phone": _to_phone}
"""How a tap ends at GPO."""


def _read_options(tap: Tap, data: bytes, templates: tuple[int, ...]) -> None:
    template, value = _whole(data)
    if template not in templates:
        raise DecodeError(f"the answer is not one object {' or '.join(map(tlv.name, templates))}")
    if template == FORMAT_2:
        tap.take(tlv.decode(value))
    else:
        locator = ((AFL, value[2:]),) if len(value) > 2 else ()
        tap.take(((AIP, value[:2]), *locator))
    _check_pan(tap)
    for sfi, first, last, signed in decode_afl(tap.card.get(AFL, b"")):
        tap.records += [(sfi, record, record < first + signed) for record in range(first, last + 1)]
    tap.records.reverse()


def _whole(data: bytes) -> tuple[int, bytes]:
    """Tag and value of the one object that `data` is; 0 where it is anything else."""
    span = next(tlv.spans(data), None)
    if span is None or span.start or span.stop != len(data):
        return 0, b""
    return span.tag, data[span.value : span.stop]


# READ RECORD. --------------------------------------------------------------------------------------


def ask_record(tap: Tap) -> bytes | None:
    """READ RECORD of the next record, or None when all are read."""
    if not tap.records:
        return None
    sfi, record, _ = tap.records[-1]
    return bytes((0x00, 0xB2, record, sfi << 3 | 4, 0x00))


def hear_record(other: str) -> Hear:
    """What takes a record; `other` is the step of a fault.

    Source: EMV 4.4 Book 3 10.2, 10.3 (what is signed)
    """

    def hear(tap: Tap, response: Response, step: str) -> Result | None:
        sfi, record, signed = tap.records.pop()
        where = f"record {record} of SFI {sfi}"
        if not response.ok:
            words = f"{where} answered {response.sw:04X}"
            return end_application(tap, other, words, L2.STATUS_BYTES, response.sw)
        try:
            _read_record(tap, response.data, sfi, signed)
        except DecodeError as error:
            return end_application(tap, other, f"{where}: {error}")
        tap.decide(step, f"{where} was read{', signed by the issuer' if signed else ''}")
        return None

    return hear


def _read_record(tap: Tap, data: bytes, sfi: int, signed: bool) -> None:
    template, value = _whole(data)
    if template != RECORD and sfi <= PLAIN_FILES:
        raise DecodeError("no template 70")
    if signed:
        tap.static_data += value if sfi <= PLAIN_FILES else data
    if template == RECORD:
        tap.take(tlv.decode(value))
        _check_pan(tap)


def _check_pan(tap: Tap) -> None:
    """Takes the PAN of 57 or 5A; DecodeError where one is none, or where they differ."""
    track, number = tap.card.get(TRACK_2), tap.card.get(PAN)
    if (track, number) == tap.pan_data:
        return
    tap.pan_data = (track, number)
    found = [decode_track2(track).pan] if track else []
    found += [decode_cn(number)] if number else []
    if not all(0 < len(pan) <= 19 for pan in found):
        raise DecodeError("a PAN has 1 to 19 digits", path="5A")
    if len(set(found)) > 1:
        raise DecodeError("the PANs of 57 and 5A differ", path="5A")
    tap.pan = found[0] if found else ""


# The issuer's answer. ------------------------------------------------------------------------------


def ask_issuer(tap: Tap) -> bytes | None:
    """EXTERNAL AUTHENTICATE with the issuer's data (91), then each command of its scripts, in order.

    Source: EMV 4.4 Book 3 6.5.4, 10.10. Assumed: kernels 3 and 7 do it so.
    """
    if not tap.asked:
        tap.asked = True
        tap.commands = _commands(tap)
        tap.commands.reverse()
    return tap.commands[-1][0] if tap.commands else None


def _commands(tap: Tap) -> list[tuple[bytes, int, bytes]]:
    issuer = tap.issuer
    if issuer is None:
        return []
    found: list[tuple[bytes, int, bytes]] = []
    if 8 <= len(issuer.data_91) <= 16:
        found.append((Command(0x00, 0x82, 0x00, 0x00, issuer.data_91).encode(), 0, b""))
    elif issuer.data_91:
        tap.decide("VO2", "the issuer authentication data (91) are not 8 to 16 bytes: left out")
    for number, script in enumerate(issuer.scripts, start=1):
        identifier, commands = _script(script)
        if not commands:
            tap.decide("VO2", f"script {number} is none: left out")
        found += [(command, number, identifier) for command in commands]
    return found


def _script(script: bytes) -> tuple[bytes, list[bytes]]:
    """The identifier (9F18, 4 bytes) and the commands of a script; a command by itself is one."""
    if script[:1] not in (b"\x71", b"\x72"):
        return bytes(4), [script] if 4 <= len(script) <= 260 else []
    try:
        tree = tlv.decode(script)
    except DecodeError:
        return bytes(4), []
    inside = tree[0][1] if len(tree) == 1 else ()
    commands = [value for tag, value in inside if tag == 0x86 and len(value) >= 4]
    return (tlv.find(inside, 0x9F18) or b"")[:4].ljust(4, b"\x00"), commands


def hear_issuer(tap: Tap, response: Response, step: str) -> Result | None:
    """Takes the card's answer to an issuer's command; a script ends with its first command that fails.

    Source: EMV 4.4 Book 3 10.10, Book 4 A5 (issuer script results: 20 done, 1n failed at command n)
    """
    command, number, identifier = tap.commands.pop()
    good = response.ok or response.sw >> 8 in (0x62, 0x63)
    if not number:
        tap.decide(step, f"EXTERNAL AUTHENTICATE answered {response.sw:04X}")
        return None
    tap.decide(step, f"script {number}: {command[:4].hex().upper()} answered {response.sw:04X}")
    _, sent, _ = tap.script_results.get(number, (identifier, 0, True))
    tap.script_results[number] = (identifier, sent + 1, good)
    while not good and tap.commands and tap.commands[-1][1] == number:
        tap.commands.pop()
    return None
