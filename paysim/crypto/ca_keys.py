"""CA public keys of card schemes: the files that terminals load, and the search of the right key in them.

A file is JSON, hex in upper case, `expires` (the last month) and nothing else optional:

    {"keys": [{"rid": "A000000003", "index": "F1", "modulus": "CFE3...", "exponent": "03",
               "sha1": "3304380B88785A3AC4B3554DDF0EB368D6687FE2", "expires": "2031-12"}]}

Source: EMV 4.4 Book 2 11.2.1, table 30. Assumed: the JSON; the standard names the fields and no file.
"""

from __future__ import annotations

import calendar
import datetime
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Final

from paysim.core.errors import DecodeError

from .certificate import CertificateError
from .inputs import InputError, sized
from .raw_rsa import MAX_BITS, RsaPublic, checked

__all__ = ["MAX_SIZE", "CaKey", "decode_ca_keys", "encode_ca_keys", "find_ca_key"]

MAX_SIZE: Final = 1_000_000
"""Characters of a file. Assumed: a thousand keys."""

_FIELDS: Final = {"rid": 5, "index": 1, "modulus": None, "exponent": None, "sha1": 20}
"""Field -> bytes, where fixed."""


@dataclass(frozen=True)
class CaKey:
    """A scheme's key: `rid` 5 bytes, `index` one byte's number, the key, its last day where known."""

    rid: bytes
    index: int
    key: RsaPublic
    expires: datetime.date | None = None

    def __post_init__(self) -> None:
        sized("RID", self.rid, 5)
        if not 0 <= self.index <= 255:
            raise InputError("CA key index", "0 to 255", str(self.index))
        checked(self.key)

    @property
    def checksum(self) -> bytes:
        """SHA-1 of RID, index, modulus and exponent: 20 bytes.

        Source: EMV 4.4 Book 2 table 30
        """
        data = self.rid + bytes([self.index]) + self.key.modulus_bytes + self.key.exponent_bytes
        return sha1(data, usedforsecurity=False).digest()


def find_ca_key(keys: Iterable[CaKey], rid: bytes, index: int) -> CaKey:
    """The key of a scheme (`rid` 5 bytes) with the card's `index` (8F).

    Raises CertificateError: `rid` where the scheme has no key at all, `ca_index` where it has not this one.

    >>> find_ca_key([], bytes.fromhex("A000000003"), 0xF1)
    Traceback (most recent call last):
    paysim.crypto.certificate.CertificateError: no CA key of this scheme (RID) is at hand
    """
    indices = {key.index: key for key in keys if key.rid == rid}
    if index in indices:
        return indices[index]
    raise CertificateError("ca_index" if indices else "rid", "EMV 4.4 Book 2 6.2")


def encode_ca_keys(keys: Iterable[CaKey]) -> str:
    """The file of `keys`, in their order.

    >>> encode_ca_keys([])
    '{"keys": []}'
    """
    return json.dumps({"keys": [_row(key) for key in keys]})


def decode_ca_keys(text: str) -> tuple[CaKey, ...]:
    """The keys of a file. Raises DecodeError, with the path of the fault, for another text than described
    above, and CertificateError (`checksum`) for a key whose checksum is another.

    >>> decode_ca_keys('{"keys": [{"rid": "A0"}]}')
    Traceback (most recent call last):
    paysim.core.errors.DecodeError: expected hex of 5 bytes (at keys[0].rid, offset 0)
    """
    if not isinstance(text, str) or len(text) > MAX_SIZE:
        raise InputError("CA key file", f"text of at most {MAX_SIZE} characters", type(text).__name__)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DecodeError("the CA key file is no JSON", offset=error.pos) from None
    except (ValueError, RecursionError):
        raise DecodeError("the CA key file is no JSON that can be read") from None
    rows = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise DecodeError("expected a list of keys", path="keys")
    found: dict[tuple[bytes, int], CaKey] = {}
    for at, row in enumerate(rows):
        key = _key(row, f"keys[{at}]")
        if (key.rid, key.index) in found:
            raise DecodeError("this RID and index stand twice in the file", path=f"keys[{at}].index")
        found[key.rid, key.index] = key
    return tuple(found.values())


def _row(key: CaKey) -> dict[str, str]:
    row = {
        "rid": key.rid.hex().upper(),
        "index": f"{key.index:02X}",
        "modulus": key.key.modulus_bytes.hex().upper(),
        "exponent": key.key.exponent_bytes.hex().upper(),
        "sha1": key.checksum.hex().upper(),
    }
    return row | ({"expires": f"{key.expires:%Y-%m}"} if key.expires else {})


def _key(row: Any, path: str) -> CaKey:
    if not isinstance(row, dict):
        raise DecodeError("expected an object", path=path)
    unknown = sorted(set(row) - set(_FIELDS) - {"expires"})
    if unknown:
        raise DecodeError("no such field", path=f"{path}.{unknown[0][:40]}")
    rid, index, modulus, exponent, checksum = [
        _hex(row.get(field), size, f"{path}.{field}") for field, size in _FIELDS.items()
    ]
    public = RsaPublic(int.from_bytes(modulus), int.from_bytes(exponent))
    try:
        key = CaKey(rid, index[0], public, _expires(row.get("expires"), f"{path}.expires"))
    except InputError as error:
        raise DecodeError(str(error), path=path) from None
    if key.checksum != checksum:
        raise CertificateError("checksum", "EMV 4.4 Book 2 table 30")
    return key


def _hex(value: Any, size: int | None, path: str) -> bytes:
    sizes = range(1, MAX_BITS // 8 + 1) if size is None else (size,)
    if isinstance(value, str) and re.fullmatch(r"([0-9A-Fa-f]{2})+", value) and len(value) // 2 in sizes:
        return bytes.fromhex(value)
    raise DecodeError(f"expected hex of {size or f'1 to {MAX_BITS // 8}'} bytes", path=path)


def _expires(value: Any, path: str) -> datetime.date | None:
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", value) and value >= "0001":
        year, month = int(value[:4]), int(value[5:])
        return datetime.date(year, month, calendar.monthrange(year, month)[1])
    raise DecodeError("expected a month like 2031-12", path=path)
