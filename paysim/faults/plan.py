"""The list of faults of one sandbox."""

from __future__ import annotations

from collections.abc import Iterable

from .fault import EVERYWHERE, Fault

__all__ = ["FaultPlan"]


class FaultPlan:
    """Faults in the order in which they were added; the first that matches strikes until it is used up.

    >>> plan = FaultPlan([Fault("answer", verb="refund")])
    >>> plan.take("answer", "refund", "qr.merchant") is not None
    True
    >>> plan.take("answer", "refund", "qr.merchant") is None
    True
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._left: list[tuple[Fault, int]] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Add a fault behind the others."""
        self._left.append((fault, fault.times))

    def take(
        self, point: str, verb: str, channel: str, *, path: str = "", actions: frozenset[str] = EVERYWHERE
    ) -> Fault | None:
        """The fault of these actions that strikes this message, used up once; None where none does."""
        for index, (fault, left) in enumerate(self._left):
            if fault.action in actions and fault.strikes(point, verb, channel, path):
                self._left[index : index + 1] = [(fault, left - 1)] if left > 1 else []
                return fault
        return None

    def standing(self, point: str, action: str, verb: str, channel: str, *, path: str = "") -> Fault | None:
        """The fault that would strike with this action; it is not used up."""
        found = (fault for fault, _ in self._left if fault.action == action)
        return next((fault for fault in found if fault.strikes(point, verb, channel, path)), None)

    def mark(self) -> tuple[tuple[Fault, int], ...]:
        """What can still strike, for `restore`."""
        return tuple(self._left)

    def restore(self, mark: tuple[tuple[Fault, int], ...]) -> None:
        """What struck since the mark did not happen: the command was not written."""
        self._left[:] = mark

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._left.clear()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What can still strike."""
        return tuple(fault for fault, _ in self._left)
