"""From a profile to a card: numbers, keys, records and certificates, made once and never changed.

    Scheme (CA key, issuer key, master keys)  --issuer_keys-->  IssuerKeys
    personalise(profile, pan, psn, issuer, card_key, on=day)    -->  Personalisation  -->  Card

Keys are passed in: nothing is drawn here. The records that authenticate a card are laid out as

    SFI 2, record 1       5A 5F24 5F28 9F07 9F4A     signed by the issuer, with the AIP
    SFI 3, records 1..n   8F 9F32 92 90 9F46 9F47 9F48, and in the last place what the card signs at the tap

Source: EMV 4.4 Book 3 10.2 (AFL), Book 2 6 (certificates); the last record: facts U3 (QP).
Assumed: which SFI holds what.
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from paysim.codec import formats, tlv
from paysim.crypto.ca_keys import CaKey
from paysim.crypto.certificate import KeyCertificate, issue_card, issue_issuer
from paysim.crypto.cryptogram import CardKey
from paysim.crypto.inputs import InputError, digits, sized
from paysim.crypto.raw_rsa import RsaPrivate

from .memory import Memory
from .ppse import directory, fci
from .profile import RIDS, Profile

__all__ = ["BINS", "IssuerKeys", "Personalisation", "Scheme", "check_digit", "make_pan", "personalise"]

BINS: Final[Mapping[str, str]] = {"visa": "476173", "unionpay": "623456"}
"""How PANs of our cards start. Assumed: numbers of test cards; nothing is known to be issued under them."""

MAX_RECORD: Final = 253
"""Bytes of a record's value: with tag and length, an answer of 256 bytes."""

SMALL_KEY_BITS: Final = 1024
"""Up to here the signature fits into the answer to GET PROCESSING OPTIONS. Source: facts, answer TC (QP)"""

STATIC_SFI: Final = 2
KEYS_SFI: Final = 3

_SERVICE: Final = "201"
"""Assumed: international, chip, no restrictions. Source: ISO/IEC 7813 (the digits' meaning)"""


