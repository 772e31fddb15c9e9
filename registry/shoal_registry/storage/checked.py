"""A plain store that breaks off before the last piece of a content whose bytes do not have its digest.

Parts of a content cannot be told from those of another one without reading the whole; they are handed out as they are.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import PurePosixPath

from shoal_registry.names import Digest
from shoal_registry.ranges import Span
from shoal_registry.storage import paths
from shoal_registry.storage.damage import Damaged
from shoal_registry.storage.store import Store


class CheckedStore:
    """What reads contents raises Damaged as well."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, path: PurePosixPath) -> bytes | None:
        content = await self._store.read(path)
        if content is not None and paths.is_content(path):
            digest = paths.digest_of(path)
            actual = await asyncio.to_thread(Digest.of, content, digest.algorithm)
            if actual != digest:
                raise Damaged(f"its bytes have the digest {actual}", path)
        return content

    async def stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        is_whole = paths.is_content(path) and not span.start and span.length == await self._store.size(path)
        pieces = self._store.stream(path, span)
        async for piece in _checked(pieces, paths.digest_of(path)) if is_whole else pieces:
            yield piece

    async def size(self, path: PurePosixPath) -> int | None:
        return await self._store.size(path)

    async def put(self, path: PurePosixPath, content: bytes, durable: bool = True) -> None:
        await self._store.put(path, content, durable)

    async def delete(self, path: PurePosixPath) -> bool:
        return await self._store.delete(path)

    async def names(self, path: PurePosixPath) -> Sequence[str]:
        return await self._store.names(path)

    async def append(self, path: PurePosixPath, offset: int, piece: bytes | bytearray) -> None:
        await self._store.append(path, offset, piece)

    async def flush(self, path: PurePosixPath) -> None:
        await self._store.flush(path)

    async def truncate(self, path: PurePosixPath, size: int) -> None:
        await self._store.truncate(path, size)

    async def adopt(self, source: PurePosixPath, target: PurePosixPath) -> None:
        await self._store.adopt(source, target)

    async def remove(self, path: PurePosixPath) -> None:
        await self._store.remove(path)

    async def changed(self, path: PurePosixPath) -> float:
        return await self._store.changed(path)

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._store.lock(name)


async def _checked(pieces: AsyncIterator[bytes], digest: Digest) -> AsyncIterator[bytes]:
    """Each piece is hashed while the one before it is sent."""
    hashing, before, updating = hashlib.new(digest.algorithm), b"", None
    async for piece in pieces:
        if before:
            yield before
        if updating:
            await updating
        updating = asyncio.ensure_future(asyncio.to_thread(hashing.update, piece))
        before = piece
    if updating:
        await updating
    if hashing.hexdigest() != digest.hex:
        raise Damaged(f"its bytes have the digest {hashing.hexdigest()}", paths.content(digest))
    if before:
        yield before
