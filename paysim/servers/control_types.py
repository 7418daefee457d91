"""What the control API takes and gives, as types: they validate what comes in and describe it in OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from paysim.operators.wechat.merchants import App

__all__ = [
    "Advance",
    "AttemptView",
    "ClockView",
    "DeliveryView",
    "EndRefund",
    "Failure",
    "FaultView",
    "JournalView",
    "LedgerView",
    "MerchantChange",
    "MerchantView",
    "NewFault",
    "NewMerchant",
    "NewPerson",
    "Paid",
    "Pay",
    "PersonView",
    "RecordView",
    "Rotate",
    "Rotated",
    "SettingsChange",
]

Outcome = Literal[
    "confirm", "refuse", "wrong_pin", "no_money", "silence", "ok_but_unpaid", "paid_but_cancel_shown"
]
Product = Literal["JSAPI", "APP", "H5", "NATIVE"]
KeyKind = Literal["request", "certificate", "public_key", "switching"]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Fen = Annotated[int, Meta(ge=0, le=10**15)]
Text = Annotated[str, Meta(max_length=512)]
PaidClose = Literal["ORDER_PAID", "INVALID_REQUEST", "TRADE_ERROR"]
Ms = Annotated[int, Meta(ge=0, le=86_400_000)]


class _In(msgspec.Struct, forbid_unknown_fields=True):
    """Something that comes in: a field that nobody knows is a mistake."""


class NewMerchant(_In):
    """A shop that takes WeChat Pay; `apps` are its app ids, one verified service account unless given."""

    name: Name
    products: tuple[Product, ...] = ("JSAPI", "APP", "H5", "NATIVE")
    apps: list[App] = []
    external_site: bool = False
    h5_domains: list[Name] = []
    key_kind: KeyKind = "request"
    fee_ppm: Annotated[int, Meta(ge=0, lt=1_000_000)] = 6_000


class MerchantChange(_In):
    """What a merchant is from now on; what is not named stays."""

    products: list[Product] | None = None
    apps: list[App] | None = None
    external_site: bool | None = None
    h5_domains: list[Name] | None = None
    key_kind: KeyKind | None = None


class MerchantView(msgspec.Struct, frozen=True):
    """A merchant with what its client is configured with; the keys are PEM texts."""

    mchid: str
    name: str
    apps: list[App]
    products: list[str]
    external_site: bool
    h5_domains: list[str]
    key_kind: str
    serial_no: str
    private_key: str
    certificate: str
    public_key: str
    public_key_id: str
    apiv3_key: str
    apiv2_key: str


class NewPerson(_In):
    """A person with a wallet; `balance` in fen."""

    name: Name
    balance: Fen = 1_000_000
    pin: Annotated[str, Meta(pattern="^[0-9]{6}$")] = "123456"


class PersonView(msgspec.Struct, frozen=True):
    """A person: an openid for each app, the wallet's balance in fen."""

    id: str
    name: str
    openids: dict[str, str]
    balance: int


class Pay(_In):
    """Somebody pays what they were shown: one of the three texts. `outcome` "" is what the order forces."""

    person: Name
    prepay_id: Text = ""
    code_url: Text = ""
    h5_url: Text = ""
    outcome: Outcome | Literal[""] = ""
    referer: Text | None = None


class Paid(msgspec.Struct, frozen=True):
    """What the payer's page was told (null while nobody acts), why not, and the order as a query tells it."""

    result: str | None
    reason: str
    message: str
    transaction: dict[str, Any]


class ClockView(msgspec.Struct, frozen=True):
    """The sandbox's time."""

    now: str
    now_ms: int
    virtual: bool


class Advance(_In):
    """How far a virtual clock moves, in seconds."""

    advance_s: Annotated[float, Meta(ge=0, le=400 * 86_400)]


class AttemptView(msgspec.Struct, frozen=True):
    """One try of a callback: `at_ms` by the sandbox's clock, `error` "" where it was acknowledged."""

    at_ms: int
    kind: str
    status: int
    error: str
    fault: str


class DeliveryView(msgspec.Struct, frozen=True):
    """A callback, how often it was tried, and when it goes out next (Unix ms, null for never)."""

    id: str
    order: str
    event_type: str
    url: str
    signed_by: str
    delivered: bool
    due_ms: int | None
    attempts: list[AttemptView]


class NewFault(_In):
    """Something that shall go wrong: see `paysim.Fault`."""

    point: Literal["request", "answer", "callback", "refund"]
    action: Literal[
        "lose",
        "delay",
        "error",
        "limit",
        "reset",
        "truncate",
        "wrong_signature",
        "unknown_serial",
        "expired_time",
        "re_encode",
        "bad_tag",
        "probe",
        "early",
        "duplicate",
        "concurrent",
        "out_of_order",
        "abnormal",
        "closed",
    ] = "lose"
    verb: Name | Literal[""] = ""
    channel: Name | Literal[""] = ""
    times: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    delay_s: Annotated[float, Meta(ge=0.001, le=10_000_000)] = 60
    path: Text = ""
    code: Name = "SYSTEM_ERROR"
    per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class FaultView(msgspec.Struct, frozen=True):
    """A fault that can still strike."""

    point: str
    action: str
    verb: str
    channel: str
    times: int
    delay_s: float
    path: str
    code: str
    per_s: int


class EndRefund(_In):
    """How a refund that is PROCESSING or ABNORMAL ends; `mchid` is the default merchant unless given."""

    status: Literal["SUCCESS", "ABNORMAL", "CLOSED"]
    mchid: Name | Literal[""] = ""


class LedgerView(msgspec.Struct, frozen=True):
    """Every balance in minor units by account and currency, and the sums, which are zero."""

    accounts: dict[str, dict[str, int]]
    sums: dict[str, int]


class RecordView(msgspec.Struct, frozen=True):
    """One record of the journal."""

    position: int
    stream: str
    version: int
    key: str
    event: dict[str, Any]
    hash: str


class JournalView(msgspec.Struct, frozen=True):
    """Records after a position, oldest first; `head` is the newest record's hash."""

    position: int
    head: str
    records: list[RecordView]


class SettingsChange(_In):
    """How WeChat Pay behaves where sources conflict, from now on; what is not named stays."""

    lenient_path: bool | None = None
    closed_fields: bool | None = None
    paid_close_code: PaidClose | None = None
    paid_close_status: Literal[400, 403] | None = None
    refund_ms: Ms | None = None
    refund_gap_ms: Ms | None = None
    close_gap_ms: Ms | None = None
    auto_pay_ms: Ms | None = None
    old_prepay_ids: bool | None = None
    bill_hour: Annotated[int, Meta(ge=0, le=23)] | None = None
    gzip_hash: Literal["content", "file"] | None = None


class Rotate(_In):
    """A new platform certificate: how long the old one stays valid, and when the new one begins to sign."""

    overlap_s: Annotated[float, Meta(ge=0, le=366 * 86_400)] = 86_400
    sign_after_s: Annotated[float, Meta(ge=0, le=366 * 86_400)] = 0


class Rotated(msgspec.Struct, frozen=True):
    """The new certificate's serial."""

    serial_no: str


class Failure(msgspec.Struct, frozen=True):
    """Why nothing was done, and what to do about it."""

    error: str
    message: str
