"""WeChat Pay's keys, from the keys folder or from memory: minted once, and their certificates issued.

    wechat-root            signs the certificates of platform and merchants
    wechat-platform        the platform's certificate key; older numbers overlap with the one in use
    wechat-public          the platform's public key pair
    wechat-<mchid>         a merchant's API key pair
    wechat-<mchid>-v3, -v2 its APIv3 and APIv2 keys: 32 characters, the hex of 16 bytes
    wechat-token           signs download links

Certificates lie beside them as `<name>.<number>.crt`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from paysim.core.clock import DAY_MS, SystemClock
from paysim.core.errors import ConfigError
from paysim.crypto import authority
from paysim.crypto.authority import Authority, Certificate
from paysim.crypto.keys import PrivateKey, SymmetricKey
from paysim.crypto.signature import Signer, Verifier
from paysim.operators.wechat.keys import (
    SCHEME_NAME,
    MerchantCertificate,
    MerchantKeys,
    PlatformCertificate,
    PlatformKeys,
)

if TYPE_CHECKING:
    from .engine import Keys

__all__ = ["WeChatKeys"]

YEARS_5: Final = 5 * 365
_ID_DIGITS: Final = 34


class WeChatKeys:
    """The keys of one sandbox's WeChat Pay, made when they are first needed."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._clock = SystemClock()
        self._platform: dict[bool, PlatformKeys] = {}
        self._merchants: dict[str, MerchantKeys] = {}

    def forget(self) -> None:
        """Read them anew: another process may have rotated one."""
        self._platform.clear()
        self._merchants.clear()

    # The platform. ----------------------------------------------------------------------------

    def platform(self, *, issues_certificates: bool) -> PlatformKeys:
        """The platform's keys, with or without certificates to download."""
        found = self._platform.get(issues_certificates)
        if found is None:
            found = self._platform[issues_certificates] = PlatformKeys.of(
                self._certificates(),
                self.public_key_id(),
                self._private("wechat-public"),
                issues_certificates=issues_certificates,
            )
        return found

    def public_key_id(self) -> str:
        """PUB_KEY_ID_ and 34 digits, which follow from the key."""
        digits = int.from_bytes(bytes.fromhex(self._private("wechat-public").id[:32].encode().hex()), "big")
        return "PUB_KEY_ID_" + str(digits)[-_ID_DIGITS:].rjust(_ID_DIGITS, "0")

    def _certificates(self) -> tuple[PlatformCertificate, ...]:
        self._private("wechat-platform")
        found = []
        for held in self._keys.held("wechat-platform", self._clock.now_ms()):
            if not isinstance(held.key, PrivateKey):
                raise ConfigError("wechat-platform is no key pair")
            certificate = self._certificate("wechat-platform", held.number, held.key, "")
            start = self._keys.get(f"wechat-platform.{held.number}.start")
            start_ms = int(start) if start else None
            found.append(PlatformCertificate.of(certificate, held.key, start_ms=start_ms))
        return tuple(found)

    def rotate(self, *, overlap_ms: int = DAY_MS, sign_after_ms: int = 0) -> str:
        """The serial of a new platform certificate; the old one stays valid for `overlap_ms`.

        Clients can download it at once; it signs from `sign_after_ms` on.
        """
        self._private("wechat-platform")
        now_ms = self._clock.now_ms()
        self._keys.rotate("wechat-platform", at_ms=now_ms, overlap_ms=overlap_ms)
        number = self._keys.held("wechat-platform", now_ms)[0].number
        self._keys.put(f"wechat-platform.{number}.start", str(now_ms + sign_after_ms).encode())
        self._platform.clear()
        return self._certificates()[0].serial

    # Merchants. -------------------------------------------------------------------------------

    def merchant(self, mchid: str) -> MerchantKeys:
        """A merchant's certificate, keys and signer."""
        found = self._merchants.get(mchid)
        if found is None:
            key = self._private(f"wechat-{mchid}")
            number = self._keys.held(f"wechat-{mchid}", self._clock.now_ms())[0].number
            certificate = self._certificate(f"wechat-{mchid}", number, key, mchid)
            api_v3, api_v2 = (self._text(f"wechat-{mchid}-{version}") for version in ("v3", "v2"))
            signer = Signer(SCHEME_NAME, key)
            kept = (MerchantCertificate.of(certificate),)
            found = self._merchants[mchid] = MerchantKeys(mchid, kept, api_v3, api_v2, signer)
        return found

    def set(self, keys: MerchantKeys) -> None:
        """Let a merchant have other keys than those that are kept, until the sandbox ends: for tests."""
        self._merchants[keys.mchid] = keys

    def others(self, mchids: Iterable[str]) -> Mapping[str, Verifier]:
        """What a client may have signed with by mistake: merchants' keys that there are, the platform's."""
        now_ms, found = self._clock.now_ms(), {}
        for mchid in mchids:
            if mchid in self._merchants or self._keys.held(f"wechat-{mchid}", now_ms):
                for one in self.merchant(mchid).certificates[:1]:
                    found[f"{mchid}'s API key"] = one.verifier
        for serial, verifier in self.platform(issues_certificates=True).verifiers().items():
            found[f"the platform's key {serial}"] = verifier
        return found

    def files(self, mchid: str) -> dict[str, bytes]:
        """What a merchant's client is configured with: its key, its certificate, the public key."""
        key = self._private(f"wechat-{mchid}")
        public = self._private("wechat-public").public()
        return {
            "apiclient_key.pem": key.pem(),
            "apiclient_cert.pem": self.merchant(mchid).certificates[0].certificate.pem(),
            "pub_key.pem": public.pem(),
        }

    def token_secret(self) -> bytes:
        """What download links are signed with."""
        return self._secret("wechat-token").secret

    # What is minted. --------------------------------------------------------------------------

    def _private(self, name: str) -> PrivateKey:
        key = self._keys.key(name, "rsa-2048")
        if not isinstance(key, PrivateKey):
            raise ConfigError(f"{name} is no key pair")
        return key

    def _secret(self, name: str) -> SymmetricKey:
        key = self._keys.key(name, "aes-128")
        if not isinstance(key, SymmetricKey):
            raise ConfigError(f"{name} is no secret key")
        return key

    def _text(self, name: str) -> str:
        return self._secret(name).secret.hex()

    def _root(self) -> Authority:
        key = self._private("wechat-root")
        known = self._keys.get("wechat-root.1.crt")
        if known is not None:
            return Authority(authority.certificate(known), key)
        root = authority.found(key, serial=_serial(), start_ms=self._begin_ms(), days=2 * YEARS_5)
        self._keys.put("wechat-root.1.crt", root.certificate.pem())
        return root

    def _certificate(self, name: str, number: int, key: PrivateKey, mchid: str) -> Certificate:
        """The certificate of a key, issued where there is none or it was another key's."""
        file = f"{name}.{number}.crt"
        known = self._keys.get(file)
        if known is not None:
            certificate = authority.certificate(known)
            if certificate.key == key.public() and self._clock.now_ms() < certificate.end_ms:
                return certificate
        serial, start_ms = _serial(), self._begin_ms()
        root = self._root()
        if mchid:
            made = root.merchant(key.public(), mchid, serial=serial, start_ms=start_ms, days=YEARS_5)
        else:
            made = root.platform(key.public(), serial=serial, start_ms=start_ms, days=YEARS_5)
        self._keys.put(file, made.pem())
        return made

    def _begin_ms(self) -> int:
        return self._clock.now_ms() - DAY_MS


def _serial() -> int:
    return authority.serial_number(secrets.token_bytes(20))
