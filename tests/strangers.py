"""Strangers' cards: an inspection of one, and cards that answer by a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from emv_cards import TODAY

from paysim.codec import tlv
from paysim.codec.apdu import Command
from paysim.drivers.dialogue import Exchange
from paysim.emv.explain import Explained
from paysim.emv.inspection import Done, Inspection, Step, Warn, without_cryptogram
from paysim.emv.inspection_report import Report
from paysim.emv.kernel import Send
from paysim.emv.profile import AIDS
from paysim.sandbox import trace

READING = {0xA4, 0xCA, 0xB2}
GPO = 0xA8


class Looked:
    """What an inspection did to a card: its report, its commands, what was said to its holder before each."""

    def __init__(self, respond: Callable[[bytes], bytes], **options: Any) -> None:
        self.commands: list[Command] = []
        self.answers: list[bytes] = []
        self.said: list[tuple[int, str]] = []
        inspection = Inspection(on=options.pop("on", TODAY), **options)
        step: Step = inspection.start()
        while not isinstance(step, Done):
            if isinstance(step, Warn):
                self.said.append((len(self.commands), step.words))
                step = inspection.go_on()
            else:
                assert isinstance(step, Send)
                self.commands.append(Command.decode(step.command))
                self.answers.append(respond(step.command))
                step = inspection.receive(self.answers[-1])
        self.report: Report = step.report

    def words(self) -> str:
        return "\n".join(text for node in self.report.tree() for text in texts(node))

    def shown(self) -> str:
        """All that people see of it, but for the trace."""
        report = self.report
        lines = [line for node in report.tree() for line in trace.node_lines(node, 0, 10_000)]
        said = [words for _, words in self.said]
        return "\n".join((*lines, *said, report.pan, *report.done, *report.not_done))

    def json(self) -> str:
        """All that programs see of it, but for the trace."""
        return json.dumps([trace.as_object(node) for node in self.report.tree()])

    def exchanges(self) -> list[Exchange]:
        """What is kept of the dialogue."""
        rows = zip(self.commands, self.answers, strict=True)
        kept = (
            (Exchange("command", data=asked.encode()), Exchange("response", data=without_cryptogram(answer)))
            for asked, answer in rows
        )
        return [one for pair in kept for one in pair]

    def asked(self, instruction: int) -> list[Command]:
        return [command for command in self.commands if command.ins == instruction]


def texts(node: Explained) -> Iterator[str]:
    yield " ".join((node.label, node.name, node.value, *node.words, *node.faults))
    for inner in node.inside:
        yield from texts(inner)


FCI = "6F0A8408A00000000310100100" + "9000"
PAN = "4761739001010010"


def hexed(tree: tlv.Tree) -> str:
    return tlv.encode(tree).hex() + "9000"


def directory(*names: bytes, label: bytes = b"STRANGER") -> str:
    entries = tuple((0x61, ((0x4F, name), (0x50, label), (0x87, b"\x01"))) for name in names)
    return hexed(((0x6F, ((0x84, b"2PAY.SYS.DDF01"), (0xA5, ((0xBF0C, entries),)))),))


def fci(name: bytes, *more: tuple[int, Any]) -> str:
    return hexed(((0x6F, ((0x84, name), (0xA5, ((0x50, b"STRANGER"), *more)))),))


def scripted(rows: Mapping[str, str]) -> Callable[[bytes], bytes]:
    """Answers by instruction, and by what follows: `B2:1:2` is record 1 of SFI 2, `CA:9F36` an object."""

    def respond(command: bytes) -> bytes:
        asked = Command.decode(command)
        keys = {
            0xA4: (f"A4:{asked.data.hex()}", "A4:2PAY" if asked.data.startswith(b"2PAY") else "A4:"),
            0xB2: (f"B2:{asked.p1}:{asked.p2 >> 3}",),
            0xCA: (f"CA:{asked.p1:02X}{asked.p2:02X}",),
        }.get(asked.ins, (f"{asked.ins:02X}",))
        return bytes.fromhex(next((rows[key] for key in keys if key in rows), "6A82"))

    return respond


VISA = AIDS["visa"]
