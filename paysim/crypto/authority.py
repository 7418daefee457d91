"""A sandbox's certificate authority, and the check of a chain at a time.

It issues what the operators' clients expect: merchant API certificates, platform certificates with serials of
40 hex digits, and TLS certificates under a root that is constrained to given hosts, so that a machine which
trusts the root trusts it for nothing else. Times are Unix milliseconds and serial numbers whole numbers,
given by the caller: under an RSA root the same arguments give the same certificate.

Source: RFC 5280; RFC 6125 (hosts); WeChat Pay merchant/4013053420 (serials, names); Alipay open platform,
"certificate mode" (app_cert_sn)
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from paysim.core.errors import AuthenticityError, DecodeError, Unsupported, UsageError

from . import armour, keys
from .keys import PrivateKey, PublicKey

__all__ = [
    "MAX_CHAIN",
    "PLATFORM_NAME",
    "Authority",
    "Certificate",
    "alipay_root_serial",
    "alipay_serial",
    "certificate",
    "certificates",
    "check",
    "found",
    "serial_number",
]

PLATFORM_NAME: Final = "Tenpay.com sign"
"""The common name in WeChat Pay's platform certificates; some clients look at it."""

MAX_CHAIN: Final = 8
"""Certificates of one chain. Assumed: real ones have three."""

MAX_SIZE: Final = 1 << 20
_UNREADABLE: Final = "this looks like a certificate, but it cannot be read: is it cut or damaged?"
_MAX_BUNDLE: Final = 32
_SERIAL_DIGITS: Final = 40
_MS: Final = 1000
_DAY_MS: Final = 86_400_000
_RSA_SIGNED: Final = "1.2.840.113549.1.1"
_EVERY_ADDRESS: Final = ("0.0.0.0/0", "::/0")
_HOST: Final = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_GeneralName = x509.DNSName | x509.IPAddress


@dataclass(frozen=True)
class Certificate:
    """An X.509 certificate as a value: its DER, and what is read in it."""

    der: bytes

    @cached_property
    def loaded(self) -> x509.Certificate:
        """What the library below works with; raises DecodeError for what is no certificate."""
        try:
            return x509.load_der_x509_certificate(self.der)
        except (ValueError, TypeError, x509.InvalidVersion):
            raise DecodeError(_UNREADABLE) from None

    @cached_property
    def serial(self) -> str:
        """The serial number in upper-case hex, 40 digits or more in platform and merchant certificates."""
        return f"{self.loaded.serial_number:X}"

    @cached_property
    def name(self) -> str:
        """The common name, else the whole subject."""
        common = self.loaded.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(common[0].value) if common else self.loaded.subject.rfc4514_string()

    @property
    def start_ms(self) -> int:
        """Valid from, in Unix milliseconds."""
        return int(self.loaded.not_valid_before_utc.timestamp()) * _MS

    @property
    def end_ms(self) -> int:
        """Valid until, in Unix milliseconds."""
        return int(self.loaded.not_valid_after_utc.timestamp()) * _MS

    @cached_property
    def key(self) -> PublicKey:
        """Whose certificate it is; raises UsageError for a key that is not RSA or P-256."""
        try:
            loaded = self.loaded.public_key()
        except (ValueError, UnsupportedAlgorithm):
            raise Unsupported(f"the key in the certificate of {self.name} is not RSA or P-256") from None
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return keys.public(loaded.public_bytes(serialization.Encoding.DER, form))

    def pem(self) -> bytes:
        """`-----BEGIN CERTIFICATE-----`, lines of 64."""
        return armour.pem("CERTIFICATE", self.der)

    def __repr__(self) -> str:
        return f"<Certificate {self.name} {self.serial}>"

    def __reduce__(self) -> tuple[type[Certificate], tuple[bytes]]:
        return Certificate, (self.der,)


