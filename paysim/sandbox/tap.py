"""What came of a tap: its answer, its trace, its record."""

from __future__ import annotations

from typing import NamedTuple

from paysim.core.errors import UsageError
from paysim.core.outcome import Outcome
from paysim.drivers import session
from paysim.drivers.dialogue import Exchange
from paysim.drivers.session import Session
from paysim.emv.outcome import Result
from paysim.emv.reader import Purchase, Reader

from .trace import WIDTH
from .trace import text as explained

__all__ = ["Tap"]


class Tap(NamedTuple):
    """What came of a tap.

    `outcome` is the payment's answer; TRY_AGAIN where the card is wanted once more or elsewhere. `result` is
    the reader's outcome with its parameters, None where the card was gone before there was one. `reader`,
    `purchase` and the number of `cards` are what a record of the tap begins with; None where no card was
    asked, for the order is paid or over.
    """

    outcome: Outcome
    result: Result | None
    trace: tuple[Exchange, ...]
    elapsed_ms: int = 0
    reader: Reader | None = None
    purchase: Purchase | None = None
    cards: int = 1

    @property
    def approved(self) -> bool:
        """Whether it is paid."""
        return self.outcome.approved

    def timeline(self, *, keep_pan: bool = False, width: int = WIDTH) -> str:
        """Every APDU explained and every decision, for people; card numbers are masked unless kept."""
        return explained(self.trace, keep_pan=keep_pan, width=width)

    def record(self) -> str:
        """The tap as JSON lines, card number and all: `drivers.replay` lives through it again.

        Raises UsageError where no card was asked.
        """
        if self.reader is None or self.purchase is None:
            raise UsageError("no card was asked: there is nothing to record")
        outcome = session.outcome_of(self.result)
        return session.encode(Session(self.reader, self.purchase, self.trace, self.cards, outcome))
