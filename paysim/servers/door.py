"""Who may come in: the guard of the control API.

The control API moves money and hands out keys, so a web page that a developer happens to visit must not
reach it: the Host is this machine's name (a name that somebody pointed here is refused), a foreign Origin is
refused, no answer allows another origin to read it, and away from loopback a token is wanted.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from .control_routes import failure

__all__ = ["Guard"]

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]

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
