"""What an issuer checks: `ONLINE` for an authorization, `CLEARING` for an offline approval, in their order.

A check gives nothing where the payment passes, else a refusal: a row of `REFUSALS` with its words. The first
refusal is the answer.

Source: facts 3.6 ("Host checks, in order"). Assumed: the PIN before the money, so that nobody learns a
balance without it; `Assumed` in the tables.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple

from paysim.codec.bits import FIELDS, bit
from paysim.codec.formats import decode_cn, decode_n, decode_track2
from paysim.core.errors import UsageError
from paysim.core.money import CURRENCIES, Money
from paysim.crypto.cryptogram import METHODS, CardKey
from paysim.crypto.inputs import InputError, sized
from paysim.crypto.mac import mac_3
from paysim.crypto.pin import PinError, open_format_4, read_format_0
from paysim.crypto.triple_des import decrypt_ecb

from .authorizer import business_day
from .card_file import CardFile, CardRecord
from .cards import CardStatus, Reading
from .messages import AuthorizationRequest, ClearingRecord, Passed
from .no_pin import no_pin_minor
from .policy import PinKeys, Policy
from .refusals import Refusal, refuse

__all__ = ["CLEARING", "ONLINE", "PROOF", "Case", "Check", "digest"]

TC: Final = 1
ARQC: Final = 2
"""Types of cryptogram. Source: EMV 4.4 Book 3 table 15"""

PAYMENTS: Final = frozenset(bytes((kind,)) for kind in (0x00, 0x01, 0x09, 0x17))
"""Transaction types (9C) that take money: purchase, cash (01, 17), cashback. Source: facts V16"""

_CVM_ON_DEVICE: Final = "b2.8"


class Case:
    """A payment under examination: what was asked, and what the checks have found so far."""

    __slots__ = (
        "again",
        "atc",
        "cards",
        "counts",
        "elements",
        "fields",
        "key",
        "pin",
        "pin_keys",
        "pin_why",
        "policy",
        "proven",
        "read",
        "record",
        "request",
        "tally",
        "trace",
    )

    def __init__(
        self,
        request: AuthorizationRequest | ClearingRecord,
        cards: CardFile,
        tally: Callable[[str], int],
        policy: Policy,
        pin_keys: PinKeys,
    ) -> None:
        self.request = request
        self.fields = request.fields
        self.cards = cards
        self.tally = tally
        self.policy = policy
        self.pin_keys = pin_keys
        self.record: CardRecord | None = None
        self.read: Reading | None = None
        self.key: CardKey | None = None
        self.elements: dict[str, bytes] = {}
        self.atc = 0
        self.again = False
        """It was presented before, and comes again with the PIN that was asked for."""
        self.proven = False
        """The card made this cryptogram."""
        self.pin = "none"
        self.pin_why = ""
        """Why the PIN is needed, if it is."""
        self.counts: list[tuple[str, int, int | None]] = []
        self.trace: list[Passed] = []

    @property
    def known(self) -> CardRecord:
        """The card's record, once it has been found."""
        if self.record is None:
            raise UsageError("the card is looked up first")
        return self.record

    @property
    def reading(self) -> Reading:
        """What 9F10 says, once it has been read."""
        if self.read is None:
            raise UsageError("9F10 is read first")
        return self.read

    @property
    def online_pin(self) -> bytes | None:
        """The PIN block of a request; a record for clearing has none."""
        return self.request.online_pin if isinstance(self.request, AuthorizationRequest) else None

    def field(self, tag: int, length: int) -> bytes:
        """A field of the record; InputError where it is missing or has another length."""
        value = self.fields.get(tag)
        return value if type(value) is bytes and len(value) == length else sized(f"{tag:02X}", value, length)


class Check(NamedTuple):
    """A check: its name in the trace, and what it does."""

    step: str
    test: Callable[[Case], Refusal | None]


# The card. ----------------------------------------------------------------------------------------


def _card(case: Case) -> Refusal | None:
    """The card of 57 or 5A, which agree, and 5F34 (absent: 00)."""
    fields = case.fields
    track = decode_track2(fields[0x57]) if 0x57 in fields else None
    pan = track.pan if track else decode_cn(fields.get(0x5A, b""))
    if track and 0x5A in fields and decode_cn(fields[0x5A]) != pan:
        return refuse("malformed", "57 and 5A are two cards")
    record = case.cards.find(pan, fields.get(0x5F34, b"\x00").hex())
    if record is None:
        return refuse("unknown card")
    case.record = record
    says = track.expiry if track else fields.get(0x5F24, b"").hex()[:4]
    if says and says != f"{record.card.expires:%y%m}":
        return refuse("another expiry")
    return None


def _status(case: Case) -> Refusal | None:
    record = case.known
    if record.status is not CardStatus.ACTIVE:
        return refuse(record.status.value)
    if business_day(case.request.at_ms) > record.card.expires:
        return refuse("expired")
    return None


