"""The control API's description: OpenAPI 3.1, made of the same table that routes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .control_types import Failure

if TYPE_CHECKING:
    from .control import Call

__all__ = ["describe"]

_PARAMETER: Final = re.compile(r"\{([a-z]+)\}")
_REFERENCE: Final = "#/components/schemas/{name}"
_TEXTS: Final[dict[int, str]] = {
    400: "What was asked makes no sense; the message says why",
    403: "The Host or Origin is not the sandbox's",
    404: "There is no such thing",
    408: "It came too slowly",
    409: "Not now, or not with this sandbox",
    413: "Too long",
    415: "Not application/json",
    503: "The journal could not be written; nothing was done",
}


def describe(prefix: str, calls: Iterable[Call]) -> Mapping[str, Any]:
    """The OpenAPI document of these calls."""
    rows = list(calls)
    kinds = [kind for row in rows for kind in (row.takes, row.gives) if kind is not None]
    schemas, components = msgspec.json.schema_components([*kinds, Failure], ref_template=_REFERENCE)
    by_kind = list(zip([*kinds, Failure], schemas, strict=True))

    def schema(kind: Any) -> dict[str, Any]:
        return next(found for known, found in by_kind if known is kind or known == kind)

    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(prefix + row.path, {})[row.method.lower()] = _operation(row, schema)
    return {
        "openapi": "3.1.0",
        "info": {"title": "paysim control API", "version": "1", "description": "What drives a sandbox."},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(row: Call, schema: Any) -> dict[str, Any]:
    name = _PARAMETER.sub("", row.path).strip("/").replace("/", "_")
    found: dict[str, Any] = {
        "operationId": f"{row.method.lower()}_{name.rstrip('_')}{'_one' if '{' in row.path else ''}",
        "summary": row.summary,
        "parameters": [*_path_parameters(row), *_query_parameters(row)],
        "responses": _responses(row, schema),
    }
    if row.method == "POST":
        content = schema(row.takes) if row.takes is not None else {"type": "object"}
        found["requestBody"] = {
            "required": row.takes is not None,
            "content": {"application/json": {"schema": content}},
        }
    return found


def _path_parameters(row: Call) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(row.path)
    ]


def _query_parameters(row: Call) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "description": text, "schema": _query_schema(name)}
        for name, text in row.query.items()
    ]


def _query_schema(name: str) -> dict[str, Any]:
    if name == "refused":
        return {"type": "string", "enum": ["0", "1"]}
    return {"type": "integer", "minimum": 0}


def _responses(row: Call, schema: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"204": {"description": "Done"}}
    if row.gives is not None:
        content = {"application/json": {"schema": schema(row.gives)}}
        if row.path == "/journal":
            content["text/event-stream"] = {"schema": {"type": "string"}}
        found = {"200": {"description": row.summary, "content": content}}
    posts = (408, 413, 415) if row.method == "POST" else ()
    for status in sorted({400, 403, 503, *posts, *row.fails}):
        failure = {"application/json": {"schema": schema(Failure)}}
        found[str(status)] = {"description": _TEXTS[status], "content": failure}
    return found
