"""`paysim demo`: a payment over each channel, a refund, a decline, and an answer that was lost and found."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from paysim import CNY, Fault, Money, Order, Person, Sandbox, Shop
from paysim.channels import Presentation
from paysim.sandbox import trace

from . import given
from .screen import Screen

__all__ = ["run"]

_DECIDED: Final = ("decision", "card", "issuer", "shown")


def run(arguments: Namespace, screen: Screen) -> int:
    """Play the demo and show it."""
    wanted = tempfile.mkdtemp(prefix="paysim-demo-") if arguments.out is None else arguments.out
    folder = given.folder(wanted)
    with Sandbox(seed=arguments.seed) as sandbox:
        shop = sandbox.shop("Tea House")
        alice = sandbox.person("Alice", balance=CNY("2000.00"))
        png = folder / "tea-house.png"
        orders = [
            ("qr.merchant", _merchant(screen, shop, alice, png)),
            ("qr.static", _static(screen, shop, alice)),
            ("qr.payer", _payer(screen, shop, alice)),
            ("qr.static", _declined(screen, shop, alice)),
            ("qr.payer", _lost(screen, sandbox, shop, alice)),
            ("qr.wechat", _native(screen, shop, alice)),
            ("in_app.wechat", _in_app(screen, shop, alice)),
            ("contactless", _tap(screen, shop, alice)),
        ]
        _ledger(screen, sandbox)
        screen.say(f"The picture that was scanned: {png}")
        screen.result(_summary(sandbox, orders, png))
    return 0


def _see(screen: Screen, shown: Presentation, png: Path | None = None) -> str | bytes:
    """What the camera gets: the picture, or the text where nothing can read pictures."""
    picture = shown.png()
    if png is not None:
        png.write_bytes(picture)
    if find_spec("zxingcpp") is None:
        screen.say("(no camera: pip install 'paysim[scan]'; the text is passed on instead)")
        return shown.text
    return picture


def _merchant(screen: Screen, shop: Shop, alice: Person, png: Path) -> Order:
    screen.head("1. The shop shows a code, Alice scans it and confirms; part of it is refunded")
    order = shop.create(CNY("12.80"), reference="T-1001")
    code = order.present("qr.merchant")
    screen.code(code.text)
    screen.say(code.text)
    alice.scan(_see(screen, code, png)).confirm()
    order.refund(CNY("2.80"))
    screen.say(order.timeline() + "\n")
    return order


def _static(screen: Screen, shop: Shop, alice: Person) -> Order:
    screen.head("2. A code stands on the counter, Alice types the amount")
    prompt = alice.scan(_see(screen, shop.static_code()))
    prompt.pay(CNY("3.00"))
    return _paid(screen, prompt.order)


def _payer(screen: Screen, shop: Shop, alice: Person) -> Order:
    screen.head("3. Alice shows a payment code, the shop scans it")
    order = shop.create(CNY("9.90"), reference="T-1002")
    order.authorize(_see(screen, alice.payment_code()))
    return _paid(screen, order)


def _declined(screen: Screen, shop: Shop, alice: Person) -> Order:
    screen.head("4. Too much for a standing code: declined, no money moves")
    prompt = alice.scan(_see(screen, shop.static_code()))
    prompt.pay(CNY("600.00"))
    return _paid(screen, prompt.order)


def _lost(screen: Screen, sandbox: Sandbox, shop: Shop, alice: Person) -> Order:
    screen.head("5. The operator's answer is lost: UNKNOWN, until a query settles it")
    sandbox.faults.add(Fault("answer", verb="authorize"))
    order = shop.create(CNY("5.50"), reference="T-1003")
    order.authorize(_see(screen, alice.payment_code()))
    screen.say(f"the shop thinks: {order.state}   the operator knows: {order.book.state}")
    sandbox.advance(seconds=5)
    order.query()
    return _paid(screen, order)


def _native(screen: Screen, shop: Shop, alice: Person) -> Order:
    screen.head("6. WeChat Pay, Native (扫码支付): Alice scans a code that WeChat has made for the shop")
    order = shop.create(CNY("18.00"), reference="T-1004")
    code = order.present("qr.wechat")
    screen.say(code.text)
    alice.scan(_see(screen, code)).confirm()
    return _paid(screen, order)


def _in_app(screen: Screen, shop: Shop, alice: Person) -> Order:
    screen.head("7. WeChat Pay, in an app (APP支付): the shop's app opens WeChat with a prepay id")
    order = shop.create(CNY("6.60"), reference="T-1005")
    opened = order.present("in_app.wechat")
    screen.say(opened.text)
    alice.scan(opened).confirm()
    return _paid(screen, order)


def _tap(screen: Screen, shop: Shop, alice: Person) -> Order:
    screen.head("8. Alice holds her card to the terminal: what both decide, and the issuer behind them")
    order = shop.create(CNY("9.90"), reference="T-1006")
    tap = shop.terminal().tap(order, alice.card("unionpay"))
    for line in trace.lines(one for one in tap.trace if one.kind in _DECIDED):
        screen.say(line.text)
    screen.say("   (each byte of it: paysim tap --card unionpay --amount 9.90 --trace)\n")
    return _paid(screen, order)


def _paid(screen: Screen, order: Order | None) -> Order:
    if order is None:
        raise AssertionError("a standing code that was paid has an order")
    screen.say(order.timeline() + "\n")
    return order


def _ledger(screen: Screen, sandbox: Sandbox) -> None:
    screen.head("The ledger")
    rows = [
        (account, Money(currency, minor).text, currency)
        for account, balances in sandbox.balances().items()
        for currency, minor in balances.items()
    ]
    sums = [("sum", Money(currency, minor).text, currency) for currency, minor in sandbox.sums().items()]
    screen.table(("account", "balance", ""), rows + sums, numbers=(1,))
    screen.say()


def _summary(sandbox: Sandbox, orders: list[tuple[str, Order]], png: Path) -> dict[str, Any]:
    payments = [
        {
            "channel": channel,
            "state": order.state.value,
            "book_state": order.book.state.value,
            "amount_minor": order.money.minor,
            "currency": order.money.currency,
        }
        for channel, order in orders
    ]
    return {"payments": payments, "ledger": {"sums": sandbox.sums()}, "png": str(png)}
