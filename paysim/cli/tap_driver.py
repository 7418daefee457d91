"""`paysim tap --driver`: a card at a real reader. One of our own pays, a stranger's is read."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from typing import Final

from paysim import CNY, Money, UsageError
from paysim.core.errors import LinkClosed, LinkTimeout, NoReader
from paysim.core.outcome import Reason
from paysim.drivers.driver import Field, Present
from paysim.drivers.registry import driver
from paysim.drivers.session import encode
from paysim.sandbox.folder import SEED, holder, opened
from paysim.sandbox.order import Order
from paysim.sandbox.tap import Tap
from paysim.sandbox.terminal import Terminal

from . import given, tap
from .card import keys_of
from .screen import Screen
from .tap_read import READ, Inspector, Look

__all__ = ["run"]

NO_CARD: Final = 2

_PRESENTATIONS: Final = 5
"""How often a card that left the field is waited for again."""

_PAUSE_S: Final = 0.2
_MOST_S: Final = 86_400
_CARDS: Final = ("iso14443-4", "contact")
"""How the kinds begin that take commands."""

_HINTS: Final = {
    Reason.WRONG_CRYPTOGRAM: "the card may be of another keys folder: give the --keys of `paysim card`",
    Reason.REPLAYED: "where the card's memory was removed, remove the keys folder's taps.db too",
    Reason.WRONG_COUNTER: "where the card's memory was removed, remove the keys folder's taps.db too",
}
_SHOP: Final = "Tea House"
_COUNTER: Final = 0x9F36


def run(arguments: Namespace, screen: Screen) -> int:
    """Wait for a card, and let it pay or read it. 0 paid, 1 not paid, 2 no card came, 3 read alone."""
    _check(arguments)
    money = CNY(arguments.amount) if arguments.amount else None
    if money is not None and money.minor <= 0:
        raise UsageError("an order's amount is of more than nothing")
    record = given.writable(arguments.record) if arguments.record else None
    inspector = Inspector(arguments, screen)
    made, reader = driver(arguments.driver)
    field = made.open(reader)
    try:
        visit = _Visit(field, arguments, screen)
        look = _met(visit, inspector, pays=money is not None)
        if look is None:
            return _nobody(arguments, screen)
        if look.report is None and money is not None:
            return _pay(visit, look.present, money, record)
        number = "its number masked" if look.record.masked else "its number whole"
        recorded = tap.write_record(record, encode(look.record), number) if record else ""
        inspector.show(look)
        if recorded:
            screen.say(recorded)
        return READ
    finally:
        field.close()


def _check(arguments: Namespace) -> None:
    if arguments.card:
        raise UsageError("at a real reader the card is what is held there; leave out --card")
    if arguments.seed != SEED:
        raise UsageError("the cards of a keys folder are those of seed 7; leave out --seed")
    if not 0 < arguments.wait <= _MOST_S:
        raise UsageError(f"--wait is a number of seconds, of more than nothing and {_MOST_S} at most")


# Waiting for a card. --------------------------------------------------------------------------------------


class _Visit:
    """The reader, and the cards that come to it."""

    def __init__(self, field: Field, arguments: Namespace, screen: Screen) -> None:
        self.field = field
        self.arguments = arguments
        self.screen = screen

    def present(self, words: str) -> Present | None:
        """The next card, alone in the field; None where none came in time. What is between is said."""
        self.say(f"{words} ({self.field.reader}); Ctrl-C ends it")
        end, held, crowd = time.monotonic() + self.arguments.wait, "", False
        while (left := end - time.monotonic()) > 0:
            try:
                found = self.field.wait(min(left, 1.0))
            except (LinkClosed, LinkTimeout) as error:  # another program holds the card, or it is silent
                if str(error) != held:
                    held = str(error)
                    self.say(held)
                time.sleep(min(_PAUSE_S, left))
                continue
            if found is None:
                continue
            if not found.kind.startswith(_CARDS):
                if found.kind != held:
                    held = found.kind
                    self.say(f"this is {found.kind}, no card that pays; take it away")
                self.field.removed(min(left, 1.0))
                continue
            if found.count < 2:
                return found
            if not crowd:
                self.say("present one card only")
                crowd = True
            self.field.removed(min(left, 1.0))
        return None

    def say(self, words: str) -> None:
        """A line that is read at once."""
        self.screen.say(words)
        self.screen.flush()


def _met(visit: _Visit, inspector: Inspector, *, pays: bool) -> Look | None:
    """The first card that stays long enough to be told from others."""
    words = "hold a card to the reader"
    look: Look | None = None
    for _ in range(_PRESENTATIONS):
        present = visit.present(words)
        if present is None:
            return look
        look = inspector.look(present, pays=pays)
        if look.report is None or not look.report.ended:
            return look
        words = f"{look.report.ended}; hold it there again"
    return look


def _nobody(arguments: Namespace, screen: Screen) -> int:
    text = f"no card came within {arguments.wait:g} seconds"
    if arguments.driver.startswith("nfc:udp:"):
        text += f"; `paysim card --profile visa --driver {arguments.driver}` holds one there"
    screen.complain(text)
    screen.result({"error": text})
    return NO_CARD


# A card of ours, that pays. -------------------------------------------------------------------------------


def _pay(visit: _Visit, present: Present, money: Money, record: Path | None) -> int:
    arguments, screen = visit.arguments, visit.screen
    with opened(keys_of(arguments.keys)) as sandbox:
        alice, shop = holder(sandbox), sandbox.shop(_SHOP)
        if alice.balance().minor < money.minor:
            alice.fund(money)
        order, terminal = shop.create(money), shop.terminal()
        taps = _taps(visit, present, terminal, order)
        terminal.clear()
        recorded = tap.record_payment(record, taps[-1])
        tap.show_taps(taps, arguments, screen)
        _show_payment(taps[-1], order, visit.field.reader, screen)
        if recorded:
            screen.say(recorded)
        screen.result(tap.result(taps, order, arguments))
    return tap.PAID if taps[-1].approved else tap.NOT_PAID


def _taps(visit: _Visit, present: Present, terminal: Terminal, order: Order) -> list[Tap]:
    """The tap, and those after it where the card left the field too early."""
    taps = [terminal.tap_link(order, present.link, count=present.count, pin=visit.arguments.pin)]
    while taps[-1].result is None and taps[-1].reader is not None and len(taps) < _PRESENTATIONS:
        try:
            again = visit.present(taps[-1].outcome.text or "hold the card there again")
        except NoReader as error:  # what became of the order is shown all the same
            visit.screen.complain(str(error))
            break
        if again is None:
            break
        taps.append(terminal.tap_link(order, again.link, count=again.count, pin=visit.arguments.pin))
    return taps


def _show_payment(last: Tap, order: Order, reader: str, screen: Screen) -> None:
    verdict = f"{'paid' if last.approved else 'not paid'} ({last.outcome.text or last.outcome})"
    screen.head(f"{order.money} at {reader}: {verdict}", last.approved)
    counter = (last.result.data_record or {}).get(_COUNTER) if last.result else None
    rows = [("card", f"counter {int.from_bytes(counter)}")] if counter else []
    rows.append(("took", f"{last.elapsed_ms} ms"))
    hint = _HINTS.get(last.outcome.reason) if last.outcome.reason else None
    rows += [("hint", hint)] if hint else []
    tap.show_result(last.result, screen, rows)
    screen.say(f"\n{order.timeline()}\n")
    screen.say(order.receipt())
