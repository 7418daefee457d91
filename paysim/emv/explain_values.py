"""What the value of a tag says, in words: by a row of its own here, else by its format in the dictionary.

Source: EMV 4.4 Book 3 Annex A, Annex C; ISO 4217, ISO 3166-1, ISO 8583 (numbers)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from paysim.codec import formats, tlv
from paysim.codec.bits import explain
from paysim.codec.tags import Tag, look_up
from paysim.core.errors import DecodeError
from paysim.core.money import CURRENCIES, MAX_MINOR, Money

from . import masking
from .explain_issuer_data import Part, issuer_parts
from .profile import AIDS

__all__ = ["Known", "Part", "Said", "application_words", "words_of"]

Words = tuple[str, ...]


class Known(NamedTuple):
    """What a value's words depend on: kernel, numeric currency (0: not known), whether numbers are shown."""

    kernel: int = 0
    currency: int = 0
    keep_pan: bool = False


class Said(NamedTuple):
    """What a value says, its parts where it has some without tags, and what is wrong with it."""

    words: Words = ()
    parts: tuple[Part, ...] = ()
    faults: Words = ()


def words_of(tag: int, data: bytes, row: Tag | None, known: Known) -> Said:
    """What a value says; `row` is the dictionary's, None where it knows no such tag.

    >>> words_of(0x5F24, bytes.fromhex("331031"), look_up(0x5F24), Known()).words
    ('2033-10-31',)
    """
    faults = _wrong_length(data, row)
    parts: tuple[Part, ...] = ()
    words: Words = ()
    try:
        if tag == _ISSUER_APPLICATION_DATA:
            parts = issuer_parts(data, known.kernel)
        elif tag in _OWN and not (row and row.format == "dol"):
            words = _OWN[tag](data, known)
        elif row is not None:
            words = _by_format(data, row, known)
        else:
            words = _unknown(data, known)
    except DecodeError as error:
        faults = (*faults, f"no such value: {error}")
    return Said(words, parts, faults)


def _wrong_length(data: bytes, row: Tag | None) -> Words:
    if row is None or row.least <= len(data) <= row.most:
        return ()
    wanted = f"{row.least}" if row.least == row.most else f"{row.least} to {row.most}"
    return (f"{len(data)} bytes, where {wanted} are due",)


# By format. -----------------------------------------------------------------------------------------------


def _by_format(data: bytes, row: Tag, known: Known) -> Words:
    if row.bits:
        return explain(row.bits, data) or ("nothing set",)
    return _FORMATS[row.format](data, row, known)


def _number(data: bytes, row: Tag, known: Known) -> Words:
    number = formats.decode_n(data)
    if row.number in _CURRENCY_CODES:
        return (_currency(number),)
    if row.number in _COUNTRY_CODES:
        return (_COUNTRIES.get(number, f"country {number:03}"),)
    if row.most == _AMOUNT_BYTES and row.number not in _NO_AMOUNTS:
        return (_money(number, known),)
    return (str(number),)


def _digits(data: bytes, row: Tag, known: Known) -> Words:
    found = formats.decode_cn(data)
    if known.keep_pan or row.number not in masking.HOLDERS:
        return (found,)
    return (masking.digits(found) if row.number == masking.PAN else masking.MASK * len(found),)


def _letters(data: bytes, row: Tag, known: Known) -> Words:
    text = formats.decode_an(data)
    if known.keep_pan or row.number not in masking.HOLDERS:
        return (text,)
    return (f"{len(text)} characters",)


def _text(data: bytes, row: Tag, known: Known) -> Words:
    text = "".join(one if one.isprintable() else "." for one in formats.decode_ans(data))
    if known.keep_pan or row.number not in masking.HOLDERS:
        return (text,)
    return (f"{len(text)} characters",)


def _raw(_data: bytes, _row: Tag, _known: Known) -> Words:
    return ()


_FORMATS: Final[Mapping[str, Callable[[bytes, Tag, Known], Words]]] = {
    "n": _number,
    "cn": _digits,
    "an": _letters,
    "ans": _text,
    "b": _raw,
    "bits": _raw,
    "dol": _raw,
    "template": _raw,
}


