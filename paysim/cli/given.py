"""What the user points at: a text, a file, standard input. Nothing is read without a bound."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Final

from paysim.core.errors import PaysimError, UsageError

__all__ = [
    "UnreadableError",
    "file_at",
    "folder",
    "path_of",
    "read_file",
    "read_stdin",
    "to_text",
    "writable",
]


class UnreadableError(PaysimError):
    """What was given cannot be read; `code` names why, the text says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_MAX_NAME_BYTES: Final = 255
_KINDS: Final = (
    (stat.S_ISDIR, "a folder: give a file in it"),
    (stat.S_ISFIFO, "a pipe: let it come from standard input (paysim decode - < {path})"),
    (stat.S_ISSOCK, "a socket: give a file"),
    (lambda _mode: True, "a device: give a file, or - for standard input"),
)


def file_at(given: str) -> Path | None:
    """The regular file that a text names, None where it names none.

    Raises UnreadableError where it names something else: a folder, a pipe, a device.
    """
    try:
        path = Path(given)
        mode = path.stat().st_mode
    except (OSError, ValueError):  # no file, or no name that a file can have
        return None
    if stat.S_ISREG(mode):
        return path
    what = next(text for is_kind, text in _KINDS if is_kind(mode))
    raise UnreadableError("NOT_A_FILE", f"{given} is {what.format(path=given)}")


def read_file(path: Path, most: int) -> bytes:
    """The beginning of a file, one byte more than `most` at most."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise UnreadableError("NOT_READABLE", f"{path}: {error.strerror}; check its rights") from None


def read_stdin(most: int) -> bytes:
    """What comes from standard input, one byte more than `most` at most."""
    if sys.stdin is None:
        raise UnreadableError("NOT_READABLE", "standard input is closed; give a text or a file")
    try:
        return sys.stdin.buffer.read(most + 1)
    except OSError as error:
        raise UnreadableError(
            "NOT_READABLE", f"standard input: {error.strerror}; give a text or a file"
        ) from None


def to_text(data: bytes, most: int) -> str:
    """The text in a file: UTF-8, without the line feeds around it."""
    if len(data) > most:
        raise UnreadableError("TOO_LONG", f"more than {most} bytes; no code holds so much text")
    try:
        return data.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise UnreadableError(
            "NOT_TEXT",
            f"{len(data)} bytes that are no PNG or JPEG picture, no journal and no UTF-8 text "
            f"({error.reason} at offset {error.start})",
        ) from None


def path_of(name: str) -> Path:
    """The path with this name. Raises UsageError for a name that no file can have."""
    try:
        if "\0" in name or len(os.fsencode(Path(name).name)) > _MAX_NAME_BYTES:
            raise ValueError("a NUL character, or too long")
    except ValueError as error:
        raise UsageError(f"{name!r} cannot be the name of a file: {error}") from None
    return Path(name)


def writable(name: str) -> Path:
    """The path of a file that is to be written; its folder is there. Raises UsageError where it is not."""
    path = path_of(name)
    if path.is_dir():
        raise UsageError(f"{name or 'an empty name'} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}; make it first")
    return path


def folder(name: str) -> Path:
    """A folder, made where it is absent. Raises UsageError where it cannot be made."""
    path = path_of(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {path} cannot be made: {error.strerror}; give another") from None
    return path
