"""`paysim pay`: the phone at the prompt, and what it says when there is nothing to pay or nobody to ask."""

from __future__ import annotations

import http.server
import io
import json
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from prompt import TIMEOUT_S, Served

from paysim.cli import pay
from paysim.cli.main import _OUTCOMES
from paysim.core.outcome import Reason
from paysim.operators.wechat.payer import OUTCOMES
from paysim.qr import symbol

Run = Callable[..., Any]

CODE = "weixin://wxpay/bizpayurl?pr=000001kpqz956"
PREPAY_ID = "wx2026010108000000000000123456780042"


@pytest.fixture
def phone(paysim: Run, sandbox: Served) -> Run:
    """Runs `paysim pay` towards the module's sandbox."""
    return lambda *arguments: paysim("pay", "--keys", str(sandbox.keys), *arguments)


# What is paid. ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["native", "app", "h5"])
def test_a_code_a_prepay_id_and_a_link_are_paid(kind: str, phone: Run, sandbox: Served) -> None:
    number = f"T-{kind}-1"
    ran = phone(sandbox.order(kind, number=number))
    assert (ran.code, ran.err) == (0, "")
    first, *rows = ran.out.splitlines()
    assert first == "支付成功 paid: 12.80 CNY"
    found = dict(row.split(maxsplit=1) for row in rows)
    assert found["out_trade_no"] == number
    assert found["transaction_id"].startswith("4200")
    assert found["trade_state"] == "SUCCESS 支付成功"


def test_a_picture_of_the_code_is_paid(phone: Run, sandbox: Served, tmp_path: Path) -> None:
    (tmp_path / "wx.png").write_bytes(symbol.png(sandbox.order()))
    ran = phone(str(tmp_path / "wx.png"))
    assert (ran.code, ran.out.splitlines()[0]) == (0, "支付成功 paid: 12.80 CNY")


