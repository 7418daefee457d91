"""SM3, by the fastest source on this machine: hashlib's OpenSSL, else `cryptography`'s, else our own.

Source: GB/T 32905-2016 (SM3); GB/T 15852.2 and RFC 2104 (HMAC); GB/T 32918.4 5.4.3 (key derivation)
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Final

from .inputs import sized

__all__ = ["BLOCK_SIZE", "DIGEST_SIZE", "derive", "hmac_sm3", "plain_sm3", "sm3"]

BLOCK_SIZE: Final = 64
DIGEST_SIZE: Final = 32

_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))
_START: Final = (
    *(0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600),
    *(0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E),
)
_WORD: Final = 0xFFFFFFFF


def sm3(data: bytes) -> bytes:
    """The SM3 digest of `data`, 32 bytes.

    >>> sm3(b"abc").hex()
    '66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0'

    Source: GB/T 32905-2016
    """
    return _digest(data if type(data) is bytes else sized("data", data))


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    """The HMAC of `data` with SM3 under a `key` of any length, 32 bytes.

    >>> hmac_sm3(b"key", b"The quick brown fox jumps over the lazy dog").hex()
    'bd4a34077888162b210645b8ebf74b9af357303789357a27c7fc457244ebd398'

    Source: RFC 2104 with SM3
    """
    block = (key if len(sized("HMAC key", key)) <= BLOCK_SIZE else _digest(key)).ljust(BLOCK_SIZE, b"\0")
    return _digest(block.translate(_OUTER) + _digest(block.translate(_INNER) + sized("data", data)))


def derive(secret: bytes, length: int) -> bytes:
    """`length` bytes from a shared `secret`: SM3 of the secret and a counter from 1, joined.

    >>> derive(b"secret", 40)[:32] == sm3(b"secret" + bytes([0, 0, 0, 1]))
    True

    Source: GB/T 32918.4 5.4.3
    """
    blocks = -(-length // DIGEST_SIZE)
    return b"".join(_digest(secret + counter.to_bytes(4)) for counter in range(1, blocks + 1))[:length]


def plain_sm3(data: bytes) -> bytes:
    """The SM3 digest by our own code, a thousand times slower: for a Python whose libraries have none.

    >>> plain_sm3(b"abc") == sm3(b"abc")
    True

    Source: GB/T 32905-2016 5.2 (padding), 5.3 (compression)
    """
    padded = data + b"\x80" + bytes(-(len(data) + 9) % BLOCK_SIZE) + (8 * len(data)).to_bytes(8)
    state: tuple[int, ...] = _START
    for offset in range(0, len(padded), BLOCK_SIZE):
        state = _compress(state, struct.unpack_from(">16I", padded, offset))
    return struct.pack(">8I", *state)


def _compress(state: tuple[int, ...], words: tuple[int, ...]) -> tuple[int, ...]:
    w = list(words)
    for j in range(16, 68):
        mixed = w[j - 16] ^ w[j - 9] ^ _left(w[j - 3], 15)
        w.append(mixed ^ _left(mixed, 15) ^ _left(mixed, 23) ^ _left(w[j - 13], 7) ^ w[j - 6])
    a, b, c, d, e, f, g, h = state
    for j in range(64):
        ss1 = _left((_left(a, 12) + e + _left(0x79CC4519 if j < 16 else 0x7A879D8A, j % 32)) & _WORD, 7)
        ff = a ^ b ^ c if j < 16 else a & b | a & c | b & c
        gg = e ^ f ^ g if j < 16 else e & f | ~e & g
        tt1 = (ff + d + (ss1 ^ _left(a, 12)) + (w[j] ^ w[j + 4])) & _WORD
        tt2 = (gg + h + ss1 + w[j]) & _WORD
        a, b, c, d = tt1, a, _left(b, 9), c
        e, f, g, h = tt2 ^ _left(tt2, 9) ^ _left(tt2, 17), e, _left(f, 19), g
    return tuple(old ^ new for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True))


def _left(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & _WORD


def _hashlib_sm3() -> Callable[[bytes], bytes]:
    blank = hashlib.new("sm3")  # a copy costs half of a new one

    def digest(data: bytes) -> bytes:
        state = blank.copy()
        state.update(data)
        return state.digest()

    return digest


def _cryptography_sm3() -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives import hashes

    blank = hashes.Hash(hashes.SM3())

    def digest(data: bytes) -> bytes:
        state = blank.copy()
        state.update(data)
        return state.finalize()

    return digest


def _fastest() -> Callable[[bytes], bytes]:
    try:
        return _hashlib_sm3()
    except ValueError:
        pass
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return _cryptography_sm3()
    except UnsupportedAlgorithm:
        return plain_sm3


_digest: Final = _fastest()
