"""Hypothesis strategies for codes: what can be written, and what a scanner may hand us."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=25)
TEMPLATES = [f"{n:02}" for n in (*range(26, 52), 64, *range(80, 100))]
PLAIN = [f"{n:02}" for n in range(1, 100) if f"{n:02}" not in TEMPLATES and n not in (62, 63)]


def _template() -> st.SearchStrategy[dict[str, str]]:
    idents = st.sampled_from([f"{n:02}" for n in range(50)])
    return st.dictionaries(idents, st.text(string.printable, min_size=1, max_size=12), min_size=1, max_size=5)


@st.composite
def merchant_fields(draw: st.DrawFn) -> dict[str, Any]:
    """The objects of a merchant's code that the syntax can carry, meaningful or not, without 63."""
    fields: dict[str, Any] = {"00": draw(TEXT)}
    fields |= draw(st.dictionaries(st.sampled_from(PLAIN), TEXT, max_size=12))
    fields |= draw(st.dictionaries(st.sampled_from([*TEMPLATES, "62"]), _template(), max_size=5))
    if draw(st.booleans()):
        fields["62"] = {"01": "x", "50": draw(_template())}
    return fields


def mutated(seeds: list[str], alphabet: str, count: int, *, seed: int) -> Iterator[str]:
    """`count` texts: half of them random, half seeds with some characters changed, cut or repeated."""
    source = random.Random(seed)
    changes: list[Callable[[str], str]] = [
        lambda text: _splice(source, text, ""),
        lambda text: _splice(source, text, source.choice(alphabet)),
        lambda text: _splice(source, text, _noise(source, alphabet)),
        lambda text: text[: source.randrange(len(text) + 1)],
        lambda text: text[source.randrange(len(text) + 1) :],
        lambda text: text + source.choice(seeds),
    ]
    for number in range(count):
        if number % 2:
            yield _noise(source, alphabet)
            continue
        text = source.choice(seeds)
        for _ in range(source.randrange(1, 4)):
            text = source.choice(changes)(text)
        yield text


def _noise(source: random.Random, alphabet: str) -> str:
    return "".join(source.choices(alphabet, k=source.randrange(40)))


def _splice(source: random.Random, text: str, middle: str) -> str:
    at = source.randrange(len(text) + 1)
    return text[:at] + middle + text[at + source.randrange(3) :]


PRIMITIVE_TAGS = (0x4F, 0x50, 0x57, 0x5A, 0x82, 0x5F20, 0x9F26, 0x9F8101, 0x9F818201)
CONSTRUCTED_TAGS = (0x61, 0x70, 0x77, 0xA5, 0xBF0C, 0x7F818101)


def trees(constructed: tuple[int, ...] = CONSTRUCTED_TAGS) -> st.SearchStrategy[tuple[tuple[int, Any], ...]]:
    """TLV trees of up to three levels, as `tlv.decode` gives them."""
    leaf = st.tuples(st.sampled_from(PRIMITIVE_TAGS), st.binary(max_size=300))
    node = leaf
    for _ in range(2):
        level = st.lists(node, min_size=1, max_size=4).map(tuple)
        node = st.one_of(leaf, st.tuples(st.sampled_from(constructed), level))
    return st.lists(node, max_size=4).map(tuple)
