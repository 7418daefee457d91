"""What no stranger's card brings an inspection to: to touch its money, keep a secret, show a number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from emv_cards import card, made
from strangers import GPO, PAN, VISA, Looked, directory, fci, hexed, scripted

from paysim.cli.screen import Screen
from paysim.codec import dol, tlv
from paysim.emv.profile import AIDS
from paysim.sandbox import trace

DEBIT = AIDS["unionpay debit"]
ECASH = AIDS["unionpay e-cash"]
OPTIONS = hexed(
    (
        (
            0x77,
            ((0x82, b"\x20\x00"), (0x9F36, b"\x00\x01"), (0x9F27, b"\x80")),
        ),
    )
)

# E-cash is never asked. -----------------------------------------------------------------------------------


def purse(rows: dict[str, str]) -> Looked:
    return Looked(scripted({"A8": OPTIONS, **rows}), allow_gpo=True)


PURSES = [
    ("by its name", {"A4:2PAY": directory(ECASH), "A4:": fci(ECASH)}),
    ("a variant of it", {"A4:2PAY": directory(ECASH + b"\x01"), "A4:": fci(ECASH + b"\x01")}),
    ("it says so itself alone", {"A4:2PAY": directory(DEBIT), "A4:": fci(ECASH)}),
    ("the directory says so alone", {"A4:2PAY": directory(ECASH), "A4:": fci(DEBIT)}),
    ("by the beginning of its name", {"A4:2PAY": directory(ECASH[:6]), "A4:": fci(ECASH)}),
    ("nobody knows the end of its name", {"A4:2PAY": directory(ECASH[:6]), "A4:": hexed(((0x6F, ()),))}),
    ("without a directory", {f"A4:{ECASH.hex()}": fci(ECASH)}),
    ("a transit purse", {"A4:2PAY": directory(bytes.fromhex("A000000632010105")), "A4:": fci(b"MOT_T_EP")}),
]


@pytest.mark.parametrize("rows", [row[1] for row in PURSES], ids=[row[0] for row in PURSES])
def test_a_purse_is_never_asked_for_gpo(rows: dict[str, str]) -> None:
    looked = purse(rows)
    assert looked.asked(GPO) == []
    assert looked.said == []
    assert "no GPO: " in looked.words()


def test_the_beginning_of_a_name_that_ends_otherwise_is_asked() -> None:
    assert len(purse({"A4:2PAY": directory(DEBIT[:6]), "A4:": fci(DEBIT)}).asked(GPO)) == 1


class Selecting:
    """A card of debit and e-cash that says which of them gets GPO."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.selected = b""
        self.asked: list[bytes] = []

    def respond(self, command: bytes) -> bytes:
        if command[1] == 0xA8:
            self.asked.append(self.selected)
            return bytes.fromhex(OPTIONS)
        if command[1] != 0xA4:
            return b"\x6a\x82"
        answer = bytes.fromhex(self.answers.pop(0))
        name = command[5:-1]
        if answer[-2:] == b"\x90\x00" and not name.startswith(b"2PAY"):
            self.selected = ECASH if ECASH in answer else name
        return answer


def test_an_application_that_does_not_come_back_is_left_alone() -> None:
    """The e-cash application was selected last, and the first one is not there any more."""
    for again in ("6A82", "6283", "9000", fci(ECASH)):
        one = Selecting(directory(DEBIT, ECASH), fci(DEBIT), fci(ECASH), again, fci(ECASH))
        looked = Looked(one.respond, allow_gpo=True)
        assert one.asked == []
        assert "selected again it answers otherwise" in looked.words()


def test_an_application_is_selected_again_after_one_that_says_nothing_of_itself() -> None:
    one = Selecting(directory(DEBIT, ECASH), fci(DEBIT), "9000", fci(DEBIT))
    Looked(one.respond, allow_gpo=True)
    assert one.asked == [DEBIT]


def test_a_card_that_answers_to_every_name_is_asked_once() -> None:
    looked = purse({"A4:2PAY": "6A82", "A4:": fci(DEBIT)})
    assert len(looked.asked(GPO)) == 1
    assert [one.name for one in looked.report.applications] == [DEBIT]


def test_a_blocked_application_is_not_asked() -> None:
    looked = purse({"A4:2PAY": directory(DEBIT), "A4:": fci(DEBIT)[:-4] + "6283"})
    assert looked.asked(GPO) == []
    assert "no GPO: SELECT answers 6283" in looked.words()


EVERYTHING = (
    "9F6604 9F0206 9F0306 8104 9F0404 9F7A01 9F7B06 9F1A02 5F2A02 9A03 9C01 9F3704 9F3501 9F3303 9505"
)


