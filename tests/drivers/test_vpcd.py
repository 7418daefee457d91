"""The card's side of the virtual reader, frame by frame: a reader of ours in the daemon's place."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import emv_cards
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paysim.core.errors import LinkClosed, LinkTimeout, NoReader, UsageError
from paysim.drivers import vpcd
from paysim.drivers.t0 import T0Card, fetch
from paysim.drivers.vpcd import ATRS, CardHost
from paysim.testing.drivers import GOOD, READ, SELECT, ScriptedCard


class Reader:
    """The daemon's end: it listens, and speaks frames."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.connection = socket.socket()

    def accept(self) -> None:
        self.connection.close()
        self.connection, _ = self.listening.accept()
        self.connection.settimeout(5)

    def send(self, frame: bytes) -> None:
        self.connection.sendall(len(frame).to_bytes(2) + frame)

    def read(self) -> bytes | None:
        """A frame, None where the card is gone."""
        header = self._read(2)
        return None if header is None else self._read(int.from_bytes(header))

    def _read(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                part = self.connection.recv(size - len(data))
            except ConnectionError:
                return None
            if not part:
                return None
            data += part
        return data

    def ask(self, frame: bytes) -> bytes | None:
        self.send(frame)
        return self.read()


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.connection.close()
    made.listening.close()


def inserted(reader: Reader, card: Any, **about: Any) -> CardHost:
    host = CardHost(card, port=reader.port, **about)
    host.start()
    reader.accept()
    return host


@pytest.mark.parametrize("protocol", ["T0", "T1"])
def test_the_atr_is_the_protocols(reader: Reader, protocol: str) -> None:
    host = inserted(reader, ScriptedCard({}), protocol=protocol)
    assert reader.ask(b"\x04") == ATRS[protocol]
    host.stop()
    assert reader.read() is None


def test_another_atr(reader: Reader) -> None:
    host = inserted(reader, ScriptedCard({}), atr=b"\x3b\x00")
    assert reader.ask(b"\x04") == b"\x3b\x00"
    host.stop()


def test_power_and_reset_are_not_answered_and_the_card_forgets(reader: Reader) -> None:
    card = ScriptedCard({SELECT: GOOD})
    host = inserted(reader, card)
    for number, control in enumerate((b"\x00", b"\x01", b"\x02"), 1):
        reader.send(control)
        assert reader.ask(SELECT) == GOOD
        assert card.resets == number
    host.stop()


def test_frames_in_pieces_and_frames_in_one(reader: Reader) -> None:
    host = inserted(reader, ScriptedCard({SELECT: GOOD, READ: b"\x6a\x83"}))
    both = b"".join(len(frame).to_bytes(2) + frame for frame in (SELECT, READ, b"\x04"))
    for byte in both:
        reader.connection.sendall(bytes((byte,)))
    assert [reader.read(), reader.read(), reader.read()] == [GOOD, b"\x6a\x83", ATRS["T1"]]
    reader.connection.sendall(both)
    assert [reader.read(), reader.read(), reader.read()] == [GOOD, b"\x6a\x83", ATRS["T1"]]
    host.stop()


def test_frames_that_mean_nothing_do_no_harm(reader: Reader) -> None:
    host = inserted(reader, emv_cards.card("unionpay"))
    for frame in (b"", b"\x03", b"\x05", b"\xff", b"\x00"):
        reader.send(frame)
    for frame in (b"\x00\x00", bytes(3), bytes(65_535), b"\xff" * 300):
        answer = reader.ask(frame)
        assert answer is not None
        assert len(answer) == 2
    assert reader.ask(SELECT)[-2:] == b"\x90\x00"  # type: ignore[index]
    host.stop()


def test_the_uid_is_the_readers_to_tell(reader: Reader) -> None:
    card = ScriptedCard({})
    host = inserted(reader, card, uid=bytes.fromhex("08010203"))
    assert reader.ask(bytes.fromhex("FFCA000000")) == bytes.fromhex("080102039000")
    assert card.heard == []
    host.stop()
    host = inserted(reader, card, protocol="T0")
    assert reader.ask(bytes.fromhex("FFCA000000")) == b"\x6d\x00"
    host.stop()


@pytest.mark.parametrize("heard", [False, True])
def test_a_tear_at_a_command(reader: Reader, heard: bool) -> None:
    card = ScriptedCard({SELECT: GOOD})
    host = inserted(reader, card, tear_at=3, heard=heard)
    assert [reader.ask(SELECT) for _ in range(3)] == [GOOD, GOOD, None]
    assert len(card.heard) == 2 + heard
    host.stop()
    assert not host.inserted
    assert card.resets
    host.start()
    reader.accept()
    assert [reader.ask(SELECT) for _ in range(3)] == [GOOD, GOOD, None], "each stay counts from 1"
    host.stop()


def test_the_card_is_saved_before_its_answer_leaves(reader: Reader) -> None:
    class Saving(ScriptedCard):
        def saved(self) -> None:
            log.append(("saved", len(self.heard)))

    log: list[tuple[str, int]] = []
    host = inserted(reader, Saving({SELECT: GOOD, READ: LinkClosed("torn")}))
    assert reader.ask(SELECT) == GOOD
    assert log == [("saved", 1)]
    assert reader.ask(READ) is None
    host.stop()
    assert log == [("saved", 1), ("saved", 2)], "a torn card keeps what it has written, too"


def test_a_card_that_says_nothing_says_nothing(reader: Reader) -> None:
    host = inserted(reader, ScriptedCard({READ: LinkTimeout("nothing"), SELECT: GOOD}))
    reader.send(READ)
    assert reader.ask(SELECT) == GOOD, "and hears the next"
    host.stop()


def test_an_answer_that_no_frame_carries_takes_the_card_out(reader: Reader) -> None:
    said: list[str] = []
    host = inserted(reader, ScriptedCard({READ: bytes(65_538), SELECT: bytes(65_535)}), said=said.append)
    assert reader.ask(SELECT) == bytes(65_535)
    assert reader.ask(READ) is None
    host.stop()
    assert [line for line in said if "65538" in line]


def test_the_reader_goes_and_comes(reader: Reader) -> None:
    host = inserted(reader, ScriptedCard({SELECT: GOOD}))
    thread = host._thread
    reader.connection.close()
    assert thread is not None
    thread.join(5)
    assert not host.inserted
    host.start()
    reader.accept()
    assert reader.ask(SELECT) == GOOD
    host.remove()
    host.remove()
    host.stop()


def test_without_a_reader_the_line_that_starts_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NoReader, match="pcscd"):
        CardHost(ScriptedCard({}), port=port).insert()
    assert "pcscd" in vpcd.mend()


