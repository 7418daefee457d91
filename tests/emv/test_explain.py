"""EMV's bytes in words: every tag, every bit, commands and answers, and any bytes at all."""

from __future__ import annotations

import random
import re

import pytest
from counts import count

from paysim.codec import tlv
from paysim.codec.bits import FIELDS
from paysim.codec.tags import TAGS, Tag
from paysim.emv.explain import Explained, Reading
from paysim.emv.explain_commands import COMMANDS
from paysim.emv.explain_issuer_data import issuer_parts

UNIONPAY_SELECT = "00A4040008A00000033301010100"
UNIONPAY_FCI = (
    "6F438408A000000333010101A537500E556E696F6E5061792044656269748701019F380E9F66049F02069F37045F2A029C01"
    "5F2D047A68656EBF0C09DF7F0670617973696D9000"
)
UNIONPAY_GPO = "80A8000013831126004080000000000990439A66DC01560000"

SAMPLES = {
    "n": lambda row: bytes(row.least),
    "cn": lambda row: bytes.fromhex("6234560000000073")[: row.most] if row.most < 8 else b"\x12\x34",
    "an": lambda row: b"A" * min(row.most, max(2, row.least)),
    "ans": lambda row: b"a" * max(2, row.least),
    "b": lambda row: bytes(max(1, row.least)),
    "bits": lambda row: bytes(row.least),
    "dol": lambda row: bytes.fromhex("9F0206")[: max(3, row.least)],
    "template": lambda row: b"",
}
OWN_SAMPLES = {
    0x57: "6234560000000073D31012010000000F",
    0x5F24: "331031",
    0x5F25: "200101",
    0x9A: "260101",
    0x9F10: "06010A03A00000",
    0x8E: "000000000000000042031F03",
    0x94: "08010100",
    0x9F2A: "07",
    0x9F4A: "82",
    0x9F6B: "6234560000000073D31012010000000F",
    0xDF8115: "000000000000",
    0xDF8129: "10F0F00080F0FF00",
}
WITHOUT_WORDS = {"b", "template", "dol"}


def sample(row: Tag, kernel: int) -> bytes:
    """A good value of a data element."""
    if row.number == 0x9F6B and kernel != 2:
        return bytes(6)
    if row.number in OWN_SAMPLES:
        return bytes.fromhex(OWN_SAMPLES[row.number])
    return SAMPLES[row.format](row)


def every_node(node: Explained) -> list[Explained]:
    return [node, *(below for inner in node.inside for below in every_node(inner))]


@pytest.mark.parametrize(("kernel", "tag"), TAGS, ids=lambda number: f"{number:X}")
def test_each_tag_of_the_dictionary_has_a_name_and_words(kernel: int, tag: int) -> None:
    row = TAGS[kernel, tag]
    found = Reading(kernel).value(tag, sample(row, kernel))
    assert (found.name, found.faults) == (row.name, ())
    if row.format not in WITHOUT_WORDS:
        assert found.words
    if row.format == "dol" and row.number != 0x9F69:
        assert [(inner.label, inner.words) for inner in found.inside] == [("9F02", ("6 bytes",))]


BITS = [
    (kernel, tag, key, words)
    for (kernel, tag), row in TAGS.items()
    if row.bits
    for key, words in FIELDS[row.bits].items()
]


@pytest.mark.parametrize(("kernel", "tag", "key", "words"), BITS)
def test_each_bit_of_each_field_is_said_by_name(kernel: int, tag: int, key: str, words: str) -> None:
    part = re.fullmatch(r"b(\d+)(?:\.(\d)(?:-(\d))?)?(?:=(\w+))?", key)
    assert part
    byte, high, low, value = part.groups()
    shift = int(low or high or 1) - 1
    number = 1 if value is None else int(value, 16 if high is None else 2)
    size = max(int(byte), TAGS[kernel, tag].least)
    data = bytearray(size)
    data[int(byte) - 1] = number << shift
    found = Reading(kernel).value(tag, bytes(data))
    assert words in found.words or f"{words}: 1" in found.words


