"""BER-TLV: known bytes, both directions, and what a card or a code may send instead."""

from __future__ import annotations

import random

import pytest
from byte_noise import noise
from counts import count
from hypothesis import given
from strategies_qr import trees

from paysim.codec import tlv
from paysim.core.errors import DecodeError, LocalProtocolError

# name, bytes, tree
KNOWN = [
    ("nothing", "", ()),
    ("one byte of tag and length", "8501AA", ((0x85, b"\xaa"),)),
    ("two bytes of tag", "5F2A020156", ((0x5F2A, b"\x01\x56"),)),
    ("three bytes of tag", "9F810101AA", ((0x9F8101, b"\xaa"),)),
    ("four bytes of tag", "9F81820101AA", ((0x9F818201, b"\xaa"),)),
    ("an empty value", "9F3800", ((0x9F38, b""),)),
    ("an empty template", "6100", ((0x61, ()),)),
    ("levels", "6F05A5038701FF", ((0x6F, ((0xA5, ((0x87, b"\xff"),)),)),)),
    ("order and repetition", "500141500142", ((0x50, b"A"), (0x50, b"B"))),
    ("128 bytes", "708180" + "57" + "7E" + "00" * 126, ((0x70, ((0x57, bytes(126)),)),)),
    ("256 bytes", "85820100" + "11" * 256, ((0x85, b"\x11" * 256),)),
]

# name, bytes, issue code, offset, path, what was decoded
BROKEN = [
    ("tag alone", "8501AA9F", "TRUNCATED", 3, "", ((0x85, b"\xaa"),)),
    ("tag without length", "9F26", "TRUNCATED", 0, "", ()),
    ("value cut", "8502AA", "TRUNCATED", 0, "", ()),
    ("length cut", "858201", "TRUNCATED", 0, "", ()),
    ("inner object beyond its template", "6F0384029999", "TRUNCATED", 2, "6F", ((0x6F, ()),)),
    ("inner header cut", "6F0184", "TRUNCATED", 2, "6F", ((0x6F, ()),)),
    ("two levels down", "6F06A50450038700", "TRUNCATED", 4, "6F.A5", ((0x6F, ((0xA5, ()),)),)),
    ("indefinite length", "8580AA0000", "BAD_LENGTH", 1, "", ()),
    ("length of four bytes", "858400000001AA", "BAD_LENGTH", 1, "", ()),
    ("tag of five bytes", "9F8181818101AA", "BAD_ID", 0, "", ()),
]


def ids(rows: list) -> list[str]:
    return [row[0] for row in rows]


@pytest.mark.parametrize(("encoded", "tree"), [row[1:] for row in KNOWN], ids=ids(KNOWN))
def test_known_bytes_both_ways(encoded, tree):
    assert tlv.decode(bytes.fromhex(encoded)) == tree
    assert tlv.encode(tree).hex().upper() == encoded


@pytest.mark.parametrize(
    ("encoded", "code", "offset", "path", "so_far"), [r[1:] for r in BROKEN], ids=ids(BROKEN)
)
def test_a_fault_names_its_place_and_keeps_what_came_before(encoded, code, offset, path, so_far):
    with pytest.raises(DecodeError) as caught:
        tlv.decode(bytes.fromhex(encoded))
    error = caught.value
    assert (error.code, error.offset, error.path, error.decoded_so_far) == (code, offset, path, so_far)
    assert error.source


def test_zero_bytes_between_objects_are_padding():
    assert tlv.decode(bytes.fromhex("0000850101006102 5000 00")) == ((0x85, b"\x01"), (0x61, ((0x50, b""),)))


def test_longer_forms_of_a_length_are_read():
    assert (
        tlv.decode(bytes.fromhex("85810101"))
        == tlv.decode(bytes.fromhex("8583000001 01"))
        == ((0x85, b"\x01"),)
    )


def test_opaque_tags_keep_their_bytes():
    data = bytes.fromhex("6105 6303 FFFFFF")
    assert tlv.decode(data, opaque={0x63}) == ((0x61, ((0x63, b"\xff\xff\xff"),)),)
    with pytest.raises(DecodeError):
        tlv.decode(data)


def nested(levels: int) -> bytes:
    data = b""
    for _ in range(levels):
        data = tlv.encode([(0x70, data)])
    return data


def test_depth_is_bounded():
    assert tlv.decode(nested(tlv.MAX_DEPTH - 1))
    with pytest.raises(DecodeError, match="levels"):
        tlv.decode(nested(tlv.MAX_DEPTH))
    with pytest.raises(DecodeError, match="levels"):
        tlv.decode(nested(5000))


def test_a_tree_that_holds_itself_is_refused():
    loop: list = []
    loop.append((0x70, loop))
    with pytest.raises(LocalProtocolError, match="levels"):
        tlv.encode(loop)


def test_size_is_bounded():
    value = bytes(tlv.MAX_SIZE - 4)
    assert tlv.decode(tlv.encode([(0x85, value)])) == ((0x85, value),)
    with pytest.raises(LocalProtocolError, match="bytes"):
        tlv.encode([(0x85, bytes(tlv.MAX_SIZE))])
    with pytest.raises(DecodeError, match="bytes"):
        tlv.decode(bytes(tlv.MAX_SIZE + 1))


@pytest.mark.parametrize("tag", [0, 0x1F, 0x9F, 0x8501, 0x9F80, 0x9F0101, 1 << 32, -1, "85", True])
def test_illegal_tags_are_not_written(tag):
    with pytest.raises(LocalProtocolError, match="tag"):
        tlv.encode([(tag, b"")])


