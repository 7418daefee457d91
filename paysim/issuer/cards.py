"""Cards as their issuer knows them: whose they are, which keys they have, what they may do.

An `IssuedCard` never changes; what happens to it (payments, wrong PINs, its loss) is its record's, in
`card_file`. Nothing here shows a PAN: a card is named by its token and its last four digits.

Source: facts 3.6 (9F10); market rules R06, R07
"""

from __future__ import annotations

import datetime
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from paysim.core.errors import UsageError
from paysim.crypto.cryptogram import METHODS, CardKey, issuer_data
from paysim.crypto.inputs import digits, sized

from .accounts import DEFAULT_PIN, hash_pin

__all__ = ["SCHEMES", "CardStatus", "IssuedCard", "KeyRow", "MasterKeys", "Reading"]


class CardStatus(StrEnum):
    """What the issuer has decided about a card. That it has expired is told by its date."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    LOST = "lost"
    STOLEN = "stolen"


@dataclass(frozen=True)
class MasterKeys:
    """An issuer's master keys of one derivation key index: for cryptograms, and for MACs of scripts (or b"").

    Each is 16 bytes.
    """

    cryptogram: bytes = field(repr=False)
    script: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        sized("issuer master key", self.cryptogram, 16)
        sized("issuer script key", self.script, 0, 16)


class KeyRow(NamedTuple):
    """How the 9F10 of a method is known: its first byte, None where that is the key index itself.

    `field` is the row of codec.bits that explains its results; `kind_at` says in which byte of them the type
    of cryptogram stands.
    """

    head: int | None
    field: str
    kind_at: int


_VISA: Final = KeyRow(0x06, "CVR", 1)
_VISA_2: Final = KeyRow(0x1F, "CVR", 1)
_UNIONPAY: Final = KeyRow(0x07, "CVR", 1)
_MCHIP: Final = KeyRow(None, "CVR.mchip", 0)

SCHEMES: Final[Mapping[str, Mapping[str, KeyRow]]] = {
    "visa": {"visa10": _VISA, "visa17": _VISA, "visa18": _VISA, "visa22": _VISA_2},
    "unionpay": {"unionpay01": _UNIONPAY, "unionpay17": _UNIONPAY},
    "mastercard": {"mchip16": _MCHIP, "mchip17": _MCHIP, "mchip20": _MCHIP, "mchip21": _MCHIP},
}
"""Scheme -> the methods that its cards may name in 9F10. Source: facts 3.6 (IAD).

Assumed: the results of Visa's format 2 (CVN 22) lie as those of the other formats.
"""


class Reading(NamedTuple):
    """What the issuer reads in 9F10: by which method, under which key, with which results."""

    method: str
    key_index: int
    results: bytes
    field: str
    kind: int
    """Type of cryptogram that the results speak of: 0 AAC, 1 TC, 2 ARQC."""


@dataclass(frozen=True, kw_only=True)
class IssuedCard:
    """A card of the issuer.

    `token` names it in facts and answers; `holder` is the person's id, `stem` the ledger accounts that it
    pays from, `offline_account` the one that offline approvals are paid from ("": the same). `methods` are
    names of crypto.cryptogram.METHODS (empty: all of its scheme), `keys` are by derivation key index.

    `no_pin` False: the holder has opted out of payments without PIN (R06). Sums are minor units, None for
    no such limit: `no_pin_daily_minor` without PIN a day, `single_minor` a payment, `daily_minor` a day.
    `device_cvm`: it lives in a phone, whose confirmation (9F6C b2.8) stands for the PIN.
    """

    token: str
    pan: str = field(repr=False)
    psn: str
    scheme: str
    expires: datetime.date
    holder: str
    stem: str
    keys: Mapping[int, MasterKeys]
    methods: tuple[str, ...] = ()
    pin_hash: str = field(default="", repr=False)
    no_pin: bool = True
    no_pin_daily_minor: int | None = None
    single_minor: int | None = None
    daily_minor: int | None = None
    device_cvm: bool = False
    offline_account: str = ""
    _made: dict[tuple[str, int, bool], CardKey] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        digits("PAN", self.pan, 8, 19)
        digits("PAN sequence number", self.psn, 2, 2)
        rows = SCHEMES.get(self.scheme)
        if rows is None:
            raise UsageError(f"no scheme {self.scheme!r}; there are {', '.join(SCHEMES)}")
        if not set(self.methods) <= set(rows):
            raise UsageError(f"cards of {self.scheme} have the methods {', '.join(rows)}")
        if not self.token or self.pan in self.token:
            raise UsageError("a card's token is a name of its own, without its number")

    @property
    def last_four(self) -> str:
        """The last digits of the PAN, which may be shown."""
        return self.pan[-4:]

    def __str__(self) -> str:
        return f"{self.token} (...{self.last_four})"

    def read(self, data: bytes) -> Reading | None:
        """What a 9F10 of this card says; None where its version or its key index is none of this card's.

        Raises ElementError where it is too short or too long.
        """
        for method in self.methods or SCHEMES[self.scheme]:
            row = SCHEMES[self.scheme][method]
            if row.head is not None and data[:1] != bytes((row.head,)):
                continue
            found = issuer_data(method, data)
            if found.version == METHODS[method].version and found.key_index in self.keys:
                kind = found.results[row.kind_at] >> 4 & 3
                return Reading(method, found.key_index, found.results, row.field, kind)
        return None

    def key(self, method: str, key_index: int, *, script: bool = False) -> CardKey:
        """The card's own key; derived once."""
        name = (method, key_index, script)
        made = self._made.get(name)
        if made is None:
            master = self.keys[key_index]
            imk = master.script if script else master.cryptogram
            made = self._made[name] = CardKey.of(method, imk, self.pan, self.psn)
        return made

    def knows(self, pin: str) -> bool:
        """Whether this is the card's PIN. Assumed: a card that was given none has its holder's default."""
        known = self.pin_hash or hash_pin(self.holder, DEFAULT_PIN)
        return hmac.compare_digest(known, hash_pin(self.holder, pin))

    @property
    def offline_source(self) -> str:
        """The ledger account that its offline approvals are paid from."""
        return self.offline_account or f"{self.stem}/available"
