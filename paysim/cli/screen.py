"""The terminal: where results, progress and complaints go. Results on stdout, the rest on stderr.

What is shown may come from a stranger's code, so control characters are written as escapes, and a character
that the terminal's encoding does not have is too. Colour only where stdout is a terminal and NO_COLOR is
unset; a pipe gets the same words in plain text.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

__all__ = ["Screen", "plain"]

_GOOD: Final = {True: "1;32", False: "1;31", None: "1"}
_BLOCKS: Final = "█▀▄"
_NARROW: Final = 40  # on less, a table that folds its columns has no room for what is in them
_STEPS: Final = 200  # how often a progress bar moves at most

Row = Sequence[str]


class Screen:
    """A terminal that is spoken to in plain text, in colour where it is one, and in JSON where asked."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self.answered = False

    @property
    def silent(self) -> bool:
        """Whether nobody reads the words: JSON or silence was asked for."""
        return self.quiet or self.as_json

    def say(self, text: str = "") -> None:
        """Lines of the result; nothing where JSON or silence was asked for."""
        if not self.silent:
            _write(sys.stdout, "\n".join(map(plain, text.split("\n"))) + "\n")

    def head(self, text: str, good: bool | None = None) -> None:
        """A heading, in bold on a terminal: green for good, red for bad."""
        if _coloured() and not self.silent:
            _write(sys.stdout, f"\x1b[{_GOOD[good]}m{plain(text)}\x1b[0m\n")
        else:
            self.say(text)

    def result(self, value: dict[str, Any]) -> None:
        """The one JSON object of a command, where it was asked for."""
        if self.as_json and not self.answered:
            self.answered = True
            # In another encoding than UTF-8 all is ASCII; a lone surrogate, which UTF-8 does not have either,
            # becomes the escape that JSON has for it.
            unicode = _encoding(sys.stdout) == "utf-8"
            _write(sys.stdout, json.dumps(value, ensure_ascii=not unicode) + "\n")

    def table(
        self,
        columns: Row,
        rows: Sequence[Row],
        *,
        numbers: Collection[int] = (),
        marked: Collection[int] = (),
        style: str = "cyan",
    ) -> None:
        """A table: `numbers` are the columns to align right, `marked` the rows that begin with `!`.

        `style` is the colour of the first column on a terminal.
        """
        if self.silent or not rows:
            return
        cells = [tuple(map(plain, row)) for row in rows]
        if _coloured() and _columns() >= _NARROW:
            _write(sys.stdout, _rich_table(columns, cells, numbers, marked, style))
        else:
            _write(sys.stdout, _plain_table(columns, cells, numbers, marked))

    def code(self, text: str, *, error: str = "M", quiet_modules: int = 4, invert: bool = False) -> None:
        """The QR code of a text; a note in its place where the terminal is too narrow for it."""
        from paysim.qr import symbol

        blocks = _encodable(_BLOCKS, sys.stdout)
        drawn = (
            symbol.terminal(text, error=error, quiet_modules=quiet_modules, invert=invert, ansi=_coloured())
            if blocks
            else _ascii_code(symbol.matrix(text, error=error), quiet_modules, invert)
        )
        if self.silent:  # what cannot be drawn is an error all the same
            return
        across = (len(symbol.matrix(text, error=error)) + 2 * quiet_modules) * (1 if blocks else 2)
        if _is_terminal(sys.stdout) and across > _columns():
            self.say(
                f"(the code is {across} columns wide and this terminal {_columns()}: widen it, or --out FILE)"
            )
        else:
            _write(sys.stdout, drawn)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar on stderr; the function that is given takes the count done so far."""
        if self.quiet or not _is_terminal(sys.stderr):
            yield lambda _done: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            last = 0

            def show(done: int) -> None:
                nonlocal last
                if done - last >= max(1, total // _STEPS):
                    last = done
                    bar.update(task, completed=done)

            yield show

    @staticmethod
    def flush() -> None:
        """Let what was said reach whoever reads, before a wait."""
        if sys.stdout is not None:
            sys.stdout.flush()

    @staticmethod
    def complain(text: str) -> None:
        """Lines on stderr, each with the command's name before it."""
        for line in text.split("\n"):
            _write(sys.stderr, f"paysim: {plain(line)}\n")


def plain(text: str) -> str:
    r"""The text with everything that is no character to look at (controls, surrogates) as an escape.

    >>> plain("Tea\x1b[2J House")
    'Tea\\x1b[2J House'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


# Where the words go. ------------------------------------------------------------------------------------


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # the command was started with this stream closed
        return
    encoding = _encoding(stream)
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _encoding(stream: TextIO | None) -> str:
    return (getattr(stream, "encoding", None) or "utf-8").lower()


def _encodable(text: str, stream: TextIO | None) -> bool:
    try:
        text.encode(_encoding(stream))
    except UnicodeEncodeError:
        return False
    return True


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _coloured() -> bool:
    return _is_terminal(sys.stdout) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _columns() -> int:
    return shutil.get_terminal_size().columns


# Tables and codes as text. ------------------------------------------------------------------------------


def _plain_table(columns: Row, rows: Sequence[Row], numbers: Collection[int], marked: Collection[int]) -> str:
    widths = [max(_width(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    lines = []
    for number, row in enumerate((columns, tuple("-" * width for width in widths), *rows), -2):
        cells = []
        for i, (text, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - _width(text))
            cells.append(space + text if i in numbers else text + space)
        lines.append(("! " if number in marked else "  ") + "  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def _rich_table(
    columns: Row, rows: Sequence[Row], numbers: Collection[int], marked: Collection[int], style: str
) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for i, name in enumerate(columns):
        justify: Any = "right" if i in numbers else "left"
        table.add_column(name, justify=justify, style="" if i else style, overflow="fold", no_wrap=not i)
    for number, row in enumerate(rows):
        bad = number in marked
        table.add_row("!" if bad else "", *map(Text, row), style="red" if bad else None)
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        width=_columns(),
        color_system="standard",
        legacy_windows=False,
    )
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def _width(text: str) -> int:
    """How many columns a text takes on a terminal: Chinese characters take two, accents none."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def _ascii_code(modules: Sequence[Sequence[bool]], quiet_modules: int, invert: bool) -> str:
    """A QR code where there are no block characters: two `#` a light module, as on a dark terminal."""
    light, dark = ("  ", "##") if invert else ("##", "  ")
    side = light * quiet_modules
    edge = f"{light * (len(modules) + 2 * quiet_modules)}\n" * quiet_modules
    return (
        edge
        + "".join(f"{side}{''.join(dark if m else light for m in row)}{side}\n" for row in modules)
        + edge
    )
