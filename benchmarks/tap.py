"""A whole tap in one process: card, Entry Point, kernel and issuer with all their checks, beside bare RSA.

Run: python benchmarks/tap.py

Without offline data authentication (visa-online: PPSE, AID, GPO; unionpay: the same) the ARQC is made by the
card and checked by the host. With fDDA (unionpay-ecash, 7 APDUs) the card signs and the reader recovers the
issuer's and the card's keys; beside it stands the card's private operation by CRT alone, which no such tap
can do without. Nothing is journalled here: `benchmarks/taps.py` counts whole payments. Medians over rounds.
Budgets: 3,000 taps a second without ODA; with fDDA 0.7 x a bare CRT private operation.
"""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count

from paysim.crypto import raw_rsa
from paysim.emv.card import Card
from paysim.emv.entry_point import Done, EntryPoint, Poll, Send
from paysim.emv.memory import Memory
from paysim.emv.outcome import IssuerResponse, Result, Status
from paysim.emv.personalise import Scheme, make_pan, personalise
from paysim.emv.profile import PROFILES
from paysim.emv.reader import Combination, Purchase, Reader, reader
from paysim.issuer.card_file import CardFile
from paysim.issuer.cards import IssuedCard, MasterKeys
from paysim.issuer.host import Host
from paysim.issuer.messages import AuthorizationRequest

DAY = datetime.date(2026, 11, 27)
NOON = datetime.time(12)
NOW_MS = 1_795_780_800_000
IMK, SMI = bytes(range(16)), bytes(range(16, 32))
CARD_BITS, ISSUER_BITS, CA_BITS = 1152, 1408, 1984
ROUNDS = 15
BATCH_SECONDS = 0.08
BUDGET_PER_SECOND = 3_000
BUDGET_FDDA = 0.7

CA, ISSUER, CARD = (raw_rsa.generate(bits) for bits in (CA_BITS, ISSUER_BITS, CARD_BITS))
Numbers = Iterator[int]


def terminal(scheme: Scheme) -> Reader:
    """Both kernels; the CVM limit of market rule R06."""
    visa = Combination(bytes.fromhex("A000000003"), 3, bytes.fromhex("26004000"), floor_limit=0)
    unionpay = Combination(bytes.fromhex("A000000333"), 7, bytes.fromhex("26004080"), cvm_limit=100_001)
    return reader(unionpay, visa, ca_keys=(scheme.ca_key,))


def tap(card: Card, till: Reader, host: Host, minor: int, numbers: Numbers) -> tuple[Result, int]:
    """The outcome of a tap, the issuer's answer included, and how many commands it took."""
    purchase = Purchase(minor, date=DAY, time=NOON, unpredictable=(next(numbers) % 2**32).to_bytes(4))
    machine, commands = EntryPoint(till, purchase), 0
    step = machine.start()
    if isinstance(step, Poll):
        step = machine.cards(1)
    while isinstance(step, Send):
        commands += 1
        step = machine.receive(card.respond(step.command))
    assert isinstance(step, Done), step
    result = step.result
    if result.status is Status.ONLINE_REQUEST:
        answer = host.authorize(AuthorizationRequest(result.data_record or {}, minor, "CNY", NOW_MS))
        assert answer.outcome.approved, answer.outcome
        host.cards.apply(answer.token, answer.facts)
        last = machine.start("B", IssuerResponse(answer.arc))
        assert isinstance(last, Done), last
        result = last.result
    card.power_off()
    card.memory.take()
    assert result.status is Status.APPROVED, result
    return result, commands


def prepared(name: str, minor: int) -> tuple[Callable[[], None], int]:
    """A tap of a card of this profile, to be called again and again, and its number of commands."""
    profile = PROFILES[name]
    scheme = Scheme(profile.scheme, CA, ISSUER, IMK, SMI, datetime.date(2049, 12, 31))
    till, numbers = terminal(scheme), count(1)

    def fresh() -> tuple[Card, Host]:
        pan = make_pan(profile.scheme, next(numbers))
        made = personalise(profile, pan, "01", scheme.issuer_keys, CARD, on=DAY)
        issued = IssuedCard(
            token=f"card-{next(numbers)}",
            pan=pan,
            psn="01",
            scheme=profile.scheme,
            expires=made.expires,
            holder="alice",
            stem="payer/alice",
            keys={1: MasterKeys(IMK, SMI)},
            methods=(profile.method,),
        )
        return Card(made), Host(CardFile([issued]), lambda name: 10**9 if "available" in name else 0)

    state = [*fresh()]

    def once() -> None:
        card, host = state
        if card.memory.atc >= 60_000:
            state[:] = fresh()
            card, host = state
        if profile.balance_minor and card.memory.balance < minor:
            card.memory = Memory.of([("atc", card.memory.atc), ("balance", profile.balance_minor)])
        tap(card, till, host, minor, numbers)

    card, host = state
    _, commands = tap(card, till, host, minor, numbers)
    return once, commands


def rate(work: Callable[[], object]) -> float:
    """How often a second, over one batch."""
    done, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < BATCH_SECONDS:
        for _ in range(8):
            work()
        done += 8
    return done / elapsed


def main() -> None:
    """Measure and print."""
    block = bytes(1) + bytes(range(1, 128)) + bytes(16)
    bare: Callable[[], object] = lambda: CARD.sign(block)  # noqa: E731
    rows = [("visa-online", 990), ("unionpay", 990), ("unionpay-ecash", 1)]
    for name, minor in rows:
        once, commands = prepared(name, minor)
        signs = name == "unionpay-ecash"
        pairs = [(rate(once), rate(bare)) for _ in range(ROUNDS)]
        taps, alone = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        if signs:
            budget = f"budget {BUDGET_FDDA}: {'met' if ratio >= BUDGET_FDDA else 'MISSED'}"
            print(f"tap, {name}, fDDA of {CARD_BITS} bits, {commands} APDUs: {taps:,.0f} a second")
            print(f"  bare CRT private operation: {alone:,.0f} a second; ratio {ratio:.2f}; {budget}")
        else:
            met = f"budget {BUDGET_PER_SECOND:,}: {'met' if taps >= BUDGET_PER_SECOND else 'MISSED'}"
            print(f"tap, {name}, ARQC, {commands} APDUs: {taps:,.0f} a second; {met}")


if __name__ == "__main__":
    main()
