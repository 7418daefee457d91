"""What the bits of each field mean, as data. bits.py explains the keys and reads the table.

Coded values (a transaction type, an outcome) are in bits_codes.py.

Source: EMV 4.4 Book 3 Annex C; EMV Contactless Book C-2 Annex A, C-3 Annex A; read through the field tables
of open kernels (facts: emv_kernels.md section 6).
Assumed: CAP.unionpay, read from test scripts alone; byte 5 of the TVR is the contactless one (a contact
terminal with ECC keys uses its bits 3 and 2 otherwise).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from paysim.codec.bits_codes import CODES

__all__ = ["FIELDS"]

Bits = Mapping[str, str]

_TVR: Final[Bits] = {
    "b1.8": "offline data authentication was not performed",
    "b1.7": "SDA failed",
    "b1.6": "card data missing",
    "b1.5": "card appears on the exception file",
    "b1.4": "DDA failed",
    "b1.3": "CDA failed",
    "b1.2": "SDA selected",
    "b1.1": "XDA selected",
    "b2.8": "card and terminal have different application versions",
    "b2.7": "expired application",
    "b2.6": "application not yet effective",
    "b2.5": "requested service not allowed for the card product",
    "b2.4": "new card",
    "b2.2": "biometric performed and successful",
    "b2.1": "biometric template format not supported",
    "b3.8": "cardholder verification was not successful",
    "b3.7": "unrecognised CVM",
    "b3.6": "PIN try limit exceeded",
    "b3.5": "PIN entry required and PIN pad not present or not working",
    "b3.4": "PIN entry required, PIN pad present, but PIN was not entered",
    "b3.3": "online PIN entered",
    "b3.2": "biometric required, and capture device not working",
    "b3.1": "biometric required, and entry was bypassed",
    "b4.8": "floor limit exceeded",
    "b4.7": "lower consecutive offline limit exceeded",
    "b4.6": "upper consecutive offline limit exceeded",
    "b4.5": "selected randomly for online processing",
    "b4.4": "merchant forced transaction online",
    "b4.3": "biometric try limit exceeded",
    "b4.2": "selected biometric type not supported",
    "b4.1": "XDA signature verification failed",
    "b5.8": "default TDOL used",
    "b5.7": "issuer authentication failed",
    "b5.6": "script processing failed before final GENERATE AC",
    "b5.5": "script processing failed after final GENERATE AC",
    "b5.4": "relay resistance threshold exceeded",
    "b5.3": "relay resistance time limits exceeded",
    "b5.2-1=01": "relay resistance protocol not performed",
    "b5.2-1=10": "relay resistance protocol performed",
}

_TSI: Final[Bits] = {
    "b1.8": "offline data authentication was performed",
    "b1.7": "cardholder verification was performed",
    "b1.6": "card risk management was performed",
    "b1.5": "issuer authentication was performed",
    "b1.4": "terminal risk management was performed",
    "b1.3": "script processing was performed",
}

_AIP: Final[Bits] = {
    "b1.8": "XDA supported",
    "b1.7": "SDA supported",
    "b1.6": "DDA supported",
    "b1.5": "cardholder verification supported",
    "b1.4": "terminal risk management is to be performed",
    "b1.3": "issuer authentication supported",
    "b1.2": "on-device cardholder verification supported",
    "b1.1": "CDA supported",
    "b2.8": "EMV mode supported",
    "b2.7": "mobile phone",
    "b2.6": "contactless transaction",
    "b2.1": "relay resistance protocol supported",
}

_AIP_QVSDC: Final[Bits] = {
    **_AIP,
    "b1.7": "SDA supported for online transactions",
    "b2.8": "mag-stripe mode supported",
}

_TTQ: Final[Bits] = {
    "b1.8": "mag-stripe mode supported",
    "b1.7": "UnionPay: contactless debit and credit supported",
    "b1.6": "EMV mode supported (qVSDC, qPBOC)",
    "b1.5": "EMV contact chip supported",
    "b1.4": "offline-only reader",
    "b1.3": "online PIN supported",
    "b1.2": "signature supported",
    "b1.1": "offline data authentication for online transactions supported",
    "b2.8": "online cryptogram required",
    "b2.7": "CVM required",
    "b2.6": "contact chip offline PIN supported",
    "b3.8": "issuer update processing supported",
    "b3.7": "consumer device CVM supported",
    "b4.8": "fDDA version 01 supported",
}

_CTQ: Final[Bits] = {
    "b1.8": "online PIN required",
    "b1.7": "signature required",
    "b1.6": "go online if offline data authentication fails and the reader can",
    "b1.5": "use another interface if offline data authentication fails",
    "b1.4": "go online if the application has expired",
    "b1.3": "use another interface for cash",
    "b1.2": "use another interface for cashback",
    "b1.1": "not valid for contactless ATM transactions",
    "b2.8": "consumer device CVM performed",
    "b2.7": "issuer update processing supported by the card",
}

_CAP_VISA: Final[Bits] = {
    "b1.8": "low value check supported",
    "b1.7": "low value and CTTA check supported",
    "b1.6": "count online transactions",
    "b1.5": "streamlined qVSDC supported",
    "b1.4": "PIN tries are checked",
    "b1.3": "offline international transactions allowed",
    "b1.2": "card prefers the contact chip",
    "b1.1": "available offline spending amount is returned",
    "b2.8": "country code included in the check",
    "b2.7": "international transactions not allowed",
    "b2.6": "no offline data authentication for online transactions",
    "b2.5": "issuer update processing supported",
    "b2.4": "offline transactions are not counted",
    "b2.3": "card prefers online",
    "b3.8": "online PIN supported for domestic transactions",
    "b3.7": "online PIN supported for international transactions",
    "b3.6": "contact chip offline PIN supported",
    "b3.5": "signature supported",
    "b3.4": "consumer device CVM supported",
}

_CAP_UNIONPAY: Final[Bits] = {
    "b1.8": "low value check supported",
    "b1.7": "low value AND CTTA check supported",
    "b1.6": "low value OR CTTA check supported",
    "b1.5": "new card check supported",
    "b1.4": "PIN tries are checked",
    "b1.2": "card prefers the contact chip",
    "b1.1": "available offline spending amount is returned",
    "b2.8": "prepaid card",
    "b2.7": "transactions in another currency not allowed",
    "b2.6": "new card declines at an offline-only reader",
    "b3.8": "online PIN supported in the card's currency",
    "b3.7": "online PIN supported in another currency",
    "b3.6": "CVM required in another currency",
    "b3.5": "signature supported",
}

_CARD_INPUT: Final[Bits] = {
    "b1.8": "manual key entry",
    "b1.7": "magnetic stripe",
    "b1.6": "contact chip",
}

_CVM_CAPABILITY: Final[Bits] = {
    "b1.8": "plaintext PIN for offline verification",
    "b1.7": "enciphered PIN for online verification",
    "b1.6": "signature",
    "b1.5": "enciphered PIN for offline verification",
    "b1.4": "no CVM required",
}

_SECURITY_CAPABILITY: Final[Bits] = {
    "b1.8": "SDA",
    "b1.7": "DDA",
    "b1.6": "card capture",
    "b1.4": "CDA",
}


def _at(byte: int, bits: Bits) -> dict[str, str]:
    """The rows of a one-byte field as those of a later byte."""
    return {f"b{byte}{key[2:]}": words for key, words in bits.items()}


_TERMINAL_CAPABILITIES: Final[Bits] = {
    **_CARD_INPUT,
    **_at(2, _CVM_CAPABILITY),
    **_at(3, _SECURITY_CAPABILITY),
}

_KERNEL_CONFIGURATION: Final[Bits] = {
    "b1.8": "mag-stripe mode contactless transactions not supported",
    "b1.7": "EMV mode contactless transactions not supported",
    "b1.6": "on-device cardholder verification supported",
    "b1.5": "relay resistance protocol supported",
}

_CAPABILITIES_INFORMATION: Final[Bits] = {
    "b1.8-5": "version",
    "b1.4-1": "data storage version",
    "b2.3": "field off detection supported",
    "b2.2": "balance reading supported",
    "b2.1": "CDA supported over AAC too",
}

_RISK_MANAGEMENT: Final[Bits] = {
    "b1.8": "restart supported",
    "b1.7": "contactless: enciphered PIN verified online",
    "b1.6": "contactless: signature",
    "b1.5": "contactless: enciphered PIN verification by the card",
    "b1.4": "contactless: no CVM required",
    "b1.3": "contactless: consumer device CVM",
    "b1.2": "contactless: plaintext PIN verification by the card",
    "b1.1": "present and hold supported",
    "b2.8": "CVM limit exceeded",
    "b2.7": "contact: enciphered PIN verified online",
    "b2.6": "contact: signature",
    "b2.5": "contact: enciphered PIN verification by the card",
    "b2.4": "contact: no CVM required",
    "b2.3": "contact: consumer device CVM",
    "b2.2": "contact: plaintext PIN verification by the card",
    "b3.8": "mag-stripe mode contactless transactions not supported",
    "b3.7": "EMV mode contactless transactions not supported",
    "b3.6": "consumer device CVM without CDA supported",
    "b4.8": "consumer device CVM bypass requested",
    "b4.7": "exempt from strong customer authentication",
}

_CVR: Final[Bits] = {
    "b2.8-7=00": "second GENERATE AC: AAC",
    "b2.8-7=01": "second GENERATE AC: TC",
    "b2.8-7=10": "second GENERATE AC not requested",
    "b2.6-5=00": "first GENERATE AC: AAC",
    "b2.6-5=01": "first GENERATE AC: TC",
    "b2.6-5=10": "first GENERATE AC: ARQC",
    "b2.4": "issuer authentication failed",
    "b2.3": "offline PIN verification performed",
    "b2.2": "offline PIN verification failed",
    "b2.1": "unable to go online",
    "b3.8": "last online transaction not completed",
    "b3.7": "PIN try limit exceeded",
    "b3.6": "velocity checking counters exceeded",
    "b3.5": "new card",
    "b3.4": "issuer authentication failed on the last online transaction",
    "b3.3": "issuer authentication not performed after online authorisation",
    "b3.2": "application blocked by the card because the PIN try limit was exceeded",
    "b3.1": "SDA failed on the last transaction and it was declined offline",
    "b4.8-5": "issuer script commands processed on the last transaction",
    "b4.4": "issuer script processing failed on the last transaction",
    "b4.3": "DDA failed on the last transaction and it was declined offline",
    "b4.2": "DDA performed",
    "b4.1": "PIN verification not received by a card that expects it",
}

_CVR_MCHIP: Final[Bits] = {
    "b1.8-7=00": "second GENERATE AC: AAC",
    "b1.8-7=01": "second GENERATE AC: TC",
    "b1.8-7=10": "second GENERATE AC not requested",
    "b1.6-5=00": "first GENERATE AC: AAC",
    "b1.6-5=01": "first GENERATE AC: TC",
    "b1.6-5=10": "first GENERATE AC: ARQC",
    "b1.4": "date check failed",
    "b1.3": "offline PIN verification performed",
    "b1.2": "offline enciphered PIN verification performed",
    "b1.1": "offline PIN verification successful",
    "b2.8": "DDA returned",
    "b2.7": "CDA returned in the first GENERATE AC",
    "b2.6": "CDA returned in the second GENERATE AC",
    "b2.5": "issuer authentication performed",
    "b2.4": "CIAC-default skipped on a cardholder-activated terminal",
    "b2.3": "offline PIN change successful",
    "b3.8-5": "script counter",
    "b3.4-1": "PIN try counter",
    "b4.8": "last online transaction not completed",
    "b4.7": "unable to go online",
    "b4.6": "offline PIN verification not performed",
    "b4.5": "offline PIN verification failed",
    "b4.4": "PIN try limit exceeded",
    "b4.3": "international transaction",
    "b4.2": "domestic transaction",
    "b4.1": "terminal erroneously considers offline PIN OK",
    "b5.8": "lower consecutive offline limit exceeded",
    "b5.7": "upper consecutive offline limit exceeded",
    "b5.6": "lower cumulative offline limit exceeded",
    "b5.5": "upper cumulative offline limit exceeded",
    "b5.4": "go online on next transaction was set",
    "b5.3": "issuer authentication failed",
    "b5.2": "script received",
    "b5.1": "script failed",
    "b6.8": "lower consecutive counter 2 limit exceeded",
    "b6.7": "upper consecutive counter 2 limit exceeded",
    "b6.6": "lower cumulative accumulator 2 limit exceeded",
    "b6.5": "upper cumulative accumulator 2 limit exceeded",
    "b6.4": "maximum transaction amount limit exceeded",
    "b6.3": "number of days offline limit exceeded",
    "b6.2": "match found in the additional check table",
    "b6.1": "no match found in the additional check table",
}

_CVM_CODES: Final = {
    0x00: "fail CVM processing",
    0x01: "plaintext PIN verified by the card",
    0x02: "enciphered PIN verified online",
    0x03: "plaintext PIN verified by the card, and signature",
    0x04: "enciphered PIN verified by the card",
    0x05: "enciphered PIN verified by the card, and signature",
    0x1E: "signature",
    0x1F: "no CVM required",
    0x3F: "no CVM performed",
}
_CONDITIONS: Final = {
    0x00: "always",
    0x01: "if unattended cash",
    0x02: "if not unattended cash, not manual cash, not purchase with cashback",
    0x03: "if the terminal supports the CVM",
    0x04: "if manual cash",
    0x05: "if purchase with cashback",
    0x06: "if in the application currency and under X",
    0x07: "if in the application currency and over X",
    0x08: "if in the application currency and under Y",
    0x09: "if in the application currency and over Y",
}

_CVM_CODE: Final[Bits] = {f"b1.6-1={code:06b}": words for code, words in _CVM_CODES.items()}
_CONDITION: Final[Bits] = {f"b2={code:02X}": words for code, words in _CONDITIONS.items()}

_CVM_RULE: Final[Bits] = {
    **_CVM_CODE,
    **_CONDITION,
    "b1.7": "apply the next rule if unsuccessful",
}

_CVM_RESULTS: Final[Bits] = {
    **_CVM_CODE,
    **_CONDITION,
    "b3=00": "result unknown",
    "b3=01": "failed",
    "b3=02": "successful",
}

_CID: Final[Bits] = {
    "b1.8-7=00": "AAC",
    "b1.8-7=01": "TC",
    "b1.8-7=10": "ARQC",
    "b1.4": "advice required",
    "b1.3-1=001": "service not allowed",
    "b1.3-1=010": "PIN try limit exceeded",
    "b1.3-1=011": "issuer authentication failed",
}

_USAGE_CONTROL: Final[Bits] = {
    "b1.8": "valid for domestic cash",
    "b1.7": "valid for international cash",
    "b1.6": "valid for domestic goods",
    "b1.5": "valid for international goods",
    "b1.4": "valid for domestic services",
    "b1.3": "valid for international services",
    "b1.2": "valid at ATMs",
    "b1.1": "valid at terminals other than ATMs",
    "b2.8": "domestic cashback allowed",
    "b2.7": "international cashback allowed",
}

_CARDHOLDER_INTERACTION: Final[Bits] = {
    "b2.5": "on-device cardholder verification successful",
    "b2.4": "context is conflicting",
    "b2.3": "offline PIN change required",
    "b2.2": "acknowledgement required",
    "b2.1": "on-device cardholder verification required",
    "b3.1": "wallet wants a second tap",
}

_FORM_FACTOR: Final[Bits] = {
    "b1.8-6": "version",
    "b1.5-1=00000": "card",
    "b1.5-1=00001": "mini-card",
    "b1.5-1=00010": "not a card",
    "b1.5-1=00011": "mobile phone",
    "b1.5-1=00100": "wrist-worn device",
    "b2.8": "passcode capable",
    "b2.7": "signature panel",
    "b2.6": "hologram",
    "b2.5": "CVV2",
    "b2.4": "two-way messaging",
    "b2.3": "cloud-based payment credentials",
    "b2.2": "biometric verification capable",
    "b4.4-1=0000": "contactless by ISO 14443",
    "b4.4-1=0001": "not contactless",
}

_PRIORITY: Final[Bits] = {
    "b1.8": "only with the cardholder's confirmation",
    "b1.4-1": "priority",
}

_MOBILE_SUPPORT: Final[Bits] = {
    "b1.2": "on-device cardholder verification required",
    "b1.1": "mobile supported",
}

FIELDS: Final[Mapping[str, Bits]] = {
    "TVR": _TVR,
    "TSI": _TSI,
    "AIP": _AIP,
    "AIP.qvsdc": _AIP_QVSDC,
    "TTQ": _TTQ,
    "CTQ": _CTQ,
    "CAP.visa": _CAP_VISA,
    "CAP.unionpay": _CAP_UNIONPAY,
    "CVR": _CVR,
    "CVR.mchip": _CVR_MCHIP,
    "CVM rule": _CVM_RULE,
    "CVM results": _CVM_RESULTS,
    "CID": _CID,
    "AUC": _USAGE_CONTROL,
    "FFI": _FORM_FACTOR,
    "87": _PRIORITY,
    "9F33": _TERMINAL_CAPABILITIES,
    "9F1D": _RISK_MANAGEMENT,
    "9F5D": _CAPABILITIES_INFORMATION,
    "9F7E": _MOBILE_SUPPORT,
    "DF4B": _CARDHOLDER_INTERACTION,
    "DF8117": _CARD_INPUT,
    "DF8118": _CVM_CAPABILITY,
    "DF8119": _CVM_CAPABILITY,
    "DF811B": _KERNEL_CONFIGURATION,
    "DF811F": _SECURITY_CAPABILITY,
    **CODES,
}
"""Field -> the part that a key names -> its words. "CVR" is Visa's and UnionPay's, as 9F10 carries it: the
length byte first. "AIP.qvsdc" is the AIP as kernels 3 and 7 read it; "CVM rule" is two bytes of 8E.

Source: EMV 4.4 Book 3 Annex C; Book C-2 Annex A; Book C-3 Annex A
"""
