"""`paysim doctor`: what this machine has, and the one line that installs or mends what it lacks."""

from __future__ import annotations

import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from paysim.drivers.shell import own

from . import doctor_readers
from .doctor_readers import Look
from .screen import Screen

__all__ = ["run"]


_OLDEST_SQLITE: Final = (3, 35)  # RETURNING
_PATIENCE_S: Final = 5.0
_VERSION: Final = re.compile(rb"[0-9]+(?:\.[0-9]+)+")
_SERVE: Final = "pip install 'paysim[serve]'"


class _Part(NamedTuple):
    name: str
    gives: str
    found: Callable[[], str | Look]
    mend: str = ""
    """What installs it; a look that finds nothing says so itself."""
    needed: bool = False

    def look(self) -> Look:
        """What was found, or what mends it."""
        found = self.found()
        if not isinstance(found, Look):
            found = Look(found, "" if found else self.mend)
        return found._replace(mend=own(found.mend))


def _package(name: str) -> Callable[[], str]:
    def look() -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return ""

    return look


def _program(name: str) -> Callable[[], str]:
    return lambda: shutil.which(name) or ""


def _version(name: str) -> Callable[[], str]:
    """The version that a program says it has; where it says none, where it lies."""

    def look() -> str:
        path = shutil.which(name)
        if path is None:
            return ""
        try:
            done = subprocess.run(  # noqa: S603  # a program of the user's own path
                [path, "--version"], capture_output=True, timeout=_PATIENCE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return path
        found = _VERSION.search(done.stdout)
        return found[0].decode() if found else path

    return look


def _sqlite() -> str:
    return sqlite3.sqlite_version if sqlite3.sqlite_version_info >= _OLDEST_SQLITE else ""


_PARTS: Final = (
    _Part("python", "runs paysim", platform.python_version, "install Python 3.11 or newer", needed=True),
    _Part("sqlite", "journals on disk", _sqlite, "install a Python with SQLite 3.35 or newer", needed=True),
    _Part("msgspec", "facts to JSON and back", _package("msgspec"), "pip install msgspec", needed=True),
    _Part("qrcode", "draws QR codes", _package("qrcode"), "pip install qrcode", needed=True),
    _Part("pillow", "draws and opens pictures", _package("pillow"), "pip install pillow", needed=True),
    _Part("rich", "tables and progress bars", _package("rich"), "pip install rich", needed=True),
    _Part(
        "zxing-cpp",
        "scans pictures, draws fast, Code 128",
        _package("zxing-cpp"),
        "pip install 'paysim[scan]'",
    ),
    _Part("starlette", "paysim serve: the control API", _package("starlette"), _SERVE),
    _Part("uvicorn", "paysim serve: HTTP", _package("uvicorn"), _SERVE),
    _Part("httptools", "paysim serve: reads requests", _package("httptools"), _SERVE),
    _Part("httpx", "paysim serve: callbacks", _package("httpx"), _SERVE),
    _Part(
        "node",
        "paysim run: JavaScript, by itself from 22.21",
        _version("node"),
        "sudo apt-get install nodejs",
    ),
    _Part("curl", "paysim run: shell scripts", _version("curl"), "sudo apt-get install curl"),
    _Part("hypothesis", "strategies for your tests", _package("hypothesis"), "pip install 'paysim[testing]'"),
    _Part("pytest", "fixtures for your tests", _package("pytest"), "pip install 'paysim[testing]'"),
    _Part(
        "nfcpy", "NFC readers, and a radio without hardware", _package("nfcpy"), "pip install 'paysim[nfc]'"
    ),
    _Part(
        "pyscard",
        "card readers by PC/SC",
        _package("pyscard"),
        "sudo apt-get install libpcsclite-dev swig gcc && pip install 'paysim[pcsc]'",
    ),
    _Part("pcscd", "the smart card service", doctor_readers.service),
    _Part("polkit", "who may use the service", doctor_readers.polkit),
    _Part("vpcd", "paysim card: the virtual reader", doctor_readers.virtual_reader),
    _Part("vpcd's port", "who reaches the virtual reader", doctor_readers.port),
    _Part("libusb", "nfc:usb: speaks to readers", doctor_readers.libusb),
    _Part("USB readers", "nfc:usb: their rights", doctor_readers.usb),
    _Part("kernel", "nfc:usb: modules that grab readers", doctor_readers.kernel_modules),
    _Part(
        "zbarimg", "a second opinion on our pictures", _program("zbarimg"), "sudo apt-get install zbar-tools"
    ),
)


def run(_arguments: Namespace, screen: Screen) -> int:
    """Look at each part. 0 where all that paysim needs is there, 1 where some of that is missing."""
    looked = [(part, part.look()) for part in _PARTS]
    missing = [part for part, look in looked if not look.found]
    rows = [(part.name, look.found or "-", part.gives, look.mend) for part, look in looked]
    columns = ("part", "found", "what it gives", "install or mend it with")
    marked = [number for number, (_, look) in enumerate(looked) if not look.found]
    shown = len(columns) if missing else len(columns) - 1
    screen.table(columns[:shown], [row[:shown] for row in rows], marked=marked)
    screen.say()
    broken = [part.name for part in missing if part.needed]
    screen.head(_verdict(broken, [part.name for part in missing if not part.needed]), good=not broken)
    screen.result(
        {
            "valid": not broken,
            "parts": [
                {"name": part.name, "found": look.found, "needed": part.needed, "mend": look.mend}
                for part, look in looked
            ],
        }
    )
    return 1 if broken else 0


def _verdict(broken: list[str], absent: list[str]) -> str:
    if broken:
        return f"missing, and paysim needs it: {', '.join(broken)}"
    return (
        f"good; not there, and not needed: {', '.join(absent)}" if absent else f"all there ({sys.platform})"
    )
