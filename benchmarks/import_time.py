"""The time that `import paysim` takes, and what it pulls in.

Run: python benchmarks/import_time.py

Each import is in a fresh interpreter; the time of an interpreter that imports nothing is taken off. Beside it
the bare import of msgspec, the one package that paysim needs at once. Medians. Budget: 100 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15
LATE = ("cryptography", "PIL", "rich", "numpy", "qrcode", "zxingcpp")


def start_ms(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    codes = {
        "nothing": "pass",
        "msgspec": "import msgspec",
        "paysim": "import paysim",
        "Sandbox": "from paysim import Sandbox",
    }
    rounds = [{name: start_ms(code) for name, code in codes.items()} for _ in range(ROUNDS)]
    bare = statistics.median(row["nothing"] for row in rounds)
    for name in ("msgspec", "paysim", "Sandbox"):
        print(f"import {name:<8} {statistics.median(row[name] for row in rounds) - bare:8.1f} ms")
    print("budget              100.0 ms")
    loaded = (
        f"import sys; from paysim import Sandbox; print([name for name in {LATE!r} if name in sys.modules])"
    )
    names = subprocess.run(
        [sys.executable, "-c", loaded], check=True, capture_output=True, text=True
    ).stdout.strip()
    print(f"imported too early: {names}")


if __name__ == "__main__":
    main()
