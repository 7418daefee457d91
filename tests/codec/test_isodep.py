"""The blocks of ISO-DEP, RATS and ATS: values and bytes, both ways, and bytes that are neither."""

from __future__ import annotations

import pytest
from byte_noise import noise
from counts import count
from hypothesis import given
from hypothesis import strategies as st

from paysim.codec.isodep import (
    DESELECT,
    FRAME_SIZES,
    WTX,
    Ats,
    Block,
    IBlock,
    Rats,
    RBlock,
    SBlock,
    decode,
    encode,
    frame_size_index,
)
from paysim.core.errors import DecodeError, LocalProtocolError

BLOCKS = [
    ("02", IBlock(0)),
    ("0300A4", IBlock(1, b"\x00\xa4")),
    ("12AA", IBlock(0, b"\xaa", more=True)),
    ("13AA", IBlock(1, b"\xaa", more=True)),
    ("0A05AA", IBlock(0, b"\xaa", did=5)),
    ("0607AA", IBlock(0, b"\xaa", nad=7)),
    ("1F0102AA", IBlock(1, b"\xaa", more=True, did=1, nad=2)),
    ("A2", RBlock(0)),
    ("A3", RBlock(1)),
    ("B2", RBlock(0, nak=True)),
    ("B3", RBlock(1, nak=True)),
    ("AA0E", RBlock(0, did=14)),
    ("C2", SBlock(DESELECT)),
    ("CA03", SBlock(DESELECT, did=3)),
    ("F201", SBlock(WTX, 1)),
    ("F2BB", SBlock(WTX, 59, power=2)),
    ("FA0401", SBlock(WTX, 1, did=4)),
]

NO_BLOCKS = [
    ("", "PCB", 0),
    ("00", "PCB", 0),  # bit 2 of an I-block
    ("22", "PCB", 0),  # bit 6 of an I-block
    ("42", "PCB", 0),
    ("80", "PCB", 0),
    ("82", "PCB", 0),  # bit 6 of an R-block
    ("A6", "PCB", 0),  # a NAD, which R-blocks do not have
    ("C3", "PCB", 0),  # a block number, which S-blocks do not have
    ("C6", "PCB", 0),
    ("D2", "PCB", 0),  # RFU
    ("E080", "PCB", 0),  # RATS
    ("0A", "DID", 1),
    ("0A0F", "DID", 1),
    ("06", "NAD", 1),
    ("0E01", "NAD", 2),
    ("A2AA", "INF", 1),
    ("C2AA", "INF", 1),
    ("F2", "INF", 1),
    ("F200", "INF", 1),  # WTXM 0
    ("F23C", "INF", 1),  # WTXM 60
    ("F20101", "INF", 2),
]

ANSWERS = [
    ("0578807000", Ats()),
    ("0578807002", Ats(did=True)),
    ("0575809441", Ats(fsc=64, fwi=9, sfgi=4, nad=True)),
    ("01", Ats(fsc=32, fwi=4, did=True, rates=0)),
    ("0200", Ats(fsc=16, fwi=4, did=True, rates=0)),
    ("032870", Ats(fwi=7, did=True, rates=0)),
    ("0328FF", Ats(fwi=4, did=True, rates=0)),  # RFU
    ("0778007000AABB", Ats(rates=0, historical=b"\xaa\xbb")),
    ("067F80700080", Ats(historical=b"\x80")),  # FSCI 15, RFU
]

NO_ANSWERS = ["", "00", "02", "0278", "0378", "047880", "0678807000", "0578807000AA"]


@pytest.mark.parametrize(("text", "block"), BLOCKS)
def test_a_block_has_these_bytes(text: str, block: Block) -> None:
    assert decode(bytes.fromhex(text)) == block
    assert encode(block).hex().upper() == text


@pytest.mark.parametrize(("text", "path", "offset"), NO_BLOCKS)
def test_these_bytes_are_no_block(text: str, path: str, offset: int) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(bytes.fromhex(text))
    assert (caught.value.path, caught.value.offset) == (path, offset)
    assert caught.value.source


