"""`paysim card`: its life from start to Ctrl-C, what it keeps, wrong usage."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_shells import PAYSIM, Bench, free_udp_port, needs_nfcpy

from paysim.core.errors import ConfigError, LinkClosed, LinkTimeout, UsageError
from paysim.drivers.driver import UnfitReader
from paysim.emv.memory import Memory
from paysim.emv.profile import PROFILES
from paysim.sandbox.folder import FolderCard, holder, opened
from paysim.store import Keyring

PPSE = bytes.fromhex("00A404000E325041592E5359532E444446303100")


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "keys")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Bench]:
    needs_nfcpy()
    radio = f"nfc:udp:127.0.0.1:{free_udp_port()}"
    bench = Bench(tmp_path, radio, radio)
    yield bench
    bench.close()


# The card itself. -----------------------------------------------------------------------------------------


def initiated(card: FolderCard) -> bytes:
    """The answer to GET PROCESSING OPTIONS for 10.00 that must go online."""
    from emv_cards import reader_data

    from paysim.codec.apdu import Command

    aid = next(iter(card.card.made.fcis))
    card.respond(Command(0x00, 0xA4, 4, 0, aid, 256).encode())
    data = reader_data(card.card, ttq="26804000")
    return card.respond(Command(0x80, 0xA8, 0, 0, bytes((0x83, len(data))) + data, 256).encode())


def test_the_issuer_of_the_folder_knows_the_card(keys: Keyring) -> None:
    card = FolderCard(keys, "visa")
    with opened(keys) as sandbox:
        made = holder(sandbox).card("visa").made
    assert (card.id, card.card.made.pan, card.card.made.records) == ("alice-visa", made.pan, made.records)
    assert card.card.made.ac_key.method == made.ac_key.method


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_held(name: str, keys: Keyring) -> None:
    card = FolderCard(keys, name)
    assert card.card.made.profile.name == name
    assert repr(card) == f"FolderCard('alice-{name}')"


def test_what_a_card_remembers_is_written_before_it_answers(keys: Keyring) -> None:
    card = FolderCard(keys, "unionpay")
    assert initiated(card)[-2:] == b"\x90\x00"
    kept = keys.folder / "emv-memory-alice-unionpay.json"
    assert b'"atc":1' in kept.read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    card.close()
    again = FolderCard(keys, "unionpay")
    assert again.card.memory.atc == 1
    initiated(again)
    assert again.card.memory.atc == 2
    assert repr(again.card.memory) == repr(Memory.of(again._facts.items()))


def test_a_torn_card_remembers_what_it_did(keys: Keyring) -> None:
    card = FolderCard(keys, "unionpay", tear_at=2)
    with pytest.raises(LinkClosed):
        initiated(card)
    card.close()
    assert FolderCard(keys, "unionpay").card.memory.atc == 1


def test_one_process_holds_a_card(keys: Keyring) -> None:
    card = FolderCard(keys, "visa")
    with pytest.raises(UsageError, match="another process holds the card alice-visa"):
        FolderCard(keys, "visa")
    FolderCard(keys, "unionpay").close()
    card.close()
    card.close()
    FolderCard(keys, "visa").close()


@pytest.mark.parametrize("text", ["", "{", '{"facts": {"atc": -1}}', '{"facts": {"x": 1}}', '{"atc": 1}'])
def test_a_damaged_memory_is_named_with_the_line_that_mends_it(text: str, keys: Keyring) -> None:
    keys.put("emv-memory-alice-visa.json", text.encode())
    for _ in range(2):  # the card is not held afterwards
        with pytest.raises(ConfigError, match="for a new card: rm "):
            FolderCard(keys, "visa")


def test_a_flaky_card_fails_as_its_profile_says(keys: Keyring) -> None:
    card = FolderCard(keys, "flaky")
    failed = 0
    for _ in range(max(PROFILES["flaky"].fails)):
        try:
            card.respond(PPSE)
        except (LinkTimeout, LinkClosed):
            failed += 1
    assert failed == len(PROFILES["flaky"].fails)


# The command. ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_takes_the_card_away(number: int, shell: Bench) -> None:
    card = shell.card("visa")
    assert card.end(number) == 0
    first, second, last = card.out.splitlines()
    assert first.startswith("alice-visa 476173******")
    assert second == f"before {shell.card_driver}; Ctrl-C takes it away"
    assert last == "taken away after 0 commands, counter 0"


def test_programs_get_an_object_at_the_end(shell: Bench) -> None:
    line = (*PAYSIM, "card", "--profile", "unionpay-ecash", "--driver", shell.card_driver)
    held = shell.shell(*line, "--keys", str(shell.keys), "--json")
    tapped = shell.tap("--amount", "9.90", "--quiet")
    assert tapped.returncode == 0
    assert held.end() == 0
    assert '"card": "alice-unionpay-ecash"' in held.out
    assert '"counter": 1, "balance_minor": 9010' in held.out


def test_two_cards_at_one_place_are_told(shell: Bench) -> None:
    shell.card("visa")
    second = shell.shell(
        *PAYSIM, "card", "--profile", "unionpay", "--driver", shell.card_driver, "--keys", str(shell.keys)
    )
    assert second.child.wait(60) == 1
    assert second.out.splitlines()[-1].startswith("paysim: ")
    assert "Traceback" not in second.out


def test_no_virtual_reader_is_an_error_with_the_line_that_starts_one(paysim: Any, tmp_path: Path) -> None:
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        ran = paysim(
            "card", "--profile", "visa", "--driver", "vpcd:127.0.0.1:9", "--keys", str(tmp_path / "k")
        )
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert ran.code == 1
    assert ran.err.startswith("paysim: no virtual reader at 127.0.0.1:9")
    assert "pcscd" in ran.err


@pytest.mark.parametrize(
    "error",
    [RuntimeError("a mistake of ours"), UnfitReader("usb: this chip cannot be a card")],
    ids=["mistake", "chip"],
)
def test_what_never_gets_better_while_a_card_is_held_ends_it(error: Exception, keys: Keyring) -> None:
    from paysim.cli import card as command
    from paysim.cli.screen import Screen

    class Broken:
        def insert(self) -> None:
            pass

        def serve(self) -> None:
            raise error

        def remove(self) -> None:
            pass

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    held = FolderCard(keys, "visa")
    try:
        with pytest.raises(type(error), match=str(error)):
            command._held(Broken(), "nowhere", held, Screen(quiet=True))
    finally:
        held.close()
        for one, handler in before.items():
            signal.signal(one, handler)


def test_the_keys_folder_is_the_environments_unless_named(
    paysim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paysim.cli.card import keys_of

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYSIM_KEYS", str(tmp_path / "environment"))
    assert keys_of("").folder.name == "environment"
    assert keys_of(str(tmp_path / "named")).folder.name == "named"
    monkeypatch.delenv("PAYSIM_KEYS")
    assert os.fspath(keys_of("").folder) == ".paysim"


def test_no_such_card_is_2(paysim: Any) -> None:
    ran = paysim("card", "--profile", "gold", "--json")
    assert (ran.code, set(ran.json)) == (2, {"error"})


WRONG = [
    ((), "--profile"),
    (("--profile", "visa", "--driver", "pcsc"), "vpcd, nfc:usb or nfc:udp:HOST:PORT, not by 'pcsc'"),
    (("--profile", "visa", "--driver", "nfc"), "not by 'nfc'"),
    (("--profile", "visa", "--driver", "vpcd:x"), "vpcd:HOST:PORT"),
    (("--profile", "visa", "--driver", "vpcd:99999"), "vpcd:HOST:PORT"),
    (("--profile", "visa", "--slot", "2"), "--slot"),
    (("--profile", "visa", "--protocol", "T2"), "--protocol"),
    (("--profile", "visa", "--tear-at", "-1"), "--tear-at"),
    (("--profile", "visa", "--driver", "nfc:usb", "--slot", "1"), "--slot is the virtual reader's"),
]


@pytest.mark.parametrize(("arguments", "why"), WRONG)
def test_wrong_usage_is_one_line_and_mints_no_keys(
    arguments: tuple[str, ...], why: str, paysim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = paysim("card", *arguments)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.count("\n") == 1
    assert why in ran.err
    assert list(tmp_path.iterdir()) == []
