"""The rules for the objects of a merchant-presented EMV QR code, and what breaks them.

One table a level says what each object is; one test an object, made from the tables once, says whether a
value is right. Only for a value that a test refuses the reasons are sought.

Source: EMV QRCPS Merchant-Presented Mode 1.0, sections 3 and 4, and 62.10 and 62.11 of version 1.1.
Assumed: ans is printable ASCII; S is any text without lone surrogates and without the combining marks
U+0300 to U+036F, which stand for "not precomposed"; the codes of 62.50 to 62.99 are named after 62.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import permutations
from typing import Any, Final, NamedTuple, TypeAlias

from paysim.codec.emvqr import TEMPLATES, Fields

__all__ = [
    "ACCOUNTS",
    "ADDITIONAL",
    "AMOUNT",
    "LANGUAGE",
    "NETWORKS",
    "PERCENT",
    "ROOT",
    "Rule",
    "faults",
    "hundredths",
    "rule_at",
]


class Rule(NamedTuple):
    """An object's name, its character set (N digits, a letters, ans, S), least and greatest length."""

    name: str
    charset: str
    least: int
    most: int


def _numbered(first: int, last: int, rule: Rule) -> dict[str, Rule]:
    return {f"{n:02}": rule for n in range(first, last + 1)}


# Source: EMV QRCPS Merchant-Presented Mode, tables 3.2 to 3.5 (templates are judged by their objects).
ROOT: Final[dict[str, Rule]] = {
    "00": Rule("Payload format indicator", "N", 2, 2),
    "01": Rule("Point of initiation", "N", 2, 2),
    **_numbered(2, 25, Rule("Merchant account", "ans", 1, 99)),
    **_numbered(26, 51, Rule("Merchant account", "S", 1, 99)),
    "52": Rule("Merchant category code", "N", 4, 4),
    "53": Rule("Transaction currency", "N", 3, 3),
    "54": Rule("Transaction amount", "ans", 1, 13),
    "55": Rule("Tip or convenience indicator", "N", 2, 2),
    "56": Rule("Fixed convenience fee", "ans", 1, 13),
    "57": Rule("Percentage convenience fee", "ans", 1, 5),
    "58": Rule("Country code", "ans", 2, 2),
    "59": Rule("Merchant name", "ans", 1, 25),
    "60": Rule("Merchant city", "ans", 1, 15),
    "61": Rule("Postal code", "ans", 1, 10),
    "62": Rule("Additional data", "S", 1, 99),
    "63": Rule("CRC", "ans", 4, 4),
    "64": Rule("Merchant information in another language", "S", 1, 99),
    **_numbered(65, 79, Rule("Reserved", "S", 1, 99)),
    **_numbered(80, 99, Rule("Unreserved template", "S", 1, 99)),
}
"""The root objects. Accounts 02-25: see `NETWORKS`."""

# Source: EMV QRCPS Merchant-Presented Mode, table 3.7; 10 and 11 from version 1.1.
ADDITIONAL: Final[dict[str, Rule]] = {
    "00": Rule("Reserved", "S", 1, 99),
    "01": Rule("Bill number", "ans", 1, 25),
    "02": Rule("Mobile number", "ans", 1, 25),
    "03": Rule("Store label", "ans", 1, 25),
    "04": Rule("Loyalty number", "ans", 1, 25),
    "05": Rule("Reference label", "ans", 1, 25),
    "06": Rule("Customer label", "ans", 1, 25),
    "07": Rule("Terminal label", "ans", 1, 25),
    "08": Rule("Purpose of transaction", "ans", 1, 25),
    "09": Rule("Consumer data request", "ans", 1, 3),
    "10": Rule("Merchant tax ID", "ans", 1, 20),
    "11": Rule("Merchant channel", "ans", 3, 3),
    **_numbered(12, 49, Rule("Reserved", "S", 1, 99)),
    **_numbered(50, 99, Rule("Payment system template", "S", 1, 99)),
}
"""The objects of template 62, additional data."""

# Source: EMV QRCPS Merchant-Presented Mode, table 3.8.
LANGUAGE: Final[dict[str, Rule]] = {
    "00": Rule("Language", "a", 2, 2),
    "01": Rule("Merchant name", "S", 1, 25),
    "02": Rule("Merchant city", "S", 1, 15),
    **_numbered(3, 99, Rule("Reserved", "S", 1, 99)),
}
"""The objects of template 64, the merchant in another language."""

