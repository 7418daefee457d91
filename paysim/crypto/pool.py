"""Signing and verifying in batches, over the processes or threads that the caller gives.

Each answer is about one signature: there is no screening of products, which could not say which one is bad.
Signers and verifiers travel to a child process with each chunk; a key is loaded there once.

    with ProcessPoolExecutor(2) as executor:
        checked = verify_many(executor, verifier, pairs)
    assert not checked.bad, checked.bad             # index -> what is wrong with it

Threads help with RSA and ECDSA, whose work happens outside the interpreter's lock; processes with everything.
"""

from __future__ import annotations

import itertools
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from paysim.core.errors import AuthenticityError, UsageError

from .signature import Signer, Verifier

__all__ = ["CHUNK", "Checked", "Executor", "Signed", "sign_many", "verify_many"]

CHUNK: Final = 256
"""Items that travel together: 5 ms of RSA verification, 60 ms and more of RSA signing."""

MAX_CHUNK: Final = 65_536
_AHEAD: Final = 32
"""Chunks handed over and not yet answered: what a batch holds in memory."""

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Executor(Protocol):
    """What is needed of a `concurrent.futures.Executor`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """A future with `result()`."""


@dataclass(frozen=True, slots=True)
class Signed:
    """The signatures in the order of the messages; b"" for those in `bad`: index -> what is wrong."""

    signatures: tuple[bytes, ...]
    bad: dict[int, str]


@dataclass(frozen=True, slots=True)
class Checked:
    """How many were verified, and those that are `bad`: index -> what is wrong."""

    count: int
    bad: dict[int, str]


def sign_many(
    executor: Executor,
    signer: Signer,
    messages: Iterable[bytes],
    *,
    chunk: int = CHUNK,
    progress: Callable[[int], None] | None = None,
) -> Signed:
    """Sign each message; `progress` is called with the number done so far after each chunk.

    Raises UsageError for a chunk outside 1 to 65,536, and where the executor is shut down or loses a worker.
    """
    answers: list[bytes] = []
    bad: dict[int, str] = {}
    for answer in _chunks(executor, _sign, signer, messages, chunk):
        bad.update((len(answers) + at, text) for at, text in answer.bad.items())
        answers += answer.signatures
        if progress:
            progress(len(answers))
    return Signed(tuple(answers), bad)


def verify_many(
    executor: Executor,
    verifier: Verifier,
    pairs: Iterable[tuple[bytes, bytes]],
    *,
    chunk: int = CHUNK,
    progress: Callable[[int], None] | None = None,
) -> Checked:
    """Verify each (message, signature); errors and `progress` as `sign_many`."""
    count = 0
    bad: dict[int, str] = {}
    for answer in _chunks(executor, _verify, verifier, pairs, chunk):
        bad.update((count + at, text) for at, text in answer.bad.items())
        count += answer.count
        if progress:
            progress(count)
    return Checked(count, bad)


def _chunks(
    executor: Executor,
    work: Callable[[Any, Sequence[_Item]], _Answer],
    tool: Signer | Verifier,
    items: Iterable[_Item],
    chunk: int,
) -> Iterator[_Answer]:
    """The answers in order; never more than _AHEAD chunks under way."""
    if not 1 <= chunk <= MAX_CHUNK:
        raise UsageError(f"a chunk has 1 to {MAX_CHUNK} items, not {chunk}")
    source = iter(items)
    waiting: deque[Any] = deque()
    try:
        while piece := list(itertools.islice(source, chunk)):
            waiting.append(_submitted(executor, work, tool, piece))
            if len(waiting) >= _AHEAD:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        for future in waiting:
            future.cancel()


def _submitted(executor: Executor, *work: Any) -> Any:
    try:
        return executor.submit(*work)
    except RuntimeError as error:
        raise UsageError(f"the executor takes no more work: {error}") from None


def _result(future: Any) -> Any:
    try:
        return future.result()
    except RuntimeError as error:  # BrokenExecutor is one
        raise UsageError(f"the executor lost a worker: {error}") from None
    except (pickle.PicklingError, TypeError, AttributeError) as error:  # of an item, on its way to a process
        raise UsageError(f"an item cannot travel to another process: {error}") from None


def _sign(signer: Signer, messages: Sequence[bytes]) -> Signed:
    signatures: list[bytes] = []
    bad: dict[int, str] = {}
    for at, message in enumerate(messages):
        try:
            signatures.append(signer.sign(message))
        except UsageError as error:
            signatures.append(b"")
            bad[at] = str(error)
    return Signed(tuple(signatures), bad)


def _verify(verifier: Verifier, pairs: Sequence[tuple[bytes, bytes]]) -> Checked:
    bad: dict[int, str] = {}
    verify = verifier.verify
    for at, pair in enumerate(pairs):
        try:
            message, signature = pair
            verify(message, signature)
        except (AuthenticityError, UsageError) as error:
            bad[at] = str(error)
        except (TypeError, ValueError):
            bad[at] = "an item is a message and a signature"
    return Checked(len(pairs), bad)
