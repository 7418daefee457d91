"""nfcpy's radio over UDP, made fit for a bench; nfcpy's own driver can be the other side.

    106A 02 00A4...  the bit rate and a frame in hex        RFOFF  the reader has turned its field off

Beside nfcpy's driver it listens at the address that it is given, and not at all of them; it does not stumble
over datagrams that are no frames; a time-out is kept where nfcpy waits a second in any case. A datagram may
come twice or late, which no radio frame does: one that came twice is dropped, and so is, at the reader, an
answer to a block of before. A card that one reader has selected does not hear another, until that one goes
or has been silent for a second.

This module needs nfcpy; `drivers.nfc` imports it when a radio is opened.
"""

from __future__ import annotations

import errno
import time
from binascii import unhexlify
from socket import gethostbyname
from typing import Any, Final

import nfc.clf
import nfc.clf.udp

from paysim.core.errors import NoReader

__all__ = ["PORT", "Radio"]

PORT: Final = 54_321

TWICE_S: Final = 0.005
"""Within which time the same datagram is the same frame. Assumed: a reader that asks again waits longer.

Not so S(WTX), which says the same each time, and which does no harm where it comes twice.
"""

_SHORTEST_S: Final = 0.15
"""How long a reader waits for an answer at least: two processes on one machine stand in for a chip."""

_LISTEN_S: Final = 0.1
"""How long a card listens before it looks up."""

_MAX_DATAGRAM: Final = 1024

_SILENT_S: Final = 1.0
"""After which silence of a reader another may select its card. Assumed: it has died."""

_MENDS: Final = {
    errno.EADDRINUSE: "a card or another program is there; end it, or take another port",
    errno.EADDRNOTAVAIL: "it is no address of this machine; take localhost, or one that it has",
    errno.EACCES: "the port is for root alone; take one above 1023",
}

_NEW_FIELD: Final = (b"106A 26", b"106A 52")
_RF_OFF: Final = b"RFOFF"
_WAITING: Final = (b"106A f2", b"106A F2")


class Radio(nfc.clf.udp.Device):  # type: ignore[misc]  # nfcpy has no types
    """A device for `nfc.ContactlessFrontend`. `patience_s` caps how long it listens.

    Raises NoReader where the host has no address.
    """

    socket: Any

    def __init__(self, host: str, port: int) -> None:
        self._path = f"udp:{host}:{port}"
        try:
            self.addr = gethostbyname(host), port  # nfcpy's own stumbles over ports that have names
        except (OSError, UnicodeError) as error:
            raise NoReader(f"{self._path}: {error}; name a host that this machine knows") from None
        self.socket = None
        self._create_socket()
        self._vendor_name, self._device_name, self._chipset_name = "nfcpy", "radio", "UDP"
        self.patience_s: float | None = None
        self._is_card = False
        self._before: tuple[bytes, Any, float] = (b"", None, 0.0)
        self._partner: Any = None
        """The address of the reader whose field a card is in."""
        self._heard_at = 0.0

    def be_card(self) -> None:
        """Listen at this address from now on; raises NoReader where that cannot be."""
        self._create_socket()
        try:
            self.socket.bind(self.addr)
        except OSError as error:
            self.socket.close()
            mend = _MENDS.get(error.errno or 0, str(error))
            raise NoReader(f"{self._path} cannot be listened at: {mend}") from None
        self._is_card = True
        self.patience_s = _LISTEN_S

    def _bind_socket(self, time_to_return: float) -> bool:
        del time_to_return
        return self._is_card

    def mute(self) -> None:
        """Turn the field off; a card listens on."""
        if self._is_card:
            return
        try:
            super().mute()
        except OSError:  # nobody can be told
            self.socket.close()
            self.socket = None

    def close(self) -> None:
        """Turn the field off, and leave the address to others."""
        self._is_card = False
        self.mute()

    def listen_tta(self, target: Any, timeout: float) -> Any:
        """Any reader may select the card; see nfcpy."""
        self._partner = None
        return super().listen_tta(target, timeout)

    def send_rsp_recv_cmd(self, target: Any, data: Any, timeout: float | None) -> Any:
        """The next frame of the reader that has selected the card; see nfcpy."""
        if self._partner is None:
            self._partner, self._heard_at = target._addr, time.monotonic()
        return super().send_rsp_recv_cmd(target, data, timeout)

    def send_cmd_recv_rsp(self, target: Any, data: Any, timeout: float) -> Any:
        """The answer to a reader's frame; what answers an earlier block is passed over."""
        if data is not None:
            self._send_data(target.brty, data, target._addr)
        deadline = time.monotonic() + max(timeout, _SHORTEST_S)
        while True:
            answer = self._recv_data(deadline - time.monotonic(), target.brty)[1]
            if data is None or not _is_late(data[0], answer[0]):
                return answer

    def _recv_data(self, timeout: float | None, *brty_list: str) -> tuple[str, bytearray, Any]:
        if timeout is not None and self.patience_s is not None:
            timeout = min(timeout, self.patience_s)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise nfc.clf.TimeoutError("no data received")
            self.socket.settimeout(left)
            try:
                data, addr = self.socket.recvfrom(_MAX_DATAGRAM)
            except TimeoutError:
                raise nfc.clf.TimeoutError("no data received") from None
            except ConnectionError:  # an answer to an earlier datagram, on some systems
                continue
            if self._partner is not None and self._is_of_another(data, addr):
                continue
            if data.startswith(_RF_OFF):
                raise nfc.clf.BrokenLinkError("RFOFF")
            frame = _frame(data, brty_list)
            if frame is not None and not self._twice(data, addr):
                self.rcvd_data += len(frame[1])
                return *frame, addr

    def _is_of_another(self, data: bytes, addr: Any) -> bool:
        """Whether this is none of the reader's whose field the card is in, which is still there."""
        now = time.monotonic()
        if addr == self._partner:
            self._heard_at = now
            return False
        return data not in _NEW_FIELD or now - self._heard_at < _SILENT_S

    def _twice(self, data: bytes, addr: Any) -> bool:
        now = time.monotonic()
        seen, came_from, at = self._before
        self._before = data, addr, now
        same = data == seen and addr == came_from and not data.startswith(_WAITING)
        return same and now - at < TWICE_S


def _frame(data: bytes, rates: tuple[str, ...]) -> tuple[str, bytearray] | None:
    """The bit rate and the frame of a datagram; None where it is none, or of another bit rate."""
    try:
        rate, text = data.split()
        name, frame = rate.decode("ascii"), bytearray(unhexlify(text))
    except ValueError:
        return None
    return (name, frame) if name in rates else None


def _is_late(sent: int, heard: int) -> bool:
    """Whether an I-block answers another block than the one that was sent (both by their PCB)."""
    numbered = sent & 0xE2 == 0x02 or sent & 0xE6 == 0xA2
    return numbered and heard & 0xE2 == 0x02 and (sent ^ heard) & 1 == 1
