"""The drivers that there are, by their names at the prompt: ours, and those of installed packages."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from paysim.core.errors import UsageError

from .driver import Driver, Field

__all__ = ["GROUP", "driver", "names", "opener"]

GROUP: Final = "paysim.drivers"
"""The entry point group in which a package names its drivers: each entry is called and gives a Driver."""

_OURS: Final = {
    "loopback": ("loopback", "LoopbackDriver"),
    "nfc": ("nfc", "Nfc"),
    "pcsc": ("pcsc", "Pcsc"),
    "replay": ("replay", "ReplayDriver"),
}


def names() -> tuple[str, ...]:
    """The names of all drivers, sorted."""
    from importlib.metadata import entry_points  # 40 ms, and most sandboxes never ask

    return tuple(sorted({*_OURS, *(point.name for point in entry_points(group=GROUP))}))


def driver(name: str) -> tuple[Driver, str]:
    """The driver of `pcsc:ACS ACR122U`, and the reader behind the colon, for `open`.

    Raises UsageError, naming those that there are, where there is none of this name.
    """
    head, _, rest = name.partition(":")
    found: Driver
    if head in _OURS:
        module, attribute = _OURS[head]
        found = getattr(import_module(f"paysim.drivers.{module}"), attribute)()
        return found, rest
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP, name=head):
        found = point.load()()
        return found, rest
    raise UsageError(f"there is no driver {head!r}; there are {', '.join(names())}")


def opener(source: str | Driver | Field) -> Callable[[], Field]:
    """What opens the field that is meant: by a name at the prompt, a driver's first reader, an open field.

    Raises UsageError for a name that no driver has; what is given raises NoReader where no reader is there.
    """
    if isinstance(source, str):
        found, reader = driver(source)
        return lambda: found.open(reader)
    if isinstance(source, Field):
        return lambda: source
    return source.open
