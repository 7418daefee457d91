"""Sign and verify in every scheme, then ask why a signature is wrong.

Keys are minted on the spot and ECDSA draws a random number, so signatures differ from run to run: they are
shown by length, and key ids are masked.
"""

import re

from paysim.core.errors import AuthenticityError
from paysim.crypto import canonical, keys, mismatch
from paysim.crypto.keys import PrivateKey
from paysim.crypto.signature import SCHEMES, Signer, Verifier

pool = {
    "rsa": keys.mint("rsa-2048"),
    "p-256": keys.mint("p-256"),
    "sm2": keys.mint("sm2"),
    "hmac": keys.mint("hmac"),
}
message = canonical.WECHAT_REQUEST.string("GET", "/v3/certificates", "1554208460", "593BEC0C", "")

for scheme, row in SCHEMES.items():
    key = pool[row.key]
    signature = Signer(scheme, key).sign(message)
    verifier = Verifier(scheme, key.public() if isinstance(key, PrivateKey) else key)
    verifier.verify(message, signature)
    size = "up to 72" if scheme in ("ecdsa-p256-sha256", "sm2-sm3") else len(signature)
    print(f"{scheme:<22} {size!s:>8} bytes  {row.meaning}")

print("\nA client decodes the path before it signs:\n")
sent = ("POST", "/v3/pay/transactions?note=%E8%8C%B6", "1554208460", "593BEC0C", '{"total":100}')
signed = canonical.WECHAT_REQUEST.string(sent[0], "/v3/pay/transactions?note=茶", *sent[2:])
signature = Signer("rsa-sha256", pool["rsa"]).sign(signed)
verifier = Verifier("rsa-sha256", pool["rsa"].public())
try:
    verifier.verify(canonical.WECHAT_REQUEST.string(*sent), signature)
except AuthenticityError:
    why = mismatch.explain(verifier, canonical.WECHAT_REQUEST, sent, signature)
    print(re.sub(r"key [0-9a-f]{16}", "key ****", str(why)))
