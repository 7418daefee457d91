"""`paysim decode`: say what a text, a picture or a file is, field by field, faults included."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paysim.codec.issue import issue
from paysim.core.errors import ConfigError, JournalDamaged, PaysimError, UsageError
from paysim.core.money import Money
from paysim.operators.wechat import numbers
from paysim.qr import consumer, merchant, profiles, router

from . import decode_callback, given
from .given import UnreadableError
from .screen import Screen

if TYPE_CHECKING:
    from . import decode_emv

__all__ = ["run"]

VALID: Final = 0
NOT_VALID: Final = 1
NOT_UNDERSTOOD: Final = 2

_MAX_PICTURE_BYTES: Final = 32 * 1024 * 1024
_MAX_TEXT_BYTES: Final = 64 * 1024
_MAX_CHARACTERS: Final = 4296  # in the largest QR symbol (ISO/IEC 18004, version 40-L, alphanumeric)
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_SQLITE: Final = b"SQLite format 3\x00"
_JOURNAL: Final = b"PSIM"  # where SQLite keeps the application's mark
_MARK: Final = slice(68, 72)

Row = tuple[str, str, str]


class _Found(NamedTuple):
    """What something is; `rows` are its objects for people, `notes` what else is worth saying."""

    kind: str
    valid: bool
    issues: tuple[dict[str, Any], ...]
    fields: Any
    title: str = ""
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return NOT_UNDERSTOOD if self.kind == "unknown" else VALID if self.valid else NOT_VALID


def run(arguments: Namespace, screen: Screen) -> int:
    """Decode the input. 0 valid, 1 not valid, 2 not understood.

    Of a picture with several codes the first that is understood is the result; people see all of them.
    """
    try:
        all_found = _decode(arguments, screen)
    except UnreadableError as error:
        all_found = [_unknown(error.code, str(error))]
    found = next((one for one in all_found if one.kind != "unknown"), all_found[0])
    screen.result(
        {"kind": found.kind, "valid": found.valid, "issues": list(found.issues), "fields": found.fields}
    )
    for number, one in enumerate(all_found, 1):
        if len(all_found) > 1:
            screen.head(f"Code {number} of {len(all_found)}")
        _show(one, screen)
    if len(all_found) > 1 and screen.as_json:
        screen.complain(f"{len(all_found)} codes in the picture; this is the first that is understood")
    return found.exit_code


# From the input to a text. -----------------------------------------------------------------------------


def _decode(arguments: Namespace, screen: Screen) -> list[_Found]:
    if arguments.input == "-":
        return _bytes(given.read_stdin(_MAX_PICTURE_BYTES), arguments)
    path = given.file_at(arguments.input) if arguments.input else None
    if path is None:
        return [_text(arguments.input, arguments)]
    start = given.read_file(path, _MARK.stop)
    if start.startswith(_SQLITE):
        return [_journal(path, start, screen)]
    most = _MAX_PICTURE_BYTES if start.startswith(_PICTURES) else _MAX_TEXT_BYTES
    return _bytes(given.read_file(path, most), arguments)


def _bytes(data: bytes, arguments: Namespace) -> list[_Found]:
    if data.startswith(_PICTURES):
        return [_seen(text, _text(text, arguments)) for text in _scanned(data)]
    if data.startswith(_SQLITE):
        raise UnreadableError("NOT_READABLE", "a journal is read from its file, not from standard input")
    return [_text(given.to_text(data, _MAX_TEXT_BYTES), arguments)]


def _scanned(picture: bytes) -> tuple[str, ...]:
    from paysim.qr import scan

    try:
        texts = scan.scan(picture)
    except ConfigError as error:
        raise UnreadableError("NO_SCANNER", str(error)) from None
    except PaysimError as error:
        raise UnreadableError("BAD_PICTURE", str(error)) from None
    if not texts:
        raise UnreadableError(
            "NO_CODE", "no QR code or Code 128 in the picture; try it larger, sharper, or with more contrast"
        )
    return texts


def _seen(text: str, found: _Found) -> _Found:
    """What was scanned; people have not seen the text yet, so an unknown one is shown."""
    return found._replace(notes=(f"The text is {text}", *found.notes)) if found.kind == "unknown" else found


# What each kind says. ----------------------------------------------------------------------------------


def _journal(path: Path, start: bytes, screen: Screen) -> _Found:
    from paysim.ledger.invariants import verify
    from paysim.store import SqliteJournal

    if not _JOURNAL.startswith(start[_MARK]):  # the mark itself may be cut
        return _unknown("NOT_A_JOURNAL", f"{path} is a SQLite file, but no journal of paysim")
    try:
        journal = SqliteJournal(path, read_only=True)
        try:
            with screen.progress("checking", 2 * journal.position) as show:
                report = verify(journal, None, show)
        finally:
            journal.close()
    except JournalDamaged as damage:
        text = str(damage)
        if "--repair" not in text:
            text += f"; `paysim verify {path} --repair` keeps what is readable"
        fault = _fault("JOURNAL_DAMAGED", text, str(path), damage.position)
        return _Found("journal", False, (fault,), {})
    except PaysimError as error:
        return _unknown("NOT_READABLE", str(error))
    fields = {
        "records": report.length,
        "orders": report.orders,
        "sums": report.sums,
        "head": report.head.hex(),
    }
    sums = ", ".join(f"{Money(currency, minor)}" for currency, minor in sorted(report.sums.items()))
    rows = (
        ("", "records", str(report.length)),
        ("", "orders", str(report.orders)),
        ("", "sums", sums or "no money yet"),
        ("", "head", report.head.hex()),
    )
    return _Found("journal", True, (), fields, "", rows)


def _text(text: str, arguments: Namespace) -> _Found:
    if not text:
        return _unknown("EMPTY", "nothing to decode; give a code's text, a file, or - for standard input")
    callback = decode_callback.read(text)
    if callback is not None:
        return _callback(callback)
    if _SAYS_ITSELF.match(text):
        from . import decode_emv  # it knows keys and cards: codes are read without

        emv = decode_emv.read(text)
        if emv is not None:
            return _emv(emv)
    if len(text) > _MAX_CHARACTERS:
        return _bytes_of_card(text) or _unknown(
            "TOO_LONG", f"{len(text)} characters; the largest QR code has {_MAX_CHARACTERS}"
        )
    route = router.route(text)
    if route.kind == "unknown":
        return _bytes_of_card(text) or _other(text, route, arguments)
    return _KINDS.get(route.kind, _other)(text, route, arguments)


def _bytes_of_card(text: str) -> _Found | None:
    """What hex says, where it is an APDU or data objects; a text that is a code's is asked for that first."""
    if not _HEX.fullmatch(text):
        return None
    from . import decode_emv

    emv = decode_emv.read_hex(text)
    return None if emv is None else _emv(emv)


