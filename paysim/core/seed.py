"""Seeded randomness: every identifier, nonce and choice of the sandbox comes from here."""

from __future__ import annotations

import hashlib

from .errors import UsageError

__all__ = ["Seed"]

_MAX_DIGITS = 38


class Seed:
    """Numbers that depend on the seed, a label and a position alone.

    There is no hidden state to save: the same seed, label and position give the same number after a
    restart, on any machine and any Python.

    >>> Seed(7).digits("order", 12, 6) == Seed(7).digits("order", 12, 6)
    True
    """

    def __init__(self, seed: int) -> None:
        if type(seed) is not int or not 0 <= seed < 2**64:
            raise UsageError(f"a seed is an int from 0 to 2**64 - 1, not {seed!r}")
        self.value = seed
        self._root = hashlib.sha256(b"paysim seed" + seed.to_bytes(8, "big"))

    def draw(self, label: str, position: int) -> int:
        """A number of 128 bits."""
        state = self._root.copy()
        state.update(b"%d %s" % (position, label.encode()))
        return int.from_bytes(state.digest()[:16], "big")

    def digits(self, label: str, position: int, count: int) -> str:
        """`count` decimal digits (at most 38), leading zeros kept."""
        return str(self.draw(label, position) % 10 ** min(count, _MAX_DIGITS)).rjust(count, "0")

    def below(self, label: str, position: int, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        return self.draw(label, position) % limit
