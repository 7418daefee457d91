"""PIN blocks, judged by published blocks and pyemv."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from counts import count
from emv_answers import draws
from hypothesis import given
from hypothesis import strategies as st

from paysim.crypto import pin
from paysim.crypto.inputs import InputError
from paysim.crypto.pin import PinError

KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
PAN = "1234567890123456789"

# The tests of psec (knovichikhin/psec tests/test_pinblock.py): the random bytes are FF.
SEALED_4 = bytes.fromhex("28B41FDDD29B743E93124BD8E32D921E")

# Deciphered by the tests of the crate paysec, under the same key.
OPENED_4 = [
    ("1234", "1234567890123456", "52DB178C6EDCE52E3A70F7FBC8E9C758"),
    ("123456", "123456789012345678", "847A0209C659E4C4A79CA6A2A2217D31"),
    ("12345678", "1234567890123456789", "018BFEC8B5EF60181A327AD8325A2BA4"),
]

pins = st.text("0123456789", min_size=4, max_size=12)
pans = st.text("0123456789", min_size=13, max_size=19)


def test_the_example_of_format_0() -> None:
    assert pin.format_0("1234", "43219876543210987").hex().upper() == "0412AC89ABCDEF67"


def test_a_published_block_of_format_4_is_made() -> None:
    assert pin.seal_format_4(KEY, "1234", PAN, b"\xff" * 8) == SEALED_4


@pytest.mark.parametrize(("digits", "pan", "block"), OPENED_4)
def test_a_published_block_of_format_4_is_opened(digits: str, pan: str, block: str) -> None:
    assert pin.open_format_4(KEY, bytes.fromhex(block), pan) == digits


@given(pins, pans)
def test_what_was_put_in_comes_out(digits: str, pan: str) -> None:
    assert pin.read_format_0(pin.format_0(digits, pan), pan) == digits
    assert pin.read_format_2(pin.format_2(digits)) == digits
    assert pin.open_format_4(KEY, pin.seal_format_4(KEY, digits, pan, bytes(8)), pan) == digits


@given(pins, pans, st.integers(min_value=0, max_value=127))
def test_another_bit_of_a_format_4_block_never_gives_the_pin(digits: str, pan: str, bit: int) -> None:
    block = pin.seal_format_4(KEY, digits, pan, bytes(8))
    wrong = (int.from_bytes(block) ^ 1 << bit).to_bytes(16)
    try:
        assert pin.open_format_4(KEY, wrong, pan) != digits
    except PinError:
        pass


def test_another_pan_does_not_open_format_0() -> None:
    with pytest.raises(PinError, match="format 0"):
        pin.read_format_0(pin.format_0("1234", "4000001234562"), "4999991234562")


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_blocks_of_scripts_equal_those_of_pyemv() -> None:
    pyemv = pytest.importorskip("pyemv")
    for draw in draws("pin", count(2_000)):
        key, new, current = draw.octets(16), draw.digits(4, 12), draw.digits(4, 12)
        assert pin.format_2(new) == pyemv.sm.format_iso9564_2_pin_block(new)
        assert pin.format_vis(key, new) == pyemv.sm.format_vis_pin_block(key, new)
        assert pin.format_vis(key, new, current) == pyemv.sm.format_vis_pin_block(key, new, current)


BAD_BLOCKS = [
    "141234FFFFFFFFFF",  # another format
    "231234FFFFFFFFFF",  # too short a PIN
    "2D12345678901234",  # too long a PIN
    "24123AFFFFFFFFFF",  # no digit
    "241234FFFFFFFFF0",  # something in the filling
]


@pytest.mark.parametrize("block", BAD_BLOCKS)
def test_a_block_that_is_none_is_refused(block: str) -> None:
    with pytest.raises(PinError) as caught:
        pin.read_format_2(bytes.fromhex(block))
    assert "1234" not in str(caught.value)


BAD = [
    (lambda: pin.format_0("123", PAN), "PIN"),
    (lambda: pin.format_0("1234567890123", PAN), "PIN"),
    (lambda: pin.format_0("12a4", PAN), "PIN"),
    (lambda: pin.format_0("1234", "123456789012"), "PAN"),
    (lambda: pin.format_2(1234), "PIN"),  # type: ignore[arg-type]
    (lambda: pin.format_vis(bytes(8), "1234"), "card key"),
    (lambda: pin.format_vis(bytes(16), "1234", "12"), "current PIN"),
    (lambda: pin.seal_format_4(bytes(8), "1234", PAN, bytes(8)), "PIN key"),
    (lambda: pin.seal_format_4(KEY, "1234", PAN, bytes(7)), "random bytes"),
    (lambda: pin.open_format_4(KEY, bytes(8), PAN), "PIN block"),
    (lambda: pin.read_format_0(b"", PAN), "PIN block"),
    (lambda: pin.read_format_2(bytes(9)), "PIN block"),
]


@pytest.mark.parametrize(("work", "what"), BAD)
def test_an_input_of_the_wrong_shape_is_named(work: Callable[[], object], what: str) -> None:
    with pytest.raises(InputError) as caught:
        work()
    assert caught.value.name == what
