"""What a contactless reader is set to: combinations of application and kernel, limits, keys and lists.

Every limit of a `Combination` is in minor units, or None: absent, and then its test is skipped. `Purchase`
is what the terminal gives for one tap. `READER_V`, `READER_VO`, `READER_U` make the readers of the test rows.

Source: EMV Contactless Book A 5, Book B 3.1
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

from paysim.codec.formats import encode_date, encode_n, encode_time
from paysim.core.errors import UsageError
from paysim.crypto.ca_keys import CaKey

__all__ = [
    "CASH",
    "CASHBACK",
    "CASH_DISBURSEMENT",
    "KERNEL_UNIONPAY",
    "KERNEL_VISA",
    "PURCHASE",
    "READER_U",
    "READER_V",
    "READER_VO",
    "REFUND",
    "TYPES",
    "UNIONPAY",
    "VISA",
    "VISA_OFFLINE",
    "Combination",
    "Limits",
    "Purchase",
    "Reader",
    "reader",
]

KERNEL_VISA: Final = 3
KERNEL_UNIONPAY: Final = 7

PURCHASE: Final = 0x00
CASH: Final = 0x01
CASHBACK: Final = 0x09
CASH_DISBURSEMENT: Final = 0x17
REFUND: Final = 0x20

TYPES: Final = (PURCHASE, CASH, CASHBACK, CASH_DISBURSEMENT, REFUND)
"""Transaction types (9C) of a ready-made reader: purchase, cash, with cashback, disbursement, refund."""


class Limits(NamedTuple):
    """A set of limits in minor units, None where absent; names as in Book B: RCTL, RCFL, RCVL, 9F1B."""

    transaction_limit: int | None = None
    """At this amount and above the application is not allowed."""
    floor_limit: int | None = None
    """Above this amount the payment goes online."""
    cvm_limit: int | None = None
    """At this amount and above the cardholder is verified."""
    terminal_floor: int | None = None
    """The terminal floor limit (9F1B), for a combination without `floor_limit`."""
    status_check: bool | None = None
    zero_amount_allowed: bool | None = None


@dataclass(frozen=True, slots=True)
class Combination:
    """An application (how its AID starts, 5 to 16 bytes), the kernel that processes it, their settings.

    `kernel` is the kernel identifier as a number: one byte, or three and more, domestic (0x821234).
    `ttq` is 4 bytes (9F66) or None. `dynamic_limits` maps an application program id (9F5A, or how it starts)
    to limits that replace the combination's own.

    Source: EMV Contactless Book B 3.1.1, Book A 5
    """

    aid: bytes
    kernel: int
    ttq: bytes | None = None
    status_check: bool | None = None
    zero_amount_allowed: bool | None = None
    transaction_limit: int | None = None
    floor_limit: int | None = None
    cvm_limit: int | None = None
    terminal_floor: int | None = None
    extended_selection: bool | None = None
    exception_file: bool = True
    """Whether the exception file is looked at (V15, U6)."""
    usage_control: bool = True
    """Whether the application usage control (9F07) is looked at (V16)."""
    online_authentication: bool = False
    """Whether offline data authentication is wanted of payments that go online (V11)."""
    show_balance: bool = True
    """Whether the card's balance (9F5D) is shown with an approval (VO1)."""
    ecash_limit: int | None = None
    """The terminal's e-cash limit (9F7B) of kernel 7; None: e-cash is not asked for (U12)."""
    dynamic_limits: tuple[tuple[bytes, Limits], ...] = ()

    def __post_init__(self) -> None:
        if not 5 <= len(self.aid) <= 16:
            raise UsageError("an AID has 5 to 16 bytes")
        if self.ttq is not None and len(self.ttq) != 4:
            raise UsageError("the TTQ (9F66) has 4 bytes")
        if self.kernel < 1:
            raise UsageError("a kernel identifier is a positive number")

    @property
    def limits(self) -> Limits:
        """The combination's own limits."""
        return Limits(
            self.transaction_limit,
            self.floor_limit,
            self.cvm_limit,
            self.terminal_floor,
            self.status_check,
            self.zero_amount_allowed,
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """A contactless reader's settings.

    `combinations` are those of each transaction type (9C), in the order of preference; `exception_file` holds
    (PAN, PSN) of listed cards, PSN None for every card of the number; `revoked` 9 bytes an issuer
    certificate (RID, CA index, serial). `country` is the numeric code (9F1A). `kernel1` says that kernel 1
    takes Visa cards that kernel 3 does not.
    """

    combinations: Mapping[int, tuple[Combination, ...]]
    ca_keys: tuple[CaKey, ...] = ()
    exception_file: frozenset[tuple[str, int | None]] = frozenset()
    revoked: frozenset[bytes] = frozenset()
    country: int = 156
    terminal_type: int = 0x22
    """9F35; 22: attended, offline with online capability, operated by the merchant."""
    capabilities: bytes = bytes.fromhex("006808")
    """9F33: no contact interface; online PIN, signature, no CVM; CDA."""
    merchant_category: int = 5999
    merchant_id: str = "PAYSIM000000001"
    merchant_name: str = "PAYSIM"
    terminal_id: str = "PAYSIM01"
    kernel1: bool = False
    elements: Mapping[int, bytes] = field(init=False, repr=False, compare=False)
    """The terminal's own data objects, tag -> value."""

    def __post_init__(self) -> None:
        if len(self.capabilities) != 3:
            raise UsageError("terminal capabilities (9F33) have 3 bytes")
        if not (0 <= self.country <= 999 and 0 <= self.terminal_type <= 0xFF):
            raise UsageError("the country is three digits and the terminal type one byte")
        elements = {
            0x9F15: encode_n(self.merchant_category, 2),
            0x9F16: self.merchant_id.encode("ascii", "replace"),
            0x9F1A: encode_n(self.country, 2),
            0x9F1C: self.terminal_id.encode("ascii", "replace"),
            0x9F33: self.capabilities,
            0x9F35: bytes((self.terminal_type,)),
            0x9F39: b"\x07",
            0x9F4E: self.merchant_name.encode("ascii", "replace"),
        }
        object.__setattr__(self, "elements", MappingProxyType(elements))


@dataclass(frozen=True, slots=True)
class Purchase:
    """One tap's data: amounts in minor units, type (9C, a refund is 0x20), currency (numeric), when.

    `unpredictable` is 4 fresh random bytes (9F37). `other_minor` is the cashback (9F03), None where the
    terminal gives none. Raises UsageError for what no field can carry.
    """

    amount_minor: int
    _: KW_ONLY
    date: datetime.date
    time: datetime.time
    unpredictable: bytes
    other_minor: int | None = None
    type: int = PURCHASE
    currency: int = 156
    exponent: int = 2

    def __post_init__(self) -> None:
        amounts = (self.amount_minor, self.other_minor or 0)
        if not all(0 <= amount < 10**12 for amount in amounts) or not 0 <= self.currency <= 999:
            raise UsageError("an amount has 1 to 12 digits, a currency three")
        if len(self.unpredictable) != 4 or not 0 <= self.type <= 0x99 or not 0 <= self.exponent <= 9:
            raise UsageError("the unpredictable number has 4 bytes, a type two digits, an exponent one")

    def elements(self) -> dict[int, bytes]:
        """The transaction's data objects, tag -> value."""
        other = {} if self.other_minor is None else {0x9F03: encode_n(self.other_minor, 6)}
        return other | {
            0x9F02: encode_n(self.amount_minor, 6),
            0x5F2A: encode_n(self.currency, 2),
            0x5F36: bytes((self.exponent,)),
            0x9A: encode_date(self.date),
            0x9C: bytes((self.type,)),
            0x9F21: encode_time(self.time),
            0x9F37: self.unpredictable,
        }


VISA: Final = Combination(
    bytes.fromhex("A000000003"),
    KERNEL_VISA,
    bytes.fromhex("26004000"),
    transaction_limit=20_000,
    floor_limit=8_000,
    cvm_limit=5_000,
)
"""The combination of test reader V."""

VISA_OFFLINE: Final = Combination(
    bytes.fromhex("A000000003"),
    KERNEL_VISA,
    bytes.fromhex("2E004000"),
    transaction_limit=20_000,
    floor_limit=8_000,
    cvm_limit=5_000,
)
"""The combination of test reader Vo: offline only."""

UNIONPAY: Final = Combination(
    bytes.fromhex("A000000333"),
    KERNEL_UNIONPAY,
    bytes.fromhex("26004080"),
    transaction_limit=20_000,
    floor_limit=8_000,
    cvm_limit=5_000,
)
"""The combination of test reader U."""


def reader(
    *combinations: Combination,
    ca_keys: Iterable[CaKey] = (),
    exception_file: Iterable[tuple[str, int | None]] = (),
) -> Reader:
    """A reader with these combinations for every transaction type of TYPES."""
    return Reader(
        dict.fromkeys(TYPES, combinations), tuple(ca_keys), exception_file=frozenset(exception_file)
    )


READER_V: Final = partial(reader, VISA)
"""Called with `ca_keys=`: test reader V."""

READER_VO: Final = partial(reader, VISA_OFFLINE)
"""Called with `ca_keys=`: test reader Vo, the same offline only."""

READER_U: Final = partial(reader, UNIONPAY)
"""Called with `ca_keys=`: test reader U."""
