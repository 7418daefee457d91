"""The house rules of the design, read from the source: who imports whom, and what stays at the edge."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeGuard

import pytest

ROOT = Path(__file__).parent.parent

# From the ground up. A folder imports from the rows above its own, and from itself; folders in one row never
# import each other. "paysim" is the root: `from paysim import Sandbox`.
FLOORS = (
    ("core",),
    ("ledger", "faults", "codec"),
    ("crypto",),
    ("qr", "emv", "issuer", "operators"),
    ("channels",),
    ("store", "drivers"),
    ("sandbox",),
    ("servers",),
    ("paysim",),
    ("testing",),
    ("cli",),
)
FLOOR = {folder: number for number, row in enumerate(FLOORS) for folder in row}

MACHINES = {folder for row in FLOORS[: FLOOR["channels"] + 1] for folder in row}
"""Below the edge: values in, values out."""

EDGE_MODULES = {
    *("socket", "select", "selectors", "ssl", "http", "urllib.request"),  # sockets
    *("asyncio", "concurrent", "multiprocessing", "signal", "subprocess", "threading"),  # threads, processes
    *("fcntl", "glob", "mmap", "os", "shutil", "sqlite3", "tempfile"),  # files, the environment
    *("random", "secrets", "time"),  # randomness, clocks
}
EDGE_NAMES = {
    *("builtins.open", "io.FileIO", "io.open", "pathlib.Path"),
    *("builtins.input", "builtins.print", "sys.argv", "sys.stderr", "sys.stdin", "sys.stdout"),
    *("datetime.date.today", "datetime.datetime.now", "datetime.datetime.today", "datetime.datetime.utcnow"),
    *("uuid.uuid1", "uuid.uuid4"),
}
EDGE_ALLOWED = {
    ("paysim/core/clock.py", "time"): "the real clock lives beside the virtual one",
}
"""(module, what it may use) -> why."""

HEAVY = {
    "PIL",
    "cryptography",
    "hypothesis",
    "nfc",
    "numpy",
    "pytest",
    "qrcode",
    "rich",
    "smartcard",
    "zxingcpp",
}
"""Imported when first needed, inside a function, so that `import paysim` stays quick."""

HEAVY_ALLOWED = {
    ("crypto", "cryptography"): "the signing core is made of it; `import paysim` does not import the core",
    ("paysim/drivers/nfc_udp.py", "nfc"): "it is a device of nfcpy's, and imported when first needed itself",
}
"""(folder or file, what it may import at once) -> why."""

MAX_LINES = 600
LONG_MODULES: dict[str, str] = {}
"""Module -> why it is longer than MAX_LINES."""


class Breach(NamedTuple):
    """One broken rule."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


class Import(NamedTuple):
    """One imported name: `from a.b import c as d` is "a.b", "c", "d"; `import a.b` is "a.b", "", "a"."""

    line: int
    module: str
    name: str
    bound: str
    at_module_level: bool
    for_types: bool

    @property
    def meaning(self) -> str:
        """What the bound name stands for, dotted."""
        if self.name:
            return f"{self.module}.{self.name}"
        return self.bound if self.module.split(".")[0] == self.bound else self.module


Exceptions = Mapping[tuple[str, str], str]


def breaches(path: str, source: str, allowed: Exceptions = EDGE_ALLOWED) -> list[Breach]:
    """Every house rule that the module breaks; `path` counts from the project's folder."""
    tree = ast.parse(source)
    imports = list(_imports(tree, path))
    home = _home(path)
    found = [*_direction(path, home, imports), *_heavy(path, home, imports)]
    if home in MACHINES:
        found += [breach for name, breach in _edge(path, tree, imports) if (path, name) not in allowed]
        found += _async(path, tree)
    if path == "paysim/__init__.py":
        found += _root(path, tree, imports)
    lines = source.count("\n")
    if lines > MAX_LINES and path not in LONG_MODULES:
        found.append(Breach(path, lines, "length", f"more than {MAX_LINES} lines: one duty?"))
    return sorted(found, key=lambda breach: breach.line)


def _home(path: str) -> str:
    """The folder that a module belongs to; the root's is "paysim", the command's is "cli"."""
    parts = path.split("/")
    if len(parts) > 2:
        return parts[1]
    return {"__init__.py": "paysim", "__main__.py": "cli"}.get(parts[1], parts[1])


