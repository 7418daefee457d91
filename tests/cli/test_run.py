"""`paysim run -- COMMAND`: the command's environment, its streams, its exit code, its signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prompt import TIMEOUT_S, Ran, closed, environment

Run = Callable[..., Ran]

WALLET = "https://api.mch.weixin.qq.com/v3/certificates"


@pytest.fixture
def run(process: Run, furnished: Path) -> Run:
    """Runs `paysim run ARGUMENTS` in a folder that holds its keys; nothing is left of it, whatever comes."""

    def work(*arguments: str, **how: Any) -> Ran:
        ran = process("run", *arguments, cwd=furnished, **how)
        assert not (furnished / ".paysim" / "sandbox.json").exists()
        return ran

    return work


class Started:
    """A `paysim run` under way, in a process group of its own like a terminal's job."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "paysim", "run", *arguments],
            cwd=folder,
            env=environment(PYTHONUNBUFFERED="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def line(self) -> str:
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line:
            raise AssertionError(self.child.communicate(timeout=TIMEOUT_S)[1])
        return line

    def end(self, stdin: str = "") -> Ran:
        out, err = self.child.communicate(stdin, timeout=TIMEOUT_S)
        with pytest.raises(ProcessLookupError):
            os.killpg(self.child.pid, 0)
        return Ran(self.child.returncode, out, err)


@pytest.fixture
def start(furnished: Path) -> Iterator[Callable[..., Started]]:
    """Starts `paysim run` and goes on; what still runs is killed after the test, with its command."""
    started: list[Started] = []

    def begin(*arguments: str) -> Started:
        started.append(Started(*arguments, folder=furnished))
        return started[-1]

    yield begin
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.child.pid, signal.SIGKILL)
        one.child.communicate(timeout=TIMEOUT_S)


def python(program: str) -> tuple[str, ...]:
    return ("--", sys.executable, "-c", program)


# The command. -------------------------------------------------------------------------------------------

CODES = [
    (("sh", "-c", "exit 0"), 0),
    (("sh", "-c", "exit 7"), 7),
    (("sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM),
    (("sh", "-c", "kill -KILL $$"), 128 + signal.SIGKILL),
]


@pytest.mark.parametrize(("command", "code"), CODES, ids=lambda value: repr(value)[-12:])
def test_the_exit_code_is_the_commands(command: tuple[str, ...], code: int, run: Run) -> None:
    assert run("--", *command) == (code, "", "")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("no-such-command", 127, "there is no command 'no-such-command'"),
        ("./no/such/command", 127, "there is no command './no/such/command'"),
        ("./text", 126, "'./text' cannot be executed: Permission denied"),
        ("./garbage", 126, "'./garbage' cannot be executed: Exec format error"),
        (".", 126, "'.' cannot be executed: Permission denied"),
    ],
)
def test_a_command_that_cannot_be_run(command: str, code: int, said: str, run: Run, tmp_path: Path) -> None:
    for name, mode in (("text", 0o644), ("garbage", 0o755)):
        (tmp_path / name).write_bytes(b"\x00\x01\x02")
        (tmp_path / name).chmod(mode)
    assert run(command) == (code, "", f"paysim: {said}\n")


def test_a_folder_of_the_path_that_is_closed_holds_no_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def denied(*_command: str, **_options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("asyncio.create_subprocess_exec", denied)  # root may look into every folder
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("no-such-command").code == 127
    (tmp_path / "command").touch()
    assert run("command").code == 126


def test_its_streams_are_its_own(run: Run) -> None:
    program = "import sys; sys.stderr.write('e'); sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    assert run(*python(program), stdin=b"cba\n") == (0, "\nabc", "e")


def test_its_options_are_not_ours(run: Run) -> None:
    program = "import sys; print(sys.argv[1:])"
    ran = run(*python(program), "--json", "--", "--port", "x")
    assert (ran.code, ran.out) == (0, "['--json', '--', '--port', 'x']\n")


def test_json_tells_the_sandbox_before_the_command_begins(run: Run) -> None:
    ran = run("--json", *python("print('mine')"))
    first, second = ran.out.splitlines()
    described = json.loads(first)
    assert second == "mine"
    assert set(described) == {"control", "proxy", "ca", "wechat", "pid", "keys"}
    assert [closed(urlsplit(described[name]).port or 0) for name in ("control", "proxy")] == [True, True]


# Its environment. ---------------------------------------------------------------------------------------


def test_the_environment_leads_to_the_sandbox(run: Run, tmp_path: Path) -> None:
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    ran = run("--json", *python(program), env={"NO_PROXY": "intra.example", "MINE": "1"})
    described, found = map(json.loads, ran.out.splitlines())
    keys = str(tmp_path / ".paysim")
    wanted = {
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), described["proxy"]),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1,intra.example"),
        **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), f"{keys}/bundle.pem"),
        "NODE_USE_ENV_PROXY": "1",
        "PAYSIM_KEYS": keys,
        "MINE": "1",
    }
    assert {name: found[name] for name in wanted} == wanted
    assert found["NODE_EXTRA_CA_CERTS"] in (f"{keys}/ca.pem", f"{keys}/bundle.pem")
    assert (tmp_path / ".paysim" / "bundle.pem").read_text().count("BEGIN CERTIFICATE") > 1


ASK = """
import json, os, urllib.error, urllib.request
try:
    headers = {{"Accept": "application/json", "User-Agent": "test"}}
    urllib.request.urlopen(urllib.request.Request({url!r}, headers=headers), timeout=30)
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["code"], error.headers["Request-ID"] is not None)
except urllib.error.URLError as error:
    print(error.reason)
"""


