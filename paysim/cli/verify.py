"""`paysim verify`: prove a journal, or keep what is readable of a damaged one."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from paysim.core.errors import JournalDamaged, UsageError
from paysim.ledger.invariants import verify
from paysim.store import SqliteJournal, repair

from .screen import Screen

__all__ = ["run"]


def run(arguments: Namespace, screen: Screen) -> int:
    """Check, and repair where asked. 0 sound, 1 damaged (0 once repaired)."""
    path = Path(arguments.file)
    head = _hash(arguments.head)
    if not path.exists():
        raise UsageError(f"there is no file {path}")
    try:
        return _check(path, head, screen)
    except JournalDamaged as damage:
        screen.result({"valid": False, "position": damage.position, "error": str(damage)})
        if not arguments.repair:
            screen.complain(f"{damage}\npaysim: `paysim verify {path} --repair` keeps every record before it")
            return 1
        screen.complain(str(damage))
    return _repair(path, screen)


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


def _check(path: Path, head: bytes | None, screen: Screen) -> int:
    journal = SqliteJournal(path, read_only=True)
    try:
        with screen.progress("checking", 2 * journal.position) as show:
            report = verify(journal, head, show)
    finally:
        journal.close()
    sums = ", ".join(f"{currency} {minor}" for currency, minor in sorted(report.sums.items())) or "no money yet"
    screen.say(f"{path}: sound")
    screen.say(f"  records  {report.length}")
    screen.say(f"  orders   {report.orders}")
    screen.say(f"  sums     {sums}")
    screen.say(f"  head     {report.head.hex()}")
    if head is not None:
        screen.say("  nothing was rewritten or cut after the head that was given")
    found = {"valid": True, "records": report.length, "orders": report.orders, "sums": report.sums}
    screen.result({**found, "head": report.head.hex()})
    return 0


def _repair(path: Path, screen: Screen) -> int:
    kept, cut, backup = repair(path)
    screen.say(f"{path}: kept {kept} records; the first that could not be read was {cut}")
    screen.say(f"  the damaged file is {backup}")
    return _check(path, None, screen) if not screen.as_json else 0
