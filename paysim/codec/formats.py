"""The formats of EMV's values: numbers, digits, text, dates, track 2, file locators and CVM lists.

    n    digits, two in a byte, padded by zeros on the left
    cn   digits, two in a byte, padded by F on the right
    an   letters and digits; ans also the other characters of a code table
    b    bytes, or a number of fixed length

Source: EMV 4.4 Book 1 4.3, Book 3 4.3
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from paysim.core.errors import DecodeError, LocalProtocolError

__all__ = [
    "CvmList",
    "CvmRule",
    "Records",
    "Track2",
    "decode_afl",
    "decode_an",
    "decode_ans",
    "decode_b",
    "decode_cn",
    "decode_cvm_list",
    "decode_date",
    "decode_n",
    "decode_time",
    "decode_track2",
    "encode_afl",
    "encode_an",
    "encode_ans",
    "encode_b",
    "encode_cn",
    "encode_cvm_list",
    "encode_date",
    "encode_n",
    "encode_time",
    "track2",
]

SOURCE: Final = "EMV 4.4 Book 3 4.3"

AFL_SOURCE: Final = "EMV 4.4 Book 3 10.2"
CVM_SOURCE: Final = "EMV 4.4 Book 3 10.5"

MAX_LIST: Final = 252
"""Bytes of a file locator or CVM list. Source: EMV 4.4 Book 3 Annex A (94, 8E)"""

MAX_NUMBER: Final = 255
"""Bytes of a number that is read. Assumed: the longest value of a short APDU; EMV's have 6 at most."""

MAX_TRACK2: Final = 19
"""Bytes of track 2 equivalent data. Source: EMV 4.4 Book 3 Annex A (57)"""

_DIGITS: Final = re.compile(r"\d*", re.ASCII)
_PADDED: Final = re.compile(r"\d*f*", re.ASCII)
_TRACK2: Final = re.compile(r"(\d{1,19})d(\d{4})(\d{3})(\d*)f?", re.ASCII)
_AN: Final = re.compile(r"[0-9A-Za-z]*", re.ASCII)
_ANS: Final = re.compile(r"[\x20-\x7e\xa0-\xff]*")


def encode_n(value: int, length: int) -> bytes:
    """A number as digits in `length` bytes, with leading zeros.

    Raises LocalProtocolError for a negative number, or one with more digits than fit.

    >>> encode_n(1280, 6).hex()
    '000000001280'

    Source: EMV 4.4 Book 3 4.3
    """
    if type(value) is not int or not 0 <= value < 100**length:
        raise LocalProtocolError(f"{value!r} is no number of up to {2 * length} digits", source=SOURCE)
    return bytes.fromhex(f"{value:0{2 * length}}") if length else b""


def decode_n(data: bytes) -> int:
    """The number that these digits are; none are 0.

    Raises DecodeError at the first byte that is not two digits, and for more than MAX_NUMBER bytes.

    >>> decode_n(bytes.fromhex("000000001280"))
    1280
    """
    if len(data) > MAX_NUMBER:
        raise DecodeError(f"a number has at most {MAX_NUMBER} bytes", offset=MAX_NUMBER, source=SOURCE)
    text = data.hex()
    if len(digits := _leading(_DIGITS, text)) < len(text):
        raise _not_digits(text, len(digits))
    return int(text or "0")


def encode_cn(digits: str, length: int | None = None) -> bytes:
    """Digits, two in a byte, padded by F to `length` bytes, or to a whole byte.

    Raises LocalProtocolError for other characters, and for more digits than fit.

    >>> encode_cn("62123456789", 8).hex().upper()
    '62123456789FFFFF'

    Source: EMV 4.4 Book 3 4.3
    """
    room = (len(digits) + 1) // 2 if length is None else length
    if not _DIGITS.fullmatch(digits) or len(digits) > 2 * room:
        raise LocalProtocolError(f"these are not up to {2 * room} digits", source=SOURCE)
    return bytes.fromhex(digits.ljust(2 * room, "f"))


def decode_cn(data: bytes) -> str:
    """The digits, without the F behind them.

    Raises DecodeError at the first byte that holds anything else.

    >>> decode_cn(bytes.fromhex("62123456789FFFFF"))
    '62123456789'
    """
    text = data.hex()
    if len(good := _leading(_PADDED, text)) < len(text):
        raise _not_digits(text, len(good))
    return good.rstrip("f")


