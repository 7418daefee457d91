"""`paysim readers`: the readers that there are, the cards before them, and what comes and goes."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from paysim.core.errors import NoReader, PaysimError
from paysim.drivers.driver import Driver, Field
from paysim.drivers.registry import driver

from .screen import Screen

__all__ = ["run"]

NONE: Final = 1

_DRIVERS: Final = ("pcsc", "nfc")
"""Where readers are looked for unless it is said."""

_GLANCE_S: Final = 0.3
"""How long a field is looked at for a card."""

_TURN_S: Final = 0.3
"""How often, at most, --watch looks."""


class _Seen(NamedTuple):
    """What is before a reader: no card where it has no kind; why nobody can tell, where there is trouble."""

    kind: str = ""
    uid: str = ""
    atr: str = ""
    trouble: str = ""

    @property
    def words(self) -> str:
        """It in words."""
        return self.trouble or self.kind or "no card"


_View = dict[str, _Seen]
"""Reader, as `--driver` names it -> what is before it."""


class _Eye(Protocol):
    """Who looks at the readers of a driver."""

    def look(self) -> _View:
        """What there is now; raises NoReader."""

    def close(self) -> None:
        """Let go of the readers."""


def run(arguments: Namespace, screen: Screen) -> int:
    """List, or watch. 0 where there is a reader, 1 where there is none."""
    eyes = {name: _eye(name) for name in arguments.driver or _DRIVERS}
    try:
        if arguments.watch:
            _watch(eyes, screen)
        view, troubles = _looked(eyes)
    finally:
        for eye in eyes.values():
            eye.close()
    screen.table(
        ("--driver", "card", "UID", "ATR"),
        [(name, seen.words, seen.uid, seen.atr) for name, seen in view.items()],
    )
    if not view:
        screen.head("no reader", good=False)
    for name, why in troubles.items():
        screen.say(f"  {name}: {why}")
    screen.result({"readers": [_object(*row) for row in view.items()], "troubles": troubles})
    return 0 if view else NONE


def _looked(eyes: Mapping[str, _Eye]) -> tuple[_View, dict[str, str]]:
    """What there is, and why a driver has nothing to offer."""
    view: _View = {}
    troubles: dict[str, str] = {}
    for name, eye in eyes.items():
        try:
            found = eye.look()
        except NoReader as error:
            troubles[name] = str(error)
            continue
        view |= found
        if not found:
            troubles[name] = "no reader is plugged in"
    return view, troubles


def _object(name: str, seen: _Seen) -> dict[str, Any]:
    card = {"kind": seen.kind, "uid": seen.uid, "atr": seen.atr} if seen.kind else None
    return {"reader": name, "card": card, "trouble": seen.trouble}


# Looking. -------------------------------------------------------------------------------------------------


def _eye(name: str) -> _Eye:
    """Raises UsageError for a driver that does not exist."""
    made, rest = driver(name)
    return _Service(rest) if made.name == "pcsc" else _Fields(made, rest)


class _Service:
    """The readers of the smart card service, which knows what lies in them: no card is disturbed."""

    def __init__(self, part: str) -> None:
        self._part = part

    def look(self) -> _View:
        from paysim.drivers.pcsc import is_named, kind
        from paysim.drivers.pcsc_status import slots

        view: _View = {}
        found = slots()
        for slot in found:
            if not is_named(slot.reader, self._part):
                continue
            words = "" if slot.atr is None else kind(slot.atr) if slot.atr else "a card that does not answer"
            held = ", held by another program" if slot.held else ""
            view[f"pcsc:{slot.reader}"] = _Seen(words and words + held, "", (slot.atr or b"").hex().upper())
        if found and not view:
            there = ", ".join(slot.reader for slot in found)
            raise NoReader(f"no reader has {self._part!r} in its name; there are {there}")
        return view

    def close(self) -> None:
        """Nothing is held."""


class _Fields:
    """Readers whose field must be on to see a card; a card that lies there still is not activated again."""

    def __init__(self, made: Driver, rest: str) -> None:
        self._made = made
        self._rest = rest
        self._fields: dict[str, Field] = {}
        self._view: _View = {}

    def look(self) -> _View:
        names = [self._rest] if self._rest else self._made.readers()
        for name in [one for one in self._fields if one not in names]:
            self._fields.pop(name).close()
        self._view = {f"{self._made.name}:{name}": self._before(name) for name in names}
        return self._view

    def _before(self, name: str) -> _Seen:
        seen = self._view.get(f"{self._made.name}:{name}", _Seen())
        try:
            field = self._fields.get(name)
            if field is None:
                field = self._fields[name] = self._made.open(name)
            if seen.kind and not field.removed(_GLANCE_S):
                return seen
            card = field.wait(0 if seen.kind else _GLANCE_S)
        except PaysimError as error:
            if name in self._fields:
                self._fields.pop(name).close()
            if isinstance(error, NoReader) and self._rest:  # nobody but the prompt says that there is one
                raise
            return _Seen(trouble=str(error))
        if card is None:
            return _Seen()
        words = card.kind if card.count < 2 else f"{card.count} cards"
        return _Seen(words, card.uid.hex().upper(), card.atr.hex().upper())

    def close(self) -> None:
        for field in self._fields.values():
            field.close()
        self._fields.clear()


# Live. ----------------------------------------------------------------------------------------------------


def _watch(eyes: Mapping[str, _Eye], screen: Screen) -> None:
    """Say what comes and goes, until Ctrl-C."""
    screen.say("readers and cards as they come and go; Ctrl-C ends it")
    view: _View = {}
    troubles: dict[str, str] = {}
    while True:
        begun = time.monotonic()
        before, known = view, troubles
        view, troubles = _looked(eyes)
        for name, why in troubles.items():
            if known.get(name) != why:
                _event(screen, {"event": "trouble", "driver": name, "trouble": why}, f"{name}: {why}")
        for name in before.keys() - view.keys():
            _event(screen, {"event": "reader gone", **_object(name, _Seen())}, f"{name}: gone")
        for name, seen in view.items():
            if name not in before:
                _event(screen, {"event": "reader", **_object(name, seen)}, f"{name}: {_line(seen)}")
            elif seen != before[name]:
                kind = "trouble" if seen.trouble else "card" if seen.kind else "card gone"
                _event(screen, {"event": kind, **_object(name, seen)}, f"{name}: {_line(seen)}")
        time.sleep(max(0.0, _TURN_S - (time.monotonic() - begun)))


def _line(seen: _Seen) -> str:
    return " ".join(filter(None, (seen.words, seen.uid, seen.atr)))


def _event(screen: Screen, found: dict[str, Any], words: str) -> None:
    screen.say(f"{time.strftime('%H:%M:%S')}  {words}")
    Screen(quiet=screen.quiet, as_json=screen.as_json).result(found)
    screen.flush()
