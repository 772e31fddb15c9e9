"""A DNS server for the names of services, on UDP and TCP of one address."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from shoal.ingress.names import Names, answer

IDLE_SECONDS = 10.0

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def served(host: str, port: int, names: Callable[[], Names]) -> AsyncIterator[int]:
    """Yields the port. Raises OSError if it cannot listen there."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            await _talk(reader, writer, names)
        writer.close()

    server = await asyncio.start_server(talk, host, port)
    bound: int = server.sockets[0].getsockname()[1]
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Udp(names), local_addr=(host, bound)
        )
    except OSError:
        server.close()
        raise
    try:
        yield bound
    finally:
        transport.close()
        server.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, names: Callable[[], Names]) -> None:
        self._names = names
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        said = answer(data, self._names(), udp=True)
        if said is not None and self._transport is not None:
            self._transport.sendto(said, addr)


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, names: Callable[[], Names]) -> None:
    """Each message begins with its length in two bytes."""
    while True:
        async with asyncio.timeout(IDLE_SECONDS):
            length = int.from_bytes(await reader.readexactly(2), "big")
            question = await reader.readexactly(length)
        said = answer(question, names(), udp=False)
        if said is None:
            return
        writer.write(len(said).to_bytes(2, "big") + said)
        await writer.drain()
