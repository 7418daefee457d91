"""The errors of paysim.

A decline, a status word or an EMV outcome is a value, not an error. What is raised is one of these:

    PaysimError
      UsageError               the caller's mistake
        InvalidTransition      a machine was offered a fact that its state does not allow
        CurrencyMismatch       two currencies in one sum
        Unsupported            a verb or a format outside what the channel declares
        ConfigError            something is missing or set wrongly; the text says what mends it
      ProtocolError            a rule of a standard is broken; `.source` names it when known
        LocalProtocolError     we were asked to send something illegal
        RemoteProtocolError    the peer sent something illegal
        DecodeError            these bytes mean nothing: `.offset`, `.path`, `.decoded_so_far`
        AuthenticityError      a MAC, signature or certificate is wrong
      LinkError                the gap that bytes cross
        LinkTimeout            no answer in time; what the other side did is unknown
        LinkClosed             the other side is gone
        NoReader               no reader, or no such reader
      StoreError               the journal could not be read or written; nothing was applied
        JournalDamaged         a record is cut, edited or missing; `.position` is the first bad one
        VersionConflict        somebody else appended first: load again, decide again
        InvariantBroken        what was to be written breaks a rule of the ledger
"""

from __future__ import annotations

__all__ = [
    "AuthenticityError",
    "ConfigError",
    "CurrencyMismatch",
    "DecodeError",
    "InvalidTransition",
    "InvariantBroken",
    "JournalDamaged",
    "LinkClosed",
    "LinkError",
    "LinkTimeout",
    "LocalProtocolError",
    "NoReader",
    "PaysimError",
    "ProtocolError",
    "RemoteProtocolError",
    "StoreError",
    "Unsupported",
    "UsageError",
    "VersionConflict",
]


class PaysimError(Exception):
    """The root of every error that paysim raises on purpose."""


class UsageError(PaysimError):
    """The caller's mistake."""


class InvalidTransition(UsageError):
    """A machine was offered a fact that its state does not allow; nothing has changed."""

    def __init__(self, state: str, fact: str) -> None:
        super().__init__(f"the fact {fact!r} is not legal in the state {state}")
        self.state = state
        self.fact = fact


class CurrencyMismatch(UsageError):
    """Two currencies in one sum."""


class Unsupported(UsageError):
    """A verb, a format or a picture outside what is declared."""


class ConfigError(UsageError):
    """Something is missing or set wrongly; the text says what mends it."""


class ProtocolError(PaysimError):
    """A rule of a standard is broken; `source` is the standard's section when known."""

    def __init__(self, message: str, *, source: str = "") -> None:
        super().__init__(message)
        self.source = source


class LocalProtocolError(ProtocolError):
    """We were asked to send something illegal."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something illegal."""


class DecodeError(ProtocolError):
    """These bytes or characters mean nothing.

    `offset` counts characters of a text or bytes of a binary value, `path` names the element that
    was being read (`62.01`, `61.4F`), `decoded_so_far` is what was understood before it.
    """

    def __init__(
        self,
        message: str,
        *,
        offset: int = 0,
        path: str = "",
        decoded_so_far: object = None,
        source: str = "",
    ) -> None:
        where = f" (at {path}, offset {offset})" if path else f" (offset {offset})"
        super().__init__(message + where, source=source)
        self.offset = offset
        self.path = path
        self.decoded_so_far = decoded_so_far


class AuthenticityError(ProtocolError):
    """A MAC, signature or certificate is wrong."""


class LinkError(PaysimError):
    """The gap that bytes cross failed."""


class LinkTimeout(LinkError):
    """No answer in time; what the other side did is unknown."""


class LinkClosed(LinkError):
    """The other side is gone."""


class NoReader(LinkError):
    """No reader, or no such reader."""


class StoreError(PaysimError):
    """The journal could not be read or written; nothing was applied."""


class JournalDamaged(StoreError):
    """A record of the journal is cut, edited or missing.

    `position` is the first record that cannot be trusted; every record before it is readable.
    """

    def __init__(self, message: str, *, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


class VersionConflict(StoreError):
    """Somebody else appended first: load again, decide again."""


class InvariantBroken(StoreError):
    """What was to be written breaks a rule of the ledger; nothing was applied."""
