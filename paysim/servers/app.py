"""All faces on one port: WeChat Pay's API, the control API, the payer's pages."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

from starlette.applications import Starlette

from paysim.operators.wechat.hosts import WECHAT_HOSTS

from . import control_routes, pages
from .counter import Counter
from .door import Guard
from .platform import Platform
from .wire import WeChatFace, answer

__all__ = ["App"]

_PREFIX: Final = "/_paysim"
_OURS: Final = f"{_PREFIX}/"


class App:
    """The ASGI application of a sandbox: `host` and `token` are for the control API's door."""

    def __init__(self, platform: Platform, *, host: str, token: str = "") -> None:
        routes = [*pages.routes(Counter(platform)), *control_routes.routes(platform)]
        inside = Starlette(routes=routes, exception_handlers=control_routes.HANDLERS)
        self._pages = inside
        self._control = Guard(inside, host=host, token=token)
        self._wechat = WeChatFace(platform)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request, by its path and the Host that it was sent to."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path.startswith(_OURS) and not _is_wallet(scope):
            await self._control(scope, receive, send)
        elif path.startswith(pages.WALLET_FOLDER) and _is_wallet(scope):
            await self._pages(scope, receive, send)
        elif path in ("/", _PREFIX) and not _is_wallet(scope):
            await answer(send, 307, (("Location", f"{_OURS}openapi.json"),), b"")
        else:
            await self._wechat(scope, receive, send)


def _is_wallet(scope: MutableMapping[str, Any]) -> bool:
    """Whether it came under a wallet's name, through the proxy: nothing of ours is there."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return host.decode("latin-1").partition(":")[0].lower().rstrip(".") in WECHAT_HOSTS
