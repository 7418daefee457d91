"""The rules that a history never breaks, checked before each append and again by `verify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from itertools import groupby
from typing import Final, NamedTuple

from paysim.core.callback import Callback
from paysim.core.errors import InvalidTransition, InvariantBroken, JournalDamaged
from paysim.core.event import Event, Record
from paysim.core.history import History
from paysim.core.operation import Status, Verb
from paysim.core.ports import Journal
from paysim.core.transaction import Transaction

from .accounts import REFUND_ABNORMAL, REFUND_SUSPENSE, is_account, tally_name
from .journal import GENESIS, post, settle_tally

__all__ = ["Report", "callback_timers", "check_sums", "histories", "replay", "settle", "sums", "verify"]

_STEP: Final = 256
"""How many records or orders pass between two reports of progress."""

_PAYMENT: Final = ("order", "shop")
"""The kinds of the two streams of a payment."""

_KEPT: Final = (f"{REFUND_SUSPENSE}:", f"{REFUND_ABNORMAL}:")
"""The tallies of what the operator keeps of refunds that are open."""

_ANEW: Final = "`paysim verify FILE --repair` counts it anew"


def check_sums(book: Transaction) -> None:
    """Raises InvariantBroken unless done + open refunds <= captured <= authorized, and none is negative."""
    if not 0 <= book.refunded_minor + book.refunding_minor <= book.captured_minor <= book.authorized_minor:
        raise InvariantBroken(
            f"order {book.id}: refunded {book.refunded_minor} + {book.refunding_minor} open <= captured "
            f"{book.captured_minor} <= authorized {book.authorized_minor} does not hold"
        )


def sums(journal: Journal) -> dict[str, int]:
    """The sum of all accounts, by currency: each is zero, or money came from nowhere."""
    totals: dict[str, int] = {}
    for name, minor in journal.tallies():
        if is_account(name):
            currency = name.rpartition(":")[2]
            totals[currency] = totals.get(currency, 0) + minor
    return totals


class Report(NamedTuple):
    """What `verify` saw: how many records, the head hash, how many orders, and the sums by currency."""

    length: int
    head: bytes
    orders: int
    sums: dict[str, int]
    heads_seen: bool


Progress = Callable[[int], None]


def verify(journal: Journal, head: bytes | None = None, progress: Progress = lambda _count: None) -> Report:
    """Check chain, replay and every invariant of a journal.

    With `head`, the hash of an earlier state, also that nothing was rewritten or cut after it. `progress` is
    called now and then with the count of records and orders seen. Raises JournalDamaged at the first fault,
    with its position; position 0 says that every record is good, and only balances or timers are wrong.
    """
    with journal.snapshot():
        tallies: dict[str, int] = {}
        kinds: Counter[str] = Counter()
        count, last, seen = 0, GENESIS, head in (None, GENESIS)
        for record in journal.records():
            count, last = record.position, record.hash
            seen = seen or last == head
            kinds[record.stream.partition("/")[0]] += 1
            if record.key and journal.find(record.key) != record.stream:
                raise JournalDamaged(f"the key of record {count} leads to another record", position=count)
            settle(record, tallies)
            if not count % _STEP:
                progress(count)
        if not seen:
            raise JournalDamaged(
                "the head that was given is not in this journal, which was cut or rewritten; find a copy "
                "that has it",
                position=count + 1,
            )
        journal.check()
        orders = _check_folds(journal, kinds, tallies, lambda done: progress(count + done))
        progress(count + orders)
        totals = sums(journal)
        if any(totals.values()):
            raise JournalDamaged(f"the accounts do not sum to zero: {totals}", position=count)
        return Report(count, last, orders, totals, head is not None)


def settle(record: Record, tallies: dict[str, int]) -> None:
    """Add what a record says to the tallies.

    Raises JournalDamaged where a transfer, a floor or a ceiling does not hold.
    """
    event, position = record.event, record.position
    if not (event.transfers or event.counts):
        return
    adds: dict[str, int] = {}
    ceilings: dict[str, int] = {}
    try:
        post(event, adds, ceilings)
        for name, minor in adds.items():
            tallies[name] = settle_tally(name, tallies.get(name, 0), minor, ceilings.get(name))
    except InvariantBroken as error:
        raise JournalDamaged(f"record {position}: {error}", position=position) from None


def _check_folds(
    journal: Journal, kinds: Mapping[str, int], tallies: dict[str, int], progress: Progress
) -> int:
    """How many orders there are; what the journal keeps beside its records is compared with them."""
    if sorted(tallies.items()) != journal.tallies():
        wrong = dict(set(tallies.items()) ^ set(journal.tallies()))
        raise JournalDamaged(f"the balance {min(wrong)} is not the sum of the records; {_ANEW}")
    orders = 0
    kept: Counter[str] = Counter()
    timers: list[tuple[str, int]] = []
    found = sum(
        len(events) for kind in kinds if kind not in _PAYMENT for _, events in journal.streams(f"{kind}/")
    )
    for history in histories(journal):
        orders += 1
        kept.update(_kept(history.book))
        found += history.book_version + history.shop_version
        due_ms = history.due_ms()
        if due_ms is not None:
            timers.append((history.id, due_ms))
        if not orders % _STEP:
            progress(orders)
    timers += callback_timers(journal)
    for name in sorted(one for one in {*kept, *tallies} if one.startswith(_KEPT)):
        if kept[name] != tallies.get(name, 0):
            raise JournalDamaged(
                f"{name} is {tallies.get(name, 0)}, the open refunds say {kept[name]}",
                position=sum(kinds.values()),
            )
    if found != sum(kinds.values()):
        raise JournalDamaged("a record is not found by its stream", position=_first_lost(journal))
    if timers != journal.timers():
        wrong = dict(set(timers) ^ set(journal.timers()))
        raise JournalDamaged(f"the timer of {min(wrong)} is not what the records leave open; {_ANEW}")
    return orders


def _kept(book: Transaction) -> dict[str, int]:
    """What the operator keeps of an order's refunds until they end, by tally."""
    kept: Counter[str] = Counter()
    for operation in book.operations.values():
        if operation.verb is Verb.REFUND and operation.open:
            account = REFUND_ABNORMAL if operation.status is Status.ABNORMAL else REFUND_SUSPENSE
            kept[tally_name(account, book.currency)] += operation.amount_minor
    return kept


