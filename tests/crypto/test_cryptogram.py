"""Application cryptograms, answers and issuer scripts, judged by published answers and by pyemv."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from counts import count
from emv_answers import Draw, draws, elements_of, known, name
from hypothesis import given
from hypothesis import strategies as st

from paysim.core.errors import ProtocolError, Unsupported
from paysim.crypto import cryptogram, derive
from paysim.crypto.cryptogram import METHODS, CardKey, ElementError
from paysim.crypto.inputs import InputError
from paysim.crypto.mac import mac_3
from paysim.crypto.triple_des import encrypt_ecb

QUIET = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
"""pyemv uses what `cryptography` has deprecated."""

IMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
PAN, PSN = "1234567890123456", "00"

PUBLISHED = {
    "visa-cvn10": "visa10",
    "visa-cvn18": "visa18",
    "visa-cvn22": "visa22",
    "mc-cvn16": "mchip16",
    "mc-cvn17": "mchip17",
    "mc-cvn20": "mchip20",
    "mc-cvn21": "mchip21",
}
PEERS = {
    "visa10": "VisaCVN10",
    "visa18": "VisaCVN18",
    "visa22": "VisaCVN22",
    "mchip16": "MasterCardCVN16",
    "mchip17": "MasterCardCVN17",
    "mchip20": "MasterCardCVN20",
    "mchip21": "MasterCardCVN21",
}
"""Method -> pyemv's class."""

ELEMENTS = {tag: bytes(size) for tag, size in cryptogram.LENGTHS.items()} | {"9F10": bytes(32)}


def issuer_data(extra: Mapping[str, str]) -> bytes:
    """9F10 of a published answer, which gives it whole or as results and counters."""
    if "tag_9f10" in extra:
        return bytes.fromhex(extra["tag_9f10"])
    if len(extra["cvr"]) == 8:
        return bytes.fromhex("06010A" + extra["cvr"])
    return bytes.fromhex("0110" + extra["cvr"] + "DAC1" + extra.get("counters", ""))


@pytest.mark.parametrize("vector", known("cvn"), ids=name)
def test_a_method_gives_the_published_cryptogram_and_answer(vector: Any) -> None:
    method, imk = PUBLISHED[vector["id"]], bytes.fromhex(vector["imk_ac"])
    elements = elements_of(vector["tags"]) | {"9F10": issuer_data(vector["extra"])}
    made = cryptogram.application_cryptogram(method, imk, vector["pan"], vector["psn"], elements)
    assert made == bytes.fromhex(vector["arqc"])
    answer = bytes.fromhex(vector["arpc_inputs"].get("arpc_rc") or vector["arpc_inputs"]["csu"])
    arpc = cryptogram.arpc(method, imk, vector["pan"], vector["psn"], elements, made, answer)
    assert arpc == bytes.fromhex(vector["arpc"])


def test_every_published_method_has_its_row() -> None:
    assert {vector["id"] for vector in known("cvn")} == set(PUBLISHED)


def fields(data: bytes, tags: tuple[str, ...]) -> dict[str, bytes]:
    """The elements of a published message, by the lengths of their tags."""
    found = {}
    for tag in tags:
        found[tag], data = data[: cryptogram.LENGTHS[tag]], data[cryptogram.LENGTHS[tag] :]
    return found


def test_the_pboc_example_from_the_issuers_key_on() -> None:
    (vector,) = [v for v in known("arqc") if v["id"] == "pboc-cvn01-arqc"]
    (answer,) = [v for v in known("arpc_method1") if v["id"] == "pboc-cvn01-arpc"]
    elements = fields(bytes.fromhex(vector["data"]), cryptogram.MINIMUM)
    elements["9F10"] = bytes.fromhex(vector["iad"])
    card = (bytes.fromhex(vector["imk"]), vector["pan"], vector["psn"])
    made = cryptogram.application_cryptogram("unionpay01", *card, elements)
    assert made.hex().upper() == vector["arqc"]
    arpc = cryptogram.arpc("unionpay01", *card, elements, made, bytes.fromhex(answer["arc"]))
    assert arpc.hex().upper() == answer["arpc"]