def _imports(tree: ast.Module, path: str) -> Iterator[Import]:
    package = path.split("/")[:-1]
    for node, at_module_level, for_types in _walk(tree, True, False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.split(".")[0]
                yield Import(node.lineno, alias.name, "", bound, at_module_level, for_types)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                bound = alias.asname or alias.name
                yield Import(node.lineno, module, alias.name, bound, at_module_level, for_types)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            for text in node.args[:1]:
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield Import(node.lineno, text.value, "", "", at_module_level, for_types)


def _walk(node: ast.AST, at_module_level: bool, for_types: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
    """Every node, with whether it runs when the module is imported, whether type checkers alone see it."""
    for child in ast.iter_child_nodes(node):
        level = at_module_level and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        types = for_types or (_is_for_types(node) and child in node.body)
        yield child, level, types
        yield from _walk(child, level, types)


def _is_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _direction(path: str, home: str, imports: list[Import]) -> Iterator[Breach]:
    if home not in FLOOR:
        yield Breach(path, 1, "direction", f"{home!r} has no floor in the design")
        return
    for used in imports:
        parts = [*used.module.split("."), *([used.name] if used.name else [])]
        if parts[0] != "paysim":
            continue
        target = parts[1] if len(parts) > 1 and parts[1] in FLOOR else "paysim"
        if target == home or FLOOR.get(target, 0) < FLOOR[home]:
            continue
        side = "beside" if FLOOR[target] == FLOOR[home] else "above"
        yield Breach(path, used.line, "direction", f"{home} imports {target}, which lies {side} it")


def _heavy(path: str, home: str, imports: list[Import]) -> Iterator[Breach]:
    if home in {"testing", "cli"}:
        return
    for used in imports:
        package = used.module.split(".")[0]
        if package not in HEAVY or {(home, package), (path, package)} & HEAVY_ALLOWED.keys():
            continue
        if used.at_module_level and not used.for_types:
            yield Breach(path, used.line, "heavy import", f"{package} is to be imported inside a function")


def _edge(path: str, tree: ast.Module, imports: list[Import]) -> Iterator[tuple[str, Breach]]:
    """What touches the world: modules that do nothing else, and single names of others; (what, breach)."""
    for used in imports:
        whole = f"{used.module}.{used.name}"
        module = next((m for m in EDGE_MODULES if f"{whole}.".startswith(f"{m}.")), "")
        if module or whole in EDGE_NAMES:
            yield _outside(path, used.line, module or whole)
    bound = {name: name for name in _own_names(tree)} | {used.bound: used.meaning for used in imports}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            first, dot, rest = ast.unparse(node).partition(".")
            if not dot and first in bound:
                continue  # judged where it was imported
            name = bound.get(first, first) + dot + rest if dot else f"builtins.{first}"
            if name in EDGE_NAMES:
                yield _outside(path, node.lineno, name)


def _own_names(tree: ast.Module) -> Iterator[str]:
    """The names that the module itself gives a meaning; methods are reached by a dot."""
    yield from (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _outside(path: str, line: int, name: str) -> tuple[str, Breach]:
    return name, Breach(
        path, line, "edge", f"{name} belongs to the edge (store, drivers, sandbox, servers, cli)"
    )


def _async(path: str, tree: ast.Module) -> Iterator[Breach]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            yield Breach(path, node.lineno, "edge", f"{node.name} is async; machines are functions")


def _root(path: str, tree: ast.Module, imports: list[Import]) -> Iterator[Breach]:
    """`paysim/__init__.py` holds the public names: each name that it imports is in `__all__`."""
    public = {name.value for name in ast.walk(_value_of_all(tree)) if isinstance(name, ast.Constant)}
    for used in imports:
        if used.at_module_level and used.module.startswith("paysim") and used.bound not in public:
            yield Breach(path, used.line, "public names", f"{used.bound} is imported and not in __all__")
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield Breach(path, node.lineno, "public names", f"{node.name} needs a room of its own")
        if isinstance(node, ast.FunctionDef) and node.name not in {"__getattr__", "__dir__"}:
            yield Breach(path, node.lineno, "public names", f"{node.name} needs a room of its own")


def _value_of_all(tree: ast.Module) -> ast.AST:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return node.value
    return ast.Tuple([])


# The house as it stands. --------------------------------------------------------------------------

MODULES = sorted(module.relative_to(ROOT).as_posix() for module in (ROOT / "paysim").rglob("*.py"))


@functools.cache
def _source(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES)
def test_a_module_keeps_the_house_rules(path: str) -> None:
    found = breaches(path, _source(path))
    assert not found, "\n" + "\n".join(map(str, found))


@pytest.mark.parametrize(("path", "name"), EDGE_ALLOWED)
def test_each_exception_is_still_needed(path: str, name: str) -> None:
    found = breaches(path, _source(path), allowed={})
    assert any(breach.rule == "edge" and name in breach.text for breach in found)


def test_each_long_module_is_still_long() -> None:
    assert [path for path in LONG_MODULES if _source(path).count("\n") <= MAX_LINES] == []


def test_importing_paysim_loads_no_heavy_package() -> None:
    code = "import sys; before = set(sys.modules); import paysim; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "paysim" in done.stdout.split()
    assert HEAVY.isdisjoint(done.stdout.split())


# The reader itself: what it must see, and what it must not. ------------------------------------------

WRONG = [
    # direction
    ("paysim/core/x.py", "\nfrom paysim.ledger import journal", 2, "direction"),
    ("paysim/core/x.py", "from ..ledger.journal import chain", 1, "direction"),
    ("paysim/core/x.py", "from .. import sandbox", 1, "direction"),
    ("paysim/core/x.py", "import paysim.qr.scan", 1, "direction"),
    ("paysim/core/x.py", "import paysim", 1, "direction"),
    ("paysim/channels/x.py", "from paysim import Sandbox", 1, "direction"),
    ("paysim/channels/x.py", "def f():\n    from paysim.store import sqlite", 2, "direction"),
    ("paysim/channels/x.py", "if TYPE_CHECKING:\n    from paysim.sandbox import Sandbox", 2, "direction"),
    ("paysim/channels/x.py", "import importlib\nimportlib.import_module('paysim.sandbox')", 2, "direction"),
    ("paysim/qr/x.py", "from paysim.issuer.limits import decide", 1, "direction"),
    ("paysim/operators/wechat/x.py", "from ...emv import card", 1, "direction"),
    ("paysim/ledger/__init__.py", "from ..faults.fault import Fault", 1, "direction"),
    ("paysim/store/__init__.py", "from ..drivers import loopback", 1, "direction"),
    ("paysim/testing/x.py", "from paysim.cli import main", 1, "direction"),
    ("paysim/__init__.py", "__all__ = ['main']\nfrom .cli import main", 2, "direction"),
    ("paysim/attic/x.py", "", 1, "direction"),
    ("paysim/utils.py", "", 1, "direction"),
    # edge
    ("paysim/core/x.py", "import socket", 1, "edge"),
    ("paysim/core/x.py", "import time", 1, "edge"),
    ("paysim/core/x.py", "from time import monotonic as now", 1, "edge"),
    ("paysim/ledger/x.py", "def f():\n    import threading", 2, "edge"),
    ("paysim/faults/x.py", "import random", 1, "edge"),
    ("paysim/codec/x.py", "from secrets import token_bytes", 1, "edge"),
    ("paysim/crypto/x.py", "from os import urandom", 1, "edge"),
    ("paysim/emv/x.py", "import os.path as p", 1, "edge"),
    ("paysim/qr/x.py", "from urllib.request import urlopen", 1, "edge"),
    ("paysim/qr/x.py", "from urllib import request", 1, "edge"),
    ("paysim/qr/x.py", "from concurrent.futures import Future", 1, "edge"),
    ("paysim/qr/x.py", "def f(path):\n    return open(path)", 2, "edge"),
    ("paysim/qr/x.py", "class A:\n    def open(self): ...\n\nf = open('x')", 4, "edge"),
    ("paysim/qr/x.py", "import io\nf = io.open('x')", 2, "edge"),
    ("paysim/qr/x.py", "from pathlib import Path", 1, "edge"),
    ("paysim/issuer/x.py", "import datetime\nx = datetime.datetime.now()", 2, "edge"),
    ("paysim/issuer/x.py", "import datetime as d\nx = d.date.today()", 2, "edge"),
    ("paysim/issuer/x.py", "from datetime import datetime\nx = datetime.now", 2, "edge"),
    ("paysim/issuer/x.py", "from datetime import datetime as d\nx = [d.utcnow()]", 2, "edge"),
    ("paysim/channels/x.py", "from uuid import uuid4", 1, "edge"),
    ("paysim/channels/x.py", "import uuid\nx = uuid.uuid4()", 2, "edge"),
    ("paysim/channels/x.py", "print('paid')", 1, "edge"),
    ("paysim/operators/wechat/x.py", "import asyncio", 1, "edge"),
    ("paysim/operators/wechat/x.py", "async def respond(): ...", 1, "edge"),
    # heavy packages
    ("paysim/qr/x.py", "from PIL import Image", 1, "heavy import"),
    ("paysim/qr/x.py", "import cryptography.hazmat", 1, "heavy import"),
    ("paysim/crypto/x.py", "import numpy", 1, "heavy import"),
    ("paysim/sandbox/x.py", "try:\n    import zxingcpp\nexcept ImportError: ...", 2, "heavy import"),
    ("paysim/servers/x.py", "class A:\n    import numpy", 2, "heavy import"),
    ("paysim/servers/x.py", "if TYPE_CHECKING:\n    ...\nelse:\n    import rich", 4, "heavy import"),
    # the root
    ("paysim/__init__.py", "__all__ = ['Money']\nfrom .core.money import Currency, Money", 2, "public names"),
    ("paysim/__init__.py", "class Money: ...", 1, "public names"),
    ("paysim/__init__.py", "def pay(): ...", 1, "public names"),
    # length
    ("paysim/core/x.py", "\n" * 601, 601, "length"),
]

RIGHT = [
    ("paysim/core/x.py", "from .money import Money\nfrom . import money\nimport paysim.core.money"),
    ("paysim/core/clock.py", "import time"),
    ("paysim/core/x.py", "import datetime\nx = datetime.date(2026, 1, 1)\nfrom datetime import time"),
    ("paysim/core/x.py", "from .x import open\nopen('sealed')"),
    ("paysim/core/x.py", "def open(sealed): ...\n\nopen('sealed')"),
    ("paysim/core/x.py", "def f(input):\n    return input"),
    ("paysim/core/x.py", "\n" * 600),
    ("paysim/qr/x.py", "from urllib.parse import urlsplit\nfrom paysim.codec import emvqr"),
    ("paysim/qr/scan.py", "import io\n\ndef f(b):\n    from PIL import Image\n    Image.open(io.BytesIO(b))"),
    ("paysim/crypto/x.py", "from cryptography import x509"),
    ("paysim/qr/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from PIL import Image"),
    (
        "paysim/operators/wechat/x.py",
        "from .signing import sign\nfrom ...crypto import keys\nfrom ..wechat import x",
    ),
    (
        "paysim/store/x.py",
        "import os, time, sqlite3, threading\nopen('x')\nfrom paysim.channels import channel",
    ),
    ("paysim/sandbox/x.py", "import secrets\nfrom ..store import sqlite"),
    ("paysim/testing/x.py", "import pytest, hypothesis\nfrom paysim import Sandbox"),
    ("paysim/cli/x.py", "import rich\nfrom paysim.testing import conformance"),
    ("paysim/__main__.py", "from .cli import main"),
    (
        "paysim/__init__.py",
        "__all__ = ['Money']\nfrom .core.money import Money\n\ndef __getattr__(name): ...",
    ),
]


@pytest.mark.parametrize(("path", "source", "line", "rule"), WRONG)
def test_the_reader_sees_a_broken_rule(path: str, source: str, line: int, rule: str) -> None:
    found = breaches(path, source)
    assert [(breach.path, breach.line, breach.rule) for breach in found] == [(path, line, rule)]
    assert str(found[0]).startswith(f"{path}:{line}: {rule}: ")


@pytest.mark.parametrize(("path", "source"), RIGHT)
def test_the_reader_lets_good_modules_pass(path: str, source: str) -> None:
    assert breaches(path, source) == []
