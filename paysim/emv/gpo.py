"""What a card decides at GET PROCESSING OPTIONS: `ROWS`, from top to bottom.

A row that holds takes effect and, where it has an answer, ends the table. "Online capable" is a reader
without TTQ b1.4. Rows of one step share its name; the names are those of the facts' table 5.1, and stand in
the trace.

Source: public qPBOC card test scripts (QP), the Visa applet of dcemv (DC); marks in each row.
Assumed: the rows' order where neither source tells; `Assumed` in a row's words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from paysim.codec.bits import bit

from .memory import MAX_ATC, Debit, Memory
from .outcome import Decision
from .personalise import Personalisation

__all__ = ["AAC", "ARQC", "ROWS", "TC", "Fork", "Offer", "Refuse", "Row", "Verdict", "decide"]

AAC: Final = 0x00
TC: Final = 0x40
ARQC: Final = 0x80
"""Cryptogram information data (9F27). Source: EMV 4.4 Book 3 table 15"""

_HIGHEST: Final = 999_999_999_999
_NOTHING: Final = ""
_NO_DEBIT: Final = Debit(0, 0, _NOTHING)


class Verdict(NamedTuple):
    """The cryptogram that the card gives, and bytes 2 to 4 of its verification results."""

    information: int
    results: bytes


class Refuse(NamedTuple):
    """No cryptogram: the status word."""

    sw: int


class Fork(NamedTuple):
    """What an online capable reader gets, and what an offline-only one."""

    online: Verdict
    offline: Verdict


Answer = Verdict | Refuse | Fork


class Offer:
    """A reader's offer as the rows see it: its data, the card's data and memory, what was found so far."""

    __slots__ = (
        "amount",
        "cap",
        "confirmed",
        "ctq",
        "ctta_by",
        "cvm_wanted",
        "data",
        "digits",
        "fits",
        "made",
        "matching",
        "memory",
        "reclaimed",
        "refund",
        "spent",
        "ttq",
    )

    def __init__(
        self, made: Personalisation, memory: Memory, data: bytes, *, confirmed: bool = False
    ) -> None:
        size = made.pdol_size
        self.made = made
        self.memory = memory
        self.fits = len(data) == size + 2 and data[0] == 0x83 and data[1] == size
        self.data = data[2:] if self.fits else bytes(size)
        self.ttq = self.value(0x9F66)
        text = self.value(0x9F02).hex()
        self.digits = text.isdigit()
        self.amount = int(text) if self.digits else 0
        self.matching = self.value(0x5F2A) == made.data[0x9F51]
        self.refund = self.value(0x9C) == b"\x20"
        self.cap = memory.data.get(0x9F68) or made.data.get(0x9F68)
        self.confirmed = confirmed
        self.ctq = made.data[0x9F6C]
        self.cvm_wanted = False
        self.reclaimed = _NO_DEBIT
        self.spent = 0
        self.ctta_by = 0

    def value(self, tag: int) -> bytes:
        """What the reader gave for this tag of the PDOL; nothing, where the PDOL lacks it."""
        place = self.made.slices.get(tag)
        return self.data[place] if place else b""

    def limit(self, tag: int) -> int:
        """An amount of the card (9F54, 9F6B, 9F6D, 9F78), minor units; absent: without end, 9F6D: 0."""
        value = self.memory.data.get(tag) or self.made.data.get(tag)
        if value is None:
            return 0 if tag == 0x9F6D else _HIGHEST
        return int(value.hex())

    def wants(self, name: str) -> bool:
        """Whether this bit of the card's additional processes (9F68, CAP) is set."""
        return self.cap is not None and bit(self.cap, name)

    @property
    def online(self) -> bool:
        """Whether the reader can go online."""
        return not bit(self.ttq, "b1.4")

    @property
    def available(self) -> int:
        """The balance that this payment may take from."""
        return self.memory.balance + self.reclaimed.amount

    @property
    def left(self) -> int:
        """The balance once this payment is done."""
        return self.available - self.spent

    @property
    def total(self) -> int:
        """The CTTA once this payment is done."""
        return self.memory.ctta - self.reclaimed.ctta + self.ctta_by

    @property
    def digest(self) -> str:
        """By which the same data are known again."""
        return hashlib.sha256(self.data).hexdigest()[:16]


class Row(NamedTuple):
    """One row: for which scheme ("" for both), when it holds, what it does, what it answers."""

    step: str
    scheme: str
    holds: Callable[[Offer], bool]
    answer: Answer | None
    words: str
    effect: Callable[[Offer], None] | None = None


