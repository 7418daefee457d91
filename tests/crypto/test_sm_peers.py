"""SM2 judged by programs that we did not write: the OpenSSL command, tongsuopy and gmssl."""

from __future__ import annotations

import importlib
import os
import random
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from counts import count

from paysim.crypto import armour, sm, sm_certificate, sm_keys
from paysim.crypto.sm_curve import N

ALL = os.environ.get("PAYSIM_ALL") == "1"
ID = "distid:1234567812345678"
KEY = sm.PrivateKey(0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8)


def peer(name: str) -> ModuleType:
    """The module, or a skip where it is not installed (a failure when PAYSIM_ALL=1)."""
    return importlib.import_module(name) if ALL else pytest.importorskip(name)


class OpenSsl:
    """The command in a folder that holds our keys and a message."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("key.pem", armour.pem("PRIVATE KEY", sm_keys.encode_private(KEY)))
        self.write("sec1.pem", armour.pem("EC PRIVATE KEY", sm_keys.encode_private(KEY, "sec1")))
        self.write("public.pem", armour.pem("PUBLIC KEY", sm_keys.encode_public(KEY.public)))

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def run(self, line: str) -> bytes:
        told = subprocess.run(["openssl", *line.split()], cwd=self.folder, capture_output=True, check=False)
        assert told.returncode == 0, told.stderr.decode()
        return told.stdout


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpenSsl:
    has_sm2 = (
        shutil.which("openssl")
        and b"SM2"
        in subprocess.run(
            ["openssl", "list", "-public-key-algorithms"], capture_output=True, check=False
        ).stdout
    )
    if not has_sm2:
        assert not ALL, "no openssl command with SM2"
        pytest.skip("no openssl command with SM2")
    return OpenSsl(tmp_path_factory.mktemp("openssl"))


def cases(whole: int, seed: int) -> list[tuple[sm.PrivateKey, bytes]]:
    source = random.Random(seed)
    return [
        (sm.PrivateKey(source.randrange(1, N - 1)), source.randbytes(source.randrange(1, 120)))
        for _ in range(count(whole))
    ]


@pytest.mark.parametrize("private", ["key.pem", "sec1.pem"])
def test_openssl_signs_and_we_verify(openssl: OpenSsl, private: str) -> None:
    for _, text in cases(100, 1):
        openssl.write("text", text)
        der = openssl.run(f"dgst -sm3 -sigopt {ID} -sign {private} text")
        sm.verify(KEY.public, text, sm.raw_signature(der))


def test_we_sign_and_openssl_verifies(openssl: OpenSsl) -> None:
    for _, text in cases(100, 2):
        openssl.write("text", text)
        openssl.write("signature", sm.der_signature(sm.sign(KEY, text)))
        told = openssl.run(f"dgst -sm3 -sigopt {ID} -verify public.pem -signature signature text")
        assert told == b"Verified OK\n"


def test_the_id_means_the_same_to_openssl(openssl: OpenSsl) -> None:
    openssl.write("text", b"x")
    openssl.write("signature", sm.der_signature(sm.sign(KEY, b"x", id=b"alice@shop")))
    openssl.run(
        "pkeyutl -verify -pubin -inkey public.pem -in text -sigfile signature -rawin -digest sm3 "
        "-pkeyopt distid:alice@shop"
    )


def test_ciphertexts_both_ways(openssl: OpenSsl) -> None:
    for _, text in cases(100, 3):
        text += b"more"  # OpenSSL 3.0 does not refuse a mask of zeros
        openssl.write("text", text)
        sealed = openssl.run("pkeyutl -encrypt -pubin -inkey public.pem -in text -pkeyopt digest:sm3")
        assert sm.decrypt(KEY, sealed) == text
        openssl.write("sealed", sm.encrypt(KEY.public, text))
        assert openssl.run("pkeyutl -decrypt -inkey key.pem -in sealed") == text


def test_openssl_makes_a_certificate_and_we_verify(openssl: OpenSsl) -> None:
    pem = openssl.run(f"req -x509 -new -key key.pem -sm3 -sigopt {ID} -subj /C=CN/CN=peer -days 3650")
    found = sm_certificate.decode(pem)
    sm_certificate.verify(found, found, found.not_before)
    assert (found.subject.text, found.key) == ("C=CN, CN=peer", KEY.public)


def test_we_make_a_certificate_and_openssl_verifies(openssl: OpenSsl) -> None:
    span = {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": datetime(2070, 1, 1, tzinfo=UTC)}
    root = sm_certificate.issue({"CN": "根"}, KEY.public, KEY, serial=1, authority=True, **span)
    leaf = sm_certificate.issue({"CN": "leaf"}, sm.PrivateKey(9).public, KEY, serial=2, issuer=root, **span)
    openssl.write("root.pem", root.pem)
    openssl.write("leaf.pem", leaf.pem)
    told = openssl.run(f"verify -x509_strict -vfyopt {ID} -CAfile root.pem leaf.pem")
    assert told == b"leaf.pem: OK\n"
    text = openssl.run("x509 -in leaf.pem -noout -text")
    assert b"SM2-with-SM3" in text
    assert b"CA:FALSE" in text


def test_tongsuo_both_ways() -> None:
    ec = peer("tongsuopy.crypto.asymciphers.ec")
    algorithm = ec.ECDSA(peer("tongsuopy.crypto.hashes").SM3())
    for key, text in cases(2000, 4):
        theirs = ec.derive_private_key(key.d, ec.SM2())
        numbers = theirs.public_key().public_numbers()
        assert key.public.affine == (numbers.x, numbers.y)
        theirs.public_key().verify(sm.der_signature(sm.sign(key, text)), text, algorithm)
        sm.verify(key.public, text, sm.raw_signature(theirs.sign(text, algorithm)))


def gmssl(key: sm.PrivateKey, mode: int) -> Any:
    point = key.public.point[1:].hex()
    made: Any = peer("gmssl.sm2").CryptSM2(key.secret.hex(), point, mode=mode)
    made.public_key = point  # it strips every leading 0 and 4 of a point whose x begins with 04
    return made


def test_gmssl_both_ways() -> None:
    for index, (key, text) in enumerate(cases(200, 5)):
        theirs = gmssl(key, 1)
        k = sm.ephemeral(sm.sm3(text) + text.ljust(8))
        raw = bytes.fromhex(theirs.sign_with_sm3(text, f"{k:064x}"))
        assert sm.sign(key, text, k=k) == raw
        assert theirs.verify_with_sm3(sm.sign(key, text).hex(), text)
        text += b"more"  # gmssl gives None for a mask of zeros
        form: sm.Form = "C1C3C2" if index % 2 else "C1C2C3"
        theirs = gmssl(key, index % 2)
        assert theirs.decrypt(sm.encrypt(key.public, text, form=form)[1:]) == text
        assert sm.decrypt(key, b"\4" + theirs.encrypt(text), form=form) == text


def test_gmssl_has_the_same_digest() -> None:
    digest = peer("gmssl.sm3").sm3_hash
    for _, text in cases(500, 6):
        assert digest(list(text)) == sm.sm3(text).hex()
