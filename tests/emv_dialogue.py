"""Taps as data: a card that answers by a script, and a row of tests/scripts/ that is played and judged.

A script is a list of rows (name, command, answer), in tests/scripts/cards.toml. A command ends with `*` where
more may follow. An answer is written as people write TLV:

    77{82=2000 94=@afl 9F36=0001 9F4B=@fdda} 9000

`@name` is made at the time: `@afl`, the certificates `@90 @92 @9F46 @9F48`, the tap's signature `@fdda`.
"""

from __future__ import annotations

import datetime
import functools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paysim.codec import dol, tlv
from paysim.crypto.ca_keys import CaKey
from paysim.crypto.certificate import issue_card, issue_issuer
from paysim.crypto.oda import sign_fast, sign_static
from paysim.crypto.raw_rsa import RsaPrivate, generate
from paysim.emv.card import Card
from paysim.emv.entry_point import Done, EntryPoint, Poll, Send, Step
from paysim.emv.outcome import IssuerResponse
from paysim.emv.personalise import Scheme, make_pan, personalise
from paysim.emv.profile import PROFILES
from paysim.emv.reader import UNIONPAY, VISA, VISA_OFFLINE, Combination, Limits, Purchase, Reader, reader

SCRIPTS = Path(__file__).parent / "scripts"
TODAY = datetime.date(2026, 11, 27)
UNPREDICTABLE = b"\x12\x34\x56\x78"
CA_INDEX = 0xF1
RIDS = {"v": bytes.fromhex("A000000003"), "u": bytes.fromhex("A000000333")}


@dataclass(frozen=True)
class Keys:
    """A CA, an issuer and a card, the same for both schemes."""

    ca: RsaPrivate
    issuer: RsaPrivate
    card: RsaPrivate

    @property
    def ca_keys(self) -> tuple[CaKey, ...]:
        return tuple(CaKey(rid, CA_INDEX, self.ca.public) for rid in RIDS.values())


@functools.cache
def keys() -> Keys:
    return Keys(generate(1408), generate(1152), generate(1024))


@functools.cache
def load(name: str) -> dict[str, Any]:
    return tomllib.loads((SCRIPTS / f"{name}.toml").read_text(encoding="utf-8"))


# The notation. --------------------------------------------------------------------------------------

_TOKEN = re.compile(r"\s*(?:([0-9A-F]+)\{|([0-9A-F]+)=(@?\w*)|(\})|([0-9A-Fa-f]+))")


def parse(text: str) -> tuple[list[Any], bytes]:
    """The tree that the notation says, values as text, and the bytes behind it (the status word)."""
    stack: list[list[Any]] = [[]]
    rest = b""
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        assert found, f"{text[at:]!r} is no notation"
        at = found.end()
        template, tag, value, closed, raw = found.groups()
        if template:
            inside: list[Any] = []
            stack[-1].append((int(template, 16), inside))
            stack.append(inside)
        elif tag:
            stack[-1].append((int(tag, 16), value))
        elif closed:
            stack.pop()
        else:
            rest += bytes.fromhex(raw)
    assert len(stack) == 1, f"a brace is open in {text!r}"
    return stack[0], rest


def change(tree: list[Any], changes: Mapping[int, str]) -> list[Any]:
    """The tree with other values; "-" leaves the object out."""
    changed = []
    for tag, value in tree:
        if isinstance(value, list):
            changed.append((tag, change(value, changes)))
        elif changes.get(tag, value) != "-":
            changed.append((tag, changes.get(tag, value)))
    return changed


def values(tree: list[Any]) -> Iterator[tuple[int, str]]:
    for tag, value in tree:
        if isinstance(value, list):
            yield from values(value)
        else:
            yield tag, value


