"""`paysim serve`: what it tells programs and people, what it keeps, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prompt import TIMEOUT_S, Served, closed, environment, eventually, signed

from paysim import CNY, Sandbox
from paysim.core.clock import SystemClock
from paysim.core.errors import UsageError
from paysim.operators.wechat.merchants import Settings
from paysim.servers.client import Client
from paysim.servers.platform import Platform
from paysim.servers.webhooks import Policy

Run = Callable[..., Any]
Serve = Callable[..., Served]

DESCRIBED = ("control", "proxy", "ca", "wechat", "pid", "keys")
WECHAT = (
    *("base_url", "mchid", "appid", "serial_no", "private_key", "certificate", "public_key"),
    *("public_key_id", "apiv3_key", "apiv2_key"),
)
FILES = ("private_key", "certificate", "public_key")
_SOON_S = 10
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


# What it says. ------------------------------------------------------------------------------------------


def test_sandbox_json_is_the_object_of_the_design_and_of_json(sandbox: Served) -> None:
    described = json.loads(sandbox.file.read_text(encoding="utf-8"))
    assert described == sandbox.described
    assert set(described) == set(DESCRIBED)
    assert set(described["wechat"]) == set(WECHAT)
    base_url = described["wechat"]["base_url"]
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", base_url)
    assert described["control"] == f"{base_url}/_paysim"
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", described["proxy"])
    assert described["pid"] == sandbox.child.pid
    assert described["keys"] == str(sandbox.folder / ".paysim")
    for name in (described["ca"], *(described["wechat"][name] for name in FILES)):
        assert "/" not in name
        assert (sandbox.keys / name).read_text().startswith("-----BEGIN ")


def test_its_values_are_those_that_a_client_is_configured_with(sandbox: Served) -> None:
    wechat = sandbox.described["wechat"]
    assert re.fullmatch("[0-9]{10}", wechat["mchid"])
    assert re.fullmatch("wx[0-9a-f]{16}", wechat["appid"])
    assert re.fullmatch("[0-9A-F]{40}", wechat["serial_no"])
    assert re.fullmatch("PUB_KEY_ID_[0-9]{34}", wechat["public_key_id"])
    assert [len(wechat[name]) for name in ("apiv3_key", "apiv2_key")] == [32, 32]
    key = (sandbox.keys / wechat["private_key"]).read_text()
    assert signed(wechat, key, "GET", "/v3/certificates")["data"]


def test_the_folder_is_ours_alone(sandbox: Served) -> None:
    assert stat.S_IMODE(sandbox.keys.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sandbox.keys.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert (sandbox.keys / ".gitignore").read_text() == "*\n"


def test_nothing_has_to_be_set_up(sandbox: Served) -> None:
    assert [one["name"] for one in sandbox.call("GET", "/people")] == ["Alice", "Bob"]
    (merchant,) = sandbox.call("GET", "/merchants")
    assert merchant["mchid"] == sandbox.described["wechat"]["mchid"]


def test_people_read_where_everything_is_and_lines_to_copy(tmp_path: Path) -> None:
    command = ["serve", "--port", "0", "--keys", str(tmp_path / "my keys"), "--token", "a$b"]
    shown = _stopped_when("/requests\n", command)
    file = tmp_path / "my keys"
    control = re.search(r"control +(http://127\.0\.0\.1:[0-9]+/_paysim)\n", shown)
    assert control, shown
    assert shown.startswith("paysim is running; Ctrl-C stops it\n  WeChat Pay  http://127.0.0.1:")
    for line in (
        f"  keys        {file}\n",
        "  journal     in memory; --store sqlite:///FILE keeps it\n",
        "  people      Alice, Bob\n",
        f"  paysim pay --keys '{file}' --token 'a$b' CODE_URL\n",
        f"  curl -H 'Authorization: Bearer a$b' {control[1]}/requests\n",
    ):
        assert line in shown
    assert shown.endswith("\nstopped\n")


def _stopped_when(said: str, arguments: list[str]) -> str:
    """What a server writes that is stopped by Ctrl-C when it has written this."""
    with subprocess.Popen(
        [sys.executable, "-m", "paysim", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        shown = ""
        while said not in shown:
            line = child.stdout.readline()
            assert line, shown
            shown += line
        child.send_signal(signal.SIGINT)
        shown += child.communicate(timeout=TIMEOUT_S)[0]
        assert child.returncode == 0
    return shown


def test_the_help_is_true(paysim: Run) -> None:
    shown = " ".join(paysim("serve", "--help").out.split())
    for option in (
        *(
            "--host",
            "--port",
            "--proxy-port",
            "--keys",
            "--token",
            "--store",
            "--durability",
            "--allow-reset",
        ),
        *("--seed", "--clock", "--auto-pay", "--refund-seconds", "--lenient-path", "--notify-host"),
        *("--notify-rewrite", "--strict-notify-url", "--allow-host", "--quiet", "--json"),
    ):
        assert f" {option} " in shown
    assert "0 is any free one (8520)" in shown
    assert "0 is any free one (any)" in " ".join(paysim("run", "--help").out.split())


# Its end. -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_a_signal_ends_it_and_nothing_is_left(number: signal.Signals, serve: Serve) -> None:
    one = serve()
    one.order()
    ran = one.end(number)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert not one.file.exists()
    assert [closed(port) for port in one.ports] == [True, True]
    with pytest.raises(ProcessLookupError):
        os.killpg(one.child.pid, 0)


def test_it_ends_while_a_client_holds_its_connections(serve: Serve) -> None:
    one = serve()
    with (
        socket.create_connection(("127.0.0.1", one.ports[0])) as idle,
        socket.create_connection(("127.0.0.1", one.ports[1])),
    ):
        idle.sendall(b"GET /_paysim/journal HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        assert idle.recv(9) == b"HTTP/1.1 "
        assert one.end().code == 0


def test_a_folder_that_was_removed_does_not_keep_it_from_ending(serve: Serve) -> None:
    one = serve()
    for path in one.keys.iterdir():
        path.unlink()
    one.keys.rmdir()
    assert one.end()[::2] == (0, "")


def _ignoring(number: signal.Signals, serve: Serve) -> Served:
    """A server whose starter ignores the signal."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        return serve()
    finally:
        signal.signal(number, before)


