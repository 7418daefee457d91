"""`paysim card`: put a card in software into the virtual reader, or hold it before a reader's field."""

from __future__ import annotations

import os
import signal
import threading
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final, NamedTuple, Protocol

from paysim.codec.apdu import Response
from paysim.core.errors import DecodeError, LinkClosed, LinkTimeout, NoReader, UsageError
from paysim.drivers.driver import UnfitReader
from paysim.emv.explain import Reading
from paysim.emv.masking import digits
from paysim.emv.profile import PROFILES
from paysim.sandbox.folder import FolderCard
from paysim.store import Keyring
from paysim.store.keyring import DEFAULT_FOLDER

from .screen import Screen

__all__ = ["keys_of", "run"]

NO_CARD: Final = 2

_AWAY_S: Final = 1.0
"""How long a card that was torn out stays away, and how long a reader that is gone is waited for."""

_ENDING_S: Final = 0.2
_COMMAND_WIDTH: Final = 36
_GPO: Final = 0xA8


def keys_of(name: str) -> Keyring:
    """The keys folder that is meant: the one named, else PAYSIM_KEYS, else ./.paysim."""
    return Keyring(name or os.environ.get("PAYSIM_KEYS") or DEFAULT_FOLDER)


def run(arguments: Namespace, screen: Screen) -> int:
    """Be the card until Ctrl-C. 0 then, 1 where there is no reader, 2 no such card."""
    if arguments.profile not in PROFILES:
        text = f"there is no card {arguments.profile!r}; there are {', '.join(PROFILES)}"
        screen.complain(text)
        screen.result({"error": text})
        return NO_CARD
    if arguments.tear_at < 0:
        raise UsageError(f"--tear-at is the number of a command, from 1, not {arguments.tear_at}")
    place = _place(arguments)  # names a driver that does not exist before keys are minted
    card = FolderCard(keys_of(arguments.keys), arguments.profile, tear_at=arguments.tear_at)
    try:
        host = place.host(_Watched(card, screen), screen)
        return _held(host, place.name, card, screen)
    finally:
        card.close()


class _Watched:
    """The card, and a line on the screen for each command."""

    def __init__(self, card: FolderCard, screen: Screen) -> None:
        self._card = card
        self._screen = screen
        self._reading = Reading()
        self._idle = True

    def respond(self, command: bytes) -> bytes:
        """The card's answer, or how it failed."""
        self._idle = False
        asked = self._reading.command(command)
        words = " ".join((asked.name, *asked.words[:1])).partition(",")[0]
        head = f"{self._card.commands + 1:>4} > {words:<{_COMMAND_WIDTH}.{_COMMAND_WIDTH}}"
        try:
            answer = self._card.respond(command)
        except (LinkTimeout, LinkClosed) as error:
            _said(self._screen, f"{head} < {error}")
            raise
        _said(self._screen, f"{head} < {self._answered(command, answer)}")
        return answer

    def power_off(self) -> None:
        """The field is gone; said once."""
        self._card.power_off()
        self._reading = Reading()
        if not self._idle:
            _said(self._screen, "       the field is off")
        self._idle = True

    def _answered(self, command: bytes, answer: bytes) -> str:
        try:
            response = Response.decode(answer)
        except DecodeError:
            return f"{len(answer)} bytes"
        size = f", {len(response.data)} bytes" if response.data else ""
        counter = f", counter {self._card.card.memory.atc}" if command[1:2] == bytes((_GPO,)) else ""
        return f"{self._reading.response(answer[-2:]).name}{size}{counter}"


# Where the card is. ---------------------------------------------------------------------------------------


class _Host(Protocol):
    """The card side of a driver."""

    def insert(self) -> None:
        """Put the card there; nothing where it is already. NoReader where there is no reader."""

    def serve(self) -> None:
        """Be there until the card is taken away or torn out, or the reader goes; NoReader where none is."""

    def remove(self) -> None:
        """Take the card away; any thread may."""


class _Place(NamedTuple):
    name: str
    host: Callable[[_Watched, Screen], _Host]


