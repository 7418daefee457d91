"""The chart of accounts and the double entry.

Every money event carries transfers; each debits one account and credits another by the same amount, so
that all balances of a currency sum to zero. Balances are kept credit less debit: what the operator owes
(a wallet, a merchant's takings) is positive, what it has (the float) is negative.
Source: DESIGN section 5.
"""

from __future__ import annotations

from typing import Final

from paysim.core.event import Transfer

__all__ = [
    "BANK_RESERVE",
    "CARD_COVER",
    "CHART",
    "ECASH_FLOAT",
    "FEES",
    "OFFLINE_LOSS",
    "REFUND_ABNORMAL",
    "REFUND_SUSPENSE",
    "WALLET_FLOAT",
    "bank",
    "capture",
    "clear_card",
    "cover_card",
    "fund",
    "hold",
    "is_account",
    "load_card",
    "lose_card",
    "merchant",
    "overdraws",
    "payer",
    "refund",
    "refund_arrived",
    "refund_begun",
    "refund_closed",
    "refund_stranded",
    "release",
    "settle",
    "tally_name",
    "undo",
]

WALLET_FLOAT: Final = "wallet/float"
BANK_RESERVE: Final = "bank/reserve"
FEES: Final = "fees"
REFUND_SUSPENSE: Final = "refund/suspense"
REFUND_ABNORMAL: Final = "refund/abnormal"
ECASH_FLOAT: Final = "ecash/float"
OFFLINE_LOSS: Final = "offline/loss"
CARD_COVER: Final = "card/cover"

CHART: Final[tuple[tuple[str, str, bool], ...]] = (
    ("payer/<person>/available", "a wallet balance", True),
    ("payer/<person>/held", "authorized from a wallet and not yet captured", True),
    ("bank/<person>/<name>/available", "a bank account, or what is left of a credit line", True),
    ("bank/<person>/<name>/held", "authorized from a bank account and not yet captured", True),
    ("merchant/<shop>/pending", "captured and not yet settled", True),
    ("merchant/<shop>/available", "settled takings", True),
    (FEES, "what the operator earned", True),
    (REFUND_SUSPENSE, "refunds on their way to the payer", True),
    (REFUND_ABNORMAL, "refunds that did not reach the payer and wait to be resolved", True),
    (ECASH_FLOAT, "loaded on cards", True),
    (OFFLINE_LOSS, "offline approvals that clearing refused", False),
    (CARD_COVER, "payments by lost cards that the issuer has borne", False),
    (WALLET_FLOAT, "the money behind all wallets", False),
    (BANK_RESERVE, "the money behind all bank accounts and credit lines", False),
)
"""Account, what it holds, whether it must never be negative."""

_UNGUARDED: Final = frozenset(name for name, _, guarded in CHART if not guarded)
_LIMIT: Final = "limit/"


def payer(person: str) -> str:
    """The wallet of a person: the stem of its available and held accounts."""
    return f"payer/{person}"


def bank(person: str, name: str) -> str:
    """A bank account or card of a person: the stem of its available and held accounts."""
    return f"bank/{person}/{name}"


def merchant(shop: str) -> str:
    """A shop's takings: the stem of its pending and available accounts."""
    return f"merchant/{shop}"


def tally_name(account: str, currency: str) -> str:
    """The name under which a journal keeps an account's balance in one currency.

    >>> tally_name("payer/alice/available", "CNY")
    'payer/alice/available:CNY'
    """
    return f"{account}:{currency}"


def is_account(name: str) -> bool:
    """Whether a tally is an account's balance; the others count towards limits."""
    return not name.startswith(_LIMIT)


def overdraws(name: str, minor: int) -> bool:
    """Whether `minor` is a balance that the account may not have."""
    return minor < 0 and is_account(name) and name.rpartition(":")[0] not in _UNGUARDED


# The transfers of each fact. ----------------------------------------------------------------------


def fund(stem: str, currency: str, minor: int) -> tuple[Transfer, ...]:
    """Money from outside comes into a wallet or a bank account."""
    source = WALLET_FLOAT if stem.startswith("payer/") else BANK_RESERVE
    return (Transfer(source, f"{stem}/available", currency, minor),)


