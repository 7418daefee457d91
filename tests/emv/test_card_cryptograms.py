"""Cryptograms of our cards, judged by pyemv and by DES written out here, over random payments."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest
from counts import count
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from emv_answers import Draw, draws
from emv_cards import IMK, PSN, card, objects, offered, profile

from paysim.crypto.cryptogram import CardKey, issuer_data

METHODS = {
    "unionpay": "unionpay01",
    "unionpay-ecash": "unionpay17",
    "visa": "visa17",
    "visa-online": "visa17",
}

ISSUER_DATA = {"visa17": ("06011103", 7), "unionpay01": ("07010103", 8), "unionpay17": ("07011103", 19)}
"""How 9F10 starts, and its length; the e-cash card adds its balance."""

pytestmark = pytest.mark.filterwarnings(
    "ignore::cryptography.utils.CryptographyDeprecationWarning"
)  # pyemv's DES


def pyemv(name: str) -> Any:
    try:
        return importlib.import_module(f"pyemv.{name}")
    except ImportError:
        if os.environ.get("PAYSIM_ALL") == "1":
            raise
        pytest.skip("pyemv is not installed")


def reader(draw: Draw) -> tuple[int, dict[int, str]]:
    amount = draw.number(0, 1200) if draw.number(0, 1) else draw.number(0, 999_999_999_999)
    fields = {0x9F03: "000000000000", 0x9F1A: "0156", 0x95: draw.octets(5).hex(), 0x9A: "261127"}
    fields |= {0x5F2A: ("0156", "0978")[draw.number(0, 1)], 0x9C: "00", 0x9F37: draw.octets(4).hex()}
    return amount, fields


def encrypt(key: bytes, data: bytes) -> bytes:
    box = Cipher(TripleDES(key + key[:8]), modes.ECB()).encryptor()
    return box.update(data) + box.finalize()


def peers_cryptogram(
    name: str, pan: str, answer: dict[int, bytes], amount: int, fields: dict[int, str]
) -> bytes:
    """The cryptogram by pyemv: its card key and its MAC; PBOC's session key, which it has not, by DES."""
    kd, ac = pyemv("kd"), pyemv("ac")
    key = kd.derive_icc_mk_a(IMK, pan, PSN)
    atc, iad = answer[0x9F36], answer[0x9F10]
    values = {tag: bytes.fromhex(value) for tag, value in fields.items()}
    quick = bytes.fromhex(f"{amount:012}") + values[0x9F37] + atc + iad[4:5]
    whole = bytes.fromhex(f"{amount:012}") + b"".join(values[tag] for tag in (0x9F03, 0x9F1A, 0x95, 0x5F2A))
    whole += values[0x9A] + values[0x9C] + values[0x9F37] + answer[0x82] + atc + iad[3:7]
    if METHODS[name] == "visa17":
        return bytes(ac.generate_ac(key, quick, ac.PaddingType.VISA))
    inverse = bytes(255 - byte for byte in atc)
    session = encrypt(key, bytes(6) + atc + bytes(6) + inverse)
    return bytes(ac.generate_ac(session, whole if name == "unionpay" else quick, ac.PaddingType.EMV))


@pytest.mark.parametrize("name", METHODS)
def test_pyemv_makes_the_same_cryptogram(name: str) -> None:
    tapper = card(name)
    assert tapper.made.profile.method == METHODS[name]
    for draw in draws(f"cryptogram-{name}", count(2_000)):
        amount, fields = reader(draw)
        ttq = ("26004080", "28000080", "26804000")[draw.number(0, 2)]
        response = offered(tapper, amount, ttq, fields)
        if not response.ok:  # no CVM that both have
            assert response.sw == 0x6985
            continue
        answer = objects(response)
        assert answer[0x9F26] == peers_cryptogram(name, tapper.made.pan, answer, amount, fields)


@pytest.mark.parametrize("name", METHODS)
def test_the_issuer_finds_the_same_from_the_answer_alone(name: str) -> None:
    tapper = card(name)
    answer = {f"{tag:02X}": value for tag, value in objects(offered(tapper, 1000)).items()}
    sent = {"9F02": "000000001000", "9F03": "000000000000", "9F1A": "0156", "95": "0000000000"}
    sent |= {"5F2A": "0156", "9A": "261127", "9C": "00", "9F37": "01020304"}
    elements = {tag: bytes.fromhex(value) for tag, value in sent.items()} | answer
    key = CardKey.of(METHODS[name], IMK, tapper.made.pan, PSN)
    assert key.application_cryptogram(elements) == answer["9F26"]
    head, length = ISSUER_DATA[METHODS[name]]
    assert (answer["9F10"][:4].hex(), len(answer["9F10"])) == (head, length)
    told = issuer_data(METHODS[name], answer["9F10"])
    assert (told.key_index, told.version) == (1, key.method.version)
    assert told.results[1] >> 4 & 3 == answer["9F27"][0] >> 6 & 3


def test_the_balance_in_the_issuers_data_has_its_mac() -> None:
    """07 DKI CVN 03 CVR alg, 0A 01 balance 5, MAC 4 over ATC, balance, 00 under the session key."""
    tapper = card("unionpay-ecash")
    answer = objects(offered(tapper, 990))
    iad, atc = answer[0x9F10], answer[0x9F36]
    assert iad[:15].hex() == "07011103900000010a010000009010"
    key = pyemv("kd").derive_icc_mk_a(IMK, tapper.made.pan, PSN)
    session = encrypt(key, bytes(6) + atc + bytes(6) + bytes(255 - byte for byte in atc))
    ac = pyemv("ac")
    assert iad[15:] == ac.generate_ac(session, atc + iad[10:15] + b"\x00", ac.PaddingType.EMV)[:4]
    assert len(objects(offered(card(profile("unionpay-ecash", balance_in_iad=False)), 990))[0x9F10]) == 8
