"""The control API under /_paysim/: what a person or a test does with a running sandbox.

`CALLS` is its table: `control_routes` routes and validates by its rows, `openapi` describes them.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from paysim.core.callback import Callback
from paysim.core.clock import SECOND_MS
from paysim.core.errors import UsageError
from paysim.core.event import Record
from paysim.core.money import Money
from paysim.faults import Fault
from paysim.operators.wechat.errors import CODES, OLD_CODES
from paysim.operators.wechat.merchants import App, Merchant, Settings
from paysim.operators.wechat.messages import order_body, refund_body
from paysim.operators.wechat.numbers import rfc3339
from paysim.operators.wechat.payer import Invoke
from paysim.operators.wechat.refunds import operation_of
from paysim.operators.wechat.world import refund_key

from . import control_types as types
from .platform import Platform
from .request_log import Logged

__all__ = ["CALLS", "PREFIX", "Asked", "Call", "Refused", "record_view"]

PREFIX: Final = "/_paysim"
_SHOWN: Final = 100
_SHOWN_AT_MOST: Final = 1_000
_LAST_MS: Final = 253_402_214_400_000  # 9999-12-31T00:00:00Z: a day before what a date in China can say


class Asked(NamedTuple):
    """A call: the platform, the path's parameters, the query, and the validated body."""

    platform: Platform
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any

    def flag(self, name: str) -> bool:
        """Whether it is 1. Raises UsageError for what is neither 0 nor 1."""
        text = self.query.get(name, "0")
        if text not in ("0", "1"):
            raise UsageError(f"{name} is 0 or 1, not {text[:40]!r}")
        return text == "1"

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number of the query. Raises UsageError for anything else."""
        text = self.query.get(name, "")
        if name not in self.query:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise UsageError(f"{name} is a whole number from 0, not {text[:40]!r}")
        return min(int(text), most)


class Call(NamedTuple):
    """A row of the table: what it takes (None for no body) and gives, and in one line what it does.

    `query` names its parameters with what they mean; `fails` are statuses besides 400 and those of the door.
    """

    method: str
    path: str
    handler: Callable[[Asked], Awaitable[Any]]
    takes: Any
    gives: Any
    summary: str
    query: Mapping[str, str] = {}
    fails: tuple[int, ...] = ()


class Refused(UsageError):
    """A call that cannot be done now: its status, and what to do."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


# Merchants and people. ----------------------------------------------------------------------------


async def _merchants(asked: Asked) -> list[types.MerchantView]:
    return [_merchant_view(asked.platform, one) for one in asked.platform.sandbox.wechat.merchants()]


async def _new_merchant(asked: Asked) -> types.MerchantView:
    new, sandbox = asked.body, asked.platform.sandbox
    rest: dict[str, Any] = {
        "products": new.products,
        "external_site": new.external_site,
        "h5_domains": tuple(new.h5_domains),
        "key_kind": new.key_kind,
        "switch_ms": sandbox.clock.now_ms() if new.key_kind == "switching" else 0,
    }
    Merchant("", "", new.name, tuple(new.apps) or (App("any"),), **rest)  # refuses before a shop is opened
    if new.name in {one.name for one in sandbox.wechat.merchants()}:
        raise Refused(409, f"there is a merchant {new.name!r} already; POST {PREFIX}/merchants/{{mchid}}")
    shop = sandbox.shop(new.name, fee_ppm=new.fee_ppm)
    merchant = sandbox.wechat.onboard(shop.facts, apps=new.apps, **rest)
    return _merchant_view(asked.platform, merchant)


async def _change_merchant(asked: Asked) -> types.MerchantView:
    wechat = asked.platform.sandbox.wechat
    merchant = wechat.merchant(asked.path["mchid"])
    if merchant is None:
        raise Refused(404, f"there is no merchant {asked.path['mchid'][:32]!r}; GET {PREFIX}/merchants")
    changes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in msgspec.structs.asdict(asked.body).items()
        if value is not None
    }
    if changes.get("key_kind") == "switching":
        changes["switch_ms"] = wechat.now_ms()
    changed = msgspec.structs.replace(merchant, **changes)
    wechat.change(changed)
    return _merchant_view(asked.platform, changed)


def _merchant_view(platform: Platform, merchant: Merchant) -> types.MerchantView:
    wechat = platform.sandbox.wechat
    keys, files = wechat.secrets.merchant(merchant.mchid), wechat.secrets.files(merchant.mchid)
    return types.MerchantView(
        merchant.mchid,
        merchant.name,
        list(merchant.apps),
        list(merchant.products),
        merchant.external_site,
        list(merchant.h5_domains),
        merchant.key_kind,
        keys.serial,
        files["apiclient_key.pem"].decode(),
        files["apiclient_cert.pem"].decode(),
        files["pub_key.pem"].decode(),
        wechat.secrets.public_key_id(),
        keys.api_v3_key,
        keys.api_v2_key,
    )


async def _people(asked: Asked) -> list[types.PersonView]:
    return [types.PersonView(**one) for one in asked.platform.sandbox.wechat.people()]


