"""The command, run in this process, in one of its own, and on a terminal."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

TIMEOUT_S = 60


class Ran(NamedTuple):
    """What a command did: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout; anything beside it is a failure."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _temporary_folders_go_with_the_test(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))


@pytest.fixture
def paysim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process: `paysim("decode", "-", stdin=b"hello")`."""
    from paysim.cli import main

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(list(arguments))
        return Ran(code, *capsys.readouterr())

    return run


def environment(**more: str) -> dict[str, str]:
    """The environment, less what would change what Python or the command writes."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PAYSIM", "PYTHON", "LC_")) and name not in ("NO_COLOR", "COLUMNS", "LINES")
    }
    return {**kept, "TERM": "xterm-256color", **more}


@pytest.fixture
def process() -> Run:
    """Runs the command as a process of its own; `stdin`, `env` and `stdout` as subprocess takes them."""

    def run(
        *arguments: str | bytes, stdin: bytes = b"", env: dict[str, str] | None = None, stdout: Any = None
    ) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "paysim", *arguments],
            input=stdin,
            env=environment(**env or {}),
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return Ran(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())

    return run


@pytest.fixture
def terminal(tmp_path: Path) -> Run:
    """Runs the command on a terminal of `columns`; all that it writes, errors too, comes as `out`."""

    def run(*arguments: str, columns: int = 100, env: dict[str, str] | None = None) -> Ran:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        with subprocess.Popen(
            [sys.executable, "-m", "paysim", *arguments],
            env=environment(**env or {}),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        ) as child:
            os.close(theirs)
            written = b"".join(iter(lambda: _read(ours), b""))
            os.close(ours)
            code = child.wait(TIMEOUT_S)
        return Ran(code, written.decode().replace("\r\n", "\n"), "")

    return run


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65_536)
    except OSError:  # Linux: the other end is closed
        return b""
