"""Calls that are many, slow, never end or never begin: they hold up nobody else."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from shoal import rpc
from shoal.v1 import (
    event_pb2,
    task_pb2,
)
from shoal_scheduler.control.inputs import Input, Reply, RunTask

from tests.api.refusals import lives, refused, refused_with
from tests.api.requests import register
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler


async def test_one_caller_cannot_hold_more_streams_than_allowed(scheduler: Scheduler) -> None:
    """The rest wait on the caller's side; others are served meanwhile."""
    watch: Any = scheduler.channel().unary_stream("/shoal.v1.Cluster/Watch")
    calls = [watch(b"") for _ in range(rpc.STREAMS_MAX + 50)]
    first = [asyncio.ensure_future(each.read()) for each in calls]
    done, waiting = await asyncio.wait(first, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    async with asyncio.timeout(20):
        while len(done) < rpc.STREAMS_MAX:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            done |= more
    await lives(scheduler)
    assert len(waiting) == 50
    for each in calls:
        each.cancel()
    await asyncio.gather(*first, return_exceptions=True)
    await lives(scheduler)


async def test_streams_opened_and_reset_at_once(scheduler: Scheduler) -> None:
    watch: Any = scheduler.channel().unary_stream("/shoal.v1.Cluster/Watch")
    for _ in range(20):
        calls = [watch(b"") for _ in range(100)]
        for each in calls:
            each.cancel()
        await asyncio.sleep(0)
    await lives(scheduler)


async def test_a_sender_that_stops_in_the_middle_holds_up_nobody(scheduler: Scheduler) -> None:
    """A unary request whose message never comes, and a stream that is never written to."""
    channel = scheduler.channel()
    stuck: list[Any] = [channel.stream_stream(f"/shoal.v1.Cluster/{name}")() for name in ("RunTask", "RunTasks")]
    readers = [asyncio.ensure_future(each.read()) for each in stuck]
    await asyncio.gather(*(each.wait_for_connection() for each in stuck))
    await lives(scheduler)
    assert not any(reader.done() for reader in readers)
    for each in stuck:
        each.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


class RunTaskCounter:
    """How many submissions the engine was given."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.count = 0
        self._submit = scheduler.plane.engine.submit
        scheduler.plane.engine.submit = self  # type: ignore[method-assign]

    async def __call__(self, request: Input) -> Reply:
        self.count += isinstance(request, RunTask)
        return await self._submit(request)


async def test_a_submitter_who_does_not_read_is_not_listened_to(
    scheduler: Scheduler, agent: SimulatedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal_scheduler.api.tasks.RUN_TASKS_IN_FLIGHT_MAX", 10)
    await register(scheduler, cpu="8192")
    sent = 0

    async def submissions() -> AsyncIterator[task_pb2.RunTasksRequest]:
        """Each is answered with two thousand failures."""
        nonlocal sent
        request = task_pb2.RunTaskRequest(task_definition="web", count=2000, group="g" * 255)
        while True:
            yield task_pb2.RunTasksRequest(request=request)
            sent += 1

    stream = scheduler.cluster.RunTasks(submissions())
    taken = RunTaskCounter(scheduler)
    before = -1
    while before != taken.count:
        before = taken.count
        for _ in range(20):
            await lives(scheduler)
    assert 0 < taken.count < 1000
    assert sent > taken.count
    stream.cancel()


async def test_the_end_of_the_server_does_not_wait_for_open_streams(scheduler: Scheduler) -> None:
    watches = [scheduler.cluster.Watch(event_pb2.WatchRequest()) for _ in range(20)]
    for watch in watches:
        await watch.read()
    stuck: Any = scheduler.channel().stream_stream("/shoal.v1.Cluster/RunTask")()
    await stuck.wait_for_connection()
    started = time.monotonic()
    await scheduler.stop()
    assert time.monotonic() - started < 1.5
    for watch in watches:
        error = await refused(watch.read())
        assert error.code == "UNAVAILABLE"


async def test_only_agents_may_be_heard_at_length(scheduler: Scheduler) -> None:
    """An operator's certificate does not even get its message read."""
    stream: Any = scheduler.channel().stream_stream("/shoal.v1.AgentSession/Session")()
    await refused_with(stream.read(), grpc.StatusCode.PERMISSION_DENIED, "AccessDeniedException")


@pytest.mark.slow
async def test_a_handshake_that_does_not_go_on_is_given_up(scheduler: Scheduler) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", scheduler.server.port)
    async with asyncio.timeout(rpc.HANDSHAKE_SECONDS * 1.5):
        assert await reader.read(1) == b""
    writer.close()
    await lives(scheduler)
