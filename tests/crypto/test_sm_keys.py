"""SM2 key files: known bytes both ways, and files that are cut, foreign, or contradict themselves."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.core.errors import AuthenticityError, DecodeError, PaysimError, Unsupported, UsageError
from paysim.crypto import sm, sm_der, sm_keys
from paysim.crypto.sm_curve import N

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "sm.json").read_text())["items"]
KNOWN = base64.b64decode(next(v["key_pkcs8_der_b64"] for v in VECTORS if "key_pkcs8_der_b64" in v))
KEY = sm.PrivateKey(0x075BCD15)
PKCS8 = sm_keys.encode_private(KEY)
SPKI = sm_keys.encode_public(KEY.public)

# `openssl pkey -in key.pem -traditional -outform DER`, OpenSSL 3.0.19
SEC1 = bytes.fromhex(
    "3077020101042000000000000000000000000000000000000000000000000000000000075bcd15a00a06082a811ccf5501822d"
    "a14403420004409d64aa3e6fbb4a2f9011801f7b2f27a530cd72e09bfe441656f9278439e8cea1331841aa5896e30880b88a96"
    "d96e38c5baceb75d208de1a045e0c109de1d7a"
)

NUMBER = (sm_der.integer(1), sm_der.octets(KEY.secret))
ALGORITHM = sm_der.sequence(
    sm_der.object_identifier(sm_keys.EC_OID), sm_der.object_identifier(sm_keys.CURVE_OID)
)
P256 = sm_der.sequence(
    sm_der.object_identifier(sm_keys.EC_OID), sm_der.object_identifier("1.2.840.10045.3.1.7")
)
ED25519 = sm_der.sequence(sm_der.object_identifier("1.3.101.112"))
CURVE = sm_der.element(0xA0, sm_der.object_identifier(sm_keys.CURVE_OID))
FOREIGN_CURVE = sm_der.element(0xA0, sm_der.object_identifier("1.2.840.10045.3.1.7"))
OTHERS_HALF = sm_der.element(0xA1, sm_der.bits(sm.PrivateKey(7).public.point))


def pkcs8(*number: bytes, version: int = 0, algorithm: bytes = ALGORITHM, behind: bytes = b"") -> bytes:
    inner = sm_der.octets(sm_der.sequence(*number))
    return sm_der.sequence(sm_der.integer(version), algorithm, inner, behind)


def test_what_openssl_wrote() -> None:
    key = sm_keys.decode_private(KNOWN)
    assert sm_keys.encode_private(key) == KNOWN
    assert sm_keys.decode_private(SEC1) == KEY
    assert sm_keys.encode_private(KEY, "sec1") == SEC1


@settings(max_examples=count(200), deadline=None)
@given(st.integers(1, N - 2))
def test_what_is_written_is_read(d: int) -> None:
    key = sm.PrivateKey(d)
    assert sm_keys.decode_private(sm_keys.encode_private(key)) == key
    assert sm_keys.decode_private(sm_keys.encode_private(key, "sec1")) == key
    assert sm_keys.decode_public(sm_keys.encode_public(key.public)) == key.public


READ = [
    ("no public half", pkcs8(*NUMBER)),
    ("curve inside as well", pkcs8(*NUMBER, CURVE)),
    ("attributes", pkcs8(*NUMBER, behind=sm_der.element(0xA0, b""))),
    (
        "version 1 and a public half",
        pkcs8(*NUMBER, version=1, behind=sm_der.element(0x81, b"\0" + KEY.public.point)),
    ),
    ("SEC 1 without public half", sm_der.sequence(*NUMBER, CURVE)),
]


@pytest.mark.parametrize("der", [row[1] for row in READ], ids=[row[0] for row in READ])
def test_other_lawful_files_are_read(der: bytes) -> None:
    assert sm_keys.decode_private(der) == KEY


REFUSED: list[tuple[str, Any, type[PaysimError]]] = [
    ("text", "key", UsageError),
    ("empty", b"", DecodeError),
    ("too long", b"\x30\x83\x01\x00\x00" + bytes(65_536), DecodeError),
    ("another algorithm", pkcs8(*NUMBER, algorithm=ED25519), Unsupported),
    ("another curve", pkcs8(*NUMBER, algorithm=P256), Unsupported),
    ("another curve inside", pkcs8(*NUMBER, FOREIGN_CURVE), Unsupported),
    ("SEC 1 of another curve", sm_der.sequence(*NUMBER, FOREIGN_CURVE), Unsupported),
    ("SEC 1 without curve", sm_der.sequence(*NUMBER), Unsupported),
    ("version 2", pkcs8(*NUMBER, version=2), DecodeError),
    ("inner version 2", pkcs8(sm_der.integer(2), NUMBER[1]), DecodeError),
    ("31 bytes", pkcs8(NUMBER[0], sm_der.octets(KEY.secret[1:])), DecodeError),
    ("zero", pkcs8(NUMBER[0], sm_der.octets(bytes(32))), DecodeError),
    ("n - 1", pkcs8(NUMBER[0], sm_der.octets((N - 1).to_bytes(32))), DecodeError),
    ("another key's public half", pkcs8(*NUMBER, OTHERS_HALF), AuthenticityError),
    ("another key's public half in SEC 1", sm_der.sequence(*NUMBER, CURVE, OTHERS_HALF), AuthenticityError),
    (
        "another key's public half outside",
        pkcs8(*NUMBER, version=1, behind=sm_der.element(0x81, b"\0" + sm.PrivateKey(7).public.point)),
        AuthenticityError,
    ),
    ("something behind the number", pkcs8(*NUMBER, sm_der.integer(5)), DecodeError),
    ("something behind", PKCS8 + b"\0", DecodeError),
]


@pytest.mark.parametrize(("der", "error"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_other_files_are_refused_by_name(der: Any, error: type[PaysimError]) -> None:
    with pytest.raises(error) as caught:
        sm_keys.decode_private(der)
    assert KEY.secret.hex() not in str(caught.value)
    assert "75bcd15" not in str(caught.value)


REFUSED_PUBLIC: list[tuple[str, Any, type[PaysimError]]] = [
    ("text", "key", UsageError),
    ("a private key", PKCS8, DecodeError),
    ("another curve", sm_der.sequence(P256, sm_der.bits(KEY.public.point)), Unsupported),
    ("compressed", sm_der.sequence(ALGORITHM, sm_der.bits(b"\2" + KEY.public.point[1:33])), Unsupported),
    ("64 bytes", sm_der.sequence(ALGORITHM, sm_der.bits(KEY.public.point[1:])), DecodeError),
    ("off the curve", sm_der.sequence(ALGORITHM, sm_der.bits(b"\4" + bytes(64))), DecodeError),
    ("something behind", SPKI + b"\0", DecodeError),
]


@pytest.mark.parametrize(
    ("der", "error"), [row[1:] for row in REFUSED_PUBLIC], ids=[row[0] for row in REFUSED_PUBLIC]
)
def test_other_public_files_are_refused_by_name(der: Any, error: type[PaysimError]) -> None:
    with pytest.raises(error):
        sm_keys.decode_public(der)


def test_every_cut_and_every_flipped_bit_of_a_file_is_refused() -> None:
    for whole, read in [
        (PKCS8, sm_keys.decode_private),
        (SEC1, sm_keys.decode_private),
        (SPKI, sm_keys.decode_public),
    ]:
        for size in range(len(whole)):
            with pytest.raises(PaysimError):
                read(whole[:size])
        version = 8 * whole.index(b"\2\1") + 16
        for bit in {*range(8 * len(whole))} - ({version} if whole is PKCS8 else set()):  # 0 and 1 are lawful
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(PaysimError):
                read(bytes(changed))


@settings(max_examples=count(2000), deadline=None)
@given(st.binary(max_size=150))
def test_garbage_ends_in_an_error_of_ours(data: bytes) -> None:
    for read in (sm_keys.decode_private, sm_keys.decode_public):
        with pytest.raises(PaysimError):
            read(data)
        with pytest.raises(PaysimError):
            read(sm_der.sequence(sm_der.integer(0), ALGORITHM, data))


@pytest.mark.parametrize("number", [-1, "5", None, 1.0, True])
def test_a_key_is_made_from_a_whole_number(number: Any) -> None:
    with pytest.raises(UsageError):
        sm_keys.private_from(number)
    with pytest.raises(UsageError, match="pkcs8 or sec1"):
        sm_keys.encode_private(KEY, number)


def test_a_large_number_gives_a_key_in_range() -> None:
    assert 1 <= sm_keys.private_from((1 << 512) - 1).d <= N - 2
    assert sm_keys.private_from(N - 3).d == N - 2
    assert sm_keys.private_from(N - 2).d == 1


def test_a_public_half_that_is_not_of_whole_bytes_was_taken() -> None:
    for head in (b"\x01", b"\xff"):
        der = pkcs8(*NUMBER, version=1, behind=sm_der.element(0x81, head + KEY.public.point))
        with pytest.raises(DecodeError, match="not of whole bytes"):
            sm_keys.decode_private(der)