NETWORKS: Final = {
    **dict.fromkeys(("02", "03"), "Visa"),
    **dict.fromkeys(("04", "05"), "Mastercard"),
    **dict.fromkeys(("09", "10"), "Discover"),
    **dict.fromkeys(("11", "12"), "American Express"),
    **dict.fromkeys(("13", "14"), "JCB"),
    **dict.fromkeys(("15", "16"), "UnionPay"),
}
"""Whose the primitive account objects are. Source: EMV QRCPS Merchant-Presented Mode, table 4.3."""

ACCOUNTS: Final = frozenset(f"{n:02}" for n in range(2, 52))
_MANDATORY: Final = ("52", "53", "58", "59", "60")
_MANDATORY_IDS: Final = frozenset(_MANDATORY)
_FEES: Final = frozenset({"56", "57"})

Accepts: TypeAlias = Callable[[Any], object]
Found: TypeAlias = Iterator[tuple[str, str]]  # issue code and path

_CLASS: Final = {"N": "[0-9]", "a": "[A-Za-z]", "ans": "[ -~]", "S": "[^\ud800-\udfff\u0300-\u036f]"}
_NOT_S: Final = re.compile("[\ud800-\udfff\u0300-\u036f]")
AMOUNT: Final = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
PERCENT: Final = re.compile(r"([0-9]+)(?:\.([0-9]{0,2}))?")
_GUID_MOST: Final = 32

# Values that can be listed, and the one code for whatever else stands there.
_LISTED: Final = {
    "00": (frozenset({"01"}), "PFI_VALUE"),
    "01": (frozenset({"11", "12"}), "POI_VALUE"),
    "55": (frozenset({"01", "02", "03"}), "TIP_VALUE"),
    "62.09": (
        frozenset("".join(some) for n in (1, 2, 3) for some in permutations("AME", n)),
        "CONSUMER_DATA_REQUEST",
    ),
}


# --- accepting: one test an object, from tables that are built once -------------------------------------


def _test(path: str, rule: Rule) -> Accepts:
    if path in _LISTED:
        return _LISTED[path][0].__contains__
    if rule.charset == "S":
        return _text(rule.least, rule.most)
    return _ascii(_KIND[rule.charset], rule.least, rule.most)


_KIND: Final = {"N": str.isdigit, "a": str.isalpha, "ans": str.isprintable}


def _ascii(kind: Callable[[str], bool], least: int, most: int) -> Accepts:
    """The test for N, a and ans; methods of str are faster than a pattern."""
    return lambda value: least <= len(value) <= most and value.isascii() and kind(value)


def _text(least: int, most: int) -> Accepts:
    """The test for S."""
    return lambda value: least <= len(value) <= most and (value.isascii() or not _NOT_S.search(value))


def _anything(_value: object) -> bool:
    return True


# The tests of templates take a text, too: one that is broken inside stays text, and the syntax said so.


def _owned(inside: Any) -> object:
    if inside.__class__ is str:
        return True
    guid = inside.get("00", "")
    return (
        0 < len(guid) <= _GUID_MOST
        and guid.isascii()
        and guid.isprintable()
        and ("".join(inside.values()).isascii() or not any(_NOT_S.search(value) for value in inside.values()))
    )


def _additional(inside: Any) -> object:
    return inside.__class__ is str or _all_right(_IN_62, inside)


def _language(inside: Any) -> object:
    return inside.__class__ is str or ("00" in inside and "01" in inside and _all_right(_IN_64, inside))


def _all_right(tests: Mapping[str, Accepts], inside: Fields) -> bool:
    for ident, value in inside.items():  # noqa: SIM110 - a generator costs twice as much here
        if not tests[ident](value):
            return False
    return True


_IN_62: Final[dict[str, Accepts]] = {
    ident: _owned if ident >= "50" else _test(f"62.{ident}", rule) for ident, rule in ADDITIONAL.items()
}
_IN_64: Final[dict[str, Accepts]] = {ident: _test(f"64.{ident}", rule) for ident, rule in LANGUAGE.items()}
_IN_ROOT: Final[dict[str, Accepts]] = {
    **{ident: _test(ident, rule) for ident, rule in ROOT.items()},
    **dict.fromkeys(TEMPLATES, _owned),
    "54": re.compile(r"(?=.{1,13}\Z)(?=.*[1-9])(?:[0-9]+\.?[0-9]*|\.[0-9]+)").fullmatch,
    "56": _anything,  # the fees depend on 55: `_fee_faults`
    "57": _anything,
    "62": _additional,
    "63": _anything,  # the CRC is the syntax's
    "64": _language,
}


# --- explaining: why a test refused ----------------------------------------------------------------------


