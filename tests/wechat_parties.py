"""A merchant and the platform with all their keys, minted once for a run, and requests that they sign."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paysim.codec.http import Request
from paysim.crypto import authority, keys
from paysim.crypto.authority import Authority
from paysim.crypto.canonical import WECHAT_REQUEST
from paysim.crypto.keys import PrivateKey
from paysim.crypto.signature import Signer, Verifier, to_text
from paysim.operators.wechat.keys import (
    MerchantCertificate,
    MerchantKeys,
    PlatformCertificate,
    PlatformKeys,
    Status,
)

VECTORS: dict[str, dict[str, Any]] = {
    one["id"]: one
    for one in json.loads((Path(__file__).parent / "vectors" / "wechat.json").read_text("utf-8"))["vectors"]
}

NOW_S = 1_767_000_000
NOW_MS = NOW_S * 1000
DAY_MS = 86_400_000
MCHID = "1900000001"
API_V3_KEY = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"
API_V2_KEY = "192006250b4c09247ec02edce69f6a2d"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000000012025010100000000000001"
NONCE = "593BEC0C930BF1AFEB40B4A08C8FB242"
TARGET = "/v3/pay/transactions/jsapi"
BODY = '{"appid": "wx1", "description": "茶/杯 <大>", "attach": null, "amount": {"total": 100}}'.encode()


@functools.cache
def pair(name: str) -> PrivateKey:
    """An RSA key under a name."""
    assert name
    return keys.mint("rsa-2048")


@functools.cache
def root() -> Authority:
    return authority.found(pair("root"), serial=7, start_ms=NOW_MS - 900 * DAY_MS, days=4000)


@functools.cache
def merchant_certificate(name: str, status: Status = "valid", *, days: int = 1800) -> MerchantCertificate:
    """Issued to the key of this name a hundred days ago."""
    serial = authority.serial_number(name.encode().ljust(20, b"."))
    start = NOW_MS - 100 * DAY_MS
    issued = root().merchant(pair(name).public(), MCHID, serial=serial, start_ms=start, days=days)
    return MerchantCertificate.of(issued, status)


@functools.cache
def merchant() -> MerchantKeys:
    """Two certificates in force, the newer one's private key, both API keys."""
    held = merchant_certificate("new"), merchant_certificate("old")
    return MerchantKeys(MCHID, held, API_V3_KEY, API_V2_KEY, signer("new"))


@functools.cache
def platform_certificate(name: str, start_days: int, days: int) -> PlatformCertificate:
    """Issued to the key of this name; `start_days` counts from now."""
    serial = authority.serial_number(name.encode().ljust(20, b"."))
    start = NOW_MS + start_days * DAY_MS
    issued = root().platform(pair(name).public(), serial=serial, start_ms=start, days=days)
    return PlatformCertificate.of(issued, pair(name))


@functools.cache
def platform() -> PlatformKeys:
    """A certificate in use, an older one that still is valid, the public key."""
    certificates = platform_certificate("P2", -10, 1800), platform_certificate("P1", -800, 830)
    return PlatformKeys.of(certificates, PUBLIC_KEY_ID, pair("public"))


def signer(name: str) -> Signer:
    return Signer("rsa-sha256", pair(name))


def verifier(name: str) -> Verifier:
    return Verifier("rsa-sha256", pair(name).public())


def header(
    message: bytes, *, key: str = "new", serial: str = "", timestamp: int | str = NOW_S, mchid: str = MCHID
) -> str:
    """An `Authorization` with a signature of any string by any key."""
    signature = to_text(signer(key).sign(message))
    serial = serial or merchant().serial
    return (
        f'WECHATPAY2-SHA256-RSA2048 mchid="{mchid}",nonce_str="{NONCE}",timestamp="{timestamp}",'
        f'serial_no="{serial}",signature="{signature}"'
    )


def string(
    method: str = "POST",
    target: str | bytes = TARGET,
    timestamp: int | str = NOW_S,
    nonce: str = NONCE,
    body: bytes = BODY,
) -> bytes:
    return WECHAT_REQUEST.string(method, target, str(timestamp), nonce, body)


def request(
    authorization: str,
    method: str = "POST",
    target: str = TARGET,
    body: bytes = BODY,
    headers: Mapping[str, str] | None = None,
) -> Request:
    said = {"authorization": authorization, "host": "127.0.0.1:8520", "content-type": "application/json"}
    return Request(method, target, {**said, **(headers or {})}, body)
