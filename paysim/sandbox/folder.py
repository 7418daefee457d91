"""A keys folder's own sandbox, and its cards in processes of their own: `paysim card` and `paysim tap`.

    .paysim/taps.db                         the journal: orders, money, what the issuer knows of its cards
    .paysim/emv-memory-alice-visa.json      what that card remembers: its counter, its balance

Whoever opens the folder first issues its cards, so the card in one process is known to the issuer in another:
both have its number and its keys from here. A card's memory is its own, and is written before its answer
leaves; a second run goes on where the first ended.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from paysim.core.clock import SystemClock
from paysim.core.errors import ConfigError, LinkClosed, LinkTimeout, UsageError
from paysim.core.money import Money
from paysim.emv.card import Card
from paysim.emv.memory import Change, Memory
from paysim.emv.profile import PROFILES
from paysim.store import Keyring

from .person import Person
from .sandbox import Sandbox

__all__ = ["SEED", "FolderCard", "holder", "opened"]

SEED: Final = 7
"""The seed of every folder's sandbox, so that a card's number is the same wherever the folder is opened."""

JOURNAL: Final = "taps.db"
HOLDER: Final = "Alice"

_FILE_MODE: Final = 0o600
_OPENED_WITH: Final = Money("CNY", 100_000_00)


def opened(keys: Keyring) -> Sandbox:
    """The sandbox of a folder, in the machine's time; every card that there is a profile for is issued."""
    with _alone(keys):
        return _opened(keys)


def _opened(keys: Keyring) -> Sandbox:
    """The same, for who is alone with the folder: of two processes that mint its keys, one would be wrong."""
    sandbox = Sandbox(seed=SEED, store=keys.folder / JOURNAL, keys=keys, clock=SystemClock())
    try:
        alice = holder(sandbox)
        for profile in PROFILES:
            alice.card(profile)
        sandbox._engine.cards.keys.ca_keys()
    except BaseException:
        sandbox.close()
        raise
    return sandbox


def holder(sandbox: Sandbox) -> Person:
    """Whose the cards are."""
    return sandbox.person(HOLDER, balance=_OPENED_WITH)


class FolderCard:
    """A card of a folder, for the card sides of drivers (`drivers.driver.SoftCard`).

    `tear_at` takes it out of the field at that command (from 1), once, after it has acted on it. What its
    profile says of its pace and of its bad contacts happens here. Raises UsageError for a profile that does
    not exist, and for a card that another process holds; ConfigError for a memory that cannot be read.
    """

    def __init__(self, keys: Keyring, profile: str, *, tear_at: int = 0) -> None:
        if profile not in PROFILES:
            raise UsageError(f"a card is one of {', '.join(PROFILES)}, not {profile!r}")
        self._keys = keys
        with _alone(keys), _opened(keys) as sandbox:
            issued = holder(sandbox).card(profile)
            self.id, made = issued.id, issued.made
        self._file = f"emv-memory-{self.id}.json"
        self._lock = _locked(keys, f"emv-memory-{self.id}.lock", wait=False)
        if self._lock is None:
            raise UsageError(
                f"another process holds the card {self.id}; end that one, or take another profile or --keys"
            )
        try:
            self._facts = self._read() or dict(made.memory().facts)
            self.card = Card(made, Memory.of([Change(kind, value) for kind, value in self._facts.items()]))
        except UsageError:
            self.close()
            raise
        self.tear_at = tear_at
        self.commands = 0

    def __repr__(self) -> str:
        return f"FolderCard({self.id!r})"

    def respond(self, command: bytes) -> bytes:
        """The card's answer, its memory written before it.

        Raises LinkTimeout and LinkClosed, where the profile says so, and LinkClosed at `tear_at`.
        """
        self.commands += 1
        profile = self.card.made.profile
        delay_ms = profile.delays_ms.get(command[1], 0) if len(command) > 1 else 0
        if delay_ms:
            time.sleep(delay_ms / 1000)
        answer = self.card.respond(command)
        self._save()
        if self.commands == self.tear_at:
            raise LinkClosed("the card was torn out of the field")
        failure = profile.fails.get(self.commands)
        if failure == "timeout":
            raise LinkTimeout("the card does not answer")
        if failure:
            raise LinkClosed("the answer is garbled")
        return answer

    def power_off(self) -> None:
        """The field is gone."""
        self.card.power_off()

    def close(self) -> None:
        """Let another process have it."""
        if self._lock is not None and self._lock >= 0:
            os.close(self._lock)
        self._lock = None

    def _save(self) -> None:
        changes = self.card.memory.take()
        if changes:
            self._facts.update(changes)
            self._keys.put(self._file, msgspec.json.encode({"facts": self._facts}))

    def _read(self) -> dict[str, Any]:
        kept = self._keys.get(self._file)
        if kept is None:
            return {}
        with contextlib.suppress(msgspec.MsgspecError, UsageError):
            facts: dict[str, int | str] = msgspec.json.decode(kept, type=_Kept).facts
            Memory.of([Change(kind, value) for kind, value in facts.items()])
            return facts
        path = self._keys.folder / self._file
        raise ConfigError(f"{path} cannot be read as a card's memory; for a new card: rm '{path}'")


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    facts: dict[str, int | str]


@contextlib.contextmanager
def _alone(keys: Keyring) -> Iterator[None]:
    """No other process opens the folder inside."""
    handle = _locked(keys, "emv-opening.lock", wait=True)
    try:
        yield
    finally:
        if handle is not None and handle >= 0:
            os.close(handle)


def _locked(keys: Keyring, file: str, *, wait: bool) -> int | None:
    """A handle that holds the lock, None where another process does; -1 where there are no such locks."""
    try:
        import fcntl
    except ImportError:
        return -1
    handle = os.open(keys.folder / file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle
