"""NFC by nfcpy: the contract over UDP, nfcpy's own reader before our card, ours before cards that cheat."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from byte_noise import noise
from counts import count
from nfc_air import (
    Air,
    Cheat,
    Echo,
    NfcBench,
    OverAir,
    free_port,
    in_field,
    is_block,
    served_in_process,
)
from tap_counter import PAYING, Counter, answered, states

from paysim import Sandbox
from paysim.codec.isodep import Ats
from paysim.core.errors import LinkClosed, LinkTimeout, LocalProtocolError, NoReader, UsageError
from paysim.drivers import nfc as nfc_drivers
from paysim.drivers import nfc_card, nfc_frontend
from paysim.drivers.nfc import Nfc, NfcField
from paysim.drivers.nfc_card import CardHost
from paysim.emv.isodep import Apdu, IsoDep, Send, Work
from paysim.testing import drivers

nfc = nfc_frontend.nfcpy()

SELECT = bytes.fromhex("00A404000E325041592E5359532E444446303100")
LENGTHS = (4, 5, 127, 128, 252, 253, 254, 255, 256, 257, 258, 259, 506, 507, 508, 1000, 4000)


@pytest.mark.parametrize("case", drivers.cases("nfc", NfcBench, NfcBench.lacks))
def test_the_contract_over_udp(case: Callable[[], None]) -> None:
    case()


# nfcpy's own reader, over nfcpy's own radio, before our card. ---------------------------------------------


def tag_at(path: str) -> Any:
    """nfcpy's Type4Tag, activated by nfcpy alone; the frontend is `tag.clf`."""
    frontend = nfc.ContactlessFrontend(path)
    for _ in range(20):
        target = frontend.sense(nfc.clf.RemoteTarget("106A"))
        tag = None if target is None else nfc.tag.activate(frontend, target)
        if tag is not None:
            return tag
    raise AssertionError("nfcpy finds no card")


@pytest.fixture
def echo() -> Echo:
    return Echo()


def test_nfcpys_type_4_tag_reads_our_card(echo: Echo) -> None:
    with in_field(echo) as path:
        tag = tag_at(path)
        assert str(tag).startswith("Type4ATag MIU=253 FWT=0.15")
        assert bytes(tag.identifier) == nfc_card.UID
        assert tag.send_apdu(0, 0xA4, 4, 0, b"2PAY.SYS.DDF01", mrl=256) == SELECT
        assert tag.is_present
        tag.clf.close()
    assert echo.saves == len(echo.heard) == 1


def test_nfcpys_reader_and_our_card_chain_both_ways(echo: Echo) -> None:
    with in_field(echo) as path:
        tag = tag_at(path)
        for length in LENGTHS:
            command = random.Random(length).randbytes(length)
            assert bytes(tag.transceive(command)) == command + b"\x90\x00"
            assert echo.heard.pop() == command
        tag.clf.close()
    assert not echo.heard


@pytest.mark.parametrize("way", ["command", "answer"])
@pytest.mark.parametrize("nth", range(1, 8))
def test_nfcpys_reader_loses_a_frame(echo: Echo, way: str, nth: int) -> None:
    """Three commands; the nth block of the first, of three pieces and three back, is lost on one way."""
    blocks = 0

    def judge(where: str, number: int, data: bytes) -> int:
        nonlocal blocks
        if where == way and is_block(data):
            blocks += 1
            return int(blocks != nth)
        return 1

    with in_field(echo, fwi=8) as card, Air(card, judge) as air:
        tag = tag_at(air.path)
        commands = [random.Random(n).randbytes(size) for n, size in enumerate((700, 5, 300))]
        for command in commands:
            assert bytes(tag.transceive(command)) == command + b"\x90\x00"
        tag.clf.close()
    assert echo.heard == commands
    assert blocks >= nth


