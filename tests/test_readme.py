"""The README's pictures and commands: what it shows is what there is.

`PAYSIM_UPDATE=1 bash tests/run tests/test_readme.py` draws and runs them anew. Its Python is run by
`tests/test_examples.py`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from paysim.core.state import mermaid

README = Path(__file__).parent.parent / "README.md"
UPDATE = os.environ.get("PAYSIM_UPDATE") == "1"
TIMEOUT_S = 120

PICTURE = re.compile(r"^```mermaid\n(?P<text>(?:(?!```).*\n)*)```$", re.MULTILINE)
SESSION = re.compile(r"^```(?:console)?\n(?P<text>\$ paysim (?:(?!```$).*\n)*)```$", re.MULTILINE)
ROW = re.compile(r"^\| `paysim (?P<name>[a-z0-9-]+)", re.MULTILINE)
COMMAND = re.compile(r"^    (?P<name>[a-z0-9-]+) ", re.MULTILINE)


class Shown(NamedTuple):
    """A command in the README, and what it is said to print."""

    command: str
    output: str


def sessions(text: str) -> Iterator[list[Shown]]:
    """The commands of each block that begins with `$ paysim`, with the lines that follow each."""
    for block in SESSION.finditer(text):
        parts = re.split(r"^\$ (.*)\n", block["text"], flags=re.MULTILINE)[1:]
        yield [Shown(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]


def printed(command: str, folder: Path) -> str:
    """What a command of the README prints in an empty folder."""
    name, *arguments = shlex.split(command)
    assert name == "paysim", f"the README runs {command!r}"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PAYSIM", "PYTHON"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "paysim", *arguments],
        cwd=folder,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "Traceback" not in done.stdout
    return done.stdout


def rewritten(text: str, pattern: re.Pattern[str], replacements: list[str]) -> str:
    """The text with each block's inside replaced."""
    for found, new in reversed(list(zip(pattern.finditer(text), replacements, strict=True))):
        text = text[: found.start("text")] + new + text[found.end("text") :]
    return text


def test_the_picture_is_the_table_of_states() -> None:
    text = README.read_text(encoding="utf-8")
    drawn = mermaid() + "\n"
    if UPDATE:
        text = rewritten(text, PICTURE, [drawn])
        README.write_text(text, encoding="utf-8")
    assert [found["text"] for found in PICTURE.finditer(text)] == [drawn]


def test_the_commands_print_what_the_readme_shows(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    shown = list(sessions(text))
    assert shown, "the README runs no command: begin a block with `$ paysim`"
    done = [[one._replace(output=printed(one.command, tmp_path)) for one in block] for block in shown]
    if UPDATE:
        blocks = ["".join(f"$ {one.command}\n{one.output}" for one in block) for block in done]
        README.write_text(rewritten(text, SESSION, blocks), encoding="utf-8")
    else:
        assert shown == done


def test_the_table_names_every_command(tmp_path: Path) -> None:
    commands = COMMAND.findall(printed("paysim --help", tmp_path))
    assert commands
    assert ROW.findall(README.read_text(encoding="utf-8")) == commands


# The reader itself. --------------------------------------------------------------------------------------

MARKDOWN = """
```
paysim/
  cli/
```

```
$ paysim one --two
a
```

```console
$ paysim three
$ paysim four
b

c
```

```text
$ paysim five
```

```mermaid
old
```
"""


def test_the_reader_finds_sessions() -> None:
    assert list(sessions(MARKDOWN)) == [
        [Shown("paysim one --two", "a\n")],
        [Shown("paysim three", ""), Shown("paysim four", "b\n\nc\n")],
    ]


@pytest.mark.parametrize("new", ["", "new\nlines\n"])
def test_the_writer_changes_a_block_alone(new: str) -> None:
    assert rewritten(MARKDOWN, PICTURE, [new]) == MARKDOWN.replace("old\n", new)
    assert rewritten(MARKDOWN, SESSION, [f"$ paysim a\n{new}", f"$ paysim b\n{new}"]) == MARKDOWN.replace(
        "$ paysim one --two\na\n", f"$ paysim a\n{new}"
    ).replace("$ paysim three\n$ paysim four\nb\n\nc\n", f"$ paysim b\n{new}")
