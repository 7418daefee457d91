"""The journal on disk."""

from .rescue import Repair, repair
from .sqlite import SqliteJournal

__all__ = ["Repair", "SqliteJournal", "repair"]