def test_visa_17_equals_what_was_computed_elsewhere() -> None:
    """No published answer: it stands here so that a change is noticed."""
    (vector,) = [v for v in known("arqc") if v["id"] == "visa-cvn17-self"]
    data = bytes.fromhex(vector["data"])
    elements = fields(data, cryptogram.QUICK) | {"9F10": bytes.fromhex("06011103") + data[-1:] + bytes(2)}
    made = cryptogram.application_cryptogram(
        "visa17", bytes.fromhex(vector["imk"]), vector["pan"], vector["psn"], elements
    )
    assert made.hex().upper() == vector["arqc"]


@pytest.mark.parametrize("vector", known("arqc"), ids=name)
def test_the_mac_of_a_published_message(vector: dict[str, str]) -> None:
    key = vector.get("session_key")
    session = (
        bytes.fromhex(key)
        if key
        else derive.card_key_a(bytes.fromhex(vector["imk"]), vector["pan"], vector["psn"])
    )
    padding = {"00": 1, "80": 2}[vector["padding"]]
    assert mac_3(session, bytes.fromhex(vector["data"]), padding).hex().upper() == vector["arqc"]


@pytest.mark.parametrize("vector", known("arpc_method1"), ids=name)
def test_a_published_answer_of_method_1(vector: dict[str, str]) -> None:
    key, made, code = (bytes.fromhex(vector[field]) for field in ("key", "arqc", "arc"))
    assert cryptogram.arpc_1(key, made, code).hex().upper() == vector["arpc"]


@pytest.mark.parametrize("vector", known("arpc_method2"), ids=name)
def test_a_published_answer_of_method_2(vector: dict[str, str]) -> None:
    key, made, status, more = (
        bytes.fromhex(vector[field]) for field in ("key", "arqc", "csu", "prop_auth_data")
    )
    assert cryptogram.arpc_2(key, made, status, more).hex().upper() == vector["arpc"]


def test_the_published_answers_to_one_cryptogram() -> None:
    (vector,) = [v for v in known("arqc") if v["id"] == "csk-arqc"]
    made, session = bytes.fromhex(vector["arqc"]), bytes.fromhex(vector["session_key"])
    card = derive.card_key_a(bytes.fromhex(vector["imk"]), vector["pan"], vector["psn"])
    answer = cryptogram.arpc_1(card, made, bytes(2))
    assert answer.hex().upper() == vector["arpc1_arc_0000_with_icc_mk"]
    answer = cryptogram.arpc_2(session, made, bytes(4), bytes.fromhex("1234567890ABCDEF"))
    assert answer.hex().upper() == vector["arpc2_csu_00000000_pad_1234567890ABCDEF"]


def test_what_a_published_cryptogram_signs() -> None:
    (vector,) = known("arqc_input")
    elements = elements_of(vector["tags"])
    card = CardKey("visa22", IMK)
    assert card.application_cryptogram(elements) == mac_3(
        card.session_key(elements), bytes.fromhex(vector["data"]), 2
    )


@pytest.mark.parametrize("vector", known("iad_parse"), ids=name)
def test_issuer_data_are_read_as_published(vector: dict[str, str]) -> None:
    method = {"10": "mchip16", "0A": "visa10", "22": "visa22"}[vector["cvn"]]
    read = cryptogram.issuer_data(method, bytes.fromhex(vector["iad"]))
    expected = (int(vector["dki"], 16), int(vector["cvn"], 16), bytes.fromhex(vector["cvr"]))
    assert read == expected
    assert read.version == METHODS[method].version


@pytest.mark.parametrize("vector", known("cvc3"), ids=name)
def test_a_published_dynamic_cvc(vector: dict[str, str]) -> None:
    key = derive.card_key_a(bytes.fromhex(vector["imk_cvc3"]), vector["pan"], vector["psn"])
    track, atc, unpredictable = (bytes.fromhex(vector[field]) for field in ("track", "atc", "un"))
    assert cryptogram.cvc3(key, track, atc, unpredictable) == int(vector["cvc3"])


