"""An HTTP server on loopback that stands before another one, and is as bad as stores get: it is too busy, it fails
after it has done what it was asked for, or it hangs up instead of answering.

async with Flaky("127.0.0.1", 8333, seed=1) as flaky:
    …
"""

import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

_OF_THE_CONNECTION = ("Connection", "Content-Length", "Keep-Alive", "Transfer-Encoding")
_ERROR = "<?xml version='1.0'?><Error><Code>{0}</Code><Message>{0}</Message></Error>"


class Flaky:
    """`rate`: which part of the requests goes wrong, in each of the three ways. `failed`: how many did.

    `loses`: asked of each request that was done whether nobody hears of that, whatever chance says.
    """

    def __init__(self, host: str, port: int, seed: int, rate: float = 0.05) -> None:
        self._to = f"http://{host}:{port}"
        self._chance = random.Random(seed)
        self.rate = rate
        self.failed = 0
        self.loses: Callable[[web.Request], Awaitable[bool]] | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=("User-Agent", "Accept"))
        application = web.Application(client_max_size=2**30)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body, way = await request.read(), int(self._chance.random() / self.rate) if self.rate else 3
        self.failed += way < 3
        if way == 0:
            return web.Response(status=503, text=_ERROR.format("SlowDown"))
        # The signature is of the address that was called.
        headers = [(name, value) for name, value in request.headers.items() if name not in _OF_THE_CONNECTION]
        url = URL(self._to + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            content = await answer.read()
            said = [(name, value) for name, value in answer.headers.items() if name not in _OF_THE_CONNECTION]
            if request.method == "HEAD":
                said.append(("Content-Length", answer.headers.get("Content-Length", "0")))
            if way == 1 or (self.loses and await self.loses(request)):
                return web.Response(status=500, text=_ERROR.format("InternalError"))
            if way == 2 and request.transport:
                request.transport.abort()
            return web.Response(status=answer.status, headers=dict(said), body=content)
