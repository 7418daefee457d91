"""Our codecs judged by packages that we did not write: bakong-khqr (KHQR codes) and pyemv (BER-TLV)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from strategies_qr import merchant_fields, trees

from paysim.codec import emvqr, tlv
from paysim.core.errors import DecodeError
from paysim.qr import merchant

ALL = os.environ.get("PAYSIM_ALL") == "1"


def peer(name: str) -> ModuleType:
    """The module, or a skip where it is not installed (a failure when PAYSIM_ALL=1)."""
    return importlib.import_module(name) if ALL else pytest.importorskip(name)


@pytest.fixture(scope="module")
def create_khqr() -> Callable[..., str]:
    create: Callable[..., str] = peer("bakong_khqr").KHQR().create_qr
    return create


KHQR = [
    ("static", {"currency": "USD", "amount": 0, "static": True}),
    ("riel", {"currency": "KHR", "amount": 9800, "static": False, "expiration": 1}),
    ("dollars", {"currency": "USD", "amount": 12.5, "static": False, "expiration": 1}),
]


@pytest.mark.parametrize("options", [row[1] for row in KHQR], ids=[row[0] for row in KHQR])
def test_a_khqr_code_made_by_the_peer_is_read(create_khqr, options):
    text = create_khqr(
        account_id="user_name@bank",
        merchant_name="Tea House",
        merchant_city="Phnom Penh",
        store_label="Stand 1",
        phone_number="012345678",
        bill_number="T-1001",
        terminal_label="Till-01",
        **options,
    )
    code = merchant.decode(text)
    assert (code.issues, code.profile) == ((), "khqr")
    assert (code.merchant_name, code.city, code.country) == ("Tea House", "Phnom Penh", "KH")
    assert (code.bill_number, code.terminal) == ("T-1001", "Till-01")
    assert code.dynamic is not options["static"]
    assert code.currency == {"USD": "840", "KHR": "116"}[options["currency"]]
    assert float(code.amount or 0) == options["amount"]
    assert merchant.encode(code) == text


@given(fields=merchant_fields())
def test_the_peers_parser_finds_the_same_objects_in_our_code(fields):
    parser = peer("bakong_khqr.sdk.emv_parser").EMVParser
    text = emvqr.encode(fields)
    assert parser(text).parsed == emvqr.split(text)


@given(fields=merchant_fields())
def test_the_peers_crc_is_ours(fields):
    text = emvqr.encode(fields)
    assert peer("bakong_khqr.sdk.crc").CRC().value(text[:-8]) == text[-8:]


def as_pyemv(tree: tuple) -> dict[str, Any]:
    """The tree as pyemv shows it: tags in hexadecimal, of a repeated one the last."""
    return {tlv.name(tag): as_pyemv(value) if isinstance(value, tuple) else value for tag, value in tree}


@given(tree=trees())
def test_pyemv_reads_our_tlv_as_we_do(tree):
    assert peer("pyemv").tlv.decode(tlv.encode(tree)) == as_pyemv(tree)


@given(tree=trees())
def test_pyemv_writes_the_same_bytes(tree):
    known = as_pyemv(tree)
    written = peer("pyemv").tlv.encode(known)
    assert as_pyemv(tlv.decode(written)) == known
    assert tlv.encode(tlv.decode(written)) == written


@pytest.mark.parametrize("broken", ["84", "8402AA", "6F038402AA", "6F0484029999", "9F", "5F2A", "8582"])
def test_both_refuse_what_is_cut(broken):
    pyemv = peer("pyemv")
    data = bytes.fromhex(broken)
    try:
        theirs: object = pyemv.tlv.decode(data)
    except pyemv.tlv.DecodeError:
        theirs = None
    try:
        ours: object = tlv.decode(data)
    except DecodeError:
        ours = None
    assert (ours is None) == (theirs is None)
