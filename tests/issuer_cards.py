"""An issuer with one card for tests, and what that card sends: every payment is signed as its method says."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from paysim.core.clock import DAY_MS, HOUR_MS
from paysim.core.event import Event
from paysim.crypto import pin
from paysim.crypto.cryptogram import METHODS, CardKey
from paysim.crypto.triple_des import encrypt_ecb
from paysim.issuer.accounts import hash_pin
from paysim.issuer.card_file import CardFile, status_set
from paysim.issuer.cards import CardStatus, IssuedCard, MasterKeys
from paysim.issuer.host import Answer, AuthorizationRequest, ClearingRecord, Host, PinKeys, Policy

IMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
SCRIPT_IMK = bytes.fromhex("89ABCDEF012345677654321001234567")
PIN_KEYS = PinKeys(bytes.fromhex("00112233445566778899AABBCCDDEEFF"), bytes(range(32)))
PAN, PSN, TOKEN, PIN = "6234560000000073", "01", "card-1", "246810"
STEM = "bank/alice/debit"
AVAILABLE = f"{STEM}/available:CNY"
AT_MS = 1_795_752_000_000  # 2026-11-27T04:00:00Z, noon in China

DAY_END_MS = 1_795_795_199_999  # 2026-11-27 23:59:59.999 in China

CARD = IssuedCard(
    token=TOKEN,
    pan=PAN,
    psn=PSN,
    scheme="unionpay",
    expires=datetime.date(2031, 11, 30),
    holder="alice",
    stem=STEM,
    keys={1: MasterKeys(IMK, SCRIPT_IMK)},
    pin_hash=hash_pin("alice", PIN),
)

HEADS = {"visa22": "1F{cvn:02X}{dki:02X}", "visa": "06{dki:02X}{cvn:02X}", "unionpay": "07{dki:02X}{cvn:02X}"}
CVR = "03A00000"
TAGS = ("9F02", "9F03", "9F1A", "95", "5F2A", "9A", "9C", "9F37", "82", "9F36", "9F10")


def issuer_data(method: str = "unionpay01", cvr: str = CVR, dki: int = 1, more: str = "") -> str:
    """A 9F10 of the method: hex."""
    cvn = METHODS[method].version
    if method.startswith("mchip"):
        return f"{dki:02X}{cvn:02X}{cvr}DAC1{more or '00' * 8}"
    head = HEADS.get(method) or HEADS["visa" if method.startswith("visa") else "unionpay"]
    if method == "visa22":
        return (head.format(dki=dki, cvn=cvn) + cvr + more).ljust(64, "0")
    return head.format(dki=dki, cvn=cvn) + cvr + more


def fields(
    amount: int = 990,
    atc: int = 1,
    *,
    method: str = "unionpay01",
    imk: bytes = IMK,
    pan: str = PAN,
    signed: Mapping[str, str] = {},
    changed: Mapping[str, str | None] = {},
) -> dict[int, bytes]:
    """What card and terminal send, changed before (`signed`) or after the card signs (None takes away)."""
    text: dict[str, str | None] = {
        "5A": pan + "F" * (len(pan) % 2),
        "5F34": PSN,
        "82": "2000",
        "95": "0000000000",
        "9A": "261127",
        "9C": "00",
        "5F2A": "0156",
        "9F02": f"{amount:012}",
        "9F03": "000000000000",
        "9F10": issuer_data(method),
        "9F1A": "0156",
        "9F27": "80",
        "9F36": f"{atc:04X}",
        "9F37": f"{atc:08X}",
        **signed,
    }
    key = CardKey.of(method, imk, pan, PSN)
    text["9F26"] = key.application_cryptogram({t: bytes.fromhex(text[t] or "") for t in TAGS}).hex()
    text |= changed
    return {int(tag, 16): bytes.fromhex(value) for tag, value in text.items() if value is not None}


def request(
    of: Mapping[int, bytes] | None = None, /, amount: int = 990, **about: Any
) -> AuthorizationRequest:
    settings: dict[str, Any] = {"currency": "CNY", "at_ms": AT_MS, "operation": "op-1"}
    return AuthorizationRequest(fields(amount) if of is None else of, amount, **(settings | about))


def approval(of: Mapping[int, bytes], /, amount: int = 990, **about: Any) -> ClearingRecord:
    settings: dict[str, Any] = {"currency": "CNY", "at_ms": AT_MS, "approved_ms": AT_MS, "operation": "op-1"}
    return ClearingRecord(of, amount, **(settings | about))


class Desk:
    """A host with one card and a balance, that writes down what its answers say."""

    def __init__(
        self,
        facts: Iterable[Event] = (),
        card: Mapping[str, Any] = {},
        policy: Mapping[str, Any] = {},
        tallies: Mapping[str, int] = {},
    ) -> None:
        self.tallies = {AVAILABLE: 10_000_000, **tallies}
        self.cards = CardFile()
        self.record = self.cards.add(replace(CARD, **card), facts)
        self.facts = list(facts)
        self.host = Host(self.cards, lambda name: self.tallies.get(name, 0), PIN_KEYS, Policy(**policy))

    def authorize(self, of: AuthorizationRequest) -> Answer:
        return self._written(self.host.authorize(of))

    def clear(self, of: ClearingRecord) -> Answer:
        return self._written(self.host.clear(of))

    def _written(self, answer: Answer) -> Answer:
        if answer.token:
            self.cards.apply(answer.token, answer.facts)
            self.facts.extend(answer.facts)
        for name, minor, ceiling in answer.counts:
            self.tallies[name] = self.tallies.get(name, 0) + minor
            assert ceiling is None or self.tallies[name] <= ceiling
        return answer


def answered(answer: Answer) -> str:
    """An answer in short: "00", or its code and reason."""
    outcome = answer.outcome
    return outcome.code if outcome.approved else f"{outcome.code} {outcome.reason}"


BLOCK_0 = encrypt_ecb(PIN_KEYS.triple_des, pin.format_0(PIN, PAN))
BLOCK_4 = pin.seal_format_4(PIN_KEYS.aes, PIN, PAN, bytes(8))
WRONG_0 = encrypt_ecb(PIN_KEYS.triple_des, pin.format_0("111111", PAN))


def seen(*atcs: int, un: str = "FFFFFFFF", at_ms: int = AT_MS - DAY_MS) -> list[Event]:
    """Payments that were presented before."""
    data = {"un": un.lower(), "pin": "none", "currency": "CNY"}
    return [Event("presented", at_ms, f"old-{atc}", 100, data={"atc": atc, **data}) for atc in atcs]


def set_to(status: str, at_ms: int = AT_MS - HOUR_MS) -> list[Event]:
    return [status_set(CardStatus(status), at_ms)]


def tampered(value: str, byte: int) -> str:
    """The hex with a bit of one byte turned over."""
    octets = bytearray.fromhex(value)
    octets[byte] ^= 1
    return octets.hex()


def results(cvr: str, information: str | None = "80") -> dict[int, bytes]:
    """What a card sends that says this in its results, and this in 9F27."""
    return fields(signed={"9F10": issuer_data(cvr=cvr)}, changed={"9F27": information})


def tc(
    amount: int = 990, atc: int = 1, cvr: str = "03900000", changed: Mapping[str, str] = {}, **how: Any
) -> dict[int, bytes]:
    """What card and terminal hand in of an offline approval."""
    data = issuer_data(cvr=cvr)
    return fields(amount, atc, signed={"9F10": data}, changed={"9F27": "40", **changed}, **how)
