"""Node's own http, tls and crypto, through the proxy that `paysim run` names in the environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from paysim.testing.server import RunningServer

ALL = os.environ.get("PAYSIM_ALL") == "1"
CLIENT = Path(__file__).with_name("native.js")

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None and not ALL, reason="node is missing: apt-get install nodejs"
)


def node(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", str(CLIENT)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def check(answers: list[dict[str, Any]], public_key_id: str) -> None:
    """Ordered, asked after, closed, and one that was never ordered."""
    assert [one["status"] for one in answers] == [200, 200, 204, 404]
    assert [one["verified"] for one in answers] == [True, True, True, False], "a refusal is not signed"
    assert {one["serial"] for one in answers[:3]} == {public_key_id}
    assert answers[2]["text"] == ""
    ordered, found, unknown = (json.loads(one["text"]) for one in answers if one["text"])
    assert ordered["code_url"].startswith("weixin://")
    assert (found["out_trade_no"], found["trade_state"]) == ("T-000001", "NOTPAY")
    assert unknown["code"] == "ORDER_NOT_EXIST"


def test_a_native_order_by_paysim_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "paysim", "run", "--keys", str(tmp_path / "keys"), "--json", "--"]
    whole = [*command, "node", str(CLIENT)]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    described, end = json.JSONDecoder().raw_decode(done.stdout)
    check(json.loads(done.stdout[end:]), described["wechat"]["public_key_id"])


def test_without_our_ca_node_trusts_nothing(paysim_server: RunningServer) -> None:
    """The authority that lets Node in is the one that the environment names, and no other."""
    environment = paysim_server.server.environment(os.environ)
    assert node(environment).returncode == 0
    asked = len(paysim_server.requests)
    done = node({name: value for name, value in environment.items() if name != "NODE_EXTRA_CA_CERTS"})
    assert done.returncode == 1
    assert done.stderr.strip() in ("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY")
    assert len(paysim_server.requests) == asked
