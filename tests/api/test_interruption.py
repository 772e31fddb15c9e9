"""Hosts that go at a known time, through the running server: what operators and agents say, and what agents hear."""

from functools import partial
from typing import Any

import pytest
from shoal import arn
from shoal.v1 import agent_pb2, container_instance_pb2, task_pb2

from tests.api.conftest import INSTANCE
from tests.api.refusals import refused
from tests.api.requests import register
from tests.api.sessions import FOREIGN, RawSession
from tests.fakes.agent import SimulatedAgent, hello
from tests.fakes.scheduler import Scheduler
from tests.ground.waiting import wait_until

SECOND = "3d" * 16


async def run(scheduler: Scheduler, **more: Any) -> str:
    """The id of a task."""
    (task,) = (await scheduler.cluster.RunTask(task_pb2.RunTaskRequest(task_definition="web", **more))).tasks
    return arn.short(task.task_arn)


async def described(scheduler: Scheduler, task: str) -> task_pb2.Task:
    return (await scheduler.cluster.DescribeTasks(task_pb2.DescribeTasksRequest(tasks=[task]))).tasks[0]


async def until(scheduler: Scheduler, task: str, status: str) -> task_pb2.Task:
    return await wait_until(partial(described, scheduler, task), lambda found: found.last_status == status)


async def instance(scheduler: Scheduler, name: str = FOREIGN) -> container_instance_pb2.ContainerInstance:
    request = container_instance_pb2.DescribeContainerInstancesRequest(container_instances=[name])
    return (await scheduler.cluster.DescribeContainerInstances(request)).container_instances[0]


async def update(scheduler: Scheduler, name: str, status: str = "DRAINING", **more: Any) -> None:
    request = container_instance_pb2.UpdateContainerInstancesStateRequest
    await scheduler.cluster.UpdateContainerInstancesState(request(container_instances=[name], status=status, **more))


def said(millis: int, reason: str = "the file /run/notice") -> agent_pb2.AgentMessage:
    return agent_pb2.AgentMessage(interruption=agent_pb2.HostInterruption(remaining_millis=millis, reason=reason))


async def heard(session: RawSession) -> agent_pb2.HostInterruption:
    """The next thing it hears of an interruption."""
    while (message := await session.call.read()).WhichOneof("kind") != "interruption":
        pass
    found: agent_pb2.HostInterruption = message.interruption
    return found


async def test_what_an_operator_interrupts_ends_and_goes_on_elsewhere(
    scheduler: Scheduler, agent: SimulatedAgent
) -> None:
    await register(scheduler)
    plain, kept = await run(scheduler), await run(scheduler, on_disconnect="keep")
    await until(scheduler, kept, "RUNNING")
    await update(scheduler, INSTANCE, interruption_seconds=120, reason="sold")
    ended = [await until(scheduler, task, "STOPPED") for task in (plain, kept)]
    assert {task.stop_code for task in ended} == {"TerminationNotice"}
    assert f"{INSTANCE} (host-1f1f1f1f) is interrupted by an operator: it goes at 20" in ended[0].stopped_reason
    assert ended[0].stopped_reason.endswith("(sold)")
    assert not ended[0].replaced_by
    assert (await described(scheduler, ended[1].replaced_by)).last_status == "PROVISIONING"
    found = await instance(scheduler, INSTANCE)
    assert (found.status, found.interruption.source, found.interruption.reason) == ("DRAINING", "operator", "sold")
    assert found.interruption.deadline == found.interruption.noticed_at + 120_000
    async with SimulatedAgent(scheduler.channel("agent", SECOND), SECOND):
        heir = await until(scheduler, ended[1].replaced_by, "RUNNING")
    assert arn.short(heir.container_instance_arn) == SECOND
    await update(scheduler, INSTANCE, "ACTIVE")
    assert not (await instance(scheduler, INSTANCE)).HasField("interruption")


async def test_an_agent_is_told_when_it_is_interrupted_and_when_no_more(scheduler: Scheduler) -> None:
    session = await RawSession(scheduler).opened()
    await update(scheduler, FOREIGN, interruption_seconds=100)
    told = await heard(session)
    assert told.stop_code == "TerminationNotice"
    assert 90_000 < told.remaining_millis <= 100_000
    assert "is interrupted by an operator" in told.reason
    await update(scheduler, FOREIGN, interruption_seconds=50)
    assert 40_000 < (await heard(session)).remaining_millis <= 50_000
    await update(scheduler, FOREIGN, "ACTIVE")
    assert not (await heard(session)).HasField("remaining_millis")


async def test_a_notice_is_answered_once_it_is_recorded_and_also_if_it_is_no_news(scheduler: Scheduler) -> None:
    session = await RawSession(scheduler).opened()
    for _ in range(2):
        await session.say(said(60_000))
        told = await heard(session)
        assert (told.stop_code, 50_000 < told.remaining_millis <= 60_000) == ("SpotInterruption", True)
        found = await instance(scheduler)
        assert (found.status, found.interruption.source) == ("DRAINING", "notice")
        assert found.interruption.reason == "the file /run/notice"


async def test_a_notice_in_the_hello_is_acknowledged_by_the_welcome(scheduler: Scheduler) -> None:
    session = RawSession(scheduler)
    first = hello(FOREIGN)
    first.hello.interruption.CopyFrom(said(60_000).interruption)
    await session.say(first, agent_pb2.AgentMessage(inventory=agent_pb2.Inventory()))
    welcome = (await session.call.read()).welcome
    assert welcome.interruption.stop_code == "SpotInterruption"
    assert 50_000 < welcome.interruption.remaining_millis <= 60_000
    # Who takes it back after that welcome is heard as well.
    await update(scheduler, FOREIGN, "ACTIVE")
    assert not (await heard(session)).HasField("remaining_millis")


@pytest.mark.parametrize("millis", [-1, 10**12])
async def test_a_notice_of_no_time_ends_the_session(scheduler: Scheduler, millis: int) -> None:
    session = await RawSession(scheduler).opened()
    await session.say(said(millis))
    error = await refused(session.end())
    assert "interruption.remainingMillis" in error.message
    assert not (await instance(scheduler)).HasField("interruption")
