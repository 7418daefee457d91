"""The issuer's host: each check with its borders, its answers; judged by published answers and by pyemv."""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from counts import count
from emv_answers import Draw, draws, elements_of, known, name
from hypothesis import given, settings
from hypothesis import strategies as st
from issuer_cards import (
    AT_MS,
    AVAILABLE,
    CARD,
    CVR,
    IMK,
    PAN,
    PIN,
    PIN_KEYS,
    PSN,
    STEM,
    TOKEN,
    Desk,
    answered,
    approval,
    fields,
    issuer_data,
    request,
)

from paysim.codec import tlv
from paysim.core.clock import DAY_MS, HOUR_MS
from paysim.core.errors import ConfigError, UsageError
from paysim.core.event import Event
from paysim.core.outcome import APPROVED, NO_ANSWER, Outcome, OutcomeKind, Reason
from paysim.crypto import cryptogram, pin
from paysim.crypto.cryptogram import CardKey
from paysim.crypto.mac import mac_3
from paysim.crypto.triple_des import encrypt_ecb
from paysim.issuer.card_file import (
    NUMBERS_KEPT,
    CardFile,
    CardRecord,
    pin_unblocked,
    status_set,
    update_done,
    update_ordered,
)
from paysim.issuer.cards import SCHEMES, CardStatus, IssuedCard, MasterKeys
from paysim.issuer.checks import CLEARING, ONLINE, Case, digest
from paysim.issuer.host import Answer, AuthorizationRequest, Host, Issuer, Policy, authentication_data
from paysim.issuer.no_pin import NO_PIN_RULES, no_pin_minor
from paysim.issuer.refusals import REFUSALS

QUIET = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
"""pyemv uses what `cryptography` has deprecated."""

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


SIGNED = fields()[0x9F26].hex()
JUNE_2018_MS = 1_527_782_400_000  # 2018-06-01 in China
DAY_END_MS = 1_795_795_199_999  # 2026-11-27 23:59:59.999 in China
BALANCE = "010A010000001000"
"""Algorithm 1, then 0A, 01, a balance of 10.00; its MAC follows."""

