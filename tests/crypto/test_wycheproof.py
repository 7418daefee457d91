"""Google's Wycheproof files: every `valid` accepted, every `invalid` refused, every `acceptable` pinned here.

A case that the library below cannot take (a GCM nonce outside 8 to 128 bytes) must end in a named error;
those are counted apart. The files' checksums are checked first: nobody has eased a case.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paysim.core.errors import AuthenticityError, UsageError
from paysim.crypto import keys, sealed
from paysim.crypto.keys import SymmetricKey
from paysim.crypto.signature import Signer, Verifier

FOLDER = Path(__file__).parent.parent / "vectors" / "wycheproof"
CASES_AT_LEAST = 2_600

Case = dict[str, Any]

MISSING_NULL = "a DigestInfo without NULL: RFC 8017 A.2.4 wants it there"
WEAK_HASH = "SHA-1 is weak, and Alipay's legacy RSA signs with it: we do as well"
SMALL_KEY = "a public exponent of 3: weak, and every verifier takes it"

ACCEPTABLE: dict[tuple[str, int], tuple[bool, str]] = {
    ("rsa_signature_2048_sha256", 8): (False, MISSING_NULL),
    ("rsa_signature_3072_sha256", 8): (False, MISSING_NULL),
    **{("rsa_pkcs1_2048_sig_gen", case): (True, WEAK_HASH) for case in range(65, 73)},
    **{("rsa_pkcs1_2048_sig_gen", case): (True, SMALL_KEY) for case in (154, 155, 158)},
}
"""(file, tcId) -> whether it is accepted, and why."""

OUTSIDE = {"aes_gcm": 33, "sm4_gcm": 11}
"""File -> cases whose nonce the library refuses: a named error."""


def _hex(case: Case, name: str) -> bytes:
    return bytes.fromhex(case[name])


@functools.cache
def _private(der: str) -> keys.PrivateKey:
    return keys.private(bytes.fromhex(der), trusted=True)


def _verified(scheme: str, key: str = "publicKeyDer") -> Callable[[Case, Case], None]:
    def run(group: Case, case: Case) -> None:
        public = keys.public(bytes.fromhex(group[key]))
        Verifier(scheme, public).verify(_hex(case, "msg"), _hex(case, "sig"))

    return run


def _generated(group: Case, case: Case) -> None:
    scheme = f"rsa-{group['sha'].lower().replace('-', '')}"
    made = Signer(scheme, _private(group["privateKeyPkcs8"])).sign(_hex(case, "msg"))
    if made != _hex(case, "sig"):
        raise AuthenticityError("another signature")


def _mac(scheme: str) -> Callable[[Case, Case], None]:
    def run(group: Case, case: Case) -> None:
        key = SymmetricKey("hmac", _hex(case, "key"))
        message, tag = _hex(case, "msg"), _hex(case, "tag")
        whole = len(Signer(scheme, key).sign(b""))
        if group["tagSize"] == 8 * whole:
            Verifier(scheme, key).verify(message, tag)
        elif Signer(scheme, key).sign(message)[: group["tagSize"] // 8] != tag:  # we send no cut tags
            raise AuthenticityError("another tag")

    return run


def _gcm(group: Case, case: Case) -> None:
    kind = "sm4" if group["sm4"] else f"aes-{group['keySize']}"
    box = sealed.Gcm(SymmetricKey(kind, _hex(case, "key")))
    nonce, associated = _hex(case, "iv"), _hex(case, "aad")
    ciphertext = _hex(case, "ct") + _hex(case, "tag")
    assert box.open(ciphertext, nonce, associated) == _hex(case, "msg")
    assert box.seal(_hex(case, "msg"), nonce, associated) == ciphertext


def _cbc(group: Case, case: Case) -> None:
    box = sealed.Cbc(SymmetricKey(f"aes-{group['keySize']}", _hex(case, "key")))
    assert box.open(_hex(case, "ct"), _hex(case, "iv")) == _hex(case, "msg")
    assert box.seal(_hex(case, "msg"), _hex(case, "iv")) == _hex(case, "ct")


def _oaep(scheme: str) -> Callable[[Case, Case], None]:
    def run(group: Case, case: Case) -> None:
        box = sealed.Oaep(scheme, _private(group["privateKeyPkcs8"]), _hex(case, "label"))
        assert box.open(_hex(case, "ct")) == _hex(case, "msg")

    return run


def _pkcs1(group: Case, case: Case) -> None:
    assert sealed.Pkcs1(_private(group["privateKeyPkcs8"])).open(_hex(case, "ct")) == _hex(case, "msg")


FILES: dict[str, tuple[int, Callable[[Case, Case], None]]] = {
    "aes_cbc_pkcs5": (216, _cbc),
    "aes_gcm": (316, _gcm),
    "ecdsa_secp256r1_sha256": (484, _verified("ecdsa-p256-sha256")),
    "ecdsa_secp256r1_sha256_p1363": (262, _verified("ecdsa-p256-sha256-raw")),
    "hmac_sha1": (170, _mac("hmac-sha1")),
    "hmac_sha256": (174, _mac("hmac-sha256")),
    "hmac_sm3": (174, _mac("hmac-sm3")),
    "rsa_oaep_2048_sha1_mgf1sha1": (36, _oaep("oaep-sha1")),
    "rsa_oaep_2048_sha256_mgf1sha1": (31, _oaep("oaep-sha256-mgf1-sha1")),
    "rsa_oaep_2048_sha256_mgf1sha256": (37, _oaep("oaep-sha256")),
    "rsa_pkcs1_2048": (67, _pkcs1),
    "rsa_pkcs1_2048_sig_gen": (43, _generated),
    "rsa_signature_2048_sha256": (259, _verified("rsa-sha256")),
    "rsa_signature_3072_sha256": (259, _verified("rsa-sha256")),
    "sm4_gcm": (104, _gcm),
}
"""File -> how many cases it holds, and how one is run."""


def _cases(name: str) -> Iterator[tuple[Case, Case]]:
    held = json.loads((FOLDER / f"{name}_test.json").read_text(encoding="utf-8"))
    for group in held["testGroups"]:
        group["sm4"] = name == "sm4_gcm"
        for case in group["tests"]:
            yield group, case


def _accepted(run: Callable[[Case, Case], None], group: Case, case: Case) -> bool:
    try:
        run(group, case)
    except AuthenticityError:
        return False
    return True


def test_the_files_are_wycheproofs_own() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    assert {f"{name}_test.json" for name in FILES} <= set(sums)
    for name in FILES:
        data = (FOLDER / f"{name}_test.json").read_bytes()
        assert hashlib.sha256(data).hexdigest() == sums[f"{name}_test.json"]


@pytest.mark.parametrize("name", FILES)
def test_wycheproof(name: str, record_wycheproof: Callable[[str, int, int], None]) -> None:
    expected, run = FILES[name]
    ran = outside = 0
    wrong: list[str] = []
    for group, case in _cases(name):
        ran += 1
        if case["result"] == "acceptable":
            wanted, _ = ACCEPTABLE[name, case["tcId"]]
        else:
            wanted = case["result"] == "valid"
        try:
            accepted = _accepted(run, group, case)
        except UsageError as error:
            low, high = sealed.NONCE_BYTES
            if "a GCM nonce has 8 to 128 bytes" not in str(error) or low <= len(case["iv"]) // 2 <= high:
                raise
            outside += 1
            continue
        if accepted != wanted:
            wrong.append(f"{name} {case['tcId']} is {case['result']}: {case['comment']} {case['flags']}")
    assert wrong == []
    assert ran == expected
    assert outside == OUTSIDE.get(name, 0)
    record_wycheproof(name, ran, outside)


def test_the_count_is_what_was_asked_for() -> None:
    assert sum(count for count, _ in FILES.values()) >= CASES_AT_LEAST
