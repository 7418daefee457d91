"""Keys in memory: minted when first asked for, and shared by every sandbox of the process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from paysim.core.errors import ConfigError, UsageError

from .keyring import Held

if TYPE_CHECKING:
    from paysim.crypto.keys import PrivateKey, SymmetricKey

__all__ = ["MemoryKeys"]


class MemoryKeys:
    """What `Keyring` is to a folder, for one process: the same names, and nothing on disk.

    >>> MemoryKeys().key("doctest", "aes-128") == MemoryKeys().key("doctest", "aes-128")
    True
    """

    _held: ClassVar[dict[str, list[Held]]] = {}
    _files: ClassVar[dict[str, bytes]] = {}
    _lock: ClassVar[threading.RLock] = threading.RLock()

    def key(self, name: str, kind: str) -> PrivateKey | SymmetricKey:
        """The key in use under this name, minted where there is none."""
        from paysim.crypto import keys

        with self._lock:
            held = self._held.setdefault(name, [])
            if not held:
                made = keys.mint(kind)  # type: ignore[call-overload]  # any kind; it refuses what it does not know
                held.append(Held(name, 1, made, None))
            if held[0].key.kind != kind:
                raise ConfigError(f"the key {name} is {held[0].key.kind}, not {kind}")
            return held[0].key

    def held(self, name: str, at_ms: int) -> list[Held]:
        """The keys under this name that are valid at a time, the one in use first."""
        with self._lock:
            known = self._held.get(name, ())
            return [one for one in known if one.until_ms is None or at_ms < one.until_ms]

    def rotate(self, name: str, *, at_ms: int, overlap_ms: int) -> PrivateKey | SymmetricKey:
        """A new key of the same kind takes over; the old one stays valid for `overlap_ms`."""
        from paysim.crypto import keys

        with self._lock:
            held = self._held.get(name)
            if not held:
                raise UsageError(f"there is no key {name!r} to rotate")
            old = held[0]
            made = keys.mint(old.key.kind)  # type: ignore[call-overload]
            held[0] = old._replace(until_ms=at_ms + overlap_ms)
            held.insert(0, Held(name, old.number + 1, made, None))
            return held[0].key

    def put(self, file: str, data: bytes) -> None:
        """Keep what would be a file beside the keys."""
        with self._lock:
            self._files[file] = data

    def get(self, file: str) -> bytes | None:
        """What was put under this name, None where nothing was."""
        return self._files.get(file)

    def remove(self, file: str) -> None:
        """Let go of what was put under this name, if anything was."""
        with self._lock:
            self._files.pop(file, None)

    def __repr__(self) -> str:
        return "<MemoryKeys>"