@pytest.mark.parametrize(
    "name", [VISA, DEBIT, bytes.fromhex("A0000000041010"), bytes.fromhex("A0000002771010")]
)
def test_whatever_it_asks_for_it_is_told_of_no_money_and_to_go_online(name: bytes) -> None:
    pdol = bytes.fromhex(EVERYTHING)
    looked = purse({"A4:2PAY": directory(name), "A4:": fci(name, (0x9F38, pdol))})
    [asked] = looked.asked(GPO)
    told = dol.split(dol.decode(pdol), asked.data[2:])
    for tag in (0x9F02, 0x9F03, 0x81, 0x9F04, 0x9F7A, 0x9F7B, 0x9C, 0x95):
        assert not any(told[tag]), f"{tag:X}"
    assert told[0x9F66][1] & 0x80, "an online cryptogram is wanted"
    assert not told[0x9F66][0] & 0x88, "neither offline only nor by magnetic stripe"
    assert "9F02 Amount, Authorised (Numeric) 000000000000 0.00" in looked.words()


@pytest.mark.parametrize("length", ["00", "01", "02", "03", "05"])
def test_a_card_that_cannot_be_told_to_go_online_is_not_asked(length: str) -> None:
    pdol = bytes.fromhex("9F0206" + "9F66" + length)
    looked = purse({"A4:2PAY": directory(VISA), "A4:": fci(VISA, (0x9F38, pdol))})
    assert looked.asked(GPO) == []
    assert "it cannot be told to go online" in looked.words()


# Logs are not read. ---------------------------------------------------------------------------------------


def test_logs_are_not_read_whoever_names_them() -> None:
    rows = {
        "A4:2PAY": directory(DEBIT),
        "A4:": fci(DEBIT, (0xBF0C, ((0x9F4D, b"\x0b\x0a"), (0xDF4D, b"\x02\x0a")))),
        "A8": hexed(((0x77, ((0x82, b"\x20\x00"), (0x94, bytes.fromhex("0801010058010A00")))),)),
    }
    looked = Looked(scripted(rows), allow_gpo=True)
    assert {command.p2 >> 3 for command in looked.asked(0xB2)} & {2, 11} == set()
    assert "AFL: SFI 11 is a log, and is not read" in looked.words()
    assert "the log of the card's payments was not read" in looked.report.not_done


def test_a_file_whose_records_are_not_emvs_is_not_read_on_and_not_shown() -> None:
    payment = "000000001280" + "0156" + "231201"
    rows = {"A4:2PAY": directory(DEBIT), "A4:": fci(DEBIT)}
    rows |= {f"B2:{number}:3": payment + "9000" for number in range(1, 11)}
    looked = Looked(scripted(rows))
    assert sum(command.p2 >> 3 == 3 for command in looked.asked(0xB2)) == 1
    assert payment not in looked.shown()
    assert "11 bytes, not shown: no template 70, so perhaps a log of payments" in looked.words()
    assert "not shown" not in Looked(scripted(rows), keep_pan=True).shown()


# No cryptogram is kept. -----------------------------------------------------------------------------------

AC = "C1C2C3C4C5C6C7C8"
KEPT = [
    ("in template 77", f"77129F2701809F36020001 9F2608{AC}"[:0] + f"770F9F2701809F2608{AC}"),
    ("format 80, AIP and then it", f"800A2000{AC}"),
    ("format 80, behind an AFL", f"800E200008010100{AC}"),
    ("format 80, as GENERATE AC has it", f"8012800001{AC}06010A03A40000"),
    ("under a tag of its own", f"770EDF200B9F2608{AC}"),
    ("in the issuer's data", f"770E9F100B9F2608{AC}"),
    ("cut", f"771F9F2701809F2608{AC}"),
    ("template 77 in template 77", f"770D770B9F2608{AC}"),
    ("behind the template", f"770482022000 9F2608{AC}".replace(" ", "")),
]


@pytest.mark.parametrize("keep_pan", [False, True])
@pytest.mark.parametrize("answer", [row[1] for row in KEPT], ids=[row[0] for row in KEPT])
def test_no_cryptogram_is_shown_or_kept(answer: str, keep_pan: bool) -> None:
    rows = {"A4:2PAY": directory(VISA), "A4:": fci(VISA), "A8": answer + "9000", "B2:1:1": answer + "9000"}
    for more in ({}, {"B2:1:2": answer.replace("77", "70", 1) + "9000"}):
        looked = Looked(scripted(rows | more), allow_gpo=True, keep_pan=keep_pan)
        assert looked.asked(GPO)
        for text in (looked.shown(), looked.json(), trace.text(looked.exchanges(), keep_pan=True)):
            assert AC[:6] not in text.replace(" ", "")


