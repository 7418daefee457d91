"""What the smart card service counts, and when it overlooks a card: its words in rows."""

from __future__ import annotations

import pytest

from paysim.drivers.pcsc_tally import SEEN_S, Tally

EMPTY, CARD = 0x12, 0x22
"""A reader's state in the lower half: CHANGED, and EMPTY or PRESENT. Source: winscard.h (PC/SC part 5)"""


def told(*rows: tuple[int, int, float]) -> Tally:
    """A tally that has been told of these counts and states, each at its time."""
    tally = Tally()
    for count, state, at_s in rows:
        assert tally.says(count << 16 | state, at_s) == (state == CARD)
    return tally


def test_an_empty_reader_that_nobody_knows_is_looked_into_twice_and_not_at_once() -> None:
    tally = told((5, EMPTY, 1.0))
    for at_s in (1.0, 1.0 + SEEN_S):
        assert not tally.overlooks(at_s + SEEN_S / 2)
        assert tally.overlooks(at_s + SEEN_S), "a card may have left since the service looked last"
        tally.nothing_there(at_s + SEEN_S)
        tally.says(5 << 16 | EMPTY, at_s + SEEN_S)
    assert not tally.overlooks(99.0), "it would have counted that"


def test_a_reader_that_counts_between_two_looks_is_known_no_better() -> None:
    tally = told((5, EMPTY, 1.0))
    tally.nothing_there(1.5)
    tally.says(6 << 16 | EMPTY, 1.6)
    assert tally.overlooks(2.5)
    tally.nothing_there(2.5)
    assert tally.overlooks(3.0)


def test_a_reader_whose_card_was_seen_to_leave_is_empty() -> None:
    assert not told((5, CARD, 1.0), (6, EMPTY, 2.0)).overlooks(99.0)


def test_a_reader_that_is_empty_without_having_counted_is_looked_into_again_and_again() -> None:
    tally = told((5, CARD, 1.0), (5, EMPTY, 2.0))
    assert tally.overlooks(2.0)
    tally.nothing_there(2.0)
    assert not tally.overlooks(2.05)
    assert tally.overlooks(2.2), "a card may have come since"
    tally.says(6 << 16 | EMPTY, 2.3)
    assert not tally.overlooks(99.0), "now the service has seen it leave"


def test_a_card_that_came_and_left_between_two_questions() -> None:
    assert not told((5, CARD, 1.0), (6, EMPTY, 2.0), (8, EMPTY, 3.0)).overlooks(99.0)
    assert told((5, CARD, 1.0), (6, EMPTY, 2.0), (7, EMPTY, 3.0)).overlooks(3.0)


def test_the_count_begins_anew_after_65535() -> None:
    assert not told((0xFFFF, CARD, 1.0), (0, EMPTY, 2.0)).overlooks(99.0)
    assert told((0, CARD, 1.0), (0, EMPTY, 2.0)).overlooks(2.0)


@pytest.mark.parametrize("away", [0x06, 0x0A], ids=["unknown", "unavailable"])
def test_a_reader_that_was_unplugged_counts_anew(away: int) -> None:
    tally = told((6, CARD, 1.0))
    assert not tally.says(away, 2.0)
    assert not tally.overlooks(99.0), "where no reader is, no card is"
    tally.says(EMPTY, 3.0)
    assert not tally.overlooks(3.0)
    assert tally.overlooks(3.0 + SEEN_S)
    assert not tally.is_settled(0 << 16 | CARD)


@pytest.mark.parametrize(
    ("rows", "before", "after"),
    [
        ([(5, EMPTY, 1.0)], 5, 6),  # a reader that nobody knows: its card has just come, and is seen yet
        ([(5, CARD, 1.0), (6, EMPTY, 2.0)], 6, 7),  # the same, certainly
        ([(5, CARD, 1.0), (5, EMPTY, 2.0)], 6, 7),  # the old card was seen to leave in between
    ],
)
def test_a_card_that_was_found_is_let_be_once_it_is_seen(
    rows: list[tuple[int, int, float]], before: int, after: int
) -> None:
    tally = told(*rows)
    assert not tally.is_settled(before << 16 | CARD)
    assert tally.is_settled(after << 16 | CARD)


def test_a_card_that_was_found_in_anothers_place_is_let_be_at_once() -> None:
    assert told((5, CARD, 1.0), (5, EMPTY, 2.0)).is_settled(5 << 16 | CARD)
