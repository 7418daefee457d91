"""Batches over executors: order kept, bad items by index, in processes of both kinds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from paysim.core.errors import UsageError
from paysim.crypto.keys import PrivateKey, SymmetricKey
from paysim.crypto.pool import sign_many, verify_many
from paysim.crypto.signature import Signer, Verifier

MESSAGES = [b"order %d" % number for number in range(100)]


@pytest.fixture(scope="module", params=["fork", "spawn", "threads"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    made: Executor
    if request.param == "threads":
        made = ThreadPoolExecutor(2)
    else:
        made = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(request.param))
    with made:
        yield made


@pytest.mark.parametrize("scheme", ["rsa-sha256", "ecdsa-p256-sha256", "sm2-sm3", "wechat-v2-md5"])
def test_order_is_kept_and_bad_items_are_named(
    scheme: str, executor: Executor, pairs: dict[str, PrivateKey], hmac_key: SymmetricKey
) -> None:
    family = {"rsa": "rsa", "ecd": "p-256", "sm2": "sm2"}.get(scheme[:3])
    key = pairs[family] if family else hmac_key
    verifier = Verifier(scheme, key.public() if isinstance(key, PrivateKey) else key)
    done: list[int] = []
    signed = sign_many(executor, Signer(scheme, key), MESSAGES, chunk=7, progress=done.append)
    assert signed.bad == {}
    assert done[-1] == 100
    assert done == sorted(done)
    items = list(zip(MESSAGES, signed.signatures, strict=True))
    assert verify_many(executor, verifier, items, chunk=7).bad == {}
    items[3], items[50], items[99] = (b"x", items[3][1]), (MESSAGES[50], b""), (MESSAGES[98], items[99][1])
    checked = verify_many(executor, verifier, iter(items), chunk=7)
    assert checked.count == 100
    assert sorted(checked.bad) == [3, 50, 99]
    assert "does not fit the message" in checked.bad[3]


def test_swapped_signatures_are_both_bad(executor: Executor, rsa_key: PrivateKey) -> None:
    signer = Signer("rsa-sha256", rsa_key)
    one, other = signer.sign(b"1"), signer.sign(b"2")
    checked = verify_many(executor, Verifier("rsa-sha256", rsa_key.public()), [(b"1", other), (b"2", one)])
    assert sorted(checked.bad) == [0, 1]


def test_items_that_are_none(executor: Executor, rsa_key: PrivateKey) -> None:
    messages: list[Any] = [b"good", "text", None]
    signed = sign_many(executor, Signer("rsa-sha256", rsa_key), messages)
    assert sorted(signed.bad) == [1, 2]
    assert signed.signatures[1:] == (b"", b"")
    items: list[Any] = [(b"good", signed.signatures[0]), (b"good",), 7, ("text", b"")]
    assert sorted(verify_many(executor, Verifier("rsa-sha256", rsa_key.public()), items).bad) == [1, 2, 3]


def test_nothing_to_do(executor: Executor, rsa_key: PrivateKey) -> None:
    assert sign_many(executor, Signer("rsa-sha256", rsa_key), []).signatures == ()
    assert verify_many(executor, Verifier("rsa-sha256", rsa_key.public()), []).count == 0


def test_executors_that_fail(rsa_key: PrivateKey) -> None:
    signer = Signer("rsa-sha256", rsa_key)
    with ThreadPoolExecutor(1) as executor, pytest.raises(UsageError, match="1 to 65536 items, not 0"):
        sign_many(executor, signer, [b"x"], chunk=0)
    with pytest.raises(UsageError, match="takes no more work"):
        sign_many(executor, signer, [b"x"])


def test_an_item_that_cannot_travel_ended_in_an_error_of_pickles(rsa_key: PrivateKey) -> None:
    items: list[Any] = [(b"good", memoryview(b"signature"))]
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=context) as executor,
        pytest.raises(UsageError, match="an item cannot travel"),
    ):
        verify_many(executor, Verifier("rsa-sha256", rsa_key.public()), items)
