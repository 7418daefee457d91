"""Signatures of cards: static data (SDA), a challenge (DDA), with the cryptogram (CDA), of a tap (fDDA).

| signature | made by | tag | says |
|---|---|---|---|
| static | the issuer | 93 | the records are the issuer's; a copy of the card passes |
| dynamic | the card | 9F4B | the card is there |
| combined | the card | 9F4B | the card is there, and this is its cryptogram |
| fast | the card | 9F4B | the card is there, and this is the amount |

What fails raises CertificateError, its `failure` a row of `certificate.FAILURES`. Numbers and codes are
arguments: nothing is drawn here.

Source: EMV 4.4 Book 2 5, 6.5, 6.6; EMV Contactless C-3 and C-7 for the fast one
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha1
from typing import Final, NamedTuple

from paysim.codec import tlv

from .certificate import HASH_SIZE, PAD, SHA_1, CertificateError, seal, unseal
from .inputs import InputError, sized
from .raw_rsa import RsaPrivate, RsaPublic

__all__ = [
    "Combined",
    "sign_combined",
    "sign_dynamic",
    "sign_fast",
    "sign_static",
    "transaction_data",
    "verify_combined",
    "verify_dynamic",
    "verify_fast",
    "verify_static",
]

STATIC: Final = 0x03
DYNAMIC: Final = 0x05
DYNAMIC_ONLINE: Final = 0x95
"""Signed data format of fDDA for a payment that goes online. Source: EMV Contactless C-3"""

FAST_ELEMENTS: Final = {"9F37": 4, "9F02": 6, "5F2A": 2}
"""What the reader gives to a tap's signature, beside the card's own 9F69: tag -> bytes."""

SIGNATURE: Final = 0x9F4B
RELAY_SIZE: Final = 14
"""Bytes of a relay resistance protocol in a combined signature. Source: EMV Contactless C-2"""


class Combined(NamedTuple):
    """What a card says in a combined signature; take the cryptogram from here, not from the answer."""

    number: bytes
    """The card's dynamic number (9F4C), 2 to 8 bytes."""
    information: int
    """The cryptogram information (9F27)."""
    cryptogram: bytes
    relay: bytes
    """Empty, or 14 bytes of relay resistance: entropies of reader and card 4 each, times 2 each."""


def sign_static(issuer: RsaPrivate, code: bytes, static_data: bytes) -> bytes:
    """The signed static data (93) of a card: `code` is the data authentication code (9F45), 2 bytes.

    >>> from paysim.crypto.raw_rsa import generate
    >>> issuer = generate(1024)
    >>> verify_static(issuer.public, sign_static(issuer, b"AB", b"records"), b"records").hex()
    '4142'

    Source: EMV 4.4 Book 2 5.1, table 3
    """
    head = bytes([STATIC, SHA_1]) + sized("data authentication code", code, 2)
    body = head.ljust(issuer.public.size - 2 - HASH_SIZE, PAD)
    return seal(issuer, body, sized("static data", static_data))


def verify_static(issuer: RsaPublic, signed: bytes, static_data: bytes) -> bytes:
    """The data authentication code (2 bytes), where the issuer signed `static_data`.

    >>> from paysim.crypto.raw_rsa import generate
    >>> issuer = generate(1024)
    >>> verify_static(issuer.public, sign_static(issuer, bytes(2), b"records"), b"others")
    Traceback (most recent call last):
    paysim.crypto.certificate.CertificateError: the hash is not that of the data: one of them was changed

    Source: EMV 4.4 Book 2 5.4
    """
    return unseal(issuer, signed, (STATIC,), 1, sized("static data", static_data))[2:4]


def sign_dynamic(card: RsaPrivate, number: bytes, terminal_data: bytes) -> bytes:
    """The answer (9F4B) to INTERNAL AUTHENTICATE: `number` is 2 to 8 bytes, `terminal_data` what DDOL asks.

    >>> from paysim.crypto.raw_rsa import generate
    >>> card = generate(1024)
    >>> verify_dynamic(card.public, sign_dynamic(card, b"AB", b"UN:4"), b"UN:4").hex()
    '4142'

    Source: EMV 4.4 Book 2 6.5.1, table 15
    """
    return _sign(card, DYNAMIC, _numbered(number), terminal_data)


