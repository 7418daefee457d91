"""Each driver keeps the contract: the suite that a stranger's driver is run through, on ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from driver_benches import LoopbackBench, PcscBench, ReplayBench
from pcscd import Pcscd

from paysim.testing import drivers
from paysim.testing.drivers import CASES, Case, ScriptedCard


@pytest.mark.parametrize("case", drivers.cases("loopback", LoopbackBench, LoopbackBench.lacks))
def test_loopback(case: Callable[[], None]) -> None:
    case()


@pytest.mark.parametrize("case", drivers.cases("replay", ReplayBench, ReplayBench.lacks))
def test_replay(case: Callable[[], None]) -> None:
    case()


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pcsc(case: Case, slot: int, daemon: Pcscd) -> None:
    drivers.play(lambda: PcscBench(daemon, slot=slot), case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pcsc_with_a_contact_card(case: Case, daemon: Pcscd) -> None:
    drivers.play(lambda: PcscBench(daemon, protocol="T0"), case)


def test_a_report_names_what_fails() -> None:
    class Deaf(LoopbackBench):
        def insert(self, card: object, commands: object = ()) -> None:
            super().insert(ScriptedCard({}))

    report = drivers.run("deaf", Deaf)
    assert not report.ok
    assert {row.status for row in report.rows} == {"passed", "failed", "skipped"}
    assert "another answer than the card's" in str(report)


def test_our_drivers_pass_as_a_report() -> None:
    report = drivers.run("loopback", LoopbackBench)
    assert report.ok, report