WORDS = [
    # kernel, tag, value, words
    (0, "9F02", "000000000990", ("9.90",)),
    (0, "81", "000003DE", ("9.90",)),
    (0, "9F1B", "00002710", ("100.00",)),
    (3, "9F6B", "000000100000", ("1000.00",)),
    (0, "9A", "260101", ("2026-01-01",)),
    (0, "9F21", "230509", ("23:05:09",)),
    (0, "5F2A", "0156", ("CNY",)),
    (0, "5F2A", "0999", ("currency 999",)),
    (0, "9F1A", "0156", ("China",)),
    (0, "9F1A", "0007", ("country 007",)),
    (0, "9C", "00", ("purchase of goods or services",)),
    (0, "5A", "6234560000000073", ("623456******0073",)),
    (0, "50", "554E494F4E", ("UNION",)),
    (0, "5F2D", "7A68656E", ("zh, en",)),
    (0, "5F30", "0201", ("201: international, with chip",)),
    (0, "4F", "A000000333010101", ("UnionPay debit",)),
    (0, "84", "A0000000031010", ("Visa",)),
    (0, "84", "325041592E5359532E4444463031", ("2PAY.SYS.DDF01, the directory of contactless applications",)),
    (0, "82", "2000", ("DDA supported",)),
    (0, "95", "0000000000", ("nothing set",)),
    (0, "94", "1001010118010400", ("SFI 2: record 1, signed", "SFI 3: records 1 to 4")),
    (0, "94", "08010301", ("SFI 1: records 1 to 3, the first 1 signed",)),
    (0, "9F36", "0010", ("16",)),
    (0, "9F32", "010001", ("exponent 65537",)),
    (0, "8F", "F1", ("key F1",)),
    (0, "8A", "3030", ("00 (approved)",)),
    (0, "8A", "5931", ("Y1 (approved offline)",)),
    (0, "8A", "0001", ("0001",)),
    (0, "91", "E4E64DEE786E989B3030", ("ARPC E4E64DEE786E989B", "response code 00 (approved)")),
    (0, "91", "B4C698B600120000", ("ARPC B4C698B6", "card status update 00120000")),
    (0, "9F2A", "07", ("kernel 7",)),
    (0, "9F4A", "82", ("82 Application Interchange Profile (AIP)",)),
    (0, "9F5B", "200000000112", ("script 00000001 done", "script  failed at command 2")),
    (0, "99", "1234", ("2 bytes, not shown",)),
    (
        3,
        "9F69",
        "01A1B2C3D48000",
        ("fDDA version 01", "card's number A1B2C3D4", "CTQ 8000: online PIN required"),
    ),
    (
        0,
        "57",
        "6234560000000073D3101201000000",
        ("number 623456******0073", "expires 2031-01", "service code 201"),
    ),
    (
        0,
        "8E",
        "0000006400000000420302061F00",
        (
            "X 1.00, Y 0.00",
            "enciphered PIN verified online, if the terminal supports the CVM, "
            "apply the next rule if unsuccessful",
            "enciphered PIN verified online, if in the application currency and under X",
            "no CVM required, always",
        ),
    ),
]


@pytest.mark.parametrize(("kernel", "tag", "value", "words"), WORDS)
def test_a_value_is_said_by_its_format(kernel: int, tag: str, value: str, words: tuple[str, ...]) -> None:
    assert Reading(kernel).value(int(tag, 16), bytes.fromhex(value)).words == words


FAULTS = [
    ("9F02", "00000000099A", "no such value: the half byte A has no place here"),
    ("9A", "261301", "no such value: no such date"),
    ("95", "00", "1 bytes, where 5 are due"),
    ("94", "0801", "no such value: an entry is 4 bytes"),
    ("57", "1234", "no such value: track 2 is a card number"),
    ("9F10", "06", "no such value: 9F10: expected 7 to 32 bytes, got 1 bytes"),
    ("9F38", "9F66049F", "no tag of one to four bytes begins here"),
]


@pytest.mark.parametrize(("tag", "value", "fault"), FAULTS)
def test_what_is_wrong_with_a_value_is_said(tag: str, value: str, fault: str) -> None:
    found = Reading().value(int(tag, 16), bytes.fromhex(value))
    assert any(one.startswith(fault) for one in found.faults), found.faults


def test_a_currency_that_was_read_holds_for_amounts() -> None:
    reading = Reading()
    reading.value(0x5F2A, bytes.fromhex("0392"))
    assert reading.value(0x9F02, bytes.fromhex("000000000990")).words == ("990 JPY",)


# Issuer application data. ---------------------------------------------------------------------------------

