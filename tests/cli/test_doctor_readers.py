"""`paysim doctor` about readers: rights on USB, kernel modules, smart card service, virtual reader."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_shells import PAYSIM, needs_nfcpy
from prompt import TIMEOUT_S

from paysim.cli import doctor_readers
from paysim.cli.doctor_readers import USB_READERS, Look
from paysim.core.errors import NoReader
from paysim.drivers.shell import own
from paysim.drivers.vpcd import PORT

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


def refused(monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    from paysim.drivers.pcsc import Pcsc

    def readers(_: Pcsc) -> list[str]:
        if error:
            raise NoReader(error)
        return []

    monkeypatch.setattr(doctor_readers, "_features", lambda: "Enabled features: usb polkit\n")
    monkeypatch.setattr(Pcsc, "readers", readers)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        ("the smart card service does not run (8010001D); start it: ...", "nobody knows: the smart card"),
        ("pyscard is missing (no module); install it: ...", "nobody knows: pyscard is missing"),
        ("", "lets this user in"),
    ],
)
def test_polkit_that_refuses_nobody_is_no_fault(
    error: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(monkeypatch, error)
    look = doctor_readers.polkit()
    assert look.found.startswith(found)
    assert look.mend == ""


@pytest.mark.parametrize(
    ("folders", "file"),
    [
        (("etc/default",), "etc/default"),
        (("etc/default", "etc/sysconfig"), "etc/sysconfig"),
        ((), "etc/default"),
    ],
)
def test_polkit_that_refuses_is_switched_off_where_the_service_reads_it(
    folders: tuple[str, ...], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word of Debian 13's service, by a fake: the daemon here has no polkit."""
    from paysim.drivers.pcsc_service import REFUSED

    refused(monkeypatch, REFUSED)
    for folder in ("systemd", *folders):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(doctor_readers, "_SYSTEMD", tmp_path / "systemd")
    monkeypatch.setattr(
        doctor_readers, "_SETTINGS", tuple(tmp_path / name for name in ("etc/sysconfig", "etc/default"))
    )
    line = doctor_readers.polkit().mend
    assert f"sudo tee -a {tmp_path / file}/pcscd && sudo systemctl restart pcscd" in line
    if folders:
        typed = typed_in(tmp_path, line, "systemctl")
        assert typed == ["systemctl restart pcscd"]
        assert (tmp_path / file / "pcscd").read_text() == "PCSCD_ARGS=--disable-polkit\n"


def test_polkit_without_systemd_is_switched_off_by_starting_the_service_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paysim.drivers.pcsc_service import REFUSED

    refused(monkeypatch, REFUSED)
    monkeypatch.setattr(doctor_readers, "_SYSTEMD", tmp_path / "none")
    assert doctor_readers.polkit().mend == (
        "sudo sh -c 'kill $(cat /run/pcscd/pcscd.pid) && sleep 1' && sudo pcscd --disable-polkit"
    )


# The lines, typed in. -------------------------------------------------------------------------------------


