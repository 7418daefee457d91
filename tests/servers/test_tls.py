"""The sandbox's CA and certificate: for whom they speak, how long, and who believes them."""

from __future__ import annotations

import os
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paysim.core.errors import AuthenticityError, ConfigError
from paysim.crypto import authority, keys
from paysim.crypto.authority import Certificate
from paysim.operators.wechat.hosts import WECHAT_HOSTS
from paysim.servers import tls
from paysim.store.keyring import Keyring

DAY_MS = 86_400_000
NOW_MS = int(time.time() * 1000)


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "keys")


def held(keyring: Keyring, file: str) -> Certificate:
    data = keyring.get(file)
    assert data is not None
    return authority.certificate(data)


def shake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """The client's end after a handshake in memory."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    assert ends[0].version()
    return ends[0]


def trusting(pem: bytes) -> ssl.SSLContext:
    """A client as strict as Python 3.13's default."""
    client = ssl.create_default_context(cadata=pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return client


def test_it_speaks_for_each_host(keyring: Keyring) -> None:
    server = tls.server_context(keyring, WECHAT_HOSTS, NOW_MS)
    ca = held(keyring, tls.CA_FILE)
    for host in WECHAT_HOSTS:
        end = shake(trusting(ca.pem()), server, host)
        assert end.version() == "TLSv1.3"
        authority.check([held(keyring, tls.LEAF_FILE)], [ca], NOW_MS, host)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake(trusting(ca.pem()), server, "mp.weixin.qq.com")


def test_it_offers_http_1_1_alone_and_no_old_tls(keyring: Keyring) -> None:
    server = tls.server_context(keyring, WECHAT_HOSTS, NOW_MS)
    client = trusting(held(keyring, tls.CA_FILE).pem())
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert shake(client, server, WECHAT_HOSTS[0]).selected_alpn_protocol() == "http/1.1"
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2


OUTSIDE = ["example.com", "weixin.qq.com", "mp.weixin.qq.com", "api.mch.weixin.qq.com.example", "127.0.0.1"]


@pytest.mark.parametrize("host", OUTSIDE)
def test_our_ca_can_speak_for_no_other_host(host: str, keyring: Keyring, tmp_path: Path) -> None:
    ca = tls.root(keyring, WECHAT_HOSTS, NOW_MS)
    key = keys.mint("p-256")
    leaf = ca.tls(key.public(), [host], serial=9, start_ms=NOW_MS - DAY_MS, days=30)
    (tmp_path / "leaf").write_bytes(leaf.pem() + key.pem())
    (tmp_path / "ca").write_bytes(ca.certificate.pem())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "leaf")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"permitted subtree|excluded subtree"):
        shake(trusting(ca.certificate.pem()), server, host)
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", "ca", "leaf"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "subtree violation" in done.stderr


def test_openssl_believes_it(keyring: Keyring) -> None:
    tls.server_context(keyring, WECHAT_HOSTS, NOW_MS)
    for host in WECHAT_HOSTS:
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host,
             "-CAfile", tls.CA_FILE, tls.LEAF_FILE],
            cwd=keyring.folder, capture_output=True, check=True,
        )  # fmt: skip


def test_it_is_made_once_and_kept(keyring: Keyring) -> None:
    tls.server_context(keyring, WECHAT_HOSTS, NOW_MS)
    first = {file.name: file.read_bytes() for file in keyring.folder.iterdir()}
    assert set(first) == {".gitignore", "ca.1.pem", "ca.pem", "tls.1.pem", "tls.pem"}
    tls.server_context(Keyring(keyring.folder), WECHAT_HOSTS, NOW_MS + DAY_MS)
    assert {file.name: file.read_bytes() for file in keyring.folder.iterdir()} == first
    tls.bundle(keyring, held(keyring, tls.CA_FILE))
    for file in keyring.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def changed(keyring: Keyring) -> dict[str, Callable[[], None]]:
    """What makes an old certificate useless."""
    other = keys.mint("p-256")
    loose = authority.found(keyring.key("ca", "p-256"), serial=1, start_ms=NOW_MS - DAY_MS, days=4000)
    return {
        "no file": lambda: (keyring.folder / tls.LEAF_FILE).unlink(),
        "cut": lambda: put(keyring, tls.LEAF_FILE, held(keyring, tls.LEAF_FILE).pem()[:300]),
        "no CA": lambda: (keyring.folder / tls.CA_FILE).unlink(),
        "rotated": lambda: rotate(keyring, "tls"),
        "rotated CA": lambda: rotate(keyring, "ca"),
        "a CA without constraints": lambda: put(keyring, tls.CA_FILE, loose.certificate.pem()),
        "another's": lambda: put(
            keyring,
            tls.LEAF_FILE,
            authority.found(other, serial=1, start_ms=NOW_MS - DAY_MS, days=4000).certificate.pem(),
        ),
    }


def put(keyring: Keyring, file: str, data: bytes) -> None:
    keyring.put(file, data)


def rotate(keyring: Keyring, name: str) -> None:
    keyring.rotate(name, at_ms=NOW_MS, overlap_ms=DAY_MS)


