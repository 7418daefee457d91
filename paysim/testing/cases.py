"""The cases of the conformance suite: what a channel must do, verb by verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from paysim import Capabilities, Verb

from . import following, paying
from .scene import Scene

__all__ = ["CASES", "Case"]


class Case(NamedTuple):
    """One case: what is done, and what the channel must claim for it (verbs, or rows of `_NEEDS`)."""

    play: Callable[[Scene], None]
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the case is about: the first line of its function."""
        return (self.play.__doc__ or self.play.__name__).splitlines()[0].rstrip(".")

    def missing(self, capabilities: Capabilities) -> str:
        """What the channel does not claim of what the case needs, "" where it claims all."""
        return next((text for need in self.needs if (text := _missing(need, capabilities))), "")


_NEEDS: Final[dict[str, tuple[Callable[[Capabilities], bool], str]]] = {
    "manual": (lambda claims: claims.manual_capture, "does not claim manual capture"),
    "one order": (lambda claims: not claims.standing, "its codes stand, they are not for one order"),
    "standing": (lambda claims: claims.standing, "its codes are for one order"),
    "shop shows": (lambda claims: claims.shown_by == "shop", "the payer shows the code"),
    "payer shows": (lambda claims: claims.shown_by == "payer", "the shop shows the code"),
    "retry": (lambda claims: not claims.single_use and not claims.standing, "a failure ends the payment"),
    "single use": (lambda claims: claims.single_use and not claims.standing, "a code outlives a failure"),
}


def _missing(need: str, capabilities: Capabilities) -> str:
    if need in _NEEDS:
        claims, text = _NEEDS[need]
        return "" if claims(capabilities) else text
    return "" if Verb(need) in capabilities.verbs else f"does not claim {need}"


CASES: Final[tuple[Case, ...]] = (
    Case(paying.approve),
    Case(paying.no_money),
    Case(paying.wrong_pin),
    Case(paying.refused_by_payer),
    Case(paying.retry, ("retry",)),
    Case(paying.single_use, ("single use",)),
    Case(paying.expiry),
    Case(paying.paid_just_in_time),
    Case(paying.replay, ("one order",)),
    Case(paying.replaced, ("one order", "shop shows", "present")),
    Case(paying.altered),
    Case(paying.standing, ("standing",)),
    Case(following.refund_parts, ("refund",)),
    Case(following.over_refund, ("refund",)),
    Case(following.double_capture, ("capture",)),
    Case(following.void, ("void",)),
    Case(following.void_after_settlement, ("void",)),
    Case(following.void_after_refund, ("void", "refund")),
    Case(following.refund_after_settlement, ("refund",)),
    Case(following.reverse, ("reverse",)),
    Case(following.reverse_after_settlement, ("reverse",)),
    Case(following.close_unpaid, ("one order", "close")),
    Case(following.close_paid, ("close",)),
    Case(following.manual, ("manual", "capture")),
    Case(following.manual_void, ("manual", "void")),
    Case(following.hold_lapses, ("manual", "capture")),
    Case(following.same_key, ("refund",)),
    Case(following.other_content, ("refund",)),
    Case(following.every_key_once),
    Case(following.lost_answers, ("query",)),
    Case(following.lost_requests, ("query",)),
    Case(following.late_requests, ("refund", "reverse", "query")),
    Case(paying.lost_callback, ("query",)),
    Case(paying.late_callback, ("query",)),
    Case(paying.late_answer, ("reverse",)),
    Case(paying.lost_authorize, ("payer shows", "query")),
    Case(paying.late_authorize, ("payer shows", "reverse", "query")),
    Case(paying.silence, ("payer shows", "query", "reverse")),
    Case(following.unclaimed),
    Case(following.unclaimed_manual),
    Case(following.unclaimed_standing),
    Case(following.clock_jump),
    Case(following.replayed),
)
"""Every case, in the order in which they are run."""
