"""The test rows of Entry Point, kernels 3 and 7, from tests/scripts/; none of the facts' is missing."""

from __future__ import annotations

from typing import Any

import pytest
from emv_dialogue import (
    Played,
    RealCard,
    ScriptedCard,
    load,
    parse,
    play,
    purchase_of,
    reader_of,
)

from paysim.codec import tlv
from paysim.emv.entry_point import Done, EntryPoint, Poll
from paysim.emv.outcome import IssuerResponse, Result

FILES = ("entry_point", "kernel3", "kernel7")
ROWS: list[dict[str, Any]] = [row for name in FILES for row in load(name)["row"]]

# What the facts' tables have: table -> rows; and the test rows with their number of parts.
TABLES: dict[str, tuple[int, ...]] = {
    "P": tuple(range(1, 13)),
    "B": (1, 2, 4, 5),
    "C": tuple(range(1, 8)),
    "F": (1, 2, 3, 4),
    "D": (1,),
    "O": (1, 2, 3),
    "V": (2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20),
    "VC": (1, 2, 3, 4, 5),
    "VO": (1, 2, 3),
    "U": tuple(range(1, 14)),
}
WANTED_RULES = {f"{table}{number}" for table, numbers in TABLES.items() for number in numbers}
PARTS = {
    **dict.fromkeys([*range(1, 10), 15, 20, *range(23, 27), 29, 31, 40, 67, 68, 69, 74], 1),
    **dict.fromkeys(
        [10, 13, 16, 17, 18, 19, 21, 22, 28, 30, 33, 35, 36, 41, 70, 71, 72, 73, 75, 76, 77, 80], 2
    ),
    **dict.fromkeys([11, 12, 14, 27, 32, 34, 37], 3),
    **dict.fromkeys([38, 39], 4),
    **dict.fromkeys([42, 78, 79], 1),
}
SILENT = {
    "P1": "the copy of the TTQ: seen in `ttq`",
    "B2": "the message: seen in `shown`",
    "D1": "what the kernel gets: seen in `gpo`",
    "O1": "the restart flag: seen in `shown`",
    "V9": "the message: seen in `shown`",
    "V10": "silent where nothing is missing",
    "U4": "the order of the steps: seen in `order`",
    "U11": "Entry Point's limits: P5 to P8",
}
"""Rows that leave no line of their own in a trace, and where they are seen instead."""
ALSO = {"V19": ("VC",), "VO1": ("V20",), "VO2": ("V20",), "VO3": ("V20",), "U8": ("U7",), "U9": ("U7",)}
"""Rows whose line bears another row's name."""


def script_card(row: dict[str, Any], answers: dict[str, str]) -> Any:
    if "real" in row:
        return RealCard(
            row["real"],
            data=row.get("data", {}),
            memory=row.get("memory", {}),
            lost_commands=row.get("lost_commands", ()),
            lost_answers=row.get("lost_answers", ()),
        )
    return ScriptedCard(
        row.get("card", "v"),
        changes=row.get("changes"),
        broken=row.get("broken"),
        answers=answers,
        lost=() if "issuer" in row else row.get("lost", ()),
        extra=row.get("extra", ""),
        dialogue=row.get("dialogue", ()),
    )


def play_row(row: dict[str, Any]) -> Played:
    card = script_card(row, row.get("answers", {}))
    machine = EntryPoint(reader_of(row), purchase_of(row))
    cards = tuple(row.get("cards", (1, 1, 1, 1)))
    if "issuer" not in row:
        return play(machine, card, point=row.get("point", "A"), cards=cards)
    first = play(machine, card)
    assert isinstance(first.step, Done)
    assert first.step.result.status.name == "ONLINE_REQUEST"
    said = row["issuer"]
    scripts = tuple(tlv.encode(as_bytes(parse(script)[0])) for script in said["scripts"])
    issuer = IssuerResponse(said["arc"].encode(), bytes.fromhex(said["data_91"]), scripts)
    card.answers |= row.get("answers_then", {})
    card.lost = list(row.get("lost", ()))
    card.sent.clear()
    machine.shown.clear()
    return play(machine, card, point="B", issuer=issuer, cards=cards)


def as_bytes(tree: list[Any]) -> list[Any]:
    return [
        (tag, as_bytes(value) if isinstance(value, list) else bytes.fromhex(value)) for tag, value in tree
    ]


def ui(shown: Any) -> str:
    return f"{shown.message:02X}/{shown.status:02X}" if shown else ""


def _tags(text: str) -> list[int]:
    return [int(tag, 16) for tag in text.split()]


def _record(result: Result) -> dict[int, bytes]:
    return dict(result.data_record or {})


