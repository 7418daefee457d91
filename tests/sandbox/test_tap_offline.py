"""What e-cash cards pay by themselves: approved at the tap, captured at clearing, or refused there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tap_counter import ECASH, LOADED, Counter, answered, states

from paysim import CNY, Fault, Money, Reason, Sandbox, Status
from paysim.core.clock import DAY_MS, HOUR_MS

CARD = "unionpay-ecash"


@pytest.fixture
def counter(paysim_sandbox: Sandbox) -> Counter:
    return Counter(paysim_sandbox)


def float_is_right(counter: Counter, *, waiting: int = 0, card: str = CARD) -> bool:
    """What is loaded on cards is what they say, and what they have paid and nobody has handed in."""
    return counter.tally("ecash/float") == counter.card(card).balance_minor + waiting


# At the tap. ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ECASH)
def test_a_card_approves_and_nobody_is_asked(counter: Counter, profile: str) -> None:
    order, tap = counter.bought(990, profile)
    assert (tap.outcome.code, tap.approved) == ("Y1", True)
    assert states(order) == ("AUTHORIZED", "PRESENTED")
    assert counter.card(profile).balance_minor == LOADED - 990
    assert (counter.tally("ecash/float"), counter.spent) == (LOADED, 0)
    assert not [line for line in tap.trace if line.kind == "issuer"]


def test_it_pays_while_nobody_can_be_reached(counter: Counter) -> None:
    order = counter.order()
    order.present("contactless")
    for point in ("request", "answer", "callback"):
        counter.sandbox.faults.add(Fault(point, times=99))
    assert counter.tap(order, CARD).approved
    counter.terminal.clear()
    assert states(order) == ("AUTHORIZED", "CAPTURED")
    counter.sandbox.faults.clear()
    order.query()
    assert (states(order), float_is_right(counter)) == (("CAPTURED", "CAPTURED"), True)


@pytest.mark.parametrize(("minor", "offline"), [(1_000, True), (1_001, False)])
def test_above_its_own_limit_it_goes_online(counter: Counter, minor: int, offline: bool) -> None:
    order, tap = counter.bought(minor, CARD)
    assert tap.approved
    assert (order.state.value == "AUTHORIZED") is offline
    assert counter.spent == (0 if offline else minor)


def test_a_card_keeps_what_its_issuer_wants_left(counter: Counter) -> None:
    """15 CNY stay for where nobody can be asked (9F6D): then it goes online, and takes nothing of it."""
    taps = [counter.bought(1_000, CARD)[1] for _ in range(10)]
    assert [tap.outcome.code for tap in taps] == ["Y1"] * 8 + ["00"] * 2
    assert counter.card(CARD).balance_minor == 2_000
    assert counter.spent == 2_000
    assert counter.terminal.clear() == 8
    assert float_is_right(counter)


# At clearing. ---------------------------------------------------------------------------------------------


def test_clearing_captures(counter: Counter) -> None:
    order, _ = counter.bought(990, CARD)
    assert counter.terminal.clear() == 1
    assert states(order) == ("CAPTURED", "CAPTURED")
    assert (counter.tally("merchant/tea-house/pending"), float_is_right(counter)) == (990, True)
    assert counter.terminal.clear() == 0


def test_the_day_ends_with_clearing(counter: Counter) -> None:
    """At midnight in China; the two hours of an unpaid order do not end what a card has paid."""
    sandbox = counter.sandbox
    order, _ = counter.bought(990, CARD)
    midnight_ms = (sandbox.clock.now_ms() + 8 * HOUR_MS) // DAY_MS * DAY_MS + DAY_MS - 8 * HOUR_MS
    left_ms = midnight_ms - sandbox.clock.now_ms()
    assert left_ms > 2 * HOUR_MS
    sandbox.advance(seconds=(left_ms - 1) / 1_000)
    assert states(order) == ("AUTHORIZED", "PRESENTED")
    sandbox.advance(seconds=0.001)
    assert states(order) == ("CAPTURED", "CAPTURED")
    sandbox.advance(days=1)
    assert order.book.events[-1].kind == "settled"
    assert counter.tally("merchant/tea-house/available") == 990


@pytest.mark.parametrize("action", ["lose", "delay"])
def test_a_shop_that_does_not_hear_of_clearing_asks(counter: Counter, action: str) -> None:
    order, _ = counter.bought(990, CARD)
    counter.sandbox.faults.add(Fault("callback", action, delay_s=200_000))
    counter.sandbox.advance(days=1)
    assert states(order) == ("AUTHORIZED", "CAPTURED")
    order.query()
    assert states(order) == ("CAPTURED", "CAPTURED")
    counter.sandbox.advance(days=5)
    assert (states(order), float_is_right(counter)) == (("CAPTURED", "CAPTURED"), True)


def test_a_terminal_clears_what_its_shop_has_taken(counter: Counter) -> None:
    inn = counter.sandbox.shop("Grand Inn")
    other = inn.create(CNY("1.00"))
    assert inn.terminal().tap(other, counter.card(CARD)).approved
    order, _ = counter.bought(990, CARD)
    counter.bought(990, "unionpay")
    assert counter.terminal.clear() == 1
    assert (states(order)[0], states(other)[0]) == ("CAPTURED", "AUTHORIZED")
    assert counter.shop.terminal().clear() == 0
    assert inn.terminal().clear() == 1


def altered(counter: Counter, tag: int, value: bytes) -> None:
    """Somebody changes what the terminal has kept."""
    [record] = counter.sandbox._engine.cards.records.values()
    record[tag] = value


# tag, value, why clearing refuses
ALTERED = [
    (0x9F26, bytes(8), Reason.WRONG_CRYPTOGRAM),
    (0x9F02, bytes.fromhex("000000009900"), Reason.WRONG_CRYPTOGRAM),
    (0x9F36, bytes.fromhex("0009"), Reason.WRONG_CRYPTOGRAM),
    (0x9F27, b"\x80", Reason.WRONG_CRYPTOGRAM),
    (0x57, b"", Reason.MALFORMED),
]


@pytest.mark.parametrize(("tag", "value", "reason"), ALTERED)
def test_clearing_refuses_what_was_altered(counter: Counter, tag: int, value: bytes, reason: Reason) -> None:
    order, _ = counter.bought(990, CARD)
    altered(counter, tag, value)
    counter.terminal.clear()
    assert states(order) == ("DECLINED", "DECLINED")
    assert order.book.events[-1].kind == "rejected"
    assert order.book.events[-1].outcome
    assert order.book.events[-1].outcome.reason is reason
    assert counter.tally("merchant/tea-house/pending") == 0
    assert (counter.tally("offline/loss"), float_is_right(counter)) == (990, True)


def test_clearing_refuses_what_a_lost_card_has_paid_since(counter: Counter) -> None:
    card = counter.card(CARD)
    before, _ = counter.bought(100, card)
    counter.sandbox.advance(seconds=1)
    card.report("lost")
    counter.sandbox.advance(seconds=1)
    since, tap = counter.bought(990, card)
    assert tap.approved, "nobody tells the card, nor a terminal that asks nobody"
    assert counter.terminal.clear() == 2
    assert (states(before)[0], states(since)[0]) == ("CAPTURED", "DECLINED")
    rejected = since.events[-2]
    assert (rejected.kind, rejected.outcome and rejected.outcome.reason) == ("rejected", Reason.CARD_BLOCKED)
    assert (counter.tally("offline/loss"), float_is_right(counter)) == (990, True)


def test_what_is_cleared_once_is_cleared(counter: Counter) -> None:
    """Two terminals hand in one approval of the same card: the second has a counter that was used."""
    counter.bought(990, CARD)
    [record] = [dict(one) for one in counter.sandbox._engine.cards.records.values()]
    counter.terminal.clear()
    second, _ = counter.bought(990, CARD)
    records = counter.sandbox._engine.cards.records
    records[next(iter(records))] = record
    counter.terminal.clear()
    assert states(second) == ("DECLINED", "DECLINED")
    assert counter.tally("merchant/tea-house/pending") == 990


# What a shop asks before. ---------------------------------------------------------------------------------

# verb, money, status, state
ASKED = [
    ("reverse", (), Status.DONE, "REVERSED"),
    ("void", (), Status.DONE, "VOIDED"),
    ("refund", (), Status.DONE, "CAPTURED"),
    ("refund", (CNY("4.00"),), Status.DONE, "CAPTURED"),
    ("close", (), Status.REFUSED, "CAPTURED"),
    ("capture", (), Status.REFUSED, "CAPTURED"),
]


@pytest.mark.parametrize(("verb", "money", "status", "state"), ASKED)
@pytest.mark.parametrize("fault", ["", "request", "answer", "late request"])
def test_whatever_is_asked_before_clearing_clears_first(
    counter: Counter, verb: str, money: tuple[Money, ...], status: Status, state: str, fault: str
) -> None:
    """What comes back goes to the account behind the card, for the card is not there."""
    order, _ = counter.bought(990, CARD)
    if fault:
        action = "delay" if fault == "late request" else "lose"
        counter.sandbox.faults.add(Fault(fault.rpartition(" ")[2], action, verb=verb))
    operation = getattr(order, verb)(*money, key="once")
    if fault:
        assert operation.status is Status.UNKNOWN
        counter.sandbox.advance(minutes=2)
        order.query()
        operation = getattr(order, verb)(*money, key="once")
    assert (operation.status, states(order)) == (status, (state, state))
    back = {"refund": money[0].minor if money else 990, "reverse": 990, "void": 990}.get(verb, 0)
    assert counter.spent == -back
    assert counter.tally("merchant/tea-house/pending") == 990 - back
    assert float_is_right(counter)
    assert counter.terminal.clear() == 0
    counter.sandbox.advance(days=2)
    assert states(order) == (state, state)


def test_a_reversal_of_what_clearing_refuses_is_refused(counter: Counter) -> None:
    order, _ = counter.bought(990, CARD)
    altered(counter, 0x9F26, bytes(8))
    assert (order.reverse().reason, states(order)) == ("wrong_state", ("DECLINED", "DECLINED"))
    assert (counter.spent, float_is_right(counter)) == (0, True)


def test_a_refund_after_clearing_goes_to_the_account(counter: Counter) -> None:
    order, _ = counter.bought(990, CARD)
    counter.terminal.clear()
    assert order.refund().done
    assert (counter.spent, counter.card(CARD).balance_minor) == (-990, LOADED - 990)


# What a restart leaves. -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["by the timer", "by the terminal", "by a refund"])
def test_a_restart_loses_no_approval(tmp_path: Path, how: str) -> None:
    store, keys = tmp_path / "a.db", tmp_path / "keys"
    with Sandbox(store=store, keys=keys) as sandbox:
        order, _ = Counter(sandbox).bought(990, CARD)
    assert len(list(keys.glob("emv-record-*"))) == 1
    with Sandbox(store=store, keys=keys) as sandbox:
        counter, order = Counter(sandbox), sandbox.order(order.id)
        if how == "by the timer":
            sandbox.advance(days=1)
        elif how == "by the terminal":
            assert counter.terminal.clear() == 1
        else:
            assert order.refund(CNY("1.00")).done
        assert states(order) == ("CAPTURED", "CAPTURED")
        assert float_is_right(counter)
        sandbox.verify()
    assert not list(keys.glob("emv-record-*")), "what is cleared is not kept"


@pytest.mark.parametrize("left", [None, b"", b"\x00", b"\x81\x57\xc4\x01\x00", b"?" * 1_000])
def test_without_what_was_kept_clearing_refuses(tmp_path: Path, left: bytes | None) -> None:
    store, keys = tmp_path / "a.db", tmp_path / "keys"
    with Sandbox(store=store, keys=keys) as sandbox:
        order, _ = Counter(sandbox).bought(990, CARD)
    for file in keys.glob("emv-record-*"):
        file.unlink() if left is None else file.write_bytes(left)
    with Sandbox(store=store, keys=keys) as sandbox:
        sandbox.advance(days=1)
        assert states(sandbox.order(order.id)) == ("DECLINED", "DECLINED")
        assert Counter(sandbox).tally("offline/loss") == 990
        sandbox.verify()


def _failed(counter: Counter) -> None:
    with counter.sandbox.batch():
        counter.terminal.clear()
        raise ZeroDivisionError


def test_a_batch_that_fails_keeps_what_waits(counter: Counter) -> None:
    order, _ = counter.bought(990, CARD)
    with pytest.raises(ZeroDivisionError):
        _failed(counter)
    assert states(order) == ("AUTHORIZED", "PRESENTED")
    with counter.sandbox.batch():
        assert counter.terminal.clear() == 1
    assert states(order) == ("CAPTURED", "CAPTURED")
    assert not counter.sandbox._engine.cards.records


def test_sandboxes_of_one_seed_do_not_mix_what_they_keep() -> None:
    """They share the process's memory for files; their orders have the same numbers."""
    with Sandbox(seed=7) as one, Sandbox(seed=7) as other:
        first, _ = Counter(one).bought(990, CARD)
        second, _ = Counter(other).bought(500, CARD)
        assert first.id == second.id
        again = Sandbox(store=one.journal)
        again.advance(days=1)
        assert states(again.order(first.id)) == ("CAPTURED", "CAPTURED")
        other.advance(days=1)
        assert states(second) == ("CAPTURED", "CAPTURED")


def test_an_answer_in_short(counter: Counter) -> None:
    assert answered(counter.bought(990, CARD)[1]) == "approved"
