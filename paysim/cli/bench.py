"""`paysim bench`: the signing core's figures, each beside its limit or its peer in the same run.

Figures are medians over rounds; in a round both sides run a batch, one after the other, so that what else
the machine does falls on both. Absolute figures drift, ratios count. A budget that is not met is no failure
of the command: a machine differs from the one that the budgets were made on.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
import warnings
from argparse import Namespace
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from paysim.core.errors import UsageError

from .bench_rows import ROWS, Call, Pair, Row
from .screen import Screen

__all__ = ["run"]

_ROUNDS: Final = 7
_BATCH_S: Final = 0.08
_SPEED_ROUNDS: Final = 3
_PROCESSES: Final = 2
_CHUNK_S: Final = 0.25
_TIMEOUT_S: Final = 60


class Figure(NamedTuple):
    """One line of the result: rates a second, None where there is none."""

    name: str
    per_second: float
    limit: float | None
    peer: float | None
    ratio: float | None
    budget: float
    met: bool | None
    against: str

    def public(self) -> dict[str, Any]:
        """The line as `--json` gives it."""
        return {name: value for name, value in self._asdict().items() if name != "against"}


def run(arguments: Namespace, screen: Screen) -> int:
    """Measure the rows that are named, or all."""
    rows = _chosen(arguments.names)
    figures = []
    with screen.progress("measuring", len(rows)) as show:
        for done, row in enumerate(rows, 1):
            figures.append(_figure(row))
            show(done)
    screen.table(
        ("operation", "a second", "of", "ratio", "budget", "met"), [_line(figure) for figure in figures]
    )
    missing = sorted(
        {row.peer for row, figure in zip(rows, figures, strict=True) if row.peer and figure.peer is None}
    )
    if missing:
        screen.say(f"peers that are not installed: {', '.join(missing)}")
    screen.result({"rows": [figure.public() for figure in figures]})
    return 0


def _chosen(names: list[str]) -> list[Row]:
    unknown = sorted(set(names) - {row.name for row in ROWS})
    if unknown:
        raise UsageError(
            f"there is no row {', '.join(unknown)}; there are {', '.join(row.name for row in ROWS)}"
        )
    return [row for row in ROWS if not names or row.name in names]


def _line(figure: Figure) -> tuple[str, ...]:
    ratio = "-" if figure.ratio is None else f"{figure.ratio:.2f}"
    met = {True: "yes", False: "no", None: "-"}[figure.met]
    return figure.name, f"{figure.per_second:,.0f}", figure.against, ratio, f"{figure.budget:.2f}", met


def _figure(row: Row) -> Figure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's, about what it imports
        return _measured(row)


def _measured(row: Row) -> Figure:
    kind, _, rest = row.against.partition(" ")
    pair = row.make()
    if kind == "openssl":
        ours, other = _beside_openssl(pair.ours, *rest.split())
    elif kind == "processes":
        other, ours = _in_processes(rest)
    else:
        ours, other = _in_turn(pair)
        other = row.rate if kind == "budget" else other
    ratio = ours / other if other else None
    limit, peer = (None, other) if kind == "peer" else (other, None)
    met = None if ratio is None else ratio >= row.budget
    return Figure(row.name, ours, limit, peer, ratio, row.budget, met, row.peer or row.against)


# Timing. ----------------------------------------------------------------------------------------------


def _batch(call: Call, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        call()
    return count / (time.perf_counter() - began)


def _count(call: Call) -> int:
    return max(3, int(_batch(call, 3) * _BATCH_S))


def _in_turn(pair: Pair) -> tuple[float, float | None]:
    """The rates of both sides, measured in turn."""
    sides = [(call, _count(call)) for call in pair if call is not None]
    rounds = [[_batch(call, count) for call, count in sides] for _ in range(_ROUNDS)]
    rates = [statistics.median(side) for side in zip(*rounds, strict=True)]
    return rates[0], rates[1] if len(rates) > 1 else None


def _beside_openssl(call: Call, algorithm: str, direction: str) -> tuple[float, float | None]:
    """Our rate and that of `openssl speed`, measured in turn; None where there is no openssl command."""
    count = _count(call) * 6
    ours, theirs = [], []
    for _ in range(_SPEED_ROUNDS):
        ours += [_batch(call, count), _batch(call, count)]
        speed = _openssl(algorithm)
        if speed is not None:
            theirs.append(speed[direction])
    return statistics.median(ours), statistics.median(theirs) if theirs else None


def _openssl(algorithm: str) -> dict[str, float] | None:
    """Signatures and verifications a second by `openssl speed`."""
    program = shutil.which("openssl")
    if program is None:
        return None
    command = [program, "speed", "-mr", "-seconds", "1", "-elapsed", algorithm]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
        line = next(line for line in done.stdout.splitlines() if line.startswith(("+F2:", "+F7:")))
        *_, sign, verify = line.split(":")
        return {"sign": float(sign), "verify": float(verify)}
    except (OSError, subprocess.TimeoutExpired, StopIteration, ValueError):
        return None


def _in_processes(verb: str) -> tuple[float, float]:
    """The rates of one and of two processes, over the same batches."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    work, count = _bulk(verb)
    context = get_context("spawn")
    rates: dict[int, list[float]] = {1: [], _PROCESSES: []}
    with (
        ProcessPoolExecutor(1, mp_context=context) as one,
        ProcessPoolExecutor(_PROCESSES, mp_context=context) as two,
    ):
        for executor in (one, two):
            work(executor)
        for _ in range(_ROUNDS):
            for workers, executor in ((1, one), (_PROCESSES, two)):
                began = time.perf_counter()
                work(executor)
                rates[workers].append(count / (time.perf_counter() - began))
    return statistics.median(rates[1]), statistics.median(rates[_PROCESSES])


def _bulk(verb: str) -> tuple[Callable[[Any], object], int]:
    from paysim.crypto import keys, pool, signature

    key = keys.mint("rsa-2048")
    signer, verifier = signature.Signer("rsa-sha256", key), signature.Verifier("rsa-sha256", key.public())
    rate = _batch(lambda: signer.sign(b"x"), 50)
    if verb == "sign":
        messages = [b"%d" % number for number in range(int(rate * _CHUNK_S * 4))]
        return (lambda executor: pool.sign_many(executor, signer, messages)), len(messages)
    made = signer.sign(b"x")
    count = int(rate * _CHUNK_S * 40)
    return (lambda executor: pool.verify_many(executor, verifier, [(b"x", made)] * count)), count
