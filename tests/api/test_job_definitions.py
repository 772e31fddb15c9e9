"""Job definitions through the running server."""

import asyncio
from typing import Any

import pytest
from shoal import arn, awsjson
from shoal.v1 import batch_pb2_grpc, cluster_pb2, task_definition_pb2, task_pb2
from shoal.v1 import job_definition_pb2 as definitions
from shoal.v1 import job_pb2 as jobs

from tests.api.batch_requests import CLIENT, DOCUMENT, PRECONDITION, SIZES, definition, prepare
from tests.api.refusals import CPU_SECONDS_MAX, INVALID, costs_less, lives, refused_with
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler


@pytest.fixture
def batch(scheduler: Scheduler) -> Any:
    return batch_pb2_grpc.BatchStub(scheduler.channel())


async def describe(batch: Any, **asked: Any) -> definitions.DescribeJobDefinitionsResponse:
    answer = await batch.DescribeJobDefinitions(definitions.DescribeJobDefinitionsRequest(**asked))
    assert isinstance(answer, definitions.DescribeJobDefinitionsResponse)
    return answer


def names(answer: definitions.DescribeJobDefinitionsResponse) -> list[str]:
    return [f"{each.job_definition_name}:{each.revision}" for each in answer.job_definitions]


async def test_a_job_definition_is_described_as_it_was_registered(batch: Any) -> None:
    answer = await batch.RegisterJobDefinition(definition())
    assert (answer.job_definition_name, answer.revision) == ("flip", 1)
    assert answer.job_definition_arn == arn.job_definition_arn("flip", 1)
    assert list(answer.warnings) == []
    (described,) = (await describe(batch, job_definitions=[answer.job_definition_arn])).job_definitions
    document = awsjson.to_document(described)
    added = {
        "jobDefinitionArn": answer.job_definition_arn,
        "revision": 1,
        "status": "ACTIVE",
        "containerOrchestrationType": "ECS",
    }
    assert document == {**DOCUMENT, **added}
    again, warnings = awsjson.to_message(document, definitions.RegisterJobDefinitionRequest)
    assert warnings == []
    assert (await batch.RegisterJobDefinition(again)).revision == 2


async def test_job_definitions_are_described_by_name_status_and_page(batch: Any) -> None:
    for name in ("a", "b", "b", "c"):
        await batch.RegisterJobDefinition(definition(jobDefinitionName=name))
    await batch.DeregisterJobDefinition(definitions.DeregisterJobDefinitionRequest(job_definition="b:1"))
    assert names(await describe(batch)) == ["a:1", "b:1", "b:2", "c:1"]
    assert names(await describe(batch, job_definition_name="b")) == ["b:1", "b:2"]
    assert names(await describe(batch, status="INACTIVE")) == ["b:1"]
    assert names(await describe(batch, job_definition_name="b", status="ACTIVE")) == ["b:2"]
    assert names(await describe(batch, job_definitions=["b", "c:1", "c:2", "d:1"])) == ["b:1", "b:2", "c:1"]
    first = await describe(batch, max_results=3)
    assert names(first) == ["a:1", "b:1", "b:2"]
    rest = await describe(batch, max_results=3, next_token=first.next_token)
    assert (names(rest), rest.next_token) == (["c:1"], "")
    both = definitions.DescribeJobDefinitionsRequest(job_definitions=["b"], status="ACTIVE")
    await refused_with(batch.DescribeJobDefinitions(both), INVALID, CLIENT, "jobDefinitions")
    unknown = definitions.DescribeJobDefinitionsRequest(status="ALL")
    await refused_with(batch.DescribeJobDefinitions(unknown), INVALID, CLIENT, "status")


async def test_what_a_job_runs_is_no_task_definition_to_be_listed_or_run(scheduler: Scheduler, batch: Any) -> None:
    await batch.RegisterJobDefinition(definition())
    pb = task_definition_pb2
    every = await scheduler.cluster.ListTaskDefinitions(pb.ListTaskDefinitionsRequest())
    families = await scheduler.cluster.ListTaskDefinitionFamilies(pb.ListTaskDefinitionFamiliesRequest())
    assert (list(every.task_definition_arns), list(families.families)) == ([], [])
    asked = await scheduler.cluster.ListTaskDefinitions(pb.ListTaskDefinitionsRequest(family_prefix="batch:flip"))
    assert list(asked.task_definition_arns) == [arn.task_definition_arn("batch:flip", 1)]
    of_jobs = pb.ListTaskDefinitionFamiliesRequest(family_prefix="batch:")
    assert list((await scheduler.cluster.ListTaskDefinitionFamilies(of_jobs)).families) == ["batch:flip"]
    request = pb.DescribeTaskDefinitionRequest(task_definition=asked.task_definition_arns[0])
    described = (await scheduler.cluster.DescribeTaskDefinition(request)).task_definition
    (container,) = described.container_definitions
    assert (container.name, container.cpu, container.memory, container.user) == ("default", 1024, 64, "nobody")
    run = scheduler.cluster.RunTask(task_pb2.RunTaskRequest(task_definition="batch:flip:1"))
    await refused_with(run, PRECONDITION, CLIENT)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"jobDefinitionName": "a b"}, "jobDefinitionName"),
    ({"type": "multinode"}, "type"),
    ({"nodeProperties": {}}, "nodeProperties"),
    ({"eksProperties": {}}, "eksProperties"),
    ({"schedulingPriority": 2**31 - 1}, "schedulingPriority"),
    ({"retryStrategy": {"attempts": 11}}, "retryStrategy.attempts"),
    ({"tags": {"aws:a": "b"}}, 'tags["aws:a"]'),
    ({"timeout": {"attemptDurationSeconds": 59}}, "timeout.attemptDurationSeconds"),
    (
        {"containerProperties": {"image": "flip", "resourceRequirements": SIZES, "environment": [{"name": "A=B"}]}},
        "containerProperties.environment[0].name",
    ),
    (
        {"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onReason": "*" * 600 + "a", "action": "EXIT"}]}},
        "retryStrategy.evaluateOnExit[0].onReason",
    ),
    ({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onReason": "x" * 100_000, "action": "EXIT"}]}}, ""),
    ({"parameters": {"in": "x" * 25_000}}, ""),
]


@pytest.mark.parametrize(("more", "field"), BAD, ids=range(len(BAD)))
async def test_a_bad_job_definition_leaves_nothing_behind(
    scheduler: Scheduler, batch: Any, more: dict[str, Any], field: str
) -> None:
    before = scheduler.stored()
    request = definition(**more)
    await costs_less(
        CPU_SECONDS_MAX,
        lambda: refused_with(batch.RegisterJobDefinition(request), INVALID, CLIENT, field),
    )
    assert scheduler.stored() == before
    await lives(scheduler)


@pytest.mark.parametrize("enabled", [True, False])
async def test_commands_may_be_executed_in_a_job_if_its_definition_says_so(
    scheduler: Scheduler, agent: SimulatedAgent, batch: Any, enabled: bool
) -> None:
    await prepare(batch)
    container = {**DOCUMENT["containerProperties"], "enableExecuteCommand": enabled}
    await batch.RegisterJobDefinition(definition(containerProperties=container))
    job = (await batch.SubmitJob(jobs.SubmitJobRequest(job_name="a", job_queue="main", job_definition="flip"))).job_id
    async with asyncio.timeout(30):
        while not (known := scheduler.plane.tables.batch.jobs[job]).launches:
            await scheduler.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
    (launch,) = known.launches
    assert scheduler.plane.tables.launches[launch].launch.enable_execute_command is enabled
