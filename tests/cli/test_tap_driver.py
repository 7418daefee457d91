"""`paysim card` and `paysim tap --driver` in two processes: over nfcpy's radio, and over the real pcscd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_shells import Bench, free_udp_port, needs_nfcpy

from paysim.core.errors import LinkClosed, LinkTimeout, NoReader
from paysim.drivers import session
from paysim.drivers.driver import Present
from paysim.emv.card import Card
from paysim.sandbox.folder import FolderCard, opened
from paysim.store import Keyring


@pytest.fixture(params=["nfc:udp", "vpcd"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Two shells: a card in one, a terminal in the other."""
    if request.param == "vpcd":
        running = request.getfixturevalue("daemon")
        made = Bench(tmp_path, f"vpcd:{running.port}", f"pcsc:{running.names[0]}", running.command)
    else:
        needs_nfcpy()
        radio = f"nfc:udp:127.0.0.1:{free_udp_port()}"
        made = Bench(tmp_path, radio, radio)
    yield made
    made.close()


@pytest.mark.parametrize("profile", ["visa", "unionpay", "unionpay-ecash"])
def test_a_card_in_one_shell_pays_in_another_and_its_counter_goes_on(profile: str, bench: Bench) -> None:
    for counter in (1, 2):
        card = bench.card(profile)
        tapped = bench.tap("--amount", "12.80", "--json")
        assert tapped.returncode == 0, tapped.stderr + card.out
        found = json.loads(tapped.stdout)
        assert (found["state"], found["outcome"], found["amount_minor"]) == ("CAPTURED", "approved", 1280)
        taps = [event["data"]["tap"] for event in found["events"] if "tap" in event["data"]]
        assert taps[0]["counter"] == counter
        assert card.end() == 0
        assert f"counter {counter}\n" in card.out.splitlines(keepends=True)[-1]
    with opened(Keyring(bench.keys)) as sandbox:
        assert set(sandbox.sums().values()) == {0}
        assert sandbox.verify().orders == 2


def test_people_see_each_command_and_no_card_number(bench: Bench) -> None:
    card = bench.card("visa")
    tapped = bench.tap("--amount", "9.90", "--trace")
    assert "hold a card to the reader" in tapped.stdout
    assert ": paid (approved)\n" in tapped.stdout
    assert "  card        counter 1\n" in tapped.stdout
    assert "> GET PROCESSING OPTIONS" in card.out
    with opened(Keyring(bench.keys)) as sandbox:
        pan = sandbox.person("Alice").card("visa").made.pan
    assert pan not in tapped.stdout + card.out


def test_a_card_that_is_torn_out_is_held_there_again_and_pays_once(bench: Bench) -> None:
    card = bench.card("unionpay", "--tear-at", "5")
    tapped = bench.tap("--amount", "9.90", "--json")
    assert tapped.returncode == 0, tapped.stderr + card.out
    assert json.loads(tapped.stdout)["state"] == "CAPTURED"
    assert "torn out of the field" in card.out
    with opened(Keyring(bench.keys)) as sandbox:
        assert sandbox.person("Alice").balance().minor == 100_000_00 - 990


def test_a_recorded_payment_is_replayed_as_it_was(bench: Bench, paysim: Any, tmp_path: Path) -> None:
    bench.card("unionpay")
    path = tmp_path / "tap.jsonl"
    assert bench.tap("--amount", "9.90", "--record", str(path)).returncode == 0
    assert paysim("tap", "--replay", str(path), "--json").json["differences"] == []


def test_without_an_amount_a_card_is_only_read(bench: Bench) -> None:
    card = bench.card("visa")
    tapped = bench.tap("--json")
    assert tapped.returncode == 3, tapped.stderr
    found = json.loads(tapped.stdout)
    assert (found["outcome"], found["card"]["ours"]) == ("read", True)
    assert card.end() == 0
    assert "counter 0\n" in card.out.splitlines(keepends=True)[-1]


def test_a_card_of_another_folder_has_other_keys_and_is_declined(bench: Bench) -> None:
    bench.card("visa")
    tapped = bench.tap("--amount", "9.90", "--keys", str(bench.folder / "others"))
    assert tapped.returncode == 1
    assert "not paid (the cryptogram" in tapped.stdout
    assert "give the --keys of `paysim card`" in tapped.stdout