@dataclass(frozen=True)
class Authority:
    """A root: its certificate and its key. `found` makes one."""

    certificate: Certificate
    key: PrivateKey

    def merchant(
        self, key: PublicKey, merchant_id: str, *, serial: int, start_ms: int, days: int
    ) -> Certificate:
        """A merchant API certificate, named by its merchant number.

        Source: WeChat Pay merchant/4013053053 (merchant API certificate)
        """
        subject = _name(merchant_id, "paysim sandbox", "merchants")
        return self._issue(subject, key, serial, start_ms, days, _usage("digital_signature"))

    def platform(
        self, key: PublicKey, *, serial: int, start_ms: int, days: int, name: str = PLATFORM_NAME
    ) -> Certificate:
        """A platform certificate: the operator signs answers and callbacks with its key.

        Source: WeChat Pay merchant/4013053420
        """
        subject = _name(name, "paysim sandbox", "platform")
        return self._issue(
            subject, key, serial, start_ms, days, _usage("digital_signature", "key_encipherment")
        )

    def tls(
        self, key: PublicKey, hosts: Sequence[str], *, serial: int, start_ms: int, days: int
    ) -> Certificate:
        """A server's certificate for `hosts`: names, `*.` names and IP addresses, in its SAN.

        Raises UsageError for a host that is none. Whether the root may speak for the hosts is for who checks.

        Source: RFC 5280 4.2.1.6; RFC 6125 6.4
        """
        if not hosts:
            raise UsageError("a TLS certificate is for one host or more")
        names = [_general(host) for host in hosts]
        return self._issue(
            _name(hosts[0][:64], "paysim sandbox", "TLS"),
            key,
            serial,
            start_ms,
            days,
            _usage("digital_signature", "key_encipherment"),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName(names), False),
        )

    def _issue(
        self,
        subject: x509.Name,
        key: PublicKey,
        serial: int,
        start_ms: int,
        days: int,
        *extensions: tuple[x509.ExtensionType, bool],
    ) -> Certificate:
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public().loaded)
        return _built(
            (subject, self.certificate.loaded.subject, key, self.key),
            (serial, start_ms, days),
            ((x509.BasicConstraints(ca=False, path_length=None), True), *extensions, (above, False)),
        )

    def __repr__(self) -> str:
        return f"<Authority {self.certificate.name}>"


def found(
    key: PrivateKey,
    *,
    serial: int,
    start_ms: int,
    days: int,
    hosts: Sequence[str] = (),
    name: str = "paysim sandbox root",
) -> Authority:
    """A new authority whose root certificate `key` signs itself.

    `hosts`, where given, are the only names and addresses that TLS certificates under it can speak for, names
    with all that lies below them. Raises UsageError for a key that cannot sign certificates, a serial or a
    span that X.509 cannot carry.

    Source: RFC 5280 4.2.1.9, 4.2.1.10
    """
    subject = _name(name, "paysim sandbox", "root")
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        _usage("key_cert_sign", "crl_sign"),
    ]
    if hosts:
        extensions.append((_constraints(hosts), True))
    root = _built((subject, subject, key.public(), key), (serial, start_ms, days), extensions)
    return Authority(root, key)


def serial_number(draw: bytes) -> int:
    """A serial number of 40 hex digits from 20 random bytes; the first digit is 4 to 7.

    >>> f"{serial_number(bytes(20)):X}"
    '4000000000000000000000000000000000000000'

    Source: RFC 5280 4.1.2.2 (20 bytes, positive)
    """
    if not isinstance(draw, bytes) or len(draw) != _SERIAL_DIGITS // 2:
        raise UsageError(f"a serial number is made of {_SERIAL_DIGITS // 2} random bytes")
    return int.from_bytes(draw, "big") & (1 << 158) - 1 | 1 << 158


def certificate(data: bytes | str) -> Certificate:
    """A certificate from PEM, DER or a bare base64 body.

    Raises DecodeError for what is none or is cut, and UsageError for a key or another thing.
    """
    return _read(armour.find(data, "a certificate", {"certificate"}, MAX_SIZE).der)


