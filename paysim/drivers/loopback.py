"""A card in the same process as the reader: the gap that other drivers cross with radio, without the radio.

A tear takes the card out of the field at a command: before the card has it, or after it has acted and before
its answer arrives. What a card's profile says of its pace and its bad contacts happens here, too.
"""

from __future__ import annotations

from paysim.core.errors import LinkClosed, LinkTimeout, NoReader
from paysim.emv.card import Card
from paysim.emv.outcome import Decision

from .driver import Present, SoftCard

__all__ = ["Loopback", "LoopbackDriver", "LoopbackField", "SoftLink"]


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


class SoftLink:
    """The link to any card of this process, `emv.card`'s or not."""

    decisions: tuple[Decision, ...] = ()

    def __init__(self, card: SoftCard) -> None:
        self.card = card
        self._gone = False

    def transceive(self, data: bytes) -> bytes:
        """The card's answer. Raises LinkTimeout or LinkClosed where the card does, and is closed then."""
        if self._gone:
            raise LinkClosed("there is no card in the field")
        try:
            return self.card.respond(data)
        except (LinkTimeout, LinkClosed):
            self.close()
            raise

    def close(self) -> None:
        """The card leaves the field, and forgets what it does not keep."""
        if not self._gone:
            self._gone = True
            self.card.power_off()


class LoopbackField:
    """The field over a table: the card that its driver's hands lay there."""

    def __init__(self, table: LoopbackDriver) -> None:
        self.reader = "loopback"
        self._table = table
        self._link: Loopback | SoftLink | None = None
        self._closed = False

    def wait(self, timeout_s: float) -> Present | None:  # noqa: ARG002
        """The card that lies there, activated; None at once where none does: nobody else brings one."""
        if self._closed:
            raise LinkClosed("the field is off")
        self.leave()
        card = self._table.card
        if card is None:
            return None
        self._link = Loopback(card) if isinstance(card, Card) else SoftLink(card)
        return Present(self._link)

    def removed(self, timeout_s: float) -> bool:  # noqa: ARG002
        """Whether no card lies there."""
        return self._table.card is None

    def close(self) -> None:
        """Turn the field off."""
        self.leave()
        self._closed = True

    def leave(self) -> None:
        """The card that was activated has no power any more."""
        if self._link is not None:
            self._link.close()
            self._link = None


class LoopbackDriver:
    """The driver of cards of this process: one reader, and the card that `insert` lays on it."""

    name = "loopback"

    def __init__(self, card: SoftCard | None = None) -> None:
        self.card = card
        self._fields: list[LoopbackField] = []

    def readers(self) -> list[str]:
        """The one reader."""
        return ["loopback"]

    def open(self, reader: str = "") -> LoopbackField:
        """The field. Raises NoReader for another name."""
        if reader not in ("", "loopback"):
            raise NoReader(
                f"loopback has no reader {reader[:40]!r}; name none, and a sandbox's cards are there"
            )
        self._fields.append(LoopbackField(self))
        return self._fields[-1]

    def insert(self, card: SoftCard) -> None:
        """Lay this card on the reader, in place of another."""
        self.remove()
        self.card = card

    def remove(self) -> None:
        """Take the card away."""
        for field in self._fields:
            field.leave()
        self.card = None
