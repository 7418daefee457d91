"""Taps at a terminal: who is asked, what is lost on the way to the issuer, which card pays and which not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tap_counter import PAYING, Counter, answered, states

from paysim import (
    CNY,
    Fault,
    Money,
    Outcome,
    OutcomeKind,
    PaysimError,
    Reason,
    Sandbox,
    Status,
    UsageError,
)
from paysim.core.event import Transfer
from paysim.emv.outcome import Cvm, Message
from paysim.emv.outcome import Status as Ending
from paysim.issuer.messages import APPROVED, Answer, AuthorizationRequest


@pytest.fixture
def counter(paysim_sandbox: Sandbox) -> Counter:
    return Counter(paysim_sandbox)


# A tap pays as a code does. -----------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PAYING)
@pytest.mark.parametrize("minor", [1, 990, 1_001, 100_000, 100_001, 400_000])
def test_every_paying_card_pays_every_sum(counter: Counter, profile: str, minor: int) -> None:
    order, tap = counter.bought(minor, profile)
    counter.terminal.clear()
    assert tap.approved
    assert states(order) == ("CAPTURED", "CAPTURED")
    assert counter.tally("merchant/tea-house/pending") == minor
    loaded = {"unionpay-ecash", "slow"} & {profile}
    by_card = 10_000 - counter.card(profile).balance_minor if loaded else 0
    assert counter.spent + by_card == minor


@pytest.mark.parametrize("profile", PAYING)
def test_a_tap_ends_as_a_code_does(profile: str) -> None:
    """The same states, receipt and takings; an e-cash card's after clearing."""
    endings = []
    for tapped in (False, True):
        with Sandbox(seed=7) as sandbox:
            counter = Counter(sandbox)
            card = counter.card(profile)
            order = counter.order(reference="T-1")
            if tapped:
                assert counter.tap(order, card).approved
                counter.terminal.clear()
            else:
                assert counter.alice.scan(order.present("qr.merchant")).confirm().approved
            order.refund(CNY("2.00"))
            sandbox.advance(days=2)
            receipt = order.receipt().replace(order.id, "ID")
            sums = {name: sums for name, sums in sandbox.balances().items() if name.startswith("merchant/")}
            endings.append((states(order), receipt, sums, order.captured, order.refunded))
    assert endings[0] == endings[1]


def test_an_order_says_what_happened(counter: Counter) -> None:
    order, _ = counter.bought()
    kinds = [event.kind for event in order.events]
    assert kinds == ["created", "presented", "reached", "submitted", "captured", "reached"]
    submitted = next(event for event in order.book.events if event.kind == "submitted")
    assert submitted.data == {"payer": "alice", "channel": "contactless", "card": "alice-unionpay"}


def test_a_paid_order_is_not_tapped_for_twice(counter: Counter) -> None:
    order, _ = counter.bought()
    position = counter.sandbox.journal.position
    again = counter.tap(order, "visa")
    assert (answered(again), again.result, again.trace) == ("already_paid", None, ())
    assert counter.spent == 990
    assert counter.card("visa").counter == 0
    assert counter.sandbox.journal.position == position + 1, "nothing but the second card was issued"


@pytest.mark.parametrize(
    ("verb", "reason"), [("close", "wrong_state"), ("reverse", "wrong_state"), ("expire", "expired")]
)
def test_an_order_that_is_over_is_not_tapped_for(counter: Counter, verb: str, reason: str) -> None:
    order = counter.order()
    order.present("contactless")
    if verb == "expire":
        counter.sandbox.advance(hours=2)
    else:
        getattr(order, verb)()
    assert answered(counter.tap(order)) == reason
    assert counter.spent == 0


def test_a_window_that_the_operator_has_closed_unheard_is_closed(counter: Counter) -> None:
    order = counter.order()
    order.present("contactless")
    counter.sandbox.faults.add(Fault("answer", verb="close"))
    order.close()
    assert states(order) == ("PRESENTED", "CLOSED")
    assert answered(counter.tap(order, "unionpay-ecash")) == "wrong_state"
    assert counter.card("unionpay-ecash").counter == 0


