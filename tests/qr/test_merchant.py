"""Merchant-presented codes against known answers, and what an app asks of a code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from counts import count
from hypothesis import given
from strategies_qr import merchant_fields, mutated

from paysim.codec import emvqr
from paysim.core.errors import LocalProtocolError, UsageError
from paysim.core.money import CNY, Money
from paysim.qr import merchant, profiles
from paysim.qr.merchant import TOLERABLE, MerchantCode, Tip

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "emv_qr.json").read_text("utf-8"))
VALID = [item for item in VECTORS["valid"] if item["mode"] == "mpm"]
INVALID = [item for item in VECTORS["invalid"] if item["mode"] == "mpm"]
ANNEX_B = next(item for item in VALID if item["id"] == "emvco-annex-b")["payload"]

PROFILED = [item for item in VALID if item["profile"] in profiles.PROFILES]

# Codes that the data file calls plain EMVCo, and the profile that their GUID or root object names.
RECOGNISED = {
    "steplix-ph-p2p-static": "qrph",
    "steplix-ph-p2p-amount": "qrph",
    "dongri-3": "unionpay",
    "d-multi-network": "hkfps",
}

BASE = {
    "00": "01",
    "01": "12",
    "26": {"00": "paysim.sandbox", "01": "shop"},
    "52": "5411",
    "53": "156",
    "54": "23.72",
    "58": "CN",
    "59": "TEA HOUSE",
    "60": "BEIJING",
}


def ids(item: dict) -> str:
    return item["id"]


def codes(code: MerchantCode) -> list[str]:
    return [found.code for found in code.issues]


def strict(fields: dict) -> list[str]:
    return codes(merchant.decode(merchant.encode(fields), mode="strict"))


def changed(**objects: object) -> dict:
    """BASE with objects replaced (`_54="0"`) or left out (`_54=None`)."""
    fields = {**BASE, **{name[1:]: value for name, value in objects.items()}}
    return {ident: value for ident, value in fields.items() if value is not None}


@pytest.mark.parametrize("item", VALID, ids=ids)
class TestKnownCodes:
    def test_strict_reports_exactly_the_deviations(self, item):
        code = merchant.decode(item["payload"], mode="strict")
        assert set(codes(code)) == set(item["emvco_issues"])
        assert code.valid is item["strict_emvco"]

    def test_fields(self, item):
        assert merchant.decode(item["payload"]).fields == item["fields"]

    def test_profile_forgives_what_it_lists(self, item):
        code = merchant.decode(item["payload"])
        row = profiles.PROFILES.get(code.profile)
        left = [
            found
            for found in merchant.decode(item["payload"], mode="strict").issues
            if row is None or not (found.code in row.forgives or found.path in row.raw)
        ]
        assert list(code.issues) == left
        assert code.valid is (item["profile"] != "emvco-nonstrict")

    def test_accessors(self, item):
        code = merchant.decode(item["payload"])
        assert {name: getattr(code, name) for name in item["expected_pos"]} == item["expected_pos"]

    def test_written_again_it_is_the_same_text(self, item):
        code = merchant.decode(item["payload"])
        assert merchant.encode(code) == item["payload"]
        assert emvqr.crc(item["payload"][:-4]) == item["crc"]

    def test_every_object_is_explained(self, item):
        rows = merchant.decode(item["payload"]).explain()
        assert [path for path, name, _ in rows if not name and "." not in path] == []
        assert rows[0] == ("00", "Payload format indicator", "01")

    def test_both_gears_read_alike(self, item):
        assert emvqr.examine(item["payload"])[:3] == emvqr.decode(item["payload"])[:3]


@pytest.mark.parametrize("item", PROFILED, ids=ids)
def test_a_national_code_is_recognised(item):
    assert merchant.decode(item["payload"]).profile == item["profile"]


def test_plain_codes_have_no_profile_but_these():
    plain = {item["id"]: merchant.decode(item["payload"]).profile for item in VALID if item not in PROFILED}
    assert {name: profile for name, profile in plain.items() if profile} == RECOGNISED


@pytest.mark.parametrize("item", INVALID, ids=ids)
class TestKnownFaults:
    def test_strict_reports_every_expected_issue(self, item):
        assert set(item["errors"]) <= set(codes(merchant.decode(item["payload"], mode="strict")))

    def test_profile_reports_them_less_what_it_forgives(self, item):
        code = merchant.decode(item["payload"])
        row = profiles.PROFILES.get(code.profile)
        assert set(item["errors"]) - (row.forgives if row else set()) <= set(codes(code))
        assert not code.valid

    def test_lenient_accepts_only_what_is_tolerable(self, item):
        code = merchant.decode(item["payload"], mode="lenient")
        assert not set(codes(code)) & TOLERABLE
        assert code.valid is (set(item["errors"]) <= TOLERABLE)

    def test_issues_stand_in_order_of_position(self, item):
        issues = merchant.decode(item["payload"], mode="strict").issues
        assert [found.offset for found in issues] == sorted(found.offset for found in issues)
        assert all(0 <= found.offset <= len(item["payload"]) and found.text for found in issues)


# name, change to BASE, code, path, the object's offset
BROKEN = [
    ("payload format indicator", {"_00": "02"}, "PFI_VALUE", "00", 0),
    ("point of initiation of three digits", {"_01": "012"}, "POI_VALUE", "01", 6),
    ("category with a letter", {"_52": "54A1"}, "FORMAT_52", "52", 42),
    ("category of three digits", {"_52": "541"}, "LENGTH_52", "52", 42),
    ("currency in another script", {"_53": "١٥٦"}, "FORMAT_53", "53", 50),
    ("amount of one point", {"_54": "."}, "AMOUNT_FORMAT", "54", 57),
    ("amount of nothing but zeroes", {"_54": "0.00"}, "AMOUNT_ZERO", "54", 57),
    ("tip indicator 04", {"_55": "04"}, "TIP_VALUE", "55", 96),
    ("fixed fee of zero", {"_55": "02", "_56": "0"}, "FEE_56_ZERO", "56", 102),
    ("fixed fee in words", {"_55": "02", "_56": "five"}, "FORMAT_56", "56", 102),
    ("fixed fee of 14 digits", {"_55": "02", "_56": "1" * 14}, "LENGTH_56", "56", 102),
    ("no fixed fee", {"_55": "02"}, "FEE_56_MISSING", "56", 110),
    ("percentage of 100", {"_55": "03", "_57": "100"}, "FEE_57_RANGE", "57", 102),
    ("percentage of three decimals", {"_55": "03", "_57": "0.125"}, "FEE_57_FORMAT", "57", 102),
    ("percentage with its sign", {"_55": "03", "_57": "5%"}, "FEE_57_FORMAT", "57", 102),
    ("no name", {"_59": None}, "MISSING_59", "59", 91),
    ("control character in the city", {"_60": "BEI\nJING"}, "FORMAT_60", "60", 85),
    ("postal code of 11", {"_61": "1" * 11}, "LENGTH_61", "61", 96),
    ("account of letters with accents", {"_02": "café"}, "FORMAT_02", "02", 96),
    ("owner with accents", {"_27": {"00": "café"}}, "FORMAT_27", "27.00", 100),
    ("decomposed accent", {"_27": {"00": "cafe", "01": "cafe\u0301"}}, "FORMAT_27", "27.01", 108),
    ("bill number in Chinese", {"_62": {"01": "最佳"}}, "FORMAT_62", "62.01", 100),
    ("tax ID of 21", {"_62": {"10": "1" * 21}}, "LENGTH_62_10", "62.10", 100),
    ("channel of two digits", {"_62": {"11": "00"}}, "LENGTH_62_11", "62.11", 100),
    ("payment system without owner", {"_62": {"50": {"01": "x"}}}, "NO_GUID_62", "62.50", 100),
    (
        "payment system with a long owner",
        {"_62": {"50": {"00": "x" * 33}}},
        "GUID_LENGTH_62",
        "62.50.00",
        104,
    ),
    ("payment system that is cut", {"_62": {"50": "0099x"}}, "TEMPLATE_62_TRUNCATED", "62.50", 104),
    ("language of digits", {"_64": {"00": "12", "01": "x"}}, "FORMAT_64", "64.00", 100),
    ("language of three letters", {"_64": {"00": "zho", "01": "x"}}, "LENGTH_64_00", "64.00", 100),
    ("local name of 26", {"_64": {"00": "zh", "01": "北" * 26}}, "LENGTH_64_01", "64.01", 106),
    ("local city of 16", {"_64": {"00": "zh", "01": "x", "02": "北" * 16}}, "LENGTH_64_02", "64.02", 111),
    ("template with an ID in letters", {"_26": "AA02xy"}, "BAD_ID", "26", 16),
    ("template with a length in letters", {"_26": "00XXxy"}, "BAD_LENGTH", "26", 16),
    ("unreserved template that is cut", {"_80": "00"}, "TEMPLATE_80_TRUNCATED", "80", 100),
]


@pytest.mark.parametrize(
    ("change", "code", "path", "offset"), [row[1:] for row in BROKEN], ids=[r[0] for r in BROKEN]
)
def test_one_fault_is_one_issue_at_its_place(change, code, path, offset):
    found = merchant.decode(merchant.encode(changed(**change)), mode="strict").issues
    assert [one[:3] for one in found] == [(code, path, offset)]


RIGHT = [
    ("amount that begins with the point", {"_54": ".50"}),
    ("amount of 13 digits", {"_54": "1234567890123"}),
    ("fixed fee", {"_55": "02", "_56": "1.5"}),
    ("highest percentage", {"_55": "03", "_57": "99.99"}),
    ("all of the consumer's data", {"_62": {"09": "EMA"}}),
    ("Chinese in an account template", {"_27": {"00": "x", "01": "茶馆"}}),
    ("accents that are precomposed", {"_27": {"00": "x", "01": "café"}}),
    ("reserved objects", {"_65": "x", "_79": "茶"}),
    ("nothing in the language template but what is reserved", {"_64": {"00": "zh", "01": "茶", "99": "x"}}),
    ("no amount", {"_54": None}),
]


@pytest.mark.parametrize("change", [row[1] for row in RIGHT], ids=[row[0] for row in RIGHT])
def test_what_is_right_has_no_issue(change):
    assert strict(changed(**change)) == []


class TestSyntaxOfTheWholeCode:
    def test_of_a_repeated_object_the_first_counts(self):
        text = merchant.encode(BASE)[:-8] + "5405999996304"
        code = merchant.decode(text + emvqr.crc(text))
        assert codes(code) == ["DUPLICATE_ID"]
        assert code.amount == "23.72"

    def test_something_after_the_crc(self):
        code = merchant.decode(merchant.encode(BASE) + "6101x")
        assert codes(code) == ["LAST_NOT_63"]

    def test_the_first_object_is_not_00(self):
        text = "0102120002" + "01" + merchant.encode(BASE)[12:-4]
        assert codes(merchant.decode(text + emvqr.crc(text))) == ["FIRST_NOT_00"]

    def test_nothing_at_all(self):
        code = merchant.decode("")
        assert set(codes(code)) >= {"CRC_MISSING", "NO_MERCHANT_ACCOUNT", "MISSING_52"}

    def test_a_lone_surrogate_is_an_issue_not_an_error(self):
        text = merchant.encode(BASE)[:-8].replace("TEA HOUSE", "TEA\ud800HOUSE") + "6304"
        assert codes(merchant.decode(text + emvqr.crc(text))) == ["FORMAT_59"]

    def test_crc_in_lower_case_is_accepted_by_lenient_alone(self):
        text = merchant.encode(changed(_61="00171"))
        assert text[-4:] != text[-4:].lower()
        small = text[:-4] + text[-4:].lower()
        assert codes(merchant.decode(small)) == ["CRC_LOWERCASE"]
        assert merchant.decode(small, mode="lenient").valid


class TestProfiles:
    def test_duitnow_has_payload_format_02_and_no_other(self):
        fields = {**BASE, "00": "02", "26": {"00": "A0000006150001", "01": "689003"}, "53": "458", "58": "MY"}
        assert codes(merchant.decode(merchant.encode(fields))) == []
        assert strict(fields) == ["PFI_VALUE"]
        assert codes(merchant.decode(merchant.encode({**fields, "00": "03"}))) == ["PFI_VALUE"]

    def test_khqr_timestamps_have_no_owner(self):
        fields = {**BASE, "29": {"00": "user@bank"}, "58": "KH", "99": {"01": "1795434784111"}}
        assert codes(merchant.decode(merchant.encode(fields))) == []
        assert strict(fields) == ["NO_GUID_99"]

    def test_raw_hexadecimal_of_promptpay_is_forgiven_whatever_it_looks_like(self):
        guid = {"00": "A000000677010111", "01": "0066801111111"}
        for raw in ("0E2A", "004800650", "00010", "0001A0001B"):
            code = merchant.decode(merchant.encode({**BASE, "29": guid, "81": raw}))
            assert codes(code) == []

    def test_a_broken_header_is_not_forgiven_because_of_the_object_it_begins(self):
        guid = {"00": "A000000677010111", "01": "0066801111111"}
        text = merchant.encode({**BASE, "29": guid})[:-8] + "81XX00"
        assert codes(merchant.decode(text)) == ["BAD_LENGTH"]

    def test_promptpay_numbers_have_their_lengths(self):
        fields = {**BASE, "29": {"00": "A000000677010111", "01": "006680111111"}}
        assert codes(merchant.decode(merchant.encode(fields))) == ["LENGTH_29_01"]
        assert strict(fields) == []

    def test_the_owner_is_recognised_in_any_case(self):
        fields = {**BASE, "26": {"00": "Br.Gov.Bcb.Pix", "01": "key"}}
        assert merchant.decode(merchant.encode(fields)).profile == "pix"

    def test_a_profile_can_be_named(self):
        text = merchant.encode(changed(_60=None))
        assert codes(merchant.decode(text)) == ["MISSING_60"]
        assert merchant.decode(text, profile="pix").valid

    def test_an_unknown_profile_or_mode_is_the_callers_mistake(self):
        with pytest.raises(UsageError, match="promptpay"):
            merchant.decode(ANNEX_B, profile="nowhere")
        with pytest.raises(UsageError, match="lenient"):
            merchant.decode(ANNEX_B, mode="relaxed")

    def test_what_differs_from_the_profile_is_remarked(self):
        fields = {"26": {"00": "SG.PAYNOW", "01": "7"}, "53": "840", "58": "SG"}
        assert profiles.remarks(profiles.PROFILES["paynow"], fields) == (
            "currency 840 where PayNow (Singapore) has 702",
            "object 26.01 is not as PayNow (Singapore) writes it: 7",
        )

    @pytest.mark.parametrize("item", PROFILED, ids=ids)
    def test_no_remark_is_wrong_about_a_real_currency_or_country(self, item):
        row = profiles.PROFILES[item["profile"]]
        assert [
            text for text in profiles.remarks(row, item["fields"]) if text.startswith(("country", "curr"))
        ] == []


class TestMoney:
    def test_amount_and_currency_as_money(self):
        assert merchant.decode(ANNEX_B).money == CNY("23.72")

    def test_no_fee(self):
        code = merchant.decode(merchant.encode(BASE))
        assert code.tip is None
        assert code.total() == CNY("23.72")

    def test_prompt_adds_nothing_by_itself(self):
        code = merchant.decode(ANNEX_B)
        assert code.tip == Tip("prompt")
        assert code.total() == CNY("23.72")

    def test_fixed_fee(self):
        code = merchant.decode(merchant.encode(changed(_55="02", _56=".5")))
        assert code.total() == CNY("24.22")

    @pytest.mark.parametrize(
        ("percent", "base", "fee"),
        [
            ("10", 2372, 237),
            ("0.7", 50000000, 350000),
            ("00.01", 4999, 0),
            ("00.01", 5000, 1),
            ("99.99", 1, 1),
        ],
    )
    def test_percentage_is_rounded_half_up(self, percent, base, fee):
        assert Tip("percent", percent).on(Money("CNY", base)) == Money("CNY", fee)

    def test_the_payer_types_the_amount(self):
        code = merchant.decode(merchant.encode(changed(_54=None, _55="03", _57="5")))
        assert code.money is None
        assert code.total(CNY("10.00")) == CNY("10.50")
        with pytest.raises(UsageError, match="payer types"):
            code.total()

    def test_an_illegal_fee_is_no_money(self):
        with pytest.raises(UsageError):
            merchant.decode(merchant.encode(changed(_55="02"))).total()
        with pytest.raises(UsageError):
            Tip("percent", "5%").on(CNY("1.00"))


class TestAccessors:
    def test_annex_b(self):
        code = merchant.decode(ANNEX_B)
        assert (code.city, code.category, code.terminal, code.local_name) == (
            "BEIJING",
            "4111",
            "A6008667",
            "最佳运输",
        )
        assert (code.postal_code, code.reference, code.bill_number) == (None, None, None)
        assert code.asks == ("62.06", "62.09")
        assert list(code.accounts) == ["29", "31"]

    def test_profile_names_explain_a_template(self):
        text = next(item for item in VALID if item["id"] == "paynow-uen-fixed")["payload"]
        assert ("26.02", "Proxy value", "201101550Z") in merchant.decode(text).explain()


class TestEncode:
    def test_order(self):
        text = merchant.encode({"59": "NAME", "63": "0000", "00": "01", "52": "5411"})
        assert text[:-4] == "0002015904NAME520454116304"
        assert emvqr.crc(text[:-4]) == text[-4:]

    @given(merchant_fields())
    def test_decode_gives_back_what_was_encoded(self, fields):
        code = merchant.decode(merchant.encode(fields))
        assert {ident: value for ident, value in code.fields.items() if ident != "63"} == fields
        assert merchant.decode(merchant.encode(code)) == code
        assert emvqr.decode(code.text).issues == ()

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"00": "01", "59": ""},
            {"00": "01", "59": "x" * 100},
            {"00": "01", "5": "x"},
            {"00": "01", "AA": "x"},
            {"00": "01", "٥٩": "x"},
            {"00": "01", 59: "x"},
            {"00": "01", "54": 12},
            {"00": "01", "54": None},
            {"00": "01", "26": {}},
            {"00": "01", "26": {"00": "x" * 60, "01": "x" * 40}},
            {"00": "01", "59": "\ud800"},
            {"00": "01", "26": {"01": {"01": {"01": {"01": "x"}}}}},
        ],
    )
    def test_refuses_what_the_syntax_cannot_carry(self, fields):
        with pytest.raises(LocalProtocolError):
            merchant.encode(fields)


def test_random_and_changed_texts_end_in_issues():
    alphabet = "0123456789" * 3 + "ABCabc .*最\u0301\ud800\n"
    seeds = [item["payload"] for item in VALID + INVALID]
    for number, text in enumerate(mutated(seeds, alphabet, count(200_000), seed=20260106)):
        code = merchant.decode(text, mode=merchant.MODES[number % 3])
        assert code.text == text
        if code.valid:
            assert code.currency is not None
            code.explain()
