"""`paysim qr`: make a code."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any, Final

from paysim.core.errors import UsageError
from paysim.qr import merchant, symbol

from . import given
from .screen import Screen

__all__ = ["run"]

_MAX_TEXT_BYTES: Final = 64 * 1024


def run(arguments: Namespace, screen: Screen) -> int:
    """Draw a text, or a merchant code of the fields that are given."""
    text = _text(arguments)
    issues = merchant.decode(text).issues if arguments.field else ()
    if arguments.out is not None:
        _write(given.writable(arguments.out), text, arguments)
        screen.say(text)
        screen.say(f"-> {arguments.out}")
    elif arguments.code128:
        raise UsageError("a bar code needs a file: --out FILE.png")
    else:
        options = {"error": arguments.error, "quiet_modules": arguments.quiet_modules}
        screen.code(text, **options, invert=arguments.invert)
        screen.say(text)
    if issues and not screen.silent:
        screen.complain(f"made, but wallets may refuse it: {', '.join(one.code for one in issues)}")
    screen.result({"text": text, "out": arguments.out, "issues": [one.code for one in issues]})
    return 0


def _text(arguments: Namespace) -> str:
    if arguments.field:
        if arguments.text is not None:
            raise UsageError("give a text or fields, not both")
        return merchant.encode(_fields(arguments.field))
    if arguments.text is None:
        raise UsageError("give a text, - for standard input, or --field ID=VALUE ...")
    if arguments.text != "-":
        return str(arguments.text)
    return given.to_text(given.read_stdin(_MAX_TEXT_BYTES), _MAX_TEXT_BYTES)


def _fields(pairs: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for pair in pairs:
        path, equals, value = pair.partition("=")
        *above, last = path.split(".")
        if not equals or not all(len(id) == 2 and id.isascii() and id.isdigit() for id in (*above, last)):
            raise UsageError(
                f"a field is ID=VALUE with IDs of two digits, like 59=NAME or 26.00=GUID, not {pair!r}"
            )
        place = fields
        for id in above:
            place = place.setdefault(id, {})
            if not isinstance(place, dict):
                raise UsageError(f"{pair!r}: {id} is a text already and cannot hold objects")
        if last in place:
            raise UsageError(f"{pair!r}: {path} is given already")
        place[last] = value
    return {"00": "01", **fields}


def _write(path: Path, text: str, arguments: Namespace) -> None:
    kind = path.suffix.lower()
    if kind not in (".png", ".svg"):
        raise UsageError(f"a picture is a .png or .svg file, not {path.name!r}")
    if arguments.code128:
        data = symbol.code128_png(text) if kind == ".png" else symbol.code128_svg(text).encode()
    else:
        options: dict[str, Any] = {
            "error": arguments.error,
            "quiet_modules": arguments.quiet_modules,
            "module_px": arguments.module_px,
        }
        data = symbol.png(text, **options) if kind == ".png" else symbol.svg(text, **options).encode()
    path.write_bytes(data)
