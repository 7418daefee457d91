"""uvicorn with its own shutdown; what each client may do is in `connection`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final

import uvicorn

from .connection import GuardedProtocol

__all__ = ["GRACE_S", "Listener"]

GRACE_S: Final = 2.0
"""How long requests that are under way may take when everything ends."""

_KEEP_ALIVE_S: Final = 75
_TICK_S: Final = 0.1
_LOOK_S: Final = 0.005


class Listener(uvicorn.Server):
    """uvicorn without its own handling of signals, and with an end that leaves nothing behind."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=GuardedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
            )
        )
        self._leaving = asyncio.Event()

    async def run_on(self, listening: socket.socket) -> None:
        """Serve until `leave`. Signals are for whoever made the loop."""
        await self._serve([listening])

    def leave(self) -> None:
        """Let `run_on` come to its end."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        """Keep the Date header true until it is time to leave."""
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864_000
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), _TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close every socket: requests that are under way have their grace, then they are cut."""
        for server in self.servers:
            server.close()
        for one in sockets or []:
            one.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                while self.server_state.connections or self.server_state.tasks:
                    await asyncio.sleep(_LOOK_S)
        await self._cut_the_rest()
        for server in self.servers:
            await server.wait_closed()

    async def _cut_the_rest(self) -> None:
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports say that they are gone
