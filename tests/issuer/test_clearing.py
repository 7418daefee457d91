"""Offline approvals at clearing."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from issuer_cards import (
    AT_MS,
    AVAILABLE,
    DAY_END_MS,
    IMK,
    PAN,
    Desk,
    answered,
    approval,
    fields,
    request,
    results,
    seen,
    set_to,
    tc,
)

from paysim.core.clock import HOUR_MS

# Clearing. ----------------------------------------------------------------------------------------


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
