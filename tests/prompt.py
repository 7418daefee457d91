"""`paysim` in processes of its own: a sandbox that answers, a merchant who orders from it, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from paysim.servers.client import Client

TIMEOUT_S = 60


class Ran(NamedTuple):
    """What a command did: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout; anything beside it is a failure."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """The environment, less what would change what Python or the command writes."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PAYSIM", "PYTHON", "LC_")) and name not in ("NO_COLOR", "COLUMNS", "LINES")
    }
    return {**kept, "TERM": "xterm-256color", **more}


class Served:
    """A `paysim serve` that answers: what it said of itself, and how it ends."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        self.folder = folder
        self.child = subprocess.Popen(
            [sys.executable, "-m", "paysim", "serve", "--json", "--port", "0", *arguments],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line:
            raise AssertionError(self.child.communicate(timeout=TIMEOUT_S)[1])
        self.described: dict[str, Any] = json.loads(line)

    @property
    def keys(self) -> Path:
        return Path(self.described["keys"])

    @property
    def file(self) -> Path:
        return self.keys / "sandbox.json"

    @property
    def ports(self) -> list[int]:
        return [urlsplit(self.described[name]).port or 0 for name in ("control", "proxy")]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return Client(self.described["control"]).call(method, path, body)

    def order(self, kind: str = "native", **how: Any) -> str:
        """What a payer is shown, as `ordered`."""
        return ordered(self.described, kind, **how)

    def end(self, number: int = signal.SIGTERM) -> Ran:
        """What it wrote and its exit code, once the signal has ended it."""
        self.child.send_signal(number)
        out, err = self.child.communicate(timeout=TIMEOUT_S)
        assert "Traceback" not in err, err
        return Ran(self.child.returncode, out, err)


def ordered(
    described: dict[str, Any],
    kind: str = "native",
    *,
    total: int = 1280,
    number: str = "",
    notify_url: str = "http://127.0.0.1:9/notify",
) -> str:
    """Order as a merchant whose keys lie in the sandbox's folder; gives what the payer is shown."""
    wechat, keys = described["wechat"], Path(described["keys"])
    body: dict[str, Any] = {
        "appid": wechat["appid"],
        "mchid": wechat["mchid"],
        "description": "Tea",
        "out_trade_no": number or uuid.uuid4().hex,
        "notify_url": notify_url,
        "amount": {"total": total},
    }
    if kind == "h5":
        body["scene_info"] = {"payer_client_ip": "14.23.150.211", "h5_info": {"type": "Wap"}}
    key = (keys / wechat["private_key"]).read_text()
    answer = signed(wechat, key, "POST", f"/v3/pay/transactions/{kind}", json.dumps(body))
    (shown,) = answer.values()
    return str(shown)


def signed(wechat: dict[str, Any], key: str, method: str, path: str, body: str = "") -> Any:
    """What WeChat Pay answers to a request that an SDK's function signs."""
    from wechatpayv3.utils import build_authorization, load_private_key

    private = load_private_key(key)
    authorization = build_authorization(path, method, wechat["mchid"], wechat["serial_no"], private, body)
    headers = {
        "Authorization": authorization,
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": "test",
    }
    connection = http.client.HTTPConnection(urlsplit(wechat["base_url"]).netloc, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body.encode() or None, headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
    finally:
        connection.close()
    assert answer.status == 200, said
    return said


def closed(port: int) -> bool:
    """Whether nobody listens on a port of ours."""
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) != 0


def eventually(true: Callable[[], object], what: str) -> None:
    """Wait until something holds; a failure names it."""
    for _ in range(TIMEOUT_S * 50):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError(f"it never came: {what}")
