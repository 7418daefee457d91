"""`paysim readers`: what is there, what comes and goes, and no card is touched."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_shells import PAYSIM, Bench, Shell, free_udp_port, needs_nfcpy

from paysim.core.errors import NoReader
from paysim.drivers import pcsc_status
from paysim.drivers.pcsc_status import Slot

ATR = bytes.fromhex("3B80800101")


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    running = request.getfixturevalue("daemon")
    made = Bench(tmp_path, f"vpcd:{running.port}", f"pcsc:{running.names[0]}", running.command)
    yield made
    made.close()


def see(monkeypatch: pytest.MonkeyPatch, *slots: Slot) -> None:
    monkeypatch.setattr(pcsc_status, "slots", lambda: list(slots))


def test_readers_and_cards_are_listed(paysim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    see(
        monkeypatch,
        Slot("ACS ACR122U 00 00", ATR, held=False),
        Slot("读卡器 01", None, held=False),
        Slot("Deaf", b"", held=True),
    )
    ran = paysim("readers", "--driver", "pcsc", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["readers"] == [
        {
            "reader": "pcsc:ACS ACR122U 00 00",
            "card": {"kind": "iso14443-4", "uid": "", "atr": "3B80800101"},
            "trouble": "",
        },
        {"reader": "pcsc:读卡器 01", "card": None, "trouble": ""},
        {
            "reader": "pcsc:Deaf",
            "card": {"kind": "a card that does not answer, held by another program", "uid": "", "atr": ""},
            "trouble": "",
        },
    ]
    shown = paysim("readers", "--driver", "pcsc:acr122").out
    assert "pcsc:ACS ACR122U 00 00  iso14443-4       3B80800101" in shown
    assert "Deaf" not in shown


def test_no_reader_is_1_and_says_what_mends_it(paysim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> list[Slot]:
        raise NoReader("the smart card service does not run; start it: pcscd")

    monkeypatch.setattr(pcsc_status, "slots", nobody)
    ran = paysim("readers", "--driver", "pcsc")
    assert ran.code == 1
    assert ran.out == "no reader\n  pcsc: the smart card service does not run; start it: pcscd\n"
    see(monkeypatch)
    assert paysim("readers", "--driver", "pcsc", "--json").json == {
        "readers": [],
        "troubles": {"pcsc": "no reader is plugged in"},
    }


def test_a_reader_that_is_named_and_not_there_is_none(paysim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, Slot("ACS ACR122U 00 00", None, held=False))
    ran = paysim("readers", "--driver", "pcsc:omnikey")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out == (
        "no reader\n  pcsc:omnikey: no reader has 'omnikey' in its name; there are ACS ACR122U 00 00\n"
    )
    needs_nfcpy()
    ran = paysim("readers", "--driver", "nfc:usb:nowhere", "--json")
    assert (ran.code, ran.json["readers"]) == (1, [])
    assert "no reader at usb:nowhere" in ran.json["troubles"]["nfc:usb:nowhere"]
    mixed = paysim("readers", "--driver", "nfc:usb:nowhere", "--driver", "pcsc", "--json")
    assert (mixed.code, len(mixed.json["readers"])) == (0, 1)


def test_a_driver_that_does_not_exist_is_wrong_usage(paysim: Any) -> None:
    ran = paysim("readers", "--driver", "bluetooth")
    assert (ran.code, ran.out, ran.err.count("\n")) == (64, "", 1)


def test_a_radio_is_a_reader(tmp_path: Path) -> None:
    needs_nfcpy()
    radio = f"nfc:udp:127.0.0.1:{free_udp_port()}"
    bench = Bench(tmp_path, radio, radio)
    try:
        watch = bench.shell(*PAYSIM, "readers", "--watch", "--json", "--driver", radio)
        watch.until('"event": "reader"')
        card = bench.card("visa")
        watch.until('"event": "card"')
        card.end()
        watch.until('"event": "card gone"')
        assert watch.end() == 130
        events = told(watch)
        assert [one["event"] for one in events] == ["reader", "card", "card gone"]
        assert events[1]["card"]["uid"].startswith("08")
    finally:
        bench.close()


def told(watch: Shell) -> list[dict[str, Any]]:
    return [json.loads(line) for line in watch.out.splitlines() if line.startswith("{")]


def test_watching_shows_what_comes_and_goes_and_holds_no_card(bench: Bench) -> None:
    watch = bench.shell(*PAYSIM, "readers", "--watch", "--driver", bench.reader)
    watch.until(f"{bench.reader}: no card")
    card = bench.card("unionpay")
    watch.until(f"{bench.reader}: iso14443-4 3B80800101")
    assert bench.tap("--amount", "9.90", "--quiet").returncode == 0
    assert card.end() == 0
    watch.until(f"{bench.reader}: no card", 2)
    assert watch.end(signal.SIGINT) == 130
    assert "Traceback" not in watch.out