def callback_timers(journal: Journal) -> Iterator[tuple[str, int]]:
    """When each callback that is still owed goes out: (name of its timer, Unix ms), in order of name.

    Raises JournalDamaged where the facts of a callback make no sense.
    """
    for name, events in journal.streams("callback/"):
        due_ms = Callback(name.partition("/")[2], events).due_ms
        if due_ms is None:
            continue
        if type(due_ms) is not int:
            raise JournalDamaged(f"{name} says {due_ms!r} of when it is due")
        yield name, due_ms


def _first_lost(journal: Journal) -> int:
    lengths: dict[str, int] = {}
    for record in journal.records():
        if record.stream not in lengths:
            lengths[record.stream] = len(journal.stream(record.stream))
        if record.version > lengths[record.stream]:
            return record.position
    return 0


def histories(journal: Journal) -> Iterator[History]:
    """The history of every order in order of id, folded anew as `replay` does."""
    streams = merge(*(journal.streams(f"{kind}/") for kind in _PAYMENT), key=_identity)
    for identity, group in groupby(streams, _identity):
        events = {name.partition("/")[0]: facts for name, facts in group}
        yield _fold(journal, identity, events.get("order", []), events.get("shop", []))


def _identity(stream: tuple[str, list[Event]]) -> str:
    return stream[0].partition("/")[2]


def replay(journal: Journal, identity: str) -> History:
    """The history of one order, folded anew with its sums checked after each of the operator's facts.

    Raises JournalDamaged where the records do not follow the state table or break a sum.
    """
    return _fold(journal, identity, journal.stream(f"order/{identity}"), journal.stream(f"shop/{identity}"))


def _fold(journal: Journal, identity: str, book: list[Event], shop: list[Event]) -> History:
    history = History(identity)
    kind = "order"
    try:
        for event in book:
            history.at_operator(event)
            check_sums(history.book)
        kind = "shop"
        for event in shop:
            history.at_shop(event)
        history.due()
    except (InvalidTransition, InvariantBroken, LookupError, TypeError, ValueError, AttributeError) as error:
        version = (history.book_version if kind == "order" else history.shop_version) + 1
        position = _position(journal, f"{kind}/{identity}", version)
        raise JournalDamaged(f"record {position} does not replay: {error}", position=position) from None
    return history


def _position(journal: Journal, stream: str, version: int) -> int:
    """Where a record is, or the one before it."""
    return max(r.position for r in journal.records() if r.stream == stream and r.version <= version)
