"""Watch and ListEvents through the running server."""

import asyncio
from typing import Any

import grpc
from shoal.v1 import event_pb2 as pb
from shoal.v1 import job_pb2, task_pb2

from tests.api.batch import Batch
from tests.api.refusals import refused, refused_with
from tests.api.requests import register, run
from tests.api.services import Services
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler


async def read_until(call: Any, wanted: int) -> list[pb.Event]:
    """The events of a watch, up to so many."""
    events: list[pb.Event] = []
    while len(events) < wanted:
        events += (await call.read()).events
    return events


async def test_from_now_on(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    call = scheduler.cluster.Watch(pb.WatchRequest())
    assert await call.read() == pb.WatchResponse(revision=scheduler.plane.tables.revision)
    (task,) = (await run(scheduler)).tasks
    events = await read_until(call, 2)
    assert [event.task.last_status for event in events] == ["PENDING", "RUNNING"]
    assert {event.task.task_arn for event in events} == {task.task_arn}
    assert {event.detail_type for event in events} == {"ECS Task State Change"}
    assert events[0].revision < events[1].revision


async def test_from_a_revision_of_some_tasks_only(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    start = scheduler.plane.tables.revision
    await run(scheduler)
    (task,) = (await run(scheduler)).tasks
    await agent.until(lambda: len(agent.tasks) == 2)
    call = scheduler.cluster.Watch(pb.WatchRequest(after_revision=start, tasks=[task.task_arn]))
    assert await call.read() == pb.WatchResponse(revision=start)
    events = await read_until(call, 2)
    assert {event.task.task_arn for event in events} == {task.task_arn}


async def test_sees_instances_come(scheduler: Scheduler) -> None:
    call = scheduler.cluster.Watch(pb.WatchRequest())
    await call.read()
    instance = "3d" * 16
    async with SimulatedAgent(scheduler.channel("agent", instance), instance):
        (event,) = await read_until(call, 1)
    assert event.detail_type == "ECS Container Instance State Change"
    assert event.container_instance.container_instance_arn.endswith(instance)


async def test_sees_jobs_end(scheduler: Scheduler) -> None:
    batch = Batch(scheduler)
    await batch.prepare()
    first = await batch.submit()
    second = await batch.submit(dependsOn=[{"jobId": first}])
    call = scheduler.cluster.Watch(pb.WatchRequest())
    await call.read()
    await batch.stub.CancelJob(job_pb2.CancelJobRequest(job_id=first, reason="not needed"))
    events = await read_until(call, 3)
    assert {event.detail_type for event in events} == {"Batch Job State Change"}
    assert [event.job.job_id for event in events] == [first, first, second]
    assert [event.message for event in events] == [
        "job one is to end (CANCEL): not needed",
        "job one FAILED: not needed",
        "job one FAILED: Dependent Job failed",
    ]
    listed = await scheduler.cluster.ListEvents(pb.ListEventsRequest())
    assert [event.message for event in listed.events][-1] == events[-1].message


async def test_sees_what_services_say(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    services = Services(scheduler)
    await services.register()
    call = scheduler.cluster.Watch(pb.WatchRequest())
    await call.read()
    await services.create()
    said = await services.until(lambda it: it["runningCount"] == 2)
    (told,) = said["events"]
    events = await read_until(call, 5)
    (event,) = [each for each in events if each.detail_type == "ECS Service Action"]
    assert (event.message, event.service_action.id) == (told["message"], told["id"])
    assert event.service_action.service_arn == said["serviceArn"]
    listed = await scheduler.cluster.ListEvents(pb.ListEventsRequest())
    assert event in listed.events


async def test_a_history_that_is_gone_is_out_of_range(scheduler: Scheduler) -> None:
    for revision in (0, -1, -(2**63), scheduler.plane.tables.revision + 1, 2**63 - 1):
        call = scheduler.cluster.Watch(pb.WatchRequest(after_revision=revision)).read()
        error = await refused(call)
        assert error.code == "OUT_OF_RANGE"
        assert "list" in error.message.lower()


async def test_the_newest_history_in_pages(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    await agent.until(lambda: len(agent.tasks) == 1 and agent.acknowledged == 1)
    everything = await scheduler.cluster.ListEvents(pb.ListEventsRequest())
    assert len(everything.events) == 3
    page = await scheduler.cluster.ListEvents(pb.ListEventsRequest(max_results=2))
    rest = await scheduler.cluster.ListEvents(pb.ListEventsRequest(max_results=2, next_token=page.next_token))
    assert [*page.events, *rest.events] == list(everything.events)
    of_task = await scheduler.cluster.ListEvents(pb.ListEventsRequest(tasks=[task.task_arn]))
    assert [event.task.last_status for event in of_task.events] == ["PENDING", "RUNNING"]


async def test_a_cancelled_watch_leaves_nothing_behind(scheduler: Scheduler) -> None:
    """Neither a task of the event loop nor anybody who waits for events."""
    before = len(asyncio.all_tasks())
    calls = [scheduler.cluster.Watch(pb.WatchRequest()) for _ in range(50)]
    for call in calls:
        await call.read()
    assert len(asyncio.all_tasks()) > before
    for call in calls:
        call.cancel()
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > before:
            await scheduler.cluster.ListEvents(pb.ListEventsRequest())


async def test_of_a_cluster_that_is_not_there(scheduler: Scheduler) -> None:
    call = scheduler.cluster.ListEvents(pb.ListEventsRequest(cluster="green"))
    await refused_with(call, grpc.StatusCode.NOT_FOUND, "ClusterNotFoundException")


async def test_ends_as_unavailable_when_the_lead_is_lost(scheduler: Scheduler) -> None:
    call = scheduler.cluster.Watch(pb.WatchRequest())
    await call.read()
    scheduler.gate.close()
    scheduler.plane.close()
    error = await refused(call.read())
    assert error.code == "UNAVAILABLE"
    error = await refused(scheduler.cluster.ListTasks(task_pb2.ListTasksRequest()))
    assert error.code == "UNAVAILABLE"
