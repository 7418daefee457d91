"""Cases of the conformance suite about the verbs that follow a payment, keys, claims and time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from paysim import Fault, Operation, Order, Reason, Sandbox, State, Status, Unsupported, Verb, VirtualClock

from .scene import PRICE_MINOR, Paid, Scene, expect

__all__ = [
    "clock_jump",
    "close_paid",
    "close_unpaid",
    "double_capture",
    "every_key_once",
    "hold_lapses",
    "late_requests",
    "lost_answers",
    "lost_requests",
    "manual",
    "manual_void",
    "other_content",
    "over_refund",
    "refund_after_settlement",
    "refund_parts",
    "replayed",
    "reverse",
    "reverse_after_settlement",
    "same_key",
    "unclaimed",
    "unclaimed_manual",
    "unclaimed_standing",
    "void",
    "void_after_refund",
    "void_after_settlement",
]

# Verbs after the payment. ---------------------------------------------------------------------------------


def refund_parts(scene: Scene) -> None:
    """Refund in parts to zero."""
    order = scene.paid()
    for part, left in ((1_000, 280), (279, 1), (1, 0)):
        scene.done(order.refund(scene.money(part)))
        scene.spent(left)
    scene.refused(order.refund(scene.money(1)), Reason.OVER_REFUND)
    scene.refused(order.refund(), Reason.OVER_REFUND)
    scene.stands(order, State.CAPTURED)
    scene.agree(order)


def over_refund(scene: Scene) -> None:
    """Over-refund."""
    order = scene.paid()
    scene.refused(order.refund(scene.money(PRICE_MINOR + 1)), Reason.OVER_REFUND)
    scene.done(order.refund(scene.money(PRICE_MINOR - 1)))
    scene.refused(order.refund(scene.money(2)), Reason.OVER_REFUND)
    scene.spent(1)


def double_capture(scene: Scene) -> None:
    """Double capture."""
    order = scene.paid()
    scene.refused(order.capture(scene.money(1)), Reason.OVER_CAPTURE, Reason.WRONG_STATE)
    scene.refused(order.capture(), Reason.OVER_CAPTURE, Reason.WRONG_STATE)
    scene.spent(PRICE_MINOR)


def void(scene: Scene) -> None:
    """Void."""
    order = scene.paid()
    scene.done(order.void())
    scene.stands(order, State.VOIDED)
    scene.spent(0)
    scene.refused(order.void(), Reason.WRONG_STATE)
    scene.agree(order)


def void_after_settlement(scene: Scene) -> None:
    """Void after settlement."""
    order = scene.paid()
    scene.advance(hours=48)
    scene.refused(order.void(), Reason.SETTLED)
    scene.stands(order, State.CAPTURED)
    scene.spent(PRICE_MINOR)


def void_after_refund(scene: Scene) -> None:
    """Void after a refund."""
    order = scene.paid()
    scene.done(order.refund(scene.money(1)))
    scene.refused(order.void(), Reason.WRONG_STATE)
    scene.spent(PRICE_MINOR - 1)


def refund_after_settlement(scene: Scene) -> None:
    """Refund after settlement."""
    order = scene.paid()
    scene.advance(hours=48)
    scene.stands(order, State.CAPTURED)
    scene.done(order.refund())
    scene.spent(0)
    scene.agree(order)


def reverse(scene: Scene) -> None:
    """Reverse."""
    order = scene.paid()
    scene.done(order.reverse())
    scene.stands(order, State.REVERSED)
    scene.spent(0)
    scene.refused(order.reverse(), Reason.WRONG_STATE)


def reverse_after_settlement(scene: Scene) -> None:
    """Reverse after settlement."""
    order = scene.paid()
    scene.advance(hours=48)
    scene.refused(order.reverse(), Reason.SETTLED)
    scene.spent(PRICE_MINOR)


def close_unpaid(scene: Scene) -> None:
    """Close unpaid."""
    shown = scene.show()
    order = scene.order(Paid(shown.order, None))
    scene.done(order.close())
    scene.stands(order, State.CLOSED)
    scene.pay(shown)
    scene.stands(order, State.CLOSED)
    scene.spent(0)
    scene.refused(order.close(), Reason.WRONG_STATE)


def close_paid(scene: Scene) -> None:
    """Close paid."""
    order = scene.paid()
    scene.refused(order.close(), Reason.ALREADY_PAID)
    scene.stands(order, State.CAPTURED)
    scene.spent(PRICE_MINOR)


def manual(scene: Scene) -> None:
    """Manual capture in parts."""
    order = scene.paid(capture="manual")
    scene.stands(order, State.AUTHORIZED)
    scene.spent(0)
    expect(scene.held_minor() == PRICE_MINOR, f"{scene.held_minor()} minor units are on hold")
    scene.done(order.capture(scene.money(300)))
    scene.stands(order, State.CAPTURED)
    scene.refused(order.capture(scene.money(PRICE_MINOR - 299)), Reason.OVER_CAPTURE)
    scene.done(order.capture(scene.money(200), final=True))
    expect(scene.held_minor() == 0, "a final capture does not release the rest")
    scene.spent(500)
    scene.refused(order.capture(scene.money(1)), Reason.OVER_CAPTURE)
    scene.agree(order)


def manual_void(scene: Scene) -> None:
    """Void of a hold."""
    order = scene.paid(capture="manual")
    scene.done(order.void())
    scene.stands(order, State.VOIDED)
    expect(scene.held_minor() == 0, "a void does not release the hold")
    scene.spent(0)


def hold_lapses(scene: Scene) -> None:
    """A hold lapses."""
    order = scene.paid(capture="manual")
    scene.advance(days=60)
    scene.stands(order, State.VOIDED)
    expect(scene.held_minor() == 0, "a hold does not lapse")
    scene.refused(order.capture(), Reason.WRONG_STATE)
    scene.spent(0)


# Asked twice. ---------------------------------------------------------------------------------------------


def same_key(scene: Scene) -> None:
    """The same key twice."""
    order = scene.paid()
    first = scene.after(order.refund(scene.money(300), key="refund-1"))
    again = scene.after(order.refund(scene.money(300), key="refund-1"))
    scene.done(first)
    expect(again == first, f"the same key gives {again}, before it gave {first}")
    scene.spent(PRICE_MINOR - 300)


def other_content(scene: Scene) -> None:
    """A key with other content."""
    order = scene.paid()
    scene.done(order.refund(scene.money(300), key="refund-1"))
    scene.refused(order.refund(scene.money(301), key="refund-1"), Reason.KEY_REUSED)
    if Verb.CLOSE in scene.capabilities.verbs:
        scene.refused(order.close(key="refund-1"), Reason.KEY_REUSED)
    scene.spent(PRICE_MINOR - 300)


_UNDONE: Final[dict[Verb, Callable[[Order, str], Operation]]] = {
    Verb.VOID: lambda order, key: order.void(key=key),
    Verb.REVERSE: lambda order, key: order.reverse(key=key),
    Verb.REFUND: lambda order, key: order.refund(key=key),
}


def every_key_once(scene: Scene) -> None:
    """Each verb once a key."""
    for verb, ask in _UNDONE.items():
        if verb in scene.capabilities.verbs:
            order = scene.paid()
            operations = [scene.after(ask(order, "once")) for _ in range(3)]
            expect(len(set(operations)) == 1, f"{verb} with one key gives {operations}")
            scene.done(operations[0])
    scene.spent(0)


# What is lost or late. --------------------------------------------------------------------------------------


def lost_answers(scene: Scene) -> None:
    """Lost answers."""
    for verb, ask in _UNDONE.items():
        if verb in scene.capabilities.verbs:
            order = scene.paid()
            scene.sandbox.faults.add(Fault("answer", verb=verb))
            lost = scene.after(ask(order, "once"))
            expect(lost.status is Status.UNKNOWN, f"the answer to {verb} was lost, and it is {lost.status}")
            scene.agree(order)
            scene.done(ask(order, "once"))
    scene.spent(0)


def lost_requests(scene: Scene) -> None:
    """Lost requests."""
    for verb, ask in _UNDONE.items():
        if verb in scene.capabilities.verbs:
            order = scene.paid()
            scene.sandbox.faults.add(Fault("request", verb=verb))
            lost = scene.after(ask(order, "once"))
            expect(lost.status is Status.UNKNOWN, f"the request to {verb} was lost, and it is {lost.status}")
            scene.spent(PRICE_MINOR)
            scene.agree(order)
            known = next(operation for operation in order.operations if operation.id == lost.id)
            expect(not known.open, f"after a query {verb} is {known.status}")
            scene.done(ask(order, "once"))
            scene.spent(0)


def late_requests(scene: Scene) -> None:
    """A late refund after a reversal."""
    order = scene.paid()
    scene.sandbox.faults.add(Fault("request", "delay", verb="refund"))
    scene.after(order.refund())
    scene.done(order.reverse())
    scene.advance(minutes=2)
    scene.stands(order, State.REVERSED)
    scene.spent(0)
    scene.agree(order)


# What is not claimed. ---------------------------------------------------------------------------------------

_ASKED: Final[dict[Verb, Callable[[Order], object]]] = {
    Verb.CAPTURE: lambda order: order.capture(),
    Verb.VOID: lambda order: order.void(),
    Verb.REFUND: lambda order: order.refund(),
    Verb.REVERSE: lambda order: order.reverse(),
    Verb.QUERY: lambda order: order.query(),
    Verb.CLOSE: lambda order: order.close(),
}


def unclaimed(scene: Scene) -> None:
    """Verbs that are not claimed."""
    order = scene.paid()
    for verb, ask in _ASKED.items():
        if verb not in scene.capabilities.verbs:
            _unsupported(scene, verb, lambda ask=ask: ask(order))  # type: ignore[misc]
    scene.spent(PRICE_MINOR)
    scene.stands(order, State.CAPTURED)


def unclaimed_manual(scene: Scene) -> None:
    """Manual capture that is not claimed."""
    if not scene.capabilities.manual_capture and not scene.capabilities.standing:
        _unsupported(scene, "manual capture", lambda: scene.paid(capture="manual"))


def unclaimed_standing(scene: Scene) -> None:
    """A code that is not claimed."""
    if scene.capabilities.standing:
        order = scene.after(scene.shop.create(scene.money(PRICE_MINOR)))
        _unsupported(scene, "a code for one order", lambda: order.present(scene.channel))
    else:
        _unsupported(scene, "a standing code", lambda: scene.shop.static_code(channel=scene.channel))


def _unsupported(scene: Scene, what: str, ask: Callable[[], object]) -> None:
    try:
        ask()
    except Unsupported:
        scene.after(None)
    else:
        expect(False, f"{what} is not claimed, and does not raise Unsupported")


# Time, and the journal. -------------------------------------------------------------------------------------


def clock_jump(scene: Scene) -> None:
    """A clock jump over settlement."""
    orders = [scene.paid(), scene.paid()]
    shown = scene.show()
    scene.advance(days=40)
    for order in orders:
        scene.stands(order, State.CAPTURED)
        expect(sum(event.kind == "settled" for event in order.book.events) == 1, "it is not settled once")
    if shown.order is not None and shown.expires_ms is not None and scene.capabilities.shown_by == "shop":
        scene.stands(shown.order, State.CLOSED)
    scene.spent(2 * PRICE_MINOR)


def replayed(scene: Scene) -> None:
    """Folded anew from the journal."""
    order = scene.paid()
    before = (order.state, order.book.state, order.captured, order.events, order.book.events)
    again = Sandbox(store=scene.sandbox.journal, clock=VirtualClock())
    again.register(scene.harness.channel)
    same = again.order(order.id)
    after = (same.state, same.book.state, same.captured, same.events, same.book.events)
    expect(after == before, "an order that is folded anew from the journal is another")
