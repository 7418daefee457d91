"""The channels that a sandbox knows: ours, those of installed packages, and those given to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from paysim.core.errors import UsageError

from .channel import Channel, Claim
from .contactless import Contactless
from .qr import MerchantCode, PayerCode, StaticCode
from .wechat import InAppWeChat, NativeWeChat

__all__ = ["GROUP", "Registry"]

GROUP: Final = "paysim.channels"
"""The entry point group in which a package names its channels."""


class Registry:
    """Channels by name. Entry points are looked at when a name or a text is not known, and once only."""

    def __init__(self) -> None:
        ours: tuple[Channel, ...] = (
            MerchantCode(),
            StaticCode(),
            PayerCode(),
            NativeWeChat(),
            InAppWeChat(),
            Contactless(),
        )
        self._channels: dict[str, Channel] = {channel.name: channel for channel in ours}
        self._looked = False

    def register(self, channel: Channel) -> None:
        """Add a channel, or put it in the place of the one with the same name."""
        self._channels[channel.name] = channel

    def channel(self, name: str) -> Channel:
        """The channel of this name; raises UsageError, naming those that there are, where there is none."""
        if name not in self._channels:
            self._look()
        try:
            return self._channels[name]
        except KeyError:
            raise UsageError(
                f"there is no channel {name!r}; there are {', '.join(sorted(self._channels))}"
            ) from None

    def names(self) -> tuple[str, ...]:
        """The names of all channels, sorted."""
        self._look()
        return tuple(sorted(self._channels))

    def read(self, text: str) -> Claim | None:
        """What a scanned text claims in the eyes of the first channel that knows it; None where none does.

        Raises DecodeError where a channel knows it and it is damaged.
        """
        for channel in self._all():
            claim = channel.read(text)
            if claim is not None:
                return claim
        return None

    def _all(self) -> Iterator[Channel]:
        yield from tuple(self._channels.values())
        if not self._looked:
            known = set(self._channels)
            self._look()
            yield from (channel for name, channel in self._channels.items() if name not in known)

    def _look(self) -> None:
        if self._looked:
            return
        self._looked = True
        from importlib.metadata import entry_points  # 40 ms, and most sandboxes never ask

        for point in entry_points(group=GROUP):
            if point.name not in self._channels:
                channel: Channel = point.load()()
                self._channels[channel.name] = channel
