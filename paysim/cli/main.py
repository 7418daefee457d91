"""The command line: what each command takes, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

from paysim.core.errors import PaysimError, UsageError

from . import serving
from .screen import Screen

__all__ = ["main"]

WRONG_USAGE: Final = 64
FAILED: Final = 1
INTERRUPTED: Final = 130

_EPILOG: Final = """\
A sandbox for payments: real protocols, no real money. Examples:

  paysim run -- python shop.py             your WeChat Pay program, unchanged, against a sandbox
  paysim pay 'weixin://wxpay/...'          be the phone that scans its code
  paysim demo                              pay over each channel, refund, decline, lose an answer and find it
  paysim tap --card visa --amount 9.90     hold a card to a terminal; --trace shows each byte
  paysim card --profile visa               be a card in the virtual reader; paysim tap --driver pcsc pays
  paysim decode 000201...6304A13A          what is in a code, and what is wrong with it
  paysim decode photo.png --json           the same for a picture, for programs
  paysim qr --field 59="Tea House" ...     make a code
  paysim verify shop.db                    prove that a journal was not changed

Exit codes: 0 good, 1 not valid or failed, 2 not understood, 64 wrong usage.
"""


class _Parser(argparse.ArgumentParser):
    """argparse with one line an error and the exit code of wrong usage."""

    def error(self, message: str) -> NoReturn:
        Screen.complain(f"{message}; `{self.prog} --help` says more")
        raise SystemExit(WRONG_USAGE)

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is not None:  # argparse swallows what goes wrong here; main says it
            file.write(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="paysim",
        description="Simulates payment channels.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"paysim {_version()}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", parser_class=_Parser
    )
    for name, (add, about, more) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        add(command)
        command.add_argument("--quiet", action="store_true", help="no words on stdout and no progress")
        command.add_argument("--json", action="store_true", help="one JSON object on stdout, for programs")
    return parser


def _version() -> str:
    import paysim

    return paysim.__version__


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", metavar="DIR", help="where the PNG that was scanned goes (else a temporary folder)"
    )
    parser.add_argument("--seed", type=int, default=7, help="the sandbox's seed (7)")


def _decode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        metavar="TEXT|FILE|-",
        help="a code's text, a PNG or JPEG, a journal, a callback's JSON, hex of an APDU or of data objects, "
        "TAG=HEX or NAME=HEX, a recorded tap, or - for standard input",
    )
    modes = ("strict", "profile", "lenient")
    parser.add_argument(
        "--mode",
        choices=modes,
        default="profile",
        help="strict: EMVCo's rules alone; profile: less what the national profile forgives (the default); "
        "lenient: besides, what a payment can do without",
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        type=_profile,
        help="judge by this national profile, not the recognised one",
    )


def _profile(name: str) -> str:
    from paysim.qr.profiles import PROFILES

    if name not in PROFILES:
        raise argparse.ArgumentTypeError(f"there is no profile {name!r}; there are {', '.join(PROFILES)}")
    return name


def _qr(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="?", metavar="TEXT|-", help="what the code says; - for standard input")
    parser.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="ID=VALUE",
        help="an object of a merchant's code: 59=NAME, 26.00=GUID; repeat it; 00 and the CRC are added",
    )
    parser.add_argument("--out", metavar="FILE", help="a .png or .svg file (else the terminal)")
    parser.add_argument("--module-px", type=int, default=8, metavar="N", help="pixels a module (8)")
    parser.add_argument(
        "--quiet-modules", type=int, default=4, metavar="N", help="width of the quiet zone (4)"
    )
    parser.add_argument("--error", choices=tuple("LMQH"), default="M", help="error level (M)")
    parser.add_argument("--code128", action="store_true", help="a bar code for payment codes instead")
    parser.add_argument(
        "--invert", action="store_true", help="for a light background, where there is no colour"
    )


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the journal")
    parser.add_argument(
        "--head", metavar="HASH", help="an earlier head hash: nothing may be changed or cut after it"
    )
    parser.add_argument(
        "--repair", action="store_true", help="keep what is readable; the damaged file stays beside it"
    )


def _doctor(_parser: argparse.ArgumentParser) -> None:
    """Nothing to choose."""


_ABOUT_DECODE: Final = """\
A picture may hold several codes: all are shown; the first that is understood is the result, and the JSON.
What is shown masks the card number of a payer's code and the middle of a payment code; --json has them whole.
So with card numbers among a card's bytes. A text that is a code's is read as a code, even if it is hex too;
hex is a command where class and instruction are EMV's, else an answer where it ends in a status word, else
data objects.

  paysim decode TVR=0000008000        a bit field by name or by tag: 9F66=26004000, IAD=06010A03A00000
  paysim decode 00A4040007A000000003101000
  paysim decode tap.jsonl             a recorded tap (paysim tap --record)