def hold(stem: str, currency: str, minor: int) -> tuple[Transfer, ...]:
    """An authorization puts the payer's money on hold."""
    return (Transfer(f"{stem}/available", f"{stem}/held", currency, minor),)


def release(stem: str, currency: str, minor: int) -> tuple[Transfer, ...]:
    """Held money is free again; nothing where nothing is held."""
    return (Transfer(f"{stem}/held", f"{stem}/available", currency, minor),) if minor else ()


def capture(stem: str, shop: str, currency: str, minor: int, *, held: bool) -> tuple[Transfer, ...]:
    """The payer's money, held before or not, becomes the shop's takings."""
    return (
        Transfer(f"{stem}/{'held' if held else 'available'}", f"merchant/{shop}/pending", currency, minor),
    )


def refund(stem: str, shop: str, currency: str, minor: int, *, settled: bool) -> tuple[Transfer, ...]:
    """The shop's takings go back; to a bank account they go by way of the suspense account."""
    if stem.startswith("payer/"):
        return (Transfer(_takings(shop, settled), f"{stem}/available", currency, minor),)
    begun = refund_begun(shop, currency, minor, settled=settled)
    return begun + refund_arrived(stem, currency, minor)


def refund_begun(shop: str, currency: str, minor: int, *, settled: bool) -> tuple[Transfer, ...]:
    """A refund that takes its time leaves the shop's takings."""
    return (Transfer(_takings(shop, settled), REFUND_SUSPENSE, currency, minor),)


def refund_arrived(stem: str, currency: str, minor: int, *, stranded: bool = False) -> tuple[Transfer, ...]:
    """It has come to the payer, straight or after it had stranded."""
    return (Transfer(_on_its_way(stranded), f"{stem}/available", currency, minor),)


def refund_stranded(currency: str, minor: int) -> tuple[Transfer, ...]:
    """It could not be given to the payer: the operator keeps it apart."""
    return (Transfer(REFUND_SUSPENSE, REFUND_ABNORMAL, currency, minor),)


def refund_closed(
    shop: str, currency: str, minor: int, *, settled: bool, stranded: bool = False
) -> tuple[Transfer, ...]:
    """It is given up: the money is the shop's again."""
    return (Transfer(_on_its_way(stranded), _takings(shop, settled), currency, minor),)


def _on_its_way(stranded: bool) -> str:
    return REFUND_ABNORMAL if stranded else REFUND_SUSPENSE


def _takings(shop: str, settled: bool) -> str:
    return f"merchant/{shop}/{'available' if settled else 'pending'}"


def undo(stem: str, shop: str, currency: str, captured: int, held: int) -> tuple[Transfer, ...]:
    """A void or a reversal: what was captured and what is held go back."""
    back = (
        (Transfer(f"merchant/{shop}/pending", f"{stem}/available", currency, captured),) if captured else ()
    )
    return back + release(stem, currency, held)


def load_card(currency: str, minor: int) -> tuple[Transfer, ...]:
    """Money from outside becomes the balance of an e-cash card; nothing where it starts empty."""
    return (Transfer(BANK_RESERVE, ECASH_FLOAT, currency, minor),) if minor else ()


def clear_card(shop: str, currency: str, minor: int) -> tuple[Transfer, ...]:
    """What an e-cash card has paid becomes the shop's takings, at clearing."""
    return (Transfer(ECASH_FLOAT, f"merchant/{shop}/pending", currency, minor),)


def lose_card(currency: str, minor: int) -> tuple[Transfer, ...]:
    """What an e-cash card has paid and clearing refuses is on the card no more, and nobody's takings."""
    return (Transfer(ECASH_FLOAT, OFFLINE_LOSS, currency, minor),)


def cover_card(stem: str, currency: str, minor: int) -> tuple[Transfer, ...]:
    """The issuer gives back what was paid with a lost card."""
    return (Transfer(CARD_COVER, f"{stem}/available", currency, minor),)


def settle(shop: str, currency: str, net: int, fee: int) -> tuple[Transfer, ...]:
    """Pending takings become available, less the operator's fee."""
    pending = f"merchant/{shop}/pending"
    rows = ((f"merchant/{shop}/available", net - fee), (FEES, fee))
    return tuple(Transfer(pending, account, currency, minor) for account, minor in rows if minor)
