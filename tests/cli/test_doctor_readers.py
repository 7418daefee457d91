"""`paysim doctor` about readers: rights on USB, kernel modules, smart card service, virtual reader."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from bench_shells import needs_nfcpy

from paysim.cli import doctor_readers
from paysim.cli.doctor_readers import USB_READERS, Look

linux = pytest.mark.skipif(sys.platform != "linux", reason="the files of Linux")


def plugged(root: Path, vendor: str, product: str, at: int, mode: int = 0o600) -> None:
    """A USB device as /sys and /dev show it."""
    folder = root / f"sys/bus/usb/devices/1-{at}"
    folder.mkdir(parents=True)
    for name, text in (("idVendor", vendor), ("idProduct", product), ("busnum", "1"), ("devnum", str(at))):
        (folder / name).write_text(f"{text}\n")
    node = root / f"dev/bus/usb/001/{at:03}"
    node.parent.mkdir(parents=True, exist_ok=True)
    node.touch()
    node.chmod(mode)


def test_no_reader_is_no_fault(tmp_path: Path) -> None:
    plugged(tmp_path, "1d6b", "0002", 1)
    (tmp_path / "sys/bus/usb/devices/usb1").mkdir()
    assert doctor_readers.usb(tmp_path) == Look("no reader plugged in")


def test_readers_are_named_with_their_places(tmp_path: Path) -> None:
    plugged(tmp_path, "054c", "06c3", 5)
    plugged(tmp_path, "04e6", "5591", 7)
    assert doctor_readers.usb(tmp_path) == Look("RC-S380 001:005, SCL3711 (PN533) 001:007")


def test_a_reader_without_rights_gets_a_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugged(tmp_path, "054c", "06c3", 5)
    monkeypatch.setattr(os, "access", lambda *_: False)
    look = doctor_readers.usb(tmp_path)
    assert look.found == ""
    assert 'ATTR{idVendor}=="054c", ATTR{idProduct}=="06c3"' in look.mend
    assert look.mend.count("\n") == 0


def test_the_table_is_nfcpys() -> None:
    needs_nfcpy()
    from paysim.drivers.nfc_frontend import nfcpy

    assert set(nfcpy().clf.device.usb_device_map) == set(USB_READERS)


def modules(root: Path, *names: str) -> None:
    (root / "proc").mkdir()
    rows = [f"{name} 16384 0 - Live 0x0000000000000000\n" for name in names]
    (root / "proc/modules").write_text("".join(rows))


@pytest.mark.parametrize("names", [(), ("usbcore", "nfc")])
def test_modules_that_hold_no_reader_are_no_fault(names: tuple[str, ...], tmp_path: Path) -> None:
    modules(tmp_path, *names)
    assert doctor_readers.kernel_modules(tmp_path) == Look("leave readers alone")


def test_no_list_of_modules_is_no_fault(tmp_path: Path) -> None:
    assert doctor_readers.kernel_modules(tmp_path).found


def test_a_module_that_grabs_readers_is_named_with_what_removes_it(tmp_path: Path) -> None:
    modules(tmp_path, "usbcore", "pn533_usb", "pn533", "nfc")
    look = doctor_readers.kernel_modules(tmp_path)
    assert look.found == ""
    assert look.mend.startswith("sudo modprobe -r pn533_usb; ")
    assert "'blacklist pn533_usb'" in look.mend
    assert "port100" not in look.mend


# The smart card service. ----------------------------------------------------------------------------------


@linux
def test_a_service_that_does_not_run_is_started_by_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCSCLITE_CSOCK_NAME", str(tmp_path / "none"))
    look = doctor_readers.service()
    assert look.found == ""
    assert "pcscd" in look.mend
    assert not look.mend.startswith("start it")


@linux
def test_a_service_that_answers_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "s")
    monkeypatch.setenv("PCSCLITE_CSOCK_NAME", path)
    monkeypatch.setattr(doctor_readers, "_features", lambda: "pcsc-lite version 2.3.3.\n")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path)
        one.listen()
        assert doctor_readers.service() == Look("2.3.3, running")


def test_a_service_without_polkit_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_readers, "_features", lambda: "Enabled features: usb libudev\n")
    assert doctor_readers.polkit() == Look("not asked here")


@pytest.mark.parametrize(
    ("error", "found", "mend"),
    [
        ("the smart card service refuses this user; start it with ...", "", "--disable-polkit"),
        ("the smart card service does not run", "nobody knows: pcscd does not answer", ""),
        ("", "lets this user in", ""),
    ],
)
def test_polkit_that_refuses_is_switched_off_by_the_line(
    error: str, found: str, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paysim.core.errors import NoReader
    from paysim.drivers.pcsc import Pcsc

    def readers(_: Pcsc) -> list[str]:
        if error:
            raise NoReader(error)
        return []

    monkeypatch.setattr(doctor_readers, "_features", lambda: "Enabled features: usb polkit\n")
    monkeypatch.setattr(Pcsc, "readers", readers)
    look = doctor_readers.polkit()
    assert look.found == found
    assert mend in look.mend


@pytest.mark.parametrize("exposed", [True, False])
def test_a_port_that_others_reach_is_closed_by_the_line(
    exposed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paysim.drivers import vpcd

    monkeypatch.setattr(vpcd, "exposed", lambda _: exposed)
    assert ("iptables" in doctor_readers.port().mend) == exposed