def test_an_order_that_was_paid_unheard_is_not_tapped_for(counter: Counter) -> None:
    order = counter.order()
    prompt = counter.alice.scan(order.present("qr.merchant"))
    order.query()
    counter.sandbox.faults.add(Fault("callback", times=9))
    prompt.confirm()
    assert states(order) == ("PENDING", "CAPTURED")
    assert answered(counter.tap(order)) == "already_paid"
    assert counter.spent == 990


@pytest.mark.parametrize("point", ["request", "answer"])
def test_a_window_that_does_not_open_is_tried_again(counter: Counter, point: str) -> None:
    counter.sandbox.faults.add(Fault(point, verb="present"))
    order, tap = counter.bought(card="unionpay-ecash")
    assert (answered(tap), tap.trace) == ("try_again", ())
    assert counter.tap(order, "unionpay-ecash").approved
    counter.terminal.clear()
    assert states(order) == ("CAPTURED", "CAPTURED")


def test_a_tap_replaces_a_code_that_is_shown(counter: Counter) -> None:
    order = counter.order()
    code = order.present("qr.merchant")
    assert counter.tap(order).approved
    bob = counter.sandbox.person("Bob", balance=CNY("20.00"))
    assert bob.scan(code).outcome.reason is Reason.REPLACED_CODE  # type: ignore[union-attr]
    assert bob.balance() == CNY("20.00")


def test_a_terminal_takes_orders_of_its_shop_alone(counter: Counter) -> None:
    order = counter.sandbox.shop("Grand Inn").create(CNY("9.90"))
    with pytest.raises(UsageError, match="grand-inn's, and the terminal tea-house's"):
        counter.tap(order)


def test_an_order_of_another_operator_is_not_tapped_for(counter: Counter) -> None:
    order = counter.order()
    order.present("qr.wechat")
    with pytest.raises(UsageError, match="another operator"):
        counter.tap(order)


def test_a_tap_wants_a_card(counter: Counter) -> None:
    with pytest.raises(UsageError, match="hold a card"):
        counter.terminal.tap(counter.order())


def test_a_driver_that_is_not_here_is_an_error(counter: Counter) -> None:
    with pytest.raises(UsageError, match="no driver 'radio'"):
        counter.shop.terminal("radio")


# What is lost or late. ----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["lose", "delay"])
def test_a_lost_answer_is_unknown_until_a_query(counter: Counter, action: str) -> None:
    counter.sandbox.faults.add(Fault("answer", action, verb="authorize"))
    order, tap = counter.bought()
    assert answered(tap) == "unknown"
    assert states(order) == ("UNKNOWN", "CAPTURED")
    assert tap.result
    assert tap.result.status is Ending.ONLINE_REQUEST
    assert answered(counter.tap(order)) == "wrong_state", "who does not know does not ask for money again"
    assert order.query().value == "CAPTURED"
    counter.sandbox.advance(minutes=5)
    assert (states(order), counter.spent) == (("CAPTURED", "CAPTURED"), 990)


def test_a_lost_answer_is_reversed(counter: Counter) -> None:
    counter.sandbox.faults.add(Fault("answer", verb="authorize"))
    order, _ = counter.bought()
    assert order.reverse().done
    assert (states(order), counter.spent) == (("REVERSED", "REVERSED"), 0)


def test_a_lost_request_is_found_unpaid_and_tapped_for_again(counter: Counter) -> None:
    counter.sandbox.faults.add(Fault("request", verb="authorize"))
    order, tap = counter.bought()
    assert (answered(tap), states(order)) == ("unknown", ("UNKNOWN", "PRESENTED"))
    assert order.query().value == "PRESENTED"
    again = counter.tap(order)
    assert again.approved
    assert again.purchase != tap.purchase, "another payment has another number"
    assert (states(order), counter.spent) == (("CAPTURED", "CAPTURED"), 990)


