"""The way to a card through the smart card service, by a thread that may be left behind.

The service blocks while a card or its reader does not answer, and cannot be told to give up. So whatever
touches a reader is done by a thread of its own, with a context of the service of its own. Where that takes
too long both are given up; they end by themselves once the card has left the reader.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from paysim.core.errors import LinkClosed, LinkTimeout

from . import pcsc_service as service

__all__ = ["CardTalk"]

CLOSING_S: Final = 0.5
"""How long letting go of a card may take."""

_T = TypeVar("_T")


class CardTalk:
    """The way to one card at a time. Raises NoReader where the service does not run.

    What takes `until` (by `time.monotonic`) and is not done then raises LinkTimeout: the talk is `stuck`, and
    nothing but `ended` is to be asked of it any more.
    """

    def __init__(self, *, exclusive: bool) -> None:
        scard = service.functions()
        self._scard = scard
        self._mode = scard.SCARD_SHARE_EXCLUSIVE if exclusive else scard.SCARD_SHARE_SHARED
        self._both = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        self._context = service.context(scard)
        self._courier = _Courier()
        self._handle: int | None = None
        self._protocol = 0
        self._reader = ""
        self.lost = False
        """The connected card is known to be gone: a reset would fail, and confuse the service."""
        self.stuck = False

    @property
    def reader(self) -> str:
        """The reader whose card is connected, "" for none."""
        return "" if self._handle is None else self._reader

    @property
    def t0(self) -> bool:
        """Whether the connected card speaks T=0."""
        return bool(self._protocol == self._scard.SCARD_PROTOCOL_T0)

    def connect(self, reader: str, until: float, *, fresh: bool) -> int:
        """Connect to the card there, and reset it unless it is `fresh`; what the service says, 0 for good."""
        how = self._scard.SCARD_RESET_CARD
        if self.reader == reader and not self._reset(how, until):
            return 0
        code = self._connect(reader, self._mode, until)
        if code in service.UNRESPONSIVE:
            return self.power_on(reader, until)
        if code or fresh:
            return code
        return self._reset(how, until)

    def power_on(self, reader: str, until: float) -> int:
        """Power whatever card is there on, seen by the service or not; what the service says, 0 for good."""
        code = self._connect(reader, self._scard.SCARD_SHARE_DIRECT, until)
        return code or self._reset(self._scard.SCARD_UNPOWER_CARD, until)

    def atr(self, until: float) -> bytes | None:
        """The connected card's; None where it has left already."""
        handle = self._handle
        result, _, _, _, found = self._call(lambda: self._scard.SCardStatus(handle), until)
        if result:
            self.disconnect()
            return None
        return bytes(found)

    def transmit(self, command: bytes, until: float) -> bytes:
        """One exchange, as the reader does it. Raises LinkTimeout or LinkClosed."""
        handle, protocol, data = self._handle, self._protocol, list(command)
        if handle is None:
            raise LinkClosed("there is no card in the field")
        result, answer = self._call(lambda: self._scard.SCardTransmit(handle, protocol, data), until)
        code = service.code_of(result)
        if code == service.TIMEOUT:
            raise LinkTimeout("the card does not answer")
        if code or not answer:
            self.lost = True
            raise LinkClosed(service.words(code or service.NOT_TRANSACTED))
        return bytes(answer)

    def disconnect(self) -> None:
        """Let go of the card, and of what it has not forgotten."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            how = self._scard.SCARD_LEAVE_CARD if self.lost else self._scard.SCARD_RESET_CARD
            self._call(lambda: self._scard.SCardDisconnect(handle, how), time.monotonic() + CLOSING_S)

    def close(self) -> None:
        """Give the service everything back, now or once it answers."""
        if not self.stuck:
            try:
                self.disconnect()
            except LinkTimeout:
                return
            self._courier.leave(lambda: self._scard.SCardReleaseContext(self._context))

    def ended(self, until: float) -> bool:
        """Whether a stuck talk is at its end, waited for: the reader is free."""
        return self._courier.ended(max(0.0, until - time.monotonic()))

    # Of the service. ------------------------------------------------------------------------------------

    def _connect(self, reader: str, mode: int, until: float) -> int:
        self.disconnect()
        self._reader = reader
        protocols = 0 if mode == self._scard.SCARD_SHARE_DIRECT else self._both
        result, handle, self._protocol = self._call(
            lambda: self._scard.SCardConnect(self._context, reader, mode, protocols), until
        )
        if not result:
            self._handle, self.lost = handle, False
        return service.code_of(result)

    def _reset(self, how: int, until: float) -> int:
        """Reset the connected card; not connected any more where that fails."""
        handle = self._handle
        result, self._protocol = self._call(
            lambda: self._scard.SCardReconnect(handle, self._mode, self._both, how), until
        )
        self.lost = bool(result)
        if result:
            self.disconnect()
        return service.code_of(result)

    def _call(self, job: Callable[[], _T], until: float) -> _T:
        try:
            return self._courier.call(job, max(0.0, until - time.monotonic()))
        except queue.Empty:
            self.stuck, self._handle = True, None
            self._courier.leave(lambda: self._scard.SCardReleaseContext(self._context))
            raise LinkTimeout("the card does not answer; take it away") from None


class _Courier:
    """A thread that does what may block for ever; any thread may ask it."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="paysim pcsc", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.done.put(job.act())

    def call(self, act: Callable[[], _T], timeout_s: float) -> _T:
        """What comes of it. Raises queue.Empty where it takes longer; the courier is of no use then."""
        job = _Job(act, queue.SimpleQueue())
        self._jobs.put(job)
        result: _T = job.done.get(timeout=timeout_s)
        return result

    def leave(self, last: Callable[[], object]) -> None:
        """Do `last` once the present job is done, and end."""
        self._jobs.put(_Job(last, queue.SimpleQueue()))
        self._jobs.put(None)

    def ended(self, timeout_s: float) -> bool:
        """Whether the thread is at its end, waited for."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


class _Job(NamedTuple):
    act: Callable[[], object]
    done: queue.SimpleQueue[Any]
