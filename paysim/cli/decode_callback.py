"""What can be said of a WeChat Pay callback without the merchant's key."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

__all__ = ["Envelope", "read"]

_TAG_BYTES: Final = 16
_NONCE_LENGTH: Final = 12
_ALGORITHM: Final = "AEAD_AES_256_GCM"
_WANTED: Final = ("id", "create_time", "event_type", "resource_type")
_SEALED: Final = ("algorithm", "ciphertext", "nonce", "original_type")
_MEANINGS: Final[Mapping[str, str]] = {
    "TRANSACTION.SUCCESS": "支付成功, an order is paid",
    "REFUND.SUCCESS": "退款成功, a refund is through",
    "REFUND.ABNORMAL": "退款异常, a refund did not reach the payer",
    "REFUND.CLOSED": "退款关闭, a refund is closed",
}


class Envelope(NamedTuple):
    """A callback: its fields as they came, rows for people, and each fault: JSON pointer, what is wrong."""

    fields: Mapping[str, Any]
    rows: tuple[tuple[str, str], ...]
    faults: tuple[tuple[str, str], ...]


def read(text: str) -> Envelope | None:
    """The callback in a text, None where it is none.

    Source: WeChat Pay merchant documentation, payment result notification
    """
    if not text.lstrip().startswith("{"):
        return None
    try:
        body = json.loads(text, parse_float=str, parse_constant=str)  # NaN has no place in our JSON
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not {"resource", "event_type"} <= body.keys():
        return None
    return Envelope(body, tuple(_rows(body)), tuple(_faults(body)))


def _rows(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("id", "create_time", "event_type", "summary", "resource_type"):
        if isinstance(body.get(name), str):
            meaning = _MEANINGS.get(body[name], "") if name == "event_type" else ""
            yield name, f"{body[name]} ({meaning})" if meaning else body[name]
    resource = body["resource"]
    if not isinstance(resource, dict):
        return
    for name in ("algorithm", "original_type", "associated_data", "nonce"):
        if isinstance(resource.get(name), str):
            yield name, resource[name]
    sealed = _bytes(resource.get("ciphertext"))
    if sealed is not None and len(sealed) >= _TAG_BYTES:
        inside = len(sealed) - _TAG_BYTES
        yield "ciphertext", f"{inside} bytes of JSON and a tag, sealed with the merchant's APIv3 key"


def _faults(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _absent(body, _WANTED, "")
    resource = body["resource"]
    if not isinstance(resource, dict):
        yield "/resource", "is no object"
        return
    yield from _absent(resource, _SEALED, "/resource")
    if isinstance(resource.get("algorithm"), str) and resource["algorithm"] != _ALGORITHM:
        yield "/resource/algorithm", f"is not {_ALGORITHM}"
    if isinstance(resource.get("nonce"), str) and len(resource["nonce"]) != _NONCE_LENGTH:
        yield "/resource/nonce", f"has {len(resource['nonce'])} characters, not {_NONCE_LENGTH}"
    if isinstance(resource.get("ciphertext"), str):
        sealed = _bytes(resource["ciphertext"])
        if sealed is None or len(sealed) < _TAG_BYTES:
            yield "/resource/ciphertext", f"is no base64 of {_TAG_BYTES} bytes or more"


def _absent(body: Mapping[str, Any], names: tuple[str, ...], above: str) -> Iterator[tuple[str, str]]:
    for name in names:
        if not isinstance(body.get(name), str):
            yield f"{above}/{name}", "is no text" if name in body else "is missing"


def _bytes(text: Any) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        return None
