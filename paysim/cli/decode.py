"""`paysim decode`: say what a text, a picture or a file is, field by field, faults included."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Final, NamedTuple

from paysim.codec import payment_code
from paysim.core.errors import JournalDamaged, PaysimError, UsageError
from paysim.ledger.invariants import verify
from paysim.qr import consumer, merchant, profiles, router
from paysim.store import SqliteJournal

from .screen import Screen

__all__ = ["run"]

VALID: Final = 0
NOT_VALID: Final = 1
NOT_UNDERSTOOD: Final = 2

_MAX_BYTES: Final = 64 * 1024 * 1024
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_SQLITE: Final = b"SQLite format 3\x00"


class _Found(NamedTuple):
    kind: str
    valid: bool
    issues: list[dict[str, Any]]
    fields: Any
    title: str = ""
    rows: tuple[tuple[str, str, str], ...] = ()


def run(arguments: Namespace, screen: Screen) -> int:
    """Decode the input. 0 valid, 1 not valid, 2 not understood."""
    if arguments.profile is not None and arguments.profile not in profiles.PROFILES:
        raise UsageError(f"there is no profile {arguments.profile!r}; there are {', '.join(sorted(profiles.PROFILES))}")
    found = _decode(arguments)
    screen.result({"kind": found.kind, "valid": found.valid, "issues": found.issues, "fields": found.fields})
    _show(found, screen)
    return NOT_UNDERSTOOD if found.kind == "unknown" else VALID if found.valid else NOT_VALID


def _decode(arguments: Namespace) -> _Found:
    given = arguments.input
    if given == "-":
        return _bytes(sys.stdin.buffer.read(_MAX_BYTES + 1), arguments, None)
    path = _file(given)
    if path is None:
        return _text(given, arguments)
    with path.open("rb") as file:
        return _bytes(file.read(_MAX_BYTES + 1), arguments, path)


def _file(given: str) -> Path | None:
    try:
        path = Path(given)
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def _bytes(data: bytes, arguments: Namespace, path: Path | None) -> _Found:
    if data.startswith(_SQLITE) and path is not None:
        return _journal(path)
    if len(data) > _MAX_BYTES:
        return _unknown(f"more than {_MAX_BYTES} bytes")
    if data.startswith(_PICTURES):
        return _picture(data, arguments)
    try:
        return _text(data.decode().strip("\r\n"), arguments)
    except UnicodeDecodeError as error:
        return _unknown(f"{len(data)} bytes that are no picture, no journal and no UTF-8 text ({error.reason})")


def _picture(data: bytes, arguments: Namespace) -> _Found:
    from paysim.qr import scan

    try:
        texts = scan.scan(data)
    except UsageError:
        raise
    except PaysimError as error:
        return _unknown(str(error))
    if not texts:
        return _unknown("a picture without a code")
    found = [_text(text, arguments) for text in texts]
    return next((one for one in found if one.kind != "unknown"), found[0])


def _journal(path: Path) -> _Found:
    try:
        journal = SqliteJournal(path, read_only=True)
        try:
            report = verify(journal)
        finally:
            journal.close()
    except JournalDamaged as damage:
        issue = {"code": "JOURNAL_DAMAGED", "path": str(path), "offset": damage.position, "text": str(damage)}
        return _Found("journal", False, [issue], {})
    except PaysimError as error:
        return _unknown(str(error))
    fields = {"records": report.length, "orders": report.orders, "sums": report.sums, "head": report.head.hex()}
    return _Found("journal", True, [], fields, "", tuple(("", name, str(value)) for name, value in fields.items()))


def _text(text: str, arguments: Namespace) -> _Found:
    return _KINDS.get(router.route(text).kind, _other)(text, arguments)


def _merchant(text: str, arguments: Namespace) -> _Found:
    code = merchant.decode(text, mode=arguments.mode, profile=arguments.profile)
    title = f"profile {code.profile}" if code.profile else ""
    return _Found("emvqr.merchant", code.valid, _issues(code.issues), code.fields, title, code.explain())


def _consumer(text: str, _arguments: Namespace) -> _Found:
    code = consumer.decode(text)
    return _Found("emvqr.consumer", code.valid, _issues(code.issues), code.tlv, "", code.explain())


def _payment_code(text: str, _arguments: Namespace) -> _Found:
    code = payment_code.decode(text)
    if code is None:
        return _unknown("digits of no wallet")
    fields = {"scheme": code.scheme, "text": code.text}
    return _Found("payment_code", True, [], fields, "", tuple(("", name, text) for name, text in fields.items()))


def _other(text: str, arguments: Namespace) -> _Found:
    # What is wrong with it as a merchant's code is the best that can be said of a text nobody knows.
    code = merchant.decode(text, mode=arguments.mode, profile=arguments.profile)
    looks = router.route(text).kind
    return _Found("unknown", False, _issues(code.issues), {}, "" if looks == "unknown" else f"looks like: {looks}")


_KINDS: Final = {"emvqr.merchant": _merchant, "emvqr.consumer": _consumer, "payment_code": _payment_code}


def _unknown(why: str) -> _Found:
    return _Found("unknown", False, [], {}, why)


def _issues(issues: Any) -> list[dict[str, Any]]:
    return [{"code": i.code, "path": i.path, "offset": i.offset, "text": i.text} for i in issues]


def _show(found: _Found, screen: Screen) -> None:
    verdict = "valid" if found.valid else "not understood" if found.kind == "unknown" else "NOT valid"
    screen.head(f"{found.kind}: {verdict}" + (f" ({found.title})" if found.title else ""))
    for path, name, text in found.rows:
        screen.say(f"  {path:<12} {name:<32} {text}".rstrip())
    for issue in found.issues:
        screen.say(f"  ! {issue['code']:<24} at {issue['path'] or '-'}, offset {issue['offset']}: {issue['text']}")

