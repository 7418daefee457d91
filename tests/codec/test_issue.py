"""Every issue code has its sentence."""

from __future__ import annotations

import pytest

from paysim.codec.issue import TEXTS, describe, issue

FILLED = [
    ("TEMPLATE_62_TRUNCATED", "inside template 62"),
    ("DUPLICATE_ID_IN_61", "template 61"),
    ("MISSING_60", "object 60"),
    ("LENGTH_59", "object 59"),
    ("LENGTH_61_5F20", "object 5F20 in template 61"),
    ("NO_GUID_91", "template 91"),
    ("GUID_LENGTH_29", "template 29"),
]


@pytest.mark.parametrize(("code", "words"), FILLED)
def test_the_numbers_are_filled_in(code, words):
    assert words in describe(code)


@pytest.mark.parametrize("code", TEXTS)
def test_sentences_are_plain(code):
    filled = describe(code.replace("xx", "29").replace("yy", "01"))
    assert "{" not in filled
    assert not filled.endswith(".")


def test_an_issue_reads_well():
    found = issue("LENGTH_62_01", "62.01", 104)
    assert (found.code, found.path, found.offset) == ("LENGTH_62_01", "62.01", 104)
    assert found.text == "the value of object 01 in template 62 is longer or shorter than it may be"
