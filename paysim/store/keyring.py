"""The keys folder: keys minted once, reused, listed, and rotated with an overlap.

    .paysim/                     0700, ours
      .gitignore                 *
      merchant.1.pem             a key pair, 0600; the highest number is the one in use
      merchant.1.until           Unix ms until which number 1 stays valid after number 2 came
      merchant.2.pem
      api-v3.1.key               a symmetric key: its kind and its bytes in hex

A file appears whole or not at all, and once: of two processes that mint the same key, one is first and the
other reads what it wrote. A folder or file that others may read or own, or that is a link, is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, overload

from paysim.core.errors import ConfigError, PaysimError, StoreError, UsageError

if TYPE_CHECKING:
    from paysim.crypto.keys import PairKind, PrivateKey, SecretKind, SymmetricKey

__all__ = ["DEFAULT_FOLDER", "Held", "Keyring"]

DEFAULT_FOLDER: Final = ".paysim"

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_KEY_FILE: Final = re.compile(r"([a-z0-9][a-z0-9-]{0,63})\.([1-9][0-9]{0,5})\.(pem|key)")
_OTHER_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_UNTIL: Final = re.compile(rb"-?[0-9]{1,18}\s*")
_MAX_BYTES: Final = 1 << 20
_DRAFT_BYTES: Final = 16
_DRAFT_S: Final = 3600


class Held(NamedTuple):
    """A key that the folder holds: its name, its number, and until when it is valid (None: it is in use)."""

    name: str
    number: int
    key: PrivateKey | SymmetricKey
    until_ms: int | None


class Keyring:
    """The keys of one folder, which is made where it does not exist.

    Raises ConfigError, with the line that mends it, for a folder or file of another owner, one that others
    may use, a link, or something else in its place; StoreError where the disk fails.
    """

    def __init__(self, folder: str | os.PathLike[str] = DEFAULT_FOLDER) -> None:
        self.folder: Final = Path(folder)
        with _failures(self.folder):
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.folder, _FOLDER_MODE)
            with self._opened() as at:
                if not _exists(at, ".gitignore"):
                    self._create(at, ".gitignore", b"*\n")
                _sweep(at)

    @overload
    def key(self, name: str, kind: PairKind) -> PrivateKey: ...
    @overload
    def key(self, name: str, kind: SecretKind) -> SymmetricKey: ...
    def key(self, name: str, kind: str) -> PrivateKey | SymmetricKey:
        """The key in use under this name, minted where there is none.

        Raises UsageError for a name outside `a-z 0-9 -`, ConfigError where the name holds another kind.
        """
        held = self._newest(name)
        if held is None:
            held = self._minted(name, 1, kind)
        if held.key.kind != kind:
            raise ConfigError(f"{self.folder / _file(held)} holds {held.key.kind}, not {kind}")
        return held.key

    def held(self, name: str, at_ms: int) -> list[Held]:
        """The keys under this name that are valid at a time, the one in use first."""
        newest_first = [self._read(*found) for found in reversed(self._listed()) if found[0] == name]
        return [one for one in newest_first if one.until_ms is None or at_ms < one.until_ms]

    def all(self) -> list[Held]:
        """Every key of the folder, by name and number."""
        return [self._read(name, number, ending) for name, number, ending in self._listed()]

    def rotate(self, name: str, *, at_ms: int, overlap_ms: int) -> PrivateKey | SymmetricKey:
        """A new key of the same kind takes over; the old one stays valid for `overlap_ms`.

        Raises UsageError where there is no key of that name, or the overlap is negative.
        """
        old = self._newest(name)
        if old is None:
            raise UsageError(f"there is no key {name!r} to rotate in {self.folder}")
        if overlap_ms < 0:
            raise UsageError(f"an overlap is 0 ms or more, not {overlap_ms}")
        with _failures(self.folder), self._opened() as at:
            self._create(at, f"{name}.{old.number}.until", f"{at_ms + overlap_ms}\n".encode(), replace=True)
        return self._minted(name, old.number + 1, old.key.kind).key

    def put(self, file: str, data: bytes) -> Path:
        """Write another file beside the keys, 0600, whole or not at all, over an older one; its path."""
        self._checked_file(file)
        if len(data) > _MAX_BYTES:
            raise UsageError(f"a file beside the keys has at most {_MAX_BYTES} bytes; this has {len(data)}")
        with _failures(self.folder), self._opened() as at:
            self._create(at, file, data, replace=True)
        return self.folder / file

    def get(self, file: str) -> bytes | None:
        """What such a file holds, None where there is none."""
        self._checked_file(file)
        with _failures(self.folder), self._opened() as at:
            return self._bytes(at, file)

    def remove(self, file: str) -> None:
        """Remove such a file, if it is there."""
        self._checked_file(file)
        with _failures(self.folder), self._opened() as at, contextlib.suppress(FileNotFoundError):
            os.unlink(file, dir_fd=at)

    def __repr__(self) -> str:
        return f"<Keyring {self.folder}>"

    # Keys. ----------------------------------------------------------------------------------------------

    def _newest(self, name: str) -> Held | None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(f"a key's name is 1 to 64 of a-z, 0-9 and -, not {name!r}")
        ours = [(number, ending) for known, number, ending in self._listed() if known == name]
        return self._read(name, *max(ours), newest=True) if ours else None

    def _minted(self, name: str, number: int, kind: str) -> Held:
        from paysim.crypto import keys

        made = keys.mint(kind)  # type: ignore[call-overload]  # any kind; it refuses what it does not know
        ending, data = "key", b""
        if isinstance(made, keys.SymmetricKey):
            data = f"{made.kind} {made.secret.hex()}\n".encode()
        else:
            ending, data = "pem", made.pem()
        with _failures(self.folder), self._opened() as at:
            self._create(at, f"{name}.{number}.{ending}", data)
        held = self._newest(name)  # what another process wrote first counts
        if held is None:
            raise StoreError(f"{self.folder / name} went away while it was written")
        return held

    def _read(self, name: str, number: int, ending: str, newest: bool | None = None) -> Held:
        from paysim.crypto import keys

        file = f"{name}.{number}.{ending}"
        with _failures(self.folder), self._opened() as at:
            data = self._bytes(at, file)
            until = self._bytes(at, f"{name}.{number}.until")
        key: PrivateKey | SymmetricKey
        try:
            if data is None:
                raise UsageError("it went away")
            if ending == "pem":
                key = keys.private(data, trusted=True)
            else:
                kind, _, digits = data.decode("ascii").strip().partition(" ")
                key = keys.SymmetricKey(kind, bytes.fromhex(digits), name=name)
        except (PaysimError, ValueError):
            path = self.folder / file
            raise ConfigError(f"{path} cannot be read as a key; for a new one: rm '{path}'") from None
        if until is not None and not _UNTIL.fullmatch(until):
            path = self.folder / f"{name}.{number}.until"
            raise ConfigError(
                f"{path} holds no time in ms; to end the validity of that key: echo 0 > '{path}'"
            )
        until_ms = None if until is None else int(until)
        if newest is None and until_ms is not None:
            newest = all(number >= other for known, other, _ in self._listed() if known == name)
        return Held(name, number, key, None if newest else until_ms)

    def _listed(self) -> list[tuple[str, int, str]]:
        with _failures(self.folder), self._opened() as at:
            found = [_KEY_FILE.fullmatch(file) for file in os.listdir(at)]
        return sorted((one[1], int(one[2]), one[3]) for one in found if one)

    # Files. ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """The folder, checked and held open: what happens to its name meanwhile does not matter."""
        try:
            at = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
                raise ConfigError(
                    f"{self.folder} is a link or no folder; the keys want a folder of their own"
                ) from None
            raise
        try:
            _check(os.fstat(at), self.folder, _FOLDER_MODE)
            yield at
        finally:
            os.close(at)

    def _bytes(self, at: int, file: str) -> bytes | None:
        path = self.folder / file
        try:
            handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        except FileNotFoundError:
            return None
        except OSError:
            if path.is_symlink():
                raise ConfigError(f"{path} is a link; keys are files: rm '{path}'") from None
            raise
        with os.fdopen(handle, "rb") as opened:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise ConfigError(f"{path} is no file; keys are files")
            _check(facts, path, _FILE_MODE)
            data = opened.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ConfigError(f"{path} has more than {_MAX_BYTES} bytes; that is no key")
        return data

    def _create(self, at: int, file: str, data: bytes, *, replace: bool = False) -> bool:
        """Write a file whole; an older one stays unless `replace`. Says whether it is ours that stands."""
        # Drawn, not counted: threads share a process's number, and containers that share a folder may.
        draft = f".{file}.{secrets.token_hex(_DRAFT_BYTES)}.draft"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE, dir_fd=at)
        try:
            with os.fdopen(handle, "wb") as opened:
                os.fchmod(handle, _FILE_MODE)
                opened.write(data)
                opened.flush()
                os.fsync(handle)
            if replace:
                os.replace(draft, file, src_dir_fd=at, dst_dir_fd=at)
                return True
            try:
                os.link(draft, file, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
            except FileExistsError:
                return False
            return True
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=at)
            os.fsync(at)

    def _checked_file(self, file: str) -> None:
        if not _OTHER_FILE.fullmatch(file) or _KEY_FILE.fullmatch(file.lower()):  # macOS sees no case
            raise UsageError(f"a file beside the keys has a plain name, and not a key's; not {file!r}")


def _check(facts: os.stat_result, path: Path, mode: int) -> None:
    """Refuses what is not ours alone."""
    if facts.st_uid != os.geteuid():
        raise ConfigError(
            f"{path} belongs to another user (uid {facts.st_uid});"
            f" if it is yours: chown {os.geteuid()} '{path}'"
        )
    if stat.S_IMODE(facts.st_mode) & _OTHERS:
        wide = f"{stat.S_IMODE(facts.st_mode):04o}"
        raise ConfigError(f"{path} is open to others (mode {wide}): chmod {mode:o} '{path}'")


def _exists(at: int, file: str) -> bool:
    try:
        os.stat(file, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _sweep(at: int) -> None:
    """Removes what killed processes left half written, an hour ago or more."""
    for file in os.listdir(at):
        if file.startswith(".") and file.endswith(".draft"):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                if os.stat(file, dir_fd=at, follow_symlinks=False).st_mtime < time.time() - _DRAFT_S:
                    os.unlink(file, dir_fd=at)


def _file(held: Held) -> str:
    return f"{held.name}.{held.number}"


@contextlib.contextmanager
def _failures(folder: Path) -> Iterator[None]:
    """A disk's failure as an error of ours."""
    try:
        yield
    except PermissionError as error:
        raise ConfigError(f"{error.filename or folder} may not be used: {error.strerror}") from None
    except OSError as error:
        raise StoreError(f"the keys folder {folder} failed: {error.strerror}") from None
