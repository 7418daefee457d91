"""The commands of a card in words, as a table: class and instruction, what the parameters say, the data.

Source: EMV 4.4 Book 1 11, Book 3 6.5; EMV Contactless C-2 5 (2A, EA); ISO/IEC 7816-4
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from paysim.codec import tlv
from paysim.codec.apdu import Command
from paysim.codec.tags import look_up

from .explain_values import application_words

__all__ = ["COMMANDS", "Named"]

Words = tuple[str, ...]
Places = tuple[tuple[int, int], ...]


def _nothing(_: Command) -> Words:
    return ()


class Named(NamedTuple):
    """A command: its name, what it asks for in words, and what its data are.

    `tag` says that the data are the value of this tag, `list` that they answer this list of the card,
    `objects` that they are data objects; `format_1` are tags and lengths of an answer in template 80 (0 is
    the rest). `secret` data are not shown.
    """

    name: str
    about: Callable[[Command], Words] = _nothing
    tag: int = 0
    list: int = 0
    objects: bool = False
    format_1: Places = ()
    answers_bytes: bool = False
    selects: bool = False
    secret: bool = False


def _selected(asked: Command) -> Words:
    if asked.p1 != 0x04:
        return (f"by P1 {asked.p1:02X}",)
    which = {0x00: (), 0x02: ("the next of this name",)}.get(asked.p2, (f"P2 {asked.p2:02X}",))
    return (*(application_words(asked.data) or (asked.data.hex().upper(),)), *which)


def _record(asked: Command) -> Words:
    return (f"record {asked.p1} of SFI {asked.p2 >> 3}",)


def _object(asked: Command) -> Words:
    tag = asked.p1 << 8 | asked.p2
    row = look_up(tag) or look_up(tag, 3) or look_up(tag, 7)
    return (f"{tlv.name(tag)} {row.name if row else 'unknown tag'}",)


_TYPES: Final = {0x00: "AAC", 0x40: "TC", 0x80: "ARQC"}


def _cryptogram(asked: Command) -> Words:
    kind = _TYPES.get(asked.p1 & 0xC0, "no known type")
    return (f"{kind} is asked for", *(("with CDA",) if asked.p1 & 0x10 else ()))


_GPO: Final[Places] = ((0x82, 2), (0x94, 0))
_AC: Final[Places] = ((0x9F27, 1), (0x9F36, 2), (0x9F26, 8), (0x9F10, 0))

COMMANDS: Final[Mapping[tuple[int, int], Named]] = {
    (0x00, 0xA4): Named("SELECT", _selected, selects=True),
    (0x00, 0xB2): Named("READ RECORD", _record),
    (0x00, 0x20): Named("VERIFY", lambda _: ("a PIN, not shown",), secret=True),
    (0x00, 0x82): Named("EXTERNAL AUTHENTICATE", tag=0x91),
    (0x00, 0x84): Named("GET CHALLENGE", answers_bytes=True),
    (0x00, 0x88): Named("INTERNAL AUTHENTICATE", list=0x9F49, format_1=((0x9F4B, 0),)),
    (0x00, 0xC0): Named("GET RESPONSE"),
    (0x80, 0xA8): Named("GET PROCESSING OPTIONS", list=0x9F38, format_1=_GPO),
    (0x80, 0xAE): Named("GENERATE AC", _cryptogram, list=0x8C, format_1=_AC),
    (0x80, 0xCA): Named("GET DATA", _object),
    (0x80, 0x2A): Named("COMPUTE CRYPTOGRAPHIC CHECKSUM", list=0x9F69),
    (0x80, 0xEA): Named("EXCHANGE RELAY RESISTANCE DATA", answers_bytes=True),
    (0x84, 0x16): Named("CARD BLOCK"),
    (0x84, 0x18): Named("APPLICATION UNBLOCK"),
    (0x84, 0x1E): Named("APPLICATION BLOCK"),
    (0x84, 0x24): Named("PIN CHANGE/UNBLOCK", lambda _: ("a PIN may be in it: not shown",), secret=True),
    (0x84, 0xDA): Named("PUT DATA", _object),
    (0x84, 0xDC): Named("UPDATE RECORD", _record),
}
"""(CLA, INS) -> the command. Source: EMV 4.4 Book 1 11, Book 3 6.5; C-2 5"""
