"""Known answers of vectors/emv_crypto.json, and draws for cross-checks that every Python repeats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import shake_256
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent / "vectors"


def known(*kinds: str) -> list[Any]:
    """The known answers of these kinds; each has an `id`, most have hex."""
    content = json.loads((VECTORS / "emv_crypto.json").read_text(encoding="utf-8"))
    assert content["count"] == len(content["vectors"])
    return [vector for vector in content["vectors"] if vector["kind"] in kinds]


def name(vector: Any) -> str:
    return str(vector["id"]) if isinstance(vector, dict) else ""


def elements_of(text: dict[str, str]) -> dict[str, bytes]:
    return {tag: bytes.fromhex(value) for tag, value in text.items()}


class Draw:
    """Values drawn from a name: the same name, the same values, whatever `random` does inside."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._drawn = 0

    def octets(self, size: int) -> bytes:
        self._drawn += 1
        return shake_256(f"{self._seed}/{self._drawn}".encode()).digest(size)

    def number(self, low: int, high: int) -> int:
        return low + int.from_bytes(self.octets(8)) % (high - low + 1)

    def digits(self, low: int, high: int) -> str:
        return "".join(str(octet % 10) for octet in self.octets(self.number(low, high)))


def draws(seed: str, count: int) -> Iterator[Draw]:
    for at in range(count):
        yield Draw(f"{seed}-{at}")
