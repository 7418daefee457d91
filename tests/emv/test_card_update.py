"""What an issuer does to a card after an online payment: its answer checked, its scripts obeyed."""

from __future__ import annotations

import pytest
from emv_cards import IMK, PSN, SCRIPT_IMK, card, get_data, objects, offered, profile, read_all, select, send

from paysim.codec.apdu import Command
from paysim.crypto.cryptogram import CardKey
from paysim.emv.card import Card
from paysim.emv.memory import PUTTABLE, Memory

ONLINE = "26804080"


def went_online(name: str = "unionpay", **changed: str) -> tuple[Card, dict[str, bytes]]:
    """A card that made an ARQC, and what the issuer knows of it; then the field was off."""
    tapper = card(profile(name, {int(tag[1:], 16): value for tag, value in changed.items()}))
    answer = objects(offered(tapper, 5000, ONLINE))
    assert answer[0x9F27] == b"\x80"
    known = {f"{tag:02X}": value for tag, value in answer.items()}
    tapper.power_off()
    assert select(tapper).sw in (0x9000, 0x6283)
    return tapper, known


def issuer_key(tapper: Card, imk: bytes = IMK) -> CardKey:
    return CardKey.of(tapper.made.profile.method, imk, tapper.made.pan, PSN)


def authenticate(tapper: Card, known: dict[str, bytes], code: bytes = b"00") -> int:
    arpc = issuer_key(tapper).arpc(known, known["9F26"], code)
    return send(tapper, Command(0x00, 0x82, 0, 0, arpc + code)).sw


def script(tapper: Card, known: dict[str, bytes], ins: int, tag: int = 0, data: bytes = b"") -> int:
    """An issuer script command with its MAC, made by the issuer's keys."""
    key = issuer_key(tapper, SCRIPT_IMK)
    length = key.method.script.mac_length
    header = bytes((0x84, ins, tag >> 8, tag & 0xFF, len(data) + length))
    mac = key.script_mac(known, header, data)
    return send(tapper, Command(0x84, ins, tag >> 8, tag & 0xFF, data + mac)).sw


def test_the_issuers_answer_ends_the_cards_being_new() -> None:
    tapper, known = went_online()
    assert authenticate(tapper, known) == 0x9000
    assert get_data(tapper, 0x9F13).data.hex() == "9f13020001"
    assert authenticate(tapper, known) == 0x6985  # once a session


def test_another_answer_than_the_issuers_is_refused() -> None:
    tapper, known = went_online()
    assert send(tapper, Command(0x00, 0x82, 0, 0, bytes(8) + b"00")).sw == 0x6300
    assert authenticate(tapper, known) == 0x6985
    assert (tapper.memory.last_online, tapper.state) == (0, "SELECTED")


def test_the_answer_to_an_older_payment_is_refused() -> None:
    tapper, known = went_online()
    offered(tapper, 5000, ONLINE)
    assert authenticate(tapper, known) == 0x6300


def test_the_answer_clears_the_total_and_makes_debits_final() -> None:
    tapper, known = went_online()
    tapper.memory.record("ctta", 500)
    tapper.memory.record("debit", "5:5:00")
    assert authenticate(tapper, known) == 0x9000
    assert (tapper.memory.ctta, tapper.memory.debit) == (0, "")


@pytest.mark.parametrize("name", ["unionpay", "unionpay-ecash", "visa", "visa-online"])
def test_an_application_is_blocked_and_unblocked(name: str) -> None:
    tapper, known = went_online(name)
    assert script(tapper, known, 0x1E) == 0x9000
    assert select(tapper).sw == 0x6283
    assert script(tapper, known, 0x18) == 0x9000
    assert select(tapper).sw == 0x9000


def test_a_blocked_card_is_gone() -> None:
    tapper, known = went_online()
    assert script(tapper, known, 0x16) == 0x9000
    tapper.power_off()
    assert select(tapper).sw == 0x6A81


def test_pin_tries_come_back() -> None:
    tapper, known = went_online()
    tapper.memory.record("pin_tries", 0)
    assert script(tapper, known, 0x24) == 0x9000
    assert get_data(tapper, 0x9F17).data[-1] == 3


