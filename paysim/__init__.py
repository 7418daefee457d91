"""A payment channel simulator: merchant QR codes, wallet apps and NFC taps behind one interface."""

import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
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

# A public name is imported when it is first asked for, so that pytest can load our plugin for nothing.
_HOMES: _typing.Final = {
    "paysim.channels": "Capabilities Channel Claim Presentation Presented PresentRequest",
    "paysim.core.clock": "SystemClock VirtualClock",
    "paysim.core.errors": (
        "AuthenticityError ConfigError CurrencyMismatch DecodeError InvalidTransition InvariantBroken "
        "JournalDamaged LinkClosed LinkError LinkTimeout LocalProtocolError NoReader PaysimError "
        "ProtocolError RemoteProtocolError StoreError Unsupported UsageError VersionConflict"
    ),
    "paysim.core.event": "Event Transfer",
    "paysim.core.money": "CNY EUR HKD JPY USD Currency Money",
    "paysim.core.operation": "Operation Status Verb",
    "paysim.core.outcome": "Outcome OutcomeKind Reason",
    "paysim.core.state": "State",
    "paysim.core.transaction": "Transaction",
    "paysim.faults": "Fault",
    "paysim.sandbox": "Goods Order Person Prompt Sandbox Shop",
    "paysim.store": "SqliteJournal",
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names.split():
            value: object = getattr(_importlib.import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
