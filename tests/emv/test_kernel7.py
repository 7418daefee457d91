"""Kernel 7 on paysim's own UnionPay cards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from emv_dialogue import RealCard, bought, keys, play

from paysim.codec import tlv
from paysim.crypto.cryptogram import CardKey
from paysim.emv import kernel7
from paysim.emv.entry_point import Done, EntryPoint
from paysim.emv.kernel7 import KERNEL_7
from paysim.emv.outcome import IssuerResponse, Start, Status
from paysim.emv.reader import UNIONPAY, VISA, reader


def machine(amount: int, **changes: Any) -> EntryPoint:
    made = reader(VISA, replace(UNIONPAY, **changes), ca_keys=keys().ca_keys)
    return EntryPoint(made, bought(amount))


def test_it_says_what_it_was_not_checked_against() -> None:
    assert "not checked against a specification" in str(kernel7.__doc__)
    assert "Assumed:" in str(kernel7.__doc__)


def test_the_steps_stand_in_the_order_of_the_vendors() -> None:
    names = [row.step for row in KERNEL_7.steps]
    assert [name for name in names if name != "U12"] == sorted(
        (name for name in names if name != "U12"), key=lambda name: int(name[1:])
    )


PROFILES = [
    ("unionpay", 990, "ONLINE_REQUEST", 7),
    ("unionpay-ecash", 990, "APPROVED", 7),
    ("two-applications", 990, "ONLINE_REQUEST", 7),
    ("slow", 990, "APPROVED", 7),
    ("visa", 990, "APPROVED", 3),
    ("visa-online", 990, "ONLINE_REQUEST", 3),
    ("expired", 990, "DECLINED", 3),
    ("unknown", 990, "END_APPLICATION", 0),
    ("blocked", 990, "END_APPLICATION", 7),
]


@pytest.mark.parametrize(("profile", "amount", "status", "kernel"), PROFILES)
def test_a_card_of_each_profile(profile: str, amount: int, status: str, kernel: int) -> None:
    step = play(machine(amount), RealCard(profile)).step
    assert isinstance(step, Done)
    assert step.result.status.name == status
    assert step.result.kernel == kernel


def test_the_preferred_application_is_taken() -> None:
    step = play(machine(990), RealCard("two-applications")).step
    assert isinstance(step, Done)
    assert step.result.adf_name.hex().upper() == "A000000333010102"


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("what", ["lost_commands", "lost_answers"])
def test_an_e_cash_card_torn_anywhere_pays_once(at: int, what: str) -> None:
    card = RealCard("unionpay-ecash", **{what: (at,)})
    step = play(machine(990), card).step
    assert isinstance(step, Done)
    assert step.result.status is Status.APPROVED
    assert card.card.memory.balance == 10_000 - 990


@pytest.mark.parametrize("at", range(1, 7))
def test_an_e_cash_card_torn_for_good_has_paid_only_where_its_last_record_was_read(at: int) -> None:
    card = RealCard("unionpay-ecash", lost_commands=(at,))
    play(machine(990), card, cards=(1,))
    assert card.card.memory.balance == 10_000


# The issuer's answer on the real card. --------------------------------------------------------------

UPDATING = bytes.fromhex("2600C080")
APPLICATION_BLOCK = bytes.fromhex("841E0000")


def answered(record: dict[int, bytes], *, spoil: bool = False) -> IssuerResponse:
    """The issuer's approval for the card `unionpay`, with a script that blocks its application."""
    pan = record[0x57].hex().partition("d")[0]
    elements = {f"{tag:02X}": value for tag, value in record.items()}
    arpc = CardKey.of("unionpay01", bytes(16), pan, "01").arpc(elements, record[0x9F26], b"00")
    scripts = CardKey.of("unionpay01", bytes(range(16)), pan, "01")
    header = APPLICATION_BLOCK + bytes((scripts.method.script.mac_length,))
    command = header + scripts.script_mac(elements, header, b"")
    arpc = bytes((arpc[0] ^ spoil,)) + arpc[1:]
    return IssuerResponse(
        b"00", arpc + b"00", (tlv.encode(((0x72, [(0x9F18, bytes(4)), (0x86, command)]),)),)
    )


@pytest.mark.parametrize("spoil", [False, True])
def test_an_issuer_update_reaches_the_card(spoil: bool) -> None:
    card = RealCard("unionpay")
    till = machine(1000, ttq=UPDATING)
    step = play(till, card).step
    assert isinstance(step, Done)
    assert (step.result.status, step.result.start) == (Status.ONLINE_REQUEST, Start.B)
    issuer = answered(dict(step.result.data_record or {}), spoil=spoil)
    step = play(till, card, point="B", issuer=issuer).step
    assert isinstance(step, Done)
    assert step.result.status is Status.APPROVED
    assert (step.result.data_record or {})[0x9F5B].hex() == "2000000000"
    assert card.card.memory.blocked == 1
    assert card.card.memory.last_online == (0 if spoil else 1)
    words = [decision.words for decision in till.trace]
    assert f"EXTERNAL AUTHENTICATE answered {'6300' if spoil else '9000'}" in words


@pytest.mark.parametrize(
    ("what", "at", "status"),
    [
        ("lost_commands", 5, "APPROVED"),
        ("lost_answers", 5, "APPROVED"),
        ("lost_commands", 6, "APPROVED"),
        ("lost_answers", 6, "END_APPLICATION"),  # F3: the application is blocked already, and says 6283
    ],
)
def test_an_issuer_update_that_is_torn_is_done_again(what: str, at: int, status: str) -> None:
    card = RealCard("unionpay")
    till = machine(1000, ttq=UPDATING)
    step = play(till, card).step
    assert isinstance(step, Done)
    issuer = answered(dict(step.result.data_record or {}))
    setattr(card, what, (at,))
    step = play(till, card, point="B", issuer=issuer).step
    assert isinstance(step, Done)
    assert step.result.status.name == status
    assert card.card.memory.last_online == 1
