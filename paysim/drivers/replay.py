"""A recorded card in a card's place: the terminal lives through it again, without card, keys or network.

The link answers as the card did then, and notes where the terminal now asks something else. Such a command
ends a strict replay. Another one looks for the same command elsewhere in the record, then for one with the
same header (the reader's number is another one each time), and has no answer where neither is recorded.
`play` compares a whole payment: commands, decisions, outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from paysim.core.errors import LinkClosed, LinkTimeout, NoReader
from paysim.emv.entry_point import EntryPoint
from paysim.emv.outcome import Decision, Result, Status

from . import dialogue
from .dialogue import Exchange, Recorder, decode_answer
from .driver import Present
from .session import MAX_SIZE, CardRecord, Session, decode, outcome_of

__all__ = ["Difference", "Played", "Replay", "ReplayDriver", "ReplayField", "play"]

_HEADER: Final = 4
_COMPARED: Final = ("decision", "shown")


class Difference(NamedTuple):
    """Where a replay leaves its record: at which command (0: none yet), what was recorded, what came now."""

    command: int
    what: str
    recorded: str
    now: str

    def __str__(self) -> str:
        at = f"command {self.command}: " if self.command else ""
        return f"{at}{self.what}: recorded {self.recorded or 'nothing'}, now {self.now or 'nothing'}"


class _Turn(NamedTuple):
    """A recorded command, what the card decided at it, and its answer."""

    command: bytes
    response: Exchange | None
    decisions: tuple[Decision, ...]


class Replay:
    """The link to a recorded card. `differences` are the commands that were not the recorded ones."""

    def __init__(self, session: Session | CardRecord, *, strict: bool = False) -> None:
        self.differences: list[Difference] = []
        self.commands = 0
        self._turns = _turns(session.trace)
        self._strict = strict
        self._at = 0
        self._decisions: tuple[Decision, ...] = ()
        self._gone = False

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What the recorded card decided at its last command that made it decide."""
        return self._decisions

    def close(self) -> None:
        """The recorded card leaves the field."""
        self._gone = True

    def transceive(self, data: bytes) -> bytes:
        """The recorded answer. Raises LinkTimeout or LinkClosed where none came then, or none is recorded."""
        if self._gone:
            raise LinkClosed("there is no card in the field")
        self.commands += 1
        turn = self._next(data)
        if turn is None:
            raise LinkClosed(f"the session has no answer to command {self.commands}")
        self._decisions = turn.decisions or self._decisions
        answer = turn.response
        if answer is None:
            raise LinkClosed("the session ends before the answer")
        if answer.step == "timeout":
            raise LinkTimeout(answer.text)
        if answer.step:
            raise LinkClosed(answer.text)
        return answer.data

    def _next(self, data: bytes) -> _Turn | None:
        """The next recorded turn with this command; else, as a difference, what is most like it."""
        turns, at = self._turns, self._at
        if at < len(turns) and turns[at].command == data:
            self._at += 1
            return turns[at]
        recorded = turns[at].command if at < len(turns) else b""
        now = data.hex().upper()
        self.differences.append(Difference(self.commands, "the command", recorded.hex().upper(), now))
        if self._strict:
            self.close()
            return None
        order: tuple[int, ...] = (*range(at, len(turns)), *range(at))
        for length in (None, _HEADER):
            for one in order:
                if turns[one].command[:length] == data[:length]:
                    self._at = one + 1
                    return turns[one]
        return None


class ReplayField:
    """A field in which a recorded card lies; each `wait` begins the record anew."""

    def __init__(
        self, session: Session | CardRecord, reader: str = "replay", *, strict: bool = False
    ) -> None:
        self.reader = reader
        self.link: Replay | None = None
        self._session = session
        self._strict = strict
        self._closed = False

    def wait(self, timeout_s: float) -> Present | None:  # noqa: ARG002
        """The recorded card, as it was when it came."""
        self._leave()
        if self._closed:
            raise LinkClosed("the field is off")
        self.link = Replay(self._session, strict=self._strict)
        if isinstance(self._session, CardRecord):
            return Present(self.link, self._session.kind, atr=self._session.atr)
        return Present(self.link, count=self._session.cards)

    def removed(self, timeout_s: float) -> bool:  # noqa: ARG002
        """False: a record lies where it lies."""
        return False

    def close(self) -> None:
        """Turn the field off."""
        self._leave()
        self._closed = True

    def _leave(self) -> None:
        if self.link is not None:
            self.link.close()


