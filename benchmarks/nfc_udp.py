"""An APDU's round trip over nfcpy's UDP radio: our reader, our card in a process of its own.

Run: python benchmarks/nfc_udp.py

Measured are SELECT of the payment directory (20 bytes there, some 66 back), and a command of 260 bytes whose
answer of 258 takes two frames, as it does itself. Beside the first stands nfcpy alone: its own reader and
radio before a loop that answers each I-block by nfcpy's own driver, with nothing behind it. Medians and 95 %.
Budget: 0.15 ms for a SELECT. A whole tap of a UnionPay card (three APDUs and an ARQC) is there to compare.
"""

from __future__ import annotations

import datetime
import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable
from typing import Any

from paysim.crypto import raw_rsa
from paysim.drivers.nfc import Nfc
from paysim.drivers.nfc_card import CardHost
from paysim.drivers.nfc_frontend import nfcpy
from paysim.emv.card import Card
from paysim.emv.entry_point import Done, EntryPoint, Poll, Send
from paysim.emv.personalise import Scheme, make_pan, personalise
from paysim.emv.profile import PROFILES
from paysim.emv.reader import Combination, Purchase, reader

ROUNDS = 2_000
BUDGET_MS = 0.15
SELECT = bytes.fromhex("00A404000E325041592E5359532E444446303100")
LONG = bytes.fromhex("00D60000FF") + bytes(255)
DAY = datetime.date(2026, 11, 27)


class Table:
    """A card beside a payment card: it says its commands back where they are not for that one."""

    def __init__(self, card: Card) -> None:
        self._card = card

    def respond(self, command: bytes) -> bytes:
        return bytes(256) + b"\x90\x00" if command == LONG else self._card.respond(command)

    def power_off(self) -> None:
        self._card.power_off()


def ours(port: int, ready: Any) -> None:
    """Our card, in its process."""
    keys = [raw_rsa.generate(bits) for bits in (1984, 1408, 1152)]
    scheme = Scheme(
        "unionpay", keys[0], keys[1], bytes(range(16)), bytes(range(16)), datetime.date(2049, 12, 31)
    )
    made = personalise(
        PROFILES["unionpay"], make_pan("unionpay", 7), "01", scheme.issuer_keys, keys[2], on=DAY
    )
    host = CardHost(Table(Card(made)), f"udp:127.0.0.1:{port}")
    host.insert()
    ready.set()
    host.serve()


def bare(port: int, ready: Any) -> None:
    """nfcpy's own radio, and a loop."""
    nfc = nfcpy()
    frontend = nfc.ContactlessFrontend(f"udp:127.0.0.1:{port}")
    about = {"sens_res": "0400", "sdd_res": "08010203", "sel_res": "20"}
    target = nfc.clf.LocalTarget("106A", **{name: bytearray.fromhex(text) for name, text in about.items()})
    ready.set()
    while not frontend.listen(target, 60):
        pass
    try:
        frame = frontend.exchange(bytes.fromhex("0578807000"), 60)
        while frame:
            frame = frontend.exchange(frame[:1] + bytes(66), 60)
    except nfc.clf.CommunicationError:
        pass  # the reader is done


def started(target: Callable[[int, Any], None]) -> tuple[str, Any]:
    """The path of a card's radio, and its process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    process = spawn.Process(target=target, args=(port, ready), daemon=True)
    process.start()
    ready.wait(60)
    time.sleep(0.1)
    return f"udp:127.0.0.1:{port}", process


def milliseconds(work: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Median and 95 %."""
    for _ in range(20):
        work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def tap(link: Any, number: int) -> int:
    """A UnionPay card goes online; how many commands that took."""
    combination = Combination(bytes.fromhex("A000000333"), 7, bytes.fromhex("26004080"), cvm_limit=100_001)
    purchase = Purchase(990, date=DAY, time=datetime.time(12), unpredictable=number.to_bytes(4))
    machine, commands = EntryPoint(reader(combination, ca_keys=()), purchase), 0
    step = machine.start()
    if isinstance(step, Poll):
        step = machine.cards(1)
    while isinstance(step, Send):
        commands += 1
        step = machine.receive(link.transceive(step.command))
    assert isinstance(step, Done), step
    return commands


def main() -> None:
    """Measure and print."""
    path, process = started(bare)
    nfc = nfcpy()
    frontend = nfc.ContactlessFrontend(path)
    tag = nfc.tag.activate(frontend, frontend.sense(nfc.clf.RemoteTarget("106A")))
    alone, alone_95 = milliseconds(lambda: tag.transceive(SELECT))
    frontend.close()
    process.kill()

    path, process = started(ours)
    field = Nfc().open(path)
    present = field.wait(5)
    assert present is not None
    link = present.link
    assert link.transceive(SELECT)[-2:] == b"\x90\x00"
    short, short_95 = milliseconds(lambda: link.transceive(SELECT))
    long, long_95 = milliseconds(lambda: link.transceive(LONG))
    numbers = iter(range(1, 10_000))
    commands = tap(link, 0)
    whole, whole_95 = milliseconds(lambda: tap(link, next(numbers)), 500)
    activated, activated_95 = milliseconds(lambda: field.wait(5), 100)
    field.close()
    process.kill()

    met = "met" if short <= BUDGET_MS else "MISSED"
    print(f"SELECT over UDP: {short:.3f} ms (95 %: {short_95:.3f}); budget {BUDGET_MS} ms: {met}")
    print(
        f"  nfcpy alone, nothing behind it: {alone:.3f} ms (95 %: {alone_95:.3f}); ratio {short / alone:.2f}"
    )
    print(f"260 bytes there, 258 back, chained both ways: {long:.3f} ms (95 %: {long_95:.3f})")
    print(f"UnionPay tap, {commands} APDUs: {whole:.2f} ms (95 %: {whole_95:.2f})")
    print(
        f"a card found again, 6 ms of which the field is off: {activated:.1f} ms (95 %: {activated_95:.1f})"
    )


if __name__ == "__main__":
    main()
