"""The cards of a sandbox: what the issuer made, what each card remembers, what the issuer knows of it.

A card's memory is the fold of `card/<id>`, its issuer's record the fold of `issued/<token>`. Numbers and keys
are in neither: the number follows from the seed and the card's id, the keys from the key ring.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from paysim.core.errors import UsageError
from paysim.core.event import Event
from paysim.core.state import FINAL
from paysim.emv.card import Card
from paysim.emv.memory import Change, Memory
from paysim.emv.personalise import Personalisation, make_pan, personalise
from paysim.emv.profile import PROFILES, Profile
from paysim.issuer.accounts import Payer
from paysim.issuer.authorizer import business_day
from paysim.issuer.card_file import CardFile
from paysim.issuer.cards import CardStatus, IssuedCard, MasterKeys
from paysim.issuer.host import Host
from paysim.issuer.policy import PinKeys
from paysim.ledger import accounts

from .emv_keys import EmvKeys

if TYPE_CHECKING:
    from .engine import Draft, Engine

__all__ = ["CardBook", "HeldCard"]

_PSN: Final = "01"
_KEY_INDEX: Final = 1


class HeldCard:
    """A card in somebody's hand: the machine, and how many facts its stream has."""

    def __init__(self, id: str, token: str, person: str, stem: str, card: Card, version: int) -> None:
        self.id = id
        self.token = token
        self.person = person
        self.stem = stem
        self.card = card
        self.version = version
        self.commands = 0
        """How many commands it has got in this process; some profiles fail by that number."""

    def __repr__(self) -> str:
        return f"HeldCard({self.id!r}, {self.token}, ...{self.card.made.pan[-4:]})"

    @property
    def is_ecash(self) -> bool:
        """Whether its offline approvals are paid from money that is on the card."""
        return self.card.made.profile.balance_in_iad

    def save(self, draft: Draft, at_ms: int) -> None:
        """Add what the card's memory took in to a command's facts."""
        for change in self.card.memory.take():
            data = {"kind": change.kind, "value": change.value}
            draft.add(f"card/{self.id}", self.version, Event("changed", at_ms, data=data))
            self.version += 1


