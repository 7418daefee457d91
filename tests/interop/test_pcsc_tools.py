"""Our card in the virtual reader, looked at by programs that we did not write: opensc-tool, scriptor."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import emv_cards
import pytest
from counts import count
from pcscd import Pcscd

from paysim.drivers.pcsc import Pcsc
from paysim.drivers.vpcd import ATRS, CardHost
from paysim.emv.card import Card
from paysim.testing.drivers import SELECT

ALL = os.environ.get("PAYSIM_ALL") == "1"
PACKAGES = {"opensc-tool": "opensc", "scriptor": "pcsc-tools"}
FOREIGN = "00A4040007A000000004101000"
"""An application that our cards do not have."""

MALFORMED = (
    *("00", "0000", "00A4", "00A404", "00A40400", "00A40400FF", "00A404000E3250", "00A4040000", "FFFFFFFFFF"),
    *(
        "00B2FFFF00",
        "80A8000000",
        "80A800000283FF00",
        "80A80000028300FF",
        "00A4FFFF0E325041592E5359532E4444463031",
    ),
    *("80CA000000", "00C0000000", "0020008008FFFFFFFFFFFFFFFF", "84A40400", "00A40400000010" + "41" * 16),
)


@pytest.fixture(params=["T1", "T0"])
def card(daemon: Pcscd, request: pytest.FixtureRequest) -> Iterator[tuple[Card, str]]:
    """A card that lies in the first reader, and its protocol."""
    machine = emv_cards.card("unionpay")
    host = CardHost(machine, port=daemon.port, dial=daemon.dial, protocol=request.param)
    field = Pcsc().open(daemon.names[0])
    host.start()
    assert field.wait(10) is not None, daemon.log()
    field.close()
    yield machine, request.param
    host.stop()
    field = Pcsc().open(daemon.names[0])
    assert field.removed(10)
    field.close()


def said(program: str, *arguments: str, typed: str = "") -> str:
    """What a program prints."""
    if shutil.which(program) is None:
        why = f"{program} is missing: apt-get install {PACKAGES[program]}"
        if ALL:
            pytest.fail(why)
        pytest.skip(why)
    done = subprocess.run(
        [program, *arguments], input=typed, capture_output=True, text=True, timeout=240, check=False
    )
    return done.stdout + done.stderr


def _hex(text: str) -> str:
    return re.sub("[^0-9A-F]", "", text.upper())


def test_opensc_tool_reads_the_atr(card: tuple[Card, str]) -> None:
    assert _hex(said("opensc-tool", "--reader", "0", "--atr")) == ATRS[card[1]].hex().upper()


def test_opensc_tool_lists_the_readers(daemon: Pcscd, card: tuple[Card, str]) -> None:
    listed = said("opensc-tool", "--list-readers")
    assert daemon.names[0] in listed
    assert daemon.names[1] in listed


def test_opensc_tool_selects(card: tuple[Card, str]) -> None:
    spaced = SELECT.hex(":")
    answer = said("opensc-tool", "--reader", "0", "--card-driver", "default", "--send-apdu", spaced)
    assert "SW1=0x90, SW2=0x00" in answer, answer
    dumped = "".join(_hex(line[:48]) for line in answer.partition("Received")[2].splitlines()[1:])
    assert dumped == card[0].made.directory.hex().upper()


def test_opensc_tool_is_told_that_a_foreign_application_is_not_there(card: tuple[Card, str]) -> None:
    answer = said("opensc-tool", "--reader", "0", "--card-driver", "default", "--send-apdu", FOREIGN)
    assert "SW1=0x6A, SW2=0x82" in answer, answer


def scripted(daemon: Pcscd, protocol: str, *commands: str) -> list[str]:
    """The answers that scriptor shows to the commands: hex, data and status word."""
    spaced = "\n".join(re.sub("(..)", r"\1 ", command).strip() for command in commands)
    options = ("-r", daemon.names[0], "-p", f"T={protocol[1]}")
    shown = said("scriptor", *options, typed=f"{spaced}\n")
    joined = re.sub(r"\n(?=[0-9A-F]{2} )", "", shown.replace(" \n", "\n"))
    return [
        _hex(row.partition(":")[0]) for row in re.findall(r"^< ([0-9A-F \n]+)(?=:)", joined, re.MULTILINE)
    ]


def test_scriptor_reads_what_the_card_says(daemon: Pcscd, card: tuple[Card, str]) -> None:
    machine, protocol = card
    answers = scripted(daemon, protocol, SELECT.hex().upper(), FOREIGN)
    fci = machine.made.directory.hex().upper()
    expected = f"{fci}9000" if protocol == "T1" else f"61{len(fci) // 2:02X}"
    assert answers[0] in (expected, f"{fci}9000")
    assert answers[1] == "6A82"


def test_malformed_commands_never_break_the_card(daemon: Pcscd, card: tuple[Card, str]) -> None:
    protocol = card[1]
    sound = [command for command in MALFORMED if len(command) >= 8]
    answers = scripted(daemon, protocol, *sound, FOREIGN)
    assert answers, "scriptor shows no answer"
    assert all(re.fullmatch("6[0-9A-F]{3}|9000", answer) for answer in answers), answers
    assert answers[-1] == "6A82", "and the card still answers"


def test_thousands_of_selects(daemon: Pcscd, card: tuple[Card, str]) -> None:
    protocol, times = card[1], count(4000)
    answers = scripted(daemon, protocol, *[SELECT.hex().upper(), FOREIGN] * (times // 2))
    assert len(answers) == times // 2 * 2
    assert set(answers[1::2]) == {"6A82"}
    assert len(set(answers[::2])) == 1
