"""A request's body: in pieces that are worth a write, and never waited for without end."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from shoal_registry.errors import Refused

# Each costs its turns of threads, which with 1 MiB are a third of a push's time; and each push has a few in memory.
PIECE_BYTES = 2 * 1024 * 1024
STALL_SECONDS = 60.0


async def pieces(request: web.Request) -> AsyncIterator[bytes]:
    """Of `PIECE_BYTES` each, but for the last.

    Raises ConnectionError if the caller goes away, Refused if it falls silent; what came before was yielded.
    """
    # Views, so that each byte is copied once only.
    waiting: list[memoryview] = []
    size = 0
    try:
        while not request.content.at_eof():
            received = memoryview(await _next(request))
            while size + len(received) >= PIECE_BYTES:
                missing = PIECE_BYTES - size
                piece = b"".join([*waiting, received[:missing]])
                waiting, size, received = [], 0, received[missing:]
                yield piece
            waiting.append(received)
            size += len(received)
    except (ConnectionError, web.RequestPayloadError, Refused):
        if size:
            yield b"".join(waiting)
        raise
    if size:
        yield b"".join(waiting)


async def whole(request: web.Request, size_max: int) -> bytes:
    """Raises Refused if it is longer."""
    too_long = Refused("SIZE_INVALID", f"This may have at most {size_max} bytes.", status=413)
    if (request.content_length or 0) > size_max:
        raise too_long
    content = bytearray()
    async for piece in pieces(request):
        content += piece
        if len(content) > size_max:
            raise too_long
    return bytes(content)


async def _next(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            return await request.content.readany()
    except TimeoutError:
        raise Refused("SIZE_INVALID", f"Nothing came for {STALL_SECONDS:.0f} s.", status=408) from None
