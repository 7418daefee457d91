"""What `paysim serve` and `paysim run` share: their options, and how they become a server's."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paysim.core.errors import ConfigError

if TYPE_CHECKING:
    from paysim.servers.server import Options

__all__ = ["add", "options"]


def add(parser: argparse.ArgumentParser) -> None:
    """The options of a server."""
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    parser.add_argument("--port", type=int, default=None, help="the operators' port; 0 is any free one")
    parser.add_argument("--proxy-port", type=int, default=0, metavar="PORT", help="the proxy's port (any)")
    parser.add_argument(
        "--store", default="memory", metavar="memory|sqlite:///FILE", help="the journal (memory)"
    )
    parser.add_argument("--durability", choices=("full", "normal"), default="full", help="of a journal file")
    parser.add_argument("--keys", default=".paysim", metavar="DIR", help="the keys folder (./.paysim)")
    parser.add_argument("--seed", type=int, help="decides every identifier (0)")
    parser.add_argument("--clock", choices=("real", "virtual"), default="real", help="(real)")
    parser.add_argument(
        "--auto-pay", type=_seconds, metavar="SECONDS", help="somebody pays each order after that time"
    )
    parser.add_argument(
        "--refund-seconds", type=_seconds, default=1.0, metavar="N", help="a refund is PROCESSING so long (1)"
    )
    parser.add_argument(
        "--notify-host",
        action="append",
        default=[],
        metavar="GLOB",
        help="callbacks may go to such hosts, too",
    )
    parser.add_argument(
        "--notify-rewrite",
        action="append",
        default=[],
        metavar="PREFIX=URL",
        help="callbacks for PREFIX go to URL: an app's public notify_url leads to its local server",
    )
    parser.add_argument(
        "--strict-notify-url", action="store_true", help="call no address that production would not"
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="GLOB", help="the proxy lets such hosts through"
    )
    parser.add_argument("--allow-reset", action="store_true", help="a journal file may be replaced by reset")
    parser.add_argument("--lenient-path", action="store_true", help="take signatures over the decoded path")
    parser.add_argument("--token", default="", help="what callers of the control API must know")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"seconds are 0 to 86400, not {text!r}")
    return value


def options(arguments: Namespace, default_port: int) -> Options:
    """The server's options. Raises ConfigError where the extra `serve` is not installed."""
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
        keys=Path(arguments.keys),
        seed=arguments.seed,
        clock=arguments.clock,
        token=arguments.token,
        allow_reset=arguments.allow_reset,
        allow_hosts=tuple(arguments.allow_host),
        settings=Settings(refund_ms=refund_ms, lenient_path=arguments.lenient_path, **auto),
        policy=Policy(tuple(arguments.notify_host), rewrites, strict=arguments.strict_notify_url),
    )
