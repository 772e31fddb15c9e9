"""Job queues, compute environments and consumable resources through the running server."""

from typing import Any

import grpc
import pytest
from shoal import arn
from shoal.v1 import batch_pb2_grpc, cluster_pb2, job_definition_pb2, resource_pb2
from shoal.v1 import job_pb2 as jobs
from shoal.v1 import job_queue_pb2 as queues

from tests.api.batch_requests import CLIENT, PRECONDITION, definition, prepare, queue_request
from tests.api.refusals import INVALID, refused_with
from tests.fakes.scheduler import Scheduler


@pytest.fixture
def batch(scheduler: Scheduler) -> Any:
    return batch_pb2_grpc.BatchStub(scheduler.channel())


async def test_a_queue_is_described_as_it_was_made_and_changed(batch: Any) -> None:
    await prepare(batch)
    limit = queues.JobStateTimeLimitAction(reason="no room", state="RUNNABLE", max_time_seconds=600, action="CANCEL")
    request = queues.UpdateJobQueueRequest(
        job_queue=arn.job_queue_arn("main"), job_state_time_limit_actions=[limit], max_concurrent=9
    )
    assert (await batch.UpdateJobQueue(request)).job_queue_arn == arn.job_queue_arn("main")
    (described,) = (await batch.DescribeJobQueues(queues.DescribeJobQueuesRequest(job_queues=["main"]))).job_queues
    assert (described.state, described.status, described.priority) == ("ENABLED", "VALID", 5)
    assert list(described.job_state_time_limit_actions) == [limit]
    assert (described.max_concurrent, described.overtaking_max) == (9, 100)
    await batch.UpdateJobQueue(queues.UpdateJobQueueRequest(job_queue="main", remove_time_limits=True))
    (later,) = (await batch.DescribeJobQueues(queues.DescribeJobQueuesRequest())).job_queues
    assert (list(later.job_state_time_limit_actions), later.max_concurrent) == ([], 9)
    (entry,) = described.compute_environment_order
    assert (entry.order, entry.compute_environment) == (1, arn.compute_environment_arn("hosts"))


async def test_environments_are_tried_in_their_order(batch: Any) -> None:
    await prepare(batch)
    for name in ("first", "second"):
        await batch.CreateComputeEnvironment(
            queues.CreateComputeEnvironmentRequest(compute_environment_name=name, type="UNMANAGED")
        )
    order = [
        queues.ComputeEnvironmentOrder(order=20, compute_environment="second"),
        queues.ComputeEnvironmentOrder(order=3, compute_environment=arn.compute_environment_arn("first")),
    ]
    await batch.CreateJobQueue(queue_request(job_queue_name="other", compute_environment_order=order))
    (described,) = (await batch.DescribeJobQueues(queues.DescribeJobQueuesRequest(job_queues=["other"]))).job_queues
    assert [arn.short(each.compute_environment) for each in described.compute_environment_order] == ["first", "second"]


async def test_queues_and_environments_come_in_pages(batch: Any) -> None:
    await prepare(batch)
    for number in range(3):
        await batch.CreateJobQueue(queue_request(job_queue_name=f"q{number}"))
    first = await batch.DescribeJobQueues(queues.DescribeJobQueuesRequest(max_results=3))
    assert [each.job_queue_name for each in first.job_queues] == ["main", "q0", "q1"]
    rest = await batch.DescribeJobQueues(queues.DescribeJobQueuesRequest(next_token=first.next_token))
    assert [each.job_queue_name for each in rest.job_queues] == ["q2"]
    some = await batch.DescribeJobQueues(queues.DescribeJobQueuesRequest(job_queues=["q1", "nobody"]))
    assert [each.job_queue_name for each in some.job_queues] == ["q1"]
    for size in (0, -1, 1001):
        call = batch.DescribeJobQueues(queues.DescribeJobQueuesRequest(max_results=size))
        await refused_with(call, INVALID, CLIENT, "maxResults")
    call = batch.DescribeComputeEnvironments(queues.DescribeComputeEnvironmentsRequest(next_token="x"))
    await refused_with(call, INVALID, CLIENT, "nextToken")


async def test_an_environment_is_described_and_says_when_its_cluster_is_gone(scheduler: Scheduler, batch: Any) -> None:
    await scheduler.cluster.CreateCluster(cluster_pb2.CreateClusterRequest(cluster_name="lab"))
    answer = await batch.CreateComputeEnvironment(
        queues.CreateComputeEnvironmentRequest(
            compute_environment_name="hosts",
            type="UNMANAGED",
            cluster=arn.cluster_arn("lab"),
            expression="attribute:rack == r1",
            unmanagedv_cpus=64,
            service_role="arn:aws:iam::1:role/x",
        )
    )
    assert [warning.field for warning in answer.warnings] == ["serviceRole"]
    request = queues.DescribeComputeEnvironmentsRequest(compute_environments=[answer.compute_environment_arn])
    (described,) = (await batch.DescribeComputeEnvironments(request)).compute_environments
    assert (described.type, described.state, described.status) == ("UNMANAGED", "ENABLED", "VALID")
    assert (described.cluster, described.expression, described.unmanagedv_cpus) == ("lab", "attribute:rack == r1", 64)
    assert described.ecs_cluster_arn == arn.cluster_arn("lab")
    await scheduler.cluster.DeleteCluster(cluster_pb2.DeleteClusterRequest(cluster="lab"))
    (described,) = (await batch.DescribeComputeEnvironments(request)).compute_environments
    assert described.status == "INVALID"
    assert "lab" in described.status_reason


