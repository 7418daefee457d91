"""Phones, terminals and issuers without a network: what can still be paid, and what becomes of the rest."""

from __future__ import annotations

import pytest

from paysim import CNY, OutcomeKind, Sandbox, State

# who is cut off, the card, the order's state after the tap, the operator's, the answer
TAPS = [
    ("phone", "unionpay", State.CAPTURED, State.CAPTURED, OutcomeKind.APPROVED),
    ("terminal", "unionpay-ecash", State.AUTHORIZED, State.PRESENTED, OutcomeKind.APPROVED),
    ("terminal", "visa", State.AUTHORIZED, State.PRESENTED, OutcomeKind.APPROVED),
    ("terminal", "unionpay", State.DECLINED, State.DECLINED, OutcomeKind.DECLINED),
    ("terminal", "visa-online", State.DECLINED, State.DECLINED, OutcomeKind.DECLINED),
    ("issuer", "unionpay-ecash", State.AUTHORIZED, State.PRESENTED, OutcomeKind.APPROVED),
    ("issuer", "unionpay", State.UNKNOWN, State.PRESENTED, OutcomeKind.UNKNOWN),
]


@pytest.mark.parametrize(("cut_off", "card", "state", "book", "kind"), TAPS)
def test_a_tap_without_a_network(
    cut_off: str, card: str, state: State, book: State, kind: OutcomeKind
) -> None:
    with Sandbox(seed=7) as sandbox:
        shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice", balance=CNY("100.00"))
        order = shop.create(CNY("9.90"))
        setattr(sandbox.network, cut_off, False)
        tap = shop.terminal().tap(order, alice.card(card))
        assert (tap.outcome.kind, order.state, order.book.state) == (kind, state, book)
        sandbox.verify()


def test_what_an_issuer_did_not_answer_is_settled_by_a_query_and_paid_again() -> None:
    with Sandbox(seed=7) as sandbox:
        shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice", balance=CNY("100.00"))
        order, terminal, card = shop.create(CNY("9.90")), shop.terminal(), alice.card("unionpay")
        sandbox.network.issuer = False
        terminal.tap(order, card)
        sandbox.network.issuer = True
        assert order.query() is State.PRESENTED
        assert terminal.tap(order, card).approved
        assert alice.balance() == CNY("90.10")


def test_a_phone_without_a_network_shows_its_code_and_scans_nothing() -> None:
    with Sandbox(seed=7) as sandbox:
        shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice", balance=CNY("100.00"))
        sandbox.network.phone = False
        order = shop.create(CNY("9.90"))
        prompt = alice.scan(order.present("qr.merchant").text)
        assert prompt.confirm().kind is OutcomeKind.TRY_AGAIN
        assert "no network" in prompt.confirm().text
        assert order.state is State.PRESENTED
        other = shop.create(CNY("9.90"))
        other.authorize(alice.payment_code())
        assert other.state is State.CAPTURED
