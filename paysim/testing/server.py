"""A running sandbox for tests: `paysim serve` in a thread, with what a test wants to see and to break."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from paysim.core.errors import ConfigError, LinkTimeout

if TYPE_CHECKING:
    from paysim.faults import FaultPlan
    from paysim.sandbox import Sandbox
    from paysim.servers.client import Client
    from paysim.servers.server import Options, Server

__all__ = ["RunningServer", "ServerClock"]

T = TypeVar("T")
_WAIT_S: Final = 30.0


class ServerClock:
    """The clock of a running sandbox."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server

    def now_ms(self) -> int:
        """The sandbox's time, in Unix ms."""
        return self._server.sandbox.clock.now_ms()

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move it; timers ring and callbacks go out in their order. Raises UsageError on the real clock."""
        self._server.client.advance(days * 86_400 + hours * 3_600 + minutes * 60 + seconds)


class RunningServer:
    """A sandbox behind sockets, in a thread of its own; close it, or use it in a `with`.

    `wechat` is what a client is configured with (`base_url`, `mchid`, `appid`, `serial_no`, `apiv3_key`, ...,
    and the files' contents as `private_key`, `certificate` and `public_key`); `keys` the folder; `proxy` the
    CONNECT proxy's URL; `said` the lines that `paysim serve` would print on stderr.
    """

    def __init__(self, options: Options) -> None:
        from paysim.servers.client import Client

        self.options = options
        self.said: list[str] = []
        self.clock = ServerClock(self)
        self._server: Server | None = None
        self._failed: BaseException | None = None
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="paysim server", daemon=True)
        self._thread.start()
        self._ready.wait(_WAIT_S)
        if self._failed is not None:
            self._thread.join()
            raise self._failed
        if self._server is None:
            raise LinkTimeout(f"the sandbox did not start within {_WAIT_S:.0f} s")
        self.client: Client = Client(self.description["control"], token=options.token)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        from paysim.servers.server import Server

        server = Server(self.options, self.said.append)
        try:
            self.description: Mapping[str, Any] = await server.start()
            self._server = server
        except BaseException as error:
            self._failed = error
            return
        finally:
            self._ready.set()
        await self._over.wait()
        await server.stop()

    def close(self) -> None:
        """Stop it, and wait until every socket is closed."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(_WAIT_S)

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RunningServer {self.base_url}>"

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What a coroutine gives that runs inside the server's loop."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(_WAIT_S)

    # What a test sees. ------------------------------------------------------------------------

    @property
    def server(self) -> Server:
        """The server itself."""
        if self._server is None:
            raise ConfigError("the sandbox has been closed")
        return self._server

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox behind it: its books, its ledger, its journal."""
        return self.server.platform.sandbox

    @property
    def base_url(self) -> str:
        """Where WeChat Pay answers, without a slash at the end."""
        return str(self.description["wechat"]["base_url"])

    @property
    def proxy(self) -> str:
        """The proxy's URL."""
        return str(self.description["proxy"])

    @property
    def keys(self) -> Path:
        """The keys folder, with `sandbox.json` and the files that a client expects."""
        return Path(self.description["keys"])

    @property
    def wechat(self) -> dict[str, str]:
        """What a client is configured with, the files' contents among it."""
        found = dict(json.loads(json.dumps(self.description["wechat"])))
        for name in ("private_key", "certificate", "public_key"):
            found[name] = (self.keys / found[name]).read_text()
        return found

    @property
    def faults(self) -> FaultPlan:
        """What shall go wrong: `server.faults.add(Fault("answer", "truncate"))`."""
        return self.sandbox.faults

    @property
    def deliveries(self) -> list[dict[str, Any]]:
        """Every callback and its tries, the newest first."""
        return self.client.deliveries()

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What came by the wire, the newest first, and why it was refused."""
        listed: list[dict[str, Any]] = self.client.call("GET", "/requests")
        return listed

    def pay(
        self, text: str, *, person: str = "", outcome: str = "", referer: str | None = None
    ) -> Mapping[str, Any]:
        """Be the phone: pay a prepay id, a code URL or an H5 link. Gives `result` and `transaction`."""
        return self.client.pay(text, person=person, outcome=outcome, referer=referer)

    def end_refund(self, out_refund_no: str, status: str) -> Mapping[str, Any]:
        """End a refund that is PROCESSING or ABNORMAL: SUCCESS, ABNORMAL or CLOSED. Gives it as a query does.

        Raises UsageError where there is no such refund, or it is over.
        """
        path = f"/refunds/{quote(out_refund_no, safe='')}"
        ended: Mapping[str, Any] = self.client.call("POST", path, {"status": status})
        return ended

    def settle(self) -> None:
        """Wait until every callback that is due now has been tried."""
        self.run(self.server.platform.courier.flush)
