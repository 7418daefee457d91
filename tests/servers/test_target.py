"""What is signed is the target as it was sent, to the letter."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import httpx
import pytest
from wechat_wire import Shop

from paysim.testing.server import RunningServer

TARGETS = [
    "/v3/certificates",
    "/v3/certificates?",
    "/v3/certificates?algorithm_type=RSA",
    "/v3/certificates?&",
]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_ended_in_a_bare_question_mark_lost_it(
    target: str, paysim_server: RunningServer
) -> None:
    with httpx.Client(base_url=paysim_server.base_url) as client:
        headers = Shop(paysim_server, client).headers("GET", target)
    place = urlsplit(paysim_server.base_url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    try:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
    finally:
        connection.close()
    assert paysim_server.requests[0]["target"] == target
