"""What a tap ends in: an outcome with its parameters, the messages shown, the error behind it.

A `Result` is a value. Its `encode` gives the data objects that kernel 2 defines for it (DF8129 outcome
parameters, DF8115 error indication, DF8116 user interface request); paysim uses them for every kernel.

Source: EMV Contactless Book A 6, Book B 3.5; C-2 Annex A (codes of DF8115, DF8116, DF8129)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = [
    "L1",
    "L2",
    "L3",
    "Alternate",
    "Cvm",
    "Decision",
    "Error",
    "IssuerResponse",
    "Message",
    "OnlineResponse",
    "Result",
    "Start",
    "Status",
    "Ui",
    "UiStatus",
]


class Status(IntEnum):
    """What the terminal is to do. Source: DF8129 byte 1"""

    APPROVED = 1
    DECLINED = 2
    ONLINE_REQUEST = 3
    END_APPLICATION = 4
    SELECT_NEXT = 5
    TRY_ANOTHER_INTERFACE = 6
    TRY_AGAIN = 7


class Start(IntEnum):
    """Where Entry Point goes on. Source: DF8129 byte 2"""

    A = 0
    B = 1
    C = 2
    D = 3
    NONE = 0xF


class OnlineResponse(IntEnum):
    """After which answer of the issuer the card is wanted once more. Source: DF8129 byte 3

    Assumed: the codes 0 and 1, which no kernel at hand uses.
    """

    EMV_DATA = 0
    ANY = 1
    NONE = 0xF


class Cvm(IntEnum):
    """How the cardholder is verified. Source: DF8129 byte 4"""

    NONE = 0
    SIGNATURE = 1
    ONLINE_PIN = 2
    CONFIRMATION_CODE = 3
    NA = 0xF


class Alternate(IntEnum):
    """The other interface that is preferred. Source: DF8129 byte 6; Assumed: the codes 1 and 2"""

    CONTACT = 1
    STRIPE = 2
    NONE = 0xF


class Message(IntEnum):
    """What the display says. Source: DF8116 byte 1"""

    APPROVED = 0x03
    NOT_AUTHORISED = 0x07
    ENTER_PIN = 0x09
    PROCESSING_ERROR = 0x0F
    REMOVE_CARD = 0x10
    WELCOME = 0x14
    PRESENT_CARD = 0x15
    PROCESSING = 0x16
    CARD_READ_OK = 0x17
    INSERT_OR_SWIPE = 0x18
    ONE_CARD_ONLY = 0x19
    APPROVED_SIGN = 0x1A
    AUTHORISING = 0x1B
    TRY_ANOTHER_CARD = 0x1C
    INSERT_CARD = 0x1D
    CLEAR = 0x1E
    SEE_PHONE = 0x20
    PRESENT_AGAIN = 0x21


class UiStatus(IntEnum):
    """What lights and sounds say. Source: DF8116 byte 2"""

    NOT_READY = 0
    IDLE = 1
    READY_TO_READ = 2
    PROCESSING = 3
    CARD_READ_OK = 4
    PROCESSING_ERROR = 5
    CONDITIONS_NOT_SATISFIED = 6
    COLLISION = 7
    CARD_NOT_REMOVED = 8


class L1(IntEnum):
    """What went wrong between reader and card. Source: DF8115 byte 1"""

    OK = 0
    TIMEOUT = 1
    TRANSMISSION = 2
    PROTOCOL = 3


class L2(IntEnum):
    """What was wrong with what the card said. Source: DF8115 byte 2"""

    OK = 0
    CARD_DATA_MISSING = 0x01
    CAM_FAILED = 0x02
    STATUS_BYTES = 0x03
    PARSING = 0x04
    MAX_LIMIT_EXCEEDED = 0x05
    CARD_DATA_ERROR = 0x06
    STRIPE_NOT_SUPPORTED = 0x07
    NO_PPSE = 0x08
    PPSE_FAULT = 0x09
    EMPTY_CANDIDATE_LIST = 0x0A
    TERMINAL_DATA_ERROR = 0x0F


class L3(IntEnum):
    """What stopped the terminal. Source: DF8115 byte 3"""

    OK = 0
    TIMEOUT = 1
    STOP = 2
    AMOUNT_MISSING = 3


class Error(NamedTuple):
    """Why a tap did not go through: three levels, the card's status word, the message shown with it."""

    l1: L1 = L1.OK
    l2: L2 = L2.OK
    l3: L3 = L3.OK
    sw: int = 0
    message: int = 0

    def encode(self) -> bytes:
        """The error indication (DF8115), 6 bytes.

        >>> Error(l2=L2.STATUS_BYTES, sw=0x6985).encode().hex().upper()
        '000300698500'

        Source: EMV Contactless C-2 Annex A (DF8115)
        """
        return bytes((self.l1, self.l2, self.l3, self.sw >> 8, self.sw & 0xFF, self.message))


