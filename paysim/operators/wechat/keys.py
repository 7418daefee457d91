"""Whose keys sign and seal in WeChat Pay: the merchant's, and the platform's two kinds.

    merchant   API certificates (one in use, older ones beside it), the APIv3 key, the APIv2 key
    platform   certificates: five years, an old and a new one overlap; clients download them
               public key: named by an id `PUB_KEY_ID_...`; clients are given it once, it never expires

Values, made by the sandbox and given to the machine. `repr` names keys and shows no secret.

Source: WeChat Pay merchant/4013053053 (merchant certificates), 4013053420 (platform certificates), 4012153196
(public keys), 4012154180 (from certificates to the public key)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from paysim.core.errors import UsageError
from paysim.crypto.authority import Certificate
from paysim.crypto.keys import PrivateKey, PublicKey
from paysim.crypto.sealed import Oaep
from paysim.crypto.signature import Signer, Verifier

__all__ = [
    "API_KEY_CHARACTERS",
    "PUBLIC_KEY_PREFIX",
    "SCHEME_NAME",
    "Kind",
    "MerchantCertificate",
    "MerchantKeys",
    "PlatformCertificate",
    "PlatformKeys",
    "Status",
]

Kind = Literal["certificate", "public_key"]
"""Which of the platform's keys signs an answer or a callback."""

Status = Literal["valid", "revoked", "replaced"]
"""Of a merchant certificate: in use, withdrawn by the merchant, or given up for a newer one."""

SCHEME_NAME: Final = "rsa-sha256"
"""The scheme of `crypto.signature` that APIv3 signs with."""

SEALING_NAME: Final = "oaep-sha1"
"""The scheme of `crypto.sealed` that sensitive fields are sealed with.

Source: WeChat Pay merchant/4013053257; one FAQ (4016913151) says SHA-256, every client uses SHA-1
"""

PUBLIC_KEY_PREFIX: Final = "PUB_KEY_ID_"
API_KEY_CHARACTERS: Final = 32

_SERIAL: Final = re.compile(r"[0-9A-F]{1,40}")
_MCHID: Final = re.compile(r"[0-9A-Za-z]{1,32}")
_PUBLIC_KEY_ID: Final = re.compile(PUBLIC_KEY_PREFIX + r"[0-9A-Za-z]{1,64}")
_API_KEY: Final = re.compile(rf"[!-~]{{{API_KEY_CHARACTERS}}}")


@dataclass(frozen=True, slots=True, eq=False)
class MerchantCertificate:
    """A merchant's API certificate as the platform keeps it; `of` makes one from the certificate alone.

    `serial` is upper-case hex, as the merchant platform shows it and `Authorization` names it; from `end_ms`
    (Unix milliseconds) on the certificate has expired. Raises UsageError for a serial that is none.
    """

    serial: str
    certificate: Certificate
    verifier: Verifier
    end_ms: int
    status: Status = "valid"

    def __post_init__(self) -> None:
        _check_serial(self.serial)

    @classmethod
    def of(cls, certificate: Certificate, status: Status = "valid") -> MerchantCertificate:
        """The same, read in the certificate."""
        verifier = Verifier(SCHEME_NAME, certificate.key)
        return cls(certificate.serial, certificate, verifier, certificate.end_ms, status)


