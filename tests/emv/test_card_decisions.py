"""What a card decides: the test rows of the facts (67 to 80), and each row of its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from emv_cards import card, get_data, initiate, objects, offered, profile, read, read_all, select, send

from paysim.codec.apdu import Command
from paysim.crypto.certificate import CertificateError
from paysim.crypto.oda import verify_fast
from paysim.emv.card import Card
from paysim.emv.gpo import PREPAID, ROWS, Decision
from paysim.emv.memory import Change, Memory
from paysim.emv.profile import Profile

OFFLINE = "28000080"  # qPBOC, offline only, no CVM
U = "26004080"  # the reader U: online capable, online PIN, signature, device CVM, fDDA 01
TC, ARQC, AAC = 0x40, 0x80, 0x00
BALANCE = 10_000
RICH = 500_000


class Case(NamedTuple):
    """A tap and what must come of it: a status word, or 9F27 and bytes 2 to 4 of the CVR."""

    id: str
    amount: int
    ttq: str
    expected: int | tuple[int, str]
    ctq: str = "0000"
    left: int = BALANCE
    profile: Profile | str = "unionpay-ecash"
    facts: tuple[Any, ...] = ()
    reader: Mapping[int, str] = {}
    confirmed: bool = False


def u(cap: str, changed: Mapping[int, str | None] = {}, **fields: Any) -> Profile:
    """The card u of the rows, with other additional processes."""
    return profile("unionpay-ecash", {0x9F68: cap, **changed}, **fields)


def v(cap: str | None = "8000D000", changed: Mapping[int, str | None] = {}, **fields: Any) -> Profile:
    return profile("visa", {0x9F68: cap, **changed}, **fields)


def low(minor: int) -> tuple[Change, ...]:
    return (Change("balance", minor),)


EURO = {0x5F2A: "0978"}
REFUND = {0x9C: "20"}

PUBLISHED = [
    Case("67", 1000, OFFLINE, (TC, "900000"), left=9000),
    Case("68", 1001, OFFLINE, (AAC, "802000")),
    Case("69", 1001, U, (ARQC, "A02000")),
    Case("70 at the reset threshold", 900, U, (TC, "900000"), left=1500, facts=low(2400)),
    Case("70 below it", 901, U, (ARQC, "A02000"), left=2400, facts=low(2400)),
    Case("71 all of it", 700, OFFLINE, (TC, "900000"), left=0, facts=low(700)),
    Case("71 nothing left", 1, OFFLINE, (AAC, "802000"), left=0, facts=low(0)),
    Case("73 signature", 1200, "22400000", (ARQC, "A02000"), ctq="4000"),
    Case("73 nothing common", 1200, "28000000", 0x6985),
    Case("74", 1000, "24400000", (ARQC, "A00000"), ctq="8000", profile=u("8000F000"), reader=EURO),
    Case("75 prefers contact", 1000, "34C00000", 0x6985, profile=u("8200B000")),
    Case("75 no qPBOC", 1000, "10800000", 0x6700),
    Case("76 online", 1000, U, (ARQC, "A04000"), profile=u("8800B000"), facts=(("pin_tries", 0),)),
    Case("76 offline", 1000, OFFLINE, (AAC, "804000"), profile=u("8800B000"), facts=(("pin_tries", 0),)),
    Case("77 online cryptogram", 0, "20800000", (ARQC, "A00000")),
    Case("77 amount zero", 0, "20000000", (TC, "900000")),
    Case("78", 1000, U, 0x6985, facts=(("atc", 0xFFFE),)),
    Case("80 TC with online PIN", 900, "26404080", (TC, "900000"), ctq="8000", left=9100),
    Case("80 refund", 900, U, (AAC, "800000"), reader=REFUND),
]
"""Rows 67 to 80; 72 and 79 have tests of their own. Row 75's card is u with CAP b1.2 alone."""