def test_nfcpys_reader_hears_commands_twice(echo: Echo) -> None:
    """A datagram may come twice; each command is carried out once."""
    with in_field(echo) as card, Air(card, lambda way, number, data: 1 + (way == "command")) as air:
        tag = tag_at(air.path)
        commands = [random.Random(n).randbytes(n) for n in (5, 300, 6, 700)]
        for command in commands:
            assert bytes(tag.transceive(command)) == command + b"\x90\x00"
        tag.clf.close()
    assert echo.heard == commands


def test_nfcpys_reader_gives_a_working_card_time(echo: Echo) -> None:
    class Slow(Echo):
        def respond(self, command: bytes) -> bytes:
            time.sleep(0.5)
            return super().respond(command)

    slow = Slow()
    with in_field(slow, fwi=7) as path:
        tag = tag_at(path)
        assert bytes(tag.transceive(SELECT)) == SELECT + b"\x90\x00"
        assert bytes(tag.transceive(SELECT)) == SELECT + b"\x90\x00"
        tag.clf.close()
    assert slow.heard == [SELECT, SELECT]


class Wire:
    """What nfcpy's reader takes for a frontend: our machine, without a radio.

    By a seed, frames are lost on either way (`lost`) or heard twice by the card (`twice`), and the card asks
    for time before it answers (`waits`).
    """

    max_send_data_size = max_recv_data_size = 290

    def __init__(
        self, card: IsoDep, seed: int, *, lost: float = 0, twice: float = 0, waits: float = 0
    ) -> None:
        self._card = card
        self._source = random.Random(seed)
        self._lost, self._twice, self._waits = lost, twice, waits
        self.heard: list[bytes] = []

    def exchange(self, data: Any, timeout: float) -> bytearray:
        by_chance = self._source.random
        for_rats = data[0] == 0xE0
        if not for_rats and by_chance() < self._lost:
            raise nfc.clf.TimeoutError
        answer = self._said(bytes(data))
        if by_chance() < self._twice:
            answer = self._said(bytes(data)) or answer
        if answer is None or (not for_rats and by_chance() < self._lost):
            raise nfc.clf.TimeoutError
        return bytearray(answer)

    def _said(self, frame: bytes) -> bytes | None:
        step = self._card.receive(frame)
        if isinstance(step, Apdu):
            self.heard.append(step.command)
        if isinstance(step, Apdu | Work):
            waits = self._source.random() < self._waits
            wtxm = self._source.randrange(1, 60)
            step = self._card.extend(wtxm) if waits else self._card.answer(self.heard[-1][::-1])
        return step.frame if isinstance(step, Send) else None


WIRES = {
    "loses": {"lost": 0.05},
    "repeats": {"twice": 0.5},
    "waits": {"waits": 0.5},
    "does all of it": {"lost": 0.02, "twice": 0.2, "waits": 0.2},
}


@pytest.mark.parametrize("wire", WIRES)
def test_nfcpys_reader_over_a_bad_wire(wire: str) -> None:
    """Thousands of commands and answers, chained both ways: each is done once, and the answer is its own."""
    source, failed = random.Random(4), 0
    for seed in range(count(2_000)):
        frontend: Any = Wire(IsoDep(Ats(fsc=64)), seed, **WIRES[wire])
        frontend.target = nfc.clf.RemoteTarget("106A", sdd_res=nfc_card.UID)
        tag = nfc.tag.tt4.Type4ATag(frontend, frontend.target)
        sent = [source.randbytes(source.choice((4, 61, 62, 200, 600))) for _ in range(5)]
        try:
            for command in sent:
                assert bytes(tag.transceive(command)) == command[::-1]
        except (nfc.tag.tt4.Type4TagCommandError, nfc.clf.TimeoutError):
            failed += 1  # it gives up after six losses in a row, in the middle of a chain, at a lost S(WTX)
        assert frontend.heard == sent[: len(frontend.heard)]
    assert failed < count(2_000) / 2
    assert not failed or "lost" in WIRES[wire]


