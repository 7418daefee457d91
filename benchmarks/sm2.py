"""SM2: how many signatures are made and verified in a second, beside `openssl speed sm2` in the same run.

Run: python benchmarks/sm2.py

One thread, the key kept, the tables grown (`sm.prepare`), messages of 300 bytes, k derived from the key
and the message. Rounds of ours and of OpenSSL's alternate; the median of rounds is taken. Budget: 0.9 of
OpenSSL's figure each way. A key's first use, before any table has grown, stands below.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Callable

from paysim.crypto import sm

ROUNDS = 5
SECONDS = 1.0
MESSAGES = 500
BUDGET = 0.9


def messages(count: int) -> list[bytes]:
    return [b"POST\n/v3/pay/transactions/native\n" + str(i).encode().rjust(268, b"x") for i in range(count)]


def rate(call: Callable[[int], object]) -> float:
    """Calls a second."""
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < SECONDS:
        for _ in range(50):
            call(done)
            done += 1
    return done / spent


def openssl_speed() -> tuple[float, float]:
    """OpenSSL's signatures and verifications a second."""
    told = subprocess.run(
        ["openssl", "speed", "-elapsed", "-seconds", "1", "sm2"], capture_output=True, text=True, check=True
    )
    found = re.search(r"SM2 \(CurveSM2\).*?([\d.]+)\s+([\d.]+)\s*$", told.stdout, re.MULTILINE)
    assert found is not None, told.stdout
    return float(found[1]), float(found[2])


def main() -> None:
    texts = messages(MESSAGES)
    start = time.perf_counter()
    key = sm.PrivateKey(0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8)
    first = sm.sign(key, texts[0])
    first_sign_ms = (time.perf_counter() - start) * 1e3
    start = time.perf_counter()
    sm.verify(key.public, texts[0], first)
    first_verify_ms = (time.perf_counter() - start) * 1e3
    signed = [sm.sign(key, text) for text in texts]
    start = time.perf_counter()
    sm.prepare(key.public)
    prepare_ms = (time.perf_counter() - start) * 1e3

    def verify(i: int) -> None:
        sm.verify(key.public, texts[i % MESSAGES], signed[i % MESSAGES])

    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        ours.append((rate(lambda i: sm.sign(key, texts[i % MESSAGES])), rate(verify)))
        theirs.append(openssl_speed())
    print(f"{'':12}{'ours/s':>10}{'openssl/s':>12}{'ratio':>8}{'budget':>8}")
    for column, name in enumerate(("SM2 sign", "SM2 verify")):
        mine = statistics.median(row[column] for row in ours)
        peer = statistics.median(row[column] for row in theirs)
        print(f"{name:12}{mine:10,.0f}{peer:12,.0f}{mine / peer:8.2f}{BUDGET:8.2f}")
    print(
        f"first signature {first_sign_ms:.0f} ms, first verification {first_verify_ms:.0f} ms, "
        f"largest tables {prepare_ms:.0f} ms"
    )


if __name__ == "__main__":
    main()
