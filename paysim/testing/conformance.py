"""A suite that any channel can be run through, ours or a stranger's.

    report = conformance.run(Harness(PayLink()))
    print(report)

In pytest, one test a case:

    @pytest.mark.parametrize("case", conformance.cases(Harness(PayLink())))
    def test_pay_link(case):
        case()

A case that needs what the channel does not claim is skipped, with the reason. Each case has a sandbox of its
own, and ends with `sandbox.verify()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .cases import CASES, Case
from .scene import Act, ConformanceError, Harness, Paid, Scene, Shown, pay, show

__all__ = [
    "CASES",
    "Act",
    "Case",
    "ConformanceError",
    "Harness",
    "Paid",
    "Report",
    "Row",
    "Scene",
    "Shown",
    "cases",
    "pay",
    "play",
    "run",
    "show",
]


class Row(NamedTuple):
    """What became of one case: `status` is passed, failed or skipped, `reason` says why."""

    case: str
    status: str
    reason: str = ""


class Report(NamedTuple):
    """What became of a channel; `str` gives one line a case and a last line of counts."""

    channel: str
    rows: tuple[Row, ...]

    def of(self, status: str) -> tuple[Row, ...]:
        """The rows of one status."""
        return tuple(row for row in self.rows if row.status == status)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.of("failed")

    @property
    def summary(self) -> str:
        """How many cases passed, failed and were skipped."""
        counts = ", ".join(f"{len(self.of(status))} {status}" for status in ("passed", "failed", "skipped"))
        return f"{self.channel}: {counts}"

    def __str__(self) -> str:
        lines = [f"  {row.status:<8}{row.case}{f': {row.reason}' if row.reason else ''}" for row in self.rows]
        return "\n".join([*lines, self.summary])


def play(harness: Harness, case: Case) -> None:
    """Play one case in a new sandbox, and verify the journal; raises what went wrong."""
    with harness.sandbox() as sandbox:
        case.play(Scene(harness, sandbox))
        sandbox.verify()


def run(harness: Harness) -> Report:
    """Run every case; what goes wrong in one is its row of the report."""
    rows = tuple(_row(harness, case) for case in CASES)
    return Report(harness.channel.name, rows)


def _row(harness: Harness, case: Case) -> Row:
    missing = case.missing(harness.channel.capabilities)
    if missing:
        return Row(case.name, "skipped", missing)
    try:
        play(harness, case)
    except Exception as error:  # whatever a stranger's channel raises fails the case
        text = str(error) if isinstance(error, ConformanceError) else f"{type(error).__name__}: {error}"
        return Row(case.name, "failed", text)
    return Row(case.name, "passed")


def cases(harness: Harness) -> list[Any]:
    """The cases as parameters for `pytest.mark.parametrize`: functions of no argument, to be called."""
    import pytest

    def bound(case: Case) -> Callable[[], None]:
        return lambda: play(harness, case)

    parameters = []
    for case in CASES:
        missing = case.missing(harness.channel.capabilities)
        marks = [pytest.mark.skip(reason=missing)] if missing else []
        parameters.append(pytest.param(bound(case), id=f"{harness.channel.name}: {case.name}", marks=marks))
    return parameters
