"""A contactless card in software: command bytes in, response bytes out, by a table of commands and states.

    IDLE --SELECT 2PAY--> DIRECTORY --SELECT AID--> SELECTED --GPO--> INITIATED (records, scripts)
                                                        `--GPO refused--> REFUSED: until the next SELECT

`COMMANDS` says which command is understood in which state; everything else has its status word. Power loss
(`power_off`) leads back to IDLE from everywhere; what the card keeps is in its `Memory`, changed at these
points and nowhere else:

| point | change |
|---|---|
| GPO accepted (G5) | ATC + 1 |
| GPO answered by an ARQC | it is kept for issuer update; prepaid (G19): balance falls |
| the last record is read after a TC | balance falls (G16), CTTA rises (G18) |
| the same data at the next GPO | the debit of the torn tap stands for this one; no TC now: it comes back |
| EXTERNAL AUTHENTICATE, issuer script | what they say |

Source: facts 3.4 (commands and status words), 5.1 (answers), EMV 4.4 Book 1 11, Book 3 6.5
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from paysim.codec import tlv
from paysim.codec.apdu import Command
from paysim.codec.bits import bit
from paysim.core.errors import DecodeError
from paysim.crypto.cryptogram import Elements
from paysim.crypto.mac import mac_3
from paysim.crypto.oda import sign_fast

from . import script
from .gpo import ARQC, TC, Offer, Refuse, Verdict, decide
from .memory import Debit, Memory
from .outcome import Decision
from .personalise import Personalisation
from .ppse import PPSE

__all__ = ["COMMANDS", "Card", "State"]


class State(StrEnum):
    """Where a card stands between two commands."""

    IDLE = "IDLE"
    DIRECTORY = "DIRECTORY"
    SELECTED = "SELECTED"
    INITIATED = "INITIATED"
    REFUSED = "REFUSED"


class _Answer(NamedTuple):
    data: bytes
    sw: int = 0x9000


class _Refused(Exception):  # never leaves this module
    def __init__(self, sw: int) -> None:
        super().__init__(f"{sw:04X}")
        self.sw = sw


class _Tap(NamedTuple):
    """What a card holds of the payment that GET PROCESSING OPTIONS began."""

    offer: Offer
    verdict: Verdict
    elements: Elements
    signed: bool
    """The card proves itself to the reader (TC, or an ARQC that is to be authenticated offline)."""
    spends: bool
    """The last record's reading will take money."""


