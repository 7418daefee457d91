"""Keys from keys: an issuer master key gives each card its key, the card's key gives each payment its own.

All keys are 16 bytes (two DES keys) and come back with odd parity, as key stores want them; a DES
result is the same with any parity.

| issuer -> card | from |
|---|---|
| `card_key_a` | the right-most 16 digits of PAN and sequence number |
| `card_key_b` | the same up to 16 digits of PAN; above, 16 digits of their SHA-1 |

| card -> payment | from |
|---|---|
| `common_session_key` | 8 bytes: the ATC and zeros, or (issuer scripts) the application cryptogram |
| `mastercard_session_key` | ATC and unpredictable number |
| `pboc_session_key` | ATC |
| `visa_script_key` | ATC (issuer scripts of Visa 10 and 18) |
| `tree_session_key` | ATC, by the tree that old cards have |
"""

from __future__ import annotations

from hashlib import sha1
from typing import Final

from .inputs import InputError, digits, sized
from .triple_des import encrypt_ecb, kept

__all__ = [
    "card_key_a",
    "card_key_b",
    "check_value",
    "common_session_key",
    "mastercard_session_key",
    "odd_parity",
    "pboc_session_key",
    "tree_session_key",
    "visa_script_key",
]

_ODD: Final = bytes(byte ^ (byte.bit_count() + 1) % 2 for byte in range(256))
_NOT: Final = bytes(255 - byte for byte in range(256))
_LETTERS_TO_DIGITS: Final = str.maketrans("abcdef", "012345")


def card_key_a(imk: bytes, pan: str, psn: str) -> bytes:
    """The card's key by option A: `imk` 16 bytes, `pan` up to 19 digits, `psn` 2 digits.

    A PAN of more than 16 digits gives its last digits alone.

    >>> card_key_a(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"), "99012345678901234", "45").hex().upper()
    '67F8292358083E5EA7AB7FDA58D53B6B'

    Source: EMV 4.4 Book 2 A1.4.1
    """
    number = digits("PAN", pan, 1, 19) + digits("PAN sequence number", psn, 2, 2)
    return _card_key(imk, number[-16:].zfill(16))


def card_key_b(imk: bytes, pan: str, psn: str) -> bytes:
    """The card's key by option B: as option A up to 16 digits of PAN, by SHA-1 above.

    >>> card_key_b(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"), "12345678901234567", "01").hex().upper()
    'AD406D7F6D7570916D75E5DCAB8CF737'

    Source: EMV 4.4 Book 2 A1.4.2
    """
    if len(digits("PAN", pan, 1, 19)) <= 16:
        return card_key_a(imk, pan, psn)
    number = pan + digits("PAN sequence number", psn, 2, 2)
    digest = sha1(bytes.fromhex("0" * (len(number) % 2) + number), usedforsecurity=False).hexdigest()
    decimals = "".join(filter(str.isdigit, digest))
    if len(decimals) < 16:
        decimals += "".join(filter(str.isalpha, digest)).translate(_LETTERS_TO_DIGITS)
    return _card_key(imk, decimals[:16])


def common_session_key(key: bytes, diversifier: bytes) -> bytes:
    """The EMV common session key: `key` 16 bytes, `diversifier` 8 bytes of which the third is replaced.

    The diversifier is the ATC and six zero bytes for a cryptogram, the cryptogram itself for issuer scripts.

    >>> key = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    >>> common_session_key(key, bytes.fromhex("001C000000000000")).hex().upper()
    'E9FB384AF807B940FEDCEA613461B0C4'

    Source: EMV 4.4 Book 2 A1.3.1
    """
    if type(diversifier) is not bytes or len(diversifier) != 8:
        sized("diversifier", diversifier, 8)
    start, end = diversifier[:2], diversifier[3:]
    return kept(_key(key))(start + b"\xf0" + end + start + b"\x0f" + end).translate(_ODD)