def test_a_row_without_a_published_answer_says_so() -> None:
    without = set(METHODS) - set(PUBLISHED.values()) - {"unionpay01"}
    assert without == {"visa17", "unionpay17"}
    assert all(METHODS[method].note.startswith("Assumed:") for method in without)
    assert not any(METHODS[method].note.startswith("Assumed:") for method in set(METHODS) - without)


# Beside pyemv. ------------------------------------------------------------------------------------


def payment(draw: Draw, method: str) -> dict[str, bytes]:
    elements = {tag: draw.octets(size) for tag, size in cryptogram.LENGTHS.items()}
    least = {"mchip17": 18, "mchip21": 18, "visa22": 32}.get(method, 8)
    return elements | {"9F10": draw.octets(draw.number(least, 32))}


def given_to_pyemv(method: str, elements: Mapping[str, bytes]) -> dict[str, bytes]:
    given_elements = {f"tag_{tag.lower()}": elements[tag] for tag in cryptogram.MINIMUM}
    data = elements["9F10"]
    if method in {"visa18", "visa22"}:
        return given_elements | {"tag_9f10": data}
    if method == "visa10":
        return given_elements | {"cvr": data[3:7]}
    given_elements["cvr"] = data[2:8]
    return given_elements | ({"counters": data[10:18]} if method in {"mchip17", "mchip21"} else {})


@QUIET
@pytest.mark.parametrize("method", PEERS)
def test_a_method_equals_that_of_pyemv(method: str) -> None:
    pyemv = pytest.importorskip("pyemv")
    for draw in draws(method, count(2_000)):
        imk, smi, smc = draw.octets(16), draw.octets(16), draw.octets(16)
        pan, psn = draw.digits(12, 19), draw.digits(2, 2)
        elements = payment(draw, method)
        theirs = getattr(pyemv.cvn, PEERS[method])(imk, smi, smc, pan, psn)
        card = CardKey.of(method, imk, pan, psn)

        made = card.application_cryptogram(elements)
        assert made == theirs.generate_ac(**given_to_pyemv(method, elements))
        assert made == cryptogram.application_cryptogram(method, imk, pan, psn, elements)

        atc = {"tag_9f36": elements["9F36"]}
        if METHODS[method].arpc == (2, cryptogram.COMMON):
            answer, more = draw.octets(4), draw.octets(draw.number(0, 8))
            assert card.arpc(elements, made, answer, more) == theirs.generate_arpc(
                made, csu=answer, proprietary_auth_data=more, **atc
            )
        else:
            answer = draw.octets(2)
            if method in {"visa10", "mchip16", "mchip17"}:
                atc = {}
            assert card.arpc(elements, made, answer) == theirs.generate_arpc(made, arpc_rc=answer, **atc)

        elements["9F26"] = made
        header, data = draw.octets(5), draw.octets(draw.number(1, 40))
        integrity, secrecy = CardKey.of(method, smi, pan, psn), CardKey.of(method, smc, pan, psn)
        assert integrity.script_mac(elements, header, data) == theirs.generate_command_mac(
            header, made, elements["9F36"], data
        )
        by = elements["9F36"] if method in {"visa10", "visa18"} else made
        sealed = secrecy.script_encipher(elements, data)
        assert sealed == theirs.encrypt_command_data(data, by)
        assert secrecy.script_decipher(elements, sealed)[: len(data)] == data
        assert cryptogram.script_key(method, smc, pan, psn, elements) == secrecy.script_key(elements)


@QUIET
def test_answers_and_dynamic_cvcs_equal_those_of_pyemv() -> None:
    pyemv = pytest.importorskip("pyemv")
    for draw in draws("answers", count(2_000)):
        key, made, track = draw.octets(16), draw.octets(8), draw.octets(draw.number(1, 60))
        code, status, more = draw.octets(2), draw.octets(4), draw.octets(draw.number(0, 8))
        atc, unpredictable = draw.octets(2), draw.octets(4)
        assert cryptogram.arpc_1(key, made, code) == pyemv.ac.generate_arpc_1(key, made, code)
        assert cryptogram.arpc_2(key, made, status, more) == pyemv.ac.generate_arpc_2(key, made, status, more)
        theirs = pyemv.cvv.generate_cvc3(key, track, atc, unpredictable)
        assert cryptogram.cvc3(key, track, atc, unpredictable) == int(theirs)