# name, the desk's settings, the request, the answer
ROWS: list[tuple[str, dict[str, Any], Any, str]] = [
    ("paid", {}, request(), "00"),
    # the card and its status
    ("57 alone", {}, request(fields(changed={"5A": None, "57": f"{PAN}D31112010000000F"})), "00"),
    ("57 and 5A", {}, request(fields(changed={"57": f"{PAN}D31112010000000F"})), "00"),
    (
        "57 of another card",
        {},
        request(fields(changed={"57": "6234560000000081D31112010000000F"})),
        "30 malformed",
    ),
    ("57 is no track", {}, request(fields(changed={"57": "6234"})), "30 malformed"),
    ("no number", {}, request(fields(changed={"5A": None})), "14 no_such_account"),
    ("5A is no number", {}, request(fields(changed={"5A": "62A4"})), "30 malformed"),
    ("another number", {}, request(fields(pan="6234560000000081")), "14 no_such_account"),
    ("another sequence number", {}, request(fields(changed={"5F34": "02"})), "14 no_such_account"),
    ("lost", {"facts": set_to("lost")}, request(), "41 card_blocked"),
    ("stolen", {"facts": set_to("stolen")}, request(), "43 card_blocked"),
    ("blocked", {"facts": set_to("blocked")}, request(), "62 card_blocked"),
    ("found again", {"facts": [*set_to("lost"), *set_to("active")]}, request(), "00"),
    ("expires today", {"card": {"expires": datetime.date(2026, 11, 27)}}, request(at_ms=DAY_END_MS), "00"),
    (
        "expired since a millisecond",
        {"card": {"expires": datetime.date(2026, 11, 27)}},
        request(at_ms=DAY_END_MS + 1),
        "54 expired",
    ),
    ("5F24 as in the file", {}, request(fields(changed={"5F24": "311130"})), "00"),
    ("5F24 of an older card", {}, request(fields(changed={"5F24": "281130"})), "54 expired"),
    ("57 of an older card", {}, request(fields(changed={"57": f"{PAN}D28112010000000F"})), "54 expired"),
    # version and key
    ("unknown version", {}, request(fields(changed={"9F10": "07010303A00000"})), "63 wrong_cryptogram"),
    ("unknown key", {}, request(fields(changed={"9F10": "07020103A00000"})), "63 wrong_cryptogram"),
    ("another scheme's 9F10", {}, request(fields(changed={"9F10": "06010103A00000"})), "63 wrong_cryptogram"),
    ("no 9F10", {}, request(fields(changed={"9F10": None})), "63 wrong_cryptogram"),
    ("short 9F10", {}, request(fields(changed={"9F10": "070101"})), "30 malformed"),
    ("long 9F10", {}, request(fields(changed={"9F10": "07010103A00000" + "00" * 26})), "30 malformed"),
    (
        "a version that this card has not",
        {"card": {"methods": ("unionpay17",)}},
        request(),
        "63 wrong_cryptogram",
    ),
    (
        "a second key",
        {"card": {"keys": {1: MasterKeys(IMK), 2: MasterKeys(IMK[::-1])}}},
        request(fields(imk=IMK[::-1], signed={"9F10": issuer_data(dki=2)})),
        "00",
    ),
    # the counter
    ("the same counter", {"facts": seen(1)}, request(), "94 replayed"),
    ("a counter of last year", {"facts": seen(1, 2, 3)}, request(fields(atc=2)), "94 replayed"),
    ("one behind", {"facts": seen(3)}, request(fields(atc=2)), "59 wrong_counter"),
    ("the next", {"facts": seen(3)}, request(fields(atc=4)), "00"),
    ("counter 0", {}, request(fields(atc=0)), "59 wrong_counter"),
    ("a thousand ahead", {"facts": seen(3)}, request(fields(atc=1003)), "00"),
    ("a thousand and one ahead", {"facts": seen(3)}, request(fields(atc=1004)), "59 wrong_counter"),
    ("the last counter", {"facts": seen(0xFFFE)}, request(fields(atc=0xFFFF)), "00"),
    ("no counter", {}, request(fields(changed={"9F36": None})), "30 malformed"),
    ("a counter of three bytes", {}, request(fields(changed={"9F36": "000001"})), "30 malformed"),
    # the cryptogram
    ("one bit", {}, request(fields(changed={"9F26": tampered(SIGNED, 7)})), "88 wrong_cryptogram"),
    ("no cryptogram", {}, request(fields(changed={"9F26": None})), "30 malformed"),
    ("a short one", {}, request(fields(changed={"9F26": SIGNED[:-2]})), "30 malformed"),
    ("another issuer's key", {}, request(fields(imk=IMK[::-1])), "88 wrong_cryptogram"),
    ("altered 9F02", {}, request(fields(changed={"9F02": "000000000991"}), 991), "88 wrong_cryptogram"),
    ("altered country", {}, request(fields(changed={"9F1A": "0840"})), "88 wrong_cryptogram"),
    ("altered results", {}, request(fields(changed={"9F10": "07010103A00001"})), "88 wrong_cryptogram"),
    ("no date", {}, request(fields(changed={"9A": None})), "30 malformed"),
    # what the card says
    ("AAC", {}, request(results("03800000", "00")),
     "05 card_declined"),
    ("AAC, 9F27 says ARQC", {}, request(results("03800000")),
     "88 wrong_cryptogram"),
    ("AAC, no 9F27", {}, request(results("03800000", None)),
     "05 card_declined"),
    ("type 11", {}, request(results("03B00000", None)),
     "05 card_declined"),
    ("a TC that goes online", {},
     request(results("03900000", "40")), "00"),
    ("no PIN tries left", {}, request(results("03A04000")), "65 pin_required"),
    ("that, with the PIN", {},
     request(results("03A04000"), online_pin=BLOCK_0), "00"),
    ("offline PIN failed", {}, request(results("03A20000")), "65 pin_required"),
    ("blocked by its PIN", {}, request(results("03A00200")), "05 card_declined"),
    ("offline counters", {}, request(results("03A02000")), "00"),
    ("a new card", {}, request(results("03A01000")), "00"),
    # amount, currency, type
    ("another amount", {}, request(fields(990), 991), "13 altered_amount"),
    ("an amount that is no number", {}, request(fields(signed={"9F02": "00000000099A"})), "30 malformed"),
    ("another currency", {}, request(currency="USD"), "12 currency_mismatch"),
    ("the card was told dollars", {}, request(fields(signed={"5F2A": "0840"})), "12 currency_mismatch"),
    ("a currency that nobody knows", {}, request(currency="XXZ"), "12 currency_mismatch"),
    ("a refund", {}, request(fields(signed={"9C": "20"})), "12 malformed"),
    ("cashback", {}, request(fields(signed={"9C": "09"})), "00"),
    # the unpredictable number
    ("an old number", {"facts": seen(7, un="00000008")}, request(fields(atc=8)), "59 replayed"),
    (
        "64 payments ago",
        {"facts": [*seen(7, un="000000FF"), *(f for atc in range(8, 71) for f in seen(atc))]},
        request(fields(atc=255)),
        "59 replayed",
    ),
    (
        "65 payments ago",
        {"facts": [*seen(7, un="000000FF"), *(f for atc in range(8, 72) for f in seen(atc))]},
        request(fields(atc=255)),
        "00",
    ),
    ("no number at all", {}, request(fields(changed={"9F37": None})), "30 malformed"),
    # the terminal
    ("no ODA, floor limit", {}, request(fields(signed={"95": "8000048000"})), "00"),
    ("DDA failed", {}, request(fields(signed={"95": "0800000000"})), "05 card_declined"),
    ("exception file", {}, request(fields(signed={"95": "1000000000"})), "05 card_declined"),
    ("CVM failed", {}, request(fields(signed={"95": "0000800000"})), "05 card_declined"),
    ("DDA failed, another policy", {"policy": {"terminal_results": ()}},
     request(fields(signed={"95": "0800000000"})), "00"),
    # limits and R06
    ("R06: 1,000.00", {}, request(fields(100_000), 100_000), "00"),
    ("R06: 1,000.01", {}, request(fields(100_001), 100_001), "65 pin_required"),
    ("R06: 1,000.01 and the PIN", {}, request(fields(100_001), 100_001, online_pin=BLOCK_0), "00"),
    ("R06: 300.00, old terminal", {}, request(fields(30_000), 30_000, upgraded=False), "00"),
    ("R06: 300.01, old terminal", {}, request(fields(30_001), 30_001, upgraded=False), "65 pin_required"),
    ("R06: 300.01, new terminal", {}, request(fields(30_001), 30_001), "00"),
    ("R06: no PIN pad", {}, request(fields(100_001), 100_001, pin_capable=False), "61 limit_exceeded"),
    ("R06: in 2018, on May 31", {}, request(fields(30_001), 30_001, at_ms=JUNE_2018_MS - 1),
     "65 pin_required"),
    ("R06: in 2018, on June 1", {}, request(fields(30_001), 30_001, at_ms=JUNE_2018_MS), "00"),
    ("R06: opted out", {"card": {"no_pin": False}}, request(fields(1), 1), "65 pin_required"),
    ("R06: opted out, nothing to pay", {"card": {"no_pin": False}}, request(fields(0), 0), "00"),
    (
        "R06: dollars know no such limit",
        {"tallies": {f"{STEM}/available:USD": 100_001}},
        request(fields(100_001, signed={"5F2A": "0840"}), 100_001, currency="USD"),
        "00",
    ),
    ("R06: up to the day's", {"card": {"no_pin_daily_minor": 990}}, request(), "00"),
    ("R06: above the day's", {"card": {"no_pin_daily_minor": 989}}, request(), "65 pin_required"),
    ("a phone that confirmed", {"card": {"device_cvm": True}},
     request(fields(100_001, changed={"9F6C": "0080"}), 100_001), "00"),
    ("a phone that did not", {"card": {"device_cvm": True}},
     request(fields(100_001, changed={"9F6C": "0000"}), 100_001), "65 pin_required"),
    ("a card that says it did", {}, request(fields(100_001, changed={"9F6C": "0080"}), 100_001),
     "65 pin_required"),
    ("up to the single limit", {"card": {"single_minor": 990}}, request(), "00"),
    ("above the single limit", {"card": {"single_minor": 989}}, request(), "61 limit_exceeded"),
    ("up to the daily limit", {"card": {"daily_minor": 990}}, request(), "00"),
    ("above the daily limit", {"card": {"daily_minor": 989}}, request(), "61 limit_exceeded"),
    ("that, with the PIN", {"card": {"daily_minor": 989}}, request(online_pin=BLOCK_0), "61 limit_exceeded"),
    # PIN
    ("format 0", {}, request(online_pin=BLOCK_0), "00"),
    ("format 4", {}, request(online_pin=BLOCK_4), "00"),
    ("wrong", {}, request(online_pin=WRONG_0), "55 wrong_pin"),
    ("no block", {}, request(online_pin=bytes(8)), "81 wrong_pin"),
    ("no block of format 4", {}, request(online_pin=bytes(16)), "81 wrong_pin"),
    ("no length of a block", {}, request(online_pin=bytes(7)), "81 wrong_pin"),
    ("an empty block", {}, request(online_pin=b""), "81 wrong_pin"),
    ("the default PIN", {"card": {"pin_hash": ""}},
     request(online_pin=encrypt_ecb(PIN_KEYS.triple_des, pin.format_0("123456", PAN))), "00"),
    # money
    ("all the money", {"tallies": {AVAILABLE: 990}}, request(), "00"),
    ("one fen short", {"tallies": {AVAILABLE: 989}}, request(), "51 insufficient_funds"),
    ("a wrong PIN before no money", {"tallies": {AVAILABLE: 0}}, request(online_pin=WRONG_0), "55 wrong_pin"),
    ("the PIN before no money", {"tallies": {AVAILABLE: 0}}, request(fields(100_001), 100_001),
     "65 pin_required"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("desk", "asked", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_the_hosts_answer(desk: dict[str, Any], asked: AuthorizationRequest, expected: str) -> None:
    answer = Desk(**desk).authorize(asked)
    assert answered(answer) == expected
    assert answer.arc == expected[:2].encode()
    assert answer.asks_pin is (expected in ("65 pin_required", "55 wrong_pin"))
    assert answer.outcome.text or answer.outcome.approved
    assert answer.trace
    assert all(PAN not in text for text in (str(answer), repr(asked), repr(answer.facts)))


def test_every_refusal_is_met() -> None:
    """A row of the table that no test reaches is no rule."""
    said = [Desk(**desk).authorize(asked).outcome.text for _, desk, asked, _ in ROWS]
    said += [Desk(**desk).clear(asked).outcome.text for _, desk, asked, _ in CLEARED]
    unsaid = {key for key, row in REFUSALS.items() if not any(text.startswith(row.words) for text in said)}
    assert unsaid == {"PIN blocked", "altered balance"}  # they have tests of their own


def test_the_order_of_the_checks() -> None:
    assert [check.step for check in ONLINE] == [
        "card", "status", "keys", "counter", "cryptogram", "results", "amount", "number", "terminal",
        "limits", "without PIN", "PIN", "money",
    ]  # fmt: skip
    assert {check.step for check in CLEARING} <= {check.step for check in ONLINE}


# Replays and tampering. ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", [m for rows in SCHEMES.values() for m in rows])
def test_a_replay_is_refused_whatever_the_method(method: str) -> None:
    scheme = next(name for name, rows in SCHEMES.items() if method in rows)
    sent = request(fields(method=method, signed={"9F10": issuer_data(method, cvr_of(method))}))
    desk = Desk(card={"scheme": scheme})
    assert answered(desk.authorize(sent)) == "00"
    assert answered(desk.authorize(sent)) == "94 replayed"
    assert answered(desk.clear(approval(sent.fields))) == "94 replayed"
    assert desk.record.last_atc == 1


def cvr_of(method: str) -> str:
    return "A00003220000" if method.startswith("mchip") else CVR


ALTERED = [
    # method, bytes of 9F10 whose change is not seen: signed by no method, or read by none
    ("visa10", range(7, 8)),
    ("visa17", [3, 5, 6, 7]),
    ("visa18", []),
    ("visa22", []),
    ("mchip16", range(8, 18)),
    ("mchip17", [8, 9]),
    ("mchip20", range(8, 18)),
    ("mchip21", [8, 9]),
    ("unionpay01", range(7, 8)),
    ("unionpay17", [3, 5, 6, 7]),
]


@pytest.mark.parametrize(("method", "blind"), ALTERED)
def test_an_altered_byte_of_9f10_is_seen_where_the_method_signs_it(method: str, blind: Any) -> None:
    scheme = next(name for name, rows in SCHEMES.items() if method in rows)
    more = {"visa": "00", "unionpay": "01", "mastercard": ""}[scheme]
    whole = issuer_data(method, cvr_of(method), more=more)
    sent = fields(method=method, signed={"9F10": whole})
    for at in range(len(whole) // 2):
        desk = Desk(card={"scheme": scheme})
        altered = sent | {0x9F10: bytes.fromhex(tampered(whole, at))}
        assert (answered(desk.authorize(request(altered))) == "00") is (at in blind), at


@pytest.mark.parametrize("at", range(8, 19))
def test_an_altered_balance_of_unionpay_is_seen_by_its_mac(at: int) -> None:
    """CVN 17 signs one byte of 9F10; the balance has its own MAC."""
    key = CardKey.of("unionpay17", IMK, PAN, PSN)
    session = key.session_key({"9F36": b"\x00\x01"})
    mac = mac_3(session, bytes.fromhex("0001" + BALANCE[6:] + "00"), 2, 4)
    whole = issuer_data("unionpay17", more=BALANCE + mac.hex() + "AA")
    good = fields(method="unionpay17", signed={"9F10": whole})
    assert answered(Desk().authorize(request(good))) == "00"
    altered = good | {0x9F10: bytes.fromhex(tampered(whole, at))}
    assert answered(Desk(policy={"checks_balance": False}).authorize(request(altered))) == "00"
    seen_by_mac = at >= 10  # another type of data (8, 9) is none that this issuer reads
    assert (answered(Desk().authorize(request(altered))) == "88 wrong_cryptogram") is seen_by_mac


def test_what_a_method_does_not_sign_is_held_against_the_message() -> None:
    """CVN 17 signs no currency: it is compared, and 9F27 with the results."""
    sent = fields(method="unionpay17", signed={"9F10": issuer_data("unionpay17")})
    assert answered(Desk().authorize(request(sent | {0x5F2A: b"\x08\x40"}))) == "12 currency_mismatch"
    assert answered(Desk().authorize(request(sent | {0x9F27: b"\x40"}))) == "88 wrong_cryptogram"


def test_a_forged_payment_uses_up_no_counter() -> None:
    desk = Desk()
    forged = desk.authorize(request(fields(changed={"9F26": "00" * 8})))
    assert (forged.facts, forged.data_91, forged.token) == ((), b"", TOKEN)
    assert answered(desk.authorize(request())) == "00"


def test_a_refused_payment_uses_up_its_counter() -> None:
    desk = Desk(tallies={AVAILABLE: 0})
    (fact,) = desk.authorize(request()).facts
    assert fact.outcome is not None
    assert (fact.kind, fact.data["atc"], fact.outcome.reason) == ("presented", 1, Reason.INSUFFICIENT_FUNDS)
    desk.tallies[AVAILABLE] = 990
    assert answered(desk.authorize(request())) == "94 replayed"


def test_the_fact_of_a_payment() -> None:
    (fact,) = Desk().authorize(request()).facts
    data = {"atc": 1, "un": "00000001", "pin": "none", "currency": "CNY"}
    assert fact == Event("presented", AT_MS, "op-1", 990, data=data)


# PIN. ---------------------------------------------------------------------------------------------


def test_the_same_payment_comes_again_with_the_pin_once() -> None:
    desk = Desk()
    sent = fields(100_001)
    assert answered(desk.authorize(request(sent, 100_001))) == "65 pin_required"
    assert answered(desk.authorize(request(sent, 100_001))) == "94 replayed"
    assert answered(desk.authorize(request(sent, 100_001, online_pin=WRONG_0))) == "55 wrong_pin"
    assert answered(desk.authorize(request(sent, 100_001, online_pin=BLOCK_0))) == "00"
    assert answered(desk.authorize(request(sent, 100_001, online_pin=BLOCK_0))) == "94 replayed"
    assert desk.record.wrong_pins == 0


def test_only_the_payment_whose_pin_was_asked_may_come_again() -> None:
    desk = Desk(tallies={f"{STEM}/available:USD": 10**9})
    sent = fields(100_001, method="unionpay17", signed={"9F10": issuer_data("unionpay17")})
    desk.authorize(request(sent, 100_001))
    dollars = request(sent | {0x5F2A: b"\x08\x40"}, 100_001, currency="USD", online_pin=BLOCK_0)
    assert answered(desk.authorize(dollars)) == "94 replayed"
    forged = request(sent | {0x9F26: bytes(8)}, 100_001, online_pin=BLOCK_0)
    assert answered(desk.authorize(forged)) == "88 wrong_cryptogram"
    assert answered(desk.authorize(request(sent, 100_001, online_pin=BLOCK_0))) == "00"


def test_another_payment_ends_the_waiting_for_a_pin() -> None:
    desk = Desk()
    sent = fields(100_001)
    desk.authorize(request(sent, 100_001))
    assert answered(desk.authorize(request(fields(atc=2)))) == "00"
    assert answered(desk.authorize(request(sent, 100_001, online_pin=BLOCK_0))) == "94 replayed"


def test_three_wrong_pins_block_the_pin() -> None:
    desk = Desk()
    sent = [fields(atc=atc) for atc in range(1, 7)]
    codes = [answered(desk.authorize(request(one, online_pin=WRONG_0))) for one in sent[:3]]
    assert codes == ["55 wrong_pin", "55 wrong_pin", "75 pin_blocked"]
    assert answered(desk.authorize(request(sent[3], online_pin=BLOCK_0))) == "75 pin_blocked"
    assert answered(desk.authorize(request(sent[4]))) == "00"  # a small one needs none
    desk.record.apply(pin_unblocked(AT_MS))
    assert desk.record.wrong_pins == 0
    assert answered(desk.authorize(request(sent[5], online_pin=BLOCK_0))) == "00"


def test_a_right_pin_makes_wrong_ones_forgotten() -> None:
    desk = Desk()
    for atc, block in enumerate([WRONG_0, WRONG_0, BLOCK_0, WRONG_0, WRONG_0], start=1):
        answer = desk.authorize(request(fields(atc=atc), online_pin=block))
        assert answered(answer) == ("00" if block is BLOCK_0 else "55 wrong_pin")
    assert desk.record.wrong_pins == 2


def test_a_host_without_pin_keys_reads_no_pin() -> None:
    desk = Desk()
    host = Host(desk.cards, desk.tallies.__getitem__)
    for block in (BLOCK_0, BLOCK_4):
        assert answered(host.authorize(request(online_pin=block))) == "81 wrong_pin"


WAITING = {0x9F36: "0002", 0x9F37: "00000002", 0x9F02: "000000100002", 0x5F2A: "0840"}
"""Another value of each field by which a payment is known again."""


@pytest.mark.parametrize("tag", WAITING)
def test_what_makes_it_another_payment(tag: int) -> None:
    first, about = fields(100_001), dict[str, Any](amount=100_001, currency="CNY")
    digests = set()
    for sent in (first, first | {tag: bytes.fromhex(WAITING[tag])}):
        desk = Desk()
        digests.add(digest(Case(request(sent, **about), desk.cards, desk.host.tally, Policy(), PIN_KEYS)))
    for changed in ({"amount": 100_002}, {"currency": "USD"}):
        asked = request(first, **(about | changed))
        digests.add(digest(Case(asked, desk.cards, desk.host.tally, Policy(), PIN_KEYS)))
    assert len(digests) == 4
    assert {len(one) for one in digests} == {16}


def test_the_trace_tells_what_each_check_has_found() -> None:
    sent = fields(100_001)
    desk = Desk()
    first = desk.authorize(request(sent, 100_001))
    again = desk.authorize(request(sent, 100_001, online_pin=BLOCK_0))
    assert [tuple(line) for line in first.trace] == [
        ("card", "card-1 (...0073)"),
        ("status", "passed"),
        ("keys", "unionpay01, key 1"),
        ("counter", "1"),
        ("cryptogram", "passed"),
        ("results", "second GENERATE AC not requested, first GENERATE AC: ARQC"),
        ("amount", "passed"),
        ("number", "passed"),
        ("terminal", "passed"),
        ("limits", "passed"),
        ("without PIN", "65: the PIN, please: R06: 1000.00 CNY without PIN"),
    ]
    assert again.trace[3] == ("counter", "1, again, with the PIN")
    assert again.trace[11:] == (("PIN", "right"), ("money", "passed"))


# Limits of a day. ---------------------------------------------------------------------------------


def test_a_days_limit_counts_its_own_day_and_card() -> None:
    desk = Desk(card={"no_pin_daily_minor": 2_000, "daily_minor": 5_000})
    answers = [desk.authorize(request(fields(atc=atc))) for atc in (1, 2, 3)]
    assert [answered(answer) for answer in answers] == ["00", "00", "65 pin_required"]
    assert answers[0].counts == (
        ("limit/card/card-1/2026-11-27:CNY", 990, 5_000),
        ("limit/R06/card-1/2026-11-27:CNY", 990, 2_000),
    )
    assert answers[2].counts == ()
    again = desk.authorize(request(fields(atc=3), online_pin=BLOCK_0))
    assert answered(again) == "00"
    assert again.counts == (("limit/card/card-1/2026-11-27:CNY", 990, 5_000),)
    assert answered(desk.authorize(request(fields(atc=4), at_ms=AT_MS + DAY_MS))) == "00"


def test_the_rules_without_pin_have_dates() -> None:
    day = datetime.date(2018, 5, 31)
    asked = [
        no_pin_minor(NO_PIN_RULES, currency, day + datetime.timedelta(days=later), upgraded=upgraded)
        for currency in ("CNY", "HKD")
        for later in (0, 1)
        for upgraded in (False, True)
    ]
    assert asked == [30_000, 30_000, 30_000, 100_000, None, None, None, None]


# A lost card (R07). -------------------------------------------------------------------------------


def paid(operation: str, minor: int, at_ms: int, pin_done: str = "none", currency: str = "CNY") -> Event:
    data = {"atc": 1, "un": "", "pin": pin_done, "currency": currency}
    return Event("presented", at_ms, operation, minor, data=data)


H72 = 72 * HOUR_MS
THIRTY = [paid(str(n), 100_000, AT_MS - 31 + n) for n in range(30)]
COVER_ROWS: list[tuple[str, list[Event], int, list[tuple[str, int]]]] = [
    ("nothing paid", [], 0, []),
    ("72 hours before", [paid("a", 990, AT_MS - H72)], 0, [("a", 990)]),
    ("a millisecond earlier", [paid("a", 990, AT_MS - H72 - 1)], 0, []),
    ("as it was reported", [paid("a", 990, AT_MS)], 0, [("a", 990)]),
    ("after it", [paid("a", 990, AT_MS + 1)], 0, []),
    ("one fen", [paid("a", 1, AT_MS)], 0, [("a", 1)]),
    ("with the PIN", [paid("a", 990, AT_MS - 1, "right")], 0, []),
    ("confirmed on the phone", [paid("a", 990, AT_MS - 1, "device")], 0, []),
    ("in dollars", [paid("a", 990, AT_MS - 1, currency="USD")], 0, []),
    ("30,000 CNY", THIRTY, 0, [(str(n), 100_000) for n in range(30)]),
    (
        "and one fen",
        [*THIRTY, paid("x", 1, AT_MS)],
        0,
        [(str(n), 100_000) for n in range(30)],
    ),
    ("what is left of the year", [paid("a", 990, AT_MS - 2), paid("b", 990, AT_MS - 1)], 2_998_900,
     [("a", 990), ("b", 110)]),
    ("nothing left", [paid("a", 990, AT_MS - 2)], 3_000_000, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "used", "expected"), [row[1:] for row in COVER_ROWS], ids=[row[0] for row in COVER_ROWS]
)
def test_what_is_given_back_for_a_lost_card(facts: list[Event], used: int, expected: Any) -> None:
    desk = Desk(tallies={"limit/R07/alice/2026": used})
    fact, found = desk.host.report(TOKEN, CardStatus.LOST, AT_MS, facts)
    assert list(found.payments) == expected
    total = sum(minor for _, minor in expected)
    assert found.counts == ((("limit/R07/alice/2026", total, 3_000_000),) if total else ())
    desk.record.apply(fact)
    assert answered(desk.authorize(request())) == "41 card_blocked"


def test_a_refused_payment_is_not_given_back_nor_what_came_back_already() -> None:
    desk = Desk(tallies={AVAILABLE: 2_000})
    desk.authorize(request())
    desk.authorize(request(fields(5_000, atc=2), 5_000, operation="op-2"))
    fact, found = desk.host.report(TOKEN, CardStatus.STOLEN, AT_MS, desk.facts, {"op-1": 90}.__getitem__)
    assert found.payments == (("op-1", 900),)
    assert fact.data == {"status": "stolen"}


# Clearing. ----------------------------------------------------------------------------------------


def tc(
    amount: int = 990, atc: int = 1, cvr: str = "03900000", changed: Mapping[str, str] = {}, **how: Any
) -> dict[int, bytes]:
    """What card and terminal hand in of an offline approval."""
    data = issuer_data(cvr=cvr)
    return fields(amount, atc, signed={"9F10": data}, changed={"9F27": "40", **changed}, **how)


LOST, REPORTED_MS = set_to("lost"), AT_MS - HOUR_MS
CLEARED: list[tuple[str, dict[str, Any], Any, str]] = [
    ("paid", {}, approval(tc()), "00"),
    ("the last one comes first", {"facts": seen(9)}, approval(tc(atc=3)), "00"),
    ("far ahead", {}, approval(tc(atc=5_000)), "00"),
    ("the same counter", {"facts": seen(1)}, approval(tc()), "94 replayed"),
    ("wrong TC", {}, approval(tc(changed={"9F26": "00" * 8})), "88 wrong_cryptogram"),
    ("wrong key", {}, approval(tc(imk=IMK[::-1])), "88 wrong_cryptogram"),
    ("altered amount in the data", {}, approval(tc(changed={"9F02": f"{9_900:012}"}), 9_900),
     "88 wrong_cryptogram"),
    ("altered amount in the record", {}, approval(tc(), 9_900), "13 altered_amount"),
    ("another currency", {}, approval(tc(), currency="USD"), "12 currency_mismatch"),
    ("ARQC", {}, approval(fields()), "05 card_declined"),
    ("AAC", {}, approval(results("03800000", "00")),
     "05 card_declined"),
    ("AAC that says TC", {}, approval(tc(cvr="03800000")), "88 wrong_cryptogram"),
    ("unknown card", {}, approval(tc(pan="6234560000000081")), "14 no_such_account"),
    ("approved before the report", {"facts": LOST}, approval(tc(), approved_ms=REPORTED_MS - 1), "00"),
    ("approved after it", {"facts": LOST}, approval(tc(), approved_ms=REPORTED_MS), "41 card_blocked"),
    ("that, the issuer pays", {"facts": LOST, "policy": {"pays_after_report": True}},
     approval(tc()), "00"),
    ("approved on its last day, cleared later", {"card": {"expires": datetime.date(2026, 11, 27)}},
     approval(tc(), at_ms=DAY_END_MS + 2, approved_ms=DAY_END_MS), "00"),
    ("approved a day later", {"card": {"expires": datetime.date(2026, 11, 27)}},
     approval(tc(), at_ms=DAY_END_MS + 2, approved_ms=DAY_END_MS + 1), "54 expired"),
    ("all the money", {"tallies": {AVAILABLE: 990}}, approval(tc()), "00"),
    ("one fen short", {"tallies": {AVAILABLE: 989}}, approval(tc()), "51 insufficient_funds"),
    ("e-cash pays from its own account",
     {"tallies": {AVAILABLE: 0, "ecash/float:CNY": 990}, "card": {"offline_account": "ecash/float"}},
     approval(tc()), "00"),
    ("above R06: the card's own limits were asked", {}, approval(tc(100_001), 100_001), "00"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("desk", "asked", "expected"), [row[1:] for row in CLEARED], ids=[r[0] for r in CLEARED]
)
def test_an_offline_approval_at_clearing(desk: dict[str, Any], asked: Any, expected: str) -> None:
    till = Desk(**desk)
    answer = till.clear(asked)
    assert answered(answer) == expected
    assert bool(answer.facts) is (expected == "00")
    assert PAN not in f"{answer}{asked!r}"
    if expected == "00":
        assert answered(till.clear(asked)) == "94 replayed"
        assert answered(till.authorize(request(fields(atc=till.record.last_atc)))) in (
            "94 replayed",
            "41 card_blocked",
        )


# The answer to the card. --------------------------------------------------------------------------


def test_method_1_answers_with_the_response_code() -> None:
    sent = fields()
    key = CardKey.of("unionpay01", IMK, PAN, PSN)
    elements = {"9F36": sent[0x9F36]}
    for desk, code in ((Desk(), b"00"), (Desk(tallies={AVAILABLE: 0}), b"51")):
        answer = desk.authorize(request(sent))
        assert answer.data_91 == key.arpc(elements, sent[0x9F26], code) + code
        assert answer.arpc == answer.data_91[:8]


def test_method_2_answers_with_the_status_update() -> None:
    sent = fields(method="visa18", signed={"9F10": issuer_data("visa18")})
    key = CardKey.of("visa18", IMK, PAN, PSN)
    for tallies, update in (({}, "00820000"), ({AVAILABLE: 0}, "00000000")):
        answer = Desk(card={"scheme": "visa"}, tallies=tallies).authorize(request(sent))
        csu = bytes.fromhex(update)
        assert answer.data_91 == key.arpc({"9F36": sent[0x9F36]}, sent[0x9F26], csu) + csu
        assert answer.arpc == answer.data_91[:4]


def test_a_method_without_an_answer_gives_none() -> None:
    for method in ("unionpay17", "visa17"):
        sent = fields(method=method, signed={"9F10": issuer_data(method)})
        answer = Desk(card={"scheme": "visa" if method == "visa17" else "unionpay"}).authorize(request(sent))
        assert (answered(answer), answer.data_91, answer.arpc) == ("00", b"", b"")


def test_a_card_gets_its_updates_until_it_has_obeyed() -> None:
    desk = Desk()
    put, block = bytes.fromhex("84DA9F79"), bytes.fromhex("841E0000")
    for id, command, data in (("load", put, bytes.fromhex("000000010000")), ("block", block, b"")):
        desk.record.apply(update_ordered(desk.record, id, command, data, AT_MS))
    answer = desk.authorize(request())
    assert answer.updates == ("load", "block")
    commands = [dict(tlv.walk(tlv.decode(script))) for script in answer.scripts]
    sent = fields()
    elements = {"9F36": sent[0x9F36], "9F26": sent[0x9F26]}
    key = CardKey.of("unionpay01", bytes.fromhex("89ABCDEF012345677654321001234567"), PAN, PSN)
    header, data = put + b"\x0a", bytes.fromhex("000000010000")
    assert commands[0][0x72, 0x9F18] == bytes.fromhex("00000001")
    assert commands[0][0x72, 0x86] == header + data + key.script_mac(elements, header, data)
    assert commands[1][0x72, 0x86] == block + b"\x04" + key.script_mac(elements, block + b"\x04")
    desk.record.apply(update_done("load", AT_MS))
    assert desk.authorize(request(fields(atc=2))).updates == ("block",)


def test_a_blocked_card_still_gets_what_waits_for_it() -> None:
    desk = Desk(set_to("blocked"))
    desk.record.apply(update_ordered(desk.record, "block", bytes.fromhex("841E0000"), b"", AT_MS))
    answer = desk.authorize(request())
    assert (answered(answer), answer.updates, len(answer.data_91)) == ("62 card_blocked", ("block",), 10)
    assert desk.record.saw(1)
    forged = desk.authorize(request(fields(atc=2, changed={"9F26": "00" * 8})))
    assert (answered(forged), forged.updates, forged.data_91) == ("62 card_blocked", (), b"")


def test_a_card_without_script_key_gets_no_scripts() -> None:
    desk = Desk(card={"keys": {1: MasterKeys(IMK)}})
    desk.record.apply(update_ordered(desk.record, "block", bytes.fromhex("841E0000"), b"", AT_MS))
    assert desk.authorize(request()).scripts == ()


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


# A stranger in the issuer's place. ----------------------------------------------------------------

KINDS = [
    (APPROVED, b"00"),
    (Outcome.declined(Reason.SYSTEM_ERROR), b"05"),
    (Outcome(OutcomeKind.TRY_AGAIN), b"65"),
    (NO_ANSWER, b""),
]


@pytest.mark.parametrize(("outcome", "arc"), KINDS)
def test_a_stranger_answers_with_an_outcome_alone(outcome: Outcome, arc: bytes) -> None:
    class Stranger:
        def authorize(self, request: AuthorizationRequest) -> Answer:
            return Answer(outcome)

    issuers: list[Issuer] = [Stranger(), Desk().host]
    answer = issuers[0].authorize(request())
    assert (answer.arc, answer.data_91, answer.scripts, answer.facts) == (arc, b"", (), ())


# Judged by others. --------------------------------------------------------------------------------

OPEN = {"atc_jump": 0xFFFF, "results": {}, "checks_balance": False}
"""Published payments have any counter, and results that would ask for a PIN."""


def published(vector: Any, method: str, elements: Mapping[str, bytes], policy: Mapping[str, Any]) -> Answer:
    """The host's answer to a published payment of a published card."""
    scheme = next(name for name, rows in SCHEMES.items() if method in rows)
    reading = cryptogram.issuer_data(method, elements["9F10"])
    card = IssuedCard(
        token="published", pan=vector["pan"], psn=vector["psn"], scheme=scheme, methods=(method,),
        expires=datetime.date(2049, 12, 31), holder="x", stem="bank/x",
        keys={reading.key_index: MasterKeys(bytes.fromhex(vector.get("imk_ac") or vector["imk"]))},
    )  # fmt: skip
    currency = {"0124": "CAD", "0156": "CNY", "0840": "USD"}.get(elements.get("5F2A", b"\x01\x56").hex())
    sent = {int(tag, 16): value for tag, value in elements.items()}
    sent |= {
        0x5A: bytes.fromhex(vector["pan"] + "F" * (len(vector["pan"]) % 2)),
        0x5F34: bytes.fromhex(vector["psn"]),
    }
    sent |= {0x9F26: bytes.fromhex(vector["arqc"])}
    sent.setdefault(0x5F2A, b"\x01\x56")
    host = Host(CardFile([card]), lambda name: 10**12, policy=Policy(**{**OPEN, **policy}))
    amount = int(elements["9F02"].hex())
    return host.authorize(AuthorizationRequest(sent, amount, currency or "", AT_MS))


CVNS = {
    "visa-cvn10": ("visa10", "06010A03A06010", {}),
    "visa-cvn18": ("visa18", "", {"csu_approved": bytes.fromhex("00120000")}),
    "visa-cvn22": ("visa22", "", {"csu_declined": bytes.fromhex("00120000")}),
    "mc-cvn16": ("mchip16", "0110A00003220000DAC1", {}),
    "mc-cvn17": ("mchip17", "0111A00003220000DAC100000000000000FF", {}),
    "mc-cvn20": ("mchip20", "0114A00003220000DAC1", {}),
    "mc-cvn21": ("mchip21", "0115A00003220000DAC100000000000000FF", {}),
}
"""Published payment -> method, 9F10 where its parts alone are published, the issuer's choice of answer.

The results of visa-cvn22 say AAC, so the host declines what it has verified.
"""


@pytest.mark.parametrize("vector", known("cvn"), ids=name)
def test_a_published_payment_and_its_answer(vector: Any) -> None:
    method, data, policy = CVNS[vector["id"]]
    data = data or vector["extra"]["tag_9f10"]
    elements = elements_of(vector["tags"]) | {"9F10": bytes.fromhex(data)}
    answer = published(vector, method, elements, policy)
    assert answered(answer) == ("05 card_declined" if method == "visa22" else "00")
    assert answer.arpc.hex().upper() == vector["arpc"]
    inputs = vector["arpc_inputs"]
    assert answer.data_91[len(answer.arpc) :].hex() == (inputs.get("arpc_rc") or inputs["csu"])


def cut(data: str, tags: tuple[str, ...]) -> tuple[dict[str, bytes], bytes]:
    """The elements of a published message, and what follows them."""
    octets, found = bytes.fromhex(data), {}
    for tag in tags:
        found[tag], octets = octets[: cryptogram.LENGTHS[tag]], octets[cryptogram.LENGTHS[tag] :]
    return found, octets


MESSAGES: dict[str, tuple[str, str]] = {
    "jpos-arqc-MCHIP-80": ("mchip16", "0110{}DAC1"),
    "jpos-arqc-EMV-80": ("mchip20", "0114{}DAC1"),
    "pboc-cvn01-arqc": ("unionpay01", ""),
    "visa-cvn17-self": ("visa17", "06011103{}0000"),
}
"""Published cryptogram -> method, 9F10 around the part that is published.

The MAC of pboc-cvn01's balance is under a key that is not published.
"""

NO_ROW = {
    "jpos-arqc-VSDC-00": "Visa's key over M/Chip's six bytes of results",
    "jpos-arqc-VSDC-80": "the same, other padding",
    "jpos-arqc-MCHIP-00": "M/Chip with Visa's padding",
    "jpos-arqc-EMV-00": "the same under another key",
    "csk-arqc": "16 bytes that are no payment",
}
"""Published MACs that no card's method makes; tests/crypto checks them."""


@pytest.mark.parametrize("vector", [v for v in known("arqc") if v["id"] in MESSAGES], ids=name)
def test_a_published_cryptogram(vector: Any) -> None:
    method, around = MESSAGES[vector["id"]]
    elements, rest = cut(vector["data"], cryptogram.METHODS[method].tags)
    elements["9F10"] = bytes.fromhex(vector.get("iad") or around.format(rest.hex()))
    assert answered(published(vector, method, elements, {})) == "00"
    vector = {**vector, "arqc": tampered(vector["arqc"], 0)}
    assert answered(published(vector, method, elements, {})) == "88 wrong_cryptogram"


def test_every_published_cryptogram_is_asked_or_says_why_not() -> None:
    assert {v["id"] for v in known("arqc")} == {*MESSAGES, *NO_ROW}
    assert {v["id"] for v in known("cvn")} == set(CVNS)


def test_what_a_published_message_signs_is_what_the_host_reads() -> None:
    (vector,) = known("arqc_input")
    elements = elements_of(vector["tags"])
    key = CardKey.of("visa22", IMK, PAN, PSN)
    made = mac_3(key.session_key(elements), bytes.fromhex(vector["data"]), 2)
    card = {"pan": PAN, "psn": PSN, "imk": IMK.hex(), "arqc": made.hex()}
    answer = published(card, "visa22", elements, {})
    assert answered(answer) == "05 card_declined"  # its results say AAC
    assert answer.data_91


@pytest.mark.parametrize("vector", known("arpc_method1"), ids=name)
def test_a_published_answer_of_method_1(vector: Any) -> None:
    code = bytes.fromhex(vector["arc"])
    answer = authentication_data(
        CardKey("visa10", bytes.fromhex(vector["key"])), {"9F26": bytes.fromhex(vector["arqc"])}, code, True
    )
    assert answer.hex().upper() == vector["arpc"] + vector["arc"]


@pytest.mark.parametrize("vector", known("arpc_method2"), ids=name)
def test_a_published_answer_of_method_2(vector: Any) -> None:
    """The key is the session key of the card that made jpos-arqc-EMV-80."""
    (made,) = [v for v in known("arqc") if v["id"] == "jpos-arqc-EMV-80"]
    assert made["session_key"] == vector["key"]
    key = CardKey("visa18", bytes.fromhex(made["icc_mk"]))
    elements = {"9F26": bytes.fromhex(vector["arqc"]), "9F36": bytes.fromhex(made["atc"])}
    answer = authentication_data(
        key, elements, b"00", True, Policy(csu_approved=bytes.fromhex(vector["csu"]))
    )
    assert answer.hex().upper() == vector["arpc"] + vector["csu"]


PEERS = {
    "visa10": "VisaCVN10",
    "visa18": "VisaCVN18",
    "visa22": "VisaCVN22",
    "mchip16": "MasterCardCVN16",
    "mchip17": "MasterCardCVN17",
    "mchip20": "MasterCardCVN20",
    "mchip21": "MasterCardCVN21",
}
"""Method -> pyemv's class."""


def drawn(draw: Draw, method: str) -> dict[str, str]:
    """A payment that the host approves: what its checks do not look at is drawn."""
    text = {tag: draw.octets(size).hex() for tag, size in cryptogram.LENGTHS.items() if tag != "9F26"}
    amount, cvn = draw.number(0, 100_000), cryptogram.METHODS[method].version
    text |= {"9F02": f"{amount:012}", "5F2A": "0156", "9C": draw_one(draw, ("00", "01", "09", "17"))}
    text["95"] = bytes(a & b for a, b in zip(draw.octets(5), bytes.fromhex("A1AF7FFEFF"), strict=True)).hex()
    text["9F36"] = f"{draw.number(1, 1_000):04X}"
    kind = draw_one(draw, ("9", "A"))
    if method.startswith("mchip"):
        cvr = f"{kind}{draw.number(0, 15):X}" + draw.octets(2).hex() + "22" + draw.octets(2).hex()
        size = 18 if method in {"mchip17", "mchip21"} else draw.number(8, 18)
        text["9F10"] = f"01{cvn:02X}{cvr}{draw.octets(10).hex()}"[: 2 * size]
    elif method == "visa22":
        text["9F10"] = f"1F2201{'03'}{kind}0{draw_one(draw, ('00', '20', '10'))}{draw.octets(26).hex()}"
    else:
        cvr = f"03{kind}0{draw_one(draw, ('00', '20', '30', '80'))}{draw.octets(1).hex()}"
        text["9F10"] = f"0601{cvn:02X}{cvr}{draw.octets(draw.number(0, 25)).hex()}"
    return text


def draw_one(draw: Draw, values: tuple[str, ...]) -> str:
    return values[draw.number(0, len(values) - 1)]


def their_answer(theirs: Any, method: str, text: Mapping[str, str], made: bytes) -> bytes:
    """pyemv's issuer authentication data for an approval."""
    atc = {"tag_9f36": bytes.fromhex(text["9F36"])}
    if method in {"visa18", "visa22"}:
        csu = bytes.fromhex("00820000")
        return bytes(theirs.generate_arpc(made, csu=csu, **atc)) + csu
    code = b"00" if method == "visa10" else bytes.fromhex("0012")
    return bytes(theirs.generate_arpc(made, arpc_rc=code, **({} if method in NO_ATC else atc))) + code


NO_ATC = {"visa10", "mchip16", "mchip17"}


def given_to_pyemv(method: str, text: Mapping[str, str]) -> dict[str, bytes]:
    data = bytes.fromhex(text["9F10"])
    elements = {f"tag_{tag.lower()}": bytes.fromhex(text[tag]) for tag in cryptogram.MINIMUM}
    if method in {"visa18", "visa22"}:
        return elements | {"tag_9f10": data}
    if method == "visa10":
        return elements | {"cvr": data[3:7]}
    elements["cvr"] = data[2:8]
    return elements | ({"counters": data[10:18]} if method in {"mchip17", "mchip21"} else {})


@QUIET
@pytest.mark.parametrize("method", PEERS)
def test_the_host_takes_what_pyemv_signs_and_answers_as_pyemv_does(method: str) -> None:
    pyemv = pytest.importorskip("pyemv")
    scheme = next(name for name, rows in SCHEMES.items() if method in rows)
    for draw in draws(f"host-{method}", count(2_000)):
        imk, pan, psn = draw.octets(16), draw.digits(12, 19), draw.digits(2, 2)
        theirs = getattr(pyemv.cvn, PEERS[method])(imk, bytes(16), bytes(16), pan, psn)
        text = drawn(draw, method)
        made = theirs.generate_ac(**given_to_pyemv(method, text))
        sent = {int(tag, 16): bytes.fromhex(value) for tag, value in text.items()}
        sent |= {0x9F26: made, 0x5F34: bytes.fromhex(psn), 0x5A: bytes.fromhex(pan + "F" * (len(pan) % 2))}
        desk = Desk(card={"scheme": scheme, "pan": pan, "psn": psn, "keys": {1: MasterKeys(imk)}})
        amount = int(text["9F02"])

        forged = desk.authorize(request(sent | {0x9F26: (int.from_bytes(made) ^ 1).to_bytes(8)}, amount))
        assert answered(forged) == "88 wrong_cryptogram"
        answer = desk.authorize(request(sent, amount))
        assert answered(answer) == "00", answer
        assert answer.data_91 == their_answer(theirs, method, text, made)


# Any bytes. ---------------------------------------------------------------------------------------

GOOD = fields(changed={"9F6C": "0000", "57": f"{PAN}D31112010000000F"})
VALUES = st.binary(max_size=40) | st.sampled_from(sorted(GOOD.values()))
MAPPINGS = st.dictionaries(st.sampled_from(sorted(GOOD)) | st.integers(0, 0xFFFFFF), VALUES, max_size=16)


@settings(max_examples=count(2_000))
@given(
    MAPPINGS,
    st.booleans(),
    st.integers(-10, 10**13) | st.just(990),
    st.sampled_from(["CNY", "JPY", "", "156", "x" * 9]),
    st.none() | st.binary(max_size=17) | st.sampled_from([BLOCK_0, BLOCK_4, WRONG_0]),
    st.booleans(),
)
def test_any_fields_have_an_answer(
    drawn_fields: dict[int, bytes],
    over_good: bool,
    minor: int,
    currency: str,
    block: bytes | None,
    upgraded: bool,
) -> None:
    sent = {**GOOD, **drawn_fields} if over_good else drawn_fields
    desk = Desk()
    asked = request(sent, minor, currency=currency, online_pin=block, upgraded=upgraded)
    for answer in (desk.authorize(asked), desk.clear(approval(sent, minor, currency=currency))):
        assert isinstance(answer, Answer)
        assert answer.outcome.kind is not OutcomeKind.UNKNOWN
        assert len(answer.arc) == 2
        assert PAN not in str(answer)
        assert pickle.loads(pickle.dumps(answer)) == answer
