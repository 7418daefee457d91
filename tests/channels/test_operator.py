"""What the operator answers: verb by state, deadlines to the millisecond, and the fen of a fee."""

from __future__ import annotations

from typing import Any

import pytest

from paysim.channels import Claim, ShopFacts, operator
from paysim.channels.operator import Ask, Attempt
from paysim.core.clock import DAY_MS, HOUR_MS
from paysim.core.event import Event
from paysim.core.operation import Verb
from paysim.core.state import State
from paysim.core.transaction import Transaction
from paysim.issuer.accounts import DEFAULT_PIN, Kind, Payer, Source, hash_pin

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, eight in the morning in China
EVE_MS = 16 * HOUR_MS  # until midnight in China
PRICE = 1_280
WALLET = Source("wallet", Kind.WALLET, "payer/alice")
ALICE = Payer("alice", "Alice", hash_pin("alice", DEFAULT_PIN), True, None, 100_000, (WALLET,))


class World:
    """What the operator can look up: balances by name, one person, one shop."""

    def __init__(self, fee_ppm: int = 0, **tallies: int) -> None:
        self.shop = ShopFacts("tea", "Tea House", fee_ppm=fee_ppm)
        self.tallies = {
            "payer/alice/available:CNY": 10_000,
            "merchant/tea/pending:CNY": 100_000,
            "merchant/tea/available:CNY": 100_000,
        } | {name.replace("_", "/") + ":CNY": minor for name, minor in tallies.items()}

    def payer(self, id: str) -> Payer | None:
        return ALICE if id == "alice" else None

    def shop_facts(self, id: str) -> ShopFacts:
        return self.shop

    def tally(self, name: str) -> int:
        return self.tallies.get(name, 0)


def created(capture: str = "auto") -> Event:
    data = {"currency": "CNY", "shop": "tea", "capture": capture}
    return Event("created", START_MS, amount_minor=PRICE, data=data)


PRESENTED = Event(
    "presented", START_MS, data={"channel": "qr.merchant", "text": "new", "expiry_ms": START_MS + 7}
)
OLD = Event("presented", START_MS, data={"channel": "qr.merchant", "text": "old", "expiry_ms": START_MS + 5})
SUBMITTED = Event("submitted", START_MS, "1.1", PRICE, data={"payer": "alice"})
PAID_BY = {"payer": "alice", "source": "payer/alice"}
HELD = Event("authorized", START_MS, "1.1", PRICE, data=PAID_BY | {"hold_ms": START_MS + 7 * DAY_MS})
CAPTURED = Event("captured", START_MS, "1.1", PRICE, data=PAID_BY)
PART = Event("captured", START_MS, "1.2", 300)
REFUNDED = Event("refunded", START_MS, "1.3", 280)
SETTLED = Event("settled", START_MS + DAY_MS, "", PRICE)

BOOKS: dict[str, list[Event]] = {
    "unheard of": [],
    "presented": [created(), PRESENTED],
    "pending": [created(), PRESENTED, SUBMITTED],
    "held": [created("manual"), SUBMITTED, HELD],
    "held in part": [created("manual"), SUBMITTED, HELD, PART],
    "paid": [created(), SUBMITTED, CAPTURED],
    "refunded in part": [created(), SUBMITTED, CAPTURED, REFUNDED],
    "settled": [created(), SUBMITTED, CAPTURED, SETTLED],
    "declined": [created(), SUBMITTED, Event("declined", START_MS, "1.1")],
    "closed": [created(), Event("closed", START_MS)],
    "voided": [created(), SUBMITTED, CAPTURED, Event("voided", START_MS, "1.2", PRICE)],
    "reversed": [created(), Event("reversed", START_MS, "1.2")],
}


def book(name: str) -> Transaction:
    view = Transaction("1")
    for event in BOOKS[name]:
        view.apply(event)
    return view


def answered(view: Transaction, verb: str, minor: int = 0, **about: Any) -> list[str]:
    """The kinds of the facts that follow; a refusal as its reason. They are legal in the book."""
    ask = Ask(Verb(verb), "1.9", minor, about.pop("at_ms", START_MS), about.pop("final", False))
    events = operator.answer(view, ask, about.pop("world", World()))
    for event in events:
        view.apply(event)
    return [
        event.outcome.reason.value if event.outcome and event.outcome.reason else event.kind
        for event in events
    ]


OPEN = ("unheard of", "presented", "pending")
TAKEN = ("paid", "refunded in part", "settled")

