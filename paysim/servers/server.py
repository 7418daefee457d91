"""A running sandbox: its two ports, its keys folder, and the file that tells programs where everything is."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from paysim.core.clock import SystemClock
from paysim.core.errors import ConfigError, PaysimError
from paysim.operators.wechat.hosts import WECHAT_HOSTS
from paysim.operators.wechat.merchants import Settings
from paysim.sandbox import Sandbox
from paysim.store import Keyring

from . import tls
from .app import App
from .environment import environment, trusted_files
from .listener import Listener
from .platform import Platform
from .proxy import Proxy
from .webhooks import Policy

__all__ = ["SANDBOX_FILE", "Options", "Server"]

SANDBOX_FILE: Final = "sandbox.json"
DEFAULT_PORT: Final = 8520
_READY_S: Final = 10.0
_ANSWER_S: Final = 0.5
REFUND_MS: Final = 1_000
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_NEAR: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_SQLITE: Final = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Options:
    """How a sandbox is served; `serve` and `run` take these from the prompt.

    `port` 0 is any free one; `proxy_port` None is no proxy. `clock` is real or virtual; `settings` as in
    `Settings`, `policy` where callbacks may go, `allow_hosts` which other hosts the proxy lets through.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    proxy_port: int | None = 0
    store: str = "memory"
    durability: str = "full"
    keys: Path = Path(".paysim")
    seed: int | None = None
    clock: str = "real"
    token: str = field(default="", repr=False)
    allow_reset: bool = False
    allow_hosts: tuple[str, ...] = ()
    settings: Settings = field(default_factory=lambda: Settings(refund_ms=REFUND_MS))
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        if self.clock not in ("real", "virtual"):
            raise ConfigError(f"a clock is real or virtual, not {self.clock!r}")
        if self.host not in _LOOPBACK and not self.token:
            raise ConfigError(f"--host {self.host} is seen by others; give a --token that they must know")


