"""The curve's arithmetic: combs of every width against the textbook's addition."""

from __future__ import annotations

import random
import threading

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.crypto.sm_curve import Comb, G, N, P, Point, add, multiply, on_curve

EDGES = [
    0,
    1,
    2,
    3,
    4,
    5,
    15,
    16,
    17,
    31,
    32,
    255,
    256,
    257,
    1 << 128,
    1 << 255,
    N // 2,
    N // 2 + 1,
    N - 2,
    N - 1,
]
COMBS = {width: Comb(G, ((0, width),)) for width in range(2, 10)}


def textbook(point: Point, k: int) -> Point | None:
    total, power = None, point
    while k:
        if k & 1:
            total = add(total, power)
        doubled = add(power, power)
        assert doubled is not None
        power, k = doubled, k >> 1
    return total


def test_the_textbook_knows_every_case() -> None:
    minus = (G[0], P - G[1])
    assert add(None, None) is None
    assert add(G, None) == add(None, G) == G
    assert add(G, minus) is None
    double = add(G, G)
    assert double is not None
    assert on_curve(*double)
    assert add(double, minus) == G


@pytest.mark.parametrize("k", EDGES)
def test_combs_of_every_width_at_the_edges(k: int) -> None:
    expected = textbook(G, k)
    assert multiply(G, k) == expected
    for comb in COMBS.values():
        assert comb.times(k) == expected


@settings(max_examples=count(300), deadline=None)
@given(st.integers(0, N - 1), st.integers(1, N - 1), st.sampled_from(sorted(COMBS)))
def test_combs_of_every_width(k: int, other: int, width: int) -> None:
    expected = textbook(G, k)
    assert COMBS[width].times(k) == expected == multiply(G, k)
    point = multiply(G, other)
    assert point is not None
    assert on_curve(*point)
    assert multiply(point, k) == multiply(G, k * other)


@pytest.mark.parametrize("width", sorted(COMBS))
def test_sums_of_two_combs(width: int) -> None:
    source = random.Random(width)
    for _ in range(count(200)):
        s, t = source.randrange(N), source.randrange(N)
        x, y, zz, zzz = COMBS[width].add_times(t, COMBS[5].add_times(s))
        assert zz, "chance does not meet its own operand"
        assert (x * pow(zz, -1, P) % P, y * pow(zzz, -1, P) % P) == multiply(G, s + t)


def test_a_sum_that_cannot_be_told_has_no_zz() -> None:
    comb = COMBS[5]
    assert comb.add_times(0)[2] == 0
    for s, t in [(31, 1), (N - 31, 1), (7, N - 7), (1, N - 1)]:
        assert comb.add_times(t, comb.add_times(s))[2] == 0


def test_a_table_grows_with_use_and_every_size_gives_the_same() -> None:
    comb = Comb(G, ((0, 3), (3, 5), (6, 8)))
    sizes = []
    for k in range(2, 12):
        assert comb.times(k << 200) == multiply(G, k << 200)
        sizes.append(len(comb._table))
    assert sizes == [86, 86, 86, 52, 52, 52, 32, 32, 32, 32]
    assert [len(xs) for xs, _ in comb._table] == [128] * 32


def test_a_prepared_table_has_its_last_size_at_once() -> None:
    comb = Comb(G, ((0, 3), (3, 5), (6, 8)))
    comb.prepare()
    rows = comb._table
    assert len(rows) == 32
    comb.prepare()
    assert comb.times(5) == multiply(G, 5)
    assert comb._table is rows


def test_threads_that_meet_at_a_growing_table_get_right_answers() -> None:
    comb = Comb(G, ((0, 4), (5, 6), (10, 7)))
    expected = multiply(G, 12345)
    wrong: list[object] = []

    def work() -> None:
        for _ in range(20):
            got = comb.times(12345)
            if got != expected:
                wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("x", "y"), [(0, 0), (-1, 0), (G[0] + P, G[1]), (G[0], G[1] + P), (G[0], -G[1]), (1, 1), (G[1], G[0])]
)
def test_what_is_not_on_the_curve(x: int, y: int) -> None:
    assert not on_curve(x, y)


def test_a_thread_that_came_late_to_a_grown_table_found_no_row_to_grow_by() -> None:
    comb = Comb(G, ((0, 4), (5, 6)))
    comb.times(7)
    small = comb._table
    comb._grow()  # what a thread does that was stopped between its look and this call
    assert comb._table is small
    comb.prepare()
    comb._grow()
    assert comb.times(12345) == multiply(G, 12345)
