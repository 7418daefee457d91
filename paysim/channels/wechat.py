"""Payment by WeChat Pay: inside an app or a page by prepay id, or by a Native code that the payer scans.

The operator is `operators/wechat`; what stands here is how the two ways look to shop and payer.
Source: WeChat Pay merchant documentation, APP and Native payment
"""

from __future__ import annotations

from typing import Final

from paysim.core.operation import Verb
from paysim.operators.wechat.numbers import code_url, prepay_id, read_shown

from .channel import Capabilities, Claim, Presented, PresentRequest
from .operator import ORDER_LIFETIME_MS

__all__ = ["InAppWeChat", "NativeWeChat"]

_VERBS: Final = frozenset({Verb.CREATE, Verb.PRESENT, Verb.REFUND, Verb.QUERY, Verb.CLOSE})
_CAPABILITIES: Final = Capabilities(verbs=_VERBS, manual_capture=False, operator="wechat")


class InAppWeChat:
    """A merchant's app opens WeChat with a prepay id, and the payer confirms there."""

    name = "in_app.wechat"
    capabilities = _CAPABILITIES

    def present(self, request: PresentRequest) -> Presented:
        """A prepay id."""
        return Presented(prepay_id(request.order, request.at_ms, request.nonce[:4]), ORDER_LIFETIME_MS)

    def read(self, text: str) -> Claim | None:
        """The order in a prepay id or an H5 link."""
        shown = read_shown(text)
        if shown is None or shown.kind == "code_url":
            return None
        return Claim(self.name, order=shown.order)


class NativeWeChat:
    """The shop shows a Native code; the first who scans it pays it."""

    name = "qr.wechat"
    capabilities = _CAPABILITIES

    def present(self, request: PresentRequest) -> Presented:
        """A code URL."""
        return Presented(code_url(request.order, request.nonce[:4]), ORDER_LIFETIME_MS)

    def read(self, text: str) -> Claim | None:
        """The order in a code URL."""
        shown = read_shown(text)
        return Claim(self.name, order=shown.order) if shown is not None and shown.kind == "code_url" else None
