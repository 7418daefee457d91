"""`paysim pay`: be the phone at the prompt, towards a running sandbox."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Final

from paysim.core.errors import UsageError
from paysim.core.money import Money
from paysim.servers.client import Client

from . import given
from .screen import Screen

__all__ = ["run"]

FAILED: Final = 1
_MARKS: Final = ("weixin://", "http://", "https://", "wx")
_SAID: Final = {"ok": "paid", "cancel": "cancelled", "fail": "failed", None: "nobody acts yet"}


def run(arguments: Namespace, screen: Screen) -> int:
    """Pay; 0 where the payer was told ok, 1 else."""
    text = _text(arguments.code)
    folder = arguments.keys or os.environ.get("PAYSIM_KEYS") or ".paysim"
    client = Client.of(folder, token=arguments.token)
    paid = client.pay(text, person=arguments.payer, outcome=arguments.outcome)
    order = paid["transaction"]
    amount = order.get("amount", {}).get("total", 0)
    good = paid["result"] == "ok"
    said = _SAID[paid["result"]]
    screen.head(f"{said}: {Money('CNY', amount)}" if order else said, good=good)
    for name in ("out_trade_no", "transaction_id", "trade_state"):
        if name in order:
            screen.say(f"  {name:<15} {order[name]}")
    if paid["message"]:
        screen.say(f"  {paid['message']}")
    screen.result(dict(paid))
    return 0 if good or paid["result"] is None else FAILED


def _text(code: str) -> str:
    """What is to be paid: a text, or what a picture of it says."""
    if code.startswith(_MARKS):
        return code
    path = given.path_of(code)
    if not path.is_file():
        raise UsageError(f"{code!r} is no code URL, prepay id, H5 link or picture of one")
    from paysim.qr import scan

    texts = [text for text in scan.scan(path.read_bytes()) if text.startswith(_MARKS)]
    if len(texts) != 1:
        raise UsageError(f"there are {len(texts)} codes of WeChat Pay in {path}; give a picture of one")
    return texts[0]