def test_nohup_is_heeded(serve: Serve) -> None:
    one = _ignoring(signal.SIGHUP, serve)
    one.child.send_signal(signal.SIGHUP)
    assert one.call("GET", "/people")
    assert one.end().code == 0


def test_a_script_ends_what_it_started_in_the_background(serve: Serve) -> None:
    one = _ignoring(signal.SIGINT, serve)  # as shells do behind `&`
    assert one.end(signal.SIGINT).code == 0


@pytest.mark.parametrize("steps", range(5))
def test_an_end_at_the_moment_of_a_callback_is_not_lost(steps: int) -> None:
    async def work() -> None:
        platform = Platform(
            lambda: Sandbox(clock=SystemClock()), settings=Settings(), policy=Policy(), say=print
        )
        platform.sandbox.shop("Tea House").create(CNY("1.00")).present("qr.wechat")  # a timer to wait for
        platform.start()
        await asyncio.sleep(0.01)
        platform.courier.wake()
        for _ in range(steps):
            await asyncio.sleep(0)
        stopped, _ = await asyncio.wait({asyncio.create_task(platform.stop())}, timeout=_SOON_S)
        assert stopped

    asyncio.run(work())


# What it keeps. -----------------------------------------------------------------------------------------


def test_keys_and_journal_are_continued(serve: Serve) -> None:
    first = serve("--store", "sqlite:///shop.db")
    first.order(number="T-1001")
    code = first.order(number="T-1002")
    first.end()
    kept = {path.name: path.read_bytes() for path in first.keys.iterdir()}

    second = serve("--store", "sqlite:///shop.db")
    for name, data in kept.items():
        assert (second.keys / name).read_bytes() == data, name
    changing = {"base_url"}
    wechat = [
        {name: value for name, value in one.described["wechat"].items() if name not in changing}
        for one in (first, second)
    ]
    assert wechat[0] == wechat[1]
    assert [one["name"] for one in second.call("GET", "/people")] == ["Alice", "Bob"]
    assert Client(second.described["control"]).pay(code)["result"] == "ok"
    found = {number: _state(second, number) for number in ("T-1001", "T-1002")}
    assert found == {"T-1001": "NOTPAY", "T-1002": "SUCCESS"}
    second.end()