ISSUER_DATA = [
    # 9F10, kernel, method, results, what is behind them
    ("06010A03A40000", 0, "visa10", "03A40000", []),
    ("06011203A00000", 3, "visa18", "03A00000", []),
    ("1F22010100000000" + "00" * 24, 0, "visa22", "0100000000", ["issuer's own data"]),
    ("07010103A0000001", 7, "unionpay01", "03A00000", ["algorithm"]),
    (
        "0701110390000001" + "0A01" + "0000009010" + "54F2177D",
        7,
        "unionpay17",
        "03900000",
        ["algorithm", "balance", "MAC of the balance"],
    ),
    ("0110A00000000000DAC0" + "00" * 8, 2, "mchip16", "A00000000000", ["issuer's own data"]),
    ("0110A00000000000DAC0" + "00" * 8, 0, "mchip16", "A00000000000", ["issuer's own data"]),
]


@pytest.mark.parametrize(("data", "kernel", "method", "results", "behind"), ISSUER_DATA)
def test_issuer_application_data_are_taken_apart(
    data: str, kernel: int, method: str, results: str, behind: list[str]
) -> None:
    index, version, said, *rest = issuer_parts(bytes.fromhex(data), kernel)
    assert (index.value, version.words, said.value) == ("01", (f"method {method}",), results)
    assert said.words
    assert [part.name for part in rest] == behind


def test_a_balance_in_issuer_application_data_is_an_amount() -> None:
    data = bytes.fromhex("0701110390000001" + "0A01" + "0000009010" + "54F2177D")
    parts = {part.name: part for part in issuer_parts(data, 7)}
    assert parts["balance"].words == ("90.10",)
    assert parts["algorithm"].words == ("3DES",)
    bad = issuer_parts(data.replace(bytes.fromhex("0000009010"), bytes.fromhex("00000090FF")), 7)
    assert bad[4].words[0].startswith("no number")


def test_a_version_that_nobody_knows_is_said_to_be_so() -> None:
    assert issuer_parts(bytes.fromhex("0601FF03A40000"))[1].words == ("no method that paysim knows",)


# Commands and answers. ------------------------------------------------------------------------------------


def test_a_dialogue_is_explained_by_the_cards_own_list() -> None:
    reading = Reading()
    selected = reading.command(bytes.fromhex(UNIONPAY_SELECT))
    assert (selected.name, selected.words, reading.kernel) == ("SELECT", ("UnionPay debit",), 7)
    answer = reading.response(bytes.fromhex(UNIONPAY_FCI))
    assert (answer.name, answer.words) == ("9000", ("done",))
    [fci] = answer.inside
    assert [node.label for node in every_node(fci)][:4] == ["6F", "84", "A5", "50"]
    asked = reading.command(bytes.fromhex(UNIONPAY_GPO))
    assert [(node.label, node.words[:1]) for node in asked.inside] == [
        ("9F66", ("EMV mode supported (qVSDC, qPBOC)",)),
        ("9F02", ("9.90 CNY",)),
        ("9F37", ()),
        ("5F2A", ("CNY",)),
        ("9C", ("purchase of goods or services",)),
    ]


COMMAND_WORDS = [
    ("00B2011400", "READ RECORD", ("record 1 of SFI 2",)),
    ("80CA9F3600", "GET DATA", ("9F36 Application Transaction Counter (ATC)",)),
    ("80CA9F7900", "GET DATA", ("9F79 Offline Balance",)),
    ("80AE90000400000000", "GENERATE AC", ("ARQC is asked for", "with CDA")),
    ("00A4040207A000000003101000", "SELECT", ("Visa", "the next of this name")),
    ("00A4040005F00000000100", "SELECT", ("F000000001",)),
    ("00A4000000", "SELECT", ("by P1 00",)),
    ("0088000004000000000000"[:20], "INTERNAL AUTHENTICATE", ()),
    ("00820000081122334455667788", "EXTERNAL AUTHENTICATE", ()),
    ("84DA9F790A0000000010001122334400"[:30], "PUT DATA", ("9F79 Offline Balance",)),
    ("901100000400000000", "command 90 11", ()),
]


@pytest.mark.parametrize(("data", "name", "words"), COMMAND_WORDS)
def test_a_command_says_what_it_asks_for(data: str, name: str, words: tuple[str, ...]) -> None:
    found = Reading().command(bytes.fromhex(data))
    assert (found.name, found.words) == (name, words)


