"""The examples and the README: what they show is what they do.

`PAYSIM_UPDATE=1 bash tests/run tests/test_examples.py` writes down what they print now.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
EXPECTED = EXAMPLES / "expected"
README = ROOT / "README.md"

UPDATE = os.environ.get("PAYSIM_UPDATE") == "1"
TIMEOUT_S = 120

SETUP = (
    "python3 -m venv .venv && .venv/bin/pip install -e '.[all]' && .venv/bin/paysim demo",
    "bash tests/run",
)
"""The README's two commands, as promised."""

BY_RUN = ("10_wechatpayv3",)
"""Examples that are clients of the real service: `paysim run` leads them to a sandbox."""

MARK = re.compile(r"^<!-- run: (?P<name>.*?) -->$", re.MULTILINE)
_LINES = r"(?:(?!```$).*\n)*"
BLOCK = re.compile(
    rf"\s*```python\n(?P<code>{_LINES})```\n"
    r"(?:(?!```|<!-- run:).*\n)*"
    rf"```text\n(?P<output>{_LINES})```$",
    re.MULTILINE,
)


class Block(NamedTuple):
    """A marked piece of Python in the README, what it is said to print, and where that stands."""

    name: str
    code: str
    output: str
    span: tuple[int, int]


def blocks(text: str) -> Iterator[Block]:
    """The python blocks that `<!-- run: NAME -->` precedes, each with the text block that follows it."""
    for mark in MARK.finditer(text):
        found = BLOCK.match(text, mark.end())
        assert found, f"<!-- run: {mark['name']} --> wants a ```python block next, then a ```text block"
        yield Block(mark["name"], found["code"], found["output"], found.span("output"))


def printed(script: Path, folder: Path) -> str:
    """What a program prints, run in an empty folder as a newcomer would."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PAYSIM", "PYTHON"))
    }
    environment["PYTHONIOENCODING"] = "utf-8"
    done = subprocess.run(
        [*_before(script), sys.executable, str(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{script.name} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


def _before(script: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "paysim", "run", "--") if script.stem in BY_RUN else ()


def fences(text: str) -> list[str]:
    """The lines within the code blocks of a Markdown text."""
    found: list[str] = []
    inside = False
    for line in text.splitlines():
        if inside:
            inside = line != "```"
            found += [line] * inside
        else:
            inside = line.startswith("```")
    return found


# The examples. ------------------------------------------------------------------------------------------

SCRIPTS = sorted(EXAMPLES.glob("*.py"))


def test_every_example_has_its_output_and_every_output_its_example() -> None:
    expected = {path.stem for path in EXPECTED.glob("*.txt")}
    written = {path.stem for path in SCRIPTS}
    if UPDATE:
        expected |= written
    assert expected == written


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_prints_what_it_shows(script: Path, tmp_path: Path) -> None:
    output = printed(script, tmp_path)
    path = EXPECTED / f"{script.stem}.txt"
    if UPDATE:
        EXPECTED.mkdir(exist_ok=True)
        path.write_text(output, encoding="utf-8")
    assert output == path.read_text(encoding="utf-8")


# The README. --------------------------------------------------------------------------------------------


def _readme() -> str:
    text = README.read_text(encoding="utf-8")
    if not fences(text) and os.environ.get("PAYSIM_ALL") != "1":
        pytest.skip("the README is not written yet")
    return text


def test_the_readme_has_its_two_commands() -> None:
    lines = fences(_readme())
    assert [command for command in SETUP if command not in lines] == []


def test_the_readme_prints_what_it_shows(tmp_path: Path) -> None:
    text = _readme()
    found = list(blocks(text))
    assert found, "the README runs nothing: put <!-- run: NAME --> before a ```python block"
    for number, block in reversed(list(enumerate(found))):
        folder = tmp_path / str(number)
        folder.mkdir()
        script = tmp_path / f"{number}.py"
        script.write_text(block.code, encoding="utf-8")
        output = printed(script, folder)
        if UPDATE:
            start, end = block.span
            text = text[:start] + output + text[end:]
            README.write_text(text, encoding="utf-8")
        else:
            assert output == block.output, f"the README's block {block.name!r}"


# The reader itself: what it must find, and what it must not take. -----------------------------------------

MARKDOWN = """
# paysim

```sh
bash tests/run
```

<!-- run: first -->

```python
print("one")
```

prints

```text
one
```

```python
not run
```

<!-- run: second -->
```python
print("``` two")

print("three")
```
```text
``` two

three
```
"""

BROKEN = [
    "<!-- run: a -->\n",
    "<!-- run: a -->\n```python\n1\n```\n",
    "<!-- run: a -->\nwords\n```python\n1\n```\n```text\n1\n```\n",
    "<!-- run: a -->\n```python\n1\n```\n```sh\nls\n```\n```text\n1\n```\n",
    "<!-- run: a -->\n```python\n1\n```\n<!-- run: b -->\n```python\n2\n```\n```text\n2\n```\n",
]


def test_the_reader_finds_marked_blocks_and_their_output() -> None:
    found = [(block.name, block.code, block.output) for block in blocks(MARKDOWN)]
    assert found == [
        ("first", 'print("one")\n', "one\n"),
        ("second", 'print("``` two")\n\nprint("three")\n', "``` two\n\nthree\n"),
    ]
    assert [MARKDOWN[slice(*block.span)] for block in blocks(MARKDOWN)] == [output for _, _, output in found]


@pytest.mark.parametrize("text", BROKEN)
def test_a_mark_without_its_blocks_is_an_error(text: str) -> None:
    with pytest.raises(AssertionError, match="run: a"):
        list(blocks(text))


def test_commands_count_in_code_blocks_alone() -> None:
    assert "bash tests/run" in fences(MARKDOWN)
    assert fences("bash tests/run\n") == []


def test_a_program_that_fails_is_an_error_that_shows_why(tmp_path: Path) -> None:
    script = tmp_path / "x.py"
    script.write_text("print('paid'); raise SystemExit('no money')")
    with pytest.raises(AssertionError, match="no money"):
        printed(script, tmp_path)


def test_a_program_runs_in_the_folder_and_prints_unicode(tmp_path: Path) -> None:
    script = tmp_path / "x.py"
    script.write_text("import os; print(os.path.basename(os.getcwd()), '茶')", encoding="utf-8")
    assert printed(script, tmp_path) == f"{tmp_path.name} 茶\n"