def _state(one: Served, number: str) -> Any:
    wechat = one.described["wechat"]
    key = (one.keys / wechat["private_key"]).read_text()
    path = f"/v3/pay/transactions/out-trade-no/{number}?mchid={wechat['mchid']}"
    return signed(wechat, key, "GET", path)["trade_state"]


def test_two_may_share_a_journal(serve: Serve) -> None:
    one = serve("--store", "sqlite:///shop.db")
    other = serve("--store", "sqlite:///shop.db")
    code = one.order(number="T-1001")
    assert Client(other.described["control"]).pay(code)["result"] == "ok"
    assert [_state(server, "T-1001") for server in (one, other)] == ["SUCCESS", "SUCCESS"]
    assert one.end().code == other.end().code == 0


def test_a_killed_one_is_followed_by_the_next(serve: Serve) -> None:
    first = serve()
    first.child.kill()
    first.child.wait(TIMEOUT_S)
    assert first.file.exists()
    second = serve()
    assert json.loads(second.file.read_text())["pid"] == second.child.pid
    ran = second.end()
    assert (ran.err, second.file.exists()) == ("", False)


def test_a_newer_one_has_the_file_until_it_ends(serve: Serve) -> None:
    old = serve()
    new = serve()
    assert json.loads(new.file.read_text()) == new.described
    said = new.end().err
    assert "another sandbox runs with the keys folder .paysim" in said
    assert "--keys DIR" in said
    assert said.count("\n") == 1
    assert json.loads(old.file.read_text()) == old.described
    old.end()
    assert not old.file.exists()


def test_an_older_one_leaves_the_newer_ones_file_alone(serve: Serve) -> None:
    old = serve()
    new = serve()
    old.end()
    assert json.loads(new.file.read_text()) == new.described
    new.end()
    assert not new.file.exists()


def test_the_seed_decides_the_merchant(serve: Serve) -> None:
    mchids = []
    for seed in ("1", "1", "2"):
        one = serve("--seed", seed)
        mchids.append(one.described["wechat"]["mchid"])
        one.end()
    assert mchids[0] == mchids[1] != mchids[2]


def test_the_example_pays_beside_it_by_base_url(serve: Serve) -> None:
    one = serve()
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "10_wechatpayv3.py")],
        cwd=one.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == (EXAMPLES / "expected" / "10_wechatpayv3.txt").read_text(encoding="utf-8")
    one.end()


# Its options. -------------------------------------------------------------------------------------------


def test_the_clock_and_the_refund_can_be_chosen(serve: Serve) -> None:
    one = serve("--clock", "virtual", "--auto-pay", "30", "--refund-seconds", "0")
    one.order(number="T-2001")
    one.call("POST", "/clock", {"advance_s": 29})
    assert _state(one, "T-2001") == "NOTPAY"
    one.call("POST", "/clock", {"advance_s": 1})
    assert _state(one, "T-2001") == "SUCCESS"
    one.end()


def test_a_callback_that_may_not_go_out_is_said_with_what_lets_it(serve: Serve) -> None:
    one = serve()
    Client(one.described["control"]).pay(one.order(notify_url="https://192.0.2.1/notify"))
    eventually(lambda: any(found["attempts"] for found in one.call("GET", "/deliveries")), "a try")
    said = one.end().err
    assert said.startswith("paysim: ")
    assert said.count("\n") == 1
    for word in ("192.0.2.1", "--notify-host", "--notify-rewrite"):
        assert word in said


