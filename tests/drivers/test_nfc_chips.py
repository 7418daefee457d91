"""Chips by nfcpy's own drivers: a reader's and a card's meet, frames are garbled, chips are unplugged."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from counts import count
from nfc_air import Echo
from nfc_chips import CHIPS, GARBLED, Bench, Ether

from paysim.core.errors import LinkClosed, LinkTimeout, NoReader
from paysim.drivers.nfc import Nfc, NfcField
from paysim.drivers.nfc_card import UID, CardHost
from paysim.drivers.nfc_frontend import failures, nfcpy

nfc = nfcpy()
assert failures()  # the drivers are loaded, for the tests that change them

SELECT = bytes.fromhex("00A404000E325041592E5359532E444446303100")
READERS = tuple(CHIPS)
CARDS = ("pn531", "pn532", "pn533", "rcs380")
SERIAL = ("pn532", "adra", "adrb")
PAIRS = [(reader, card) for reader in READERS for card in CARDS if reader not in ("acr122", "adra", "adrb")]
PAIRS += [("acr122", "rcs380"), ("adra", "pn533"), ("adrb", "pn532"), ("rcs380", "adra"), ("pn533", "adrb")]
LENGTHS = (1, 125, 126, 249, 250, 253, 254, 260, 700)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch, nfc)


@contextmanager
def held(card: Any, path: str, **about: Any) -> Iterator[CardHost]:
    host = CardHost(card, path, **about)
    host.start()
    try:
        yield host
    finally:
        host.stop()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.002)


# Two chips meet. ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reader", "card"), PAIRS)
def test_a_chip_reads_a_chip_that_is_our_card(bench: Bench, reader: str, card: str) -> None:
    """The README's table, as far as nfcpy's drivers can tell: selection, RATS, chaining, the field's end."""
    echo, ether = Echo(), Ether()
    reader_path, _ = bench.plug(reader, ether)
    card_path, _ = bench.plug(card, ether)
    with held(echo, card_path):
        field = Nfc().open(reader_path)
        for number in (1, 2):
            present = field.wait(5)
            assert present is not None
            assert (present.kind, present.uid, present.atr.hex()) == ("iso14443-4", UID, "3b80800101")
            for length in LENGTHS:
                command = random.Random(length).randbytes(length)
                assert present.link.transceive(command) == command + b"\x90\x00"
            assert not field.removed(0)
            until(lambda number=number: echo.offs == number - 1)
        field.close()
        until(lambda: echo.offs == 2)
    assert [len(command) for command in echo.heard] == 2 * list(LENGTHS)


@pytest.mark.parametrize(("card", "largest"), [("pn531", 126), ("pn533", 254), ("rcs380", 254)])
def test_frames_are_as_large_as_the_chips_take(bench: Bench, card: str, largest: int) -> None:
    sizes: dict[str, int] = {"command": 0, "answer": 0}
    ether = Ether()

    def judge(way: str, frame: bytes) -> bytes:
        sizes[way] = max(sizes[way], len(frame))
        return frame

    ether.judge = judge
    path, _ = bench.plug(card, ether)
    with held(Echo(), path):
        field = Nfc().open(bench.plug("rcs380", ether)[0])
        present = field.wait(5)
        assert present is not None
        assert len(present.link.transceive(bytes(600))) == 602
        field.close()
    assert sizes == {"command": largest, "answer": 252 if card == "pn531" else 254}


@pytest.mark.parametrize("card", CARDS)
def test_a_reader_of_small_frames_gets_small_frames(bench: Bench, card: str) -> None:
    """A PN532 that answers for itself, as in an ACR122U by PC/SC, asks for 64 bytes (E050)."""
    ether = Ether()
    path, _ = bench.plug(card, ether)
    with held(Echo(), path):
        for fsdi, size in ((5, 64), (0, 16), (8, 256)):
            until(lambda: ether.selects() is not None)
            assert ether.asks(bytes((0xE0, fsdi << 4)), 5) is not None
            answer = ether.asks(b"\x02" + bytes(100), 5)
            assert answer is not None
            assert len(answer) == min(size - 2, 103)
            ether.goes_off()


@pytest.mark.parametrize("kind", ["rcs956", "acr122"])
def test_these_chips_cannot_be_a_card(bench: Bench, kind: str) -> None:
    path, _ = bench.plug(kind, Ether())
    host = CardHost(Echo(), path)
    with pytest.raises(NoReader, match="this chip cannot be a card"):
        host.serve()
    assert not host.inserted


