"""Bits by name: the fields of EMV, what is said of known values, and noise."""

from __future__ import annotations

import pytest
from byte_noise import noise
from counts import count
from hypothesis import given
from hypothesis import strategies as st

from paysim.codec import bits
from paysim.codec.bits import FIELDS, bit, explain, set_bit
from paysim.core.errors import UsageError

# field, value, some of the words; each row is read off the books' tables, not off ours
EXPLAINED = [
    ("TVR", "8000000000", ["offline data authentication was not performed"]),
    ("TVR", "0400000000", ["CDA failed"]),
    ("TVR", "2020000000", ["card data missing", "application not yet effective"]),
    (
        "TVR",
        "0000048001",
        ["online PIN entered", "floor limit exceeded", "relay resistance protocol not performed"],
    ),
    ("TVR", "0000000002", ["relay resistance protocol performed"]),
    ("TSI", "E800", ["offline data authentication", "cardholder verification", "card risk", "terminal risk"]),
    ("AIP", "1980", ["cardholder verification", "terminal risk management", "CDA", "EMV mode"]),
    ("AIP.qvsdc", "2000", ["DDA"]),
    ("AIP.qvsdc", "0080", ["mag-stripe"]),
    ("TTQ", "26004000", ["EMV mode", "online PIN", "signature", "consumer device CVM"]),
    ("TTQ", "2600C000", ["EMV mode", "online PIN", "signature", "issuer update", "consumer device CVM"]),
    ("TTQ", "08C00080", ["offline-only", "online cryptogram required", "CVM required", "fDDA version 01"]),
    ("CTQ", "8000", ["online PIN required"]),
    (
        "CTQ",
        "3880",
        ["go online if offline", "use another interface if", "go online if the", "CVM performed"],
    ),
    ("CAP.visa", "80000000", ["low value check"]),
    ("CAP.visa", "00040000", ["prefers online"]),
    (
        "CAP.unionpay",
        "8000B0",
        ["low value check", "online PIN supported in the card's", "CVM required", "signature"],
    ),
    (
        "CVR",
        "03A42000",
        ["second GENERATE AC not requested", "first GENERATE AC: ARQC", "offline PIN", "velocity"],
    ),
    (
        "CVR",
        "03901030",
        ["not requested", "first GENERATE AC: TC", "new card", "script commands processed", "3"],
    ),
    (
        "CVR.mchip",
        "A50003020000",
        ["not requested", "ARQC", "offline PIN verification performed", "PIN try counter: 3"],
    ),
    ("CVM results", "420300", ["enciphered PIN verified online", "terminal supports the CVM", "unknown"]),
    ("CVM results", "1F0302", ["no CVM required", "terminal supports the CVM", "successful"]),
    ("CVM results", "3F0001", ["no CVM performed", "always", "failed"]),
    ("CVM results", "010002", ["plaintext PIN", "always", "successful"]),
    ("CVM rule", "5E03", ["signature", "terminal supports the CVM", "next rule"]),
    ("9F33", "206808", ["contact chip", "online verification", "signature", "no CVM required", "CDA"]),
    ("9F1D", "C08000", ["restart", "contactless: enciphered PIN verified online", "CVM limit exceeded"]),
    ("9F5D", "010004", []),
    ("9F5D", "000400", ["field off"]),
    ("DF4B", "000100", ["on-device cardholder verification required"]),
    ("DF4B", "000001", ["second tap"]),
    ("DF811B", "B0", ["mag-stripe mode", "on-device", "relay resistance"]),
    ("CID", "80", ["ARQC"]),
    ("CID", "40", ["TC"]),
    ("CID", "00", ["AAC"]),
    ("AUC", "FFC0", ["domestic cash", "international cash", "ATMs", "domestic cashback"]),
    ("9F35", "22", ["of a merchant", "attended, offline with online capability"]),
    ("9C", "20", ["refund"]),
    ("87", "81", ["confirmation", "priority: 1"]),
    ("DF8129", "10F0F000F8F0FF00", ["Approved", "start N/A", "no CVM", "UI request on outcome", "receipt"]),
    ("DF8115", "000300698500", ["L1 OK", "L2 status bytes", "L3 OK"]),
    ("DF8116", "1D05", ["Insert card", "processing error"]),
]

