"""How the conformance suite meets the contactless channel: a payer taps a card, and types a PIN.

    report = conformance.run(tapping.harness())

The holder of the card wants the PIN asked for every payment, so that there is one to get wrong and one
to refuse: a payer who says no types none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from paysim import Person, Sandbox
from paysim.channels.contactless import Contactless

from .scene import Act, Harness, Paid, Scene, Shown, show

__all__ = ["harness", "pay"]

_PINS: Final[dict[Act, str | None]] = {"confirm": None, "wrong_pin": "000000", "refuse": ""}


def pay(scene: Scene, payer: Person, shown: Shown, act: Act, *, profile: str = "unionpay") -> Paid:
    """Let the payer hold a card of this profile to the shop's terminal; an offline approval is cleared."""
    card = payer.card(profile, name="suite", no_pin=False)
    if shown.order is None:
        return Paid(None, None)
    terminal = scene.shop.terminal()
    tap = terminal.tap(shown.order, card, pin=_PINS[act])
    terminal.clear()
    return Paid(shown.order, tap.outcome)


def harness(sandbox: Callable[[], Sandbox] = Sandbox, *, profile: str = "unionpay") -> Harness:
    """The channel `contactless`, paid by cards of this profile."""
    return Harness(Contactless(), sandbox, show, partial(pay, profile=profile))