def typed_in(folder: Path, line: str, *programs: str) -> list[str]:
    """What a shell runs of these programs, which are not there, where somebody types the line."""
    bin_folder, log = folder / "bin", folder / "log"
    bin_folder.mkdir()
    for name in programs:
        script = f'#!/bin/sh\necho "{name} $*" >>"{log}"\n'
        (bin_folder / name).write_text(script)
    (bin_folder / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    for made in bin_folder.iterdir():
        made.chmod(0o755)
    environment = {"PATH": f"{bin_folder}:/usr/bin:/bin"}
    subprocess.run(["/bin/sh", "-ec", line], env=environment, check=True, timeout=20)
    return log.read_text().splitlines() if log.exists() else []


def in_folder(line: str, folder: Path) -> str:
    """The line, with its files elsewhere than in /etc."""
    (folder / "rules.d").mkdir()
    return re.sub(r"/etc/\S+/", f"{folder}/rules.d/", line)


def test_the_line_for_a_reader_without_rights_writes_rules_that_udev_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged(tmp_path, "054c", "06c3", 5)
    plugged(tmp_path, "072f", "2200", 6)
    monkeypatch.setattr(os, "access", lambda *_: False)
    line = in_folder(doctor_readers.usb(tmp_path).mend, tmp_path)
    assert typed_in(tmp_path, line, "udevadm") == ["udevadm control --reload", "udevadm trigger"]
    rules = (tmp_path / "rules.d" / "60-paysim.rules").read_text().splitlines()
    assert len(rules) == 2
    for rule, numbers in zip(rules, (("054c", "06c3"), ("072f", "2200")), strict=True):
        pairs = [re.fullmatch(r'([A-Z]+(?:\{\w+\})?)(==|=|\+=)"([^"]+)"', part) for part in rule.split(", ")]
        assert all(pairs), rule
        said = {pair[1]: pair[3] for pair in pairs if pair}
        assert (said["ATTR{idVendor}"], said["ATTR{idProduct}"]) == numbers
        assert (said["TAG"], said["GROUP"], said["MODE"]) == ("uaccess", "plugdev", "0660")


def test_the_line_for_a_module_removes_it_and_keeps_it_away(tmp_path: Path) -> None:
    modules(tmp_path, "pn533_usb", "pn533", "nfc", "port100")
    line = in_folder(doctor_readers.kernel_modules(tmp_path).mend, tmp_path)
    assert typed_in(tmp_path, line, "modprobe") == ["modprobe -r pn533_usb port100"]
    kept = (tmp_path / "rules.d" / "paysim-nfc.conf").read_text().splitlines()
    assert kept == ["blacklist pn533_usb", "blacklist port100"]


# The virtual reader. --------------------------------------------------------------------------------------


def exposed(monkeypatch: pytest.MonkeyPatch, *, is_it: bool = True) -> None:
    from paysim.drivers import vpcd

    monkeypatch.setattr(vpcd, "exposed", lambda _: is_it)


def firewall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> Path:
    """An iptables that notes what it is asked, and answers with this exit code."""
    log, program = tmp_path / "asked", tmp_path / "iptables"
    program.write_text(f'#!/bin/sh\necho "$*" >>"{log}"\nexit {code}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return log


RULE = "INPUT ! -i lo -p tcp --dport 35963:35964 -j DROP"


def test_ports_that_others_reach_are_closed_by_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exposed(monkeypatch)
    log = firewall(tmp_path, monkeypatch, 1)
    assert doctor_readers.port() == Look("", f"sudo iptables -A {RULE}")
    assert log.read_text() == f"-C {RULE}\n"


def test_ports_that_a_rule_closes_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exposed(monkeypatch)
    firewall(tmp_path, monkeypatch, 0)
    assert doctor_readers.port() == Look("closed to others by a rule")


def test_ports_without_a_firewall_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exposed(monkeypatch)
    monkeypatch.setattr(doctor_readers, "_system_program", lambda _: None)
    assert doctor_readers.port().mend == f"sudo apt-get install iptables && sudo iptables -A {RULE}"


def test_ports_that_nobody_reaches_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    exposed(monkeypatch, is_it=False)
    assert doctor_readers.port() == Look("closed to others")


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("systemd", [True, False])
def test_a_service_that_runs_without_the_virtual_reader_ends_first(
    runs: bool, systemd: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paysim.drivers import vpcd

    by_hand = own("sudo sh -c 'mkdir -p /run/pcscd && pcscd'")
    line = "systemctl restart pcscd" if systemd else f"apt-get install vsmartcard-vpcd && {by_hand}"
    monkeypatch.setattr(vpcd, "mend", lambda: line)
    monkeypatch.setattr(doctor_readers, "_listens", lambda _: False)
    monkeypatch.setattr(doctor_readers, "_runs", lambda: runs)
    monkeypatch.setattr(doctor_readers, "_SYSTEMD", tmp_path if systemd else tmp_path / "none")
    ended = runs and not systemd
    assert doctor_readers.virtual_reader().mend == (
        line if not ended else line.replace(by_hand, f"{doctor_readers._END} && {by_hand}")
    )


@pytest.mark.parametrize(("there", "found"), [(True, "there"), (False, "")])
def test_the_library_that_nfcpy_wants_is_looked_for(
    there: bool, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: str) -> None:
        if not there:
            raise OSError("libusb-1.0.so.0: cannot open shared object file")

    monkeypatch.setattr(doctor_readers, "find_spec", lambda _: object())
    monkeypatch.setattr(doctor_readers, "import_module", load)
    assert doctor_readers.libusb() == Look(found, "" if there else "sudo apt-get install libusb-1.0-0")
    monkeypatch.setattr(doctor_readers, "find_spec", lambda _: None)
    assert doctor_readers.libusb() == Look("not asked: nfcpy is missing")


# In the real daemon's network. ----------------------------------------------------------------------------


def test_a_running_daemon_with_its_virtual_reader_is_found(daemon: Any) -> None:
    if daemon.port != PORT:
        pytest.skip("it has no network of its own here, so its virtual reader is at another port")
    done = subprocess.run(
        daemon.command(*PAYSIM, "doctor", "--json"), capture_output=True, check=True, timeout=TIMEOUT_S
    )
    found = {part["name"]: part["found"] for part in json.loads(done.stdout)["parts"]}
    assert found["pcscd"].endswith("running")
    assert found["vpcd"] == "ports 35963 and 35964"
    assert found["vpcd's port"] == "closed to others"
