"""Cards that cannot be activated, through the real daemon: a named error in time, and the next card pays."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from driver_benches import PcscBench
from pcscd import Pcscd

from paysim.core.errors import LinkClosed, LinkError, LinkTimeout
from paysim.drivers import vpcd
from paysim.drivers.driver import Field
from paysim.drivers.pcsc import Pcsc
from paysim.testing.drivers import GOOD, SELECT, ScriptedCard

WAIT_S = 10.0
ATR = vpcd.ATRS["T1"]
_GET_ATR = b"\x04"

Answer = bytes | None
"""None: the card says nothing from then on."""


class OddCard:
    """A card in the virtual reader by bare frames: what it says when it is asked for its ATR, and at last."""

    def __init__(self, daemon: Pcscd) -> None:
        self.atrs: list[Answer] = []
        self.last: Answer = ATR
        self.connection = daemon.dial(("127.0.0.1", daemon.port), 5)
        self.connection.settimeout(None)
        self.thread = threading.Thread(target=self.serve)

    def insert(self, atrs: list[Answer], last: Answer) -> None:
        self.atrs, self.last = list(atrs), last
        self.thread.start()

    def serve(self) -> None:
        try:
            while (header := vpcd._read(self.connection, 2)) is not None:
                frame = vpcd._read(self.connection, int.from_bytes(header))
                if frame is None:
                    break
                if frame == _GET_ATR:
                    answer = self.atrs.pop(0) if self.atrs else self.last
                else:
                    answer = b"\x90\x00" if len(frame) > 1 else None
                if answer == b"":
                    break
                if answer is not None:
                    self.connection.sendall(len(answer).to_bytes(2) + answer)
        except OSError:
            pass
        self.connection.close()

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.thread.join(WAIT_S)


@pytest.fixture
def field(daemon: Pcscd) -> Iterator[Field]:
    opened = Pcsc(timeout_s=1).open(daemon.names[0])
    assert opened.removed(WAIT_S)
    yield opened
    opened.close()


@pytest.fixture
def card(daemon: Pcscd) -> Iterator[OddCard]:
    made = OddCard(daemon)
    yield made
    made.remove()


def paid_by_the_next(daemon: Pcscd, field: Field, odd: OddCard) -> bool:
    """Whether another card, put there in the odd one's place, answers."""
    odd.remove()
    bench = PcscBench(daemon)
    bench.insert(ScriptedCard({SELECT: GOOD}))
    try:
        present = field.wait(WAIT_S)
        return present is not None and present.link.transceive(SELECT) == GOOD
    finally:
        bench.close()


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("at", range(3))
def test_a_card_that_is_silent_when_it_is_powered_on(
    at: int, daemon: Pcscd, field: Field, card: OddCard
) -> None:
    """The service waits for it, and may not have said yet that there is a card; we do not wait for ever."""
    card.insert([ATR] * at, None)
    for timeout_s in (1.0, 0.1):
        with in_time(), contextlib.suppress(LinkTimeout):
            assert field.wait(timeout_s) is None
    assert paid_by_the_next(daemon, field, card)


def test_a_card_that_is_silent_when_it_is_reset(daemon: Pcscd, field: Field, card: OddCard) -> None:
    card.insert([], ATR)
    present = field.wait(WAIT_S)
    assert present is not None
    card.last = None
    with in_time(), pytest.raises(LinkTimeout, match="take it away"):
        field.wait(1.0)
    with in_time(), pytest.raises(LinkTimeout, match="take the card away"):
        field.wait(0.1)
    with pytest.raises(LinkClosed):
        present.link.transceive(SELECT)
    assert paid_by_the_next(daemon, field, card)


def test_a_field_with_a_silent_card_is_closed_in_time(field: Field, card: OddCard) -> None:
    card.insert([], ATR)
    assert field.wait(WAIT_S) is not None
    card.last = None
    with in_time():
        field.close()


@pytest.mark.parametrize("at", range(1, 3))
def test_a_card_that_goes_when_it_is_powered_on(at: int, daemon: Pcscd, field: Field, card: OddCard) -> None:
    card.insert([ATR] * at, b"")
    with in_time():
        assert field.wait(1.0) is None
    assert paid_by_the_next(daemon, field, card)


@pytest.mark.parametrize("at", range(3))
def test_a_card_that_goes_when_it_is_reset(at: int, daemon: Pcscd, field: Field, card: OddCard) -> None:
    card.insert([], ATR)
    assert field.wait(WAIT_S) is not None
    card.atrs, card.last = [ATR] * at, b""
    with in_time():
        while field.wait(0.5) is not None:
            pass
    assert paid_by_the_next(daemon, field, card)


WRONG = {
    "none to speak of": b"\x3b",
    "zeros": bytes(5),
    "another protocol": bytes.fromhex("3B800F"),
    "long": b"\x3b" * 40,
    "longer": b"\x3b" * 300,
}


@pytest.mark.parametrize("atr", WRONG.values(), ids=WRONG)
def test_a_card_with_a_wrong_atr(atr: bytes, daemon: Pcscd, field: Field, card: OddCard) -> None:
    card.insert([], atr)
    with in_time(), pytest.raises(LinkClosed, match="the card"):
        field.wait(1.2)
    assert paid_by_the_next(daemon, field, card)


def test_a_card_that_promises_for_ever_takes_no_longer_than_a_command_may(daemon: Pcscd) -> None:
    class Slow(ScriptedCard):
        def respond(self, command: bytes) -> bytes:
            time.sleep(0.2)
            return b"\x00\x61\x01"

    bench = PcscBench(daemon, timeout_s=1)
    bench.insert(Slow({}))
    field = bench.driver.open(bench.reader)
    present = field.wait(WAIT_S)
    assert present is not None
    with in_time(), pytest.raises(LinkTimeout):
        present.link.transceive(SELECT)
    bench.insert(ScriptedCard({SELECT: GOOD}))
    present = field.wait(WAIT_S)
    assert present is not None
    assert present.link.transceive(SELECT) == GOOD
    field.close()
    bench.close()


def test_a_card_that_falls_silent_while_two_programs_share_it(daemon: Pcscd) -> None:
    bench, driver = PcscBench(daemon), Pcsc(exclusive=False, timeout_s=1)
    bench.insert(ScriptedCard({SELECT: LinkTimeout("says nothing")}))
    other, ours = (driver.open(bench.reader) for _ in range(2))
    present = other.wait(WAIT_S)
    assert present is not None
    failed: list[str] = []

    def ask() -> None:
        try:
            present.link.transceive(SELECT)
        except LinkError as error:
            failed.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    begun = time.monotonic()
    with pytest.raises(LinkTimeout):
        ours.wait(0.5)
    assert time.monotonic() - begun < 5
    asking.join()
    assert failed
    bench.insert(ScriptedCard({SELECT: GOOD}))
    again = ours.wait(WAIT_S)
    assert again is not None
    assert again.link.transceive(SELECT) == GOOD
    other.close()
    ours.close()
    bench.close()