def test_the_mac_of_a_balance_is_not_kept() -> None:
    one = card("unionpay-ecash")
    looked = Looked(one.respond, allow_gpo=True, keep_pan=True)
    [answer] = [answer for answer in looked.answers if b"\x9f\x10" in answer]
    issuer_data = tlv.find(tlv.decode(answer[:-2]), 0x77, 0x9F10)
    assert issuer_data[8:10] == b"\x0a\x01"
    assert issuer_data[-4:].hex().upper() not in looked.shown()
    assert "MAC of the balance  not kept" in looked.words()
    assert "balance 0000010000 100.00" in looked.words()


def test_nothing_is_left_in_the_machine_that_was_read() -> None:
    import gc

    from paysim.emv.inspection import Done, Inspection, Warn

    one, inspection = card("visa"), Inspection(on=made("visa").expires, allow_gpo=True)
    step: Any = inspection.start()
    answers: list[bytes] = []
    while not isinstance(step, Done):
        if isinstance(step, Warn):
            step = inspection.go_on()
        else:
            answers.append(one.respond(step.command))
            step = inspection.receive(answers[-1])
    secrets = {
        value
        for answer in answers
        for tag, value in tlv.flatten(tlv.decode(answer[:-2]))
        if tag in (0x9F26, 0x9F4B)
    }
    assert len(secrets) == 2
    held: list[Any] = [inspection, step]
    for _ in range(6):
        held += [
            each
            for each in gc.get_referents(*held)
            if isinstance(each, (dict, list, tuple, bytes))
            or type(each).__module__.startswith("paysim.emv.inspection")
        ]
        assert not secrets & {each for each in held if isinstance(each, bytes)}


# No card number is shown, wherever it stands. ---------------------------------------------------------------

OTHER = "6222021234567890"[:15]


def seen(text: str, number: str = PAN) -> bool:
    """Whether more of a number can be read than six digits and four: packed, or as characters."""
    plain = "".join(text.split())
    forms = (number[:7], number[-5:], number[:7].encode().hex().upper(), number[-5:].encode().hex().upper())
    return any(form in plain or form in plain.upper() for form in forms)


PACKED = bytes.fromhex(PAN)
TEXT = PAN.encode()
PLACES: list[tuple[str, dict[str, str]]] = [
    ("label", {"A4:": fci(VISA, (0x50, TEXT))}),
    ("preferred name", {"A4:": fci(VISA, (0x9F12, TEXT))}),
    ("label, packed", {"A4:": fci(VISA, (0x50, PACKED))}),
    ("its own name", {"A4:": fci(PACKED)}),
    ("issuer discretionary data", {"A4:": fci(VISA, (0xBF0C, ((0xDF20, PACKED), (0xDF21, TEXT))))}),
    ("half a byte on", {"A4:": fci(VISA, (0xBF0C, ((0xDF20, bytes.fromhex(f"0{PAN}F")),)))}),
    ("issuer URL", {"A4:": fci(VISA, (0xBF0C, ((0x5F50, b"https://bank.example/" + TEXT),)))}),
    ("selection data (9F0A)", {"A4:": fci(VISA, (0xBF0C, ((0x9F0A, b"\x00\x01\x08" + PACKED),)))}),
    ("third party data (9F6E)", {"B2:1:1": hexed(((0x70, ((0x9F6E, b"\x08\x40\x00\x00" + PACKED),)),))}),
    ("cardholder's name", {"B2:1:1": hexed(((0x70, ((0x5F20, TEXT),)),))}),
    ("track 1", {"B2:1:1": hexed(((0x70, ((0x56, b"B" + TEXT + b"^A/B^2512201000"),)),))}),
    ("track 1, discretionary", {"B2:1:1": hexed(((0x70, ((0x9F1F, TEXT),)),))}),
    ("kernel 2's track", {"B2:1:1": hexed(((0x70, ((0x9F6B, PACKED + b"\xd2\x51\x22\x01\x00\x0f"),)),))}),
    ("an amount", {"CA:9F36": "9F3608" + PAN + "9000", "CA:9F5D": "9F5D08" + PAN + "9000"}),
    ("an expiry", {"B2:1:1": hexed(((0x70, ((0x5F24, PACKED),)),))}),
    ("a sequence number", {"B2:1:1": hexed(((0x70, ((0x5F34, PACKED),)),))}),
    ("an issuer's data", {"A8": hexed(((0x77, ((0x9F10, bytes.fromhex("06010A03A00000") + PACKED),)),))}),
    ("language", {"A4:": fci(VISA, (0x5F2D, TEXT))}),
    ("no objects", {"B2:1:1": "5F20FF" + PAN + "9000", "CA:9F17": PAN + "9000"}),
    ("format 80", {"A8": "800A2000" + PAN + "9000"}),
    ("in the status words of a list", {"A8": hexed(((0x77, ((0x94, PACKED),)),))}),
    (
        "in two records",
        {
            "B2:1:1": hexed(((0x70, ((0xDF20, PACKED[:4]),)),)),
            "B2:2:1": hexed(((0x70, ((0xDF21, PACKED[4:]),)),)),
            "B2:3:1": hexed(((0x70, ((0x5A, PACKED),)),)),
        },
    ),
    (
        "shown before it is known",
        {
            "A4:": fci(VISA, (0xBF0C, ((0x9F5A, PACKED[:4] + b"\xff" + PACKED[4:]),))),
            "B2:1:1": hexed(((0x70, ((0x57, PACKED + b"\xd2\x51\x22\x01"),)),)),
        },
    ),
]


