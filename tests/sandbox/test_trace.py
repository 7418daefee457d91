"""The trace of a tap as text and as objects: whole, pleasant, and without a card's number."""

from __future__ import annotations

import json

import pytest

from paysim import CNY, Sandbox, UsageError
from paysim.core.event import Event
from paysim.drivers import session
from paysim.emv.outcome import Result, Status
from paysim.sandbox import timeline, trace
from paysim.sandbox.tap import Tap

CARDS = {"unionpay": "9.90", "unionpay-ecash": "9.90", "visa": "2000.00", "flaky": "5.00"}


class Paid:
    """A tap, the order's timeline after it, and the card's number."""

    def __init__(self, card: str, amount: str) -> None:
        with Sandbox(seed=7) as sandbox:
            shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice", balance=CNY("5000.00"))
            order, held = shop.create(CNY(amount)), alice.card(card)
            self.tap = shop.terminal().tap(order, held)
            self.timeline, self.receipt = order.timeline(), order.receipt()
            self.pan = held._held().card.made.pan
            self.journal = [repr(record) for record in sandbox.journal.records()]


@pytest.fixture(scope="module")
def paid() -> dict[str, Paid]:
    return {card: Paid(card, amount) for card, amount in CARDS.items()}


def gives_away(text: str, pan: str) -> bool:
    """Whether more of the number is to be read than six digits and four, as digits or as characters."""
    parts = (pan[:7], pan[-5:], pan.encode().hex().upper())
    return any(part in text.replace("\n     ", "") for part in parts)


@pytest.mark.parametrize("card", CARDS)
def test_no_trace_gives_the_number_away_unless_it_is_kept(card: str, paid: dict[str, Paid]) -> None:
    one = paid[card]
    for text in (
        one.tap.timeline(),
        json.dumps(list(trace.objects(one.tap.trace))),
        one.timeline,
        one.receipt,
        repr(one.tap._replace(reader=None)),  # which has the schemes' keys: any five digits, by chance
        *one.journal,
    ):
        assert not gives_away(text, one.pan)
    assert one.pan not in repr(one.tap)
    if card != "flaky":
        assert one.pan in one.tap.timeline(keep_pan=True)
        assert one.pan in json.dumps(list(trace.objects(one.tap.trace, keep_pan=True)))
        assert one.pan in one.tap.record()


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_lines_keep_to_the_width(width: int, paid: dict[str, Paid]) -> None:
    for one in paid.values():
        for line in trace.lines(one.tap.trace, width=width):
            if not line.head:
                assert len(line.text) <= max(width, 70), line.text


@pytest.mark.parametrize("card", CARDS)
def test_every_byte_of_every_apdu_is_in_the_trace(card: str, paid: dict[str, Paid]) -> None:
    tap = paid[card].tap
    shown = "".join(line.strip() for line in tap.timeline(keep_pan=True).split("\n"))
    for one in tap.trace:
        if one.kind in ("command", "response"):
            assert one.data.hex().upper() in shown


SAID = [
    ("unionpay", " 1 > SELECT 2PAY.SYS.DDF01, the directory of contactless applications"),
    ("unionpay", " 2 > SELECT UnionPay debit"),
    ("unionpay", "       9F02  Amount, Authorised (Numeric): 000000000990  9.90 CNY"),
    ("unionpay", "   terminal  U2   GPO answered 0 records to read"),
    ("unionpay", "   card      G3   CTQ without CVM, CVR 03 80 00 00, CID 00"),
    ("unionpay", "             cryptogram   passed"),
    ("unionpay", "   the issuer's answer"),
    ("unionpay", "     8A    Authorisation Response Code: 00 (approved)"),
    ("unionpay", "   terminal  O3   the issuer answered 00"),
    ("unionpay", "   display        Approved"),
    ("unionpay-ecash", "           balance: 0000009010  90.10"),
    ("unionpay-ecash", "         5A    Application Primary Account Number (PAN): 623456******6143"),
    ("unionpay-ecash", "             U7   offline data authentication succeeded"),
    ("visa", "           cryptogram version: 11  method visa17"),
    ("visa", "         9F6C  Card Transaction Qualifiers (CTQ): 8000  online PIN required"),
    ("visa", "             PIN          right"),
    ("flaky", "   < the answer is garbled (transmission)"),
]


@pytest.mark.parametrize(("card", "line"), SAID)
def test_the_trace_says(card: str, line: str, paid: dict[str, Paid]) -> None:
    assert line in paid[card].tap.timeline().split("\n")


TIMELINES = [
    ("unionpay", "contactless; kernel 7, U5: ARQC, counter 1\n"),
    ("unionpay-ecash", "approved; kernel 7, U13: approved offline, TC, counter 1\n"),
    ("visa", "contactless; kernel 3, V13: ARQC, counter 1, online pin\n"),
]


@pytest.mark.parametrize(("card", "words"), TIMELINES)
def test_the_orders_timeline_names_what_the_terminal_decided(
    card: str, words: str, paid: dict[str, Paid]
) -> None:
    assert words in paid[card].timeline + "\n"


def test_objects_say_what_the_text_says(paid: dict[str, Paid]) -> None:
    rows = list(trace.objects(paid["unionpay"].tap.trace))
    first = next(row for row in rows if row["kind"] == "command")
    assert first["name"] == "SELECT"
    assert {row["kind"] for row in rows} == {
        *("command", "response", "decision", "card", "issuer", "answer", "shown")
    }
    assert all(value for row in rows for name, value in row.items() if name != "at_us")
    assert all(("at_us" in row) is (row["kind"] in ("command", "response")) for row in rows)


def test_a_result_names_its_bits() -> None:
    result = Result(Status.DECLINED, "V16: not allowed", tvr=bytes.fromhex("0010000000"))
    rows = dict(trace.result_rows(result))
    assert rows["TVR"] == "0010000000  requested service not allowed for the card product"
    assert rows["TSI"] == "0000  nothing set"
    assert "kernel" not in rows


def test_facts_of_a_decision_hold_nothing_secret(paid: dict[str, Paid]) -> None:
    for card in ("unionpay", "unionpay-ecash", "visa"):
        result = paid[card].tap.result
        assert result is not None
        found = trace.decided(result)
        assert set(found) <= {"outcome", "kernel", "why", "cvm", "tvr", "counter", "cryptogram"}
        assert not gives_away(json.dumps(found), paid[card].pan)


def test_a_tap_that_asked_no_card_has_nothing_to_record(paid: dict[str, Paid]) -> None:
    tap = paid["visa"].tap
    assert session.decode(tap.record()).outcome["outcome"] == "APPROVED"
    with pytest.raises(UsageError, match="nothing to record"):
        Tap(tap.outcome, None, ()).record()


def test_a_timeline_names_the_tvr_where_something_is_set() -> None:
    tap = {"kernel": 3, "why": "V16: no", "cvm": "NA", "tvr": "0010000000"}
    assert timeline._tapped(Event("submitted", 0, data={"tap": tap})) == "kernel 3, V16: no, TVR 0010000000"
