"""Merchant-presented EMV QR codes: the payer scans what the merchant shows.

`decode` reads any text and reports what is wrong as issues; `encode` writes one. The syntax is
`paysim.codec.emvqr`'s, the national profiles are `paysim.qr.profiles`'s.

Source: EMV QRCPS Merchant-Presented Mode 1.0 and 1.1.
Assumed: a percentage fee is rounded half up to a minor unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from paysim.codec import emvqr
from paysim.codec.emvqr import Fields
from paysim.codec.issue import Issue, issue
from paysim.core.errors import UsageError
from paysim.core.money import Money
from paysim.qr import profiles
from paysim.qr.profiles import Profile
from paysim.qr.rules import ACCOUNTS, NETWORKS, PERCENT, ROOT, faults, hundredths, rule_at

__all__ = ["MODES", "TOLERABLE", "MerchantCode", "Tip", "decode", "encode", "name_of"]

MODES: Final = ("strict", "profile", "lenient")

TOLERABLE: Final = frozenset(
    {
        "CRC_LOWERCASE",
        "MISSING_52",
        "MISSING_59",
        "MISSING_60",
        "LENGTH_59",
        "LENGTH_60",
        "LENGTH_61",
        "FORMAT_59",
        "FORMAT_60",
        "AMOUNT_ZERO",
        "CONSUMER_DATA_REQUEST",
        "FEE_56_UNEXPECTED",
        "FEE_57_UNEXPECTED",
    }
)
"""What lenient mode accepts: see `decode`."""

ASK: Final = "***"
"""In template 62: the app is to ask the payer for this value."""

# --- what is kept ----------------------------------------------------------------------------------------


# Issues of an object itself, whatever is inside it.
_AROUND: Final = frozenset({"ZERO_LENGTH", "DUPLICATE_ID", "DUPLICATE_ID_IN_62"})


def _forgiven(one: Issue, fields: Fields, row: Profile | None, mode: str) -> bool:
    if mode == "lenient" and one.code in TOLERABLE:
        return True
    if row is None:
        return False
    if mode == "strict":
        return _within(one, row.own)
    return (
        one.code in row.forgives
        or _within(one, row.own)
        or _within(one, row.raw)
        or row.allows.get(one.code) == fields.get(one.path, "")
    )


def _within(one: Issue, paths: frozenset[str]) -> bool:
    """Whether the issue is of what one of these objects holds."""
    if one.path in paths:
        return one.code not in _AROUND
    return one.path[:2] in paths or one.path[:5] in paths


def _length_faults(fields: Fields, row: Profile) -> Iterator[tuple[str, str]]:
    """The lengths that a profile enforces inside its own templates."""
    for root, inside in fields.items():
        if isinstance(inside, dict):
            guid = str(inside.get("00", "")).upper()
            for ident, value in inside.items():
                least, most = row.lengths.get((guid, ident), (1, 99))
                if value and not least <= len(value) <= most:
                    yield f"LENGTH_{root}_{ident}", f"{root}.{ident}"


def _placed(found: Iterable[tuple[str, str]], text: str, places: Mapping[str, int]) -> Iterator[Issue]:
    """The faults with their places: an absent object's is its template's, or the end of the code."""
    for code, path in found:
        known = path
        while known not in places and "." in known:
            known = known.rpartition(".")[0]
        yield issue(code, path, places.get(known, len(text)))


# --- the code --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tip:
    """What the payer adds: `kind` is `prompt` (the app asks), `fixed` or `percent`; `value` is the text.

    >>> Tip("percent", "5.5").on(Money("CNY", 1000))
    Money('CNY', 55)
    """

    kind: str
    value: str = ""

    def on(self, base: Money) -> Money:
        """The fee on this amount; of a prompt, nothing. A percentage is rounded half up to a minor unit.

        Raises UsageError where the code's text is not a legal fee.
        """
        if self.kind == "fixed":
            return _money(self.value, base.currency)
        if self.kind == "percent":
            if not PERCENT.fullmatch(self.value):
                raise UsageError(f"{self.value!r} is no percentage with at most two decimals")
            return Money(base.currency, (base.minor * hundredths(self.value) + 50_00) // 100_00)
        return Money(base.currency, 0)


def _money(text: str, currency: str) -> Money:
    return Money.parse(f"0{text}" if text.startswith(".") else text, currency)


_TIPS: Final = {"01": ("prompt", ""), "02": ("fixed", "56"), "03": ("percent", "57")}


@dataclass(frozen=True, slots=True)
class MerchantCode:
    """A merchant's code, read: what it says (`fields`, by ID, templates nested) and what is wrong with it.

    `issues` are those that the mode did not forgive, in order of position; `profile` is the national
    profile's name, or None. `fields` is not to be changed.
    """

    text: str
    fields: Fields
    issues: tuple[Issue, ...] = ()
    profile: str | None = None

    @property
    def valid(self) -> bool:
        """Whether no issue is left."""
        return not self.issues

    def value(self, path: str) -> str | None:
        """The text at a path (`59`, `62.05`), or None."""
        found: Any = self.fields
        for ident in path.split("."):
            if not isinstance(found, dict):
                return None
            found = found.get(ident)
        return found if isinstance(found, str) else None

    @property
    def amount(self) -> str | None:
        """The amount as the code writes it, or None where the payer types it."""
        return self.value("54")

    @property
    def currency(self) -> str | None:
        """The ISO 4217 numeric code."""
        return self.value("53")

    @property
    def money(self) -> Money | None:
        """The amount as money, or None where the payer types it. Raises UsageError where it is illegal."""
        return None if self.amount is None else _money(self.amount, self.currency or "")

    @property
    def tip(self) -> Tip | None:
        """The tip or convenience fee that objects 55 to 57 ask for, or None."""
        row = _TIPS.get(self.value("55") or "")
        return Tip(row[0], self.value(row[1]) or "" if row[1] else "") if row else None

    def total(self, amount: Money | None = None) -> Money:
        """What the payer owes: the code's amount (or `amount`, where the payer types it) and the fee.

        Raises UsageError where neither names an amount.
        """
        base = self.money or amount
        if base is None:
            raise UsageError("the code has no amount; pass the one that the payer types")
        return base + self.tip.on(base) if self.tip else base

    @property
    def dynamic(self) -> bool:
        """Whether the code is for one transaction (point of initiation 12)."""
        return self.value("01") == "12"

    @property
    def country(self) -> str | None:
        """The ISO 3166-1 alpha-2 code."""
        return self.value("58")

    @property
    def category(self) -> str | None:
        """The merchant category code (ISO 18245)."""
        return self.value("52")

    @property
    def merchant_name(self) -> str | None:
        """The merchant's name, as the code writes it."""
        return self.value("59")

    @property
    def city(self) -> str | None:
        """The merchant's city."""
        return self.value("60")

    @property
    def postal_code(self) -> str | None:
        """The merchant's postal code."""
        return self.value("61")

    @property
    def reference(self) -> str | None:
        """The reference label, 62.05; `***` asks the payer for it."""
        return self.value("62.05")

    @property
    def bill_number(self) -> str | None:
        """The bill number, 62.01."""
        return self.value("62.01")

    @property
    def terminal(self) -> str | None:
        """The terminal label, 62.07."""
        return self.value("62.07")

    @property
    def local_name(self) -> str | None:
        """The merchant's name in the language of template 64."""
        return self.value("64.01")

    @property
    def asks(self) -> tuple[str, ...]:
        """The paths in template 62 that the app is to ask the payer for (`***`), and 62.09 if present."""
        inside = self.fields.get("62")
        if not isinstance(inside, dict):
            return ()
        return tuple(f"62.{ident}" for ident, value in inside.items() if value == ASK or ident == "09")

    @property
    def accounts(self) -> dict[str, str | Fields]:
        """The merchant accounts by root object, in the merchant's order of preference."""
        return {ident: value for ident, value in self.fields.items() if ident in ACCOUNTS}

    def explain(self) -> tuple[tuple[str, str, str], ...]:
        """Every object as path, name and text, templates before what they hold; for people."""
        row = profiles.PROFILES.get(self.profile or "")
        return tuple(_rows(self.fields, row))