class CardBook:
    """Every card of a sandbox, and their issuer's host."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.keys = EmvKeys(engine.keys)
        self.records: dict[str, dict[int, bytes]] = {}
        """What terminals keep of cards until it is cleared: name -> data record."""
        self.waiting: set[str] | None = None
        """Orders that may wait for clearing, None where nobody has looked."""
        self._made: dict[str, Personalisation] = {}
        self.forget()

    def forget(self) -> None:
        """Drop what was folded from the journal; what was personalised stays."""
        self._held: dict[str, HeldCard] = {}
        self._file = CardFile()
        self._records: dict[str, int] = {}
        self._host: Host | None = None
        self.waiting = None

    @property
    def host(self) -> Host:
        """The issuer of all cards of the sandbox."""
        if self._host is None:
            self._host = Host(self._file, self._engine.tally, PinKeys(triple_des=self.pin_key()))
        return self._host

    def pin_key(self) -> bytes:
        """What terminals encipher PIN blocks with, 16 bytes."""
        return self.keys.secret("emv-pin")

    # Issuing. ---------------------------------------------------------------------------------

    def issue(self, payer: Payer, profile: str, name: str, source: str, *, no_pin: bool = True) -> str:
        """The id of a person's card, made at its first mention; `no_pin` False: it always wants its PIN.

        Raises UsageError for a profile or a source that does not exist, or a card of that name that is
        another.
        """
        wanted = PROFILES.get(profile)
        if wanted is None:
            raise UsageError(f"a card is one of {', '.join(PROFILES)}, not {profile!r}")
        found = payer.source(source)
        if found is None:
            raise UsageError(f"{payer.name} has no source {source!r} for a card")
        id = f"{payer.id}-{name or profile}"
        events = self._engine.journal.stream(f"card/{id}")
        if events:
            data = events[0].data
            if data["profile"] != profile or not (no_pin or data.get("always_pin")):
                raise UsageError(f"the card {id} is another ({data['profile']}); give this one a name")
            return id
        self._issue(id, payer, wanted, found.stem, no_pin)
        return id

    def _issue(self, id: str, payer: Payer, profile: Profile, stem: str, no_pin: bool) -> None:
        engine, at_ms = self._engine, self._engine.now_ms()
        number, pan, token = self._number(id, profile)
        data: dict[str, Any] = {
            "profile": profile.name,
            "person": payer.id,
            "stem": stem,
            "number": number,
            "token": token,
            "last_four": pan[-4:],
            "on": business_day(at_ms).isoformat(),
        }
        if not no_pin:
            data["always_pin"] = True
        transfers = accounts.load_card("CNY", profile.balance_minor if profile.balance_in_iad else 0)
        draft = engine.draft()
        draft.add(f"card/{id}", 0, Event("issued", at_ms, transfers=transfers, data=data), f"card/{token}")
        draft.commit()

    def _number(self, id: str, profile: Profile) -> tuple[int, str, str]:
        """The first number of the card's own row that no other card has: its place, PAN and token."""
        for number in range(100):
            pan = self._pan(id, number, profile.scheme)
            token = _token(pan)
            if not self._engine.journal.find(f"card/{token}"):
                return number, pan, token
        raise UsageError("there are too many cards in this sandbox")

    def _pan(self, id: str, number: int, scheme: str) -> str:
        return make_pan(scheme, self._engine.seed.below(f"pan {id}", number, 10**9))

    # Holding. ---------------------------------------------------------------------------------

    def held(self, id: str) -> HeldCard:
        """A card as its facts have left it, and its issuer's record beside it; UsageError for none."""
        found = self._held.get(id)
        if found is not None:
            return found
        events = self._engine.journal.stream(f"card/{id}")
        if not events:
            raise UsageError(f"there is no card {id!r} in this sandbox")
        issued = events[0].data
        made = self._personalised(id, issued)
        changes = [Change(e.data["kind"], e.data["value"]) for e in events if e.kind == "changed"]
        memory = Memory.of([*made.memory().facts, *changes])
        card = Card(made, memory)
        found = HeldCard(id, issued["token"], issued["person"], issued["stem"], card, len(events))
        self._held[id] = found
        self._file_card(found, no_pin=not issued.get("always_pin", False))
        return found

    def by_number(self, pan: str) -> HeldCard | None:
        """The card with this number, None where this sandbox has issued none."""
        stream = self._engine.journal.find(f"card/{_token(pan)}") if pan else ""
        return self.held(stream.partition("/")[2]) if stream else None

    def _personalised(self, id: str, issued: dict[str, Any]) -> Personalisation:
        made = self._made.get(id)
        if made is None:
            profile = PROFILES[issued["profile"]]
            scheme = self.keys.scheme(profile.scheme)
            pan = self._pan(id, issued["number"], profile.scheme)
            key = self.keys.card(id) if profile.signs else None
            on = datetime.date.fromisoformat(issued["on"])
            made = self._made[id] = personalise(profile, pan, _PSN, scheme.issuer_keys, key, on=on)
        return made

    def _file_card(self, held: HeldCard, *, no_pin: bool) -> None:
        made = held.card.made
        scheme = self.keys.scheme(made.profile.scheme)
        payer = self._engine.payer(held.person)
        card = IssuedCard(
            token=held.token,
            pan=made.pan,
            psn=made.psn,
            scheme=made.profile.scheme,
            expires=made.expires,
            holder=held.person,
            stem=held.stem,
            keys={_KEY_INDEX: MasterKeys(scheme.imk, scheme.script_imk)},
            methods=(made.profile.method,),
            pin_hash=payer.pin_hash if payer else "",
            no_pin=no_pin,
            offline_account=accounts.ECASH_FLOAT if held.is_ecash else "",
        )
        facts = self._engine.journal.stream(f"issued/{held.token}")
        self._file.add(card, facts)
        self._records[held.token] = len(facts)

    def remember(self, draft: Draft, token: str, facts: tuple[Event, ...]) -> None:
        """Add what the issuer learned of a card to a command's facts, and to its record.

        What a stranger's issuer says of cards of its own is its own to remember.
        """
        if token not in self._records:
            return
        for fact in facts:
            draft.add(f"issued/{token}", self._records[token], fact)
            self._records[token] += 1
        self._file.apply(token, facts)

    # The issuer's counter. --------------------------------------------------------------------

    def report(self, id: str, status: CardStatus) -> int:
        """Set a card's status; what a lost card's holder is given back, in minor units.

        Source: market rule R07. Assumed: a stolen card is covered as a lost one, and at once.
        """
        held, engine, draft = self.held(id), self._engine, self._engine.draft()
        at_ms = engine.now_ms()
        facts = engine.journal.stream(f"issued/{held.token}")
        given = {row[0]: row[1] for fact in facts if fact.kind == "covered" for row in fact.data["payments"]}
        fact, cover = self.host.report(
            held.token, status, at_ms, facts, lambda operation: self._returned(operation, given)
        )
        self.remember(draft, held.token, (fact,))
        lost = status in (CardStatus.LOST, CardStatus.STOLEN)
        if lost and cover.total_minor:
            minor, data = cover.total_minor, {"payments": [list(row) for row in cover.payments]}
            paid = accounts.cover_card(held.stem, "CNY", minor)
            covered = Event("covered", at_ms, "", minor, None, paid, cover.counts, data)
            self.remember(draft, held.token, (covered,))
        draft.commit()
        return cover.total_minor if lost else 0

    def _returned(self, operation: str, covered: Mapping[str, int]) -> int:
        """What of a card's payment came back to its holder, or never left."""
        history = self._engine.find(operation.partition(".")[0])
        if history is None:
            return covered.get(operation, 0)
        book = history.book
        if book.state in FINAL:
            return book.amount_minor
        return book.refunded_minor + covered.get(operation, 0)


def _token(pan: str) -> str:
    """What names a card instead of its number."""
    return "card-" + hashlib.sha256(f"paysim card {pan}".encode()).hexdigest()[:12]