@pytest.mark.parametrize("head", ["0020008008", "8424000008"])
@pytest.mark.parametrize("keep_pan", [False, True])
def test_a_pin_is_shown_to_nobody(head: str, keep_pan: bool) -> None:
    found = Reading(keep_pan=keep_pan).command(bytes.fromhex(f"{head}241234FFFFFFFFFF"))
    assert found.value == head + "*" * 16
    assert "1234" not in str(found)


def test_every_command_of_the_table_has_a_name_of_its_own() -> None:
    names = [named.name for named in COMMANDS.values()]
    assert len(set(names)) == len(names)


FORMAT_1 = [
    ("80A8000002830000", "800A2000080101001001010190 00".replace(" ", ""), ["82", "94"]),
    ("80AE800000", "8012800001112233445566778806010A03A000009000", ["9F27", "9F36", "9F26", "9F10"]),
    ("0088000000", "8004112233449000", ["9F4B"]),
]


@pytest.mark.parametrize(("asked", "answer", "labels"), FORMAT_1)
def test_an_answer_without_tags_is_explained_by_places(asked: str, answer: str, labels: list[str]) -> None:
    reading = Reading()
    reading.command(bytes.fromhex(asked))
    [template] = reading.response(bytes.fromhex(answer)).inside
    assert [node.label for node in template.inside] == labels


def test_the_second_generate_ac_is_read_by_the_second_list() -> None:
    reading = Reading()
    reading.value(0x8C, bytes.fromhex("9A03"))
    reading.value(0x8D, bytes.fromhex("8A02"))
    first = reading.command(bytes.fromhex("80AE80000326010100"))
    second = reading.command(bytes.fromhex("80AE40000230 3000".replace(" ", "")))
    assert [first.inside[0].label, second.inside[0].label] == ["9A", "8A"]


def test_a_script_command_inside_a_template_is_explained() -> None:
    command = bytes.fromhex("84DA9F790A00000000100011223344")
    script = tlv.encode([(0x72, [(0x9F18, bytes(4)), (0x86, command)])])
    [template] = Reading().objects(script)
    assert template.inside[1].inside[0].words == ("9F79 Offline Balance",)


def test_data_that_do_not_fit_the_list_are_said_to_be_so() -> None:
    reading = Reading()
    assert reading.command(bytes.fromhex(UNIONPAY_GPO)).inside[0].words == ("the list is not known",)
    reading.value(0x9F38, bytes.fromhex("9F0206"))
    assert "more than the list asks for" in reading.command(bytes.fromhex(UNIONPAY_GPO)).inside[0].faults[0]
    assert reading.command(bytes.fromhex("80A80000021234")).inside[0].faults


def test_objects_up_to_a_fault_are_explained_and_the_fault_after_them() -> None:
    *good, bad = Reading().objects(bytes.fromhex("9F360200017703820200"))
    assert [node.label for node in good] == ["9F36", "77"]
    assert bad.faults[0].startswith("the object 82 is 1 bytes longer than what is left")


# Any bytes. -----------------------------------------------------------------------------------------------


def test_any_bytes_are_explained_without_an_error() -> None:
    chance = random.Random(5)
    tags = [tag for _, tag in TAGS]
    good = [bytes.fromhex(text) for text in (UNIONPAY_SELECT, UNIONPAY_FCI, UNIONPAY_GPO)]
    reading = Reading()
    for number in range(count(200_000)):
        if number % 100 == 0:
            reading = Reading(chance.choice((0, 2, 3, 7)), keep_pan=chance.random() < 0.2)
        data = chance.randbytes(chance.choice((0, 1, 2, 3, 4, 5, 6, 8, 10, 20, 40)))
        if chance.random() < 0.3:
            changed = bytearray(chance.choice(good))
            changed[chance.randrange(len(changed))] = chance.randrange(256)
            data = bytes(changed)
        what = chance.choice((reading.objects, reading.command, reading.response, None))
        found = what(data) if what else reading.value(chance.choice(tags), data)
        for node in found if isinstance(found, tuple) and not isinstance(found, Explained) else (found,):
            for one in every_node(node):
                assert one.name
                assert all(word.isprintable() for word in (*one.words, *one.faults)), one
