"""GET PROCESSING OPTIONS to a stranger's card: whether it is asked, and what the card is told.

The amount is zero and the payment must go online, so a card that has money of its own gives none: every
other object that it asks for is zeros, the e-cash indicator (9F7A) among them. Left alone is whatever may be
a purse, is blocked, or could not be told to go online.

Source: EMV 4.4 Book 3 6.5.8; EMV Contactless C-3, C-7; facts 3.4, 3.9
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final

from paysim.codec import dol, formats, tlv
from paysim.codec.apdu import OK, Command
from paysim.core.errors import DecodeError

from .inspection_findings import AFL, AIP, Found, objects

__all__ = ["command", "options", "reader_values", "why_not"]

PURSES: Final = (bytes.fromhex("A000000333010106"), bytes.fromhex("A000000632"))
"""Pure e-cash, and China T-Union's transit purses: never asked. Assumed: that RID is theirs alone"""

FORCED_ONLINE: Final[Mapping[int, bytes]] = {
    3: bytes.fromhex("27804000"),
    7: bytes.fromhex("26804080"),
}
"""Kernel -> TTQ (9F66): an online capable reader that wants an online cryptogram (b2.8); others as Visa."""

TERMINAL: Final[Mapping[int, bytes]] = {
    0x9F1A: bytes.fromhex("0156"),
    0x5F2A: bytes.fromhex("0156"),
    0x9F33: bytes.fromhex("E060C8"),
    0x9F35: b"\x21",
}
"""Attended, online only, CNY. Assumed"""

MAX_READER_DATA: Final = 252

_PDOL: Final = 0x9F38
_TTQ: Final = 0x9F66
_TTQ_LENGTH: Final = 4
_TEMPLATE: Final = 0x83
_FORMAT_1: Final = 0x80
_FORMAT_2: Final = 0x77


def reader_values(on: datetime.date, unpredictable: bytes) -> dict[int, bytes]:
    """What the card may be told of the reader; whatever is not among it is zeros."""
    return {**TERMINAL, 0x9A: formats.encode_date(on), 0x9F37: unpredictable}


def why_not(found: Found) -> str:
    """Why the application is left alone; empty where it may be asked."""
    if found.sw != OK:
        return f"SELECT answers {found.sw:04X}"
    if _may_be_purse(found.names):
        return "an application of pure e-cash is left alone"
    try:
        entries = dol.decode(found.objects.get(_PDOL, b""))
    except DecodeError:
        return "its PDOL cannot be read"
    if dol.size(entries) > MAX_READER_DATA:
        return "its PDOL asks for more than a command holds"
    if any(tag == _TTQ and length != _TTQ_LENGTH for tag, length in entries):
        return "it cannot be told to go online: its PDOL asks for another TTQ than there is"
    return ""


def _may_be_purse(names: tuple[bytes, ...]) -> bool:
    """Whether one of these names is a purse's, or the last is only the beginning of one."""
    return any(
        any(name.startswith(purse) for name in names) or purse.startswith(names[-1]) for purse in PURSES
    )


def command(found: Found, values: Mapping[int, bytes]) -> bytes:
    """The command, its data as the card's PDOL asks for them."""
    ttq = FORCED_ONLINE.get(found.kernel, FORCED_ONLINE[3])
    entries = dol.decode(found.objects.get(_PDOL, b""))
    filled = dol.fill(entries, {**values, _TTQ: ttq}, found.kernel)
    return Command(0x80, 0xA8, 0, 0, tlv.encode(((_TEMPLATE, filled),)), 256).encode()


def options(data: bytes) -> dict[int, bytes] | None:
    """The objects of the answer: template 77, or AIP and AFL in 80; None where it is neither.

    Source: EMV 4.4 Book 3 6.5.8.4
    """
    span = next(tlv.spans(data), None)
    if span is None or span.tag not in (_FORMAT_1, _FORMAT_2):
        return None
    value = data[span.value : span.stop]
    if span.tag == _FORMAT_2:
        return objects(value)
    return {AIP: value[:2], AFL: value[2:]} if len(value) >= 2 else None
