"""A terminal before a card that it does not hold: at the end of a link, known by its number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from counts import count

from paysim import CNY, Order, Sandbox
from paysim.core.errors import LinkClosed, LinkTimeout
from paysim.core.outcome import OutcomeKind
from paysim.emv.card import Card
from paysim.emv.memory import Memory
from paysim.emv.profile import PROFILES
from paysim.sandbox.terminal import Terminal


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as one:
        yield one


def begun(sandbox: Sandbox) -> tuple[Order, Terminal]:
    shop = sandbox.shop("Tea House")
    return shop.create(CNY("9.90")), shop.terminal()


class Link:
    """A card in hand; it is gone at the command `tear_at`, heard or not, or does not answer it."""

    decisions = ()

    def __init__(self, card: Card, tear_at: int = 0, *, heard: bool = True, silent: bool = False) -> None:
        self.card = card
        self.commands = 0
        self._tear_at = tear_at
        self._heard = heard
        self._silent = silent

    def transceive(self, data: bytes) -> bytes:
        self.commands += 1
        if self._tear_at and self.commands >= self._tear_at:
            if self._heard and self.commands == self._tear_at:
                self.card.respond(data)
            self.card.power_off()
            raise LinkTimeout("nothing") if self._silent else LinkClosed("gone")
        return self.card.respond(data)


def in_hand(sandbox: Sandbox, profile: str) -> Card:
    """Alice's card of this profile, in another process as it were."""
    made = sandbox.person("Alice", balance=CNY("100.00")).card(profile).made
    return Card(made, Memory.of(made.memory().facts))


@pytest.mark.parametrize("profile", PROFILES)
def test_it_ends_as_a_card_of_the_sandbox_does(profile: str, sandbox: Sandbox) -> None:
    card = in_hand(sandbox, profile)
    order, terminal = begun(sandbox)
    tap = terminal.tap_link(order, Link(card))
    terminal.clear()
    with Sandbox(seed=7) as other:
        alice = other.person("Alice", balance=CNY("100.00"))
        other_order, other_terminal = begun(other)
        same = other_terminal.tap(other_order, alice.card("visa" if profile == "flaky" else profile))
        other_terminal.clear()
    assert (tap.outcome.kind, order.state) == (same.outcome.kind, other_order.state)


def test_the_sandbox_keeps_no_memory_of_a_card_that_it_does_not_hold(sandbox: Sandbox) -> None:
    card = in_hand(sandbox, "unionpay")
    order, terminal = begun(sandbox)
    assert terminal.tap_link(order, Link(card)).approved
    assert card.memory.atc == 1
    assert sandbox.person("Alice").card("unionpay").counter == 0


@pytest.mark.parametrize("profile", ["visa", "unionpay", "unionpay-ecash"])
@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("tear_at", range(1, 11))
def test_a_card_torn_at_any_command_pays_once(
    profile: str, heard: bool, silent: bool, tear_at: int, sandbox: Sandbox
) -> None:
    card = in_hand(sandbox, profile)
    before = card.memory.balance
    order, terminal = begun(sandbox)
    tap = terminal.tap_link(order, Link(card, tear_at, heard=heard, silent=silent))
    if not tap.approved:
        assert tap.outcome.kind is OutcomeKind.TRY_AGAIN
        tap = terminal.tap_link(order, Link(card))
    assert tap.approved
    terminal.clear()
    assert order.state.value == "CAPTURED"
    assert sandbox.shop("Tea House").takings() == CNY("9.90")
    assert set(sandbox.sums().values()) == {0}
    if profile == "unionpay-ecash":
        assert before - card.memory.balance == 990
    sandbox.verify()


def test_a_card_that_nobody_knows_pays_nothing(sandbox: Sandbox) -> None:
    with Sandbox(seed=8) as other:
        card = in_hand(other, "visa-online")
    order, terminal = begun(sandbox)
    tap = terminal.tap_link(order, Link(card))
    assert tap.outcome.kind is OutcomeKind.TRY_AGAIN
    assert "none of this sandbox's" in tap.outcome.text
    assert order.state.value == "PRESENTED"


def test_two_cards_are_one_too_many(sandbox: Sandbox) -> None:
    order, terminal = begun(sandbox)
    link = Link(in_hand(sandbox, "visa"))
    tap = terminal.tap_link(order, link, count=2)
    assert (tap.outcome.text, tap.result, link.commands) == ("present one card only", None, 0)


def test_an_order_that_is_paid_asks_no_card(sandbox: Sandbox) -> None:
    order, terminal = begun(sandbox)
    card = in_hand(sandbox, "visa")
    assert terminal.tap_link(order, Link(card)).approved
    again = Link(card)
    assert not terminal.tap_link(order, again).approved
    assert again.commands == 0


def test_a_pin_is_typed_where_one_is_asked_for(sandbox: Sandbox) -> None:
    sandbox.person("Alice", balance=CNY("9000.00"))
    card = in_hand(sandbox, "unionpay")
    shop = sandbox.shop("Tea House")
    for pin, paid in (("000000", False), (None, True)):
        order = shop.create(CNY("2000.00"))
        assert shop.terminal().tap_link(order, Link(card), pin=pin).approved == paid


def test_many_taps_leave_the_books_at_zero(sandbox: Sandbox) -> None:
    card, shop = in_hand(sandbox, "visa"), sandbox.shop("Tea House")
    alice = sandbox.person("Alice")
    for number in range(count(200)):
        alice.fund(CNY("0.01"))
        tap = shop.terminal().tap_link(shop.create(CNY("0.01")), Link(card))
        assert tap.approved
        assert card.memory.atc == number + 1
    assert set(sandbox.sums().values()) == {0}
