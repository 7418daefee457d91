"""Certificates of issuers and cards, and files of CA keys: issued, recovered, tampered with."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable
from typing import Any

import pytest
from emv_answers import known, name
from hypothesis import given
from hypothesis import strategies as st

from paysim.codec import tlv
from paysim.core.errors import AuthenticityError, DecodeError
from paysim.crypto import ca_keys, certificate, raw_rsa
from paysim.crypto.ca_keys import CaKey
from paysim.crypto.certificate import FAILURES, CertificateError, KeyCertificate
from paysim.crypto.inputs import InputError
from paysim.crypto.raw_rsa import RsaPrivate, RsaPublic

TODAY = datetime.date(2026, 11, 23)
EXPIRES = datetime.date(2031, 12, 1)
PAN = "4761739001010010"
RECORDS = b"the records of the card"
SERIAL = b"\x00\x00\x01"

generate = functools.cache(raw_rsa.generate)
"""One key of each size: keys take time."""


def chain() -> tuple[RsaPrivate, RsaPrivate, RsaPrivate]:
    """CA, issuer, card."""
    return generate(1408), generate(1152), generate(1024)


@functools.cache
def issuer_certificate() -> KeyCertificate:
    ca, issuer, _ = chain()
    return certificate.issue_issuer(ca, issuer.public, "476173", EXPIRES, SERIAL)


@functools.cache
def card_certificate() -> KeyCertificate:
    _, issuer, card = chain()
    return certificate.issue_card(issuer, card.public, PAN, EXPIRES, SERIAL, RECORDS)


def recover_issuer(made: KeyCertificate, **changed: Any) -> certificate.IssuerCertificate:
    given_values = {"ca": chain()[0].public, "pan": PAN, "on": TODAY} | changed
    return certificate.recover_issuer(certified=made, **given_values)


def recover_card(made: KeyCertificate, **changed: Any) -> certificate.CardCertificate:
    given_values = {"issuer": chain()[1].public, "pan": PAN, "static_data": RECORDS, "on": TODAY} | changed
    return certificate.recover_card(certified=made, **given_values)


# Published: a chain that another terminal program accepted. ----------------------------------------


def published_ca() -> tuple[dict[str, str], RsaPublic]:
    (vector,) = known("oda_ca_key")
    return vector, RsaPublic(int(vector["modulus"], 16), int(vector["exponent"], 16))


def record(text: str) -> dict[str, bytes]:
    return {f"{tag:X}": value for tag, value in tlv.decode(bytes.fromhex(text))}


def published_issuer(vector: dict[str, str]) -> RsaPublic:
    fields = record(vector["record_issuer_cert"])
    made = KeyCertificate(fields["90"], fields.get("92", b""), fields["9F32"])
    return certificate.recover_issuer(published_ca()[1], made, PAN, TODAY).key


def test_the_checksum_of_the_published_ca_key() -> None:
    vector, key = published_ca()
    ca = CaKey(bytes.fromhex(vector["rid"]), int(vector["index"], 16), key)
    assert ca.checksum.hex().upper() == vector["sha1_checksum"]


@pytest.mark.parametrize("vector", known("oda_sda", "oda_dda", "oda_cda"), ids=name)
def test_the_published_issuer_certificate_is_recovered(vector: dict[str, str]) -> None:
    ca, _ = published_ca()
    assert published_issuer(vector) == (int(ca["issuer_modulus"], 16), int(ca["issuer_exponent"], 16))


@pytest.mark.parametrize("vector", known("oda_dda", "oda_cda"), ids=name)
def test_the_published_card_certificate_is_recovered(vector: dict[str, str]) -> None:
    ca, _ = published_ca()
    fields = record(vector["record_icc_or_ssad"])
    made = KeyCertificate(fields["9F46"], fields.get("9F48", b""), fields["9F47"])
    static = bytes.fromhex(vector["static_data_to_be_authenticated"])
    found = certificate.recover_card(published_issuer(vector), made, PAN, static, TODAY)
    assert found.key == (int(ca["icc_modulus"], 16), int(ca["icc_exponent"], 16))
    with pytest.raises(CertificateError) as caught:
        certificate.recover_card(published_issuer(vector), made, PAN, static[:-1] + b"\xff", TODAY)
    assert caught.value.failure == "hash"


# Our own. -----------------------------------------------------------------------------------------

SIZES = [(1024, 1024, 1024), (1408, 1152, 1024), (1984, 1408, 1152), (1984, 1984, 1984), (1984, 1024, 1024)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("exponent", [3, 65537])
def test_a_chain_is_recovered(sizes: tuple[int, int, int], exponent: int) -> None:
    ca, issuer, card = (generate(size, exponent) for size in sizes)
    made = certificate.issue_issuer(ca, issuer.public, "476173", EXPIRES, SERIAL)
    found = certificate.recover_issuer(ca.public, made, PAN, TODAY)
    assert found == (issuer.public, "476173", datetime.date(2031, 12, 31), SERIAL)
    of_card = certificate.issue_card(issuer, card.public, PAN, EXPIRES, SERIAL, RECORDS)
    card_found = certificate.recover_card(found.key, of_card, PAN, RECORDS, TODAY)
    assert card_found == (card.public, PAN, datetime.date(2031, 12, 31), SERIAL)
    assert bool(made.remainder) == (issuer.public.size > ca.public.size - 36)
    assert bool(of_card.remainder) == (card.public.size > issuer.public.size - 42)


@pytest.mark.parametrize("identifier", ["476", "4761739", "47617390"])
def test_an_issuer_has_three_to_eight_digits(identifier: str) -> None:
    ca, issuer, _ = chain()
    made = certificate.issue_issuer(ca, issuer.public, identifier, EXPIRES, SERIAL)
    assert recover_issuer(made).identifier == identifier


@pytest.mark.parametrize("pan", ["1", "622800010000", "6228000100001234567"])
def test_a_card_has_up_to_19_digits(pan: str) -> None:
    _, issuer, card = chain()
    made = certificate.issue_card(issuer, card.public, pan, EXPIRES, SERIAL, RECORDS)
    assert recover_card(made, pan=pan).pan == pan


def test_a_certificate_is_good_through_the_last_day_of_its_month() -> None:
    assert recover_issuer(issuer_certificate(), on=datetime.date(2031, 12, 31))
    with pytest.raises(CertificateError) as caught:
        recover_issuer(issuer_certificate(), on=datetime.date(2032, 1, 1))
    assert caught.value.failure == "expired"


def sealed(kind: str, at: int, value: int, *, frame: bool = False) -> KeyCertificate:
    """A certificate with one octet of its data changed before it was signed; the hash is right, or
    (`frame`) the octet counts in the whole block and the hash is left as it was."""
    signer = chain()[0] if kind == "issuer" else chain()[1]
    made = issuer_certificate() if kind == "issuer" else card_certificate()
    block = bytearray(signer.public.recover(made.certificate))
    if frame:
        block[at] = value
        return made._replace(certificate=signer.sign(bytes(block)))
    body = block[1:-21]
    body[at] = value
    outside = made.remainder + made.exponent + (RECORDS if kind == "card" else b"")
    return made._replace(certificate=certificate.seal(signer, bytes(body), outside))


ISSUER_FAILURES: list[tuple[str, Callable[[], object]]] = [
    ("length", lambda: recover_issuer(issuer_certificate()._replace(certificate=b""))),
    ("length", lambda: recover_issuer(issuer_certificate(), ca=generate(1984).public)),
    ("trailer", lambda: recover_issuer(issuer_certificate()._replace(certificate=b"\xff" * 176))),
    ("trailer", lambda: recover_issuer(sealed("issuer", -1, 0xBD, frame=True))),
    ("header", lambda: recover_issuer(sealed("issuer", 0, 0x6B, frame=True))),
    ("format", lambda: recover_issuer(sealed("issuer", 0, 0x04))),
    ("hash_algorithm", lambda: recover_issuer(sealed("issuer", 10, 0x02))),
    ("hash", lambda: recover_issuer(issuer_certificate()._replace(remainder=b"\0" * 4))),
    ("hash", lambda: recover_issuer(issuer_certificate()._replace(exponent=b"\x01\x00\x01"))),
    ("hash", lambda: recover_issuer(sealed("issuer", 20, 0x00, frame=True))),
    ("identifier", lambda: recover_issuer(issuer_certificate(), pan="4761749001010010")),
    ("identifier", lambda: recover_issuer(sealed("issuer", 2, 0xFF))),
    ("expiry", lambda: recover_issuer(sealed("issuer", 5, 0x13))),
    ("expiry", lambda: recover_issuer(sealed("issuer", 6, 0xFF))),
    ("expired", lambda: recover_issuer(sealed("issuer", 6, 0x25))),
    (
        "revoked",
        lambda: recover_issuer(
            issuer_certificate(),
            rid=bytes.fromhex("A000000003"),
            index=0xF1,
            revoked={bytes.fromhex("A000000003F1") + SERIAL},
        ),
    ),
    ("key_algorithm", lambda: recover_issuer(sealed("issuer", 11, 0x02))),
    ("key_length", lambda: recover_issuer(sealed("issuer", 12, 248))),
    ("key_length", lambda: recover_issuer(sealed("issuer", 12, 64))),
    ("key_length", lambda: recover_issuer(sealed("issuer", 14, 0x00))),
    ("remainder", lambda: recover_issuer(sealed("issuer", 12, 145))),
    ("exponent", lambda: recover_issuer(sealed("issuer", 13, 2))),
]

CARD_FAILURES: list[tuple[str, Callable[[], object]]] = [
    ("length", lambda: recover_card(card_certificate(), issuer=generate(1408).public)),
    ("trailer", lambda: recover_card(sealed("card", -1, 0, frame=True))),
    ("header", lambda: recover_card(sealed("card", 0, 0, frame=True))),
    ("format", lambda: recover_card(sealed("card", 0, 0x02))),
    ("hash_algorithm", lambda: recover_card(sealed("card", 16, 0x00))),
    ("hash", lambda: recover_card(card_certificate(), static_data=RECORDS + b"\0")),
    ("pan", lambda: recover_card(card_certificate(), pan="4761739001010011")),
    ("pan", lambda: recover_card(card_certificate(), pan=PAN + "0")),
    ("expiry", lambda: recover_card(sealed("card", 11, 0x00))),
    ("expired", lambda: recover_card(card_certificate(), on=datetime.date(2032, 1, 1))),
    ("key_algorithm", lambda: recover_card(sealed("card", 17, 0x00))),
    ("key_length", lambda: recover_card(sealed("card", 18, 145))),
    ("remainder", lambda: recover_card(sealed("card", 18, 129))),
    ("exponent", lambda: recover_card(sealed("card", 19, 3))),
]


@pytest.mark.parametrize(("failure", "work"), [*ISSUER_FAILURES, *CARD_FAILURES])
def test_each_failure_is_named(failure: str, work: Callable[[], object]) -> None:
    with pytest.raises(CertificateError) as caught:
        work()
    assert caught.value.failure == failure
    assert str(caught.value) == FAILURES[failure]
    assert isinstance(caught.value, AuthenticityError)
    assert caught.value.source.startswith("EMV 4.4 Book 2")


def test_an_even_exponent_or_a_large_one_is_refused() -> None:
    ca, issuer, _ = chain()
    made = certificate.issue_issuer(ca, issuer.public._replace(exponent=5), "476173", EXPIRES, SERIAL)
    with pytest.raises(CertificateError) as caught:
        recover_issuer(made)
    assert caught.value.failure == "exponent"


@given(st.data())
def test_any_other_bit_of_a_certificate_is_refused(data: st.DataObject) -> None:
    made, recover = data.draw(
        st.sampled_from([(issuer_certificate(), recover_issuer), (card_certificate(), recover_card)])
    )
    field = data.draw(st.sampled_from([field for field in made._fields if getattr(made, field)]))
    value = bytearray(getattr(made, field))
    bit = data.draw(st.integers(min_value=0, max_value=8 * len(value) - 1))
    value[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CertificateError):
        recover(made._replace(**{field: bytes(value)}))


@given(st.integers(min_value=0, max_value=8 * len(RECORDS) - 1))
def test_any_other_bit_of_the_static_data_is_refused(bit: int) -> None:
    changed = bytearray(RECORDS)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CertificateError) as caught:
        recover_card(card_certificate(), static_data=bytes(changed))
    assert caught.value.failure == "hash"


@given(st.binary(min_size=176, max_size=176), st.binary(max_size=40), st.binary(max_size=4))
def test_any_octets_end_in_a_named_failure(octets: bytes, remainder: bytes, exponent: bytes) -> None:
    with pytest.raises(CertificateError):
        recover_issuer(KeyCertificate(octets, remainder, exponent))


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: raw_rsa.generate(1016), "key: expected 1024 to 1984 bits, a multiple of 8, got 1016 bits"),
    (lambda: raw_rsa.generate(1992), "key: expected 1024 to 1984 bits, a multiple of 8, got 1992 bits"),
    (lambda: raw_rsa.generate(1025), "key: expected 1024 to 1984 bits, a multiple of 8, got 1025 bits"),
    (lambda: raw_rsa.generate(1024, 17), "exponent: expected 3 or 65537, got 17"),
    (lambda: chain()[2].sign(bytes(127)), "block: expected 128 bytes, got 127 bytes"),
    (lambda: chain()[2].sign(b"\xff" * 128), "block: expected a number below the modulus"),
    (
        lambda: certificate.issue_issuer(chain()[2], chain()[1].public, "476173", EXPIRES, SERIAL),
        "key to certify: expected at most the signer's 1024 bits, got 1152 bits",
    ),
    (
        lambda: certificate.issue_issuer(chain()[0], chain()[1].public, "47", EXPIRES, SERIAL),
        "issuer identifier: expected text of 3 to 8 digits",
    ),
    (
        lambda: certificate.issue_issuer(chain()[0], chain()[1].public, "476173", EXPIRES, b"1"),
        "serial: expected 3 bytes, got 1 bytes",
    ),
    (lambda: recover_card(card_certificate(), static_data="records"), "static data: expected bytes, got"),
    (
        lambda: recover_issuer(issuer_certificate(), ca=RsaPublic(15, 3)),
        "RSA key: expected 1024 to 1984 bits",
    ),
    (lambda: recover_issuer(issuer_certificate(), pan="4761F"), "PAN: expected text of 1 to 19 digits"),
    (lambda: CaKey(b"1234", 1, chain()[0].public), "RID: expected 5 bytes, got 4 bytes"),
    (lambda: CaKey(b"12345", 256, chain()[0].public), "CA key index: expected 0 to 255, got 256"),
]


@pytest.mark.parametrize(("work", "text"), BAD)
def test_an_input_of_the_wrong_shape_is_named(work: Callable[[], object], text: str) -> None:
    with pytest.raises(InputError) as caught:
        work()
    assert text in str(caught.value)


def test_neither_key_nor_pan_is_shown() -> None:
    key = chain()[2]
    assert repr(key) == "RsaPrivate(1024 bits, ...)"
    assert PAN not in repr(recover_card(card_certificate()))


def test_a_signature_by_the_primes_is_the_plain_power() -> None:
    key = chain()[2]
    numbers = key.key.private_numbers()
    block = b"\x6a" + bytes(range(127))
    plain = pow(int.from_bytes(block), numbers.d, numbers.public_numbers.n)
    assert key.sign(block) == plain.to_bytes(128)


# Files of CA keys. ---------------------------------------------------------------------------------


def rows(**changed: Any) -> str:
    vector, _ = published_ca()
    row = {field: vector[field] for field in ("rid", "index", "modulus", "exponent")}
    row = {**row, "sha1": vector["sha1_checksum"], "expires": "2031-12"} | changed
    return json.dumps({"keys": [{field: value for field, value in row.items() if value is not None}]})


def test_a_file_of_keys_is_read_and_written() -> None:
    vector, key = published_ca()
    (read,) = ca_keys.decode_ca_keys(rows())
    assert read == CaKey(bytes.fromhex(vector["rid"]), 0xF1, key, datetime.date(2031, 12, 31))
    assert ca_keys.encode_ca_keys([read]) == rows()
    assert ca_keys.decode_ca_keys(rows(expires=None))[0].expires is None
    assert ca_keys.find_ca_key([read], read.rid, 0xF1) is read


@pytest.mark.parametrize(
    ("rid", "index", "failure"), [("A000000004", 0xF1, "rid"), ("A000000003", 0xF0, "ca_index")]
)
def test_a_key_that_is_not_there_is_named(rid: str, index: int, failure: str) -> None:
    with pytest.raises(CertificateError) as caught:
        ca_keys.find_ca_key(ca_keys.decode_ca_keys(rows()), bytes.fromhex(rid), index)
    assert caught.value.failure == failure


@pytest.mark.parametrize("changed", [{"rid": "A000000004"}, {"index": "F2"}, {"sha1": "00" * 20}])
def test_a_checksum_that_is_wrong_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(CertificateError) as caught:
        ca_keys.decode_ca_keys(rows(**changed))
    assert caught.value.failure == "checksum"


BAD_FILES = [
    ("", "", "no JSON"),
    ("{", "", "no JSON"),
    ("[" * 100_000, "", "no JSON"),
    ("9" * 10_000, "", "no JSON"),
    ("[]", "keys", "expected a list"),
    ('{"keys": {}}', "keys", "expected a list"),
    ('{"keys": [1]}', "keys[0]", "expected an object"),
    (rows(rid=None), "keys[0].rid", "hex of 5 bytes"),
    (rows(rid="A0000000"), "keys[0].rid", "hex of 5 bytes"),
    (rows(index=241), "keys[0].index", "hex of 1 bytes"),
    (rows(modulus="XY"), "keys[0].modulus", "hex of 1 to 248 bytes"),
    (rows(modulus="FF" * 249), "keys[0].modulus", "hex of 1 to 248 bytes"),
    (rows(modulus="FF" * 64), "keys[0]", "RSA key: expected 1024 to 1984 bits"),
    (rows(exponent="05"), "keys[0]", "exponent: expected 3 or 65537"),
    (rows(expires="2031-13"), "keys[0].expires", "month"),
    (rows(expires="0000-01"), "keys[0].expires", "month"),
    (rows(colour="red"), "keys[0].colour", "no such field"),
    (json.dumps({"keys": json.loads(rows())["keys"] * 2}), "keys[1].index", "twice"),
]


@pytest.mark.parametrize(("text", "path", "message"), BAD_FILES)
def test_a_file_that_is_wrong_is_named_with_its_place(text: str, path: str, message: str) -> None:
    with pytest.raises(DecodeError, match=message) as caught:
        ca_keys.decode_ca_keys(text)
    assert caught.value.path == path


def test_a_file_that_is_too_long_is_refused() -> None:
    with pytest.raises(InputError):
        ca_keys.decode_ca_keys(" " * 1_000_001)
