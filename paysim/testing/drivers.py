"""The contract of `paysim.drivers.driver` as a suite that any driver can be run through.

A `Bench` is the driver, and the hands that lay a card on its reader. In pytest, one test a case:

    @pytest.mark.parametrize("case", drivers.cases("my reader", MyBench))
    def test_my_reader(case):
        case()

Elsewhere: `print(drivers.run("my reader", MyBench))`. `MyBench` is called for each case and gives a Bench.
What a bench cannot show (a recorded card is never taken away) it names in `lacks`: those cases are skipped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol

from paysim.core.errors import LinkClosed, LinkError, LinkTimeout, NoReader
from paysim.drivers.driver import Driver, Field, Present, SoftCard

from .conformance import Report, Row
from .scene import ConformanceError

__all__ = ["CASES", "LACKS", "Bench", "Case", "ScriptedCard", "cases", "play", "run"]

LACKS: Final[Mapping[str, str]] = {
    "readers": "its readers cannot be listed",
    "removal": "a card cannot be taken away, or be missing",
    "silence": "a card cannot stay silent",
    "tear": "a card cannot be torn out in the middle of a command",
    "power": "the card does not learn that the field was off",
    "arrival": "a card cannot come while the reader waits",
    "odd lengths": "an answer that no card may give cannot be given",
}
"""What a bench may lack -> why a case is skipped then."""

WAIT_S: Final = 10.0
"""How long a card that is there may take to be found."""

LATE_S: Final = 1.0
"""How much later than its time-out a call may return here: half a second, and a busy machine's half."""


class Bench(Protocol):
    """A driver on a table, with a card in somebody's hand."""

    driver: Driver
    """Made so that a command may take two seconds at most, or the suite takes long."""
    reader: str
    """What `driver.open` is given."""
    lacks: frozenset[str]
    """Rows of LACKS."""

    def insert(self, card: SoftCard, commands: Sequence[bytes] = ()) -> None:
        """Lay this card on the reader, in place of another; it will be sent these commands, in order."""

    def remove(self) -> None:
        """Take the card away; nothing where none is there."""

    def close(self) -> None:
        """Clear the table."""


class ScriptedCard:
    """A card with an answer to each command; an error in an answer's place is raised."""

    decisions: tuple[Any, ...] = ()

    def __init__(self, answers: Mapping[bytes, bytes | LinkError]) -> None:
        self.answers = dict(answers)
        self.heard: list[bytes] = []
        self.resets = 0

    def respond(self, command: bytes) -> bytes:
        """What the script says; where it says nothing 6D00, or 6700 to one of its commands with an Le."""
        self.heard.append(command)
        known = command[:-1] in self.answers
        answer = self.answers.get(command, b"\x67\x00" if known else b"\x6d\x00")
        if isinstance(answer, LinkError):
            raise answer
        return answer

    def power_off(self) -> None:
        """Counts."""
        self.resets += 1


class Case(NamedTuple):
    """One case: its name, what happens, and what a bench must not lack for it."""

    name: str
    act: Callable[[Bench], None]
    needs: frozenset[str] = frozenset()


CASES: list[Case] = []
"""Every case, in order."""


