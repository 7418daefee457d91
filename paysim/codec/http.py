"""HTTP messages as values: what operators' machines take and give, with the bytes as they were sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Request", "Response"]


class Request(NamedTuple):
    """A request as it came.

    `target` is the raw request target, path and query undecoded (latin-1); `headers` by lower-case name, the
    last of a repeated one; `body` the raw bytes.
    """

    method: str
    target: str
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target before the question mark, undecoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The target behind the question mark, undecoded; "" where there is none."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str:
        """A header by its lower-case name, "" where there is none."""
        return self.headers.get(name, "")


class Response(NamedTuple):
    """An answer: status, headers in their order, and the bytes that are sent."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first header of this name, in any case; "" where there is none."""
        wanted = name.lower()
        return next((value for known, value in self.headers if known.lower() == wanted), "")
