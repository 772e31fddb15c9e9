"""Uploads in an encrypted store: files that grow, of which the last chunk is not full yet.

    uploads/<id>/data    encrypted
                 key     its key, wrapped, without a size

While a caller appends, what does not fill a chunk waits in memory; `flush` writes it, as the last chunk. An append
after that cuts it off and writes it again, longer, under a new nonce. If the process dies in between, or half-way
through a write, the upload ends with the last chunk that is whole, and is resumed there.
"""

import asyncio
from dataclasses import dataclass
from pathlib import PurePosixPath

from shoal_registry.ranges import Span
from shoal_registry.storage import cipher, paths
from shoal_registry.storage.cipher import CHUNK_BYTES, HEADER_BYTES, OVERHEAD_BYTES, RECORD_BYTES, FileKey
from shoal_registry.storage.damage import Damaged
from shoal_registry.storage.master_keys import MasterKeys
from shoal_registry.storage.store import Store


@dataclass(frozen=True, slots=True)
class Upload:
    """What came: `size` bytes of plaintext, the last chunk of them is `last`. `stored` may be more than they need."""

    key: FileKey
    stored: int
    size: int
    last: bytes


@dataclass(slots=True)
class Writing:
    """What one caller appends: `size` with the `tail` that waits. Before the next write the file is cut at `cut`."""

    key: FileKey
    size: int = 0
    tail: bytes = b""
    cut: int | None = None


class EncryptedUploads:
    """Everything raises Damaged if what came cannot be read."""

    def __init__(self, store: Store, master_keys: MasterKeys) -> None:
        self._store = store
        self._master_keys = master_keys
        self._writing: dict[PurePosixPath, Writing] = {}

    async def size(self, path: PurePosixPath) -> int | None:
        if writing := self._writing.get(path):
            return writing.size
        upload = await self.find(path)
        if upload is None:
            return None if await self._store.size(path) is None else 0
        return upload.size

    async def find(self, path: PurePosixPath) -> Upload | None:
        """What was flushed; None if nothing ever was, or all of it was cut off."""
        stored = await self._store.size(path)
        if stored is None or stored < HEADER_BYTES:
            return None
        key = await self._key(path)
        whole, rest = divmod(stored - HEADER_BYTES, RECORD_BYTES)
        if rest > OVERHEAD_BYTES:
            try:
                last = await self._chunk(path, key, whole, rest)
                return Upload(key, stored, whole * CHUNK_BYTES + len(last), last)
            except Damaged:
                # Half a write.
                pass
        last = await self._chunk(path, key, whole - 1, RECORD_BYTES) if whole else b""
        return Upload(key, stored, whole * CHUNK_BYTES, last)

    async def append(self, path: PurePosixPath, offset: int, piece: bytes | bytearray) -> None:
        # Not there again until it has succeeded.
        writing = self._writing.pop(path, None)
        if offset == 0:
            writing = await self._begin(path)
        elif writing is None or writing.size != offset:
            writing = await self._resume(path, offset)
        plain, number = writing.tail + piece, (offset - len(writing.tail)) // CHUNK_BYTES
        whole = len(plain) // CHUNK_BYTES * CHUNK_BYTES
        await self._write(path, writing, plain[:whole], number)
        writing.tail, writing.size = plain[whole:], offset + len(piece)
        self._writing[path] = writing

    async def flush(self, path: PurePosixPath) -> None:
        if writing := self._writing.pop(path, None):
            await self._write(path, writing, writing.tail, writing.size // CHUNK_BYTES)
        await self._store.flush(path)

    async def truncate(self, path: PurePosixPath, size: int) -> None:
        await self.flush(path)
        upload = await self.find(path) if size else None
        if upload is None:
            await self._store.truncate(path, 0)
        elif size < upload.size:
            number, rest = divmod(size, CHUNK_BYTES)
            stored = min(RECORD_BYTES, upload.stored - cipher.position(number))
            kept = (await self._chunk(path, upload.key, number, stored))[:rest] if rest else b""
            await self._write(path, Writing(upload.key, cut=cipher.position(number)), kept, number)
            await self._store.flush(path)

    async def completed(self, path: PurePosixPath) -> Upload:
        """As it is to be kept: with a header, even if nothing came, and without half a write at the end.

        Raises FileNotFoundError.
        """
        if await self._store.size(path) is None:
            raise FileNotFoundError(path)
        upload = await self.find(path)
        if upload is None:
            await self.append(path, 0, b"")
            await self.flush(path)
            upload = await self.find(path)
        assert upload is not None, "it has a header"
        if upload.stored > cipher.stored_size(upload.size):
            await self._store.truncate(path, cipher.stored_size(upload.size))
        return upload

    def forget(self, folder: PurePosixPath) -> None:
        """It is removed."""
        self._writing.pop(folder / "data", None)

    async def _begin(self, path: PurePosixPath) -> Writing:
        """Under a new key, whatever there was before."""
        key = FileKey.new()
        if await self._store.size(path):
            await self._store.truncate(path, 0)
        master = await asyncio.to_thread(self._master_keys.current)
        await self._store.put(paths.upload_key(path), master.wrap(key, path), durable=False)
        await self._store.append(path, 0, key.header)
        return Writing(key)

    async def _resume(self, path: PurePosixPath, offset: int) -> Writing:
        upload = await self.find(path)
        if upload is None or upload.size != offset:
            raise Damaged(f"it has {upload.size if upload else 0} bytes, not {offset}", path)
        position = cipher.position(offset // CHUNK_BYTES)
        tail = upload.last if offset % CHUNK_BYTES else b""
        return Writing(upload.key, offset, tail, position if upload.stored > position else None)

    async def _write(self, path: PurePosixPath, writing: Writing, plain: bytes, number: int) -> None:
        if not plain and writing.cut is None:
            return
        records = await asyncio.to_thread(writing.key.encrypt, plain, number)
        if writing.cut is not None:
            await self._store.truncate(path, writing.cut)
            writing.cut = None
        if records:
            await self._store.append(path, cipher.position(number), records)

    async def _key(self, path: PurePosixPath) -> FileKey:
        found = await header_id(self._store, path)
        wrapped = await self._store.read(paths.upload_key(path))
        if found is None or wrapped is None:
            raise Damaged("it is not encrypted" if found is None else "its key is missing", path)
        master = await asyncio.to_thread(self._master_keys.find, cipher.wrapped_by(wrapped))
        return master.unwrap(wrapped, found, path)[0]

    async def _chunk(self, path: PurePosixPath, key: FileKey, number: int, stored: int) -> bytes:
        record = await read_bytes(self._store, path, cipher.position(number), stored)
        return await asyncio.to_thread(key.decrypt, record, number)


async def header_id(store: Store, path: PurePosixPath) -> bytes | None:
    """Of the file there; None if there is none, or one that is not encrypted."""
    try:
        return cipher.file_id(await read_bytes(store, path, 0, HEADER_BYTES))
    except (FileNotFoundError, EOFError):
        return None


async def read_bytes(store: Store, path: PurePosixPath, start: int, size: int) -> bytes:
    return b"".join([piece async for piece in store.stream(path, Span(start, size))])
