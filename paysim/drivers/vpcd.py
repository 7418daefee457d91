"""The software card in the virtual PC/SC reader of vsmartcard: any PC/SC program then sees a card.

The daemon (pcscd with vsmartcard's driver, "vpcd") listens at a port for each slot; a card is a connection
to it: connecting inserts it, closing removes it. Frames are a length of 2 bytes, big-endian, and that many
bytes; a frame of one byte is the reader's: 00 power off, 01 power on, 02 reset, 04 which ATR (the one that is
answered). Anything longer is a command. Source: vsmartcard, virtualsmartcard/src/vpcd (as observed)
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from paysim.core.errors import LinkClosed, LinkTimeout, NoReader, UsageError

from .driver import SoftCard
from .pcsc_service import is_installed
from .shell import own
from .t0 import T0Card

__all__ = ["ATRS", "PORT", "CardHost", "exposed", "mend", "warning"]

PORT: Final = 35_963
"""Where slot 0 listens; slot 1 is the next. Source: vsmartcard, /etc/reader.conf.d/vpcd"""

SLOTS: Final = 2

ATRS: Final = {
    "T1": bytes.fromhex("3B80800101"),
    "T0": bytes.fromhex("3B68000000 73C84000009000".replace(" ", "")),
}
"""Protocol -> ATR: that of a contactless card without historical bytes, and a contact card's.

Source: PC/SC part 3 3.1.3.2.3.1; ISO/IEC 7816-3 8
"""

UID: Final = bytes.fromhex("08706179")
"""What a reader's FF CA 00 00 00 is answered: 08 marks a number that is not the card's for good.

Source: PC/SC part 3 3.2.2.1.3; ISO/IEC 14443-3 6.5.4
"""

MAX_FRAME: Final = 0xFFFF

_POWER_OFF: Final = 0x00
_POWER_ON: Final = 0x01
_RESET: Final = 0x02
_GET_ATR: Final = 0x04
_GET_UID: Final = bytes.fromhex("FFCA0000")
_CONNECT_S: Final = 5.0
_ASKED_S: Final = 2.0
"""How long the reader may take to ask a card for its ATR. Source: pcscd looks every 0.4 s"""
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)

Dial = Callable[[tuple[str, int], float | None], socket.socket]


class CardHost:
    """A card for a slot of the virtual reader; `insert` it, then `serve` it in a thread or here.

    `tear_at` takes the card out at that command (from 1, of each stay in the reader), before it has it unless
    it is `heard`. `protocol` is T0 or T1; `uid` is told to a reader that asks for it ("": the card is asked
    itself). `said` is called with what a person is to know. One thread serves; `remove` may be called by any.
    """

    def __init__(
        self,
        card: SoftCard,
        *,
        slot: int = 0,
        host: str = "127.0.0.1",
        port: int = PORT,
        protocol: str = "T1",
        atr: bytes = b"",
        uid: bytes | None = None,
        tear_at: int = 0,
        heard: bool = True,
        said: Callable[[str], None] | None = None,
        dial: Dial = socket.create_connection,
    ) -> None:
        if protocol not in ATRS:
            raise UsageError(f"a card speaks {' or '.join(sorted(ATRS))}, not {protocol!r}")
        if slot not in range(SLOTS):
            raise UsageError(f"the virtual reader has the slots 0 and 1, not {slot!r}")
        if not 0 < port + slot <= MAX_FRAME:
            raise UsageError(f"a port is 1 to 65535, not {port + slot}")
        self.address = (host, port + slot)
        self._slot = slot
        self.atr = atr or ATRS[protocol]
        self.uid = (UID if protocol == "T1" else b"") if uid is None else uid
        self.tear_at = tear_at
        self.heard = heard
        self.commands = 0
        """How many commands it has had since it was inserted."""
        self._card: SoftCard = T0Card(card) if protocol == "T0" else card
        self._saved: Callable[[], None] = getattr(card, "saved", _nothing)
        self._said = said or _nothing
        self._dial = dial
        self._warned = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def inserted(self) -> bool:
        """Whether the card is in the reader."""
        return self._socket is not None

    def insert(self) -> None:
        """Put the card in; it is seen within half a second, once it is served.

        Raises NoReader, with the line that starts the virtual reader, where there is none; and where the slot
        takes no further card.
        """
        if self._socket is not None:
            return
        try:
            connection = self._dial(self.address, _CONNECT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            raise NoReader(
                f"the virtual reader at {_named(self.address)} takes no card; {self._taken}"
            ) from None
        except OSError as error:
            raise NoReader(f"no virtual reader at {_named(self.address)} ({error}); {mend()}") from None
        self.commands = 0
        self._socket = connection
        if not self._warned and exposed(self.address[1]):
            self._warned = True
            self._said(warning(self.address[1]))

    def remove(self) -> None:
        """Take the card out; it is seen within half a second. Nothing where it is not in."""
        with self._lock:
            connection, self._socket = self._socket, None
        if connection is not None:
            try:
                connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that serves
            except OSError:
                pass
            connection.close()
            self._card.power_off()

    def serve(self) -> None:
        """Answer until the card is taken out, torn, or the reader goes. Raises NoReader as `insert` does."""
        self.insert()
        self._stay(self._socket)

    def start(self) -> None:
        """Insert the card and serve it in a thread of its own, which ends with its stay in the reader."""
        self.stop()
        self.insert()
        self._thread = threading.Thread(
            target=self._stay, args=(self._socket,), name="paysim card in vpcd", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Take the card out and wait for the thread's end."""
        self.remove()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def _stay(self, connection: socket.socket | None) -> None:
        """What comes by this connection is answered, and nothing by another."""
        if connection is None:
            return
        try:
            self._look_asked_for(connection)
            while self._turn(connection):
                pass
        except OSError:
            pass
        finally:
            if connection is self._socket:
                self.remove()

    def _look_asked_for(self, connection: socket.socket) -> None:
        """Say so where the reader asks nothing: it has accepted the connection, and not yet the card."""
        connection.settimeout(_ASKED_S)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            self._said(f"slot {self._slot} of the virtual reader does not see the card; {self._taken}")
        connection.settimeout(None)

    @property
    def _taken(self) -> str:
        return f"another card is in slot {self._slot}: end that one, or take --slot {1 - self._slot}"

    # One frame. ---------------------------------------------------------------------------------------

    def _turn(self, connection: socket.socket) -> bool:
        """Whether there may be another frame after this one."""
        header = _read(connection, 2)
        if header is None:
            return False
        frame = _read(connection, int.from_bytes(header))
        if frame is None:
            return False
        if len(frame) > 1:
            return self._command(connection, frame)
        if frame == bytes((_GET_ATR,)):
            _write(connection, self.atr)
        elif frame and frame[0] in (_POWER_OFF, _POWER_ON, _RESET):
            self._card.power_off()
        return True

    def _command(self, connection: socket.socket, command: bytes) -> bool:
        if self.uid and command[:4] == _GET_UID and len(command) <= 5:
            _write(connection, self.uid + b"\x90\x00")
            return True
        self.commands += 1
        torn = self.commands == self.tear_at
        if torn and not self.heard:
            return False
        try:
            answer = self._card.respond(command)
        except LinkTimeout:
            return True  # the reader waits
        except LinkClosed:
            return False
        finally:
            self._saved()
        if torn:
            return False
        if len(answer) > MAX_FRAME:
            self._said(
                f"the card's answer of {len(answer)} bytes is longer than the virtual reader can carry"
            )
            return False
        _write(connection, answer)
        return True


