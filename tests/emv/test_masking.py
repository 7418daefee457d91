"""Card numbers in hex that people are shown: masked wherever they stand, whole or cut."""

from __future__ import annotations

import random

import pytest
from counts import count

from paysim.codec import tlv
from paysim.emv import masking

PAN = "6234569047826143"
TRACK_2 = f"{PAN}D31012010000012345F"[:37]
TRACK_2 = TRACK_2 + "F" * (len(TRACK_2) % 2)


def holders() -> tlv.Tree:
    """A record with everything that gives a card away."""
    return (
        (
            0x70,
            (
                (0x5A, bytes.fromhex(PAN)),
                (0x57, bytes.fromhex(TRACK_2)),
                (0x56, f"B{PAN}^LEE/ALICE^31012010000012345".encode()),
                (0x9F46, bytes(range(144))),
                (0x9F20, bytes.fromhex("0000012345FF")),
            ),
        ),
    )


VALUES = [
    (0x5A, PAN, "623456******6143"),
    (0x5A, "123456FF", "******FF"),
    (0x57, TRACK_2, "623456******6143D3101201" + "*" * (len(TRACK_2) - 24)),
    (0x57, "6234569047826143", "*" * 16),
    (0x9F6B, TRACK_2, "623456******6143D3101201" + "*" * (len(TRACK_2) - 24)),
    (0x9F6B, "000000100000", "000000100000"),
    (0x9F20, "0000012345FF", "*" * 12),
    (0x99, "1234", "****"),
    (0x9F46, "00" * 20, "00000000" + "*" * 24 + "00000000"),
    (0x9F02, "000000000990", "000000000990"),
]


@pytest.mark.parametrize(("tag", "value", "shown"), VALUES)
def test_a_value_is_masked_by_its_tag(tag: int, value: str, shown: str) -> None:
    assert masking.value(tag, bytes.fromhex(value)) == shown


NUMBERS = [
    (0x5A, PAN, (PAN,)),
    (0x5A, "6234569047826143123F", ("6234569047826143123",)),
    (0x57, TRACK_2, (PAN,)),
    (0x56, f"B{PAN}^A^3101".encode().hex(), (PAN,)),
    (0x5A, "1234", ()),
    (0x57, "ABCD", ()),
    (0x9F02, "000000000990", ()),
]


@pytest.mark.parametrize(("tag", "value", "numbers"), NUMBERS)
def test_the_number_of_a_value_is_found(tag: int, value: str, numbers: tuple[str, ...]) -> None:
    assert masking.numbers(tag, bytes.fromhex(value)) == numbers


def gives_away(shown: str) -> bool:
    """Whether hex shows more of the number than six digits and four, or the issuer's own digits."""
    return PAN[:7] in shown or PAN[-5:] in shown or "12345" in shown or PAN[:7].encode().hex() in shown


def test_a_record_is_masked_wherever_it_is_cut_and_whatever_is_before_it() -> None:
    data = tlv.encode(holders())
    assert gives_away(data.hex().upper())
    for stop in range(len(data) + 1):
        for before in ("", "00B2011400", "FF", "7F"):
            shown = masking.hexadecimal(bytes.fromhex(before) + data[:stop])
            assert not gives_away(shown), (stop, before, shown)


def test_a_certificate_is_not_shown_whole() -> None:
    shown = masking.hexadecimal(tlv.encode(holders()))
    assert bytes(range(144)).hex().upper()[:9] not in shown
    assert "*" * 272 in shown


def test_a_number_that_was_met_is_masked_everywhere() -> None:
    number = "623456904781"  # too short to be known by its check digit
    data = b"\x01" + bytes.fromhex(f"F{number}F") + number.encode()
    assert number in masking.hexadecimal(data)
    shown = masking.hexadecimal(data, [number])
    assert f"F{number[:6]}**{number[-4:]}F" in shown
    assert number[:7].encode().hex() not in shown
    assert number[-5:].encode().hex() not in shown
    assert len(shown) == 2 * len(data)


def test_plain_data_stay_as_they_are() -> None:
    for text in ("6F0A8408A000000003000000", "DF7F0670617973696D", "9F02060000000009909A03260101", ""):
        assert masking.hexadecimal(bytes.fromhex(text)) == text


