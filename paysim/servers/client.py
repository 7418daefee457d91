"""The control API as Python: find a running sandbox by its keys folder, and drive it.

On the standard library alone, so that what only wants to pay needs none of the servers' packages.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from paysim.core.errors import ConfigError, LinkClosed, LinkTimeout, UsageError

__all__ = ["Client", "found"]

SANDBOX_FILE: Final = "sandbox.json"
_TIMEOUT_S: Final = 30.0


def found(folder: str | os.PathLike[str]) -> Mapping[str, Any]:
    """What the sandbox of a keys folder says of itself.

    Raises ConfigError where no sandbox runs there: none was started, or it ended without a word.
    """
    path = Path(folder) / SANDBOX_FILE
    try:
        described: Mapping[str, Any] = json.loads(path.read_bytes())
        urlsplit(described["control"]).port  # noqa: B018  # a URL, or ValueError
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"no sandbox runs here ({path} is not there); start one: paysim serve, or name its --keys DIR"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise ConfigError(f"{path} cannot be read; start the sandbox again: paysim serve") from None
    return described


class Client:
    """The control API of one sandbox. `control` is its URL, with `/_paysim` at the end.

    Each call raises UsageError with the API's own words where it refuses, and LinkClosed where nobody
    answers.
    """

    def __init__(self, control: str, *, token: str = "", folder: str | os.PathLike[str] = "") -> None:
        self.control = control
        self._parts = urlsplit(control)
        self._token = token
        self._folder = str(folder)

    @classmethod
    def of(cls, folder: str | os.PathLike[str], *, token: str = "") -> Client:
        """The client of the sandbox whose keys folder this is; errors as `found`.

        Without a `token` the one of the environment counts, PAYSIM_TOKEN, which `paysim run` sets.
        """
        token = token or os.environ.get("PAYSIM_TOKEN", "")
        return cls(str(found(folder)["control"]), token=token, folder=folder)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What a call gives: decoded JSON, None for nothing."""
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if method == "POST":
            headers["Content-Type"] = "application/json"
            data = json.dumps({} if body is None else body).encode()
        host, port = self._parts.hostname or "", self._parts.port
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, self._parts.path + path, data, headers)
            answer = connection.getresponse()
            raw = answer.read()
        except TimeoutError:
            raise LinkTimeout(f"the sandbox at {self.control} does not answer") from None
        except (OSError, http.client.HTTPException) as error:
            raise LinkClosed(self._gone(error)) from None
        finally:
            connection.close()
        return self._read(answer.status, raw)

    def _read(self, status: int, raw: bytes) -> Any:
        good = 200 <= status < 300
        try:
            said = json.loads(raw) if raw else None
        except ValueError:
            good, said = False, None
        if good:
            return said
        if status == http.client.UNAUTHORIZED:
            raise UsageError("this sandbox wants its token: --token, or Client(..., token=...)")
        if isinstance(said, dict) and "message" in said:
            raise UsageError(str(said["message"]))
        raise LinkClosed(f"{self.control} answers {status}, and not as a sandbox does{self._stale('may be')}")

    def _gone(self, error: Exception) -> str:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"no sandbox answers at {self.control} ({reason}){self._stale('is')}; start one: paysim serve"

    def _stale(self, verb: str) -> str:
        return f"; {Path(self._folder) / SANDBOX_FILE} {verb} stale" if self._folder else ""

    # The calls that programs need most. -------------------------------------------------------

    def pay(
        self, text: str, *, person: str = "", outcome: str = "", referer: str | None = None
    ) -> Mapping[str, Any]:
        """What comes of it when somebody pays what they were shown; "" is the first person."""
        kind = "code_url" if text.startswith("weixin:") else "h5_url" if "://" in text else "prepay_id"
        if not person:
            people = self.call("GET", "/people")
            if not people:
                raise UsageError("there is nobody to pay; POST /_paysim/people makes somebody")
            person = people[0]["id"]
        body = {"person": person, kind: text, "outcome": outcome}
        if referer is not None:
            body["referer"] = referer
        paid: Mapping[str, Any] = self.call("POST", "/pay", body)
        return paid

    def deliveries(self) -> list[dict[str, Any]]:
        """Every callback and its tries, the newest first."""
        listed: list[dict[str, Any]] = self.call("GET", "/deliveries")
        return listed

    def resend(self, id: str) -> Mapping[str, Any]:
        """Deliver a callback again."""
        sent: Mapping[str, Any] = self.call("POST", f"/deliveries/{quote(id, safe='')}/resend")
        return sent

    def advance(self, seconds: float) -> None:
        """Move a virtual clock."""
        self.call("POST", "/clock", {"advance_s": seconds})
