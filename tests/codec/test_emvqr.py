"""The syntax of merchant-presented codes; what the objects mean is tested in tests/qr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from counts import count
from hypothesis import given
from strategies_qr import merchant_fields, mutated

from paysim.codec import emvqr
from paysim.core.errors import DecodeError, LocalProtocolError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "emv_qr.json").read_text("utf-8"))
PAYLOADS = [
    item["payload"] for group in ("valid", "invalid") for item in VECTORS[group] if item["mode"] == "mpm"
]


def sealed(body: str) -> str:
    """`body` with its CRC behind it."""
    return f"{body}6304{emvqr.crc(body + '6304')}"


def test_crc_of_the_standards_check_value():
    assert emvqr.crc("123456789") == "29B1"


def test_lengths_count_characters_and_the_crc_bytes():
    text = emvqr.encode({"00": "01", "64": {"00": "ZH", "01": "最佳运输"}})
    assert text == sealed("00020164140002ZH0104最佳运输")


# name, text, (code, path, offset) of every issue, fields
ROWS = [
    ("cut ID", sealed("000201")[:-8] + "5", [("TRUNCATED", "", 6)], {"00": "01"}),
    ("cut length", "0002015", [("TRUNCATED", "", 6)], {"00": "01"}),
    ("cut value", "0002015904ABC", [("TRUNCATED", "59", 6)], {"00": "01"}),
    ("ID in letters", "000201A101x", [("BAD_ID", "", 6)], {"00": "01"}),
    ("length in letters", "00020159x1x", [("BAD_LENGTH", "59", 6)], {"00": "01"}),
    ("digits of another script", "0002015٩01x", [("BAD_ID", "", 6)], {"00": "01"}),
    ("no value", sealed("0002015900"), [("ZERO_LENGTH", "59", 6)], None),
    ("twice", sealed("0002015901a5901b"), [("DUPLICATE_ID", "59", 11)], None),
    ("twice in a template", sealed("00020126100001a0001b"), [("DUPLICATE_ID_IN_26", "26.00", 15)], None),
    (
        "cut template",
        sealed("00020126050002a"),
        [("TEMPLATE_26_TRUNCATED", "26", 10)],
        None,
    ),
    ("wrong CRC", "0002016304FFFF", [("CRC_MISMATCH", "63", 6)], None),
    ("CRC of three digits", "0002016303FFF", [("CRC_FORMAT", "63", 6)], None),
    ("CRC in words", "0002016304text", [("CRC_FORMAT", "63", 6)], None),
    ("no CRC", "000201", [("CRC_MISSING", "63", 6)], {"00": "01"}),
    ("empty", "", [("CRC_MISSING", "63", 0)], {}),
]


@pytest.mark.parametrize(
    ("text", "issues", "fields"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_faults_and_their_places(text, issues, fields):
    syntax = emvqr.decode(text)
    assert [found[:3] for found in syntax.issues] == issues
    assert fields is None or syntax.fields == fields
    assert syntax.whole is (issues[0][0] not in ("TRUNCATED", "BAD_ID", "BAD_LENGTH"))


def test_a_broken_template_stays_text_beside_whole_ones():
    syntax = emvqr.decode(sealed("00020126050001a27050001b"))
    assert syntax.fields["26"] == {"00": "a"}
    broken = emvqr.decode(sealed("0002012604000a27050001b"))
    assert (broken.fields["26"], broken.fields["27"]) == ("000a", {"00": "b"})


def test_split_names_the_place():
    with pytest.raises(DecodeError) as caught:
        emvqr.split("0001a0X01b")
    assert (caught.value.offset, caught.value.decoded_so_far) == (5, {"00": "a"})
    for text in ("0001a0001b", "0005a"):
        with pytest.raises(DecodeError):
            emvqr.split(text)


@given(merchant_fields())
def test_decode_gives_back_what_was_encoded(fields):
    text = emvqr.encode(fields)
    syntax = emvqr.decode(text)
    assert syntax.issues == ()
    assert {**syntax.fields, "63": None} == {**fields, "63": None}
    assert emvqr.examine(text)[:3] == syntax[:3]


@given(merchant_fields())
def test_places_lie_where_the_objects_lie(fields):
    text = emvqr.encode(fields)
    syntax = emvqr.examine(text)
    for path, at in syntax.places.items():
        assert text[at : at + 2] == path[-2:]
    assert len(syntax.places) >= len(syntax.fields)


def test_a_mapping_that_holds_itself_is_refused():
    loop: dict = {}
    loop["26"] = loop
    with pytest.raises(LocalProtocolError, match="levels"):
        emvqr.encode({"00": "01", "26": loop})


def test_random_and_changed_texts_end_in_issues():
    alphabet = "0123456789" * 3 + "ABCabc .*最\u0301\ud800\n"
    for text in mutated(PAYLOADS, alphabet, count(200_000), seed=20260103):
        syntax = emvqr.decode(text)
        if not syntax.issues:
            assert emvqr.decode(emvqr.encode(syntax.fields)).fields == syntax.fields
