"""A card and its issuer, without a terminal between: what the one signs, the other believes, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from counts import count
from emv_answers import draws
from emv_cards import IMK, SCRIPT_IMK, card, get_data, objects, offered, read_all, send
from issuer_cards import AT_MS, AVAILABLE, CARD, Desk, answered, approval, request

from paysim.codec import tlv
from paysim.codec.apdu import Command
from paysim.emv.card import Card
from paysim.emv.profile import PROFILES
from paysim.issuer.card_file import update_ordered
from paysim.issuer.cards import MasterKeys

ONLINE_TTQ, OFFLINE_TTQ = "26804080", "28004080"
"""An online cryptogram is required; an offline-only reader."""

PAYING = sorted(set(PROFILES) - {"blocked", "unknown", "expired"})


def issuer_of(made: Card, **settings: Any) -> Desk:
    """The desk of the issuer that made this card."""
    card_ = made.made
    about = {
        "pan": card_.pan,
        "psn": card_.psn,
        "scheme": card_.profile.scheme,
        "expires": card_.expires,
        "keys": {1: MasterKeys(IMK, SCRIPT_IMK)},
        "methods": (card_.profile.method,),
    }
    return Desk(card=about, **settings)


def tapped(to: Card, amount: int, ttq: str, number: int = 0x01020304) -> dict[int, bytes]:
    """The data record of a tap."""
    changed = {0x9F37: f"{number:08X}"}
    found = objects(offered(to, amount, ttq, changed))
    for response in read_all(to):
        if response.ok:
            found |= objects(response)
    terminal = {0x9F02: f"{amount:012}", 0x9F03: "0" * 12, 0x9F1A: "0156", 0x95: "0" * 10, 0x5F2A: "0156"}
    terminal |= {0x9A: "261127", 0x9C: "00", **changed}
    return found | {tag: bytes.fromhex(value) for tag, value in terminal.items()}


@pytest.mark.parametrize("profile", PAYING)
def test_an_issuer_believes_its_card(profile: str) -> None:
    paying = card(profile)
    desk = issuer_of(paying)
    for draw in draws(profile, count(500)):
        amount, number = draw.number(0, 100_000), draw.number(0, 2**32 - 1)
        sent = tapped(paying, amount, ONLINE_TTQ, number)
        asked = request(sent, amount, operation="tap")
        assert answered(desk.authorize(asked)) == "00"
        assert answered(desk.authorize(asked)) == "94 replayed"
        assert paying.memory.atc == desk.record.last_atc
        desk.tallies[AVAILABLE] = 10**9


@pytest.mark.parametrize("profile", ["visa", "unionpay-ecash", "slow"])
def test_an_issuer_pays_what_its_card_has_approved(profile: str) -> None:
    paying = card(profile)
    desk = issuer_of(paying)
    first, second = tapped(paying, 900, OFFLINE_TTQ, 1), tapped(paying, 500, OFFLINE_TTQ, 2)
    assert first[0x9F27] == second[0x9F27] == b"\x40"
    assert answered(desk.clear(approval(second, 500))) == "00"
    assert answered(desk.clear(approval(first, 901))) == "13 altered_amount"
    assert answered(desk.clear(approval(first, 900))) == "00"
    assert answered(desk.clear(approval(first, 900))) == "94 replayed"


@pytest.mark.parametrize("paid", [True, False])
def test_a_card_believes_its_issuers_answer(paid: bool) -> None:
    paying = card("unionpay")
    desk = issuer_of(paying, tallies={AVAILABLE: 990 * paid})
    answer = desk.authorize(request(tapped(paying, 990, ONLINE_TTQ)))
    assert answered(answer) == ("00" if paid else "51 insufficient_funds")
    good, forged = answer.data_91, bytes((answer.data_91[0] ^ 1,)) + answer.data_91[1:]
    assert send(paying, Command(0x00, 0x82, 0, 0, good)).sw == 0x9000
    tapped(paying, 990, ONLINE_TTQ, 9)
    assert send(paying, Command(0x00, 0x82, 0, 0, forged)).sw == 0x6300


def test_a_card_obeys_its_issuers_scripts() -> None:
    paying = card("unionpay-ecash")
    desk = issuer_of(paying)
    load = bytes.fromhex("000000050000")
    desk.record.apply(update_ordered(desk.record, "load", bytes.fromhex("84DA9F79"), load, AT_MS))
    answer = desk.authorize(request(tapped(paying, 2_000, ONLINE_TTQ), 2_000))
    (script,) = answer.scripts
    (command,) = [value for path, value in tlv.walk(tlv.decode(script)) if path == (0x72, 0x86)]
    assert paying.respond(command) == b"\x90\x00"
    assert paying.memory.balance == 50_000
    assert objects(get_data(paying, 0x9F79)) == {0x9F79: load}


def test_an_expired_card_is_refused_by_its_issuer() -> None:
    paying = card("expired")
    desk = issuer_of(paying)
    assert answered(desk.authorize(request(tapped(paying, 990, ONLINE_TTQ)))) == "54 expired"


def test_a_card_of_another_issuer_is_not_believed() -> None:
    paying = card("unionpay")
    desk = issuer_of(paying)
    other = replace(
        desk.record.card, token="other", pan=CARD.pan[:-2] + "81", keys={1: MasterKeys(IMK[::-1])}
    )
    stranger = Desk(card={name: getattr(other, name) for name in ("pan", "psn", "scheme", "expires", "keys")})
    sent = tapped(paying, 990, ONLINE_TTQ)
    sent = {tag: value for tag, value in sent.items() if tag != 0x57} | {0x5A: bytes.fromhex(other.pan)}
    assert answered(stranger.authorize(request(sent))) == "88 wrong_cryptogram"