def encode_an(text: str, length: int) -> bytes:
    """Letters and digits as `length` characters, with spaces behind them.

    Raises LocalProtocolError for other characters, and for more than fit.

    >>> encode_an("Z3", 2)
    b'Z3'

    Source: EMV 4.4 Book 3 4.3. Assumed: padding by spaces where the data element has a fixed length
    """
    return _encode_text(text, length, _AN, "letters and digits")


def decode_an(data: bytes) -> str:
    """The letters and digits, without the spaces or zero bytes behind them.

    Raises DecodeError at the first byte that is neither.

    >>> decode_an(b"TERM1   ")
    'TERM1'
    """
    return _decode_text(data, _AN, "a letter or digit")


def encode_ans(text: str, length: int | None = None) -> bytes:
    """Text of ISO 8859-1 as `length` bytes with spaces behind it, or as many bytes as it has.

    Raises LocalProtocolError for characters outside, controls, and more than fit.

    >>> encode_ans("TEA HOUSE", 10)
    b'TEA HOUSE '

    Source: EMV 4.4 Book 4 Annex B. Assumed: code table 1 whatever 9F11 says
    """
    return _encode_text(text, len(text) if length is None else length, _ANS, "characters of ISO 8859-1")


def decode_ans(data: bytes) -> str:
    """The text of ISO 8859-1, without the spaces or zero bytes behind it.

    Raises DecodeError at the first control character.

    >>> decode_ans(b"UnionPay Debit")
    'UnionPay Debit'
    """
    return _decode_text(data, _ANS, "a character of ISO 8859-1")


def encode_b(value: int, length: int) -> bytes:
    """A number as `length` bytes, big-endian.

    Raises LocalProtocolError for a negative number, or one that does not fit.

    >>> encode_b(10000, 4).hex()
    '00002710'
    """
    if type(value) is not int or not 0 <= value < 1 << 8 * length:
        raise LocalProtocolError(f"{value!r} is no number of up to {length} bytes", source=SOURCE)
    return value.to_bytes(length, "big")


def decode_b(data: bytes) -> int:
    """The number that these bytes are, big-endian; none are 0.

    >>> decode_b(bytes.fromhex("00002710"))
    10000
    """
    return int.from_bytes(data, "big")


def encode_date(date: datetime.date) -> bytes:
    """A date as YYMMDD, 3 bytes.

    Raises LocalProtocolError for a year outside 1950 to 2049, which two digits cannot say.

    >>> encode_date(datetime.date(2031, 12, 31)).hex()
    '311231'

    Source: EMV 4.4 Book 4 6.7.3
    """
    if not 1950 <= date.year <= 2049:
        raise LocalProtocolError(f"a date of EMV lies in 1950 to 2049, not {date.year}", source=SOURCE)
    return bytes.fromhex(f"{date:%y%m%d}")


def decode_date(data: bytes) -> datetime.date:
    """The date that YYMMDD says: 00 to 49 are 2000 to 2049, 50 to 99 are 1950 to 1999.

    Raises DecodeError for other than 3 bytes of digits, and for a day that does not exist.

    >>> decode_date(bytes.fromhex("311231"))
    datetime.date(2031, 12, 31)

    Source: EMV 4.4 Book 4 6.7.3
    """
    year, month, day = _pairs(data, "a date is YYMMDD")
    try:
        return datetime.date(year + (2000 if year < 50 else 1900), month, day)
    except ValueError:
        raise DecodeError("no such date", source=SOURCE) from None


def encode_time(time: datetime.time) -> bytes:
    """A time of day as HHMMSS, 3 bytes; what is below a second is left out.

    >>> encode_time(datetime.time(23, 5, 9)).hex()
    '230509'
    """
    return bytes.fromhex(f"{time.hour:02}{time.minute:02}{time.second:02}")


def decode_time(data: bytes) -> datetime.time:
    """The time of day that HHMMSS says.

    Raises DecodeError for other than 3 bytes of digits, and for a time that does not exist.

    >>> decode_time(bytes.fromhex("230509"))
    datetime.time(23, 5, 9)
    """
    try:
        return datetime.time(*_pairs(data, "a time is HHMMSS"))
    except ValueError:
        raise DecodeError("no such time", source=SOURCE) from None


