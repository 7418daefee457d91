"""The QR levels A to D, day by day and fen by fen."""

from __future__ import annotations

import datetime
import functools
from typing import Any

import msgspec
import pytest

from paysim.core.errors import ConfigError, UsageError
from paysim.issuer.limits import DEFAULT_RULES, LimitDecision, LimitRequest, Rule, Rulebook, decide

DAY = datetime.date(2026, 1, 1)
NEXT_DAY = datetime.date(2026, 1, 2)

PLAIN: dict[str, Any] = {
    "payer": "alice",
    "source": "wallet",
    "amount_minor": 1,
    "currency": "CNY",
    "day": DAY,
    "factors": "two",
}
STATIC: dict[str, Any] = {"static_code": True}


def pay(
    spent: dict[str, int], amount_minor: int, rules: Rulebook = DEFAULT_RULES, **about: Any
) -> LimitDecision:
    """Decide, and count what was allowed, as the capture does."""
    request = LimitRequest(**PLAIN | about | {"amount_minor": amount_minor})
    decision = decide(request, lambda name: spent.get(name, 0), rules)
    for name, added, ceiling in decision.counters:
        spent[name] = spent.get(name, 0) + added
        assert ceiling is None or spent[name] <= ceiling
    return decision


# what is paid with, what one day holds in fen, by which rule
CEILINGS = [
    pytest.param({"factors": "two"}, 5_000_00, "R02", id="level B"),
    pytest.param({"factors": "one"}, 1_000_00, "R03", id="level C"),
    pytest.param({"factors": "one"} | STATIC, 500_00, "R04", id="level D, one factor"),
    pytest.param({"factors": "two"} | STATIC, 500_00, "R04", id="level D, two factors"),
    pytest.param({"factors": "certificate"} | STATIC, 500_00, "R04", id="level D, a certificate"),
    pytest.param(
        {"factors": "certificate", "agreed_limit_minor": 90_000_00} | STATIC,
        500_00,
        "R04",
        id="level D, an agreement",
    ),
    pytest.param(
        {"factors": "certificate", "agreed_limit_minor": 90_000_00}, 90_000_00, "R01", id="level A, agreed"
    ),
    pytest.param(
        {"factors": "certificate", "agreed_limit_minor": 0}, 0, "R01", id="level A, agreed on nothing"
    ),
    pytest.param(
        {"factors": "two", "agreed_limit_minor": 90_000_00}, 5_000_00, "R02", id="an agreement is for level A"
    ),
    pytest.param({"factors": "one", "source": "bank:1"}, 1_000_00, "R03", id="level C, a bank account"),
    pytest.param({"source": "bank:1"} | STATIC, 500_00, "R04", id="level D, a card"),
]


@pytest.mark.parametrize(("about", "ceiling", "number"), CEILINGS)
def test_a_day_holds_the_ceiling_and_not_one_fen_more(
    about: dict[str, Any], ceiling: int, number: str
) -> None:
    assert pay({}, ceiling, **about).allowed
    refused = pay({}, ceiling + 1, **about)
    assert (refused.allowed, refused.rule, refused.counters) == (False, number, ())


@pytest.mark.parametrize(("about", "ceiling", "number"), CEILINGS)
def test_the_sum_of_a_day_counts_not_the_single_payment(
    about: dict[str, Any], ceiling: int, number: str
) -> None:
    spent: dict[str, int] = {}
    first = ceiling // 3
    assert pay(spent, first, **about).allowed
    assert pay(spent, ceiling - first + 1, **about).rule == number
    assert pay(spent, ceiling - first, **about).allowed
    assert pay(spent, 1, **about).rule == number
    assert list(spent.values()) == [ceiling]


@pytest.mark.parametrize(("about", "ceiling", "number"), CEILINGS)
def test_midnight_opens_a_new_sum(about: dict[str, Any], ceiling: int, number: str) -> None:
    spent: dict[str, int] = {}
    assert pay(spent, ceiling, **about).allowed
    assert pay(spent, 1, **about).rule == number
    assert pay(spent, ceiling, **about | {"day": NEXT_DAY}).allowed
    assert len(spent) == 2


