"""What every kernel is made of: a table of steps, the data of one tap, the machine that runs them.

A table's rows are `Exchange` (asks the card, as often as it has something to ask) and `Judgement` (decides
without the card). Each is named as the standard's step, and what it decides goes into the trace under that
name. A row gives a `Result` to end the tap, or None to go on.

Source: EMV Contactless Book A 6, Book B 3.4
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from paysim.codec import tlv
from paysim.codec.apdu import Response
from paysim.core.errors import DecodeError

from .outcome import L1, Cvm, Decision, Error, IssuerResponse, Message, Result, Start, Status, Ui, UiStatus
from .preprocessing import Prepared
from .reader import Combination, Purchase, Reader

__all__ = [
    "AAC",
    "ARQC",
    "TC",
    "Exchange",
    "Judgement",
    "Kernel",
    "KernelTable",
    "Send",
    "Steps",
    "Tap",
]

SIZES: Final[Mapping[int, tuple[int, int]]] = {
    0x57: (1, 19),
    0x5A: (1, 10),
    0x5F24: (3, 3),
    0x5F28: (2, 2),
    0x5F34: (1, 1),
    0x82: (2, 2),
    0x8F: (1, 1),
    0x9F07: (2, 2),
    0x9F10: (1, 32),
    0x9F26: (8, 8),
    0x9F27: (1, 1),
    0x9F36: (2, 2),
    0x9F5D: (6, 6),
    0x9F69: (5, 16),
    0x9F6C: (2, 2),
}
"""Card's data object -> bytes, for those that a kernel computes with.

Source: EMV 4.4 Book 3 Annex A; C-3, C-7
"""

AAC: Final = 0x00
TC: Final = 0x40
ARQC: Final = 0x80
"""Types of cryptogram, as the upper bits of 9F27 say them. Source: EMV 4.4 Book 3 table 15"""

KEPT_OF_FCI: Final = (0x84, 0x9F38, 0x9F5A)


class Send(NamedTuple):
    """A step: this command goes to the card, and its answer to `receive` (or `lost`)."""

    command: bytes


class Tap:
    """What one activation of a kernel knows (D1), and what its steps find out.

    `terminal` and `card` map tags to values; the card's never replace the terminal's.
    """

    __slots__ = (
        "adf_name",
        "asked",
        "authenticate_online",
        "card",
        "cid",
        "commands",
        "cvm",
        "declined",
        "earlier",
        "fci",
        "issuer",
        "online",
        "pan",
        "pan_data",
        "prepared",
        "purchase",
        "reader",
        "records",
        "script_results",
        "shown",
        "static_data",
        "terminal",
        "trace",
    )

    def __init__(
        self,
        reader: Reader,
        purchase: Purchase,
        prepared: Prepared,
        adf_name: bytes,
        fci: Mapping[int, bytes],
        unpredictable: bytes,
        trace: list[Decision],
        shown: list[Ui],
        issuer: IssuerResponse | None = None,
        earlier: Result | None = None,
    ) -> None:
        self.reader = reader
        self.purchase = purchase
        self.prepared = prepared
        self.adf_name = adf_name
        self.fci = fci
        self.trace = trace
        self.shown = shown
        self.issuer = issuer
        self.earlier = earlier
        """The online request that `issuer` answers."""
        self.terminal: dict[int, bytes] = {**reader.elements, **purchase.elements()}
        self.terminal[0x9F37] = unpredictable
        self.terminal[0x95] = bytes(5)
        self.terminal[0x9F66] = prepared.ttq or bytes(4)
        self.card: dict[int, bytes] = {tag: fci[tag] for tag in KEPT_OF_FCI if tag in fci}
        self.records: list[tuple[int, int, bool]] = []
        """(SFI, record, is it signed) still to be read, last first."""
        self.static_data = b""
        self.asked = False
        self.authenticate_online = False
        """Whether offline data authentication is tried on a payment that goes online (V11)."""
        self.pan = ""
        self.pan_data: tuple[bytes | None, bytes | None] = (None, None)
        """Values of 57 and 5A that `pan` was taken from."""
        self.cid = 0
        self.declined = ""
        """The decline flag: what set it first."""
        self.online = ""
        """The online flag: what set it first."""
        self.cvm = Cvm.NONE
        self.commands: list[tuple[bytes, int, bytes]] = []
        """Issuer's commands still to be sent, last first: command, number of its script, script id."""
        self.script_results: dict[int, tuple[bytes, int, bool]] = {}
        """Number of a script -> its id, how many of its commands were sent, whether the last was done."""

    @property
    def combination(self) -> Combination:
        """The combination that was selected."""
        return self.prepared.combination

    @property
    def ttq(self) -> bytes:
        """The TTQ as the card got it."""
        return self.terminal[0x9F66]

    @property
    def ctq(self) -> bytes:
        """The card transaction qualifiers (9F6C), empty where absent."""
        return self.card.get(0x9F6C, b"")

    def decide(self, step: str, words: str) -> None:
        """Notes in the trace what a step decided."""
        self.trace.append(Decision(step, words))

    def decline(self, step: str, words: str) -> None:
        """Sets the decline flag."""
        self.declined = self.declined or f"{step}: {words}"
        self.decide(step, f"{words}: decline")

    def go_online(self, step: str, words: str) -> None:
        """Sets the online flag."""
        self.online = self.online or f"{step}: {words}"
        self.decide(step, f"{words}: online")

    def show(self, ui: Ui) -> None:
        """Sends a message to the display."""
        self.shown.append(ui)

    def take(self, tree: tlv.Tree) -> None:
        """Takes over the card's data objects; DecodeError where one comes twice or has a wrong length.

        Source: EMV Contactless C-2 4.6, C-3 (a data object that comes twice is an error)
        """
        card = self.card
        for path, value in tlv.walk(tree):
            tag = path[-1]
            if tag in card:
                raise DecodeError("the data object comes twice", path=tlv.name(tag))
            if tag in SIZES and not SIZES[tag][0] <= len(value) <= SIZES[tag][1]:
                raise DecodeError(f"the data object has {len(value)} bytes", path=tlv.name(tag))
            card[tag] = value


