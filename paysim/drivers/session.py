"""A recorded card: JSON lines that hold what a reader needs to live through it again, without the card.

The first line of a payment is the purchase and the reader's settings, each further one an exchange, in its
order; times are microseconds from the beginning, and left out where they are 0:

    {"paysim": "tap", "version": 1, "purchase": {...}, "reader": {...}, "cards": 1}
    {"command": "00A4040007A000000003101000", "at_us": 31}
    {"response": "6F49...9000", "at_us": 904}      or {"lost": "timeout", "text": "...", "at_us": 5000031}
    {"decision": "V13", "text": "ARQC: online"}    or "card", "issuer", in place of "decision"
    {"shown": "Approved"}
    {"answer": "8A023030"}                         what the issuer said: objects 8A, 91, 71, 72, 86
    {"outcome": "APPROVED", "text": "...", "cvm": "NONE", "tvr": "0000000000", "tsi": "0000"}

No key is in it but the schemes' public ones. The card's number is: without it nothing could be replayed.

Of a card that was only read the first line says what the reader knew of it, and commands and responses
follow. A stranger's number is masked (`*` in the hex) unless it is to be kept; a replay has zeros there:

    {"paysim": "card", "version": 1, "on": "2026-11-27", "unpredictable": "...", "kind": "iso14443-4",
     "atr": "...", "masked": true}
    {"response": "70125A08623456******61435F24033101319000", "at_us": 904}
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import msgspec

from paysim.core.errors import DecodeError, PaysimError
from paysim.crypto.ca_keys import decode_ca_keys, encode_ca_keys
from paysim.emv import masking
from paysim.emv.outcome import Result
from paysim.emv.reader import Combination, Limits, Purchase, Reader

from .dialogue import Exchange, decode_answer, numbers

__all__ = [
    "MAX_LINES",
    "MAX_SIZE",
    "CardRecord",
    "Session",
    "SessionError",
    "decode",
    "encode",
    "is_session",
    "outcome_of",
]

MAX_SIZE: Final = 1_000_000
"""Characters of a recorded session. Assumed: a hundred times a long one."""

MAX_LINES: Final = 10_000

VERSION: Final = 1


class SessionError(DecodeError):
    """This text is no recorded session; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.args = (f"no recorded session: line {line}: {message}",)
        self.line = line


@dataclass(frozen=True)
class Session:
    """A recorded tap: the reader, the purchase, how many cards were held there, the trace, the outcome.

    `outcome` is what the last line says of the reader's result; empty where the card was gone before there
    was one.
    """

    reader: Reader
    purchase: Purchase
    trace: tuple[Exchange, ...]
    cards: int = 1
    outcome: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CardRecord:
    """A card that was read and charged nothing: commands and responses, and the day they were said on.

    `kind` and `atr` are what the reader knew of it (`driver.Present`), `unpredictable` is the number that it
    told the card. Where it is `masked`, `encode` masks card numbers, and what `decode` gives has zeros there.
    """

    trace: tuple[Exchange, ...]
    on: datetime.date
    unpredictable: bytes = bytes(4)
    kind: str = "iso14443-4"
    atr: bytes = b""
    masked: bool = True


def outcome_of(result: Result | None) -> dict[str, str]:
    """What a session's last line says of a reader's result."""
    if result is None:
        return {}
    return {
        "outcome": result.status.name,
        "text": result.why,
        "cvm": result.cvm.name,
        "tvr": result.tvr.hex().upper(),
        "tsi": result.tsi.hex().upper(),
    }


_START: Final = re.compile(r'\s*\{\s*"paysim"\s*:\s*"(tap|card)"')


def is_session(text: str) -> bool:
    """Whether a text claims to be a recorded card, that paid or was read.

    >>> is_session('{"paysim": "tap", "version": 1}')
    True
    """
    return _START.match(text) is not None


# The lines. -----------------------------------------------------------------------------------------------

_Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9A-Fa-f]{2})*$")]
_Masked = Annotated[str, msgspec.Meta(pattern=r"^([0-9A-Fa-f*]{2})*$")]
_Number = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{8}$")]
_Micros = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _Combination(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    aid: _Hex
    kernel: int
    ttq: _Hex | None = None
    status_check: bool | None = None
    zero_amount_allowed: bool | None = None
    transaction_limit: int | None = None
    floor_limit: int | None = None
    cvm_limit: int | None = None
    terminal_floor: int | None = None
    extended_selection: bool | None = None
    exception_file: bool = True
    usage_control: bool = True
    online_authentication: bool = False
    show_balance: bool = True
    ecash_limit: int | None = None
    dynamic_limits: tuple[tuple[_Hex, Limits], ...] = ()


class _Reader(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    combinations: tuple[_Combination, ...]
    ca_keys: list[dict[str, str]] = []
    exception_file: tuple[tuple[str, int | None], ...] = ()
    revoked: tuple[_Hex, ...] = ()
    country: int = 156
    terminal_type: int = 0x22
    capabilities: _Hex = "006808"
    merchant_category: int = 5999
    merchant_id: str = "PAYSIM000000001"
    merchant_name: str = "PAYSIM"
    terminal_id: str = "PAYSIM01"
    kernel1: bool = False


class _Purchase(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    amount_minor: int
    date: datetime.date
    time: datetime.time
    unpredictable: _Hex
    other_minor: int | None = None
    type: int = 0
    currency: int = 156
    exponent: int = 2


class _Head(msgspec.Struct, forbid_unknown_fields=True, tag_field="paysim", tag="tap"):
    version: Literal[1]
    purchase: _Purchase
    reader: _Reader
    cards: int = 1


class _CardHead(msgspec.Struct, forbid_unknown_fields=True, tag_field="paysim", tag="card"):
    version: Literal[1]
    on: datetime.date
    unpredictable: _Number
    kind: str = "iso14443-4"
    atr: _Hex = ""
    masked: bool = True


class _Line(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    command: _Masked | None = None
    response: _Masked | None = None
    lost: Literal["timeout", "transmission", None] = None
    decision: str | None = None
    card: str | None = None
    issuer: str | None = None
    shown: str | None = None
    answer: _Hex | None = None
    outcome: str | None = None
    text: str = ""
    cvm: str = ""
    tvr: _Hex = ""
    tsi: _Hex = ""
    at_us: _Micros = 0


_KINDS: Final = ("command", "response", "lost", "decision", "card", "issuer", "shown", "answer", "outcome")
_KINDS_OF_CARD: Final = _KINDS[:3]
_BYTES: Final = ("command", "response", "answer")


# Writing. -------------------------------------------------------------------------------------------------


def encode(session: Session | CardRecord) -> str:
    """The session as JSON lines."""
    lines = map(_line, session.trace)
    if isinstance(session, CardRecord):
        number, atr = session.unpredictable.hex().upper(), session.atr.hex().upper()
        head = _CardHead(VERSION, session.on, number, session.kind, atr, session.masked)
        return _text([head, *(_masked(session.trace) if session.masked else lines)])
    purchase, reader = _purchase(session.purchase), _reader(session.reader, session.purchase.type)
    outcome = [dict(session.outcome)] if session.outcome else []
    return _text([_Head(VERSION, purchase, reader, session.cards), *lines, *outcome])


def _text(rows: Iterable[object]) -> str:
    return "".join(f"{msgspec.json.encode(row).decode()}\n" for row in rows)


def _line(one: Exchange) -> _Line:
    if one.kind == "response" and one.step:
        return msgspec.convert({"lost": one.step, "text": one.text, "at_us": one.at_us}, _Line)
    if one.kind in _BYTES:
        return msgspec.convert({one.kind: one.data.hex().upper(), "at_us": one.at_us}, _Line)
    if one.kind == "shown":
        return _Line(shown=one.text)
    return msgspec.convert({one.kind: one.step, "text": one.text}, _Line)


def _masked(trace: Iterable[Exchange]) -> Iterator[_Line]:
    """The lines of a trace with no number of it, wherever it stands: one that comes later is known before."""
    trace = tuple(trace)
    known = frozenset(numbers(trace))
    for one in trace:
        line = _line(one)
        if line.command is not None:
            line.command = masking.hexadecimal(one.data, known)
        elif line.response is not None:
            line.response = masking.hexadecimal(one.data[:-2], known) + line.response[-4:]
        yield line


def _purchase(given: Purchase) -> _Purchase:
    found = {name: getattr(given, name) for name in _Purchase.__struct_fields__ if name != "unpredictable"}
    return _Purchase(unpredictable=given.unpredictable.hex().upper(), **found)


_HEX_OF_READER: Final = ("combinations", "ca_keys", "exception_file", "revoked", "capabilities")


def _reader(given: Reader, type: int) -> _Reader:
    plain = {name: getattr(given, name) for name in _Reader.__struct_fields__ if name not in _HEX_OF_READER}
    return _Reader(
        combinations=tuple(map(_combination, given.combinations.get(type, ()))),
        ca_keys=msgspec.json.decode(encode_ca_keys(given.ca_keys))["keys"],
        exception_file=tuple(sorted(given.exception_file, key=str)),
        revoked=tuple(sorted(one.hex().upper() for one in given.revoked)),
        capabilities=given.capabilities.hex().upper(),
        **plain,
    )


_HEX_OF_COMBINATION: Final = ("aid", "ttq", "dynamic_limits")


def _combination(given: Combination) -> _Combination:
    names = [name for name in _Combination.__struct_fields__ if name not in _HEX_OF_COMBINATION]
    return _Combination(
        aid=given.aid.hex().upper(),
        ttq=None if given.ttq is None else given.ttq.hex().upper(),
        dynamic_limits=tuple((start.hex().upper(), limits) for start, limits in given.dynamic_limits),
        **{name: getattr(given, name) for name in names},
    )


# Reading. -------------------------------------------------------------------------------------------------


def decode(text: str) -> Session | CardRecord:
    """The session that these lines are. Raises SessionError, which names the line, for any others."""
    if len(text) > MAX_SIZE:
        raise SessionError(f"more than {MAX_SIZE} characters", 1)
    rows = [(number, row) for number, row in enumerate(text.splitlines(), 1) if row.strip()]
    if not rows or len(rows) > MAX_LINES:
        raise SessionError(f"it has 1 to {MAX_LINES} lines, and this {len(rows)}", 1)
    number, first = rows[0]
    head: _Head | _CardHead = _read(first, number, _Head | _CardHead)
    lines: list[tuple[int, _Line]] = [(at, _read(row, at, _Line)) for at, row in rows[1:]]
    if isinstance(head, _CardHead):
        trace = tuple(_exchanges(lines, _KINDS_OF_CARD, masked=head.masked))
        drawn, atr = bytes.fromhex(head.unpredictable), bytes.fromhex(head.atr)
        return CardRecord(trace, head.on, drawn, head.kind, atr, head.masked)
    return _to_session(head, number, lines)


def _to_session(head: _Head, number: int, lines: list[tuple[int, _Line]]) -> Session:
    try:
        reader, purchase = _to_reader(head.reader, head.purchase.type), _to_purchase(head.purchase)
    except (PaysimError, ValueError) as error:
        raise SessionError(str(error), number) from None
    if not 1 <= head.cards <= _MOST_CARDS:
        raise SessionError(f"cards are 1 to {_MOST_CARDS}", number)
    outcome: dict[str, str] = {}
    if lines and lines[-1][1].outcome is not None:
        outcome = msgspec.to_builtins(msgspec.structs.replace(lines.pop()[1], at_us=0))
    return Session(reader, purchase, tuple(_exchanges(lines, _KINDS[:-1])), head.cards, outcome)


_MOST_CARDS: Final = 16


def _read(row: str, number: int, kind: Any) -> Any:
    try:
        return msgspec.json.decode(row, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SessionError(str(error), number) from None


def _exchanges(
    lines: list[tuple[int, _Line]], known: tuple[str, ...], *, masked: bool = False
) -> Iterator[Exchange]:
    """The exchanges of these lines; a response follows each command, and nothing else."""
    waits = False
    for number, line in lines:
        kinds = [name for name in _KINDS if getattr(line, name) is not None]
        if len(kinds) != 1 or kinds[0] not in known:
            last = ", the outcome last" if "answer" in known else ""
            raise SessionError(f"a line says one of {', '.join(known)}{last}", number)
        kind = kinds[0]
        if (kind == "command" and waits) or (kind in ("response", "lost") and not waits):
            raise SessionError("commands and responses take turns", number)
        waits = kind == "command" or (waits and kind not in ("response", "lost"))
        yield _exchange(line, kind, number, masked=masked)


def _exchange(line: _Line, kind: str, number: int, *, masked: bool) -> Exchange:
    said = str(getattr(line, kind))
    if kind == "lost":
        return Exchange("response", said, line.text, at_us=line.at_us)
    if kind in _BYTES:
        if masking.MASK in said and not masked:
            raise SessionError("digits are masked, and the first line does not say so", number)
        data = bytes.fromhex(said.replace(masking.MASK, "0"))
        if kind == "answer":
            try:
                decode_answer(data)
            except DecodeError as error:
                raise SessionError(str(error), number) from None
        return Exchange(kind, data=data, at_us=line.at_us)
    return Exchange(kind, text=said) if kind == "shown" else Exchange(kind, said, line.text)


def _to_purchase(row: _Purchase) -> Purchase:
    found: dict[str, Any] = {name: getattr(row, name) for name in _Purchase.__struct_fields__}
    found["unpredictable"] = bytes.fromhex(row.unpredictable)
    purchase = Purchase(found.pop("amount_minor"), **found)
    purchase.elements()  # a year that no card can be told is no session either
    return purchase


def _to_reader(row: _Reader, type: int) -> Reader:
    plain = {name: getattr(row, name) for name in _Reader.__struct_fields__ if name not in _HEX_OF_READER}
    return Reader(
        {type: tuple(map(_to_combination, row.combinations))},
        decode_ca_keys(msgspec.json.encode({"keys": row.ca_keys}).decode()),
        frozenset(row.exception_file),
        frozenset(map(bytes.fromhex, row.revoked)),
        capabilities=bytes.fromhex(row.capabilities),
        **plain,
    )


def _to_combination(row: _Combination) -> Combination:
    names = [name for name in _Combination.__struct_fields__ if name not in _HEX_OF_COMBINATION]
    return Combination(
        bytes.fromhex(row.aid),
        ttq=None if row.ttq is None else bytes.fromhex(row.ttq),
        dynamic_limits=tuple((bytes.fromhex(start), limits) for start, limits in row.dynamic_limits),
        **{name: getattr(row, name) for name in names},
    )
