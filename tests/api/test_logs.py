"""ReadLogs through the running server and a simulated agent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.rpc import status_pb2
from shoal.v1 import agent_pb2, agent_pb2_grpc
from shoal.v1 import log_pb2 as pb

from tests.api.conftest import INSTANCE
from tests.api.refusals import refused, refused_with
from tests.api.requests import register, run
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler


async def one_task(scheduler: Scheduler) -> str:
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    arn: str = task.task_arn
    return arn


async def next_of(call: Any) -> pb.ReadLogsResponse:
    answer = await call.read()
    assert isinstance(answer, pb.ReadLogsResponse)
    return answer


async def test_lines_come_as_the_agent_sends_them(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    agent.logs = [pb.LogEvent(container="app", stream="stdout", timestamp=n, message=b"line\xff") for n in range(5)]
    task = await one_task(scheduler)
    request = pb.ReadLogsRequest(task=task, container="app", tail=5, since=1)
    lines = [event async for answer in scheduler.cluster.ReadLogs(request) for event in answer.events]
    assert lines == agent.logs
    (asked,) = agent.log_requests
    assert (asked.request.task, asked.request.tail, asked.request.since) == (task.rsplit("/", 1)[1], 5, 1)


async def test_the_agent_says_why_not(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    agent.log_error = status_pb2.Status(code=5, message="The container is gone.")
    call = scheduler.cluster.ReadLogs(pb.ReadLogsRequest(task=await one_task(scheduler)))
    await next_of(call)
    error = await refused(call.read())
    assert (error.code, error.message) == ("NOT_FOUND", "The container is gone.")


async def test_a_container_the_task_does_not_have(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    request = pb.ReadLogsRequest(task=await one_task(scheduler), container="\x1b[2J")
    call = scheduler.cluster.ReadLogs(request).read()
    await refused_with(call, grpc.StatusCode.INVALID_ARGUMENT, "InvalidParameterException", "container")


async def test_of_an_instance_that_is_away(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    task = await one_task(scheduler)
    agent.call.cancel()
    await scheduler.until_disconnected(INSTANCE)
    error = await refused(scheduler.cluster.ReadLogs(pb.ReadLogsRequest(task=task)).read())
    assert error.code == "UNAVAILABLE"


async def test_an_agent_that_breaks_off_does_not_leave_the_reader_waiting(
    scheduler: Scheduler, agent: SimulatedAgent
) -> None:
    task = await one_task(scheduler)
    broken = asyncio.Event()

    async def send_and_vanish(request: agent_pb2.LogRequest) -> None:
        call = agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", INSTANCE)).SendLogs()
        await call.write(agent_pb2.LogChunk(request_id=request.request_id, events=[pb.LogEvent(message=b"a")]))
        await broken.wait()
        call.cancel()

    agent._send_logs = send_and_vanish  # type: ignore[method-assign]
    reading = scheduler.cluster.ReadLogs(pb.ReadLogsRequest(task=task, follow=True))
    assert [event.message for event in (await next_of(reading)).events] == [b"a"]
    broken.set()
    async with asyncio.timeout(5):
        error = await refused(reading.read())
    assert error.code == "UNAVAILABLE"


async def test_an_agent_that_sends_for_ever_ends_when_nobody_reads(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    task = await one_task(scheduler)
    ended = asyncio.Event()

    async def send_for_ever(request: agent_pb2.LogRequest) -> None:
        async def chunks() -> AsyncIterator[agent_pb2.LogChunk]:
            yield agent_pb2.LogChunk(request_id=request.request_id)
            while True:
                yield agent_pb2.LogChunk(events=[pb.LogEvent(message=b"x" * 1000)])

        await agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", INSTANCE)).SendLogs(chunks())
        ended.set()

    agent._send_logs = send_for_ever  # type: ignore[method-assign]
    reading = scheduler.cluster.ReadLogs(pb.ReadLogsRequest(task=task, follow=True))
    await reading.read()
    reading.cancel()
    async with asyncio.timeout(5):
        await ended.wait()


async def test_logs_nobody_asked_for(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    call = agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", INSTANCE)).SendLogs()
    await call.write(agent_pb2.LogChunk(request_id="guessed"))
    error = await refused(call)
    assert error.code == "NOT_FOUND"


async def test_more_at_once_than_may_wait_for_a_reader(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    agent.logs = [pb.LogEvent(container="app", message=b"x" * 2_000_000)]
    call = scheduler.cluster.ReadLogs(pb.ReadLogsRequest(task=await one_task(scheduler)))
    error = await refused(call.read())
    assert error.code == "UNAVAILABLE"


async def test_a_task_has_one_name(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    """Signs, capitals and digits of other scripts do not name it."""
    name = (await one_task(scheduler))[-32:]
    for alias in (name[:24] + "+" + name[25:], name[:24] + "-" + name[25:], name[:-1] + "\uff10", name.upper() + " "):
        call = scheduler.cluster.ReadLogs(pb.ReadLogsRequest(task=alias))
        assert (await refused(call.read())).code == "NOT_FOUND"


async def test_of_a_task_that_never_started_the_reason(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    def fails(assignment: agent_pb2.Assignment) -> list[agent_pb2.TaskReport]:
        reason = "CannotPullContainerError: no such image"
        return [
            agent_pb2.TaskReport(
                task_id=assignment.task_id,
                last_status="STOPPED",
                stop_code="TaskFailedToStart",
                stopped_reason=reason,
            )
        ]

    agent.life = fails
    task = await one_task(scheduler)
    await agent.until(lambda: agent.acknowledged > 0)
    error = await refused(scheduler.cluster.ReadLogs(pb.ReadLogsRequest(task=task)).read())
    assert error.code == "NOT_FOUND"
    assert "CannotPullContainerError: no such image" in error.message
