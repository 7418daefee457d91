"""Payment by QR code: the shop shows one for an order, a standing one, or the payer shows theirs.

The codes are EMVCo merchant-presented codes whose account template 26 names the sandbox, the shop, and the
order or the stand; a payer's code is a number with the sandbox's own prefix.
"""

from __future__ import annotations

import re
from typing import Any, Final

from paysim.codec import payment_code
from paysim.core.errors import DecodeError
from paysim.core.money import CURRENCIES
from paysim.core.operation import Verb
from paysim.qr import merchant

from .channel import ALL_VERBS, Capabilities, Claim, Presented, PresentRequest
from .operator import ORDER_LIFETIME_MS

__all__ = ["GUID", "MerchantCode", "PayerCode", "StaticCode", "payer_code"]

GUID: Final = "paysim.sandbox"
"""The name of the sandbox's wallet in a merchant's code; Assumed: no real network has it."""

_ANS: Final = re.compile(r"[ -~]*", re.ASCII)
_NAME_AT_MOST: Final = 25


def _fields(request: PresentRequest, *, static: bool) -> dict[str, Any]:
    shop = request.shop
    account = {"00": GUID, "01": shop.id, **({"03": request.nonce} if static else {"02": request.order})}
    fields: dict[str, Any] = {"00": "01", "01": "11" if static else "12", "26": account, "52": shop.mcc}
    if request.money is not None:
        fields["53"] = CURRENCIES[request.money.currency].numeric
        if not static:
            fields["54"] = request.money.text
    fields["58"] = shop.country
    if _ANS.fullmatch(shop.name):
        return {**fields, "59": shop.name[:_NAME_AT_MOST], "60": shop.city}
    return {**fields, "59": shop.id, "60": shop.city, "64": {"00": "zh", "01": shop.name[:_NAME_AT_MOST]}}


class MerchantCode:
    """The shop shows a code for one order, with its amount inside; the payer scans and confirms."""

    name = "qr.merchant"
    capabilities = Capabilities()

    def present(self, request: PresentRequest) -> Presented:
        """The code of an order."""
        return Presented(merchant.encode(_fields(request, static=False)), ORDER_LIFETIME_MS)

    def read(self, text: str) -> Claim | None:
        """The order or the stand that a merchant's code of this sandbox names.

        Raises DecodeError where the code is damaged.
        """
        if GUID not in text:
            return None
        code = merchant.decode(text)
        account = code.fields.get("26")
        if not isinstance(account, dict) or account.get("00") != GUID:
            return None
        if not code.valid:
            first = code.issues[0]
            raise DecodeError(f"the code is damaged: {first.code}", offset=first.offset, path=first.path)
        stand = str(account.get("03", ""))
        channel = StaticCode.name if stand else self.name
        return Claim(channel, str(account.get("01", "")), str(account.get("02", "")), stand)


class StaticCode:
    """A standing code of the shop: the payer types the amount, and each payment is an order of its own."""

    name = "qr.static"
    capabilities = Capabilities(verbs=ALL_VERBS - {Verb.CREATE}, manual_capture=False, standing=True)

    def present(self, request: PresentRequest) -> Presented:
        """The standing code of a shop."""
        return Presented(merchant.encode(_fields(request, static=True)))

    def read(self, text: str) -> Claim | None:  # noqa: ARG002 - MerchantCode reads both kinds in one pass
        """Nothing: `MerchantCode.read` recognises standing codes too."""
        return None


class PayerCode:
    """The payer shows a payment code, the shop scans it: it holds a minute and is good for one payment."""

    name = "qr.payer"
    capabilities = Capabilities(shown_by="payer", single_use=True)

    def present(self, request: PresentRequest) -> Presented:  # noqa: ARG002 - nothing to show but a ready scanner
        """Nothing to look at: the shop's scanner waits for the payer's code."""
        return Presented("", ORDER_LIFETIME_MS)

    def read(self, text: str) -> Claim | None:
        """The payer's code, where it is one of this sandbox's wallet."""
        code = payment_code.decode(text)
        return Claim(self.name, code=code.text) if code is not None and code.scheme == "paysim" else None


def payer_code(digits: str) -> str:
    """A payment code of the sandbox's wallet from 16 digits."""
    return payment_code.encode("paysim", digits)
