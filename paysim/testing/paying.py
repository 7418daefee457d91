"""Cases of the conformance suite about paying: answers, codes, and what is lost on the way."""

from __future__ import annotations

from typing import Final

from paysim import Fault, PaysimError, Reason, State

from .scene import PRICE_MINOR, Paid, Scene, code_text, expect

__all__ = [
    "altered",
    "approve",
    "expiry",
    "late_answer",
    "late_authorize",
    "late_callback",
    "lost_authorize",
    "lost_callback",
    "no_money",
    "paid_just_in_time",
    "refused_by_payer",
    "replaced",
    "replay",
    "retry",
    "silence",
    "single_use",
    "standing",
    "wrong_pin",
]

_ALTERED_AT_MOST: Final = 8
"""How many places of a code are altered, one at a time."""


# One payment. -------------------------------------------------------------------------------------------


def approve(scene: Scene) -> None:
    """Approve."""
    order = scene.paid()
    scene.stands(order, State.CAPTURED)
    scene.spent(PRICE_MINOR)
    expect(order.captured.minor == PRICE_MINOR, f"the shop has learned of {order.captured}")
    expect(
        scene.shop.takings(scene.harness.currency).minor == PRICE_MINOR, "the shop does not have the money"
    )
    scene.agree(order)


def no_money(scene: Scene) -> None:
    """Decline: no money."""
    poor = scene.person("Poor", PRICE_MINOR - 1)
    scene.declined(scene.pay(scene.show(payer=poor), payer=poor), Reason.INSUFFICIENT_FUNDS)


def wrong_pin(scene: Scene) -> None:
    """Decline: wrong PIN."""
    scene.declined(scene.pay(scene.show(), "wrong_pin"), Reason.WRONG_PIN)
    scene.spent(0)


def refused_by_payer(scene: Scene) -> None:
    """Decline: refused by the payer."""
    scene.declined(scene.pay(scene.show(), "refuse"), Reason.REFUSED_BY_PAYER)
    scene.spent(0)


def retry(scene: Scene) -> None:
    """A failed attempt can be tried again."""
    shown = scene.show()
    scene.pay(shown, "wrong_pin")
    if scene.capabilities.shown_by == "payer":
        shown = scene.show()._replace(order=shown.order)
    order = scene.order(scene.pay(shown))
    scene.stands(order, State.CAPTURED)
    scene.spent(PRICE_MINOR)


def single_use(scene: Scene) -> None:
    """A failed attempt ends a single-use code."""
    shown = scene.show()
    order = scene.order(scene.pay(shown, "wrong_pin"))
    scene.stands(order, State.DECLINED)
    if scene.capabilities.shown_by == "shop":
        scene.pay(shown)
    scene.stands(order, State.DECLINED)
    scene.spent(0)


def expiry(scene: Scene) -> None:
    """An expired code."""
    shown = scene.show()
    clock = scene.sandbox.clock
    if shown.expires_ms is None:
        scene.advance(days=30)
        expect(scene.pay(shown).reason == "", "what never expires cannot be paid after a month")
        return
    scene.advance(seconds=(shown.expires_ms - clock.now_ms()) / 1000)
    paid = scene.pay(shown)
    expect(paid.reason == Reason.EXPIRED, f"an expired code gives {paid.outcome}")
    scene.spent(0)


def paid_just_in_time(scene: Scene) -> None:
    """A code in its last millisecond."""
    shown = scene.show()
    if shown.expires_ms is not None:
        left_ms = shown.expires_ms - scene.sandbox.clock.now_ms() - 1
        scene.advance(seconds=left_ms / 1000)
    expect(scene.pay(shown).reason == "", "a code is not taken in its last millisecond")
    scene.spent(PRICE_MINOR)


# Codes that are shown again. ----------------------------------------------------------------------------


def replay(scene: Scene) -> None:
    """Replay of a paid or used code."""
    shown, other = scene.show(), scene.person("Other")
    scene.pay(shown)
    if scene.capabilities.shown_by == "shop":
        again = scene.pay(shown, payer=other)
        expect(again.reason == Reason.ALREADY_PAID, f"a paid code gives {again.outcome}")
        expect(scene.spent_minor(other) == 0, "a paid code was paid again")
    else:
        again = scene.pay(scene.show()._replace(code=shown.code))
        expect(again.reason == Reason.CODE_USED, f"a used code gives {again.outcome}")
    scene.spent(PRICE_MINOR)


