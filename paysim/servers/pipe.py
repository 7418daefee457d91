"""Two ends of a connection, and the bytes between them.

An end is TCP as it is, or TCP with our TLS on it. Each side may finish before the other (half-close); a slow
reader slows the writer down; a silent pair is cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from asyncio import StreamReader, StreamWriter
from typing import Final

__all__ = ["End", "TlsEnd", "pipe"]

_CHUNK: Final = 65_536


class End:
    """One end: TCP as it is. `read` gives b"" once the other side has finished."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader: Final = reader
        self._writer: Final = writer

    async def read(self) -> bytes:
        """What has come, at least one byte; b"" at the end."""
        return await self._reader.read(_CHUNK)

    async def write(self, data: bytes) -> None:
        """Sends; waits while the other side reads slowly."""
        self._writer.write(data)
        await self._writer.drain()

    async def finish(self) -> None:
        """No more will be written; reading goes on."""
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()
        await self._writer.drain()

    def abort(self) -> None:
        """Closes at once: what was not sent yet is dropped."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Closes after what was written has gone out."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class TlsEnd(End):
    """TCP with our TLS on it: we are the server.

    OpenSSL works on memory here and the sockets stay with the streams: a client that sends its hello before
    our 200 loses nothing, and each side can finish alone, which asyncio's own TLS cannot.
    """

    def __init__(self, reader: StreamReader, writer: StreamWriter, context: ssl.SSLContext) -> None:
        super().__init__(reader, writer)
        self._came: Final = ssl.MemoryBIO()
        self._goes: Final = ssl.MemoryBIO()
        self._tls: Final = context.wrap_bio(self._came, self._goes, server_side=True)

    async def handshake(self) -> None:
        """Raises ssl.SSLError where the client wants something else, or does not trust us."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    raise ConnectionResetError("the client left during the handshake") from None
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self._flush()  # the alert that tells the client why
                raise
        await self._flush()

    async def read(self) -> bytes:
        """What has come, deciphered; b"" at the end, or where the client left without a word."""
        while True:
            try:
                return self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    return b""  # closed without a word: HTTP says itself where it ends
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def write(self, data: bytes) -> None:
        """Enciphers and sends; waits while the client reads slowly."""
        self._tls.write(data)
        await self._flush()

    async def finish(self) -> None:
        """Says that no more comes; reading goes on."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()  # says close_notify; wants to wait for the client's, which `read` does
        await self._flush()
        await super().finish()

    async def _fill(self) -> bool:
        data = await self._reader.read(_CHUNK)
        if data:
            self._came.write(data)
        return bool(data)

    async def _flush(self) -> None:
        if self._goes.pending:
            self._writer.write(self._goes.read())
            await self._writer.drain()


async def pipe(near: End, far: End, *, idle_s: float, linger_s: float) -> None:
    """Carries bytes both ways until both sides have finished.

    Once the far side has finished, or one way is broken, what is still under way has `linger_s`. Raises
    TimeoutError where neither side has moved for `idle_s`, OSError where one broke.
    """
    flow = _Flow(asyncio.get_running_loop().time())
    there = asyncio.create_task(flow.carry(near, far))
    back = asyncio.create_task(flow.carry(far, near))
    try:
        while running := [way for way in (there, back) if not way.done()]:
            cut = back.done() or (there.done() and there.exception() is not None)
            left = flow.moved_s + (linger_s if cut else idle_s) - asyncio.get_running_loop().time()
            if left <= 0:
                raise TimeoutError("nothing moved")
            await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        there.result()
        back.result()
    finally:
        there.cancel()
        back.cancel()
        await asyncio.gather(there, back, return_exceptions=True)


class _Flow:
    """Bytes under way, and when they last moved on the loop's clock."""

    def __init__(self, now_s: float) -> None:
        self.moved_s = now_s

    async def carry(self, source: End, sink: End) -> None:
        time_s = asyncio.get_running_loop().time
        while data := await source.read():
            self.moved_s = time_s()
            await sink.write(data)
            self.moved_s = time_s()
        await sink.finish()
        self.moved_s = time_s()
