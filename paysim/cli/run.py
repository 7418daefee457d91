"""`paysim run -- COMMAND`: a sandbox, and a program in an environment that leads it there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from argparse import Namespace
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from paysim.core.errors import UsageError

from . import serving
from .running import ending, running
from .screen import Screen

if TYPE_CHECKING:
    from paysim.servers.server import Options

__all__ = ["run"]

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
_SIGNALLED: Final = 128
_PATIENCE_S: Final = 5.0


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command; its exit code is ours, 128 and the number where a signal ended it."""
    command = arguments.run_command[1:] if arguments.run_command[:1] == ["--"] else arguments.run_command
    if not command:
        raise UsageError("give a command behind --: paysim run -- python shop.py")
    options = serving.options(arguments, 0)
    return asyncio.run(_run(options, command, screen))


class _Signals:
    """Signals that ask us to end: before there is a command they end us, then they are passed on to it.

    A terminal sends Ctrl-C to the command as well as to us: that one is not passed on.
    """

    def __init__(self) -> None:
        self.number = 0
        self._process: Process | None = None

    def __call__(self, number: int) -> None:
        if self._process is None:
            self.number = number
        elif number != signal.SIGINT:
            _send(self._process, number)

    def pass_to(self, process: Process) -> None:
        """Pass on what comes, and what came while the command was started."""
        self._process = process
        if self.number:
            _send(process, self.number)


def _send(process: Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


async def _run(options: Options, command: Sequence[str], screen: Screen) -> int:
    signals = _Signals()
    ending(signals)
    async with running(options, screen) as (server, described):
        screen.result(dict(described))
        screen.flush()
        if signals.number:
            return _SIGNALLED + signals.number
        return await _command(command, server.environment(os.environ), signals, screen)


def _is_there(command: str, environment: Mapping[str, str]) -> bool:
    """Whether a file has this name where a shell looks; a folder of PATH that is closed to us holds none."""
    if os.sep in command:
        return True
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    return any(os.path.exists(os.path.join(folder, command)) for folder in folders)


async def _command(
    command: Sequence[str], environment: Mapping[str, str], signals: _Signals, screen: Screen
) -> int:
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environment)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or not _is_there(command[0], environment):
            screen.complain(f"there is no command {command[0]!r}")
            return NOT_FOUND
        screen.complain(f"{command[0]!r} cannot be executed: {error.strerror}")
        return NOT_EXECUTABLE
    signals.pass_to(process)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _PATIENCE_S)
        raise
    return code if code >= 0 else _SIGNALLED - code
