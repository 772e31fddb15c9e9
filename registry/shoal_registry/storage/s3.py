"""A bucket of an S3 store, or a part of it, as the store: every file is an object, but for those that grow.

    locks/<name>     what is held at the moment: see `leases`
    uploads/*/data   see `pieces`
    …                the rest is in `paths`

An object is replaced as a whole, and what the store says is written is durable; several processes may use one bucket.
A process that is killed while it writes a large object leaves parts of it, which no listing shows: a rule of the bucket
should end uploads that are not complete after some days.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store as Client

from shoal_registry.ranges import Span
from shoal_registry.storage import objects, paths
from shoal_registry.storage.bucket import Bucket
from shoal_registry.storage.leases import LEASE_SECONDS, Leases
from shoal_registry.storage.objects import reported
from shoal_registry.storage.pieces import Pieces
from shoal_registry.storage.store import StoreUnavailableError

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import ClientConfig, RetryConfig, S3Config

# What a request for something small may take, with all its repetitions.
QUICK_SECONDS = 15
# A slow client makes a slow request of what is streamed to it; what counts is that something moves.
LARGE_SECONDS = 24 * 3600
SILENT_SECONDS = 120
# Of a lease: when a lock that was there at the start can be known to be abandoned. Later they are few.
LOOK_AGAIN = 1.05
RARELY_SECONDS = 3600.0

log = logging.getLogger(__name__)


class S3Store:
    def __init__(self, bucket: Bucket, lease_seconds: float = LEASE_SECONDS) -> None:
        self._quick = client_of(bucket)
        self._large = client_of(bucket, LARGE_SECONDS, SILENT_SECONDS)
        self._pieces = Pieces(self._large)
        self._lease_seconds = lease_seconds
        once = client_of(bucket, max_retries=0)
        self._leases = Leases(self._quick, once, "locks", lease_seconds)

    async def prove(self) -> None:
        """Raises StoreUnavailableError if the bucket cannot be written, or if its writes are not conditional."""
        key = f"locks/proof-{secrets.token_hex(8)}"
        with reported():
            # Unconditional: an answer may be lost, and its request be sent again.
            await obstore.put_async(self._quick, key, b"1")
            is_guarded = await self._refuses(key, "create") and await self._refuses(key, {"e_tag": '"of-no-object"'})
            await obstore.delete_async(self._quick, key)
        if not is_guarded:
            raise StoreUnavailableError("the store ignores If-None-Match or If-Match of a write, which locks need")

    async def _refuses(self, key: str, mode: "PutMode") -> bool:
        try:
            await obstore.put_async(self._quick, key, b"2", mode=mode)
        except (AlreadyExistsError, PreconditionError):
            return True
        return False

    async def keep_locks(self) -> None:
        """For as long as the process lives: what killed holders left is ended."""
        pause = LOOK_AGAIN * self._lease_seconds
        while True:
            try:
                if ended := await self._leases.end_abandoned():
                    log.info("ended locks of holders that are no more count=%d", ended)
            except StoreUnavailableError as error:
                log.warning("cannot look for abandoned locks; it is tried again error=%s", error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, RARELY_SECONDS)

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._leases.hold(name)

    async def size(self, path: PurePosixPath) -> int | None:
        if paths.is_upload_data(path):
            return await self._pieces.size(path)
        meta = await objects.head(self._quick, str(path))
        return None if meta is None else meta["size"]

    async def read(self, path: PurePosixPath) -> bytes | None:
        try:
            with reported():
                found = await obstore.get_async(self._quick, str(path))
                return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None

    def stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        return (
            self._pieces.stream(path, span)
            if paths.is_upload_data(path)
            else objects.stream(self._large, str(path), span)
        )

    async def put(self, path: PurePosixPath, content: bytes, durable: bool = True) -> None:
        with reported():
            await obstore.put_async(self._quick, str(path), content, use_multipart=False)

    async def delete(self, path: PurePosixPath) -> bool:
        is_there = await objects.head(self._quick, str(path)) is not None
        if is_there:
            await objects.remove(self._quick, [str(path)])
        return is_there

    async def names(self, path: PurePosixPath) -> Sequence[str]:
        with reported():
            found = await obstore.list_with_delimiter_async(self._quick, str(path))
        keys = {*found["common_prefixes"], *(each["path"] for each in found["objects"])}
        # Some stores make an object for the folder itself.
        return sorted(key.rpartition("/")[2] for key in keys - {str(path)})

    async def append(self, path: PurePosixPath, offset: int, piece: bytes | bytearray) -> None:
        await self._pieces.append(path, offset, piece)

    async def flush(self, path: PurePosixPath) -> None:
        if self._leases.is_lost(lock := paths.upload_lock(path)):
            self._pieces.forget(path)
            raise StoreUnavailableError(f"the lock {lock} was lost: what waited is not written")
        await self._pieces.flush(path)

    async def truncate(self, path: PurePosixPath, size: int) -> None:
        await self._pieces.truncate(path, size)

    async def adopt(self, source: PurePosixPath, target: PurePosixPath) -> None:
        if paths.is_upload_data(source):
            await self._pieces.adopt(source, target)
        else:
            await objects.move(self._large, str(source), str(target))

    async def remove(self, path: PurePosixPath) -> None:
        found = await objects.under(self._quick, str(path))
        await objects.remove(self._quick, [each["path"] for each in found])

    async def changed(self, path: PurePosixPath) -> float:
        found = list(await objects.under(self._quick, str(path)))
        if meta := await objects.head(self._quick, str(path)):
            found.append(meta)
        if not found:
            raise FileNotFoundError(path)
        return max(each["last_modified"].timestamp() for each in found)


def client_of(
    bucket: Bucket, seconds: float = QUICK_SECONDS, silent_seconds: float = QUICK_SECONDS, max_retries: int = 8
) -> Client:
    config: S3Config = {"virtual_hosted_style_request": False}
    if bucket.endpoint:
        config["endpoint"] = bucket.endpoint
    if bucket.region:
        config["region"] = bucket.region
    options: ClientConfig = {
        "allow_http": bucket.endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=5),
        "timeout": timedelta(seconds=seconds),
        "read_timeout": timedelta(seconds=silent_seconds),
    }
    if bucket.authority:
        options["root_certificate"] = bucket.authority.read_bytes()
    retry: RetryConfig = {
        "max_retries": max_retries,
        "retry_timeout": timedelta(seconds=seconds),
        "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2},
    }
    return Client(bucket.name, prefix=bucket.prefix or None, config=config, client_options=options, retry_config=retry)
