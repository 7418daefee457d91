"""A card in the same process as the reader: the gap that other drivers cross with radio, without the radio.

A tear takes the card out of the field at a command: before the card has it, or after it has acted and before
its answer arrives. What a card's profile says of its pace and its bad contacts happens here, too.
"""

from __future__ import annotations

from paysim.core.errors import LinkClosed, LinkTimeout, NoReader
from paysim.emv.card import Card
from paysim.emv.outcome import Decision

from .driver import Present

__all__ = ["Loopback", "LoopbackDriver", "LoopbackField"]


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


class LoopbackField:
    """A field that a card of this process is put into (`insert`) and taken from (`remove`)."""

    def __init__(self, card: Card | None = None) -> None:
        self.reader = "loopback"
        self._card = card
        self._link: Loopback | None = None
        self._closed = False

    def insert(self, card: Card) -> None:
        """Lay this card into the field."""
        self.remove()
        self._card = card

    def remove(self) -> None:
        """Take the card away."""
        self._leave()
        self._card = None

    def wait(self, timeout_s: float) -> Present | None:  # noqa: ARG002
        """The card that lies there, activated; None at once where none does: no other thread brings one."""
        if self._closed:
            raise LinkClosed("the field is off")
        self._leave()
        if self._card is None:
            return None
        self._link = Loopback(self._card)
        return Present(self._link)

    def removed(self, timeout_s: float) -> bool:  # noqa: ARG002
        """Whether the field is empty."""
        return self._card is None

    def close(self) -> None:
        """Turn the field off."""
        self._leave()
        self._closed = True

    def _leave(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


class LoopbackDriver:
    """The driver of cards of this process: one field, with the card that it was made with."""

    name = "loopback"

    def __init__(self, card: Card | None = None) -> None:
        self._card = card

    def readers(self) -> list[str]:
        """The one reader, where there is a card for it."""
        return [] if self._card is None else ["loopback"]

    def open(self, reader: str = "") -> LoopbackField:
        """The field. Raises NoReader where this process has no card, as at the prompt."""
        if self._card is None or reader not in ("", "loopback"):
            raise NoReader("loopback has a sandbox's own cards alone; paysim tap --card visa --amount 9.90")
        return LoopbackField(self._card)
