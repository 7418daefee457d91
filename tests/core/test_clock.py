"""Clocks: forward only, told in days to seconds, real or virtual."""

from __future__ import annotations

import time
from typing import Any

import pytest

from paysim import ConfigError, Sandbox, SystemClock, UsageError, VirtualClock
from paysim.core.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

START_MS = 1_767_225_600_000
LAST_MS = 253_402_300_799_000

STEPS: list[tuple[dict[str, float], int]] = [
    ({}, 0),
    ({"seconds": 1}, SECOND_MS),
    ({"seconds": 0.001}, 1),
    ({"minutes": 1.5}, 90 * SECOND_MS),
    ({"hours": 25}, 25 * HOUR_MS),
    ({"days": 1, "hours": 1, "minutes": 1, "seconds": 1}, DAY_MS + HOUR_MS + MINUTE_MS + SECOND_MS),
    ({"days": 1, "hours": -1}, 23 * HOUR_MS),
]

BACK: list[dict[str, Any]] = [
    {"seconds": -1},
    {"days": 1, "hours": -25},
    {"days": 10**7},
    {"days": float("inf")},
    {"seconds": float("nan")},
    {"hours": -float("inf")},
]


@pytest.mark.parametrize(("step", "moved_ms"), STEPS)
def test_a_virtual_clock_moves_when_told(step: dict[str, float], moved_ms: int) -> None:
    clock = VirtualClock()
    assert clock.now_ms() == START_MS
    clock.advance(**step)
    assert clock.now_ms() == START_MS + moved_ms


@pytest.mark.parametrize("step", BACK)
def test_a_clock_moves_forward_only_and_stays_in_its_era(step: dict[str, Any]) -> None:
    clock = VirtualClock()
    with pytest.raises(UsageError):
        clock.advance(**step)
    assert clock.now_ms() == START_MS


@pytest.mark.parametrize("step", BACK)
def test_a_refused_step_rings_nothing_in_a_sandbox(step: dict[str, Any]) -> None:
    with Sandbox() as sandbox:
        order = sandbox.shop("Tea House").create(_yuan())
        order.present("qr.merchant")
        before = sandbox.journal.head
        with pytest.raises(UsageError):
            sandbox.advance(**step)
        assert (order.state, sandbox.journal.head) == ("PRESENTED", before)


def _yuan() -> Any:
    from paysim import CNY

    return CNY("1.00")


def test_the_last_moment() -> None:
    clock = VirtualClock(LAST_MS)
    clock.advance()
    with pytest.raises(UsageError):
        clock.advance(seconds=1)


def test_it_starts_where_it_is_told() -> None:
    assert VirtualClock(5).now_ms() == 5


def test_a_sandbox_carries_out_the_advance_of_its_clock() -> None:
    clock = VirtualClock()
    with Sandbox(clock=clock) as sandbox:
        order = sandbox.shop("Tea House").create(_yuan())
        order.present("qr.merchant")
        clock.advance(hours=2)
        assert order.state == "CLOSED"
        assert [event.at_ms for event in order.book.events if event.kind == "closed"] == [
            START_MS + 2 * HOUR_MS
        ]


def test_the_machines_clock_runs_by_itself_and_rings_at_the_next_use(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr("time.time_ns", lambda: now)
    with Sandbox(clock=SystemClock()) as sandbox:
        order = sandbox.shop("Tea House").create(_yuan())
        order.present("qr.merchant")
        now += 2 * HOUR_MS * 1_000_000
        assert order.state == "CLOSED"
        with pytest.raises(UsageError):
            sandbox.advance(hours=1)


def test_a_clock_is_the_sandboxs_choice() -> None:
    with pytest.raises(ConfigError):
        Sandbox(store="nonsense", clock=VirtualClock())
