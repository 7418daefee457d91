"""Who has a network: three switches, each of them for everybody of a kind.

phone     a phone that scans asks its wallet; one that shows a code, or is tapped, need not
terminal  a terminal that is cut off takes what a card approves by itself, and nothing else
issuer    an issuer that is cut off answers nothing: the payment is UNKNOWN until a query or a reversal
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from paysim.core.outcome import Outcome, OutcomeKind, Reason

__all__ = ["NO_PHONE", "NO_TERMINAL", "Network"]


@dataclass
class Network:
    """The switches of a sandbox, `sandbox.network`; set one to False to cut it off.

    >>> Network(terminal=False)
    Network(phone=True, terminal=False, issuer=True)
    """

    phone: bool = True
    terminal: bool = True
    issuer: bool = True


NO_PHONE: Final = Outcome(
    OutcomeKind.TRY_AGAIN, text="the phone has no network; show a payment code, or tap, instead"
)
NO_TERMINAL: Final = Outcome.declined(
    Reason.CARD_DECLINED, "the card wants its issuer's answer, and the terminal is offline", "Z3"
)
"""Source: EMV 4.4 Book 3 Annex A, response code Z3 (unable to go online, offline declined)"""
