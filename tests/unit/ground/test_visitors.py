"""The load that judges the traffic is itself judged: each way in which a request can fail is planted and found."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.ground.visitors import SERVER_HEADER, Visitors, causes, shares
from tests.ground.waiting import wait_until

RATE = 200.0
PATIENCE_SECONDS = 2.0
BODY = "web v1\n" * 50
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def well(request: web.Request) -> web.StreamResponse:
    return web.Response(text=BODY, headers={SERVER_HEADER: "one"})


async def unavailable(request: web.Request) -> web.StreamResponse:
    return web.Response(status=503, text="no server is available")


async def half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(BODY))})
    await response.prepare(request)
    await response.write(BODY[: len(BODY) // 2].encode())
    assert request.transport is not None
    request.transport.close()
    return response


async def nothing(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def mixed(request: web.Request) -> web.StreamResponse:
    return web.Response(text="web v1\nweb v2\n")


async def endless(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


class Site:
    """Answers as `answer` says at this moment. `connections`: how many were ever made."""

    def __init__(self) -> None:
        self.answer: Answer = well
        self.connections: set[object] = set()
        self.port = 0

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(request.protocol)
        return await self.answer(request)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()


async def visit(visitors: Visitors, count: int) -> None:
    """Until so many more have ended."""
    wanted = len(visitors.visits) + count
    await wait_until(lambda: len(visitors.visits) >= wanted)


async def test_what_is_answered_well_is_no_failure() -> None:
    site = Site()
    async with site.serving():
        async with Visitors("127.0.0.1", site.port, RATE) as visitors:
            await visit(visitors, 100)
        visits = visitors.visits
        assert visitors.failed == []
        assert shares(visits) == {"web v1": len(visits)}
        assert {each.server for each in visits} == {"one"}
        fresh = sum(not each.keeps for each in visits)
        assert abs(fresh - len(visits) / 2) <= 1
        # Those that are kept alive are few, however busy the machine is; each of the others was new.
        assert fresh < len(site.connections) < fresh + len(visits) / 4


async def test_the_rate_is_kept_when_answers_are_slow() -> None:
    site = Site()
    let_go = asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        await let_go.wait()
        return await well(request)

    site.answer = late
    async with site.serving(), Visitors("127.0.0.1", site.port, RATE) as visitors:
        await wait_until(lambda: len(site.connections) >= 50)
        assert visitors.visits == []
        let_go.set()
        await visit(visitors, 50)
    assert visitors.failed == []


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (unavailable, "HTTP/1.1 503 Service Unavailable: no server is available"),
        (half, f"hung up after {len(BODY) // 2} bytes"),
        (nothing, "hung up after 0 bytes"),
        (mixed, "a body of 2 different lines: 'web v1\\nweb v2\\n'"),
        (endless, f"no answer for {PATIENCE_SECONDS:g} s"),
    ],
    ids=["unavailable", "half", "nothing", "mixed", "endless"],
)
async def test_each_failure_is_found(answer: Answer, cause: str) -> None:
    """Of both kinds of connections; and no other request is taken for failed."""
    site = Site()
    async with site.serving(), Visitors("127.0.0.1", site.port, RATE, timeout_seconds=PATIENCE_SECONDS) as visitors:
        await visit(visitors, 20)
        assert visitors.failed == []
        site.answer = answer
        await wait_until(lambda: {each.keeps for each in visitors.failed} == {True, False})
        site.answer = well
        await visit(visitors, 20)
    assert set(causes(visitors.visits)) <= {cause, "connection reset"}
    assert cause in causes(visitors.visits)
    assert max(visitors.visits).cause == "", "the one that was asked last"


async def test_a_server_that_is_away_is_found() -> None:
    site = Site()
    async with Visitors("127.0.0.1", 0, RATE) as visitors:
        await visit(visitors, 4)
    assert len(visitors.failed) == len(visitors.visits)
    async with site.serving(), Visitors("127.0.0.1", site.port, RATE) as visitors:
        await visit(visitors, 20)
    port = site.port
    async with Visitors("127.0.0.1", port, RATE) as visitors:
        await visit(visitors, 4)
        assert set(causes(visitors.visits)) == {"connection refused"}
        refused = visitors.visits[-1].at
        async with site.serving():
            await wait_until(lambda: visitors.last_answered_at > refused)
            began = visitors.last_answered_at
            await visit(visitors, 4)
            assert visitors.failed_since(began) == []


async def test_a_connection_that_is_closed_between_two_requests_is_no_failure() -> None:
    site = Site()

    async def last(request: web.Request) -> web.StreamResponse:
        response = await well(request)
        response.force_close()
        return response

    site.answer = last
    async with site.serving(), Visitors("127.0.0.1", site.port, RATE) as visitors:
        await visit(visitors, 50)
    assert visitors.failed == []
