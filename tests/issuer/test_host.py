"""The issuer's host: each check with its borders, replays and tampering, PIN, any bytes."""

from __future__ import annotations

import datetime
import pickle
from typing import Any

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st
from issuer_cards import (
    AT_MS,
    AVAILABLE,
    BLOCK_0,
    BLOCK_4,
    CVR,
    DAY_END_MS,
    IMK,
    PAN,
    PIN_KEYS,
    PSN,
    STEM,
    TOKEN,
    WRONG_0,
    Desk,
    answered,
    approval,
    fields,
    issuer_data,
    request,
    results,
    seen,
    set_to,
    tampered,
)

from paysim.core.event import Event
from paysim.core.outcome import OutcomeKind, Reason
from paysim.crypto import pin
from paysim.crypto.cryptogram import CardKey
from paysim.crypto.mac import mac_3
from paysim.crypto.triple_des import encrypt_ecb
from paysim.issuer.card_file import (
    pin_unblocked,
)
from paysim.issuer.cards import SCHEMES, MasterKeys
from paysim.issuer.checks import CLEARING, ONLINE, Case, digest
from paysim.issuer.host import Answer, AuthorizationRequest, Host, Policy
from paysim.issuer.refusals import REFUSALS

SIGNED = fields()[0x9F26].hex()
JUNE_2018_MS = 1_527_782_400_000  # 2018-06-01 in China
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
    unsaid = {key for key, row in REFUSALS.items() if not any(text.startswith(row.words) for text in said)}
    assert unsaid == {"PIN blocked", "altered balance", "not approved"}  # they have tests of their own


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