def _case(name: str, *needs: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    def add(act: Callable[[Bench], None]) -> Callable[[Bench], None]:
        CASES.append(Case(name, act, frozenset(needs)))
        return act

    return add


def _need(held: object, words: str) -> None:
    if not held:
        raise ConformanceError(words)


@contextmanager
def _open(bench: Bench) -> Iterator[Field]:
    field = bench.driver.open(bench.reader)
    try:
        yield field
    finally:
        field.close()


def _came(field: Field) -> Present:
    present = field.wait(WAIT_S)
    if present is None:
        raise ConformanceError(f"the card that lies there was not found in {WAIT_S:g} s")
    return present


def _refused(act: Callable[[], object], kinds: type[Exception] | tuple[type[Exception], ...]) -> str:
    """The error's text; a ConformanceError where there was none of these kinds."""
    names = kinds.__name__ if isinstance(kinds, type) else " or ".join(kind.__name__ for kind in kinds)
    try:
        answer = act()
    except kinds as error:
        return str(error)
    raise ConformanceError(f"{names} was to be raised, and {answer!r} came")


@contextmanager
def _within(seconds: float, what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    _need(took <= seconds + LATE_S, f"{what} took {took:.1f} s, and had {seconds:g} s")


SELECT: Final = bytes.fromhex("00A404000E325041592E5359532E444446303100")
READ: Final = bytes.fromhex("00B2010C00")
GOOD: Final = bytes.fromhex("6F039000")
ANSWERED: Final = {SELECT: GOOD, READ: bytes(range(254)) + b"\x90\x00"}


# Readers. -----------------------------------------------------------------------------------------------


@_case("its readers have names, and the one of the bench opens", "readers")
def _listed(bench: Bench) -> None:
    names = bench.driver.readers()
    _need(names and all(isinstance(name, str) and name for name in names), f"readers() gives {names!r}")
    with _open(bench) as field:
        _need(field.reader, "the field's reader has no name")


@_case("a reader that is not there is a NoReader that says what to do")
def _no_such_reader(bench: Bench) -> None:
    for name in ("no such reader", "没有这个读卡器", "usb:../../etc", "x" * 5000):
        text = _refused(lambda name=name: bench.driver.open(name), NoReader)  # type: ignore[misc]
        _need(len(text) > 20, f"NoReader says only {text!r}")


@_case("a field is closed twice, and gives no card then")
def _closed(bench: Bench) -> None:
    bench.insert(ScriptedCard(ANSWERED), [SELECT])
    field = bench.driver.open(bench.reader)
    present = _came(field)
    field.close()
    field.close()
    _refused(lambda: present.link.transceive(SELECT), LinkClosed)
    _refused(lambda: field.wait(0.1), LinkClosed)


@_case("a reader is opened again and again")
def _reopened(bench: Bench) -> None:
    bench.insert(ScriptedCard(ANSWERED), [SELECT])
    for _ in range(5):
        with _open(bench) as field:
            _need(_came(field).link.transceive(SELECT) == GOOD, "another answer than the card's")


# Waiting. -----------------------------------------------------------------------------------------------


@_case("a card is found, and said what it is")
def _found(bench: Bench) -> None:
    bench.insert(ScriptedCard(ANSWERED), [SELECT])
    with _open(bench) as field:
        present = _came(field)
        _need(isinstance(present.kind, str) and present.kind, f"kind is {present.kind!r}")
        _need(isinstance(present.uid, bytes) and isinstance(present.atr, bytes), "uid and atr are bytes")
        _need(present.count >= 1, f"count is {present.count}")
        _need(isinstance(present.link.decisions, tuple), "decisions is a tuple")


@_case("nobody comes: None, in time", "removal")
def _nobody(bench: Bench) -> None:
    with _open(bench) as field:
        for seconds in (0.0, 0.3):
            with _within(seconds, "wait"):
                _need(field.wait(seconds) is None, "a card was found where none is")
        with _within(0, "removed"):
            _need(field.removed(WAIT_S), "removed is False in an empty field")


@_case("a card comes while the reader waits", "arrival")
def _arrival(bench: Bench) -> None:
    card = ScriptedCard(ANSWERED)
    with _open(bench) as field:
        _need(field.wait(0.1) is None, "a card was found where none is")
        hand = threading.Timer(0.2, bench.insert, (card, [SELECT]))
        hand.start()
        try:
            present = _came(field)
        finally:
            hand.join()
        _need(present.link.transceive(SELECT) == GOOD, "another answer than the card's")


@_case("a card that lies there still is activated anew, and the old link is over")
def _activated_anew(bench: Bench) -> None:
    bench.insert(ScriptedCard(ANSWERED), [SELECT])
    with _open(bench) as field:
        old = _came(field)
        old.link.transceive(SELECT)
        new = _came(field)
        _refused(lambda: old.link.transceive(SELECT), LinkClosed)
        _need(new.link.transceive(SELECT) == GOOD, "another answer than the card's")


@_case("a card forgets what it must between two activations", "power")
def _power(bench: Bench) -> None:
    card = ScriptedCard(ANSWERED)
    bench.insert(card, [SELECT])
    with _open(bench) as field:
        for _ in range(3):
            _came(field).link.transceive(SELECT)
            before = card.resets
        _came(field)
        _need(card.resets > before, "the card was not reset between two waits")


@_case("fifty activations in a row")
def _fifty(bench: Bench) -> None:
    bench.insert(ScriptedCard(ANSWERED), [SELECT])
    with _open(bench) as field:
        for number in range(50):
            answer = _came(field).link.transceive(SELECT)
            _need(answer == GOOD, f"activation {number + 1}: another answer than the card's")


# Carrying. ----------------------------------------------------------------------------------------------


def _commands() -> dict[bytes, bytes]:
    """Commands of the four cases, short, with answers of many lengths and every byte value."""
    rows: dict[bytes, bytes] = {}
    for number, size in enumerate((0, 1, 2, 15, 16, 29, 59, 60, 61, 62, 125, 126, 127, 128, 250, 251)):
        data = bytes((number * 7 + at) % 256 for at in range(size))
        rows[bytes((0x80, 0x10, number, 0)) + bytes((len(data),)) * bool(data) + data] = b"\x90\x00"
        rows[bytes((0x80, 0x12, number, 0, 0))] = data + b"\x90\x00"
        if data:
            rows[bytes((0x80, 0x14, number, 0, size)) + data + b"\0"] = data[::-1] + b"\x90\x00"
    full = bytes(range(255))
    rows[bytes.fromhex("80160000FF") + full + b"\0"] = bytes(reversed(full)) + b"\x00\x90\x00"
    rows[bytes.fromhex("8018000000")] = bytes(range(256)) + b"\x6a\x82"
    return rows


@_case("commands and answers of every short length arrive whole")
def _lengths(bench: Bench) -> None:
    answers = _commands()
    bench.insert(ScriptedCard(answers), list(answers))
    with _open(bench) as field:
        link = _came(field).link
        for command, answer in answers.items():
            came = link.transceive(command)
            _need(came == answer, f"{command.hex()}: {came.hex()} came, and {answer.hex()} was sent")


@_case("status words alone are answers like others")
def _status_words(bench: Bench) -> None:
    words = (0x9000, 0x6283, 0x63C2, 0x6700, 0x6985, 0x6986, 0x6A81, 0x6A82, 0x6D00, 0x6E00, 0x6F00, 0x9FFF)
    answers = {bytes((0, 0xB2, number, 4, 0)): sw.to_bytes(2) for number, sw in enumerate(words, 1)}
    bench.insert(ScriptedCard(answers), list(answers))
    with _open(bench) as field:
        link = _came(field).link
        for command, answer in answers.items():
            _need(link.transceive(command) == answer, f"{answer.hex()} did not arrive")


@_case("an answer of another length than a card's is an answer or a LinkError", "odd lengths")
def _odd_lengths(bench: Bench) -> None:
    for size in (1, 0, 65_538):
        answer = (bytes(range(256)) * 257)[:size]
        bench.insert(ScriptedCard({**ANSWERED, READ: answer}), [READ])
        with _open(bench) as field:
            link = _came(field).link
            try:
                came = link.transceive(READ)
            except LinkError:
                _refused(lambda link=link: link.transceive(SELECT), LinkClosed)  # type: ignore[misc]
            else:
                _need(came == answer, f"{len(came)} bytes came of {size}")
            bench.insert(ScriptedCard(ANSWERED), [SELECT])
            _need(_came(field).link.transceive(SELECT) == GOOD, f"no card after one of {size} bytes")


# What goes wrong. ---------------------------------------------------------------------------------------


@_case("a silent card is a LinkTimeout, and the next card pays", "silence")
def _silence(bench: Bench) -> None:
    bench.insert(ScriptedCard({**ANSWERED, READ: LinkTimeout("says nothing")}), [SELECT, READ])
    with _open(bench) as field:
        link = _came(field).link
        link.transceive(SELECT)
        with _within(WAIT_S, "transceive"):
            _refused(lambda: link.transceive(READ), LinkTimeout)
        _refused(lambda: link.transceive(SELECT), LinkClosed)
        bench.remove()
        bench.insert(ScriptedCard(ANSWERED), [SELECT])
        _need(_came(field).link.transceive(SELECT) == GOOD, "no card after a silent one")


@_case("a card torn out in the middle of a command closes the link, and the next tap works", "tear")
def _torn(bench: Bench) -> None:
    bench.insert(ScriptedCard({**ANSWERED, READ: LinkClosed("torn out")}), [SELECT, READ])
    with _open(bench) as field:
        link = _came(field).link
        link.transceive(SELECT)
        with _within(WAIT_S, "transceive"):
            _refused(lambda: link.transceive(READ), (LinkClosed, LinkTimeout))
        _refused(lambda: link.transceive(SELECT), LinkClosed)
        bench.insert(ScriptedCard(ANSWERED), [SELECT])
        _need(_came(field).link.transceive(SELECT) == GOOD, "no card after a tear")


@_case("a card that is taken away is gone, and comes again", "removal")
def _removal(bench: Bench) -> None:
    with _open(bench) as field:
        for _ in range(3):
            bench.insert(ScriptedCard(ANSWERED), [SELECT])
            link = _came(field).link
            link.transceive(SELECT)
            with _within(0.1, "removed"):
                _need(not field.removed(0.1), "removed is True where a card lies")
            bench.remove()
            _need(field.removed(WAIT_S), "removed is False where no card lies")
            _refused(lambda link=link: link.transceive(SELECT), (LinkClosed, LinkTimeout))  # type: ignore[misc]
            _refused(lambda link=link: link.transceive(SELECT), LinkClosed)  # type: ignore[misc]
            _need(field.wait(0.0) is None, "a card was found where none is")


# Running it. --------------------------------------------------------------------------------------------


def play(make: Callable[[], Bench], case: Case) -> None:
    """Play one case on a bench of its own; raises what went wrong."""
    bench = make()
    try:
        case.act(bench)
    finally:
        bench.remove()
        bench.close()


def _why_skipped(case: Case, lacks: frozenset[str]) -> str:
    return next((LACKS[name] for name in sorted(case.needs & lacks)), "")


def run(name: str, make: Callable[[], Bench]) -> Report:
    """Run every case; what goes wrong in one is its row of the report."""
    rows = []
    for case in CASES:
        bench = make()
        missing = _why_skipped(case, bench.lacks)
        if missing:
            rows.append(Row(case.name, "skipped", missing))
            bench.close()
            continue
        try:
            play(lambda bench=bench: bench, case)  # type: ignore[misc]
        except Exception as error:  # whatever a stranger's driver raises fails the case
            text = str(error) if isinstance(error, ConformanceError) else f"{type(error).__name__}: {error}"
            rows.append(Row(case.name, "failed", text))
        else:
            rows.append(Row(case.name, "passed"))
    return Report(name, tuple(rows))


def cases(name: str, make: Callable[[], Bench], lacks: frozenset[str] = frozenset()) -> list[Any]:
    """The cases as parameters for `pytest.mark.parametrize`: functions of no argument, to be called."""
    import pytest

    def bound(case: Case) -> Callable[[], None]:
        return lambda: play(make, case)

    parameters = []
    for case in CASES:
        missing = _why_skipped(case, lacks)
        marks = [pytest.mark.skip(reason=missing)] if missing else []
        parameters.append(pytest.param(bound(case), id=f"{name}: {case.name}", marks=marks))
    return parameters
