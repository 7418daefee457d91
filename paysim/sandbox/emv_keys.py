"""The keys of the sandbox's card schemes: a CA, an issuer and master keys each, and a key for each card.

    emv-<scheme>-ca, -issuer    RSA, in the keys folder or in memory as PKCS#8
    emv-<scheme>-imk, -smi      16 bytes: application cryptograms, issuer scripts
    emv-card-<id>               RSA: what a card proves itself with

EMV's key lengths and exponents are its own, so these do not come from the ring's own kinds.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Final

from paysim.core.errors import ConfigError
from paysim.crypto import raw_rsa
from paysim.crypto.ca_keys import CaKey
from paysim.crypto.keys import SymmetricKey
from paysim.crypto.raw_rsa import RsaPrivate
from paysim.emv.personalise import Scheme

if TYPE_CHECKING:
    from .engine import Keys

__all__ = ["SCHEMES", "EmvKeys"]

SCHEMES: Final = ("visa", "unionpay")
_CA_BITS: Final = 1984
_ISSUER_BITS: Final = 1408
_CARD_BITS: Final = 1152
_EXPIRES: Final = datetime.date(2049, 12, 31)
"""Assumed: later than any sandbox's day; EMV writes a year in two digits."""


class EmvKeys:
    """The schemes' and cards' keys of one sandbox, minted when they are first needed."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._schemes: dict[str, Scheme] = {}

    def scheme(self, name: str) -> Scheme:
        """A scheme with its CA, its issuer and its master keys."""
        found = self._schemes.get(name)
        if found is None:
            ca, issuer = self._rsa(f"{name}-ca", _CA_BITS), self._rsa(f"{name}-issuer", _ISSUER_BITS)
            imk, smi = self.secret(f"emv-{name}-imk"), self.secret(f"emv-{name}-smi")
            found = self._schemes[name] = Scheme(name, ca, issuer, imk, smi, _EXPIRES)
        return found

    def ca_keys(self) -> tuple[CaKey, ...]:
        """The CA keys that the sandbox's readers load."""
        return tuple(self.scheme(name).ca_key for name in SCHEMES)

    def card(self, id: str) -> RsaPrivate:
        """A card's own key."""
        return self._rsa(f"card-{id}", _CARD_BITS)

    def _rsa(self, name: str, bits: int) -> RsaPrivate:
        file = f"emv-{name}.pk8"
        known = self._keys.get(file)
        if known is None:
            self._keys.put(file, raw_rsa.encode(raw_rsa.generate(bits)))
            known = self._keys.get(file)  # what another process wrote last counts
        if known is None:
            raise ConfigError(f"{file} went away while it was written")
        return raw_rsa.decode(known)

    def secret(self, name: str) -> bytes:
        """16 bytes under a name."""
        key = self._keys.key(name, "aes-128")
        if not isinstance(key, SymmetricKey):
            raise ConfigError(f"{name} is no secret key")
        return key.secret
