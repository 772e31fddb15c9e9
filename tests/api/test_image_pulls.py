"""PullImage through the running server and simulated agents."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from shoal.v1 import agent_pb2_grpc
from shoal.v1 import image_pb2 as pb
from shoal_scheduler import pull_relay
from shoal_scheduler.api import image_pulls

from tests.api.conftest import INSTANCE
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler
from tests.ground.waiting import wait_until

SECOND = "2e" * 16
IMAGE = "registry.example:5000/web:1"


@pytest.fixture
async def second(scheduler: Scheduler, agent: SimulatedAgent) -> AsyncIterator[SimulatedAgent]:
    async with SimulatedAgent(scheduler.channel("agent", SECOND), SECOND, attributes={"zone": "b"}) as made:
        yield made


def short(pull: pb.ImagePull) -> str:
    return str(pull.container_instance_arn).rpartition("/")[2]


async def pulled(scheduler: Scheduler, **fields: Any) -> dict[str, list[tuple[str, str]]]:
    """By instance, each status it went through, with the reason."""
    found: dict[str, list[tuple[str, str]]] = {}
    async with asyncio.timeout(20):
        async for answer in scheduler.cluster.PullImage(pb.PullImageRequest(**{"image": IMAGE, **fields})):
            for each in answer.pulls:
                found.setdefault(short(each), []).append((each.status, each.reason))
    return found


def last(found: dict[str, list[tuple[str, str]]]) -> dict[str, tuple[str, str]]:
    return {instance: statuses[-1] for instance, statuses in found.items()}


async def test_every_instance_is_told_of_from_waiting_to_its_end(
    scheduler: Scheduler, agent: SimulatedAgent, second: SimulatedAgent
) -> None:
    second.pull_says = [pb.PullProgress(percent=40), pb.PullProgress(outcome="PRESENT")]
    found = await pulled(scheduler)
    assert last(found) == {INSTANCE: ("PULLED", ""), SECOND: ("PRESENT", "")}
    assert [statuses[0] for statuses in found.values()] == [("WAITING", "")] * 2
    assert [request.image for request in (*agent.pull_requests, *second.pull_requests)] == [IMAGE, IMAGE]


async def test_what_went_wrong_is_said_in_the_engine_s_words_and_stops_no_other(
    scheduler: Scheduler, agent: SimulatedAgent, second: SimulatedAgent
) -> None:
    error = status_pb2.Status(code=9, message="manifest for web:1 not found")
    agent.pull_says = [pb.PullProgress(error=error)]
    found = last(await pulled(scheduler, max_concurrency=1))
    assert found == {INSTANCE: ("FAILED", "manifest for web:1 not found"), SECOND: ("PULLED", "")}


async def test_instances_by_name_or_by_expression(
    scheduler: Scheduler, agent: SimulatedAgent, second: SimulatedAgent
) -> None:
    assert list(await pulled(scheduler, filter="attribute:zone == b")) == [SECOND]
    assert list(await pulled(scheduler, container_instances=[INSTANCE, INSTANCE])) == [INSTANCE]
    for fields, named in (
        ({"container_instances": ["f" * 32]}, "containerInstance"),
        ({"filter": "attribute:zone == nowhere"}, "filter"),
        ({"filter": "attribute:zone =="}, "filter"),
        ({"filter": "attribute:zone == b", "container_instances": [INSTANCE]}, "filter"),
        ({"image": "UPPER/case"}, "image"),
        ({"image": ""}, "image"),
        ({"max_concurrency": 0}, "maxConcurrency"),
        ({"max_concurrency": 65}, "maxConcurrency"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await pulled(scheduler, **fields)
        assert named in (error.value.details() or "")
    assert len(agent.pull_requests) == len(second.pull_requests) == 1


async def test_an_instance_that_is_away_fails_by_itself(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    async with SimulatedAgent(scheduler.channel("agent", SECOND), SECOND):
        pass
    await wait_until(lambda: SECOND not in scheduler.plane.tables.sessions)
    found = last(await pulled(scheduler))
    assert found == {INSTANCE: ("PULLED", ""), SECOND: ("FAILED", "its agent is not connected")}


async def test_an_older_agent_that_does_not_know_the_request_is_not_waited_for(
    scheduler: Scheduler, agent: SimulatedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_pulls, "FIRST_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(SimulatedAgent, "_send_pull", lambda self, request: asyncio.sleep(0))
    ((status, reason),) = last(await pulled(scheduler)).values()
    assert status == "FAILED" and "older" in reason


async def test_so_many_at_a_time(scheduler: Scheduler, agent: SimulatedAgent, second: SimulatedAgent) -> None:
    agent.pull_says = []
    call = scheduler.cluster.PullImage(pb.PullImageRequest(image=IMAGE, max_concurrency=1))
    heard = asyncio.create_task(_hear(call))
    await agent.until(lambda: bool(agent.pull_requests))
    assert not second.pull_requests
    assert set((await _until_known(heard, call)).values()) == {"PULLING", "WAITING"}


async def test_when_the_caller_goes_its_agents_are_told(
    scheduler: Scheduler, agent: SimulatedAgent, second: SimulatedAgent
) -> None:
    agent.pull_says = second.pull_says = []
    call = scheduler.cluster.PullImage(pb.PullImageRequest(image=IMAGE))
    await agent.until(lambda: bool(agent.pull_requests))
    await second.until(lambda: bool(second.pull_requests))
    call.cancel()
    await agent.until(lambda: agent.pulls_left == 1)
    await second.until(lambda: second.pulls_left == 1)
    assert not scheduler.plane.pulls._pulls


async def test_in_the_background_the_answers_end_when_all_have_begun(
    scheduler: Scheduler, agent: SimulatedAgent, second: SimulatedAgent
) -> None:
    agent.pull_says = []
    found = last(await pulled(scheduler, background=True))
    assert found == {INSTANCE: ("PULLING", ""), SECOND: ("PULLING", "")}
    assert all(request.background for request in (*agent.pull_requests, *second.pull_requests))


async def test_so_many_of_all_callers_together(
    scheduler: Scheduler, agent: SimulatedAgent, second: SimulatedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_relay, "PULLS_MAX", 1)
    agent.pull_says = []
    call = scheduler.cluster.PullImage(pb.PullImageRequest(image=IMAGE, container_instances=[INSTANCE]))
    await agent.until(lambda: bool(agent.pull_requests))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await pulled(scheduler, container_instances=[SECOND])
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    call.cancel()
    await agent.until(lambda: agent.pulls_left == 1)
    assert last(await pulled(scheduler, container_instances=[SECOND])) == {SECOND: ("PULLED", "")}


async def test_an_instance_that_breaks_off_has_failed(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    async with SimulatedAgent(scheduler.channel("agent", SECOND), SECOND) as other:
        other.pull_says = []
        work = asyncio.create_task(pulled(scheduler, container_instances=[SECOND]))
        await wait_until(lambda: any(pull.is_answered for pull in scheduler.plane.pulls._pulls.values()))
    ((status, reason),) = last(await work).values()
    assert status == "FAILED" and "broke off" in reason


async def test_only_the_agent_that_was_asked_may_answer(
    scheduler: Scheduler, agent: SimulatedAgent, second: SimulatedAgent
) -> None:
    agent.pull_says = []
    work = asyncio.create_task(pulled(scheduler, container_instances=[INSTANCE]))
    await agent.until(lambda: bool(agent.pull_requests))
    stub = agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", SECOND))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.SendPull(iter([pb.PullProgress(request_id=agent.pull_requests[0].request_id, outcome="PULLED")]))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _hear(call: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    with contextlib.suppress(asyncio.CancelledError):
        async for answer in call:
            found |= {short(each): each.status for each in answer.pulls}
            if "PULLING" in found.values():
                break
    return found


async def _until_known(heard: "asyncio.Task[dict[str, str]]", call: Any) -> dict[str, str]:
    async with asyncio.timeout(10):
        found = await heard
    call.cancel()
    return found
