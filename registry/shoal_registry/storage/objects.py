"""Objects of an S3 store, read, listed and removed in the words of the protocol."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions
from obstore.store import S3Store

from shoal_registry.ranges import Span
from shoal_registry.storage.store import StoreUnavailableError

if TYPE_CHECKING:
    from obstore import ObjectMeta

MIB = 1024 * 1024
READ_BYTES = MIB // 2
# Of one request within an object that is written: a store may have a least size of 5 MiB, and takes 10,000 of them.
PART_BYTES_MIN = 5 * MIB
PARTS_MAX = 9_000
PARTS_AT_ONCE = 2
# A store copies an object of up to 5 GiB by itself.
COPIED_BYTES_MAX = 4096 * MIB


@contextmanager
def reported() -> Iterator[None]:
    """FileNotFoundError passes as it is."""
    try:
        yield
    except exceptions.BaseError as error:
        raise _unavailable(error) from error


def _unavailable(error: exceptions.BaseError) -> StoreUnavailableError:
    # After its first line come its inner parts.
    return StoreUnavailableError(str(error).partition("\n")[0])


async def head(store: S3Store, key: str) -> "ObjectMeta | None":
    try:
        with reported():
            return await obstore.head_async(store, key)
    except FileNotFoundError:
        return None


async def stream(store: S3Store, key: str, span: Span) -> AsyncIterator[bytes]:
    """Raises FileNotFoundError, EOFError if it is shorter."""
    end = span.start + span.length
    if span.length == 0:
        await _refuse_if_shorter(store, key, end)
        return
    try:
        found = await obstore.get_async(store, key, options={"range": (span.start, end)})
    except exceptions.BaseError as error:
        # There is no exception of its own for a range that begins behind the end.
        await _refuse_if_shorter(store, key, end)
        raise _unavailable(error) from error
    if found.range[1] < end:
        raise EOFError(f"{key} ends at {found.range[1]}, before {end}")
    with reported():
        async for piece in found.stream(min_chunk_size=READ_BYTES):
            yield bytes(piece)


async def _refuse_if_shorter(store: S3Store, key: str, end: int) -> None:
    meta = await head(store, key)
    if meta is None:
        raise FileNotFoundError(key)
    if meta["size"] < end:
        raise EOFError(f"{key} ends at {meta['size']}, before {end}")


async def under(store: S3Store, folder: str) -> "Sequence[ObjectMeta]":
    """All of them, however deep."""
    with reported():
        found = await obstore.list(store, folder, chunk_size=1000).collect_async()
    # Some stores make an object for the folder itself.
    return [each for each in found if each["path"] != folder]


async def move(store: S3Store, key: str, target: str) -> None:
    """Raises FileNotFoundError."""
    meta = await head(store, key)
    if meta is None:
        raise FileNotFoundError(key)
    if meta["size"] <= COPIED_BYTES_MAX:
        with reported():
            await obstore.copy_async(store, key, target)
    else:
        await write(store, target, stream(store, key, Span(0, meta["size"])), meta["size"])
    await remove(store, [key])


async def write(store: S3Store, key: str, pieces: AsyncIterator[bytes], size: int) -> None:
    """In parts, through this process: of pieces that have `size` bytes in all."""
    with reported():
        await obstore.put_async(
            store,
            key,
            pieces,
            use_multipart=True,
            chunk_size=max(PART_BYTES_MIN, size // PARTS_MAX),
            max_concurrency=PARTS_AT_ONCE,
        )


async def remove(store: S3Store, keys: Sequence[str]) -> None:
    """Those that are there."""
    if keys:
        with reported():
            await obstore.delete_async(store, keys)
