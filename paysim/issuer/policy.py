"""What an issuer settles for itself: windows, which flags decline, what it answers to cards; its PIN keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from paysim.crypto.inputs import sized

from .no_pin import NO_PIN_RULES, NoPinRule

__all__ = ["RESULTS", "TERMINAL_RESULTS", "PinKeys", "Policy"]

RESULTS: Final[Mapping[str, Mapping[str, str]]] = {
    "CVR": {"b3.2": "decline", "b2.2": "PIN", "b3.7": "PIN"},
    "CVR.mchip": {"b4.5": "PIN", "b4.4": "PIN"},
}
"""Bits of the card's results that do something: "decline", or "PIN" (its own PIN is used up: ours is asked).

Assumed. Others (offline counters, new card, scripts) are why a card goes online, and stand in the trace.
"""

TERMINAL_RESULTS: Final = ("b1.7", "b1.5", "b1.4", "b1.3", "b2.5", "b3.8", "b4.1")
"""Bits of the TVR that decline. Assumed; kernels 3 and 7 send zeros."""


@dataclass(frozen=True)
class PinKeys:
    """What PIN blocks are enciphered with: triple DES (16 or 24 bytes) and AES (16 to 32); b"" for none."""

    triple_des: bytes = field(default=b"", repr=False)
    aes: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        sized("PIN key", self.triple_des, 0, 16, 24)
        sized("PIN key", self.aes, 0, 16, 24, 32)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What an issuer may settle for itself."""

    atc_jump: int = 1_000
    """How far a counter may be ahead of the last one. Assumed."""
    pin_tries: int = 3
    """Assumed."""
    no_pin_rules: tuple[NoPinRule, ...] = NO_PIN_RULES
    results: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: RESULTS)
    terminal_results: tuple[str, ...] = TERMINAL_RESULTS
    checks_balance: bool = True
    """Whether the MAC of a balance in UnionPay's 9F10 must be right."""
    pays_after_report: bool = False
    """Whether offline approvals after the report of a loss are paid at clearing. Assumed: they are not."""
    csu_approved: bytes = bytes.fromhex("00820000")
    csu_declined: bytes = bytes(4)
    """Card status update of ARPC method 2: approved, counters reset. Source: EMV 4.4 Book 3 Annex C; K."""
    mchip_approved: bytes = bytes.fromhex("0012")
    mchip_declined: bytes = bytes(2)
    """ARPC response code of M/Chip. Source: facts 3.6"""