def mastercard_session_key(key: bytes, atc: bytes, unpredictable: bytes) -> bytes:
    """The session key of M/Chip's own derivation: `atc` 2 bytes, `unpredictable` number 4 bytes.

    >>> key = bytes.fromhex("DCE992BCE398C264F7858AFD4C4A324A")
    >>> mastercard_session_key(key, bytes.fromhex("3456"), bytes.fromhex("11111111")).hex().upper()
    '68E9A15BBCF283EF0164F7E6C44C4325'

    Source: EMV 4.4 Book 2 A1.3.1 with ATC, 0000 and 9F37 as diversifier
    """
    if type(unpredictable) is not bytes or len(unpredictable) != 4:
        sized("unpredictable number", unpredictable, 4)
    return common_session_key(key, _atc(atc) + b"\0\0" + unpredictable)


def pboc_session_key(key: bytes, atc: bytes) -> bytes:
    """The session key of PBOC and UnionPay: `atc` 2 bytes, complemented for the right half.

    >>> key = bytes.fromhex("014C986ECD8F49157CC8B59E3BCDFD98")
    >>> pboc_session_key(key, bytes.fromhex("0240")).hex().upper()
    'D5102625E6E5AD329E54ABB50BF23DA8'

    Source: PBOC 3.0 part 7 (JR/T 0025.7) session keys
    """
    return kept(_key(key))(bytes(6) + _atc(atc) + bytes(6) + atc.translate(_NOT)).translate(_ODD)


def visa_script_key(key: bytes, atc: bytes) -> bytes:
    """The session key of Visa's issuer scripts: `atc` 2 bytes, its complement for the right half, XOR `key`.

    >>> key = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    >>> visa_script_key(key, bytes.fromhex("001C")).hex().upper()
    '0123456789ABCDF2FEDCBA987654CDF2'

    Source: Visa Integrated Circuit Card Specification, secure messaging session keys
    """
    return _xor(_key(key), bytes(6) + _atc(atc) + bytes(6) + atc.translate(_NOT)).translate(_ODD)


def tree_session_key(
    key: bytes, atc: bytes, height: int = 8, branches: int = 4, iv: bytes = bytes(16)
) -> bytes:
    """The session key of the EMV2000 tree, which cards issued before 2005 use: `atc` 2 bytes, `iv` 16.

    `branches` to the power of `height` must cover every ATC: 4 and 8, or 2 and 16.

    >>> key = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    >>> tree_session_key(key, bytes.fromhex("001C")).hex().upper()
    'E5BF6D1067F194B0A89B7F5D83BC64A2'

    Source: EMV 4.1 Book 2 A1.3.1; dropped by EMVCo bulletin SU-46
    """
    if not (2 <= branches <= 256 and 1 <= height <= 16 and branches**height >= 0xFFFF):
        raise InputError("tree", "branches ** height of 65535 or more", f"{branches} ** {height}")
    number = int.from_bytes(_atc(atc))
    grandparent, parent = sized("initialisation vector", iv, 16), _key(key)
    for level in range(height - 1, -1, -1):
        child = _branch(parent, grandparent, number // branches**level % branches)
        if level:
            grandparent, parent = parent, child
    return _xor(child, grandparent).translate(_ODD)


def odd_parity(key: bytes) -> bytes:
    """`key` with the lowest bit of each byte set so that the byte has an odd number of ones.

    >>> odd_parity(bytes.fromhex("0023")).hex()
    '0123'
    """
    return sized("key", key).translate(_ODD)


def check_value(key: bytes, length: int = 3) -> bytes:
    """The first `length` bytes of eight zero bytes under `key`: what key ceremonies compare.

    >>> check_value(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"), 2).hex().upper()
    '08D7'
    """
    return encrypt_ecb(key, bytes(8))[:length]


def _card_key(imk: bytes, number: str) -> bytes:
    left = bytes.fromhex(number)
    return kept(_key(imk, "issuer master key"))(left + left.translate(_NOT)).translate(_ODD)


def _branch(parent: bytes, grandparent: bytes, branch: int) -> bytes:
    """One step down the tree: F(parent, grandparent, branch)."""
    low = bytes(7) + bytes([branch])
    return encrypt_ecb(parent, _xor(grandparent, low + bytes(7) + bytes([branch ^ 0xF0])))


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))


def _key(key: bytes, name: str = "card key") -> bytes:
    return key if type(key) is bytes and len(key) == 16 else sized(name, key, 16)


def _atc(atc: bytes) -> bytes:
    return atc if type(atc) is bytes and len(atc) == 2 else sized("ATC", atc, 2)