RESULT: dict[str, Any] = {
    "status": lambda result: result.status.name,
    "start": lambda result: result.start.name,
    "cvm": lambda result: result.cvm.name,
    "ui": lambda result: ui(result.ui),
    "restart": lambda result: ui(result.ui_on_restart),
    "record": lambda result: result.data_record is not None,
    "receipt": lambda result: result.receipt,
    "alternate": lambda result: result.alternate_interface.name,
    "online_response": lambda result: result.online_response.name,
    "off_ms_result": lambda result: result.field_off_ms,
    "kernel": lambda result: result.kernel,
    "adf": lambda result: result.adf_name.hex().upper(),
    "l2": lambda result: result.error.l2.name,
    "sw": lambda result: result.error.sw,
    "encoded": lambda result: result.encode()[0xDF8129].hex().upper(),
    "balance": lambda result: result.ui.balance.hex(),
    "script_results": lambda result: _record(result)[0x9F5B].hex().upper(),
}
TAP: dict[str, Any] = {
    "polled": lambda tap: isinstance(tap.step, Poll),
    "polls": lambda tap: len(tap.polls),
    "off_ms": lambda tap: tap.polls[-1].field_off_ms,
    "sent": lambda tap: tap.card.sent,
    "shown": lambda tap: [ui(shown) for shown in tap.machine.shown],
    "outcomes": lambda tap: [result.status.name for result in tap.machine.outcomes],
    "outcome_sw": lambda tap: tap.machine.outcomes[-1].error.sw,
    "ttq": lambda tap: tap.card.given[0x9F66].hex().upper(),
    "gpo": lambda tap: next(command.hex().upper() for command in tap.card.commands if command[1] == 0xA8),
    "cvr": lambda tap: tap.card.said[0x9F10][4:7].hex().upper(),
    "balance_left": lambda tap: tap.card.card.memory.balance,
    "atc": lambda tap: tap.card.card.memory.atc,
}


def _holds(key: str, wanted: Any, tap: Played, result: Result | None) -> None:
    """The expectations that are no plain comparison."""
    steps = [decision.step for decision in tap.machine.trace]
    if key == "not_traced":
        assert not set(wanted) & set(steps), steps
        return
    if key == "pdol_values":
        assert {tag: tap.card.given[int(tag, 16)].hex().upper() for tag in wanted} == wanted
        return
    assert result is not None
    if key == "decided":
        assert result.why.startswith(f"{wanted}:"), result.why
    elif key == "order":
        assert sorted(wanted, key=steps.index) == wanted
    elif key == "record_tags":
        assert set(_tags(wanted)) <= set(_record(result))
    elif key == "no_record_tags":
        assert not set(_tags(wanted)) & set(_record(result))
    elif key == "record_values":
        assert {tag: _record(result)[int(tag, 16)].hex().upper() for tag in wanted} == wanted
    else:
        raise AssertionError(f"{key} is no expectation")


def _judge(row: dict[str, Any], tap: Played) -> None:
    result = tap.step.result if isinstance(tap.step, Done) else None
    if result is not None:
        assert result.tvr == bytes(5)
        assert result.tsi == bytes(2)
    for key, wanted in row["expect"].items():
        if key in TAP:
            assert TAP[key](tap) == wanted, key
        elif key in RESULT:
            assert result is not None, "the tap has not ended"
            assert RESULT[key](result) == wanted, key
        elif not key.startswith("then_"):
            _holds(key, wanted, tap, result)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['row']} {row['given']}")
def test_a_row(row: dict[str, Any]) -> None:
    tap = play_row(row)
    _judge(row, tap)
    expect = row["expect"]
    if "then_amount" in row:
        again = play(EntryPoint(reader_of(row), purchase_of(row)), tap.card)
        assert isinstance(again.step, Done)
        assert again.step.result.why.startswith(expect["then_decided"])
        assert expect["then_traced"] in [" ".join(decision) for decision in again.machine.trace]


def _is_traced(rule: str, steps: set[str]) -> bool:
    return rule in steps or any(step.startswith(ALSO.get(rule, ("none",))) for step in steps)


# Coverage. ------------------------------------------------------------------------------------------


def covered_rules() -> set[str]:
    return {rule for row in ROWS for rule in row["rules"]}


def covered_rows() -> dict[int, int]:
    numbers = [int(row["row"].split(".")[0]) for row in ROWS if row["row"][0].isdigit()]
    return {number: numbers.count(number) for number in numbers}


def test_every_row_of_the_step_tables_is_covered() -> None:
    assert covered_rules() >= WANTED_RULES, sorted(WANTED_RULES - covered_rules())
    assert covered_rules() <= WANTED_RULES, sorted(covered_rules() - WANTED_RULES)


@pytest.mark.parametrize("rule", sorted(WANTED_RULES - set(SILENT)))
def test_a_row_of_the_step_tables_decides_where_it_is_claimed(rule: str) -> None:
    traced = [_is_traced(rule, play_row(row).steps) for row in ROWS if rule in row["rules"]]
    assert any(traced), f"no row that claims {rule} has its line in the trace"


def test_every_test_row_is_covered_with_its_parts() -> None:
    assert set(PARTS) == {*range(1, 43), *range(67, 81)}
    found = covered_rows()
    assert not {number: parts for number, parts in PARTS.items() if found.get(number, 0) < parts}


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row["row"] for row in ROWS]
    assert sorted(set(names)) == sorted(names)


def test_every_silent_row_is_wanted() -> None:
    assert set(SILENT) | set(ALSO) <= WANTED_RULES
