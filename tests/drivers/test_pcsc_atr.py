"""What an ATR says of a card, in rows."""

from __future__ import annotations

import pytest

from paysim.drivers.pcsc_atr import kind

ATRS = {
    "": "contact",
    "3B": "contact",
    "3B6800000073C84000009000": "contact",
    "3F6525005226096A90009000": "contact",
    "3B80800101": "iso14443-4",
    "3B8180018080": "iso14443-4",
    "3B8880010000000033817181 5F".replace(" ", ""): "iso14443-4",
    "3B8F8001804F0CA000000306030001000000006A": "mifare classic 1k",
    "3B8F8001804F0CA0000003060300020000000069": "mifare classic 4k",
    "3B8F8001804F0CA0000003060300030000000068": "mifare ultralight",
    "3B8F8001804F0CA00000030603F004000000009F": "topaz",
    "3B8F8001804F0CA00000030611003B0000000042": "felica",
    "3B8F8001804F0CA0000003060B00140000000077": "iso15693",
    "3B8F8001804F0CA00000030677777700000000FF": "contactless storage",
    "3B8F8001804F": "iso14443-4",
}


@pytest.mark.parametrize(("atr", "expected"), ATRS.items())
def test_the_kind_of_a_card(atr: str, expected: str) -> None:
    assert kind(bytes.fromhex(atr)) == expected
