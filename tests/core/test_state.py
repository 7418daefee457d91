"""The state table is the design's, an illegal fact changes nothing, the picture is drawn from it."""

from __future__ import annotations

import re

import pytest

from paysim.core.errors import InvalidTransition
from paysim.core.event import Event
from paysim.core.operation import Status, Verb
from paysim.core.outcome import Outcome, Reason
from paysim.core.state import FINAL, STILL, TABLE, State, mermaid, next_state
from paysim.core.transaction import Transaction

ENDS = "authorized captured declined closed reversed"

# The design's table: what each state leaves by. "x -> y" where the state is another than the fact's own.
DESIGN: dict[str, str] = {
    "CREATED": f"presented submitted->PENDING {ENDS}",
    "PRESENTED": f"presented submitted->PENDING {ENDS}",
    "PENDING": f"presented->PENDING attempt_failed->PRESENTED deferred->PENDING timed_out->UNKNOWN {ENDS}",
    "UNKNOWN": f"timed_out->UNKNOWN found_unpaid->PRESENTED submitted->PENDING {ENDS}",
    "AUTHORIZED": "authorized released->AUTHORIZED captured voided lapsed->VOIDED reversed "
    "rejected->DECLINED",
    "CAPTURED": "captured refunded->CAPTURED released->CAPTURED settled->CAPTURED voided reversed",
    "DECLINED": "",
    "CLOSED": "",
    "VOIDED": "",
    "REVERSED": "",
}
OURS: dict[str, str] = {"UNKNOWN": "presented->UNKNOWN deferred->PENDING attempt_failed->PRESENTED"}
"""Rows beyond the design's: what the operator did meanwhile, learned late by a shop that is UNKNOWN."""

FACTS = sorted({fact for row in TABLE.values() for fact in row})


def rows(table: dict[str, str]) -> list[tuple[State, str, State]]:
    found = []
    for state, text in table.items():
        for word in text.split():
            fact, _, target = word.partition("->")
            found.append((State(state), fact, State(target or fact.upper())))
    return found


@pytest.mark.parametrize(("state", "fact", "target"), rows(DESIGN) + rows(OURS))
def test_a_fact_leads_where_the_design_says(state: State, fact: str, target: State) -> None:
    assert next_state(state, fact) is target


def test_there_are_no_other_rows() -> None:
    listed = {(state, fact) for state, fact, _ in rows(DESIGN) + rows(OURS)}
    assert {(state, fact) for state, row in TABLE.items() for fact in row} == listed


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("fact", [*FACTS, "created", "nonsense", ""])
def test_every_other_fact_is_illegal(state: State, fact: str) -> None:
    if fact in TABLE[state]:
        return
    with pytest.raises(InvalidTransition) as caught:
        next_state(state, fact)
    assert (caught.value.state, caught.value.fact) == (state.value, fact)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("fact", sorted(STILL))
def test_some_facts_move_no_state(state: State, fact: str) -> None:
    assert next_state(state, fact) is state
    assert fact not in FACTS


def test_final_states_are_those_that_nothing_leaves() -> None:
    assert {State.DECLINED, State.CLOSED, State.VOIDED, State.REVERSED} == FINAL
    assert all(not TABLE[state] for state in FINAL)


def test_every_state_can_be_reached_and_can_end() -> None:
    reached, ending = {State.CREATED}, set(FINAL)
    for _ in State:
        reached |= {target for state in reached for target in TABLE[state].values()}
        ending |= {state for state, row in TABLE.items() if ending & set(row.values())}
    assert reached == set(State)
    assert ending == set(State)


# A transaction in each state, by the shortest way. ------------------------------------------------

PATHS: dict[State, str] = {
    State.CREATED: "",
    State.PRESENTED: "presented",
    State.PENDING: "submitted",
    State.UNKNOWN: "submitted timed_out",
    State.AUTHORIZED: "authorized",
    State.CAPTURED: "captured",
    State.DECLINED: "declined",
    State.CLOSED: "closed",
    State.VOIDED: "authorized lapsed",
    State.REVERSED: "reversed",
}
DATA = {"presented": {"channel": "qr.merchant", "text": "x"}}


def fact(kind: str, amount_minor: int = 100) -> Event:
    return Event(kind, 1, f"op-{kind}", amount_minor, data=DATA.get(kind, {}))


def transaction(state: State) -> Transaction:
    view = Transaction("1")
    view.apply(Event("created", 0, amount_minor=100, data={"currency": "CNY", "shop": "tea"}))
    for kind in PATHS[state].split():
        view.apply(fact(kind))
    assert view.state is state
    return view