@pytest.mark.parametrize("rows", [row[1] for row in PLACES], ids=[row[0] for row in PLACES])
@pytest.mark.parametrize("named", [True, False])
def test_a_number_is_masked_where_nobody_expects_it(rows: dict[str, str], named: bool) -> None:
    """Also where the card shows its number nowhere else, so that nobody knows it."""
    script = {"A4:2PAY": directory(VISA), "A4:": fci(VISA), "A8": OPTIONS, **rows}
    if named and "B2:3:1" not in script:
        script["B2:1:5"] = hexed(((0x70, ((0x5A, PACKED),)),))
    looked = Looked(scripted(script), allow_gpo=True)
    assert not seen(looked.shown() + looked.json()), looked.words()
    kept = looked.exchanges()
    assert not seen(trace.text(kept, width=10_000)), trace.text(kept)
    assert not seen(json.dumps(list(trace.objects(kept))))
    if "A8" not in rows:  # what may be a cryptogram is not kept either way
        assert seen(Looked(scripted(script), allow_gpo=True, keep_pan=True).shown())


def test_a_name_that_is_a_number_is_masked_in_the_directory_too() -> None:
    looked = Looked(
        scripted({"A4:2PAY": directory(PACKED), "A4:": fci(PACKED), "A8": OPTIONS}), allow_gpo=True
    )
    assert looked.said
    assert not seen(looked.shown() + looked.json())


def test_the_holder_is_shown_where_numbers_are_to_be_kept_alone() -> None:
    record = hexed(
        ((0x70, ((0x5F20, b"LEE/ALICE"), (0x9F61, b"11010119900307123X"), (0x9F0B, b"LEE/ALICE" * 3))),)
    )
    script = {"A4:2PAY": directory(VISA), "A4:": fci(VISA), "B2:1:1": record}
    looks = [Looked(scripted(script), keep_pan=keep) for keep in (False, True)]
    hidden, kept = (looked.shown() + looked.json() for looked in looks)
    for word in ("ALICE", b"ALICE".hex(), "1101011990", b"1101011990".hex()):
        assert word.lower() not in hidden.lower()
        assert word.lower() in kept.lower()


# What a card writes reaches nobody's terminal as it is. -----------------------------------------------------

ESCAPES = [
    b"\x1b[2J\x1b[31mVISA",
    b"VISA\x9b2J",
    b"VISA\r\n  done",
    b"VISA\x07\x08\x7f",
    b"\xe2\x80\xaeASIV",  # UTF-8 of a mark that turns the writing round
    b"VISA\xad\xa0\x85",
]


@pytest.mark.parametrize("written", ESCAPES)
@pytest.mark.parametrize("keep_pan", [False, True])
def test_what_a_card_writes_is_harmless(
    written: bytes, keep_pan: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ((0x9F12, written), (0x5F2D, written), (0xBF0C, ((0x5F50, written), (0xDF20, written))))
    named = tlv.encode(((0x6F, ((0x84, VISA), (0xA5, ((0x50, written), *more)))),)).hex()
    rows = {"A4:2PAY": directory(VISA, label=written), "A4:": f"{named}9000", "A8": OPTIONS}
    rows["B2:1:1"] = hexed(((0x70, ((0x5F20, written), (0x56, written))),))
    looked = Looked(scripted(rows), allow_gpo=True, keep_pan=keep_pan)
    screen, programs = Screen(), Screen(as_json=True)
    for _, words in looked.said:
        screen.head(words)
    for node in looked.report.tree():
        for line in trace.node_lines(node):
            screen.say(line)
    for line in trace.lines(looked.exchanges(), keep_pan=keep_pan):
        screen.say(line.text)
    programs.result({"card": [trace.as_object(node) for node in looked.report.tree()]})
    shown = capsys.readouterr().out
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert "\n  done" not in shown
    [said] = looked.said
    assert "\n" not in said[1]


def test_a_label_takes_no_more_room_than_a_label_has() -> None:
    rows = {"A4:2PAY": directory(VISA, label=b"VISA: " + b"nothing will happen " * 9), "A4:": fci(VISA)}
    looked = Looked(scripted(rows | {"A8": OPTIONS}), allow_gpo=True)
    assert looked.said[0][1].startswith("VISA: nothing wi A0000000031010: GET PROCESSING OPTIONS comes now")
