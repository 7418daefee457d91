"""Kernel 3 on paysim's own Visa card, and every way in which offline data authentication can fail."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha1
from typing import Any

import pytest
from emv_dialogue import TODAY, RealCard, ScriptedCard, bought, keys, play

from paysim.crypto.ca_keys import CaKey
from paysim.crypto.certificate import FAILURES
from paysim.crypto.raw_rsa import RsaPrivate
from paysim.emv.entry_point import Done, EntryPoint
from paysim.emv.kernel3 import KERNEL_3
from paysim.emv.outcome import Cvm, Result, Status
from paysim.emv.reader import UNIONPAY, VISA, VISA_OFFLINE, Combination, Reader, reader


def tap(card: Any, combination: Combination = VISA, amount: int = 1000, **settings: Any) -> Result:
    """The outcome of a tap; `on` is the day, other settings are the reader's."""
    on = settings.pop("on", TODAY)
    made = replace(reader(combination, ca_keys=keys().ca_keys), **settings)
    step = play(EntryPoint(made, bought(amount, date=on)), card).step
    assert isinstance(step, Done)
    return step.result


def test_the_steps_stand_in_the_order_of_the_standard() -> None:
    names = [row.step for row in KERNEL_3.steps]
    assert names == sorted(names, key=lambda name: int(name[1:]))


# Rows 25-36 on the real card. -----------------------------------------------------------------------

CAP_NO_PIN = {"9F68": "80001000"}
"""Low value check, signature alone."""


@dataclass(frozen=True)
class Row:
    """A test row on the card `visa`: what is changed, what comes of it."""

    row: str
    amount: int
    status: str
    cvm: str = "NONE"
    step: str = ""
    combination: Combination = VISA
    profile: str = "visa"
    data: tuple[tuple[str, str], ...] = ()
    on: datetime.date = TODAY


SIGNING = replace(VISA, ttq=bytes.fromhex("22004000"))
WITHOUT_LIMITS = replace(VISA_OFFLINE, transaction_limit=None, floor_limit=None, cvm_limit=None)
EXPIRES = datetime.date(2031, 11, 30)
REAL = [
    Row("25", 1000, "APPROVED"),
    Row("26", 8001, "ONLINE_REQUEST", "ONLINE_PIN"),
    Row("27 signature", 5000, "APPROVED", "SIGNATURE", combination=SIGNING),
    Row("34 expired", 1000, "DECLINED", step="V14", on=EXPIRES + datetime.timedelta(1)),
    Row("34 online", 1000, "ONLINE_REQUEST", step="V14", data=(("9F6C", "0800"),), profile="expired"),
    Row("34 today", 1000, "APPROVED", on=EXPIRES),
    Row(
        "36 AAC",
        500_001,
        "DECLINED",
        step="V13",
        combination=WITHOUT_LIMITS,
    ),
    Row("visa-online", 1000, "ONLINE_REQUEST", profile="visa-online"),
]


@pytest.mark.parametrize("row", REAL, ids=lambda row: row.row)
def test_a_row_on_the_real_card(row: Row) -> None:
    card = RealCard(row.profile, data=dict(row.data))
    found = tap(card, row.combination, row.amount, on=row.on)
    assert (found.status.name, found.cvm.name) == (row.status, row.cvm), found.why
    assert not row.step or found.why.startswith(f"{row.step}:")
    assert found.tvr == bytes(5)


def test_the_exception_file_stops_a_listed_card_by_its_sequence_number() -> None:
    pan = RealCard("visa").card.made.pan
    for sequence, status in ((1, "DECLINED"), (None, "DECLINED"), (2, "APPROVED")):
        listed = frozenset({(pan, sequence)})
        assert tap(RealCard("visa"), exception_file=listed).status.name == status


def test_the_record_carries_what_the_issuer_needs() -> None:
    card = RealCard("visa")
    record = tap(card).data_record
    assert record is not None
    assert record[0x57].hex().startswith(card.card.made.pan)
    assert record[0x9F02].hex() == "000000001000"
    assert record[0x9F36] == b"\x00\x01"
    assert record[0x9F27] == b"\x40"
    assert record[0x95] == bytes(5)


def test_a_reader_without_the_scheme_s_key_declines() -> None:
    found = tap(RealCard("visa"), ca_keys=())
    assert found.status is Status.DECLINED
    assert FAILURES["rid"] in found.why


# Every failure of offline data authentication. ------------------------------------------------------

Edit = Callable[[bytearray], None]


def at(place: int, value: int) -> Edit:
    def edit(block: bytearray) -> None:
        block[place] = value

    return edit


def over(place: int, text: str) -> Edit:
    def edit(block: bytearray) -> None:
        made = bytes.fromhex(text)
        block[place : place + len(made)] = made

    return edit


