"""Why an issuer refuses a payment: `REFUSALS`, each with its reason and its response code.

Source: ISO 8583 field 39
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from paysim.core.outcome import Outcome, OutcomeKind, Reason

__all__ = ["REFUSALS", "Refusal", "refuse"]


class Refusal(NamedTuple):
    """Why a payment is refused: reason, response code, words; `again`: it may come again with a PIN."""

    reason: Reason
    code: str
    words: str
    again: bool = False

    def outcome(self) -> Outcome:
        """The outcome that says so."""
        if self.again:
            return Outcome(OutcomeKind.TRY_AGAIN, self.reason, self.code, self.words)
        return Outcome.declined(self.reason, self.words, self.code)


REFUSALS: Final[Mapping[str, Refusal]] = {
    "malformed": Refusal(Reason.MALFORMED, "30", "the message is not as it should be"),
    "unknown card": Refusal(Reason.NO_SUCH_ACCOUNT, "14", "there is no such card"),
    "lost": Refusal(Reason.CARD_BLOCKED, "41", "the card was reported lost"),
    "stolen": Refusal(Reason.CARD_BLOCKED, "43", "the card was reported stolen"),
    "blocked": Refusal(Reason.CARD_BLOCKED, "62", "the issuer has blocked the card"),
    "expired": Refusal(Reason.EXPIRED, "54", "the card has expired"),
    "another expiry": Refusal(Reason.EXPIRED, "54", "the card says another expiry date than the file"),
    "unknown key": Refusal(Reason.WRONG_CRYPTOGRAM, "63", "the card has no such cryptogram version or key"),
    "replayed": Refusal(Reason.REPLAYED, "94", "a payment with this counter was presented before"),
    "old counter": Refusal(Reason.WRONG_COUNTER, "59", "the counter is behind the last one"),
    "far counter": Refusal(Reason.WRONG_COUNTER, "59", "the counter is too far ahead of the last one"),
    "cryptogram": Refusal(Reason.WRONG_CRYPTOGRAM, "88", "the cryptogram is wrong"),
    "altered results": Refusal(Reason.WRONG_CRYPTOGRAM, "88", "9F27 and 9F10 speak of two cryptograms"),
    "altered balance": Refusal(Reason.WRONG_CRYPTOGRAM, "88", "the MAC of the balance in 9F10 is wrong"),
    "card declined": Refusal(Reason.CARD_DECLINED, "05", "the card itself declined"),
    "not approved": Refusal(Reason.CARD_DECLINED, "05", "the card did not approve this offline"),
    "card says": Refusal(Reason.CARD_DECLINED, "05", "the card says"),
    "amount": Refusal(Reason.ALTERED_AMOUNT, "13", "the card signed another amount than is asked for"),
    "currency": Refusal(Reason.CURRENCY_MISMATCH, "12", "the terminal told the card another currency"),
    "type": Refusal(Reason.MALFORMED, "12", "this type of transaction is no payment"),
    "old number": Refusal(Reason.REPLAYED, "59", "the terminal's unpredictable number is not new"),
    "terminal says": Refusal(Reason.CARD_DECLINED, "05", "the terminal says"),
    "limit": Refusal(Reason.LIMIT_EXCEEDED, "61", "above a limit of the card"),
    "no PIN pad": Refusal(Reason.LIMIT_EXCEEDED, "61", "the terminal cannot ask for the PIN"),
    "PIN asked": Refusal(Reason.PIN_REQUIRED, "65", "the PIN, please", again=True),
    "wrong PIN": Refusal(Reason.WRONG_PIN, "55", "the PIN is wrong", again=True),
    "PIN blocked": Refusal(Reason.PIN_BLOCKED, "75", "too many wrong PINs"),
    "PIN block": Refusal(Reason.WRONG_PIN, "81", "the PIN block cannot be read"),
    "money": Refusal(Reason.INSUFFICIENT_FUNDS, "51", "the account has too little money"),
}
"""Source: ISO 8583 field 39 (1987). Assumed: 65 asks for the PIN, 88 and 81 are as Mastercard and Visa list
them, 59 for what looks like fraud."""


def refuse(name: str, *words: str) -> Refusal:
    """The row of REFUSALS, with more words behind its own."""
    row = REFUSALS[name]
    return row._replace(words=": ".join((row.words, *words)))
