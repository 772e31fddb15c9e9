"""One piece ahead: what comes is read while what came is worked on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def ahead(pieces: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """The same pieces. What `pieces` raises is raised after those that came before it."""
    coming = asyncio.ensure_future(anext(pieces, None))

    async def each() -> AsyncIterator[bytes]:
        nonlocal coming
        while (piece := await coming) is not None:
            coming = asyncio.ensure_future(anext(pieces, None))
            yield piece

    try:
        yield each()
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
