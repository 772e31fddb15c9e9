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

READ_BYTES = 512 * 1024


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
    with reported():
        await obstore.copy_async(store, key, target)
    await remove(store, [key])


async def remove(store: S3Store, keys: Sequence[str]) -> None:
    """Those that are there."""
    if keys:
        with reported():
            await obstore.delete_async(store, keys)