MORE = [
    Case("G1 amount", 0, U, 0x6A80, reader={0x9F02: "00000000000A"}),
    Case("G2 visa", 1000, "86004000", 0x6985, profile="visa", left=RICH),
    Case("G4", 1000, U, 0x6985, profile="blocked", left=0),
    Case("G6 reader wants", 1000, "24404080", (TC, "900000"), ctq="8000", left=9000),
    Case("G6 at the limit", 1100, "28000000", (AAC, "802000")),
    Case("G7 signature after PIN", 1000, "22404080", (TC, "900000"), ctq="4000", left=9000),
    Case("G7 PIN abroad unknown", 1000, "26404080", (ARQC, "A00000"), ctq="4000", reader=EURO),
    Case("G8 visa", 1000, "20404000", 0x6984, profile="visa", left=RICH),
    Case("G8 no CAP", 1000, "24404000", 0x6984, profile=v(None), left=RICH),
    Case("G8 no CAP, signature", 1000, "26404000", (ARQC, "A00000"), ctq="4000", profile=v(None), left=RICH),
    Case("G9", 1000, "26404080", 0x6986, profile=v(device_cvm=True), left=RICH),
    Case("G9 confirmed", 1000, "26404080", (TC, "900000"), ctq="0080", profile=v(device_cvm=True),
         left=RICH - 1000, confirmed=True),
    Case("G9 confirmed unasked", 1000, U, (TC, "900000"), ctq="0080", profile=v(device_cvm=True),
         left=RICH - 1000, confirmed=True),
    Case("G10 visa", 1000, "34C00000", 0x6984, profile=v("8200D000"), left=RICH),
    Case("G10 reader without contact", 1000, "24C00000", (ARQC, "A00000"), "8000", profile=u("8200B000")),
    Case("G10 visa, reader without contact", 1000, "24C00000", (ARQC, "A00000"), "8000", RICH,
         profile=v("8200D000")),
    Case("G3 what a profile sets stays, but for the CVM", 1000, U, (TC, "900000"), ctq="2040", left=9000,
         profile=u("8000B000", {0x9F6C: "E0C0"})),
    Case("G12 no tries, unchecked", 1000, U, (TC, "900000"), left=9000, facts=(("pin_tries", 0),)),
    Case("G12 tries left", 1000, U, (TC, "900000"), left=9000, profile=u("8800B000")),
    Case("G11", 1000, U, (AAC, "800000"), profile=u("8040B000", {0x9F6C: "0000"}), ctq="4000", reader=EURO),
    Case("G13 online", 1000, U, (ARQC, "A01000"), profile=u("9000B000")),
    Case("G13 offline", 1000, OFFLINE, (AAC, "800000"), profile=u("9020B000")),
    Case("G13 offline allowed", 1000, OFFLINE, (TC, "900000"), profile=u("9000B000"), left=9000),
    Case("G13 not new", 1000, U, (TC, "900000"), profile=u("9000B000"), left=9000,
         facts=(("last_online", 1),)),
    Case("G14", 100, "26804080", (ARQC, "A00000")),
    Case("G14 zero without a key", 0, "26004000", (ARQC, "A00000"), profile="visa-online", left=0),
    Case("G16 without a threshold", 900, U, (TC, "900000"), profile=u("8000B000", {0x9F6D: None}), left=0,
         facts=low(900)),
    Case("G16 above the single limit", 1001, OFFLINE, (AAC, "802000"), profile=u("8000B000")),
    Case("G18 both", 1000, U, (TC, "900000"), profile=u("4000B000", {0x9F54: "000000003000"}), left=9000,
         facts=(("ctta", 2000),)),
    Case("G18 over the total", 1000, U, (ARQC, "A02000"), profile=u("4000B000", {0x9F54: "000000003000"}),
         facts=(("ctta", 2001),)),
    Case("G18 over the balance", 1000, OFFLINE, (AAC, "802000"),
         profile=u("4000B000", {0x9F54: "000000003000"}), left=999, facts=low(999)),
    Case("G18 or: by the total", 1000, U, (TC, "900000"), profile=u("2000B000", {0x9F54: "000000003000"}),
         left=999, facts=low(999)),
    Case("G18 or: by the balance", 1000, U, (TC, "900000"), profile=u("2000B000", {0x9F54: "000000003000"}),
         left=9000, facts=(("ctta", 2001),)),
    Case("G18 or: neither", 1001, U, (ARQC, "A02000"), profile=u("2000B000", {0x9F54: "000000003000"}),
         facts=(("ctta", 2000),)),
    Case("G18 of Visa has no b1.6", 1000, U, (ARQC, "A00000"), profile=v("2000D000"), left=RICH),
    Case("G19", 2000, "26804080", (ARQC, "A00000"), profile=u("8080B000"), left=8000, ctq="8000"),
    Case("G19 all of it", 2000, "26804080", (ARQC, "A00000"), profile=u("8080B000"), left=0, facts=low(2000),
         ctq="8000"),
    Case("G19 not enough", 20_000, "26804080", (ARQC, "A00000"), profile=u("8080B000"), ctq="8000"),
    Case("G20 online", 1000, U, (ARQC, "A00000"), profile="unionpay", ctq="0040", left=0),
    Case("G20 offline", 1000, "28000080", (AAC, "800000"), profile="unionpay", ctq="0040", left=0),
    Case("G20 other currency", 1000, "26004000", (ARQC, "A00000"), profile="visa", left=RICH, reader=EURO),
    Case("G20 with permission", 1000, "26004000", (TC, "900000"), profile=v("8400D000"), left=RICH,
         reader=EURO),
    Case("G20 signature common", 1000, "2A400000", (AAC, "800000"), profile="unionpay", ctq="4040", left=0),
]  # fmt: skip
"""The rows that the facts' tests leave out."""


