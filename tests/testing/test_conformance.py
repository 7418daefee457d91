"""The suite can fail: each broken channel or operator is caught by the case that is meant to catch it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paysim import (
    CNY,
    Capabilities,
    Claim,
    Event,
    Money,
    Outcome,
    OutcomeKind,
    PaysimError,
    Presented,
    PresentRequest,
    Sandbox,
    SqliteJournal,
    Unsupported,
    Verb,
)
from paysim.channels import operator
from paysim.channels.channel import ALL_VERBS
from paysim.channels.qr import MerchantCode, PayerCode, StaticCode
from paysim.issuer.authorizer import Approval
from paysim.sandbox import engine as engines
from paysim.testing import conformance
from paysim.testing.conformance import Harness, Report

# Channels that do not keep what they claim. -------------------------------------------------------


class Link:
    """A good channel: the ones below break it."""

    name = "link"
    capabilities = Capabilities()

    def present(self, request: PresentRequest) -> Presented:
        return Presented(f"link:{request.shop.id}:{request.order}:{request.nonce}", 60_000)

    def read(self, text: str) -> Claim | None:
        if not text.startswith("link:"):
            return None
        shop, _, order = text.removeprefix("link:").rpartition(":")[0].partition(":")
        return Claim(self.name, shop, order)


class Restricted(Link):
    """It claims few verbs, and keeps that."""

    capabilities = Capabilities(frozenset({Verb.CREATE, Verb.PRESENT, Verb.AUTHORIZE, Verb.QUERY}), False)


class Mute(Link):
    """It cannot even be asked how it stands."""

    capabilities = Capabilities(ALL_VERBS - {Verb.QUERY})


class OneShot(Link):
    """One failed attempt ends the order."""

    capabilities = Capabilities(single_use=True)


class Board(Link):
    """A standing code of a stranger's."""

    capabilities = Capabilities(verbs=ALL_VERBS - {Verb.CREATE}, manual_capture=False, standing=True)

    def present(self, request: PresentRequest) -> Presented:
        return Presented(f"link:{request.shop.id}:{request.nonce}")

    def read(self, text: str) -> Claim | None:
        _, _, rest = text.partition("link:")
        shop, _, stand = rest.partition(":")
        return Claim(self.name, shop, stand=stand) if rest else None


class Spoken(Link):
    """The payer tells a word that the shop types in; another may be told where it failed."""

    capabilities = Capabilities(shown_by="payer")

    def read(self, text: str) -> Claim | None:
        return Claim(self.name, code=text.removeprefix("say ")) if text.startswith("say ") else None


class PresentsNothing(Link):
    """It claims to present an order, and does not."""

    def present(self, request: PresentRequest) -> Presented:
        raise Unsupported("no display")


class ReadsAnything(Link):
    """It takes every code for the newest order's: the records decide, so nobody is harmed."""

    def present(self, request: PresentRequest) -> Presented:
        self.last = request
        return super().present(request)

    def read(self, text: str) -> Claim | None:
        if not text.startswith("link:"):
            return None
        return Claim(self.name, self.last.shop.id, self.last.order)


class ClaimsStanding(Link):
    """It claims a standing code, and shows one that names no stand."""

    capabilities = Capabilities(verbs=ALL_VERBS - {Verb.CREATE}, manual_capture=False, standing=True)


class NeverRead(Link):
    """It shows a code that it cannot read itself."""

    def read(self, text: str) -> Claim | None:
        return None