@pytest.mark.parametrize("number", range(7))
def test_what_is_missing_or_wrong_is_made_anew(number: int, keyring: Keyring) -> None:
    tls.server_context(keyring, WECHAT_HOSTS, NOW_MS)
    list(changed(keyring).values())[number]()
    server = tls.server_context(keyring, WECHAT_HOSTS, NOW_MS)
    ca = held(keyring, tls.CA_FILE)
    shake(trusting(ca.pem()), server, WECHAT_HOSTS[0])
    assert tls.root(keyring, WECHAT_HOSTS, NOW_MS).certificate == ca
    stranger = tls.root(keyring, WECHAT_HOSTS, NOW_MS).tls(
        keys.mint("p-256").public(), ["e.com"], serial=1, start_ms=NOW_MS - DAY_MS, days=9
    )
    with pytest.raises(AuthenticityError, match="no permitted name constraints"):
        authority.check([stranger], [ca], NOW_MS, "e.com")


def test_other_hosts_make_a_new_ca(keyring: Keyring) -> None:
    first = tls.root(keyring, WECHAT_HOSTS, NOW_MS).certificate
    assert tls.root(keyring, tuple(reversed(WECHAT_HOSTS)), NOW_MS).certificate == first
    for hosts in ((*WECHAT_HOSTS, "openapi.alipay.com"), WECHAT_HOSTS[:1]):
        server = tls.server_context(keyring, hosts, NOW_MS)
        ca = held(keyring, tls.CA_FILE)
        assert ca != first
        shake(trusting(ca.pem()), server, hosts[-1])


@pytest.mark.parametrize(
    ("days", "new_leaf", "new_ca"),
    [(0, False, False), (330, False, False), (337, True, False), (3000, True, False), (3260, True, True),
     (4000, True, True), (-2, True, True)],
)  # fmt: skip
def test_it_is_made_anew_near_its_end(days: int, new_leaf: bool, new_ca: bool, keyring: Keyring) -> None:
    tls.server_context(keyring, WECHAT_HOSTS, NOW_MS)
    ca, leaf = held(keyring, tls.CA_FILE), held(keyring, tls.LEAF_FILE)
    at_ms = NOW_MS + days * DAY_MS
    tls.server_context(keyring, WECHAT_HOSTS, at_ms)
    later_ca, later_leaf = held(keyring, tls.CA_FILE), held(keyring, tls.LEAF_FILE)
    assert (later_leaf != leaf, later_ca != ca) == (new_leaf, new_ca)
    authority.check([later_leaf], [later_ca], at_ms, WECHAT_HOSTS[0])
    assert later_leaf.end_ms < later_ca.end_ms


def test_a_key_of_another_kind_is_named(keyring: Keyring) -> None:
    keyring.key("ca", "rsa-2048")
    with pytest.raises(ConfigError, match=r"ca.1 holds rsa-2048, not p-256"):
        tls.root(keyring, WECHAT_HOSTS, NOW_MS)


# The bundle. --------------------------------------------------------------------------------------------


def test_the_bundle_holds_the_machines_roots_and_ours(keyring: Keyring) -> None:
    server = tls.server_context(keyring, WECHAT_HOSTS, NOW_MS)
    ca = held(keyring, tls.CA_FILE)
    file = tls.bundle(keyring, ca)
    assert file == keyring.folder / tls.BUNDLE_FILE
    client = ssl.create_default_context(cafile=str(file))
    shake(client, server, WECHAT_HOSTS[0])
    found = client.get_ca_certs(binary_form=True)
    assert ca.der in found
    assert len(found) > 50
    assert len(set(found)) == len(found)
    certifi = pytest.importorskip("certifi")
    theirs = ssl.create_default_context(cafile=certifi.where()).get_ca_certs(binary_form=True)
    assert set(theirs) <= set(found)


def test_the_bundle_holds_what_the_user_trusts_besides(keyring: Keyring, tmp_path: Path) -> None:
    ca = tls.root(keyring, WECHAT_HOSTS, NOW_MS).certificate
    corporate = authority.found(keys.mint("p-256"), serial=3, start_ms=NOW_MS, days=9, name="Corporate")
    pem = corporate.certificate.pem().replace(b"\n", b"\r\n")
    (tmp_path / "more.pem").write_bytes(b"# Corporate: \xff\r\n" + pem + pem + corporate.key.pem())
    (tmp_path / "noise").write_bytes(os.urandom(5000))
    tls.bundle(keyring, ca, [tmp_path / "more.pem", tmp_path / "noise", tmp_path, "/no/such/file"])
    text = (keyring.folder / tls.BUNDLE_FILE).read_bytes()
    assert text.count(corporate.certificate.pem()) == 1
    assert b"PRIVATE" not in text
    assert text.endswith(ca.pem())
    again = tls.bundle(keyring, ca, [tmp_path / "more.pem", keyring.folder / tls.BUNDLE_FILE])
    assert again.read_bytes().count(ca.pem()) == 1


def test_a_machine_without_roots(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "SYSTEM_ROOTS", ())
    monkeypatch.setitem(sys.modules, "certifi", None)
    monkeypatch.setattr(
        ssl, "get_default_verify_paths", lambda: ssl.DefaultVerifyPaths(*[""] * 3, "/none", "", "")
    )
    ca = tls.root(keyring, WECHAT_HOSTS, NOW_MS).certificate
    assert tls.bundle(keyring, ca).read_bytes() == ca.pem()