def test_a_late_request_pays(counter: Counter) -> None:
    counter.sandbox.faults.add(Fault("request", "delay", verb="authorize", delay_s=30))
    order, tap = counter.bought()
    assert (answered(tap), states(order)) == ("unknown", ("UNKNOWN", "PRESENTED"))
    counter.sandbox.advance(seconds=30)
    assert (states(order), counter.spent) == (("CAPTURED", "CAPTURED"), 990)
    assert not counter.sandbox._engine.cards.records


def test_a_late_request_with_a_pin_pays(counter: Counter) -> None:
    counter.sandbox.faults.add(Fault("request", "delay", verb="authorize", delay_s=30))
    order, _ = counter.bought(100_001)
    counter.sandbox.advance(seconds=30)
    assert (states(order), counter.spent) == (("CAPTURED", "CAPTURED"), 100_001)


def test_a_late_request_that_wants_a_pin_finds_nobody_to_type_it(counter: Counter) -> None:
    counter.sandbox.faults.add(Fault("request", "delay", verb="authorize", delay_s=30))
    order, _ = counter.bought(990, counter.card(no_pin=False))
    counter.sandbox.advance(seconds=30)
    assert (states(order), counter.spent) == (("DECLINED", "DECLINED"), 0)
    assert order.outcome
    assert order.outcome.reason is Reason.PIN_REQUIRED


@pytest.mark.parametrize("first", ["reverse", "second tap", "offline tap"])
def test_a_late_request_of_an_order_that_is_over_is_refused(counter: Counter, first: str) -> None:
    counter.sandbox.faults.add(Fault("request", "delay", verb="authorize", delay_s=30))
    order, _ = counter.bought()
    if first == "reverse":
        assert order.reverse().done
    else:
        order.query()
        card = counter.card("unionpay-ecash" if first == "offline tap" else "visa")
        assert counter.tap(order, card).approved
    spent = counter.spent
    counter.sandbox.advance(seconds=30)
    assert counter.spent == spent, "nobody pays twice"
    assert states(order) == (("REVERSED",) * 2 if first == "reverse" else ("CAPTURED",) * 2)
    refused = {o.id: o.reason for o in order.book.operations if o.status is Status.REFUSED}
    assert refused[f"{order.id}.1"] == ("wrong_state" if first == "reverse" else "already_paid")
    token = counter.card("unionpay").token
    assert not counter.sandbox.journal.stream(f"issued/{token}"), "its issuer is not even asked"


def test_a_late_request_survives_a_restart(tmp_path: Any) -> None:
    with Sandbox(store=tmp_path / "a.db", keys=tmp_path / "keys") as sandbox:
        counter = Counter(sandbox)
        sandbox.faults.add(Fault("request", "delay", verb="authorize", delay_s=30))
        order, _ = counter.bought(100_001)
    with Sandbox(store=tmp_path / "a.db", keys=tmp_path / "keys") as sandbox:
        counter = Counter(sandbox)
        sandbox.advance(minutes=1)
        assert states(sandbox.order(order.id)) == ("CAPTURED", "CAPTURED")
        assert counter.spent == 100_001
        sandbox.verify()
    assert not list((tmp_path / "keys").glob("emv-record-*"))


def test_a_lost_callback_does_not_hide_a_decline_by_the_terminal(counter: Counter) -> None:
    counter.sandbox.faults.add(Fault("callback", times=9))
    counter.sandbox.faults.add(Fault("answer", verb="authorize"))
    order, tap = counter.bought(100_001, pin="")
    assert answered(tap) == "refused_by_payer"
    assert states(order) == ("DECLINED", "DECLINED")


