"""Formats: tables of values and bytes run both ways, what is no such value, and noise."""

from __future__ import annotations

import datetime

import pytest
from byte_noise import noise
from counts import count
from hypothesis import given
from hypothesis import strategies as st

from paysim.codec import formats
from paysim.codec.formats import CvmList, CvmRule, Records, Track2
from paysim.core.errors import DecodeError, LocalProtocolError

PAN = "6212345678900000003"

# encoder, arguments, decoder, value, bytes
BOTH_WAYS = [
    (formats.encode_n, (1280, 6), formats.decode_n, 1280, "000000001280"),
    (formats.encode_n, (0, 6), formats.decode_n, 0, "000000000000"),
    (formats.encode_n, (999_999_999_999, 6), formats.decode_n, 999_999_999_999, "999999999999"),
    (formats.encode_n, (156, 2), formats.decode_n, 156, "0156"),
    (formats.encode_n, (0, 0), formats.decode_n, 0, ""),
    (formats.encode_cn, ("6212345678901234", 8), formats.decode_cn, "6212345678901234", "6212345678901234"),
    (formats.encode_cn, (PAN, 10), formats.decode_cn, PAN, "6212345678900000003F"),
    (formats.encode_cn, ("62", 3), formats.decode_cn, "62", "62FFFF"),
    (formats.encode_cn, ("123",), formats.decode_cn, "123", "123F"),
    (formats.encode_cn, ("", 2), formats.decode_cn, "", "FFFF"),
    (formats.encode_an, ("Z3", 2), formats.decode_an, "Z3", "5A33"),
    (formats.encode_an, ("T1", 4), formats.decode_an, "T1", "54312020"),
    (formats.encode_ans, ("UnionPay Debit",), formats.decode_ans, "UnionPay Debit", b"UnionPay Debit".hex()),
    (formats.encode_ans, ("Caf\xe9 1",), formats.decode_ans, "Caf\xe9 1", "436166E92031"),
    (formats.encode_b, (10_000, 4), formats.decode_b, 10_000, "00002710"),
    (
        formats.encode_date,
        (datetime.date(2031, 12, 31),),
        formats.decode_date,
        datetime.date(2031, 12, 31),
        "311231",
    ),
    (
        formats.encode_date,
        (datetime.date(2049, 1, 1),),
        formats.decode_date,
        datetime.date(2049, 1, 1),
        "490101",
    ),
    (
        formats.encode_date,
        (datetime.date(1950, 1, 1),),
        formats.decode_date,
        datetime.date(1950, 1, 1),
        "500101",
    ),
    (
        formats.encode_date,
        (datetime.date(2028, 2, 29),),
        formats.decode_date,
        datetime.date(2028, 2, 29),
        "280229",
    ),
    (formats.encode_time, (datetime.time(23, 5, 9),), formats.decode_time, datetime.time(23, 5, 9), "230509"),
    (
        formats.track2,
        (PAN, "3112", "201", "0000"),
        formats.decode_track2,
        Track2(PAN, "3112", "201", "0000"),
        PAN + "D31122010000F",
    ),
    (
        formats.track2,
        ("6212345678901234", "3112", "201", ""),
        formats.decode_track2,
        Track2("6212345678901234", "3112", "201", ""),
        "6212345678901234D3112201",
    ),
    (
        formats.encode_afl,
        ([Records(1, 1, 2), Records(30, 1, 255, 255)],),
        formats.decode_afl,
        (Records(1, 1, 2, 0), Records(30, 1, 255, 255)),
        "08010200F001FFFF",
    ),
    (
        formats.encode_cvm_list,
        (CvmList(1000, 0, (CvmRule(0x42, 3), CvmRule(0x1F, 0))),),
        formats.decode_cvm_list,
        CvmList(1000, 0, (CvmRule(0x42, 3), CvmRule(0x1F, 0))),
        "000003E80000000042031F00",
    ),
]

