"""The operators' face: a request off the socket, through the machine, and its answer back on the socket.

Here faults strike requests and answers: what is lost, late, cut, refused or signed wrong on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import msgspec

from paysim.codec.http import Request, Response
from paysim.core.errors import StoreError
from paysim.core.operation import Verb
from paysim.faults import ACTIONS, EVERYWHERE, Fault, Limiter
from paysim.operators.wechat import service
from paysim.operators.wechat.errors import CODES, OLD_CODES, WeChatError
from paysim.operators.wechat.spoiling import SPOILS, Signed, spoil
from paysim.operators.wechat.world import Answer

from .platform import Platform

__all__ = ["MAX_BODY", "Unread", "WeChatFace", "read_body"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY: Final = 2 * 1024 * 1024
"""Bytes of a request's body. Assumed: the largest upload of APIv3 (an image) has 2 MB"""

BODY_S: Final = 10.0
"""How long a client may take to send its body."""

_DROPPED: Final = 8 * 1024 * 1024
"""Bytes beyond the most that are read and dropped, so that the client comes to read its answer."""

_REQUEST_ACTIONS: Final = frozenset(a for a, row in ACTIONS.items() if "request" in row.points) - {"limit"}
_RESET: Final = struct.pack("ii", 1, 0)


_UNREAD: Final[dict[int, str]] = {
    413: f"the body is longer than {MAX_BODY} bytes",
    408: f"the body did not come within {BODY_S:.0f} s",
    0: "the client went away before its body was through",
}
"""Status of a body that was not taken -> why, in words."""