def test_two_processes_share_a_card(tmp_path: Any) -> None:
    """Each taps the card as the other has left it; the issuer sees every counter once."""
    about = {"store": tmp_path / "a.db", "keys": tmp_path / "keys", "durability": "normal"}
    with Sandbox(**about) as one, Sandbox(**about) as other:
        counters = Counter(one), Counter(other)
        for n in range(6):
            assert counters[n % 2].bought(990, "unionpay")[1].approved
            assert counters[n % 2].bought(100, "unionpay-ecash")[1].approved
        assert [counter.card("unionpay").counter for counter in counters] == [6, 6]
        assert counters[0].terminal.clear() == 6
        assert counters[1].terminal.clear() == 0
        assert [counter.card("unionpay-ecash").balance_minor for counter in counters] == [9_400, 9_400]
        other.verify()


def test_a_batch_that_fails_gives_the_card_back_as_it_was(counter: Counter) -> None:
    card = counter.card("unionpay-ecash")
    assert counter.bought(100, card)[1].approved
    with pytest.raises(ZeroDivisionError):
        _failed(counter)
    assert (card.counter, card.balance_minor) == (1, 9_900)
    assert counter.bought(100, card)[1].approved


def _failed(counter: Counter) -> None:
    with counter.sandbox.batch():
        assert counter.bought(100, "unionpay-ecash")[1].approved
        assert counter.bought(2_000, "unionpay-ecash")[1].approved
        raise ZeroDivisionError


# Which card. ----------------------------------------------------------------------------------------------

# profile, what comes of the tap, how the reader ends
CARDS = [
    ("unknown", "try_again", Ending.END_APPLICATION),
    ("blocked", "try_again", Ending.END_APPLICATION),
    ("expired", "expired", Ending.DECLINED),
]


@pytest.mark.parametrize(("profile", "expected", "ending"), CARDS)
def test_a_wrong_card_does_not_pay(counter: Counter, profile: str, expected: str, ending: Ending) -> None:
    order, tap = counter.bought(990, profile)
    assert answered(tap) == expected
    assert tap.result
    assert tap.result.status is ending
    assert counter.spent == 0
    if expected == "try_again":
        assert states(order) == ("PRESENTED", "PRESENTED")
        assert counter.tap(order).approved, "another card is welcome"
    else:
        assert states(order) == ("DECLINED", "DECLINED")


def test_two_cards_in_the_field_are_one_too_many(counter: Counter) -> None:
    order = counter.order()
    cards = counter.card("unionpay"), counter.card("visa")
    tap = counter.terminal.tap(order, *cards)
    assert (answered(tap), tap.outcome.text, tap.cards) == ("try_again", "present one card only", 2)
    assert [card.counter for card in cards] == [0, 0]
    assert counter.terminal.tap(order, cards[1]).approved
    assert [card.counter for card in cards] == [0, 1]


def test_a_card_that_is_held_badly_pays_at_the_third_try(counter: Counter) -> None:
    order = counter.order()
    taps = [counter.tap(order, "flaky") for _ in range(3)]
    assert [answered(tap) for tap in taps] == ["try_again", "try_again", "approved"]
    assert counter.spent == 990


class Contacts:
    """A link to a card that answers every GET PROCESSING OPTIONS by `sw`."""

    sw = "6984"

    def __init__(self, link: Any) -> None:
        self.link = link

    @property
    def decisions(self) -> Any:
        return self.link.decisions

    def transceive(self, data: bytes) -> bytes:
        answer: bytes = self.link.transceive(data)
        return bytes.fromhex(self.sw) if data[1] == 0xA8 else answer


@pytest.mark.parametrize("profile", ["unionpay", "visa"])
def test_a_card_that_wants_its_contacts_is_to_be_inserted(counter: Counter, profile: str) -> None:
    terminal = counter.shop.terminal(Contacts)
    tap = terminal.tap(counter.order(), counter.card(profile))
    assert answered(tap) == "try_again"
    assert tap.result
    assert tap.result.status is Ending.TRY_ANOTHER_INTERFACE
    assert tap.result.ui
    assert tap.result.ui.message is Message.INSERT_CARD


def test_a_slow_card_takes_its_time(counter: Counter) -> None:
    before = counter.sandbox.clock.now_ms()
    _, tap = counter.bought(990, "slow")
    assert 165 <= tap.elapsed_ms <= 325
    assert counter.sandbox.clock.now_ms() == before + tap.elapsed_ms


