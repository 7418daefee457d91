"""What holds for every test: the same inputs each run, and no verdict by the clock of a shared machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pcscd
import pytest
from hypothesis import settings

settings.register_profile("paysim", derandomize=True, deadline=None, database=None)
settings.load_profile("paysim")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what tests start hears Ctrl-C all the same


@pytest.fixture(scope="session")
def daemon() -> Iterator[pcscd.Pcscd]:
    """A running pcscd with two virtual readers; without one a test is skipped, or fails with PAYSIM_ALL=1."""
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
