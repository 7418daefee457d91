"""SIGKILL in the middle of payments: what was acknowledged is there once, the rest is settled by query."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import till
from counts import count

from paysim import Sandbox

KILLS = max(10, count(100))
A_FILE_SERVES = 10
"""How many kills one file goes through."""

ENDLESS = 1_000_000
LINES_AT_MOST = 40


def open_till(path: Path, seed: int, durability: str, payments: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, till.__file__, str(path), str(seed), durability, str(payments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def killed(path: Path, seed: int, durability: str, lines: int) -> list[till.Fact]:
    """The facts that a till acknowledged before it was killed; it is killed behind so many."""
    with open_till(path, seed, durability, ENDLESS) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        told += process.stdout.readlines()
    assert all(line.endswith(b"\n") for line in told)
    return [json.loads(line) for line in told]


def test_a_killed_process_loses_and_doubles_nothing(tmp_path: Path) -> None:
    choices = random.Random(20)
    unsure, facts = 0, list[till.Fact]()
    for kill in range(KILLS):
        path = tmp_path / f"{kill // A_FILE_SERVES}.paysim"
        if kill % A_FILE_SERVES == 0:
            facts.clear()
        durability = ("normal", "full")[kill % 2]
        new = killed(path, kill, durability, choices.randint(1, LINES_AT_MOST))
        facts += new
        with Sandbox(store=path) as sandbox:
            till.check(sandbox, facts)
            unsure += till.settle(sandbox)
            till.check(sandbox, new)
    assert unsure, "no kill and no lost answer left a payment open: the test has lost its point"


def test_a_kill_while_a_file_is_made_leaves_it_usable(tmp_path: Path) -> None:
    path = tmp_path / "new.paysim"
    with open_till(path, 1, "full", ENDLESS) as process:
        while not list(tmp_path.iterdir()):
            assert process.poll() is None
        process.kill()
    with Sandbox(store=path) as sandbox:
        till.check(sandbox, till.serve(sandbox, 3, 1))


def test_two_processes_on_one_file_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shared.paysim"
    with open_till(path, 1, "normal", 40) as one, open_till(path, 2, "normal", 40) as other:
        told = [process.communicate()[0].splitlines() for process in (one, other)]
        assert (one.returncode, other.returncode) == (0, 0)
    facts = [json.loads(line) for lines in told for line in lines]
    with Sandbox(store=path) as sandbox:
        till.check(sandbox, facts)
        till.settle(sandbox)
        till.check(sandbox, facts)


def test_one_process_is_killed_and_the_other_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "shared.paysim"
    with open_till(path, 1, "normal", 40) as survivor:
        facts = killed(path, 2, "normal", 20)
        facts += map(json.loads, survivor.communicate()[0].splitlines())
        assert survivor.returncode == 0
    with Sandbox(store=path) as sandbox:
        till.check(sandbox, facts)
