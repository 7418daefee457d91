"""The issuer's card file: for each card, what was presented to the issuer and what it decided about it.

A record is the fold of the stream `issued/<token>`. The host reads it and returns facts; whoever keeps the
journal writes them and applies them here. Facts hold no PAN, key or cryptogram:

| fact | data | what follows |
|---|---|---|
| presented | atc, un, pin, currency[, asked] | the counter is used, the number known; a PIN may be awaited |
| cleared | atc, approved_ms, currency, pin | an offline approval was paid: the counter is used |
| status_set | status | active, blocked, lost or stolen |
| pin_unblocked | | wrong PINs are forgotten |
| update_ordered | id, command, data | the card gets a script command with every answer ... |
| update_done | id | ... until it has obeyed |

`pin` is "none", "device", "right", "wrong" or "unreadable".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from paysim.core.errors import ConfigError, UsageError
from paysim.core.event import Event

from .cards import CardStatus, IssuedCard

__all__ = [
    "NUMBERS_KEPT",
    "CardFile",
    "CardRecord",
    "Update",
    "pin_unblocked",
    "status_set",
    "update_done",
    "update_ordered",
]

NUMBERS_KEPT: Final = 64
"""Unpredictable numbers that are remembered of a card. Assumed: as many of its payments are looked at."""

MAX_UPDATES: Final = 8
"""Script commands that may wait for a card. Assumed: what fits into one answer."""

_MAX_ATC: Final = 0xFFFF


class Update(NamedTuple):
    """A script command that waits for its card: CLA INS P1 P2 (4 bytes) and its data, without the MAC."""

    command: bytes
    data: bytes


class CardRecord:
    """What the issuer knows of a card: a fold of its facts."""

    __slots__ = (
        "_numbers",
        "_seen",
        "awaited",
        "card",
        "last_atc",
        "reported_ms",
        "status",
        "updates",
        "wrong_pins",
    )

    def __init__(self, card: IssuedCard, facts: Iterable[Event] = ()) -> None:
        self.card = card
        self.status = CardStatus.ACTIVE
        self.reported_ms: int | None = None
        """Since when it has not been active."""
        self.last_atc = 0
        """The highest counter presented."""
        self.wrong_pins = 0
        """Wrong PINs since the last right one."""
        self.awaited = ""
        """Digest of the payment that was answered by asking for the PIN, and has not come again since."""
        self.updates: dict[str, Update] = {}
        self._seen = 0  # one bit a counter: 8 KiB at most, however long the card lives
        self._numbers: deque[str] = deque(maxlen=NUMBERS_KEPT)
        for fact in facts:
            self.apply(fact)

    def __repr__(self) -> str:
        return f"CardRecord({self.card}, {self.status}, last_atc={self.last_atc})"

    def saw(self, atc: int) -> bool:
        """Whether a payment with this counter was presented before."""
        return self._seen >> atc & 1 == 1

    def saw_number(self, number: bytes) -> bool:
        """Whether one of its last payments had this unpredictable number (9F37)."""
        return number.hex() in self._numbers

    def apply(self, fact: Event) -> None:
        """Takes a fact in; other kinds than the table's change nothing. UsageError for data that are none."""
        try:
            _APPLY.get(fact.kind, _nothing)(self, fact)
        except (KeyError, TypeError, ValueError):
            raise UsageError(f"this {fact.kind!r} is no fact of a card") from None

    def _presented(self, fact: Event) -> None:
        data = fact.data
        self._count(data["atc"])
        self._numbers.append(data["un"])
        self.awaited = data.get("asked", "")
        if data["pin"] == "wrong":
            self.wrong_pins += 1
        elif data["pin"] == "right":
            self.wrong_pins = 0

    def _cleared(self, fact: Event) -> None:
        self._count(fact.data["atc"])

    def _count(self, atc: Any) -> None:
        if type(atc) is not int or not 0 <= atc <= _MAX_ATC:
            raise ValueError
        self._seen |= 1 << atc
        self.last_atc = max(self.last_atc, atc)

    def _status_set(self, fact: Event) -> None:
        self.status = CardStatus(fact.data["status"])
        self.reported_ms = None if self.status is CardStatus.ACTIVE else fact.at_ms

    def _pin_unblocked(self, _fact: Event) -> None:
        self.wrong_pins = 0

    def _update_ordered(self, fact: Event) -> None:
        data = fact.data
        self.updates[data["id"]] = Update(bytes.fromhex(data["command"]), bytes.fromhex(data["data"]))

    def _update_done(self, fact: Event) -> None:
        self.updates.pop(fact.data["id"], None)


def _nothing(_record: CardRecord, _fact: Event) -> None:
    """What a fact of another kind does."""


_APPLY: Final = {
    "presented": CardRecord._presented,
    "cleared": CardRecord._cleared,
    "status_set": CardRecord._status_set,
    "pin_unblocked": CardRecord._pin_unblocked,
    "update_ordered": CardRecord._update_ordered,
    "update_done": CardRecord._update_done,
}


class CardFile:
    """All cards of an issuer, found by number or by token. The numbers stay in memory."""

    def __init__(self, cards: Iterable[IssuedCard] = ()) -> None:
        self._by_token: dict[str, CardRecord] = {}
        self._by_number: dict[tuple[str, str], CardRecord] = {}
        for card in cards:
            self.add(card)

    def __repr__(self) -> str:
        return f"CardFile({len(self._by_token)} cards)"

    def add(self, card: IssuedCard, facts: Iterable[Event] = ()) -> CardRecord:
        """The record of a new card, or of one that has these facts already.

        Raises ConfigError where its token, or its PAN and sequence number, are another card's.
        """
        number = (card.pan, card.psn)
        if card.token in self._by_token or number in self._by_number:
            raise ConfigError(f"the card {card} is in the file already")
        record = self._by_token[card.token] = self._by_number[number] = CardRecord(card, facts)
        return record

    def find(self, pan: str, psn: str) -> CardRecord | None:
        """The record of this number and sequence number."""
        return self._by_number.get((pan, psn))

    def record(self, token: str) -> CardRecord:
        """The record of this token; raises UsageError where there is none."""
        record = self._by_token.get(token)
        if record is None:
            raise UsageError(f"there is no card {token!r} in the file")
        return record

    def apply(self, token: str, facts: Iterable[Event]) -> None:
        """Takes in the facts of an answer, once they are written."""
        record = self.record(token)
        for fact in facts:
            record.apply(fact)


# Facts that the issuer's staff make. --------------------------------------------------------------


def status_set(status: CardStatus, at_ms: int) -> Event:
    """The fact that a card is active, blocked, lost or stolen from `at_ms` on."""
    return Event("status_set", at_ms, data={"status": status.value})


def pin_unblocked(at_ms: int) -> Event:
    """The fact that wrong PINs are forgotten."""
    return Event("pin_unblocked", at_ms)


def update_ordered(record: CardRecord, id: str, command: bytes, data: bytes, at_ms: int) -> Event:
    """The fact that a card is to get a script command: CLA INS P1 P2 and its data, without the MAC.

    Raises UsageError for another length, and where too many wait already.
    """
    if len(command) != 4 or len(data) > 240:
        raise UsageError("a script command is CLA INS P1 P2 and up to 240 bytes of data")
    if len(record.updates) >= MAX_UPDATES:
        raise UsageError(f"{MAX_UPDATES} script commands wait for this card already")
    return Event("update_ordered", at_ms, data={"id": id, "command": command.hex(), "data": data.hex()})


def update_done(id: str, at_ms: int) -> Event:
    """The fact that the card has obeyed a script command."""
    return Event("update_done", at_ms, data={"id": id})
