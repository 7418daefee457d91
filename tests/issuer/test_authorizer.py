"""The issuer's answer: in which order it looks at PIN, card, limits and money, and what it counts."""

from __future__ import annotations

from typing import Any

import pytest

from paysim import UsageError
from paysim.core.event import Event
from paysim.core.outcome import Reason
from paysim.issuer.accounts import DEFAULT_PIN, Kind, Payer, Source, check_pin, fold, hash_pin
from paysim.issuer.authorizer import PaymentRequest, authorize, business_day

WALLET = Source("wallet", Kind.WALLET, "payer/alice")
DEBIT = Source("debit", Kind.DEBIT, "bank/alice/debit")
CREDIT = Source("card", Kind.CREDIT, "bank/alice/card")
ALICE = Payer("alice", "Alice", hash_pin("alice", "246810"), True, None, 100_000, (WALLET, DEBIT, CREDIT))
BOB = Payer("bob", "Bob", hash_pin("bob", DEFAULT_PIN), False, None, 100_000, (WALLET,))
CAROL = Payer("carol", "Carol", hash_pin("carol", DEFAULT_PIN), True, 20_000, 100_000, (WALLET,))

AT_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, eight in the morning in China


def ask(payer: Payer = ALICE, source: Source = WALLET, **about: Any) -> PaymentRequest:
    settings = {"amount_minor": 1_280, "pin_right": True, "currency": "CNY", "at_ms": AT_MS}
    return PaymentRequest(payer, source, **(settings | about))


# what is asked, what is available, what was used today, the reason, the number of the rule
ROWS: list[tuple[str, PaymentRequest, int, int, str, str]] = [
    ("paid", ask(), 1_280, 0, "", ""),
    ("one fen short", ask(), 1_279, 0, "insufficient_funds", "insufficient_funds"),
    ("wrong PIN", ask(pin_right=False), 9_999, 0, "wrong_pin", "wrong_pin"),
    ("wrong PIN before no money", ask(pin_right=False), 0, 0, "wrong_pin", "wrong_pin"),
    ("credit refused", ask(source=CREDIT, credit_refused=True), 9_999, 0, "credit_refused", "credit_refused"),
    ("debit at that shop", ask(source=DEBIT, credit_refused=True), 9_999, 0, "", ""),
    ("credit elsewhere", ask(source=CREDIT), 9_999, 0, "", ""),
    ("no PIN: level C", ask(pin_right=None), 9_999, 98_720, "", ""),
    ("no PIN: above it", ask(pin_right=None), 9_999, 98_721, "limit_exceeded", "R03"),
    ("no certificate: level B", ask(BOB), 9_999, 498_720, "", ""),
    ("no certificate: above it", ask(BOB), 9_999, 498_721, "limit_exceeded", "R02"),
    ("agreed: level A", ask(CAROL), 9_999, 18_720, "", ""),
    ("agreed: above it", ask(CAROL), 9_999, 18_721, "limit_exceeded", "R01"),
    ("nothing agreed", ask(), 9_999, 10**12, "", ""),
    ("static: level D", ask(static_code=True), 9_999, 48_720, "", ""),
    ("static: above it", ask(static_code=True), 9_999, 48_721, "limit_exceeded", "R04"),
    ("limits before money", ask(static_code=True), 0, 48_721, "limit_exceeded", "R04"),
    ("a personal code", ask(static_code=True, personal_code=True), 9_999, 0, "", ""),
    (
        "that, remote",
        ask(static_code=True, personal_code=True, remote=True),
        9_999,
        0,
        "remote_collection",
        "R05",
    ),
    ("a shop's code, remote", ask(static_code=True, remote=True), 9_999, 0, "", ""),
    ("yen know no such limit", ask(currency="JPY", static_code=True), 9_999, 10**9, "", ""),
]


@pytest.mark.parametrize(
    ("name", "request_", "available", "used", "reason", "code"), ROWS, ids=[r[0] for r in ROWS]
)
def test_the_issuers_answer(
    name: str, request_: PaymentRequest, available: int, used: int, reason: str, code: str
) -> None:
    outcome, counts = authorize(request_, available, lambda counter: used)
    assert outcome.approved is (reason == "")
    if reason:
        assert (outcome.reason, outcome.code) == (Reason(reason), code)
        assert counts == ()
        assert outcome.text
    else:
        assert all(minor == request_.amount_minor for _, minor, _ in counts)
        assert all(ceiling is None or used + minor <= ceiling for _, minor, ceiling in counts)


def test_each_payer_source_rule_and_day_has_its_own_counter() -> None:
    asked = [
        ask(),
        ask(source=DEBIT),
        ask(source=CREDIT),
        ask(BOB),
        ask(static_code=True),
        ask(pin_right=None),
    ]
    asked.append(ask(at_ms=AT_MS + 86_400_000))
    counters = {authorize(one, 9_999, lambda counter: 0).counts[0][0] for one in asked}
    assert len(counters) == len(asked)


def test_the_day_turns_at_midnight_in_china() -> None:
    assert business_day(AT_MS).isoformat() == "2026-01-01"
    assert business_day(AT_MS + 16 * 3_600_000 - 1).isoformat() == "2026-01-01"
    assert business_day(AT_MS + 16 * 3_600_000).isoformat() == "2026-01-02"


# Persons. -------------------------------------------------------------------------------------------

OPENED = Event("opened", 0, data={"name": "Alice", "stem": "payer/alice"})
CARD = Event("account_opened", 1, data={"name": "card", "kind": "credit", "stem": "bank/alice/card"})


def test_a_person_is_a_fold_of_their_stream() -> None:
    alice = fold("alice", [OPENED, Event("funded", 1), CARD, Event("asked", 2)])
    assert alice
    assert [source.name for source in alice.sources] == ["wallet", "card"]
    assert alice.source() is alice.sources[0]
    assert alice.source("card") == Source("card", Kind.CREDIT, "bank/alice/card")
    assert alice.source("nothing") is None
    assert alice.knows(DEFAULT_PIN)
    assert not alice.knows("000000")
    assert fold("alice", []) is None


@pytest.mark.parametrize("pin", ["12345", "1234567", "", "12345a", "１２３４５６", "12 456", None, 123456])
def test_a_pin_is_six_digits(pin: Any) -> None:
    with pytest.raises(UsageError) as caught:
        check_pin(pin)
    assert not pin or str(pin) not in str(caught.value)


def test_one_pin_of_two_persons_is_kept_differently() -> None:
    assert hash_pin("alice", "123456") != hash_pin("bob", "123456")
    assert "123456" not in hash_pin("alice", "123456")
    assert check_pin("123456") == "123456"