Exit codes: 0 valid, 1 not valid, 2 not understood, 64 wrong usage.
"""
_ABOUT_SERVE: Final = """\
The keys folder's sandbox.json names everything: base URLs, merchant number, app id, serials, key files.
--json prints the same object. The control API is described at /_paysim/openapi.json. SIGINT, SIGTERM and
SIGHUP end it, with exit code 0. For a program that shall run unchanged: paysim run.
"""
_ABOUT_RUN: Final = """\
The program runs in an environment that leads the wallets' own host names to a sandbox of its own (HTTPS_PROXY
and the CA variables; PAYSIM_KEYS is the keys folder); every other host is refused unless --allow-host names
it. The sandbox ends with the program. Several at once want a --keys folder each.

  paysim run -- python shop.py
  paysim run --auto-pay 2 -- pytest tests

Exit codes: the program's; 128 and the number where a signal ended it; 127 no such command, 126 it cannot be
executed; 64 wrong usage. SIGTERM and SIGHUP are passed on to the program.
"""
_ABOUT_PAY: Final = """\
The sandbox is the one of the keys folder: --keys, else PAYSIM_KEYS, else ./.paysim. A picture wants
pip install 'paysim[scan]'.

Exit codes: 0 the payer was told ok, or nothing (silence), 1 cancelled or failed, 64 wrong usage.
"""
_ABOUT_TAP: Final = """\
The card, its issuer and the shop are made for this tap. The cards: visa, visa-online, unionpay,
unionpay-ecash, two-applications, unknown, expired, blocked, slow, flaky. Above 1000.00 CNY a PIN is asked
for. What an e-cash card approves offline is cleared at once.

  paysim tap --card unionpay --amount 9.90 --trace
  paysim tap --card visa --amount 9.90 --record tap.jsonl
  paysim tap --replay tap.jsonl --trace
  paysim tap --driver pcsc --amount 9.90

A record of a payment holds the card's number, without which it could not be played again. A replay gives a
command that was not recorded the answer to the one most like it; --strict ends there.

With --driver the card is whatever is held to a real reader. One of our own (paysim card) pays; a stranger's
is read with SELECT, GET DATA and READ RECORD alone, and nothing is charged; --allow-gpo asks it for GET
PROCESSING OPTIONS too, amount zero, online only. Without --amount any card is only read. Number, name and
account of a card that was read are masked in its record, too, unless --keep-pan.

