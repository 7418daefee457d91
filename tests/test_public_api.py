"""The public names: `__all__` of paysim and of each folder is true, sorted and explained."""

from __future__ import annotations

import importlib
import re
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(
    ".".join(found.parent.relative_to(ROOT).parts) for found in ROOT.glob("paysim/**/__init__.py")
)


def faults(package: types.ModuleType) -> Iterator[str]:
    """What is wrong with the public names of a package."""
    listed = list(getattr(package, "__all__", []))
    if listed and not (package.__doc__ or "").strip():
        yield "the package has public names and no docstring"
    if listed != sorted(set(listed), key=_order):
        yield "__all__ is not sorted (constants, classes, functions), or names something twice"
    for name in listed:
        if not hasattr(package, name):
            yield f"{name} is in __all__ and does not exist"
        elif not _explained(getattr(package, name)):
            yield f"{name} has no docstring of its own"
    for name in vars(package):
        if name not in listed and not name.startswith("_") and not _is_machinery(package, name):
            yield f"{name} is public and not in __all__"


def _order(name: str) -> tuple[int, list[tuple[int, str]]]:
    """The order that ruff keeps `__all__` in: constants, classes, the rest; numbers by their value."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _explained(thing: object) -> bool:
    """Whether a class or function has a docstring that somebody wrote; a constant has its type's."""
    if not isinstance(thing, type) and not callable(thing):
        return True
    own = thing.__dict__.get("__doc__") if isinstance(thing, type) else thing.__doc__
    if not own or not own.strip():
        return False
    # NamedTuple and dataclass write "Name(a, b)" where nobody wrote anything.
    return not (isinstance(thing, type) and own.startswith(f"{thing.__name__}("))


def _is_machinery(package: types.ModuleType, name: str) -> bool:
    """Whether Python or pytest put the name there: an imported submodule, `from __future__`, `@py_assert`."""
    thing = getattr(package, name)
    is_part = isinstance(thing, types.ModuleType) and thing.__name__ == f"{package.__name__}.{name}"
    return is_part or name == "annotations" or not name.isidentifier()


@pytest.mark.parametrize("name", PACKAGES)
def test_the_public_names_are_true_sorted_and_explained(name: str) -> None:
    found = list(faults(importlib.import_module(name)))
    assert not found, f"\n{name}: " + f"\n{name}: ".join(found)


# The check itself: what a package holds, and what is to be said about it. -------------------------------

_HEAD = '"""A room."""\n'
ROOMS = [
    ("__all__ = ['FEE']\nFEE = 1", "the package has public names and no docstring"),
    (_HEAD + "__all__ = ['pay']", "pay is in __all__ and does not exist"),
    (_HEAD + "__all__ = ['pay']\ndef pay(): ...", "pay has no docstring"),
    (_HEAD + "__all__ = ['Fee']\nclass Fee: ...", "Fee has no docstring"),
    (
        _HEAD + "__all__ = ['E', 'Fee']\nclass E(Exception):\n  'An error.'\nclass Fee(E): ...",
        "Fee has no docstring",
    ),
    (_HEAD + "from typing import NamedTuple\nclass Fee(NamedTuple):\n  minor: int", "Fee is public"),
    (
        _HEAD + "__all__ = ['Fee']\nimport typing as _t\nclass Fee(_t.NamedTuple):\n  minor: int",
        "Fee has no docstring",
    ),
    (_HEAD + "__all__ = ['Fee']\nimport enum as _e\nclass Fee(_e.Enum):\n  A = 1", "Fee has no docstring"),
    (_HEAD + "__all__ = ['B', 'A']\nA = B = 1", "not sorted"),
    (_HEAD + "__all__ = ['A', 'A']\nA = 1", "twice"),
    (_HEAD + "__all__ = ['Fee', 'FEE']\nFEE = Fee = 1", "not sorted"),
    (_HEAD + "import re", "re is public and not in __all__"),
    (_HEAD + "FEE = 1", "FEE is public and not in __all__"),
]


def _room(source: str) -> types.ModuleType:
    room = types.ModuleType("room")
    room.__doc__ = None
    exec(source, room.__dict__)
    return room


@pytest.mark.parametrize(("source", "fault"), ROOMS)
def test_the_check_sees_a_fault(source: str, fault: str) -> None:
    assert any(fault in found for found in faults(_room(source)))


def test_the_check_lets_a_good_package_pass() -> None:
    names = ["CNY", "R2", "R10", "Fee", "Money", "decide", "pay"]
    classes = "class Fee:\n  'A fee.'\nMoney = Fee\ndef decide():\n  'Yes.'\npay = decide\nCNY = R2 = R10 = 1"
    assert (
        list(faults(_room(f"{_HEAD}from __future__ import annotations\n__all__ = {names}\n{classes}"))) == []
    )
