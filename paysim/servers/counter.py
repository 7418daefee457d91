"""What the payer's pages ask of the sandbox: an order, the people, and what comes of a payment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paysim.core.outcome import Reason
from paysim.operators.wechat.messages import details, trade_state
from paysim.operators.wechat.numbers import Shown, read_shown
from paysim.operators.wechat.payer import Invoke, check

from .pages import OrderView
from .platform import Platform

__all__ = ["Counter"]


class Counter:
    """The sandbox as its pages see it."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def order(self, prepay_id: str) -> OrderView | None:
        """The order of a prepay id, None where there is none."""
        wechat = self._platform.sandbox.wechat
        shown = read_shown(prepay_id)
        book = wechat.book(shown.order) if shown is not None and shown.kind == "prepay_id" else None
        if shown is None or book is None or book.presentation is None:
            return None
        kept = details(book)
        merchant = wechat.merchant(kept["mchid"])
        kind = "h5_url" if kept["trade_type"] == "H5" else "prepay_id"
        refusal = check(book, Shown(kind, book.id, prepay_id, prepay_id), kept.get("owner", ""), wechat)
        return OrderView(
            merchant.name if merchant else kept["mchid"],
            kept["description"],
            book.amount_minor,
            trade_state(book),
            kept["trade_type"],
            refusal is not None and refusal.reason is Reason.EXPIRED,
            merchant.h5_domains if merchant else (),
            kept.get("owner", ""),
        )

    def people(self) -> Sequence[tuple[str, str, int]]:
        """Id, name and balance in fen of each person."""
        found = self._platform.sandbox.wechat.people()
        return [(one["id"], one["name"], one["balance"]) for one in found]

    def pay(
        self,
        person: str,
        text: str,
        outcome: str,
        kind: str,
        parameters: Mapping[str, Any],
        appid: str,
        referer: str,
    ) -> tuple[str | None, str]:
        """What the page is told, and why in words."""
        invoke = Invoke(kind, parameters, appid, referer)
        paid = self._platform.sandbox.wechat.payer.pay(person, text, outcome, invoke)
        self._platform.courier.wake()
        return paid.result, paid.outcome.text
