"""`paysim doctor`: what this machine has, and the one line that installs what it lacks."""

from __future__ import annotations

import platform
import shutil
import sqlite3
import sys
from argparse import Namespace
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from .screen import Screen

__all__ = ["run"]


class _Part(NamedTuple):
    name: str
    gives: str
    found: Callable[[], str]
    mend: str


def _package(name: str) -> Callable[[], str]:
    def look() -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return ""

    return look


def _program(name: str) -> Callable[[], str]:
    return lambda: shutil.which(name) or ""


_PARTS: Final = (
    _Part("python", "runs paysim", platform.python_version, "install Python 3.11 or newer"),
    _Part("sqlite", "journals on disk", lambda: sqlite3.sqlite_version, "install Python with sqlite3"),
    _Part("qrcode", "draws QR codes", _package("qrcode"), "pip install qrcode"),
    _Part("pillow", "draws and opens pictures", _package("pillow"), "pip install pillow"),
    _Part("zxing-cpp", "scans pictures, draws fast, Code 128", _package("zxing-cpp"), "pip install 'paysim[scan]'"),
    _Part("hypothesis", "strategies for your tests", _package("hypothesis"), "pip install 'paysim[testing]'"),
    _Part("pytest", "fixtures for your tests", _package("pytest"), "pip install 'paysim[testing]'"),
    _Part("zbarimg", "a second opinion on our pictures", _program("zbarimg"), "apt-get install zbar-tools"),
)


def run(_arguments: Namespace, screen: Screen) -> int:
    """Look at each part. 0 where all are there, 1 where one is missing."""
    looked = [(part, part.found()) for part in _PARTS]
    rows = [(part.name, found or "-", part.gives, "" if found else part.mend) for part, found in looked]
    screen.table(("part", "found", "what it gives", "install it with"), rows)
    missing = [part.name for part, found in looked if not found]
    screen.say()
    screen.say(f"missing: {', '.join(missing)}" if missing else f"all there ({sys.platform})")
    screen.result({"parts": [{"name": part.name, "found": found, "mend": part.mend} for part, found in looked]})
    return 1 if missing else 0
