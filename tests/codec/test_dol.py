"""Data object lists: known lists, the filling rules as rows, and noise."""

from __future__ import annotations

import pytest
from byte_noise import noise
from counts import count
from hypothesis import given
from hypothesis import strategies as st

from paysim.codec import dol
from paysim.codec.dol import Entry
from paysim.codec.tags import TAGS
from paysim.core.errors import DecodeError, LocalProtocolError

QVSDC = "9F66049F02069F03069F1A0295055F2A029A039C019F3704"

# name, bytes, entries
KNOWN = [
    ("nothing", "", ()),
    ("one", "9F3704", ((0x9F37, 4),)),
    ("two, and one of no length", "9A039C00", ((0x9A, 3), (0x9C, 0))),
    ("twice", "9A039A03", ((0x9A, 3), (0x9A, 3))),
    ("three and four bytes of tag", "DF8129089F81820101", ((0xDF8129, 8), (0x9F818201, 1))),
    ("255 bytes", "9F4EFF", ((0x9F4E, 255),)),
]

# name, bytes, offset, entries before
BROKEN = [
    ("tag without length", "9F37049A", 3, ((0x9F37, 4),)),
    ("tag cut", "9F37049F", 3, ((0x9F37, 4),)),
    ("long tag cut", "DF81", 0, ()),
    ("tag of five bytes", "9F3704DF8181818101", 3, ((0x9F37, 4),)),
    ("zero is no tag", "0004", 0, ()),
    ("too long", "9A03" * 127, 252, None),
]

# name, list, kernel, values, data
FILLED = [
    ("as asked", "9C01", 0, {0x9C: "09"}, "09"),
    ("n too short: zeros before", "9F0206", 0, {0x9F02: "1280"}, "000000001280"),
    ("n too long: the left is lost", "5F2A01", 0, {0x5F2A: "0156"}, "56"),
    ("n not wanted", "9F0200", 0, {0x9F02: "000000001280"}, ""),
    ("cn too short: F behind", "5A08", 0, {0x5A: "621234567890"}, "621234567890FFFF"),
    ("cn too long: the right is lost", "5A02", 0, {0x5A: "621234567890"}, "6212"),
    ("text too short: zeros behind", "9F4E05", 0, {0x9F4E: "544541"}, "5445410000"),
    ("text too long: the right is lost", "9F4E02", 0, {0x9F4E: "544541"}, "5445"),
    ("bytes too short: zeros behind", "9F3706", 0, {0x9F37: "01020304"}, "010203040000"),
    ("bytes too long: the right is lost", "9F3702", 0, {0x9F37: "01020304"}, "0102"),
    ("a tag without a value", "9F7A01", 0, {}, "00"),
    ("an unknown tag", "DF0102", 0, {}, "0000"),
    ("an unknown tag that has a value", "DF0103", 0, {0xDF01: "AA"}, "AA0000"),
    ("an empty value", "5A02", 0, {0x5A: ""}, "0000"),
    ("a template", "BF0C04", 0, {0xBF0C: "5A0162"}, "00000000"),
    ("a number of the kernel", "9F7A02", 7, {0x9F7A: "01"}, "0001"),
    ("the same tag elsewhere", "9F7A02", 3, {0x9F7A: "01"}, "0100"),
    (
        "a tap",
        QVSDC,
        3,
        {
            **dict.fromkeys((0x9F1A, 0x5F2A), "0156"),
            0x9F66: "26004000",
            0x9F02: "000000000990",
            0x9A: "261127",
            0x9C: "00",
            0x9F37: "11223344",
        },
        "26004000000000000990000000000000015600000000000156" + "261127" + "00" + "11223344",
    ),
]


def ids(rows: list) -> list[str]:
    return [row[0] for row in rows]


@pytest.mark.parametrize(("encoded", "entries"), [row[1:] for row in KNOWN], ids=ids(KNOWN))
def test_known_lists_both_ways(encoded, entries):
    assert dol.decode(bytes.fromhex(encoded)) == entries
    assert dol.encode(entries).hex().upper() == encoded
    assert dol.size(entries) == sum(length for _, length in entries)


