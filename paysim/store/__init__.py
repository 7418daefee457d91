"""The journal and the keys on disk, and keys that live in memory."""

from .keyring import Keyring
from .memory_keys import MemoryKeys
from .rescue import Repair, repair
from .sqlite import SqliteJournal

__all__ = ["Keyring", "MemoryKeys", "Repair", "SqliteJournal", "repair"]
