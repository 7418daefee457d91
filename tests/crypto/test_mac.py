"""MACs and the block ciphers below them, judged by published answers, Wycheproof, NIST's files and pyemv."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from counts import count
from emv_answers import VECTORS, draws, known, name
from hypothesis import given
from hypothesis import strategies as st

from paysim.core.errors import AuthenticityError
from paysim.crypto import derive, mac, triple_des
from paysim.crypto.inputs import InputError

QUIET = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
"""pyemv uses what `cryptography` has deprecated."""

KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


@pytest.mark.parametrize("vector", known("iso9797_1_alg3"), ids=name)
def test_a_retail_mac_is_the_published_one(vector: dict[str, str]) -> None:
    key = bytes.fromhex(vector["key1"] + vector["key2"])
    assert mac.mac_3(key, bytes.fromhex(vector["data"]), int(vector["padding_method"])) == bytes.fromhex(
        vector["mac"]
    )


@pytest.mark.parametrize("vector", known("script_mac"), ids=name)
def test_a_script_mac_is_the_published_one(vector: dict[str, str]) -> None:
    card = derive.card_key_a(bytes.fromhex(vector["imk_smi"]), vector["pan"], vector["psn"])
    key = derive.common_session_key(card, bytes.fromhex(vector["r"]))
    assert mac.mac_3(key, bytes.fromhex(vector["command"])) == bytes.fromhex(vector["mac"])


def test_cmac_answers_all_of_wycheproof() -> None:
    """Keys of other sizes are refused by name, and no case is left out."""
    content = json.loads((VECTORS / "wycheproof" / "aes_cmac_test.json").read_text(encoding="utf-8"))
    seen = 0
    for group in content["testGroups"]:
        for case in group["tests"]:
            seen += 1
            key, message = bytes.fromhex(case["key"]), bytes.fromhex(case["msg"])
            if group["keySize"] not in (128, 192, 256):
                assert case["result"] == "invalid"
                with pytest.raises(InputError):
                    mac.cmac(key, message)
                continue
            ours = mac.cmac(key, message, group["tagSize"] // 8)
            if case["result"] == "valid":
                mac.verify(ours, bytes.fromhex(case["tag"]))
            else:
                with pytest.raises(AuthenticityError):
                    mac.verify(ours, bytes.fromhex(case["tag"]))
    assert seen == content["numberOfTests"] == 311


def nist(mode: str) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """(key, initialisation vector, clear, enciphered) of NIST's triple DES files."""
    package = pytest.importorskip("cryptography_vectors")
    for file in sorted((Path(package.__file__).parent / "ciphers" / "3DES" / mode).glob("*.rsp")):
        if "CBCI" in file.name:
            continue  # interleaved: three chains at once, which nothing here does
        for block in file.read_text(encoding="ascii").split("\n\n"):
            lines = (line.partition(" = ") for line in block.splitlines() if " = " in line)
            case = {field.strip(): value.strip() for field, _, value in lines}
            if "CIPHERTEXT" in case:
                key = case.get("KEYs") or case["KEY1"] + case["KEY2"] + case["KEY3"]
                yield tuple(  # type: ignore[misc]
                    bytes.fromhex(text)
                    for text in (key, case.get("IV", ""), case["PLAINTEXT"], case["CIPHERTEXT"])
                )


def test_triple_des_ecb_answers_all_of_nist() -> None:
    seen = 0
    for key, _, clear, sealed in nist("ECB"):
        seen += 1
        assert triple_des.encrypt_ecb(key, clear) == sealed
        assert triple_des.decrypt_ecb(key, sealed) == clear
        if len(clear) == 8:
            assert triple_des.kept(key)(clear) == sealed
    assert seen > 500


def test_triple_des_cbc_answers_all_of_nist() -> None:
    seen = 0
    for key, iv, clear, sealed in nist("CBC"):
        seen += 1
        assert triple_des.encrypt_cbc(key, clear, iv) == sealed
        assert triple_des.decrypt_cbc(key, sealed, iv) == clear
    assert seen > 500


