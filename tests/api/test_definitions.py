"""Task definitions through the running server."""

import grpc
from shoal.v1 import resource_pb2
from shoal.v1 import task_definition_pb2 as pb

from tests.api.refusals import refused_with
from tests.api.requests import definition, register
from tests.fakes.scheduler import Scheduler


async def test_is_described_as_it_was_registered(scheduler: Scheduler) -> None:
    tag = resource_pb2.Tag(key="team", value="blue")
    answer = await scheduler.cluster.RegisterTaskDefinition(definition(cpu="256", tags=[tag]))
    registered = answer.task_definition
    assert (registered.family, registered.revision, registered.status) == ("web", 1, "ACTIVE")
    assert registered.cpu == "256"
    assert registered.registered_by == "shoal://default/operator/alice"
    assert list(answer.tags) == [tag]
    request = pb.DescribeTaskDefinitionRequest(task_definition="web:1", include=["TAGS"])
    described = await scheduler.cluster.DescribeTaskDefinition(request)
    assert described.task_definition == registered
    assert list(described.tags) == [tag]


async def test_numbers_go_up_and_the_latest_active_one_is_meant(scheduler: Scheduler) -> None:
    first, second = await register(scheduler), await register(scheduler)
    assert (first[-6:], second[-6:]) == ("/web:1", "/web:2")
    gone = await scheduler.cluster.DeregisterTaskDefinition(pb.DeregisterTaskDefinitionRequest(task_definition=second))
    assert gone.task_definition.status == "INACTIVE"
    latest = await scheduler.cluster.DescribeTaskDefinition(pb.DescribeTaskDefinitionRequest(task_definition="web"))
    assert latest.task_definition.task_definition_arn == first


async def test_lists_by_status_in_pages(scheduler: Scheduler) -> None:
    arns = [await register(scheduler, family) for family in ("a", "b", "c")]
    await scheduler.cluster.DeregisterTaskDefinition(pb.DeregisterTaskDefinitionRequest(task_definition=arns[0]))
    first = await scheduler.cluster.ListTaskDefinitions(pb.ListTaskDefinitionsRequest(max_results=1))
    assert list(first.task_definition_arns) == [arns[1]]
    rest = await scheduler.cluster.ListTaskDefinitions(
        pb.ListTaskDefinitionsRequest(max_results=1, next_token=first.next_token)
    )
    assert (list(rest.task_definition_arns), rest.next_token) == ([arns[2]], "")
    descending = await scheduler.cluster.ListTaskDefinitions(pb.ListTaskDefinitionsRequest(sort="DESC"))
    assert list(descending.task_definition_arns) == [arns[2], arns[1]]
    inactive = await scheduler.cluster.ListTaskDefinitions(pb.ListTaskDefinitionsRequest(status="INACTIVE"))
    assert list(inactive.task_definition_arns) == [arns[0]]
    families = await scheduler.cluster.ListTaskDefinitionFamilies(pb.ListTaskDefinitionFamiliesRequest(status="ACTIVE"))
    assert list(families.families) == ["b", "c"]


async def test_only_an_inactive_one_can_be_deleted(scheduler: Scheduler) -> None:
    arn = await register(scheduler)
    request = pb.DeleteTaskDefinitionsRequest(task_definitions=[arn, "web:9"])
    early = await scheduler.cluster.DeleteTaskDefinitions(request)
    assert [failure.reason for failure in early.failures] == ["ACTIVE", "MISSING"]
    await scheduler.cluster.DeregisterTaskDefinition(pb.DeregisterTaskDefinitionRequest(task_definition=arn))
    deleted = await scheduler.cluster.DeleteTaskDefinitions(pb.DeleteTaskDefinitionsRequest(task_definitions=[arn]))
    assert [each.status for each in deleted.task_definitions] == ["DELETE_IN_PROGRESS"]
    assert (await register(scheduler))[-6:] == "/web:2"


async def test_what_is_not_there_is_not_found(scheduler: Scheduler) -> None:
    for name in ("web", "web:1", "web:999999999"):
        call = scheduler.cluster.DescribeTaskDefinition(pb.DescribeTaskDefinitionRequest(task_definition=name))
        await refused_with(call, grpc.StatusCode.NOT_FOUND, "ClientException")
