"""The time from the command `paysim serve` to its first answer: with keys, and the very first time.

Run: python benchmarks/wechat_start.py

Each start is a fresh process on any free port, asked for its people until it answers. The very first time
every key and certificate is minted, a new folder each round; RSA keys take as long as chance wants. Beside it
stands a bare interpreter. Medians, and the slowest. Budgets: 1.5 s with keys, 4 s the very first time.
"""

from __future__ import annotations

import http.client
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from served import address, command

ROUNDS = 9
BUDGET_S, BUDGET_FIRST_S = 1.5, 4.0


def start_s(keys_folder: Path) -> float:
    """Seconds from the command to the first answer."""
    began = time.perf_counter()
    with subprocess.Popen(command(keys_folder), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        connection = http.client.HTTPConnection(*address(json.loads(process.stdout.readline())))
        connection.request("GET", "/_paysim/people")
        assert connection.getresponse().status == 200
        spent = time.perf_counter() - began
        connection.close()
        process.send_signal(signal.SIGTERM)
    return spent


def bare_s() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began


def row(name: str, spent: list[float], budget_s: float | None) -> None:
    budget = f"{budget_s:>9.1f}" if budget_s else f"{'-':>9}"
    print(f"{name:<34}{statistics.median(spent):>8.2f}{max(spent):>9.2f}{budget}")


def main() -> None:
    firsts, starts, bare = [], [], []
    with tempfile.TemporaryDirectory(dir=".") as made:
        for index in range(ROUNDS):
            folder = Path(made) / str(index)
            firsts.append(start_s(folder))
            starts.append(start_s(folder))
            bare.append(bare_s())
    print(f"{'s from the command to an answer':<34}{'median':>8}{'slowest':>9}{'budget':>9}")
    row("paysim serve, keys at hand", starts, BUDGET_S)
    row("paysim serve, the very first time", firsts, BUDGET_FIRST_S)
    row("a bare interpreter", bare, None)


if __name__ == "__main__":
    main()
