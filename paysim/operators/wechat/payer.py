"""The payer's side: who may pay what they were shown, and what may come of it.

`check` is what WeChat looks at when a payment is opened: from a page or a mini program (with the merchant's
paySign), from an app, from a browser, or by scanning. `OUTCOMES` is what a person can do then.
Source: WeChat Pay merchant documentation, invoking payment; facts/wechat 2.1 and 3
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from paysim.core.outcome import Outcome, Reason
from paysim.core.state import State
from paysim.core.transaction import Transaction

from .client_signature import check_pay_sign
from .messages import details
from .numbers import Shown
from .orders import H5_MS
from .world import World

__all__ = [
    "MAGIC_AMOUNTS",
    "MAGIC_OPENIDS",
    "MAGIC_REFUNDS",
    "OUTCOMES",
    "Act",
    "Invoke",
    "check",
    "forced",
    "magic",
    "magic_refund",
]


class Act(NamedTuple):
    """What a person does, and what the page or app is told: ok, cancel, fail, or nothing.

    `step` is pay, refuse, fail (with `reason`), wait, or later; `text` says it in words.
    """

    step: str
    result: str | None
    text: str
    reason: Reason | None = None


# fmt: off
OUTCOMES: Final[dict[str, Act]] = {
    "confirm": Act("pay", "ok", "pays"),
    "refuse": Act("refuse", "cancel", "puts the phone away", Reason.REFUSED_BY_PAYER),
    "wrong_pin": Act("fail", "fail", "types a wrong PIN", Reason.WRONG_PIN),
    "no_money": Act("fail", "fail", "has too little money", Reason.INSUFFICIENT_FUNDS),
    "silence": Act("wait", None, "looks at the prompt and does nothing"),
    "ok_but_unpaid": Act("later", "ok", "is shown ok; the money comes some seconds later"),
    "paid_but_cancel_shown": Act("pay", "cancel", "pays, and is shown cancel"),
}
"""What a person can do with a prompt."""

MAGIC_AMOUNTS: Final[dict[int, str]] = {
    40001: "no_money",
    40002: "wrong_pin",
    40003: "silence",
    40004: "refuse",
    40005: "ok_but_unpaid",
    40006: "paid_but_cancel_shown",
    40007: "callback_lost",
    40008: "callback_duplicate",
    40009: "callback_delayed",
}
"""Order total in fen -> what happens when somebody pays it, unless they say otherwise.

The callback_ rows are paid, and the first callback is lost, comes twice, or comes a minute late.
"""

MAGIC_REFUNDS: Final[dict[int, str]] = {
    40010: "refund_abnormal",
    40011: "refund_closed",
}
"""Fen that are refunded, of whatever order -> how that refund ends."""

MAGIC_OPENIDS: Final[dict[str, str]] = {
    f"oPAYSIM_{outcome}".ljust(28, "_"): outcome
    for outcome in (*MAGIC_AMOUNTS.values(), *MAGIC_REFUNDS.values())
}
"""openid -> the same, for JSAPI orders; they belong to the first person of every app."""
# fmt: on

_MAGIC_ENDS: Final = {"refund_abnormal": "ABNORMAL", "refund_closed": "CLOSED"}

LATER_MS: Final = 5_000


class Invoke(NamedTuple):
    """How a payment was opened: `kind` is jsapi, mini_program, app, h5 or scan; `parameters` the client's.

    `appid` is whose page it is, `referer` the page that led to an H5 link.
    """

    kind: str
    parameters: Mapping[str, Any]
    appid: str = ""
    referer: str = ""


_KINDS: Final = {
    "jsapi": ("JSAPI",),
    "mini_program": ("JSAPI",),
    "app": ("APP",),
    "h5": ("H5",),
    "scan": ("NATIVE",),
}
"""How it was opened -> the trade types that may be."""


def magic(book: Transaction) -> str:
    """The outcome that an order's openid or amount forces, "" where none does."""
    return MAGIC_OPENIDS.get(details(book).get("openid", ""), "") or MAGIC_AMOUNTS.get(book.amount_minor, "")


def magic_refund(book: Transaction, minor: int) -> str:
    """How the order's openid, or else the sum, lets a refund end: a row of `refunds.ENDS`."""
    return _MAGIC_ENDS.get(magic(book)) or _MAGIC_ENDS.get(MAGIC_REFUNDS.get(minor, ""), "SUCCESS")


def check(
    book: Transaction, shown: Shown, payer: str, world: World, invoke: Invoke | None = None
) -> Outcome | None:
    """Why a person cannot pay an order, None where they can."""
    at_ms = world.now_ms()
    kept = details(book)
    if book.presentation is None or not kept:
        return _no(Reason.NOT_FOUND, "no merchant asked for this")
    return (
        _check_shown(book, shown, world.settings.old_prepay_ids)
        or _check_state(book, shown, at_ms)
        or _check_person(book, payer, kept)
        or (_check_invoke(invoke, shown, kept, world) if invoke is not None else None)
    )


