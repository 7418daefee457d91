"""Keys minted for this run, and the count of Wycheproof cases at its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paysim.crypto import keys
from paysim.crypto.keys import PrivateKey, SymmetricKey

_RAN: dict[str, tuple[int, int]] = {}


@pytest.fixture(scope="session")
def rsa_key() -> PrivateKey:
    return keys.mint("rsa-2048")


@pytest.fixture(scope="session")
def other_rsa_key() -> PrivateKey:
    return keys.mint("rsa-2048")


@pytest.fixture(scope="session")
def p256_key() -> PrivateKey:
    return keys.mint("p-256")


@pytest.fixture(scope="session")
def sm2_key() -> PrivateKey:
    return keys.mint("sm2")


@pytest.fixture(scope="session")
def hmac_key() -> SymmetricKey:
    return keys.mint("hmac")


@pytest.fixture(scope="session")
def pairs(rsa_key: PrivateKey, p256_key: PrivateKey, sm2_key: PrivateKey) -> dict[str, PrivateKey]:
    """Family -> a key of it."""
    return {"rsa": rsa_key, "p-256": p256_key, "sm2": sm2_key}


@pytest.fixture(scope="session")
def record_wycheproof() -> Callable[[str, int, int], None]:
    """Counts a file's cases: its name, how many ran, how many the library refuses by name."""

    def record(name: str, ran: int, outside: int) -> None:
        _RAN[name] = ran, outside

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _RAN:
        ran = sum(one for one, _ in _RAN.values())
        outside = sum(one for _, one in _RAN.values())
        terminalreporter.write_line(
            f"Wycheproof: {ran} cases in {len(_RAN)} files, {outside} of them refused by name (nonce length)"
        )
