"""`paysim tap`: hold a card to a contactless terminal, in a sandbox made for it, or play a recorded tap."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from paysim import CNY, Money, Order, Sandbox, UsageError
from paysim.core.errors import DecodeError
from paysim.drivers.dialogue import Exchange
from paysim.drivers.replay import Played, play
from paysim.drivers.session import MAX_SIZE, CardRecord, decode
from paysim.emv.outcome import Result, Status
from paysim.emv.profile import PROFILES
from paysim.sandbox import trace
from paysim.sandbox.card import Card
from paysim.sandbox.tap import Tap
from paysim.sandbox.terminal import Terminal

from . import given
from .given import UnreadableError
from .screen import Screen

__all__ = [
    "NOT_PAID",
    "PAID",
    "record_payment",
    "result",
    "run",
    "show_result",
    "show_taps",
    "show_trace",
    "traced",
    "width",
    "write_record",
]

PAID: Final = 0
NOT_PAID: Final = 1
NO_CARD: Final = 2

_PRESENTATIONS: Final = 5
"""How often a card that left the field is held there again."""

_NARROWEST: Final = 60
_WIDEST: Final = 120


def run(arguments: Namespace, screen: Screen) -> int:
    """Tap, or play a recorded tap. 0 paid, 1 not paid, 2 no such card."""
    if arguments.replay:
        return _replay(arguments, screen)
    if arguments.strict:
        raise UsageError("--strict is of a replay: paysim tap --replay FILE --strict")
    if arguments.driver not in ("", "loopback"):
        from . import tap_driver

        return tap_driver.run(arguments, screen)
    if not arguments.card or not arguments.amount:
        raise UsageError(
            "give --card NAME and --amount CNY, or --replay FILE, or --driver NAME: "
            "paysim tap --card visa --amount 9.90"
        )
    if arguments.card not in PROFILES:
        text = f"there is no card {arguments.card!r}; there are {', '.join(PROFILES)}"
        screen.complain(text)
        screen.result({"error": text})
        return NO_CARD
    return _pay(arguments, screen)


def _pay(arguments: Namespace, screen: Screen) -> int:
    money = CNY(arguments.amount)
    record = given.writable(arguments.record) if arguments.record else None
    with Sandbox(seed=arguments.seed) as sandbox:
        shop = sandbox.shop("Tea House")
        alice = sandbox.person("Alice", balance=money + money + CNY("100.00"))
        order = shop.create(money, reference="T-1001")
        terminal, card = shop.terminal(), alice.card(arguments.card)
        taps = _tapped(terminal, order, card, arguments.pin)
        terminal.clear()
        recorded = record_payment(record, taps[-1])
        _show(taps, order, card, arguments, screen)
        if recorded:
            screen.say(recorded)
        screen.result(result(taps, order, arguments))
    return PAID if taps[-1].approved else NOT_PAID


def _tapped(terminal: Terminal, order: Order, card: Card, pin: str | None) -> list[Tap]:
    """The tap, and those after it where the card left the field too early."""
    taps = [terminal.tap(order, card, pin=pin)]
    while taps[-1].result is None and taps[-1].reader is not None and len(taps) < _PRESENTATIONS:
        taps.append(terminal.tap(order, card, pin=pin))
    return taps


def record_payment(path: Path | None, tap: Tap) -> str:
    """Write a tap down where that is asked for, and say so; nothing where no card was asked."""
    if path is None or tap.reader is None:
        return ""
    return write_record(path, tap.record(), "with the card's number (a sandbox's)")


def write_record(path: Path, text: str, number: str) -> str:
    """Write a recorded card down, for its owner alone; before the screen, which may go away. Says so."""
    path.touch(mode=0o600)
    if path.is_file():
        path.chmod(0o600)  # it may have been there before
    path.write_text(text, encoding="utf-8")
    return f"\nrecorded in {path}, {number}"


def show_taps(taps: list[Tap], arguments: Namespace, screen: Screen) -> None:
    """A heading for each of several taps, and each trace where it was asked for."""
    for number, tap in enumerate(taps, 1):
        if len(taps) > 1:
            screen.head(f"Tap {number} of {len(taps)}: {tap.outcome.text or tap.outcome}", tap.approved)
        if arguments.trace:
            show_trace(tap.trace, arguments.keep_pan, screen)


def _show(taps: list[Tap], order: Order, card: Card, arguments: Namespace, screen: Screen) -> None:
    show_taps(taps, arguments, screen)
    last = taps[-1]
    verdict = f"{'paid' if last.approved else 'not paid'} ({last.outcome.text or last.outcome})"
    screen.head(f"{arguments.card}, {order.money}: {verdict}", last.approved)
    left = f", {Money('CNY', card.balance_minor)} left to spend offline" if card.balance_minor else ""
    show_result(last.result, screen, (("card", f"counter {card.counter}{left}"),))
    screen.say(f"\n{order.timeline()}\n")
    screen.say(order.receipt())


def width() -> int:
    """How wide a trace may be here, in columns."""
    return min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size((trace.WIDTH, 0)).columns))


def show_trace(exchanges: Iterable[Exchange], keep_pan: bool, screen: Screen) -> None:
    """Each APDU, explained."""
    for line in trace.lines(exchanges, keep_pan=keep_pan, width=width()):
        if line.head:
            screen.head(line.text)
        else:
            screen.say(line.text)
    screen.say()


def show_result(result: Result | None, screen: Screen, more: Iterable[tuple[str, str]] = ()) -> None:
    """What the reader decided, and `more` rows."""
    rows = [*(trace.result_rows(result) if result else ()), *more]
    for name, words in rows:
        screen.say(f"  {name:<10}  {words}")


def result(taps: list[Tap], order: Order, arguments: Namespace) -> dict[str, Any]:
    """What became of the order, for programs."""
    found: dict[str, Any] = {
        "state": order.state.value,
        "book_state": order.book.state.value,
        "outcome": taps[-1].outcome.kind.value,
        "amount_minor": order.money.minor,
        "events": [msgspec.to_builtins(event) for event in order.events],
    }
    return found | traced([one for tap in taps for one in tap.trace], arguments)


def traced(exchanges: Iterable[Exchange], arguments: Namespace) -> dict[str, Any]:
    """The trace for programs, where it was asked for."""
    if not arguments.trace:
        return {}
    return {"trace": list(trace.objects(exchanges, keep_pan=arguments.keep_pan))}


# A recorded tap. ------------------------------------------------------------------------------------------

_OUTCOMES: Final = {Status.APPROVED: "approved", Status.DECLINED: "declined"}


def _replay(arguments: Namespace, screen: Screen) -> int:
    given_too = [name for name in ("card", "amount", "record", "pin", "driver") if getattr(arguments, name)]
    if given_too:
        raise UsageError(f"--replay plays what is recorded; leave out --{given_too[0]}")
    try:
        recorded = decode(_recorded_text(arguments.replay))
    except DecodeError as error:
        raise UnreadableError("BAD_SESSION", f"{arguments.replay}: {error}") from None
    if isinstance(recorded, CardRecord):
        from . import tap_read

        return tap_read.read_again(recorded, arguments, screen)
    played = play(recorded, strict=arguments.strict)
    if arguments.trace:
        show_trace(played.trace, arguments.keep_pan, screen)
    purchase, outcome = recorded.purchase, _outcome(played)
    same = not played.differences
    how = "as recorded" if same else "not as recorded"
    amount = _amount(purchase.amount_minor, purchase.exponent)
    screen.head(f"recorded tap, {amount}: {outcome.replace('_', ' ')}, {how}", same and played.approved)
    show_result(played.result, screen)
    for difference in played.differences:
        screen.say(f"  {difference}")
    screen.result(
        {
            "state": None,
            "book_state": None,
            "outcome": outcome,
            "amount_minor": purchase.amount_minor,
            "events": [],
            "differences": [one._asdict() for one in played.differences],
            **traced(played.trace, arguments),
        }
    )
    return PAID if played.approved and same else NOT_PAID


def _recorded_text(name: str) -> str:
    path = given.file_at(name)
    if path is None:
        raise UnreadableError("NO_FILE", f"there is no file {name}")
    return given.to_text(given.read_file(path, 4 * MAX_SIZE), 4 * MAX_SIZE)


def _outcome(played: Played) -> str:
    """The outcome in the words of a payment's answer."""
    if played.result is None:
        return "try_again"
    if played.result.status is Status.ONLINE_REQUEST:
        return "unknown"
    return _OUTCOMES.get(played.result.status, "try_again")


def _amount(minor: int, exponent: int) -> str:
    text = f"{minor:0{exponent + 1}}"
    return f"{text[:-exponent]}.{text[-exponent:]}" if exponent else text