def test_level_a_without_an_agreement_is_counted_and_not_limited() -> None:
    decision = pay({}, 10**12, factors="certificate")
    assert decision == (True, "", "", "", (("limit/R01/alice/wallet/2026-01-01", 10**12, None),))


def test_a_refusal_says_which_rule_in_both_languages_and_what_was_left() -> None:
    decision = decide(LimitRequest(**PLAIN | STATIC | {"amount_minor": 100_01}), lambda _: 400_00)
    assert decision.rule == "R04"
    assert "static code" in decision.reason
    assert "静态条码" in decision.reason_chinese
    for text in (decision.reason, decision.reason_chinese):
        assert "400.00" in text
        assert "500.00" in text
        assert "100.01" in text


# what differs from the payment by static code that took the whole sum, whether it shares that sum
SCOPES = [
    pytest.param({"payer": "bob"}, False, id="another payer"),
    pytest.param({"source": "bank:1"}, False, id="a card beside the wallet"),
    pytest.param({"factors": "certificate"}, True, id="another verification, the same static code rule"),
    pytest.param({"personal_code": True}, True, id="a personal code"),
    pytest.param({"remote": True}, True, id="from afar"),
]


@pytest.mark.parametrize(("about", "shared"), SCOPES)
def test_who_shares_a_sum_with_the_wallet(about: dict[str, Any], shared: bool) -> None:
    spent: dict[str, int] = {}
    assert pay(spent, 500_00, **STATIC).allowed
    assert pay(spent, 500_00, **STATIC | about).allowed is not shared


def test_each_bank_account_has_its_own_sum() -> None:
    spent: dict[str, int] = {}
    for number in range(4):
        assert pay(spent, 1_000_00, factors="one", source=f"bank:{number}").allowed
    assert len(spent) == 4


def test_all_cards_can_be_set_to_share_one_sum_apart_from_the_wallet() -> None:
    shared = Rulebook(msgspec.structs.replace(rule, cards="together") for rule in DEFAULT_RULES.rules)
    static = functools.partial(pay, {}, rules=shared, static_code=True)
    assert static(300_00, source="bank:1").allowed
    assert static(200_01, source="bank:2").rule == "R04"
    assert static(200_00, source="bank:2").allowed
    assert static(500_00, source="wallet").allowed


def test_levels_count_apart() -> None:
    spent: dict[str, int] = {}
    assert pay(spent, 1_000_00, factors="one").allowed
    assert pay(spent, 5_000_00, factors="two").allowed
    assert pay(spent, 500_00, **STATIC).allowed
    assert sorted(spent) == [f"limit/{number}/alice/wallet/2026-01-01" for number in ("R02", "R03", "R04")]


def test_no_two_payers_share_a_counter_by_their_names() -> None:
    spent: dict[str, int] = {}
    pay(spent, 1, payer="a/bank:x", source="wallet")
    pay(spent, 1, payer="a", source="bank:x/wallet")
    pay(spent, 1, payer="a%2Fbank:x", source="wallet")
    pay(spent, 1, payer="wallet", source="bank:x")
    pay(spent, 1, payer="wallet/bank:x", source="wallet")
    assert list(spent.values()) == [1] * 5


# static, personal, remote -> the rule that refuses one fen, if any
REMOTE = [
    (True, True, True, "R05"),
    (True, True, False, ""),
    (True, False, True, ""),
    (False, True, True, ""),
    (False, False, False, ""),
]


@pytest.mark.parametrize(("static_code", "personal_code", "remote", "number"), REMOTE)
def test_a_personal_static_code_is_not_for_remote_collection(
    static_code: bool, personal_code: bool, remote: bool, number: str
) -> None:
    decision = pay({}, 1, static_code=static_code, personal_code=personal_code, remote=remote)
    assert decision.rule == number
    assert decision.allowed is (number == "")
    assert bool(decision.reason) is bool(decision.reason_chinese) is (number != "")