@pytest.mark.parametrize(("encoded", "offset", "so_far"), [row[1:] for row in BROKEN], ids=ids(BROKEN))
def test_a_broken_list_keeps_what_came_before(encoded, offset, so_far):
    with pytest.raises(DecodeError) as caught:
        dol.decode(bytes.fromhex(encoded))
    assert (caught.value.offset, caught.value.decoded_so_far) == (offset, so_far)
    assert str(caught.value).count("offset") == 1
    assert caught.value.source


@pytest.mark.parametrize(
    "entries", [[(0, 1)], [(0x9F02, 256)], [(0x9F02, -1)], [(0x9F, 1)], [(0x9A, "3")], [(0x9A, 3)] * 127]
)
def test_illegal_lists_are_not_written(entries):
    with pytest.raises(LocalProtocolError):
        dol.encode(entries)


@pytest.mark.parametrize(
    ("encoded", "kernel", "values", "data"), [row[1:] for row in FILLED], ids=ids(FILLED)
)
def test_filling_rules(encoded, kernel, values, data):
    entries = dol.decode(bytes.fromhex(encoded))
    given_values = {tag: bytes.fromhex(value) for tag, value in values.items()}
    assert dol.fill(entries, given_values, kernel).hex().upper() == data


def test_splitting_what_was_filled():
    entries = dol.decode(bytes.fromhex("9F02069C019A03"))
    assert dol.split(entries, bytes.fromhex("00000000099000261127")) == {
        0x9F02: bytes.fromhex("000000000990"),
        0x9C: b"\0",
        0x9A: bytes.fromhex("261127"),
    }


@pytest.mark.parametrize(
    ("data", "offset", "path", "whole"), [("0000", 1, "9A", [0x9C]), ("0026112700", 4, "", [0x9C, 0x9A])]
)
def test_data_of_another_length_is_refused(data, offset, path, whole):
    with pytest.raises(DecodeError) as caught:
        dol.split([Entry(0x9C, 1), Entry(0x9A, 3)], bytes.fromhex(data))
    assert (caught.value.offset, caught.value.path, list(caught.value.decoded_so_far)) == (
        offset,
        path,
        whole,
    )


NUMBERS = sorted({number for _, number in TAGS})
ENTRIES = st.lists(st.builds(Entry, st.sampled_from(NUMBERS), st.integers(0, 255)), max_size=50)


@given(ENTRIES)
def test_decode_gives_back_what_was_encoded(entries):
    assert dol.decode(dol.encode(entries)) == tuple(entries)


@given(
    ENTRIES, st.dictionaries(st.sampled_from(NUMBERS), st.binary(max_size=40)), st.sampled_from([0, 2, 3, 7])
)
def test_what_fills_a_list_has_its_length_and_splits_again(entries, values, kernel):
    data = dol.fill(entries, values, kernel)
    assert len(data) == dol.size(entries)
    parts = dol.split(entries, data)
    assert parts.keys() == {tag for tag, _ in entries}
    assert all(part in data for part in parts.values())


def test_noise_is_a_list_or_a_decode_error():
    seeds = [bytes.fromhex(row[1]) for row in KNOWN] + [bytes.fromhex(QVSDC)]
    for data in noise(seeds, count(200_000), seed=5):
        try:
            entries = dol.decode(data)
        except DecodeError as caught:
            error = caught
        else:
            assert dol.decode(dol.encode(entries)) == entries
            continue
        assert 0 <= error.offset <= len(data)


def test_noise_splits_or_is_a_decode_error():
    entries = dol.decode(bytes.fromhex(QVSDC))
    seeds = [bytes(dol.size(entries)), bytes.fromhex(QVSDC)]
    for data in noise(seeds, count(200_000), seed=6):
        try:
            parts = dol.split(entries, data)
        except DecodeError:
            assert len(data) != dol.size(entries)
        else:
            assert b"".join(parts.values()) == data
