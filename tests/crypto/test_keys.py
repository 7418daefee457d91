"""Keys in and out of every form, judged by the openssl command; bad input says what was wanted."""

from __future__ import annotations

import base64
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.core.errors import AuthenticityError, DecodeError, PaysimError, Unsupported, UsageError
from paysim.crypto import armour, keys, sm_der
from paysim.crypto.keys import Bundle, PrivateKey, SymmetricKey

PASSWORD = "correct horse"


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True)
    return done.stdout


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-3072", "p-256", "sm2"])
def test_a_minted_pair_comes_back_from_every_form(kind: keys.PairKind) -> None:
    key = keys.mint(kind)
    assert key.kind == kind
    forms = [key.pem(), key.der(), key.pem(form="pkcs1"), key.der(form="pkcs1"), base64.b64encode(key.der())]
    for form in forms:
        assert keys.private(form) == key
        assert keys.private(form, trusted=True) == key
    public = key.public()
    for form in (public.pem(), public.der(), base64.b64encode(public.der()), public.pem().decode()):
        assert keys.public(form) == public
    assert key.id == public.id
    assert pickle.loads(pickle.dumps(key)) == key
    assert pickle.loads(pickle.dumps(public)) == public
    assert hash(key) == hash(keys.private(key.der()))


@pytest.mark.parametrize("family", ["rsa", "p-256"])
def test_a_password_seals_a_key(family: str, pairs: dict[str, PrivateKey]) -> None:
    key = pairs[family]
    for sealed in (key.pem(PASSWORD), key.der(PASSWORD)):
        assert keys.private(sealed, PASSWORD) == key
        assert (
            openssl("pkey", "-passin", f"pass:{PASSWORD}", "-inform", _form(sealed), data=sealed) == key.pem()
        )


def _form(data: bytes) -> str:
    return "PEM" if data.startswith(b"-") else "DER"


OPENSSL_KEYS = {
    "pkcs8": ["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa-1024": ["genrsa", "1024"],
    "pkcs1": ["genrsa", "-traditional", "2048"],
    "old encryption": ["genrsa", "-traditional", "-aes128", "-passout", f"pass:{PASSWORD}", "2048"],
    "new encryption": ["genrsa", "-aes256", "-passout", f"pass:{PASSWORD}", "2048"],
    "sec1 with parameters": ["ecparam", "-name", "prime256v1", "-genkey"],
    "sm2": ["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:SM2"],
    "sm2 sec1": ["ecparam", "-name", "SM2", "-genkey"],
}


@pytest.mark.parametrize("name", OPENSSL_KEYS)
def test_what_openssl_writes_is_read(name: str) -> None:
    text = openssl(*OPENSSL_KEYS[name])
    password = PASSWORD if "encryption" in name else None
    key = keys.private(text, password)
    assert openssl("pkey", "-pubout", *_passed(password), data=text) == key.public().pem()


def _passed(password: str | None) -> list[str]:
    return ["-passin", f"pass:{password}"] if password else []


def test_openssl_reads_pkcs1_public_keys(rsa_key: PrivateKey) -> None:
    text = rsa_key.public().pem(form="pkcs1")
    assert openssl("rsa", "-RSAPublicKey_in", "-pubout", data=text) == rsa_key.public().pem()
    assert keys.public(text) == rsa_key.public()


@pytest.mark.parametrize("legacy", [False, True])
def test_pkcs12_comes_back_and_openssl_reads_it(legacy: bool, tmp_path: Path) -> None:
    key_file, certificate_file = tmp_path / "key.pem", tmp_path / "certificate.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=shop", "-keyout", str(key_file),
            "-out", str(certificate_file))  # fmt: skip
    files = ("-inkey", str(key_file), "-in", str(certificate_file))
    from_openssl = keys.bundle(openssl("pkcs12", "-export", *files, "-passout", "pass:000000"), "000000")
    assert from_openssl.key == keys.private(key_file.read_bytes())
    assert armour.pem("CERTIFICATE", from_openssl.certificate) == certificate_file.read_bytes()
    written = from_openssl.encode("000000", "shop", legacy=legacy)
    assert keys.bundle(written, "000000") == from_openssl
    shown = openssl("pkcs12", "-legacy", "-nodes", "-nocerts", "-passin", "pass:000000", data=written)
    assert keys.private(shown) == from_openssl.key
    with pytest.raises(AuthenticityError, match="password does not open"):
        keys.bundle(written, "111111")