def test_a_picture_whose_name_begins_like_a_prepay_id(
    phone: Run, sandbox: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wx.png").write_bytes(symbol.png(sandbox.order()))
    assert phone("wx.png").code == 0


def test_json_is_what_the_control_api_answers(phone: Run, sandbox: Served) -> None:
    ran = phone(sandbox.order(number="T-JSON-1"), "--json")
    assert (ran.code, ran.err) == (0, "")
    assert set(ran.json) == {"result", "reason", "message", "transaction"}
    assert (ran.json["result"], ran.json["transaction"]["out_trade_no"]) == ("ok", "T-JSON-1")


def test_who_pays_is_chosen_by_name_or_id(phone: Run, sandbox: Served) -> None:
    bob = next(one for one in sandbox.call("GET", "/people") if one["name"] == "Bob")
    openid = bob["openids"][sandbox.described["wechat"]["appid"]]
    for name in ("Bob", bob["id"]):
        ran = phone(sandbox.order(), "--as", name, "--json")
        assert ran.json["transaction"]["payer"] == {"openid": openid}


# What can come of it. -----------------------------------------------------------------------------------

CAME = [
    ("confirm", 0, "支付成功 paid", "SUCCESS", ""),
    ("refuse", 1, "用户取消 cancelled", "NOTPAY", "用户取消支付"),
    ("wrong_pin", 1, "支付失败 failed", "NOTPAY", "支付密码错误"),
    ("no_money", 1, "支付失败 failed", "NOTPAY", "余额不足"),
    ("silence", 0, "用户未操作 nobody acts", "NOTPAY", ""),
    ("ok_but_unpaid", 0, "已提示成功，款项未到 shown ok, not paid yet", "NOTPAY", ""),
    ("paid_but_cancel_shown", 1, "已支付，却提示取消 paid, but shown cancel", "SUCCESS", ""),
]


@pytest.mark.parametrize(("outcome", "code", "said", "state", "reason"), CAME, ids=lambda value: str(value))
def test_each_outcome_has_its_words_and_exit_code(
    outcome: str, code: int, said: str, state: str, reason: str, phone: Run, sandbox: Served
) -> None:
    ran = phone(sandbox.order(), "--outcome", outcome)
    assert (ran.code, ran.err) == (code, "")
    assert ran.out.splitlines()[0] == f"{said}: 12.80 CNY"
    assert f"  trade_state     {state} " in ran.out
    assert reason in ran.out
    assert ("  reason " in ran.out) == bool(reason)


def test_every_outcome_of_the_sandbox_can_be_asked_for() -> None:
    assert tuple(OUTCOMES) == _OUTCOMES == tuple(row[0] for row in CAME)
    assert set(pay._REASONS) <= {reason.value for reason in Reason}
    results = {act.result for act in OUTCOMES.values()}
    assert {result for result, _ in pay._SAID} == results


def test_an_order_that_forces_its_outcome(phone: Run, sandbox: Served) -> None:
    ran = phone(sandbox.order(total=40001))
    assert ran.code == 1
    assert "余额不足" in ran.out


def test_an_order_is_paid_once(phone: Run, sandbox: Served) -> None:
    code = sandbox.order()
    assert phone(code).code == 0
    ran = phone(code, "--as", "Bob")
    assert (ran.code, ran.err) == (1, "")
    assert "  reason          订单已支付 the order is paid\n" in ran.out


def test_what_no_merchant_asked_for(phone: Run) -> None:
    ran = phone(PREPAY_ID)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out == "支付失败 failed\n  reason          订单不存在 no merchant asked for this\n"


# What cannot be paid. -----------------------------------------------------------------------------------

WRONG = [
    ("hello", "'hello' is no code URL, prepay id, H5 link or picture of one"),
    ("", "'' is no code URL"),
    ("a\0b", "is no code URL"),
    ("weixin://wxpay/bizpayurl?pr=abc", "no prepay id, code URL or H5 link of WeChat Pay"),
    ("https://shop.example/", "no prepay id, code URL or H5 link of WeChat Pay"),
    ("wx1", "'wx1' is no code URL"),
    ("folder", "a folder: give a file in it"),
    ("text", "a picture is PNG or JPEG"),
    ("other.png", "there is no code of WeChat Pay in other.png"),
    ("two.png", "there are several codes of WeChat Pay in two.png"),
]


@pytest.mark.parametrize(("code", "said"), WRONG, ids=lambda value: repr(value)[:30])
def test_what_is_nothing_to_pay(
    code: str, said: str, phone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("text").write_text("hello")
    Path("other.png").write_bytes(symbol.png("hello"))
    both = Image.new("L", (700, 350), 255)
    for number, text in enumerate((CODE, CODE[:-1] + "7")):
        both.paste(Image.open(io.BytesIO(symbol.png(text))), (350 * number, 0))
    both.save("two.png")
    ran = phone(code)
    assert (ran.code != 0, ran.out, ran.err.count("\n")) == (True, "", 1)
    assert said in ran.err


def test_somebody_who_is_not_there(phone: Run) -> None:
    ran = phone(CODE, "--as", "Zed")
    assert (ran.code, ran.err) == (64, "paysim: there is no person 'Zed'; there is Alice, Bob\n")


def test_an_outcome_that_is_none(phone: Run) -> None:
    ran = phone(CODE, "--outcome", "steal")
    assert ran.code == 64
    assert "choose from" in ran.err
    assert "paid_but_cancel_shown" in ran.err


# Where it is paid. --------------------------------------------------------------------------------------


def test_without_a_sandbox_it_names_what_starts_one(
    paysim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PAYSIM_KEYS", raising=False)
    ran = paysim("pay", CODE)
    assert ran.code == 64
    assert ran.err == (
        "paysim: no sandbox runs here (.paysim/sandbox.json is not there);"
        " start one: paysim serve, or name its --keys DIR\n"
    )


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_another_folder_holds_none(name: str, paysim: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = paysim("pay", CODE, "--keys", str(tmp_path / name))
    assert ran.code == 64
    assert f"{tmp_path / name}/sandbox.json is not there" in ran.err


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"control": 7}', '{"control": "http://h:x"}', '{"keys": "."}']
)
def test_a_file_that_nobody_can_read(text: str, paysim: Run, tmp_path: Path) -> None:
    (tmp_path / "sandbox.json").write_text(text)
    ran = paysim("pay", CODE, "--keys", str(tmp_path))
    assert ran.code == 64
    assert ran.err == (
        f"paysim: {tmp_path / 'sandbox.json'} cannot be read; start the sandbox again: paysim serve\n"
    )


def test_a_killed_sandbox_is_called_stale(serve: Callable[..., Served], paysim: Run) -> None:
    one = serve()
    code = one.order()
    one.child.kill()
    one.child.wait(TIMEOUT_S)
    ran = paysim("pay", code, "--keys", str(one.keys), "--json")
    control = one.described["control"]
    assert ran.code == 1
    assert ran.json == {
        "error": f"no sandbox answers at {control} (Connection refused); {one.file} is stale;"
        " start one: paysim serve"
    }
    assert ran.err == f"paysim: {ran.json['error']}\n"


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    """Another program that took the port since."""

    def do_GET(self) -> None:
        self.send_response(200 if "ok" in self.path else 404)
        self.end_headers()
        self.wfile.write(b"<html>hello")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("path", "status"), [("/_paysim", 404), ("/ok", 200)])
def test_something_else_on_its_port_may_be_why(path: str, status: int, paysim: Run, tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Elsewhere) as other:
        threading.Thread(target=other.handle_request).start()
        control = f"http://127.0.0.1:{other.server_port}{path}"
        (tmp_path / "sandbox.json").write_text(json.dumps({"control": control}))
        ran = paysim("pay", CODE, "--keys", str(tmp_path))
    assert ran.code == 1
    assert f"{control} answers {status}, and not as a sandbox does; {tmp_path}/sandbox.json may be" in ran.err


def test_a_port_that_speaks_no_http(paysim: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def hang_up() -> None:
            with other.accept()[0] as connection:
                connection.recv(65_536)

        threading.Thread(target=hang_up).start()
        control = f"http://127.0.0.1:{other.getsockname()[1]}/_paysim"
        (tmp_path / "sandbox.json").write_text(json.dumps({"control": control}))
        ran = paysim("pay", CODE, "--keys", str(tmp_path))
    assert ran.code == 1
    assert f"no sandbox answers at {control} (" in ran.err


def test_the_folder_comes_from_the_environment_of_run(
    paysim: Run, sandbox: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYSIM_KEYS", str(sandbox.keys))
    assert paysim("pay", sandbox.order()).code == 0
    ran = paysim("pay", CODE, "--keys", "nowhere")
    assert "nowhere/sandbox.json is not there" in ran.err


def test_a_token_is_asked_for_and_taken(serve: Callable[..., Served], paysim: Run) -> None:
    one = serve("--token", "secret")
    code = one.order()
    ran = paysim("pay", code, "--keys", str(one.keys))
    assert ran.code == 64
    assert "this sandbox wants its token: --token" in ran.err
    assert paysim("pay", code, "--keys", str(one.keys), "--token", "secret").code == 0
    one.end(signal.SIGINT)