Exit codes: 0 paid (a replay: approved, as recorded), 1 declined, not decided, or not as recorded, 2 no such
card, or none came, 3 a card was read and nothing charged (a replay: as recorded), 64 wrong usage.
"""
_ABOUT_CARD: Final = """\
The card is one of the keys folder: the issuer of `paysim tap --driver ... --keys DIR` knows it, and what it
remembers (its counter, its balance) lies in the folder, so that a second run goes on. The driver is vpcd
(vsmartcard's virtual reader, which pcscd shows to every PC/SC program; vpcd:PORT where it listens elsewhere),
nfc:usb (a PN532, PN533 or RC-S380) or nfc:udp:HOST:PORT (a radio without hardware: paysim tap says the same).

  paysim card --profile visa                         and in another shell:
  paysim tap --driver pcsc --amount 12.80

Exit codes: 0 taken away (Ctrl-C), 1 no reader, 2 no such card, 64 wrong usage.
"""
_ABOUT_READERS: Final = """\
Readers of the machine's smart card service (PC/SC), and USB readers that nfcpy drives. --watch shows what
comes and goes until Ctrl-C, with --json one object a line.

Exit codes: 0 there is a reader, 1 there is none, 64 wrong usage.
"""
_ABOUT_QR: Final = """\
Example, a code for 12.80 CNY:
  paysim qr --field 01=12 --field 26.00=com.example.pay --field 26.01=42 --field 52=5411 --field 53=156 \\
    --field 54=12.80 --field 58=CN --field 59="TEA HOUSE" --field 60=SHANGHAI --out tea.png
"""


def _serve_options(parser: argparse.ArgumentParser) -> None:
    serving.add(parser, serving.DEFAULT_PORT)


def _run_options(parser: argparse.ArgumentParser) -> None:
    serving.add(parser, 0)
    parser.add_argument(
        "run_command",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND ...",
        help="the program and its arguments",
    )


def _pay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", metavar="CODE_URL|PREPAY_ID|H5_URL|IMAGE", help="what the payer was shown")
    parser.add_argument("--as", dest="payer", default="", metavar="NAME", help="who pays (the first person)")
    parser.add_argument(
        "--outcome",
        default="",
        choices=("", *_OUTCOMES),
        metavar="OUTCOME",
        help=f"{', '.join(_OUTCOMES)} (confirm)",
    )
    parser.add_argument("--keys", default="", metavar="DIR", help="the sandbox's keys folder (./.paysim)")
    parser.add_argument(
        "--token",
        type=serving.token,
        default="",
        metavar="TOKEN",
        help="the sandbox's token, where it has one",
    )


_OUTCOMES: Final = (
    "confirm",
    "refuse",
    "wrong_pin",
    "no_money",
    "silence",
    "ok_but_unpaid",
    "paid_but_cancel_shown",
)


def _bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows to measure (all of them)")


def _tap(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--card", default="", metavar="NAME", help="the card's profile: unionpay, visa, ...")
    parser.add_argument("--amount", default="", metavar="CNY", help="what is to be paid, say 9.90")
    parser.add_argument("--trace", action="store_true", help="each APDU explained, each decision and why")
    parser.add_argument("--keep-pan", action="store_true", help="show card numbers whole, and names")
    parser.add_argument("--pin", metavar="DIGITS", help="what is typed as the PIN (the right one)")
    parser.add_argument("--record", default="", metavar="FILE", help="write every frame down, with its time")
    parser.add_argument("--replay", default="", metavar="FILE", help="play what was recorded, without a card")
    parser.add_argument("--strict", action="store_true", help="end a replay at the first other command")
    parser.add_argument("--seed", type=int, default=7, help="the sandbox's seed (7)")
    reader = parser.add_argument_group("a real reader")
    reader.add_argument(
        "--driver",
        default="",
        metavar="NAME",
        help="pcsc, pcsc:PART OF NAME, nfc:usb, nfc:udp:HOST:PORT, replay:FILE",
    )
    reader.add_argument("--keys", default="", metavar="DIR", help="the cards' keys folder (./.paysim)")
    reader.add_argument(
        "--wait", type=float, default=60.0, metavar="S", help="how long a card is waited for (60 seconds)"
    )
    reader.add_argument(
        "--allow-gpo", action="store_true", help="a stranger's card: GPO too; its counter rises by one"
    )
    reader.add_argument(
        "--ca-keys", default="", metavar="FILE", help="a stranger's card: check its certificates by these"
    )


def _card(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", required=True, metavar="NAME", help="visa, unionpay, unionpay-ecash, ..."
    )
    parser.add_argument(
        "--driver", default="vpcd", metavar="NAME", help="vpcd (the default), nfc:usb or nfc:udp:HOST:PORT"
    )
    parser.add_argument("--slot", type=int, choices=(0, 1), default=0, help="of the virtual reader (0)")
    parser.add_argument("--protocol", choices=("T0", "T1"), default="T1", help="of the virtual reader (T1)")
    parser.add_argument(
        "--tear-at", type=int, default=0, metavar="N", help="tear it out at this command, once, from 1"
    )
    parser.add_argument("--keys", default="", metavar="DIR", help="the keys folder (./.paysim)")


def _readers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--driver",
        action="append",
        default=[],
        metavar="NAME",
        help="look there alone: pcsc, nfc, nfc:udp:HOST:PORT; repeat it",
    )
    parser.add_argument("--watch", action="store_true", help="go on, and say what comes and goes")


_COMMANDS: Final = {
    "demo": (_demo, "one payment over each channel, in a minute", ""),
    "serve": (_serve_options, "serve WeChat Pay and the control API on this machine", _ABOUT_SERVE),
    "run": (_run_options, "run a program whose wallet calls lead to a sandbox", _ABOUT_RUN),
    "pay": (_pay, "be the phone: pay what a merchant shows", _ABOUT_PAY),
    "tap": (_tap, "hold a card to a contactless terminal", _ABOUT_TAP),
    "card": (_card, "put a card in software before a real reader", _ABOUT_CARD),
    "readers": (_readers, "list card readers, and the cards before them", _ABOUT_READERS),
    "decode": (_decode, "say what a text, a picture or a file is", _ABOUT_DECODE),
    "qr": (_qr, "make a QR code or a Code 128", _ABOUT_QR),
    "verify": (_verify, "check a journal: chain, replay, every invariant", ""),
    "bench": (_bench, "the signing core's figures on this machine", ""),
    "doctor": (_doctor, "what this machine has, and what installs the rest", ""),
}
"""Command -> what adds its arguments, what it does, what else its help says."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; an error is one line on stderr, never a traceback."""
    try:
        code = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        Screen.complain("stopped")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has seen enough
        _abandon_stdout()
        return FAILED
    except OSError as error:
        Screen.complain(f"the output could not be written: {error.strerror or error}")
        _abandon_stdout()
        return FAILED


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = _parser().parse_args(argv)
        if arguments.command is None:
            Screen.complain(f"give a command: {', '.join(_COMMANDS)}; `paysim --help` says more")
            return WRONG_USAGE
    except SystemExit as done:
        return int(done.code or 0)
    screen = Screen(quiet=arguments.quiet, as_json=arguments.json)
    try:
        return int(import_module(f"paysim.cli.{arguments.command}").run(arguments, screen))
    except PaysimError as error:
        return _failed(screen, str(error), WRONG_USAGE if isinstance(error, UsageError) else FAILED)
    except OSError as error:
        if error.filename is None:  # of stdout, not of a file
            raise
        return _failed(screen, f"{os.fsdecode(error.filename)}: {error.strerror}", FAILED)
    except Exception as error:  # the last resort: better a line than a traceback
        return _failed(screen, f"a fault of paysim itself, please report it: {error!r}", FAILED)


def _failed(screen: Screen, text: str, code: int) -> int:
    screen.complain(text)
    screen.result({"error": text})
    return code


def _abandon_stdout() -> None:
    """Let what is still to be written vanish, or Python would complain when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        pass
