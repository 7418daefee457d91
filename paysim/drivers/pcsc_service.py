"""The machine's smart card service (PC/SC), by pyscard: its functions, its errors in words, what starts it.

pyscard (extra `pcsc`) is imported when the service is first asked for something.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from paysim.core.errors import NoReader

from .shell import own

__all__ = [
    "DENIED",
    "EMPTY",
    "GONE",
    "NOT_TRANSACTED",
    "REFUSED",
    "SHARING_VIOLATION",
    "TIMEOUT",
    "UNKNOWN_READER",
    "UNRESPONSIVE",
    "USELESS",
    "code_of",
    "context",
    "functions",
    "is_installed",
    "listed",
    "mend",
    "spoken",
    "words",
]

# Source: winscard.h (PC/SC part 5)
_INVALID_HANDLE: Final = 0x80100003
UNKNOWN_READER: Final = 0x80100009
TIMEOUT: Final = 0x8010000A
SHARING_VIOLATION: Final = 0x8010000B
EMPTY: Final = 0x8010000C
_PROTOCOL: Final = 0x8010000F
NOT_TRANSACTED: Final = 0x80100016
_READER_UNAVAILABLE: Final = 0x80100017
_NO_READERS: Final = 0x8010002E
_UNRESPONSIVE: Final = 0x80100066
_UNPOWERED: Final = 0x80100067
DENIED: Final = 0x8010006A
GONE: Final = frozenset((UNKNOWN_READER, _READER_UNAVAILABLE, _NO_READERS))
"""The reader is not there any more."""
UNRESPONSIVE: Final = frozenset((_UNRESPONSIVE, _UNPOWERED))
"""The service has given the card up: a reset has failed."""
USELESS: Final = UNRESPONSIVE | {_PROTOCOL}
"""There is a card, and it cannot be spoken to."""

_WORDS: Final = {
    0x80100004: "the command is longer than PC/SC carries",
    0x80100008: "the answer is longer than PC/SC carries",
    _PROTOCOL: "the card speaks neither T=0 nor T=1",
    0x80100013: "the smart card service is gone",
    0x8010001D: "the smart card service is gone",
    0x8010001E: "the smart card service has stopped",
    0x8010002F: "the card does not answer as it should",
    0x80100065: "the reader and the card do not understand each other",
    0x80100068: "another program has reset the card",
    0x80100069: "the card left the field",
    NOT_TRANSACTED: "the card left the field in the middle of a command",
    EMPTY: "there is no card in the field",
    _UNRESPONSIVE: "the card does not answer to a reset",
    _UNPOWERED: "the card has no power",
    _READER_UNAVAILABLE: "the reader is gone",
    UNKNOWN_READER: "the reader is gone",
    _INVALID_HANDLE: "the smart card service has been restarted",
    SHARING_VIOLATION: "another program holds the card",
    DENIED: "the smart card service refuses this user",
}

REFUSED: Final = "the smart card service refuses this user; start it with: pcscd --disable-polkit"
"""Assumed: polkit's word, where pcsc-lite is built with it."""

_RENAME: Final = "give the reader another one: FRIENDLYNAME in /etc/reader.conf.d"
_PROGRAMS: Final = ("/usr/sbin/pcscd", "/usr/bin/pcscd", "/usr/local/sbin/pcscd")


def functions() -> Any:
    """The service's functions. Raises NoReader, with the line that installs them."""
    try:
        from smartcard import scard
    except ImportError as error:
        raise NoReader(
            f"pyscard is missing ({error}); install it: "
            + own("sudo apt-get install libpcsclite-dev swig gcc && pip install 'paysim[pcsc]'")
        ) from None
    return scard


def code_of(result: int) -> int:
    """What a function returned, without its sign; 0 for good."""
    return result & 0xFFFFFFFF


def words(code: int) -> str:
    """A code in words.

    >>> words(0x80100069), words(0x80100001)
    ('the card left the field (80100069)', 'the smart card service says 80100001')
    """
    known = _WORDS.get(code)
    return f"{known} ({code:08X})" if known else f"the smart card service says {code:08X}"


def context(scard: Any) -> int:
    """A context of the service. Raises NoReader, with the line that starts it."""
    result, made = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    code = code_of(result)
    if code == DENIED:
        raise NoReader(REFUSED)
    if code:
        raise NoReader(f"the smart card service does not run ({code:08X}); {mend()}")
    return int(made)


def listed(scard: Any, context: int) -> list[str]:
    """The readers' names. Raises NoReader where the service does not say, or pyscard cannot."""
    try:
        result, names = scard.SCardListReaders(context, [])
    except (SystemError, UnicodeError):  # pyscard's, with the other for its cause
        raise NoReader(f"pyscard cannot read the readers' names: one is not UTF-8; {_RENAME}") from None
    code = code_of(result)
    if code == DENIED:
        raise NoReader(REFUSED)
    if code and code != _NO_READERS:
        raise NoReader(f"the smart card service does not answer ({code:08X}); {mend()}")
    return list(names)


def spoken(names: list[str]) -> list[str]:
    """Those of these readers that pyscard can speak to: it takes names in ASCII. Raises NoReader for none.

    >>> spoken(["ACS ACR122U 00 00", "读卡器 00 00"])
    ['ACS ACR122U 00 00']
    """
    found = [name for name in names if name.isascii()]
    if names and not found:
        raise NoReader(f"pyscard takes no name that is not ASCII ({', '.join(names)}); {_RENAME}")
    return found


def is_installed() -> bool:
    """Whether pcscd is on this machine."""
    return any(Path(name).exists() for name in _PROGRAMS)


def mend() -> str:
    """The line that starts the service here."""
    if sys.platform == "win32":
        return "start it: sc start SCardSvr"
    if sys.platform == "darwin":
        return "plug a reader in: the service starts with it"
    install = "" if is_installed() else "sudo apt-get install pcscd && "
    if Path("/run/systemd/system").exists():
        return own(f"start it: {install}sudo systemctl start pcscd.socket")
    return own(f"start it: {install}sudo sh -c 'mkdir -p /run/pcscd && pcscd'")
