"""Tasks through the running server, with a simulated agent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from shoal.v1 import agent_pb2, resource_pb2
from shoal.v1 import task_pb2 as pb

from tests.api.conftest import INSTANCE
from tests.api.refusals import refused_with
from tests.api.requests import register, run
from tests.fakes.agent import SimulatedAgent, exits_with
from tests.fakes.scheduler import Scheduler


def ids_of(answer: pb.RunTaskResponse) -> list[str]:
    return [f"{each.prefix}{n:08x}" for each in answer.task_id_ranges for n in range(each.first, each.last + 1)]


async def described(scheduler: Scheduler, *tasks: str) -> pb.DescribeTasksResponse:
    request = pb.DescribeTasksRequest(tasks=tasks, include=["TAGS", "TRACE"])
    answer: pb.DescribeTasksResponse = await scheduler.cluster.DescribeTasks(request)
    return answer


async def listed(scheduler: Scheduler, **filters: Any) -> set[str]:
    answer = await scheduler.cluster.ListTasks(pb.ListTasksRequest(**filters))
    return {arn.rsplit("/", 1)[1] for arn in answer.task_arns}


async def test_one_runs_and_is_stopped(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    (task,) = (await run(scheduler, started_by="me", tags=[resource_pb2.Tag(key="a", value="b")])).tasks
    assert (task.last_status, task.desired_status, task.started_by) == ("PENDING", "RUNNING", "me")
    task_id = task.task_arn.rsplit("/", 1)[1]
    await agent.until(lambda: agent.acknowledged == 1)
    (running,) = (await described(scheduler, task_id)).tasks
    assert (running.last_status, running.connectivity) == ("RUNNING", "CONNECTED")
    assert running.container_instance_arn.endswith(INSTANCE)
    assert [tag.key for tag in running.tags] == ["a"]
    assert running.trace
    request = pb.StopTaskRequest(task=task_id, reason="enough")
    stopping = (await scheduler.cluster.StopTask(request)).task
    assert (stopping.desired_status, stopping.stop_code) == ("STOPPED", "UserInitiated")
    await agent.until(lambda: agent.acknowledged == 2)
    (stopped,) = (await described(scheduler, task.task_arn)).tasks
    assert (stopped.last_status, stopped.stopped_reason) == ("STOPPED", "enough")


async def test_an_exit_code_arrives(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    agent.life = exits_with(7)
    await register(scheduler)
    (task_id,) = ids_of(await run(scheduler))
    await agent.until(lambda: agent.acknowledged == 2)
    (task,) = (await described(scheduler, task_id)).tasks
    assert (task.last_status, task.stop_code) == ("STOPPED", "EssentialContainerExited")
    assert [container.exit_code for container in task.containers] == [7]


async def test_a_task_with_a_network_of_its_own_shows_its_address(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    def life(assignment: agent_pb2.Assignment) -> list[agent_pb2.TaskReport]:
        interface = pb.NetworkInterface(private_ipv4_address="172.17.0.5")
        container = pb.Container(name="app", last_status="RUNNING", network_interfaces=[interface])
        return [agent_pb2.TaskReport(task_id=assignment.task_id, last_status="RUNNING", containers=[container])]

    agent.life = life
    await register(scheduler)
    (task,) = ids_of(await run(scheduler))
    await agent.until(lambda: agent.tasks == {task: "RUNNING"})
    (seen,) = (await described(scheduler, task)).tasks
    (attachment,) = seen.attachments
    assert (attachment.type, attachment.status) == ("ElasticNetworkInterface", "ATTACHED")
    assert {it.name: it.value for it in attachment.details} == {"privateIPv4Address": "172.17.0.5"}
    (interface,) = seen.containers[0].network_interfaces
    assert interface.private_ipv4_address == "172.17.0.5" and interface.attachment_id == attachment.id
    await scheduler.cluster.StopTask(pb.StopTaskRequest(task=task))
    await agent.until(lambda: agent.tasks == {task: "STOPPED"})
    (over,) = (await described(scheduler, task)).tasks
    assert [it.status for it in over.attachments] == ["DELETED"]


async def test_many_at_once_are_named_as_a_range(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    answer = await run(scheduler, 250)
    ids = ids_of(answer)
    assert (len(answer.tasks), len(ids), len(set(ids))) == (100, 250, 250)
    await agent.until(lambda: agent.tasks == dict.fromkeys(ids, "RUNNING"))
    assert scheduler.over_committed() == []
    more = await run(scheduler, 10)
    assert len(ids_of(more)) == 6
    assert [failure.reason for failure in more.failures] == ["RESOURCE:CPU"] * 4


async def test_a_client_token_is_good_for_one_request(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    first, again = await asyncio.gather(*(run(scheduler, 3, client_token="t") for _ in range(2)))
    assert ids_of(first) == ids_of(again)
    assert len(ids_of(await run(scheduler, 3, client_token="u"))) == 3
    call = run(scheduler, 4, client_token="t")
    await refused_with(call, grpc.StatusCode.ALREADY_EXISTS, "ConflictException")
    assert len(await listed(scheduler)) == 6


async def test_a_refused_submission_does_not_end_a_stream(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)

    async def submissions() -> AsyncIterator[pb.RunTasksRequest]:
        for sequence, name in enumerate(("web", "nothing", "web")):
            yield pb.RunTasksRequest(sequence=sequence, request=pb.RunTaskRequest(task_definition=name))
        yield pb.RunTasksRequest(sequence=3)

    answers = {answer.sequence: answer async for answer in scheduler.cluster.RunTasks(submissions())}
    assert {n: answer.error.code for n, answer in answers.items()} == {0: 0, 1: 5, 2: 0, 3: 3}
    assert len(answers[0].response.tasks) == len(answers[2].response.tasks) == 1
    assert answers[3].error.message.startswith("taskDefinition")


async def test_start_places_where_it_is_told(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    request = pb.StartTaskRequest(task_definition="web", container_instances=[INSTANCE, "f" * 32])
    answer = await scheduler.cluster.StartTask(request)
    assert [task.container_instance_arn[-32:] for task in answer.tasks] == [INSTANCE]
    assert [(failure.arn, failure.reason) for failure in answer.failures] == [("f" * 32, "MISSING")]
    await agent.until(lambda: list(agent.tasks.values()) == ["RUNNING"])


async def test_lists_by_every_filter(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    await register(scheduler, "db")
    web = set(ids_of(await run(scheduler, 2, started_by="me")))
    db = set(ids_of(await run(scheduler, 1, task_definition="db", group="service:db")))
    await agent.until(lambda: len(agent.tasks) == 3)
    assert await listed(scheduler) == web | db
    assert await listed(scheduler, family="web") == web
    assert await listed(scheduler, started_by="me") == web
    assert await listed(scheduler, group="service:db") == db
    assert await listed(scheduler, container_instance=INSTANCE, launch_type="EC2") == web | db
    assert await listed(scheduler, service_name="none") == set()
    await scheduler.cluster.StopTask(pb.StopTaskRequest(task=next(iter(db))))
    assert await listed(scheduler, desired_status="STOPPED") == db
    assert await listed(scheduler) == web


async def test_pages_hold_every_task_once(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    ids = ids_of(await run(scheduler, 25))
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListTasksRequest(max_results=10, next_token=token or None)
        page = await scheduler.cluster.ListTasks(request)
        seen += [arn.rsplit("/", 1)[1] for arn in page.task_arns]
        token = page.next_token
        if not token:
            break
    assert sorted(seen) == ids


async def test_what_is_not_there_is_missing(scheduler: Scheduler) -> None:
    answer = await described(scheduler, "0" * 32, "x", "arn:x")
    assert [failure.reason for failure in answer.failures] == ["MISSING"] * 3
    call = scheduler.cluster.StopTask(pb.StopTaskRequest(task="0" * 32))
    await refused_with(call, grpc.StatusCode.NOT_FOUND, "InvalidParameterException")


async def test_without_instances_nothing_is_left_behind(scheduler: Scheduler) -> None:
    await register(scheduler)
    before = scheduler.stored()
    answer = await run(scheduler, 2, client_token="t")
    assert [failure.reason for failure in answer.failures] == ["INSTANCE:NONE"] * 2
    assert scheduler.stored() == before