def test_nobody_comes(bench: Bench) -> None:
    tapped = bench.tap("--amount", "9.90", "--wait", "0.2", "--json")
    where = f"; `paysim card --profile visa --driver {bench.reader}` holds one there"
    text = "no card came within 0.2 seconds" + (where if bench.reader.startswith("nfc:udp:") else "")
    assert (tapped.returncode, json.loads(tapped.stdout)) == (2, {"error": text})


# A reader in this process. --------------------------------------------------------------------------------


class Link:
    decisions = ()

    def __init__(self, card: Any) -> None:
        self.card = card
        self.commands: list[bytes] = []

    def transceive(self, data: bytes) -> bytes:
        self.commands.append(data)
        answer: bytes = self.card.respond(data)
        return answer


class Scripted:
    """A driver whose field gives what it is told, one thing a `wait`."""

    name = "scripted"

    def __init__(self, *comes: Any) -> None:
        self.comes = list(comes)
        self.reader = "a bench"
        self.closed = False

    def readers(self) -> list[str]:
        return [self.reader]

    def open(self, reader: str = "") -> Scripted:
        return self

    def wait(self, timeout_s: float) -> Present | None:
        if not self.comes:
            return None
        came = self.comes.pop(0)
        if isinstance(came, Exception):
            raise came
        return came

    def removed(self, timeout_s: float) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


class Stranger:
    """A card of ours without our mark."""

    def __init__(self, card: Card) -> None:
        self.card = card

    def respond(self, command: bytes) -> bytes:
        return self.card.respond(command).replace(b"paysim", b"stamps")


@pytest.fixture
def meets(monkeypatch: pytest.MonkeyPatch, paysim: Any, tmp_path: Path) -> Any:
    """Runs `paysim tap --driver scripted` before these presents."""

    def run(*comes: Any, more: tuple[str, ...] = (), amount: str = "9.90") -> Any:
        made = Scripted(*comes)
        monkeypatch.setattr("paysim.cli.tap_driver.driver", lambda name: (made, ""))
        asked = ("--amount", amount) if amount else ()
        ran = paysim("tap", "--driver", "scripted", *asked, "--wait", "0.5", *more)
        assert made.closed
        return ran

    monkeypatch.chdir(tmp_path)
    return run


def stranger(profile: str = "visa") -> Link:
    from emv_cards import card

    return Link(Stranger(card(profile)))


def test_a_stranger_is_read_and_not_charged(meets: Any, tmp_path: Path) -> None:
    link = stranger()
    ran = meets(Present(link))
    assert ran.code == 3
    assert {command[1] for command in link.commands} <= {0xA4, 0xCA, 0xB2}
    for line in (
        "a stranger's card, iso14443-4: its number is in nothing that was read; read, and nothing charged",
        "  VISA CREDIT A0000000031010: priority 1; kernel 3; its records answer 6985 before GPO",
        "  done      SELECT: its directory (PPSE), 1 listed",
        "  not done  no GET PROCESSING OPTIONS (--allow-gpo): the card's counter has not risen",
    ):
        assert line in ran.out.split("\n")
    assert not (tmp_path / ".paysim").exists()


