"""Pages, and every other field that is wrong: an error with its path, and nothing stored."""

from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from shoal.v1 import (
    cluster_pb2,
    container_instance_pb2,
    event_pb2,
    log_pb2,
    resource_pb2,
    task_definition_pb2,
    task_pb2,
    usage_pb2,
)

from tests.api.conftest import INSTANCE
from tests.api.refusals import INVALID, PARAMETER, is_refused, refused_with
from tests.api.wire import call, named
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler

# Pages

PAGED: tuple[tuple[str, type[Message]], ...] = (
    ("ListTasks", task_pb2.ListTasksRequest),
    ("ListClusters", cluster_pb2.ListClustersRequest),
    ("ListTaskDefinitions", task_definition_pb2.ListTaskDefinitionsRequest),
    ("ListTaskDefinitionFamilies", task_definition_pb2.ListTaskDefinitionFamiliesRequest),
    ("ListContainerInstances", container_instance_pb2.ListContainerInstancesRequest),
    ("ListAttributes", container_instance_pb2.ListAttributesRequest),
    ("ListEvents", event_pb2.ListEventsRequest),
    ("GetUsage", usage_pb2.GetUsageRequest),
)
TOKENS = (
    "x",
    "A" * 1_000_000,
    "{}",
    "e30=",
    "bnVsbA==",
    "W10=",
    "eyJhZnRlciI6IDF9",
    "../..",
    "\u202e",
    "=" * 4,
    "\x1b",
)


@pytest.mark.parametrize(("method", "request_type"), PAGED)
async def test_pages(scheduler: Scheduler, method: str, request_type: type[Any]) -> None:
    for number in (-1, 0, 1001, 2**31 - 1, -(2**31)):
        await is_refused(scheduler, method, request_type(max_results=number), PARAMETER, "maxResults")
    for token in TOKENS:
        await is_refused(scheduler, method, request_type(next_token=token), PARAMETER, "nextToken")
    huge = call(scheduler.channel(), method, named(request_type, "max_results", 10**18))
    await refused_with(huge, INVALID, PARAMETER, "maxResults")


# The rest

Describe = container_instance_pb2.DescribeContainerInstancesRequest
Update = container_instance_pb2.UpdateContainerInstancesStateRequest
Setting = cluster_pb2.ClusterSetting
ATTRIBUTE = resource_pb2.Attribute
MANY = ["x"] * 1001

