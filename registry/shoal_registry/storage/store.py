"""What the registry asks of a place to keep things: a folder now, and whatever else can do this."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import PurePosixPath
from typing import Protocol

from shoal_registry.ranges import Span


class StoreUnavailableError(Exception):
    """The store does not do what it was asked for now; it may later."""


class Store(Protocol):
    """Paths are those of `paths`. What `put` and `adopt` return from is durable and was never visible in part.

    Several processes may use one store at a time. Every call may raise StoreUnavailableError, or OSError.
    """

    async def size(self, path: PurePosixPath) -> int | None:
        """In bytes; None if there is no such file."""

    async def read(self, path: PurePosixPath) -> bytes | None:
        """Of something small; None if there is no such file."""

    def stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        """Of something large, piece by piece. Raises FileNotFoundError, EOFError if it is shorter."""

    async def put(self, path: PurePosixPath, content: bytes, durable: bool = True) -> None:
        """Something small, instead of what was there. If not durable, a power cut may lose it, or part of it."""

    async def delete(self, path: PurePosixPath) -> bool:
        """Whether it was there."""

    async def names(self, path: PurePosixPath) -> Sequence[str]:
        """Of what lies in that folder, sorted by their bytes; none if there is no such folder."""

    async def append(self, path: PurePosixPath, offset: int, piece: bytes | bytearray) -> None:
        """Writes at `offset`, which is where the file ends (0 makes it). For one task at a time, which then flushes.

        After an error the file may be as short as it was at the last `flush`.
        """

    async def flush(self, path: PurePosixPath) -> None:
        """What was appended, if anything, is what every process sees, and outlives this one. Need not be durable."""

    async def truncate(self, path: PurePosixPath, size: int) -> None:
        """Cuts off what was appended after that many bytes, and flushed."""

    async def adopt(self, source: PurePosixPath, target: PurePosixPath) -> None:
        """What was appended to `source`, and flushed, is at `target` from now on, and no longer at `source`.

        So is what was put at `source`. Raises FileNotFoundError.
        """

    async def remove(self, path: PurePosixPath) -> None:
        """A folder with all that is in it, if it is there."""

    async def changed(self, path: PurePosixPath) -> float:
        """When that file, or something in that folder, was last written: in seconds since 1970.

        Raises FileNotFoundError.
        """

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        """Held by one at a time of all tasks in all processes on the store; others wait their turn.

        Names are made of parsed parts, as in `repository/<name>`. It ends with its holder, also if that is killed. A
        holder that loses it is cancelled, and the lock raises StoreUnavailableError. Who waits for one while holding
        another takes them in this order, or two wait for each other: an upload's, a repository's, a content's.
        """
