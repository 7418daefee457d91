"""Payment by tap: a card at a contactless terminal, approved by its issuer or by the card itself.

What happens at the terminal is `emv`'s; money and states are the operator's, as on every channel. The window
that an order opens is good for one tap that is answered.
Source: EMV Contactless Books A to C; market rule R15 for how long the window stays open.
"""

from __future__ import annotations

from typing import Final

from paysim.core.operation import Verb

from .channel import ALL_VERBS, Capabilities, Claim, Presented, PresentRequest
from .operator import ORDER_LIFETIME_MS

__all__ = ["Contactless"]


class Contactless:
    """The shop opens a tap window, the payer holds a card to its terminal."""

    name: Final = "contactless"
    capabilities = Capabilities(verbs=ALL_VERBS - {Verb.AUTHORIZE}, single_use=True)

    def present(self, request: PresentRequest) -> Presented:  # noqa: ARG002
        """A tap window: nothing to look at."""
        return Presented("", ORDER_LIFETIME_MS)

    def read(self, text: str) -> Claim | None:  # noqa: ARG002
        """Nothing: a card is tapped, not scanned."""
        return None
