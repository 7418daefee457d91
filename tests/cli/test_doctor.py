"""`paysim doctor`: what is there, and what installs the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paysim.cli import doctor

Run = Callable[..., Any]


def lose(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    parts = tuple(
        part._replace(found=lambda: "") if part.name in names else part._replace(found=lambda: "1.0")
        for part in doctor._PARTS
    )
    monkeypatch.setattr(doctor, "_PARTS", parts)


def test_this_machine_has_what_paysim_needs(paysim: Run) -> None:
    ran = paysim("doctor", "--json")
    assert (ran.code, ran.err, ran.json["valid"]) == (0, "", True)
    for part in ran.json["parts"]:
        assert set(part) == {"name", "found", "needed", "mend"}
        assert bool(part["found"]) != bool(part["mend"])
        assert part["found"] or not part["needed"]
    assert [part["name"] for part in ran.json["parts"] if part["needed"]] == [
        *("python", "sqlite", "msgspec", "qrcode", "pillow", "rich")
    ]


def test_everything_is_there(paysim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch)
    ran = paysim("doctor")
    assert ran.code == 0
    assert "\nall there (" in ran.out
    assert "mend it with" not in ran.out


def test_what_is_not_needed_may_be_absent(paysim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, "zxing-cpp", "zbarimg")
    ran = paysim("doctor")
    assert ran.code == 0
    assert "\ngood; not there, and not needed: zxing-cpp, zbarimg\n" in ran.out
    (line,) = [line for line in ran.out.splitlines() if line.startswith("! zxing-cpp")]
    assert line.endswith("pip install 'paysim[scan]'")


def test_what_is_needed_must_be_there(paysim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, "pillow")
    ran = paysim("doctor", "--json")
    assert (ran.code, ran.json["valid"]) == (1, False)
    lost = next(part for part in ran.json["parts"] if part["name"] == "pillow")
    assert lost == {"name": "pillow", "found": "", "needed": True, "mend": "pip install pillow"}
    assert "missing, and paysim needs it: pillow\n" in paysim("doctor").out


def test_quiet_is_the_exit_code(paysim: Run) -> None:
    assert paysim("doctor", "--quiet") == (0, "", "")


def test_what_serves_is_named_with_the_line_that_installs_it(
    paysim: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, "starlette", "uvicorn", "httpx", "node", "curl")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    ran = paysim("doctor", "--json")
    assert ran.code == 0
    mends = {part["name"]: part["mend"] for part in ran.json["parts"] if part["mend"]}
    assert mends == {
        **dict.fromkeys(("starlette", "uvicorn", "httpx"), "pip install 'paysim[serve]'"),
        "node": "sudo apt-get install nodejs",
        "curl": "sudo apt-get install curl",
    }


def test_what_reads_cards_is_named_with_the_line_that_installs_it(
    paysim: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, "nfcpy", "pyscard")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    ran = paysim("doctor", "--json")
    assert ran.code == 0
    assert {part["name"]: part["mend"] for part in ran.json["parts"] if part["mend"]} == {
        "nfcpy": "pip install 'paysim[nfc]'",
        "pyscard": "sudo apt-get install libpcsclite-dev swig gcc && pip install 'paysim[pcsc]'",
    }
    assert doctor._package("a-package-that-nobody-has")() == ""


def test_root_needs_no_sudo(paysim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, "node", "curl")
    for user, sudo in ((0, ""), (1000, "sudo ")):
        monkeypatch.setattr("os.geteuid", lambda user=user: user)
        mends = [part["mend"] for part in paysim("doctor", "--json").json["parts"] if part["mend"]]
        assert mends == [f"{sudo}apt-get install nodejs", f"{sudo}apt-get install curl"]


PROGRAMS = [
    ("echo v20.20.2", "20.20.2"),
    ("echo 'curl 7.88.1 (x86_64) libcurl/7.88.1'", "7.88.1"),
    ("exit 3", "{path}"),
    ("echo no version", "{path}"),
]


@pytest.mark.parametrize(("script", "found"), PROGRAMS)
def test_a_program_says_its_version_or_where_it_lies(
    script: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "tool"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._version("tool")() == found.format(path=program)
    assert doctor._version("other")() == ""