def forge(signed: bytes, signer: RsaPrivate, outside: bytes, edit: Edit, *, rehash: bool) -> str:
    """What the signer signed, changed and signed again; `outside` is hashed with it where the hash is new."""
    block = bytearray(signer.public.recover(signed))
    edit(block)
    if rehash:
        block[-21:-1] = sha1(bytes(block[1:-21]) + outside).digest()
    return signer.sign(bytes(block)).hex().upper()


@dataclass(frozen=True)
class Forgery:
    """One field of one signed object: what is changed, whether the hash is made to fit, the failure."""

    tag: str
    edit: Edit
    failure: str
    rehash: bool = True


# Places in an issuer certificate: 1 format, 2-5 IIN, 6-7 expiry, 8-10 serial, 11 hash, 12 key, 13-14 sizes.
# In a card's: 1 format, 2-11 PAN, 12-13 expiry, 14-16 serial, 17 hash, 18 key, 19-20 sizes.
# In the tap's signature: 1 format, 2 hash, 3 length of the dynamic data, 4 length of the number, 5-6 ATC.
FORGERIES = [
    Forgery("90", at(0, 0x6B), "header"),
    Forgery("90", at(-1, 0xBB), "trailer"),
    Forgery("90", at(1, 0x04), "format"),
    Forgery("90", over(2, "621234FF"), "identifier"),
    Forgery("90", over(2, "47FFFFFF"), "identifier"),
    Forgery("90", over(6, "1026"), "expired"),
    Forgery("90", over(6, "1326"), "expiry"),
    Forgery("90", over(6, "AAAA"), "expiry"),
    Forgery("90", over(8, "000009"), "revoked"),
    Forgery("90", at(11, 0x02), "hash_algorithm"),
    Forgery("90", at(12, 0x02), "key_algorithm"),
    Forgery("90", at(13, 0xF8), "key_length"),
    Forgery("90", at(13, 0x10), "key_length"),
    Forgery("90", at(13, 0x8F), "remainder"),
    Forgery("90", at(14, 0x03), "exponent"),
    Forgery("90", at(20, 0x00), "hash", rehash=False),
    Forgery("9F46", at(0, 0x6B), "header"),
    Forgery("9F46", at(-1, 0xBB), "trailer"),
    Forgery("9F46", at(1, 0x02), "format"),
    Forgery("9F46", over(2, "4761739001010028FFFF"), "pan"),
    Forgery("9F46", over(12, "1026"), "expired"),
    Forgery("9F46", over(12, "0026"), "expiry"),
    Forgery("9F46", at(17, 0x00), "hash_algorithm"),
    Forgery("9F46", at(18, 0x12), "key_algorithm"),
    Forgery("9F46", at(19, 0xF8), "key_length"),
    Forgery("9F46", at(19, 0x81), "remainder"),
    Forgery("9F46", at(20, 0x02), "exponent"),
    Forgery("9F46", at(30, 0x00), "hash", rehash=False),
    Forgery("9F4B", at(0, 0x6B), "header"),
    Forgery("9F4B", at(-1, 0xBB), "trailer"),
    Forgery("9F4B", at(1, 0x95), "format"),
    Forgery("9F4B", at(1, 0x15), "format"),
    Forgery("9F4B", at(2, 0x02), "hash_algorithm"),
    Forgery("9F4B", at(3, 0xFF), "dynamic_data"),
    Forgery("9F4B", at(4, 0x01), "dynamic_data"),
    Forgery("9F4B", at(4, 0x20), "dynamic_data"),
    Forgery("9F4B", at(-5, 0x00), "hash", rehash=False),
]
CARDS = {"v": VISA, "u": UNIONPAY}
STEPS = {"v": "V18", "u": "U7"}


def forged(script: str, forgery: Forgery) -> ScriptedCard:
    made = keys()
    good = ScriptedCard(script)
    good.given = {0x9F37: b"\x12\x34\x56\x78", 0x9F02: bytes.fromhex("000000001000"), 0x5F2A: b"\x01\x56"}
    elements = good.given[0x9F37] + good.given[0x9F02] + good.given[0x5F2A]
    signers = {"90": made.ca, "9F46": made.issuer, "9F4B": made.card}
    outside = {
        "90": lambda: good._named("92") + good._named("9F32"),
        "9F46": lambda: good._named("9F48") + good._named("9F47") + good._static_data(),
        "9F4B": lambda: elements + bytes.fromhex(good._value("9F69")),
    }
    tag = forgery.tag
    signed = good._named("fdda" if tag == "9F4B" else tag)
    value = forge(signed, signers[tag], outside[tag](), forgery.edit, rehash=forgery.rehash)
    return ScriptedCard(script, changes={tag: value})


def fails(script: str, card: ScriptedCard, words: str, **settings: Any) -> None:
    found = tap(card, CARDS[script], **settings)
    assert found.status is Status.DECLINED, found.why
    assert found.why.startswith(f"{STEPS[script]}: ")
    assert words in found.why
    assert found.data_record is None
    assert found.cvm is Cvm.NONE