class Server:
    """A sandbox behind sockets. `start` returns when it answers, `stop` when everything is closed."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self._host = "127.0.0.1" if options.host == "localhost" else options.host  # one family, one port
        self._say = say
        self._listener: Listener | None = None
        self._serving: asyncio.Task[None] | None = None
        self._proxy: Proxy | None = None
        self._proxy_port = 0
        self._port = 0
        self._before: bytes | None = None

    async def start(self) -> Mapping[str, Any]:
        """Begin to serve, and return what `sandbox.json` says.

        Raises ConfigError for a port that is taken, StoreError for a journal that cannot be used.
        """
        options = self.options
        listening = _bound(self._host, options.port)
        try:
            self.keyring = Keyring(options.keys)
            self.platform = Platform(
                self._sandbox,
                settings=options.settings,
                policy=options.policy,
                say=self._say,
                resettable=options.store == "memory" or options.allow_reset,
            )
        except BaseException:
            listening.close()
            raise
        self._port = listening.getsockname()[1]
        try:
            await self._listen(listening)
            if options.proxy_port is not None:
                await self._open_proxy(options.proxy_port)
            self.platform.start()
            return self._written()
        except BaseException:
            await self.stop()
            raise

    def _sandbox(self) -> Sandbox:
        options = self.options
        if options.allow_reset and options.store.startswith(_SQLITE) and hasattr(self, "platform"):
            _put_aside(Path(options.store.removeprefix(_SQLITE)))
        clock = SystemClock() if options.clock == "real" else None
        return Sandbox(
            seed=options.seed,
            store=options.store,
            clock=clock,
            durability=options.durability,
            keys=self.keyring,
        )

    async def _listen(self, listening: socket.socket) -> None:
        self._listener = Listener(App(self.platform, host=self.options.host, token=self.options.token))
        self._serving = asyncio.create_task(self._listener.run_on(listening))
        async with asyncio.timeout(_READY_S):
            while not self._listener.started:
                if self._serving.done():
                    self._serving.result()
                    raise ConfigError("the server ended before it began")
                await asyncio.sleep(0.002)

    async def _open_proxy(self, port: int) -> None:
        now_ms = SystemClock().now_ms()
        context = tls.server_context(self.keyring, WECHAT_HOSTS, now_ms)
        self._ca = tls.root(self.keyring, WECHAT_HOSTS, now_ms).certificate
        upstream = (_here(self._host), self._port)
        proxy = Proxy(upstream, context, WECHAT_HOSTS, self.options.allow_hosts, self._say)
        try:
            self._proxy_port = await proxy.start(self._host, port)
        except (OSError, OverflowError) as error:
            raise _unusable(self._host, port, error, "--proxy-port") from None
        self._proxy = proxy

    # What programs read. ----------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Where everything answers, without a slash at the end."""
        return _url(_here(self._host), self._port)

    def description(self) -> dict[str, Any]:
        """What `sandbox.json` says: FILE values are names in the keys folder."""
        wechat = {
            "base_url": self.base_url,
            **self.platform.configuration(),
            "private_key": "apiclient_key.pem",
            "certificate": "apiclient_cert.pem",
            "public_key": "pub_key.pem",
        }
        return {
            "control": f"{self.base_url}/_paysim",
            "proxy": self._proxy_url(),
            "ca": tls.CA_FILE if self._proxy else None,
            "wechat": wechat,
            "pid": os.getpid(),
            "keys": str(self.keyring.folder.absolute()),
        }

    def _proxy_url(self) -> str | None:
        return _url(_here(self._host), self._proxy_port) if self._proxy else None

    def _written(self) -> Mapping[str, Any]:
        secrets = self.platform.sandbox.wechat.secrets
        for name, data in secrets.files(self.platform.merchant.mchid).items():
            self.keyring.put(name, data)
        found = self.description()
        self._before = _still_running(self.keyring.get(SANDBOX_FILE))
        self.keyring.put(SANDBOX_FILE, json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")
        if self._before:
            self._say(
                f"another sandbox runs with the keys folder {self.options.keys}: until this one ends,"
                " `paysim pay` finds this one there; --keys DIR gives each its own"
            )
        return found

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of a program that shall talk to this sandbox instead of the real service."""
        proxy = self._proxy_url()
        if proxy is None:
            raise ConfigError("there is no proxy to lead a program here")
        bundle = tls.bundle(self.keyring, self._ca, trusted_files(base))
        found = environment(base, proxy, self.keyring.folder / tls.CA_FILE, bundle)
        known = {"PAYSIM_KEYS": str(self.keyring.folder.absolute())}
        if self.options.token:
            known["PAYSIM_TOKEN"] = self.options.token
        return found | known

    # The end. ---------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Close every socket, stop every task, let go of the journal."""
        if self._proxy is not None:
            await self._proxy.stop()
            self._proxy = None
        self.platform.stopped = True
        if self._listener is not None and self._serving is not None:
            self._listener.leave()
            with contextlib.suppress(asyncio.CancelledError):
                await self._serving
            self._serving = None
        await self.platform.stop()
        self._forget_file()

    def _forget_file(self) -> None:
        """Let `sandbox.json` name this sandbox no longer, but another that runs, if there is one.

        A newer one has written its own: that stays.
        """
        with contextlib.suppress(ValueError, OSError, AttributeError, PaysimError):
            known = self.keyring.get(SANDBOX_FILE)
            if known is None or json.loads(known).get("control") != f"{self.base_url}/_paysim":
                return
            if self._before and _still_running(self._before):
                self.keyring.put(SANDBOX_FILE, self._before)
            else:
                (self.keyring.folder / SANDBOX_FILE).unlink()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) only where the protocol is named; else an answer waits 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
    except (OSError, OverflowError) as error:
        listening.close()
        raise _unusable(host, port, error, "--port") from None
    return listening


def _unusable(host: str, port: int, error: Exception, option: str) -> ConfigError:
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror) or number == errno.EADDRNOTAVAIL:
        return ConfigError(f"this machine has no address {host}; give another --host")
    if number == errno.EADDRINUSE:
        return ConfigError(f"port {port} on {host} is taken; give another {option}, or 0 for any free one")
    why = os.strerror(number) if number else "ports are 0 to 65535"
    return ConfigError(f"port {port} on {host} cannot be used ({why}); give another {option}, or 0")


def _here(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    return _NEAR.get(host, host)


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _still_running(described: bytes | None) -> bytes | None:
    """What `sandbox.json` says, where the process that wrote it lives and its port answers."""
    try:
        found = json.loads(described or b"")
        os.kill(int(found["pid"]), 0)
        parts = urlsplit(found["control"])
        socket.create_connection((parts.hostname or "", parts.port or 0), _ANSWER_S).close()
    except (ValueError, TypeError, LookupError, AttributeError, OSError, OverflowError):
        return None
    return described


def _put_aside(file: Path) -> None:
    """A journal that is replaced stays beside the new one, under the next free number."""
    if not file.exists():
        return
    number = next(n for n in range(1, 10_000) if not file.with_name(f"{file.name}.{n}").exists())
    for ending in ("", "-wal", "-shm"):
        part = file.with_name(file.name + ending)
        if part.exists():
            part.rename(file.with_name(f"{file.name}.{number}{ending}"))
