"""The journal on disk."""

from .sqlite import SqliteJournal

__all__ = ["SqliteJournal"]
