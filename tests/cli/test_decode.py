"""`paysim decode`: what it says, to people and to programs, whatever it is given."""

from __future__ import annotations

import io
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from paysim import CNY, Sandbox
from paysim.qr import profiles, router, symbol

Run = Callable[..., Any]

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "emv_qr.json").read_text(encoding="utf-8"))
VALID = [pytest.param(one, id=one["id"]) for one in VECTORS["valid"]]
INVALID = [pytest.param(one, id=one["id"]) for one in VECTORS["invalid"]]

PROMPTPAY = "00020101021129370016A000000677010111011300668122233335802TH53037646304C273"
CONSUMER = "hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8="
CONSUMER_PAN = "1234567890123458"
WECHAT = "130241379508743918"
UNIONPAY = "6212345678901234567"  # among the broken codes of the file, because it is no EMV code

INVALID_EMV = [pytest.param(one, id=one["id"]) for one in VECTORS["invalid"] if one["payload"] != UNIONPAY]

KEYS = {"kind", "valid", "issues", "fields"}
KINDS = {"emvqr.merchant", "emvqr.consumer", "payment_code", "journal", "unknown"}


def codes(ran: Any) -> set[str]:
    return {one["code"] for one in ran.json["issues"]}


def forgiven(strict: Any) -> set[str]:
    """The issue codes that profile mode may forgive, by the answer of strict mode."""
    row = profiles.recognise(strict.json["fields"])
    if row is None:
        return set()
    inside = {one["code"] for one in strict.json["issues"] if one["path"][:2] in row.raw}
    return inside | row.forgives | set(row.allows)


def check(ran: Any) -> dict[str, Any]:
    """What holds of every answer."""
    found: dict[str, Any] = ran.json
    assert set(found) == KEYS
    assert found["kind"] in KINDS
    assert ran.code == (2 if found["kind"] == "unknown" else 0 if found["valid"] else 1)
    assert found["valid"] == (not found["issues"])
    for one in found["issues"]:
        assert set(one) == {"code", "path", "offset", "text"}
        assert one["text"]
    return found


# The known answers. -------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", VALID)
def test_a_known_code_has_the_issues_and_fields_of_the_file(one: dict[str, Any], paysim: Run) -> None:
    ran = paysim("decode", "--mode", "strict", "--json", one["payload"])
    found = check(ran)
    assert found["kind"] == ("emvqr.merchant" if one["mode"] == "mpm" else "emvqr.consumer")
    assert codes(ran) == set(one.get("emvco_issues", ()))
    assert found["fields"] == (one["fields"] if one["mode"] == "mpm" else one["tlv"])


@pytest.mark.parametrize("one", VALID)
def test_profile_mode_forgives_what_the_recognised_profile_forgives(one: dict[str, Any], paysim: Run) -> None:
    ran = paysim("decode", "--json", one["payload"])
    found = check(ran)
    if one["mode"] == "cpm":
        assert found == {"kind": "emvqr.consumer", "valid": True, "issues": [], "fields": one["tlv"]}
        return
    strict = paysim("decode", "--mode", "strict", "--json", one["payload"])
    assert codes(ran) <= set(one["emvco_issues"])
    assert codes(ran) >= set(one["emvco_issues"]) - forgiven(strict)
    assert found["fields"] == one["fields"]


@pytest.mark.parametrize("one", INVALID)
def test_a_broken_code_has_the_faults_of_the_file(one: dict[str, Any], paysim: Run) -> None:
    ran = paysim("decode", "--mode", "strict", "--json", one["payload"])
    found = check(ran)
    assert not found["valid"]
    assert codes(ran) >= set(one["errors"])
    assert found["kind"] == router.route(one["payload"]).kind


@pytest.mark.parametrize("one", INVALID_EMV)
def test_profile_mode_forgives_a_broken_code_nothing_but_what_the_profile_names(
    one: dict[str, Any], paysim: Run
) -> None:
    strict = paysim("decode", "--mode", "strict", "--json", one["payload"])
    ran = paysim("decode", "--json", one["payload"])
    check(ran)
    gone = forgiven(strict) if one["mode"] == "mpm" else set()
    assert codes(ran) >= codes(strict) - gone
    assert codes(ran) >= set(one["errors"]) - gone


# Each kind. ---------------------------------------------------------------------------------------------

