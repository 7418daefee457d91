"""Status words: the ones a card answers, and the ones that count something."""

from __future__ import annotations

import pytest

from paysim.codec.status_words import STATUS_WORDS, describe

# The answers of emv_nfc.md 3.4.
ANSWERS = [
    *(0x9000, 0x6283, 0x6300, 0x6700, 0x6982, 0x6983, 0x6984, 0x6985, 0x6986, 0x6987, 0x6988),
    *(0x6A80, 0x6A81, 0x6A82, 0x6A83, 0x6A86, 0x6A88, 0x6D00, 0x6E00),
]

DESCRIBED = [
    (0x9000, "done"),
    (0x6A82, "not found"),
    (0x6A83, "record not found"),
    (0x6984, "another interface"),
    (0x6985, "conditions of use"),
    (0x6986, "see phone"),
    (0x6283, "blocked"),
    (0x63C0, "0 tries left"),
    (0x63C1, "1 try left"),
    (0x63CF, "15 tries left"),
    (0x6110, "16 bytes more"),
    (0x6100, "256 bytes more"),
    (0x6C1A, "26 bytes available"),
    (0x6C00, "256 bytes available"),
    (0x63A0, "memory changed"),
    (0x69FF, "not allowed"),
    (0x1234, "unknown"),
    (0x10000, "unknown"),
    (-1, "unknown"),
]


@pytest.mark.parametrize("sw", ANSWERS, ids="{:04X}".format)
def test_every_answer_of_a_card_is_in_the_table(sw):
    assert STATUS_WORDS[sw].sw == sw


@pytest.mark.parametrize(("sw", "words"), DESCRIBED)
def test_status_words_in_words(sw, words):
    assert words in describe(sw)


def test_rows_have_their_own_names():
    names = [row.name for row in STATUS_WORDS.values()]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name.isupper() for name in names)


def test_every_status_word_is_described():
    assert all(describe(sw) for sw in range(0x10000))
