"""Entry Point: finds the application and the kernel for a card in the field, and follows the outcome.

    A pre-processing (P) -> B protocol activation (B) -> C combination selection (C, F) -> D kernel (D, O)

A stepwise machine without a card, a clock or a link of its own. Each call gives a `Step`: `Poll` wants to
know how many cards are in the field (`cards`), `Send` has a command for the card (`receive`, or `lost`),
`Done` has the outcome. What a card may answer always ends in an outcome; a call that the last step did not
ask for raises InvalidTransition.

Source: EMV Contactless Book B 3; public test listings of Entry Point
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final, Literal, NamedTuple, TypeAlias

from paysim.codec.apdu import Response
from paysim.core.errors import DecodeError, InvalidTransition, UsageError

from .judgements import APPROVING
from .kernel import Kernel, KernelTable, Send, Tap
from .kernel3 import KERNEL_3
from .kernel7 import KERNEL_7
from .outcome import (
    L1,
    L2,
    Cvm,
    Decision,
    Error,
    IssuerResponse,
    Message,
    Result,
    Status,
    Ui,
    UiStatus,
)
from .preprocessing import Prepared, prepare, unprepared
from .reader import Purchase, Reader
from .selection import PPSE, Candidate, application, candidates, directory, select, wants_kernel1

__all__ = ["KERNELS", "MAX_COMMANDS", "MAX_PRESENTATIONS", "Done", "EntryPoint", "Poll", "Send", "Step"]

KERNELS: Final[Mapping[int, KernelTable]] = {table.identifier: table for table in (KERNEL_3, KERNEL_7)}
"""The kernels that are built; a row for each."""

MAX_COMMANDS: Final = 256
"""Commands from a start to its outcome. Assumed: a card that answers for ever is given up."""

MAX_PRESENTATIONS: Final = 16
"""How often a card is waited for from a start to its outcome. Assumed: then it is given up."""

MAX_NAME: Final = 255
"""Bytes of an ADF name with its extension that a short SELECT carries."""

PRESENT_CARD: Final = Ui(Message.PRESENT_CARD, UiStatus.READY_TO_READ)

Loss = Literal["timeout", "transmission", "protocol"]
LOSSES: Final[Mapping[str, L1]] = {
    "timeout": L1.TIMEOUT,
    "transmission": L1.TRANSMISSION,
    "protocol": L1.PROTOCOL,
}


class Poll(NamedTuple):
    """A step: switch the field off for so long, then on, look for cards, and tell `cards` how many."""

    field_off_ms: int = 0


class Done(NamedTuple):
    """A step, the last: the outcome."""

    result: Result


Step: TypeAlias = Poll | Send | Done


class EntryPoint:
    """One purchase at a contactless reader; `shown`, `trace` and `outcomes` tell what happened so far.

    >>> import datetime
    >>> from .reader import READER_V
    >>> noon = datetime.datetime(2026, 11, 27, 12)
    >>> bought = Purchase(1000, date=noon.date(), time=noon.time(), unpredictable=b"\\x12\\x34\\x56\\x78")
    >>> till = EntryPoint(READER_V(), bought)
    >>> till.start()
    Poll(field_off_ms=0)
    >>> till.cards(1).command.hex().upper()
    '00A404000E325041592E5359532E444446303100'
    >>> till.receive(bytes.fromhex("6A82")).result.status.name
    'END_APPLICATION'
    >>> [decision.step for decision in till.trace]
    ['C2', 'C6']
    """

    def __init__(self, reader: Reader, purchase: Purchase) -> None:
        self.reader = reader
        self.purchase = purchase
        self.shown: list[Ui] = []
        self.trace: list[Decision] = []
        self.outcomes: list[Result] = []
        """The outcome of each kernel that ran, those that Entry Point dealt with itself too."""
        self._state = "new"
        self._prepared: tuple[Prepared, ...] | None = None
        self._candidates: list[Candidate] = []
        self._selected: Candidate | None = None
        self._fci: Mapping[int, bytes] = {}
        self._kernel: Kernel | None = None
        self._issuer: IssuerResponse | None = None
        self._online: Result | None = None
        self._on_restart: Ui | None = None
        self._collided = False
        self._commands = 0
        self._presentations = 0
        self._activations = 0
        self._torn = False

    # What the driver calls. -------------------------------------------------------------------------

    def start(self, point: Literal["A", "B", "C", "D"] = "A", issuer: IssuerResponse | None = None) -> Step:
        """The first step from this start point; `issuer` brings an answer to an Online Request, at B.

        A is a new purchase, B the same again (or one without pre-processing), C the next application, D the
        kernel once more. An answer without data for the card ends at once, by its response code. An issuer
        update that ends otherwise (END_APPLICATION) does not undo what the issuer has decided.

        Source: EMV Contactless Book B 3, figure 3-1
        """
        if self._state not in ("new", "done"):
            raise InvalidTransition(self._state, f"start {point}")
        if issuer is not None and (point != "B" or self._online is None):
            raise InvalidTransition(self._state, "issuer data that answer no online request")
        self._issuer = None
        self._commands = self._presentations = 0
        if point == "A":
            return self._preprocess()
        if point == "B":
            return self._start_b(issuer)
        if point == "C":
            return self._choose()
        if point == "D":
            return self._run_kernel() if self._selected else self._choose()
        raise UsageError("the start points are A, B, C and D")

    def cards(self, count: int) -> Step:
        """The step after `count` cards were found in the field (B4)."""
        self._expect("polling", "cards")
        if count > 1:
            if not self._collided:
                self._show(Ui(Message.ONE_CARD_ONLY, UiStatus.PROCESSING_ERROR))
                self._decide("B4", f"{count} cards in the field")
            self._collided = True
            return Poll()
        if self._collided:
            self._collided = False
            self._show(Ui(Message.ONE_CARD_ONLY, UiStatus.READY_TO_READ))
        return self._select_combination() if count == 1 else Poll()

    def receive(self, response: bytes) -> Step:
        """The step after the card's answer, data and status word; other bytes are a protocol error."""
        if self._state not in ("directory", "application", "kernel"):
            raise InvalidTransition(self._state, "receive")
        try:
            answer = Response.decode(response)
        except DecodeError:
            return self.lost("protocol")
        if self._state == "directory":
            return self._read_directory(answer)
        if self._state == "application":
            return self._selected_application(answer)
        return self._act(self._running().receive(answer))

    def lost(self, kind: Loss) -> Step:
        """The step after an error between reader and card (B5; in the kernel its own outcome)."""
        if kind not in LOSSES:
            raise UsageError(f"an answer is lost by {', '.join(LOSSES)}")
        if self._state == "kernel":
            self._torn = True
            return self._act(self._running().lost(LOSSES[kind]))
        if self._state not in ("polling", "directory", "application"):
            raise InvalidTransition(self._state, "lost")
        self._decide("B5", f"{kind} error: from the start")
        return self._activate()

    # A: pre-processing. -----------------------------------------------------------------------------

    def _preprocess(self) -> Step:
        combinations = self.reader.combinations.get(self.purchase.type, ())
        rows = tuple(prepare(combination, self.purchase) for combination in combinations)
        for row in rows:
            self.trace.extend(row.decisions)
        self._prepared = tuple(row for row in rows if row.allowed)
        self._on_restart = None
        self._online = None
        if self._prepared:
            return self._activate()
        return self._end(
            "P12",
            "no combination is allowed",
            Status.TRY_ANOTHER_INTERFACE,
            Ui(Message.INSERT_OR_SWIPE, UiStatus.PROCESSING_ERROR),
        )

    # B: protocol activation. ------------------------------------------------------------------------

    def _start_b(self, issuer: IssuerResponse | None) -> Step:
        if self._prepared is None:
            combinations = self.reader.combinations.get(self.purchase.type, ())
            self._prepared = tuple(unprepared(combination) for combination in combinations)
            self._decide("B1", "without pre-processing: TTQ as configured")
        if issuer is not None:
            if not (issuer.data_91 or issuer.scripts):
                return self._follow(issuer)
            self._issuer = issuer
            self._decide("O3", f"the issuer answered {issuer.code}, with data for the card: start B")
        return self._activate()

    def _activate(self, field_off_ms: int = 0) -> Step:
        """Waits for a card (B1, B2)."""
        self._candidates = []
        self._collided = False
        self._presentations += 1
        if self._presentations > MAX_PRESENTATIONS:
            return self._give_up(f"more than {MAX_PRESENTATIONS} presentations")
        self._show(self._on_restart or PRESENT_CARD)
        self._state = "polling"
        return Poll(field_off_ms)

    # C: combination selection. ----------------------------------------------------------------------

    def _select_combination(self) -> Step:
        if self._issuer is not None:
            self._decide("C1", "issuer data: the combination of before")
            return self._select_application()
        return self._send(select(PPSE), "directory")

    def _read_directory(self, response: Response) -> Step:
        listed = directory(response)
        if listed.fault:
            self._decide("C2", f"no entries ({listed.fault.name}): SELECT PPSE answered {response.sw:04X}")
        found, why = candidates(self._prepared or (), listed.entries)
        self.trace.extend(why)
        self._candidates = list(found)
        return self._choose(listed.fault or L2.EMPTY_CANDIDATE_LIST)

    def _choose(self, fault: L2 = L2.EMPTY_CANDIDATE_LIST) -> Step:
        """The best candidate, if there is one (C6, F1)."""
        if not self._candidates:
            return self._no_application("C6", "no application in common", fault)
        self._selected = self._candidates[0]
        words = f"{self._selected.name.hex().upper()}, priority {self._selected.priority}"
        self._decide("F1", words.replace("priority 16", "no priority"))
        return self._select_application()

    def _select_application(self) -> Step:
        """SELECT by the card's own name, and the extension where both know it (F2, F3)."""
        chosen = self._chosen()
        name = chosen.name
        if chosen.extension and chosen.prepared.combination.extended_selection:
            name += chosen.extension
            self._decide("F2", f"extended selection {chosen.extension.hex().upper()}")
        return self._send(select(name[:MAX_NAME]), "application")

    def _selected_application(self, response: Response) -> Step:
        chosen = self._chosen()
        if not response.ok:
            words = f"SELECT answered {response.sw:04X}"
            if self._issuer is not None:
                return self._no_application("F3", words, L2.STATUS_BYTES, response.sw)
            return self._next("F3", words)
        self._fci = application(response.data)
        if wants_kernel1(chosen, self._fci):
            if not self.reader.kernel1:
                return self._next("F4", "a Visa card that does not ask for the TTQ: not for kernel 3")
            return self._no_kernel("F4", 1)
        return self._run_kernel()

    def _next(self, step: str, words: str) -> Step:
        """Drops the candidate, and takes the next one."""
        self._decide(step, f"{words}: next application")
        del self._candidates[:1]
        return self._choose()

    # D: the kernel, and its outcome. ----------------------------------------------------------------

    def _run_kernel(self) -> Step:
        chosen = self._chosen()
        table = KERNELS.get(chosen.kernel)
        if table is None:
            return self._no_kernel("D1", chosen.kernel)
        tap = Tap(
            self.reader,
            self.purchase,
            chosen.prepared,
            chosen.name,
            self._fci,
            self._fresh(),
            self.trace,
            self.shown,
            self._issuer,
            self._online,
        )
        self._kernel = Kernel(table, tap)
        return self._act(self._kernel.start())

    def _fresh(self) -> bytes:
        """The unpredictable number of this activation: the terminal's, later ones derived from it.

        Source: EMV Contactless Book B 3.4.1 (fresh each time). Assumed: the derivation; after an answer that
        was lost the number stays, so that a card which has taken the money knows the same payment again.
        """
        if not self._torn:
            self._activations += 1
        self._torn = False
        given = self.purchase.unpredictable
        if self._activations <= 1:
            return given
        return sha256(given + bytes((self._activations & 0xFF,))).digest()[:4]

    def _act(self, said: Send | Result) -> Step:
        """Does what the kernel wants (O1, O2)."""
        if isinstance(said, Send):
            return self._send(said.command, "kernel")
        self.outcomes.append(said)
        if said.ui is not None:
            self._show(said.ui)
        self._on_restart = said.ui_on_restart or self._on_restart
        if said.status is Status.TRY_AGAIN:
            self._decide("O2", "try again: start B")
            return self._activate(said.field_off_ms or 0)
        if said.status is Status.SELECT_NEXT:
            return self._next("O2", "select next")
        self._online = said if said.status is Status.ONLINE_REQUEST else None
        self._state = "done"
        return Done(said)

    def _follow(self, issuer: IssuerResponse) -> Step:
        """The end by the issuer's answer, where it has nothing for the card (O3)."""
        good = issuer.arc in APPROVING
        earlier, self._online = self._online, None
        cvm = earlier.cvm if earlier and good else Cvm.NONE
        signs = cvm is Cvm.SIGNATURE
        message = (Message.APPROVED_SIGN if signs else Message.APPROVED) if good else Message.NOT_AUTHORISED
        status = Status.APPROVED if good else Status.DECLINED
        step = self._end("O3", f"the issuer answered {issuer.code}", status, Ui(message))
        record = earlier.data_record if earlier else None
        return Done(replace(step.result, cvm=cvm, receipt=signs, data_record=record))

    # What all of them use. --------------------------------------------------------------------------

    def _send(self, command: bytes, state: str) -> Step:
        self._commands += 1
        if self._commands > MAX_COMMANDS:
            return self._give_up(f"more than {MAX_COMMANDS} commands")
        self._state = state
        return Send(command)

    def _give_up(self, words: str) -> Done:
        return self._no_application("O2", f"{words}: given up", L2.CARD_DATA_ERROR)

    def _no_kernel(self, step: str, kernel: int) -> Done:
        return self._no_application(step, f"kernel {kernel:X} is not built here", L2.TERMINAL_DATA_ERROR)

    def _no_application(self, step: str, words: str, l2: L2, sw: int = 0) -> Done:
        error = Error(l2=l2, sw=sw, message=Message.TRY_ANOTHER_CARD)
        ui = Ui(Message.TRY_ANOTHER_CARD, UiStatus.READY_TO_READ)
        return self._end(step, words, Status.END_APPLICATION, ui, error)

    def _end(self, step: str, words: str, status: Status, ui: Ui, error: Error | None = None) -> Done:
        """An end that Entry Point finds by itself."""
        self._decide(step, words)
        self._show(ui)
        self._state = "done"
        chosen = self._selected
        result = Result(
            status,
            f"{step}: {words}",
            ui=ui,
            error=error or Error(message=ui.message),
            adf_name=chosen.name if chosen else b"",
            kernel=chosen.kernel if chosen else 0,
        )
        return Done(result)

    def _chosen(self) -> Candidate:
        if self._selected is None:
            raise InvalidTransition(self._state, "an application")
        return self._selected

    def _running(self) -> Kernel:
        if self._kernel is None:
            raise InvalidTransition(self._state, "a kernel")
        return self._kernel

    def _expect(self, state: str, fact: str) -> None:
        if self._state != state:
            raise InvalidTransition(self._state, fact)

    def _decide(self, step: str, words: str) -> None:
        self.trace.append(Decision(step, words))

    def _show(self, ui: Ui) -> None:
        self.shown.append(ui)
