"""The issuer's host: authorizes payments by card, and takes offline approvals at clearing.

Pure: it is given the card file and the balances, has no clock and draws nothing, and answers with the facts
that follow; whoever keeps the journal writes them and applies them to the file (`CardFile.apply`). It raises
nothing for what a card or a terminal may send: every request has its `Answer`.

Source: facts 3.6; EMV 4.4 Book 2 8.2 (answers), 9 (scripts)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from paysim.codec import tlv
from paysim.codec.bits import explain
from paysim.core.errors import DecodeError
from paysim.core.event import Event
from paysim.core.outcome import Outcome, OutcomeKind
from paysim.crypto.cryptogram import CardKey, ElementError, Elements
from paysim.crypto.inputs import InputError

from .card_file import CardFile, CardRecord, status_set
from .cards import CardStatus
from .checks import CLEARING, ONLINE, PROOF, Case, Check, digest
from .messages import Answer, AuthorizationRequest, ClearingRecord, Issuer, Passed
from .no_pin import Cover, cover
from .policy import PinKeys, Policy
from .refusals import Refusal, refuse

__all__ = [
    "Answer",
    "AuthorizationRequest",
    "ClearingRecord",
    "Host",
    "Issuer",
    "PinKeys",
    "Policy",
    "authentication_data",
]

APPROVED: Final = Outcome(OutcomeKind.APPROVED, code="00")
"""Source: ISO 8583 field 39"""

_POLICY: Final = Policy()
_NO_KEYS: Final = PinKeys()
_NOTHING: Final[tuple[bytes, ...]] = ()
_NO_IDS: Final[tuple[str, ...]] = ()
_ISSUER_SCRIPT: Final = 0x72
"""To be executed after the final decision. Source: EMV 4.4 Book 3 10.10"""


class Host:
    """The issuer of the cards in its file. `tally` gives a balance or a counter by its name."""

    __slots__ = ("cards", "pin_keys", "policy", "tally")

    def __init__(
        self,
        cards: CardFile,
        tally: Callable[[str], int],
        pin_keys: PinKeys = _NO_KEYS,
        policy: Policy = _POLICY,
    ) -> None:
        self.cards = cards
        self.tally = tally
        self.pin_keys = pin_keys
        self.policy = policy

    def authorize(self, request: AuthorizationRequest) -> Answer:
        """The answer to a payment that goes online: outcome, response code, data for the card, facts.

        TRY_AGAIN asks for the PIN: the same request may come once more, with a PIN block.
        """
        case, outcome = self._examined(request, ONLINE)
        record = case.record
        if case.trace[-1].step == "status":
            any(_tried(check, case) for check in PROOF)  # up to the first that refuses
        if record is None:
            return Answer(outcome, outcome.code.encode(), trace=tuple(case.trace))
        arc = outcome.code.encode()
        facts: tuple[Event, ...] = ()
        data_91, scripts, updates = b"", _NOTHING, _NO_IDS
        if case.proven and case.key is not None:
            facts = (_presented(case, request, outcome),)
            data_91 = authentication_data(case.key, case.elements, arc, outcome.approved, self.policy)
            scripts, updates = _scripts(record, case)
        return Answer(
            outcome,
            arc,
            data_91,
            scripts,
            token=record.card.token,
            facts=facts,
            counts=tuple(case.counts) if outcome.approved else (),
            updates=updates,
            trace=tuple(case.trace),
        )

    def clear(self, record: ClearingRecord) -> Answer:
        """The answer to an offline approval (TC) at clearing: paid, or refused for a reason.

        What is refused leaves no fact: the right record may still come.
        """
        case, outcome = self._examined(record, CLEARING)
        token = case.record.card.token if case.record else ""
        arc, trace = outcome.code.encode(), tuple(case.trace)
        if not outcome.approved:
            return Answer(outcome, arc, token=token, trace=trace)
        data = {
            "atc": case.atc,
            "approved_ms": record.approved_ms,
            "currency": record.currency,
            "pin": case.pin,
        }
        fact = Event("cleared", record.at_ms, record.operation, record.amount_minor, data=data)
        return Answer(outcome, arc, token=token, facts=(fact,), trace=trace)

    def report(
        self,
        token: str,
        status: CardStatus,
        at_ms: int,
        facts: Sequence[Event],
        returned_minor: Callable[[str], int] = lambda _: 0,
    ) -> tuple[Event, Cover]:
        """The fact that a card is lost or stolen, and what its holder is given back for the time before.

        `facts` are the card's; `returned_minor` tells what of a payment came back already. Source: R07
        """
        card = self.cards.record(token).card
        return status_set(status, at_ms), cover(card.holder, facts, at_ms, self.tally, returned_minor)

    def _examined(
        self, request: AuthorizationRequest | ClearingRecord, checks: Sequence[Check]
    ) -> tuple[Case, Outcome]:
        case = Case(request, self.cards, self.tally, self.policy, self.pin_keys)
        for check in checks:
            refusal = _tried(check, case)
            if refusal is not None:
                case.trace.append(Passed(check.step, f"{refusal.code}: {refusal.words}"))
                return case, refusal.outcome()
            found = _FOUND.get(check.step)
            case.trace.append(Passed(check.step, found(case)) if found else _PASSED[check.step])
        return case, APPROVED


def _tried(check: Check, case: Case) -> Refusal | None:
    """What a check says; fields that are missing or mean nothing are a refusal, too."""
    try:
        return check.test(case)
    except (DecodeError, ElementError, InputError) as error:
        return refuse("malformed", str(error))


@lru_cache(maxsize=256)
def _explained(field: str, results: bytes) -> str:
    """The card's results in words; most cards say the same few things."""
    return ", ".join(explain(field, results))


