"""Waiting times over nfcpy's radio: wishes for time that are lost, granted late, in the middle of a chain."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from nfc_air import Air, Cheat, Echo, in_field

from paysim.codec.isodep import Ats
from paysim.core.errors import LinkClosed, LinkTimeout
from paysim.drivers.nfc import NfcField
from paysim.drivers.nfc_frontend import nfcpy

nfc = nfcpy()

SELECT = bytes.fromhex("00A404000E325041592E5359532E444446303100")


class Slow(Echo):
    """It thinks for a while."""

    def __init__(self, seconds: float = 0.25) -> None:
        super().__init__()
        self.seconds = seconds

    def respond(self, command: bytes) -> bytes:
        time.sleep(self.seconds)
        return super().respond(command)


def until(held: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not held():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


@contextmanager
def reading(path: str, timeout_s: float = 5.0) -> Iterator[Any]:
    """Our reader, with a card in its field."""
    field = NfcField(path, timeout_s)
    try:
        present = field.wait(5)
        assert present is not None
        yield present.link
    finally:
        field.close()


@contextmanager
def nfcpys(path: str) -> Iterator[Any]:
    """nfcpy's own reader."""
    frontend = nfc.ContactlessFrontend(path)
    try:
        target = None
        while target is None:
            target = frontend.sense(nfc.clf.RemoteTarget("106A"))
        yield nfc.tag.activate(frontend, target)
    finally:
        frontend.close()


class Raw:
    """A reader that sends what it is told to."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", int(path.rpartition(":")[2])))
        self._socket.settimeout(5)

    def __enter__(self) -> Raw:
        while True:
            self.send("26")
            self._socket.settimeout(0.1)
            try:
                if self.heard() == "0400":
                    break
            except TimeoutError:
                continue
        self._socket.settimeout(5)
        for said, due in (("9320", "085053010A"), ("9370085053010A", "20"), ("E080", None)):
            self.send(said)
            heard = self.heard()
            assert due in (None, heard)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.send(b"RFOFF")
        self._socket.close()

    def send(self, frame: str) -> None:
        self._socket.send(b"106A " + frame.lower().encode())

    def heard(self) -> str:
        return self._socket.recv(2048).split()[1].decode().upper()

    def asks(self, frame: str) -> str:
        self.send(frame)
        return self.heard()


def losing(way: str, kind: bytes, *nth: int) -> Callable[[str, int, bytes], int]:
    """Loses these of the frames that begin so, on this way."""
    seen = 0

    def judge(where: str, _number: int, data: bytes) -> int:
        nonlocal seen
        if where != way or not data.startswith(b"106A " + kind):
            return 1
        seen += 1
        return int(seen not in nth)

    return judge


# A card that works longer than it may. --------------------------------------------------------------------


@pytest.mark.parametrize("reader", [nfcpys, reading])
def test_chains_there_and_back_with_time_between(reader: Any) -> None:
    slow = Slow()
    commands = [random.Random(n).randbytes(n) for n in (5, 700, 254)]
    with in_field(slow, fwi=7) as path, reader(path) as link:
        for command in commands:
            assert bytes(link.transceive(command)) == command + b"\x90\x00"
    assert slow.heard == commands


@pytest.mark.parametrize("size", [5, 700])
@pytest.mark.parametrize(("reader", "nth"), [(nfcpys, (1,)), (reading, (1, 3))])
def test_a_wish_for_time_is_lost(reader: Any, nth: tuple[int, ...], size: int) -> None:
    """The reader hears nothing and asks again (R(NAK), rule 4); the card wishes again (rule 11).

    Where it is not a command's first wish, nfcpy's own reader gives up; ours does not.
    """
    slow = Slow()
    judge = losing("answer", b"f2", *nth)
    with in_field(slow, fwi=8) as card, Air(card, judge) as air, reader(air.path) as link:
        for command in (bytes(size), SELECT):
            assert bytes(link.transceive(command)) == command + b"\x90\x00"
    assert slow.heard == [bytes(size), SELECT]


@pytest.mark.parametrize("size", [5, 700])
def test_time_that_is_granted_is_lost(size: int) -> None:
    """Here nfcpy's own reader gives up; ours does not."""
    slow = Slow()
    judge = losing("command", b"f2", 1, 3)
    with in_field(slow, fwi=8) as card, Air(card, judge) as air, reading(air.path) as link:
        for command in (bytes(size), SELECT):
            assert link.transceive(command) == command + b"\x90\x00"
    assert slow.heard == [bytes(size), SELECT]


def test_a_wish_for_time_is_lost_where_the_reader_waits_long() -> None:
    """FWI 11: a reader asks again after 0.6 seconds."""
    slow = Slow(1.0)
    judge = losing("answer", b"f2", 1)
    with in_field(slow, fwi=11) as card, Air(card, judge) as air, nfcpys(air.path) as tag:
        assert bytes(tag.transceive(SELECT)) == SELECT + b"\x90\x00"
    assert slow.heard == [SELECT]


def test_a_reader_grants_time_late() -> None:
    """No rule says when a reader must: the answer waits for it."""
    slow = Slow(0.1)
    with in_field(slow, fwi=5) as path, Raw(path) as reader:
        assert reader.asks("02" + SELECT.hex()) == "F201"
        time.sleep(0.8)
        assert reader.asks("B2") == "F201", "the wish, again"
        assert reader.asks("F201") == "02" + SELECT.hex().upper() + "9000"
        assert reader.asks("B2") == "02" + SELECT.hex().upper() + "9000"
    assert slow.heard == [SELECT]


