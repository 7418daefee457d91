"""Cards as data: what each kind of card can do, whose it is, what it is personalised with.

A profile says nothing that a cardholder's own card adds (PAN, keys, dates, currency): `personalise` does.

Source: facts tables G1-G20 and "data of a good card"; what a row assumes stands in its `note`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, NamedTuple

from paysim.core.errors import UsageError

__all__ = ["AIDS", "PROFILES", "RIDS", "Application", "Profile"]

RIDS: Final[Mapping[str, bytes]] = {
    "visa": bytes.fromhex("A000000003"),
    "unionpay": bytes.fromhex("A000000333"),
}
"""Scheme -> registered application provider. Source: ISO/IEC 7816-5 registration; EMV Book B table"""

AIDS: Final[Mapping[str, bytes]] = {
    "visa": bytes.fromhex("A0000000031010"),
    "unionpay debit": bytes.fromhex("A000000333010101"),
    "unionpay credit": bytes.fromhex("A000000333010102"),
    "unionpay e-cash": bytes.fromhex("A000000333010106"),
    "unknown": b"\xf0paysim",
}
"""Assumed: F0 marks names that nobody registers (ISO/IEC 7816-4 8.2.1.2)."""

VISA_PDOL: Final = (
    *((0x9F66, 4), (0x9F02, 6), (0x9F03, 6), (0x9F1A, 2), (0x95, 5), (0x5F2A, 2), (0x9A, 3), (0x9C, 1)),
    (0x9F37, 4),
)
"""What kernel 3 is asked at least, 33 bytes; UnionPay's CVN 01 signs the same. Source: U1 (PP, QP)"""

QUICK_PDOL: Final = ((0x9F66, 4), (0x9F02, 6), (0x9F37, 4), (0x5F2A, 2), (0x9C, 1))
"""UnionPay's CVN 17: U1's minimum, and the type, lest a refund be taken for a purchase (Assumed)."""


MAX_APPLICATIONS: Final = 5
"""Assumed: as many entries as a directory of 256 bytes holds."""


MAX_READER_DATA: Final = 127
"""Bytes that a PDOL may ask for: with template 83 and a length of one byte, a short command."""


class Application(NamedTuple):
    """An application of a card: its ADF name, label, priority (1 is first), kernel asked for (9F2A)."""

    aid: bytes
    label: str
    priority: int = 1
    kernel: bytes = b""


def _frozen(values: Mapping[int, str]) -> Mapping[int, bytes]:
    return MappingProxyType({tag: bytes.fromhex(value) for tag, value in values.items()})


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A kind of card."""

    name: str
    words: str
    scheme: str
    """"visa" or "unionpay": whose table decides at GET PROCESSING OPTIONS."""
    applications: tuple[Application, ...]
    method: str
    """A row of crypto.cryptogram.METHODS."""
    pdol: tuple[tuple[int, int], ...]
    data: Mapping[int, bytes] = field(default_factory=dict)
    """Tag -> value: 9F68 (CAP), 9F6C (CTQ), limits 9F54 9F6B 9F6D 9F77 9F78, and what the answers carry."""
    balance_minor: int = 0
    signs: bool = True
    """The card signs taps (fDDA), and wants a key of its own."""
    reader_chooses_version: bool = False
    """The card signs version 01 only where TTQ b4.8 asks for it, else 00. Source: U8 (QP)"""
    balance_in_iad: bool = False
    """9F10 ends with the balance and its MAC. Source: facts row IAD (QP)"""
    device_cvm: bool = False
    """A phone, whose holder confirms on the device."""
    valid_months: int = 60
    blocked: bool = False
    delays_ms: Mapping[int, int] = field(default_factory=dict)
    """Instruction -> how long the card takes. For the link: the machine itself has no time."""
    fails: Mapping[int, str] = field(default_factory=dict)
    """Number of the command in the card's life (from 1) -> "timeout", "transmission" or "protocol"."""
    note: str = ""

    def __post_init__(self) -> None:
        """Refuses a card that could not answer."""
        tags = {tag for tag, _ in self.pdol}
        wrong = [f"no {tag:02X} in the PDOL" for tag in (0x9F66, 0x9F02, 0x9F37, 0x5F2A) if tag not in tags]
        wrong += [f"no {tag:02X} of 2 bytes" for tag in (0x82, 0x9F6C) if len(self.data.get(tag, b"")) != 2]
        if self.scheme not in RIDS:
            wrong.append(f"no scheme {self.scheme!r}")
        if not 1 <= len(self.applications) <= MAX_APPLICATIONS:
            wrong.append(f"not 1 to {MAX_APPLICATIONS} applications")
        if sum(length for _, length in self.pdol) > MAX_READER_DATA:
            wrong.append(f"more than {MAX_READER_DATA} bytes asked for in the PDOL")
        if wrong:
            raise UsageError(f"the profile {self.name!r} has {', '.join(wrong)}")