def _no(reason: Reason, text: str) -> Outcome:
    return Outcome.declined(reason, text)


def _check_shown(book: Transaction, shown: Shown, old_ids: bool) -> Outcome | None:
    """The newest code or prepay id counts. Assumed: for prepay ids; for Native codes it is documented."""
    name, value = ("text", shown.text) if shown.kind == "code_url" else ("prepay_id", shown.prepay_id)
    if book.presentation is not None and book.presentation.data[name] == value:
        return None
    known = any(event.kind == "presented" and event.data[name] == value for event in book.events)
    if known and old_ids and shown.kind != "code_url":
        return None
    if known:
        return _no(Reason.REPLACED_CODE, "the merchant shows a newer code; scan that one")
    return _no(Reason.ALTERED_CODE, "no merchant has made this code")


def _check_state(book: Transaction, shown: Shown, at_ms: int) -> Outcome | None:
    if book.state in (State.AUTHORIZED, State.CAPTURED):
        return _no(Reason.ALREADY_PAID, "the order is paid")
    if book.state not in (State.PRESENTED, State.PENDING):
        return _no(Reason.WRONG_STATE, f"the order is {book.state}")
    name, value = ("text", shown.text) if shown.kind == "code_url" else ("prepay_id", shown.prepay_id)
    presented = next(e for e in reversed(book.events) if e.kind == "presented" and e.data[name] == value)
    valid_ms = presented.data["valid_ms"]
    if shown.kind == "h5_url":
        valid_ms = min(valid_ms, presented.at_ms + H5_MS)
    if at_ms >= valid_ms:
        return _no(Reason.EXPIRED, "the code or prepay id has expired; order again with the same parameters")
    return None


def _check_person(book: Transaction, payer: str, kept: Mapping[str, Any]) -> Outcome | None:
    owner = kept.get("owner", "")
    if owner and owner != payer:
        return _no(Reason.WRONG_PAYER, "the order was made for another person's openid")
    if kept["trade_type"] == "NATIVE" and _scanner(book, payer) != payer:
        return _no(Reason.WRONG_PAYER, "somebody else scanned this code first; it is theirs")
    return None


_SCANNED: Final = {"submitted": "payer", "noted": "scanned"}
"""Fact -> where it says who has scanned: the first to do so, or somebody while a payment is open."""


def _scanner(book: Transaction, payer: str) -> str:
    """Who scanned the newest code first; the payer where nobody has. Assumed: a new code is free again"""
    first = payer
    for event in reversed(book.events):
        if event.kind == "presented":
            break
        first = event.data.get(_SCANNED.get(event.kind, ""), first)
    return first


def _check_invoke(invoke: Invoke, shown: Shown, kept: Mapping[str, Any], world: World) -> Outcome | None:
    """The client's parameters. Source: facts/wechat 3, the checks of the client side"""
    trade_type = kept["trade_type"]
    if trade_type not in _KINDS.get(invoke.kind, ()):
        return _no(Reason.WRONG_CHANNEL, f"the order is {trade_type}; it cannot be opened by {invoke.kind}")
    if invoke.kind == "h5":
        return _check_referer(invoke.referer, kept, world)
    if invoke.kind == "scan":
        return None
    keys = world.keys(kept["mchid"])
    appid = invoke.parameters.get("appId", "") or invoke.appid or kept["appid"]
    if appid != kept["appid"]:
        return _no(Reason.WRONG_SIGNATURE, f"appId is {appid}, the order was made for {kept['appid']}")
    if keys is None:
        return _no(Reason.NOT_FOUND, f"there is no merchant {kept['mchid']}")
    why = check_pay_sign(keys, invoke.kind, invoke.parameters, appid=appid)  # type: ignore[arg-type]
    if why:
        return _no(Reason.WRONG_SIGNATURE, why)
    named = (
        invoke.parameters.get("prepayId") or str(invoke.parameters.get("package", ""))[len("prepay_id=") :]
    )
    if named != shown.prepay_id:
        return _no(Reason.WRONG_SIGNATURE, "the prepay id is not the one that was signed")
    return None


def _check_referer(referer: str, kept: Mapping[str, Any], world: World) -> Outcome | None:
    merchant = world.merchant(kept["mchid"])
    domains = merchant.h5_domains if merchant else ()
    host = _host(referer)
    if domains and not any(f".{host}".endswith(f".{domain.lower()}") for domain in domains):
        said = f"the page was opened from {host or 'nowhere'}"
        return _no(Reason.WRONG_CHANNEL, f"{said}; this merchant's H5 domains are {', '.join(domains)}")
    return None


def _host(url: str) -> str:
    """The host that a URL names, "" where it names none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def forced(act: Act) -> Outcome:
    """The refusal of an act that fails by itself."""
    return _no(act.reason or Reason.REFUSED_BY_PAYER, f"the payer {act.text}")
