"""What happens by itself: timers that ring on a real clock, and callbacks that go out when they are due.

Callbacks are owed in the journal; this keeps the due ones in a heap, builds each from the books, posts it,
and writes down what came of it. Until then it is owed: a process that dies leaves it to the next one. Faults
of the point "callback" strike here.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from paysim.core.callback import Callback
from paysim.core.clock import SECOND_MS, VirtualClock
from paysim.core.errors import StoreError, UsageError
from paysim.core.operation import Verb
from paysim.core.transaction import Transaction
from paysim.faults import Fault
from paysim.operators.wechat import notify
from paysim.operators.wechat.messages import details
from paysim.operators.wechat.spoiling import SPOILS, Signed, spoil
from paysim.sandbox import Sandbox

from .webhooks import Attempt, Sender

__all__ = ["Courier", "Tried", "channel_of"]

_FOREVER_MS: Final = 2**62
_TRIED_KEPT: Final = 1_000
_STRANGE_S: Final = 1.0
_SAID_ALREADY: Final = ("refused:", "unresolved:", "url:")
"""Errors that the sender tells the person at the prompt by itself, with the option that helps."""
_POSTPONING: Final = frozenset({"delay", "out_of_order"})
_DELIVERY_ACTIONS: Final = frozenset({"lose", "delay", "duplicate", "concurrent", "out_of_order", *SPOILS})


class Tried(NamedTuple):
    """One try, as it went over the wire: for the delivery log."""

    callback: str
    url: str
    status: int
    error: str
    elapsed_ms: float
    headers: tuple[tuple[str, str], ...]
    body: bytes
    answer: bytes
    fault: str


class Courier:
    """Delivers what one sandbox owes: `run` is its task, `flush` waits until all that is due was tried."""

    def __init__(self, sandbox: Sandbox, sender: Sender, say: Callable[[str], None]) -> None:
        self._sandbox = sandbox
        self._sender = sender
        self._say = say
        self._heap: list[tuple[int, int, str]] = []
        self._order = itertools.count()
        self._waiting: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._held: list[str] = []
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.tried: deque[Tried] = deque(maxlen=_TRIED_KEPT)
        for name, due_ms in sandbox.journal.timers():
            if name.startswith("callback/"):
                self._push(name.partition("/")[2], due_ms)
        sandbox.wechat.listen(self._owed)

    # The task. --------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look again at what is due: something was written."""
        self._woken.set()

    async def run(self) -> None:
        """Ring timers and deliver callbacks, until it is cancelled."""
        while True:
            self._woken.clear()
            try:
                self._start_due()
            except StoreError as error:
                self._say(f"the journal could not be written, trying again: {error}")
                await asyncio.sleep(_STRANGE_S)
                continue
            wait_s = self._wait_s()
            # Not wait_for: before Python 3.12 it loses a cancellation that comes as the event does.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()

    def _start_due(self) -> None:
        if not self._sandbox.clock.virtual:
            self._sandbox.tick()
        now_ms = self._sandbox.clock.now_ms()
        while self._heap and self._heap[0][0] <= now_ms:
            due_ms, _, id = heapq.heappop(self._heap)
            if self._waiting.get(id) != due_ms:
                continue
            del self._waiting[id]
            if id in self._tasks:
                self._again.add(id)
                continue
            task = self._loop.create_task(self._deliver(id), name=id)
            self._tasks[id] = task
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        id = task.get_name()
        self._tasks.pop(id, None)
        if id in self._again:
            self._again.remove(id)
            self._push(id, self._sandbox.clock.now_ms())

    def _wait_s(self) -> float | None:
        """Seconds until something is due by itself; None where only a command can make it so."""
        if self._sandbox.clock.virtual:
            return None
        next_ms = self.next_ms()
        if next_ms is None:
            return None
        return min(max((next_ms - self._sandbox.clock.now_ms()) / SECOND_MS, 0.0), 3600.0)

    def next_ms(self) -> int | None:
        """When the next timer rings or callback is due, in Unix ms; None for never."""
        while self._heap and self._waiting.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        timer = self._sandbox.journal.due(_FOREVER_MS)
        soonest = [self._heap[0][0]] if self._heap else []
        return min([*soonest, timer[0]] if timer else soonest, default=None)

    def due(self) -> bool:
        """Whether a callback is due now that is not on its way yet."""
        now_ms = self._sandbox.clock.now_ms()
        return any(due_ms <= now_ms for due_ms in self._waiting.values())

    async def flush(self) -> None:
        """Deliver everything that is due now, and wait until it has been tried."""
        while True:
            self._start_due()
            if not self._tasks:
                return
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def advance_to(self, target_ms: int) -> None:
        """Move a virtual clock; timers and callbacks come in their order on the way."""
        clock = self._sandbox.clock
        if not isinstance(clock, VirtualClock):
            self._sandbox.advance(seconds=0)
            return
        await self.flush()
        while (due_ms := self.next_ms()) is not None and due_ms <= target_ms:
            if due_ms > clock.now_ms():
                self._sandbox.advance(seconds=(due_ms - clock.now_ms()) / SECOND_MS)
            else:
                self._sandbox.tick()
            await self.flush()
        if target_ms > clock.now_ms():
            self._sandbox.advance(seconds=(target_ms - clock.now_ms()) / SECOND_MS)
            await self.flush()

    async def stop(self) -> None:
        """Let go: what is under way is cut, and stays owed."""
        self._sandbox.wechat.listen(None)
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # One callback. ----------------------------------------------------------------------------

    def _owed(self, id: str, due_ms: int) -> None:
        """A command has made a callback owed; from another thread it is put into the loop's hands.

        In the loop's own thread it counts at once: whoever waits for what is due shall wait for this one.
        """
        if threading.get_ident() == self._thread:
            self._push(id, due_ms)
        else:
            self._loop.call_soon_threadsafe(self._push, id, due_ms)

    def _push(self, id: str, due_ms: int) -> None:
        self._waiting[id] = due_ms
        heapq.heappush(self._heap, (due_ms, next(self._order), id))
        self._woken.set()

    async def resend(self, id: str) -> bool:
        """Put a callback on its way again, whatever became of it; False where there is none."""
        callback = self._callback(id)
        if not callback.events:
            return False
        running = self._tasks.get(id)
        if running is not None:
            await asyncio.wait([running])
        now_ms = self._sandbox.clock.now_ms()
        self._record(id, "resent", now_ms, {})
        await self.flush()
        return True

    def _callback(self, id: str) -> Callback:
        return self._sandbox.wechat.callback(id)

    async def _deliver(self, id: str) -> None:
        try:
            await self._try(id)
        except StoreError as error:
            self._say(f"callback {id}: what came of it could not be written: {error}")
            self._push(id, self._sandbox.clock.now_ms() + SECOND_MS)
        except UsageError as error:  # its merchant has no APIv3 key any more: then there are no callbacks
            self._record(id, "given_up", None, {"status": 0, "error": str(error)[:200]})

    def _release(self, id: str) -> None:
        """One was posted: let the callbacks go that waited for another one to be first."""
        for other in [one for one in self._held if one != id]:
            self._held.remove(other)
            self._push(other, self._sandbox.clock.now_ms())

    async def _try(self, id: str) -> None:
        callback = self._callback(id)
        if not callback.events or callback.due_ms is None:
            return  # the command that owed it was not written
        fault = self._fault(callback)
        action = fault.action if fault is not None else ""
        if fault is not None and action in _POSTPONING:
            if action == "out_of_order":
                self._held.append(id)
            due_ms = self._sandbox.clock.now_ms() + round(fault.delay_s * SECOND_MS)
            self._record(id, "postponed", due_ms, {"fault": action})
            return
        if action == "lose":
            came = Attempt(0, "lost by a fault", callback.url, b"", 0.0)
            self._note(callback, came, action, (), b"")
        elif action == "concurrent":
            twins = await asyncio.gather(self._post(callback, action), self._post(callback, action))
            came = next((one for one in twins if one.acknowledged), twins[-1])
        else:
            came = await self._post(callback, action)
            if action in ("duplicate", "probe"):
                came = await self._post(callback, action if action == "duplicate" else "")
        self._after(self._callback(id), came, action)
        if action != "lose":
            self._release(id)

    def _fault(self, callback: Callback) -> Fault | None:
        owed = callback.events[0].data
        if owed.get("fault") and callback.tries == 0:
            action = owed["fault"]
            return None if action == "delay" else Fault("callback", action)
        verb = Verb.REFUND if owed["event_type"].startswith("REFUND") else Verb.AUTHORIZE
        plan, mark = self._sandbox.faults, callback.events[-1].kind
        actions = _DELIVERY_ACTIONS - _POSTPONING if mark == "postponed" else _DELIVERY_ACTIONS
        channel = channel_of(self._sandbox.wechat.book(callback.order))
        return plan.take("callback", verb, channel, path=callback.url, actions=actions)

    async def _post(self, callback: Callback, action: str) -> Attempt:
        """What comes of posting it once."""
        headers, body = self.message(callback, action)
        attempt = await self._sender.send(callback.url, headers, body)
        self._note(callback, attempt, action, headers, body)
        return attempt

    def message(self, callback: Callback, action: str = "") -> tuple[tuple[tuple[str, str], ...], bytes]:
        """Headers and body of one try, spoilt in one way where a fault says so."""
        wechat, owed = self._sandbox.wechat, callback.events[0]
        data: dict[str, Any] = owed.data
        stream = self._sandbox.journal.stream(f"order/{callback.order}")
        book = Transaction(callback.order)
        for event in stream[: callback.position]:
            book.apply(event)
        keys = wechat.keys(data["mchid"])
        plaintext = notify.content(book, data["event_type"], data["operation"], wechat)
        api_v3_key = keys.api_v3_key if keys is not None else ""
        body = notify.envelope(callback.id, owed.at_ms, data["event_type"], plaintext, api_v3_key)
        platform, wall_ms = wechat.platform(data["mchid"]), wechat.wall_ms()
        headers = notify.message(body, platform, data["signed_by"], wall_ms, wechat.nonce())
        return spoil(action, Signed(headers, body, platform, wall_ms, wechat.nonce()))

    # What came of it. -------------------------------------------------------------------------

    def _after(self, callback: Callback, attempt: Attempt, fault: str) -> None:
        """Write down what came of a try: delivered, or when the next one is due."""
        data: dict[str, Any] = {"status": attempt.status}
        if attempt.error:
            data["error"] = attempt.error[:200]
        if fault:
            data["fault"] = fault
        if attempt.acknowledged:
            self._record(callback.id, "delivered", None, data)
            return
        now_ms = self._sandbox.clock.now_ms()
        due_ms = notify.next_ms(callback.tries + 1, now_ms)
        if not callback.tries and not fault and not attempt.error.startswith(_SAID_ALREADY):
            why = attempt.error or f"answered {attempt.status}"
            again = "" if due_ms is None else f"; again in {(due_ms - now_ms) // SECOND_MS} s"
            self._say(f"callback to {callback.url}: {why}{again}")
        self._record(callback.id, "attempted" if due_ms is not None else "given_up", due_ms, data)

    def _note(
        self,
        callback: Callback,
        attempt: Attempt,
        fault: str,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
    ) -> None:
        sent, came = (attempt.url, attempt.status, attempt.error, attempt.elapsed_ms), attempt.answer
        tried = Tried(callback.id, *sent, headers, body, came, fault)
        self.tried.append(tried)

    def _record(self, id: str, kind: str, due_ms: int | None, data: dict[str, Any]) -> None:
        """Write down a fact of a callback, and what its timer is now."""
        self._sandbox.wechat.record(id, kind, due_ms, data)
        if due_ms is None:
            self._waiting.pop(id, None)
        else:
            self._push(id, due_ms)


def channel_of(book: Transaction | None) -> str:
    """The channel that an order was presented by, "" where there is none."""
    trade_type = details(book).get("trade_type", "") if book is not None else ""
    return {"": "", "NATIVE": "qr.wechat"}.get(trade_type, "in_app.wechat")
