"""A store that keeps what clients push encrypted in another store: sizes and offsets are those of the plaintext.

    contents/<algorithm>/<first two>/<hex>             encrypted; named by the digest of the plaintext, kept once
    keys/<algorithm>/<first two>/<hex>.<id>            its key, wrapped by a master key; <id> is in the content's header
    uploads/<id>/…                                     see `encrypted_uploads`
    …                                                  links, media types and descriptors are as they are

`cipher` says how a file looks. A content's key is durable before the content appears, and removed after it: a crash in
between leaves a key too many, never a content without one. Removed is only the key that belongs to the file that was
seen: whoever replaces the file in the meantime keeps his.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath

from shoal_registry.ranges import Span
from shoal_registry.storage import cipher, paths
from shoal_registry.storage.checked import CheckedStore
from shoal_registry.storage.cipher import CHUNK_BYTES, HEADER_BYTES, RECORD_BYTES, FileKey
from shoal_registry.storage.damage import Damaged, damaged_at
from shoal_registry.storage.encrypted_uploads import EncryptedUploads, header_id
from shoal_registry.storage.master_keys import MasterKeys
from shoal_registry.storage.store import Store

# 500 bytes each.
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A file, and how many bytes of plaintext it has."""

    key: FileKey
    size: int


class EncryptedStore:
    """What reads contents or uploads raises Damaged and MasterKeyUnknown as well.

    `mixed`: contents without a header are of a time before the encryption, and are read as they are.
    """

    def __init__(self, store: Store, master_keys: MasterKeys, *, mixed: bool = False) -> None:
        self._store = store
        # Of what is not encrypted.
        self._plain = CheckedStore(store)
        self._uploads = EncryptedUploads(store, master_keys)
        self._master_keys = master_keys
        self._mixed = mixed
        # By the content's path. Another process may replace it: then it turns out wrong, and is opened again.
        self._opened: OrderedDict[PurePosixPath, Opened] = OrderedDict()

    async def size(self, path: PurePosixPath) -> int | None:
        if paths.is_upload_data(path):
            return await self._uploads.size(path)
        stored = await self._store.size(path)
        if stored is None or not paths.is_content(path):
            return stored
        if self._mixed and path not in self._opened and await header_id(self._store, path) is None:
            return stored
        return cipher.plain_size(stored)

    async def read(self, path: PurePosixPath) -> bytes | None:
        with damaged_at(path):
            return await self._read(path) if paths.is_content(path) else await self._store.read(path)

    async def stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        if paths.is_upload_data(path):
            pieces = self._stream_upload(path, span)
        elif paths.is_content(path):
            pieces = self._stream_content(path, span)
        else:
            pieces = self._store.stream(path, span)
        with damaged_at(path):
            async for piece in pieces:
                yield piece

    async def put(self, path: PurePosixPath, content: bytes, durable: bool = True) -> None:
        assert not paths.is_upload_data(path), "an upload is appended to"
        if not paths.is_content(path):
            await self._store.put(path, content, durable)
            return
        opened = Opened(FileKey.new(), len(content))
        records = await asyncio.to_thread(opened.key.encrypt, content, 0)
        await self._put_key(path, opened)
        before = await header_id(self._store, path)
        await self._store.put(path, opened.key.header + records, durable)
        await self._replaced(path, before, opened)

    async def delete(self, path: PurePosixPath) -> bool:
        before = await header_id(self._store, path) if paths.is_content(path) else None
        deleted = await self._store.delete(path)
        if before is not None:
            self._opened.pop(path, None)
            await self._store.delete(paths.content_key(path, before))
        return deleted

    async def names(self, path: PurePosixPath) -> Sequence[str]:
        return await self._store.names(path)

    async def append(self, path: PurePosixPath, offset: int, piece: bytes | bytearray) -> None:
        await (self._uploads if paths.is_upload_data(path) else self._store).append(path, offset, piece)

    async def flush(self, path: PurePosixPath) -> None:
        await (self._uploads if paths.is_upload_data(path) else self._store).flush(path)

    async def truncate(self, path: PurePosixPath, size: int) -> None:
        await (self._uploads if paths.is_upload_data(path) else self._store).truncate(path, size)

    async def adopt(self, source: PurePosixPath, target: PurePosixPath) -> None:
        assert paths.is_upload_data(source) == paths.is_content(target), (
            "an upload becomes a content, nothing else does"
        )
        if not paths.is_content(target):
            await self._store.adopt(source, target)
            return
        upload = await self._uploads.completed(source)
        opened = Opened(upload.key, upload.size)
        await self._put_key(target, opened)
        before = await header_id(self._store, target)
        await self._store.adopt(source, target)
        await self._replaced(target, before, opened)

    async def remove(self, path: PurePosixPath) -> None:
        self._uploads.forget(path)
        await self._store.remove(path)

    async def changed(self, path: PurePosixPath) -> float:
        return await self._store.changed(path)

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._store.lock(name)

    async def _read(self, path: PurePosixPath) -> bytes | None:
        before = None
        while (stored := await self._store.read(path)) is not None:
            try:
                return await self._decrypted(path, stored)
            except Damaged:
                self._opened.pop(path, None)
                # Unless it was replaced between its bytes and its key.
                if before == stored[:HEADER_BYTES]:
                    raise
                before = stored[:HEADER_BYTES]
        return None

    async def _decrypted(self, path: PurePosixPath, stored: bytes) -> bytes:
        found = cipher.file_id(stored)
        if found is None:
            self._refuse_unless_mixed()
            return await self._plain.read(path) or b""
        opened = self._opened.get(path)
        if opened is None or opened.key.id != found:
            opened = await self._unwrapped(path, found)
        _refuse_other_size(opened, len(stored))
        return await asyncio.to_thread(opened.key.decrypt, memoryview(stored)[HEADER_BYTES:], 0)

    async def _stream_content(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        before, begun = None, False
        while True:
            try:
                opened = await self._open(path)
                async for piece in self._pieces(path, opened, span) if opened else self._plain.stream(path, span):
                    begun = True
                    yield piece
                return
            except (Damaged, EOFError):
                self._opened.pop(path, None)
                now = await header_id(self._store, path)
                # Unless it was replaced between its key and its bytes.
                if begun or now == before:
                    raise
                before = now

    async def _stream_upload(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        await self._uploads.flush(path)
        upload = await self._uploads.find(path)
        if upload is None and await self._store.size(path) is None:
            raise FileNotFoundError(f"there is no {path}")
        opened = Opened(upload.key, upload.size) if upload else Opened(FileKey.new(), 0)
        async for piece in self._pieces(path, opened, span):
            yield piece

    async def _pieces(self, path: PurePosixPath, opened: Opened, span: Span) -> AsyncIterator[bytes]:
        end = span.start + span.length
        if end > opened.size:
            raise EOFError(f"{path} ends at {opened.size}, before {end}")
        if not span.length:
            return
        number = span.start // CHUNK_BYTES
        at = start = cipher.position(number)
        stop = min(cipher.position(cipher.chunks(end)), cipher.stored_size(opened.size))
        skip, left, rest = span.start % CHUNK_BYTES, span.length, b""
        async for piece in self._store.stream(path, Span(start, stop - start)):
            at += len(piece)
            rest += piece
            whole = len(rest) if at == stop else len(rest) // RECORD_BYTES * RECORD_BYTES
            plain = await asyncio.to_thread(opened.key.decrypt, memoryview(rest)[:whole], number)
            number, rest = number + whole // RECORD_BYTES, rest[whole:]
            cut = plain[skip : skip + left]
            skip, left = max(0, skip - len(plain)), left - len(cut)
            if cut:
                yield cut

    async def _open(self, path: PurePosixPath) -> Opened | None:
        """None for one that is not encrypted."""
        stored = await self._store.size(path)
        if stored is None:
            raise FileNotFoundError(f"there is no {path}")
        opened = self._opened.get(path)
        if opened is None:
            found = await header_id(self._store, path)
            if found is None:
                self._refuse_unless_mixed()
                return None
            opened = await self._unwrapped(path, found)
        _refuse_other_size(opened, stored)
        return opened

    async def _unwrapped(self, path: PurePosixPath, file_id: bytes) -> Opened:
        wrapped = await self._store.read(paths.content_key(path, file_id))
        if wrapped is None:
            raise Damaged("its key is missing")
        master = await asyncio.to_thread(self._master_keys.find, cipher.wrapped_by(wrapped))
        opened = Opened(*master.unwrap(wrapped, file_id, path))
        self._remember(path, opened)
        return opened

    async def _put_key(self, path: PurePosixPath, opened: Opened) -> None:
        master = await asyncio.to_thread(self._master_keys.current)
        await self._store.put(paths.content_key(path, opened.key.id), master.wrap(opened.key, path, opened.size))

    async def _replaced(self, path: PurePosixPath, before: bytes | None, opened: Opened) -> None:
        self._remember(path, opened)
        if before is not None and before != opened.key.id:
            await self._store.delete(paths.content_key(path, before))

    def _remember(self, path: PurePosixPath, opened: Opened) -> None:
        self._opened[path] = opened
        self._opened.move_to_end(path)
        while len(self._opened) > REMEMBERED:
            self._opened.popitem(last=False)

    def _refuse_unless_mixed(self) -> None:
        if not self._mixed:
            raise Damaged("it is not encrypted, as everything in this store is")


def _refuse_other_size(opened: Opened, stored: int) -> None:
    if stored != (expected := cipher.stored_size(opened.size)):
        raise Damaged(f"{stored} bytes are stored of it, not {expected}")