TEXTS = [
    (PROMPTPAY, "emvqr.merchant", 0, set()),
    (PROMPTPAY[:-1] + "4", "emvqr.merchant", 1, {"CRC_MISMATCH"}),
    (CONSUMER, "emvqr.consumer", 0, set()),
    ("hQVDUFYw*", "emvqr.consumer", 1, {"BAD_BASE64"}),
    (WECHAT, "payment_code", 0, set()),
    (UNIONPAY, "payment_code", 0, set()),
    ("XX0201", "unknown", 2, {"BAD_ID"}),
    ("00XX01", "unknown", 2, {"BAD_LENGTH"}),
    ("001001", "unknown", 2, {"TRUNCATED"}),
    ("000", "unknown", 2, {"TRUNCATED"}),
    ("010211" + PROMPTPAY[12:], "unknown", 2, {"FIRST_NOT_00", "CRC_MISMATCH"}),
    ("hello", "unknown", 2, {"BAD_ID"}),
    ("", "unknown", 2, {"EMPTY"}),
    ("0" * 5000, "unknown", 2, {"TOO_LONG"}),
    ("https://qr.alipay.com/bax0", "unknown", 2, {"WALLET_LINK"}),
    ("http://weixin.qq.com/r/abc", "unknown", 2, {"FOLLOW_LINK"}),
    ("weixin://wxpay/bizpayurl?pr=000005lot9sx5", "unknown", 2, {"WALLET_LINK"}),
    ("wx2026010108000500000000529077803692", "unknown", 2, {"PREPAY_ID"}),
    ("callback.json", "unknown", 2, {"NO_FILE"}),
    ("https://example.com/pay", "unknown", 2, {"UNKNOWN_LINK"}),
    ("no-such-photo.PNG", "unknown", 2, {"NO_FILE"}),
    ("./no/such/file", "unknown", 2, {"NO_FILE"}),
    ("/dev/null", "unknown", 2, {"NOT_A_FILE"}),
    ("/dev/zero", "unknown", 2, {"NOT_A_FILE"}),
    ("/", "unknown", 2, {"NOT_A_FILE"}),
    ("a\0b", "unknown", 2, {"BAD_ID"}),
    ("\ud800\udc80", "unknown", 2, {"BAD_ID"}),
    ("x" * 4000, "unknown", 2, {"BAD_ID"}),
]


@pytest.mark.parametrize(("text", "kind", "code", "faults"), TEXTS, ids=lambda value: repr(value)[:30])
def test_a_text(text: str, kind: str, code: int, faults: set[str], paysim: Run) -> None:
    ran = paysim("decode", "--json", text)
    assert check(ran)["kind"] == kind
    assert ran.code == code
    assert codes(ran) >= faults
    shown = paysim("decode", text)
    assert shown.code == code
    assert shown.out.startswith(f"{kind}: ")
    assert paysim("decode", "--quiet", text) == (code, "", "")


def test_a_wallets_own_code_is_no_emv_code_in_strict_mode(paysim: Run) -> None:
    ran = paysim("decode", "--mode", "strict", "--json", UNIONPAY)
    assert (ran.code, ran.json["kind"], codes(ran)) == (1, "payment_code", {"NOT_EMV_CPM"})


@pytest.mark.parametrize(
    ("mode", "title"),
    [
        ("strict", "NOT valid (by EMVCo's rules alone; profile promptpay)"),
        ("profile", "valid (profile promptpay)"),
        ("lenient", "valid (by lenient rules; profile promptpay)"),
    ],
)
def test_the_first_line_says_by_which_rules(mode: str, title: str, paysim: Run) -> None:
    assert paysim("decode", "--mode", mode, PROMPTPAY).out.startswith(f"emvqr.merchant: {title}\n")


@pytest.mark.parametrize(
    ("arguments", "valid"), [((), True), (("--mode", "strict"), False), (("--profile", "pix"), False)]
)
def test_the_mode_and_the_profile_judge(arguments: tuple[str, ...], valid: bool, paysim: Run) -> None:
    assert paysim("decode", "--json", PROMPTPAY, *arguments).json["valid"] is valid


def test_lenient_mode_accepts_what_a_payment_can_do_without(paysim: Run) -> None:
    lower = PROMPTPAY[:-4] + "c273"
    assert codes(paysim("decode", "--json", lower)) == {"CRC_LOWERCASE"}
    assert paysim("decode", "--json", "--mode", "lenient", lower).code == 0


# What people see. ---------------------------------------------------------------------------------------


def test_a_code_is_explained_and_its_faults_are_marked(paysim: Run) -> None:
    out = paysim("decode", PROMPTPAY.replace("764", "7x4")).out
    assert out.startswith("emvqr.merchant: NOT valid (profile promptpay)\n")
    assert "\n  29.01   Mobile number             0066812223333\n" in out
    assert "\n  01      Point of initiation       11 (static, for many payments)\n" in out
    assert "\n! 53      Transaction currency      7x4\n" in out
    assert "\n! 63      CRC                       C273\n" in out
    assert "  FORMAT_53 " in out