# decoder, bytes, offset, what was decoded
BROKEN = [
    (formats.decode_n, "00001A", 2, "00001"),
    (formats.decode_n, "F0", 0, ""),
    (formats.decode_n, "00" * 256, 255, None),
    (formats.decode_cn, "62A2", 1, "62"),
    (formats.decode_cn, "62F2", 1, "62f"),
    (formats.decode_an, b"AB-1".hex(), 2, "AB"),
    (formats.decode_ans, "41420D41", 2, "AB"),
    (formats.decode_date, "310229", 0, None),
    (formats.decode_date, "311300", 0, None),
    (formats.decode_date, "3112", 0, None),
    (formats.decode_date, "31123A", 0, None),
    (formats.decode_time, "240000", 0, None),
    (formats.decode_time, "2359", 0, None),
    (formats.decode_track2, "6212345678901234", 8, None),
    (formats.decode_track2, "D3112201", 0, None),
    (formats.decode_track2, "6212D31122", 2, None),
    (formats.decode_track2, "6212345678901234D31122010000FFFF", 8, None),
    (formats.decode_track2, "62" * 20, 19, None),
    (formats.decode_afl, "0801020008", 4, (Records(1, 1, 2, 0),)),
    (formats.decode_afl, "09010200", 0, ()),
    (formats.decode_afl, "00010200", 0, ()),
    (formats.decode_afl, "F8010200", 0, ()),
    (formats.decode_afl, "08000200", 0, ()),
    (formats.decode_afl, "08030200", 0, ()),
    (formats.decode_afl, "08010203", 0, ()),
    (formats.decode_afl, "08010200" * 64, 252, None),
    (formats.decode_cvm_list, "00000000000000", 7, None),
    (formats.decode_cvm_list, "00000000000000004203" + "1F", 10, CvmList(0, 0, (CvmRule(0x42, 3),))),
    (formats.decode_cvm_list, "00" * 254, 252, None),
]

ILLEGAL = [
    (formats.encode_n, (100, 1)),
    (formats.encode_n, (-1, 6)),
    (formats.encode_n, (1.0, 6)),
    (formats.encode_n, (True, 6)),
    (formats.encode_cn, ("12A", 2)),
    (formats.encode_cn, ("12345", 2)),
    (formats.encode_cn, ("１２", 2)),
    (formats.encode_an, ("A-", 2)),
    (formats.encode_an, ("ABC", 2)),
    (formats.encode_ans, ("A\n", 2)),
    (formats.encode_ans, ("茶", 2)),
    (formats.encode_b, (256, 1)),
    (formats.encode_b, (-1, 1)),
    (formats.encode_date, (datetime.date(2050, 1, 1),)),
    (formats.encode_date, (datetime.date(1949, 12, 31),)),
    (formats.track2, ("621234567890123456789", "3112", "201")),
    (formats.track2, ("", "3112", "201")),
    (formats.track2, ("6212345678901234", "311", "2201")),
    (formats.track2, ("6212345678901234", "3112", "201", "D1")),
    (formats.track2, ("6212345678901234", "3112", "201", "f")),
    (formats.track2, (PAN, "3112", "201", "0" * 12)),
    (formats.encode_afl, ([Records(31, 1, 1)],)),
    (formats.encode_afl, ([Records(0, 1, 1)],)),
    (formats.encode_afl, ([Records(32, 1, 1)],)),
    (formats.encode_afl, ([Records(1, 2, 1)],)),
    (formats.encode_afl, ([Records(1, 1, 1, 2)],)),
    (formats.encode_afl, ([Records(1, 1, 1)] * 64,)),
    (formats.encode_cvm_list, (CvmList(1 << 32, 0, ()),)),
    (formats.encode_cvm_list, (CvmList(0, 0, (CvmRule(256, 0),)),)),
    (formats.encode_cvm_list, (CvmList(0, 0, (CvmRule(0x1F, 0),) * 123),)),
]


