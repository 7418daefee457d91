"""Signatures of cards: made, verified, tampered with, each failure named."""

from __future__ import annotations

import datetime
import functools
import pickle
from collections.abc import Callable
from hashlib import sha1
from typing import Any

import pytest
from emv_answers import known
from hypothesis import given
from hypothesis import strategies as st

from paysim.codec import tlv
from paysim.crypto import oda, raw_rsa
from paysim.crypto.certificate import CertificateError, KeyCertificate, recover_card, recover_issuer, seal
from paysim.crypto.inputs import InputError
from paysim.crypto.raw_rsa import RsaPrivate, RsaPublic

TODAY = datetime.date(2026, 11, 23)
RECORDS = b"the records of the card"
NUMBER = b"\x00\x1c\x01"
CHALLENGE = b"\x01\x02\x03\x04"
AC = b"\xac" * 8
TRANSACTION = b"PDOL, CDOL1 and the answer"
RELAY = bytes(range(14))
TAP = {
    "9F37": CHALLENGE,
    "9F02": bytes.fromhex("000000000990"),
    "5F2A": bytes.fromhex("0156"),
    "9F69": bytes.fromhex("01112233440080"),
}


@functools.cache
def key() -> RsaPrivate:
    return raw_rsa.generate(1024)


@functools.cache
def signed(kind: str) -> bytes:
    if kind == "static":
        return oda.sign_static(key(), b"\xda\xc1", RECORDS)
    if kind == "dynamic":
        return oda.sign_dynamic(key(), NUMBER, CHALLENGE)
    if kind == "fast":
        return oda.sign_fast(key(), NUMBER, TAP)
    return oda.sign_combined(key(), NUMBER, 0x80, AC, TRANSACTION, CHALLENGE, RELAY)


def verify(kind: str, signature: bytes, **changed: Any) -> Any:
    card: RsaPublic = changed.get("key", key().public)
    if kind == "static":
        return oda.verify_static(card, signature, changed.get("data", RECORDS))
    if kind == "dynamic":
        return oda.verify_dynamic(card, signature, changed.get("data", CHALLENGE))
    if kind == "fast":
        return oda.verify_fast(card, signature, TAP | changed.get("tap", {}))
    given_values = {"information": 0x80, "transaction": TRANSACTION, "unpredictable": CHALLENGE} | changed
    return oda.verify_combined(card, signature, **given_values)


