"""EMV QR: reading a merchant's code with full validation, writing one, and BER-TLV, beside peers.

Run: python benchmarks/emv_qr.py

The code is the worked example of the specification's Annex B (28 objects, Chinese text, 250 characters).
Beside `merchant.decode` stands the limit, a bare loop over the nested objects and the CRC without any rule
or issue; beside `merchant.encode` of a 12-object code its own budget; beside `tlv.decode` of a 110-byte FCI
the package pyemv where it is installed. Figures are medians over rounds; in a round each side runs a batch,
one after the other. Budgets: 30,000 codes a second read, 10 us for one written, 1.4 x pyemv.
"""

from __future__ import annotations

import statistics
import time
from binascii import crc_hqx
from collections.abc import Callable
from typing import Any

from paysim.codec import tlv
from paysim.qr import merchant

try:
    from pyemv import tlv as pyemv_tlv
except ImportError:
    pyemv_tlv = None

ANNEX_B = (
    "00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678520441115802CN"
    "5914BEST TRANSPORT6007BEIJING64200002ZH0104最佳运输0202北京540523.7253031565502016233030412340603***"
    "0708A60086670902ME91320016A0112233449988770708123456786304A13A"
)
TWELVE = {
    "00": "01",
    "01": "12",
    "26": {"00": "paysim.sandbox", "01": "shop-0001"},
    "52": "5411",
    "53": "156",
    "54": "23.72",
    "58": "CN",
    "59": "TEA HOUSE",
    "60": "BEIJING",
    "62": {"05": "T-1001"},
}
FCI = tlv.encode(
    [
        (
            0x6F,
            [
                (0x84, bytes.fromhex("A000000333010101")),
                (
                    0xA5,
                    [
                        (0x50, b"UnionPay Debit"),
                        (0x87, b"\x01"),
                        (0x9F38, bytes.fromhex("9F66049F02069F03069F1A0295055F2A029A039C019F37049F4E14")),
                        (0x5F2D, b"zhen"),
                        (0x9F11, b"\x01"),
                        (0x9F12, b"UnionPay Debit"),
                        (0xBF0C, [(0x9F4D, b"\x0b\x0a"), (0xDF4D, b"\x0c\x0a"), (0x9F5A, b"\x31\x01\x56")]),
                    ],
                ),
            ],
        )
    ]
)
TEMPLATES = frozenset({*map(str, range(26, 52)), "62", "64", *map(str, range(80, 100))})

ROUNDS = 25
BATCH_SECONDS = 0.04
BUDGET_PER_SECOND = 30_000
BUDGET_ENCODE_US = 10
BUDGET_TLV = 1.4


def bare(text: str) -> dict[str, Any]:
    """The nested objects of a code, nothing checked but the CRC."""
    fields = level(text)
    for ident, value in fields.items():
        if ident in TEMPLATES:
            fields[ident] = level(value)
    if f"{crc_hqx(text[:-4].encode(), 0xFFFF):04X}" != fields["63"]:
        raise ValueError
    return fields


def level(text: str) -> dict[str, Any]:
    found = {}
    at = 0
    while at < len(text):
        stop = at + 4 + int(text[at + 2 : at + 4])
        found[text[at : at + 2]] = text[at + 4 : stop]
        at = stop
    return found


def seconds_each(work: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def medians(*sides: Callable[[], object]) -> list[float]:
    """Seconds a call of each side, measured in turns."""
    times = [max(1, int(BATCH_SECONDS / min(seconds_each(side, 50) for _ in range(5)))) for side in sides]
    rounds = [[seconds_each(side, n) for side, n in zip(sides, times, strict=True)] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def main() -> None:
    if not merchant.decode(ANNEX_B, mode="strict").valid:
        raise SystemExit("the specification's example does not validate")
    read, limit, written = medians(
        lambda: merchant.decode(ANNEX_B), lambda: bare(ANNEX_B), lambda: merchant.encode(TWELVE)
    )
    print(f"{'':24}{'paysim':>10}{'beside it':>11}{'ratio':>7}  unit, and what stands beside it")
    row(
        "read and validate",
        1 / read,
        1 / limit,
        limit / read,
        "codes/s; bare loop and CRC, no rule, no issue",
    )
    row("", 1 / read, BUDGET_PER_SECOND, 1 / read / BUDGET_PER_SECOND, "codes/s; the budget")
    row(
        "write 12 objects",
        written * 1e6,
        BUDGET_ENCODE_US,
        BUDGET_ENCODE_US / written / 1e6,
        "us; the budget",
    )
    if pyemv_tlv is None:
        print("BER-TLV: pyemv is not installed")
        return
    ours, theirs = medians(lambda: tlv.decode(FCI), lambda: pyemv_tlv.decode(FCI))
    beside = f"us; pyemv.tlv (budget {BUDGET_TLV})"
    row(f"TLV tree of {len(FCI)} bytes", ours * 1e6, theirs * 1e6, theirs / ours, beside)


def row(name: str, ours: float, beside: float, ratio: float, unit: str) -> None:
    digits = 0 if ours >= 1000 else 1
    print(f"{name:24}{ours:>10,.{digits}f}{beside:>11,.{digits}f}{ratio:>7.2f}  {unit}")


if __name__ == "__main__":
    main()