class Card:
    """A card: what its issuer made of it, and its memory. `decisions` are the rows of its last GPO."""

    __slots__ = ("_authenticated", "_selected", "_tap", "confirmed", "decisions", "made", "memory", "state")

    def __init__(self, personalised: Personalisation, memory: Memory | None = None) -> None:
        self.made = personalised
        self.memory = personalised.memory() if memory is None else memory
        self.confirmed = False
        """A phone's holder has confirmed on the device; holds until the field is off."""
        self.power_off()

    def __repr__(self) -> str:
        return f"Card({self.made.profile.name!r}, pan='...{self.made.pan[-4:]}', {self.state})"

    def power_off(self) -> None:
        """The field is gone: all but the memory is forgotten."""
        self.state = State.IDLE
        self.decisions: tuple[Decision, ...] = ()
        self.confirmed = False
        self._selected = -1
        self._tap: _Tap | None = None
        self._authenticated = False

    def respond(self, command: bytes) -> bytes:
        """The response APDU to any bytes: data and status word, or a status word alone.

        Source: ISO/IEC 7816-4 5.1; the order of the checks is Assumed: class and instruction, parameters,
        length, state
        """
        try:
            data, sw = self._respond(command)
        except _Refused as refused:
            return refused.sw.to_bytes(2)
        return data + sw.to_bytes(2)

    def _respond(self, command: bytes) -> _Answer:
        try:
            asked = Command.decode(command)
        except DecodeError:
            raise _Refused(0x6700) from None
        rule = COMMANDS.get(asked.ins)
        if asked.cla not in _CLASSES or (rule and asked.cla != rule.cla):
            raise _Refused(0x6E00)
        if rule is None:
            raise _Refused(0x6D00)
        if self.memory.card_blocked and asked.ins == SELECT:
            raise _Refused(0x6A81)
        rule.check(asked)
        if asked.le != rule.le or len(asked.data) > 255 or bool(asked.data) != rule.has_data:
            raise _Refused(0x6700)
        if self.state not in rule.states:
            raise _Refused(0x6985)
        return rule.act(self, asked)

    # SELECT. --------------------------------------------------------------------------------------

    def _select(self, asked: Command) -> _Answer:
        """The FCI of the directory, or of the first (next) application whose name starts so.

        Source: EMV 4.4 Book 1 11.3, 12.3.3. Assumed: a SELECT that finds nothing changes nothing
        """
        name = asked.data
        if name == PPSE and not asked.p2:
            self._enter(State.DIRECTORY, -1)
            return _Answer(self.made.directory)
        first = self._selected + 1 if asked.p2 else 0
        names = list(self.made.fcis.items())
        for at in range(first, len(names) if len(name) >= _SHORTEST_NAME else 0):
            if names[at][0].startswith(name):
                self._enter(State.SELECTED, at)
                return _Answer(names[at][1], 0x6283 if self.memory.refuses else 0x9000)
        raise _Refused(0x6A82)

    def _enter(self, state: State, selected: int) -> None:
        self.state = state
        self._selected = selected
        self._tap = None
        self._authenticated = False

    # GET PROCESSING OPTIONS. ----------------------------------------------------------------------

    def _initiate(self, asked: Command) -> _Answer:
        """The answer to a reader's offer: a cryptogram and what belongs to it, or a refusal.

        Source: facts 5.1, table `gpo.ROWS`
        """
        offer = Offer(self.made, self.memory, asked.data, confirmed=self.confirmed)
        verdict, trace = decide(offer)
        self.decisions = tuple(trace)
        if isinstance(verdict, Refuse):
            if trace[-1].step not in _BEFORE_COUNTING:
                self.state = State.REFUSED
            raise _Refused(verdict.sw)
        self._tap = self._begun(offer, verdict)
        answer = tlv.encode(((0x77, self._answer(self._tap)),))
        self._keep(self._tap)
        self.state = State.INITIATED
        return _Answer(answer)

    def _begun(self, offer: Offer, verdict: Verdict) -> _Tap:
        elements = self._elements(offer, verdict.results)
        elements["9F26"] = self.made.ac_key.application_cryptogram(elements)
        elements["9F69"] = self._authentication_data(offer, elements["9F26"])
        approved = verdict.information == TC
        online = verdict.information == ARQC and self._authenticates_online(offer)
        signed = self.made.card_key is not None and (approved or online)
        spends = approved and bool(offer.spent or offer.ctta_by)
        return _Tap(offer, verdict, elements, signed, spends)

    def _elements(self, offer: Offer, results: bytes) -> dict[str, bytes]:
        """What cryptogram and signature are made of: the reader's data, AIP, ATC and IAD."""
        elements = {f"{tag:02X}": offer.value(tag) for tag in self.made.slices}
        elements["82"] = self.made.data[0x82]
        elements["9F36"] = self.memory.atc.to_bytes(2)
        elements["9F10"] = self._issuer_data(elements, results, offer)
        return elements

    def _issuer_data(self, elements: Elements, results: bytes, offer: Offer) -> bytes:
        """The issuer application data (9F10), with the balance where the profile shows it.

        Source: facts row IAD (QP). Assumed: the balance is what is left after this payment; its MAC's key
        is the cryptogram's session key.
        """
        profile = self.made.profile
        head = b"\x07" if profile.scheme == "unionpay" else b"\x06"
        version = bytes((self.made.ac_key.method.version,))
        data = head + b"\x01" + version + b"\x03" + results
        if profile.scheme != "unionpay":
            return data
        data += b"\x01"
        if not profile.balance_in_iad:
            return data
        balance = bytes.fromhex(f"{offer.left:010}")
        mac = mac_3(self.made.ac_key.session_key(elements), elements["9F36"] + balance + b"\x00", 2, 4)
        return data + b"\x0a\x01" + balance + mac

    def _authentication_data(self, offer: Offer, cryptogram: bytes) -> bytes:
        """9F69: version, the card's unpredictable number, CTQ.

        Source: facts U8, VC3. Assumed: the number is a digest of the cryptogram, since nothing is drawn here
        """
        choice = self.made.profile.reader_chooses_version and not bit(offer.ttq, "b4.8")
        return bytes((0 if choice else 1,)) + hashlib.sha256(cryptogram).digest()[:4] + offer.ctq

    def _authenticates_online(self, offer: Offer) -> bool:
        """Source: facts, answer "ARQC with ODA wanted" (DC)"""
        if self.made.profile.scheme != "visa" or offer.wants("b2.6"):
            return False
        return bit(offer.ttq, "b1.1") and bit(self.made.data[0x82], "b1.6")

    def _keep(self, tap: _Tap) -> None:
        """What the answer itself commits: a cryptogram that the issuer will answer, money without a TC."""
        memory, offer = self.memory, tap.offer
        if tap.verdict.information == ARQC:
            memory.record("online", (tap.verdict.results + offer.data).hex())
        elif memory.online:
            memory.record("online", "")
        if not tap.spends and (offer.spent or offer.reclaimed.digest):
            self._take(offer)

    def _take(self, offer: Offer) -> None:
        """Commits what the payment does to balance and total, and how it can be taken up again."""
        memory = self.memory
        left, total = offer.left, offer.total
        spent = offer.spent or offer.ctta_by
        debit = Debit(offer.spent, offer.ctta_by, offer.digest).encode() if spent else ""
        for kind, before, now in (("balance", memory.balance, left), ("ctta", memory.ctta, total)):
            if now != before:
                memory.record(kind, now)
        if debit != memory.debit:
            memory.record("debit", debit)

    def _answer(self, tap: _Tap) -> list[tuple[int, bytes]]:
        """The objects of template 77.

        Source: facts 5.1, rows "answer" (QP, DC)
        """
        data, elements = self.made.data, tap.elements
        objects = [
            (0x82, data[0x82]),
            (0x57, data[0x57]),
            (0x9F10, elements["9F10"]),
            (0x9F26, elements["9F26"]),
            (0x9F36, elements["9F36"]),
            (0x9F27, bytes((tap.verdict.information,))),
            (0x5F34, data[0x5F34]),
            (0x9F6C, tap.offer.ctq),
        ]
        if tap.offer.wants("b1.1"):
            objects.append((0x9F5D, _amount(tap.offer.left)))
        objects += [(tag, data[tag]) for tag in (0x9F6E, 0x9F7C) if tag in data]
        if tap.signed:
            objects.append((0x94, self.made.afl))
            objects += self._proof(tap, in_record=False)
        return objects

    def _proof(self, tap: _Tap, *, in_record: bool) -> list[tuple[int, bytes]]:
        """9F69 and 9F4B, as far as they stand here."""
        made, objects = self.made, []
        if made.data_in_record == in_record:
            objects.append((0x9F69, tap.elements["9F69"]))
        if made.signs_in_record == in_record and made.card_key is not None:
            online = tap.verdict.information == ARQC
            signature = sign_fast(made.card_key, tap.elements["9F36"], tap.elements, online=online)
            objects.append((0x9F4B, signature))
        return objects

    # READ RECORD, GET DATA. -----------------------------------------------------------------------

    def _read(self, asked: Command) -> _Answer:
        """A record; the last one is made at the tap, and what was approved is taken when it is read.

        Source: EMV 4.4 Book 3 6.5.11; facts G16 (QP)
        """
        sfi, number = asked.p2 >> 3, asked.p1
        if sfi not in self._files():
            raise _Refused(0x6A82)
        tap = self._tap
        last = tap is not None and (sfi, number) == self.made.last_record
        if last and tap and tap.signed and self.made.signs_in_record:
            record = tlv.encode(((0x70, self._proof(tap, in_record=True)),))
        else:
            record = self.made.records.get((sfi, number), b"")
        if not record:
            raise _Refused(0x6A83)
        if last and tap and tap.spends:
            self._take(tap.offer)
            self._tap = tap._replace(spends=False)
        return _Answer(record)

    def _files(self) -> set[int]:
        return {sfi for sfi, _ in self.made.records}

    def _get_data(self, asked: Command) -> _Answer:
        """One data object.

        Source: EMV 4.4 Book 3 6.5.7; the list of tags: facts, data of a good card (QP)
        """
        tag = asked.p1 << 8 | asked.p2
        value = self._object(tag)
        if value is None:
            raise _Refused(0x6A88)
        return _Answer(tlv.encode(((tag, value),)))

    def _object(self, tag: int) -> bytes | None:
        memory = self.memory
        if tag in _COUNTERS:
            return _COUNTERS[tag](memory)
        if tag in _READABLE:
            return memory.data.get(tag) or self.made.data.get(tag)
        return None

    # Issuer update. -------------------------------------------------------------------------------

    def _authenticate_issuer(self, asked: Command) -> _Answer:
        """Checks the issuer's answer (ARPC 8, response code 2) to the last cryptogram that went online.

        Source: EMV 4.4 Book 3 6.5.4. Assumed: a good one ends the card's being new and clears the CTTA
        """
        rule = self.made.ac_key.method.arpc
        if rule is None:
            raise _Refused(0x6D00)
        if len(asked.data) != _ISSUER_ANSWER:
            raise _Refused(0x6700)
        if self._authenticated or not self.memory.online:
            raise _Refused(0x6985)
        self._authenticated = True
        elements = self._last_online()
        if not script.same(self.made.ac_key.arpc(elements, elements["9F26"], asked.data[8:]), asked.data[:8]):
            raise _Refused(0x6300)
        self.memory.record("last_online", self.memory.atc)
        if self.memory.ctta:
            self.memory.record("ctta", 0)
        if self.memory.debit:
            self.memory.record("debit", "")
        return _Answer(b"")

    def _script(self, asked: Command) -> _Answer:
        """An issuer script command, once its MAC is right. Source: facts 3.4, issuer scripts"""
        if not self.memory.online:
            raise _Refused(0x6985)
        return _Answer(b"", script.apply(asked, self.made, self.memory, self._last_online()))

    def _last_online(self) -> dict[str, bytes]:
        """The elements of the last cryptogram that went online, made again from what the memory kept."""
        kept = bytes.fromhex(self.memory.online)
        size = self.made.pdol_size
        offer = Offer(self.made, self.memory, b"\x83%c%b" % (size, kept[3:]))
        elements = self._elements(offer, kept[:3])
        elements["9F26"] = self.made.ac_key.application_cryptogram(elements)
        return elements


