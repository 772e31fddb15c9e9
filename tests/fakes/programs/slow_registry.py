"""The image registry, whose access tokens last no longer than a Docker Engine believes at least (it keeps each for a
minute), and whose blobs are long in coming: three at a time, so that a pull of nine outlasts its first token."""

import asyncio
from collections.abc import AsyncIterator

from shoal_registry.__main__ import main
from shoal_registry.names import Digest
from shoal_registry.ranges import Span
from shoal_registry.repositories import Repositories
from shoal_registry.rights import tokens

BLOB_SECONDS = 27.0
stream = Repositories.stream


async def slowly(self: Repositories, digest: Digest, span: Span) -> AsyncIterator[bytes]:
    await asyncio.sleep(BLOB_SECONDS)
    async for piece in stream(self, digest, span):
        yield piece


tokens.ACCESS_SECONDS, tokens.LEEWAY_SECONDS = 61, 2
Repositories.stream = slowly  # type: ignore[method-assign]
main()