def certificates(data: bytes | str) -> list[Certificate]:
    """Up to 32 certificates of a PEM bundle, in its order; errors as `certificate`."""
    found = armour.every(data, "a certificate", {"certificate"}, MAX_SIZE, _MAX_BUNDLE)
    return [_read(one.der) for one in found]


def check(chain: Sequence[Certificate], roots: Sequence[Certificate], at_ms: int, host: str = "") -> None:
    """Raises AuthenticityError unless `chain`, leaf first, leads to one of `roots` and is valid at a time.

    The error names the certificate and, where it has expired or is not valid yet, the dates. With a `host`
    the leaf must be a TLS server's for it, and every authority above must be allowed to speak for it.

    Source: RFC 5280 6.1
    """
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise UsageError(f"a chain has 1 to {MAX_CHAIN} certificates; this has {len(chain)}")
    for one in chain:
        _check_dates(one, at_ms)
    for depth, (below, above) in enumerate(itertools.pairwise(chain)):
        _check_issued(below, above, depth)
    last = chain[-1]
    if last not in roots:
        above_last = [root for root in roots if root.loaded.subject == last.loaded.issuer]
        if not above_last:
            issuer = last.loaded.issuer.rfc4514_string()
            raise AuthenticityError(
                f"{last!r} was issued by {issuer}, which is not trusted", source="RFC 5280 6.1"
            )
        above = next((root for root in above_last if _has_signed(root, last)), above_last[0])
        _check_dates(above, at_ms)
        _check_issued(last, above, len(chain) - 1)
    if host:
        _check_host(chain, roots, at_ms, host)


def alipay_serial(one: Certificate) -> str:
    """Alipay's `app_cert_sn`: 32 lower-case hex digits, MD5 of the issuer and the decimal serial.

    Source: Alipay open platform, "certificate mode"; python-alipay-sdk 3.4.0
    """
    text = f"{one.loaded.issuer.rfc4514_string()}{one.loaded.serial_number}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def alipay_root_serial(roots: Sequence[Certificate]) -> str:
    """Alipay's `alipay_root_cert_sn`: those of the roots that RSA signed, joined by `_`.

    Source: as `alipay_serial`
    """
    signed = [
        one for one in roots if one.loaded.signature_algorithm_oid.dotted_string.startswith(_RSA_SIGNED)
    ]
    return "_".join(alipay_serial(one) for one in signed)


# Checking. ----------------------------------------------------------------------------------------------


def _check_dates(one: Certificate, at_ms: int) -> None:
    if one.start_ms <= at_ms <= one.end_ms:
        return
    wrong = "has expired" if at_ms > one.end_ms else "is not valid yet"
    raise AuthenticityError(
        f"{one!r} {wrong}: valid from {_date(one.start_ms)} to {_date(one.end_ms)}, it is {_date(at_ms)}",
        source="RFC 5280 4.1.2.5",
    )