@pytest.mark.parametrize(
    "block",
    [
        IBlock(2),
        RBlock(-1),
        RBlock(0, did=15),
        IBlock(0, did=-1),
        IBlock(0, nad=256),
        SBlock(WTX, 0),
        SBlock(WTX, 60),
        SBlock(WTX, 1, power=4),
        SBlock(0b01),
    ],
)
def test_a_block_that_cannot_be_is_not_written(block: Block) -> None:
    with pytest.raises(LocalProtocolError):
        encode(block)


NUMBERS = st.sampled_from((0, 1))
DIDS = st.none() | st.integers(0, 14)


@given(
    st.builds(IBlock, NUMBERS, st.binary(max_size=300), st.booleans(), DIDS, st.none() | st.integers(0, 255))
    | st.builds(RBlock, NUMBERS, st.booleans(), DIDS)
    | st.builds(SBlock, st.just(WTX), st.integers(1, 59), st.integers(0, 3), DIDS)
)
def test_what_is_written_is_read(block: Block) -> None:
    assert decode(encode(block)) == block


def test_any_bytes_are_a_block_or_an_error() -> None:
    seeds = [bytes.fromhex(text) for text, _ in BLOCKS]
    read = 0
    for frame in noise(seeds, count(200_000), seed=6):
        try:
            block = decode(frame)
        except DecodeError:
            continue
        read += 1
        again = encode(block)
        assert decode(again) == block
        assert again == frame or block.did is not None  # the power level beside a DID is not kept
    assert read > 1_000


@pytest.mark.parametrize(
    ("text", "rats"), [("E080", Rats()), ("E000", Rats(16)), ("E05E", Rats(64, 14)), ("E0F0", Rats(256))]
)
def test_rats(text: str, rats: Rats) -> None:
    assert Rats.decode(bytes.fromhex(text)) == rats
    assert Rats.decode(rats.encode()) == rats


@pytest.mark.parametrize("text", ["", "E0", "E08000", "E180", "E08F"])
def test_these_bytes_are_no_rats(text: str) -> None:
    with pytest.raises(DecodeError):
        Rats.decode(bytes.fromhex(text))


@pytest.mark.parametrize(("text", "ats"), ANSWERS)
def test_ats(text: str, ats: Ats) -> None:
    assert Ats.decode(bytes.fromhex(text)) == ats
    assert Ats.decode(ats.encode()) == ats


@pytest.mark.parametrize("text", NO_ANSWERS)
def test_these_bytes_are_no_ats(text: str) -> None:
    with pytest.raises(DecodeError):
        Ats.decode(bytes.fromhex(text))


@pytest.mark.parametrize(
    "ats", [Ats(fwi=15), Ats(sfgi=-1), Ats(historical=bytes(16)), Ats(rates=256), Ats(8)]
)
def test_an_ats_that_cannot_be_is_not_written(ats: Ats) -> None:
    with pytest.raises(LocalProtocolError):
        ats.encode()


def test_any_bytes_are_an_ats_or_an_error() -> None:
    seeds = [bytes.fromhex(text) for text, _ in ANSWERS]
    for frame in noise(seeds, count(50_000), seed=7):
        try:
            ats = Ats.decode(frame)
        except DecodeError:
            continue
        if len(ats.historical) <= 15:
            assert Ats.decode(ats.encode()) == ats
        assert ats.atr()[0] == 0x3B


def test_waiting_times_double() -> None:
    assert [round(Ats(fwi=fwi).fwt_s * 1000, 1) for fwi in (0, 7, 14)] == [0.3, 38.7, 4949.0]
    assert [round(Ats(sfgi=sfgi).sfgt_s * 1000, 1) for sfgi in (0, 1, 8)] == [0.0, 0.6, 77.3]


def test_an_atr_ends_in_its_check_byte() -> None:
    """The ATR of two historical bytes, by hand: the exclusive or of all but the first byte is zero."""
    atr = Ats(historical=b"\xaa\xbb").atr()
    assert atr[:-1].hex() == "3b828001aabb"
    check = 0
    for byte in atr[1:]:
        check ^= byte
    assert check == 0


def test_the_greatest_frame_that_fits() -> None:
    assert [FRAME_SIZES[frame_size_index(size)] for size in (16, 23, 24, 253, 256, 290)] == [
        16,
        16,
        24,
        128,
        256,
        256,
    ]
    with pytest.raises(LocalProtocolError):
        frame_size_index(15)