def faults(fields: Fields, whole: bool) -> list[tuple[str, str]]:
    """Every deviation in what the objects mean, as issue code and path."""
    refused = [ident for ident, value in fields.items() if not _IN_ROOT[ident](value)]
    found = [fault for ident in refused for fault in _explain(ident, fields[ident])]
    if "55" in fields or not _FEES.isdisjoint(fields):
        found += _fee_faults(fields, whole)
    if whole and (ACCOUNTS.isdisjoint(fields) or not fields.keys() >= _MANDATORY_IDS):
        found += _absences(fields)
    return found


def _explain(path: str, value: Any) -> Found:
    if not isinstance(value, str):
        yield from _EXPLAIN.get(path, _explain_owned)(path, value)
    elif path in _LISTED:
        if value:
            yield _LISTED[path][1], path
    elif path == "54":
        yield from _explain_amount(value)
    else:
        yield from _explain_value(path, rule_at(path), value)


def rule_at(path: str) -> Rule:
    """The rule for a root object (`59`) or an object of 62 or 64 (`62.01`)."""
    root, _, ident = path.partition(".")
    return {"62": ADDITIONAL, "64": LANGUAGE}[root][ident] if ident else ROOT[root]


def _explain_value(path: str, rule: Rule, value: str) -> Found:
    if value and not rule.least <= len(value) <= rule.most:  # an empty one was reported by the syntax
        yield f"LENGTH_{path.replace('.', '_')}", path
    if not re.fullmatch(f"{_CLASS[rule.charset]}*", value):
        yield f"FORMAT_{path[:2]}", path


def _explain_amount(value: str) -> Found:
    if len(value) > ROOT["54"].most:
        yield "LENGTH_54", "54"
    if value and not AMOUNT.fullmatch(value):
        yield "AMOUNT_FORMAT", "54"
    elif value and not value.strip("0."):
        yield "AMOUNT_ZERO", "54"


def _explain_owned(path: str, inside: Mapping[str, str]) -> Found:
    if "00" not in inside:
        yield f"NO_GUID_{path[:2]}", path
    elif len(inside["00"]) > _GUID_MOST:
        yield f"GUID_LENGTH_{path[:2]}", f"{path}.00"
    for ident, value in inside.items():
        if not re.fullmatch(f"{_CLASS['ans' if ident == '00' else 'S']}*", value):
            yield f"FORMAT_{path[:2]}", f"{path}.{ident}"


def _explain_additional(path: str, inside: Mapping[str, Any]) -> Found:
    for ident, value in inside.items():
        if not _IN_62[ident](value):
            yield from _explain(f"{path}.{ident}", value)


def _explain_language(path: str, inside: Mapping[str, str]) -> Found:
    for ident in ("00", "01"):
        if ident not in inside:
            yield f"LANG_{ident}_MISSING", f"{path}.{ident}"
    for ident, value in inside.items():
        if not _IN_64[ident](value):
            yield from _explain(f"{path}.{ident}", value)


_EXPLAIN: Final = {"62": _explain_additional, "64": _explain_language}


def _fee_faults(fields: Fields, whole: bool) -> list[tuple[str, str]]:
    """Objects 56 and 57 against 55. Source: EMV QRCPS Merchant-Presented Mode 4.7.6 to 4.7.8."""
    found: list[tuple[str, str]] = []
    for ident, cause, judge in _FEE_ROWS:
        value, wanted = fields.get(ident), fields.get("55") == cause
        if value is None:
            if wanted and whole:
                found.append((f"FEE_{ident}_MISSING", ident))
        elif not wanted:
            found.append((f"FEE_{ident}_UNEXPECTED", ident))
        elif value:
            found += ((code, ident) for code in judge(value))
    return found


def _fixed_faults(value: str) -> Iterable[str]:
    if len(value) > ROOT["56"].most:
        yield "LENGTH_56"
    if not AMOUNT.fullmatch(value):
        yield "FORMAT_56"
    elif not value.strip("0."):
        yield "FEE_56_ZERO"


def _percent_faults(value: str) -> Iterable[str]:
    match = PERCENT.fullmatch(value)
    if match is None or len(value) > ROOT["57"].most:
        yield "FEE_57_FORMAT"
    elif not 0 < hundredths(value) < 100_00:
        yield "FEE_57_RANGE"


_FEE_ROWS: Final = (("56", "02", _fixed_faults), ("57", "03", _percent_faults))


def _absences(fields: Fields) -> Found:
    if ACCOUNTS.isdisjoint(fields):
        yield "NO_MERCHANT_ACCOUNT", ""
    for ident in _MANDATORY:
        if ident not in fields:
            yield f"MISSING_{ident}", ident


def hundredths(percent: str) -> int:
    """A percentage as hundredths of a percent; `percent` matches PERCENT."""
    whole, _, decimals = percent.partition(".")
    return int(whole) * 100 + int(decimals.ljust(2, "0"))
