"""What `paysim serve` and `paysim run` share: their options, and how they become a server's."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from paysim.core.errors import ConfigError, UsageError

from . import given

if TYPE_CHECKING:
    from paysim.servers.server import Options

__all__ = ["DEFAULT_PORT", "add", "options", "token"]

DEFAULT_PORT: Final = 8520


def add(parser: argparse.ArgumentParser, default_port: int) -> None:
    """The options of a server."""
    where = parser.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    where.add_argument(
        "--port",
        type=int,
        help=f"of WeChat Pay and the control API; 0 is any free one ({default_port or 'any'})",
    )
    where.add_argument("--proxy-port", type=int, default=0, metavar="PORT", help="of the proxy (any)")
    where.add_argument("--keys", default=".paysim", metavar="DIR", help="the keys folder (./.paysim)")
    where.add_argument(
        "--token",
        type=token,
        default="",
        help="what callers of the control API must know; wanted beyond loopback",
    )

    world = parser.add_argument_group("the sandbox")
    world.add_argument(
        "--store", default="memory", metavar="memory|sqlite:///FILE", help="the journal (memory)"
    )
    world.add_argument(
        "--durability",
        choices=("full", "normal"),
        default="full",
        help="full: on disk before it is answered; normal: a power cut may lose the newest (full)",
    )
    world.add_argument("--allow-reset", action="store_true", help="reset may put a journal file aside")
    world.add_argument("--seed", type=int, metavar="N", help="decides every identifier (0)")
    world.add_argument(
        "--clock",
        choices=("real", "virtual"),
        default="real",
        help="virtual: moved by the control API (real)",
    )
    world.add_argument(
        "--auto-pay",
        type=_seconds,
        metavar="SECONDS",
        help="somebody pays each order after that time (nobody)",
    )
    world.add_argument(
        "--refund-seconds", type=_seconds, default=1.0, metavar="N", help="a refund is PROCESSING so long (1)"
    )
    world.add_argument(
        "--lenient-path", action="store_true", help="take signatures over the decoded path, too"
    )

    out = parser.add_argument_group("callbacks and other hosts")
    out.add_argument(
        "--notify-host",
        action="append",
        default=[],
        metavar="GLOB",
        help="callbacks may go there, not to loopback alone",
    )
    out.add_argument(
        "--notify-rewrite",
        action="append",
        default=[],
        metavar="PREFIX=URL",
        help="callbacks for PREFIX go to URL: an app's public notify_url leads to its local server",
    )
    out.add_argument(
        "--strict-notify-url", action="store_true", help="call no address that production would not"
    )
    out.add_argument(
        "--allow-host",
        action="append",
        type=_host_glob,
        default=[],
        metavar="GLOB",
        help="the proxy lets such hosts through untouched; a wallet's never",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"seconds are 0 to 86400, not {text!r}")
    return value


def _host_glob(text: str) -> str:
    if not text or "/" in text or text.count(":") == 1:
        raise argparse.ArgumentTypeError(f"a host or a pattern such as *.shop.example, not {text!r}")
    return text


def token(text: str) -> str:
    """A token as it is given at the prompt: what a header can carry, or nothing."""
    if not all("!" <= one <= "~" for one in text):
        raise argparse.ArgumentTypeError("a token is of visible ASCII characters, without spaces")
    return text


def options(arguments: Namespace, default_port: int) -> Options:
    """The server's options. Raises UsageError; its ConfigError where the extra `serve` is not installed."""
    try:
        from paysim.operators.wechat.merchants import Settings
        from paysim.servers.server import Options
        from paysim.servers.webhooks import Policy, parse_rewrite
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing; pip install 'paysim[serve]'") from None
    auto: dict[str, Any] = {}
    if arguments.auto_pay is not None:
        auto["auto_pay_ms"] = round(arguments.auto_pay * 1000)
    refund_ms = round(arguments.refund_seconds * 1000)
    rewrites = tuple(parse_rewrite(text) for text in arguments.notify_rewrite)
    return Options(
        host=arguments.host,
        port=default_port if arguments.port is None else arguments.port,
        proxy_port=arguments.proxy_port,
        store=arguments.store,
        durability=arguments.durability,
        keys=_keys(arguments.keys),
        seed=arguments.seed,
        clock=arguments.clock,
        token=arguments.token,
        allow_reset=arguments.allow_reset,
        allow_hosts=tuple(arguments.allow_host),
        settings=Settings(refund_ms=refund_ms, lenient_path=arguments.lenient_path, **auto),
        policy=Policy(tuple(arguments.notify_host), rewrites, strict=arguments.strict_notify_url),
    )


def _keys(name: str) -> Path:
    path = given.path_of(name)
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for --keys {name}; make it first")
    return path
