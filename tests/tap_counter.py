"""A shop's counter with a terminal, and a customer with cards: what tests of taps begin with."""

from __future__ import annotations

from typing import Any

from paysim import CNY, Money, Order, Sandbox
from paysim.sandbox.card import Card
from paysim.sandbox.tap import Tap
from paysim.sandbox.terminal import Terminal

PAYING = ("unionpay", "visa", "visa-online", "two-applications", "unionpay-ecash", "slow")
"""Profiles whose cards pay."""

ECASH = ("unionpay-ecash", "slow")
"""Those that pay small sums by themselves."""

LOADED = 10_000
"""What is on a new e-cash card, in fen."""


class Counter:
    """The Tea House, its terminal, and Alice with 5,000 CNY."""

    def __init__(self, sandbox: Sandbox, **about: Any) -> None:
        self.sandbox = sandbox
        self.shop = sandbox.shop("Tea House")
        self.alice = sandbox.person("Alice", balance=CNY("5000.00"))
        self.terminal: Terminal = self.shop.terminal(**about)

    def order(self, minor: int = 990, **about: Any) -> Order:
        return self.shop.create(Money("CNY", minor), **about)

    def card(self, profile: str = "unionpay", **about: Any) -> Card:
        return self.alice.card(profile, **about)

    def tap(self, order: Order, card: Card | str = "unionpay", **about: Any) -> Tap:
        return self.terminal.tap(order, self.card(card) if isinstance(card, str) else card, **about)

    def bought(self, minor: int = 990, card: Card | str = "unionpay", **about: Any) -> tuple[Order, Tap]:
        """A new order, tapped for."""
        order = self.order(minor)
        return order, self.tap(order, card, **about)

    @property
    def spent(self) -> int:
        """What has left Alice's wallet, in fen."""
        return 500_000 - self.alice.balance().minor - self.alice.held().minor

    def tally(self, account: str) -> int:
        return self.sandbox.balances().get(account, {}).get("CNY", 0)


def states(order: Order) -> tuple[str, str]:
    """Where an order stands, in the shop's eyes and in the operator's."""
    return order.state.value, order.book.state.value


def answered(tap: Tap) -> str:
    """A tap's outcome in short: its kind, or the reason of a decline."""
    return tap.outcome.reason.value if tap.outcome.reason else tap.outcome.kind.value


def commands(tap: Tap) -> int:
    """How many commands went to the card."""
    return sum(line.kind == "command" for line in tap.trace)
