"""Cards that leave the field at every command, unheard or heard: no money is lost, none doubled."""

from __future__ import annotations

from pathlib import Path

import pytest
from tap_counter import ECASH, LOADED, PAYING, Counter, answered, commands, states

from paysim import Fault, Sandbox

COMMANDS = {profile: 8 if profile in ECASH else 3 for profile in PAYING}
"""SELECT, SELECT, GET PROCESSING OPTIONS; five records where the card pays by itself."""

PLACES = [
    (profile, at, heard)
    for profile, most in COMMANDS.items()
    for at in range(1, most + 1)
    for heard in (False, True)
]


def left(counter: Counter, profile: str) -> int:
    """What card and account have left together."""
    return counter.card(profile).balance_minor * (profile in ECASH) - counter.spent


@pytest.mark.parametrize("profile", PAYING)
def test_a_tap_has_as_many_commands(paysim_sandbox: Sandbox, profile: str) -> None:
    assert commands(Counter(paysim_sandbox).bought(990, profile)[1]) == COMMANDS[profile]


@pytest.mark.parametrize(("profile", "at", "heard"), PLACES)
def test_a_torn_tap_is_made_good_by_the_next(
    paysim_sandbox: Sandbox, profile: str, at: int, heard: bool
) -> None:
    counter = Counter(paysim_sandbox)
    before = left(counter, profile)
    order, torn = counter.bought(990, profile, tear_at=at, heard=heard)
    assert (answered(torn), torn.result, commands(torn)) == ("try_again", None, at)
    assert states(order) == ("PRESENTED", "PRESENTED")
    paid_already = heard and at == COMMANDS[profile] and profile in ECASH
    assert before - left(counter, profile) == (990 if paid_already else 0)
    assert counter.tap(order, profile).approved
    assert before - left(counter, profile) == 990, "paid once"
    counter.terminal.clear()
    assert states(order) == ("CAPTURED", "CAPTURED")
    assert counter.tally("merchant/tea-house/pending") == 990
    if profile in ECASH:
        assert counter.tally("ecash/float") == counter.card(profile).balance_minor


@pytest.mark.parametrize("profile", ECASH)
def test_torn_again_and_again_it_still_pays_once(paysim_sandbox: Sandbox, profile: str) -> None:
    counter = Counter(paysim_sandbox)
    order = counter.order()
    for at in (8, 3, 8, 7, 8, 1, 5):
        assert not counter.tap(order, profile, tear_at=at, heard=True).approved
    assert counter.tap(order, profile).approved
    counter.terminal.clear()
    assert counter.card(profile).balance_minor == LOADED - 990 == counter.tally("ecash/float")


def test_another_terminal_takes_up_a_torn_tap(paysim_sandbox: Sandbox) -> None:
    counter = Counter(paysim_sandbox)
    order, _ = counter.bought(990, "unionpay-ecash", tear_at=8, heard=True)
    assert counter.shop.terminal().tap(order, counter.card("unionpay-ecash")).approved
    assert counter.card("unionpay-ecash").balance_minor == LOADED - 990


def test_a_restart_takes_up_a_torn_tap(tmp_path: Path) -> None:
    store, keys = tmp_path / "a.db", tmp_path / "keys"
    with Sandbox(store=store, keys=keys) as sandbox:
        order, _ = Counter(sandbox).bought(990, "unionpay-ecash", tear_at=8, heard=True)
    with Sandbox(store=store, keys=keys) as sandbox:
        counter = Counter(sandbox)
        assert counter.card("unionpay-ecash").balance_minor == LOADED - 990
        assert counter.tap(sandbox.order(order.id), "unionpay-ecash").approved
        counter.terminal.clear()
        assert counter.card("unionpay-ecash").balance_minor == LOADED - 990 == counter.tally("ecash/float")
        sandbox.verify()


def test_a_torn_payment_that_is_given_up_is_on_no_card_and_at_no_shop(paysim_sandbox: Sandbox) -> None:
    """What a card has paid and nobody has heard of stays in the float: it is the holder's to claim."""
    counter = Counter(paysim_sandbox)
    given_up, _ = counter.bought(990, "unionpay-ecash", tear_at=8, heard=True)
    assert counter.bought(500, "unionpay-ecash")[1].approved
    counter.terminal.clear()
    paysim_sandbox.advance(days=1)
    assert states(given_up) == ("CLOSED", "CLOSED")
    assert counter.card("unionpay-ecash").balance_minor == LOADED - 990 - 500
    assert counter.tally("ecash/float") == LOADED - 500


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_torn_pin_payment_asks_again(paysim_sandbox: Sandbox, at: int) -> None:
    counter = Counter(paysim_sandbox)
    order, _ = counter.bought(100_001, tear_at=at, heard=True)
    assert answered(counter.tap(order, pin="000000")) == "wrong_pin"
    assert counter.spent == 0


@pytest.mark.parametrize("verb", ["reverse", "close"])
def test_a_verb_that_was_lost_in_between_does_not_make_it_another_payment(
    paysim_sandbox: Sandbox, verb: str
) -> None:
    """The card knew the payment by its number, which changed with every operation: it paid twice."""
    counter = Counter(paysim_sandbox)
    order, _ = counter.bought(990, "unionpay-ecash", tear_at=8, heard=True)
    paysim_sandbox.faults.add(Fault("request", verb=verb))
    getattr(order, verb)()
    assert counter.tap(order, "unionpay-ecash").approved
    counter.terminal.clear()
    assert counter.card("unionpay-ecash").balance_minor == LOADED - 990 == counter.tally("ecash/float")