def test_a_credit_card_is_refused_where_the_shop_takes_none(counter: Counter) -> None:
    counter.alice.bank_account("line", balance=CNY("100.00"), credit=True)
    inn = counter.sandbox.shop("Grand Inn", refuse_credit=True)
    order = inn.create(CNY("9.90"))
    card = counter.card(name="credit", source="line")
    tap = inn.terminal().tap(order, card)
    assert (answered(tap), states(order)) == ("credit_refused", ("DECLINED", "DECLINED"))
    assert counter.tap(counter.order(), card).approved


def test_a_name_is_one_cards(counter: Counter) -> None:
    card = counter.card(name="mine")
    assert counter.card(name="mine").id == card.id
    for about in ({"profile": "visa"}, {"no_pin": False}):
        with pytest.raises(UsageError, match="is another"):
            counter.alice.card(**{"profile": "unionpay", "name": "mine", **about})  # type: ignore[arg-type]


# The PIN, and how much goes without. ----------------------------------------------------------------------

LIMITS = [(True, 100_000, False), (True, 100_001, True), (False, 30_000, False), (False, 30_001, True)]


@pytest.mark.parametrize("profile", ["unionpay", "visa", "two-applications", "visa-online"])
@pytest.mark.parametrize(("upgraded", "minor", "asked"), LIMITS)
def test_no_pin_is_asked_for_up_to_the_limit(
    paysim_sandbox: Sandbox, profile: str, upgraded: bool, minor: int, asked: bool
) -> None:
    """Market rule R06, to the fen: 1,000 CNY, and 300 at a terminal that does not know the new limit."""
    counter = Counter(paysim_sandbox, upgraded=upgraded)
    order, tap = counter.bought(minor, profile, pin="")
    assert answered(tap) == ("refused_by_payer" if asked else "approved")
    assert states(order) == (("DECLINED",) * 2 if asked else ("CAPTURED",) * 2)
    assert tap.result
    assert (tap.result.cvm is Cvm.ONLINE_PIN) is asked
    assert counter.spent == (0 if asked else minor)
    assert counter.tap(counter.order(minor), profile).approved, "and with the PIN it is paid"


@pytest.mark.parametrize(("minor", "asked"), [(1_100, False), (1_101, True)])
def test_a_card_may_want_the_pin_for_less(counter: Counter, minor: int, asked: bool) -> None:
    """An e-cash card's own limit (9F6B) is 11 CNY."""
    tap = counter.bought(minor, "unionpay-ecash", pin="")[1]
    assert answered(tap) == ("refused_by_payer" if asked else "approved")


def test_a_holder_may_want_the_pin_always(counter: Counter) -> None:
    """The terminal asks for none, and the issuer does."""
    tap = counter.tap(counter.order(), counter.card(no_pin=False))
    assert tap.approved
    asked = [line.text for line in tap.trace if line.kind == "issuer" and line.step == "without PIN"]
    assert asked == ["65: the PIN, please: the holder wants it always", "passed"]


def test_three_wrong_pins_block_the_card(counter: Counter) -> None:
    answers = [answered(counter.bought(100_001, pin=pin)[1]) for pin in ("000000", "111111", "222222")]
    assert answers == ["wrong_pin", "wrong_pin", "pin_blocked"]
    assert answered(counter.bought(100_001)[1]) == "pin_blocked", "the right one is too late"
    assert counter.bought(990)[1].approved, "what goes without PIN goes"
    assert counter.spent == 990


def test_a_right_pin_forgives_wrong_ones(counter: Counter) -> None:
    pins = ["000000", "111111", None, "000000", "111111", None]
    answers = [answered(counter.bought(100_001, pin=pin)[1]) for pin in pins]
    assert answers == ["wrong_pin", "wrong_pin", "approved"] * 2


