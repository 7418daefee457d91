"""What is sealed opens again, agrees with published answers, and refuses any change."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.core.errors import AuthenticityError, UsageError
from paysim.crypto import authority, keys, sealed
from paysim.crypto.keys import PrivateKey, SymmetricKey
from paysim.crypto.sealed import Cbc, Ecb, Gcm, Oaep, OfficialAccount, Pkcs1

VECTORS = Path(__file__).parent.parent / "vectors"
WECHAT = json.loads((VECTORS / "wechat.json").read_text("utf-8"))["vectors"]
ALIPAY = json.loads((VECTORS / "alipay.json").read_text("utf-8"))["items"]
AES_KINDS = {16: "aes-128", 32: "aes-256"}
SECRET = b"a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"
NONCE = "uluk4a9R25RW"


def _wechat(kind: str) -> list[Any]:
    return [pytest.param(one, id=one["id"]) for one in WECHAT if one["kind"] == kind]


@pytest.mark.parametrize("item", _wechat("aes-gcm"))
def test_wechat_aes_gcm(item: dict[str, Any]) -> None:
    secret = item["key"].encode()
    box = Gcm(SymmetricKey(AES_KINDS[len(secret)], secret))
    plaintext, ciphertext = item["plaintext"].encode(), base64.b64decode(item["ciphertext"])
    assert box.open(ciphertext, item["nonce"], item["associated_data"]) == plaintext
    assert box.seal(plaintext, item["nonce"], item["associated_data"]) == ciphertext


@pytest.mark.parametrize("item", _wechat("aes-gcm-certificate"))
def test_wechat_certificates(item: dict[str, Any]) -> None:
    box = Gcm(SymmetricKey("aes-256", item["key"].encode()))
    (row,) = item["response"]["data"]
    sealed_one = row["encrypt_certificate"]
    text = box.open(
        base64.b64decode(sealed_one["ciphertext"]), sealed_one["nonce"], sealed_one["associated_data"]
    )
    assert hashlib.sha256(text).hexdigest() == item["plaintext_sha256"]
    read = authority.certificate(text)
    assert (read.serial, read.name) == (item["expect_serial"], item["expect_subject_cn"])
    assert read.key.kind == "rsa-2048"


@pytest.mark.parametrize("item", _wechat("sm4-gcm"))
def test_wechat_sm4_gcm(item: dict[str, Any]) -> None:
    box = Gcm(sealed.sm4_key(item["api_v3_key"]))
    plaintext, ciphertext = item["plaintext"].encode(), base64.b64decode(item["ciphertext"])
    assert box.open(ciphertext, item["nonce"], item["associated_data"]) == plaintext
    assert box.seal(plaintext, item["nonce"], item["associated_data"]) == ciphertext


@pytest.mark.parametrize("item", _wechat("aes-ecb"))
def test_wechat_aes_ecb(item: dict[str, Any]) -> None:
    box = Ecb(SymmetricKey("aes-256", item["key"].encode()))
    ciphertext = base64.b64decode(item["ciphertext"])
    assert box.open(ciphertext).decode() == item["plaintext"]
    assert box.seal(item["plaintext"].encode()) == ciphertext


@pytest.mark.parametrize("item", _wechat("v2-refund-req-info"))
def test_wechat_refund_notices(item: dict[str, Any]) -> None:
    key = sealed.refund_notice_key(item["api_key"])
    assert key.secret.decode() == item["derived_key_md5_hex"]
    text = Ecb(key).open(base64.b64decode(item["req_info"]))
    assert text.decode() == item["plaintext"]
    assert Ecb(key).seal(text) == base64.b64decode(item["req_info"])


@pytest.mark.parametrize("item", _wechat("oa-msg-crypt"))
def test_official_account_messages(item: dict[str, Any]) -> None:
    box = OfficialAccount(item["encoding_aes_key"], item["app_id"])
    ciphertext = base64.b64decode(item["encrypt"])
    assert box.open(ciphertext).decode() == item["xml"]
    assert box.seal(item["xml"].encode(), item["random16"].encode()) == ciphertext
    with pytest.raises(AuthenticityError):
        OfficialAccount(item["encoding_aes_key"], "wx0000000000000000").open(ciphertext)


@pytest.mark.parametrize("item", [one for one in ALIPAY if one["kind"] == "aes_biz_content"])
def test_alipay_content(item: dict[str, Any]) -> None:
    box = Cbc(SymmetricKey("aes-128", base64.b64decode(item["key_base64"])))
    ciphertext = base64.b64decode(item["ciphertext_base64"])
    assert box.open(ciphertext).decode() == item["plaintext"]
    assert box.seal(item["plaintext"].encode()) == ciphertext


# Changes. -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["aes-128", "aes-192", "aes-256", "sm4"])
@given(
    plaintext=st.binary(max_size=100),
    nonce=st.binary(min_size=8, max_size=128),
    associated=st.binary(max_size=40),
    data=st.data(),
)
def test_gcm_refuses_every_changed_bit(
    kind: str, plaintext: bytes, nonce: bytes, associated: bytes, data: st.DataObject
) -> None:
    box = Gcm(SymmetricKey(kind, SECRET[: keys.SECRET_SIZES[kind][0]]))
    ciphertext = box.seal(plaintext, nonce, associated)
    assert box.open(ciphertext, nonce, associated) == plaintext
    parts = [ciphertext, nonce, associated]
    which = data.draw(st.sampled_from([at for at, part in enumerate(parts) if part]))
    parts[which] = _changed(parts[which], data)
    with pytest.raises(AuthenticityError, match="does not open"):
        box.open(*parts)


@pytest.mark.parametrize("scheme", sealed.OAEP_HASHES)
@settings(deadline=None)
@given(data=st.data())
def test_oaep_refuses_every_changed_bit(scheme: str, data: st.DataObject, rsa_key: PrivateKey) -> None:
    box = Oaep(scheme, rsa_key)
    plaintext = data.draw(st.binary(max_size=box.most_bytes))
    ciphertext = Oaep(scheme, rsa_key.public()).seal(plaintext)
    assert box.open(ciphertext) == plaintext
    with pytest.raises(AuthenticityError):
        box.open(_changed(ciphertext, data))


@given(message=st.binary(max_size=100), prefix=st.binary(min_size=16, max_size=16), data=st.data())
def test_official_account_padding_and_app_id_count(
    message: bytes, prefix: bytes, data: st.DataObject
) -> None:
    box = OfficialAccount("kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR", "wx49f0ab532d5d035a")
    ciphertext = box.seal(message, prefix)
    assert box.open(ciphertext) == message
    assert len(ciphertext) % 32 == 0
    tail = ciphertext[-16:]  # it holds padding and the end of the app id
    with pytest.raises(AuthenticityError):
        box.open(ciphertext[:-16] + _changed(tail, data))


def test_pkcs1_refuses_what_does_not_fit(rsa_key: PrivateKey, other_rsa_key: PrivateKey) -> None:
    box = Pkcs1(rsa_key)
    ciphertext = Pkcs1(rsa_key.public()).seal(b"6226090000000048")
    assert box.open(ciphertext) == b"6226090000000048"
    for other in (ciphertext[:-1], b"\xff" * 256, bytes(256), b""):
        with pytest.raises(AuthenticityError):
            box.open(other)
    with pytest.raises(AuthenticityError):
        Pkcs1(other_rsa_key).open(b"\0" + ciphertext[1:])


def _changed(value: bytes, data: st.DataObject) -> bytes:
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(st.binary(max_size=200), st.binary(min_size=16, max_size=16))
def test_ecb_and_cbc_come_back(plaintext: bytes, iv: bytes) -> None:
    key = SymmetricKey("aes-256", SECRET)
    assert Ecb(key).open(Ecb(key).seal(plaintext)) == plaintext
    assert Cbc(key).open(Cbc(key).seal(plaintext, iv), iv) == plaintext


# Bad input. ---------------------------------------------------------------------------------------------


def test_nonces_and_ivs_of_the_wrong_length() -> None:
    key = SymmetricKey("aes-256", SECRET)
    for nonce in (b"", b"1234567", bytes(129), "", "1234567"):
        with pytest.raises(UsageError, match=f"8 to 128 bytes; this has {len(nonce)}"):
            Gcm(key).open(bytes(32), nonce)
        with pytest.raises(UsageError, match=f"8 to 128 bytes; this has {len(nonce)}"):
            Gcm(sealed.sm4_key("k")).seal(b"x", nonce)
    with pytest.raises(UsageError, match="16 bytes; this is 8 bytes"):
        Cbc(key).seal(b"x", bytes(8))
    with pytest.raises(UsageError, match="random prefix is 16 bytes; this is 3 bytes"):
        OfficialAccount("kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR", "wx").seal(b"x", b"123")


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17])
def test_short_ciphertexts(size: int, rsa_key: PrivateKey) -> None:
    key = SymmetricKey("aes-256", SECRET)
    official = OfficialAccount("kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR", "wx")
    for box in (Ecb(key), Cbc(key), official, Oaep("oaep-sha1", rsa_key)):
        with pytest.raises(AuthenticityError, match="does not open"):
            box.open(bytes(size))
    for gcm in (Gcm(key), Gcm(sealed.sm4_key("k"))):
        with pytest.raises(AuthenticityError, match="does not open"):
            gcm.open(bytes(size), NONCE)


def test_what_is_too_long(rsa_key: PrivateKey) -> None:
    with pytest.raises(UsageError, match="at most 214 bytes; these are 10000000"):
        Oaep("oaep-sha1", rsa_key.public()).seal(bytes(10_000_000))
    with pytest.raises(UsageError, match="at most 245 bytes; these are 246"):
        Pkcs1(rsa_key).seal(bytes(246))
    box = Gcm(SymmetricKey("aes-256", SECRET))
    assert len(box.open(box.seal(bytes(10_000_000), NONCE), NONCE)) == 10_000_000


def test_keys_that_do_not_fit(rsa_key: PrivateKey, p256_key: PrivateKey) -> None:
    with pytest.raises(UsageError, match="this is <SymmetricKey hmac>"):
        Gcm(SymmetricKey("hmac", SECRET))
    with pytest.raises(UsageError, match="this is bytes"):
        Cbc(SECRET)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="takes an RSA key; this is <PrivateKey p-256"):
        Oaep("oaep-sha1", p256_key)
    with pytest.raises(UsageError, match="not 'oaep-md5'"):
        Oaep("oaep-md5", rsa_key)
    for box in (Oaep("oaep-sha1", rsa_key.public()), Pkcs1(rsa_key.public())):
        with pytest.raises(UsageError, match="takes the private key"):
            box.open(bytes(256))
    with pytest.raises(UsageError, match="43 characters of base64; this is 5 characters"):
        OfficialAccount("short", "wx")


def test_what_is_no_bytes(rsa_key: PrivateKey) -> None:
    key = SymmetricKey("aes-256", SECRET)
    for box in (Ecb(key), Cbc(key), Oaep("oaep-sha1", rsa_key), Pkcs1(rsa_key)):
        for use in (box.seal, box.open):
            with pytest.raises(UsageError, match="bytes, not str"):
                use("text")  # type: ignore[operator]
    with pytest.raises(UsageError, match="given: bytes, str, bytes"):
        Gcm(key).seal("text", NONCE)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="text or bytes"):
        Gcm(key).open(bytes(32), None)  # type: ignore[arg-type]


def test_nothing_shows_a_secret(rsa_key: PrivateKey) -> None:
    key = SymmetricKey("aes-256", SECRET, name="APIv3")
    assert repr(Gcm(key)) == "<Gcm aes-256 APIv3>"
    assert repr(Oaep("oaep-sha1", rsa_key)) == f"<Oaep oaep-sha1 {rsa_key.id}>"
    shown = [Ecb(key), Cbc(key), Pkcs1(rsa_key), OfficialAccount("k" * 43, "wx")]
    assert not [one for one in shown if SECRET.decode() in repr(one) or "kkk" in repr(one)]


@pytest.mark.parametrize("bits", [2041, 2047])
def test_a_key_whose_bits_are_no_whole_bytes_opened_nothing(bits: int) -> None:
    key = keys.private(PrivateKey("", rsa.generate_private_key(65537, bits)).der())
    for box in (Oaep("oaep-sha1", key), Pkcs1(key)):
        assert box.open(box.seal(bytes(box.most_bytes))) == bytes(box.most_bytes)
        with pytest.raises(UsageError, match="seals at most"):
            box.seal(bytes(box.most_bytes + 1))
    for first in range(1, 30):  # each of these overflowed, or not, by chance
        with pytest.raises(AuthenticityError):
            Pkcs1(key).open(bytes([first]) * 255)


def test_texts_and_buffers_that_ended_in_an_error_of_pythons(rsa_key: PrivateKey) -> None:
    with pytest.raises(UsageError, match="an app id is text"):
        OfficialAccount("k" * 43, "\ud800")
    with pytest.raises(UsageError, match="bytes, not str"):
        OfficialAccount("k" * 43, "wx").seal("text", bytes(16))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="bytes, not str"):
        Oaep("oaep-sha1", rsa_key, "label")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="memoryview"):
        Gcm(SymmetricKey("aes-256", SECRET)).seal(memoryview(bytes(64))[::2], NONCE)