# The field goes, the card goes. ---------------------------------------------------------------------------


def test_a_field_that_goes_off_powers_the_card_off(echo: Echo) -> None:
    said: list[str] = []
    with in_field(echo, said=said.append) as path:
        for number in range(1, 4):
            field = Nfc().open(path)
            present = field.wait(5)
            assert present is not None
            assert present.link.transceive(SELECT) == SELECT + b"\x90\x00"
            field.close()
            until(lambda number=number: echo.offs == number)
    assert said == ["a reader has selected the card", "the field is off"] * 3


def test_between_two_cards_the_field_is_off_long_enough(echo: Echo) -> None:
    """5.1 ms at least, or a card does not notice. Source: EMV Contactless Interface, reset"""
    times: dict[bytes, list[float]] = {b"RFOFF": [], b"106A 26": []}

    def judge(way: str, number: int, data: bytes) -> int:
        if data in times:
            times[data].append(time.monotonic())
        return 1

    with in_field(echo) as card, Air(card, judge) as air:
        field = Nfc().open(air.path)
        for _ in range(10):
            assert field.wait(5) is not None
        field.close()
    until(lambda: echo.offs == 10)
    for off in times[b"RFOFF"][:-1]:
        on = min(at for at in times[b"106A 26"] if at > off)
        assert on - off > 0.0045, "half a millisecond is the air's"


def test_a_reader_that_dies_leaves_the_card_to_the_next(echo: Echo) -> None:
    """Nobody has told that the field is off: the next reader's first frame says so."""
    with in_field(echo) as path:
        dead = NfcField(path)
        assert dead.wait(5) is not None
        dead._frontend.device.socket.close()
        dead._frontend.device.socket = None
        field = NfcField(path)
        present = field.wait(5)
        assert present is not None
        assert present.link.transceive(SELECT) == SELECT + b"\x90\x00"
        assert echo.offs == 1
        field.close()


def test_a_card_is_killed_in_the_middle() -> None:
    """A process of its own, killed without a word: LinkTimeout, then LinkClosed, then another card."""
    path = f"udp:127.0.0.1:{free_port()}"
    field = Nfc().open(path)
    for _ in range(2):
        card = served_in_process(path, "visa")
        present = field.wait(5)
        assert present is not None
        assert present.link.transceive(SELECT).endswith(b"\x90\x00")
        card.kill()
        card.join()
        began = time.monotonic()
        with pytest.raises(LinkTimeout):
            present.link.transceive(SELECT)
        assert time.monotonic() - began < 6
        with pytest.raises(LinkClosed):
            present.link.transceive(SELECT)
        assert field.removed(5)
        assert field.wait(0) is None
    field.close()