def _unknown(data: bytes, known: Known) -> Words:
    """A value that no table knows: its characters, where all are some."""
    if len(data) < _SHORTEST_TEXT or not all(0x20 <= byte < 0x7F for byte in data):
        return ()
    return () if any(char.isdigit() for char in data.decode()) and not known.keep_pan else (data.decode(),)


_SHORTEST_TEXT: Final = 3


# Money and places. ----------------------------------------------------------------------------------------

_ISSUER_APPLICATION_DATA: Final = 0x9F10
_AMOUNT_BYTES: Final = 6
_NO_AMOUNTS: Final = frozenset({0x9F01, 0x9F19})
_CURRENCY_CODES: Final = frozenset({0x5F2A, 0x9F42, 0x9F3C})
_COUNTRY_CODES: Final = frozenset({0x5F28, 0x9F1A})
_BY_NUMERIC: Final = {int(currency.numeric): code for code, currency in CURRENCIES.items()}
_COUNTRIES: Final = {
    36: "Australia",
    56: "Belgium",
    76: "Brazil",
    116: "Cambodia",
    124: "Canada",
    156: "China",
    158: "Taiwan",
    250: "France",
    276: "Germany",
    344: "Hong Kong",
    356: "India",
    360: "Indonesia",
    392: "Japan",
    410: "Korea",
    446: "Macao",
    458: "Malaysia",
    608: "Philippines",
    643: "Russia",
    702: "Singapore",
    704: "Viet Nam",
    752: "Sweden",
    764: "Thailand",
    826: "United Kingdom",
    840: "United States",
}
"""Some countries by number. Source: ISO 3166-1"""


def _currency(number: int) -> str:
    return _BY_NUMERIC.get(number, f"currency {number:03}")


def _money(minor: int, known: Known) -> str:
    """An amount with its currency; where nobody knows it, or has so much, with two decimals (Assumed)."""
    code = _BY_NUMERIC.get(known.currency)
    if code and minor <= MAX_MINOR:
        return str(Money(code, minor))
    return f"{minor // 100}.{minor % 100:02}"


def _binary_money(data: bytes, known: Known) -> Words:
    return (_money(int.from_bytes(data[:_AMOUNT_BYTES]), known),)


# Names. ---------------------------------------------------------------------------------------------------

_SCHEMES: Final = {
    "A000000003": "Visa",
    "A000000004": "Mastercard",
    "A000000025": "American Express",
    "A000000065": "JCB",
    "A000000152": "Discover",
    "A000000333": "UnionPay",
}
"""Registered application provider -> scheme. Source: ISO/IEC 7816-5 registration; EMV Book B table 3-5"""

_DIRECTORIES: Final = {
    b"2PAY.SYS.DDF01": "2PAY.SYS.DDF01, the directory of contactless applications",
    b"1PAY.SYS.DDF01": "1PAY.SYS.DDF01, the directory of contact applications",
}


def application_words(name: bytes) -> Words:
    """What the name of an application or a directory says.

    >>> application_words(bytes.fromhex("A000000333010101"))
    ('UnionPay debit',)
    """
    if name in _DIRECTORIES:
        return (_DIRECTORIES[name],)
    known = next((words for words, aid in AIDS.items() if name.startswith(aid)), "")
    scheme = _SCHEMES.get(name[:5].hex().upper(), "")
    if known.startswith(scheme.lower()) and scheme:
        return (scheme + known[len(scheme) :],)
    return (scheme,) if scheme else ()


def _application(data: bytes, _known: Known) -> Words:
    return application_words(data)


# Values with a shape of their own. ------------------------------------------------------------------------


def _date(data: bytes, _known: Known) -> Words:
    return (formats.decode_date(data).isoformat(),)


def _time(data: bytes, _known: Known) -> Words:
    return (formats.decode_time(data).isoformat(),)


