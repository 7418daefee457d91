"""Certificates that clients expect, judged by the openssl command and by Python's own TLS."""

from __future__ import annotations

import json
import pickle
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from paysim.core.errors import AuthenticityError, DecodeError, PaysimError, UsageError
from paysim.crypto import authority, keys
from paysim.crypto.authority import Authority, Certificate
from paysim.crypto.keys import PrivateKey

VECTORS = Path(__file__).parent.parent / "vectors"
ALIPAY = {one["id"]: one for one in json.loads((VECTORS / "alipay.json").read_text("utf-8"))["items"]}

START_MS = 1_780_000_000_000  # 2026-05-28 20:26:40 UTC
DAY_MS = 86_400_000
NOON_MS = START_MS + DAY_MS
HOSTS = ("api.mch.weixin.qq.com", "openapi.alipay.com", "127.0.0.1")


@pytest.fixture(scope="session")
def root(rsa_key: PrivateKey) -> Authority:
    return authority.found(
        rsa_key, serial=authority.serial_number(b"\1" * 20), start_ms=START_MS, days=3650, hosts=HOSTS
    )


@pytest.fixture(scope="session")
def leaf(root: Authority, p256_key: PrivateKey) -> Certificate:
    return root.tls(p256_key.public(), HOSTS, serial=7, start_ms=START_MS, days=90)


def test_the_same_arguments_give_the_same_certificate(
    root: Authority, rsa_key: PrivateKey, leaf: Certificate
) -> None:
    again = authority.found(
        rsa_key, serial=authority.serial_number(b"\1" * 20), start_ms=START_MS, days=3650, hosts=HOSTS
    )
    assert again.certificate == root.certificate
    assert pickle.loads(pickle.dumps(leaf)) == leaf
    assert repr(root) == "<Authority paysim sandbox root>"


def test_merchant_and_platform_certificates(root: Authority, other_rsa_key: PrivateKey) -> None:
    public = other_rsa_key.public()
    serial = authority.serial_number(bytes(range(20)))
    merchant = root.merchant(public, "1900007291", serial=serial, start_ms=START_MS, days=1825)
    platform = root.platform(public, serial=serial, start_ms=START_MS, days=1825)
    assert merchant.name == "1900007291"
    assert platform.name == "Tenpay.com sign"
    for one in (merchant, platform):
        assert len(one.serial) == 40
        assert one.serial == one.serial.upper()
        assert one.key == public
        assert one.end_ms - one.start_ms == 1825 * DAY_MS
        authority.check([one], [root.certificate], NOON_MS)
        authority.check([one, root.certificate], [root.certificate], NOON_MS)
        assert authority.certificate(one.pem()) == authority.certificate(one.der) == one


@pytest.mark.parametrize("draw", [bytes(20), b"\xff" * 20, bytes(range(20))])
def test_serials_have_40_digits_and_fit_20_bytes(draw: bytes) -> None:
    number = authority.serial_number(draw)
    assert len(f"{number:X}") == 40
    assert number.bit_length() <= 159
    with pytest.raises(UsageError, match="20 random bytes"):
        authority.serial_number(draw[1:])


@pytest.mark.parametrize("host", HOSTS)
def test_a_tls_certificate_speaks_for_its_hosts(host: str, root: Authority, leaf: Certificate) -> None:
    authority.check([leaf], [root.certificate], NOON_MS, host)