@pytest.mark.parametrize("node", [(0x85, "text"), (0x85, ((0x50, b""),)), (0x61, "text"), (0x61, None)])
def test_illegal_values_are_not_written(node):
    with pytest.raises(LocalProtocolError):
        tlv.encode([node])


@given(trees())
def test_decode_gives_back_what_was_encoded(tree):
    assert tlv.decode(tlv.encode(tree)) == tree


@given(trees())
def test_spans_lie_where_the_objects_lie(tree):
    data = tlv.encode(tree)
    found = list(tlv.spans(data))
    assert [span.tag for span in found] == [tag for tag, _ in tree]
    assert [data[span.start : span.stop] for span in found] == [tlv.encode([node]) for node in tree]


def test_spans_stop_at_what_is_cut():
    assert [span.tag for span in tlv.spans(bytes.fromhex("8501AA5F"))] == [0x85]
    assert [span.tag for span in tlv.spans(bytes.fromhex("8501AA5002"))] == [0x85]


def test_looking_up_and_walking():
    tree = tlv.decode(bytes.fromhex("6F09 8401AA A504 9F110141"))
    assert tlv.find(tree, 0x6F, 0xA5, 0x9F11) == b"A"
    assert tlv.find(tree, 0x6F, 0x99) is None
    assert tlv.find(tree, 0x6F, 0x84, 0x50) is None
    assert [path for path, _ in tlv.walk(tree)] == [(0x6F, 0x84), (0x6F, 0xA5, 0x9F11)]


def test_random_and_changed_bytes_end_in_a_tree_or_a_decode_error():
    source = random.Random(20260101)
    seeds = [bytes.fromhex(row[1]) for row in KNOWN]
    for number in range(count(200_000)):
        if number % 2:
            data = source.randbytes(source.randrange(24))
        else:
            changed = bytearray(source.choice(seeds)[:64])
            for _ in range(source.randrange(1, 4)):
                changed[source.randrange(len(changed) + 1) :][:1] = source.randbytes(source.randrange(3))
                if changed:
                    changed[source.randrange(len(changed))] = source.randrange(256)
            data = bytes(changed)
        try:
            tree = tlv.decode(data)
        except DecodeError as caught:
            error = caught
        else:
            assert tlv.decode(tlv.encode(tree)) == tree
            continue
        assert 0 <= error.offset <= len(data)
        assert isinstance(error.decoded_so_far, tuple)


def test_flattening_leaves_the_templates_out():
    tree = tlv.decode(bytes.fromhex("6F09 8401AA A504 9F110141 9C0100"))
    assert tlv.flatten(tree) == ((0x84, b"\xaa"), (0x9F11, b"A"), (0x9C, b"\0"))
    assert tlv.flatten(()) == ()


@pytest.mark.parametrize(
    ("encoded", "tag"),
    [
        (row[1][: row[2] * 2], row[3])
        for row in [
            ("one byte", "9C01", 1, 0x9C),
            ("two bytes", "9F0206", 2, 0x9F02),
            ("three bytes", "DF812908", 3, 0xDF8129),
            ("four bytes", "9F81820101", 4, 0x9F818201),
        ]
    ],
)
def test_tags_alone_both_ways(encoded, tag):
    data = bytes.fromhex(encoded)
    assert tlv.tag_bytes(tag) == data
    assert tlv.read_tag(b"\xff" + data + b"\xff", 1) == (tag, 1 + len(data))


@pytest.mark.parametrize("encoded", ["", "9F", "DF81", "9F8181818101", "00"])
def test_what_is_no_tag_is_refused(encoded):
    with pytest.raises(DecodeError):
        tlv.read_tag(bytes.fromhex(encoded))


# Judged by pyemv.tlv. It gives dicts, so a tag may stand once in a template; it knows no padding.


def as_dict(tree) -> dict:
    return {f"{tag:02X}": as_dict(value) if isinstance(value, tuple) else value for tag, value in tree}


def without_repetition(tree, seen: set | None = None):
    """The tree without the objects whose tag was there before, wherever it stood."""
    seen = set() if seen is None else seen
    kept = []
    for tag, value in tree:
        if tag not in seen:
            seen.add(tag)
            kept.append((tag, without_repetition(value, seen) if isinstance(value, tuple) else value))
    return tuple(kept)


@given(trees().map(without_repetition))
def test_pyemv_reads_and_writes_the_same(tree):
    peer = pytest.importorskip("pyemv").tlv
    data = tlv.encode(tree)
    assert peer.decode(data) == as_dict(tree)
    assert peer.encode(as_dict(tree)) == data
    assert peer.decode(data, flatten=True) == {f"{tag:02X}": value for tag, value in tlv.flatten(tree)}


def test_pyemv_and_we_refuse_the_same_noise():
    peer = pytest.importorskip("pyemv").tlv
    seeds = [bytes.fromhex(row[1]) for row in KNOWN[1:9]]
    agreed = 0
    for data in noise(seeds, count(20_000), seed=8825):
        try:
            tree = tlv.decode(data)
        except DecodeError as error:
            if error.code != "TRUNCATED":
                continue  # our bounds: it has none
            with pytest.raises(peer.DecodeError):
                peer.decode(data)
            agreed += 1
            continue
        if tlv.encode(tree) == data and without_repetition(tree) == tree:
            assert peer.decode(data) == as_dict(tree)
            agreed += 1
    assert agreed > count(20_000) // 3