def test_a_remark_is_no_fault(paysim: Run) -> None:
    one = next(one for one in VECTORS["valid"] if one["profile"] == "pix")
    foreign = {**one["fields"], "53": "840"}
    from paysim.qr import merchant

    ran = paysim("decode", merchant.encode(foreign))
    assert ran.code == 0
    assert "\nRemark: currency 840 where PIX BR Code (Brazil) has 986\n" in ran.out
    assert "840 (USD)" in ran.out


def test_the_card_number_is_masked_for_people_and_whole_for_programs(paysim: Run) -> None:
    shown = paysim("decode", CONSUMER).out
    assert CONSUMER_PAN not in shown
    assert "123456******3458D...\n" in shown
    assert "D191220112345" not in shown
    assert CONSUMER_PAN in paysim("decode", "--json", CONSUMER).out


@pytest.mark.parametrize("mode", ["strict", "profile"])
def test_a_payment_code_is_masked_for_people_and_whole_for_programs(mode: str, paysim: Run) -> None:
    shown = paysim("decode", "--mode", mode, WECHAT)
    assert WECHAT not in shown.out + shown.err
    assert "13**************18" in shown.out
    assert paysim("decode", "--json", WECHAT).json["fields"] == {"scheme": "wechat", "text": WECHAT}


def test_the_help_says_what_is_masked(paysim: Run) -> None:
    assert "masks the card number" in paysim("decode", "--help").out


@pytest.mark.parametrize("nasty", ["\x1b[2J", "\x9b31m", "\r", "\n", "\u202e", "\ud8ff"])
def test_a_strangers_code_cannot_command_the_terminal(nasty: str, paysim: Run) -> None:
    text = f"0002015909Tea{nasty}".ljust(19, "x") + "6304ABCD"
    ran = paysim("decode", text)
    assert nasty not in ran.out.replace("\n", "") or nasty == "\n"
    assert json.loads(paysim("decode", "--json", text).out)["fields"]["59"].startswith(f"Tea{nasty}")
    lines = [line for line in ran.out.split("\n") if "Tea" in line]
    assert len(lines) == 1
    assert nasty.encode("unicode_escape").decode() in lines[0]


# Files, standard input, pictures. ----------------------------------------------------------------------


def picture(*texts: str, kind: str = "PNG") -> bytes:
    """The codes of these texts, side by side."""
    drawn = [Image.open(io.BytesIO(symbol.png(text, module_px=4))) for text in texts]
    whole = Image.new("L", (max(1, sum(one.width for one in drawn)), max(one.height for one in drawn)), 255)
    left = 0
    for one in drawn:
        whole.paste(one, (left, 0))
        left += one.width
    file = io.BytesIO()
    whole.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    "data", [PROMPTPAY.encode(), PROMPTPAY.encode() + b"\r\n", b"\xef\xbb\xbf" + PROMPTPAY.encode()]
)
def test_a_text_in_a_file_and_on_standard_input(data: bytes, paysim: Run, tmp_path: Path) -> None:
    file = tmp_path / "code.txt"
    file.write_bytes(data)
    wanted = paysim("decode", "--json", PROMPTPAY)
    assert paysim("decode", "--json", str(file)) == wanted
    assert paysim("decode", "--json", "-", stdin=data) == wanted


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("text", [PROMPTPAY, CONSUMER, WECHAT])
def test_a_picture(text: str, kind: str, paysim: Run, tmp_path: Path) -> None:
    pytest.importorskip("zxingcpp")
    file = tmp_path / "no-suffix-needed"
    file.write_bytes(picture(text, kind=kind))
    wanted = paysim("decode", "--json", text)
    assert paysim("decode", "--json", str(file)) == wanted
    assert paysim("decode", "--json", "-", stdin=file.read_bytes()) == wanted


def test_of_several_codes_in_a_picture_the_first_that_is_understood_counts(paysim: Run) -> None:
    pytest.importorskip("zxingcpp")
    data = picture("hello", PROMPTPAY, CONSUMER)
    ran = paysim("decode", "--json", "-", stdin=data)
    assert ran[:2] == paysim("decode", "--json", PROMPTPAY)[:2]
    assert ran.err == "paysim: 3 codes in the picture; this is the first that is understood\n"
    shown = paysim("decode", "-", stdin=data)
    assert shown.code == 0
    heads = [
        line for line in shown.out.splitlines() if line.startswith(("Code", "unknown", "emvqr", "The text"))
    ]
    assert heads == [
        "Code 1 of 3",
        "unknown: not understood",
        "The text is hello",
        "Code 2 of 3",
        "emvqr.merchant: valid (profile promptpay)",
        "Code 3 of 3",
        "emvqr.consumer: valid",
    ]