def _status_then(case: Case) -> Refusal | None:
    """At clearing: as the card stood when it approved."""
    request, record = case.request, case.known
    approved_ms = request.approved_ms if isinstance(request, ClearingRecord) else request.at_ms
    if business_day(approved_ms) > record.card.expires:
        return refuse("expired")
    since = record.reported_ms
    if since is not None and approved_ms >= since and not case.policy.pays_after_report:
        return refuse(record.status.value)
    return None


def _keys(case: Case) -> Refusal | None:
    """9F10 names a version and a key index that the card has."""
    case.read = case.known.card.read(case.fields.get(0x9F10, b""))
    if case.read is None:
        return refuse("unknown key")
    case.key = case.known.card.key(case.read.method, case.read.key_index)
    return None


# What the card signed. ----------------------------------------------------------------------------


def _counter(case: Case) -> Refusal | None:
    """The counter is new, above the last one and not far above; a payment whose PIN is awaited may repeat."""
    record = case.known
    case.atc = atc = int.from_bytes(case.field(0x9F36, 2))
    case.again = case.online_pin is not None and record.awaited == digest(case)
    if case.again:
        return None
    if record.saw(atc):
        return refuse("replayed")
    if atc <= record.last_atc:
        return refuse("old counter")
    if atc - record.last_atc > case.policy.atc_jump:
        return refuse("far counter")
    return None


def digest(case: Case) -> str:
    """By which the same payment is known again. Not its cryptogram: facts are the same whatever the keys."""
    parts = [case.fields.get(tag, b"").hex() for tag in (0x9F36, 0x9F37, 0x9F02, 0x5F2A)]
    text = "/".join((*parts, str(case.request.amount_minor), case.request.currency))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unseen(case: Case) -> Refusal | None:
    """At clearing: the counter is new, wherever it stands; offline approvals come late."""
    case.atc = int.from_bytes(case.field(0x9F36, 2))
    return refuse("replayed") if case.known.saw(case.atc) else None


def _cryptogram(case: Case) -> Refusal | None:
    key = case.key
    if key is None:
        return refuse("unknown key")
    fields, read = case.fields, case.reading
    case.elements = elements = {name: fields[tag] for tag, name in _ELEMENTS[read.method] if tag in fields}
    made = key.application_cryptogram(elements)
    if not hmac.compare_digest(made, case.field(0x9F26, 8)):
        return refuse("cryptogram")
    case.field(0x9F37, 4)  # no method may do without it: the facts name it
    case.proven = True
    return None


def _results(case: Case) -> Refusal | None:
    """The card's own results (9F10): its decline, its PIN, its counters."""
    read = case.reading
    if 0x9F27 in case.fields and case.field(0x9F27, 1)[0] >> 6 != read.kind:
        return refuse("altered results")
    if not _balance_is_right(case):
        return refuse("altered balance")
    if read.kind not in (TC, ARQC):
        return refuse("card declined")
    for name, does in case.policy.results.get(read.field, {}).items():
        if bit(read.results, name):
            words = FIELDS[read.field][name]
            if does == "decline":
                return refuse("card says", words)
            case.pin_why = case.pin_why or f"the card says: {words}"
    return None


def _balance_is_right(case: Case) -> bool:
    """The MAC of a UnionPay balance: 9F10 from byte 9 on is 0A, 01, 5 bytes n, 4 bytes MAC.

    Source: facts 5 (IAD; what the MAC is made of). Assumed: its key is the cryptogram's; the one published
    9F10 with a balance has another, which is not published.
    """
    if not case.policy.checks_balance:
        return True
    data = case.elements["9F10"]
    if not case.reading.method.startswith("unionpay") or data[8:10] != b"\x0a\x01" or case.key is None:
        return True
    message = case.elements["9F36"] + data[10:15] + b"\x00"
    return hmac.compare_digest(mac_3(case.key.session_key(case.elements), message, 2, 4), data[15:19])


def _approval(case: Case) -> Refusal | None:
    """At clearing: the results say that the card approved."""
    refusal = _results(case)
    if refusal is None and case.reading.kind != TC:
        return refuse("not approved")
    return refusal


def _amount(case: Case) -> Refusal | None:
    """Amount, currency and type in the card's data are those of the message."""
    request, fields = case.request, case.fields
    if decode_n(case.field(0x9F02, 6)) != request.amount_minor:
        return refuse("amount")
    currency = CURRENCIES.get(request.currency)
    if currency is None or decode_n(case.field(0x5F2A, 2)) != int(currency.numeric):
        return refuse("currency")
    if fields.get(0x9C, b"\x00") not in PAYMENTS:
        return refuse("type")
    return None


def _number(case: Case) -> Refusal | None:
    """The unpredictable number is none that the card's last payments had."""
    if case.again or not case.known.saw_number(case.field(0x9F37, 4)):
        return None
    return refuse("old number")


def _terminal(case: Case) -> Refusal | None:
    results = case.fields.get(0x95, b"")
    if any(results):
        for name in case.policy.terminal_results:
            if bit(results, name):
                return refuse("terminal says", FIELDS["TVR"][name])
    return None