class Unread(Exception):
    """A body that was not taken: 413 for too long, 408 for too slow, 0 where its sender went away."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def read_body(receive: Receive, most: int = MAX_BODY) -> bytes:
    """A request's whole body of at most `most` bytes. Raises Unread where it is not to be had."""
    parts: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(BODY_S):
            while more and size <= most + _DROPPED:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Unread(0)
                part: bytes = message.get("body", b"")
                size, more = size + len(part), message.get("more_body", False)
                if size <= most:
                    parts.append(part)
    except TimeoutError:
        raise Unread(408) from None
    if size > most:
        raise Unread(413)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def answer(send: Send, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
    """Send an answer."""
    raw = _raw(headers)
    if status != 204:
        raw.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers for the socket; the body's length is counted here, whatever they say of it."""
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return [(name, value) for name, value in pairs if name != b"content-length"]


def cut(scope: Scope, *, reset: bool = False) -> None:
    """Close the connection without another byte; with `reset` so that the client sees it reset."""
    transport = scope["state"]["transport"]
    if reset:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


class WeChatFace:
    """WeChat Pay's API, as an ASGI application."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._limiter = Limiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            body = await read_body(receive)
        except Unread as error:
            await self._unread(scope, send, error.status)
            return
        request = _request(scope, body)
        began = time.perf_counter()
        given, response = await self._exchange(scope, send, request)
        self._log(request, response, given, (time.perf_counter() - began) * 1000)

    async def _unread(self, scope: Scope, send: Send, status: int) -> None:
        """Refuse a request whose body was not taken; for 0 nobody is there any more."""
        response = Response(status, (("Connection", "close"),)) if status else None
        if response is not None:
            await self._send(send, response)
        self._log(_request(scope, b""), response, Answer(Response(status), why=_UNREAD[status]), 0.0)

    def _log(self, request: Request, response: Response | None, given: Answer, elapsed_ms: float) -> None:
        platform = self._platform
        platform.log.add(request, response, given, platform.sandbox.wechat.wall_ms(), elapsed_ms)

    async def _exchange(self, scope: Scope, send: Send, request: Request) -> tuple[Answer, Response | None]:
        """What the machine answered, and what of it was sent: None for nothing."""
        faults = self._platform.sandbox.faults
        if not faults.faults:
            given = self._respond(request)
            await self._send(send, given.response)
            return given, given.response
        verb, channel = service.verb_of(request), _channel(request)
        fault = faults.take("request", verb, channel, path=request.path, actions=_REQUEST_ACTIONS)
        refused = self._limited(request, verb, channel)
        if fault is not None and fault.action in ("lose", "reset"):
            cut(scope, reset=fault.action == "reset")
            return _unanswered(f"{fault.action} of the request"), None
        if fault is not None and fault.action == "delay":
            await asyncio.sleep(fault.delay_s)
        elif fault is not None:
            refused = self._error(request, fault, "before the effect")
        given = refused or self._respond(request, early=self._early(verb))
        possible = _possible(given.response)
        late = faults.take("answer", verb, channel, path=request.path, actions=possible)
        await self._flush_early(verb)
        return await self._answered(scope, send, request, given, late)

    def _respond(self, request: Request, early: bool = False) -> Answer:
        """What the machine answers; where it fails, SYSTEM_ERROR and words for whoever runs the sandbox."""
        wechat = self._platform.sandbox.wechat
        try:
            if not early:
                given = wechat.receive(request)
            else:
                kept, wechat.settings = wechat.settings, msgspec.structs.replace(wechat.settings, refund_ms=0)
                try:
                    given = wechat.receive(request)
                finally:
                    wechat.settings = kept
        except StoreError as error:
            why = f"the journal could not be written; nothing was done: {error}"
            return service.error_answer(WeChatError("SYSTEM_ERROR", why=why), request, wechat)
        except Exception as error:
            why = f"paysim fell over {request.method} {request.path[:200]}, which is a bug of it: {error!r}"
            self._platform.say(why)
            return service.error_answer(WeChatError("SYSTEM_ERROR", why=why), request, wechat)
        if given.facts:
            self._platform.courier.wake()
        return given

    def _early(self, verb: str) -> bool:
        """Whether a refund's callback shall overtake its answer."""
        standing = self._platform.sandbox.faults.standing("callback", "early", Verb.REFUND, "")
        return verb == Verb.REFUND and standing is not None

    async def _flush_early(self, verb: str) -> None:
        if verb == Verb.REFUND:
            await self._platform.deliver_early(Verb.REFUND)

    def _limited(self, request: Request, verb: str, channel: str) -> Answer | None:
        platform = self._platform
        faults = platform.sandbox.faults
        limit = faults.standing("request", "limit", verb, channel, path=request.path)
        if limit is None:
            return None
        wechat = platform.sandbox.wechat
        if not self._limiter.over(verb or request.path, limit.per_s, wechat.wall_ms()):
            return None
        faults.take("request", verb, channel, path=request.path, actions=frozenset({"limit"}))
        why = f"a fault limits this to {limit.per_s} requests a second"
        error = WeChatError("FREQUENCY_LIMITED", why=why)
        return service.error_answer(error, request, wechat)._replace(fault="limit", verb=verb)

    def _error(self, request: Request, fault: Fault, when: str) -> Answer:
        code = OLD_CODES.get(fault.code, fault.code)
        code = code if code in CODES else "SYSTEM_ERROR"
        error = WeChatError(code, why=f"a fault answers {code}, {when}")
        given = service.error_answer(
            error, request, self._platform.sandbox.wechat, service.statuses_of(request)
        )
        return given._replace(fault=f"error {when}")

    async def _answered(
        self, scope: Scope, send: Send, request: Request, given: Answer, fault: Fault | None
    ) -> tuple[Answer, Response | None]:
        response = given.response
        if fault is None:
            await self._send(send, response)
            return given, response
        action = fault.action
        given = given._replace(fault=f"{action} of the answer")
        if action == "lose" or action == "reset":
            cut(scope, reset=action == "reset")
            return given, None
        if action == "delay":
            await asyncio.sleep(fault.delay_s)
        elif action == "error":
            shown = self._error(request, fault, "after the effect")
            given = given._replace(code=shown.code, why=shown.why, fault=shown.fault)
            response = shown.response
        elif action == "truncate":
            await self._truncated(scope, send, response)
            return given, response
        elif action in SPOILS:
            response = self._spoilt(action, given, response)
        await self._send(send, response)
        return given, response

    def _spoilt(self, action: str, given: Answer, response: Response) -> Response:
        wechat = self._platform.sandbox.wechat
        platform = wechat.platform(given.mchid)
        signed = Signed(response.headers, response.body, platform, wechat.wall_ms(), wechat.nonce())
        headers, body = spoil(action, signed)
        return Response(response.status, headers, body)

    async def _send(self, send: Send, response: Response) -> None:
        await answer(send, response.status, response.headers, response.body)

    async def _truncated(self, scope: Scope, send: Send, response: Response) -> None:
        headers = [*_raw(response.headers), (b"content-length", b"%d" % len(response.body))]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        half = response.body[: len(response.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await asyncio.sleep(0)
        scope["state"]["transport"].close()


def _possible(response: Response) -> frozenset[str]:
    """The faults that can happen to an answer: what has no body or no signature cannot have a wrong one."""
    found = {*EVERYWHERE, "error", "reset"}
    if response.body:
        found.add("truncate")
    if response.header("Wechatpay-Signature"):
        found |= SPOILS.keys() - {"re_encode", "bad_tag"}
        found |= {"re_encode"} if response.body else set()
        found |= {"bad_tag"} if b'"ciphertext"' in response.body else set()
    return frozenset(found)


def _unanswered(fault: str) -> Answer:
    return Answer(Response(0), fault=fault)


def _channel(request: Request) -> str:
    """The channel that a prepay request is for; "" for the others."""
    if not request.path.startswith("/v3/pay/transactions/") or request.method != "POST":
        return ""
    last = request.path.rpartition("/")[2]
    return {"native": "qr.wechat", "close": ""}.get(last, "in_app.wechat")


def _request(scope: Scope, body: bytes) -> Request:
    """The request as a value: its target as it was sent."""
    sent: bytes = scope["state"].get("target", b"")
    if not sent.startswith(b"/"):  # a whole address, as to a proxy
        sent = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    target = sent.decode("latin-1")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], target, headers, body)