def test_gpo_is_announced_before_it_is_asked(meets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    class Listening(Link):
        def transceive(self, data: bytes) -> bytes:
            if data[1] == 0xA8:
                said.append(capsys.readouterr().out)
            return super().transceive(data)

    link = Listening(stranger().card)
    ran = meets(Present(link), more=("--allow-gpo", "--trace"))
    assert ran.code == 3
    [before] = said
    assert "the card's transaction counter rises by one" in before
    cryptogram = link.card.card.memory.atc
    assert cryptogram == 1
    assert "9F26  Application Cryptogram: not kept" in ran.out


@pytest.mark.parametrize("silent", ["--json", "--quiet"])
def test_gpo_is_announced_on_stderr_where_stdout_is_for_programs(silent: str, meets: Any) -> None:
    ran = meets(Present(stranger()), more=("--allow-gpo", silent))
    assert "the card's transaction counter rises by one" in ran.err
    assert "rises by one" not in ran.out


def test_a_strangers_number_is_masked_unless_it_is_to_be_kept(meets: Any) -> None:
    from emv_cards import made

    pan = made("visa").pan
    for more in ((), ("--trace",), ("--json", "--trace")):
        ran = meets(Present(stranger()), more=("--allow-gpo", *more))
        assert pan not in ran.out
        assert f"{pan[:6]}******{pan[-4:]}" in ran.out
    assert pan in meets(Present(stranger()), more=("--allow-gpo", "--keep-pan")).out


def test_a_stranger_is_recorded_with_times_and_its_number_masked_and_read_again(
    meets: Any, paysim: Any, tmp_path: Path
) -> None:
    from emv_cards import made

    pan, path = made("visa").pan, tmp_path / "stranger.jsonl"
    ran = meets(Present(stranger()), amount="", more=("--allow-gpo", "--record", str(path)))
    assert ran.out.endswith(f"\nrecorded in {path}, its number masked\n")
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert (pan in text, f"{pan[:6]}******{pan[-4:]}" in text) == (False, True)
    found = session.decode(text)
    assert isinstance(found, session.CardRecord)
    times = [one.at_us for one in found.trace]
    assert times == sorted(times)
    assert times[-1] > 0
    assert b"\x9f\x26\x08" + bytes(8) in b"".join(one.data for one in found.trace)  # no cryptogram is kept
    again = paysim("tap", "--replay", str(path), "--strict")
    assert again.code == 3
    said = ran.out.split("\n\nrecorded")[0].splitlines()
    assert "rises by one" in said[1]  # which a record's counter does no more
    assert said[2:] == again.out.splitlines()


def test_a_record_that_lacks_a_command_says_where_it_differs(meets: Any, paysim: Any, tmp_path: Path) -> None:
    path = tmp_path / "stranger.jsonl"
    meets(Present(stranger()), amount="", more=("--record", str(path)))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5] + lines[7:]))  # the first GET DATA is not there
    again = paysim("tap", "--replay", str(path))
    assert again.code == 1
    assert "  differs   command 3: the command: recorded 80CA9F1300, now 80CA9F3600\n" in again.out
    assert "    records after it" not in again.out
    strict = paysim("tap", "--replay", str(path), "--strict")
    assert strict.code == 1
    assert "  ended     early: the card left the field\n" in strict.out


def test_a_record_of_a_stranger_with_its_number_is_read_as_it_was(
    meets: Any, paysim: Any, tmp_path: Path
) -> None:
    path = tmp_path / "stranger.jsonl"
    more = ("--allow-gpo", "--keep-pan", "--json", "--record", str(path))
    ran = meets(Present(stranger()), amount="", more=more)
    assert ran.json["card"]["pan"] in path.read_text()
    again = paysim("tap", "--replay", str(path), "--strict", "--json", "--keep-pan")
    assert again.code == 3
    assert again.json["card"] == ran.json["card"]
    assert again.json["differences"] == []


def test_certificates_are_checked_by_a_file_of_ca_keys(meets: Any, tmp_path: Path) -> None:
    from emv_cards import scheme

    from paysim.crypto.ca_keys import encode_ca_keys

    path = tmp_path / "ca.json"
    path.write_text(encode_ca_keys([scheme("visa").ca_key]))
    ran = meets(Present(stranger()), more=("--allow-gpo", "--ca-keys", str(path)))
    assert "    issuer certificate: good: by the CA key A000000003 index F1" in ran.out
    assert "    signature of this tap (fDDA): good: by the card" in ran.out


def test_a_stranger_that_leaves_is_waited_for_and_what_was_read_is_shown(meets: Any) -> None:
    class Leaving(Link):
        def transceive(self, data: bytes) -> bytes:
            if len(self.commands) == 4:
                raise LinkClosed("gone")
            return super().transceive(data)

    ran = meets(*(Present(Leaving(stranger().card)) for _ in range(3)))
    assert ran.code == 3
    assert "the card left the field; hold it there again" in ran.out
    assert "  ended     early: the card left the field\n" in ran.out