class Track2(NamedTuple):
    """Track 2 equivalent data: card number, expiry as YYMM, service code, the issuer's own digits.

    The card number and the issuer's digits are not shown by `repr`.
    """

    pan: str
    expiry: str
    service: str
    discretionary: str = ""

    def __repr__(self) -> str:
        return f"Track2(pan='...{self.pan[-4:]}', expiry={self.expiry!r}, service={self.service!r})"


def track2(pan: str, expiry: str, service: str, discretionary: str = "") -> bytes:
    """Track 2 equivalent data (57): the parts, D behind the card number, F to a whole byte.

    `expiry` is YYMM. Raises LocalProtocolError for other than digits, wrong lengths, or more than 19 bytes.

    >>> track2("6212345678900000003", "3112", "201", "0000").hex().upper()
    '6212345678900000003D31122010000F'

    Source: EMV 4.4 Book 3 Annex A (57); ISO/IEC 7813
    """
    text = f"{pan}d{expiry}{service}{discretionary}"
    text += "f" * (len(text) % 2)
    found = _TRACK2.fullmatch(text)
    if not found or found.groups() != (pan, expiry, service, discretionary) or len(text) > 2 * MAX_TRACK2:
        message = f"track 2 is digits: up to 19, 4, 3 and the rest, {MAX_TRACK2} bytes together"
        raise LocalProtocolError(message, source=SOURCE)
    return bytes.fromhex(text)