# What is signed, and what is refused. -------------------------------------------------------------

SIGNED = [
    (method, tag, at)
    for method, row in METHODS.items()
    for tag in (*row.tags, "9F10")
    for at in (
        range(cryptogram.LENGTHS[tag])
        if tag != "9F10"
        else sorted({at for part in row.parts for at in range(32)[part]})
    )
]


@pytest.mark.parametrize("method", METHODS)
def test_every_bit_of_every_signed_element_counts(method: str) -> None:
    card = CardKey(method, IMK)
    seen = {card.application_cryptogram(ELEMENTS)}
    cases = [(tag, at) for of, tag, at in SIGNED if of == method]
    for tag, at in cases:
        for bit in range(8):
            changed = bytearray(ELEMENTS[tag])
            changed[at] ^= 1 << bit
            seen.add(card.application_cryptogram(ELEMENTS | {tag: bytes(changed)}))
    assert len(seen) == 1 + 8 * len(cases)


@given(st.sampled_from(sorted(METHODS)), st.integers(min_value=0, max_value=127))
def test_another_bit_of_the_key_is_another_cryptogram(method: str, bit: int) -> None:
    """But for the lowest bit of each byte, which is parity."""
    other = (int.from_bytes(IMK) ^ 1 << bit).to_bytes(16)
    same = CardKey(method, IMK).application_cryptogram(ELEMENTS)
    assert (CardKey(method, other).application_cryptogram(ELEMENTS) == same) == (bit % 8 == 0)


@pytest.mark.parametrize(("method", "tag"), [(m, t) for m in METHODS for t in (*METHODS[m].tags, "9F10")])
def test_an_element_that_is_missing_or_has_another_length_is_named(method: str, tag: str) -> None:
    card = CardKey(method, IMK)
    whole = ELEMENTS[tag]
    wrong: list[Any] = [None, b"", whole + b"\0", whole.hex()]
    for value in [*wrong, *([whole[:-1]] if tag != "9F10" else [whole[:4]])]:
        elements: dict[str, Any] = {**ELEMENTS, tag: value}
        if value is None:
            del elements[tag]
        with pytest.raises(ElementError) as caught:
            card.application_cryptogram(elements)
        assert caught.value.tag == tag
        assert tag in str(caught.value)
        if tag != "9F10":
            assert f"{len(whole)} bytes" in caught.value.expected


def test_two_wrong_lengths_that_make_a_right_one_are_noticed() -> None:
    elements = ELEMENTS | {"9F02": bytes(5), "9F03": bytes(7)}
    with pytest.raises(ElementError, match="9F02: expected 6 bytes, got 5 bytes"):
        CardKey("visa10", IMK).application_cryptogram(elements)


BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: CardKey("visa99", IMK), Unsupported, "no cryptogram method 'visa99'; there are visa10, "),
    (lambda: CardKey(None, IMK), Unsupported, "no cryptogram method None"),  # type: ignore[arg-type]
    (lambda: CardKey("visa10", IMK[:15]), InputError, "card key: expected 16 bytes, got 15 bytes"),
    (lambda: CardKey.of("visa10", IMK * 2, PAN, PSN), InputError, "issuer master key: expected 16 bytes"),
    (lambda: CardKey.of("visa10", IMK, "12x4", PSN), InputError, "PAN: expected text of 1 to 19 digits"),
    (lambda: CardKey.of("visa10", IMK, PAN, "0"), InputError, "PAN sequence number: expected text of 2"),
    (lambda: CardKey("visa10", IMK).application_cryptogram([]), InputError, "elements: expected a mapping"),  # type: ignore[arg-type]
    (lambda: CardKey("visa10", IMK).arpc({}, bytes(7), b"00"), InputError, "cryptogram: expected 8 bytes"),
    (lambda: CardKey("visa10", IMK).arpc({}, bytes(8), b"0"), InputError, "response code: expected 2 bytes"),
    (lambda: CardKey("visa10", IMK).arpc({}, bytes(8), b"00", b"1"), InputError, "none with method 1"),
    (lambda: CardKey("visa18", IMK).arpc({}, bytes(8), bytes(4)), ElementError, "9F36: expected 2 bytes"),
    (lambda: CardKey("visa18", IMK).arpc(ELEMENTS, bytes(8), b"00"), InputError, "card status update"),
    (lambda: CardKey("visa18", IMK).arpc(ELEMENTS, bytes(8), bytes(4), bytes(9)), InputError, "proprietary"),
    (lambda: CardKey("visa17", IMK).arpc(ELEMENTS, bytes(8), b"00"), Unsupported, "visa17 has no answer"),
    (lambda: CardKey("mchip16", IMK).script_key({"9F36": bytes(2)}), ElementError, "9F26: expected 8 bytes"),
    (lambda: CardKey("visa10", IMK).script_mac(ELEMENTS, bytes(4)), InputError, "command header"),
    (lambda: CardKey("visa10", IMK).script_mac(ELEMENTS, bytes(5), length=3), InputError, "MAC length"),
    (lambda: CardKey("visa10", IMK).script_encipher(ELEMENTS, b""), InputError, "script data"),
    (lambda: CardKey("visa10", IMK).script_encipher(ELEMENTS, bytes(241)), InputError, "script data"),
    (lambda: CardKey("visa10", IMK).script_decipher(ELEMENTS, bytes(9)), InputError, "whole blocks"),
    (lambda: CardKey("visa10", IMK).script_decipher(ELEMENTS, b""), ProtocolError, "length byte"),
    (lambda: cryptogram.issuer_data("visa10", bytes(6)), ElementError, "9F10: expected 7 to 32 bytes"),
    (lambda: cryptogram.issuer_data("visa10", bytes(33)), ElementError, "got 33 bytes"),
    (lambda: cryptogram.cvc3(IMK, b"", bytes(3), bytes(4)), InputError, "ATC"),
]


@pytest.mark.parametrize(("work", "error", "text"), BAD)
def test_bad_input_is_named(work: Callable[[], object], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        work()
    assert text in str(caught.value)
    assert IMK.hex() not in str(caught.value).lower()


def test_a_card_key_does_not_show_its_key() -> None:
    assert repr(CardKey("visa10", IMK)) == "CardKey('visa10', ...)"


def test_unionpay_scripts_are_undone_by_the_card() -> None:
    """Assumed data format; the MAC has four bytes."""
    card = CardKey("unionpay01", IMK)
    for size in (1, 7, 8, 15, 16, 240):
        sealed = card.script_encipher(ELEMENTS, bytes(range(size)))
        assert card.script_decipher(ELEMENTS, sealed) == bytes(range(size))
    assert len(card.script_mac(ELEMENTS, bytes(5))) == 4


@pytest.mark.parametrize("method", ["visa10", "visa22", "unionpay01"])
def test_script_data_with_a_wrong_padding_were_taken(method: str) -> None:
    card = CardKey(method, IMK)
    key = card.script_key(ELEMENTS)
    assert (
        card.script_decipher(ELEMENTS, encrypt_ecb(key, bytes.fromhex("03AABBCC80000000"))).hex() == "aabbcc"
    )
    for clear in ("03AABBCC00000000", "03AABBCC80000001", "03AABBCCDDEEFF00", "03AABBCC80000000" + "00" * 8):
        with pytest.raises(ProtocolError, match="no padding; another key"):
            card.script_decipher(ELEMENTS, encrypt_ecb(key, bytes.fromhex(clear)))


def test_an_element_error_crosses_to_another_process() -> None:
    error = ElementError("95", "5 bytes", "nothing")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == (str(error), vars(error))