def test_what_stands_in_the_way_is_said(meets: Any) -> None:
    ran = meets(
        LinkClosed("another program holds the card"),
        LinkTimeout("the card does not answer to a reset"),
        Present(stranger(), kind="mifare classic 1k"),
        Present(stranger(), count=2),
        None,
        Present(stranger()),
    )
    assert ran.code == 3
    assert "another program holds the card\nthe card does not answer to a reset\n" in ran.out
    assert "this is mifare classic 1k, no card that pays; take it away\n" in ran.out
    assert "present one card only\n" in ran.out


def test_a_reader_that_goes_is_an_error_of_one_line(meets: Any) -> None:
    ran = meets(NoReader("the reader is gone; plug it in"))
    assert (ran.code, ran.err) == (1, "paysim: the reader is gone; plug it in\n")


def test_a_card_that_never_answers_is_no_hang(meets: Any) -> None:
    class Silent:
        def respond(self, command: bytes) -> bytes:
            raise LinkTimeout("nothing")

    ran = meets(*(Present(Link(Silent())) for _ in range(9)))
    assert ran.code == 3
    assert "early: the card did not answer in time" in ran.out


@pytest.mark.parametrize("answer", [b"", b"\x90", b"\x6f" * 65_538, b"\x90\x00"])
def test_a_card_that_answers_nonsense_is_read_to_an_end(answer: bytes, meets: Any) -> None:
    class Odd:
        def respond(self, command: bytes) -> bytes:
            return answer

    assert meets(*(Present(Link(Odd())) for _ in range(9))).code == 3


def test_a_reader_that_goes_in_the_middle_of_a_payment_leaves_no_doubt(meets: Any, tmp_path: Path) -> None:
    card = FolderCard(Keyring(tmp_path / "k"), "unionpay", tear_at=5)
    try:
        ran = meets(Present(Link(card)), NoReader("the reader is gone"), more=("--keys", str(tmp_path / "k")))
    finally:
        card.close()
    assert (ran.code, ran.err) == (1, "paysim: the reader is gone\n")
    assert "not paid (the card left the field; present again)" in ran.out
    with opened(Keyring(tmp_path / "k")) as sandbox:
        [order] = sandbox.orders()
        order.query()
        assert order.state.value == "PRESENTED"
        order.close()
        assert order.state.value == "CLOSED"
        assert set(sandbox.sums().values()) == {0}


def test_a_card_that_left_pays_when_it_is_back(meets: Any, tmp_path: Path) -> None:
    for tear_at in range(1, 6):
        keys = Keyring(tmp_path / "k")
        card = FolderCard(keys, "unionpay", tear_at=tear_at)
        try:
            ran = meets(Present(Link(card)), Present(Link(card)), more=("--keys", str(tmp_path / "k")))
        finally:
            card.close()
        assert ran.code == 0
        assert ran.out.count("hold it there again") == (tear_at <= 2)
        assert ran.out.startswith("hold a card to the reader (a bench)")


WRONG = [
    (("--driver", "bluetooth", "--amount", "1"), "there is no driver 'bluetooth'"),
    (("--driver", "pcsc", "--card", "visa", "--amount", "1"), "leave out --card"),
    (("--driver", "pcsc", "--amount", "1", "--seed", "9"), "leave out --seed"),
    (("--driver", "pcsc", "--amount", "1", "--wait", "0"), "--wait"),
    (("--driver", "pcsc", "--amount", "1", "--wait", "nan"), "--wait"),
    (("--driver", "pcsc", "--amount", "1", "--strict"), "--strict is of a replay"),
    (("--driver", "pcsc", "--amount", "0"), "more than nothing"),
    (("--driver", "pcsc", "--amount", "x"), "an amount is text"),
    (("--driver", "pcsc", "--replay", "x"), "leave out --driver"),
]


@pytest.mark.parametrize(("arguments", "why"), WRONG)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], why: str, paysim: Any) -> None:
    ran = paysim("tap", *arguments)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.count("\n") == 1
    assert why in ran.err


@pytest.mark.parametrize("text", ["", "{}", '{"keys": [{"rid": "A0"}]}'])
def test_a_bad_file_of_ca_keys_is_a_named_error(text: str, paysim: Any, tmp_path: Path) -> None:
    path = tmp_path / "ca.json"
    path.write_text(text)
    ran = paysim("tap", "--driver", "pcsc", "--ca-keys", str(path))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
