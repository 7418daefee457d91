"""nfcpy, loaded when it is first needed, and the readers and radios that it opens."""

from __future__ import annotations

import logging
import warnings
from functools import cache
from typing import Any, Final

from paysim.core.errors import NoReader

__all__ = ["MEND", "PORTS", "close", "failures", "faults", "is_radio", "losses", "nfcpy", "opened"]

PORTS: Final = ("usb", "tty", "com", "udp")
"""What a reader's path begins with."""

MEND: Final = "plug it in, and see `paysim doctor` for rights and for kernel modules that hold it"


@cache
def nfcpy() -> Any:
    """The package `nfc`, which is loaded here for the first time; raises NoReader where it is missing.

    nfcpy turns all warnings of the process into log lines; that does not stay.
    """
    before = warnings.showwarning
    try:
        import nfc
        import nfc.clf
        import nfc.clf.transport
        import nfc.tag
        import nfc.tag.tt4
    except (ImportError, OSError) as error:
        raise NoReader(f"NFC readers need nfcpy ({error}): pip install 'paysim[nfc]'") from None
    finally:
        if warnings.showwarning is not before:
            logging.captureWarnings(False)
    return nfc


@cache
def failures() -> tuple[type[Exception], ...]:
    """What nfcpy raises where a frame or a card fails: its errors, its chips', and what it stumbles over.

    It stumbles where a frame is shorter than it must be.
    """
    clf = nfcpy().clf
    import nfc.clf.pn53x
    import nfc.clf.rcs380

    chips = (
        nfc.clf.pn53x.Chipset.Error,
        nfc.clf.rcs380.CommunicationError,
        nfc.clf.rcs380.StatusError,
    )
    return (clf.Error, *chips, AssertionError, AttributeError, IndexError, TypeError, ValueError)


@cache
def losses() -> tuple[type[Exception], ...]:
    """What nfcpy raises where the reader itself fails or is gone: OSError, and what it lets through.

    That is libusb's errors beside those that it knows, and the terminal's where a serial board is unplugged.
    """
    transport = nfcpy().clf.transport
    terminal = getattr(transport, "termios", None)  # not everywhere
    return (OSError, transport.libusb.USBError, *((terminal.error,) if terminal else ()))


@cache
def faults() -> tuple[type[Exception], ...]:
    """Both: `failures` and `losses`."""
    return failures() + losses()


def opened(path: str) -> Any:
    """An opened `nfc.ContactlessFrontend`. Raises NoReader, with what mends it."""
    nfc = nfcpy()
    kind = path.partition(":")[0]
    if kind not in PORTS:
        raise NoReader(f"there is no reader {path!r}; say nfc:usb, nfc:tty:USB0:pn532 or nfc:udp:HOST:PORT")
    frontend = nfc.ContactlessFrontend()
    if kind == "udp":
        from .nfc_udp import Radio

        frontend.device = Radio(*_address(path))
        return frontend
    wrong: tuple[type[Exception], ...] = (*faults(), ImportError)
    try:
        found = frontend.open(path)
    except wrong as error:
        raise NoReader(f"{path} cannot be opened ({error}); {MEND}") from None
    if not found:
        raise NoReader(f"no reader at {path}; {MEND}")
    return frontend


def close(frontend: Any) -> None:
    """Let go of a reader, even of one that is gone."""
    try:
        frontend.close()
    except faults():
        frontend.device = None  # nfcpy lets go of the device only where OSError is all that goes wrong


def _address(path: str) -> tuple[str, int]:
    """Host and port of udp:HOST:PORT."""
    from .nfc_udp import PORT

    _, _, rest = path.partition(":")
    host, _, port = rest.partition(":")
    number = port or str(PORT)
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:6]) <= 65_535):
        raise NoReader(f"{path!r} names no port; say nfc:udp:HOST:PORT, as in nfc:udp:localhost:{PORT}")
    return host or "localhost", int(number)


def is_radio(path: str) -> bool:
    """Whether a path names nfcpy's radio over UDP, and no chip."""
    return path.partition(":")[0] == "udp"