def test_masked_hex_of_any_bytes_is_as_long_and_otherwise_the_same() -> None:
    chance = random.Random(11)
    whole = tlv.encode(holders())
    for _ in range(count(20_000)):
        data = bytearray(whole if chance.random() < 0.5 else chance.randbytes(60))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        shown = masking.hexadecimal(bytes(data))
        assert len(shown) == 2 * len(data)
        assert all(a in (b, "*") for a, b in zip(shown, bytes(data).hex().upper(), strict=True))


# Where nobody expects a number. ---------------------------------------------------------------------------

UNASKED = [
    ("a tag of the issuer's own", "DF2008" + PAN),
    ("half a byte further on", "DF20090" + PAN + "0"),
    ("with another number before it", "DF200A3112" + PAN),
    ("behind a date, in front of the status word", "311231" + PAN + "9000"),
    ("as characters", "DF2010" + PAN.encode().hex()),
    ("as characters in groups of four", "DF2013" + b"6234 5690 4782 6143".hex()),
    ("as characters of two bytes", "DF2020" + PAN.encode("utf-16-be").hex()),
    ("in the label", "5010" + PAN.encode().hex()),
    ("as a name of an application", "4F08" + PAN),
    ("in the issuer's own data", "BF0C0CDF200908" + PAN + "00"),
    ("in the issuer application data", "9F100F06010A03A00000" + PAN),
    ("in an amount that is too long", "9F0208" + PAN),
    ("in a certificate", "9008" + PAN),
    ("in a list", "8C08" + PAN),
    ("in a file locator that is none", "9408" + PAN),
]


@pytest.mark.parametrize(("data"), [row[1] for row in UNASKED], ids=[row[0] for row in UNASKED])
def test_a_number_that_no_tag_announces_is_masked_by_its_check_digit(data: str) -> None:
    shown = masking.hexadecimal(bytes.fromhex(data))
    assert not gives_away(shown), shown
    assert shown.count("*") >= 6
    assert len(shown) == len(data)


def test_a_number_without_check_digit_is_masked_where_no_standard_says_what_the_digits_are() -> None:
    number = "3105170010170907984"  # a transit card's, as its FCI has it: in 9F0C, which has 3 or 4 bytes
    for data in (
        f"9F0C1401011000FFFFFFFF0{number}2019080600",
        f"DF3A0A0{number}",
        f"DF3A13{number.encode().hex()}",
    ):
        shown = masking.hexadecimal(bytes.fromhex(data))
        assert number[:7] not in shown
        assert number.encode().hex()[:14] not in shown
    assert masking.hexadecimal(bytes.fromhex("9F1906" + "012345678901")) == "9F1906012345678901"


def test_a_file_locator_stays_whole_though_its_digits_may_pass_for_a_number() -> None:
    locator = "2001010028010200"  # as a number: 2001010028010200
    assert masking.value(0x94, bytes.fromhex(locator)) == locator
    assert masking.value(0x94, bytes.fromhex(locator), [locator]) != locator, "it is a number that is known"


def test_a_cvm_list_stays_whole_though_its_amounts_may_pass_for_a_number() -> None:
    found = "0000006400000000420302061F00"
    assert masking.value(0x8E, bytes.fromhex(found)) == found
    for number in (PAN + "4203", "FF" + PAN + "FF", PAN[:-4] + "61434203"):
        assert not gives_away(masking.value(0x8E, bytes.fromhex(number)))


def test_labels_commands_and_signatures_stay_whole_though_their_digits_may_pass_for_a_number() -> None:
    for text in (
        "500B5649534120435245444954",  # VISA CREDIT
        "80A800002383212600408000000000099000000000000001560000000000015626010100EC35B52D00",
        "90819032AC724743E6606BB207F06F1B42B48B149456984DB3BE8EB8855A53B4BB57F3A11BD692828507401552442D8994F8595B7"
        "DEADCBE5F79D9BACED7CC602154A5AACDF6062D2029C2D17D5EF6E5D651610EFAC05F4FAD2FED1AD5162723295CE3ABEB53F94FCC"
        "CDEFEAA0A721AB12D33B441C2886AB3DC40198863B894169FB041BF8BC7653BDF29BD69D54AEF2D8D31F",
    ):
        assert masking.hexadecimal(bytes.fromhex(text)) == text
    for row in (f"00A4040008{PAN}00", f"5008{PAN}"):
        assert not gives_away(masking.hexadecimal(bytes.fromhex(row))), "a name or a label that is a number"


