"""Lines for a shell that mend what a machine lacks."""

from __future__ import annotations

import os

__all__ = ["own"]


def own(line: str) -> str:
    """The line as this user types it: root needs no sudo, and where root is all there is, nobody has it."""
    return line.replace("sudo ", "") if hasattr(os, "geteuid") and os.geteuid() == 0 else line