# The table of commands. ---------------------------------------------------------------------------

SELECT: Final = 0xA4

_SHORTEST_NAME: Final = 5
"""Source: EMV 4.4 Book 1 12.2.1 (an AID starts with five bytes of provider)"""

_ISSUER_ANSWER: Final = 10
_BEFORE_COUNTING: Final = ("G1", "G2")
_CLASSES: Final = (0x00, 0x80, 0x84)
_SELECTED: Final = frozenset((State.SELECTED, State.INITIATED, State.REFUSED))


def _amount(minor: int) -> bytes:
    return bytes.fromhex(f"{minor:012}")


_COUNTERS: Final[Mapping[int, Callable[[Memory], bytes]]] = {
    0x9F36: lambda memory: memory.atc.to_bytes(2),
    0x9F13: lambda memory: memory.last_online.to_bytes(2),
    0x9F17: lambda memory: bytes((memory.pin_tries,)),
    0x9F79: lambda memory: _amount(memory.balance),
    0x9F5D: lambda memory: _amount(memory.balance),
}
_READABLE: Final = (0x9F54, 0x9F68, 0x9F6B, 0x9F6D, 0x9F77, 0x9F78)
"""Source: facts row UnionPay, GET DATA (QP)"""


def _check_select(asked: Command) -> None:
    if asked.p1 != 0x04 or asked.p2 not in (0x00, 0x02):
        raise _Refused(0x6A86)