async def _new_person(asked: Asked) -> types.PersonView:
    new, sandbox = asked.body, asked.platform.sandbox
    if new.name in {one["name"] for one in sandbox.wechat.people()}:
        raise Refused(409, f"there is a person {new.name!r} already; GET {PREFIX}/people")
    person = sandbox.person(new.name, balance=Money("CNY", new.balance), pin=new.pin)
    found = next(one for one in sandbox.wechat.people() if one["id"] == person.id)
    return types.PersonView(**found)


# Paying. ------------------------------------------------------------------------------------------


async def _pay(asked: Asked) -> types.Paid:
    pay, platform = asked.body, asked.platform
    texts = [text for text in (pay.prepay_id, pay.code_url, pay.h5_url) if text]
    if len(texts) != 1:
        raise UsageError("give one of prepay_id, code_url and h5_url")
    wechat = platform.sandbox.wechat
    known = [one for one in wechat.people() if pay.person in (one["id"], one["name"])]
    if not known:
        names = ", ".join(one["name"] for one in wechat.people()) or "nobody"
        raise UsageError(f"there is no person {pay.person!r}; there is {names}")
    invoke = None if pay.referer is None else Invoke("h5", {}, referer=pay.referer)
    paid = await platform.pay(known[0]["id"], texts[0], pay.outcome, invoke)
    outcome = paid.outcome
    reason = outcome.reason.value if outcome.reason else ""
    book = wechat.book(paid.order)
    transaction = order_body(book, wechat) if book is not None and book.presentation is not None else {}
    return types.Paid(paid.result, reason, outcome.text, transaction)


async def _end_refund(asked: Asked) -> dict[str, Any]:
    wechat, number = asked.platform.sandbox.wechat, asked.path["out_refund_no"]
    mchid = asked.body.mchid or asked.platform.merchant.mchid
    book = wechat.find(refund_key(mchid, number))
    if book is None:
        raise Refused(404, f"merchant {mchid!r} has no refund {number[:64]!r}")
    try:
        ended = wechat.refunds.end(operation_of(book.id, number), asked.body.status)
    except UsageError as error:
        raise Refused(409, str(error)) from None
    return refund_body(wechat.book(book.id) or book, ended, wechat)


# Time. --------------------------------------------------------------------------------------------


async def _clock(asked: Asked) -> types.ClockView:
    clock = asked.platform.sandbox.clock
    return types.ClockView(rfc3339(clock.now_ms()), clock.now_ms(), clock.virtual)


async def _advance(asked: Asked) -> types.ClockView:
    platform = asked.platform
    clock = platform.sandbox.clock
    if not clock.virtual:
        raise Refused(409, "the sandbox runs on the real clock; start it with --clock virtual")
    target_ms = clock.now_ms() + round(asked.body.advance_s * SECOND_MS)
    if target_ms > _LAST_MS:
        raise UsageError("the sandbox's time ends with the year 9999")
    await platform.courier.advance_to(target_ms)
    return await _clock(asked)


# What happened. -----------------------------------------------------------------------------------


async def _requests(asked: Asked) -> list[Logged]:
    limit = asked.number("limit", _SHOWN, _SHOWN_AT_MOST)
    return asked.platform.log.newest(limit, asked.flag("refused"))


async def _deliveries(asked: Asked) -> list[types.DeliveryView]:
    found = asked.platform.sandbox.wechat.callbacks()
    limit = asked.number("limit", _SHOWN, _SHOWN_AT_MOST)
    return [_delivery(one) for one in found[max(len(found) - limit, 0) :][::-1]]


async def _resend(asked: Asked) -> types.DeliveryView:
    id = asked.path["id"]
    if not await asked.platform.courier.resend(id):
        raise Refused(404, f"there is no callback {id[:64]!r}; GET {PREFIX}/deliveries")
    return _delivery(asked.platform.sandbox.wechat.callback(id))


def _delivery(callback: Callback) -> types.DeliveryView:
    owed = callback.events[0].data
    attempts = [
        types.AttemptView(
            event.at_ms,
            event.kind,
            event.data.get("status", 0),
            event.data.get("error", ""),
            event.data.get("fault", ""),
        )
        for event in callback.events[1:]
    ]
    return types.DeliveryView(
        callback.id,
        callback.order,
        owed["event_type"],
        callback.url,
        owed["signed_by"],
        callback.delivered,
        callback.due_ms,
        attempts,
    )


async def _ledger(asked: Asked) -> types.LedgerView:
    accounts = asked.platform.sandbox.balances()
    sums: dict[str, int] = {}
    for balances in accounts.values():
        for currency, minor in balances.items():
            sums[currency] = sums.get(currency, 0) + minor
    return types.LedgerView(accounts, sums)


async def _journal(asked: Asked) -> types.JournalView:
    journal = asked.platform.sandbox.journal
    after = asked.number("after", 0, 2**62)
    limit = asked.number("limit", _SHOWN, _SHOWN_AT_MOST)
    chosen = itertools.islice((one for one in journal.records() if one.position > after), limit)
    return types.JournalView(journal.position, journal.head.hex(), [record_view(one) for one in chosen])


