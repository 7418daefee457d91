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
    data = b"\x01" + bytes.fromhex(f"F{PAN}F") + PAN.encode()
    assert gives_away(masking.hexadecimal(data))
    shown = masking.hexadecimal(data, [PAN])
    assert not gives_away(shown)
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
