"""`paysim verify`: prove a journal, or keep what is readable of a damaged one."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from paysim.core.errors import JournalDamaged, StoreError, UsageError
from paysim.core.money import Money
from paysim.ledger.invariants import verify
from paysim.store import SqliteJournal, repair

from . import given
from .screen import Screen

__all__ = ["run"]


def run(arguments: Namespace, screen: Screen) -> int:
    """Check, and repair where asked. 0 sound, 1 damaged (0 once repaired)."""
    path = given.path_of(arguments.file)
    head = _hash(arguments.head)
    try:
        found = _check(path, head, screen)
    except JournalDamaged as damage:
        screen.complain(_advised(damage, path, head))
        found = _repair(path, head, screen) if arguments.repair else _refused(damage)
    except StoreError as error:
        if path.exists():
            raise
        raise UsageError(str(error)) from None
    screen.result(found)
    return 0 if found["valid"] else 1


def _hash(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        head = bytes.fromhex(text)
    except ValueError:
        head = b""
    if len(head) != 32:
        raise UsageError("a head hash is 64 hex digits, as `paysim verify` prints it")
    return head


def _check(path: Path, head: bytes | None, screen: Screen) -> dict[str, Any]:
    journal = SqliteJournal(path, read_only=True)
    try:
        with screen.progress("checking", 2 * journal.position) as show:
            report = verify(journal, head, show)
    finally:
        journal.close()
    sums = ", ".join(str(Money(currency, minor)) for currency, minor in sorted(report.sums.items()))
    rows = [
        ("records", str(report.length)),
        ("orders", str(report.orders)),
        ("sums", sums or "no money yet"),
        ("head", report.head.hex()),
    ]
    screen.head(f"{path}: sound", good=True)
    for name, value in rows:
        screen.say(f"  {name:<8} {value}")
    if head is not None:
        screen.say("  nothing was rewritten or cut after the head that was given")
    found = {"valid": True, "records": report.length, "orders": report.orders, "sums": report.sums}
    return {**found, "head": report.head.hex()}


def _advised(damage: JournalDamaged, path: Path, head: bytes | None) -> str:
    """What is damaged, and what mends it; no repair brings back a head that was cut off."""
    if head is not None or "--repair" in str(damage):
        return str(damage)
    return f"{damage}; `paysim verify {path} --repair` keeps what is readable"


def _refused(damage: JournalDamaged) -> dict[str, Any]:
    return {"valid": False, "position": damage.position, "error": str(damage)}


def _repair(path: Path, head: bytes | None, screen: Screen) -> dict[str, Any]:
    kept, cut, backup = repair(path)
    what = f"the first that could not be read was {cut}" if cut else "no record was lost"
    screen.say(f"{path}: kept {kept} records; {what}")
    if backup is not None:
        screen.say(f"  the damaged file is {backup}")
    done = {"kept": kept, "cut": cut, "backup": str(backup) if backup else None}
    try:
        return {**_check(path, head, screen), **done}
    except JournalDamaged as damage:
        screen.complain(str(damage))
        return {**_refused(damage), **done}