def _check_zero(asked: Command) -> None:
    if asked.p1 or asked.p2:
        raise _Refused(0x6A86)


def _check_record(asked: Command) -> None:
    if asked.p2 & 0x07 != 0x04 or not 1 <= asked.p2 >> 3 <= 30:
        raise _Refused(0x6A86)


def _check_nothing(asked: Command) -> None:
    """Any parameters are understood; what they name may be missing."""


class Rule(NamedTuple):
    """A command that the card knows: class, parameters, whether it brings data, its Le, where it may come."""

    cla: int
    check: Callable[[Command], None]
    has_data: bool
    le: int | None
    states: frozenset[State]
    act: Callable[[Card, Command], _Answer]


# fmt: off
COMMANDS: Final[Mapping[int, Rule]] = {
    # INS      CLA   parameters    data   Le   states                                   what it does
    SELECT: Rule(0x00, _check_select, True, 256, frozenset(State), Card._select),
    0xA8: Rule(0x80, _check_zero, True, 256, frozenset((State.SELECTED,)), Card._initiate),
    0xB2: Rule(0x00, _check_record, False, 256, frozenset((State.INITIATED,)), Card._read),
    0xCA: Rule(0x80, _check_nothing, False, 256, _SELECTED, Card._get_data),
    0x82: Rule(0x00, _check_zero, True, None, _SELECTED, Card._authenticate_issuer),
    **{ins: Rule(0x84, _check_nothing, True, None, _SELECTED, Card._script) for ins in script.COMMANDS},
}
# fmt: on
"""What is not here is 6D00 on contactless: GENERATE AC, INTERNAL AUTHENTICATE, VERIFY, GET RESPONSE, ...

Source: facts 3.4. Assumed: Le is 00 where an answer is expected; extended lengths are not understood.
"""
