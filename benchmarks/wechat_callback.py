"""A WeChat Pay callback on the merchant's side: signature verified, resource opened, both read as JSON.

Run: python benchmarks/wechat_callback.py

The callback is one that the sandbox has signed and sealed for a paid order. Beside paysim stand one bare RSA
verification by `cryptography`, which is the floor, and `wechatpayv3`, whose `callback()` does the same work.
Figures are medians over rounds; in a round each side runs a batch, one after the other. Budgets: at most
1.6 x the bare verification; `wechatpayv3` takes at least 1.25 x as long.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from paysim import CNY, Sandbox
from paysim.crypto.canonical import WECHAT_RESPONSE
from paysim.crypto.signature import from_text
from paysim.operators.wechat import notify
from paysim.operators.wechat.keys import MerchantKeys, PlatformKeys
from paysim.operators.wechat.platform_signature import verify_answer
from paysim.operators.wechat.sealing import open_resource

try:
    from wechatpayv3 import WeChatPay, WeChatPayType  # type: ignore[import-untyped]
except ImportError:
    WeChatPay = None

ROUNDS = 25
BATCH_SECONDS = 0.04
KIND = "TRANSACTION.SUCCESS"
BUDGET_BARE, BUDGET_PEER = 1.6, 1.25


class Sent(NamedTuple):
    """A paid order's callback, signed by the public key, and what a merchant's client is set up with."""

    headers: dict[str, str]
    body: bytes
    keys: MerchantKeys
    platform: PlatformKeys
    private: str
    appid: str


def sent() -> Sent:
    """A callback of a sandbox."""
    sandbox = Sandbox(seed=1)
    wechat, shop = sandbox.wechat, sandbox.shop("Tea House")
    sandbox.person("Alice", balance=CNY("100"))
    order = shop.create(CNY("12.80"))
    wechat.payer.pay(wechat.first_person(), order.present("qr.wechat").text)
    merchant, book = wechat.merchant_of(shop.id), wechat.book(order.id)
    assert merchant is not None
    assert book is not None
    keys, platform = wechat.secrets.merchant(merchant.mchid), wechat.platform(merchant.mchid)
    plaintext = notify.content(book, KIND, book.payment, wechat)
    body = notify.envelope("EV-1", wechat.now_ms(), KIND, plaintext, keys.api_v3_key)
    headers = notify.message(body, platform, "public_key", wechat.wall_ms(), wechat.nonce())
    private = wechat.secrets.files(merchant.mchid)["apiclient_key.pem"].decode()
    return Sent(dict(headers), body, keys, platform, private, merchant.apps[0].appid)


def peer(sent: Sent) -> Any:
    """A client of `wechatpayv3` in public-key mode; it asks nothing of a network."""
    return WeChatPay(
        wechatpay_type=WeChatPayType.NATIVE,
        mchid=sent.keys.mchid,
        private_key=sent.private,
        cert_serial_no=sent.keys.serial,
        apiv3_key=sent.keys.api_v3_key,
        appid=sent.appid,
        public_key=sent.platform.public_key.pem().decode(),
        public_key_id=sent.platform.public_key_id,
    )


def bare(headers: dict[str, str], body: bytes, platform: PlatformKeys) -> Callable[[], object]:
    """One verification by `cryptography` alone, of a message that is at hand."""
    key = platform.public_key.loaded
    assert isinstance(key, rsa.RSAPublicKey)
    values = (headers["Wechatpay-Timestamp"], headers["Wechatpay-Nonce"], body)
    message, signature = WECHAT_RESPONSE.string(*values), from_text(headers["Wechatpay-Signature"])
    fill, digest = padding.PKCS1v15(), hashes.SHA256()
    return lambda: key.verify(signature, message, fill, digest)


def seconds_each(work: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def medians(*sides: Callable[[], object]) -> list[float]:
    """Microseconds a call of each side, measured in turns."""
    times = [max(1, int(BATCH_SECONDS / min(seconds_each(side, 20) for _ in range(5)))) for side in sides]
    rounds = [[seconds_each(side, n) for side, n in zip(sides, times, strict=True)] for _ in range(ROUNDS)]
    return [statistics.median(column) * 1e6 for column in zip(*rounds, strict=True)]


def main() -> None:
    callback = sent()
    headers, body, keys, platform, *_ = callback
    verifiers = platform.verifiers()

    def ours() -> tuple[Any, Any]:
        verify_answer(headers, body, verifiers, time.time_ns() // 1_000_000)
        envelope = msgspec.json.decode(body)
        return envelope, msgspec.json.decode(open_resource(keys.api_v3_key, envelope["resource"]))

    sides = [bare(headers, body, platform), ours]
    if WeChatPay is not None:
        client = peer(callback)
        if client.callback(headers, body)["resource"] != ours()[1]:
            raise SystemExit("paysim and wechatpayv3 do not read the same")
        sides.append(lambda: client.callback(headers, body))
    floor, spent, *rest = medians(*sides)
    print(f"{'WeChat Pay callback':<34}{'us':>8}{'to paysim':>11}{'budget':>9}")
    print(f"{'bare RSA verification':<34}{floor:>8.1f}{floor / spent:>11.2f}")
    print(f"{'paysim: verify, open, parse':<34}{spent:>8.1f}{1:>11.2f}")
    print(f"{'  of the bare verification':<34}{'':>8}{spent / floor:>11.2f}{BUDGET_BARE:>9.2f}")
    if rest:
        print(f"{'wechatpayv3 callback()':<34}{rest[0]:>8.1f}{rest[0] / spent:>11.2f}{BUDGET_PEER:>9.2f}")
    else:
        print("wechatpayv3 is not installed: pip install wechatpayv3")


if __name__ == "__main__":
    main()
