"""What a scanned text is: only a payment reaches payment."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from counts import count
from strategies_qr import mutated

from paysim.qr import router
from paysim.qr.router import KINDS, PAYMENTS, TABLE

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "emv_qr.json").read_text("utf-8"))

ROWS = [
    ("100123456789012345", "payment_code", "wechat"),
    ("280123456789012345", "payment_code", "alipay"),
    ("6212345678901234567", "payment_code", "unionpay"),
    ("990123456789012345", "payment_code", "paysim"),
    ("hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8=", "emvqr.consumer", "emv"),
    ("0002016304XXXX", "emvqr.merchant", "emv"),
    ("weixin://wxpay/bizpayurl?pr=JyC91EIz1", "wallet_link", "wechat"),
    ("weixin://wxpay/bizpayurl/up?pr=NwY5Mz9&groupid=00", "wallet_link", "wechat"),
    ("weixin://pay.weixin.qq.com/bizpayurl/up?pr=NwY5Mz9&groupid=00", "wallet_link", "wechat"),
    ("wxp://f2f0Qx_4-abc", "wallet_link", "wechat"),
    ("https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx1", "wallet_link", "wechat"),
    ("https://qr.alipay.com/bax0", "wallet_link", "alipay"),
    ("HTTPS://QR.ALIPAY.COM/FKX01234", "wallet_link", "alipay"),
    ("alipays://platformapi/startapp?saId=10000007", "wallet_link", "alipay"),
    ("https://qr.95516.com/00010000/62123", "wallet_link", "unionpay"),
    ("http://weixin.qq.com/r/abc", "follow_link", "wechat"),
    ("https://u.wechat.com/abc", "follow_link", "wechat"),
    ("https://work.weixin.qq.com/ca/abc", "follow_link", "wechat"),
]

NOT_A_PAYMENT = [
    "",
    "hello",
    "https://example.com/",
    "https://qr.alipay.com.evil.example/bax0",
    "https://evil.example/https://qr.alipay.com/bax0",
    "https://evil.example/?qr.alipay.com/bax0",
    "https://evil.example#qr.alipay.com/bax0",
    "https://qr.alipay.com@evil.example/bax0",
    "https://user@qr.alipay.com/bax0",
    "https://qr.alipay.com:443/bax0",
    "https://qr.alipay.com\\@evil.example/bax0",
    "https://evil.example\\@qr.alipay.com/bax0",
    "https://qr.alipay.com\\.evil.example/bax0",
    "https://xqr.alipay.com/bax0",
    "https://qr-alipay.com/bax0",
    "https://qr.alipay.co/bax0",
    "https://qr.alipay.com./bax0",
    "https://qr.alipаy.com/bax0",  # a Cyrillic letter
    "https://qr。alipay。com/bax0",
    "https://qr.alipay.com/ba x0",
    "https://qr.alipay.com/bax0\n",
    "https://qr.alipay.com/\tbax0",
    " https://qr.alipay.com/bax0",
    "https://qr.alipay.com",
    "https://qr.alipay.com/",
    "https:/qr.alipay.com/bax0",
    "https:qr.alipay.com/bax0",
    "//qr.alipay.com/bax0",
    "qr.alipay.com/bax0",
    "http://qr.alipay.com/bax0",
    "javascript://qr.alipay.com/%0aalert(1)",
    "weixin://wxpay/bizpayurl",
    "weixin://wxpay/bizpayurlx?pr=1",
    "weixin://wxpay.evil.example/bizpayurl?pr=1",
    "weixin://dl/business/?t=1",
    "wxp://",
    "wxp:///f2f0",
    "alipays://platformapi.evil.example/startapp?a=1",
    "https://weixin.qq.com.evil.example/r/abc",
    "https://weixin.qq.com/x/abc",
    "10012345678901234",
    "16012345678901234567",
    "0002",
    "00XX01",
    "hqvdufywmwe",
    "0" * 5000,
    "000201" + "0" * 5000,
]


@pytest.mark.parametrize(("text", "kind", "scheme"), ROWS)
def test_known_texts(text, kind, scheme):
    found = router.route(text)
    assert (found.kind, found.scheme, found.text) == (kind, scheme, text)
    assert found.pays is (kind != "follow_link")


@pytest.mark.parametrize("text", NOT_A_PAYMENT)
def test_lookalikes_are_unknown(text):
    assert router.route(text).kind == "unknown"
    assert not router.route(text).pays


@pytest.mark.parametrize("item", VECTORS["valid"], ids=lambda item: item["id"])
def test_every_known_code_reaches_its_codec(item):
    assert (
        router.route(item["payload"]).kind == {"mpm": "emvqr.merchant", "cpm": "emvqr.consumer"}[item["mode"]]
    )


def test_the_table_uses_known_kinds():
    assert {row.kind for row in TABLE} <= set(KINDS)
    assert set(KINDS) >= PAYMENTS


def test_no_repr_shows_a_payment_code():
    for text, kind, _ in ROWS:
        if kind in ("payment_code", "emvqr.consumer"):
            assert text not in repr(router.route(text))


def test_random_and_changed_texts_have_a_route():
    seeds = [text for text, _, _ in ROWS] + NOT_A_PAYMENT[:40]
    hosts = {row.host for row in TABLE if row.host}
    for text in mutated(seeds, string.printable + "最。а\\@\ud800", count(200_000), seed=20260105):
        found = router.route(text)
        assert found.kind in KINDS
        if found.kind == "wallet_link" and not text.lower().startswith("wxp://"):
            assert text.split("/")[2].lower() in hosts