ANSWERS = {
    "static": b"\xda\xc1",
    "dynamic": NUMBER,
    "fast": NUMBER,
    "combined": oda.Combined(NUMBER, 0x80, AC, RELAY),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_signature_says_what_was_signed(kind: str) -> None:
    assert verify(kind, signed(kind)) == ANSWERS[kind]


@given(st.sampled_from(sorted(ANSWERS)), st.integers(min_value=0, max_value=1023))
def test_any_other_bit_of_a_signature_is_refused(kind: str, bit: int) -> None:
    wrong = (int.from_bytes(signed(kind)) ^ 1 << bit).to_bytes(128)
    with pytest.raises(CertificateError):
        verify(kind, wrong)


@given(st.sampled_from(["9F37", "9F02", "5F2A", "9F69"]), st.integers(min_value=0))
def test_any_other_bit_of_a_tap_is_refused(tag: str, bit: int) -> None:
    changed = bytearray(TAP[tag])
    changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    with pytest.raises(CertificateError) as caught:
        verify("fast", signed("fast"), tap={tag: bytes(changed)})
    assert caught.value.failure in {"hash", "version"}


def made(
    form: int, data: bytes, outside: bytes = CHALLENGE, *, size: int | None = None, by: int = 1
) -> bytes:
    """A signature with any data inside, their length as told."""
    head = bytes([form, by, len(data) if size is None else size]) + data
    return seal(key(), head.ljust(106, b"\xbb"), outside)


def combined(data: bytes) -> bytes:
    return made(0x05, data)


DIGEST = sha1(TRANSACTION).digest()

FAILURES: list[tuple[str, Callable[[], object]]] = [
    ("length", lambda: verify("static", bytes(127))),
    ("length", lambda: verify("dynamic", signed("dynamic"), key=raw_rsa.generate(1152).public)),
    ("trailer", lambda: verify("dynamic", b"\xff" * 128)),
    ("trailer", lambda: verify("static", key().sign(b"\x6a" + bytes(127)))),
    ("header", lambda: verify("static", key().sign(bytes(127) + b"\xbc"))),
    ("format", lambda: verify("static", signed("dynamic"))),
    ("format", lambda: verify("dynamic", signed("static"))),
    ("format", lambda: verify("fast", oda.sign_fast(key(), NUMBER, TAP, online=True))),
    ("hash_algorithm", lambda: verify("dynamic", made(0x05, b"\x02AB", by=2))),
    ("hash", lambda: verify("static", signed("static"), data=RECORDS[1:])),
    ("hash", lambda: verify("dynamic", signed("dynamic"), data=b"")),
    ("hash", lambda: verify("combined", signed("combined"), unpredictable=bytes(4))),
    ("dynamic_data", lambda: verify("dynamic", made(0x05, b"\x02AB", size=200))),
    ("dynamic_data", lambda: verify("dynamic", made(0x05, b""))),
    ("dynamic_data", lambda: verify("dynamic", made(0x05, b"\x01A"))),
    ("dynamic_data", lambda: verify("dynamic", made(0x05, b"\x09" + bytes(9)))),
    ("dynamic_data", lambda: verify("dynamic", made(0x05, b"\x04AB"))),
    ("dynamic_data", lambda: verify("combined", combined(b"\x02AB"))),
    ("dynamic_data", lambda: verify("combined", combined(b"\x02AB\x80" + AC + DIGEST + b"1"))),
    ("cryptogram_information", lambda: verify("combined", signed("combined"), information=0x40)),
    ("transaction_hash", lambda: verify("combined", signed("combined"), transaction=b"another")),
    ("version", lambda: verify("fast", signed("fast"), tap={"9F69": bytes(7)})),
    ("version", lambda: verify("fast", signed("fast"), tap={"9F69": b""})),
    ("version", lambda: verify("fast", signed("fast"), tap={"9F69": b"\x01" * 17})),
    ("version", lambda: verify("fast", signed("fast"), tap={"9F69": b"\x02" + bytes(6)})),
]


@pytest.mark.parametrize(("failure", "work"), FAILURES)
def test_each_failure_is_named(failure: str, work: Callable[[], object]) -> None:
    with pytest.raises(CertificateError) as caught:
        work()
    assert caught.value.failure == failure


def test_a_tap_for_online_has_a_format_of_its_own() -> None:
    signature = oda.sign_fast(key(), NUMBER, TAP, online=True)
    assert oda.verify_fast(key().public, signature, TAP, online=True) == NUMBER


def test_version_00_signs_the_unpredictable_number_alone() -> None:
    tap = TAP | {"9F69": bytes(7)}
    signature = oda.sign_fast(key(), NUMBER, tap)
    assert oda.verify_fast(key().public, signature, tap | {"9F02": bytes(6)}, versions=(0, 1)) == NUMBER
    with pytest.raises(CertificateError) as caught:
        oda.verify_fast(key().public, signature, tap)
    assert caught.value.failure == "version"


# Published: a chain that another terminal program accepted. ----------------------------------------


def published(kind: str) -> tuple[Any, RsaPublic, dict[str, bytes], bytes]:
    """The vector, the issuer's key, the card's record, the static data."""
    (ca,) = known("oda_ca_key")
    (vector,) = known(kind)
    of_issuer, of_card = (
        {f"{tag:X}": value for tag, value in tlv.decode(bytes.fromhex(vector[field]))}
        for field in ("record_issuer_cert", "record_icc_or_ssad")
    )
    certified = KeyCertificate(of_issuer["90"], of_issuer.get("92", b""), of_issuer["9F32"])
    public = RsaPublic(int(ca["modulus"], 16), int(ca["exponent"], 16))
    issuer = recover_issuer(public, certified, "4761739001010010", TODAY).key
    return vector, issuer, of_card, bytes.fromhex(vector["static_data_to_be_authenticated"])


def test_the_published_static_signature() -> None:
    _, issuer, record, static = published("oda_sda")
    assert len(oda.verify_static(issuer, record["93"], static)) == 2
    with pytest.raises(CertificateError):
        oda.verify_static(issuer, record["93"], static[:-1] + b"\0\0")


def test_the_published_combined_signature() -> None:
    vector, issuer, record, static = published("oda_cda")
    certified = KeyCertificate(record["9F46"], record.get("9F48", b""), record["9F47"])
    card = recover_card(issuer, certified, "4761739001010010", static, TODAY).key
    dols = bytes.fromhex(vector["pdol"] + vector["cdol1"])
    transaction = oda.transaction_data(dols, bytes.fromhex(vector["response"]))
    assert sha1(transaction).hexdigest().upper() == vector["tdhc"]
    found = oda.verify_combined(
        card, bytes.fromhex(vector["tag9F4B"]), int(vector["cid"], 16), transaction, dols[:4]
    )
    assert found.information == int(vector["cid"], 16)
    assert (len(found.cryptogram), found.relay) == (8, b"")


def test_whatever_follows_the_answer_is_part_of_the_transaction_hash() -> None:
    """Octets behind the last object, or one that is cut, do not slip past the signature."""
    response = bytes.fromhex("9F2701809F4B02FFFF")
    assert oda.transaction_data(b"D", response + b"\x9f") == b"D" + response[:4] + b"\x9f"


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: oda.sign_static(key(), b"1", RECORDS), "data authentication code"),
    (lambda: oda.sign_dynamic(key(), b"1", CHALLENGE), "dynamic number"),
    (lambda: oda.sign_dynamic(key(), bytes(9), CHALLENGE), "dynamic number"),
    (lambda: oda.sign_dynamic(key(), NUMBER, "text"), "terminal data"),  # type: ignore[arg-type]
    (lambda: oda.sign_combined(key(), NUMBER, 256, AC, b"", CHALLENGE), "cryptogram information"),
    (lambda: oda.sign_combined(key(), NUMBER, 0, bytes(7), b"", CHALLENGE), "cryptogram"),
    (lambda: oda.sign_combined(key(), NUMBER, 0, AC, b"", bytes(3)), "unpredictable number"),
    (lambda: oda.sign_combined(key(), NUMBER, 0, AC, b"", CHALLENGE, bytes(4)), "relay data"),
    (lambda: oda.sign_fast(key(), NUMBER, {**TAP, "9F02": bytes(5)}), "9F02"),
    (lambda: oda.sign_fast(key(), NUMBER, {"9F69": TAP["9F69"]}), "9F37"),
    (lambda: oda.verify_static(key().public, "text", RECORDS), "signed data"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("work", "what"), BAD)
def test_an_input_of_the_wrong_shape_is_named(work: Callable[[], object], what: str) -> None:
    with pytest.raises(InputError) as caught:
        work()
    assert caught.value.name == what


def test_an_error_that_crosses_to_another_process_broke_the_pool_of_workers() -> None:
    for error in (CertificateError("pan", "a source"), InputError("key", "16 bytes", "8 bytes")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
