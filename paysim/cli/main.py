"""The command line: what each command takes, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

from paysim.core.errors import PaysimError, StoreError, UsageError

from .screen import Screen

__all__ = ["main"]

WRONG_USAGE: Final = 64
FAILED: Final = 1
INTERRUPTED: Final = 130

_EPILOG: Final = """\
A sandbox for payments: real protocols, no real money. Examples:

  paysim demo                              pay by each QR way, refund, decline, lose an answer and find it
  paysim decode 000201...6304A13A          what is in a code, and what is wrong with it
  paysim decode photo.png --json           the same for a picture, for programs
  paysim qr --field 59="Tea House" ...     make a code
  paysim verify shop.db                    prove that a journal was not changed
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}; `{self.prog} --help` says more", file=sys.stderr)
        raise SystemExit(WRONG_USAGE)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="paysim", description="Simulates payment channels.", epilog=_EPILOG, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"paysim {_version()}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="no progress, and nothing but the exit code and JSON")
    common.add_argument("--json", action="store_true", help="one JSON object on stdout")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, add in _COMMANDS.items():
        add(commands, name, common)
    return parser


def _version() -> str:
    import paysim

    return paysim.__version__


def _demo(commands: Any, name: str, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(name, parents=[common], help="one payment over each channel, in a minute")
    parser.add_argument("--out", metavar="DIR", help="where the PNG that was scanned goes (else a temporary folder)")
    parser.add_argument("--seed", type=int, default=7, help="the sandbox's seed (7)")


def _decode(commands: Any, name: str, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(name, parents=[common], help="say what a text, a picture or a file is")
    parser.add_argument("input", metavar="TEXT|FILE|-", help="a code's text, a PNG or JPEG, a journal, or - for stdin")
    modes = ("strict", "profile", "lenient")
    parser.add_argument("--mode", choices=modes, default="profile", help="how hard to judge merchant codes (profile)")
    parser.add_argument("--profile", metavar="NAME", help="judge by this national profile instead of the recognised one")


def _qr(commands: Any, name: str, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(name, parents=[common], help="make a QR code or a Code 128")
    parser.add_argument("text", nargs="?", metavar="TEXT|-", help="what the code says; - for stdin")
    parser.add_argument(
        "--field", action="append", default=[], metavar="ID=VALUE", help="an object of a merchant code: 59=NAME, 26.00=GUID"
    )
    parser.add_argument("--out", metavar="FILE", help="a .png or .svg file (else the terminal)")
    parser.add_argument("--module-px", type=int, default=8, metavar="N", help="pixels a module (8)")
    parser.add_argument("--quiet-modules", type=int, default=4, metavar="N", help="width of the quiet zone (4)")
    parser.add_argument("--error", choices=tuple("LMQH"), default="M", help="error level (M)")
    parser.add_argument("--code128", action="store_true", help="a bar code for payment codes instead")
    parser.add_argument("--invert", action="store_true", help="for terminals with a light background")


def _verify(commands: Any, name: str, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(name, parents=[common], help="check a journal: chain, replay, every invariant")
    parser.add_argument("file", metavar="FILE", help="the journal")
    parser.add_argument("--head", metavar="HASH", help="an earlier head hash: nothing may be changed or cut after it")
    parser.add_argument("--repair", action="store_true", help="keep what is readable; the damaged file stays beside it")


def _doctor(commands: Any, name: str, common: argparse.ArgumentParser) -> None:
    commands.add_parser(name, parents=[common], help="what this machine has, and what installs the rest")


_COMMANDS: Final = {"demo": _demo, "decode": _decode, "qr": _qr, "verify": _verify, "doctor": _doctor}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; an error is one line on stderr, never a traceback."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as done:
        return int(done.code or 0)
    screen = Screen(quiet=arguments.quiet, as_json=arguments.json)
    try:
        code = int(import_module(f"paysim.cli.{arguments.command}").run(arguments, screen))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        screen.complain("stopped")
        return INTERRUPTED
    except (PaysimError, OSError) as error:
        screen.complain(str(error))
        return WRONG_USAGE if isinstance(error, UsageError) and not isinstance(error, StoreError) else FAILED
