"""DER: written and read back, and every other way to write it refused."""

from __future__ import annotations

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.core.errors import DecodeError
from paysim.crypto import sm, sm_der

# what is wrong, DER of a signature, part of the error
NOT_DER = [
    ("empty", "", "the data end"),
    ("tag alone", "30", "the data end"),
    ("indefinite length", "30800201010201020000", "indefinite"),
    ("reserved length", "30ff020101020102", "indefinite or of more than 4"),
    ("length of five bytes", "30850000000006020101020102", "of more than 4"),
    ("long form for a short length", "308106020101020102", "shortest form"),
    ("leading zero in a length", "3082000602010102 0102", "shortest form"),
    ("length cut", "3082", "longer than what is left|shortest"),
    ("length beyond the end", "3007020101020102", "longer than what is left"),
    ("length of four gigabytes", "3084ffffffff020101020102", "longer than what is left"),
    ("not a sequence", "3106020101020102", "SEQUENCE is expected, tag 31"),
    ("constructed integer", "3006220101020102", "INTEGER is expected, tag 22"),
    ("one number", "3003020101", "the data end"),
    ("three numbers", "3009020101020102020103", "3 bytes follow"),
    ("something behind", "300602010102010200", "1 bytes follow"),
    ("empty integer", "30050200020101", "shortest form"),
    ("padded integer", "300702020001020102", "shortest form"),
    ("negative integer", "3006020181020102", "negative"),
    ("inner length beyond the outer", "3006020101020202", "longer than what is left"),
    ("257 bits", "3026" + "0221" + "01" + "00" * 32 + "020101", "more than 256 bits"),
]


@pytest.mark.parametrize(("der", "text"), [row[1:] for row in NOT_DER], ids=[row[0] for row in NOT_DER])
def test_what_is_no_der_is_refused(der: str, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        sm.raw_signature(bytes.fromhex(der))


def test_an_error_says_where() -> None:
    with pytest.raises(DecodeError) as caught:
        sm.raw_signature(bytes.fromhex("3006020101020181"))
    assert (caught.value.offset, caught.value.path) == (5, "signature.s")
    assert caught.value.source == "ITU-T X.690"


@settings(max_examples=count(500), deadline=None)
@given(st.integers(0, 1 << 300), st.binary(max_size=400), st.binary(max_size=400))
def test_what_is_written_is_read(number: int, octets: bytes, bits: bytes) -> None:
    der = sm_der.sequence(
        sm_der.integer(number), sm_der.octets(octets), sm_der.bits(bits), sm_der.sequence(sm_der.integer(0))
    )
    outer = sm_der.Reader(der)
    assert outer.peek(sm_der.SEQUENCE, "all") == der
    inner = outer.sequence("all")
    outer.finish()
    assert (inner.integer("n"), inner.octets("o"), inner.bits("b")) == (number, octets, bits)
    last = inner.inside(sm_der.SEQUENCE, "last")
    assert (inner.next_tag, last.next_tag, last.integer("zero"), last.next_tag) == (None, 2, 0, None)


@settings(max_examples=count(500), deadline=None)
@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 1 << 40), max_size=8))
def test_object_identifiers(top: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, [top, second, *rest]))
    assert sm_der.Reader(sm_der.object_identifier(dotted)).object_identifier("oid") == dotted


@pytest.mark.parametrize("der", ["0600", "060280 01", "060181", "06022a81", "06032a8001", "0641" + "01" * 65])
def test_a_bad_object_identifier(der: str) -> None:
    with pytest.raises(DecodeError):
        sm_der.Reader(bytes.fromhex(der)).object_identifier("oid")


def test_an_object_identifier_of_the_third_root() -> None:
    assert sm_der.Reader(sm_der.object_identifier("2.999.3")).object_identifier("oid") == "2.999.3"


@pytest.mark.parametrize("der", ["0300", "03020161", "0302ff00"])
def test_bits_are_whole_bytes(der: str) -> None:
    with pytest.raises(DecodeError):
        sm_der.Reader(bytes.fromhex(der)).bits("bits")


@settings(max_examples=count(3000), deadline=None)
@given(st.integers(1, sm.ephemeral(b"\xff" * 48)), st.data())
def test_one_signature_has_one_encoding(number: int, data: st.DataObject) -> None:
    der = bytearray(sm.der_signature(number.to_bytes(32) + number.to_bytes(32)))
    position = data.draw(st.integers(0, len(der) - 1))
    der[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    try:
        raw = sm.raw_signature(bytes(der))
    except DecodeError:
        return
    assert sm.der_signature(raw) == bytes(der)


def test_the_work_for_a_long_object_identifier_grew_with_its_square() -> None:
    der = sm_der.element(sm_der.OBJECT_IDENTIFIER, b"\xff" * 4_000_000 + b"\x01")  # half an hour
    with pytest.raises(DecodeError, match="too long"):
        sm_der.Reader(der).object_identifier("oid")
    with pytest.raises(DecodeError, match="too long"):
        sm_der.Reader(sm_der.element(sm_der.OBJECT_IDENTIFIER, b"\x2a" * 65)).object_identifier("oid")
    longest = sm_der.element(sm_der.OBJECT_IDENTIFIER, b"\x2a" * 64)
    assert sm_der.Reader(longest).object_identifier("oid").startswith("1.2.42.42")
