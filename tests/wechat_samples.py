"""Bodies and texts that fit a shape, made without the code under test, and every place in a shape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def changed(body: Mapping[str, Any], pointer: str, value: Any = ...) -> dict[str, Any]:
    """A copy with one place set, or taken away."""
    copy: dict[str, Any] = json.loads(json.dumps(body))
    *steps, last = pointer.split("/")[1:]
    place: Any = copy
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return copy


def fits(schema: Mapping[str, Any], name: str = "") -> Any:
    """A value that fits, made without the code under test; every field is there."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: fits(inner, name) for name, inner in schema.get("properties", {}).items()}
        case "array":
            return [fits(schema.get("items", {"type": "string"}))]
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case _:
            return text_that_fits(schema, name)


SAMPLES: dict[str, str] = {
    "rfc3339": "2026-06-08T10:34:56+08:00",
    "date": "2026-06-08",
    "base64": "c2VhbGVk",
    "url": "https://shop.example/x",
    "numeric": "12345678",
    "yyyyMMddHHmmss": "20260608103456",
}


def text_that_fits(schema: Mapping[str, Any], name: str) -> str:
    if name == "notify_url":
        return "https://shop.example/notify"
    if "pattern" in schema and "d{8}" in schema["pattern"]:
        return "20260608"
    return str(SAMPLES.get(schema.get("format", ""), "x" * max(6, schema.get("minLength", 0))))


def inner_places(schema: Mapping[str, Any], pointer: str = "") -> Iterator[tuple[str, bool]]:
    """The pointers of a schema's fields, and whether each is required."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{pointer}/{name}", name in schema.get("required", ())
        yield from inner_places(inner, f"{pointer}/{name}")
        if inner.get("type") == "array":
            yield from inner_places(inner.get("items", {}), f"{pointer}/{name}/0")
