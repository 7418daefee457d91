"""SM2 judged by the worked examples of the standards, by bit flips, and by what a stranger may send."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from counts import count
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.core.errors import AuthenticityError, DecodeError, PaysimError, UsageError
from paysim.crypto import sm
from paysim.crypto.sm_curve import G, N, P, Point, add, multiply, on_curve

VECTORS: dict[str, dict[str, Any]] = {
    item["name"]: item
    for item in json.loads((Path(__file__).parents[1] / "vectors" / "sm.json").read_text())["items"]
}
SIGNED = VECTORS["SM2 sign, default id"]
SEALED = VECTORS["SM2 encrypt C1C3C2"]
KEY = sm.PrivateKey(int(SIGNED["private"], 16))
OTHER = sm.PrivateKey(7)
K = int(SIGNED["k"], 16)
FORMS: list[sm.Form] = ["asn1", "C1C3C2", "C1C2C3"]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def test_the_curve_is_the_standard_one() -> None:
    curve = VECTORS["SM2 curve (sm2p256v1)"]
    assert (f"{P:X}", f"{N:X}", f"{G[0]:X}", f"{G[1]:X}") == (
        curve["p"],
        curve["n"],
        curve["gx"],
        curve["gy"],
    )
    assert on_curve(*G)


def test_the_standard_signature() -> None:
    assert KEY.public.point[1:].hex().upper() == SIGNED["public_x"] + SIGNED["public_y"]
    assert KEY.public.z().hex() == SIGNED["za"]
    message = SIGNED["message_ascii"].encode()
    raw = sm.sign(KEY, message, k=K, id=SIGNED["id_ascii"].encode())
    assert raw.hex().upper() == SIGNED["r"] + SIGNED["s"]
    assert sm.der_signature(raw).hex() == SIGNED["signature_der_hex"]
    assert sm.raw_signature(bytes.fromhex(SIGNED["signature_der_hex"])) == raw
    sm.verify(KEY.public, message, raw)


def test_the_standard_ciphertext_in_every_form() -> None:
    text = SEALED["plaintext_ascii"].encode()
    c1, c2, c3 = (bytes.fromhex(SEALED[name]) for name in ("c1_hex", "c2_hex", "c3_hex"))
    written = {
        "asn1": bytes.fromhex(SEALED["c1c3c2_asn1_hex"]),
        "C1C3C2": c1 + c3 + c2,
        "C1C2C3": c1 + c2 + c3,
    }
    for form in FORMS:
        assert sm.encrypt(KEY.public, text, form=form, k=int(SEALED["k"], 16)) == written[form]
        assert sm.decrypt(KEY, written[form], form=form) == text


@pytest.mark.parametrize("name", ["SM3 abc", "SM3 abcd x16"])
def test_the_standard_digests(name: str) -> None:
    assert sm.sm3(VECTORS[name]["message_ascii"].encode()).hex() == VECTORS[name]["digest"]


def test_the_library_below_has_the_standard_sm4() -> None:
    one, many = VECTORS["SM4 ECB one block"], VECTORS["SM4 ECB 1000000 iterations"]
    encryptor = Cipher(algorithms.SM4(bytes.fromhex(one["key"])), modes.ECB()).encryptor()
    block = bytes.fromhex(one["plaintext"])
    assert encryptor.update(block).hex() == one["ciphertext"]
    for _ in range(many["iterations"]):
        block = encryptor.update(block)
    assert block.hex() == many["ciphertext"]
    item = VECTORS["SM4-GCM"]
    key, nonce, extra, text, sealed, tag = (
        bytes.fromhex(item[name]) for name in ("key", "iv", "aad", "plaintext", "ciphertext", "tag")
    )
    gcm = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    gcm.authenticate_additional_data(extra)
    assert (gcm.update(text) + gcm.finalize(), gcm.tag) == (sealed, tag)


def test_a_wechat_request_in_sm_mode() -> None:
    item = VECTORS["WeChat Pay SM mode: request signature"]
    key = sm.PrivateKey(int(item["private"], 16))
    signature = base64.b64decode(item["signature_b64_der"])
    text = item["sign_string"].encode()
    assert sm.der_signature(sm.sign(key, text, k=int(item["k"], 16))) == signature
    sm.verify(key.public, text, sm.raw_signature(signature))


def test_a_wechat_notice_in_sm_mode_has_the_key_that_sm3_makes() -> None:
    item = VECTORS["WeChat Pay SM mode: notify/certificate decryption"]
    key = sm.sm3(item["api_v3_key"].encode())[:16]
    assert key.hex() == item["sm4_key_hex"]
    sealed = base64.b64decode(item["ciphertext_b64"])
    gcm = Cipher(algorithms.SM4(key), modes.GCM(item["nonce"].encode(), sealed[-16:])).decryptor()
    gcm.authenticate_additional_data(item["associated_data"].encode())
    assert (gcm.update(sealed[:-16]) + gcm.finalize()).decode() == item["plaintext"]


# --- signatures ---


@settings(max_examples=count(500), deadline=None)
@given(
    st.integers(1, N - 2), st.binary(max_size=200), st.binary(max_size=40), st.none() | st.integers(1, N - 1)
)
def test_what_is_signed_verifies(d: int, message: bytes, id: bytes, k: int | None) -> None:
    key = sm.PrivateKey(d)
    raw = sm.sign(key, message, id=id, k=k)
    sm.verify(key.public, message, raw, id=id)
    assert sm.raw_signature(sm.der_signature(raw)) == raw


MESSAGE = b"POST\n/v3/pay/transactions/native\n1636620536\nnonce\n{}\n"
SIGNATURE = sm.sign(KEY, MESSAGE)
DER = sm.der_signature(SIGNATURE)


@pytest.mark.parametrize("part", ["message", "signature", "key"])
def test_every_flipped_bit_is_refused(part: str) -> None:
    whole = {"message": MESSAGE, "signature": SIGNATURE, "key": KEY.public.point}[part]
    for bit in range(0, 8 * len(whole), 10 // count(10)):
        changed = flipped(whole, bit)
        with pytest.raises((AuthenticityError, DecodeError)):
            sm.verify(
                sm.PublicKey(changed) if part == "key" else KEY.public,
                changed if part == "message" else MESSAGE,
                changed if part == "signature" else SIGNATURE,
            )


def test_every_flipped_bit_of_a_der_signature_is_refused() -> None:
    for bit in range(8 * len(DER)):
        with pytest.raises((AuthenticityError, DecodeError)):
            sm.verify(KEY.public, MESSAGE, sm.raw_signature(flipped(DER, bit)))


def test_another_key_and_another_id_are_refused() -> None:
    with pytest.raises(AuthenticityError):
        sm.verify(OTHER.public, MESSAGE, SIGNATURE)
    with pytest.raises(AuthenticityError):
        sm.verify(KEY.public, MESSAGE, SIGNATURE, id=b"")
    with pytest.raises(AuthenticityError):
        sm.verify(KEY.public, MESSAGE, SIGNATURE, id=b"1234567812345679")


R, S = SIGNATURE[:32], SIGNATURE[32:]
FORGED = [
    ("empty", b""),
    ("short", SIGNATURE[:-1]),
    ("long", SIGNATURE + b"\0"),
    ("der where raw is wanted", DER),
    ("zeros", bytes(64)),
    ("r = 0", bytes(32) + S),
    ("s = 0", R + bytes(32)),
    ("r = n", N.to_bytes(32) + S),
    ("s = n", R + N.to_bytes(32)),
    ("all ones", b"\xff" * 64),
    ("s = n - r, so t = 0", R + (N - int.from_bytes(R)).to_bytes(32)),
    ("s = n - s", R + (N - int.from_bytes(S)).to_bytes(32)),
    ("swapped", S + R),
]


@pytest.mark.parametrize("signature", [row[1] for row in FORGED], ids=[row[0] for row in FORGED])
def test_a_forged_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(AuthenticityError):
        sm.verify(KEY.public, MESSAGE, signature)


def test_the_same_message_gives_the_same_signature_and_another_gives_another_k() -> None:
    assert sm.sign(KEY, MESSAGE) == SIGNATURE
    r, s = int.from_bytes(R), int.from_bytes(S)
    k = (s * (1 + KEY.d) + r * KEY.d) % N
    assert sm.sign(KEY, MESSAGE, k=k) == SIGNATURE
    other = sm.sign(KEY, MESSAGE + b".")
    r, s = int.from_bytes(other[:32]), int.from_bytes(other[32:])
    assert (s * (1 + KEY.d) + r * KEY.d) % N != k


def test_a_sum_that_meets_its_own_operand_is_computed_again() -> None:
    for d in (1, 2, 3, N - 2, 1 << 255):
        key = sm.PrivateKey(d)
        for s in (1, 2, 3, 15, 16, 31, 255, 256, N - 31, N - 1):
            for t in (1, 2, 3, 16, 31, s, N - s, N - 1):
                total = add(multiply(G, s), multiply(key.public.affine, t))
                x = None if total is None else total[0] % N
                assert sm._has_x(key.public, s, t, x if x is not None else 0) is (x is not None)
                assert not sm._has_x(key.public, s, t, 5)


def test_a_k_that_gives_no_signature_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    e = int.from_bytes(sm.sm3(KEY.public.z() + b""))
    monkeypatch.setattr(sm, "_point_of", lambda _: ((-e) % N, 0))  # r = 0
    with pytest.raises(UsageError, match="take another"):
        sm.sign(KEY, b"", k=5)
    monkeypatch.setattr(sm, "_point_of", lambda _: ((-e - 5) % N, 0))  # r + k = n
    with pytest.raises(UsageError, match="take another"):
        sm.sign(KEY, b"", k=5)


# --- ciphertexts ---


@settings(max_examples=count(300), deadline=None)
@given(st.binary(min_size=1, max_size=300), st.sampled_from(FORMS), st.none() | st.integers(1, N - 1))
def test_what_is_encrypted_decrypts(text: bytes, form: sm.Form, k: int | None) -> None:
    try:
        sealed = sm.encrypt(KEY.public, text, form=form, k=k)
    except UsageError:  # one k in 256 hides nothing of a single byte
        if k is None or len(text) > 3:
            raise
        return
    assert sm.decrypt(KEY, sealed, form=form) == text


@pytest.mark.parametrize("form", FORMS)
def test_every_flipped_bit_of_a_ciphertext_is_refused(form: sm.Form) -> None:
    sealed = sm.encrypt(KEY.public, b"6222020000000000", form=form)
    for bit in range(0, 8 * len(sealed), 10 // count(10)):
        with pytest.raises((AuthenticityError, DecodeError)):
            sm.decrypt(KEY, flipped(sealed, bit), form=form)


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_or_foreign_ciphertext_is_refused(form: sm.Form) -> None:
    sealed = sm.encrypt(KEY.public, b"6222020000000000", form=form)
    for size in range(len(sealed)):
        with pytest.raises((AuthenticityError, DecodeError)):
            sm.decrypt(KEY, sealed[:size], form=form)
    with pytest.raises(AuthenticityError, match="another key"):
        sm.decrypt(OTHER, sealed, form=form)
    with pytest.raises((AuthenticityError, DecodeError)):
        sm.decrypt(KEY, sealed + b"\0", form=form)


def test_a_one_byte_text_is_never_sent_as_it_is() -> None:
    for byte in range(256):
        text = bytes([byte])
        sealed = sm.encrypt(KEY.public, text, form="C1C3C2")
        assert sealed[-1:] != text
        assert sm.decrypt(KEY, sealed, form="C1C3C2") == text


def test_one_k_hides_nothing_and_is_refused() -> None:
    def hides(k: int) -> bool:
        point = multiply(KEY.public.affine, k)
        assert point is not None
        shared = point[0].to_bytes(32) + point[1].to_bytes(32)
        return sm.sm3(shared + bytes([0, 0, 0, 1]))[0] != 0

    k = next(k for k in range(1, 5000) if not hides(k))
    with pytest.raises(UsageError, match="hides nothing"):
        sm.encrypt(KEY.public, b"x", k=k)
    assert sm.decrypt(KEY, sm.encrypt(KEY.public, b"xyz", k=k)) == b"xyz"


@settings(max_examples=count(2000), deadline=None)
@given(st.binary(max_size=200))
def test_garbage_ends_in_an_error_of_ours(data: bytes) -> None:
    for read in (
        lambda: sm.PublicKey(data),
        lambda: sm.raw_signature(data),
        lambda: sm.verify(KEY.public, MESSAGE, data),
        *(lambda form=form: sm.decrypt(KEY, data, form=form) for form in FORMS),
    ):
        with pytest.raises(PaysimError):
            read()


def test_ten_megabytes_are_signed_and_encrypted() -> None:
    text = bytes(10_000_000)
    sm.verify(KEY.public, text, sm.sign(KEY, text))
    assert sm.decrypt(KEY, sm.encrypt(KEY.public, text[:1_000_000])) == text[:1_000_000]


# --- keys ---

OFF_CURVE = KEY.public.point[:-1] + bytes([KEY.public.point[-1] ^ 1])
BAD_POINTS: list[tuple[str, Any, type[PaysimError]]] = [
    ("empty", b"", UsageError),
    ("text", "04" * 65, UsageError),
    ("nothing", None, UsageError),
    ("no prefix", KEY.public.point[1:], UsageError),
    ("compressed", b"\3" + KEY.public.point[1:33], UsageError),
    ("hybrid", b"\7" + KEY.public.point[1:], DecodeError),
    ("off the curve", OFF_CURVE, DecodeError),
    ("zeros", b"\4" + bytes(64), DecodeError),
    ("coordinate = p", b"\4" + P.to_bytes(32) + KEY.public.point[33:], DecodeError),
    ("ones", b"\4" + b"\xff" * 64, DecodeError),
]


@pytest.mark.parametrize(
    ("point", "error"), [row[1:] for row in BAD_POINTS], ids=[row[0] for row in BAD_POINTS]
)
def test_what_is_no_point_of_the_curve_is_no_key(point: Any, error: type[PaysimError]) -> None:
    with pytest.raises(error):
        sm.PublicKey(point)


@pytest.mark.parametrize("d", [0, -1, N - 1, N, 1 << 256, "5", None, 1.5, True])
def test_a_private_key_is_in_range(d: Any) -> None:
    with pytest.raises(UsageError, match=r"from 1 to n - 2$"):
        sm.PrivateKey(d)


@pytest.mark.parametrize("k", [0, -1, N, 1 << 256, "5", 1.5, True])
def test_a_k_is_in_range(k: Any) -> None:
    with pytest.raises(UsageError, match="k is a whole number"):
        sm.sign(KEY, b"", k=k)
    with pytest.raises(UsageError, match="k is a whole number"):
        sm.encrypt(KEY.public, b"x", k=k)


@pytest.mark.parametrize("value", ["text", None, 5, bytearray(b"x")])
def test_what_is_not_bytes_is_refused(value: Any) -> None:
    for call in (
        lambda: sm.sign(KEY, value),
        lambda: sm.sign(KEY, b"", id=value),
        lambda: sm.verify(KEY.public, value, SIGNATURE),
        lambda: sm.verify(KEY.public, b"", value),
        lambda: sm.encrypt(KEY.public, value),
        lambda: sm.decrypt(KEY, value, form="C1C3C2"),
        lambda: sm.decrypt(KEY, value),
        lambda: sm.der_signature(value),
        lambda: sm.raw_signature(value),
        lambda: sm.ephemeral(value),
        lambda: sm.sm3(value),
        lambda: sm.hmac_sm3(value, b""),
        lambda: sm.hmac_sm3(b"", value),
    ):
        with pytest.raises((UsageError, DecodeError)):
            call()


def test_other_mistakes_are_named() -> None:
    with pytest.raises(UsageError, match="one byte or more"):
        sm.encrypt(KEY.public, b"")
    for call in (
        lambda: sm.encrypt(KEY.public, b"x", form="C1"),  # type: ignore[arg-type]
        lambda: sm.decrypt(KEY, b"x", form="C1"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match="one of asn1, C1C3C2, C1C2C3"):
            call()
    with pytest.raises(UsageError, match="at most 8191 bytes"):
        KEY.public.z(bytes(8192))
    assert len(KEY.public.z(bytes(8191))) == 32
    with pytest.raises(UsageError, match="40 random bytes"):
        sm.ephemeral(bytes(39))
    assert 1 <= sm.ephemeral(b"\xff" * 48) <= N - 2


def test_keys_are_values_and_keep_their_secret() -> None:
    twin = sm.PrivateKey(KEY.d)
    assert (twin, hash(twin), twin.public) == (KEY, hash(KEY), KEY.public)
    assert OTHER != KEY
    assert OTHER.public != KEY.public
    for text in (repr(KEY), str(KEY), f"{KEY}", repr([KEY])):
        assert f"{KEY.d:x}" not in text.lower()
        assert str(KEY.d) not in text
    sm.verify(KEY.public, b"", sm.sign(KEY, b""))
    assert len(pickle.dumps((KEY, KEY.public))) < 1000  # the tables stay here
    assert pickle.loads(pickle.dumps((KEY, KEY.public))) == (KEY, KEY.public)
    assert copy.deepcopy(KEY) == KEY
    with pytest.raises(AttributeError):
        KEY.d = 5  # type: ignore[misc]


def test_an_import_builds_no_table_and_draws_nothing() -> None:
    code = (
        "from paysim.crypto import sm; print(len(sm._BASE._table), 'random' in dir(sm), 'secrets' in dir(sm))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["0", "False", "False"]


def test_prepared_keys_sign_and_verify_the_same() -> None:
    key = sm.PrivateKey(KEY.d)
    sm.prepare(key.public)
    assert sm.sign(key, MESSAGE) == SIGNATURE
    sm.verify(key.public, MESSAGE, SIGNATURE)
    with pytest.raises(AuthenticityError):
        sm.verify(key.public, MESSAGE + b".", SIGNATURE)


def test_a_known_point() -> None:
    expected: Point | None = None
    for k in range(1, 20):
        expected = add(expected, G)
        assert sm.PrivateKey(k).public.affine == expected
