"""National profiles of merchant-presented EMV QR codes, as data.

A profile says how its codes are recognised, what it fixes, which deviations from the EMVCo rules it allows,
and what its objects are called. A value that differs from what a profile fixes is remarked, not refused.

Source: the schemes' public guides and the output of their clients. Assumed: every row of `expects`, the
meaning of HKFPS objects 05 and 06, the layout of UnionPay's objects 15 and 16 (taken as opaque), QRIS and
KHQR codes recognised by shape where no registered name is present, QR Ph's template 28, and that QRIS
defines 62.50 to 62.99 itself (its codes have no owner's name there).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from paysim.core.errors import UsageError

__all__ = ["PROFILES", "Profile", "profile", "recognise", "remarks"]

_NO_NAMES: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one scheme's codes look like.

    `guids` are the owners' names (object 00 of an account template, upper case) that recognise it, `roots`
    the root objects that do, `shape` a pattern over `COUNTRY template.sub=value` for schemes without a name
    of their own. `forgives` lists issue codes; `allows` the value that excuses an issue code;
    `raw` paths whose content is not judged, except in strict mode; `own` paths that the scheme defines
    itself, not judged in any mode. `names` are sub-objects' names by owner or root object; `lengths` the
    sub-objects' lengths (owner, sub-object) that it enforces; `expects` patterns by path that it remarks on.
    """

    name: str
    title: str
    country: str = ""
    currencies: tuple[str, ...] = ()
    category: str = ""
    guids: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    shape: str = ""
    forgives: frozenset[str] = frozenset()
    allows: Mapping[str, str] = field(default_factory=dict)
    raw: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lengths: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    expects: Mapping[str, str] = field(default_factory=dict)

    def names_in(self, root: str, guid: str) -> Mapping[str, str]:
        """The names of sub-objects in this root object, whose owner is `guid`."""
        return self.names.get(guid.upper()) or self.names.get(root) or _NO_NAMES


_PAYNOW: Final = {
    "01": "Proxy type (0 mobile, 1 NRIC, 2 UEN, 3 VPA)",
    "02": "Proxy value",
    "03": "Amount editable (0 no, 1 yes)",
    "04": "Expiry (YYYYMMDD, time optional)",
}
_QRIS_NATIONAL: Final = {"02": "National merchant ID", "03": "Merchant criteria"}
_QRIS_ACCOUNT: Final = {
    "01": "Merchant PAN",
    "02": "Merchant ID",
    "03": "Merchant criteria (UMI, UKE, UME, UBE, URE)",
}

