"""The same signatures as the clients that merchants use, where they are installed."""

from __future__ import annotations

import importlib
import os
import warnings
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.crypto import canonical, sealed, signature
from paysim.crypto.keys import PrivateKey, SymmetricKey
from paysim.crypto.signature import Signer, Verifier

NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True).filter(lambda name: name not in ("sign", "sign_type"))
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def _peer(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            if os.environ.get("PAYSIM_ALL") == "1":
                raise
            pytest.skip(f"{name} is not installed")


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=8))
def test_wechatpy_signs_v2_so(parameters: dict[str, str]) -> None:
    peer = _peer("wechatpy.pay.utils")
    parameters["appid"] = "wx1"  # of nothing but empty values, it signs `key=` and the rule's text `&key=`
    key = SymmetricKey("hmac", b"192006250b4c09247ec02edce69f6a2d")
    message, secret = canonical.WECHAT_V2.string(parameters), key.secret.decode()
    made = Signer("wechat-v2-md5", key).sign(message).decode()
    assert made == peer.calculate_signature(parameters, secret)
    made = Signer("wechat-v2-hmac-sha256", key).sign(message).decode()
    assert made == peer.calculate_signature_hmac(parameters, secret)


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(NAMES, VALUES.filter(bool), min_size=1, max_size=8))
def test_python_alipay_sdk_signs_and_verifies_so(rsa_key: PrivateKey, parameters: dict[str, str]) -> None:
    pems = rsa_key.pem(form="pkcs1").decode(), rsa_key.public().pem().decode()
    for scheme, name in (("rsa-sha256", "RSA2"), ("rsa-sha1", "RSA")):
        client = _peer("alipay").AliPay("2021000000000001", None, *pems, sign_type=name)
        message = canonical.ALIPAY_REQUEST.string(parameters)
        made = signature.to_text(Signer(scheme, rsa_key).sign(message))
        assert client._sign(message.decode()) == made
        assert client.verify(dict(parameters), made)


def test_wechatpayv3_signs_opens_and_seals_so(rsa_key: PrivateKey) -> None:
    peer = _peer("wechatpayv3.utils")
    values = ("POST", "/v3/pay/transactions/jsapi?a=%E8", "1554208460", "593BEC0C", '{"total":100}')
    text = canonical.WECHAT_REQUEST.string(*values).decode()
    made = peer.rsa_sign(rsa_key.loaded, text)
    Verifier("rsa-sha256", rsa_key.public()).verify(text.encode(), signature.from_text(made))
    api_key = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"
    box = sealed.Gcm(SymmetricKey("aes-256", api_key.encode()))
    ciphertext = signature.to_text(box.seal("茶".encode(), "uluk4a9R25RW", "transaction"))
    assert peer.aes_decrypt("uluk4a9R25RW", ciphertext, "transaction", api_key) == "茶"
    cipher = sealed.Oaep("oaep-sha1", rsa_key)
    plain = peer.rsa_decrypt(signature.to_text(cipher.seal("茶".encode())), rsa_key.loaded)
    assert plain == "茶"
