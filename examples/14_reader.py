"""A terminal at a reader, and a card that is read alone: recorded frame by frame, and read again without it.

The reader here is software, so that this runs anywhere. A real one is `shop.terminal("pcsc")` for the payment
and `driver("pcsc")` for the rest, and a card of `paysim card` or of plastic is held to it.
"""

import datetime

from paysim import CNY, Sandbox
from paysim.drivers import session
from paysim.drivers.dialogue import Recorder
from paysim.drivers.loopback import LoopbackDriver
from paysim.drivers.replay import Replay
from paysim.drivers.session import CardRecord
from paysim.emv.card import Card
from paysim.emv.inspection import Inspection, Send, without_cryptogram

reader = LoopbackDriver()
today = datetime.date(2026, 11, 27)


def read(link):
    """What a card says of itself: a machine says what to ask, and the link carries it."""
    inspection = Inspection(on=today)
    step = inspection.start()
    while isinstance(step, Send):
        step = inspection.receive(link.transceive(step.command))
    return step.report


with Sandbox(seed=7) as sandbox:
    shop = sandbox.shop("Tea House")
    alice = sandbox.person("Alice", balance=CNY("100.00"))
    terminal = shop.terminal(reader)
    order = shop.create(CNY("9.90"))

    print("nobody there:", terminal.tap(order, wait_s=0).outcome)
    reader.insert(Card(alice.card("visa").made))
    print("a card came:", terminal.tap(order).outcome, "-", order.state)

    # The same card, only read: each frame is noted with its time, and the number is masked in the file.
    recorder = Recorder(reader.open().wait(1).link, kept=without_cryptogram)
    report = read(recorder)
    lines = session.encode(CardRecord(tuple(recorder.trace), today))
    reader.remove()

print("read:", *(one.title for one in report.applications), "-", report.not_done[0])
print("recorded:", len(lines.splitlines()), "lines")
again = Replay(session.decode(lines), strict=True)
print("the record says the same:", read(again) == report, "- differences:", again.differences)