_TABLE: Final = (
    Profile(
        name="pix",
        title="PIX BR Code (Brazil)",
        country="BR",
        currencies=("986",),
        category="0000",
        guids=("BR.GOV.BCB.PIX",),
        forgives=frozenset({"MISSING_60", "LENGTH_60", "AMOUNT_ZERO"}),
        names={"BR.GOV.BCB.PIX": {"01": "Key", "02": "Message", "25": "URL of the charge"}},
        expects={"62.05": r"\*\*\*|[0-9A-Za-z]{1,25}"},
    ),
    Profile(
        name="promptpay",
        title="PromptPay (Thailand)",
        country="TH",
        currencies=("764",),
        guids=("A000000677010111", "A000000677010112"),
        forgives=frozenset({"MISSING_52", "MISSING_59", "MISSING_60"}),
        raw=frozenset({"81"}),
        names={
            "A000000677010111": {"01": "Mobile number", "02": "National or tax ID", "03": "E-wallet ID"},
            "A000000677010112": {"01": "Biller ID", "02": "Reference 1", "03": "Reference 2"},
        },
        lengths={
            ("A000000677010111", "01"): (13, 13),
            ("A000000677010111", "02"): (13, 13),
            ("A000000677010111", "03"): (15, 15),
        },
        expects={
            "29.01": r"0066[0-9]{9}",
            "29.02": r"[0-9]{13}",
            "29.03": r"[0-9]{15}",
            "30.01": r"[0-9]{13,15}",
        },
    ),
    Profile(
        name="sgqr",
        title="SGQR (Singapore)",
        country="SG",
        currencies=("702",),
        guids=("SG.SGQR",),
        names={
            "SG.SGQR": {
                "01": "SGQR ID",
                "02": "Version",
                "03": "Postal code",
                "04": "Level",
                "05": "Unit",
                "06": "Miscellaneous",
                "07": "Version date",
            },
            "SG.PAYNOW": _PAYNOW,
        },
        expects={"51.02": r"[0-9]{2}\.[0-9]{4}"},
    ),
    Profile(
        name="paynow",
        title="PayNow (Singapore)",
        country="SG",
        currencies=("702",),
        category="0000",
        guids=("SG.PAYNOW",),
        names={"SG.PAYNOW": _PAYNOW},
        expects={"26.01": r"[0-3]", "26.03": r"[01]", "26.04": r"[0-9]{8}(?:[0-9]{6})?"},
    ),
    Profile(
        name="duitnow",
        title="DuitNow QR (Malaysia)",
        country="MY",
        currencies=("458",),
        guids=("A0000006150001",),
        allows={"PFI_VALUE": "02"},
        raw=frozenset({"82"}),
        names={"A0000006150001": {"01": "Acquirer ID", "02": "Merchant ID"}},
        expects={"26.01": r"[0-9]{6}", "26.02": r".{1,28}"},
    ),
    Profile(
        name="qris",
        title="QRIS (Indonesia)",
        country="ID",
        currencies=("360",),
        guids=("ID.CO.QRIS.WWW", "ID.OR.GPNQR.WWW"),
        shape=r"ID [0-9]{2}\.01=9360[0-9]{14}",
        own=frozenset(f"62.{n}" for n in range(50, 100)),
        raw=frozenset({"99"}),
        names={
            **{f"{n}": _QRIS_ACCOUNT for n in range(26, 46)},
            "ID.CO.QRIS.WWW": _QRIS_NATIONAL,
            "ID.OR.GPNQR.WWW": _QRIS_NATIONAL,
        },
        expects={"61": r".+", "51.02": r"ID[0-9]{13}"},
    ),
    Profile(
        name="hkfps",
        title="FPS (Hong Kong)",
        country="HK",
        currencies=("344", "156"),
        category="0000",
        guids=("HK.COM.HKICL",),
        names={
            "HK.COM.HKICL": {
                "01": "Clearing code",
                "02": "FPS ID",
                "03": "Mobile number",
                "04": "Email address",
                "05": "Timeout (YYYYMMDDHHMMSS)",
                "06": "Amount editable",
            }
        },
        expects={"26.01": r"[0-9]{3}", "26.02": r"[0-9]{7}|[0-9]{9}", "26.03": r"\+[0-9]{1,3}-[0-9]+"},
    ),
    Profile(
        name="vietqr",
        title="VietQR (Vietnam)",
        country="VN",
        currencies=("704",),
        guids=("A000000727",),
        forgives=frozenset({"MISSING_52", "MISSING_59", "MISSING_60"}),
        names={"A000000727": {"01": "Bank and account (objects again)", "02": "Service"}},
        expects={
            "38.01": r"0006[0-9]{6}01[0-9]{2}.{1,19}",
            "38.02": r"QRIBFTT[AC]|QRPUSH|QRCASH",
            "54": r"[0-9]+",
        },
    ),
    Profile(
        name="khqr",
        title="KHQR (Cambodia)",
        country="KH",
        currencies=("840", "116"),
        shape=r"KH (?:29|30)\.00=[^@]+@[^@]+",
        forgives=frozenset({"NO_GUID_99"}),
        names={
            "29": {"00": "Account", "01": "Account information", "02": "Acquiring bank"},
            "30": {"00": "Account", "01": "Merchant ID", "02": "Acquiring bank"},
            "99": {"00": "Created (ms since 1970)", "01": "Expires (ms since 1970)"},
        },
        expects={"99.00": r"[0-9]{13}", "99.01": r"[0-9]{13}"},
    ),
    Profile(
        name="qrph",
        title="QR Ph (Philippines)",
        country="PH",
        currencies=("608",),
        guids=("COM.P2PQRPAY",),
        names={"COM.P2PQRPAY": {"01": "Bank identifier code"}},
    ),
    Profile(
        name="unionpay",
        title="UnionPay",
        roots=("15", "16"),
        forgives=frozenset({"LENGTH_60"}),
    ),
)