_SAYS_ITSELF: Final = re.compile(
    r'\s*(?:\{\s*"paysim"|[A-Za-z0-9][A-Za-z0-9. ]{0,32}=[0-9A-Fa-f:\s]*$)', re.ASCII
)
"""A recorded tap, or NAME=HEX."""
_HEX: Final = re.compile(r"\s*(?:0[xX])?[0-9A-Fa-f:\s]+", re.ASCII)


def _emv(emv: decode_emv.Read) -> _Found:
    faults = tuple(_fault(code, why, path, offset) for code, path, offset, why in emv.faults)
    return _Found(emv.kind, not faults, faults, emv.fields, emv.title, emv.rows, emv.notes)


def _callback(callback: decode_callback.Envelope) -> _Found:
    faults = tuple(_fault("BAD_CALLBACK", f"{path} {why}", path) for path, why in callback.faults)
    rows = tuple(("", name, value) for name, value in callback.rows)
    return _Found("wechat.callback", not faults, faults, dict(callback.fields), "", rows)


def _merchant(text: str, _route: router.Route, arguments: Namespace) -> _Found:
    code = merchant.decode(text, mode=arguments.mode, profile=arguments.profile)
    row = profiles.PROFILES.get(code.profile or "")
    remarks = profiles.remarks(row, code.fields) if row and arguments.mode != "strict" else ()
    title = "; ".join(filter(None, (_BY[arguments.mode], code.profile and f"profile {code.profile}")))
    notes = tuple(f"Remark: {remark}" for remark in remarks)
    return _Found("emvqr.merchant", code.valid, _issues(code.issues), code.fields, title, _rows(code), notes)


_BY: Final = {"strict": "by EMVCo's rules alone", "profile": "", "lenient": "by lenient rules"}


def _rows(code: merchant.MerchantCode) -> tuple[Row, ...]:
    return tuple((path, name, _meant(path, value)) for path, name, value in code.explain())


def _consumer(text: str, _route: router.Route, _arguments: Namespace) -> _Found:
    code = consumer.decode(text)
    rows = tuple(_objects(code.tlv))
    return _Found("emvqr.consumer", code.valid, _issues(code.issues), code.tlv, "", rows)


def _payment_code(text: str, route: router.Route, arguments: Namespace) -> _Found:
    # A wallet's own digits are no EMV code: strict mode, which knows EMVCo's rules alone, says so.
    strict = arguments.mode == "strict"
    issues = _issues([issue("NOT_EMV_CPM", "", 0)]) if strict else ()
    rows = (("", "scheme", route.scheme), ("", "digits", _masked(text, 2, 2)))
    return _Found("payment_code", not issues, issues, {"scheme": route.scheme, "text": text}, "", rows)


