"""A TCP proxy on the loopback address that can be cut like a cable: what is sent goes nowhere, and nobody is told.

async with Proxy("127.0.0.1", 2379) as proxy:
    proxy.cut()
    proxy.heal()
"""

import asyncio
import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Self

CHUNK_BYTES = 64 * 1024


class Proxy:
    """`breaks`: after how many bytes towards the caller the next connections break, each once that many have gone
    through; the others last. `carried`: how many bytes went there in all."""

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
                far_reader, far_writer = await asyncio.open_connection(*self._to)
                await asyncio.gather(self._copy(reader, far_writer), self._answer(far_reader, writer))
        finally:
            writer.close()
            self._carrying.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = self.carried
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._whole.wait()
                writer.write(chunk)
                self.carried += len(chunk)
                if self.breaks and self.carried - began > self.breaks[0]:
                    self.breaks.pop(0)
                    writer.transport.abort()
                    return
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._whole.wait()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
