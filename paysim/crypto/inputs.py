"""What an input must look like: its kind, its length, its digits. A refusal never shows the input itself."""

from __future__ import annotations

from typing import Any

from paysim.core.errors import UsageError

__all__ = ["InputError", "digits", "sized"]


class InputError(UsageError):
    """An input has the wrong kind or length: `name`, what was `expected`, what came (`got`)."""

    def __init__(self, name: str, expected: str, got: str) -> None:
        super().__init__(f"{name}: expected {expected}, got {got}")
        self.name = name
        self.expected = expected
        self.got = got

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.expected, self.got)


def sized(name: str, value: Any, *lengths: int) -> bytes:
    """`value` again, which is bytes of one of `lengths` (any length where none is given); InputError if not.

    >>> sized("key", bytes(8), 16, 24)
    Traceback (most recent call last):
    paysim.crypto.inputs.InputError: key: expected 16 or 24 bytes, got 8 bytes
    """
    if isinstance(value, bytes) and (not lengths or len(value) in lengths):
        return value
    expected = f"{' or '.join(map(str, lengths))} bytes" if lengths else "bytes"
    raise InputError(name, expected, _got(value))


def digits(name: str, value: Any, low: int, high: int) -> str:
    """`value` again, which is text of `low` to `high` decimal digits; InputError if not.

    >>> digits("PAN sequence number", "1", 2, 2)
    Traceback (most recent call last):
    paysim.crypto.inputs.InputError: PAN sequence number: expected text of 2 digits, got 1 characters
    """
    if isinstance(value, str) and low <= len(value) <= high and value.isascii() and value.isdigit():
        return value
    letters = ", not all digits" if isinstance(value, str) and low <= len(value) <= high else ""
    raise InputError(
        name, f"text of {low if low == high else f'{low} to {high}'} digits", _got(value) + letters
    )


def _got(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
