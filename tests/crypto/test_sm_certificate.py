"""SM2 certificates: one that OpenSSL made, our own, and what is damaged, expired or not trusted."""

from __future__ import annotations

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.core.errors import AuthenticityError, DecodeError, PaysimError, Unsupported, UsageError
from paysim.crypto import sm, sm_certificate, sm_der, sm_keys
from paysim.crypto.sm_certificate import Certificate

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "sm.json").read_text())["items"]
MADE_BY_OPENSSL = next(item for item in VECTORS if "cert_pem" in item)

ROOT_KEY, KEY = sm.PrivateKey(11), sm.PrivateKey(12)
START, NOW, END = (datetime(year, 1, 2, 3, 4, 5, tzinfo=UTC) for year in (2026, 2030, 2040))
SPAN: dict[str, datetime] = {"not_before": START, "not_after": END}
ROOT = sm_certificate.issue(
    {"C": "CN", "O": "支付", "CN": "Root"}, ROOT_KEY.public, ROOT_KEY, serial=1 << 150, authority=True, **SPAN
)
LEAF = sm_certificate.issue({"CN": "Leaf"}, KEY.public, ROOT_KEY, serial=0x0102, issuer=ROOT, **SPAN)


def test_the_one_that_openssl_made() -> None:
    found = sm_certificate.decode(MADE_BY_OPENSSL["cert_pem"])
    assert found.serial_hex == "7D3EABA468909F28DDC8FC893402F3AAE01BC507"
    assert found.subject.parts == (("C", "CN"), ("O", "paysim"), ("CN", "paysim SM2 test"))
    assert found.subject == found.issuer
    assert found.subject.common_name == "paysim SM2 test"
    assert found.authority
    assert found.not_before == datetime(2026, 11, 23, 11, 55, 15, tzinfo=UTC)
    assert found.not_after == datetime(2126, 10, 30, 11, 55, 15, tzinfo=UTC)
    key = sm_keys.decode_private(base64.b64decode(MADE_BY_OPENSSL["key_pkcs8_der_b64"]))
    assert found.key == key.public
    sm_certificate.verify(found, found, NOW)
    assert found.pem.decode() == MADE_BY_OPENSSL["cert_pem"]


def test_our_own_says_what_it_was_given() -> None:
    found = sm_certificate.decode(LEAF.der)
    assert found == LEAF
    assert (found.subject.text, found.issuer, found.key) == ("CN=Leaf", ROOT.subject, KEY.public)
    assert (found.serial_hex, found.authority, ROOT.authority) == ("0102", False, True)
    assert (found.not_before, found.not_after) == (START, END)
    assert repr(found) == "<sm_certificate.Certificate 0102 CN=Leaf>"
    assert sm_certificate.decode(LEAF.pem) == LEAF
    sm_certificate.verify(LEAF, ROOT, NOW)
    sm_certificate.verify(ROOT, ROOT, NOW)
    for edge in (START, END):
        sm_certificate.verify(LEAF, ROOT, edge)


UNTRUSTED = [
    ("expired", LEAF, ROOT, END + timedelta(seconds=1), "valid from 2026-01-02 to 2040-01-02"),
    ("not valid yet", LEAF, ROOT, START - timedelta(seconds=1), "valid from"),
    ("another issuer", ROOT, LEAF, NOW, "names .* as its issuer"),
    (
        "an issuer that is no authority",
        sm_certificate.issue({"CN": "Below"}, KEY.public, KEY, serial=3, issuer=LEAF, **SPAN),
        LEAF,
        NOW,
        "not an authority's",
    ),
    (
        "another key of the same name",
        LEAF,
        sm_certificate.issue(dict(ROOT.subject.parts), KEY.public, KEY, serial=5, authority=True, **SPAN),
        NOW,
        "not the key's",
    ),
    (
        "another id",
        sm_certificate.issue({"CN": "Leaf"}, KEY.public, ROOT_KEY, serial=9, issuer=ROOT, id=b"x", **SPAN),
        ROOT,
        NOW,
        "not the key's",
    ),
]


