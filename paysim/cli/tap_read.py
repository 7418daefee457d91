"""A card that `paysim tap` reads and does not charge: a stranger's, or ours without --amount, or a record."""

from __future__ import annotations

import datetime
import secrets
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from paysim import UsageError
from paysim.core.errors import LinkClosed, LinkTimeout
from paysim.crypto.ca_keys import MAX_SIZE, CaKey, decode_ca_keys
from paysim.drivers.dialogue import Recorder
from paysim.drivers.driver import Present
from paysim.drivers.replay import Difference, Replay
from paysim.drivers.session import CardRecord
from paysim.emv.explain import Explained
from paysim.emv.inspection import Done, Inspection, Step, Warn, without_cryptogram
from paysim.emv.inspection_report import Report
from paysim.sandbox import trace

from . import given, tap
from .screen import Screen

__all__ = ["READ", "Inspector", "Look", "read_again"]

READ: Final = 3
_GPO: Final = b"\xa8"


class Look(NamedTuple):
    """A card, what it says (None where it is one of ours that is to pay), and every frame of it."""

    present: Present
    report: Report | None
    record: CardRecord


class Inspector:
    """Looks at cards, and shows them. Raises what a bad file of CA keys does, before any card is asked."""

    def __init__(self, arguments: Namespace, screen: Screen) -> None:
        self._arguments = arguments
        self._screen = screen
        self._ca_keys = _ca_keys(arguments.ca_keys)

    def look(self, present: Present, like: CardRecord | None = None, *, pays: bool = False) -> Look:
        """Ask the card; one of ours that `pays` is left alone. `like` is an earlier look, repeated."""
        on = like.on if like else datetime.date.today()
        number = like.unpredictable if like else secrets.token_bytes(4)
        keep_pan = self._arguments.keep_pan
        inspection = Inspection(
            on=on,
            ca_keys=self._ca_keys,
            allow_gpo=self._arguments.allow_gpo,
            keep_pan=keep_pan,
            unpredictable=number,
        )
        recorder = Recorder(present.link, kept=without_cryptogram)
        step: Step = inspection.start()
        while not isinstance(step, Done) and not (pays and inspection.ours):
            if isinstance(step, Warn):
                if like is None:  # a record's counter rises no more
                    self._warn(step.words)
                step = inspection.go_on()
            else:
                step = _answered(inspection, recorder, step.command)
        record = CardRecord(tuple(recorder.trace), on, number, present.kind, present.atr, not keep_pan)
        return Look(present, step.report if isinstance(step, Done) else None, record)

    def show(self, look: Look, differences: Sequence[Difference] = ()) -> None:
        """Say what a card says, what was done and what was not."""
        arguments, screen, report = self._arguments, self._screen, look.report
        if report is None:
            raise UsageError("this card was not read")
        if arguments.trace:
            tap.show_trace(look.record.trace, arguments.keep_pan, screen)
        whose = "a card of a sandbox" if report.ours else "a stranger's card"
        number = report.pan or "its number is in nothing that was read"
        screen.head(f"{whose}, {look.present.kind}: {number}; read, and nothing charged")
        for node in report.tree():
            self._node(node)
        if not report.applications:
            screen.say("  no application of a payment card answers")
        for title, rows in (("done", report.done), ("not done", report.not_done), ("differs", differences)):
            for at, row in enumerate(rows):
                screen.say(f"  {'' if at else title:<8}  {row}")
        if report.ended:
            screen.say(f"  {'ended':<8}  early: {report.ended}")
        found = _result(look, report)
        if arguments.replay:
            found["differences"] = [one._asdict() for one in differences]
        screen.result(found | tap.traced(look.record.trace, arguments))

    def _warn(self, words: str) -> None:
        """Said before it happens, and to whoever reads no words on stdout, too."""
        if self._screen.silent:
            self._screen.complain(words)
        else:
            self._screen.head(words)
            self._screen.flush()

    def _node(self, node: Explained) -> None:
        for line in trace.node_lines(node, 2, tap.width()):
            self._screen.say(line)


def read_again(record: CardRecord, arguments: Namespace, screen: Screen) -> int:
    """Read a card from its record, as if it lay there. 3 as recorded, 1 where something else was asked."""
    arguments.allow_gpo = any(one.kind == "command" and one.data[1:2] == _GPO for one in record.trace)
    if record.masked:
        arguments.keep_pan = False  # zeros are no number
    inspector, link = Inspector(arguments, screen), Replay(record, strict=arguments.strict)
    look = inspector.look(Present(link, record.kind, atr=record.atr), record)
    inspector.show(look, link.differences)
    return tap.NOT_PAID if link.differences else READ


def _answered(inspection: Inspection, recorder: Recorder, command: bytes) -> Step:
    try:
        answer = recorder.transceive(command)
    except LinkTimeout:
        return inspection.lost("timeout")
    except LinkClosed:
        return inspection.lost("transmission")
    return inspection.receive(answer)


def _ca_keys(name: str) -> tuple[CaKey, ...]:
    """The keys of a file. Raises DecodeError, CertificateError or UnreadableError where it holds none."""
    if not name:
        return ()
    path = given.file_at(name)
    if path is None:
        raise given.UnreadableError("NO_FILE", f"there is no file {name}")
    return decode_ca_keys(given.to_text(given.read_file(path, 4 * MAX_SIZE), 4 * MAX_SIZE))


def _result(look: Look, report: Report) -> dict[str, Any]:
    return {
        "state": None,
        "book_state": None,
        "outcome": "read",
        "amount_minor": None,
        "events": [],
        "card": {
            "kind": look.present.kind,
            "ours": report.ours,
            "pan": report.pan,
            "applications": [trace.as_object(node) for node in report.tree()],
        },
        "done": list(report.done),
        "not_done": list(report.not_done),
        "ended": report.ended,
    }
