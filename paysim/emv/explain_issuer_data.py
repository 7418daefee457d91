"""The issuer application data (9F10) in words: key index, cryptogram version, the card's results, the rest.

    Visa            06 | index | version | results 4 | issuer's own
    UnionPay        07 | index | version | results 4 | algorithm | 0A 01 | balance 5 | MAC 4
    Visa, format 2  1F | version | index | results 5 | issuer's own
    Mastercard      index | version | results 6 | number 2 | counters 8

Source: EMV 4.4 Book 3 Annex A (9F10); facts 3.6 (IAD). Assumed: without a kernel the first byte tells which
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from paysim.codec.bits import explain
from paysim.codec.formats import decode_n
from paysim.core.errors import DecodeError
from paysim.crypto.cryptogram import METHODS, ElementError, issuer_data

__all__ = ["Part", "issuer_parts"]


class Part(NamedTuple):
    """A part of a value that has no tag: what it is called, its hex, what it says."""

    name: str
    value: str
    words: tuple[str, ...] = ()


class _Shape(NamedTuple):
    """How a 9F10 is read: by any method of these, with this table of results."""

    methods: tuple[str, ...]
    field: str
    results: slice


_VISA: Final = _Shape(("visa10", "visa17", "visa18"), "CVR", slice(3, 7))
_VISA_2: Final = _Shape(("visa22",), "CVR", slice(3, 8))
_UNIONPAY: Final = _Shape(("unionpay01", "unionpay17"), "CVR", slice(3, 7))
_MCHIP: Final = _Shape(("mchip16", "mchip17", "mchip20", "mchip21"), "CVR.mchip", slice(2, 8))

_BY_HEAD: Final[Mapping[int, _Shape]] = {0x06: _VISA, 0x07: _UNIONPAY, 0x1F: _VISA_2}

_MASTERCARD: Final = 2
_BALANCE: Final = b"\x0a\x01"
_WITH_BALANCE: Final = 11
_ALGORITHMS: Final = {0x01: "3DES", 0x04: "SM4"}
"""Assumed: as JR/T 0025 numbers them."""


def issuer_parts(data: bytes, kernel: int = 0) -> tuple[Part, ...]:
    """The parts of a 9F10, in their order.

    Raises DecodeError for one that is too short to have them.

    >>> [part.name for part in issuer_parts(bytes.fromhex("06010A03A40000"))]
    ['key index', 'cryptogram version', 'card verification results']
    """
    shape = _MCHIP if kernel == _MASTERCARD else _BY_HEAD.get(data[0] if data else 0, _MCHIP)
    try:
        readings = {method: issuer_data(method, data) for method in shape.methods}
    except ElementError as error:
        raise DecodeError(str(error), path="9F10") from None
    method = next((name for name, read in readings.items() if read.version == METHODS[name].version), "")
    read = readings[method or shape.methods[0]]
    version = (f"method {method}",) if method else ("no method that paysim knows",)
    parts = (
        Part("key index", f"{read.key_index:02X}"),
        Part("cryptogram version", f"{read.version:02X}", version),
        Part(
            "card verification results",
            read.results.hex().upper(),
            explain(shape.field, read.results) or ("nothing set",),
        ),
    )
    rest = data[shape.results.stop :]
    return (*parts, *(_own_data(rest, shape) if rest else ()))


def _own_data(rest: bytes, shape: _Shape) -> tuple[Part, ...]:
    """The issuer's own data; UnionPay's name an algorithm, and may hold a balance with its MAC."""
    if shape is not _UNIONPAY:
        return (Part("issuer's own data", rest.hex().upper()),)
    words = _ALGORITHMS.get(rest[0])
    algorithm = Part("algorithm", rest[:1].hex().upper(), (words,) if words else ())
    own = rest[1:]
    if own[:2] == _BALANCE and len(own) >= _WITH_BALANCE:
        return (algorithm, _balance(own[2:7]), Part("MAC of the balance", own[7:11].hex().upper()))
    return (algorithm, *([Part("issuer's own data", own.hex().upper())] if own else []))


def _balance(data: bytes) -> Part:
    try:
        minor = decode_n(data)
    except DecodeError as error:
        return Part("balance", data.hex().upper(), (f"no number: {error}",))
    return Part("balance", data.hex().upper(), (f"{minor // 100}.{minor % 100:02}",))