def until(held: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not held():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_card_is_torn_out_at_a_command(echo: Echo, at: int, heard: bool) -> None:
    with in_field(echo, tear_at=at, heard=heard, fwi=7) as path:
        field = Nfc().open(path)
        present = field.wait(5)
        assert present is not None
        for _ in range(at - 1):
            present.link.transceive(SELECT)
        with pytest.raises(LinkTimeout):
            present.link.transceive(SELECT)
        assert field.removed(1)
        field.close()
    assert len(echo.heard) == at - 1 + heard


# Our reader. ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_our_reader_over_bad_air(echo: Echo, share: float) -> None:
    """Datagrams are lost, come twice and late on both ways; every command is carried out once."""
    source = random.Random(f"air {share}")

    def judge(way: str, number: int, data: bytes) -> int:
        if not is_block(data) or source.random() > share:
            return 1
        return source.choice((0, 2))

    with in_field(echo, fwi=5) as card, Air(card, judge) as air:
        field = Nfc().open(air.path)
        present = field.wait(10)
        assert present is not None
        sent = [source.randbytes(source.choice((5, 30, 300))) for _ in range(count(300))]
        for command in sent:
            assert present.link.transceive(command) == command + b"\x90\x00"
        field.close()
    assert echo.heard == sent


def test_a_late_answer_is_not_taken_for_the_next(echo: Echo) -> None:
    """The card answers after the reader has asked again, and so twice."""
    with in_field(echo) as card:
        held: list[bytes] = []

        def judge(way: str, number: int, data: bytes) -> int:
            if way == "answer" and data.startswith(b"106A 02") and not held:
                held.append(data)
                time.sleep(0.4)  # the reader has lost patience twice meanwhile
            return 1

        with Air(card, judge) as air:
            field = Nfc().open(air.path)
            present = field.wait(5)
            assert present is not None
            for n in range(4, 20):
                assert present.link.transceive(bytes(n)) == bytes(n) + b"\x90\x00"
            field.close()
    assert held
    assert [len(command) for command in echo.heard] == list(range(4, 20))


def same_number(frame: bytes, body: bytes) -> bytes:
    return bytes((frame[0] & 1 | 2,)) + body


def slowly(frame: bytes, answer: bytes) -> list[bytes]:
    """So that it is not taken for the datagram of before."""
    time.sleep(0.01)
    return [answer]


def endless(frame: bytes) -> list[bytes]:
    return [bytes((frame[0] & 1 | 0x12,)) + bytes(250)]


CHEATS: dict[str, tuple[Callable[[bytes], list[bytes]], bytes | type[Exception]]] = {
    "one byte": (lambda frame: [same_number(frame, b"\x90")], b"\x90"),
    "nothing": (lambda frame: [same_number(frame, b"")], b""),
    "65,538 bytes and more": (endless, LinkClosed),
    "never": (lambda frame: [], LinkTimeout),
    "asks for time without end": (lambda frame: slowly(frame, b"\xf2\x01"), LinkTimeout),
    "asks for time without a number": (lambda frame: [b"\xf2"], LinkClosed),
    "acknowledges without end": (lambda frame: slowly(frame, bytes((0xA2 | ~frame[0] & 1,))), LinkTimeout),
    "an acknowledgement": (lambda frame: [bytes((0xA2 | frame[0] & 1,))], LinkClosed),
    "another number": (lambda frame: [bytes((~frame[0] & 1 | 2,)) + b"\x90\x00"], LinkTimeout),
    "rubbish": (lambda frame: [b"\x77\x77"], LinkClosed),
    "deselects": (lambda frame: [b"\xc2"], LinkClosed),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_card_that_cheats(name: str) -> None:
    say, comes = CHEATS[name]
    with Cheat(say) as card:
        field = NfcField(card.path, timeout_s=1.0)
        present = field.wait(5)
        assert present is not None
        began = time.monotonic()
        if isinstance(comes, bytes):
            assert present.link.transceive(SELECT) == comes
        else:
            with pytest.raises(comes):
                present.link.transceive(SELECT)
            with pytest.raises(LinkClosed):
                present.link.transceive(SELECT)
        assert time.monotonic() - began < 3
        assert field.wait(5) is not None, "it is found again"
        field.close()


def test_any_frames_of_a_card_end_well() -> None:
    """An answer or a LinkError within the time, whatever a card sends."""
    source = random.Random(12)

    def say(frame: bytes) -> list[bytes]:
        if source.random() < 0.5:
            return [same_number(frame, source.randbytes(3))]
        return [source.randbytes(source.randrange(1, 4)) for _ in range(source.randrange(1, 3))]

    with Cheat(say, Ats(fwi=0).encode()) as card:
        field = NfcField(card.path, timeout_s=0.05)
        for _ in range(count(500)):
            present = field.wait(5)
            assert present is not None
            try:
                for _ in range(5):
                    present.link.transceive(SELECT)
            except (LinkTimeout, LinkClosed):
                pass
        field.close()


@pytest.mark.parametrize("ats", ["", "00", "0278", "05", "FF", "0578", "057880", "F201"])
def test_an_answer_to_select_that_is_too_short_is_no_card(ats: str) -> None:
    with Cheat(lambda frame: [], bytes.fromhex(ats)) as card:
        field = Nfc().open(card.path)
        assert field.wait(0.3) is None
        field.close()


def test_a_reader_says_what_it_sees() -> None:
    with in_field(Echo(), historical=b"\xaa\xbb", uid=b"\x08\x01\x02\x03") as path:
        field = Nfc().open(path)
        present = field.wait(5)
        assert present is not None
        assert (present.kind, present.uid.hex(), present.count) == ("iso14443-4", "08010203", 1)
        assert present.atr.hex() == "3b828001aabb12"
        with pytest.raises(LocalProtocolError):
            present.link.transceive(b"")
        assert present.link.transceive(b"\x00") == b"\x00\x90\x00"
        field.close()


# Datagrams that are no frames. ----------------------------------------------------------------------------


def test_a_card_is_not_moved_by_datagrams_that_are_no_frames(echo: Echo) -> None:
    with in_field(echo) as path, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        port = int(path.rpartition(":")[2])
        field = Nfc().open(path)
        present = field.wait(5)
        source = random.Random(3)
        for n in range(200):
            for data in (b"", b"106A", b"106A xyz", b"\xff\xfe 00", b"212F 00", source.randbytes(n)):
                stranger.sendto(data, ("127.0.0.1", port))
            assert present is not None
            assert present.link.transceive(SELECT) == SELECT + b"\x90\x00"
        field.close()


def test_a_card_in_use_does_not_hear_other_readers(echo: Echo) -> None:
    """Blocks, a new field and a field's end of another address change nothing."""
    with in_field(echo) as path, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.1", int(path.rpartition(":")[2])))
        field = Nfc().open(path)
        present = field.wait(5)
        assert present is not None
        for n in range(50):
            for data in (
                b"106A 02aa",
                b"106A b2",
                b"106A c2",
                b"106A 26",
                b"106A 52",
                b"106A e080",
                b"RFOFF",
            ):
                stranger.send(data)
            assert present.link.transceive(bytes((n,))) == bytes((n, 0x90, 0))
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.recv(100)
        field.close()
        until(lambda: echo.offs == 1)
    assert echo.heard == [bytes((n,)) for n in range(50)]


def test_two_readers_take_turns(echo: Echo) -> None:
    """Both look for the card at once; the second has it when the first has gone."""
    with in_field(echo) as path:
        first, second = Nfc().open(path), Nfc().open(path)
        for _ in range(5):
            present = first.wait(5)
            assert present is not None
            for n in range(10):
                assert second.wait(0.01) is None
                assert present.link.transceive(bytes((n,))) == bytes((n, 0x90, 0))
            first.close()
            first, second = second, Nfc().open(path)
        first.close()
        second.close()


# What is wrong with a reader. -----------------------------------------------------------------------------

WRONG = [
    ("usb", "no reader at usb; plug it in"),
    ("usb:ffff:ffff", "no reader at usb:ffff:ffff"),
    ("tty:USB97:pn532", "USB97"),
    ("tty:../etc:pn532", "tty:../etc"),
    ("udp:localhost:x", "names no port"),
    ("udp:localhost:65536", "names no port"),
    ("udp:localhost:0", "names no port"),
    ("udp:no such host.invalid:1", "name a host that this machine knows"),
    ("bluetooth", "there is no reader 'bluetooth'"),
    ("读卡器", "there is no reader '读卡器'"),
]


@pytest.mark.parametrize(("path", "words"), WRONG)
@pytest.mark.parametrize("side", [Nfc().open, lambda path: CardHost(Echo(), path).insert()])
def test_no_reader_says_what_mends_it(path: str, words: str, side: Callable[[str], object]) -> None:
    with pytest.raises(NoReader) as caught:
        side(path)
    assert words in str(caught.value)


def test_a_machine_without_readers_names_none() -> None:
    assert Nfc().readers() == []


def test_a_port_with_a_name_is_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """nfcpy asks the system for its number, and stumbles where it has a name."""
    monkeypatch.setattr(socket, "getnameinfo", lambda *_: ("127.0.0.1", "http-alt"))
    field = Nfc().open("udp:localhost:8080")
    field.close()
    assert field.reader == "udp:localhost:8080"


def test_a_second_card_at_a_port_is_refused(echo: Echo) -> None:
    with in_field(echo) as path:
        second = CardHost(Echo(), path)
        with pytest.raises(NoReader, match="take another port"):
            second.start()
        assert not second.inserted


def test_a_card_cannot_listen_elsewhere(echo: Echo) -> None:
    """192.0.2.1 is nobody's. Source: RFC 5737"""
    with pytest.raises(NoReader, match="no address of this machine"):
        CardHost(echo, "udp:192.0.2.1:40000").insert()


def test_a_card_listens_where_it_is_told_to(echo: Echo) -> None:
    """Not at every address, as nfcpy's own driver does: the port is free at another address."""
    with in_field(echo) as path:
        port = int(path.rpartition(":")[2])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", port))


@pytest.mark.parametrize(
    "about", [{"uid": b"\x08\x01"}, {"uid": b"\x04\x01\x02\x03"}, {"fwi": 15}, {"historical": bytes(16)}]
)
def test_a_card_that_cannot_be(about: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        CardHost(Echo(), "udp:localhost:1", **about)


# A chip, as nfcpy's drivers drive it. ---------------------------------------------------------------------


class Chip:
    """A device of nfcpy's that answers RATS by itself, as PN53x and RC-S380 do; `script` is what it hears."""

    def __init__(self, script: list[Any], most: int = 290) -> None:
        self.script = script
        self.most = most
        self.sent: list[bytes] = []
        self.rats_res = b""

    def mute(self) -> None: ...
    def close(self) -> None: ...

    def listen_tta(self, target: Any, timeout: float) -> Any:
        assert (target.sens_res.hex(), target.sdd_res.hex(), target.sel_res.hex()) == (
            "0400",
            "08505301",
            "20",
        )
        if not self.script:
            raise OSError(19, "unplugged")
        self.rats_res = bytes(target.rats_res)
        return nfc.clf.LocalTarget("106A", tt4_cmd=bytearray.fromhex(self.script.pop(0)))

    def send_rsp_recv_cmd(self, target: Any, data: Any, timeout: float) -> Any:
        if data is not None:
            self.sent.append(bytes(data))
        if not self.script:
            raise nfc.clf.BrokenLinkError("off")
        heard = self.script.pop(0)
        if isinstance(heard, Exception):
            raise heard
        return bytearray.fromhex(heard)

    def get_max_send_data_size(self, target: Any) -> int:
        return self.most

    def get_max_recv_data_size(self, target: Any) -> int:
        return self.most


def on_chip(monkeypatch: pytest.MonkeyPatch, chip: Any) -> CardHost:
    frontend = nfc.ContactlessFrontend()
    frontend.device = chip
    monkeypatch.setattr(nfc_card, "opened", lambda path: frontend)
    return CardHost(Echo(), "usb")


def test_a_card_on_a_chip_that_answers_rats(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ["0200A40400", nfc.clf.TimeoutError(), nfc.clf.TransmissionError(), "B2", "0300B2", "C2"]
    chip = Chip(script)
    host = on_chip(monkeypatch, chip)
    with pytest.raises(NoReader, match="usb is gone"):
        host.serve()
    assert chip.rats_res.hex() == "0578807000"
    assert [frame.hex() for frame in chip.sent] == ["0200a404009000", "0200a404009000", "0300b29000", "c2"]


def test_a_chip_of_small_frames_gets_small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Chip(["02" + "AA" * 100], most=62)
    with pytest.raises(NoReader):
        on_chip(monkeypatch, chip).serve()
    assert chip.rats_res.hex() == "0575807000", "64 bytes"
    assert not chip.sent, "a frame beyond its size is not heard"
    chip = Chip(["12" + "AA" * 61, "03" + "BB" * 9, "A2"], most=62)
    with pytest.raises(NoReader):
        on_chip(monkeypatch, chip).serve()
    assert [len(frame) for frame in chip.sent] == [1, 62, 12]


def test_a_chip_that_cannot_be_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    class Acr122(Chip):
        def listen_tta(self, target: Any, timeout: float) -> Any:
            raise nfc.clf.UnsupportedTargetError("no")

    host = on_chip(monkeypatch, Acr122([]))
    with pytest.raises(NoReader, match="cannot be a card"):
        host.serve()
    assert not host.inserted


def on_reader(monkeypatch: pytest.MonkeyPatch, device: Any) -> None:
    frontend = nfc.ContactlessFrontend()
    frontend.device = device
    monkeypatch.setattr(nfc_drivers, "opened", lambda path: frontend)


class Noisy:
    """A device of nfcpy's that finds a card, which answers with any bytes at all, or fails in any way."""

    FAILURES = (
        nfc.clf.TimeoutError(),
        nfc.clf.TransmissionError("garbled"),
        nfc.clf.ProtocolError("wrong"),
        nfc.clf.BrokenLinkError("off"),
        None,
    )

    def __init__(self, seed: int) -> None:
        self.frames = 0
        self._source = random.Random(seed)

    def mute(self) -> None: ...
    def close(self) -> None: ...

    def sense_tta(self, target: Any) -> Any:
        return nfc.clf.RemoteTarget("106A", sens_res=b"\x04\0", sdd_res=nfc_card.UID, sel_res=b"\x20")

    def sense_ttb(self, target: Any) -> Any:
        return None

    def send_cmd_recv_rsp(self, target: Any, data: Any, timeout: float) -> Any:
        self.frames += 1
        source = self._source
        if data[0] == 0xE0:
            return bytearray(b"\x05\x78\x80\x10\x00")
        if source.random() < 0.1:
            failure = source.choice(self.FAILURES)
            if failure is not None:
                raise failure
            return bytearray()
        if source.random() < 0.5:
            number = data[0] & 1
            begins = source.choice((0x02, 0x12, 0x12, 0xA2, 0xA3, 0xF2, 0xB2, 0xC2)) ^ (number & 1)
            return bytearray((begins,)) + source.randbytes(source.randrange(4))
        return bytearray(source.randbytes(source.randrange(1, 20)))

    def get_max_send_data_size(self, target: Any) -> int:
        return 290

    def get_max_recv_data_size(self, target: Any) -> int:
        return 290


def test_any_frames_of_a_card_at_a_chip_end_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer or a LinkError, whatever comes and however it fails."""
    device = Noisy(13)
    on_reader(monkeypatch, device)
    monkeypatch.setattr(nfc_drivers, "_FIELD_OFF_S", 0)
    field, answered = NfcField("usb", timeout_s=0.05), 0
    while device.frames < count(200_000):
        present = field.wait(1)
        assert present is not None
        try:
            while True:
                assert isinstance(present.link.transceive(bytes(300)), bytes)
                answered += 1
        except (LinkTimeout, LinkClosed):
            field.removed(0)
    assert answered
    field.close()


class NoisyReader(Chip):
    """A chip before a reader that sends any bytes at all, or fails in any way."""

    def __init__(self, frames: Iterator[bytes], seed: int) -> None:
        super().__init__([])
        self._frames = frames
        self._source = random.Random(seed)
        self.fields = 0

    def listen_tta(self, target: Any, timeout: float) -> Any:
        self.fields += 1
        return nfc.clf.LocalTarget("106A", tt4_cmd=bytearray(self._heard() or b"\xb2"))

    def send_rsp_recv_cmd(self, target: Any, data: Any, timeout: float) -> Any:
        if data is not None:
            assert 1 <= len(data) <= 254
        if self._source.random() < 0.1:
            failure = self._source.choice(Noisy.FAILURES)
            if failure is not None:
                raise failure
            return self._source.choice((None, bytearray()))
        return self._heard()

    def _heard(self) -> bytearray:
        try:
            return bytearray(next(self._frames))
        except StopIteration:
            raise OSError(19, "unplugged") from None


def test_any_frames_of_a_reader_end_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """NoReader when the chip goes, and nothing else before."""
    seeds = [bytes.fromhex(text) for text in ("E080", "0200A40400", "03AA", "12AA", "13", "A2", "A3")]
    seeds += [bytes.fromhex(text) for text in ("B2", "B3", "C2", "F201", "D01100", "26", "52", "0A05AA")]
    device = NoisyReader(noise(seeds, count(200_000), seed=14), 15)
    host = on_chip(monkeypatch, device)
    with pytest.raises(NoReader, match="unplugged"):
        host.serve()
    assert device.fields > count(200_000) / 1_000


# nfcpy's manners. -----------------------------------------------------------------------------------------


def test_nfcpy_changes_nothing_of_the_process() -> None:
    """It turns all warnings into log lines; that is undone, and nothing is printed."""
    code = (
        "import warnings; before = warnings.showwarning\n"
        "from paysim.drivers.nfc import Nfc\n"
        "import sys; assert 'nfc' not in sys.modules\n"
        "try: Nfc().open('usb')\n"
        "except Exception: pass\n"
        "assert 'nfc' in sys.modules\n"
        "assert warnings.showwarning is before\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_nfcpy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nfc", None)
    nfc_frontend.nfcpy.cache_clear()
    try:
        with pytest.raises(NoReader, match=r"pip install 'paysim\[nfc\]'"):
            Nfc().open("usb")
    finally:
        nfc_frontend.nfcpy.cache_clear()


# Payments. ------------------------------------------------------------------------------------------------


@pytest.fixture
def over_air() -> Iterator[OverAir]:
    way = OverAir()
    yield way
    way.close()


@pytest.mark.parametrize("profile", PAYING)
@pytest.mark.parametrize("minor", [1, 1_280, 100_001])
def test_every_paying_card_pays_over_udp(
    paysim_sandbox: Sandbox, over_air: OverAir, profile: str, minor: int
) -> None:
    counter = Counter(paysim_sandbox, driver=over_air)
    order, tap = counter.bought(minor, profile)
    counter.terminal.clear()
    assert tap.approved, tap.outcome
    assert states(order) == ("CAPTURED", "CAPTURED")
    assert counter.tally("merchant/tea-house/pending") == minor


@pytest.mark.parametrize("profile", ["unknown", "expired", "blocked", "flaky"])
def test_cards_that_do_not_pay_end_over_udp_as_at_hand(
    paysim_sandbox: Sandbox, over_air: OverAir, profile: str
) -> None:
    counter = Counter(paysim_sandbox)
    at_hand = counter.bought(990, profile)[1]
    counter.terminal = counter.shop.terminal(driver=over_air)
    other = counter.alice.card(profile, name="the other")
    tap = counter.tap(counter.order(990), other)
    assert answered(tap) == answered(at_hand)
    assert [line.kind for line in tap.trace] == [line.kind for line in at_hand.trace]


def test_a_payment_over_bad_air(paysim_sandbox: Sandbox) -> None:
    source = random.Random(5)
    lost = 0

    def judge(way: str, number: int, data: bytes) -> int:
        nonlocal lost
        if is_block(data) and source.random() < 0.1:
            lost += 1
            return source.choice((0, 2))
        return 1

    way = OverAir(judge)
    counter = Counter(paysim_sandbox, driver=way)
    for _ in range(count(100)):
        assert counter.bought(10, "unionpay")[1].approved
    way.close()
    assert lost
    assert counter.card("unionpay").counter == count(100), "each tap counted once"
