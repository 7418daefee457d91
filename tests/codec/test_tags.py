"""The tag dictionary: every tag that the facts name, what differs between kernels, and no slips."""

from __future__ import annotations

import typing

import pytest
from counts import count

from paysim.codec import tlv
from paysim.codec.bits import FIELDS
from paysim.codec.tags import KERNELS, TAGS, Format, Source, Tag, look_up

# The tags of emv_kernels.md and emv_nfc.md section 3, by the kernel in whose part they stand (0: in a shared
# one).
NAMED = {
    0: """4F 50 57 5A 61 6F 70 71 72 73 77 80 82 83 84 87 88 8A 8C 8D 8E 8F 90 91 92 93 94 95 9A 9B 9C A5 BF0C
          5F24 5F25 5F28 5F2A 5F34 9F02 9F03 9F07 9F08 9F09 9F0A 9F0D 9F0E 9F0F 9F10 9F13 9F17 9F1A 9F1B 9F21
          9F26 9F27 9F28 9F29 9F2A 9F32 9F33 9F34 9F35 9F36 9F37 9F38 9F39 9F42 9F45 9F46 9F47 9F48 9F49 9F4A
          9F4B 9F4C 9F4F DF8115 DF8116 DF8129""",
    2: """9F1D 9F50 9F51 9F5D 9F63 9F66 9F69 9F6C 9F6E 9F7C 9F7E DF4B DF8104 DF8105 DF8117
          DF8118 DF8119 DF811B DF811C DF811D DF811F DF8120 DF8121 DF8122 DF8123 DF8124 DF8125 DF8126
          DF812D DF8130 DF8131 DF8132 DF8133 DF8134 DF8135 DF8136 DF8137 DF8301 DF8302 FF8101""",
    3: "9F54 9F5A 9F5B 9F5D 9F66 9F68 9F69 9F6B 9F6C 9F6E 9F7C",
    7: "9F54 9F5D 9F63 9F66 9F68 9F69 9F6B 9F6C 9F6D 9F74 9F77 9F78 9F79 9F7A 9F7B 9F7C DF19 DF20 DF21",
}

# kernel, tag, words of its name, format, bytes, source
MEANINGS = [
    (3, 0x9F66, "Terminal Transaction Qualifiers", "bits", (4, 4), "terminal"),
    (7, 0x9F66, "Terminal Transaction Qualifiers", "bits", (4, 4), "terminal"),
    (2, 0x9F66, "PUNATC", "b", (2, 2), "card"),
    (3, 0x9F6C, "Card Transaction Qualifiers", "bits", (2, 2), "card"),
    (2, 0x9F6C, "Mag-stripe", "b", (2, 2), "card"),
    (3, 0x9F6E, "Form Factor", "bits", (4, 32), "card"),
    (2, 0x9F6E, "Third Party Data", "b", (5, 32), "card"),
    (3, 0x9F5D, "Available Offline Spending", "n", (6, 6), "card"),
    (2, 0x9F5D, "Capabilities", "bits", (3, 3), "card"),
    (3, 0x9F69, "Card Authentication", "b", (5, 16), "card"),
    (2, 0x9F69, "UDOL", "dol", (0, 250), "card"),
    (7, 0x9F63, "Product", "b", (16, 16), "card"),
    (2, 0x9F63, "PUNATC", "b", (6, 6), "card"),
    (7, 0x9F6B, "CVM Limit", "n", (6, 6), "card"),
    (2, 0x9F6B, "Track 2", "b", (0, 19), "card"),
    (7, 0x9F79, "Electronic Cash Balance", "n", (6, 6), "card"),
    (0, 0x9F02, "Amount, Authorised", "n", (6, 6), "terminal"),
    (7, 0x9F02, "Amount, Authorised", "n", (6, 6), "terminal"),
    (0, 0x5A, "PAN", "cn", (0, 10), "card"),
    (0, 0x8A, "Response Code", "an", (2, 2), "issuer"),
    (0, 0x9F38, "PDOL", "dol", (0, 252), "card"),
    (0, 0x95, "TVR", "bits", (5, 5), "terminal"),
]


@pytest.mark.parametrize("kernel", NAMED)
def test_every_tag_of_the_facts_is_known(kernel):
    missing = [name for name in NAMED[kernel].split() if look_up(int(name, 16), kernel) is None]
    assert missing == []


@pytest.mark.parametrize(("kernel", "number", "words", "form", "length", "source"), MEANINGS)
def test_a_tag_means_what_its_kernel_says(kernel, number, words, form, length, source):
    tag = look_up(number, kernel)
    assert words in tag.name
    assert (tag.number, tag.format, (tag.least, tag.most), tag.source) == (number, form, length, source)


def slips(kernel: int, tag: Tag):
    """What is wrong with a row of the table."""
    if kernel not in KERNELS:
        yield "an unknown kernel"
    if tlv.tag_bytes(tag.number) and tlv.is_constructed(tag.number) != (tag.format == "template"):
        yield "a template is what has a constructed tag"
    if tag.format not in typing.get_args(Format) or tag.source not in typing.get_args(Source):
        yield "no such format or source"
    if not 0 <= tag.least <= tag.most <= 65_535:
        yield "lengths the wrong way round"
    if tag.format == "bits" and not tag.bits:
        yield "bits without a table"
    if tag.bits and tag.bits not in FIELDS:
        yield "a table that does not exist"
    if any(
        around not in (0x80, *(t.number for t in TAGS.values() if t.format == "template"))
        for around in tag.templates
    ):
        yield "inside what is no template"
    if not tag.name or tag.name != tag.name.strip():
        yield "no name"


def test_the_table_has_no_slips():
    found = [(key, slip) for key, tag in TAGS.items() for slip in slips(key[0], tag) if key[1] == tag.number]
    assert found == []
    assert all(key[1] == tag.number for key, tag in TAGS.items())


def test_no_bit_table_is_for_nothing():
    used = {tag.bits for tag in TAGS.values()}
    inside = {"CVR", "CVR.mchip", "CVM rule"}  # parts of 9F10 and 8E
    assert set(FIELDS) - used == inside


def test_names_are_not_used_twice_for_one_kernel():
    for kernel in KERNELS:
        names = [tag.name for key, tag in TAGS.items() if key[0] == kernel]
        assert len(set(names)) == len(names)


def test_what_nobody_knows_is_none():
    assert look_up(0xDF01) is None
    assert look_up(0xDF811B, 3) is None
    assert look_up(0x9F02, 99).name == look_up(0x9F02).name
    for number in range(count(200_000)):
        tag = look_up(number, number % 9)
        assert tag is None or tag.number == number
