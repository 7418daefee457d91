"""A callback: what an operator owes a merchant outside the sandbox, folded from its facts.

The stream `callback/<id>` begins with `owed`. Each try is `attempted`; an acknowledgement is `delivered`,
the end of the ladder `given_up`, and `resent` puts it on its way again. What the newest fact says of
`due_ms` holds: when to try next, nothing where there is nothing left to do.
"""

from __future__ import annotations

from collections.abc import Iterable

from .event import Event

__all__ = ["Callback"]


class Callback:
    """One message to one address.

    `order` and `position` say what it tells: the operator's book of that order as it stood then. `url` is
    where it goes, `due_ms` when it goes out next (Unix ms, None for never), `tries` how often it did.
    """

    __slots__ = ("delivered", "due_ms", "events", "id", "tries")

    def __init__(self, id: str, events: Iterable[Event]) -> None:
        self.id = id
        self.events: list[Event] = []
        self.due_ms: int | None = None
        self.tries = 0
        self.delivered = False
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Take in one fact."""
        self.events.append(event)
        self.due_ms = event.data.get("due_ms")
        self.tries += event.kind in ("attempted", "delivered", "given_up")
        self.delivered = self.delivered or event.kind == "delivered"

    @property
    def name(self) -> str:
        """Its stream, and the name of its timer."""
        return f"callback/{self.id}"

    @property
    def order(self) -> str:
        """The id of the order that it is about."""
        return str(self.events[0].data["order"])

    @property
    def position(self) -> int:
        """How many of the operator's facts it tells of."""
        return int(self.events[0].data["position"])

    @property
    def url(self) -> str:
        """Where it goes."""
        return str(self.events[0].data["url"])
