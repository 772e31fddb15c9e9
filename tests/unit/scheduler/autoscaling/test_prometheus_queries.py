"""What a Prometheus server answers, and what is refused to be asked or believed."""

import ipaddress
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web
from shoal_scheduler.prometheus_queries import ANSWER_BYTES_MAX, NotAnsweredError, PrometheusQueries, values_of

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
TIMES = [60, 120, 180]


def answer(*series: list[tuple[float, str]], kind: str = "matrix") -> bytes:
    result = [{"metric": {"job": str(number)}, "values": values} for number, values in enumerate(series)]
    return msgspec.json.encode({"status": "success", "data": {"resultType": kind, "result": result}})


ANSWERS = {
    "some": (200, answer([(60, "1.5"), (180, "2")])),
    "none": (200, answer()),
    "two": (200, answer([(60, "1")], [(60, "2")])),
    "odd": (200, answer([(60, "NaN"), (120, "+Inf"), (180, "3")])),
    "bad": (400, b'{"status":"error","errorType":"bad_data","error":"parse error"}'),
    "html": (200, b"<html>"),
    "long": (200, b" " * (ANSWER_BYTES_MAX + 1)),
    "away": (302, b""),
}


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async def query(request: web.Request) -> web.Response:
        asked = await request.post()
        assert (asked["start"], asked["end"], asked["step"]) == ("60", "180", "60")
        status, content = ANSWERS[str(asked["query"])]
        return web.Response(status=status, body=content, headers={"Location": "/elsewhere"} if status == 302 else {})

    app = web.Application()
    app.router.add_post("/prefix/api/v1/query_range", query)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/prefix"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("query", "values"),
    [("some", [1.5, None, 2.0]), ("none", [None, None, None]), ("odd", [None, None, 3.0])],
)
async def test_the_values_at_the_times_that_were_asked_for(
    address: str, query: str, values: list[float | None]
) -> None:
    async with PrometheusQueries(LOOPBACK) as queries:
        assert await queries.values(address, query, TIMES) == values


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("two", "2 series; make one of them"),
        ("bad", "answered 400: parse error"),
        ("html", "what Prometheus would not"),
        ("long", "more than"),
        ("away", "answered 302"),
    ],
)
async def test_what_is_no_answer_is_told(address: str, query: str, why: str) -> None:
    async with PrometheusQueries(LOOPBACK) as queries:
        with pytest.raises(NotAnsweredError, match=why):
            await queries.values(address, query, TIMES)


async def test_only_what_is_allowed_is_asked(address: str) -> None:
    async with PrometheusQueries() as queries:
        for each in (address, address.replace("127.0.0.1", "localhost")):
            with pytest.raises(NotAnsweredError, match="list it in --webhook-networks"):
                await queries.values(each, "some", TIMES)


async def test_nobody_there_is_told() -> None:
    async with PrometheusQueries(LOOPBACK) as queries:
        with pytest.raises(NotAnsweredError):
            await queries.values("http://127.0.0.1:1", "some", TIMES)


def test_another_type_of_result_is_not_believed() -> None:
    with pytest.raises(NotAnsweredError):
        values_of(answer([(60, "1")], kind="vector"))
