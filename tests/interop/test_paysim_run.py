"""wechatpayv3 under `paysim run`: the program names the wallet's host, and only its environment is ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wechat_shop import KEY_MODES, MANNERS, TRADES, check_bills, check_life, check_troubles

SHOP = Path(__file__).parents[1] / "wechat_shop.py"
WAIT_S = 60


def run(keys: Path, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """What `paysim run` did with a command; the environment has no proxy but ours."""
    bare = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    whole = [sys.executable, "-m", "paysim", "run", "--keys", str(keys), *options, "--", *command]
    return subprocess.run(whole, env=bare, capture_output=True, text=True, timeout=WAIT_S, check=False)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.mark.parametrize("mode", KEY_MODES)
@pytest.mark.parametrize("manner", MANNERS)
def test_the_whole_life_of_each_trade_type(keys: Path, manner: str, mode: str) -> None:
    done = run(keys, sys.executable, str(SHOP), manner, mode, options=("--clock", "virtual"))
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["gate"] == "https://api.mch.weixin.qq.com", "the SDK is as it comes"
    for trade in TRADES:
        check_life(seen["lives"][trade.name], trade, mode)
    h5_url = json.loads(seen["lives"]["h5"]["ordered"][1])["h5_url"]
    assert h5_url.startswith("https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?")
    check_bills(seen["bills"], len(TRADES))
    check_troubles(seen["troubles"])
    downloads = seen["asked"].count("/v3/certificates")
    assert downloads == (2 if mode == "certificate" else 0), "at the start, and when a new one signs"
    assert done.stderr == ""
    assert not (keys / "sandbox.json").exists(), "nothing runs any more"


TEN_LINES = """
import json, os, subprocess, sys
from pathlib import Path
from shop_front import ShopFront
from wechatpayv3 import WeChatPay, WeChatPayType

keys = Path(os.environ["PAYSIM_KEYS"])
given = json.loads((keys / "sandbox.json").read_text())["wechat"]
with ShopFront() as front:
    wxpay = WeChatPay(WeChatPayType.NATIVE, given["mchid"], (keys / given["private_key"]).read_text(),
                      given["serial_no"], given["appid"], given["apiv3_key"], notify_url=front.url)
    front.callback = wxpay.callback
    code, answer = wxpay.pay("tea", "T-000001", {"total": 1280})
    paid = subprocess.run([sys.executable, "-m", "paysim", "pay", json.loads(answer)["code_url"]]).returncode
    told = front.next().event["resource"]["trade_state"]
    wxpay.refund("R-000001", {"refund": 280, "total": 1280, "currency": "CNY"}, out_trade_no="T-000001")
    print(code, paid, told, front.next().event["resource"]["refund_status"])
"""
"""The clock is real, and the payer is the command `paysim pay`: callbacks come when they come."""


def test_a_native_order_on_the_real_clock_paid_at_the_prompt(keys: Path, tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(SHOP.parent)!r})\n{TEN_LINES}")
    done = run(keys, sys.executable, str(script), options=("--refund-seconds", "0.1"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "200 0 SUCCESS SUCCESS"


def test_a_host_that_is_no_wallets_is_refused_and_named(keys: Path) -> None:
    script = "import requests; requests.get('https://shop.example/')"
    done = run(keys, sys.executable, "-c", script)
    assert done.returncode == 1
    assert "ProxyError" in done.stderr
    assert "--allow-host" in done.stderr


def test_the_exit_code_is_the_programs(keys: Path) -> None:
    assert run(keys, sys.executable, "-c", "raise SystemExit(7)").returncode == 7
