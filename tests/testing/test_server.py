"""The fixture `paysim_server`: a running sandbox for users' own suites."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from paysim import Fault
from paysim.core.errors import UsageError
from paysim.testing.server import RunningServer


def test_it_answers_and_is_gone_afterwards(paysim_server: RunningServer) -> None:
    with urllib.request.urlopen(f"{paysim_server.base_url}/_paysim/people", timeout=10) as answer:
        people: list[dict[str, Any]] = json.load(answer)
    assert [one["name"] for one in people] == ["Alice", "Bob"]
    file = paysim_server.keys / "sandbox.json"
    assert json.loads(file.read_text())["control"] == f"{paysim_server.base_url}/_paysim"
    paysim_server.close()
    assert not file.exists()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{paysim_server.base_url}/_paysim/people", timeout=10)


def test_its_clock_moves(paysim_server: RunningServer) -> None:
    before = paysim_server.clock.now_ms()
    paysim_server.clock.advance(hours=25)
    assert paysim_server.clock.now_ms() == before + 25 * 3_600_000


def test_what_makes_no_sense_is_said(paysim_server: RunningServer) -> None:
    with pytest.raises(UsageError, match="no prepay id"):
        paysim_server.pay("weixin://nothing")


def test_faults_are_listed(paysim_server: RunningServer) -> None:
    paysim_server.faults.add(Fault("answer", "truncate", times=2))
    assert paysim_server.client.call("GET", "/faults")[0]["times"] == 2
    paysim_server.client.call("DELETE", "/faults")
    assert paysim_server.faults.faults == ()
