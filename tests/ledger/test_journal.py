"""The chain: what a hash covers, and which change to a line is seen."""

from __future__ import annotations

import contextlib
import hashlib

import pytest

from paysim.core.errors import InvariantBroken, JournalDamaged, VersionConflict
from paysim.core.event import Entry, Event, Transfer
from paysim.ledger.journal import (
    GENESIS,
    Line,
    MemoryJournal,
    chain,
    decode_event,
    prepare,
    read,
    settle_tally,
)

EVENT = Event("noted", 7)
FUND = Transfer("wallet/float", "payer/a/available", "CNY", 500)


def filled() -> MemoryJournal:
    journal = MemoryJournal()
    journal.append([Entry("order/1", EVENT, "op/1"), Entry("shop/1", EVENT)], {"order/1": 0, "shop/1": 0}, {})
    journal.append(
        [Entry("order/1", Event("funded", 8, transfers=(FUND,)))], {"order/1": 1}, {"1": (None, 90)}
    )
    return journal


def test_a_hash_is_over_the_one_before_and_the_record() -> None:
    """As the module says, worked out by hand: anybody can check a journal with SHA-256 alone."""
    text = b'1\norder/1\n1\nop/1\n{"kind":"noted","at_ms":7}'
    first = hashlib.sha256(bytes(32) + text).digest()
    second = hashlib.sha256(first + b'2\nshop/1\n1\n\n{"kind":"noted","at_ms":7}').digest()
    records = list(filled().records())
    assert [record.hash for record in records[:2]] == [first, second]
    assert chain(GENESIS, 1, "order/1", 1, "op/1", b'{"kind":"noted","at_ms":7}') == first
    assert [record[:4] for record in records] == [
        (1, "order/1", 1, "op/1"),
        (2, "shop/1", 1, ""),
        (3, "order/1", 2, ""),
    ]


CHANGES = {
    "the position": {"position": 9},
    "the stream": {"stream": "order/2"},
    "the version": {"version": 3},
    "the key": {"key": "x"},
    "the event": {"event": b'{"kind":"noted","at_ms":8}'},
    "the hash": {"hash": bytes(32)},
}


@pytest.mark.parametrize("position", [1, 2, 3])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_line_is_named(position: int, change: str) -> None:
    lines = filled()._lines
    lines[position - 1] = lines[position - 1]._replace(**CHANGES[change])
    records = read(lines)
    for _ in range(position - 1):
        next(records)
    with pytest.raises(JournalDamaged) as caught:
        next(records)
    assert caught.value.position == position


@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_line_is_named(missing: int) -> None:
    lines = filled()._lines
    del lines[missing - 1]
    with pytest.raises(JournalDamaged, match=f"record {missing} is missing") as caught:
        list(read(lines))
    assert caught.value.position == missing


def test_two_lines_in_each_others_place_are_named() -> None:
    lines = filled()._lines
    lines[0], lines[1] = lines[1]._replace(position=1), lines[0]._replace(position=2)
    with pytest.raises(JournalDamaged) as caught:
        list(read(lines))
    assert caught.value.position == 1


def test_a_part_is_read_after_its_predecessor() -> None:
    lines = filled()._lines
    assert [record.position for record in read(lines[1:], 1, lines[0].hash)] == [2, 3]
    with pytest.raises(JournalDamaged):
        list(read(lines[1:], 1, GENESIS))


NO_EVENTS = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "no kind": b'{"at_ms":1}',
    "no time": b'{"kind":"x"}',
    "a time that is a text": b'{"kind":"x","at_ms":"1"}',
    "no UTF-8": b'{"kind":"\xff","at_ms":1}',
    "half a surrogate": b'{"kind":"\\ud800","at_ms":1}',
    "a number of 5,000 digits": b'{"kind":"x","at_ms":' + b"1" * 5_000 + b"}",
    "brackets without end": b'{"kind":"x","at_ms":1,"data":{"x":' + b"[" * 100_000,
    "an unknown outcome": b'{"kind":"x","at_ms":1,"outcome":{"kind":"perhaps"}}',
    "half a transfer": b'{"kind":"x","at_ms":1,"transfers":[["a","b"]]}',
}


@pytest.mark.parametrize("case", NO_EVENTS)
def test_what_is_no_event_is_named(case: str) -> None:
    body = NO_EVENTS[case]
    with pytest.raises(JournalDamaged, match="record 1 is no event") as caught:
        decode_event(body, 1)
    assert caught.value.position == 1
    line = Line(1, "order/1", 1, "", body, chain(GENESIS, 1, "order/1", 1, "", body))
    with pytest.raises(JournalDamaged, match="record 1 is no event"):
        list(read([line]))


