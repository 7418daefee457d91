"""The sandbox's TLS: a CA that can speak for the wallets' hosts alone, and one certificate for all of them.

Both are kept in the keys folder and made anew when they near their end, or when the hosts change. Beside them
lie the files that clients are pointed at:

    ca.1.pem      the CA's key            ca.pem       its certificate
    tls.1.pem     the server's key        tls.pem      its certificate
                                          bundle.pem   the roots of this machine, and ours
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from paysim.core.errors import PaysimError
from paysim.store.keyring import Keyring

if TYPE_CHECKING:
    from paysim.crypto.authority import Authority, Certificate
    from paysim.crypto.keys import PrivateKey

__all__ = ["BUNDLE_FILE", "CA_FILE", "LEAF_FILE", "SYSTEM_ROOTS", "bundle", "root", "server_context"]

CA_FILE: Final = "ca.pem"
LEAF_FILE: Final = "tls.pem"
BUNDLE_FILE: Final = "bundle.pem"

SYSTEM_ROOTS: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # CentOS, RHEL 7
    "/etc/ssl/cert.pem",  # Alpine, macOS
)
"""Where systems keep the roots that they trust.

Source: Go 1.22 crypto/x509 root_linux.go, root_bsd.go
"""

_KIND: Final = "p-256"
_DAY_MS: Final = 86_400_000
_SKEW_MS: Final = _DAY_MS
"""How far a client's clock may be behind ours. Assumed: a day, for containers and virtual machines."""

_CA_DAYS: Final = 3650
_LEAF_DAYS: Final = 397
_RENEW_DAYS: Final = 60
"""Made anew this long before the end, so that a server may run as long. Assumed."""

_MAX_ROOTS_FILE: Final = 4 << 20
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]{64,65536})-----END CERTIFICATE-----")


def server_context(keyring: Keyring, hosts: Sequence[str], at_ms: int) -> ssl.SSLContext:
    """A TLS server's context that speaks for `hosts` by a certificate under our CA; `at_ms` is wall time.

    HTTP/1.1 by ALPN, TLS 1.2 or newer. What is missing, near its end or for other hosts is made and kept.
    """
    ca = root(keyring, hosts, at_ms)
    number, key = _pair(keyring, "tls", at_ms)
    _leaf(keyring, ca, key, hosts, at_ms)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(keyring.folder / LEAF_FILE, keyring.folder / f"tls.{number}.pem")
    return context


def root(keyring: Keyring, hosts: Sequence[str], at_ms: int) -> Authority:
    """The CA of this keys folder: it can speak for `hosts` and nothing else. Its certificate is `ca.pem`."""
    from paysim.crypto import authority

    _, key = _pair(keyring, "ca", at_ms)
    held = _held(keyring, CA_FILE)
    if held and held.key == key.public() and _permits(held, hosts) and _lasts(held, at_ms, _LEAF_DAYS):
        return authority.Authority(held, key)
    made = authority.found(
        key, serial=_serial(), start_ms=at_ms - _SKEW_MS, days=_CA_DAYS, hosts=hosts, name="paysim sandbox CA"
    )
    keyring.put(CA_FILE, made.certificate.pem())
    return made


def bundle(keyring: Keyring, ca: Certificate, extra: Iterable[str | os.PathLike[str]] = ()) -> Path:
    """Writes `bundle.pem`: the system's roots, certifi's where it is installed, those of `extra` files, ours.

    For clients whose option replaces the roots that they trust. A file that cannot be read is left out.
    """
    blocks = [block for file in [*_system_roots(), *extra] for block in _blocks(_text(file))]
    blocks += _blocks(ca.pem())
    return keyring.put(BUNDLE_FILE, b"".join(dict.fromkeys(blocks)))


# What is kept. ------------------------------------------------------------------------------------------


def _pair(keyring: Keyring, name: str, at_ms: int) -> tuple[int, PrivateKey]:
    """The key in use under this name, with its number."""
    key = keyring.key(name, _KIND)
    return next(one.number for one in keyring.held(name, at_ms) if one.key == key), key


def _leaf(keyring: Keyring, ca: Authority, key: PrivateKey, hosts: Sequence[str], at_ms: int) -> None:
    """Makes `tls.pem`, unless the one that is there will do."""
    held = _held(keyring, LEAF_FILE)
    if held and held.key == key.public() and _holds(held, ca.certificate, hosts, at_ms):
        return
    made = ca.tls(key.public(), hosts, serial=_serial(), start_ms=at_ms - _SKEW_MS, days=_LEAF_DAYS)
    keyring.put(LEAF_FILE, made.pem())


def _held(keyring: Keyring, file: str) -> Certificate | None:
    """The certificate in this file; None where there is none, or it is damaged."""
    from paysim.crypto import authority

    data = keyring.get(file)
    if data is None:
        return None
    try:
        return authority.certificate(data)
    except PaysimError:
        return None


def _lasts(one: Certificate, at_ms: int, days: int) -> bool:
    """Whether it is valid now, and for as many days to come."""
    return one.start_ms <= at_ms and at_ms + days * _DAY_MS < one.end_ms


def _permits(ca: Certificate, hosts: Sequence[str]) -> bool:
    """Whether the CA's constraint is these hosts and no other."""
    from cryptography import x509

    try:
        found = ca.loaded.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return False
    names = [one.value for one in found.value.permitted_subtrees or ()]
    return found.critical and sorted(map(str, names)) == sorted(hosts)


def _holds(leaf: Certificate, ca: Certificate, hosts: Sequence[str], at_ms: int) -> bool:
    """Whether the CA vouches for the leaf, the leaf for each host, and it does so for long enough."""
    from paysim.crypto import authority

    if not _lasts(leaf, at_ms, _RENEW_DAYS):
        return False
    try:
        for host in hosts:
            authority.check([leaf], [ca], at_ms, host)
    except PaysimError:
        return False
    return True


def _serial() -> int:
    from paysim.crypto import authority

    return authority.serial_number(os.urandom(20))


# The machine's own roots. -------------------------------------------------------------------------------


def _system_roots() -> list[str]:
    """The files of the machine's own roots: OpenSSL's, else the first of the usual places; and certifi's."""
    found = [ssl.get_default_verify_paths().openssl_cafile, *SYSTEM_ROOTS]
    files = [file for file in found if os.path.isfile(file)][:1]
    try:
        import certifi
    except ImportError:
        return files
    return [*files, certifi.where()]


def _text(file: str | os.PathLike[str]) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read(_MAX_ROOTS_FILE)
    except OSError:
        return b""


def _blocks(text: bytes) -> list[bytes]:
    """The certificates of a PEM file, each as a block of its own; comments and other things are left out."""
    bodies = (b"".join(found[1].split()) for found in _PEM.finditer(text))
    return [_block(body) for body in bodies]


def _block(body: bytes) -> bytes:
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])
