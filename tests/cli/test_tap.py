"""`paysim tap`: pay by a card at the prompt, see every byte, write the tap down and play it again."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paysim import CNY, Sandbox
from paysim.emv.profile import PROFILES

Run = Callable[..., Any]

OUTCOMES = [
    # card, amount, what else, exit code, state, book state, outcome
    ("visa", "9.90", (), 0, "CAPTURED", "CAPTURED", "approved"),
    ("visa-online", "9.90", (), 0, "CAPTURED", "CAPTURED", "approved"),
    ("unionpay", "9.90", (), 0, "CAPTURED", "CAPTURED", "approved"),
    ("unionpay-ecash", "9.90", (), 0, "CAPTURED", "CAPTURED", "approved"),
    ("unionpay-ecash", "500.00", (), 0, "CAPTURED", "CAPTURED", "approved"),
    ("two-applications", "9.90", (), 0, "CAPTURED", "CAPTURED", "approved"),
    ("slow", "9.90", (), 0, "CAPTURED", "CAPTURED", "approved"),
    ("flaky", "9.90", (), 0, "CAPTURED", "CAPTURED", "approved"),
    ("unionpay", "2000.00", (), 0, "CAPTURED", "CAPTURED", "approved"),
    ("unionpay", "2000.00", ("--pin", "000000"), 1, "DECLINED", "DECLINED", "declined"),
    ("visa", "2000.00", ("--pin", ""), 1, "DECLINED", "DECLINED", "declined"),
    ("expired", "9.90", (), 1, "DECLINED", "DECLINED", "declined"),
    ("blocked", "9.90", (), 1, "PRESENTED", "PRESENTED", "try_again"),
    ("unknown", "9.90", (), 1, "PRESENTED", "PRESENTED", "try_again"),
]


@pytest.mark.parametrize(("card", "amount", "more", "code", "state", "book_state", "outcome"), OUTCOMES)
def test_a_tap_ends_in_its_state_and_exit_code(
    card: str,
    amount: str,
    more: tuple[str, ...],
    code: int,
    state: str,
    book_state: str,
    outcome: str,
    paysim: Run,
) -> None:
    ran = paysim("tap", "--card", card, "--amount", amount, *more, "--json")
    assert (ran.code, ran.err) == (code, "")
    found = ran.json
    assert list(found) == ["state", "book_state", "outcome", "amount_minor", "events"]
    events = found.pop("events")
    assert found == {
        "state": state,
        "book_state": book_state,
        "outcome": outcome,
        "amount_minor": int(amount.replace(".", "")),
    }
    assert [event["kind"] for event in events][:2] == ["created", "presented"]


def test_every_profile_is_among_the_cards_that_the_help_names(paysim: Run) -> None:
    shown = " ".join(paysim("tap", "--help").out.split())
    assert all(f"{name}," in shown or f"{name}." in shown for name in PROFILES)
    assert {row[0] for row in OUTCOMES} == set(PROFILES)


def test_an_ecash_payment_is_authorized_by_the_card_and_captured_by_clearing(paysim: Run) -> None:
    events = paysim("tap", "--card", "unionpay-ecash", "--amount", "9.90", "--json").json["events"]
    kinds = [event["kind"] for event in events]
    assert kinds.index("authorized") < kinds.index("captured")
    assert events[kinds.index("authorized")]["data"]["tap"]["cryptogram"] == "TC"


@pytest.mark.parametrize("card", ["unionpay", "visa", "unionpay-ecash"])
def test_states_and_receipt_are_those_of_a_qr_payment(card: str, paysim: Run) -> None:
    with Sandbox(seed=7) as sandbox:
        shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice", balance=CNY("119.80"))
        order = shop.create(CNY("9.90"), reference="T-1001")
        alice.scan(order.present("qr.merchant")).confirm()
        receipt, state = order.receipt(), order.state.value
    ran = paysim("tap", "--card", card, "--amount", "9.90")
    assert f"\n{receipt}\n" in ran.out
    assert state == "CAPTURED"


def test_people_see_the_verdict_why_and_the_timeline(paysim: Run) -> None:
    shown = paysim("tap", "--card", "unionpay-ecash", "--amount", "9.90").out
    for line in (
        "unionpay-ecash, 9.90 CNY: paid (approved offline by the card)",
        "  why         U13: approved offline",
        "  TVR         0000000000  nothing set",
        "  card        counter 1, 90.10 CNY left to spend offline",
        "paid                   9.90 CNY",
    ):
        assert line in shown.split("\n")
    assert " 1 > SELECT" not in shown


def test_the_trace_explains_each_apdu_and_masks_the_number(paysim: Run) -> None:
    shown = paysim("tap", "--card", "unionpay-ecash", "--amount", "9.90", "--trace").out
    for line in (
        " 8 > READ RECORD record 4 of SFI 3",
        "         5A    Application Primary Account Number (PAN): 623456******6143",
        "   card      G3   CTQ without CVM, CVR 03 80 00 00, CID 00",
        "             U13  approved offline",
    ):
        assert line in shown.split("\n")
    kept = paysim("tap", "--card", "unionpay-ecash", "--amount", "9.90", "--trace", "--keep-pan").out
    assert "(PAN): 6234569047826143" in kept
    assert "6234569047826143" not in shown


def test_programs_get_the_trace_as_objects(paysim: Run) -> None:
    found = paysim("tap", "--card", "visa", "--amount", "9.90", "--trace", "--json").json["trace"]
    [number] = [one for row in found for one in every(row) if one.get("tag") == "57"]
    assert number["value"].startswith("476173******")
    assert [row["kind"] for row in found].count("command") == 3


def every(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [row, *(below for inner in row.get("inside", ()) for below in every(inner))]


def test_a_flaky_card_is_held_there_again(paysim: Run) -> None:
    shown = paysim("tap", "--card", "flaky", "--amount", "9.90").out
    assert shown.startswith("Tap 1 of 3: the card left the field; present card\n")


def test_the_trace_on_a_terminal_is_as_wide_as_it(terminal: Run) -> None:
    shown = terminal("tap", "--card", "unionpay", "--amount", "9.90", "--trace", columns=80).out
    heads = [line for line in shown.split("\n") if line.startswith("\x1b[1m 1 > SELECT")]
    assert len(heads) == 1
    before_the_order = shown.partition("order ")[0]
    assert all(len(line) <= 80 for line in before_the_order.split("\n") if "\x1b" not in line)


def test_quiet_says_nothing(paysim: Run) -> None:
    assert paysim("tap", "--card", "visa", "--amount", "9.90", "--trace", "--quiet") == (0, "", "")


def test_the_seed_decides_what_the_summary_says(paysim: Run) -> None:
    first = paysim("tap", "--card", "visa", "--amount", "9.90", "--seed", "8").out
    assert paysim("tap", "--card", "visa", "--amount", "9.90", "--seed", "8").out == first
    assert paysim("tap", "--card", "visa", "--amount", "9.90").out != first


# Wrong usage. ---------------------------------------------------------------------------------------------


def test_no_such_card_is_2(paysim: Run) -> None:
    ran = paysim("tap", "--card", "gold", "--amount", "9.90", "--json")
    assert (ran.code, set(ran.json)) == (2, {"error"})
    assert ran.err.startswith("paysim: there is no card 'gold'; there are visa, ")


WRONG = [
    ((), "give --card NAME and --amount CNY"),
    (("--card", "visa"), "give --card NAME and --amount CNY"),
    (("--amount", "9.90"), "give --card NAME and --amount CNY"),
    (("--card", "visa", "--amount", "x"), "an amount is text like '12.80'"),
    (("--card", "visa", "--amount", "0"), "an order's amount is of more than nothing"),
    (("--card", "visa", "--amount", "-1"), ""),
    (("--card", "visa", "--amount", "1", "--record", "no/such/folder"), "there is no folder"),
    (("--card", "visa", "--amount", "1", "--record", "."), "is a folder"),
    (("--replay", "x", "--card", "visa"), "leave out --card"),
    (("--replay", "x", "--pin", "1"), "leave out --pin"),
]


@pytest.mark.parametrize(("arguments", "why"), WRONG)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], why: str, paysim: Run) -> None:
    ran = paysim("tap", *arguments)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.count("\n") == 1
    assert why in ran.err


# Recorded taps. -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tap of an e-cash card, written down."""
    from paysim.cli import main

    path = tmp_path_factory.mktemp("recorded") / "tap.jsonl"
    assert (
        main(["tap", "--card", "unionpay-ecash", "--amount", "9.90", "--quiet", "--record", str(path)]) == 0
    )
    return path


