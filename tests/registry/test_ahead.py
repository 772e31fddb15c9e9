"""Reading one piece ahead changes nothing of what is read."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from shoal_registry.ahead import ahead

PIECES = [b"1", b"", b"2", b"3"]


async def test_all_pieces_come_in_order_and_then_what_ended_them() -> None:
    async def broken() -> AsyncIterator[bytes]:
        for piece in PIECES:
            yield piece
        raise ConnectionError("unplugged")

    came: list[bytes] = []
    with pytest.raises(ConnectionError, match="unplugged"):
        async with ahead(broken()) as pieces:
            async for piece in pieces:
                came += [piece]
    assert came == PIECES


async def test_the_next_is_read_meanwhile_but_no_more() -> None:
    read = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read
        for piece in PIECES:
            read += 1
            yield piece

    async with ahead(counted()) as pieces:
        async for _ in pieces:
            for _ in range(10):
                await asyncio.sleep(0)
            assert read == 2
            break


async def test_who_stops_early_ends_the_reading() -> None:
    ended = asyncio.Event()

    async def waits() -> AsyncIterator[bytes]:
        try:
            yield b"1"
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(LookupError):
        async with ahead(waits()) as pieces:
            async for _ in pieces:
                await asyncio.sleep(0)
                raise LookupError
    assert ended.is_set()
