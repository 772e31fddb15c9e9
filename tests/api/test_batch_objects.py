"""Job definitions, queues, compute environments and consumable resources through the running server."""

from typing import Any

import grpc
import pytest
from shoal import arn, awsjson
from shoal.v1 import batch_pb2_grpc, resource_pb2, task_definition_pb2, task_pb2
from shoal.v1 import job_definition_pb2 as definitions
from shoal.v1 import job_pb2 as jobs
from shoal.v1 import job_queue_pb2 as queues

from tests.api.refusals import CPU_SECONDS_MAX, INVALID, costs_less, lives, refused_with
from tests.fakes.scheduler import Scheduler

CLIENT = "ClientException"
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
SIZES = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
DOCUMENT: dict[str, Any] = {
    "jobDefinitionName": "flip",
    "type": "container",
    "containerProperties": {
        "image": "flip",
        "command": ["flip", "Ref::in", "Ref::out"],
        "resourceRequirements": SIZES,
        "user": "nobody",
    },
    "parameters": {"in": "a.png"},
    "retryStrategy": {"attempts": 3, "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}]},
    "timeout": {"attemptDurationSeconds": 60},
    "schedulingPriority": 7,
    "propagateTags": True,
    "tags": {"team": "blue"},
}


@pytest.fixture
def batch(scheduler: Scheduler) -> Any:
    return batch_pb2_grpc.BatchStub(scheduler.channel())


def definition(**more: Any) -> definitions.RegisterJobDefinitionRequest:
    message, warnings = awsjson.to_message({**DOCUMENT, **more}, definitions.RegisterJobDefinitionRequest)
    assert warnings == []
    return message


async def describe(batch: Any, **asked: Any) -> definitions.DescribeJobDefinitionsResponse:
    answer = await batch.DescribeJobDefinitions(definitions.DescribeJobDefinitionsRequest(**asked))
    assert isinstance(answer, definitions.DescribeJobDefinitionsResponse)
    return answer


def names(answer: definitions.DescribeJobDefinitionsResponse) -> list[str]:
    return [f"{each.job_definition_name}:{each.revision}" for each in answer.job_definitions]


async def prepare(batch: Any) -> None:
    """The environment `hosts` and the queue `main` on it."""
    await batch.CreateComputeEnvironment(
        queues.CreateComputeEnvironmentRequest(compute_environment_name="hosts", type="UNMANAGED")
    )
    await batch.CreateJobQueue(queue_request())


def queue_request(**more: Any) -> queues.CreateJobQueueRequest:
    order = [queues.ComputeEnvironmentOrder(order=1, compute_environment="hosts")]
    fields = {"job_queue_name": "main", "priority": 5, "compute_environment_order": order, **more}
    return queues.CreateJobQueueRequest(**fields)


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
    from shoal.v1 import cluster_pb2

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
    (described,) = (await describe(batch, job_definition_name="flip")).job_definitions
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