def test_a_token_is_wanted_and_taken(serve: Serve) -> None:
    one = serve("--host", "0.0.0.0", "--token", "secret")
    control = one.described["control"]
    assert control.startswith("http://127.0.0.1:")
    with pytest.raises(UsageError, match="this sandbox wants its token: --token"):
        Client(control).call("GET", "/people")
    assert Client(control, token="secret").call("GET", "/people")
    assert "secret" not in one.file.read_text()
    one.end()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_an_address_of_version_6(serve: Serve) -> None:
    one = serve("--host", "::1")
    assert one.described["control"].startswith("http://[::1]:")
    assert Client(one.described["control"]).pay(one.order())["result"] == "ok"
    one.end()


# What cannot be. ----------------------------------------------------------------------------------------

WRONG = [
    (("--clock", "lunar"), "invalid choice: 'lunar'"),
    (("--host", "0.0.0.0"), "give a --token"),
    (("--host", "192.0.2.1", "--token", "x"), "this machine has no address 192.0.2.1; give another --host"),
    (("--port", "65536"), "ports are 0 to 65535"),
    (("--port", "-1"), "ports are 0 to 65535"),
    (("--port", "x"), "invalid int value: 'x'"),
    (("--port", "0", "--proxy-port", "65536"), "give another --proxy-port"),
    (("--store", "oracle"), "a store is 'memory', 'sqlite:///FILE'"),
    (("--keys", "no/where"), "there is no folder no for --keys no/where; make it first"),
    (("--keys", "file"), "file is a link or no folder"),
    (("--keys", "open"), "chmod 700"),
    (("--seed", "-1"), "a seed is an int from 0"),
    (("--auto-pay", "-1"), "seconds are 0 to 86400, not '-1'"),
    (("--auto-pay", "nan"), "seconds are 0 to 86400"),
    (("--refund-seconds", "1e9"), "seconds are 0 to 86400"),
    (("--notify-rewrite", "https://shop.example"), "--notify-rewrite takes PREFIX=URL"),
    (("--notify-rewrite", "shop=http://127.0.0.1"), "'shop' must begin with http:// or https://"),
    (("--notify-host", "https://shop.example"), "--notify-host takes a host or a pattern"),
    (("--allow-host", ""), "a host or a pattern such as *.shop.example, not ''"),
    (("--allow-host", "https://pypi.org"), "a host or a pattern"),
    (("--allow-host", "pypi.org:443"), "a host or a pattern"),
    (("--token", "two words"), "a token is of visible ASCII characters"),
]


@pytest.mark.parametrize(("options", "said"), WRONG, ids=lambda value: repr(value)[:40])
def test_a_wrong_option_is_one_line_and_64(
    options: tuple[str, ...], said: str, paysim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    port = () if "--port" in options else ("--port", "0")
    ran = paysim("serve", *port, *options)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.startswith("paysim: ")
    assert ran.err.count("\n") == 1
    assert said in ran.err
    assert not (tmp_path / ".paysim" / "sandbox.json").exists()


@pytest.mark.parametrize("option", ["--port", "--proxy-port"])
def test_a_taken_port_says_what_to_do(option: str, paysim: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = () if option == "--port" else ("--port", "0")
        ran = paysim("serve", *other, option, port, "--keys", str(tmp_path / "keys"))
    assert (ran.code, ran.out) == (64, "")
    assert ran.err == (
        f"paysim: port {port} on 127.0.0.1 is taken; give another {option}, or 0 for any free one\n"
    )


def test_without_the_extra_the_line_that_installs_it(
    paysim: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.startswith(("paysim.servers", "starlette", "uvicorn"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ran = paysim("serve", "--port", "0", "--keys", str(tmp_path / "keys"))
    assert (ran.code, ran.err) == (64, "paysim: uvicorn is missing; pip install 'paysim[serve]'\n")