def decide(offer: Offer) -> tuple[Verdict | Refuse, list[Decision]]:
    """The card's answer to a reader's offer, and the rows that led to it. Counts the ATC, changes `offer`."""
    trace: list[Decision] = []
    for row in _TABLES[offer.made.profile.scheme]:
        if not row.holds(offer):
            continue
        trace.append(Decision(row.step, row.words))
        if row.effect:
            row.effect(offer)
        if row.answer is not None:
            break
    chosen = _chosen(row.answer or PLAIN, offer)
    if isinstance(chosen, Verdict) and chosen.information == ARQC and PREPAID.holds(offer):
        _prepay(offer)
        trace.append(Decision(PREPAID.step, PREPAID.words))
    return chosen, trace


def _chosen(answer: Answer, offer: Offer) -> Verdict | Refuse:
    if isinstance(answer, Fork):
        return answer.online if offer.online else answer.offline
    return answer


# What rows test. ----------------------------------------------------------------------------------


def _always(_: Offer) -> bool:
    return True


def _is_phone(offer: Offer) -> bool:
    return offer.made.profile.device_cvm


def _has_offline_path(offer: Offer) -> bool:
    """The card may approve by itself: it can prove itself, and a check of its money is switched on."""
    if offer.made.card_key is None:
        return False
    low = offer.wants("b1.8") or offer.wants("b1.7")
    return low or (offer.made.profile.scheme == "unionpay" and offer.wants("b1.6"))


def _passes_balance(offer: Offer) -> bool:
    """G16: within balance and single limit; where one can go online, enough is left for the next time."""
    left = offer.available - offer.amount
    if left < 0 or offer.amount > offer.limit(0x9F78):
        return False
    return not offer.online or left >= offer.limit(0x9F6D)


def _passes_total(offer: Offer) -> bool:
    """G18: the total since the last answer of the issuer stays within its limit."""
    return offer.total + offer.amount <= offer.limit(0x9F54)


def _is_checked(offer: Offer) -> bool:
    return offer.matching and _has_offline_path(offer)


def _counts_total(offer: Offer) -> bool:
    total = offer.wants("b1.7") or (offer.made.profile.scheme == "unionpay" and offer.wants("b1.6"))
    return _is_checked(offer) and total


def _passes_both_or_one(offer: Offer) -> bool:
    """CAP b1.7: balance and total. CAP b1.6: balance or total."""
    if not _counts_total(offer):
        return False
    if offer.wants("b1.7"):
        return _passes_balance(offer) and _passes_total(offer)
    return _passes_balance(offer) or _passes_total(offer)


def _lacks_cvm(offer: Offer) -> bool:
    return offer.cvm_wanted and not any(bit(offer.ctq, name) for name in ("b1.8", "b1.7", "b2.8"))


# What rows do. ------------------------------------------------------------------------------------


def _start(offer: Offer) -> None:
    first, second = offer.ctq
    offer.ctq = bytes((first & 0x3F, second & 0x7F))


def _count(offer: Offer) -> None:
    offer.memory.record("atc", offer.memory.atc + 1)


def _reclaim(offer: Offer) -> None:
    """The torn tap was paid for: this one takes its place, and takes no more than is missing."""
    offer.reclaimed = Debit.decode(offer.memory.debit)


def _forget_debit(offer: Offer) -> None:
    offer.memory.record("debit", _NOTHING)


def _want_cvm(offer: Offer) -> None:
    offer.cvm_wanted = True


def _online_pin(offer: Offer) -> bool:
    return bit(offer.ttq, "b1.3") and offer.wants("b3.8" if offer.matching else "b3.7")


def _signature(offer: Offer) -> bool:
    return bit(offer.ttq, "b1.2") and (offer.cap is None or offer.wants("b3.5"))


def _choose_cvm(offer: Offer) -> None:
    first, second = offer.ctq
    if _is_phone(offer):
        second |= 0x80 if offer.confirmed else 0
    elif _online_pin(offer):
        first |= 0x80
    elif _signature(offer):
        first |= 0x40
    offer.ctq = bytes((first, second))


def _spend(offer: Offer) -> None:
    offer.spent = offer.amount


def _spend_and_total(offer: Offer) -> None:
    offer.spent = offer.amount if _passes_balance(offer) else 0
    offer.ctta_by = offer.amount


def _prepay(offer: Offer) -> None:
    offer.spent = offer.amount if offer.amount <= offer.available else 0


# The table. ---------------------------------------------------------------------------------------


def _verdict(information: int, results: str) -> Verdict:
    return Verdict(information, bytes.fromhex(results))


APPROVE: Final = _verdict(TC, "900000")
ONLINE: Final = _verdict(ARQC, "A00000")
DECLINE: Final = _verdict(AAC, "800000")
PLAIN: Final = Fork(ONLINE, DECLINE)
PIN_BLOCKED: Final = Fork(_verdict(ARQC, "A04000"), _verdict(AAC, "804000"))
NEW_CARD: Final = Fork(_verdict(ARQC, "A01000"), DECLINE)
VELOCITY: Final = Fork(_verdict(ARQC, "A02000"), _verdict(AAC, "802000"))

U, V = "unionpay", "visa"

