"""Merchants as WeChat Pay knows them: their apps, what they may sell by, and how they want to be answered.

Source: WeChat Pay merchant documentation, product permissions and "key kinds"; facts/wechat 1.4 and 2.1
"""

from __future__ import annotations

from typing import Final

import msgspec

from paysim.core.errors import UsageError

__all__ = ["KEY_KINDS", "KINDS_OF_APP", "PRODUCTS", "App", "Merchant", "Settings"]

PRODUCTS: Final[dict[str, str]] = {
    "JSAPI": "inside WeChat: official accounts and mini programs",
    "APP": "from another app on the phone",
    "H5": "from a phone's browser",
    "NATIVE": "a QR code that the payer scans",
}
"""Product -> how its payer comes."""

KINDS_OF_APP: Final[dict[str, str]] = {
    "service_account": "an official account; JSAPI wants it verified",
    "mini_program": "a mini program",
    "mobile": "an app of the open platform",
}

KEY_KINDS: Final[dict[str, str]] = {
    "request": "as the request that made the order or refund chose, else the certificate",
    "certificate": "the platform certificate",
    "public_key": "the platform's public key; there is no certificate to download",
    "switching": "from the certificate to the public key, more of the callbacks each day for seven days",
}
"""What answers and callbacks are signed with. Assumed: "request" where a merchant has not chosen."""


class App(msgspec.Struct, frozen=True, omit_defaults=True):
    """An app id that belongs to a merchant. Raises UsageError for a kind that does not exist."""

    appid: str
    kind: str = "service_account"
    verified: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS_OF_APP:
            raise UsageError(f"an app is one of {', '.join(KINDS_OF_APP)}, not {self.kind!r}")
        if not 0 < len(self.appid) <= 32 or not self.appid.isascii() or not self.appid.isalnum():
            raise UsageError(f"an app id is 1 to 32 letters and digits, not {self.appid!r}")


class Merchant(msgspec.Struct, frozen=True, omit_defaults=True):
    """A merchant: `shop` is whose takings they are.

    `external_site` says that it sells on a site outside WeChat, `h5_domains` are those from which an H5
    payment may start (none: any), `key_kind` a row of KEY_KINDS, `switch_ms` when "switching" began.
    Raises UsageError for what WeChat Pay would not onboard.
    """

    mchid: str
    shop: str
    name: str
    apps: tuple[App, ...]
    products: tuple[str, ...] = tuple(PRODUCTS)
    external_site: bool = False
    h5_domains: tuple[str, ...] = ()
    key_kind: str = "request"
    switch_ms: int = 0

    def __post_init__(self) -> None:
        unknown = [product for product in self.products if product not in PRODUCTS]
        if unknown:
            raise UsageError(f"a product is one of {', '.join(PRODUCTS)}, not {unknown[0]!r}")
        if not self.apps:
            raise UsageError("a merchant has at least one app id")
        if self.external_site and "JSAPI" in self.products:
            raise UsageError("a site outside WeChat may not use JSAPI; take H5 and NATIVE, or onboard an app")
        if self.key_kind not in KEY_KINDS:
            raise UsageError(f"a key kind is one of {', '.join(KEY_KINDS)}, not {self.key_kind!r}")

    def app(self, appid: str) -> App | None:
        """The app of this id, None where it belongs to somebody else."""
        return next((app for app in self.apps if app.appid == appid), None)

    def may(self, product: str, app: App) -> str:
        """Why it may not sell by a product with an app, "" where it may."""
        if product not in self.products:
            return f"merchant {self.mchid} has no permission for {product}; onboard it with that product"
        if product == "JSAPI" and app.kind == "service_account" and not app.verified:
            return f"{app.appid} is a service account that is not verified; JSAPI wants it verified"
        if product == "JSAPI" and app.kind == "mobile":
            return f"{app.appid} is a mobile app; JSAPI wants an official account or a mini program"
        return ""


class Settings(msgspec.Struct, frozen=True):
    """How the platform behaves where sources conflict or say nothing; one for all merchants.

    `lenient_path` takes a signature over the decoded path, with a warning; `closed_fields` refuses unknown
    body fields; `paid_close_code` and `paid_close_status` answer the closing of a paid order; `refund_ms` is
    how long a refund is PROCESSING; `refund_gap_ms` the least time between two refunds of an order, and
    `close_gap_ms` between ordering and closing; `auto_pay_ms` lets somebody pay each order after that time
    (None: nobody does); `old_prepay_ids` lets a prepay id be paid after a newer one was given; `bill_hour` is
    when a day's bills are ready; `gzip_hash` whether a bill's SHA1 is over the "content" or the gzipped
    "file".

    Assumed: every default. Source: facts/wechat 2.1, 2.2 and 9
    """

    lenient_path: bool = False
    closed_fields: bool = False
    paid_close_code: str = "ORDER_PAID"
    paid_close_status: int = 400
    refund_ms: int = 0
    refund_gap_ms: int = 0
    close_gap_ms: int = 0
    auto_pay_ms: int | None = None
    old_prepay_ids: bool = False
    bill_hour: int = 10
    gzip_hash: str = "content"
