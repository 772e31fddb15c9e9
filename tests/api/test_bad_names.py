"""Names and tags that are none, or that look like others."""

import pytest
from shoal.v1 import (
    cluster_pb2,
    container_instance_pb2,
    resource_pb2,
    task_definition_pb2,
    task_pb2,
)

from tests.api.conftest import INSTANCE
from tests.api.refusals import PARAMETER, is_refused
from tests.api.requests import definition, register
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler

NAMES = {
    "a space": " ",
    "a dot": ".",
    "two dots": "..",
    "long": "x" * 300,
    "right to left": "web\u202ebew",
    "zero width": "we\u200bb",
    "homoglyph": "w\u0435b",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "newline": "web\n",
    "NUL": "we\0b",
    "escape": "\x1b[2Jweb",
    "template": "{{7*7}}",
    "script": "<script>alert(1)</script>",
    "path": "../../etc/passwd",
    "slash": "a/b",
}


@pytest.mark.parametrize("case", NAMES)
async def test_names(scheduler: Scheduler, agent: SimulatedAgent, case: str) -> None:
    await register(scheduler)
    name = NAMES[case]
    run = task_pb2.RunTaskRequest
    create = cluster_pb2.CreateClusterRequest(cluster_name=name)
    await is_refused(scheduler, "CreateCluster", create, PARAMETER, "clusterName")
    await is_refused(scheduler, "RegisterTaskDefinition", definition(name), "ClientException", "family")
    started_by = run(task_definition="web", started_by=name)
    if case != "slash":
        await is_refused(scheduler, "RunTask", started_by, PARAMETER, "startedBy")
        if case not in ("a dot", "two dots", "path"):
            await is_refused(scheduler, "RunTask", run(task_definition="web", group=name), PARAMETER, "group")
    await is_refused(scheduler, "ListTasks", task_pb2.ListTasksRequest(cluster=name), PARAMETER, "cluster")
    attribute = resource_pb2.Attribute(name=name, target_id=INSTANCE)
    if case not in ("a dot", "two dots", "slash", "path"):
        request = container_instance_pb2.PutAttributesRequest(attributes=[attribute])
        await is_refused(scheduler, "PutAttributes", request, PARAMETER, "attributes[0].name")


TAGS = ("", "aws:x", "AWS:x", "x" * 129, "a\n", "\x1b[2J", "{{7*7}}", "<script>", "we\u200bb", "web\u202e", "a\0")


@pytest.mark.parametrize("key", TAGS)
async def test_tag_keys(scheduler: Scheduler, agent: SimulatedAgent, key: str) -> None:
    await register(scheduler)
    tags = [resource_pb2.Tag(key="good", value="x"), resource_pb2.Tag(key=key, value="x")]
    arn = "arn:shoal:ecs:local:000000000000:cluster/default"
    for method, request in (
        ("RunTask", task_pb2.RunTaskRequest(task_definition="web", tags=tags)),
        ("RegisterTaskDefinition", definition(tags=tags)),
        ("CreateCluster", cluster_pb2.CreateClusterRequest(cluster_name="blue", tags=tags)),
        ("TagResource", resource_pb2.TagResourceRequest(resource_arn=arn, tags=tags)),
    ):
        await is_refused(scheduler, method, request, PARAMETER, "tags[1].key")


async def test_names_that_begin_alike_are_not_alike(scheduler: Scheduler) -> None:
    """No prefix of a name reaches another's things."""
    for name in ("a", "a-b", "a_b", "A"):
        await scheduler.cluster.CreateCluster(cluster_pb2.CreateClusterRequest(cluster_name=name))
        await register(scheduler, name)
    await scheduler.cluster.DeleteCluster(cluster_pb2.DeleteClusterRequest(cluster="a"))
    listed = await scheduler.cluster.ListClusters(cluster_pb2.ListClustersRequest())
    assert [arn.rsplit("/")[-1] for arn in listed.cluster_arns] == ["A", "a-b", "a_b", "default"]
    request = task_definition_pb2.ListTaskDefinitionsRequest(family_prefix="a")
    arns = (await scheduler.cluster.ListTaskDefinitions(request)).task_definition_arns
    assert [arn.rsplit("/")[-1] for arn in arns] == ["a:1"]