@pytest.fixture(scope="session")
def oddities(rsa_key: PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    file = tmp_path_factory.mktemp("keys") / "key.pem"
    file.write_bytes(rsa_key.pem())
    changed = bytearray(rsa_key.der())
    changed[-40] ^= 1
    text = rsa_key.pem()
    certificate = openssl("req", "-x509", "-new", "-key", str(file), "-subj", "/CN=x")
    return {
        "public": rsa_key.public().pem(),
        "certificate": certificate,
        "certificate base64": base64.b64encode(openssl("x509", "-outform", "DER", data=certificate)),
        "request": openssl("req", "-new", "-key", str(file), "-subj", "/CN=x"),
        "junk": b"x" * 10_000_000,
        "bytes": bytes(range(256)),
        "empty": b"",
        "spaces": b" \n ",
        "cut": text[:-30],
        "a line lost": text[:900] + text[965:],
        "cut DER": rsa_key.der()[:-5],
        "longer DER": rsa_key.der() + b"1",
        "garbage in base64": text.replace(b"M", b"*", 3),
        "not together": bytes(changed),
        "sealed": rsa_key.pem(PASSWORD),
        "ed25519": openssl("genpkey", "-algorithm", "ed25519"),
        "p-384": openssl("genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
        "512 bits": openssl("genrsa", "512"),
        "no body": NO_BODY,
    }


NO_BODY = b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"

BAD_PRIVATE = [
    ("public", UsageError, "a private key is wanted; this is: public key"),
    ("certificate", UsageError, "a private key is wanted; this is: certificate"),
    ("certificate base64", UsageError, "a private key is wanted; this is: certificate"),
    ("request", UsageError, "this is: certificate request"),
    ("junk", DecodeError, "at most 65536 bytes; this has 10000000"),
    ("bytes", DecodeError, "no PEM, no DER, and no base64"),
    ("empty", DecodeError, "this is empty"),
    ("spaces", DecodeError, "this is empty"),
    ("cut", DecodeError, "the line -----END PRIVATE KEY----- is missing"),
    ("a line lost", DecodeError, "no whole DER object"),
    ("cut DER", DecodeError, "no whole DER object"),
    ("longer DER", DecodeError, "is it cut or damaged"),
    ("garbage in base64", DecodeError, "byte 0x2a is in it"),
    ("not together", AuthenticityError, "do not belong together"),
    ("sealed", UsageError, "encrypted: give its password"),
    ("ed25519", UsageError, "an RSA, P-256 or SM2 key is wanted; this is Ed25519"),
    ("p-384", UsageError, "P-256 or SM2; this lies on secp384r1"),
    ("512 bits", UsageError, "1024 to 4096 bits; this has 512"),
]


@pytest.mark.parametrize(("name", "error", "text"), BAD_PRIVATE)
def test_no_private_key(name: str, error: type[PaysimError], text: str, oddities: dict[str, bytes]) -> None:
    with pytest.raises(error, match=text) as caught:
        keys.private(oddities[name])
    assert caught.value.__cause__ is None
    assert "https://" not in str(caught.value)


BAD_PUBLIC = [
    ("certificate", UsageError, "a public key is wanted; this is: certificate"),
    ("sealed", UsageError, "a public key is wanted; this is: encrypted private key"),
    ("junk", DecodeError, "at most 65536"),
    ("garbage in base64", DecodeError, "0x2a"),
    ("no body", DecodeError, "no whole DER object"),
]


@pytest.mark.parametrize(("name", "error", "text"), BAD_PUBLIC)
def test_no_public_key(name: str, error: type[PaysimError], text: str, oddities: dict[str, bytes]) -> None:
    with pytest.raises(error, match=text):
        keys.public(oddities[name])


def test_a_private_key_is_no_public_key(rsa_key: PrivateKey) -> None:
    with pytest.raises(UsageError, match="a public key is wanted; this is: private key"):
        keys.public(rsa_key.pem())


def test_passwords_that_do_not_fit(rsa_key: PrivateKey) -> None:
    for sealed in (rsa_key.pem(PASSWORD), rsa_key.der(PASSWORD)):
        with pytest.raises(AuthenticityError, match="password does not open") as caught:
            keys.private(sealed, "wrong secret")
        assert "wrong secret" not in str(caught.value)
    with pytest.raises(UsageError, match="not encrypted"):
        keys.private(rsa_key.pem(), PASSWORD)
    odd: list[Any] = ["", "x" * 1024, "\ud800", b"bytes"]
    for password in odd:
        with pytest.raises(UsageError, match="text of 1 to 1023 bytes"):
            rsa_key.pem(password)
        with pytest.raises(UsageError, match="text of 1 to 1023 bytes"):
            keys.private(rsa_key.pem(PASSWORD), password)
    with pytest.raises(UsageError, match="its own certificate"):
        Bundle(rsa_key, b"junk").encode("1")
    with pytest.raises(UsageError, match="pkcs8 or pkcs1, not 'jwk'"):
        rsa_key.pem(form="jwk")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="PKCS#1 knows no password"):
        rsa_key.der(PASSWORD, "pkcs1")


def test_the_wrong_kind(rsa_key: PrivateKey, p256_key: PrivateKey, sm2_key: PrivateKey) -> None:
    with pytest.raises(UsageError, match="a key for rsa is wanted; this one is p-256"):
        keys.private(p256_key.pem(), family="rsa")
    with pytest.raises(UsageError, match="a key for sm2 is wanted; this one is rsa-2048"):
        keys.public(rsa_key.public().pem(), "sm2")
    with pytest.raises(UsageError, match="PKCS#1 is for RSA"):
        p256_key.public().pem("pkcs1")
    with pytest.raises(Unsupported, match="without a password"):
        sm2_key.pem(PASSWORD)
    with pytest.raises(Unsupported, match="PKCS#12 is written for RSA"):
        Bundle(sm2_key, b"").encode("1")
    with pytest.raises(UsageError, match="not 'rsa-512'"):
        keys.mint("rsa-512")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="not from int"):
        keys.private(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "secret", "text"),
    [
        ("aes-256", b"k" * 31, "has 32 bytes; this has 31"),
        ("sm4", b"k" * 32, "has 16 bytes; this has 32"),
        ("hmac", b"", "1 to 4096 bytes; this has 0"),
        ("des", b"k" * 8, "not 'des'"),
        ("aes-256", "k" * 32, "made of bytes, not str"),
    ],
)
def test_no_symmetric_key(kind: str, secret: bytes, text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        SymmetricKey(kind, secret)
    assert "kk" not in str(caught.value)


def test_nothing_shows_a_secret(rsa_key: PrivateKey, sm2_key: PrivateKey) -> None:
    secret = SymmetricKey("hmac", b"SeCrEt-SeCrEt", name="api key")
    assert repr(secret) == "<SymmetricKey hmac api key>"
    assert secret.id == "api key"
    for key in (rsa_key, sm2_key):
        assert repr(key) == f"<PrivateKey {key.kind} {key.public().id}>"
    assert pickle.loads(pickle.dumps(secret)) == secret


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_end_in_another_error(data: bytes) -> None:
    for read in (keys.private, keys.public):
        with pytest.raises(PaysimError):
            read(data)
    with pytest.raises(PaysimError):
        keys.bundle(data, "1")


@settings(deadline=None)
@given(place=st.integers(0, 120), value=st.integers(0, 255), cut=st.integers(1, 121))
def test_no_changed_key_ends_in_another_error(
    place: int, value: int, cut: int, p256_key: PrivateKey, sm2_key: PrivateKey
) -> None:
    for key in (p256_key, sm2_key):
        changed = bytearray(key.der())
        changed[place] = value
        for data in (bytes(changed), key.der()[:cut]):
            try:
                keys.private(data)
            except PaysimError:
                pass


OLD_HEADERS = [
    b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0011223344556677\n\n",  # made the library panic
    b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
    b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,\n\n",
    b"Proc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,001122\n\n",
    b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC," + b"00" * 17 + b"\n\n",
    b"Proc-Type: 4,ENCRYPTED\nDEK-Info: " + b"DES-EDE3-CBC,0011223344556677\nDEK-Info: AES-128-CBC,00\n\n",
    b"DEK-Info: AES-128-CBC,00\nProc-Type: 4,ENCRYPTED\n\n",
    b"Proc-Type: 4,ENCRYPTED\n\n",
]


@pytest.mark.parametrize("header", OLD_HEADERS)
def test_an_old_pem_with_a_short_iv_let_the_library_panic(header: bytes) -> None:
    body = b"-----BEGIN EC PRIVATE KEY-----\n" + header + b"A" * 64 + b"\n-----END EC PRIVATE KEY-----\n"
    for trusted in (False, True):
        with pytest.raises(DecodeError, match="cut or damaged"):
            keys.private(body, "password", trusted=trusted)


def _rsa_public(modulus: int, exponent: int) -> bytes:
    return sm_der.sequence(sm_der.integer(modulus), sm_der.integer(exponent))


def test_an_rsa_key_that_nothing_can_be_done_with_was_taken(rsa_key: PrivateKey) -> None:
    modulus = rsa_key.public().loaded.public_numbers().n
    assert keys.public(_rsa_public(modulus, 2**64 - 1)).kind == "rsa-2048"
    for exponent in (2**64 + 1, modulus - 2):
        with pytest.raises(UsageError, match="at most 64 bits"):
            keys.public(_rsa_public(modulus, exponent))
    for even in (modulus - 1, 1 << 2047):
        with pytest.raises(UsageError, match="is even"):
            keys.public(_rsa_public(even, 65537))
    for weak in (0, 1, 2, 65536):
        with pytest.raises(DecodeError):
            keys.public(_rsa_public(modulus, weak))
