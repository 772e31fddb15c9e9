"""ExplainPlacement and the reasons of tasks that wait, through the running server."""

from typing import Any

import grpc
import pytest
from shoal.v1 import placement_pb2 as pb
from shoal.v1 import task_definition_pb2, task_pb2

from tests.api.conftest import INSTANCE
from tests.api.refusals import PARAMETER, is_refused, refused_with
from tests.api.requests import definition, register, run
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler

Constraint, Strategy = task_pb2.PlacementConstraint, task_pb2.PlacementStrategy


def sized(family: str, **container: Any) -> task_definition_pb2.RegisterTaskDefinitionRequest:
    made = definition(family)
    made.container_definitions[0].MergeFrom(task_definition_pb2.ContainerDefinition(**container))
    return made


async def explained(scheduler: Scheduler, **request: Any) -> pb.ExplainPlacementResponse:
    before = scheduler.stored()
    answer: pb.ExplainPlacementResponse = await scheduler.cluster.ExplainPlacement(
        pb.ExplainPlacementRequest(**request)
    )
    assert scheduler.stored() == before
    assert scheduler.over_committed() == []
    return answer


async def test_where_they_would_go_and_why(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    request = task_pb2.RunTaskRequest(
        task_definition="web", count=3, placement_strategy=[Strategy(type="binpack", field="MEMORY")]
    )
    for _ in range(2):
        answer = await explained(scheduler, run_task=request)
        assert answer.reason == f"All 3 tasks would be placed, on host-{INSTANCE[:8]}."
        assert (answer.instance_count, answer.task_count, answer.placed_count) == (1, 3, 3)
        (placement,) = answer.placements
        assert placement.container_instance_arn.endswith(INSTANCE)
        assert (placement.task_count, placement.fitting_count, placement.equal_count) == (3, 1, 1)
        (rank,) = placement.strategies
        assert (rank.type, rank.field, rank.equal_count) == ("binpack", "memory", 1)
        assert rank.value == f"{16384 - 32} MiB of memory left after it"
        assert not answer.refusals
        assert not answer.HasField("one_more_instance")


async def test_a_definition_that_is_not_registered(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    big = sized("big", memory=20_000, cpu=5000)
    answer = await explained(scheduler, task_definition=big)
    assert answer.reason.startswith("It would not be placed: RESOURCE:CPU on 1 instance; the nearest, host-1f1f1f1f")
    assert answer.reason.endswith("lacks 904 cpu units and 3616 MiB of memory.")
    assert [(each.reason, each.instance_count) for each in answer.refusals] == [("RESOURCE:CPU", 1)]
    (near,) = answer.nearest
    assert [(each.field, each.wanted, each.has, each.missing) for each in near.shortfalls] == [
        ("cpu", "5000", "4096", 904),
        ("memory", "20000", "16384", 3616),
    ]
    changes = answer.smallest_change.changes
    assert [(each.field, each.before, each.after) for each in changes] == [
        ("cpu", "5000", "4096"),
        ("memory", "20000", "16384"),
    ]
    more = answer.one_more_instance
    assert {each.name: each.integer_value for each in more.resources} == {"CPU": 5000, "MEMORY": 20_000}
    assert not more.like_container_instance_arn
    some = await explained(
        scheduler, task_definition=sized("web", cpu=2000), run_task=task_pb2.RunTaskRequest(count=5, queue=True)
    )
    assert (some.placed_count, some.task_count) == (2, 5)
    assert "; the others would wait: RESOURCE:CPU on 1 instance; " in some.reason
    assert some.one_more_instance.like_container_instance_arn.endswith(INSTANCE)
    assert not (
        await scheduler.cluster.ListTaskDefinitions(task_definition_pb2.ListTaskDefinitionsRequest())
    ).ListFields()


async def test_the_suggested_change_is_one_that_registers(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    """A task's own cpu cannot be below 128, nor memory below what the engine takes."""
    await register(scheduler, "full", cpu="4000", memory="16380")
    await run(scheduler, task_definition="full")
    await agent.until(lambda: agent.acknowledged == 1)
    answer = await explained(scheduler, task_definition=definition("web", cpu="256"))
    assert answer.reason.endswith("lacks 160 cpu units and 28 MiB of memory.")
    assert not answer.HasField("smallest_change")


async def test_a_task_that_waits_says_why_and_where_it_stands(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await scheduler.cluster.RegisterTaskDefinition(sized("big", cpu=3000))
    placed, first, second = (await run(scheduler, 3, task_definition="big", queue=True)).tasks
    await agent.until(lambda: agent.acknowledged == 1)
    answer = await explained(scheduler, task=second.task_arn)
    why = "RESOURCE:CPU on 1 instance; the nearest, host-1f1f1f1f, lacks 1904 cpu units"
    assert answer.reason == why
    assert (answer.queue.position, answer.queue.waiting_count) == (2, 2)
    assert answer.queue.held_container_instance_arn.endswith(INSTANCE)
    assert answer.queue.held_for_this_task
    assert [(each.before, each.after) for each in answer.smallest_change.changes] == [("3000", "1096")]
    described = await scheduler.cluster.DescribeTasks(
        task_pb2.DescribeTasksRequest(tasks=[placed.task_arn, first.task_arn, second.task_arn])
    )
    assert [each.waiting_reason for each in described.tasks] == ["", why, why]
    await register(scheduler)
    (other,) = (await run(scheduler, queue=True)).tasks
    answer = await explained(scheduler, task=other.task_arn)
    assert answer.reason == "HELD on 1 instance; the nearest, host-1f1f1f1f, is held for another task that waits"
    assert not answer.queue.held_for_this_task
    assert len(answer.kept_away) == 1
    assert not answer.HasField("smallest_change")


async def test_a_task_that_has_an_instance_has_nothing_to_explain(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    await agent.until(lambda: agent.acknowledged == 1)
    answer = await explained(scheduler, task=task.task_arn.rsplit("/", 1)[1])
    assert answer.reason == "It is RUNNING on host-1f1f1f1f: there is nothing to explain."
    assert answer.container_instance_arn.endswith(INSTANCE)
    (waiting,) = (await run(scheduler, queue=True, placement_constraints=never())).tasks
    await scheduler.cluster.StopTask(task_pb2.StopTaskRequest(task=waiting.task_arn, reason="enough"))
    stopped = await explained(scheduler, task=waiting.task_arn)
    assert stopped.reason == "It was stopped before it was placed: enough."


def never() -> list[task_pb2.PlacementConstraint]:
    return [Constraint(type="memberOf", expression="attribute:disk == ssd")]


async def test_instances_that_are_away_are_named_and_no_change_is_suggested(scheduler: Scheduler) -> None:
    await register(scheduler)
    answer = await explained(scheduler, run_task=task_pb2.RunTaskRequest(task_definition="web"))
    assert answer.reason == "It would not be placed: the cluster has no container instances."
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE):
        pass
    await scheduler.until_disconnected(INSTANCE)
    answer = await explained(scheduler, run_task=task_pb2.RunTaskRequest(task_definition="web"))
    assert answer.reason.endswith("AGENT on 1 instance; the nearest, host-1f1f1f1f, has no agent connected.")
    assert [each.ec2_instance_id for each in answer.kept_away] == ["host-1f1f1f1f"]
    assert not answer.HasField("smallest_change")


REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "task"),
    "two things": ({"task": "x", "run_task": task_pb2.RunTaskRequest(task_definition="web")}, "task"),
    "two clusters": (
        {"cluster": "blue", "run_task": task_pb2.RunTaskRequest(cluster="green", task_definition="web")},
        "cluster",
    ),
    "no definition": ({"run_task": task_pb2.RunTaskRequest(count=2)}, "taskDefinition"),
    "a count": ({"run_task": task_pb2.RunTaskRequest(task_definition="web", count=0)}, "count"),
    "an expression": (
        {
            "run_task": task_pb2.RunTaskRequest(
                task_definition="web", placement_constraints=[Constraint(type="memberOf", expression="(")]
            )
        },
        "placementConstraints[0].expression",
    ),
    "too large": ({"run_task": task_pb2.RunTaskRequest(task_definition="web", reference_id="x" * 300_000)}, ""),
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_what_is_refused(scheduler: Scheduler, agent: SimulatedAgent, case: str) -> None:
    await register(scheduler)
    fields, path = REQUESTS[case]
    await is_refused(scheduler, "ExplainPlacement", pb.ExplainPlacementRequest(**fields), PARAMETER, path)


async def test_what_cannot_run_or_is_not_there(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    secret = definition("secret")
    secret.container_definitions[0].secrets.add(name="TOKEN", value_from="x")
    request = pb.ExplainPlacementRequest(task_definition=secret)
    await is_refused(scheduler, "ExplainPlacement", request, "ClientException", "containerDefinitions[0].secrets")
    wrong = pb.ExplainPlacementRequest(task_definition=definition("a b"))
    await is_refused(scheduler, "ExplainPlacement", wrong, "ClientException", "family")
    gone = {
        PARAMETER: pb.ExplainPlacementRequest(task="0" * 32),
        "ClientException": pb.ExplainPlacementRequest(run_task=task_pb2.RunTaskRequest(task_definition="nothing")),
        "ClusterNotFoundException": pb.ExplainPlacementRequest(cluster="nowhere", task_definition=definition()),
    }
    for reason, each in gone.items():
        await refused_with(scheduler.cluster.ExplainPlacement(each), grpc.StatusCode.NOT_FOUND, reason)