Ask: TypeAlias = Callable[[Tap], bytes | None]
Hear: TypeAlias = Callable[[Tap, Response, str], Result | None]
Judge: TypeAlias = Callable[[Tap, str], Result | None]


class Exchange(NamedTuple):
    """A row that talks to the card: `ask` gives the next command, or None when there is none left."""

    step: str
    ask: Ask
    hear: Hear


class Judgement(NamedTuple):
    """A row that decides by itself."""

    step: str
    judge: Judge


Steps: TypeAlias = tuple[Exchange | Judgement, ...]


class KernelTable(NamedTuple):
    """A kernel: its identifier, its steps, and the steps that bring the issuer's answer to the card.

    The last row of each gives a result whatever came before.
    """

    identifier: int
    steps: Steps
    update: Steps
    lost: str
    """The step that answers an error between reader and card."""


class Kernel:
    """A kernel that runs: `start`, then `receive` or `lost` after each `Send`, until there is a `Result`."""

    def __init__(self, table: KernelTable, tap: Tap) -> None:
        self._table = table
        self._rows = table.update if tap.issuer else table.steps
        self._tap = tap
        self._at = 0

    def start(self) -> Send | Result:
        """The first command, or a result at once."""
        return self._go_on()

    def receive(self, response: Response) -> Send | Result:
        """What follows the card's answer."""
        row = self._rows[self._at]
        if isinstance(row, Exchange):
            result = row.hear(self._tap, response, row.step)
            if result is not None:
                return result
        return self._go_on()

    def lost(self, kind: L1) -> Result:
        """What follows where no answer came.

        Source: EMV Contactless C-3, C-7: Try Again, start B. Assumed: the message on restart.
        """
        step = self._table.lost
        words = f"no answer ({kind.name.lower()}): try again"
        self._tap.decide(step, words)
        return Result(
            Status.TRY_AGAIN,
            f"{step}: {words}",
            start=Start.B,
            ui_on_restart=Ui(Message.PRESENT_AGAIN, UiStatus.READY_TO_READ),
            error=Error(l1=kind, message=Message.PRESENT_AGAIN),
            adf_name=self._tap.adf_name,
            kernel=self._table.identifier,
        )

    def _go_on(self) -> Send | Result:
        """Runs the rows until one asks or ends; the last row of every table ends."""
        tap = self._tap
        while True:
            row = self._rows[self._at]
            if isinstance(row, Exchange):
                command = row.ask(tap)
                if command is not None:
                    return Send(command)
            else:
                result = row.judge(tap, row.step)
                if result is not None:
                    return result
            self._at += 1
