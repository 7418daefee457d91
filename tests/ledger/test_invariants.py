"""`verify`: each rule, broken on purpose in a journal whose hashes are all right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import till

from paysim import Sandbox
from paysim.core.errors import InvariantBroken, JournalDamaged
from paysim.core.event import Entry, Event, Record, Transfer
from paysim.core.ports import Journal
from paysim.core.transaction import Transaction
from paysim.ledger import accounts
from paysim.ledger.invariants import check_sums, histories, replay, sums, verify
from paysim.ledger.journal import GENESIS, MemoryJournal
from paysim.store import SqliteJournal

MakeJournal = Callable[[], Journal]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> MakeJournal:
    """Makes an empty journal of either kind."""
    names = iter("abcdefgh")
    return lambda: MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / next(names))


def rewritten(make: MakeJournal, records: Sequence[Record], position: int, **change: object) -> Journal:
    """A journal of the same facts but for one event, as somebody would forge it: hashes, balances and all."""
    journal, versions = make(), dict[str, int]()
    for record in records:
        event = record.event
        if record.position == position:
            event = Event(**{**{name: getattr(event, name) for name in event.__struct_fields__}, **change})  # type: ignore[arg-type]
        expected = {record.stream: versions.get(record.stream, 0)}
        versions[record.stream] = record.version
        journal.append([Entry(record.stream, event, record.key)], expected, {})
    return journal


@pytest.fixture(scope="module")
def records() -> list[Record]:
    with Sandbox(seed=2) as sandbox:
        till.serve(sandbox, 40, 2)
        return list(sandbox.journal.records())


def test_a_journal_that_was_not_touched_is_sound(make: MakeJournal) -> None:
    journal = make()
    with Sandbox(seed=2, store=journal) as sandbox:
        facts = till.serve(sandbox, 40, 2)
        report = sandbox.verify()
        assert report == verify(journal, journal.head)._replace(heads_seen=False)
        assert report.orders == len(list(sandbox.orders())) >= len({fact["order"] for fact in facts})
        assert (report.length, report.head, report.sums) == (journal.position, journal.head, {"CNY": 0})
        for history in histories(journal):
            order = sandbox.order(history.id)
            assert (history.book.state, history.shop.state) == (order.book.state, order.state)
            assert replay(journal, history.id).due() == history.due()


def test_an_empty_journal_is_sound(make: MakeJournal) -> None:
    with closing(make()) as journal:
        assert verify(journal, GENESIS)[:4] == (0, GENESIS, 0, {})


def test_every_earlier_head_is_proved_and_no_other(make: MakeJournal, records: list[Record]) -> None:
    with closing(make()) as journal:
        for number in range(3):
            journal.append([Entry("note/1", Event("noted", number))], {"note/1": number}, {})
        for record in journal.records():
            assert verify(journal, record.hash).heads_seen
        with pytest.raises(JournalDamaged, match="cut or rewritten") as caught:
            verify(journal, records[0].hash)
        assert caught.value.position == 4


def test_progress_is_told_and_never_goes_back(make: MakeJournal) -> None:
    journal, told = make(), list[int]()
    with Sandbox(seed=2, store=journal) as sandbox:
        till.serve(sandbox, 90, 2)
        report = verify(journal, progress=told.append)
    assert told == sorted(told)
    assert len(told) > 2
    assert told[-1] == report.length + report.orders


FACTS: dict[str, tuple[str, dict[str, object]]] = {
    # what was done -> (the fact that is forged, how)
    "a fact that the state does not allow": ("presented", {"kind": "settled", "data": {}}),
    "a fact that nobody knows": ("presented", {"kind": "blessed", "data": {}}),
    "more refunded than captured": ("refunded", {"amount_minor": 10**9, "transfers": ()}),
    "a negative amount": ("captured", {"amount_minor": -5, "transfers": ()}),
    "a fact without its data": ("presented", {"data": {}}),
    "data of another type": ("reached", {"data": {"position": "9", "via": "x"}}),
    "a verb that is none": ("asked", {"operation": "x", "data": {"verb": "steal"}}),
    "a second creation": ("submitted", {"kind": "created", "data": {}}),
}


@pytest.mark.parametrize("case", FACTS)
def test_a_forged_history_does_not_replay_and_is_named(
    make: MakeJournal, records: list[Record], case: str
) -> None:
    kind, change = FACTS[case]
    position = next(r.position for r in records if r.event.kind == kind)
    with closing(rewritten(make, records, position, **change)) as journal:
        with pytest.raises(JournalDamaged, match=f"record {position} does not replay") as caught:
            verify(journal)
        assert caught.value.position == position
        assert list(journal.records())


def test_two_forged_histories_name_a_record_of_one(make: MakeJournal, records: list[Record]) -> None:
    positions = [r.position for r in records if r.event.kind == "presented"][:2]
    with closing(rewritten(make, records, positions[0], kind="settled", data={})) as one:
        forged = list(one.records())
    with (
        closing(rewritten(make, forged, positions[1], kind="settled", data={})) as journal,
        pytest.raises(JournalDamaged) as caught,
    ):
        verify(journal)
    assert caught.value.position in positions


def forged(make: MakeJournal, *events: Event) -> Journal:
    """A journal of one stream, each append of which passed the rules of the time."""
    journal = make()
    for version, event in enumerate(events):
        journal.append([Entry("person/a", event)], {"person/a": version}, {})
    return journal


def test_an_account_overdrawn_within_one_append_is_named(make: MakeJournal) -> None:
    """The append looks at the sum of a command, the check at each record: none borrows from a later one."""
    out, back = Transfer("payer/a/held", "fees", "CNY", 5), Transfer("fees", "payer/a/held", "CNY", 5)
    with closing(make()) as journal:
        journal.append([Entry("person/a", Event("x", 0))], {"person/a": 0}, {})
        events = [Event("x", 0, transfers=(out,)), Event("x", 0, transfers=(back,))]
        journal.append([Entry("person/a", event) for event in events], {"person/a": 1}, {})
        with pytest.raises(JournalDamaged, match="record 2: payer/a/held:CNY would be -5") as caught:
            verify(journal)
        assert caught.value.position == 2


def test_money_of_two_currencies_sums_to_zero_in_each(make: MakeJournal) -> None:
    moves = [Transfer("wallet/float", "payer/a/available", currency, 5) for currency in ("CNY", "JPY")]
    with closing(
        forged(
            make, Event("funded", 0, transfers=tuple(moves)), Event("counted", 0, counts=(("limit/x", 3, 9),))
        )
    ) as journal:
        assert verify(journal).sums == sums(journal) == {"CNY": 0, "JPY": 0}


class Forgetful(MemoryJournal):
    """A store that loses what it has beside its records."""

    lost = ""

    def find(self, key: str) -> str:
        return "" if self.lost == "keys" else super().find(key)

    def streams(self, prefix: str) -> object:  # type: ignore[override]
        for name, events in super().streams(prefix):
            yield name, events[:-1] if self.lost == name else events

    def stream(self, name: str) -> list[Event]:
        return super().stream(name)[:-1] if self.lost == name else super().stream(name)


@pytest.mark.parametrize("kind", ["order", "shop", "person", "code"])
def test_a_record_that_its_stream_does_not_have_is_named(kind: str) -> None:
    journal = Forgetful()
    with Sandbox(seed=2, store=journal) as sandbox:
        till.serve(sandbox, 20, 2)
    newest = next(r for r in reversed(list(journal.records())) if r.stream.startswith(f"{kind}/"))
    assert verify(journal)
    journal.lost = newest.stream
    with pytest.raises(JournalDamaged) as caught:
        verify(journal)
    assert caught.value.position in (newest.position, 0)
    if kind in ("person", "code"):
        assert caught.value.position == newest.position


def test_a_key_that_leads_nowhere_is_named() -> None:
    journal = Forgetful()
    with Sandbox(seed=2, store=journal) as sandbox:
        till.serve(sandbox, 2, 2)
    journal.lost = "keys"
    with pytest.raises(JournalDamaged, match="key") as caught:
        verify(journal)
    assert caught.value.position == next(r.position for r in journal.records() if r.key)


REFUND = [
    Event("created", 0, amount_minor=100, data={"currency": "CNY", "shop": "tea"}),
    Event(
        "captured",
        1,
        "1.1",
        100,
        transfers=accounts.capture(accounts.payer("a"), "tea", "CNY", 100, held=False),
        data={"source": accounts.payer("a")},
    ),
    Event(
        "asked",
        2,
        "1.2",
        60,
        transfers=accounts.refund_begun("tea", "CNY", 60, settled=False),
        data={"verb": "refund"},
    ),
    Event("stranded", 3, "1.2", 60, transfers=accounts.refund_stranded("CNY", 60)),
    Event(
        "refunded",
        4,
        "1.2",
        60,
        transfers=accounts.refund_arrived(accounts.payer("a"), "CNY", 60, stranded=True),
    ),
]
"""A refund that stranded and was given to the payer after all."""


def with_refund(make: MakeJournal, facts: Sequence[Event]) -> Journal:
    journal = make()
    funded = Event("funded", 0, transfers=accounts.fund(accounts.payer("a"), "CNY", 100))
    journal.append([Entry("person/a", funded)], {"person/a": 0}, {})
    journal.append([Entry("order/1", event) for event in facts], {"order/1": 0}, {})
    return journal


@pytest.mark.parametrize("length", range(1, len(REFUND) + 1))
def test_what_the_operator_keeps_is_what_the_open_refunds_say(make: MakeJournal, length: int) -> None:
    with closing(with_refund(make, REFUND[:length])) as journal:
        kept = [journal.tally(f"refund/{name}:CNY") for name in ("suspense", "abnormal")]
        assert kept == [60 * (length == 3), 60 * (length == 4)]
        assert verify(journal).sums == {"CNY": 0}


ELSEWHERE: dict[str, tuple[int, tuple[Transfer, ...]]] = {
    "asked for, and still with the shop": (2, ()),
    "asked for, and with the payer already": (
        2,
        (Transfer("merchant/tea/pending", "payer/a/available", "CNY", 60),),
    ),
    "stranded, and still on its way": (3, ()),
    "stranded, and with the shop again": (
        3,
        (Transfer("refund/suspense", "merchant/tea/pending", "CNY", 60),),
    ),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_an_open_refund_whose_money_is_elsewhere_is_named(make: MakeJournal, case: str) -> None:
    at, transfers = ELSEWHERE[case]
    wrong = msgspec.structs.replace(REFUND[at], transfers=transfers)
    with (
        closing(with_refund(make, [*REFUND[:at], wrong])) as journal,
        pytest.raises(JournalDamaged, match=r"refund/(suspense|abnormal):CNY is"),
    ):
        verify(journal)


SUMS = [
    # authorized, captured, refunded -> whether that may be
    (10, 10, 10, True),
    (10, 5, 0, True),
    (0, 0, 0, True),
    (10, 11, 0, False),
    (10, 5, 6, False),
    (10, 5, -1, False),
]


@pytest.mark.parametrize(("authorized", "captured", "refunded", "right"), SUMS)
def test_sums_of_an_order(authorized: int, captured: int, refunded: int, right: bool) -> None:
    book = Transaction("1")
    book.authorized_minor, book.captured_minor, book.refunded_minor = authorized, captured, refunded
    if right:
        check_sums(book)
        return
    with pytest.raises(InvariantBroken, match="order 1: refunded"):
        check_sums(book)
