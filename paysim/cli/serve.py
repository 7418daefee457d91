"""`paysim serve`: the operators' servers and the control API, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from . import serving
from .screen import Screen

if TYPE_CHECKING:
    from paysim.servers.server import Options

__all__ = ["run"]

DEFAULT_PORT: Final = 8520


def run(arguments: Namespace, screen: Screen) -> int:
    """Serve until a signal comes."""
    options = serving.options(arguments, DEFAULT_PORT)
    return asyncio.run(_serve(options, screen))


async def _serve(options: Options, screen: Screen) -> int:
    from paysim.servers.server import Server

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = Server(options, screen.complain)
    described = await server.start()
    try:
        _greet(described, screen)
        screen.result(dict(described))
        screen.flush()
        await stopped.wait()
    finally:
        await server.stop()
    return 0


def _greet(described: Mapping[str, Any], screen: Screen) -> None:
    wechat = described["wechat"]
    screen.head("paysim is running; Ctrl-C stops it", good=True)
    rows = [
        ("WeChat Pay", wechat["base_url"]),
        ("control", described["control"]),
        ("proxy", described["proxy"] or "none"),
        ("keys", described["keys"]),
        ("merchant", f"mchid {wechat['mchid']}, appid {wechat['appid']}"),
    ]
    for name, value in rows:
        screen.say(f"  {name:<11} {value}")
    screen.say(f"\n  curl {described['control']}/people")
    screen.say("  paysim pay CODE_URL        be the phone that scans a code")
