"""SM3 by each of its three sources, and what is built on it."""

from __future__ import annotations

import hmac
from collections.abc import Callable

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.crypto import sm_hash


def test_the_three_sources_agree_at_every_length_of_padding() -> None:
    sources: list[Callable[[bytes], bytes]] = [sm_hash.sm3, sm_hash.plain_sm3, sm_hash._cryptography_sm3()]
    for size in range(200):
        data = bytes(range(size))
        assert len({source(data) for source in sources}) == 1


@settings(max_examples=count(300), deadline=None)
@given(st.binary(max_size=500))
def test_our_own_code_agrees(data: bytes) -> None:
    assert sm_hash.plain_sm3(data) == sm_hash.sm3(data)


@settings(max_examples=count(300), deadline=None)
@given(st.binary(max_size=150), st.binary(max_size=150))
def test_the_hmac_is_the_standard_library_s(key: bytes, data: bytes) -> None:
    assert sm_hash.hmac_sm3(key, data) == hmac.digest(key, data, "sm3")


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, 100])
def test_a_derived_key_has_its_length_and_a_prefix_of_the_longer(length: int) -> None:
    derived = sm_hash.derive(b"secret", length)
    assert len(derived) == length
    assert sm_hash.derive(b"secret", 128).startswith(derived)


def test_without_sm3_in_openssl_the_next_source_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm

    def no_hashlib() -> Callable[[bytes], bytes]:
        raise ValueError("unsupported hash type sm3")

    def no_cryptography() -> Callable[[bytes], bytes]:
        raise UnsupportedAlgorithm("sm3")

    monkeypatch.setattr(sm_hash, "_hashlib_sm3", no_hashlib)
    assert sm_hash._fastest()(b"abc") == sm_hash.sm3(b"abc")
    monkeypatch.setattr(sm_hash, "_cryptography_sm3", no_cryptography)
    assert sm_hash._fastest() is sm_hash.plain_sm3
