"""Cards for tests: keys minted once a run, profiles personalised with them, what a reader says to a card."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from paysim.codec import dol, tlv
from paysim.codec.apdu import Command, Response
from paysim.crypto import raw_rsa
from paysim.crypto.raw_rsa import RsaPrivate
from paysim.emv.card import Card
from paysim.emv.memory import Change, Memory
from paysim.emv.personalise import Personalisation, Scheme, make_pan, personalise
from paysim.emv.ppse import PPSE
from paysim.emv.profile import PROFILES, Profile

TODAY = datetime.date(2026, 11, 27)
EXPIRES = datetime.date(2032, 12, 31)
IMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
SCRIPT_IMK = bytes.fromhex("89ABCDEF012345677654321001234567")
PSN = "01"
NO_CHANGE: dict[int, str | None] = {}


@functools.cache
def rsa(bits: int, name: str = "") -> RsaPrivate:
    """A key of this run; another `name`, another key."""
    return raw_rsa.generate(bits)


@functools.cache
def scheme(name: str, ca_bits: int = 1408, issuer_bits: int = 1408) -> Scheme:
    return Scheme(name, rsa(ca_bits, "ca"), rsa(issuer_bits, "issuer"), IMK, SCRIPT_IMK, EXPIRES)


def profile(name: str, changed: Mapping[int, str | None] = NO_CHANGE, **fields: Any) -> Profile:
    """The profile, some of its data changed (hex; None takes them away)."""
    data = dict(PROFILES[name].data)
    for tag, value in changed.items():
        if value is None:
            del data[tag]
        else:
            data[tag] = bytes.fromhex(value)
    return replace(PROFILES[name], data=data, **fields)


def made(of: str | Profile, *, bits: int = 1152, account: int = 7, **options: Any) -> Personalisation:
    card = PROFILES[of] if isinstance(of, str) else of
    keys = scheme(card.scheme).issuer_keys
    return personalise(card, make_pan(card.scheme, account), PSN, keys, rsa(bits), on=TODAY, **options)


def card(of: str | Profile, facts: Iterable[Change | tuple[str, Any]] = (), **options: Any) -> Card:
    """A card whose memory starts as personalised, then with `facts`."""
    new = made(of, **options)
    return Card(new, Memory.of([*new.memory().facts, *facts]))


def send(to: Card, command: Command) -> Response:
    return Response.decode(to.respond(command.encode()))


def select(to: Card, name: bytes = b"", p2: int = 0) -> Response:
    return send(to, Command(0x00, 0xA4, 0x04, p2, name or next(iter(to.made.fcis)), 256))


def select_directory(to: Card) -> Response:
    return select(to, PPSE)


def reader_data(
    to: Card, amount: int = 1000, ttq: str = "26004080", changed: Mapping[int, str] = {}
) -> bytes:
    """What a reader fills the card's PDOL with."""
    values = {
        0x9F66: ttq,
        0x9F02: f"{amount:012}",
        0x9F1A: "0156",
        0x5F2A: "0156",
        0x9A: "261127",
        0x9C: "00",
        0x9F37: "01020304",
        **changed,
    }
    entries = [dol.Entry(tag, length) for tag, length in to.made.profile.pdol]
    return dol.fill(entries, {tag: bytes.fromhex(value) for tag, value in values.items()})


def initiate(
    to: Card, amount: int = 1000, ttq: str = "26004080", changed: Mapping[int, str] = {}
) -> Response:
    """GET PROCESSING OPTIONS, as a reader that selected before."""
    data = reader_data(to, amount, ttq, changed)
    answer = send(to, Command(0x80, 0xA8, 0, 0, bytes((0x83, len(data))) + data, 256))
    assert answer.data[:1] == (b"\x77" if answer.ok else b"")
    return answer


def offered(to: Card, amount: int = 1000, ttq: str = "26004080", changed: Mapping[int, str] = {}) -> Response:
    """A new tap up to the answer to GET PROCESSING OPTIONS."""
    to.power_off()
    select(to)
    return initiate(to, amount, ttq, changed)


def read(to: Card, sfi: int, number: int) -> Response:
    return send(to, Command(0x00, 0xB2, number, sfi << 3 | 4, b"", 256))


def read_all(to: Card) -> list[Response]:
    """Every record that the AFL names, in its order."""
    afl = to.made.afl
    groups = [afl[at : at + 4] for at in range(0, len(afl), 4)]
    found = [read(to, group[0] >> 3, number) for group in groups for number in range(group[1], group[2] + 1)]
    assert all(record.data[0] == 0x70 for record in found if record.ok)
    return found


def objects(response: Response) -> dict[int, bytes]:
    """The data objects of a response in one template: 77, 70, 6F, or that of the object itself."""
    tree = tlv.decode(response.data)
    assert len(tree) == 1
    return {path[-1]: value for path, value in tlv.walk(tree)}


def get_data(to: Card, tag: int) -> Response:
    return send(to, Command(0x80, 0xCA, tag >> 8, tag & 0xFF, b"", 256))
