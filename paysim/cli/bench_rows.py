"""The rows of `paysim bench`: what is measured, beside which limit or peer, and the budget.

Every row makes its own keys and checks once that both sides agree before anything is timed. A peer that is
not installed gives a row without a ratio; a limit that this machine cannot measure too.
Source of the budgets: DESIGN section 9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

__all__ = ["ROWS", "Pair", "Row"]

Call = Callable[[], object]


class Pair(NamedTuple):
    """Two calls that are timed in turn; `beside` is None where there is nothing to stand beside."""

    ours: Call
    beside: Call | None = None


class Row(NamedTuple):
    """One line of the table.

    `against` says what the ratio is to: "openssl sign rsa2048" and its like (a figure of `openssl speed`),
    "limit" (a bare call of the library underneath), "peer" or "budget" (a rate). `budget` is the least ratio.
    """

    name: str
    make: Callable[[], Pair]
    against: str
    budget: float
    peer: str = ""
    rate: float = 0.0


_MESSAGE: Final = (
    b"POST\n/v3/pay/transactions/native\n1792000000\n5K8264ILTKCH16CQ2502SI8ZNMTM67VS\n" + b"x" * 220
)
_AMOUNTS: Final = {f"key_{n:02d}": f"value {n}" for n in range(12)} | {"body": "茶 tea", "total_fee": "1280"}


def _rsa() -> tuple[Any, Any]:
    from paysim.crypto import keys, signature

    key = keys.mint("rsa-2048")
    return signature.Signer("rsa-sha256", key), signature.Verifier("rsa-sha256", key.public())


def _rsa_sign() -> Pair:
    signer, _ = _rsa()
    return Pair(lambda: signer.sign(_MESSAGE))


def _rsa_verify() -> Pair:
    signer, verifier = _rsa()
    made = signer.sign(_MESSAGE)
    return Pair(lambda: verifier.verify(_MESSAGE, made))


def _key_load() -> Pair:
    from paysim.crypto import keys

    pem = keys.mint("rsa-2048").der()
    return Pair(lambda: keys.private(pem, trusted=True))


def _aes_gcm() -> Pair:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from paysim.crypto import keys, sealed

    key, nonce, data = keys.mint("aes-256"), "uluk4a9R25RW", b"x" * 600
    ours, bare, raw = sealed.Gcm(key), AESGCM(key.secret), nonce.encode()
    box = ours.seal(data, nonce, "transaction")
    _agree(ours.open(box, nonce, "transaction"), bare.decrypt(raw, box, b"transaction"))
    return Pair(lambda: ours.open(box, nonce, "transaction"), lambda: bare.decrypt(raw, box, b"transaction"))


def _v2_md5() -> Pair:
    from paysim.crypto import canonical, keys, signature

    secret = "192006250b4c09247ec02edce69f6a2d"  # noqa: S105 - the example of the operator's own page
    rule = canonical.WECHAT_V2
    signer = signature.Signer("wechat-v2-md5", keys.SymmetricKey("hmac", secret.encode()))

    def ours() -> bytes:
        return signer.sign(rule.string(_AMOUNTS))

    try:
        from wechatpy.pay.utils import calculate_signature
    except ImportError:
        return Pair(ours)
    _agree(ours().decode(), calculate_signature(_AMOUNTS, secret))
    return Pair(ours, lambda: calculate_signature(_AMOUNTS, secret))


def _alipay() -> tuple[Any, Any, Any, Mapping[str, str]] | tuple[Any, Any, None, Mapping[str, str]]:
    from paysim.crypto import keys, signature

    key = keys.mint("rsa-2048")
    signer = signature.Signer("rsa-sha256", key)
    verifier = signature.Verifier("rsa-sha256", key.public())
    data = {
        "app_id": "2021000000000000",
        "charset": "utf-8",
        "method": "alipay.trade.pay",
        "sign_type": "RSA2",
    }
    data |= {"timestamp": "2026-01-01 08:00:00", "version": "1.0", "biz_content": '{"total_amount":"12.80"}'}
    try:
        from alipay import AliPay
    except ImportError:
        return signer, verifier, None, data
    private = key.pem(form="pkcs1").decode()
    peer = AliPay("2021000000000000", "", private, key.public().pem().decode(), "RSA2")
    return signer, verifier, peer, data


def _alipay_sign() -> Pair:
    from paysim.crypto import canonical, signature

    signer, _, peer, data = _alipay()
    rule = canonical.ALIPAY_REQUEST

    def ours() -> str:
        return signature.to_text(signer.sign(rule.string(data)))

    if peer is None:
        return Pair(ours)
    signed = peer.sign_data(dict(data))  # the query text, its sign URL-encoded at the end
    _agree(ours(), unquote_plus(signed.rpartition("sign=")[2]))
    return Pair(ours, lambda: peer.sign_data(dict(data)))


def _alipay_verify() -> Pair:
    from paysim.crypto import canonical, signature

    signer, verifier, peer, data = _alipay()
    rule = canonical.ALIPAY_NOTIFY
    made = signature.to_text(signer.sign(rule.string(data)))

    def ours() -> None:
        verifier.verify(rule.string(data), signature.from_text(made))

    ours()
    if peer is None:
        return Pair(ours)
    _agree(peer.verify(dict(data), made), True)
    return Pair(ours, lambda: peer.verify(dict(data), made))


_IMK: Final = bytes.fromhex("0123456789ABCDEF23456789ABCDEF01")
_PAN, _PSN = "6212345678901232", "01"
_ELEMENTS: Final = {
    "9F02": bytes.fromhex("000000001280"),
    "9F03": bytes(6),
    "9F1A": bytes.fromhex("0156"),
    "95": bytes(5),
    "5F2A": bytes.fromhex("0156"),
    "9A": bytes.fromhex("260101"),
    "9C": b"\x00",
    "9F37": bytes.fromhex("30901B6A"),
    "82": bytes.fromhex("3C00"),
    "9F36": bytes.fromhex("0056"),
    "9F10": bytes.fromhex("06011203A0B800"),
}


def _cryptograms() -> tuple[Callable[[], bytes], Call | None, Call, Call | None]:
    from paysim.crypto import cryptogram

    card = cryptogram.CardKey.of("visa18", _IMK, _PAN, _PSN)

    def session() -> bytes:
        return card.application_cryptogram(_ELEMENTS)

    def whole() -> bytes:
        return cryptogram.application_cryptogram("visa18", _IMK, _PAN, _PSN, _ELEMENTS)

    try:
        from pyemv import ac, kd
    except ImportError:
        return session, None, whole, None
    data = b"".join(v for t, v in _ELEMENTS.items() if t != "9F10") + _ELEMENTS["9F10"]
    key = kd.derive_icc_mk_a(_IMK, _PAN, _PSN)

    def peer_session() -> bytes:
        common = kd.derive_common_sk(key, _ELEMENTS["9F36"] + bytes(6))
        return ac.generate_ac(common, data, ac.PaddingType.EMV)

    def peer_whole() -> bytes:
        made = kd.derive_icc_mk_a(_IMK, _PAN, _PSN)
        common = kd.derive_common_sk(made, _ELEMENTS["9F36"] + bytes(6))
        return ac.generate_ac(common, data, ac.PaddingType.EMV)

    _agree(session(), peer_session())
    _agree(whole(), peer_whole())
    return session, peer_session, whole, peer_whole


def _cryptogram() -> Pair:
    session, peer, _, _ = _cryptograms()
    return Pair(session, peer)


def _cryptogram_whole() -> Pair:
    _, _, whole, peer = _cryptograms()
    return Pair(whole, peer)


def _sm2(verifying: bool) -> Pair:
    from paysim.crypto import keys, signature, sm

    key = keys.mint("sm2")
    sm.prepare(key.public().loaded)
    signer, verifier = signature.Signer("sm2-sm3", key), signature.Verifier("sm2-sm3", key.public())
    made = signer.sign(_MESSAGE)
    return Pair((lambda: verifier.verify(_MESSAGE, made)) if verifying else (lambda: signer.sign(_MESSAGE)))


def _agree(ours: object, theirs: object) -> None:
    if ours != theirs:
        raise AssertionError("ours and the peer's do not agree; the figure would mean nothing")


# fmt: off
ROWS: Final = (
    Row("rsa2048-sha256-sign", _rsa_sign, "openssl rsa2048 sign", 0.95),
    Row("rsa2048-sha256-verify", _rsa_verify, "openssl rsa2048 verify", 0.78),
    Row("rsa2048-sign-2-processes", _rsa_sign, "processes sign", 1.80),
    Row("rsa2048-verify-2-processes", _rsa_verify, "processes verify", 1.40),
    Row("rsa2048-key-load", _key_load, "budget", 1.0, rate=50_000),
    Row("aes256-gcm-600", _aes_gcm, "limit", 1 / 1.7),
    Row("wechat-v2-md5-sign", _v2_md5, "peer", 2.0, "wechatpy"),
    Row("alipay-sign", _alipay_sign, "peer", 5.0, "python-alipay-sdk"),
    Row("alipay-verify", _alipay_verify, "peer", 15.0, "python-alipay-sdk"),
    Row("application-cryptogram", _cryptogram, "peer", 1.5, "pyemv"),
    Row("application-cryptogram-card-key", _cryptogram_whole, "peer", 2.5, "pyemv"),
    Row("sm2-sm3-sign", lambda: _sm2(False), "openssl sm2 sign", 0.9),
    Row("sm2-sm3-verify", lambda: _sm2(True), "openssl sm2 verify", 0.9),
)
# fmt: on
"""Every row, in the order of the table."""