def script_of(script: str, before: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The rows of a script, others before them."""
    return [*before, *load("cards")[script]]


# The card. ------------------------------------------------------------------------------------------


class ScriptedCard:
    """A card that answers by its script; None is an answer that never comes."""

    def __init__(
        self,
        script: str,
        *,
        changes: Mapping[str, str] | None = None,
        broken: Mapping[str, int] | None = None,
        answers: Mapping[str, str] | None = None,
        lost: Sequence[str] = (),
        extra: str = "",
        dialogue: Sequence[Sequence[str]] = (),
        made_by: Keys | None = None,
    ) -> None:
        self.keys = made_by or keys()
        self.changes = {int(tag, 16): value for tag, value in (changes or {}).items()}
        self.broken = {int(tag, 16): at for tag, at in (broken or {}).items()}
        self.answers = dict(answers or {})
        self.lost = list(lost)
        self.sent: list[str] = []
        self.commands: list[bytes] = []
        self.extra = extra
        self.rid = RIDS[script[0]]
        self.rows = [
            (name, re.sub(r"\s", "", asked), said) for name, asked, said in script_of(script, dialogue)
        ]
        self.given: dict[int, bytes] = {}

    def respond(self, command: bytes) -> bytes | None:
        """The answer to a command; what stands in no row is answered by 6D00."""
        self.commands.append(command)
        for name, asked, said in self.rows:
            text = command.hex().upper()
            if text != asked and not (asked.endswith("*") and text.startswith(asked[:-1])):
                continue
            self.sent.append(name)
            if name == "GPO":
                self._take(command)
            if name in self.lost:
                self.lost.remove(name)
                return None
            return self._answer(self.answers.get(name, said), name)
        self.sent.append(command[:2].hex().upper())
        return self._answer(self.answers.get(command[:2].hex().upper(), "6D00"), "")

    def _take(self, command: bytes) -> None:
        """Remembers what the reader gave for the PDOL."""
        tree = tlv.decode(command[5:-1])
        pdol = self._value("9F38")
        entries = dol.decode(bytes.fromhex(pdol)) if pdol else ()
        self.given = dol.split(entries, tree[0][1]) if tree[0][1] else {}

    def _value(self, tag: str) -> str:
        """A value of the script, changed, and not yet broken."""
        for name, _, said in self.rows:
            tree, _ = parse(self.answers.get(name, said))
            for known, value in values(change(tree, self.changes)):
                if known == int(tag, 16):
                    return value
        return ""

    def _answer(self, text: str, name: str) -> bytes:
        tree, rest = parse(text)
        tree = change(tree, self.changes)
        if name == "GPO" and self.extra and tree and tree[0][0] == 0x77:
            tree[0][1].extend(parse(self.extra)[0])
        return tlv.encode(self._made(tree)) + rest

    def _made(self, tree: list[Any]) -> list[tuple[int, Any]]:
        return [
            (tag, self._made(value) if isinstance(value, list) else self._bytes(tag, value))
            for tag, value in tree
        ]

    def _bytes(self, tag: int, value: str) -> bytes:
        made = self._named(value[1:]) if value.startswith("@") else bytes.fromhex(value)
        if tag in self.broken:
            at = self.broken[tag]
            made = made[:at] + bytes((made[at] ^ 1,)) + made[at + 1 :]
        return made

    def _named(self, name: str) -> bytes:
        if name in ("fdda", "fdda95"):
            elements = {
                "9F37": self.given.get(0x9F37, bytes(4)),
                "9F02": self.given.get(0x9F02, b"")[-6:].rjust(6, b"\0"),
                "5F2A": self.given.get(0x5F2A, bytes(2)),
                "9F69": bytes.fromhex(self._value("9F69") or "01AABBCCDD0000"),
            }
            number = bytes.fromhex(self._value("9F36"))
            return sign_fast(self.keys.card, number, elements, online=name == "fdda95")
        if name == "sda":
            return sign_static(self.keys.issuer, b"\x12\x34", self._static_data())
        return self._certificates[name]

    def _static_data(self) -> bytes:
        """The value of the record REC1, which the AFL of every script says is signed, and the AIP."""
        said = next(said for name, _, said in self.rows if name == "REC1")
        tree, _ = parse(self.answers.get("REC1", said))
        found = tlv.encode(self._plain(change(tree, self.changes)[0][1]))
        return found + (bytes.fromhex(self._value("82")) if self._value("9F4A") else b"")

    def _plain(self, tree: list[Any]) -> list[tuple[int, Any]]:
        return [(tag, bytes.fromhex(value)) for tag, value in tree]

    @functools.cached_property
    def _certificates(self) -> dict[str, bytes]:
        made, pan = self.keys, self._value("5A").rstrip("F")
        until = datetime.date(2030, 12, 31)
        issuer = issue_issuer(made.ca, made.issuer.public, pan[:6], until, b"\x00\x00\x01")
        card = issue_card(made.issuer, made.card.public, pan, until, b"\x00\x00\x02", self._static_data())
        return {
            "90": issuer.certificate,
            "92": issuer.remainder,
            "9F32": issuer.exponent,
            "9F46": card.certificate,
            "9F48": card.remainder,
            "9F47": card.exponent,
        }


class RealCard:
    """paysim's own card behind the same face; what is lost is counted from the first command, 1."""

    def __init__(
        self,
        profile: str,
        *,
        data: Mapping[str, str] | None = None,
        memory: Mapping[str, int] | None = None,
        lost_commands: Sequence[int] = (),
        lost_answers: Sequence[int] = (),
    ) -> None:
        kind = PROFILES[profile]
        changed = {int(tag, 16): bytes.fromhex(value) for tag, value in (data or {}).items()}
        kind = replace(kind, data={**kind.data, **changed})
        made = keys()
        scheme = Scheme(
            kind.scheme, made.ca, made.issuer, bytes(16), bytes(range(16)), datetime.date(2035, 12, 31)
        )
        pan = make_pan(kind.scheme, 7)
        self.card = Card(personalise(kind, pan, "01", scheme.issuer_keys, made.card, on=TODAY))
        for name, value in (memory or {}).items():
            self.card.memory.record(name, value)
        self.lost_commands = lost_commands
        self.lost_answers = lost_answers
        self.commands: list[bytes] = []
        self.given: dict[int, bytes] = {}
        self.said: dict[int, bytes] = {}

    def power_off(self) -> None:
        self.card.power_off()

    def respond(self, command: bytes) -> bytes | None:
        self.commands.append(command)
        if len(self.commands) in self.lost_commands:
            return None
        said = self.card.respond(command)
        if command[1] == 0xA8:
            self.given = dol.split(self.card.made.profile.pdol, tlv.decode(command[5:-1])[0][1])
            if said[-2:] == b"\x90\x00":
                self.said = {path[-1]: value for path, value in tlv.walk(tlv.decode(said[:-2]))}
        return None if len(self.commands) in self.lost_answers else said


# The reader. ----------------------------------------------------------------------------------------

COMBINATIONS = {"V": VISA, "Vo": VISA_OFFLINE, "U": UNIONPAY}


def combination(text: str, changes: Mapping[str, Any]) -> Combination:
    """The combination of a reader's name, with other settings; "-" is absent, `ttq` and `aid` are hex."""
    settings = {key: None if value == "-" else value for key, value in changes.items()}
    for name in ("ttq", "aid"):
        if isinstance(settings.get(name), str):
            settings[name] = bytes.fromhex(settings[name])
    if "dynamic_limits" in settings:
        settings["dynamic_limits"] = tuple(
            (bytes.fromhex(start), Limits(**limits)) for start, limits in settings["dynamic_limits"].items()
        )
    return replace(COMBINATIONS[text], **settings)


def reader_of(row: Mapping[str, Any]) -> Reader:
    """The reader of a row."""
    names = row["reader"].split("+")
    combinations = [combination(names[0], row.get("set", {}))]
    combinations += [combination(name, row.get("set2", {})) for name in names[1:]]
    listed = [(pan, None) for pan in row.get("listed", [])]
    made = reader(*combinations, ca_keys=keys().ca_keys, exception_file=listed)
    return replace(made, **row.get("terminal", {}))


def bought(amount_minor: int, **settings: Any) -> Purchase:
    """A purchase of today, with a number that tests know."""
    given = {"date": TODAY, "time": datetime.time(12), "unpredictable": UNPREDICTABLE, **settings}
    return Purchase(amount_minor, **given)


def purchase_of(row: Mapping[str, Any]) -> Purchase:
    """The purchase of a row."""
    return bought(
        row["amount"],
        other_minor=row.get("other"),
        type=int(row.get("type", "00"), 16),
        currency=row.get("currency", 156),
        exponent=row.get("exponent", 2),
        date=datetime.date.fromisoformat(row.get("date", TODAY.isoformat())),
    )


# A tap. ---------------------------------------------------------------------------------------------


@dataclass
class Played:
    """What a tap came to: the machine, its last step, the commands by name."""

    machine: EntryPoint
    step: Step
    card: Any
    polls: list[Poll] = field(default_factory=list)

    @property
    def steps(self) -> set[str]:
        return {decision.step for decision in self.machine.trace}


def play(
    machine: EntryPoint,
    card: Any,
    *,
    point: Any = "A",
    issuer: IssuerResponse | None = None,
    cards: tuple[int, ...] = (1, 1, 1, 1),
) -> Played:
    """A whole tap: `cards` says how many are in the field at each poll; where it ends, the tap ends."""
    played = Played(machine, machine.start(point, issuer), card)
    fields = iter(cards)
    while not isinstance(played.step, Done):
        if isinstance(played.step, Poll):
            played.polls.append(played.step)
            count = next(fields, None)
            if count is None:
                break
            if hasattr(card, "power_off"):
                card.power_off()
            played.step = machine.cards(count)
        else:
            assert isinstance(played.step, Send)
            said = card.respond(played.step.command)
            played.step = machine.lost("timeout") if said is None else machine.receive(said)
    return played
