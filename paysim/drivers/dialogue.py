"""What terminal and card say to each other: bytes are carried between Entry Point and a link, and noted.

The trace is the whole story of a tap in its order: each command and response, what terminal, card and issuer
decided and why, what the display said.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from paysim.codec import tlv
from paysim.codec.bits import explain
from paysim.core.errors import DecodeError, LinkClosed, LinkTimeout
from paysim.emv.entry_point import Done, EntryPoint, Poll, Send, Step
from paysim.emv.outcome import Decision, IssuerResponse, Message, Result, Start, Ui

__all__ = ["CardLink", "Exchange", "decode_answer", "encode_answer", "finish", "run"]

_ARC: Final = 0x8A
_DATA: Final = 0x91
_SCRIPT: Final = 0x86
_TEMPLATES: Final = (0x71, 0x72)


class Exchange(NamedTuple):
    """A line of a tap's trace. Its `repr` does not show the bytes, which hold the card's number.

    `kind` is command or response (`data` are the bytes; a response that did not come has none, and `step` is
    timeout or transmission), decision (`step` of the terminal, `text`), card (a decision of the card), issuer
    (a check of the issuer), answer (`data` is what the issuer answers, as objects 8A, 91, 71, 72, 86), or
    shown (what the display says).
    """

    kind: str
    step: str = ""
    text: str = ""
    data: bytes = b""

    def __repr__(self) -> str:
        return f"Exchange({self.kind!r}, {self.step!r}, {self.text!r}, {len(self.data)} bytes)"


class CardLink(Protocol):
    """A link to a card; `decisions` are its last choices where they are known, new ones a new tuple."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What the card decided at its last GET PROCESSING OPTIONS; empty where nobody can know."""

    def transceive(self, data: bytes) -> bytes:
        """Send `data` and wait for the answer; raises LinkTimeout or LinkClosed."""


def run(machine: EntryPoint, link: CardLink, count: int, trace: list[Exchange]) -> Result | None:
    """The reader's outcome with `count` cards in the field; None where the card is wanted again."""
    notes = _Notes(machine, trace)
    begun = machine.trace or machine.shown
    step: Step = Poll() if begun else machine.start()
    notes.take()
    if isinstance(step, Poll):
        step = machine.cards(count)
        notes.take()
    step = _carried(machine, link, step, trace, notes)
    return step.result if isinstance(step, Done) else None


def finish(
    machine: EntryPoint, link: CardLink, asked: Result, answer: IssuerResponse, trace: list[Exchange]
) -> Result:
    """The reader's last word after the issuer's answer; the card is held there again where it is wanted.

    `asked` is the online request, which stays the result where the card is gone before it has the answer.
    """
    trace.append(Exchange("answer", data=encode_answer(answer)))
    notes = _Notes(machine, trace)
    if asked.start is not Start.B:
        answer = IssuerResponse(answer.arc)
    step = machine.start("B", answer)
    notes.take()
    if isinstance(step, Poll):
        step = machine.cards(1)
        notes.take()
    step = _carried(machine, link, step, trace, notes)
    return step.result if isinstance(step, Done) else asked


def _carried(
    machine: EntryPoint, link: CardLink, step: Step, trace: list[Exchange], notes: _Notes
) -> Done | Poll:
    while isinstance(step, Send):
        step = _exchanged(machine, link, step.command, trace)
        notes.take()
    return step


def _exchanged(machine: EntryPoint, link: CardLink, command: bytes, trace: list[Exchange]) -> Step:
    trace.append(Exchange("command", data=command))
    decided = link.decisions
    try:
        answer = link.transceive(command)
    except LinkTimeout as error:
        trace.append(Exchange("response", "timeout", str(error)))
        return machine.lost("timeout")
    except LinkClosed as error:
        trace.append(Exchange("response", "transmission", str(error)))
        return machine.lost("transmission")
    if link.decisions is not decided:
        trace.extend(Exchange("card", row.step, row.words) for row in link.decisions)
    trace.append(Exchange("response", data=answer))
    return machine.receive(answer)


class _Notes:
    """Writes what the machine has decided and shown since the last time into the trace."""

    def __init__(self, machine: EntryPoint, trace: list[Exchange]) -> None:
        self._machine = machine
        self._trace = trace
        self._decided = len(machine.trace)
        self._shown = len(machine.shown)

    def take(self) -> None:
        decided, shown = self._machine.trace[self._decided :], self._machine.shown[self._shown :]
        self._decided += len(decided)
        self._shown += len(shown)
        self._trace.extend(Exchange("decision", row.step, row.words) for row in decided)
        self._trace.extend(Exchange("shown", text=_words(ui.message)) for ui in shown)


@lru_cache
def _words(message: Message) -> str:
    return explain("DF8116", Ui(message).encode())[0]


# The issuer's answer as objects. -------------------------------------------------------------------------


def encode_answer(answer: IssuerResponse) -> bytes:
    """The answer as objects: response code (8A), data (91), scripts (71, 72; anything else as 86).

    >>> encode_answer(IssuerResponse(b"00")).hex().upper()
    '8A023030'
    """
    objects = [(_ARC, answer.arc), *([(_DATA, answer.data_91)] if answer.data_91 else [])]
    scripts = [one if _is_template(one) else tlv.encode([(_SCRIPT, one)]) for one in answer.scripts]
    return tlv.encode(objects) + b"".join(scripts)


def decode_answer(data: bytes) -> IssuerResponse:
    """The answer that these objects are. Raises DecodeError where they are none.

    >>> decode_answer(bytes.fromhex("8A023030")).arc
    b'00'
    """
    spans = list(tlv.spans(data))
    if not spans or spans[0].tag != _ARC or spans[-1].stop != len(data):
        raise DecodeError("the issuer's answer is 8A, then 91, 71, 72 or 86")
    arc, data_91 = data[spans[0].value : spans[0].stop], b""
    scripts: list[bytes] = []
    for span in spans[1:]:
        if span.tag == _DATA:
            data_91 = data[span.value : span.stop]
        else:
            scripts.append(data[span.start if span.tag in _TEMPLATES else span.value : span.stop])
    return IssuerResponse(arc, data_91, tuple(scripts))


def _is_template(script: bytes) -> bool:
    span = next(tlv.spans(script), None)
    return span is not None and span.tag in _TEMPLATES and (span.start, span.stop) == (0, len(script))
