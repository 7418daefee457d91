"""The rules that a history never breaks, checked before each append and again by `verify`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from paysim.core.errors import InvalidTransition, InvariantBroken, JournalDamaged
from paysim.core.event import Record
from paysim.core.history import History
from paysim.core.ports import Journal
from paysim.core.transaction import Transaction

from .accounts import is_account
from .journal import post, settle_tally

__all__ = ["Report", "check_sums", "sums", "verify"]


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


def verify(
    journal: Journal, head: bytes | None = None, progress: Callable[[int], None] = lambda _count: None
) -> Report:
    """Check chain, replay and every invariant of a journal.

    With `head`, the hash of an earlier state, also that nothing was rewritten or cut after it. `progress` is
    called with the count of records and orders seen. Raises JournalDamaged at the first fault.
    """
    tallies: dict[str, int] = {}
    versions: dict[str, int] = {}
    keys: set[str] = set()
    seen = head is None
    last = bytes(32)
    count = 0
    for record in journal.records():
        count += 1
        last = record.hash
        seen = seen or last == head
        if record.version != versions.get(record.stream, 0) + 1 or record.key in keys:
            raise JournalDamaged(f"record {count} repeats a version or a key", position=count)
        versions[record.stream] = record.version
        if record.key:
            keys.add(record.key)
        _replay_tallies(record, tallies)
        progress(count)
    if not seen:
        raise JournalDamaged("the head that was given is not in this journal: it was cut or rewritten", position=count)
    if sorted(tallies.items()) != journal.tallies():
        raise JournalDamaged("the stored balances are not the sums of the records", position=count)
    orders = _replay_orders(journal, versions, lambda done: progress(count + done))
    totals = sums(journal)
    if any(totals.values()):
        raise JournalDamaged(f"the accounts do not sum to zero: {totals}", position=count)
    return Report(count, last, orders, totals, head is not None)


def _replay_tallies(record: Record, tallies: dict[str, int]) -> None:
    adds: dict[str, int] = {}
    ceilings: dict[str, int] = {}
    try:
        post(record.event, adds, ceilings)
        for name, minor in adds.items():
            tallies[name] = settle_tally(name, tallies.get(name, 0), minor, ceilings.get(name))
    except InvariantBroken as error:
        raise JournalDamaged(f"record {record.position}: {error}", position=record.position) from None


def _replay_orders(journal: Journal, versions: dict[str, int], progress: Callable[[int], None]) -> int:
    timers: list[tuple[str, int]] = []
    identities = sorted({name.partition("/")[2] for name in versions if name.startswith(("order/", "shop/"))})
    for done, identity in enumerate(identities, 1):
        due_ms = replay(journal, identity).due_ms()
        if due_ms is not None:
            timers.append((identity, due_ms))
        progress(done)
    if timers != journal.timers():
        raise JournalDamaged("the stored timers are not those that the records leave open", position=journal.position)
    return len(identities)


def replay(journal: Journal, identity: str) -> History:
    """The history of one order, folded anew with its sums checked after each of the operator's facts.

    Raises JournalDamaged where the records do not follow the state table or break a sum.
    """
    history = History(identity)
    try:
        for event in journal.stream(f"order/{identity}"):
            history.at_operator(event)
            check_sums(history.book)
        for event in journal.stream(f"shop/{identity}"):
            history.at_shop(event)
    except (InvalidTransition, InvariantBroken, KeyError, TypeError, ValueError) as error:
        raise JournalDamaged(f"order {identity} does not replay: {error}", position=journal.position) from None
    return history