# field -> the bits that emv_kernels.md section 6 names, byte by byte from the first that has any
NAMED = {
    "TVR": "1:87654321 2:87654 3:876543 4:87654 5:876543",
    "TSI": "1:876543",
    "AIP": "1:87654321 2:8761",
    "TTQ": "1:87654321 2:876 3:87 4:8",
    "CTQ": "1:87654321 2:87",
    "CAP.visa": "1:87654321 2:876543 3:87654",
    "CAP.unionpay": "1:8765421 2:876 3:8765",
    "9F33": "1:876 2:87654 3:8764",
    "DF8117": "1:876",
    "DF8118": "1:87654",
    "DF8119": "1:87654",
    "DF811F": "1:8764",
    "DF811B": "1:8765",
    "9F5D": "2:321",
    "9F1D": "1:87654321 2:8765432 3:876",
    "CVR": "2:4321 3:87654321 4:432",
    "CVR.mchip": "2:8754 4:86432 5:87654321 6:8765",
    "DF4B": "2:54321 3:1",
}


@pytest.mark.parametrize(("field", "value", "words"), EXPLAINED)
def test_known_values_are_explained(field, value, words):
    found = explain(field, bytes.fromhex(value))
    assert all(any(word in line for line in found) for word in words), found
    if not words:
        assert not any("CDA" in line or "field" in line for line in found)


@pytest.mark.parametrize("field", NAMED)
def test_every_bit_that_the_facts_name_has_words(field):
    groups = [group.split(":") for group in NAMED[field].split()]
    wanted = {f"b{byte}.{number}" for byte, numbers in groups for number in numbers}
    assert wanted <= set(FIELDS[field])


def test_every_key_names_a_part_and_no_words_are_said_twice():
    for field, table in FIELDS.items():
        assert explain(field, bytes(32)) is not None
        for key in table:
            assert bits._part(key, "").byte < 8, (field, key)
        assert all(words and words == words.strip() for words in table.values())


def test_each_single_bit_has_its_own_words():
    for field, table in FIELDS.items():
        words = [text for key, text in table.items() if "=" not in key]
        assert len(set(words)) == len(words), field


@pytest.mark.parametrize(
    ("value", "name", "on"),
    [
        ("80", "b1.8", True),
        ("80", "b1.7", False),
        ("0001", "b2.1", True),
        ("", "b1.1", False),
        ("FF", "b2.8", False),
    ],
)
def test_bit(value, name, on):
    assert bit(bytes.fromhex(value), name) is on


@pytest.mark.parametrize(
    ("value", "name", "on", "after"),
    [
        ("0000000000", "b3.8", True, "0000800000"),
        ("FFFF", "b2.8", False, "FF7F"),
        ("0000", "b2.8", False, "0000"),
        ("", "b2.1", True, "0001"),
        ("", "b2.1", False, ""),
    ],
)
def test_set_bit(value, name, on, after):
    assert set_bit(bytes.fromhex(value), name, on).hex().upper() == after


@pytest.mark.parametrize("name", ["b0.1", "b1.0", "b1.9", "b33.1", "1.8", "", None, "b1"])
def test_what_is_no_bit_is_refused(name):
    with pytest.raises(UsageError, match="bit"):
        bit(b"\xff", name)
    with pytest.raises(UsageError, match="bit"):
        set_bit(b"\xff", name)


def test_an_unknown_field_is_refused():
    with pytest.raises(UsageError, match="TVR"):
        explain("TVR2", b"")


@given(st.binary(max_size=8), st.integers(1, 8), st.integers(1, 8), st.booleans())
def test_set_bit_changes_that_bit_alone(value, byte, number, on):
    name = f"b{byte}.{number}"
    changed = set_bit(value, name, on)
    assert bit(changed, name) is on
    assert all(
        bit(changed, other) is bit(value, other)
        for other in (f"b{at}.{n}" for at in range(1, 9) for n in range(1, 9))
        if other != name
    )
    assert set_bit(changed, name, bit(value, name)).rstrip(b"\0") == value.rstrip(b"\0")


def test_noise_is_explained():
    fields = list(FIELDS)
    seeds = [bytes.fromhex(row[1]) for row in EXPLAINED]
    for number, data in enumerate(noise(seeds, count(200_000), seed=95)):
        found = explain(fields[number % len(fields)], data)
        assert all(isinstance(line, str) and line for line in found)
