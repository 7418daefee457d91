"""A card's non-volatile memory as its own book: every change is a fact, the memory is their fold.

The card records a change at the point where the standard lets a real one commit it, so a field that
fails before that point leaves no trace and one that fails behind it does. Whoever keeps the book takes
the new facts (`take`) and writes them; `Memory.of` reads them back. The facts hold no key, no
cryptogram and no PAN, and are the same for the same inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from paysim.core.errors import UsageError

__all__ = ["KINDS", "MAX_ATC", "MAX_BALANCE", "PIN_TRIES", "PUTTABLE", "Change", "Debit", "Memory"]

MAX_ATC: Final = 0xFFFF
"""A counter that has come here makes the card refuse for good. Source: facts table G5 (QP, DC)"""

PIN_TRIES: Final = 3
"""Assumed: wrong PINs that a card bears (9F17)."""

KINDS: Final[Mapping[str, str]] = {
    "atc": "application transaction counter (9F36)",
    "balance": "offline balance (9F79), minor units",
    "ctta": "cumulative total transaction amount, minor units",
    "pin_tries": "PIN tries left (9F17)",
    "last_online": "counter of the last payment that the issuer answered (9F13)",
    "blocked": "1: the application is blocked, 0: it is not",
    "card_blocked": "1: the card is blocked for good",
    "debit": "the last debit: amount from the balance, amount on the CTTA, digest of the reader's data",
    "online": "the last payment, if it went online: its CVR (3 bytes) and the reader's data, hex",
}
"""Kind of a change -> what its value is. Besides, `PUTTABLE` tags in hex, whose value is hex."""

PUTTABLE: Final[Mapping[int, int]] = {0x9F54: 6, 0x9F6B: 6, 0x9F6D: 6, 0x9F77: 6, 0x9F78: 6, 0x9F68: 4}
"""Data objects that an issuer script may put -> bytes. Assumed: the limits and the card's processes."""

MAX_BALANCE: Final = 9_999_999_999
"""Minor units; 9F10 shows ten digits of it. Source: facts row IAD (QP)"""

_MOST: Final = {
    "atc": MAX_ATC,
    "balance": MAX_BALANCE,
    "ctta": 10**18,
    "pin_tries": 15,
    "last_online": MAX_ATC,
    "blocked": 1,
    "card_blocked": 1,
}
_TAGS: Final = {f"{tag:02X}": tag for tag in PUTTABLE}
_HEX: Final = re.compile("([0-9a-f]{2})*")
_CAP: Final = 0x9F68


class Change(NamedTuple):
    """A fact of a card's memory: `kind` is a row of KINDS or a tag of PUTTABLE, `value` the new one."""

    kind: str
    value: int | str


class Debit(NamedTuple):
    """An offline debit that the same data of a reader take back, once."""

    amount: int
    ctta: int
    digest: str

    def encode(self) -> str:
        """The fact's text: decimal amounts and the digest, with colons between.

        >>> Debit(990, 0, "0011").encode()
        '990:0:0011'
        """
        return f"{self.amount}:{self.ctta}:{self.digest}"

    @classmethod
    def decode(cls, text: str) -> Debit:
        """The debit of a fact's text; UsageError for another text.

        >>> Debit.decode("990:0:0011").amount
        990
        """
        amount, _, rest = text.partition(":")
        ctta, _, digest = rest.partition(":")
        if not (amount.isdigit() and ctta.isdigit() and digest):
            raise UsageError(f"{text!r} is no debit of a card")
        return cls(int(amount), int(ctta), digest)


class Memory:
    """What a card keeps without power. `facts` are the changes that nobody took yet."""

    __slots__ = (
        "atc",
        "balance",
        "blocked",
        "card_blocked",
        "ctta",
        "data",
        "debit",
        "facts",
        "last_online",
        "online",
        "pin_tries",
    )

    def __init__(self) -> None:
        self.atc = 0
        self.balance = 0
        self.ctta = 0
        self.pin_tries = PIN_TRIES
        self.last_online = 0
        self.blocked = 0
        self.card_blocked = 0
        self.debit = ""
        self.online = ""
        self.data: dict[int, bytes] = {}
        self.facts: list[Change] = []

    @classmethod
    def of(cls, facts: Iterable[Change | tuple[str, int | str]]) -> Memory:
        """The memory that these facts lead to; its own `facts` are empty. UsageError for what is no fact.

        >>> Memory.of([Change("atc", 7), Change("balance", 10000), Change("balance", 9010)])
        Memory(atc=7, balance=9010)
        """
        memory = cls()
        for kind, value in facts:
            memory._set(kind, value)
        return memory

    def record(self, kind: str, value: int | str) -> None:
        """Changes the memory and notes the fact."""
        self._set(kind, value)
        self.facts.append(Change(kind, value))

    def take(self) -> tuple[Change, ...]:
        """The facts since the last time; they are whoever takes them's to keep."""
        facts = tuple(self.facts)
        self.facts.clear()
        return facts

    @property
    def refuses(self) -> bool:
        """Whether the application pays no more: blocked by its issuer, or its counter has come to its end."""
        return bool(self.blocked) or self.atc >= MAX_ATC

    def __repr__(self) -> str:
        return f"Memory(atc={self.atc}, balance={self.balance})"

    def _set(self, kind: str, value: int | str) -> None:
        if not _is_fact(kind, value):
            raise UsageError(f"{kind!r} with {type(value).__name__} is no fact of a card's memory")
        if kind in _TAGS:
            self.data[_TAGS[kind]] = bytes.fromhex(str(value))
        else:
            setattr(self, kind, value)


def _is_fact(kind: str, value: object) -> bool:
    if kind in _MOST:
        return type(value) is int and 0 <= value <= _MOST[kind]
    if not isinstance(value, str):
        return False
    if kind == "debit":
        return not value or re.fullmatch("[0-9]+:[0-9]+:[0-9a-f]+", value, re.ASCII) is not None
    if kind in _TAGS and len(value) != 2 * PUTTABLE[_TAGS[kind]]:
        return False
    if kind in _TAGS and _TAGS[kind] != _CAP:
        return value.isascii() and value.isdigit()
    return (kind == "online" or kind in _TAGS) and _HEX.fullmatch(value) is not None
