"""A card as a state machine: every command in every state, each status word, any bytes, power loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from counts import count
from emv_answers import Draw, draws
from emv_cards import (
    card,
    get_data,
    initiate,
    objects,
    offered,
    profile,
    read,
    read_all,
    reader_data,
    select,
    select_directory,
    send,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from paysim.codec import tlv
from paysim.codec.apdu import Command, Response
from paysim.codec.status_words import STATUS_WORDS
from paysim.emv.card import COMMANDS, Card, State
from paysim.emv.memory import Memory
from paysim.emv.ppse import is_ours
from paysim.emv.profile import AIDS, PROFILES

DEBIT = AIDS["unionpay debit"]
CREDIT = AIDS["unionpay credit"]

# Good dialogues. ----------------------------------------------------------------------------------


def test_the_directory_names_the_applications() -> None:
    answer = select_directory(card("two-applications"))
    entries = tlv.find(tlv.decode(answer.data), 0x6F, 0xA5, 0xBF0C)
    found = [(tlv.find(entry, 0x4F), tlv.find(entry, 0x87)) for tag, entry in entries if tag == 0x61]
    assert (answer.sw, found) == (0x9000, [(DEBIT, b"\x02"), (CREDIT, b"\x01")])


@pytest.mark.parametrize("name", PROFILES)
def test_every_card_is_marked_as_ours_and_asks_for_its_data(name: str) -> None:
    tree = tlv.decode(select(card(name)).data)
    assert is_ours(tree)
    assert tlv.find(tree, 0x6F, 0xA5, 0x9F38)
    assert not is_ours(tlv.decode(bytes.fromhex("6F0A8408A000000333010101")))


def test_a_name_may_be_partial_and_the_next_occurrence_asked_for() -> None:
    both = card("two-applications")
    assert select(both, DEBIT[:5], 2).data == select(card("two-applications")).data
    found = [tlv.find(tlv.decode(select(both, DEBIT[:7], p2).data), 0x6F, 0x84) for p2 in (0, 2)]
    assert found == [DEBIT, CREDIT]
    assert select(both, DEBIT[:7], 2).sw == 0x6A82
    assert select(both, DEBIT[:4]).sw == 0x6A82
    assert select(both, DEBIT + b"\x01").sw == 0x6A82
    assert get_data(both, 0x9F36).ok  # what was selected stays selected


def test_an_online_answer_has_no_records_and_an_offline_one_has() -> None:
    online = objects(offered(card("unionpay"), 1000))
    offline = objects(offered(card("unionpay-ecash"), 1000))
    assert 0x94 not in online
    assert list(online) == [0x82, 0x57, 0x9F10, 0x9F26, 0x9F36, 0x9F27, 0x5F34, 0x9F6C]
    assert list(offline) == [*online, 0x94]


def test_visa_proves_itself_online_where_the_reader_wants_it() -> None:
    tapper = card("visa")
    wanted = objects(offered(tapper, 1000, "27804000"))
    assert wanted[0x9F27] == b"\x80"
    assert 0x94 in wanted
    assert objects(read_all(tapper)[-1])[0x9F4B]
    assert tapper.memory.balance == 500_000
    assert 0x94 not in objects(offered(tapper, 1000, "26804000"))
    streamlined = card(profile("visa", {0x9F68: "8020D000"}))
    assert 0x94 not in objects(offered(streamlined, 1000, "27804000"))


@pytest.mark.parametrize(("bits", "in_answer", "in_record"), [(1024, [0x9F69, 0x9F4B], []),
                                                              (1152, [], [0x9F69, 0x9F4B])])  # fmt: skip
def test_small_keys_sign_in_the_answer_others_in_the_last_record(
    bits: int, in_answer: list[int], in_record: list[int]
) -> None:
    tapper = card("unionpay-ecash", bits=bits)
    answer = objects(offered(tapper, 1000))
    last = objects(read_all(tapper)[-1])
    assert [tag for tag in answer if tag in (0x9F69, 0x9F4B)] == in_answer
    assert [tag for tag in last if tag in (0x9F69, 0x9F4B)] == in_record
    assert tapper.memory.balance == 9000


def test_get_data_tells_the_counters() -> None:
    told = card("unionpay-ecash", [("ctta", 5), ("last_online", 2), ("9F54", "000000009900")])
    offered(told, 1000)
    read_all(told)
    values = {tag: objects(get_data(told, tag))[tag].hex() for tag in GETTABLE}
    assert values == GETTABLE


GETTABLE = {
    0x9F36: "0001",
    0x9F13: "0002",
    0x9F17: "03",
    0x9F68: "8000b000",
    0x9F6B: "000000001100",
    0x9F6D: "000000001500",
    0x9F77: "000000100000",
    0x9F78: "000000001000",
    0x9F79: "000000009000",
    0x9F5D: "000000009000",
    0x9F54: "000000009900",
}

# Status words. ------------------------------------------------------------------------------------


def idle(profile_name: str = "unionpay-ecash", *facts: tuple[str, Any]) -> Card:
    return card(profile_name, facts)


def selected(profile_name: str = "unionpay-ecash", *facts: tuple[str, Any]) -> Card:
    tapper = idle(profile_name, *facts)
    select(tapper)
    return tapper


def initiated(profile_name: str = "unionpay-ecash", *facts: tuple[str, Any]) -> Card:
    tapper = selected(profile_name, *facts)
    initiate(tapper)
    return tapper


def refused() -> Card:
    tapper = selected()
    assert initiate(tapper, ttq="28400080").sw == 0x6985
    return tapper


LAST_HEX = reader_data(card("unionpay-ecash")).hex()
GPO = f"80A8000013 8311{LAST_HEX} 00"
PPSE_HEX = "00A404000E325041592E5359532E444446303100"

STATUS: list[tuple[str, Callable[[], Card], str, int]] = [
    # what, the card before, the command, the status word
    ("nothing", idle, "", 0x6700),
    ("three bytes", idle, "00A404", 0x6700),
    ("a header alone", idle, "00A40400", 0x6700),
    ("Lc longer than the data", idle, "00A4040008A000000333", 0x6700),
    ("SELECT without Le", idle, f"00A4040008{DEBIT.hex()}", 0x6700),
    ("SELECT with an Le", idle, f"00A4040008{DEBIT.hex()}10", 0x6700),
    ("SELECT without a name", idle, "00A4040000", 0x6700),
    ("SELECT of 300 bytes", idle, f"00A4040000012C{'A0' * 300}0000", 0x6700),
    ("a script of 300 bytes", lambda: initiated("unionpay"), f"84DA9F7800012C{'00' * 300}", 0x6700),
    ("extended lengths", idle, f"00A40400000008{DEBIT.hex()}0000", 0x6700),
    ("SELECT", idle, f"00A4040008{DEBIT.hex()}00", 0x9000),
    ("SELECT PPSE", idle, PPSE_HEX, 0x9000),
    ("SELECT by path", idle, f"00A4080008{DEBIT.hex()}00", 0x6A86),
    ("SELECT without FCI", idle, f"00A4040C08{DEBIT.hex()}00", 0x6A86),
    ("SELECT another card's", idle, "00A4040007A000000004101000", 0x6A82),
    ("SELECT the contact directory", idle, "00A404000E315041592E5359532E444446303100", 0x6A82),
    ("SELECT the next of one", selected, f"00A4040208{DEBIT.hex()}00", 0x6A82),
    ("SELECT a blocked application", lambda: idle("blocked"), f"00A4040008{DEBIT.hex()}00", 0x6283),
    ("SELECT on a blocked card", lambda: idle("unionpay", ("card_blocked", 1)), PPSE_HEX, 0x6A81),
    ("SELECT of class 80", idle, f"80A4040008{DEBIT.hex()}00", 0x6E00),
    ("a class of nobody", selected, "FFA8000000", 0x6E00),
    ("another channel", selected, "01B2011400", 0x6E00),
    ("an unknown instruction", selected, "0012000000", 0x6D00),
    ("GENERATE AC", initiated, "80AE800000", 0x6D00),
    ("INTERNAL AUTHENTICATE", initiated, "00880000040102030400", 0x6D00),
    ("VERIFY", initiated, "0020008008241234FFFFFFFFFF", 0x6D00),
    ("GET RESPONSE", initiated, "00C0000000", 0x6D00),
    ("MANAGE CHANNEL", idle, "0070000001", 0x6D00),
    ("GPO", selected, GPO, 0x9000),
    ("GPO before SELECT", idle, GPO, 0x6985),
    ("GPO of the directory", lambda: _directory(), GPO, 0x6985),
    ("GPO twice", initiated, GPO, 0x6985),
    ("GPO after a refusal", refused, GPO, 0x6985),
    ("GPO with parameters", selected, GPO.replace("80A80000", "80A80100"), 0x6A86),
    ("GPO of class 00", selected, GPO.replace("80A8", "00A8"), 0x6E00),
    ("GPO of other data", selected, "80A80000028300 00", 0x6700),
    ("GPO of another template", selected, GPO.replace("8311", "8411"), 0x6700),
    ("GPO with a wrong length inside", selected, GPO.replace("8311", "8310"), 0x6700),
    ("GPO without data", selected, "80A8000000", 0x6700),
    ("GPO on a blocked application", lambda: selected("blocked"),
     f"80A8000023832120{'00' * 32}00", 0x6985),
    ("READ RECORD", initiated, "00B2011400", 0x9000),
    ("READ RECORD before GPO", selected, "00B2011400", 0x6985),
    ("READ RECORD after a refusal", refused, "00B2011400", 0x6985),
    ("no such record", initiated, "00B2091C00", 0x6A83),
    ("record 0", initiated, "00B2001C00", 0x6A83),
    ("no such file", initiated, "00B2010C00", 0x6A82),
    ("a card without files", lambda: initiated("visa-online"), "00B2011400", 0x6A82),
    ("the signed record after an ARQC", lambda: initiated("unionpay"), "00B2031C00", 0x6A83),
    ("READ RECORD by name", initiated, "00B2011000", 0x6A86),
    ("READ RECORD of file 0", initiated, "00B2010400", 0x6A86),
    ("READ RECORD of file 31", initiated, "00B201FC00", 0x6A86),
    ("READ RECORD with data", initiated, "00B20114010000", 0x6700),
    ("READ RECORD without Le", initiated, "00B20114", 0x6700),
    ("GET DATA", selected, "80CA9F3600", 0x9000),
    ("GET DATA before SELECT", idle, "80CA9F3600", 0x6985),
    ("GET DATA of nothing", selected, "80CA9F4F00", 0x6A88),
    ("GET DATA of the PAN", selected, "80CA005A00", 0x6A88),
    ("GET DATA of what this card lacks", selected, "80CA9F5400", 0x6A88),
    ("GET DATA of class 00", selected, "00CA9F3600", 0x6E00),
    ("EXTERNAL AUTHENTICATE without an ARQC", lambda: selected("unionpay"),
     "008200000A00000000000000003030", 0x6985),
    ("EXTERNAL AUTHENTICATE, wrong", lambda: initiated("unionpay"),
     "008200000A00000000000000003030", 0x6300),
    ("EXTERNAL AUTHENTICATE, short", lambda: initiated("unionpay"), "00820000083030303030303030", 0x6700),
    ("EXTERNAL AUTHENTICATE of CVN 17", lambda: initiated("visa-online"),
     "008200000A00000000000000003030", 0x6D00),
    ("EXTERNAL AUTHENTICATE with parameters", lambda: initiated("unionpay"),
     "008201000A00000000000000003030", 0x6A86),
    ("a script without an ARQC", initiated, "841E00000401020304", 0x6985),
    ("a script without a MAC", lambda: initiated("unionpay"), "841E000003010203", 0x6987),
    ("a script with a wrong MAC", lambda: initiated("unionpay"), "841E00000401020304", 0x6988),
    ("a script of class 80", lambda: initiated("unionpay"), "801E00000401020304", 0x6E00),
    ("a phone that is not confirmed", lambda: _phone(), "", 0x6986),
]  # fmt: skip

ELSEWHERE = {0x6984: "test_card_decisions (G8, G10)", 0x6A80: "test_card_decisions (G1), test_card_update"}
"""Status words of a card that other tables show."""


def _directory() -> Card:
    tapper = idle()
    select_directory(tapper)
    return tapper


def _phone() -> Card:
    tapper = card(profile("visa", device_cvm=True))
    select(tapper)
    return tapper


@pytest.mark.parametrize(
    ("before", "command", "sw"), [row[1:] for row in STATUS], ids=[row[0] for row in STATUS]
)
def test_a_command_has_its_status_word(before: Callable[[], Card], command: str, sw: int) -> None:
    tapper = before()
    if sw == 0x6986:
        assert initiate(tapper, ttq="26404000").sw == sw
        return
    kept = (tapper.state, tapper.memory.atc)
    answer = Response.decode(tapper.respond(bytes.fromhex(command)))
    assert f"{answer.sw:04X}" == f"{sw:04X}"
    assert bool(answer.data) == (sw in (0x9000, 0x6283))
    if sw not in (0x9000, 0x6283):
        after = State.REFUSED if tapper.memory.blocked and kept[0] is State.SELECTED else kept[0]
        assert (tapper.state, tapper.memory.atc) == (after, kept[1])


def test_every_status_word_of_the_facts_is_in_a_table() -> None:
    wanted = {0x9000, 0x6E00, 0x6D00, 0x6A86, 0x6700, 0x6A80, 0x6A81, 0x6A82, 0x6A83, 0x6A88}
    wanted |= {0x6283, 0x6300, 0x6984, 0x6985, 0x6986, 0x6987, 0x6988}
    assert {row[3] for row in STATUS} | set(ELSEWHERE) == wanted
    assert wanted <= set(STATUS_WORDS)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("ins", COMMANDS)
def test_a_command_comes_only_in_its_states(state: State, ins: int) -> None:
    make = {State.IDLE: idle, State.DIRECTORY: _directory, State.SELECTED: selected,
            State.INITIATED: initiated, State.REFUSED: refused}  # fmt: skip
    tapper = make[state]()
    assert tapper.state is state
    known = COMMANDS[ins]
    p1, p2 = {0xA4: (4, 0), 0xB2: (1, 0x14)}.get(ins, (0, 0))
    data = bytes(10) if known.has_data else b""
    answer = send(tapper, Command(known.cla, ins, p1, p2, data, known.le))
    if state not in known.states:
        assert answer.sw == 0x6985


# Power loss. --------------------------------------------------------------------------------------

SESSION = ("directory", "select", "gpo", "record 1", "record 2", "record 3", "record 4")


def play(tapper: Card, steps: int, amount: int = 1000) -> list[Response]:
    """The first `steps` commands of a tap."""
    acts: list[Callable[[], Response]] = [
        lambda: select_directory(tapper),
        lambda: select(tapper),
        lambda: initiate(tapper, amount),
        lambda: read(tapper, 2, 1),
        lambda: read(tapper, 3, 1),
        lambda: read(tapper, 3, 2),
        lambda: read(tapper, 3, 3),
    ]
    return [act() for act in acts[:steps]]


@pytest.mark.parametrize("second", range(len(SESSION) + 1))
@pytest.mark.parametrize("first", range(len(SESSION) + 1))
def test_power_loss_after_any_command_of_two_taps(first: int, second: int) -> None:
    """A tap counts from GPO on and is paid with its last record; taps with the same data are one debit."""
    tapper = card("unionpay-ecash")
    count_so_far, paid = 0, False
    for steps in (first, second, len(SESSION)):
        assert all(answer.ok for answer in play(tapper, steps))
        tapper.power_off()
        count_so_far, paid = count_so_far + (steps >= 3), paid or steps == 7
        assert tapper.state is State.IDLE
        assert (tapper.memory.atc, tapper.memory.balance) == (count_so_far, 9000 if paid else 10_000)
        assert get_data(tapper, 0x9F36).sw == 0x6985


def test_the_same_data_again_are_one_payment_and_other_data_are_two() -> None:
    tapper = card("unionpay-ecash")
    for _ in range(3):
        offered(tapper, 1000)
        read_all(tapper)
    assert tapper.memory.balance == 9000
    offered(tapper, 1000, changed={0x9F37: "0A0B0C0D"})
    read_all(tapper)
    assert tapper.memory.balance == 8000
    offered(tapper, 1000)  # the first data once more: a new payment
    read_all(tapper)
    assert tapper.memory.balance == 7000


def test_a_second_tap_may_use_the_last_money_again() -> None:
    tapper = card("unionpay-ecash", [("balance", 900)])
    for _ in range(2):
        found = objects(offered(tapper, 900, "28000080"))
        assert found[0x9F27] == b"\x40"
        assert found[0x9F10].hex()[16:].startswith("0a010000000000")
        assert all(record.ok for record in read_all(tapper))
        assert tapper.memory.balance == 0
    assert objects(offered(tapper, 900, "28000080", {0x9F37: "99999999"}))[0x9F27] == b"\x00"


def test_money_of_a_torn_tap_comes_back_where_the_second_is_declined() -> None:
    tapper = card(profile("unionpay-ecash", {0x9F68: "8800B000"}))
    offered(tapper, 1000)
    read_all(tapper)
    tapper.memory.record("pin_tries", 0)  # by a contact terminal in between
    assert objects(offered(tapper, 1000))[0x9F27] == b"\x80"
    assert (tapper.memory.balance, tapper.memory.debit) == (10_000, "")


def test_a_prepaid_amount_is_taken_once_for_the_same_data() -> None:
    tapper = card(profile("unionpay-ecash", {0x9F68: "8080B000"}))
    for _ in range(2):
        assert objects(offered(tapper, 2000, "26804080"))[0x9F27] == b"\x80"
        assert tapper.memory.balance == 8000


def test_reading_the_last_record_again_takes_nothing_more() -> None:
    tapper = card("unionpay-ecash")
    offered(tapper, 1000)
    first, second = read_all(tapper)[-1], read_all(tapper)[-1]
    assert first == second
    assert tapper.memory.balance == 9000


def test_a_card_shows_neither_its_number_nor_its_keys() -> None:
    tapper = card("visa")
    offered(tapper, 1000)
    shown = f"{tapper!r} {tapper.made!r} {tapper.memory!r} {tapper.memory.facts!r} {tapper.decisions!r}"
    assert tapper.made.pan not in shown
    assert tapper.made.pan[-4:] in shown
    assert "0123456789ABCDEF" not in shown.upper()


# Any bytes. ---------------------------------------------------------------------------------------

SEEDS = [bytes.fromhex(row[2]) for row in STATUS]
CARDS = ("visa", "unionpay", "unionpay-ecash", "two-applications", "blocked")


def mutated(draw: Draw) -> bytes:
    """A known command with some of its bytes changed, cut or repeated."""
    data = bytearray(SEEDS[draw.number(0, len(SEEDS) - 1)])
    for _ in range(draw.number(0, 3)):
        if not data:
            break
        at, kind = draw.number(0, len(data) - 1), draw.number(0, 3)
        if kind == 0:
            data[at] = draw.number(0, 255)
        elif kind == 1:
            data[at] ^= 1 << draw.number(0, 7)
        elif kind == 2:
            del data[at:]
        else:
            data[at:at] = data[at : at + draw.number(1, 8)]
    return bytes(data)


def test_any_bytes_end_in_a_status_word() -> None:
    """Whatever comes, in whatever state: at least a status word of the table, and never more than fits."""
    cards = [card(name) for name in CARDS]
    seen: set[int] = set()
    for draw in draws("card", count(200_000)):
        tapper = cards[draw.number(0, len(cards) - 1)]
        kind = draw.number(0, 19)
        if kind == 0:
            tapper.power_off()
        elif kind == 1:
            select(tapper)
        command = draw.octets(draw.number(0, 40)) if kind < 5 else mutated(draw)
        answer = tapper.respond(command)
        assert 2 <= len(answer) <= 258, command.hex()
        seen.add(int.from_bytes(answer[-2:]))
        if tapper.memory.refuses and tapper is not cards[-1]:
            cards[cards.index(tapper)] = card(tapper.made.profile.name)
    assert seen <= set(STATUS_WORDS)
    assert {0x9000, 0x6283, 0x6700, 0x6985, 0x6A82, 0x6A86, 0x6D00, 0x6E00} <= seen


class Sessions(RuleBasedStateMachine):
    """Whole sessions by a grammar: the card against a model of its money and its counter."""

    def __init__(self) -> None:
        super().__init__()
        self.card = card("unionpay-ecash")
        self.initial = self.card.made.memory().facts
        self.money = 10_000
        self.count = 0
        self.paid: tuple[int, int] = (-1, -1)
        """The last debit: amount and number of the reader's data."""
        self.offer: tuple[int, int] = (-1, -1)
        """What this tap would take; -1 for nothing."""

    @rule()
    def power_loss(self) -> None:
        self.card.power_off()
        self.offer = (-1, -1)

    @rule(which=st.sampled_from([b"", b"2PAY.SYS.DDF01", DEBIT[:6], b"\xa0\x00\x00\x00\x04"]))
    def select(self, which: bytes) -> None:
        answer = select(self.card, which)
        assert answer.sw == (0x6A82 if which.endswith(b"\x04") else 0x9000)
        if answer.ok:
            self.offer = (-1, -1)

    @rule(amount=st.integers(0, 1200), number=st.integers(1, 3), online=st.booleans())
    def initiate(self, amount: int, number: int, online: bool) -> None:
        known = self.card.state is State.SELECTED
        ttq = "26004080" if online else "28000080"
        answer = initiate(self.card, amount, ttq, {0x9F37: f"{number:08X}"})
        if not known:
            assert answer.sw == 0x6985
            return
        self.count += 1
        key = number * 2 + online
        if self.paid != (amount, key):
            self.paid = (-1, -1)
        if not answer.ok:  # above 9F6B and no CVM in common
            assert (answer.sw, amount > 1100, online) == (0x6985, True, False)
            return
        there = self.money + max(0, self.paid[0])
        enough = there - amount >= (1500 if online else 0) and amount <= 1000
        approved = enough or not amount
        assert (objects(answer)[0x9F27] == b"\x40") == approved
        if approved:
            self.offer = (amount, key)
        else:
            self.money, self.paid = there, (-1, -1)

    @rule(sfi=st.integers(1, 4), number=st.integers(0, 5))
    def read(self, sfi: int, number: int) -> None:
        answer = read(self.card, sfi, number)
        if answer.ok and (sfi, number) == (3, 3) and self.offer[1] >= 0:
            if self.paid != self.offer:
                self.money -= self.offer[0]
            self.paid = self.offer if self.offer[0] else self.paid
            self.offer = (-1, -1)

    @rule(data=st.binary(max_size=30))
    def noise(self, data: bytes) -> None:
        if data[:2] not in (b"\x00\xa4", b"\x80\xa8", b"\x00\xb2"):
            assert len(self.card.respond(data)) >= 2

    @invariant()
    def agrees(self) -> None:
        memory = self.card.memory
        assert (memory.balance, memory.atc) == (self.money, self.count)
        assert memory.balance >= 0

    @invariant()
    def memory_is_the_fold_of_its_facts(self) -> None:
        again = Memory.of([*self.initial, *self.card.memory.facts])
        names = [name for name in Memory.__slots__ if name != "facts"]
        assert [getattr(again, name) for name in names] == [getattr(self.card.memory, name) for name in names]


Sessions.TestCase.settings = settings(max_examples=count(300), stateful_step_count=50, deadline=None)
TestSessions = Sessions.TestCase


def test_slow_and_flaky_cards_say_how() -> None:
    """Delays of a whole tap are a real card's; failures are those that a kernel can be told of."""
    whole_tap = [0xA4, 0xA4, 0xA8, 0xB2, 0xB2, 0xB2, 0xB2]
    assert 165 <= sum(PROFILES["slow"].delays_ms[ins] for ins in whole_tap) <= 325
    assert set(PROFILES["flaky"].fails.values()) <= {"timeout", "transmission", "protocol"}
    assert not any(PROFILES[name].delays_ms for name in PROFILES if name != "slow")
    assert not any(PROFILES[name].fails for name in PROFILES if name != "flaky")