def test_a_slot_that_takes_no_further_card_is_told_apart_from_no_reader() -> None:
    def full(_address: tuple[str, int], _timeout_s: float | None) -> socket.socket:
        raise TimeoutError("timed out")

    with pytest.raises(NoReader, match="another card") as raised:
        CardHost(ScriptedCard({}), slot=1, dial=full).insert()
    assert "apt-get" not in str(raised.value)


def test_a_card_that_the_reader_does_not_ask_for_says_so_and_waits(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vpcd, "_ASKED_S", 0.05)
    said, told = [], threading.Event()

    def say(words: str) -> None:
        said.append(words)
        told.set()

    host = inserted(reader, ScriptedCard({SELECT: GOOD}), said=say)
    assert told.wait(5)
    for _ in range(3):
        assert reader.ask(b"\x04") == ATRS["T1"]
    assert reader.ask(SELECT) == GOOD
    host.stop()
    assert len(said) == 1
    assert "another card" in said[0]


def test_a_card_taken_out_before_its_thread_runs_stays_out(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(threading.Thread):
        def start(self) -> None:
            host.remove()
            super().start()

    host = CardHost(ScriptedCard({}), port=reader.port)
    monkeypatch.setattr(vpcd.threading, "Thread", Late)
    host.start()
    thread = host._thread
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()
    assert not host.inserted


@pytest.mark.parametrize(
    "wrong", [{"slot": 2}, {"slot": -1}, {"protocol": "T2"}, {"port": 0}, {"port": 65_536}]
)
def test_what_the_virtual_reader_does_not_have(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        CardHost(ScriptedCard({}), **wrong)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux says who listens")
def test_a_port_that_others_reach_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vpcd, "_interfaces", lambda: ["paysim-none"])
    with socket.create_server(("127.0.0.1", 0)) as own:
        assert not vpcd.exposed(own.getsockname()[1])
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        port = everywhere.getsockname()[1]
        assert vpcd.exposed(port)
        said: list[str] = []
        host = CardHost(ScriptedCard({}), port=port, said=said.append)
        host.insert()
        assert str(port) in said[0]
        assert "outside this machine" in said[0]
        host.remove()
        host.insert()
        host.remove()
        assert len(said) == 1, "and not at each stay"
        monkeypatch.setattr(vpcd, "_interfaces", list)
        assert not vpcd.exposed(port), "a machine without a network"


# T=0. ---------------------------------------------------------------------------------------------------


def exchanged(answers: dict[bytes, bytes], command: bytes) -> tuple[bytes, list[bytes]]:
    """What a reader gets under T=0, and the exchanges on the wire."""
    wire: list[bytes] = []
    card = T0Card(ScriptedCard(answers))

    def send(data: bytes) -> bytes:
        wire.append(data)
        assert len(data) <= 5 or len(data) == 5 + data[4], "T=0 carries data one way"
        return card.respond(data)

    return fetch(send, command, t0=True), wire


@pytest.mark.parametrize("size", [0, 1, 2, 127, 128, 255, 256, 257, 511, 512, 513, 1000])
@pytest.mark.parametrize("command", ["00B2010C00", "00A4040002A00000", "80AE800000", "80CA9F3600"])
def test_an_answer_of_any_length_arrives_by_t_0(command: str, size: int) -> None:
    asked = bytes.fromhex(command)
    answer = bytes(at % 251 for at in range(size)) + b"\x90\x00"
    assert exchanged({asked: answer}, asked)[0] == answer


def test_the_exchanges_of_t_0() -> None:
    assert exchanged({SELECT: GOOD}, SELECT)[1] == [SELECT[:-1], bytes.fromhex("00C0000002")]
    assert exchanged({READ: GOOD}, READ)[1] == [READ, READ[:-1] + b"\x02"]
    put = bytes.fromhex("80DA9F5806000000001000")
    assert exchanged({put: b"\x90\x00"}, put) == (b"\x90\x00", [put])


def test_an_answer_waits_for_nobody_else() -> None:
    card = T0Card(ScriptedCard({SELECT: GOOD, READ: GOOD}))
    assert card.respond(SELECT[:-1]) == b"\x61\x02"
    assert card.respond(bytes.fromhex("00C0000005")) == b"\x6c\x02"
    card.power_off()
    assert card.respond(bytes.fromhex("00C0000002")) == b"\x6d\x00"


def test_an_answer_waits_no_longer_than_the_next_command() -> None:
    put = bytes.fromhex("80DA9F5801AA")
    card = T0Card(ScriptedCard({SELECT: GOOD, put: b"\x90\x00"}))
    assert card.respond(SELECT[:-1]) == b"\x61\x02"
    assert card.respond(put) == b"\x90\x00"
    assert card.respond(bytes.fromhex("00C0000002")) == b"\x6d\x00"


@pytest.mark.parametrize("t0", [False, True])
@pytest.mark.parametrize("command", ["80DA9F5801AA", "00A40000", "80DA0000000102" + "AA" * 258])
def test_a_wrong_length_is_an_answer_where_no_length_was_asked_for(command: str, t0: bool) -> None:
    sent: list[bytes] = []

    def send(data: bytes) -> bytes:
        sent.append(data)
        return b"\x6c\x10"

    assert fetch(send, bytes.fromhex(command), t0=t0) == b"\x6c\x10"
    assert sent == [bytes.fromhex(command)], "a byte of data is no length"


def test_a_command_with_data_is_asked_again_with_the_right_length() -> None:
    answers = {SELECT: b"\x6c\x02", SELECT[:-1] + b"\x02": GOOD}
    assert fetch(lambda data: answers[data], SELECT) == GOOD


@pytest.mark.parametrize("endless", [b"\x61\x00", b"\x6c\x00", b"\x00\x61\x01", b"\x6c\x10"])
def test_a_card_that_promises_for_ever_is_not_followed_for_ever(endless: bytes) -> None:
    sent: list[bytes] = []

    def send(data: bytes) -> bytes:
        sent.append(data)
        return endless

    assert len(fetch(send, READ)) < 70_000
    assert len(sent) <= 260


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_by_t_0(command: bytes, answer: bytes) -> None:
    card = T0Card(ScriptedCard({command: answer}))
    assert isinstance(fetch(card.respond, command, t0=True), bytes)
    real = T0Card(emv_cards.card("unionpay"))
    assert len(fetch(real.respond, command, t0=True)) >= 2


def test_nothing_is_left_running() -> None:
    assert not [thread for thread in threading.enumerate() if thread.name == "paysim card in vpcd"]
