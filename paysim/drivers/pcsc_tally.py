"""Whether the smart card service overlooks a card, by what it counts. A pure machine; the time is passed in.

pcscd looks into a reader now and then, and counts the cards that it sees come and go. In between it says what
it was last told: where it was made to reset a card that had left, the reader is empty. If another card comes
before it looks again, that is to it the card which it has seen come already: it counts nothing, and goes on
saying that the reader is empty. So while its count is the one at which it saw a card, an empty reader may
have one.

Source: pcsc-lite, src/eventhandler.c, src/winscard.c
"""

from __future__ import annotations

from typing import Final

__all__ = ["SEEN_S", "Tally"]

SEEN_S: Final = 0.5
"""How long a card may lie there until the service sees it by itself. Source: pcscd looks every 0.4 s"""

_AGAIN_S: Final = 0.1

_PRESENT: Final = 0x20
_NO_READER: Final = 0x0C
"""Source: winscard.h (PC/SC part 5), SCARD_STATE_PRESENT; SCARD_STATE_UNKNOWN and SCARD_STATE_UNAVAILABLE"""


class Tally:
    """What the service says of one reader, and what follows from it."""

    def __init__(self) -> None:
        self._count = 0
        self._with_card: int | None = None
        """The last bit of the count while the service believes that a card is there; None: not known."""
        self._due_s: float | None = None
        """When an empty reader is to be looked into."""
        self._looked = False
        """It was, at this count: had the service believed in a card, it would count by the next time."""

    def says(self, state: int, at_s: float) -> bool:
        """Takes a reader's state, as SCardGetStatusChange gives it; whether there is a card."""
        count, present = _count(state), bool(state & _PRESENT)
        if state & _NO_READER:
            self._with_card = self._due_s = None
        elif present:
            self._with_card, self._due_s = count & 1, None
        elif self._due_s is None or count != self._count:
            self._due_s, self._looked = at_s if self._sure else at_s + SEEN_S, False
        self._count = count
        return present

    def overlooks(self, at_s: float) -> bool:
        """Whether a card may lie there that the service should have seen by now, or never will."""
        believes = not self._sure or self._with_card == self._count & 1
        return believes and self._due_s is not None and at_s >= self._due_s

    def nothing_there(self, at_s: float) -> None:
        """It was looked, and there is no card."""
        if self._looked and not self._sure:
            self._with_card = ~self._count & 1
        self._looked = True
        self._due_s = at_s + (_AGAIN_S if self._sure else SEEN_S)

    def is_settled(self, state: int) -> bool:
        """Whether the service will let a card be that was found: else it sees it yet, and powers it on."""
        count = _count(state)
        return self._with_card == count & 1 if self._sure else count != self._count

    @property
    def _sure(self) -> bool:
        return self._with_card is not None


def _count(state: int) -> int:
    """How many cards have come and gone, modulo 2^16. Source: pcsc-lite, SCardGetStatusChange"""
    return state >> 16 & 0xFFFF
