"""The control API against its own OpenAPI document, asked by schemathesis with what fits it and what not.

No 5xx, no status that is not documented, no answer of another shape. What does not fit is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from counts import count

if os.environ.get("PAYSIM_ALL") != "1":
    pytest.importorskip("schemathesis")

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from wechat_wire import Receiver, Shop, own_keys, receiving

from paysim.servers.control import CALLS, PREFIX, Call
from paysim.servers.server import Options
from paysim.testing.server import RunningServer

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.allow_header_conformance,
]
ROWS = [
    (row, mode)
    for row in CALLS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or row.method == "POST" or row.query
]
"""Each call with what fits its document, and with what does not where it takes anything."""

MINTS = {"/certificates", "/merchants"}
"""Calls that make keys: slow, tried less often."""


@pytest.fixture
def paysim_server_options(paysim_server_options: Options, tmp_path: Path) -> Options:
    """Keys of the test's own, copied: they are rotated."""
    return own_keys(paysim_server_options, tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as found:
        found.trust_env = False
        yield found


@pytest.fixture
def known(paysim_server: RunningServer, receiver: Receiver) -> Mapping[str, str]:
    """Path parameters that name something, in a sandbox where something has happened."""
    with httpx.Client(base_url=paysim_server.base_url, trust_env=False) as client:
        shop = Shop(paysim_server, client, receiver.url)
        shop.paid("T-000001")
        shop.refund("T-000001", "R-1", 1)
        shop.query("T-000009")
    paysim_server.settle()
    return {"mchid": shop.mchid, "id": paysim_server.deliveries[0]["id"], "out_refund_no": "R-1"}


@pytest.mark.parametrize(("row", "mode"), ROWS, ids=lambda value: getattr(value, "path", str(value)))
def test_a_call_keeps_to_its_document(
    row: Call,
    mode: GenerationMode,
    paysim_server: RunningServer,
    known: Mapping[str, str],
    session: requests.Session,
) -> None:
    path, most = row.path, count(20 if row.path in MINTS else 200)
    document = session.get(f"{paysim_server.base_url}{PREFIX}/openapi.json", timeout=10).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=paysim_server.base_url)
    operation = schema[PREFIX + path][row.method]
    named = {name: known[name] for name in known if f"{{{name}}}" in path}

    def ask(fixed: dict[str, Any]) -> None:
        @settings(max_examples=most, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(mode, path_parameters=fixed or None))
        def run(case: Any) -> None:
            case.call_and_validate(session=session, checks=CHECKS, timeout=20)

        run()

    ask({})
    if named:
        ask(named)