REFUSED: list[tuple[str, Any, str]] = [
    ("CreateJobQueue", queue_request(job_queue_name="-"), "jobQueueName"),
    ("CreateJobQueue", queue_request(priority=-1), "priority"),
    ("CreateJobQueue", queue_request(scheduling_policy_arn="arn"), "schedulingPolicyArn"),
    ("UpdateJobQueue", queues.UpdateJobQueueRequest(), "jobQueue"),
    ("UpdateJobQueue", queues.UpdateJobQueueRequest(job_queue="main", state="ON"), "state"),
    ("DeleteJobQueue", queues.DeleteJobQueueRequest(), "jobQueue"),
    (
        "CreateComputeEnvironment",
        queues.CreateComputeEnvironmentRequest(compute_environment_name="x", type="MANAGED"),
        "type",
    ),
    (
        "CreateComputeEnvironment",
        queues.CreateComputeEnvironmentRequest(compute_environment_name="x", type="UNMANAGED", expression="a =="),
        "expression",
    ),
    (
        "UpdateComputeEnvironment",
        queues.UpdateComputeEnvironmentRequest(compute_environment="hosts", expression=")"),
        "expression",
    ),
    (
        "CreateConsumableResource",
        queues.CreateConsumableResourceRequest(consumable_resource_name="x", total_quantity=-1),
        "totalQuantity",
    ),
    (
        "UpdateConsumableResource",
        queues.UpdateConsumableResourceRequest(consumable_resource="x", operation="SET"),
        "quantity",
    ),
    (
        "ListConsumableResources",
        queues.ListConsumableResourcesRequest(filters=[queues.KeyValuesPair(name="COLOUR")]),
        "filters[0].name",
    ),
]


@pytest.mark.parametrize(("method", "request_", "field"), REFUSED, ids=range(len(REFUSED)))
async def test_what_is_refused_leaves_nothing_behind(
    scheduler: Scheduler, batch: Any, method: str, request_: Any, field: str
) -> None:
    await prepare(batch)
    before = scheduler.stored()
    await refused_with(getattr(batch, method)(request_), INVALID, CLIENT, field)
    assert scheduler.stored() == before


async def test_from_the_last_job_to_the_last_environment_all_can_be_deleted(batch: Any) -> None:
    await prepare(batch)
    disable_queue = queues.UpdateJobQueueRequest(job_queue="main", state="DISABLED")
    delete_queue = queues.DeleteJobQueueRequest(job_queue="main")
    disable = queues.UpdateComputeEnvironmentRequest(compute_environment="hosts", state="DISABLED")
    delete = queues.DeleteComputeEnvironmentRequest(compute_environment="hosts")
    await refused_with(batch.DeleteJobQueue(delete_queue), PRECONDITION, CLIENT)
    await refused_with(batch.DeleteComputeEnvironment(delete), PRECONDITION, CLIENT)
    await batch.UpdateJobQueue(disable_queue)
    await batch.DeleteJobQueue(delete_queue)
    await refused_with(batch.DeleteComputeEnvironment(delete), PRECONDITION, CLIENT)
    await batch.UpdateComputeEnvironment(disable)
    await batch.DeleteComputeEnvironment(delete)
    await refused_with(batch.DeleteComputeEnvironment(delete), grpc.StatusCode.NOT_FOUND, CLIENT)
    assert len((await batch.DescribeJobQueues(queues.DescribeJobQueuesRequest())).job_queues) == 0


async def test_what_is_there_otherwise_is_not_created_again(batch: Any) -> None:
    await prepare(batch)
    await prepare(batch)
    await refused_with(batch.CreateJobQueue(queue_request(priority=6)), grpc.StatusCode.ALREADY_EXISTS, CLIENT)