BYTES = {
    "empty": (b"", "EMPTY"),
    "line feeds": (b"\n\n", "EMPTY"),
    "binary": (bytes(range(256)), "NOT_TEXT"),
    "long text": (b"0" * 70_000, "TOO_LONG"),
    "longer than a code": (b"0" * 5_000, "TOO_LONG"),
    "cut PNG": (b"\x89PNG\r\n\x1a\n\0\0", "BAD_PICTURE"),
    "cut JPEG": (b"\xff\xd8\xff\xe0", "BAD_PICTURE"),
    "cut picture": (picture("x")[:-30], "BAD_PICTURE"),
    "utf-16": ("hello".encode("utf-16"), "NOT_TEXT"),
    "another database": (b"SQLite format 3\0" + bytes(100), "NOT_READABLE"),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_nothing(name: str, paysim: Run, tmp_path: Path) -> None:
    data, code = BYTES[name]
    ran = paysim("decode", "--json", "-", stdin=data)
    check(ran)
    assert (ran.code, codes(ran), ran.err) == (2, {code}, "")
    file = tmp_path / "file"
    file.write_bytes(data)
    ran = paysim("decode", "--json", str(file))
    check(ran)
    assert ran.code == 2
    assert paysim("decode", str(file)).code == 2


def test_a_picture_without_a_code(paysim: Run) -> None:
    pytest.importorskip("zxingcpp")
    file = io.BytesIO()
    Image.new("L", (200, 200), 255).save(file, "PNG")
    assert codes(paysim("decode", "--json", "-", stdin=file.getvalue())) == {"NO_CODE"}


def test_a_picture_without_the_scan_extra(paysim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zxingcpp", None)
    ran = paysim("decode", "--json", "-", stdin=picture("hello"))
    assert codes(ran) == {"NO_SCANNER"}
    assert "pip install 'paysim[scan]'" in ran.json["issues"][0]["text"]


def test_a_huge_file_is_not_read_to_its_end(paysim: Run, tmp_path: Path) -> None:
    for name, start in (("text", b"0"), ("png", b"\x89PNG\r\n\x1a\n"), ("zero", b"\0")):
        file = tmp_path / name
        with file.open("wb") as writing:
            writing.write(start)
            writing.truncate(200_000_000)
        ran = paysim("decode", "--json", str(file))
        assert check(ran)["kind"] == "unknown"
        assert codes(ran) <= {"TOO_LONG", "BAD_PICTURE", "NOT_TEXT"}


def test_a_pipe_that_nobody_writes_to_does_not_hang(paysim: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ran = paysim("decode", "--json", str(tmp_path / "pipe"))
    assert codes(ran) == {"NOT_A_FILE"}
    assert f"paysim decode - < {tmp_path / 'pipe'}" in ran.json["issues"][0]["text"]


def test_a_file_without_the_right_to_read_it(
    paysim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine"
    file.write_text("hello")

    def refuse(self: Path, *_arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    ran = paysim("decode", "--json", str(file))
    check(ran)
    assert codes(ran) == {"NOT_READABLE"}
    assert "Permission denied" in ran.json["issues"][0]["text"]


def test_a_closed_standard_input(paysim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from paysim.cli import given

    class Closed:
        stdin = None

    monkeypatch.setattr(given, "sys", Closed)
    assert codes(paysim("decode", "--json", "-")) == {"NOT_READABLE"}


# Journals. ----------------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with Sandbox(seed=7, store=f"sqlite:///{path}") as sandbox:
        shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice", balance=CNY("100.00"))
        for _ in range(3):
            alice.scan(shop.create(CNY("1.00")).present("qr.merchant").text).confirm()
    return path


def test_a_journal(journal: Path, paysim: Run) -> None:
    ran = paysim("decode", "--json", str(journal))
    found = check(ran)
    assert (ran.code, found["kind"]) == (0, "journal")
    assert set(found["fields"]) == {"records", "orders", "sums", "head"}
    assert (found["fields"]["orders"], found["fields"]["sums"]) == (3, {"CNY": 0})
    shown = paysim("decode", str(journal)).out
    assert shown.startswith("journal: valid\n")
    assert found["fields"]["head"] in shown


def test_an_edited_journal(journal: Path, paysim: Run) -> None:
    db = sqlite3.connect(journal)
    db.execute("UPDATE record SET event = replace(event, '{', '{ ') WHERE position = 12")
    db.commit()
    db.close()
    ran = paysim("decode", "--json", str(journal))
    found = check(ran)
    assert (ran.code, found["kind"]) == (1, "journal")
    assert [(one["code"], one["offset"]) for one in found["issues"]] == [("JOURNAL_DAMAGED", 12)]
    assert "--repair" in found["issues"][0]["text"]


@pytest.mark.parametrize("size", [20, 70, 100, 1024, 5000, -1])
def test_a_cut_journal(size: int, journal: Path, paysim: Run) -> None:
    data = journal.read_bytes()
    journal.write_bytes(data[:size])
    found = check(paysim("decode", "--json", str(journal)))
    assert (found["kind"], found["valid"]) == ("journal", False)
    assert paysim("decode", str(journal)).out.startswith("journal: NOT valid\n")


def test_a_database_that_is_no_journal(paysim: Run, tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "other.db")
    db.execute("CREATE TABLE a (b)")
    db.close()
    assert codes(paysim("decode", "--json", str(tmp_path / "other.db"))) == {"NOT_A_JOURNAL"}


def test_a_journal_is_not_read_from_standard_input(journal: Path, paysim: Run) -> None:
    ran = paysim("decode", "--json", "-", stdin=journal.read_bytes())
    assert codes(ran) == {"NOT_READABLE"}


# Callbacks of WeChat Pay. -------------------------------------------------------------------------------

SEALED: dict[str, Any] = {
    "algorithm": "AEAD_AES_256_GCM",
    "ciphertext": "A" * 64,
    "associated_data": "transaction",
    "nonce": "0123456789ab",
    "original_type": "transaction",
}
CALLBACK: dict[str, Any] = {
    "id": "EV-1",
    "create_time": "2026-01-01T08:00:00+08:00",
    "event_type": "TRANSACTION.SUCCESS",
    "resource_type": "encrypt-resource",
    "summary": "支付成功",
    "resource": SEALED,
}
BAD_CALLBACKS: list[tuple[dict[str, Any], set[str]]] = [
    ({**CALLBACK, "id": 7}, {"/id"}),
    ({**CALLBACK, "resource": []}, {"/resource"}),
    ({"event_type": "x", "resource": SEALED}, {"/id", "/create_time", "/resource_type"}),
    ({**CALLBACK, "resource": {**SEALED, "algorithm": "AES"}}, {"/resource/algorithm"}),
    ({**CALLBACK, "resource": {**SEALED, "nonce": "short"}}, {"/resource/nonce"}),
    ({**CALLBACK, "resource": {**SEALED, "ciphertext": "!"}}, {"/resource/ciphertext"}),
    ({**CALLBACK, "resource": {**SEALED, "ciphertext": "QQ=="}}, {"/resource/ciphertext"}),
    ({**CALLBACK, "resource": {**SEALED, "ciphertext": None}}, {"/resource/ciphertext"}),
]


def test_a_callback_is_told_without_its_key(paysim: Run, tmp_path: Path) -> None:
    file = tmp_path / "callback.json"
    file.write_text(json.dumps({**CALLBACK, "resource": {**SEALED, "ciphertext": "A" * 6000}}))
    ran = paysim("decode", str(file), "--json")
    assert (ran.code, ran.json["kind"], ran.json["valid"], ran.json["issues"]) == (
        *(0, "wechat.callback", True),
        [],
    )
    assert ran.json["fields"]["resource"]["nonce"] == "0123456789ab"
    shown = paysim("decode", "-", stdin=file.read_bytes()).out
    for said in ("TRANSACTION.SUCCESS (支付成功", "AEAD_AES_256_GCM", "4484 bytes of JSON", "APIv3 key"):
        assert said in shown


@pytest.mark.parametrize(("body", "paths"), BAD_CALLBACKS, ids=lambda value: repr(value)[:40])
def test_what_is_wrong_with_a_callback_is_named(body: dict[str, Any], paths: set[str], paysim: Run) -> None:
    ran = paysim("decode", "--json", "-", stdin=json.dumps(body).encode())
    assert (ran.code, ran.json["valid"]) == (1, False)
    assert {issue["path"] for issue in ran.json["issues"]} == paths


@pytest.mark.parametrize("text", ["{", "{}", '{"resource": 1}', "[1]", "{" * 5000, '{"a":' * 3000])
def test_json_that_is_no_callback_is_not_taken_for_one(text: str, paysim: Run) -> None:
    assert paysim("decode", "--json", "-", stdin=text.encode()).json["kind"] == "unknown"
