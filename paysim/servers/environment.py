"""The environment of a program that `paysim run` starts: HTTPS goes through the proxy, and trusts our CA."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from paysim.operators.wechat.hosts import WECHAT_HOSTS

__all__ = ["LOOPBACK", "environment", "trusted_files"]

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""What never goes through the proxy."""

_BUNDLE: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_EXTRA: Final = "NODE_EXTRA_CA_CERTS"


def environment(
    base: Mapping[str, str],
    proxy_url: str,
    ca_file: str | os.PathLike[str],
    bundle_file: str | os.PathLike[str],
    hosts: Sequence[str] = WECHAT_HOSTS,
) -> dict[str, str]:
    """`base` with what leads `hosts` to the proxy at `proxy_url`, loopback excepted.

    `ca_file` holds our CA alone, `bundle_file` the system's roots and `trusted_files(base)` too. What
    the base excepts from proxies stays excepted, but for what would let a wallet's host by: `*`, `.qq.com`.

    >>> found = environment({"NO_PROXY": "intra,*"}, "http://127.0.0.1:8521", "/k/ca.pem", "/k/bundle.pem")
    >>> found["HTTPS_PROXY"], found["no_proxy"]
    ('http://127.0.0.1:8521', 'localhost,127.0.0.1,::1,intra')

    Source: curl "Environment variables"; requests "Proxies"; OpenSSL SSL_CTX_load_verify_locations; Node.js
    CLI documentation (NODE_EXTRA_CA_CERTS; NODE_USE_ENV_PROXY since 22.21 and 24.0)
    """
    excepted = ",".join(_excepted(base, hosts))
    ca, bundle = os.path.abspath(ca_file), os.path.abspath(bundle_file)
    changed = {
        "HTTPS_PROXY": proxy_url,
        "https_proxy": proxy_url,
        "NO_PROXY": excepted,
        "no_proxy": excepted,
        **dict.fromkeys(_BUNDLE, bundle),
        _EXTRA: bundle if base.get(_EXTRA) else ca,  # what the base trusts besides is in the bundle
        "NODE_USE_ENV_PROXY": "1",
    }
    return {**base, **changed}


def trusted_files(base: Mapping[str, str]) -> tuple[str, ...]:
    """The files of roots that the base names: what a program trusts now, it trusts in `environment` too."""
    named = (base.get(name, "") for name in (*_BUNDLE, _EXTRA))
    return tuple(dict.fromkeys(file for file in named if file))


def _excepted(base: Mapping[str, str], hosts: Sequence[str]) -> list[str]:
    """Loopback, and what the base excepts from proxies already, without what covers a wallet's host."""
    texts = (base.get("NO_PROXY", ""), base.get("no_proxy", ""))
    named = [entry.strip() for text in texts for entry in text.split(",")]
    kept = [entry for entry in named if entry and not any(_covers(entry, host) for host in hosts)]
    return list(dict.fromkeys([*LOOPBACK, *kept]))


def _covers(entry: str, host: str) -> bool:
    """Whether clients read the entry as this host: itself, a domain above it (with `.` or `*.`), or all."""
    name, _, port = entry.lower().rpartition(":")
    name = name if name and port.isdigit() else entry.lower()
    domain = name.lstrip("*").strip(".")
    return not domain or host == domain or host.endswith(f".{domain}")
