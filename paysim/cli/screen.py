"""The terminal: where results, progress and complaints go. Results on stdout, the rest on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Screen"]


class Screen:
    """A terminal that is spoken to in plain text, in colour where it is one, and in JSON where asked."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json

    def say(self, text: str = "") -> None:
        """A line of the result; nothing where JSON or silence was asked for."""
        if not self.quiet and not self.as_json:
            print(text)

    def head(self, text: str) -> None:
        """A heading, in bold on a terminal."""
        self.say(f"\x1b[1m{text}\x1b[0m" if _coloured() else text)

    def result(self, value: dict[str, Any]) -> None:
        """The one JSON object of a command, where it was asked for."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False))

    def table(self, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        """A table; the columns after the first are right-aligned where they hold numbers."""
        if self.quiet or self.as_json or not rows:
            return
        widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
        for row in [columns, tuple("-" * width for width in widths), *rows]:
            cells = (_cell(text, width, left) for text, width, left in zip(row, widths, _lefts(rows), strict=True))
            print("  " + "  ".join(cells).rstrip())

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar on stderr; the function that is given takes the count done so far."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda _done: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            last = 0

            def show(done: int) -> None:
                nonlocal last
                if done - last >= max(1, total // 200):
                    last = done
                    bar.update(task, completed=done)

            yield show

    @staticmethod
    def complain(text: str) -> None:
        """A line on stderr."""
        print(f"paysim: {text}", file=sys.stderr)


def _coloured() -> bool:
    return sys.stdout.isatty()


def _lefts(rows: list[tuple[str, ...]]) -> list[bool]:
    return [not all(row[i].lstrip("-").replace(".", "").replace(",", "").isdigit() for row in rows if row[i]) for i in range(len(rows[0]))]


def _cell(text: str, width: int, left: bool) -> str:
    return text.ljust(width) if left else text.rjust(width)