def replaced(scene: Scene) -> None:
    """A replaced code."""
    first = scene.show()
    order = scene.order(Paid(first.order, None))
    second = scene.after(order.present(scene.channel))
    if code_text(second) != code_text(first.code):
        old = scene.pay(first)
        expect(old.reason == Reason.REPLACED_CODE, f"a replaced code gives {old.outcome}")
        scene.spent(0)
    scene.pay(first._replace(code=second))
    scene.stands(order, State.CAPTURED)


def altered(scene: Scene) -> None:
    """An altered code."""
    text = code_text(scene.show().code)
    for index in range(0, len(text), max(1, len(text) // _ALTERED_AT_MOST)):
        shown = scene.show()
        text = code_text(shown.code)
        place = min(index, len(text) - 1)
        altered = text[:place] + ("1" if text[place] == "0" else "0") + text[place + 1 :]
        try:
            paid = scene.pay(shown._replace(code=altered))
        except PaysimError:
            scene.after(None)
        else:
            expect(paid.reason, f"a code altered at character {place} was paid")
        scene.spent(0)


def standing(scene: Scene) -> None:
    """A standing code, three payments."""
    shown, other = scene.show(), scene.person("Other")
    orders = {scene.order(scene.pay(shown, payer=payer)).id for payer in (scene.payer, scene.payer, other)}
    expect(len(orders) == 3, f"three payments of a standing code made {len(orders)} orders")
    scene.spent(2 * PRICE_MINOR)
    expect(scene.spent_minor(other) == PRICE_MINOR, "the second payer has not paid")


# What is lost or late. ----------------------------------------------------------------------


def lost_callback(scene: Scene) -> None:
    """A lost callback or answer, then a query."""
    shown = scene.show()
    scene.sandbox.faults.add(Fault("callback", times=20))
    scene.sandbox.faults.add(Fault("answer", verb="authorize"))
    order = scene.order(scene.pay(shown))
    expect(order.state is not State.CAPTURED, "the shop knows what was lost on its way")
    expect(order.book.state in (State.CAPTURED, State.PENDING), f"the book says {order.book.state}")
    scene.agree(order)


def late_callback(scene: Scene) -> None:
    """A late callback after a query."""
    shown = scene.show()
    scene.sandbox.faults.add(Fault("callback", "delay", times=20))
    scene.sandbox.faults.add(Fault("answer", "delay", verb="authorize"))
    order = scene.order(scene.pay(shown))
    scene.agree(order)
    scene.stands(order, State.CAPTURED)
    for _ in range(3):
        scene.advance(minutes=2)
    scene.stands(order, State.CAPTURED)
    expect(order.captured.minor == PRICE_MINOR, f"the shop counts {order.captured}")


def late_answer(scene: Scene) -> None:
    """A late answer after a reversal."""
    shown = scene.show()
    scene.sandbox.faults.add(Fault("callback", "delay", times=20))
    scene.sandbox.faults.add(Fault("answer", "delay", verb="authorize"))
    order = scene.order(scene.pay(shown))
    scene.sandbox.faults.clear()
    scene.done(order.reverse())
    for _ in range(3):
        scene.advance(minutes=2)
    scene.stands(order, State.REVERSED)
    scene.spent(0)


def lost_authorize(scene: Scene) -> None:
    """A lost payment request."""
    shown = scene.show(300)
    order = scene.order(Paid(shown.order, None))
    scene.sandbox.faults.add(Fault("request", verb="authorize"))
    scene.pay(shown)
    expect(order.state is State.UNKNOWN, f"no answer came, and the order is {order.state}")
    scene.advance(seconds=1)
    scene.agree(order)
    expect(order.state is State.PRESENTED, f"the operator never got it, and the order is {order.state}")
    scene.pay(scene.show(300)._replace(order=order))
    scene.stands(order, State.CAPTURED)
    scene.spent(300)


def late_authorize(scene: Scene) -> None:
    """A late payment request after a reversal."""
    shown = scene.show(300)
    order = scene.order(Paid(shown.order, None))
    scene.sandbox.faults.add(Fault("request", "delay", verb="authorize", delay_s=30))
    scene.pay(shown)
    scene.done(order.reverse())
    scene.advance(minutes=2)
    scene.stands(order, State.REVERSED)
    scene.spent(0)
    scene.agree(order)


def silence(scene: Scene) -> None:
    """A silent payer."""
    shown = scene.show()
    order = scene.order(Paid(shown.order, None))
    scene.after(order.authorize(shown.code))
    scene.stands(order, State.PENDING)
    scene.advance(minutes=2)
    expect(order.state is State.UNKNOWN, f"the payer is silent, and the order is {order.state}")
    expect(order.book.state is State.PENDING, f"the payer is silent, and the book says {order.book.state}")
    scene.agree(order)
    scene.done(order.reverse())
    scene.stands(order, State.REVERSED)
    scene.spent(0)
