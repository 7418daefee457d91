"""Consumer-presented codes against known answers, and that no card number leaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from counts import count
from hypothesis import given
from strategies_qr import mutated, trees

from paysim.codec import tlv
from paysim.core.errors import LocalProtocolError
from paysim.qr import consumer

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "emv_qr.json").read_text("utf-8"))
VALID = [item for item in VECTORS["valid"] if item["mode"] == "cpm"]
INVALID = [item for item in VECTORS["invalid"] if item["mode"] == "cpm"]
TWO_APPLICATIONS = next(item for item in VALID if item["id"] == "cpm-b2")["payload"]

PFI = (0x85, b"CPV01")
AID = (0x4F, bytes.fromhex("A0000003330101"))
PAN = (0x5A, bytes.fromhex("6212345678901234567F"))


def ids(item: dict) -> str:
    return item["id"]


def read(*nodes: tuple) -> consumer.ConsumerCode:
    return consumer.decode(consumer.encode(nodes))


@pytest.mark.parametrize("item", VALID, ids=ids)
class TestKnownCodes:
    def test_objects(self, item):
        code = consumer.decode(item["payload"])
        assert code.tlv == item["tlv"]
        assert code.issues == ()
        assert code.valid

    def test_written_again_it_is_the_same_text(self, item):
        assert consumer.encode(consumer.decode(item["payload"])) == item["payload"]
        assert consumer.encode(item["tlv"]) == item["payload"]

    def test_no_repr_shows_the_card_number(self, item):
        code = consumer.decode(item["payload"])
        digits = "".join(value.hex() for path, value in tlv.walk(code.tree) if path[-1] in (0x57, 0x5A))
        shown = repr(code) + repr(code.applications)
        assert digits
        assert digits[:10] not in shown
        assert item["payload"] not in shown


@pytest.mark.parametrize("item", INVALID, ids=ids)
def test_known_faults(item):
    code = consumer.decode(item["payload"])
    assert [found.code for found in code.issues] == item["errors"]


def test_two_applications_share_the_common_template():
    code = consumer.decode(TWO_APPLICATIONS)
    assert code.aids == (bytes.fromhex("A0000000555555"), bytes.fromhex("A0000000666666"))
    assert [one.label for one in code.applications] == ["Product1", "Product2"]
    assert (code.label, code.name, code.masked_pan) == ("Product1", "CARDHOLDER/EMV", "123456******3458")
    assert code.applications[1].languages == ("ru", "es", "de", "en")
    assert code.applications[0].last_four == "3458"
    assert code.applications[0].value(0x9F26) is None


# name, nodes, (code, path, offset) of every issue
ROWS = [
    ("nothing wrong", [PFI, (0x61, [AID, PAN])], []),
    ("AID of 16", [PFI, (0x61, [(0x4F, bytes(range(16))), PAN])], []),
    ("AID of 17", [PFI, (0x61, [(0x4F, bytes(range(17))), PAN])], [("ADF_LENGTH", "61.4F", 9)]),
    ("label of 17", [PFI, (0x61, [AID, PAN, (0x50, b"L" * 17)])], [("LENGTH_61_50", "61.50", 30)]),
    ("label in Chinese", [PFI, (0x61, [AID, PAN, (0x50, "卡".encode())])], [("FORMAT_61", "61.50", 30)]),
    (
        "PAN of 11 bytes",
        [PFI, (0x61, [AID, (0x5A, b"\x12" * 11)])],
        [("LENGTH_61_5A", "61.5A", 18), ("FORMAT_61", "61.5A", 18)],
    ),
    ("PAN with letters", [PFI, (0x61, [AID, (0x5A, b"\xab\xcd")])], [("FORMAT_61", "61.5A", 18)]),
    ("track 2 without a separator", [PFI, (0x61, [AID, (0x57, b"\x12\x34")])], [("FORMAT_61", "61.57", 18)]),
    ("name of one", [PFI, (0x61, [AID, PAN, (0x5F20, b"N")])], [("LENGTH_61_5F20", "61.5F20", 30)]),
    (
        "version of one byte",
        [PFI, (0x61, [AID, PAN, (0x9F08, b"\x10")])],
        [("LENGTH_61_9F08", "61.9F08", 30)],
    ),
    ("PAN in the common template", [PFI, (0x61, [AID]), (0x62, [PAN])], []),
    (
        "PAN in both templates",
        [PFI, (0x61, [AID, PAN]), (0x62, [PAN])],
        [("DUPLICATE_IN_61_AND_62", "61.5A", 18)],
    ),
    ("PAN twice", [PFI, (0x61, [AID, PAN, PAN])], [("DUPLICATE_ID_IN_61", "61.5A", 30)]),
    ("three applications", [PFI, *[(0x61, [AID, PAN])] * 3], [("DUPLICATE_ID", "61", 53)]),
    ("two common templates", [PFI, (0x61, [AID, PAN]), *[(0x62, [])] * 2], [("DUPLICATE_ID", "62", 32)]),
    ("format indicator not first", [(0x61, [AID, PAN]), PFI], [("NOT_EMV_CPM", "", 0)]),
    ("other format indicator", [(0x85, b"XYZ01"), (0x61, [AID, PAN])], [("PFI_VALUE", "85", 0)]),
    ("no card number", [PFI, (0x61, [AID])], [("NO_PAN_OR_TRACK2", "61", 7)]),
    ("unknown objects", [PFI, (0x61, [AID, PAN, (0xC1, b"x")]), (0x7F21, [(0x81, b"x")])], []),
    ("unknown template of anything", [PFI, (0x61, [AID, PAN]), (0x70, b"\x5a\x09")], []),
    ("template of others within 61", [PFI, (0x61, [AID, PAN, (0xBF0C, b"\x9f")])], []),
    ("61 within an unknown template", [PFI, (0x61, [AID, PAN]), (0xE0, b"\x61\x02\x5a\x09")], []),
    ("transparent data that is no TLV", [PFI, (0x61, [AID, PAN, (0x63, b"\xff\xff")])], []),
    ("cut within 61", [PFI, (0x61, b"\x4f\x07\xa0")], [("TEMPLATE_61_TRUNCATED", "61", 9)]),
    ("indefinite length within 61", [PFI, (0x61, b"\x4f\x80\xa0")], [("BAD_LENGTH", "61", 10)]),
]


@pytest.mark.parametrize(("nodes", "issues"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_faults_and_their_places(nodes, issues):
    found = [one[:3] for one in read(*nodes).issues]
    assert found == issues


def test_transparent_data_is_shown_as_objects_only_where_it_is_exactly_that():
    opened = read(PFI, (0x61, [AID, PAN, (0x63, [(0x9F36, b"\x00\x01")])]))
    assert opened.tlv[1]["value"][2] == {"tag": "63", "value": [{"tag": "9F36", "value": "0001"}]}
    padded = read(PFI, (0x61, [AID, PAN, (0x63, b"\x00\x00")]))
    assert padded.tlv[1]["value"][2] == {"tag": "63", "value": "0000"}


def test_many_templates_of_others_do_not_stop_the_reader():
    strange = [(0xE000 | 0x1F00 | number, b"\x5a\x7f") for number in range(1, 60)]
    code = read(PFI, (0x61, [AID, PAN]), *strange)
    assert code.aids == (AID[1],)
    assert [found.code for found in code.issues] == ["TRUNCATED"]


def test_short_card_numbers_show_nothing():
    code = read(PFI, (0x61, [AID, (0x5A, b"\x12\x34")]))
    assert code.masked_pan == "****"
    code = read(PFI, (0x61, [AID, (0x5A, b"\x12\x34\x56")]))
    assert code.masked_pan == "**3456"


def test_names():
    assert consumer.name_of("4F") == "ADF name (AID)"
    assert consumer.name_of(0x9999) == ""


@pytest.mark.parametrize(
    "objects",
    [
        [{"tag": "85"}],
        [{"tag": "XY", "value": ""}],
        [{"tag": "85", "value": "ABC"}],
        [(0x85, "text")],
        [(0, b"")],
    ],
)
def test_what_tlv_cannot_carry_is_not_written(objects):
    with pytest.raises(LocalProtocolError):
        consumer.encode(objects)


@given(trees((0x61, 0x62, 0x70, 0xBF0C)))
def test_decode_gives_back_what_was_encoded(tree):
    code = consumer.decode(consumer.encode((PFI, *tree)))
    assert code.tree == (PFI, *tree)
    assert consumer.decode(consumer.encode(code)) == code
    assert consumer.encode(code.tlv) == code.text


def test_random_and_changed_texts_end_in_issues():
    alphabet = "hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGR+/=\n最\ud800"
    seeds = [item["payload"] for item in VALID + INVALID]
    for text in mutated(seeds, alphabet, count(200_000), seed=20260104):
        code = consumer.decode(text)
        assert code.text == text
        if code.valid:
            assert consumer.decode(consumer.encode(code)).tree == code.tree
            assert code.applications
        repr(code)