# a payment of 1,000,000 CNY, the day, the rule that refuses it, if any
DATES = [
    ({}, datetime.date(2018, 3, 31), ""),
    ({}, datetime.date(2018, 4, 1), "R02"),
    (STATIC, datetime.date(2018, 3, 31), ""),
    (STATIC, datetime.date(2018, 4, 1), "R04"),
    (STATIC | {"personal_code": True, "remote": True}, datetime.date(2022, 2, 28), "R04"),
    (STATIC | {"personal_code": True, "remote": True}, datetime.date(2022, 3, 1), "R05"),
    ({}, datetime.date.min, ""),
    ({}, datetime.date.max, "R02"),
]


@pytest.mark.parametrize(("about", "day", "number"), DATES)
def test_a_rule_holds_from_its_date_on(about: dict[str, Any], day: datetime.date, number: str) -> None:
    assert pay({}, 1_000_000_00, day=day, **about).rule == number


@pytest.mark.parametrize("currency", ["HKD", "USD", "JPY"])
@pytest.mark.parametrize("about", [{}, STATIC, STATIC | {"personal_code": True, "remote": True}])
def test_the_rules_are_about_yuan(currency: str, about: dict[str, Any]) -> None:
    assert pay({}, 10**9, currency=currency, **about) == LimitDecision(True)


def _rule(**about: Any) -> Rule:
    usual: dict[str, Any] = {
        "number": "X1",
        "applies_to": "two",
        "text": "at most 1 CNY",
        "text_chinese": "不超过1元",
        "effective_from": DAY,
        "ceiling_minor": 1_00,
    }
    return Rule(**usual | about)


def test_a_later_version_of_a_rule_takes_over_on_its_day() -> None:
    rules = Rulebook(
        [_rule(effective_until=NEXT_DAY), _rule(number="X2", effective_from=NEXT_DAY, ceiling_minor=2_00)]
    )
    spent: dict[str, int] = {}
    assert pay(spent, 1_01, rules).rule == "X1"
    assert pay(spent, 2_00, rules, day=NEXT_DAY).allowed
    assert pay(spent, 1, rules, day=NEXT_DAY).rule == "X2"


def test_a_rule_that_ended_no_longer_holds() -> None:
    rules = Rulebook([_rule(effective_until=NEXT_DAY)])
    assert pay({}, 1_01, rules).rule == "X1"
    assert pay({}, 1_01, rules, day=NEXT_DAY) == LimitDecision(True)


def test_a_rulebook_remembers_a_bounded_number_of_days() -> None:
    rules = Rulebook([_rule()])
    for number in range(1_000):
        assert rules.on(DAY + datetime.timedelta(number)).rules["CNY", "two"].number == "X1"
    assert len(rules._days) <= 400
    assert rules.on(DAY) is rules.on(DAY)


WRONG_RULES = [
    pytest.param([{}, {"number": "X2"}], id="two rules for one thing"),
    pytest.param([{"number": "X2", "effective_from": NEXT_DAY}, {}], id="two rules from the second day on"),
    pytest.param([{"effective_until": DAY}], id="over before it begins"),
    pytest.param([{"applies_to": "three"}], id="about nothing we know"),
    pytest.param([{"cards": "some"}], id="a grouping we do not know"),
]


@pytest.mark.parametrize("rows", WRONG_RULES)
def test_a_rulebook_refuses_rules_that_contradict(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=r"X[12]"):
        Rulebook([_rule(**row) for row in rows])


def test_two_currencies_have_their_own_rules() -> None:
    rules = Rulebook([_rule(), _rule(number="H1", currency="HKD", ceiling_minor=2_00)])
    assert pay({}, 2_01, rules, currency="HKD").rule == "H1"
    assert pay({}, 2_00, rules, currency="HKD").allowed
    assert pay({}, 2_00, rules).rule == "X1"


WRONG_REQUESTS = [
    {"amount_minor": -1},
    {"factors": "three"},
    {"source": ""},
    {"source": "bank:"},
    {"source": "Wallet"},
    {"source": "wallet "},
]


@pytest.mark.parametrize("wrong", WRONG_REQUESTS, ids=str)
def test_a_request_is_not_born_wrong(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LimitRequest(**PLAIN | wrong)
