"""Reading ahead: the next piece is fetched while the one before it is used."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator


async def ahead(pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """The same pieces. Closes `pieces` at the end, also if nobody wants the rest."""

    async def following() -> bytes | None:
        return await anext(pieces, None)

    fetching = asyncio.create_task(following())
    try:
        while (piece := await fetching) is not None:
            fetching = asyncio.create_task(following())
            yield piece
    finally:
        fetching.cancel()
        # What it failed of was raised where it was waited for, or is of a piece that nobody wants.
        with contextlib.suppress(BaseException):
            await fetching
        await pieces.aclose()
