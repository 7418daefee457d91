"""How an operation's status may move, and what it says of itself."""

from __future__ import annotations

import pytest

from paysim.core.errors import InvalidTransition
from paysim.core.operation import OPEN, Operation, Status, Verb
from paysim.core.outcome import APPROVED, NEVER_ARRIVED, NO_ANSWER, Outcome, Reason

# Status -> what may follow. Source: DESIGN section 1.
LEGAL: dict[str, str] = {
    "ASKED": "ASKED DONE REFUSED UNKNOWN ABNORMAL",
    "UNKNOWN": "ASKED DONE REFUSED UNKNOWN ABNORMAL",
    "ABNORMAL": "ASKED DONE REFUSED ABNORMAL",
    "DONE": "DONE",
    "REFUSED": "REFUSED",
}
PASSING = {Reason.MERCHANT_FUNDS, Reason.NOT_FOUND, Reason.SYSTEM_ERROR}


def operation(status: Status, reason: Reason | None = None) -> Operation:
    outcome = Outcome.declined(reason) if reason else None
    return Operation("1.1", Verb.REFUND, status, 280, "1.0", outcome)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("then", Status)
def test_statuses_follow_each_other_as_the_design_says(status: Status, then: Status) -> None:
    if then in LEGAL[status].split():
        moved = operation(status).moved(then)
        assert moved == Operation("1.1", Verb.REFUND, then, 280, "1.0")
    else:
        with pytest.raises(InvalidTransition):
            operation(status).moved(then)


@pytest.mark.parametrize("reason", Reason)
def test_a_refusal_that_may_pass_can_be_asked_again(reason: Reason) -> None:
    refused = operation(Status.REFUSED, reason)
    assert refused.passing is (reason in PASSING)
    assert refused.reason == reason.value
    if refused.passing:
        assert refused.moved(Status.ASKED).status is Status.ASKED
        assert refused.moved(Status.DONE).done
    else:
        with pytest.raises(InvalidTransition):
            refused.moved(Status.ASKED)


@pytest.mark.parametrize("status", Status)
def test_open_means_that_money_may_still_move(status: Status) -> None:
    assert operation(status).open is (status in OPEN)
    assert operation(status).open is (status not in (Status.DONE, Status.REFUSED))
    assert operation(status).done is (status is Status.DONE)


def test_the_outcome_is_the_newest_answers() -> None:
    unknown = operation(Status.ASKED).moved(Status.UNKNOWN, NO_ANSWER)
    assert unknown.outcome == NO_ANSWER
    assert unknown.moved(Status.DONE, APPROVED).outcome == APPROVED
    assert unknown.moved(Status.REFUSED, NEVER_ARRIVED).passing
    assert unknown.moved(Status.ASKED).outcome is None


def test_an_operation_does_not_change() -> None:
    with pytest.raises(AttributeError):
        operation(Status.ASKED).status = Status.DONE  # type: ignore[misc]
