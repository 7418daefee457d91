"""Bytes that a codec may be handed: random ones, and known ones with something changed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence


def noise(seeds: Sequence[bytes], count: int, *, seed: int) -> Iterator[bytes]:
    """`count` values: half of them random, half seeds with bytes changed, cut, added or repeated."""
    source = random.Random(seed)
    for number in range(count):
        if number % 2:
            yield source.randbytes(source.randrange(24))
            continue
        changed = bytearray(source.choice(seeds))
        for _ in range(source.randrange(1, 4)):
            at = source.randrange(len(changed) + 1)
            changed[at : at + source.randrange(3)] = source.randbytes(source.randrange(3))
            if changed and source.randrange(4) == 0:
                changed[source.randrange(len(changed)) :] = source.choice(seeds)
        yield bytes(changed)
