"""The command, run in this process, in one of its own, and on a terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prompt import TIMEOUT_S, Ran, Served, environment

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


@pytest.fixture
def process() -> Run:
    """Runs the command as a process of its own; `stdin`, `env`, `stdout`, `cwd` as subprocess has them."""

    def run(
        *arguments: str | bytes,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        stdout: Any = None,
        cwd: Path | None = None,
    ) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "paysim", *arguments],
            input=stdin,
            cwd=cwd,
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


@pytest.fixture(scope="session")
def minted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keys folder with all its keys: minting them takes longer than most tests."""
    folder = tmp_path_factory.mktemp("minted")
    Served(folder=folder).end()
    return folder / ".paysim"


@pytest.fixture
def furnished(tmp_path: Path, minted: Path) -> Path:
    """An empty folder, but for its keys folder."""
    shutil.copytree(minted, tmp_path / ".paysim")
    return tmp_path


@pytest.fixture
def serve(furnished: Path) -> Iterator[Callable[..., Served]]:
    """Starts `paysim serve` with these arguments; whatever still runs is killed after the test."""
    started: list[Served] = []

    def start(*arguments: str) -> Served:
        started.append(Served(*arguments, folder=furnished))
        return started[-1]

    yield start
    for one in started:
        if one.child.poll() is None:
            one.child.kill()
        one.child.communicate(timeout=TIMEOUT_S)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One running sandbox for all tests of a module."""
    one = Served(folder=tmp_path_factory.mktemp("sandbox"))
    yield one
    one.end()
