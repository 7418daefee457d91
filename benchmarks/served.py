"""A sandbox behind sockets, in a process of its own, and a merchant who signs; for the benchmarks."""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from paysim.crypto import authority, keys
from paysim.crypto.signature import Signer
from paysim.operators.wechat.keys import SCHEME_NAME, MerchantCertificate, MerchantKeys
from paysim.operators.wechat.signing import authorization

NATIVE = "/v3/pay/transactions/native"
REFUNDS = "/v3/refund/domestic/refunds"
NOTIFY_URL = "https://shop.example/notify"
_READY_S = 30


class Merchant(NamedTuple):
    """What a merchant of WeChat Pay signs with."""

    appid: str
    keys: MerchantKeys

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Merchant:
        """The default merchant of the sandbox that `sandbox.json` describes."""
        found, folder = described["wechat"], Path(described["keys"])
        certificate = MerchantCertificate.of(
            authority.certificate((folder / found["certificate"]).read_bytes())
        )
        signer = Signer(SCHEME_NAME, keys.private((folder / found["private_key"]).read_bytes()))
        kept = MerchantKeys(found["mchid"], (certificate,), found["apiv3_key"], signer=signer)
        return cls(found["appid"], kept)

    def signed(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> tuple[str, bytes]:
        """The Authorization of a request, and its body."""
        raw = json.dumps(body).encode() if body is not None else b""
        now_s = int(time.time())
        return authorization(self.keys, method, target, raw, secrets.token_hex(16), now_s), raw

    def order(self, number: str, notify_url: str = NOTIFY_URL) -> dict[str, Any]:
        """The body of a Native order of one yuan."""
        return {
            "appid": self.appid,
            "mchid": self.keys.mchid,
            "description": "Tea",
            "out_trade_no": number,
            "notify_url": notify_url,
            "amount": {"total": 100, "currency": "CNY"},
        }

    def by_number(self, number: str) -> str:
        """The target that queries an order."""
        return f"/v3/pay/transactions/out-trade-no/{number}?mchid={self.keys.mchid}"


def command(keys_folder: Path, *options: str) -> list[str]:
    """`paysim serve` on any free port."""
    first = [sys.executable, "-m", "paysim", "serve", "--json"]
    return [*first, "--port", "0", "--keys", str(keys_folder), *options]


@contextlib.contextmanager
def served(keys_folder: Path, *options: str) -> Iterator[Mapping[str, Any]]:
    """What a running `paysim serve` says of itself, as in `sandbox.json`; it ends with the block."""
    with subprocess.Popen(command(keys_folder, *options), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            ready, _, _ = select.select([process.stdout], [], [], _READY_S)
            line = process.stdout.readline() if ready else b""
            if not line:
                raise SystemExit("the sandbox did not start")
            yield json.loads(line)
        finally:
            process.send_signal(signal.SIGTERM)


def address(described: Mapping[str, Any]) -> tuple[str, int]:
    """Where the sandbox listens."""
    parts = urlsplit(described["wechat"]["base_url"])
    return parts.hostname or "127.0.0.1", parts.port or 80
