"""What a running sandbox is made of: the sandbox, its courier, its request log, and how to begin anew."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from paysim.core.errors import UsageError
from paysim.core.money import Money
from paysim.core.operation import Verb
from paysim.operators.wechat import notify
from paysim.operators.wechat.merchants import Merchant, Settings
from paysim.sandbox import Sandbox
from paysim.sandbox.wechat import FEE_PPM

from .courier import Courier, channel_of
from .request_log import RequestLog
from .webhooks import Policy, Sender

__all__ = ["PEOPLE", "SHOP", "Platform"]

SHOP: Final = "Sandbox Shop"
PEOPLE: Final = ("Alice", "Bob")
_BALANCE: Final = Money("CNY", 10_000_00)


class Platform:
    """A sandbox with everything around it that moves by itself.

    `open` makes the sandbox, again at each reset; `say` tells the person at the prompt one line. Make and use
    it inside a running event loop.
    """

    def __init__(
        self,
        make: Callable[[], Sandbox],
        *,
        settings: Settings,
        policy: Policy,
        say: Callable[[str], None],
        resettable: bool = True,
    ) -> None:
        self._make = make
        self._settings = settings
        self.say = say
        self._resettable = resettable
        self.policy = policy
        self.sender = Sender(policy, timeout_s=notify.TIMEOUT_S, say=say)
        self.log = RequestLog()
        self.stopped = False
        self._resetting = asyncio.Lock()
        self._pulse: asyncio.Task[None] | None = None
        self._begin()

    def _begin(self) -> None:
        self.sandbox = self._make()
        try:
            self.sandbox.wechat.settings = self._settings
            self.merchant = self._furnish()
            self.courier = Courier(self.sandbox, self.sender, self.say)
        except BaseException:
            self.sandbox.close()
            raise

    def _furnish(self) -> Merchant:
        """A default merchant and two people, where there are none."""
        sandbox = self.sandbox
        known = {merchant.name: merchant for merchant in sandbox.wechat.merchants()}
        if known:
            return known.get(SHOP) or next(iter(known.values()))
        merchant = sandbox.wechat.onboard(sandbox.shop(SHOP, fee_ppm=FEE_PPM).facts)
        for name in PEOPLE:
            sandbox.person(name, balance=_BALANCE)
        return merchant

    def settle(self, changes: Mapping[str, Any]) -> Settings:
        """The settings with these changes, from now on and after a reset."""
        self._settings = msgspec.structs.replace(self.sandbox.wechat.settings, **changes)
        self.sandbox.wechat.settings = self._settings
        return self._settings

    def start(self) -> None:
        """Let timers ring and callbacks go out."""
        self._pulse = asyncio.get_running_loop().create_task(self.courier.run())

    async def stop(self) -> None:
        """Let go of everything; what is owed stays owed in the journal."""
        self.stopped = True
        await self._halt()
        await self.sender.close()
        self.sandbox.close()

    async def _halt(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pulse
            self._pulse = None
        await self.courier.stop()

    async def reset(self) -> None:
        """Begin a new journal. Raises UsageError where the journal is a file that shall stay."""
        if not self._resettable:
            raise UsageError("the journal is a file; start with --allow-reset to let it be replaced")
        async with self._resetting:
            await self._halt()
            self.sandbox.close()
            self.log.clear()
            self._begin()
            self.start()

    async def deliver_early(self, verb: str, channel: str = "") -> None:
        """Where a fault says so, deliver what is owed now, before the answer goes out."""
        early = frozenset({"early"})
        if not self.courier.due():
            return
        if self.sandbox.faults.take("callback", verb, channel, actions=early) is not None:
            await self.courier.flush()

    async def pay(self, *asked: Any) -> Any:
        """What comes of a person's act, once an early callback is through."""
        paid = self.sandbox.wechat.payer.pay(*asked)
        self.courier.wake()
        await self.deliver_early(Verb.AUTHORIZE, channel_of(self.sandbox.wechat.book(paid.order)))
        return paid

    def configuration(self) -> Mapping[str, Any]:
        """What a client of the default merchant is configured with, keys and all."""
        keys = self.sandbox.wechat.keys(self.merchant.mchid)
        if keys is None:
            raise UsageError("the default merchant is gone; reset the sandbox")
        return {
            "mchid": self.merchant.mchid,
            "appid": self.merchant.apps[0].appid,
            "serial_no": keys.serial,
            "public_key_id": self.sandbox.wechat.secrets.public_key_id(),
            "apiv3_key": keys.api_v3_key,
            "apiv2_key": keys.api_v2_key,
        }