def test_a_wrong_pin_ends_the_order(counter: Counter) -> None:
    order, tap = counter.bought(100_001, pin="000000")
    assert tap.outcome.kind is OutcomeKind.DECLINED
    assert states(order) == ("DECLINED", "DECLINED")
    assert answered(counter.tap(order)) == "wrong_state"


@pytest.mark.parametrize("pin", ["123", "12345x", "1" * 13, "１２３４５６"])
def test_what_is_no_pin_is_an_error_that_does_not_show_it(counter: Counter, pin: str) -> None:
    order = counter.order(100_001)
    with pytest.raises(PaysimError) as caught:
        counter.tap(order, pin=pin)
    assert pin not in str(caught.value)
    assert counter.tap(order).approved


def test_a_pin_that_the_sandbox_does_not_know_is_asked_for(counter: Counter) -> None:
    bob = counter.sandbox.person("Bob", balance=CNY("5000.00"), pin="246810")
    order, card = counter.order(100_001), bob.card("unionpay")
    with pytest.raises(UsageError, match="pin="):
        counter.tap(order, card)
    assert (card.counter, states(order)) == (0, ("CREATED", "CREATED")), "it is as if nothing had happened"
    assert counter.tap(order, card, pin="246810").approved


# A card that is lost. -------------------------------------------------------------------------------------


def test_a_lost_card_pays_no_more(counter: Counter) -> None:
    card = counter.card()
    card.report("lost")
    order, tap = counter.bought(990, card)
    assert (answered(tap), states(order)) == ("card_blocked", ("DECLINED", "DECLINED"))
    card.report("active")
    assert counter.bought(990, card)[1].approved


def test_a_lost_cards_payments_without_pin_are_borne_by_the_issuer(counter: Counter) -> None:
    """Market rule R07: those of the 72 hours before the report."""
    card = counter.card()
    counter.bought(5_000, card)
    counter.sandbox.advance(hours=72, seconds=1)
    counter.bought(30_000, card)
    counter.bought(100_001, card)
    refunded, _ = counter.bought(700, card)
    refunded.refund(CNY("2.00"))
    reversed_, _ = counter.bought(800, card)
    reversed_.reverse()
    spent = counter.spent
    assert card.report("lost") == CNY("305.00")
    assert counter.spent == spent - 30_500
    assert counter.tally("card/cover") == -30_500
    assert card.report("stolen") == CNY("0.00"), "once"


def test_what_the_issuer_bears_is_limited_by_the_year(counter: Counter) -> None:
    counter.alice.fund(CNY("50000.00"))
    cards = [counter.card(name=f"{n}") for n in range(2)]
    for n in range(32):
        assert counter.bought(100_000, cards[n % 2])[1].approved
    assert [card.report().minor for card in cards] == [1_600_000, 1_400_000]


def test_a_status_that_does_not_exist_is_an_error(counter: Counter) -> None:
    with pytest.raises(UsageError, match="not 'mislaid'"):
        counter.card().report("mislaid")


# A stranger's issuer. -------------------------------------------------------------------------------------


class Generous:
    """A stranger's issuer: everything under 100 CNY is fine."""

    def authorize(self, request: AuthorizationRequest) -> Answer:
        if request.amount_minor < 10_000:
            return Answer(APPROVED)
        return Answer(Outcome.declined(Reason.LIMIT_EXCEEDED, "too much", "61"))


def test_a_strangers_issuer_decides(paysim_sandbox: Sandbox) -> None:
    counter = Counter(paysim_sandbox, issuer=Generous())
    order, tap = counter.bought(9_999)
    assert (tap.approved, states(order), counter.spent) == (True, ("CAPTURED", "CAPTURED"), 9_999)
    order, tap = counter.bought(10_000)
    assert (answered(tap), states(order)) == ("limit_exceeded", ("DECLINED", "DECLINED"))


