"""How the control API is asked over HTTP: its routes, what a body must be, refusals, and the event stream."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from paysim.core.errors import ConfigError, PaysimError, StoreError, UsageError

from . import control_types as types
from .control import CALLS, PREFIX, Asked, Call, Refused, record_view
from .openapi import describe
from .platform import Platform
from .wire import Unread, read_body

__all__ = ["HANDLERS", "failure", "routes"]

_BODY_AT_MOST: Final = 256 * 1024
_TOLD_AT_ONCE: Final = 1_000
_ALIVE_S: Final = 15.0
_POLL_S: Final = 0.1


def routes(platform: Platform) -> list[Route]:
    """The routes of the control API, its description among them."""
    paths: dict[str, list[Call]] = {}
    for call in CALLS:
        paths.setdefault(call.path, []).append(call)
    found = [
        Route(PREFIX + path, _endpoint(platform, calls), methods=[c.method for c in calls])
        for path, calls in paths.items()
    ]
    document = msgspec.json.encode(describe(PREFIX, CALLS))

    async def openapi(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    return [*found, Route(f"{PREFIX}/openapi.json", openapi, methods=["GET"])]


def _endpoint(platform: Platform, calls: list[Call]) -> Callable[[Request], Awaitable[Response]]:
    by_method = {call.method: call for call in calls}

    async def endpoint(request: Request) -> Response:
        call = by_method["GET" if request.method == "HEAD" else request.method]
        if call.path == "/journal" and "text/event-stream" in request.headers.get("accept", ""):
            return _stream(platform, request)
        try:
            body = await _body(request, call)
            asked = Asked(platform, request.path_params, request.query_params, body)
            found = await call.handler(asked)
        except Refused as error:
            return failure(error.status, "refused", str(error), close=error.status in (408, 413))
        except (UsageError, ConfigError, msgspec.ValidationError) as error:
            return failure(400, "usage", str(error))
        except msgspec.DecodeError as error:
            return failure(400, "json", f"the body is no JSON: {error}")
        except StoreError as error:
            return failure(503, "store", f"{error}; nothing was done")
        except PaysimError as error:
            return failure(400, type(error).__name__, str(error))
        platform.courier.wake()
        if found is None:
            return Response(status_code=204)
        return Response(msgspec.json.encode(found), media_type="application/json")

    return endpoint


async def _body(request: Request, call: Call) -> Any:
    """The validated body. Raises Refused, UsageError or msgspec's own errors."""
    if call.method not in ("POST", "PUT", "PATCH"):
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "Content-Type is application/json on every POST")
    try:
        raw = await read_body(request.receive, _BODY_AT_MOST)
    except Unread as error:
        text = f"a body is at most {_BODY_AT_MOST} bytes, and comes within seconds"
        raise Refused(error.status or 400, text) from None
    return msgspec.json.decode(raw or b"{}", type=call.takes or dict[str, Any])


def failure(status: int, error: str, message: str, *, close: bool = False) -> Response:
    """An answer that says why nothing was done; with `close` the connection ends, whatever still comes."""
    body = msgspec.json.encode(types.Failure(error, message))
    headers = {"Connection": "close"} if close else None
    return Response(body, status_code=status, media_type="application/json", headers=headers)


async def _no_such_call(request: Request, _: Exception) -> Response:
    text = f"there is no {request.url.path[:200]}; GET {PREFIX}/openapi.json lists the calls"
    return failure(404, "not_found", text)


async def _other_method(request: Request, error: Exception) -> Response:
    allow: Mapping[str, str] = getattr(error, "headers", None) or {}
    text = f"{request.method} is not among {allow.get('Allow', 'the methods of this call')}"
    refusal = failure(405, "method", text)
    refusal.headers.update(allow)
    return refusal


HANDLERS: Final[Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]] = {
    404: _no_such_call,
    405: _other_method,
}
"""What answers where no row of the table fits."""


def _stream(platform: Platform, request: Request) -> Response:
    """The journal from a position on, record by record, and what is appended later."""
    text = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    after = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0

    async def events(position: int) -> AsyncIterator[bytes]:
        idle_s = 0.0
        while not platform.stopped:
            journal = platform.sandbox.journal
            if journal.position > position:
                fresh = (one for one in journal.records() if one.position > position)
                told = [record_view(one) for one in itertools.islice(fresh, _TOLD_AT_ONCE)]
                for record in told:  # a list: the journal may be replaced while the client reads
                    position, idle_s = record.position, 0.0
                    yield b"id: %d\ndata: %s\n\n" % (position, msgspec.json.encode(record))
                continue
            if journal.position < position:
                position = 0  # a new journal began
                continue
            await asyncio.sleep(_POLL_S)
            idle_s += _POLL_S
            if idle_s >= _ALIVE_S:
                idle_s = 0.0
                yield b": still here\n\n"

    return StreamingResponse(events(after), media_type="text/event-stream")