def test_an_append_numbers_its_records_and_adds_up_its_transfers() -> None:
    back = Transfer("payer/a/available", "wallet/float", "CNY", 200)
    entries = [
        Entry("order/1", Event("funded", 1, transfers=(FUND, back))),
        Entry("shop/1", EVENT),
        Entry("order/1", Event("counted", 1, counts=(("limit/x", 3, 10), ("limit/x", 4, 8)))),
    ]
    prepared = prepare(entries, {"order/1": 4, "shop/1": 0}, 10, GENESIS)
    assert [line[:3] for line in prepared.lines] == [
        (11, "order/1", 5),
        (12, "shop/1", 1),
        (13, "order/1", 6),
    ]
    assert prepared.adds == {"wallet/float:CNY": -300, "payer/a/available:CNY": 300, "limit/x": 7}
    assert prepared.ceilings == {"limit/x": 8}


TALLIES = [
    # account or counter, before, add, ceiling -> after, or None where it must not be
    ("payer/a/available:CNY", 5, -5, None, 0),
    ("payer/a/available:CNY", 5, -6, None, None),
    ("merchant/a/pending:CNY", 0, -1, None, None),
    ("wallet/float:CNY", 0, -6, None, -6),
    ("bank/reserve:CNY", 0, -6, None, -6),
    ("offline/loss:CNY", 0, -6, None, -6),
    ("payer/a/available:CNY", -9, 4, None, -5),  # what is wrong already may get better
    ("limit/x", 5, 5, 10, 10),
    ("limit/x", 5, 6, 10, None),
    ("limit/x", 5, 6, None, 11),
    ("fees:CNY", 2**62, 1, None, None),
    ("wallet/float:CNY", -(2**62), -1, None, None),
]


@pytest.mark.parametrize(("name", "before", "add", "ceiling", "after"), TALLIES)
def test_floors_and_ceilings(
    name: str, before: int, add: int, ceiling: int | None, after: int | None
) -> None:
    if after is not None:
        assert settle_tally(name, before, add, ceiling) == after
        return
    with pytest.raises(InvariantBroken, match=name):
        settle_tally(name, before, add, ceiling)


def test_a_journal_in_memory_answers_what_was_appended() -> None:
    journal = filled()
    assert journal.position == 3
    assert journal.head == journal._lines[-1].hash
    assert [event.kind for event in journal.stream("order/1")] == ["noted", "funded"]
    assert journal.stream("order/2") == []
    assert (journal.find("op/1"), journal.find("op/2")) == ("order/1", "")
    assert journal.tally("payer/a/available:CNY") == 500
    assert journal.tallies("payer/") == [("payer/a/available:CNY", 500)]
    assert (journal.due(89), journal.due(90), journal.timers()) == (None, (90, "1"), [("1", 90)])
    newest = journal.newest()
    assert newest is not None
    assert newest.kind == "funded"
    assert [name for name, _ in journal.streams("order/")] == ["order/1"]
    assert not journal.changed()


def test_an_empty_journal_in_memory_answers_nothing() -> None:
    journal = MemoryJournal()
    assert (journal.position, journal.head, journal.newest(), journal.due(2**62)) == (0, GENESIS, None, None)
    assert (list(journal.records()), journal.tallies(), journal.timers()) == ([], [], [])


def test_a_timer_that_was_moved_rings_once() -> None:
    journal = MemoryJournal()
    for number, change in enumerate([(None, 5), (5, 9), (9, 7), (7, None), (None, 8)]):
        journal.append([Entry("order/1", EVENT)], {"order/1": number}, {"1": change})
    assert journal.due(100) == (8, "1")
    assert journal.timers() == [("1", 8)]


def test_a_stream_that_moved_on_is_a_conflict() -> None:
    for expected in (0, 2, 9):
        with pytest.raises(VersionConflict, match="order/1"):
            filled().append(
                [Entry("shop/1", EVENT)], {"order/1": expected + (expected == 2), "shop/1": 1}, {}
            )


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        ("person/", ["person/alice", "person/bob"]),
        ("person/a", ["person/alice"]),
        ("order/", ["order/1", "order/2"]),
        ("nobody/", []),
        ("", ["order/1", "order/2", "person/alice", "person/bob"]),
    ],
)
def test_streams_are_found_by_how_their_names_begin(prefix: str, names: list[str]) -> None:
    journal = MemoryJournal()
    for name in ("person/bob", "order/2", "person/alice", "order/1"):
        journal.append([Entry(name, Event("opened", 1))], {name: 0}, {})
    with contextlib.suppress(KeyError), journal.batch():
        journal.append([Entry("person/carol", Event("opened", 1))], {"person/carol": 0}, {})
        raise KeyError
    assert [name for name, _ in journal.streams(prefix)] == names
