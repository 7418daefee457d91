"""What an inspection found: a tree for people, and an account of what was and was not done.

Values are explained, card numbers in them masked unless they were to be kept; no cryptogram is among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from paysim.codec.status_words import describe

from .explain import Explained
from .inspection_checks import Check

__all__ = ["Application", "Report"]


@dataclass
class Application:
    """An application of the card; values are explained, card numbers in them masked."""

    name: bytes
    label: str = ""
    priority: int = 0
    """1 is first; 0: the card says none."""
    kernel: int = 0
    """0: any, or not known."""
    sw: int = 0
    """The answer to SELECT."""
    ours: bool = False
    entry: tuple[Explained, ...] = ()
    fci: tuple[Explained, ...] = ()
    data: tuple[Explained, ...] = ()
    records: tuple[Explained, ...] = ()
    options: tuple[Explained, ...] = ()
    signed_records: tuple[Explained, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its label where it has one, and its name (AID)."""
        return f"{self.label} {self.name.hex().upper()}".strip()

    def tree(self) -> Explained:
        """Everything about it as one node."""
        priority = f"priority {self.priority}" if self.priority else "no priority"
        kernel = f"kernel {self.kernel:X}" if self.kernel else "any kernel"
        parts = (
            ("directory entry", self.entry),
            (f"SELECT: {self.sw:04X} {describe(self.sw)}", self.fci),
            ("GET DATA", self.data),
            ("records that answer without GPO", self.records),
            ("GET PROCESSING OPTIONS, amount zero", self.options),
            ("records after it", self.signed_records),
            ("checked", tuple(one.explained() for one in self.checks)),
        )
        inside = tuple(Explained(0, name, inside=nodes) for name, nodes in parts if nodes)
        return Explained(0, self.title, "", (priority, kernel, *self.notes), inside)


class Report(NamedTuple):
    """What an inspection found, and what it did and did not do; no cryptogram is in it."""

    applications: tuple[Application, ...]
    pan: str
    """The card's number with its middle masked, empty where no object gave it."""
    ours: bool
    ended: str
    """Why it ended early, empty where it did not."""
    done: tuple[str, ...]
    not_done: tuple[str, ...]

    def tree(self) -> tuple[Explained, ...]:
        """A node for each application, best first."""
        return tuple(one.tree() for one in sorted(self.applications, key=lambda each: each.priority or 16))
