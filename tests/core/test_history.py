"""Two readers of one history: nothing counts twice, whatever reaches the shop, in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.core.errors import InvalidTransition
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.operation import Status
from paysim.core.state import State
from paysim.core.transaction import Transaction

CREATED = Event("created", 0, amount_minor=1_280, data={"currency": "CNY", "shop": "tea"})
PRESENTED = Event("presented", 1, data={"channel": "qr.merchant", "text": "x", "expiry_ms": 9_000})
BOOK = (
    CREATED,
    PRESENTED,
    Event("submitted", 2, "1.1", 1_280, data={"payer": "alice"}),
    Event("captured", 3, "1.1", 1_280, data={"payer": "alice", "settlement_ms": 50_000}),
    Event("refunded", 4, "1.2", 280, data={"target": "1.1"}),
    Event("refunded", 5, "1.3", 100, data={"target": "1.1"}),
    Event("settled", 50_000, amount_minor=900),
)


def reached(position: int, **data: Any) -> Event:
    return Event("reached", 10, data={"position": position, "via": "callback", **data})


def known(history: History, *, at: str = "shop") -> tuple[State, int, int, bool]:
    view: Transaction = getattr(history, at)
    return view.state, view.captured_minor, view.refunded_minor, view.settled


def test_the_shop_knows_what_has_reached_it() -> None:
    history = History("1", BOOK, [CREATED])
    assert known(history) == (State.CREATED, 0, 0, False)
    assert known(history, at="book") == (State.CAPTURED, 1_280, 380, True)
    for position, expected in [
        (2, (State.PRESENTED, 0, 0, False)),
        (3, (State.PENDING, 0, 0, False)),
        (4, (State.CAPTURED, 1_280, 0, False)),
        (5, (State.CAPTURED, 1_280, 280, False)),
        (7, (State.CAPTURED, 1_280, 380, True)),
    ]:
        history.at_shop(reached(position))
        assert known(history) == expected


@settings(max_examples=count(2_000), deadline=None, database=None, derandomize=True)
@given(st.lists(st.integers(0, 9), max_size=12))
def test_answers_callbacks_and_queries_never_count_twice(positions: list[int]) -> None:
    history = History("1", BOOK, [CREATED])
    for position in positions:
        history.at_shop(reached(position))
    once = History("1", BOOK, [CREATED, reached(max(positions, default=0))])
    assert known(history) == known(once)
    assert history.shop.operations == once.shop.operations
    learned = [event for event in history.shop.events if event.kind != "reached"]
    assert len(learned) == max(1, min(max(positions, default=0), len(BOOK)))


@settings(max_examples=count(500), deadline=None, database=None, derandomize=True)
@given(st.permutations(range(1, len(BOOK) + 1)))
def test_reordered_messages_end_in_the_same_view(order: list[int]) -> None:
    history = History("1", BOOK, [CREATED, *map(reached, order)])
    assert known(history) == known(history, at="book")
    assert [e for e in history.shop.events if e.kind != "reached"] == list(BOOK)


def test_a_position_beyond_the_book_reaches_what_there_is() -> None:
    assert known(History("1", BOOK[:4], [CREATED, reached(999)])) == (State.CAPTURED, 1_280, 0, False)


def test_folding_at_once_is_folding_step_by_step() -> None:
    steps = History("1")
    steps.at_shop(CREATED)
    for position, event in enumerate(BOOK, 1):
        steps.at_operator(event)
        steps.at_shop(reached(position))
    whole = History("1", BOOK, steps.born)
    assert known(steps) == known(whole)
    assert steps.shop.events == whole.shop.events
    assert (steps.book_version, steps.shop_version) == (len(BOOK), len(BOOK) + 1)


# What is born at the shop, and what the operator says late. -----------------------------------------

ASKS = Event("submitted", 2, "1.1", 1_280, data={"channel": "qr.payer", "answer_ms": 45_000})
GIVES_UP = Event("timed_out", 45_000, "1.1")

# what the shop did by itself, what the operator did, where the shop stands after a query
LATE: list[tuple[str, list[Event], list[Event], State]] = [
    ("submitted twice", [ASKS], [CREATED, BOOK[2]], State.PENDING),
    ("paid", [ASKS, GIVES_UP], [CREATED, BOOK[2], BOOK[3]], State.CAPTURED),
    ("declined", [ASKS, GIVES_UP], [CREATED, BOOK[2], Event("declined", 3, "1.1")], State.DECLINED),
    ("closed", [ASKS, GIVES_UP], [CREATED, Event("closed", 3)], State.CLOSED),
    ("a presentation whose answer was lost", [ASKS, GIVES_UP], [CREATED, PRESENTED], State.UNKNOWN),
    ("that, and paid", [ASKS, GIVES_UP], list(BOOK[:4]), State.CAPTURED),
    ("that, and failed", [ASKS, GIVES_UP], [*BOOK[:3], Event("attempt_failed", 3, "1.1")], State.PRESENTED),
    ("the payer is asked", [ASKS, GIVES_UP], [*BOOK[:3], Event("deferred", 3, "1.1")], State.PENDING),
    ("given up twice", [ASKS, GIVES_UP, GIVES_UP], [CREATED], State.UNKNOWN),
]


@pytest.mark.parametrize(("name", "born", "book", "state"), LATE, ids=[row[0] for row in LATE])
def test_the_shop_learns_late(name: str, born: list[Event], book: list[Event], state: State) -> None:
    history = History("1", book, [CREATED, *born, reached(99)])
    assert history.shop.state is state
    assert history.shop.amount_minor == 1_280


def test_a_standing_payment_is_news_to_the_shop() -> None:
    delayed = Event("delayed", 3, data={"delivery": "000001", "due_ms": 60_000, "position": 4})
    history = History("1", BOOK[:4], [delayed])
    assert history.shop.created is None
    history.at_shop(reached(4, delivery="000001"))
    assert known(history) == (State.CAPTURED, 1_280, 0, False)
    assert not history.shop.deliveries


def test_a_final_state_stays_and_late_refusals_are_told() -> None:
    book = [CREATED, PRESENTED, Event("reversed", 5, "1.2")]
    history = History("1", book, [CREATED, ASKS, GIVES_UP, reached(3)])
    assert history.shop.state is State.REVERSED
    history.at_operator(Event("refused", 6, "1.1", 1_280, data={"verb": "authorize"}))
    history.at_shop(reached(4))
    assert history.shop.state is State.REVERSED
    assert not history.shop.operations["1.1"].open


def test_a_query_finds_a_refund_stranded_whose_answer_was_lost() -> None:
    """The shop had heard that it was under way, asked again, and heard nothing."""
    history = History("1", BOOK[:4], [CREATED])
    asked = Event("asked", 4, "1.2", 280, data={"verb": "refund"})
    history.at_operator(asked)
    history.at_shop(reached(5))
    history.at_shop(asked)
    history.at_shop(Event("unanswered", 5, "1.2"))
    history.at_operator(Event("stranded", 6, "1.2", 280))
    assert history.shop.operations["1.2"].status is Status.UNKNOWN
    history.at_shop(reached(6))
    assert history.shop.operations["1.2"].status is Status.ABNORMAL


def test_the_operator_never_does_what_its_state_forbids() -> None:
    history = History("1", BOOK[:3], [CREATED])
    with pytest.raises(InvalidTransition):
        history.at_operator(Event("settled", 4))
    assert history.book_version == 3


# Timers. --------------------------------------------------------------------------------------------


def test_the_timers_that_can_still_ring() -> None:
    history = History("1")
    history.at_shop(CREATED)
    assert history.due() == []
    assert history.due_ms() is None
    history.at_operator(CREATED)
    history.at_operator(PRESENTED)
    assert history.due() == [(9_000, "expiry")]
    history.at_shop(Event("delayed", 1, data={"delivery": "000002", "due_ms": 9_000}))
    history.at_shop(ASKS)
    assert history.due() == [(9_000, "delivery/000002"), (9_000, "expiry"), (45_000, "answer")]
    history.at_operator(BOOK[2])
    history.at_operator(BOOK[3])
    history.at_shop(reached(4, delivery="000002"))
    assert history.due() == [(50_000, "settlement")]
    history.at_operator(BOOK[6])
    assert history.due_ms() is None


@settings(max_examples=count(500), deadline=None, database=None, derandomize=True)
@given(st.integers(0, 7), st.lists(st.integers(0, 7), max_size=3))
def test_the_soonest_timer_is_the_first(upto: int, positions: list[int]) -> None:
    history = History("1", BOOK[:upto], [CREATED, *map(reached, positions)])
    assert history.due_ms() == (history.due()[0][0] if history.due() else None)