class ReplayDriver:
    """The driver of recorded sessions: a reader is a file. `strict` ends a replay at the first difference."""

    name = "replay"

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict

    def readers(self) -> list[str]:
        """None: a file is named."""
        return []

    def open(self, reader: str = "") -> ReplayField:
        """The field of the session in this file; NoReader where there is no such file.

        Raises DecodeError where its text is no session.
        """
        try:
            with open(reader, encoding="utf-8", errors="replace") as file:
                text = file.read(4 * MAX_SIZE)
        except (OSError, ValueError) as error:
            raise NoReader(f"no session can be read from {reader!r} ({error}); replay:FILE") from None
        return ReplayField(decode(text), reader, strict=self._strict)


def _turns(trace: Sequence[Exchange]) -> list[_Turn]:
    found: list[_Turn] = []
    for one in trace:
        if one.kind == "command":
            found.append(_Turn(one.data, None, ()))
        elif one.kind == "card" and found:
            found[-1] = found[-1]._replace(decisions=(*found[-1].decisions, Decision(one.step, one.text)))
        elif one.kind == "response" and found:
            found[-1] = found[-1]._replace(response=one)
    return found


class Played(NamedTuple):
    """What came of a replay: the reader's outcome, the new trace, and where both leave the record."""

    result: Result | None
    trace: tuple[Exchange, ...]
    differences: tuple[Difference, ...]

    @property
    def approved(self) -> bool:
        """Whether the reader's last word is an approval."""
        return self.result is not None and self.result.status is Status.APPROVED


def play(session: Session, *, strict: bool = False) -> Played:
    """Live through a session again: a terminal with the recorded settings, the recorded card and issuer.

    The new trace has the recorded times as far as it is the recorded one.
    """
    machine, link = EntryPoint(session.reader, session.purchase), Replay(session, strict=strict)
    recorder = Recorder(link, clock=lambda: 0)
    result = dialogue.run(machine, recorder, session.cards)
    checks = [one for one in session.trace if one.kind == "issuer"]
    answers = [one for one in session.trace if one.kind == "answer"]
    if result is not None and result.status is Status.ONLINE_REQUEST and answers:
        recorder.trace += checks
        result = dialogue.finish(machine, recorder, result, decode_answer(answers[0].data))
    trace = _timed(recorder.trace, session.trace)
    return Played(result, trace, (*link.differences, *_compared(session, result, trace)))


def _timed(trace: Sequence[Exchange], recorded: Sequence[Exchange]) -> tuple[Exchange, ...]:
    pairs = zip(trace, recorded, strict=False)
    found = [old if new == old._replace(at_us=0) else new for new, old in pairs]
    return (*found, *trace[len(found) :])


def _compared(session: Session, result: Result | None, trace: Sequence[Exchange]) -> list[Difference]:
    """The first decision or message that is another one, and how the outcomes differ."""
    found: list[Difference] = []
    before, after = _said(session.trace), _said(trace)
    for number in range(max(len(before), len(after))):
        old, new = (rows[number] if number < len(rows) else (0, "") for rows in (before, after))
        if old[1] != new[1]:
            found.append(Difference(new[0] or old[0], "the terminal", old[1], new[1]))
            break
    now = outcome_of(result)
    for name in sorted({*session.outcome, *now}):
        old_word, new_word = session.outcome.get(name, ""), now.get(name, "")
        if old_word != new_word:
            found.append(Difference(0, _NAMES.get(name, name), old_word, new_word))
    return found


_NAMES: Final = {"outcome": "the outcome", "text": "why", "cvm": "the cardholder", "tvr": "TVR", "tsi": "TSI"}


def _said(trace: Sequence[Exchange]) -> list[tuple[int, str]]:
    """What the terminal decided and showed: after which command, in words."""
    found: list[tuple[int, str]] = []
    commands = 0
    for one in trace:
        commands += one.kind == "command"
        if one.kind in _COMPARED:
            found.append((commands, f"{one.step} {one.text}".strip()))
    return found