@pytest.mark.parametrize(
    ("certificate", "issuer", "now", "text"),
    [row[1:] for row in UNTRUSTED],
    ids=[row[0] for row in UNTRUSTED],
)
def test_what_is_not_to_be_trusted(
    certificate: Certificate, issuer: Certificate, now: datetime, text: str
) -> None:
    with pytest.raises(AuthenticityError, match=text):
        sm_certificate.verify(certificate, issuer, now)


def test_every_flipped_bit_is_refused() -> None:
    for bit in range(0, 8 * len(LEAF.der), 10 // count(10)):
        changed = bytearray(LEAF.der)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PaysimError):
            sm_certificate.verify(sm_certificate.decode(bytes(changed)), ROOT, NOW)


def test_every_cut_is_refused() -> None:
    for size in range(len(LEAF.der)):
        with pytest.raises(PaysimError):
            sm_certificate.decode(LEAF.der[:size])


@settings(max_examples=count(3000), deadline=None)
@given(st.data())
def test_a_damaged_certificate_ends_in_an_error_of_ours(data: st.DataObject) -> None:
    der = bytearray(LEAF.der)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(der) - 1))
        der[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        found = sm_certificate.decode(bytes(der))
    except PaysimError:
        return
    assert (found.der, found.serial_hex) >= (b"", "")
    if found.signed != LEAF.signed or found.signature != LEAF.signature:
        with pytest.raises(AuthenticityError):
            sm_certificate.verify_signature(found, ROOT.key)


def rebuilt(old: str, new: str) -> bytes:
    """LEAF with an equally long part replaced."""
    return bytes.fromhex(LEAF.der.hex().replace(old, new))


STRANGE: list[tuple[str, Any, type[PaysimError], str]] = [
    ("nothing", None, UsageError, "certificate"),
    (
        "a key",
        sm_keys.encode_public(KEY.public),
        UsageError,
        "certificate is wanted; this is: SM2 public key",
    ),
    ("too long", b"\x30" * 70_000, DecodeError, "at most 65536"),
    (
        "signed with ECDSA and SM3",
        rebuilt("2a811ccf55018375", "2a811ccf55018374"),
        Unsupported,
        "signed with SM2",
    ),
    ("month 13", rebuilt(b"260102030405Z".hex(), b"261302030405Z".hex()), DecodeError, "no such date"),
    ("a time in letters", rebuilt(b"260102030405Z".hex(), b"26010203040xZ".hex()), DecodeError, "YYMMDD"),
    ("a time without Z", rebuilt(b"260102030405Z".hex(), b"2601020304050".hex()), DecodeError, "YYMMDD"),
    ("version 1", rebuilt("a003020102", "a003020100"), DecodeError, "version 3"),
    ("serial number 0", rebuilt("02020102", "02020000"), DecodeError, "shortest form"),
    ("an extension twice", rebuilt("0603551d0f", "0603551d13"), DecodeError, "stands twice"),
    ("a name that is no text", rebuilt("0c044c656166", "04044c656166"), DecodeError, "no text"),
    ("a name that is no UTF-8", rebuilt("0c044c656166", "0c04ffffffff"), DecodeError, "not in its encoding"),
]


@pytest.mark.parametrize(
    ("data", "error", "text"), [row[1:] for row in STRANGE], ids=[row[0] for row in STRANGE]
)
def test_what_is_no_such_certificate(data: Any, error: type[PaysimError], text: str) -> None:
    assert data != LEAF.der
    with pytest.raises(error, match=text):
        sm_certificate.decode(data)


def test_an_rsa_certificate_is_named_as_not_ours() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "P-256")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(START).not_valid_after(END)
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    with pytest.raises(Unsupported, match=r"names 1\.2\.840\.10045\.4\.3\.2"):
        sm_certificate.decode(der)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no subject", {"subject": {}}, "one part or more"),
    ("an unknown part", {"subject": {"X": "y"}}, "'X' is wrong"),
    ("an empty part", {"subject": {"CN": ""}}, "1 to 64"),
    ("a long part", {"subject": {"CN": "x" * 65}}, "1 to 64"),
    ("no text", {"subject": {"CN": 5}}, "1 to 64"),
    ("half a character", {"subject": {"CN": "\ud800"}}, "surrogate"),
    ("a country's name", {"subject": {"C": "China"}}, "two letters"),
    ("serial 0", {"serial": 0}, "positive"),
    ("serial too long", {"serial": 1 << 159}, "159 bits"),
    ("serial as text", {"serial": "1"}, "positive"),
    ("no time zone", {"not_before": START.replace(tzinfo=None)}, "time zone"),
    ("backwards", {"not_after": START - timedelta(days=1)}, "in order"),
    (
        "beyond the calendar",
        {"not_after": datetime.max.replace(tzinfo=timezone(-timedelta(hours=9)))},
        "9999",
    ),
    ("another issuer's key", {"issuer_key": KEY}, "not the one of its certificate"),
]