# verb and amount, then what is answered in which books; in all others it is refused for the wrong state
ANSWERS: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {
    ("capture", 980): {"captured": ("held", "held in part"), "over_capture": TAKEN},
    ("capture", 981): {"captured": ("held",), "over_capture": ("held in part", *TAKEN)},
    ("capture", PRICE + 1): {"over_capture": ("held", "held in part", *TAKEN)},
    ("capture", 0): {"over_capture": ("held", "held in part", *TAKEN)},
    ("refund", 300): {"refunded": ("held in part", *TAKEN)},
    ("refund", 1_000): {"refunded": TAKEN, "over_refund": ("held in part",)},
    ("refund", 1_001): {"refunded": ("paid", "settled"), "over_refund": ("held in part", "refunded in part")},
    ("refund", 0): {"over_refund": ("held in part", *TAKEN)},
    ("void", 0): {"voided": ("held", "held in part", "paid"), "settled": ("settled",)},
    ("reverse", 0): {
        "reversed": (*OPEN, "held", "held in part", "paid"),
        "settled": ("settled", "refunded in part"),
    },
    ("close", 0): {"closed": OPEN, "already_paid": ("held", "held in part", *TAKEN)},
}


@pytest.mark.parametrize("name", BOOKS)
@pytest.mark.parametrize(("verb", "minor"), ANSWERS)
def test_a_verb_in_a_state(name: str, verb: str, minor: int) -> None:
    found = [reply for reply, books in ANSWERS[verb, minor].items() if name in books]
    view = book(name)
    assert answered(view, verb, minor) == (found or ["wrong_state"])
    assert answered(view, verb, minor) == [], "asked again with the same operation it has no second effect"


def test_a_final_capture_frees_the_rest() -> None:
    view = book("held")
    assert answered(view, "capture", 300, final=True) == ["captured", "released"]
    assert (view.captured_minor, view.held_minor, view.state) == (300, 0, State.CAPTURED)


def test_a_refusal_that_may_pass_is_decided_anew() -> None:
    view = book("settled")
    assert answered(view, "refund", 300, world=World(merchant_tea_available=299)) == ["merchant_funds"]
    assert answered(view, "refund", 300, world=World(merchant_tea_available=300)) == ["refunded"]
    assert answered(view, "refund", 300) == []


# the verb, the book, how many milliseconds after the first fact, the answer
DEADLINES: list[tuple[str, str, int, str]] = [
    ("reverse", "paid", 7 * DAY_MS, "reversed"),
    ("reverse", "paid", 7 * DAY_MS + 1, "too_late"),
    ("refund", "settled", 365 * DAY_MS, "refunded"),
    ("refund", "settled", 365 * DAY_MS + 1, "too_late"),
    ("void", "paid", 900 * DAY_MS, "voided"),
    ("close", "presented", 900 * DAY_MS, "closed"),
]


@pytest.mark.parametrize(("verb", "name", "later_ms", "expected"), DEADLINES)
def test_deadlines(verb: str, name: str, later_ms: int, expected: str) -> None:
    assert answered(book(name), verb, 1, at_ms=START_MS + later_ms) == [expected]


def test_an_order_is_refunded_in_fifty_parts() -> None:
    view = book("paid")
    for part in range(51):
        ask = Ask(Verb.REFUND, f"1.{part + 2}", 1, START_MS)
        [event] = operator.answer(view, ask, World())
        view.apply(event)
        assert event.kind == ("refunded" if part < 50 else "refused")


# Payers. --------------------------------------------------------------------------------------------

CLAIM = Claim("qr.merchant", "tea", "1")

# the book, the claim, the text, milliseconds later, the reason
CLAIMS: list[tuple[list[Event], Claim, str, int, str]] = [
    ([created(), PRESENTED], CLAIM, "new", 0, ""),
    ([created(), PRESENTED], CLAIM, "new", 6, ""),
    ([created(), PRESENTED], CLAIM, "new", 7, "expired"),
    ([created(), PRESENTED, SUBMITTED], CLAIM, "new", 0, ""),
    ([created(), OLD, PRESENTED], CLAIM, "old", 0, "replaced_code"),
    ([created(), OLD, PRESENTED], CLAIM, "new", 6, ""),
    ([created(), PRESENTED], CLAIM, "other", 0, "altered_code"),
    ([created(), PRESENTED], CLAIM._replace(shop="other"), "new", 0, "wrong_shop"),
    ([], CLAIM, "new", 0, "not_found"),
    ([created()], CLAIM, "new", 0, "not_found"),
    ([created(), PRESENTED, CAPTURED], CLAIM, "new", 9, "already_paid"),
    ([created("manual"), PRESENTED, HELD], CLAIM, "new", 9, "already_paid"),
    ([created(), PRESENTED, Event("closed", START_MS)], CLAIM, "new", 0, "wrong_state"),
    ([created(), PRESENTED, Event("closed", START_MS)], CLAIM, "new", 7, "expired"),
]


