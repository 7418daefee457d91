"""Drivers are found by name: ours, and a stranger's by entry point."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from paysim.core.errors import NoReader, UsageError
from paysim.drivers import registry
from paysim.drivers.loopback import LoopbackDriver
from paysim.drivers.pcsc import Pcsc


def test_ours_are_the_entry_points_of_the_project() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = {name: f"paysim.drivers.{module}:{kind}" for name, (module, kind) in registry._OURS.items()}
    assert project["entry-points"][registry.GROUP] == ours
    assert set(ours) <= set(registry.names())


@pytest.mark.parametrize(
    ("name", "rest"),
    [("pcsc", ""), ("pcsc:ACS ACR122U", "ACS ACR122U"), ("pcsc:读卡器: 1", "读卡器: 1"), ("pcsc:", "")],
)
def test_what_stands_behind_the_colon_is_the_reader(name: str, rest: str) -> None:
    found, reader = registry.driver(name)
    assert isinstance(found, Pcsc)
    assert (found.name, reader) == ("pcsc", rest)


@pytest.mark.parametrize("name", ["", ":", "pc/sc", "PCSC", "vpcd", "loopback2:x"])
def test_an_unknown_driver_is_told_which_there_are(name: str) -> None:
    with pytest.raises(UsageError, match="loopback, nfc, pcsc, replay"):
        registry.driver(name)


def test_a_strangers_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("serial", "paysim.drivers.loopback:LoopbackDriver", registry.GROUP)

    def points(**about: Any) -> importlib.metadata.EntryPoints:
        return importlib.metadata.EntryPoints([point]).select(**about)

    monkeypatch.setattr(importlib.metadata, "entry_points", points)
    found, reader = registry.driver("serial:/dev/ttyUSB0")
    assert isinstance(found, LoopbackDriver)
    assert reader == "/dev/ttyUSB0"
    assert "serial" in registry.names()


def test_without_pyscard_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smartcard", None)
    with pytest.raises(NoReader, match=r"pip install 'paysim\[pcsc\]'"):
        Pcsc().readers()
    with pytest.raises(NoReader, match="libpcsclite-dev"):
        Pcsc().open("")
