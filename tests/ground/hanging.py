"""A way to an engine on which the calls for one container hang, as on a real one whose container cannot be reached."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class HangingWay:
    """Calls that name one of `hanging` in their path wait until `let_go`; all others go through."""

    def __init__(self, path: Path, docker_host: str) -> None:
        self.docker_host = f"unix://{path}"
        self.hanging: tuple[str, ...] = ()
        self.hung: list[str] = []
        self.is_closed = False
        self._there = docker_host.removeprefix("unix://")
        self._let_go = asyncio.Event()

    def let_go(self) -> None:
        self.hanging = ()
        self._let_go.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            request, headers = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)
            path = request.split()[1].decode()
            if any(name in path for name in self.hanging):
                self.hung.append(path)
                await self._let_go.wait()
            if not self.is_closed:
                # One call a connection: the next one is to be looked at too.
                await self._forward(request + b"\r\nConnection: close\r\n" + headers, reader, writer)
        writer.close()

    async def _forward(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._there)
        there_writer.write(head)
        ways = (_pass_on(reader, there_writer), _pass_on(there_reader, writer))
        both = {asyncio.create_task(way) for way in ways}
        _, other = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in other:
            task.cancel()
        there_writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def hanging_way(path: Path, docker_host: str) -> AsyncIterator[HangingWay]:
    """Listens at `path`."""
    way = HangingWay(path, docker_host)
    server = await asyncio.start_unix_server(way.serve, str(path))
    try:
        yield way
    finally:
        server.close()
        way.is_closed = True
        way.let_go()
