"""Message authentication codes of cards and terminals: ISO/IEC 9797-1 algorithms 1 and 3 on DES, AES-CMAC.

Padding method 1 fills with zeros (nothing where the blocks are whole; one block for empty data), method 2
always adds 80 and then zeros.

Source: ISO/IEC 9797-1 6.3, 7.2, 7.4; EMV 4.4 Book 2 A1.2; NIST SP 800-38B.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from paysim.core.errors import AuthenticityError

from .inputs import InputError, sized
from .triple_des import BLOCK, encrypt_cbc

__all__ = ["cmac", "mac_1", "mac_3", "pad", "verify"]

_ZERO: Final = modes.CBC(bytes(BLOCK))


def pad(data: bytes, padding: int, block: int = BLOCK) -> bytes:
    """`data` filled up to whole blocks by padding method 1 or 2.

    >>> pad(b"12", 1).hex(), pad(b"12", 2).hex()
    ('3132000000000000', '3132800000000000')

    Source: ISO/IEC 9797-1 6.3.2, 6.3.3
    """
    if padding == 2:
        data += b"\x80"
    elif padding != 1:
        raise InputError("padding method", "1 or 2", str(padding))
    return data + bytes(-len(data) % block) if data else bytes(block)


def mac_1(key: bytes, data: bytes, padding: int = 2, length: int = BLOCK) -> bytes:
    """The first `length` (4 to 8) bytes of the CBC-MAC of `data` under a DES key of 8, 16 or 24 bytes.

    >>> mac_1(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"), b"12345678", padding=1).hex().upper()
    '41D2FFBA3CDC15FE'

    Source: ISO/IEC 9797-1 7.2
    """
    sized("MAC data", data)
    return encrypt_cbc(key, pad(data, padding))[-BLOCK:][: _length(length, BLOCK)]


def mac_3(key: bytes, data: bytes, padding: int = 2, length: int = BLOCK) -> bytes:
    """The first `length` (4 to 8) bytes of the retail MAC of `data` under a key of 16 bytes.

    Single DES under the key's left half up to the last block, triple DES for the last one.

    >>> mac_3(bytes.fromhex("AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBB"), b"hello world").hex().upper()
    '2BC2D9EDE0CF31F6'

    Source: ISO/IEC 9797-1 7.4; EMV 4.4 Book 2 A1.2.1
    """
    if type(key) is not bytes or len(key) != 16 or type(data) is not bytes:
        sized("MAC key", key, 16)
        sized("MAC data", data)
    padded = pad(data, padding)
    left, last = key[:8], padded[-BLOCK:]
    chain = _ZERO
    if len(padded) > BLOCK:
        single = Cipher(TripleDES(left * 3), _ZERO).encryptor()
        chain = modes.CBC(single.update(padded[:-BLOCK])[-BLOCK:])
    mac = Cipher(TripleDES(key + left), chain).encryptor().update(last)
    return mac if length == BLOCK else mac[: _length(length, BLOCK)]


def cmac(key: bytes, data: bytes, length: int = 16) -> bytes:
    """The first `length` (4 to 16) bytes of the AES-CMAC of `data` under a key of 16, 24 or 32 bytes.

    >>> cmac(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"), b"").hex()
    'bb1d6929e95937287fa37d129b756746'

    Source: NIST SP 800-38B 6.2; RFC 4493
    """
    state = CMAC(AES(sized("CMAC key", key, 16, 24, 32)))
    state.update(sized("CMAC data", data))
    return state.finalize()[: _length(length, 16)]


def verify(expected: bytes, given: bytes) -> None:
    """Nothing, where `given` is the MAC `expected`; AuthenticityError if not. Takes the same time either way.

    >>> verify(b"12345678", b"12345679")
    Traceback (most recent call last):
    paysim.core.errors.AuthenticityError: the MAC is wrong: 8 bytes that are not those expected
    """
    if not hmac.compare_digest(expected, sized("MAC", given)):
        wrong = "that are not those expected" if len(given) == len(expected) else f"for {len(expected)}"
        raise AuthenticityError(f"the MAC is wrong: {len(given)} bytes {wrong}")


def _length(length: int, most: int) -> int:
    if 4 <= length <= most:
        return length
    raise InputError("MAC length", f"4 to {most} bytes", str(length))
