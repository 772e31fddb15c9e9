"""Real servers for the load balancer to send requests to, and clients that never stop asking."""

import asyncio
import contextlib
import itertools
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2, health_pb2_grpc


class Web:
    """Answers every request with its name, after `delay` seconds; `status` is what its health check is told."""

    def __init__(self, name: str, delay: float = 0.0) -> None:
        self.name = name
        self.delay = delay
        self.status = 200
        self.port = 0
        self.asked = 0

    async def start(self) -> "Web":
        application = web.Application()
        application.router.add_get("/health", self._health)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(status=self.status)

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.delay:
            await asyncio.sleep(self.delay)
        return web.Response(text=f"{self.name} {request.host} {request.path}")

    async def kill(self) -> None:
        """All its connections are cut. Of one that is dead, nothing more is done."""
        server = self._runner.server
        for connection in list(server.connections) if server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()
        await self._runner.cleanup()


@contextlib.asynccontextmanager
async def webs(*names: str, delay: float = 0.0) -> AsyncIterator[list[Web]]:
    started = [await Web(name, delay).start() for name in names]
    try:
        yield started
    finally:
        for each in started:
            await each.kill()


@contextlib.asynccontextmanager
async def tcp(name: str) -> AsyncIterator[int]:
    """Speaks first, then says again what it hears. Yields the port."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(f"{name}\n".encode())
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Mute:
    """Reads a request, counts it, and closes the connection; health checks are answered."""

    def __init__(self) -> None:
        self.asked = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /health"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
            else:
                self.asked += 1
        writer.close()


@contextlib.asynccontextmanager
async def mute() -> AsyncIterator[tuple[Mute, int]]:
    target = Mute()
    server = await asyncio.start_server(target.talk, "127.0.0.1", 0)
    async with server:
        yield target, server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """Whoever connects there hears nothing: as many as its kernel takes wait already. Yields the port."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        with contextlib.suppress(TimeoutError):
            while True:
                waiting = stack.enter_context(socket.socket())
                waiting.settimeout(0.3)
                waiting.connect(("127.0.0.1", port))
        yield port


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    def __init__(self) -> None:
        self.asked = 0
        self.status = health_pb2.HealthCheckResponse.SERVING

    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        self.asked += request.service == "a client's"
        return health_pb2.HealthCheckResponse(status=self.status)


@contextlib.asynccontextmanager
async def grpcs() -> AsyncIterator[tuple[Health, int]]:
    health, server = Health(), grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield health, port
    finally:
        await server.stop(0)


class Load:
    """Clients that ask one request after the other: some on connections that are kept, some on one each."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, *, body: bytes | None = None) -> None:
        """With a body every other request is a POST, which nobody may send twice."""
        self._url = url
        self._bodies = (None, body) if body is not None else (None,)
        self._headers = dict(headers or {})
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []

    @contextlib.asynccontextmanager
    async def running(self, clients: int = 2) -> AsyncIterator["Load"]:
        async with (
            aiohttp.ClientSession() as kept,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as single,
        ):
            tasks = [asyncio.create_task(self._ask(each)) for each in (kept, single) for _ in range(clients)]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        for body in itertools.cycle(self._bodies):
            method = "GET" if body is None else "POST"
            try:
                async with session.request(method, self._url, headers=self._headers, data=body) as answer:
                    text = await answer.text()
                    if answer.status == 200:
                        self.answers[text.split()[0]] += 1
                    else:
                        self.failures.append(f"{answer.status} {text[:80]}")
            except (OSError, aiohttp.ClientError) as error:
                self.failures.append(repr(error))
            await asyncio.sleep(0.002)  # two cores are shared with what is tested
