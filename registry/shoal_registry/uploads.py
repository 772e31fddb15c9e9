"""Uploads: bytes that come in order, over as many requests and restarts as it takes, until their digest is proven."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from shoal_registry.ahead import ahead
from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Repository, UploadId
from shoal_registry.ranges import Span
from shoal_registry.repositories import Repositories
from shoal_registry.storage import paths
from shoal_registry.storage.damage import Damaged
from shoal_registry.storage.store import Store

log = logging.getLogger(__name__)

# A caller whose connection broke resumes on another before the first is known to be gone.
BUSY_SECONDS = 2.0
# What is shorter is soon read again.
NOTED_BYTES_MIN = 4 * 1024 * 1024
HASHINGS_MAX = 4096


@dataclass(slots=True)
class Hashing:
    """The hash of an upload's first `size` bytes. Lost with the process: then they are read once more at the end."""

    algorithm: str
    size: int = 0
    state: Any = field(init=False)

    def __post_init__(self) -> None:
        self.state = hashlib.new(self.algorithm)


class Uploads:
    def __init__(
        self, store: Store, repositories: Repositories, new_id: Callable[[], UploadId], boot_id: str = ""
    ) -> None:
        """`boot_id`: of the machine since it last started; processes of it know by that what no power cut took."""
        self._store = store
        self._boot_id = boot_id
        self._repositories = repositories
        self._new_id = new_id
        self._hashing: dict[UploadId, Hashing] = {}

    async def begin(self, repository: Repository) -> UploadId:
        upload = self._new_id()
        await self._store.put(paths.upload_repository(upload), repository.name.encode(), durable=False)
        return upload

    async def size(self, repository: Repository, upload: UploadId) -> int:
        """How many bytes have come. Raises Refused; an upload of another repository is as unknown as any."""
        owner = await self._store.read(paths.upload_repository(upload))
        unknown = Refused("BLOB_UPLOAD_UNKNOWN", "There is no such upload: begin one with POST …/blobs/uploads/.")
        if owner != repository.name.encode():
            raise unknown
        try:
            return await self._store.size(paths.upload_data(upload)) or 0
        except FileNotFoundError:
            # Who only asks for it holds no lock: it ended meanwhile.
            raise unknown from None
        except Damaged as damaged:
            raise _spoiled(upload, damaged) from None

    async def append(
        self,
        repository: Repository,
        upload: UploadId,
        body: AsyncIterator[bytes],
        claimed: Span | None = None,
        algorithm: str = "sha256",
    ) -> int:
        """How many bytes there are then. `claimed`: which part the caller says it is.

        What came before a connection broke is kept, for the caller to resume. Raises Refused.
        """
        async with self._alone(upload):
            start = size = await self.size(repository, upload)
            if claimed and claimed.start != start:
                raise Refused("RANGE_INVALID", f"The next byte of this upload is {start}, not {claimed.start}.")
            end = start + claimed.length if claimed else None
            try:
                async with ahead(body) as pieces:
                    async for piece in pieces:
                        if end is not None and size + len(piece) > end:
                            size += len(piece)
                            break
                        await self._write(upload, size, piece, algorithm)
                        size += len(piece)
            finally:
                await self._store.flush(paths.upload_data(upload))
            if end not in (None, size):
                await self._undo(upload, start)
                raise Refused("SIZE_INVALID", "The chunk is not as long as its Content-Range says.")
            if size > start:
                await self._note(upload, size)
            return size

    async def commit(self, repository: Repository, upload: UploadId, digest: Digest) -> None:
        """The upload is a blob of the repository from now on. Raises Refused, and drops what has another digest."""
        async with self._alone(upload):
            size = await self.size(repository, upload)
            actual = await self._digest(upload, size, digest.algorithm)
            if actual != digest:
                await self.drop(upload)
                raise Refused("DIGEST_INVALID", f"The {size} bytes that came have the digest {actual}, not {digest}.")
            if size == 0:
                await self._store.append(paths.upload_data(upload), 0, b"")
                await self._store.flush(paths.upload_data(upload))
            await self._repositories.adopt_blob(repository, digest, paths.upload_data(upload))
            await self.drop(upload)

    async def cancel(self, repository: Repository, upload: UploadId) -> None:
        """Raises Refused."""
        async with self._alone(upload):
            await self.size(repository, upload)
            await self.drop(upload)

    async def clean(self, before: float) -> int:
        """Drops those of which nothing was heard since `before` (seconds since 1970); how many."""
        dropped = 0
        for name in await self._store.names(paths.UPLOADS):
            try:
                upload = UploadId.parse(name)
                # Most are young, and need no lock to be seen so.
                if await self._is_older(upload, before):
                    async with self._alone(upload):
                        if await self._is_older(upload, before):
                            await self.drop(upload)
                            dropped += 1
            except (Refused, FileNotFoundError):
                continue
        return dropped

    async def _is_older(self, upload: UploadId, before: float) -> bool:
        return await self._store.changed(paths.upload(upload)) < before

    @asynccontextmanager
    async def _alone(self, upload: UploadId) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(BUSY_SECONDS):
                    await held.enter_async_context(self._store.lock(paths.upload_lock(paths.upload_data(upload))))
            except TimeoutError:
                raise Refused(
                    "BLOB_UPLOAD_INVALID",
                    "Another call writes to this upload.",
                    status=409,
                    headers={"Retry-After": "1"},
                ) from None
            try:
                yield
            except Damaged as damaged:
                await self.drop(upload)
                raise _spoiled(upload, damaged) from None

    async def _write(self, upload: UploadId, offset: int, piece: bytes, algorithm: str) -> None:
        writing = self._store.append(paths.upload_data(upload), offset, piece)
        if offset == 0:
            if len(self._hashing) >= HASHINGS_MAX:
                # Most likely finished by another process.
                del self._hashing[next(iter(self._hashing))]
            self._hashing[upload] = Hashing(algorithm)
        hashing = self._hashing.get(upload)
        if hashing is None or hashing.size != offset:
            # Of a process before this one, or after a write that failed.
            self._hashing.pop(upload, None)
            await writing
            return
        try:
            await asyncio.gather(writing, asyncio.to_thread(hashing.state.update, piece))
        except BaseException:
            # It is of bytes that may not have been written.
            self._hashing.pop(upload, None)
            raise
        hashing.size += len(piece)

    async def _digest(self, upload: UploadId, size: int, algorithm: str) -> Digest:
        hashing = self._hashing.get(upload)
        if hashing is None or (hashing.algorithm, hashing.size) != (algorithm, size):
            if noted := await self._noted(upload, size, algorithm):
                return noted
            hashing = Hashing(algorithm)
            if size:
                async for piece in self._store.stream(paths.upload_data(upload), Span(0, size)):
                    await asyncio.to_thread(hashing.state.update, piece)
        return Digest(algorithm, hashing.state.hexdigest())

    async def _note(self, upload: UploadId, size: int) -> None:
        """For another process of this machine, which may be asked to finish it: what came is never changed again."""
        hashing = self._hashing.get(upload)
        if self._boot_id and hashing and hashing.size == size >= NOTED_BYTES_MIN:
            digest = Digest(hashing.algorithm, hashing.state.hexdigest())
            content = f"{self._boot_id} {size} {digest}".encode()
            await self._store.put(paths.upload_digest(upload), content, durable=False)

    async def _noted(self, upload: UploadId, size: int, algorithm: str) -> Digest | None:
        noted = (await self._store.read(paths.upload_digest(upload)) or b"").decode()
        known, _, text = noted.rpartition(" ")
        if not self._boot_id or known != f"{self._boot_id} {size}":
            return None
        digest = Digest.parse(text)
        return digest if digest.algorithm == algorithm else None

    async def _undo(self, upload: UploadId, size: int) -> None:
        self._hashing.pop(upload, None)
        if await self._store.size(paths.upload_data(upload)) is not None:
            await self._store.truncate(paths.upload_data(upload), size)

    async def drop(self, upload: UploadId) -> None:
        """With all that came; for who has it alone."""
        self._hashing.pop(upload, None)
        await self._store.remove(paths.upload(upload))


def _spoiled(upload: UploadId, damaged: Damaged) -> Refused:
    log.warning("an upload cannot go on upload=%s reason=%s", upload.text, damaged)
    return Refused(
        "BLOB_UPLOAD_UNKNOWN",
        "What came of this upload was not kept whole, as after a power failure: begin another by POST.",
    )