OTHERS: dict[str, tuple[str, Message, str]] = {
    "describe no tasks": ("DescribeTasks", task_pb2.DescribeTasksRequest(), "tasks"),
    "describe 1001 tasks": ("DescribeTasks", task_pb2.DescribeTasksRequest(tasks=MANY), "tasks"),
    "describe no instances": ("DescribeContainerInstances", Describe(), "containerInstances"),
    "describe 1001 instances": ("DescribeContainerInstances", Describe(container_instances=MANY), "containerInstances"),
    "describe 1001 clusters": ("DescribeClusters", cluster_pb2.DescribeClustersRequest(clusters=MANY), "clusters"),
    "describe no definition": (
        "DescribeTaskDefinition",
        task_definition_pb2.DescribeTaskDefinitionRequest(),
        "taskDefinition",
    ),
    "deregister without a number": (
        "DeregisterTaskDefinition",
        task_definition_pb2.DeregisterTaskDefinitionRequest(task_definition="web"),
        "taskDefinition",
    ),
    "delete no definitions": (
        "DeleteTaskDefinitions",
        task_definition_pb2.DeleteTaskDefinitionsRequest(),
        "taskDefinitions",
    ),
    "delete eleven definitions": (
        "DeleteTaskDefinitions",
        task_definition_pb2.DeleteTaskDefinitionsRequest(task_definitions=MANY[:11]),
        "taskDefinitions",
    ),
    "stop nothing": ("StopTask", task_pb2.StopTaskRequest(), "task"),
    "stop with a long reason": ("StopTask", task_pb2.StopTaskRequest(task="0" * 32, reason="x" * 1025), "reason"),
    "list a status": ("ListTasks", task_pb2.ListTasksRequest(desired_status="running"), "desiredStatus"),
    "list on nothing": ("ListTasks", task_pb2.ListTasksRequest(container_instance="x"), "containerInstance"),
    "list definitions by status": (
        "ListTaskDefinitions",
        task_definition_pb2.ListTaskDefinitionsRequest(status="GONE"),
        "status",
    ),
    "list definitions sideways": (
        "ListTaskDefinitions",
        task_definition_pb2.ListTaskDefinitionsRequest(sort="SIDEWAYS"),
        "sort",
    ),
    "list families by status": (
        "ListTaskDefinitionFamilies",
        task_definition_pb2.ListTaskDefinitionFamiliesRequest(status="x"),
        "status",
    ),
    "list instances by status": (
        "ListContainerInstances",
        container_instance_pb2.ListContainerInstancesRequest(status="x"),
        "status",
    ),
    "drain none": ("UpdateContainerInstancesState", Update(status="DRAINING"), "containerInstances"),
    "drain eleven": (
        "UpdateContainerInstancesState",
        Update(container_instances=MANY[:11], status="DRAINING"),
        "containerInstances",
    ),
    "drain to a status": ("UpdateContainerInstancesState", Update(container_instances=["x"], status="x"), "status"),
    "drain to no status": ("UpdateContainerInstancesState", Update(container_instances=["x"]), "status"),
    "interrupt in no time": (
        "UpdateContainerInstancesState",
        Update(container_instances=["x"], status="DRAINING", interruption_seconds=0),
        "interruptionSeconds",
    ),
    "interrupt what is active": (
        "UpdateContainerInstancesState",
        Update(container_instances=["x"], status="ACTIVE", interruption_seconds=60),
        "interruptionSeconds",
    ),
    "a reason for nothing": (
        "UpdateContainerInstancesState",
        Update(container_instances=["x"], status="DRAINING", reason="sold"),
        "reason",
    ),
    "a reason without end": (
        "UpdateContainerInstancesState",
        Update(container_instances=["x"], status="DRAINING", interruption_seconds=60, reason="x" * 256),
        "reason",
    ),
    "deregister nothing": (
        "DeregisterContainerInstance",
        container_instance_pb2.DeregisterContainerInstanceRequest(),
        "containerInstance",
    ),
    "put no attributes": ("PutAttributes", container_instance_pb2.PutAttributesRequest(), "attributes"),
    "put an attribute on nothing": (
        "PutAttributes",
        container_instance_pb2.PutAttributesRequest(attributes=[ATTRIBUTE(name="a", value="b")]),
        "attributes[0].targetId",
    ),
    "put a value": (
        "PutAttributes",
        container_instance_pb2.PutAttributesRequest(attributes=[ATTRIBUTE(name="a", value="\x1b", target_id="x")]),
        "attributes[0].value",
    ),
    "attributes of something else": (
        "ListAttributes",
        container_instance_pb2.ListAttributesRequest(target_type="task"),
        "targetType",
    ),
    "tag with nothing": ("TagResource", resource_pb2.TagResourceRequest(resource_arn="arn"), "tags"),
    "untag nothing": ("UntagResource", resource_pb2.UntagResourceRequest(resource_arn="arn"), "tagKeys"),
    "tags of nothing": ("ListTagsForResource", resource_pb2.ListTagsForResourceRequest(), "resourceArn"),
    "a setting": (
        "CreateCluster",
        cluster_pb2.CreateClusterRequest(cluster_name="blue", settings=[Setting(name="x", value="enabled")]),
        "settings[0].name",
    ),
    "a setting's value": (
        "UpdateClusterSettings",
        cluster_pb2.UpdateClusterSettingsRequest(settings=[Setting(name="containerInsights", value="x")]),
        "settings[0].value",
    ),
    "a logging": (
        "UpdateCluster",
        cluster_pb2.UpdateClusterRequest(
            configuration=cluster_pb2.ClusterConfiguration(
                execute_command_configuration=cluster_pb2.ExecuteCommandConfiguration(logging="x")
            )
        ),
        "configuration.executeCommandConfiguration.logging",
    ),
    "a cluster of 1 MB": (
        "CreateCluster",
        cluster_pb2.CreateClusterRequest(cluster_name="blue", capacity_providers=["x" * 1_000_000]),
        "",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
async def test_other_methods(scheduler: Scheduler, agent: SimulatedAgent, case: str) -> None:
    method, request, path = OTHERS[case]
    await is_refused(scheduler, method, request, PARAMETER, path)


async def test_logs(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    request = log_pb2.ReadLogsRequest
    for wanted, path in (
        (request(), "task"),
        (request(task="x", tail=-1), "tail"),
        (request(task="x", since=-(2**63)), "since"),
    ):
        await refused_with(scheduler.cluster.ReadLogs(wanted).read(), INVALID, PARAMETER, path)


async def test_no_more_than_a_hundred_attributes(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    for start in range(0, 110, 10):
        attributes = [ATTRIBUTE(name=f"a{n}", target_id=INSTANCE) for n in range(start, start + 10)]
        put = scheduler.cluster.PutAttributes(container_instance_pb2.PutAttributesRequest(attributes=attributes))
        if start < 100:
            await put
        else:
            before = scheduler.stored()
            await refused_with(put, grpc.StatusCode.RESOURCE_EXHAUSTED, "AttributeLimitExceededException")
            assert scheduler.stored() == before
