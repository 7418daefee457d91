"""A till that is always open: payments in all QR ways, some of whose answers are lost.

As a script it writes a line of JSON for each acknowledged verb, right after the verb has returned:

    python tests/till.py FILE SEED DURABILITY PAYMENTS
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

from paysim import CNY, Fault, Goods, Money, Order, Sandbox

Fact = dict[str, Any]
Tell = Callable[[Fact], None]

LONG_GOODS = [Goods(f"{n} tins of tea", CNY("0.01")) for n in range(24)]
"""A record of these takes more than a page of 1,024 bytes."""


def fact(order: Order, verb: str, operation: str = "") -> Fact:
    """What is acknowledged when a verb returns: both readers' facts so far."""
    return {
        "order": order.id,
        "verb": verb,
        "operation": operation,
        "state": order.state.value,
        "shop": [event.kind for event in order.events],
        "book": [event.kind for event in order.book.events],
    }


class Till:
    """A shop with a stand on its counter, and a customer."""

    def __init__(self, sandbox: Sandbox, tell: Tell, choices: random.Random, name: str = "till") -> None:
        self.sandbox = sandbox
        self.tell = tell
        self.choices = choices
        self.shop = sandbox.shop("Tea House")
        self.payer = sandbox.person("Alice", balance=CNY("100000.00"))
        self.stand = self.shop.static_code()
        self.name = name
        self.served = 0

    def serve(self) -> None:
        """One payment, in one of the ways, and what may follow it."""
        self.served += 1
        way = self.choices.choice((self._shows, self._scans, self._stands))
        if self.choices.random() < 0.25:
            verb = self.choices.choice(("", "authorize", "refund", "void"))
            point = self.choices.choice(("request", "answer", "callback"))
            action = self.choices.choice(("lose", "delay"))
            self.sandbox.faults.add(Fault(point, action, verb, delay_s=self.choices.randint(1, 200)))
        order = way()
        self.sandbox.faults.clear()
        if order is not None:
            self._after(order)
        if self.choices.random() < 0.1:
            self.sandbox.advance(minutes=self.choices.randint(1, 300))

    def _create(self) -> Order:
        reference = f"{self.name}-{self.sandbox.journal.position}-{self.served}"
        if self.choices.random() < 0.1:
            order = self.shop.create(goods=LONG_GOODS, reference=reference)
        else:
            order = self.shop.create(self._money(), reference=reference)
        self.tell(fact(order, "create"))
        return order

    def _money(self) -> Money:
        return Money("CNY", self.choices.randint(1, 2_000))

    def _shows(self) -> Order | None:
        order = self._create()
        self.sandbox.faults.clear()
        shown = order.present("qr.merchant")
        self.tell(fact(order, "present"))
        prompt = self.payer.scan(shown.text)
        if self.choices.random() < 0.9:
            prompt.confirm()
            self.tell(fact(order, "confirm"))
        return order

    def _scans(self) -> Order | None:
        order = self._create()
        code = self.payer.payment_code()
        operation = order.authorize(code.text)
        self.tell(fact(order, "authorize", operation.id))
        return order

    def _stands(self) -> Order | None:
        prompt = self.payer.scan(self.stand.text)
        prompt.pay(CNY("0.07"))
        if prompt.order is not None:
            self.tell(fact(prompt.order, "pay"))
        return prompt.order

    def _after(self, order: Order) -> None:
        if self.choices.random() < 0.3 and order.state.name == "CAPTURED":
            operation = order.refund(CNY("0.01"))
            self.tell(fact(order, "refund", operation.id))
        elif self.choices.random() < 0.1 and order.state.name == "CAPTURED":
            operation = order.void()
            self.tell(fact(order, "void", operation.id))


def serve(sandbox: Sandbox, payments: int, seed: int, name: str = "till") -> list[Fact]:
    """So many payments; what was acknowledged."""
    facts: list[Fact] = []
    till = Till(sandbox, facts.append, random.Random(seed), name)
    for _ in range(payments):
        till.serve()
    return facts


# What must be true of acknowledged facts. ------------------------------------------------------------


def check(sandbox: Sandbox, facts: list[Fact]) -> None:
    """Every acknowledged fact is there, once and in its place; no effect is doubled; the ledger is zero."""
    for told in _newest(facts):
        order = sandbox.order(told["order"])
        assert [e.kind for e in order.events][: len(told["shop"])] == told["shop"], told
        assert [e.kind for e in order.book.events][: len(told["book"])] == told["book"], told
        assert not told["operation"] or told["operation"] in {o.id for o in order.operations}
    effects = [
        (order.id, event.operation, event.kind)
        for order in sandbox.orders()
        for event in order.book.events
        if event.kind in ("captured", "refunded", "voided", "reversed")
    ]
    assert len(effects) == len(set(effects))
    assert len([e for e in effects if e[2] == "captured"]) == len(
        {e[0] for e in effects if e[2] == "captured"}
    )
    assert set(sandbox.sums().values()) <= {0}
    sandbox.verify()


def _newest(facts: list[Fact]) -> Iterator[Fact]:
    yield from {told["order"]: told for told in facts}.values()


def settle(sandbox: Sandbox) -> int:
    """Settle by query every payment that the shop is not sure of; returns how many there were.

    Then both readers agree on each, and what was left unpaid is closed or reversed.
    """
    unsure = 0
    for order in sandbox.orders():
        open_operations = any(operation.open for operation in order.operations)
        if not open_operations and order.state == order.book.state:
            continue
        unsure += 1
        order.query()
        if order.state.name in ("PENDING", "UNKNOWN"):
            order.reverse()
        elif order.state.name in ("CREATED", "PRESENTED"):
            order.close()
        assert order.state == order.book.state, order.timeline()
        assert not any(operation.status == "UNKNOWN" for operation in order.operations), order.timeline()
    return unsure


def main(path: str, seed: str, durability: str, payments: str) -> None:
    def tell(told: Fact) -> None:
        os.write(1, json.dumps(told).encode() + b"\n")

    with Sandbox(store=f"sqlite:///{path}", durability=durability) as sandbox:
        till = Till(sandbox, tell, random.Random(int(seed)), f"till-{seed}")
        for _ in range(int(payments)):
            till.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
