"""Hypothesis strategies: amounts, orders, codes, and whole payment histories.

from hypothesis import given
from paysim.testing.strategies import histories, play

@given(histories())
def test_my_report_adds_up(steps):
    with Sandbox() as sandbox:
        orders = play(sandbox, steps)
        assert my_report(orders).total == sum(order.book.paid_minor for order in orders)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from paysim import Fault, Goods, LinkTimeout, Money, Order, Person, Sandbox, Shop, Verb
from paysim.codec import payment_code
from paysim.core.money import CURRENCIES, MAX_MINOR
from paysim.qr import consumer, merchant

__all__ = [
    "Step",
    "consumer_codes",
    "histories",
    "merchant_codes",
    "money",
    "orders",
    "payment_codes",
    "play",
]

_CODES: Final = sorted(CURRENCIES)
_WORDS: Final = st.text(st.characters(categories=("L", "Nd")), min_size=1, max_size=20)
_PRINTABLE: Final = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=25)


def money(
    currency: str | None = "CNY", *, min_minor: int = 1, max_minor: int = 1_000_000
) -> st.SearchStrategy[Money]:
    """Amounts from `min_minor` to `max_minor` minor units; of any ISO 4217 currency where it is None.

    >>> from hypothesis import given
    >>> @given(money("JPY", max_minor=500))
    ... def check(amount):
    ...     assert 1 <= amount.minor <= 500
    >>> check()
    """
    codes = st.sampled_from(_CODES) if currency is None else st.just(currency)
    return st.builds(Money, codes, st.integers(max(min_minor, -MAX_MINOR), min(max_minor, MAX_MINOR)))


@st.composite
def orders(draw: st.DrawFn, currency: str = "CNY", *, max_minor: int = 1_000_000) -> dict[str, Any]:
    """Arguments of `Shop.create`: money or goods lines, at times a reference and manual capture.

    >>> from hypothesis import given
    >>> @given(orders())
    ... def check(arguments):
    ...     order = Sandbox().shop("Tea House").create(**arguments)
    ...     assert order.money.minor > 0
    >>> check()
    """
    arguments: dict[str, Any] = {}
    if draw(st.booleans()):
        price = money(currency, max_minor=max(1, max_minor // 10))
        lines = st.builds(Goods, _WORDS, price, st.integers(1, 5))
        arguments["goods"] = draw(st.lists(lines, min_size=1, max_size=2))
    else:
        arguments["money"] = draw(money(currency, max_minor=max_minor))
    if draw(st.booleans()):
        arguments["reference"] = draw(_WORDS)
    if draw(st.booleans()):
        arguments["capture"] = draw(st.sampled_from(["auto", "manual"]))
    return arguments


# Codes. ---------------------------------------------------------------------------------------------


@st.composite
def merchant_codes(draw: st.DrawFn) -> str:
    """Texts of valid merchant-presented EMV QR codes, static and dynamic.

    >>> from hypothesis import given
    >>> from paysim.qr import merchant
    >>> @given(merchant_codes())
    ... def check(text):
    ...     assert merchant.decode(text, mode="strict").valid
    >>> check()
    """
    amount = draw(st.none() | money(None, max_minor=10**8))
    code = amount.currency if amount else draw(st.sampled_from(_CODES))
    account = {"00": "com.example", "01": draw(_PRINTABLE)}
    fields: dict[str, Any] = {"00": "01", "01": "12" if amount else "11"}
    fields[f"{draw(st.integers(26, 51)):02}"] = account
    fields |= {"52": f"{draw(st.integers(0, 9999)):04}", "53": CURRENCIES[code].numeric}
    if amount:
        fields["54"] = amount.text
    fields |= {"58": draw(st.sampled_from(["CN", "HK", "SG", "DE"])), "59": draw(_PRINTABLE), "60": "CITY"}
    if draw(st.booleans()):
        fields["62"] = {"01": draw(_PRINTABLE), "07": "0001"}
    return merchant.encode(fields)


@st.composite
def payment_codes(draw: st.DrawFn, scheme: str | None = None) -> str:
    """Texts of codes that payers show as digits: of one scheme, or of any.

    >>> from hypothesis import given
    >>> from paysim.codec import payment_code
    >>> @given(payment_codes("wechat"))
    ... def check(text):
    ...     assert payment_code.decode(text).scheme == "wechat"
    >>> check()
    """
    row = payment_code.SCHEMES[scheme or draw(st.sampled_from(sorted(payment_code.SCHEMES)))]
    prefix = draw(st.sampled_from(row.prefixes))
    count = draw(st.integers(row.least, row.most)) - len(prefix)
    digits = draw(st.text("0123456789", min_size=count, max_size=count))
    return payment_code.encode(row.name, digits, prefix=prefix)


@st.composite
def consumer_codes(draw: st.DrawFn) -> str:
    """Texts of valid consumer-presented EMV QR codes: one or two applications with PAN or track 2.

    >>> from hypothesis import given
    >>> from paysim.qr import consumer
    >>> @given(consumer_codes())
    ... def check(text):
    ...     assert consumer.decode(text).valid
    >>> check()
    """
    pans = st.text("0123456789", min_size=12, max_size=17).map(lambda digits: "62" + digits)
    applications = []
    for number in range(draw(st.integers(1, 2))):
        pan = draw(pans)
        track_2 = f"{pan}D3012{draw(st.integers(0, 999)):03}"
        tag, value = draw(st.sampled_from([(0x5A, pan), (0x57, track_2)]))
        objects = ((0x4F, bytes.fromhex(f"A00000033301010{number + 1}")), (tag, _compressed(value)))
        applications.append((0x61, objects))
    return consumer.encode([(0x85, b"CPV01"), *applications])


def _compressed(digits: str) -> bytes:
    return bytes.fromhex(digits if len(digits) % 2 == 0 else digits + "F")


# Histories. -----------------------------------------------------------------------------------------


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a history.

    `do` is "pay" (a new order, paid on `channel`, with the payer's `act`), a verb that follows ("capture",
    "refund", "void", "reverse", "query", "close"), or "wait" (`seconds`). Of a verb, `order` says on which
    of the orders so far, counted from the newest; nothing happens where there is none. `minor` is an amount
    in minor units, 0 for all; `fault` goes wrong during this step.
    """

    do: str
    channel: str = ""
    order: int = 0
    minor: int = 0
    act: str = "confirm"
    capture: str = "auto"
    key: str = ""
    fault: Fault | None = None
    seconds: int = 0


