"""A card in the same process as the reader: the gap that other drivers cross with radio, without the radio.

A tear takes the card out of the field at a command: before the card has it, or after it has acted and before
its answer arrives. What a card's profile says of its pace and its bad contacts happens here, too.
"""

from __future__ import annotations

from paysim.core.errors import LinkClosed, LinkTimeout
from paysim.emv.card import Card
from paysim.emv.outcome import Decision

__all__ = ["Loopback"]


class Loopback:
    """The link to one card in the field; leave it by `close`.

    `tear_at` is the number of the command (from 1) at which the card is torn out; `heard` says that the card
    still gets that command. `before` is how many commands the card has had in its life, which some profiles
    fail by. `elapsed_ms` is how long the card took so far, by its profile.
    """

    def __init__(self, card: Card, *, tear_at: int = 0, heard: bool = True, before: int = 0) -> None:
        self.card = card
        self.elapsed_ms = 0
        self.commands = 0
        self._tear_at = tear_at
        self._heard = heard
        self._before = before
        self._gone = False

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What the card decided at its last GET PROCESSING OPTIONS."""
        return self.card.decisions

    def transceive(self, data: bytes) -> bytes:
        """The card's answer. Raises LinkTimeout where it does not come, LinkClosed where the card is gone."""
        if self._gone:
            raise LinkClosed("there is no card in the field")
        self.commands += 1
        if self.commands == self._tear_at:
            if self._heard:
                self.card.respond(data)
            self.close()
            raise LinkClosed("the card left the field")
        profile = self.card.made.profile
        self.elapsed_ms += profile.delays_ms.get(data[1], 0) if len(data) > 1 else 0
        answer = self.card.respond(data)
        failure = profile.fails.get(self._before + self.commands)
        if failure == "timeout":
            raise LinkTimeout("the card does not answer")
        if failure:
            raise LinkClosed("the answer is garbled")
        return answer

    def close(self) -> None:
        """The card leaves the field, and forgets what it does not keep."""
        if not self._gone:
            self._gone = True
            self.card.power_off()
