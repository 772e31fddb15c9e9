"""A TCP proxy on the loopback address that can be cut like a cable: what is sent goes nowhere, and nobody is told.

async with Proxy("127.0.0.1", 2379) as proxy:
    proxy.cut()
    proxy.heal()
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

CHUNK_BYTES = 16 * 1024


@dataclass(slots=True)
class _Connection:
    """`size`: how many bytes went through it, in both directions together."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    size: int = 0


class Proxy:
    """`breaks`: after how many bytes, in both directions, the next connections break, each once that many have gone
    through; the others last. `carried`: how many bytes went to callers in all."""

    def __init__(self, host: str, port: int, breaks: Sequence[int] = ()) -> None:
        self._to = host, port
        self.breaks = list(breaks)
        self.carried = 0
        self._whole = asyncio.Event()
        self._whole.set()
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for each in self._carrying:
            each.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        self._whole.clear()

    def heal(self) -> None:
        """What was sent meanwhile arrives now, where both ends waited for it."""
        self._whole.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        try:
            await self._whole.wait()
            with contextlib.suppress(OSError):
                far_reader, far = await asyncio.open_connection(*self._to)
                connection = _Connection(writer, far)
                await asyncio.gather(self._ask(reader, connection), self._answer(far_reader, connection))
        finally:
            writer.close()
            self._carrying.discard(task)

    async def _ask(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        async for _ in self._copied(reader, connection.far, connection):
            pass

    async def _answer(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        async for size in self._copied(reader, connection.near, connection):
            self.carried += size

    async def _copied(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> AsyncIterator[int]:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._whole.wait()
                writer.write(chunk)
                connection.size += len(chunk)
                yield len(chunk)
                if self.breaks and connection.size > self.breaks[0]:
                    self.breaks.pop(0)
                    for each in (connection.near, connection.far):
                        each.transport.abort()
                    return
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
