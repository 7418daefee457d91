"""Two shells at a bench: `paysim card` in one, other commands beside it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from prompt import TIMEOUT_S, environment

PAYSIM = (sys.executable, "-m", "paysim")


def needs(package: str, line: str) -> None:
    """Skip where a package is missing; with PAYSIM_ALL=1 that is a failure. Nothing is imported."""
    if find_spec(package) is not None:
        return
    if os.environ.get("PAYSIM_ALL") == "1":
        pytest.fail(f"{package} is missing: {line}")
    pytest.skip(f"{package} is missing: {line}")


def needs_nfcpy() -> None:
    needs("nfc", "pip install 'paysim[nfc]'")


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Shell:
    """A command that goes on; `out` is what it has written so far, its complaints too."""

    def __init__(self, log: Path, *line: str) -> None:
        self._log = log
        with log.open("wb") as written:
            self.child = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                env=environment(PYTHONUNBUFFERED="1"),
            )

    @property
    def out(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def until(self, words: str, count: int = 1) -> None:
        """Wait until it has written this so often."""
        end = time.monotonic() + TIMEOUT_S
        while self.out.count(words) < count:
            if self.child.poll() is not None and self.out.count(words) < count:
                raise AssertionError(f"it has ended ({self.child.returncode}):\n{self.out}")
            assert time.monotonic() < end, self.out
            time.sleep(0.02)

    def end(self, number: int = signal.SIGINT) -> int:
        """Ctrl-C, and its exit code."""
        self.child.send_signal(number)
        code = self.child.wait(TIMEOUT_S)
        assert "Traceback" not in self.out, self.out
        return code

    def kill(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(TIMEOUT_S)


class Bench:
    """A way from a card to a reader, in two processes that share a keys folder."""

    def __init__(
        self, folder: Path, card: str, reader: str, wrapped: Callable[..., list[str]] = lambda *line: [*line]
    ) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        self.card_driver = card
        self.reader = reader
        self._wrapped = wrapped
        self.shells: list[Shell] = []

    def card(self, profile: str, *more: str) -> Shell:
        """Start `paysim card`, and wait until it is there."""
        line = (*PAYSIM, "card", "--profile", profile, "--driver", self.card_driver)
        shell = self.shell(*self._wrapped(*line, "--keys", str(self.keys), *more))
        shell.until("Ctrl-C takes it away")
        return shell

    def shell(self, *line: str) -> Shell:
        self.shells.append(Shell(self.folder / f"shell-{len(self.shells)}.log", *line))
        return self.shells[-1]

    def tap(self, *more: str) -> Any:
        """Run `paysim tap` to its end."""
        line = [*PAYSIM, "tap", "--driver", self.reader, "--keys", str(self.keys), "--wait", "30", *more]
        done = subprocess.run(
            line,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT_S,
            env=environment(),
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def close(self) -> None:
        for shell in self.shells:
            shell.kill()
