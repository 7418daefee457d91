"""The outcomes of kernels 3 and 7, each with its parameters and messages, and the data for the issuer.

Source: EMV Contactless Book A 6; C-3 (outcomes). Assumed: kernel 7 has those of kernel 3; NOT READY beside
the messages of final outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from paysim.codec.bits import bit

from .kernel import Tap
from .outcome import (
    L2,
    Alternate,
    Cvm,
    Error,
    Message,
    OnlineResponse,
    Result,
    Start,
    Status,
    Ui,
    UiStatus,
)

__all__ = [
    "approved",
    "data_record",
    "declined",
    "end_application",
    "online_request",
    "see_phone",
    "select_next",
    "try_another_interface",
]

SEE_PHONE_MS: Final = 1300
"""Hold time of the message and time without field. Source: C-3 outcome of SW 6986 (hold 13, field off 13)"""

RECORD: Final = (
    *(0x9F02, 0x9F03, 0x9F26, 0x82, 0x9F36, 0x5F34, 0x9F7C, 0x9F10, 0x9F39, 0x9F1A, 0x9F33, 0x57),
    *(0x5F2A, 0x9A, 0x9C, 0x9F37, 0x95, 0x9F6E),
)
"""Data for the issuer. Source: public kernel 3 (data record)"""

RECORD_MORE: Final = (0x84, 0x9F27, 0x9F35, 0x9F6C, 0x5F24, 0x5A)
"""Assumed: sent too, for clearing and for the trace."""

RECORD_UNIONPAY: Final = (0x9F63,)
RECORD_UNIONPAY_OFFLINE: Final = (0x9F74,)
"""Assumed: kernel 7 adds them; 9F74 with an offline approval."""


def declined(tap: Tap, step: str, words: str, why: str = "") -> Result:
    """Declined: no CVM, no record (VO3); `why` names an earlier step that decided so."""
    ui = Ui(Message.NOT_AUTHORISED)
    return _ended(tap, step, words, Status.DECLINED, why=why, cvm=Cvm.NONE, ui=ui)


def approved(tap: Tap, step: str, words: str) -> Result:
    """Approved offline, with the data for clearing (VO1)."""
    signs = tap.cvm is Cvm.SIGNATURE
    balance = tap.card.get(0x9F5D, b"") if tap.combination.show_balance else b""
    ui = Ui(
        Message.APPROVED_SIGN if signs else Message.APPROVED, balance=balance, currency=tap.purchase.currency
    )
    return _ended(tap, step, words, Status.APPROVED, cvm=tap.cvm, ui=ui, record=True)


def online_request(tap: Tap, step: str, words: str, why: str = "") -> Result:
    """To the issuer, with its data; with start B where card and reader can do an issuer update (VO2).

    `why` names an earlier step that decided so.
    """
    updates = bit(tap.ttq, "b3.8") and bit(tap.ctq, "b2.7")
    return _ended(
        tap,
        step,
        words + (", then the issuer's data to the card" if updates else ""),
        Status.ONLINE_REQUEST,
        why=why,
        cvm=tap.cvm,
        ui=Ui(Message.AUTHORISING),
        record=True,
        start=Start.B if updates else Start.NONE,
        restart=Ui(Message.PRESENT_AGAIN, UiStatus.READY_TO_READ) if updates else None,
        online=OnlineResponse.EMV_DATA if updates else OnlineResponse.NONE,
        field_off_ms=0 if updates else None,
    )


def end_application(tap: Tap, step: str, words: str, l2: L2 = L2.PARSING, sw: int = 0) -> Result:
    """The card cannot be processed: another card or interface, please (V6)."""
    return _ended(
        tap,
        step,
        words,
        Status.END_APPLICATION,
        ui=Ui(Message.TRY_ANOTHER_CARD, UiStatus.PROCESSING_ERROR),
        error=Error(l2=l2, sw=sw, message=Message.TRY_ANOTHER_CARD),
    )


def select_next(tap: Tap, step: str, words: str, l2: L2 = L2.STATUS_BYTES, sw: int = 0) -> Result:
    """The next application of the card, without a message (V4)."""
    return _ended(tap, step, words, Status.SELECT_NEXT, start=Start.C, error=Error(l2=l2, sw=sw))


def try_another_interface(tap: Tap, step: str, words: str, message: Message, sw: int = 0) -> Result:
    """The card wants its contacts (V3, V16, V18)."""
    contact = message is Message.INSERT_CARD
    return _ended(
        tap,
        step,
        words,
        Status.TRY_ANOTHER_INTERFACE,
        ui=Ui(message, UiStatus.PROCESSING_ERROR),
        alternate=Alternate.CONTACT if contact else Alternate.NONE,
        error=Error(l2=L2.STATUS_BYTES, sw=sw, message=message) if sw else Error(message=message),
    )


def see_phone(tap: Tap, step: str, words: str, sw: int) -> Result:
    """The phone wants its owner first, then a second tap (V5)."""
    return _ended(
        tap,
        step,
        words,
        Status.TRY_AGAIN,
        start=Start.B,
        ui=Ui(Message.SEE_PHONE, UiStatus.PROCESSING_ERROR, hold_ms=SEE_PHONE_MS),
        restart=Ui(Message.SEE_PHONE, UiStatus.READY_TO_READ),
        field_off_ms=SEE_PHONE_MS,
        error=Error(l2=L2.STATUS_BYTES, sw=sw, message=Message.SEE_PHONE),
    )


def _ended(
    tap: Tap,
    step: str,
    words: str,
    status: Status,
    *,
    why: str = "",
    cvm: Cvm = Cvm.NA,
    ui: Ui | None = None,
    record: bool = False,
    start: Start = Start.NONE,
    restart: Ui | None = None,
    online: OnlineResponse = OnlineResponse.NONE,
    field_off_ms: int | None = None,
    alternate: Alternate = Alternate.NONE,
    error: Error = Error(),  # noqa: B008
) -> Result:
    tap.decide(step, words)
    return Result(
        status,
        why or f"{step}: {words}",
        start=start,
        online_response=online,
        cvm=cvm,
        ui=ui,
        ui_on_restart=restart,
        data_record=data_record(tap, status) if record else None,
        discretionary={0xDF8115: error.encode()} if error.message or error.sw or error.l2 else {},
        receipt=cvm is Cvm.SIGNATURE,
        alternate_interface=alternate,
        field_off_ms=field_off_ms,
        error=error,
        adf_name=tap.adf_name,
        kernel=tap.combination.kernel,
    )


def data_record(tap: Tap, status: Status) -> Mapping[int, bytes]:
    """What the issuer gets, tag -> value; the TVR is zeros, the low half of byte 4 of 9F6E is cleared.

    Source: public kernel 3. Assumed: 9F03 always (as the card signed it), and RECORD_MORE.
    """
    tags: tuple[int, ...] = RECORD + RECORD_MORE
    if tap.combination.kernel == 7:
        tags += RECORD_UNIONPAY
        tags += RECORD_UNIONPAY_OFFLINE if status is Status.APPROVED else ()
    terminal, card = tap.terminal, tap.card
    found = {tag: terminal.get(tag, card.get(tag)) for tag in tags}
    record = {tag: value for tag, value in found.items() if value is not None}
    record.setdefault(0x9F03, bytes(6))
    if len(record.get(0x9F6E, b"")) >= 4:
        form = record[0x9F6E]
        record[0x9F6E] = form[:3] + bytes((form[3] & 0xF0,)) + form[4:]
    return record
