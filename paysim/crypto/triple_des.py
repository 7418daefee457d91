"""Triple DES, the block cipher of EMV cards: ECB and CBC of whole blocks, keys of 8, 16 or 24 bytes.

A key of 8 bytes is single DES (K1 K1 K1), one of 16 is EDE with two keys (K1 K2 K1), as cards have it.
Every context of `cryptography` costs more than the blocks it enciphers, so the ECB context of a key that
lives long is kept (`kept`).

Source: NIST SP 800-67 3; ISO/IEC 18033-3 4.2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from .inputs import InputError, sized

__all__ = ["BLOCK", "decrypt_cbc", "decrypt_ecb", "encrypt_cbc", "encrypt_ecb", "kept"]

BLOCK: Final = 8
"""Bytes of a block."""

KEPT: Final = 64
"""Contexts that are kept. Assumed: the issuer keys and the cards that one sandbox has at a time."""

_ECB: Final = modes.ECB()  # noqa: S305  # what the card schemes prescribe
_ZERO: Final = modes.CBC(bytes(BLOCK))


@lru_cache(maxsize=KEPT)
def kept(key: bytes) -> Callable[[bytes], bytes]:
    """The ECB encryption under `key` (8, 16 or 24 bytes), kept for the next caller; takes whole blocks.

    An ECB context has no state between whole blocks, so callers may share it. Fed part of a block it
    would keep that part for the next caller: the callers in this folder give 8 or 16 bytes.

    >>> kept(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"))(b"12345678").hex().upper()
    '41D2FFBA3CDC15FE'
    """
    return Cipher(TripleDES(_three(key)), _ECB).encryptor().update


def encrypt_ecb(key: bytes, data: bytes) -> bytes:
    """`data` (whole blocks) enciphered block by block.

    >>> encrypt_ecb(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"), b"12345678").hex().upper()
    '41D2FFBA3CDC15FE'
    """
    return Cipher(TripleDES(_three(key)), _ECB).encryptor().update(_blocks(data))


def decrypt_ecb(key: bytes, data: bytes) -> bytes:
    """`data` (whole blocks) deciphered block by block.

    >>> decrypt_ecb(bytes(16), encrypt_ecb(bytes(16), b"12345678"))
    b'12345678'
    """
    return Cipher(TripleDES(_three(key)), _ECB).decryptor().update(_blocks(data))


def encrypt_cbc(key: bytes, data: bytes, iv: bytes = bytes(BLOCK)) -> bytes:
    """`data` (whole blocks) enciphered in a chain from `iv` (8 bytes).

    >>> encrypt_cbc(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"), b"12345678").hex().upper()
    '41D2FFBA3CDC15FE'
    """
    return Cipher(TripleDES(_three(key)), _chain(iv)).encryptor().update(_blocks(data))


def decrypt_cbc(key: bytes, data: bytes, iv: bytes = bytes(BLOCK)) -> bytes:
    """`data` (whole blocks) deciphered in a chain from `iv` (8 bytes).

    >>> decrypt_cbc(bytes(16), encrypt_cbc(bytes(16), b"1234567812345678"))
    b'1234567812345678'
    """
    return Cipher(TripleDES(_three(key)), _chain(iv)).decryptor().update(_blocks(data))


def _three(key: bytes) -> bytes:
    """The 24 bytes of the key; shorter ones are deprecated in `cryptography`, and warnings cost time."""
    size = len(sized("triple DES key", key, 8, 16, 24))
    return key if size == 24 else (key * 3)[:24]


def _chain(iv: bytes) -> modes.CBC:
    return modes.CBC(sized("initialisation vector", iv, BLOCK)) if any(iv) or len(iv) != BLOCK else _ZERO


def _blocks(data: bytes) -> bytes:
    if len(sized("triple DES data", data)) % BLOCK:
        raise InputError("triple DES data", "whole blocks of 8 bytes", f"{len(data)} bytes")
    return data
