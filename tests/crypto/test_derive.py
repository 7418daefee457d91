"""Card keys and session keys, judged by published answers and by pyemv."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from counts import count
from emv_answers import draws, known, name

from paysim.crypto import derive
from paysim.crypto.inputs import InputError

QUIET = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
"""pyemv uses what `cryptography` has deprecated."""

KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


def same_key(left: bytes, right: str) -> bool:
    """Equal but for parity, which some sources do not set."""
    return derive.odd_parity(left) == derive.odd_parity(bytes.fromhex(right))


@pytest.mark.parametrize("vector", known("mk_option_a", "mk_option_b"), ids=name)
def test_a_card_key_is_the_published_one(vector: dict[str, str]) -> None:
    option = derive.card_key_a if vector["kind"] == "mk_option_a" else derive.card_key_b
    key = option(bytes.fromhex(vector["imk"]), vector["pan"], vector["psn"])
    assert key == bytes.fromhex(vector["icc_mk"])
    assert derive.check_value(key, 2) == bytes.fromhex(vector["kcv2"])


@pytest.mark.parametrize("vector", [v for v in known("arqc") if "icc_mk" in v], ids=name)
def test_the_card_key_of_a_published_cryptogram(vector: dict[str, str]) -> None:
    key = derive.card_key_a(bytes.fromhex(vector["imk"]), vector["pan"], vector["psn"])
    assert same_key(key, vector["icc_mk"])


@pytest.mark.parametrize("vector", known("cvn"), ids=name)
def test_the_card_key_of_a_published_method(vector: dict[str, str]) -> None:
    key = derive.card_key_a(bytes.fromhex(vector["imk_ac"]), vector["pan"], vector["psn"])
    assert key == bytes.fromhex(vector["icc_mk_ac"])


SESSION_KEYS: dict[str, Callable[[bytes, Any], bytes]] = {
    "jpos-arqc-VSDC-00": lambda key, v: key,
    "jpos-arqc-VSDC-80": lambda key, v: key,
    "jpos-arqc-MCHIP-00": lambda key, v: derive.mastercard_session_key(key, v["atc"], v["un"]),
    "jpos-arqc-MCHIP-80": lambda key, v: derive.mastercard_session_key(key, v["atc"], v["un"]),
    "jpos-arqc-EMV-00": lambda key, v: derive.common_session_key(key, v["atc"] + bytes(6)),
    "jpos-arqc-EMV-80": lambda key, v: derive.common_session_key(key, v["atc"] + bytes(6)),
    "pboc-cvn01-arqc": lambda key, v: derive.pboc_session_key(key, v["atc"]),
    "csk-arqc": lambda key, v: derive.common_session_key(key, v["r"]),
    "emv2000-tree": lambda key, v: derive.tree_session_key(key, v["atc"], 8, 4, v["iv"]),
    "visa-sm-sk": lambda key, v: derive.visa_script_key(key, v["atc"]),
}


@pytest.mark.parametrize("vector", [v for v in known("arqc", "skd") if "session_key" in v], ids=name)
def test_a_session_key_is_the_published_one(vector: dict[str, Any]) -> None:
    values = {field: bytes.fromhex(vector[field]) for field in ("atc", "un", "r", "iv") if field in vector}
    key = vector.get("icc_mk")
    card = (
        bytes.fromhex(key)
        if key
        else derive.card_key_a(bytes.fromhex(vector["imk"]), vector["pan"], vector["psn"])
    )
    assert same_key(SESSION_KEYS[vector["id"]](card, values), vector["session_key"])


def test_every_published_session_key_has_its_row() -> None:
    assert {v["id"] for v in known("arqc", "skd") if "session_key" in v} == set(SESSION_KEYS)


@QUIET
def test_keys_equal_those_of_pyemv() -> None:
    pyemv = pytest.importorskip("pyemv")
    for draw in draws("derive", count(2_000)):
        key, pan, psn = draw.octets(16), draw.digits(1, 19), draw.digits(2, 2)
        atc, eight = draw.octets(2), draw.octets(8)
        assert derive.card_key_a(key, pan, psn) == pyemv.kd.derive_icc_mk_a(key, pan, psn)
        assert derive.card_key_b(key, pan, psn) == pyemv.kd.derive_icc_mk_b(key, pan, psn)
        assert derive.common_session_key(key, eight) == pyemv.kd.derive_common_sk(key, eight)
        unpredictable = draw.octets(4)
        assert derive.mastercard_session_key(key, atc, unpredictable) == pyemv.kd.derive_common_sk(
            key, atc + bytes(2) + unpredictable
        )
        assert derive.visa_script_key(key, atc) == pyemv.kd.derive_visa_sm_sk(key, atc)
        assert derive.odd_parity(key) == pyemv.tools.adjust_key_parity(key)
        assert derive.check_value(key) == pyemv.tools.key_check_digits(key, 3)


@QUIET
@pytest.mark.parametrize(("height", "branches"), [(8, 4), (16, 2)])
def test_the_tree_equals_that_of_pyemv(height: int, branches: int) -> None:
    pyemv = pytest.importorskip("pyemv")
    for draw in draws(f"tree-{height}", count(2_000)):
        key, atc, iv = draw.octets(16), draw.octets(2), draw.octets(16)
        theirs = pyemv.kd.derive_emv2000_tree_sk(key, atc, height, branches, iv)
        assert derive.tree_session_key(key, atc, height, branches, iv) == theirs


def test_option_b_turns_letters_into_digits_where_a_hash_has_too_few() -> None:
    """A PAN whose hash has fewer than 16 decimal digits, found by search: the second pass counts."""
    from hashlib import sha1

    for at in range(10**18, 10**18 + 10_000):
        digest = sha1(bytes.fromhex(f"0{at}00")).hexdigest()
        if sum(letter.isdigit() for letter in digest) < 16:
            break
    digits = "".join(filter(str.isdigit, digest))
    letters = "".join(str("abcdef".index(letter)) for letter in digest if letter.isalpha())
    number = bytes.fromhex((digits + letters)[:16])
    from paysim.crypto.triple_des import encrypt_ecb

    expected = encrypt_ecb(KEY, number + bytes(255 - octet for octet in number))
    assert derive.card_key_b(KEY, str(at), "00") == derive.odd_parity(expected)


BAD = [
    (lambda: derive.card_key_a(KEY[:-1], "1234567890123456", "00"), "issuer master key", "16 bytes"),
    (lambda: derive.card_key_a(KEY * 2, "1234567890123456", "00"), "issuer master key", "16 bytes"),
    (lambda: derive.card_key_a(KEY.hex(), "1234567890123456", "00"), "issuer master key", "16 bytes"),  # type: ignore[arg-type]
    (lambda: derive.card_key_a(KEY, "", "00"), "PAN", "text of 1 to 19 digits"),
    (lambda: derive.card_key_a(KEY, "1" * 20, "00"), "PAN", "text of 1 to 19 digits"),
    (lambda: derive.card_key_a(KEY, "12345678901234F6", "00"), "PAN", "text of 1 to 19 digits"),
    (lambda: derive.card_key_a(KEY, "١٢٣٤٥٦٧٨", "00"), "PAN", "text of 1 to 19 digits"),
    (lambda: derive.card_key_a(KEY, b"1234567890123456", "00"), "PAN", "text of 1 to 19 digits"),  # type: ignore[arg-type]
    (lambda: derive.card_key_a(KEY, "1234567890123456", "1"), "PAN sequence number", "text of 2 digits"),
    (lambda: derive.card_key_b(KEY, "12345678901234567", "001"), "PAN sequence number", "text of 2 digits"),
    (lambda: derive.card_key_b(KEY[:8], "12345678901234567", "01"), "issuer master key", "16 bytes"),
    (lambda: derive.card_key_b(KEY, "x" * 17, "01"), "PAN", "text of 1 to 19 digits"),
    (lambda: derive.common_session_key(KEY, bytes(7)), "diversifier", "8 bytes"),
    (lambda: derive.common_session_key(KEY + KEY, bytes(8)), "card key", "16 bytes"),
    (lambda: derive.mastercard_session_key(KEY, bytes(3), bytes(4)), "ATC", "2 bytes"),
    (lambda: derive.mastercard_session_key(KEY, bytes(2), bytes(3)), "unpredictable number", "4 bytes"),
    (lambda: derive.pboc_session_key(KEY, b""), "ATC", "2 bytes"),
    (lambda: derive.visa_script_key(KEY, None), "ATC", "2 bytes"),  # type: ignore[arg-type]
    (lambda: derive.tree_session_key(KEY, bytes(2), 8, 3), "tree", "branches ** height of 65535 or more"),
    (lambda: derive.tree_session_key(KEY, bytes(2), 10**9, 2), "tree", "branches ** height of 65535 or more"),
    (lambda: derive.tree_session_key(KEY, bytes(2), iv=b""), "initialisation vector", "16 bytes"),
]


@pytest.mark.parametrize(("work", "what", "expected"), BAD)
def test_an_input_of_the_wrong_shape_is_named(work: Callable[[], bytes], what: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        work()
    assert (caught.value.name, caught.value.expected) == (what, expected)
    assert KEY.hex() not in str(caught.value)
    assert "1234567890" not in str(caught.value)
