"""Outcomes: what an operator answers. A decline is an answer, not an exception."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

__all__ = ["APPROVED", "NEVER_ARRIVED", "NO_ANSWER", "Outcome", "OutcomeKind", "Reason"]


class OutcomeKind(StrEnum):
    """The four answers that a payment can have."""

    APPROVED = "approved"
    DECLINED = "declined"
    TRY_AGAIN = "try_again"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why an operator declines or refuses; the words are the same on every channel."""

    ALREADY_PAID = "already_paid"
    ALTERED_AMOUNT = "altered_amount"
    ALTERED_CODE = "altered_code"
    CARD_BLOCKED = "card_blocked"
    CARD_DECLINED = "card_declined"
    CODE_USED = "code_used"
    CREDIT_REFUSED = "credit_refused"
    CURRENCY_MISMATCH = "currency_mismatch"
    EXPIRED = "expired"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    KEY_REUSED = "key_reused"
    LIMIT_EXCEEDED = "limit_exceeded"
    MALFORMED = "malformed"
    MERCHANT_FUNDS = "merchant_funds"
    NO_SUCH_ACCOUNT = "no_such_account"
    NOT_FOUND = "not_found"
    OVER_CAPTURE = "over_capture"
    OVER_REFUND = "over_refund"
    PIN_BLOCKED = "pin_blocked"
    PIN_REQUIRED = "pin_required"
    REFUSED_BY_PAYER = "refused_by_payer"
    REMOTE_COLLECTION = "remote_collection"
    REPLACED_CODE = "replaced_code"
    REPLAYED = "replayed"
    SETTLED = "settled"
    SYSTEM_ERROR = "system_error"
    TOO_LATE = "too_late"
    WRONG_CHANNEL = "wrong_channel"
    WRONG_COUNTER = "wrong_counter"
    WRONG_CRYPTOGRAM = "wrong_cryptogram"
    WRONG_PAYER = "wrong_payer"
    WRONG_PIN = "wrong_pin"
    WRONG_SHOP = "wrong_shop"
    WRONG_SIGNATURE = "wrong_signature"
    WRONG_STATE = "wrong_state"


PASSING: Final = frozenset({Reason.MERCHANT_FUNDS, Reason.NOT_FOUND, Reason.SYSTEM_ERROR})
"""Reasons that may pass: the same operation may be asked again with the same id."""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An answer: its kind, the reason of a decline, the channel's raw code, and text for people.

    `code` is what the channel's own protocol says (a wallet's error code, an ISO 8583 response code); for
    the sandbox's own wallet it is the reason, or the number of the market rule that a limit comes from.
    """

    kind: OutcomeKind
    reason: Reason | None = None
    code: str = ""
    text: str = ""

    @classmethod
    def declined(cls, reason: Reason, text: str = "", code: str = "") -> Outcome:
        """A decline for `reason`; `code` is the reason's own word unless the channel has another."""
        return cls(OutcomeKind.DECLINED, reason, code or reason.value, text)

    @property
    def approved(self) -> bool:
        """Whether the answer is yes."""
        return self.kind is OutcomeKind.APPROVED

    def __str__(self) -> str:
        words = [
            self.kind.value,
            self.reason.value if self.reason else "",
            f"({self.text})" if self.text else "",
        ]
        return " ".join(word for word in words if word)


APPROVED: Final = Outcome(OutcomeKind.APPROVED)
NEVER_ARRIVED: Final = Outcome(
    OutcomeKind.TRY_AGAIN, Reason.NOT_FOUND, text="the operator never got it; ask again"
)
NO_ANSWER: Final = Outcome(OutcomeKind.UNKNOWN, text="no answer; a query settles it")
