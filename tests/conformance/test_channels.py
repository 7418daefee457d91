"""Every channel keeps what it claims: ours, and the one that the example adds."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paysim.channels.qr import MerchantCode, PayerCode, StaticCode
from paysim.channels.wechat import InAppWeChat, NativeWeChat
from paysim.testing import conformance, tapping
from paysim.testing.conformance import Harness

EXAMPLE = Path(__file__).parents[2] / "examples" / "05_own_channel.py"


def the_examples_channel() -> Any:
    spec = importlib.util.spec_from_file_location("own_channel", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PayLink()


CHANNELS = [
    MerchantCode(),
    StaticCode(),
    PayerCode(),
    NativeWeChat(),
    InAppWeChat(),
    the_examples_channel(),
]
HARNESSES = [
    *(Harness(channel) for channel in CHANNELS),
    *(tapping.harness(profile=profile) for profile in ("unionpay", "unionpay-ecash", "visa")),
]
CASES = [case for harness in HARNESSES for case in conformance.cases(harness)]


@pytest.mark.parametrize("case", CASES)
def test_a_channel_keeps_what_it_claims(case: Callable[[], None]) -> None:
    case()