VISA: Final = Profile(
    name="visa",
    words="Visa qVSDC with fDDA: offline where reader and limits allow, else online",
    scheme="visa",
    applications=(Application(AIDS["visa"], "VISA CREDIT"),),
    method="visa17",
    pdol=VISA_PDOL,
    data=_frozen(
        {
            0x82: "2000",
            0x9F07: "FF80",
            0x9F68: "8000D000",  # low value check; online PIN at home and abroad, signature
            0x9F6C: "0000",
            0x9F6E: "20700000",
            0x9F6D: "000000000000",
            0x9F77: "000000500000",
            0x9F78: "000000100000",
        }
    ),
    balance_minor=500_000,
    note="Assumed: limits and form factor; 9F07 allows everything everywhere",
)

VISA_ONLINE: Final = replace(
    VISA,
    name="visa-online",
    words="Visa qVSDC without offline data authentication: every payment goes online",
    data=_frozen({0x82: "0000", 0x9F68: "0000D000", 0x9F6C: "0000", 0x9F6E: "20700000"}),
    balance_minor=0,
    signs=False,
)

UNIONPAY: Final = Profile(
    name="unionpay",
    words="UnionPay qUICS debit card with fDDA and no offline money: payments go online",
    scheme="unionpay",
    applications=(Application(AIDS["unionpay debit"], "UnionPay Debit"),),
    method="unionpay01",
    pdol=VISA_PDOL,
    data=_frozen({0x82: "2000", 0x9F07: "FF80", 0x9F68: "0000B000", 0x9F6C: "0040"}),
    reader_chooses_version=True,
    note="Assumed: CVN 01 here, CVN 17 on the e-cash card, so that both are met; CTQ b2.7 (issuer update)",
)

UNIONPAY_ECASH: Final = replace(
    UNIONPAY,
    name="unionpay-ecash",
    words="UnionPay qUICS with e-cash: small amounts are paid offline from the card's balance",
    applications=(Application(AIDS["unionpay debit"], "UnionPay Debit"),),
    method="unionpay17",
    pdol=QUICK_PDOL,
    data=_frozen(
        {
            0x82: "2000",
            0x9F07: "FF80",
            0x9F68: "8000B000",  # low value check; online PIN (own currency), signature, CVM in others
            0x9F6C: "0000",
            0x9F6B: "000000001100",
            0x9F6D: "000000001500",
            0x9F77: "000000100000",
            0x9F78: "000000001000",
        }
    ),
    balance_minor=10_000,
    balance_in_iad=True,
    note="limits of the test rows' card u; Assumed: 9F77",
)

TWO: Final = replace(
    UNIONPAY,
    name="two-applications",
    words="UnionPay with a debit and a credit application; credit is preferred",
    applications=(
        Application(AIDS["unionpay debit"], "UnionPay Debit", 2),
        Application(AIDS["unionpay credit"], "UnionPay Credit", 1),
    ),
    note="Assumed: both are names of one account, and share its counters",
)

UNKNOWN: Final = replace(
    UNIONPAY,
    name="unknown",
    words="a card whose only application no reader knows",
    applications=(Application(AIDS["unknown"], "PAYSIM"),),
)

EXPIRED: Final = replace(VISA, name="expired", words="a Visa card that expired last month", valid_months=-1)

BLOCKED: Final = replace(
    UNIONPAY, name="blocked", words="a UnionPay card whose application its issuer has blocked", blocked=True
)

SLOW: Final = replace(
    UNIONPAY_ECASH,
    name="slow",
    words="the e-cash card at the pace of a real one: about a quarter of a second a tap",
    delays_ms=MappingProxyType({0xA4: 30, 0xA8: 110, 0xB2: 25}),
    note="Assumed: how 165 to 325 ms a tap (wwopenfare) divide among the commands",
)

FLAKY: Final = replace(
    UNIONPAY,
    name="flaky",
    words="a UnionPay card that is held badly: some answers never arrive",
    fails=MappingProxyType({2: "transmission", 5: "timeout"}),
)

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        card.name: card
        for card in (
            VISA,
            VISA_ONLINE,
            UNIONPAY,
            UNIONPAY_ECASH,
            TWO,
            UNKNOWN,
            EXPIRED,
            BLOCKED,
            SLOW,
            FLAKY,
        )
    }
)
"""Name -> profile: the cards that `paysim tap --card` takes."""