@pytest.mark.parametrize("end", ["RFOFF", "26"])
def test_a_reader_leaves_while_the_card_works(end: str) -> None:
    """The card is without power at once, and not when the next reader comes."""
    slow = Slow(0.1)
    with in_field(slow, fwi=5) as path:
        with Raw(path) as reader:
            assert reader.asks("02AA") == "F201"
            if end == "26":
                reader.send(end)
                until(lambda: slow.offs == 1)
        until(lambda: slow.offs == 1)
        with reading(path) as link:
            assert link.transceive(SELECT) == SELECT + b"\x90\x00"


def test_a_reader_deselects_a_card_that_works() -> None:
    slow = Slow(0.1)
    with in_field(slow, fwi=5) as path, Raw(path) as reader:
        assert reader.asks("02AA") == "F201"
        assert reader.asks("C2") == "C2"
        until(lambda: slow.offs == 1)
    assert slow.heard == [b"\xaa"]


def test_rubbish_between_a_wish_and_its_grant_is_not_heard() -> None:
    slow = Slow(0.1)
    with in_field(slow, fwi=5) as path, Raw(path) as reader:
        assert reader.asks("02AA") == "F201"
        for rubbish in ("22", "F202", "0B05AA", "F2"):
            reader.send(rubbish)
        while (heard := reader.asks("F201")) == "F201":
            pass
        assert heard == "02AA9000"


# Our reader before cards that ask for time. ---------------------------------------------------------------


def scripted(answers: dict[str, str]) -> Callable[[bytes], list[bytes]]:
    return lambda frame: [bytes.fromhex(answers[frame.hex().upper()])] if frame else []


def test_a_wish_for_time_in_the_middle_of_an_answer() -> None:
    """nfcpy alone takes its byte for a part of the answer. Source: ISO/IEC 14443-4 7.5.4.3 rule 9"""
    said = {"0200": "12AA", "A3": "F205", "F205": "13BB", "A2": "F201", "F201": "029000", "0300": "036D00"}
    with Cheat(scripted(said)) as card, reading(card.path) as link:
        assert link.transceive(b"\0") == b"\xaa\xbb\x90\x00"
        assert link.transceive(b"\0") == b"\x6d\x00"


def test_a_wish_for_time_in_the_middle_of_a_command() -> None:
    pieces = {"12" + "00" * 13: "F201", "F201": "A2", "03AA": "039000"}
    ats = Ats(fsc=16, fwi=9).encode()
    with Cheat(scripted(pieces), ats) as card, reading(card.path) as link:
        assert link.transceive(bytes(13) + b"\xaa") == b"\x90\x00"


@pytest.mark.parametrize(("wish", "granted"), [("F2BB", "F23B"), ("F2FF", "F23B"), ("F241", "F201")])
def test_time_is_granted_as_the_rule_has_it(wish: str, granted: str) -> None:
    """The power level is not said back, and 60 to 63 is 59. Source: JR/T 0025.11-2013 13.2"""
    with Cheat(scripted({"0200": wish, granted: "029000"})) as card, reading(card.path) as link:
        assert link.transceive(b"\0") == b"\x90\x00"


@pytest.mark.parametrize("wish", ["F200", "F240", "F20101", "F301"])
def test_a_wish_that_breaks_the_rule_ends_the_command(wish: str) -> None:
    said = {"0200": wish, "F201": "029000"}
    with Cheat(scripted(said)) as card, reading(card.path) as link, pytest.raises(LinkClosed):
        link.transceive(b"\0")


def test_wishes_without_end_are_heard_no_longer_than_a_command_may_take() -> None:
    def wishing(_frame: bytes) -> list[bytes]:
        time.sleep(0.01)
        return [b"\xf2\x3b"]

    with Cheat(wishing) as card, reading(card.path, 0.5) as link:
        began = time.monotonic()
        with pytest.raises(LinkTimeout):
            link.transceive(b"\0")
        assert time.monotonic() - began < 3


# The answer to select. ------------------------------------------------------------------------------------


def well(frame: bytes) -> list[bytes]:
    return [bytes((frame[0], 0x90, 0))]


ANSWERS = [
    ("01", 29, 4),  # TL alone: FSC 32, FWI 4
    ("0208", 253, 4),
    ("032870", 253, 7),  # TB(1) alone
    ("0318C0", 253, 4),  # TA(1) alone
    ("034802", 253, 4),  # TC(1) alone
    ("0678807000AA", 253, 7),
    ("057F80F000", 253, 4),  # RFU: FSCI 15, FWI 15
]


@pytest.mark.parametrize(("ats", "most", "fwi"), ANSWERS)
def test_what_an_ats_leaves_out_is_as_the_standard_has_it(ats: str, most: int, fwi: int) -> None:
    """nfcpy takes its fourth byte for TB(1), whatever T0 says. Source: JR/T 0025.11-2013 8.7.2.2.3"""
    with Cheat(well, bytes.fromhex(ats)) as card, reading(card.path) as link:
        assert str(link._tag) == f"Type4ATag MIU={most} FWT={Ats(fwi=fwi).fwt_s:f}"
        assert link.transceive(b"\0") == b"\x90\x00"


def test_a_card_is_left_alone_as_long_as_it_asks() -> None:
    """SFGI 8: 77 ms between the ATS and the first block. Source: ISO/IEC 14443-4 5.2.5"""
    times: list[float] = []
    lock = threading.Lock()

    def judge(way: str, _number: int, data: bytes) -> int:
        if data.startswith((b"106A 05", b"106A 02")):
            with lock:
                times.append(time.monotonic())
        return 1

    ats = Ats(sfgi=8).encode()
    with Cheat(well, ats) as card, Air(card.path, judge) as air, reading(air.path) as link:
        link.transceive(b"\0")
    assert times[1] - times[0] > 0.075
