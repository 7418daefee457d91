"""A stranger's card looked at: our own cards as strangers, scripted cards, and any bytes."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from counts import count
from emv_cards import TODAY, card, made, scheme
from hypothesis import given, settings
from hypothesis import strategies as st
from strangers import FCI, GPO, PAN, READING, VISA, Looked, directory, fci, hexed, scripted

from paysim.codec import tlv
from paysim.core.errors import InvalidTransition, UsageError
from paysim.emv.card import Card
from paysim.emv.inspection import (
    MAX_COMMANDS,
    Done,
    Inspection,
    Send,
    Step,
    Warn,
)
from paysim.emv.profile import AIDS, PROFILES

# Our own cards, as strangers. -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_a_card_is_read_and_nothing_on_it_changes(name: str) -> None:
    one = card(name)
    looked = Looked(one.respond)
    assert {command.ins for command in looked.commands} <= READING
    assert (one.memory.take(), looked.said) == ((), [])
    assert looked.report.ours
    assert looked.report.ended == ""
    assert [found.name for found in looked.report.applications] == [
        application.aid for application in PROFILES[name].applications
    ]


@pytest.mark.parametrize("name", ["visa", "unionpay", "unionpay-ecash", "two-applications"])
def test_gpo_is_asked_once_an_application_after_a_word_and_takes_no_money(name: str) -> None:
    one = card(name)
    balance = one.memory.balance
    looked = Looked(one.respond, allow_gpo=True)
    asked = [at for at, command in enumerate(looked.commands) if command.ins == GPO]
    assert [at for at, _ in looked.said] == asked
    assert len(asked) == len(PROFILES[name].applications) == one.memory.atc
    assert all("counter rises by one" in words for _, words in looked.said)
    assert one.memory.balance == balance
    for at in asked:
        answer = tlv.decode(looked.answers[at][:-2])
        assert tlv.find(answer, 0x77, 0x9F27) == b"\x80"
        assert tlv.find(answer, 0x77, 0x9F26).hex().upper() not in looked.words()
    assert "Application Cryptogram  not kept" in looked.words()
    assert "the cryptogram was not kept" in looked.report.not_done


def test_the_amount_is_zero_and_the_reader_wants_to_go_online() -> None:
    looked = Looked(card("unionpay-ecash").respond, allow_gpo=True)
    [command] = [command for command in looked.commands if command.ins == GPO]
    data = command.data[2:]
    assert data[1] & 0x80, "TTQ b2.8"
    assert not data[0] & 0x08, "TTQ b1.4: not an offline only reader"
    assert data[4:10] == bytes(6)


def test_pure_ecash_is_left_alone() -> None:
    commands = scripted({"A4:2PAY": directory(AIDS["unionpay e-cash"]), "A4:": FCI, "A8": "9000"})
    looked = Looked(commands, allow_gpo=True)
    assert GPO not in {command.ins for command in looked.commands}
    assert "pure e-cash is left alone" in looked.words()
    assert looked.said == []


def test_the_number_is_masked_unless_it_is_to_be_kept() -> None:
    pan = made("visa").pan
    shown = Looked(card("visa").respond, allow_gpo=True)
    assert shown.report.pan == pan[:6] + "*" * 6 + pan[-4:]
    assert pan not in shown.words()
    kept = Looked(card("visa").respond, allow_gpo=True, keep_pan=True)
    assert kept.report.pan == pan
    assert pan in kept.words()


def test_it_is_known_after_the_first_select_that_a_card_is_ours() -> None:
    one, inspection = card("visa"), Inspection(on=TODAY)
    step, asked = inspection.start(), 0
    while isinstance(step, Send) and not inspection.ours:
        step, asked = inspection.receive(one.respond(step.command)), asked + 1
    assert asked == 2


# Scripted cards. ------------------------------------------------------------------------------------------


def test_files_that_answer_are_read_to_their_last_record() -> None:
    rows = {
        "A4:2PAY": directory(VISA),
        "A4:": fci(VISA),
        "B2:1:1": hexed(((0x70, ((0x5F20, b"A/B"),)),)),
        "B2:2:1": hexed(((0x70, ((0x5A, bytes.fromhex(PAN)),)),)),
        "B2:1:4": hexed(((0x70, ((0x5F24, b"\x31\x12\x31"),)),)),
        "CA:9F36": "9F36020007" + "9000",
        "CA:9F17": "9F170103" + "9000",
    }
    report = Looked(scripted(rows)).report
    [found] = report.applications
    assert [node.name for node in found.records] == ["SFI 1, record 1", "SFI 1, record 2", "SFI 4, record 1"]
    assert [node.label for node in found.data] == ["9F36", "9F17"]
    assert (report.pan, report.ours, found.kernel, found.priority) == ("476173******0010", False, 3, 1)
    assert "READ RECORD: 3 read" in report.done
    assert report.not_done[0].startswith("no GET PROCESSING OPTIONS (--allow-gpo)")


def test_the_log_of_payments_is_not_read() -> None:
    rows = {
        "A4:2PAY": directory(VISA),
        "A4:": fci(VISA, (0xBF0C, ((0x9F4D, b"\x02\x0a"),))),
        "B2:1:2": hexed(((0x70, ((0x9F02, bytes(6)),)),)),
    }
    looked = Looked(scripted(rows))
    assert looked.report.applications[0].records == ()
    assert "the log of the card's payments was not read" in looked.report.not_done
    assert 2 not in {command.p2 >> 3 for command in looked.commands if command.ins == 0xB2}


def test_a_card_without_a_directory_is_asked_for_well_known_names() -> None:
    name = AIDS["unionpay debit"]
    looked = Looked(scripted({f"A4:{name.hex()}": fci(name)}))
    assert [found.title for found in looked.report.applications] == ["STRANGER A000000333010101"]
    assert "no directory (PPSE: 6A82)" in looked.report.done[0]


def test_a_card_that_refuses_its_records_twice_is_not_asked_a_third_time() -> None:
    rows = {"A4:2PAY": directory(VISA), "A4:": fci(VISA)}
    rows |= {f"B2:1:{sfi}": "6985" for sfi in range(1, 31)}
    looked = Looked(scripted(rows))
    assert sum(command.ins == 0xB2 for command in looked.commands) == 2
    assert "its records answer 6985 before GPO" in looked.words()


def test_a_card_that_always_has_one_more_record_is_given_up() -> None:
    rows = {"A4:2PAY": directory(*(VISA + bytes((at,)) for at in range(9))), "A4:": fci(VISA)}
    rows |= {f"B2:{record}:{sfi}": "70009000" for record in range(256) for sfi in range(31)}
    looked = Looked(scripted(rows))
    assert len(looked.commands) == MAX_COMMANDS
    assert "given up" in looked.report.ended


def test_an_offline_approval_that_nobody_asked_for_is_told() -> None:
    rows = {
        "A4:2PAY": directory(VISA),
        "A4:": fci(VISA),
        "A8": hexed(((0x77, ((0x9F27, b"\x40"), (0x9F36, b"\0\1"), (0x9F26, bytes(8)))),)),
    }
    assert "the card approved offline" in Looked(scripted(rows), allow_gpo=True).words()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("6985", "GPO: 6985"),
        ("9000", "neither template 77 nor 80"),
        ("80022000" + "9000", "82 Application Interchange Profile"),
        ("80062000080102009000", "SFI 1, record 2 6A82"),
        ("800620000001020F9000", "AFL: "),
    ],
)
def test_any_answer_to_gpo_is_told(answer: str, words: str) -> None:
    rows = {"A4:2PAY": directory(VISA), "A4:": fci(VISA), "A8": answer}
    assert words in Looked(scripted(rows), allow_gpo=True).words()


@pytest.mark.parametrize(
    ("pdol", "words"), [(b"\x9f", "PDOL cannot be read"), (b"\x9f\x02\xff", "more than a command holds")]
)
def test_a_pdol_that_nobody_can_answer_is_told(pdol: bytes, words: str) -> None:
    looked = Looked(scripted({"A4:2PAY": directory(VISA), "A4:": fci(VISA, (0x9F38, pdol))}), allow_gpo=True)
    assert words in looked.words()
    assert GPO not in {command.ins for command in looked.commands}


def test_the_most_useful_is_said_first_and_money_is_in_the_cards_own_currency() -> None:
    rows = {
        "A4:2PAY": directory(AIDS["unionpay debit"]),
        "A4:": fci(AIDS["unionpay debit"], (0x5F2D, b"zhen")),
        "CA:9F79": "9F7906000000012345" + "9000",
        "CA:9F17": "9F170103" + "9000",
        "CA:9F36": "9F36020007" + "9000",
        "CA:9F4F": "9F4F069F36025F2A02" + "9000",
        "B2:1:1": hexed(((0x70, ((0x5A, bytes.fromhex(PAN)), (0x5F24, b"\x31\x12\x31"))),)),
        "B2:2:1": hexed(((0x70, ((0x9F42, b"\x03\x44"), (0x5F28, b"\x01\x56"))),)),
        "A8": hexed(((0x77, ((0x82, b"\x7c\x00"), (0x9F36, b"\x00\x08"), (0x8C, b"\x9f\x36\x02"))),)),
    }
    [node] = Looked(scripted(rows), allow_gpo=True).report.tree()
    short = node.inside[0]
    assert {part.name: part.words[0] for part in short.inside} == {
        "card": "476173******0010",
        "expires": "2031-12-31",
        "issuer's country": "China",
        "currency": "HKD",
        "languages": "zh, en",
        "counter": "8",
        "PIN tries left": "3",
        "balance": "123.45 HKD",
        "supports": "SDA supported for online transactions; DDA supported; cardholder verification "
        "supported; terminal risk management is to be performed; issuer authentication supported",
    }


def test_a_sum_that_nobody_has_is_no_end() -> None:
    sums = ((0x9F42, b"\x01\x56"), (0x9F79, b"\x99" * 20), (0x9F5D, b"\x99" * 9))
    rows = {"A4:2PAY": directory(VISA), "A4:": fci(VISA), "B2:1:1": hexed(((0x70, sums),))}
    rows |= {"CA:9F5D": "9F5D09" + "99" * 9 + "9000", "A8": hexed(((0x77, sums),))}
    looked = Looked(scripted(rows), allow_gpo=True)
    assert looked.report.ended == ""
    assert "records that answer without GPO" in looked.words()


def test_what_the_card_was_told_is_said() -> None:
    looked = Looked(card("visa").respond, allow_gpo=True)
    [told] = [part for part in looked.report.tree()[0].inside if part.name.startswith("told")]
    said = {part.tag: part.words for part in told.inside}
    assert "online cryptogram required" in said[0x9F66]
    assert said[0x9F02] == ("0.00 CNY",)
    assert said[0x9A] == ("2026-11-27",)


# Certificates. --------------------------------------------------------------------------------------------


def open_card(
    *, changed: Mapping[int, bytes] | None = None, static: bool = False
) -> Callable[[bytes], bytes]:
    """A Visa card whose records answer without GPO, and to GPO with the AFL alone."""
    personalised = made("visa")
    rows = {"A4:2PAY": directory(VISA), "A4:": fci(VISA)}
    for (sfi, number), record in personalised.records.items():
        tree = tlv.decode(record)
        inside = tuple((tag, (changed or {}).get(tag, value)) for tag, value in tree[0][1])
        rows[f"B2:{number}:{sfi}"] = hexed(((0x70, inside),))
    afl = personalised.afl[:-2] + bytes((personalised.last_record[1] - 1, 0))
    rows["A8"] = hexed(((0x77, ((0x82, personalised.data[0x82]), (0x94, afl))),))
    return scripted(rows)


def verdicts(looked: Looked) -> dict[str, bool | None]:
    return {one.what: one.good for one in looked.report.applications[0].checks}


KEYS = [scheme("visa").ca_key]


def test_certificates_are_checked_as_far_as_they_can_be_without_gpo() -> None:
    looked = Looked(open_card(), ca_keys=KEYS)
    assert verdicts(looked) == {"issuer certificate": True, "card certificate": None}
    assert "GET PROCESSING OPTIONS alone" in looked.words()


def test_with_gpo_the_card_certificate_is_checked_too() -> None:
    looked = Looked(open_card(), ca_keys=KEYS, allow_gpo=True)
    assert verdicts(looked) == {"issuer certificate": True, "card certificate": True}


def test_a_changed_record_is_found() -> None:
    looked = Looked(open_card(changed={0x5F24: b"\x49\x12\x31"}), ca_keys=KEYS, allow_gpo=True)
    assert verdicts(looked) == {"issuer certificate": True, "card certificate": False}


def test_a_changed_certificate_is_found() -> None:
    looked = Looked(open_card(changed={0x90: bytes(176)}), ca_keys=KEYS)
    assert verdicts(looked) == {"issuer certificate": False}


def test_without_its_ca_key_nothing_is_said_of_a_certificate() -> None:
    looked = Looked(open_card())
    assert verdicts(looked) == {"certificates": None}
    assert "wants the CA key A000000003 index F1 of 1408 bits (the issuer's has 1408)" in looked.words()
    assert verdicts(Looked(open_card(), ca_keys=[scheme("unionpay").ca_key])) == {"issuer certificate": None}
    late = Looked(open_card(), ca_keys=KEYS, on=datetime.date(2048, 1, 1))
    assert verdicts(late) == {"issuer certificate": False}


def test_the_signature_of_a_tap_is_checked_where_the_card_gives_one() -> None:
    """A reader that wants the card authenticated for an online payment gets 9F4B from our Visa card."""
    one = card("visa")
    looked = Looked(one.respond, ca_keys=KEYS, allow_gpo=True)
    assert verdicts(looked) == {
        "issuer certificate": True,
        "card certificate": True,
        "signature of this tap (fDDA)": True,
    }
    records = [answer for answer in looked.answers if b"\x9f\x4b" in answer]
    assert records
    for answer in records:
        signature = tlv.find(tlv.decode(answer[:-2]), answer[0], 0x9F4B)
        assert signature.hex().upper() not in looked.words()


# What goes wrong. -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["timeout", "transmission", "protocol"])
@pytest.mark.parametrize("at", range(1, 14))
def test_a_card_that_is_gone_at_any_command_leaves_a_report(kind: Any, at: int) -> None:
    one, inspection = card("visa"), Inspection(on=TODAY, allow_gpo=True, ca_keys=KEYS)
    step: Step = inspection.start()
    asked = 0
    while not isinstance(step, Done):
        if isinstance(step, Warn):
            step = inspection.go_on()
            continue
        asked += 1
        assert isinstance(step, Send)
        step = inspection.lost(kind) if asked == at else inspection.receive(one.respond(step.command))
    assert bool(step.report.ended) == (asked == at)
    assert step.report.tree() or at <= 2


def test_calls_out_of_turn_are_refused() -> None:
    inspection = Inspection(on=TODAY)
    with pytest.raises(InvalidTransition):
        inspection.receive(b"\x90\x00")
    inspection.start()
    for call in (inspection.start, inspection.go_on):
        with pytest.raises(InvalidTransition):
            call()
    with pytest.raises(UsageError):
        inspection.lost("storm")  # type: ignore[arg-type]
    inspection.lost("timeout")
    with pytest.raises(InvalidTransition):
        inspection.lost("timeout")
    with pytest.raises(UsageError):
        Inspection(on=TODAY, unpredictable=b"")


def test_an_answer_without_a_status_word_ends_it() -> None:
    inspection = Inspection(on=TODAY)
    inspection.start()
    step = inspection.receive(b"\x90")
    assert isinstance(step, Done)
    assert step.report.ended == "the card's answer is none"


ANSWERS = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=20).map(lambda data: data + b"\x90\x00"),
    st.sampled_from(
        [
            bytes.fromhex(directory(VISA, AIDS["unionpay debit"])),
            bytes.fromhex(fci(VISA, (0x9F38, bytes.fromhex("9F66049F3704")))),
            bytes.fromhex("9F3602FFFF9000"),
            bytes.fromhex("77129F2608112233445566778894049000"),
            bytes.fromhex("6985"),
            b"\x90" * 65_538,
        ]
    ),
)


@settings(max_examples=count(200), deadline=None)
@given(answers=st.lists(ANSWERS, max_size=60), allow_gpo=st.booleans(), keep_pan=st.booleans())
def test_any_bytes_end_in_a_report(answers: list[bytes], allow_gpo: bool, keep_pan: bool) -> None:
    left = iter(answers)
    looked = Looked(lambda _: next(left, b"\x6a\x82"), allow_gpo=allow_gpo, keep_pan=keep_pan, ca_keys=KEYS)
    assert len(looked.commands) <= MAX_COMMANDS
    assert looked.report.done
    looked.words()


@settings(max_examples=count(200), deadline=None)
@given(data=st.data())
def test_our_cards_with_spoiled_answers_end_in_a_report(data: st.DataObject) -> None:
    one: Card = card(data.draw(st.sampled_from(list(PROFILES))))

    def respond(command: bytes) -> bytes:
        answer = bytearray(one.respond(command))
        for _ in range(data.draw(st.integers(0, 2))):
            answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(0, 255))
        return bytes(answer[: data.draw(st.integers(0, len(answer)))] if data.draw(st.booleans()) else answer)

    looked = Looked(respond, allow_gpo=data.draw(st.booleans()), ca_keys=KEYS)
    assert made("visa").pan not in looked.words()
    assert made("unionpay").pan not in looked.words()
