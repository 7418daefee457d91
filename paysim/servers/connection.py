"""A client's connection: uvicorn's HTTP by httptools, with an end to what is slow, too long or no HTTP.

httptools reads a request many times as fast as h11. What it leaves to its user is done here:
limits of length, the one Host, and `Upgrade`, which is ignored.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BODY_S", "HEAD_BYTES", "HEAD_S", "READ_S", "REQUEST_BYTES", "GuardedProtocol"]

HEAD_S: Final = 10.0
"""How long a client may take for the head of a request, counted from its first byte or its connection."""

BODY_S: Final = 15.0
"""How long it may take for the body; the application gives up first, where it reads one."""

READ_S: Final = 30.0
"""How long it may leave an answer unread once no more of it fits into the buffers."""

HEAD_BYTES: Final = 64 * 1024
"""How much of a head is taken, beyond the bytes that it began among."""

REQUEST_BYTES: Final = 32 * 1024 * 1024
"""How much of a whole request is taken, framing and trailers included; more is cut without a word."""


class _Whole:
    """What an answer is written to: its head waits for its body, so that both leave in one piece.

    Where no body follows in the same turn of the loop, the head goes alone.
    """

    __slots__ = ("_begun", "_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._begun = False
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send it, behind what waits; the first piece waits itself."""
        if self._begun:
            self._transport.write(self._head + data if self._head else data)
            self._head = b""
        else:
            self._begun, self._head = True, data
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Close once everything is sent."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection ends."""
        return self._transport.is_closing()


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP with limits of time and length, and the transport within the application's reach."""

    _part: Literal["", "head", "body"] = ""
    """What of a request has begun and is not through."""

    _taken = 0
    _waiting = ""
    _timer: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._wait_for("")
        self.resume_writing()
        super().connection_lost(exc)

    # What comes in. ---------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take in bytes, and look what is still to come."""
        self._unset_keepalive_if_required()
        self._taken += len(data)
        try:
            while data:
                data = self._fed(data)
        except httptools.HttpParserError:
            return self.send_400_response("This is no HTTP request.")
        if self._part == "head" and self._taken > HEAD_BYTES:
            return self.send_400_response(f"A head has at most {HEAD_BYTES} bytes.")
        if self._taken > REQUEST_BYTES:
            self.transport.abort()
        return self._watch()

    def _fed(self, data: bytes) -> bytes:
        """What is still to be parsed, once these bytes were: a request to upgrade, taken as one without.

        The parser would leave out its body. Source: RFC 9110 7.8 (a server may ignore Upgrade)
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            method, rest = self.parser.get_method(), data[upgrade.args[0] :]
            if method == b"CONNECT":
                raise httptools.HttpParserError("this is no proxy") from None
            headers = [(name, value) for name, value in self.headers if name != b"upgrade"]
            first = b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())
            self.parser = httptools.HttpRequestParser(self)
            return b"\r\n".join([first, *(b"%s: %s" % pair for pair in headers), b"", rest])
        return b""

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._part, self._taken = "head", 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers, which nobody here reads, are let go."""
        if self._part == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is through: hand it on. Source: RFC 9112 3.2 (one Host)"""
        self._part = "body"
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise ValueError("a request names one Host")
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self.scope["state"]["target"] = self.url  # as it was sent: path and query lose a bare "?"
            self.cycle.transport = cast("asyncio.Transport", _Whole(self.transport, self.loop))

    def on_message_complete(self) -> None:
        """The body is through."""
        self._part = ""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Look at what the client has sent meanwhile."""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP; where an answer is under way, or others are to come first, only close."""
        self._wait_for("")
        cycle = self.cycle
        under_way = cycle is not None and not cycle.response_complete and cycle.response_started
        if under_way or self.pipeline or self.transport.is_closing():
            self.transport.abort()
        else:
            super().send_400_response(msg)

    # The clocks. ------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Run the clock for what the client owes: a head that has begun, or the rest of a body."""
        if self.transport.is_closing():
            self._wait_for("")
        elif self._part == "body":
            self._wait_for("body")
        elif self.cycle is not None and not self.cycle.response_complete:
            self._wait_for("")
        else:
            self._wait_for("head" if self._part or self.timeout_keep_alive_task is None else "")

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