def test_the_wallets_own_host_name_leads_to_the_sandbox(run: Run) -> None:
    ran = run(*python(ASK.format(url=WALLET)))
    assert (ran.code, ran.out, ran.err) == (0, "401 SIGN_ERROR True\n", "")


def test_another_host_is_refused_with_a_line_that_names_the_option(run: Run) -> None:
    ran = run(*python(ASK.format(url="https://pypi.org/simple")))
    assert "403" in ran.out
    assert ran.err == (
        "paysim: refused pypi.org:443: only the wallets' hosts are simulated;"
        " to let this one through untouched: --allow-host pypi.org\n"
    )


def test_the_options_of_serve_are_taken(run: Run, tmp_path: Path) -> None:
    program = """
import os
from paysim.servers.client import Client
client = Client.of(os.environ["PAYSIM_KEYS"])
print(client.call("GET", "/clock")["virtual"], os.path.basename(os.environ["PAYSIM_KEYS"]))
"""
    ran = run("--clock", "virtual", "--keys", "other", "--store", "sqlite:///shop.db", *python(program))
    assert ran == (0, "True other\n", "")
    assert (tmp_path / "shop.db").exists()
    assert not (tmp_path / "other" / "sandbox.json").exists()


def test_a_phone_in_the_command_finds_the_sandbox(run: Run) -> None:
    program = """
import json, os, subprocess, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from prompt import ordered
code = ordered(json.loads((Path(os.environ["PAYSIM_KEYS"]) / "sandbox.json").read_text()))
os.chdir("/")
sys.exit(subprocess.run([sys.executable, "-m", "paysim", "pay", code]).returncode)
"""
    ran = run(*python(program.format(tests=str(Path(__file__).parent.parent))))
    nobody = (
        "paysim: callback to http://127.0.0.1:9/notify: connection: nobody listens there; again in 15 s\n"
    )
    assert ran.code == 0
    assert ran.err in ("", nobody)  # the command may be over before the callback was tried
    assert ran.out.startswith("支付成功 paid: 12.80 CNY\n")


# Signals. -----------------------------------------------------------------------------------------------

HEED = """
import signal, sys, time
heard = []
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, lambda number, _: heard.append(signal.Signals(number).name))
print("ready")
while not heard:
    time.sleep(0.01)
time.sleep(0.3)
print(*heard)
sys.exit(5)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_a_signal_reaches_the_command_which_decides(
    number: signal.Signals, start: Callable[..., Started], tmp_path: Path
) -> None:
    one = start(*python(HEED))
    assert one.line() == "ready\n"
    one.child.send_signal(number)
    assert one.end() == (5, f"{number.name}\n", "")
    assert not (tmp_path / ".paysim" / "sandbox.json").exists()


def test_ctrl_c_reaches_the_command_once(start: Callable[..., Started]) -> None:
    one = start(*python(HEED))
    assert one.line() == "ready\n"
    os.killpg(one.child.pid, signal.SIGINT)  # what a terminal does
    assert one.end() == (5, "SIGINT\n", "")


def test_a_command_that_ctrl_c_ends(start: Callable[..., Started]) -> None:
    one = start("--", "sh", "-c", "echo ready; exec sleep 60")
    assert one.line() == "ready\n"
    os.killpg(one.child.pid, signal.SIGINT)
    assert one.end() == (128 + signal.SIGINT, "", "")


def test_the_sandbox_lives_as_long_as_the_command_after_ctrl_c(start: Callable[..., Started]) -> None:
    program = """
import signal
from paysim.servers.client import Client
try:
    print("ready")
    signal.pause()
except KeyboardInterrupt:
    print(len(Client.of(".paysim").call("GET", "/people")))
"""
    one = start(*python(program))
    assert one.line() == "ready\n"
    os.killpg(one.child.pid, signal.SIGINT)
    assert one.end() == (0, "2\n", "")


def test_a_signal_before_the_command_begins_ends_us(
    paysim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paysim.cli import run as command
    from paysim.cli.running import running

    @contextlib.asynccontextmanager
    async def interrupted(*arguments: Any) -> AsyncIterator[Any]:
        async with running(*arguments) as found:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
            yield found

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "running", interrupted)
    assert paysim("run", "--", "touch", "begun") == (128 + signal.SIGTERM, "", "")
    assert not (tmp_path / "begun").exists()
    assert not (tmp_path / ".paysim" / "sandbox.json").exists()


# Two at once. -------------------------------------------------------------------------------------------


def test_two_at_once_with_one_folder(start: Callable[..., Started], tmp_path: Path) -> None:
    file = tmp_path / ".paysim" / "sandbox.json"
    wait = python("input()")
    old = start("--json", *wait)
    first = json.loads(old.line())
    new = start("--json", *wait)
    second = json.loads(new.line())
    assert json.loads(file.read_text()) == second
    assert "another sandbox runs with the keys folder .paysim" in new.end("\n").err
    assert json.loads(file.read_text()) == first
    assert old.end("\n") == (0, "", "")
    assert not file.exists()


def test_the_older_one_ends_first(start: Callable[..., Started], tmp_path: Path) -> None:
    file = tmp_path / ".paysim" / "sandbox.json"
    wait = python("input()")
    old = start("--json", *wait)
    old.line()
    new = start("--json", *wait)
    second = json.loads(new.line())
    old.end("\n")
    assert json.loads(file.read_text()) == second
    new.end("\n")
    assert not file.exists()
