"""`paysim verify`: prove a journal, or keep what is readable of a damaged one."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from paysim.core.errors import JournalDamaged, StoreError, UsageError
from paysim.core.money import Money
from paysim.ledger.invariants import verify
from paysim.store import SqliteJournal

from .screen import Screen

__all__ = ["run"]


def run(arguments: Namespace, screen: Screen) -> int:
    """Check, and repair where asked. 0 sound, 1 damaged (0 once repaired)."""
    path = Path(arguments.file)
    head = _hash(arguments.head)
    try:
        found = _check(path, head, screen)
    except JournalDamaged as damage:
        screen.complain(str(damage))
        if not arguments.repair:
            if "--repair" not in str(damage):
                screen.complain(f"`paysim verify {path} --repair` keeps every record before it")
            screen.result({"valid": False, "position": damage.position, "error": str(damage)})
            return 1
        found = _repair(path, screen)
    except StoreError as error:
        if path.exists():
            raise
        raise UsageError(str(error)) from None
    screen.result(found)
    return 0


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


def _repair(path: Path, screen: Screen) -> dict[str, Any]:
    from paysim.store import repair

    kept, cut, backup = repair(path)
    screen.say(f"{path}: kept {kept} records; the first that could not be read was {cut}")
    screen.say(f"  the damaged file is {backup}")
    return {**_check(path, None, screen), "kept": kept, "cut": cut, "backup": str(backup)}
