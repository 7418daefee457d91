"""What a channel is: how payer and payee meet, and which verbs it claims.

A channel is a machine of two functions: what the payer is shown, and what a text that was scanned claims.
Money, states, limits and idempotency are the operator's (`channels.operator`), the same on every channel.
A stranger's channel is one class with these members, registered by `Sandbox.register` or by an entry point
of the group `paysim.channels`.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import msgspec

from paysim.core.money import Money
from paysim.core.operation import Verb

__all__ = ["ALL_VERBS", "Capabilities", "Channel", "Claim", "PresentRequest", "Presented", "ShopFacts"]

ALL_VERBS: Final = frozenset(Verb)


class Capabilities(msgspec.Struct, frozen=True):
    """What a channel claims, and is held to by the conformance suite.

    `verbs`: the verbs that it supports; asking another raises Unsupported. `manual_capture`: whether an
    order may be authorized first and captured later. `shown_by`: "shop" where the payer scans what the shop
    shows, "payer" where the shop scans what the payer shows. `standing`: one presentation serves many
    payments, each its own transaction. `single_use`: a failed attempt ends the presentation, so it declines
    the payment. `operator`: who runs it, "" for the sandbox's own wallet.
    """

    verbs: frozenset[Verb] = ALL_VERBS
    manual_capture: bool = True
    shown_by: str = "shop"
    standing: bool = False
    single_use: bool = False
    operator: str = ""


class ShopFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shop as the operator knows it.

    `fee_ppm` is the operator's fee in millionths of the takings; `credit_refused` that it takes no credit
    cards; `personal` that its codes are a private person's receive codes (market rule R05).
    """

    id: str
    name: str
    country: str = "CN"
    city: str = "SHANGHAI"
    mcc: str = "5411"
    fee_ppm: int = 0
    credit_refused: bool = False
    personal: bool = False


class PresentRequest(NamedTuple):
    """What a channel is asked to present: an order of a shop, or, with `order` "", a standing code.

    `nonce` is six digits that differ each time; `at_ms` Unix milliseconds.
    """

    shop: ShopFacts
    order: str
    money: Money | None
    at_ms: int
    nonce: str


class Presented(NamedTuple):
    """What the payer is shown: a text (for a QR code; "" where there is none) and how long it holds."""

    text: str
    lifetime_ms: int | None = None


class Claim(NamedTuple):
    """What a text that was scanned says of itself; the operator's records decide whether it is true.

    `order` is set where it asks for one order's money, `stand` where it is a standing code, and `code`
    where it is a payer's code.
    """

    channel: str
    shop: str = ""
    order: str = ""
    stand: str = ""
    code: str = ""

    def __repr__(self) -> str:
        code = "..." if self.code else ""
        names = f"shop={self.shop!r}, order={self.order!r}, stand={self.stand!r}, code={code!r}"
        return f"Claim({self.channel!r}, {names})"


class Channel(Protocol):
    """How payer and payee meet. Pure: the same request gives the same answer."""

    @property
    def name(self) -> str:
        """The channel's name, "family.kind"."""

    @property
    def capabilities(self) -> Capabilities:
        """What it claims."""

    def present(self, request: PresentRequest) -> Presented:
        """What the payer is shown for an order or, where it is standing, for a shop."""

    def read(self, text: str) -> Claim | None:
        """What a scanned text claims; None where it is not this channel's.

        Raises DecodeError where it is this channel's and damaged.
        """
