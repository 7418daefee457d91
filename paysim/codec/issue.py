"""What is wrong with a code, as a value: a code, a place and a sentence.

A reader of codes reports issues instead of raising, so one look names everything that is wrong.
"""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple

__all__ = ["TEXTS", "Issue", "describe", "issue"]


class Issue(NamedTuple):
    """One deviation from a rule.

    `path` names the object (`54`, `62.01`, `61.4F`; empty for the whole); `offset` counts characters of a
    merchant's code or bytes of a consumer's TLV, up to the first character of the object's ID.
    """

    code: str
    path: str
    offset: int
    text: str


TEXTS: Final[dict[str, str]] = {
    "TRUNCATED": "an object is longer than what is left of the code",
    "TEMPLATE_xx_TRUNCATED": "an object inside template {xx} is longer than what is left of the template",
    "BAD_ID": "the ID is not valid (a merchant's code has two digits here)",
    "BAD_LENGTH": "the length is not valid (a merchant's code has two digits here, 01 to 99)",
    "ZERO_LENGTH": "the length is 00; an object without a value is left out instead",
    "DUPLICATE_ID": "this object occurs more often than it may",
    "DUPLICATE_ID_IN_xx": "this object occurs more than once in template {xx}",
    "FIRST_NOT_00": "the first object is not 00, the payload format indicator",
    "LAST_NOT_63": "an object follows 63, the CRC, which must be the last",
    "PFI_VALUE": "the payload format indicator is not the known one",
    "POI_VALUE": "the point of initiation is neither 11 (static) nor 12 (dynamic)",
    "CRC_MISSING": "there is no object 63, the CRC",
    "CRC_FORMAT": "the CRC is not four hexadecimal digits",
    "CRC_MISMATCH": "the CRC is wrong: the code was damaged or changed",
    "CRC_LOWERCASE": "the CRC is right, but written with lower-case letters",
    "MISSING_xx": "the mandatory object {xx} is absent",
    "FORMAT_xx": "a value of object {xx} has characters outside its character set",
    "LENGTH_xx": "the value of object {xx} is longer or shorter than it may be",
    "LENGTH_xx_yy": "the value of object {yy} in template {xx} is longer or shorter than it may be",
    "NO_MERCHANT_ACCOUNT": "no merchant account: none of the objects 02 to 51 is present",
    "NO_GUID_xx": "a template {xx} has no object 00 that names its owner",
    "GUID_LENGTH_xx": "object 00 of template {xx}, its owner's name, is longer than 32 characters",
    "AMOUNT_FORMAT": "the amount is not digits with at most one decimal point",
    "AMOUNT_ZERO": "the amount is zero; an amount that the payer types is left out instead",
    "TIP_VALUE": "the tip indicator is not 01, 02 or 03",
    "FEE_56_MISSING": "the tip indicator promises a fixed fee (02), but object 56 is absent",
    "FEE_56_UNEXPECTED": "a fixed fee is present without tip indicator 02",
    "FEE_56_ZERO": "the fixed fee is zero",
    "FEE_57_MISSING": "the tip indicator promises a percentage (03), but object 57 is absent",
    "FEE_57_UNEXPECTED": "a percentage fee is present without tip indicator 03",
    "FEE_57_FORMAT": "the percentage is not digits with at most two decimals",
    "FEE_57_RANGE": "the percentage is outside 00.01 to 99.99",
    "LANG_00_MISSING": "the language template does not say its language",
    "LANG_01_MISSING": "the language template does not give the merchant's name",
    "CONSUMER_DATA_REQUEST": "the consumer data request is not A, M and E, each at most once",
    "BAD_BASE64": "this is not base64",
    "NOT_EMV_CPM": "this does not begin with object 85, the payload format indicator",
    "NO_APPLICATION_TEMPLATE": "there is no application template, object 61",
    "NO_ADF_NAME": "an application template has no application identifier, object 4F",
    "ADF_LENGTH": "the application identifier is not 5 to 16 bytes long",
    "NO_PAN_OR_TRACK2": "neither the PAN (5A) nor track 2 (57) is present",
    "DUPLICATE_IN_61_AND_62": "an object stands both in an application template and in the common template",
}
"""Every issue code and its sentence; `xx` is a root object or template, `yy` an object inside it."""

_ID: Final = re.compile(r"_([0-9][0-9A-F]+)")


@functools.lru_cache(maxsize=1024)
def describe(code: str) -> str:
    """The sentence for an issue code.

    >>> describe("LENGTH_62_01")
    'the value of object 01 in template 62 is longer or shorter than it may be'
    >>> describe("FEE_56_ZERO")
    'the fixed fee is zero'
    """
    if code in TEXTS:
        return TEXTS[code]
    names = _ID.findall(code)
    row = code
    for name, placeholder in zip(names, ("xx", "yy"), strict=False):
        row = row.replace(f"_{name}", f"_{placeholder}", 1)
    return TEXTS[row].format(**dict(zip(("xx", "yy"), names, strict=False)))


def issue(code: str, path: str, offset: int) -> Issue:
    """The issue of this code at this place, with its sentence.

    >>> issue("MISSING_52", "52", 120).text
    'the mandatory object 52 is absent'
    """
    return Issue(code, path, offset, describe(code))