def _other(text: str, route: router.Route, arguments: Namespace) -> _Found:
    if route.kind != "unknown":
        what = route.kind.replace("_", " ")
        hint = "; towards a sandbox `paysim pay` is that app" if numbers.read_shown(text) else ""
        return _unknown(
            route.kind.upper(),
            f"a {what} of {route.scheme}: an app opens it, there is nothing to decode{hint}",
        )
    if numbers.read_shown(text):
        return _unknown("PREPAY_ID", "a prepay id of WeChat Pay: towards a sandbox `paysim pay` pays it")
    if _LINK.match(text):
        return _unknown("UNKNOWN_LINK", "a link that belongs to no wallet that paysim knows")
    if _PATH.fullmatch(text):
        return _unknown("NO_FILE", f"there is no file {text}, and it is no code's text")
    # What is wrong with it as a merchant's code is the best that can be said of a text nobody knows.
    code = merchant.decode(text, mode=arguments.mode, profile=arguments.profile)
    return _Found("unknown", False, _issues(code.issues), code.fields, "", _rows(code), (_HINT,))


_LINK: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATH: Final = re.compile(r"[.~]?/.*|.*\.(?:png|jpe?g|svg|db|sqlite3?|txt|json)", re.DOTALL | re.IGNORECASE)
_HINT: Final = """\
A merchant's code begins with 000201; a payer's code is 16 to 24 digits, or base64 that begins with hQVDUFY;
a card's bytes are hex: a command, an answer, data objects, or one value: TVR=0000008000, 9F10=...
Read as a merchant's code:"""
_KINDS: Final = {"emvqr.merchant": _merchant, "emvqr.consumer": _consumer, "payment_code": _payment_code}


def _unknown(code: str, why: str) -> _Found:
    return _Found("unknown", False, (_fault(code, why),), {})


def _issues(issues: Iterable[Any]) -> tuple[dict[str, Any], ...]:
    return tuple(_fault(one.code, one.text, one.path, one.offset) for one in issues)


def _fault(code: str, text: str, path: str = "", offset: int = 0) -> dict[str, Any]:
    return {"code": code, "path": path, "offset": offset, "text": text}


# Values, for people. -----------------------------------------------------------------------------------

_MEANINGS: Final = {
    ("01", "11"): "static, for many payments",
    ("01", "12"): "dynamic, for one payment",
    ("55", "01"): "the payer is asked for a tip",
    ("55", "02"): "a fixed fee is added",
    ("55", "03"): "a percentage is added",
}
_PAN: Final = 0x5A
_TRACK_2: Final = 0x57
_WORDS: Final = frozenset({0x85, 0x50, 0x5F20, 0x5F2D, 0x5F50, 0x9F24})
"""Objects of a consumer's code whose bytes are text."""


def _meant(path: str, value: str) -> str:
    """A value with what it stands for, where a table says."""
    meaning = _MEANINGS.get((path, value), "")
    if path == "53":
        try:
            meaning = Money.parse("0", value).currency
        except UsageError:
            meaning = ""
    return f"{value} ({meaning})" if meaning else value


def _objects(tlv: Iterable[dict[str, Any]], above: str = "") -> Iterator[Row]:
    """Every object of a consumer's code as path, name and value, the card number masked."""
    for item in tlv:
        tag, value = item["tag"], item["value"]
        path = f"{above}.{tag}" if above else tag
        if isinstance(value, str):
            yield path, consumer.name_of(tag), _shown(int(tag, 16), value)
        else:
            yield path, consumer.name_of(tag), ""
            yield from _objects(value, path)


def _shown(tag: int, value: str) -> str:
    if tag in (_PAN, _TRACK_2):
        digits = value.upper().rstrip("F").partition("D")[0]
        return _masked(digits, 6, 4) + ("D..." if tag == _TRACK_2 else "")
    if tag in _WORDS:
        return bytes.fromhex(value).decode("ascii", "backslashreplace")
    return value


def _masked(text: str, first: int, last: int) -> str:
    if len(text) <= first + last:
        first, last = 0, min(last, len(text) // 3)
    return text[:first] + "*" * (len(text) - first - last) + text[len(text) - last :]


def _show(found: _Found, screen: Screen) -> None:
    verdict = "valid" if found.valid else "not understood" if found.kind == "unknown" else "NOT valid"
    screen.head(f"{found.kind}: {verdict}" + (f" ({found.title})" if found.title else ""), found.valid)
    if found.kind == "unknown":
        _say(found.notes, screen)
    faulty = {fault["path"] for fault in found.issues}
    marked = [number for number, row in enumerate(found.rows) if row[0] in faulty]
    if found.kind.startswith("emv") or found.kind == "unknown":
        screen.table(("object", "name", "value"), found.rows, marked=marked)
    else:
        width = max([8, *(len(name) for _, name, _ in found.rows)])
        for _, name, value in found.rows:
            screen.say(f"  {name:<{width}} {value}")
    if len(found.issues) == 1 and not (found.rows or found.notes):
        screen.say(f"  {found.issues[0]['text']}")
        return
    if found.rows and found.issues:
        screen.say()
    rows = [(fault["code"], fault["path"], str(fault["offset"]), fault["text"]) for fault in found.issues]
    screen.table(("fault", "object", "offset", "what is wrong"), rows, numbers=(2,), style="red")
    if found.kind != "unknown":
        _say(found.notes, screen)


def _say(notes: Iterable[str], screen: Screen) -> None:
    for note in notes:
        screen.say(note)
