"""WeChat Pay's errors: codes, texts in Chinese and English, and the answer that carries them.

The same code has not the same HTTP status everywhere: an endpoint's own statuses stand in its row of
`service.ENDPOINTS`, what holds for the others in CODES.
Source: WeChat Pay merchant documentation, "common error codes" and each interface's table
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from paysim.core.errors import ProtocolError
from paysim.core.outcome import Outcome, Reason

__all__ = ["CODES", "OLD_CODES", "Code", "WeChatError", "invalid", "param_error", "refused"]


class Code(NamedTuple):
    """An error code: its usual HTTP status, and what it says in Chinese and English."""

    status: int
    text: str
    english: str


# fmt: off
CODES: Final[dict[str, Code]] = {
    "PARAM_ERROR": Code(400, "参数错误", "Parameter error"),
    "INVALID_REQUEST": Code(400, "请求参数不符合要求", "Invalid request"),
    "APPID_MCHID_NOT_MATCH": Code(400, "AppID和mch_id不匹配", "The appid does not belong to the mchid"),
    "MCH_NOT_EXISTS": Code(400, "商户号不存在", "The merchant does not exist"),
    "ORDER_CLOSED": Code(400, "该订单已关闭", "The order is closed"),
    "ORDER_PAID": Code(400, "该订单已支付", "The order is paid"),
    "NO_STATEMENT_EXIST": Code(400, "账单文件不存在", "There is no bill for this day"),
    "STATEMENT_CREATING": Code(400, "账单生成中", "The bill is being made"),
    "SIGN_ERROR": Code(401, "签名错误", "Wrong signature"),
    "NO_AUTH": Code(403, "商户无权限", "The merchant has no permission"),
    "OUT_TRADE_NO_USED": Code(403, "商户订单号重复", "The out_trade_no was used before"),
    "RULE_LIMIT": Code(403, "业务规则限制", "Refused by a business rule"),
    "TRADE_ERROR": Code(403, "交易错误", "Trade error"),
    "NOT_ENOUGH": Code(403, "余额不足", "The merchant's balance is too low"),
    "USER_ACCOUNT_ABNORMAL": Code(403, "退款请求失败", "The payer's account is abnormal"),
    "ORDER_NOT_EXIST": Code(404, "订单不存在", "The order does not exist"),
    "RESOURCE_NOT_EXISTS": Code(404, "查询的资源不存在", "The resource does not exist"),
    "FREQUENCY_LIMITED": Code(429, "频率超限", "Too many requests"),
    "SYSTEM_ERROR": Code(500, "系统错误", "System error"),
    "SERVICE_UNAVAILABLE": Code(503, "服务不可用", "Service unavailable"),
}
"""Code -> status and texts. Assumed: the English texts; the real service's are not published."""

OLD_CODES: Final[dict[str, str]] = {
    "SYSTEMERROR": "SYSTEM_ERROR",
    "NOAUTH": "NO_AUTH",
    "NOTENOUGH": "NOT_ENOUGH",
    "ORDERNOTEXIST": "ORDER_NOT_EXIST",
    "RULELIMIT": "RULE_LIMIT",
    "RATELIMIT_EXCEEDED": "FREQUENCY_LIMITED",
    "BANKERROR": "SYSTEM_ERROR",
    "ACCOUNTERROR": "USER_ACCOUNT_ABNORMAL",
    "OPENID_MISMATCH": "PARAM_ERROR",
    "INVALID_TRANSACTIONID": "RESOURCE_NOT_EXISTS",
}
"""How older pages spell a code -> how it is spelt now. Source: facts/wechat 1.7; Assumed: the last four"""

_REASONS: Final[dict[str, Reason]] = {
    "ORDER_PAID": Reason.ALREADY_PAID,
    "ORDER_NOT_EXIST": Reason.NOT_FOUND,
    "RESOURCE_NOT_EXISTS": Reason.NOT_FOUND,
    "NOT_ENOUGH": Reason.MERCHANT_FUNDS,
    "FREQUENCY_LIMITED": Reason.SYSTEM_ERROR,
    "SYSTEM_ERROR": Reason.SYSTEM_ERROR,
    "SERVICE_UNAVAILABLE": Reason.SYSTEM_ERROR,
    "OUT_TRADE_NO_USED": Reason.KEY_REUSED,
}
"""Code -> the reason that a shop inside the sandbox is given; WRONG_STATE for the rest."""
# fmt: on


class WeChatError(ProtocolError):
    """An answer that is no success: raised inside the machine, made an HTTP answer by `service`.

    `status` 0 leaves the HTTP status to the endpoint; `text` and `english` are the message in either
    language, `detail` the block for whoever wrote the client, `why` plain words for the person who runs the
    sandbox, and `outcome` the same for a shop inside it.
    """

    def __init__(
        self,
        code: str,
        text: str = "",
        english: str = "",
        *,
        status: int = 0,
        detail: Mapping[str, Any] | None = None,
        why: str = "",
        outcome: Outcome | None = None,
    ) -> None:
        row = CODES[code]
        self.code = code
        self.status = status
        self.text = text or row.text
        self.english = english or text or row.english
        self.detail = detail
        self.why = why or self.english
        reason = _REASONS.get(code, Reason.WRONG_STATE)
        self.outcome = outcome or Outcome.declined(reason, self.english, code)
        super().__init__(f"{code}: {self.english}")


def param_error(
    field: str, value: Any, issue: str, location: str = "body", *, english: str = ""
) -> WeChatError:
    """PARAM_ERROR for one field: a JSON pointer in the body, or a name in the query or the path.

    `location` is body, query or url; `issue` says what is wrong, in Chinese as the real service does.
    """
    detail = {"field": field, "value": value, "issue": issue, "location": location}
    name = field.rpartition("/")[2] or field
    said = english or f"parameter {name} is wrong: {issue}"
    return WeChatError("PARAM_ERROR", f"参数错误：{name} {issue}", said, detail=detail)


def invalid(text: str, english: str, reason: Reason) -> WeChatError:
    """INVALID_REQUEST by a rule of the order; `reason` is what a shop inside the sandbox is given."""
    outcome = Outcome.declined(reason, english, "INVALID_REQUEST")
    return WeChatError("INVALID_REQUEST", text, english, outcome=outcome)


def refused(code: str, text: str, english: str, *, why: str = "", status: int = 0) -> WeChatError:
    """A refusal by a rule of the order, with its own words in both languages."""
    return WeChatError(code, text, english, why=why, status=status)