@QUIET
def test_macs_and_padding_equal_those_of_pyemv() -> None:
    pyemv = pytest.importorskip("pyemv")
    for draw in draws("mac", count(2_000)):
        key, data = draw.octets(16), draw.octets(draw.number(0, 80))
        padding, length = draw.number(1, 2), draw.number(4, 8)
        theirs = pyemv.mac.mac_iso9797_3(key[:8], key[8:], data, padding, length)
        assert mac.mac_3(key, data, padding, length) == theirs
        assert mac.pad(data, 1) == pyemv.mac.pad_iso9797_1(data)
        assert mac.pad(data, 2) == pyemv.mac.pad_iso9797_2(data)
        assert (
            mac.mac_1(key, data, padding)
            == pyemv.tools.encrypt_tdes_cbc(key, bytes(8), mac.pad(data, padding))[-8:]
        )
        assert pyemv.sm.generate_command_mac(key, data) == mac.mac_3(key, data)
        theirs = pyemv.ac.generate_ac(key, data, pyemv.ac.PaddingType(padding))
        assert mac.mac_3(key, data, padding) == theirs
        blocks = mac.pad(data, 2)
        assert triple_des.encrypt_ecb(key, blocks) == pyemv.tools.encrypt_tdes_ecb(key, blocks)


def test_algorithms_1_and_3_agree_where_both_halves_of_the_key_are_equal() -> None:
    half = KEY[:8]
    for size in range(40):
        assert mac.mac_3(half + half, bytes(size)) == mac.mac_1(half, bytes(size))


@given(st.binary(max_size=60), st.integers(min_value=0), st.sampled_from([1, 2]))
def test_any_other_bit_of_the_message_is_another_mac(data: bytes, bit: int, padding: int) -> None:
    """Under one key; two messages that padding method 1 makes equal are of different lengths."""
    if not data:
        return
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    expected = mac.mac_3(KEY, data, padding)
    with pytest.raises(AuthenticityError):
        mac.verify(expected, mac.mac_3(KEY, bytes(changed), padding))


@given(st.integers(min_value=0, max_value=63))
def test_any_other_bit_of_the_mac_is_refused(bit: int) -> None:
    expected = mac.mac_3(KEY, b"hello")
    wrong = (int.from_bytes(expected) ^ 1 << bit).to_bytes(8)
    with pytest.raises(AuthenticityError):
        mac.verify(expected, wrong)
    mac.verify(expected, expected)


def test_a_mac_of_another_length_is_refused() -> None:
    expected = mac.mac_3(KEY, b"hello")
    with pytest.raises(AuthenticityError, match="4 bytes for 8"):
        mac.verify(expected, expected[:4])


BAD = [
    (lambda: mac.mac_3(KEY[:8], b""), "MAC key"),
    (lambda: mac.mac_3(KEY + KEY[:8], b""), "MAC key"),
    (lambda: mac.mac_3(KEY, "text"), "MAC data"),  # type: ignore[arg-type]
    (lambda: mac.mac_3(KEY, b"", 3), "padding method"),
    (lambda: mac.mac_3(KEY, b"", 0), "padding method"),
    (lambda: mac.mac_3(KEY, b"", 2, 3), "MAC length"),
    (lambda: mac.mac_3(KEY, b"", 2, 9), "MAC length"),
    (lambda: mac.mac_1(b"", b""), "triple DES key"),
    (lambda: mac.mac_1(KEY, b"", 2, 0), "MAC length"),
    (lambda: mac.cmac(KEY[:15], b""), "CMAC key"),
    (lambda: mac.cmac(KEY, None), "CMAC data"),  # type: ignore[arg-type]
    (lambda: mac.cmac(KEY, b"", 17), "MAC length"),
    (lambda: mac.verify(bytes(8), "text"), "MAC"),  # type: ignore[arg-type]
    (lambda: triple_des.encrypt_ecb(KEY, bytes(7)), "triple DES data"),
    (lambda: triple_des.encrypt_ecb(KEY[:9], bytes(8)), "triple DES key"),
    (lambda: triple_des.decrypt_cbc(KEY, bytes(8), bytes(7)), "initialisation vector"),
    (lambda: triple_des.encrypt_cbc(KEY, bytes(8), b"1"), "initialisation vector"),
]


@pytest.mark.parametrize(("work", "what"), BAD)
def test_an_input_of_the_wrong_shape_is_named(work: Callable[[], object], what: str) -> None:
    with pytest.raises(InputError) as caught:
        work()
    assert caught.value.name == what


def test_many_threads_may_share_a_kept_context() -> None:
    from concurrent.futures import ThreadPoolExecutor

    enciphered = triple_des.kept(KEY)(b"12345678")
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(lambda _: triple_des.kept(KEY)(b"12345678"), range(2_000))
        assert set(answers) == {enciphered}
