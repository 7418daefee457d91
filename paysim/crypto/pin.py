"""PIN blocks: how a PIN (4 to 12 digits) travels.

| block | bytes | where |
|---|---|---|
| format 0 | 8 | to the issuer, triple DES; the PAN is mixed in |
| format 2 | 8 | to the card: VERIFY, and new PINs in issuer scripts |
| format 4 | 16 | to the issuer, AES; PAN and eight random bytes are mixed in |
| VIS | 8 | new PINs in Visa's issuer scripts; four bytes of the card's key are mixed in |

Source: ISO 9564-1 9.3, 9.4. No error shows a PIN or a PAN.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from paysim.core.errors import ProtocolError

from .inputs import digits, sized

__all__ = [
    "PinError",
    "format_0",
    "format_2",
    "format_vis",
    "open_format_4",
    "read_format_0",
    "read_format_2",
    "seal_format_4",
]

MIN_DIGITS: Final = 4
MAX_DIGITS: Final = 12


class PinError(ProtocolError):
    """A block is no PIN block of this format: another key, another PAN, or damaged."""


def format_0(pin: str, pan: str) -> bytes:
    """The clear block (8 bytes), to be enciphered with triple DES; `pan` has 13 to 19 digits.

    >>> format_0("1234", "43219876543210987").hex().upper()
    '0412AC89ABCDEF67'

    Source: ISO 9564-1 9.3.1
    """
    return _xor(bytes.fromhex("0" + _filled(pin, "F", 15)), _account(pan))


def read_format_0(block: bytes, pan: str) -> str:
    """The PIN in a clear block. Raises PinError for what is none.

    >>> read_format_0(format_0("123456", "4000001234562"), "4000001234562")
    '123456'
    """
    return _pin(_xor(sized("PIN block", block, 8), _account(pan)), "0", "f")


def format_2(pin: str) -> bytes:
    """The block (8 bytes) that a terminal gives to a card.

    >>> format_2("123456789012").hex().upper()
    '2C123456789012FF'

    Source: ISO 9564-1 9.3.3; EMV 4.4 Book 3 6.5.12
    """
    return bytes.fromhex("2" + _filled(pin, "F", 15))


def read_format_2(block: bytes) -> str:
    """The PIN that a terminal gave to a card. Raises PinError for what is none.

    >>> read_format_2(bytes.fromhex("2C123456789012FF"))
    '123456789012'
    """
    return _pin(sized("PIN block", block, 8), "2", "f")


def format_vis(card_key: bytes, pin: str, current_pin: str = "") -> bytes:
    """The block (8 bytes) of a new PIN in a Visa script: `card_key` is the card's for cryptograms, 16 bytes.

    >>> format_vis(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"), "1234").hex().upper()
    '041234FF76543210'

    Source: Visa Integrated Circuit Card Specification, PIN CHANGE/UNBLOCK
    """
    half = bytes(4) + sized("card key", card_key, 16)[4:8]
    block = _xor(bytes.fromhex("0" + _filled(pin, "F", 15)), half)
    if not current_pin:
        return block
    current = digits("current PIN", current_pin, MIN_DIGITS, MAX_DIGITS)
    return _xor(block, bytes.fromhex(current.ljust(16, "0")))


def seal_format_4(key: bytes, pin: str, pan: str, random: bytes) -> bytes:
    """The enciphered block (16 bytes): `key` is AES of 16, 24 or 32 bytes, `random` 8 bytes, fresh each time.

    >>> seal_format_4(bytes(16), "1234", "4000001234562", bytes(8)) == bytes(16)
    False

    Source: ISO 9564-1 9.4.2
    """
    field = bytes.fromhex("4" + _filled(pin, "A", 15)) + sized("random bytes", random, 8)
    cipher = Cipher(AES(sized("PIN key", key, 16, 24, 32)), modes.ECB())  # noqa: S305  # one block at a time
    middle = _xor(cipher.encryptor().update(field), _account_4(pan))
    return cipher.encryptor().update(middle)


def open_format_4(key: bytes, block: bytes, pan: str) -> str:
    """The PIN in an enciphered block. Raises PinError where key, PAN or block is another.

    >>> open_format_4(bytes(16), seal_format_4(bytes(16), "1234", "4000001234562", bytes(8)), "4000001234562")
    '1234'
    """
    cipher = Cipher(AES(sized("PIN key", key, 16, 24, 32)), modes.ECB())  # noqa: S305  # one block at a time
    middle = _xor(cipher.decryptor().update(sized("PIN block", block, 16)), _account_4(pan))
    return _pin(cipher.decryptor().update(middle)[:8], "4", "a")


def _filled(pin: str, fill: str, size: int) -> str:
    """The PIN's length as one digit of hex, the PIN, and `fill` up to `size` digits."""
    return f"{len(digits('PIN', pin, MIN_DIGITS, MAX_DIGITS)):X}{pin}".ljust(size, fill)


def _account(pan: str) -> bytes:
    """The 12 right-most digits of the PAN without its check digit."""
    return bytes.fromhex("0000" + digits("PAN", pan, 13, 19)[-13:-1])


def _account_4(pan: str) -> bytes:
    """How many digits above 12 the PAN has, the PAN, and zeros."""
    number = digits("PAN", pan, 1, 19).zfill(12)
    return bytes.fromhex(f"{len(number) - 12}{number}".ljust(32, "0"))


def _pin(block: bytes, form: str, fill: str) -> str:
    text = block.hex()
    size = int(text[1], 16)
    pin, rest = text[2 : 2 + size], text[2 + size :]
    if text[0] != form or not MIN_DIGITS <= size <= MAX_DIGITS or not pin.isdigit() or rest.strip(fill):
        raise PinError(f"this is no PIN block of format {form}", source="ISO 9564-1 9.3, 9.4")
    return pin


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))
