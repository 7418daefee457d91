"""A payment channel simulator: merchant QR codes, wallet apps and NFC taps behind one interface."""

from paysim.channels import Capabilities, Channel, Claim, Presentation, Presented, PresentRequest
from paysim.core.clock import SystemClock, VirtualClock
from paysim.core.errors import (
    AuthenticityError,
    ConfigError,
    CurrencyMismatch,
    DecodeError,
    InvalidTransition,
    InvariantBroken,
    JournalDamaged,
    LinkClosed,
    LinkError,
    LinkTimeout,
    LocalProtocolError,
    NoReader,
    PaysimError,
    ProtocolError,
    RemoteProtocolError,
    StoreError,
    Unsupported,
    UsageError,
    VersionConflict,
)
from paysim.core.event import Event, Transfer
from paysim.core.money import CNY, EUR, HKD, JPY, USD, Currency, Money
from paysim.core.operation import Operation, Status, Verb
from paysim.core.outcome import Outcome, OutcomeKind, Reason
from paysim.core.state import State
from paysim.core.transaction import Transaction
from paysim.faults import Fault
from paysim.sandbox import Goods, Order, Person, Prompt, Sandbox, Shop
from paysim.store import SqliteJournal

__version__ = "0.1.0"

__all__ = [
    "CNY",
    "EUR",
    "HKD",
    "JPY",
    "USD",
    "AuthenticityError",
    "Capabilities",
    "Channel",
    "Claim",
    "ConfigError",
    "Currency",
    "CurrencyMismatch",
    "DecodeError",
    "Event",
    "Fault",
    "Goods",
    "InvalidTransition",
    "InvariantBroken",
    "JournalDamaged",
    "LinkClosed",
    "LinkError",
    "LinkTimeout",
    "LocalProtocolError",
    "Money",
    "NoReader",
    "Operation",
    "Order",
    "Outcome",
    "OutcomeKind",
    "PaysimError",
    "Person",
    "PresentRequest",
    "Presentation",
    "Presented",
    "Prompt",
    "ProtocolError",
    "Reason",
    "RemoteProtocolError",
    "Sandbox",
    "Shop",
    "SqliteJournal",
    "State",
    "Status",
    "StoreError",
    "SystemClock",
    "Transaction",
    "Transfer",
    "Unsupported",
    "UsageError",
    "Verb",
    "VersionConflict",
    "VirtualClock",
]