def name_of(path: str, names: Mapping[str, str] | None = None) -> str:
    """What the object at a path is called; empty where only the template's owner knows.

    `names` are a profile's, for the objects of the template that the path leads into.

    >>> name_of("54"), name_of("15"), name_of("62.05"), name_of("29.00")
    ('Transaction amount', 'Merchant account (UnionPay)', 'Reference label', 'Owner')
    """
    root, _, ident = path.partition(".")
    if not ident:
        return ROOT[root].name + (f" ({NETWORKS[root]})" if root in NETWORKS else "") if root in ROOT else ""
    if root in ("62", "64") and len(ident) == 2:
        return rule_at(path).name
    return (names or {}).get(ident) or ("Owner" if ident.endswith("00") else "")


def _rows(fields: Fields, row: Profile | None) -> Iterator[tuple[str, str, str]]:
    for root, value in fields.items():
        inside = value if isinstance(value, dict) else {}
        yield root, name_of(root), "" if inside else value
        names = row.names_in(root, str(inside.get("00", ""))) if row else None
        for path, text in _leaves(inside, root):
            yield path, name_of(path, names), text


def _leaves(inside: Fields, above: str) -> Iterator[tuple[str, str]]:
    for ident, value in inside.items():
        path = f"{above}.{ident}"
        if isinstance(value, dict):
            yield path, ""
            yield from _leaves(value, path)
        else:
            yield path, value


