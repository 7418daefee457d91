"""`paysim pay`: be the phone at the prompt, towards a running sandbox."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Final

from paysim.core.errors import UsageError
from paysim.core.money import Money
from paysim.operators.wechat.messages import TRADE_STATES
from paysim.operators.wechat.numbers import read_shown
from paysim.servers.client import Client

from . import given
from .screen import Screen

__all__ = ["run"]

FAILED: Final = 1
_MAX_PICTURE_BYTES: Final = 32 * 1024 * 1024
_ADDRESSES: Final = ("weixin://", "http://", "https://")

_SAID: Final[Mapping[tuple[str | None, bool], str]] = {
    ("ok", True): "支付成功 paid",
    ("ok", False): "已提示成功，款项未到 shown ok, not paid yet",
    ("cancel", True): "已支付，却提示取消 paid, but shown cancel",
    ("cancel", False): "用户取消 cancelled",
    ("fail", True): "支付失败 failed",
    ("fail", False): "支付失败 failed",
    (None, True): "用户未操作 nobody acts",
    (None, False): "用户未操作 nobody acts",
}
"""(what the page or app is told, whether the order is paid now) -> what came of it."""

_REASONS: Final[Mapping[str, str]] = {
    "already_paid": "订单已支付",
    "altered_code": "无效的二维码或预支付单",
    "expired": "二维码或预支付单已过期",
    "insufficient_funds": "余额不足",
    "limit_exceeded": "超出支付限额",
    "not_found": "订单不存在",
    "refused_by_payer": "用户取消支付",
    "replaced_code": "二维码已更新，请扫新码",
    "wrong_channel": "支付方式不符",
    "wrong_payer": "订单属于其他用户",
    "wrong_pin": "支付密码错误",
    "wrong_signature": "调起支付签名错误",
    "wrong_state": "订单状态不可支付",
}


def run(arguments: Namespace, screen: Screen) -> int:
    """Pay; 0 where the payer was told ok, or nothing; 1 where they were told cancel or fail."""
    text = _text(arguments.code)
    folder = arguments.keys or os.environ.get("PAYSIM_KEYS") or ".paysim"
    client = Client.of(folder, token=arguments.token)
    paid = client.pay(text, person=arguments.payer, outcome=arguments.outcome)
    _show(paid, screen)
    screen.result(dict(paid))
    return 0 if paid["result"] in ("ok", None) else FAILED


def _show(paid: Mapping[str, Any], screen: Screen) -> None:
    result, order = paid["result"], paid["transaction"]
    state = order.get("trade_state", "")
    said = _SAID[result, state in ("SUCCESS", "REFUND")]
    amount = f": {Money('CNY', order['amount']['total'])}" if order else ""
    screen.head(said + amount, good={"ok": True, None: None}.get(result, False))
    rows = [(name, str(order[name])) for name in ("out_trade_no", "transaction_id") if name in order]
    if state:
        rows.append(("trade_state", f"{state} {TRADE_STATES.get(state, '')}".rstrip()))
    if paid["message"]:
        why = " ".join(filter(None, (_REASONS.get(paid["reason"], ""), paid["message"])))
        rows.append(("reason", why))
    for name, value in rows:
        screen.say(f"  {name:<15} {value}")


def _text(code: str) -> str:
    """What is to be paid: a text, or what a picture of it says."""
    if read_shown(code) is not None or code.startswith(_ADDRESSES):
        return code
    path = given.file_at(code) if code else None
    if path is None:
        raise UsageError(f"{code!r} is no code URL, prepay id, H5 link or picture of one")
    from paysim.qr import scan

    found = scan.scan(given.read_file(path, _MAX_PICTURE_BYTES))
    texts = [text for text in found if read_shown(text) is not None]
    if len(texts) != 1:
        number = "are several codes" if texts else "is no code"
        raise UsageError(f"there {number} of WeChat Pay in {path}; give a picture of one")
    return texts[0]