def decode_track2(data: bytes) -> Track2:
    """The parts of track 2 equivalent data.

    Raises DecodeError where a part is missing, is not digits, or the whole is longer than 19 bytes.

    >>> decode_track2(bytes.fromhex("6212345678900000003D31122010000F")).service
    '201'

    Source: EMV 4.4 Book 3 Annex A (57); ISO/IEC 7813
    """
    text = data.hex()
    found = _TRACK2.fullmatch(text)
    if not found or len(data) > MAX_TRACK2:
        at = min(len(_leading(_DIGITS, text)) // 2, MAX_TRACK2)
        message = "track 2 is a card number, D, YYMM, a service code and digits"
        raise DecodeError(message, offset=at, path="57", source=SOURCE)
    return Track2(*found.groups())


class Records(NamedTuple):
    """An entry of the application file locator: the records `first` to `last` of a short file.

    The first `authenticated` of them are input to offline data authentication.
    """

    sfi: int
    first: int
    last: int
    authenticated: int = 0


def encode_afl(entries: Sequence[Records]) -> bytes:
    """The application file locator (94): 4 bytes an entry.

    Raises LocalProtocolError for what `decode_afl` would refuse.

    >>> encode_afl([Records(1, 1, 2), Records(2, 1, 1, 1)]).hex()
    '0801020010010101'

    Source: EMV 4.4 Book 3 10.2
    """
    data = b"".join(encode_b(n, 1) for sfi, *rest in entries for n in (sfi << 3, *rest))
    for at in range(0, len(data), 4):
        if wrong := _wrong_records(data[at : at + 4]):
            raise LocalProtocolError(wrong, source=AFL_SOURCE)
    return _bounded(data, AFL_SOURCE)


def decode_afl(data: bytes) -> tuple[Records, ...]:
    """The entries of the application file locator.

    Raises DecodeError for a length over 252 or no multiple of 4, a file outside 1 to 30, record 0, a last
    record before the first, or more authenticated records than there are; `decoded_so_far` holds the entries
    before.

    >>> decode_afl(bytes.fromhex("0801020010010101"))[1]
    Records(sfi=2, first=1, last=1, authenticated=1)

    Source: EMV 4.4 Book 3 10.2
    """
    if len(data) > MAX_LIST:
        message = f"a file locator has at most {MAX_LIST} bytes"
        raise DecodeError(message, offset=MAX_LIST, path="94", source=AFL_SOURCE)
    entries: list[Records] = []
    for at in range(0, len(data), 4):
        group = data[at : at + 4]
        if wrong := _wrong_records(group):
            raise DecodeError(wrong, offset=at, path="94", decoded_so_far=tuple(entries), source=AFL_SOURCE)
        entries.append(Records(group[0] >> 3, *group[1:]))
    return tuple(entries)


def _wrong_records(group: bytes) -> str:
    """What is wrong with the four bytes of an entry, or nothing. Source: EMV 4.4 Book 3 10.2"""
    if len(group) < 4:
        return "an entry is 4 bytes"
    sfi, first, last, authenticated = group
    if sfi & 0x07 or not 1 <= sfi >> 3 <= 30:
        return f"the byte {sfi:02X} names no short file of 1 to 30"
    if not 1 <= first <= last:
        return f"there are no records {first} to {last}"
    if authenticated > last - first + 1:
        return f"{authenticated} of {last - first + 1} records cannot be authenticated"
    return ""


class CvmRule(NamedTuple):
    """A cardholder verification rule: `code` with its bit "next rule if unsuccessful", and `condition`."""

    code: int
    condition: int


class CvmList(NamedTuple):
    """A CVM list: the amounts X and Y in minor units of the application currency, and the rules."""

    x_minor: int
    y_minor: int
    rules: tuple[CvmRule, ...]


def encode_cvm_list(cvm_list: CvmList) -> bytes:
    """The CVM list (8E): two amounts of 4 bytes, and 2 bytes a rule.

    Raises LocalProtocolError for numbers that do not fit, and more than 252 bytes.

    >>> encode_cvm_list(CvmList(0, 0, (CvmRule(0x42, 3), CvmRule(0x1F, 3)))).hex().upper()
    '000000000000000042031F03'

    Source: EMV 4.4 Book 3 10.5
    """
    amounts = encode_b(cvm_list.x_minor, 4) + encode_b(cvm_list.y_minor, 4)
    rules = b"".join(encode_b(number, 1) for rule in cvm_list.rules for number in rule)
    return _bounded(amounts + rules, CVM_SOURCE)


def decode_cvm_list(data: bytes) -> CvmList:
    """The CVM list that these bytes are; it may have no rules.

    Raises DecodeError for less than 8 or more than 252 bytes, and for half a rule; `decoded_so_far` holds the
    list before it.

    >>> decode_cvm_list(bytes.fromhex("000000000000000042031F03")).rules[0]
    CvmRule(code=66, condition=3)

    Source: EMV 4.4 Book 3 10.5
    """
    if not 8 <= len(data) <= MAX_LIST:
        message = f"a CVM list is two amounts of 4 bytes and rules, {MAX_LIST} bytes together"
        raise DecodeError(message, offset=min(len(data), MAX_LIST), path="8E", source=CVM_SOURCE)
    rules = tuple(CvmRule(*data[at : at + 2]) for at in range(8, len(data) - 1, 2))
    found = CvmList(decode_b(data[:4]), decode_b(data[4:8]), rules)
    if len(data) % 2:
        at = len(data) - 1
        raise DecodeError("a rule is 2 bytes", offset=at, path="8E", decoded_so_far=found, source=CVM_SOURCE)
    return found


def _bounded(data: bytes, source: str) -> bytes:
    if len(data) > MAX_LIST:
        raise LocalProtocolError(f"{len(data)} bytes, and the value has at most {MAX_LIST}", source=source)
    return data


def _not_digits(text: str, good: int) -> DecodeError:
    """The error of a value of which `good` half bytes are as they should be."""
    message = f"the half byte {text[good].upper()} has no place here"
    return DecodeError(message, offset=good // 2, decoded_so_far=text[:good], source=SOURCE)


def _pairs(data: bytes, rule: str) -> tuple[int, int, int]:
    """The three numbers of two digits that three bytes are."""
    text = data.hex()
    if len(data) != 3 or not _DIGITS.fullmatch(text):
        raise DecodeError(f"{rule}: 3 bytes of digits", source=SOURCE)
    return int(text[:2]), int(text[2:4]), int(text[4:])


def _encode_text(text: str, length: int, allowed: re.Pattern[str], what: str) -> bytes:
    if len(text) > length or not allowed.fullmatch(text):
        raise LocalProtocolError(f"{text!r} is not up to {length} {what}", source=SOURCE)
    return text.encode("latin-1").ljust(length)


def _decode_text(data: bytes, allowed: re.Pattern[str], what: str) -> str:
    text = data.decode("latin-1").rstrip(" \x00")
    good = _leading(allowed, text)
    if len(good) < len(text):
        message = f"this byte is not {what}"
        raise DecodeError(message, offset=len(good), decoded_so_far=good, source=SOURCE)
    return text


def _leading(pattern: re.Pattern[str], text: str) -> str:
    """As much of the beginning of a text as fits the pattern, which fits nothing, too."""
    found = pattern.match(text)
    return found.group() if found else ""