def _nothing(*_: object) -> None:
    pass


def _read(connection: socket.socket, size: int) -> bytes | None:
    """That many bytes, None where the reader is gone.

    The driver sends length and body apart, and waits 40 ms for the acknowledgement of the first unless it
    goes out at once; Linux forgets the setting after each read.
    """
    found = b""
    while len(found) < size:
        if _QUICKACK is not None:
            connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        part = connection.recv(size - len(found))
        if not part:
            return None
        found += part
    return found


def _write(connection: socket.socket, frame: bytes) -> None:
    connection.sendall(len(frame).to_bytes(2) + frame)


# Where the virtual reader is, and who reaches it. ----------------------------------------------------------

_LIBRARIES: Final = tuple(
    Path(folder, "serial", "libifdvpcd.so")
    for folder in ("/usr/lib/pcsc/drivers", "/usr/lib64/pcsc/drivers", "/usr/local/lib/pcsc/drivers")
)
_LISTENS: Final = "0A"


def mend() -> str:
    """The line that starts the virtual reader here."""
    if not sys.platform.startswith("linux"):
        return "build vsmartcard's virtualsmartcard and start the PC/SC service"
    have = any(map(Path.exists, _LIBRARIES)) and is_installed()
    install = "" if have else "sudo apt-get install pcscd vsmartcard-vpcd && "
    if Path("/run/systemd/system").exists():
        return own(f"{install}sudo systemctl restart pcscd")
    return own(f"{install}sudo sh -c 'mkdir -p /run/pcscd && pcscd'")


def exposed(port: int) -> bool:
    """Whether a listener at this port answers other machines: on all addresses, and there is a network.

    False where nobody can tell (only Linux says).
    """
    return _listens_everywhere(port) and any(map(_is_up, _interfaces()))


def warning(port: int) -> str:
    """What a person is told of an exposed port."""
    return (
        f"warning: port {port} can be reached from outside this machine, and who reaches it can put a card"
        " into your reader; run pcscd in a network namespace or a container, or close the port:"
        + own(f" sudo iptables -A INPUT ! -i lo -p tcp --dport {port} -j DROP")
    )


def _listens_everywhere(port: int) -> bool:
    end = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTENS and fields[1].endswith(end) and not fields[1][: -len(end)].strip("0"):
                return True
    return False


def _interfaces() -> list[str]:
    try:
        return [name for _, name in socket.if_nameindex() if name != "lo"]
    except OSError:
        return []


def _is_up(interface: str) -> bool:
    try:
        state = Path("/sys/class/net", interface, "operstate").read_text(encoding="ascii").strip()
    except OSError:
        return True
    return state != "down"


def _named(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"