def tapped(case: Case) -> tuple[Card, int | tuple[int, str], str]:
    """The card after a whole tap, what it answered, its CTQ."""
    tapper = card(case.profile, case.facts)
    select(tapper)
    tapper.confirmed = case.confirmed
    answer = initiate(tapper, case.amount, case.ttq, case.reader)
    if not answer.ok:
        return tapper, answer.sw, case.ctq
    found = objects(answer)
    decisions = tapper.decisions
    if 0x94 in found:
        assert all(record.ok for record in read_all(tapper))
    assert tapper.decisions == decisions
    return tapper, (found[0x9F27][0], found[0x9F10][4:7].hex().upper()), found[0x9F6C].hex()


@pytest.mark.parametrize("case", PUBLISHED + MORE, ids=lambda case: case.id)
def test_a_tap(case: Case) -> None:
    tapper, got, ctq = tapped(case)
    assert (got, ctq, tapper.memory.balance) == (case.expected, case.ctq, case.left)
    kept = Memory.of([*tapper.made.memory().facts, *case.facts, *tapper.memory.facts])
    assert kept.balance == case.left


def test_row_72_a_tear_before_the_last_record_costs_a_count_and_no_money() -> None:
    tapper = card("unionpay-ecash")
    answer = offered(tapper, 1000, OFFLINE)
    assert objects(answer)[0x9F27] == b"\x40"
    assert read(tapper, 2, 1).ok
    assert read(tapper, 3, 1).ok
    tapper.power_off()
    assert (tapper.memory.balance, tapper.memory.atc) == (BALANCE, 1)
    assert [change.kind for change in tapper.memory.facts] == ["atc"]


def test_row_78_a_counter_at_its_end_blocks_for_good() -> None:
    tapper = card("unionpay-ecash", [("atc", 0xFFFE)])
    assert offered(tapper, 1000).sw == 0x6985
    tapper.power_off()
    assert select(tapper).sw == 0x6283
    assert tapper.memory.atc == 0xFFFF
    assert offered(tapper, 1000).sw == 0x6985
    assert tapper.memory.atc == 0xFFFF


@pytest.mark.parametrize(("ttq", "version"), [("28000000", 0), ("28000080", 1)])
def test_row_79_the_reader_chooses_what_a_unionpay_card_signs(ttq: str, version: int) -> None:
    tapper = card("unionpay-ecash")
    found = objects(offered(tapper, 1000, ttq))
    found |= {tag: value for record in read_all(tapper) for tag, value in objects(record).items()}
    tap = {"9F37": bytes.fromhex("01020304"), "9F02": bytes.fromhex("000000001000")}
    tap |= {"5F2A": b"\x01\x56", "9F69": found[0x9F69]}
    assert found[0x9F69][0] == version
    assert tapper.made.card_key
    key = tapper.made.card_key.public
    assert verify_fast(key, found[0x9F4B], tap, versions=(version,)) == found[0x9F36]
    if version == 0:
        with pytest.raises(CertificateError) as caught:
            verify_fast(key, found[0x9F4B], tap)
        assert caught.value.failure == "version"


def test_a_visa_card_signs_version_01_whatever_the_reader_says() -> None:
    tapper = card("visa")
    offered(tapper, 1000, "26004000")
    assert objects(read_all(tapper)[-1])[0x9F69][0] == 1


# Which rows are covered. --------------------------------------------------------------------------

STEPS = [f"G{number}" for number in range(1, 21) if number != 15]
"""The facts' table has no G15."""


def _seen() -> set[Decision]:
    seen: set[Decision] = set()
    for case in PUBLISHED + MORE:
        tapper, _, _ = tapped(case)
        seen |= set(tapper.decisions)
    again = card("unionpay-ecash")
    for digits in ("01020304", "01020304", "05060708"):  # a tap, its second tap, another purchase
        offered(again, 900, U, {0x9F37: digits})
        seen |= set(again.decisions)
        read_all(again)
    short = card("visa")
    select(short)
    assert send(short, Command(0x80, 0xA8, 0, 0, b"\x83\x00", 256)).sw == 0x6700
    return seen | set(short.decisions)


def test_every_row_of_the_table_was_decided_by() -> None:
    seen = _seen()
    missing = [row for row in (*ROWS, PREPAID) if Decision(row.step, row.words) not in seen]
    assert not missing, "\n".join(f"{row.step} {row.words}" for row in missing)
    assert sorted({decision.step for decision in seen}, key=lambda step: int(step[1:])) == STEPS


def test_every_published_row_is_here() -> None:
    named = {case.id.split()[0] for case in PUBLISHED} | {"72", "79"}
    assert named == {str(number) for number in range(67, 81)}


def test_the_available_amount_is_told_where_the_card_says_so() -> None:
    tapper = card(u("8100B000"))
    found = objects(offered(tapper, 1000, OFFLINE))
    assert found[0x9F5D].hex() == "000000009000"
    assert 0x9F5D not in objects(offered(card("unionpay-ecash"), 1000, OFFLINE))
    select(tapper)
    assert get_data(tapper, 0x9F5D).data.hex() == "9f5d06000000010000"
