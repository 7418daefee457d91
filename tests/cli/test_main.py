"""The command as a whole: usage, errors, streams, terminals, and what it imports."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from counts import count

from paysim.cli import demo
from paysim.cli.screen import Screen, plain
from paysim.qr import symbol

Run = Callable[..., Any]

COMMANDS = ("demo", "serve", "run", "pay", "decode", "qr", "verify", "bench", "doctor")
SHORT = ("demo", "decode", "qr", "verify", "doctor")  # those that end by themselves
HEAVY = (
    "asyncio",
    "httpx",
    "starlette",
    "uvicorn",
    "PIL",
    "cryptography",
    "qrcode",
    "rich",
    "sqlite3",
    "zxingcpp",
    "hypothesis",
    "pytest",
)
PROMPTPAY = "00020101021129370016A000000677010111011300668122233335802TH53037646304C273"
UNFORESEEN = "a fault of paysim itself"


# Usage. -------------------------------------------------------------------------------------------------

WRONG: list[tuple[tuple[str, ...], str]] = [
    ((), "give a command: demo, serve, run, pay, tap, card, readers, decode, qr, verify, bench, doctor"),
    (("buy",), "invalid choice: 'buy'"),
    (("pay",), "CODE_URL|PREPAY_ID|H5_URL|IMAGE"),
    (("pay", "wx", "--outcome", "steal"), "invalid choice: 'steal'"),
    (("run",), "give a command behind --: paysim run -- python shop.py"),
    (("run", "--"), "give a command behind --"),
    (("serve", "now"), "unrecognized arguments: now"),
    (("\ud800",), "invalid choice"),
    (("--js",), "unrecognized arguments: --js"),
    (("decode",), "TEXT|FILE|-"),
    (("decode", "a", "b"), "unrecognized arguments: b"),
    (("decode", "a", "--mode", "soft"), "invalid choice: 'soft'"),
    (("decode", "a", "--profile", "nowhere"), "there is no profile 'nowhere'; there are pix, promptpay"),
    (("demo", "--seed", "x"), "invalid int value: 'x'"),
    (("demo", "--seed", "9" * 5000), "invalid int value"),
    (("qr",), "give a text, - for standard input, or --field"),
    (("verify",), "FILE"),
    (("doctor", "now"), "unrecognized arguments: now"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=lambda value: repr(value)[:40])
def test_wrong_usage_is_one_line_and_64(arguments: tuple[str, ...], said: str, paysim: Run) -> None:
    ran = paysim(*arguments)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.startswith("paysim: ")
    assert ran.err.count("\n") == 1
    assert said in ran.err


def test_the_help_names_every_command_and_the_exit_codes(paysim: Run) -> None:
    ran = paysim("--help")
    assert (ran.code, ran.err) == (0, "")
    for name in COMMANDS:
        assert f"\n    {name} " in ran.out
        shown = paysim(name, "--help")
        assert shown.code == 0
        assert "--json" in shown.out
        assert "--quiet" in shown.out
    assert "0 good, 1 not valid or failed, 2 not understood, 64 wrong usage" in ran.out


def test_the_script_and_the_module_are_one_command(process: Run) -> None:
    import paysim

    script = Path(sys.executable).with_name("paysim")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == process("--version").out == f"paysim {paysim.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["decode", "--help"], ["decode", PROMPTPAY]]
)
def test_nothing_heavy_is_imported_for_a_light_question(arguments: list[str]) -> None:
    program = (
        "import sys; from paysim.cli import main; main(sys.argv[1:]);"
        f"print(sorted({{name.split('.')[0] for name in sys.modules}} & {set(HEAVY)}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == "[]\n"


# Errors. ------------------------------------------------------------------------------------------------


def test_an_unforeseen_error_is_a_line_and_not_a_traceback(
    paysim: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> int:
        raise RecursionError("too deep")

    monkeypatch.setattr(demo, "run", fail)
    ran = paysim("demo", "--json")
    assert ran.code == 1
    assert ran.json == {"error": f"{UNFORESEEN}, please report it: RecursionError('too deep')"}
    assert ran.err == f"paysim: {ran.json['error']}\n"


def test_an_interrupt_is_a_word(paysim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", stop)
    assert paysim("demo") == (130, "", "paysim: stopped\n")


def test_with_json_an_error_is_an_object_too(paysim: Run) -> None:
    ran = paysim("qr", "--json", "x", "--code128", "--out", "x.png")
    assert ran.code == 64
    assert f"paysim: {ran.json['error']}\n" == ran.err


# Streams. -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command", [["--help"], ["demo"], ["decode", PROMPTPAY], ["decode", "--json", PROMPTPAY]]
)
def test_a_reader_that_goes_away_is_no_error(command: list[str], unbuffered: str, process: Run) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        ran = process(*command, stdout=theirs, env={"PYTHONUNBUFFERED": unbuffered})
    finally:
        os.close(theirs)
    assert ran.code == 1
    assert ran.err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [["--help"], ["decode", PROMPTPAY]])
def test_a_full_disk_is_said(command: list[str], unbuffered: str, process: Run) -> None:
    with open("/dev/full", "wb") as full:
        ran = process(*command, stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
    assert ran.code == 1
    assert ran.err == "paysim: the output could not be written: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("command", "code"), [(f"decode {PROMPTPAY}", 0), ("decode -", 2), ("qr x", 0)])
def test_closed_streams_do_not_matter(command: str, code: int, closed: str) -> None:
    line = f'"{sys.executable}" -m paysim {command} </dev/null {closed}'
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert done.returncode == code


ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "utf-16"},
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("env", ENCODINGS, ids=str)
def test_no_encoding_stops_the_command(env: dict[str, str], tmp_path: Path) -> None:
    from paysim.qr import merchant

    code = merchant.encode({"00": "01", "59": "最佳"})
    for arguments in (
        ["qr", code],
        ["decode", "-"],
        ["decode", "-", "--json"],
        ["qr", "-", "--json"],
        ["demo"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "paysim", *arguments],
            input=code.encode(),
            env={**os.environ, **env},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        assert UNFORESEEN.encode() not in done.stderr
        assert done.stdout or done.stderr


def test_in_ascii_a_code_is_still_a_code(process: Run) -> None:
    out = process("qr", "hello", env={"PYTHONIOENCODING": "ascii"}).out
    rows = out.splitlines()[:-1]
    assert set("".join(rows)) == {"#", " "}
    modules = [tuple(row[i] == " " for i in range(0, len(row), 2)) for row in rows]
    assert tuple(row[4:-4] for row in modules[4:-4]) == symbol.matrix("hello")


def test_json_is_the_same_in_every_encoding(process: Run) -> None:
    text = "00020159046304最佳"
    wanted = process("decode", "--json", text).json
    for env in ENCODINGS[:2]:
        assert process("decode", "--json", text, env=env).json == wanted


def test_an_argument_that_is_no_utf_8(process: Run) -> None:
    ran = process("decode", "--json", b"0002\xff\xfe01")
    assert ran.json["kind"] == "unknown"
    assert process("decode", b"0002\xff\xfe01").code == 2
    assert process("qr", b"\xff").code == 64


# Terminals. ---------------------------------------------------------------------------------------------


def test_colour_is_for_terminals(terminal: Run, process: Run) -> None:
    assert "\x1b[" in terminal("decode", PROMPTPAY).out
    assert "\x1b" not in process("decode", PROMPTPAY).out
    assert "\x1b" not in process("demo").out


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
@pytest.mark.parametrize("command", [("decode", PROMPTPAY), ("doctor",), ("qr", "hello"), ("demo",)])
def test_no_colour_where_none_is_wanted(command: tuple[str, ...], env: dict[str, str], terminal: Run) -> None:
    ran = terminal(*command, env=env)
    assert ran.code == 0
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("columns", [10, 39, 40, 79])
def test_a_narrow_terminal_folds_tables(columns: int, terminal: Run) -> None:
    ran = terminal("decode", PROMPTPAY, columns=columns)
    assert ran.code == 0
    assert "0066812223333" in ran.out
    assert "static" in ran.out


def test_a_code_that_is_too_wide_for_the_terminal_is_not_drawn_in_pieces(terminal: Run) -> None:
    assert "█" in terminal("qr", "hello", columns=29).out
    narrow = terminal("qr", "hello", columns=28).out
    assert "█" not in narrow
    assert "the code is 29 columns wide and this terminal 28: widen it, or --out FILE" in narrow


def test_progress_shows_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(screen: Screen) -> str:
        with screen.progress("checking", 10) as show:
            for done in range(10):
                show(done)
        return capsys.readouterr().err

    assert work(Screen()) == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert "checking" in work(Screen())
    assert "checking" in work(Screen(as_json=True))
    assert work(Screen(quiet=True)) == ""


PLAIN = [
    ("Tea House", "Tea House"),
    ("最佳运输 é", "最佳运输 é"),
    ("a\x1b[2Jb", "a\\x1b[2Jb"),
    ("a\r\n\0b", "a\\r\\n\\x00b"),
    ("\x9b\u202e\ud800", "\\x9b\\u202e\\ud800"),
]


@pytest.mark.parametrize(("text", "shown"), PLAIN)
def test_what_is_no_character_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert plain(text) == shown


# Anything at all. ---------------------------------------------------------------------------------------

ARGUMENTS = 4_000  # a tenth of them, unless PAYSIM_LONG=1
WORDS = [
    *SHORT,
    *(
        "--json",
        "--quiet",
        "--mode",
        "strict",
        "lenient",
        "--profile",
        "pix",
        "--help",
        "--version",
        "--",
        "-",
    ),
    *("--field", "59=Tea", "26.00=a", "62.50.00=b", "=", "--out", "--module-px", "2", "-1", "--error", "H"),
    *("--code128", "--invert", "--head", "0" * 64, "--repair", "--quiet-modules", "0", "x.png", "y.svg"),
    *(PROMPTPAY, "hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8=", "130241379508743918", "hello", "最佳"),
    *("", "a\0b", "\ud800", "\udcff", "\x1b[2J", ".", "..", "/", "/dev/null", "/dev/zero", "nowhere/x.png"),
    *("file", "folder", "code.png", "shop.db", "%s", "{}", "@x", "[red]", "--mode=soft", "0" * 5000),
]


def mutations(source: random.Random, rounds: int) -> Iterator[list[str]]:
    for _ in range(rounds):
        words = [source.choice(SHORT)] * (source.random() < 0.9)
        words += source.choices(WORDS, k=source.randrange(5))
        if words and source.random() < 0.5:
            at = source.randrange(len(words))
            word = words[at]
            cut = source.randrange(len(word) + 1)
            words[at] = (
                word[:cut] + chr(source.choice((0, 9, 10, 27, 48, 0xE9, 0xD800, 0x1F600))) + word[cut + 1 :]
            )
        yield words


def test_no_arguments_and_no_file_break_the_command(
    paysim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paysim import CNY, Sandbox

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "paysim.cli.demo.run", lambda _arguments, _screen: 0
    )  # its arguments are few, its work is not
    (tmp_path / "folder").mkdir()
    with Sandbox(seed=7, store="sqlite:///shop.db") as sandbox:
        sandbox.shop("Tea House").create(CNY("1.00"))
    files = {
        "code.png": symbol.png(PROMPTPAY),
        "shop.db": (tmp_path / "shop.db").read_bytes(),
        "file": PROMPTPAY.encode(),
    }
    source = random.Random(20260725)
    for words in mutations(source, count(ARGUMENTS)):
        for name, data in files.items():
            spoilt = bytearray(data)
            for _ in range(source.randrange(3)):
                spoilt[source.randrange(len(spoilt))] = source.randrange(256)
            (tmp_path / name).write_bytes(
                spoilt[: source.randrange(len(spoilt))] if source.random() < 0.2 else spoilt
            )
        ran = paysim(*words, stdin=files[source.choice(list(files))][: source.randrange(200)])
        assert ran.code in (0, 1, 2, 64), words
        assert UNFORESEEN not in ran.err, words
        assert "Traceback" not in ran.err, words
        if ran.code == 64:
            assert ran.err, words
        if "--json" in words and "decode" in words[:1] and ran.code < 64 and not {"--help", "-h"} & {*words}:
            assert set(ran.json) == {"kind", "valid", "issues", "fields"}, words
