"""What a driver is: bytes across a gap, to one card at a time.

A `Driver` names its readers and opens them; a `Field` is an opened one, with its field on; a `Present` is a
card in that field, and its `link` carries commands. A terminal's whole life:

    field = driver("pcsc").open("ACS ACR122U")       # NoReader, with the line that mends it
    present = field.wait(10)                         # None: no card came
    answer = present.link.transceive(command)        # LinkTimeout, LinkClosed
    field.removed(10)
    field.close()

**Waiting.** `Field.wait` gives a card that has just been activated: one that came, or the one that lies
there still, reset. What a card keeps without power is all that it remembers of the time before. `wait` raises
LinkClosed where another program holds the card, LinkTimeout where the card does not answer to the reset; the
next `wait` may find it well. The link of an earlier `wait` raises LinkClosed from then on. `removed` is True
once the field is empty, at once where no card was there. Both return within their time-out, and half a second
at most after it.

**Carrying.** `transceive` sends a command APDU and returns the response APDU as the card gave it, of any
length, a byte and none included: judging it is the terminal's. What the transport needs below that (GET
RESPONSE after 61xx, the right Le after 6Cxx, chaining, waiting times) the driver does by itself. It raises
LinkTimeout where the card has not answered in time (what it did is unknown) and LinkClosed where the card or
the reader is gone; after either, the link stays closed, and the next `wait` begins anew. Nothing else is
raised, whatever the card sends.

**What may be slow.** `readers`, `open` and `close` take up to a second where a daemon or USB is asked; `wait`
and `removed` take what they are given; `transceive` takes the card's time, and the driver's limit at most
(5 seconds, unless the driver says otherwise).

**Threads.** One thread uses a field and its links. Several fields may be used in several threads; a driver
itself holds nothing that changes. `close` may be called twice, and by another thread, whose field then raises
LinkClosed.

**Errors.** NoReader where there is no reader, no such reader, or nobody who serves it (a daemon that is not
running); the text ends with what mends it. A field whose reader comes back works again at the next `wait`.

Drivers are registered by entry point (group `paysim.drivers`) and run through `paysim.testing.drivers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from paysim.core.errors import NoReader

from .dialogue import CardLink

__all__ = ["TIMEOUT_S", "Driver", "Field", "Present", "SoftCard", "UnfitReader"]

TIMEOUT_S = 5.0
"""How long a link waits for an answer, unless its driver says otherwise. Assumed"""


class UnfitReader(NoReader):
    """This reader cannot do what is asked of it, and will not tomorrow: nobody need wait."""


@dataclass(frozen=True, slots=True)
class Present:
    """A card in the field.

    `kind` is what the reader can tell of it ("iso14443-4", "contact", "mifare classic 1k", ...), `uid` and
    `atr` are empty where it cannot; `count` is how many cards it sees, more than one is for the terminal to
    refuse.
    """

    link: CardLink
    kind: str = "iso14443-4"
    uid: bytes = b""
    atr: bytes = b""
    count: int = 1


@runtime_checkable
class Field(Protocol):
    """A reader with its field on."""

    @property
    def reader(self) -> str:
        """Its name, or the names of those that are watched together."""

    def wait(self, timeout_s: float) -> Present | None:
        """The card that comes or lies there, just activated; None where none came in time."""

    def removed(self, timeout_s: float) -> bool:
        """Whether the field was empty, or got so in time."""

    def close(self) -> None:
        """Let go of card and reader; closing twice is harmless."""


@runtime_checkable
class Driver(Protocol):
    """Readers of one kind."""

    @property
    def name(self) -> str:
        """What it is called at the prompt, before the colon."""

    def readers(self) -> list[str]:
        """The readers that are there now; raises NoReader where nobody can be asked."""

    def open(self, reader: str = "") -> Field:
        """Turn the field of a reader on; `reader` is what stands behind the colon at the prompt.

        Raises NoReader, with the line that mends it.
        """


class SoftCard(Protocol):
    """A card for the card sides of drivers (`vpcd`, `nfc`): `emv.card.Card`, or anything of the kind.

    Where it has a method `saved()`, that is called after each command, before its answer leaves, so that what
    the card remembers is written.
    """

    def respond(self, command: bytes) -> bytes:
        """The response to any bytes; LinkTimeout where none comes, LinkClosed where the card is torn."""

    def power_off(self) -> None:
        """The field is gone: all but the memory is forgotten."""