# Bad air. -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", CARDS)
def test_frames_are_lost_and_garbled_and_every_command_is_done_once(bench: Bench, card: str) -> None:
    source, echo, ether = random.Random(card), Echo(), Ether()
    bad = 0

    def judge(way: str, frame: bytes) -> bytes | None:
        nonlocal bad
        if frame[0] == 0xE0 or len(frame) == 5 or source.random() > 0.05:
            return frame
        bad += 1
        return source.choice((None, GARBLED))

    ether.judge = judge
    reader_path, _ = bench.plug("pn533" if card != "pn533" else "rcs380", ether)
    card_path, _ = bench.plug(card, ether)
    with held(echo, card_path, fwi=4):
        field = NfcField(reader_path)
        present = field.wait(5)
        assert present is not None
        sent = [source.randbytes(source.choice((6, 30, 300))) for _ in range(count(300))]
        for command in sent:
            assert present.link.transceive(command) == command + b"\x90\x00"
        field.close()
    assert echo.heard == sent
    assert bad


@pytest.mark.parametrize("card", CARDS)
def test_a_working_card_asks_for_time_and_its_wish_is_garbled(bench: Bench, card: str) -> None:
    ether, wishes = Ether(), 0

    class Slow(Echo):
        def respond(self, command: bytes) -> bytes:
            time.sleep(0.12)
            return super().respond(command)

    def judge(way: str, frame: bytes) -> bytes:
        nonlocal wishes
        if frame[0] != 0xF2:
            return frame
        wishes += 1
        return GARBLED if wishes in (1, 4) else frame

    ether.judge = judge
    slow = Slow()
    reader_path, _ = bench.plug("rcs380", ether)
    card_path, _ = bench.plug(card if card != "rcs380" else "pn533", ether)
    with held(slow, card_path):
        field = NfcField(reader_path)
        present = field.wait(5)
        assert present is not None
        for command in (SELECT, bytes(600)):
            assert present.link.transceive(command) == command + b"\x90\x00"
        field.close()
    assert slow.heard == [SELECT, bytes(600)]
    assert wishes > 4


# The end of a field. --------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", CARDS)
def test_a_reader_deselects_and_goes(bench: Bench, card: str) -> None:
    """A PN53x has then something to say that its driver would take for the answer to its next command."""
    off = threading.Event()

    class Held(Echo):
        def power_off(self) -> None:
            assert off.wait(10)  # the chip is asked nothing before the field is off
            super().power_off()

    echo, ether = Held(), Ether()
    path, _ = bench.plug(card, ether)
    with held(echo, path) as host:
        for number in range(1, 6):
            off.clear()
            until(lambda: ether.selects() is not None)
            assert ether.asks(b"\xe0\x80", 5) is not None
            assert ether.asks(b"\x02" + SELECT, 5) == b"\x02" + SELECT + b"\x90\x00"
            assert ether.asks(b"\xc2", 5) == b"\xc2"
            ether.goes_off()
            off.set()
            until(lambda number=number: echo.offs == number)
        assert host.inserted
    assert len(echo.heard) == 5


@pytest.mark.parametrize(("card", "status"), [("pn533", 0x27), ("pn531", 0x25), ("rcs380", 0x01)])
def test_a_chip_that_says_nothing_but_errors_gives_the_field_up(bench: Bench, card: str, status: int) -> None:
    """It is not asked without end, and the next reader finds the card."""
    echo, ether = Echo(), Ether()
    path, chip = bench.plug(card, ether)
    with held(echo, path) as host:
        until(lambda: ether.selects() is not None)
        assert ether.asks(b"\xe0\x80", 5) is not None
        assert ether.asks(b"\x02" + SELECT, 5) == b"\x02" + SELECT + b"\x90\x00"
        chip.status = status
        until(lambda: echo.offs == 1)
        chip.status = 0
        until(lambda: ether.selects() is not None)
        assert ether.asks(b"\xe0\x80", 5) is not None
        assert ether.asks(b"\x02" + SELECT, 5) == b"\x02" + SELECT + b"\x90\x00"
        ether.goes_off()
        until(lambda: echo.offs == 2)
        assert host.inserted


def test_a_chip_that_cannot_listen_any_more_is_broken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise nfc.clf.pn53x.Chipset.Error(0x2D, "over-current")

    path, _ = bench.plug("pn533", Ether())
    monkeypatch.setattr(nfc.clf.pn53x.Device, "listen_tta", fails)
    host = CardHost(Echo(), path)
    for _ in range(2):
        with pytest.raises(NoReader, match=r"fails again and again .*over-current"):
            host.serve()


# Unplugged. -----------------------------------------------------------------------------------------------

