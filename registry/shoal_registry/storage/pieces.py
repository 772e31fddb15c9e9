"""Files that grow, in an S3 store: objects cannot, so that such a file is a row of them, one for every flush.

    <path>/<offset>-<who wrote it>

Its bytes are those of the row, as far as one follows on the other. Two at the same offset are of two writers, one of
which had lost its lock and did not know yet: nobody can say which is right, and the file is refused.
"""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

from shoal_registry.ranges import Span
from shoal_registry.storage import objects
from shoal_registry.storage.objects import COPIED_BYTES_MAX, PART_BYTES_MIN, PARTS_AT_ONCE, reported
from shoal_registry.storage.store import StoreUnavailableError

if TYPE_CHECKING:
    from obstore import AsyncWritableFile, ObjectMeta

FORGOTTEN_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Piece:
    key: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(slots=True)
class Writing:
    """A piece that is not there yet. `used` is of the monotonic clock."""

    file: "AsyncWritableFile"
    offset: int
    end: int
    used: float


class Pieces:
    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._writing: dict[PurePosixPath, Writing] = {}

    async def size(self, path: PurePosixPath) -> int | None:
        if writing := self._writing.get(path):
            return writing.end
        row = await self._row(path)
        return row[-1].end if row else None

    async def stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        """Raises FileNotFoundError, EOFError if it is shorter."""
        await self.flush(path)
        row = await self._row(path)
        if not row:
            raise FileNotFoundError(path)
        if row[-1].end < span.start + span.length:
            raise EOFError(f"{path} ends at {row[-1].end}, before {span.start + span.length}")
        async for piece in self._read(row, span):
            yield piece

    async def append(self, path: PurePosixPath, offset: int, content: bytes | bytearray) -> None:
        # Not there again until it has succeeded.
        writing = self._writing.pop(path, None)
        with reported():
            if writing and writing.end == offset and offset - writing.offset >= COPIED_BYTES_MAX:
                await writing.file.close()
            if not writing or writing.end != offset or offset - writing.offset >= COPIED_BYTES_MAX:
                writing = self._begin(path, offset)
            await writing.file.write(content)
        writing.end, writing.used = offset + len(content), time.monotonic()
        self._writing[path] = writing

    async def flush(self, path: PurePosixPath) -> None:
        if writing := self._writing.pop(path, None):
            with reported():
                await writing.file.close()

    def forget(self, path: PurePosixPath) -> None:
        """What was appended since the last flush."""
        self._writing.pop(path, None)

    async def truncate(self, path: PurePosixPath, size: int) -> None:
        await self.flush(path)
        # From the end on: whatever of it is done, what is left is a row.
        for each in reversed(await self._row(path)):
            if each.offset < size < each.end:
                # An object is replaced at once, when the new one is whole.
                cut = self._begin(path, each.offset, each.key)
                async for piece in objects.stream(self._store, each.key, Span(0, size - each.offset)):
                    with reported():
                        await cut.file.write(piece)
                with reported():
                    await cut.file.close()
            elif each.end > size:
                await objects.remove(self._store, [each.key])
        if size == 0:
            await self.append(path, 0, b"")
            await self.flush(path)

    async def adopt(self, path: PurePosixPath, target: PurePosixPath) -> None:
        row = await self._row(path)
        if not row:
            raise FileNotFoundError(path)
        if len(row) == 1:
            with reported():
                await obstore.copy_async(self._store, row[0].key, str(target))
        else:
            # Because a store's own joining has a least size that pieces do not have.
            size = row[-1].end
            await objects.write(self._store, str(target), self._read(row, Span(0, size)), size)
        await objects.remove(self._store, [each["path"] for each in await objects.under(self._store, str(path))])

    async def _read(self, row: Sequence[Piece], span: Span) -> AsyncIterator[bytes]:
        for each in row:
            start, end = max(span.start, each.offset), min(span.start + span.length, each.end)
            if start < end:
                async for piece in objects.stream(self._store, each.key, Span(start - each.offset, end - start)):
                    yield piece

    async def _row(self, path: PurePosixPath) -> Sequence[Piece]:
        """Of an empty file, one that is empty."""
        pieces = sorted(map(_piece, await objects.under(self._store, str(path))), key=lambda each: each.offset)
        row: list[Piece] = []
        end = 0
        for each in pieces:
            if each.size and row and each.offset == row[-1].offset:
                raise StoreUnavailableError(f"{path}: two writers wrote at {each.offset}; begin again")
            if each.size and each.offset == end:
                row.append(each)
                end = each.end
        return row or pieces[:1]

    def _begin(self, path: PurePosixPath, offset: int, key: str = "") -> Writing:
        now = time.monotonic()
        for other, writing in list(self._writing.items()):
            # Its caller was cancelled, and never came back.
            if now - writing.used > FORGOTTEN_SECONDS:
                del self._writing[other]
        key = key or f"{path}/{offset:020d}-{secrets.token_hex(8)}"
        file = obstore.open_writer_async(self._store, key, buffer_size=PART_BYTES_MIN, max_concurrency=PARTS_AT_ONCE)
        return Writing(file, offset, offset, now)


def _piece(found: "ObjectMeta") -> Piece:
    offset = found["path"].rpartition("/")[2].partition("-")[0]
    return Piece(found["path"], int(offset), found["size"])
