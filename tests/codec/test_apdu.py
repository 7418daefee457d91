"""APDUs: known commands and responses both ways, every way to get a length wrong, and noise."""

from __future__ import annotations

import pytest
from byte_noise import noise
from counts import count
from hypothesis import given
from hypothesis import strategies as st

from paysim.codec.apdu import MAX_DATA, MAX_LE, Command, Response
from paysim.core.errors import DecodeError, LocalProtocolError

PPSE = b"2PAY.SYS.DDF01"

# name, command, bytes
COMMANDS = [
    ("case 1", Command(0x00, 0x82, 0x01, 0x02), "00820102"),
    ("case 2", Command(0x00, 0xB2, 0x01, 0x0C, b"", 256), "00B2010C00"),
    ("case 2, one byte", Command(0x80, 0xCA, 0x9F, 0x36, b"", 5), "80CA9F3605"),
    ("case 3", Command(0x00, 0x82, 0, 0, bytes(8)), "0082000008" + "00" * 8),
    ("case 4", Command(0x00, 0xA4, 0x04, 0x00, PPSE, 256), "00A404000E" + PPSE.hex().upper() + "00"),
    ("255 bytes", Command(0x80, 0xAE, 0x40, 0, bytes(255), 255), "80AE4000FF" + "00" * 255 + "FF"),
    ("case 2 extended", Command(0x00, 0xB0, 0, 0, b"", 257), "00B00000000101"),
    ("case 2, as much as there is", Command(0x00, 0xB0, 0, 0, b"", MAX_LE), "00B00000000000"),
    ("case 3 extended", Command(0x00, 0xD6, 0, 0, bytes(256)), "00D60000000100" + "00" * 256),
    ("case 4 extended", Command(0x00, 0xD6, 0, 0, b"\xaa", 300), "00D60000000001AA012C"),
    (
        "256 asked for beside 256",
        Command(0, 0xD6, 0, 0, bytes(256), 256),
        "00D60000000100" + "00" * 256 + "0100",
    ),
]

# what is wrong, bytes, offset
BROKEN = [
    ("nothing", "", 0),
    ("header cut", "00A404", 3),
    ("data cut", "00A4040007A0000000", 4),
    ("two bytes behind the data", "00A4040001AA0000", 4),
    ("Lc zero, then Le", "00A404000000", 4),
    ("Lc zero and data", "00A40400000000AA", 4),
    ("extended data cut", "00D60000000003AAAA", 4),
    ("extended, one byte of Le", "00D60000000001AA01", 4),
    ("extended, three bytes of Le", "00D60000000001AA010203", 4),
]

# name, response, bytes
RESPONSES = [
    ("status word alone", Response(b"", 0x6A82), "6A82"),
    ("data", Response(bytes.fromhex("9F36020001"), 0x9000), "9F360200019000"),
    ("done", Response(), "9000"),
]

ILLEGAL = [
    Command(256, 0, 0, 0),
    Command(0, -1, 0, 0),
    Command(0, 0xA4, "4", 0),
    Command(0, 0xA4, 4, 0, bytes(MAX_DATA + 1)),
    Command(0, 0xB2, 1, 0x0C, b"", 0),
    Command(0, 0xB2, 1, 0x0C, b"", MAX_LE + 1),
    Command(0, 0xB2, 256, 0x0C, b"", 300),
]


def ids(rows: list) -> list[str]:
    return [row[0] for row in rows]


@pytest.mark.parametrize(("command", "encoded"), [row[1:] for row in COMMANDS], ids=ids(COMMANDS))
def test_commands_both_ways(command, encoded):
    assert command.encode().hex().upper() == encoded
    assert Command.decode(bytes.fromhex(encoded)) == command


@pytest.mark.parametrize(("response", "encoded"), [row[1:] for row in RESPONSES], ids=ids(RESPONSES))
def test_responses_both_ways(response, encoded):
    assert response.encode().hex().upper() == encoded
    assert Response.decode(bytes.fromhex(encoded)) == response
    assert response.ok == (response.sw == 0x9000)


@pytest.mark.parametrize(("encoded", "offset"), [row[1:] for row in BROKEN], ids=ids(BROKEN))
def test_a_command_whose_lengths_lie_is_refused(encoded, offset):
    with pytest.raises(DecodeError) as caught:
        Command.decode(bytes.fromhex(encoded))
    assert caught.value.offset == offset
    assert caught.value.source
    if len(encoded) >= 8:
        assert caught.value.decoded_so_far == Command(*bytes.fromhex(encoded)[:4])


@pytest.mark.parametrize("data", [b"", b"\x90", bytes(MAX_DATA + 3)], ids=len)
def test_a_response_too_short_or_too_long_is_refused(data):
    with pytest.raises(DecodeError, match="bytes"):
        Response.decode(data)


@pytest.mark.parametrize("command", ILLEGAL)
def test_illegal_commands_are_not_written(command):
    with pytest.raises(LocalProtocolError):
        command.encode()


@pytest.mark.parametrize(
    "response", [Response(b"", 0x10000), Response(b"", -1), Response(bytes(MAX_DATA + 1))]
)
def test_illegal_responses_are_not_written(response):
    with pytest.raises(LocalProtocolError):
        response.encode()


def test_short_forms_written_long_are_read():
    assert Command.decode(bytes.fromhex("00A4040000000201020000")) == Command(0, 0xA4, 4, 0, b"\1\2", MAX_LE)
    assert Command.decode(bytes.fromhex("00B20100000005")) == Command(0, 0xB2, 1, 0, b"", 5)


def test_card_data_stays_out_of_logs():
    data = bytes.fromhex("5A086212345678901234")
    assert "62123456" not in repr(Response(data)) + repr(Command(0x80, 0xA8, 0, 0, data, 256)) + str(
        [Response(data)]
    )


@given(
    st.tuples(*[st.integers(0, 255)] * 4),
    st.binary(max_size=300),
    st.none() | st.integers(1, 300) | st.integers(1, MAX_LE),
)
def test_decode_gives_back_what_was_encoded(header, data, le):
    command = Command(*header, data, le)
    assert Command.decode(command.encode()) == command


@given(st.binary(max_size=300), st.integers(0, 0xFFFF))
def test_decode_gives_back_the_response(data, sw):
    assert Response.decode(Response(data, sw).encode()) == Response(data, sw)


def test_noise_is_a_command_or_a_decode_error():
    seeds = [bytes.fromhex(row[2])[:60] for row in COMMANDS]
    for data in noise(seeds, count(200_000), seed=7816):
        try:
            command = Command.decode(data)
        except DecodeError as caught:
            error = caught
        else:
            assert Command.decode(command.encode()) == command
            continue
        assert 0 <= error.offset <= len(data)


def test_noise_is_a_response_or_a_decode_error():
    seeds = [bytes.fromhex(row[2]) for row in RESPONSES]
    for data in noise(seeds, count(200_000), seed=61):
        try:
            assert Response.decode(data).encode() == data
        except DecodeError:
            assert len(data) < 2