def _place(arguments: Namespace) -> _Place:
    """Where the card is to be held. Raises UsageError where there is no such place."""
    head, _, rest = arguments.driver.partition(":")
    if head == "vpcd":
        return _slot(arguments, rest)
    if head == "nfc" and rest:
        for option, plain in (("slot", 0), ("protocol", "T1")):
            if getattr(arguments, option) != plain:
                raise UsageError(f"--{option} is the virtual reader's; leave it out with nfc")
        from paysim.drivers.nfc_card import CardHost

        return _Place(f"before nfc:{rest}", lambda card, _screen: CardHost(card, rest))
    raise UsageError(f"a card is held by vpcd, nfc:usb or nfc:udp:HOST:PORT, not by {arguments.driver!r}")


def _slot(arguments: Namespace, rest: str) -> _Place:
    """A slot of the virtual reader, at its usual port or at vpcd:HOST:PORT."""
    from paysim.drivers import vpcd

    host, _, port = rest.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() else 0
    if rest and not 0 < number < vpcd.MAX_FRAME:
        raise UsageError(f"the virtual reader is vpcd, vpcd:PORT or vpcd:HOST:PORT, not 'vpcd:{rest}'")

    def made(card: _Watched, screen: Screen) -> _Host:
        return vpcd.CardHost(
            card,
            slot=arguments.slot,
            host=host or "127.0.0.1",
            port=number or vpcd.PORT,
            protocol=arguments.protocol,
            said=screen.complain,
        )

    return _Place(f"in slot {arguments.slot} of the virtual reader ({arguments.protocol})", made)


# Its life. ------------------------------------------------------------------------------------------------


def _held(host: _Host, where: str, card: FolderCard, screen: Screen) -> int:
    """Hold the card there until a signal ends it. Raises NoReader where nothing is there."""
    stopped = threading.Event()
    _until_signalled(stopped)
    host.insert()
    made, memory = card.card.made, card.card.memory
    balance = f", {memory.balance / 100:.2f} to spend offline" if memory.balance else ""
    screen.head(f"{card.id} {digits(made.pan)}, counter {memory.atc}{balance}")
    screen.say(f"{where}; Ctrl-C takes it away")
    screen.flush()
    failures: list[Exception] = []
    thread = threading.Thread(
        target=_served, args=(host, stopped, failures, screen), name="paysim card", daemon=True
    )
    thread.start()
    stopped.wait()
    while thread.is_alive():
        host.remove()  # again where it was just about to be held there once more
        thread.join(_ENDING_S)
    if failures:
        raise failures[0]
    screen.say(f"taken away after {card.commands} commands, counter {memory.atc}")
    screen.result(_result(card))
    return 0


def _served(host: _Host, stopped: threading.Event, failures: list[Exception], screen: Screen) -> None:
    """The card is there, goes, and comes again, until it is stopped; a reader that is gone is waited for."""
    away = waiting = False
    try:
        while not stopped.is_set():
            try:
                host.insert()
                if away:
                    _said(screen, "       held there again")
                waiting = False
                host.serve()
            except UnfitReader:
                raise
            except NoReader as error:
                if not waiting:
                    with suppress(OSError):
                        screen.complain(f"{error}; waiting for it")
                waiting = True
            away = True
            stopped.wait(_AWAY_S)
    except Exception as error:
        failures.append(error)
    finally:
        stopped.set()


def _said(screen: Screen, line: str) -> None:
    """A line on the screen; a card goes on where nobody reads any more."""
    try:
        screen.say(line)
        screen.flush()
    except OSError:
        screen.quiet = True


def _until_signalled(stopped: threading.Event) -> None:
    """Let each signal that asks us to end set the event; a hang-up that was ignored before stays so."""

    def end(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and (name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN):
            signal.signal(number, end)


def _result(card: FolderCard) -> dict[str, Any]:
    memory = card.card.memory
    return {
        "card": card.id,
        "commands": card.commands,
        "counter": memory.atc,
        "balance_minor": memory.balance,
    }