PREPAID: Final = Row(
    "G19",
    U,
    lambda o: o.wants("b2.8") and o.made.profile.scheme == U,
    None,
    "prepaid: an ARQC takes the amount, too",
    _prepay,
)

# fmt: off
ROWS: Final[tuple[Row, ...]] = (
    Row("G1", "", lambda o: not o.fits, Refuse(0x6700), "the data are not 83 and what the PDOL asks for"),
    Row("G1", "", lambda o: not o.digits, Refuse(0x6A80), "the amount is no number (Assumed)"),
    Row("G2", U, lambda o: not bit(o.ttq, "b1.6"), Refuse(0x6700), "the reader does not offer qPBOC"),
    Row("G2", V, lambda o: not bit(o.ttq, "b1.6"), Refuse(0x6985), "the reader does not offer qVSDC"),
    Row("G3", "", _always, None, "CTQ without CVM, CVR 03 80 00 00, CID 00", _start),
    Row("G4", "", lambda o: o.memory.refuses, Refuse(0x6985), "the application is blocked"),
    Row("G5", "", _always, None, "the ATC goes up", _count),
    Row("G5", "", lambda o: o.memory.atc >= MAX_ATC, Refuse(0x6985), "the ATC is at its end: for good"),
    Row("G16", "", lambda o: o.memory.debit != _NOTHING and o.memory.debit.endswith(f":{o.digest}"), None,
        "the same data as at the last debit: this tap takes the torn one's place", _reclaim),
    Row("G16", "", lambda o: o.memory.debit != _NOTHING and not o.reclaimed.digest, None,
        "other data: the last debit is final", _forget_debit),
    Row("G6", "", lambda o: bit(o.ttq, "b2.7"), None, "the reader wants a CVM", _want_cvm),
    Row("G6", "", lambda o: o.matching and o.amount > o.limit(0x9F6B), None,
        "the amount is above the card's CVM limit", _want_cvm),
    Row("G6", U, lambda o: not o.matching and o.wants("b3.6"), None,
        "the card wants a CVM in other currencies", _want_cvm),
    Row("G9", "", lambda o: o.cvm_wanted and _is_phone(o) and not o.confirmed, Refuse(0x6986),
        "the holder has not confirmed on the device"),
    Row("G7", "", lambda o: o.cvm_wanted or o.confirmed, None, "the first CVM that both have", _choose_cvm),
    Row("G8", U, _lacks_cvm, Refuse(0x6985), "no CVM that both have"),
    Row("G8", V, _lacks_cvm, Refuse(0x6984), "no CVM that both have"),
    Row("G10", U, lambda o: o.wants("b1.2") and bit(o.ttq, "b1.5") and bit(o.ttq, "b2.8"), Refuse(0x6985),
        "the card prefers contact"),
    Row("G10", V, lambda o: o.wants("b1.2") and bit(o.ttq, "b1.5") and bit(o.ttq, "b2.8"), Refuse(0x6984),
        "the card prefers contact (Assumed: newer cards)"),
    Row("G11", U, lambda o: not o.matching and o.wants("b2.7"), DECLINE, "another currency is not allowed"),
    Row("G11", "", lambda o: o.refund, DECLINE, "a refund: the card approves none (Assumed)"),
    Row("G12", "", lambda o: not o.memory.pin_tries and o.wants("b1.4"), PIN_BLOCKED, "no PIN tries left"),
    Row("G13", U, lambda o: not o.memory.last_online and o.wants("b1.5") and (o.online or o.wants("b2.6")),
        NEW_CARD, "a new card: no payment was online yet"),
    Row("G14", "", lambda o: bit(o.ttq, "b2.8"), ONLINE, "the reader wants an online cryptogram"),
    Row("G14", "", lambda o: not o.amount and o.made.card_key is not None, APPROVE, "an amount of zero"),
    Row("G18", "", _passes_both_or_one, APPROVE, "balance and total allow it", _spend_and_total),
    Row("G17", "", _counts_total, VELOCITY, "balance or total does not allow it"),
    Row("G16", "", lambda o: _is_checked(o) and _passes_balance(o), APPROVE, "the balance allows it", _spend),
    Row("G17", "", _is_checked, VELOCITY, "the balance does not allow it"),
    Row("G20", V, lambda o: not o.matching and o.wants("b1.3") and _has_offline_path(o), APPROVE,
        "offline in another currency is allowed (Assumed: no amount is counted)"),
    Row("G20", "", _always, PLAIN, "no offline path, or another currency"),
)
# fmt: on
"""Source: facts table 5.1. The row of G19 stands apart, since it follows on an ARQC of any row. G9 stands
before G7: a phone whose holder has not confirmed answers 6986, whatever else is common."""

_TABLES: Final[Mapping[str, tuple[Row, ...]]] = {
    scheme: tuple(row for row in ROWS if row.scheme in ("", scheme)) for scheme in (U, V)
}