@dataclass(frozen=True, slots=True, eq=False)
class MerchantKeys:
    """What the platform knows of a merchant's keys, and, where the sandbox plays the merchant, the `signer`.

    `certificates` stand newest first; none means that the merchant never applied for one. An API key that is
    not set is "". Raises UsageError for a merchant number, or an API key, that cannot be one.
    """

    mchid: str
    certificates: tuple[MerchantCertificate, ...]
    api_v3_key: str = field(default="", repr=False)
    api_v2_key: str = field(default="", repr=False)
    signer: Signer | None = None

    def __post_init__(self) -> None:
        if not _MCHID.fullmatch(self.mchid):
            raise UsageError(f"a mchid is 1 to 32 digits or letters, not {self.mchid!r}")
        for name, key in (("APIv3", self.api_v3_key), ("APIv2", self.api_v2_key)):
            if key and not _API_KEY.fullmatch(key):
                raise UsageError(f"an {name} key is {API_KEY_CHARACTERS} ASCII characters, or none")

    @property
    def serial(self) -> str:
        """The newest certificate's serial; "" where there is none."""
        return self.certificates[0].serial if self.certificates else ""

    def signing(self) -> Signer:
        """The merchant's signer; raises UsageError where the sandbox does not hold the private key."""
        if self.signer is None:
            raise UsageError(f"the sandbox does not hold the private key of the merchant {self.mchid}")
        return self.signer

    def certificate(self, serial: str) -> MerchantCertificate | None:
        """The certificate of this serial, None where the merchant has no such one."""
        return next((one for one in self.certificates if one.serial == serial), None)


@dataclass(frozen=True, slots=True, eq=False)
class PlatformCertificate:
    """A platform certificate with its keys; `of` makes one from certificate and private key.

    The platform signs with it from `start_ms` to `end_ms` (Unix milliseconds; clients can download it as soon
    as the certificate itself is valid). `opener` opens the fields that were sealed with it.
    """

    serial: str
    certificate: Certificate
    signer: Signer
    opener: Oaep
    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        _check_serial(self.serial)

    @classmethod
    def of(
        cls, certificate: Certificate, key: PrivateKey, *, start_ms: int | None = None
    ) -> PlatformCertificate:
        """The same, read in the certificate; in use from `start_ms`, where that is later.

        Raises UsageError where the key is not the certificate's.
        """
        if key.public() != certificate.key:
            raise UsageError(f"{key!r} is not the key of {certificate!r}")
        start = certificate.start_ms if start_ms is None else max(start_ms, certificate.start_ms)
        signer, opener = Signer(SCHEME_NAME, key), Oaep(SEALING_NAME, key)
        return cls(certificate.serial, certificate, signer, opener, start, certificate.end_ms)


@dataclass(frozen=True, slots=True, eq=False)
class PlatformKeys:
    """The keys that one merchant's answers and callbacks are signed with; `of` makes one.

    `certificates` stand newest first. Without `issues_certificates` the merchant cannot download any: a new
    merchant, who has the public key alone. Raises UsageError for an id that is none.
    """

    certificates: tuple[PlatformCertificate, ...]
    public_key_id: str
    public_key: PublicKey
    public_signer: Signer
    public_opener: Oaep
    issues_certificates: bool = True

    def __post_init__(self) -> None:
        if not _PUBLIC_KEY_ID.fullmatch(self.public_key_id):
            raise UsageError(
                f"a public key's id is {PUBLIC_KEY_PREFIX} and digits, not {self.public_key_id!r}"
            )

    @classmethod
    def of(
        cls,
        certificates: tuple[PlatformCertificate, ...],
        public_key_id: str,
        key: PrivateKey,
        *,
        issues_certificates: bool = True,
    ) -> PlatformKeys:
        """The same from the private half of the public key."""
        signer, opener = Signer(SCHEME_NAME, key), Oaep(SEALING_NAME, key)
        return cls(certificates, public_key_id, key.public(), signer, opener, issues_certificates)

    def verifiers(self) -> dict[str, Verifier]:
        """Serial or public key id -> verifier: what a client that knows all the keys would hold."""
        known = {one.serial: Verifier(SCHEME_NAME, one.certificate.key) for one in self.certificates}
        return {**known, self.public_key_id: Verifier(SCHEME_NAME, self.public_key)}

    def opener(self, serial: str) -> Oaep | None:
        """What opens fields sealed with the key of this serial or id; None where there is no such key."""
        if serial == self.public_key_id:
            return self.public_opener
        return next((one.opener for one in self.certificates if one.serial == serial), None)


def _check_serial(serial: str) -> None:
    if not _SERIAL.fullmatch(serial):
        raise UsageError(f"a serial is 1 to 40 upper-case hex digits, not {serial!r}")
