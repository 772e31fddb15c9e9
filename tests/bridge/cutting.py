"""A proxy on loopback that breaks connections after so many bytes, as a network does that fails again and again."""

import asyncio
import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Self

CHUNK_BYTES = 16 * 1024


class CuttingProxy:
    """`lengths`: after how many bytes, in both directions together, each next connection breaks; later ones do not."""

    def __init__(self, port: int, lengths: Iterator[int]) -> None:
        self._port, self._lengths = port, lengths
        self._carrying: set[asyncio.Task[None]] = set()
        self.cuts = 0

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
    def address(self) -> str:
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        left = [next(self._lengths, None)]
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                await asyncio.gather(self._copy(reader, far_writer, left), self._copy(far_reader, writer, left))
            finally:
                for each in (writer, far_writer):
                    each.transport.abort()
        self._carrying.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[int | None]) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if left[0] is not None:
                left[0] -= len(chunk)
                if left[0] < 0:
                    self.cuts += 1
                    raise ConnectionResetError("cut")
            writer.write(chunk)
            await writer.drain()
        writer.close()