@pytest.mark.parametrize("at", range(7, 14))
def test_a_number_that_is_known_is_masked_in_pieces_of_seven_digits(at: int) -> None:
    pieces = [piece.ljust(len(piece) + len(piece) % 2, "F") for piece in (PAN[:at], PAN[at:])]
    shown = [masking.value(0xDF20, bytes.fromhex(piece), [PAN]) for piece in pieces]
    if at >= 7:
        assert PAN[:7] not in shown[0]
    if len(PAN) - at >= 7:
        assert PAN[-5:] not in shown[1]


def test_zeros_are_no_piece_of_a_number() -> None:
    assert masking.value(0x9F02, bytes(6), ["4000000000000002"]) == "000000000000"


PERSONAL = [
    (0x5F20, b"LEE/ALICE"),
    (0x9F0B, b"LEE/ALICE OF THE LONG NAME  "),
    (0x9F61, b"11010119900307123X"),
    (0x5F53, b"DE89370400440532013000"),
    (0x9F24, b"V0010013820199273377199053900"),
]


@pytest.mark.parametrize(("tag", "data"), PERSONAL)
def test_who_holds_the_card_is_nobodys_business(tag: int, data: bytes) -> None:
    assert masking.value(tag, data) == "*" * (2 * len(data))
    whole = tlv.encode(((0x70, ((tag, data), (0x5F28, b"\x01\x56"))),))
    for stop in range(len(whole) + 1):
        shown = masking.hexadecimal(whole[:stop])
        assert data[:3].hex().upper() not in shown, stop
    assert masking.hexadecimal(whole).endswith("5F28020156")


WORDS = [
    ("VISA CREDIT", "VISA CREDIT"),
    (f"CARD {PAN}", "CARD 623456******6143"),
    ("6234 5690 4782 6143", "6234 56** **** 6143"),
    ("62345690478261.43 CNY", "623456******61.43 CNY"),
    ("VISA CREDIT A0000000031010", "VISA CREDIT A0000000031010"),
    ("expires 2031-11-30; 5000.00", "expires 2031-11-30; 5000.00"),
    ("SFI 2: records 1 to 4", "SFI 2: records 1 to 4"),
]


@pytest.mark.parametrize(("words", "shown"), WORDS)
def test_words_are_masked_too(words: str, shown: str) -> None:
    assert masking.text(words) == shown


def test_a_long_run_of_digits_is_masked_without_a_long_search() -> None:
    data = tlv.encode(((0xDF20, b"\x47" * 30_000),))
    assert masking.hexadecimal(data) == "DF20827530" + "*" * 60_000


TAGS = (0xDF20, 0x50, 0x9F10, 0x9F6E, 0x9F0A, 0x8E, 0x90, 0x9F46, 0x5F50, 0x8C, 0x57, 0x94)


def test_no_number_with_a_check_digit_is_ever_shown() -> None:
    """Packed at either half of a byte, or written; in an object of any tag, or in bytes that are none."""
    chance = random.Random(5)
    for _ in range(count(20_000)):
        number = make_number(chance)
        packed = "0" * chance.randrange(3) + number
        piece = number.encode() if chance.random() < 0.4 else bytes.fromhex(packed + "F" * (len(packed) % 2))
        around = b"" if (tag := chance.choice(TAGS)) in (0x50, 0x5F50) else chance.randbytes(2)
        piece = around[:1] + piece + around[1:]
        if chance.random() < 0.5:
            data = tlv.encode(((0x70, ((0x5F28, b"\x01\x56"), (tag, piece), (0x87, b"\x01"))),))
        else:
            data = b"\x1f\xff\xff\xff\xff" + piece + b"\x1f"  # no tag is as long as this
        shown = masking.hexadecimal(data)
        assert number[:7] not in shown
        assert number[:7].encode().hex() not in shown


def make_number(chance: random.Random) -> str:
    """A card number of 13 to 19 digits with its check digit."""
    digits = [
        chance.choice((2, 3, 4, 5, 6, 9)),
        *(chance.randrange(10) for _ in range(chance.randrange(11, 18))),
    ]
    doubled = [digit if at % 2 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(reversed(digits))]
    return "".join(map(str, (*digits, -sum(doubled) % 10)))