def test_a_record_is_written_where_nobody_reads_the_screen(process: Run, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    path = tmp_path / "tap.jsonl"
    try:
        process("tap", "--card", "visa", "--amount", "9.90", "--trace", "--record", str(path), stdout=write)
    finally:
        os.close(write)
    assert path.read_text().splitlines()[-1].startswith('{"outcome":"APPROVED"')


def test_a_record_takes_the_place_of_a_file_that_others_could_read(paysim: Run, tmp_path: Path) -> None:
    path = tmp_path / "tap.jsonl"
    path.write_text("old")
    path.chmod(0o644)
    paysim("tap", "--card", "visa", "--amount", "9.90", "--record", str(path))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_record_is_its_owners_alone_and_says_where_it_is(paysim: Run, tmp_path: Path) -> None:
    path = tmp_path / "tap.jsonl"
    ran = paysim("tap", "--card", "visa", "--amount", "9.90", "--record", str(path))
    assert ran.out.endswith(f"\nrecorded in {path}, with the card's number (a sandbox's)\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("card", ["visa", "unionpay", "unionpay-ecash", "flaky"])
def test_what_was_recorded_is_replayed_as_it_was(card: str, paysim: Run, tmp_path: Path) -> None:
    path = tmp_path / "tap.jsonl"
    paysim("tap", "--card", card, "--amount", "9.90", "--record", str(path))
    ran = paysim("tap", "--replay", str(path), "--json")
    assert ran.code == 0
    assert ran.json == {
        "state": None,
        "book_state": None,
        "outcome": "approved",
        "amount_minor": 990,
        "events": [],
        "differences": [],
    }
    assert paysim("tap", "--replay", str(path)).out.startswith("recorded tap, 9.90: approved, as recorded\n")


@pytest.mark.parametrize(
    ("card", "outcome"), [("expired", "declined"), ("blocked", "try_again"), ("unknown", "try_again")]
)
def test_a_replay_of_what_was_not_paid_is_1(card: str, outcome: str, paysim: Run, tmp_path: Path) -> None:
    path = tmp_path / "tap.jsonl"
    paysim("tap", "--card", card, "--amount", "9.90", "--record", str(path))
    ran = paysim("tap", "--replay", str(path), "--json")
    assert (ran.code, ran.json["outcome"], ran.json["differences"]) == (1, outcome, [])


def test_a_replay_shows_its_trace_with_the_number_masked(paysim: Run, recorded: Path) -> None:
    shown = paysim("tap", "--replay", str(recorded), "--trace").out
    assert " 8 > READ RECORD record 4 of SFI 3" in shown
    assert "6234569047826143" not in shown
    assert "6234569047826143" in paysim("tap", "--replay", str(recorded), "--trace", "--keep-pan").out


def test_a_replay_says_where_the_session_differs(paysim: Run, recorded: Path, tmp_path: Path) -> None:
    path = tmp_path / "strict.jsonl"
    path.write_text(recorded.read_text().replace('"cvm_limit":100001', '"cvm_limit":500', 1))
    ran = paysim("tap", "--replay", str(path), "--json")
    assert ran.code == 1
    assert [row["what"] for row in ran.json["differences"]][:2] == ["the command", "the terminal"]
    shown = paysim("tap", "--replay", str(path)).out
    assert shown.startswith("recorded tap, 9.90: declined, not as recorded\n")
    assert "  the outcome: recorded APPROVED, now DECLINED\n" in shown


BAD = [
    (b"", "line 1: it has 1 to 10000 lines"),
    (b"hello", "line 1: JSON is malformed"),
    (b"\xff\xfe", "no UTF-8 text"),
    (b"{}", "line 1: Object missing required field"),
    (b'{"paysim":"tap","version":9}', "line 1: Invalid enum value 9"),
]


@pytest.mark.parametrize(("data", "why"), BAD)
def test_a_bad_file_is_a_named_error(data: bytes, why: str, paysim: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(data)
    ran = paysim("tap", "--replay", str(path), "--json")
    assert (ran.code, set(ran.json)) == (1, {"error"})
    assert why in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("name", ["none.jsonl", "."])
def test_a_file_that_is_not_there_is_a_named_error(name: str, paysim: Run, tmp_path: Path) -> None:
    ran = paysim("tap", "--replay", str(tmp_path / name))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


def test_the_example_ships_a_record_that_gives_nothing_away_but_a_test_number(paysim: Run) -> None:
    path = Path(__file__).parents[2] / "examples" / "12_recorded_session.jsonl"
    assert paysim("tap", "--replay", str(path), "--quiet").code == 0
    assert "private" not in path.read_text()
