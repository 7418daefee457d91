"""`paysim serve`: the operators' servers and the control API, until Ctrl-C."""

from __future__ import annotations

import asyncio
import shlex
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import serving
from .running import ending, running
from .screen import Screen

if TYPE_CHECKING:
    from paysim.servers.server import Options, Server

__all__ = ["run"]


def run(arguments: Namespace, screen: Screen) -> int:
    """Serve until a signal comes."""
    options = serving.options(arguments, serving.DEFAULT_PORT)
    return asyncio.run(_serve(options, screen))


async def _serve(options: Options, screen: Screen) -> int:
    stopped = asyncio.Event()
    ending(lambda _number: stopped.set())
    async with running(options, screen) as (server, described):
        _greet(server, described, screen)
        screen.result(dict(described))
        screen.flush()
        await stopped.wait()
        screen.say("stopped")
    return 0


def _greet(server: Server, described: Mapping[str, Any], screen: Screen) -> None:
    wechat, options = described["wechat"], server.options
    people = [one["name"] for one in server.platform.sandbox.wechat.people()]
    journal = "in memory; --store sqlite:///FILE keeps it" if options.store == "memory" else options.store
    screen.head("paysim is running; Ctrl-C stops it", good=True)
    rows = [
        ("WeChat Pay", wechat["base_url"]),
        ("control", described["control"]),
        ("proxy", described["proxy"] or "none"),
        ("keys", described["keys"]),
        ("journal", journal),
        ("merchant", f"mchid {wechat['mchid']}, appid {wechat['appid']}"),
        ("people", ", ".join(people) or "nobody"),
    ]
    for name, value in rows:
        screen.say(f"  {name:<11} {value}")
    screen.say("\nBe the phone that scans a code (扫码付款), and see who came by:\n")
    screen.say(f"  paysim pay {_options(options)}CODE_URL")
    token = f"-H {shlex.quote(f'Authorization: Bearer {options.token}')} " if options.token else ""
    screen.say(f"  curl {token}{described['control']}/requests\n")


def _options(options: Options) -> str:
    """What `paysim pay` has to be told besides."""
    keys = "" if str(options.keys) == ".paysim" else f"--keys {shlex.quote(str(options.keys))} "
    return keys + (f"--token {shlex.quote(options.token)} " if options.token else "")
