"""`paysim decode` of a card's bytes: APDUs, data objects, single values, recorded taps; and what is none."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from counts import count

Run = Callable[..., Any]

FCI = (
    "6F34840E325041592E5359532E4444463031A522BF0C1F611D4F08A000000333010101500E556E696F6E50617920446562697487"
)
RECORD = "70155A0862345690478261435F24033101315F280201569000"
MERCHANT = "00020101021129370016A000000677010111011300668122233335802TH53037646304C273"
EXAMPLE = Path(__file__).parents[2] / "examples" / "12_recorded_session.jsonl"

KINDS = [
    # text, kind, exit code
    ("00A4040007A000000003101000", "emv.command", 0),
    ("00a40400 07 a0 00 00 00 03 10 10 00", "emv.command", 0),
    ("00:A4:04:00:07:A0:00:00:00:03:10:10:00", "emv.command", 0),
    ("0x80A80000028300 00", "emv.command", 0),
    ("00B2011400", "emv.command", 0),
    ("00A4040007A0", "emv.command", 1),
    (FCI + "01019000", "emv.response", 0),
    ("9000", "emv.response", 0),
    ("6A82", "emv.response", 0),
    ("63C2", "emv.response", 0),
    ("6C1A", "emv.response", 0),
    (RECORD, "emv.response", 0),
    (RECORD[:-4], "emv.tlv", 0),
    ("5A086234569047826143", "emv.tlv", 0),
    ("9F2608AABBCCDDEEFF0011", "emv.tlv", 0),
    ("9F26080102", "emv.tlv", 1),
    (FCI, "emv.tlv", 1),
    ("9A03261301", "emv.tlv", 1),
    ("TVR=0000008000", "emv.value", 0),
    ("tvr = 00 00 00 80 00", "emv.value", 0),
    ("95=0000008000", "emv.value", 0),
    ("9F66=26004000", "emv.value", 0),
    ("9f66=26004000", "emv.value", 0),
    ("TTQ=26004000", "emv.value", 0),
    ("9F10=06010A03A00000", "emv.value", 0),
    ("IAD=07010103A0000001", "emv.value", 0),
    ("CVR=03A00000", "emv.value", 0),
    ("CVM results=1F0302", "emv.value", 0),
    ("CAP.visa=8000B000", "emv.value", 0),
    ("AFL=08010100", "emv.value", 0),
    ("77=82022000", "emv.value", 0),
    ("9F7F=0102", "emv.value", 0),
    ("TVR=00", "emv.value", 1),
    ("9A=261301", "emv.value", 1),
    # what is a code, or nothing, stays so
    (MERCHANT, "emvqr.merchant", 0),
    ("134567890123456789", "payment_code", 0),
    ("12345678", "unknown", 2),
    ("DEADBEEF", "unknown", 2),
    ("hello", "unknown", 2),
    ("ABC", "unknown", 2),
    ("00", "unknown", 2),
    ("a=b", "unknown", 2),
    ("ZZ=00", "unknown", 2),
    ("name=00", "unknown", 2),
    ("95=0", "unknown", 2),
    ("5=00", "unknown", 2),
    ("1F=00", "unknown", 2),
]


@pytest.mark.parametrize(("text", "kind", "code"), KINDS)
def test_a_text_has_one_kind(text: str, kind: str, code: int, paysim: Run) -> None:
    ran = paysim("decode", "--json", text)
    assert (ran.json["kind"], ran.code, ran.json["valid"]) == (kind, code, code == 0)
    assert paysim("decode", "--json", "-", stdin=text.encode()).json == ran.json


SHOWN = [
    ("TVR=0000008000", "  95      Terminal Verification Results (TVR)  0000008000  floor limit exceeded"),
    ("9F66=26004000", "          online PIN supported"),
    ("9F10=06010A03A00000", "          cryptogram version             0A  method visa10"),
    ("9F6B=000000100000", "  9F6B    Card CVM Limit (kernels 3 and 7)  000000100000  1000.00"),
    ("9F6E=20700000", "  9F6E    Form Factor Indicator (FFI) (kernels 3 and 7)  20700000"),
    ("CVR=03A00000", "          first GENERATE AC: ARQC"),
    ("6A82", "          6A82  file or application not found"),
    ("00B2011400", "          READ RECORD  00B2011400  record 1 of SFI 2"),
    (RECORD, "  70.5A    Application Primary Account Number (PAN)  623456******6143"),
    ("9A03261301", "! 9A      Transaction Date  261301  no such value: no such date (offset 0)"),
]


@pytest.mark.parametrize(("text", "line"), SHOWN)
def test_people_see_names_and_words(text: str, line: str, paysim: Run) -> None:
    assert line in paysim("decode", text).out.split("\n")


def test_a_number_is_masked_for_people_and_whole_for_programs(paysim: Run) -> None:
    for text in (RECORD, "5A=6234569047826143", "57=6234569047826143D310120100000F"):
        assert "6234569047826143" not in paysim("decode", text).out
        assert "6234569047826143" in str(paysim("decode", "--json", text).json["fields"])


def test_a_value_that_is_right_for_one_kernel_alone_has_that_meaning_alone(paysim: Run) -> None:
    shown = paysim("decode", "9F6B=6234569047826143D310120100000F").out
    assert "Track 2 Data (kernel 2)" in shown
    assert "Card CVM Limit" not in shown


def test_a_fault_has_its_path_and_offset(paysim: Run) -> None:
    [issue] = paysim("decode", "--json", "7003820120").json["issues"][:1] or [None]
    assert (issue["code"], issue["path"]) == ("BAD_VALUE", "70.82")
    [issue] = paysim("decode", "--json", FCI).json["issues"]
    assert issue["code"] == "BAD_BYTES"
    assert "longer than what is left" in issue["text"]


def test_a_recorded_tap_is_explained(paysim: Run) -> None:
    ran = paysim("decode", str(EXAMPLE))
    assert ran.code == 0
    assert ran.out.startswith("tap.session: valid (`paysim tap --replay` plays it)\n  amount   9.90 CNY\n")
    assert " 8 > READ RECORD record 4 of SFI 3" in ran.out.split("\n")
    assert "6234569047826143" not in ran.out
    fields = paysim("decode", "--json", str(EXAMPLE)).json["fields"]
    assert (fields["amount_minor"], fields["outcome"]["outcome"]) == (990, "APPROVED")
    assert [row["kind"] for row in fields["trace"]].count("command") == 8


def test_a_recorded_tap_that_is_cut_is_not_valid(paysim: Run, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_text(EXAMPLE.read_text()[:-20])
    ran = paysim("decode", "--json", str(path))
    assert (ran.code, ran.json["kind"], ran.json["valid"]) == (1, "tap.session", False)
    assert ran.json["issues"][0]["code"] == "BAD_SESSION"


def test_a_long_answer_is_no_long_code(paysim: Run) -> None:
    inside = ("9F4B81FF" + "00" * 255) * 9
    data = f"7082{len(inside) // 2:04X}{inside}"
    ran = paysim("decode", "--json", data)
    assert ran.json["kind"] == "emv.tlv"
    assert paysim("decode", "--json", "x" * 5000).json["issues"][0]["code"] == "TOO_LONG"


def test_any_hex_is_some_kind_and_no_fault_of_ours(paysim: Run) -> None:
    chance = random.Random(9)
    for _ in range(count(2_000)):
        data = chance.randbytes(chance.randrange(1, 30)).hex()
        text = f"{chance.choice(('95', '9F10', '57', 'CVR', '8E'))}={data}" if chance.random() < 0.3 else data
        ran = paysim("decode", text)
        assert ran.code in (0, 1, 2), text
        assert "fault of paysim" not in ran.err, text