def test_a_strangers_issuer_does_not_make_money(paysim_sandbox: Sandbox) -> None:
    counter = Counter(paysim_sandbox, issuer=Generous())
    bob = paysim_sandbox.person("Bob", balance=CNY("9.89"))
    order = counter.order()
    tap = counter.tap(order, bob.card("unionpay"))
    assert (answered(tap), states(order)) == ("insufficient_funds", ("DECLINED", "DECLINED"))
    assert tap.result
    assert tap.result.status is Ending.DECLINED


class Saying:
    """An issuer that answers what it is told to."""

    def __init__(self, *answers: Answer) -> None:
        self.answers: Iterator[Answer] = iter(answers)
        self.requests: list[AuthorizationRequest] = []

    def authorize(self, request: AuthorizationRequest) -> Answer:
        self.requests.append(request)
        return next(self.answers)


TRY_AGAIN = Answer(Outcome(OutcomeKind.TRY_AGAIN))
STRANGE = Answer(APPROVED, token="card-of-its-own", scripts=(b"", b"\x86\x00"))


@pytest.mark.parametrize(
    ("answers", "expected", "ends"),
    [
        ((TRY_AGAIN, Answer(APPROVED)), "approved", ("CAPTURED", "CAPTURED")),
        ((TRY_AGAIN, TRY_AGAIN), "card_declined", ("DECLINED", "DECLINED")),
        ((Answer(Outcome(OutcomeKind.UNKNOWN)),), "unknown", ("UNKNOWN", "PRESENTED")),
        (
            (Answer(APPROVED, token="card-of-its-own", scripts=(b"", b"\x86\x00")),),
            "approved",
            ("CAPTURED",) * 2,
        ),
        ((Answer(APPROVED, arc=b"\xff", data_91=b"?" * 300),), "approved", ("CAPTURED",) * 2),
    ],
)
def test_whatever_an_issuer_answers_has_an_end(
    paysim_sandbox: Sandbox, answers: tuple[Answer, ...], expected: str, ends: tuple[str, str]
) -> None:
    counter = Counter(paysim_sandbox, issuer=Saying(*answers))
    order, tap = counter.bought()
    assert (answered(tap), states(order)) == (expected, ends)


def test_the_second_request_brings_the_pin(paysim_sandbox: Sandbox) -> None:
    issuer = Saying(TRY_AGAIN, Answer(APPROVED))
    Counter(paysim_sandbox, issuer=issuer).bought()
    first, second = issuer.requests
    assert (first.online_pin, len(second.online_pin or b"")) == (None, 8)
    assert first.fields == second.fields


def test_an_issuer_does_not_count_money(paysim_sandbox: Sandbox) -> None:
    answer = Answer(APPROVED, counts=(("payer/alice/available:CNY", 10**6, None),))
    counter = Counter(paysim_sandbox, issuer=Saying(answer))
    with pytest.raises(UsageError, match="limits"):
        counter.bought()
    assert counter.spent == 0


# Money held for later. --------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PAYING)
def test_a_sum_that_is_captured_later_is_held_by_the_issuer(counter: Counter, profile: str) -> None:
    """An e-cash card, too: what a card pays by itself is paid at once."""
    order = counter.order(capture="manual")
    assert counter.tap(order, profile).approved
    assert (states(order), counter.alice.held()) == (("AUTHORIZED", "AUTHORIZED"), CNY("9.90"))
    assert order.capture(CNY("4.00"), final=True).done
    assert (states(order), counter.spent, counter.alice.held()) == (
        ("CAPTURED", "CAPTURED"),
        400,
        CNY("0.00"),
    )


def test_transfers_of_a_tap_are_those_of_a_code(counter: Counter) -> None:
    order, _ = counter.bought()
    [moved] = [event.transfers for event in order.book.events if event.transfers]
    assert moved == (Transfer("payer/alice/available", "merchant/tea-house/pending", "CNY", 990),)


def test_sums_of_another_currency_go_without_the_yuans_limit(counter: Counter) -> None:
    counter.alice.fund(Money("EUR", 200_000))
    order = counter.shop.create(Money("EUR", 990))
    assert counter.tap(order).approved
    assert counter.alice.balance(currency="EUR").minor == 199_010