def _plain_number(what: str) -> Callable[[bytes, Known], Words]:
    def read(data: bytes, _known: Known) -> Words:
        return (f"{what}{int.from_bytes(data[:8])}",)

    return read


def _track_2(data: bytes, known: Known) -> Words:
    track = formats.decode_track2(data)
    number = track.pan if known.keep_pan else masking.digits(track.pan)
    words = (f"number {number}", f"expires 20{track.expiry[:2]}-{track.expiry[2:]}")
    return (*words, f"service code {track.service}")


def _stripe_or_limit(data: bytes, known: Known) -> Words:
    """9F6B: track 2 for kernel 2, the card's CVM limit for kernels 3 and 7."""
    row = look_up(0x9F6B, known.kernel)
    if (row and row.format == "n") or (row is None and len(data) == _AMOUNT_BYTES):
        return (_money(formats.decode_n(data), known),)
    return _track_2(data, known)


def _locator(data: bytes, _known: Known) -> Words:
    return tuple(map(_records, formats.decode_afl(data)))


def _records(entry: formats.Records) -> str:
    count = entry.last - entry.first + 1
    which = f"record {entry.first}" if count == 1 else f"records {entry.first} to {entry.last}"
    signed = "" if not entry.authenticated else ", signed"
    if entry.authenticated and entry.authenticated < count:
        signed = f", the first {entry.authenticated} signed"
    return f"SFI {entry.sfi}: {which}{signed}"


def _cvm_list(data: bytes, known: Known) -> Words:
    found = formats.decode_cvm_list(data)
    amounts = f"X {_money(found.x_minor, known)}, Y {_money(found.y_minor, known)}"
    return (amounts, *(_rule(bytes(rule)) for rule in found.rules))


def _rule(rule: bytes) -> str:
    return ", ".join(explain("CVM rule", rule)) or rule.hex().upper()


def _tag_list(data: bytes, known: Known) -> Words:
    return tuple(_tags(data, known))


def _tags(data: bytes, known: Known) -> Iterator[str]:
    at = 0
    while at < len(data):
        tag, at = tlv.read_tag(data, at)
        row = look_up(tag, known.kernel)
        yield f"{tlv.name(tag)} {row.name}" if row else tlv.name(tag)


def _authentication_data(data: bytes, _known: Known) -> Words:
    """91: ARPC and response code by method 1, ARPC and card status update by method 2."""
    if len(data) == _BY_METHOD_1:
        return (f"ARPC {data[:8].hex().upper()}", f"response code {_code(data[8:])}")
    if len(data) < _BY_METHOD_2:
        return ()
    return (f"ARPC {data[:4].hex().upper()}", f"card status update {data[4:8].hex().upper()}")


_BY_METHOD_1: Final = 10
_BY_METHOD_2: Final = 8

_CODES: Final = {
    "00": "approved",
    "01": "refer to the issuer",
    "05": "declined",
    "08": "approved with identification",
    "10": "approved for a part",
    "11": "approved",
    "12": "invalid transaction",
    "13": "wrong amount",
    "14": "no such card",
    "30": "malformed",
    "41": "lost card",
    "43": "stolen card",
    "51": "not enough money",
    "54": "expired",
    "55": "wrong PIN",
    "61": "above a limit",
    "62": "blocked card",
    "65": "PIN asked for",
    "75": "too many wrong PINs",
    "Y1": "approved offline",
    "Z1": "declined offline",
    "Y3": "no way online, approved offline",
    "Z3": "no way online, declined offline",
}
"""Source: ISO 8583 field 39; EMV 4.4 Book 4 A6 (Y1, Z1, Y3, Z3)"""


def _code(data: bytes) -> str:
    text = data.decode("latin-1")
    said = text if text.isascii() and text.isprintable() else data.hex().upper()
    return f"{said} ({_CODES[text]})" if text in _CODES else said


def _response_code(data: bytes, _known: Known) -> Words:
    return (_code(data),)


def _script_results(data: bytes, _known: Known) -> Words:
    """9F5B: 5 bytes a script: what came of it and its last command, then the script's identifier."""
    return tuple(_script_result(data[at : at + 5]) for at in range(0, len(data), 5))