_PASSED: Final = {check.step: Passed(check.step, "passed") for check in ONLINE}
_FOUND: Final[Mapping[str, Callable[[Case], str]]] = {
    "card": lambda case: str(case.known.card),
    "keys": lambda case: f"{case.reading.method}, key {case.reading.key_index}",
    "counter": lambda case: f"{case.atc}, again, with the PIN" if case.again else str(case.atc),
    "results": lambda case: _explained(case.reading.field, case.reading.results),
    "PIN": lambda case: case.pin,
}
"""Check -> what it has found, where that is worth a word."""


def _presented(case: Case, request: AuthorizationRequest, outcome: Outcome) -> Event:
    data: dict[str, object] = {
        "atc": case.atc,
        "un": case.fields[0x9F37].hex(),
        "pin": case.pin,
        "currency": request.currency,
    }
    if outcome.kind is OutcomeKind.TRY_AGAIN:
        data["asked"] = digest(case)
    refused = None if outcome.approved else outcome
    return Event("presented", request.at_ms, request.operation, request.amount_minor, refused, data=data)


def authentication_data(
    key: CardKey, elements: Elements, arc: bytes, approved: bool, policy: Policy = _POLICY
) -> bytes:
    """The issuer authentication data (91) for a card, by the method of its cryptogram; or nothing.

    `elements` hold the card's cryptogram (9F26) and what the answer's key is made from; `arc` is the response
    code, 2 bytes. Method 1: ARPC 8 and the code (M/Chip: its own code) 2; method 2: ARPC 4, status update 4.

    Source: EMV 4.4 Book 2 8.2; facts 3.6 (91)
    """
    rule = key.method.arpc
    if rule is None:
        return b""
    if rule.method == 2:
        code = policy.csu_approved if approved else policy.csu_declined
    elif key.name.startswith("mchip"):
        code = policy.mchip_approved if approved else policy.mchip_declined
    else:
        code = arc
    return key.arpc(elements, elements["9F26"], code) + code


def _scripts(record: CardRecord, case: Case) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """The updates that wait for a card, each as a template 72, and their ids.

    Source: EMV 4.4 Book 3 10.10 (72, 9F18, 86); Book 2 9.2 (MAC)
    """
    read = case.reading
    if not record.updates or not record.card.keys[read.key_index].script:
        return _NOTHING, _NO_IDS
    key = record.card.key(read.method, read.key_index, script=True)
    made = [
        _script(key, case.elements, number, update.command, update.data)
        for number, update in enumerate(record.updates.values(), start=1)
    ]
    return tuple(made), tuple(record.updates)


def _script(key: CardKey, elements: Mapping[str, bytes], number: int, command: bytes, data: bytes) -> bytes:
    length = key.method.script.mac_length
    header = command + bytes((len(data) + length,))
    whole = header + data + key.script_mac(elements, header, data)
    return tlv.encode(((_ISSUER_SCRIPT, [(0x9F18, number.to_bytes(4)), (0x86, whole)]),))
