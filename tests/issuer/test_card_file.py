"""The card file: records as folds of facts, what is refused, what is never shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from issuer_cards import (
    AT_MS,
    BLOCK_0,
    CARD,
    IMK,
    PAN,
    PIN,
    PIN_KEYS,
    PSN,
    TOKEN,
    WRONG_0,
    Desk,
    approval,
    fields,
    request,
    seen,
    tc,
)

from paysim.core.errors import ConfigError, UsageError
from paysim.core.event import Event
from paysim.issuer.card_file import (
    NUMBERS_KEPT,
    CardFile,
    CardRecord,
    update_ordered,
)
from paysim.issuer.cards import SCHEMES, CardStatus, IssuedCard, MasterKeys
from paysim.issuer.host import Policy

# The file. ----------------------------------------------------------------------------------------


def test_a_record_is_the_fold_of_its_facts() -> None:
    desk = Desk()
    desk.authorize(request(fields(100_001), 100_001))
    desk.authorize(request(fields(100_001), 100_001, online_pin=WRONG_0))
    desk.authorize(request(fields(atc=5)))
    desk.clear(approval(tc(atc=3)))
    again = CardRecord(desk.record.card, desk.facts)
    for slot in CardRecord.__slots__:
        assert getattr(again, slot) == getattr(desk.record, slot), slot
    assert (again.last_atc, again.wrong_pins, again.awaited) == (5, 1, "")
    assert [atc for atc in range(10) if again.saw(atc)] == [1, 3, 5]


def test_facts_are_the_same_whatever_the_keys() -> None:
    """The journal of a seed is byte-identical, and keys are not of the seed."""
    facts = []
    for imk in (IMK, IMK[::-1]):
        desk = Desk(card={"keys": {1: MasterKeys(imk)}})
        desk.authorize(request(fields(100_001, imk=imk), 100_001))
        desk.authorize(request(fields(atc=2, imk=imk)))
        facts.append(desk.facts)
    assert facts[0] == facts[1]


def test_a_file_refuses_a_card_that_it_has() -> None:
    file = CardFile([CARD])
    for other in (replace(CARD, pan="6234560000000081"), replace(CARD, token="card-2")):
        with pytest.raises(ConfigError, match="is in the file already"):
            file.add(other)
    assert file.find(PAN, "02") is None
    assert file.find(PAN, PSN) is file.record(TOKEN)
    with pytest.raises(ConfigError, match=r"card-1 \(\.\.\.0073\) is in the file") as caught:
        file.add(CARD)
    assert PAN not in str(caught.value)
    with pytest.raises(UsageError, match="there is no card 'card-2'"):
        file.record("card-2")
    assert repr(file) == "CardFile(1 cards)"


def test_a_card_may_have_the_shortest_number_the_longest_and_every_method() -> None:
    for pan in ("62345678", "6234567890123456789"):
        assert replace(CARD, pan=pan, methods=tuple(SCHEMES["unionpay"])).last_four == pan[-4:]


BAD_CARDS: list[tuple[dict[str, Any], str]] = [
    ({"pan": "62345x"}, "PAN: expected text"),
    ({"pan": "6234567"}, "PAN: expected text"),
    ({"pan": "62345678901234567890"}, "PAN: expected text"),
    ({"psn": "001"}, "PAN sequence number: expected text"),
    ({"psn": "1"}, "PAN sequence number: expected text"),
    ({"scheme": "amex"}, "no scheme 'amex'; there are visa, unionpay, mastercard"),
    ({"methods": ("visa10",)}, "cards of unionpay have the methods unionpay01, unionpay17"),
    ({"token": PAN}, "a name of its own"),
    ({"token": ""}, "a name of its own"),
]


@pytest.mark.parametrize(("changed", "words"), BAD_CARDS)
def test_a_card_refuses_what_it_cannot_be(changed: dict[str, Any], words: str) -> None:
    about = {
        slot: getattr(CARD, slot)
        for slot in ("token", "pan", "psn", "scheme", "expires", "holder", "stem", "keys")
    }
    with pytest.raises(UsageError, match=words) as caught:
        IssuedCard(**(about | changed))
    assert PAN not in str(caught.value)


def test_nothing_shows_a_number_a_key_or_a_pin() -> None:
    desk = Desk()
    things = (CARD, desk.record, desk.cards, desk.host, PIN_KEYS, request(online_pin=BLOCK_0), Policy())
    shown = f"{CARD} {things!r}"
    for secret in (PAN, PIN, IMK.hex(), repr(IMK), repr(BLOCK_0), CARD.pin_hash, repr(PIN_KEYS.aes)):
        assert secret not in shown
    assert "0073" in shown


BAD_FACTS = [
    Event("presented", 0),
    Event("presented", 0, data={"atc": 65_536, "un": "", "pin": "none"}),
    Event("presented", 0, data={"atc": -1, "un": "", "pin": "none"}),
    Event("cleared", 0, data={"atc": "1"}),
    Event("status_set", 0, data={"status": "gone"}),
    Event("update_ordered", 0, data={"id": "a", "command": "x", "data": ""}),
]


@pytest.mark.parametrize("fact", BAD_FACTS)
def test_what_is_no_fact_of_a_card_is_refused(fact: Event) -> None:
    with pytest.raises(UsageError, match="is no fact of a card"):
        CardRecord(CARD, [fact])


def test_the_lowest_counter_and_the_highest_are_facts() -> None:
    record = CardRecord(CARD, seen(0, 0xFFFF))
    assert (record.saw(0), record.saw(1), record.saw(0xFFFF), record.last_atc) == (True, False, True, 0xFFFF)


def test_facts_of_other_kinds_change_nothing() -> None:
    record = CardRecord(CARD, [Event("personalised", 0, data={"profile": "unionpay"})])
    assert (record.last_atc, record.status) == (0, CardStatus.ACTIVE)


def test_updates_are_bounded() -> None:
    record = CardRecord(CARD)
    for command, data in ((b"\x84\x1e\x00", b""), (bytes(4), bytes(241))):
        with pytest.raises(UsageError, match="a script command is"):
            update_ordered(record, "a", command, data, AT_MS)
    for number in range(8):
        record.apply(update_ordered(record, str(number), bytes(4), bytes(240), AT_MS))
    with pytest.raises(UsageError, match="8 script commands wait"):
        update_ordered(record, "9", bytes(4), b"", AT_MS)


def test_numbers_are_forgotten_in_time() -> None:
    record = CardRecord(CARD, [f for atc in range(1, NUMBERS_KEPT + 2) for f in seen(atc, un=f"{atc:08X}")])
    kept = [atc for atc in range(1, NUMBERS_KEPT + 2) if record.saw_number(atc.to_bytes(4))]
    assert kept == list(range(2, NUMBERS_KEPT + 2))
