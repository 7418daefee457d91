"""What terminal and card say to each other: bytes are carried between Entry Point and a link, and noted.

The trace is the whole story of a tap in its order: each command and response and when it was, what terminal,
card and issuer decided and why, what the display said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from paysim.codec import tlv
from paysim.codec.bits import explain
from paysim.core.errors import DecodeError, LinkClosed, LinkTimeout
from paysim.emv import masking
from paysim.emv.entry_point import Done, EntryPoint, Poll, Send, Step
from paysim.emv.outcome import Decision, IssuerResponse, Message, Result, Start, Ui

__all__ = ["CardLink", "Exchange", "Recorder", "decode_answer", "encode_answer", "finish", "numbers", "run"]

_ARC: Final = 0x8A
_DATA: Final = 0x91
_SCRIPT: Final = 0x86
_TEMPLATES: Final = (0x71, 0x72)


class Exchange(NamedTuple):
    """A line of a tap's trace. Its `repr` does not show the bytes, which hold the card's number.

    `kind` is command or response (`data` are the bytes; a response that did not come has none, and `step` is
    timeout or transmission), decision (`step` of the terminal, `text`), card (a decision of the card), issuer
    (a check of the issuer), answer (`data` is what the issuer answers, as objects 8A, 91, 71, 72, 86), or
    shown (what the display says). `at_us` is when a command left and a response came, in microseconds from
    the tap's beginning; 0 where nothing takes time.
    """

    kind: str
    step: str = ""
    text: str = ""
    data: bytes = b""
    at_us: int = 0

    def __repr__(self) -> str:
        return f"Exchange({self.kind!r}, {self.step!r}, {self.text!r}, {len(self.data)} bytes)"


class CardLink(Protocol):
    """A link to a card; `decisions` are its last choices where they are known, new ones a new tuple."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What the card decided at its last GET PROCESSING OPTIONS; empty where nobody can know."""

    def transceive(self, data: bytes) -> bytes:
        """Send `data` and wait for the answer; raises LinkTimeout or LinkClosed."""


class Recorder:
    """A link that notes in `trace` what crosses it and when: any terminal may use it in its link's place.

    `clock` gives microseconds, from wherever it likes; `kept` makes of an answer what the trace keeps of it.
    """

    def __init__(
        self,
        link: CardLink,
        *,
        clock: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
        kept: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.trace: list[Exchange] = []
        self.elapsed_us = 0
        self._link = link
        self._clock = clock
        self._kept = kept
        self._begun = clock()

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The link's own."""
        return self._link.decisions

    def transceive(self, data: bytes) -> bytes:
        """The link's own, noted; `elapsed_us` grows by what the card took."""
        sent, decided = self._clock(), self._link.decisions
        self.trace.append(Exchange("command", data=data, at_us=sent - self._begun))
        try:
            answer = self._link.transceive(data)
        except (LinkTimeout, LinkClosed) as error:
            kind = "timeout" if isinstance(error, LinkTimeout) else "transmission"
            self._note(Exchange("response", kind, str(error)), sent)
            raise
        if self._link.decisions is not decided:
            self.trace.extend(Exchange("card", row.step, row.words) for row in self._link.decisions)
        self._note(Exchange("response", data=self._kept(answer) if self._kept else answer), sent)
        return answer

    def _note(self, response: Exchange, sent: int) -> None:
        now = self._clock()
        self.elapsed_us += now - sent
        self.trace.append(response._replace(at_us=now - self._begun))


def run(machine: EntryPoint, recorder: Recorder, count: int) -> Result | None:
    """The reader's outcome with `count` cards in the field; None where the card is wanted again.

    What happens is noted in the recorder's trace.
    """
    notes = _Notes(machine, recorder.trace)
    begun = machine.trace or machine.shown
    step: Step = Poll() if begun else machine.start()
    notes.take()
    if isinstance(step, Poll):
        step = machine.cards(count)
        notes.take()
    step = _carried(machine, recorder, step, notes)
    return step.result if isinstance(step, Done) else None


def finish(machine: EntryPoint, recorder: Recorder, asked: Result, answer: IssuerResponse) -> Result:
    """The reader's last word after the issuer's answer; the card is held there again where it is wanted.

    `asked` is the online request, which stays the result where the card is gone before it has the answer.
    """
    recorder.trace.append(Exchange("answer", data=encode_answer(answer)))
    notes = _Notes(machine, recorder.trace)
    if asked.start is not Start.B:
        answer = IssuerResponse(answer.arc)
    step = machine.start("B", answer)
    notes.take()
    if isinstance(step, Poll):
        step = machine.cards(1)
        notes.take()
    step = _carried(machine, recorder, step, notes)
    return step.result if isinstance(step, Done) else asked


def _carried(machine: EntryPoint, recorder: Recorder, step: Step, notes: _Notes) -> Done | Poll:
    while isinstance(step, Send):
        try:
            answer = recorder.transceive(step.command)
        except LinkTimeout:
            step = machine.lost("timeout")
        except LinkClosed:
            step = machine.lost("transmission")
        else:
            step = machine.receive(answer)
        notes.take()
    return step


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


def numbers(trace: Iterable[Exchange]) -> Iterator[str]:
    """The card numbers that the responses of a trace hold, in their order; as far as each can be read."""
    for one in trace:
        if one.kind != "response":
            continue
        try:
            tree = tlv.decode(one.data[:-2])
        except tlv.TlvError as error:
            tree = error.decoded_so_far or ()  # type: ignore[assignment]
        for path, value in tlv.walk(tree):
            yield from masking.numbers(path[-1], value)


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