def check_digit(number: str) -> str:
    """The digit that Luhn's formula puts behind `number`.

    >>> check_digit("476173900101001")
    '0'

    Source: ISO/IEC 7812-1 Annex B
    """
    total = 0
    for place, letter in enumerate(reversed(digits("number", number, 1, 18))):
        doubled = int(letter) * (2 - place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def make_pan(scheme: str, account: int) -> str:
    """The PAN (16 digits) of the scheme's test card number `account` (0 to 999,999,999).

    >>> make_pan("unionpay", 7)
    '6234560000000073'
    """
    number = BINS[scheme] + f"{account:09}"
    if len(number) != 15:
        raise InputError("account", "0 to 999999999", str(account))
    return number + check_digit(number)


@dataclass(frozen=True)
class IssuerKeys:
    """What an issuer makes cards with: its certified RSA key and its master keys (16 bytes each)."""

    rid: bytes
    ca_index: int
    key: RsaPrivate
    certificate: KeyCertificate
    identifier: str
    """How its PANs start: 3 to 8 digits."""
    imk: bytes
    """For application cryptograms."""
    script_imk: bytes
    """For the MACs of issuer scripts."""

    def __post_init__(self) -> None:
        sized("RID", self.rid, 5)
        sized("issuer master key", self.imk, 16)
        sized("issuer script key", self.script_imk, 16)

    def __repr__(self) -> str:
        return f"IssuerKeys(rid={self.rid.hex().upper()}, identifier={self.identifier}, ...)"


@dataclass(frozen=True)
class Scheme:
    """A card scheme of a sandbox: its CA, and the one issuer under it. All keys are passed in.

    `name` is "visa" or "unionpay"; the issuer's RSA key is at most as long as the CA's.
    """

    name: str
    ca: RsaPrivate
    issuer: RsaPrivate
    imk: bytes
    script_imk: bytes
    expires: datetime.date
    ca_index: int = 0xF1
    identifier: str = ""
    """Empty: the scheme's row of BINS."""
    rid: bytes = b""
    """Empty: the scheme's row of RIDS."""

    def __repr__(self) -> str:
        return f"Scheme({self.name!r}, ...)"

    @cached_property
    def ca_key(self) -> CaKey:
        """The CA's public key, as readers load it."""
        return CaKey(self.rid or RIDS[self.name], self.ca_index, self.ca.public, self.expires)

    @cached_property
    def issuer_keys(self) -> IssuerKeys:
        """The issuer's keys, its RSA key certified by the CA."""
        identifier = self.identifier or BINS[self.name]
        made = issue_issuer(self.ca, self.issuer.public, identifier, self.expires, b"\x00\x00\x01")
        rid = self.rid or RIDS[self.name]
        return IssuerKeys(rid, self.ca_index, self.issuer, made, identifier, self.imk, self.script_imk)


@dataclass(frozen=True, eq=False)
class Personalisation:
    """A card as it leaves the issuer. Shows the last four digits of its PAN, and no key."""

    profile: Profile
    pan: str
    psn: str
    expires: datetime.date
    data: Mapping[int, bytes]
    """Tag -> value of everything fixed that answers carry or decisions look at."""
    directory: bytes
    fcis: Mapping[bytes, bytes]
    """ADF name -> FCI, in the card's order."""
    records: Mapping[tuple[int, int], bytes]
    """(SFI, number) -> record, but for the one that the card signs at the tap."""
    afl: bytes
    last_record: tuple[int, int]
    """SFI and number of the last record; (0, 0) for a card without records."""
    signs_in_record: bool
    """The signature (9F4B) stands in the last record; else in the answer to GET PROCESSING OPTIONS."""
    data_in_record: bool
    """9F69 stands there, too. A key near 1984 bits leaves no room for it."""
    ac_key: CardKey
    script_key: CardKey
    card_key: RsaPrivate | None
    slices: Mapping[int, slice] = field(default_factory=dict)
    """Tag -> where the reader's data for the PDOL hold it."""
    pdol_size: int = 0

    def __repr__(self) -> str:
        return f"Personalisation({self.profile.name!r}, pan='...{self.pan[-4:]}')"

    def memory(self) -> Memory:
        """A new card's memory; its `facts` are what it starts with, to be written by whoever keeps it."""
        memory = Memory()
        if self.profile.balance_minor:
            memory.record("balance", self.profile.balance_minor)
        if self.profile.blocked:
            memory.record("blocked", 1)
        return memory


def personalise(
    profile: Profile,
    pan: str,
    psn: str,
    issuer: IssuerKeys,
    card_key: RsaPrivate | None = None,
    *,
    on: datetime.date,
    currency: int = 156,
    country: int = 156,
) -> Personalisation:
    """The card of `profile` for `pan` (13 to 19 digits, Luhn) and `psn` (2 digits), made on the day `on`.

    `card_key` is wanted where the profile signs, at most as long as the issuer's key; `currency` and
    `country` are ISO numbers. Raises InputError for what does not fit together.
    """
    _check(profile, pan, issuer, card_key)
    digits("PAN sequence number", psn, 2, 2)
    expires = _month_end(on, profile.valid_months)
    data = {
        **profile.data,
        0x57: formats.track2(pan, f"{expires:%y%m}", _SERVICE, "00000"),
        0x5A: formats.encode_cn(pan),
        0x5F24: formats.encode_date(expires),
        0x5F28: formats.encode_n(country, 2),
        0x5F34: formats.encode_cn(psn, 1),
        0x9F51: formats.encode_n(currency, 2),
    }
    records, last = _records(profile, pan, issuer, card_key, data, expires)
    size = card_key.public.size if profile.signs and card_key else 0
    in_record = size * 8 > SMALL_KEY_BITS
    slices, pdol_size = _slices(profile.pdol)
    return Personalisation(
        profile=profile,
        pan=pan,
        psn=psn,
        expires=expires,
        data=data,
        directory=directory(profile.applications),
        fcis={application.aid: fci(application, profile.pdol) for application in profile.applications},
        records=records,
        afl=_afl(last),
        last_record=last,
        signs_in_record=in_record,
        data_in_record=in_record and size + 14 <= MAX_RECORD,
        ac_key=CardKey.of(profile.method, issuer.imk, pan, psn),
        script_key=CardKey.of(profile.method, issuer.script_imk, pan, psn),
        card_key=card_key if profile.signs else None,
        slices=slices,
        pdol_size=pdol_size,
    )


def _check(profile: Profile, pan: str, issuer: IssuerKeys, card_key: RsaPrivate | None) -> None:
    """Refuses what a personalisation bureau would send back; the PAN itself is not shown."""
    if check_digit(digits("PAN", pan, 13, 19)[:-1]) != pan[-1]:
        raise InputError("PAN", "a number with Luhn's check digit", "another last digit")
    if not pan.startswith(issuer.identifier):
        raise InputError("PAN", f"a number that starts with {issuer.identifier}", "another issuer's")
    if profile.signs and card_key is None:
        raise InputError("card key", f"an RSA key, since {profile.name} signs taps", "none")


def _month_end(on: datetime.date, months: int) -> datetime.date:
    """The last day of the month that lies `months` after `on`'s."""
    year, month = divmod(on.year * 12 + on.month - 1 + months, 12)
    return datetime.date(year, month + 1, calendar.monthrange(year, month + 1)[1])


def _slices(pdol: Sequence[tuple[int, int]]) -> tuple[dict[int, slice], int]:
    slices, at = {}, 0
    for tag, length in pdol:
        slices[tag] = slice(at, at + length)
        at += length
    return slices, at


def _records(
    profile: Profile,
    pan: str,
    issuer: IssuerKeys,
    card_key: RsaPrivate | None,
    data: Mapping[int, bytes],
    expires: datetime.date,
) -> tuple[dict[tuple[int, int], bytes], tuple[int, int]]:
    """The fixed records, and SFI and number of the last one (among them, if the card signs earlier)."""
    if not profile.signs or card_key is None:
        return {}, (0, 0)
    static = tlv.encode([(tag, data[tag]) for tag in (0x5A, 0x5F24, 0x5F28, 0x9F07)] + [(0x9F4A, b"\x82")])
    serial = bytes.fromhex(pan[-7:-1])
    made = issue_card(issuer.key, card_key.public, pan, expires, serial, static + data[0x82])
    objects = (
        (0x8F, bytes((issuer.ca_index,))),
        (0x9F32, issuer.certificate.exponent),
        *(((0x92, issuer.certificate.remainder),) if issuer.certificate.remainder else ()),
        (0x90, issuer.certificate.certificate),
        (0x9F47, made.exponent),
        *(((0x9F48, made.remainder),) if made.remainder else ()),
        (0x9F46, made.certificate),
    )
    packed = _packed([tlv.encode((one,)) for one in objects])
    records = {(STATIC_SFI, 1): tlv.encode(((0x70, static),))}
    records |= {(KEYS_SFI, at): tlv.encode(((0x70, one),)) for at, one in enumerate(packed, start=1)}
    signed = int(card_key.public.size * 8 > SMALL_KEY_BITS)
    return records, (KEYS_SFI, len(packed) + signed)


def _packed(objects: Sequence[bytes]) -> list[bytes]:
    """The objects in as few records as their order allows."""
    packed: list[bytes] = []
    for one in objects:
        if packed and len(packed[-1]) + len(one) <= MAX_RECORD:
            packed[-1] += one
        else:
            packed.append(one)
    return packed


def _afl(last: tuple[int, int]) -> bytes:
    """Where the reader finds the records; the static one alone is signed by the issuer.

    Source: EMV 4.4 Book 3 10.2
    """
    if not last[0]:
        return b""
    return formats.encode_afl((formats.Records(STATIC_SFI, 1, 1, 1), formats.Records(KEYS_SFI, 1, last[1])))
