"""One daemon a session for every test that wants one; a machine without it skips, unless PAYSIM_ALL=1."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pcscd
import pytest


@pytest.fixture(scope="session")
def daemon() -> Iterator[pcscd.Pcscd]:
    """A running pcscd with two virtual readers."""
    why = pcscd.missing()
    if why and os.environ.get("PAYSIM_ALL") == "1":
        pytest.fail(why)
    if why:
        pytest.skip(why)
    started = pcscd.Pcscd()
    try:
        yield started.start()
    finally:
        started.close()
