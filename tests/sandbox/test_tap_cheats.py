"""Cheats between card and reader, and between terminal and issuer: replayed answers, altered amounts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tap_counter import Counter, answered, states

from paysim import CNY, Sandbox
from paysim.drivers.dialogue import CardLink
from paysim.issuer.messages import Answer, AuthorizationRequest

PROFILES = ("unionpay", "visa", "unionpay-ecash")
GPO, READ_RECORD = 0xA8, 0xB2


class Recorder:
    """A stranger's link: it records what the card answers, and afterwards answers so itself."""

    def __init__(self) -> None:
        self.recorded: dict[bytes, bytes] = {}
        self.replays = False

    def __call__(self, link: CardLink) -> CardLink:
        return _Recorded(self, link)


class _Recorded:
    def __init__(self, recorder: Recorder, link: CardLink) -> None:
        self.recorder = recorder
        self.link = link
        self.decisions: tuple[Any, ...] = ()

    def transceive(self, data: bytes) -> bytes:
        name = data[:2] if data[1] == GPO else data
        if self.recorder.replays and name in self.recorder.recorded:
            return self.recorder.recorded[name]
        answer = self.link.transceive(data)
        self.recorder.recorded[name] = answer
        return answer


@pytest.mark.parametrize("profile", PROFILES)
def test_a_recorded_card_does_not_pay(paysim_sandbox: Sandbox, profile: str) -> None:
    recorder = Recorder()
    counter = Counter(paysim_sandbox, driver=recorder)
    order, tap = counter.bought(990, profile)
    assert tap.approved
    counter.terminal.clear()
    assert states(order) == ("CAPTURED", "CAPTURED")
    recorder.replays = True
    card, spent = counter.card(profile), counter.spent
    counted = card.counter
    again, tap = counter.bought(990, profile)
    assert not tap.approved
    assert states(again) == ("DECLINED", "DECLINED")
    assert answered(tap) == ("card_declined" if profile == "unionpay-ecash" else "replayed")
    assert (counter.spent, card.counter) == (spent, counted)
    assert counter.tally("merchant/tea-house/pending") == 990


class Altering:
    """A link that changes the amount: towards the card, or in what comes back."""

    def __init__(self, link: CardLink, wanted: str, given: str) -> None:
        self.link = link
        self.wanted = bytes.fromhex(wanted)
        self.given = bytes.fromhex(given)

    @property
    def decisions(self) -> tuple[Any, ...]:
        return self.link.decisions

    def transceive(self, data: bytes) -> bytes:
        return self.link.transceive(data.replace(self.wanted, self.given) if data[1] == GPO else data)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_card_that_was_told_another_amount_does_not_pay(paysim_sandbox: Sandbox, profile: str) -> None:
    """The cryptogram, or the card's signature, is over what the card was told."""
    counter = Counter(paysim_sandbox, driver=lambda link: Altering(link, "000000000990", "000000000001"))
    order, tap = counter.bought(990, profile)
    assert not tap.approved
    assert states(order) == ("DECLINED", "DECLINED")
    assert counter.spent == 0
    assert counter.tally("merchant/tea-house/pending") == 0


class Middle:
    """A man between terminal and issuer, who changes what is asked."""

    def __init__(self, sandbox: Sandbox, **changes: Any) -> None:
        self.sandbox = sandbox
        self.changes = changes
        self.tags: dict[int, bytes] = {}

    def authorize(self, request: AuthorizationRequest) -> Answer:
        fields = {**request.fields, **self.tags}
        altered = replace(request, fields=fields, **self.changes)
        return self.sandbox._engine.cards.host.authorize(altered)


@pytest.mark.parametrize("profile", ["unionpay", "visa", "visa-online"])
def test_an_amount_that_was_altered_on_its_way_is_refused(paysim_sandbox: Sandbox, profile: str) -> None:
    counter = Counter(paysim_sandbox, issuer=Middle(paysim_sandbox, amount_minor=1))
    order, tap = counter.bought(990, profile)
    assert (answered(tap), states(order)) == ("altered_amount", ("DECLINED", "DECLINED"))
    assert counter.spent == 0


@pytest.mark.parametrize("profile", ["unionpay", "visa", "visa-online"])
def test_an_amount_that_was_altered_everywhere_is_refused(paysim_sandbox: Sandbox, profile: str) -> None:
    middle = Middle(paysim_sandbox, amount_minor=1)
    middle.tags[0x9F02] = bytes.fromhex("000000000001")
    counter = Counter(paysim_sandbox, issuer=middle)
    order, tap = counter.bought(990, profile)
    assert (answered(tap), states(order)) == ("wrong_cryptogram", ("DECLINED", "DECLINED"))
    assert counter.spent == 0


@pytest.mark.parametrize("profile", ["unionpay", "visa", "visa-online"])
def test_a_request_that_comes_twice_is_paid_once(paysim_sandbox: Sandbox, profile: str) -> None:
    class Twice:
        requests: list[AuthorizationRequest]

        def authorize(self, request: AuthorizationRequest) -> Answer:
            self.requests = [request]
            return paysim_sandbox._engine.cards.host.authorize(request)

    issuer = Twice()
    counter = Counter(paysim_sandbox, issuer=issuer)
    assert counter.bought(990, profile)[1].approved
    [request] = issuer.requests
    assert paysim_sandbox._engine.cards.host.authorize(request).outcome.reason == "replayed"


def test_a_pin_block_of_another_card_is_no_pin(paysim_sandbox: Sandbox) -> None:
    """A block is made with the card's number: a thief who knows his own PIN has not another's."""
    seen: list[bytes | None] = []

    class Listening(Middle):
        def authorize(self, request: AuthorizationRequest) -> Answer:
            seen.append(request.online_pin)
            return super().authorize(request)

    Counter(paysim_sandbox, issuer=Listening(paysim_sandbox)).bought(100_001, "visa")
    [block] = seen
    counter = Counter(paysim_sandbox, issuer=Middle(paysim_sandbox, online_pin=block))
    bob = paysim_sandbox.person("Bob", balance=CNY("5000.00"), pin="246810")
    tap = counter.tap(counter.order(100_001), bob.card("unionpay"), pin="000000")
    assert answered(tap) == "wrong_pin"
    assert bob.balance() == CNY("5000.00")