@pytest.mark.parametrize(("events", "claim", "text", "later_ms", "reason"), CLAIMS)
def test_a_claim_is_held_against_the_records(
    events: list[Event], claim: Claim, text: str, later_ms: int, reason: str
) -> None:
    view = Transaction("1")
    for event in events:
        view.apply(event)
    outcome = operator.check_claim(view, claim, text, START_MS + later_ms)
    assert (outcome.reason.value if outcome and outcome.reason else "") == reason


def attempt(**about: Any) -> Attempt:
    return Attempt(**({"operation": "1.1", "payer": ALICE, "source": WALLET, "pin_right": True} | about))


# the attempt, what the payer has, the facts
ATTEMPTS: list[tuple[Attempt, int, list[str]]] = [
    (attempt(), PRICE, ["submitted", "captured"]),
    (attempt(), PRICE - 1, ["submitted", "attempt_failed"]),
    (attempt(single_use=True), PRICE - 1, ["submitted", "declined"]),
    (attempt(pin_right=False), PRICE, ["submitted", "attempt_failed"]),
    (attempt(source=None), PRICE, ["submitted", "attempt_failed"]),
    (attempt(source=None, single_use=True), PRICE, ["submitted", "declined"]),
]


@pytest.mark.parametrize(("tried", "available", "kinds"), ATTEMPTS)
def test_an_attempt_to_pay(tried: Attempt, available: int, kinds: list[str]) -> None:
    view = book("presented")
    events = operator.pay(view, tried, World(payer_alice_available=available), START_MS)
    assert [event.kind for event in events] == kinds
    for event in events:
        view.apply(event)
    moved = sum(transfer.minor for event in events for transfer in event.transfers)
    assert moved == (PRICE if "captured" in kinds else 0)


@pytest.mark.parametrize("name", ["paid", "held", "closed", "reversed", "declined"])
def test_an_attempt_too_late_is_noted_alone(name: str) -> None:
    [event] = operator.pay(book(name), attempt(), World(), START_MS)
    assert (event.kind, event.transfers) == ("noted", ())
    assert event.outcome
    assert not event.outcome.approved
    [said_no] = operator.refuse(book(name), attempt(), START_MS)
    assert said_no.kind == "noted"


def test_manual_capture_holds_for_seven_days() -> None:
    view = Transaction("1")
    for event in (created("manual"), PRESENTED):
        view.apply(event)
    *_, held = operator.pay(view, attempt(), World(), START_MS)
    assert (held.kind, held.data["hold_ms"]) == ("authorized", START_MS + 7 * DAY_MS)


# Settlement. ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later_ms", "due_ms"),
    [
        (0, 16 * HOUR_MS),
        (16 * HOUR_MS - 1, 16 * HOUR_MS),
        (16 * HOUR_MS, 40 * HOUR_MS),
        (DAY_MS, 40 * HOUR_MS),
    ],
)
def test_settlement_is_at_the_next_midnight_in_china(later_ms: int, due_ms: int) -> None:
    assert operator.settlement_ms(START_MS + later_ms) == START_MS + due_ms


@pytest.mark.parametrize(
    ("fee_ppm", "fee"), [(0, 0), (1, 0), (390, 0), (391, 1), (6_000, 8), (500_000, 640), (999_999, 1_280)]
)
def test_the_fee_is_rounded_half_up(fee_ppm: int, fee: int) -> None:
    view = book("paid")
    [event] = operator.ring(view, "settlement", World(fee_ppm), START_MS + DAY_MS)
    to = {transfer.credit: transfer.minor for transfer in event.transfers}
    assert to.get("fees", 0) == fee
    assert to.get("merchant/tea/available", 0) == PRICE - fee
    assert event.amount_minor == PRICE


def test_what_was_refunded_is_not_settled() -> None:
    [event] = operator.ring(book("refunded in part"), "settlement", World(), START_MS + DAY_MS)
    assert event.amount_minor == 1_000


@pytest.mark.parametrize(("name", "kind"), [("held", "lapsed"), ("held in part", "released")])
def test_a_hold_ends(name: str, kind: str) -> None:
    view = book(name)
    left = view.held_minor
    [event] = operator.ring(view, "hold", World(), START_MS + 7 * DAY_MS)
    assert (event.kind, event.amount_minor) == (kind, left)
    assert sum(transfer.minor for transfer in event.transfers) == left