@pytest.mark.parametrize(("encoder", "arguments", "decoder", "value", "encoded"), BOTH_WAYS)
def test_both_ways(encoder, arguments, decoder, value, encoded):
    assert encoder(*arguments).hex().upper() == encoded.upper()
    assert decoder(bytes.fromhex(encoded)) == value


@pytest.mark.parametrize(("decoder", "encoded", "offset", "so_far"), BROKEN)
def test_what_is_no_such_value_is_refused(decoder, encoded, offset, so_far):
    with pytest.raises(DecodeError) as caught:
        decoder(bytes.fromhex(encoded))
    assert (caught.value.offset, caught.value.decoded_so_far) == (offset, so_far)
    assert caught.value.source


@pytest.mark.parametrize(("encoder", "arguments"), ILLEGAL)
def test_illegal_values_are_not_written(encoder, arguments):
    with pytest.raises(LocalProtocolError):
        encoder(*arguments)


def test_zero_bytes_behind_text_are_padding():
    assert formats.decode_ans(b"TEA\0\0") == "TEA"


def test_card_numbers_stay_out_of_logs():
    track = Track2(PAN, "3112", "201", "12345")
    assert PAN[:-4] not in repr(track)
    assert "12345" not in repr(track).replace(PAN[-4:], "")


@given(st.integers(0, 6), st.data())
def test_numbers_come_back(length, data):
    value = data.draw(st.integers(0, 100**length - 1))
    assert formats.decode_n(formats.encode_n(value, length)) == value
    value = data.draw(st.integers(0, 256**length - 1))
    assert formats.decode_b(formats.encode_b(value, length)) == value


@given(st.text("0123456789", max_size=40), st.integers(0, 5))
def test_digits_come_back(digits, room):
    assert formats.decode_cn(formats.encode_cn(digits, (len(digits) + 1) // 2 + room)) == digits
    assert formats.decode_cn(formats.encode_cn(digits)) == digits


@given(st.text(st.characters(codec="latin-1", exclude_categories=("Cc",)), max_size=40), st.integers(0, 5))
def test_text_comes_back_without_its_padding(text, room):
    assert formats.decode_ans(formats.encode_ans(text, len(text) + room)) == text.rstrip(" ")


@given(st.dates(datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)), st.times())
def test_dates_and_times_come_back(date, time):
    assert formats.decode_date(formats.encode_date(date)) == date
    assert formats.decode_time(formats.encode_time(time)) == time.replace(microsecond=0, fold=0)


DIGITS = st.text("0123456789", min_size=1, max_size=19)
CODE = st.text("0123456789", min_size=7, max_size=7)


@given(DIGITS, CODE, st.text("0123456789", max_size=11))
def test_track_2_comes_back(pan, code, rest):
    data = formats.track2(pan, code[:4], code[4:], rest)
    assert formats.decode_track2(data) == Track2(pan, code[:4], code[4:], rest)


BYTE = st.integers(0, 255)


@given(
    st.integers(0, 1 << 31), st.integers(0, 1 << 31), st.lists(st.builds(CvmRule, BYTE, BYTE), max_size=122)
)
def test_cvm_lists_come_back(x, y, rules):
    cvm_list = CvmList(x, y, tuple(rules))
    assert formats.decode_cvm_list(formats.encode_cvm_list(cvm_list)) == cvm_list


DECODERS = [row[2] for row in BOTH_WAYS]


@pytest.mark.parametrize("decoder", dict.fromkeys(DECODERS), ids=lambda decoder: decoder.__name__)
def test_noise_is_a_value_or_a_decode_error(decoder):
    seeds = [bytes.fromhex(row[4]) for row in BOTH_WAYS if row[2] is decoder] + [bytes(300)]
    for data in noise(seeds, count(200_000), seed=43):
        try:
            value = decoder(data)
        except DecodeError as caught:
            error = caught
        else:
            assert value is not None
            continue
        assert 0 <= error.offset <= len(data)
