"""Application cryptograms: what a card signs a payment with, and what its issuer answers.

`METHODS` is the whole story: a row a method, named by its scheme and cryptogram version number. A row says
which elements are signed and in which order, which part of the issuer application data (9F10) comes last,
how the blocks are padded, where the key comes from, and how the issuer answers and writes scripts.

    >>> imk = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    >>> card = CardKey.of("visa10", imk, "1234567890123456", "00")
    >>> payment = {"9F02": "000000004000", "9F03": "000000000000", "9F1A": "0124", "95": "8000048000",
    ...     "5F2A": "0124", "9A": "191105", "9C": "01", "9F37": "52BF4585", "82": "1800", "9F36": "001C",
    ...     "9F10": "06010A03A06010"}
    >>> elements = {tag: bytes.fromhex(value) for tag, value in payment.items()}
    >>> card.application_cryptogram(elements).hex().upper()
    '29CCA15AE665FA2E'
    >>> card.arpc(elements, bytes.fromhex("29CCA15AE665FA2E"), b"00").hex().upper()
    '28993816AFAE4AEB'

Source: EMV 4.4 Book 2 8.1, 8.2, 9. What is assumed stands in the `note` of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

from paysim.core.errors import ProtocolError, Unsupported

from . import derive
from .inputs import InputError, sized
from .mac import mac_3, pad
from .triple_des import decrypt_cbc, decrypt_ecb, encrypt_cbc, encrypt_ecb, kept

__all__ = [
    "LENGTHS",
    "METHODS",
    "CardKey",
    "ElementError",
    "IssuerData",
    "Method",
    "application_cryptogram",
    "arpc",
    "arpc_1",
    "arpc_2",
    "cvc3",
    "issuer_data",
    "script_key",
]

Elements = Mapping[str, bytes]

LENGTHS: Final[Mapping[str, int]] = {
    "9F02": 6,  # amount, authorised
    "9F03": 6,  # amount, other
    "9F1A": 2,  # terminal country code
    "95": 5,  # terminal verification results
    "5F2A": 2,  # transaction currency code
    "9A": 3,  # transaction date
    "9C": 1,  # transaction type
    "9F37": 4,  # unpredictable number
    "82": 2,  # application interchange profile
    "9F36": 2,  # application transaction counter
    "9F26": 8,  # application cryptogram
}
"""Bytes of each element that a method reads. Source: EMV 4.4 Book 3 Annex A"""

MINIMUM: Final = ("9F02", "9F03", "9F1A", "95", "5F2A", "9A", "9C", "9F37", "82", "9F36")
"""Source: EMV 4.4 Book 2 8.1.1, the recommended minimum set"""

QUICK: Final = ("9F02", "9F37", "9F36")
"""What a tap signs where speed counts: amount, unpredictable number, counter."""

MAX_ISSUER_DATA: Final = 32
"""Source: EMV 4.4 Book 3 Annex A (9F10)"""


class ElementError(ProtocolError):
    """A data element is missing or has the wrong length: `tag`, what was `expected`, what came (`got`)."""

    def __init__(self, tag: str, expected: str, got: str) -> None:
        super().__init__(f"{tag}: expected {expected}, got {got}", source="EMV 4.4 Book 3 Annex A")
        self.tag = tag
        self.expected = expected
        self.got = got

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.tag, self.expected, self.got)


class Layout(NamedTuple):
    """Where the parts of 9F10 lie: derivation key index, cryptogram version, card verification results."""

    key_index: int
    version: int
    results: slice
    counters: slice = slice(0, 0)


VISA: Final = Layout(key_index=1, version=2, results=slice(3, 7))
"""06 | index | version | results 4 [| issuer's own]; UnionPay: 07 | ..."""

VISA_2: Final = Layout(key_index=2, version=1, results=slice(3, 8))
"""1F | version | index | results 5 | issuer's own 24: index and version change places."""

MCHIP: Final = Layout(key_index=0, version=1, results=slice(2, 8), counters=slice(10, 18))
"""index | version | results 6 | DAC or ICC dynamic number 2 | counters 8"""

SECOND_RESULT: Final = slice(4, 5)
WHOLE: Final = slice(None)


class SessionKey(NamedTuple):
    """How a card's key becomes the key of one payment: the elements it takes, the derivation."""

    tags: tuple[str, ...]
    derive: Callable[..., bytes]


NONE: Final = SessionKey((), lambda key: key)
COMMON: Final = SessionKey(("9F36",), lambda key, atc: derive.common_session_key(key, atc + bytes(6)))
COMMON_OF_AC: Final = SessionKey(("9F26",), derive.common_session_key)
MASTERCARD: Final = SessionKey(("9F36", "9F37"), derive.mastercard_session_key)
PBOC: Final = SessionKey(("9F36",), derive.pboc_session_key)
VISA_XOR: Final = SessionKey(("9F36",), derive.visa_script_key)


class Arpc(NamedTuple):
    """How the issuer answers: method 1 or 2, under which key."""

    method: int
    key: SessionKey


class Script(NamedTuple):
    """How issuer scripts are made: the key, the MAC's bytes, and how data are filled up and enciphered."""

    key: SessionKey
    mac_length: int
    length_byte: bool
    """The data start with their length."""
    always_padded: bool
    """Whole blocks get a block of padding, too."""
    chained: bool
    """CBC; else ECB."""


VISA_SCRIPT: Final = Script(VISA_XOR, 8, length_byte=True, always_padded=True, chained=False)
VISA_22_SCRIPT: Final = Script(COMMON_OF_AC, 8, length_byte=True, always_padded=True, chained=False)
MCHIP_SCRIPT: Final = Script(COMMON_OF_AC, 8, length_byte=False, always_padded=False, chained=True)
PBOC_SCRIPT: Final = Script(PBOC, 4, length_byte=True, always_padded=False, chained=False)
"""Assumed: from knowledge of JR/T 0025.7; no script with its answer is published."""


class Method(NamedTuple):
    """One way to compute a cryptogram: a row of `METHODS`."""

    version: int
    """The cryptogram version number in 9F10."""
    card_key: Callable[[bytes, str, str], bytes]
    session_key: SessionKey
    tags: tuple[str, ...]
    """The elements signed, in their order; then come the parts of 9F10."""
    layout: Layout
    parts: tuple[slice, ...]
    padding: int
    arpc: Arpc | None
    script: Script
    note: str


_A, _B = derive.card_key_a, derive.card_key_b
_KNOWN: Final = "published answers: tests/vectors/emv_crypto.json"
_TWO: Final = "Assumed: two descriptions agree on data, padding and key; no answer is published"
_PAN: Final = f"{_KNOWN}; Assumed: option A above 16 digits of PAN"
_R, _RC = (MCHIP.results,), (MCHIP.results, MCHIP.counters)

# fmt: off
METHODS: Final[Mapping[str, Method]] = {
    # name          CVN card key, session key, signed elements, parts of 9F10, padding, answer, scripts
    "visa10": Method(0x0A, _A, NONE, MINIMUM, VISA, (VISA.results,), 1, Arpc(1, NONE), VISA_SCRIPT, _KNOWN),
    "visa17": Method(0x11, _A, NONE, QUICK, VISA, (SECOND_RESULT,), 1, None, VISA_SCRIPT, _TWO),
    "visa18": Method(0x12, _B, COMMON, MINIMUM, VISA, (WHOLE,), 2, Arpc(2, COMMON), VISA_SCRIPT, _KNOWN),
    "visa22": Method(0x22, _B, COMMON, MINIMUM, VISA_2, (WHOLE,), 2, Arpc(2, COMMON), VISA_22_SCRIPT, _KNOWN),
    "mchip16": Method(0x10, _A, MASTERCARD, MINIMUM, MCHIP, _R, 2, Arpc(1, NONE), MCHIP_SCRIPT, _KNOWN),
    "mchip17": Method(0x11, _A, MASTERCARD, MINIMUM, MCHIP, _RC, 2, Arpc(1, NONE), MCHIP_SCRIPT, _KNOWN),
    "mchip20": Method(0x14, _A, COMMON, MINIMUM, MCHIP, _R, 2, Arpc(1, COMMON), MCHIP_SCRIPT, _KNOWN),
    "mchip21": Method(0x15, _A, COMMON, MINIMUM, MCHIP, _RC, 2, Arpc(1, COMMON), MCHIP_SCRIPT, _KNOWN),
    "unionpay01": Method(0x01, _A, PBOC, MINIMUM, VISA, (VISA.results,), 2, Arpc(1, PBOC), PBOC_SCRIPT, _PAN),
    "unionpay17": Method(0x11, _A, PBOC, QUICK, VISA, (SECOND_RESULT,), 2, None, PBOC_SCRIPT, _TWO),
}
# fmt: on
"""Assumed: counters of M/Chip 17 and 21 are bytes 11 to 18 of 9F10, in clear; "whole" is 7 to 32 bytes."""


class IssuerData(NamedTuple):
    """What an issuer reads in 9F10."""

    key_index: int
    version: int
    results: bytes


class CardKey:
    """A card's key with its method: what the card computes with, and its issuer for this card.

    `key` is 16 bytes: the card's key for cryptograms, for script MACs or for script data.
    """

    __slots__ = ("_key", "method", "name")

    def __init__(self, method: str, key: bytes) -> None:
        self.name = method
        self.method = _method(method)
        self._key = key if type(key) is bytes and len(key) == 16 else sized("card key", key, 16)

    @classmethod
    def of(cls, method: str, imk: bytes, pan: str, psn: str) -> CardKey:
        """The key of one card, from the issuer's (`imk` 16 bytes, `pan` digits, `psn` 2 digits)."""
        return cls(method, _method(method).card_key(imk, pan, psn))

    def __repr__(self) -> str:
        return f"CardKey({self.name!r}, ...)"

    def session_key(self, elements: Elements) -> bytes:
        """The 16 bytes that cryptograms of this payment are made with."""
        return self._session(self.method.session_key, elements)

    def application_cryptogram(self, elements: Elements) -> bytes:
        """The 8 bytes of ARQC, TC or AAC; ElementError for an element that is missing or has a wrong length.

        Source: EMV 4.4 Book 2 8.1
        """
        message = self._message(elements)  # the elements are right from here on
        rule = self.method.session_key
        key = rule.derive(self._key, *map(elements.__getitem__, rule.tags))
        return mac_3(key, message, self.method.padding)

    def arpc(self, elements: Elements, cryptogram: bytes, answer: bytes, proprietary: bytes = b"") -> bytes:
        """The issuer's answer: 8 bytes by method 1, 4 by method 2 (the method is the row's).

        `answer` is the response code (2 bytes) for method 1, the card status update (4 bytes) for method 2,
        where up to 8 bytes of `proprietary` data may follow. Unsupported where the row has no answer.

        Source: EMV 4.4 Book 2 8.2
        """
        rule = self.method.arpc
        if rule is None:
            raise Unsupported(f"{self.name} has no answer of the issuer")
        key = self._session(rule.key, elements)
        if rule.method == 2:
            return arpc_2(key, cryptogram, answer, proprietary)
        if proprietary:
            raise InputError("proprietary data", "none with method 1", f"{len(proprietary)} bytes")
        return arpc_1(key, cryptogram, answer)

    def script_key(self, elements: Elements) -> bytes:
        """The 16 bytes that issuer scripts of this payment are made with (from 9F36 or 9F26)."""
        return self._session(self.method.script.key, elements)

    def script_mac(self, elements: Elements, header: bytes, data: bytes = b"", length: int = 0) -> bytes:
        """The MAC of a script command: `header` is CLA INS P1 P2 Lc, `data` what the command carries.

        `length` is 4 to 8 bytes; 0 takes the row's. ATC and cryptogram (9F36, 9F26) are signed, not sent.

        Source: EMV 4.4 Book 2 9.2
        """
        transaction = _element(elements, "9F36") + _element(elements, "9F26")
        message = sized("command header", header, 5) + transaction + sized("command data", data)
        return mac_3(self.script_key(elements), message, 2, length or self.method.script.mac_length)

    def script_encipher(self, elements: Elements, data: bytes) -> bytes:
        """The enciphered data of a script command: whole blocks of 8 bytes.

        Source: EMV 4.4 Book 2 9.3
        """
        script = self.method.script
        if not 1 <= len(sized("script data", data)) <= 240:
            raise InputError("script data", "1 to 240 bytes", f"{len(data)} bytes")
        if script.length_byte:
            data = len(data).to_bytes() + data
        if script.always_padded or len(data) % 8:
            data = pad(data, 2)
        return (encrypt_cbc if script.chained else encrypt_ecb)(self.script_key(elements), data)

    def script_decipher(self, elements: Elements, data: bytes) -> bytes:
        """What `script_encipher` was given; without a length byte (M/Chip), the padding stays on it."""
        script = self.method.script
        clear = (decrypt_cbc if script.chained else decrypt_ecb)(self.script_key(elements), data)
        if not script.length_byte:
            return clear
        if not clear or clear[0] >= len(clear):
            raise ProtocolError("script data: the length byte is longer than the data; another key?")
        filled = clear[: 1 + clear[0]]
        if script.always_padded or len(filled) % 8:
            filled = pad(filled, 2)
        if filled != clear:
            raise ProtocolError("script data: what follows them is no padding; another key?")
        return clear[1 : 1 + clear[0]]

    def _session(self, rule: SessionKey, elements: Elements) -> bytes:
        return rule.derive(self._key, *[_element(elements, tag) for tag in rule.tags])

    def _message(self, elements: Elements) -> bytes:
        """What the method signs. A good payment is one pass; the fault of a bad one is named afterwards."""
        pick, lengths, least = _PLANS[self.name]
        try:
            *values, issuer = pick(elements)
            if list(map(len, values)) == lengths and least <= len(issuer) <= MAX_ISSUER_DATA:
                for part in self.method.parts:
                    values.append(issuer[part])  # faster than a comprehension for one or two
                return b"".join(values)
        except (KeyError, TypeError):
            pass
        raise _fault(self.method, elements, least)


def application_cryptogram(method: str, imk: bytes, pan: str, psn: str, elements: Elements) -> bytes:
    """The cryptogram (8 bytes) that the card of `pan` and `psn` makes of `elements`, by a row of `METHODS`.

    `imk` is the issuer's key (16 bytes), `psn` two digits; `elements` has upper-case tags. The card's
    verification results are taken from 9F10. Raises Unsupported for an unknown method, InputError for a
    key or number of the wrong shape, ElementError for an element.

    >>> elements = {"9F02": bytes(6), "9F37": bytes(4), "9F36": bytes(2), "9F10": bytes(7)}
    >>> application_cryptogram("visa17", bytes(range(16)), "4761739001010010", "01", elements).hex()
    '99ff1b68b85adfbd'

    Source: EMV 4.4 Book 2 8.1
    """
    return CardKey.of(method, imk, pan, psn).application_cryptogram(elements)


def arpc(
    method: str,
    imk: bytes,
    pan: str,
    psn: str,
    elements: Elements,
    cryptogram: bytes,
    answer: bytes,
    proprietary: bytes = b"",
) -> bytes:
    """The issuer's answer to `cryptogram` (8 bytes): as `CardKey.arpc`, from the issuer's key.

    >>> arpc("visa10", bytes(range(16)), "4761739001010010", "01", {}, bytes(8), b"00").hex()
    'a56ebdb4664a4a3f'

    Source: EMV 4.4 Book 2 8.2
    """
    return CardKey.of(method, imk, pan, psn).arpc(elements, cryptogram, answer, proprietary)


def script_key(method: str, imk: bytes, pan: str, psn: str, elements: Elements) -> bytes:
    """The session key (16 bytes) of issuer scripts: `imk` is the issuer's key for script MACs or data.

    >>> script_key("visa10", bytes(range(16)), "4761739001010010", "01", {"9F36": bytes(2)}).hex()
    'd0c4ce299185348feffe7a1a92e0a731'

    Source: EMV 4.4 Book 2 9
    """
    return CardKey.of(method, imk, pan, psn).script_key(elements)


def arpc_1(key: bytes, cryptogram: bytes, response_code: bytes) -> bytes:
    """The answer by method 1: 8 bytes, of `cryptogram` (8 bytes) and `response_code` (2 bytes).

    >>> key = bytes.fromhex("DCE992BCE398C264F7858AFD4C4A324A")
    >>> arpc_1(key, bytes.fromhex("26C8A1042D1CAF3E"), b"00").hex().upper()
    '98DE7C7B3D80A831'

    Source: EMV 4.4 Book 2 8.2.1
    """
    code = int.from_bytes(sized("response code", response_code, 2)) << 48
    block = (int.from_bytes(sized("cryptogram", cryptogram, 8)) ^ code).to_bytes(8)
    return kept(sized("key", key, 16))(block)


def arpc_2(key: bytes, cryptogram: bytes, status_update: bytes, proprietary: bytes = b"") -> bytes:
    """The answer by method 2: 4 bytes, of `cryptogram` (8), `status_update` (4) and up to 8 more bytes.

    >>> key = bytes.fromhex("F3A65095C3B854A4173F9886BCA45473")
    >>> arpc_2(key, bytes.fromhex("55BE45DD2C9E0CBF"), bytes.fromhex("00120000")).hex().upper()
    'B4C698B6'

    Source: EMV 4.4 Book 2 8.2.2
    """
    message = sized("cryptogram", cryptogram, 8) + sized("card status update", status_update, 4)
    return mac_3(key, message + sized("proprietary data", proprietary, *range(9)), 2, 4)


def cvc3(key: bytes, track: bytes, atc: bytes, unpredictable: bytes) -> int:
    """The dynamic CVC3 (0 to 65535) of a mag-stripe tap: `track` data, `atc` 2 bytes, `unpredictable` 4.

    `key` is the card's key for CVC3. A track carries as many of its last decimal digits as there is room for.

    >>> key = derive.card_key_a(bytes.fromhex("01234567899876543210012345678998"), "5123456789012345", "00")
    >>> track_2 = bytes.fromhex("5123456789012345D35121010000000000000F")
    >>> cvc3(key, track_2, bytes.fromhex("005E"), bytes.fromhex("00000899"))
    29488

    Source: EMV Contactless Book C-2, COMPUTE CRYPTOGRAPHIC CHECKSUM
    """
    start = mac_3(key, track, 2)[-2:]
    block = start + sized("unpredictable number", unpredictable, 4) + sized("ATC", atc, 2)
    return int.from_bytes(kept(key)(block)[-2:])


def issuer_data(method: str, data: bytes) -> IssuerData:
    """What `data`, a 9F10 of the method's card, says: key index, version, verification results.

    >>> issuer_data("visa10", bytes.fromhex("06010A03A40000"))
    IssuerData(key_index=1, version=10, results=b'\\x03\\xa4\\x00\\x00')
    """
    row = _method(method)
    if not (isinstance(data, bytes) and row.layout.results.stop <= len(data) <= MAX_ISSUER_DATA):
        raise ElementError("9F10", f"{row.layout.results.stop} to {MAX_ISSUER_DATA} bytes", _got(data))
    return IssuerData(data[row.layout.key_index], data[row.layout.version], data[row.layout.results])


def _method(name: str) -> Method:
    try:
        return METHODS[name]
    except (KeyError, TypeError):
        raise Unsupported(f"no cryptogram method {name!r}; there are {', '.join(METHODS)}") from None


class _Plan(NamedTuple):
    """What a row needs in a hurry: all its elements at once, their lengths, the fewest bytes of 9F10."""

    pick: Callable[[Elements], tuple[bytes, ...]]
    lengths: list[int]
    least: int


def _plan(row: Method) -> _Plan:
    lengths = [LENGTHS[tag] for tag in row.tags]
    least = max(part.stop or VISA.results.stop for part in row.parts)
    return _Plan(itemgetter(*row.tags, "9F10"), lengths, least)


_PLANS: Final = {name: _plan(row) for name, row in METHODS.items()}


def _element(elements: Elements, tag: str) -> bytes:
    value = elements.get(tag)
    if isinstance(value, bytes) and len(value) == LENGTHS[tag]:
        return value
    raise ElementError(tag, f"{LENGTHS[tag]} bytes", _got(value))


def _fault(row: Method, elements: Elements, least: int) -> Exception:
    """The error that names what is wrong with `elements`: the first in the order of the row."""
    if not isinstance(elements, Mapping):
        return InputError("elements", "a mapping of tags to bytes", type(elements).__name__)
    try:
        for tag in row.tags:
            _element(elements, tag)
    except ElementError as error:
        return error
    return ElementError("9F10", f"{least} to {MAX_ISSUER_DATA} bytes", _got(elements.get("9F10")))


def _got(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__