_CHANNELS: Final = ("qr.merchant", "qr.static", "qr.payer")
_ACTS: Final = ("confirm", "confirm", "confirm", "wrong_pin", "refuse", "ignore")
_FOLLOWING: Final = ("capture", "refund", "void", "reverse", "query", "close")
_WAITS_S: Final = (1, 45, 60, 600, 7_200, 86_400, 604_800)


@st.composite
def _faults(draw: st.DrawFn) -> Fault:
    point = draw(st.sampled_from(["request", "answer", "callback"]))
    action = draw(st.sampled_from(["lose", "delay"]))
    return Fault(point, action, times=draw(st.integers(1, 2)), delay_s=draw(st.sampled_from(_WAITS_S)))


def _steps(channels: Sequence[str], faults: bool, max_minor: int) -> st.SearchStrategy[Step]:
    fault = st.none() | _faults() if faults else st.none()
    amounts = st.integers(1, max_minor)
    captures = st.sampled_from(["auto", "auto", "manual"])
    paying = st.builds(
        Step,
        st.just("pay"),
        channel=st.sampled_from(list(channels)),
        minor=amounts,
        act=st.sampled_from(_ACTS),
        capture=captures,
        fault=fault,
    )
    following = st.builds(
        Step,
        st.sampled_from(_FOLLOWING),
        order=st.integers(0, 3),
        minor=st.just(0) | amounts,
        key=st.sampled_from(["", "", "a"]),
        fault=fault,
    )
    waiting = st.builds(Step, st.just("wait"), seconds=st.sampled_from(_WAITS_S), fault=fault)
    return st.one_of(paying, following, following, waiting)


def histories(
    *,
    channels: Sequence[str] = _CHANNELS,
    faults: bool = True,
    max_steps: int = 20,
    max_minor: int = 50_000,
) -> st.SearchStrategy[list[Step]]:
    """Whole payment histories: payments, verbs, payers' doings, waits, and what goes wrong; for `play`.

    >>> from hypothesis import given
    >>> @given(histories(max_steps=5))
    ... def check(steps):
    ...     with Sandbox() as sandbox:
    ...         orders = play(sandbox, steps)
    ...         paid_minor = sum(order.book.paid_minor for order in orders)
    ...         assert sandbox.shop("Shop").takings().minor == paid_minor
    >>> check()
    """
    return st.lists(_steps(channels, faults, max_minor), min_size=1, max_size=max_steps)


def play(sandbox: Sandbox, steps: Sequence[Step], *, currency: str = "CNY") -> list[Order]:
    """The orders that a history makes in a sandbox, by "Payer" (10,000.00) in "Shop".

    What a step asks of an order that does not allow it is refused and leaves the order as it is.

    >>> with Sandbox() as sandbox:
    ...     [order] = play(sandbox, [Step("pay", "qr.payer", minor=1280), Step("refund", minor=280)])
    ...     order.state.name, order.refunded
    ('CAPTURED', Money('CNY', 280))
    """
    shop = sandbox.shop("Shop")
    payer = sandbox.person("Payer", balance=Money.parse(10_000, currency))
    made: list[Order] = []
    for step in steps:
        if step.fault is not None:
            sandbox.faults.add(step.fault)
        if step.do == "wait":
            sandbox.advance(seconds=step.seconds)
        elif step.do == "pay":
            made += _pay(shop, payer, step, Money(currency, step.minor))
        elif step.order < len(made):
            _follow(made[-1 - step.order], step, Money(currency, step.minor) if step.minor else None)
        sandbox.faults.clear()
    return made


def _pay(shop: Shop, payer: Person, step: Step, money: Money) -> list[Order]:
    pin = "000000" if step.act == "wrong_pin" else None
    if step.channel == "qr.static":
        prompt = payer.scan(shop.static_code(money.currency))
        if step.act in ("confirm", "wrong_pin"):
            prompt.pay(money, pin=pin)
        return [prompt.order] if prompt.order else []
    order = shop.create(money, capture=step.capture)
    if step.channel == "qr.payer":
        order.authorize(payer.payment_code())
        prompts = [prompt for prompt in payer.prompts() if prompt.order and prompt.order.id == order.id]
    else:
        code = _presented(order, step.channel)
        prompts = [payer.scan(code)] if code else []
    for prompt in prompts:
        if step.act == "refuse":
            prompt.refuse()
        elif step.act != "ignore":
            prompt.confirm(pin=pin)
    return [order]


def _presented(order: Order, channel: str) -> Any:
    try:
        return order.present(channel)
    except LinkTimeout:
        return None


def _follow(order: Order, step: Step, money: Money | None) -> None:
    verb = Verb(step.do)
    if verb is Verb.QUERY:
        order.query()
    elif verb is Verb.CAPTURE:
        order.capture(money, key=step.key)
    elif verb is Verb.REFUND:
        order.refund(money, key=step.key)
    else:
        getattr(order, verb.value)(key=step.key)