def verify_dynamic(card: RsaPublic, signed: bytes, terminal_data: bytes) -> bytes:
    """The card's dynamic number (9F4C), where the card signed it with `terminal_data`.

    >>> from paysim.crypto.raw_rsa import generate
    >>> card = generate(1024)
    >>> verify_dynamic(card.public, sign_dynamic(card, b"AB", b"UN:4"), b"UN:5")
    Traceback (most recent call last):
    paysim.crypto.certificate.CertificateError: the hash is not that of the data: one of them was changed

    Source: EMV 4.4 Book 2 6.5.2
    """
    return _number(_recover(card, signed, (DYNAMIC,), terminal_data))


def transaction_data(dol_values: bytes, response: bytes) -> bytes:
    """What the transaction hash of a combined signature is taken of.

    `dol_values` are the values sent for PDOL, CDOL1 and (second GENERATE AC) CDOL2, one after the other;
    `response` the objects of the answer, of which 9F4B is left out.

    >>> transaction_data(b"", bytes.fromhex("9F2701809F4B02FFFF9F36020001")).hex().upper()
    '9F2701809F36020001'

    Source: EMV 4.4 Book 2 6.6.1
    """
    signatures = [span for span in tlv.spans(response) if span.tag == SIGNATURE]
    for span in reversed(signatures):
        response = response[: span.start] + response[span.stop :]
    return dol_values + response


def sign_combined(
    card: RsaPrivate,
    number: bytes,
    information: int,
    cryptogram: bytes,
    transaction: bytes,
    unpredictable: bytes,
    relay: bytes = b"",
) -> bytes:
    """The signature (9F4B) of an answer to GENERATE AC, with its cryptogram inside.

    `information` is the value of 9F27, `transaction` the `transaction_data`, `unpredictable` is
    9F37 of the reader, `relay` nothing or 14 bytes.

    >>> from paysim.crypto.raw_rsa import generate
    >>> card = generate(1024)
    >>> signed = sign_combined(card, b"AB", 0x80, bytes(8), b"CDOL1 and answer", b"UN:4")
    >>> verify_combined(card.public, signed, 0x80, b"CDOL1 and answer", b"UN:4").number.hex()
    '4142'

    Source: EMV 4.4 Book 2 6.6.1, tables 18 and 19
    """
    if not 0 <= information <= 255:
        raise InputError("cryptogram information", "0 to 255", str(information))
    data = b"".join(
        (
            _numbered(number),
            bytes([information]),
            sized("cryptogram", cryptogram, 8),
            sha1(transaction, usedforsecurity=False).digest(),
            sized("relay data", relay, 0, RELAY_SIZE),
        )
    )
    return _sign(card, DYNAMIC, data, sized("unpredictable number", unpredictable, 4))


def verify_combined(
    card: RsaPublic, signed: bytes, information: int, transaction: bytes, unpredictable: bytes
) -> Combined:
    """What the card signed, where it is this transaction; `information` is 9F27 as it stands in the answer.

    >>> from paysim.crypto.raw_rsa import generate
    >>> card = generate(1024)
    >>> signed = sign_combined(card, b"AB", 0x80, bytes(8), b"CDOL1 and answer", b"UN:4")
    >>> verify_combined(card.public, signed, 0x40, b"CDOL1 and answer", b"UN:4")
    Traceback (most recent call last):
    paysim.crypto.certificate.CertificateError: the cryptogram information (9F27) is not what the card signed

    Source: EMV 4.4 Book 2 6.6.2
    """
    data = _recover(card, signed, (DYNAMIC,), sized("unpredictable number", unpredictable, 4))
    number = _number(data)
    rest = data[1 + len(number) :]
    if len(rest) not in (29, 29 + RELAY_SIZE):
        raise CertificateError("dynamic_data", "EMV 4.4 Book 2 6.6.2 step 6")
    if rest[0] != information:
        raise CertificateError("cryptogram_information", "EMV 4.4 Book 2 6.6.2 step 6")
    if rest[9:29] != sha1(transaction, usedforsecurity=False).digest():
        raise CertificateError("transaction_hash", "EMV 4.4 Book 2 6.6.2 step 12")
    return Combined(number, rest[0], rest[1:9], rest[29:])


