"""A shop's own server: where callbacks arrive, and what the shop's SDK makes of each."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Callback = Callable[[Mapping[str, str], bytes], Any]

_WAIT_S = 10.0


class Visit(NamedTuple):
    """A callback as it came, and the event that the SDK read in it: None where it refused it."""

    headers: Mapping[str, str]
    body: bytes
    event: Mapping[str, Any] | None
    error: str


class ShopFront:
    """Hears callbacks at `url` and shows each to `callback`, the SDK's own; use it in a `with`.

    What the SDK refuses is answered with 401, where it raises with 500, all else with 204.
    """

    def __init__(self, callback: Callback | None = None) -> None:
        self.callback = callback
        self.visits: list[Visit] = []
        self._unread: queue.SimpleQueue[Visit] = queue.SimpleQueue()
        front = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                visit = front._heard(dict(self.headers), body)
                self.send_response(204 if visit.event else 500 if visit.error else 401)
                refusal = b"" if visit.event else json.dumps({"code": "FAIL", "message": "no"}).encode()
                if refusal:
                    self.send_header("Content-Length", str(len(refusal)))
                self.end_headers()
                self.wfile.write(refusal)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _heard(self, headers: Mapping[str, str], body: bytes) -> Visit:
        event, error = None, ""
        try:
            event = self.callback(headers, body) if self.callback is not None else None
        except Exception as raised:
            error = str(raised) or type(raised).__name__
        visit = Visit(headers, body, event, error)
        self.visits.append(visit)
        self._unread.put(visit)
        return visit

    @property
    def url(self) -> str:
        """The notify_url."""
        return f"http://127.0.0.1:{self._server.server_port}/notify"

    def next(self) -> Visit:
        """The next callback that nobody has asked for yet. Raises queue.Empty when none comes."""
        return self._unread.get(timeout=_WAIT_S)

    def __enter__(self) -> ShopFront:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
