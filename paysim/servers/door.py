"""Who may come in: the guard of the control API, and the connections' own limits.

The control API moves money and hands out keys, so a web page that a developer happens to visit must not
reach it: the Host is this machine's name (a name that somebody pointed here is refused), a foreign Origin is
refused, no answer allows another origin to read it, and away from loopback a token is wanted.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_S", "Guard", "GuardedProtocol"]

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]

HEAD_S: Final = 10.0
"""How long a client may take for the head of a request, counted from its connection or the last answer."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Guard:
    """Lets a request through to the control API where its Host, Origin and token are right."""

    def __init__(self, app: App, *, host: str, token: str) -> None:
        self._app = app
        named = f"[{host}]" if ":" in host else host
        self._hosts = _LOOPBACK | {named}
        self._token = token

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer, or refuse."""
        from .control import failure

        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        why = self._why_not(headers)
        if why:
            await failure(403, "forbidden", why)(scope, receive, send)
        elif self._token and not self._knows(headers.get(b"authorization", "")):
            text = "this sandbox wants its token: Authorization: Bearer ..."
            await failure(401, "token", text)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _why_not(self, headers: dict[bytes, str]) -> str:
        host = headers.get(b"host", "")
        if _name(host) not in self._hosts and not self._token:
            return f"the Host is {host[:80]!r}; the control API answers to this machine's own name alone"
        origin = headers.get(b"origin", "")
        if origin and origin != f"http://{host}":
            return f"the Origin {origin[:80]!r} is another site's"
        return ""

    def _knows(self, authorization: str) -> bool:
        given = authorization.removeprefix("Bearer ").encode("utf-8", "replace")
        return hmac.compare_digest(given, self._token.encode())


def _name(host: str) -> str:
    name = host.lower()
    head, _, port = name.rpartition(":")
    return head if head and port.isdigit() and not (name.startswith("[") and name.endswith("]")) else name


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP, with an end to slow heads, and the transport within the application's reach."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take in bytes; a head that is through stops the clock."""
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.abort()