def snapshot(view: Transaction) -> dict[str, object]:
    return {
        name: value.copy() if isinstance(value := getattr(view, name), list | dict) else value
        for name in Transaction.__slots__
    }


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", [*FACTS, "created", "nonsense"])
def test_an_illegal_fact_raises_and_changes_nothing(state: State, kind: str) -> None:
    if kind in TABLE[state]:
        return
    view = transaction(state)
    before = snapshot(view)
    with pytest.raises(InvalidTransition):
        view.apply(fact(kind))
    assert snapshot(view) == before


@pytest.mark.parametrize("kind", ["refunded", "settled"])
def test_a_void_is_illegal_after_a_refund_or_settlement(kind: str) -> None:
    view = transaction(State.CAPTURED)
    view.apply(fact(kind, 10))
    before = snapshot(view)
    with pytest.raises(InvalidTransition):
        view.apply(fact("voided"))
    assert snapshot(view) == before


def test_an_operation_that_was_refused_is_not_done_by_an_illegal_fact() -> None:
    view = transaction(State.PENDING)
    view.apply(Event("attempt_failed", 2, "op-submitted"))
    before = snapshot(view)
    with pytest.raises(InvalidTransition):
        view.apply(Event("captured", 3, "op-submitted", 100))
    assert snapshot(view) == before


@pytest.mark.parametrize("kind", ["closed", "reversed"])
def test_an_open_payment_ends_with_its_order(kind: str) -> None:
    view = transaction(State.PENDING)
    view.apply(Event(kind, 2))
    assert not view.operations["op-submitted"].open


# A refund that did not reach the payer. -----------------------------------------------------------


def refunding(*facts: Event) -> Transaction:
    """A paid order of 100 of which 60 are asked back, and what came of it."""
    view = transaction(State.CAPTURED)
    view.apply(Event("asked", 2, "r-1", 60, data={"verb": "refund", "refund_ms": 9}))
    for event in facts:
        view.apply(event)
    return view


def sums(view: Transaction) -> tuple[int, int, int]:
    """Refunded, still open, and what the shop keeps."""
    return view.refunded_minor, view.refunding_minor, view.paid_minor


def test_a_stranded_refund_is_open_until_it_is_resolved() -> None:
    view = refunding(Event("stranded", 3, "r-1", 60))
    assert view.operations["r-1"].status is Status.ABNORMAL
    assert sums(view) == (0, 60, 100)
    assert view.refunds_due == {}, "nothing of it happens by itself any more"
    refusal = view.refusal(Verb.REFUND, 41)
    assert refusal is not None
    assert refusal.reason is Reason.OVER_REFUND
    assert view.refusal(Verb.REFUND, 40) is None
    view.apply(Event("refunded", 4, "r-1", 60))
    assert (view.operations["r-1"].status, sums(view)) == (Status.DONE, (60, 0, 40))


def test_a_refund_that_is_closed_may_be_asked_for_anew() -> None:
    closed = Event("refused", 4, "r-1", 60, Outcome.declined(Reason.TOO_LATE), data={"verb": "refund"})
    for view in (refunding(closed), refunding(Event("stranded", 3, "r-1", 60), closed)):
        assert (view.operations["r-1"].status, sums(view)) == (Status.REFUSED, (0, 0, 100))
        assert view.refunds_due == {}
        assert view.refusal(Verb.REFUND, 100) is None
        with pytest.raises(InvalidTransition):
            view.apply(Event("stranded", 5, "r-1", 60))


# The picture. -------------------------------------------------------------------------------------


def test_the_picture_is_the_table() -> None:
    drawn: set[tuple[str, str, str]] = set()
    for a, b, facts in re.findall(r"^    (\w+) --> (\w+): (.+)$", mermaid(), re.MULTILINE):
        drawn |= {(a, fact, b) for fact in facts.split(", ")}
    assert drawn == {(a.value, fact, b.value) for a, row in TABLE.items() for fact, b in row.items()}
    assert mermaid().splitlines()[:2] == ["stateDiagram-v2", "    [*] --> CREATED: created"]
    assert set(re.findall(r"^    (\w+) --> \[\*\]$", mermaid(), re.MULTILINE)) == set(FINAL)


def test_the_picture_changes_with_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLE[State.CAPTURED], "donated", State.VOIDED)
    assert "    CAPTURED --> VOIDED: voided, donated" in mermaid()
