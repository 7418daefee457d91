"""The README's tables of what is simulated: drawn from the tables of the code, so that they cannot differ.

`PAYSIM_UPDATE=1 bash tests/run tests/test_readme_tables.py` draws them anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paysim.faults import ACTIONS
from paysim.operators.wechat import payer, service, shapes
from paysim.servers.control import CALLS

README = Path(__file__).parent.parent / "README.md"
TABLE = re.compile(r"^<!-- table: (?P<name>[a-z ]+) -->\n(?P<text>(?:.+\n)*)", re.MULTILINE)
UPDATE = os.environ.get("PAYSIM_UPDATE") == "1"


def endpoints() -> Iterator[str]:
    yield "| call | faults know it as |"
    yield "|---|---|"
    for row in service.ENDPOINTS:
        yield f"| `{row.method} {row.path}` | `{row.verb}` |"


def not_simulated() -> Iterator[str]:
    ours = {(row.method, row.path) for row in service.ENDPOINTS}
    families: dict[str, list[str]] = {}
    for method, path in shapes.templates():
        if (method, path) not in ours:
            family, rest = "/".join(path.split("/")[:3]), "/".join(path.split("/")[3:])
            families.setdefault(family, []).append(f"{method} {rest}".strip())
    yield "| under | calls |"
    yield "|---|---|"
    for family, calls in sorted(families.items()):
        yield f"| `{family}/` | {', '.join(f'`{call}`' for call in calls)} |"


def magic() -> Iterator[str]:
    openids = {outcome: openid for openid, outcome in payer.MAGIC_OPENIDS.items()}
    yield "| fen | or the payer's openid | what happens |"
    yield "|---|---|---|"
    for minor, outcome in payer.MAGIC_AMOUNTS.items():
        yield f"| {minor} ordered | `{openids[outcome]}` | {outcome.replace('_', ' ')} |"
    for minor, outcome in payer.MAGIC_REFUNDS.items():
        yield f"| {minor} refunded | `{openids[outcome]}` | {outcome.replace('_', ' ')} |"


def control() -> Iterator[str]:
    yield "| call | does |"
    yield "|---|---|"
    for row in CALLS:
        yield f"| `{row.method} /_paysim{row.path}` | {row.summary} |"


def faults() -> Iterator[str]:
    yield "| action | happens to | what it is |"
    yield "|---|---|---|"
    for name, row in ACTIONS.items():
        yield f"| `{name}` | {', '.join(row.points)} | {row.text} |"


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "endpoints": endpoints,
    "not simulated": not_simulated,
    "magic": magic,
    "control": control,
    "faults": faults,
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_readme_is_the_codes(name: str) -> None:
    text = README.read_text(encoding="utf-8")
    drawn = "".join(f"{line}\n" for line in TABLES[name]())
    found = [one for one in TABLE.finditer(text) if one["name"] == name]
    assert len(found) == 1, f"the README has {len(found)} tables <!-- table: {name} -->"
    if UPDATE:
        text = text[: found[0].start("text")] + drawn + text[found[0].end("text") :]
        README.write_text(text, encoding="utf-8")
    else:
        assert found[0]["text"] == drawn


EXAMPLE = re.compile(
    r"^<!-- example: (?P<name>\w+) -->\n```python\n(?P<code>.*?)^```\n\n```text\n(?P<printed>.*?)^```$",
    re.M | re.S,
)


def test_an_example_in_the_readme_is_the_file_and_prints_what_is_expected() -> None:
    """That it prints it is for tests/test_examples.py."""
    shown = list(EXAMPLE.finditer(README.read_text(encoding="utf-8")))
    assert [one["name"] for one in shown] == ["10_wechatpayv3"]
    for one in shown:
        examples = README.parent / "examples"
        assert one["code"] == (examples / f"{one['name']}.py").read_text(encoding="utf-8")
        assert one["printed"] == (examples / "expected" / f"{one['name']}.txt").read_text(encoding="utf-8")


def test_every_table_is_drawn() -> None:
    assert {one["name"] for one in TABLE.finditer(README.read_text(encoding="utf-8"))} == set(TABLES)
