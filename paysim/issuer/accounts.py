"""Persons and what they pay with: a wallet balance, debit and credit accounts.

A person is a fold of the stream `person/<id>`. Balances are the ledger's; this module knows the accounts'
names and rules alone.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from paysim.core.errors import UsageError
from paysim.core.event import Event
from paysim.core.money import Money
from paysim.ledger import accounts

__all__ = ["DEFAULT_PIN", "Kind", "Payer", "Source", "check_pin", "fold", "hash_pin"]

DEFAULT_PIN: Final = "123456"
"""The payment PIN of a person who was given none."""

_DEFAULT_NO_PIN_MINOR: Final = 100_000


class Kind(StrEnum):
    """What kind of money a source holds."""

    WALLET = "wallet"
    DEBIT = "debit"
    CREDIT = "credit"


class Source(msgspec.Struct, frozen=True):
    """What a person pays with: its name at the prompt, its kind, and the stem of its ledger accounts."""

    name: str
    kind: Kind
    stem: str

    @property
    def limit_key(self) -> str:
        """How the limits of QR payments group it: all wallets together, each bank account apart."""
        return "wallet" if self.kind is Kind.WALLET else f"bank:{self.name}"


class Payer(msgspec.Struct, frozen=True):
    """A person as the issuer knows them.

    `certificate` says whether their phone holds one, which sets the QR level (A with, B without);
    `agreed_limit_minor` is the daily limit agreed for level A, None for none; up to `no_pin_minor` a code
    that they show is paid without their PIN.
    """

    id: str
    name: str
    pin_hash: str
    certificate: bool
    agreed_limit_minor: int | None
    no_pin_minor: int
    sources: tuple[Source, ...]

    def source(self, name: str = "") -> Source | None:
        """The source of this name, the first for ""; None where there is no such one."""
        if not name:
            return self.sources[0]
        return next((source for source in self.sources if source.name == name), None)

    def knows(self, pin: str) -> bool:
        """Whether `pin` is theirs, compared in constant time."""
        return hmac.compare_digest(self.pin_hash, hash_pin(self.id, pin))


def hash_pin(person: str, pin: str) -> str:
    """What the journal keeps of a PIN: 32 hex digits, which only keep it from being read in passing."""
    return hashlib.sha256(f"paysim pin {person} {pin}".encode()).hexdigest()[:32]


def fold(id: str, events: Iterable[Event]) -> Payer | None:
    """The person whose stream this is; None for an empty stream."""
    payer: Payer | None = None
    for event in events:
        if event.kind == "opened":
            payer = _opened(id, event)
        elif event.kind == "account_opened" and payer is not None:
            source = Source(event.data["name"], Kind(event.data["kind"]), event.data["stem"])
            payer = msgspec.structs.replace(payer, sources=(*payer.sources, source))
    return payer


def _opened(id: str, event: Event) -> Payer:
    data = event.data
    wallet = Source("wallet", Kind.WALLET, data["stem"])
    return Payer(
        id,
        data["name"],
        data.get("pin_hash") or hash_pin(id, DEFAULT_PIN),
        data.get("certificate", True),
        data.get("agreed_limit_minor"),
        data.get("no_pin_minor", _DEFAULT_NO_PIN_MINOR),
        (wallet,),
    )


def opened(id: str, at_ms: int, data: Mapping[str, Any], pin: str, balance: Money | None) -> Event:
    """The fact that a person opened a wallet, with what is put into it; `pin` is "" for DEFAULT_PIN."""
    stem = accounts.payer(id)
    kept = {**data, "stem": stem, **({"pin_hash": hash_pin(id, pin)} if pin else {})}
    transfers = accounts.fund(stem, balance.currency, balance.minor) if balance else ()
    return Event("opened", at_ms, transfers=transfers, data=kept)


def check_pin(pin: str) -> str:
    """`pin` itself; raises UsageError unless it is six digits."""
    if not (isinstance(pin, str) and len(pin) == 6 and pin.isascii() and pin.isdigit()):
        raise UsageError("a payment PIN is six digits")
    return pin