NO_ERROR: Final = Error()


class Ui(NamedTuple):
    """A user interface request: message, status, how long it stays; `balance` is shown where there is one."""

    message: Message
    status: UiStatus = UiStatus.NOT_READY
    hold_ms: int = 0
    balance: bytes = b""
    """Six bytes n12 of the card's money left, or nothing."""
    currency: int = 0

    def encode(self) -> bytes:
        """The user interface request (DF8116), 22 bytes: the language is zeros, the hold time in ms.

        >>> Ui(Message.CARD_READ_OK, UiStatus.CARD_READ_OK).encode().hex()
        '17040000000000000000000000000000000000000000'

        Source: EMV Contactless C-2 Annex A (DF8116). Assumed: the hold time in units of 100 ms, as
        the field-off time.
        """
        hold = bytes.fromhex(f"{min(self.hold_ms // 100, 999_999):06}")
        head = bytes((self.message, self.status)) + hold + bytes(8)
        if not self.balance:
            return head.ljust(22, b"\x00")
        return head + b"\x20" + self.balance[-6:].rjust(6, b"\x00") + bytes.fromhex(f"{self.currency:04}")


class Decision(NamedTuple):
    """One line of the trace: which step of the standard decided ("P5", "C3", "V14"), in words."""

    step: str
    words: str


class IssuerResponse(NamedTuple):
    """What the issuer answers for the card: the authorisation response code and what the card is to get.

    `arc` is two ASCII characters (8A), `data_91` the issuer authentication data or nothing; each of `scripts`
    is a template 71 or 72 (9F18, then one 86 a command), or one bare command.
    """

    arc: bytes
    data_91: bytes = b""
    scripts: tuple[bytes, ...] = ()

    @property
    def code(self) -> str:
        """The response code as people read it, hex where it is no text.

        >>> IssuerResponse(b"00").code, IssuerResponse(b"\\x00\\x00").code
        ('00', '0000')
        """
        text = self.arc.decode("latin-1")
        return text if text.isascii() and text.isprintable() else self.arc.hex().upper()


_NOTHING: Final[Mapping[int, bytes]] = MappingProxyType({})


def _nothing() -> Mapping[int, bytes]:
    return _NOTHING


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a tap and its parameters; `why` is the step that decided, and its words.

    `data_record` (for the issuer or for clearing) and `discretionary` map tags to values; a `repr` leaves
    them out, for they hold the card's number.
    """

    status: Status
    why: str = ""
    start: Start = Start.NONE
    online_response: OnlineResponse = OnlineResponse.NONE
    cvm: Cvm = Cvm.NA
    ui: Ui | None = None
    ui_on_restart: Ui | None = None
    data_record: Mapping[int, bytes] | None = field(default=None, repr=False)
    discretionary: Mapping[int, bytes] = field(default_factory=_nothing, repr=False)
    receipt: bool = False
    alternate_interface: Alternate = Alternate.NONE
    field_off_ms: int | None = None
    removal_timeout_ms: int = 0
    error: Error = NO_ERROR
    tvr: bytes = bytes(5)
    tsi: bytes = bytes(2)
    adf_name: bytes = b""
    kernel: int = 0

    def encode(self) -> Mapping[int, bytes]:
        """The data objects of this outcome: DF8129 (8 bytes), DF8115 (6), DF8116 (22) with a message.

        >>> Result(Status.APPROVED, cvm=Cvm.NONE, ui=Ui(Message.APPROVED)).encode()[0xDF8129].hex().upper()
        '10F0F00080F0FF00'

        Source: EMV Contactless C-2 Annex A
        """
        objects = {0xDF8129: self._parameters(), 0xDF8115: self.error.encode()}
        shown = self.ui or self.ui_on_restart
        return objects | ({0xDF8116: shown.encode()} if shown else {})

    def _parameters(self) -> bytes:
        flags = (
            self.ui is not None,
            self.ui_on_restart is not None,
            self.data_record is not None,
            bool(self.discretionary),
            self.receipt,
        )
        off = 0xFF if self.field_off_ms is None else min(self.field_off_ms // 100, 0xFE)
        return bytes(
            (
                self.status << 4,
                self.start << 4,
                self.online_response << 4,
                self.cvm << 4,
                sum(0x80 >> at for at, on in enumerate(flags) if on),
                self.alternate_interface << 4,
                off,
                min(self.removal_timeout_ms // 100, 0xFF),
            )
        )
