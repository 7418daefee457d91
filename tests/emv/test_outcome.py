"""Outcomes and their codes."""

from __future__ import annotations

import pytest

from paysim.emv.outcome import (
    L1,
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

AGAIN = Ui(Message.PRESENT_AGAIN, UiStatus.READY_TO_READ)

PARAMETERS = [
    (Result(Status.APPROVED, cvm=Cvm.NONE, ui=Ui(Message.APPROVED), data_record={}), "10F0F000A0F0FF00"),
    (Result(Status.APPROVED, cvm=Cvm.SIGNATURE, receipt=True), "10F0F01008F0FF00"),
    (Result(Status.DECLINED, cvm=Cvm.NONE), "20F0F00000F0FF00"),
    (
        Result(
            Status.ONLINE_REQUEST,
            start=Start.B,
            online_response=OnlineResponse.EMV_DATA,
            cvm=Cvm.ONLINE_PIN,
            ui_on_restart=AGAIN,
            field_off_ms=0,
        ),
        "3010002040F00000",
    ),
    (Result(Status.END_APPLICATION, discretionary={0xDF8115: b""}), "40F0F0F010F0FF00"),
    (Result(Status.SELECT_NEXT, start=Start.C), "5020F0F000F0FF00"),
    (Result(Status.TRY_ANOTHER_INTERFACE, alternate_interface=Alternate.CONTACT), "60F0F0F00010FF00"),
    (Result(Status.TRY_AGAIN, start=Start.B, field_off_ms=1300), "7010F0F000F00D00"),
    (
        Result(Status.TRY_AGAIN, start=Start.D, field_off_ms=10**9, removal_timeout_ms=10**9),
        "7030F0F000F0FEFF",
    ),
]


@pytest.mark.parametrize(("result", "wanted"), PARAMETERS)
def test_outcome_parameters(result: Result, wanted: str) -> None:
    assert result.encode()[0xDF8129].hex().upper() == wanted


def test_error_indication() -> None:
    error = Error(L1.TIMEOUT, L2.CARD_DATA_MISSING, sw=0x6A83, message=Message.TRY_ANOTHER_CARD)
    assert Result(Status.END_APPLICATION, error=error).encode()[0xDF8115].hex().upper() == "0101006A831C"


@pytest.mark.parametrize(
    ("ui", "wanted"),
    [
        (Ui(Message.PRESENT_CARD, UiStatus.READY_TO_READ), "1502" + "00" * 20),
        (Ui(Message.SEE_PHONE, UiStatus.PROCESSING_ERROR, hold_ms=1300), "2005000013" + "00" * 17),
        (
            Ui(Message.APPROVED, balance=bytes.fromhex("000000009000"), currency=156),
            "0300000000" + "00" * 8 + "20" + "000000009000" + "0156",
        ),
    ],
)
def test_user_interface_request(ui: Ui, wanted: str) -> None:
    assert ui.encode().hex() == wanted
    assert len(ui.encode()) == 22


def test_a_message_is_encoded_where_there_is_one() -> None:
    assert 0xDF8116 not in Result(Status.SELECT_NEXT).encode()
    assert Result(Status.TRY_AGAIN, ui_on_restart=AGAIN).encode()[0xDF8116] == AGAIN.encode()


def test_a_repr_hides_the_card() -> None:
    track = bytes.fromhex("4761739001010010D311220100000F")
    result = Result(Status.APPROVED, data_record={0x57: track}, discretionary={0x57: track})
    assert "4761" not in repr(result)
    assert track.hex() not in repr(result)
    assert repr(track) not in repr(result)


def test_results_are_frozen_and_equal_by_value() -> None:
    assert Result(Status.DECLINED) == Result(Status.DECLINED)
    with pytest.raises(AttributeError):
        Result(Status.DECLINED).status = Status.APPROVED  # type: ignore[misc]