def test_openssl_accepts_the_chain_and_the_constraints(
    root: Authority, leaf: Certificate, p256_key: PrivateKey, tmp_path: Path
) -> None:
    outside = root.tls(p256_key.public(), ["example.com"], serial=9, start_ms=START_MS, days=90)
    address = root.tls(p256_key.public(), ["10.0.0.1"], serial=9, start_ms=START_MS, days=90)
    files = {"root": root.certificate, "leaf": leaf, "outside": outside, "address": address}
    for name, one in files.items():
        (tmp_path / name).write_bytes(one.pem())
    verify = ["openssl", "verify", "-x509_strict", "-attime", str(NOON_MS // 1000), "-CAfile", "root"]
    for name, host, good in (
        ("leaf", "api.mch.weixin.qq.com", True),
        ("leaf", "example.com", False),
        ("outside", "example.com", False),
        ("address", "10.0.0.1", False),
    ):
        done = subprocess.run(
            [*verify, "-purpose", "sslserver", _flag(name), host, name],
            cwd=tmp_path, capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) is good, done.stderr


def _flag(name: str) -> str:
    return "-verify_ip" if name == "address" else "-verify_hostname"


def test_pythons_tls_speaks_with_it(rsa_key: PrivateKey, p256_key: PrivateKey, tmp_path: Path) -> None:

    now_ms = int(time.time() * 1000)
    root = authority.found(rsa_key, serial=5, start_ms=now_ms - DAY_MS, days=30, hosts=HOSTS)
    leaf = root.tls(p256_key.public(), HOSTS, serial=7, start_ms=now_ms - DAY_MS, days=20)
    (tmp_path / "leaf").write_bytes(leaf.pem() + p256_key.pem())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "leaf")
    client = ssl.create_default_context(cadata=root.certificate.pem().decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=HOSTS[0]),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    subject = ends[0].getpeercert()
    assert subject is not None
    assert ("DNS", HOSTS[0]) in subject["subjectAltName"]


LATE_MS = START_MS + 91 * DAY_MS
DATES = "valid from 2026-05-28 20:26:40 UTC to 2026-08-26 20:26:40 UTC"


def _bad(
    root: Authority, leaf: Certificate, key: PrivateKey, other: PrivateKey
) -> dict[str, Callable[[], None]]:
    roots = [root.certificate]
    platform = root.platform(key.public(), serial=8, start_ms=START_MS, days=30)
    stranger = authority.found(other, serial=1, start_ms=START_MS, days=30, name="a stranger")
    twin = authority.found(other, serial=1, start_ms=START_MS, days=30)
    outside = root.tls(key.public(), ["example.com"], serial=9, start_ms=START_MS, days=90)
    changed = leaf.der[:-1] + bytes([leaf.der[-1] ^ 1])
    return {
        f"has expired: {DATES}, it is 2026-08-27": lambda: authority.check([leaf], roots, LATE_MS),
        "is not valid yet: valid from 2026-05-28": lambda: authority.check([leaf], roots, START_MS - 1),
        "not a server's certificate for e.com": lambda: authority.check([leaf], roots, NOON_MS, "e.com"),
        "no permitted name constraints": lambda: authority.check([outside], roots, NOON_MS, "example.com"),
        "which is not trusted": lambda: authority.check([leaf], [stranger.certificate], NOON_MS),
        "was not issued by <Certificate paysim": lambda: authority.check([leaf], [twin.certificate], NOON_MS),
        "may not issue certificates": lambda: authority.check([leaf, platform], roots, NOON_MS),
        "was not issued by": lambda: authority.check([Certificate(changed)], roots, NOON_MS),
        "subjectAltName": lambda: authority.check([platform], roots, NOON_MS, HOSTS[0]),
    }  # fmt: skip


@pytest.mark.parametrize("number", range(9))
def test_a_chain_that_does_not_hold(
    number: int, root: Authority, leaf: Certificate, p256_key: PrivateKey, other_rsa_key: PrivateKey
) -> None:
    text, run = list(_bad(root, leaf, p256_key, other_rsa_key).items())[number]
    with pytest.raises(AuthenticityError) as caught:
        run()
    assert text in str(caught.value)


def test_a_new_root_of_the_same_name_is_found(
    root: Authority, leaf: Certificate, other_rsa_key: PrivateKey
) -> None:
    twin = authority.found(other_rsa_key, serial=1, start_ms=START_MS, days=30)
    authority.check([leaf], [twin.certificate, root.certificate], NOON_MS)


def test_what_cannot_be_issued(root: Authority, p256_key: PrivateKey, sm2_key: PrivateKey) -> None:
    public = p256_key.public()
    bad: list[tuple[str, Callable[[], object]]] = [
        ("a name in ASCII", lambda: root.tls(public, ["x y"], serial=1, start_ms=START_MS, days=1)),
        ("one host or more", lambda: root.tls(public, [], serial=1, start_ms=START_MS, days=1)),
        ("positive", lambda: root.tls(public, HOSTS, serial=0, start_ms=START_MS, days=1)),
        ("one day or more", lambda: root.tls(public, HOSTS, serial=1, start_ms=START_MS, days=0)),
        ("1 to 64 characters", lambda: root.merchant(public, "", serial=1, start_ms=START_MS, days=1)),
        ("outside the calendar", lambda: root.merchant(public, "1", serial=1, start_ms=10**18, days=1)),
        ("RSA and P-256", lambda: root.merchant(sm2_key.public(), "1", serial=1, start_ms=START_MS, days=1)),
        ("1 to 8 certificates", lambda: authority.check([], [], NOON_MS)),
    ]
    for text, run in bad:
        with pytest.raises(UsageError, match=text):
            run()


def test_what_is_no_certificate(leaf: Certificate, rsa_key: PrivateKey) -> None:
    bad: list[tuple[type[PaysimError], str, bytes]] = [
        (UsageError, "a certificate is wanted; this is: private key", rsa_key.pem()),
        (DecodeError, "-----END CERTIFICATE----- is missing", leaf.pem()[:-30]),
        (DecodeError, "no whole DER object", leaf.der[:-1]),
        (DecodeError, "at most 1048576 bytes", b"x" * 10_000_000),
    ]
    for error, text, data in bad:
        with pytest.raises(error, match=text):
            authority.certificate(data)
    changed = leaf.der.replace(bytes.fromhex("0603551d11"), bytes.fromhex("0603551d0f"))
    with pytest.raises(DecodeError, match="cut or damaged"):
        authority.certificate(changed)


def test_a_bundle_of_certificates(root: Authority, leaf: Certificate) -> None:
    assert authority.certificates(leaf.pem() + b"\n" + root.certificate.pem()) == [leaf, root.certificate]


def test_alipay_serials() -> None:
    item = ALIPAY["app_cert_sn"]
    assert authority.alipay_serial(authority.certificate(item["pem"])) == item["sn"]
    item = ALIPAY["alipay_root_cert_sn"]
    assert authority.alipay_root_serial(authority.certificates(item["pem"])) == item["sn"]


def test_a_key_that_is_not_ours(root: Authority) -> None:
    text = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    with pytest.raises(UsageError, match="Ed25519"):
        authority.certificate(text).key  # noqa: B018
    assert keys.public(root.key.public().pem()) == root.certificate.key


def _between(
    root: Authority, key: PrivateKey, name: str, *extensions: x509.ExtensionType, ca: bool = True
) -> Authority:
    """An authority below `root`, as others issue it."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(root.certificate.loaded.subject)
        .public_key(key.public().loaded)
        .serial_number(9)
        .not_valid_before(root.certificate.loaded.not_valid_before_utc)
        .not_valid_after(root.certificate.loaded.not_valid_after_utc)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    built = builder.sign(root.key.loaded, hashes.SHA256())
    return Authority(Certificate(built.public_bytes(serialization.Encoding.DER)), key)


@pytest.mark.parametrize("with_root", [True, False])
def test_an_authority_below_one_that_allows_none_was_believed(
    with_root: bool, root: Authority, p256_key: PrivateKey
) -> None:
    below = _between(root, p256_key, "below", x509.BasicConstraints(ca=True, path_length=None))
    leaf = below.merchant(p256_key.public(), "1900007291", serial=7, start_ms=START_MS, days=90)
    chain = [leaf, below.certificate, *([root.certificate] if with_root else [])]
    with pytest.raises(AuthenticityError, match=r"root .* allows 0 authorities below it; there are 1"):
        authority.check(chain, [root.certificate], NOON_MS)
    authority.check(chain[:2], [below.certificate], NOON_MS)


def test_an_authority_whose_key_may_not_sign_certificates_was_believed(
    root: Authority, p256_key: PrivateKey
) -> None:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    more = ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    usage = x509.KeyUsage(**{name: name == "digital_signature" for name in (*names, *more)})
    below = _between(root, p256_key, "below", x509.BasicConstraints(ca=True, path_length=None), usage)
    leaf = below.merchant(p256_key.public(), "1900007291", serial=7, start_ms=START_MS, days=90)
    with pytest.raises(AuthenticityError, match=r"the key of .*below .* may not sign certificates"):
        authority.check([leaf], [below.certificate], NOON_MS)


def test_a_certificate_of_an_unknown_version_ended_in_an_error_of_the_librarys(
    root: Authority, rsa_key: PrivateKey
) -> None:
    at = root.certificate.der.index(bytes.fromhex("A003020102"))
    der = root.certificate.der[: at + 4] + b"\x16" + root.certificate.der[at + 5 :]
    for use in (lambda: authority.certificate(der), lambda: Certificate(der).serial):
        with pytest.raises(DecodeError, match="cut or damaged"):
            use()
    with pytest.raises(UsageError, match="certificates, in DER"):
        keys.Bundle(rsa_key, der).encode("password")
