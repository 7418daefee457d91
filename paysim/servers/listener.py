"""uvicorn with an end to slow heads, slow bodies and readers that stop reading, and with its own shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["BODY_S", "GRACE_S", "HEAD_BYTES", "HEAD_S", "READ_S", "GuardedProtocol", "Listener"]

HEAD_S: Final = 10.0
"""How long a client may take for the head of a request, counted from its first byte or its connection."""

BODY_S: Final = 15.0
"""How long it may take for the body; the application gives up first, where it reads one."""

READ_S: Final = 30.0
"""How long it may leave an answer unread once no more of it fits into the buffers."""

GRACE_S: Final = 2.0
"""How long requests that are under way may take when everything ends."""

HEAD_BYTES: Final = 64 * 1024
_KEEP_ALIVE_S: Final = 75
_TICK_S: Final = 0.1
_LOOK_S: Final = 0.005


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP with limits of time, and the transport within the application's reach."""

    _waiting = ""
    _timer: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take in bytes, and look what is still to come."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Look at what the client has sent meanwhile."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._wait_for("")
        self.resume_writing()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Run the clock for what the client owes: a head that has begun, or the rest of a body."""
        if self.transport.is_closing():
            return self._wait_for("")
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            return self._wait_for("body" if cycle.more_body else "")
        if self.conn.their_state is h11.SEND_BODY:
            return self._wait_for("body")
        return self._wait_for("head" if cycle is None or self.conn.trailing_data[0] else "")

    def _wait_for(self, what: str) -> None:
        if what == self._waiting:
            return
        self._waiting = what
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if what:
            self._timer = self.loop.call_later(HEAD_S if what == "head" else BODY_S, self.transport.abort)

    def pause_writing(self) -> None:
        """The client does not read: not for long."""
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP; where an answer has begun or is through already, only close."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.abort()


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
                timeout_keep_alive=_KEEP_ALIVE_S,
                h11_max_incomplete_event_size=HEAD_BYTES,
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
            with contextlib.suppress(h11.LocalProtocolError):
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
