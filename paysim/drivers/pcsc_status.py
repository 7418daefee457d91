"""What lies in PC/SC readers, asked of the smart card service alone: no card is touched, none is reset."""

from __future__ import annotations

from typing import Final, NamedTuple

from . import pcsc_service as service

__all__ = ["Slot", "slots"]

# Source: winscard.h (PC/SC part 5), SCARD_STATE_...
_PRESENT: Final = 0x20
_EXCLUSIVE: Final = 0x80
_MUTE: Final = 0x200


class Slot(NamedTuple):
    """A reader, and the ATR of its card; None where there is no card, empty where it does not answer."""

    reader: str
    atr: bytes | None
    held: bool
    """Whether a program has the card for itself."""


def slots() -> list[Slot]:
    """Every reader. Raises NoReader, with the line that mends it, where the service does not answer.

    A reader whose name is not ASCII cannot be asked by pyscard: no card is seen in it.
    """
    scard = service.functions()
    context = service.context(scard)
    try:
        names = service.listed(scard, context)
        asked = [(name, scard.SCARD_STATE_UNAWARE) for name in names if name.isascii()]
        code, states = scard.SCardGetStatusChange(context, 0, asked) if asked else (0, [])
        seen = {} if code else {name: _slot(name, state, bytes(atr)) for name, state, atr in states}
        return [seen.get(name) or Slot(name, None, held=False) for name in names]
    finally:
        scard.SCardReleaseContext(context)


def _slot(name: str, state: int, atr: bytes) -> Slot:
    if not state & _PRESENT:
        return Slot(name, None, held=False)
    return Slot(name, b"" if state & _MUTE else atr, held=bool(state & _EXCLUSIVE))
