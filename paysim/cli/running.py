"""A server's life at the prompt: from its start to the signal that ends it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from .screen import Screen

if TYPE_CHECKING:
    from paysim.servers.server import Options, Server

__all__ = ["ending", "running"]

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.asynccontextmanager
async def running(options: Options, screen: Screen) -> AsyncIterator[tuple[Server, Mapping[str, Any]]]:
    """A server that answers, with what `sandbox.json` says; everything is closed at the end."""
    from paysim.servers.server import Server

    server = Server(options, screen.complain)
    described = await server.start()
    try:
        yield server, described
    finally:
        await server.stop()


def ending(act: Callable[[int], None]) -> None:
    """Let `act` have each signal that asks us to end; a hang-up that was ignored before (nohup) stays so.

    Ctrl-C is heeded even where it was ignored: shells do that to what a script starts with `&`, and a sandbox
    that outlives its script is of no use.
    """
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, act, number)