class Crashes(Link):
    """It raises what is no error of ours on a text that it has not made."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}

    def present(self, request: PresentRequest) -> Presented:
        shown = super().present(request)
        self.made[shown.text] = request.order
        return shown

    def read(self, text: str) -> Claim | None:
        return Claim(self.name, "conformance", self.made[text])


CHANNELS: list[tuple[type[Link], str]] = [
    (PresentsNothing, "Approve"),
    (ClaimsStanding, "Approve"),
    (NeverRead, "Approve"),
    (Crashes, "An altered code"),
]


def failed(report: Report) -> dict[str, str]:
    return {row.case: row.reason for row in report.of("failed")}


@pytest.mark.parametrize("channel", [Link, Restricted, ReadsAnything, Mute, OneShot, Board])
def test_a_good_channel_passes(channel: type[Link]) -> None:
    report = conformance.run(Harness(channel()))
    assert failed(report) == {}
    assert report.ok


@pytest.mark.parametrize("single_use", [True, False])
def test_a_good_channel_whose_code_the_payer_shows_passes(single_use: bool) -> None:
    class Word(Spoken):
        capabilities = Capabilities(shown_by="payer", single_use=single_use)

    def show(scene: Any, payer: Any, money: Money, capture: str) -> Any:
        shown = conformance.show(scene, payer, money, capture)
        return shown._replace(code=f"say {shown.code.text}")

    assert failed(conformance.run(Harness(Word(), show=show))) == {}


@pytest.mark.parametrize(("channel", "case"), CHANNELS)
def test_a_broken_channel_fails(channel: type[Link], case: str) -> None:
    report = conformance.run(Harness(channel()))
    assert case in failed(report)
    assert not report.ok


def test_what_is_not_claimed_is_skipped_with_its_reason() -> None:
    report = conformance.run(Harness(Restricted()))
    reasons = {row.case: row.reason for row in report.of("skipped")}
    assert reasons["Void"] == "does not claim void"
    assert reasons["Manual capture in parts"] == "does not claim manual capture"
    assert reasons["A silent payer"] == "the shop shows the code"


# Operators and sandboxes that do not keep the rules. ----------------------------------------------

Monkey = pytest.MonkeyPatch


def takes_codes_twice(monkey: Monkey) -> None:
    monkey.setattr("paysim.sandbox.desk._code_refusal", lambda issued, at_ms: None)
    real = engines.Draft.add

    def add(self: Any, stream: str, version: int, event: Event, key: str = "") -> None:
        if event.kind != "used":
            real(self, stream, version, event, key)

    monkey.setattr(engines.Draft, "add", add)


def pays_paid_codes(monkey: Monkey) -> None:
    monkey.setattr(operator, "check_claim", lambda book, claim, text, at_ms: None)
    monkey.setattr(operator, "check_open", lambda book, at_ms: None)


def believes_altered_codes(monkey: Monkey) -> None:
    monkey.setattr(operator, "check_claim", lambda book, claim, text, at_ms: operator.check_open(book, at_ms))


def refunds_too_much(monkey: Monkey) -> None:
    real = operator._FACTS[Verb.REFUND]

    def refund(book: Any, ask: Any) -> list[Event]:
        return real(book, ask._replace(amount_minor=ask.amount_minor * 2))

    monkey.setitem(operator._FACTS, Verb.REFUND, refund)


def refunds_into_thin_air(monkey: Monkey) -> None:
    """The event says that money went back; the ledger does not."""
    real = operator._FACTS[Verb.REFUND]

    def refund(book: Any, ask: Any) -> list[Event]:
        event = real(book, ask)[0]
        return [Event(event.kind, event.at_ms, event.operation, event.amount_minor, data=event.data)]

    monkey.setitem(operator._FACTS, Verb.REFUND, refund)


def allows_over_refund(monkey: Monkey) -> None:
    monkey.setitem(operator._LATE, Verb.REFUND, lambda book, ask: None)
    monkey.setattr("paysim.core.transaction.Transaction.refusal", lambda self, verb, minor: None)


def voids_nothing(monkey: Monkey) -> None:
    monkey.setitem(operator._LATE, Verb.VOID, operator._reverse_in_time)
    monkey.setitem(operator._FACTS, Verb.VOID, operator._FACTS[Verb.CLOSE])


def keeps_the_rest(monkey: Monkey) -> None:
    """A final capture leaves the rest on hold."""
    real = operator._FACTS[Verb.CAPTURE]
    monkey.setitem(operator._FACTS, Verb.CAPTURE, lambda book, ask: real(book, ask._replace(final=False)))


def takes_any_pin(monkey: Monkey) -> None:
    monkey.setattr("paysim.issuer.accounts.Payer.knows", lambda self, pin: True)


def lends_money(monkey: Monkey) -> None:
    monkey.setattr(
        operator, "authorize", lambda request, available, tally: Approval(Outcome(OutcomeKind.APPROVED))
    )


def forgets_keys(monkey: Monkey) -> None:
    monkey.setattr(
        "paysim.sandbox.order.Order._operation_id",
        staticmethod(lambda history, key: f"{history.id}.{len(history.shop.operations) + 1}"),
    )


def claims_everything(monkey: Monkey) -> None:
    monkey.setattr("paysim.sandbox.order._require", lambda *arguments: None)


def deaf_to_queries(monkey: Monkey) -> None:
    monkey.setattr("paysim.sandbox.order.Order.query", lambda self: self.state)


BREAKAGES: list[tuple[Callable[[Monkey], None], Any, str]] = [
    (takes_codes_twice, PayerCode(), "Replay of a paid or used code"),
    (pays_paid_codes, MerchantCode(), "Replay of a paid or used code"),
    (believes_altered_codes, Link(), "An altered code"),
    (believes_altered_codes, Link(), "A replaced code"),
    (refunds_too_much, MerchantCode(), "Refund in parts to zero"),
    (refunds_into_thin_air, StaticCode(), "Over-refund"),
    (allows_over_refund, PayerCode(), "Over-refund"),
    (voids_nothing, MerchantCode(), "Void"),
    (keeps_the_rest, MerchantCode(), "Manual capture in parts"),
    (takes_any_pin, PayerCode(), "Decline: wrong PIN"),
    (lends_money, MerchantCode(), "Decline: no money"),
    (forgets_keys, StaticCode(), "The same key twice"),
    (claims_everything, Restricted(), "Verbs that are not claimed"),
    (deaf_to_queries, PayerCode(), "Lost answers"),
    (deaf_to_queries, PayerCode(), "A lost payment request"),
]


@pytest.mark.parametrize(("breakage", "channel", "name"), BREAKAGES)
def test_a_broken_operator_fails(
    monkeypatch: Monkey, breakage: Callable[[Monkey], None], channel: Any, name: str
) -> None:
    case = next(case for case in conformance.CASES if case.name == name)
    assert not case.missing(channel.capabilities)
    conformance.play(Harness(channel), case)
    breakage(monkeypatch)
    with pytest.raises((AssertionError, PaysimError)):
        conformance.play(Harness(channel), case)


# How it is used. ----------------------------------------------------------------------------------


def test_a_report_reads_well() -> None:
    report = conformance.run(Harness(NeverRead()))
    lines = str(report).splitlines()
    assert lines[0].startswith("  failed  Approve: Unsupported: that is no payment of a channel here")
    assert lines[-1] == report.summary
    assert len(lines) == len(conformance.CASES) + 1


def test_a_harness_brings_its_own_sandbox(tmp_path: Any) -> None:
    made: list[Sandbox] = []

    def sandbox() -> Sandbox:
        path = tmp_path / f"{len(made)}.db"
        made.append(Sandbox(seed=3, store=SqliteJournal(path, durability="normal")))
        return made[-1]

    report = conformance.run(Harness(Link(), sandbox))
    assert failed(report) == {}
    assert len(made) == len(report.of("passed"))


def test_a_harness_brings_its_own_way_to_pay() -> None:
    seen: list[Money] = []

    def pay(scene: Any, payer: Any, shown: Any, act: Any) -> Any:
        seen.append(shown.money)
        return conformance.pay(scene, payer, shown, act)

    conformance.play(Harness(Link(), pay=pay), conformance.CASES[0])
    assert seen == [CNY("12.80")]


def test_another_currency() -> None:
    assert failed(conformance.run(Harness(Link(), currency="JPY"))) == {}


def test_cases_are_one_parameter_each_with_readable_names() -> None:
    parameters = conformance.cases(Harness(Restricted()))
    names = [str(parameter.id) for parameter in parameters]
    assert names[0] == "link: Approve"
    assert len(set(names)) == len(names) == len(conformance.CASES)
    skipped = [parameter for parameter in parameters if parameter.marks]
    assert len(skipped) == len(conformance.run(Harness(Restricted())).of("skipped"))
