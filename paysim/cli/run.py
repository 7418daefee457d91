"""`paysim run -- COMMAND`: a sandbox, and a program in an environment that leads it there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from paysim.core.errors import UsageError

from . import serving
from .screen import Screen

if TYPE_CHECKING:
    from paysim.servers.server import Options

__all__ = ["run"]

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
_SIGNALLED: Final = 128
_PATIENCE_S: Final = 5.0


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command; its exit code is ours."""
    command = arguments.run_command[1:] if arguments.run_command[:1] == ["--"] else arguments.run_command
    if not command:
        raise UsageError("give a command behind --: paysim run -- python shop.py")
    options = serving.options(arguments, 0)
    return asyncio.run(_run(options, command, screen))


async def _run(options: Options, command: Sequence[str], screen: Screen) -> int:
    from paysim.servers.server import Server

    server = Server(options, screen.complain)
    described = await server.start()
    try:
        screen.result(dict(described))
        screen.flush()
        environment = server.environment(os.environ)
        try:
            process = await asyncio.create_subprocess_exec(*command, env=environment)
        except FileNotFoundError:
            screen.complain(f"there is no command {command[0]!r}")
            return NOT_FOUND
        except PermissionError:
            screen.complain(f"{command[0]!r} cannot be executed")
            return NOT_EXECUTABLE
        return await _waited(process)
    finally:
        await server.stop()


async def _waited(process: asyncio.subprocess.Process) -> int:
    """The command's exit code; signals that come to us are passed on."""
    loop = asyncio.get_running_loop()

    def passed(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    # A terminal sends Ctrl-C to the command as well: once is enough.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, passed, number)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _PATIENCE_S)
        raise
    return code if code >= 0 else _SIGNALLED - code