def decode(text: str, *, mode: str = "profile", profile: str | None = None) -> MerchantCode:
    """The code that a text holds; it never raises for a text, whatever is wrong becomes an issue.

    `mode` is one of

    * `strict`: the EMVCo rules;
    * `profile`: less what the national profile allows, which is the one named by `profile` or recognised
      by its GUID, AID or root object; without one nothing is forgiven;
    * `lenient`: besides, what a payment can do without: a right CRC in lower case; an absent category,
      name or city, which are for display; names and postal codes that are too long or not ASCII; an amount
      of zero, which asks the payer; fees and data requests that no one asked for. Never a wrong CRC,
      broken syntax, or doubt about account, amount, currency or country.

    Raises UsageError for another mode or an unknown profile.
    """
    if mode not in MODES:
        raise UsageError(f"no mode {mode!r}; there are {', '.join(MODES)}")
    fields, broken, whole, places = emvqr.decode(text)
    row = profiles.profile(profile) if profile else profiles.recognise(fields)
    found = faults(fields, whole)
    if row is not None and row.lengths and mode != "strict":
        found += _length_faults(fields, row)
    if not found and not broken:
        return MerchantCode(text, fields, (), row.name if row else None)
    issues = [*broken, *_placed(found, text, places or emvqr.examine(text).places)]
    # Where reading stopped, an issue of the root may bear the path of an object that is forgiven inside.
    kept = [one for one in issues if not (_forgiven(one, fields, row, mode) and (whole or one not in broken))]
    kept.sort(key=lambda one: one.offset)
    return MerchantCode(text, fields, tuple(kept), row.name if row else None)


def encode(code: MerchantCode | Mapping[str, Any]) -> str:
    """The text of a code: object 00 first, the others in the given order, the CRC computed last.

    Takes `fields` (templates as mappings) or a MerchantCode. What the values mean is not judged, so that
    a test can build a code with faults; `decode` names them. Raises LocalProtocolError for what the
    syntax cannot carry.

    >>> text = encode({"00": "01", "15": "3104000441234567", "52": "5411", "53": "156", "58": "CN",
    ...                "59": "TEA HOUSE", "60": "BEIJING"})
    >>> decode(text).valid
    True
    """
    return emvqr.encode(code.fields if isinstance(code, MerchantCode) else code)