async def test_consumable_resources(scheduler: Scheduler, batch: Any) -> None:
    for name in ("licence-a", "licence-b", "slot"):
        await batch.CreateConsumableResource(
            queues.CreateConsumableResourceRequest(consumable_resource_name=name, total_quantity=3)
        )
    update = queues.UpdateConsumableResourceRequest(
        consumable_resource="slot", operation="ADD", quantity=2, client_token="t"
    )
    assert [(await batch.UpdateConsumableResource(update)).total_quantity for _ in range(2)] == [5, 5]
    asked = queues.DescribeConsumableResourceRequest(consumable_resource=arn.consumable_resource_arn("slot"))
    described = await batch.DescribeConsumableResource(asked)
    assert (described.total_quantity, described.in_use_quantity, described.available_quantity) == (5, 0, 5)
    assert (described.resource_type, described.consumable_resource_name) == ("REPLENISHABLE", "slot")
    only = queues.KeyValuesPair(name="CONSUMABLE_RESOURCE_NAME", values=["licence-*"])
    listed = await batch.ListConsumableResources(queues.ListConsumableResourcesRequest(filters=[only]))
    assert [each.consumable_resource_name for each in listed.consumable_resources] == ["licence-a", "licence-b"]
    first = await batch.ListConsumableResources(queues.ListConsumableResourcesRequest(max_results=2))
    rest = await batch.ListConsumableResources(queues.ListConsumableResourcesRequest(next_token=first.next_token))
    assert [each.consumable_resource_name for each in rest.consumable_resources] == ["slot"]
    await batch.DeleteConsumableResource(queues.DeleteConsumableResourceRequest(consumable_resource="slot"))
    await refused_with(batch.DescribeConsumableResource(asked), grpc.StatusCode.NOT_FOUND, CLIENT)
    assert set((await scheduler.reloaded()).batch.consumables) == {"licence-a", "licence-b"}


async def test_tags_are_changed_by_the_methods_of_the_cluster(scheduler: Scheduler, batch: Any) -> None:
    await prepare(batch)
    await batch.RegisterJobDefinition(definition())
    for name in (arn.job_queue_arn("main"), arn.compute_environment_arn("hosts"), arn.job_definition_arn("flip", 1)):
        tags = [resource_pb2.Tag(key="floor", value="2")]
        await scheduler.cluster.TagResource(resource_pb2.TagResourceRequest(resource_arn=name, tags=tags))
        listed = await scheduler.cluster.ListTagsForResource(resource_pb2.ListTagsForResourceRequest(resource_arn=name))
        assert tags[0] in listed.tags
    asked = job_definition_pb2.DescribeJobDefinitionsRequest(job_definition_name="flip")
    (described,) = (await batch.DescribeJobDefinitions(asked)).job_definitions
    assert dict(described.tags) == {"team": "blue", "floor": "2"}


async def test_which_jobs_take_of_a_resource(batch: Any) -> None:
    await prepare(batch)
    taken = {"consumableResourceList": [{"consumableResource": "licence", "quantity": 2}]}
    await batch.RegisterJobDefinition(definition(consumableResourceProperties=taken))
    await batch.RegisterJobDefinition(definition(jobDefinitionName="free"))
    create = queues.CreateConsumableResourceRequest(consumable_resource_name="licence", total_quantity=1)
    await batch.CreateConsumableResource(create)
    for name, of in (("first", "flip"), ("second", "flip"), ("third", "free")):
        await batch.SubmitJob(jobs.SubmitJobRequest(job_name=name, job_queue="main", job_definition=of))

    async def listed(**filters: str) -> list[str]:
        request = queues.ListJobsByConsumableResourceRequest(
            consumable_resource="licence",
            filters=[queues.KeyValuesPair(name=name, values=[value]) for name, value in filters.items()],
        )
        answer = await batch.ListJobsByConsumableResource(request)
        assert all(each.quantity == 2 for each in answer.jobs)
        return sorted(each.job_name for each in answer.jobs)

    assert await listed() == ["first", "second"]
    assert await listed(JOB_NAME="f*") == ["first"]
    assert await listed(JOB_STATUS="RUNNABLE") == ["first", "second"]
    assert await listed(JOB_STATUS="FAILED", JOB_NAME="first") == []
    delete = queues.DeleteConsumableResourceRequest(consumable_resource="licence")
    await refused_with(batch.DeleteConsumableResource(delete), PRECONDITION, CLIENT)
    bad = queues.ListJobsByConsumableResourceRequest(
        consumable_resource="licence", filters=[queues.KeyValuesPair(name="X")]
    )
    await refused_with(batch.ListJobsByConsumableResource(bad), INVALID, CLIENT, "filters[0].name")


async def test_a_queue_says_how_many_jobs_it_still_has(batch: Any) -> None:
    await prepare(batch)
    await batch.RegisterJobDefinition(definition())
    submit = jobs.SubmitJobRequest(job_name="a", job_queue="main", job_definition="flip")
    await batch.SubmitJob(submit)
    submitted = await batch.SubmitJob(submit)
    await batch.UpdateJobQueue(queues.UpdateJobQueueRequest(job_queue="main", state="DISABLED"))
    await refused_with(batch.SubmitJob(submit), PRECONDITION, CLIENT)
    error = await refused_with(
        batch.DeleteJobQueue(queues.DeleteJobQueueRequest(job_queue="main")), PRECONDITION, CLIENT
    )
    assert "2 jobs" in error.message
    await batch.CancelJob(jobs.CancelJobRequest(job_id=submitted.job_id, reason="enough"))
    (described,) = (await batch.DescribeJobQueues(queues.DescribeJobQueuesRequest())).job_queues
    assert (described.unfinished_jobs, described.running_tasks) == (1, 0)