def sign_fast(
    card: RsaPrivate, number: bytes, elements: Mapping[str, bytes], *, online: bool = False
) -> bytes:
    """The signature (9F4B) of a tap: `number` is 2 to 8 bytes (the ATC first), `online` marks an ARQC's.

    `elements` are 9F37, 9F02, 5F2A of the reader and 9F69 of the card, whose first byte is the version:
    01 signs all four, 00 the unpredictable number alone.

    >>> from paysim.crypto.raw_rsa import generate
    >>> card = generate(1024)
    >>> tap = {"9F37": bytes(4), "9F02": bytes(6), "5F2A": bytes(2), "9F69": bytes([1] * 7)}
    >>> verify_fast(card.public, sign_fast(card, b"AB", tap), tap).hex()
    '4142'

    Source: EMV Contactless C-3 (fDDA), C-7
    """
    signed = _fast(elements, (0, 1))
    return _sign(card, DYNAMIC_ONLINE if online else DYNAMIC, _numbered(number), signed)


def verify_fast(
    card: RsaPublic,
    signed: bytes,
    elements: Mapping[str, bytes],
    *,
    online: bool = False,
    versions: Collection[int] = (1,),
) -> bytes:
    """The card's dynamic number, where the card signed `elements`; compare its start with the ATC (9F36).

    `versions` are those of 9F69 that the kernel accepts: 01 alone in kernels 3 and 7.

    >>> from paysim.crypto.raw_rsa import generate
    >>> card = generate(1024)
    >>> tap = {"9F37": bytes(4), "9F02": bytes(6), "5F2A": bytes(2), "9F69": bytes(7)}
    >>> verify_fast(card.public, sign_fast(card, b"AB", tap), tap)
    Traceback (most recent call last):
    paysim.crypto.certificate.CertificateError: the card authentication data (9F69) are of no accepted version

    Source: EMV Contactless C-3 (fDDA), C-7
    """
    formats = (DYNAMIC_ONLINE,) if online else (DYNAMIC,)
    return _number(_recover(card, signed, formats, _fast(elements, versions)))


def _sign(card: RsaPrivate, form: int, data: bytes, outside: bytes) -> bytes:
    """`data` of the card, framed and signed together with the reader's data `outside`."""
    room = card.public.size - 2 - HASH_SIZE
    head = bytes([form, SHA_1, len(data)]) + data
    if len(head) > room:
        raise InputError("dynamic data", f"at most {room - 3} bytes", f"{len(data)} bytes")
    return seal(card, head.ljust(room, PAD), sized("terminal data", outside))


def _recover(card: RsaPublic, signed: bytes, formats: Collection[int], outside: bytes) -> bytes:
    body = unseal(card, signed, formats, 1, sized("terminal data", outside))
    data = body[3 : 3 + body[2]]
    if len(data) != body[2]:
        raise CertificateError("dynamic_data", "EMV 4.4 Book 2 6.5.2")
    return data


def _numbered(number: bytes) -> bytes:
    return bytes([len(sized("dynamic number", number, *range(2, 9)))]) + number


def _number(data: bytes) -> bytes:
    """The dynamic number at the start of the card's data."""
    if not data or not 2 <= data[0] <= 8 or len(data) < 1 + data[0]:
        raise CertificateError("dynamic_data", "EMV 4.4 Book 2 6.5.2")
    return data[1 : 1 + data[0]]


def _fast(elements: Mapping[str, bytes], versions: Collection[int]) -> bytes:
    """The terminal data of a tap's signature."""
    card_data = elements.get("9F69", b"")
    values = [sized(tag, elements.get(tag), size) for tag, size in FAST_ELEMENTS.items()]
    if not 5 <= len(card_data) <= 16 or card_data[0] not in versions:
        raise CertificateError("version", "EMV Contactless C-3")
    return b"".join((*values, card_data)) if card_data[0] else values[0]
