"""A card's answer without its cryptogram: wherever that stands, whole or cut."""

from __future__ import annotations

import random

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.codec import tlv
from paysim.emv.withholding import without_cryptogram

AC = "1122334455667788"
SIGNATURE = "A5" * 64

ANSWERS = [
    ("in template 77", f"770F9F2701809F2608{AC}9000", f"770F9F2701809F2608{'00' * 8}9000"),
    ("with a long length", f"77810C9F268108{AC}9000", f"77810C9F268108{'00' * 8}9000"),
    ("a signature in a record", f"7081449F4B8140{SIGNATURE}9000", f"7081449F4B8140{'00' * 64}9000"),
    ("behind AIP in format 80", f"800A2000{AC}9000", f"800A2000{'00' * 8}9000"),
    ("behind AIP and AFL in format 80", f"800E200008010100{AC}9000", f"800E2000{'00' * 12}9000"),
    ("as format 80 of GENERATE AC", f"8012800001{AC}06010A03A400009000", f"80128000{'00' * 16}9000"),
    ("format 80 in template 77", f"770C800A2000{AC}9000", f"770C800A2000{'00' * 8}9000"),
    ("under a tag of the card's own", f"770EDF200B9F2608{AC}9000", f"770EDF200B9F2608{'00' * 8}9000"),
    ("in the issuer application data", f"770E9F100B9F2608{AC}9000", f"770E9F100B9F2608{'00' * 8}9000"),
    ("cut", f"771A9F2701809F2608{AC}9000", "9000"),
    ("format 80, cut", f"801A2000{AC}9000", "9000"),
    ("template 77, cut, without the tag", f"771ADF2008{AC}9000", "9000"),
    (
        "the MAC of a balance (UnionPay)",
        "77169F101307010103A00000010A010000010000687041369000",
        "77169F101307010103A00000010A010000010000000000009000",
    ),
    (
        "the issuer's own data (Visa)",
        f"77129F100F06010A03A00000{AC}9000",
        f"77129F100F06010A03A00000{'00' * 8}9000",
    ),
]


@pytest.mark.parametrize(("answer", "kept"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_no_cryptogram_is_left(answer: str, kept: str | None) -> None:
    shown = without_cryptogram(bytes.fromhex(answer)).hex().upper()
    assert AC not in shown
    assert kept is None or shown == kept


WHOLE = [
    "9000",
    "6A82",
    "80009000",
    "8001209000",
    "DF20029F269000",
    "8006200008010100" + "9000",
    "77069F100306010A" + "9000",
    "7005902003" + "9000",
    "770A9F100706010A03A00000" + "9000",
    "9F4F099F36029F26089F4B80" + "9000",
    "70055F28020156" + "9000",
    "6F098407A0000000031010" + "9000",
]


@pytest.mark.parametrize("answer", WHOLE)
def test_an_answer_without_one_stays_whole(answer: str) -> None:
    assert without_cryptogram(bytes.fromhex(answer)).hex().upper() == answer


@settings(max_examples=count(300))
@given(st.binary(min_size=2, max_size=80))
def test_any_answer_can_be_kept_without_its_cryptogram(answer: bytes) -> None:
    kept = without_cryptogram(answer)
    assert kept[-2:] == answer[-2:]
    assert len(kept) in (2, len(answer))


AROUND = (0x70, 0x77, 0xBF0C, 0xA5, 0xDF20, 0x9F10, 0x5F50, 0x80)


def test_wherever_its_tag_stands_nothing_of_it_is_left() -> None:
    chance = random.Random(4)
    for _ in range(count(20_000)):
        secret = bytes((chance.randrange(1, 256),)) * 8
        node: tlv.Node = (chance.choice((0x9F26, 0x9F4B)), secret)
        for tag in chance.choices(AROUND, k=chance.randrange(4)):
            inside = tlv.encode(((0x5F28, b"\x01\x56"), node))
            node = (tag, inside if not tlv.is_constructed(tag) else ((0x5F28, b"\x01\x56"), node))
        data = tlv.encode((node,)) + chance.choice((b"", b"\x87\x01\x01"))
        data = data[: chance.randrange(len(data))] if chance.random() < 0.3 else data
        assert secret[:3] not in without_cryptogram(data + b"\x90\x00")