# Limits, PIN, money. ------------------------------------------------------------------------------


def _limits(case: Case) -> Refusal | None:
    """The card's own limits, a payment and a day."""
    request, card = case.request, case.known.card
    if card.single_minor is not None and request.amount_minor > card.single_minor:
        return refuse("limit", f"{Money(request.currency, card.single_minor).text} a payment")
    if card.daily_minor is not None:
        name = f"limit/card/{card.token}/{business_day(request.at_ms)}:{request.currency}"
        if case.tally(name) + request.amount_minor > card.daily_minor:
            return refuse("limit", f"{Money(request.currency, card.daily_minor).text} a day")
        case.counts.append((name, request.amount_minor, card.daily_minor))
    return None


def _small(case: Case) -> Refusal | None:
    """Whether the payment may do without its holder's proof (R06); if not, the PIN is asked for."""
    request, card = case.request, case.known.card
    if case.online_pin is not None or not isinstance(request, AuthorizationRequest):
        return None
    if card.device_cvm and bit(case.fields.get(0x9F6C, b""), _CVM_ON_DEVICE):
        case.pin = "device"
        return None
    words = case.pin_why or _above_no_pin(case, request)
    if not words:
        return None
    return refuse("PIN asked" if request.pin_capable else "no PIN pad", words)


def _above_no_pin(case: Case, request: AuthorizationRequest) -> str:
    """Which limit without PIN is passed; notes what counts towards the day's."""
    card, minor, currency = case.known.card, request.amount_minor, request.currency
    if not minor:
        return ""
    if not card.no_pin:
        return "the holder wants it always"
    day = business_day(request.at_ms)
    most = no_pin_minor(case.policy.no_pin_rules, currency, day, upgraded=request.upgraded)
    if most is not None and minor > most:
        return f"R06: {Money(currency, most).text} {currency} without PIN"
    if card.no_pin_daily_minor is not None:
        name = f"limit/R06/{card.token}/{day}:{currency}"
        if case.tally(name) + minor > card.no_pin_daily_minor:
            return f"R06: {Money(currency, card.no_pin_daily_minor).text} {currency} a day without PIN"
        case.counts.append((name, minor, card.no_pin_daily_minor))
    return ""


def _pin(case: Case) -> Refusal | None:
    """The online PIN, where one came. Assumed: a block that cannot be read is not counted as a try."""
    block, record = case.online_pin, case.known
    if block is None:
        return None
    if record.wrong_pins >= case.policy.pin_tries:
        return refuse("PIN blocked")
    try:
        pin = _opened(block, record.card.pan, case.pin_keys)
    except (PinError, InputError):
        case.pin = "unreadable"
        return refuse("PIN block")
    if record.card.knows(pin):
        case.pin = "right"
        return None
    case.pin = "wrong"
    last = record.wrong_pins + 1 >= case.policy.pin_tries
    return refuse("PIN blocked" if last else "wrong PIN")


def _opened(block: bytes, pan: str, keys: PinKeys) -> str:
    """The PIN of a block: 8 bytes are format 0, 16 are format 4. Source: ISO 9564-1 9.3, 9.4"""
    if len(sized("PIN block", block, 8, 16)) == 16:
        return open_format_4(keys.aes, block, pan)
    return read_format_0(decrypt_ecb(keys.triple_des, block), pan)


def _money(case: Case) -> Refusal | None:
    card, request = case.known.card, case.request
    available = case.tally(f"{card.stem}/available:{request.currency}")
    return refuse("money") if available < request.amount_minor else None


def _money_offline(case: Case) -> Refusal | None:
    card, request = case.known.card, case.request
    available = case.tally(f"{card.offline_source}:{request.currency}")
    return refuse("money") if available < request.amount_minor else None


ONLINE: Final = (
    Check("card", _card),
    Check("status", _status),
    Check("keys", _keys),
    Check("counter", _counter),
    Check("cryptogram", _cryptogram),
    Check("results", _results),
    Check("amount", _amount),
    Check("number", _number),
    Check("terminal", _terminal),
    Check("limits", _limits),
    Check("without PIN", _small),
    Check("PIN", _pin),
    Check("money", _money),
)
"""The checks of an authorization."""

PROOF: Final = tuple(check for check in ONLINE if check.step in ("keys", "counter", "cryptogram"))
"""What a card that may not pay still proves, so that it gets the issuer's answer and scripts."""

CLEARING: Final = (
    Check("card", _card),
    Check("status", _status_then),
    Check("keys", _keys),
    Check("counter", _unseen),
    Check("cryptogram", _cryptogram),
    Check("results", _approval),
    Check("amount", _amount),
    Check("money", _money_offline),
)
"""The checks of an offline approval.

Assumed: TVR, limits and unpredictable number were the reader's and the card's to judge.
"""

_ELEMENTS: Final = {
    method: tuple((int(tag, 16), tag) for tag in dict.fromkeys((*row.tags, "9F10", "9F26", "9F36", "9F37")))
    for method, row in METHODS.items()
}
"""Method -> the elements that it needs, by number and by name."""
