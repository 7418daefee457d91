"""A card in somebody's hand, as whoever holds it sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paysim.core.errors import UsageError
from paysim.core.money import Money
from paysim.issuer.cards import CardStatus

if TYPE_CHECKING:
    from paysim.emv.personalise import Personalisation

    from .cards import HeldCard
    from .engine import Engine

__all__ = ["Card"]


class Card:
    """A card in somebody's hand; `person.card("unionpay")`."""

    def __init__(self, engine: Engine, id: str) -> None:
        self._engine = engine
        self.id = id

    def __repr__(self) -> str:
        return f"Card({self.id!r})"

    @property
    def profile(self) -> str:
        """The name of its profile."""
        return self._held().card.made.profile.name

    @property
    def token(self) -> str:
        """What names it in place of its number."""
        return self._held().token

    @property
    def balance_minor(self) -> int:
        """What its memory says is left to spend offline, in minor units."""
        return self._held().card.memory.balance

    @property
    def counter(self) -> int:
        """Its application transaction counter."""
        return self._held().card.memory.atc

    @property
    def made(self) -> Personalisation:
        """What its issuer made of it, its keys among it: `emv.card.Card(card.made)` is such a card, new."""
        return self._held().card.made

    def report(self, status: str = "lost") -> Money:
        """Tell the issuer that it is "lost" or "stolen", or have it "blocked", or "active" again.

        Returns what the issuer bears: payments without PIN of the 72 hours before, up to 30,000 CNY a year
        (market rule R07).
        """
        if status not in list(CardStatus):
            raise UsageError(f"a card is {', '.join(CardStatus)}, not {status!r}")
        engine = self._engine
        return Money("CNY", engine.run(lambda: engine.cards.report(self.id, CardStatus(status))))

    def _held(self) -> HeldCard:
        return self._engine.run(lambda: self._engine.cards.held(self.id))
