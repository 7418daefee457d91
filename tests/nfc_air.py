"""What lies between a reader and a card over nfcpy's radio: free ports, air that loses, cards that cheat."""

from __future__ import annotations

import multiprocessing
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

from paysim.drivers.dialogue import CardLink
from paysim.drivers.nfc import Nfc
from paysim.drivers.nfc_card import CardHost


def free_port() -> int:
    """A port that nobody listens at, and that has no name: nfcpy's own driver stumbles over those."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
            found.bind(("127.0.0.1", 0))
            address = found.getsockname()
        if socket.getnameinfo(address, socket.NI_NUMERICHOST)[1] == str(address[1]):
            return int(address[1])


class Echo:
    """A card that says every command back, and 9000."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.offs = self.saves = 0

    def respond(self, command: bytes) -> bytes:
        self.heard.append(bytes(command))
        return bytes(command) + b"\x90\x00"

    def power_off(self) -> None:
        self.offs += 1

    def saved(self) -> None:
        self.saves += 1


class Behind:
    """A card behind a link of the sandbox's."""

    def __init__(self, link: CardLink) -> None:
        self._link = link

    def respond(self, command: bytes) -> bytes:
        return self._link.transceive(command)

    def power_off(self) -> None:
        pass


class OverAir:
    """A terminal's driver: each tap goes through a radio, from a reader to a card served here.

    `judge` stands in the air between them.
    """

    def __init__(self, judge: Callable[[str, int, bytes], int] | None = None) -> None:
        self._judge = judge
        self._open = ExitStack()
        self._link: CardLink | None = None
        self._way: CardLink | None = None

    def __call__(self, link: CardLink) -> CardLink:
        self.close()
        path = self._open.enter_context(in_field(Behind(link)))
        if self._judge is not None:
            path = self._open.enter_context(Air(path, self._judge)).path
        field = Nfc().open(path)
        self._open.callback(field.close)
        present = field.wait(5)
        assert present is not None
        self._link, self._way = link, present.link
        return self

    @property
    def decisions(self) -> tuple[Any, ...]:
        assert self._link is not None
        return self._link.decisions

    def transceive(self, data: bytes) -> bytes:
        assert self._way is not None
        return self._way.transceive(data)

    def close(self) -> None:
        self._open.close()
        self._open = ExitStack()


@contextmanager
def in_field(card: Any, port: int = 0, **about: Any) -> Iterator[str]:
    """The path of a radio where this card is served, in a thread of its own."""
    path = f"udp:127.0.0.1:{port or free_port()}"
    host = CardHost(card, path, **about)
    host.start()
    try:
        yield path
    finally:
        host.stop()


class Air:
    """Datagrams between a reader and a card; `judge` says how often each arrives.

    It is called with "command" or "answer", a count of the datagrams of that way from 1, and the datagram.
    """

    def __init__(self, card: str, judge: Callable[[str, int, bytes], int]) -> None:
        self._judge = judge
        self._card = ("127.0.0.1", int(card.rpartition(":")[2]))
        self._here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._here.bind(("127.0.0.1", 0))
        self._there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._there.bind(("127.0.0.1", 0))
        self.path = f"udp:127.0.0.1:{self._here.getsockname()[1]}"
        self._reader: Any = None
        self._over = threading.Event()
        self.counts = {"command": 0, "answer": 0}
        self._threads = [
            threading.Thread(target=self._carry, args=(way, source), daemon=True)
            for way, source in (("command", self._here), ("answer", self._there))
        ]

    def __enter__(self) -> Air:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._here.close()
        self._there.close()

    def _carry(self, way: str, source: socket.socket) -> None:
        source.settimeout(0.05)
        while not self._over.is_set():
            try:
                data, addr = source.recvfrom(2048)
            except TimeoutError:
                continue
            if way == "command":
                self._reader = addr
            self.counts[way] += 1
            for _ in range(self._judge(way, self.counts[way], data)):
                if way == "command":
                    self._there.sendto(data, self._card)
                else:
                    self._here.sendto(data, self._reader)


def is_block(data: bytes) -> bool:
    """Whether a datagram carries a block of ISO-DEP, and nothing of the activation."""
    frame = data.partition(b" ")[2]
    return len(frame) >= 2 and frame[:2] in (b"02", b"03", b"12", b"13", b"a2", b"a3", b"b2", b"b3", b"f2")


class Cheat:
    """A card that answers blocks as it likes: `say` gets a frame, and gives the frames that go back."""

    def __init__(self, say: Callable[[bytes], list[bytes]], ats: bytes = bytes.fromhex("0578809000")) -> None:
        self._say = say
        self._ats = ats
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.path = f"udp:127.0.0.1:{self._socket.getsockname()[1]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Cheat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        steps = {b"\x26": "0400", b"\x93\x20": "085053010A", b"\x93\x70": "20"}
        while not self._over.is_set():
            try:
                data, addr = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            if data.startswith(b"RFOFF"):
                continue
            frame = bytes.fromhex(data.split()[1].decode())
            known = steps.get(frame[:2])
            if known is not None:
                answers = [bytes.fromhex(known)]
            elif frame[0] == 0xE0:
                answers = [self._ats] if self._ats else []
            else:
                answers = self._say(frame)
            for answer in answers:
                self._socket.sendto(b"106A " + answer.hex().encode(), addr)


class NfcBench:
    """A reader and a card at one port of this machine, for the suite of `paysim.testing.drivers`."""

    lacks = frozenset({"readers"})

    def __init__(self) -> None:
        self.driver = Nfc()
        self.reader = f"udp:127.0.0.1:{free_port()}"
        self._host: CardHost | None = None

    def insert(self, card: Any, commands: Sequence[bytes] = ()) -> None:
        self.remove()
        self._host = CardHost(card, self.reader)
        self._host.start()

    def remove(self) -> None:
        if self._host is not None:
            self._host.stop()
            self._host = None

    def close(self) -> None:
        self.remove()


def served_in_process(path: str, profile: str) -> Any:
    """A card of a profile in a process of its own, which serves it until it is killed."""
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    process = spawn.Process(target=_serve, args=(path, ready, profile), daemon=True)
    process.start()
    assert ready.wait(60)
    return process


def _serve(path: str, ready: Any, profile: str) -> None:
    from emv_cards import card

    host = CardHost(card(profile), path)
    host.insert()
    ready.set()
    host.serve()
