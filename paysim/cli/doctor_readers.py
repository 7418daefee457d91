"""What `paysim doctor` says of card readers: the smart card service, the virtual reader, USB, the kernel.

Each look gives what was found, or nothing and the line that mends it. `root` is where the machine's files
lie.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from paysim.core.errors import NoReader
from paysim.drivers.shell import own

__all__ = [
    "USB_READERS",
    "Look",
    "kernel_modules",
    "libusb",
    "polkit",
    "port",
    "service",
    "usb",
    "virtual_reader",
]

USB_READERS: Final[Mapping[tuple[int, int], str]] = {
    (0x054C, 0x0193): "PN531",
    (0x04CC, 0x0531): "PN531",
    (0x04CC, 0x2533): "PN533",
    (0x04E6, 0x5591): "SCL3711 (PN533)",
    (0x04E6, 0x5593): "SCL3712 (PN533)",
    (0x054C, 0x02E1): "RC-S330 (RC-S956)",
    (0x054C, 0x06C1): "RC-S380",
    (0x054C, 0x06C3): "RC-S380",
    (0x072F, 0x2200): "ACR122U",
}
"""Make and model of the USB readers that nfcpy drives. Source: nfcpy 1.0.4, nfc/clf/device.py"""

MODULES: Final = ("pn533_usb", "port100", "pn533", "nfc")
"""Kernel modules that take such a reader for themselves, those that hold others up first."""

_BINDING: Final = ("pn533_usb", "port100")
_SOCKET: Final = "/run/pcscd/pcscd.comm"
_SYSTEMD: Final = Path("/run/systemd/system")
_SETTINGS: Final = (Path("/etc/sysconfig"), Path("/etc/default"))
"""Where a distribution keeps a service's arguments: Fedora's way, Debian's. Assumed: none has both"""
_END: Final = "sudo sh -c 'kill $(cat /run/pcscd/pcscd.pid) && sleep 1'"
"""Ends a service that nothing else minds."""
_VERSION: Final = re.compile(r"version ([0-9.]+[0-9])")
_PATIENCE_S: Final = 5.0
_ROOT: Final = Path("/")


class Look(NamedTuple):
    """What was found, or the line that mends its absence; one of them is empty."""

    found: str
    mend: str = ""


def service() -> Look:
    """The smart card service: whether it runs. Source: pcsc-lite (its socket's name)"""
    from paysim.drivers.pcsc import mend

    line = mend().removeprefix("start it: ")
    if not sys.platform.startswith("linux"):
        return Look("part of the system")
    if not _runs():
        return Look("", line)
    version = _VERSION.search(_features())
    return Look(f"{version[1]}, running" if version else "running")


def polkit() -> Look:
    """Whether this user may use the service. Assumed: pcsc-lite 2 asks polkit, which knows no user of ssh"""
    if "polkit" not in _features():
        return Look("not asked here")
    from paysim.drivers.pcsc import Pcsc

    try:
        Pcsc().readers()
    except NoReader as error:
        why = str(error)
    else:
        return Look("lets this user in")
    if "refuses" not in why:
        return Look(f"nobody knows: {why.partition(';')[0]}")
    if not _SYSTEMD.exists():
        return Look("", f"{_END} && sudo pcscd --disable-polkit")
    where = next(filter(Path.is_dir, _SETTINGS), _SETTINGS[-1]) / "pcscd"
    said = f"echo PCSCD_ARGS=--disable-polkit | sudo tee -a {where}"
    return Look("", f"{said} && sudo systemctl restart pcscd")


def virtual_reader() -> Look:
    """vsmartcard's reader, by its port."""
    from paysim.drivers.vpcd import PORT, mend

    if _listens(PORT):
        return Look(f"ports {PORT} and {PORT + 1}")
    line = mend()
    if _runs() and not _SYSTEMD.exists():  # it looks for readers when it starts
        install, by_hand, rest = line.partition(own("sudo sh -c"))
        line = f"{install}{_END} && {by_hand}{rest}" if by_hand else line
    return Look("", line)


