"""`paysim bench`: every row is there, measured for real, and beside what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paysim.cli import bench
from paysim.cli.bench_rows import ROWS, Pair

Run = Callable[..., Any]
KEYS = ["name", "per_second", "limit", "peer", "ratio", "budget", "met"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_ROUNDS", 1), ("_BATCH_S", 0.002), ("_SPEED_ROUNDS", 1), ("_CHUNK_S", 0.01)):
        monkeypatch.setattr(bench, name, value)


# pyemv uses names that newer releases of cryptography deprecate.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_row_measures_and_both_sides_agree(row: Any) -> None:
    pair = row.make()
    pair.ours()
    if pair.beside is not None:
        pair.beside()


def test_the_json_names_every_row(paysim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_openssl", lambda _algorithm: {"sign": 100.0, "verify": 200.0})
    monkeypatch.setattr(bench, "_in_processes", lambda _verb: (10.0, 19.0))
    rows = paysim("bench", "--json").json["rows"]
    assert [row["name"] for row in rows] == [row.name for row in ROWS]
    assert all(list(row) == KEYS for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert by_name["rsa2048-sha256-sign"]["limit"] == 100.0
    assert by_name["rsa2048-sha256-verify"]["limit"] == 200.0
    assert by_name["rsa2048-sign-2-processes"]["ratio"] == pytest.approx(1.9)
    for row in rows:
        beside = row["peer"] or row["limit"]
        assert row["ratio"] is None or row["ratio"] == pytest.approx(row["per_second"] / beside)
        assert row["met"] is (None if row["ratio"] is None else row["ratio"] >= row["budget"])


def test_rows_can_be_named(paysim: Run) -> None:
    ran = paysim("bench", "aes256-gcm-600", "rsa2048-key-load")
    assert "rsa2048-key-load" in ran.out
    assert "aes256-gcm-600" in ran.out
    assert "sm2" not in ran.out


def test_an_unknown_row_is_named(paysim: Run) -> None:
    ran = paysim("bench", "rsa-1024")
    assert (ran.code, ran.out) == (64, "")
    assert "rsa-1024" in ran.err


def test_openssl_gives_a_figure_of_this_run() -> None:
    speed = bench._openssl("rsa2048")
    if speed is None:
        pytest.skip("there is no openssl command")
    assert speed["verify"] > speed["sign"] > 0


def test_without_openssl_a_row_has_no_ratio(paysim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.shutil, "which", lambda _program: None)
    (row,) = paysim("bench", "rsa2048-sha256-verify", "--json").json["rows"]
    assert (row["limit"], row["ratio"], row["met"]) == (None, None, None)
    assert row["per_second"] > 0


def test_two_sides_are_measured_in_turn() -> None:
    order: list[str] = []
    ours, other = bench._in_turn(Pair(lambda: order.append("ours"), lambda: order.append("other")))
    assert ours > 0
    assert other is not None
    assert order.index("other") < len(order) - order[::-1].index("ours")
