"""Limits of QR payments: the levels A to D of the Chinese market, as dated configuration.

`decide` says whether a payment fits, and which counters it adds to. A `Rulebook` holds the rules; other
markets and later versions of a rule are other rows.

Level A to C depend on the factors that verified the payer; a static code is level D, whatever they were.
The counters of two levels are apart: a payment counts towards the rule that judged it, and no other.
Assumed: the texts give each level its own sum and do not say how they add up.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from paysim.core.errors import ConfigError, UsageError
from paysim.core.money import Money

__all__ = ["DEFAULT_RULES", "LimitDecision", "LimitRequest", "Rule", "Rulebook", "decide"]

_FACTORS: Final = frozenset({"certificate", "two", "one"})
"""What verified the payer: two or more factors with a certificate or e-signature, two without, or fewer."""

_APPLICATIONS: Final = _FACTORS | {"static", "remote"}
_SOURCE: Final = re.compile("wallet|bank:.+", re.DOTALL)
_MAX_DAYS: Final = 400
"""How many days a rulebook remembers; a bound on memory, far above the days that one payment sees."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, in force from `effective_from` until the day before `effective_until` (None: still).

    `applies_to` is what it is about: the payer's factors ("certificate", "two", "one"), any "static" code,
    or "remote" collection by a personal static code, which it forbids. `ceiling_minor` is the most a day
    in minor units of `currency`; None: what payer and wallet agreed. `cards` says whether each bank
    account has that sum of its own ("each") or all of a payer's share it ("together"); all payment
    accounts of a payer always share one.
    """

    number: str
    applies_to: Literal["certificate", "two", "one", "static", "remote"]
    text: str
    text_chinese: str
    effective_from: datetime.date
    effective_until: datetime.date | None = None
    ceiling_minor: int | None = None
    cards: Literal["each", "together"] = "each"
    level: str = ""
    currency: str = "CNY"

    def __post_init__(self) -> None:
        if self.applies_to not in _APPLICATIONS:
            raise ConfigError(f"rule {self.number}: applies_to is one of {sorted(_APPLICATIONS)}")
        if self.cards not in {"each", "together"}:
            raise ConfigError(f"rule {self.number}: cards is 'each' or 'together', not {self.cards!r}")
        if self.effective_until is not None and self.effective_until <= self.effective_from:
            raise ConfigError(f"rule {self.number}: it ends on {self.effective_until}, before it begins")
        if self.ceiling_minor is not None:
            Money(self.currency, self.ceiling_minor)

    def holds_on(self, day: datetime.date) -> bool:
        """Whether the rule is in force on `day`."""
        return self.effective_from <= day and (self.effective_until is None or day < self.effective_until)


class InForce(NamedTuple):
    """The rules of one day: the day as ISO 8601 text, and the rules by (currency, what they apply to)."""

    day: str
    rules: dict[tuple[str, str], Rule]


class Rulebook:
    """Rules with their dates.

    Raises ConfigError where two rules for the same thing are in force on the same day.

    >>> DEFAULT_RULES.on(datetime.date(2026, 1, 1)).rules["CNY", "static"].number
    'R04'
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._days: dict[datetime.date, InForce] = {}
        for rule in self.rules:
            self._in_force(rule.effective_from)

    def on(self, day: datetime.date) -> InForce:
        """The rules in force on `day`; worked out once a day."""
        known = self._days.get(day)
        if known is None:
            if len(self._days) >= _MAX_DAYS:
                self._days.clear()
            known = self._days[day] = self._in_force(day)
        return known

    def _in_force(self, day: datetime.date) -> InForce:
        rules: dict[tuple[str, str], Rule] = {}
        for rule in self.rules:
            if rule.holds_on(day):
                other = rules.setdefault((rule.currency, rule.applies_to), rule)
                if other is not rule:
                    both = f"{other.number} and {rule.number}"
                    raise ConfigError(f"{both} are both in force for {rule.applies_to!r} on {day}")
        return InForce(day.isoformat(), rules)


class LimitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that wants to know whether it fits.

    `source` is "wallet" or "bank:" and the account's id; `day` is the operator's date (UTC+8 in China).
    `factors` is "certificate" (two or more, with a certificate or e-signature), "two" or "one".
    `static_code` is a standing code, and also a saved or screenshot dynamic code (R05); the caller knows.
    `personal_code` is a person's own receive code, not a merchant's; `remote` is a payer who does not stand
    before the payee. `agreed_limit_minor` is what payer and wallet agreed for a day, for the rules that
    have no sum of their own; None: nothing agreed, no limit.
    """

    payer: str
    source: str
    amount_minor: int
    currency: str
    day: datetime.date
    factors: str
    static_code: bool = False
    personal_code: bool = False
    remote: bool = False
    agreed_limit_minor: int | None = None

    def __post_init__(self) -> None:
        if self.amount_minor < 0:
            raise UsageError(f"a payment is of 0 minor units or more, not {self.amount_minor}")
        if self.factors not in _FACTORS:
            raise UsageError(f"factors is one of {sorted(_FACTORS)}, not {self.factors!r}")
        if _SOURCE.fullmatch(self.source) is None:
            raise UsageError(f"a source is 'wallet' or 'bank:' and an account's id, not {self.source!r}")


class LimitDecision(NamedTuple):
    """Whether a payment fits; if so, what to count when it is captured, else which rule refuses it and why.

    `counters` are (name, minor units to add, ceiling or None). They are to be added and held against their
    ceilings in one step with the capture: between `decide` and the capture another payment may come first.
    """

    allowed: bool
    rule: str = ""
    reason: str = ""
    reason_chinese: str = ""
    counters: tuple[tuple[str, int, int | None], ...] = ()


# Assumed: R04's "linked cards apart" means 500 CNY for each card, as R01 to R03 count each bank account
# apart; press texts also have one sum for all cards of a payer: `cards="together"`.
DEFAULT_RULES: Final = Rulebook(
    (
        Rule(
            number="R01",
            level="A",
            applies_to="certificate",
            text="QR payments verified by two factors with a certificate or e-signature, a day: as agreed",
            text_chinese="风险防范能力A级：单日累计限额由双方协议约定",
            effective_from=datetime.date(2018, 4, 1),
        ),
        Rule(
            number="R02",
            level="B",
            applies_to="two",
            text="QR payments verified by two factors without a certificate, a day: at most 5,000 CNY",
            text_chinese="风险防范能力B级：单日累计不超过5000元",
            effective_from=datetime.date(2018, 4, 1),
            ceiling_minor=500_000,
        ),
        Rule(
            number="R03",
            level="C",
            applies_to="one",
            text="QR payments verified by fewer than two factors, a day: at most 1,000 CNY",
            text_chinese="风险防范能力C级：单日累计不超过1000元",
            effective_from=datetime.date(2018, 4, 1),
            ceiling_minor=100_000,
        ),
        Rule(
            number="R04",
            level="D",
            applies_to="static",
            text="QR payments by static code, a day: at most 500 CNY, whatever the verification",
            text_chinese="风险防范能力D级：静态条码单日累计不超过500元",
            effective_from=datetime.date(2018, 4, 1),
            ceiling_minor=50_000,
        ),
        Rule(
            number="R05",
            applies_to="remote",
            text="a personal static code is not for remote collection",
            text_chinese="个人静态收款条码不得用于远程非面对面收款",
            effective_from=datetime.date(2022, 3, 1),
        ),
    )
)
"""Source: PBOC QR payment rules, in force 2018-04-01, levels A to D; 银发〔2021〕259号, from 2022-03-01."""


def decide(
    request: LimitRequest, used_minor: Callable[[str], int], rules: Rulebook = DEFAULT_RULES
) -> LimitDecision:
    """Whether the payment fits, by the one rule that limits it, if any.

    `used_minor` gives what the counter of a name holds so far, 0 for a new one.

    >>> request = LimitRequest(
    ...     payer="alice",
    ...     source="wallet",
    ...     amount_minor=200_00,
    ...     currency="CNY",
    ...     day=datetime.date(2026, 1, 1),
    ...     factors="two",
    ...     static_code=True,
    ... )
    >>> decide(request, lambda name: 300_00).counters
    (('limit/R04/alice/wallet/2026-01-01', 20000, 50000),)
    >>> decide(request, lambda name: 300_01).rule
    'R04'
    """
    day, in_force = rules.on(request.day)
    static = request.static_code
    if static and request.remote and request.personal_code:
        forbidding = in_force.get((request.currency, "remote"))
        if forbidding is not None:
            return LimitDecision(False, forbidding.number, forbidding.text, forbidding.text_chinese)
    rule = in_force.get((request.currency, "static" if static else request.factors))
    if rule is None:
        return _UNLIMITED
    ceiling = request.agreed_limit_minor if rule.ceiling_minor is None else rule.ceiling_minor
    name = f"limit/{rule.number}/{_part(request.payer)}/{_group(rule, request.source)}/{day}"
    if ceiling is not None:
        used = used_minor(name)
        if used + request.amount_minor > ceiling:
            return _refused(rule, request, used, ceiling)
    return LimitDecision(True, counters=((name, request.amount_minor, ceiling),))


_UNLIMITED: Final = LimitDecision(True)


def _group(rule: Rule, source: str) -> str:
    if rule.cards == "together" and source != "wallet":
        return "bank"
    return _part(source)


def _part(text: str) -> str:
    """`text` as one part of a counter's name, so that no two payers or accounts share one."""
    return text.replace("%", "%25").replace("/", "%2F")


def _refused(rule: Rule, request: LimitRequest, used: int, ceiling: int) -> LimitDecision:
    sums = (ceiling, used, request.amount_minor)
    most, paid, asked = (Money(request.currency, minor).text for minor in sums)
    return LimitDecision(
        False,
        rule.number,
        f"{rule.text} ({paid} of {most} {request.currency} paid, {asked} asked)",
        f"{rule.text_chinese}（限额{most}，已用{paid}，本次{asked}）",
    )
