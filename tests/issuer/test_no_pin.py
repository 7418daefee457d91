"""Limits without PIN and of a day (R06), and what a holder is given back for a lost card (R07)."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from issuer_cards import (
    AT_MS,
    AVAILABLE,
    BLOCK_0,
    TOKEN,
    Desk,
    answered,
    fields,
    request,
)

from paysim.core.clock import DAY_MS, HOUR_MS
from paysim.core.event import Event
from paysim.issuer.cards import CardStatus
from paysim.issuer.no_pin import NO_PIN_RULES, no_pin_minor

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
