"""Issuer scripts: commands of the issuer that a card obeys when their MAC is right.

Source: EMV 4.4 Book 3 6.5.1, 6.5.2, 6.5.3, 6.5.10; Book 2 9.2 (MAC); facts 3.4 (status words).
Assumed: which objects PUT DATA may change.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Final

from paysim.codec.apdu import Command
from paysim.crypto.cryptogram import Elements

from .memory import MAX_BALANCE, PIN_TRIES, PUTTABLE, Memory
from .personalise import Personalisation

__all__ = ["COMMANDS", "apply", "same"]

OK: Final = 0x9000
_BALANCE: Final = 0x9F79


def apply(asked: Command, made: Personalisation, memory: Memory, elements: Elements) -> int:
    """The status word of a script command, which is done where it is 9000.

    `elements` hold counter and cryptogram (9F36, 9F26) that the MAC is bound to. A MAC that is missing is
    6987, a wrong one 6988.
    """
    length = made.script_key.method.script.mac_length
    data, mac = asked.data[:-length], asked.data[-length:]
    if len(mac) < length:
        return 0x6987
    header = bytes((asked.cla, asked.ins, asked.p1, asked.p2, len(asked.data)))
    if not same(made.script_key.script_mac(elements, header, data), mac):
        return 0x6988
    return COMMANDS[asked.ins](asked, data, made, memory)


def same(left: bytes, right: bytes) -> bool:
    """Whether two MACs are equal, in constant time."""
    return hmac.compare_digest(left, right)


def _set(kind: str, value: int) -> Callable[[Command, bytes, Personalisation, Memory], int]:
    """A command without data and parameters that sets one fact."""

    def act(asked: Command, data: bytes, _made: Personalisation, memory: Memory) -> int:
        if asked.p1 or asked.p2:
            return 0x6A86
        if data:
            return 0x6700
        memory.record(kind, value)
        return OK

    return act


def _put_data(asked: Command, data: bytes, made: Personalisation, memory: Memory) -> int:
    tag = asked.p1 << 8 | asked.p2
    if tag != _BALANCE and tag not in PUTTABLE:
        return 0x6A88
    if len(data) != PUTTABLE.get(tag, 6):
        return 0x6700
    if tag == 0x9F68:
        memory.record("9F68", data.hex())
        return OK
    if not data.hex().isdigit():
        return 0x6A80
    if tag != _BALANCE:
        memory.record(f"{tag:02X}", data.hex())
        return OK
    most = memory.data.get(0x9F77) or made.data.get(0x9F77)
    if most is None or data > most or int(data.hex()) > MAX_BALANCE:
        return 0x6A80
    memory.record("balance", int(data.hex()))
    if memory.debit:
        memory.record("debit", "")  # what was taken before is final: the issuer counted it
    return OK


COMMANDS: Final[Mapping[int, Callable[[Command, bytes, Personalisation, Memory], int]]] = {
    0x16: _set("card_blocked", 1),
    0x18: _set("blocked", 0),
    0x1E: _set("blocked", 1),
    0x24: _set("pin_tries", PIN_TRIES),
    0xDA: _put_data,
}
"""CARD BLOCK, APPLICATION UNBLOCK, APPLICATION BLOCK, PIN UNBLOCK, PUT DATA: all of class 84."""
