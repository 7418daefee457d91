"""What the coded values of EMV's fields mean, as data: types, entry modes, outcomes, errors, messages.

The rows have the form that bits.py explains: "b2=03" is the second byte with the value 03.

Source: EMV 4.4 Book 4 Annex A; ISO 8583 (9C, 9F39); EMV Contactless Book A 6.2 and Book C-2 Annex A
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["CODES"]

Bits = Mapping[str, str]

_TRANSACTION_TYPE: Final[Bits] = {
    "b1=00": "purchase of goods or services",
    "b1=01": "cash",
    "b1=09": "purchase with cashback",
    "b1=17": "cash disbursement",
    "b1=20": "refund",
    "b1=30": "balance inquiry",
}

_TERMINAL_TYPE: Final[Bits] = {
    "b1.8-5=0001": "of a financial institution",
    "b1.8-5=0010": "of a merchant",
    "b1.8-5=0011": "of the cardholder",
    "b1.4-1=0001": "attended, online only",
    "b1.4-1=0010": "attended, offline with online capability",
    "b1.4-1=0011": "attended, offline only",
    "b1.4-1=0100": "unattended, online only",
    "b1.4-1=0101": "unattended, offline with online capability",
    "b1.4-1=0110": "unattended, offline only",
}

_ENTRY_MODE: Final[Bits] = {
    "b1=00": "unknown",
    "b1=01": "manual entry",
    "b1=02": "magnetic stripe",
    "b1=03": "barcode",
    "b1=05": "contact chip",
    "b1=07": "contactless chip",
    "b1=10": "credentials on file",
    "b1=80": "magnetic stripe after the chip failed",
    "b1=90": "magnetic stripe, whole track",
    "b1=91": "contactless magnetic stripe",
    "b1=95": "contact chip, CVV may not be checked",
}

_ADDITIONAL_CAPABILITIES: Final[Bits] = {
    "b1.8": "cash",
    "b1.7": "goods",
    "b1.6": "services",
    "b1.5": "cashback",
    "b1.4": "inquiry",
    "b1.3": "transfer",
    "b1.2": "payment",
    "b1.1": "administrative",
    "b2.8": "cash deposit",
    "b3.8": "numeric keys",
    "b3.7": "alphabetic and special keys",
    "b3.6": "command keys",
    "b3.5": "function keys",
    "b4.8": "prints for the attendant",
    "b4.7": "prints for the cardholder",
    "b4.6": "displays to the attendant",
    "b4.5": "displays to the cardholder",
    "b4.2": "code table 10",
    "b4.1": "code table 9",
    **{f"b5.{table}": f"code table {table}" for table in range(8, 0, -1)},
}

_OUTCOME: Final[Bits] = {
    "b1=10": "Approved",
    "b1=20": "Declined",
    "b1=30": "Online Request",
    "b1=40": "End Application",
    "b1=50": "Select Next",
    "b1=60": "Try Another Interface",
    "b1=70": "Try Again",
    "b1=F0": "status N/A",
    "b2=00": "start A",
    "b2=10": "start B",
    "b2=20": "start C",
    "b2=30": "start D",
    "b2=F0": "start N/A",
    "b3=F0": "online response data N/A",
    "b4=00": "no CVM",
    "b4=10": "obtain signature",
    "b4=20": "online PIN",
    "b4=30": "confirmation code verified",
    "b4=F0": "CVM N/A",
    "b5.8": "UI request on outcome present",
    "b5.7": "UI request on restart present",
    "b5.6": "data record present",
    "b5.5": "discretionary data present",
    "b5.4": "receipt",
    "b6=F0": "alternate interface preference N/A",
    "b7=FF": "field off request N/A",
}

_ERROR: Final[Bits] = {
    "b1=00": "L1 OK",
    "b1=01": "L1 time out error",
    "b1=02": "L1 transmission error",
    "b1=03": "L1 protocol error",
    "b2=00": "L2 OK",
    "b2=01": "L2 card data missing",
    "b2=02": "L2 CAM failed",
    "b2=03": "L2 status bytes",
    "b2=04": "L2 parsing error",
    "b2=05": "L2 max limit exceeded",
    "b2=06": "L2 card data error",
    "b2=07": "L2 mag-stripe not supported",
    "b2=08": "L2 no PPSE",
    "b2=09": "L2 PPSE fault",
    "b2=0A": "L2 empty candidate list",
    "b2=0F": "L2 terminal data error",
    "b3=00": "L3 OK",
    "b3=01": "L3 time out",
    "b3=02": "L3 stop",
    "b3=03": "L3 amount not present",
}

_MESSAGES: Final = {
    0x03: "Approved",
    0x07: "Not authorised",
    0x09: "Enter PIN",
    0x0F: "Processing error",
    0x10: "Remove card",
    0x14: "Welcome",
    0x15: "Present card",
    0x16: "Processing",
    0x17: "Card read OK, please remove card",
    0x18: "Insert or swipe card",
    0x19: "Present one card only",
    0x1A: "Approved, please sign",
    0x1B: "Authorising, please wait",
    0x1C: "Insert, swipe or try another card",
    0x1D: "Insert card",
    0x1E: "Clear display",
    0x20: "See phone for instructions",
    0x21: "Present card again",
}
_STATUSES: Final = {
    0x00: "not ready",
    0x01: "idle",
    0x02: "ready to read",
    0x03: "processing",
    0x04: "card read successfully",
    0x05: "processing error",
    0x06: "contactless conditions not satisfied",
    0x07: "collision error",
    0x08: "card not removed",
}


def _coded(byte: int, values: Mapping[int, str]) -> dict[str, str]:
    return {f"b{byte}={value:02X}": words for value, words in values.items()}


CODES: Final[Mapping[str, Bits]] = {
    "9C": _TRANSACTION_TYPE,
    "9F35": _TERMINAL_TYPE,
    "9F39": _ENTRY_MODE,
    "9F40": _ADDITIONAL_CAPABILITIES,
    "9F7A": {"b1=01": "electronic cash supported"},
    "DF8115": {**_ERROR, **_coded(6, _MESSAGES)},
    "DF8116": {**_coded(1, _MESSAGES), **_coded(2, _STATUSES)},
    "DF8129": _OUTCOME,
}
"""Field -> the value that a key names -> its words.

Source: EMV 4.4 Book 4 Annex A; EMV Contactless Book A 6.2, Book C-2 Annex A
"""