def _script_result(data: bytes) -> str:
    what = {0: "not performed", 1: "failed", 2: "done"}.get(data[0] >> 4, "unknown result")
    at = f" at command {data[0] & 0xF}" if data[0] >> 4 == 1 and data[0] & 0xF else ""
    return f"script {data[1:5].hex().upper()} {what}{at}"


def _card_authentication(data: bytes, _known: Known) -> Words:
    """9F69: the version of fDDA, the card's unpredictable number, its qualifiers (CTQ)."""
    if len(data) < _LEAST_9F69:
        return ()
    words = (f"fDDA version {data[0]:02X}", f"card's number {data[1:5].hex().upper()}")
    return (*words, f"CTQ {data[5:7].hex().upper()}: {', '.join(explain('CTQ', data[5:7])) or 'nothing set'}")


_LEAST_9F69: Final = 7


def _kernel(data: bytes, _known: Known) -> Words:
    return (f"kernel {int.from_bytes(data[:8]):X}",) if data else ()


def _languages(data: bytes, _known: Known) -> Words:
    text = formats.decode_an(data)
    return (", ".join(text[at : at + 2] for at in range(0, len(text), 2)),)


def _service_code(data: bytes, _known: Known) -> Words:
    code = f"{formats.decode_n(data):03}"
    where = {"1": "international", "2": "international, with chip", "5": "national"}
    where |= {"6": "national, with chip", "7": "private", "9": "test"}
    return (f"{code}: {where[code[0]]}" if code[0] in where else code,)


def _plain_digits(data: bytes, _known: Known) -> Words:
    formats.decode_n(data)
    return (data.hex(),)


def _bytes_of_key(data: bytes, _known: Known) -> Words:
    return (f"{len(data)} bytes",)


def _index(data: bytes, _known: Known) -> Words:
    return (f"key {data.hex().upper()}",)


def _pin_data(data: bytes, _known: Known) -> Words:
    return (f"{len(data)} bytes, not shown",)


def _log(data: bytes, _known: Known) -> Words:
    return (f"{data[1]} records in SFI {data[0]}",) if len(data) == 2 else ()


_VERSION: Final = _plain_number("version ")
_COUNT: Final = _plain_number("")

_OWN: Final[Mapping[int, Callable[[bytes, Known], Words]]] = {
    **dict.fromkeys((0x9A, 0x5F24, 0x5F25), _date),
    **dict.fromkeys((0x4F, 0x84, 0x9D, 0x9F06), _application),
    **dict.fromkeys((0x81, 0x9F04, 0x9F1B, 0x9F3A), _binary_money),
    **dict.fromkeys((0x9F08, 0x9F09), _VERSION),
    **dict.fromkeys((0x9F36, 0x9F13, 0x9F14, 0x9F17, 0x9F23, 0x88), _COUNT),
    **dict.fromkeys((0x90, 0x92, 0x93, 0x9F46, 0x9F48, 0x9F2D, 0x9F2F, 0x9F4B), _bytes_of_key),
    **dict.fromkeys((0x9F32, 0x9F47, 0x9F2E), _plain_number("exponent ")),
    **dict.fromkeys((0x8F, 0x9F22), _index),
    **dict.fromkeys((0x5F34, 0x9F15, 0x9F25, 0x42, 0x9F0C, 0x9F41), _plain_digits),
    0x57: _track_2,
    0x5F2D: _languages,
    0x5F30: _service_code,
    0x8A: _response_code,
    0x8E: _cvm_list,
    0x91: _authentication_data,
    0x94: _locator,
    0x99: _pin_data,
    0x9F21: _time,
    0x9F2A: _kernel,
    0x9F4A: _tag_list,
    0x9F4D: _log,
    0x9F5B: _script_results,
    0x9F69: _card_authentication,
    0x9F6B: _stripe_or_limit,
}
"""Tag -> how its value is read, where its format alone does not say it; a kernel's own lists stay lists."""