def _check_issued(below: Certificate, above: Certificate, depth: int) -> None:
    """That `above` is an authority, with `depth` others below it, named as the issuer, whose key signed."""
    basic = _extension(above, x509.BasicConstraints)
    if basic is None or not basic.ca:
        raise AuthenticityError(f"{above!r} may not issue certificates", source="RFC 5280 4.2.1.9")
    usage = _extension(above, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise AuthenticityError(f"the key of {above!r} may not sign certificates", source="RFC 5280 4.2.1.3")
    if basic.path_length is not None and depth > basic.path_length:
        raise AuthenticityError(
            f"{above!r} allows {basic.path_length} authorities below it; there are {depth}",
            source="RFC 5280 4.2.1.9",
        )
    if not _has_signed(above, below):
        raise AuthenticityError(f"{below!r} was not issued by {above!r}", source="RFC 5280 6.1.3")


def _extension(one: Certificate, kind: type[_Extension]) -> _Extension | None:
    """What the certificate says in one of its extensions; None where it has none that can be read."""
    try:
        return one.loaded.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _has_signed(above: Certificate, below: Certificate) -> bool:
    try:
        below.loaded.verify_directly_issued_by(above.loaded)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_host(chain: Sequence[Certificate], roots: Sequence[Certificate], at_ms: int, host: str) -> None:
    general = _general(host)
    store = verification.Store([root.loaded for root in roots])
    builder = verification.PolicyBuilder().store(store).time(_moment(at_ms)).max_chain_depth(MAX_CHAIN)
    leaf, *above = [one.loaded for one in chain if one not in roots] or [chain[0].loaded]
    try:
        builder.build_server_verifier(general).verify(leaf, above)
    except verification.VerificationError as error:
        raise AuthenticityError(
            f"{chain[0]!r} is not a server's certificate for {host}: {error}", source="RFC 6125 6"
        ) from None


# Issuing. -----------------------------------------------------------------------------------------------


def _built(
    parties: tuple[x509.Name, x509.Name, PublicKey, PrivateKey],
    facts: tuple[int, int, int],
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> Certificate:
    subject, issuer, key, signing = parties
    serial, start_ms, days = facts
    for one in (key, signing):
        if not isinstance(one, PublicKey | PrivateKey) or one.family not in ("rsa", "p-256"):
            raise UsageError(f"certificates are for RSA and P-256 keys, not {one!r}")
    if days < 1:
        raise UsageError(f"a certificate is valid for one day or more, not {days}")
    try:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.loaded)
            .serial_number(serial)
            .not_valid_before(_moment(start_ms))
            .not_valid_after(_moment(start_ms + days * _DAY_MS))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.loaded), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        built = builder.sign(signing.loaded, hashes.SHA256())
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"no certificate can be issued from this: {error}") from None
    return Certificate(built.public_bytes(serialization.Encoding.DER))


def _name(common: str, organization: str, unit: str) -> x509.Name:
    try:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
                x509.NameAttribute(NameOID.COMMON_NAME, common),
            ]
        )
    except (ValueError, TypeError):
        raise UsageError("a common name is text of 1 to 64 characters") from None


def _usage(*allowed: str) -> tuple[x509.KeyUsage, bool]:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    more = ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in allowed for name in (*names, *more)}), True


def _constraints(hosts: Sequence[str]) -> x509.NameConstraints:
    """The hosts alone; a kind of name of which none is given is excluded whole."""
    permitted: list[x509.GeneralName] = []
    excluded: list[x509.GeneralName] = []
    for host in hosts:
        general = _general(host.removeprefix("*."))
        if isinstance(general, x509.IPAddress):
            general = x509.IPAddress(ipaddress.ip_network(str(general.value)))
        permitted.append(general)
    if not any(isinstance(one, x509.IPAddress) for one in permitted):
        excluded += [x509.IPAddress(ipaddress.ip_network(every)) for every in _EVERY_ADDRESS]
    if not any(isinstance(one, x509.DNSName) for one in permitted):
        excluded.append(x509.DNSName(""))
    return x509.NameConstraints(permitted, excluded or None)


def _general(host: str) -> _GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not isinstance(host, str) or len(host) > 253 or not _HOST.fullmatch(host.lower()):
        raise UsageError(f"a host is a name in ASCII or an IP address, not {host!r}")
    return x509.DNSName(host.lower())


def _read(der: bytes) -> Certificate:
    one = Certificate(der)
    try:
        one.loaded.extensions  # noqa: B018 - what is lazy would fail later
        one.loaded.subject, one.loaded.issuer, one.name  # noqa: B018
        return one
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise DecodeError(_UNREADABLE) from None


def _moment(at_ms: int) -> datetime.datetime:
    try:
        return datetime.datetime.fromtimestamp(at_ms // _MS, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{at_ms} ms is outside the calendar") from None


def _date(at_ms: int) -> str:
    return f"{_moment(at_ms):%Y-%m-%d %H:%M:%S} UTC"