@pytest.mark.parametrize("script", CARDS)
@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda each: f"{each.tag} {each.failure}")
def test_a_forged_field_ends_in_the_documented_result(forgery: Forgery, script: str) -> None:
    revoked = frozenset({card_rid + b"\xf1\x00\x00\x09" for card_rid in (VISA.aid, UNIONPAY.aid)})
    fails(script, forged(script, forgery), FAILURES[forgery.failure], revoked=revoked)


def test_the_forger_s_tools_are_sharp() -> None:
    """Without a change, what was signed again passes: the failures above come from the changes."""
    for script in CARDS:
        for tag in ("90", "9F46", "9F4B"):
            card = forged(script, Forgery(tag, lambda block: None, ""))
            assert tap(card, CARDS[script]).status is Status.APPROVED


WRONG_DATA: list[tuple[dict[str, str], str]] = [
    ({"8F": "F2"}, FAILURES["ca_index"]),
    ({"8F": "-"}, "no 8F"),
    ({"90": "-"}, "no 90"),
    ({"9F32": "-"}, "no 9F32"),
    ({"9F46": "-"}, "no 9F46"),
    ({"9F47": "-"}, "no 9F47"),
    ({"9F69": "-"}, "no 9F69"),
    ({"9F4B": "-"}, ""),
    ({"92": "-"}, FAILURES["hash"]),
    ({"9F48": "-"}, FAILURES["hash"]),
    ({"92": "00112233"}, FAILURES["hash"]),
    ({"9F32": "05"}, FAILURES["hash"]),
    ({"90": "00"}, FAILURES["length"]),
    ({"9F46": "6A"}, FAILURES["length"]),
    ({"9F4B": "AB"}, FAILURES["length"]),
    ({"9F4B": "00" * 128}, FAILURES["trailer"]),
    ({"9F4B": "FF" * 128}, FAILURES["trailer"]),
    ({"9F4A": "9F36"}, "9F4A"),
    ({"9F4A": "8282"}, "9F4A"),
    ({"9F69": "00AABBCCDD0000"}, FAILURES["version"]),
    ({"9F69": "02AABBCCDD0000"}, ""),
]


@pytest.mark.parametrize("script", CARDS)
@pytest.mark.parametrize(("changes", "words"), WRONG_DATA, ids=lambda each: str(each)[:40])
def test_missing_and_wrong_data_of_authentication(changes: dict[str, str], words: str, script: str) -> None:
    card = ScriptedCard(script, changes=changes)
    if changes.get("9F69", "").startswith("02"):
        good = ScriptedCard(script)._named("fdda")
        card = ScriptedCard(script, changes={**changes, "9F4B": good.hex().upper()})
    fails(script, card, words)


@pytest.mark.parametrize("script", CARDS)
@pytest.mark.parametrize("tag", ["5F24", "5F28", "9F07", "82", "9F36", "9F69"])
def test_what_is_signed_cannot_be_changed_behind_the_signature(script: str, tag: str) -> None:
    place = {"9F69": 5}.get(tag, 0)
    found = tap(ScriptedCard(script, broken={tag: place}), CARDS[script])
    assert found.status is Status.DECLINED


@pytest.mark.parametrize("script", CARDS)
@pytest.mark.parametrize("tag", ["9F26", "9F10", "57"])
def test_what_is_not_signed_passes_the_reader(script: str, tag: str) -> None:
    """Source: EMVrace. The issuer finds it at clearing."""
    place = {"57": 12}.get(tag, 0)
    assert tap(ScriptedCard(script, broken={tag: place}), CARDS[script]).status is Status.APPROVED


def test_the_wrong_amount_number_or_currency_is_found() -> None:
    """A card's answer to another reader, amount or currency does not pass."""
    card = ScriptedCard("v")
    tap(card, amount=900)
    replayed = card._named("fdda").hex().upper()
    assert tap(ScriptedCard("v", changes={"9F4B": replayed}), amount=901).status is Status.DECLINED
    assert tap(ScriptedCard("v", changes={"9F4B": replayed}), amount=900).status is Status.APPROVED


def test_an_expired_ca_key_is_not_used() -> None:
    made = keys()
    for days, status in ((0, Status.APPROVED), (-1, Status.DECLINED)):
        key = CaKey(VISA.aid, 0xF1, made.ca.public, TODAY + datetime.timedelta(days))
        assert tap(ScriptedCard("v"), ca_keys=(key,)).status is status


def test_a_reader_that_knows_nothing_but_its_settings_can_be_asked_twice() -> None:
    made = Reader({0: (VISA,)}, keys().ca_keys)
    for _ in range(2):
        step = play(EntryPoint(made, bought(1000)), ScriptedCard("v")).step
        assert isinstance(step, Done)
        assert step.result.status is Status.APPROVED
