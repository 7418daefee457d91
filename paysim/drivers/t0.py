"""The character protocol T=0 below an APDU: what a terminal fetches, and a card hands out piecemeal.

T=0 carries data one way at a time. A command with data loses its Le, and its answer's data wait in the card
(61xx) for GET RESPONSE; a command without data must know the answer's exact length, and is told it (6Cxx).
Source: EMV 4.4 Book 1 9.3.1; ISO/IEC 7816-3 12.2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .driver import SoftCard

__all__ = ["T0Card", "fetch"]

GET_RESPONSE: Final = 0xC0
PARTS: Final = 256
"""Parts of an answer, of 256 bytes each at most, that are fetched."""

_MORE: Final = 0x61
_WRONG_LE: Final = 0x6C
_HEADER: Final = 4


def fetch(send: Callable[[bytes], bytes], command: bytes, *, t0: bool = False) -> bytes:
    """The whole answer to a command APDU: 61xx is fetched, 6Cxx asked again; `send` carries one exchange.

    With `t0`, the Le of a command with data stays behind. What a card says in more than `PARTS` parts is cut.
    Source: EMV 4.4 Book 1 9.3.1
    """
    command = _without_le(command) if t0 else command
    answer = send(command)
    if len(answer) == 2 and answer[0] == _WRONG_LE and _ends_with_le(command):
        answer = send(command[:-1] + answer[1:])
    data = b""
    for _ in range(PARTS):
        if len(answer) < 2 or answer[-2] != _MORE:
            break
        data += answer[:-2]
        part = send(bytes((command[0] & 0x03, GET_RESPONSE, 0, 0, answer[-1])))
        if len(part) == 2 and part[0] == _WRONG_LE:
            part = send(bytes((command[0] & 0x03, GET_RESPONSE, 0, 0, part[1])))
        if len(part) == 2 and part[0] == _MORE:
            break  # a card that promises for ever
        answer = part
    return data + answer


def _ends_with_le(command: bytes) -> bool:
    """Whether it is a short command, and its last byte an Le."""
    return len(command) == _HEADER + 1 or (
        len(command) > _HEADER + 1 and command[_HEADER] > 0 and len(command) == _HEADER + 2 + command[_HEADER]
    )


def _without_le(command: bytes) -> bytes:
    """A short command without the Le behind its data; anything else as it is."""
    return command[:-1] if len(command) > _HEADER + 1 and _ends_with_le(command) else command


class T0Card:
    """A card that answers APDUs, as a contact reader sees it under T=0.

    Assumed: our cards want Le of an answer they have, so a command with data is offered with Le first.
    """

    def __init__(self, card: SoftCard) -> None:
        self._card = card
        self._waiting = b""
        self._of = b""

    def power_off(self) -> None:
        """The power is gone."""
        self._waiting = self._of = b""
        self._card.power_off()

    def respond(self, command: bytes) -> bytes:
        """The answer to a command: data and status word, or 61xx, 6Cxx or another status word alone."""
        if len(command) > 1 and command[1] == GET_RESPONSE and self._waiting:
            return self._handed(command)
        if len(command) <= _HEADER + 1:
            return self._asked(command)
        self._waiting = self._of = b""
        command = _without_le(command)
        answer = self._card.respond(command + b"\0")
        if answer == b"\x67\x00":
            answer = self._card.respond(command)
        if len(answer) <= 2:
            return answer
        self._waiting = answer
        return bytes((_MORE, min(len(answer) - 2, 256) & 0xFF))

    def _asked(self, command: bytes) -> bytes:
        """A command without data: its answer, where Le is the length of it."""
        header, le = command[:_HEADER], command[_HEADER:]
        waits = header and self._of == header
        answer = self._waiting if waits else self._card.respond(header + (le and b"\0"))
        self._waiting = self._of = b""
        size = len(answer) - 2
        if size <= 0 or not le or (le[0] or 256) == size:
            return answer
        if size > 256:
            self._waiting = answer
            return bytes((_MORE, 0))
        self._waiting, self._of = answer, header
        return bytes((_WRONG_LE, size & 0xFF))

    def _handed(self, command: bytes) -> bytes:
        """The next part of what waits; 6Cxx where another length is asked for."""
        body, sw = self._waiting[:-2], self._waiting[-2:]
        due = min(len(body), 256)
        if (command[_HEADER:] or b"\0")[0] != due & 0xFF:
            return bytes((_WRONG_LE, due & 0xFF))
        self._waiting = self._waiting[due:] if len(body) > due else b""
        left = len(body) - due
        return body[:due] + (bytes((_MORE, min(left, 256) & 0xFF)) if left else sw)
