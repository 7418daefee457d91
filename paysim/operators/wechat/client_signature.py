"""What a merchant's page, mini program or app gives to WeChat: signed by the merchant, checked by the client.

The same key as for requests, another string: four lines, of which the last differs between page and app.

Source: WeChat Pay merchant/4012365339 (JSAPI, mini program), 4012365340 (app)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from paysim.core.errors import DecodeError, UsageError
from paysim.crypto import mismatch
from paysim.crypto.canonical import WECHAT_APP, WECHAT_JSAPI
from paysim.crypto.signature import from_text, to_text

from .keys import MerchantKeys
from .platform_signature import fits

__all__ = ["PayKind", "check_pay_sign", "pay_sign"]

PayKind = Literal["jsapi", "mini_program", "app"]

_SECONDS: Final = re.compile(r"[0-9]{1,19}")
_PACKAGE: Final = "prepay_id="
_APP_PACKAGE: Final = "Sign=WXPay"

# fmt: off
_PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    "jsapi": ("appId", "timeStamp", "nonceStr", "package", "signType", "paySign"),
    "mini_program": ("timeStamp", "nonceStr", "package", "signType", "paySign"),
    "app": ("appId", "partnerId", "prepayId", "packageValue", "nonceStr", "timeStamp", "sign"),
}
# fmt: on
"""Kind -> the names of the client's parameters.

Source: WeChat Pay merchant/4012791857 (JSAPI), 4012791898 (mini program), 4013070351 (app); facts 3
"""


def pay_sign(
    keys: MerchantKeys, kind: PayKind, appid: str, timestamp: int | str, nonce: str, prepay_id: str
) -> dict[str, str]:
    """The parameters that a merchant's server hands to its page, mini program or app, signed.

    All are text, the timestamp in seconds as well. Raises UsageError where the sandbox does not hold the
    merchant's private key.

    Source: WeChat Pay merchant/4012365339 (JSAPI, mini program), 4012365340 (app)
    """
    names = _names(kind)
    rule, package = (WECHAT_APP, prepay_id) if kind == "app" else (WECHAT_JSAPI, _PACKAGE + prepay_id)
    sign = to_text(keys.signing().sign(rule.string(appid, str(timestamp), nonce, package)))
    values = {
        "appId": appid,
        "partnerId": keys.mchid,
        "prepayId": prepay_id,
        "packageValue": _APP_PACKAGE,
        "package": package,
        "timeStamp": str(timestamp),
        "nonceStr": nonce,
        "signType": "RSA",
        "paySign": sign,
        "sign": sign,
    }
    return {name: values[name] for name in names}


def check_pay_sign(
    keys: MerchantKeys, kind: PayKind, parameters: Mapping[str, Any], *, appid: str = ""
) -> str:
    """Why the client's parameters are wrong, "" where they are right: signed by a certificate in force.

    `appid` is whose page or app it is: a mini program does not pass it. The time is not judged.

    Assumed: certificates that are revoked or replaced do not count; expired ones do
    """
    given = {"appId": appid, **parameters} if appid else dict(parameters)
    names = dict.fromkeys(("appId", *_names(kind)))
    lacking = [name for name in names if given.get(name) in (None, "")]
    if lacking:
        return f"the parameters lack {', '.join(lacking)}"
    odd = next((name for name in names if not isinstance(given[name], str)), "")
    if odd:
        return f"{odd} is text, not {type(given[odd]).__name__}"
    return _why_form(keys, kind, given) or _why_pay_sign(keys, kind, given)


def _names(kind: str) -> tuple[str, ...]:
    if kind not in _PARAMETERS:
        raise UsageError(f"a client is one of {', '.join(_PARAMETERS)}, not {kind!r}")
    return _PARAMETERS[kind]


def _why_form(keys: MerchantKeys, kind: PayKind, given: Mapping[str, str]) -> str:
    if not _SECONDS.fullmatch(given["timeStamp"]):
        return f"timeStamp is a number of seconds, not {given['timeStamp']!r}"
    if kind == "app":
        if given["partnerId"] != keys.mchid:
            return f"partnerId is {given['partnerId']!r}, the order is {keys.mchid}'s"
        if given["packageValue"] != _APP_PACKAGE:
            return f"packageValue is {_APP_PACKAGE!r}, not {given['packageValue']!r}"
        return ""
    if given["signType"] != "RSA":
        return f"signType is RSA, not {given['signType']!r}: MD5 and HMAC-SHA256 are APIv2's"
    if not given["package"].startswith(_PACKAGE):
        return f"package is {_PACKAGE}...: {given['package']!r} does not begin so"
    return ""


def _why_pay_sign(keys: MerchantKeys, kind: PayKind, given: Mapping[str, str]) -> str:
    rule, last, sign = WECHAT_JSAPI, "package", "paySign"
    if kind == "app":
        rule, last, sign = WECHAT_APP, "prepayId", "sign"
    values = (given["appId"], given["timeStamp"], given["nonceStr"], given[last])
    certificates = {one.serial: one.verifier for one in keys.certificates if one.status == "valid"}
    if not certificates:
        return f"the merchant {keys.mchid} has no certificate in force"
    try:
        message, signature = rule.string(*values), from_text(given[sign])
    except (UsageError, DecodeError) as error:
        return f"{sign} cannot be checked: {error}"
    if any(fits(one, message, signature) for one in certificates.values()):
        return ""
    if re.fullmatch(r"[0-9A-Fa-f]{32}", given[sign]):
        return f"{sign} is an MD5, as APIv2 has it; APIv3 signs by RSA with the merchant's key"
    newest, *older = certificates.items()
    return str(mismatch.explain(newest[1], rule, values, signature, serials=dict(older)))