BROKEN: dict[str, Exception] = {
    "no device": OSError(errno.ENODEV, os.strerror(errno.ENODEV)),
    "input/output": OSError(errno.EIO, os.strerror(errno.EIO)),
    "hangs": OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)),
    "libusb's own": nfc.clf.transport.libusb.USBErrorPipe(),
}
BROKEN_SERIAL: dict[str, Exception] = {
    "the terminal's own": nfc.clf.transport.termios.error(5, "Input/output error"),
    "serial": nfc.clf.transport.serial.SerialException("device disconnected"),
}
WAYS = [(kind, how) for kind in READERS for how in (BROKEN_SERIAL if kind in SERIAL else BROKEN)]


@pytest.mark.parametrize(("kind", "how"), WAYS)
def test_a_reader_is_unplugged_at_any_moment(bench: Bench, kind: str, how: str) -> None:
    """NoReader, LinkClosed or LinkTimeout, and nothing else; plugged in again, it reads on."""
    ether, source = Ether(), random.Random(f"{kind} {how}")
    path, chip = bench.plug(kind, ether)
    chip.breaks_with = {**BROKEN, **BROKEN_SERIAL}[how]
    card_path, _ = bench.plug("pn533" if kind != "pn533" else "rcs380", ether)
    gone = 0
    with held(Echo(), card_path):
        for _ in range(count(50)):
            chip.plugged_in()
            chip.breaks_after = source.randrange(120)
            field = None
            try:
                field = NfcField(path, timeout_s=0.5)
                for _ in range(3):
                    present = field.wait(0.1)
                    if present is not None:
                        present.link.transceive(SELECT)
                        present.link.transceive(bytes(300))
                field.removed(0.01)
                field.wait(0)
            except (NoReader, LinkClosed, LinkTimeout):
                gone += 1
            if field is None:
                continue
            field.removed(0.01)
            chip.plugged_in()
            present = field.wait(5)
            assert present is not None
            assert present.link.transceive(SELECT) == SELECT + b"\x90\x00"
            field.close()
            field.close()
    assert gone


def served(host: CardHost, raised: list[type[BaseException]]) -> None:
    try:
        host.serve()
    except BaseException as error:
        raised.append(type(error))


@pytest.mark.parametrize(
    ("kind", "how"), [(kind, how) for kind, how in WAYS if kind in CARDS and how not in ("hangs", "serial")]
)
def test_a_card_s_chip_is_unplugged_at_any_moment(bench: Bench, kind: str, how: str) -> None:
    """Its host says NoReader, which the prompt waits out; plugged in again, the next tap works."""
    ether, source = Ether(), random.Random(f"card {kind} {how}")
    path, chip = bench.plug(kind, ether)
    chip.breaks_with = {**BROKEN, **BROKEN_SERIAL}[how]
    reader_path, _ = bench.plug("rcs380" if kind != "rcs380" else "pn533", ether)
    field = NfcField(reader_path, timeout_s=0.3)
    for _ in range(count(20)):
        chip.plugged_in()
        chip.breaks_after = source.randrange(100)
        host, raised = CardHost(Echo(), path, fwi=4), list[type[BaseException]]()
        thread = threading.Thread(target=served, args=(host, raised))
        thread.start()
        while thread.is_alive():
            try:
                present = field.wait(0.1)
                while present is not None and thread.is_alive():
                    present.link.transceive(bytes(300))
            except (LinkClosed, LinkTimeout):
                pass
        thread.join()
        assert raised == [NoReader]
        assert not host.inserted
        chip.plugged_in()
        host.start()
        present = field.wait(5)
        assert present is not None
        assert present.link.transceive(SELECT) == SELECT + b"\x90\x00"
        host.stop()
    field.close()


def test_a_chip_that_fails_at_each_search_is_opened_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ether = Ether()
    path, chip = bench.plug("rcs380", ether)
    card_path, _ = bench.plug("pn533", ether)
    sense = nfc.clf.rcs380.Device.sense_tta

    def fails_until_opened_anew(device: Any, target: Any) -> Any:
        if chip.commands.count(0x2A) < 2:  # SetCommandType, of its driver's beginning
            raise nfc.clf.rcs380.StatusError(2)
        return sense(device, target)

    monkeypatch.setattr(nfc.clf.rcs380.Device, "sense_tta", fails_until_opened_anew)
    with held(Echo(), card_path):
        field = NfcField(path)
        assert field.wait(10) is not None
        field.close()


@pytest.mark.parametrize("kind", READERS)
def test_what_breaks_while_a_reader_is_opened_is_named(bench: Bench, kind: str) -> None:
    path, chip = bench.plug(kind, Ether())
    for how in (*BROKEN.values(), *BROKEN_SERIAL.values()):
        for calls in range(0, 40, 4):
            chip.plugged_in()
            chip.breaks_after, chip.breaks_with = calls, how
            said = path
            try:
                Nfc().open(path).close()
            except NoReader as error:
                said = str(error)
            assert path in said
