"""A running sandbox: its two ports, its keys folder, and the file that tells programs where everything is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import uvicorn

from paysim.core.clock import SystemClock
from paysim.core.errors import ConfigError
from paysim.operators.wechat.hosts import WECHAT_HOSTS
from paysim.operators.wechat.merchants import Settings
from paysim.sandbox import Sandbox
from paysim.store import Keyring

from . import tls
from .app import App
from .door import GuardedProtocol
from .environment import environment, trusted_files
from .platform import Platform
from .proxy import Proxy
from .webhooks import Policy

__all__ = ["SANDBOX_FILE", "Options", "Server"]

SANDBOX_FILE: Final = "sandbox.json"
DEFAULT_PORT: Final = 8520
_KEEP_ALIVE_S: Final = 75
_HEAD_BYTES: Final = 64 * 1024
_READY_S: Final = 10.0
REFUND_MS: Final = 1_000
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
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
        self._say = say
        self._uvicorn: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._proxy: Proxy | None = None
        self._proxy_port = 0
        self._port = 0

    async def start(self) -> Mapping[str, Any]:
        """Begin to serve, and return what `sandbox.json` says.

        Raises ConfigError for a port that is taken, StoreError for a journal that cannot be used.
        """
        options = self.options
        listening = _bound(options.host, options.port)
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
        config = uvicorn.Config(
            App(self.platform, host=self.options.host, token=self.options.token),
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
        self._uvicorn = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._serve(listening))
        async with asyncio.timeout(_READY_S):
            while not self._uvicorn.started:
                if self._serving.done():
                    self._serving.result()
                    raise ConfigError("the server ended before it began")
                await asyncio.sleep(0.002)

    async def _serve(self, listening: socket.socket) -> None:
        """uvicorn without its own handling of signals: whoever made the loop decides about those."""
        if self._uvicorn is not None:
            await self._uvicorn._serve([listening])

    async def _open_proxy(self, port: int) -> None:
        now_ms = SystemClock().now_ms()
        context = tls.server_context(self.keyring, WECHAT_HOSTS, now_ms)
        self._ca = tls.root(self.keyring, WECHAT_HOSTS, now_ms).certificate
        host = "127.0.0.1" if self.options.host in ("127.0.0.1", "localhost") else self.options.host
        upstream = (host, self._port)
        self._proxy = Proxy(upstream, context, WECHAT_HOSTS, self.options.allow_hosts, self._say)
        self._proxy_port = await self._proxy.start(self.options.host, port)

    # What programs read. ----------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Where everything answers, without a slash at the end."""
        host = self.options.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    def description(self) -> dict[str, Any]:
        """What `sandbox.json` says: FILE values are names in the keys folder."""
        wechat = {
            "base_url": self.base_url,
            **self.platform.configuration(),
            "private_key": "apiclient_key.pem",
            "certificate": "apiclient_cert.pem",
            "public_key": "pub_key.pem",
        }
        host = self.options.host
        proxy = f"http://{f'[{host}]' if ':' in host else host}:{self._proxy_port}" if self._proxy else None
        return {
            "control": f"{self.base_url}/_paysim",
            "proxy": proxy,
            "ca": tls.CA_FILE if self._proxy else None,
            "wechat": wechat,
            "pid": os.getpid(),
            "keys": str(self.keyring.folder.absolute()),
        }

    def _written(self) -> Mapping[str, Any]:
        secrets = self.platform.sandbox.wechat.secrets
        for name, data in secrets.files(self.platform.merchant.mchid).items():
            self.keyring.put(name, data)
        found = self.description()
        self.keyring.put(SANDBOX_FILE, json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")
        return found

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of a program that shall talk to this sandbox instead of the real service."""
        if self._proxy is None:
            raise ConfigError("there is no proxy to lead a program here")
        bundle = tls.bundle(self.keyring, self._ca, trusted_files(base))
        proxy = f"http://127.0.0.1:{self._proxy_port}"
        found = environment(base, proxy, self.keyring.folder / tls.CA_FILE, bundle)
        return {**found, "PAYSIM_KEYS": str(self.keyring.folder.absolute())}

    # The end. ---------------------------------------------------------------------------------

    async def wait(self) -> None:
        """Until the server ends by itself, which it does not."""
        if self._serving is not None:
            await self._serving

    async def stop(self) -> None:
        """Close every socket, stop every task, let go of the journal."""
        if self._proxy is not None:
            await self._proxy.stop()
            self._proxy = None
        if self._uvicorn is not None and self._serving is not None:
            self._uvicorn.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await self._serving
            self._serving = None
        await self.platform.stop()
        self._forget_file()

    def _forget_file(self) -> None:
        """Take `sandbox.json` away where it still names this process: nothing answers there any more."""
        known = self.keyring.get(SANDBOX_FILE)
        with contextlib.suppress(ValueError, OSError):
            if known is not None and json.loads(known).get("control") == f"{self.base_url}/_paysim":
                (self.keyring.folder / SANDBOX_FILE).unlink()


def any_port(options: Options) -> Options:
    """The same on any free port."""
    return replace(options, port=0)


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
        raise ConfigError(
            f"port {port} on {host} cannot be used ({error}); give another --port, or 0 for any"
        ) from None
    return listening


def _put_aside(file: Path) -> None:
    """A journal that is replaced stays beside the new one, under the next free number."""
    if not file.exists():
        return
    number = next(n for n in range(1, 10_000) if not file.with_name(f"{file.name}.{n}").exists())
    for ending in ("", "-wal", "-shm"):
        part = file.with_name(file.name + ending)
        if part.exists():
            part.rename(file.with_name(f"{file.name}.{number}{ending}"))