def port() -> Look:
    """Whether others reach the virtual reader over the network; root knows what a firewall drops."""
    from paysim.drivers.vpcd import PORT, exposed

    if not exposed(PORT):
        return Look("closed to others")
    rule = f"INPUT ! -i lo -p tcp --dport {PORT}:{PORT + 1} -j DROP"
    iptables = _system_program("iptables")
    if iptables and _succeeds(iptables, "-C", *rule.split()):
        return Look("closed to others by a rule")
    install = "" if iptables else "sudo apt-get install iptables && "
    return Look("", f"{install}sudo iptables -A {rule}")


def libusb() -> Look:
    """The library by which nfcpy speaks to USB readers; pip does not install it."""
    if find_spec("usb1") is None:
        return Look("not asked: nfcpy is missing")
    try:
        import_module("usb1")
    except OSError:
        return Look("", "sudo apt-get install libusb-1.0-0")
    return Look("there")


def usb(root: Path = _ROOT) -> Look:
    """The USB readers that nfcpy drives, and whether this user may use them.

    The rule lets in who sits at the machine, and the group plugdev. Assumed: as Debian's own rules do
    """
    named: list[str] = []
    rules: list[str] = []
    for vendor, product, bus, at in _devices(root):
        name = USB_READERS.get((vendor, product))
        if name is None:
            continue
        named.append(f"{name} {bus:03}:{at:03}")
        if not os.access(root / f"dev/bus/usb/{bus:03}/{at:03}", os.R_OK | os.W_OK):
            rules.append(
                f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vendor:04x}", ATTR{{idProduct}}=="{product:04x}", '
                'MODE="0660", GROUP="plugdev", TAG+="uaccess"'
            )
    if rules:
        lines = " ".join(f"'{rule}'" for rule in sorted(set(rules)))
        return Look(
            "",
            f"printf '%s\\n' {lines} | sudo tee /etc/udev/rules.d/60-paysim.rules "
            "&& sudo udevadm control --reload && sudo udevadm trigger",
        )
    return Look(", ".join(named) or "no reader plugged in")


def kernel_modules(root: Path = _ROOT) -> Look:
    """Whether the kernel's own NFC drivers hold the readers. Source: nfcpy's documentation"""
    try:
        rows = (root / "proc/modules").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        rows = []
    loaded = {row.split(" ", 1)[0] for row in rows}
    there = [name for name in MODULES if name in loaded]
    if not any(name in _BINDING for name in there):
        return Look("leave readers alone")
    binding = [name for name in there if name in _BINDING]
    lines = " ".join(f"'blacklist {name}'" for name in binding)
    return Look(
        "",
        f"sudo modprobe -r {' '.join(binding)}; printf '%s\\n' {lines} "
        "| sudo tee /etc/modprobe.d/paysim-nfc.conf",
    )


def _devices(root: Path) -> Iterator[tuple[int, int, int, int]]:
    """Vendor, product, bus and device of everything on USB that says them."""
    for folder in sorted((root / "sys/bus/usb/devices").glob("*")):
        try:
            vendor, product = (int((folder / name).read_text(), 16) for name in ("idVendor", "idProduct"))
            bus, at = (int((folder / name).read_text()) for name in ("busnum", "devnum"))
        except (OSError, ValueError):
            continue
        yield vendor, product, bus, at


def _features() -> str:
    """What pcscd says of itself; empty where there is none."""
    path = _system_program("pcscd")
    done = _ran(path, "--version") if path else None
    return done.stdout if done else ""


def _system_program(name: str) -> str | None:
    """Where a program lies that may be for root alone."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _succeeds(*line: str) -> bool:
    done = _ran(*line)
    return done is not None and done.returncode == 0


def _ran(*line: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(  # noqa: S603  # the system's own programs
            line, capture_output=True, timeout=_PATIENCE_S, check=False, encoding="utf-8", errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _runs() -> bool:
    """Whether the smart card service answers."""
    return _answers(os.environ.get("PCSCLITE_CSOCK_NAME") or _SOCKET)


def _answers(path: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(_PATIENCE_S)
            one.connect(path)
    except OSError:
        return False
    return True


def _listens(number: int) -> bool:
    """Whether something listens at this port; asked of the kernel where it tells, for a knock is a card."""
    end = f":{number:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        if any(row.split()[1].endswith(end) and row.split()[3] == "0A" for row in rows):
            return True
    return False