def record_view(record: Record) -> types.RecordView:
    """A record as it is shown."""
    event: dict[str, Any] = msgspec.to_builtins(record.event)
    return types.RecordView(
        record.position, record.stream, record.version, record.key, event, record.hash.hex()
    )


# What shall go wrong. -----------------------------------------------------------------------------


async def _faults(asked: Asked) -> list[types.FaultView]:
    left = asked.platform.sandbox.faults.mark()
    return [types.FaultView(**{**msgspec.structs.asdict(one), "times": times}) for one, times in left]


async def _new_fault(asked: Asked) -> list[types.FaultView]:
    new = asked.body
    if new.action == "error" and new.code not in CODES and new.code not in OLD_CODES:
        raise UsageError(f"a fault's code is one of {', '.join(CODES)}, not {new.code!r}")
    asked.platform.sandbox.faults.add(Fault(**msgspec.structs.asdict(new)))
    return await _faults(asked)


async def _no_faults(asked: Asked) -> None:
    asked.platform.sandbox.faults.clear()


async def _settings(asked: Asked) -> Settings:
    return asked.platform.sandbox.wechat.settings


async def _change_settings(asked: Asked) -> Settings:
    changes = {k: v for k, v in msgspec.structs.asdict(asked.body).items() if v is not None}
    return asked.platform.settle(changes)


async def _rotate(asked: Asked) -> types.Rotated:
    overlap_ms, after_ms = (round(s * SECOND_MS) for s in (asked.body.overlap_s, asked.body.sign_after_s))
    secrets = asked.platform.sandbox.wechat.secrets
    return types.Rotated(secrets.rotate(overlap_ms=overlap_ms, sign_after_ms=after_ms))


async def _reset(asked: Asked) -> types.JournalView:
    try:
        await asked.platform.reset()
    except UsageError as error:
        raise Refused(409, str(error)) from None
    return await _journal(asked._replace(query={"limit": "0"}))


_LIMIT: Final = {"limit": "how many at most (100 unless given, at most 1000)"}

CALLS: Final[tuple[Call, ...]] = (
    Call("GET", "/merchants", _merchants, None, list[types.MerchantView], "Every merchant with its keys"),
    Call(
        "POST",
        "/merchants",
        _new_merchant,
        types.NewMerchant,
        types.MerchantView,
        "Onboard a merchant",
        fails=(409,),
    ),
    Call(
        "POST",
        "/merchants/{mchid}",
        _change_merchant,
        types.MerchantChange,
        types.MerchantView,
        "Change a merchant",
        fails=(404,),
    ),
    Call("GET", "/people", _people, None, list[types.PersonView], "Who can pay"),
    Call(
        "POST",
        "/people",
        _new_person,
        types.NewPerson,
        types.PersonView,
        "A new person with a wallet",
        fails=(409,),
    ),
    Call("POST", "/pay", _pay, types.Pay, types.Paid, "Be the phone: pay, refuse, fail or stay silent"),
    Call(
        "POST",
        "/refunds/{out_refund_no}",
        _end_refund,
        types.EndRefund,
        dict[str, Any],
        "End a refund that is PROCESSING or ABNORMAL; gives it as its query does",
        fails=(404, 409),
    ),
    Call("GET", "/clock", _clock, None, types.ClockView, "The sandbox's time"),
    Call(
        "POST",
        "/clock",
        _advance,
        types.Advance,
        types.ClockView,
        "Move a virtual clock; timers and callbacks come in their order",
        fails=(409,),
    ),
    Call(
        "GET",
        "/requests",
        _requests,
        None,
        list[Logged],
        "The newest requests by the wire, and why one was refused",
        {**_LIMIT, "refused": "1 for those alone that were no success"},
    ),
    Call(
        "GET", "/deliveries", _deliveries, None, list[types.DeliveryView], "Callbacks and their tries", _LIMIT
    ),
    Call(
        "POST",
        "/deliveries/{id}/resend",
        _resend,
        None,
        types.DeliveryView,
        "Deliver a callback again",
        fails=(404,),
    ),
    Call("GET", "/faults", _faults, None, list[types.FaultView], "What can still go wrong"),
    Call("POST", "/faults", _new_fault, types.NewFault, list[types.FaultView], "Let something go wrong"),
    Call("DELETE", "/faults", _no_faults, None, None, "Nothing goes wrong any more"),
    Call("GET", "/ledger", _ledger, None, types.LedgerView, "Every balance, and the sums, which are zero"),
    Call(
        "GET",
        "/journal",
        _journal,
        None,
        types.JournalView,
        "The journal's records; as server-sent events for Accept: text/event-stream",
        {**_LIMIT, "after": "the position behind which to begin"},
    ),
    Call("GET", "/settings", _settings, None, Settings, "How WeChat Pay behaves where sources conflict"),
    Call(
        "POST", "/settings", _change_settings, types.SettingsChange, Settings, "Behave otherwise from now on"
    ),
    Call("POST", "/certificates", _rotate, types.Rotate, types.Rotated, "Rotate the platform certificate"),
    Call("POST", "/reset", _reset, None, types.JournalView, "Begin a new journal", fails=(409,)),
)
"""Every call of the control API."""
