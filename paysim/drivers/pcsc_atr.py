"""What the ATR that a PC/SC reader gives says of a card."""

from __future__ import annotations

from typing import Final

__all__ = ["STANDARDS", "STORAGE_CARDS", "kind"]

CONTACTLESS: Final = bytes.fromhex("8001")
"""TD1 and TD2 of the ATR that a reader makes for a contactless card. Source: PC/SC part 3 3.1.3.2.3"""

_STORAGE: Final = bytes.fromhex("804F0CA000000306")
"""How the historical bytes of a card without ISO/IEC 14443-4 begin. Source: PC/SC part 3 3.1.3.2.3.2"""

STORAGE_CARDS: Final = {
    0x0001: "mifare classic 1k",
    0x0002: "mifare classic 4k",
    0x0003: "mifare ultralight",
    0x0026: "mifare mini",
    0x0036: "mifare plus sl1 2k",
    0x0037: "mifare plus sl1 4k",
    0x003A: "mifare ultralight c",
    0x003B: "felica",
    0xF004: "topaz",
    0xF011: "felica",
    0xF012: "felica",
}
"""Card name of a storage card's ATR -> kind. Source: PC/SC part 3 supplemental document; F0xx: ACS manuals"""

STANDARDS: Final = {0x03: "iso14443-3a", 0x07: "iso14443-3b", 0x0B: "iso15693", 0x11: "felica"}
"""Standard of a storage card that has no row above. Source: PC/SC part 3 supplemental document"""


def kind(atr: bytes) -> str:
    """What an ATR says of a card: contact, iso14443-4, or the storage card that it is.

    >>> kind(bytes.fromhex("3B80800101")), kind(bytes.fromhex("3B6800000073C84000009000"))
    ('iso14443-4', 'contact')
    >>> kind(bytes.fromhex("3B8F8001804F0CA000000306030001000000006A"))
    'mifare classic 1k'
    """
    if len(atr) < 5 or atr[0] != 0x3B or atr[1] >> 4 != 8 or atr[2:4] != CONTACTLESS:
        return "contact"
    historical = atr[4 : 4 + (atr[1] & 0x0F)]
    if not historical.startswith(_STORAGE) or len(historical) < len(_STORAGE) + 3:
        return "iso14443-4"
    standard, name = historical[8], int.from_bytes(historical[9:11])
    return STORAGE_CARDS.get(name) or STANDARDS.get(standard, "contactless storage")
