"""Application cryptograms beside pyemv: equal output, and how long each takes.

Run: python benchmarks/cryptogram.py

The rows: a retail MAC of 33 bytes; session key and cryptogram of a card whose key is at hand; the same from
the issuer's key on, a new card each time, and then one card again and again; a card's signature (RSA) beside
its bare private operation. Figures are medians over rounds; in a round each side runs a batch, one after the
other. Budgets: 1.5 x pyemv with the session key, 2.5 x with the card key, 0.7 x of the bare operation.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from itertools import count

from paysim.crypto import derive, mac, oda, raw_rsa
from paysim.crypto.cryptogram import MINIMUM, CardKey, application_cryptogram

try:
    import pyemv
except ImportError:
    pyemv = None

IMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
PAN, PSN = "4761739001010010", "01"
ELEMENTS = {
    "9F02": bytes.fromhex("000000004000"),
    "9F03": bytes(6),
    "9F1A": bytes.fromhex("0156"),
    "95": bytes(5),
    "5F2A": bytes.fromhex("0156"),
    "9A": bytes.fromhex("261123"),
    "9C": b"\x00",
    "9F37": bytes.fromhex("52BF4585"),
    "82": bytes.fromhex("1980"),
    "9F36": bytes.fromhex("001C"),
    "9F10": bytes.fromhex("0110A00003220000DAC10000000000000000"),
}
MESSAGE = b"".join(ELEMENTS[tag] for tag in MINIMUM)

ROUNDS = 25
BATCH_SECONDS = 0.04


def theirs_from_card_key(card_key: bytes) -> bytes:
    diversifier = ELEMENTS["9F36"] + b"\0\0" + ELEMENTS["9F37"]
    message = b"".join(ELEMENTS[tag] for tag in MINIMUM) + ELEMENTS["9F10"][2:8]
    return pyemv.ac.generate_ac(pyemv.kd.derive_common_sk(card_key, diversifier), message)


def seconds_each(work: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def medians(*sides: Callable[[], object]) -> list[float]:
    """Seconds a call of each side, measured in turns."""
    times = [max(1, int(BATCH_SECONDS / min(seconds_each(side, 20) for _ in range(5)))) for side in sides]
    rounds = [[seconds_each(side, n) for side, n in zip(sides, times, strict=True)] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def row(name: str, ours: float, beside: float | None, unit: str) -> None:
    peer = f"{beside * 1e6:>11,.1f}{beside / ours:>7.2f}" if beside else f"{'-':>11}{'-':>7}"
    print(f"{name:34}{ours * 1e6:>10,.1f}{peer}  {unit}")


def compare(name: str, ours: Callable[[], bytes], theirs: Callable[[], bytes], unit: str) -> None:
    """A row, after both sides gave the same bytes."""
    if pyemv is None:
        row(name, medians(ours)[0], None, f"{unit}; pyemv is not installed")
        return
    if ours() != theirs():
        raise SystemExit(f"{name}: paysim and pyemv do not agree")
    row(name, *medians(ours, theirs), unit)


def main() -> None:
    warnings.simplefilter("ignore")  # pyemv's use of deprecated names would fill the screen
    card_key = derive.card_key_a(IMK, PAN, PSN)
    card = CardKey("mchip16", card_key)
    print(f"{'':34}{'paysim':>10}{'beside it':>11}{'ratio':>7}  unit, and what stands beside it")
    compare(
        "retail MAC",
        lambda: mac.mac_3(IMK, MESSAGE),
        lambda: pyemv.mac.mac_iso9797_3(IMK[:8], IMK[8:], MESSAGE, 2),
        "us; pyemv",
    )
    compare(
        "session key, cryptogram",
        lambda: card.application_cryptogram(ELEMENTS),
        lambda: theirs_from_card_key(card_key),
        "us; pyemv (budget 1.5)",
    )
    ours_pan, their_pan = count(4761739001010010), count(4761739001010010)
    compare(
        "card key, session key, cryptogram",
        lambda: application_cryptogram("mchip16", IMK, str(next(ours_pan)), PSN, ELEMENTS),
        lambda: theirs_from_card_key(pyemv.kd.derive_icc_mk_a(IMK, str(next(their_pan)), PSN)),
        "us; pyemv (budget 2.5)",
    )
    compare(
        "the same, the same card again",
        lambda: application_cryptogram("mchip16", IMK, PAN, PSN, ELEMENTS),
        lambda: theirs_from_card_key(pyemv.kd.derive_icc_mk_a(IMK, PAN, PSN)),
        "us; pyemv",
    )
    signer = raw_rsa.generate(1152)
    tap = {tag: ELEMENTS[tag] for tag in ("9F37", "9F02", "5F2A")} | {"9F69": bytes([1] * 7)}
    block = b"\x6a" + bytes(signer.public.size - 1)
    signature = oda.sign_fast(signer, b"\x00\x1c", tap)
    made, bare = medians(lambda: oda.sign_fast(signer, b"\x00\x1c", tap), lambda: signer.sign(block))
    row("fDDA signature, RSA-1152", made, bare, "us; bare private operation (budget 0.7)")
    (verified,) = medians(lambda: oda.verify_fast(signer.public, signature, tap))
    row("fDDA verification, RSA-1152", verified, None, "us")


if __name__ == "__main__":
    main()
