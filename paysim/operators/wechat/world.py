"""What the machine can look up while it answers, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from paysim.codec.http import Request, Response
from paysim.core.event import Event
from paysim.core.outcome import Outcome
from paysim.core.transaction import Transaction
from paysim.crypto.signature import Verifier

from .keys import MerchantKeys, PlatformKeys
from .merchants import Merchant, Settings

__all__ = ["Answer", "Asked", "Done", "Fact", "World", "order_key", "refund_key"]


class World(Protocol):
    """The books, the merchants, the people and the keys. `wall_ms` is true time, for signatures alone."""

    settings: Settings

    def now_ms(self) -> int:
        """The sandbox's time."""

    def wall_ms(self) -> int:
        """The machine's time."""

    def merchant(self, mchid: str) -> Merchant | None:
        """A merchant."""

    def keys(self, mchid: str) -> MerchantKeys | None:
        """A merchant's certificates and API keys."""

    def platform(self, mchid: str) -> PlatformKeys:
        """The platform's keys that a merchant's answers and callbacks are signed with."""

    def others(self) -> Mapping[str, Verifier]:
        """Keys that a client may have taken by mistake: name -> verifier, to explain a wrong signature."""

    def find(self, key: str) -> Transaction | None:
        """The book of the order that has this key (`order_key`, `refund_key`)."""

    def book(self, order: str) -> Transaction | None:
        """The book of an order by its id."""

    def books(self, mchid: str) -> Iterator[Transaction]:
        """The books of every order of a merchant."""

    def tally(self, name: str) -> int:
        """A balance."""

    def fee_ppm(self, shop: str) -> int:
        """A merchant's fee, in millionths."""

    def owner(self, appid: str, openid: str) -> str:
        """The person whose openid this is, "" for nobody's."""

    def openid(self, appid: str, person: str) -> str:
        """What an app knows of a person."""

    def refund_end(self, book: Transaction, minor: int) -> str:
        """How a refund of so much shall end: a row of `refunds.ENDS`."""

    def source_kind(self, person: str, stem: str) -> str:
        """What was paid from: wallet, debit or credit."""

    def identity(self) -> str:
        """Sixteen digits of a new order or refund."""

    def digits(self, label: str, count: int) -> str:
        """Seeded digits."""

    def nonce(self) -> str:
        """32 random letters and digits for an answer."""

    def token_secret(self) -> bytes:
        """What download tokens are signed with."""


class Fact(NamedTuple):
    """A fact for the operator's book, and the key that finds its order again."""

    event: Event
    key: str = ""


class Asked(NamedTuple):
    """A request whose signature is right: its path parameters, query and body decoded."""

    request: Request
    merchant: Merchant
    keys: MerchantKeys
    world: World
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    kind: str


class Done(NamedTuple):
    """What a handler decided: the answer's body (None for 204), and the facts for the book of `order`.

    `file` is an unsigned download; `headers` come besides the usual ones.
    """

    body: Mapping[str, Any] | None = None
    order: str = ""
    facts: tuple[Fact, ...] = ()
    raw: bytes | None = None
    file: bool = False
    headers: tuple[tuple[str, str], ...] = ()


class Answer(NamedTuple):
    """What comes back for a request: the HTTP answer, and the facts that follow.

    `code` and `why` say what a refusal is and, in plain words, where it comes from; `outcome` is the same
    for a shop inside the sandbox. `verb` and `mchid` are for faults and the request log, `fault` is what
    went wrong on purpose, `warning` what was taken although the real service may not.
    """

    response: Response
    order: str = ""
    facts: tuple[Fact, ...] = ()
    code: str = ""
    why: str = ""
    outcome: Outcome | None = None
    verb: str = ""
    mchid: str = ""
    warning: str = ""
    fault: str = ""


def order_key(mchid: str, out_trade_no: str) -> str:
    """How an order is found by its merchant's number."""
    return f"wechat/{mchid}/{out_trade_no}"


def refund_key(mchid: str, out_refund_no: str) -> str:
    """How a refund's order is found by the merchant's refund number."""
    return f"wechat/{mchid}/refund/{out_refund_no}"