PUT = [
    # what, tag, data, status word
    ("a limit", 0x9F78, "000000002000", 0x9000),
    ("the processes", 0x9F68, "8000F000", 0x9000),
    ("no digits", 0x9F78, "00000000200A", 0x6A80),
    ("another length", 0x9F78, "0000002000", 0x6700),
    ("an object of nobody", 0x9F4F, "00", 0x6A88),
    ("the counter", 0x9F36, "0000", 0x6A88),
    ("the balance", 0x9F79, "000000020000", 0x9000),
    ("the balance at its most", 0x9F79, "000000100000", 0x9000),
    ("the balance above", 0x9F79, "000000100001", 0x6A80),
]


@pytest.mark.parametrize(("tag", "data", "sw"), [row[1:] for row in PUT], ids=[row[0] for row in PUT])
def test_put_data(tag: int, data: str, sw: int) -> None:
    tapper, known = went_online("unionpay-ecash")
    before = list(tapper.memory.facts)
    assert script(tapper, known, 0xDA, tag, bytes.fromhex(data)) == sw
    if sw == 0x9000:
        assert objects(get_data(tapper, tag))[tag].hex().upper() == data
        assert tapper.memory.facts[:-1] == before
    else:
        assert tapper.memory.facts == before


def test_what_was_put_decides() -> None:
    tapper, known = went_online("unionpay-ecash")
    assert objects(offered(tapper, 2000))[0x9F27] == b"\x80"
    tapper, known = went_online("unionpay-ecash")
    assert script(tapper, known, 0xDA, 0x9F78, bytes.fromhex("000000002000")) == 0x9000
    assert objects(offered(tapper, 2000))[0x9F27] == b"\x40"
    kept = Memory.of([*tapper.made.memory().facts, *tapper.memory.facts])
    assert objects(offered(Card(tapper.made, kept), 2000))[0x9F27] == b"\x40"


def test_processes_that_were_put_decide() -> None:
    tapper, known = went_online("unionpay-ecash")
    assert script(tapper, known, 0xDA, 0x9F68, bytes.fromhex("0000B000")) == 0x9000
    assert objects(offered(tapper, 100))[0x9F27] == b"\x80"


def test_no_balance_is_longer_than_the_issuers_data_can_say() -> None:
    tapper, known = went_online("unionpay-ecash", t9F77="999999999999")
    assert script(tapper, known, 0xDA, 0x9F79, bytes.fromhex("010000000000")) == 0x6A80
    assert script(tapper, known, 0xDA, 0x9F79, bytes.fromhex("009999999999")) == 0x9000
    assert objects(offered(tapper, 0))[0x9F10][10:15].hex() == "9999999999"


def test_loading_makes_the_last_debit_final() -> None:
    """A prepaid amount that went online is not paid back after the issuer set the balance."""
    tapper, known = went_online("unionpay-ecash", t9F68="8080B000")
    assert tapper.memory.balance == 5000
    assert script(tapper, known, 0xDA, 0x9F79, bytes.fromhex("000000008000")) == 0x9000
    offered(tapper, 5000, ONLINE)
    assert tapper.memory.balance == 3000


@pytest.mark.parametrize("ins", [0x16, 0x18, 0x1E, 0x24])
def test_a_command_without_data_takes_none(ins: int) -> None:
    tapper, known = went_online()
    assert script(tapper, known, ins, 0, b"\x01") == 0x6700
    assert script(tapper, known, ins, 0x0001) == 0x6A86


def test_a_script_for_another_payment_or_with_other_data_is_refused() -> None:
    tapper, known = went_online()
    offered(tapper, 5000, ONLINE, {0x9F37: "55555555"})
    assert script(tapper, known, 0x1E) == 0x6988
    tapper, known = went_online("unionpay-ecash")
    key = issuer_key(tapper, SCRIPT_IMK)
    mac = key.script_mac(known, bytes.fromhex("84DA9F790A"), bytes.fromhex("000000020000"))
    other = Command(0x84, 0xDA, 0x9F, 0x79, bytes.fromhex("000000090000") + mac)
    assert send(tapper, other).sw == 0x6988


def test_an_offline_payment_ends_what_the_issuer_could_say() -> None:
    tapper, known = went_online("unionpay-ecash")
    offered(tapper, 100)
    read_all(tapper)
    assert script(tapper, known, 0x1E) == 0x6985


def test_whatever_can_be_put_can_be_read_back_from_facts() -> None:
    for tag, size in PUTTABLE.items():
        assert Memory.of([(f"{tag:02X}", "00" * size)]).data == {tag: bytes(size)}