@pytest.mark.parametrize(("change", "text"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_no_certificate_says_is_refused(change: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {
        "subject": {"CN": "x"},
        "key": KEY.public,
        "issuer_key": ROOT_KEY,
        "serial": 1,
        "issuer": ROOT,
        **SPAN,
    }
    with pytest.raises(UsageError, match=text):
        sm_certificate.issue(**(given | change))


@pytest.mark.parametrize("year", [1, 1949, 1950, 2049, 2050, 9999])
def test_times_of_every_century(year: int) -> None:
    moment = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    made = sm_certificate.issue({"CN": "x"}, KEY.public, KEY, serial=1, not_before=moment, not_after=moment)
    assert made.not_before == moment
    tags = {0x17: b"\x17\x0d", 0x18: b"\x18\x0f"}
    assert tags[0x17 if 1950 <= year < 2050 else 0x18] in made.der


def test_a_judge_needs_a_time_zone() -> None:
    with pytest.raises(UsageError, match="time zone"):
        sm_certificate.verify(LEAF, ROOT, NOW.replace(tzinfo=None))


def test_other_parts_keep_their_number() -> None:
    reader = sm_der.Reader(
        sm_der.sequence(
            sm_der.element(
                0x31, sm_der.sequence(sm_der.object_identifier("1.2.3"), sm_der.element(0x1E, b"\x65\x2f"))
            )
        )
    )
    assert sm_certificate._read_name(reader, "name").text == "1.2.3=支"


def _with(one: Certificate, oid: str, value: bytes, critical: bool) -> Certificate:
    others = tuple(each for each in one.extensions if each.oid != oid)
    extension = sm_certificate.Extension(oid, critical, value)
    return dataclasses.replace(one, extensions=(*others, extension))


@pytest.mark.parametrize("usage", ["03020780", "030204b0", "030100"])
def test_an_issuer_whose_key_may_not_sign_certificates_was_believed(usage: str) -> None:
    with pytest.raises(AuthenticityError, match="may not sign certificates"):
        sm_certificate.verify(LEAF, _with(ROOT, "2.5.29.15", bytes.fromhex(usage), True), NOW)
    with pytest.raises(DecodeError):
        sm_certificate.verify(LEAF, _with(ROOT, "2.5.29.15", b"\x30\x00", True), NOW)


@pytest.mark.parametrize("bound", [LEAF, ROOT])
def test_a_critical_extension_that_nobody_read_was_passed_over(bound: Certificate) -> None:
    names = "2.5.29.30"  # name constraints
    for critical in (False, True):
        changed = _with(bound, names, b"\x30\x00", critical)
        leaf, root = (changed, ROOT) if bound is LEAF else (LEAF, changed)
        if critical:
            with pytest.raises(AuthenticityError, match=f"bound by {names}, unknown here"):
                sm_certificate.verify(leaf, root, NOW)
        else:
            sm_certificate.verify(leaf, root, NOW)
