"""A store that keeps what clients push encrypted in another store: sizes and offsets are those of the plaintext.

    contents/<algorithm>/<first two>/<hex>             encrypted; named by the digest of the plaintext, kept once
    keys/<algorithm>/<first two>/<hex>.<id>            its key, wrapped by a master key; <id> is in the content's header
    uploads/<id>/data                                  encrypted, not finished
                 key                                   its key, wrapped
    …                                                  links, media types and descriptors are as they are

`cipher` says how a file looks. A content's key is durable before the content appears, and removed after it: a crash in
between leaves a key too many, never a content without one. Removed is only the key that belongs to the file that was
seen: whoever replaces the file in the meantime keeps his.

An append rewrites the last chunk, unless it is full: it is cut off and written again, longer, under a new nonce. If the
process dies in between, or half-way through a write, the upload ends with the last chunk that is whole, and is resumed
there.
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
from shoal_registry.storage.cipher import CHUNK_BYTES, HEADER_BYTES, OVERHEAD_BYTES, RECORD_BYTES, FileKey
from shoal_registry.storage.damage import Damaged, damaged_at
from shoal_registry.storage.master_keys import MasterKeys
from shoal_registry.storage.store import Store

# 400 bytes each.
KEYS_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Opened:
    """`size` bytes of plaintext in a file of `stored`. `end` is the number of chunks, None if it is not finished."""

    key: FileKey
    stored: int
    size: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Upload:
    """`last` is the plaintext of the last chunk. Only what was about to become a content is finished."""

    opened: Opened
    last: bytes

    @property
    def is_torn(self) -> bool:
        """What lies there ends with bytes that are no chunk."""
        return self.opened.stored != cipher.stored_size(self.opened.size, finished=self.opened.end is not None)


class EncryptedStore:
    """What reads contents or uploads raises Damaged and MasterKeyUnknown as well.

    `mixed`: contents without a header are of a time before the encryption, and are read as they are.
    """

    def __init__(self, store: Store, master_keys: MasterKeys, *, mixed: bool = False) -> None:
        self._store = store
        # Of what is not encrypted.
        self._plain = CheckedStore(store)
        self._master_keys = master_keys
        self._mixed = mixed
        # By the content's path. Another process may replace it: then it turns out wrong, and is read again.
        self._keys: OrderedDict[PurePosixPath, FileKey] = OrderedDict()

    async def size(self, path: PurePosixPath) -> int | None:
        stored = await self._store.size(path)
        if stored is None or not (paths.is_upload_data(path) or paths.is_content(path)):
            return stored
        if paths.is_upload_data(path):
            upload = await self._upload(path)
            return upload.opened.size if upload else 0
        if self._mixed and path not in self._keys and await header_id(self._store, path) is None:
            return stored
        return cipher.plain_size(stored)

    async def read(self, path: PurePosixPath) -> bytes | None:
        with damaged_at(path):
            return await self._read(path)

    async def stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        with damaged_at(path):
            async for piece in self._stream(path, span):
                yield piece

    async def put(self, path: PurePosixPath, content: bytes) -> None:
        assert not paths.is_upload_data(path), "an upload is appended to"
        if not paths.is_content(path):
            await self._store.put(path, content)
            return
        key = FileKey.new()
        records = await asyncio.to_thread(key.encrypt, content, 0, last=True)
        await self._put_key(path, key)
        before = await header_id(self._store, path)
        await self._store.put(path, key.header + records)
        await self._replaced(path, before, key)

    async def delete(self, path: PurePosixPath) -> bool:
        before = await header_id(self._store, path) if paths.is_content(path) else None
        deleted = await self._store.delete(path)
        if before is not None:
            self._keys.pop(path, None)
            await self._store.delete(_key_path(path, before))
        return deleted

    async def names(self, path: PurePosixPath) -> Sequence[str]:
        return await self._store.names(path)

    async def append(self, path: PurePosixPath, offset: int, piece: bytes) -> None:
        """Raises Damaged as well if the upload cannot go on."""
        if not paths.is_upload_data(path):
            await self._store.append(path, offset, piece)
        elif offset == 0:
            await self._begin(path, piece)
        else:
            await self._continue(path, offset, piece)

    async def truncate(self, path: PurePosixPath, size: int) -> None:
        if not paths.is_upload_data(path) or size == 0:
            await self._store.truncate(path, size)
            return
        upload = await self._whole_upload(path)
        if size >= upload.opened.size:
            return
        if upload.opened.end is not None:
            raise Damaged("it is finished")
        number, rest = divmod(size, CHUNK_BYTES)
        kept = await self._chunk(path, upload.opened, number) if rest else b""
        await self._rewrite(path, upload.opened, number, kept[:rest], last=False)

    async def adopt(self, source: PurePosixPath, target: PurePosixPath) -> None:
        if not paths.is_upload_data(source) or not paths.is_content(target):
            assert not paths.is_content(target), "a content comes from an upload"
            await self._store.adopt(source, target)
            return
        if not await self.size(source):
            await self._begin(source, b"")
        upload = await self._whole_upload(source)
        if upload.opened.end is None:
            number = cipher.chunks(upload.opened.size) - 1
            await self._rewrite(source, upload.opened, number, upload.last, last=True)
        await self._put_key(target, upload.opened.key)
        before = await header_id(self._store, target)
        await self._store.adopt(source, target)
        await self._replaced(target, before, upload.opened.key)

    async def remove(self, path: PurePosixPath) -> None:
        await self._store.remove(path)

    async def changed(self, path: PurePosixPath) -> float:
        return await self._store.changed(path)

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._store.lock(name)

    # Contents

    async def _read(self, path: PurePosixPath) -> bytes | None:
        stored = await self._store.read(path)
        if stored is None or not paths.is_content(path):
            return stored
        try:
            return await self._decrypted(path, stored)
        except Damaged:
            # It may have been replaced between its bytes and its key.
            self._keys.pop(path, None)
            again = await self._store.read(path)
            return None if again is None else await self._decrypted(path, again)

    async def _stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        opened = await self._open(path)
        pieces = self._pieces(path, opened, span) if opened else self._plain.stream(path, span)
        begun = False
        try:
            async for piece in pieces:
                begun = True
                yield piece
            return
        except Damaged:
            # It may have been replaced between its key and its bytes.
            self._keys.pop(path, None)
            again = await self._open(path)
            if begun or again is None or again == opened:
                raise
        async for piece in self._pieces(path, again, span):
            yield piece

    async def _open(self, path: PurePosixPath) -> Opened | None:
        """None for what is not encrypted."""
        if not paths.is_upload_data(path) and not paths.is_content(path):
            return None
        stored = await self._store.size(path)
        if stored is None:
            raise FileNotFoundError(f"there is no {path}")
        if paths.is_upload_data(path):
            upload = await self._upload(path)
            return upload.opened if upload else Opened(FileKey.new(), 0, 0, None)
        key = self._keys.get(path)
        if key is None:
            found = await header_id(self._store, path)
            if found is None:
                self._refuse_unless_mixed()
                return None
            key = await self._key(path, found)
        return _finished(key, stored)

    async def _decrypted(self, path: PurePosixPath, stored: bytes) -> bytes:
        found = cipher.file_id(stored)
        if found is None:
            self._refuse_unless_mixed()
            return await self._plain.read(path) or b""
        key = self._keys.get(path)
        if key is None or key.id != found:
            key = await self._key(path, found)
        opened = _finished(key, len(stored))
        return await asyncio.to_thread(key.decrypt, memoryview(stored)[HEADER_BYTES:], 0, opened.end)

    async def _pieces(self, path: PurePosixPath, opened: Opened, span: Span) -> AsyncIterator[bytes]:
        end = span.start + span.length
        if end > opened.size:
            raise EOFError(f"{path} ends at {opened.size}, before {end}")
        if not span.length:
            return
        number = span.start // CHUNK_BYTES
        at = start = cipher.position(number)
        stop = min(cipher.position(cipher.chunks(end)), opened.stored)
        skip, left, rest = span.start % CHUNK_BYTES, span.length, b""
        async for piece in self._store.stream(path, Span(start, stop - start)):
            at += len(piece)
            rest += piece
            whole = len(rest) if at == stop else len(rest) // RECORD_BYTES * RECORD_BYTES
            plain = await asyncio.to_thread(opened.key.decrypt, memoryview(rest)[:whole], number, opened.end)
            number, rest = number + whole // RECORD_BYTES, rest[whole:]
            cut = plain[skip : skip + left]
            skip, left = max(0, skip - len(plain)), left - len(cut)
            if cut:
                yield cut

    async def _key(self, path: PurePosixPath, file_id: bytes) -> FileKey:
        wrapped = await self._store.read(_key_path(path, file_id))
        if wrapped is None:
            raise Damaged("its key is missing")
        master = await asyncio.to_thread(self._master_keys.find, cipher.wrapped_by(wrapped))
        key = master.unwrap(wrapped, file_id, path)
        if paths.is_content(path):
            self._remember(path, key)
        return key

    async def _put_key(self, path: PurePosixPath, key: FileKey) -> None:
        master = await asyncio.to_thread(self._master_keys.current)
        await self._store.put(_key_path(path, key.id), master.wrap(key, path))

    async def _replaced(self, path: PurePosixPath, before: bytes | None, key: FileKey) -> None:
        self._remember(path, key)
        if before not in (None, key.id):
            await self._store.delete(_key_path(path, before))

    def _remember(self, path: PurePosixPath, key: FileKey) -> None:
        self._keys[path] = key
        self._keys.move_to_end(path)
        while len(self._keys) > KEYS_REMEMBERED:
            self._keys.popitem(last=False)

    def _refuse_unless_mixed(self) -> None:
        if not self._mixed:
            raise Damaged("it is not encrypted, as everything in this store is")

    # Uploads

    async def _upload(self, path: PurePosixPath) -> Upload | None:
        """None if nothing came; without what a write that was cut off left at the end."""
        stored = await self._store.size(path)
        if stored is None or stored < HEADER_BYTES:
            return None
        found = await header_id(self._store, path)
        if found is None:
            raise Damaged("it is not encrypted")
        key = await self._key(path, found)
        whole, rest = divmod(stored - HEADER_BYTES, RECORD_BYTES)
        if rest < OVERHEAD_BYTES:
            whole, rest = whole - 1, RECORD_BYTES
        if whole < 0:
            return Upload(Opened(key, stored, 0, None), b"")
        record = await _bytes(self._store, path, cipher.position(whole), rest)
        for end in (None, whole + 1):
            try:
                last = await asyncio.to_thread(key.decrypt, record, whole, end)
            except Damaged:
                continue
            return Upload(Opened(key, stored, whole * CHUNK_BYTES + len(last), end), last)
        before = await _bytes(self._store, path, cipher.position(whole - 1), RECORD_BYTES) if whole else b""
        last = await asyncio.to_thread(key.decrypt, before, whole - 1, None)
        return Upload(Opened(key, stored, whole * CHUNK_BYTES, None), last)

    async def _whole_upload(self, path: PurePosixPath) -> Upload:
        """For who writes to it next: what a write that was cut off left is cut off."""
        upload = await self._upload(path)
        if upload is None:
            raise FileNotFoundError(f"{path} is empty")
        if not upload.is_torn:
            return upload
        await self._store.truncate(path, cipher.stored_size(upload.opened.size, finished=upload.opened.end is not None))
        return await self._whole_upload(path)

    async def _begin(self, path: PurePosixPath, piece: bytes) -> None:
        """Under a new key, whatever there was before."""
        key = FileKey.new()
        records = await asyncio.to_thread(key.encrypt, piece, 0) if piece else b""
        if await self._store.size(path):
            await self._store.truncate(path, 0)
        master = await asyncio.to_thread(self._master_keys.current)
        await self._store.put(paths.upload_key(path), master.wrap(key, path))
        await self._store.append(path, 0, key.header + records)

    async def _continue(self, path: PurePosixPath, offset: int, piece: bytes) -> None:
        upload = await self._whole_upload(path)
        opened = upload.opened
        if opened.end is not None or opened.size != offset:
            raise Damaged(f"it has {opened.size} bytes{' and is finished' if opened.end else ''}, not {offset}")
        number, rest = divmod(offset, CHUNK_BYTES)
        await self._rewrite(path, opened, number, upload.last + piece if rest else piece, last=False)

    async def _rewrite(self, path: PurePosixPath, opened: Opened, number: int, plain: bytes, *, last: bool) -> None:
        """Lets it end with these bytes, from the beginning of that chunk on."""
        records = await asyncio.to_thread(opened.key.encrypt, plain, number, last=last) if plain or last else b""
        if opened.stored > cipher.position(number):
            await self._store.truncate(path, cipher.position(number))
        await self._store.append(path, cipher.position(number), records)

    async def _chunk(self, path: PurePosixPath, opened: Opened, number: int) -> bytes:
        start = cipher.position(number)
        record = await _bytes(self._store, path, start, min(RECORD_BYTES, opened.stored - start))
        return await asyncio.to_thread(opened.key.decrypt, record, number, opened.end)


def _finished(key: FileKey, stored: int) -> Opened:
    """Raises Damaged if no file that was finished has that size."""
    size = cipher.plain_size(stored)
    if stored != cipher.stored_size(size, finished=True):
        raise Damaged(f"{stored} bytes are no whole number of chunks")
    return Opened(key, stored, size, cipher.chunks(size))


def _key_path(path: PurePosixPath, file_id: bytes) -> PurePosixPath:
    return paths.content_key(path, file_id) if paths.is_content(path) else paths.upload_key(path)


async def header_id(store: Store, path: PurePosixPath) -> bytes | None:
    """Of the file there; None if there is none, or one that is not encrypted."""
    try:
        return cipher.file_id(await _bytes(store, path, 0, HEADER_BYTES))
    except (FileNotFoundError, EOFError):
        return None


async def _bytes(store: Store, path: PurePosixPath, start: int, size: int) -> bytes:
    return b"".join([piece async for piece in store.stream(path, Span(start, size))])
