"""Faults are values; the plan gives each to the first message that it matches, as often as it says."""

from __future__ import annotations

from typing import Any

import pytest

from paysim import Fault, UsageError
from paysim.faults import ACTIONS, EVERYWHERE, POINTS, FaultPlan, Limiter

# fault, point, verb, channel, whether it strikes
MATCHES: list[tuple[Fault, str, str, str, bool]] = [
    (Fault("answer"), "answer", "refund", "qr.merchant", True),
    (Fault("answer"), "answer", "", "", True),
    (Fault("answer"), "request", "refund", "qr.merchant", False),
    (Fault("answer", verb="refund"), "answer", "refund", "qr.payer", True),
    (Fault("answer", verb="refund"), "answer", "void", "qr.payer", False),
    (Fault("answer", verb="refund"), "answer", "", "qr.payer", False),
    (Fault("callback", channel="qr.static"), "callback", "", "qr.static", True),
    (Fault("callback", channel="qr.static"), "callback", "", "qr.payer", False),
    (Fault("request", verb="void", channel="qr.payer"), "request", "void", "qr.payer", True),
    (Fault("request", verb="void", channel="qr.payer"), "request", "void", "qr.static", False),
    (Fault("refund", "abnormal"), "refund", "refund", "qr.wechat", True),
    (Fault("refund", "abnormal"), "answer", "refund", "qr.wechat", False),
    (Fault("refund", "closed", channel="qr.wechat"), "refund", "refund", "in_app.wechat", False),
]

WRONG: list[dict[str, Any]] = [
    {"point": "nowhere"},
    {"point": ""},
    {"point": "answer", "action": "explode"},
    {"point": "refund"},
    {"point": "answer", "action": "abnormal"},
    {"point": "answer", "times": 0},
    {"point": "answer", "times": -1},
    {"point": "answer", "delay_s": 0},
]


@pytest.mark.parametrize(("fault", "point", "verb", "channel", "strikes"), MATCHES)
def test_what_a_fault_strikes(fault: Fault, point: str, verb: str, channel: str, strikes: bool) -> None:
    assert fault.strikes(point, verb, channel) is strikes
    assert (FaultPlan([fault]).take(point, verb, channel) is fault) is strikes


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_fault(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Fault(**wrong)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_happens_where_the_table_says(point: str, action: str) -> None:
    if point in ACTIONS[action].points:
        assert Fault(point, action).strikes(point, "refund", "qr.merchant")
    else:
        with pytest.raises(UsageError, match="happens to"):
            Fault(point, action)


@pytest.mark.parametrize("action", sorted(ACTIONS.keys() - EVERYWHERE))
def test_what_is_for_the_wire_leaves_shops_inside_alone(action: str) -> None:
    point = ACTIONS[action].points[0]
    plan = FaultPlan([Fault(point, action)])
    assert plan.take(point, "refund", "qr.merchant") is None
    assert plan.standing(point, action, "refund", "") is plan.faults[0]
    assert plan.take(point, "refund", "", actions=frozenset({action})) is not None


def test_a_path_matches_as_a_pattern() -> None:
    fault = Fault("request", path="/v3/refund/*")
    assert fault.strikes("request", "", "", "/v3/refund/domestic/refunds")
    assert not fault.strikes("request", "", "", "/v3/pay/transactions/native")


def test_a_limiter_lets_so_many_through_a_second() -> None:
    limiter = Limiter()
    assert [limiter.over("refund", 3, at) for at in (0, 100, 200, 300, 999)] == [False] * 3 + [True] * 2
    assert not limiter.over("query", 3, 999)
    assert not limiter.over("refund", 3, 1000)
    assert limiter.over("refund", 3, 1050)
    assert not limiter.over("refund", 3, 1100)


def test_a_fault_strikes_as_often_as_it_says() -> None:
    plan = FaultPlan([Fault("answer", times=3)])
    assert [plan.take("answer", "refund", "x") is not None for _ in range(5)] == [True] * 3 + [False] * 2
    assert plan.faults == ()


def test_the_first_that_matches_strikes_and_the_others_wait() -> None:
    lost, late, other = Fault("answer"), Fault("answer", "delay"), Fault("request")
    plan = FaultPlan([lost, other])
    plan.add(late)
    assert plan.faults == (lost, other, late)
    assert [plan.take("answer", "void", "x") for _ in range(3)] == [lost, late, None]
    assert plan.faults == (other,)


def test_a_plan_can_be_cleared() -> None:
    plan = FaultPlan([Fault("answer", times=5)])
    plan.clear()
    assert plan.take("answer", "void", "x") is None


def test_a_fault_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Fault("answer").times = 2  # type: ignore[misc]