PROFILES: Final[dict[str, Profile]] = {row.name: row for row in _TABLE}
"""Every profile by name; where a code carries several, the first in this order names it."""

_RANK: Final = {row.name: rank for rank, row in enumerate(_TABLE)}
_BY_GUID: Final = {guid: row for row in _TABLE for guid in row.guids}
_BY_ROOT: Final = {root: row for row in _TABLE for root in row.roots}
_BY_SHAPE: Final = {row.country: (row, re.compile(row.shape)) for row in _TABLE if row.shape}

# Half of all names arrive in lower case; both spellings are keys, so most look-ups need no upper().
_SPELLINGS: Final = {**_BY_GUID, **{guid.lower(): row for guid, row in _BY_GUID.items()}}
_ACCOUNTS: Final = frozenset(f"{n}" for n in range(26, 52))


def profile(name: str) -> Profile:
    """The profile of this name. Raises UsageError where there is none."""
    try:
        return PROFILES[name]
    except KeyError:
        raise UsageError(f"no profile {name!r}; there are {', '.join(PROFILES)}") from None


def recognise(fields: Mapping[str, Any]) -> Profile | None:
    """The profile whose name, root object or shape a code's objects carry, or None.

    >>> recognise({"26": {"00": "br.gov.bcb.pix"}, "58": "BR"}).name
    'pix'
    """
    named = []
    for ident in _ACCOUNTS.intersection(fields):  # in any order: the rank decides
        value = fields[ident]
        if value.__class__ is dict:
            owner = value.get("00", "")
            row = _SPELLINGS.get(owner) or _BY_GUID.get(owner.upper())
            if row is not None:
                named.append(row)
    if named:
        return min(named, key=lambda row: _RANK[row.name])
    return _by_shape(fields) or _BY_ROOT.get("15" if "15" in fields else "16" if "16" in fields else "")


def _by_shape(fields: Mapping[str, Any]) -> Profile | None:
    found = _BY_SHAPE.get(fields.get("58", ""))
    if found is None:
        return None
    row, pattern = found
    for root, template in fields.items():
        if root in _ACCOUNTS and isinstance(template, dict):
            for ident, value in template.items():
                if pattern.fullmatch(f"{row.country} {root}.{ident}={value}"):
                    return row
    return None


def remarks(row: Profile, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences on values that differ from what the profile fixes; none of them makes a code invalid.

    >>> remarks(PROFILES["pix"], {"53": "840", "58": "BR"})
    ('currency 840 where PIX BR Code (Brazil) has 986',)
    """
    fixed = (
        ("country", fields.get("58"), (row.country,)),
        ("currency", fields.get("53"), row.currencies),
        ("merchant category", fields.get("52"), (row.category,)),
    )
    said = [
        f"{name} {value} where {row.title} has {' or '.join(known)}"
        for name, value, known in fixed
        if value and any(known) and value not in known
    ]
    for path, pattern in row.expects.items():
        value = _at(fields, path)
        if value is None and path == "61":
            said.append(f"object 61 is absent; {row.title} asks for it")
        elif isinstance(value, str) and not re.fullmatch(pattern, value):
            said.append(f"object {path} is not as {row.title} writes it: {value}")
    return tuple(said)


def _at(fields: Mapping[str, Any], path: str) -> object:
    root, _, ident = path.partition(".")
    value = fields.get(root)
    if not ident:
        return value
    return value.get(ident) if isinstance(value, Mapping) else None
